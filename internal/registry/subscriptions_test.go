package registry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

const subscriptionYAML = `
products:
  - {code: ABO, name: By the month, model: subscription_single}
  - {code: PRO, name: By the month and more, model: subscription_single, features: [render]}
  - {code: NEEDS, name: Needs it, model: perpetual_single, requires: [ABO]}
  - {code: GROUP, name: For a group, model: subscription_multi, terms: {seats: 10}}
  - {code: USED, name: Used up, model: subscription_single, terms: {units: 1000}}
`

// rented is a book with products to subscribe to.
func rented(t *testing.T, fn func(t *testing.T, b *book)) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: subscriptionYAML})
		must(t, err)
		fn(t, b)
	})
}

func (b *book) subscribe(req wire.SubscriptionRequest) wire.Subscription {
	b.t.Helper()
	req.Customer = "Ada"
	if req.Period == "" {
		req.Period = "monthly"
	}
	done, err := b.CreateSubscription(context.Background(), b.admin, req, registry.Once{})
	must(b.t, err)
	return done.Subscription
}

func (b *book) subscription(id string) wire.Subscription {
	b.t.Helper()
	s, err := b.Subscription(context.Background(), b.admin, id)
	must(b.t, err)
	return s
}

// on sets the clock to a date, and lets what is due happen.
func (b *book) on(date string) {
	b.t.Helper()
	at, err := license.ParseTime(date)
	must(b.t, err)
	b.now = at.Go()
	_, err = b.SettleSubscriptions(context.Background(), time.Minute)
	must(b.t, err)
}

// stands checks a subscription: "state, end of the last period, quantity, lines".
func (b *book) stands(id, want string) {
	b.t.Helper()
	s := b.subscription(id)
	if got := fmt.Sprintf("%s %s %d %d", s.State, s.Ends.Go().Format(time.DateOnly), s.Quantity, len(s.Lines)); got != want {
		b.t.Fatalf("the subscription is %s (%s), want %s", got, s.Meaning, want)
	}
}

// until checks until when a container's copy of a license may be used, without and
// with its grace.
func (x *box) until(id license.ID, end string, grace license.Duration) {
	x.b.t.Helper()
	terms := x.body(id).Terms
	if terms.ExpiresAt.Go().Format(time.DateOnly) != end || terms.Grace != grace {
		x.b.t.Fatalf("it may be used until %s and %s, want %s and %s", terms.ExpiresAt, terms.Grace, end, grace)
	}
}

func billed(s wire.Subscription) (list []string) {
	for _, l := range s.Lines {
		list = append(list, fmt.Sprintf("%s %+d %s %d/%d", l.Kind, l.Quantity, l.Item, l.Days, l.OfDays))
	}
	return list
}

