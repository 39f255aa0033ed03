package seats_test

import (
	"slices"
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

func lendable(n, loans int64, change ...func(*license.Terms)) seats.Source {
	return termed(n, func(t *license.Terms) {
		t.Borrow = license.Borrow{Max: 7 * day, Seats: loans}
		for _, c := range change {
			c(t)
		}
	})
}

func TestBorrow(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(3, 2))
	g := b.lent("laptop", loan("n1", day))
	if l := g.Lease; l.Kind != seats.Loan || l.Seats != 1 || l.Until != plus(start, day) || l.Holder != "laptop" ||
		string(l.HolderKey) != "key of laptop" || l.Nonce != "n1" || l.Server != "server" || l.Generation != 1 || l.Client.User != "ann" {
		t.Fatalf("%+v", l)
	}
	b.counts(2, 0, 1)
	if v := b.pool(); v.Lendable != 1 {
		t.Errorf("%d could be lent", v.Lendable)
	}
	b.lent("other", loan("n1", hour)) // another holder's nonce is another wish
	r := b.lend("third", loan("n1", hour)).Refused
	b.isRefusal(r, refusal.NoSeatFree)
	b.counts(1, 0, 2)

	_, r = b.e.End(b.now, g.Lease.ID, "root", "")
	b.isRefusal(r, refusal.SeatsOnLoan)
	_, r = b.e.Release(b.now, g.Lease.ID, seats.Token{})
	b.isRefusal(r, refusal.LeaseLost)
	_, r = b.e.Extend(b.now, g.Lease.ID, seats.Token{}, "")
	b.isRefusal(r, refusal.LeaseLost)

	if onLoan, forGood, until := b.e.Lent("server", "lic-1"); onLoan != 2 || forGood != 0 || until != g.Lease.Until {
		t.Error(onLoan, forGood, until)
	}
	b.pass(day)
	b.counts(2, 0, 1) // within its margin
	b.pass(seats.LoanMargin(day))
	b.counts(3, 0, 0)
}

func TestBorrowRefusals(t *testing.T) {
	no := seats.Limits{}
	tests := []struct {
		name   string
		limits seats.Limits
		rules  string
		src    seats.Source
		wish   func(*seats.LoanWish)
		want   refusal.Code
	}{
		{"too long", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.For = 7*day + 1 }, refusal.BorrowTooLong},
		{"as long as can be", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.For = 7 * day }, ""},
		{"the vendor lends none", no, "", source(1), nil, refusal.BorrowNotAllowed},
		{"no seat may be lent", no, "", lendable(1, 0), nil, refusal.BorrowNotAllowed},
		{"forbidden by the administrator", seats.Limits{NoLoans: true}, "", lendable(1, 1), nil, refusal.BorrowNotAllowed},
		{"shortened by the administrator", seats.Limits{LongestLoan: minute}, "", lendable(1, 1), nil, refusal.BorrowTooLong},
		{"never lengthened by the administrator", seats.Limits{LongestLoan: 99 * day}, "", lendable(1, 1), func(w *seats.LoanWish) { w.For = 8 * day }, refusal.BorrowTooLong},
		{"forbidden by a rule", no, "allow user=ann borrow=no", lendable(1, 1), nil, refusal.BorrowNotAllowed},
		{"shortened by a rule", no, "allow user=ann borrow=1m", lendable(1, 1), nil, refusal.BorrowTooLong},
		{"never lengthened by a rule", no, "allow user=ann borrow=99d", lendable(1, 1), func(w *seats.LoanWish) { w.For = 8 * day }, refusal.BorrowTooLong},
		{"denied by a rule", no, "deny user=ann", lendable(1, 1), nil, refusal.SeatDenied},
		{"no length", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.For = 0 }, refusal.InvalidInput},
		{"two seats", no, "", lendable(3, 3), func(w *seats.LoanWish) { w.Seats = 2 }, refusal.InvalidInput},
		{"no nonce", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Nonce = "" }, refusal.InvalidInput},
		{"no kind", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Kind = seats.Session }, refusal.InvalidInput},
		{"feature missing", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Features = []string{"export"} }, refusal.FeatureMissing},
		{"unknown product", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Product = "DRAW" }, refusal.NoLicense},
		{"another server's", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Server = "elsewhere" }, refusal.NoLicense},
		{"expired", no, "", lendable(1, 1, func(t *license.Terms) { t.ExpiresAt = start }), nil, refusal.Expired},
		{"in grace", no, "", lendable(1, 1, func(t *license.Terms) { t.ExpiresAt, t.Grace = start, day }), nil, refusal.BorrowNotAllowed},
		{"no such session", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Session = "x" }, refusal.LeaseLost},
		{"no such loan", no, "", lendable(1, 1), func(w *seats.LoanWish) { w.Extend = "x" }, refusal.LeaseLost},
		{"transfer not allowed", no, "allow user=ann transfer=yes", lendable(1, 1), func(w *seats.LoanWish) { w.Kind, w.For = seats.Transfer, 0 }, refusal.BorrowNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.limits, tt.src).rule(tt.rules)
			w := loan("n", hour)
			if tt.wish != nil {
				tt.wish(&w)
			}
			before := b.e.Snapshot()
			switch a := b.lend("laptop", w); {
			case tt.want == "" && a.Granted == nil:
				t.Fatal(a.Refused)
			case tt.want != "":
				b.isRefusal(a.Refused, tt.want)
				if after := b.e.Snapshot(); a.Granted != nil || len(b.ledger) != 0 || len(after) != len(before) {
					t.Error("a refusal changed something")
				}
			}
		})
	}
}

