package console_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"licet/internal/look"
	"licet/internal/look/looktest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestSignIn: accounts, sessions and their ends, over both databases and two
// processes.
func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newStage(t, open())
		s.now = time.Now()
		r := s.reader()
		r.get("/console").is(t, http.StatusSeeOther)
		r.get("/console/sign-in").is(t, http.StatusOK, "licet-central staff add NAME")
		s.account("maren", registry.ScopeAdmin)
		r.get("/console/sign-in").is(t, http.StatusOK).lacks(t, "staff add")
		if a := r.get("/console/licenses?x=1"); a.location != "/console/sign-in?next=%2Fconsole%2Flicenses%3Fx%3D1" {
			t.Errorf("sent to %s", a.location)
		}
		wrong := r.post("/console/sign-in", "name", "maren", "password", "not the password").is(t, http.StatusUnauthorized, "is wrong")
		unknown := r.post("/console/sign-in", "name", "nobody", "password", "not the password").is(t, http.StatusUnauthorized)
		if strings.ReplaceAll(wrong.body, "maren", "nobody") != unknown.body {
			t.Error("an unknown name and a wrong password have different answers")
		}
		in := r.post("/console/sign-in", "name", " Maren ", "password", password, "next", "/console/licenses")
		if in.status != http.StatusSeeOther || in.location != "/console/licenses" {
			t.Fatalf("%d to %s", in.status, in.location)
		}
		cookie := in.header.Get("Set-Cookie")
		for _, want := range []string{"licet_console=", "HttpOnly", "SameSite=Lax", "Path=/console"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("%q is not in %q", want, cookie)
			}
		}
		r.get("/console/licenses").is(t, http.StatusOK, "maren")

		// Another process knows the session; rights come from the account as it is.
		second := newStageOn(t, s, open())
		other := *r
		other.base = second
		other.get("/console/licenses").is(t, http.StatusOK, "maren")

		// A new password ends it everywhere.
		_, err := s.SetStaffPassword(t.Context(), registry.System, "maren", password+" new")
		s.must(err)
		r.get("/console/licenses").is(t, http.StatusSeeOther)
		other.get("/console/licenses").is(t, http.StatusSeeOther)

		// Signing out ends it, also for who kept the cookie.
		s.account("jonas", registry.ScopeRecovery)
		j := s.as("jonas")
		stolen := *j
		kept := &keeping{jar: j.http.Jar.Cookies(mustURL(j.base + "/console"))}
		stolen.http = &http.Client{Transport: kept, CheckRedirect: j.http.CheckRedirect}
		stolen.get("/console/licenses").is(t, http.StatusOK)
		j.post("/console/sign-out").is(t, http.StatusSeeOther)
		stolen.get("/console/licenses").is(t, http.StatusSeeOther)

		// And so does disabling the account.
		j = s.as("jonas")
		_, err = s.DisableStaff(t.Context(), registry.System, "jonas")
		s.must(err)
		j.get("/console/licenses").is(t, http.StatusSeeOther)
		j.post("/console/sign-in", "name", "jonas", "password", password).is(t, http.StatusUnauthorized)

		// Everything of it is in the trail, and no password is.
		list, err := s.Trail(t.Context(), s.admin, wire.Trail{}, 100)
		s.must(err)
		seen := map[string]bool{}
		for _, e := range list.Items {
			seen[e.Event] = true
			if strings.Contains(string(e.Details), "quiet") || strings.Contains(string(e.Details), "nobody") {
				t.Errorf("%s tells %s", e.Event, e.Details)
			}
		}
		for _, want := range []string{"staff_added", "signed_in", "signed_out", "sign_in_refused", "staff_password_set", "staff_disabled"} {
			if !seen[want] {
				t.Errorf("no event %s", want)
			}
		}
	})
}

// TestSessionsEndByThemselves: idle.
func TestSessionsEndByThemselves(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.now = time.Now()
	s.account("maren", registry.ScopeAdmin)
	r := s.as("maren")
	s.now = s.now.Add(59 * time.Minute)
	r.get("/console/licenses").is(t, http.StatusOK)
	s.now = s.now.Add(2 * time.Minute)
	r.get("/console/licenses").is(t, http.StatusSeeOther)
}

