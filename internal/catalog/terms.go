package catalog

import (
	"slices"
	"strconv"
	"strings"

	"licet/license"
	"licet/refusal"
	"licet/terms"
)

// setting is one of the terms as a file or an order gives it.
type setting struct {
	key  string // as in termFields
	text string
	line int // 0 in an order
}

// listTag stands among the YAML types of a term that may also be written as a list of
// words, which orders join by "+".
const listTag = "!!seq"

// termField is one of the terms: its name in files, orders and JSON, and how to
// read it. A name with a dot stands in a mapping of its own in files.
type termField struct {
	key  string
	tags []string // YAML types that it may be written as; none for a list of words, which orders join by "+"
	want string   // what it must be, in a message
	set  func(t *license.Terms, text string) error
}

// termFields is the one table of the terms that can be given.
var termFields = []termField{
	count("seats", maxSeats, func(t *license.Terms) *int64 { return &t.Seats }),
	moment("valid_from", func(t *license.Terms) *license.Time { return &t.ValidFrom }),
	moment("expires_at", func(t *license.Terms) *license.Time { return &t.ExpiresAt }),
	length("expires_in", func(t *license.Terms) *license.Duration { return &t.ExpiresIn }),
	moment("maintenance_until", func(t *license.Terms) *license.Time { return &t.MaintenanceUntil }),
	length("maintenance", func(t *license.Terms) *license.Duration { return &t.Maintenance }),
	{"min_version", []string{"!!str", "!!int", "!!float"}, "a version such as \"4.0\"", setMinVersion},
	length("check_in", func(t *license.Terms) *license.Duration { return &t.CheckIn }),
	length("grace", func(t *license.Terms) *license.Duration { return &t.Grace }),
	count("units", MaxCount, func(t *license.Terms) *int64 { return &t.Units }),
	length("borrow.max", func(t *license.Terms) *license.Duration { return &t.Borrow.Max }),
	count("borrow.seats", maxSeats, func(t *license.Terms) *int64 { return &t.Borrow.Seats }),
	choice("borrow.out", license.Outs, func(t *license.Terms) *license.Out { return &t.Borrow.Out }),
	kinds("borrow.containers", func(t *license.Terms) *license.KindSet { return &t.Borrow.Containers }),
	choice("counting", license.Countings, func(t *license.Terms) *license.Counting { return &t.Counting }),
	length("linger", func(t *license.Terms) *license.Duration { return &t.Linger }),
	{"transfer", []string{"!!str", listTag}, "one of whole, seats, units, or a list of units and one of the others", setTransfer},
	text("customer_text", func(t *license.Terms) *string { return &t.CustomerText }),
	text("vendor_data", func(t *license.Terms) *string { return &t.VendorData }),
}

const maxSeats = 1_000_000

// ends are the two ways to give an end. Giving one takes the place of what a
// default says in either way; both given together stay, and the earlier counts.
var ends = []struct {
	keys  []string
	clear func(*license.Terms)
}{
	{[]string{"expires_at", "expires_in"}, func(t *license.Terms) { t.ExpiresAt, t.ExpiresIn = 0, 0 }},
	{[]string{"maintenance_until", "maintenance"}, func(t *license.Terms) { t.MaintenanceUntil, t.Maintenance = 0, 0 }},
}

func count(key string, limit int64, in func(*license.Terms) *int64) termField {
	return termField{key, []string{"!!int"}, "a whole number", func(t *license.Terms, text string) error {
		return assign(in(t))(wholeNumber(text, limit))
	}}
}

func length(key string, in func(*license.Terms) *license.Duration) termField {
	return termField{key, []string{"!!str", "!!int"}, "a duration such as 7d", func(t *license.Terms, text string) error {
		return assign(in(t))(license.ParseDuration(text))
	}}
}

func moment(key string, in func(*license.Terms) *license.Time) termField {
	return termField{key, []string{"!!str", "!!timestamp", "!!int"}, "a date or time", func(t *license.Terms, text string) error {
		return assign(in(t))(license.ParseTime(text))
	}}
}

func text(key string, in func(*license.Terms) *string) termField {
	return termField{key, []string{"!!str"}, "text in quotes", func(t *license.Terms, text string) error {
		return assign(in(t))(text, validText(text, maxText))
	}}
}

// choice is a term that is one of a few words.
func choice[T ~string](key string, allowed []T, in func(*license.Terms) *T) termField {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	want := "one of " + strings.Join(words, ", ")
	return termField{key, []string{"!!str"}, want, func(t *license.Terms, text string) error {
		if !slices.Contains(words, text) {
			return refusal.New(refusal.InvalidInput, "%q is not %s%s.", shorten(text), want, didYouMean(text, words))
		}
		*in(t) = T(text)
		return nil
	}}
}

