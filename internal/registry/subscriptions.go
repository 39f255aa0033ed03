package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

const (
	// maxSubscribed is how many licenses one subscription may have: a renewal is one
	// transaction over all of them.
	maxSubscribed = 1000
	// maxPassed is how many periods may have passed when a subscription is made.
	maxPassed = 120

	defaultNotice = license.Day
	defaultGrace  = 7 * license.Day
)

// subscriber is one transaction about one subscription, which is locked with its order
// and all its licenses.
type subscriber struct {
	*desk
	s    store.Subscription
	o    store.Order
	ls   []store.License // that are not gone
	done wire.SubscriptionDone

	lines  []int64          // that came in, by their numbers
	failed *refusal.Refusal // why a change that waits cannot take effect; nil if nobody has tried
}

// changeRefused says that a change that waits cannot take effect. The transaction is
// run again without it: the subscription goes on as it is.
type changeRefused struct{ no *refusal.Refusal }

func (c changeRefused) Error() string { return c.no.Error() }

// subscribed runs a decision about a subscription in one transaction. What time alone
// has done to it meanwhile comes first, so that it does not matter who is earlier.
func (r *Registry) subscribed(ctx context.Context, a Actor, id, reason string, dryRun bool, do func(*subscriber) error) (out wire.SubscriptionDone, err error) {
	if err := a.may(ScopeOrders); err != nil {
		return out, err
	}
	var failed *refusal.Refusal
	for {
		err = r.write(ctx, func(tx *store.Tx) error {
			run := func() error {
				w, err := r.subscriber(tx, a, id, reason)
				if err != nil {
					return err
				}
				w.failed, w.done.DryRun = failed, dryRun
				if err := w.settle(); err != nil {
					return err
				}
				if err := do(w); err != nil {
					return err
				}
				if err := w.view(a); err != nil {
					return err
				}
				out = w.done
				return nil
			}
			if !dryRun {
				return answerOnce(r, tx, a, onceOf(ctx), &out, run)
			}
			if err := run(); err != nil {
				return err
			}
			return errDryRun
		})
		var change changeRefused
		if errors.As(err, &change) && failed == nil {
			failed = change.no
			continue
		}
		if dryRun && err == errDryRun {
			err = nil
		}
		return out, err
	}
}

// findSubscription finds a subscription by its id or the number of its order.
func findSubscription(tx *store.Tx, id string) (store.Subscription, error) {
	s, err := tx.SubscriptionByID(id)
	if errors.Is(err, store.ErrNotFound) {
		var o store.Order
		if o, err = tx.OrderByNumber(id); err == nil {
			s, err = tx.SubscriptionOfOrder(o.ID)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return s, notFound("subscription", id).Hinted("licet-central subscription list names what there is.")
	}
	return s, err
}

// subscriber locks a subscription: its row, its order, then containers and licenses.
func (r *Registry) subscriber(tx *store.Tx, a Actor, id, reason string) (*subscriber, error) {
	s, err := findSubscription(tx, id)
	if err != nil {
		return nil, err
	}
	if s, err = tx.LockSubscription(s.ID); err != nil {
		return nil, err
	}
	o, err := tx.OrderByID(s.OrderID)
	if err != nil {
		return nil, err
	}
	if o, _, err = tx.EnsureOrder(o); err != nil { // it may get licenses
		return nil, err
	}
	w := &subscriber{desk: r.desk(tx, a, reason), s: s, o: o}
	if err := w.load(); err != nil {
		return nil, err
	}
	ids := make([]license.ID, len(w.ls))
	for i, l := range w.ls {
		ids[i] = l.ID
	}
	if err := w.lock(ids); err != nil {
		return nil, err
	}
	// A contact may have split one, or staff replaced one, before it was locked.
	if err := w.load(); err != nil {
		return nil, err
	}
	for _, l := range w.ls {
		if _, locked := w.licenses[l.ID]; !locked {
			return nil, errAgain
		}
	}
	w.subscription = &w.s.Subscription
	return w, nil
}

// load reads the licenses of the subscription that are not gone.
func (w *subscriber) load() (err error) {
	w.ls, err = w.tx.LicensesSubscribed(w.s.ID)
	w.ls = slices.DeleteFunc(w.ls, func(l store.License) bool { return l.State == license.Gone })
	return err
}

// subscribedTerms is the terms of a license of a subscription.
func subscribedTerms(t license.Terms, s subscription.Subscription) license.Terms {
	t.ExpiresAt, t.Grace = s.Terms()
	t.ExpiresIn = 0
	return t
}

// CreateSubscription makes a subscription: an order with its ticket, so many licenses,
// and the first period. The same order number again gives what there is.
func (r *Registry) CreateSubscription(ctx context.Context, a Actor, req wire.SubscriptionRequest, once Once) (out wire.SubscriptionDone, err error) {
	if err := a.may(ScopeOrders); err != nil {
		return out, err
	}
	item, err := subscribedItem(req.Product, req.Override)
	if err != nil {
		return out, err
	}
	if strings.TrimSpace(req.Customer) == "" {
		return out, refusal.New(refusal.InvalidInput, "The subscription names no customer.")
	}
	quantity := max(req.Quantity, 1)
	if quantity > maxSubscribed {
		return out, tooMany(quantity)
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, once, &out, func() error {
			w := &subscriber{desk: r.desk(tx, a, "")}
			o := store.Order{ID: w.newID("ord", w.log.now), Number: req.Number, Customer: strings.TrimSpace(req.Customer), Created: w.now()}
			if o.Number == "" {
				o.Number = strings.ToUpper(strings.TrimPrefix(o.ID, "ord_"))
			}
			var created bool
			if w.o, created, err = tx.EnsureOrder(o); err != nil {
				return err
			}
			if w.o.Customer != o.Customer {
				return refusal.New(refusal.Conflict, "The order %s belongs to %s.", w.o.Number, w.o.Customer).
					Hinted("Use the order's own customer, or another order number.")
			}
			w.s, err = tx.SubscriptionOfOrder(w.o.ID)
			switch {
			case err == nil:
				err = w.again(item, quantity)
			case errors.Is(err, store.ErrNotFound):
				err = w.create(req, item, quantity, created)
			}
			if err != nil {
				return err
			}
			if err := w.view(a); err != nil {
				return err
			}
			out = w.done
			return nil
		})
	})
	return out, err
}

