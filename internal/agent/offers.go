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

// OffersRequest asks what a machine has and may have.
type OffersRequest struct {
	Vendor  string   `json:"vendor,omitempty"`  // id; all if empty
	Product string   `json:"product,omitempty"` // all if empty
	Servers []string `json:"servers,omitempty"` // to be asked; the machine's list if empty
}

// offerPatience is how long license servers may take to say what they have.
const offerPatience = 2 * time.Second

// Offers tells for each product where it comes from, until when, and what can be
// done. It asks the license servers, if the machine knows any.
func (a *Agent) Offers(ctx context.Context, in OffersRequest) (wire.Offers, error) {
	here, err := a.offersHere(ctx, in)
	if err != nil {
		return wire.Offers{}, err
	}
	// To look at what is here must not take its time: only servers that are known are
	// asked.
	servers := in.Servers
	if len(servers) == 0 {
		known, err := a.Servers(ctx, Nothing{})
		if err != nil {
			return wire.Offers{}, err
		}
		servers = known.List
	}
	if servers, err = addresses(servers); err != nil {
		return wire.Offers{}, err
	}
	there, silent := a.askServers(ctx, in.Vendor, servers)
	list := []wire.Offer{}
	for _, o := range here {
		if n, ok := there[keyOf(o)]; ok {
			onNetwork(&o, n)
			delete(there, keyOf(o))
		}
		list = append(list, o)
	}
	for _, o := range there {
		if in.Product == "" || o.Product == in.Product {
			list = append(list, o)
		}
	}
	for i := range list {
		list[i].Can = can(list[i])
	}
	slices.SortFunc(list, func(a, b wire.Offer) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Vendor, b.Vendor))
	})
	return wire.Offers{Products: list, Silent: silent}, nil
}

type offerKey struct{ vendor, product string }

func keyOf(o wire.Offer) offerKey { return offerKey{o.Vendor, o.Product} }

// offersHere is the best of each product that this machine has itself.
func (a *Agent) offersHere(ctx context.Context, in OffersRequest) ([]wire.Offer, error) {
	inventory, err := a.List(ctx, Nothing{})
	if err != nil {
		return nil, err
	}
	best := map[offerKey]wire.Offer{}
	for _, c := range inventory.Containers {
		if in.Vendor != "" && c.VendorID != in.Vendor {
			continue
		}
		for _, l := range c.Licenses {
			if in.Product != "" && l.Product != in.Product {
				continue
			}
			o := wire.Offer{
				Product: l.Product, Name: l.Name, Vendor: c.VendorID, State: wire.OfferLocal, Code: l.Code, Reason: l.Reason,
				Until: l.ValidUntil, Where: "container " + string(c.Serial), Loan: l.Loan,
			}
			switch {
			case !l.Usable:
				o.State = wire.OfferDisabled
			case l.Loan != nil:
				o.State = wire.OfferBorrowed
			}
			if l.Loan != nil {
				o.Where = l.Loan.Source()
			}
			if old, ok := best[keyOf(o)]; !ok || rank(o) > rank(old) {
				best[keyOf(o)] = o
			}
		}
	}
	var list []wire.Offer
	for _, o := range best {
		list = append(list, o)
	}
	return list, nil
}

// rank says which of two is told.
func rank(o wire.Offer) int {
	return slices.Index([]string{wire.OfferDisabled, wire.OfferBorrowed, wire.OfferLocal}, o.State)
}

// askServers asks license servers what they have; the first one that has something free
// tells of a product.
func (a *Agent) askServers(ctx context.Context, vendor string, servers []string) (map[offerKey]wire.Offer, []string) {
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
	found := map[offerKey]wire.Offer{}
	var quiet []string
	for i, list := range answers {
		if failed[i] != nil {
			quiet = append(quiet, servers[i])
			continue
		}
		for _, p := range list {
			o := wire.Offer{
				Product: p.Product, Name: p.Name, Vendor: p.Vendor, State: wire.OfferNetwork, Code: p.Code, Reason: p.Reason,
				Where: servers[i], Free: p.Free, Seats: p.Seats, Borrow: p.Borrow && p.Into.Allows(license.Machine), Longest: p.Longest,
			}
			old, known := found[keyOf(o)]
			if known && (old.Code == refusal.Valid || o.Code != refusal.Valid) {
				old.Free, old.Seats = old.Free+o.Free, old.Seats+o.Seats
				o = old
			} else if known {
				o.Free, o.Seats = old.Free+o.Free, old.Seats+o.Seats
			}
			found[keyOf(o)] = o
		}
	}
	return found, quiet
}

// onNetwork adds what a license server has of a product that is here too. What is
// here and cannot be used gives way to what the network has.
func onNetwork(o *wire.Offer, n wire.Offer) {
	o.Free, o.Seats, o.Longest, o.Borrow = n.Free, n.Seats, n.Longest, n.Borrow
	if o.State == wire.OfferDisabled && n.Code == refusal.Valid {
		o.State, o.Code, o.Reason, o.Until, o.Where = wire.OfferNetwork, n.Code, "", 0, n.Where
	}
}

func can(o wire.Offer) []string {
	list := []string{}
	add := func(what string, possible bool) {
		if possible {
			list = append(list, what)
		}
	}
	add(wire.CanUse, o.Code == refusal.Valid)
	add(wire.CanDeactivate, o.Loan == nil && o.State == wire.OfferLocal)
	add(wire.CanReturn, o.Loan != nil && o.State == wire.OfferBorrowed)
	add(wire.CanExtend, o.Loan != nil && o.State == wire.OfferBorrowed && o.Borrow)
	add(wire.CanBorrow, o.State == wire.OfferNetwork && o.Borrow)
	return list
}
