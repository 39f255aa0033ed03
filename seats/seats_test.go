package seats_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"licet/license"
	"licet/refusal"
	"licet/seats"
)

const (
	second = license.Duration(time.Second)
	minute = license.Duration(time.Minute)
	hour   = license.Duration(time.Hour)
	day    = license.Day
	vendor = "vendor-1"
)

// start is the moment the tests begin at.
var start = at("2027-01-10")

func at(text string) license.Time {
	t, err := license.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

func plus(t license.Time, d license.Duration) license.Time { return t.Add(d.Go()) }

// bench is a server under test: an engine, its clock, and what it recorded.
type bench struct {
	t       *testing.T
	e       *seats.Engine
	now     license.Time
	limits  seats.Limits
	sources []seats.Source
	rules   seats.Rules
	ledger  []seats.Record
	minted  int
}

func source(n int64, change ...func(*seats.Source)) seats.Source {
	s := seats.Source{
		Vendor: vendor, License: "lic-1", Generation: 1, Product: "CAD", Name: "CAD Professional",
		Features: []string{"render"}, Container: "server", Terms: license.Terms{Seats: n},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func termed(n int64, change func(*license.Terms)) seats.Source {
	return source(n, func(s *seats.Source) { change(&s.Terms) })
}

func newBench(t *testing.T, l seats.Limits, sources ...seats.Source) *bench {
	b := &bench{t: t, now: start, limits: l, sources: sources, e: seats.New(l)}
	b.e.SetSources(b.now, sources)
	return b
}

func (b *bench) rule(text string) *bench {
	r, err := seats.ParseRules(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rules = r
	b.e.SetRules(r)
	return b
}

func (b *bench) mint() (seats.LeaseID, seats.Token) {
	b.minted++
	return seats.LeaseID(fmt.Sprintf("lease-%d", b.minted)), seats.Token{15: byte(b.minted), 14: byte(b.minted >> 8), 0: 1}
}

func local(user string) seats.Caller {
	return seats.Caller{Local: true, Address: netip.MustParseAddr("127.0.0.1"), Client: seats.Client{ID: "id-" + user, Host: "pc", User: user}}
}

func remote(user, host, address string) seats.Caller {
	return seats.Caller{Address: netip.MustParseAddr(address), Client: seats.Client{ID: "id-" + user + host, Host: host, User: user}}
}

func (b *bench) claim(who seats.Caller, c seats.Claim) (seats.Grant, *refusal.Refusal) {
	if c.Product == "" {
		c.Product = "CAD"
	}
	g, records, r := b.e.Claim(b.now, who, c, b.mint)
	b.ledger = append(b.ledger, records...)
	return g, r
}

// got claims a seat that must be granted.
func (b *bench) got(who seats.Caller, c ...seats.Claim) seats.Grant {
	b.t.Helper()
	g, r := b.claim(who, append(c, seats.Claim{})[0])
	if r != nil {
		b.t.Fatalf("%s gets no seat: %s: %s", who.Client.User, r.Code, r.Message)
	}
	return g
}

// refused claims a seat that must not be granted, with this code.
func (b *bench) refused(code refusal.Code, who seats.Caller, c ...seats.Claim) *refusal.Refusal {
	b.t.Helper()
	g, r := b.claim(who, append(c, seats.Claim{})[0])
	if r == nil {
		b.t.Fatalf("%s got %+v, want %s", who.Client.User, g, code)
	}
	b.isRefusal(r, code)
	return r
}

func (b *bench) isRefusal(r *refusal.Refusal, code refusal.Code) {
	b.t.Helper()
	switch {
	case r == nil:
		b.t.Fatalf("no refusal, want %s", code)
	case r.Code != code:
		b.t.Fatalf("refused with %s: %s, want %s", r.Code, r.Message, code)
	case r.Message == "" || r.NextStep() == "":
		b.t.Fatalf("refusal %s has no message or no next step", code)
	}
}

func (b *bench) release(g seats.Grant) {
	b.t.Helper()
	records, r := b.e.Release(b.now, g.Lease.ID, g.Token)
	if r != nil {
		b.t.Fatalf("release: %s", r.Message)
	}
	b.ledger = append(b.ledger, records...)
}

func (b *bench) extend(g seats.Grant) seats.Grant {
	b.t.Helper()
	g, r := b.e.Extend(b.now, g.Lease.ID, g.Token, "")
	if r != nil {
		b.t.Fatalf("extend: %s: %s", r.Code, r.Message)
	}
	return g
}

func (b *bench) lend(holder license.Serial, w seats.LoanWish, who ...seats.Caller) seats.LoanAnswer {
	return b.lendInto(license.Machine, holder, w, who...)
}

func (b *bench) lendInto(kind license.Kind, holder license.Serial, w seats.LoanWish, who ...seats.Caller) seats.LoanAnswer {
	by := seats.Borrower{Container: holder, Key: []byte("key of " + holder), Kind: kind}
	a, records := b.e.Lend(b.now, append(who, local("ann"))[0], by, w, b.mint)
	b.ledger = append(b.ledger, records...)
	return a
}

// lent borrows what must be granted.
func (b *bench) lent(holder license.Serial, w seats.LoanWish, who ...seats.Caller) seats.Grant {
	b.t.Helper()
	a := b.lend(holder, w, who...)
	if a.Refused != nil || a.Granted == nil {
		b.t.Fatalf("not lent: %+v", a.Refused)
	}
	return *a.Granted
}

func (b *bench) pass(d license.Duration) {
	b.now = plus(b.now, d)
	b.ledger = append(b.ledger, b.e.Tick(b.now)...)
}

// restart rebuilds the engine from its records, as they come off the disk.
func (b *bench) restart() {
	b.t.Helper()
	b.rebuild(b.ledger)
	b.e.Recover(b.now)
}

// compact does the same from a snapshot.
func (b *bench) compact() {
	b.t.Helper()
	b.ledger = b.e.Snapshot()
	b.restart()
}

func (b *bench) rebuild(records []seats.Record) {
	b.t.Helper()
	b.e = seats.New(b.limits)
	for _, r := range records {
		raw, err := r.MarshalBinary()
		if err != nil {
			b.t.Fatal(err)
		}
		var read seats.Record
		if err := read.UnmarshalBinary(raw); err != nil {
			b.t.Fatal(err)
		}
		if err := b.e.Replay(read); err != nil {
			b.t.Fatal(err)
		}
	}
	b.e.SetRules(b.rules)
	b.e.SetSources(b.now, b.sources)
}

func (b *bench) pool(i ...int) seats.PoolView {
	return b.e.Pools(b.now)[append(i, 0)[0]]
}

// counts checks what the first pool has: free, leased, lent.
func (b *bench) counts(free, leased, lent int64) {
	b.t.Helper()
	if v := b.pool(); v.Free != free || v.Leased != leased || v.Lent != lent {
		b.t.Fatalf("free %d, leased %d, lent %d; want %d, %d, %d", v.Free, v.Leased, v.Lent, free, leased, lent)
	}
}

func loan(nonce string, d license.Duration) seats.LoanWish {
	return seats.LoanWish{Product: "CAD", Kind: seats.Loan, For: d, Nonce: nonce, Number: 1, Client: seats.Client{ID: "borrow", User: "ann", Host: "laptop"}}
}

func place(r *refusal.Refusal) int {
	w, _ := r.Details["queue"].(seats.Waiting)
	return w.Place
}
