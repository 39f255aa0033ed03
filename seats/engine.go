package seats

import (
	"net/netip"
	"time"

	"licet/license"
	"licet/refusal"
)

// Source is a license that a container of this server holds.
type Source struct {
	Vendor      string
	License     license.ID
	Generation  license.Generation
	Product     string
	Name        string // of the product
	Features    []string
	Terms       license.Terms
	Container   license.Serial
	LastContact license.Time     // of the container with the vendor
	Refused     *refusal.Refusal // why nothing may be granted from it (blocked, flagged, does not open …); nil if something may
}

// Limits are what the server's administrator sets. Zero values mean the default
// that Defaults names; a zero LongestLoan means as long as the vendor allows.
type Limits struct {
	Session     license.Duration // length of a session's lease where the program asks for none
	Longest     license.Duration // longest that a program may ask for
	Keep        license.Duration // how long a place in the queue is kept without being asked for
	MaxQueue    int              // waiting for one product
	MaxLeases   int              // sessions, loans and transfers together
	NoLoans     bool             // nothing is lent or transferred, except by an administrator's own hand
	LongestLoan license.Duration // shortens what the vendor allows, never lengthens it
	Lazy        bool             // an overdue session keeps its seat until somebody needs it
}

// Defaults are the limits of a server that sets none.
var Defaults = Limits{
	Session:   license.Duration(5 * time.Minute),
	Longest:   license.Duration(time.Hour),
	Keep:      license.Duration(30 * time.Second),
	MaxQueue:  1000,
	MaxLeases: 2_000_000,
}

// Caller is who asks. Host, user and groups are what the program says; the
// address is what the server sees.
type Caller struct {
	Client  Client
	Address netip.Addr
	Local   bool // from this machine
	Admin   bool // an administrator of the server acts; rules do not bind him, the vendor's terms do
}

// Claim asks for a session. The client's id and the nonce name the wish: both
// again bring the same seat and the same token again.
type Claim struct {
	Product   string
	Vendor    string // id of the vendor; any if empty
	Features  []string
	Version   string
	BuildDate license.Time
	Exclusive bool             // the whole license: all its seats at once
	TTL       license.Duration // wanted; the server's if 0, and never longer than it allows
	Nonce     string
	Wait      bool // take a place in the queue if no seat is free
}

// Token extends and releases a lease; its holder alone knows it. It does not
// print.
type Token [16]byte

// Mint draws the name and the token of a new lease. It is called at most once
// for an operation.
type Mint func() (LeaseID, Token)

// Grant is a seat that somebody has.
type Grant struct {
	Lease Lease            // what the server's container is to sign
	Token Token            // zero for a loan or a transfer
	TTL   license.Duration // of a session: how long from now; see StopAfter
	// Repeated says that the wish was granted before and this is the answer again.
	// It has no record of its own, and is answered when everything recorded
	// before it is durable.
	Repeated bool
}

// LoanAnswer is what becomes of a LoanWish. Its parts stand by themselves: a
// return is done also if the loan asked for is refused.
type LoanAnswer struct {
	Granted  *Grant           // the loan, transfer or extension; nil if none was asked for, or it is refused
	Refused  *refusal.Refusal // why what was asked for is not granted
	Returned []LeaseID        // gone here: the holder need not mention them again
}
