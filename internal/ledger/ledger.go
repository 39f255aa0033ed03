// Package ledger keeps records that must be durable before they are answered: an
// append-only file, laid out before it is needed and synced in groups. Whoever
// waits for a sync shares it with all who came meanwhile.
//
// A ledger is followed by a chain of hashes. Whoever remembers a Point of it
// elsewhere notices a file that is missing, put back or changed (Open).
//
// When the file has grown, Compact replaces it by one that begins with a snapshot;
// the chain goes on.
package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"licet/internal/durable"
)

// Options of a ledger.
type Options[T any] struct {
	Disk *durable.Disk
	// Grow is by how much the file is laid out ahead; 4 MiB if 0.
	Grow int64
	// Begin, if set, is called for each group before it is written, with the items of
	// those who wait for it. What it returns is written as one more record, unless it
	// is empty. Finish, if not nil, runs while the group is synced; nobody is answered
	// before it has returned.
	Begin func(group []T) (record []byte, finish func())
	// Carry, if set, gives one more record for the start of a new file: what the records
	// of Begin amount to.
	Carry func() []byte
}

// Ledger is an open ledger. Its methods may be called at the same time.
type Ledger[T any] struct {
	dir  *os.Root
	name string
	opts Options[T]
	file *durable.InPlace

	mu       sync.Mutex
	wake     sync.Cond // work is there, or the end
	next     *Group    // what the next sync will make durable; nil for nothing
	items    []T       // of next
	content  []byte    // of next
	spare    []byte
	flying   *Group
	snapshot *[][]byte // to begin a new file with, before next
	closed   bool
	failed   error // once it failed nothing is written any more
	end      Point // after what is durable
	at       int64 // where end is in the file
	base     int64 // size of the snapshot at its start

	frame   []byte // the worker's
	stopped chan struct{}
}

// Group is records that become durable together.
type Group struct {
	done chan struct{}
	err  error
}

// Wait waits until the group is durable. An error means that it may be or not.
func (g *Group) Wait() error {
	if g == nil {
		return nil
	}
	<-g.done
	return g.err
}

// ErrClosed says that the ledger is closed.
var ErrClosed = errors.New("ledger: closed")

const defaultGrow = 4 << 20

// Create makes a new ledger under name with records in it, in place of what was
// there.
func Create[T any](dir *os.Root, name string, random io.Reader, opts Options[T], records [][]byte) (*Ledger[T], error) {
	var base Point
	if _, err := io.ReadFull(random, base.Identity[:]); err != nil {
		return nil, fmt.Errorf("ledger: draw an identity: %w", err)
	}
	l := prepare(dir, name, opts)
	if err := l.rewrite(base, records); err != nil {
		return nil, err
	}
	go l.work()
	return l, nil
}

// Open reads a ledger and gives each of its records to replay, in order. Known is
// what is remembered of it elsewhere, the zero value for nothing. What is read is
// durable when Open returns.
func Open[T any](dir *os.Root, name string, opts Options[T], known Point, replay func(record []byte) error) (*Ledger[T], error) {
	l := prepare(dir, name, opts)
	file, err := opts.Disk.OpenInPlace(dir, name)
	if err != nil {
		return nil, err
	}
	l.file = file
	if err := l.read(known, replay); err != nil {
		file.Close()
		return nil, err
	}
	go l.work()
	return l, nil
}

func prepare[T any](dir *os.Root, name string, opts Options[T]) *Ledger[T] {
	if opts.Grow <= 0 {
		opts.Grow = defaultGrow
	}
	l := &Ledger[T]{dir: dir, name: name, opts: opts, stopped: make(chan struct{})}
	l.wake.L = &l.mu
	return l
}

func (l *Ledger[T]) read(known Point, replay func([]byte) error) error {
	data, err := l.file.ReadAll(1 << 33)
	if err != nil {
		return err
	}
	if l.end, l.at, err = scan(data, known, replay); err != nil {
		return err
	}
	// A group that a crash cut off was never answered. What is left of it goes, so
	// that it cannot be taken for a part of a later one.
	rest := data[l.at:]
	for len(rest) > 0 && rest[len(rest)-1] == 0 {
		rest = rest[:len(rest)-1]
	}
	if len(rest) > 0 {
		clear(rest)
		if err := l.file.WriteAt(rest, l.at); err != nil {
			return err
		}
	}
	// A program that died may have left a group that is written and not synced.
	return l.file.Sync()
}

// Append adds records to the group that is collected, in the order of the calls, and
// the item for Begin. It does not wait.
func (l *Ledger[T]) Append(item T, records ...[]byte) *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.refuses(); g != nil {
		return g
	}
	g := l.collect()
	l.items = append(l.items, item)
	for _, r := range records {
		l.content = appendRecord(l.content, r)
	}
	return g
}

// Note adds records for which nobody's item is to be prepared.
func (l *Ledger[T]) Note(records ...[]byte) *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.refuses(); g != nil {
		return g
	}
	g := l.collect()
	for _, r := range records {
		l.content = appendRecord(l.content, r)
	}
	return g
}

// Pending is the latest group that is not durable yet, nil where everything is.
func (l *Ledger[T]) Pending() *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		return l.refuses()
	case l.next != nil:
		return l.next
	}
	return l.flying
}

// Compact replaces the file by one that begins with records, which must amount to
// everything that was appended before this call.
func (l *Ledger[T]) Compact(records [][]byte) *Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.refuses(); g != nil {
		return g
	}
	g := l.collect()
	// What is collected up to now is in the snapshot, so it need not be written too.
	l.content = l.content[:0]
	l.snapshot = &records
	return g
}

func (l *Ledger[T]) collect() *Group {
	if l.next == nil {
		l.next = &Group{done: make(chan struct{})}
		l.wake.Signal()
	}
	return l.next
}

// refuses is a group that failed already, where nothing is written any more.
func (l *Ledger[T]) refuses() *Group {
	err := l.failed
	if err == nil && l.closed {
		err = ErrClosed
	}
	if err == nil {
		return nil
	}
	g := &Group{done: make(chan struct{}), err: err}
	close(g.done)
	return g
}

// End is the point up to which everything is durable.
func (l *Ledger[T]) End() Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Size is how long the file is, and how long its snapshot was.
func (l *Ledger[T]) Size() (now, snapshot int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.base
}

// Err is why nothing is written any more, nil while all is well.
func (l *Ledger[T]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Close makes durable what was appended and closes the file.
func (l *Ledger[T]) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.stopped
	return errors.Join(l.failed, l.file.Close())
}
