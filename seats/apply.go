package seats

import (
	"fmt"
	"maps"
	"slices"

	"licet/license"
)

// apply makes a record so. Deciding and replaying go through here alike, so that
// what is rebuilt is what was decided. Times of sessions are kept as running time.
func (e *Engine) apply(r *Record) error {
	switch r.Kind {
	case Granted:
		return e.applyGrant(r)
	case Extended:
		l := e.leases[r.Lease.ID]
		if l == nil || l.kind != Loan || r.Lease.Until < l.until {
			return fmt.Errorf("seats: record extends the loan %q, which is not known, or lasts longer", r.Lease.ID)
		}
		l.nonce, l.last, l.until, l.fence = r.Lease.Nonce, r.Lease.From, r.Lease.Until, r.Lease.Fence
		l.due = max(l.due, plus(l.until, LoanMargin(between(l.last, l.until))))
		e.fence = max(e.fence, l.fence)
		e.remember(wishOf(string(l.loan.holder), l.nonce), l.id, r.Time)
	case Ended:
		l := e.leases[r.Lease.ID]
		if l == nil || r.Lease.Until != 0 && l.kind != Session {
			return fmt.Errorf("seats: record ends the lease %q, which is not known, or cannot linger", r.Lease.ID)
		}
		if r.Lease.Until != 0 {
			e.linger(l, r.Lease.Until-e.skew)
		} else {
			e.drop(l)
		}
	case Confirmed:
		if l := e.leases[r.Lease.ID]; l != nil && l.loan != nil {
			l.loan.confirmed = true
		}
	case Lost:
		e.lost = loss{since: r.Time, longest: r.TTL, sessions: plus(r.Time-e.skew, FreeAfter(r.TTL))}
	case Settled:
		e.lost.settled = true
	case Pardoned:
		e.lost = loss{}
	case Answered:
		e.remember(r.Wish, r.Lease.ID, r.Time)
	case Fenced:
		e.fence = max(e.fence, r.Lease.Fence)
	case Counted:
		if a, ok := e.answered[r.Wish]; ok {
			a.holder, a.number = r.Lease.Holder, r.Number
			e.answered[r.Wish] = a
		} else {
			e.forgotten[r.Lease.Holder] = max(e.forgotten[r.Lease.Holder], r.Number)
		}
	default:
		return errRecord
	}
	return nil
}

func (e *Engine) applyGrant(r *Record) error {
	if e.leases[r.Lease.ID] != nil {
		return fmt.Errorf("seats: record grants the lease %q a second time", r.Lease.ID)
	}
	if r.Lease.Seats > maxSeats || r.Takes > maxSeats || r.Lease.Until < r.Lease.From && r.Lease.Until != 0 ||
		r.Lease.Kind == Session && r.Lease.Until == 0 || r.Lease.Kind == Loan && r.Lease.Until == 0 || r.Lease.Kind != Session && r.Station {
		return fmt.Errorf("seats: record grants the lease %q as no server grants one", r.Lease.ID)
	}
	if r.Replaces != "" {
		old := e.leases[r.Replaces]
		if old == nil {
			return fmt.Errorf("seats: record replaces the lease %q, which is not known", r.Replaces)
		}
		e.drop(old)
	}
	p := e.pool(poolKey{r.Lease.Server, r.Lease.License})
	if p.src.Product == "" {
		p.src.Product, p.src.Vendor = r.Lease.Product, r.Vendor
	}
	l := &lease{
		id: r.Lease.ID, kind: r.Lease.Kind, pool: p, client: r.Lease.Client, nonce: r.Lease.Nonce,
		address: r.Address, local: r.Local, token: r.Token, from: r.Time, last: r.Lease.From,
		ttl: r.TTL, fence: r.Lease.Fence, seats: r.Lease.Seats, takes: r.Takes, gen: r.Lease.Generation,
		station: r.Station, at: -1,
	}
	l.rule = e.rules.Decide(l.caller(), p.src.Product).rule
	e.leases[l.id] = l
	e.fence = max(e.fence, l.fence)
	length := between(r.Lease.From, r.Lease.Until)
	p.out++
	if l.kind == Session {
		l.until = r.Lease.Until - e.skew
		l.due = plus(r.Lease.From-e.skew, FreeAfter(length))
		p.sessions.push(l)
		p.count++
		e.takeSession(p, l)
		if l.nonce != "" {
			if l.wish = r.Wish; l.wish == (Wish{}) { // it was read
				l.wish = wishOf(l.client.ID, l.client.Host, l.client.User, l.nonce, r.Lease.Product)
			}
			e.wishes[l.wish] = l
		}
		return nil
	}
	l.loan = &loanPart{holder: r.Lease.Holder, key: slices.Clone(r.Lease.HolderKey)}
	if l.until = r.Lease.Until; l.until != 0 {
		l.due = plus(l.until, LoanMargin(length))
		p.dated.push(l)
	}
	if l.kind == Loan {
		p.lent += l.takes
		p.loans++
	} else {
		p.moved += l.takes
	}
	e.use(l.rule, p, l.weight())
	e.remember(wishOf(string(l.loan.holder), l.nonce), l.id, r.Time)
	return nil
}

