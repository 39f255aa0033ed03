package sdk

import (
	"testing"
	"time"

	"licet/container"
	"licet/license"
)

// The aims (2 processors, quiet machine): Valid at most 60 ns and no
// allocation; License at most 1.45 times the bare verification; Open below 2 ms.

func BenchmarkValid(b *testing.B) {
	s := benchSession(b)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Valid() {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkValidParallel(b *testing.B) {
	s := benchSession(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !s.Valid() {
				b.Fatal("not valid")
			}
		}
	})
}

func BenchmarkFeature(b *testing.B) {
	s := benchSession(b)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Feature("export") {
			b.Fatal("no feature")
		}
	}
}

func benchSession(b *testing.B) *Session {
	s := &Session{steady: true, start: time.Now(), changed: make(chan struct{}, 1)}
	s.clock = newClock(time.Now, func() time.Duration { return time.Since(s.start) })
	now, _ := s.clock.now()
	s.judged.Store(s.conclude(evidence{proven: true, body: container.Body{
		Features: []string{"render", "export"},
		Terms:    license.Terms{ExpiresAt: now.Add(time.Hour)},
	}}, nil, now))
	if !s.Valid() {
		b.Fatal(s.Verdict())
	}
	return s
}
