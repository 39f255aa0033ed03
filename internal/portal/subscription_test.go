package portal_test

import (
	"testing"
	"time"

	"licet/internal/registry"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// TestSubscribed: the holder of a ticket reads until when a subscription goes on, and
// what then.
func TestSubscribed(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	done, err := s.CreateSubscription(ctx, s.admin, wire.SubscriptionRequest{Number: "A-1", Customer: "Ada", Product: "SIM", Period: "monthly", Start: license.At(s.now)}, registry.Once{})
	s.must(err)
	renews := string(done.Subscription.Ticket)
	paid, err := s.CreateSubscription(ctx, s.admin, wire.SubscriptionRequest{Number: "A-2", Customer: "Ada", Product: "SIM", Period: "30d", Lead: subscription.Outside, Start: license.At(s.now)}, registry.Once{})
	s.must(err)
	s.enter(renews).says(t, 200, "Renews by itself before")
	s.enter(string(paid.Subscription.Ticket)).says(t, 200, "and longer with your next payment")
	_, err = s.CancelSubscription(ctx, s.admin, done.Subscription.ID, wire.SubscriptionCancellation{Reason: "notice"})
	s.must(err)
	s.get("/licenses").says(t, 200, "Canceled: ends on")
	s.now = s.now.AddDate(0, 0, 31)
	_, err = s.SettleSubscriptions(ctx, time.Minute)
	s.must(err)
	s.enter(string(paid.Subscription.Ticket)).says(t, 200, "unless it is renewed") // a visit does not last as long
	s.now = s.now.AddDate(0, 0, 10)
	s.enter(string(paid.Subscription.Ticket)).says(t, 200, "ask the vendor to resume it")
}
