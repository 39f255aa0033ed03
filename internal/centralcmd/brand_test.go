package centralcmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBrandFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28"></svg>`)
	for name, c := range map[string]struct{ text, want string }{
		"all of it":        {"name: Millwright Tools\nlogo: logo.svg\naccent: '#0b6b50'\naccent_dark: '#7fd8b4'\ncopyright: © 2026\nlegal: {text: Imprint, url: /legal}\nsupport: help@millwright.example\n", ""},
		"nothing":          {"", ""},
		"an unknown key":   {"nam: x\n", "field nam not found"},
		"a color too pale": {"accent: '#ffff00'\naccent_dark: '#ffff00'\n", "contrast"},
		"no logo there":    {"logo: elsewhere.svg\n", "elsewhere.svg"},
		"no YAML":          {"name: [", "cannot be used"},
	} {
		_, err := siteOf(write("brand.yaml", c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := siteOf(""); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if _, err := siteOf(filepath.Join(dir, "nobody.yaml")); err == nil || !strings.Contains(err.Error(), "nobody.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}
