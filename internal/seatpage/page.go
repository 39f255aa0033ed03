// Package seatpage is the license server's own page, for the administrator of a
// customer's network: the seats and who has them, loans, who waits, the rules of
// access, use and denials. It decides nothing: every answer is the license
// server's; here are pages, who may see them, and words.
//
// Reading needs no sign-in on the server's own machine. Everything else, and every
// change, needs the administrators' token of the server (session.go).
package seatpage

import (
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"licet/internal/look"
	"licet/internal/seatserver"
	"licet/internal/web"
	"licet/license"
	"licet/refusal"
)

//go:generate go tool -modfile=../../tools/go.mod templ generate -lazy

//go:embed texts/*.json
var ownTexts embed.FS

// Texts are the sentences of these pages, for look.LoadTexts.
func Texts() fs.FS {
	folder, err := fs.Sub(ownTexts, "texts")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return folder
}

const (
	maxForm = 16 << 10
	maxText = 200 // bytes of what is typed
)

// pages is what all pages share.
type pages struct {
	server   *seatserver.Server
	sessions *sessions
	now      func() time.Time
	log      *slog.Logger
}

// New is the handler of a license server's pages, for Server.ShowPages.
func New(server *seatserver.Server, now func() time.Time, log *slog.Logger) (http.Handler, error) {
	texts, err := look.LoadTexts(Texts())
	if err != nil {
		return nil, err
	}
	site, err := look.New(look.Options{Texts: texts, Now: now})
	if err != nil {
		return nil, err
	}
	p := &pages{server: server, sessions: newSessions(now), now: now, log: log}
	mux := http.NewServeMux()
	read := func(path string, h page) { mux.Handle("GET "+path, p.page(p.readers(h))) }
	change := func(path string, h page) { mux.Handle("POST "+path, p.page(p.administrators(h))) }
	read("/{$}", p.seats)
	read("/sessions", p.inUse)
	read("/loans", p.onLoan)
	read("/access", p.access)
	read("/usage", p.usage)
	read("/export/{file}", p.export)
	mux.Handle("GET /sessions/{lease}/end", p.page(p.administrators(p.endPage)))
	change("/sessions/{lease}/end", p.end)
	change("/sign-out", p.signOut)
	mux.Handle("GET /sign-in", p.page(p.signInPage))
	tries := web.NewLimiter(web.Limits{PerAddress: web.Rate{PerSecond: 0.2, Burst: 8}, Total: web.Rate{PerSecond: 2, Burst: 40}, Now: now})
	mux.Handle("POST /sign-in", tries.Or(p.page(p.signIn), p.busy))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, look.Root+"mark.svg", http.StatusSeeOther)
	})
	mux.Handle("/", p.page(func(http.ResponseWriter, *http.Request, visit) error {
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}))

	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.problem(w, r, visit{}, look.Problem{Status: http.StatusForbidden, Title: look.T(r.Context(), "seatpage.foreign.title"),
			Detail: look.T(r.Context(), "seatpage.foreign.detail"), Hint: look.T(r.Context(), "seatpage.foreign.hint")})
	}))
	all := http.NewServeMux()
	all.Handle(look.Root, site.Handler())
	all.Handle("/", site.Pages(own.Handler(mux)))
	return all, nil
}

// visit is who looks at a page, as far as the server knows.
type visit struct {
	admin bool   // signed in with the administrators' token
	local bool   // at the server's own machine
	done  string // what was just done, to be said once
}

// page is a page that returns its error instead of writing it.
type page func(w http.ResponseWriter, r *http.Request, v visit) error

func (p *pages) page(h page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visit{local: seatserver.AtTheMachine(r)}
		v.admin, v.done = p.sessions.find(r)
		err := readForm(w, r)
		if err == nil {
			err = h(w, r, v)
		}
		if err != nil {
			p.failed(w, r, v, err)
		}
	})
}

func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var over *http.MaxBytesError
	switch err := r.ParseForm(); {
	case errors.As(err, &over):
		return refusal.New(refusal.TooLarge, "The form is larger than %d bytes.", maxForm)
	case err != nil:
		return refusal.New(refusal.InvalidInput, "The form cannot be read.")
	}
	return nil
}

// readers lets in who is at the server's machine or is signed in.
func (p *pages) readers(h page) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		if !v.local && !v.admin {
			return toTheDoor(w, r)
		}
		return h(w, r, v)
	}
}

// administrators lets in who is signed in.
func (p *pages) administrators(h page) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		switch {
		case v.admin:
			return h(w, r, v)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			return toTheDoor(w, r)
		}
		ctx := r.Context()
		p.problem(w, r, v, look.Problem{Status: http.StatusForbidden, Title: look.T(ctx, "seatpage.out.title"), Detail: look.T(ctx, "seatpage.out.detail"),
			Hint: look.T(ctx, "seatpage.out.hint"), Home: look.Crumb{Text: look.T(ctx, "seatpage.signin.do"), Href: "/sign-in"}})
		return nil
	}
}

// toTheDoor leads to the sign-in, and from there back.
func toTheDoor(w http.ResponseWriter, r *http.Request) error {
	there := "/sign-in"
	if r.URL.Path != "/" {
		there += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, there, http.StatusSeeOther)
	return nil
}

// inside is an address of these pages, the first one for any other: a link must not
// lead elsewhere through the door.
func inside(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, "/sign-") {
		return "/"
	}
	return next
}

// show answers with a page. Who chose so has the browser ask again by itself.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	if again(r) {
		w.Header().Set("Refresh", refreshEvery)
	}
	return look.Write(w, r, status, c)
}

// refreshEvery is how often a page asks again, in seconds, where its reader chose so.
const refreshEvery = "15"

func again(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("refresh") == "on"
}

// failed answers with an error as a page. A fault is told to the log alone.
func (p *pages) failed(w http.ResponseWriter, r *http.Request, v visit, err error) {
	no, ok := refusal.As(err)
	if !ok {
		p.log.Error("a page failed", "path", r.Pattern, "error", err)
		p.problem(w, r, v, look.Problem{Status: http.StatusInternalServerError})
		return
	}
	status := refusal.Lookup(no.Code).Status
	if no.Code == refusal.NotFound {
		p.problem(w, r, v, look.Problem{Status: status})
		return
	}
	p.problem(w, r, v, look.Problem{Status: status, Title: look.T(r.Context(), "seatpage.problem"), Detail: no.Message, Hint: no.NextStep()})
}

func (p *pages) busy(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	p.problem(w, r, visit{}, look.Problem{Status: http.StatusTooManyRequests, Wait: max(wait.Round(time.Second), time.Second),
		Detail: look.T(r.Context(), "seatpage.signin.many"), Home: look.Crumb{Text: look.T(r.Context(), "seatpage.signin.do"), Href: "/sign-in"}})
}

func (p *pages) problem(w http.ResponseWriter, r *http.Request, v visit, problem look.Problem) {
	if err := look.Write(w, r, problem.Status, problemPage(v, problem)); err != nil {
		p.log.Error("a page failed", "path", r.Pattern, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

const hour = license.Duration(time.Hour)

// at is a moment for a component.
func at(t license.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return t.Go()
}
