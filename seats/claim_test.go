package seats_test

import (
	"fmt"
	"slices"
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

func TestCounting(t *testing.T) {
	ann, bob := local("ann"), local("bob")
	far := remote("cem", "far", "10.0.0.9")
	t.Run("by start", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, source(2))
		g := b.got(ann)
		b.got(ann)
		b.counts(0, 2, 0)
		b.refused(refusal.NoSeatFree, ann)
		b.release(g)
		b.counts(1, 1, 0)
		b.got(bob)
	})
	t.Run("by station", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, termed(1, func(t *license.Terms) { t.Counting = license.PerStation }))
		b.rule("allow subnet=10.0.0.0/8\nallow subnet=127.0.0.0/8")
		first, second := b.got(ann), b.got(bob)
		b.counts(0, 1, 0)
		b.refused(refusal.NoSeatFree, far)
		other := local("ann")
		other.Local, other.Address = false, far.Address // the same name elsewhere is another station
		b.refused(refusal.NoSeatFree, other)
		b.release(first)
		b.counts(0, 1, 0)
		b.refused(refusal.NoSeatFree, far)
		b.release(second)
		b.counts(1, 0, 0)
		b.got(far)
	})
	t.Run("exclusive", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, termed(3, func(t *license.Terms) { t.Counting = license.Exclusive }))
		g := b.got(ann)
		if g.Lease.Seats != 3 {
			t.Errorf("states %d seats", g.Lease.Seats)
		}
		b.counts(0, 3, 0)
		b.refused(refusal.NoSeatFree, ann)
		b.release(g)
		b.got(bob)
	})
	t.Run("the whole license by wish", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, source(3))
		g := b.got(ann)
		b.refused(refusal.NoSeatFree, bob, seats.Claim{Exclusive: true})
		b.release(g)
		b.got(bob, seats.Claim{Exclusive: true})
		b.counts(0, 3, 0)
		b.refused(refusal.NoSeatFree, ann)
	})
	t.Run("unlimited", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, termed(1, func(t *license.Terms) { t.Counting = license.Unlimited }))
		for range 20 {
			b.got(ann)
		}
		b.counts(1, 20, 0)
		b.refused(refusal.InvalidInput, bob, seats.Claim{Exclusive: true})
	})
	t.Run("local use only", func(t *testing.T) {
		for _, c := range append([]license.Counting{""}, license.Countings...) {
			b := newBench(t, seats.Limits{}, termed(0, func(t *license.Terms) { t.Counting = c; t.Borrow = license.Borrow{Max: day, Seats: 1} }))
			b.refused(refusal.NoLicense, ann)
			b.isRefusal(b.lend("laptop", loan("n", hour)).Refused, refusal.NoLicense)
		}
	})
}

func TestWhoMayUseIt(t *testing.T) {
	blocked := refusal.New(refusal.ContainerBlocked, "The container is blocked.")
	tests := []struct {
		name string
		src  seats.Source
		use  seats.Claim
		want refusal.Code
	}{
		{"no such product", source(1), seats.Claim{Product: "DRAW"}, refusal.NoLicense},
		{"another vendor", source(1), seats.Claim{Vendor: "vendor-2"}, refusal.NoLicense},
		{"its vendor", source(1), seats.Claim{Vendor: vendor}, ""},
		{"feature there", source(1), seats.Claim{Features: []string{"render"}}, ""},
		{"feature missing", source(1), seats.Claim{Features: []string{"export"}}, refusal.FeatureMissing},
		{"expired", termed(1, func(t *license.Terms) { t.ExpiresAt = start }), seats.Claim{}, refusal.Expired},
		{"in grace", termed(1, func(t *license.Terms) { t.ExpiresAt, t.Grace = start, day }), seats.Claim{}, ""},
		{"check-in overdue", source(1, func(s *seats.Source) { s.Terms.CheckIn, s.LastContact = day, plus(start, -2*day) }), seats.Claim{}, refusal.CheckInOverdue},
		{"old version", termed(1, func(t *license.Terms) { t.MinVersion = "4" }), seats.Claim{Version: "3"}, refusal.VersionNotCovered},
		{"new version", termed(1, func(t *license.Terms) { t.MinVersion = "4" }), seats.Claim{Version: "4.1"}, ""},
		{"late build", termed(1, func(t *license.Terms) { t.MaintenanceUntil = start }), seats.Claim{BuildDate: start}, refusal.VersionNotCovered},
		{"refused as a whole", source(1, func(s *seats.Source) { s.Refused = blocked }), seats.Claim{}, refusal.ContainerBlocked},
		{"no product", source(1), seats.Claim{Product: " "}, refusal.NoLicense},
		{"nonce too long", source(1), seats.Claim{Nonce: string(make([]byte, 129))}, refusal.InvalidInput},
		{"unprintable", source(1), seats.Claim{Nonce: "a\nb"}, refusal.InvalidInput},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, seats.Limits{}, tt.src)
			if tt.want == "" {
				b.got(local("ann"), tt.use)
			} else {
				b.refused(tt.want, local("ann"), tt.use)
			}
		})
	}
}

