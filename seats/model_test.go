package seats_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// plain is what the engine must be like, done in the plainest way: a list of
// what is out, looked through from its start to its end.
type plain struct {
	src  seats.Source
	out  []*held
	true license.Time // what really passed; sessions go by it
	set  license.Time // by how much the wall clock was set
}

type held struct {
	g       seats.Grant
	who     int
	loan    bool
	holder  license.Serial
	wishes  []string
	takes   int64
	frees   license.Time // true time for a session, wall clock for a loan
	lingers bool
	until   license.Time // wall clock to which it lingers, as recorded
}

func (m *plain) wall() license.Time { return m.true + m.set }

// tidy takes out what is over.
func (m *plain) tidy() {
	for _, h := range slices.Clone(m.out) {
		switch {
		case h.loan && h.frees <= m.wall():
			m.remove(h)
		case h.loan || h.frees > m.true:
		case h.lingers:
			m.remove(h)
		default:
			// It was over at its nominal end, and lingers from then.
			m.linger(h, plus(h.frees, -(seats.FreeAfter(h.g.TTL)-h.g.TTL)))
		}
	}
}

func (m *plain) linger(h *held, from license.Time) {
	h.lingers, h.frees = true, plus(from, m.src.Terms.Linger)
	h.until = h.frees + m.set
	if h.frees <= m.true || m.src.Terms.Linger == 0 {
		m.remove(h)
	}
}

func (m *plain) remove(h *held) {
	m.out = slices.DeleteFunc(m.out, func(o *held) bool { return o == h })
}

func (m *plain) counts() (free, leased, lent int64) {
	stations := map[int]bool{}
	for _, h := range m.out {
		switch {
		case h.loan:
			lent += h.takes
		case m.src.Terms.Counting == license.PerStation && !stations[h.who]:
			stations[h.who] = true
			leased++
		case m.src.Terms.Counting != license.PerStation:
			leased += h.takes
		}
	}
	return m.src.Terms.Seats - leased - lent, leased, lent
}

func (m *plain) loans() (n int64) {
	for _, h := range m.out {
		if h.loan {
			n++
		}
	}
	return n
}

func (m *plain) need() int64 {
	if m.src.Terms.Counting == license.Exclusive {
		return m.src.Terms.Seats
	}
	return 1
}

// own is a lingering seat that the program gets back.
func (m *plain) own(who int) *held {
	for _, h := range m.out {
		if h.who == who && h.lingers && m.src.Terms.Counting != license.PerStation {
			return h
		}
	}
	return nil
}

func (m *plain) mayClaim(who int) bool {
	for _, h := range m.out {
		if h.who == who && !h.loan && m.src.Terms.Counting == license.PerStation {
			return true
		}
	}
	free, _, _ := m.counts()
	return m.own(who) != nil || free >= m.need()
}

