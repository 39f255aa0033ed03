package console_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

// TestOneDecides: of staff who decide about one report at the same moment, each
// otherwise, one wins; the others read who it was, and the license is restored
// once.
func TestOneDecides(t *testing.T) {
	s := newStage(t, sqlite(t))
	names := []string{"maren", "jonas", "lena", "otto"}
	var readers []*reader
	for _, name := range names {
		s.account(name, registry.ScopeRecovery)
		readers = append(readers, s.as(name))
	}
	for round := range 3 {
		o := s.order(fmt.Sprint(round), "Hartmann", "SIM")
		s.holding(o.Ticket)
		n := s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Reason: "The laptop was stolen."}).Recovery
		path, id := fmt.Sprintf("/console/recoveries/%d", n), string(o.Licenses[0].ID)
		answers := make([]answer, len(readers))
		var all sync.WaitGroup
		for i, r := range readers {
			form := []string{"decision", "approve", "licenses", id, "once", fmt.Sprint(names[i], round)}
			if i%2 == 1 {
				form = []string{"decision", "refuse", "text", "No.", "once", fmt.Sprint(names[i], round)}
			}
			all.Go(func() { answers[i] = r.post(path, form...) })
		}
		all.Wait()
		winner := -1
		for i, a := range answers {
			if a.status == http.StatusSeeOther && winner < 0 {
				winner = i
			} else {
				a.is(t, http.StatusConflict, "decided")
			}
		}
		if winner < 0 {
			t.Fatal("nobody decided")
		}
		for i, a := range answers {
			if i != winner && !strings.Contains(a.body, "by "+names[winner]) {
				t.Errorf("%s does not read that it was %s", names[i], names[winner])
			}
		}
		generation := 1 + (winner+1)%2
		if l, err := s.License(t.Context(), s.admin, o.Licenses[0].ID); err != nil || int(l.Generation) != generation {
			t.Errorf("%s won, and the generation is %d (%v)", names[winner], l.Generation, err)
		}
	}
}

// TestHeaders: every answer, of errors too, is kept out of frames, caches and
// other sites, and runs nothing of anybody else.
func TestHeaders(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	in, out := s.as("maren"), s.reader()
	type call struct {
		r            *reader
		method, path string
		status       int
		header       []string
	}
	calls := []call{{out, "GET", "/console/sign-in", 200, nil}, {out, "POST", "/console/sign-in", 401, nil}, {out, "PUT", "/console/sign-in", 403, nil}, {out, "POST", "/console/licenses/x/withdraw", 403, nil},
		{out, "GET", "/console/licenses", 303, nil}, {in, "GET", "/console/nothing/at/all", 404, nil}, {in, "DELETE", "/console/licenses/x", 404, nil}, {in, "GET", "/console/recoveries?after=x", 422, nil},
		{in, "POST", "/console/sign-out", 403, []string{"Sec-Fetch-Site", "cross-site"}}, {in, "GET", "/console/blocklist/file", 200, nil}, {in, "GET", "/console/../console/licenses", 0, nil}}
	for _, p := range []string{"", "/recoveries", "/licenses", "/containers", "/orders", "/blocklist", "/report", "/report/months.csv", "/search", "/audit"} {
		calls = append(calls, call{in, "GET", "/console" + p, 0, nil})
	}
	for _, c := range calls {
		a := c.r.do(c.method, c.path, nil, c.header...)
		if c.status != 0 && a.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, a.status, c.status)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, got)
			}
		}
		if got := a.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
			t.Errorf("%s %s: may be kept: %q", c.method, c.path, got)
		}
		if got := a.header.Get("Content-Security-Policy"); got != look.Policy && got != "default-src 'none'; frame-ancestors 'none'" {
			t.Errorf("%s %s: policy %q", c.method, c.path, got)
		}
	}
}

// TestCookieOverTLS: where browsers come by TLS, no other host of the domain can
// plant a session, and none is sent without TLS.
func TestCookieOverTLS(t *testing.T) {
	s := newStageAs(t, sqlite(t), "https://licenses.millwright.example", slog.DiscardHandler)
	s.account("maren", registry.ScopeAdmin)
	cookie := s.reader().post("/console/sign-in", "name", "maren", "password", password).header.Get("Set-Cookie")
	for _, want := range []string{"__Host-licet_console=", "; Path=/;", "Secure", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("%q is not in %q", want, cookie)
		}
	}
	if strings.Contains(cookie, "Domain") {
		t.Error(cookie)
	}
}

// TestTicketStaysSecret: whatever is looked for, a ticket, or what is nearly one,
// is in no address, title or line of the log.
func TestTicketStaysSecret(t *testing.T) {
	var log bytes.Buffer
	s := newStageAs(t, sqlite(t), "", slog.NewJSONHandler(&log, nil))
	s.account("maren", registry.ScopeAdmin)
	m := s.as("maren")
	o := s.order("1", "Hartmann", "SIM")
	code := string(o.Ticket)
	wrong := strings.Replace(code, code[:1], map[bool]string{true: "3", false: "2"}[code[0] == '2'], 1)
	title := func(body string) string {
		_, rest, _ := strings.Cut(body, "<title>")
		text, _, _ := strings.Cut(rest, "</title>")
		return text
	}
	for _, q := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + code + " ", wrong, code[:len(code)-1], code + "X"} {
		a := m.post("/console/search", "q", q)
		if a.location != "" && a.location != "/console/orders/"+o.Order || strings.Contains(title(a.body), q) {
			t.Errorf("%q: to %q, title %q", q, a.location, title(a.body))
		}
	}
	m.post("/console/orders/"+o.Order+"/ticket").is(t, http.StatusOK, code)
	if a := m.get("/console/orders/" + o.Order + "/ticket"); a.status != http.StatusSeeOther || a.location != "/console/orders/"+o.Order {
		t.Errorf("coming back to the ticket: %d to %q", a.status, a.location)
	}
	for _, secret := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), wrong, password} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "/console/search") {
		t.Error("the log was not looked at: " + log.String())
	}
}

