package races

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// both runs a test on a book on SQLite and on one on PostgreSQL, in this process.
func both(t *testing.T, fn func(t *testing.T, b *book)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newBook(t, sqliteAddress(t))) })
	t.Run("postgres", func(t *testing.T) { fn(t, newBook(t, pgtest.URL(t))) })
}

// TestOldRequestAgain sends a request again after later requests of the same
// container were granted, none of them imported yet: it gets its first answer and
// decides nothing anew (docs/protocol.md R2, R16, Inv16).
func TestOldRequestAgain(t *testing.T) {
	both(t, func(t *testing.T, b *book) {
		ctx := t.Context()
		ticket, ids := b.order("1", 1)
		x := b.box(b)
		first, _, err := x.request(ask(ticket))
		must(t, err)
		_, err = b.Program(ctx, first)
		must(t, err)
		second, _, err := x.request(back(ids[0]))
		must(t, err)
		answer, err := b.Program(ctx, second)
		must(t, err)
		for range 2 {
			again, err := b.Program(ctx, first)
			must(t, err)
			u, err := x.open(again)
			must(t, err)
			if out := u.Outcomes[0]; out.Code != refusal.Done {
				t.Fatalf("the first request again: %+v", out)
			}
		}
		if l := b.license(ids[0]); l.State != license.Returning {
			t.Fatalf("an old request moved the license to %s", l.State)
		}
		u, err := x.open(answer)
		must(t, err)
		if no := x.imports(u); no != nil {
			t.Fatal(no)
		}
		must(t, x.receipt())
		if l := b.license(ids[0]); l.State != license.Returned {
			t.Fatalf("in the end the license is %s", l.State)
		}
		must(t, b.whole(x))
	})
}

// TestStrangerWithWrongLog sends requests of containers that nobody knows and that
// do not begin where a log begins: a refusal, and nothing is kept.
func TestStrangerWithWrongLog(t *testing.T) {
	both(t, func(t *testing.T, b *book) {
		ticket, ids := b.order("1", 1)
		for name, spoil := range map[string]func(*box){
			"plan": func(x *box) { x.state.Plan[0]++ },
			"life": func(x *box) { x.state.Life[0]++ },
		} {
			x := b.box(b)
			spoil(x)
			_, err := x.program(ask(ticket))
			if _, refused := refusal.As(err); !refused {
				t.Errorf("%s: %v", name, err)
			}
		}
		if l := b.license(ids[0]); l.State != license.NotCollected {
			t.Errorf("the license is %s", l.State)
		}
		must(t, b.whole())
	})
}

// TestOrderTakenOnce sends an order from many places at once: with one key, all
// get one answer; with the order's number alone, no license is added twice.
func TestOrderTakenOnce(t *testing.T) {
	both(t, func(t *testing.T, b *book) {
		const shops, licenses = 12, 5
		for _, c := range []struct {
			name, number string
			once         registry.Once
		}{
			{"a key and no number", "", registry.Once{Key: "key"}},
			{"a number and no key", "N1", registry.Once{}},
			{"both", "N2", registry.Once{Key: "other"}},
		} {
			req := wire.OrderRequest{Number: c.number, Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD", Quantity: licenses}}}
			orders, errs := make([]wire.Order, shops), make([]error, shops)
			var wg sync.WaitGroup
			for i := range shops {
				wg.Go(func() { orders[i], errs[i] = b.CreateOrder(t.Context(), b.admin, req, c.once) })
			}
			wg.Wait()
			added := 0
			for i, o := range orders {
				must(t, errs[i])
				if o.Order != orders[0].Order || o.Ticket != orders[0].Ticket || len(o.Licenses) != licenses {
					t.Errorf("%s: %+v, the first was %+v", c.name, o, orders[0])
				}
				added += o.Added
			}
			if c.once.Key == "" && added != licenses {
				t.Errorf("%s: %d licenses were added", c.name, added)
			}
		}
		var n int64
		must(t, b.db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("select count(*) from licenses").Scan(&n) }))
		if n != 3*licenses {
			t.Errorf("there are %d licenses", n)
		}
		must(t, b.whole())
	})
}

// TestOneVendor sets up a vendor from several processes at once: one does it, the
// others are told that it is done.
func TestOneVendor(t *testing.T) {
	for _, address := range []string{sqliteAddress(t), pgtest.URL(t)} {
		const n = 6
		dbs := make([]*store.DB, n)
		for i := range dbs {
			dbs[i] = open(t, address)
		}
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_, errs[i] = registry.Init(t.Context(), config(dbs[i], make([]byte, 32)), registry.InitRequest{Vendor: fmt.Sprint("Acme ", i), Address: "http://127.0.0.1:1"})
			})
		}
		wg.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
			} else if !refusal.Is(err, refusal.AlreadyInitialized) {
				t.Error(err)
			}
		}
		var vendors int64
		must(t, dbs[0].Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("select count(*) from vendor").Scan(&vendors) }))
		if done != 1 || vendors != 1 {
			t.Errorf("%s: %d were told that they set up the vendor; there are %d", dbs[0].Engine(), done, vendors)
		}
	}
}

// TestNoDeadlocks has machines give licenses of one big order back and take them
// again. Every transaction locks its licenses in the order of their ids, so
// PostgreSQL finds no deadlock: each would cost a second, until it is noticed.
func TestNoDeadlocks(t *testing.T) {
	const each = 6
	address := pgtest.URL(t)
	before := deadlocks(t, address)
	b := newBook(t, address)
	ticket, ids := b.order("volume", 8)
	boxes := b.boxes(8, func(int) server { return b })
	must(t, boxes[0].activates(ticket))
	must(t, boxes[0].receipt())
	errs := make([]error, len(boxes))
	var wg sync.WaitGroup
	for i, x := range boxes {
		wg.Go(func() {
			for n := range each {
				// What the report confirms has higher ids than what the ticket asks for.
				var held []license.ID
				for id := range x.state.Held {
					held = append(held, id)
				}
				w := ask(ticket)
				if len(held) > 0 && n%2 == 0 {
					w = back(slices.Max(held))
				}
				if _, errs[i] = x.program(w); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	must(t, b.whole(boxes...))
	if n := deadlocks(t, address) - before; n != 0 {
		t.Errorf("%d deadlocks among %d licenses", n, len(ids))
	}
}

// deadlocks is how many the database server has found, by its log.
func deadlocks(t *testing.T, address string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(parse(t, address).Query().Get("host"), "log"))
	must(t, err)
	return strings.Count(string(log), "deadlock detected")
}
