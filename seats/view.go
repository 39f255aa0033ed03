package seats

import (
	"cmp"
	"slices"

	"licet/license"
	"licet/refusal"
)

// Waiting is the detail "queue" of a refusal with no_seat_free where the caller
// asked to wait: its place, 1 is next. Asking again within Keep keeps it.
type Waiting struct {
	Place int              `json:"place"`
	Keep  license.Duration `json:"keep"`
}

// LeaseView is a lease as administrators see it.
type LeaseView struct {
	Lease     LeaseID        `json:"lease"`
	Kind      LeaseKind      `json:"kind"`
	License   license.ID     `json:"license"`
	Product   string         `json:"product"`
	Vendor    string         `json:"vendor"`
	Seats     int64          `json:"seats"`
	Units     int64          `json:"units,omitzero"` // that moved for good, in place of seats
	Used      int64          `json:"used,omitzero"`  // of them, as their holder said last
	Client    Client         `json:"client"`
	Address   string         `json:"address,omitempty"` // where the claim came from
	Since     license.Time   `json:"since"`
	Last      license.Time   `json:"last"` // of the latest extension
	ExpiresAt license.Time   `json:"expires_at"`
	Holder    license.Serial `json:"holder,omitempty"`
	Confirmed bool           `json:"confirmed,omitempty"` // a loan that its holder is known to have
	Lingers   bool           `json:"lingers,omitempty"`   // released, and taken until ExpiresAt
}

// WaiterView is who waits for a seat of a product.
type WaiterView struct {
	Product string       `json:"product"`
	Place   int          `json:"place"` // 1 is next
	Client  Client       `json:"client"`
	Address string       `json:"address,omitempty"` // where the claim came from
	Since   license.Time `json:"since"`
	Until   license.Time `json:"until"` // the place is kept, unless its owner asks again
}

// PoolView is the seats of one license.
type PoolView struct {
	License  license.ID     `json:"license"`
	Product  string         `json:"product"`
	Name     string         `json:"name"`
	Vendor   string         `json:"vendor"`
	Features []string       `json:"features"`
	Counting string         `json:"counting"`
	Seats    int64          `json:"seats"` // as the vendor signed
	Leased   int64          `json:"leased"`
	Lent     int64          `json:"lent"` // loans and transfers
	Free     int64          `json:"free"`
	Waiting  int            `json:"waiting"`
	Usable   bool           `json:"usable"`
	Code     refusal.Code   `json:"code"` // valid, or why nothing is granted
	Reason   string         `json:"reason,omitempty"`
	Until    license.Time   `json:"until,omitzero"` // nothing is granted before this moment (R27)
	Borrow   license.Borrow `json:"borrow,omitzero"`
	Lendable int64          `json:"lendable"` // seats that could be lent now
}

// ProductView is what one caller may have of a product.
type ProductView struct {
	Product string           `json:"product"`
	Name    string           `json:"name"`
	Vendor  string           `json:"vendor"`
	Free    int64            `json:"free"`
	Seats   int64            `json:"seats"`
	Borrow  bool             `json:"borrow"`
	Into    license.KindSet  `json:"into,omitzero"`    // kinds of container it is lent into; "" for every kind
	Longest license.Duration `json:"longest,omitzero"` // loan
	Code    refusal.Code     `json:"code"`
	Reason  string           `json:"reason,omitempty"`
}

// sorted is all pools in the order of their names.
func (e *Engine) sorted() []*pool {
	pools := make([]*pool, 0, len(e.pools))
	for _, p := range e.pools {
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b *pool) int {
		return cmp.Or(cmp.Compare(a.src.Product, b.src.Product), cmp.Compare(a.key.license, b.key.license), cmp.Compare(a.key.container, b.key.container))
	})
	return pools
}

// Pools is every license that seats come from, or came from and are still out.
func (e *Engine) Pools(now license.Time) []PoolView {
	views := make([]PoolView, 0, len(e.pools))
	for _, p := range e.sorted() {
		v := PoolView{
			License: p.key.license, Product: p.src.Product, Name: p.src.Name, Vendor: p.src.Vendor, Features: slices.Clone(p.src.Features),
			Counting: string(p.counting()), Seats: p.src.Terms.Seats, Leased: p.taken, Lent: p.lent + p.moved, Free: p.free(),
			Usable: true, Code: refusal.Valid, Borrow: p.src.Terms.Borrow, Lendable: e.lendable(now, p), Until: e.certain(now, p),
		}
		if v.Features == nil {
			v.Features = []string{}
		}
		if !p.counted() {
			v.Leased, v.Lent = p.count, p.loans
		}
		if r := p.refused(now); r != nil {
			v.Usable, v.Code, v.Reason = false, r.Code, r.Message
		} else if e.unknown(now, p) >= p.src.Terms.Seats && p.counted() {
			r := e.explain(now, ask{claim: &Claim{Product: p.src.Product}}, choice{pool: p}, uncertain, nil)
			v.Usable, v.Code, v.Reason = false, r.Code, r.Message
		}
		if q := e.queues[p.src.Product]; q != nil && !p.gone {
			q.purge(e.up(now))
			for _, w := range q.waiting {
				if p.suits(now, &w.claim) {
					v.Waiting++
				}
			}
		}
		views = append(views, v)
	}
	return views
}

