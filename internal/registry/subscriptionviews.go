package registry

import (
	"context"
	"slices"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

// Subscriptions returns a page of subscriptions, newest first: those in a state, or
// all.
func (r *Registry) Subscriptions(ctx context.Context, a Actor, state subscription.State, cursor string, limit int) (wire.List[wire.Subscription], error) {
	if state != "" && !slices.Contains(subscription.States, state) {
		return wire.List[wire.Subscription]{}, refusal.New(refusal.InvalidInput, "%.40q is no state of a subscription.", string(state)).
			Hinted("There are active, ending, in_grace, lapsed and ended.")
	}
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Subscription, error) {
		return tx.Subscriptions(string(state), cursor, limit)
	},
		func(tx *store.Tx, s store.Subscription) (wire.Subscription, string, error) {
			w, err := r.subscriptionView(tx, s)
			return w, s.ID, err
		})
}

// Subscription returns one subscription, by its id or the number of its order, with
// its licenses and lines, and with its ticket for those who may take orders.
func (r *Registry) Subscription(ctx context.Context, a Actor, id string) (out wire.Subscription, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		s, err := findSubscription(tx, id)
		if err != nil {
			return err
		}
		out, err = r.subscriptionShown(tx, s, a)
		return err
	})
	return out, err
}

// view fills in what the answer shows of the subscription.
func (w *subscriber) view(a Actor) (err error) {
	w.done.Lines = []wire.SubscriptionLine{}
	if w.done.Licenses == nil {
		w.done.Licenses = []wire.OrderedLicense{}
	}
	w.done.Subscription, err = w.subscriptionShown(w.tx, w.s, a)
	for _, l := range w.done.Subscription.Lines {
		if slices.Contains(w.lines, l.Number) {
			w.done.Lines = append(w.done.Lines, l)
		}
	}
	return err
}

// subscriptionShown is the view of a subscription with everything.
func (r *Registry) subscriptionShown(tx *store.Tx, s store.Subscription, a Actor) (w wire.Subscription, err error) {
	if w, err = r.subscriptionView(tx, s); err != nil {
		return w, err
	}
	if a.may(ScopeOrders) == nil {
		t, err := tx.TicketByOrder(s.OrderID)
		if err != nil {
			return w, err
		}
		if w.Ticket, err = r.openTicket(t); err != nil {
			return w, err
		}
	}
	ls, err := tx.LicensesSubscribed(s.ID)
	if err != nil {
		return w, err
	}
	for _, l := range ls {
		if l.State == license.Gone {
			continue
		}
		one := wire.SubscribedLicense{ID: l.ID, Product: l.Product, State: l.State, Container: l.Holder}
		if l.Holder != "" {
			orders, err := tx.EarmarksOn(l.ID)
			if err != nil {
				return w, err
			}
			one.Waiting = slices.ContainsFunc(orders, func(e store.Earmark) bool { return e.License == l.ID && e.Kind != store.Kill })
		}
		w.Licenses = append(w.Licenses, one)
	}
	lines, err := tx.Lines(s.ID)
	for _, l := range lines {
		w.Lines = append(w.Lines, lineView(l, lines))
	}
	return w, err
}

func (r *Registry) subscriptionView(tx *store.Tx, s store.Subscription) (w wire.Subscription, err error) {
	o, err := tx.OrderByID(s.OrderID)
	if err != nil {
		return w, err
	}
	p, err := tx.Product(s.Product)
	if err != nil {
		return w, err
	}
	now := license.At(r.cfg.Now())
	w = wire.Subscription{ID: s.ID, Order: o.ID, Number: o.Number, Customer: o.Customer, Product: s.Product, Name: p.Name, Item: shown(s.Item), Quantity: s.Quantity,
		State: s.State(now), Meaning: meaningOf(s, now), Lead: s.Lead, Period: s.Period.String(), Notice: s.Notice, Grace: s.Grace, Created: s.Created,
		Ends: s.Ends, Usable: s.Usable(), Canceled: s.Canceled, Ended: s.Subscription.Ended}
	if w.State == subscription.Active && s.Lead == subscription.Licet {
		w.Renews = s.Ends.Add(-s.Notice.Go())
	}
	if s.Changes != 0 {
		w.Next = &wire.SubscriptionNext{At: s.Changes, Item: shown(s.NextItem), Quantity: s.NextQuantity}
	}
	return w, nil
}

// meaningOf says where a subscription is, for people.
func meaningOf(s store.Subscription, now license.Time) string {
	day := func(t license.Time) string { return t.Go().Format(time.DateOnly) }
	text := ""
	switch s.State(now) {
	case subscription.Active:
		text = "Its period ends on " + day(s.Ends) + "; the next one begins to count when it is told."
		if s.Lead == subscription.Licet {
			text = "Its period ends on " + day(s.Ends) + "; it renews by itself on " + day(s.Ends.Add(-s.Notice.Go())) + "."
		}
	case subscription.Ending:
		return "It is canceled, and ends on " + day(s.Ends) + "."
	case subscription.InGrace:
		text = "Its period ended on " + day(s.Ends) + " and was not renewed; its licenses go on until " + day(s.Ends.Add(s.Grace.Go())) + "."
	case subscription.Lapsed:
		return "It lapsed on " + day(s.Usable()) + ", and can be resumed."
	case subscription.Ended:
		return "It was ended at once on " + day(s.Subscription.Ended) + "; its licenses are withdrawn."
	}
	if s.Changes != 0 {
		text += " From " + day(s.Changes) + " on it is " + amount(s.NextQuantity, s.NextItem) + "."
	}
	return text
}

// lineView is a line with its days; all has the line with which its period began.
func lineView(l store.Line, all []store.Line) wire.SubscriptionLine {
	w := wire.SubscriptionLine{Number: l.Number, Kind: l.Kind, Period: l.Period, Starts: l.Starts, Ends: l.Ends, Product: l.Product, Item: shown(l.Item),
		Quantity: l.Quantity, Days: subscription.Days(l.Starts, l.Ends), Reference: l.Reference, Made: l.Made}
	for _, p := range all {
		if p.Number == l.Period {
			w.OfDays = subscription.Days(p.Starts, p.Ends)
		}
	}
	return w
}

// Billing reports what was agreed and used from one moment to another, grouped by
// subscription, customer or product.
func (r *Registry) Billing(ctx context.Context, a Actor, by string, from, to license.Time, cursor string, limit int) (wire.List[wire.BillingRow], error) {
	switch {
	case by != store.BySubscription && by != store.ByCustomer && by != store.ByProduct:
		return wire.List[wire.BillingRow]{}, refusal.New(refusal.InvalidInput, "%.40q is nothing to group by.", by).Hinted("There are subscription, customer and product.")
	case from <= 0 || to <= from:
		return wire.List[wire.BillingRow]{}, refusal.New(refusal.InvalidInput, "The report is of no time: from %s to %s.", from, to).Hinted("The end is later than the beginning, and does not belong to it.")
	}
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Billed, error) { return tx.Billing(by, from, to, cursor, limit) },
		func(_ *store.Tx, b store.Billed) (wire.BillingRow, string, error) {
			return wire.BillingRow{Subscription: b.Subscription, Number: b.Number, Customer: b.Customer, Product: b.Product,
				Periods: b.Periods, Licenses: b.Licenses, LicenseDays: b.Days, Units: b.Units}, b.Key, nil
		})
}