func (b *book) bill(id string, want ...string) {
	b.t.Helper()
	if got := billed(b.subscription(id)); !slices.Equal(got, want) {
		b.t.Fatalf("there is to bill\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestRenewsByItself: a period follows the other on the server's clock, however late it
// looks; machines get it with their next contact and no word of their users, and what
// nobody has yet has it at once.
func TestRenewsByItself(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Quantity: 2, Start: license.At(start)})
		b.stands(s.ID, "active 2026-04-01 2 1")
		ids := []license.ID{s.Licenses[0].ID, s.Licenses[1].ID}
		x := b.box()
		x.program(container.Wishes{Tickets: []license.Ticket{s.Ticket}, Activate: ids[:1]})
		x.receipt()
		x.until(ids[0], "2026-04-01", 7*license.Day)
		// Not before the notice, once within it, and not again.
		b.on("2026-03-31T11:59:59Z")
		b.stands(s.ID, "active 2026-04-01 2 1")
		for range 3 {
			b.on("2026-03-31T12:00:00Z")
			b.stands(s.ID, "active 2026-05-01 2 2")
		}
		if l := b.license(ids[1]); l.Terms.ExpiresAt.Go().Month() != time.May || len(l.Pending) > 0 {
			t.Errorf("with the vendor: %+v", l)
		}
		if l := b.license(ids[0]); l.State != license.Collected || len(l.Pending) != 1 {
			t.Errorf("with its user: %+v", l)
		}
		x.until(ids[0], "2026-04-01", 7*license.Day)
		x.program(pendingWish)
		x.until(ids[0], "2026-05-01", 7*license.Day)
		b.is(ids[0], license.Collecting, 1)
		x.receipt()
		b.is(ids[0], license.Collected, 1)
		if l := b.license(ids[0]); len(l.Pending) != 0 {
			t.Errorf("still pending: %q", l.Pending)
		}
		// The server was off for months: no period is lost, none comes twice.
		b.on("2026-09-15")
		b.stands(s.ID, "active 2026-10-01 2 7")
		b.bill(s.ID, "period +2 ABO 31/31", "period +2 ABO 30/30", "period +2 ABO 31/31", "period +2 ABO 30/30", "period +2 ABO 31/31", "period +2 ABO 31/31", "period +2 ABO 30/30")
		// Nobody else renews what renews by itself.
		_, err := b.RenewSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionRenewal{})
		b.refuses(refusal.SubscriptionLed, err)
		// The same order number is the same subscription; another wish under it is refused.
		done, err := b.CreateSubscription(t.Context(), b.admin, wire.SubscriptionRequest{Number: s.Number, Customer: "Ada", Product: "ABO", Quantity: 2, Period: "monthly"}, registry.Once{})
		must(t, err)
		if done.New || done.Changed || done.Subscription.ID != s.ID || done.Subscription.Ticket != s.Ticket {
			t.Errorf("again: %+v", done)
		}
		_, err = b.CreateSubscription(t.Context(), b.admin, wire.SubscriptionRequest{Number: s.Number, Customer: "Ada", Product: "PRO", Period: "monthly"}, registry.Once{})
		b.refuses(refusal.Conflict, err)
	})
}

// TestLedFromOutside: each paid period is told, once for each reference; without one
// come grace and lapse by date; a lapsed one goes on when it is paid again.
func TestLedFromOutside(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Lead: subscription.Outside, Grace: new(10 * license.Day), Start: license.At(start)})
		id := s.Licenses[0].ID
		x := b.activated(s.Ticket)
		renew := func(reference string) bool {
			t.Helper()
			done, err := b.RenewSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionRenewal{Reference: reference})
			must(t, err)
			return done.Changed
		}
		if !renew("INV-1") || renew("INV-1") || !renew("INV-2") || renew("INV-1") {
			t.Error("a reference is one payment")
		}
		b.stands(s.ID, "active 2026-06-01 1 3")
		b.on("2026-06-02")
		b.stands(s.ID, "in_grace 2026-06-01 1 3")
		if !renew("INV-3") {
			t.Error("nothing was renewed")
		}
		b.stands(s.ID, "active 2026-07-01 1 4") // behind the last period
		b.on("2026-07-11T12:00:00Z")
		b.stands(s.ID, "lapsed 2026-07-01 1 4")
		x.program(pendingWish)
		x.until(id, "2026-07-01", 10*license.Day)
		_, err := b.ChangeSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionChange{Quantity: 3, Reason: "r"})
		b.refuses(refusal.Conflict, err)
		b.on("2026-08-15T12:00:00Z")
		if !renew("INV-4") {
			t.Error("nothing was renewed")
		}
		b.stands(s.ID, "active 2026-09-15 1 5")
		x.program(pendingWish)
		x.until(id, "2026-09-15", 10*license.Day)
		events, err := b.History(t.Context(), b.admin, "subscription", s.ID, "", 50)
		must(t, err)
		var names []string
		for _, e := range events.Items {
			names = append(names, strings.TrimPrefix(e.Event, "subscription_"))
		}
		if got := strings.Join(names, " "); got != "created renewed renewed in_grace renewed in_grace lapsed resumed" {
			t.Errorf("it went %s", got)
		}
	})
}

