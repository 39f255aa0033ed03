package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"licet/refusal"
)

// Problem is one thing that is wrong with the input.
type Problem struct {
	Line    int    `json:"line,omitzero"` // in the file, from 1; 0 for the items of an order
	Message string `json:"message"`
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Message)
}

// maxProblems bounds how many problems are told: after a hundred people repair
// and try again.
const maxProblems = 100

// problems collects what is wrong.
type problems struct{ found []Problem }

func (p *problems) add(line int, format string, args ...any) {
	if len(p.found) < maxProblems {
		p.found = append(p.found, Problem{line, fmt.Sprintf(format, args...)})
	}
}

// addError adds what a refusal says; a hint helps, so it belongs to it.
func (p *problems) addError(line int, what string, err error) {
	message := strings.TrimSuffix(err.Error(), ".")
	if r, ok := refusal.As(err); ok && r.Hint != "" {
		message += "; " + strings.ToLower(r.Hint[:1]) + strings.TrimSuffix(r.Hint[1:], ".")
	}
	p.add(line, "%s: %s", what, message)
}

// refusal is InvalidInput with all problems by line, or nil without any.
func (p *problems) refusal(of string) error {
	switch len(p.found) {
	case 0:
		return nil
	case 1:
		text := p.found[0].String()
		if !strings.HasSuffix(text, "?") {
			text += "."
		}
		return invalid(p.found, "The %s has a problem: %s", of, text)
	}
	slices.SortStableFunc(p.found, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	var lines strings.Builder
	for _, problem := range p.found {
		fmt.Fprintf(&lines, "\n  %s", problem)
	}
	return invalid(p.found, "The %s has %d problems:%s", of, len(p.found), &lines)
}

func invalid(list []Problem, format string, args ...any) error {
	return refusal.New(refusal.InvalidInput, format, args...).With("problems", list)
}

// didYouMean is the end of a sentence about an unknown word: the nearest known
// one, if any is near, or nothing.
func didYouMean(word string, known []string) string {
	if len(word) < 3 {
		return "" // everything short is near
	}
	best, least := "", 2+len(word)/5
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); k != "" && d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// maxWord bounds the work of distance: longer words are not compared.
const maxWord = 64

// distance counts the typos between two words: letters wrong, missing, too many,
// or swapped with a neighbor.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var older, old, row [maxWord + 1]int
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		older, old = old, row
		row[0] = i + 1
		for j := range len(b) {
			wrong := 1
			if a[i] == b[j] {
				wrong = 0
			}
			row[j+1] = min(old[j]+wrong, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// keys are the keys of a map in order, so that messages never vary.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