// TestAttempts: few for one name from one address; another address is not
// concerned, and time gives them back.
func TestAttempts(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	here, there := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for n := range 5 {
		if _, err := s.SignIn(t.Context(), "maren", "wrong", here); !refusal.Is(err, refusal.Unauthorized) {
			t.Fatalf("attempt %d: %v", n, err)
		}
	}
	if _, err := s.SignIn(t.Context(), "maren", password, here); !refusal.Is(err, refusal.RateLimited) {
		t.Fatalf("%v", err)
	}
	if _, err := s.SignIn(t.Context(), "maren", password, there); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(31 * time.Second)
	if _, err := s.SignIn(t.Context(), "maren", password, here); err != nil {
		t.Fatal(err)
	}
}

// TestAccounts: what is no good account is refused, and nobody can take a
// person's name in the trail.
func TestAccounts(t *testing.T) {
	s := newStage(t, sqlite(t))
	for _, a := range []wire.Staff{{Name: "a b"}, {Name: "<b>"}, {Name: ""}, {Name: "x", Password: "short"}, {Name: "x", Password: "aaaaaaaaaaaaaa"},
		{Name: "x", Email: "nobody"}, {Name: "x", Scopes: []string{"everything"}}} {
		if _, err := s.AddStaff(t.Context(), registry.System, a); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	made, err := s.AddStaff(t.Context(), registry.System, wire.Staff{Name: "Maren.Okafor", Email: "maren@millwright.example"})
	s.must(err)
	if made.Name != "maren.okafor" || len(made.Password) < 24 || fmt.Sprint(made.Scopes) != "[read]" {
		t.Errorf("%+v", made)
	}
	if _, err := s.AddStaff(t.Context(), registry.System, wire.Staff{Name: "maren.okafor"}); !refusal.Is(err, refusal.Conflict) {
		t.Errorf("twice: %v", err)
	}
	if _, err := s.CreateToken(t.Context(), s.admin, wire.TokenRequest{Name: "maren.okafor@console", Scopes: []string{"read"}}, registry.Once{}); !refusal.Is(err, refusal.InvalidInput) {
		t.Errorf("a token takes a person's name: %v", err)
	}
	reader := registry.Actor{Kind: "staff", Name: "x", Scopes: []string{"read"}}
	if _, err := s.AddStaff(t.Context(), reader, wire.Staff{Name: "other"}); !refusal.Is(err, refusal.Forbidden) {
		t.Errorf("%v", err)
	}
}

var onceField = regexp.MustCompile(`name="once" value="([^"]+)"`)

// TestDecide: a recovery is approved; the second colleague reads who was first;
// a form that is sent twice is one decision.
func TestDecide(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeRecovery)
	s.account("jonas", registry.ScopeRecovery)
	o := s.order("1", "Hartmann", "SIM", "STUDIO")
	s.holding(o.Ticket)
	n := s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Reason: "The laptop was stolen."}).Recovery
	path := fmt.Sprintf("/console/recoveries/%d", n)
	m, j := s.as("maren"), s.as("jonas")
	m.get("/console/recoveries").is(t, http.StatusOK, "Hartmann", fmt.Sprintf("R-%d", n))
	page := m.get(path).is(t, http.StatusOK, "The laptop was stolen.", "Simulation", "single licenses")
	m.post(path, "decision", "refuse").is(t, http.StatusUnprocessableEntity, "Say why you refuse")
	m.post(path, "decision", "approve").is(t, http.StatusUnprocessableEntity, "Choose at least one license")
	m.post(path, "decision", "ask", "text", "Which laptop?").is(t, http.StatusSeeOther)
	m.get(path).is(t, http.StatusOK, "Which laptop?", "The question is with the customer")
	m.get(path).lacks(t, "The question is with the customer")
	once := onceField.FindStringSubmatch(page.body)[1]
	form := []string{"once", once, "decision", "approve"}
	for _, l := range o.Licenses {
		form = append(form, "licenses", string(l.ID))
	}
	m.post(path, form...).is(t, http.StatusSeeOther)
	m.post(path, form...).is(t, http.StatusSeeOther)
	j.post(path, form...).is(t, http.StatusConflict, "Approved by maren")
	j.lang = "de"
	j.post(path, form...).is(t, http.StatusConflict, "Genehmigt, von maren")
	m.get(path).is(t, http.StatusOK, "Approved by maren").lacks(t, `name="decision"`)
	for _, l := range o.Licenses {
		if got, err := s.License(t.Context(), s.admin, l.ID); err != nil || got.State != license.NotCollected || got.Generation != 2 {
			t.Errorf("%+v %v", got, err)
		}
	}
}

