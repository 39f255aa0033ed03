package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"licet/internal/pgtest"
	"licet/internal/store"
)

func openPostgres(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newPostgres(t testing.TB) *store.DB {
	url := pgtest.URL(t)
	return things(t, func() *store.DB { return openPostgres(t, url) })
}

func TestSerializationIsRetried(t *testing.T) {
	db := newPostgres(t)
	for _, code := range []string{"40001", "40P01"} {
		runs := 0
		write(t, db, func(tx *store.Tx) error {
			if err := insert(code)(tx); err != nil {
				return err
			}
			if runs++; runs < 3 {
				_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '" + code + "'; END $$")
				if err == nil {
					t.Error("no error")
				}
				return errors.New("some words of its own") // what counts is the statement
			}
			return nil
		})
		if runs != 3 {
			t.Errorf("%s: %d runs", code, runs)
		}
	}
	runs := 0
	err := db.Write(ctx, func(tx *store.Tx) error {
		runs++
		_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION 'never' USING ERRCODE = '40001'; END $$")
		return err
	})
	if err == nil || runs != 10 {
		t.Errorf("%d runs, then %v", runs, err)
	}
}

// Two that touch the same rows in opposite order deadlock; both succeed.
func TestDeadlockIsRetried(t *testing.T) {
	db := newPostgres(t)
	write(t, db, insert("a"))
	write(t, db, insert("b"))
	var wg, both sync.WaitGroup
	both.Add(2)
	for i := range 2 {
		wg.Go(func() {
			first := true
			err := db.Write(ctx, func(tx *store.Tx) error {
				keys := []string{"a", "b"}
				if err := tx.Touch("things", "id", keys[i]); err != nil {
					return err
				}
				if first {
					first = false
					both.Done()
					both.Wait()
				}
				return tx.Touch("things", "id", keys[1-i])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT sum(version)::bigint FROM things"); n != 4 {
		t.Errorf("%d touches of 4", n)
	}
}

// relay stands between the store and the server. It cuts the connection at the
// first message that holds cut; if deliver, the server still gets the message,
// and only its answer is lost.
type relay struct {
	cut     atomic.Pointer[string]
	deliver bool
}

func (r *relay) start(t *testing.T, upstream string) (socketDir string) {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", upstream)
			if err != nil {
				client.Close()
				return
			}
			go func() { io.Copy(client, server); client.Close() }()
			go r.forward(client, server)
		}
	}()
	return dir
}

func (r *relay) forward(client, server net.Conn) {
	defer server.Close()
	defer client.Close()
	message := make([]byte, 64<<10)
	for {
		n, err := client.Read(message)
		if err != nil {
			return
		}
		if cut := r.cut.Load(); cut != nil && bytes.Contains(message[:n], []byte(*cut)) && r.cut.CompareAndSwap(cut, nil) {
			client.Close()
			if r.deliver {
				server.Write(message[:n])
				io.Copy(io.Discard, server)
			}
			return
		}
		if _, err := server.Write(message[:n]); err != nil {
			return
		}
	}
}

func (r *relay) open(t *testing.T) (through, direct *store.DB) {
	s := pgtest.Start(t)
	address := s.URL(t)
	direct = things(t, func() *store.DB { return openPostgres(t, address) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "host=" + url.QueryEscape(r.start(t, s.Socket()))
	return openPostgres(t, u.String()), direct
}

func TestLostAnswerToCommit(t *testing.T) {
	r := &relay{deliver: true}
	db, direct := r.open(t)
	runs := 0
	cut := "COMMIT\x00" // not that of READ COMMITTED
	err := db.Write(ctx, func(tx *store.Tx) error {
		runs++
		r.cut.Store(&cut)
		return insert("a")(tx)
	})
	if !errors.Is(err, store.ErrCommitUnknown) || runs != 1 {
		t.Errorf("%d runs, then %v", runs, err)
	}
	write(t, db, insert("b"))
	if n := number(t, direct, "SELECT count(*) FROM things WHERE id = 'b'"); n != 1 {
		t.Error("the next transaction is not there")
	}
}

func TestLostConnectionBeforeCommit(t *testing.T) {
	for _, cut := range []string{"BEGIN", "INSERT INTO things", "ROLLBACK"} {
		t.Run(cut, func(t *testing.T) {
			r := &relay{}
			db, direct := r.open(t)
			r.cut.Store(&cut)
			runs := 0
			refuse := strings.HasPrefix(cut, "ROLLBACK")
			refusal := errors.New("refused")
			err := db.Write(ctx, func(tx *store.Tx) error {
				runs++
				if err := insert("a")(tx); err != nil {
					return err
				}
				if refuse {
					return refusal
				}
				return nil
			})
			if refuse && err != refusal || !refuse && err != nil {
				t.Fatal(err)
			}
			if r.cut.Load() != nil {
				t.Error("the connection was not cut")
			}
			want := int64(1)
			if refuse {
				want = 0
			}
			if n := number(t, direct, "SELECT count(*) FROM things"); n != want {
				t.Errorf("%d rows after %d runs", n, runs)
			}
		})
	}
}

// A crash of the server loses nothing that was acknowledged, and afterwards the
// same DB works again.
func TestServerCrash(t *testing.T) {
	s := pgtest.Start(t)
	address := s.URL(t)
	db := things(t, func() *store.DB { return openPostgres(t, address) })
	var wg sync.WaitGroup
	var acknowledged, unknown sync.Map
	var count atomic.Int64
	stop := make(chan struct{})
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, i)
				switch err := db.Write(ctx, insert(id)); {
				case err == nil:
					acknowledged.Store(id, true)
					count.Add(1)
				case errors.Is(err, store.ErrCommitUnknown):
					unknown.Store(id, true)
				}
			}
		})
	}
	for count.Load() < 200 {
	}
	s.Crash(t)
	close(stop)
	s.Restart(t)
	wg.Wait()
	there := map[string]bool{}
	err := db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query("SELECT id FROM things")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			there[id] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged.Range(func(id, _ any) bool {
		if !there[id.(string)] {
			t.Errorf("%v was acknowledged and is lost", id)
		}
		return true
	})
	for id := range there {
		_, a := acknowledged.Load(id)
		_, u := unknown.Load(id)
		if !a && !u {
			t.Errorf("%s failed for certain and is there", id)
		}
	}
}

func TestPostgresRefusesLooseCommit(t *testing.T) {
	address := pgtest.URL(t)
	if _, err := store.Open(ctx, address+"&synchronous_commit=off"); err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Error(err)
	}
	if _, err := store.Open(ctx, "postgres://nobody:secret@127.0.0.1:1/none"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
