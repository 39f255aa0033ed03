package registry

import (
	"context"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// AddUnits adds units to the counter of a license: at once where it is with the
// vendor; otherwise its container gets it again at its next contact, with as many
// as it has then (docs/protocol.md, section 13).
func (r *Registry) AddUnits(ctx context.Context, a Actor, id license.ID, n int64, reason string, dryRun bool) (out wire.Ordered, err error) {
	err = hand(ctx, r, a, reason, dryRun, &out, func(d *desk) error {
		out = wire.Ordered{DryRun: dryRun, Done: []wire.OrderedLicense{}, Refused: []wire.RefusedLicense{}}
		if err := d.lock([]license.ID{id}); err != nil {
			return err
		}
		done, err := d.addUnits(d.licenses[id], n)
		out.Done = append(out.Done, done)
		return err
	})
	return out, err
}

func (d *desk) addUnits(l store.License, n int64) (done wire.OrderedLicense, err error) {
	was := l.Terms.Units
	switch {
	case n < 1:
		return done, refusal.New(refusal.InvalidInput, "%d units cannot be added; one is the least.", n).
			Hinted("Only use takes units. If the customer is to have fewer, replace the license.")
	case l.Withdrawn || l.State == license.Gone:
		return done, refusal.New(refusal.LicenseWithdrawn, "%s (%s) is withdrawn.", l.Product, l.ID).Hinted("%s", withdrawnHint(l))
	case was == 0:
		return done, refusal.New(refusal.Conflict, "%s (%s) has no counter of units, so that it gives any number.", l.Product, l.ID).
			Hinted("If it is to have one, replace the license: licet-central license replace %s --with %s,units=N.", l.ID, l.Product)
	case n > catalog.MaxCount-was:
		return done, refusal.New(refusal.InvalidInput, "With %d more, %s (%s) would have more than %d units.", n, l.Product, l.ID, int64(catalog.MaxCount)).
			Hinted("Add fewer.")
	}
	if back, err := d.asked(l); err != nil {
		return done, err
	} else if back {
		return done, refusal.New(refusal.Conflict, "Some units of %s (%s) are on their way back; how many are left is known with the next report of container %s.", l.Product, l.ID, l.Holder).
			Hinted("Add them when the report is there: licet update on that machine, or its receipt.")
	}
	l.Sold.Units += n
	l = l.With(l.Terms.Seats)
	if err := d.tx.MoveLicense(l.State, l); err != nil {
		return done, err
	}
	d.licenses[l.ID] = l
	done = wire.OrderedLicense{License: l.ID, Product: l.Product, Container: l.Holder, When: wire.Now, Units: wire.UnitsOf(l.Terms, l.Used)}
	details := map[string]any{"added": n, "was": was, "units": l.Terms.Units, "used": l.Used}
	if l.State != license.Collecting && l.State != license.Collected {
		details["generation"], details["product"] = l.Generation, l.Product
		return done, d.log.note(evUnitsAdded, details, about(ofLicense, string(l.ID)), about(ofOrder, l.OrderID))
	}
	if err := d.dropChange(l); err != nil { // a step that is under way does not bring these
		return done, err
	}
	done.When = wire.NextContact
	return done, d.order(store.Earmark{Container: l.Holder, Kind: store.Change, License: l.ID, Generation: l.Generation}, evUnitsAdded, details)
}

// asked reports whether units of a locked license are asked back by a step that is
// not proven.
func (d *desk) asked(l store.License) (bool, error) {
	if l.Holder == "" {
		return false, nil
	}
	steps, err := d.tx.StepsAfter(l.Holder, d.containers[l.Holder].Acked)
	for _, s := range steps {
		for _, op := range s.Ops {
			if op.License == l.ID && op.Generation == l.Generation && op.Kind == container.Put && op.Phase == container.Return {
				return true, err
			}
		}
	}
	return false, err
}

// dropChange ends what was ordered for a locked license because it was changed.
func (d *desk) dropChange(l store.License) error {
	orders, err := d.tx.EarmarksOn(l.ID)
	for _, e := range orders {
		if e.License == l.ID && e.Kind == store.Change && err == nil {
			err = d.drop(e)
		}
	}
	return err
}

// units takes in what the container tells of units that are used of its licenses
// (docs/protocol.md, section 13). The container's row is locked, which is the lock
// on what it holds.
func (x *exchange) units() error {
	told := x.in.report.Units
	if len(told) == 0 {
		return nil
	}
	held, err := x.tx.LicensesWith(x.in.serial)
	if err != nil {
		return err
	}
	count := func(l store.License) (used int64) {
		used = l.Used
		for _, t := range told {
			if t.License == l.ID {
				used = container.Count(l.Placement(), x.in.serial, t, used, l.Terms.Units)
			}
		}
		return used
	}
	held = slices.DeleteFunc(held, func(l store.License) bool { return count(l) == l.Used })
	if len(held) == 0 {
		return nil
	}
	// All at once, as for what the report confirms.
	ids := append(licensesOf(x.unproven, x.in.report.Number), x.wished...)
	for _, l := range held {
		ids = append(ids, l.ID)
	}
	if err := x.lock(ids); err != nil {
		return err
	}
	for _, l := range held {
		l = x.licenses[l.ID]
		was, used := l.Used, count(l)
		l.Used = used
		x.licenses[l.ID] = l
		if err := x.tx.CountUnits(l.ID, used); err != nil {
			return err
		}
		if l.Subscription != "" {
			if err := x.tx.AddUsage(l, store.DayOf(license.At(x.now)), used-was); err != nil {
				return err
			}
		}
		if err := x.log.note(evUnitsCounted, map[string]any{"used": used, "was": was, "units": l.Terms.Units, "generation": l.Generation, "product": l.Product},
			about(ofLicense, string(l.ID)), x.self(), about(ofOrder, l.OrderID)); err != nil {
			return err
		}
	}
	return nil
}

// forgotten is what the record knows of units where the report told less: the
// container's file was put back, or the report is an older one.
func (x *exchange) forgotten() (list []container.Counted) {
	for _, t := range x.in.report.Units {
		l, there := x.licenses[t.License]
		if there && l.Holder == x.in.serial && l.Generation == t.Generation && t.Used < l.Used {
			t.Used = l.Used
			list = append(list, t)
		}
	}
	return list
}

// lostUnits tells the history what a lost copy had counted when it went.
func (x *exchange) lostUnits(id license.ID, generation license.Generation) error {
	for _, t := range x.in.report.Units {
		if t.License == id && t.Generation == generation {
			return x.log.note(evLostUnits, map[string]any{"generation": generation, "used": t.Used, "product": x.licenses[id].Product}, about(ofLicense, string(id)), x.self())
		}
	}
	return nil
}

// olderThan reports whether a program is a licet older than a version.
func olderThan(version, program string) bool {
	name, its, _ := strings.Cut(program, "/")
	have, err := terms.ParseVersion(its)
	since, _ := terms.ParseVersion(version) // it is readable
	return name == "licet" && err == nil && have.Compare(since) < 0
}
