package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/refusal"
	"licet/wire"
)

// from is how a file is restored into a database.
func from(file []byte, url string) registry.RestoreBackup {
	return registry.RestoreBackup{Database: url, Reason: "the disk is gone",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }}
}

// TestBackupIntoTheOther: a back-up of either engine restores into either, row by row.
func TestBackupIntoTheOther(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		tk, ids := b.bought("CAD")
		a := b.activated(tk)
		file := b.backup()
		engines(t, func(t *testing.T, empty func() string) {
			n := b.restored(file, empty())
			n.clean()
			if o, err := n.License(t.Context(), n.admin, ids["CAD"]); err != nil || o.Container != a.state.Serial {
				t.Fatalf("%+v, %v", o, err)
			}
			x := *a
			x.at(n)
			x.contact(pendingWish)
			outcome(t, x.contact(returns(ids["CAD"])), refusal.Done)
			n.clean()
			// And from there again.
			again := n.restored(n.backup(), empty())
			again.clean()
			if again.gap().Epoch <= n.gap().Epoch {
				t.Fatalf("epoch %d after %d", again.gap().Epoch, n.gap().Epoch)
			}
		})
	})
}

// TestBackupIsOneMoment: what is written while a back-up is made is in it whole or not
// at all.
func TestBackupIsOneMoment(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		tk, _ := b.bought("CAD")
		boxes := []*box{b.box(), b.box()}
		at := 0
		var file bytes.Buffer
		_, err := registry.Backup(t.Context(), b.cfg, registry.BackupRequest{Progress: func(string, int64) {
			if at++; at > 6 {
				return
			}
			x := boxes[at%2] // it goes from one to the other, in the middle of the dump
			x.contact(ticket(tk))
			for id := range x.state.Held {
				x.contact(returns(id))
				x.contact(pendingWish)
			}
		}}, &file, func() error { return errors.New("again") })
		must(t, err)
		if at < 3 {
			t.Fatal("nothing happened meanwhile")
		}
		n := b.restored(file.Bytes(), empty())
		n.clean()
		for _, x := range boxes {
			x.at(n)
			x.contact(pendingWish)
			x.contact(pendingWish)
		}
		n.clean()
	})
}

// TestRestoreRefuses: what cannot be restored is refused before anything is written.
func TestRestoreRefuses(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		b.bought("CAD")
		file := b.backup()
		mine, err := age.GenerateX25519Identity()
		must(t, err)
		var locked bytes.Buffer
		_, err = registry.Backup(t.Context(), b.cfg, registry.BackupRequest{Recipients: []age.Recipient{mine.Recipient()}, WithSecret: true}, &locked, nil)
		must(t, err)
		_, err = registry.Backup(t.Context(), b.cfg, registry.BackupRequest{WithSecret: true}, io.Discard, nil)
		b.refuses(refusal.InvalidInput, err)

		other := b.cfg
		other.Secret = bytes.Repeat([]byte{7}, 32)
		none := b.cfg
		none.Secret = nil
		used := newBook(t, opened(t, empty()))
		usedURL := empty()
		_, err = registry.Init(t.Context(), func() registry.Config { c := used.cfg; c.DB = opened(t, usedURL); return c }(), registry.InitRequest{Vendor: "Other", Address: "http://127.0.0.1:1"})
		must(t, err)
		changed := bytes.Clone(file)
		changed[len(changed)/2] ^= 1
		for name, c := range map[string]struct {
			cfg  registry.Config
			file []byte
			url  string
			want refusal.Code
		}{
			"cut":                 {b.cfg, file[:len(file)-7], empty(), refusal.BackupDamaged},
			"altered":             {b.cfg, changed, empty(), refusal.BackupDamaged},
			"another's secret":    {other, file, empty(), refusal.BackupDamaged},
			"no secret":           {none, file, empty(), refusal.InvalidInput},
			"no identity":         {b.cfg, locked.Bytes(), empty(), refusal.InvalidInput},
			"no back-up":          {b.cfg, []byte("hello"), empty(), refusal.WrongFile},
			"a database in use":   {b.cfg, file, usedURL, refusal.AlreadyInitialized},
			"a clock that is old": {b.cfg, file, empty(), refusal.ClockBehind},
		} {
			t.Run(name, func(t *testing.T) {
				if c.want == refusal.ClockBehind {
					old := b.now.AddDate(-1, 0, 0)
					c.cfg.Now = func() (at time.Time) { return old }
				}
				_, err := registry.Restore(t.Context(), c.cfg, from(c.file, c.url))
				b.refuses(c.want, err)
				if c.url == usedURL {
					return
				}
				c.cfg.DB, c.cfg.Secret = opened(t, c.url), b.cfg.Secret
				if _, err := registry.Open(t.Context(), c.cfg); !refusal.Is(err, refusal.NotFound) && !refusal.Is(err, refusal.Conflict) {
					t.Fatalf("a server opens on what was left: %v", err)
				}
			})
		}

		// With an identity, the secret comes out of the file.
		req := from(locked.Bytes(), empty())
		req.Identities = []age.Identity{mine}
		none.Now = func() time.Time { return b.now.AddDate(0, 0, 1) }
		out, err := registry.Restore(t.Context(), none, req)
		must(t, err)
		if !bytes.Equal(out.Secret, b.cfg.Secret) {
			t.Fatal("another secret came back")
		}
	})
}

