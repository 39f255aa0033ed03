package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// maxOrderLicenses is how many licenses one call may add.
const maxOrderLicenses = 100_000

// CreateOrder takes an order, or extends the one with the same number: the
// request states how many licenses of each position the order has in all, so
// sending it again adds nothing (docs/decisions/0005). One ticket stands for the
// whole order. A dry run says how many licenses would be added, and names no
// ticket and no license, as none of them is there.
func (r *Registry) CreateOrder(ctx context.Context, a Actor, req wire.OrderRequest, once Once) (wire.Order, error) {
	if err := a.may(ScopeOrders); err != nil {
		return wire.Order{}, err
	}
	items, err := orderItems(req)
	if err != nil {
		return wire.Order{}, err
	}
	if strings.TrimSpace(req.Customer) == "" {
		return wire.Order{}, refusal.New(refusal.InvalidInput, "The order names no customer.")
	}
	if req.Resent && r.keys().epoch == firstEpoch {
		return wire.Order{}, refusal.New(refusal.InvalidInput, "This server was never restored from a back-up; no order was lost.").Hinted("Send the order without resent.")
	}
	now := r.cfg.Now()
	var out wire.Order
	if req.DryRun {
		once = Once{} // what did not happen is not kept
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, once, &out, func() error {
			o := store.Order{ID: r.newID("ord", now), Number: req.Number, Customer: strings.TrimSpace(req.Customer), Created: license.At(now)}
			if o.Number == "" {
				o.Number = strings.ToUpper(strings.TrimPrefix(o.ID, "ord_"))
			}
			order, created, err := tx.EnsureOrder(o)
			if err != nil {
				return err
			}
			if order.Customer != o.Customer {
				return refusal.New(refusal.Conflict, "The order %s belongs to %s.", order.Number, order.Customer).
					Hinted("Use the order's own customer, or another order number.")
			}
			t, made, err := r.fillOrder(tx, order, created, items, req.Resent, r.scribe(tx, a, now))
			switch {
			case err != nil:
				return err
			case once.item != nil: // nobody reads them in a job
				out = wire.Order{Order: order.ID, Number: order.Number, Customer: order.Customer, Created: order.Created}
			case created: // these are all; an order may have 100 000
				out, err = r.orderWith(tx, order, &t, made)
			default:
				out, err = r.orderView(tx, order, true)
			}
			out.Added, out.New = len(made), created
			if err == nil && req.DryRun {
				return errDryRun
			}
			return err
		})
	})
	if err == errDryRun {
		out.DryRun, out.Ticket, out.Licenses, err = true, "", []wire.License{}, nil
	}
	return out, err
}

// orderItems reads the positions of a request, equal ones joined.
func orderItems(req wire.OrderRequest) ([]catalog.Item, error) {
	var items []catalog.Item
	for _, it := range req.Items {
		// One reader for both spellings keeps one set of rules.
		arg := it.Product
		if strings.ContainsAny(it.Product, "=,") {
			return nil, refusal.New(refusal.InvalidInput, "%q is not a product code.", it.Product)
		}
		for _, o := range it.Override {
			arg += "," + o
		}
		item, err := catalog.ParseItem(arg)
		if err != nil {
			return nil, err
		}
		item.Quantity = max(it.Quantity, 1)
		if i := slices.IndexFunc(items, func(x catalog.Item) bool { return positionOf(x) == positionOf(item) }); i >= 0 {
			items[i].Quantity += item.Quantity
		} else {
			items = append(items, item)
		}
	}
	return items, nil
}

// positionOf names the position of an item that was not sold by a bundle.
func positionOf(i catalog.Item) string { return catalog.Position{Item: i}.Name() }

// position is a position of an order, and the product that it is of.
type position struct {
	catalog.Position
	product license.Product
}

