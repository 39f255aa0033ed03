package registry_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestRaceForOneLicense lets 16 machines activate one license at the same time:
// one wins, every other one is told who has it, in every round.
func TestRaceForOneLicense(t *testing.T) {
	const machines, rounds = 16, 50
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		boxes := make([]*box, machines)
		for i := range boxes {
			boxes[i] = b.box()
		}
		for round := range rounds {
			o := b.order(fmt.Sprint("race-", round), wire.OrderItem{Product: "CAD"})
			requests := make([][]byte, machines)
			answers := make([][]byte, machines)
			for i, x := range boxes {
				requests[i] = x.report(ticket(o.Ticket))
			}
			var wg sync.WaitGroup
			for i := range boxes {
				wg.Go(func() {
					var err error
					if answers[i], err = b.Program(context.Background(), requests[i]); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				t.FailNow()
			}
			winners, holder := 0, b.license(o.Licenses[0].ID).Container
			for i, x := range boxes {
				_, outcomes, no := x.imports(answers[i])
				if no != nil {
					t.Fatal(no)
				}
				switch out := outcomes[0]; {
				case out.Code == refusal.Done && holder == x.state.Serial:
					winners++
				case out.Code == refusal.LicenseInUse && out.Details["container"] == string(holder):
				default:
					t.Fatalf("round %d: machine %s got %+v; the license is with %s", round, x.state.Serial, out, holder)
				}
			}
			if winners != 1 {
				t.Fatalf("round %d: %d winners", round, winners)
			}
		}
	})
}

// TestSameRequestFromManyThreads uploads one request 50 times at once: one step,
// 50 times the same bytes (Th1).
func TestSameRequestFromManyThreads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD"})
		x := b.box()
		request := x.report(ticket(o.Ticket))
		answers := make([]string, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				a, err := b.Program(context.Background(), request)
				if err != nil {
					t.Error(err)
				}
				answers[i] = string(a)
			})
		}
		wg.Wait()
		for _, a := range answers {
			if a != answers[0] {
				t.Fatal("two different answers to one request")
			}
		}
		c, err := b.Container(t.Context(), b.admin, x.state.Serial)
		must(t, err)
		if c.Issued != 1 {
			t.Fatalf("%d steps issued for one request", c.Issued)
		}
	})
}

// TestTwoTabs serializes two different requests of one container (Sc55).
func TestTwoTabs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		x := b.box()
		var requests [][]byte
		var ids []license.ID
		for i := range 8 {
			o := b.order(fmt.Sprint(i), wire.OrderItem{Product: "CAD"})
			ids = append(ids, o.Licenses[0].ID)
			requests = append(requests, x.report(ticket(o.Ticket)))
		}
		var wg sync.WaitGroup
		answers := make([][]byte, len(requests))
		for i := range requests {
			wg.Go(func() {
				var err error
				if answers[i], err = b.Program(context.Background(), requests[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, a := range answers { // in any order, each brings what is missing
			if _, _, no := x.imports(a); no != nil && no.Code != refusal.AlreadyApplied && no.Code != refusal.OutOfDate {
				t.Fatal(no)
			}
		}
		for _, id := range ids {
			if _, ok := x.state.Held[id]; !ok {
				t.Fatalf("%s is missing", id)
			}
		}
		x.receipt()
		if out := x.program(container.Wishes{Pending: true}); len(out) != 0 {
			t.Fatalf("nothing was wished for, got %+v", out)
		}
	})
}
