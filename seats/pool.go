package seats

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"licet/license"
	"licet/refusal"
	"licet/terms"
)

// poolKey names a pool for ever: a container holds a license at most once. The
// generation is not in it, so that what was granted from an earlier one still
// counts.
type poolKey struct {
	container license.Serial
	license   license.ID
}

// pool is the seats of one license. That is a count: no seat has a name.
type pool struct {
	key  poolKey
	src  Source
	gone bool // no source has it now

	taken int64 // seats that sessions have, lingering ones included
	lent  int64 // seats on loan
	moved int64 // seats transferred for good
	loans int64 // loans that are out; more than lent only where nothing is counted
	count int64 // sessions
	out   int   // leases of all kinds

	sessions heap // by when their seats are free, as the engine's running time
	dated    heap // loans and transfers with an end, by when their seats are free, by wall clock

	stations map[station]*stationSeat // where stations are counted
	idle     map[idleKey][]*lease     // lingering, by who had them, where starts are counted

	checked  license.Time // when verdict was taken; 0 is never
	changes  license.Time // when it may be another
	verdict  terms.Verdict
	features map[string]bool
}

// station is a machine, as far as the server can tell: the name that the program
// gives, and the address that the server sees. Both, so that machines which all
// give the same name do not share a seat.
type station struct {
	host string
	from netip.Addr
}

// stationSeat is the one seat of all that run on a station.
type stationSeat struct {
	leases int
	rule   int // that the seat counts for
}

// idleKey is who gets a lingering seat back.
type idleKey struct {
	station
	user string
}

func stationOf(who Caller) station {
	s := station{host: foldHost(who.Client.Host), from: who.Address.Unmap()}
	if who.Local {
		s.from = netip.Addr{} // however this machine reaches itself
	}
	return s
}

func newPool(k poolKey) *pool {
	return &pool{key: k, gone: true, stations: map[station]*stationSeat{}, idle: map[idleKey][]*lease{}}
}

func (p *pool) setSource(s Source) {
	p.src, p.gone, p.checked = s, false, 0
	p.features = make(map[string]bool, len(s.Features))
	for _, f := range s.Features {
		p.features[f] = true
	}
}

func (p *pool) counting() license.Counting {
	if p.src.Terms.Counting == "" {
		return license.PerStart
	}
	return p.src.Terms.Counting
}

func (p *pool) counted() bool { return p.counting() != license.Unlimited }

// free is how many seats nobody has. It is never negative, also where more are
// out than the license now has: a smaller license came in place of a larger one.
func (p *pool) free() int64 {
	if !p.counted() {
		return p.src.Terms.Seats
	}
	return max(0, p.src.Terms.Seats-p.taken-p.lent-p.moved)
}

// surplus reports whether a session is one of the latest, for whose seats the license
// is too small by now: some of its seats were returned, or a smaller one came in its
// place. They end as they were granted, so that what is free elsewhere by now is not
// used here for ever.
func (p *pool) surplus(l *lease) bool {
	over := p.taken + p.lent + p.moved - p.src.Terms.Seats
	if over <= 0 || !p.counted() {
		return false
	}
	// Since when each station has its seat: by its first session that still runs.
	first := map[station]uint64{}
	since := func(o *lease) uint64 {
		if !o.station {
			return o.fence
		}
		return first[stationOf(o.caller())]
	}
	for _, entry := range p.sessions {
		if o := entry.l; o.station {
			if k := stationOf(o.caller()); first[k] == 0 || o.fence < first[k] {
				first[k] = o.fence
			}
		}
	}
	var later int64
	for _, entry := range p.sessions {
		o := entry.l
		switch {
		case since(o) <= since(l):
		case !o.station:
			later += o.takes
		case o.fence == since(o):
			later++
		}
	}
	return later < over
}

// held is the license as terms.Check takes it.
func (p *pool) held() terms.Held {
	return terms.Held{Terms: p.src.Terms, Features: p.src.Features, LastContact: p.src.LastContact}
}

// usable says whether anything new may be had of the license now, whoever asks.
func (p *pool) usable(now license.Time) bool {
	return !p.gone && p.src.Refused == nil && p.src.Shut == nil && p.src.Terms.Seats > 0 && p.lasts(now).Valid
}

// refused says why usable says no; nil if it says yes.
func (p *pool) refused(now license.Time) *refusal.Refusal {
	if r := p.halted(now); r != nil {
		return r
	}
	return p.src.Shut
}

// halted says why not even a session that runs goes on.
func (p *pool) halted(now license.Time) *refusal.Refusal {
	switch {
	case p.gone:
		return refusal.New(refusal.NoLicense, "The license server no longer has the license %s.", p.key.license)
	case p.src.Refused != nil:
		return p.src.Refused
	case p.src.Terms.Seats <= 0:
		return refusal.New(refusal.NoLicense, "The license server's license for %s is for use on its own machine, not over the network.", p.src.Product)
	}
	return p.lasts(now).Refusal()
}

