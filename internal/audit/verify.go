package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licet/internal/store"
)

// pageSize is how many rows Verify reads at once.
const pageSize = 500

// Report is what Verify found.
type Report struct {
	Sequenced   int64 // events the log holds
	Tail        int64 // events that are not yet in the log
	Checkpoints int64 // checkpoints that were checked, those from outside included
	Problems    []Problem
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Problem is one thing that does not fit.
type Problem struct {
	Event    string // id of the event, or "" where no row is left to name it
	Sequence int64  // its place in the log, or -1
	What     string // what is wrong, for people
}

// String names the event or the place, and what is wrong.
func (p Problem) String() string {
	switch {
	case p.Event != "":
		return fmt.Sprintf("event %s: %s", p.Event, p.What)
	case p.Sequence >= 0:
		return fmt.Sprintf("place %d of the log: %s", p.Sequence, p.What)
	}
	return p.What
}

// Verify checks the whole log on one snapshot: every event against its leaf, the
// places without a gap, every stored hash against those below it, and every
// checkpoint, stored or handed in as outside, against the tree and the
// verifier's key. The error tells only that the check could not be made.
//
// What it cannot find: an event that was deleted, or inserted with its right
// leaf, while it was not yet in the log (Report.Tail counts those); and a log
// that was cut back to an older checkpoint together with everything newer.
// Against the second, keep checkpoints elsewhere and hand them in as outside.
//
// It computes the tree itself, without what Sequence uses. Memory does not grow
// with the log.
func Verify(ctx context.Context, db *store.DB, verifier note.Verifier, outside ...[]byte) (Report, error) {
	var report Report
	err := db.Read(ctx, func(tx *store.Tx) error {
		v := &verification{tx: tx, verifier: verifier}
		err := v.run(outside)
		report = v.report
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("audit: verify: %w", err)
	}
	return report, nil
}

// verification is one run of Verify.
type verification struct {
	tx       *store.Tx
	verifier note.Verifier
	report   Report
	size     int64 // places of the log, as the database says
	tree     frontier
	diverged bool // a checkpoint did not fit; no later one can
}

func (v *verification) problem(event string, sequence int64, format string, args ...any) {
	v.report.Problems = append(v.report.Problems, Problem{event, sequence, fmt.Sprintf(format, args...)})
}

func (v *verification) run(outside [][]byte) (err error) {
	if v.size, err = v.tx.AuditSize(); err != nil {
		return err
	}
	v.report.Sequenced = v.size
	if err := v.log(v.foreign(outside)); err != nil {
		return err
	}
	return v.tail()
}

// foreign gives the checkpoints from outside in the order of their sizes.
func (v *verification) foreign(notes [][]byte) []store.Checkpoint {
	var list []store.Checkpoint
	for _, signed := range notes {
		size, _, err := openCheckpoint(signed, v.verifier)
		if err != nil {
			v.report.Checkpoints++
			v.problem("", -1, "a checkpoint from outside does not open: %v", err)
			continue
		}
		list = append(list, store.Checkpoint{Size: size, Note: signed})
	}
	slices.SortFunc(list, func(a, b store.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	return list
}

// log walks through the places of the log in order, with the events, the hashes
// and the checkpoints beside it.
func (v *verification) log(foreign []store.Checkpoint) error {
	events := newStream(func(last *store.Event) ([]store.Event, error) {
		if last == nil {
			return v.tx.LogEvents(0, "", pageSize)
		}
		return v.tx.LogEvents(last.Sequence, last.ID, pageSize)
	})
	hashes := newStream(func(last *store.StoredHash) ([]store.StoredHash, error) {
		if last == nil {
			return v.tx.AuditHashes(0, pageSize)
		}
		return v.tx.AuditHashes(last.Position+1, pageSize)
	})
	checkpoints := newStream(func(last *store.Checkpoint) ([]store.Checkpoint, error) {
		if last == nil {
			return v.tx.Checkpoints(-1, pageSize)
		}
		return v.tx.Checkpoints(last.Size, pageSize)
	})
	var newest int64
	for n := int64(0); ; n++ {
		for c := checkpoints.peek(); c != nil && c.Size <= n; c = checkpoints.peek() {
			v.checkpoint(*c)
			newest = c.Size
			checkpoints.next()
		}
		for len(foreign) > 0 && foreign[0].Size <= n {
			v.checkpoint(foreign[0])
			foreign = foreign[1:]
		}
		if n >= v.size || events.err != nil || hashes.err != nil || checkpoints.err != nil {
			break
		}
		v.place(n, events, hashes)
	}
	for e := events.peek(); e != nil; e = events.peek() {
		v.problem(e.ID, e.Sequence, "stands at place %d, but the log holds %d events: it was inserted, or the log was cut", e.Sequence, v.size)
		events.next()
	}
	for c := checkpoints.peek(); c != nil; c = checkpoints.peek() {
		foreign = append(foreign, *c)
		checkpoints.next()
	}
	for _, c := range foreign {
		v.report.Checkpoints++
		v.problem("", -1, "there is a checkpoint of %d events, but the log holds %d: events were cut off", c.Size, v.size)
	}
	if hashes.peek() != nil {
		v.problem("", -1, "there are more stored hashes than those of %d events", v.size)
	}
	if newest < v.size {
		v.problem("", -1, "no checkpoint covers the last events: the log holds %d, the newest stored checkpoint %d", v.size, newest)
	}
	return cmp.Or(events.err, hashes.err, checkpoints.err)
}

// place checks place n of the log: its event and its stored hashes.
func (v *verification) place(n int64, events *stream[store.Event], hashes *stream[store.StoredHash]) {
	for e := events.peek(); e != nil && e.Sequence < n; e = events.peek() {
		v.problem(e.ID, e.Sequence, "stands at a place that another event has: one of the two was inserted or moved")
		events.next()
	}
	event := events.peek()
	if event != nil && event.Sequence > n {
		event = nil
	}

	position := tlog.StoredHashIndex(0, n)
	stored := take(hashes, position)
	var leaf tlog.Hash
	switch {
	case stored != nil:
		leaf = stored.Hash
	case event != nil:
		leaf = event.LeafHash()
		v.problem(event.ID, n, "the log's hash of it, stored hash %d, is missing", position)
	default:
		v.problem("", n, "the log's hash of it, stored hash %d, is missing", position)
	}
	switch {
	case event == nil:
		v.problem("", n, "the event is missing: it was deleted; its leaf is %s", leaf)
	case event.LeafHash() != leaf:
		v.problem(event.ID, n, "the row is not what the log holds: it was changed, or the log's hash of it was")
	case !bytes.Equal(event.Leaf, leaf[:]):
		v.problem(event.ID, n, "the leaf stored with the event is not that of the log")
	}
	if event != nil {
		events.next()
	}
	for _, h := range v.tree.append(leaf) {
		position++
		switch stored := take(hashes, position); {
		case stored == nil:
			v.problem("", n, "stored hash %d is missing", position)
		case stored.Hash != h:
			v.problem("", n, "stored hash %d does not follow from those below it", position)
		}
	}
}

// take gives the stored hash of a position, or nil. Positions are asked for in
// order.
func take(hashes *stream[store.StoredHash], position int64) *store.StoredHash {
	h := hashes.peek()
	if h == nil || h.Position != position {
		return nil
	}
	hashes.next()
	return h
}

// checkpoint checks one against the tree, which holds as many events.
func (v *verification) checkpoint(c store.Checkpoint) {
	v.report.Checkpoints++
	size, root, err := openCheckpoint(c.Note, v.verifier)
	switch {
	case err != nil:
		v.problem("", -1, "the checkpoint of %d events does not open: %v", c.Size, err)
	case size != c.Size:
		v.problem("", -1, "the checkpoint of %d events is signed for %d", c.Size, size)
	case root != v.tree.root() && !v.diverged:
		v.diverged = true
		v.problem("", -1, "the first %d events are not those of their checkpoint; later checkpoints cannot tell more", c.Size)
	}
}

// tail checks the events that are not yet in the log.
func (v *verification) tail() error {
	events := newStream(func(last *store.Event) ([]store.Event, error) {
		if last == nil {
			return v.tx.EventTail("", pageSize)
		}
		return v.tx.EventTail(last.ID, pageSize)
	})
	for e := events.peek(); e != nil; e = events.peek() {
		v.report.Tail++
		if leaf := e.LeafHash(); !bytes.Equal(e.Leaf, leaf[:]) {
			v.problem(e.ID, -1, "not yet in the log, and the row does not fit its leaf: it was changed or inserted")
		}
		events.next()
	}
	return events.err
}

// frontier is a Merkle tree of RFC 6962, of which only the roots of its perfect
// subtrees are kept, the largest first.
type frontier struct {
	size  int64
	roots []tlog.Hash
}

// append adds a leaf and gives the inner hashes that it completes, from below.
func (f *frontier) append(leaf tlog.Hash) (inner []tlog.Hash) {
	h := leaf
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
		inner = append(inner, h)
	}
	f.roots = append(f.roots, h)
	f.size++
	return inner
}

// root is the hash of the whole tree.
func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // the hash of nothing; it reads nothing
		return h
	}
	last := len(f.roots) - 1
	h := f.roots[last]
	for _, left := range slices.Backward(f.roots[:last]) {
		h = tlog.NodeHash(left, h)
	}
	return h
}

// stream gives the rows of a paged query one by one. The first error ends it.
type stream[T any] struct {
	load func(last *T) ([]T, error) // the page after last; nil asks for the first
	page []T
	last *T
	done bool
	err  error
}

func newStream[T any](load func(last *T) ([]T, error)) *stream[T] {
	return &stream[T]{load: load}
}

// peek is the current row, or nil at the end.
func (s *stream[T]) peek() *T {
	if len(s.page) == 0 && !s.done {
		s.page, s.err = s.load(s.last)
		s.done = len(s.page) == 0 || s.err != nil
	}
	if s.done {
		return nil
	}
	return &s.page[0]
}

// next goes on to the row after the current one.
func (s *stream[T]) next() {
	if row := s.peek(); row != nil {
		s.last, s.page = row, s.page[1:]
	}
}
