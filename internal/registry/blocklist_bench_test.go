package registry_test

import (
	"context"
	"fmt"
	"testing"

	"licet/internal/store"
	"licet/license"
)

// BenchmarkMillionBlocked is a block list of a million on SQLite: the whole of it
// read, coded and signed, and one more entry told to a machine that knows the
// rest.
func BenchmarkMillionBlocked(b *testing.B) {
	const size = 1_000_000
	db, err := store.Open(b.Context(), "sqlite:"+b.TempDir()+"/licet.db")
	must(b, err)
	defer db.Close()
	bk := newBook(b, db)
	var number uint64
	add := func(n int) {
		must(b, db.Write(context.Background(), func(tx *store.Tx) (err error) {
			for range n {
				if number, err = tx.NextList(); err != nil {
					return err
				}
				if err = tx.InsertBlock(store.Block{Kind: store.BlockedLicense, Subject: fmt.Sprintf("lic_%022d", number), Generation: 1,
					Added: number, Reason: "restored", Created: license.At(bk.now)}); err != nil {
					return err
				}
			}
			return nil
		}))
		bk.now = bk.now.Add(2e9) // so that the server looks again
	}
	for range size / 10_000 {
		add(10_000)
	}
	news := func(from uint64) int {
		news, err := bk.BlockNews(context.Background(), from)
		must(b, err)
		return len(news)
	}
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			other, err := bk.another()
			must(b, err)
			b.StartTimer()
			whole, err := other.BlockNews(context.Background(), 0)
			must(b, err)
			b.ReportMetric(float64(len(whole)), "bytes")
		}
	})
	news(0)
	b.Run("one more", func(b *testing.B) {
		for b.Loop() {
			add(1)
			b.ReportMetric(float64(news(number-1)), "bytes")
		}
	})
	b.Run("a thousand more", func(b *testing.B) {
		for b.Loop() {
			add(1000)
			b.ReportMetric(float64(news(number-1000)), "bytes")
		}
	})
}
