package look

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/a-h/templ"

	"licet/internal/look/looktest"
	"licet/license"
)

func TestTexts(t *testing.T) {
	folder, err := fs.Sub(ownTexts, "texts")
	if err != nil {
		t.Fatal(err)
	}
	looktest.Texts(t, folder)
	looktest.Templates(t, ".", plain().texts.Has)
	looktest.Classes(t, ".", string(compiled))
}

// TestEveryKeyThatIsPutTogether lists what Templates cannot see.
func TestEveryKeyThatIsPutTogether(t *testing.T) {
	var keys []string
	for _, s := range sections {
		keys = append(keys, "section."+string(s.section))
	}
	for s := range shapes {
		keys = append(keys, "state."+string(s))
	}
	for _, tone := range []Tone{Info, Success, Warning, Danger} {
		keys = append(keys, "tone."+string(tone))
	}
	for _, status := range []string{"403", "404", "409", "429", "500"} {
		keys = append(keys, "problem."+status+".title", "problem."+status+".detail", "problem."+status+".hint")
	}
	for n := range 12 {
		keys = append(keys, fmt.Sprintf("month.%d", n+1))
	}
	for _, unit := range []string{"minutes", "hours", "days", "months", "years"} {
		keys = append(keys, "time.ago."+unit, "time.in."+unit)
	}
	for _, l := range plain().texts.languages {
		keys = append(keys, "language."+l, "language."+l+".short")
	}
	for _, k := range keys {
		if !plain().texts.Has(k) {
			t.Errorf("no text for %q", k)
		}
	}
}

func TestEveryStateOfALicenseHasABadge(t *testing.T) {
	for _, s := range license.States {
		if shapes[State(s.State)] == "" || !plain().texts.Has("state."+string(s.State)) {
			t.Errorf("%s has no shape or no word", s.State)
		}
	}
	seen := map[string]State{}
	for s, shape := range shapes {
		if other, ok := seen[shape]; ok {
			t.Errorf("%s and %s have one shape", s, other)
		}
		seen[shape] = s
	}
}

