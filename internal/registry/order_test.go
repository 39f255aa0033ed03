package registry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/wire"
)

// TestLogKeepsTheOrderOfServers: what two servers did about one thing stands in the
// audit log in the order in which they did it, though their clocks differ. Whoever
// reads the log relies on it.
func TestLogKeepsTheOrderOfServers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1001", wire.OrderItem{Product: "CAD"})
		x := b.box()
		x.program(ticket(o.Ticket))
		x.receipt()
		late := b.cfg
		late.DB, late.Now = open(), func() time.Time { return b.now.Add(-time.Hour) }
		other, err := registry.Open(t.Context(), late)
		must(t, err)

		ctx := context.Background()
		for range 3 {
			_, err := b.BlockContainer(ctx, b.admin, x.state.Serial, "stolen")
			must(t, err)
			_, err = other.UnblockContainer(ctx, b.admin, x.state.Serial, "found")
			must(t, err)
		}
		_, err = b.Sequence(ctx)
		must(t, err)
		var got []string
		must(t, b.db.Read(ctx, func(tx *store.Tx) error {
			events, err := tx.LogEvents(0, "", 1000)
			got = nil
			for _, e := range events {
				if e.Name == "container_blocked" || e.Name == "container_unblocked" {
					got = append(got, e.Name)
				}
			}
			return err
		}))
		want := slices.Repeat([]string{"container_blocked", "container_unblocked"}, 3)
		if !slices.Equal(got, want) {
			t.Errorf("the log says %q", got)
		}
	})
}
