package registry

import (
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
)

// lent takes in what the container tells of seats that are out of its licenses
// (docs/protocol.md, seats). The container's row is locked.
func (x *exchange) lent() error {
	told := x.in.report.Lent
	if len(told) == 0 && len(x.c.Lent) == 0 {
		return nil
	}
	held, err := x.tx.LicensesWith(x.in.serial)
	if err != nil {
		return err
	}
	holds := func(id license.ID, g license.Generation) bool {
		return slices.ContainsFunc(held, func(l store.License) bool { return l.ID == id && l.Generation == g })
	}
	before := x.c.Lent
	x.c.Lent = container.LentNow(before, told, holds, license.At(x.now))
	if slices.Equal(before, x.c.Lent) {
		return nil
	}
	subjects := []store.Subject{x.self()}
	var seats int64
	var until license.Time
	for _, l := range slices.Concat(before, x.c.Lent) {
		if s := about(ofLicense, string(l.License)); !slices.Contains(subjects, s) {
			subjects = append(subjects, s)
		}
	}
	for _, l := range x.c.Lent {
		seats += l.Seats
		until = max(until, l.Until)
	}
	details := map[string]any{"seats": seats, "lent": x.c.Lent, "was": before}
	if until != 0 {
		details["until"] = until
	}
	return x.log.note(evSeatsLent, details, subjects...)
}

// lentOf is what is out of a license in its container, nil for nothing.
func lentOf(c store.Container, l store.License, now license.Time) *container.Lent {
	out := container.LentOf(c.Lent, l.ID, l.Generation, now)
	if out.Seats == 0 {
		return nil
	}
	return &out
}

// stillLent is what is out of a container's licenses.
func stillLent(c store.Container, now license.Time) []container.Lent {
	return slices.DeleteFunc(slices.Clone(c.Lent), func(l container.Lent) bool { return !l.Out(now) })
}
