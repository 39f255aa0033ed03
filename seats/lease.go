// Package seats shares the seats of licenses: who may have one, who has one,
// who waits, what is lent and until when.
//
// The package is pure: it reads no clock, draws no randomness and touches no
// file. What must be durable before it is answered comes out as records, and the
// same records rebuild the engine. docs/decisions/0012-seats.md has the reasons,
// docs/protocol.md R26 and R27 the rules.
package seats

import (
	"slices"

	"licet/license"
)

// LeaseID names a lease on its server.
type LeaseID string

// LeaseKind is what a lease is for.
type LeaseKind string

// The kinds of lease.
const (
	Session  LeaseKind = "session"  // while a program runs
	Loan     LeaseKind = "loan"     // into another container, until a date
	Transfer LeaseKind = "transfer" // into another container, for good
)

// Client is who uses a seat, as the program says.
type Client struct {
	ID     string   `json:"id" cbor:"1,keyasint"`               // of this start of the program, drawn at random; with the nonce it names a claim, and the same claim gets the same seat again
	Host   string   `json:"host" cbor:"2,keyasint"`             // name of the station
	User   string   `json:"user" cbor:"3,keyasint"`             // account on it
	PID    int64    `json:"pid,omitzero" cbor:"4,keyasint"`     // process
	Groups []string `json:"groups,omitempty" cbor:"5,keyasint"` // of the account
}

// Lease is what a license server says of seats that it gave out. Its container
// signs it; the license it names, signed by the vendor for that container, is
// the permission.
type Lease struct {
	ID         LeaseID            `cbor:"1,keyasint"`
	Kind       LeaseKind          `cbor:"2,keyasint"`
	Server     license.Serial     `cbor:"3,keyasint"` // container that gave it
	License    license.ID         `cbor:"4,keyasint"`
	Generation license.Generation `cbor:"5,keyasint"`
	Product    string             `cbor:"6,keyasint"`
	Seats      int64              `cbor:"7,keyasint"` // how many; 1 for a session, all for one that has the license to itself
	Client     Client             `cbor:"8,keyasint"`
	Nonce      string             `cbor:"9,keyasint"`            // the client's, as it was sent
	From       license.Time       `cbor:"10,keyasint"`           // server's time of the grant, or of the extension it states
	Until      license.Time       `cbor:"11,keyasint"`           // exclusive end; 0 for a transfer of a license without end
	Fence      uint64             `cbor:"12,keyasint"`           // rises with every grant of the server
	Holder     license.Serial     `cbor:"13,keyasint,omitempty"` // container that a loan or transfer is for
	HolderKey  []byte             `cbor:"14,keyasint,omitempty"` // its key, as a license names its container's
	Units      int64              `cbor:"15,keyasint,omitempty"` // of a transfer: how many units move, in place of seats
}

// Held says what a container holds on loan, or has given back, when it speaks to
// the server that lent it.
type Held struct {
	Lease LeaseID      `cbor:"1,keyasint"`
	Until license.Time `cbor:"2,keyasint"`
	Units int64        `cbor:"3,keyasint,omitempty"` // that moved with it
	Used  int64        `cbor:"4,keyasint,omitempty"` // of them, so far
}

// Closed says of units that moved into a container how many of them it has used, for
// ever: it has let go of the rest, durably, and never uses one of it.
type Closed struct {
	Lease LeaseID `cbor:"1,keyasint"`
	Used  int64   `cbor:"2,keyasint"`
}

// LoanWish is what a borrower's container asks of a license server, signed with
// its key. Whatever it asks, it confirms what it holds and what it has given
// back, so that a lost answer or receipt heals.
type LoanWish struct {
	Server   license.Serial   `cbor:"1,keyasint,omitempty"` // container of the server, where it is known
	Product  string           `cbor:"2,keyasint,omitempty"` // to borrow; "" borrows nothing
	Features []string         `cbor:"3,keyasint,omitempty"`
	Kind     LeaseKind        `cbor:"4,keyasint,omitempty"` // Loan or Transfer
	Seats    int64            `cbor:"5,keyasint,omitempty"` // 1 for a loan
	For      license.Duration `cbor:"6,keyasint,omitempty"` // how long; 0 for a transfer
	Extend   LeaseID          `cbor:"7,keyasint,omitempty"` // the loan that is to last longer, in place of a new one
	Session  LeaseID          `cbor:"8,keyasint,omitempty"` // the running session whose seat becomes the loan
	Token    string           `cbor:"9,keyasint,omitempty"` // of that session
	Client   Client           `cbor:"10,keyasint"`
	Nonce    string           `cbor:"11,keyasint"` // names this wish: the same one gets the same answer
	Holds    []Held           `cbor:"12,keyasint"`
	Returned []LeaseID        `cbor:"13,keyasint"`           // removed durably, and not known to be confirmed
	Number   uint64           `cbor:"14,keyasint,omitempty"` // rises with every wish of the borrower; 0 where nothing is asked for
	Units    int64            `cbor:"15,keyasint,omitempty"` // to be transferred, in place of seats
	Closed   []Closed         `cbor:"16,keyasint,omitempty"` // transfers of units that came to their end, and are not known to be booked
}

// OfUnits reports whether the wish says anything of units that move. Those are for the
// container to answer that has the license: no license server is needed for it.
func (w LoanWish) OfUnits() bool {
	return w.Units != 0 || len(w.Closed) > 0 || slices.ContainsFunc(w.Holds, func(h Held) bool { return h.Units != 0 })
}

// OfSeats is the wish without what it says of units.
func (w LoanWish) OfSeats() LoanWish {
	w.Closed = nil
	w.Holds = slices.DeleteFunc(slices.Clone(w.Holds), func(h Held) bool { return h.Units != 0 })
	if w.Units != 0 {
		w.Product, w.Features, w.Kind, w.Units, w.Number = "", nil, "", 0, 0
	}
	return w
}