// TestCancel: with the period, which can be taken back and ends without grace; resumed
// after that; or at once, with the licenses.
func TestCancel(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Quantity: 2, Start: license.At(start)})
		x := b.activated(s.Ticket)
		id := s.Licenses[0].ID
		cancel := func(now bool) wire.SubscriptionDone {
			t.Helper()
			done, err := b.CancelSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionCancellation{Now: now, Reason: "notice"})
			must(t, err)
			return done
		}
		resume := func() wire.SubscriptionDone {
			t.Helper()
			done, err := b.ResumeSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionResumption{Reason: "back"})
			must(t, err)
			return done
		}
		if !cancel(false).Changed || cancel(false).Changed {
			t.Error("it is canceled once")
		}
		b.stands(s.ID, "ending 2026-04-01 2 1")
		x.program(pendingWish)
		x.until(id, "2026-04-01", 0)
		if !resume().Changed || resume().Changed {
			t.Error("it is taken back once")
		}
		b.stands(s.ID, "active 2026-04-01 2 1")
		cancel(false)
		b.on("2026-04-01T12:00:00Z")
		b.stands(s.ID, "lapsed 2026-04-01 2 1")
		b.on("2026-06-10T12:00:00Z")
		b.stands(s.ID, "lapsed 2026-04-01 2 1")
		if !resume().Changed || resume().Changed {
			t.Error("it is resumed once")
		}
		b.stands(s.ID, "active 2026-07-10 2 2")
		x.program(pendingWish)
		x.until(id, "2026-07-10", 7*license.Day)
		x.receipt()
		b.on("2026-06-20T12:00:00Z")
		done := cancel(true)
		if len(done.Licenses) != 2 || done.Licenses[0].When != wire.NextContact || cancel(true).Changed {
			t.Errorf("%+v", done)
		}
		b.bill(s.ID, "period +2 ABO 31/31", "period +2 ABO 30/30", "ended -2 ABO 20/30")
		x.program(pendingWish)
		x.holds()
		b.stands(s.ID, "ended 2026-07-10 2 3")
		b.on("2026-08-01")
		_, err := b.ResumeSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionResumption{Reason: "r"})
		b.refuses(refusal.SubscriptionEnded, err)
		_, err = b.ChangeSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionChange{Quantity: 9, Reason: "r"})
		b.refuses(refusal.SubscriptionEnded, err)
	})
}

// TestChangeQuantity: more come at once and are told with their days; fewer leave with
// the period, those that nobody has first.
func TestChangeQuantity(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Quantity: 2, Start: license.At(start)})
		x := b.box()
		x.program(container.Wishes{Tickets: []license.Ticket{s.Ticket}, Activate: []license.ID{s.Licenses[0].ID}})
		x.receipt()
		change := func(req wire.SubscriptionChange) wire.SubscriptionDone {
			t.Helper()
			req.Reason = "r"
			done, err := b.ChangeSubscription(t.Context(), b.admin, s.ID, req)
			must(t, err)
			return done
		}
		b.on("2026-03-11T12:00:00Z")
		if dry := change(wire.SubscriptionChange{Quantity: 5, DryRun: true}); len(dry.Lines) != 1 || dry.Lines[0].Days != 21 || dry.Lines[0].OfDays != 31 || len(dry.Subscription.Licenses) != 5 {
			t.Errorf("%+v", dry)
		}
		b.stands(s.ID, "active 2026-04-01 2 1")
		change(wire.SubscriptionChange{Quantity: 5})
		if change(wire.SubscriptionChange{Quantity: 5}).Changed {
			t.Error("the same again changes something")
		}
		b.bill(s.ID, "period +2 ABO 31/31", "added +3 ABO 21/31")
		// Fewer: with the period. Another word before that takes its place.
		change(wire.SubscriptionChange{Quantity: 1})
		b.stands(s.ID, "active 2026-04-01 5 2")
		change(wire.SubscriptionChange{Quantity: 4})
		if n := b.subscription(s.ID).Next; n == nil || n.Quantity != 4 || n.Item != "ABO" {
			t.Errorf("%+v", n)
		}
		if change(wire.SubscriptionChange{Quantity: 5}).Subscription.Next != nil {
			t.Error("a change that was taken back still waits")
		}
		change(wire.SubscriptionChange{Quantity: 1})
		// The next period is told of in time; until it begins, all of them work, and no
		// license of those that will leave lasts longer.
		b.on("2026-03-31T12:00:00Z")
		b.stands(s.ID, "active 2026-05-01 5 3")
		x.program(pendingWish)
		x.until(s.Licenses[0].ID, "2026-04-01", 7*license.Day)
		b.on("2026-04-01T12:00:00Z")
		b.stands(s.ID, "active 2026-05-01 1 3")
		b.bill(s.ID, "period +2 ABO 31/31", "added +3 ABO 21/31", "period +1 ABO 30/30")
		if left := b.subscription(s.ID).Licenses; len(left) != 1 || left[0].ID != s.Licenses[0].ID {
			t.Errorf("%+v", left)
		}
		x.program(pendingWish)
		x.until(s.Licenses[0].ID, "2026-05-01", 7*license.Day)
	})
}

