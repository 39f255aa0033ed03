package seats

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"licet/license"
	"licet/refusal"
)

// Source is a license that a container of this server holds.
type Source struct {
	Vendor      string
	License     license.ID
	Generation  license.Generation
	Product     string
	Name        string // of the product
	Features    []string
	Terms       license.Terms
	Container   license.Serial
	LastContact license.Time     // of the container with the vendor
	Refused     *refusal.Refusal // why nothing may be granted from it (blocked, flagged, does not open …); nil if something may
	Shut        *refusal.Refusal // why nothing new may be granted from it, while what is out goes on; nil if something may
}

// Limits are what the server's administrator sets. Zero values mean the default
// that Defaults names; a zero LongestLoan means as long as the vendor allows.
type Limits struct {
	Session     license.Duration // length of a session's lease where the program asks for none
	Longest     license.Duration // longest that a program may ask for
	Keep        license.Duration // how long a place in the queue is kept without being asked for
	MaxQueue    int              // waiting for one product
	MaxLeases   int              // sessions, loans and transfers together
	NoLoans     bool             // nothing is lent or transferred, except by an administrator's own hand
	LongestLoan license.Duration // shortens what the vendor allows, never lengthens it
	Lazy        bool             // an overdue session keeps its seat until somebody needs it
}

// Defaults are the limits of a server that sets none.
var Defaults = Limits{
	Session:   license.Duration(5 * time.Minute),
	Longest:   license.Duration(time.Hour),
	Keep:      license.Duration(30 * time.Second),
	MaxQueue:  1000,
	MaxLeases: 2_000_000,
}

// Caller is who asks. Host, user and groups are what the program says; the
// address is what the server sees.
type Caller struct {
	Client  Client
	Address netip.Addr
	Local   bool // from this machine
	Admin   bool // an administrator of the server acts; rules do not bind him, the vendor's terms do
}

// Claim asks for a session. The client's id and the nonce name the wish: both
// again bring the same seat and the same token again.
type Claim struct {
	Product   string
	Vendor    string // id of the vendor; any if empty
	Features  []string
	Version   string
	BuildDate license.Time
	Exclusive bool             // the whole license: all its seats at once
	TTL       license.Duration // wanted; the server's if 0, and never longer than it allows
	Nonce     string
	Wait      bool // take a place in the queue if no seat is free
}

// wishMemory is how long a loan wish is remembered. An older one that turns up again
// is known by its number, and takes no seat.
const wishMemory = 400 * license.Day

// Token extends and releases a lease; its holder alone knows it. It does not
// print.
type Token [16]byte

// Mint draws the name and the token of a new lease. It is called at most once
// for an operation.
type Mint func() (LeaseID, Token)

// Grant is a seat that somebody has.
type Grant struct {
	Lease Lease            // what the server's container is to sign
	Token Token            // zero for a loan or a transfer
	TTL   license.Duration // of a session: how long from now; see StopAfter
	// Repeated says that the wish was granted before and this is the answer again.
	// It has no record of its own, and is answered when everything recorded
	// before it is durable.
	Repeated bool
}

// LoanAnswer is what becomes of a LoanWish. Its parts stand by themselves: a
// return is done also if the loan asked for is refused.
type LoanAnswer struct {
	Granted  *Grant           // the loan, transfer or extension; nil if none was asked for, or it is refused
	Refused  *refusal.Refusal // why what was asked for is not granted
	Returned []LeaseID        // gone here: the holder need not mention them again
}

// Engine decides who has which seat. It is not safe for concurrent use. Nothing
// that it grants may be answered before the records that came with it are
// durable, in their order (docs/protocol.md R26).
//
// now is the wall clock's time in every call. When that clock is set, ClockMoved
// must be told, so that sessions are timed by what really passed.
type Engine struct {
	limits Limits
	rules  Rules

	pools    map[poolKey]*pool
	products map[string][]*pool // of sources that are there, by product
	leases   map[LeaseID]*lease
	wishes   map[Wish]*lease // sessions by the claim that they came from
	queues   map[string]*queue
	used     map[usedKey]int64 // seats by the rule that they were given by
	reserves map[string][]int  // rules that keep seats, by product

	answered  map[Wish]answer           // loan wishes that were granted, also where the loan is over
	old       []Wish                    // the same in the order of their time
	forgotten map[license.Serial]uint64 // highest number of a borrower's wish that is no longer among them

	fence uint64
	skew  license.Time // by how much the wall clock was set; running time is the wall clock's less this
	lost  loss
}

