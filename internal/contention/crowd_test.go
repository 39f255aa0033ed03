package contention

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// TestKilled kills a server with 500 sessions and 50 loans: after its start they are
// all there, with their tokens.
func TestKilled(t *testing.T) {
	h := newHost(t, 600)
	h.start()
	held := make([]wire.Lease, 500)
	var all sync.WaitGroup
	for part := range 20 {
		all.Go(func() {
			for i := part * 25; i < part*25+25; i++ {
				status, answer, err := h.ask("POST", wire.PathLeases, "", claimBody(rand.Text(), ""))
				if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &held[i]) != nil {
					t.Errorf("claim: %d %s %v", status, answer, err)
				}
			}
		})
	}
	all.Wait()
	loans := map[seats.LeaseID]bool{}
	for range 50 {
		loans[h.lend().ID] = true
	}
	list := func() map[seats.LeaseID]seats.LeaseView {
		all := map[seats.LeaseID]seats.LeaseView{}
		for _, l := range get[wire.List[seats.LeaseView]](h, wire.PathLeases).Items {
			all[l.Lease] = l
		}
		return all
	}
	before := list()
	if len(before) != 550 || t.Failed() {
		t.Fatalf("%d leases", len(before))
	}
	for range 2 {
		h.end(syscall.SIGKILL)
		h.start()
	}
	after := list()
	for id, was := range before {
		is, ok := after[id]
		if !ok || is.Kind != was.Kind || is.Client.ID != was.Client.ID || is.Since != was.Since || is.Holder != was.Holder || loans[id] && is.ExpiresAt != was.ExpiresAt {
			t.Errorf("before the end %+v, after it %+v", was, is)
		}
	}
	if v := h.pool(); len(after) != 550 || v.Leased != 500 || v.Lent != 50 || v.Free != 50 {
		t.Errorf("%d leases, %+v", len(after), v)
	}
	for _, l := range held {
		if status, answer, err := h.ask("PUT", wire.PathLease+string(l.Lease), l.Token, nil); err != nil || status != http.StatusOK {
			t.Fatalf("a session cannot go on: %d %s %v", status, answer, err)
		}
	}
}

// TestFlood has 256 clients ask without pause for 40 seats: no seat too many, no
// fault, and whoever is put off is told for how long.
func TestFlood(t *testing.T) {
	const n, clients, each = 40, 256, 8
	h := newHost(t, n)
	h.start()
	var granted, none, off atomic.Int64
	var all sync.WaitGroup
	held := make(chan wire.Lease, n*2)
	for range clients {
		all.Go(func() {
			for range each {
				resp, err := h.send("POST", wire.PathLeases, "", claimBody(rand.Text(), ""))
				if err != nil {
					t.Errorf("no answer: %v", err)
					return
				}
				var body json.RawMessage
				if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
					t.Errorf("%d: %v", resp.StatusCode, err)
				}
				resp.Body.Close()
				switch {
				case resp.StatusCode == http.StatusCreated:
					granted.Add(1)
					var l wire.Lease
					if err := json.Unmarshal(body, &l); err != nil {
						t.Error(err)
					}
					if _, _, err := h.verifier.Lease(l.Document); err != nil {
						t.Errorf("a lease does not prove itself: %v", err)
					}
					select {
					case held <- l:
					default:
						t.Error("far too many seats")
					}
				case resp.StatusCode == http.StatusConflict && codeOf(body) == refusal.NoSeatFree:
					none.Add(1)
				case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
					if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || s < 1 {
						t.Errorf("%d without Retry-After", resp.StatusCode)
					}
					off.Add(1)
				default:
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			}
		})
	}
	all.Wait()
	if granted.Load() != n || none.Load() == 0 {
		t.Errorf("%d of %d seats given out, %d refused, %d put off", granted.Load(), n, none.Load(), off.Load())
	}
	if v := h.pool(); v.Leased != n || v.Free != 0 {
		t.Errorf("%+v", v)
	}
	close(held)
	for l := range held {
		if status, answer, err := h.ask("DELETE", wire.PathLease+string(l.Lease), l.Token, nil); err != nil || status != http.StatusNoContent {
			t.Fatalf("%d %s %v", status, answer, err)
		}
	}
	if v := h.pool(); v.Free != n {
		t.Errorf("%+v", v)
	}
}

