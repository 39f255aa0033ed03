// Package subscription holds the rules of subscriptions: where a period ends, what
// time alone does to one, what a renewal, a cancellation and a resumption do, and
// until when its licenses may be used.
//
// The package is pure: times are parameters. Periods are counted in UTC, where no
// day is longer than another.
package subscription

import (
	"licet/license"
	"licet/refusal"
)

// Lead is who says that a period is renewed: the server by its own clock, or a system
// outside it, such as a shop. It is one of them, never both.
type Lead string

// Who leads.
const (
	Licet   Lead = "licet"   // periods renew by themselves
	Outside Lead = "outside" // each period that is paid is told
)

// Leads lists them.
var Leads = []Lead{Licet, Outside}

// State is where a subscription is in its life. It is never stored: facts and the
// time say it.
type State string

// The states.
const (
	Active  State = "active"   // in a period that counts
	Ending  State = "ending"   // the same, canceled: it ends with its last period
	InGrace State = "in_grace" // its last period is over and was not renewed; its licenses go on for the grace
	Lapsed  State = "lapsed"   // over, by date; it can be resumed
	Ended   State = "ended"    // canceled at once: its licenses were withdrawn
)

// States lists every state.
var States = []State{Active, Ending, InGrace, Lapsed, Ended}

// Subscription is the facts that everything else follows from.
type Subscription struct {
	Lead   Lead             `json:"lead"`
	Period Period           `json:"period"`
	Notice license.Duration `json:"notice"` // so long before a period ends, the next one begins to count; Licet only
	Grace  license.Duration `json:"grace"`  // after a period that was not renewed

	Anchor license.Time `json:"anchor"` // from which the periods of the present run are counted
	Run    int64        `json:"run"`    // how many of them there are
	Ends   license.Time `json:"ends"`   // the end of the last one, exclusive

	Changes  license.Time `json:"changes"`  // when a change that waits takes effect: its licenses are given out until then and no further; 0 for none
	Canceled license.Time `json:"canceled"` // since when it is to end with its last period; 0 if it is not
	Ended    license.Time `json:"ended"`    // when it was ended at once; 0 if it was not
	Told     State        `json:"told"`     // the last state that the record was told of
}

// The bounds of what may be agreed.
const (
	MaxGrace = 366 * license.Day
	// MaxAhead is how far in the future a period may end.
	MaxAhead = license.MaxDuration
)

// Check refuses what cannot be agreed.
func (s Subscription) Check() error {
	switch {
	case s.Lead != Licet && s.Lead != Outside:
		return refusal.New(refusal.InvalidInput, "%q does not lead a subscription.", s.Lead).Hinted("Write licet, which renews by itself, or outside, where another system tells each paid period.")
	case s.Period == Period{}:
		return refusal.New(refusal.InvalidInput, "The subscription has no period.").Hinted("%s", periodHint)
	case s.Grace < 0 || s.Grace > MaxGrace:
		return refusal.New(refusal.InvalidInput, "The grace may be %s at most.", MaxGrace)
	case s.Notice < 0 || s.Notice >= s.Period.least():
		return refusal.New(refusal.InvalidInput, "A notice of %s is not shorter than a period (%s).", s.Notice, s.Period)
	}
	return nil
}

// State is where the subscription is at a moment.
func (s Subscription) State(now license.Time) State {
	switch {
	case s.Ended != 0:
		return Ended
	case now < s.Ends && s.Canceled != 0:
		return Ending
	case now < s.Ends:
		return Active
	case s.Canceled == 0 && now < s.Ends.Add(s.Grace.Go()):
		return InGrace
	}
	return Lapsed
}

// Terms are the end and the grace that its licenses have.
func (s Subscription) Terms() (ends license.Time, grace license.Duration) {
	switch {
	case s.Canceled != 0:
		return s.Ends, 0
	case s.Changes != 0 && s.Changes < s.Ends:
		return s.Changes, s.Grace
	}
	return s.Ends, s.Grace
}

// Usable is the moment at which its licenses can be used no more, unless something is
// done until then.
func (s Subscription) Usable() license.Time {
	ends, grace := s.Terms()
	return ends.Add(grace.Go())
}

// Event is what time alone does.
type Event string

// What it does.
const (
	Nothing Event = ""
	Change  Event = "change" // what waits takes effect
	Renewal Event = "renewal"
	Grace   Event = "grace" // the last period is over
	Lapse   Event = "lapse"
)