// TestKindsOfBorrower: the vendor says into which kinds of container seats are lent.
func TestKindsOfBorrower(t *testing.T) {
	into := func(kinds ...license.Kind) func(*license.Terms) {
		return func(t *license.Terms) {
			t.Borrow.Containers, t.Transfer = license.KindsOf(kinds...), license.MovesSeats
		}
	}
	b := newBench(t, seats.Limits{}, lendable(9, 9, into(license.Token, license.Cloud))).rule("allow transfer=yes")
	r := b.lend("laptop", loan("n1", hour)).Refused
	b.isRefusal(r, refusal.BorrowNotAllowed)
	if kinds, _ := r.Details["containers"].([]license.Kind); !slices.Equal(kinds, []license.Kind{license.Token, license.Cloud}) || r.Details["kind"] != license.Machine {
		t.Errorf("%v", r.Details)
	}
	b.isRefusal(b.lendInto("", "laptop", loan("n1", hour)).Refused, refusal.BorrowNotAllowed)
	for _, k := range []license.Kind{license.Token, license.Cloud} {
		a := b.lendInto(k, license.Serial(k), loan("n1", hour))
		if a.Granted == nil {
			t.Fatal(k, a.Refused)
		}
		longer := loan("n2", day)
		longer.Product, longer.Extend = "", a.Granted.Lease.ID
		b.isRefusal(b.lend(license.Serial(k), longer).Refused, refusal.BorrowNotAllowed)
		if a := b.lendInto(k, license.Serial(k), longer); a.Granted == nil {
			t.Error(k, a.Refused)
		}
	}
	b.counts(7, 0, 2)
	move := loan("n3", 0)
	move.Kind, move.Seats = seats.Transfer, 1
	b.lent("laptop", move) // it is about loans

	for name, c := range map[string]struct {
		sources []seats.Source
		want    license.KindSet
	}{
		"one":         {[]seats.Source{lendable(1, 1, into(license.Token))}, "token"},
		"every kind":  {[]seats.Source{lendable(1, 1)}, ""},
		"of two":      {[]seats.Source{lendable(1, 1, into(license.Token)), another(lendable(1, 1, into(license.Machine)))}, "machine+token"},
		"of two, all": {[]seats.Source{lendable(1, 1, into(license.Token)), another(lendable(1, 1))}, ""},
		"lends none":  {[]seats.Source{lendable(1, 1, into(license.Token)), another(lendable(1, 0, into(license.Machine)))}, "token"},
	} {
		b := newBench(t, seats.Limits{}, c.sources...)
		if v := b.e.Products(b.now, local("ann"), "")[0]; !v.Borrow || v.Into != c.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func another(s seats.Source) seats.Source {
	s.License = "lic-2"
	return s
}

// TestLoanEndsWithItsLicense is Inv34.
func TestLoanEndsWithItsLicense(t *testing.T) {
	end := plus(start, 2*day)
	for name, src := range map[string]seats.Source{
		"expiry": lendable(1, 1, func(t *license.Terms) { t.ExpiresAt, t.Grace = end, day }),
		"check-in": func() seats.Source {
			s := lendable(1, 1, func(t *license.Terms) { t.CheckIn, t.Grace = 3*day, day })
			s.LastContact = plus(start, -day)
			return s
		}(),
		"the earlier one": func() seats.Source {
			s := lendable(1, 1, func(t *license.Terms) { t.CheckIn, t.ExpiresAt = 9*day, end })
			s.LastContact = start
			return s
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, seats.Limits{}, src)
			g := b.lent("laptop", loan("n1", 7*day))
			if g.Lease.Until != end {
				t.Fatalf("lasts until %s", g.Lease.Until)
			}
			b.now = plus(start, day)
			w := loan("n2", 7*day)
			w.Extend = g.Lease.ID
			if again := b.lent("laptop", w); again.Lease.Until != end {
				t.Fatalf("extended until %s", again.Lease.Until)
			}
		})
	}
}

