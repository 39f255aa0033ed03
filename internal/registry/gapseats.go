package registry

import (
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
)

// Units that moved in the gap cannot be brought: how many are used of each part is not
// known of those that are with nobody.

// Seats that moved in the gap between parts of a license (docs/protocol.md, sections
// 12 and 13). The bodies that a container still has say how many seats it has of
// each; what they say moves seats in the record, and the sum stays.

// broughtSeats makes parts have the seats that the container has of them: first those
// that have fewer now, then those that have more or are new.
func (x *exchange) broughtSeats(parts []container.Body) error {
	for _, b := range parts {
		l, known := x.licenses[b.License]
		if !known || l.Terms.Seats <= b.Terms.Seats {
			continue
		}
		rest := store.License{ID: license.ID(x.newID("lic", x.now)), State: license.Returned, HeldBack: store.HeldReturned}
		if _, err := x.moveSeats(l, rest, l.Terms.Seats-b.Terms.Seats, b.Activated); err != nil {
			return err
		}
	}
	for _, b := range parts {
		l, known := x.licenses[b.License]
		if !known {
			l = store.License{ID: b.License, State: license.NotCollected, HeldBack: store.HeldReturned}
		}
		whole := l.Whole()
		if !known {
			whole = b.Of
		}
		for lacks := b.Terms.Seats - l.Terms.Seats; lacks > 0; lacks = b.Terms.Seats - l.Terms.Seats {
			from, err := x.giver(whole, parts, lacks)
			if err != nil {
				return err
			}
			if from.ID == "" {
				if err := x.overdrawn(l, whole, b); err != nil {
					return err
				}
				break
			}
			if l, err = x.moveSeats(from, l, min(lacks, from.Terms.Seats), b.Activated); err != nil {
				return err
			}
		}
	}
	return nil
}

// overdrawn ends the generation of a license of which the container has more seats
// than the record can give it: others have got them since, in their next generation,
// because staff have released them. The container's copy counts no more.
func (x *exchange) overdrawn(l store.License, whole license.ID, b container.Body) error {
	if l.OrderID == "" {
		if err := x.lock([]license.ID{whole}); err != nil {
			return err
		}
		var err error
		l.State, l.HeldBack = license.Gone, ""
		if l, err = x.moveSeats(x.licenses[whole], l, 0, 0); err != nil {
			return err
		}
	}
	was, old := l.Generation, l.State
	l.Generation = max(was, b.Generation).After(x.keys.epoch)
	if l.Holder == x.in.serial { // what it had is free in the next generation, like all that was released
		l.State, l.Holder, l.HeldBack = license.Returned, "", store.HeldReturned
	}
	x.licenses[l.ID] = l
	if err := x.tx.MarkLicense(l); err != nil {
		return err
	}
	if err := x.tx.MoveLicense(old, l); err != nil {
		return err
	}
	return x.log.note(evCopyEnded, map[string]any{"was": was, "generation": l.Generation, "product": l.Product, "seats": b.Terms.Seats, "to": l.State, "held_back": l.HeldBack},
		about(ofLicense, string(l.ID)), x.self(), about(ofOrder, l.OrderID))
}

// giver is the part from which seats come that a container has: none that it has
// itself, but one of which it is not sure where it is, with the vendor rather than with
// a container, and with just as many seats rather than more, or fewer. None is taken
// from another container if staff have let go of a part in the gap: that may have been
// the one.
func (x *exchange) giver(whole license.ID, has []container.Body, seats int64) (best store.License, err error) {
	family, err := x.tx.Parts(whole)
	if err != nil {
		return best, err
	}
	var ids []license.ID
	for _, l := range family {
		ids = append(ids, l.ID)
	}
	if err := x.lock(ids); err != nil {
		return best, err
	}
	rank := func(l store.License) int {
		n := 0
		if l.Holder != "" {
			n = 3
		}
		switch {
		case l.Terms.Seats > seats:
			n++
		case l.Terms.Seats < seats:
			n += 2
		}
		return n
	}
	released := false
	for _, id := range ids {
		l := x.licenses[id]
		released = released || uint64(l.Generation) > x.keys.epoch
		sure, err := x.sure(l)
		if err != nil {
			return best, err
		}
		here := l.Holder == x.in.serial || slices.ContainsFunc(has, func(b container.Body) bool { return b.License == id })
		if here || sure || l.State == license.Gone || l.Terms.Seats == 0 {
			continue
		}
		if best.ID == "" || rank(l) < rank(best) {
			best = l
		}
	}
	if best.Holder != "" && released {
		return store.License{}, nil
	}
	return best, nil
}

