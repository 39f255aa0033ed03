package registry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"licet/internal/store"
	"licet/wire"
)

// BenchmarkProgram is the first activation of a new container, without HTTP:
// verify, open, decide, sign, store durably, seal. 64 clients share two cores.
func BenchmarkProgram(b *testing.B) {
	db, err := store.Open(b.Context(), "sqlite:"+b.TempDir()+"/licet.db")
	must(b, err)
	defer db.Close()
	bk := newBook(b, db)
	requests := make([][]byte, b.N)
	for i := range requests {
		if i%1000 == 0 {
			b.StopTimer()
		}
		o := bk.order(fmt.Sprint(i), wire.OrderItem{Product: "CAD"})
		requests[i] = bk.box().report(ticket(o.Ticket))
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.StartTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := bk.Program(context.Background(), requests[next.Add(1)-1]); err != nil {
				b.Error(err)
			}
		}
	})
}
