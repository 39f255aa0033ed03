package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
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

// restored is a server that comes back from a back-up, a while later; with the places
// of its journal, if some are named.
func (b *book) restored(file []byte, url string, journals ...string) *book {
	b.t.Helper()
	n := *b
	n.now = b.now.Add(time.Hour)
	n.cfg.Now = func() time.Time { return n.now }
	out, err := registry.Restore(context.Background(), n.cfg, registry.RestoreBackup{Database: url, Reason: "the disk is gone", Journals: journals,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }})
	must(b.t, err)
	n.now = n.now.Add(time.Second)
	n.db = opened(b.t, url)
	n.cfg.DB = n.db
	if n.cfg.Journal != "" { // another place than that of the one that was lost
		n.cfg.Journal = b.t.TempDir()
		_, err = registry.BeginJournal(context.Background(), n.cfg, registry.System)
		must(b.t, err)
	}
	n.Registry, err = registry.Open(context.Background(), n.cfg)
	must(b.t, err)
	n.admin, err = n.Authenticate(context.Background(), out.AdminToken)
	must(b.t, err)
	return &n
}

// findings are what the verifier finds, with code of its own.
func (b *book) findings() []verify.Finding {
	_, err := b.Sequence(context.Background())
	must(b.t, err)
	r, err := verify.Run(context.Background(), b.db, verify.Options{Audit: b.AuditKey()})
	must(b.t, err)
	return r.Findings
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
		err := x.b.Receipt(context.Background(), x.report(container.Wishes{}))
		if _, refused := refusal.As(err); err != nil && !refused {
			x.b.t.Fatal(err)
		}
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

// withLoss is a book of which a back-up was made, and the way to lose it.
func withLoss(t *testing.T, fn func(t *testing.T, b *book, lose func() *book)) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: lossYAML})
		must(t, err)
		var file []byte
		fn(t, b, func() *book {
			if file == nil {
				file = b.backup()
				return nil
			}
			return b.restored(file, empty())
		})
	})
}

// behind the registry's back: what a mutant of the rules would do.
func (b *book) sql(text string, args ...any) {
	b.t.Helper()
	must(b.t, b.db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	}))
}

// TestHoldBackIsNeeded: without it, what was given out in the gap is given out twice.
func TestHoldBackIsNeeded(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, _ := b.bought("CAD")
		lose()
		a := b.box()
		a.contact(ticket(tk))
		n := lose()
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.LicenseHeldBack)
		n.sql(`update licenses set held_back = ''`)
		outcome(t, e.contact(ticket(tk)), refusal.Done)
		a.holds("CAD 1")
		e.holds("CAD 1") // twice
	})
}

// TestFenceIsNeeded: without it, a container that asks before it imports a file of
// the gap follows another plan than the record.
func TestFenceIsNeeded(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, _ := b.bought("AUTO")
		a := b.activated(tk)
		lose()
		late, _ := b.bought("CAD")
		inGap, err := b.Program(t.Context(), a.report(ticket(late)))
		must(t, err)
		n := lose()
		a.at(n)
		more, _ := n.bought("CAD")

		// The file comes first: its steps are brought.
		early := *a
		early.imports(inGap)
		outcome(t, early.contact(ticket(more)), refusal.Done)
		early.holds("AUTO 1", "CAD 1", "CAD 1")

		n = lose()
		a.at(n)
		more, _ = n.bought("CAD")
		// The contact comes first: the file is worth nothing then.
		fenced := *a
		outcome(t, fenced.contact(ticket(more)), refusal.Done)
		if _, _, no := fenced.imports(inGap); no == nil || no.Code != refusal.OutOfDate {
			t.Fatalf("a file of the gap: %v", no)
		}
		fenced.holds("AUTO 1", "CAD 1")
		n.clean()

		n = lose()
		a.at(n)
		more, _ = n.bought("CAD")
		n.sql(`update containers set epoch = $1`, int64(n.gap().Epoch)) // no fence
		_, err = n.Program(t.Context(), a.report(ticket(more)))
		must(t, err)
		a.imports(inGap)
		_, err = n.Program(t.Context(), a.report(container.Wishes{Pending: true}))
		must(t, err)
		c, err := n.Container(t.Context(), n.admin, a.state.Serial)
		must(t, err)
		if c.Flag == nil {
			t.Fatal("without the fence, an honest container is not accused any more: what is this test for?")
		}
	})
}

