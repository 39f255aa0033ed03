package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// hookForm is what a webhook is to be, as staff wrote it.
type hookForm struct {
	id, title                        string // "" for a new one
	trail                            []look.Crumb
	url, events, description, signed string
	wrong                            []look.Wrong
}

func (f hookForm) action() string {
	if f.id == "" {
		return Prefix + "/webhooks/new"
	}
	return webhookPath(f.id) + "/change"
}

func (f hookForm) cancel() string {
	if f.id == "" {
		return Prefix + "/webhooks"
	}
	return webhookPath(f.id)
}

func (f hookForm) error(field string) string {
	for _, w := range f.wrong {
		if w.Field == field {
			return w.Text
		}
	}
	return ""
}

// patterns are the types that were asked for, one a line or parted by commas.
func (f hookForm) patterns() []string {
	return strings.FieldsFunc(f.events, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

// overlaps are how long the keys before a new one may go on.
var overlaps = []string{"24h", "168h", "0s"}

func (c *console) webhookNew(w http.ResponseWriter, r *http.Request, m member) error {
	if err := permitted(m, registry.ScopeWebhooks); err != nil {
		return err
	}
	return c.hookForm(w, r, m, http.StatusOK, newHookForm(r))
}

func newHookForm(r *http.Request) hookForm {
	ctx := r.Context()
	return hookForm{title: look.T(ctx, "console.webhook.new"), trail: []look.Crumb{{Text: look.T(ctx, "section.webhooks"), Href: Prefix + "/webhooks"}},
		url: strings.TrimSpace(r.PostForm.Get("url")), events: r.PostForm.Get("events"), description: strings.TrimSpace(r.PostForm.Get("description")), signed: r.PostForm.Get("signature")}
}

func (c *console) hookForm(w http.ResponseWriter, r *http.Request, m member, status int, f hookForm) error {
	types, err := c.registry.WebhookEvents(r.Context(), m.Actor)
	if err != nil {
		return err
	}
	return c.write(w, r, status, hookFormPage(m, f, types.Items))
}

// wrongHook puts what was refused of a webhook beside its field; other refusals are
// pages of their own.
func wrongHook(ctx context.Context, f hookForm, err error) (hookForm, error) {
	ref, ok := refusal.As(err)
	if !ok || ref.Code != refusal.InvalidInput {
		return f, err
	}
	field := "url"
	if ref.Details["field"] == "events" {
		field = "events"
	}
	f.wrong = []look.Wrong{{Field: field, Text: look.T(ctx, "console.webhook.wrong."+field, "Why", ref.Message)}}
	return f, nil
}

func (c *console) webhookCreate(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, f := r.Context(), newHookForm(r)
	h, err := c.registry.CreateWebhook(ctx, m.Actor, wire.WebhookRequest{URL: f.url, Events: f.patterns(), Description: f.description, Signature: f.signed})
	if err != nil {
		if f, err = wrongHook(ctx, f, err); err != nil {
			return err
		}
		return c.hookForm(w, r, m, http.StatusUnprocessableEntity, f)
	}
	return c.write(w, r, http.StatusOK, secretPage(m, h, "created"))
}

// webhookAction asks what a change needs to know, or whether something is meant.
func (c *console) webhookAction(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, id, action := r.Context(), r.PathValue("id"), r.PathValue("action")
	h, err := c.registry.Webhook(ctx, m.Actor, id)
	if err != nil {
		return err
	}
	trail := trailTo(ctx, "webhooks", name(h), webhookPath(id))
	if action == "change" {
		return c.hookForm(w, r, m, http.StatusOK, changeForm(ctx, h, trail))
	}
	key := "console.webhook." + action
	p := panel{section: look.Webhooks, trail: trail, title: look.T(ctx, key+".title")}
	p.confirm = look.Confirm{Action: webhookPath(id) + "/" + action, Cancel: webhookPath(id), Title: look.T(ctx, key+".ask", "Name", name(h)), Do: look.T(ctx, key+".do"),
		Whom: []look.Fact{{Term: look.T(ctx, "console.webhook.url"), Value: mono(h.URL)}, {Term: look.T(ctx, "console.webhook.pending"), Text: look.Number(ctx, h.Pending+h.Behind)}},
		What: numbered(ctx, key+".what.")}
	switch action {
	case "rotate":
		p.confirm.Safe = true
		var choices []look.Choice
		for _, o := range overlaps {
			choices = append(choices, look.Choice{Value: o, Text: look.T(ctx, "console.webhook.overlap."+o)})
		}
		p.fields = look.Group(look.Select{Name: "overlap", Label: look.T(ctx, "console.webhook.overlap"), Hint: look.T(ctx, "console.webhook.overlap.hint"), Choices: choices})
	case "delete":
		p.confirm.Keeps = []string{look.T(ctx, key+".keeps")}
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func changeForm(ctx context.Context, h wire.Webhook, trail []look.Crumb) hookForm {
	return hookForm{id: h.ID, title: look.T(ctx, "console.webhook.change.title"), trail: trail, url: h.URL, events: strings.Join(h.Events, "\n"), description: h.Description}
}

func (c *console) webhookChange(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, id := r.Context(), r.PathValue("id")
	h, err := c.registry.Webhook(ctx, m.Actor, id)
	if err != nil {
		return err
	}
	f := changeForm(ctx, h, trailTo(ctx, "webhooks", name(h), webhookPath(id)))
	f.url, f.events, f.description = strings.TrimSpace(r.PostForm.Get("url")), r.PostForm.Get("events"), strings.TrimSpace(r.PostForm.Get("description"))
	events := f.patterns()
	if len(events) == 0 {
		events = []string{"*"} // as in a new one
	}
	if _, err := c.registry.ChangeWebhook(ctx, m.Actor, id, wire.WebhookChange{URL: &f.url, Events: events, Description: &f.description}); err != nil {
		if f, err = wrongHook(ctx, f, err); err != nil {
			return err
		}
		return c.hookForm(w, r, m, http.StatusUnprocessableEntity, f)
	}
	return c.did(w, r, webhookPath(id), "webhook.change")
}

func (c *console) webhookRotate(w http.ResponseWriter, r *http.Request, m member) error {
	if err := permitted(m, registry.ScopeWebhooks); err != nil {
		return err
	}
	overlap, err := license.ParseDuration(r.PostForm.Get("overlap"))
	if err != nil {
		return refusal.New(refusal.InvalidInput, "%q is no span of time.", r.PostForm.Get("overlap"))
	}
	h, err := c.registry.RotateWebhook(r.Context(), m.Actor, r.PathValue("id"), wire.WebhookRotation{Overlap: &overlap})
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, secretPage(m, h, "rotated"))
}

func (c *console) webhookDelete(w http.ResponseWriter, r *http.Request, m member) error {
	if _, err := c.registry.DeleteWebhook(r.Context(), m.Actor, r.PathValue("id")); err != nil {
		return err
	}
	return c.did(w, r, Prefix+"/webhooks", "webhook.delete")
}

// publicKey tells whether receivers verify with a public key.
func publicKey(h wire.Webhook) bool { return strings.HasPrefix(h.Secret, "whpk_") }

// signatureCards are the two ways to sign.
func signatureCards(ctx context.Context, chosen string) templ.Component {
	if chosen == "" {
		chosen = "v1"
	}
	return look.Cards{Name: "signature", Legend: look.T(ctx, "console.webhook.signature"), Value: chosen, Cards: []look.Card{
		{Value: "v1", Title: look.T(ctx, "console.webhook.key.v1"), Text: look.T(ctx, "console.webhook.signature.v1"), Icon: look.IconKey},
		{Value: "v1a", Title: look.T(ctx, "console.webhook.key.v1a"), Text: look.T(ctx, "console.webhook.signature.v1a"), Icon: look.IconKey},
	}}
}

// replayed reads what of the past is to be sent again: one event, all that were given
// up, or those of a day and later.
func replayed(form url.Values) (req wire.WebhookReplay, err error) {
	req.Event = form.Get("event")
	if from := strings.TrimSpace(form.Get("from")); from != "" {
		if req.From, err = license.ParseTime(from); err != nil {
			return req, err
		}
		return req, nil
	}
	req.Failed = req.Event == ""
	return req, nil
}
