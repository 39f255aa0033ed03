// Package console is the vendor's staff in a browser: recoveries to decide,
// licenses, containers, orders, the block list, the audit trail, and one box that
// finds all of them. It decides nothing: every rule, and every check of rights,
// is the registry's; here are pages, sessions, and words.
package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/alexedwards/scs/v2"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/internal/web"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
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
	// Prefix is where the console begins.
	Prefix = "/console"

	maxForm  = 64 << 10
	pageSize = 25
)

// DefaultLimits serve a company behind one address.
func DefaultLimits() web.Limits {
	return web.Limits{
		PerAddress: web.Rate{PerSecond: 20, Burst: 200},
		Total:      web.Rate{PerSecond: 200, Burst: 1000},
		AtOnce:     32,
		AtOnceAll:  128,
	}
}

type console struct {
	registry *registry.Registry
	sessions *scs.SessionManager
}

// New is the handler of everything below Prefix.
func New(reg *registry.Registry, site *look.Site, limits web.Limits) http.Handler {
	c := &console{registry: reg, sessions: newSessions(reg, secure(reg))}
	mux := http.NewServeMux()
	get := func(path string, h staffPage) { mux.Handle("GET "+Prefix+path, c.staff(h)) }
	post := func(path string, h staffPage) { mux.Handle("POST "+Prefix+path, c.staff(h)) }

	mux.Handle("GET "+Prefix+"/sign-in", c.page(c.signInPage))
	mux.Handle("POST "+Prefix+"/sign-in", c.page(c.signIn))
	post("/sign-out", c.signOut)
	get("", c.home)
	get("/{$}", c.home)
	get("/recoveries", c.recoveries)
	get("/recoveries/{number}", c.recovery)
	post("/recoveries/{number}", c.decide)
	get("/licenses", c.licenses)
	get("/licenses/{id}", c.license)
	get("/licenses/{id}/{action}", c.licenseAction)
	post("/licenses/{id}/{action}", c.licenseDo)
	get("/containers", c.containers)
	get("/containers/{serial}", c.container)
	get("/containers/{serial}/{action}", c.containerAction)
	post("/containers/{serial}/{action}", c.containerDo)
	get("/orders", c.orders)
	get("/orders/{id}", c.order)
	get("/orders/{id}/cancel", c.orderCancel)
	post("/orders/{id}/cancel", c.orderCancelDo)
	post("/orders/{id}/ticket", c.orderTicket)
	get("/orders/{id}/ticket", c.orderAgain)
	get("/gap", c.gap)
	get("/gap/{action}", c.gapAction)
	post("/gap/{action}", c.gapDo)
	get("/subscriptions", c.subscriptions)
	get("/subscriptions/{id}", c.subscription)
	get("/subscriptions/{id}/{action}", c.subscriptionAction)
	post("/subscriptions/{id}/{action}", c.subscriptionDo)
	get("/blocklist", c.blockList)
	get("/blocklist/file", c.blockListFile)
	get("/report", c.report)
	get("/report/{table}", c.reportFile)
	get("/webhooks", c.webhooks)
	get("/webhooks/new", c.webhookNew)
	post("/webhooks/new", c.webhookCreate)
	get("/webhooks/{id}", c.webhook)
	get("/webhooks/{id}/{action}", c.webhookAction)
	post("/webhooks/{id}/change", c.webhookChange)
	post("/webhooks/{id}/rotate", c.webhookRotate)
	post("/webhooks/{id}/delete", c.webhookDelete)
	post("/webhooks/{id}/{action}", c.webhookDo)
	get("/jobs", c.jobs)
	get("/jobs/{id}", c.job)
	get("/jobs/{id}/cancel", c.jobPanel)
	post("/jobs/{id}/cancel", c.jobCancel)
	get("/search", c.search)
	post("/search", c.search)
	get("/audit", c.audit)
	mux.Handle(Prefix+"/", c.staff(func(http.ResponseWriter, *http.Request, member) error {
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}))

	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.problem(w, r, member{}, look.Problem{Status: http.StatusForbidden, Title: look.T(r.Context(), "console.foreign.title"),
			Detail: look.T(r.Context(), "console.foreign.detail"), Hint: look.T(r.Context(), "console.foreign.hint")})
	}))
	pages := own.Handler(c.sessions.LoadAndSave(mux))
	limiter := web.NewLimiter(limits)
	busy := func(w http.ResponseWriter, r *http.Request, wait time.Duration) {
		c.problem(w, r, member{}, look.Problem{Status: http.StatusTooManyRequests, Wait: wait})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site.Pages(limiter.Or(http.HandlerFunc(func(w http.ResponseWriter, inner *http.Request) {
			v := new(visit)
			pages.ServeHTTP(w, inner.WithContext(context.WithValue(inner.Context(), visitKey{}, v)))
			if v.route != "" {
				r.Pattern = v.route // for the log
			}
		}), busy)).ServeHTTP(w, r)
	})
}

