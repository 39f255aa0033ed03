package seats

import (
	"cmp"
	"encoding/hex"
	"strings"

	"licet/license"
	"licet/refusal"
)

// maxHeld is how many loans a wish may mention.
const maxHeld = 1000

// Text is the token as it travels.
func (t Token) Text() string { return hex.EncodeToString(t[:]) }

// ParseToken reads what Text writes and nothing else; what it cannot read is a
// token that nobody has.
func ParseToken(text string) (t Token, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(t) || text != strings.ToLower(text) {
		return Token{}, false
	}
	return Token(b), true
}

// Borrower is the container that asks for a loan or transfer, as its request proves
// it. Its kind is what it says itself: the serial is no hash of that.
type Borrower struct {
	Container license.Serial
	Key       []byte // public, that signed the request
	Kind      license.Kind
}

// Lend decides a wish that a container signed. Its parts stand by themselves; see
// LoanAnswer.
//
// A wish that was granted before gets the same loan again, in place of a second
// one. When that loan is over or returned, the wish is refused: an old file, found
// or kept, takes no seat (docs/protocol.md R26).
func (e *Engine) Lend(now license.Time, who Caller, by Borrower, w LoanWish, mint Mint) (LoanAnswer, []Record) {
	who.Client = w.Client
	b := borrowing{now: now, who: who, by: by, wish: &w, mint: mint}
	holder := by.Container
	if len(w.Returned) > maxHeld || len(w.Holds) > maxHeld {
		return LoanAnswer{Refused: refusal.New(refusal.InvalidInput, "The request mentions more than %d loans.", maxHeld)}, nil
	}
	var a LoanAnswer
	var records []Record
	for _, id := range w.Returned {
		l := e.leases[id]
		switch {
		case l == nil:
			a.Returned = append(a.Returned, id)
		case l.loan != nil && l.loan.holder == holder:
			records = e.end(now, l, endedRecord(l, now, ReturnedEarly), 0, records)
			a.Returned = append(a.Returned, id)
		}
	}
	for _, h := range w.Holds {
		if l := e.leases[h.Lease]; l != nil && l.loan != nil && l.loan.holder == holder && !l.loan.confirmed {
			rec := Record{Kind: Confirmed, Time: now, Lease: Lease{ID: l.id}}
			if e.must(&rec) == nil {
				records = append(records, rec)
			}
		}
	}
	if w.Product == "" && w.Extend == "" && w.Session == "" {
		return a, records
	}
	for _, p := range e.sorted() {
		records = e.returnDue(now, p, records)
		if !e.limits.Lazy {
			records = e.expire(now, p, records)
		}
	}
	var rec *Record
	if rec, a.Granted, a.Refused = e.lend(b); rec != nil {
		records = append(records, *rec)
		counted := Record{Kind: Counted, Time: now, Lease: Lease{Holder: holder}, Wish: wishOf(string(holder), w.Nonce), Number: w.Number}
		if e.must(&counted) == nil {
			records = append(records, counted)
		}
	}
	return a, records
}

// borrowing is one wish with who asks.
type borrowing struct {
	now  license.Time
	who  Caller
	by   Borrower
	wish *LoanWish
	mint Mint
}

// lend decides what is to be borrowed, extended or transferred.
func (e *Engine) lend(b borrowing) (*Record, *Grant, *refusal.Refusal) {
	w := b.wish
	if r := b.invalid(); r != nil {
		return nil, nil, r
	}
	if before, ok := e.answered[wishOf(string(b.by.Container), w.Nonce)]; ok {
		l := e.leases[before.lease]
		if l == nil {
			return nil, nil, refusal.New(refusal.LeaseLost, "This request was granted before, as the loan %s, which was returned or has ended.", before.lease).
				With("lease", before.lease).Hinted("Make a new request.")
		}
		return nil, e.loanGrant(l, w.Nonce, true), nil
	}
	if past, ok := e.forgotten[b.by.Container]; ok && w.Number <= past {
		return nil, nil, refusal.New(refusal.LeaseLost, "This request is older than one of its container that was answered %s ago or earlier. It takes no seat.", license.FormatDuration(wishMemory)).
			Hinted("Make a new request.")
	}
	var l *lease // that is extended, or becomes the loan
	product := w.Product
	switch {
	case w.Extend != "":
		l = e.leases[w.Extend]
		if l == nil || l.kind != Loan || l.loan.holder != b.by.Container || l.until <= b.now {
			return nil, nil, refusal.New(refusal.LeaseLost, "The license server knows no loan %s of this container that could last longer.", w.Extend).
				With("lease", w.Extend).Hinted("Borrow again.")
		}
	case w.Session != "":
		t, _ := ParseToken(w.Token)
		var r *refusal.Refusal
		if l, r = e.session(b.now, w.Session, t); r != nil {
			return nil, nil, r
		}
	}
	if l != nil {
		if product = l.pool.src.Product; w.Product != "" && w.Product != product {
			return nil, nil, refusal.New(refusal.InvalidInput, "The lease %s is for %s, not for %s.", l.id, product, w.Product)
		}
	}
	d := e.rules.Decide(b.who, product)
	switch {
	case !d.Allow:
		return nil, nil, denied(b.who, product, d)
	case d.NoLoan, e.limits.NoLoans && !b.who.Admin:
		return nil, nil, refusal.New(refusal.BorrowNotAllowed, "The license server's administrator does not let you borrow %s.", product)
	case w.Kind == Transfer && !d.Transfer:
		return nil, nil, refusal.New(refusal.BorrowNotAllowed, "The license server's rules do not let seats of %s move to you for good.", product).
			Hinted("An administrator of the server can move them, or allow it by a rule with transfer=yes.")
	case w.Extend == "" && len(e.leases) >= e.limits.MaxLeases:
		return nil, nil, refusal.New(refusal.RateLimited, "The license server has given out as many seats as it can keep, %d.", e.limits.MaxLeases)
	case w.Extend != "":
		return e.extendLoan(b, d, l)
	}
	return e.newLoan(b, d, product, l)
}

