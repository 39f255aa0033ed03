package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBatch is how many transactions share one commit at most.
	maxBatch = 128

	// maxBatchTime ends a batch, so that its first transaction does not wait for
	// many slow ones behind it.
	maxBatchTime = 20 * time.Millisecond
)

// errUndone is what a transaction gets when SQLite dropped the batch it was in,
// for instance because the disk is full.
var errUndone = errors.New("store: rolled back together with the transactions beside it")

// writer is the one writer of a SQLite file, with group commit: transactions
// that wait together run one after the other inside one transaction of the
// engine, and share one commit, which is one fsync. Nearly always all of them
// succeed. When one fails that has changed something, all that ran are run again,
// each in a savepoint of its own.
//
// The functions of transactions run on the writer's goroutine, so that nobody has
// to be woken up for each: its stack has grown as far as SQLite needs, and what one
// of them read is at hand for the next. A panic goes on in its caller.
type writer struct {
	queue   chan *job
	stopped chan struct{} // closed when the goroutine has ended

	mu     sync.RWMutex // read-locked while a job is put into the queue
	closed bool

	// Owned by the goroutine, and after its end by close.
	conn *conn
	ran  []*job // of the group that is carried out now

	// failed is set for good when the disk failed during a commit: what the
	// file then holds is known only after it was opened again.
	failed error
}

// job is one waiting transaction. A job is taken either by the writer, which
// then runs it, or by its caller, who then gives it up.
type job struct {
	ctx   context.Context
	fn    func(*Tx) error
	taken atomic.Bool
	done  chan error // the transaction's outcome

	// The writer's, until it is done.
	err      error     // own outcome until the commit
	changed  bool      // it may have changed the database
	panicked *panicked // it did not return, but panicked
	exited   bool      // it did not return, but ended the goroutine, as tests do
}

// errLeft is the outcome of a function that did not return.
var errLeft = errors.New("store: the function of the transaction did not return")

// panicked is a panic on its way from the writer to its caller.
type panicked struct {
	value any
	stack []byte // where it happened
}

func (p *panicked) Error() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

func startWriter(c *conn) *writer {
	w := &writer{queue: make(chan *job, maxBatch), stopped: make(chan struct{}), conn: c}
	go w.run()
	return w
}

// write runs fn as one transaction and waits for its commit.
func (w *writer) write(ctx context.Context, fn func(*Tx) error) error {
	j := &job{ctx: ctx, fn: fn, done: make(chan error, 1)}
	if err := w.enqueue(j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return j.outcome(err)
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return j.outcome(<-j.done)
	}
}

// outcome goes on with what the function did, on its caller's goroutine.
func (j *job) outcome(err error) error {
	switch {
	case j.panicked != nil:
		panic(j.panicked)
	case j.exited:
		runtime.Goexit()
	}
	return err
}

func (w *writer) enqueue(j *job) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.queue <- j:
		return nil
	case <-j.ctx.Done():
		return j.ctx.Err()
	}
}

// close lets the waiting transactions finish. The connection is idle then.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.stopped
}

func (w *writer) run() {
	ended := false
	defer func() {
		if !ended {
			go w.run() // a function has ended this goroutine
		}
	}()
	if len(w.ran) > 0 { // the group in which that was
		w.finish(w.again())
	}
	for j := range w.queue {
		w.batch(j)
	}
	ended = true
	close(w.stopped)
}

// batch runs first and those that wait behind it, and commits them together.
func (w *writer) batch(first *job) {
	if err := w.begin(); err != nil {
		// All that wait would fail the same way, one busy timeout after the other.
		refuse(first, err)
		for range len(w.queue) {
			refuse(<-w.queue, err)
		}
		return
	}
	start := time.Now()
	var broken error
	careful := false
	for j := first; j != nil; j = w.next() {
		if j.taken.CompareAndSwap(false, true) {
			w.ran = append(w.ran, j)
			broken = w.one(j, careful)
			if broken == nil && j.err != nil && j.changed && !careful {
				careful = true
				broken = w.again()
			}
		}
		if broken != nil || len(w.ran) == maxBatch || time.Since(start) > maxBatchTime {
			break
		}
	}
	w.finish(broken)
}

