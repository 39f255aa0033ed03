package store

import (
	"context"
	"errors"
)

// link is a connection of one engine, used by one goroutine at a time.
type link interface {
	// exec runs a statement and says how many rows it changed.
	exec(ctx context.Context, query string, args []any) (rows int64, err error)
	// query runs a query. Its rows are closed before the next statement.
	query(ctx context.Context, query string, args []any) (cursor, error)
	// later runs a statement not later than the next exec, query or flush, which
	// then gives its error. It must change so many rows, any number if negative.
	// What it is given must not change until then.
	later(ctx context.Context, query string, rows int64, args []any) error
	// flush runs what waits.
	flush(ctx context.Context) error
	// alone reports whether a transaction that writes has the database to itself
	// from its beginning.
	alone() bool
}

// cursor is the rows of a query, as pgx has it.
type cursor interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// ErrMissed says that a row which the transaction has locked, or made, was not
// there to be changed. It must not look like the answer to a question: but for
// InsertStep it is a fault.
var ErrMissed = errors.New("store: a statement did not change the rows that it is about")

// conn is a connection with the events that wait in it, and what it has written since
// the last commit, if that goes to a journal.
type conn struct {
	link
	events  eventBuffer
	journal *recorder
}

// Tx is a transaction while its function runs. It belongs to that function's
// goroutine.
type Tx struct {
	ctx       context.Context // the caller's: looked at before each statement
	statement context.Context // what statements run under
	conn      *conn

	open  *Rows // of the last query, until closed
	err   error // of the first statement that failed
	ended bool

	changed bool // a statement ran that may change something

	alone, spent bool // there is no transaction around it, for one query; that was run
}

// Context is the context of the Read or Write that tx belongs to.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Exec runs a statement and says how many rows it changed. A violated unique key
// gives ErrConflict.
func (tx *Tx) Exec(query string, args ...any) (rows int64, err error) {
	if err := tx.writable(); err != nil {
		return 0, err
	}
	if rows, err = tx.conn.exec(tx.statement, query, args); err != nil {
		return 0, tx.fail(err)
	}
	return rows, nil
}

// later is Exec for a statement whose outcome nobody needs before the commit: it
// changes so many rows, or the transaction fails. PostgreSQL gets it together
// with the next statement, without a wait of its own.
func (tx *Tx) later(query string, rows int64, args ...any) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if err := tx.conn.later(tx.statement, query, rows, args); err != nil {
		return tx.fail(err)
	}
	return nil
}

// finish runs what waits, before the commit.
func (tx *Tx) finish() error {
	if err := tx.writeEvents(); err != nil {
		return err
	}
	if err := tx.conn.journalled(tx.statement); err != nil {
		return tx.fail(err)
	}
	if err := tx.conn.flush(tx.statement); err != nil {
		return tx.fail(err)
	}
	return nil
}

// Query runs a query. Its rows are read to the end, or closed, before the next
// statement of tx.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	if err := tx.ready(); err != nil {
		return nil, err
	}
	if !isSelect(query) {
		if tx.alone {
			return nil, tx.fail(errOnlyOne)
		}
		tx.changed = true
	}
	rows, err := tx.conn.query(tx.statement, query, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.open, tx.spent = &Rows{tx: tx, rows: rows}, tx.alone
	return tx.open, nil
}

// QueryRow runs a query of which only the first row counts.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	rows, err := tx.Query(query, args...)
	return &Row{rows: rows, err: err}
}

// Touch bumps the version of one row, which every write transaction does first
// to the row it decides about. The table has a column version BIGINT; table and
// keyColumn are constants in code, never input. ErrNotFound means that there is
// no such row.
func (tx *Tx) Touch(table, keyColumn string, key any) error {
	n, err := tx.Exec("UPDATE "+table+" SET version = version + 1 WHERE "+keyColumn+" = $1", key)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// lock locks a row until the transaction ends and gives it. A transaction that
// is alone from its beginning only needs to read it.
func (tx *Tx) lock(lock, read string, key any) *Row {
	if tx.conn.alone() {
		lock = read
	}
	return tx.QueryRow(lock, key)
}

// ready says whether tx can take another statement.
func (tx *Tx) ready() error {
	switch {
	case tx.ended:
		return errTxEnded
	case tx.err != nil:
		return tx.err
	case tx.open != nil:
		return tx.fail(errRowsOpen)
	case tx.spent:
		return tx.fail(errOnlyOne)
	}
	if err := tx.ctx.Err(); err != nil {
		return tx.fail(err)
	}
	return nil
}

// writable says whether tx can take a statement that changes something.
func (tx *Tx) writable() error {
	if err := tx.ready(); err != nil {
		return err
	}
	if tx.alone {
		return tx.fail(errOnlyOne)
	}
	tx.changed = true
	return nil
}

// fail notes the error that ends tx.
func (tx *Tx) fail(err error) error {
	tx.err = classify(err)
	return tx.err
}

// end closes what fn left open, and joins its outcome with that of its
// statements: nil means that tx may be committed.
func (tx *Tx) end(err error) error {
	if tx.open != nil {
		tx.open.Close()
	}
	tx.ended = true
	if err == nil {
		err = tx.err
	}
	return err
}

// Rows is the result of a query.
type Rows struct {
	tx     *Tx
	rows   cursor
	closed bool
}

// Next moves to the next row. At the end, or on an error, it closes the rows and
// gives false; Err tells which.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Scan copies the columns of the row into dest.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err is the error that ended the rows, or nil at their end.
func (r *Rows) Err() error { return classify(r.rows.Err()) }

// Close ends the rows early. It may be called again.
func (r *Rows) Close() error {
	if !r.closed {
		r.closed = true
		r.rows.Close()
	}
	if r.tx.open == r {
		r.tx.open = nil
	}
	err := r.rows.Err()
	if err != nil && r.tx.err == nil {
		r.tx.fail(err)
	}
	return classify(err)
}

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the columns into dest. ErrNotFound means that there was no row.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// collect runs a query and gives its rows, each made by scan, which is the one
// place that knows the columns of a table. It is called with the Scan of the row.
func collect[T any](tx *Tx, scan func(scan func(dest ...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
