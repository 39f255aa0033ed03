// Package terms decides whether a license may be used now, by this version of
// a program. Program, agent, network license server and portal all ask here, so
// that no two of them disagree.
//
// The package is pure: the time, and what is known about time, are parameters.
// What cannot be told (a time, a version, a build date that is missing or not
// readable) never means yes.
package terms

import (
	"slices"
	"strings"
	"time"

	"licet/license"
	"licet/refusal"
)

// ClockTolerance is how far the clock may be behind a time that is known to
// have passed before that is held against it: clocks are adjusted by seconds
// all the time. Nothing lasts longer by it, since decisions use the later of
// the two.
const ClockTolerance = 5 * time.Minute

// CheckInWarning is the part of the time between two contacts at whose end a
// warning begins: the last quarter.
const CheckInWarning = 4

// Use is what a program asks for.
type Use struct {
	Features  []string     // every one is needed
	Version   string       // the program's version, dotted numbers; "" means it does not say
	BuildDate license.Time // when this build was made; 0 means it does not say
	Units     int64        `json:",omitzero"` // how many are about to be taken; 0 means that one would do
}

// Held is what a machine holds of a license.
type Held struct {
	Terms       license.Terms // frozen
	Features    []string
	LastContact license.Time // signed time of the last contact with the vendor; 0 means never
	Used        int64        // units that were used

	// Lent says that a license server has given it for a time. Contact with the
	// vendor is the server's to keep then.
	Lent  bool
	Until license.Time // end of that time, exclusive and without grace; 0 means none
	Units int64        // of what is lent: those that moved here with it, of which Used were used; 0 means that nothing is counted
}

// Clock is what is known about the time.
type Clock struct {
	Now   license.Time // what the computer's clock shows
	Floor license.Time // latest time known to have passed; 0 means nothing is known
}

// Trusted is the time that decisions use: the clock's, or the floor when the
// clock is behind it.
func (c Clock) Trusted() license.Time { return max(c.Now, c.Floor) }

// Behind reports whether the clock cannot be right: it shows nothing, or a time
// more than ClockTolerance before the floor.
func (c Clock) Behind() bool {
	return c.Now <= 0 || c.Now.Add(ClockTolerance) < c.Floor
}

// Reason is one thing that speaks against a use, or, as a warning, soon will.
type Reason struct {
	Code    refusal.Code `json:"code"`
	Message string       `json:"message"` // a sentence for people, with its dates
}

// Verdict is the answer to "may this license be used now".
type Verdict struct {
	Valid bool         `json:"valid"`
	Code  refusal.Code `json:"code"` // refusal.Valid, or the first reason's

	// Reasons holds everything that speaks against it, in the order of the
	// checks; empty if valid.
	Reasons []Reason `json:"reasons"`

	// ValidUntil is the first moment at which time alone makes it unusable,
	// grace included; 0 means no such end is known. A refused license keeps it:
	// it may have passed.
	ValidUntil license.Time `json:"valid_until"`

	// InGrace says that an end has passed and only grace keeps it usable.
	InGrace  bool     `json:"in_grace,omitzero"`
	Warnings []Reason `json:"warnings,omitempty"`
}

// Before is the one comparison of a moment with an end, and the end is
// exclusive: at the end itself it is over. An end of 0 never comes.
func Before(now, end license.Time) bool { return end == 0 || now < end }

// Check decides whether h may be used for u, by the checks in this order:
// clock, not yet valid, expired, loan over, check-in overdue, version not covered,
// feature missing, units spent. All that fail are listed.
//
// The vendor's signed time of the last contact has certainly passed, so it
// counts as floor too. Terms with an end that still waits for the first
// activation are not valid yet.
func Check(h Held, u Use, c Clock) Verdict {
	c.Floor = max(c.Floor, h.LastContact)
	v := Verdict{Reasons: []Reason{}}
	now := c.Trusted()
	v.clock(c)
	v.start(h.Terms, now)
	v.expiry(h.Terms, now)
	v.loan(h, now)
	v.checkIn(h, now)
	v.version(h.Terms, u)
	v.features(h.Features, u.Features)
	v.units(h, u)

	v.Valid, v.Code = len(v.Reasons) == 0, refusal.Valid
	if !v.Valid {
		v.Code, v.InGrace, v.Warnings = v.Reasons[0].Code, false, nil
	}
	return v
}

func (v *Verdict) clock(c Clock) {
	switch {
	case c.Now <= 0:
		v.refuse(refusal.ClockBehind, "The computer's clock shows no time.")
	case c.Behind():
		v.refuse(refusal.ClockBehind, "The computer's clock shows %s, but %s is known to have passed.", date(c.Now), date(c.Floor))
	}
}