// moveSeats moves seats from one part to another, which begins with them if it has no
// row. One that has none left is merged into the other.
func (x *exchange) moveSeats(from, to store.License, seats int64, activated license.Time) (store.License, error) {
	if from.Activated == 0 && activated != 0 {
		from = from.Activate(activated)
		if err := x.tx.MoveLicense(from.State, from); err != nil {
			return to, err
		}
	}
	made := to.OrderID == ""
	details := map[string]any{"seats": seats, "had": from.Terms.Seats, "left": from.Terms.Seats - seats, "of": from.ID, "part": to.ID, "whole": from.Whole(),
		"product": from.Product, "activated": from.Activated}
	if made {
		there := from
		there.State, there.Holder, there.Step, there.HeldBack = to.State, "", 0, ""
		_, part, err := x.tx.SplitLicense(there, to.ID, seats, license.At(x.now))
		if err != nil {
			return to, err
		}
		part.HeldBack = to.HeldBack
		if err := x.tx.MarkLicense(part); err != nil {
			return to, err
		}
		to = part
		if part.Subscription != "" {
			details["subscription"] = part.Subscription
		}
		details["made"], details["state"], details["held_back"] = true, part.State, part.HeldBack
		details["position"], details["ticket"], details["terms"], details["features"] = part.Item, part.TicketID, part.Sold, part.Features
	} else {
		if to.Activated == 0 && activated != 0 {
			to = to.Activate(activated)
			if err := x.tx.MoveLicense(to.State, to); err != nil {
				return to, err
			}
		}
		if err := x.tx.MoveSeats(from.ID, to.ID, seats); err != nil {
			return to, err
		}
		to = to.With(to.Terms.Seats + seats)
	}
	old := from.State
	if from = from.With(from.Terms.Seats - seats); from.Terms.Seats == 0 && seats > 0 {
		from.State, from.Holder, from.Step, from.HeldBack, from.MergedInto = license.Gone, "", 0, "", to.ID
		if err := x.tx.MarkMerged(from.ID, to.ID); err != nil {
			return to, err
		}
		if err := x.tx.MarkLicense(from); err != nil {
			return to, err
		}
		if err := x.tx.MoveLicense(old, from); err != nil {
			return to, err
		}
		details["merged"] = true
	}
	x.licenses[from.ID], x.licenses[to.ID] = from, to
	x.locked[from.ID], x.locked[to.ID] = true, true
	return to, x.log.note(evSeatsBrought, details, about(ofLicense, string(from.ID)), about(ofLicense, string(to.ID)), about(ofOrder, from.OrderID), x.self())
}

// partsBrought are the bodies that say how many seats the container has of a license:
// of one that is, or has, a part, or that has another number of seats than the record
// knows.
func (x *exchange) partsBrought(steps []container.Brought, lost []container.Body) (parts, whole []container.Body, err error) {
	const unitsParted = "It brings units of a license that was split, merged or returned in part after the back-up."
	for _, b := range lost {
		if b.Of != "" && b.Terms.Units > 0 {
			return nil, nil, cannotBring(unitsParted)
		}
		if b.Of != "" {
			if _, err := x.tx.License(b.Of); err == nil {
				parts = append(parts, b)
				continue
			}
		}
		whole = append(whole, b)
	}
	for _, b := range steps {
		for _, op := range b.Step.Ops {
			l, known := x.licenses[op.License]
			body, have := bodyIn(b, op.License)
			if known && have && op.Kind == container.Put && body.Terms.Units > 0 {
				family, err := x.tx.WholeOf(op.License)
				if err != nil {
					return nil, nil, err
				}
				if op.Phase == container.Return || family != "" && body.Terms.Units != l.Terms.Units {
					return nil, nil, cannotBring(unitsParted)
				}
			}
			if !known || !have || op.Kind != container.Put || op.Generation < l.Generation || body.Terms.Seats == l.Terms.Seats {
				continue
			}
			parts = slices.DeleteFunc(parts, func(o container.Body) bool { return o.License == op.License })
			parts = append(parts, body)
		}
	}
	return parts, whole, nil
}
