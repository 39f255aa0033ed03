package container

import "licet/license"

// Placement is where the record has a license: the facts that a receipt is
// compared with.
type Placement struct {
	State      license.State
	Holder     license.Serial
	Generation license.Generation
	Step       uint64 // the last step of the holder's log that concerns it
	Withdrawn  bool   // the vendor has ordered its withdrawal
}

// Confirm says what the proof that a container applied step n means for a
// license of one of its operations: an event, or false for history only. Only a
// license whose holder, generation and last step match is touched
// (docs/protocol.md R8, R15): a receipt for an older generation or a step that was
// overtaken changes nothing.
func Confirm(p Placement, serial license.Serial, n uint64, op Op) (license.Event, bool) {
	if p.Holder != serial || p.Generation != op.Generation || p.Step != n {
		return "", false
	}
	switch {
	case op.Kind == Put && p.State == license.Collecting:
		return license.PutConfirmed, true
	case op.Kind == Drop && p.State == license.Returning && p.Withdrawn:
		return license.TakenBack, true
	case op.Kind == Drop && p.State == license.Returning:
		return license.DropConfirmed, true
	}
	return "", false
}

// UnitsBack is how many units of a license come back by the proof that its container
// has fewer of it by so many as were asked for: those that are left (docs/protocol.md
// R30). The container may have used others until it had the step.
func UnitsBack(asked, units, used int64) int64 { return max(0, min(asked, units-used)) }

// Reopened is where an unconfirmed operation leaves a license, when staff accept
// a container at an earlier step and its later steps go out again. A license
// that has gone elsewhere since stays there; one that lay with the vendor counts
// as with the container until the removal is proven again.
func Reopened(p Placement, serial license.Serial, op Op) (license.State, bool) {
	mine := p.Holder == serial || p.State.Available()
	if !mine || p.Generation != op.Generation {
		return p.State, false
	}
	switch op.Kind {
	case Put:
		return license.Collecting, true
	case Drop:
		return license.Returning, true
	}
	return p.State, false
}
