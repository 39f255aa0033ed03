package wire

import (
	"licet/license"
	"licet/subscription"
)

// The states of a webhook.
const (
	WebhookActive   = "active"
	WebhookFailing  = "failing"  // active, and nothing gets through at the moment
	WebhookPaused   = "paused"   // by staff, or because the receiver said that it is gone
	WebhookDisabled = "disabled" // nothing got through for days
)

// WebhookRequest makes a webhook.
type WebhookRequest struct {
	URL         string   `json:"url" minLength:"1" maxLength:"2000" doc:"Where messages go to, such as https://shop.example.com/licet."`
	Events      []string `json:"events,omitempty" maxItems:"50" doc:"Types of events, such as order.created; a star stands for any text: license.* are all that begin so. All types if absent."`
	Description string   `json:"description,omitempty" maxLength:"200" doc:"What it is for."`
	Signature   string   `json:"signature,omitempty" enum:"v1,v1a" doc:"How messages are signed: v1 with a secret that both sides know (HMAC-SHA256), v1a with a key pair (Ed25519). v1 if absent."`
	Secret      string   `json:"secret,omitempty" maxLength:"200" doc:"A key to sign with, whsec_… or whsk_…; one is made if absent."`
}

// WebhookChange changes what it names of a webhook.
type WebhookChange struct {
	URL         *string  `json:"url,omitempty" minLength:"1" maxLength:"2000"`
	Events      []string `json:"events,omitempty" maxItems:"50"`
	Description *string  `json:"description,omitempty" maxLength:"200"`
	State       string   `json:"state,omitempty" enum:"active,paused" doc:"While it is paused nothing is sent, and nothing is lost: what happens meanwhile is sent once it is active."`
}

// WebhookRotation makes a new key for a webhook.
type WebhookRotation struct {
	Overlap   *license.Duration `json:"overlap,omitempty" doc:"How long messages are signed with the keys before too, such as 24h, which it is if absent; 0s ends them at once."`
	Signature string            `json:"signature,omitempty" enum:"v1,v1a" doc:"As with the key before if absent."`
	Secret    string            `json:"secret,omitempty" maxLength:"200" doc:"A key to sign with, whsec_… or whsk_…; one is made if absent."`
}

// Webhook is where events are sent to.
type Webhook struct {
	ID          string       `json:"id"`
	URL         string       `json:"url"`
	Events      []string     `json:"events"`
	Description string       `json:"description,omitempty"`
	State       string       `json:"state"`            // active, failing, paused or disabled
	Reason      string       `json:"reason,omitempty"` // of the state, for people
	Since       license.Time `json:"since,omitzero"`   // when the state began; absent while it is active
	Created     license.Time `json:"created_at"`
	CreatedBy   string       `json:"created_by"`
	Keys        []WebhookKey `json:"keys"`                  // the current one first
	Pending     int64        `json:"pending"`               // events that are found and not delivered
	Failed      int64        `json:"failed"`                // events that were given up
	Behind      int64        `json:"behind"`                // events of the log, wanted or not, that were not looked at yet
	Succeeded   license.Time `json:"succeeded_at,omitzero"` // something got through last
	Next        license.Time `json:"next_at,omitzero"`      // nothing is sent before
	Secret      string       `json:"secret,omitempty"`      // what the receiver verifies with, in the answer that made it only
}

// WebhookKey is a key that messages of a webhook are signed with.
type WebhookKey struct {
	ID        string       `json:"id"`
	Signature string       `json:"signature"`        // v1 or v1a
	Public    string       `json:"public,omitempty"` // whpk_…, what a receiver verifies v1a with
	Created   license.Time `json:"created_at"`
	Ends      license.Time `json:"ends_at,omitzero"` // of a key that was replaced
}

// WebhookDelivery is one event for one webhook.
type WebhookDelivery struct {
	Event    string           `json:"event"` // its id, which is the message's too
	Type     string           `json:"type"`
	Time     license.Time     `json:"time"`  // of the event
	State    string           `json:"state"` // pending, delivered or failed
	Attempts int64            `json:"attempts"`
	Last     license.Time     `json:"last_at,omitzero"`
	Next     license.Time     `json:"next_at,omitzero"`  // of a pending one that waits
	Status   int64            `json:"status,omitempty"`  // of the latest answer; absent for no answer
	Message  string           `json:"message,omitempty"` // what is sent; where one delivery is shown
	Tries    []WebhookAttempt `json:"tries,omitempty"`   // latest first; where one delivery is shown
}

