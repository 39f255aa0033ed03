package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// newRented makes two subscriptions with a life behind them: one that runs, was changed
// and will be, and one that lapsed, was resumed and lapsed again.
func newRented(s *stage) []string {
	s.t.Helper()
	ctx := context.Background()
	maren := registry.Actor{Kind: "staff", Name: "maren.okafor@console", Scopes: []string{registry.ScopeAdmin}}
	begin := license.At(s.now.AddDate(0, 0, -75))
	did := func(done wire.SubscriptionDone, err error) wire.Subscription {
		s.t.Helper()
		s.must(err)
		s.now = s.now.Add(time.Minute)
		return done.Subscription
	}
	runs := did(s.CreateSubscription(ctx, maren, wire.SubscriptionRequest{Number: "2026-0401", Customer: "Hartmann Precision Ltd", Product: "SIM", Quantity: 3, Period: "monthly", Start: begin}, registry.Once{}))
	s.holding(runs.Ticket)
	did(s.ChangeSubscription(ctx, maren, runs.ID, wire.SubscriptionChange{Quantity: 5, Reason: "Two more people in the workshop."}))
	did(s.CancelSubscription(ctx, maren, runs.ID, wire.SubscriptionCancellation{Reason: "The workshop closes."}))
	did(s.ResumeSubscription(ctx, maren, runs.ID, wire.SubscriptionResumption{Reason: "It stays open."}))
	did(s.ChangeSubscription(ctx, maren, runs.ID, wire.SubscriptionChange{Quantity: 4, Reason: "One leaves."}))
	over := did(s.CreateSubscription(ctx, maren, wire.SubscriptionRequest{Number: "2026-0402", Customer: "Kestrel Robotics", Product: "AUTO", Period: "30d", Lead: subscription.Outside, Start: begin}, registry.Once{}))
	did(s.ResumeSubscription(ctx, maren, over.ID, wire.SubscriptionResumption{Reference: "INV-2031", Reason: "Paid late."}))
	s.now = s.now.AddDate(0, 0, 45)
	_, err := s.SettleSubscriptions(ctx, time.Minute)
	s.must(err)
	return []string{runs.ID, over.ID}
}

// TestSubscriptionPages: the list and its states; one with its life, its lines and its
// licenses; canceled and resumed with a reason, by who may.
func TestSubscriptionPages(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("lena")
	empty := s.as("maren").get("/console/subscriptions")
	empty.is(t, 200, "No subscriptions yet", "licet-central subscription create")
	ids := newRented(s)
	r, reads := s.as("maren"), s.as("lena")
	r.get("/console/subscriptions").is(t, 200, "Hartmann Precision Ltd", "Kestrel Robotics", "Lapsed", "Active", "4 × Simulation", "a month")
	r.get("/console/subscriptions?state=lapsed").is(t, 200, "Kestrel Robotics").lacks(t, "Hartmann Precision Ltd")
	r.get("/console/subscriptions?state=ended").is(t, 200, "None is in this state")
	r.get("/console/subscriptions?state=nonsense").is(t, 422)
	one := "/console/subscriptions/" + ids[0]
	page := r.get(one).is(t, 200, "it renews by itself on", "What there is to bill", "Two more people in the workshop.", "Added", "Cancel with the period", "2026-0401", "at the next contact")
	page.lacks(t, ">Resume<")
	reads.get(one).is(t, 200, "it renews by itself on").lacks(t, "Cancel with the period")
	reads.get(one+"/cancel").is(t, 403)
	reads.post(one+"/cancel", "reason", "mine").is(t, 403)
	r.get(one+"/cancel").is(t, 200, "It is canceled, and ends on", "Until then everything works as before")
	r.get(one+"/resume").is(t, 200, "it renews by itself on").lacks(t, `name="reason"`)
	r.get(one+"/other").is(t, 404)
	r.post(one+"/other", "reason", "x").is(t, 404)
	r.get("/console/subscriptions/none").is(t, 404)
	r.post(one+"/cancel", "reason", " ").is(t, 422, "Cancel with the period")
	if a := r.post(one+"/cancel", "reason", "notice"); a.status != http.StatusSeeOther || a.location != one {
		t.Fatalf("%d to %s", a.status, a.location)
	}
	r.get(one).is(t, 200, "The subscription is canceled with its period.", "Canceled", "Resume")
	if a := r.post(one+"/resume", "reason", "back"); a.status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.get(one).is(t, 200, "The subscription goes on.", "it renews by itself on")
	r.lang = "de"
	r.get(one).is(t, 200, "es verlängert sich von selbst am", "Was abzurechnen ist", "Hinzugekommen")
	r.get("/console/subscriptions").is(t, 200, "Ausgelaufen")
	// The license leads to its subscription.
	list, err := s.Subscription(t.Context(), s.admin, ids[0])
	s.must(err)
	if body := r.get("/console/licenses/" + string(list.Licenses[0].ID)).body; !strings.Contains(body, one) {
		t.Error("the license does not lead to its subscription")
	}
}
