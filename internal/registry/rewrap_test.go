package registry_test

import (
	"crypto/rand"
	"slices"
	"testing"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// TestRewrap: under a new secret everything opens that opened before, and with the old
// one nothing does; killed in between, it goes on.
func TestRewrap(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 2})
		once := registry.Once{Key: "k", Hash: [32]byte{1}}
		second, err := b.CreateOrder(t.Context(), b.admin, wire.OrderRequest{Customer: "C", Items: []wire.OrderItem{{Product: "CAD", Quantity: 1}}}, once)
		must(t, err)
		x := b.box()
		x.program(ticket(o.Ticket))

		old := slices.Clone(b.cfg.Secret)
		fresh := make([]byte, 32)
		rand.Read(fresh)
		b.cfg.Secret = slices.Concat(old, fresh)
		both, err := b.another()
		must(t, err)
		done, err := both.Rewrap(t.Context(), registry.System)
		must(t, err)
		if done < 7 { // four keys, two tickets, one answer
			t.Errorf("%d values", done)
		}
		if again, err := both.Rewrap(t.Context(), registry.System); err != nil || again != 0 {
			t.Errorf("again: %d, %v", again, err)
		}
		// One that a server wrote under the old secret meanwhile.
		late := b.order("2", wire.OrderItem{Product: "CAD"})
		if n, err := both.Rewrap(t.Context(), registry.System); err != nil || n != 1 {
			t.Errorf("%d values, %v", n, err)
		}
		b.cfg.Secret = old
		if _, err := b.another(); err == nil {
			t.Error("the old secret opens the keys")
		}
		vault, err := seal.NewVault(old)
		must(t, err)
		must(t, b.db.Read(t.Context(), func(tx *store.Tx) error {
			tickets, err := tx.SealedTickets("", 10)
			must(t, err)
			answers, err := tx.SealedAnswers([2]string{}, 10)
			must(t, err)
			if len(tickets) != 3 || len(answers) == 0 {
				t.Errorf("%d tickets, %d answers", len(tickets), len(answers))
			}
			for _, s := range slices.Concat(tickets, answers) {
				for _, column := range []string{"sealed", "answer"} {
					if _, err := vault.Open(seal.Place{Table: s.Table, Row: s.Row, Column: column}, s.Value); err == nil {
						t.Errorf("%s %s opens with the old secret", s.Table, s.Row)
					}
				}
			}
			return nil
		}))
		b.cfg.Secret = slices.Concat(old, fresh)
		b.Registry = both
		for _, want := range []wire.Order{o, second, late} {
			got, err := b.Order(t.Context(), b.admin, want.Number)
			must(t, err)
			if got.Ticket != want.Ticket {
				t.Errorf("the ticket is %q, was %q", got.Ticket, want.Ticket)
			}
		}
		same, err := b.CreateOrder(t.Context(), b.admin, wire.OrderRequest{Customer: "C", Items: []wire.OrderItem{{Product: "CAD", Quantity: 1}}}, once)
		must(t, err)
		if same.Order != second.Order {
			t.Errorf("sold again: %s", same.Order)
		}
		if out := b.box().program(ticket(second.Ticket)); out[0].Code != refusal.Done { // looked up by its hash
			t.Errorf("%+v", out)
		}
		b.whole()
	})
}
