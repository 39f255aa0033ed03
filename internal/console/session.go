package console

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/internal/web"
	"licet/refusal"
)

const (
	cookieName = "licet_console"
	idleFor    = time.Hour      // without a request
	lastsFor   = 12 * time.Hour // in all
)

// newSessions keeps sessions in central's database, where every process finds
// them. A session says who signed in and nothing of what they may do.
func newSessions(reg *registry.Registry, secure bool) *scs.SessionManager {
	s := scs.New()
	s.Store = sessionStore{reg}
	s.IdleTimeout, s.Lifetime = idleFor, lastsFor
	s.HashTokenInStore = true // who reads the database signs in nowhere
	s.Cookie = scs.SessionCookie{Name: cookieName, Path: Prefix, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if secure {
		// With this beginning, browsers take it from this host alone, over TLS, and
		// no other host of the domain can plant one.
		s.Cookie.Name, s.Cookie.Path, s.Cookie.Secure = "__Host-"+cookieName, "/", true
	}
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		web.Fault(r.Context(), err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
	return s
}

// sessionStore is the registry as scs wants it. scs calls the ones with a
// context.
type sessionStore struct{ registry *registry.Registry }

var errNoContext = errors.New("console: sessions need the request's context")

func (sessionStore) Delete(string) error                    { return errNoContext }
func (sessionStore) Find(string) ([]byte, bool, error)      { return nil, false, errNoContext }
func (sessionStore) Commit(string, []byte, time.Time) error { return errNoContext }

func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.registry.EndSession(ctx, token)
}

func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return s.registry.Session(ctx, token)
}

// CommitCtx begins a session where the request signed in. Otherwise it keeps one:
// a request that is still under way cannot bring back one that was ended.
func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	if visitOf(ctx).fresh {
		return s.registry.StartSession(ctx, token, data, expiry)
	}
	return s.registry.KeepSession(ctx, token, data, expiry)
}

// member is who is signed in; Unauthorized for nobody.
func (c *console) member(r *http.Request) (m member, err error) {
	ctx := r.Context()
	m.pass = registry.Pass{ID: c.sessions.GetString(ctx, "id"), Epoch: c.sessions.GetInt64(ctx, "epoch")}
	if m.pass.ID == "" {
		return m, refusal.New(refusal.Unauthorized, "Nobody is signed in.")
	}
	if m.Actor, m.account, err = c.registry.Member(ctx, m.pass); err != nil {
		if refusal.Is(err, refusal.Unauthorized) {
			err = errors.Join(err, c.sessions.Destroy(ctx))
		}
		return m, err
	}
	if r.Method == http.MethodGet {
		m.done = c.sessions.PopString(ctx, "done")
	}
	m.stopped = c.registry.Stopped()
	m.waits, err = c.registry.Waits(ctx, m.Actor)
	return m, err
}

// signIn is the form as it was sent.
type signIn struct {
	name, next string
	wrong      string
	nobody     bool // there is no account at all
}

func (c *console) signInPage(w http.ResponseWriter, r *http.Request) error {
	next := inside(r.FormValue("next"))
	if _, err := c.member(r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	has, err := c.registry.HasStaff(r.Context())
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, signInForm(signIn{next: next, nobody: !has}))
}

// inside is an address of the console, its first page for any other: a link must
// not lead elsewhere through the door.
func inside(next string) string {
	if next != Prefix && !strings.HasPrefix(next, Prefix+"/") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, Prefix+"/sign-") {
		return Prefix + "/recoveries"
	}
	return next
}

func (c *console) signIn(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	form := signIn{name: r.PostForm.Get("name"), next: inside(r.PostForm.Get("next"))}
	pass, err := c.registry.SignIn(registry.WithRequest(ctx, web.RequestID(ctx)), form.name, r.PostForm.Get("password"), addressOf(r))
	switch {
	case refusal.Is(err, refusal.RateLimited):
		ref, _ := refusal.As(err)
		seconds, _ := ref.Details["seconds"].(int64)
		c.problem(w, r, member{}, look.Problem{Status: http.StatusTooManyRequests, Wait: time.Duration(seconds) * time.Second,
			Detail: look.T(ctx, "console.signin.many"), Home: look.Crumb{Text: look.T(ctx, "console.signin.do"), Href: Prefix + "/sign-in"}})
		return nil
	case refusal.Is(err, refusal.Unauthorized):
		form.wrong = look.T(ctx, "console.signin.wrong")
		return c.write(w, r, http.StatusUnauthorized, signInForm(form))
	case err != nil:
		return err
	}
	if err := c.sessions.RenewToken(ctx); err != nil {
		return err
	}
	visitOf(ctx).fresh = true
	c.sessions.Put(ctx, "id", pass.ID)
	c.sessions.Put(ctx, "epoch", pass.Epoch)
	http.Redirect(w, r, form.next, http.StatusSeeOther)
	return nil
}

func (c *console) signOut(w http.ResponseWriter, r *http.Request, m member) error {
	if err := c.registry.SignedOut(r.Context(), m.Actor, m.pass); err != nil {
		return err
	}
	if err := c.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, Prefix+"/sign-in", http.StatusSeeOther)
	return nil
}

// addressOf is what counts as one address: an IPv4 address, or an IPv6 network of
// 64 bits.
func addressOf(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // a Unix socket: all its users are one
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // cannot fail: bits fit the kind of address
	return p
}
