package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/wire"
)

// hooks are webhooks of every state, with what was sent to them.
type hooks struct{ shop, erp, old, gone string }

// deliver carries what is due to a webhook, and has the receiver answer.
func (s *stage) deliver(id string, answer func(kind string) registry.Result) {
	s.t.Helper()
	ctx := context.Background()
	_, err := s.Sequence(ctx)
	s.must(err)
	for more := true; more; {
		var round registry.Round
		round, more, err = s.TakeRound(ctx, id, "test")
		s.must(err)
		var results []registry.Result
		for _, m := range round.Messages {
			var message wire.WebhookMessage
			s.must(json.Unmarshal(m.Body, &message))
			r := answer(message.Type)
			r.ID, r.Duration = m.ID, 143*time.Millisecond
			results = append(results, r)
		}
		if len(results) > 0 {
			s.must(s.RecordRound(ctx, round, results))
		}
	}
}

func (s *stage) hook(url, description, signature string, events ...string) string {
	s.t.Helper()
	h, err := s.CreateWebhook(context.Background(), s.admin, wire.WebhookRequest{URL: url, Description: description, Events: events, Signature: signature})
	s.must(err)
	return h.ID
}

func newHooks(s *stage) (h hooks) {
	s.t.Helper()
	ctx := context.Background()
	silent := func(string) registry.Result {
		return registry.Result{Fault: "dial tcp 198.18.7.3:443: connect: connection refused"}
	}
	picky := func(kind string) registry.Result {
		if kind == "container.blocked" {
			return registry.Result{Status: 500, Answer: "<h1>Internal Server Error</h1>\nat Handler.php line 212"}
		}
		return registry.Result{Status: 200, Answer: `{"taken":true}`}
	}
	block := func(number string) {
		x := s.holding(s.order(number, "Ilse Brandt", "SIM").Ticket)
		_, err := s.BlockContainer(ctx, s.admin, x.keys.Serial(), "Stolen")
		s.must(err)
	}
	h.shop = s.hook("https://shop.millwright.example/hooks/licet?key=4711", "Shop", "")
	h.old = s.hook("https://old.millwright.example/", "The old shop, until the summer", "", "order.created")
	h.gone = s.hook("https://crm.millwright.example/licenses", "CRM", "", "recovery.*", "order.*")
	block("2026-0500")
	s.deliver(h.gone, func(string) registry.Result { return registry.Result{Status: 410, Answer: "This shop has moved."} })
	for n := range 16 { // five days and eight hours
		if n == 9 {
			h.erp = s.hook("https://erp.millwright.example/api/v2/integration/licensing/events", "", "v1a", "order.*", "license.activated", "license.returned")
			_, err := s.RotateWebhook(ctx, s.admin, h.erp, wire.WebhookRotation{Overlap: ref(license.Duration(7 * license.Day))})
			s.must(err)
		}
		s.holding(s.order(fmt.Sprintf("2026-%04d", 600+n), "Kestrel Robotics", "AUTO").Ticket)
		s.deliver(h.shop, picky)
		s.deliver(h.old, silent)
		if h.erp != "" {
			s.deliver(h.erp, silent)
		}
		s.now = s.now.Add(8 * time.Hour)
	}
	block("2026-0700")
	s.deliver(h.shop, picky)
	s.now = s.now.Add(20 * time.Second)
	return h
}

func ref[T any](v T) *T { return &v }

// TestWebhookPages: staff see how each webhook is and what was sent, and can do what
// helps.
func TestWebhookPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newStage(t, open())
		s.account("maren", registry.ScopeAdmin)
		s.account("lena")
		m, lena := s.as("maren"), s.as("lena")
		m.get("/console/webhooks").is(t, http.StatusOK, "No other server is told")
		id := s.hook("https://shop.example/hooks?key=1", "<b>Shop</b>", "", "order.*")
		path := "/console/webhooks/" + id
		for _, p := range []string{"/console/webhooks", path} {
			lena.get(p).is(t, http.StatusForbidden, "see and change webhooks")
		}
		lena.post(path+"/test").is(t, http.StatusForbidden)
		if body := lena.get("/console/licenses").body; strings.Contains(body, "/console/webhooks") {
			t.Error("who may not see webhooks is led to them")
		}
		s.order("1", "Buyer", "SIM")
		s.deliver(id, func(string) registry.Result {
			return registry.Result{Status: 500, Answer: "<script>alert(1)</script>"}
		})
		m.get("/console/webhooks").is(t, http.StatusOK, "&lt;b&gt;Shop&lt;/b&gt;", "shop.example", "Active")
		m.get(path).is(t, http.StatusOK, "order.created waits for its next try", "Answered 500", "&lt;script&gt;", "1 try", "https://shop.example/hooks?key=1")

		is := func(state string) {
			t.Helper()
			h, err := s.Webhook(t.Context(), s.admin, id)
			s.must(err)
			if h.State != state {
				t.Errorf("it is %s", h.State)
			}
		}
		m.post(path + "/pause")
		is(wire.WebhookPaused)
		m.get(path).is(t, http.StatusOK, "The webhook is paused.", "It is paused", "Make active")
		m.post(path + "/resume")
		is(wire.WebhookActive)
		s.deliver(id, func(string) registry.Result { return registry.Result{Status: 200} })
		m.get(path+"?state=delivered").is(t, http.StatusOK, "order.created was delivered", "2 tries")
		m.get(path+"?state=failed").is(t, http.StatusOK, "Nothing is here")
		list, err := s.WebhookDeliveries(t.Context(), s.admin, id, "", "", 10)
		s.must(err)
		m.post(path+"/replay", "event", list.Items[0].Event)
		m.get(path+"?state=pending").is(t, http.StatusOK, "order.created waits to be sent", "It is sent again")
		m.post(path + "/replay")
		m.post(path + "/test")
		m.get(path).is(t, http.StatusOK, "webhook.test waits to be sent")
		m.post(path+"/other").is(t, http.StatusNotFound)
		m.get(path+"x").is(t, http.StatusNotFound)
		m.get("/console/audit").is(t, http.StatusOK, "A test message to shop.example was asked for", path)
		s.deliver(id, func(string) registry.Result { return registry.Result{Status: 410} })
		m.get(path).is(t, http.StatusOK, "the receiver says that it is gone")
		m.get("/console/webhooks").is(t, http.StatusOK, "Paused", "nav-count")
	})
}
