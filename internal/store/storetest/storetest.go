// Package storetest runs a test on both engines.
package storetest

import (
	"context"
	"path/filepath"
	"testing"

	"licet/internal/pgtest"
	"licet/internal/store"
)

// Each runs fn on a fresh SQLite file and on a fresh PostgreSQL database. Every
// call of open opens that same database once more, as a restart or a second
// process does; what is still open at the end of the test is closed. The
// package's TestMain calls pgtest.Main.
func Each(t *testing.T, fn func(t *testing.T, open func() *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		fn(t, opener(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		fn(t, opener(t, pgtest.Prepared(t, migrated)))
	})
}

// migrated makes the tables in an empty database.
func migrated(address string) error {
	db, err := store.Open(context.Background(), address)
	if err != nil {
		return err
	}
	return db.Close()
}

func opener(t *testing.T, url string) func() *store.DB {
	return func() *store.DB {
		t.Helper()
		db, err := store.Open(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("closing the database: %v", err)
			}
		})
		return db
	}
}