// TestRestoredInTheGap: a license that was restored in the gap is brought in its next
// generation, and its lost copy goes from where the record has it.
func TestRestoredInTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, ids := b.bought("AUTO")
		a := b.activated(tk)
		lose()
		b.tick()
		_, err := b.RequestRestore(t.Context(), wire.RestoreRequest{Tickets: []string{string(tk)}, Reason: "lost"})
		must(t, err)
		c := b.box()
		c.contact(ticket(tk))
		c.holds("AUTO 2")

		n := lose()
		a.at(n)
		c.at(n)
		c.contact(pendingWish)
		if l := n.license(ids["AUTO"]); l.Container != c.state.Serial || l.Generation != 2 {
			t.Fatalf("%+v", l)
		}
		n.clean()
		a.contact(pendingWish)
		a.holds()
		c.holds("AUTO 2")
		n.clean()

		// The other way round: staff restore it before the container comes.
		n = lose()
		a.at(n)
		n.tick()
		_, err = n.RequestRestore(t.Context(), wire.RestoreRequest{Tickets: []string{string(tk)}, Reason: "lost"})
		must(t, err)
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.Done)
		late := n.box()
		late.keys, late.state, late.bodies, late.bring = c.keys, c.state, c.bodies, c.bring
		if e.state.Held[ids["AUTO"]].Generation <= 2 {
			t.Fatalf("generation %d was given out in the gap as well", e.state.Held[ids["AUTO"]].Generation)
		}
	})
}

// TestOldCopyOfTheGap: staff release a license; the copy that somebody got in the gap
// goes when it shows.
func TestOldCopyOfTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, ids := b.bought("CAD")
		lose()
		a := b.box()
		a.contact(ticket(tk))
		n := lose()
		a.at(n)
		n.tick()
		_, err := n.Release(t.Context(), n.admin, wire.Release{Licenses: []license.ID{ids["CAD"]}, Reason: "the customer says that it never arrived"})
		must(t, err)
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.Done)
		a.contact(pendingWish)
		a.holds()
		n.clean()
		if l := n.license(ids["CAD"]); l.Container != e.state.Serial {
			t.Fatalf("%+v", l)
		}
		list, err := n.Blocked(t.Context(), n.admin, "", 10)
		must(t, err)
		if len(list.Items) != 1 || list.Items[0].Generation != 1 || list.Items[0].Number < n.gap().Epoch {
			t.Fatalf("the block list: %+v", list.Items)
		}
	})
}

// TestLostOrder: R16 after a loss. A container brings a license whose order was lost;
// the shop sends the order again, before it or after it; nothing is sold twice, and
// the customer's ticket is the same.
func TestLostOrder(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		lose()
		items := []wire.OrderItem{{Product: "CAD", Quantity: 2, Override: []string{"seats=1"}}, {Product: "YEAR"}}
		was := b.order("lost", items...)
		a := b.box()
		w := ticket(was.Ticket)
		w.Activate = []license.ID{was.Licenses[0].ID, was.Licenses[2].ID}
		outcome(t, a.contact(w), refusal.Done)
		again := wire.OrderRequest{Number: "lost", Customer: "Buyer", Items: items, Resent: true}

		first := lose() // the container comes first
		a.at(first)
		held := a.state
		a.contact(pendingWish)
		o, err := first.Order(t.Context(), first.admin, "lost")
		must(t, err)
		if o.Ticket != was.Ticket || len(o.Licenses) != 2 {
			t.Fatalf("%+v", o)
		}
		first.clean()
		first.tick()
		o, err = first.CreateOrder(t.Context(), first.admin, again, registry.Once{})
		must(t, err)
		if o.Ticket != was.Ticket || o.Added != 1 || len(o.Licenses) != 3 {
			t.Fatalf("sent again: added %d, has %d", o.Added, len(o.Licenses))
		}
		first.clean()
		if g := first.gap(); g.HeldBackFor[store.HeldResent] != 1 {
			t.Fatalf("%+v", g)
		}

		second := lose() // the shop comes first
		a.at(second)
		a.state, a.bring = held, nil
		o, err = second.CreateOrder(t.Context(), second.admin, again, registry.Once{})
		must(t, err)
		if o.Ticket != was.Ticket || o.Added != 3 {
			t.Fatalf("sent again: %+v", o)
		}
		a.contact(pendingWish)
		a.holds("CAD 1", "YEAR 1")
		second.clean()
		if g := second.gap(); g.HeldBackFor[store.HeldResent] != 1 {
			t.Fatalf("%+v", g)
		}
		_, err = second.CreateOrder(t.Context(), second.admin, again, registry.Once{})
		must(t, err)
		second.clean()
	})
}

