package agent

import (
	"bytes"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

// loan is a seat that a license server has given into this container, until a
// date or for good. It stands beside the container's log, which is between it and
// the vendor alone; its document stands among the bodies, bound to the machine as
// the license wants it.
type loan struct {
	Kind       seats.LeaseKind    `cbor:"1,keyasint"`
	Product    string             `cbor:"2,keyasint"`
	Name       string             `cbor:"3,keyasint"`
	License    license.ID         `cbor:"4,keyasint"`
	Generation license.Generation `cbor:"5,keyasint"`
	Server     license.Serial     `cbor:"6,keyasint"` // container that lent it
	Address    string             `cbor:"7,keyasint"` // where that server answered last; "" by file
	Seats      int64              `cbor:"8,keyasint"`
	From       license.Time       `cbor:"9,keyasint"` // the server's time
	Until      license.Time       `cbor:"10,keyasint"`
	Tolerance  license.Tolerance  `cbor:"11,keyasint"`
	Repair     bool               `cbor:"12,keyasint"`
	Units      int64              `cbor:"13,keyasint,omitempty"` // that moved here, in place of seats
	Used       int64              `cbor:"14,keyasint,omitempty"` // of them; it only rises
}

// portion is the counter of units that moved here.
func (l loan) portion() container.Portion { return container.Portion{Units: l.Units, Used: l.Used} }

// returned is a loan that was removed here before its end. It is remembered
// until that end, so that no copy of its document brings it back.
type returned struct {
	Server    license.Serial `cbor:"1,keyasint"`
	Address   string         `cbor:"2,keyasint"`
	Product   string         `cbor:"3,keyasint"`
	Until     license.Time   `cbor:"4,keyasint"`
	Confirmed bool           `cbor:"5,keyasint"`           // the server has booked it
	Units     int64          `cbor:"6,keyasint,omitempty"` // that had moved here
	Used      int64          `cbor:"7,keyasint,omitempty"` // of them, for ever
}

// bodyOf names a loan's document among the bodies of the container.
func bodyOf(id seats.LeaseID) license.ID { return license.ID("loan " + id) }

// loans lists what the container has on loan, sorted.
func (b *box) loans() []seats.LeaseID {
	ids := make([]seats.LeaseID, 0, len(b.Loans))
	for id := range b.Loans {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// examineLoan looks at one loan: whether its document opens, and whether vendor
// and server signed it for this container.
func (b *box) examineLoan(by judge, id seats.LeaseID, no *refusal.Refusal) candidate {
	l := b.Loans[id]
	c := candidate{box: b, by: by, id: l.License, generation: l.Generation, lender: l.Server, lease: id, loan: &l, no: no}
	again := "licet borrow --extend " + string(id)
	sealed, ok := b.bodies[bodyOf(id)]
	switch {
	case !ok || sealed.Reissue:
		c.reissue = true
		c.no = refusal.New(refusal.OtherMachine, "The container was repaired, and the license server must send the loan %s again.", id).
			Hinted("Run %s.", again)
		return c
	case sealed.Locked:
		c.locked = true
		c.no = otherMachine(string(b.serial()), b.match, "loan "+string(id))
		return c
	case no != nil:
		return c
	}
	forged := func(why string) candidate {
		c.no = refusal.New(refusal.BadSignature, "The loan %s in container %s cannot be used: %s.", id, b.serial(), why).
			Hinted("Run %s; if it stays, ask the license server's administrator.", again)
		return c
	}
	if by.lease == nil {
		return forged("nobody here can check it")
	}
	lease, body, err := by.lease(sealed.Data)
	switch {
	case refusal.Is(err, refusal.KeyRevoked):
		c.no = refusal.New(refusal.KeyRevoked, "The loan %s in container %s is of a license that was signed with a key that the vendor has revoked.", id, b.serial()).
			Hinted("Run %s when the license server has been in contact with the vendor.", again)
		if l.Kind == seats.Transfer {
			c.no.Hinted("When the license server has been in contact with the vendor, give it back and move it here again: licet return %s.", id)
		}
		return c
	case err != nil:
		return forged("its signature does not fit")
	case lease.ID != id, lease.License != l.License, lease.Product != l.Product, lease.Units != l.Units,
		lease.Holder != b.serial(), !bytes.Equal(lease.HolderKey, b.SigningKey):
		return forged("it was made for another place")
	}
	c.data, c.body, c.from, c.until = sealed.Data, body, lease.From, lease.Until
	return c
}

// source says where a license is, for people.
func (c candidate) source() string {
	if c.loan == nil {
		return "container " + string(c.box.serial())
	}
	return c.box.describeLoan(c.lease).Source()
}

// held is what the terms are asked about.
func (c candidate) held() terms.Held {
	if c.loan != nil {
		return OnLoan(c.body, c.from, c.until, c.loan.Units, c.used())
	}
	return terms.Held{Terms: c.body.Terms, Features: c.body.Features, LastContact: c.box.State.ContactOf(c.id), Used: c.used()}
}

// used is how many units of a license in the container are used.
func (c candidate) used() int64 {
	if c.loan != nil {
		return c.box.Loans[c.lease].Used // as it is by now
	}
	return c.box.State.Used(c.body)
}

// total is how many units there are to be used here; 0 where nothing is counted.
func (c candidate) total() int64 {
	if c.loan != nil {
		return c.loan.Units
	}
	return c.body.Terms.Units
}

// counter names what is counted within the container.
func (c candidate) counter() license.ID {
	if c.loan != nil {
		return bodyOf(c.lease)
	}
	return c.id
}

// units is the license's counter, nil if it has none here.
func (c candidate) units() *wire.Units {
	if c.no != nil {
		return nil
	}
	return wire.UnitsOf(license.Terms{Units: c.total()}, c.used())
}

// OnLoan is what is asked about a license that a server has lent: the server's
// signed time of the loan has passed, and stands in the place of a contact. units of it
// may have moved here, of which some were used.
func OnLoan(body container.Body, from, until license.Time, units, used int64) terms.Held {
	return terms.Held{Terms: body.Terms, Features: body.Features, LastContact: from, Lent: true, Until: until, Units: units, Used: used}
}

// describeLoan tells of one loan.
func (b *box) describeLoan(id seats.LeaseID) wire.Loan {
	l := b.Loans[id]
	return wire.Loan{
		ID: id, Kind: l.Kind, Product: l.Product, License: l.License, Container: b.serial(),
		Server: l.Server, Address: l.Address, Seats: l.Seats, Since: l.From, Until: l.Until,
		Units: wire.UnitsOf(license.Terms{Units: l.Units}, l.Used),
	}
}

// describeReturned tells of one that was given back.
func (b *box) describeReturned(id seats.LeaseID) wire.Loan {
	r := b.Returns[id]
	l := wire.Loan{ID: id, Kind: seats.Loan, Product: r.Product, Container: b.serial(), Server: r.Server, Address: r.Address, Until: r.Until}
	if r.Units > 0 {
		l.Kind, l.Units = seats.Transfer, wire.UnitsOf(license.Terms{Units: r.Units}, r.Used)
	}
	return l
}

// takeIn puts a loan into the container, or a later end of one that is there. It
// reports whether anything changed: a copy of what was given back, or of an
// earlier end, changes nothing.
func (b *box) takeIn(l seats.Lease, body container.Body, document []byte, address string) (bool, error) {
	if _, gone := b.Returns[l.ID]; gone {
		return false, nil
	}
	switch body.Tolerance {
	case license.Loose, license.Medium, license.Tight:
	default:
		return false, refusal.New(refusal.UnsupportedVersion, "The loan has the tolerance %q, which this program does not know. Nothing was changed.", body.Tolerance).
			Hinted("Install a newer version of licet, then run the command again.")
	}
	if into := body.Terms.Borrow.Containers; l.Kind == seats.Loan && !into.Allows(b.kind()) {
		return false, refusal.New(refusal.BorrowNotAllowed, "The vendor lets seats of %s be lent into containers of the kind %s alone, and this one is of the kind %s. Nothing was changed.", l.Product, into, b.kind()).
			With("containers", into.List()).With("kind", b.kind())
	}
	old, had := b.Loans[l.ID]
	if had && (old.License != l.License || old.Generation != l.Generation || old.Server != l.Server || old.Units != l.Units) {
		return false, nil // a server that was put back has used the name again; what is here counts
	}
	kept, whole := b.bodies[bodyOf(l.ID)]
	// The same loan may come again in a newer document, under another key of the vendor.
	same := old.Until == l.Until && old.From <= l.From && !bytes.Equal(kept.Data, document)
	if had && whole && !kept.Reissue && old.Until >= l.Until && !same {
		return false, nil
	}
	if address == "" {
		address = old.Address
	}
	b.Loans[l.ID] = loan{
		Kind: l.Kind, Product: l.Product, Name: body.Name, License: l.License, Generation: l.Generation,
		Server: l.Server, Address: address, Seats: l.Seats, From: l.From, Until: l.Until,
		Tolerance: body.Tolerance, Repair: body.Repair, Units: l.Units, Used: old.Used,
	}
	b.bodies[bodyOf(l.ID)] = containerfile.Body{License: string(bodyOf(l.ID)), Tolerance: string(body.Tolerance), Data: document}
	return true, nil
}

// drop takes a loan out, for good.
func (b *box) drop(id seats.LeaseID) {
	l, ok := b.Loans[id]
	if !ok {
		return
	}
	delete(b.Loans, id)
	delete(b.bodies, bodyOf(id))
	b.Returns[id] = returned{Server: l.Server, Address: l.Address, Product: l.Product, Until: l.Until, Units: l.Units, Used: l.Used}
}

// forget clears what a server itself says is over, by its time. Units that moved here
// can be returned after their end too.
func (b *box) forget(server license.Serial, now license.Time) {
	for id, l := range b.Loans {
		if l.Server == server && l.Units == 0 && !terms.Before(now, l.Until) {
			delete(b.Loans, id)
			delete(b.bodies, bodyOf(id))
		}
	}
	for id, r := range b.Returns {
		if r.Server == server && !terms.Before(now, r.Until) && (r.Units == 0 || r.Confirmed) {
			delete(b.Returns, id)
		}
	}
}

// holds and gaveBack are what the container confirms to a server whenever it
// speaks to it; to one whose container is not known yet, everything.
func (b *box) holds(server license.Serial) []seats.Held {
	list := []seats.Held{}
	for _, id := range b.loans() {
		if l := b.Loans[id]; l.Server == server || server == "" && l.Units == 0 {
			list = append(list, seats.Held{Lease: id, Until: l.Until, Units: l.Units, Used: l.Used})
		}
	}
	return list
}

// closed is what it says of units that moved here and came to their end, to the server
// alone from which they are.
func (b *box) closed(server license.Serial) (list []seats.Closed) {
	for id, r := range b.Returns {
		if !r.Confirmed && r.Units > 0 && r.Server == server {
			list = append(list, seats.Closed{Lease: id, Used: r.Used})
		}
	}
	slices.SortFunc(list, func(a, b seats.Closed) int { return strings.Compare(string(a.Lease), string(b.Lease)) })
	return list
}

// waits lists what was given back, seats and units, of which its server does not know.
func (b *box) waits() []seats.LeaseID {
	list := []seats.LeaseID{}
	for id, r := range b.Returns {
		if !r.Confirmed {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func (b *box) gaveBack(server license.Serial) []seats.LeaseID {
	list := []seats.LeaseID{}
	for id, r := range b.Returns {
		if !r.Confirmed && r.Units == 0 && (server == "" || r.Server == server) {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// verifierOf checks what a vendor and his license servers signed for a container.
func (b *box) verifierOf(v vendor) (*seal.Verifier, error) {
	return b.newest(v).verifier(b.Certificates)
}