func (b *borrowing) invalid() *refusal.Refusal {
	w := b.wish
	product := w.Product
	if product == "" {
		product = "-" // of the lease that is named
	}
	if r := invalid(b.who, w.Nonce, product, w.Features); r != nil {
		return r
	}
	switch {
	case w.Nonce == "" || w.Number == 0:
		return refusal.New(refusal.InvalidInput, "The request has no nonce, or no number.")
	case b.by.Container == "" || len(b.by.Key) == 0 || len(b.by.Key) > maxText || len(b.by.Container) > maxName:
		return refusal.New(refusal.InvalidInput, "The request names no container with its key.")
	case w.Kind != Loan && w.Kind != Transfer:
		return refusal.New(refusal.InvalidInput, "The request is for neither a loan nor a transfer.")
	case w.Kind == Loan && (w.For <= 0 || w.For > license.MaxDuration || w.Seats > 1):
		return refusal.New(refusal.InvalidInput, "A loan is of one seat and has a length.")
	case w.Kind == Transfer && (w.For != 0 || w.Extend != "" || w.Session != ""):
		return refusal.New(refusal.InvalidInput, "A transfer has no length, and nothing is extended by it.")
	case w.Seats < 0 || w.Extend != "" && w.Session != "":
		return refusal.New(refusal.InvalidInput, "The request contradicts itself.")
	}
	return nil
}

// longest is the longest loan of a license: the vendor's, shortened by the
// administrator and never lengthened.
func (e *Engine) longest(p *pool, d *Decision) license.Duration {
	longest := p.src.Terms.Borrow.Max
	for _, shorter := range []license.Duration{d.Longest, e.limits.LongestLoan} {
		if shorter > 0 {
			longest = min(longest, shorter)
		}
	}
	return longest
}

// lendable is how many seats of a license could be lent now.
func (e *Engine) lendable(now license.Time, p *pool) int64 {
	if !p.usable(now) || p.src.Terms.Borrow.Max <= 0 {
		return 0
	}
	n := p.src.Terms.Borrow.Seats - p.loans - e.unknown(now, p)
	if p.counted() {
		n = min(n, e.available(now, p))
		if p.counting() == license.Exclusive && p.free() < p.src.Terms.Seats {
			n = 0
		}
	}
	return max(0, n)
}

// mayLend says why a license lends nothing to this wish, seats aside; nil if it
// may.
func (e *Engine) mayLend(b borrowing, p *pool, d *Decision) *refusal.Refusal {
	if r := p.refused(b.now); r != nil {
		return r
	}
	borrow := p.src.Terms.Borrow
	if borrow.Max <= 0 || borrow.Seats <= 0 {
		return refusal.New(refusal.BorrowNotAllowed, "The vendor does not let seats of %s be lent.", p.src.Product)
	}
	if !borrow.Containers.Allows(b.by.Kind) {
		return refusal.New(refusal.BorrowNotAllowed, "The vendor lets seats of %s be lent into containers of the kind %s alone, and this one is of the kind %s.", p.src.Product, borrow.Containers, orNobody(string(b.by.Kind))).
			With("containers", borrow.Containers.List()).With("kind", b.by.Kind).
			Hinted("Use a seat over the network, or borrow into such a container.")
	}
	if longest := e.longest(p, d); b.wish.For > longest {
		return refusal.New(refusal.BorrowTooLong, "A loan of %s lasts at most %s here, and %s were asked for.", p.src.Product, longest, b.wish.For).
			With("longest", longest)
	}
	if end := p.end(b.now); end != 0 && end <= b.now {
		return refusal.New(refusal.BorrowNotAllowed, "The license for %s is in its grace period, which is not lent.", p.src.Product)
	}
	return nil
}

