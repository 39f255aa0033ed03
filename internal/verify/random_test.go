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
			product := rapid.SampledFrom([]string{"CAD", "TEAM", "YEAR"}).Draw(rt, "product")
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
				}
			}
			if w.None() {
				w.Pending = true
			}
			return w
		}
		rt.Repeat(map[string]func(*rapid.T){
			"order":    func(*rapid.T) { add() },
			"ask":      func(*rapid.T) { x := some(); x.ask(wish(x)) },
			"program":  func(*rapid.T) { x := some(); x.program(wish(x)) },
			"receipt":  func(*rapid.T) { some().receipt() },
			"copy":     func(*rapid.T) { boxes = append(boxes, some().copy()) },
			"sequence": func(*rapid.T) { b.sequence() },
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
