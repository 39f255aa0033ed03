package seats

import (
	"slices"

	"licet/license"
	"licet/refusal"
)

// queue is who waits for seats of a product, in the order in which they came. A
// place is kept as long as its owner asks again in time. That is memory alone:
// after a restart those who still ask come in anew.
type queue struct {
	waiting  []*waiter
	earliest license.Time // running time before which no place lapses
}

type waiter struct {
	who      Caller
	claim    Claim
	decision Decision
	since    license.Time // running time of its first claim
	until    license.Time // running time to which the place is kept
}

// same says whether two callers are one start of a program.
func (w *waiter) same(who Caller) bool {
	a, b := w.who.Client, who.Client
	return a.ID == b.ID && a.Host == b.Host && a.User == b.User
}

func (q *queue) find(who Caller) int {
	return slices.IndexFunc(q.waiting, func(w *waiter) bool { return w.same(who) })
}

// purge takes out the places that were not asked for in time.
func (q *queue) purge(up license.Time) {
	if up < q.earliest {
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter) bool { return w.until <= up })
	q.earliest = up + maxTime
	for _, w := range q.waiting {
		q.earliest = min(q.earliest, w.until)
	}
}

// ahead is what those before the caller will take if they ask now: so a seat that
// comes free is held for the first in line who may have it, for as long as its
// place is kept, and nobody overtakes. Who comes anew stands behind all.
func (e *Engine) ahead(now license.Time, q *queue, who Caller) tally {
	t := tally{seats: map[*pool]int64{}, used: map[int]int64{}}
	for _, w := range q.waiting {
		if w.same(who) {
			break
		}
		a := ask{w.who, &w.claim, &w.decision}
		c, why := e.pick(now, a, &t)
		switch {
		case why == none && !c.own():
			t.seats[c.pool] += c.takes
			t.used[w.decision.rule] += max(1, c.takes)
		case why == full:
			e.gather(now, a, &t)
		}
	}
	return t
}

// gather keeps the free seats of one license for somebody who needs all of them,
// who would otherwise wait for ever while seats come free one by one.
func (e *Engine) gather(now license.Time, a ask, t *tally) {
	for _, p := range e.products[a.claim.Product] {
		if !p.suits(now, a.claim) || p.need(a.claim) < 2 || a.decision.Limit > 0 && a.decision.Limit < p.need(a.claim) {
			continue
		}
		t.seats[p] = max(t.seats[p], e.available(now, p))
		return
	}
}

// wait gives the caller a place in the queue, or its place again, and adds it to
// the refusal; where it does not want to wait, or waiting cannot help, its place is gone.
func (e *Engine) wait(now license.Time, a ask, why *refusal.Refusal) *refusal.Refusal {
	product := a.claim.Product
	if !a.claim.Wait || why.Code != refusal.NoSeatFree {
		e.leave(a.who, product)
		return why
	}
	if a.who.Client.ID == "" {
		return refusal.New(refusal.InvalidInput, "The client has no id, without which its place in the queue cannot be told from others.")
	}
	q := e.queues[product]
	if q == nil {
		q = &queue{earliest: e.up(now) + maxTime}
		e.queues[product] = q
	}
	i := q.find(a.who)
	if i < 0 {
		if len(q.waiting) >= e.limits.MaxQueue {
			return refusal.New(refusal.RateLimited, "All seats of %s are taken, and %d already wait for one.", product, len(q.waiting)).
				Hinted("Try again later.")
		}
		i = len(q.waiting)
		q.waiting = append(q.waiting, &waiter{since: e.up(now)})
	}
	w := q.waiting[i]
	w.who, w.claim, w.decision = a.who, *a.claim, *a.decision
	w.until = plus(e.up(now), e.limits.Keep)
	q.earliest = min(q.earliest, w.until)
	return why.With("queue", Waiting{Place: i + 1, Keep: e.limits.Keep})
}

// leave gives up the caller's place.
func (e *Engine) leave(who Caller, product string) {
	q := e.queues[product]
	if q == nil {
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter) bool { return w.same(who) })
	if len(q.waiting) == 0 {
		delete(e.queues, product)
	}
}
