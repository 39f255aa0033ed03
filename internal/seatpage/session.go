package seatpage

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	"licet/internal/look"
)

const (
	cookieName = "licet_server"
	idleFor    = 30 * time.Minute // without a request
	lastsFor   = 8 * time.Hour    // in all
	mostSigned = 64               // at once; the one that was seen longest ago goes
)

// sessions are who is signed in, in memory: a restart signs everybody out.
type sessions struct {
	now func() time.Time

	mu  sync.Mutex // guards what follows
	all map[[sha256.Size]byte]*session
}

// session is one sign-in. It counts at the host it was made for alone.
type session struct {
	host        string
	began, seen time.Time
	done        string // said on the next page
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

// begin makes a session and gives its cookie to the browser.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request) {
	secret := rand.Text() + rand.Text()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge(now)
	s.drop(r)
	if len(s.all) >= mostSigned {
		var oldest [sha256.Size]byte
		var seen time.Time
		for key, one := range s.all {
			if seen.IsZero() || one.seen.Before(seen) {
				oldest, seen = key, one.seen
			}
		}
		delete(s.all, oldest)
	}
	s.all[sha256.Sum256([]byte(secret))] = &session{host: r.Host, began: now, seen: now}
	http.SetCookie(w, s.cookie(r, secret, int(lastsFor.Seconds())))
}

func (s *sessions) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
}

// of is the session of a request, which lasts longer by it; nil for none. The
// caller holds mu. A session is found by the hash of its secret, so that the time
// that takes tells nothing of one.
func (s *sessions) of(r *http.Request) *session {
	c, err := r.Cookie(cookieName)
	if err != nil || len(c.Value) > maxText {
		return nil
	}
	now := s.now()
	s.purge(now)
	one := s.all[sha256.Sum256([]byte(c.Value))]
	if one == nil || one.host != r.Host {
		return nil
	}
	one.seen = now
	return one
}

func (s *sessions) purge(now time.Time) {
	for key, one := range s.all {
		if now.Sub(one.seen) >= idleFor || now.Sub(one.began) >= lastsFor {
			delete(s.all, key)
		}
	}
}

// find says whether somebody is signed in, and what is to be said once.
func (s *sessions) find(r *http.Request) (admin bool, done string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(r)
	if one == nil {
		return false, ""
	}
	if r.Method == http.MethodGet {
		done, one.done = one.done, ""
	}
	return true, done
}

// did has the next page say what was done.
func (s *sessions) did(r *http.Request, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.of(r); one != nil {
		one.done = what
	}
}

// end ends the session of a request.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(r)
	http.SetCookie(w, s.cookie(r, "", -1))
}

// drop takes out the session of a request. The caller holds mu.
func (s *sessions) drop(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		delete(s.all, sha256.Sum256([]byte(c.Value)))
	}
}

func (p *pages) signInPage(w http.ResponseWriter, r *http.Request, v visit) error {
	next := inside(r.FormValue("next"))
	if v.admin {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return p.show(w, r, http.StatusOK, signInForm(v, next, ""))
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request, v visit) error {
	next := inside(r.PostForm.Get("next"))
	if !p.server.IsAdministrator(strings.TrimSpace(r.PostForm.Get("token"))) {
		p.log.Warn("somebody gave a wrong token on the server's page", "address", r.RemoteAddr)
		return p.show(w, r, http.StatusUnauthorized, signInForm(v, next, look.T(r.Context(), "seatpage.signin.wrong")))
	}
	p.sessions.begin(w, r)
	p.log.Info("an administrator signed in on the server's page", "address", r.RemoteAddr)
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (p *pages) signOut(w http.ResponseWriter, r *http.Request, _ visit) error {
	p.sessions.end(w, r)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}
