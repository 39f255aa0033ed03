package courier_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/internal/webhook"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestMainLine: what happens to a license is told in order, signed, without secrets,
// and with nothing but what was asked for.
func TestMainLine(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		all, some := newReceiver(t), newReceiver(t)
		w.order("before")
		w.sequence()
		a := w.hook(all, wire.WebhookRequest{})
		w.hook(some, wire.WebhookRequest{Events: []string{"order.created", "*.returned"}, Description: "shop"})
		o, x := w.order("2026-1"), w.box()
		id := o.Licenses[0].ID
		x.activate(o.Ticket, id)
		x.program(container.Wishes{Return: []license.ID{id}})
		_, err := w.BlockContainer(ctx, w.admin, x.state.Serial, "stolen by K7WQM")
		must(t, err)
		w.send()

		got := all.take()
		inOrder(t, got)
		byPlace(got)
		want := "order.created container.registered license.activated license.activation_confirmed license.returning license.returned container.blocked"
		if types(got) != want {
			t.Fatalf("told %s", types(got))
		}
		if names := types(some.take()); names != "order.created license.returned" {
			t.Errorf("the other one was told %s", names)
		}
		place := int64(-1)
		for _, g := range got {
			if g.id != g.Data.Event || g.Data.Sequence == nil || *g.Data.Sequence <= place || g.Time != license.At(w.now()) {
				t.Errorf("%s: %s", g.id, g.body)
			}
			place = *g.Data.Sequence
			for _, secret := range []string{string(o.Ticket), "Buyer", "K7WQM", "ticket", a.Secret, "staff"} {
				if strings.Contains(string(g.body), secret) {
					t.Errorf("%s is in %s", secret, g.body)
				}
			}
		}
		two := int64(2)
		check := func(n int, want wire.WebhookData) {
			t.Helper()
			want.Event, want.Sequence = got[n].Data.Event, got[n].Data.Sequence
			if fmt.Sprintf("%+v", flat(got[n].Data)) != fmt.Sprintf("%+v", flat(want)) {
				t.Errorf("%s says %s", got[n].Type, got[n].body)
			}
		}
		check(0, wire.WebhookData{Order: "2026-1", Licenses: &two})
		check(1, wire.WebhookData{Container: x.state.Serial})
		check(2, wire.WebhookData{Order: "2026-1", License: id, Product: "CAD", Generation: 1, State: license.Collecting, Container: x.state.Serial})
		check(5, wire.WebhookData{Order: "2026-1", License: id, Product: "CAD", Generation: 1, State: license.Returned, Container: x.state.Serial})
		check(6, wire.WebhookData{Container: x.state.Serial})
		if n := w.send(); n != 0 {
			t.Errorf("%d messages more", n)
		}
		h := w.show(a.ID)
		if h.State != wire.WebhookActive || h.Pending != 0 || h.Failed != 0 || h.Behind != 0 || h.Succeeded != license.At(w.now()) || h.Secret != "" {
			t.Errorf("%+v", h)
		}
		list, err := w.WebhookDeliveries(ctx, w.admin, a.ID, "", "", 3)
		must(t, err)
		if len(list.Items) != 3 || list.Next == "" || list.Items[0].Type != "container.blocked" || list.Items[0].State != store.Delivered || list.Items[0].Status != 204 {
			t.Errorf("%+v", list)
		}
		d, err := w.WebhookDelivery(ctx, w.admin, a.ID, got[2].id)
		must(t, err)
		if d.Message != string(got[2].body) || len(d.Tries) != 1 || d.Tries[0].Status != 204 {
			t.Errorf("%+v", d)
		}
	})
}

// flat is data with what its pointers point to.
func flat(d wire.WebhookData) [3]any {
	var a, b int64
	if d.Sequence != nil {
		a = *d.Sequence
	}
	if d.Licenses != nil {
		b = *d.Licenses
	}
	d.Sequence, d.Licenses = nil, nil
	return [3]any{d, a, b}
}