// Due is when time alone does something to the subscription next, and what; nothing
// at 0.
func (s Subscription) Due() (at license.Time, what Event) {
	switch {
	case s.Ended != 0 || s.Told == Lapsed:
		return 0, Nothing
	case s.Canceled != 0:
		return s.Ends, Lapse
	case s.Lead == Licet:
		at, what = s.Ends.Add(-s.Notice.Go()), Renewal
	case s.Told == InGrace || s.Grace == 0:
		at, what = s.Ends.Add(s.Grace.Go()), Lapse
	default:
		at, what = s.Ends, Grace
	}
	if s.Changes != 0 && s.Changes <= at {
		return s.Changes, Change
	}
	return at, what
}

// Span is one period, its end exclusive.
type Span struct{ Starts, Ends license.Time }

// Begin begins a run of periods with its first, at a whole second.
func (s Subscription) Begin(at license.Time) (Subscription, Span) {
	at -= at % 1_000_000
	s.Anchor, s.Run, s.Changes, s.Canceled, s.Told = at, 1, 0, 0, Active
	s.Ends = s.Period.After(at, 1)
	return s, Span{at, s.Ends}
}

// Renew adds the next period: behind the last one, or from now on where the
// subscription has lapsed. Whether it is to end with its last period stays as it was,
// unless it has ended so.
func (s Subscription) Renew(now license.Time) (Subscription, Span, error) {
	if s.Ended != 0 {
		return s, Span{}, s.over()
	}
	span := Span{Starts: s.Ends}
	if s.State(now) == Lapsed && s.Told == Lapsed {
		s, span = s.Begin(now)
	} else {
		s.Run++
		s.Ends = s.Period.After(s.Anchor, s.Run)
		span.Ends = s.Ends
		s.Told = s.State(now)
	}
	if s.Ends > now.Add(MaxAhead.Go()) {
		return s, span, refusal.New(refusal.InvalidInput, "The period would end on %s, which is too far away.", s.Ends)
	}
	return s, span, nil
}

// Cancel has the subscription end with its last period, and drops a change that waits
// for that. One that is over, or is to end so, stays as it is.
func (s Subscription) Cancel(now license.Time) Subscription {
	if st := s.State(now); st == Active || st == InGrace {
		s.Canceled, s.Changes = now, 0
		s.Told = s.State(now)
	}
	return s
}

// End ends the subscription at once and for good.
func (s Subscription) End(now license.Time) Subscription {
	if s.Ended == 0 {
		s.Ended, s.Changes, s.Told = now, 0, Ended
	}
	return s
}

// Resume takes a cancellation back, or begins anew after a lapse; then, and in grace,
// there is a new period. What runs stays as it is.
func (s Subscription) Resume(now license.Time) (Subscription, Span, error) {
	switch s.State(now) {
	case Ended:
		return s, Span{}, s.over()
	case Ending:
		s.Canceled, s.Told = 0, Active
	case InGrace, Lapsed:
		return s.Renew(now)
	}
	return s, Span{}, nil
}

// Elapse does the next thing that is due by time alone, if anything is.
func (s Subscription) Elapse(now license.Time) (next Subscription, span Span, what Event) {
	at, what := s.Due()
	if at == 0 || now < at {
		return s, span, Nothing
	}
	switch what {
	case Change:
		s.Changes = 0
	case Renewal:
		s.Run++
		span.Starts = s.Ends
		s.Ends = s.Period.After(s.Anchor, s.Run)
		span.Ends, s.Told = s.Ends, Active
	case Grace:
		s.Told = InGrace
	case Lapse:
		s.Told = Lapsed
	}
	return s, span, what
}

// ChangeAtEnd has a change wait for the end of the last period.
func (s Subscription) ChangeAtEnd() Subscription {
	s.Changes = s.Ends
	return s
}

// Reperiod changes how long the periods after the last one are.
func (s Subscription) Reperiod(p Period) Subscription {
	if p != s.Period {
		s.Period, s.Anchor, s.Run = p, s.Ends, 0
	}
	return s
}

func (s Subscription) over() *refusal.Refusal {
	return refusal.New(refusal.SubscriptionEnded, "The subscription was ended at once on %s; its licenses are withdrawn.", s.Ended).
		Hinted("Make another one: licet-central subscription create.")
}
