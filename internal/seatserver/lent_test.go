package seatserver

import (
	"testing"
	"time"

	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
)

// TestVendorHearsOfLoans: a license of which a seat is lent is not returned before
// the loan is over, and a return that was asked for before the seat was lent waits
// (docs/protocol.md, section 10).
func TestVendorHearsOfLoans(t *testing.T) {
	p := newPlace(t, cad(5))
	ctx := t.Context()
	list, err := p.agent.Shared(ctx)
	must(t, err)
	id := list[0].Licenses[0].Body.License
	returns := agent.DeactivateRequest{Licenses: []license.ID{id}}

	// Asked for with no seat lent, and answered; then a seat is lent.
	early, err := p.agent.Request(ctx, agent.RequestRequest{Deactivate: []license.ID{id}})
	must(t, err)
	_, err = p.borrow()
	must(t, err)
	update, err := p.vendor.Program(early.Data)
	must(t, err)
	for range 2 {
		if _, err = p.agent.Import(ctx, agent.ImportRequest{Data: update}); !refusal.Is(err, refusal.SeatsOnLoan) {
			t.Fatalf("the license left under a loan: %v", err)
		}
	}
	if s := p.vendor.State(id); s != license.Returning {
		t.Fatalf("it is %s", s)
	}
	// What is about to leave is not lent again; what stays for now is, as soon as the
	// containers were looked at.
	if _, err := p.borrow(); !refusal.Is(err, refusal.NoLicense) {
		t.Fatalf("lent from a license that was about to leave: %v", err)
	}
	p.Refresh(ctx)
	_, err = p.borrow()
	must(t, err)
	p.clock.move(25 * time.Hour)
	p.Tick()
	_, err = p.agent.Import(ctx, agent.ImportRequest{Data: update})
	must(t, err)
	if _, err := p.borrow(); !refusal.Is(err, refusal.NoLicense) { // nobody has looked yet
		t.Fatalf("lent from a license that has left: %v", err)
	}
	p.Refresh(ctx)
	if _, err := p.borrow(); !refusal.Is(err, refusal.NoLicense) {
		t.Fatal(err)
	}

	// Asked for with a seat lent: the vendor's refusal.
	p = newPlace(t, cad(5))
	list, err = p.agent.Shared(ctx)
	must(t, err)
	returns.Licenses = []license.ID{list[0].Licenses[0].Body.License}
	_, err = p.borrow()
	must(t, err)
	result, err := p.agent.Deactivate(ctx, returns)
	if err == nil {
		if len(result.Outcomes) != 1 || result.Outcomes[0].Code != refusal.SeatsOnLoan {
			t.Fatalf("%+v", result)
		}
	} else if !refusal.Is(err, refusal.SeatsOnLoan) {
		t.Fatal(err)
	}
	p.clock.move(25 * time.Hour)
	p.Tick()
	result, err = p.agent.Deactivate(ctx, returns)
	must(t, err)
	if p.vendor.State(returns.Licenses[0]) != license.Returned {
		t.Fatalf("%+v", result)
	}
}
