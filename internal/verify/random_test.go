package verify_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestRandomHistoriesAreClean does anything in any order, old copies of
// containers and lost answers included: what the product writes is clean.
func TestRandomHistoriesAreClean(t *testing.T) {
	if os.Getenv("LICET_TEST_LONG") == "" {
		defer flag.Set("rapid.checks", flag.Lookup("rapid.checks").Value.String())
		must(t, flag.Set("rapid.checks", "20"))
	}
	folder := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, fmt.Sprint(run, ".db")))
		must(t, err)
		defer db.Close()
		b := newBook(t, db)
		var orders []wire.Order
		var boxes []*box
		for range 2 {
			boxes = append(boxes, b.box())
		}
		add := func() {
			number := fmt.Sprint(rapid.IntRange(1, 3).Draw(rt, "order"))
			product := rapid.SampledFrom([]string{"CAD", "TEAM", "TEAM", "TEAM", "YEAR", "AUTO", "ONCE", "BACK", "THEFT"}).Draw(rt, "product")
			orders = append(orders, b.order(number, wire.OrderItem{Product: product, Quantity: int64(rapid.IntRange(1, 3).Draw(rt, "quantity"))}))
		}
		add()
		some := func() *box { return boxes[rapid.IntRange(0, len(boxes)-1).Draw(rt, "box")] }
		wish := func(x *box) container.Wishes {
			w := container.Wishes{Pending: rapid.Bool().Draw(rt, "pending")}
			if rapid.Bool().Draw(rt, "activate") {
				w.Tickets = []license.Ticket{rapid.SampledFrom(orders).Draw(rt, "of").Ticket}
			}
			for id := range x.state.Held {
				if rapid.Bool().Draw(rt, "return") {
					w.Return = append(w.Return, id)
					if rapid.Bool().Draw(rt, "some") {
						w.Amounts = append(w.Amounts, container.Amount{License: id, Seats: rapid.Int64Range(1, 3).Draw(rt, "seats")})
					}
				}
			}
			if len(w.Tickets) > 0 && rapid.Bool().Draw(rt, "named") {
				of := rapid.SampledFrom(orders).Draw(rt, "named of")
				id := of.Licenses[rapid.IntRange(0, len(of.Licenses)-1).Draw(rt, "named license")].ID
				w.Tickets, w.Activate = append(w.Tickets, of.Ticket), append(w.Activate, id)
				w.Amounts = append(w.Amounts, container.Amount{License: id, Seats: rapid.Int64Range(1, 5).Draw(rt, "wanted")})
			}
			if w.None() {
				w.Pending = true
			}
			return w
		}
		// What the vendor's people do; what is refused changes nothing.
		try := func(err error) {
			if _, ok := refusal.As(err); err != nil && !ok {
				rt.Fatal(err)
			}
		}
		var of wire.Order // that of the license drawn last
		one := func() license.ID {
			b.tick()
			of = rapid.SampledFrom(orders).Draw(rt, "order of")
			return of.Licenses[rapid.IntRange(0, len(of.Licenses)-1).Draw(rt, "license")].ID
		}
		rt.Repeat(map[string]func(*rapid.T){
			"order":    func(*rapid.T) { add() },
			"ask":      func(*rapid.T) { x := some(); x.ask(wish(x)) },
			"program":  func(*rapid.T) { x := some(); x.program(wish(x)) },
			"receipt":  func(*rapid.T) { some().receipt() },
			"copy":     func(*rapid.T) { boxes = append(boxes, some().copy()) },
			"sequence": func(*rapid.T) { b.sequence() },
			"withdraw": func(*rapid.T) {
				_, err := b.Withdraw(t.Context(), b.admin, []license.ID{one()}, "x", false)
				try(err)
			},
			"replace": func(*rapid.T) {
				o, err := b.Replace(t.Context(), b.admin, one(), "TEAM", "x", false)
				if err == nil { // what came is taken for one that was sold
					of.Licenses = []wire.License{b.license(o.Done[0].With)}
					orders = append(orders, of)
				}
				try(err)
			},
			"assign": func(*rapid.T) {
				_, err := b.Assign(t.Context(), b.admin, one(), some().state.Serial, "x", false)
				try(err)
			},
			"cancel": func(*rapid.T) {
				_, err := b.CancelPending(t.Context(), b.admin, one(), "x")
				try(err)
			},
			"declare lost": func(*rapid.T) {
				_, err := b.DeclareLost(t.Context(), b.admin, one(), "x")
				try(err)
			},
			"allow": func(*rapid.T) {
				_, err := b.EnableRestore(t.Context(), b.admin, []license.ID{one()}, 1, "x")
				try(err)
			},
			"lose": func(*rapid.T) {
				b.tick()
				req := wire.RestoreRequest{Tickets: []string{string(rapid.SampledFrom(orders).Draw(rt, "lost").Ticket)}, Reason: "x", Accept: true}
				if rapid.Bool().Draw(rt, "whole") {
					some().whole(&req)
				}
				_, err := b.RequestRestore(t.Context(), req)
				try(err)
			},
			"decide": func(*rapid.T) {
				b.tick()
				open, err := b.Recoveries(t.Context(), b.admin, true, "", 1)
				must(t, err)
				for _, r := range open.Items {
					if rapid.Bool().Draw(rt, "approve") {
						_, err = b.ApproveRecovery(t.Context(), b.admin, r.Number, wire.Approval{Reason: "x", Stop: license.StopBlock})
					} else {
						_, err = b.RefuseRecovery(t.Context(), b.admin, r.Number, "x")
					}
					try(err)
				}
			},
			"block": func(*rapid.T) {
				b.tick()
				_, err := b.BlockContainer(t.Context(), b.admin, some().state.Serial, "x")
				try(err)
			},
			"unblock": func(*rapid.T) {
				b.tick()
				_, err := b.UnblockContainer(t.Context(), b.admin, some().state.Serial, "x")
				try(err)
			},
			"push": func(*rapid.T) {
				b.tick()
				_, err := b.Push(t.Context(), b.admin, some().state.Serial)
				try(err)
			},
			"import": func(*rapid.T) {
				if x := some(); x.file != nil {
					x.imports()
				}
			},
			"accept": func(*rapid.T) {
				_, err := b.AcceptContainer(t.Context(), b.admin, some().state.Serial, "as it is")
				if _, ok := refusal.As(err); err != nil && !ok {
					rt.Fatal(err)
				}
			},
		})
		r, err := verify.Run(t.Context(), db, verify.Options{Trust: b.file})
		must(t, err)
		for _, f := range r.Findings {
			rt.Error(f)
		}
	})
}
