package client

import (
	"context"
	"net/http"
	"net/url"

	"licet/wire"
)

// CreateWebhook makes a webhook; what its receiver verifies with is in this answer
// only.
func (c *Central) CreateWebhook(ctx context.Context, req wire.WebhookRequest) (wire.Webhook, error) {
	return send[wire.Webhook](ctx, c, http.MethodPost, "/webhooks", req)
}

// Webhooks lists webhooks, the oldest first.
func (c *Central) Webhooks(ctx context.Context) (wire.List[wire.Webhook], error) {
	return get[wire.List[wire.Webhook]](ctx, c, "/webhooks", nil)
}

// Webhook returns one webhook.
func (c *Central) Webhook(ctx context.Context, id string) (wire.Webhook, error) {
	return get[wire.Webhook](ctx, c, webhookPath(id, ""), nil)
}

// ChangeWebhook changes what is named of a webhook.
func (c *Central) ChangeWebhook(ctx context.Context, id string, change wire.WebhookChange) (wire.Webhook, error) {
	return send[wire.Webhook](ctx, c, http.MethodPatch, webhookPath(id, ""), change)
}

// RotateWebhook makes a new key for a webhook; what its receiver verifies with is in
// this answer only.
func (c *Central) RotateWebhook(ctx context.Context, id string, req wire.WebhookRotation) (wire.Webhook, error) {
	return send[wire.Webhook](ctx, c, http.MethodPost, webhookPath(id, "/rotate"), req)
}

// DeleteWebhook forgets a webhook and what was to be sent to it.
func (c *Central) DeleteWebhook(ctx context.Context, id string) (wire.Webhook, error) {
	return send[wire.Webhook](ctx, c, http.MethodDelete, webhookPath(id, ""), nil)
}

// TestWebhook has a message sent that says nothing.
func (c *Central) TestWebhook(ctx context.Context, id string) (wire.WebhookDelivery, error) {
	return send[wire.WebhookDelivery](ctx, c, http.MethodPost, webhookPath(id, "/test"), nil)
}

// WebhookDeliveries lists the deliveries of a webhook, newest first: of one state,
// or of all with "".
func (c *Central) WebhookDeliveries(ctx context.Context, id, state string, p Page) (wire.List[wire.WebhookDelivery], error) {
	q := p.query()
	if state != "" {
		q.Set("state", state)
	}
	return get[wire.List[wire.WebhookDelivery]](ctx, c, webhookPath(id, "/deliveries"), q)
}

// WebhookDelivery returns one delivery with its message and every try.
func (c *Central) WebhookDelivery(ctx context.Context, id, event string) (wire.WebhookDelivery, error) {
	return get[wire.WebhookDelivery](ctx, c, webhookPath(id, "/deliveries/"+url.PathEscape(event)), nil)
}

// ReplayWebhook sends events again.
func (c *Central) ReplayWebhook(ctx context.Context, id string, req wire.WebhookReplay) (wire.WebhookReplayed, error) {
	return send[wire.WebhookReplayed](ctx, c, http.MethodPost, webhookPath(id, "/replay"), req)
}

// WebhookEvents lists what webhooks tell of.
func (c *Central) WebhookEvents(ctx context.Context) (wire.List[wire.WebhookEvent], error) {
	return get[wire.List[wire.WebhookEvent]](ctx, c, "/webhook-events", nil)
}

func webhookPath(id, rest string) string { return "/webhooks/" + url.PathEscape(id) + rest }
