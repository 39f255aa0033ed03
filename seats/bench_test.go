package seats_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"licet/license"
	"licet/seats"
)

// The cost of an operation must not depend on how many seats are free, nor on how
// many are out: compare the lines of one operation.
func benchEngine(b *testing.B, free int64, out int) (*seats.Engine, []seats.Grant, seats.Mint) {
	src := termed(free+int64(out), func(t *license.Terms) { t.Borrow = license.Borrow{Max: 7 * day, Seats: 1 << 30} })
	e := seats.New(seats.Limits{MaxLeases: 1 << 30})
	e.SetSources(start, []seats.Source{src})
	n := 0
	mint := func() (seats.LeaseID, seats.Token) {
		n++
		return seats.LeaseID(fmt.Sprintf("ses_%026d", n)), seats.Token{byte(n), byte(n >> 8), byte(n >> 16)}
	}
	grants := make([]seats.Grant, out)
	for i := range grants {
		grants[i] = mustClaim(b, e, i, mint)
	}
	return e, grants, mint
}

func mustClaim(b testing.TB, e *seats.Engine, i int, mint seats.Mint) seats.Grant {
	who := local("ann")
	who.Client.ID = fmt.Sprintf("%032d", i)
	g, _, r := e.Claim(start+license.Time(i), who, seats.Claim{Product: "CAD", Nonce: who.Client.ID, TTL: hour}, mint)
	if r != nil {
		b.Fatal(r)
	}
	return g
}

// used adds the processor time of an operation, which says more than the time on
// the wall where others work beside.
func used(b *testing.B) func() {
	now := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := now()
	return func() { b.ReportMetric(float64(now()-before)/float64(b.N), "cpu-ns/op") }
}

var sizes = []struct {
	free int64
	out  int
}{{1_000, 1_000}, {100_000, 1_000}, {1_000_000, 1_000}, {1_000, 100_000}}

func BenchmarkClaimAndRelease(b *testing.B) {
	for _, s := range sizes {
		b.Run(fmt.Sprintf("free=%d/out=%d", s.free, s.out), func(b *testing.B) {
			e, _, mint := benchEngine(b, s.free, s.out)
			b.ReportAllocs()
			defer used(b)()
			i := s.out
			for b.Loop() {
				g := mustClaim(b, e, i, mint)
				if _, r := e.Release(start+license.Time(i), g.Lease.ID, g.Token); r != nil {
					b.Fatal(r)
				}
				i++
			}
		})
	}
}

func BenchmarkExtend(b *testing.B) {
	for _, s := range sizes {
		b.Run(fmt.Sprintf("free=%d/out=%d", s.free, s.out), func(b *testing.B) {
			e, grants, _ := benchEngine(b, s.free, s.out)
			b.ReportAllocs()
			defer used(b)()
			i := 0
			for b.Loop() {
				g := &grants[i%1000]
				if _, r := e.Extend(start+license.Time(s.out+i), g.Lease.ID, g.Token, ""); r != nil {
					b.Fatal(r)
				}
				i++
			}
		})
	}
}

func BenchmarkBorrowAndReturn(b *testing.B) {
	for _, s := range sizes {
		b.Run(fmt.Sprintf("free=%d/out=%d", s.free, s.out), func(b *testing.B) {
			e, _, mint := benchEngine(b, s.free, s.out)
			who := local("ann")
			b.ReportAllocs()
			defer used(b)()
			i := 0
			for b.Loop() {
				i++
				w := loan(fmt.Sprint(i), day)
				a, _ := e.Lend(start+license.Time(s.out+i), who, seats.Borrower{Container: "laptop", Key: []byte("key"), Kind: license.Machine}, w, mint)
				if a.Granted == nil {
					b.Fatal(a.Refused)
				}
				e.Lend(start+license.Time(s.out+i), who, seats.Borrower{Container: "laptop", Key: []byte("key"), Kind: license.Machine}, seats.LoanWish{Returned: []seats.LeaseID{a.Granted.Lease.ID}}, mint)
			}
		})
	}
}

// BenchmarkQueue is a claim of somebody at the end of a full queue.
func BenchmarkQueue(b *testing.B) {
	e, _, mint := benchEngine(b, 0, 1)
	for i := range 1000 {
		who := local("ann")
		who.Client.ID = fmt.Sprint(i)
		e.Claim(start, who, seats.Claim{Product: "CAD", Wait: true}, mint)
	}
	who := local("ann")
	who.Client.ID = "999"
	b.ReportAllocs()
	for b.Loop() {
		if _, _, r := e.Claim(start, who, seats.Claim{Product: "CAD", Wait: true}, mint); place(r) != 1000 {
			b.Fatal(r)
		}
	}
}

// BenchmarkMemory reports what a lease takes.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		e, grants, _ := benchEngine(b, 1, n)
		clear(grants)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/lease")
		runtime.KeepAlive(e)
	}
}
