package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"licet/license"
	"licet/refusal"
)

// Bounds of what a catalog holds, in bytes of text or as a number.
const (
	maxCode  = 64
	maxName  = 200
	maxText  = 4000
	MaxCount = 1_000_000_000_000 // of seats, units and the like
)

// node is a value in the file.
type node struct{ *yaml.Node }

const (
	scalar   = yaml.ScalarNode
	sequence = yaml.SequenceNode
	mapping  = yaml.MappingNode
)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document reads the one YAML document of a file, which is named for people.
func document(of string, data []byte) (*node, error) {
	if len(data) > MaxSize {
		return nil, refusal.New(refusal.TooLarge, "The %s has %d bytes; at most %d are read.", of, len(data), MaxSize)
	}
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return nil, one(of, 1, "the file is empty")
	case err != nil:
		return nil, syntax(of, err)
	}
	err = decoder.Decode(&more)
	switch {
	case err == nil:
		return nil, one(of, more.Line, "a second YAML document begins; one is all there may be")
	case !errors.Is(err, io.EOF):
		return nil, syntax(of, err)
	}
	return &node{doc.Content[0]}, nil
}

func one(of string, line int, message string) error {
	var p problems
	p.add(line, "%s", message)
	return p.refusal(of)
}

func syntax(of string, err error) error {
	text := err.Error()
	found := yamlLine.FindStringSubmatch(text)
	line := 1
	if found != nil {
		text = text[len(found[0]):]
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
	}
	return one(of, line, "not YAML: "+text)
}

// value is the value of a key, nil if there is none or n is no mapping.
func (n *node) value(key string) *node {
	if n.Kind != mapping {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return &node{n.Content[i+1]}
		}
	}
	return nil
}

// is reports whether n is a scalar of one of the YAML types.
func (n *node) is(tags ...string) bool {
	return n.Kind == scalar && slices.Contains(tags, n.ShortTag())
}

// shown is n in a message.
func (n *node) shown() string {
	switch {
	case n.Kind == mapping:
		return "a mapping"
	case n.Kind == sequence:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias, which a catalog may not use"
	case n.is("!!null"):
		return "nothing"
	case len(n.Value) > 40:
		return fmt.Sprintf("%q…", n.Value[:40])
	default:
		return strconv.Quote(n.Value)
	}
}

// fields are the keys that a mapping may have and what reads each.
type fields map[string]func(*node)

// mapping reads a mapping key by key; whatever it is that is wrong becomes a
// problem. It reports whether n is a mapping that has every required key.
func (p *problems) mapping(n *node, what string, known fields, required ...string) bool {
	if n.Kind != mapping {
		p.add(n.Line, "%s must be a mapping of keys to values, not %s", what, n.shown())
		return false
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := &node{n.Content[i]}, &node{n.Content[i+1]}
		read, ok := known[key.Value]
		switch {
		case !key.is("!!str") || !ok:
			p.add(key.Line, "unknown key %s%s", key.shown(), didYouMean(key.Value, keys(known)))
		case lines[key.Value] != 0:
			p.add(key.Line, "key %q is there already, on line %d", key.Value, lines[key.Value])
		default:
			lines[key.Value] = key.Line
			read(value)
		}
	}
	all := true
	for _, key := range required {
		if lines[key] == 0 {
			p.add(n.Line, "%s has no %s", what, key)
			all = false
		}
	}
	return all
}

// entries reads a mapping whose keys are names that others choose.
func (p *problems) entries(n *node, what string, limit int, read func(name string, n *node)) {
	if n.Kind != mapping {
		p.add(n.Line, "%s must be a mapping of names to values, not %s", what, n.shown())
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := &node{n.Content[i]}
		var name string
		switch p.text(key, "a name in "+what, limit, &name); {
		case name == "":
		case lines[name] != 0:
			p.add(key.Line, "key %q is there already, on line %d", name, lines[name])
		default:
			lines[name] = key.Line
			read(name, &node{n.Content[i+1]})
		}
	}
}

