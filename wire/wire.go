// Package wire holds what travels as JSON between the programs: requests,
// answers and paths. Both ends share these structs, and the server's operations
// return them, so that no third shape exists.
//
// Times are RFC 3339 in UTC, durations are texts such as "7d".
package wire

import (
	"encoding/json"

	"licet/container"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
)

// Paths of the gateway for machines.
const (
	PathProgram   = "/gateway/v1/program"
	PathReceipt   = "/gateway/v1/receipt"
	PathUpdates   = "/gateway/v1/updates" // several requests at once: UpdatesRequest, UpdatesAnswer
	PathRestore   = "/gateway/v1/restore" // RestoreRequest, RestoreAnswer
	PathTime      = "/gateway/v1/time"
	PathOrigins   = "/gateway/v1/origins"   // the signed list of origins whose pages may speak to machines
	PathBlockList = "/gateway/v1/blocklist" // GET ?from=N: a file with the news since list N; 0 is the whole list
	PathWellKnown = "/.well-known/licet"
	PathHealth    = "/healthz"
	PathReady     = "/readyz"
)

// MediaFile is the media type of requests, updates and receipts.
const MediaFile = "application/vnd.licet"

// Problem is an error as RFC 9457 has it, with our stable code.
type Problem struct {
	Type    string         `json:"type,omitempty"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail"`
	Code    refusal.Code   `json:"code"`
	Hint    string         `json:"hint,omitempty"`
	Details map[string]any `json:"details,omitempty"`
	Request string         `json:"request,omitempty"`
}

// Refusal turns a problem back into the refusal it carries.
func (p Problem) Refusal() *refusal.Refusal {
	return &refusal.Refusal{Code: p.Code, Message: p.Detail, Hint: p.Hint, Details: p.Details}
}

// WellKnown is what a vendor's server says of itself without a login.
type WellKnown struct {
	Vendor      string `json:"vendor"`    // name for people
	VendorID    string `json:"vendor_id"` // hash of the root key
	Environment string `json:"environment"`
	Trust       string `json:"trust"` // the trust bundle, as in vendor.trust
}

// Ready is what a server says that can do its work.
type Ready struct {
	Status string `json:"status"`
	// IssuingStopped is since when the vendor has stopped issuing; absent while he has
	// not.
	IssuingStopped license.Time `json:"issuing_stopped,omitzero"`
}

// List is a page of things. Next is the cursor of the following page, empty at
// the end.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// OrderItem is one position of an order. Sending an order number again states
// the order's totals: what is there already is not added twice.
type OrderItem struct {
	Product  string   `json:"product" doc:"Product code."`
	Quantity int64    `json:"quantity,omitempty" minimum:"1" maximum:"100000" doc:"Number of licenses; 1 if absent."`
	Override []string `json:"override,omitempty" doc:"Terms for this position alone, such as seats=10 or expires_at=2027-06-30."`
}

// OrderRequest creates or extends an order.
type OrderRequest struct {
	Number   string      `json:"number,omitempty" maxLength:"100" doc:"The shop's own order number; one is made if absent."`
	Customer string      `json:"customer" minLength:"1" maxLength:"200" doc:"Name of the customer."`
	Items    []OrderItem `json:"items" minItems:"1" maxItems:"1000"`
	DryRun   bool        `json:"dry_run,omitempty" doc:"Say what would be added, and add nothing."`
	Resent   bool        `json:"resent,omitempty" doc:"The order was taken before the server was restored from a back-up, and lost: what it adds is held back until a container brings it or staff release it."`
}

// Order is an order with its ticket and licenses.
type Order struct {
	Order    string         `json:"order"`
	Number   string         `json:"number"`
	Customer string         `json:"customer"`
	Created  license.Time   `json:"created_at"`
	Ticket   license.Ticket `json:"ticket,omitempty"`
	Added    int            `json:"added"`         // licenses that this call added
	New      bool           `json:"new,omitempty"` // this call made the order
	DryRun   bool           `json:"dry_run,omitempty"`
	Licenses []License      `json:"licenses"`
}

