package seats_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// TestRestartKeepsEverything: 500 sessions and 50 loans, from the records and
// from a snapshot.
func TestRestartKeepsEverything(t *testing.T) {
	b := newBench(t, seats.Limits{Session: 10 * minute}, lendable(600, 60))
	var sessions []seats.Grant
	for i := range 500 {
		b.now += 1
		sessions = append(sessions, b.got(local("ann"), seats.Claim{Nonce: string(rune('a'+i%26)) + string(rune('a'+i/26))}))
	}
	for i := range 50 {
		b.lent("laptop", loan(string(rune('a'+i%26))+string(rune('A'+i/26)), day))
	}
	// Extensions of sessions are in memory alone.
	leases := func() []seats.LeaseView {
		views := b.e.Leases()
		for i := range views {
			if views[i].Kind == seats.Session {
				views[i].Last, views[i].ExpiresAt = 0, 0
			}
		}
		return views
	}
	before := leases()
	for _, again := range []func(){b.restart, b.compact, b.compact} {
		again()
		b.counts(50, 500, 50)
		if diff := cmp.Diff(before, leases()); diff != "" {
			t.Fatal(diff)
		}
		for _, g := range sessions {
			b.extend(g)
		}
	}
	if fence := b.got(local("ann")).Lease.Fence; fence <= sessions[499].Lease.Fence {
		t.Error("the fence fell")
	}
}

// TestOnePeriodMore: extensions are not recorded, so that a session may have run
// longer than its record says.
func TestOnePeriodMore(t *testing.T) {
	for _, moved := range []license.Duration{0, hour, -hour} { // the clock, while the server was down
		b := newBench(t, seats.Limits{Session: minute}, source(1))
		g := b.got(local("ann"))
		for range 100 {
			b.pass(30 * second)
			b.extend(g)
		}
		b.now = plus(b.now, 10*second)
		b.now += license.Time(moved.Go().Microseconds())
		b.restart()
		up := b.now
		b.pass(seats.FreeAfter(minute) - 1000) // a microsecond before
		b.refused(refusal.NoSeatFree, local("bob"))
		b.e.Extend(b.now, g.Lease.ID, seats.Token{}, "")
		b.now = plus(up, seats.FreeAfter(minute))
		b.got(local("bob"))
		b.restart()
		b.refused(refusal.NoSeatFree, local("ann")) // what is over is not revived
	}
}

// TestClockMoved: sessions last as long as was said, whatever the clock shows.
func TestClockMoved(t *testing.T) {
	for _, moved := range []license.Duration{hour, -hour, 30 * day} {
		b := newBench(t, seats.Limits{Session: minute}, source(1))
		g := b.got(local("ann"))
		b.pass(30 * second)
		b.e.ClockMoved(moved.Go())
		b.now += license.Time(moved.Go().Microseconds())
		b.pass(0)
		b.refused(refusal.NoSeatFree, local("bob"))
		if e := b.extend(g); e.TTL != minute || e.Lease.Until != plus(b.now, minute) {
			t.Errorf("%+v", e)
		}
		b.pass(seats.FreeAfter(minute) - 1000)
		b.refused(refusal.NoSeatFree, local("bob"))
		b.pass(1000)
		b.got(local("bob"))
	}
}