func TestLoadTexts(t *testing.T) {
	part := func(files ...string) fs.FS {
		m := fstest.MapFS{}
		for n := 0; n+1 < len(files); n += 2 {
			m[files[n]] = &fstest.MapFile{Data: []byte(files[n+1])}
		}
		return m
	}
	good, err := LoadTexts(part("en.json", `{"x.y": "Hello {{.Who}}"}`, "de.json", `{"x.y": "Hallo {{.Who}}"}`))
	if err != nil || !good.Has("x.y") || !good.Has("search.do") {
		t.Fatalf("%v", err)
	}
	for want, p := range map[string]fs.FS{
		"is there twice": part("en.json", `{"search.do": "x"}`, "de.json", `{}`),
		"speaks":         part("en.json", `{"x.y": "x"}`),
		"missing":        part("de.json", `{"x.y": "x"}`),
		"en.json":        part("en.json", `{`, "de.json", `{}`),
	} {
		if _, err := LoadTexts(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestBrand(t *testing.T) {
	for _, c := range []struct {
		name  string
		brand Brand
		want  string // of the error; empty: it is taken
	}{
		{"our own", Brand{}, ""},
		{"a good one", Brand{Name: "Millwright", Accent: "#0B6B50", Dark: "#7fd8b4", LegalURL: "https://millwright.example/legal", Support: "help@millwright.example"}, ""},
		{"too light", Brand{Accent: "#4f8cff", Dark: "#a5b9ff"}, "contrast of 3."},
		{"too dark", Brand{Accent: "#1f47c7", Dark: "#1f47c7"}, "choose a lighter color"},
		{"no color", Brand{Accent: "blue", Dark: "#a5b9ff"}, "write it as #rrggbb"},
		{"a color that closes the rule", Brand{Accent: "#000;}x", Dark: "#a5b9ff"}, "write it as #rrggbb"},
		{"half", Brand{Accent: "#1f47c7"}, "one of the two"},
		{"a logo that is none", Brand{Logo: []byte("GIF89a")}, "neither SVG nor PNG"},
		{"a logo too large", Brand{Logo: bytes.Repeat([]byte("<svg"), maxLogo)}, "are allowed"},
		{"no address", Brand{Support: "Help <help@x.example>"}, "no e-mail address"},
		{"legal by script", Brand{LegalURL: "javascript:alert(1)"}, "neither an https address"},
		{"legal elsewhere", Brand{LegalURL: "//evil.example"}, "neither an https address"},
	} {
		_, err := c.brand.Stylesheet()
		if got := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestGrounds holds the colors that brands are measured against to the stylesheet's.
func TestGrounds(t *testing.T) {
	source, err := os.ReadFile("css/look.css")
	if err != nil {
		t.Fatal(err)
	}
	for theme, colors := range grounds {
		block := regexp.MustCompile(`(?s)name: "` + string(theme) + `";(.*?)\n}`).FindSubmatch(source)
		if block == nil {
			t.Fatalf("no theme %s", theme)
		}
		for n, name := range []string{"--color-base-100", "--color-base-200"} {
			if !bytes.Contains(block[1], []byte(name+": "+colors[n]+";")) {
				t.Errorf("%s: %s is not %s", theme, name, colors[n])
			}
		}
	}
}

// show is one component in a language, at a time.
func show(t *testing.T, accept string, c templ.Component) string {
	t.Helper()
	site, err := New(Options{Now: func() time.Time { return time.Date(2026, 11, 21, 14, 32, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/x?a=1", nil)
	r.Header.Set("Accept-Language", accept)
	w := httptest.NewRecorder()
	site.Pages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := Write(w, r, http.StatusOK, c); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(w, r)
	return w.Body.String()
}

func TestTimeAndNumbers(t *testing.T) {
	at := time.Date(2026, 3, 4, 9, 5, 0, 0, time.UTC)
	for accept, want := range map[string][]string{
		"en-GB":             {`lang="en"`, "4 Mar 2026, 09:05 UTC", "8 months ago", "21–40 of 1,038"},
		"de-AT,en;q=0.5":    {`lang="de"`, "4. März 2026, 09:05 UTC", "vor 8 Monaten", "21–40 von 1.038"},
		"fr":                {`lang="en"`},
		"\xff;q=nothing,,;": {`lang="en"`},
	} {
		got := show(t, accept, Public{Title: "x"}) + show(t, accept, Time{At: at}) + show(t, accept, Pagination{From: 21, To: 40, Total: 1038})
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q: no %q in %s", accept, w, got)
			}
		}
	}
}

func TestWhatIsShownIsEscaped(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	for _, c := range []templ.Component{
		Public{Title: evil}, Head{Title: evil, Lead: evil, Code: evil}, Field{Name: "x", Label: evil, Value: evil, Error: evil},
		Tickets{Name: "x", Value: "</textarea>" + evil}, Text(evil), Code{Text: evil, Block: true, Label: evil}, Notice{Tone: Info, Title: evil},
		License{Product: evil, Number: evil, State: Gone}, Timeline{Label: evil, Events: []Event{{Sentence: evil, Reason: evil}}},
		Button{Text: evil, Name: evil, Value: evil}, Table{Caption: evil, Columns: []Column{{Title: evil}}, Rows: []Row{{Cells: []templ.Component{Text(evil)}}}},
	} {
		if got := show(t, "en", c); strings.Contains(got, "<script>alert") {
			t.Errorf("%T: %s", c, got)
		}
	}
	if got := show(t, "en", Button{Text: "x", Href: "javascript:alert(1)"}); strings.Contains(got, "javascript:") {
		t.Error(got)
	}
}

func TestPreference(t *testing.T) {
	site, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	send := func(form url.Values, origin string) *http.Response {
		r := httptest.NewRequest("POST", "https://central.example"+Root+"preference", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", origin)
		w := httptest.NewRecorder()
		site.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	got := send(url.Values{"theme": {"dark"}, "language": {"de"}, "back": {"/console/orders?page=2"}}, "same-origin")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/console/orders?page=2" || len(got.Cookies()) != 2 {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	for _, c := range got.Cookies() {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%v", c)
		}
	}
	if got := send(url.Values{"language": {"xx"}}, "same-origin"); len(got.Cookies()) != 0 {
		t.Errorf("a language that nobody speaks was kept: %v", got.Cookies())
	}
	for _, back := range []string{"//evil.example", `/\evil.example`, "https://evil.example", "", "/\t/evil.example"} {
		if got := send(url.Values{"theme": {""}, "back": {back}}, "same-origin").Header.Get("Location"); got != "/" {
			t.Errorf("%q leads to %q", back, got)
		}
	}
	if got := send(url.Values{"theme": {"dark"}}, "cross-site"); got.StatusCode != http.StatusForbidden {
		t.Errorf("another site changed it: %d", got.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	site, err := New(Options{Brand: Brand{Logo: []byte(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, mediaType := range map[string]string{"look.css": "text/css; charset=utf-8", "brand.css": "text/css; charset=utf-8", "look.js": "text/javascript; charset=utf-8", "logo": "image/svg+xml", "mark.svg": "image/svg+xml"} {
		w := httptest.NewRecorder()
		site.Handler().ServeHTTP(w, httptest.NewRequest("GET", Root+name+"?v="+site.versions[name], nil))
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != mediaType || !strings.Contains(h.Get("Cache-Control"), "immutable") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v", name, w.Code, h)
		}
	}
}

func TestAPageThatFailsIsNotSent(t *testing.T) {
	broken := templ.ComponentFunc(func(context.Context, io.Writer) error { return errors.New("broken") })
	w := httptest.NewRecorder()
	if err := Write(w, httptest.NewRequest("GET", "/", nil), http.StatusOK, Group(Text("half"), broken)); err == nil || w.Body.Len() > 0 {
		t.Errorf("%v, sent %q", err, w.Body)
	}
}

// TestGenerated says when generated code is older than its template.
func TestGenerated(t *testing.T) {
	for _, folder := range []string{".", "gallery"} {
		sources, err := filepath.Glob(filepath.Join(folder, "*.templ"))
		if err != nil || len(sources) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, name := range sources {
			cmd := exec.Command("go", "tool", "-modfile=../../tools/go.mod", "templ", "generate", "-stdout", "-f", name)
			want, err := cmd.Output()
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				t.Fatalf("%s: %v\n%s", name, err, failed.Stderr)
			} else if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(strings.TrimSuffix(name, ".templ") + "_templ.go")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
				t.Errorf("%s: the generated code is not of this template: run \"make generate\"", name)
			}
		}
	}
}