// secure reports whether browsers reach this central by TLS, as the vendor's
// trust file says.
func secure(reg *registry.Registry) bool {
	t, err := seal.ParseTrust([]byte(reg.WellKnown().Trust))
	return err == nil && strings.HasPrefix(t.Address, "https://")
}

// member is who is signed in, with the rights that the account has now.
type member struct {
	registry.Actor
	account wire.Staff
	pass    registry.Pass
	waits   wire.Waits
	done    string // what was just done, to be said once
	stopped *registry.Stopped
}

// shell is the frame of a page.
func (m member) shell(title string, section look.Section, exact bool) look.Staff {
	s := look.Staff{Title: title, Section: section, Exact: exact, Person: m.account.Name, Out: Prefix + "/sign-out",
		Waiting: map[look.Section]int{look.Recoveries: m.waits.Recoveries, look.Containers: m.waits.Containers, look.Webhooks: m.waits.Webhooks}}
	if !m.Can(registry.ScopeWebhooks) {
		s.Without = []look.Section{look.Webhooks}
	}
	if m.stopped != nil && m.account.Name != "" {
		s.Banner = stoppedNotice(*m.stopped)
	}
	return s
}

// staffPage is a page for somebody who is signed in.
type staffPage func(w http.ResponseWriter, r *http.Request, m member) error

// page answers with a page's error, if any.
func (c *console) page(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visitOf(r.Context()).route = r.Pattern
		if err := readForm(w, r); err != nil {
			c.failed(w, r, member{}, err)
			return
		}
		if err := h(w, r); err != nil {
			c.failed(w, r, member{}, err)
		}
	})
}

func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return refusal.New(refusal.TooLarge, "The form is larger than %d bytes.", maxForm)
	case err != nil:
		return refusal.New(refusal.InvalidInput, "The form cannot be read.")
	}
	return nil
}

// staff lets in who is signed in, and leads the others to the door.
func (c *console) staff(h staffPage) http.Handler {
	return c.page(func(w http.ResponseWriter, r *http.Request) error {
		m, err := c.member(r)
		if refusal.Is(err, refusal.Unauthorized) {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				there := Prefix + "/sign-in"
				if r.URL.Path != Prefix {
					there += "?next=" + url.QueryEscape(r.URL.RequestURI())
				}
				http.Redirect(w, r, there, http.StatusSeeOther)
				return nil
			}
			c.problem(w, r, member{}, look.Problem{Status: http.StatusForbidden, Title: look.T(r.Context(), "console.out.title"),
				Detail: look.T(r.Context(), "console.out.detail"), Hint: look.T(r.Context(), "console.out.hint"),
				Home: look.Crumb{Text: look.T(r.Context(), "console.signin.do"), Href: Prefix + "/sign-in"}})
			return nil
		}
		if err != nil {
			return err
		}
		web.ActedAs(r.Context(), m.String())
		ctx := registry.WithRequest(r.Context(), web.RequestID(r.Context()))
		if key := r.PostForm.Get("once"); key != "" && r.Method == http.MethodPost && len(key) < 100 {
			ctx = registry.WithOnce(ctx, registry.Once{Key: "console " + key, Hash: formHash(r)})
		}
		r = r.WithContext(ctx)
		if err := h(w, r, m); err != nil {
			c.failed(w, r, m, err)
		}
		return nil
	})
}