// positions are what the items of an order stand for, bundles taken apart.
func positions(tx *store.Tx, items []catalog.Item) (list []position, err error) {
	var total int64
	for _, it := range items {
		parts := []catalog.Position{{Item: it}}
		if b, err := tx.Bundle(it.Code); err == nil {
			parts, err = it.Positions(b)
			if err != nil {
				return nil, err
			}
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		for _, part := range parts {
			p, err := tx.Product(part.Code)
			if errors.Is(err, store.ErrNotFound) {
				return nil, refusal.New(refusal.ProductUnknown, "There is no product %s.", part.Code)
			}
			if err != nil {
				return nil, err
			}
			if total += part.Quantity; total > maxOrderLicenses {
				return nil, refusal.New(refusal.TooLarge, "An order may add %d licenses at once; this one asks for more.", maxOrderLicenses)
			}
			list = append(list, position{part, p})
		}
	}
	return list, nil
}

// fillOrder adds the licenses that an order lacks, and its ticket. It returns the
// ticket and what it added, in the order of the ids.
func (r *Registry) fillOrder(tx *store.Tx, o store.Order, created bool, items []catalog.Item, resent bool, log scribe) (store.Ticket, []store.License, error) {
	now := license.At(log.now)
	t, err := r.ensureTicket(tx, o, log)
	if err != nil {
		return t, nil, err
	}
	subjects := []store.Subject{about(ofOrder, o.ID), about(ofTicket, t.ID)}
	var added []store.License
	var what []map[string]any
	wanted, err := positions(tx, items)
	if err != nil {
		return t, nil, err
	}
	for _, it := range wanted {
		p := it.product
		terms, features, err := it.Resolve(p)
		if err != nil {
			return t, nil, err
		}
		have, err := tx.CountItem(o.ID, it.Name())
		if err != nil {
			return t, nil, err
		}
		claimed, err := r.claimBrought(tx, o, p.Code, it.Name(), it.Quantity-have, log)
		if err != nil {
			return t, nil, err
		}
		have += claimed
		made := make([]store.License, 0, max(it.Quantity-have, 0))
		for range max(it.Quantity-have, 0) {
			l := store.License{ID: license.ID(r.newID("lic", log.now)), OrderID: o.ID, TicketID: t.ID, Product: p.Code, Item: it.Name(),
				Features: features, Terms: terms, Sold: terms, State: license.NotCollected, Generation: 1, Created: now}
			if resent {
				l.HeldBack = store.HeldResent
			}
			made = append(made, l)
			subjects = append(subjects, about(ofLicense, string(l.ID)))
		}
		added = append(added, made...)
		if err := tx.InsertLicenses(made); err != nil {
			return t, nil, err
		}
		what = append(what, map[string]any{"product": p.Code, "position": it.Name(), "had": have, "asked": it.Quantity, "terms": terms, "features": features})
	}
	name := evOrderExtended
	if created {
		name = evOrderCreated
	} else if len(added) == 0 {
		return t, nil, nil
	}
	details := map[string]any{"number": o.Number, "customer": o.Customer, "items": what, "added": len(added), "ticket_record": ticketRecord(t)}
	if resent {
		details["resent"] = true
	}
	return t, added, log.note(name, details, subjects...)
}

// ticketRecord is a hash by which what the database could be made to say of a ticket
// shows; it says nothing of the ticket itself.
func ticketRecord(t store.Ticket) string {
	record := sha256.Sum256(slices.Concat(t.Lookup, t.Sealed))
	return hex.EncodeToString(record[:])
}

// ensureTicket returns the order's ticket and makes it if there is none.
func (r *Registry) ensureTicket(tx *store.Tx, o store.Order, log scribe) (store.Ticket, error) {
	t, err := tx.TicketByOrder(o.ID)
	if !errors.Is(err, store.ErrNotFound) {
		return t, err
	}
	code := r.ticketOf(o)
	t = store.Ticket{ID: r.newID("tic", log.now), OrderID: o.ID, Lookup: r.ticketHash(code), Created: license.At(log.now)}
	if t.Sealed, err = r.keys().vault.Seal(ticketPlace(t.ID), []byte(code)); err != nil {
		return t, err
	}
	return t, tx.InsertTicket(t)
}

// ticketHash is what a ticket is found by: without the key, the database does
// not help to guess it.
func (r *Registry) ticketHash(code license.Ticket) []byte {
	h := r.keys().vault.KeyedHash("ticket", []byte(code))
	return h[:]
}

func ticketPlace(id string) seal.Place {
	return seal.Place{Table: "tickets", Row: id, Column: "sealed"}
}

// findTicket finds a ticket, or what using it needs, by its keyed hash; a
// mistyped or unknown one is TicketUnknown.
func findTicket[T any](r *Registry, text license.Ticket, find func(lookup []byte) (T, error)) (t T, err error) {
	code, err := license.ParseTicket(string(text))
	if err != nil {
		return t, err
	}
	t, err = find(r.ticketHash(code))
	if errors.Is(err, store.ErrNotFound) {
		return t, refusal.New(refusal.TicketUnknown, "This ticket is not known to the vendor.")
	}
	return t, err
}

// answerOnce runs fn unless the same call was answered before; then that answer is
// given again. The answer is kept encrypted, since it may hold a secret.
//
// The answer begins empty: a transaction that is run again after a conflict may
// have left parts in it that share memory with what all calls read, a product of
// the catalog for one, and a decoder writes into the memory it finds.
func answerOnce[T any](r *Registry, tx *store.Tx, a Actor, o Once, answer *T, fn func() error) error {
	*answer = *new(T)
	if o.item != nil {
		return o.item.answer(tx, answer, fn)
	}
	if o.Key == "" {
		return fn()
	}
	where := seal.Place{Table: "once", Row: a.String() + "/" + o.Key, Column: "answer"}
	hash, sealed, err := tx.Recall(a.String(), o.Key)
	switch {
	case err == nil && string(hash) != string(o.Hash[:]):
		return refusal.New(refusal.IdempotencyReused, "The idempotency key was used before for another request.")
	case err == nil:
		plain, err := r.keys().vault.Open(where, sealed)
		if err != nil {
			return err
		}
		return json.Unmarshal(plain, answer)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	plain, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if sealed, err = r.keys().vault.Seal(where, plain); err != nil {
		return err
	}
	return tx.Remember(a.String(), o.Key, o.Hash[:], sealed, license.At(r.cfg.Now()))
}

// Orders returns a page of orders, newest first, without tickets.
func (r *Registry) Orders(ctx context.Context, a Actor, cursor string, limit int) (list wire.List[wire.Order], err error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Order, error) { return tx.Orders(cursor, limit) },
		func(tx *store.Tx, o store.Order) (wire.Order, string, error) {
			w, err := r.orderView(tx, o, false)
			return w, o.ID, err
		})
}