// TestHostile speaks to a server in every wrong way, and it goes on: the same
// process, and honest clients are answered (Th29).
func TestHostile(t *testing.T) {
	h := newHost(t, 5, "--no-discovery")
	h.start()
	pid := h.cmd.Process.Pid
	frames := [][]byte{
		nil, []byte("\x00"), []byte("\x16\x03\x01\x02\x00\x01\x00"), []byte(strings.Repeat("A", 64<<10)),
		[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"),
		[]byte("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n{"),
		[]byte("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"),
		[]byte("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
		[]byte("POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
		[]byte("GET /v1/leases/../../server.token HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		[]byte("DELETE /v1/leases/%00%2f HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + strings.Repeat("f", 7000) + "\r\n\r\n"),
		[]byte("GET /v1/server HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X-A: b\r\n", 5000) + "\r\n"),
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	}
	for _, body := range []string{
		`{`, `[]`, `null`, `{"product":1}`, `{"product":"` + strings.Repeat("x", 15000) + `"}`, `{"product":"CAD-PRO","product":"CAD-PRO"}`,
		`{"product":"CAD-PRO","client":{"id":"a","groups":[` + strings.Repeat(`"g",`, 2000) + `"g"]}}`, `{"x":` + strings.Repeat("[", 5000),
		`{"product":"CAD-PRO","client":{"id":"\ud800"},"ttl":"-1s"}`, `{"product":"CAD-PRO","client":{"id":"a"},"ttl":"999999999999d"}`,
		"{\"product\":\"CAD-PRO\",\"client\":{\"id\":\"\x00\"}}",
	} {
		frames = append(frames, fmt.Appendf(nil, "POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		frames = append(frames, fmt.Appendf(nil, "POST /v1/loans HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				conn, err := net.Dial("tcp", h.address)
				if err != nil {
					continue // it has enough of them
				}
				frame := frames[i%len(frames)]
				if i%3 == 0 { // anything at all
					frame = make([]byte, 1+i%600)
					_, _ = rand.Read(frame)
				}
				_, _ = conn.Write(frame)
				_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				_, _ = conn.Read(make([]byte, 512))
				conn.Close()
			}
		})
	}
	// And some that say nothing for as long as they are let.
	for range 100 {
		conn, err := net.Dial("tcp", h.address)
		must(t, err)
		defer conn.Close()
		_, _ = conn.Write([]byte("POST /v1/leases HTTP/1.1\r\n"))
	}
	for range 100 {
		status, answer, err := h.ask("POST", wire.PathLeases, "", claimBody(rand.Text(), ""))
		if err != nil || status != http.StatusCreated {
			t.Fatalf("an honest client is not served: %d %s %v", status, answer, err)
		}
		var l wire.Lease
		must(t, json.Unmarshal(answer, &l))
		if status, answer, err := h.ask("DELETE", wire.PathLease+string(l.Lease), l.Token, nil); err != nil || status != http.StatusNoContent {
			t.Fatalf("%d %s %v", status, answer, err)
		}
	}
	close(stop)
	all.Wait()
	if err := syscall.Kill(pid, 0); err != nil || h.cmd.Process.Pid != pid {
		t.Error("the server ended")
	}
	if v := h.pool(); v.Free != 5 || v.Leased != 0 {
		t.Errorf("%+v", v)
	}
	if text := h.log(); strings.Contains(text, "fell over") || strings.Contains(text, "panic") {
		t.Errorf("a handler fell over:\n%s", text)
	}
}

// TestNothingOpen looks at what a fresh agent listens on: nothing that others could
// reach, nor anything on the network at all until it is asked to (Th26).
func TestNothingOpen(t *testing.T) {
	h := newHost(t, 5)
	h.run()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("unix", filepath.Join(h.home, "agent.sock")); err == nil {
			conn.Close()
			break
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal(h.log())
		}
	}
	if open := listening(t, h.cmd.Process.Pid); len(open) != 0 {
		t.Errorf("a fresh agent listens on %q", open)
	}
	h.end(syscall.SIGTERM)
	h.start()
	if open := listening(t, h.cmd.Process.Pid); len(open) != 1 || !strings.HasPrefix(open[0], "0100007F:") {
		t.Errorf("asked for %s, it listens on %q", h.address, open)
	}
}

// listening is the sockets of the network that a process listens on, as the kernel
// writes them.
func listening(t *testing.T, pid int) (open []string) {
	t.Helper()
	mine := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			mine[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, kind))
		if err != nil {
			continue // no such protocol here
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listen, unconnected = "0A", "07"
			if len(f) > 9 && mine[f[9]] && (f[3] == listen || strings.HasPrefix(kind, "udp") && f[3] == unconnected) {
				open = append(open, f[1])
			}
		}
	}
	return open
}
