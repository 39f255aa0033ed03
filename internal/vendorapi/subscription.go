package vendorapi

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// subscriptionRoutes is licenses that last as long as periods are renewed.
func subscriptionRoutes(api huma.API, reg *registry.Registry) {
	const tag = "Subscriptions"
	add(api, route{"POST", "/subscriptions", "orders", tag, "createSubscription", "Create a subscription",
		"An order with its ticket, its licenses, and the first period. The same order number again gives what there is."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.SubscriptionRequest]) (wire.SubscriptionDone, error) {
			return reg.CreateSubscription(ctx, a, in.Body, in.once("POST", "/subscriptions"))
		})
	add(api, route{"GET", "/subscriptions", "read", tag, "listSubscriptions", "List subscriptions", "Newest first."},
		func(ctx context.Context, a registry.Actor, in *struct {
			State string `query:"state" enum:"active,ending,in_grace,lapsed,ended" doc:"Those in this state alone."`
			Page
		}) (wire.List[wire.Subscription], error) {
			return reg.Subscriptions(ctx, a, subscription.State(in.State), in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/subscriptions/report", "read", tag, "reportSubscriptions", "Report for billing",
		"What was agreed and used from one moment to another. Licenses × days are whole days in UTC and add up: what was added or fell away within a period counts from that day on."},
		func(ctx context.Context, a registry.Actor, in *struct {
			From   string `query:"from" required:"true" maxLength:"40" doc:"The beginning: a date such as 2027-01-01, or RFC 3339."`
			To     string `query:"to" required:"true" maxLength:"40" doc:"The end, which does not belong to it."`
			By     string `query:"by" enum:"subscription,customer,product" default:"subscription" doc:"One row for each."`
			Cursor string `query:"cursor" maxLength:"500" doc:"next of the page before; absent for the first."`
			Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"1000" doc:"How many rows at most."`
		}) (out wire.List[wire.BillingRow], err error) {
			from, err := license.ParseTime(in.From)
			if err != nil {
				return out, err
			}
			to, err := license.ParseTime(in.To)
			if err != nil {
				return out, err
			}
			return reg.Billing(ctx, a, in.By, from, to, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/subscriptions/{id}", "read", tag, "getSubscription", "Show a subscription", "With its licenses, and every line of what there is to bill. Its ticket is shown with the scope `orders`."},
		func(ctx context.Context, a registry.Actor, in *SubscriptionPath) (wire.Subscription, error) {
			return reg.Subscription(ctx, a, in.ID)
		})
	add(api, route{"GET", "/subscriptions/{id}/history", "read", tag, "getSubscriptionHistory", "History of a subscription", "Oldest first, with who and why."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SubscriptionPath
			Page
		}) (wire.List[wire.Event], error) {
			return reg.History(ctx, a, "subscription", in.ID, in.Cursor, in.Limit)
		})
	add(api, route{"POST", "/subscriptions/{id}/change", "orders", tag, "changeSubscription", "Change a subscription",
		"More licenses and another edition come at once, fewer licenses with the end of the last period. The answer has the lines that this makes, with their days."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SubscriptionPath
			Creation[wire.SubscriptionChange]
		}) (wire.SubscriptionDone, error) {
			return reg.ChangeSubscription(in.asked(ctx, "POST", "/subscriptions/"+in.ID+"/change"), a, in.ID, in.Body)
		})
	add(api, route{"POST", "/subscriptions/{id}/renew", "orders", tag, "renewSubscription", "Tell that a period was paid",
		"Where a system outside leads. Behind the last period, or from now on if the subscription has lapsed. A reference that was told before adds nothing."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SubscriptionPath
			Creation[wire.SubscriptionRenewal]
		}) (wire.SubscriptionDone, error) {
			return reg.RenewSubscription(in.asked(ctx, "POST", "/subscriptions/"+in.ID+"/renew"), a, in.ID, in.Body)
		})
	add(api, route{"POST", "/subscriptions/{id}/cancel", "orders", tag, "cancelSubscription", "Cancel a subscription",
		"It ends with its last period; or at once, which withdraws its licenses and needs the scope `licenses` too."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SubscriptionPath
			Creation[wire.SubscriptionCancellation]
		}) (wire.SubscriptionDone, error) {
			return reg.CancelSubscription(in.asked(ctx, "POST", "/subscriptions/"+in.ID+"/cancel"), a, in.ID, in.Body)
		})
	add(api, route{"POST", "/subscriptions/{id}/resume", "orders", tag, "resumeSubscription", "Resume a subscription",
		"Takes a cancellation back; after a lapse, a new period begins now."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SubscriptionPath
			Creation[wire.SubscriptionResumption]
		}) (wire.SubscriptionDone, error) {
			return reg.ResumeSubscription(in.asked(ctx, "POST", "/subscriptions/"+in.ID+"/resume"), a, in.ID, in.Body)
		})
}

// SubscriptionPath names a subscription.
type SubscriptionPath struct {
	ID string `path:"id" maxLength:"200" doc:"Its id, or the number of its order."`
}