// TestReceiverDown: a receiver that is not there for an hour, and a server that goes
// on: everything arrives afterwards, each event once, in order, soon.
func TestReceiverDown(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		there := r.server.URL
		_, err := w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{URL: ref(closed(t))})
		must(t, err)
		tries, end := 0, w.now().Add(time.Hour)
		for n := 0; w.now().Before(end); n++ {
			o := w.order(fmt.Sprint(n))
			w.box().activate(o.Ticket)
			tries += w.send()
			w.later(3 * time.Minute)
		}
		if tries < 20 || tries > 100 {
			t.Errorf("%d tries in an hour", tries)
		}
		if v := w.show(h.ID); v.State != wire.WebhookFailing || v.Since != license.At(end.Add(-time.Hour)) || v.Pending != 20*6 {
			t.Errorf("after an hour: %+v", v)
		}
		figures, err := w.Figures(ctx)
		must(t, err)
		if figures.Webhooks != (registry.WebhookCounts{Webhooks: 1, Pending: 120, Failing: 1}) {
			t.Errorf("%+v", figures.Webhooks)
		}
		_, err = w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{URL: ref(there)})
		must(t, err)
		w.later(18 * time.Minute) // the longest hold, and a fifth
		w.send()
		got := r.take()
		if len(got) != 120 {
			t.Fatalf("%d messages", len(got))
		}
		inOrder(t, got)
		if v := w.show(h.ID); v.State != wire.WebhookActive || v.Pending != 0 {
			t.Errorf("afterwards: %+v", v)
		}
	})
}

func ref[T any](v T) *T { return &v }

// inOrder checks that no message came before an earlier one that is about the same
// license, container or order; of repeated ones the first counts.
func inOrder(t testing.TB, all []got) {
	t.Helper()
	seen, last := map[string]bool{}, map[string]int64{}
	for _, g := range all {
		if seen[g.id] {
			continue
		}
		seen[g.id] = true
		for _, about := range []string{"order " + g.Data.Order, "license " + string(g.Data.License), "container " + string(g.Data.Container)} {
			if strings.HasSuffix(about, " ") {
				continue
			}
			if *g.Data.Sequence < last[about] {
				t.Errorf("%s (%d) came after number %d about %s", g.Type, *g.Data.Sequence, last[about], about)
			}
			last[about] = *g.Data.Sequence
		}
	}
}

// TestEveryKindOfTrouble: answers of every kind, slow ones and none, while things
// happen. Each event arrives, in order, and counts once for who looks at its id.
func TestEveryKindOfTrouble(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		n := 0
		taken := map[string]bool{}
		hang := make(chan struct{})
		t.Cleanup(func() { close(hang) })
		trouble := func(g got) (int, string, http.Header) {
			r.mu.Lock()
			defer r.mu.Unlock()
			switch n++; n % 9 {
			case 0:
				return 500, "<h1>broken</h1>\x00\xff\x1b[31m", nil
			case 1:
				return 503, "", http.Header{"Retry-After": {"30"}}
			case 2:
				return 0, "", nil
			case 3:
				return 0, "SSH-2.0-OpenSSH_9.2\r\n", nil
			case 4:
				return 0, "HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n", nil
			case 5:
				return 302, "", http.Header{"Location": {r.server.URL}}
			case 6: // taken, and the answer is lost: it comes again
				taken[g.id] = true
				return 0, "", nil
			case 7:
				if n == 7 {
					r.mu.Unlock()
					select {
					case <-hang:
					case <-time.After(5 * time.Second):
					}
					r.mu.Lock()
				}
				return 200, strings.Repeat("x", 1<<20), nil
			}
			taken[g.id] = true
			return 201, "thank you", nil
		}
		r.behave(trouble)
		var boxes []*box
		for range 3 {
			boxes = append(boxes, w.box())
		}
		want := 3
		for i := range 24 {
			o := w.order(fmt.Sprint(i))
			boxes[i%3].activate(o.Ticket)
			want += 1 + 2*2
			w.send()
			w.later(20 * time.Second)
		}
		r.behave(always(200))
		for range 4 {
			w.later(20 * time.Minute)
			w.send()
		}
		got := r.take()
		ids := map[string]bool{}
		for _, g := range got {
			ids[g.id] = true
		}
		if len(ids) != want || len(got) == want {
			t.Errorf("%d events in %d messages, want %d", len(ids), len(got), want)
		}
		inOrder(t, got)
		if v := w.show(h.ID); v.State != wire.WebhookActive || v.Pending != 0 || v.Failed != 0 {
			t.Errorf("afterwards: %+v", v)
		}
		for id := range ids {
			d, err := w.WebhookDelivery(ctx, w.admin, h.ID, id)
			must(t, err)
			if d.State != store.Delivered || int64(len(d.Tries)) != d.Attempts {
				t.Errorf("%+v", d)
			}
			for _, try := range d.Tries {
				if len(try.Answer) > 2048 || strings.ContainsAny(try.Answer, "\x00\x1b") || strings.Contains(try.Fault, "secret") || (try.Status == 0) != (try.Fault != "") {
					t.Errorf("%+v", try)
				}
			}
		}
	})
}

