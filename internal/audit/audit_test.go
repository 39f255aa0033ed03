package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"licet/internal/audit"
	"licet/internal/pgtest"
	"licet/internal/store"
	"licet/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var ctx = context.Background()

// keys gives a new key pair.
func keys(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(nil, "central.example/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// add writes the events from … to-1.
func add(t testing.TB, db *store.DB, from, to int) {
	t.Helper()
	err := db.Write(ctx, func(tx *store.Tx) error {
		for i := from; i < to; i++ {
			e := store.Event{ID: id(i), Time: int64(i), Actor: "staff", Name: "license.issued", Details: []byte(`{"n":1}`),
				Subjects: []store.Subject{{Kind: "order", ID: fmt.Sprint(i / 3)}, {Kind: "license", ID: fmt.Sprint(i)}}}
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func id(i int) string { return fmt.Sprintf("event%05d", i) }

func sequence(t testing.TB, db *store.DB, signer note.Signer) int {
	t.Helper()
	n, err := audit.Sequence(ctx, db, 42, signer)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func verify(t testing.TB, db *store.DB, verifier note.Verifier, outside ...[]byte) audit.Report {
	t.Helper()
	r, err := audit.Verify(ctx, db, verifier, outside...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func last(t testing.TB, db *store.DB) (c store.Checkpoint) {
	t.Helper()
	if err := db.Read(ctx, func(tx *store.Tx) (err error) { c, err = tx.LastCheckpoint(); return err }); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSequenceAndVerify(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		signer, verifier := keys(t)
		db := open()
		if n := sequence(t, db, signer); n != 0 {
			t.Errorf("sequenced %d of nothing", n)
		}
		if r := verify(t, db, verifier); !r.OK() || r.Sequenced != 0 || r.Checkpoints != 0 {
			t.Errorf("empty log: %+v", r)
		}
		add(t, db, 100, 1200) // several pages and batches
		if n := sequence(t, db, signer); n != 1100 {
			t.Errorf("sequenced %d", n)
		}
		old := last(t, db)
		if old.Size != 1100 || old.Time != 42 || !strings.HasPrefix(string(old.Note), "central.example/log\n1100\n") {
			t.Errorf("checkpoint %d, %d, %q", old.Size, old.Time, old.Note)
		}
		// Ids before those in the log: they follow, and nothing moves.
		add(t, db, 0, 3)
		sequence(t, db, signer)
		add(t, db, 50, 52)
		r := verify(t, db, verifier, old.Note)
		if !r.OK() || r.Sequenced != 1103 || r.Tail != 2 || r.Checkpoints != 7 {
			t.Errorf("%+v", r)
		}
		err := db.Read(ctx, func(tx *store.Tx) error {
			events, err := tx.LogEvents(1099, "", 10)
			if err != nil {
				return err
			}
			var ids []string
			for _, e := range events {
				ids = append(ids, e.ID)
			}
			if !slices.Equal(ids, []string{id(1199), id(0), id(1), id(2)}) {
				t.Errorf("the log ends with %q", ids)
			}
			// Proofs for somebody who has only the checkpoint.
			root, err := tlog.TreeHash(1103, audit.Hashes(tx))
			if err != nil {
				return err
			}
			proof, err := tlog.ProveRecord(1103, 1101, audit.Hashes(tx))
			if err != nil {
				return err
			}
			return tlog.CheckRecord(proof, 1103, root, 1101, events[2].LeafHash())
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestSequenceFromSeveralProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		signer, verifier := keys(t)
		a, b := open(), open()
		var total atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			db := a
			if i%2 == 1 {
				db = b
			}
			wg.Go(func() {
				for j := range 10 {
					add(t, db, 100*i+5*j, 100*i+5*j+5)
					total.Add(int64(sequence(t, db, signer)))
				}
			})
		}
		wg.Wait()
		total.Add(int64(sequence(t, a, signer)))
		r := verify(t, a, verifier)
		if !r.OK() || r.Sequenced != 400 || total.Load() != 400 || r.Tail != 0 {
			t.Errorf("%d sequenced: %+v", total.Load(), r)
		}
	})
}

// Every kind of damage is found, and the row is named where one is left.
func TestDamageIsFound(t *testing.T) {
	remove := func(id string) []string {
		return []string{"DELETE FROM event_subjects WHERE event_id = '" + id + "'", "DELETE FROM events WHERE id = '" + id + "'"}
	}
	for _, damage := range []struct {
		name       string
		statements []string
		event      string // named by the report, or
		sequence   int64  // the place that is, or
		what       string // what the report says
	}{
		{name: "field", statements: []string{"UPDATE events SET actor = 'other' WHERE id = 'event00007'"}, event: id(7)},
		{name: "time", statements: []string{"UPDATE events SET time = time + 1 WHERE id = 'event00000'"}, event: id(0)},
		{name: "details", statements: []string{`UPDATE events SET details = '{"n":2}' WHERE id = 'event00007'`}, event: id(7)},
		{name: "hash", statements: []string{"UPDATE events SET after_hash = leaf WHERE id = 'event00019'"}, event: id(19)},
		{name: "leaf", statements: []string{"UPDATE events SET leaf = (SELECT leaf FROM events WHERE id = 'event00001') WHERE id = 'event00002'"}, event: id(2)},
		{name: "subject", statements: []string{"UPDATE event_subjects SET subject_id = 'x' WHERE event_id = 'event00011' AND position = 1"}, event: id(11)},
		{name: "subject removed", statements: []string{"DELETE FROM event_subjects WHERE event_id = 'event00011' AND position = 0"}, event: id(11)},
		{name: "subject added", statements: []string{"INSERT INTO event_subjects (event_id, position, kind, subject_id) VALUES ('event00011', 9, 'order', 'x')"}, event: id(11)},
		{name: "id", statements: []string{"INSERT INTO events SELECT 'forged', time, actor, name, before_hash, after_hash, reason, request, details, leaf, -7 FROM events WHERE id = 'event00004'",
			"UPDATE event_subjects SET event_id = 'forged' WHERE event_id = 'event00004'", "DELETE FROM events WHERE id = 'event00004'", "UPDATE events SET sequence = 4 WHERE id = 'forged'"}, event: "forged"},
		{name: "deleted", statements: remove(id(5)), sequence: 5},
		{name: "first deleted", statements: remove(id(0)), sequence: 0},
		{name: "last deleted", statements: remove(id(19)), sequence: 19},
		{name: "taken out of the log", statements: []string{"UPDATE events SET sequence = -1 WHERE id = 'event00009'"}, sequence: 9},
		{name: "swapped", statements: []string{"UPDATE events SET sequence = -2 WHERE id = 'event00003'", "UPDATE events SET sequence = 3 WHERE id = 'event00004'", "UPDATE events SET sequence = 4 WHERE id = 'event00003'"}, event: id(3)},
		{name: "inserted after", statements: []string{"UPDATE events SET sequence = 20 WHERE id = 'event00020'"}, event: id(20)},
		{name: "inserted beside", statements: []string{"DROP INDEX events_sequence", "UPDATE events SET sequence = 6 WHERE id = 'event00020'"}, event: id(20)},
		{name: "changed in the tail", statements: []string{"UPDATE events SET reason = 'x' WHERE id = 'event00020'"}, event: id(20)},
		{name: "log hash of an event", statements: []string{"UPDATE audit_hashes SET hash = (SELECT hash FROM audit_hashes WHERE position = 0) WHERE position = 1"}, event: id(1)},
		{name: "log hash of an event removed", statements: []string{"DELETE FROM audit_hashes WHERE position = 1"}, event: id(1)},
		{name: "inner hash", statements: []string{"UPDATE audit_hashes SET hash = (SELECT hash FROM audit_hashes WHERE position = 0) WHERE position = 2"}, sequence: 1},
		{name: "inner hash removed", statements: []string{"DELETE FROM audit_hashes WHERE position = 2"}, sequence: 1},
		{name: "more hashes", statements: []string{"INSERT INTO audit_hashes SELECT 1000, hash FROM audit_hashes WHERE position = 0"}, what: "more stored hashes"},
		{name: "checkpoint", statements: []string{"UPDATE audit_checkpoints SET note = replace(note, '20', '21') WHERE size = 20"}, what: "does not open"},
		{name: "checkpoint moved", statements: []string{"UPDATE audit_checkpoints SET size = 9 WHERE size = 10"}, what: "is signed for 10"},
		{name: "checkpoint removed", statements: []string{"DELETE FROM audit_checkpoints WHERE size = 20"}, what: "no checkpoint covers"},
		{name: "log cut", statements: []string{"UPDATE audit_state SET size = 10"}, what: "events were cut off"},
		{name: "log stretched", statements: []string{"UPDATE audit_state SET size = 21"}, sequence: 20},
	} {
		t.Run(damage.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, open func() *store.DB) {
				signer, verifier := keys(t)
				db := open()
				add(t, db, 0, 10)
				sequence(t, db, signer)
				add(t, db, 10, 20)
				sequence(t, db, signer)
				add(t, db, 20, 21)
				if r := verify(t, db, verifier); !r.OK() {
					t.Fatalf("before the damage: %v", r.Problems)
				}
				plant(t, db, damage.statements...)
				r := verify(t, db, verifier)
				named := slices.ContainsFunc(r.Problems, func(p audit.Problem) bool {
					switch {
					case damage.event != "":
						return p.Event == damage.event
					case damage.what != "":
						return strings.Contains(p.String(), damage.what)
					}
					return p.Event == "" && p.Sequence == damage.sequence
				})
				if !named {
					t.Errorf("not named in %v", r.Problems)
				}
				for _, p := range r.Problems {
					t.Log(p)
				}
			})
		})
	}
}

func plant(t testing.TB, db *store.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		err := db.Write(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec(s)
			if err == nil && n == 0 && !strings.HasPrefix(s, "DROP") {
				err = errors.New("no row was damaged")
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Who rewrites events, hashes and tree consistently is given away by the
// checkpoint, and who cuts everything back by one that was kept elsewhere.
func TestRewrittenLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		signer, verifier := keys(t)
		forger, _ := keys(t)
		db := open()
		add(t, db, 0, 10)
		sequence(t, db, signer)
		old := last(t, db)
		plant(t, db, "DELETE FROM event_subjects", "DELETE FROM events", "DELETE FROM audit_hashes", "UPDATE audit_state SET size = 0",
			"DELETE FROM audit_checkpoints")
		add(t, db, 5, 15)
		sequence(t, db, forger)
		if r := verify(t, db, verifier); r.OK() {
			t.Error("another key was taken")
		}
		plant(t, db, "DELETE FROM audit_checkpoints")
		err := db.Write(ctx, func(tx *store.Tx) error { return tx.AppendCheckpoint(old) })
		if err != nil {
			t.Fatal(err)
		}
		if r := verify(t, db, verifier); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, "are not those of their checkpoint") {
			t.Errorf("rewritten: %v", r.Problems)
		}
		plant(t, db, "DELETE FROM event_subjects", "DELETE FROM events", "DELETE FROM audit_hashes", "UPDATE audit_state SET size = 0",
			"DELETE FROM audit_checkpoints")
		if r := verify(t, db, verifier); !r.OK() {
			t.Errorf("emptied: %v", r.Problems)
		}
		if r := verify(t, db, verifier, old.Note); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, "cut off") {
			t.Errorf("emptied, with the checkpoint from outside: %v", r.Problems)
		}
		if r := verify(t, db, verifier, []byte("nonsense")); r.OK() {
			t.Error("a checkpoint that is none was taken")
		}
	})
}

// However the events come, the log verifies: Verify's own tree is that of tlog.
func TestAnyHistoryVerifies(t *testing.T) {
	signer, verifier := keys(t)
	rapid.Check(t, func(rt *rapid.T) {
		db, err := store.Open(ctx, "sqlite:"+t.TempDir()+"/test.db")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		next := 0
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			n := rapid.IntRange(0, 20).Draw(rt, "events")
			add(t, db, next, next+n)
			next += n
			sequence(t, db, signer)
		}
		if r := verify(t, db, verifier); !r.OK() || r.Sequenced != int64(next) {
			rt.Errorf("%+v", r)
		}
	})
}

func BenchmarkSequence(b *testing.B) {
	signer, verifier := keys(b)
	db, err := store.Open(ctx, "sqlite:"+b.TempDir()+"/test.db")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	add(b, db, 0, b.N)
	b.ResetTimer()
	sequence(b, db, signer)
	b.StopTimer()
	if r := verify(b, db, verifier); !r.OK() {
		b.Error(r.Problems[0])
	}
}