// TestChangeEdition: another product in place of each license, at once or with the
// period; what cannot be done does not hold the subscription up.
func TestChangeEdition(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Quantity: 2, Start: license.At(start)})
		x := b.activated(s.Ticket)
		change := func(req wire.SubscriptionChange) error {
			req.Reason = "r"
			_, err := b.ChangeSubscription(t.Context(), b.admin, s.ID, req)
			return err
		}
		b.on("2026-03-22T12:00:00Z")
		must(t, change(wire.SubscriptionChange{Product: "PRO", Quantity: 3}))
		b.bill(s.ID, "period +2 ABO 31/31", "edition -2 ABO 10/31", "edition +3 PRO 10/31")
		x.program(pendingWish)
		x.holds("PRO 1", "PRO 1")
		x.receipt()
		for id := range x.state.Held {
			x.until(id, "2026-04-01", 7*license.Day)
		}
		must(t, change(wire.SubscriptionChange{Product: "ABO", AtEnd: true}))
		b.on("2026-04-01T12:00:00Z")
		b.stands(s.ID, "active 2026-05-01 3 4")
		x.program(pendingWish)
		x.holds("ABO 1", "ABO 1")
		x.receipt()
		b.bill(s.ID, "period +2 ABO 31/31", "edition -2 ABO 10/31", "edition +3 PRO 10/31", "period +3 ABO 30/30")

		// Something else in the container needs what is to go: the subscription goes on.
		needs, _ := b.bought("NEEDS")
		x.program(ticket(needs))
		x.receipt()
		b.refuses(refusal.BreaksOtherLicense, change(wire.SubscriptionChange{Product: "PRO"}))
		b.stands(s.ID, "active 2026-05-01 3 4")
		must(t, change(wire.SubscriptionChange{Product: "PRO", AtEnd: true}))
		b.on("2026-05-02")
		b.stands(s.ID, "active 2026-06-01 3 7")
		if got := b.subscription(s.ID); got.Product != "ABO" || got.Next != nil {
			t.Errorf("%+v", got)
		}
		events, err := b.History(t.Context(), b.admin, "subscription", s.ID, "", 50)
		must(t, err)
		if e := events.Items[len(events.Items)-1]; e.Event != "subscription_change_refused" || !strings.Contains(e.Sentence, "needs it") {
			t.Errorf("%+v", e)
		}
	})
}

// TestSubscribedParts: seats of one license in two containers are prolonged together.
func TestSubscribedParts(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "GROUP", Start: license.At(start)})
		id := s.Licenses[0].ID
		x, y := b.box(), b.box()
		part := license.ID(x.program(some(s.Ticket, id, 4))[0].Details["part"].(string))
		x.receipt()
		y.program(some(s.Ticket, id, 6))
		y.receipt()
		b.on("2026-03-31T13:00:00Z")
		x.program(pendingWish)
		y.program(pendingWish)
		x.until(part, "2026-05-01", 7*license.Day)
		y.until(id, "2026-05-01", 7*license.Day)
		if got := b.license(part); got.Subscription != s.ID {
			t.Errorf("the part: %+v", got)
		}
		_, err := b.ChangeSubscription(t.Context(), b.admin, s.ID, wire.SubscriptionChange{Product: "PRO", Reason: "r"})
		b.refuses(refusal.Conflict, err)
		// What staff put in place of a license of the subscription belongs to it too.
		_, err = b.Replace(t.Context(), b.admin, id, "GROUP,seats=5", "smaller", false)
		must(t, err)
		y.program(pendingWish)
		for id := range y.state.Held {
			y.until(id, "2026-05-01", 7*license.Day)
		}
	})
}