// TestLikeThePlainest runs the engine and the plainest one side by side, with
// restarts, snapshots and clocks that are set.
func TestLikeThePlainest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := source(rapid.Int64Range(1, 4).Draw(t, "seats"), func(s *seats.Source) {
			s.Terms.Counting = rapid.SampledFrom([]license.Counting{"", license.PerStart, license.PerStation, license.Exclusive}).Draw(t, "counting")
			s.Terms.Linger = rapid.SampledFrom([]license.Duration{0, 0, 30 * second, 10 * minute}).Draw(t, "linger")
			s.Terms.Borrow = license.Borrow{Max: day, Seats: rapid.Int64Range(0, 3).Draw(t, "loans")}
		})
		b := newBench(new(testing.T), seats.Limits{Session: minute, Longest: 10 * minute}, src)
		m := &plain{src: src, true: start}
		var over []*held // what was once had, to try again
		step := 0
		who := func(i int) seats.Caller { return local(fmt.Sprint("user", i)) }
		caller := func(i int) seats.Caller {
			c := who(i)
			c.Client.Host = fmt.Sprint("host", i)
			return c
		}
		any := func(t *rapid.T, loan bool) *held {
			var list []*held
			for _, h := range append(slices.Clone(m.out), over...) {
				if h.loan == loan {
					list = append(list, h)
				}
			}
			if len(list) == 0 {
				t.Skip()
			}
			return list[rapid.IntRange(0, len(list)-1).Draw(t, "which")]
		}
		live := func(h *held) bool { return slices.Contains(m.out, h) && !h.lingers }
		code := func(r *refusal.Refusal) refusal.Code {
			if r == nil {
				return ""
			}
			return r.Code
		}
		want := func(t *rapid.T, what string, r *refusal.Refusal, c refusal.Code) {
			if code(r) != c {
				t.Fatalf("%s: %v (%v), want %q", what, code(r), r, c)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "who")
				step++
				ttl := rapid.SampledFrom([]license.Duration{0, 20 * second, hour}).Draw(t, "ttl")
				g, r := b.claim(caller(i), seats.Claim{Nonce: fmt.Sprint(step), TTL: ttl})
				if !m.mayClaim(i) {
					want(t, "claim", r, refusal.NoSeatFree)
					return
				}
				want(t, "claim", r, "")
				if own := m.own(i); own != nil {
					m.remove(own)
				}
				m.out = append(m.out, &held{g: g, who: i, wishes: []string{fmt.Sprint(step)}, takes: m.need(), frees: plus(m.true, seats.FreeAfter(g.TTL))})
			},
			"claim again": func(t *rapid.T) {
				h := any(t, false)
				if !live(h) {
					t.Skip() // its wish is free again: the step above
				}
				g, r := b.claim(caller(h.who), seats.Claim{Nonce: h.wishes[0]})
				want(t, "claim again", r, "")
				if g.Lease.ID != h.g.Lease.ID || g.Token != h.g.Token || !g.Repeated {
					t.Fatalf("%+v, then %+v", h.g, g)
				}
				h.frees = max(h.frees, plus(m.true, seats.FreeAfter(h.g.TTL)))
			},
			"extend": func(t *rapid.T) {
				h := any(t, false)
				g, r := b.e.Extend(b.now, h.g.Lease.ID, h.g.Token, "")
				if !live(h) {
					want(t, "extend", r, refusal.LeaseLost)
					return
				}
				want(t, "extend", r, "")
				if g.TTL != h.g.TTL || g.Lease.Until != plus(m.wall(), g.TTL) {
					t.Fatalf("%+v", g)
				}
				h.frees = max(h.frees, plus(m.true, seats.FreeAfter(g.TTL)))
			},
			"release or end": func(t *rapid.T) {
				h := any(t, false)
				var records []seats.Record
				var r *refusal.Refusal
				if rapid.Bool().Draw(t, "by an administrator") {
					records, r = b.e.End(b.now, h.g.Lease.ID, "root", "")
				} else {
					records, r = b.e.Release(b.now, h.g.Lease.ID, h.g.Token)
				}
				b.ledger = append(b.ledger, records...)
				if !live(h) {
					want(t, "release", r, refusal.LeaseLost)
					return
				}
				want(t, "release", r, "")
				over = append(over, h)
				m.linger(h, m.true)
			},
			"wrong token": func(t *rapid.T) {
				h := any(t, false)
				_, r := b.e.Release(b.now, h.g.Lease.ID, seats.Token{})
				if live(h) {
					want(t, "wrong token", r, refusal.LeaseNotYours)
				} else {
					want(t, "wrong token", r, refusal.LeaseLost)
				}
			},
			"borrow": func(t *rapid.T) {
				step++
				w := loan(fmt.Sprint(step), license.Duration(rapid.Int64Range(1, 90000).Draw(t, "length"))*second)
				var s *held
				if rapid.Bool().Draw(t, "from a session") {
					s = any(t, false)
					w.Session, w.Token = s.g.Lease.ID, s.g.Token.Text()
				}
				holder := license.Serial(rapid.SampledFrom([]string{"laptop", "other"}).Draw(t, "holder"))
				a := b.lend(holder, w)
				free, _, _ := m.counts()
				alone := s != nil && (m.src.Terms.Counting != license.PerStation || !slices.ContainsFunc(m.out, func(o *held) bool { return o != s && !o.loan && o.who == s.who }))
				switch {
				case s != nil && !live(s):
					want(t, "borrow", a.Refused, refusal.LeaseLost)
				case m.src.Terms.Borrow.Seats == 0:
					want(t, "borrow", a.Refused, refusal.BorrowNotAllowed)
				case w.For > day:
					want(t, "borrow", a.Refused, refusal.BorrowTooLong)
				case m.loans() >= m.src.Terms.Borrow.Seats, !alone && free < m.need():
					want(t, "borrow", a.Refused, refusal.NoSeatFree)
				default:
					want(t, "borrow", a.Refused, "")
					if s != nil {
						m.remove(s)
						over = append(over, s)
					}
					g := *a.Granted
					if g.Lease.Until != plus(m.wall(), w.For) {
						t.Fatalf("%+v", g)
					}
					m.out = append(m.out, &held{g: g, who: -1, loan: true, holder: holder, wishes: []string{w.Nonce}, takes: m.need(), frees: plus(g.Lease.Until, seats.LoanMargin(w.For))})
				}
			},
			"the same file again": func(t *rapid.T) {
				h := any(t, true)
				w := loan(h.wishes[rapid.IntRange(0, len(h.wishes)-1).Draw(t, "wish")], hour)
				a := b.lend(h.holder, w)
				if !live(h) {
					want(t, "again", a.Refused, refusal.LeaseLost)
				} else if want(t, "again", a.Refused, ""); a.Granted.Lease.ID != h.g.Lease.ID || a.Granted.Lease.Until != h.g.Lease.Until {
					t.Fatalf("%+v, then %+v", h.g, a.Granted)
				}
			},
			"extend a loan": func(t *rapid.T) {
				h := any(t, true)
				step++
				w := loan(fmt.Sprint(step), license.Duration(rapid.Int64Range(1, 86400).Draw(t, "length"))*second)
				w.Extend = h.g.Lease.ID
				a := b.lend(h.holder, w)
				if !live(h) || h.g.Lease.Until <= m.wall() {
					want(t, "extend a loan", a.Refused, refusal.LeaseLost)
					return
				}
				want(t, "extend a loan", a.Refused, "")
				if a.Granted.Lease.Until != max(h.g.Lease.Until, plus(m.wall(), w.For)) {
					t.Fatalf("%+v, then %+v", h.g, a.Granted)
				}
				h.g, h.wishes = *a.Granted, append(h.wishes, w.Nonce)
				length := license.Duration(h.g.Lease.Until-m.wall()) * 1000
				h.frees = max(h.frees, plus(h.g.Lease.Until, seats.LoanMargin(length)))
			},
			"return": func(t *rapid.T) {
				h := any(t, true)
				holder := license.Serial(rapid.SampledFrom([]string{"laptop", "other"}).Draw(t, "holder"))
				a := b.lend(holder, seats.LoanWish{Returned: []seats.LeaseID{h.g.Lease.ID}})
				if done := len(a.Returned) == 1; done != (holder == h.holder || !slices.Contains(m.out, h)) {
					t.Fatalf("%+v", a)
				}
				if holder == h.holder && slices.Contains(m.out, h) {
					over = append(over, h)
					m.remove(h)
				}
			},
			"time passes": func(t *rapid.T) {
				d := license.Duration(rapid.SampledFrom([]int64{1, 5, 20, 61, 62, 600, 90000}).Draw(t, "seconds")) * second
				m.true, b.now = plus(m.true, d), plus(b.now, d)
			},
			"the clock is set": func(t *rapid.T) {
				d := license.Time(rapid.Int64Range(-500, 500).Draw(t, "seconds") * 1_000_000)
				m.set += d
				b.now += d
				b.e.ClockMoved((license.Duration(d) * 1000).Go())
			},
			"restart": func(t *rapid.T) {
				d := license.Time(rapid.Int64Range(-500, 500).Draw(t, "seconds") * 1_000_000)
				b.now += d
				if rapid.Bool().Draw(t, "compact") {
					for _, h := range m.out {
						h.until = h.frees + m.set // a snapshot knows of clocks that were set
					}
					m.set += d
					b.compact()
				} else {
					m.set += d
					b.restart()
				}
				for _, h := range m.out {
					switch {
					case h.loan:
						h.frees = min(h.frees, max(plus(h.g.Lease.Until, seats.LoanMargin(license.Duration(h.g.Lease.Until-h.g.Lease.From)*1000)), h.frees))
					case h.lingers:
						h.frees = m.true + min(h.until-m.wall(), license.Time(m.src.Terms.Linger/1000))
					default:
						h.frees = plus(m.true, seats.FreeAfter(h.g.TTL))
					}
				}
			},
			"": func(t *rapid.T) {
				if b.t.Failed() {
					t.Fatal("the records cannot be read or replayed")
				}
				b.pass(0)
				for _, h := range slices.Clone(m.out) {
					m.tidy()
					if !slices.Contains(m.out, h) {
						over = append(over, h)
					}
				}
				free, leased, lent := m.counts()
				if v := b.pool(); v.Free != free || v.Leased != leased || v.Lent != lent || v.Free+v.Leased+v.Lent != v.Seats {
					t.Fatalf("free %d, leased %d, lent %d; want %d, %d, %d", v.Free, v.Leased, v.Lent, free, leased, lent)
				}
				if n := len(b.e.Leases()); n != len(m.out) {
					t.Fatalf("%d are out, want %d", n, len(m.out))
				}
			},
		})
	})
}
