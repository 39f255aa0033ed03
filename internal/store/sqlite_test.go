package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/store"
)

func goexit() { runtime.Goexit() }

// panics reports whether a recovered value says what a transaction panicked with.
func panics(recovered any, with string) bool {
	first, _, _ := strings.Cut(fmt.Sprint(recovered), "\n")
	return first == with
}

func openSQLite(t testing.TB, path string) *store.DB {
	t.Helper()
	db, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newSQLite(t testing.TB) *store.DB {
	path := filepath.Join(t.TempDir(), "test.db")
	return things(t, func() *store.DB { return openSQLite(t, path) })
}

// blocked holds the writer up until release is called, so that what is written
// meanwhile waits and then shares a commit.
func blocked(t *testing.T, db *store.DB) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := db.Write(ctx, func(*store.Tx) error { close(in); <-out; return nil }); err != nil {
			t.Error(err)
		}
	}()
	<-in
	return func() {
		time.Sleep(50 * time.Millisecond) // for those that wait to be in the queue
		close(out)
		<-done
	}
}

func TestGroupCommitOutcomes(t *testing.T) {
	db := newSQLite(t)
	refusal := errors.New("refused")
	release := blocked(t, db)
	var wg sync.WaitGroup
	var returned, shared atomic.Int64
	for i := range 60 {
		wg.Go(func() {
			var err error
			defer func() {
				switch v := recover(); {
				case i%3 == 1 && err != refusal, i%3 == 2 && !panics(v, fmt.Sprint(i)), i%3 != 2 && v != nil, i%3 == 0 && err != nil:
					t.Errorf("%d: error %v, panic %v", i, err, v)
				}
			}()
			err = db.Write(ctx, func(tx *store.Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil {
					return err
				}
				if returned.Load() == 0 {
					shared.Add(1) // this one runs before any of the others was answered
				}
				switch i % 3 {
				case 1:
					return refusal
				case 2:
					panic(i)
				}
				return nil
			})
			returned.Add(1) // not after a panic
		})
	}
	release()
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM things"); n != 20 {
		t.Errorf("%d rows of 20", n)
	}
	if shared.Load() < 2 {
		t.Error("no two transactions shared a commit")
	}
}

// TestGroupCommitOutlivesAnEndedTest: a function that ends its goroutine, as a test
// does that gives up, ends its caller's and takes no other transaction with it.
func TestGroupCommitOutlivesAnEndedTest(t *testing.T) {
	db := newSQLite(t)
	release := blocked(t, db)
	var wg sync.WaitGroup
	var wrote atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			err := db.Write(ctx, func(tx *store.Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil || i%5 != 4 {
					return err
				}
				goexit()
				return nil
			})
			if err != nil || i%5 == 4 {
				t.Errorf("%d: %v", i, err)
			}
			wrote.Add(1)
		})
	}
	release()
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM things"); n != 16 || wrote.Load() != 16 {
		t.Errorf("%d rows and %d callers of 16", n, wrote.Load())
	}
}

func TestGroupCommitFailsForAll(t *testing.T) {
	db := newSQLite(t)
	run(t, db, "CREATE TABLE late (id TEXT REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)")
	release := blocked(t, db)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 10 {
		wg.Go(func() {
			err := db.Write(ctx, func(tx *store.Tx) error {
				if i == 5 {
					_, err := tx.Exec("INSERT INTO late VALUES ('absent')")
					return err
				}
				return insert(fmt.Sprint(i))(tx)
			})
			if err != nil {
				failed.Add(1)
			}
		})
	}
	release()
	wg.Wait()
	good := number(t, db, "SELECT count(*) FROM things")
	if good != 10-failed.Load() || failed.Load() == 0 {
		t.Errorf("%d failed and %d are there", failed.Load(), good)
	}
	write(t, db, insert("after"))
}

func TestQueueLeftByItsCaller(t *testing.T) {
	db := newSQLite(t)
	release := blocked(t, db)
	waiting, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		done <- db.Write(waiting, func(*store.Tx) error { t.Error("run though its caller has left"); return nil })
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) { // while the writer is still held up
		t.Error(err)
	}
	release()

	// One whose function has finished waits for the outcome.
	for i := range 50 {
		during, cancel := context.WithCancel(ctx)
		err := db.Write(during, func(tx *store.Tx) error {
			defer cancel()
			return insert(fmt.Sprint(i))(tx)
		})
		if err != nil {
			t.Errorf("a finished transaction gave %v", err)
		}
	}
	if n := number(t, db, "SELECT count(*) FROM things"); n != 50 {
		t.Errorf("%d rows of 50", n)
	}
}

// What was acknowledged is in the files at that moment: a copy of them, as a
// crash would leave them, has it.
func TestAcknowledgedIsDurable(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "test.db")
	db := things(t, func() *store.DB { return openSQLite(t, path) })
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			if err := db.Write(ctx, insert(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, name := range []string{"test.db", "test.db-wal"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, openSQLite(t, filepath.Join(copied, "test.db")), "SELECT count(*) FROM things"); n != 300 {
		t.Errorf("%d rows of 300 acknowledged", n)
	}
}

func TestSQLiteSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space, 100% & ?.db")
	db := openSQLite(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	settings := func(tx *store.Tx) error {
		var mode string
		var full, keys int64
		err := errors.Join(tx.QueryRow("PRAGMA journal_mode").Scan(&mode),
			tx.QueryRow("PRAGMA synchronous").Scan(&full), tx.QueryRow("PRAGMA foreign_keys").Scan(&keys))
		if mode != "wal" || full != 2 || keys != 1 {
			t.Errorf("journal_mode %s, synchronous %d, foreign_keys %d", mode, full, keys)
		}
		return err
	}
	if err := errors.Join(db.Write(ctx, settings), db.Read(ctx, settings)); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(ctx, "sqlite:"); err == nil || !strings.Contains(err.Error(), "no path") {
		t.Error(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint("sqlite-", writers), func(b *testing.B) { benchmarkWrite(b, newSQLite(b), writers) })
		b.Run(fmt.Sprint("postgres-", writers), func(b *testing.B) {
			db := newPostgres(b)
			benchmarkWrite(b, db, writers)
		})
	}
}

func benchmarkWrite(b *testing.B, db *store.DB, writers int) {
	for i := range 64 {
		write(b, db, insert(fmt.Sprint("pool", i)))
	}
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				err := db.Write(ctx, func(tx *store.Tx) error {
					if err := tx.Touch("things", "id", fmt.Sprint("pool", w)); err != nil {
						return err
					}
					return tx.AppendEvent(store.Event{ID: fmt.Sprintf("%012d", i), Name: "seat.taken", Actor: "agent",
						Subjects: []store.Subject{{Kind: "pool", ID: "p"}, {Kind: "license", ID: "l"}}})
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
}