// takeSession takes the seats of a session; all sessions of a station have one.
func (e *Engine) takeSession(p *pool, l *lease) {
	if !l.station {
		p.taken += l.takes
		e.use(l.rule, p, l.weight())
		return
	}
	k := stationOf(l.caller())
	s := p.stations[k]
	if s == nil {
		s = &stationSeat{rule: l.rule}
		p.stations[k] = s
		p.taken++
		e.use(s.rule, p, 1)
	}
	s.leases++
}

// drop ends a lease: its seats are free, unless its station still needs one.
func (e *Engine) drop(l *lease) {
	p := l.pool
	p.out--
	delete(e.leases, l.id)
	if e.wishes[l.wish] == l {
		delete(e.wishes, l.wish)
	}
	switch {
	case l.kind == Loan:
		p.lent -= l.takes
		p.loans--
		e.use(l.rule, p, -l.weight())
	case l.kind == Transfer:
		p.moved -= l.takes
		e.use(l.rule, p, -l.weight())
	case l.station:
		p.count--
		k := stationOf(l.caller())
		if s := p.stations[k]; s.leases > 1 {
			s.leases--
		} else {
			delete(p.stations, k)
			p.taken--
			e.use(s.rule, p, -1)
		}
	default:
		p.count--
		p.taken -= l.takes
		e.use(l.rule, p, -l.weight())
	}
	if l.lingers {
		e.forgetIdle(l)
	}
	switch {
	case l.at < 0:
	case l.kind == Session:
		p.sessions.remove(l)
	default:
		p.dated.remove(l)
	}
	if p.gone && p.out == 0 {
		delete(e.pools, p.key)
	}
}

// linger keeps the seat of a session that is over until a moment of running time.
func (e *Engine) linger(l *lease, until license.Time) {
	if l.lingers {
		e.forgetIdle(l)
	}
	if e.wishes[l.wish] == l {
		delete(e.wishes, l.wish)
	}
	l.lingers, l.until, l.due = true, until, until
	l.pool.sessions.sooner(l)
	if !l.station {
		k := l.idleKey()
		l.pool.idle[k] = append(l.pool.idle[k], l)
	}
}

func (e *Engine) forgetIdle(l *lease) {
	if l.station {
		return
	}
	k := l.idleKey()
	list := slices.DeleteFunc(l.pool.idle[k], func(o *lease) bool { return o == l })
	if len(list) == 0 {
		delete(l.pool.idle, k)
	} else {
		l.pool.idle[k] = list
	}
}

// remember keeps what a loan wish was answered with, so that the same wish never
// gets a second loan, however old the file is.
func (e *Engine) remember(w Wish, id LeaseID, at license.Time) {
	if _, ok := e.answered[w]; !ok {
		e.old = append(e.old, w)
	}
	e.answered[w] = answer{lease: id, at: at}
}

// forget lets go of wishes that are old. Of each borrower the highest number of those
// stays, so that none of them counts as new.
func (e *Engine) forget(now license.Time) {
	for len(e.old) > 0 {
		a := e.answered[e.old[0]]
		if plus(a.at, wishMemory) >= now {
			return
		}
		if a.number > 0 {
			e.forgotten[a.holder] = max(e.forgotten[a.holder], a.number)
		}
		delete(e.answered, e.old[0])
		e.old = e.old[1:]
	}
}

