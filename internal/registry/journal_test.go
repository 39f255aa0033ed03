package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/durable"
	"licet/internal/journal"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// journaled gives the book a second journal.
func (b *book) journaled() (place string) {
	b.t.Helper()
	place = b.t.TempDir()
	b.cfg.Journal = place
	began, err := registry.BeginJournal(context.Background(), b.cfg, registry.System)
	must(b.t, err)
	if !began {
		b.t.Fatal("it had one already")
	}
	b.Registry, err = b.another()
	must(b.t, err)
	return place
}

// rows is everything that the database has, by table, each row as text; but for what
// belongs to a server that runs.
func (b *book) rows(but ...string) map[string][]string {
	b.t.Helper()
	all := map[string][]string{}
	must(b.t, b.db.Read(context.Background(), func(tx *store.Tx) error {
		clear(all)
		tables, err := tx.Tables()
		if err != nil {
			return err
		}
		for _, t := range tables {
			if slices.Contains(but, t.Name) {
				continue
			}
			if err := tx.Dump(t, func(row []any) error {
				all[t.Name] = append(all[t.Name], fmt.Sprintf("%x", fmt.Sprintf("%q", row)))
				return nil
			}); err != nil {
				return err
			}
			slices.Sort(all[t.Name])
		}
		return nil
	}))
	return all
}

// afterReturn are the tables that a return itself changes, beside adding its own
// events and a token.
var afterReturn = []string{"vendor", "gaps", "journal", "events", "event_subjects", "audit_state", "audit_hashes", "audit_checkpoints", "tokens", "cursors", "keys"}

// sameRows holds the rows of a server that came back against those of the one that was
// lost.
func sameRows(t interface{ Errorf(string, ...any) }, lost, back map[string][]string) {
	for table, rows := range lost {
		if !slices.Equal(rows, back[table]) {
			t.Errorf("%s: %d rows, and %d that came back are others", table, len(rows), len(back[table]))
		}
	}
}

// window is what a vendor and his customers do in a day.
func window(b *book, tk license.Ticket, ids map[string]license.ID, a *box) (c *box, late license.Ticket) {
	ctx := context.Background()
	outcome(b.t, a.contact(returns(ids["CAD"])), refusal.Done)
	a.contact(pendingWish)
	c = b.box()
	outcome(b.t, c.contact(ticket(tk)), refusal.Done) // the same license, elsewhere
	b.withdraw(ids["AUTO"])
	a.contact(pendingWish)
	late, _ = b.bought("CAD", "YEAR")
	outcome(b.t, c.contact(ticket(late)), refusal.Done)
	b.tick()
	_, err := b.ApplyCatalog(ctx, b.admin, wire.CatalogRequest{YAML: lossYAML + "  - {code: NEW, name: Later, model: perpetual_single}\n"})
	must(b.t, err)
	_, err = b.AddStaff(ctx, b.admin, wire.Staff{Name: "eve", Scopes: []string{registry.ScopeRead}})
	must(b.t, err)
	b.tick()
	must(b.t, ignore(b.Sequence(ctx)))
	return c, late
}

func ignore[T any](_ T, err error) error { return err }

// TestReturnWithJournal: a server that comes back from a back-up and its journal has
// lost nothing: not what was signed, and not what the shop, staff and the catalog did.
// Without the journal, the same is held back as ever.
func TestReturnWithJournal(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: lossYAML})
		must(t, err)
		place := b.journaled()
		tk, ids := b.bought("CAD", "AUTO")
		a := b.activated(tk)
		file := b.backup()
		c, late := window(b, tk, ids, a)
		lost := b.rows(afterReturn...)

		without := b.restored(file, empty())
		if g := without.gap(); g.Whole || g.HeldBack == 0 && g.Silent == 0 || !g.Open {
			t.Fatalf("without the journal: %+v", g)
		}
		engines(t, func(t *testing.T, other func() string) { // into the same kind, and into the other
			if !strings.Contains(t.Name(), "/sqlite/") && testing.Short() {
				t.Skip("one way is enough")
			}
			n := b.restored(file, other(), place)
			n.t = t
			if g := n.gap(); !g.Whole || g.HeldBack != 0 || g.Open || g.Epoch <= b.gap().Epoch {
				t.Fatalf("with the journal: %+v", g)
			}
			sameRows(t, lost, n.rows(afterReturn...))
			n.clean()
			x, y := *a, *c
			x.at(n)
			y.at(n)
			x.contact(pendingWish)
			outcome(t, y.contact(returns(ids["CAD"])), refusal.Done)
			y.contact(pendingWish)
			outcome(t, x.contact(ticket(tk)), refusal.Done)
			again := n.box()
			if out := again.contact(ticket(late)); len(again.state.Held) != 0 {
				t.Fatalf("what c has was given out twice: %+v", out)
			}
			n.clean()
		})
	})
}

