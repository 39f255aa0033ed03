package seats

import (
	"licet/license"
	"licet/refusal"
)

// Waiting is the detail "queue" of a refusal with no_seat_free where the caller
// asked to wait: its place, 1 is next. Asking again within Keep keeps it.
type Waiting struct {
	Place int              `json:"place"`
	Keep  license.Duration `json:"keep"`
}

// LeaseView is a lease as administrators see it.
type LeaseView struct {
	Lease     LeaseID        `json:"lease"`
	Kind      LeaseKind      `json:"kind"`
	License   license.ID     `json:"license"`
	Product   string         `json:"product"`
	Vendor    string         `json:"vendor"`
	Seats     int64          `json:"seats"`
	Client    Client         `json:"client"`
	Address   string         `json:"address,omitempty"` // where the claim came from
	Since     license.Time   `json:"since"`
	Last      license.Time   `json:"last"` // of the latest extension
	ExpiresAt license.Time   `json:"expires_at"`
	Holder    license.Serial `json:"holder,omitempty"`
	Confirmed bool           `json:"confirmed,omitempty"` // a loan that its holder is known to have
	Lingers   bool           `json:"lingers,omitempty"`   // released, and taken until ExpiresAt
}

// PoolView is the seats of one license.
type PoolView struct {
	License  license.ID     `json:"license"`
	Product  string         `json:"product"`
	Name     string         `json:"name"`
	Vendor   string         `json:"vendor"`
	Features []string       `json:"features"`
	Counting string         `json:"counting"`
	Seats    int64          `json:"seats"` // as the vendor signed
	Leased   int64          `json:"leased"`
	Lent     int64          `json:"lent"` // loans and transfers
	Free     int64          `json:"free"`
	Waiting  int            `json:"waiting"`
	Usable   bool           `json:"usable"`
	Code     refusal.Code   `json:"code"` // valid, or why nothing is granted
	Reason   string         `json:"reason,omitempty"`
	Until    license.Time   `json:"until,omitzero"` // nothing is granted before this moment (R27)
	Borrow   license.Borrow `json:"borrow,omitzero"`
	Lendable int64          `json:"lendable"` // seats that could be lent now
}

// ProductView is what one caller may have of a product.
type ProductView struct {
	Product string           `json:"product"`
	Name    string           `json:"name"`
	Vendor  string           `json:"vendor"`
	Free    int64            `json:"free"`
	Seats   int64            `json:"seats"`
	Borrow  bool             `json:"borrow"`
	Longest license.Duration `json:"longest,omitzero"` // loan
	Code    refusal.Code     `json:"code"`
	Reason  string           `json:"reason,omitempty"`
}