// Order returns one order by its number or id, with its ticket for those who
// may take orders.
func (r *Registry) Order(ctx context.Context, a Actor, number string) (out wire.Order, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		o, err := findOrder(tx, number)
		if err != nil {
			return err
		}
		out, err = r.orderView(tx, o, a.may(ScopeOrders) == nil)
		return err
	})
	return out, err
}

func findOrder(tx *store.Tx, number string) (store.Order, error) {
	o, err := tx.OrderByNumber(number)
	if errors.Is(err, store.ErrNotFound) {
		o, err = tx.OrderByID(number)
	}
	if errors.Is(err, store.ErrNotFound) {
		return o, notFound("order", number)
	}
	return o, err
}

func (r *Registry) orderView(tx *store.Tx, o store.Order, ticket bool) (wire.Order, error) {
	var shown *store.Ticket
	if ticket {
		t, err := tx.TicketByOrder(o.ID)
		if err != nil {
			return wire.Order{}, err
		}
		shown = &t
	}
	ls, err := tx.LicensesOfOrder(o.ID)
	if err != nil {
		return wire.Order{}, err
	}
	return r.orderWith(tx, o, shown, ls)
}

// orderWith is the view of an order with all its licenses, and its ticket if it
// is to be shown.
func (r *Registry) orderWith(tx *store.Tx, o store.Order, t *store.Ticket, ls []store.License) (w wire.Order, err error) {
	w = wire.Order{Order: o.ID, Number: o.Number, Customer: o.Customer, Created: o.Created}
	if t != nil {
		if w.Ticket, err = r.openTicket(*t); err != nil {
			return w, err
		}
	}
	w.Licenses, err = r.licenseViews(tx, ls, o)
	return w, err
}

