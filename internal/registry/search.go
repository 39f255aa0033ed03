package registry

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"licet/internal/store"
	"licet/internal/webhook"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const (
	// foundAtMost is how many of each kind a search shows.
	foundAtMost = 10
	// lookedAt is how many orders a search of several words looks at.
	lookedAt = 300
	// trailScan is how many entries of the trail one page looks at.
	trailScan = 20_000
	maxQuery  = 200
)

// Search finds orders by ticket, number or any word of number and customer,
// licenses and containers by the beginning of their names, and a recovery by its
// number.
func (r *Registry) Search(ctx context.Context, a Actor, query string) (out wire.Found, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	out = wire.Found{Customers: []wire.Customer{}, Orders: []wire.OrderHead{}, Licenses: []wire.License{}, Containers: []wire.Container{}}
	query = strings.TrimSpace(query)
	if query == "" || len(query) > maxQuery || strings.ContainsRune(query, 0) {
		return out, nil
	}
	code, noTicket := license.ParseTicket(query)
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		if noTicket == nil {
			out.Ticket = true // and must not be shown or kept as what was searched for
			return r.searchTicket(tx, code, &out)
		}
		out.Query = query
		if err := r.searchOrders(tx, query, &out); err != nil {
			return err
		}
		if err := r.searchLicenses(tx, query, &out); err != nil {
			return err
		}
		if err := r.searchContainers(tx, query, &out); err != nil {
			return err
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(query), "R-"), 10, 63)
		if err != nil {
			return nil // no number, hence no recovery
		}
		switch _, err := tx.Recovery(n); {
		case err == nil:
			out.Recovery = n
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		return nil
	})
	return out, err
}

func (r *Registry) searchTicket(tx *store.Tx, code license.Ticket, out *wire.Found) error {
	t, err := tx.TicketByLookup(r.ticketHash(code))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := tx.OrderByID(t.OrderID)
	if err != nil {
		return err
	}
	w, err := orderHead(tx, o)
	if err != nil {
		return err
	}
	out.Orders = append(out.Orders, w)
	ls, err := tx.OrderLicenses(o.ID, "", foundAtMost)
	if err != nil {
		return err
	}
	out.More = w.Licenses > foundAtMost
	out.Licenses, err = r.licenseViews(tx, ls, o)
	return err
}

func (r *Registry) searchOrders(tx *store.Tx, query string, out *wire.Found) error {
	words := store.Words(query)
	if len(words) == 0 {
		words = []string{store.Fold(query)}
	}
	longest := slices.MaxFunc(words, func(a, b string) int { return len(a) - len(b) })
	if longest == "" {
		return nil
	}
	found, err := tx.OrdersByWord(longest, lookedAt)
	if err != nil {
		return err
	}
	out.More = out.More || len(found) == lookedAt
	customers := map[string]int{}
	for _, o := range found {
		have := append(store.Words(o.Number), store.Words(o.Customer)...)
		have = append(have, store.Fold(o.Number), store.Fold(o.Customer))
		all := !slices.ContainsFunc(words, func(w string) bool {
			return !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) })
		})
		if !all {
			continue
		}
		if at, ok := customers[o.Customer]; ok {
			out.Customers[at].Orders++
		} else if len(customers) < foundAtMost {
			customers[o.Customer] = len(out.Customers)
			out.Customers = append(out.Customers, wire.Customer{Name: o.Customer, Orders: 1, Last: o.Created})
		}
		if len(out.Orders) == foundAtMost {
			out.More = true
			continue
		}
		w, err := orderHead(tx, o)
		if err != nil {
			return err
		}
		out.Orders = append(out.Orders, w)
	}
	return nil
}

func (r *Registry) searchLicenses(tx *store.Tx, query string, out *wire.Found) error {
	prefix := strings.ToLower(query)
	if !strings.HasPrefix(prefix, "lic_") {
		if len(prefix) < 4 {
			return nil // that is most of them
		}
		prefix = "lic_" + prefix
	}
	ls, err := tx.LicensesByPrefix(prefix, foundAtMost+1)
	if err != nil {
		return err
	}
	if len(ls) > foundAtMost {
		ls, out.More = ls[:foundAtMost], true
	}
	found, err := r.licenseViews(tx, ls)
	out.Licenses = append(out.Licenses, found...)
	return err
}

