// Package container is the log of a container: what one machine, token or
// cloud account holds, as an append-only list of signed steps of which the
// vendor's server and the container keep the same copy.
//
// Plan makes a step, State.Import applies it, Log.Reconcile compares a report
// with the record. All three are pure; the server and the agent use the same
// ones. The rules and their numbers stand in docs/protocol.md.
package container

import (
	"crypto/sha256"
	"strconv"

	"licet/license"
	"licet/refusal"
)

// Hash is a SHA-256 value.
type Hash [32]byte

// Nonce is 128 random bits, drawn once and used once.
type Nonce [16]byte

// OpKind is what an operation does to a container.
type OpKind uint8

// The operations.
const (
	Put  OpKind = 1 // a license generation comes in
	Drop OpKind = 2 // a license generation goes out
)

// String is the operation's name as shown to people and programs.
func (k OpKind) String() string {
	switch k {
	case Put:
		return "put"
	case Drop:
		return "drop"
	}
	return "unknown"
}

// Phase is one of the five parts of a step, in their fixed order: the vendor's
// removals first, so that a benefit never overtakes them (docs/protocol.md R10).
type Phase uint8

// The phases.
const (
	Withdraw Phase = 1 // vendor: withdrawn
	Return   Phase = 2 // user: deactivated
	Assign   Phase = 3 // vendor: assigned
	Replace  Phase = 4 // vendor: replaced
	Activate Phase = 5 // user: activated
)

// String is the phase's name as shown to people and programs.
func (p Phase) String() string {
	switch p {
	case Withdraw:
		return "withdraw"
	case Return:
		return "return"
	case Assign:
		return "assign"
	case Replace:
		return "replace"
	case Activate:
		return "activate"
	}
	return "unknown"
}

// Cause is who wanted what happens in the phase.
func (p Phase) Cause() string {
	switch p {
	case Return, Activate:
		return ByUser
	}
	return ByVendor
}

// Who wanted a change.
const (
	ByUser   = "user"
	ByVendor = "vendor"
)

// Lock is what a step does to the container as a whole.
type Lock uint8

// The locks. A closed container keeps what it holds, and nothing in it may be
// used until a later step opens it (docs/protocol.md, blocked containers).
const (
	Unchanged Lock = 0
	Close     Lock = 1
	Open      Lock = 2
)

// String is the lock's name as shown to people and programs; "" for Unchanged.
func (l Lock) String() string {
	switch l {
	case Close:
		return "lock"
	case Open:
		return "unlock"
	}
	return ""
}

// NextLock is what the next step has to do, so that a container which is closed
// or open by the last step issued becomes what the vendor has decided.
func NextLock(closed, blocked bool) Lock {
	switch {
	case blocked && !closed:
		return Close
	case !blocked && closed:
		return Open
	}
	return Unchanged
}

// Op is one operation of a step.
type Op struct {
	Kind       OpKind             `cbor:"1,keyasint"`
	Phase      Phase              `cbor:"2,keyasint"`
	License    license.ID         `cbor:"3,keyasint"`
	Generation license.Generation `cbor:"4,keyasint"`
	Product    string             `cbor:"5,keyasint"`
	Body       Hash               `cbor:"6,keyasint"` // hash of the license body; zero for Drop

	// Of tells that License is a part that begins with this operation: an Amount of
	// seats, or of units, of the license Of. It is no part of the step; "" for a
	// license that there was. A Put with an Amount and without Of asks for so many
	// units of License back, as far as they are left once it is proven.
	Of     license.ID `cbor:"-"`
	Amount int64      `cbor:"-"`
}

// Step is one programming transaction of one container.
type Step struct {
	Container license.Serial `cbor:"1,keyasint"`
	Epoch     uint64         `cbor:"2,keyasint"` // of the server's record; grows when it is recovered
	Number    uint64         `cbor:"3,keyasint"` // 1, 2, 3 … without gaps
	Previous  Hash           `cbor:"4,keyasint"` // plan hash before this step
	Time      license.Time   `cbor:"5,keyasint"` // the vendor's time of signing
	Ops       []Op           `cbor:"6,keyasint"`
	Lock      Lock           `cbor:"7,keyasint,omitempty"` // of the container as a whole; applied after Ops

	// Unsigned is the step's canonical bytes, which the signature covers and
	// from which the plan hash is made.
	Unsigned []byte `cbor:"-"`
}

