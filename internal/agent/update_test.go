package agent_test

import (
	"slices"
	"testing"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// boxes makes n containers of one vendor, each with a license.
func (c *computer) boxes(v *vendortest.Vendor, n int) (serials []license.Serial, ids []license.ID) {
	c.t.Helper()
	for range n {
		r, err := c.Activate(c.t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}, Container: agent.NewContainer, Central: v.URL})
		if err != nil {
			c.t.Fatal(err)
		}
		serials, ids = append(serials, r.Container), append(ids, r.Applied[0].License)
	}
	return serials, ids
}

func countOf(list []string, what string) (n int) {
	for _, l := range list {
		if l == what {
			n++
		}
	}
	return n
}

// TestOneContactForAllContainers of a vendor: each container's answer is applied
// by itself, and a server that is older is asked for each.
func TestOneContactForAllContainers(t *testing.T) {
	for _, old := range []bool{false, true} {
		clk := newClock()
		v, other := newVendor(t, clk), newVendor(t, clk)
		c := newComputer(t, clk, v, other)
		serials, ids := c.boxes(v, 3)
		if _, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{other.Sell(cad())}, Central: other.URL}); err != nil {
			t.Fatal(err)
		}
		v.Old = old
		v.Withdraw(ids[0])
		v.Lock(serials[2], container.Close)
		before := len(v.Calls())
		results, err := c.Update(t.Context(), agent.UpdateRequest{})
		if err != nil || len(results) != 4 {
			t.Fatalf("%+v %v", results, err)
		}
		for _, r := range results {
			if r.Error != nil || len(r.Outcomes) > 0 && r.Outcomes[0].Refused() {
				t.Fatalf("%+v", r)
			}
			switch at := slices.Index(serials, r.Container); {
			case at == 0 && (len(r.Applied) != 1 || r.Applied[0].Cause != container.ByVendor || r.Applied[0].Phase != "withdraw" || r.Receipt != "delivered"),
				at == 1 && len(r.Applied) != 0,
				at == 2 && (len(r.Applied) != 1 || r.Applied[0].Op != "lock"):
				t.Fatalf("container %d: %+v", at, r)
			}
		}
		calls := v.Calls()[before:]
		if together, alone := countOf(calls, wire.PathUpdates), countOf(calls, wire.PathProgram); together != 1 || old && alone != 3 || !old && alone != 0 {
			t.Fatalf("old %v: %q", old, calls)
		}
		if v.State(ids[0]) != license.Gone {
			t.Fatalf("withdrawn: %s", v.State(ids[0]))
		}
	}
}

// TestOneContactLost: requests whose answers are lost are sent again byte for byte,
// and what was granted comes.
func TestOneContactLost(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	_, ids := c.boxes(v, 2)
	v.Withdraw(ids[0])
	v.Withdraw(ids[1])
	v.Cut(func(path string) (cut, commit bool) { return path == wire.PathUpdates, true })
	results, err := c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || results[0].Error == nil || results[0].Error.Code != refusal.CentralUnreachable || results[1].Error == nil {
		t.Fatalf("%+v %v", results, err)
	}
	sent := v.Sent()
	v.Cut(nil)
	results, err = c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || results[0].Error != nil || len(results[0].Applied) != 1 || len(results[1].Applied) != 1 {
		t.Fatalf("%+v %v", results, err)
	}
	again := v.Sent()[len(sent):]
	if string(again[0]) != string(sent[len(sent)-2]) || string(again[1]) != string(sent[len(sent)-1]) {
		t.Fatal("other bytes were sent")
	}
}

// TestLockedContainer: nothing in it may be used, whoever looks, until an update
// unlocks it.
func TestLockedContainer(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	c.activate(ticket)
	v.Lock(c.serial(), container.Close)
	c.check(refusal.Valid)
	if _, err := c.Update(t.Context(), agent.UpdateRequest{}); err != nil {
		t.Fatal(err)
	}
	c.check(refusal.ContainerBlocked)
	p, err := c.Prove(t.Context(), agent.OpenRequest{Vendor: v.ID(), Product: "CAD-PRO", Use: terms.Use{}, Nonce: make([]byte, 16)})
	if err != nil || p.Verdict.Code != refusal.ContainerBlocked || p.Body != nil || p.Answer != nil {
		t.Fatalf("%+v %v", p, err)
	}
	one, err := c.Show(t.Context(), agent.ContainerRequest{})
	if err != nil || one.Status != agent.StatusBlocked || one.Reason == "" || one.Licenses[0].Code != refusal.ContainerBlocked {
		t.Fatalf("%+v %v", one, err)
	}
	r, err := c.Doctor(t.Context(), agent.DoctorRequest{})
	if err != nil || !slices.Contains(r.Problems, one.Reason) {
		t.Fatalf("%q %v", r.Problems, err)
	}
	v.Lock(c.serial(), container.Open)
	results, err := c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || len(results[0].Applied) != 1 || results[0].Applied[0].Op != "unlock" {
		t.Fatalf("%+v %v", results, err)
	}
	c.check(refusal.Valid)
}