func (r *Registry) openTicket(t store.Ticket) (license.Ticket, error) {
	plain, err := r.keys().vault.Open(ticketPlace(t.ID), t.Sealed)
	return license.Ticket(plain), err
}

// Ticket returns what a ticket stands for.
func (r *Registry) Ticket(ctx context.Context, a Actor, code string) (out wire.Ticket, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	ticket, err := license.ParseTicket(code)
	if err != nil {
		return out, err
	}
	lookup := r.ticketHash(ticket)
	var views []store.LicenseView
	var created license.Time
	// One query says all of most tickets.
	err = r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) (err error) {
		views, created, err = tx.TicketViews(lookup)
		return err
	})
	if err != nil {
		return out, err
	}
	if len(views) > 0 && !slices.ContainsFunc(views, func(v store.LicenseView) bool { return v.Earmarks }) {
		return r.ticketView(nil, ticket, views, created)
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		views, created, err := tx.TicketViews(lookup)
		if err != nil {
			return err
		}
		if len(views) == 0 { // only now is it worth asking whether there is one
			_, err := findTicket(r, ticket, tx.TicketByLookup)
			if err != nil {
				return err
			}
			return errors.New("registry: a ticket without licenses")
		}
		out, err = r.ticketView(tx, ticket, views, created)
		return err
	})
	return out, err
}

// ticketView is the view of a ticket with its licenses. It reads more of those that
// orders of the vendor concern.
func (r *Registry) ticketView(tx *store.Tx, ticket license.Ticket, views []store.LicenseView, created license.Time) (wire.Ticket, error) {
	o := views[0].Order
	out := wire.Ticket{Ticket: ticket, Order: o.ID, Number: o.Number, Customer: o.Customer, Created: created, Licenses: []wire.License{}}
	for _, v := range views {
		if v.State == license.Gone {
			continue // no longer on the ticket; the order's history has it
		}
		w, err := r.joinedView(tx, v)
		if err != nil {
			return wire.Ticket{}, err
		}
		out.Licenses = append(out.Licenses, w)
	}
	return out, nil
}

// ticketOf is the ticket of an order. It is drawn from the order's number with a key
// that is in secret.key alone: to everybody else it is random, and an order that was
// lost with the server's record gets the same one again (docs/decisions/0018).
func (r *Registry) ticketOf(o store.Order) license.Ticket {
	var n byte
	return license.NewTicket(func(b []byte) {
		for len(b) > 0 {
			h := r.keys().vault.KeyedHash("ticket of order", append([]byte{n}, o.Number...))
			b, n = b[copy(b, h[:]):], n+1
		}
	})
}

// unclaimed is the position of a license that a container brought back after the
// record of its order was lost, until the order is sent again.
func unclaimed(product string) string { return "brought back " + product } // no code has a blank

