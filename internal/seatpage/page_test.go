package seatpage_test

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/look"
	"licet/internal/look/looktest"
	"licet/internal/seatpage"
	"licet/license"
	"licet/seats"
)

// TestTexts: every text in every language, none in the templates, and every class in
// the stylesheet.
func TestTexts(t *testing.T) {
	looktest.Texts(t, seatpage.Texts())
	texts, err := look.LoadTexts(seatpage.Texts())
	must(t, err)
	looktest.Templates(t, ".", texts.Has)
	for _, c := range license.Countings {
		if !texts.Has("seatpage.counting." + string(c)) {
			t.Errorf("no text for counting %s", c)
		}
	}
	for _, key := range []string{"place.seats", "place.sessions", "place.loans", "place.access", "place.usage", "done.ended", "done.ended.text", "done.gone", "done.gone.text", "usage.by.hour", "usage.by.day", "usage.by.month"} {
		if !texts.Has("seatpage." + key) {
			t.Errorf("no text for %s", key)
		}
	}
	sheet, err := os.ReadFile("../look/assets/look.css")
	must(t, err)
	looktest.Classes(t, ".", string(sheet))
}

var paths = []string{"/", "/sessions", "/loans", "/access", "/usage", "/usage?by=hour", "/usage?by=month&product=CAD-PRO", "/export/pools.json", "/export/queue.json", "/export/leases.json", "/export/leases.csv", "/export/usage.json", "/export/usage.csv?by=hour"}