// TestSignInUnderFire: sixty attempts at once against one account are a handful
// of looks at a password, and its owner elsewhere is let in meanwhile.
func TestSignInUnderFire(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	var all sync.WaitGroup
	var lock sync.Mutex // protects counts
	counts := map[refusal.Code]int{}
	for n := range 60 {
		all.Go(func() {
			_, err := s.SignIn(t.Context(), "maren", fmt.Sprint("guess number ", n), netip.MustParsePrefix("192.0.2.1/32"))
			ref, _ := refusal.As(err)
			lock.Lock()
			defer lock.Unlock()
			if ref == nil {
				counts["let in"]++
				return
			}
			counts[ref.Code]++
		})
	}
	if _, err := s.SignIn(t.Context(), "maren", password, netip.MustParsePrefix("198.51.100.7/32")); err != nil {
		t.Error(err)
	}
	all.Wait()
	if counts[refusal.Unauthorized] != 5 || counts[refusal.RateLimited] != 55 {
		t.Errorf("%v", counts)
	}
}

// TestStalePages: what a page offered may be over when its form comes. Each time
// the answer says what is true now, and nothing is done.
func TestStalePages(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("jonas", registry.ScopeAdmin)
	m, j := s.as("maren"), s.as("jonas")
	o := s.order("1", "Hartmann", "SIM", "AUTO")
	x := s.holding(o.Ticket)
	lic, con, ord := "/console/licenses/"+string(o.Licenses[0].ID), "/console/containers/"+string(x.keys.Serial()), "/console/orders/"+o.Order
	once := onceField.FindStringSubmatch(m.get(lic+"/withdraw").is(t, http.StatusOK).body)[1]

	// The same form twice is one withdrawal; with other words it is another form.
	m.post(lic+"/withdraw", "once", once, "reason", "Not paid").is(t, http.StatusSeeOther)
	m.post(lic+"/withdraw", "once", once, "reason", "Not paid").is(t, http.StatusSeeOther)
	m.post(lic+"/withdraw", "once", once, "reason", "Other words").is(t, http.StatusUnprocessableEntity, "sent before with other contents")

	// Somebody else was first.
	j.post(lic+"/withdraw", "reason", "Not paid either").is(t, http.StatusConflict, "withdrawn")
	j.get(lic+"/withdraw").is(t, http.StatusOK).lacks(t, "<textarea")
	j.post(con+"/block", "reason", "Stolen").is(t, http.StatusSeeOther)
	m.post(con+"/block", "reason", "Stolen").is(t, http.StatusConflict)
	m.get(con+"/block").is(t, http.StatusOK).lacks(t, "<textarea")
	j.post(con+"/unblock", "reason", "Found").is(t, http.StatusSeeOther)
	m.post(con+"/unblock", "reason", "Found").is(t, http.StatusConflict)

	// It was issued meanwhile: nothing can be taken back, and the container is named.
	_, err := s.Push(t.Context(), s.admin, x.keys.Serial())
	s.must(err)
	m.post(lic+"/cancel", "reason", "Paid").is(t, http.StatusConflict, string(x.keys.Serial()))
	m.post(ord+"/cancel", "reason", "Bankrupt").is(t, http.StatusSeeOther)
	m.post(ord+"/cancel", "reason", "Bankrupt").is(t, http.StatusConflict)

	// Signed out in another tab: the form is refused, and says where to go on.
	m.post("/console/sign-out").is(t, http.StatusSeeOther)
	m.post(con+"/block", "reason", "Stolen").is(t, http.StatusForbidden, "/console/sign-in")
	if c, err := s.Container(t.Context(), s.admin, x.keys.Serial()); err != nil || c.Status != "ok" {
		t.Errorf("%+v %v", c, err)
	}
}

// TestTalkedInto: whoever is talked into restores stops at twenty in a day, a
// report of more is refused whole, and an administrator or the next day goes on.
func TestTalkedInto(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("jonas", registry.ScopeRecovery)
	m, j := s.as("maren"), s.as("jonas")
	report := func(number string, count int) (path string, form []string) {
		o := s.order(number, "Hartmann", slices.Repeat([]string{"SIM"}, count)...)
		s.holding(o.Ticket)
		n := s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Reason: "Gone."}).Recovery
		form = []string{"decision", "approve", "text", "He sounded desperate."}
		for _, l := range o.Licenses {
			form = append(form, "licenses", string(l.ID))
		}
		return fmt.Sprintf("/console/recoveries/%d", n), form
	}
	path, form := report("many", 21)
	j.post(path, form...).is(t, http.StatusConflict, "at most 20")
	j.get(path).is(t, http.StatusOK, `name="decision"`)
	path, form = report("twenty", 20)
	j.post(path, form...).is(t, http.StatusSeeOther)
	path, form = report("one", 1)
	j.post(path, form...).is(t, http.StatusConflict, "at most 20")
	m.post(path, form...).is(t, http.StatusSeeOther)
	s.now = s.now.Add(25 * time.Hour)
	path, form = report("tomorrow", 1)
	j = s.as("jonas")
	j.post(path, form...).is(t, http.StatusSeeOther)
}