// TestJournalDrill: whatever customers, staff and late files do, the journal brings
// all of it back, row by row, and nobody notices.
func TestJournalDrill(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		n := 8
		if strings.HasSuffix(t.Name(), "postgres") {
			n = 2
		}
		few(t, n, func(rt *rapid.T) {
			d := newDrill(t, rt, empty())
			place := d.journaled()
			for range 3 {
				d.boxes = append(d.boxes, d.box())
			}
			d.sell()
			d.sell()
			d.traffic(10)
			file := d.backup()
			d.traffic(25)
			lost := d.rows(afterReturn...)
			d.book = d.restored(file, empty(), place)
			for _, x := range d.boxes {
				x.at(d.book)
			}
			if g := d.gap(); !g.Whole || g.HeldBack != 0 {
				rt.Fatalf("%+v", g)
			}
			sameRows(rt, lost, d.rows(afterReturn...))
			d.traffic(10)
			for range 2 {
				for _, x := range d.boxes {
					d.come(x, container.Wishes{Pending: true})
				}
			}
			if twice := d.once(); twice != "" {
				rt.Fatal(twice)
			}
			d.agrees()
			for _, f := range d.findings() {
				rt.Errorf("verify: %s", f)
			}
		})
	})
}

// TestJournalFails: what cannot be written to the journal is not given out and not
// done, and all goes on when it can be written again. A frame that reached the disk
// although the disk said no is not taken for what happened.
func TestJournalFails(t *testing.T) {
	for _, op := range []durable.Op{durable.OpWrite, durable.OpSync, durable.OpGrow, durable.OpOpen, durable.OpFsyncDir} {
		t.Run(string(op), func(t *testing.T) {
			engines(t, func(t *testing.T, empty func() string) {
				b := newBook(t, opened(t, empty()))
				fails := false
				b.cfg.JournalDisk = &durable.Disk{Fault: func(at durable.Op, _ string) error {
					if fails && (at == op || op == durable.OpGrow && at == durable.OpOpen) {
						return syscall.ENOSPC
					}
					return nil
				}}
				place := b.journaled()
				tk, _ := b.bought("CAD")
				file := b.backup()
				a := b.box()
				var before map[string][]string
				if fails = true; op == durable.OpGrow {
					b.order("large", wire.OrderItem{Product: "CAD", Quantity: 1}) // may fit
				}
				for i := 0; ; i++ {
					if i == 500 {
						t.Fatal("the journal never fails")
					}
					before = b.rows("journal")
					_, err := b.CreateOrder(t.Context(), b.admin, wire.OrderRequest{Number: fmt.Sprint("n", i), Customer: strings.Repeat("x", 150), Items: []wire.OrderItem{{Product: "CAD", Quantity: 30}}}, registry.Once{})
					if err != nil {
						b.refuses(refusal.JournalUnavailable, err)
						break
					}
					if op != durable.OpGrow && op != durable.OpOpen && op != durable.OpFsyncDir {
						t.Fatal("it was written where nothing can be")
					}
					if op != durable.OpGrow {
						b.db.Journal().End() // a new file is needed
					}
				}
				if !maps(before, b.rows("journal")) {
					t.Fatal("something was changed")
				}
				if op != durable.OpOpen && op != durable.OpFsyncDir {
					_, err := b.Program(t.Context(), a.report(ticket(tk)))
					b.refuses(refusal.JournalUnavailable, err)
					b.refuses(refusal.JournalUnavailable, b.Ready(t.Context()))
					fails = false
					must(t, b.Ready(t.Context()))
					outcome(t, a.contact(ticket(tk)), refusal.Done)
					lost := b.rows(afterReturn...)
					n := b.restored(file, empty(), place)
					if g := n.gap(); !g.Whole {
						t.Fatalf("%+v", g)
					}
					sameRows(t, lost, n.rows(afterReturn...))
					n.clean()
				}
			})
		})
	}
}

func maps(a, b map[string][]string) bool {
	for table, rows := range a {
		if !slices.Equal(rows, b[table]) {
			return false
		}
	}
	return len(a) == len(b)
}