// TestReading: at the server's machine everything can be read without signing in,
// from everywhere else nothing, whatever a page or a proxy makes of the request.
func TestReading(t *testing.T) {
	s := newStage(t, cad(9))
	_, err := s.claim(seats.Client{Host: "cad-01", User: "secret-user", PID: 7}, "192.168.1.20", "CAD-PRO", false)
	must(t, err)
	v := s.visitor()
	for _, path := range paths {
		v.get(path).is(t, http.StatusOK)
		a := s.from("192.168.1.50:999", "license.example.com", http.MethodGet, path, nil, nil)
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") || strings.Contains(a.body, "secret-user") {
			t.Errorf("%s from the network: %d %s", path, a.status, a.header.Get("Location"))
		}
	}
	v.get("/sessions").is(t, http.StatusOK, "secret-user", "cad-01", "192.168.1.20", "process 7")

	// A name that somebody else made point here.
	a := v.ask(http.MethodGet, "/sessions", nil, func(r *http.Request) { r.Host = "rebound.example.com" })
	if a.is(t, http.StatusForbidden); strings.Contains(a.body, "secret-user") {
		t.Error("shown under a foreign name")
	}
	for name, change := range map[string]func(*http.Request){
		"a foreign name over TLS": func(r *http.Request) { r.Host = "rebound.example.com" },
		"a proxy":                 func(r *http.Request) { r.Header.Set("X-Forwarded-For", "203.0.113.9") },
		"another proxy":           func(r *http.Request) { r.Header.Set("Forwarded", "for=203.0.113.9") },
	} {
		a := s.from("127.0.0.1:999", "localhost:47120", http.MethodGet, "/sessions", nil, change)
		if a.status != http.StatusSeeOther || strings.Contains(a.body, "secret-user") {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	s.from("127.0.0.1:999", "localhost:47120", http.MethodGet, "/sessions", nil, nil).is(t, http.StatusOK, "secret-user")
	s.from("[::1]:999", "[::1]:47120", http.MethodGet, "/sessions", nil, nil).is(t, http.StatusOK, "secret-user")
	s.from("192.168.1.50:999", "127.0.0.1", http.MethodGet, "/sessions", nil, nil).is(t, http.StatusSeeOther)
}

// TestHeaders: every answer to a browser keeps it from being framed, guessed at or kept.
func TestHeaders(t *testing.T) {
	s := newStage(t, cad(2))
	v := s.visitor()
	for _, path := range append([]string{"/sign-in", "/nothing", "/sessions/x/end", "/look/look.css", "/favicon.ico"}, paths...) {
		h := v.get(path).header
		if csp := h.Get("Content-Security-Policy"); csp == "" || strings.Contains(csp, "unsafe-inline") && !strings.HasPrefix(path, "/look/") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
		if h.Get("Cache-Control") != "no-store" && !strings.HasPrefix(path, "/look/") {
			t.Errorf("%s may be kept: %q", path, h.Get("Cache-Control"))
		}
	}
	v.get("/nothing").is(t, http.StatusNotFound)
	v.get("/export/secrets.json").is(t, http.StatusNotFound)
	if h := v.get("/?refresh=on").header; h.Get("Refresh") == "" {
		t.Error("nothing is refreshed where the reader chose so")
	}
	if h := v.get("/").header; h.Get("Refresh") != "" {
		t.Error("it refreshes by itself")
	}
}

// TestEndSession: who has the token ends a session, and nobody else does in any way;
// a loan cannot be ended.
func TestEndSession(t *testing.T) {
	s := newStage(t, cad(9))
	one, err := s.claim(seats.Client{Host: "cad-01", User: "ann"}, "", "CAD-PRO", false)
	must(t, err)
	s.borrow(seats.Client{Host: "laptop", User: "ilse"}, 3)
	end := "/sessions/" + string(one.id) + "/end"
	v := s.visitor()
	v.get(end).is(t, http.StatusSeeOther)               // to the door
	v.post(end, "why", "x").is(t, http.StatusForbidden) // not signed in, though at the machine
	v.post("/sign-in", "token", "").is(t, http.StatusUnauthorized)
	v.post("/sign-in", "token", s.token[:40]).is(t, http.StatusUnauthorized, "not the token")
	v.post("/sign-in", "token", s.token+"0").is(t, http.StatusUnauthorized)
	v.post(end, "why", "x").is(t, http.StatusForbidden)

	a := v.post("/sign-in", "token", " "+s.token+" ", "next", end)
	if a.is(t, http.StatusSeeOther); a.header.Get("Location") != end {
		t.Errorf("led to %q", a.header.Get("Location"))
	}
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="} {
		if c := a.header.Get("Set-Cookie"); !strings.Contains(c, part) || strings.Contains(c, s.token) {
			t.Errorf("cookie %q", c)
		}
	}
	v.get(end).is(t, http.StatusOK, "End this session?", "ann", "cad-01")
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, // another port of this machine
		func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
	} {
		v.ask(http.MethodPost, end, url.Values{"why": {"x"}}, change).is(t, http.StatusForbidden, "came from another site")
	}
	for _, lease := range s.Leases() {
		if lease.Kind == seats.Loan {
			v.get("/sessions/"+string(lease.Lease)+"/end").is(t, http.StatusNotFound)
			v.post("/sessions/" + string(lease.Lease) + "/end")
		}
	}
	if n := len(s.Leases()); n != 2 {
		t.Fatalf("%d leases, want the session and the loan", n)
	}
	v.post(end, "why", "asked to").is(t, http.StatusSeeOther)
	v.get("/sessions").is(t, http.StatusOK, "The session was ended", "Nobody has a seat")
	if a := v.get("/sessions"); strings.Contains(a.body, "The session was ended") {
		t.Error("it is said twice")
	}
	v.post(end).is(t, http.StatusSeeOther)
	v.get("/sessions").is(t, http.StatusOK, "had ended already")
	v.get("/loans").is(t, http.StatusOK, "ilse", "laptop")
	if n := len(s.Leases()); n != 1 {
		t.Errorf("%d leases, want the loan", n)
	}
}

