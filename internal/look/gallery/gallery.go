// Package gallery shows every component of package look in every state, on
// pages such as the product has. It is for eyes and for tests; nothing of it is
// real.
package gallery

import (
	"net/http"
	"time"

	"github.com/a-h/templ"

	"licet/internal/look"
)

// now is when all samples are looked at.
var now = time.Date(2026, 11, 21, 14, 32, 0, 0, time.UTC)

// Clock is the time of the gallery's site.
func Clock() time.Time { return now }

func ago(d time.Duration) time.Time { return now.Add(-d) }

const day = 24 * time.Hour

// Page is one page of the gallery.
type Page struct {
	Name   string // of its screenshots
	Path   string
	Status int
	page   templ.Component
}

// Pages are all of them, in the order of a walk through the product.
var Pages = []Page{
	{"ticket", "/", http.StatusOK, start("", "")},
	{"ticket-wrong", "/wrong", http.StatusOK, start("K7WQM-3XHTA-9PZ4R-MMD2C-W8TYB\nQ2RRV-8KDNA-HT5PX-3WCZM-7JEU6", "The second ticket has a typo: its check character does not fit. The first one is right and was kept.")},
	{"ticket-choose", "/choose", http.StatusOK, choose()},
	{"ticket-done", "/done", http.StatusOK, done()},
	{"ticket-lost", "/lost", http.StatusOK, lost()},
	{"sign-in", "/console/sign-in", http.StatusOK, signIn()},
	{"recoveries", "/console/recoveries", http.StatusOK, recoveries()},
	{"recovery", "/console/recoveries/1042", http.StatusOK, recovery()},
	{"license", "/console/licenses/1", http.StatusOK, license()},
	{"license-block", "/console/licenses/1/block", http.StatusOK, block()},
	{"search", "/console/search", http.StatusOK, search()},
	{"blocklist", "/console/blocklist", http.StatusOK, blockList()},
	{"desk-usage", "/desk/usage", http.StatusOK, usage()},
	{"desk-in-use", "/desk/in-use", http.StatusOK, inUse()},
	{"controls", "/controls", http.StatusOK, controls()},
	{"fields", "/fields", http.StatusOK, fields()},
	{"parts", "/parts", http.StatusOK, parts()},
	{"error-403", "/console/403", http.StatusForbidden, problem(look.Problem{Status: 403, Request: "8f1c22e07ab93d54", Home: look.Crumb{Text: "To the console", Href: "/console/recoveries"}})},
	{"error-404", "/404", http.StatusNotFound, problem(look.Problem{Status: 404})},
	{"error-409", "/409", http.StatusConflict, problem(look.Problem{Status: 409, Home: look.Crumb{Text: "Back to recovery 1042", Href: "/console/recoveries/1042"}})},
	{"error-429", "/429", http.StatusTooManyRequests, problem(look.Problem{Status: 429, Wait: 40 * time.Second})},
	{"error-500", "/500", http.StatusInternalServerError, problem(look.Problem{Status: 500, Request: "8f1c22e07ab93d54"})},
}

// Handler serves the gallery with a site's look.
func Handler(site *look.Site) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(look.Root, site.Handler())
	for _, p := range Pages {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}"
		}
		mux.Handle(pattern, site.Pages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := look.Write(w, r, p.Status, p.page); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})))
	}
	return mux
}
