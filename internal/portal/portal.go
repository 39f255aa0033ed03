// Package portal is the ticket page: what holders of tickets see and do in a
// browser, with no account. They activate, return and restore licenses by file,
// and are told how it goes online. It decides nothing: every answer is the
// registry's, said in the reader's language.
//
// Tickets never stand in an address, and never in a log: they come in a body,
// and stay with the browser in a sealed cookie (visit.go).
package portal

import (
	"context"
	"embed"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/internal/web"
	"licet/refusal"
	"licet/seal"
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

// Bounds of what is taken.
const (
	maxForm = 128 << 10          // a form without a file, in bytes
	maxFile = seal.MaxReport     // a request or a receipt
	maxKept = 3 * seal.MaxReport // a form that holds such a file, or two, as text
	maxSeen = 13 << 20           // a form that holds an update, sealed and as text
	drained = 32 << 20           // of what is too large, so that the answer is read
)

// DefaultLimits serve a company behind one address.
func DefaultLimits() web.Limits {
	return web.Limits{
		PerAddress: web.Rate{PerSecond: 20, Burst: 200},
		Total:      web.Rate{PerSecond: 500, Burst: 2000},
		AtOnce:     32,
		AtOnceAll:  256,
	}
}

// lookUpShare is how much tighter the limits are for what names tickets or
// brings files: two a second from one address, by default.
const lookUpShare = 10

// New is the handler of all pages of tickets, with the first one at "/".
func New(reg *registry.Registry, site *look.Site, limits web.Limits) http.Handler {
	p := &portal{registry: reg, address: addressOf(reg)}
	tighter := limits.Tighter(lookUpShare)
	tighter.AtOnce, tighter.AtOnceAll = limits.AtOnce/4, limits.AtOnceAll/4 // forms are held in memory
	looked, asked := web.NewLimiter(limits), web.NewLimiter(tighter)
	mux := http.NewServeMux()
	get := func(path string, h page) { mux.Handle("GET "+path, looked.Or(p.page(h), busy)) }
	post := func(path, back string, h page) {
		mux.Handle("POST "+path, asked.Or(p.page(h), busy))
		// A switch of language, or a reader who comes back to the address.
		mux.Handle("GET "+path, http.RedirectHandler(back, http.StatusSeeOther))
	}
	get("/{$}", p.start)
	get("/vendor.trust", p.trust)
	get("/bridge.js", p.script)
	get("/licenses", p.licenses)
	get("/carry", p.carry)
	get("/activate", p.choose)
	get("/activate/file", p.activate)
	get("/return", p.giveBack)
	get("/restore", p.restore)
	get("/recovery/{number}", p.recovery)
	post("/tickets", "/licenses", p.enter(asked))
	post("/forget", "/", p.forget)
	post("/transfer", "/carry", p.transfer)
	post("/update", "/carry", p.update)
	post("/restore/preview", "/restore", p.preview)
	post("/restore/edit", "/restore", p.edit)
	post("/restore/confirm", "/restore", p.confirm)
	mux.Handle("POST /recovery/{number}/answer", asked.Or(p.page(p.answer), busy))
	mux.HandleFunc("GET /recovery/{number}/answer", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/recovery/"+url.PathEscape(r.PathValue("number")), http.StatusSeeOther)
	})
	mux.HandleFunc("/", elsewhere)

	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write(w, r, http.StatusForbidden, problemPage(look.Problem{Status: http.StatusForbidden,
			Title: look.T(r.Context(), "portal.cross.title"), Detail: look.T(r.Context(), "portal.cross.detail"), Hint: look.T(r.Context(), "portal.cross.hint")}))
	}))
	pages := own.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site.Pages(http.HandlerFunc(func(w http.ResponseWriter, inner *http.Request) {
			pages.ServeHTTP(w, inner)
			r.Pattern = inner.Pattern // the route, for the log
		})).ServeHTTP(w, r)
	})
}

// portal is what all pages share.
type portal struct {
	registry *registry.Registry
	address  string // where machines reach this central
}

