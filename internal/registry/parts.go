package registry

import (
	"maps"
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/seal"
)

// Parts of a license (docs/protocol.md, section 12): the seats or units of one license
// in several containers, each part a license of its own.

// parts adds to what is wished for all parts of the licenses that some seats or units
// are wished of.
func (x *exchange) parts(w container.Wishes) error {
	for _, a := range w.Amounts {
		if !slices.Contains(w.Activate, a.License) {
			continue
		}
		ids, err := x.family(a.License)
		if err != nil {
			return err
		}
		x.wished = append(x.wished, ids...)
	}
	return nil
}

// family is every part of the license that one belongs to; none if it was never
// split.
func (x *exchange) family(id license.ID) (ids []license.ID, err error) {
	whole, err := x.tx.WholeOf(id)
	if err != nil || whole == "" {
		return nil, err
	}
	all, err := x.tx.Parts(whole)
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	return ids, err
}

// mergedInto is the part that has the seats or units of a merged one today.
func (x *exchange) mergedInto(l store.License) (into store.License, err error) {
	for into = l; err == nil && into.MergedInto != ""; {
		into, err = x.tx.License(into.MergedInto)
	}
	return into, err
}

// given is how many units a container got by a license that it has: all but those
// that were used when it came in.
func (x *exchange) given(l store.License) (int64, error) {
	bytes, err := x.tx.FirstBody(l.Holder, l.ID, l.Generation)
	if err != nil {
		return 0, err
	}
	body, err := seal.DecodeBody(bytes)
	if err != nil {
		return 0, err
	}
	back, err := x.unitsBack(l)
	return l.Terms.Units - body.Used - back, err
}

// unitsBack is how many units of a license its container was told to give back, 0
// once that is proven. Until then the record has them with the license: they come
// back as far as they are left.
func (x *exchange) unitsBack(l store.License) (n int64, err error) {
	for _, s := range x.unproven {
		for _, op := range s.Ops {
			if n == 0 && op.License == l.ID && op.Generation == l.Generation {
				n, err = asksBack(l, op)
			}
		}
	}
	return n, err
}

// asksBack is how many units of a license an operation asks back: its body has so
// many less than the record.
func asksBack(l store.License, op store.StepOp) (int64, error) {
	if l.Terms.Units == 0 || op.Kind != container.Put || op.Phase != container.Return {
		return 0, nil
	}
	body, err := seal.DecodeBody(op.Bytes)
	return l.Terms.Units - body.Terms.Units, err
}

// takeBack splits off the units that an operation asked back and that are left, now
// that the container has proven it: they are a part with the vendor.
func (x *exchange) takeBack(op store.StepOp, step uint64) error {
	l := x.licenses[op.License]
	if l.Holder != x.in.serial || op.Generation != l.Generation {
		return nil
	}
	asked, err := asksBack(l, op)
	if err != nil || asked < 1 {
		return err
	}
	n := container.UnitsBack(asked, l.Terms.Units, l.Used)
	if n == 0 {
		return nil // all were used meanwhile
	}
	id := license.ID(x.newID("lic", x.now))
	rest, part, err := x.tx.TakeUnits(l, id, n, license.At(x.now))
	if err != nil {
		return err
	}
	x.licenses[rest.ID], x.licenses[part.ID], x.locked[part.ID] = rest, part, true
	x.parted = append(x.parted, part.ID)
	return x.log.note(evUnitsBack, map[string]any{"what": whatOf(l), "amount": n, "asked": asked, "had": amountOf(l), "left": amountOf(rest), "of": rest.ID, "part": part.ID, "whole": part.Origin,
		"state": part.State, "generation": rest.Generation, "by_step": step, "activated": rest.Activated,
		"product": rest.Product, "position": rest.Item, "ticket": rest.TicketID, "terms": part.Sold, "features": rest.Features},
		about(ofLicense, string(rest.ID)), about(ofLicense, string(part.ID)), about(ofOrder, rest.OrderID), x.self())
}