func (v *Verdict) start(t license.Terms, now license.Time) {
	switch {
	case !t.Frozen():
		v.refuse(refusal.NotYetValid, "The license has not been activated, so its period has not begun.")
	case now < t.ValidFrom:
		v.refuse(refusal.NotYetValid, "The license is valid from %s on.", date(t.ValidFrom))
	}
}

func (v *Verdict) expiry(t license.Terms, now license.Time) {
	if t.ExpiresAt == 0 {
		return
	}
	v.end(now, t.ExpiresAt, t.Grace, refusal.Expired, "The license expired on "+date(t.ExpiresAt))
}

// loan ends what a license server has lent.
func (v *Verdict) loan(h Held, now license.Time) {
	if h.Lent && h.Until != 0 {
		v.end(now, h.Until, 0, refusal.Expired, "The loan ended on "+date(h.Until))
	}
}

func (v *Verdict) checkIn(h Held, now license.Time) {
	switch {
	case h.Terms.CheckIn == 0, h.Lent:
	case h.LastContact == 0:
		v.refuse(refusal.CheckInOverdue, "The license needs contact with the vendor every %s, and there has been none yet.", h.Terms.CheckIn)
	default:
		due := h.LastContact.Add(h.Terms.CheckIn.Go())
		v.end(now, due, h.Terms.Grace, refusal.CheckInOverdue,
			"Contact with the vendor was due by "+date(due)+"; the last one was on "+date(h.LastContact))
		if soon := due.Add(-h.Terms.CheckIn.Go() / CheckInWarning); now >= soon && Before(now, due) {
			v.Warnings = append(v.Warnings, Reason{refusal.CheckInOverdue, "Contact with the vendor is due by " + date(due) + "."})
		}
	}
}

// end judges one end with its grace; what is the sentence that it has passed,
// without its full stop.
func (v *Verdict) end(now, end license.Time, grace license.Duration, code refusal.Code, what string) {
	last := end.Add(grace.Go())
	if v.ValidUntil == 0 || last < v.ValidUntil {
		v.ValidUntil = last
	}
	switch {
	case Before(now, end):
	case Before(now, last):
		v.InGrace = true
		v.Warnings = append(v.Warnings, Reason{code, what + ". It stays usable until " + date(last) + "."})
	case grace > 0:
		v.refuse(code, "%s, and its grace ended on %s.", what, date(last))
	default:
		v.refuse(code, "%s.", what)
	}
}

func (v *Verdict) version(t license.Terms, u Use) {
	if t.MinVersion != "" {
		v.minVersion(t.MinVersion, u.Version)
	}
	switch until := t.MaintenanceUntil; {
	case until == 0:
	case u.BuildDate == 0:
		v.refuse(refusal.VersionNotCovered, "The license covers builds made before %s, and the program does not say when it was made.", date(until))
	case !Before(u.BuildDate, until):
		v.refuse(refusal.VersionNotCovered, "The license covers builds made before %s, and this one was made on %s.", date(until), date(u.BuildDate))
	}
}

func (v *Verdict) minVersion(lowest, have string) {
	if have == "" {
		v.refuse(refusal.VersionNotCovered, "The license covers version %s and later, and the program does not say its version.", lowest)
		return
	}
	first, err := ParseVersion(lowest)
	if err != nil {
		v.refuse(refusal.VersionNotCovered, "The license's lowest version %q is not readable.", lowest)
		return
	}
	version, err := ParseVersion(have)
	switch {
	case err != nil:
		v.refuse(refusal.VersionNotCovered, "The license covers version %s and later, and the program's version %q is not readable.", lowest, have)
	case version.Compare(first) < 0:
		v.refuse(refusal.VersionNotCovered, "The license covers version %s and later; this is version %s.", lowest, have)
	}
}

func (v *Verdict) features(have, want []string) {
	var missing []string
	for _, f := range want {
		if !slices.Contains(have, f) && !slices.Contains(missing, f) {
			missing = append(missing, f)
		}
	}
	switch len(missing) {
	case 0:
	case 1:
		v.refuse(refusal.FeatureMissing, "The license does not include the feature %s.", missing[0])
	default:
		v.refuse(refusal.FeatureMissing, "The license does not include the features %s.", strings.Join(missing, ", "))
	}
}

// units judges the counter. What is lent has one where units moved with it; else it
// counts where the license is.
func (v *Verdict) units(h Held, u Use) {
	total := h.Terms.Units
	if h.Lent {
		total = h.Units
	}
	left := total - h.Used
	switch {
	case total == 0, left >= max(u.Units, 1):
	case left <= 0:
		v.refuse(refusal.UnitsSpent, "No unit of the license is left; it had %d.", total)
	default:
		v.refuse(refusal.UnitsSpent, "The license has %d of its %d units left, and %d are needed.", left, total, u.Units)
	}
}