// TestRestoreBrokenOff: a restore that is broken off anywhere leaves nothing that a
// server opens, and begins anew when it is run again.
func TestRestoreBrokenOff(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		tk, _ := b.bought("CAD")
		b.activated(tk)
		file := b.backup()
		cfg := b.cfg
		cfg.Now = func() time.Time { return b.now.AddDate(0, 0, 1) }
		url := empty()
		stopped := errors.New("stopped")
		opens := func(want refusal.Code) {
			t.Helper()
			c := cfg
			c.DB = opened(t, url)
			if _, err := registry.Open(t.Context(), c); !refusal.Is(err, want) {
				t.Fatalf("a server opens on half of it: %v", err)
			}
		}
		// While it writes.
		ctx, cancel := context.WithCancel(t.Context())
		req := from(file, url)
		reads := 0
		open := req.Open
		req.Open = func() (io.ReadCloser, error) {
			if reads++; reads == 2 {
				return io.NopCloser(io.MultiReader(bytes.NewReader(file[:len(file)/2]), broken(func([]byte) (int, error) { cancel(); return 0, stopped }))), nil
			}
			return open()
		}
		if _, err := registry.Restore(ctx, cfg, req); err == nil {
			t.Fatal("it went on")
		}
		opens(refusal.NotFound)
		// All is written, but the last word.
		req = from(file, url)
		req.Keep = func(registry.Restored) error { return stopped }
		if _, err := registry.Restore(t.Context(), cfg, req); !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		opens(refusal.Conflict)
		n := b.restored(file, url)
		n.clean()
		if g := n.gap(); !g.Open {
			t.Fatalf("%+v", g)
		}
		// Now it is in use.
		_, err := registry.Restore(t.Context(), cfg, from(file, url))
		b.refuses(refusal.AlreadyInitialized, err)
	})
}

// TestBackupOfAnOlderSchema: a back-up restores in the schema that it has, and is
// migrated after that.
func TestBackupOfAnOlderSchema(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		const schema = 7
		url := empty()
		old, err := store.OpenAt(t.Context(), url, schema)
		must(t, err)
		var v store.Vendor
		var keys []store.Key
		must(t, b.db.Read(t.Context(), func(tx *store.Tx) (err error) {
			if v, err = tx.Vendor(); err == nil {
				keys, err = tx.Keys()
			}
			return err
		}))
		must(t, old.Write(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertVendor(v); err != nil {
				return err
			}
			for _, k := range keys {
				_, err := tx.Exec(`insert into keys (id, use, public, private, certificate, created) values ($1, $2, $3, $4, $5, $6)`, k.ID, k.Use, k.Public, k.Private, k.Certificate, k.Created)
				if err != nil {
					return err
				}
			}
			return nil
		}))
		cfg := b.cfg
		cfg.DB = old
		var file bytes.Buffer
		out, err := registry.Backup(t.Context(), cfg, registry.BackupRequest{}, &file, func() error { return errors.New("again") })
		must(t, err)
		must(t, old.Close())
		if out.Schema != schema {
			t.Fatalf("schema %d", out.Schema)
		}
		n := b.restored(file.Bytes(), empty())
		if _, err := n.ApplyCatalog(t.Context(), n.admin, wire.CatalogRequest{YAML: catalogYAML}); err != nil {
			t.Fatal(err)
		}
		tk, _ := n.bought("CAD")
		outcome(t, n.box().contact(ticket(tk)), refusal.Done)
	})
}

// broken is a file that cannot be read on.
type broken func([]byte) (int, error)

func (b broken) Read(p []byte) (int, error) { return b(p) }