// split makes the part that an operation begins with; the license that it is split
// from is locked. A license whose terms count from its first activation counts as
// activated from now on, with all its parts.
func (x *exchange) split(op container.Op, step uint64) error {
	of := x.licenses[op.Of]
	if of.Activated == 0 {
		of = of.Activate(license.At(x.now))
		if err := x.tx.MoveLicense(of.State, of); err != nil { // it stays where it is
			return err
		}
	}
	rest, part, err := x.tx.SplitLicense(of, op.License, op.Amount, license.At(x.now))
	if err != nil {
		return err
	}
	x.licenses[rest.ID], x.licenses[part.ID], x.locked[part.ID] = rest, part, true
	details := map[string]any{"what": whatOf(of), "amount": op.Amount, "had": amountOf(of), "left": amountOf(rest), "of": rest.ID, "part": part.ID, "whole": part.Origin,
		"state": rest.State, "generation": rest.Generation, "container": rest.Holder, "step": rest.Step, "by_step": step, "activated": rest.Activated,
		"product": rest.Product, "position": rest.Item, "ticket": rest.TicketID, "terms": part.Sold, "features": rest.Features}
	if part.Subscription != "" {
		details["subscription"] = part.Subscription
	}
	return x.log.note(evSplit, details,
		about(ofLicense, string(rest.ID)), about(ofLicense, string(part.ID)), about(ofOrder, rest.OrderID), x.self())
}

// whatOf is what of a license can be in several containers, as events name it.
func whatOf(l store.License) string {
	if l.Terms.Units > 0 {
		return "units"
	}
	return "seats"
}

// amountOf is how many seats or units a license has.
func amountOf(l store.License) int64 {
	if l.Terms.Units > 0 {
		return l.Terms.Units
	}
	return l.Terms.Seats
}

// returning is how many seats of a license in the container its last step splits off
// and takes out, 0 if that step does something else or is proven; or how many of its
// units are asked back.
func (x *exchange) returning(l store.License) (int64, error) {
	if l.Terms.Units > 0 {
		return x.unitsBack(l)
	}
	for _, s := range x.unproven {
		if s.Number != l.Step {
			continue
		}
		for i, op := range s.Ops {
			if i > 0 && op.Kind == container.Put && op.Phase == container.Return && op.License == l.ID {
				return x.licenses[s.Ops[i-1].License].Terms.Seats, nil
			}
		}
	}
	return 0, nil
}

// merge gives the seats or units of parts that came back to the oldest of those that are with
// the vendor, as far as nothing is ordered for them. All are locked.
func (x *exchange) merge(ids []license.ID) error {
	done := map[license.ID]bool{}
	for _, id := range slices.Sorted(slices.Values(ids)) {
		whole := x.licenses[id].Whole()
		if done[whole] {
			continue
		}
		done[whole] = true
		if err := x.mergeParts(whole); err != nil {
			return err
		}
	}
	return nil
}

// mergeParts merges the parts of a license that belong to the same position of the
// order: of a license that was brought back, parts may wait for one.
func (x *exchange) mergeParts(whole license.ID) error {
	into := map[string]license.ID{} // by position
	for _, id := range slices.Sorted(maps.Keys(x.licenses)) {
		l := x.licenses[id]
		if l.Whole() != whole || !x.locked[id] {
			continue
		}
		if ok, err := x.merges(l); err != nil {
			return err
		} else if !ok {
			continue
		}
		first, found := into[l.Item]
		if !found {
			into[l.Item] = id
			continue
		}
		if err := x.mergeTwo(l, x.licenses[first]); err != nil {
			return err
		}
	}
	return nil
}

// merges reports whether a license may be merged with another part: it is with the
// vendor, and nothing waits to be done with it or with a lost copy of it.
func (x *exchange) merges(l store.License) (bool, error) {
	if !l.State.Available() || l.Withdrawn || l.Reserved != "" || l.HeldBack != "" || amountOf(l) == 0 {
		return false, nil
	}
	orders, err := x.tx.EarmarksOn(l.ID)
	return len(orders) == 0, err
}

func (x *exchange) mergeTwo(part, into store.License) error {
	gone, whole, err := x.tx.MergeLicense(part, into)
	if err != nil {
		return err
	}
	next, no := license.Next(part.State, license.Merged)
	if no != nil {
		return no
	}
	gone.State, gone.Step = next, 0
	if err := x.tx.MoveLicense(part.State, gone); err != nil {
		return err
	}
	x.licenses[gone.ID], x.licenses[whole.ID] = gone, whole
	return x.log.note(string(license.Merged), map[string]any{"from": part.State, "to": next, "generation": part.Generation, "step": 0, "product": part.Product,
		"what": whatOf(part), "amount": amountOf(part), "used": part.Used, "part": gone.ID, "into": whole.ID, "now": amountOf(whole)},
		about(ofLicense, string(gone.ID)), about(ofLicense, string(whole.ID)), about(ofOrder, part.OrderID), x.self())
}