// TestSignIn: a session ends by time, by signing out and with the server; it counts
// for the host that it was made at; trying is limited, and no address leads elsewhere.
func TestSignIn(t *testing.T) {
	s := newStage(t, cad(2))
	far := func(host string, cookie *http.Cookie, path string) answer {
		return s.from("192.168.1.50:999", host, http.MethodGet, path, nil, func(r *http.Request) {
			if cookie != nil {
				r.AddCookie(cookie)
			}
		})
	}
	signIn := func() *http.Cookie {
		t.Helper()
		a := s.from("192.168.1.50:999", "licenses.example.com", http.MethodPost, "/sign-in", url.Values{"token": {s.token}}, nil)
		a.is(t, http.StatusSeeOther)
		c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
		must(t, err)
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("%v", c)
		}
		return &http.Cookie{Name: c.Name, Value: c.Value}
	}
	c := signIn()
	far("licenses.example.com", c, "/").is(t, http.StatusOK, "Administrator")
	far("other.example.com", c, "/").is(t, http.StatusSeeOther)
	far("licenses.example.com", &http.Cookie{Name: c.Name, Value: c.Value + "x"}, "/").is(t, http.StatusSeeOther)
	for range 5 {
		s.move(29 * time.Minute)
		far("licenses.example.com", c, "/").is(t, http.StatusOK)
	}
	s.move(31 * time.Minute)
	far("licenses.example.com", c, "/").is(t, http.StatusSeeOther)
	c = signIn()
	for range 17 {
		s.move(28 * time.Minute)
		far("licenses.example.com", c, "/").is(t, http.StatusOK)
	}
	s.move(28 * time.Minute) // more than eight hours in all
	far("licenses.example.com", c, "/").is(t, http.StatusSeeOther)
	c = signIn()
	s.from("192.168.1.50:999", "licenses.example.com", http.MethodPost, "/sign-out", nil, func(r *http.Request) { r.AddCookie(c) }).is(t, http.StatusSeeOther)
	far("licenses.example.com", c, "/").is(t, http.StatusSeeOther)

	v := s.visitor()
	for _, next := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/sign-out"} {
		s.move(time.Minute)
		if a := v.post("/sign-in", "token", s.token, "next", next); a.header.Get("Location") != "/" {
			t.Errorf("%q leads to %q", next, a.header.Get("Location"))
		}
		v.post("/sign-out").is(t, http.StatusSeeOther)
	}
	s.move(time.Hour)
	limited := false
	for range 20 {
		limited = limited || v.post("/sign-in", "token", "guess").status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("one may guess for ever")
	}
	s.mu.Lock()
	logged := s.log.String()
	s.mu.Unlock()
	if strings.Contains(logged, s.token) || strings.Contains(logged, "guess") {
		t.Error("what was typed is in the log")
	}
}

// TestShown: what the pages say of a server with something on it, and of one that is empty.
func TestShown(t *testing.T) {
	s := newStage(t)
	v := s.visitor()
	v.get("/").is(t, http.StatusOK, "No license with seats yet", "licet activate TICKET")
	v.get("/sessions").is(t, http.StatusOK, "Nobody has a seat", "licet servers")
	v.get("/loans").is(t, http.StatusOK, "Nothing is on loan")
	v.get("/access").is(t, http.StatusOK, "There are no rules")
	v.ask(http.MethodGet, "/", nil, func(r *http.Request) { r.Header.Set("Accept-Language", "de") }).is(t, http.StatusOK, "Noch keine Lizenz mit Plätzen")

	many := container.Body{Product: "VIEW", Name: "Viewer", Terms: license.Terms{Seats: 1, Counting: license.Unlimited}}
	into := cad(8)
	into.Terms.Borrow.Containers = license.KindsOf(license.Machine, license.Token)
	s = newStage(t, into, many)
	s.busyMonth()
	v = s.visitor()
	v.get("/").is(t, http.StatusOK, "CAD Professional", "8 seats may be on loan at once, for 10 days at most, into computers, tokens", "karl.waits", "not counted", "192.168.1.77")
	v.get("/sessions").is(t, http.StatusOK, "ann.hartmann", "cad-01.example.com", "process 4000", "6 sessions")
	v.get("/sessions?q=ROUX").is(t, http.StatusOK, "b.roux", "1 session")
	v.get("/sessions?q=zebra").is(t, http.StatusOK, "Nothing fits")
	v.get("/loans").is(t, http.StatusOK, "ilse.brandt", "2 loans", "Not confirmed yet")
	v.get("/usage").is(t, http.StatusOK, "Requests, CAD-PRO", "no_seat_free", "most were 8 of 8")

	// The rules, as a file, and what they say.
	must(t, os.WriteFile(filepath.Join(s.home, "server", "rules"), []byte("allow subnet=192.168.1.0/24 limit=5\ndeny user=guest\n"), 0o600))
	s.ReloadRules()
	v.get("/access").is(t, http.StatusOK, "allow subnet=192.168.1.0/24 limit=5")
	v.get("/access?product=CAD-PRO&user=ann&address=192.168.1.4").is(t, http.StatusOK, "Allowed", "Line 1 decides", "5 seats at most")
	v.get("/access?product=CAD-PRO&user=guest&address=192.168.1.4").is(t, http.StatusOK, "Denied", "Line 2 decides", "deny user=guest")
	v.get("/access?product=CAD-PRO&address=10.1.1.1").is(t, http.StatusOK, "Denied")
	v.get("/access?product=CAD-PRO&address=nowhere").is(t, http.StatusUnprocessableEntity, "Write the address like")
	must(t, os.WriteFile(filepath.Join(s.home, "server", "rules"), []byte("perhaps user=ann\n"), 0o600))
	s.ReloadRules()
	v.get("/access").is(t, http.StatusOK, "does not read", "allow subnet=192.168.1.0/24 limit=5")

	var queue []seats.WaiterView
	must(t, json.Unmarshal([]byte(v.get("/export/queue.json").body), &queue))
	if len(queue) != 2 || queue[0].Place != 1 || queue[0].Client.User != "karl.waits" || queue[1].Since == 0 {
		t.Errorf("%+v", queue)
	}
}

