package vendorapi

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/internal/webhook"
	"licet/wire"
)

// webhookRoutes is where events are sent to.
func webhookRoutes(api huma.API, reg *registry.Registry) {
	add(api, route{"POST", "/webhooks", "webhooks", "Webhooks", "createWebhook", "Create a webhook",
		"Events from now on are sent there. The secret, or the public key, that the receiver verifies with is in this answer only."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.WebhookRequest]) (wire.Webhook, error) {
			return reg.CreateWebhook(in.asked(ctx, "POST", "/webhooks"), a, in.Body)
		})
	add(api, route{"GET", "/webhooks", "webhooks", "Webhooks", "listWebhooks", "List webhooks", "Oldest first, with how they are."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.List[wire.Webhook], error) {
			return reg.Webhooks(ctx, a)
		})
	add(api, route{"GET", "/webhooks/{id}", "webhooks", "Webhooks", "getWebhook", "Show a webhook", ""},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.Webhook, error) {
			return reg.Webhook(ctx, a, in.ID)
		})
	add(api, route{"PATCH", "/webhooks/{id}", "webhooks", "Webhooks", "changeWebhook", "Change a webhook",
		"What is absent stays. Made active, it gets everything that happened while it was paused or disabled."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Body wire.WebhookChange
		}) (wire.Webhook, error) {
			return reg.ChangeWebhook(ctx, a, in.ID, in.Body)
		})
	add(api, route{"DELETE", "/webhooks/{id}", "webhooks", "Webhooks", "deleteWebhook", "Delete a webhook", "With what was still to be sent to it."},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.Webhook, error) {
			return reg.DeleteWebhook(ctx, a, in.ID)
		})
	add(api, route{"POST", "/webhooks/{id}/rotate", "webhooks", "Webhooks", "rotateWebhook", "Make a new key",
		"Until the overlap ends messages carry signatures of both the new key and the ones before."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.WebhookRotation]
		}) (wire.Webhook, error) {
			return reg.RotateWebhook(in.asked(ctx, "POST", "/webhooks/"+in.ID+"/rotate"), a, in.ID, in.Body)
		})
	add(api, route{"POST", "/webhooks/{id}/test", "webhooks", "Webhooks", "testWebhook", "Send a test message",
		"Of the type " + registry.HookTest + ", also while it is paused; tried once. Look at its delivery for what came of it."},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.WebhookDelivery, error) {
			return reg.TestWebhook(ctx, a, in.ID)
		})
	add(api, route{"GET", "/webhooks/{id}/deliveries", "webhooks", "Webhooks", "listWebhookDeliveries", "List deliveries",
		"Newest event first. The latest 1000 that are delivered are kept, and all that are not."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Page
			State string `query:"state" enum:"pending,delivered,failed" doc:"Only these."`
		}) (wire.List[wire.WebhookDelivery], error) {
			return reg.WebhookDeliveries(ctx, a, in.ID, in.State, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/webhooks/{id}/deliveries/{event}", "webhooks", "Webhooks", "getWebhookDelivery", "Show a delivery", "With the message and every try."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Event string `path:"event" maxLength:"200" doc:"Id of the event."`
		}) (wire.WebhookDelivery, error) {
			return reg.WebhookDelivery(ctx, a, in.ID, in.Event)
		})
	add(api, route{"POST", "/webhooks/{id}/replay", "webhooks", "Webhooks", "replayWebhook", "Send events again",
		"One event, those of a span of time, or all that were given up; in their order, with the ids that they had. One call takes about 10000 events and says where to go on."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.WebhookReplay]
		}) (wire.WebhookReplayed, error) {
			return reg.ReplayWebhook(in.asked(ctx, "POST", "/webhooks/"+in.ID+"/replay"), a, in.ID, in.Body)
		})
	add(api, route{"GET", "/webhook-events", "webhooks", "Webhooks", "listWebhookEvents", "List types of events", "What webhooks tell of; the section webhooks of the description has the messages."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.List[wire.WebhookEvent], error) {
			return reg.WebhookEvents(ctx, a)
		})
}

// describeWebhooks writes what receivers get into the description.
func describeWebhooks(d *huma.OpenAPI) {
	whole := d.Components.Schemas.Schema(reflect.TypeFor[wire.WebhookData](), false, "")
	headers := map[string]string{
		webhook.HeaderID:        "Id of the event, the same whenever it is sent again.",
		webhook.HeaderTimestamp: "When it was sent, in seconds since 1970.",
		webhook.HeaderSignature: "Signatures as in Standard Webhooks, separated by spaces: v1,… or v1a,…",
	}
	answers := map[string]string{
		"2XX":     "Taken. Any other answer, or none within 15 seconds, is a failure: the message comes again.",
		"410":     "Nothing more is wanted: the webhook is paused.",
		"429":     "Nothing is sent for as long as Retry-After says.",
		"default": "A failure: the message comes again.",
	}
	var parameters []*huma.Param
	d.Components.Parameters = map[string]*huma.Param{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		d.Components.Parameters[name] = &huma.Param{Name: name, In: "header", Required: true, Description: headers[name], Schema: &huma.Schema{Type: huma.TypeString}}
		parameters = append(parameters, &huma.Param{Ref: "#/components/parameters/" + name})
	}
	responses := map[string]*huma.Response{}
	d.Components.Responses = map[string]*huma.Response{}
	for status, text := range answers {
		d.Components.Responses["webhook-"+status] = &huma.Response{Description: text}
		responses[status] = &huma.Response{Ref: "#/components/responses/webhook-" + status}
	}
	d.Webhooks = map[string]*huma.PathItem{}
	for _, e := range registry.WebhookEvents() {
		data := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, Required: append([]string{"event"}, e.Fields...)}
		for _, field := range append([]string{"event", "sequence"}, e.Fields...) {
			data.Properties[field] = whole.Properties[field]
		}
		message := &huma.Schema{Type: huma.TypeObject, Required: []string{"type", "timestamp", "data"}, Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Enum: []any{e.Type}},
			"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When it happened."},
			"data":      data,
		}}
		d.Webhooks[e.Type] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "on." + e.Type, Summary: e.Type, Description: e.Description, Tags: []string{"Webhooks"},
			Security:    []map[string][]string{}, // it is signed instead
			Parameters:  parameters,
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: message}}},
			Responses:   responses,
		}}
	}
}
