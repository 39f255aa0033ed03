package wire

import (
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// Loan is a seat of a license server in a container of a machine.
type Loan struct {
	ID        seats.LeaseID   `json:"id"`
	Kind      seats.LeaseKind `json:"kind"` // loan or transfer
	Product   string          `json:"product"`
	License   license.ID      `json:"license,omitempty"`
	Container license.Serial  `json:"container"` // that has it
	Server    license.Serial  `json:"server"`    // container of the server
	Address   string          `json:"address,omitempty"`
	Seats     int64           `json:"seats,omitzero"`
	Since     license.Time    `json:"since,omitzero"`
	Until     license.Time    `json:"until,omitzero"`  // exclusive end; 0 for a transfer for good
	Units     *Units          `json:"units,omitempty"` // that moved, in place of seats
}

// Source says for people where a license on loan comes from.
func (l Loan) Source() string {
	text := "loan from " + string(l.Server)
	if l.Units != nil {
		text = "units from " + string(l.Server)
	} else if l.Kind == seats.Transfer {
		text = "transfer from " + string(l.Server)
	}
	if l.Until != 0 {
		text += " until " + l.Until.String()
	}
	return text
}

// Moved is units of a license that moved to another container for good.
type Moved struct {
	ID        seats.LeaseID  `json:"id"`
	Holder    license.Serial `json:"holder"`
	Host      string         `json:"host,omitempty"` // as its request said
	User      string         `json:"user,omitempty"`
	Units     int64          `json:"units"`
	Used      int64          `json:"used"` // of them, as the holder said last
	Since     license.Time   `json:"since"`
	Until     license.Time   `json:"until,omitzero"` // exclusive end; 0 for none
	Confirmed bool           `json:"confirmed"`      // the holder is known to have them
	Closed    license.Time   `json:"closed,omitzero"`
	Back      int64          `json:"back,omitzero"` // how many came back then
}

// States of a product for a machine.
const (
	OfferLocal    = "local"    // a license of its own may be used
	OfferBorrowed = "borrowed" // a loan may be used
	OfferNetwork  = "network"  // a license server has it
	OfferDisabled = "disabled" // something of it is here, and cannot be used now
)

// What can be done with a product on a machine.
const (
	CanUse        = "use"        // a program may run now
	CanBorrow     = "borrow"     // take a seat along
	CanReturn     = "return"     // give a loan back
	CanExtend     = "extend"     // make a loan last longer
	CanDeactivate = "deactivate" // give a license back to the vendor
)

// Offer is what a machine has and may have of one product.
type Offer struct {
	Product string           `json:"product"`
	Name    string           `json:"name,omitempty"`
	Vendor  string           `json:"vendor"` // id
	State   string           `json:"state"`  // local, borrowed, network or disabled
	Code    refusal.Code     `json:"code"`   // valid, or why it cannot be used now
	Reason  string           `json:"reason,omitempty"`
	Until   license.Time     `json:"valid_until,omitzero"`
	Where   string           `json:"where"` // the container, the lender, or the server's address
	Loan    *Loan            `json:"loan,omitempty"`
	Free    int64            `json:"free"`  // seats on the network
	Seats   int64            `json:"seats"` // of them all
	Borrow  bool             `json:"borrow"`
	Longest license.Duration `json:"longest_loan,omitzero"`
	Can     []string         `json:"can"`
}

// Offers is what a machine has and may have.
type Offers struct {
	Products []Offer  `json:"products"`
	Silent   []string `json:"silent_servers,omitempty"` // license servers that did not answer
}
