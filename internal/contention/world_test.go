package contention

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

var long = os.Getenv("LICET_TEST_LONG") == "1"

// program is licet as it is shipped, built once. Its file has no name any more, so
// that nothing is left behind.
var program = sync.OnceValues(func() (path string, err error) {
	folder, err := os.MkdirTemp("", "licet-contention")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	path = filepath.Join(folder, "licet")
	cmd := exec.Command("go", "build", "-o", path, "licet/cmd/licet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	if programFile, err = os.Open(path); err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), programFile.Fd()), nil
})

var programFile *os.File // open as long as the tests run

// host is a machine with a license server in a process of its own.
type host struct {
	t        testing.TB
	program  string
	home     string
	address  string // host:port
	args     []string
	verifier *seal.Verifier
	scope    seal.Scope
	trust    []byte // the vendor's trust file
	cmd      *exec.Cmd
	http     *http.Client
}

const product = "CAD-PRO"

// newHost makes a machine with a license of so many seats. The server does not run yet.
func newHost(t testing.TB, n int64, args ...string) *host {
	t.Helper()
	path, err := program()
	must(t, err)
	h := &host{
		t: t, program: path, home: filepath.Join(t.TempDir(), "licet"), address: freePort(t), args: args,
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512}},
	}
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(time.Now()) })
	trust, err := seal.ParseTrust(v.Trust)
	must(t, err)
	h.scope, h.trust = trust.Scope, v.Trust
	h.verifier, err = seal.NewVerifier(trust)
	must(t, err)
	cl := agent.Connect(agent.Config{Home: h.home})
	_, err = cl.TrustAdd(t.Context(), agent.TrustRequest{File: v.Trust})
	must(t, err)
	ticket := v.Sell(container.Body{Product: product, Name: "CAD", Features: []string{"render"}, Repair: true, Terms: license.Terms{
		Seats: n, Borrow: license.Borrow{Max: 10 * license.Day, Seats: n},
	}})
	_, err = cl.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
	must(t, err)
	t.Cleanup(func() { h.end(syscall.SIGTERM) })
	return h
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// start starts the server and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	h.run("--listen", h.address)
	for began := time.Now(); ; {
		status, _, err := h.ask("GET", wire.PathServer, "", nil)
		if err == nil && status == http.StatusOK {
			return
		}
		if time.Since(began) > 30*time.Second {
			h.t.Fatalf("the server does not start: %d %v\n%s", status, err, h.log())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (h *host) run(args ...string) {
	h.t.Helper()
	log, err := os.OpenFile(h.home+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(h.t, err)
	defer log.Close()
	h.cmd = exec.Command(h.program, append(append([]string{"serve", "--home", h.home, "--refresh", "12h"}, args...), h.args...)...)
	h.cmd.Stderr = log
	must(h.t, h.cmd.Start())
}

// end ends the server with a signal and waits for that.
func (h *host) end(s syscall.Signal) {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Signal(s) // it may be gone
	_ = h.cmd.Wait()
	h.cmd = nil
}

func (h *host) log() string {
	text, _ := os.ReadFile(h.home + ".log")
	return string(text)
}

// ask sends one request. An error says that no answer came.
func (h *host) ask(method, path, token string, body []byte) (status int, answer []byte, err error) {
	resp, err := h.send(method, path, token, body)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (h *host) send(method, path, token string, body []byte) (*http.Response, error) {
	req, err := http.NewRequest(method, "http://"+h.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return h.http.Do(req)
}

// admin is the administrators' token.
func (h *host) admin() string {
	text, err := os.ReadFile(filepath.Join(h.home, "server.token"))
	must(h.t, err)
	return strings.TrimSpace(string(text))
}

func get[T any](h *host, path string) T {
	h.t.Helper()
	status, text, err := h.ask("GET", path, h.admin(), nil)
	must(h.t, err)
	var out T
	if err := json.Unmarshal(text, &out); err != nil || status != http.StatusOK {
		h.t.Fatalf("%s: %d %s", path, status, text)
	}
	return out
}

func (h *host) pool() seats.PoolView {
	h.t.Helper()
	list := get[wire.List[seats.PoolView]](h, wire.PathPools).Items
	if len(list) != 1 {
		h.t.Fatalf("%d pools", len(list))
	}
	return list[0]
}

func claimBody(id string, ttl string) []byte {
	extra := ""
	if ttl != "" {
		extra = `,"ttl":"` + ttl + `"`
	}
	return fmt.Appendf(nil, `{"product":%q,"client":{"id":%q,"host":"host-%s","user":"user","pid":1},"nonce":%q%s}`, product, id, id[:4], id, extra)
}

// lend asks for a loan for a new container and answers its lease.
func (h *host) lend() seats.Lease {
	h.t.Helper()
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(h.t, err)
	file, err := seal.SignLoanRequest(h.scope, keys, license.Machine, seats.LoanWish{
		Product: product, Kind: seats.Loan, Seats: 1, Number: 1, For: license.Day, Nonce: rand.Text(), Client: seats.Client{ID: rand.Text(), Host: "h", User: "u"},
		Holds: []seats.Held{}, Returned: []seats.LeaseID{}, Features: []string{},
	})
	must(h.t, err)
	status, answer, err := h.ask("POST", wire.PathLoans, "", file)
	must(h.t, err)
	if status != http.StatusOK {
		h.t.Fatalf("loan: %d %s", status, answer)
	}
	a, err := h.verifier.OpenLoanAnswer(answer, keys)
	must(h.t, err)
	if a.Lease.ID == "" {
		h.t.Fatalf("no loan: %+v", a.Outcomes)
	}
	return a.Lease
}

func codeOf(answer []byte) refusal.Code {
	var p wire.Problem
	if json.Unmarshal(answer, &p) != nil {
		return ""
	}
	return p.Code
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
