// Package license holds the nouns of licensing and the life of a license: its
// delivery states as one table of data, ticket codes, and ids.
//
// The package is pure: it reads no clock, draws no randomness and touches no
// file; times and random bytes are parameters.
package license

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// ID names a license for its whole life; it never changes and is never reused.
type ID string

// Serial names a container: the base32 text of a hash of its public keys, made
// on the machine that owns the container.
type Serial string

// Generation counts the lives of a license. It starts at 1 and grows with each
// restore; only the newest generation may be used
// (docs/protocol.md R14).
type Generation uint64

// After is the generation that follows g where the vendor's record is in an epoch
// (docs/protocol.md R19): above every one that can have been made after a back-up
// from which the record came back.
func (g Generation) After(epoch uint64) Generation { return max(g, Generation(epoch)) + 1 }

// Kind is a kind of container.
type Kind string

// The kinds of container.
const (
	Machine Kind = "machine"
	Token   Kind = "token"
	Cloud   Kind = "cloud"
)

// Kinds lists every kind of container.
var Kinds = []Kind{Machine, Token, Cloud}

// KindSet is a set of kinds of container that can be compared: their names in the
// order of Kinds, joined by "+". Where it restricts something, "" restricts
// nothing.
type KindSet string

// KindsOf makes the set of these kinds; those that are not in Kinds are left out.
func KindsOf(kinds ...Kind) KindSet {
	var names []string
	for _, k := range Kinds {
		if slices.Contains(kinds, k) {
			names = append(names, string(k))
		}
	}
	return KindSet(strings.Join(names, "+"))
}

// List is the kinds of the set; none where it restricts nothing.
func (s KindSet) List() []Kind {
	kinds := []Kind{}
	for name := range strings.SplitSeq(string(s), "+") {
		if name != "" {
			kinds = append(kinds, Kind(name))
		}
	}
	return kinds
}

// Allows reports whether a restriction to this set leaves k.
func (s KindSet) Allows(k Kind) bool { return s == "" || slices.Contains(s.List(), k) }

// String is the names for people.
func (s KindSet) String() string { return strings.ReplaceAll(string(s), "+", ", ") }

// Tolerance says how much a machine may change before a license no longer opens.
type Tolerance string

// The tolerances, from the most forgiving to the strictest.
const (
	Loose  Tolerance = "loose"
	Medium Tolerance = "medium"
	Tight  Tolerance = "tight"
)

// Time is a moment in microseconds since 1970-01-01 UTC; 0 means "none".
type Time int64

// At converts a time.Time; the zero time becomes 0.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Go converts to time.Time in UTC; 0 becomes the zero time.
func (t Time) Go() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add returns the time d later; "none" stays "none".
func (t Time) Add(d time.Duration) Time {
	if t == 0 {
		return 0
	}
	return t + Time(d.Microseconds())
}

// String is RFC 3339 in UTC, "" for "none".
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Go().Format(time.RFC3339)
}

// MarshalText writes RFC 3339 in UTC with microseconds where there are any.
func (t Time) MarshalText() ([]byte, error) {
	if t == 0 {
		return nil, nil
	}
	return []byte(t.Go().Format(time.RFC3339Nano)), nil
}

// MarshalJSON is null for "none", a string otherwise.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	text, err := t.MarshalText()
	return []byte(`"` + string(text) + `"`), err
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	return t.UnmarshalText([]byte(text))
}

// UnmarshalText reads RFC 3339; the empty text is "none".
func (t *Time) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = 0
		return nil
	}
	p, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return err
	}
	*t = At(p)
	return nil
}