// TestRunningSessionsNeedTheLicenseToo: what was granted is not extended beyond
// what the license allows by now.
func TestRunningSessionsNeedTheLicenseToo(t *testing.T) {
	end := plus(start, 3*minute)
	b := newBench(t, seats.Limits{}, termed(1, func(t *license.Terms) { t.ExpiresAt = end; t.MinVersion = "4" }))
	g := b.got(local("ann"), seats.Claim{Version: "4"})
	if g.Lease.Until != end || g.TTL != 3*minute {
		t.Errorf("lasts until %s, for %s", g.Lease.Until, g.TTL)
	}
	b.now = plus(start, minute)
	if g := b.extend(g); g.Lease.Until != end || g.TTL != 2*minute {
		t.Errorf("extended until %s, for %s", g.Lease.Until, g.TTL)
	}
	b.now = end
	_, r := b.e.Extend(b.now, g.Lease.ID, g.Token, "")
	b.isRefusal(r, refusal.Expired)

	b = newBench(t, seats.Limits{}, source(1))
	g = b.got(local("ann"))
	b.e.SetSources(b.now, nil)
	_, r = b.e.Extend(b.now, g.Lease.ID, g.Token, "")
	b.isRefusal(r, refusal.NoLicense)
	b.counts(0, 1, 0) // it lives to its end
	b.pass(6 * minute)
	if len(b.e.Pools(b.now)) != 0 {
		t.Errorf("%v is left", b.e.Pools(b.now))
	}
}

func TestWhichLicense(t *testing.T) {
	named := func(name string, n int64, change func(*seats.Source)) seats.Source {
		return source(n, func(s *seats.Source) {
			s.License = license.ID(name)
			if change != nil {
				change(s)
			}
		})
	}
	borrow := func(s *seats.Source) { s.Terms.Borrow = license.Borrow{Max: day, Seats: 1} }
	tests := []struct {
		name string
		a, b seats.Source // b is the one to take
	}{
		{"without grace", named("a", 1, func(s *seats.Source) { s.Terms.ExpiresAt, s.Terms.Grace = start, day }), named("b", 1, nil)},
		{"uncounted", named("a", 1, nil), named("b", 1, func(s *seats.Source) { s.Terms.Counting = license.Unlimited })},
		{"fewest features", named("a", 1, func(s *seats.Source) { s.Features = []string{"export", "render"} }), named("b", 1, nil)},
		{"what cannot be lent", named("a", 1, borrow), named("b", 1, nil)},
		{"fewest free", named("a", 2, nil), named("b", 1, nil)},
		{"the one that works", named("a", 1, func(s *seats.Source) { s.Terms.ExpiresAt = start }), named("b", 2, borrow)},
		{"the one with a seat", named("a", 1, func(s *seats.Source) { s.Terms.Seats = 0 }), named("b", 2, borrow)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, sources := range [][]seats.Source{{tt.a, tt.b}, {tt.b, tt.a}} {
				b := newBench(t, seats.Limits{}, sources...)
				if g := b.got(local("ann")); g.Lease.License != "b" {
					t.Errorf("took %s", g.Lease.License)
				}
			}
		})
	}
}