// loanEnd is when a loan that begins now ends: never later than the license and
// the time in which it needs a contact (Inv34).
func (p *pool) loanEnd(now license.Time, length license.Duration) license.Time {
	until := plus(now, length)
	if end := p.end(now); end != 0 {
		until = min(until, end)
	}
	return until
}

func (e *Engine) extendLoan(b borrowing, d Decision, l *lease) (*Record, *Grant, *refusal.Refusal) {
	if r := e.mayLend(b, l.pool, &d); r != nil {
		return nil, nil, r
	}
	rec := &Record{Kind: Extended, Time: b.now, Lease: Lease{
		ID: l.id, Nonce: b.wish.Nonce, From: b.now, Until: max(l.until, l.pool.loanEnd(b.now, b.wish.For)), Fence: e.nextFence(b.now),
	}}
	if r := e.must(rec); r != nil {
		return nil, nil, r
	}
	return rec, e.loanGrant(l, b.wish.Nonce, false), nil
}

// newLoan lends or transfers seats of the license that serves best. The seat of a
// running session becomes the loan by one record, so that there are never two
// and never none.
func (e *Engine) newLoan(b borrowing, d Decision, product string, session *lease) (*Record, *Grant, *refusal.Refusal) {
	var best *pool
	var seats int64
	var why *refusal.Refusal
	own := false // it asks for what it has
	for _, p := range e.products[product] {
		own = own || p.key.container == b.by.Container
		if b.wish.Server != "" && b.wish.Server != p.key.container || session != nil && session.pool != p || p.key.container == b.by.Container {
			continue
		}
		n, r := e.loanSeats(b, p, &d, session)
		switch {
		case r != nil:
			if why == nil || why.Code == refusal.NoLicense || why.Code == refusal.BorrowNotAllowed {
				why = r
			}
		case best == nil || loanOrder(b.now, p, best) < 0:
			best, seats = p, n
		}
	}
	switch {
	case best != nil:
	case why == nil && own:
		return nil, nil, OwnSeats(product)
	case session != nil && why == nil:
		return nil, nil, session.pool.refused(b.now)
	case why == nil:
		return nil, nil, refusal.New(refusal.NoLicense, "The license server has no license for %s that it could lend to this container.", product).
			Hinted("Ask the server's administrator; licet servers shows what there is.")
	default:
		return nil, nil, why
	}
	id, _ := b.mint()
	if e.leases[id] != nil || id == "" {
		return nil, nil, refusal.New(refusal.Internal, "The license server drew a name for the loan that is taken.")
	}
	rec := b.grant(best, id, seats, e.nextFence(b.now))
	if session != nil {
		rec.Replaces = session.id
	}
	if r := e.must(rec); r != nil {
		return nil, nil, r
	}
	return rec, e.loanGrant(e.leases[id], b.wish.Nonce, false), nil
}

// MayMove says why the server's administrator does not let units of a product move to
// this caller for good; nil if he does. The vendor's word is the container's to look
// at, which has the units.
func (e *Engine) MayMove(who Caller, product string) *refusal.Refusal {
	d := e.rules.Decide(who, product)
	switch {
	case !d.Allow:
		return denied(who, product, d)
	case e.limits.NoLoans && !who.Admin:
		return refusal.New(refusal.BorrowNotAllowed, "The license server's administrator lets nothing of %s move to another machine.", product)
	case !d.Transfer:
		return refusal.New(refusal.BorrowNotAllowed, "The license server's rules do not let units of %s move to you for good.", product).
			Hinted("An administrator of the server can move them, or allow it by a rule with transfer=yes.")
	}
	return nil
}

// OwnSeats refuses a loan of seats into the container that has them.
func OwnSeats(product string) *refusal.Refusal {
	return refusal.New(refusal.BorrowNotAllowed, "The seats of %s are on this machine already, and are shared from here: none goes into the container that it is in.", product).
		Hinted("Programs on this machine take a seat by themselves. To take one along to another machine, run licet borrow there.")
}