// TestLooking: who may only look sees no button, and forms are refused; nothing
// is changed by looking at a panel.
func TestLooking(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("lena")
	s.account("maren", registry.ScopeAdmin)
	o := s.order("1", "Hartmann", "SIM", "STUDIO")
	x := s.holding(o.Ticket)
	n := s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{o.Licenses[0].ID}, Reason: "Gone."}).Recovery
	lic, con, ord := "/console/licenses/"+string(o.Licenses[1].ID), "/console/containers/"+string(x.keys.Serial()), "/console/orders/"+o.Order
	rec := fmt.Sprintf("/console/recoveries/%d", n)
	before, err := s.Trail(t.Context(), s.admin, wire.Trail{}, 1)
	s.must(err)
	m := s.as("maren")
	for _, p := range []string{"", "/withdraw", "/replace", "/replace?with=SIM", "/assign", "/restores", "/cancel", "/lost"} {
		m.get(lic+p).is(t, http.StatusOK)
	}
	for _, p := range []string{"/block", "/unblock", "/accept", "/push"} {
		m.get(con+p).is(t, http.StatusOK)
	}
	m.get(ord+"/cancel").is(t, http.StatusOK, "go at the next contact, from 1 container")
	l := s.as("lena")
	after, err := s.Trail(t.Context(), s.admin, wire.Trail{}, 100)
	s.must(err)
	for _, e := range after.Items {
		if e.Event != "signed_in" && e.Time > before.Items[0].Time {
			t.Errorf("looking caused %s", e.Event)
		}
	}
	l.get(lic).is(t, http.StatusOK, "Millwright Studio").lacks(t, "/withdraw", "/replace", "/restores")
	l.get(con).is(t, http.StatusOK).lacks(t, "/block\"", "/push\"")
	l.get(ord).is(t, http.StatusOK).lacks(t, "/cancel\"", "/ticket\"", string(o.Ticket))
	l.get(rec).is(t, http.StatusOK).lacks(t, `name="decision"`)
	l.get("/console/audit").is(t, http.StatusForbidden, "read the audit trail")
	for _, p := range []string{lic + "/withdraw", lic + "/replace", lic + "/assign", lic + "/cancel", lic + "/lost", lic + "/restores", con + "/block", con + "/unblock", con + "/accept", con + "/push", ord + "/cancel", ord + "/ticket"} {
		l.post(p, "reason", "because", "with", "SIM", "container", string(x.keys.Serial()), "count", "1").is(t, http.StatusForbidden, "Nothing was changed")
		if !strings.HasSuffix(p, "ticket") {
			l.get(p).is(t, http.StatusForbidden)
		}
	}
	for _, d := range []string{"approve", "refuse", "ask", ""} {
		l.post(rec, "decision", d, "text", "x", "licenses", string(o.Licenses[0].ID)).is(t, http.StatusForbidden)
	}

	// A right that is taken away counts from the next request on.
	s.account("otto", registry.ScopeLicenses)
	r := s.as("otto")
	_, err = s.SetStaffScopes(t.Context(), registry.System, "otto", []string{registry.ScopeRead})
	s.must(err)
	r.post(lic+"/withdraw", "reason", "x").is(t, http.StatusForbidden, "signed in no longer")
}

// TestStopped: while nothing is issued, every page of who is signed in says so.
func TestStopped(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("lena")
	s.must(s.StopIssuing(t.Context(), s.admin, "key in wrong hands?"))
	l := s.as("lena")
	for _, p := range []string{"/console/recoveries", "/console/licenses", "/console/containers", "/console/search"} {
		l.get(p).is(t, http.StatusOK, "Issuing is stopped.", "key in wrong hands?", s.admin.String())
	}
	anybody := s.reader()
	anybody.get("/console/sign-in").is(t, http.StatusOK).lacks(t, "wrong hands")
	s.must(s.ResumeIssuing(t.Context(), s.admin, "false alarm"))
	l.get("/console/licenses").is(t, http.StatusOK).lacks(t, "Issuing is stopped.")
}

