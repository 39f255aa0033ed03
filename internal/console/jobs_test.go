package console_test

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"licet/internal/browser"
	"licet/internal/registry"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// newJobs makes a job that is finished, with a row that was refused, and one that runs.
func newJobs(s *stage) (over, running string) {
	s.t.Helper()
	ctx := context.Background()
	csv := "order,customer,product,quantity\n2026-0801,Atelier Roux,SIM,2\n2026-0802,Northlight Dental Laboratories and Prosthetics,SIM,none\n2026-0803,Kestrel Robotics,NONE,1\n2026-0804,Ilse Brandt,AUTO,1\n"
	job, err := s.ImportBulk(ctx, s.admin, wire.BulkImport{CSV: csv})
	s.must(err)
	_, err = s.WorkBulk(ctx, "test")
	s.must(err)
	s.now = s.now.Add(time.Hour)
	var boxes []wire.BulkContainer
	for range 201 {
		boxes = append(boxes, wire.BulkContainer{Container: "none"})
	}
	block, err := registry.StartBulk(ctx, s.Registry, s.admin, wire.BulkBlock, boxes, "The lot was stolen from the warehouse in Lyon.", false)
	s.must(err)
	_, err = s.WorkBulk(ctx, "test")
	s.must(err)
	return job.ID, block.ID
}

// TestJobPages: staff see how far each job is and what came of its items, and end it
// early, who may.
func TestJobPages(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("jonas", registry.ScopeOrders)
	m, jonas := s.as("maren"), s.as("jonas")
	m.get("/console/jobs").is(t, 200, "No jobs yet", "licet-central bulk start")
	over, running := newJobs(s)
	m.get("/console/jobs").is(t, 200, "Take orders", "Finished", "Block containers", "Running", "0 done, 200 refused, of 201", "progressbar")
	page := m.get("/console/jobs/"+over).is(t, 200, "2 done, 2 refused, of 4", "2026-0801", "2 licenses were added", "is no quantity", "There is no product NONE.", "Atelier Roux")
	page.lacks(t, "End the job")
	m.get("/console/jobs/"+over+"?state=failed").is(t, 200, "is no quantity").lacks(t, "2026-0801")
	m.get("/console/jobs/"+over+"/cancel").is(t, 200, "The job has ended already.")
	path := "/console/jobs/" + running
	m.get(path).is(t, 200, "Look again", "End the job", "stolen from the warehouse")
	jonas.get(path).is(t, 200).lacks(t, "End the job")
	jonas.get(path+"/cancel").is(t, 403)
	jonas.post(path+"/cancel").is(t, 403)
	m.get(path+"/cancel").is(t, 200, "No further item is begun; up to 1 are left out.")
	if a := m.post(path + "/cancel"); a.status != http.StatusSeeOther || a.location != path {
		t.Fatalf("%d to %s", a.status, a.location)
	}
	m.get(path).is(t, 200, "The job was ended.", "Ended early")
	m.post(path+"/cancel").is(t, 409)
	m.get("/console/jobs/none").is(t, 404)
	m.get("/console/audit").is(t, 200, "The job (Block containers) was ended early; of 201 items done: 0, refused: 200.", path)
	m.lang = "de"
	m.get(path).is(t, 200, "Vorzeitig beendet", "Container sperren", "0 erledigt, 200 abgelehnt, von 201")
}

