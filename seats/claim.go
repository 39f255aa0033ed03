package seats

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"licet/license"
	"licet/refusal"
)

// Limits of what a claim may hold.
const (
	maxNonce    = 128
	maxFeatures = 64
	shortestTTL = license.Duration(1e9) // a second
)

// Claim gives the caller a seat, its own again if the wish was granted before,
// a place in the queue if it wants to wait (detail "queue", a Waiting), or says
// why not. Records come with a refusal too: of what was over meanwhile.
func (e *Engine) Claim(now license.Time, who Caller, c Claim, mint Mint) (Grant, []Record, *refusal.Refusal) {
	if r := invalid(who, c.Nonce, c.Product, c.Features); r != nil {
		return Grant{}, nil, r
	}
	var records []Record
	if !e.limits.Lazy {
		for _, p := range e.products[c.Product] {
			records = e.expire(now, p, records)
		}
	}
	wish := c.wish(&who)
	if l := e.wishes[wish]; l != nil && l.pool.halted(now) == nil {
		g, r := e.extend(now, l, c.Nonce)
		g.Repeated = true
		return g, records, r
	}
	d := e.rules.Decide(who, c.Product)
	if !d.Allow {
		e.leave(who, c.Product)
		return Grant{}, records, denied(who, c.Product, d)
	}
	if len(e.leases) >= e.limits.MaxLeases {
		return Grant{}, records, refusal.New(refusal.RateLimited, "The license server has given out as many seats as it can keep, %d.", e.limits.MaxLeases).
			Hinted("Try again in a minute; the server's administrator can raise the number.")
	}
	a := ask{who: who, claim: &c, decision: &d}
	choice, why, t, records := e.choose(now, a, records)
	if why != none {
		return Grant{}, records, e.wait(now, a, e.explain(now, a, choice, why, &t))
	}
	e.leave(who, c.Product)
	rec, r := e.grantSession(now, a, choice, wish, mint)
	if r != nil {
		return Grant{}, records, r
	}
	records = append(records, rec)
	return Grant{Lease: rec.Lease, Token: rec.Token, TTL: between(rec.Lease.From, rec.Lease.Until)}, records, nil
}

// wish names a claim; none has the zero value, which a claim without a nonce gets.
func (c *Claim) wish(who *Caller) Wish {
	if c.Nonce == "" {
		return Wish{}
	}
	return wishOf(who.Client.ID, who.Client.Host, who.Client.User, c.Nonce, c.Product)
}

// invalid says what of a claim or wish nobody can mean.
func invalid(who Caller, nonce, product string, features []string) *refusal.Refusal {
	switch {
	case product == "":
		return refusal.New(refusal.InvalidInput, "The request names no product.")
	case len(nonce) > maxNonce:
		return refusal.New(refusal.InvalidInput, "The nonce is longer than %d characters.", maxNonce)
	case len(features) > maxFeatures || len(who.Client.Groups) > maxGroups:
		return refusal.New(refusal.InvalidInput, "The request names more than %d features or %d groups.", maxFeatures, maxGroups)
	case who.Client.PID < 0:
		return refusal.New(refusal.InvalidInput, "The process number is negative.")
	}
	names := [...]string{who.Client.ID, who.Client.Host, who.Client.User, product, nonce}
	if slices.ContainsFunc(names[:], badName) || slices.ContainsFunc(who.Client.Groups, badName) || slices.ContainsFunc(features, badName) {
		return refusal.New(refusal.InvalidInput, "A name in the request is longer than %d bytes or has characters that cannot be printed.", maxName)
	}
	return nil
}

func badName(n string) bool {
	if len(n) <= maxName && plain(n) {
		return false
	}
	return len(n) > maxName || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl)
}

// plain reports whether a text has printable ASCII alone, as nearly all have.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func denied(who Caller, product string, d Decision) *refusal.Refusal {
	r := refusal.New(refusal.SeatDenied, "The license server's rules give no seat of %s to the user %s on %s.", product, orNobody(who.Client.User), orNobody(who.Client.Host))
	if d.Line > 0 {
		r.With("line", d.Line)
	}
	return r
}

