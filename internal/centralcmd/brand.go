package centralcmd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"licet/internal/console"
	"licet/internal/look"
	"licet/internal/portal"
	"licet/refusal"
)

// brandFile is what a vendor puts in place of our name and colors, as
// docs/pages.md describes it.
type brandFile struct {
	Name       string `yaml:"name"`
	Logo       string `yaml:"logo"` // a file, beside this one
	Accent     string `yaml:"accent"`
	AccentDark string `yaml:"accent_dark"`
	Copyright  string `yaml:"copyright"`
	Legal      struct {
		Text string `yaml:"text"`
		URL  string `yaml:"url"`
	} `yaml:"legal"`
	Support string `yaml:"support"`
}

// maxBrand is far more than a brand file needs.
const maxBrand = 64 << 10

// siteOf is the look of all pages, with the brand of a file; our own if there is
// none.
func siteOf(file string) (*look.Site, error) {
	texts, err := look.LoadTexts(portal.Texts(), console.Texts())
	if err != nil {
		return nil, err
	}
	brand := look.Brand{}
	if file != "" {
		if brand, err = readBrand(file); err != nil {
			return nil, err
		}
	}
	site, err := look.New(look.Options{Brand: brand, Texts: texts})
	if err != nil {
		return nil, refusal.New(refusal.InvalidInput, "%s: %s.", file, err).Hinted("Correct the file; docs/pages.md lists its keys.")
	}
	return site, nil
}

func readBrand(file string) (b look.Brand, err error) {
	wrong := func(err error) error {
		return refusal.New(refusal.InvalidInput, "The brand file %s cannot be used: %s.", file, err).Hinted("Correct the file; docs/pages.md lists its keys.")
	}
	content, err := readSmall(file, maxBrand)
	if err != nil {
		return b, wrong(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	var f brandFile
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return b, wrong(err)
	}
	b = look.Brand{Name: f.Name, Accent: f.Accent, Dark: f.AccentDark, Copyright: f.Copyright, LegalText: f.Legal.Text, LegalURL: f.Legal.URL, Support: f.Support}
	if f.Logo != "" {
		if !filepath.IsAbs(f.Logo) {
			f.Logo = filepath.Join(filepath.Dir(file), f.Logo)
		}
		if b.Logo, err = readSmall(f.Logo, 1<<20); err != nil {
			return b, wrong(err)
		}
	}
	return b, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errors.New("it is too large")
	}
	return content, err
}