type usedKey struct {
	rule    int
	product string
}

type answer struct {
	lease  LeaseID
	at     license.Time
	holder license.Serial
	number uint64
}

// loss is what R27 needs to know.
type loss struct {
	since    license.Time     // wall clock; 0 is never
	longest  license.Duration // session before it
	sessions license.Time     // running time from which none of before can run
	settled  bool
}

// lease is a Lease as the engine keeps it, where there may be a million.
type lease struct {
	id      LeaseID
	kind    LeaseKind
	pool    *pool
	client  Client
	nonce   string
	address netip.Addr
	token   Token
	wish    Wish
	from    license.Time
	last    license.Time // of the latest extension
	until   license.Time // of a session or a lingering seat in running time, else by wall clock
	due     license.Time // when the seat is free, likewise
	ttl     license.Duration
	fence   uint64
	seats   int64
	takes   int64
	gen     license.Generation
	rule    int
	at      int // in its heap; -1 in none
	local   bool
	station bool
	lingers bool
	loan    *loanPart
}

// loanPart is what only a loan or transfer has.
type loanPart struct {
	holder    license.Serial
	key       []byte
	confirmed bool
}

func (l *lease) caller() Caller {
	return Caller{Client: l.client, Address: l.address, Local: l.local}
}

func (l *lease) idleKey() idleKey {
	return idleKey{stationOf(l.caller()), fold(l.client.User)}
}

// New makes an engine without sources and rules.
func New(l Limits) *Engine {
	e := &Engine{
		pools: map[poolKey]*pool{}, products: map[string][]*pool{}, leases: map[LeaseID]*lease{},
		wishes: map[Wish]*lease{}, queues: map[string]*queue{}, used: map[usedKey]int64{},
		reserves: map[string][]int{}, answered: map[Wish]answer{}, forgotten: map[license.Serial]uint64{},
	}
	e.SetLimits(l)
	return e
}

// SetLimits replaces the limits. What was granted stays.
func (e *Engine) SetLimits(l Limits) {
	l.Session = cmp.Or(l.Session, Defaults.Session)
	l.Longest = max(cmp.Or(l.Longest, Defaults.Longest), l.Session)
	l.Keep = cmp.Or(l.Keep, Defaults.Keep)
	l.MaxQueue = cmp.Or(l.MaxQueue, Defaults.MaxQueue)
	l.MaxLeases = cmp.Or(l.MaxLeases, Defaults.MaxLeases)
	e.limits = l
}

// SetSources says which licenses there are now: all of them. What was granted
// from one that is gone lives to its end; it is not extended, and nothing new is
// granted from it.
func (e *Engine) SetSources(_ license.Time, sources []Source) {
	for k, p := range e.pools {
		if p.gone = true; p.out == 0 {
			delete(e.pools, k)
		}
	}
	clear(e.products)
	for _, s := range sources {
		p := e.pool(poolKey{s.Container, s.License})
		p.setSource(s)
		if !slices.Contains(e.products[s.Product], p) {
			e.products[s.Product] = append(e.products[s.Product], p)
		}
	}
	e.recount()
}

func (e *Engine) pool(k poolKey) *pool {
	p := e.pools[k]
	if p == nil {
		p = newPool(k)
		e.pools[k] = p
	}
	return p
}

// SetRules replaces the rules of access. What was granted stays.
func (e *Engine) SetRules(r Rules) {
	e.rules = r
	e.recount()
}

