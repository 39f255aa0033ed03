package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

// testType is the type of messages that only try a receiver.
const testType = registry.HookTest

func (c *console) webhooks(w http.ResponseWriter, r *http.Request, m member) error {
	list, err := c.registry.Webhooks(r.Context(), m.Actor)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, webhooksPage(m, list.Items))
}

// webhookView is one webhook with a page of what was sent.
type webhookView struct {
	wire.Webhook
	filter     string // state of the deliveries that are shown; "" for all
	deliveries []wire.WebhookDelivery
	pager      pager
}

// name is what staff call a webhook.
func name(h wire.Webhook) string {
	if h.Description != "" {
		return h.Description
	}
	return host(h)
}

func host(h wire.Webhook) string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return h.ID
	}
	return u.Host
}

// under is what stands below the name: where and which.
func under(h wire.Webhook) string {
	events := strings.Join(h.Events, ", ")
	if h.Description == "" {
		return events
	}
	return host(h) + " · " + events
}

// stopped reports whether nothing is sent until staff want it.
func (v webhookView) stopped() bool {
	return v.State == wire.WebhookPaused || v.State == wire.WebhookDisabled
}

func (c *console) webhook(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, id, q := r.Context(), r.PathValue("id"), r.URL.Query()
	var v webhookView
	var err error
	if v.Webhook, err = c.registry.Webhook(ctx, m.Actor, id); err != nil {
		return err
	}
	switch state := q.Get("state"); state {
	case "pending", "delivered", "failed":
		v.filter = state
	}
	list, err := c.registry.WebhookDeliveries(ctx, m.Actor, id, v.filter, q.Get("after"), pageSize)
	if err != nil {
		return err
	}
	v.pager = pagerOf(r, list.Next)
	for _, d := range list.Items {
		whole, err := c.registry.WebhookDelivery(ctx, m.Actor, id, d.Event)
		if refusal.Is(err, refusal.NotFound) {
			continue // it was forgotten meanwhile
		}
		if err != nil {
			return err
		}
		v.deliveries = append(v.deliveries, whole)
	}
	return c.write(w, r, http.StatusOK, webhookPage(m, v))
}

// webhookDo does what can be done again or taken back, and so needs no question.
func (c *console) webhookDo(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, id, action := r.Context(), r.PathValue("id"), r.PathValue("action")
	var err error
	switch action {
	case "test":
		_, err = c.registry.TestWebhook(ctx, m.Actor, id)
	case "pause":
		_, err = c.registry.ChangeWebhook(ctx, m.Actor, id, wire.WebhookChange{State: wire.WebhookPaused})
	case "resume":
		_, err = c.registry.ChangeWebhook(ctx, m.Actor, id, wire.WebhookChange{State: wire.WebhookActive})
	case "replay":
		var req wire.WebhookReplay
		if req, err = replayed(r.PostForm); err == nil {
			_, err = c.registry.ReplayWebhook(ctx, m.Actor, id, req)
		}
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err != nil {
		return err
	}
	return c.did(w, r, webhookPath(id), "webhook."+action)
}

// webhookWord is how a webhook is.
func webhookWord(ctx context.Context, h wire.Webhook) look.Word {
	tones := map[string]look.Tone{wire.WebhookActive: look.Success, wire.WebhookFailing: look.Warning, wire.WebhookPaused: look.Info, wire.WebhookDisabled: look.Danger}
	return look.Word{Tone: tones[h.State], Text: look.T(ctx, "console.webhook.state."+h.State)}
}

// webhookNote says what is the matter with a webhook; "" for nothing.
func webhookNote(h wire.Webhook) (tone look.Tone, key string) {
	switch {
	case h.State == wire.WebhookDisabled:
		return look.Danger, "disabled"
	case h.State == wire.WebhookFailing:
		return look.Warning, "failing"
	case h.State == wire.WebhookPaused && h.Reason != "":
		return look.Warning, "gone"
	case h.State == wire.WebhookPaused:
		return look.Info, "paused"
	}
	return "", ""
}

func webhookFacts(ctx context.Context, h wire.Webhook) []look.Fact {
	facts := []look.Fact{
		{Term: look.T(ctx, "console.webhook.url"), Value: mono(h.URL)},
		{Term: look.T(ctx, "console.webhook.events"), Value: mono(strings.Join(h.Events, ", "))},
		{Term: look.T(ctx, "console.webhook.pending"), Text: look.Number(ctx, h.Pending)},
		{Term: look.T(ctx, "console.webhook.failed"), Text: look.Number(ctx, h.Failed)},
	}
	if h.Behind > 0 {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.webhook.behind"), Text: look.Number(ctx, h.Behind)})
	}
	facts = append(facts, look.Fact{Term: look.T(ctx, "console.webhook.succeeded"), Value: look.Time{At: h.Succeeded.Go()}})
	if h.Next != 0 {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.webhook.next"), Value: look.Time{At: h.Next.Go()}})
	}
	for _, k := range h.Keys {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.webhook.key"), Value: webhookKey(k)})
	}
	return append(facts, look.Fact{Term: look.T(ctx, "console.fact.created"), Value: look.Time{At: h.Created.Go()}},
		look.Fact{Term: look.T(ctx, "console.webhook.by"), Text: actor(ctx, h.CreatedBy)})
}

// deliveryEvents draws what was sent as a timeline.
func deliveryEvents(ctx context.Context, v webhookView) (events []look.Event) {
	for _, d := range v.deliveries {
		e := look.Event{At: d.Time.Go(), More: deliveryDetail(v.ID, d)}
		key := d.State
		switch {
		case d.State == "delivered":
			e.Icon, e.Tone = look.IconCheck, look.Success
		case d.State == "failed":
			e.Icon, e.Tone = look.IconClose, look.Danger
		case d.Attempts > 0:
			e.Icon, e.Tone, key = look.IconClock, look.Warning, "again"
		default:
			e.Icon = look.IconClock
		}
		e.Sentence = look.T(ctx, "console.webhook.delivery."+key, "Type", d.Type)
		events = append(events, e)
	}
	return events
}

// triesOf is what stands on a delivery's fold.
func triesOf(ctx context.Context, d wire.WebhookDelivery) string {
	if d.Attempts == 0 {
		return look.T(ctx, "console.webhook.message")
	}
	return look.N(ctx, "console.webhook.tries", int(d.Attempts))
}

// indented is a message as people read it.
func indented(message string) string {
	var out bytes.Buffer
	if json.Indent(&out, []byte(message), "", "  ") != nil {
		return message
	}
	return out.String()
}

// answerOf is what came of a try, in a few words.
func answerOf(ctx context.Context, t wire.WebhookAttempt) string {
	if t.Status == 0 {
		return look.T(ctx, "console.webhook.silent")
	}
	return look.T(ctx, "console.webhook.answered", "Status", t.Status)
}

// webhookFilters are the choices above what was sent.
func webhookFilters(ctx context.Context, v webhookView) (all []filter) {
	for _, state := range []string{"", "pending", "failed", "delivered"} {
		f := filter{text: look.T(ctx, "console.webhook.filter.all"), href: webhookPath(v.ID), now: state == v.filter}
		if state != "" {
			f.text, f.href = look.T(ctx, "console.webhook.filter."+state), webhookPath(v.ID)+"?state="+state
		}
		all = append(all, f)
	}
	return all
}

func webhookPath(id string) string { return Prefix + "/webhooks/" + url.PathEscape(id) }