// Leases is everything that is out, lingering seats too, the oldest first.
func (e *Engine) Leases() []LeaseView {
	views := make([]LeaseView, 0, len(e.leases))
	for _, l := range e.leases {
		views = append(views, e.view(l))
	}
	slices.SortFunc(views, func(a, b LeaseView) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Lease, b.Lease))
	})
	return views
}

// Queue is who waits, product by product in the order of the places.
func (e *Engine) Queue(now license.Time) []WaiterView {
	views := []WaiterView{}
	for product, q := range e.queues {
		q.purge(e.up(now))
		for i, w := range q.waiting {
			v := WaiterView{Product: product, Place: i + 1, Client: w.who.Client, Since: w.since + e.skew, Until: w.until + e.skew}
			if w.who.Address.IsValid() {
				v.Address = w.who.Address.String()
			}
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b WaiterView) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Place, b.Place))
	})
	return views
}

// Lease is one lease; ok is false if there is none of this name.
func (e *Engine) Lease(id LeaseID) (v LeaseView, ok bool) {
	l := e.leases[id]
	if l == nil {
		return LeaseView{}, false
	}
	return e.view(l), true
}

func (e *Engine) view(l *lease) LeaseView {
	v := LeaseView{
		Lease: l.id, Kind: l.kind, License: l.pool.key.license, Product: l.pool.src.Product, Vendor: l.pool.src.Vendor,
		Seats: l.seats, Client: l.client, Since: l.from, Last: l.last, ExpiresAt: l.until, Lingers: l.lingers,
	}
	if l.kind == Session {
		v.ExpiresAt += e.skew
	}
	if l.address.IsValid() {
		v.Address = l.address.String()
	}
	if l.loan != nil {
		v.Holder, v.Confirmed = l.loan.holder, l.loan.confirmed
	}
	return v
}

// Products is what the caller may have now, of one vendor unless that is "". What
// the rules deny is not named.
func (e *Engine) Products(now license.Time, who Caller, vendor string) []ProductView {
	byName := map[[2]string]*ProductView{}
	for _, p := range e.sorted() {
		d := e.rules.Decide(who, p.src.Product)
		if p.gone || vendor != "" && vendor != p.src.Vendor || !d.Allow {
			continue
		}
		k := [2]string{p.src.Vendor, p.src.Product}
		v := byName[k]
		if v == nil {
			v = &ProductView{Product: p.src.Product, Name: p.src.Name, Vendor: p.src.Vendor}
			byName[k] = v
		}
		if r := p.refused(now); r != nil {
			if v.Code == "" {
				v.Code, v.Reason = r.Code, r.Message
			}
			continue
		}
		v.Code, v.Reason = refusal.Valid, ""
		v.Seats += p.src.Terms.Seats
		v.Free += e.available(now, p)
		if d.Limit > 0 {
			v.Free = min(v.Free, max(0, d.Limit-e.used[usedKey{d.rule, p.src.Product}]))
		}
		if e.lendable(now, p) > 0 && !d.NoLoan && !e.limits.NoLoans {
			into := p.src.Terms.Borrow.Containers
			if v.Borrow && (v.Into == "" || into == "") {
				into = ""
			} else if v.Borrow {
				into = license.KindsOf(append(v.Into.List(), into.List()...)...)
			}
			v.Borrow, v.Into, v.Longest = true, into, max(v.Longest, e.longest(p, &d))
		}
	}
	views := make([]ProductView, 0, len(byName))
	for _, v := range byName {
		views = append(views, *v)
	}
	slices.SortFunc(views, func(a, b ProductView) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Vendor, b.Vendor))
	})
	return views
}

// Lent is what is out of a container's license: seats on loan, seats moved for
// good, and when the last of them is back by itself; 0 if none is out or one
// has no end.
func (e *Engine) Lent(c license.Serial, id license.ID) (onLoan, forGood int64, until license.Time) {
	endless := false
	for _, l := range e.leases {
		switch {
		case l.loan == nil || l.pool.key != poolKey{c, id}:
			continue
		case l.kind == Loan:
			onLoan += l.seats
		default:
			forGood += l.seats
		}
		endless = endless || l.until == 0
		until = max(until, l.until)
	}
	if endless {
		until = 0
	}
	return onLoan, forGood, until
}
