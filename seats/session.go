package seats

import (
	"crypto/subtle"
	"strconv"

	"licet/license"
	"licet/refusal"
)

// String keeps a token out of logs.
func (t Token) String() string { return "(token)" }

// GoString keeps a token out of logs.
func (t Token) GoString() string { return t.String() }

func lost(id LeaseID) *refusal.Refusal {
	return refusal.New(refusal.LeaseLost, "The license server has no running session %s: it ended, or was ended.", id).With("lease", id)
}

// session finds a running session by its name and its token.
func (e *Engine) session(now license.Time, id LeaseID, t Token) (*lease, *refusal.Refusal) {
	l := e.leases[id]
	switch {
	case l == nil || l.kind != Session || l.lingers || !e.limits.Lazy && l.due <= e.up(now):
		return nil, lost(id)
	case subtle.ConstantTimeCompare(l.token[:], t[:]) != 1:
		return nil, refusal.New(refusal.LeaseNotYours, "The token is not that of the session %s; nothing was changed.", id).With("lease", id)
	}
	return l, nil
}

// Extend lets a session last its length again from now on; of that nothing is
// recorded. The grant states it as it now is, with this nonce.
func (e *Engine) Extend(now license.Time, id LeaseID, t Token, nonce string) (Grant, *refusal.Refusal) {
	if len(nonce) > maxNonce {
		return Grant{}, refusal.New(refusal.InvalidInput, "The nonce is longer than %d characters.", maxNonce)
	}
	l, r := e.session(now, id, t)
	if r != nil {
		return Grant{}, r
	}
	return e.extend(now, l, nonce)
}

func (e *Engine) extend(now license.Time, l *lease, nonce string) (Grant, *refusal.Refusal) {
	if r := l.pool.halted(now); r != nil {
		return Grant{}, r
	}
	if l.pool.surplus(l) {
		return Grant{}, refusal.New(refusal.NoSeatFree, "%s has %d seats by now, fewer than are in use; the latest sessions are not extended.", l.pool.src.Product, l.pool.src.Terms.Seats).
			With("seats", l.pool.src.Terms.Seats).Hinted("It goes on until its end. Take another seat when one is free.")
	}
	until := l.pool.capped(now, plus(now, l.ttl)) - e.skew
	if until > l.until {
		l.until = until
		l.due = max(l.due, plus(e.up(now), FreeAfter(between(e.up(now), until))))
	}
	l.last = now
	s := e.statement(l)
	s.From, s.Nonce, s.Until = now, nonce, min(s.Until, plus(now, l.ttl))
	return Grant{Lease: s, Token: l.token, TTL: between(now, s.Until)}, nil
}

// Release ends a session by its holder's wish. Its seat is free at once, unless
// the license lets it linger.
func (e *Engine) Release(now license.Time, id LeaseID, t Token) ([]Record, *refusal.Refusal) {
	l, r := e.session(now, id, t)
	if r != nil {
		return nil, r
	}
	return e.end(now, l, endedRecord(l, now, Released), e.up(now), nil), nil
}

// End ends a session, or a seat's lingering, by an administrator's word: who and
// why. A seat lingers after that as the license says. A loan cannot be ended so.
func (e *Engine) End(now license.Time, id LeaseID, by, why string) ([]Record, *refusal.Refusal) {
	l := e.leases[id]
	switch {
	case l == nil || l.lingers:
		return nil, lost(id)
	case l.kind != Session:
		return nil, onLoan(l)
	}
	rec := endedRecord(l, now, EndedByAdmin)
	rec.By, rec.Why = printable(by), printable(why)
	return e.end(now, l, rec, e.up(now), nil), nil
}

// onLoan says who has a loan or transfer, where and until when.
func onLoan(l *lease) *refusal.Refusal {
	r := refusal.New(refusal.SeatsOnLoan, "%s has the seat in the container %s, and it cannot be ended from here.", l.client.name(), l.loan.holder)
	if l.until != 0 {
		r = refusal.New(refusal.SeatsOnLoan, "%s has the seat on loan in the container %s until %s, and a loan cannot be ended from here.", l.client.name(), l.loan.holder, l.until).
			With("until", l.until)
	}
	return r.With("lease", l.id).With("holder", l.loan.holder).
		Hinted("Have it returned there (licet return), or wait for its end.")
}

func (c Client) name() string {
	return orNobody(c.User) + " on " + orNobody(c.Host)
}

// end makes an end so. What a license lets linger does so from a moment of
// running time on.
func (e *Engine) end(now license.Time, l *lease, rec Record, from license.Time, records []Record) []Record {
	if until := plus(from, l.pool.src.Terms.Linger); l.kind == Session && l.pool.src.Terms.Linger > 0 && until > e.up(now) {
		rec.Lease.Until = until + e.skew
	}
	if e.must(&rec) != nil {
		return records
	}
	return append(records, rec)
}

// over ends what is due.
func (e *Engine) over(now license.Time, l *lease, records []Record) []Record {
	if l.lingers {
		rec := endedRecord(l, now, Lingered)
		if e.must(&rec) != nil {
			return records
		}
		return append(records, rec)
	}
	return e.end(now, l, endedRecord(l, now, Expired), l.until, records)
}

// expire ends what is due of a pool.
func (e *Engine) expire(now license.Time, p *pool, records []Record) []Record {
	for l := p.sessions.first(); l != nil && l.due <= e.up(now); l = p.sessions.first() {
		records = e.over(now, l, records)
	}
	return e.returnDue(now, p, records)
}

func (e *Engine) returnDue(now license.Time, p *pool, records []Record) []Record {
	for l := p.dated.first(); l != nil && l.due <= now; l = p.dated.first() {
		records = e.over(now, l, records)
	}
	return records
}

// Tick ends what is over by now. Call it every second or so: what a claim meets
// it ends by itself.
func (e *Engine) Tick(now license.Time) []Record {
	var records []Record
	for _, p := range e.sorted() {
		if e.limits.Lazy && e.queues[p.src.Product] == nil {
			records = e.returnDue(now, p, records)
		} else {
			records = e.expire(now, p, records)
		}
	}
	for product, q := range e.queues {
		if q.purge(e.up(now)); len(q.waiting) == 0 {
			delete(e.queues, product)
		}
	}
	if e.lost.since != 0 && !e.lost.settled && e.up(now) >= e.lost.sessions {
		rec := Record{Kind: Settled, Time: now}
		if e.must(&rec) == nil {
			records = append(records, rec)
		}
	}
	e.forget(now)
	return records
}

// Uncertain says that the record of what was granted is lost, or may lack
// something: what may be out without being known is not granted again before it
// must be over, or an administrator says that it is (docs/protocol.md R27).
// longest is the longest session that the server gave out before; the present
// limit counts if it is longer.
func (e *Engine) Uncertain(now license.Time, longest license.Duration) []Record {
	rec := Record{Kind: Lost, Time: now, TTL: max(longest, e.limits.Longest)}
	if e.must(&rec) != nil {
		return nil
	}
	return []Record{rec}
}

// Pardon ends that by an administrator's word: who and why. Nothing is recorded
// where nothing is uncertain.
func (e *Engine) Pardon(now license.Time, by, why string) []Record {
	rec := Record{Kind: Pardoned, Time: now, By: printable(by), Why: printable(why)}
	if e.lost.since == 0 || e.must(&rec) != nil {
		return nil
	}
	return []Record{rec}
}

// printable is a text that a record holds: shortened, and with what cannot be
// printed written so that it can.
func printable(s string) string {
	s = strconv.QuoteToGraphic(s[:min(len(s), maxText/4)])
	return s[1 : len(s)-1]
}