// claimBrought makes licenses that containers have brought back belong to a position
// of their order that lacks some, each with all its parts, and tells how many.
func (r *Registry) claimBrought(tx *store.Tx, o store.Order, product, position string, lacks int64, log scribe) (n int64, err error) {
	if r.keys().epoch == firstEpoch || lacks <= 0 {
		return 0, nil
	}
	ls, err := tx.LicensesOfOrder(o.ID)
	if err != nil {
		return 0, err
	}
	claimed := map[license.ID]bool{} // by the license of which it is a part
	for _, l := range ls {
		if l.Item != unclaimed(product) || n == lacks && !claimed[l.Whole()] {
			continue
		}
		if !claimed[l.Whole()] {
			claimed[l.Whole()] = true
			n++
		}
		l.Item = position
		if err := tx.ClaimLicense(l); err != nil {
			return n, err
		}
		if err := log.note(evLicenseClaimed, map[string]any{"position": position, "product": product, "seats": l.Terms.Seats},
			about(ofLicense, string(l.ID)), about(ofOrder, o.ID)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// sellAgain makes a license anew of which a container brought the body, and its
// order and ticket if they were lost as well. If the order was sent again meanwhile,
// it takes the place of one that was made for it then and is still with the vendor;
// all are the ones that come with it.
func (x *exchange) sellAgain(b container.Body, all []container.Body) error {
	g, err := x.tx.Gap()
	if err != nil {
		return err
	}
	o, created, err := x.tx.EnsureOrder(store.Order{ID: x.newID("ord", x.now), Number: b.Order, Customer: b.Customer, Created: license.At(x.now)})
	if err != nil {
		return err
	}
	t, err := x.ensureTicket(x.tx, o, x.log)
	if err != nil {
		return err
	}
	sold, err := x.tx.LicensesOfOrder(o.ID)
	if err != nil {
		return err
	}
	l := store.License{ID: b.License, OrderID: o.ID, TicketID: t.ID, Product: b.Product, Item: unclaimed(b.Product), Features: b.Features, Terms: b.Terms, Sold: b.Terms,
		State: license.NotCollected, Generation: 1, Created: license.At(x.now), HeldBack: store.HeldResent}
	extra := false
	var instead *store.License
	for i, s := range sold {
		mine := slices.ContainsFunc(all, func(o container.Body) bool { return o.License == s.ID })
		if mine || s.Product != b.Product || s.Created < g.Opened || strings.HasPrefix(s.Item, unclaimed("")) {
			continue
		}
		extra = true // more are out than were sold, unless one of them is free
		free := s.State == license.NotCollected && s.Activated == 0 && !s.Withdrawn && s.Reserved == ""
		if free && (instead == nil || s.Terms.Freeze(b.Activated) == b.Terms && instead.Terms.Freeze(b.Activated) != b.Terms) {
			instead = &sold[i]
		}
	}
	if instead != nil {
		extra, l.Item = false, instead.Item
	}
	have, err := x.tx.CountItem(o.ID, l.Item)
	if err != nil {
		return err
	}
	if err := x.tx.InsertLicenses([]store.License{l}); err != nil {
		return err
	}
	x.licenses[l.ID], x.locked[l.ID], x.orders[o.ID] = l, true, o
	name := evOrderExtended
	if created {
		name = evOrderCreated
	}
	details := map[string]any{"number": o.Number, "customer": o.Customer, "added": 1, "ticket_record": ticketRecord(t), "resent": true, "brought": x.in.serial,
		"items": []map[string]any{{"product": b.Product, "position": l.Item, "had": have, "asked": have + 1, "terms": b.Terms, "features": b.Features}}}
	if extra {
		details["extra"] = true
		x.cfg.Log.Warn("more licenses of an order are out than were sold", "order", o.Number, "license", l.ID, "container", x.in.serial)
	}
	if err := x.log.note(name, details, about(ofOrder, o.ID), about(ofTicket, t.ID), about(ofLicense, string(l.ID))); err != nil || instead == nil {
		return err
	}
	if err := x.lock([]license.ID{instead.ID}); err != nil {
		return err
	}
	gone := x.licenses[instead.ID]
	if gone.State != license.NotCollected || gone.Reserved != "" {
		return errAgain // somebody was faster
	}
	gone.Withdrawn, gone.HeldBack, gone.ReplacedBy = true, "", ""
	if err := x.tx.MarkLicense(gone); err != nil {
		return err
	}
	return x.move(gone, license.Withdrawn, 0)
}