// TestLoanOfTheLongestLicense: a loan is cut short as late as can be.
func TestLoanOfTheLongestLicense(t *testing.T) {
	short, long, endless := lendable(1, 1), lendable(1, 1), lendable(1, 1)
	short.License, short.Terms.ExpiresAt = "short", plus(start, day)
	long.License, long.Terms.ExpiresAt = "long", plus(start, 2*day)
	endless.License = "z-endless"
	b := newBench(t, seats.Limits{}, short, long, endless)
	for _, want := range []license.ID{"z-endless", "long", "short"} {
		if g := b.lent("laptop", loan(string(want), 7*day)); g.Lease.License != want {
			t.Errorf("lent %s, want %s", g.Lease.License, want)
		}
	}
}

// TestSameLoanWish: a wish whose answer was lost, or whose file is found again.
func TestSameLoanWish(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(3, 3))
	g := b.lent("laptop", loan("n1", day))
	for _, again := range []func(){func() {}, b.restart, b.compact} {
		again()
		b.now = plus(b.now, minute)
		if r := b.lent("laptop", loan("n1", day)); r.Lease.ID != g.Lease.ID || r.Lease.Until != g.Lease.Until || !r.Repeated {
			t.Fatalf("%+v, then %+v", g, r)
		}
	}
	b.counts(2, 0, 1)

	w := loan("n2", 2*day)
	w.Extend = g.Lease.ID
	longer := b.lent("laptop", w)
	if longer.Lease.ID != g.Lease.ID || longer.Lease.Until != plus(b.now, 2*day) || longer.Lease.Nonce != "n2" || longer.Lease.Fence <= g.Lease.Fence {
		t.Fatalf("%+v", longer)
	}
	b.now = plus(b.now, minute)
	for _, n := range []string{"n2", "n1"} { // the older file states the loan as it is
		w.Nonce = n
		if r := b.lent("laptop", w); r.Lease.Until != longer.Lease.Until || r.Lease.Nonce != n {
			t.Fatalf("%+v", r)
		}
	}
	w.Nonce = "n3"
	b.isRefusal(b.lend("other", w).Refused, refusal.LeaseLost) // nobody extends another's

	back := seats.LoanWish{Nonce: "n4", Returned: []seats.LeaseID{g.Lease.ID}}
	b.lend("laptop", back)
	b.counts(3, 0, 0)
	for _, again := range []func(){func() {}, b.restart, b.compact} {
		again()
		for _, n := range []string{"n1", "n2"} {
			b.isRefusal(b.lend("laptop", loan(n, day)).Refused, refusal.LeaseLost)
		}
	}
	b.counts(3, 0, 0)
	b.lent("laptop", loan("n5", day))
}

