package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// maxStatements is how many parsed statements a SQLite connection keeps. It is
// far above the number of query texts in this package.
const maxStatements = 512

// conn is one connection, used by one goroutine at a time.
type conn struct {
	*sql.Conn

	// statements holds parsed statements (query → statement). It is nil on
	// PostgreSQL, whose driver keeps them itself.
	statements map[string]*sql.Stmt

	events eventBuffer
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.ExecContext(ctx, query, args...)
	}
	return s.ExecContext(ctx, args...)
}

func (c *conn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.QueryContext(ctx, query, args...)
	}
	return s.QueryContext(ctx, args...)
}

// statement gives the parsed query, or nil where none is kept.
func (c *conn) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if c.statements == nil {
		return nil, nil
	}
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	if len(c.statements) >= maxStatements {
		return nil, nil
	}
	s, err := c.PrepareContext(ctx, unnamed(query))
	if err != nil {
		return nil, err
	}
	c.statements[query] = s
	return s, nil
}

// unnamed writes $1, $2, … as ?, where each occurs once and in order: SQLite
// takes $1 for a name, and its driver searches the names for each value of each
// call.
func unnamed(query string) string {
	for i, p := range placeholder.FindAllString(query, -1) {
		if p != "$"+strconv.Itoa(i+1) {
			return query
		}
	}
	return placeholder.ReplaceAllString(query, "?")
}

// close gives the connection and its statements back.
func (c *conn) close() error {
	for _, s := range c.statements {
		s.Close()
	}
	return c.Conn.Close()
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
}

// Context is the context of the Read or Write that tx belongs to.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Exec runs a statement and says how many rows it changed. A violated unique key
// gives ErrConflict.
func (tx *Tx) Exec(query string, args ...any) (rows int64, err error) {
	if err := tx.ready(); err != nil {
		return 0, err
	}
	tx.changed = true
	result, err := tx.conn.exec(tx.statement, query, args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	return result.RowsAffected()
}

// Query runs a query. Its rows are read to the end, or closed, before the next
// statement of tx.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	if err := tx.ready(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(query, "select") && !strings.HasPrefix(query, "SELECT") {
		tx.changed = true
	}
	rows, err := tx.conn.query(tx.statement, query, args...)
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.open = &Rows{tx: tx, rows: rows}
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
// writes to SQLite is alone from its beginning, so there reading is enough.
func (tx *Tx) lock(lock, read string, key any) *Row {
	if tx.conn.statements != nil {
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
	}
	if err := tx.ctx.Err(); err != nil {
		return tx.fail(err)
	}
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
	tx   *Tx
	rows *sql.Rows
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
	err := r.rows.Close()
	if r.tx.open == r {
		r.tx.open = nil
	}
	if rerr := r.rows.Err(); rerr != nil {
		err = rerr
	}
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