// subscribedItem reads what a subscription is of, as one of it.
func subscribedItem(product string, override []string) (catalog.Item, error) {
	items, err := orderItems(wire.OrderRequest{Items: []wire.OrderItem{{Product: product, Quantity: 1, Override: override}}})
	if err != nil {
		return catalog.Item{}, err
	}
	for _, o := range items[0].Overrides {
		if o.Key == "expires_at" || o.Key == "expires_in" || o.Key == "grace" {
			return catalog.Item{}, refusal.New(refusal.InvalidInput, "%s is no term of a subscription's licenses: the subscription says until when they may be used.", o.Key).
				Hinted("Leave it out; period and grace are the subscription's own.")
		}
	}
	return items[0], nil
}

func tooMany(n int64) *refusal.Refusal {
	return refusal.New(refusal.TooLarge, "A subscription has %d licenses at most; this would be %d.", maxSubscribed, n).
		Hinted("Make several subscriptions, or give each license more seats: CODE,seats=N.")
}

// again answers a request for a subscription that is there: it asks for what was sold
// once, or what there is by now.
func (w *subscriber) again(item catalog.Item, quantity int64) error {
	lines, err := w.tx.Lines(w.s.ID)
	if err != nil {
		return err
	}
	asked := positionOf(item)
	if asked == w.s.Item && quantity == w.s.Quantity || len(lines) > 0 && asked == lines[0].Item && quantity == lines[0].Quantity {
		return w.load()
	}
	return refusal.New(refusal.Conflict, "The order %s has a subscription of %s already.", w.o.Number, amount(w.s.Quantity, w.s.Item)).
		With("subscription", w.s.ID).
		Hinted("Change it with licet-central subscription change %s, or use another order number.", w.s.ID)
}