// TestWebhooksAreMadeHere: a webhook is made, changed, gets a new key and is deleted on
// the console; what its receiver verifies with is shown once.
func TestWebhooksAreMadeHere(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("lena")
	m, lena := s.as("maren"), s.as("lena")
	lena.get("/console/webhooks/new").is(t, 403)
	lena.post("/console/webhooks/new", "url", "https://shop.example/hooks").is(t, 403)
	m.get("/console/webhooks/new").is(t, 200, "Where messages go to", "license.activated", "A license was issued to a container.")
	m.post("/console/webhooks/new", "url", "ftp://shop.example", "description", "<Shop>").is(t, 422, "The address cannot be used", "&lt;Shop&gt;", "ftp://shop.example")
	m.post("/console/webhooks/new", "url", "https://shop.example/hooks", "events", "order.nothing").is(t, 422, "The events cannot be used", "order.nothing")
	secret := regexp.MustCompile(`whsec_[\w+/=]+`)
	form := []string{"url", "https://shop.example/hooks", "description", "Shop", "events", "order.*\nlicense.activated", "signature", "v1", "once", "k1"}
	made := m.post("/console/webhooks/new", form...).is(t, 200, "Copy the secret now")
	first := secret.FindString(made.body)
	if again := m.post("/console/webhooks/new", form...); first == "" || secret.FindString(again.body) != first {
		t.Error("the same form again is another webhook")
	}
	list, err := s.Webhooks(t.Context(), s.admin)
	s.must(err)
	if len(list.Items) != 1 || list.Items[0].Description != "Shop" || len(list.Items[0].Events) != 2 {
		t.Fatalf("%+v", list)
	}
	path := "/console/webhooks/" + list.Items[0].ID
	m.get(path).is(t, 200, "license.activated, order.*").lacks(t, first)
	for _, page := range []string{"/change", "/rotate", "/delete"} {
		lena.get(path+page).is(t, 403)
		lena.post(path+page, "url", "https://evil.example").is(t, 403)
	}
	m.get(path+"/change").is(t, 200, "https://shop.example/hooks", "order.*")
	m.post(path+"/change", "url", "https://new.example/hooks", "description", "", "events", "nothing").is(t, 422, "The events cannot be used")
	m.post(path+"/change", "url", "https://new.example/hooks", "description", "Shop 2", "events", "").is(t, 303)
	m.get(path).is(t, 200, "The webhook was changed.", "https://new.example/hooks", "Shop 2")
	m.get(path+"/rotate").is(t, 200, "signed with the new key from now on", "a week")
	m.post(path+"/rotate", "overlap", "long").is(t, 422)
	rotated := m.post(path+"/rotate", "overlap", "24h", "once", "k2").is(t, 200, "The webhook has a new key")
	if second := secret.FindString(rotated.body); second == "" || second == first {
		t.Error("the key is the one before")
	}
	m.get(path).is(t, 200, "until ")
	s.order("1", "Buyer", "SIM")
	s.deliver(list.Items[0].ID, func(string) registry.Result { return registry.Result{Status: 200} })
	m.post(path+"/replay", "from", "someday").is(t, 422)
	m.post(path+"/replay", "from", s.now.Format(time.DateOnly)).is(t, 303)
	m.get(path+"?state=pending").is(t, 200, "order.created waits to be sent")
	m.get(path+"/delete").is(t, 200, "Nothing is sent there any more")
	m.get(path+"/other").is(t, 404)
	if a := m.post(path + "/delete"); a.status != http.StatusSeeOther || a.location != "/console/webhooks" {
		t.Fatalf("%d to %s", a.status, a.location)
	}
	m.get("/console/webhooks").is(t, 200, "The webhook was deleted.")
	m.get(path).is(t, 404)
}

