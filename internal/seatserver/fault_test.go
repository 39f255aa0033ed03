package seatserver

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"syscall"
	"testing"

	"licet/container"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
)

// borrow asks for a loan into a new container.
func (p *place) borrow() (seats.LeaseID, error) {
	p.t.Helper()
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(p.t, err)
	file, err := seal.SignLoanRequest(p.verifier.Scope(), keys, license.Machine, seats.LoanWish{
		Product: "CAD-PRO", Kind: seats.Loan, Seats: 1, Number: 1, For: license.Day, Nonce: rand.Text(), Client: seats.Client{ID: rand.Text(), Host: "h", User: "u"},
		Holds: []seats.Held{}, Returned: []seats.LeaseID{}, Features: []string{},
	})
	must(p.t, err)
	answer, err := p.Lend(p.t.Context(), seats.Caller{Local: true}, file)
	if err != nil {
		return "", err
	}
	a, err := p.verifier.OpenLoanAnswer(answer, keys)
	must(p.t, err)
	if i := slices.IndexFunc(a.Outcomes, container.Outcome.Refused); i >= 0 {
		return "", refusal.New(a.Outcomes[i].Code, "%s", a.Outcomes[i].Message)
	}
	return a.Lease.ID, nil
}

// TestFaults lets the disk fail at every call that writes, for good: what was
// answered is there afterwards, what was given back stays so, and from the failure on
// nothing is given out (R26).
func TestFaults(t *testing.T) {
	calls := 0
	count(t, func(durable.Op) error { calls++; return nil }, nil)
	if calls < 12 {
		t.Fatalf("only %d calls write", calls)
	}
	for fail := 1; fail <= calls; fail++ {
		n, what := 0, durable.Op("")
		count(t, func(op durable.Op) error {
			if n++; n < fail {
				return nil
			}
			if n == fail {
				what = op
			}
			return syscall.EIO
		}, func(p *place, told, gone []seats.LeaseID) {
			if r := p.stopped; r != nil && r.Code != refusal.StorageFull {
				t.Errorf("call %d (%s): stopped with %v", fail, what, r)
			}
			p.disk.Fault = nil
			p.crash()
			p.start()
			if v := p.pool(); v.Until != 0 {
				t.Fatalf("call %d (%s): the record counts as lost: %+v", fail, what, v)
			}
			there := map[seats.LeaseID]bool{}
			for _, l := range p.Leases() {
				there[l.Lease] = true
			}
			for _, id := range told {
				if !there[id] {
					t.Errorf("call %d (%s): the seat %s was given out and is not there", fail, what, id)
				}
			}
			for _, id := range gone {
				if there[id] {
					t.Errorf("call %d (%s): the seat %s was given back and is there", fail, what, id)
				}
			}
			_, err := p.claim(99)
			must(t, err)
		})
	}
}

// count lives through some claims, releases, a loan and a new ledger file with a disk
// that may fail, and hands over what was answered.
func count(t *testing.T, fault func(durable.Op) error, then func(p *place, told, gone []seats.LeaseID)) {
	t.Helper()
	p := newPlace(t, cad(20))
	p.disk.Fault = func(op durable.Op, name string) error {
		if name == ledgerName || op == durable.OpFsyncDir {
			return fault(op)
		}
		return nil
	}
	var told, gone []seats.LeaseID
	failed := false
	see := func(err error) bool {
		if err == nil {
			if failed {
				t.Error("something was answered after the disk had failed")
			}
			return true
		}
		want(t, err, refusal.StorageFull)
		failed = true
		return false
	}
	for i := range 5 {
		if g, err := p.claim(i); see(err) {
			if i%2 == 0 {
				told = append(told, g.Lease.ID)
			} else if see(p.Release(g.Lease.ID, g.Token)) {
				gone = append(gone, g.Lease.ID) // what was not answered may be so or not
			}
		}
		if i == 2 {
			if id, err := p.borrow(); see(err) {
				told = append(told, id)
			}
			if p.stopped == nil {
				p.mu.Lock()
				group := p.ledger.Compact(p.snapshot())
				p.mu.Unlock()
				_ = group.Wait() // the next claim says so
			}
		}
	}
	if then != nil {
		if !failed {
			t.Error("nothing failed")
		}
		then(p, told, gone)
	}
}

// TestHeals goes on by itself once the disk can be written again: in a new file,
// with everything that was answered.
func TestHeals(t *testing.T) {
	p := newPlace(t, cad(5))
	g, err := p.claim(1)
	must(t, err)
	full := true
	p.disk.Fault = func(op durable.Op, name string) error {
		if full && (op == durable.OpSync || op == durable.OpWrite) {
			return syscall.ENOSPC
		}
		return nil
	}
	_, err = p.claim(2)
	want(t, err, refusal.StorageFull)
	p.heal(context.Background())
	_, err = p.claim(2)
	want(t, err, refusal.StorageFull)
	if status, _ := p.ask("POST", "/v1/leases", "", string(claimBody(3))); status != 507 {
		t.Errorf("%d", status)
	}
	if _, err := p.Extend(g.Lease.ID, g.Token, ""); err != nil {
		t.Errorf("who has a seat cannot keep it: %v", err)
	}
	full = false
	p.heal(context.Background())
	for i := range 3 {
		_, err := p.claim(10 + i)
		must(t, err)
	}
	_, err = p.Extend(g.Lease.ID, g.Token, "")
	must(t, err)
	if errors.Is(p.ledger.Err(), syscall.ENOSPC) {
		t.Error("still failed")
	}
	p.crash()
	p.start()
	if v := p.pool(); v.Leased < 4 {
		t.Errorf("%+v", v)
	}
}
