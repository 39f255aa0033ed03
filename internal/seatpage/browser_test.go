package seatpage_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"licet/internal/browser"
	"licet/seats"
)

// cookies are those of a visitor who signed in.
func (s *stage) cookies() map[string]string {
	v := s.visitor()
	v.post("/sign-in", "token", s.token).is(s.t, http.StatusSeeOther)
	at, err := url.Parse(s.site.URL)
	must(s.t, err)
	all := map[string]string{}
	for _, c := range v.http.Jar.Cookies(at) {
		all[c.Name] = c.Value
	}
	return all
}

// endOf is where a user's session is ended.
func (s *stage) endOf(user string) string {
	for _, lease := range s.Leases() {
		if lease.Kind == seats.Session && lease.Client.User == user {
			return "/sessions/" + string(lease.Lease) + "/end"
		}
	}
	return "/"
}

// TestInBrowser looks at the pages of a server that is empty, of a busy one, and of
// one that lost its record.
func TestInBrowser(t *testing.T) {
	empty, busy, lost := newStage(t), newStage(t, cad(8)), newStage(t, cad(5))
	busy.busyMonth()
	must(t, os.WriteFile(filepath.Join(busy.home, "server", "rules"), []byte("allow subnet=192.168.1.0/24 limit=5 borrow=7d\nallow group=cad product=CAD-PRO reserve=2\ndeny user=guest\n"), 0o600))
	busy.ReloadRules()
	mine := busy.cookies()
	german := map[string]string{"licet_language": "de"}
	for k, v := range mine {
		german[k] = v
	}
	lost.stop()
	must(t, os.Remove(filepath.Join(lost.home, "server", "ledger")))
	lost.start()
	at := func(s *stage, name, path string, cookies map[string]string) browser.Page {
		return browser.Page{Name: name, URL: s.site.URL + path, Cookies: cookies}
	}
	l := browser.Look{Pages: []browser.Page{
		at(busy, "seats", "/", mine), at(busy, "sessions", "/sessions", mine), at(busy, "loans", "/loans", nil), at(busy, "usage", "/usage?by=hour", mine),
		at(busy, "access-tried", "/access?product=CAD-PRO&user=ann&address=192.168.1.4", nil), at(lost, "lost", "/", nil), at(empty, "empty", "/", nil),
	}}
	if os.Getenv("LICET_SHOTS") != "" { // what is made of what the others show
		l.Pages = append(l.Pages, at(empty, "empty-sessions", "/sessions", nil), at(empty, "empty-access", "/access", nil), at(empty, "empty-loans", "/loans", nil),
			at(busy, "usage-day", "/usage", german), at(busy, "seats-de", "/", german), at(busy, "sign-in", "/sign-in", nil),
			at(busy, "end", busy.endOf("b.roux"), mine))
		l.Within = 15 * time.Minute
	}
	l.Walks = []browser.Walk{
		{Name: "administrator", File: "testdata/administrator.mjs", Base: busy.site.URL, Data: map[string]any{"token": busy.token}, Plain: true},
		{Name: "hostile", File: "testdata/hostile.mjs", Base: hostile(t).site.URL, Data: map[string]any{"payloads": payloads}},
	}
	browser.At(t, l)
	for _, lease := range busy.Leases() {
		if lease.Client.User == "ann.hartmann" {
			t.Error("the session that was ended goes on")
		}
	}
}