// recount works out again what depends on the rules.
func (e *Engine) recount() {
	clear(e.reserves)
	for product := range e.products {
		for i := range e.rules.rules {
			if r := &e.rules.rules[i]; r.reserve > 0 && r.product.matches(fold(product)) {
				e.reserves[product] = append(e.reserves[product], i)
			}
		}
	}
	clear(e.used)
	for _, p := range e.pools {
		for _, s := range p.stations {
			s.rule = -1
		}
	}
	for _, l := range e.leases {
		l.rule = e.rules.Decide(l.caller(), l.pool.src.Product).rule
		if !l.station {
			e.use(l.rule, l.pool, l.weight())
			continue
		}
		s := l.pool.stations[stationOf(l.caller())]
		if s.rule < 0 && l.rule >= 0 {
			s.rule = l.rule
			e.use(s.rule, l.pool, 1)
		}
	}
	for _, q := range e.queues {
		for _, w := range q.waiting {
			w.decision = e.rules.Decide(w.who, w.claim.Product)
		}
	}
}

// weight is what a lease counts for the limit of a rule: its seats, and one
// where nothing is counted.
func (l *lease) weight() int64 {
	if l.takes == 0 {
		return 1
	}
	return l.takes
}

func (e *Engine) use(rule int, p *pool, n int64) {
	if rule < 0 {
		return
	}
	k := usedKey{rule, p.src.Product}
	if e.used[k] += n; e.used[k] == 0 {
		delete(e.used, k)
	}
}

// ClockMoved says that the wall clock was set forward by d, or back if d is
// negative, beyond what passed: before the first call with the new time.
// Sessions then last as long as they were to; loans end by the new clock.
func (e *Engine) ClockMoved(d time.Duration) { e.skew += license.Time(d.Microseconds()) }

// up is the running time, which nobody sets.
func (e *Engine) up(now license.Time) license.Time { return now - e.skew }

func plus(t license.Time, d license.Duration) license.Time {
	return t + license.Time(d.Go().Microseconds())
}

// between is the time from a to b, 0 if b is not later.
func between(a, b license.Time) license.Duration {
	return license.Duration(min(max(0, b-a), maxTime)) * license.Duration(time.Microsecond)
}

// maxTime keeps products and sums of times within their type; it is 200 years.
const maxTime = license.Time(2 * license.MaxDuration / license.Duration(time.Microsecond))

// maxSeats is more than any license has.
const maxSeats = 1 << 40

// available is how many seats of p can be given out: the free ones, less those
// that may be out without being known (R27).
func (e *Engine) available(now license.Time, p *pool) int64 {
	return max(0, p.free()-e.unknown(now, p))
}

// unknown is how many seats may be out without being known. Before the last
// session from before a loss is over that is all of them, then as many as can be lent until the longest
// loan is over, and all again where seats can be transferred, which have no end.
func (e *Engine) unknown(now license.Time, p *pool) int64 {
	t := &p.src.Terms
	switch {
	case e.lost.since == 0:
		return 0
	case !e.lost.settled && e.up(now) < e.lost.sessions, t.Transfer != "":
		return max(t.Seats, t.Borrow.Seats)
	case now >= e.loansKnown(p), t.Borrow.Seats <= p.loans:
		return 0
	case p.counting() == license.Exclusive:
		return t.Seats
	}
	return t.Borrow.Seats - p.loans
}

// loansKnown is when the last loan from before a loss is over.
func (e *Engine) loansKnown(p *pool) license.Time {
	b := p.src.Terms.Borrow
	if b.Max == 0 || b.Seats == 0 {
		return 0
	}
	return plus(plus(e.lost.since, b.Max), LoanMargin(b.Max))
}

// certain is the moment from which everything that p has is granted again; 0 if it is,
// or if only an administrator's word can help.
func (e *Engine) certain(now license.Time, p *pool) license.Time {
	if e.unknown(now, p) == 0 || p.src.Terms.Transfer != "" {
		return 0
	}
	at := e.loansKnown(p)
	if !e.lost.settled {
		at = max(at, e.lost.sessions+e.skew)
	}
	return at
}

// wishOf hashes what names a wish; each part with its length, so that no two
// wishes are spelled alike.
func wishOf(parts ...string) (w Wish) {
	b := make([]byte, 0, 512) // most fit, and need no memory of their own
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	h := sha256.Sum256(b)
	copy(w[:], h[:])
	return w
}

// nextFence rises with every grant, also past a loss of the records as long as
// the clock is not set back behind them.
func (e *Engine) nextFence(now license.Time) uint64 { return max(e.fence+1, uint64(now)) }
