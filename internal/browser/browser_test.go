package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSees plants one fault of each kind that it looks for.
func TestSees(t *testing.T) {
	tools := need(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	pages := map[string]string{
		"/good":   `<h1>Good</h1><p>Nothing is wrong.</p>`,
		"/axe":    `<h1>Axe</h1><input><p style="color:#aaa;background:#fff">pale</p>`,
		"/wide":   `<h1>Wide</h1><div class="far" style="width:3000px">far</div>`,
		"/host":   `<h1>Host</h1><img alt="x" src="` + other.URL + `/x.png">`,
		"/script": `<h1>Script</h1><script>throw new Error("broken")</script>`,
		"/status": `<h1>Status</h1>`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/favicon.ico" {
			return
		}
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>x</title><body><main>` + pages[r.URL.Path] + `</main></body></html>`))
	}))
	defer server.Close()
	l := Look{Widths: []int{820}, Themes: []string{"light"}}
	for path := range pages {
		l.Pages = append(l.Pages, Page{Name: path[1:], URL: server.URL + path})
	}
	for n := range l.Pages {
		if l.Pages[n].Name == "status" {
			l.Pages[n].Status = http.StatusNotFound
		}
	}
	l.Walks = []Walk{{Name: "walk", File: "testdata/walk.mjs", Base: server.URL, Data: map[string]string{"path": "/good"}}}
	l.complete()
	found := l.run(t, tools)
	for where, what := range map[string]string{
		"axe": "color-contrast", "wide": "scrolls sideways: div.far", "host": "asks another host", "script": "broken", "status": "status 200, want 404", "walk": "said so",
	} {
		seen := false
		for _, f := range found {
			if strings.HasPrefix(f.Where, where) && strings.Contains(f.What, what) {
				seen = true
			}
		}
		if !seen {
			t.Errorf("%s: %q was not seen in %v", where, what, found)
		}
	}
	for _, f := range found {
		if strings.HasPrefix(f.Where, "good") {
			t.Errorf("a good page: %v", f)
		}
	}
}
