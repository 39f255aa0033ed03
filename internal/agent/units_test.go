package agent_test

import (
	"crypto/rand"
	"encoding/json"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
	"licet/wire"
)

// counted is CAD-PRO with units.
func counted(units int64) container.Body {
	b := cad()
	b.Terms.Units = units
	return b
}

// taking is a call that takes units of CAD-PRO.
func taking(units int64) agent.TakeRequest {
	nonce := make([]byte, len(container.Nonce{}))
	rand.Read(nonce)
	return agent.TakeRequest{OpenRequest: agent.OpenRequest{Product: "CAD-PRO", Nonce: nonce}, Units: units}
}

// takes takes units and wants so many to be left.
func (c *computer) takes(in agent.TakeRequest, left int64) agent.Taken {
	c.t.Helper()
	out, err := c.Take(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	if out.Counter == nil || out.Counter.Left != left {
		c.t.Fatalf("%+v, want %d left", out.Counter, left)
	}
	return out
}

func TestTake(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(counted(10))
	c.activate(ticket)
	id := v.Licenses(ticket)[0]
	if u := c.check(refusal.Valid).Units; u == nil || *u != (wire.Units{Total: 10, Left: 10}) {
		t.Fatalf("%+v", u)
	}

	first := taking(3)
	out := c.takes(first, 7)
	// The answer proves itself to a program that knows the vendor alone.
	trust, err := seal.ParseTrust(v.Trust)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := seal.NewVerifier(trust)
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := verifier.License(out.Step, out.Body)
	if err != nil || body.License != id {
		t.Fatalf("%+v %v", body, err)
	}
	said, err := seal.OpenAnswer(verifier.Scope(), body.ContainerKey, out.Answer, container.Nonce(first.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	var facts agent.Facts
	if err := json.Unmarshal(said, &facts); err != nil || facts.Took != 3 || facts.Used != 3 || facts.License != id {
		t.Fatalf("%+v %v", facts, err)
	}

	// More than are left: nothing is taken, and it is said how many there are.
	c.unchanged("more than are left", func() {
		_, err := c.Take(t.Context(), taking(8))
		if no := want(t, err, refusal.UnitsSpent); no.Details["left"] != int64(7) && no.Details["left"] != float64(7) || no.Details["asked"] == nil {
			t.Fatalf("%+v", no)
		}
	})
	c.check(refusal.Valid, terms.Use{Units: 7})
	c.check(refusal.UnitsSpent, terms.Use{Units: 8})

	// The same call again takes nothing more, also by the next program, and through the agent.
	c.unchanged("the same call", func() { c.takes(first, 7) })
	c.serve()
	c.unchanged("the same call to the agent", func() { c.takes(first, 7) })
	other := first
	other.Units = 4
	_, err = c.Take(t.Context(), other)
	want(t, err, refusal.Conflict)
	last := c.takes(taking(7), 0)
	if last.Verdict.Code != refusal.UnitsSpent {
		t.Fatalf("%+v", last.Verdict)
	}
	_, err = c.Take(t.Context(), taking(1))
	want(t, err, refusal.UnitsSpent)
	if r := c.check(refusal.UnitsSpent); r.Reasons[0].Message != "No unit of the license is left; it had 10." || r.Units.Left != 0 {
		t.Fatalf("%+v", r)
	}
	list, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l := list.Containers[0].Licenses[0]; l.Usable || l.Code != refusal.UnitsSpent || *l.Units != (wire.Units{Total: 10, Used: 10}) {
		t.Fatalf("%+v", l)
	}

	for what, in := range map[string]func(*agent.TakeRequest){
		"no units":       func(r *agent.TakeRequest) { r.Units = 0 },
		"units put back": func(r *agent.TakeRequest) { r.Units = -1 },
		"no nonce":       func(r *agent.TakeRequest) { r.Nonce = nil },
		"no product":     func(r *agent.TakeRequest) { r.Product = "" },
	} {
		r := taking(1)
		in(&r)
		if _, err := c.Take(t.Context(), r); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := taking(1)
	r.Product = "ANOTHER"
	_, err = c.Take(t.Context(), r)
	want(t, err, refusal.NoLicense)
}

// TestTakeOrder: of several licenses the one that ends first is used up first, then
// the one with fewest left; one without a counter gives any number, and comes before
// all.
func TestTakeOrder(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	month := counted(5)
	month.Terms.ExpiresAt = license.At(clk.Now().Add(720 * time.Hour))
	many, few, ends := v.Sell(counted(9)), v.Sell(counted(4)), v.Sell(month)
	for _, ticket := range []license.Ticket{many, few, ends} {
		c.activate(ticket)
	}
	from := func(n int64) license.ID {
		t.Helper()
		out, err := c.Take(t.Context(), taking(n))
		if err != nil {
			t.Fatal(err)
		}
		return out.License
	}
	id := func(ticket license.Ticket) license.ID { return v.Licenses(ticket)[0] }
	for _, step := range []struct {
		n    int64
		want license.Ticket
	}{{3, ends}, {3, few}, {2, ends}, {2, many}, {1, few}, {7, many}} {
		if got := from(step.n); got != id(step.want) {
			t.Fatalf("%d units came from %s, want %s", step.n, got, id(step.want))
		}
	}
	_, err := c.Take(t.Context(), taking(1))
	want(t, err, refusal.UnitsSpent)
	free := v.Sell(cad())
	c.activate(free)
	c.unchanged("without a counter", func() {
		out, err := c.Take(t.Context(), taking(1<<40))
		if err != nil || out.License != id(free) || out.Counter != nil {
			t.Fatalf("%+v %v", out, err)
		}
	})

	// What may not be used gives no units.
	c = newComputer(t, clk, v)
	c.activate(v.Sell(month))
	clk.move(721 * time.Hour)
	c.unchanged("expired", func() {
		_, err := c.Take(t.Context(), taking(1))
		want(t, err, refusal.Expired)
	})
}

// TestTakeRace: many programs at once, with the agent and without, never take the
// same unit, and none is lost.
func TestTakeRace(t *testing.T) {
	for _, served := range []bool{false, true} {
		clk := newClock()
		v := newVendor(t, clk)
		c := newComputer(t, clk, v)
		c.activate(v.Sell(counted(20)))
		if served {
			c.serve()
		}
		var got, refused atomic.Int64
		var programs sync.WaitGroup
		for range 6 {
			programs.Go(func() {
				program := agent.Connect(c.config())
				for range 2 {
					switch _, err := program.Take(t.Context(), taking(2)); {
					case err == nil:
						got.Add(2)
					case refusal.Is(err, refusal.UnitsSpent):
						refused.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		programs.Wait()
		if got.Load() != 20 || refused.Load() != 2 {
			t.Fatalf("served %t: %d units taken, %d refused", served, got.Load(), refused.Load())
		}
		c.check(refusal.UnitsSpent)
	}
}

// TestTakeOnFailingDisk: whatever fails, nobody is told of units that are not
// counted, and the same call again takes them once.
func TestTakeOnFailingDisk(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	for at := 1; ; at++ {
		c := newComputer(t, clk, v)
		c.activate(v.Sell(counted(10)))
		n := 0
		c.disk.Fault = func(durable.Op, string) error {
			if n++; n >= at {
				return syscall.EIO
			}
			return nil
		}
		in := taking(3)
		_, err := c.Take(t.Context(), in)
		c.disk.Fault = nil
		if err == nil && n < at {
			if at < 4 {
				t.Fatalf("only %d operations failed", at)
			}
			return
		}
		if err != nil {
			want(t, err, refusal.StorageFull)
		} else if left := c.check(refusal.Valid).Units.Left; left != 7 {
			t.Fatalf("at %d: told, and %d are left", at, left)
		}
		c.takes(in, 7)
	}
}

// TestCountersOutliveReturns: what was used is told by the return's receipt, and the
// license begins where it ended when it comes back here.
func TestCountersOutliveReturns(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(counted(10))
	c.activate(ticket)
	c.takes(taking(4), 6)
	if _, err := c.Deactivate(t.Context(), agent.DeactivateRequest{All: true}); err != nil {
		t.Fatal(err)
	}
	if told := v.Told(); len(told) != 1 || told[0] != (container.Counted{License: v.Licenses(ticket)[0], Generation: 1, Used: 4}) {
		t.Fatalf("%+v", told)
	}
	c.activate(ticket)
	c.takes(taking(1), 5)
}
