package registry

import (
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
)

// issued notes which of the vendor's orders the step n carries. A license that
// comes in is kept for nobody from then on.
func (x *exchange) issued(ops []container.Op, n uint64) error {
	for i, e := range x.earmarks {
		carried := slices.ContainsFunc(ops, func(o container.Op) bool {
			want := e.Order()
			// What was to be sent, its user may have asked for meanwhile.
			fits := o.Phase == want.Phase || e.Kind == store.Assign && o.Kind == container.Put
			return o.License == e.License && fits && o.Generation == e.Generation
		})
		if !carried || e.Step != 0 {
			continue
		}
		x.earmarks[i].Step = n
		if err := x.tx.EarmarkIssued(e.ID, n); err != nil {
			return err
		}
	}
	for _, op := range ops {
		if l := x.licenses[op.License]; op.Kind == container.Put && l.Reserved != "" {
			if err := x.keepFor(l, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepFor stores for which container a license is kept; its row is locked.
func (x *exchange) keepFor(l store.License, serial license.Serial) error {
	l.Reserved = serial
	x.licenses[l.ID] = l
	return x.tx.MarkLicense(l)
}

// lateReturn tells the history of a license that a container has returned a
// generation that was lost meanwhile (docs/protocol.md R15). The order for its
// removal stays until a step of its own is proven: it is there for a copy that
// somebody puts back as well.
func (x *exchange) lateReturn(l store.License, n uint64, op container.Op) error {
	if op.Kind != container.Drop || op.Generation >= l.Generation {
		return nil
	}
	if slices.ContainsFunc(x.earmarks, func(e store.Earmark) bool { return e.Kind == store.Kill && e.License == l.ID && e.Step == n }) {
		return nil // the removal that was ordered; carriedOut tells of it
	}
	for _, s := range x.unproven {
		if s.Number > n && slices.ContainsFunc(s.Ops, func(o store.StepOp) bool { return o.Kind == container.Put && o.License == l.ID }) {
			return nil // it was given to the container again
		}
	}
	return x.copyGone(l.ID, op.Generation, n)
}

func (x *exchange) copyGone(id license.ID, generation license.Generation, step uint64) error {
	if err := x.log.note(evCopyGone, map[string]any{"generation": generation, "step": step, "product": x.licenses[id].Product},
		about(ofLicense, string(id)), x.self()); err != nil {
		return err
	}
	return x.lostUnits(id, generation)
}

// carriedOut ends the orders that the step n carried, now that it is proven to
// be applied (docs/protocol.md R8, R15).
func (x *exchange) carriedOut(n uint64) error {
	for _, e := range slices.Clone(x.earmarks) {
		if e.Step != n {
			continue
		}
		if e.Kind == store.Kill {
			if err := x.copyGone(e.License, e.Generation, n); err != nil {
				return err
			}
		}
		if err := x.end(e); err != nil {
			return err
		}
	}
	return nil
}

// settle ends the orders to remove a license from the container, which has
// proven that it is gone, by whichever step.
func (x *exchange) settle(id license.ID) error {
	for _, e := range slices.Clone(x.earmarks) {
		if e.License == id && e.Kind != store.Kill {
			if err := x.end(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// end takes an order off the container. What was to come in place of a license,
// and did not come in, becomes available.
func (x *exchange) end(e store.Earmark) error {
	x.earmarks = slices.DeleteFunc(x.earmarks, func(o store.Earmark) bool { return o.ID == e.ID })
	if err := x.tx.DeleteEarmark(e); err != nil {
		return err
	}
	if l := x.licenses[e.With]; e.With != "" && l.Reserved != "" {
		if err := x.keepFor(l, ""); err != nil {
			return err
		}
		return x.log.note(evLicenseFree, map[string]any{"product": l.Product, "instead": e.License}, about(ofLicense, string(l.ID)), about(ofOrder, l.OrderID))
	}
	return nil
}

// turnedUp gives a license back to the container where it was thought lost, if
// its policy wants that: the copy there goes, the replacement comes in as soon as
// nobody else has it (docs/protocol.md R14; capability of a lost container that
// turns up). The license is locked.
func (x *exchange) turnedUp() error {
	for _, e := range slices.Clone(x.earmarks) {
		l := x.licenses[e.License]
		if e.Kind == store.Kill && e.Step == 0 && e.Found == string(license.FoundBlocked) && x.c.Blocked.Reason == "" {
			if err := block(x.log, &x.c, "reported lost, and turned up"); err != nil {
				return err
			}
		}
		if e.Kind != store.Kill || e.Step != 0 || e.Found != string(license.FoundRevived) || l.HeldBack != "" || l.Withdrawn || l.State == license.Gone || l.Reserved != "" || l.Holder == x.in.serial {
			continue
		}
		done, err := x.tx.RestoresOf(l.ID)
		if err != nil {
			return err
		}
		if len(done) == 0 || done[len(done)-1].Generation != e.Generation {
			continue // it was lost again since
		}
		assign := store.Earmark{ID: x.newID("ear", x.now), Container: x.in.serial, Kind: store.Assign, License: l.ID, Generation: l.Generation,
			Actor: x.log.actor.String(), Reason: "the lost container turned up", Created: license.At(x.now)}
		if l.State.Held() {
			other, err := x.tx.LockContainer(l.Holder)
			if err != nil {
				return err
			}
			recall := assign
			recall.ID, recall.Container, recall.Kind = x.newID("ear", x.now), other.Serial, store.Recall
			if err := x.tx.InsertEarmark(recall); err != nil {
				return err
			}
		}
		if err := x.tx.InsertEarmark(assign); err != nil {
			return err
		}
		x.earmarks = append(x.earmarks, assign)
		if err := x.keepFor(l, x.in.serial); err != nil {
			return err
		}
		if err := x.log.note(evTurnedUp, map[string]any{"generation": e.Generation, "product": l.Product, "from": l.Holder},
			about(ofLicense, string(l.ID)), x.self()); err != nil {
			return err
		}
	}
	return nil
}