// TestSettledTogether: several servers find the same renewal due at once, and callers
// tell one payment at once: it is one.
func TestSettledTogether(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Quantity: 3, Start: license.At(start)})
		paid := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Lead: subscription.Outside, Start: license.At(start)})
		b.now = start.AddDate(0, 2, 0)
		var all sync.WaitGroup
		for range 4 {
			r, err := b.another()
			must(t, err)
			all.Go(func() {
				_, err := r.SettleSubscriptions(context.Background(), time.Minute)
				must(t, err)
			})
			all.Go(func() {
				_, err := r.RenewSubscription(context.Background(), b.admin, paid.ID, wire.SubscriptionRenewal{Reference: "INV-1"})
				must(t, err)
			})
		}
		all.Wait()
		b.on("2026-05-01T12:00:00Z")
		b.stands(s.ID, "active 2026-06-01 3 3")
		b.stands(paid.ID, "active 2026-06-01 1 2")
	})
}

// TestSubscriptionRefusals: what cannot be agreed is refused, and nothing is left of it.
func TestSubscriptionRefusals(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		b.order("4711", wire.OrderItem{Product: "CAD"})
		for name, req := range map[string]wire.SubscriptionRequest{
			"no such period":     {Product: "ABO", Period: "weekly"},
			"no such product":    {Product: "NONE", Period: "monthly"},
			"an end of its own":  {Product: "ABO", Period: "monthly", Override: []string{"expires_at=2030-01-01"}},
			"in the future":      {Product: "ABO", Period: "monthly", Start: license.At(start) + 1},
			"too long ago":       {Product: "ABO", Period: "1d", Start: license.At(start.AddDate(-1, 0, 0))},
			"nobody leads":       {Product: "ABO", Period: "monthly", Lead: "both"},
			"too many":           {Product: "ABO", Period: "monthly", Quantity: 1001},
			"too long a notice":  {Product: "ABO", Period: "30d", Notice: new(30 * license.Day)},
			"another's order":    {Product: "ABO", Period: "monthly", Number: "4711"},
			"no customer at all": {Product: "ABO", Period: "monthly", Customer: "  "},
		} {
			if req.Customer == "" {
				req.Customer = "Ada"
			}
			if done, err := b.CreateSubscription(t.Context(), b.admin, req, registry.Once{}); err == nil {
				t.Errorf("%s: %+v", name, done)
			} else if _, ok := refusal.As(err); !ok {
				t.Errorf("%s: %v", name, err)
			}
		}
		list, err := b.Subscriptions(t.Context(), b.admin, "", "", 10)
		must(t, err)
		orders, err := b.Orders(t.Context(), b.admin, "", 10)
		must(t, err)
		if len(list.Items) != 0 || len(orders.Items) != 1 {
			t.Errorf("%+v, %d orders", list, len(orders.Items))
		}
		_, err = b.Subscription(t.Context(), b.admin, "none")
		b.refuses(refusal.NotFound, err)
		shop := registry.Actor{Kind: "token", Name: "shop", Scopes: []string{registry.ScopeOrders}}
		s := b.subscribe(wire.SubscriptionRequest{Product: "ABO"})
		_, err = b.CancelSubscription(t.Context(), shop, s.ID, wire.SubscriptionCancellation{Now: true, Reason: "r"})
		b.refuses(refusal.Forbidden, err)
		_, err = b.CancelSubscription(t.Context(), shop, s.ID, wire.SubscriptionCancellation{Reason: "r"})
		must(t, err)
		// All its licenses are withdrawn by hand: there is nothing to renew.
		gone := b.subscribe(wire.SubscriptionRequest{Product: "ABO"})
		b.withdraw(gone.Licenses[0].ID)
		b.on("2026-06-01")
		if got := b.subscription(gone.ID); got.State != subscription.Ended || len(got.Lines) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// TestBilling: what was agreed and used, cut to the time asked for, each day once.
func TestBilling(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		ctx := t.Context()
		s := b.subscribe(wire.SubscriptionRequest{Product: "USED", Quantity: 2, Start: license.At(start)})
		other := b.subscribe(wire.SubscriptionRequest{Product: "ABO", Period: "yearly", Start: license.At(start)})
		x := b.activated(s.Ticket)
		x.use(s.Licenses[0].ID, 30)
		x.receipt()
		b.on("2026-03-11T12:00:00Z")
		_, err := b.ChangeSubscription(ctx, b.admin, s.ID, wire.SubscriptionChange{Quantity: 5, Reason: "r"})
		must(t, err)
		b.on("2026-04-05T12:00:00Z")
		x.use(s.Licenses[0].ID, 5)
		x.use(s.Licenses[1].ID, 7)
		x.program(pendingWish)
		report := func(by, from, to string) (rows []string) {
			t.Helper()
			a, _ := license.ParseTime(from)
			z, _ := license.ParseTime(to)
			list, err := b.Billing(ctx, b.admin, by, a, z, "", 100)
			must(t, err)
			for _, r := range list.Items {
				key := r.Customer + r.Product
				if by == "subscription" {
					key = r.Subscription
				}
				rows = append(rows, fmt.Sprintf("%s %d %d %d %d", key, r.Periods, r.Licenses, r.LicenseDays, r.Units))
			}
			return rows
		}
		for _, tt := range []struct {
			by, from, to string
			want         []string
		}{
			{"subscription", "2026-03-01", "2026-04-01", []string{s.ID + fmt.Sprint(" 1 2 ", 2*31+3*21, " 30"), other.ID + " 1 1 31 0"}},
			{"subscription", "2026-04-01", "2026-05-01", []string{s.ID + fmt.Sprint(" 1 5 ", 5*30, " 12"), other.ID + " 0 0 30 0"}},
			{"customer", "2026-03-01", "2026-05-01", []string{fmt.Sprint("Ada 3 8 ", 2*31+3*21+5*30+61, " 42")}},
			{"product", "2026-03-01", "2026-04-01", []string{"ABO 1 1 31 0", fmt.Sprint("USED 1 2 ", 2*31+3*21, " 30")}},
			{"product", "2025-01-01", "2026-03-01", nil},
		} {
			if got := report(tt.by, tt.from, tt.to); !slices.Equal(got, tt.want) {
				t.Errorf("by %s from %s: %q, want %q", tt.by, tt.from, got, tt.want)
			}
		}
		// Days of months add up to those of all of them, whatever was changed within.
		whole, sum := int64(0), int64(0)
		for i, months := range [][2]string{{"2026-03-01", "2026-06-01"}, {"2026-03-01", "2026-03-20"}, {"2026-03-20", "2026-04-04"}, {"2026-04-04", "2026-06-01"}} {
			a, _ := license.ParseTime(months[0])
			z, _ := license.ParseTime(months[1])
			list, err := b.Billing(ctx, b.admin, "customer", a, z, "", 10)
			must(t, err)
			if n := list.Items[0].LicenseDays; i == 0 {
				whole = n
			} else {
				sum += n
			}
		}
		if whole != sum {
			t.Errorf("%d days in all, %d in pieces", whole, sum)
		}
		_, err = b.Billing(ctx, b.admin, "color", 1, 2, "", 10)
		b.refuses(refusal.InvalidInput, err)
		_, err = b.Billing(ctx, b.admin, "customer", 2, 2, "", 10)
		b.refuses(refusal.InvalidInput, err)
	})
}