// WebhookAttempt is one try to deliver.
type WebhookAttempt struct {
	Time   license.Time `json:"time"`
	Millis int64        `json:"milliseconds"`
	Status int64        `json:"status,omitempty"` // absent for no answer
	Answer string       `json:"answer,omitempty"` // its first 1024 bytes
	Fault  string       `json:"fault,omitempty"`  // why there was no answer
}

// WebhookReplay sends events again: one, those of a span of time, or all that were
// given up.
type WebhookReplay struct {
	Event  string       `json:"event,omitempty" maxLength:"200" doc:"This one."`
	From   license.Time `json:"from,omitzero" doc:"Those that happened from this time on."`
	To     license.Time `json:"to,omitzero" doc:"With from: and before this time; until now if absent."`
	Failed bool         `json:"failed,omitempty" doc:"All that were given up."`
	Cursor string       `json:"cursor,omitempty" maxLength:"100" doc:"With from: next of the answer before."`
}

// WebhookReplayed says what will be sent again.
type WebhookReplayed struct {
	Queued int64  `json:"queued"`
	Next   string `json:"next,omitempty"` // where more of the span is left: the cursor of the next call
}

// WebhookEvent is a type of event that webhooks tell of.
type WebhookEvent struct {
	Type        string   `json:"type"`
	Description string   `json:"description"`
	Fields      []string `json:"fields"` // of the data, beside event and sequence
}

// WebhookMessage is the body of a message.
type WebhookMessage struct {
	Type string       `json:"type"`
	Time license.Time `json:"timestamp"` // when it happened
	Data WebhookData  `json:"data"`
}

// WebhookData is what a message says of an event: ids to ask the management
// interface about, and what has become of them. It holds no secret and no text that
// people wrote.
type WebhookData struct {
	Event      string             `json:"event" doc:"Id of the event, as in the audit trail; the same however often it is sent."`
	Sequence   *int64             `json:"sequence,omitempty" doc:"Place of the event in the audit log: of two events the later one has the larger."`
	Order      string             `json:"order,omitempty" doc:"Number of the order."`
	License    license.ID         `json:"license,omitempty"`
	Product    string             `json:"product,omitempty" doc:"Code of the product, bundle or category."`
	Generation license.Generation `json:"generation,omitempty" doc:"Of the license."`
	State      license.State      `json:"state,omitempty" doc:"Of the license, after the event."`
	Container  license.Serial     `json:"container,omitempty" doc:"Serial of the container."`
	Recovery   uint64             `json:"recovery,omitempty" doc:"Number of the recovery."`
	Licenses   *int64             `json:"licenses,omitempty" doc:"How many licenses were added, or withdrawn."`
	Part       license.ID         `json:"part,omitempty" doc:"The other part of the license: that was split off, or that has the seats or units now."`
	Seats      int64              `json:"seats,omitempty" doc:"How many seats went from one part to the other."`
	Units      *Units             `json:"units,omitempty" doc:"The counter of the license, after the event; where it was split or merged, the units that went from one part to the other."`
	Since      license.Time       `json:"since,omitzero" doc:"Moment of the back-up; what came after it is lost."`

	Subscription      string             `json:"subscription,omitempty" doc:"Id of the subscription."`
	SubscriptionState subscription.State `json:"subscription_state,omitempty" doc:"Of the subscription, after the event: active, ending, in_grace, lapsed or ended."`
	Quantity          int64              `json:"quantity,omitempty" doc:"How many licenses the subscription is of, after the event."`
	Ends              license.Time       `json:"ends_at,omitzero" doc:"The end of the subscription's last period."`
	Usable            license.Time       `json:"usable_until,omitzero" doc:"Until when its licenses may be used, grace included, unless something is done."`

	Bulk   string `json:"bulk,omitempty" doc:"Id of the job."`
	Kind   string `json:"kind,omitempty" doc:"Of the job."`
	DryRun *bool  `json:"dry_run,omitempty" doc:"The job only tried, and changed nothing."`
	Total  *int64 `json:"total,omitempty" doc:"Items of the job."`
	Done   *int64 `json:"done,omitempty" doc:"Items that were carried out."`
	Failed *int64 `json:"failed,omitempty" doc:"Items that were refused."`
}
