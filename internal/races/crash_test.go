package races

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
)

// TestKillServer kills the server with SIGKILL at random moments while 16 machines
// work, and starts it again, with SQLite and with PostgreSQL. What was acknowledged
// is there; what was not is there whole or not at all; the same files again
// complete the work (Inv37). A second journal runs along, and with a back-up from before
// gives the same record again.
func TestKillServer(t *testing.T) {
	kills := long(4, 60)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			p := &process{t: t, program: build(t), folder: filepath.Join(t.TempDir(), "central")}
			address := "sqlite:" + filepath.Join(p.folder, "licet.db")
			if engine == "postgres" {
				address = pgtest.URL(t)
				p.database = address
			}
			p.set()
			place := p.journaled()
			b := openBook(t, open(t, address), p.secret(), place)
			var file bytes.Buffer
			_, err := registry.Backup(t.Context(), config(b.db, b.secret), registry.BackupRequest{}, &file, nil)
			must(t, err)
			h := newHistory(b, func(i int) server { return p.with(i, 1) }, "kill", 6)
			h.retry = true
			p.start()
			t.Cleanup(func() { p.kill() })

			done := make(chan error, 1)
			go func() { done <- h.play(10000, 7) }()
			random := rand.New(rand.NewPCG(3, 4))
			killed := 0
			for running := true; running; {
				select {
				case err = <-done:
					running = false
				case <-time.After(time.Duration(150+random.IntN(500)) * time.Millisecond):
					if killed == kills {
						h.stop.Store(true)
						continue
					}
					p.kill()
					p.start()
					killed++
				}
			}
			must(t, err)
			p.kill()
			open, results := 0, map[string]int{}
			for _, op := range h.ops {
				if out := op.Output.(output); out.unknown {
					open++
				} else {
					results[fmt.Sprint(op.Input.(input).do, " ", out.code)]++
				}
			}
			if got := h.check(t); got != porcupine.Ok {
				t.Errorf("a history of %d operations: %s", len(h.ops), got)
			}
			must(t, b.whole(h.boxes...))
			empty := "sqlite:" + filepath.Join(t.TempDir(), "back.db")
			if engine == "postgres" {
				empty = pgtest.URL(t)
			}
			b.comesBack(file.Bytes(), place, empty)
			t.Logf("killed %d times; %d operations, %d of them open: %v", killed, len(h.ops), open, results)
		})
	}
}

// journaled gives the server a second journal.
func (p *process) journaled() (place string) {
	p.t.Helper()
	place = filepath.Join(p.t.TempDir(), "journal")
	args := []string{"journal", "begin", place, "--data", p.folder}
	if p.database != "" {
		args = append(args, "--database", p.database)
	}
	if out, err := exec.Command(p.program, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("journal begin: %v\n%s", err, out)
	}
	return place
}

// comesBack makes a record of a back-up and the journal, and holds it against the
// database, which was not lost after all: nothing that was committed is missing, and
// nothing is there that a kill had undone.
func (b *book) comesBack(file []byte, place, url string) {
	b.t.Helper()
	ctx := context.Background()
	b.order("after", 1) // so that there is no question which frame is the last
	b.order("and after", 1)
	out, err := registry.Restore(ctx, config(nil, b.secret), registry.RestoreBackup{Database: url, Reason: "drill", Journals: []string{place},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }})
	must(b.t, err)
	if !out.Gap.Whole {
		b.t.Fatalf("the journal is not whole: %+v", out.Journal)
	}
	lost, back := rows(b.t, b.db), rows(b.t, open(b.t, url))
	for table, rows := range lost {
		if !slices.Equal(rows, back[table]) {
			b.t.Errorf("%s: %d rows, and %d that came back are others", table, len(rows), len(back[table]))
		}
	}
	b.t.Logf("%d frames of the journal", out.Journal.Frames)
}

// rows is what the tables have which a return does not change.
func rows(t testing.TB, db *store.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	must(t, db.Read(context.Background(), func(tx *store.Tx) error {
		for _, name := range []string{"licenses", "containers", "steps", "step_ops", "answers", "proofs", "orders", "tickets", "once", "earmarks"} {
			all[name] = nil
		}
		tables, err := tx.Tables()
		if err != nil {
			return err
		}
		for _, table := range tables {
			if _, ours := all[table.Name]; !ours {
				continue
			}
			if err := tx.Dump(table, func(row []any) error {
				all[table.Name] = append(all[table.Name], fmt.Sprintf("%q", row))
				return nil
			}); err != nil {
				return err
			}
			slices.Sort(all[table.Name])
		}
		return nil
	}))
	return all
}