// License is one license as staff see it.
type License struct {
	ID           license.ID         `json:"id"`
	Product      string             `json:"product"`
	Name         string             `json:"name"`
	State        license.State      `json:"state"`
	Place        license.Place      `json:"place"`
	Meaning      string             `json:"meaning"`
	Generation   license.Generation `json:"generation"`
	Container    license.Serial     `json:"container,omitempty"`
	Order        string             `json:"order"`
	Number       string             `json:"number"`
	Customer     string             `json:"customer"`
	Features     []string           `json:"features"`
	Terms        license.Terms      `json:"terms"`
	Created      license.Time       `json:"created_at"`
	Activated    license.Time       `json:"activated_at,omitzero"` // first activation
	ExpiresAt    license.Time       `json:"expires_at,omitzero"`
	Replaces     license.ID         `json:"replaces,omitempty"`
	ReplacedBy   license.ID         `json:"replaced_by,omitempty"`
	KeptFor      license.Serial     `json:"kept_for,omitempty"`    // the container that is to get it
	Origin       license.ID         `json:"part_of,omitempty"`     // the license that it was split from
	MergedInto   license.ID         `json:"merged_into,omitempty"` // the part that has its seats or units now
	Parts        []Part             `json:"parts,omitempty"`       // of a license that was split: itself and all others, where one license is shown
	HeldBack     string             `json:"held_back,omitempty"`   // why it is not given out since the server was restored from a back-up
	Withdrawn    bool               `json:"withdrawn,omitempty"`
	Blocked      *Blocked           `json:"blocked,omitempty"`      // its container is blocked
	Lent         *container.Lent    `json:"lent,omitempty"`         // seats of it that are out, as its container told last
	Units        *Units             `json:"units,omitempty"`        // its counter, as its container told last
	Subscription string             `json:"subscription,omitempty"` // that it belongs to
	Pending      []string           `json:"pending"`                // vendor actions that wait for the container
	Can          []string           `json:"can"`                    // what can be done with it now, for people
}

// Part is some of the seats or units of a license that was split.
type Part struct {
	License   license.ID     `json:"license"`
	Seats     int64          `json:"seats"`
	Units     *Units         `json:"units,omitempty"` // its counter, of a license that is sold by units
	State     license.State  `json:"state"`
	Container license.Serial `json:"container,omitempty"`
}

// Units is the counter of a license.
type Units struct {
	Total int64 `json:"total"`
	Used  int64 `json:"used"`
	Left  int64 `json:"left"`
}

// UnitsOf is the counter of a license of which some units are used; nil if it has
// none.
func UnitsOf(t license.Terms, used int64) *Units {
	if t.Units == 0 {
		return nil
	}
	return &Units{Total: t.Units, Used: used, Left: max(0, t.Units-used)}
}

// Ticket is a ticket as staff see it.
type Ticket struct {
	Ticket   license.Ticket `json:"ticket"`
	Order    string         `json:"order"`
	Number   string         `json:"number"`
	Customer string         `json:"customer"`
	Created  license.Time   `json:"created_at"`
	Licenses []License      `json:"licenses"`
}

// TicketQuery asks about a ticket; it travels in a body, never in an address.
type TicketQuery struct {
	Ticket string `json:"ticket" minLength:"1" maxLength:"100"`
}

// Container is a container as staff see it.
type Container struct {
	Serial     license.Serial   `json:"serial"`
	Kind       license.Kind     `json:"kind"`
	Status     string           `json:"status"` // ok, flagged, blocked
	Issued     uint64           `json:"issued"` // last step issued
	Acked      uint64           `json:"acked"`  // last step confirmed by the container
	Binding    string           `json:"binding,omitempty"`
	FirstSeen  license.Time     `json:"first_seen_at"`
	LastSeen   license.Time     `json:"last_seen_at"`
	Flag       *Flag            `json:"flag,omitempty"`
	Blocked    *Blocked         `json:"blocked,omitempty"`
	Challenged bool             `json:"challenged"`
	Lent       []container.Lent `json:"lent,omitempty"` // seats of its licenses that are out, as it told last
	Licenses   []License        `json:"licenses"`
	Pending    []string         `json:"pending"`
}

// Blocked says why the vendor has blocked a container.
type Blocked struct {
	Reason string       `json:"reason"`
	Time   license.Time `json:"time"`
	Locked bool         `json:"locked"` // an update that locks it was issued
}

// Flag says why a container contradicts the record, and at which step it is.
type Flag struct {
	Reason string       `json:"reason"`
	Time   license.Time `json:"time"`
	Number uint64       `json:"number"`
	// Acceptable is false where accepting cannot mend it (the plans differ).
	Acceptable bool `json:"acceptable"`
}

