package wire

import (
	"strings"

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
	PathServer   = "/v1/server"   // GET: ServerView, for anybody
	PathRules    = "/v1/rules"    // GET for administrators: RulesView; POST reads the file anew
	PathDecide   = "/v1/decide"   // GET ?product=&host=&user=&group=&address= for administrators: seats.Decision
	PathPardon   = "/v1/pardon"   // POST EndRequest for administrators: ends the waiting after a loss (R27)
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

// SeatsName is the name under which a client asks for a vendor's license server in
// the TLS handshake (SNI): a machine may hold containers of several vendors, each
// with a key of its own. The serial of a container in place of the vendor's id asks
// for that container's key.
func SeatsName(vendor string) string { return strings.ToLower(vendor) + ".licet" }

// ServerView is what a license server says of itself to anybody.
type ServerView struct {
	// Instance is drawn at each start. Two servers with the key of one container and
	// another instance are copies of one machine.
	Instance string           `json:"instance"`
	Version  string           `json:"version"`
	Time     license.Time     `json:"time"`
	Vendors  []string         `json:"vendors"`
	Session  license.Duration `json:"session"` // length of a lease where none is asked for
}

// RulesView is the rules of access as they stand, and whether the file of them reads.
type RulesView struct {
	File    string       `json:"file"`
	Text    string       `json:"text"`              // the rules in force
	Loaded  license.Time `json:"loaded,omitzero"`   // 0 where there is no file: then only the server's own machine may
	Problem string       `json:"problem,omitempty"` // why the file as it is now is not in force
}

// EndRequest is an administrator's word: it ends a session, or the waiting after a
// loss of the record.
type EndRequest struct {
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
}

// UsageRow is the use of one product in an hour, a day or a month.
type UsageRow struct {
	From    license.Time            `json:"from"`
	Until   license.Time            `json:"until"`
	Product string                  `json:"product"`
	Grants  uint64                  `json:"grants"`
	Denials map[refusal.Code]uint64 `json:"denials"`
	Denied  uint64                  `json:"denied"` // all denials
	Peak    int64                   `json:"peak"`   // seats in use and on loan at once, as seen each second
	Seats   int64                   `json:"seats"`  // that there were, at most
}

// UsageView is the use of a license server's seats.
type UsageView struct {
	By    string       `json:"by"` // hour, day or month, in UTC
	Rows  []UsageRow   `json:"rows"`
	Gaps  []string     `json:"gaps,omitempty"` // hours that are missing or not whole, in words
	Since license.Time `json:"since,omitzero"` // nothing is known before
}