// addressOf is the address that the vendor's trust file names.
func addressOf(reg *registry.Registry) string {
	t, err := seal.ParseTrust([]byte(reg.WellKnown().Trust))
	if err != nil {
		return "" // pages then name the address that they are read at
	}
	return strings.TrimRight(t.Address, "/")
}

// central is the address to give to a command.
func (p *portal) central(r *http.Request) string {
	switch {
	case p.address != "":
		return p.address
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// page is a page that returns its error instead of writing it.
type page func(w http.ResponseWriter, r *http.Request) error

func (p *portal) page(h page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := registry.WithRequest(r.Context(), web.RequestID(r.Context()))
		r2 := r.WithContext(ctx)
		if err := h(w, r2); err != nil {
			fail(w, r2, err)
		}
	})
}

// fail answers with an error as a page that has a way out.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	no, ok := refusal.As(err)
	if !ok {
		web.Fault(ctx, err)
		write(w, r, http.StatusInternalServerError, problemPage(look.Problem{Status: http.StatusInternalServerError, Request: web.RequestID(ctx)}))
		return
	}
	status := refusal.Lookup(no.Code).Status
	if no.Code == refusal.NotFound {
		write(w, r, status, problemPage(look.Problem{Status: status}))
		return
	}
	said := sayRefusal(ctx, no)
	write(w, r, status, problemPage(look.Problem{Status: status, Title: look.T(ctx, "portal.problem.title"), Detail: said.Text, Hint: said.Next}))
}

// busy is the page of one who asks too much.
func busy(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	write(w, r, http.StatusTooManyRequests, problemPage(look.Problem{Status: http.StatusTooManyRequests, Wait: max(wait.Round(time.Second), time.Second)}))
}

// elsewhere answers where there is no page. What does not read pages gets what
// the other audiences answer.
func elsewhere(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		web.Error(w, r, refusal.New(refusal.NotFound, "There is nothing at this address.").
			Hinted("Check the address; /docs lists what there is."))
		return
	}
	write(w, r, http.StatusNotFound, problemPage(look.Problem{Status: http.StatusNotFound}))
}

func write(w http.ResponseWriter, r *http.Request, status int, c interface {
	Render(context.Context, io.Writer) error
}) {
	if err := look.Write(w, r, status, c); err != nil {
		web.Fault(r.Context(), err)
		http.Error(w, "500", http.StatusInternalServerError)
	}
}

// show answers with a page.
func show(w http.ResponseWriter, r *http.Request, status int, c interface {
	Render(context.Context, io.Writer) error
}) error {
	return look.Write(w, r, status, c)
}

// backable lets the browser keep the answer to a form for the button back, which
// else shows an error of the browser's. Only pages without a ticket may be kept.
func backable(w http.ResponseWriter) { w.Header().Set("Cache-Control", "private, no-cache") }

// to leads on after a POST.
func to(w http.ResponseWriter, r *http.Request, where string) error {
	http.Redirect(w, r, where, http.StatusSeeOther)
	return nil
}

// read takes in a form of at most limit bytes. The rest of one that is too large
// is thrown away unread, so that the browser stays to hear why.
func read(w http.ResponseWriter, r *http.Request, limit int64) error {
	body := r.Body
	r.Body = http.MaxBytesReader(w, body, limit)
	err := r.ParseMultipartForm(limit)
	if errors.Is(err, http.ErrNotMultipart) {
		err = nil // ParseForm was called
	}
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &over):
		_, _ = io.CopyN(io.Discard, body, drained) // whether it ends here changes nothing
		return refusal.New(refusal.TooLarge, "The form is larger than %d bytes.", limit).With("limit", limit)
	}
	return refusal.New(refusal.InvalidInput, "The form could not be read.")
}

// trust hands out the vendor's trust file, which a new machine needs first.
func (p *portal) trust(w http.ResponseWriter, _ *http.Request) error {
	attach(w, "vendor.trust", []byte(p.registry.WellKnown().Trust))
	return nil
}

// attach answers with a file to keep.
func attach(w http.ResponseWriter, name string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	// The status is out: a connection that broke is the reader's, who asks again.
	_, _ = w.Write(content)
}
