package wire

import (
	"licet/license"
	"licet/subscription"
)

// SubscriptionRequest makes a subscription, with an order and licenses of its own.
type SubscriptionRequest struct {
	Number   string            `json:"number,omitempty" maxLength:"100" doc:"The shop's own order number; one is made if absent. The same number again gives the same subscription."`
	Customer string            `json:"customer" minLength:"1" maxLength:"200" doc:"Name of the customer."`
	Product  string            `json:"product" minLength:"1" maxLength:"100" doc:"Product code."`
	Quantity int64             `json:"quantity,omitempty" minimum:"1" maximum:"1000" doc:"Number of licenses; 1 if absent."`
	Override []string          `json:"override,omitempty" doc:"Terms for this subscription alone, such as seats=10."`
	Period   string            `json:"period" minLength:"1" maxLength:"20" doc:"monthly, yearly, or a number of days such as 30d."`
	Lead     subscription.Lead `json:"lead,omitempty" enum:"licet,outside" doc:"licet: periods renew by themselves. outside: another system tells each paid period. licet if absent."`
	Notice   *license.Duration `json:"notice,omitempty" doc:"So long before a period ends, the next one begins to count, and is sent to machines. 1d if absent; 0s where another system leads."`
	Grace    *license.Duration `json:"grace,omitempty" doc:"So long after a period that was not renewed its licenses go on, with a warning. As the product says if absent, else 7d."`
	Start    license.Time      `json:"start,omitzero" doc:"When the first period began, not later than now, which it is if absent."`
}

