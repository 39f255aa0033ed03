package agent

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// States of a product for a machine.
const (
	OfferLocal    = "local"    // a license of its own may be used
	OfferBorrowed = "borrowed" // a loan may be used
	OfferNetwork  = "network"  // a license server has it
	OfferDisabled = "disabled" // something of it is here, and cannot be used now
)

// What can be done with a product on this machine.
const (
	CanUse        = "use"        // a program may run now
	CanBorrow     = "borrow"     // licet borrow
	CanReturn     = "return"     // licet return
	CanExtend     = "extend"     // licet borrow --extend
	CanDeactivate = "deactivate" // licet deactivate
)

// OffersRequest asks what a machine has and may have.
type OffersRequest struct {
	Vendor  string   `json:"vendor,omitempty"`  // id; all if empty
	Product string   `json:"product,omitempty"` // all if empty
	Servers []string `json:"servers,omitempty"` // to be asked; the machine's list if empty
}

// Offer is what a machine has and may have of one product.
type Offer struct {
	Product  string           `json:"product"`
	Name     string           `json:"name,omitempty"`
	Vendor   string           `json:"vendor"` // id
	State    string           `json:"state"`  // local, borrowed, network or disabled
	Code     refusal.Code     `json:"code"`   // valid, or why it cannot be used now
	Reason   string           `json:"reason,omitempty"`
	Until    license.Time     `json:"valid_until,omitzero"`
	Where    string           `json:"where"` // the container, the lender, or the server's address
	Loan     *Loan            `json:"loan,omitempty"`
	Free     int64            `json:"free"`  // seats on the network
	Seats    int64            `json:"seats"` // of them all
	Longest  license.Duration `json:"longest_loan,omitzero"`
	Can      []string         `json:"can"`
	Silent   []string         `json:"silent,omitempty"` // servers that did not answer
	Lendable bool             `json:"-"`
}

// offerPatience is how long license servers may take to say what they have.
const offerPatience = 2 * time.Second

// Offers tells for each product where it comes from, until when, and what can be
// done. It asks the license servers, if the machine knows any.
func (a *Agent) Offers(ctx context.Context, in OffersRequest) ([]Offer, error) {
	here, err := a.offersHere(ctx, in)
	if err != nil {
		return nil, err
	}
	servers, err := a.serversFor(in.Servers)
	if refusal.Is(err, refusal.ServerUnreachable) {
		servers, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	there, silent := a.askServers(ctx, in.Vendor, servers)
	list := []Offer{}
	for _, o := range here {
		if n, ok := there[o.key()]; ok {
			o.network(n)
			delete(there, o.key())
		}
		list = append(list, o)
	}
	for _, o := range there {
		if in.Product == "" || o.Product == in.Product {
			list = append(list, o)
		}
	}
	for i := range list {
		list[i].Can, list[i].Silent = list[i].can(), silent
	}
	slices.SortFunc(list, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Vendor, b.Vendor))
	})
	return list, nil
}

type offerKey struct{ vendor, product string }

func (o Offer) key() offerKey { return offerKey{o.Vendor, o.Product} }

// offersHere is the best of each product that this machine has itself.
func (a *Agent) offersHere(ctx context.Context, in OffersRequest) ([]Offer, error) {
	inventory, err := a.List(ctx, Nothing{})
	if err != nil {
		return nil, err
	}
	best := map[offerKey]Offer{}
	for _, c := range inventory.Containers {
		if in.Vendor != "" && c.VendorID != in.Vendor {
			continue
		}
		for _, l := range c.Licenses {
			if in.Product != "" && l.Product != in.Product {
				continue
			}
			o := Offer{
				Product: l.Product, Name: l.Name, Vendor: c.VendorID, State: OfferLocal, Code: l.Code, Reason: l.Reason,
				Until: l.ValidUntil, Where: "container " + string(c.Serial), Loan: l.Loan,
			}
			switch {
			case !l.Usable:
				o.State = OfferDisabled
			case l.Loan != nil:
				o.State = OfferBorrowed
			}
			if l.Loan != nil {
				o.Where = LoanSource(l.Loan.Kind, l.Loan.Server, 0)
			}
			if old, ok := best[o.key()]; !ok || o.rank() > old.rank() {
				best[o.key()] = o
			}
		}
	}
	var list []Offer
	for _, o := range best {
		list = append(list, o)
	}
	return list, nil
}

// rank says which of two is told.
func (o Offer) rank() int {
	return slices.Index([]string{OfferDisabled, OfferBorrowed, OfferLocal}, o.State)
}

// askServers asks license servers what they have; the first one that has something free
// tells of a product.
func (a *Agent) askServers(ctx context.Context, vendor string, servers []string) (map[offerKey]Offer, []string) {
	ctx, cancel := context.WithTimeout(ctx, offerPatience)
	defer cancel()
	answers, failed := make([][]wire.ProductView, len(servers)), make([]error, len(servers))
	var asking sync.WaitGroup
	for i, address := range servers {
		asking.Go(func() {
			s, err := a.seatsAt(address, vendor)
			if err != nil {
				failed[i] = err
				return
			}
			defer s.Close()
			answers[i], failed[i] = s.Products(ctx, vendor)
		})
	}
	asking.Wait()
	found := map[offerKey]Offer{}
	var quiet []string
	for i, list := range answers {
		if failed[i] != nil {
			quiet = append(quiet, servers[i])
			continue
		}
		for _, p := range list {
			o := Offer{
				Product: p.Product, Name: p.Name, Vendor: p.Vendor, State: OfferNetwork, Code: p.Code, Reason: p.Reason,
				Where: servers[i], Free: p.Free, Seats: p.Seats, Lendable: p.Borrow, Longest: p.Longest,
			}
			old, known := found[o.key()]
			if known && (old.Code == refusal.Valid || o.Code != refusal.Valid) {
				old.Free, old.Seats = old.Free+o.Free, old.Seats+o.Seats
				o = old
			} else if known {
				o.Free, o.Seats = old.Free+o.Free, old.Seats+o.Seats
			}
			found[o.key()] = o
		}
	}
	return found, quiet
}

// network adds what a license server has of a product that is here too. What is
// here and cannot be used gives way to what the network has.
func (o *Offer) network(n Offer) {
	o.Free, o.Seats, o.Longest, o.Lendable = n.Free, n.Seats, n.Longest, n.Lendable
	if o.State == OfferDisabled && n.Code == refusal.Valid {
		o.State, o.Code, o.Reason, o.Until, o.Where = OfferNetwork, n.Code, "", 0, n.Where
	}
}

func (o Offer) can() []string {
	can := []string{}
	add := func(what string, possible bool) {
		if possible {
			can = append(can, what)
		}
	}
	add(CanUse, o.Code == refusal.Valid)
	add(CanDeactivate, o.Loan == nil && o.State == OfferLocal)
	add(CanReturn, o.Loan != nil && o.State == OfferBorrowed)
	add(CanExtend, o.Loan != nil && o.State == OfferBorrowed && o.Lendable)
	add(CanBorrow, o.State == OfferNetwork && o.Lendable)
	return can
}
