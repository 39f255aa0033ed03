package gallery_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"licet/internal/browser"
	"licet/internal/look"
	"licet/internal/look/gallery"
)

// open serves the gallery on this machine.
func open(t *testing.T, brand look.Brand) string {
	t.Helper()
	site, err := look.New(look.Options{Brand: brand, Now: gallery.Clock})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gallery.Handler(site))
	t.Cleanup(server.Close)
	return server.URL
}

// vendor is a brand that is not ours.
var vendor = look.Brand{
	Name: "Millwright Tools", Copyright: "© 2026 Millwright Tools", LegalURL: "/legal", LegalText: "Imprint", Support: "help@millwright.example",
	Accent: "#0b6b50", Dark: "#7fd8b4",
	Logo: []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28"><circle cx="14" cy="14" r="13" fill="#0b6b50"/><path d="M8 19V9l6 6 6-6v10" fill="none" stroke="#fff" stroke-width="2.4" stroke-linejoin="round" stroke-linecap="round"/></svg>`),
}

func TestInBrowser(t *testing.T) {
	ours := open(t, look.Brand{Copyright: "© 2026 Millwright Tools", LegalURL: "/legal", Support: "help@millwright.example"})
	theirs := open(t, vendor)
	var l browser.Look
	for _, p := range gallery.Pages {
		l.Pages = append(l.Pages, browser.Page{Name: p.Name, URL: ours + p.Path, Status: p.Status})
		switch p.Name {
		case "ticket-choose", "recoveries":
			l.Pages = append(l.Pages, browser.Page{Name: "vendor-" + p.Name, URL: theirs + p.Path, Cookies: map[string]string{"licet_language": "de"}})
		}
	}
	browser.At(t, l)
}

func TestWalks(t *testing.T) {
	base := open(t, look.Brand{})
	browser.At(t, browser.Look{Walks: []browser.Walk{
		{Name: "reader", File: "testdata/reader.mjs", Base: base},
		{Name: "plain", File: "testdata/plain.mjs", Base: base, Plain: true},
	}})
}

// TestEveryPageRenders needs no browser.
func TestEveryPageRenders(t *testing.T) {
	base := open(t, vendor)
	for _, p := range gallery.Pages {
		response, err := http.Get(base + p.Path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != p.Status || !bytes.HasSuffix(body, []byte("</html>")) {
			t.Errorf("%s: %d, %v", p.Path, response.StatusCode, err)
		}
		if policy := response.Header.Get("Content-Security-Policy"); policy != look.Policy {
			t.Errorf("%s: policy %q", p.Path, policy)
		}
	}
}
