package portal_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"licet/internal/browser"
	"licet/internal/look"
	"licet/internal/web"
	"licet/license"
	"licet/wire"
)

// helper does for a walk what happens elsewhere: commands on machines, decisions
// of staff.
func (s *stage) helper(use func()) string {
	var mu sync.Mutex
	boxes := map[string]*box{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var in struct {
			Box, Text string
			Args      []string
			Number    uint64
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b := boxes[in.Box]
		if b == nil && in.Box != "" {
			b = s.box()
			boxes[in.Box] = b
		}
		var err error
		switch r.URL.Path {
		case "/file":
			_, _ = w.Write(b.file(in.Args...))
		case "/run":
			_, _ = w.Write([]byte(b.licet(in.Args...)))
		case "/import":
			_, _ = w.Write([]byte(b.imports([]byte(in.Text))))
		case "/trust":
			name := filepath.Join(s.t.TempDir(), "vendor.trust")
			s.must(os.WriteFile(name, []byte(in.Text), 0o600))
			b.licet("trust", "add", name)
		case "/ask":
			_, err = s.AskRecovery(s.t.Context(), s.admin, in.Number, in.Text)
		case "/reports":
			var list wire.List[wire.Recovery]
			list, err = s.Recoveries(s.t.Context(), s.admin, false, "", 10)
			_, _ = fmt.Fprint(w, len(list.Items))
		case "/use":
			use()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}))
	s.t.Cleanup(server.Close)
	return server.URL
}

// vendor is a brand that is not ours.
var vendor = look.Brand{Name: "Millwright Tools", Copyright: "© 2026 Millwright Tools", LegalURL: "/legal", Support: "help@millwright.example", Accent: "#0b6b50", Dark: "#7fd8b4"}

func TestWalkFile(t *testing.T) {
	s := newStage(t)
	ticket, _ := s.bought("Hartmann Precision Ltd.", "STUDIO", "POST", "SIM", "FLOAT")
	browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "file", File: "testdata/file.mjs", Base: s.url,
		Data: map[string]any{"ticket": ticket, "typo": ticket[:12] + ticket[13:], "shots": os.Getenv("LICET_SHOTS"), "helper": s.helper(nil)}}}})
}

func TestWalkStolen(t *testing.T) {
	for _, plain := range []bool{true, false} {
		s := stageWith(t, web.Limits{}, vendor)
		ticket, _ := s.bought("Hartmann Präzision GmbH", "STUDIO", "FLOAT", "FIXED", "TIED")
		s.activated(ticket)
		browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "stolen", File: "testdata/stolen.mjs", Base: s.url, Plain: plain,
			Data: map[string]any{"plain": plain, "ticket": ticket, "shots": os.Getenv("LICET_SHOTS"), "helper": s.helper(nil)}}}})
	}
}

func TestWalkStaff(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Hartmann Precision Ltd.", "SIM", "POST", "STUDIO")
	s.activated(ticket)
	// Restored once by policy, and activated again: the next one is refused.
	use := func() {
		_, err := s.RequestRestore(t.Context(), wire.RestoreRequest{Tickets: []string{ticket}, Licenses: []license.ID{ids["POST"], ids["STUDIO"]}, Reason: "before", Accept: true})
		s.must(err)
		s.activated(ticket, ids["POST"], ids["STUDIO"])
	}
	browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "staff", File: "testdata/staff.mjs", Base: s.url,
		Data: map[string]any{"password": password, "ticket": ticket, "shots": os.Getenv("LICET_SHOTS"), "helper": s.helper(use)}}}})
}

// TestWalkTrouble: whatever is done twice, too late, in the wrong order or in two
// tabs at once comes to one result, and every page says what is true.
func TestWalkTrouble(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Hartmann Precision Ltd.", "STUDIO")
	huge := filepath.Join(t.TempDir(), "image.iso")
	s.must(os.WriteFile(huge, nil, 0o600))
	s.must(os.Truncate(huge, 200<<20)) // more than any server would take
	browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "trouble", File: "testdata/trouble.mjs", Base: s.url,
		Data: map[string]any{"ticket": ticket, "studio": ids["STUDIO"], "huge": huge, "shots": os.Getenv("LICET_SHOTS"), "helper": s.helper(nil)}}}})
}

// payloads are what an attacker writes where text is taken.
var payloads = []string{
	`"><img src=x onerror=ran=1>`,
	`<script>ran=1</script>`,
	`</textarea></title></style></script><svg onload=ran=1>`,
	`' onfocus=ran=1 autofocus x='`,
	`javascript:ran=1`,
	`{{.Text}}${ran=1}<%= ran=1 %>`,
	`<iframe srcdoc="<script>parent.ran=1</script>">`,
	`<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example">`,
	"\u202eesrever\u202c \u0000\u0001 <a href=\"&#106;avascript:ran=1\">x</a>",
	`<math><mtext></form><form action="https://evil.example"><button>x</button>`,
}

func TestHostileText(t *testing.T) {
	s := newStage(t)
	var products []map[string]any
	for n, p := range payloads {
		products = append(products, map[string]any{"code": fmt.Sprintf("EVIL-%d", n), "name": clean(p), "model": "perpetual_single",
			"restore": map[string]any{"license": map[string]any{"mode": "manual"}, "container": map[string]any{"new_hardware": "manual"}, "conditions": clean(p)},
			"terms":   map[string]any{"customer_text": clean(p)}})
	}
	text, err := json.Marshal(map[string]any{"products": products})
	s.must(err)
	_, err = s.ApplyCatalog(t.Context(), s.admin, wire.CatalogRequest{YAML: string(text)})
	s.must(err)
	var codes []string
	for n := range payloads {
		codes = append(codes, fmt.Sprintf("EVIL-%d", n))
	}
	ticket, ids := s.bought(clean(strings.Join(payloads[:2], " ")), codes...)
	s.activated(ticket, ids["EVIL-0"], ids["EVIL-1"])
	browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "hostile", File: "testdata/hostile.mjs", Base: s.url,
		Data: map[string]any{"ticket": ticket, "license": ids["EVIL-0"], "payloads": payloads, "shots": os.Getenv("LICET_SHOTS"), "helper": s.helper(nil)}}}})
}

// clean is a text without what catalogs and orders do not take.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x202a && c <= 0x202e {
			return -1
		}
		return c
	}, text)
}

// TestLook is the pages that no walk passes.
func TestLook(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Hartmann Precision Ltd.", "STUDIO", "POST")
	s.enter(ticket)
	at, err := url.Parse(s.url)
	s.must(err)
	visit := map[string]string{}
	for _, c := range s.http.Jar.Cookies(at) {
		visit[c.Name] = c.Value
	}
	german := map[string]string{"licet_language": "de"}
	for k, v := range visit {
		german[k] = v
	}
	limited := stageWith(t, web.Limits{PerAddress: web.Rate{PerSecond: 0.0001, Burst: 0.5}}, look.Brand{})
	browser.At(t, browser.Look{Pages: []browser.Page{
		{Name: "404", URL: s.url + "/nothing", Status: 404},
		{Name: "429", URL: limited.url + "/", Status: 429},
		{Name: "unknown-license", URL: s.url + "/activate/file?license=x", Status: 404, Cookies: visit},
		{Name: "lost-nothing", URL: s.url + "/restore", Cookies: visit},
		{Name: "de-choose", URL: s.url + "/activate", Cookies: german},
		{Name: "de-file", URL: s.url + "/activate/file?license=" + string(ids["POST"]), Cookies: german},
		{Name: "de-carry", URL: s.url + "/carry", Cookies: german},
	}})
}
