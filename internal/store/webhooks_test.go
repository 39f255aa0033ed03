package store_test

import (
	"context"
	"fmt"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
)

// TestDeliveriesAreForgotten: of what is done the latest are kept, with a few tries
// each; what is not done stays.
func TestDeliveriesAreForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db, ctx := open(), context.Background()
		write := func(fn func(tx *store.Tx) error) {
			t.Helper()
			if err := db.Write(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx *store.Tx) error {
			return tx.InsertWebhook(store.Webhook{ID: "w", URL: "https://example.com", Events: []string{"a", "b.*"}, CreatedBy: "x"})
		})
		for i := range 30 {
			write(func(tx *store.Tx) error {
				if _, err := tx.LockWebhook("w"); err != nil {
					return err
				}
				d := store.Delivery{Webhook: "w", Event: fmt.Sprintf("e%02d", i), Sequence: int64(i), Type: "a", About: []string{"order:1"}}
				if err := tx.AppendEvent(store.Event{ID: d.Event, Name: "n", Time: int64(i)}); err != nil {
					return err
				}
				if err := tx.AddDelivery(d, false); err != nil || i < 5 {
					return err
				}
				for range 4 {
					if err := tx.AddDeliveryAttempt(store.DeliveryAttempt{Webhook: "w", Event: d.Event, Time: license.Time(i), Answer: "x"}, 3); err != nil {
						return err
					}
				}
				d.State, d.Attempts, d.Last = store.Delivered, 4, license.Time(i)
				return tx.UpdateDelivery(d)
			})
		}
		write(func(tx *store.Tx) error { return tx.ForgetDeliveries("w", store.Delivered, 10) })
		write(func(tx *store.Tx) error { return tx.ForgetDeliveries("w", store.DeliveryFailed, 0) })
		err := db.Read(ctx, func(tx *store.Tx) error {
			counts, err := tx.CountDeliveries("w")
			if err != nil {
				return err
			}
			if counts[store.Delivered] != 11 || counts[store.Pending] != 5 {
				t.Errorf("%v", counts)
			}
			tries, err := tx.DeliveryAttempts("w", "e29")
			if err != nil {
				return err
			}
			if len(tries) != 3 || tries[0].Number != 4 {
				t.Errorf("%+v", tries)
			}
			if tries, err = tx.DeliveryAttempts("w", "e05"); len(tries) != 0 {
				t.Errorf("%+v", tries)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		write(func(tx *store.Tx) error { return tx.DeleteWebhook("w") })
	})
}