// SubscriptionChange changes what it names of a subscription.
type SubscriptionChange struct {
	Quantity int64              `json:"quantity,omitempty" minimum:"1" maximum:"1000" doc:"Number of licenses. More come at once, fewer with the end of the period."`
	Product  string             `json:"product,omitempty" maxLength:"100" doc:"Product code, where the edition changes: at once, unless at_end says otherwise."`
	Override []string           `json:"override,omitempty" doc:"With product: terms for this subscription alone, such as seats=10."`
	AtEnd    bool               `json:"at_end,omitempty" doc:"Quantity and edition change with the end of the period."`
	Period   string             `json:"period,omitempty" maxLength:"20" doc:"Of the periods that follow: monthly, yearly, or a number of days such as 30d."`
	Lead     *subscription.Lead `json:"lead,omitempty" enum:"licet,outside" doc:"Who says that a period is renewed."`
	Notice   *license.Duration  `json:"notice,omitempty"`
	Grace    *license.Duration  `json:"grace,omitempty"`
	Reason   string             `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun   bool               `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// SubscriptionRenewal tells that periods were paid.
type SubscriptionRenewal struct {
	Periods   int64  `json:"periods,omitempty" minimum:"1" maximum:"120" doc:"How many; 1 if absent."`
	Reference string `json:"reference,omitempty" maxLength:"100" doc:"What names this payment for good, such as an invoice's number: the same one again adds nothing."`
	Reason    string `json:"reason,omitempty" maxLength:"1000"`
}

// SubscriptionCancellation ends a subscription, with its last period or at once.
type SubscriptionCancellation struct {
	Now    bool   `json:"now,omitempty" doc:"Withdraw its licenses at once. Needs the scope licenses as well."`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// SubscriptionResumption takes a cancellation back, or begins anew after a lapse.
type SubscriptionResumption struct {
	Reference string `json:"reference,omitempty" maxLength:"100" doc:"What names the payment of a new period for good."`
	Reason    string `json:"reason" minLength:"1" maxLength:"1000"`
}

// Subscription is a subscription as staff and shops see it.
type Subscription struct {
	ID       string              `json:"id"`
	Order    string              `json:"order"`  // its id
	Number   string              `json:"number"` // of its order
	Customer string              `json:"customer"`
	Product  string              `json:"product"`
	Name     string              `json:"name"` // of the product
	Item     string              `json:"item"` // product with the terms of this subscription
	Quantity int64               `json:"quantity"`
	State    subscription.State  `json:"state"` // active, ending, in_grace, lapsed or ended
	Meaning  string              `json:"meaning"`
	Lead     subscription.Lead   `json:"lead"`
	Period   string              `json:"period"`
	Notice   license.Duration    `json:"notice"`
	Grace    license.Duration    `json:"grace"`
	Created  license.Time        `json:"created_at"`
	Ends     license.Time        `json:"ends_at"`            // the end of its last period
	Usable   license.Time        `json:"usable_until"`       // the end of what its licenses were given, grace included
	Renews   license.Time        `json:"renews_at,omitzero"` // by itself
	Canceled license.Time        `json:"canceled_at,omitzero"`
	Ended    license.Time        `json:"ended_at,omitzero"` // at once
	Next     *SubscriptionNext   `json:"next,omitempty"`    // what changes with the end of a period
	Ticket   license.Ticket      `json:"ticket,omitempty"`  // for those who may take orders, where one subscription is shown
	Licenses []SubscribedLicense `json:"licenses,omitempty"`
	Lines    []SubscriptionLine  `json:"lines,omitempty"` // where one subscription is shown
}

// PageSubscription is what the holder of a ticket reads of a subscription.
type PageSubscription struct {
	State  subscription.State `json:"state"`
	Ends   license.Time       `json:"ends_at"`
	Usable license.Time       `json:"usable_until"`
	Renews bool               `json:"renews,omitempty"` // by itself
}

// SubscriptionNext is a change that waits.
type SubscriptionNext struct {
	At       license.Time `json:"at"`
	Item     string       `json:"item"`
	Quantity int64        `json:"quantity"`
}

// SubscribedLicense is one license of a subscription.
type SubscribedLicense struct {
	ID        license.ID     `json:"id"`
	Product   string         `json:"product"`
	State     license.State  `json:"state"`
	Container license.Serial `json:"container,omitempty"`
	Waiting   bool           `json:"waiting,omitempty"` // its container has yet to fetch what it is by now
}

// SubscriptionLine is one line of what there is to bill. Lines never change, and
// quantities of one period add up.
type SubscriptionLine struct {
	Number    int64        `json:"number"`
	Kind      string       `json:"kind"`   // period, added, edition or ended
	Period    int64        `json:"period"` // the number of the line with which its period began
	Starts    license.Time `json:"starts_at"`
	Ends      license.Time `json:"ends_at"`
	Product   string       `json:"product"`
	Item      string       `json:"item"`
	Quantity  int64        `json:"quantity"` // less than 0 for what falls away
	Days      int64        `json:"days"`     // of the calendar, in UTC
	OfDays    int64        `json:"of_days"`  // that its whole period has
	Reference string       `json:"reference,omitempty"`
	Made      license.Time `json:"made_at"`
}

// SubscriptionDone is what a decision about a subscription did, or would do.
type SubscriptionDone struct {
	Subscription Subscription       `json:"subscription"`
	New          bool               `json:"new,omitempty"` // this call made it
	Changed      bool               `json:"changed"`       // false: it was so already
	DryRun       bool               `json:"dry_run,omitempty"`
	Lines        []SubscriptionLine `json:"lines"`    // that came with it
	Licenses     []OrderedLicense   `json:"licenses"` // that leave, or are replaced
	Renewed      int                `json:"renewed"`  // licenses that last until another time by now
}

// BillingRow is one row of the billing report.
type BillingRow struct {
	Subscription string `json:"subscription,omitempty"`
	Number       string `json:"number,omitempty"`
	Customer     string `json:"customer,omitempty"`
	Product      string `json:"product,omitempty"`
	Periods      int64  `json:"periods"`      // that began
	Licenses     int64  `json:"licenses"`     // of these periods
	LicenseDays  int64  `json:"license_days"` // licenses × days, what was added or fell away within a period included
	Units        int64  `json:"units"`        // that were counted
}