func (r *Registry) searchContainers(tx *store.Tx, query string, out *wire.Found) error {
	cs, err := tx.ContainersByPrefix(strings.ToUpper(query), foundAtMost+1)
	if err == nil && len(cs) == 0 {
		cs, err = tx.ContainersByPrefix(strings.ToLower(query), foundAtMost+1)
	}
	if err != nil {
		return err
	}
	if len(cs) > foundAtMost {
		cs, out.More = cs[:foundAtMost], true
	}
	for _, c := range cs {
		w, err := r.containerView(tx, c)
		if err != nil {
			return err
		}
		out.Containers = append(out.Containers, w)
	}
	return nil
}

func orderHead(tx *store.Tx, o store.Order) (wire.OrderHead, error) {
	w := wire.OrderHead{Order: o.ID, Number: o.Number, Customer: o.Customer, Created: o.Created, States: map[license.State]int64{}}
	counts, err := tx.OrderStates(o.ID)
	for _, c := range counts {
		w.States[c.State] = c.Count
		w.Licenses += c.Count
	}
	return w, err
}

// OrderHeads returns a page of orders without their licenses, newest first: all,
// or those of one customer.
func (r *Registry) OrderHeads(ctx context.Context, a Actor, customer, cursor string, limit int) (wire.List[wire.OrderHead], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Order, error) {
		if customer != "" {
			return tx.OrdersOf(customer, cursor, limit)
		}
		return tx.Orders(cursor, limit)
	}, func(tx *store.Tx, o store.Order) (wire.OrderHead, string, error) {
		w, err := orderHead(tx, o)
		return w, o.ID, err
	})
}

// OrderHead returns one order by its number or id, without its licenses.
func (r *Registry) OrderHead(ctx context.Context, a Actor, number string) (out wire.OrderHead, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		o, err := findOrder(tx, number)
		if err != nil {
			return err
		}
		out, err = orderHead(tx, o)
		return err
	})
	return out, err
}

// OrderLicenses returns a page of the licenses of an order, oldest first.
func (r *Registry) OrderLicenses(ctx context.Context, a Actor, number, cursor string, limit int) (wire.List[wire.License], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.License, error) {
		o, err := findOrder(tx, number)
		if err != nil {
			return nil, err
		}
		return tx.OrderLicenses(o.ID, cursor, limit)
	}, func(tx *store.Tx, l store.License) (wire.License, string, error) {
		w, err := r.licenseViews(tx, []store.License{l})
		if err != nil {
			return wire.License{}, "", err
		}
		return w[0], string(l.ID), nil
	})
}

// OrderTicket returns the ticket of an order.
func (r *Registry) OrderTicket(ctx context.Context, a Actor, number string) (code license.Ticket, err error) {
	if err := a.may(ScopeOrders); err != nil {
		return "", err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		o, err := findOrder(tx, number)
		if err != nil {
			return err
		}
		t, err := tx.TicketByOrder(o.ID)
		if err != nil {
			return err
		}
		code, err = r.openTicket(t)
		return err
	})
	return code, err
}

// RecoveriesWith returns a page of the recoveries in a state or of a customer,
// newest first.
func (r *Registry) RecoveriesWith(ctx context.Context, a Actor, state, customer, cursor string, limit int) (wire.List[wire.Recovery], error) {
	at, err := cursorNumber(cursor)
	if err != nil {
		return wire.List[wire.Recovery]{Items: []wire.Recovery{}}, err
	}
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Recovery, error) {
		if customer != "" {
			return tx.RecoveriesOfCustomer(customer, at, limit)
		}
		return tx.RecoveriesIn(state, at, limit)
	}, func(tx *store.Tx, rec store.Recovery) (wire.Recovery, string, error) {
		w, err := r.recoveryView(tx, rec)
		return w, number(rec.Number), err
	})
}