// grant is the record of a new loan or transfer.
func (b *borrowing) grant(p *pool, id LeaseID, seats int64, fence uint64) *Record {
	until := p.end(b.now)
	if b.wish.Kind == Loan {
		until = p.loanEnd(b.now, b.wish.For)
	}
	rec := &Record{
		Kind: Granted, Time: b.now, Vendor: p.src.Vendor, Address: b.who.Address.WithZone(""), Local: b.who.Local, Takes: seats,
		Lease: Lease{
			ID: id, Kind: b.wish.Kind, Server: p.key.container, License: p.key.license, Generation: p.src.Generation,
			Product: p.src.Product, Seats: max(1, seats), Client: b.wish.Client, Nonce: b.wish.Nonce,
			From: b.now, Until: until, Fence: fence, Holder: b.by.Container, HolderKey: b.by.Key,
		},
	}
	return rec
}

// loanOrder is which of two licenses is the better one to lend from; it is
// negative for a: the one that lasts longest, so that a loan is cut short as late
// as can be, then as for a session.
func loanOrder(now license.Time, a, b *pool) int {
	endA, endB := a.end(now), b.end(now)
	return cmp.Or(
		compareBool(endA != 0, endB != 0),
		cmp.Compare(endB, endA),
		order(now, a, b),
	)
}

// loanSeats is how many seats a wish takes of a license, or why it gets none.
func (e *Engine) loanSeats(b borrowing, p *pool, d *Decision, session *lease) (int64, *refusal.Refusal) {
	if !p.has(b.wish.Features) {
		return 0, p.check(b.now, &Claim{Features: b.wish.Features}).Refusal()
	}
	c := &Claim{Product: p.src.Product, Features: b.wish.Features}
	a := ask{b.who, c, d}
	var t tally
	if q := e.queues[c.Product]; q != nil {
		q.purge(e.up(b.now))
		t = e.ahead(b.now, q, b.who)
	}
	if b.wish.Kind == Transfer {
		return e.transferSeats(b, p, a, &t)
	}
	if r := e.mayLend(b, p, d); r != nil {
		return 0, r
	}
	n := p.need(c)
	switch unknown := e.unknown(b.now, p); {
	case p.loans+unknown < p.src.Terms.Borrow.Seats:
	case unknown > 0:
		return 0, e.explain(b.now, a, choice{pool: p}, uncertain, &t)
	default:
		return 0, refusal.New(refusal.NoSeatFree, "All %d seats of %s that may be lent are on loan.", p.src.Terms.Borrow.Seats, p.src.Product).
			With("seats", p.src.Terms.Borrow.Seats).Hinted("Wait until one is returned, or use a seat over the network.")
	}
	if session != nil && e.handsOver(session, n) {
		return n, nil
	}
	if o := e.fits(b.now, a, choice{pool: p, takes: n}, &t); o != none {
		return 0, e.explain(b.now, a, choice{pool: p}, o, &t)
	}
	return n, nil
}

// handsOver says whether the end of a session frees the seats that the loan in
// its place takes. It does not where others on its station go on with the seat.
func (e *Engine) handsOver(l *lease, seats int64) bool {
	if l.station {
		return l.pool.stations[stationOf(l.caller())].leases == 1 && seats <= 1
	}
	return seats <= l.takes
}

// transferSeats is how many seats move for good.
func (e *Engine) transferSeats(b borrowing, p *pool, a ask, t *tally) (int64, *refusal.Refusal) {
	if r := p.refused(b.now); r != nil {
		return 0, r
	}
	left := p.src.Terms.Seats - p.lent - p.moved
	whole := p.src.Terms.Transfer.Has(license.MovesWhole) || p.counting() == license.Exclusive
	n := b.wish.Seats
	switch {
	case !p.src.Terms.Transfer.Seats() || !p.counted():
		return 0, refusal.New(refusal.BorrowNotAllowed, "The vendor does not let seats of %s move to another container.", p.src.Product)
	case p.end(b.now) != 0 && p.end(b.now) <= b.now:
		return 0, refusal.New(refusal.BorrowNotAllowed, "The license for %s is in its grace period, which does not move.", p.src.Product)
	case n == 0 && whole:
		n = left
	case n == 0:
		n = 1
	case whole && n != left:
		return 0, refusal.New(refusal.BorrowNotAllowed, "The seats of %s move together only, and %d are left.", p.src.Product, left).With("seats", left)
	}
	if n < 1 || left < 1 {
		return 0, e.explain(b.now, a, choice{pool: p}, full, t)
	}
	if o := e.fits(b.now, a, choice{pool: p, takes: n}, t); o != none {
		return 0, e.explain(b.now, a, choice{pool: p}, o, t)
	}
	return n, nil
}

// loanGrant is a loan as an answer. Under which nonce it is asked for again does
// not change it.
func (e *Engine) loanGrant(l *lease, nonce string, repeated bool) *Grant {
	s := e.statement(l)
	s.Nonce = nonce
	return &Grant{Lease: s, Repeated: repeated}
}
