package registry

import (
	"errors"
	"maps"
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
)

// desk is what staff decide about in one transaction: containers and licenses,
// locked in the order in which machines' contacts lock them, containers first.
type desk struct {
	*Registry
	tx         *store.Tx
	log        scribe
	containers map[license.Serial]store.Container
	licenses   map[license.ID]store.License
	products   map[string]license.Product

	// The subscription that the transaction is about, as it is by now; nil for none.
	subscription *subscription.Subscription
}

func (r *Registry) desk(tx *store.Tx, a Actor, reason string) *desk {
	log := r.scribe(tx, a, r.cfg.Now())
	log.reason = reason
	return &desk{Registry: r, tx: tx, log: log, containers: map[license.Serial]store.Container{},
		licenses: map[license.ID]store.License{}, products: map[string]license.Product{}}
}

func (d *desk) now() license.Time { return license.At(d.log.now) }

// lock locks licenses with every container that they concern: those that ever
// held one, or are to get one; and the containers named besides. It is called
// once. What changed while it waited for the locks makes the transaction start
// again.
func (d *desk) lock(ids []license.ID, more ...license.Serial) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	before := slices.Clone(more)
	for _, id := range ids {
		l, err := d.tx.License(id)
		if errors.Is(err, store.ErrNotFound) {
			return noLicense(id)
		}
		if err != nil {
			return err
		}
		serials, err := d.concerned(l)
		if err != nil {
			return err
		}
		before = append(before, serials...)
	}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(before))) {
		c, err := d.lockContainer(d.tx, s)
		if errors.Is(err, store.ErrNotFound) {
			return noContainer(s)
		}
		if err != nil {
			return err
		}
		d.containers[s] = c
	}
	for _, id := range ids {
		l, err := d.tx.LockLicense(id)
		if err != nil {
			return err
		}
		d.licenses[id] = l
		serials, err := d.concerned(l)
		if err != nil {
			return err
		}
		for _, s := range serials {
			if _, locked := d.containers[s]; !locked {
				return errAgain
			}
		}
	}
	return nil
}

func noLicense(id license.ID) *refusal.Refusal {
	return refusal.New(refusal.LicenseUnknown, "There is no license %s.", id).With("license", string(id)).
		Hinted("licet-central license list and licet-central ticket show name what there is.")
}

func noContainer(s license.Serial) *refusal.Refusal {
	return refusal.New(refusal.ContainerUnknown, "There is no container %s.", s).With("container", string(s)).
		Hinted("licet-central container list names them.")
}

// concerned is the containers that a decision about a license touches.
func (d *desk) concerned(l store.License) ([]license.Serial, error) {
	serials, err := d.tx.ContainersOf(l.ID)
	if err != nil {
		return nil, err
	}
	if l.Holder != "" {
		serials = append(serials, l.Holder)
	}
	if l.Reserved != "" {
		serials = append(serials, l.Reserved)
	}
	return serials, nil
}

func (d *desk) product(code string) (license.Product, error) {
	if p, ok := d.products[code]; ok {
		return p, nil
	}
	p, err := d.tx.Product(code)
	if err == nil {
		d.products[code] = p
	}
	return p, err
}

// holds is what a container holds by the plan once the vendor's orders for it
// are carried out; and will be gone those that are to leave it anyway.
func (d *desk) holds(serial license.Serial) ([]container.Candidate, error) {
	held, err := d.tx.LicensesWith(serial)
	if err != nil {
		return nil, err
	}
	orders, err := d.tx.EarmarksOf(serial)
	if err != nil {
		return nil, err
	}
	for _, e := range orders {
		id := e.With
		if e.Kind == store.Assign {
			id = e.License
		}
		if id == "" {
			continue
		}
		l, err := d.tx.License(id)
		if err != nil {
			return nil, err
		}
		if l.Holder != serial {
			held = append(held, l)
		}
	}
	var out []container.Candidate
	for _, l := range held {
		leaves := l.State == license.Returning || slices.ContainsFunc(orders, func(e store.Earmark) bool {
			return e.License == l.ID && (e.Kind == store.Withdraw || e.Kind == store.Replace || e.Kind == store.Recall)
		})
		if leaves {
			continue
		}
		c, err := d.candidate(l)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (d *desk) candidate(l store.License) (container.Candidate, error) {
	p, err := d.product(l.Product)
	return container.Candidate{License: l.ID, Generation: l.Generation, Product: l.Product, State: l.State, Holder: l.Holder,
		Requires: p.Requires, Kinds: p.Containers, Deactivation: p.Deactivation, Reserved: l.Reserved}, err
}

// subscribed gives a license that comes in place of one of a subscription the end that
// the others have. That one is locked, which is the lock on what its subscription says.
func (d *desk) subscribed(l store.License, id string) (store.License, error) {
	s := d.subscription
	if s == nil {
		row, err := d.tx.SubscriptionByID(id)
		if err != nil {
			return l, err
		}
		s = &row.Subscription
	}
	l.Subscription, l.Sold = id, subscribedTerms(l.Sold, *s)
	return l.With(l.Terms.Seats), nil
}

// order stores an order for a container that is locked, with its event.
func (d *desk) order(e store.Earmark, event string, details map[string]any, subjects ...store.Subject) error {
	e.ID, e.Actor, e.Reason, e.Created = d.newID("ear", d.log.now), d.log.actor.String(), d.log.reason, d.now()
	if err := d.tx.InsertEarmark(e); err != nil {
		return err
	}
	all := map[string]any{"kind": e.Kind, "generation": e.Generation, "container": e.Container, "product": d.licenses[e.License].Product}
	maps.Copy(all, details)
	l := d.licenses[e.License]
	return d.log.note(event, all, append([]store.Subject{about(ofLicense, string(e.License)), about(ofContainer, string(e.Container)), about(ofOrder, l.OrderID)}, subjects...)...)
}

// drop takes an order off its container, and frees what was to come with it.
func (d *desk) drop(e store.Earmark) error {
	if err := d.tx.DeleteEarmark(e); err != nil {
		return err
	}
	if e.With == "" {
		return nil
	}
	l, err := d.tx.LockLicense(e.With)
	if err != nil || l.Reserved == "" {
		return err
	}
	l.Reserved = ""
	if err := d.tx.MarkLicense(l); err != nil {
		return err
	}
	return d.log.note(evLicenseFree, map[string]any{"product": l.Product, "instead": e.License}, about(ofLicense, string(l.ID)), about(ofOrder, l.OrderID))
}

// move takes a license that leaves the user, or is with the vendor, through one
// transition, with its event.
func (d *desk) move(l store.License, event license.Event, details map[string]any, subjects ...store.Subject) (store.License, error) {
	old := l.State
	next, no := license.Next(old, event)
	if no != nil {
		return l, no.With("license", string(l.ID))
	}
	all := map[string]any{"from": old, "to": next, "generation": l.Generation, "product": l.Product}
	if l.Holder != "" {
		subjects = append(subjects, about(ofContainer, string(l.Holder)))
	}
	l.State, l.Holder, l.Step = next, "", 0
	if err := d.tx.MoveLicense(old, l); err != nil {
		return l, err
	}
	d.licenses[l.ID] = l
	maps.Copy(all, details)
	return l, d.log.note(string(event), all, append([]store.Subject{about(ofLicense, string(l.ID)), about(ofOrder, l.OrderID)}, subjects...)...)
}

// mark stores generation, withdrawal, reservation and replacement of a license.
func (d *desk) mark(l store.License) error {
	d.licenses[l.ID] = l
	return d.tx.MarkLicense(l)
}