// TestDiesBeforeRecording: a server that has sent a message and dies before it could
// note that: another one sends it again, with the same id, once the lease has ended.
func TestDiesBeforeRecording(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		w.order("1")
		w.sequence()
		round, _, err := w.TakeRound(ctx, h.ID, "dead")
		must(t, err)
		if len(round.Messages) != 1 {
			t.Fatalf("%+v", round)
		}
		m := round.Messages[0]
		req, err := http.NewRequest(http.MethodPost, round.URL, strings.NewReader(string(m.Body)))
		must(t, err)
		req.Header = http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {m.ID}, "Webhook-Timestamp": {webhook.Timestamp(round.At)}, "Webhook-Signature": {round.Signature(m)}}
		_, err = http.DefaultClient.Do(req)
		must(t, err)
		w.order("2")
		if n := w.send(); n != 0 {
			t.Fatalf("%d messages while the other server has the lease", n)
		}
		w.later(61 * time.Second)
		w.send()
		got := r.take()
		if len(got) != 3 || got[0].id != got[1].id && got[0].id != got[2].id || got[0].Data.Order != "1" {
			t.Fatalf("told %s", types(got))
		}
		again := got[1]
		if again.id != got[0].id {
			again = got[2]
		}
		if string(again.body) != string(got[0].body) {
			t.Errorf("first %s, then %s", got[0].body, again.body)
		}
		// It was not dead, only slow: what it says now counts no more.
		must(t, w.RecordRound(ctx, round, []registry.Result{{ID: m.ID, Status: 500}}))
		if d, err := w.WebhookDelivery(ctx, w.admin, h.ID, m.ID); err != nil || d.State != store.Delivered || d.Attempts != 1 {
			t.Errorf("%+v %v", d, err)
		}
	})
}

// TestStopsWhileSending: a server that is stopped while a message is on its way notes
// nothing of it, and gives the webhook up at once: the next one sends it again.
func TestStopsWhileSending(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		w.order("1")
		w.sequence()
		running, stop := context.WithCancel(ctx)
		r.behave(func(got) (int, string, http.Header) {
			stop()
			return 0, "", nil
		})
		n, err := w.Once(running)
		must(t, err)
		if v := w.show(h.ID); n != 0 || v.Pending != 1 {
			t.Fatalf("%d results, %+v", n, v)
		}
		r.behave(nil)
		if n := w.send(); n != 1 {
			t.Errorf("%d messages", n)
		}
		if got := r.take(); len(got) != 2 || got[0].id != got[1].id {
			t.Errorf("told %s", types(got))
		}
	})
}

