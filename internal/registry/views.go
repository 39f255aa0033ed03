package registry

import (
	"context"
	"errors"
	"fmt"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

// page reads one page of rows and turns each into its view. The next cursor is
// empty at the end.
func page[R, V any](ctx context.Context, r *Registry, a Actor, limit int, rows func(*store.Tx) ([]R, error), view func(*store.Tx, R) (V, string, error)) (wire.List[V], error) {
	out := wire.List[V]{Items: []V{}}
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		rs, err := rows(tx)
		if err != nil {
			return err
		}
		for _, row := range rs {
			v, cursor, err := view(tx, row)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, v)
			out.Next = cursor
		}
		if len(rs) < limit {
			out.Next = ""
		}
		return nil
	})
	return out, err
}

// Licenses returns a page of licenses, newest first.
func (r *Registry) Licenses(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.License], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.License, error) { return tx.Licenses(cursor, limit) },
		func(tx *store.Tx, l store.License) (wire.License, string, error) {
			w, err := r.licenseViews(tx, []store.License{l})
			if err != nil {
				return wire.License{}, "", err
			}
			return w[0], string(l.ID), nil
		})
}

// License returns the whole truth about one license.
func (r *Registry) License(ctx context.Context, a Actor, id license.ID) (out wire.License, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		out, err = r.licenseShown(tx, id)
		return err
	})
	return out, err
}

// licenseShown is the view of one license with everything.
func (r *Registry) licenseShown(tx *store.Tx, id license.ID) (out wire.License, err error) {
	v, err := tx.LicenseView(id)
	if errors.Is(err, store.ErrNotFound) {
		return out, notFound("license", string(id))
	}
	if err != nil {
		return out, err
	}
	if out, err = r.joinedView(tx, v); err != nil {
		return out, err
	}
	out.Parts, err = partsOf(tx, id)
	return out, err
}

// partsOf is where the parts of a license are, none if it was never split.
func partsOf(tx *store.Tx, id license.ID) (parts []wire.Part, err error) {
	whole, err := tx.WholeOf(id)
	if err != nil || whole == "" {
		return nil, err
	}
	all, err := tx.Parts(whole)
	for _, l := range all {
		parts = append(parts, wire.Part{License: l.ID, Seats: l.Terms.Seats, Units: wire.UnitsOf(l.Terms, l.Used), State: l.State, Container: l.Holder})
	}
	return parts, err
}

// joinedView is the view of a license that was read with all that is shown of it.
func (r *Registry) joinedView(tx *store.Tx, v store.LicenseView) (wire.License, error) {
	w := licenseView(v.License, v.Order, v.Product)
	if v.Earmarks {
		if err := addPending(tx, &w); err != nil {
			return w, err
		}
	}
	w.Blocked = blockedView(v.Box)
	w.Lent = lentOf(v.Box, v.License, license.At(r.cfg.Now()))
	return w, nil
}

// licenseView is what the license itself, its order and its product say.
func licenseView(l store.License, o store.Order, p license.Product) wire.License {
	row := l.State.Row()
	w := wire.License{
		ID: l.ID, Product: l.Product, Name: p.Name, State: l.State, Place: row.Place, Meaning: row.Meaning,
		Generation: l.Generation, Container: l.Holder, Order: o.ID, Number: o.Number, Customer: o.Customer,
		Features: l.Features, Terms: l.Terms, Created: l.Created, Activated: l.Activated, ExpiresAt: l.Terms.ExpiresAt,
		Pending: []string{}, Can: can(l, p), Replaces: l.Replaces, ReplacedBy: l.ReplacedBy, KeptFor: l.Reserved, HeldBack: l.HeldBack, Withdrawn: l.Withdrawn,
		Origin: l.Origin, MergedInto: l.MergedInto,
		Units: wire.UnitsOf(l.Terms, l.Used), Subscription: l.Subscription,
	}
	if w.Features == nil {
		w.Features = []string{}
	}
	return w
}