// TestProductOfTheGap: the record does not know a product that a container brings;
// nothing is changed until the catalog is there.
func TestProductOfTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		lose()
		const late = "products:\n  - {code: LATE, name: Late, model: perpetual_single}\n"
		b.tick()
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: late})
		must(t, err)
		tk, ids := b.bought("LATE")
		a := b.box()
		a.contact(ticket(tk))
		n := lose()
		a.at(n)
		out := a.contact(pendingWish)
		outcome(t, out, refusal.ContainerAhead)
		if !strings.Contains(out[0].Message, "LATE") {
			t.Fatalf("%+v", out)
		}
		n.clean()
		_, err = n.ApplyCatalog(t.Context(), n.admin, wire.CatalogRequest{YAML: late})
		must(t, err)
		a.contact(pendingWish)
		if l := n.license(ids["LATE"]); l.Container != a.state.Serial {
			t.Fatalf("%+v", l)
		}
		n.clean()
	})
}

// TestBlockedInTheGap: a container that was closed in the gap stays closed.
func TestBlockedInTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, _ := b.bought("CAD")
		a := b.activated(tk)
		lose()
		b.tick()
		_, err := b.BlockContainer(t.Context(), b.admin, a.state.Serial, "stolen")
		must(t, err)
		a.contact(pendingWish)
		n := lose()
		a.at(n)
		a.contact(pendingWish)
		c, err := n.Container(t.Context(), n.admin, a.state.Serial)
		must(t, err)
		if c.Blocked == nil || !c.Blocked.Locked || !a.state.Locked {
			t.Fatalf("%+v, locked %v", c, a.state.Locked)
		}
		n.clean()
	})
}

// TestLeftBehind: Sc51. A server that is met with a newer epoch hands out nothing more.
func TestLeftBehind(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, _ := b.bought("CAD")
		a := b.activated(tk)
		lose()
		n := lose() // and b lives on
		b.now = n.now.Add(time.Minute)
		more, _ := n.bought("AUTO")
		a.at(n)
		outcome(t, a.contact(ticket(more)), refusal.Done)

		must(t, b.Ready(t.Context()))
		a.at(b)
		b.tick()
		file, err := b.Program(t.Context(), a.report(pendingWish))
		must(t, err)
		if _, _, no := a.imports(file); no == nil || no.Code != refusal.OutOfDate {
			t.Fatalf("the container took an answer of the server that was left behind: %v", no)
		}
		_, err = b.Program(t.Context(), a.report(pendingWish))
		b.refuses(refusal.ServerOutdated, err)
		// From now on nobody gets anything, also from another process.
		b.refuses(refusal.ServerOutdated, b.Ready(t.Context()))
		late, _ := b.bought("CAD")
		_, err = b.Program(t.Context(), b.box().report(ticket(late)))
		b.refuses(refusal.ServerOutdated, err)
		another, err := b.another()
		must(t, err)
		_, err = another.Program(t.Context(), b.box().report(ticket(late)))
		b.refuses(refusal.ServerOutdated, err)
		if g := b.gap(); g.Outdated == "" {
			t.Fatalf("%+v", g)
		}
		b.clean()
	})
}

// TestPutBackByHand: a database that was put back by other means than
// restore-backup meets its own later steps and stops; gap open mends it.
func TestPutBackByHand(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, ids := b.bought("CAD")
		idle, _ := b.bought("CAD")
		lose()
		a := b.box()
		a.contact(ticket(tk))
		n := lose()
		// As if nobody had told it.
		n.sql(`update vendor set epoch = 1, list = 0`)
		n.sql(`update licenses set held_back = ''`)
		n.sql(`delete from gaps`)
		n.Registry, _ = n.another()
		a.at(n)
		n.tick()
		a.program(pendingWish)
		_, err := n.Program(t.Context(), a.report(pendingWish))
		n.refuses(refusal.ServerOutdated, err)
		n.tick()
		_, err = n.OpenGap(t.Context(), registry.System, 0, "the disk was put back")
		must(t, err)
		sold, _ := n.bought("CAD")
		_, err = n.Program(t.Context(), n.box().report(ticket(sold)))
		n.refuses(refusal.ServerOutdated, err) // this server runs with the old epoch
		n.Registry, err = n.another()
		must(t, err)
		must(t, n.Ready(t.Context()))
		outcome(t, n.box().contact(ticket(idle)), refusal.LicenseHeldBack)
		a.contact(pendingWish)
		if l := n.license(ids["CAD"]); l.Container != a.state.Serial {
			t.Fatalf("%+v", l)
		}
	})
}

// TestEpochsDiffer: two records that come back from one back-up have different epochs,
// so that neither takes what the other made for its own.
func TestEpochsDiffer(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		lose()
		first := lose()
		b.now = b.now.Add(time.Minute)
		if second := lose(); second.gap().Epoch <= first.gap().Epoch {
			t.Fatalf("%d after %d", second.gap().Epoch, first.gap().Epoch)
		}
	})
}