// TestForgottenWish: what a wish was answered with is remembered for 400 days. After
// that its file takes no seat again, and neither does one from before, in whichever
// order they came; a later wish of the same container counts, and any of another.
func TestForgottenWish(t *testing.T) {
	numbered := func(n string, number uint64) seats.LoanWish {
		w := loan(n, day)
		w.Number = number
		return w
	}
	b := newBench(t, seats.Limits{}, lendable(9, 9))
	b.lent("laptop", numbered("late", 12))
	b.lent("laptop", numbered("early", 11)) // carried by hand, and slower
	b.pass(399 * day)
	kept := b.lent("laptop", numbered("kept", 20))
	b.pass(2 * day)
	old := map[string]uint64{"late": 12, "early": 11, "never came": 10}
	for what, again := range map[string]func(){"at once": func() {}, "after a snapshot": b.compact, "after a restart": func() { b.restart(); b.pass(0) }} {
		again()
		for n, number := range old {
			b.isRefusal(b.lend("laptop", numbered(n, number)).Refused, refusal.LeaseLost)
		}
		if r := b.lend("laptop", numbered("kept", 20)).Refused; r == nil || r.Details["lease"] != kept.Lease.ID {
			t.Errorf("%s: what is remembered is not told: %v", what, r)
		}
		b.counts(9, 0, 0)
	}
	b.lent("other", numbered("early", 11))
	b.lent("laptop", numbered("between", 13)) // written before the one that is remembered
	b.counts(7, 0, 2)
	none := numbered("x", 0)
	b.isRefusal(b.lend("laptop", none).Refused, refusal.InvalidInput)
}

func TestReturn(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(2, 2))
	g := b.lent("laptop", loan("n1", day))
	h := b.lent("other", loan("n1", day))

	a := b.lend("thief", seats.LoanWish{Nonce: "x", Returned: []seats.LeaseID{g.Lease.ID}})
	b.counts(0, 0, 2) // only the holder proves it
	if len(a.Returned) != 0 {
		t.Error("confirmed a return that is none")
	}
	a = b.lend("laptop", seats.LoanWish{Nonce: "n2", Returned: []seats.LeaseID{g.Lease.ID, h.Lease.ID, "unknown"}})
	if !slices.Equal(a.Returned, []seats.LeaseID{g.Lease.ID, "unknown"}) || a.Refused != nil || a.Granted != nil {
		t.Errorf("%+v", a)
	}
	b.counts(1, 0, 1)
	a = b.lend("laptop", seats.LoanWish{Nonce: "n2", Returned: []seats.LeaseID{g.Lease.ID}}) // its receipt was lost
	if !slices.Equal(a.Returned, []seats.LeaseID{g.Lease.ID}) {
		t.Errorf("%+v", a)
	}

	// A return and a new loan in one wish, when all are out.
	third := b.lent("laptop", loan("n3", day))
	w := loan("n4", hour)
	w.Returned = []seats.LeaseID{third.Lease.ID}
	last := b.lent("laptop", w)
	b.counts(0, 0, 2)

	// A return is done also if the loan asked for is refused.
	w = loan("n5", 99*day)
	w.Returned = []seats.LeaseID{last.Lease.ID}
	a = b.lend("laptop", w)
	b.isRefusal(a.Refused, refusal.BorrowTooLong)
	b.counts(1, 0, 1)
}

