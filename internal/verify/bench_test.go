package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"licet/internal/pgtest"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/wire"
)

// BenchmarkRun verifies licenses that were activated and confirmed: one for each
// order, container and step, or a hundred. LICET_BENCH_LICENSES says how many.
func BenchmarkRun(b *testing.B) {
	licenses := 2000
	if n, err := strconv.Atoi(os.Getenv("LICET_BENCH_LICENSES")); err == nil {
		licenses = n
	}
	for _, each := range []int{1, 100} {
		for _, engine := range []string{"sqlite", "postgres"} {
			b.Run(fmt.Sprintf("%s/%d", engine, each), func(b *testing.B) {
				url := "sqlite:" + filepath.Join(b.TempDir(), "bench.db")
				if engine == "postgres" {
					url = pgtest.URL(b)
				}
				db, err := store.Open(b.Context(), url)
				must(b, err)
				defer db.Close()
				bk := newBook(b, db)
				for n := range licenses / each {
					o := bk.order(fmt.Sprint(n), wire.OrderItem{Product: "YEAR", Quantity: int64(each)})
					x := bk.box()
					x.program(ticket(o.Ticket))
					x.receipt()
				}
				bk.sequence()
				b.ResetTimer()
				var rows int64
				for b.Loop() {
					r, err := verify.Run(b.Context(), db, verify.Options{})
					must(b, err)
					if !r.OK() {
						b.Fatal(r.Findings[0])
					}
					rows += r.Good
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(licenses*b.N)/b.Elapsed().Seconds(), "licenses/s")
			})
		}
	}
}
