package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"

	"zombiezen.com/go/sqlite"
)

// lite is a connection to a SQLite file. Statements are parsed once, and what a
// query gives is read where it lies: database/sql would ask for the names and
// types of all columns with every query, which costs more than finding a row.
type lite struct {
	conn       *sqlite.Conn
	statements map[string]*sqlite.Stmt // by the text of the query
}

// openLite opens the file at path, which exists, with the settings given.
func openLite(path string, settings ...string) (*lite, error) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(busyTimeout)
	l := &lite{conn: c, statements: map[string]*sqlite.Stmt{}}
	for _, s := range settings {
		if _, err := l.exec(context.Background(), "PRAGMA "+s, nil); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// busyTimeout is how long a connection waits for another process.
const busyTimeout = 10 * time.Second

func (l *lite) alone() bool { return true }

func (l *lite) flush(context.Context) error { return nil }

func (l *lite) later(ctx context.Context, query string, rows int64, args []any) error {
	n, err := l.exec(ctx, query, args)
	if err == nil && rows >= 0 && n != rows {
		err = ErrMissed
	}
	return err
}

func (l *lite) exec(ctx context.Context, query string, args []any) (rows int64, err error) {
	c, err := l.bound(ctx, query, args)
	if err != nil {
		return 0, err
	}
	for c.Next() {
		// What RETURNING gives, nobody asked for.
	}
	rows = int64(l.conn.Changes())
	c.Close()
	return rows, c.err
}

func (l *lite) query(ctx context.Context, query string, args []any) (cursor, error) {
	c, err := l.bound(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// bound is a statement with its arguments, about to run.
func (l *lite) bound(ctx context.Context, query string, args []any) (*liteRows, error) {
	s := l.statements[query]
	if s == nil {
		var err error
		// SQLite takes $1 for a name, and ?1 for the first argument.
		if s, err = l.conn.Prepare(placeholder.ReplaceAllStringFunc(query, func(p string) string { return "?" + p[1:] })); err != nil {
			return nil, err
		}
		l.statements[query] = s
	}
	c := &liteRows{ctx: ctx, stmt: s}
	if n := s.BindParamCount(); n != len(args) {
		return nil, fmt.Errorf("store: %d arguments for a query with %d: %s", len(args), n, query)
	}
	for i, a := range args {
		if err := bind(s, i+1, a); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func bind(s *sqlite.Stmt, i int, arg any) error {
	switch a := arg.(type) {
	case string:
		s.BindText(i, a)
	case int64:
		s.BindInt64(i, a)
	case int:
		s.BindInt64(i, int64(a))
	case []byte:
		if a == nil {
			s.BindNull(i)
			return nil
		}
		s.BindBytes(i, a)
	case nil:
		s.BindNull(i)
	case sql.NullString:
		if !a.Valid {
			s.BindNull(i)
			return nil
		}
		s.BindText(i, a.String)
	default:
		switch v := reflect.ValueOf(arg); v.Kind() {
		case reflect.String:
			s.BindText(i, v.String())
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			s.BindInt64(i, v.Int())
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			n := v.Uint()
			if n > 1<<63-1 {
				return fmt.Errorf("store: %d is too large for a column", n)
			}
			s.BindInt64(i, int64(n))
		default:
			return fmt.Errorf("store: no column takes a %T", arg)
		}
	}
	return nil
}

func (l *lite) close() error { return l.conn.Close() }

// liteRows is the rows of a statement that runs.
type liteRows struct {
	ctx  context.Context
	stmt *sqlite.Stmt
	err  error
}

func (r *liteRows) Next() bool {
	// Asked between two rows: a query that gives many ends with its caller.
	if r.err = r.ctx.Err(); r.err != nil {
		return false
	}
	row, err := r.stmt.Step()
	r.err = err
	return row
}

func (r *liteRows) Err() error { return r.err }

// Close makes the statement ready for its next run.
func (r *liteRows) Close() {
	if err := r.stmt.Reset(); r.err == nil {
		r.err = err
	}
	if err := r.stmt.ClearBindings(); r.err == nil {
		r.err = err
	}
}

func (r *liteRows) Scan(dest ...any) error {
	if n := r.stmt.ColumnCount(); n != len(dest) {
		return fmt.Errorf("store: %d places for %d columns", len(dest), n)
	}
	for i, d := range dest {
		if err := scanColumn(r.stmt, i, d); err != nil {
			return fmt.Errorf("store: column %d: %w", i, err)
		}
	}
	return nil
}

func scanColumn(s *sqlite.Stmt, i int, dest any) error {
	kind := s.ColumnType(i)
	switch d := dest.(type) {
	case *[]byte:
		*d = nil
		if kind != sqlite.TypeNull {
			*d = make([]byte, s.ColumnLen(i))
			s.ColumnBytes(i, *d)
		}
		return nil
	case *sql.NullString:
		if d.Valid = kind != sqlite.TypeNull; d.Valid {
			d.String = s.ColumnText(i)
		} else {
			d.String = ""
		}
		return nil
	case *sql.NullInt64:
		if d.Valid = kind != sqlite.TypeNull; !d.Valid {
			d.Int64 = 0
			return nil
		}
		return scanColumn(s, i, &d.Int64)
	}
	if kind == sqlite.TypeNull {
		return fmt.Errorf("it is NULL, which a %T cannot be", dest)
	}
	switch d := dest.(type) {
	case *string:
		*d = s.ColumnText(i)
		return nil
	case *int64:
		if kind == sqlite.TypeInteger {
			*d = s.ColumnInt64(i)
			return nil
		}
	default:
		return scanKind(s, i, kind, reflect.ValueOf(dest).Elem())
	}
	return fmt.Errorf("it is no integer")
}

// scanKind is scanColumn for types that are strings, numbers or bytes underneath.
func scanKind(s *sqlite.Stmt, i int, kind sqlite.ColumnType, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s.ColumnText(i))
		return nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, s.ColumnLen(i))
			s.ColumnBytes(i, b)
			v.SetBytes(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := s.ColumnInt64(i); kind == sqlite.TypeInteger && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := s.ColumnInt64(i); kind == sqlite.TypeInteger && n >= 0 && !v.OverflowUint(uint64(n)) {
			v.SetUint(uint64(n))
			return nil
		}
	}
	return fmt.Errorf("it does not fit a %s", v.Type())
}