// Event is one entry of a history or of the audit trail.
type Event struct {
	ID       string          `json:"id"`
	Time     license.Time    `json:"time"`
	Actor    string          `json:"actor"`
	Event    string          `json:"event"`
	Subjects []Subject       `json:"subjects"`
	Reason   string          `json:"reason,omitempty"`
	Request  string          `json:"request,omitempty"`
	Details  json.RawMessage `json:"details,omitempty"`
	Sequence *int64          `json:"sequence,omitempty"` // place in the audit log, once sequenced
	Sentence string          `json:"sentence"`           // for people
}

// Subject names a thing an event is about.
type Subject struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Reason is a body that carries why staff did something.
type Reason struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// When an order of the vendor takes effect.
const (
	Now         = "now"          // it is done
	NextContact = "next_contact" // at the next contact of the container
)

// Ordered is what the vendor's decision about licenses does, or would do.
type Ordered struct {
	DryRun  bool             `json:"dry_run"`
	Done    []OrderedLicense `json:"done"`
	Refused []RefusedLicense `json:"refused"`
}

// OrderedLicense is one license that a decision of the vendor is about.
type OrderedLicense struct {
	License     license.ID     `json:"license"`
	Product     string         `json:"product"`
	When        string         `json:"when" doc:"now, or next_contact of the container."`
	Container   license.Serial `json:"container,omitempty"`
	With        license.ID     `json:"with,omitempty"` // the license that comes in its place
	WithProduct string         `json:"with_product,omitempty"`

	// Lent is what stays out of it on the user's network until it ends.
	Lent *container.Lent `json:"lent,omitempty"`
	// Units is its counter after units were added.
	Units *Units `json:"units,omitempty"`
}

// RefusedLicense is one license that a decision cannot be carried out for.
type RefusedLicense struct {
	License license.ID     `json:"license"`
	Product string         `json:"product"`
	Code    refusal.Code   `json:"code"`
	Message string         `json:"message"`
	Hint    string         `json:"hint,omitempty"`
	Details map[string]any `json:"details,omitempty"`
}

// MaxUpdates is how many requests may go to the server at once.
const MaxUpdates = 64

// UpdatesRequest is several request files in one contact, such as those of all
// containers of a machine.
type UpdatesRequest struct {
	Requests []string `json:"requests"`
}

// UpdatesAnswer has what each request of an UpdatesRequest would have been
// answered alone, in their order.
type UpdatesAnswer struct {
	Answers []UpdateAnswer `json:"answers"`
}

// UpdateAnswer is an update file, or why there is none.
type UpdateAnswer struct {
	Update  string   `json:"update,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// Carried is what became of a file that a person has carried from a machine.
type Carried struct {
	Container license.Serial      `json:"container"`
	Receipt   bool                `json:"receipt,omitempty"` // it was a receipt, and is taken in
	Update    []byte              `json:"update,omitempty"`  // the answer to a request, to be carried back
	Outcomes  []container.Outcome `json:"outcomes,omitempty"`
	// Names are the products' names of the licenses that the outcomes are about.
	Names    map[license.ID]string `json:"names,omitempty"`
	Repeated bool                  `json:"repeated,omitempty"` // the request was answered before; this is that answer
}

// TicketPage is what its holder sees of one or several tickets, with no account.
type TicketPage struct {
	Tickets    []PageTicket   `json:"tickets"`
	Licenses   []PageLicense  `json:"licenses"`
	Recoveries []PageRecovery `json:"recoveries"` // newest first
}

// PageTicket is one ticket as it was entered.
type PageTicket struct {
	Ticket   string       `json:"ticket"`
	Known    bool         `json:"known"`
	Code     refusal.Code `json:"code,omitempty"` // why it is not known
	Message  string       `json:"message,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Number   string       `json:"number,omitempty"` // of the order
	Customer string       `json:"customer,omitempty"`
	Created  license.Time `json:"created_at,omitzero"`
}