// TestLostRecord: the page says that seats wait, until when, and what ends it (R27).
func TestLostRecord(t *testing.T) {
	s := newStage(t, cad(3))
	_, err := s.claim(seats.Client{Host: "h", User: "u"}, "", "CAD-PRO", false)
	must(t, err)
	s.stop()
	must(t, os.Remove(filepath.Join(s.home, "server", "ledger")))
	s.start()
	s.visitor().get("/").is(t, http.StatusOK, "Some seats wait", "All are given again from", "licet servers pardon --why")
	must(t, s.Pardon("test", "nobody has a seat"))
	if a := s.visitor().get("/"); strings.Contains(a.body, "Some seats wait") {
		t.Error("it still waits")
	}
}

// payloads are texts that run, break out or compute where somebody forgets himself.
var payloads = []string{
	`<script>window.hit=1</script>`, `"><img src=x onerror=window.hit=1>`, `'><svg/onload=window.hit=1>`, `javascript:window.hit=1`, `</title><script>window.hit=1</script>`,
	`" autofocus onfocus=window.hit=1 x="`, `<base href="https://evil.example/">`, `<meta http-equiv=refresh content="0;url=https://evil.example/">`, `<!--`, "\u202egnp.exe", `{{.Count}}`,
	`=cmd|' /C calc'!A0`, `+1+1`, `-1+1`, `@SUM(1)`,
}

// hostile has somebody call himself everything.
func hostile(t testing.TB) *stage {
	s := newStage(t, cad(100))
	for n, p := range payloads {
		_, err := s.claim(seats.Client{ID: p, Host: p, User: p, PID: int64(n), Groups: []string{p}}, "192.168.1.9", "CAD-PRO", false)
		must(t, err)
		s.borrow(seats.Client{Host: p, User: p}, 2)
		if _, err := s.claim(seats.Client{ID: p, Host: p, User: p}, "192.168.1.9", p, true); err == nil {
			t.Fatal("a seat of nothing")
		}
	}
	must(t, os.WriteFile(filepath.Join(s.home, "server", "rules"), []byte("allow user=\"<script>window.hit=1</script>\"\nallow user=*\n"), 0o600))
	s.ReloadRules()
	s.Tick()
	return s
}

// TestHostileText: what programs call themselves stands in no page as anything but text.
func TestHostileText(t *testing.T) {
	s := hostile(t)
	v := s.visitor()
	all := []string{"/", "/sessions", "/loans", "/usage", "/access", "/nothing"}
	for _, p := range payloads {
		e := url.QueryEscape(p)
		all = append(all, "/sessions?q="+e, "/usage?product="+e+"&by="+e, "/access?product="+e+"&user="+e+"&host="+e+"&group="+e+"&address="+e, "/sign-in?next="+e)
	}
	for _, path := range all {
		body := v.get(path).body
		for _, mark := range []string{"<script>window", "<img src=x", "<svg/onload", `" autofocus onfocus`, "<base", "<meta http-equiv", `href="javascript`, "<!--"} {
			if strings.Contains(body, mark) {
				t.Errorf("%s: %q", path, mark)
			}
		}
	}
}

// TestCSV: no cell of a table is a formula, whatever somebody called himself.
func TestCSV(t *testing.T) {
	s := hostile(t)
	v := s.visitor()
	for _, path := range []string{"/export/leases.csv", "/export/usage.csv"} {
		a := v.get(path)
		a.is(t, http.StatusOK)
		lines, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
		must(t, err)
		if len(lines) < len(payloads) || !strings.Contains(a.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s: %d lines", path, len(lines))
		}
		quoted := 0
		for _, line := range lines {
			for _, cell := range line {
				if strings.IndexAny(cell, "=+-@\t\r") == 0 {
					t.Errorf("%s: a cell is %q", path, cell)
				}
				if strings.HasPrefix(cell, "'=") || strings.HasPrefix(cell, "'@") {
					quoted++
				}
			}
		}
		if quoted == 0 && path == "/export/leases.csv" {
			t.Errorf("%s has nothing that was to be quoted", path)
		}
	}
}