// TestActions: what staff order happens, and is said.
func TestActions(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	m := s.as("maren")
	o := s.order("1", "Hartmann", "STUDIO", "POST", "SIM", "AUTO")
	ids := map[string]license.ID{}
	for _, l := range o.Licenses {
		ids[l.Product] = l.ID
	}
	x := s.holding(o.Ticket)
	path := func(p, action string) string { return "/console/licenses/" + string(ids[p]) + "/" + action }
	m.get(path("STUDIO", "withdraw")).is(t, http.StatusOK, "cannot go", "POST").lacks(t, "<textarea")
	m.post(path("STUDIO", "withdraw"), "reason", "x").is(t, http.StatusConflict)
	m.get(path("SIM", "withdraw")).is(t, http.StatusOK, "at its next contact", "Hartmann")
	m.post(path("SIM", "withdraw")).is(t, http.StatusUnprocessableEntity, "Give a reason")
	m.post(path("SIM", "withdraw"), "reason", "Not paid").is(t, http.StatusSeeOther)
	m.get("/console/licenses/"+string(ids["SIM"])).is(t, http.StatusOK, "The withdrawal is ordered", "Not paid", "Is withdrawn")
	m.post(path("SIM", "cancel"), "reason", "Paid").is(t, http.StatusSeeOther)
	m.get(path("AUTO", "replace")+"?with=SIM&terms=expires_at%3D2040-01-01").is(t, http.StatusOK, "in one step")
	m.post(path("AUTO", "replace"), "with", "SIM", "terms", "expires_at=2040-01-01", "reason", "Exchange").is(t, http.StatusSeeOther)
	m.post(path("POST", "restores"), "count", "2", "reason", "Ship's computer").is(t, http.StatusSeeOther)
	con := "/console/containers/" + string(x.keys.Serial())
	m.get(con).is(t, http.StatusOK, "Hartmann", "is replaced by")
	if a := m.post(con + "/push"); a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Disposition"), ".licet-update") || !strings.Contains(a.body, "LICET") {
		t.Errorf("%d %v", a.status, a.header)
	}
	m.post(con+"/block", "reason", "Stolen").is(t, http.StatusSeeOther)
	m.get("/console/containers?status=blocked").is(t, http.StatusOK, string(x.keys.Serial())[:12])
	m.get("/console/blocklist").is(t, http.StatusOK, "Stolen")
	if a := m.get("/console/blocklist/file"); a.status != http.StatusOK || !strings.Contains(a.body, "LICET") {
		t.Errorf("%d", a.status)
	}
	m.post(con+"/unblock", "reason", "Found").is(t, http.StatusSeeOther)
	m.get("/console/blocklist").is(t, http.StatusOK, "Nothing is blocked")
	m.get("/console/orders/"+o.Order).is(t, http.StatusOK).lacks(t, string(o.Ticket))
	m.post("/console/orders/"+o.Order+"/ticket").is(t, http.StatusOK, string(o.Ticket))
	m.post("/console/orders/"+o.Order+"/cancel", "reason", "Bankrupt").is(t, http.StatusSeeOther)
	m.get("/console/orders/"+o.Order).is(t, http.StatusOK, "The order is canceled", "Bankrupt")
	m.get("/console/audit?actor=maren").is(t, http.StatusOK, "Bankrupt", "Stolen")
	m.get("/console/audit?event=container_blocked").is(t, http.StatusOK, "Stolen").lacks(t, "Bankrupt")
	m.get("/console/audit?id="+string(ids["SIM"])).is(t, http.StatusOK, "Not paid").lacks(t, "Stolen")
	m.get("/console/audit?since=never").is(t, http.StatusOK, "Write the day")
}

// TestSearch finds by ticket, number, any word, and beginnings, on both engines.
func TestSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newStage(t, open())
		s.account("maren", registry.ScopeRead)
		m := s.as("maren")
		o := s.order("2026-0311", "Österreichische Präzision Hartmann GmbH", "SIM", "STUDIO")
		s.order("2026-0312", "Ilse Brandt", "AUTO")
		s.order("2027/A 5", "Hartmann & Sons", "AUTO")
		x := s.holding(o.Ticket)
		find := func(q string) answer { return m.get("/console/search?q=" + url.QueryEscape(q)) }
		if a := m.post("/console/search", "q", strings.ToLower(string(o.Ticket))); a.location != "/console/orders/"+o.Order {
			t.Errorf("a ticket leads to %q", a.location)
		}
		unknown := license.NewTicket(func(b []byte) { clear(b) })
		m.post("/console/search", "q", string(unknown)).is(t, http.StatusOK, "No order has this ticket").lacks(t, string(unknown))
		if a := m.post("/console/search", "q", "Hart & x"); a.location != "/console/search?q=Hart+%26+x" {
			t.Errorf("to %q", a.location)
		}
		find("hartm").is(t, http.StatusOK, "Österreichische", "Hartmann &amp; Sons").lacks(t, "Brandt")
		find("österr HARTMANN").is(t, http.StatusOK, "2026-0311").lacks(t, "Sons")
		find("2026-03").is(t, http.StatusOK, "2026-0311", "2026-0312")
		find("2027/a").is(t, http.StatusOK, "2027/A 5")
		find(string(o.Licenses[0].ID)).is(t, http.StatusOK, string(o.Licenses[0].ID))
		find(string(o.Licenses[0].ID)[:20]).is(t, http.StatusOK, string(o.Licenses[0].ID))
		find(string(x.keys.Serial())[:8]).is(t, http.StatusOK, string(x.keys.Serial()))
		find("nobody").is(t, http.StatusOK, "Nothing begins with")
		find("'%_;--").is(t, http.StatusOK)
		m.get("/console/orders?customer=Ilse+Brandt").is(t, http.StatusOK, "2026-0312").lacks(t, "2026-0311")
	})
}