// ContainersWith returns a page of the containers with a status, flagged or
// blocked, by serial.
func (r *Registry) ContainersWith(ctx context.Context, a Actor, status, cursor string, limit int) (wire.List[wire.Container], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Container, error) {
		if status == "blocked" {
			return tx.BlockedContainers(cursor, limit)
		}
		return tx.FlaggedContainers(cursor, limit)
	}, func(tx *store.Tx, c store.Container) (wire.Container, string, error) {
		w, err := r.containerView(tx, c)
		return w, string(c.Serial), err
	})
}

// Waits counts what waits for staff.
func (r *Registry) Waits(ctx context.Context, a Actor) (out wire.Waits, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		out = wire.Waits{}
		gap, err := r.gapView(tx)
		if err != nil {
			return err
		}
		out.Restored, out.HeldBack, out.Outdated = gap.Open, gap.HeldBack, gap.Outdated
		if out.Recoveries, out.Containers, err = tx.Waits(); err != nil || a.may(ScopeWebhooks) != nil {
			return err
		}
		hooks, err := tx.Webhooks()
		for _, h := range hooks {
			if h.Stopped == store.HookGone || h.Stopped == store.HookFailing || h.Stopped == "" && h.Failures >= webhook.HoldAfter {
				out.Webhooks++
			}
		}
		return err
	})
	return out, err
}

// PendingFor lists the vendor's orders that wait for a container, or that concern
// a license.
func (r *Registry) PendingFor(ctx context.Context, a Actor, serial license.Serial, id license.ID) (out []wire.Earmark, err error) {
	if err := a.may(ScopeRead); err != nil {
		return nil, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		es, err := tx.EarmarksOn(id)
		if serial != "" {
			es, err = tx.EarmarksOf(serial)
		}
		if err != nil {
			return err
		}
		for _, e := range es {
			l, err := tx.License(e.License)
			if err != nil {
				return err
			}
			out = append(out, wire.Earmark{ID: e.ID, Kind: e.Kind, License: e.License, Product: l.Product, Generation: e.Generation, Container: e.Container,
				With: e.With, Step: e.Step, Text: pending(e, e.License), Actor: e.Actor, Reason: e.Reason, Created: e.Created})
		}
		return nil
	})
	return out, err
}

// Timeline returns what happened to one thing, newest first. Kind is as for
// [Registry.History], or recovery.
func (r *Registry) Timeline(ctx context.Context, a Actor, kind, id, before string, limit int) (wire.List[wire.Event], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Event, error) {
		subject, err := findSubject(tx, kind, id)
		if err != nil {
			return nil, err
		}
		return tx.Timeline(subject, before, limit)
	}, eventView)
}

// Trail returns a page of the audit trail, newest first. A page of a filter that
// fits few entries may hold less than there is room for, and still name a next
// one: it looks at so many entries and no more.
func (r *Registry) Trail(ctx context.Context, a Actor, f wire.Trail, limit int) (out wire.List[wire.Event], err error) {
	out.Items = []wire.Event{}
	if err := a.may(ScopeAudit); err != nil {
		return out, err
	}
	if f.Kind != "" && f.ID != "" {
		return r.subjectTrail(ctx, f, limit)
	}
	if len(f.Actor) > maxQuery || len(f.Event) > maxQuery {
		return out, refusal.New(refusal.InvalidInput, "The filter is longer than %d bytes.", maxQuery)
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		found, floor, err := tx.Trail(store.TrailFilter{Actor: f.Actor, Name: f.Event, Since: f.Since, Until: f.Until}, f.Before, trailScan, limit)
		for _, e := range found {
			out.Items = append(out.Items, view(e))
		}
		switch out.Next = floor; {
		case len(found) == limit:
			out.Next = found[limit-1].ID
		}
		return err
	})
	return out, err
}

func (r *Registry) subjectTrail(ctx context.Context, f wire.Trail, limit int) (wire.List[wire.Event], error) {
	return page(ctx, r, Actor{Scopes: []string{ScopeRead}}, limit, func(tx *store.Tx) ([]store.Event, error) {
		return tx.Timeline(about(f.Kind, f.ID), f.Before, limit)
	}, eventView)
}
