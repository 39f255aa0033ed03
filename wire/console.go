package wire

import "licet/license"

// Staff is an account of the vendor's staff.
type Staff struct {
	Name     string       `json:"name"`
	Email    string       `json:"email,omitempty"`
	Scopes   []string     `json:"scopes"`
	Created  license.Time `json:"created_at"`
	Seen     license.Time `json:"seen_at,omitzero"` // signed in last
	Disabled license.Time `json:"disabled_at,omitzero"`
	Password string       `json:"password,omitempty"` // in the answer that made it only
}

// Found is what a search found, each kind with the newest first.
type Found struct {
	Query      string      `json:"query"`
	Ticket     bool        `json:"ticket"` // the text was a ticket; its order is the one found
	Customers  []Customer  `json:"customers"`
	Orders     []OrderHead `json:"orders"`
	Licenses   []License   `json:"licenses"`
	Containers []Container `json:"containers"`
	Recovery   uint64      `json:"recovery,omitempty"`
	More       bool        `json:"more"` // there is more than is shown
}

// OrderHead is an order without its licenses, which may be many.
type OrderHead struct {
	Order    string                  `json:"order"`
	Number   string                  `json:"number"`
	Customer string                  `json:"customer"`
	Created  license.Time            `json:"created_at"`
	Licenses int64                   `json:"licenses"`
	States   map[license.State]int64 `json:"states"`
}

// Customer is who ordered.
type Customer struct {
	Name   string       `json:"name"`
	Orders int          `json:"orders"` // among those looked at
	Last   license.Time `json:"last"`   // order
}

// Waits is how many things wait for staff; 100 stands for 100 or more.
type Waits struct {
	Recoveries int `json:"recoveries"`
	Containers int `json:"containers"`
	Webhooks   int `json:"webhooks"` // failing, or stopped by the server

	Restored bool   `json:"restored,omitempty"`  // from a back-up, and that is not settled
	HeldBack int64  `json:"held_back,omitempty"` // licenses that are not given out since
	Outdated string `json:"outdated,omitempty"`  // what shows that another record is newer
}

// Trail picks entries of the audit trail; the zero value picks all.
type Trail struct {
	Actor  string       `json:"actor,omitempty"`
	Event  string       `json:"event,omitempty"`
	Kind   string       `json:"kind,omitempty"` // of the subject, with ID
	ID     string       `json:"id,omitempty"`
	Since  license.Time `json:"since,omitzero"`
	Until  license.Time `json:"until,omitzero"`
	Before string       `json:"before,omitempty"` // cursor
}
