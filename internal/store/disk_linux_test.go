package store_test

import (
	"errors"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"licet/internal/store"
)

// A disk that fails during the commit leaves the outcome open, and stops all
// writing until the database is opened again.
func TestDiskFailsDuringCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := things(t, func() *store.DB { return openSQLite(t, path) })
	write(t, db, insert("before"))

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	err := db.Write(ctx, func(tx *store.Tx) error {
		if err := insert(strings.Repeat("x", 10000))(tx); err != nil {
			return err
		}
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1, Max: old.Max})
	})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, store.ErrCommitUnknown) {
		t.Fatalf("the commit gave %v", err)
	}
	if err := db.Write(ctx, insert("after")); err == nil || errors.Is(err, store.ErrCommitUnknown) {
		t.Errorf("writing after that gave %v", err)
	}
	if db.Ping(ctx) == nil {
		t.Error("a database that takes no changes says that it is ready")
	}
	if n := number(t, db, "SELECT count(*) FROM things WHERE id = 'before'"); n != 1 {
		t.Error("what was there cannot be read")
	}
	db.Close()
	db = openSQLite(t, path)
	write(t, db, insert("after"))
	if n := number(t, db, "SELECT count(*) FROM things WHERE id IN ('before', 'after')"); n != 2 {
		t.Errorf("%d rows of 2", n)
	}
}
