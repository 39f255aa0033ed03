package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// engines runs fn with a way to make empty databases of one engine.
func engines(t *testing.T, fn func(t *testing.T, empty func() string)) {
	t.Run("sqlite", func(t *testing.T) {
		fn(t, func() string { return "sqlite:" + filepath.Join(t.TempDir(), "db") })
	})
	t.Run("postgres", func(t *testing.T) {
		fn(t, func() string { return pgtest.URL(t) })
	})
}

func opened(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// backup is a back-up of the book as it is now.
func (b *book) backup() []byte {
	b.t.Helper()
	var file bytes.Buffer
	out, err := registry.Backup(context.Background(), b.cfg, registry.BackupRequest{Program: "test"}, &file, func() error { return errors.New("again") })
	must(b.t, err)
	if out.Rows == 0 || out.Events == 0 {
		b.t.Fatalf("an empty back-up: %+v", out)
	}
	return file.Bytes()
}

// restored is a server that comes back from a back-up, a while later.
func (b *book) restored(file []byte, url string) *book {
	b.t.Helper()
	n := *b
	n.now = b.now.Add(time.Hour)
	n.cfg.Now = func() time.Time { return n.now }
	out, err := registry.Restore(context.Background(), n.cfg, registry.RestoreBackup{Database: url, Reason: "the disk is gone",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }})
	must(b.t, err)
	n.now = n.now.Add(time.Second)
	n.db = opened(b.t, url)
	n.cfg.DB = n.db
	n.Registry, err = registry.Open(context.Background(), n.cfg)
	must(b.t, err)
	n.admin, err = n.Authenticate(context.Background(), out.AdminToken)
	must(b.t, err)
	return &n
}

// clean verifies the whole record with code of its own.
func (b *book) clean() {
	b.t.Helper()
	_, err := b.Sequence(context.Background())
	must(b.t, err)
	r, err := verify.Run(context.Background(), b.db, verify.Options{Audit: b.AuditKey()})
	must(b.t, err)
	for _, f := range r.Findings {
		b.t.Errorf("verify: %s", f)
	}
}

func (b *book) tick() { b.now = b.now.Add(time.Second) }

// at moves a container to another server, which it cannot tell from the first.
func (x *box) at(b *book) { x.b = b }

// contact is what licet does in one go: it asks, asks once more if it is challenged,
// and delivers a receipt.
func (x *box) contact(w container.Wishes) []container.Outcome {
	x.b.t.Helper()
	x.b.tick()
	out := x.program(w)
	if len(x.state.Challenge) > 0 {
		out = x.program(w)
	}
	if x.state.Acked < x.state.Number {
		x.receipt()
	}
	return out
}

func (b *book) gap() wire.Gap {
	b.t.Helper()
	g, err := b.Gap(context.Background(), b.admin)
	must(b.t, err)
	return g
}

func outcome(t testing.TB, out []container.Outcome, want refusal.Code) {
	t.Helper()
	if len(out) == 0 || out[0].Code != want {
		t.Fatalf("got %+v, want %s", out, want)
	}
}

func returns(ids ...license.ID) container.Wishes { return container.Wishes{Return: ids} }

// TestGap: Sc49. Between the back-up and the loss one license is given out, one
// moves, one comes back; all that the containers have is in the record again after
// their next contact, and what nobody has shown stays held back.
func TestGap(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		tk, ids := b.bought("CAD")
		moving, mid := b.bought("CAD")
		leaving, lid := b.bought("CAD")
		idle, nid := b.bought("CAD")
		a, c, d := b.box(), b.box(), b.box()
		a.contact(ticket(moving))
		d.contact(ticket(leaving))
		file := b.backup()

		c.contact(ticket(tk))
		a.contact(returns(mid["CAD"]))
		c.contact(ticket(moving))
		d.contact(returns(lid["CAD"]))
		if len(c.state.Held) != 2 || len(a.state.Held)+len(d.state.Held) != 0 {
			t.Fatal("the stage is not set")
		}

		n := b.restored(file, empty())
		for _, x := range []*box{a, c, d} {
			x.at(n)
		}
		if g := n.gap(); !g.Open || g.HeldBack != 2 || g.Silent != 2 || g.Epoch < 2 {
			t.Fatalf("%+v", g)
		}
		// Nobody gets what somebody may have.
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.LicenseHeldBack)
		outcome(t, e.contact(ticket(moving)), refusal.LicenseInUse)
		n.clean()

		c.contact(container.Wishes{Pending: true})
		for _, id := range []license.ID{ids["CAD"], mid["CAD"]} {
			if l := n.license(id); l.State != license.Collected || l.Container != c.state.Serial || l.HeldBack != "" {
				t.Fatalf("%+v", l)
			}
		}
		n.clean()
		a.contact(container.Wishes{Pending: true})
		d.contact(container.Wishes{Pending: true})
		n.clean()
		if l := n.license(lid["CAD"]); l.State != license.Returned || l.HeldBack != store.HeldReturned {
			t.Fatalf("%+v", l)
		}
		if g := n.gap(); g.HeldBack != 2 || g.Silent != 0 {
			t.Fatalf("%+v", g)
		}
		// The idle one and the one that came back are released: in another generation.
		_, err := n.CloseGap(t.Context(), n.admin, "too early")
		n.refuses(refusal.Conflict, err)
		out, err := n.Release(t.Context(), n.admin, wire.Release{All: true, Reason: "nobody has them", Block: true})
		must(t, err)
		if out.Released != 2 {
			t.Fatalf("%+v", out)
		}
		outcome(t, e.contact(ticket(idle)), refusal.Done)
		outcome(t, e.contact(ticket(leaving)), refusal.Done)
		if l := n.license(nid["CAD"]); l.State != license.Collected || l.Generation <= license.Generation(n.gap().Epoch) {
			t.Fatalf("%+v", l)
		}
		// What is under the new epoch is as ever.
		outcome(t, c.contact(returns(ids["CAD"])), refusal.Done)
		outcome(t, e.contact(ticket(tk)), refusal.Done)
		_, err = n.CloseGap(t.Context(), n.admin, "all is there")
		must(t, err)
		if g := n.gap(); g.Open || g.HeldBack != 0 {
			t.Fatalf("%+v", g)
		}
		n.clean()
	})
}

var _ = seal.Update