// TestTwoServers: of two servers at one database, one at a time sends to a receiver;
// nothing comes twice, and all in order.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		w.hook(r, wire.WebhookRequest{})
		w.hook(r, wire.WebhookRequest{Events: []string{"order.*"}})
		_, other := w.server(open())
		stop := make(chan struct{})
		ended := make(chan error, 2)
		for _, c := range []func() (int, error){func() (int, error) { return w.Once(ctx) }, func() (int, error) { return other.Once(ctx) }} {
			go func() {
				for {
					select {
					case <-stop:
						ended <- nil
						return
					default:
						if _, err := c(); err != nil {
							ended <- err
							return
						}
					}
				}
			}()
		}
		x := w.box()
		for i := range 12 {
			x.activate(w.order(fmt.Sprint(i)).Ticket)
			w.sequence()
		}
		close(stop)
		for range 2 {
			must(t, <-ended)
		}
		w.send()
		all := r.take()
		count := map[string]int{}
		var first []got
		for _, g := range all {
			if count[g.id]++; count[g.id] == 1 || g.Type != "order.created" {
				first = append(first, g)
			}
		}
		if len(all) != 12*5+1+12 || len(first) != 12*5+1 {
			t.Errorf("%d messages, %d of them without those of both webhooks", len(all), len(first))
		}
		inOrder(t, all)
	})
}

// byPlace puts messages into the order of the audit log.
func byPlace(all []got) {
	slices.SortFunc(all, func(a, b got) int { return cmp.Compare(*a.Data.Sequence, *b.Data.Sequence) })
}

// TestOneSubjectWaits: an event that the receiver never takes holds back what is
// about the same order and nothing else; after three days it is given up, and can be
// sent again.
func TestOneSubjectWaits(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{Events: []string{"order.*", "license.activated"}})
		poison := func(g got) (int, string, http.Header) {
			if g.Type == "order.created" && g.Data.Order == "bad" {
				return 422, "no such shop", nil
			}
			return 200, "", nil
		}
		r.behave(poison)
		bad := w.order("bad")
		w.send()
		x, y := w.box(), w.box()
		x.activate(bad.Ticket, bad.Licenses[0].ID) // waits for the order
		good := w.order("good")
		y.activate(good.Ticket, good.Licenses[0].ID)
		x.activate(good.Ticket, good.Licenses[1].ID) // waits for the container
		w.send()
		w.send()
		if got := types(r.take()); got != "order.created order.created license.activated" && got != "order.created license.activated order.created" {
			t.Fatalf("told %s", got)
		}
		if v := w.show(h.ID); v.State != wire.WebhookActive || v.Pending != 3 {
			t.Errorf("%+v", v)
		}
		begin, tries := w.now(), 0
		for w.now().Before(begin.Add(5 * 24 * time.Hour)) {
			w.later(time.Hour)
			if w.now().Sub(begin)%(6*time.Hour) == 0 {
				w.order(w.now().String()) // the receiver is well
			}
			w.send()
			for _, g := range r.take() {
				switch {
				case g.Type == "order.created" && g.Data.Order == "bad":
					tries++
				case g.Type == "license.activated" && w.now().Sub(begin) < 2*24*time.Hour:
					t.Errorf("%s overtook", g.body)
				}
			}
		}
		if tries < 8 || tries > 20 {
			t.Errorf("tried %d times more", tries)
		}
		if v := w.show(h.ID); v.State != wire.WebhookActive || v.Pending != 0 || v.Failed != 1 {
			t.Errorf("after five days: %+v", v)
		}
		failed, err := w.WebhookDeliveries(ctx, w.admin, h.ID, store.DeliveryFailed, "", 10)
		must(t, err)
		if len(failed.Items) != 1 || failed.Items[0].Status != 422 {
			t.Fatalf("%+v", failed)
		}
		noted(t, w, "webhook_given_up", 1)

		r.behave(nil)
		again, err := w.ReplayWebhook(ctx, w.admin, h.ID, wire.WebhookReplay{Failed: true})
		must(t, err)
		if w.send(); again.Queued != 1 || types(r.take()) != "order.created" {
			t.Errorf("%+v", again)
		}
		if v := w.show(h.ID); v.Failed != 0 {
			t.Errorf("%+v", v)
		}
	})
}