// create makes the subscription with its first period.
func (w *subscriber) create(req wire.SubscriptionRequest, item catalog.Item, quantity int64, created bool) error {
	p, err := w.productFor(item.Code)
	if err != nil {
		if _, bundle := w.tx.Bundle(item.Code); bundle == nil {
			return refusal.New(refusal.InvalidInput, "%s is a bundle; a subscription is of one product.", item.Code).Hinted("Make a subscription of each of its products.")
		}
		return err
	}
	terms, _, err := item.Resolve(p)
	if err != nil {
		return err
	}
	s := store.Subscription{ID: w.newID("sub", w.log.now), OrderID: w.o.ID, Product: p.Code, Item: positionOf(item), Quantity: quantity, Created: w.now()}
	s.Lead, s.Notice, s.Grace = req.Lead, defaultNotice, terms.Grace
	if s.Lead == "" {
		s.Lead = subscription.Licet
	}
	if s.Lead == subscription.Outside {
		s.Notice = 0
	}
	if s.Grace == 0 {
		s.Grace = defaultGrace
	}
	if req.Notice != nil {
		s.Notice = *req.Notice
	}
	if req.Grace != nil {
		s.Grace = *req.Grace
	}
	if s.Period, err = subscription.ParsePeriod(req.Period); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	start := req.Start
	switch {
	case start == 0:
		start = w.now()
	case start > w.now():
		return refusal.New(refusal.InvalidInput, "The first period would begin on %s, which is later than now.", start).
			Hinted("Make the subscription when it begins.")
	case s.Period.After(start, maxPassed) < w.now():
		return refusal.New(refusal.InvalidInput, "More than %d periods have passed since %s.", maxPassed, start).
			Hinted("Begin with the period that runs now.")
	}
	var span subscription.Span
	s.Subscription, span = s.Begin(start)
	w.s, w.subscription = s, &w.s.Subscription
	if err := w.tx.InsertSubscription(w.s); err != nil {
		return err
	}
	if err := w.add(quantity, created); err != nil {
		return err
	}
	w.done.New = true
	if err := w.did(evSubscriptionCreated, nil, w.periodLine(span, "")); err != nil {
		return err
	}
	return w.settle()
}

// periodLine is the line with which a period begins.
func (w *subscriber) periodLine(span subscription.Span, reference string) []store.Line {
	product, item, quantity := w.agreed(span.Starts)
	return []store.Line{{Subscription: w.s.ID, Kind: store.LinePeriod, Starts: span.Starts, Ends: span.Ends,
		Product: product, Item: item, Quantity: quantity, Reference: reference, Made: w.now()}}
}

// agreed is what there is at a moment, a change that waits included.
func (w *subscriber) agreed(at license.Time) (product, item string, quantity int64) {
	if w.s.Changes != 0 && at >= w.s.Changes {
		return productOf(w.s.NextItem), w.s.NextItem, w.s.NextQuantity
	}
	return w.s.Product, w.s.Item, w.s.Quantity
}

// productOf is the product of an item that was read once.
func productOf(item string) string {
	code, _, _ := strings.Cut(item, "=")
	return code
}

// amount writes so many of an item for people.
func amount(n int64, item string) string { return number(uint64(n)) + " × " + shown(item) }

// shown is an item without its quantity.
func shown(item string) string { return strings.Replace(item, "=1", "", 1) }

// add makes licenses of what the subscription is of, on its order and ticket.
func (w *subscriber) add(n int64, created bool) error {
	item, err := catalog.ParseItem(w.s.Item)
	if err != nil {
		return err
	}
	p, err := w.productFor(item.Code)
	if err != nil {
		return err
	}
	terms, features, err := item.Resolve(p)
	if err != nil {
		return err
	}
	terms = subscribedTerms(terms, w.s.Subscription)
	t, err := w.ensureTicket(w.tx, w.o, w.log)
	if err != nil {
		return err
	}
	// A position of its own: what is ordered besides is not of the subscription.
	position := w.s.Item + " of " + w.s.ID
	had, err := w.tx.CountItem(w.o.ID, position)
	if err != nil {
		return err
	}
	subjects := []store.Subject{about(ofOrder, w.o.ID), about(ofTicket, t.ID)}
	var made []store.License
	for range n {
		l := store.License{ID: license.ID(w.newID("lic", w.log.now)), OrderID: w.o.ID, TicketID: t.ID, Product: p.Code, Item: position, Features: features,
			Terms: terms, Sold: terms, State: license.NotCollected, Generation: 1, Created: w.now(), Subscription: w.s.ID}
		made = append(made, l)
		w.licenses[l.ID] = l
		subjects = append(subjects, about(ofLicense, string(l.ID)))
	}
	if err := w.tx.InsertLicenses(made); err != nil {
		return err
	}
	event := evOrderExtended
	if created {
		event = evOrderCreated
	}
	err = w.log.note(event, map[string]any{"number": w.o.Number, "customer": w.o.Customer, "added": n, "ticket_record": ticketRecord(t), "subscription": w.s.ID,
		"items": []map[string]any{{"product": p.Code, "position": position, "had": had, "asked": had + n, "terms": terms, "features": features}}}, subjects...)
	if err != nil {
		return err
	}
	return w.load()
}