func TestConfirmed(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(2, 2))
	g := b.lent("laptop", loan("n1", day))
	holds := seats.LoanWish{Nonce: "n2", Holds: []seats.Held{{Lease: g.Lease.ID, Until: g.Lease.Until}}}
	confirmed := func() bool { v, _ := b.e.Lease(g.Lease.ID); return v.Confirmed }
	b.lend("other", holds)
	if confirmed() {
		t.Fatal("confirmed by another container")
	}
	b.lend("laptop", holds)
	n := len(b.ledger)
	b.lend("laptop", holds)
	if !confirmed() || len(b.ledger) != n {
		t.Fatal("not confirmed, or twice")
	}
	b.restart()
	if !confirmed() {
		t.Error("forgotten by a restart")
	}
	b.compact()
	if !confirmed() {
		t.Error("forgotten by a snapshot")
	}
}

// TestSessionBecomesLoan: the running session's own seat is lent, by one record.
func TestSessionBecomesLoan(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(1, 1, func(t *license.Terms) { t.Linger = hour }))
	s := b.got(local("ann"))
	w := loan("n1", day)
	b.isRefusal(b.lend("laptop", w).Refused, refusal.NoSeatFree)
	w.Session, w.Token = s.Lease.ID, seats.Token{}.Text()
	b.isRefusal(b.lend("laptop", w).Refused, refusal.LeaseNotYours)
	w.Token = s.Token.Text()
	w.Product = "DRAW"
	b.isRefusal(b.lend("laptop", w).Refused, refusal.InvalidInput)
	w.Product = ""
	n := len(b.ledger)
	g := b.lent("laptop", w)
	b.counts(0, 0, 1)
	if len(b.ledger) != n+2 || b.ledger[n].Replaces != s.Lease.ID || b.ledger[n+1].Kind != seats.Counted {
		t.Fatalf("recorded as %v", b.ledger[n:])
	}
	_, r := b.e.Extend(b.now, s.Lease.ID, s.Token, "")
	b.isRefusal(r, refusal.LeaseLost)
	if again := b.lent("laptop", w); again.Lease.ID != g.Lease.ID { // its answer was lost
		t.Error("a second loan")
	}
	b.restart()
	b.counts(0, 0, 1)

	t.Run("others on its station go on", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(2, 2, func(t *license.Terms) { t.Counting = license.PerStation }))
		first, other := b.got(local("ann")), b.got(local("bob"))
		w := loan("n1", day)
		w.Session, w.Token = first.Lease.ID, first.Token.Text()
		b.lent("laptop", w)
		b.counts(0, 1, 1)
		b.extend(other)
		w = loan("n2", day)
		w.Session, w.Token = other.Lease.ID, other.Token.Text()
		b.lent("laptop", w)
		b.counts(0, 0, 2)
	})
	t.Run("exclusive", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(2, 1, func(t *license.Terms) { t.Counting = license.Exclusive }))
		s := b.got(local("ann"))
		w := loan("n1", day)
		w.Session, w.Token = s.Lease.ID, s.Token.Text()
		b.lent("laptop", w)
		b.counts(0, 0, 2)
	})
	t.Run("uncounted", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(1, 2, func(t *license.Terms) { t.Counting = license.Unlimited }))
		b.lent("laptop", loan("n1", day))
		b.lent("laptop", loan("n2", day))
		b.isRefusal(b.lend("laptop", loan("n3", day)).Refused, refusal.NoSeatFree)
		b.got(local("ann"))
	})
}