// Body is a license as one container holds it. Its hash stands in the signed
// step that puts it there, so step and body together prove the license.
type Body struct {
	License      license.ID         `cbor:"1,keyasint"`
	Generation   license.Generation `cbor:"2,keyasint"`
	Container    license.Serial     `cbor:"3,keyasint"`
	ContainerKey []byte             `cbor:"4,keyasint"` // public key that signs for the container
	Product      string             `cbor:"5,keyasint"`
	Name         string             `cbor:"6,keyasint"`
	Features     []string           `cbor:"7,keyasint"`
	Tolerance    license.Tolerance  `cbor:"8,keyasint"`
	Repair       bool               `cbor:"9,keyasint"` // users may rebind a changed machine
	Customer     string             `cbor:"10,keyasint"`
	Order        string             `cbor:"11,keyasint"` // the order's number
	Activated    license.Time       `cbor:"12,keyasint"` // first activation, from which terms were frozen
	Terms        license.Terms      `cbor:"13,keyasint"`
	Used         int64              `cbor:"14,keyasint,omitempty"` // units used before it came into this container
	Of           license.ID         `cbor:"15,keyasint,omitempty"` // the license that it is a part of; empty for one that is no part
}

// SignedStep is a step as it travels and is kept: the vendor's signed bytes and
// the bodies of the licenses it puts, in the order of its operations.
type SignedStep struct {
	Signed []byte   `cbor:"1,keyasint"`
	Bodies [][]byte `cbor:"2,keyasint"`
}

// Wishes are what a user asks for in a request.
type Wishes struct {
	Tickets  []license.Ticket `cbor:"1,keyasint"` // authorize their licenses; alone, ask for all of them
	Activate []license.ID     `cbor:"2,keyasint"` // all or nothing, together with Return
	Return   []license.ID     `cbor:"3,keyasint"`
	Pending  bool             `cbor:"4,keyasint"` // what the vendor has pending; any other wish brings it too
	// Amounts say how many seats of a license in Activate the container is to have,
	// or how many of one in Return go; units, of a license that is sold by them. One
	// that is not named here is meant whole.
	Amounts []Amount `cbor:"5,keyasint,omitempty"`
}

// Amount is so many seats of a license, or units of one that is sold by them.
type Amount struct {
	License license.ID `cbor:"1,keyasint" json:"license"`
	Seats   int64      `cbor:"2,keyasint" json:"seats"` // or units; 1 or more
}

// amount is how many seats or units of a license are meant, and whether not the
// whole is.
func (w Wishes) amount(id license.ID) (n int64, some bool) {
	for _, a := range w.Amounts {
		if a.License == id {
			return a.Seats, true
		}
	}
	return 0, false
}

// named is a license of a wish as outcomes name it: "ID", or "ID=NUMBER".
func (w Wishes) named(id license.ID) string {
	if n, some := w.amount(id); some {
		return string(id) + "=" + strconv.FormatInt(n, 10)
	}
	return string(id)
}

// None reports whether nothing is wished for, which makes a report a receipt.
func (w Wishes) None() bool {
	return len(w.Tickets) == 0 && len(w.Activate) == 0 && len(w.Return) == 0 && !w.Pending
}

// Identity is who a container is: its serial is a hash of its public keys.
type Identity struct {
	SigningKey []byte       `cbor:"1,keyasint"` // Ed25519
	SealingKey []byte       `cbor:"2,keyasint"` // X25519
	Kind       license.Kind `cbor:"3,keyasint"`
}

// HeldLicense names one license generation in a container.
type HeldLicense struct {
	License    license.ID         `cbor:"1,keyasint"`
	Generation license.Generation `cbor:"2,keyasint"`
}

// Report is what a container says of itself, signed with its key. With wishes
// it is a request, without it is a receipt; any report confirms every step up
// to its number (docs/protocol.md R7).
type Report struct {
	Identity  Identity      `cbor:"1,keyasint"`
	Number    uint64        `cbor:"2,keyasint"` // last step applied
	Plan      Hash          `cbor:"3,keyasint"` // plan hash at Number
	Life      Hash          `cbor:"4,keyasint"` // life hash at Number
	Acked     uint64        `cbor:"5,keyasint"` // last step it knows to be acknowledged
	Nonces    []Nonce       `cbor:"6,keyasint"` // apply nonces of the steps Acked+1 … Number
	Epoch     uint64        `cbor:"7,keyasint"` // highest epoch seen
	Held      []HeldLicense `cbor:"8,keyasint"`
	Nonce     Nonce         `cbor:"9,keyasint"`  // names this report
	Challenge []byte        `cbor:"10,keyasint"` // the challenge it answers; empty for none
	LocalTime license.Time  `cbor:"11,keyasint"` // untrusted
	Binding   string        `cbor:"12,keyasint"` // strength of the binding: strong, fair, weak
	Rebound   bool          `cbor:"13,keyasint"` // the container was repaired since the last report
	Reissue   []license.ID  `cbor:"14,keyasint"` // licenses whose bodies were lost to a repair
	Program   string        `cbor:"15,keyasint"` // name and version of the writing program
	Wishes    Wishes        `cbor:"16,keyasint"`
	List      uint64        `cbor:"17,keyasint,omitempty"` // number of the block list it knows; 0 for none
	// Hardware is short digests, keyed by the vendor, of the traits that survive
	// a new installation: evidence that a lost container was on the same machine.
	Hardware [][]byte `cbor:"18,keyasint,omitempty"`
	// Lent is what a license server has out of the container's licenses.
	Lent []Lent `cbor:"19,keyasint,omitempty"`
	// Units is what was used of licenses with a counter: of those it holds, and of
	// those it has given up and does not know to be heard of.
	Units []Counted `cbor:"20,keyasint,omitempty"`
	// Steps are those that the vendor's record seems to lack, oldest first, each with
	// the bodies that are still held (docs/protocol.md R18).
	Steps []SignedStep `cbor:"21,keyasint,omitempty"`
}