// TestUncertain is R27.
func TestUncertain(t *testing.T) {
	l := seats.Limits{Session: minute, Longest: 10 * minute}
	lose := func(b *bench) {
		b.ledger = nil
		b.rebuild(nil)
		b.ledger = b.e.Uncertain(b.now, hour) // it gave out longer sessions before
	}
	t.Run("sessions, then loans", func(t *testing.T) {
		b := newBench(t, l, lendable(3, 1))
		lose(b)
		settled, known := plus(start, seats.FreeAfter(hour)), plus(plus(start, 7*day), seats.LoanMargin(7*day))
		r := b.refused(refusal.SeatsUncertain, local("ann"))
		if r.Details["until"] != known || b.pool().Until != known || b.pool().Usable || b.pool().Code != refusal.SeatsUncertain {
			t.Errorf("until %v: %+v", r.Details["until"], b.pool())
		}
		b.now = settled - 1
		b.pass(0)
		b.refused(refusal.SeatsUncertain, local("ann"))
		b.isRefusal(b.lend("laptop", loan("n1", hour)).Refused, refusal.SeatsUncertain)
		b.now = settled
		b.pass(0)
		b.got(local("ann")) // two seats cannot be on loan
		b.got(local("ann"))
		b.refused(refusal.SeatsUncertain, local("ann"))
		b.isRefusal(b.lend("laptop", loan("n1", hour)).Refused, refusal.SeatsUncertain)
		b.restart()
		b.compact()
		b.refused(refusal.SeatsUncertain, local("ann"))
		b.now = known - 1
		b.pass(0)
		b.isRefusal(b.lend("laptop", loan("n1", hour)).Refused, refusal.SeatsUncertain)
		b.now = known
		b.lent("laptop", loan("n1", hour))
		if b.pool().Until != 0 {
			t.Error(b.pool().Until)
		}
	})
	t.Run("a restart does not shorten it", func(t *testing.T) {
		b := newBench(t, l, source(1))
		lose(b)
		b.now = plus(start, 30*minute)
		b.restart() // the clock may have been set meanwhile
		b.now = plus(start, seats.FreeAfter(hour))
		b.pass(0)
		b.refused(refusal.SeatsUncertain, local("ann"))
		b.pass(30 * minute)
		b.got(local("ann"))
		b.compact()
		b.pass(0)
		b.pass(seats.FreeAfter(minute))
		b.got(local("ann"))
	})
	t.Run("seats that can move for good", func(t *testing.T) {
		b := newBench(t, l, termed(3, func(t *license.Terms) { t.Transfer = license.MovesSeats }))
		lose(b)
		b.pass(3650 * day)
		r := b.refused(refusal.SeatsUncertain, local("ann"))
		if r.Hint == "" || r.Details["until"] != nil {
			t.Errorf("%+v", r)
		}
	})
	t.Run("nothing is counted", func(t *testing.T) {
		b := newBench(t, l, lendable(1, 1, func(t *license.Terms) { t.Counting = license.Unlimited }))
		lose(b)
		b.got(local("ann"))
		b.isRefusal(b.lend("laptop", loan("n1", hour)).Refused, refusal.SeatsUncertain)
	})
	t.Run("by an administrator's word", func(t *testing.T) {
		b := newBench(t, l, lendable(3, 1))
		if r := b.e.Pardon(b.now, "root", "nothing lost"); r != nil {
			t.Error("a pardon of nothing")
		}
		lose(b)
		records := b.e.Pardon(b.now, "root", "all programs\nwere stopped")
		if len(records) != 1 || records[0].By != "root" || records[0].Why != `all programs\nwere stopped` {
			t.Fatalf("%+v", records)
		}
		b.ledger = append(b.ledger, records...)
		b.lent("laptop", loan("n1", hour))
		b.restart()
		b.got(local("ann"))
	})
}

// TestMargins: with clocks that are wrong by up to Drift percent, the holder of a
// session stops before its seat is free.
func TestMargins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ttl := license.Duration(rapid.Int64Range(int64(second), int64(30*day)).Draw(t, "ttl"))
		// Each clock shows so many parts of a thousand of what passed.
		holder, server := rapid.Int64Range(980, 1020).Draw(t, "holder"), rapid.Int64Range(980, 1020).Draw(t, "server")
		stops := float64(seats.StopAfter(ttl)) * 1000 / float64(holder) // true time
		frees := float64(seats.FreeAfter(ttl)) * 1000 / float64(server)
		if stops > frees {
			t.Fatalf("stops after %f, free after %f of %d", stops, frees, ttl)
		}
		if e := seats.ExtendAfter(ttl); 2*e > seats.StopAfter(ttl) || e <= 0 {
			t.Fatalf("extends after %s of %s", e, ttl)
		}
		if m := seats.LoanMargin(ttl); m <= 0 || m > 5*minute || m > seats.FreeAfter(ttl)-ttl {
			t.Fatalf("margin %s of %s", m, ttl)
		}
	})
}

func record() *rapid.Generator[seats.Record] {
	return rapid.Custom(func(t *rapid.T) seats.Record {
		name := func(label string) string { return rapid.StringOfN(rapid.Rune(), 0, 8, 32).Draw(t, label) }
		number := func(label string) int64 { return rapid.Int64Range(0, 1<<62).Draw(t, label) }
		address := rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}).Draw(t, "address")
		client := seats.Client{ID: name("id"), Host: name("host"), User: name("user"), PID: number("pid")}
		if n := rapid.IntRange(0, 3).Draw(t, "groups"); n > 0 {
			client.Groups = make([]string, n)
		}
		var key []byte
		if k := name("key"); k != "" {
			key = []byte(k)
		}
		r := seats.Record{Kind: seats.RecordKind(rapid.IntRange(1, 10).Draw(t, "kind")), Time: license.Time(number("time"))}
		id := seats.LeaseID(name("lease"))
		switch r.Kind {
		case seats.Granted:
			r.Lease = seats.Lease{
				ID: id, Kind: seats.LeaseKind(name("what")), Server: license.Serial(name("server")), License: license.ID(name("license")),
				Generation: license.Generation(number("generation")), Product: name("product"), Seats: number("seats"), Client: client,
				Nonce: name("nonce"), From: license.Time(number("from")), Until: license.Time(number("until")), Fence: uint64(number("fence")),
				Holder: license.Serial(name("holder")), HolderKey: key,
			}
			r.Vendor, r.Address, r.Local, r.TTL, r.Takes = name("vendor"), address, rapid.Bool().Draw(t, "local"), license.Duration(number("ttl")), number("takes")
			r.Token, r.Station, r.Replaces = seats.Token{3: byte(number("token"))}, rapid.Bool().Draw(t, "station"), seats.LeaseID(name("replaces"))
		case seats.Extended:
			r.Lease = seats.Lease{ID: id, Nonce: name("nonce"), From: 1, Until: license.Time(number("until")), Fence: 9}
		case seats.Ended:
			r.Lease = seats.Lease{ID: id, Kind: seats.Loan, License: "l", Product: name("product"), Seats: 1, Until: license.Time(number("until"))}
			r.How, r.By, r.Why = seats.How(rapid.IntRange(1, 5).Draw(t, "how")), name("by"), name("why")
		case seats.Confirmed:
			r.Lease.ID = id
		case seats.Lost:
			r.TTL = license.Duration(number("ttl"))
		case seats.Pardoned:
			r.By, r.Why = name("by"), name("why")
		case seats.Answered:
			r.Lease.ID, r.Wish = id, seats.Wish{7: byte(number("wish"))}
		case seats.Fenced:
			r.Lease.Fence = uint64(number("fence"))
		case seats.Counted:
			r.Lease.Holder, r.Wish, r.Number = license.Serial(name("holder")), seats.Wish{7: byte(number("wish"))}, uint64(number("of the wish"))
		}
		return r
	})
}