// noted checks how often an event stands in the audit trail.
func noted(t *testing.T, w *world, event string, want int) {
	t.Helper()
	n := 0
	for cursor := ""; ; {
		trail, err := w.Audit(ctx, w.admin, cursor, 200)
		must(t, err)
		for _, e := range trail.Items {
			if e.Event == event {
				n++
				t.Log(e.Sentence)
			}
		}
		if cursor = trail.Next; cursor == "" {
			break
		}
	}
	if n != want {
		t.Errorf("%s stands in the trail %d times", event, n)
	}
}

// TestGone: a receiver that says so gets nothing more; made active again, it gets all
// that happened meanwhile.
func TestGone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		r.behave(always(410))
		w.order("1")
		w.send()
		if v := w.show(h.ID); v.State != wire.WebhookPaused || v.Reason == "" || v.Since != license.At(w.now()) {
			t.Fatalf("%+v", v)
		}
		noted(t, w, "webhook_gone", 1)
		r.behave(nil)
		r.take()
		w.order("2")
		w.later(24 * time.Hour)
		if n := w.send(); n != 0 {
			t.Fatalf("%d messages while paused", n)
		}
		v, err := w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{State: wire.WebhookActive})
		must(t, err)
		if w.send(); v.State != wire.WebhookActive || types(r.take()) != "order.created order.created" {
			t.Errorf("%+v", v)
		}
	})
}

// TestDisabled: after five days without anything that gets through sending stops, and
// still nothing is lost.
func TestDisabled(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		r.behave(always(500))
		begin := w.now()
		for n := 0; w.now().Before(begin.Add(4*24*time.Hour + 23*time.Hour)); n++ {
			if n%10 == 0 {
				w.order(fmt.Sprint(n))
			}
			w.send()
			w.later(90 * time.Minute)
		}
		if v := w.show(h.ID); v.State != wire.WebhookFailing || v.Failed != 0 {
			t.Fatalf("%+v", v)
		}
		w.later(2 * time.Hour)
		w.send()
		if v := w.show(h.ID); v.State != wire.WebhookDisabled || v.Reason == "" {
			t.Fatalf("%+v", v)
		}
		noted(t, w, "webhook_disabled", 1)
		if figures, err := w.Figures(ctx); err != nil || figures.Webhooks.Stopped != 1 || figures.Webhooks.Failing != 0 {
			t.Errorf("%+v %v", figures, err)
		}
		w.order("last")
		w.later(24 * time.Hour)
		r.take()
		r.behave(nil)
		if n := w.send(); n != 0 {
			t.Errorf("%d messages while disabled", n)
		}
		_, err := w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{State: wire.WebhookActive})
		must(t, err)
		w.send()
		all := r.take()
		if len(all) != 9 || !slices.ContainsFunc(all, func(g got) bool { return g.Data.Order == "last" }) {
			t.Errorf("%d messages", len(all))
		}
	})
}

// TestRetryAfter: a receiver that asks to be left alone is, with everything.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{})
		r.behave(func(got) (int, string, http.Header) { return 429, "", http.Header{"Retry-After": {"600"}} })
		w.order("1")
		w.send()
		r.behave(nil)
		r.take()
		w.order("2")
		w.later(590 * time.Second)
		if n := w.send(); n != 0 || w.show(h.ID).Next != license.At(w.now().Add(10*time.Second)) {
			t.Fatalf("%d messages, %+v", n, w.show(h.ID))
		}
		w.later(10 * time.Second)
		if n := w.send(); n != 2 {
			t.Fatalf("%d messages", n)
		}
	})
}

