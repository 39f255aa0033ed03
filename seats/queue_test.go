package seats_test

import (
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

var waits = seats.Claim{Wait: true}

// waiting claims with a wish to wait, and checks the place.
func (b *bench) waiting(who seats.Caller, want int, c ...seats.Claim) {
	b.t.Helper()
	r := b.refused(refusal.NoSeatFree, who, append(c, waits)[0])
	if got := place(r); got != want {
		b.t.Fatalf("%s has place %d, want %d", who.Client.User, got, want)
	}
}

func TestQueue(t *testing.T) {
	ann, bob, cem, dan := local("ann"), local("bob"), local("cem"), local("dan")
	l := seats.Limits{Session: hour, Keep: 30 * second}

	t.Run("in order, and nobody overtakes", func(t *testing.T) {
		b := newBench(t, l, source(1))
		g := b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.waiting(bob, 1)
		if b.pool().Waiting != 2 {
			t.Error(b.pool().Waiting)
		}
		b.release(g)
		b.waiting(cem, 2)                  // the free seat is bob's
		b.refused(refusal.NoSeatFree, dan) // nor does anybody else get it
		b.waiting(dan, 3)
		b.waiting(ann, 4)
		g = b.got(bob, waits)
		b.waiting(cem, 1)
		b.release(g)
		b.refused(refusal.NoSeatFree, bob)
		b.got(cem, waits)
	})
	t.Run("a place lapses", func(t *testing.T) {
		b := newBench(t, l, source(1))
		g := b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.release(g)
		for range 2 {
			b.pass(20 * second)
			if b.now < plus(start, 30*second) {
				b.waiting(cem, 2) // a place is kept
			}
		}
		b.got(cem, waits) // bob did not ask again
		b.waiting(bob, 1)
	})
	t.Run("administrators see who waits, in order", func(t *testing.T) {
		b := newBench(t, l, source(1))
		b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		q := b.e.Queue(b.now)
		if len(q) != 2 || q[0].Client.User != bob.Client.User || q[0].Place != 1 || q[1].Client.User != cem.Client.User || q[1].Place != 2 || q[0].Since != b.now || q[0].Until <= b.now {
			t.Errorf("%+v", q)
		}
	})
	t.Run("who no longer waits makes room", func(t *testing.T) {
		b := newBench(t, l, source(1))
		g := b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.refused(refusal.NoSeatFree, bob)
		b.release(g)
		b.got(cem, waits)
	})
	t.Run("who waits for what he cannot have holds up nobody", func(t *testing.T) {
		b := newBench(t, l, source(2)).rule("allow user=*\nallow user=bob limit=1\nallow user=eve limit=1")
		bobs := b.got(bob)
		anns := b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.release(anns)
		g := b.got(cem, waits)
		b.release(g)
		b.release(bobs)
		b.got(bob, waits)
		b.got(dan)
	})
	t.Run("who needs all seats gets them", func(t *testing.T) {
		b := newBench(t, l, source(2))
		first, second := b.got(ann), b.got(ann)
		all := seats.Claim{Wait: true, Exclusive: true}
		b.waiting(bob, 1, all)
		b.release(first)
		b.refused(refusal.NoSeatFree, cem)
		b.waiting(bob, 1, all)
		b.release(second)
		b.refused(refusal.NoSeatFree, cem)
		b.got(bob, all)
		b.counts(0, 2, 0)
	})
	t.Run("loans do not overtake either", func(t *testing.T) {
		b := newBench(t, l, termed(1, func(t *license.Terms) { t.Borrow = license.Borrow{Max: day, Seats: 1} }))
		g := b.got(ann)
		b.waiting(bob, 1)
		b.release(g)
		b.isRefusal(b.lend("laptop", loan("n1", hour)).Refused, refusal.NoSeatFree)
		b.got(bob, waits)
	})
	t.Run("bounded", func(t *testing.T) {
		b := newBench(t, seats.Limits{MaxQueue: 2}, source(1))
		b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.refused(refusal.RateLimited, dan, waits)
		b.waiting(cem, 2)
		nameless := dan
		nameless.Client.ID = ""
		b.refused(refusal.InvalidInput, nameless, waits)
	})
	t.Run("waiting for what is overdue", func(t *testing.T) {
		b := newBench(t, seats.Limits{Session: minute, Lazy: true}, source(1))
		b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.pass(20 * second)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.now = plus(b.now, 41*second) // overdue by the program's clock, not by its margin
		b.waiting(bob, 1)
		b.now = plus(b.now, 1*second)
		b.refused(refusal.NoSeatFree, cem, waits)
		b.got(bob, waits)
	})
	t.Run("denied meanwhile", func(t *testing.T) {
		b := newBench(t, l, source(1))
		g := b.got(ann)
		b.waiting(bob, 1)
		b.waiting(cem, 2)
		b.rule("allow user=*\ndeny user=bob")
		b.refused(refusal.SeatDenied, bob, waits)
		b.release(g)
		b.got(cem, waits)
	})
}

// TestSeatsOfTwoLicenses: two wait, and each license has one seat free.
func TestSeatsOfTwoLicenses(t *testing.T) {
	second := source(1)
	second.License = "lic-2"
	b := newBench(t, seats.Limits{Session: hour}, source(1), second)
	g, h := b.got(local("ann")), b.got(local("ann"))
	b.waiting(local("bob"), 1)
	b.waiting(local("cem"), 2)
	b.release(g)
	b.release(h)
	b.got(local("cem"), waits)
	b.refused(refusal.NoSeatFree, local("dan"))
	b.got(local("bob"), waits)
}