// TestPaging: every list goes on by its cursor and ends, on both engines.
func TestPaging(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newStage(t, open())
		s.account("maren", registry.ScopeAdmin)
		m := s.as("maren")
		for n := range 27 {
			o := s.order(fmt.Sprintf("N%03d", n), "Buyer", "SIM")
			x := s.holding(o.Ticket)
			s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Reason: "Gone."})
			_, err := s.BlockContainer(t.Context(), s.admin, x.keys.Serial(), "test")
			s.must(err)
		}
		link := regexp.MustCompile(`href="([^"]*after=[^"]*)"`)
		for _, p := range []string{"/console/recoveries", "/console/recoveries?state=all", "/console/recoveries?customer=Buyer", "/console/licenses", "/console/containers", "/console/containers?status=blocked",
			"/console/orders", "/console/orders?customer=Buyer", "/console/blocklist", "/console/audit", "/console/audit?event=container_blocked"} {
			seen := 0
			for at := p; at != ""; seen++ {
				if seen > 20 {
					t.Fatalf("%s does not end", p)
				}
				a := m.get(at).is(t, http.StatusOK)
				at = ""
				if found := link.FindStringSubmatch(a.body); found != nil {
					at = strings.ReplaceAll(found[1], "&amp;", "&")
				}
			}
			if seen < 2 {
				t.Errorf("%s has %d pages", p, seen)
			}
		}
	})
}

// TestForeignForms: a form of another site is refused, and so is one that is too
// large; a link does not lead elsewhere.
func TestForeignForms(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	r := s.as("maren")
	r.do("POST", "/console/sign-out", nil, "Sec-Fetch-Site", "cross-site").is(t, http.StatusForbidden, "another site")
	r.do("POST", "/console/sign-out", nil, "Origin", "https://evil.example").is(t, http.StatusForbidden)
	r.get("/console/licenses").is(t, http.StatusOK)
	r.post("/console/search", "q", strings.Repeat("x", 70<<10)).is(t, http.StatusRequestEntityTooLarge)
	for _, next := range []string{"https://evil.example", "//evil.example", "/\\evil.example", "/console/../../x\r\n", "/other", "/console.evil", "/console/sign-out"} {
		out := s.reader()
		if a := out.post("/console/sign-in", "name", "maren", "password", password, "next", next); a.location != "/console/recoveries" {
			t.Errorf("%q leads to %q", next, a.location)
		}
	}
	a := r.get("/console/licenses")
	if got := a.header.Get("Content-Security-Policy"); got != look.Policy {
		t.Errorf("policy %q", got)
	}
	r.get("/console/nothing").is(t, http.StatusNotFound, "Nothing is here")
	r.get("/console/recoveries/99").is(t, http.StatusNotFound)
	r.get("/console/recoveries/x").is(t, http.StatusNotFound)
	r.get("/console/licenses/lic_x").is(t, http.StatusNotFound)
	r.get("/console/recoveries?after=x").is(t, http.StatusUnprocessableEntity)
}

// TestTexts: every text in every language, and every event.
func TestTexts(t *testing.T) {
	looktest.Texts(t, texts(t))
	all, err := look.LoadTexts(texts(t))
	if err != nil {
		t.Fatal(err)
	}
	looktest.Templates(t, ".", all.Has)
	braces := regexp.MustCompile(`\{\w+\}`)
	for _, l := range all.Languages() {
		file := readTexts(t, l)
		for name, english := range registry.Sentences() {
			own, _ := file["console.event."+name].(string)
			if l == "en" && own != english {
				t.Errorf("en.json: console.event.%s is %q, the registry says %q", name, own, english)
			}
			want, got := sorted(braces.FindAllString(english, -1)), sorted(braces.FindAllString(own, -1))
			if own == "" || fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("%s.json: console.event.%s names %v, want %v", l, name, got, want)
			}
			if _, ok := file["console.eventname."+name]; !ok {
				t.Errorf("%s.json: console.eventname.%s is missing", l, name)
			}
		}
	}
}
