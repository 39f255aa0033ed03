package wire

import (
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// SeatsPort is where a license server listens unless it is told otherwise.
const SeatsPort = 47120

// Paths of a license server (licet serve --listen).
const (
	PathLeases   = "/v1/leases"   // POST LeaseRequest, 201 Lease; GET for administrators: List[LeaseView]
	PathLease    = "/v1/leases/"  // + id: PUT LeaseExtend, 200 LeaseExtended; DELETE, 204
	PathPools    = "/v1/pools"    // GET for administrators: List[PoolView]
	PathLoans    = "/v1/loans"    // POST a loan request as a file, 200 a loan as a file
	PathProducts = "/v1/products" // GET ?vendor=ID: List[ProductView], what the caller may have
	PathUsage    = "/v1/usage"    // GET for administrators: use and denials by hour, day or month
)

// LeaseRequest asks for a seat.
type LeaseRequest struct {
	Product   string           `json:"product"`
	Vendor    string           `json:"vendor,omitempty"` // id of the vendor; any if empty
	Features  []string         `json:"features,omitempty"`
	Version   string           `json:"version,omitempty"`
	BuildDate license.Time     `json:"build_date,omitzero"`
	Client    seats.Client     `json:"client"`
	Mode      string           `json:"mode,omitempty"`  // "" as the license counts; "exclusive" for the whole license, where it allows that
	TTL       license.Duration `json:"ttl,omitzero"`    // wanted length of the lease; the server's if 0, and never longer than the server allows
	Nonce     string           `json:"nonce,omitempty"` // up to 128 characters; stands in the signed document
	Wait      bool             `json:"wait,omitempty"`  // take a place in the queue if no seat is free
}

// Lease is a seat that was granted. A program verifies Document with the vendor's
// key alone (seal.Verifier.Lease).
type Lease struct {
	Lease     seats.LeaseID    `json:"lease"`
	Token     string           `json:"token"` // extends and releases; known to the holder alone
	ExpiresAt license.Time     `json:"expires_at"`
	TTL       license.Duration `json:"ttl"` // by the holder's own clock: extend well before
	Document  []byte           `json:"document"`
}

// LeaseExtend extends a lease. The token stands here or in the header
// "Authorization: Bearer". With a nonce the answer brings a new signed document;
// without one it is as good as the channel.
type LeaseExtend struct {
	Token string `json:"token,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

// LeaseExtended is the new end of a lease.
type LeaseExtended struct {
	Lease     seats.LeaseID    `json:"lease"`
	ExpiresAt license.Time     `json:"expires_at"`
	TTL       license.Duration `json:"ttl"`
	Document  []byte           `json:"document,omitempty"`
}

// Waiting is the detail "queue" of a refusal with no_seat_free where the caller
// asked to wait: its place, 1 is next. Asking again within Keep keeps it.
type Waiting struct {
	Place int              `json:"place"`
	Keep  license.Duration `json:"keep"`
}

// LeaseView is a lease as administrators see it.
type LeaseView struct {
	Lease     seats.LeaseID   `json:"lease"`
	Kind      seats.LeaseKind `json:"kind"`
	License   license.ID      `json:"license"`
	Product   string          `json:"product"`
	Vendor    string          `json:"vendor"`
	Seats     int64           `json:"seats"`
	Client    seats.Client    `json:"client"`
	Address   string          `json:"address,omitempty"` // where the claim came from
	Since     license.Time    `json:"since"`
	Last      license.Time    `json:"last"` // of the latest extension
	ExpiresAt license.Time    `json:"expires_at"`
	Holder    license.Serial  `json:"holder,omitempty"`
	Confirmed bool            `json:"confirmed,omitempty"` // a loan that its holder is known to have
	Lingers   bool            `json:"lingers,omitempty"`   // released, and taken until ExpiresAt
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
