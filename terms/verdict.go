package terms

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"licet/license"
	"licet/refusal"
)

func (v *Verdict) refuse(code refusal.Code, format string, args ...any) {
	v.Reasons = append(v.Reasons, Reason{code, fmt.Sprintf(format, args...)})
}

// date writes a moment for people, always in UTC, as exact as it has to be.
func date(t license.Time) string {
	g := t.Go()
	layout := "2006-01-02 15:04:05.999999 UTC"
	switch {
	case t%license.Time(time.Minute.Microseconds()) == 0:
		layout = "2006-01-02 15:04 UTC"
	case g.Nanosecond() == 0:
		layout = "2006-01-02 15:04:05 UTC"
	}
	return g.Format(layout)
}

// Sentences tells a person the verdict: what speaks against it, or until when
// it may be used and what soon will speak against it.
func (v Verdict) Sentences() []string {
	var lines []string
	switch {
	case !v.Valid:
	case v.ValidUntil == 0:
		lines = append(lines, "The license may be used.")
	default:
		lines = append(lines, "The license may be used until "+date(v.ValidUntil)+".")
	}
	for _, r := range append(v.Reasons[:len(v.Reasons):len(v.Reasons)], v.Warnings...) {
		lines = append(lines, r.Message)
	}
	return lines
}

// Refusal is the verdict as a refusal with every reason in its details, nil if
// it is valid.
func (v Verdict) Refusal() *refusal.Refusal {
	if v.Valid {
		return nil
	}
	r := refusal.New(v.Code, "%s", strings.Join(v.Sentences(), " ")).With("reasons", v.Reasons)
	if v.ValidUntil != 0 {
		r.With("valid_until", v.ValidUntil)
	}
	return r
}

// Best is the index of the verdict to go by when several licenses could serve,
// -1 for none: a valid one before a refused one, one not in grace before one
// that is, the one that lasts longest; among refused ones the one with the
// fewest reasons, then the one that lasts longest. Of equals it is the first,
// so the answer depends only on the order given.
func Best(verdicts []Verdict) int {
	best := -1
	for i, v := range verdicts {
		if best < 0 || compare(v, verdicts[best]) > 0 {
			best = i
		}
	}
	return best
}

// compare is positive if a is better than b.
func compare(a, b Verdict) int {
	return cmp.Or(
		compareBool(a.Valid, b.Valid),
		compareBool(!a.InGrace, !b.InGrace),
		cmp.Compare(len(b.Reasons), len(a.Reasons)),
		compareBool(a.ValidUntil == 0, b.ValidUntil == 0),
		cmp.Compare(a.ValidUntil, b.ValidUntil),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