// did stores what was done: its lines, until when licenses may be used by now, the
// facts and the event.
func (w *subscriber) did(event string, details map[string]any, lines []store.Line) error {
	lines, err := w.tx.InsertLines(lines)
	if err != nil {
		return err
	}
	if w.s.Changes == 0 {
		w.s.NextItem, w.s.NextQuantity = "", 0
	}
	if err := w.tx.UpdateSubscription(w.s); err != nil {
		return err
	}
	renewed, err := w.reterm()
	if err != nil {
		return err
	}
	w.done.Changed = true
	w.done.Renewed += len(renewed)
	for _, l := range lines {
		w.lines = append(w.lines, l.Number)
	}
	all := map[string]any{"number": w.o.Number, "customer": w.o.Customer, "state": w.s.State(w.now()), "facts": factsOf(w.s), "lines": linesOf(lines), "renewed": len(renewed),
		"ends": w.s.Ends, "until": w.s.Usable(), "what": w.what(), "product": w.s.Product}
	for k, v := range details {
		all[k] = v
	}
	subjects := []store.Subject{about(ofSubscription, w.s.ID), about(ofOrder, w.o.ID)}
	for _, id := range renewed {
		subjects = append(subjects, about(ofLicense, string(id)))
	}
	return w.log.note(event, all, subjects...)
}

// what is what the subscription is of, for people.
func (w *subscriber) what() string {
	text := amount(w.s.Quantity, w.s.Item)
	if w.s.Changes != 0 {
		text += ", from " + w.s.Changes.Go().Format(time.DateOnly) + " on " + amount(w.s.NextQuantity, w.s.NextItem)
	}
	return text
}

// subscriptionFacts is the row of a subscription in an event.
type subscriptionFacts struct {
	subscription.Subscription
	Product      string `json:"product"`
	Item         string `json:"item"`
	Quantity     int64  `json:"quantity"`
	NextItem     string `json:"next_item"`
	NextQuantity int64  `json:"next_quantity"`
}

func factsOf(s store.Subscription) subscriptionFacts {
	return subscriptionFacts{s.Subscription, s.Product, s.Item, s.Quantity, s.NextItem, s.NextQuantity}
}

func linesOf(lines []store.Line) []map[string]any {
	out := []map[string]any{}
	for _, l := range lines {
		out = append(out, map[string]any{"number": l.Number, "kind": l.Kind, "period": l.Period, "starts": l.Starts, "ends": l.Ends,
			"product": l.Product, "item": l.Item, "quantity": l.Quantity, "reference": l.Reference})
	}
	return out
}

// reterm gives the licenses the end that the subscription has by now: those with the
// vendor at once; the others' containers get them again at their next contact, with
// no word of their users (docs/protocol.md, section 15).
func (w *subscriber) reterm() (renewed []license.ID, err error) {
	for i, l := range w.ls {
		want := subscribedTerms(l.Sold, w.s.Subscription)
		if want == l.Sold {
			continue
		}
		l.Sold = want
		l = l.With(l.Terms.Seats)
		if err := w.tx.MoveLicense(l.State, l); err != nil {
			return nil, err
		}
		w.ls[i], w.licenses[l.ID] = l, l
		renewed = append(renewed, l.ID)
		if l.State != license.Collecting && l.State != license.Collected {
			continue
		}
		if err := w.dropChange(l); err != nil { // a step that is under way does not bring this
			return nil, err
		}
		err := w.tx.InsertEarmark(store.Earmark{ID: w.newID("ear", w.log.now), Container: l.Holder, Kind: store.Change, License: l.ID, Generation: l.Generation,
			Actor: w.log.actor.String(), Reason: w.log.reason, Created: w.now()})
		if err != nil {
			return nil, err
		}
	}
	return renewed, nil
}

// groups are the licenses that count, the parts of one together.
func (w *subscriber) groups() (all [][]store.License) {
	for _, l := range w.ls {
		if l.Withdrawn {
			continue
		}
		i := slices.IndexFunc(all, func(g []store.License) bool { return g[0].Whole() == l.Whole() })
		if i < 0 {
			all = append(all, []store.License{l})
		} else {
			all[i] = append(all[i], l)
		}
	}
	return all
}