func TestSameWishSameSeat(t *testing.T) {
	b := newBench(t, seats.Limits{}, source(2))
	ann := local("ann")
	first := b.got(ann, seats.Claim{Nonce: "n1"})
	for range 3 {
		again := b.got(ann, seats.Claim{Nonce: "n1"})
		if again.Lease.ID != first.Lease.ID || again.Token != first.Token || !again.Repeated {
			t.Fatalf("%+v, then %+v", first, again)
		}
	}
	b.restart()
	if again := b.got(ann, seats.Claim{Nonce: "n1"}); again.Lease.ID != first.Lease.ID || again.Token != first.Token {
		t.Fatalf("after a restart %+v", again)
	}
	b.counts(1, 1, 0)

	// Another nonce is another wish, also by who knows the client's id.
	other := b.got(ann, seats.Claim{Nonce: "n2"})
	if other.Lease.ID == first.Lease.ID || other.Token == first.Token {
		t.Fatal("another wish got the same seat")
	}
	b.extend(first)
	thief := ann
	thief.Client.User = "mallory"
	b.refused(refusal.NoSeatFree, thief, seats.Claim{Nonce: "n1"})

	// What is over is not brought back by its wish.
	b.release(first)
	if late := b.got(ann, seats.Claim{Nonce: "n1"}); late.Lease.ID == first.Lease.ID || late.Repeated {
		t.Fatal("a seat that was released came back")
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t, seats.Limits{}, termed(2, func(t *license.Terms) { t.Linger = minute }))
	g := b.got(local("ann"))
	for i := range g.Token {
		for bit := range 8 {
			wrong := g.Token
			wrong[i] ^= 1 << bit
			_, r := b.e.Extend(b.now, g.Lease.ID, wrong, "")
			b.isRefusal(r, refusal.LeaseNotYours)
			_, r = b.e.Release(b.now, g.Lease.ID, wrong)
			b.isRefusal(r, refusal.LeaseNotYours)
		}
	}
	_, r := b.e.Extend(b.now, "lease-9", g.Token, "")
	b.isRefusal(r, refusal.LeaseLost)
	b.extend(g)
	b.release(g)
	for _, id := range []seats.LeaseID{g.Lease.ID, ""} {
		_, r = b.e.Release(b.now, id, g.Token)
		b.isRefusal(r, refusal.LeaseLost)
		_, r = b.e.Extend(b.now, id, g.Token, "")
		b.isRefusal(r, refusal.LeaseLost)
	}
	if text := g.Token.String() + (seats.Record{Token: g.Token}).String(); len(text) > 200 || text[:7] != "(token)" {
		t.Errorf("a token prints: %s", text)
	}
	read, ok := seats.ParseToken(g.Token.Text())
	if !ok || read != g.Token {
		t.Error("a token does not read as it is written")
	}
	for _, bad := range []string{"", "00", g.Token.Text() + "00", "0G" + g.Token.Text()[2:], "AB" + g.Token.Text()[2:]} {
		if _, ok := seats.ParseToken(bad); ok {
			t.Errorf("%q is read as a token", bad)
		}
	}
}

func TestLengths(t *testing.T) {
	l := seats.Limits{Session: minute, Longest: 10 * minute}
	for _, tt := range []struct{ want, got license.Duration }{
		{0, minute}, {1, second}, {2 * minute, 2 * minute}, {hour, 10 * minute},
	} {
		b := newBench(t, l, source(1))
		g := b.got(local("ann"), seats.Claim{TTL: tt.want})
		if g.TTL != tt.got || g.Lease.Until != plus(start, tt.got) {
			t.Errorf("asked for %s, got %s", tt.want, g.TTL)
		}
		b.pass(tt.got)
		b.refused(refusal.NoSeatFree, local("bob"))
		b.pass(seats.FreeAfter(tt.got) - tt.got)
		b.got(local("bob"))
	}
}

func TestExtendAndExpire(t *testing.T) {
	b := newBench(t, seats.Limits{Session: minute}, source(1))
	g := b.got(local("ann"))
	for range 10 {
		b.pass(50 * second)
		e, r := b.e.Extend(b.now, g.Lease.ID, g.Token, "fresh")
		if r != nil || e.Lease.Nonce != "fresh" || e.Lease.From != b.now || e.Lease.Until != plus(b.now, minute) || e.TTL != minute {
			t.Fatalf("%+v %v", e, r)
		}
	}
	b.refused(refusal.NoSeatFree, local("bob"))
	b.now = plus(b.now, seats.FreeAfter(minute))
	_, r := b.e.Extend(b.now, g.Lease.ID, g.Token, "") // nobody ended it yet, and it is over
	b.isRefusal(r, refusal.LeaseLost)
	b.got(local("bob"))
}