// kinds is a term that is a list of kinds of container.
func kinds(key string, in func(*license.Terms) *license.KindSet) termField {
	words := make([]string, len(license.Kinds))
	for i, k := range license.Kinds {
		words[i] = string(k)
	}
	return termField{key, nil, "a list of words out of " + strings.Join(words, ", "), func(t *license.Terms, text string) error {
		if text == "" {
			return refusal.New(refusal.InvalidInput, "the list is empty.").Hinted("Leave it out to allow every kind.")
		}
		var given []license.Kind
		for word := range strings.SplitSeq(text, "+") {
			switch {
			case !slices.Contains(words, word):
				return refusal.New(refusal.InvalidInput, "%q is not one of %s%s.", shorten(word), strings.Join(words, ", "), didYouMean(word, words))
			case slices.Contains(given, license.Kind(word)):
				return refusal.New(refusal.InvalidInput, "%q is listed twice.", word)
			}
			given = append(given, license.Kind(word))
		}
		*in(t) = license.KindsOf(given...)
		return nil
	}}
}

// setTransfer reads what may move: how seats do, units, or both.
func setTransfer(t *license.Terms, text string) error {
	words := make([]string, len(license.AllMoves))
	for i, m := range license.AllMoves {
		words[i] = string(m)
	}
	if text == "" {
		return refusal.New(refusal.InvalidInput, "the list is empty.").Hinted("Leave it out to let nothing move.")
	}
	given := map[license.Moves]bool{}
	for word := range strings.SplitSeq(text, "+") {
		switch {
		case !slices.Contains(words, word):
			return refusal.New(refusal.InvalidInput, "%q is not one of %s%s.", shorten(word), strings.Join(words, ", "), didYouMean(word, words))
		case given[license.Moves(word)]:
			return refusal.New(refusal.InvalidInput, "%q is listed twice.", word)
		}
		given[license.Moves(word)] = true
	}
	if given[license.MovesWhole] && given[license.MovesSeats] {
		return refusal.New(refusal.InvalidInput, "seats move whole or one by one, not both.")
	}
	var set []string
	for _, m := range license.AllMoves {
		if given[m] {
			set = append(set, string(m))
		}
	}
	t.Transfer = license.Moves(strings.Join(set, "+"))
	return nil
}

func setMinVersion(t *license.Terms, text string) error {
	_, err := terms.ParseVersion(text)
	return assign(&t.MinVersion)(text, err)
}

// assign stores a value that was read without an error.
func assign[T any](into *T) func(T, error) error {
	return func(v T, err error) error {
		if err == nil {
			*into = v
		}
		return err
	}
}

func wholeNumber(text string, limit int64) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strings.HasPrefix(text, "+") {
		return 0, refusal.New(refusal.InvalidInput, "%q is not a whole number.", shorten(text)).
			Hinted("Write digits only.")
	}
	if int64(n) > limit {
		return 0, refusal.New(refusal.InvalidInput, "%d is more than %d.", n, limit)
	}
	return int64(n), nil
}

func termNamed(key string) (termField, bool) {
	i := slices.IndexFunc(termFields, func(f termField) bool { return f.key == key })
	if i < 0 {
		return termField{}, false
	}
	return termFields[i], true
}

// settings reads the mapping of terms; what a value must be is checked where it
// is set.
func (p *problems) settings(n *node, what string) []setting {
	var given []setting
	known := fields{}
	groups := map[string]fields{}
	for _, f := range termFields {
		take := func(n *node) {
			text, ok := n.termText(f.tags)
			if !ok {
				p.add(n.Line, "%s must be %s, not %s", f.key, f.want, n.shown())
				return
			}
			given = append(given, setting{f.key, text, n.Line})
		}
		group, key, nested := strings.Cut(f.key, ".")
		switch {
		case !nested:
			known[f.key] = take
		case groups[group] == nil:
			groups[group] = fields{key: take}
			known[group] = func(n *node) { p.mapping(n, group, groups[group]) }
		default:
			groups[group][key] = take
		}
	}
	p.mapping(n, what, known)
	return given
}

// termText is a value as an order would give it; ok is false if it is of none of
// these YAML types.
func (n *node) termText(tags []string) (text string, ok bool) {
	if len(tags) > 0 && !(n.Kind == sequence && slices.Contains(tags, listTag)) {
		return n.Value, n.is(tags...)
	}
	if n.Kind != sequence {
		return "", false
	}
	words := make([]string, len(n.Content))
	for i, c := range n.Content {
		if words[i] = c.Value; c.Kind != scalar || strings.Contains(c.Value, "+") {
			return "", false
		}
	}
	return strings.Join(words, "+"), true
}

// override returns base with what is given; a value that is not acceptable is a
// problem and leaves base's.
func (p *problems) override(base license.Terms, given []setting) license.Terms {
	for _, end := range ends {
		if slices.ContainsFunc(given, func(s setting) bool { return slices.Contains(end.keys, s.key) }) {
			end.clear(&base)
		}
	}
	for _, s := range given {
		field, _ := termNamed(s.key)
		if err := field.set(&base, s.text); err != nil {
			p.addError(s.line, s.key, err)
		}
	}
	return base
}