// settle does what is due by time alone; whoever decides about the subscription now
// has no part in that.
func (w *subscriber) settle() error {
	actor, reason := w.log.actor, w.log.reason
	w.log.actor, w.log.reason = clockwork, ""
	defer func() { w.log.actor, w.log.reason = actor, reason }()
	for {
		next, span, what := w.s.Elapse(w.now())
		if what == subscription.Nothing {
			return nil
		}
		var err error
		switch what {
		case subscription.Change:
			err = w.changeNow(next)
		case subscription.Renewal:
			err = w.renewal(next, span, evSubscriptionRenewed, "")
		case subscription.Grace:
			w.s.Subscription = next
			err = w.did(evSubscriptionGrace, nil, nil)
		case subscription.Lapse:
			w.s.Subscription = next
			err = w.did(evSubscriptionLapsed, nil, nil)
		}
		if err != nil {
			return err
		}
	}
}

// changeNow carries out a change that has waited for the end of a period. Where it
// cannot be done, the subscription goes on as it is, and the history says why.
func (w *subscriber) changeNow(next subscription.Subscription) error {
	item, quantity := w.s.NextItem, w.s.NextQuantity
	w.s.Subscription = next
	w.log.reason = "as the subscription says" // licenses that leave have a reason
	defer func() { w.log.reason = "" }()
	if w.failed != nil {
		lines, err := w.corrections()
		if err != nil {
			return err
		}
		return w.did(evSubscriptionStays, map[string]any{"change": amount(quantity, item), "code": w.failed.Code, "why": w.failed.Message}, lines)
	}
	err := w.become(item, quantity)
	if no, ok := refusal.As(err); ok {
		return changeRefused{no}
	}
	if err != nil {
		return err
	}
	lines, err := w.corrections()
	if err != nil {
		return err
	}
	return w.did(evSubscriptionChanged, nil, lines)
}

// renewal begins a period. What was withdrawn of the licenses meanwhile is not
// renewed; with none left there is nothing to go on with.
func (w *subscriber) renewal(next subscription.Subscription, span subscription.Span, event, reference string) error {
	have := int64(len(w.groups()))
	if have == 0 {
		w.s.Subscription = w.s.End(w.now())
		return w.did(evSubscriptionEnded, map[string]any{"withdrawn": 0}, nil)
	}
	if have < w.s.Quantity {
		w.s.Quantity = have
	}
	w.s.Subscription = next
	return w.did(event, map[string]any{"from": span.Starts, "to": span.Ends, "reference": reference}, w.periodLine(span, reference))
}

// become has the subscription be of so many of an item from now on.
func (w *subscriber) become(item string, quantity int64) error {
	if item != w.s.Item {
		if err := w.replaceAll(item); err != nil {
			return err
		}
	}
	have := int64(len(w.groups()))
	w.s.Quantity = quantity
	switch {
	case quantity > have:
		return w.add(quantity-have, false)
	case quantity < have:
		return w.remove(have - quantity)
	}
	return nil
}

// replaceAll puts a license of the new edition in place of each.
func (w *subscriber) replaceAll(text string) error {
	item, err := catalog.ParseItem(text)
	if err != nil {
		return err
	}
	for _, g := range w.groups() {
		if len(g) > 1 {
			return refusal.New(refusal.Conflict, "Seats of %s (%s) are in several containers, so that no other license can take its place.", g[0].Product, g[0].Whole()).
				With("license", string(g[0].Whole())).Hinted("Have them returned, all but those in one container.")
		}
		done, err := w.replace(w.licenses[g[0].ID], item)
		if err != nil {
			return err
		}
		w.done.Licenses = append(w.done.Licenses, done)
	}
	w.s.Item, w.s.Product = text, item.Code
	return w.load()
}

// remove withdraws so many licenses: those that nobody has before those in use, the
// youngest first, and none that another license needs.
func (w *subscriber) remove(n int64) error {
	all := w.groups()
	used := func(g []store.License) int {
		held := 0
		for _, l := range g {
			if l.State.Held() {
				held++
			}
		}
		return held
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b []store.License) int { return min(used(a), 1) - min(used(b), 1) })
	var refused *refusal.Refusal
	for _, g := range all {
		if n == 0 {
			break
		}
		ids := make([]license.ID, len(g))
		for i, l := range g {
			ids[i] = l.ID
		}
		no, err := w.mayGo(ids)
		if err != nil {
			return err
		}
		if no != nil {
			refused = no
			continue
		}
		var out wire.Ordered
		if err := w.withdraw(ids, &out); err != nil {
			return err
		}
		w.done.Licenses = append(w.done.Licenses, out.Done...)
		n--
	}
	if n > 0 {
		return refused
	}
	return w.load()
}