// TestSubscriptionsAreChangedHere: a change is shown before it is made, a payment renews,
// and a subscription ends at once where staff say so.
func TestSubscriptionsAreChangedHere(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	s.account("jonas", registry.ScopeOrders)
	m, jonas := s.as("maren"), s.as("jonas")
	done, err := s.CreateSubscription(t.Context(), s.admin, wire.SubscriptionRequest{Number: "S-1", Customer: "Ada", Product: "SIM", Quantity: 3, Period: "monthly", Lead: subscription.Outside}, registry.Once{})
	s.must(err)
	s.holding(done.Subscription.Ticket)
	path := "/console/subscriptions/" + done.Subscription.ID
	is := func(quantity int64, product string, lines int) wire.Subscription {
		t.Helper()
		got, err := s.Subscription(t.Context(), s.admin, done.Subscription.ID)
		s.must(err)
		if got.Quantity != quantity || got.Product != product || len(got.Lines) != lines {
			t.Fatalf("%+v", got)
		}
		return got
	}
	m.get(path).is(t, 200, path+"/change", path+"/renew", path+"/end")
	jonas.get(path).is(t, 200, path+"/change").lacks(t, path+"/end")
	m.get(path+"/change").is(t, 200, "What you leave empty stays", "Now 3").lacks(t, `name="reason"`)
	m.get(path+"/change?quantity=5").is(t, 200, "It is 5 × SIM then", "To bill: Added, 2 × SIM", `name="reason"`)
	m.get(path+"/change?quantity=2").is(t, 200, "From ", "it is 2 × SIM")
	m.get(path+"/change?quantity=3").is(t, 200, "nothing would change").lacks(t, `name="reason"`)
	m.get(path+"/change?quantity=none").is(t, 200, "is no number of licenses")
	m.get(path+"/change?product=AUTO").is(t, 200, "It is 3 × AUTO then", "3 licenses are replaced at the next contact")
	m.get(path+"/change?grace=long").is(t, 200, "cannot be done")
	is(3, "SIM", 1)
	m.post(path+"/change", "quantity", "5", "reason", " ").is(t, 422, `name="quantity" value="5"`)
	m.post(path+"/change", "quantity", "5", "reason", "Two more people.", "once", "k").is(t, 303)
	m.post(path+"/change", "quantity", "5", "reason", "Two more people.", "once", "k").is(t, 303)
	m.get(path).is(t, 200, "The subscription was changed.", "Two more people.")
	before := is(5, "SIM", 2)
	m.get(path+"/renew").is(t, 200, "A period is added behind the last one", "such as an invoice")
	m.post(path+"/renew", "periods", "1", "reference", "INV-7").is(t, 303)
	m.post(path+"/renew", "periods", "1", "reference", "INV-7").is(t, 303)
	if after := is(5, "SIM", 3); after.Ends <= before.Ends {
		t.Errorf("it ends on %s", after.Ends)
	}
	jonas.get(path+"/end").is(t, 200).lacks(t, `name="reason"`)
	jonas.post(path+"/end", "reason", "x").is(t, 403)
	m.get(path+"/end").is(t, 200, "3 licenses go at the next contact", "2 licenses that nobody holds are gone at once", "To bill: Fell away")
	m.post(path+"/end", "reason", "Fraud.").is(t, 303)
	if got, err := s.Subscription(t.Context(), s.admin, done.Subscription.ID); err != nil || got.State != subscription.Ended {
		t.Errorf("%+v %v", got, err)
	}
	m.get(path).is(t, 200, "The subscription was ended.").lacks(t, path+"/change", path+"/renew", path+"/end")
}

// TestGapInBrowser looks at what is not known after the return of a back-up, and at
// staff who release all of it.
func TestGapInBrowser(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	for n, customer := range []string{"Hartmann Precision Ltd", "Northlight Dental Laboratories and Prosthetics"} {
		o := s.order("2026-09"+strings.Repeat("0", n+1), customer, "STUDIO", "SIM", "AUTO")
		if n == 0 {
			s.holding(o.Ticket)
		}
	}
	s.now = s.now.Add(time.Hour)
	_, err := s.OpenGap(t.Context(), registry.System, license.At(s.now.Add(-30*time.Minute)), "The disk was put back.")
	s.must(err)
	s.Registry, err = registry.Open(t.Context(), s.cfg)
	s.must(err)
	s.handler = s.central(s.Registry)
	mine := s.session("maren")
	german := map[string]string{"licet_language": "de"}
	for k, v := range mine {
		german[k] = v
	}
	l := browser.Look{Pages: []browser.Page{{Name: "gap", URL: s.server.URL + "/console/gap", Cookies: mine}, {Name: "gap-release", URL: s.server.URL + "/console/gap/release", Cookies: mine}}}
	if os.Getenv("LICET_SHOTS") != "" {
		l.Pages = append(l.Pages, browser.Page{Name: "gap-de", URL: s.server.URL + "/console/gap", Cookies: german}, browser.Page{Name: "gap-close", URL: s.server.URL + "/console/gap/close", Cookies: mine})
	}
	browser.At(t, l)
	m := s.as("maren")
	m.get("/console/gap").is(t, 200, "Northlight Dental")
	m.post("/console/gap/release", "reason", "All were asked.").is(t, 303)
	m.post("/console/gap/close", "reason", "Settled.").is(t, 303)
}
