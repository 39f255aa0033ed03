package wire

import (
	"licet/license"
	"licet/refusal"
)

// MaxBulkItems is how many operations one job may have.
const MaxBulkItems = 100_000

// The kinds of jobs.
const (
	BulkOrders        = "orders"
	BulkSubscriptions = "subscriptions"
	BulkRenewals      = "renewals"
	BulkWithdraw      = "withdraw"
	BulkReplace       = "replace"
	BulkAssign        = "assign"
	BulkTakeBack      = "take_back"
	BulkUnits         = "units"
	BulkBlock         = "block"
	BulkUnblock       = "unblock"
	BulkPush          = "push"
)

// The states of a job.
const (
	BulkQueued   = "queued"
	BulkRunning  = "running"
	BulkFinished = "finished"
	BulkCanceled = "canceled"
)

// BulkRequest asks for many operations of one kind, which are carried out in this
// order, each on its own.
type BulkRequest[T any] struct {
	Items  []T  `json:"items" minItems:"1" maxItems:"100000"`
	DryRun bool `json:"dry_run,omitempty" doc:"Say for each item what would come of it, and change nothing. No item sees what another one would have done."`
}

// BulkDecision is BulkRequest for what needs a reason, which all items share.
type BulkDecision[T any] struct {
	Items  []T    `json:"items" minItems:"1" maxItems:"100000"`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Say for each item what would come of it, and change nothing. No item sees what another one would have done."`
}

// BulkPushes is the request for files; there is nothing to try.
type BulkPushes struct {
	Items []BulkContainer `json:"items" minItems:"1" maxItems:"100000"`
}

// BulkImport is a table of orders, as licet-central import takes it.
type BulkImport struct {
	CSV    string `json:"csv" minLength:"1" doc:"The table as text. Its first line names the columns: order, customer, product, and as needed quantity and terms such as seats or expires_at."`
	Resent bool   `json:"resent,omitempty" doc:"The orders were taken before the server was restored from a back-up, and lost."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Say for each order what would come of it, and change nothing."`
}

// BulkLicense names a license.
type BulkLicense struct {
	License license.ID `json:"license" minLength:"1" maxLength:"200"`
}

// BulkReplacement is one license that another one replaces.
type BulkReplacement struct {
	License license.ID `json:"license" minLength:"1" maxLength:"200"`
	With    string     `json:"with" minLength:"1" maxLength:"1000" doc:"Product code, and terms for this license alone, such as CAD-NET,seats=10."`
}

// BulkAssignment is one license that is sent to a container.
type BulkAssignment struct {
	License   license.ID     `json:"license" minLength:"1" maxLength:"200"`
	Container license.Serial `json:"container" minLength:"1" maxLength:"200"`
}

// BulkAddition is one license that gets units.
type BulkAddition struct {
	License license.ID `json:"license" minLength:"1" maxLength:"200"`
	Units   int64      `json:"units" minimum:"1" doc:"How many more."`
}

// BulkContainer names a container.
type BulkContainer struct {
	Container license.Serial `json:"container" minLength:"1" maxLength:"200"`
}

// BulkRenewal is one subscription of which periods were paid.
type BulkRenewal struct {
	Subscription string `json:"subscription" minLength:"1" maxLength:"200" doc:"Its id, or the number of its order."`
	Periods      int64  `json:"periods,omitempty" minimum:"1" maximum:"120" doc:"How many; 1 if absent."`
	Reference    string `json:"reference,omitempty" maxLength:"100" doc:"What names this payment for good, such as an invoice's number: the same one again adds nothing."`
}

// Bulk is a job.
type Bulk struct {
	ID       string       `json:"id"`
	Kind     string       `json:"kind" doc:"orders, subscriptions, renewals, withdraw, replace, assign, take_back, units, block, unblock or push."`
	State    string       `json:"state" doc:"queued, running, finished (all items were looked at, however they went) or canceled."`
	DryRun   bool         `json:"dry_run"`
	Total    int64        `json:"total" doc:"Items in all."`
	Done     int64        `json:"done" doc:"Items that were carried out."`
	Failed   int64        `json:"failed" doc:"Items that were refused; nothing of them was done."`
	Reason   string       `json:"reason,omitempty"`
	Actor    string       `json:"actor"`
	Created  license.Time `json:"created_at"`
	Started  license.Time `json:"started_at,omitzero"`
	Ended    license.Time `json:"ended_at,omitzero"`
	Waits    refusal.Code `json:"waits,omitempty" doc:"Why it does not go on at the moment: what no item would get past, such as issuing_stopped. It goes on by itself."`
	PollWait int64        `json:"poll_after_seconds,omitempty" doc:"When it is worth looking again; absent once it has ended."`
}

// Ended reports whether nothing more happens to the job.
func (b Bulk) Over() bool { return b.State == BulkFinished || b.State == BulkCanceled }

// BulkResult is what came of one item.
type BulkResult struct {
	Row   int64  `json:"row" doc:"Which one: its place among the items, from 1; of an imported table, its line."`
	State string `json:"state" doc:"done or failed."`

	// Why it failed.
	Code    refusal.Code   `json:"code,omitempty"`
	Message string         `json:"message,omitempty"`
	Hint    string         `json:"hint,omitempty"`
	Details map[string]any `json:"details,omitempty"`

	// What it was about, and what came of it.
	Order        string         `json:"order,omitempty" doc:"Number of the order."`
	Customer     string         `json:"customer,omitempty"`
	Ticket       license.Ticket `json:"ticket,omitempty" doc:"Of the order, with the scope orders."`
	New          bool           `json:"new,omitempty" doc:"The order, or subscription, was made."`
	Added        int            `json:"added,omitempty" doc:"Licenses that were added to the order."`
	Subscription string         `json:"subscription,omitempty"`
	Ends         license.Time   `json:"ends_at,omitzero" doc:"Of the subscription's last period."`
	Changed      bool           `json:"changed,omitempty" doc:"false: the subscription was so already."`
	License      license.ID     `json:"license,omitempty"`
	Product      string         `json:"product,omitempty"`
	When         string         `json:"when,omitempty" doc:"now, or next_contact of the container."`
	Container    license.Serial `json:"container,omitempty"`
	With         license.ID     `json:"with,omitempty" doc:"The license that comes in its place."`
	Update       string         `json:"update,omitempty" doc:"The update file."`
}

// The states of a result.
const (
	BulkDone   = "done"
	BulkFailed = "failed"
)