func orNobody(name string) string {
	if name == "" {
		return "(not named)"
	}
	return name
}

// ask is a claim with what the rules say of it.
type ask struct {
	who      Caller
	claim    *Claim
	decision *Decision
}

// choice is where a seat comes from.
type choice struct {
	pool     *pool
	takes    int64  // seats that must be free for it
	replaces *lease // the own seat that lingers
	shares   bool   // the station has a seat
}

// tally is what earlier ones in the queue will take.
type tally struct {
	seats map[*pool]int64
	used  map[int]int64
}

// choose finds the seat for an ask, or says why there is none. Who waits longer
// is served before: their seats count as taken. Where overdue sessions keep their
// seats, they lose them now, one after the other, the one that is most overdue
// first.
func (e *Engine) choose(now license.Time, a ask, records []Record) (choice, obstacle, tally, []Record) {
	for {
		var t tally
		if q := e.queues[a.claim.Product]; q != nil {
			q.purge(e.up(now))
			t = e.ahead(now, q, a.who)
		}
		c, why := e.pick(now, a, &t)
		if !e.limits.Lazy || why != full && why != limited && why != reserved {
			return c, why, t, records
		}
		l := e.mostOverdue(now, a, why)
		if l == nil {
			return c, why, t, records
		}
		records = e.over(now, l, records)
	}
}

// mostOverdue is the session whose end helps an ask; nil if there is none.
func (e *Engine) mostOverdue(now license.Time, a ask, why obstacle) (most *lease) {
	for _, p := range e.products[a.claim.Product] {
		l := p.sessions.first()
		if l == nil || l.due > e.up(now) || !p.suits(now, a.claim) || why == limited && l.rule != a.decision.rule {
			continue
		}
		if most == nil || l.due < most.due {
			most = l
		}
	}
	return most
}

// obstacle is why a license that suits has no seat for an ask now.
type obstacle byte

const (
	none      obstacle = iota
	unfit              // no license suits
	full               // all seats are taken
	limited            // by a rule's limit
	reserved           // free seats are kept for others
	uncertain          // R27
)

// pick is the best license that has a seat for an ask (see order), beside what
// others are to get.
func (e *Engine) pick(now license.Time, a ask, t *tally) (best choice, why obstacle) {
	why = unfit
	for _, p := range e.products[a.claim.Product] {
		if !p.suits(now, a.claim) {
			continue
		}
		c := e.seat(p, a)
		if o := e.fits(now, a, c, t); o != none {
			if why != none && (why == unfit || o != uncertain) {
				best, why = c, o
			}
			continue
		}
		if why != none || better(now, c, best) {
			best, why = c, none
		}
	}
	return best, why
}

// explain is an obstacle as a refusal.
func (e *Engine) explain(now license.Time, a ask, c choice, why obstacle, t *tally) *refusal.Refusal {
	product := a.claim.Product
	switch d := a.decision; why {
	case full:
		return refusal.New(refusal.NoSeatFree, "All %d seats of %s are taken: %s.", c.pool.src.Terms.Seats, product, c.pool.whoHasThem()).
			With("seats", c.pool.src.Terms.Seats)
	case limited:
		return refusal.New(refusal.NoSeatFree, "The license server's rules give you and those like you %d seats of %s together, and they are taken.", d.Limit, product).
			With("limit", d.Limit).With("line", d.Line)
	case reserved:
		kept := e.kept(product, d.rule, t)
		return refusal.New(refusal.NoSeatFree, "The license server's rules keep the seats of %s that are free for others: %d.", product, kept).
			With("reserved", kept)
	case uncertain:
		r := refusal.New(refusal.SeatsUncertain, "The license server lost its record of who has which seat of %s, and seats that may still be in use are not given out.", product)
		if at := e.certain(now, c.pool); at != 0 {
			return r.With("until", at)
		}
		return r.Hinted("Seats of this license can move for good, so that only the server's administrator can say that none did.")
	}
	var best *refusal.Refusal
	for _, p := range e.products[product] {
		if r := p.unsuited(now, a.claim); best == nil || best.Code == refusal.NoLicense {
			best = r
		}
	}
	if best == nil {
		best = refusal.New(refusal.NoLicense, "The license server has no license for %s.", product).
			Hinted("Ask the server's administrator; licet servers shows what there is.")
	}
	return best
}