// TestJournalOfDeadProcess: a process that died between the journal and the commit
// leaves a frame of something that did not happen. The next commit has its number, and
// counts; the last of all is taken as it is, since nobody was told that it failed.
func TestJournalOfDeadProcess(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		place := b.journaled()
		tk, _ := b.bought("CAD")
		file := b.backup()
		b.activated(tk)
		b.died(place)
		b.bought("CAD")
		b.bought("CAD")
		lost := b.rows(afterReturn...)
		n := b.restored(file, empty(), place)
		if g := n.gap(); !g.Whole {
			t.Fatalf("%+v", g)
		}
		sameRows(t, lost, n.rows(afterReturn...))
		n.clean()

		// With one frame after it and no more, it cannot be told for sure which of the two
		// it is: nothing is given out that could be out already.
		b.died(place)
		b.order("after", wire.OrderItem{Product: "CAD", Quantity: 1})
		n = b.restored(file, empty(), place)
		if g := n.gap(); g.Whole || g.HeldBack == 0 {
			t.Fatalf("%+v", g)
		}
		n.clean()
	})
}

// died leaves a frame behind, as a process does that dies before its commit.
func (b *book) died(place string) {
	b.t.Helper()
	vault, err := seal.NewVault(b.cfg.Secret)
	must(b.t, err)
	var row store.JournalRow
	must(b.t, b.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		row, err = tx.Journal()
		return err
	}))
	var vendor string
	must(b.t, b.db.Read(context.Background(), func(tx *store.Tx) error {
		v, err := tx.VendorHead()
		vendor = v.ID
		return err
	}))
	j := journal.New(journal.Config{Path: place, Vault: vault, Vendor: vendor, Now: b.cfg.Now, Random: b.cfg.Random})
	must(b.t, j.Begin(row.Chain, row.Follows, store.Newest()))
	f := journal.Frame{Point: journal.Point{Number: row.Number + 1, Mark: j.NewMark()}, Before: row.Mark,
		Statements: []journal.Statement{{Text: `update vendor set name = $1`, Rows: 1, Args: []any{"nobody"}}}}
	must(b.t, j.Append(f))
	j.Close()
	b.tick()
}

// TestJournalNotWhole: a journal that was cut off, damaged, altered, is that of another
// server or lacks a file is never taken for a whole one: what it has before that comes
// back, and the rest is held back; or it is refused.
func TestJournalNotWhole(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		place := b.journaled()
		tk, _ := b.bought("CAD")
		free, _ := b.bought("CAD")
		file := b.backup()
		b.activated(tk)
		b.db.Journal().End() // the next file
		b.bought("CAD")
		b.db.Journal().End()
		b.activated(free)
		names, err := filepath.Glob(filepath.Join(place, "*.log"))
		must(t, err)
		if len(names) < 3 {
			t.Fatalf("%d files", len(names))
		}
		whole := b.restored(file, empty(), place)
		if g := whole.gap(); !g.Whole {
			t.Fatalf("%+v", g)
		}
		copied := func(change func(name string, data []byte) []byte) string {
			to := t.TempDir()
			all, err := os.ReadDir(place)
			must(t, err)
			for _, e := range all {
				data, err := os.ReadFile(filepath.Join(place, e.Name()))
				must(t, err)
				if data = change(e.Name(), data); data != nil {
					must(t, os.WriteFile(filepath.Join(to, e.Name()), data, 0o600))
				}
			}
			return to
		}
		first, last := filepath.Base(names[0]), filepath.Base(names[2])
		middle := filepath.Base(names[1])
		used := func(data []byte) int { return len(bytes.TrimRight(data, "\x00")) }
		for name, change := range map[string]func(name string, data []byte) []byte{
			"cut within its last frame": func(name string, data []byte) []byte {
				if name == last {
					return data[:used(data)-9]
				}
				return data
			},
			"a bit of the last frame": func(name string, data []byte) []byte {
				if name == last {
					data[used(data)-20] ^= 1
				}
				return data
			},
			"a bit in between": func(name string, data []byte) []byte {
				if name == first {
					data[used(data)-20] ^= 1
				}
				return data
			},
			"a file is missing": func(name string, data []byte) []byte {
				if name == middle {
					return nil
				}
				return data
			},
			"zeros": func(name string, data []byte) []byte {
				if name == middle {
					clear(data)
				}
				return data
			},
			"its header": func(name string, data []byte) []byte {
				if name == middle {
					return bytes.Replace(data, []byte(`"schema":`), []byte(`"schemA":`), 1)
				}
				return data
			},
		} {
			t.Run(name, func(t *testing.T) {
				n := b.restored(file, empty(), copied(change))
				if g := n.gap(); g.Whole || !g.Open || g.HeldBack == 0 {
					t.Fatalf("it was taken for whole: %+v", g)
				}
				n.clean()
			})
		}

		refused := func(code refusal.Code, place string) {
			t.Helper()
			cfg := b.cfg
			cfg.Now = func() time.Time { return b.now.Add(time.Hour) }
			req := from(file, empty())
			req.Journals = []string{place}
			_, err := registry.Restore(context.Background(), cfg, req)
			b.refuses(code, err)
		}
		refused(refusal.JournalUnavailable, t.TempDir())                          // not mounted
		refused(refusal.JournalUnavailable, filepath.Join(t.TempDir(), "nobody")) // not there
		other := newBook(t, opened(t, empty()))
		refused(refusal.JournalUnavailable, other.journaled())
		old := newBook(t, opened(t, empty()))
		before := old.backup()
		at := old.journaled()
		cfg := old.cfg
		cfg.Now = func() time.Time { return old.now.Add(time.Hour) }
		req := from(before, empty())
		req.Journals = []string{at}
		_, err = registry.Restore(context.Background(), cfg, req)
		old.refuses(refusal.JournalUnavailable, err)
	})
}

