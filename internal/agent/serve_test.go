package agent_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
)

// serve starts an agent on the computer's home and waits for its socket.
func (c *computer) serve() (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- agent.Open(c.config()).Serve(ctx, agent.Serving{Refresh: -1, Ready: func(s string) { ready <- s }})
	}()
	select {
	case <-ready:
	case err := <-done:
		c.t.Fatalf("serve: %v", err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				c.t.Errorf("serve: %v", err)
			}
		})
	}
	c.t.Cleanup(stop)
	return stop
}

// TestSocketGivesTheSame does the same things directly and through an agent.
func TestSocketGivesTheSame(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	direct, served := newComputer(t, clk, v), newComputer(t, clk, v)
	served.serve()
	type outcome struct {
		Code    refusal.Code
		Message string
		Counter uint64
	}
	run := func(c *computer) (list []outcome) {
		note := func(counter uint64, err error) {
			o := outcome{Counter: counter}
			if err != nil {
				r, ok := refusal.As(err)
				if !ok {
					t.Fatal(err)
				}
				o.Code, o.Message = r.Code, r.Message
			}
			list = append(list, o)
		}
		ticket := v.Sell(cad())
		_, err := c.Receipt(t.Context(), agent.ReceiptRequest{})
		note(0, err)
		r, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
		note(r.Counter, err)
		got := c.check(refusal.Valid)
		list = append(list, outcome{Code: got.Code})
		_, err = c.Import(t.Context(), agent.ImportRequest{Data: v.Trust})
		note(0, err)
		_, err = c.Import(t.Context(), agent.ImportRequest{Data: []byte("x")})
		note(0, err)
		d, err := c.Deactivate(t.Context(), agent.DeactivateRequest{All: true})
		note(d.Counter, err)
		_, err = c.Show(t.Context(), agent.ContainerRequest{Container: "NONE"})
		note(0, err)
		c.check(refusal.NoLicense)
		return list
	}
	if a, b := run(direct), run(served); !reflect.DeepEqual(a, b) {
		t.Fatalf("directly %+v\nby socket %+v", a, b)
	}
	r, err := served.Doctor(t.Context(), agent.DoctorRequest{Reach: true})
	if err != nil || r.Agent != "runs" || r.Trust[0].Reach != "ok" {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestOneAgentPerHome(t *testing.T) {
	clk := newClock()
	c := newComputer(t, clk, newVendor(t, clk))
	socket := filepath.Join(c.home, "agent.sock")
	stop := c.serve()
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	err = agent.Open(c.config()).Serve(t.Context(), agent.Serving{Refresh: -1})
	want(t, err, refusal.Conflict)
	stop()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Fatalf("the socket is still there: %v", err)
	}
	// What a killed agent leaves does not matter.
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := c.TrustList(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.serve()
}

// TestRace lets many commands and two agents start at the same time.
func TestRace(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	var tickets []license.Ticket
	for range 6 {
		tickets = append(tickets, v.Sell(cad()))
	}
	c.activate(v.Sell(cad()))
	ctx, cancel := context.WithCancel(t.Context())
	var agents, commands sync.WaitGroup
	for range 2 {
		agents.Go(func() {
			err := agent.Open(c.config()).Serve(ctx, agent.Serving{Refresh: -1})
			if err != nil && ctx.Err() == nil && !refusal.Is(err, refusal.Conflict) {
				t.Error(err)
			}
		})
	}
	for _, ticket := range tickets {
		commands.Go(func() {
			client := agent.Connect(c.config())
			if _, err := client.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}}); err != nil {
				t.Error(err)
			}
		})
		commands.Go(func() {
			if r, err := agent.Connect(c.config()).Check(t.Context(), agent.CheckRequest{Product: "CAD-PRO"}); err != nil || !r.Valid {
				t.Error(r, err)
			}
		})
	}
	commands.Wait()
	cancel()
	agents.Wait()
	for _, ticket := range tickets {
		if s := v.State(v.Licenses(ticket)[0]); s != license.Collected {
			t.Errorf("%s", s)
		}
	}
}

func TestLongHome(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk)
	c.home = filepath.Join(c.home, strings.Repeat("long/", 30))
	c.Client = agent.Connect(c.config())
	c.serve()
	if _, err := c.TrustAdd(t.Context(), agent.TrustRequest{File: v.Trust}); err != nil {
		t.Fatal(err)
	}
	c.activate(v.Sell(cad()))
	r, err := c.Doctor(t.Context(), agent.DoctorRequest{})
	if err != nil || r.Agent != "runs" {
		t.Fatalf("%+v %v", r, err)
	}
}

// TestStopRaisesFloor: a clock set back while the agent was off is noticed.
func TestStopRaisesFloor(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	c.activate(v.Sell(cad()))
	stop := c.serve()
	clk.move(48 * time.Hour)
	stop()
	clk.move(-24 * time.Hour)
	c.check(refusal.ClockBehind)
}

// TestProof: a program verifies with the vendor's key alone, and only the
// container's key answers its nonce.
func TestProof(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	c.activate(v.Sell(cad()))
	c.serve()
	nonce := container.Nonce{1, 2, 3}
	p, err := c.Prove(t.Context(), agent.OpenRequest{Vendor: v.ID(), Product: "CAD-PRO", Use: terms.Use{Features: []string{"render"}}, Nonce: nonce[:]})
	if err != nil || !p.Verdict.Valid {
		t.Fatalf("%+v %v", p, err)
	}
	trust, err := seal.ParseTrust(v.Trust)
	if err != nil {
		t.Fatal(err)
	}
	trust.Certificates = nil // a program knows the root alone
	verifier, err := seal.NewVerifier(trust, p.Certificates...)
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := verifier.License(p.Step, p.Body)
	if err != nil || body.Product != "CAD-PRO" || body.Container != p.Container {
		t.Fatalf("%+v %v", body, err)
	}
	said, err := seal.OpenAnswer(trust.Scope, body.ContainerKey, p.Answer, nonce)
	if err != nil {
		t.Fatal(err)
	}
	var facts agent.Facts
	if err := json.Unmarshal(said, &facts); err != nil || facts.Code != refusal.Valid || facts.License != body.License || facts.Floor == 0 {
		t.Fatalf("%+v %v", facts, err)
	}
	if _, err := seal.OpenAnswer(trust.Scope, body.ContainerKey, p.Answer, container.Nonce{9}); err == nil {
		t.Fatal("the answer fits another nonce")
	}
	none, err := c.Prove(t.Context(), agent.OpenRequest{Product: "OTHER", Nonce: nonce[:]})
	if err != nil || none.Verdict.Code != refusal.NoLicense || none.Answer != nil {
		t.Fatalf("%+v %v", none, err)
	}
	_, err = c.Prove(t.Context(), agent.OpenRequest{Product: "CAD-PRO", Nonce: []byte("short")})
	want(t, err, refusal.InvalidInput)
}

// TestAgentRefreshes: the agent carries out by itself what the vendor orders.
func TestAgentRefreshes(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	c.activate(ticket)
	v.Withdraw(v.Licenses(ticket)[0])
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- agent.Open(c.config()).Serve(ctx, agent.Serving{Refresh: 20 * time.Millisecond}) }()
	for deadline := time.Now().Add(20 * time.Second); v.State(v.Licenses(ticket)[0]) != license.Gone; {
		if time.Now().After(deadline) {
			t.Fatal("the withdrawal did not arrive")
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.check(refusal.NoLicense)
}