// better prefers a seat that is the caller's already.
func better(now license.Time, a, b choice) bool {
	if a.own() != b.own() {
		return a.own()
	}
	return order(now, a.pool, b.pool) < 0
}

func (c choice) own() bool { return c.shares || c.replaces != nil }

// seat is how a license would serve an ask.
func (e *Engine) seat(p *pool, a ask) choice {
	c := choice{pool: p, takes: p.need(a.claim)}
	if p.counting() == license.PerStation && !a.claim.Exclusive {
		c.shares = p.stations[stationOf(a.who)] != nil
	} else if idle := p.idle[idleKey{stationOf(a.who), fold(a.who.Client.User)}]; len(idle) > 0 {
		if i := slices.IndexFunc(idle, func(l *lease) bool { return l.takes == c.takes }); i >= 0 {
			c.replaces = idle[i]
		}
	}
	return c
}

// fits says what stands between an ask and a seat.
func (e *Engine) fits(now license.Time, a ask, c choice, t *tally) obstacle {
	if c.own() {
		return none
	}
	product, d := c.pool.src.Product, a.decision
	if used := e.used[usedKey{d.rule, product}] + t.used[d.rule]; d.Limit > 0 && used+max(1, c.takes) > d.Limit {
		return limited
	}
	if c.takes == 0 {
		return none
	}
	if e.available(now, c.pool)-t.seats[c.pool] < c.takes {
		if c.pool.free() >= c.takes && e.unknown(now, c.pool) > 0 {
			return uncertain
		}
		return full
	}
	if kept := e.kept(product, d.rule, t); kept > 0 && e.freeOf(now, product, t)-c.takes < kept {
		return reserved
	}
	return none
}

// kept is how many seats rules keep for others.
func (e *Engine) kept(product string, own int, t *tally) (kept int64) {
	for _, i := range e.reserves[product] {
		if i != own {
			kept += max(0, e.rules.rules[i].reserve-e.used[usedKey{i, product}]-t.used[i])
		}
	}
	return kept
}

// freeOf is how many seats of a product can be given out.
func (e *Engine) freeOf(now license.Time, product string, t *tally) (free int64) {
	for _, p := range e.products[product] {
		if p.counted() && p.usable(now) {
			free += max(0, e.available(now, p)-t.seats[p])
		}
	}
	return free
}

// grantSession makes a session so.
func (e *Engine) grantSession(now license.Time, a ask, c choice, wish Wish, mint Mint) (Record, *refusal.Refusal) {
	id, token := mint()
	if e.leases[id] != nil || id == "" {
		return Record{}, refusal.New(refusal.Internal, "The license server drew a name for the seat that is taken.")
	}
	p := c.pool
	ttl := min(max(a.claim.TTL, shortestTTL), e.limits.Longest)
	if a.claim.TTL == 0 {
		ttl = e.limits.Session
	}
	r := Record{
		Kind: Granted, Time: now, Vendor: p.src.Vendor, Address: a.who.Address.WithZone(""), Local: a.who.Local, Token: token, TTL: ttl,
		Takes: c.takes, Wish: wish,
		Station: p.counting() == license.PerStation && !a.claim.Exclusive,
		Lease: Lease{
			ID: id, Kind: Session, Server: p.key.container, License: p.key.license, Generation: p.src.Generation,
			Product: p.src.Product, Seats: max(1, c.takes), Client: a.who.Client, Nonce: a.claim.Nonce,
			From: now, Until: p.capped(now, plus(now, ttl)), Fence: e.nextFence(now),
		},
	}
	if c.replaces != nil {
		r.Replaces = c.replaces.id
	}
	return r, e.must(&r)
}

// must applies a record that the engine made itself.
func (e *Engine) must(r *Record) *refusal.Refusal {
	if err := e.apply(r); err != nil {
		return refusal.New(refusal.Internal, "The license server contradicts itself.")
	}
	return nil
}
