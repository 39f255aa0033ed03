package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"licet/internal/pgtest"
	"licet/internal/store"
	"licet/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var ctx = context.Background()

// write runs fn in a transaction that must succeed.
func write(t testing.TB, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

// run runs one statement that must succeed.
func run(t testing.TB, db *store.DB, statement string, args ...any) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
}

// number gives the result of a query for one number.
func number(t testing.TB, db *store.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.Read(ctx, func(tx *store.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// things opens the database with a table to play with.
func things(t testing.TB, open func() *store.DB) *store.DB {
	t.Helper()
	db := open()
	run(t, db, "CREATE TABLE things (id TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0)")
	return db
}

func insert(id string) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO things (id) VALUES ($1)", id)
		return err
	}
}

func TestErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		write(t, db, insert("a"))
		var s string
		err := db.Read(ctx, func(tx *store.Tx) error {
			return tx.QueryRow("SELECT id FROM things WHERE id = $1", "absent").Scan(&s)
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("absent row: %v", err)
		}
		if err := db.Write(ctx, insert("a")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("double row: %v", err)
		}
		if err := db.Write(ctx, func(tx *store.Tx) error { return tx.Touch("things", "id", "absent") }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("touching an absent row: %v", err)
		}
		if err := db.Read(ctx, insert("b")); err == nil {
			t.Error("a Read wrote")
		}
		if _, err := store.Open(ctx, "mysql://x:secret@y"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("an unknown scheme: %v", err)
		}
		if err := db.Prepare(ctx, "SELECT id FROM things WHERE n = $1"); err != nil {
			t.Error(err)
		}
		if err := db.Prepare(ctx, "SELECT nothing FROM things"); err == nil {
			t.Error("a query with an unknown column was prepared")
		}
		if err := db.Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Both engines end a transaction with its first failed statement.
func TestFailedStatementEndsTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		write(t, db, insert("a"))
		err := db.Write(ctx, func(tx *store.Tx) error {
			insert("b")(tx)
			first := insert("a")(tx)
			if again := insert("c")(tx); again == nil || again.Error() != first.Error() {
				t.Errorf("after %v came %v", first, again)
			}
			return nil
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("Write gave %v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM things"); n != 1 {
			t.Errorf("%d rows are left of one", n)
		}
	})
}

func TestRowsMustBeClosed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		write(t, db, insert("a"))
		write(t, db, insert("b"))
		var kept *store.Tx
		err := db.Write(ctx, func(tx *store.Tx) error {
			kept = tx
			rows, err := tx.Query("SELECT id FROM things")
			if err != nil {
				return err
			}
			rows.Next()
			return tx.Touch("things", "id", "a")
		})
		if err == nil || !strings.Contains(err.Error(), "still open") {
			t.Errorf("a statement beside open rows: %v", err)
		}
		if _, err := kept.Exec("DELETE FROM things"); err == nil {
			t.Error("a transaction was used after its end")
		}
		if err := db.Ping(ctx); err != nil {
			t.Error(err)
		}
		write(t, db, insert("c"))
	})
}

func TestPlaceholdersAndOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		run(t, db, "CREATE TABLE pairs (a "+text(db)+" PRIMARY KEY, b "+text(db)+")")
		for range 2 { // the second time from the kept statement
			run(t, db, "DELETE FROM pairs")
			run(t, db, "INSERT INTO pairs (b, a) VALUES ($2, $1)", "a", "b")
			if n := number(t, db, "SELECT count(*) FROM pairs WHERE b = $2 AND a = $1 AND a = $1", "a", "b"); n != 1 {
				t.Error("placeholders were swapped")
			}
		}
		e := func(id string) store.Event { return store.Event{ID: id, Name: "x"} }
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.AppendEvent(e("b")), tx.AppendEvent(e("A")), tx.AppendEvent(e("a")), tx.AppendEvent(e("B")), tx.AppendEvent(e("-")))
		})
		var ids []string
		db.Read(ctx, func(tx *store.Tx) error {
			all, err := tx.AllEvents("", 10)
			for _, e := range all {
				ids = append(ids, e.ID)
			}
			return err
		})
		if !slices.Equal(ids, []string{"-", "A", "B", "a", "b"}) {
			t.Errorf("text is not sorted by bytes: %q", ids)
		}
	})
}

func text(db *store.DB) string {
	if db.Engine() == "postgres" {
		return `TEXT COLLATE "C"`
	}
	return "TEXT"
}