func (p *problems) list(n *node, what string, read func(*node)) {
	if n.Kind != sequence {
		p.add(n.Line, "%s must be a list, not %s", what, n.shown())
		return
	}
	for _, c := range n.Content {
		read(&node{c})
	}
}

// codes reads a list of different codes, and the line of each.
func (p *problems) codes(n *node, what string) (codes []string, lines []int) {
	codes = []string{}
	p.list(n, what, func(n *node) {
		var code string
		switch p.code(n, what, &code); {
		case code == "":
		case slices.Contains(codes, code):
			p.add(n.Line, "%s: %q is listed twice", what, code)
		default:
			codes, lines = append(codes, code), append(lines, n.Line)
		}
	})
	return codes, lines
}

func (p *problems) code(n *node, what string, into *string) {
	if !n.is("!!str", "!!int") {
		p.add(n.Line, "%s must be a code, not %s", what, n.shown())
		return
	}
	if err := validCode(n.Value); err != nil {
		p.addError(n.Line, what, err)
		return
	}
	*into = n.Value
}

var codePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// validCode says why a text is no code of a product, category or feature. Codes
// stand in commands and file names, hence the few characters.
func validCode(text string) error {
	if len(text) > maxCode || !codePattern.MatchString(text) {
		return refusal.New(refusal.InvalidInput, "%q is not a code.", shorten(text)).
			Hinted("Use up to %d letters, digits, and . _ - inside.", maxCode)
	}
	return nil
}

func shorten(text string) string {
	if len(text) > maxCode {
		return text[:maxCode] + "…"
	}
	return text
}

func (p *problems) text(n *node, what string, limit int, into *string) {
	if !n.is("!!str") {
		p.add(n.Line, "%s must be text, not %s; put it in quotes", what, n.shown())
		return
	}
	if err := validText(n.Value, limit); err != nil {
		p.addError(n.Line, what, err)
		return
	}
	*into = n.Value
}

// validText says why a text may not be shown: empty, too long, or control
// characters other than line ends and tabs.
func validText(text string, limit int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return refusal.New(refusal.InvalidInput, "the text is empty.")
	case len(text) > limit:
		return refusal.New(refusal.InvalidInput, "the text has %d bytes; at most %d are allowed.", len(text), limit)
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f || c == 0xFFFD }):
		return refusal.New(refusal.InvalidInput, "the text has characters that cannot be shown.")
	}
	return nil
}

func (p *problems) boolean(n *node, what string, into *bool) {
	if !n.is("!!bool") {
		p.add(n.Line, "%s must be true or false, not %s", what, n.shown())
		return
	}
	*into = strings.EqualFold(n.Value, "true")
}

func (p *problems) whole(n *node, what string, limit int64, into *int64) {
	if !n.is("!!int") {
		p.add(n.Line, "%s must be a whole number, not %s", what, n.shown())
		return
	}
	v, err := wholeNumber(n.Value, limit)
	if err != nil {
		p.addError(n.Line, what, err)
		return
	}
	*into = v
}

func (p *problems) duration(n *node, what string, into *license.Duration) {
	if !n.is("!!str", "!!int") {
		p.add(n.Line, "%s must be a duration such as 7d, not %s", what, n.shown())
		return
	}
	d, err := license.ParseDuration(n.Value)
	if err != nil {
		p.addError(n.Line, what, err)
		return
	}
	*into = d
}

// enum reads one word of a list; an unknown one is a problem that names the list
// and the nearest word.
func enum[T ~string](p *problems, n *node, what string, allowed []T, into *T) bool {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	if !n.is("!!str") || !slices.Contains(words, n.Value) {
		p.add(n.Line, "unknown %s %s, allowed are %s%s", what, n.shown(), strings.Join(words, ", "), didYouMean(n.Value, words))
		return false
	}
	*into = T(n.Value)
	return true
}