// TestRecordReadsAsWritten, and nothing shorter or longer reads as it.
func TestRecordReadsAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record().Draw(t, "record")
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got seats.Record
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatal(diff)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if got.UnmarshalBinary(b[:cut]) == nil || got.UnmarshalBinary(append(b, 0)) == nil {
			t.Fatal("a shorter or longer record is read")
		}
	})
}

func TestRecordsThatCannotBe(t *testing.T) {
	for name, r := range map[string]seats.Record{
		"no kind":      {},
		"a late kind":  {Kind: 99},
		"before 1970":  {Kind: seats.Settled, Time: -1},
		"no how":       {Kind: seats.Ended},
		"a long text":  {Kind: seats.Pardoned, Why: string(make([]byte, 2000))},
		"no text":      {Kind: seats.Pardoned, Why: "\xff"},
		"many groups":  {Kind: seats.Granted, Lease: seats.Lease{Client: seats.Client{Groups: make([]string, 300)}}},
		"negative pid": {Kind: seats.Granted, Lease: seats.Lease{Client: seats.Client{PID: -1}}},
	} {
		if b, err := r.MarshalBinary(); err == nil {
			t.Errorf("%s is written as %x", name, b)
		}
	}
	long := []byte{byte(seats.Settled), 0x81, 0x00} // a number that could be shorter
	if new(seats.Record).UnmarshalBinary(long) == nil {
		t.Error("two spellings of one number")
	}
}

// FuzzRecord: bytes are refused, or are the one spelling of a record; and an
// engine that replays whatever is read answers or refuses, and keeps its counts.
func FuzzRecord(f *testing.F) {
	b := newBench(new(testing.T), seats.Limits{}, lendable(3, 2, func(t *license.Terms) { t.Linger, t.Transfer = minute, license.MovesSeats }))
	s := b.got(local("ann"), seats.Claim{Nonce: "n"})
	g := b.lent("laptop", loan("n1", day))
	w := loan("n2", 2*day)
	w.Extend, w.Holds = g.Lease.ID, []seats.Held{{Lease: g.Lease.ID}}
	b.lent("laptop", w)
	b.release(s)
	b.lend("laptop", seats.LoanWish{Returned: []seats.LeaseID{g.Lease.ID}})
	b.ledger = append(b.ledger, b.e.Uncertain(b.now, hour)...)
	b.ledger = append(b.ledger, b.e.Pardon(b.now, "root", "why")...)
	var all []byte
	for _, r := range append(b.ledger, b.e.Snapshot()...) {
		raw, err := r.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		if len(raw) < 256 {
			all = append(append(all, byte(len(raw))), raw...)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r seats.Record
		if r.UnmarshalBinary(raw) == nil {
			if again, err := r.MarshalBinary(); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%x is written as %x, %v", raw, again, err)
			}
		}
		e := seats.New(seats.Limits{})
		for rest := raw; len(rest) > 1; { // records one after the other, each with its length
			n := min(int(rest[0])+1, len(rest))
			if r.UnmarshalBinary(rest[1:n]) != nil || e.Replay(r) != nil {
				break
			}
			rest = rest[n:]
		}
		e.SetSources(start, []seats.Source{lendable(3, 2)})
		e.Recover(start)
		e.Tick(start)
		for _, p := range e.Pools(start) {
			if p.Free < 0 || p.Leased < 0 || p.Lent < 0 {
				t.Fatalf("%+v", p)
			}
		}
		again := seats.New(seats.Limits{})
		for _, r := range e.Snapshot() {
			if err := again.Replay(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