// Replay takes one record in. All are replayed in the order in which they were
// made, before anything else is asked of the engine. An error means that they are
// not the records of one, and that what they say cannot be relied on: see
// Uncertain.
func (e *Engine) Replay(r Record) error { return e.apply(&r) }

// Recover is called once after Replay and says that time passed: every session
// that is not known to have ended counts for one more period, since its
// extensions are not recorded (docs/protocol.md R26).
func (e *Engine) Recover(now license.Time) {
	up := e.up(now)
	for _, p := range e.pools {
		for i := range p.sessions {
			l := p.sessions[i].l
			if l.lingers {
				l.until = min(l.until, plus(up, p.src.Terms.Linger))
				l.due = l.until
			} else {
				l.until, l.due = plus(up, l.ttl), plus(up, FreeAfter(l.ttl))
			}
			p.sessions[i].due = l.due
		}
		for i := len(p.sessions)/2 - 1; i >= 0; i-- {
			p.sessions.down(i)
		}
	}
	if e.lost.since != 0 && !e.lost.settled {
		e.lost.sessions = plus(up, FreeAfter(e.lost.longest))
	}
}

// Snapshot is the fewest records that rebuild the engine.
func (e *Engine) Snapshot() []Record {
	records := []Record{{Kind: Fenced, Lease: Lease{Fence: e.fence}}}
	if e.lost.since != 0 {
		records = append(records, Record{Kind: Lost, Time: e.lost.since, TTL: e.lost.longest})
		if e.lost.settled {
			records = append(records, Record{Kind: Settled, Time: e.lost.since})
		}
	}
	live := make([]*lease, 0, len(e.leases))
	for _, l := range e.leases {
		live = append(live, l)
	}
	slices.SortFunc(live, func(a, b *lease) int {
		if a.fence < b.fence {
			return -1
		}
		return 1
	})
	for _, l := range live {
		r := Record{
			Kind: Granted, Time: l.from, Lease: e.statement(l), Vendor: l.pool.src.Vendor, Address: l.address,
			Local: l.local, Token: l.token, TTL: l.ttl, Takes: l.takes, Station: l.station,
		}
		if l.kind == Session {
			r.Lease.Until = plus(l.last, l.ttl) // what it is by now, Recover works out
		}
		records = append(records, r)
		if l.lingers {
			ended := endedRecord(l, l.last, Released)
			ended.Lease.Until = l.until + e.skew
			records = append(records, ended)
		}
		if l.loan != nil && l.loan.confirmed {
			records = append(records, Record{Kind: Confirmed, Time: l.from, Lease: Lease{ID: l.id}})
		}
	}
	for _, w := range e.old {
		a := e.answered[w]
		records = append(records, Record{Kind: Answered, Time: a.at, Lease: Lease{ID: a.lease}, Wish: w})
		if a.number > 0 {
			records = append(records, Record{Kind: Counted, Time: a.at, Lease: Lease{Holder: a.holder}, Wish: w, Number: a.number})
		}
	}
	for _, holder := range slices.Sorted(maps.Keys(e.forgotten)) {
		records = append(records, Record{Kind: Counted, Lease: Lease{Holder: holder}, Number: e.forgotten[holder]})
	}
	return records
}

func endedRecord(l *lease, now license.Time, how How) Record {
	return Record{Kind: Ended, Time: now, How: how, Lease: Lease{
		ID: l.id, Kind: l.kind, License: l.pool.key.license, Product: l.pool.src.Product, Seats: l.seats,
	}}
}

// statement is the lease as its server states it.
func (e *Engine) statement(l *lease) Lease {
	s := Lease{
		ID: l.id, Kind: l.kind, Server: l.pool.key.container, License: l.pool.key.license, Generation: l.gen,
		Product: l.pool.src.Product, Seats: l.seats, Client: l.client, Nonce: l.nonce,
		From: l.last, Until: l.until, Fence: l.fence,
	}
	if l.kind == Session {
		s.Until += e.skew
	}
	if l.loan != nil {
		s.Holder, s.HolderKey = l.loan.holder, l.loan.key
	}
	return s
}