func TestLinger(t *testing.T) {
	lingering := termed(1, func(t *license.Terms) { t.Linger = 10 * minute })
	ends := map[string]func(b *bench, g seats.Grant){
		"released": func(b *bench, g seats.Grant) { b.release(g) },
		"expired":  func(b *bench, g seats.Grant) { b.pass(seats.FreeAfter(g.TTL)) },
		"ended": func(b *bench, g seats.Grant) {
			records, r := b.e.End(b.now, g.Lease.ID, "root", "lunch")
			if r != nil || records[0].By != "root" || records[0].Why != "lunch" {
				b.t.Fatal(records, r)
			}
			b.ledger = append(b.ledger, records...)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, seats.Limits{Session: minute}, lingering)
			g := b.got(local("ann"))
			end(b, g)
			b.refused(refusal.NoSeatFree, local("bob"))
			b.restart()
			b.refused(refusal.NoSeatFree, local("bob"))
			if v := b.e.Leases(); len(v) != 1 || !v[0].Lingers {
				t.Fatalf("%+v", v)
			}
			mine := b.got(local("ann")) // who had it has it again
			b.counts(0, 1, 0)
			end(b, mine)
			b.compact()
			b.refused(refusal.NoSeatFree, local("bob"))
			b.pass(10 * minute)
			b.got(local("bob"))
		})
	}
}

func TestLazy(t *testing.T) {
	b := newBench(t, seats.Limits{Session: minute, Lazy: true}, source(2))
	first := b.got(local("ann"))
	b.pass(10 * second)
	second := b.got(local("bob"))
	b.pass(hour)
	b.extend(first) // nobody needed it
	b.got(local("cem"))
	_, r := b.e.Extend(b.now, second.Lease.ID, second.Token, "")
	b.isRefusal(r, refusal.LeaseLost)
	b.extend(first)
	b.refused(refusal.NoSeatFree, local("dan"))
}

func TestMaxLeases(t *testing.T) {
	b := newBench(t, seats.Limits{MaxLeases: 2}, source(5))
	g := b.got(local("ann"))
	b.got(local("bob"))
	b.refused(refusal.RateLimited, local("cem"))
	b.release(g)
	b.got(local("cem"))
}

// TestFewerSeats: of a license that has fewer seats by now, the latest sessions end as
// they were granted, and no others.
func TestFewerSeats(t *testing.T) {
	extended := func(b *bench, all []seats.Grant) (who []int) {
		for i, g := range all {
			if _, r := b.e.Extend(b.now, g.Lease.ID, g.Token, ""); r == nil {
				who = append(who, i)
			} else {
				b.isRefusal(r, refusal.NoSeatFree)
			}
		}
		return who
	}
	is := func(t *testing.T, got []int, want ...int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("extended: %v, want %v", got, want)
		}
	}
	t.Run("starts", func(t *testing.T) {
		b := newBench(t, seats.Limits{Session: minute}, source(5))
		var all []seats.Grant
		for i := range 5 {
			all = append(all, b.got(local(fmt.Sprint("user", i))))
		}
		is(t, extended(b, all), 0, 1, 2, 3, 4)
		b.e.SetSources(b.now, []seats.Source{source(2)})
		is(t, extended(b, all), 0, 1)
		b.release(all[0])
		is(t, extended(b, all[1:]), 0, 1) // of the others the oldest two
		b.refused(refusal.NoSeatFree, local("late"))
		for range 3 { // the last of the others runs out; seats that nobody has are free
			b.pass(40 * second)
			extended(b, all[1:3])
		}
		is(t, extended(b, all[1:3]), 0, 1)
		b.counts(0, 2, 0)
		b.release(all[1])
		b.got(local("late"))
	})
	t.Run("stations", func(t *testing.T) {
		few := func(n int64) seats.Source {
			return termed(n, func(t *license.Terms) { t.Counting = license.PerStation })
		}
		b := newBench(t, seats.Limits{Session: minute}, few(3)).rule("allow")
		all := []seats.Grant{
			b.got(remote("ann", "pc1", "10.0.0.1")), b.got(remote("bob", "pc2", "10.0.0.2")), b.got(remote("eve", "pc1", "10.0.0.1")), b.got(remote("joe", "pc3", "10.0.0.3")),
		}
		b.e.SetSources(b.now, []seats.Source{few(1)})
		is(t, extended(b, all), 0, 2)
	})
	t.Run("nothing is counted", func(t *testing.T) {
		any := func(n int64) seats.Source {
			return termed(n, func(t *license.Terms) { t.Counting = license.Unlimited })
		}
		b := newBench(t, seats.Limits{Session: minute}, any(3))
		all := []seats.Grant{b.got(local("ann")), b.got(local("bob"))}
		b.e.SetSources(b.now, []seats.Source{any(1)})
		is(t, extended(b, all), 0, 1)
	})
}
