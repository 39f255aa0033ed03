package wire

import (
	"licet/license"
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

// Views and the place in a queue are as package seats makes them.
type (
	Waiting     = seats.Waiting
	LeaseView   = seats.LeaseView
	PoolView    = seats.PoolView
	ProductView = seats.ProductView
)
