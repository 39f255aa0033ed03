package client

import (
	"context"
	"net/http"
	"net/url"

	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// CreateSubscription makes a subscription.
func (c *Central) CreateSubscription(ctx context.Context, req wire.SubscriptionRequest) (wire.SubscriptionDone, error) {
	return send[wire.SubscriptionDone](ctx, c, http.MethodPost, "/subscriptions", req)
}

// Subscriptions lists subscriptions, newest first: those in a state, or all.
func (c *Central) Subscriptions(ctx context.Context, state subscription.State, p Page) (wire.List[wire.Subscription], error) {
	q := p.query()
	if state != "" {
		q.Set("state", string(state))
	}
	return get[wire.List[wire.Subscription]](ctx, c, "/subscriptions", q)
}

// Subscription returns one subscription, by its id or the number of its order.
func (c *Central) Subscription(ctx context.Context, id string) (wire.Subscription, error) {
	return get[wire.Subscription](ctx, c, "/subscriptions/"+url.PathEscape(id), nil)
}

// ChangeSubscription changes quantity, edition, period or rules.
func (c *Central) ChangeSubscription(ctx context.Context, id string, req wire.SubscriptionChange) (wire.SubscriptionDone, error) {
	return send[wire.SubscriptionDone](ctx, c, http.MethodPost, "/subscriptions/"+url.PathEscape(id)+"/change", req)
}

// RenewSubscription tells that periods were paid.
func (c *Central) RenewSubscription(ctx context.Context, id string, req wire.SubscriptionRenewal) (wire.SubscriptionDone, error) {
	return send[wire.SubscriptionDone](ctx, c, http.MethodPost, "/subscriptions/"+url.PathEscape(id)+"/renew", req)
}

// CancelSubscription ends a subscription, with its last period or at once.
func (c *Central) CancelSubscription(ctx context.Context, id string, req wire.SubscriptionCancellation) (wire.SubscriptionDone, error) {
	return send[wire.SubscriptionDone](ctx, c, http.MethodPost, "/subscriptions/"+url.PathEscape(id)+"/cancel", req)
}

// ResumeSubscription takes a cancellation back, or begins anew after a lapse.
func (c *Central) ResumeSubscription(ctx context.Context, id string, req wire.SubscriptionResumption) (wire.SubscriptionDone, error) {
	return send[wire.SubscriptionDone](ctx, c, http.MethodPost, "/subscriptions/"+url.PathEscape(id)+"/resume", req)
}

// Billing reports what was agreed and used from one moment to another, in a row for
// each subscription, customer or product.
func (c *Central) Billing(ctx context.Context, by string, from, to license.Time, p Page) (wire.List[wire.BillingRow], error) {
	q := p.query()
	q.Set("by", by)
	q.Set("from", from.String())
	q.Set("to", to.String())
	return get[wire.List[wire.BillingRow]](ctx, c, "/subscriptions/report", q)
}