// PageLicense is one license of a ticket. Withdrawn ones are not among them.
type PageLicense struct {
	ID           license.ID         `json:"id"`
	Ticket       license.Ticket     `json:"ticket"`
	Product      string             `json:"product"`
	Name         string             `json:"name"`
	State        license.State      `json:"state"`
	Generation   license.Generation `json:"generation"`
	Features     []string           `json:"features"`
	Terms        license.Terms      `json:"terms"`
	Activated    license.Time       `json:"activated_at,omitzero"`
	Requires     []string           `json:"requires,omitempty"` // products that must be in the same container
	Kinds        []license.Kind     `json:"kinds"`              // of containers that it may go into
	Container    license.Serial     `json:"container,omitempty"`
	Kind         license.Kind       `json:"kind,omitempty"` // of that container
	LastSeen     license.Time       `json:"last_seen_at,omitzero"`
	KeptFor      license.Serial     `json:"kept_for,omitempty"` // the container that is to get it
	Leaving      bool               `json:"leaving,omitempty"`  // withdrawn by the vendor; it goes at the next contact
	Activate     bool               `json:"can_activate"`
	Return       bool               `json:"can_return"`        // by the container that holds it
	Split        bool               `json:"can_split"`         // so many of its seats or units as somebody wants
	Origin       license.ID         `json:"part_of,omitempty"` // the license that it was split from
	Continue     bool               `json:"can_continue"`      // a transfer that is not confirmed
	Units        *Units             `json:"units,omitempty"`   // its counter, as its container told last
	Restore      *PageRestore       `json:"restore,omitempty"`
	Subscription *PageSubscription  `json:"subscription,omitempty"` // that it belongs to
	// Whole is what would become of it if its whole container were lost, by what
	// became of the machine.
	Whole map[recovery.Hardware]PageRestore `json:"restore_whole,omitempty"`
}

// PageRestore is what would become of a license that is reported lost now.
type PageRestore struct {
	Verdict    string        `json:"verdict"` // grant, ask or refuse
	Code       refusal.Code  `json:"code"`
	Rule       recovery.Rule `json:"rule"` // that decided
	Message    string        `json:"message"`
	Hint       string        `json:"hint,omitempty"`
	Again      license.Time  `json:"again,omitzero"`
	Stop       license.Stop  `json:"stop"`
	Conditions string        `json:"conditions,omitempty"` // to be accepted first
}

// PageRecovery is a report of a loss as the one who made it sees it.
type PageRecovery struct {
	Number   uint64            `json:"number"`
	State    string            `json:"state"`
	Created  license.Time      `json:"created_at"`
	Decided  license.Time      `json:"decided_at,omitzero"`
	Decision string            `json:"decision,omitempty"` // why
	Reason   string            `json:"reason"`
	Licenses []RecoveryLicense `json:"licenses"`
	Notes    []Note            `json:"notes"`
}

// RestoreRequest reports lost licenses. The tickets authorize it.
type RestoreRequest struct {
	Tickets   []string       `json:"tickets"`
	Licenses  []license.ID   `json:"licenses,omitempty"`  // those lost; all of the tickets' that are with a user if absent
	Container license.Serial `json:"container,omitempty"` // that was lost
	Whole     bool           `json:"whole,omitempty"`     // the container with everything in it
	Damaged   bool           `json:"damaged,omitempty"`   // it is there, but cannot be read
	Reason    string         `json:"reason,omitempty"`
	Evidence  string         `json:"evidence,omitempty"` // such as a police report's number
	Contact   string         `json:"contact,omitempty"`  // e-mail address for the decision
	Language  string         `json:"language,omitempty"` // for the decision, such as en or de
	Accept    bool           `json:"accept_conditions,omitempty"`
	Report    string         `json:"report,omitempty"` // receipt file of the container that is to have them: shows the same machine
	// Here are licenses that work on the machine that asks, hence are not lost:
	// they are left out where Licenses names none.
	Here []license.ID `json:"here,omitempty"`
}

// RestoreAnswer says what became of a report of lost licenses. Granted ones are
// activated as usual.
type RestoreAnswer struct {
	Recovery uint64        `json:"recovery,omitempty"` // number of the report; 0 if all was refused
	State    string        `json:"state"`              // granted, waiting or refused
	Licenses []LostLicense `json:"licenses"`
	// Restored are licenses of the report that were restored before and have not
	// been activated since: whoever repeats a report goes on with them.
	Restored []license.ID `json:"restored,omitempty"`
}

// LostLicense is one license of a report of a loss.
type LostLicense struct {
	License   license.ID     `json:"license"`
	Product   string         `json:"product"`
	Name      string         `json:"name"`
	Container license.Serial `json:"container,omitempty"`
	Verdict   string         `json:"verdict"` // grant, ask or refuse
	Code      refusal.Code   `json:"code"`
	Message   string         `json:"message"`
	Hint      string         `json:"hint,omitempty"`
	Again     license.Time   `json:"again,omitzero"`     // when it can be restored by policy again
	Recovery  uint64         `json:"recovery,omitempty"` // the report in which it waits for a decision, or was refused
	Question  string         `json:"question,omitempty"` // of the vendor's staff in it, to be answered
}

