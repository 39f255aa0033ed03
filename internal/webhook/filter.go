package webhook

import (
	"slices"
	"strings"

	"licet/refusal"
)

// MaxPatterns is how many patterns a filter may have.
const MaxPatterns = 50

// Filter says which types of events a receiver wants: those that one of its
// patterns matches. A star in a pattern stands for any text, the empty one too.
type Filter []string

// ParseFilter checks patterns against the types that there are, and puts them in
// order. No pattern at all means every type.
func ParseFilter(patterns, types []string) (Filter, error) {
	if len(patterns) == 0 {
		return Filter{"*"}, nil
	}
	if len(patterns) > MaxPatterns {
		return nil, refusal.New(refusal.InvalidInput, "There are more than %d patterns.", MaxPatterns).With("field", "events")
	}
	f := Filter(slices.Clone(patterns))
	for _, p := range f {
		if !slices.ContainsFunc(types, func(t string) bool { return matches(p, t) }) {
			return nil, refusal.New(refusal.InvalidInput, "No type of event matches %q.", p).With("field", "events").
				Hinted("licet-central webhook events lists the types; license.* means all that begin so.")
		}
	}
	slices.Sort(f)
	return slices.Compact(f), nil
}

// Wants reports whether a type is wanted.
func (f Filter) Wants(eventType string) bool {
	return slices.ContainsFunc(f, func(p string) bool { return matches(p, eventType) })
}

// matches takes time in proportion to the length of both.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(text, p)
		if !found {
			return false
		}
		text = rest
	}
	return true
}
