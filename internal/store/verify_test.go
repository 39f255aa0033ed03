package store_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licet/internal/pgtest"
	"licet/internal/store"
)

func TestOpenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "read.db")
	if _, err := store.OpenReadOnly(t.Context(), "sqlite:"+path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("opening for reading made a file")
	}
	for _, address := range []string{"sqlite:" + path, pgtest.URL(t)} {
		db, err := store.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		reader := address
		if strings.HasPrefix(address, "postgres") {
			// A role that may read and nothing else.
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				for _, q := range []string{`do $$ begin create role licet_reader login; exception when duplicate_object then null; end $$`, `grant select on all tables in schema public to licet_reader`} {
					if _, err := tx.Exec(q); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.User("licet_reader")
			reader = u.String()
		}
		ro, err := store.OpenReadOnly(t.Context(), reader)
		if err != nil {
			t.Fatal(err)
		}
		defer ro.Close()
		err = ro.Read(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.RawLicenses("", 1); err != nil {
				return err
			}
			_, err := tx.Exec(`update audit_state set size = 7`)
			if err == nil {
				t.Errorf("%s: a read wrote", ro.Engine())
			}
			return nil
		})
		if err == nil {
			t.Errorf("%s: the failed statement was forgotten", ro.Engine())
		}
		if err := ro.Write(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v", ro.Engine(), err)
		}
	}
}