// mayGo says why locked licenses may not be withdrawn; nil if they may.
func (w *subscriber) mayGo(ids []license.ID) (*refusal.Refusal, error) {
	going, no := map[license.ID]bool{}, map[license.ID]*refusal.Refusal{}
	for _, id := range ids {
		if l := w.licenses[id]; l.Reserved != "" && l.Replaces != "" {
			return refusal.New(refusal.Conflict, "%s (%s) is on its way in place of %s.", l.Product, id, l.Replaces), nil
		}
		going[id] = true
	}
	err := w.leaveWhole(going, no)
	for _, id := range ids {
		if no[id] != nil {
			return no[id], err
		}
	}
	return nil, err
}

// corrections are the lines that bring the periods which are not over to what was
// agreed by now.
func (w *subscriber) corrections() (lines []store.Line, err error) {
	all, err := w.tx.Lines(w.s.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Kind != store.LinePeriod || p.Ends <= w.now() {
			continue
		}
		product, item, quantity := w.agreed(p.Starts)
		if w.s.Subscription.Ended != 0 {
			quantity = 0
		}
		var items []string // of the period, in their order
		sums, products := map[string]int64{}, map[string]string{}
		for _, l := range all {
			if l.Period == p.Number {
				if !slices.Contains(items, l.Item) {
					items = append(items, l.Item)
				}
				sums[l.Item] += l.Quantity
				products[l.Item] = l.Product
			}
		}
		if !slices.Contains(items, item) {
			items = append(items, item)
			products[item] = product
		}
		for _, it := range items {
			want := int64(0)
			if it == item {
				want = quantity
			}
			if want == sums[it] {
				continue
			}
			kind := store.LineAdded
			switch {
			case w.s.Subscription.Ended != 0:
				kind = store.LineEnded
			case len(items) > 1:
				kind = store.LineEdition
			}
			lines = append(lines, store.Line{Subscription: w.s.ID, Kind: kind, Period: p.Number, Starts: max(w.now(), p.Starts), Ends: p.Ends,
				Product: products[it], Item: it, Quantity: want - sums[it], Made: w.now()})
		}
	}
	return lines, nil
}

// ChangeSubscription changes quantity, edition, period or rules. More licenses and
// another edition come at once, fewer licenses with the end of the last period.
func (r *Registry) ChangeSubscription(ctx context.Context, a Actor, id string, req wire.SubscriptionChange) (wire.SubscriptionDone, error) {
	if err := reasonGiven(req.Reason); err != nil {
		return wire.SubscriptionDone{}, err
	}
	return r.subscribed(ctx, a, id, req.Reason, req.DryRun, func(w *subscriber) error { return w.change(req) })
}

func reasonGiven(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	return nil
}

func (w *subscriber) change(req wire.SubscriptionChange) error {
	state := w.s.State(w.now())
	switch state {
	case subscription.Ended:
		_, _, err := w.s.Resume(w.now())
		return err
	case subscription.Lapsed:
		return refusal.New(refusal.Conflict, "The subscription lapsed on %s.", w.s.Usable()).Hinted("Resume it first: licet-central subscription resume %s.", w.s.ID)
	}
	before := factsOf(w.s)
	if err := w.rules(req); err != nil {
		return err
	}
	var lines []store.Line
	if req.Quantity > 0 || req.Product != "" {
		switch {
		case state == subscription.InGrace:
			return refusal.New(refusal.Conflict, "The last period ended on %s and was not renewed, so that there is none in which something could change.", w.s.Ends).
				Hinted("Renew it first: licet-central subscription renew %s.", w.s.ID)
		case req.Quantity > maxSubscribed:
			return tooMany(req.Quantity)
		}
		if err := w.requantify(req, state); err != nil {
			return err
		}
		var err error
		if lines, err = w.corrections(); err != nil {
			return err
		}
	}
	if w.s.Changes == 0 {
		w.s.NextItem, w.s.NextQuantity = "", 0
	}
	if factsOf(w.s) == before {
		return nil
	}
	return w.did(evSubscriptionChanged, nil, lines)
}