// Outcome says what became of one wish.
type Outcome struct {
	Wish    string         `cbor:"1,keyasint" json:"wish"` // "ticket T", "activate ID", "return ID", either with =NUMBER, or "update"
	Code    refusal.Code   `cbor:"2,keyasint" json:"code"`
	Message string         `cbor:"3,keyasint" json:"message,omitempty"`
	Hint    string         `cbor:"4,keyasint" json:"hint,omitempty"`
	Details map[string]any `cbor:"5,keyasint" json:"details,omitempty"`
}

// Refused reports whether the wish was not granted.
func (o Outcome) Refused() bool {
	return o.Code != refusal.Done && o.Code != refusal.AlreadyApplied
}

// Update is the vendor's answer: every step after the last one known to be
// applied, so that an update can be lost, repeated or late (docs/protocol.md R9).
type Update struct {
	Container license.Serial `cbor:"1,keyasint"`
	Answers   Nonce          `cbor:"2,keyasint"` // the report's nonce; zero for a push
	Acked     uint64         `cbor:"3,keyasint"` // last step the vendor knows to be applied
	Steps     []SignedStep   `cbor:"4,keyasint"` // steps Acked+1 …
	Outcomes  []Outcome      `cbor:"5,keyasint"`
	Challenge []byte         `cbor:"6,keyasint"` // to be answered by the next report; empty for none
	Time      license.Time   `cbor:"7,keyasint"` // the vendor's time
	Epoch     uint64         `cbor:"8,keyasint"`
	Keys      [][]byte       `cbor:"9,keyasint"`  // certificates of the keys that signed
	Reissued  [][]byte       `cbor:"10,keyasint"` // bodies asked for by Report.Reissue
	// Renews says that the contact counts for licenses that need one from time to
	// time. The answer to a report that is behind the record, or to a container
	// that contradicts it, renews nothing: an old copy of a container must not
	// live on by asking.
	Renews bool `cbor:"11,keyasint,omitempty"`
	// News is signed news of the block list, from the number in the report to List;
	// empty if there is none, or if it is too large to travel with an update.
	News    []byte           `cbor:"12,keyasint,omitempty"`
	List    uint64           `cbor:"13,keyasint,omitempty"` // number of the vendor's block list; 0 for none
	Refresh license.Duration `cbor:"14,keyasint,omitempty"` // time between two contacts that the vendor asks for; 0 leaves it to the machine
	// Unrenewed are licenses that the contact does not renew: somebody has reported
	// them lost, and it is not decided yet.
	Unrenewed []license.ID `cbor:"15,keyasint,omitempty"`
	// Units are counters of which the report told less than the vendor has heard
	// before: the container was put back, and is told what it forgot.
	Units []Counted `cbor:"16,keyasint,omitempty"`
	// Trust is the vendor's trust bundle, as it was signed: beside an update that is
	// written, if it is to travel with it; of one that was read, if it is a newer one.
	Trust []byte `cbor:"-"`
}

// PlanStart is the plan hash before the first step.
func PlanStart(serial license.Serial) Hash {
	return sha256.Sum256([]byte("licet plan of " + serial))
}

// LifeStart is the life hash before the first step.
func LifeStart(serial license.Serial) Hash {
	return sha256.Sum256([]byte("licet life of " + serial))
}

// NextPlan is the plan hash after a step: H(previous ‖ unsigned step). The
// vendor knows it in advance.
func NextPlan(previous Hash, unsigned []byte) Hash {
	return sha256.Sum256(append(previous[:], unsigned...))
}

// NextLife is the life hash after a step: H(previous ‖ plan hash ‖ nonce). The
// nonce is drawn by the container as it applies the step, so that a container
// that is rolled back and applies again lives another life.
func NextLife(previous, plan Hash, nonce Nonce) Hash {
	b := make([]byte, 0, len(previous)+len(plan)+len(nonce))
	b = append(append(append(b, previous[:]...), plan[:]...), nonce[:]...)
	return sha256.Sum256(b)
}
