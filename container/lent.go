package container

import (
	"cmp"
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
)

// Lent says how many seats of a license are out of its container, on loan or
// moved for good, as the container reports it (docs/protocol.md, seats).
type Lent struct {
	License    license.ID         `cbor:"1,keyasint" json:"license"`
	Generation license.Generation `cbor:"2,keyasint" json:"generation"`
	Seats      int64              `cbor:"3,keyasint" json:"seats"`
	Until      license.Time       `cbor:"4,keyasint" json:"until,omitzero"` // end of the last of them; 0: one has none
}

// Out reports whether seats are still out.
func (l Lent) Out(now license.Time) bool {
	return l.Seats > 0 && (l.Until == 0 || now < l.Until)
}

// LentNow is what of the record is known to be out now: what the container's
// latest report told, of licenses that it holds or that the record names already,
// because a license can be taken back while seats of it are out. What has ended is
// dropped, and so is a second word about the same generation.
func LentNow(record, told []Lent, holds func(license.ID, license.Generation) bool, now license.Time) []Lent {
	var out []Lent
	for _, l := range told {
		same := func(o Lent) bool { return o.License == l.License && o.Generation == l.Generation }
		if l.Out(now) && l.Until >= 0 && !slices.ContainsFunc(out, same) &&
			(holds(l.License, l.Generation) || slices.ContainsFunc(record, same)) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Lent) int {
		if c := strings.Compare(string(a.License), string(b.License)); c != 0 {
			return c
		}
		return cmp.Compare(a.Generation, b.Generation)
	})
	return out
}

// LentOf finds what is out of one generation of a license.
func LentOf(record []Lent, id license.ID, generation license.Generation, now license.Time) Lent {
	for _, l := range record {
		if l.License == id && l.Generation == generation && l.Out(now) {
			return l
		}
	}
	return Lent{}
}

// ReturnedBy is the licenses that steps above the last applied one return, or of
// which they return seats.
func ReturnedBy(steps []Incoming, applied uint64) []license.ID {
	var ids []license.ID
	for _, in := range steps {
		for _, op := range in.Step.Ops {
			if in.Step.Number > applied && op.Phase == Return {
				ids = append(ids, op.License)
			}
		}
	}
	return ids
}

// WaitsForSeats refuses steps that would return a license, or seats of it, while
// they are out: they were lent after the return was asked for. Nothing is lost: the
// steps are applied once the seats are back. What the vendor has ordered alone is
// never held up, and neither is a license whose terms allow its return; stays tells.
// Applied is the last step that the container has applied; seats reads the body of
// a license.
func WaitsForSeats(steps []Incoming, applied uint64, lent []Lent, stays func(license.ID) bool, seats func(body []byte) int64, now license.Time) *refusal.Refusal {
	for _, in := range steps {
		bodies := in.Bodies
		for _, op := range in.Step.Ops {
			var left int64 // of the license, after the step
			if op.Kind == Put && len(bodies) > 0 {
				left, bodies = seats(bodies[0]), bodies[1:]
			}
			l := LentOf(lent, op.License, op.Generation, now)
			if in.Step.Number > applied && op.Phase == Return && l.Seats > left && !stays(op.License) {
				return onLoan(Candidate{License: op.License, Product: op.Product, Lent: l})
			}
		}
	}
	return nil
}
