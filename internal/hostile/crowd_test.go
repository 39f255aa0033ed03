//go:build linux

package hostile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/client"
	"licet/container"
	"licet/internal/meter"
	"licet/internal/vendorapi"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// honest has one machine after another activate until time is up, and gives how
// long each took.
func honest(t *testing.T, w *world, s *server, most int, pause, total time.Duration) []time.Duration {
	t.Helper()
	c := from(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	var took []time.Duration
	for begin := time.Now(); len(took) < most && time.Since(begin) < total; time.Sleep(pause) {
		start := time.Now()
		if err := w.activates(s, c, len(took)); err != nil {
			t.Fatalf("after %d: %v", len(took), err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took
}

func percentile(sorted []time.Duration, p int) time.Duration { return sorted[(len(sorted)-1)*p/100] }

// TestSlowSenders opens 300 connections that send a byte in 100 ms, in their
// headers or in their bodies.
func TestSlowSenders(t *testing.T) {
	w := getWorld()
	for _, c := range []struct{ name, at string }{
		{"headers", "POST " + wire.PathProgram + " HTTP/1.1\r\nHost: licet\r\nX-Slow: "},
		{"bodies", "POST " + wire.PathProgram + " HTTP/1.1\r\nHost: licet\r\nContent-Length: 100000\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.fresh(t)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			var opened, sent atomic.Int64
			var slow sync.WaitGroup
			for i := range 300 {
				slow.Go(func() {
					conn, err := (&net.Dialer{LocalAddr: address(20, i/50), Timeout: 5 * time.Second}).DialContext(ctx, "tcp", s.host)
					if err != nil {
						return
					}
					defer conn.Close()
					if _, err := conn.Write([]byte(c.at)); err != nil {
						return
					}
					opened.Add(1)
					tick := time.NewTicker(100 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-ctx.Done():
							return
						case <-tick.C:
						}
						if _, err := conn.Write([]byte{'a'}); err != nil {
							return
						}
						sent.Add(1)
					}
				})
			}
			took := honest(t, w, s, 60, 20*time.Millisecond, 4*time.Second)
			cancel()
			slow.Wait()
			if p := percentile(took, 99); len(took) < 30 || p > 2*time.Second || opened.Load() < 300 {
				t.Errorf("%d activations, p99 %v, %d slow", len(took), p, opened.Load())
			}
			t.Logf("%d slow connections sent %d bytes; %d activations, median %v, p99 %v, longest %v", opened.Load(), sent.Load(),
				len(took), percentile(took, 50), percentile(took, 99), took[len(took)-1])
		})
	}
}

// TestPlaces has 10 addresses hold as many places as they get, with bodies that
// do not come. Enough places stay free for the others.
func TestPlaces(t *testing.T) {
	w := getWorld()
	s := w.fresh(t)
	for i := range 600 {
		conn, err := (&net.Dialer{LocalAddr: address(50, i/60), Timeout: 5 * time.Second}).Dial("tcp", s.host)
		must(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: licet\r\nContent-Length: 100000\r\n\r\nabc", wire.PathProgram)
		must(t, err)
	}
	time.Sleep(200 * time.Millisecond) // so that all of them have arrived
	took := honest(t, w, s, 20, 10*time.Millisecond, 4*time.Second)
	if p := percentile(took, 99); len(took) < 10 || p > 2*time.Second {
		t.Errorf("%d activations, p99 %v", len(took), p)
	}
	t.Logf("600 bodies that do not come; %d activations, median %v, longest %v", len(took), percentile(took, 50), took[len(took)-1])
}

// TestFlood has 32 addresses send garbage as fast as they can.
func TestFlood(t *testing.T) {
	w := getWorld()
	s := w.fresh(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	garbage := make([]byte, 4<<10)
	rand.Read(garbage)
	var refused, limited, other atomic.Int64
	var flood sync.WaitGroup
	for i := range 32 {
		c := from(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i))})
		flood.Go(func() {
			for range 100_000 {
				if ctx.Err() != nil {
					return
				}
				a, err := do(c, "POST", s.url+wire.PathProgram, garbage)
				switch {
				case err == nil && a.proper() == nil && a.status == 400:
					refused.Add(1)
				case err == nil && a.proper() == nil && a.status == 429 && a.header.Get("Retry-After") != "":
					limited.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	took := honest(t, w, s, 40, 40*time.Millisecond, 3*time.Second)
	// A machine that is busy with other things takes longer to send too much.
	for limited.Load() == 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	flood.Wait()
	if len(took) < 10 || percentile(took, 99) > 2*time.Second || other.Load() > 0 || limited.Load() == 0 {
		t.Errorf("%d activations, %d other answers", len(took), other.Load())
	}
	t.Logf("garbage: %d refused, %d told to wait, %d else; %d activations, median %v, p99 %v, longest %v", refused.Load(), limited.Load(), other.Load(),
		len(took), percentile(took, 50), percentile(took, 99), took[len(took)-1])
}

// TestGuessing tries tickets that nobody has, and tickets of another vendor.
// They are answered alike, and one address soon waits.
func TestGuessing(t *testing.T) {
	w := getWorld()
	other := newVendor("other")
	o := other.serve(other.folder)
	var foreign []license.Ticket
	for i := range 40 {
		ticket, _ := o.order(fmt.Sprint("foreign-", i), 1)
		foreign = append(foreign, ticket)
	}
	o.stop()
	s := w.fresh(t)
	before := s.record(t)
	guess := func(i int) license.Ticket {
		if i%2 == 0 {
			return license.NewTicket(func(b []byte) { rand.Read(b) })
		}
		return foreign[i/2%len(foreign)]
	}

	// From one address, as fast as it goes.
	one := from(t, address(30, 0))
	x := w.box()
	limited := 0
	for i := range 500 {
		a, err := do(one, "POST", s.url+wire.PathProgram, x.request(container.Wishes{Tickets: []license.Ticket{guess(i)}}))
		must(t, err)
		if a.status == 429 {
			must(t, a.proper())
			limited++
		}
	}
	if limited == 0 {
		t.Error("one address may guess without end")
	}

	// From many, each within its limit.
	const guesses, workers = 2000, 8
	var mu sync.Mutex
	shapes, took := [2]map[string]int{{}, {}}, [2][]time.Duration{}
	var all sync.WaitGroup
	for j := range workers {
		all.Go(func() {
			x := w.box()
			var c *http.Client
			var g *client.Gateway
			for n, i := 0, j; i < guesses; n, i = n+1, i+workers {
				if n%80 == 0 {
					c = from(t, address(31, j*20+n/80))
					g = client.NewGateway(client.Options{HTTP: c, Attempts: 8})
				}
				ticket := guess(2*i + n%2)
				file := x.request(container.Wishes{Tickets: []license.Ticket{ticket}})
				start := time.Now()
				got, err := g.Program(t.Context(), s.url, file)
				if err != nil {
					t.Error(err)
					return
				}
				d := time.Since(start)
				u, err := x.takes(got)
				if err != nil || len(u.Outcomes) != 1 || len(u.Steps) != 0 {
					t.Errorf("%v %+v", err, u)
					return
				}
				out := u.Outcomes[0]
				text, err := json.Marshal(out)
				if err != nil {
					t.Error(err)
				}
				shape := fmt.Sprintf("%d bytes: %s", len(got), strings.ReplaceAll(string(text), string(ticket), "TICKET"))
				mu.Lock()
				shapes[n%2][shape]++
				took[n%2] = append(took[n%2], d)
				mu.Unlock()
				if out.Code != refusal.TicketUnknown {
					t.Errorf("%+v", out)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for shape := range shapes[0] {
		if len(shapes[0]) != 1 || shapes[1][shape] == 0 || len(shapes[1]) != 1 {
			t.Fatalf("unknown: %v\nforeign: %v", shapes[0], shapes[1])
		}
	}
	if after := s.record(t); after != before {
		t.Errorf("the record was %s, and is %s", before, after)
	}
	for i := range took {
		slices.Sort(took[i])
	}
	t.Logf("one address: %d of 500 told to wait; from many: %d unknown, median %v, and %d foreign, median %v, all %v", limited,
		len(took[0]), percentile(took[0], 50), len(took[1]), percentile(took[1], 50), shapes[0])
}

// TestNoRoute asks every address in every way that it does not have, and
// addresses that are none.
func TestNoRoute(t *testing.T) {
	s := getWorld().fresh(t)
	c := from(t, address(40, 0))
	routes := map[string][]string{
		wire.PathProgram: {"POST"}, wire.PathReceipt: {"POST"}, wire.PathTime: {"GET"}, wire.PathWellKnown: {"GET"},
		wire.PathHealth: {"GET"}, wire.PathReady: {"GET"}, vendorapi.PathGuide: {"GET"}, vendorapi.PathDescription: {"GET"}, meter.Path: {"GET"},
	}
	res, err := c.Get(s.url + vendorapi.PathDescription)
	must(t, err)
	defer res.Body.Close()
	var described struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	must(t, json.NewDecoder(res.Body).Decode(&described))
	for path, methods := range described.Paths {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "[^/]+") + "$")
		for other := range described.Paths {
			if !pattern.MatchString(other) {
				continue
			}
			// An address such as /licenses/withdraw could be a license too.
			name := vendorapi.Prefix + strings.NewReplacer("{", "", "}", "").Replace(other)
			for m := range methods {
				routes[name] = append(routes[name], strings.ToUpper(m))
			}
		}
	}
	if len(routes) < 20 {
		t.Fatalf("only %d routes: %v", len(routes), routes)
	}
	asked := 0
	ask := func(method, path string, want ...int) {
		t.Helper()
		c := from(t, address(40, asked/40))
		asked++
		a, err := do(c, method, s.url+path, nil)
		if method == "HEAD" && err == nil {
			if !slices.Contains(want, a.status) || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d %v", method, path, a.status, a.header)
			}
			return
		}
		if err == nil {
			err = a.proper()
		}
		if err != nil || !slices.Contains(want, a.status) || a.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: %v %d %.300s", method, path, err, a.status, a.body)
		}
	}
	for path, methods := range routes {
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LICET"} {
			if !slices.Contains(methods, m) && (m != "HEAD" || !slices.Contains(methods, "GET")) {
				ask(m, path, 405)
			}
		}
		ask("GET", path+"x/none", 401, 404)
	}
	for _, path := range []string{
		"/none", "/gateway/", "/gateway/v1", "/gateway/v2/program", "/gateway/v1/program/", "/GATEWAY/v1/program", "/gateway/v1/program%00",
		"/gateway/v1/%2e%2e/program", "/api", "/api/v2/orders", "/api/v1/", "/admin", "/debug/pprof/", "/.git/config", "/.env",
		"/docs/assets/..%2f..%2fsecret.key", "/docs/assets/none", "/secret.key", "/licet.db", "/%ff%fe", "/" + strings.Repeat("a", 20_000),
	} {
		ask("GET", path, 401, 404)
		ask("POST", path, 401, 404, 405)
	}
	t.Logf("%d routes, asked %d times", len(routes), asked)
}