// Recovery is a report of lost licenses as staff see it.
type Recovery struct {
	Number     uint64            `json:"number"`
	State      string            `json:"state"` // waiting, asked, granted, approved, refused or withdrawn
	Scope      string            `json:"scope"` // license or container
	Hardware   string            `json:"hardware,omitempty"`
	Container  license.Serial    `json:"container,omitempty"`
	Customer   string            `json:"customer"`
	Reason     string            `json:"reason"`
	Evidence   string            `json:"evidence,omitempty"`
	Contact    string            `json:"contact,omitempty"`
	Language   string            `json:"language,omitempty"`
	Conditions string            `json:"conditions,omitempty"` // the text that was accepted
	Accepted   license.Time      `json:"accepted_at,omitzero"`
	Created    license.Time      `json:"created_at"`
	Decided    license.Time      `json:"decided_at,omitzero"`
	DecidedBy  string            `json:"decided_by,omitempty"`
	Decision   string            `json:"decision,omitempty"` // why
	Licenses   []RecoveryLicense `json:"licenses"`
	Notes      []Note            `json:"notes"`
}

// RecoveryLicense is one license of a recovery.
type RecoveryLicense struct {
	License    license.ID         `json:"license"`
	Product    string             `json:"product"`
	Generation license.Generation `json:"generation"` // when it was reported
	Container  license.Serial     `json:"container"`  // where it was then
	State      license.State      `json:"state"`      // now
	Verdict    string             `json:"verdict"`    // of the policy
	Outcome    string             `json:"outcome"`    // waiting, restored, refused, or what stood against it
	Because    []recovery.Reason  `json:"because"`
	Restores   []PastRestore      `json:"restores,omitempty"` // of this license, ever; where one recovery is shown
	Allowed    int64              `json:"allowed,omitempty"`  // restores beyond the policy that staff have allowed and nobody has used yet; as restores
}

// Note is something said about a recovery.
type Note struct {
	Actor string       `json:"actor"`
	Text  string       `json:"text"`
	Time  license.Time `json:"time"`
}

// Block is one entry of the block list.
type Block struct {
	Kind       string             `json:"kind"` // license or container
	Subject    string             `json:"subject"`
	Generation license.Generation `json:"generation,omitempty"` // of a license
	Number     uint64             `json:"number"`               // of the list with which it came
	Reason     string             `json:"reason"`
	Time       license.Time       `json:"time"`
}

// Approval restores what waits in a recovery.
type Approval struct {
	Reason   string        `json:"reason,omitempty" maxLength:"1000"`
	Licenses []license.ID  `json:"licenses,omitempty" doc:"These alone; the others are refused."`
	Stop     license.Stop  `json:"stop,omitempty" enum:"withdraw,block,return" doc:"How the lost copy is stopped; as the policy says if absent."`
	Found    license.Found `json:"found,omitempty" enum:"withdrawn,blocked,revived" doc:"What happens when it turns up; as the policy says if absent."`
}

// Explanation says what would be decided about a license that was lost now.
type Explanation struct {
	License   license.ID        `json:"license"`
	Product   string            `json:"product"`
	Container license.Serial    `json:"container,omitempty"`
	Decision  recovery.Decision `json:"decision"`
}

// CatalogRequest applies a catalog file.
type CatalogRequest struct {
	YAML   string `json:"yaml" maxLength:"4194304" doc:"The catalog file's text."`
	DryRun bool   `json:"dry_run,omitempty"`
}

// CatalogResult is the difference a catalog makes.
type CatalogResult struct {
	DryRun  bool            `json:"dry_run"`
	Changes []CatalogChange `json:"changes"`
}

// CatalogChange is one product or category that differs.
type CatalogChange struct {
	Kind   string   `json:"kind"` // product or category
	Code   string   `json:"code"`
	Change string   `json:"change"` // created, changed or unchanged
	Fields []string `json:"fields,omitempty"`
}

// AuditReport is the result of audit verify.
type AuditReport struct {
	Whole       bool           `json:"whole"`
	Sequenced   int64          `json:"sequenced"` // events under a signed checkpoint
	Tail        int64          `json:"tail"`      // events not sequenced yet
	Checkpoints int64          `json:"checkpoints"`
	Problems    []AuditProblem `json:"problems"`
}