// rules changes period, notice, grace and who leads.
func (w *subscriber) rules(req wire.SubscriptionChange) (err error) {
	if req.Period != "" {
		p, err := subscription.ParsePeriod(req.Period)
		if err != nil {
			return err
		}
		w.s.Subscription = w.s.Reperiod(p)
	}
	if req.Notice != nil {
		w.s.Notice = *req.Notice
	}
	if req.Grace != nil {
		w.s.Grace = *req.Grace
	}
	if req.Lead != nil {
		w.s.Lead = *req.Lead
	}
	return w.s.Check()
}

// requantify changes how many of what there is: at once where there will be more or
// another edition, otherwise with the end of the last period.
func (w *subscriber) requantify(req wire.SubscriptionChange, state subscription.State) error {
	item, quantity := w.s.Item, w.s.Quantity
	if w.s.Changes != 0 {
		item, quantity = w.s.NextItem, w.s.NextQuantity
	}
	nowItem, nowQuantity := w.s.Item, w.s.Quantity
	if req.Product != "" {
		it, err := subscribedItem(req.Product, req.Override)
		if err != nil {
			return err
		}
		p, err := w.productFor(it.Code)
		if err != nil {
			return err
		}
		if _, _, err := it.Resolve(p); err != nil {
			return err
		}
		if item = positionOf(it); !req.AtEnd {
			nowItem = item
		}
	}
	if req.Quantity > 0 {
		quantity = req.Quantity
		if quantity > nowQuantity && !req.AtEnd {
			nowQuantity = quantity
		}
	}
	w.s.Changes, w.s.NextItem, w.s.NextQuantity = 0, "", 0
	if nowItem != w.s.Item || nowQuantity != w.s.Quantity {
		if err := w.become(nowItem, nowQuantity); err != nil {
			return err
		}
	}
	if item == nowItem && quantity == nowQuantity {
		return nil
	}
	if state == subscription.Ending {
		return refusal.New(refusal.Conflict, "The subscription is canceled and ends on %s; nothing can change with the end of its last period.", w.s.Ends).
			Hinted("Take the cancellation back first: licet-central subscription resume %s.", w.s.ID)
	}
	w.s.Subscription = w.s.ChangeAtEnd()
	w.s.NextItem, w.s.NextQuantity = item, quantity
	return nil
}

// RenewSubscription takes in that periods were paid, where a system outside leads. A
// reference that was told before adds nothing.
func (r *Registry) RenewSubscription(ctx context.Context, a Actor, id string, req wire.SubscriptionRenewal) (wire.SubscriptionDone, error) {
	return r.subscribed(ctx, a, id, req.Reason, false, func(w *subscriber) error {
		if told, err := w.told(req.Reference); err != nil || told {
			return err
		}
		if w.s.Lead == subscription.Licet {
			return refusal.New(refusal.SubscriptionLed, "The subscription renews by itself; nobody else does it.").
				Hinted("If another system is to tell each paid period: licet-central subscription change %s --lead outside.", w.s.ID)
		}
		periods := max(req.Periods, 1)
		if periods > maxPassed {
			return refusal.New(refusal.InvalidInput, "%d periods at once are more than %d.", periods, maxPassed)
		}
		for i := range periods {
			reference := req.Reference
			if i > 0 {
				reference = "" // it names all of them by the first
			}
			next, span, err := w.s.Renew(w.now())
			if err != nil {
				return err
			}
			event := evSubscriptionRenewed
			if w.s.Told == subscription.Lapsed {
				event = evSubscriptionResumed
			}
			if err := w.renewal(next, span, event, reference); err != nil {
				return err
			}
			if w.s.Subscription.Ended != 0 {
				return refusal.New(refusal.SubscriptionEnded, "No license of the subscription is left; all were withdrawn.").
					Hinted("Make another one: licet-central subscription create.")
			}
		}
		return nil
	})
}