// TestSourceGone: what is lent lives to its end, whatever became of the license.
func TestSourceGone(t *testing.T) {
	b := newBench(t, seats.Limits{}, lendable(2, 2))
	g := b.lent("laptop", loan("n1", day))
	b.sources = nil
	for _, gone := range []func(){func() { b.e.SetSources(b.now, nil) }, b.restart, b.compact} {
		gone()
		if v := b.pool(); v.Lent != 1 || v.Usable || v.Code != refusal.NoLicense {
			t.Fatalf("%+v", v)
		}
		if v := b.e.Leases(); len(v) != 1 || v[0].Product != "CAD" || v[0].Vendor != vendor {
			t.Fatalf("%+v", v)
		}
	}
	b.isRefusal(b.lend("laptop", loan("n2", day)).Refused, refusal.NoLicense)
	w := loan("n3", day)
	w.Extend = g.Lease.ID
	b.isRefusal(b.lend("laptop", w).Refused, refusal.NoLicense)
	if again := b.lent("laptop", loan("n1", day)); again.Lease.ID != g.Lease.ID { // the lost answer still comes
		t.Error("another loan")
	}

	// Back with fewer seats than are out: none is free, and none is negative.
	s := lendable(2, 2)
	s.Terms.Seats, s.Generation = 1, 2
	b.e.SetSources(b.now, []seats.Source{s})
	b.counts(0, 0, 1)
	b.refused(refusal.NoSeatFree, local("ann"))
	b.pass(2 * day)
	b.got(local("ann"))
}

func TestTransfer(t *testing.T) {
	move := func(nonce string, n int64) seats.LoanWish {
		w := loan(nonce, 0)
		w.Kind, w.Seats = seats.Transfer, n
		return w
	}
	by := func(m license.Moves) seats.Source { return termed(5, func(t *license.Terms) { t.Transfer = m }) }
	root := local("root")
	root.Admin = true
	t.Run("seats", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, by(license.MovesSeats))
		b.isRefusal(b.lend("other", move("n0", 2)).Refused, refusal.BorrowNotAllowed) // no rule lets ann
		g := b.lent("other", move("n1", 2), root)
		if g.Lease.Seats != 2 || g.Lease.Until != 0 || g.Lease.Kind != seats.Transfer {
			t.Fatalf("%+v", g.Lease)
		}
		b.counts(3, 0, 2)
		b.lent("other", move("n2", 0), root)
		b.counts(2, 0, 3)
		b.isRefusal(b.lend("other", move("n3", 3), root).Refused, refusal.NoSeatFree)
		b.rule("allow user=ann transfer=yes")
		b.lent("other", move("n4", 2))
		b.isRefusal(b.lend("other", move("n5", 1)).Refused, refusal.NoSeatFree)
		b.refused(refusal.NoSeatFree, local("ann"))
		b.pass(3650 * day)
		b.restart()
		b.counts(0, 0, 5)
		if onLoan, forGood, until := b.e.Lent("server", "lic-1"); onLoan != 0 || forGood != 5 || until != 0 {
			t.Error(onLoan, forGood, until)
		}
		_, r := b.e.End(b.now, g.Lease.ID, "root", "")
		b.isRefusal(r, refusal.SeatsOnLoan)
		b.lend("other", seats.LoanWish{Nonce: "n6", Returned: []seats.LeaseID{g.Lease.ID}})
		b.counts(2, 0, 3)
	})
	t.Run("whole", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, by(license.MovesWhole))
		b.isRefusal(b.lend("other", move("n1", 2), root).Refused, refusal.BorrowNotAllowed)
		s := b.got(root)
		b.isRefusal(b.lend("other", move("n2", 0), root).Refused, refusal.NoSeatFree)
		b.release(s)
		if g := b.lent("other", move("n3", 0), root); g.Lease.Seats != 5 {
			t.Fatalf("%+v", g.Lease)
		}
		b.counts(0, 0, 5)
	})
	t.Run("ends with its license", func(t *testing.T) {
		src := by(license.MovesSeats)
		src.Terms.ExpiresAt = plus(start, day)
		b := newBench(t, seats.Limits{}, src)
		if g := b.lent("other", move("n1", 1), root); g.Lease.Until != src.Terms.ExpiresAt {
			t.Fatalf("%+v", g.Lease)
		}
	})
	t.Run("not into itself", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, by(license.MovesSeats))
		b.isRefusal(b.lend("server", move("n1", 1), root).Refused, refusal.BorrowNotAllowed)
	})
}
