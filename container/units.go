package container

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"licet/license"
	"licet/refusal"
)

// Counted says how many units of a license were used in one generation of it and
// all before, whichever containers it was in (docs/protocol.md, section 13).
type Counted struct {
	License    license.ID         `cbor:"1,keyasint"`
	Generation license.Generation `cbor:"2,keyasint"`
	Used       int64              `cbor:"3,keyasint"`
}

// Counter is what a container keeps of the units of a license. What it says to be used
// only rises.
type Counter struct {
	Generation license.Generation `cbor:"1,keyasint"`
	Used       int64              `cbor:"2,keyasint"`
	// Dropped is the step that took the license out, 0 while it is in. The counter
	// stays: the license may come back by a step that was signed before the vendor
	// heard of it.
	Dropped uint64 `cbor:"3,keyasint,omitempty"`
	// Spare is what came back of units that moved to other containers, which Used
	// counts, and was not used since. They are used up first. The vendor does not hear of
	// them.
	Spare int64 `cbor:"4,keyasint,omitempty"`
}

// Used is how many units of a license are used, as far as the container knows: what
// its body says, and what was taken here, or moved away, since; less what came back of
// that.
func (s State) Used(b Body) int64 {
	c := s.counter(b)
	if c.Spare == 0 {
		return c.Used
	}
	return max(0, b.Terms.Units-c.left(b.Terms.Units))
}

// left is how many are left of so many.
func (c Counter) left(units int64) int64 { return max(0, units-c.Used) + c.Spare }

// counter is the counter of a license that the container holds, whose body is b.
func (s State) counter(b Body) Counter {
	c := s.Counters[b.License]
	if c.Generation != b.Generation {
		c = Counter{Generation: b.Generation}
	}
	c.Used = max(c.Used, b.Used)
	return c
}

// Use takes n units of a license that the container holds and whose body is b. It
// returns the new state and how many units are left. Nothing is taken where fewer
// than n are left: UnitsSpent. A license without a counter gives any number, and
// nothing is counted.
func (s State) Use(b Body, n int64) (State, int64, *refusal.Refusal) {
	held, ok := s.Held[b.License]
	switch {
	case !ok || held.Generation != b.Generation:
		return s, 0, refusal.New(refusal.LicenseUnknown, "The license %s is not in this container.", b.License)
	case n < 1:
		return s, 0, refusal.New(refusal.InvalidInput, "%d units cannot be taken; one is the least.", n)
	case b.Terms.Units == 0:
		return s, 0, nil
	}
	c := s.counter(b)
	left := c.left(b.Terms.Units)
	if n > left {
		return s, left, refusal.New(refusal.UnitsSpent, "%s left of %s (%s), less than the %d asked for. Nothing was taken.", unitsAre(left), b.Product, b.License, n).
			With("license", string(b.License)).With("product", b.Product).With("units", b.Terms.Units).With("left", left).With("asked", n)
	}
	s.Counters = maps.Clone(s.Counters)
	if s.Counters == nil {
		s.Counters = map[license.ID]Counter{}
	}
	spare := min(n, c.Spare)
	c.Spare, c.Used, c.Dropped = c.Spare-spare, c.Used+n-spare, 0
	s.Counters[b.License] = c
	return s, left - n, nil
}

// enter notes the counter of a license that comes in: what its body says, and no
// less than what was counted here before in the same generation.
func (s *State) enter(op Op, units []Counted) {
	i := slices.IndexFunc(units, func(c Counted) bool { return c.License == op.License })
	if i < 0 {
		delete(s.Counters, op.License)
		return
	}
	c := Counter{Generation: op.Generation, Used: units[i].Used}
	if before := s.Counters[op.License]; before.Generation == op.Generation {
		c.Used, c.Spare = max(c.Used, before.Used), before.Spare
	}
	if s.Counters == nil {
		s.Counters = map[license.ID]Counter{}
	}
	s.Counters[op.License] = c
}

// leave notes the step that took a license out.
func (s *State) leave(id license.ID, step uint64) {
	if c, ok := s.Counters[id]; ok {
		c.Dropped = step
		s.Counters[id] = c
	}
}

// hear raises counters to what the vendor knows: a container that was put back
// hears what it has forgotten.
func (s *State) hear(units []Counted) {
	for _, t := range units {
		if c, ok := s.Counters[t.License]; ok && c.Generation == t.Generation {
			c.Used = max(c.Used, t.Used)
			s.Counters[t.License] = c
		}
	}
}

// told reports whether the vendor has proof of the removal of a license: the report
// that proved it told its counter.
func (c Counter) told(acked uint64) bool { return c.Dropped != 0 && c.Dropped <= acked }

// Counts reports whether units were used of what the container holds, or of what it
// has given up and the vendor may not have heard of.
func (s State) Counts() bool {
	for _, c := range s.Counters {
		if c.Used > 0 && !c.told(s.Acked) {
			return true
		}
	}
	return false
}

// Moved reports whether units moved between the container and others: a program that
// does not know of that would forget what it counts.
func (s State) Moved() bool {
	if len(s.Moves) > 0 || len(s.Forgotten) > 0 {
		return true
	}
	for _, c := range s.Counters {
		if c.Spare > 0 {
			return true
		}
	}
	return false
}

// Counted is the counters as a report tells them, by license, to a vendor who has
// proof of the steps up to a number.
func (s State) Counted(acked uint64) (list []Counted) {
	for id, c := range s.Counters {
		if c.told(acked) {
			continue
		}
		list = append(list, Counted{License: id, Generation: c.Generation, Used: c.Used})
	}
	slices.SortFunc(list, func(a, b Counted) int { return cmp.Compare(a.License, b.License) })
	return list
}

// Count is what the record knows to be used of a license once a container's report
// was taken in: the highest number that the container which has it has told. It
// never falls, and is never more than the units of the license.
func Count(p Placement, serial license.Serial, told Counted, known, units int64) int64 {
	if p.Holder != serial || p.Generation != told.Generation {
		return known
	}
	return max(known, min(told.Used, units))
}

// UnitsSince is the version of licet that first counted units. What is older
// cannot even read a license of which some are used.
const UnitsSince = "0.3.0"

// MovesSince is the version of licet that first knew units to move without the vendor.
// What is older would let seats of such a license move.
const MovesSince = "0.5.0"

// tooOld refuses a license to a program that would not count its units as it should;
// nil to one that does.
func (p *planner) tooOld(c Candidate) *refusal.Refusal {
	needs, what := "", ""
	switch {
	case p.s.Still && c.Moves:
		needs, what = MovesSince, "Units of %s (%s) may move without the vendor, and the program of this container is too old to know that: it takes licet %s or newer."
	case p.s.TooOld && c.Used > 0:
		needs, what = UnitsSince, "Units of %s (%s) are used, and the program of this container is too old to count them: it takes licet %s or newer."
	default:
		return nil
	}
	return refusal.New(refusal.UnsupportedVersion, what, c.Product, c.License, needs).
		Hinted("Install licet %s or newer on that machine, then ask again.", needs).With("needs", needs)
}

// unitsAre is a number of units for people.
func unitsAre(n int64) string {
	if n == 1 {
		return "1 unit is"
	}
	return fmt.Sprintf("%d units are", n)
}
