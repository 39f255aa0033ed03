package container

import (
	"fmt"

	"licet/license"
)

// After a back-up was restored, the vendor's record has a gap: what was signed
// between the back-up and the loss. Containers bring it back, because they keep
// their last steps, which bear the vendor's own signature (docs/protocol.md R18).

// Brought is a step that a container brings, after its signature was verified.
type Brought struct {
	Step   Step
	Signed []byte
	Bodies map[Hash][]byte // of licenses that it puts, as far as they are still held
}

// Lacking finds among the steps that a container brings those that follow the
// record up to the report's number. The text says why they do not lead there; it is
// empty if they do.
func (l Log) Lacking(serial license.Serial, r Report, brought []Brought) ([]Brought, string) {
	if r.Number <= l.Issued {
		if r.Plan != l.Plans[r.Number] {
			return nil, fmt.Sprintf("it follows another plan than the record at step %d", r.Number)
		}
		return nil, ""
	}
	var out []Brought
	plan, number := l.Plans[l.Issued], l.Issued
	for _, b := range brought {
		if b.Step.Number <= l.Issued {
			continue
		}
		if b.Step.Container != serial || b.Step.Number != number+1 || b.Step.Previous != plan {
			return nil, fmt.Sprintf("what it brings does not follow step %d", number)
		}
		plan, number = NextPlan(plan, b.Step.Unsigned), b.Step.Number
		out = append(out, b)
	}
	if number != r.Number || plan != r.Plan {
		return nil, fmt.Sprintf("it is at step %d and brings the steps up to %d", r.Number, number)
	}
	return out, ""
}

// Known is where the record has a license after a back-up was restored.
type Known struct {
	Placement
	// Sure says that nobody else can have got it in the gap: it was placed since, or
	// its container has been in contact since.
	Sure bool
}

// Showing is what a container's log shows of a license.
type Showing uint8

// What a log can show.
const (
	Nothing  Showing = iota // that is of importance for where the license is
	Here                    // the container holds it
	Back                    // it was returned; who has it since is not known
	Taken                   // removed by the vendor's order: withdrawn, recalled, or a lost copy; that is not known
	Replaced                // gone for good: another license came in its place
	OldCopy                 // the container holds a generation that counts no more
	Twice                   // it holds what somebody else has for sure
)

// String is the name of what is shown.
func (s Showing) String() string {
	return [...]string{"nothing", "here", "back", "taken", "replaced", "old_copy", "twice"}[s]
}

// Show says what the log of a container shows of a license: its operations before
// the gap, and those in the gap, in order. The generation is the one that is shown;
// it may be above the record's, because a license was restored in the gap.
//
// The last word in the whole counts, whichever container comes first: a put in the
// gap is later than what the record has of any container that has not been in
// contact since; a return frees a license for others that may come later.
func Show(k Known, serial license.Serial, before, gap []Op) (Showing, license.Generation) {
	var held, given, top license.Generation
	last := Op{}
	for i, op := range append(append([]Op(nil), before...), gap...) {
		inGap := i >= len(before)
		if inGap {
			top = max(top, op.Generation)
		}
		switch {
		case op.Kind == Put:
			held = op.Generation
			if inGap {
				given = max(given, op.Generation)
			}
		case held != 0 && held <= op.Generation:
			held = 0
			last = op
		}
	}
	mine := k.Holder == serial
	switch {
	case held != 0 && held < k.Generation:
		return OldCopy, held
	case held != 0 && (held > k.Generation || mine || !k.Sure):
		return Here, held
	case held != 0:
		return Twice, held
	case top < k.Generation, top == k.Generation && !mine && (k.Sure || given < top):
		return Nothing, 0
	case last.Phase == Withdraw:
		return Taken, top
	case last.Phase == Replace:
		return Replaced, top
	}
	return Back, top
}

// Misses reports whether an answer to the container's latest report shows that the
// vendor's record lacks steps which the container has applied: a report proves all of
// them (docs/protocol.md R7), and the answer does not say so. The container then
// brings its steps above the answer's acknowledged number.
func (s State) Misses(u Update) bool { return u.Acked < s.Number }

// After returns the signed bytes of the kept steps above a number, oldest first.
func (s State) After(number uint64) (steps []KeptStep) {
	for _, k := range s.Kept {
		if k.Number > number {
			steps = append(steps, k)
		}
	}
	return steps
}