// lasts is the verdict about time alone: what a program is like was looked at
// when it was given its seat. It is kept as long as time cannot change it.
func (p *pool) lasts(now license.Time) *terms.Verdict {
	if p.checked == 0 || now < p.checked || now >= p.changes {
		h := p.held()
		h.Terms.MinVersion, h.Terms.MaintenanceUntil = "", 0
		p.verdict, p.checked = terms.Check(h, terms.Use{}, terms.Clock{Now: now}), now
		switch end := p.end(now); {
		case p.verdict.Code == refusal.ClockBehind:
			p.changes = now + 1
		case now < p.src.Terms.ValidFrom:
			p.changes = p.src.Terms.ValidFrom
		case !p.verdict.Valid:
			p.changes = math.MaxInt64 // time alone never helps
		case p.verdict.ValidUntil == 0:
			p.changes = math.MaxInt64
		case p.verdict.InGrace:
			p.changes = p.verdict.ValidUntil
		default:
			p.changes = end
		}
	}
	return &p.verdict
}

// end is the license's own end, or the end of the time in which it needs a
// contact, whichever is first; 0 if it has none. Grace is not lent
// (docs/protocol.md Inv34).
func (p *pool) end(now license.Time) license.Time {
	h := p.held()
	h.Terms.Grace = 0
	return terms.Check(h, terms.Use{}, terms.Clock{Now: now}).ValidUntil
}

// suits says whether the license serves what c asks for.
func (p *pool) suits(now license.Time, c *Claim) bool {
	if !p.usable(now) || c.Vendor != "" && c.Vendor != p.src.Vendor || c.Exclusive && !p.counted() || !p.has(c.Features) {
		return false
	}
	if p.src.Terms.MinVersion == "" && p.src.Terms.MaintenanceUntil == 0 {
		return true
	}
	return p.check(now, c).Valid
}

func (p *pool) check(now license.Time, c *Claim) terms.Verdict {
	return terms.Check(p.held(), terms.Use{Features: c.Features, Version: c.Version, BuildDate: c.BuildDate}, terms.Clock{Now: now})
}

// unsuited says why suits says no.
func (p *pool) unsuited(now license.Time, c *Claim) *refusal.Refusal {
	if c.Vendor != "" && c.Vendor != p.src.Vendor {
		return refusal.New(refusal.NoLicense, "The license server has no license of this vendor for %s.", p.src.Product)
	}
	if r := p.refused(now); r != nil {
		return r
	}
	if c.Exclusive && !p.counted() {
		return refusal.New(refusal.InvalidInput, "Nothing is counted of the license for %s, so that nobody can have it to himself.", p.src.Product)
	}
	return p.check(now, c).Refusal()
}

func (p *pool) has(features []string) bool {
	for _, f := range features {
		if !p.features[f] {
			return false
		}
	}
	return true
}

// need is how many seats a session of this claim takes.
func (p *pool) need(c *Claim) int64 {
	switch {
	case !p.counted():
		return 0
	case c.Exclusive || p.counting() == license.Exclusive:
		return p.src.Terms.Seats
	}
	return 1
}

// order is which of two licenses that could both serve is the better one to take
// a session's seat from; it is negative for a. What works without grace comes
// first, then what is not counted. Then the seat that others would miss least:
// of the license with the fewest features, the fewest seats that can be lent, the
// fewest free ones, so that licenses which nobody uses stay whole for those who
// need all of one. The last word is the name, so that the answer depends on
// nothing else.
func order(now license.Time, a, b *pool) int {
	return cmp.Or(
		compareBool(a.lasts(now).InGrace, b.lasts(now).InGrace),
		compareBool(a.counted(), b.counted()),
		cmp.Compare(len(a.features), len(b.features)),
		cmp.Compare(a.src.Terms.Borrow.Seats, b.src.Terms.Borrow.Seats),
		cmp.Compare(a.free(), b.free()),
		strings.Compare(string(a.key.license), string(b.key.license)),
		strings.Compare(string(a.key.container), string(b.key.container)),
	)
}

// capped ends a session with its license, grace included.
func (p *pool) capped(now, until license.Time) license.Time {
	if end := p.lasts(now).ValidUntil; end != 0 {
		return min(until, end)
	}
	return until
}

// whoHasThem is a part of a sentence.
func (p *pool) whoHasThem() string {
	var parts []string
	for _, x := range []struct {
		n    int64
		what string
	}{{p.taken, "in use"}, {p.lent, "on loan"}, {p.moved, "transferred for good"}} {
		if x.n > 0 {
			parts = append(parts, strconv.FormatInt(x.n, 10)+" "+x.what)
		}
	}
	if len(parts) == 0 {
		return "none is left"
	}
	return strings.Join(parts, ", ")
}