// TestReplay: one event, a span of time, nothing that is not told of; with the ids
// that they had.
func TestReplay(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r := newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{Events: []string{"order.created"}})
		var times []time.Time
		for i := range 5 {
			times = append(times, w.now())
			w.order(fmt.Sprint(i))
			w.later(time.Hour)
		}
		w.send()
		first := r.take()
		byPlace(first)
		for _, c := range []struct {
			req  wire.WebhookReplay
			want []got
		}{
			{wire.WebhookReplay{Event: first[3].id}, first[3:4]},
			{wire.WebhookReplay{From: license.At(times[1]), To: license.At(times[3])}, first[1:3]},
			{wire.WebhookReplay{From: license.At(times[4])}, first[4:]},
			{wire.WebhookReplay{From: license.At(times[0].Add(-time.Hour * 1000))}, first},
			{wire.WebhookReplay{From: license.At(w.now())}, nil},
			{wire.WebhookReplay{Failed: true}, nil},
		} {
			out, err := w.ReplayWebhook(ctx, w.admin, h.ID, c.req)
			must(t, err)
			w.send()
			var ids, want []string
			for _, g := range r.take() {
				ids = append(ids, g.id)
			}
			for _, g := range c.want {
				want = append(want, g.id)
			}
			slices.Sort(ids)
			slices.Sort(want)
			if out.Queued != int64(len(want)) || out.Next != "" || !slices.Equal(ids, want) {
				t.Errorf("%+v: %+v, %q instead of %q", c.req, out, ids, want)
			}
		}
		own, err := w.Trail(ctx, w.admin, wire.Trail{Event: "vendor_created"}, 1)
		must(t, err)
		for _, bad := range []wire.WebhookReplay{{}, {Failed: true, Event: "x"}, {To: 1}, {Cursor: "1"}, {From: 1, Cursor: "x"}, {Event: own.Items[0].ID}} {
			if _, err := w.ReplayWebhook(ctx, w.admin, h.ID, bad); !refusal.Is(err, refusal.InvalidInput) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if _, err := w.ReplayWebhook(ctx, w.admin, h.ID, wire.WebhookReplay{Event: "evt_none"}); !refusal.Is(err, refusal.NotFound) {
			t.Error(err)
		}
	})
}

// TestMessage: staff try a receiver, also while it is paused; it is one try.
func TestMessage(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		r, other := newReceiver(t), newReceiver(t)
		h := w.hook(r, wire.WebhookRequest{Events: []string{"order.created"}})
		w.hook(other, wire.WebhookRequest{})
		_, err := w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{State: wire.WebhookPaused})
		must(t, err)
		w.order("1")
		for status, want := range map[int]string{200: store.Delivered, 500: store.DeliveryFailed, 410: store.DeliveryFailed} {
			r.behave(always(status))
			d, err := w.TestWebhook(ctx, w.admin, h.ID)
			must(t, err)
			w.send()
			w.later(time.Hour)
			w.send()
			if got := r.take(); types(got) != "webhook.test" || got[0].id != d.Event {
				t.Errorf("told %s", types(got))
			}
			if d, err = w.WebhookDelivery(ctx, w.admin, h.ID, d.Event); err != nil || d.State != want || d.Attempts != 1 || d.Tries[0].Answer != http.StatusText(status) {
				t.Errorf("%+v %v", d, err)
			}
		}
		if v := w.show(h.ID); v.State != wire.WebhookPaused || v.Pending != 0 || v.Failed != 0 {
			t.Errorf("%+v", v)
		}
		if got := types(other.take()); got != "order.created" {
			t.Errorf("the other one was told %s", got)
		}
		again, err := w.ReplayWebhook(ctx, w.admin, h.ID, wire.WebhookReplay{Failed: true})
		if err != nil || again.Queued != 0 {
			t.Errorf("%+v %v", again, err)
		}
	})
}