// AuditProblem names a row of the trail that does not prove.
type AuditProblem struct {
	Event string `json:"event,omitempty"`
	What  string `json:"what"`
}

// Token is an API token as it is listed: never its secret.
type Token struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Scopes  []string     `json:"scopes"`
	Created license.Time `json:"created_at"`
	Expires license.Time `json:"expires_at,omitzero"`
	Used    license.Time `json:"used_at,omitzero"`
	Revoked license.Time `json:"revoked_at,omitzero"`
	Secret  string       `json:"token,omitempty"` // in the answer to its creation only
}

// TokenRequest creates an API token.
type TokenRequest struct {
	Name   string           `json:"name" minLength:"1" maxLength:"100"`
	Scopes []string         `json:"scopes" minItems:"1" doc:"read, orders, licenses, recovery, containers, catalog, audit, tokens, webhooks or admin (all of them)."`
	TTL    license.Duration `json:"ttl,omitempty" doc:"How long it is valid, such as 90d; for ever if absent."`
}

// Programming is what activate, deactivate, import, restore and update answer.
type Programming struct {
	Container license.Serial      `json:"container"`
	Counter   uint64              `json:"counter"`
	Applied   []container.Change  `json:"applied"`
	Outcomes  []container.Outcome `json:"outcomes"`
	Receipt   string              `json:"receipt,omitempty"` // delivered, or waiting for the next contact
}

// Gap is what the server does not know since it was restored from a back-up.
type Gap struct {
	Open        bool             `json:"open"`
	Epoch       uint64           `json:"epoch"`                   // of the record; 1 if it never was restored
	Since       license.Time     `json:"since,omitzero"`          // of the back-up
	Opened      license.Time     `json:"opened_at,omitzero"`      // when the server came back
	Closed      license.Time     `json:"closed_at,omitzero"`      // when staff closed the gap
	HeldBack    int64            `json:"held_back"`               // licenses that are not given out
	HeldBackFor map[string]int64 `json:"held_back_for,omitempty"` // the same by why
	Silent      int64            `json:"silent"`                  // containers that have not been in contact since
	Whole       bool             `json:"whole,omitempty"`         // it came back with its journal, and nothing was lost
	Outdated    string           `json:"outdated,omitempty"`      // what shows that another record is newer; nothing is handed out then
}

// Release gives out licenses again that are held back.
type Release struct {
	Licenses []license.ID `json:"licenses,omitempty" maxItems:"500" doc:"Those to release."`
	All      bool         `json:"all,omitempty" doc:"All that are held back, but for those that an order of the vendor had removed."`
	Block    bool         `json:"block,omitempty" doc:"The block list names the generation that ends, which every machine hears of."`
	Reason   string       `json:"reason" minLength:"1" maxLength:"1000" doc:"Why, for the histories."`
}

// Released is what became of it.
type Released struct {
	Released int              `json:"released"`
	Refused  []RefusedLicense `json:"refused,omitempty"`
}

// Backup is a back-up and what it is of.
type Backup struct {
	File        string       `json:"file,omitempty"`
	Bytes       int64        `json:"bytes,omitempty"`
	Vendor      string       `json:"vendor"`
	VendorID    string       `json:"vendor_id"`
	Environment string       `json:"environment"`
	Epoch       uint64       `json:"epoch"`
	Time        license.Time `json:"time"`     // of the snapshot
	Schema      int64        `json:"schema"`   // the last migration
	Database    string       `json:"database"` // the kind of database that it was made of
	Events      int64        `json:"events"`
	Newest      license.Time `json:"newest_event,omitzero"`
	Rows        int64        `json:"rows"`
	Encrypted   bool         `json:"encrypted"`
	WithSecret  bool         `json:"with_secret"`       // the secret of secret.key is in it
	Journal     bool         `json:"journal,omitempty"` // the second journal goes on from it
	Proven      bool         `json:"proven,omitempty"`  // it was read to its end, and was made with the server's own secret
}

// Forward is what the second journal has brought to a record that came back from a
// back-up.
type Forward struct {
	Frames  int64        `json:"frames"`
	End     license.Time `json:"end,omitzero"`      // when the last one was written
	Whole   bool         `json:"whole"`             // nothing that left the server is missing
	Wanting []string     `json:"wanting,omitempty"` // why not, if not
}