// TestJournalEndsTooEarly: a journal that was cut off between two frames looks whole.
// The first container that has a step which is not in it stops the server, before it
// is taken for a liar; and gap open makes good for it.
func TestJournalEndsTooEarly(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		b := newBook(t, opened(t, empty()))
		place := b.journaled()
		tk, _ := b.bought("CAD")
		file := b.backup()
		early := t.TempDir()
		must(t, os.CopyFS(early, os.DirFS(place)))
		a := b.activated(tk)
		url := empty()
		n := b.restored(file, url, early)
		if g := n.gap(); !g.Whole {
			t.Fatalf("%+v", g)
		}
		a.at(n)
		a.bring = new(uint64)
		_, err := n.Program(t.Context(), a.report(pendingWish))
		if g := n.gap(); g.Outdated == "" {
			t.Fatalf("%+v, %v", g, err)
		}
		b.refuses(refusal.ServerOutdated, n.Ready(t.Context()))
		n.tick()
		must(t, n.db.Close())
		n.cfg.DB = opened(t, url)
		must(t, registry.PutBack(t.Context(), n.cfg))
		n.db, n.Registry = n.cfg.DB, nil
		r, err := n.another()
		must(t, err)
		_, err = r.OpenGap(t.Context(), registry.System, 0, "the journal was a copy")
		must(t, err)
		n.tick()
		n.Registry, err = n.another()
		must(t, err)
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.LicenseHeldBack)
		a.contact(pendingWish)
		a.contact(pendingWish)
		a.holds("CAD 1")
		n.clean()
	})
}

// TestJournalIsNeeded: a record that has a journal is not written without it, and one
// that has none not with it.
func TestJournalIsNeeded(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		url := empty()
		b := newBook(t, opened(t, url))
		cfg := b.cfg
		cfg.Journal = t.TempDir()
		_, err := registry.Open(t.Context(), cfg)
		b.refuses(refusal.JournalUnavailable, err)
		place := b.journaled()
		again := b.cfg
		again.DB, again.Journal = opened(t, url), ""
		_, err = registry.Open(t.Context(), again)
		b.refuses(refusal.JournalUnavailable, err)
		again.Journal = t.TempDir() // an empty folder, such as where nothing is mounted
		_, err = registry.Open(t.Context(), again)
		b.refuses(refusal.JournalUnavailable, err)
		began, err := registry.BeginJournal(t.Context(), again, registry.System) // another server's place
		if must(t, err); began {
			t.Fatal("it began twice")
		}
		second, err := registry.Open(t.Context(), again)
		must(t, err)

		// Both write, each to its own place; both are needed to come back.
		file := b.backup()
		tk, _ := b.bought("CAD")
		b.activated(tk)
		x := *b
		x.Registry, x.cfg, x.db = second, again, again.DB
		x.now = b.now.Add(time.Second)
		x.cfg.Now = b.cfg.Now
		b.tick()
		x.bought("CAD")
		b.tick()
		b.bought("CAD")
		lost := b.rows(afterReturn...)
		n := b.restored(file, empty(), place, again.Journal)
		if g := n.gap(); !g.Whole {
			t.Fatalf("%+v", g)
		}
		sameRows(t, lost, n.rows(afterReturn...))
		if g := b.restored(file, empty(), place).gap(); g.Whole {
			t.Fatal("the journal of one of two servers was taken for whole")
		}

		// What a back-up has is not needed any more.
		later := b.backup()
		_, err = registry.TrimJournal(t.Context(), b.cfg, from(file, ""))
		must(t, err)
		if g := b.restored(file, empty(), place, again.Journal).gap(); !g.Whole {
			t.Fatal("trim took what was needed")
		}
		must(t, b.EndJournal(t.Context(), registry.System, "enough"))
		if g := b.restored(later, empty(), place, again.Journal).gap(); g.Whole {
			t.Fatal("a journal that was ended was taken for whole")
		}
		if err := b.Ready(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Log(err)
		}
	})
}