// refuse answers a job that was not run.
func refuse(j *job, err error) {
	if j.taken.CompareAndSwap(false, true) {
		j.done <- err
	}
}

// next takes a job that already waits, or nil.
func (w *writer) next() *job {
	for range 2 {
		select {
		case j := <-w.queue: // nil once the queue is closed and empty
			return j
		default:
			// Let callers that were just answered come back first.
			runtime.Gosched()
		}
	}
	return nil
}

// one runs j, if careful in a savepoint, and notes its outcome. It gives an error
// when the whole batch is lost.
func (w *writer) one(j *job, careful bool) (broken error) {
	if careful {
		if err := w.exec("SAVEPOINT one"); err != nil {
			return err
		}
	}
	// A statement that is interrupted would make SQLite roll back the whole
	// batch, so statements run to their end whatever becomes of the caller.
	tx := &Tx{ctx: j.ctx, statement: context.WithoutCancel(j.ctx), conn: w.conn}
	waiting, written := w.conn.events.mark()
	kept := w.conn.journal.mark()
	j.run(tx)
	if j.err != nil {
		w.conn.events.back(waiting, written)
		w.conn.journal.back(kept)
		if careful {
			if err := w.exec("ROLLBACK TO one"); err != nil {
				return err
			}
		}
	}
	if careful {
		return w.exec("RELEASE one")
	}
	return nil
}

// run runs the function of j and notes its outcome.
func (j *job) run(tx *Tx) {
	err, returned := errLeft, false
	defer func() {
		if !returned {
			if value := recover(); value != nil {
				j.panicked = &panicked{value, debug.Stack()}
			} else {
				j.exited = true
			}
		}
		j.err = tx.end(err)
		j.changed = tx.changed || tx.err != nil
	}()
	if ended := j.ctx.Err(); ended != nil {
		err = ended
	} else {
		err = j.fn(tx)
	}
	returned = true
}

// again undoes the batch and runs its jobs again, the last one too: what it
// decided on was never committed.
func (w *writer) again() (broken error) {
	w.exec("ROLLBACK") // SQLite itself may have done so
	w.conn.events.back(0, 0)
	w.conn.journal.back(0)
	if err := w.begin(); err != nil {
		return err
	}
	for _, j := range w.ran {
		if j.panicked != nil || j.exited {
			continue // once is enough
		}
		if err := w.one(j, true); err != nil {
			return err
		}
	}
	return nil
}

// finish commits the batch and answers everybody in it, also those whose own
// function failed: what they read may have been written beside them, so their
// answer holds only when that is committed.
func (w *writer) finish(broken error) {
	good := anyGood(w.ran)
	if broken == nil && good {
		// All their events at once.
		broken = classify(w.conn.writeEvents(context.Background()))
	}
	if broken == nil && good {
		broken = w.conn.journalled(context.Background())
	}
	var shared error
	switch {
	case broken != nil:
		shared = fmt.Errorf("%w: %w", errUndone, broken)
		w.exec("ROLLBACK")
	case !good:
		w.exec("ROLLBACK")
	default:
		shared = w.commit()
	}
	w.conn.events.back(0, 0)
	w.conn.journal.back(0)
	for _, j := range w.ran {
		if shared != nil {
			j.err = shared
		}
		j.done <- j.err
	}
	clear(w.ran)
	w.ran = w.ran[:0]
}

func anyGood(ran []*job) bool {
	for _, j := range ran {
		if j.err == nil {
			return true
		}
	}
	return false
}

func (w *writer) begin() error {
	if w.failed != nil {
		return w.failed
	}
	err := w.exec("BEGIN IMMEDIATE")
	if isBusy(err) {
		err = fmt.Errorf("store: another process holds the database's write lock: %w", err)
	}
	return err
}

func (w *writer) commit() error {
	err := w.exec("COMMIT")
	if err == nil {
		return nil
	}
	w.exec("ROLLBACK")
	if isDiskError(err) {
		w.failed = fmt.Errorf("store: the disk failed during a commit, nothing more is written until the database is opened again: %w", err)
		err = fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	return err
}

func (w *writer) exec(statement string) error {
	_, err := w.conn.link.exec(context.Background(), statement, nil)
	return err
}