// addPending adds what the vendor's orders will do to a license.
func addPending(tx *store.Tx, w *wire.License) error {
	orders, err := tx.EarmarksOn(w.ID)
	for _, e := range orders {
		if text := pending(e, w.ID); text != "" {
			w.Pending = append(w.Pending, text)
		}
	}
	return err
}

// licenseViews makes the views of licenses; orders and products are read once.
func (r *Registry) licenseViews(tx *store.Tx, ls []store.License, known ...store.Order) ([]wire.License, error) {
	orders := map[string]store.Order{}
	for _, o := range known {
		orders[o.ID] = o
	}
	products := map[string]license.Product{}
	holders := map[license.Serial]store.Container{}
	out := []wire.License{}
	for _, l := range ls {
		o, ok := orders[l.OrderID]
		if !ok {
			var err error
			if o, err = tx.OrderByID(l.OrderID); err != nil {
				return nil, err
			}
			orders[l.OrderID] = o
		}
		p, ok := products[l.Product]
		if !ok {
			var err error
			if p, err = tx.Product(l.Product); err != nil {
				return nil, err
			}
			products[l.Product] = p
		}
		w := licenseView(l, o, p)
		if err := addPending(tx, &w); err != nil {
			return nil, err
		}
		if l.Holder != "" {
			c, ok := holders[l.Holder]
			if !ok {
				var err error
				if c, err = tx.Container(l.Holder); err != nil {
					return nil, err
				}
				holders[l.Holder] = c
			}
			w.Blocked = blockedView(c)
			w.Lent = lentOf(c, l, license.At(r.cfg.Now()))
		}
		out = append(out, w)
	}
	return out, nil
}

// blockedView says why a container is blocked, nil if it is not.
func blockedView(c store.Container) *wire.Blocked {
	if c.Blocked.Reason == "" {
		return nil
	}
	return &wire.Blocked{Reason: c.Blocked.Reason, Time: c.Blocked.Time, Locked: c.Closed}
}

// pending says what an order of the vendor will do to a license, for people; ""
// if it concerns an earlier copy only.
func pending(e store.Earmark, id license.ID) string {
	when := "at the next contact of container " + string(e.Container)
	if e.Step != 0 {
		when = fmt.Sprintf("in step %d of container %s, whose receipt is awaited", e.Step, e.Container)
	}
	switch {
	case e.Kind == store.Kill:
		return fmt.Sprintf("its lost copy (generation %d) is removed %s", e.Generation, when)
	case e.With == id:
		return fmt.Sprintf("it takes the place of %s %s", e.License, when)
	case e.Kind == store.Replace:
		return fmt.Sprintf("it is replaced by %s %s", e.With, when)
	case e.Kind == store.Change:
		return "it comes again as it is now " + when
	case e.Kind == store.Assign:
		return "it is activated " + when
	case e.Kind == store.Recall:
		return "it is returned " + when
	}
	return "it is withdrawn " + when
}

// can says what can be done with a license now, for people.
func can(l store.License, p license.Product) []string {
	switch {
	case l.HeldBack != "":
		return []string{"be brought by the container that has it, if one has", "be released by staff in its next generation"}
	case l.State.Available() && l.Reserved != "":
		return []string{"be fetched by container " + string(l.Reserved) + " with no ticket"}
	case l.State.Available():
		return []string{"be activated with its ticket"}
	case l.State == license.Gone:
		return []string{}
	case l.State == license.Collecting:
		return []string{"be fetched again by container " + string(l.Holder), "be confirmed by any report of that container"}
	case l.State == license.Returning:
		return []string{"be confirmed as removed by any report of container " + string(l.Holder)}
	case p.Deactivation:
		return []string{"be deactivated in container " + string(l.Holder)}
	}
	return []string{"stay in container " + string(l.Holder) + " (its product does not let users return it)"}
}

