package seatserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/client"
	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/durable"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is a machine with a license server.
type place struct {
	*Server
	t        testing.TB
	clock    *clock
	home     string
	disk     durable.Disk
	agent    *agent.Agent
	vendor   *vendortest.Vendor
	verifier *seal.Verifier
	log      strings.Builder
	logMu    sync.Mutex
	stop     func()
}

func (p *place) Write(b []byte) (int, error) {
	p.logMu.Lock()
	defer p.logMu.Unlock()
	return p.log.Write(b)
}

func (p *place) logged() string {
	p.logMu.Lock()
	defer p.logMu.Unlock()
	return p.log.String()
}

func cad(n int64) container.Body {
	return container.Body{Product: "CAD-PRO", Name: "CAD Professional", Features: []string{"render"}, Repair: true, Terms: license.Terms{
		Seats: n, Borrow: license.Borrow{Max: 10 * license.Day, Seats: n},
	}}
}

// newPlace sells and activates licenses on a machine, and starts its license server.
func newPlace(t testing.TB, bodies ...container.Body) *place {
	t.Helper()
	p := &place{t: t, clock: newClock(), home: filepath.Join(t.TempDir(), "licet")}
	p.vendor = vendortest.New(t, "Example Software", func() license.Time { return license.At(p.clock.Now()) })
	trust, err := seal.ParseTrust(p.vendor.Trust)
	must(t, err)
	trust.Certificates = nil // a program knows the root alone
	p.verifier, err = seal.NewVerifier(trust)
	must(t, err)
	cl := agent.Connect(p.config())
	_, err = cl.TrustAdd(t.Context(), agent.TrustRequest{File: p.vendor.Trust})
	must(t, err)
	for _, b := range bodies {
		_, err := cl.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{p.vendor.Sell(b)}})
		must(t, err)
	}
	p.start()
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *place) config() agent.Config {
	return agent.Config{
		Home: p.home, Now: p.clock.Now, Disk: &p.disk, Log: slog.New(slog.NewTextHandler(p, nil)),
		Traits: func() []machine.Trait {
			return []machine.Trait{{Name: machine.MachineID, Value: "m", Weight: 4}, {Name: machine.DiskID, Value: "d", Weight: 3}, {Name: machine.NetworkAddress, Value: "n", Weight: 3}}
		},
	}
}

// start opens the license server; stop ends it well.
func (p *place) start() {
	p.t.Helper()
	must(p.t, p.open())
}

func (p *place) open() error {
	p.agent = agent.Open(p.config())
	p.Server = New(p.agent, p.config(), seats.Limits{})
	p.stop = func() {}
	if err := p.Open(context.Background()); err != nil {
		return err
	}
	p.remember(context.Background(), true)
	server := p.Server
	p.stop = sync.OnceFunc(func() { server.close(context.Background()) })
	return nil
}

// crash ends the server as a power cut does: nothing more is written.
func (p *place) crash() {
	p.stop = func() {}
	_ = p.ledger.Close() // writes nothing that was not promised
	_ = p.usage.log.Close()
	p.dir.Close()
}

// listen answers on the loopback address.
func (p *place) listen() *client.Seats {
	p.t.Helper()
	web := httptest.NewServer(p.Handler(true))
	p.t.Cleanup(web.Close)
	s, err := client.NewSeats(web.URL, client.Options{Attempts: 1})
	must(p.t, err)
	p.t.Cleanup(s.Close)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err error, code refusal.Code) *refusal.Refusal {
	t.Helper()
	r, ok := refusal.As(err)
	if !ok || r.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return r
}

func person(n int) seats.Client {
	return seats.Client{ID: fmt.Sprintf("start-%d-%s", n, rand.Text()), Host: fmt.Sprintf("host-%d", n), User: fmt.Sprintf("user-%d", n), PID: int64(n)}
}

func claimOf(n int) wire.LeaseRequest {
	return wire.LeaseRequest{Product: "CAD-PRO", Client: person(n), Nonce: rand.Text()}
}

// claim takes a seat without HTTP.
func (p *place) claim(n int) (granted, error) {
	return p.Claim(seats.Caller{Client: person(n), Local: true}, seats.Claim{Product: "CAD-PRO", Nonce: rand.Text()})
}

func (p *place) pool() seats.PoolView {
	p.t.Helper()
	pools := p.Pools()
	if len(pools) != 1 {
		p.t.Fatalf("%d pools", len(pools))
	}
	return pools[0]
}

func (p *place) file(name string) string { return filepath.Join(p.home, folder, name) }

func private(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s: %v, %v", path, info, err)
	}
}
