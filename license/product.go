package license

import (
	"slices"
	"strings"
)

// Product is what a vendor sells: how its licenses look and what may be done
// with them. The JSON names are the keys of the catalog file.
type Product struct {
	Code         string    `json:"code"`
	Name         string    `json:"name"`
	Category     string    `json:"category,omitempty"`
	Value        int64     `json:"value,omitzero"` // what one is worth in whole units of the vendor's currency; 0 means not known
	Model        Model     `json:"model"`
	Features     []string  `json:"features"`
	Containers   []Kind    `json:"containers"`   // kinds of container its licenses may be activated into
	Binding      Tolerance `json:"binding"`      // how much a machine may change
	Repair       bool      `json:"repair"`       // whether users may rebind a changed machine themselves
	Deactivation bool      `json:"deactivation"` // whether users may return a license themselves
	Split        bool      `json:"split"`        // whether the seats, or units, of one license may be in several containers
	Requires     []string  `json:"requires"`     // codes of products that must be in the same container
	Terms        Terms     `json:"terms"`
	Restore      Restore   `json:"restore"`
}

// Terms are the technical conditions of a license. An order resolves them from
// model, product and the order's own overrides; the first activation freezes
// what counts from it (Freeze). Terms are comparable.
type Terms struct {
	Seats int64 `json:"seats"` // how many may use it at once; 0 means local use only

	ValidFrom Time     `json:"valid_from,omitzero"` // not usable before; 0 means always
	ExpiresAt Time     `json:"expires_at,omitzero"` // unusable from this moment on (exclusive end); 0 means never
	ExpiresIn Duration `json:"expires_in,omitzero"` // counted from the first activation; 0 means not at all

	MaintenanceUntil Time     `json:"maintenance_until,omitzero"` // builds made before this moment may use it; 0 means every build
	Maintenance      Duration `json:"maintenance,omitzero"`       // counted from the first activation; 0 means not at all
	MinVersion       string   `json:"min_version,omitzero"`       // lowest program version covered, dotted numbers; "" means every

	CheckIn Duration `json:"check_in,omitzero"` // longest time without contact with the vendor; 0 means no contact needed
	Grace   Duration `json:"grace,omitzero"`    // how long it stays usable, with a warning, after ExpiresAt or a missed check-in

	Units  int64  `json:"units,omitzero"`  // counter that use takes from and only the vendor adds to; 0 means none
	Borrow Borrow `json:"borrow,omitzero"` // what a network license server may lend

	Counting Counting `json:"counting,omitzero"` // what takes a seat; "" means PerStart
	Linger   Duration `json:"linger,omitzero"`   // how long a seat stays taken after it was released
	Transfer Moves    `json:"transfer,omitzero"` // what may move to another container without the vendor; "" means nothing

	CustomerText string `json:"customer_text,omitzero"` // shown to the customer
	VendorData   string `json:"vendor_data,omitzero"`   // for the vendor's program, readable by anybody
}

// Borrow says what a network license server may lend; the zero value means
// nothing.
type Borrow struct {
	Max   Duration `json:"max,omitzero"`   // longest loan; 0 means no loans
	Seats int64    `json:"seats,omitzero"` // how many of the license's seats may be out at once
	// Out says what happens when the license is to be returned while seats are on
	// loan; "" is OutWait.
	Out Out `json:"out,omitzero"`
	// Containers are the kinds of container that seats may be lent into; "" is every
	// kind.
	Containers KindSet `json:"containers,omitzero"`
}

// Out says whether a license can be returned while seats of it are on loan.
type Out string

// What happens to a return while seats are on loan.
const (
	OutWait  Out = "wait"  // it is refused until the last loan is back or over
	OutAllow Out = "allow" // it is done, and loans last until they end
)

// Outs lists them.
var Outs = []Out{OutWait, OutAllow}

// Counting is what takes a seat of a license on a network.
type Counting string

// The ways of counting.
const (
	PerStart   Counting = "start"     // every start of the program
	PerStation Counting = "station"   // every machine, however often the program runs on it
	Exclusive  Counting = "exclusive" // the whole license at a time
	Unlimited  Counting = "unlimited" // nothing is counted
)

// Countings lists every way of counting.
var Countings = []Counting{PerStart, PerStation, Exclusive, Unlimited}

// Moves says what of a license may move to another container for good without
// the vendor: one of the words below, or how seats move and units, joined by "+".
type Moves string

// What may move; "" is nothing.
const (
	MovesWhole Moves = "whole" // all seats that are left together
	MovesSeats Moves = "seats" // any number of seats
	MovesUnits Moves = "units" // any number of units that are left
)

// AllMoves lists what may move, in the order in which a set is spelled.
var AllMoves = []Moves{MovesWhole, MovesSeats, MovesUnits}

// List is what may move, word by word.
func (m Moves) List() []Moves {
	var list []Moves
	for word := range strings.SplitSeq(string(m), "+") {
		if word != "" {
			list = append(list, Moves(word))
		}
	}
	return list
}

// Has reports whether one of the words is among them.
func (m Moves) Has(word Moves) bool { return slices.Contains(m.List(), word) }

// Seats reports whether seats may move at all.
func (m Moves) Seats() bool { return m.Has(MovesSeats) || m.Has(MovesWhole) }

// Freeze returns the terms as of the first activation: what counts from then
// becomes a fixed moment, and the earlier of two ends counts. Moving and
// restoring keep frozen terms (they have nothing left to freeze). Without a
// moment of activation nothing is frozen.
func (t Terms) Freeze(activated Time) Terms {
	if activated == 0 {
		return t
	}
	t.ExpiresAt = earlier(t.ExpiresAt, t.ExpiresIn, activated)
	t.MaintenanceUntil = earlier(t.MaintenanceUntil, t.Maintenance, activated)
	t.ExpiresIn, t.Maintenance = 0, 0
	return t
}

// Splits reports whether a license with these terms can be in several containers:
// it has several units, or several seats that can be told apart.
func (t Terms) Splits() bool {
	if t.Units > 0 {
		return t.Units > 1
	}
	return t.Seats > 1 && t.Counting != Exclusive && t.Counting != Unlimited
}

// Part returns the terms of so many of the seats that t was sold with. Parts of a
// license with units have all its seats each. Seats that
// can be borrowed are divided in proportion, rounded down, so that all parts
// together lend no more than the whole.
func (t Terms) Part(seats int64) Terms {
	if seats == t.Seats || t.Seats < 1 {
		return t
	}
	t.Borrow.Seats, t.Seats = t.Borrow.Seats*seats/t.Seats, seats
	return t
}

// Frozen reports whether no end still waits for the first activation.
func (t Terms) Frozen() bool { return t.ExpiresIn == 0 && t.Maintenance == 0 }

func earlier(fixed Time, after Duration, start Time) Time {
	if after == 0 {
		return fixed
	}
	end := start.Add(after.Go())
	if fixed != 0 && fixed < end {
		return fixed
	}
	return end
}
