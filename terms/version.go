package terms

import (
	"cmp"
	"strconv"
	"strings"

	"licet/refusal"
)

// Version is a program's version: numbers from the most important to the least.
type Version []uint32

// Bounds of a version.
const (
	maxVersionParts  = 8
	maxVersionDigits = 9
)

// ParseVersion reads dotted numbers, such as "4", "4.2.1" or "2026.08.1": one to
// eight parts of one to nine digits. Anything else ("v4", "4.2-beta", "4.") is
// refused with InvalidInput.
func ParseVersion(text string) (Version, error) {
	parts := strings.SplitN(text, ".", maxVersionParts+1)
	if len(parts) > maxVersionParts {
		return nil, unreadable(text)
	}
	v := make(Version, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(part) > maxVersionDigits {
			return nil, unreadable(text)
		}
		v[i] = uint32(n)
	}
	return v, nil
}

// Compare compares number by number, as in "4.10" after "4.9"; a number that is
// not there counts as 0, so "4" equals "4.0".
func (v Version) Compare(w Version) int {
	for i := range max(len(v), len(w)) {
		if c := cmp.Compare(v.part(i), w.part(i)); c != 0 {
			return c
		}
	}
	return 0
}

func (v Version) part(i int) uint32 {
	if i < len(v) {
		return v[i]
	}
	return 0
}

func unreadable(text string) error {
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return refusal.New(refusal.InvalidInput, "%q is not a version.", text).
		Hinted("Write numbers with dots between them, such as 4.2.1.")
}