// 64 race for 5 seats. The count is exact because each touches the pool first.
func TestTouchFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db, other := things(t, open), open()
		run(t, db, "CREATE TABLE seats (pool TEXT NOT NULL, holder TEXT NOT NULL)")
		full := errors.New("full")
		for round := range 5 {
			pool := fmt.Sprint("pool", round)
			write(t, db, insert(pool))
			var won, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					process := db
					if i%2 == 1 {
						process = other
					}
					err := process.Write(ctx, func(tx *store.Tx) error {
						if err := tx.Touch("things", "id", pool); err != nil {
							return err
						}
						var taken int64
						if err := tx.QueryRow("SELECT count(*) FROM seats WHERE pool = $1", pool).Scan(&taken); err != nil {
							return err
						}
						if taken >= 5 {
							return full
						}
						_, err := tx.Exec("INSERT INTO seats (pool, holder) VALUES ($1, $2)", pool, fmt.Sprint(i))
						return err
					})
					switch {
					case err == nil:
						won.Add(1)
					case err == full:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			seats := number(t, db, "SELECT count(*) FROM seats WHERE pool = $1", pool)
			if won.Load() != 5 || refused.Load() != 59 || seats != 5 {
				t.Errorf("round %d: %d won, %d refused, %d seats", round, won.Load(), refused.Load(), seats)
			}
		}
	})
}

func TestReadIsSnapshot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		write(t, db, insert("a"))
		err := db.Read(ctx, func(tx *store.Tx) error {
			count := func() (n int64) {
				if err := tx.QueryRow("SELECT count(*) FROM things").Scan(&n); err != nil {
					t.Error(err)
				}
				return n
			}
			before := count()
			done := make(chan error)
			go func() { done <- db.Write(ctx, insert("b")) }()
			if err := <-done; err != nil { // a reader does not hold up the writer
				return err
			}
			if after := count(); before != 1 || after != 1 {
				t.Errorf("a snapshot changed from %d to %d", before, after)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if n := number(t, db, "SELECT count(*) FROM things"); n != 2 {
			t.Errorf("a new snapshot shows %d", n)
		}
	})
}

// A panic, and a test that ends itself, reach their own caller only.
func TestPanicStaysWithItsCaller(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		for _, way := range []func(context.Context, func(*store.Tx) error) error{db.Write, db.Read} {
			func() {
				defer func() {
					if v := recover(); !panics(v, "boom") {
						t.Errorf("recovered %v", v)
					}
				}()
				way(ctx, func(tx *store.Tx) error {
					insert("lost")(tx)
					rows, err := tx.Query("SELECT 1")
					if err == nil {
						rows.Next()
					}
					panic("boom")
				})
			}()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				way(ctx, func(tx *store.Tx) error {
					insert("lost")(tx)
					goexit()
					return nil
				})
			}()
			<-ended
		}
		write(t, db, insert("a"))
		if n := number(t, db, "SELECT count(*) FROM things"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		never := func(tx *store.Tx) error { t.Error("run with an ended context"); return nil }
		if err := db.Write(ended, never); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := db.Read(ended, never); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// One that ends on the way ends the transaction at its next statement,
		// and leaves the connection whole.
		for i := range 20 {
			during, cancel := context.WithCancel(ctx)
			err := db.Write(during, func(tx *store.Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil {
					return err
				}
				cancel()
				return insert(fmt.Sprint("more", i))(tx)
			})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if n := number(t, db, "SELECT count(*) FROM things"); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestOpenAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { open() })
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		if n := number(t, open(), "SELECT count(*) FROM audit_state"); n != 1 {
			t.Errorf("%d rows of audit state", n)
		}
	})
}

func TestCloseDrains(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		var wg sync.WaitGroup
		var good atomic.Int64
		for i := range 200 {
			wg.Go(func() {
				switch err := db.Write(ctx, insert(fmt.Sprint(i))); {
				case err == nil:
					good.Add(1)
				case !errors.Is(err, store.ErrClosed):
					t.Error(err)
				}
			})
		}
		for good.Load() == 0 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := db.Write(ctx, insert("late")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := db.Ping(ctx); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Ping after Close: %v", err)
		}
		if n := number(t, open(), "SELECT count(*) FROM things"); n != good.Load() {
			t.Errorf("%d rows of %d acknowledged", n, good.Load())
		}
	})
}

func TestNothingLeaks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		before := goleak.IgnoreCurrent()
		db := things(t, open)
		write(t, db, insert("a"))
		db.Close()
		goleak.VerifyNone(t, before)
	})
}

// ReadOne takes one query and nothing else.
func TestReadOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := things(t, open)
		write(t, db, insert("a"))
		count := func(tx *store.Tx) error {
			var n int64
			return tx.QueryRow("SELECT count(*) FROM things").Scan(&n)
		}
		if err := db.ReadOne(ctx, count); err != nil {
			t.Error(err)
		}
		for what, fn := range map[string]func(tx *store.Tx) error{
			"a statement":        insert("b"),
			"a query that locks": func(tx *store.Tx) error { return tx.QueryRow("UPDATE things SET n = 7 RETURNING id").Scan(new(string)) },
			"an event":           func(tx *store.Tx) error { return tx.AppendEvent(store.Event{ID: "e", Name: "thing"}) },
			"two queries":        func(tx *store.Tx) error { return errors.Join(count(tx), count(tx)) },
		} {
			if err := db.ReadOne(ctx, fn); err == nil {
				t.Errorf("%s was taken", what)
			}
		}
		if n := number(t, db, "SELECT count(*) FROM things WHERE n = 7 OR id = 'b'"); n != 0 {
			t.Error("ReadOne wrote")
		}
	})
}