// formHash is what a form says, so that a key stands for one form.
func formHash(r *http.Request) [32]byte {
	return sha256.Sum256([]byte(r.URL.Path + "?" + r.PostForm.Encode()))
}

// newOnce makes a form that is sent twice one form.
func newOnce() string { return rand.Text() }

func (c *console) home(w http.ResponseWriter, r *http.Request, _ member) error {
	http.Redirect(w, r, Prefix+"/recoveries", http.StatusSeeOther)
	return nil
}

// did goes on after something was done, and has the next page say so.
func (c *console) did(w http.ResponseWriter, r *http.Request, where, what string) error {
	c.sessions.Put(r.Context(), "done", what)
	http.Redirect(w, r, where, http.StatusSeeOther)
	return nil
}

// write answers with a page.
func (c *console) write(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	return look.Write(w, r, status, page)
}

// failed answers with an error as a page. A fault is logged with the request.
func (c *console) failed(w http.ResponseWriter, r *http.Request, m member, err error) {
	ref, ok := refusal.As(err)
	if !ok {
		web.Fault(r.Context(), err)
		c.problem(w, r, m, look.Problem{Status: http.StatusInternalServerError, Request: web.RequestID(r.Context())})
		return
	}
	ctx := r.Context()
	p := look.Problem{Status: refusal.Lookup(ref.Code).Status, Detail: said(ctx, ref), Hint: hinted(ctx, ref), Title: look.T(ctx, "console.problem.title")}
	switch {
	case ref.Code == refusal.Forbidden:
		p.Title, p.Detail, p.Hint = "", look.T(ctx, "console.forbidden", "Scope", scopeName(ctx, ref.Details["scope"])), ""
	case p.Status == http.StatusNotFound:
		p.Title = ""
	case ref.Code == refusal.Conflict && ref.Details["decided_by"] != nil:
		p.Title = look.T(ctx, "console.decided.title")
	}
	if p.Status == http.StatusTooManyRequests {
		p.Title, p.Detail, p.Hint = "", "", ""
	}
	if back := backFrom(r); back != "" {
		p.Home = look.Crumb{Text: look.T(ctx, "console.back"), Href: back}
	}
	c.problem(w, r, m, p)
}

// backFrom is the page above a form.
func backFrom(r *http.Request) string {
	if r.Method != http.MethodPost && !strings.HasSuffix(r.Pattern, "/{action}") && !strings.HasSuffix(r.Pattern, "/cancel") {
		return ""
	}
	path := r.URL.EscapedPath()
	parts := strings.Split(strings.TrimPrefix(path, Prefix+"/"), "/")
	if len(parts) < 2 {
		return ""
	}
	return Prefix + "/" + parts[0] + "/" + parts[1]
}

func (c *console) problem(w http.ResponseWriter, r *http.Request, m member, p look.Problem) {
	if p.Home.Href == "" {
		p.Home = look.Crumb{Text: look.T(r.Context(), "console.home"), Href: Prefix}
	}
	var page templ.Component = problemPage(p)
	if m.account.Name != "" {
		page = problemInside(m, p)
	}
	if err := c.write(w, r, p.Status, page); err != nil {
		web.Fault(r.Context(), err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

type visitKey struct{}

// visit is what the handler of a request says to what is around it.
type visit struct {
	fresh bool   // it begins a session
	route string // which page it was
}

func visitOf(ctx context.Context) *visit {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return new(visit)
	}
	return v
}
