package look

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed texts/*.json
var ownTexts embed.FS

// source is the language in which texts are written first.
const source = "en"

// Texts are the sentences of pages in every language. Texts do not change.
type Texts struct {
	languages  []string // source first
	matcher    language.Matcher
	localizers map[string]*i18n.Localizer
	keys       map[string]bool
}

// LoadTexts reads this package's texts and those of more: files LANGUAGE.json
// at the top of each, with a sentence for each key, or one for each plural form.
// A key that is there twice is an error, and so is a language that not every
// part speaks.
func LoadTexts(more ...fs.FS) (*Texts, error) {
	first, err := fs.Sub(ownTexts, "texts")
	if err != nil {
		return nil, fmt.Errorf("look: texts: %w", err)
	}
	t := &Texts{localizers: map[string]*i18n.Localizer{}, keys: map[string]bool{}}
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	for n, part := range append([]fs.FS{first}, more...) {
		spoken, err := t.add(bundle, part)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			t.languages = spoken
		}
		if !slices.Equal(spoken, t.languages) {
			return nil, fmt.Errorf("look: texts: part %d speaks %q, the first %q", n+1, spoken, t.languages)
		}
	}
	var tags []language.Tag
	for _, l := range t.languages {
		tags = append(tags, language.Make(l))
		t.localizers[l] = i18n.NewLocalizer(bundle, l)
	}
	t.matcher = language.NewMatcher(tags)
	return t, nil
}

// add reads one part and returns the languages it speaks, source first.
func (t *Texts) add(bundle *i18n.Bundle, part fs.FS) ([]string, error) {
	names, err := fs.Glob(part, "*.json")
	if err != nil {
		return nil, fmt.Errorf("look: texts: %w", err)
	}
	spoken := []string{}
	for _, name := range names {
		content, err := fs.ReadFile(part, name)
		if err != nil {
			return nil, fmt.Errorf("look: texts: %w", err)
		}
		file, err := bundle.ParseMessageFileBytes(content, name)
		if err != nil {
			return nil, fmt.Errorf("look: texts: %s: %w", name, err)
		}
		l := strings.TrimSuffix(path.Base(name), ".json")
		for _, m := range file.Messages {
			if t.keys[l+" "+m.ID] {
				return nil, fmt.Errorf("look: texts: %s: %q is there twice", name, m.ID)
			}
			t.keys[l+" "+m.ID] = true
		}
		spoken = append(spoken, l)
	}
	slices.SortFunc(spoken, func(a, b string) int {
		switch {
		case a == source:
			return -1
		case b == source:
			return 1
		}
		return strings.Compare(a, b)
	})
	if len(spoken) == 0 || spoken[0] != source {
		return nil, errors.New("look: texts: " + source + ".json is missing")
	}
	return spoken, nil
}

// Has reports whether a key has a sentence in the source language.
func (t *Texts) Has(key string) bool { return t.keys[source+" "+key] }

// Languages are those spoken, the source language first.
func (t *Texts) Languages() []string { return slices.Clone(t.languages) }

func (t *Texts) has(l string) bool { return slices.Contains(t.languages, l) }

// choose takes the language of the cookie, else what the browser asks for.
func (t *Texts) choose(cookie, accept string) string {
	if t.has(cookie) {
		return cookie
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(wanted) == 0 {
		return t.languages[0] // what cannot be read asks for nothing
	}
	_, n, _ := t.matcher.Match(wanted...)
	return t.languages[n]
}

// T is the sentence of a key in the reader's language. What it names comes in
// pairs: T(ctx, "page.range", "From", 1, "To", 20). A key that is nowhere is
// shown as it is; tests find it.
func T(ctx context.Context, key string, pairs ...any) string {
	return say(ctx, &i18n.LocalizeConfig{MessageID: key, TemplateData: named(pairs)}, key)
}

// N is the sentence of a key for a count, which it can name as Count.
func N(ctx context.Context, key string, count int, pairs ...any) string {
	data := named(pairs)
	data["Count"] = Number(ctx, int64(count))
	return say(ctx, &i18n.LocalizeConfig{MessageID: key, TemplateData: data, PluralCount: count}, key)
}

func say(ctx context.Context, c *i18n.LocalizeConfig, key string) string {
	v := viewing(ctx)
	text, err := v.site.texts.localizers[v.language].Localize(c)
	if err != nil && text == "" {
		return key
	}
	return text
}

func named(pairs []any) map[string]any {
	data := map[string]any{}
	for n := 0; n+1 < len(pairs); n += 2 {
		data[fmt.Sprint(pairs[n])] = pairs[n+1]
	}
	return data
}

// Number writes a whole number as the reader's language groups its digits.
func Number(ctx context.Context, n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "\u2212", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), T(ctx, "number.group"))
}