// told reports whether a reference names a period that there is.
func (w *subscriber) told(reference string) (bool, error) {
	_, err := w.tx.LineByReference(w.s.ID, reference)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// CancelSubscription ends a subscription: with its last period, or at once, which
// withdraws its licenses.
func (r *Registry) CancelSubscription(ctx context.Context, a Actor, id string, req wire.SubscriptionCancellation) (wire.SubscriptionDone, error) {
	if err := reasonGiven(req.Reason); err != nil {
		return wire.SubscriptionDone{}, err
	}
	if req.Now {
		if err := a.may(ScopeLicenses); err != nil {
			return wire.SubscriptionDone{}, err
		}
	}
	return r.subscribed(ctx, a, id, req.Reason, req.DryRun, func(w *subscriber) error {
		if req.Now {
			return w.endNow()
		}
		next := w.s.Cancel(w.now())
		if next == w.s.Subscription {
			return nil
		}
		w.s.Subscription = next
		lines, err := w.corrections() // a change that waited was dropped
		if err != nil {
			return err
		}
		return w.did(evSubscriptionCanceled, nil, lines)
	})
}

// endNow ends the subscription at once: all its licenses are withdrawn, or none.
func (w *subscriber) endNow() error {
	if w.s.Subscription.Ended != 0 {
		return nil
	}
	var ids []license.ID
	for _, g := range w.groups() {
		for _, l := range g {
			ids = append(ids, l.ID)
		}
	}
	var out wire.Ordered
	if len(ids) > 0 {
		if err := w.withdraw(ids, &out); err != nil {
			return err
		}
	}
	if len(out.Refused) > 0 {
		first := out.Refused[0]
		return refusal.New(first.Code, "The subscription is not ended: %s", first.Message).Hinted("%s", first.Hint).With("refused", out.Refused)
	}
	w.done.Licenses = out.Done
	w.s.Subscription = w.s.End(w.now())
	lines, err := w.corrections()
	if err != nil {
		return err
	}
	if err := w.load(); err != nil {
		return err
	}
	return w.did(evSubscriptionEnded, map[string]any{"withdrawn": len(out.Done)}, lines)
}

// ResumeSubscription takes a cancellation back, or begins anew after a lapse.
func (r *Registry) ResumeSubscription(ctx context.Context, a Actor, id string, req wire.SubscriptionResumption) (wire.SubscriptionDone, error) {
	if err := reasonGiven(req.Reason); err != nil {
		return wire.SubscriptionDone{}, err
	}
	return r.subscribed(ctx, a, id, req.Reason, false, func(w *subscriber) error {
		if told, err := w.told(req.Reference); err != nil || told {
			return err
		}
		next, span, err := w.s.Resume(w.now())
		switch {
		case err != nil:
			return err
		case next == w.s.Subscription:
			return nil
		case span == subscription.Span{}:
			w.s.Subscription = next
			return w.did(evSubscriptionKept, nil, nil)
		}
		if len(w.groups()) == 0 {
			return refusal.New(refusal.SubscriptionEnded, "No license of the subscription is left; all were withdrawn.").
				Hinted("Make another one: licet-central subscription create.")
		}
		return w.renewal(next, span, evSubscriptionResumed, req.Reference)
	})
}

// clockwork is who does what is due by time alone.
var clockwork = Actor{Kind: "system", Name: "subscriptions", Scopes: []string{ScopeOrders}}

// subscriptionBatch is how many subscriptions are looked at under one lease.
const subscriptionBatch = 50

// SettleSubscriptions does what time alone does to subscriptions: renewals, changes
// that waited, grace and lapses. One server does it at a time; should two, the second
// finds nothing left to do. It returns how many it looked at.
func (r *Registry) SettleSubscriptions(ctx context.Context, lease time.Duration) (n int, err error) {
	const name = "subscriptions"
	for {
		now := license.At(r.cfg.Now())
		var due []string
		if err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			due, err = tx.SubscriptionsDue(now, subscriptionBatch)
			return err
		}); err != nil || len(due) == 0 {
			return n, err
		}
		mine := false
		if err := r.write(ctx, func(tx *store.Tx) error {
			_, mine, err = tx.LeaseCursor(name, 0, now, now.Add(lease))
			return err
		}); err != nil || !mine {
			return n, err
		}
		settled := 0
		for _, id := range due {
			done, one := r.subscribed(ctx, clockwork, id, "", false, func(*subscriber) error { return nil })
			if one != nil && err == nil {
				err = one // the others are not kept waiting by it
			}
			if done.Changed {
				settled++
			}
		}
		n += settled
		if end := r.write(ctx, func(tx *store.Tx) error { return tx.ReleaseCursor(name) }); err == nil {
			err = end
		}
		if err != nil || settled == 0 || len(due) < subscriptionBatch {
			return n, err
		}
	}
}