// Containers returns a page of containers by serial.
func (r *Registry) Containers(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Container], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Container, error) { return tx.Containers(cursor, limit) },
		func(tx *store.Tx, c store.Container) (wire.Container, string, error) {
			w, err := r.containerView(tx, c)
			return w, string(c.Serial), err
		})
}

// Container returns the whole truth about one container.
func (r *Registry) Container(ctx context.Context, a Actor, serial license.Serial) (out wire.Container, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.Container(serial)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("container", string(serial))
		}
		if err != nil {
			return err
		}
		out, err = r.containerView(tx, c)
		return err
	})
	return out, err
}

func (r *Registry) containerView(tx *store.Tx, c store.Container) (wire.Container, error) {
	w := wire.Container{Serial: c.Serial, Kind: c.Identity.Kind, Status: "ok", Issued: c.Issued, Acked: c.Acked, Binding: c.Binding,
		FirstSeen: c.FirstSeen, LastSeen: c.LastSeen, Challenged: len(c.Challenge) > 0, Pending: []string{},
		Lent: stillLent(c, license.At(r.cfg.Now()))}
	if f := c.Flag; f.Reason != "" {
		w.Status = "flagged"
		w.Flag = &wire.Flag{Reason: f.Reason, Time: f.Time, Number: f.Number, Acceptable: f.Acceptable}
	}
	if w.Blocked = blockedView(c); w.Blocked != nil {
		w.Status = "blocked"
	}
	orders, err := tx.EarmarksOf(c.Serial)
	if err != nil {
		return w, err
	}
	for _, e := range orders {
		w.Pending = append(w.Pending, string(e.License)+": "+pending(e, e.License))
	}
	switch container.NextLock(c.Closed, c.Blocked.Reason != "") {
	case container.Close:
		w.Pending = append(w.Pending, "it is locked at its next contact")
	case container.Open:
		w.Pending = append(w.Pending, "it is unlocked at its next contact")
	}
	ls, err := tx.LicensesWith(c.Serial)
	if err != nil {
		return w, err
	}
	w.Licenses, err = r.licenseViews(tx, ls)
	return w, err
}

// History returns what ever happened to one thing, oldest first. Kind is order
// or subscription (by number or id), license, container or product.
func (r *Registry) History(ctx context.Context, a Actor, kind, id, cursor string, limit int) (wire.List[wire.Event], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Event, error) {
		subject, err := findSubject(tx, kind, id)
		if err != nil {
			return nil, err
		}
		return tx.Events(subject, cursor, limit)
	}, eventView)
}

// Audit returns the whole trail, oldest first.
func (r *Registry) Audit(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Event], error) {
	if err := a.may(ScopeAudit); err != nil {
		return wire.List[wire.Event]{Items: []wire.Event{}}, err
	}
	return page(ctx, r, Actor{Scopes: []string{ScopeRead}}, limit, func(tx *store.Tx) ([]store.Event, error) { return tx.AllEvents(cursor, limit) }, eventView)
}

func eventView(_ *store.Tx, e store.Event) (wire.Event, string, error) { return view(e), e.ID, nil }

// findSubject checks that a thing exists, so that an empty history is never
// shown for a mistyped name.
func findSubject(tx *store.Tx, kind, id string) (s store.Subject, err error) {
	s = about(kind, id)
	switch kind {
	case ofOrder:
		var o store.Order
		o, err = findOrder(tx, id)
		s.ID = o.ID
		return s, err
	case ofSubscription:
		var one store.Subscription
		one, err = findSubscription(tx, id)
		s.ID = one.ID
		return s, err
	case ofLicense:
		_, err = tx.License(license.ID(id))
	case ofContainer:
		_, err = tx.Container(license.Serial(id))
	case ofProduct:
		_, err = tx.Product(id)
	}
	if errors.Is(err, store.ErrNotFound) {
		return s, notFound(kind, id)
	}
	return s, err
}
