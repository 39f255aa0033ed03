package look

import (
	"bytes"
	"fmt"
	"math"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
)

// Brand is what a vendor puts in place of ours. Its zero value is Licet's own.
type Brand struct {
	Name      string // shown beside the logo and in titles
	Logo      []byte // SVG or PNG; shown 28 pixels high
	Accent    string // "#rrggbb": buttons, links, what is current; on light pages
	Dark      string // the same on dark pages
	Copyright string // a line of the footer
	LegalText string // the words of the link to legal notes
	LegalURL  string // https, or a path of this site
	Support   string // e-mail address
}

// What text and controls stand on, by theme, as css/look.css has it; a test
// compares. Brand colors must be readable on each.
var grounds = map[Theme][]string{
	Light: {"#ffffff", "#f8f7f5"},
	Dark:  {"#181a1f", "#101215"},
}

// Licet's own accent.
const (
	accentLight = "#1f47c7"
	accentDark  = "#a5b9ff"
)

// readable is the contrast that small text needs (WCAG 2.2, level AA).
const readable = 4.5

// maxLogo keeps pages quick.
const maxLogo = 64 << 10

// complete fills in what is Licet's own.
func (b Brand) complete() Brand {
	if b.Name == "" {
		b.Name = "Licet"
	}
	if b.Accent == "" {
		b.Accent = accentLight
	}
	if b.Dark == "" {
		b.Dark = accentDark
	}
	return b
}

// Stylesheet is the brand as CSS. A brand that readers could not read, or that
// would lead them to a strange place, is refused.
func (b Brand) Stylesheet() ([]byte, error) {
	if (b.Accent == "") != (b.Dark == "") {
		return nil, fmt.Errorf("brand: one of the two accent colors is missing: give one for light pages and one for dark ones")
	}
	b = b.complete()
	light, err := accent(Light, b.Accent)
	if err != nil {
		return nil, err
	}
	dark, err := accent(Dark, b.Dark)
	if err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	var sheet bytes.Buffer
	fmt.Fprintf(&sheet, ":root,[data-theme=light]{%s}\n", light)
	fmt.Fprintf(&sheet, "@media (prefers-color-scheme:dark){:root:not([data-theme]){%s}}\n", dark)
	fmt.Fprintf(&sheet, "[data-theme=dark]{%s}\n", dark)
	return sheet.Bytes(), nil
}

func (b Brand) check() error {
	if len(b.Logo) > maxLogo {
		return fmt.Errorf("brand: the logo has %d bytes; %d are allowed", len(b.Logo), maxLogo)
	}
	if len(b.Logo) > 0 && logoType(b.Logo) != "image/png" && !bytes.Contains(b.Logo, []byte("<svg")) {
		return fmt.Errorf("brand: the logo is neither SVG nor PNG")
	}
	if b.Support != "" {
		if a, err := mail.ParseAddress(b.Support); err != nil || a.Address != b.Support {
			return fmt.Errorf("brand: support: %q is no e-mail address", b.Support)
		}
	}
	if b.LegalURL != "" {
		u, err := url.Parse(b.LegalURL)
		if err != nil || u.Scheme != "https" && (u.Scheme != "" || u.Host != "" || own(b.LegalURL) != b.LegalURL) {
			return fmt.Errorf("brand: legal: %q is neither an https address nor a path of this site", b.LegalURL)
		}
	}
	return nil
}

// accent is a brand color as variables, with the text that goes on it.
func accent(t Theme, hex string) (string, error) {
	c, err := parseColor(hex)
	if err != nil {
		return "", err
	}
	for _, g := range grounds[t] {
		ground, err := parseColor(g)
		if err != nil {
			return "", err
		}
		if r := contrast(c, ground); r < readable {
			return "", fmt.Errorf("brand: %s on %s, the ground of %s pages, has a contrast of %.2f:1, and text needs %.1f:1: choose a %s color",
				hex, g, t, math.Floor(r*100)/100, readable, map[Theme]string{Light: "darker", Dark: "lighter"}[t])
		}
	}
	on := "#ffffff"
	if contrast(c, color{1, 1, 1}) < contrast(c, color{}) {
		on = "#0b0c0e"
	}
	return fmt.Sprintf("--color-primary:%s;--color-primary-content:%s", strings.ToLower(hex), on), nil
}

// color is red, green and blue from 0 to 1, as screens take them.
type color [3]float64

func parseColor(hex string) (color, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 || hex[0] != '#' {
		return color{}, fmt.Errorf("brand: %q is no color: write it as #rrggbb", hex)
	}
	return color{float64(n>>16&255) / 255, float64(n>>8&255) / 255, float64(n&255) / 255}, nil
}

// contrast is the ratio that WCAG 2.2 defines, from 1 to 21.
func contrast(a, b color) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func (c color) luminance() float64 {
	var l float64
	for n, weight := range [3]float64{0.2126, 0.7152, 0.0722} {
		v := c[n]
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}