// TestRotation: while the keys overlap, who has either one can verify; afterwards
// only who has the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		w := newWorld(t, open())
		old, fresh := newReceiver(t), newReceiver(t)
		h := w.hook(old, wire.WebhookRequest{})
		to := func(r *receiver) {
			t.Helper()
			_, err := w.ChangeWebhook(ctx, w.admin, h.ID, wire.WebhookChange{URL: ref(r.url())})
			must(t, err)
		}
		v, err := w.RotateWebhook(ctx, w.admin, h.ID, wire.WebhookRotation{})
		must(t, err)
		if len(v.Keys) != 2 || v.Keys[0].Ends != 0 || v.Keys[1].Ends != license.At(w.now().Add(24*time.Hour)) || v.Secret == h.Secret {
			t.Fatalf("%+v", v)
		}
		fresh.learn(v.Secret)
		w.order("1")
		w.send()
		to(fresh)
		w.order("2")
		w.send()
		if types(old.take()) != "order.created" || types(fresh.take()) != "order.created" {
			t.Error("a message is missing")
		}
		w.later(25 * time.Hour)
		w.order("3")
		w.send()
		fresh.take()
		only, err := w.RotateWebhook(ctx, w.admin, h.ID, wire.WebhookRotation{Overlap: ref(license.Duration(0)), Signature: "v1a"})
		must(t, err)
		if len(only.Keys) != 1 || !strings.HasPrefix(only.Secret, "whpk_") || only.Keys[0].Public != only.Secret || only.Keys[0].Signature != "v1a" {
			t.Errorf("%+v", only)
		}
		for n := range 4 {
			_, err := w.RotateWebhook(ctx, w.admin, h.ID, wire.WebhookRotation{})
			if (n < 3) != (err == nil) {
				t.Errorf("number %d: %v", n, err)
			}
		}
		own := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		got, err := w.RotateWebhook(ctx, w.admin, h.ID, wire.WebhookRotation{Overlap: ref(license.Duration(0)), Secret: own})
		if err != nil || got.Secret != own || len(got.Keys) != 1 {
			t.Errorf("%+v %v", got, err)
		}
		for _, bad := range []wire.WebhookRotation{{Secret: own, Signature: "v1a"}, {Secret: "x"}, {Signature: "v2"}, {Overlap: ref(31 * license.Day)}} {
			if _, err := w.RotateWebhook(ctx, w.admin, h.ID, bad); !refusal.Is(err, refusal.InvalidInput) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

// TestSecretsAreSealed: nothing that the database holds lets anybody sign.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		w := newWorld(t, db)
		r := newReceiver(t)
		once := registry.Once{Key: "k", Hash: [32]byte{1}}
		req := wire.WebhookRequest{URL: r.url()}
		h, err := w.CreateWebhook(registry.WithOnce(ctx, once), w.admin, req)
		must(t, err)
		if again, err := w.CreateWebhook(registry.WithOnce(ctx, once), w.admin, req); err != nil || again.ID != h.ID || again.Secret != h.Secret {
			t.Errorf("repeated: %+v %v", again, err)
		}
		must(t, db.Read(ctx, func(tx *store.Tx) error {
			keys, err := tx.WebhookKeys(h.ID)
			if err != nil || len(keys) != 1 || strings.Contains(string(keys[0].Secret), h.Secret[:12]) || keys[0].Public != "" {
				t.Errorf("%+v %v", keys, err)
			}
			events, err := tx.AllEvents("", 1000)
			for _, e := range events {
				if text := string(e.Details); strings.Contains(text, "whsec_") || strings.Contains(text, "key=secret") {
					t.Errorf("%s says %s", e.Name, text)
				}
			}
			return err
		}))
	})
}
