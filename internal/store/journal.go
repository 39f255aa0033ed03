package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"licet/internal/journal"
)

const (
	journalSelect = `select chain, follows, number, last, ended from journal`
	journalInsert = `insert into journal (chain, follows, number, last, before) values ($1, $2, 0, $3, $3)`
	journalDelete = `delete from journal`
	journalNext   = `update journal set number = number + 1, before = last, last = $1 where chain = $2 returning number, before`
	journalSet    = `update journal set number = $1, last = $2, before = $3`
	journalEnd    = `update journal set ended = 1`
)

// ErrJournal says that the second journal could not be written. Nothing was changed.
var ErrJournal = errors.New("store: the second journal cannot be written")

// ErrNoJournal says that the record has a second journal, and none was given; or the
// other way round.
var ErrNoJournal = errors.New("store: the record has a second journal, and it was opened without")

// recorder keeps what a connection writes, for the journal. A nil recorder keeps
// nothing.
type recorder struct {
	journal    *journal.Journal
	chain      string
	statements []journal.Statement
}

// mark is how much was kept until now; back drops what came after.
func (r *recorder) mark() int {
	if r == nil {
		return 0
	}
	return len(r.statements)
}

func (r *recorder) back(to int) {
	if r != nil {
		clear(r.statements[to:])
		r.statements = r.statements[:to]
	}
}

// keep keeps a statement that was run, or will be.
func (r *recorder) keep(query string, rows int64, args []any) error {
	if r == nil || isPassing(query) {
		return nil
	}
	if strings.Contains(query, rowNumber) {
		return fmt.Errorf("store: no journal takes a statement about numbers of rows, which are others elsewhere: %s", query)
	}
	s := journal.Statement{Text: query, Rows: rows, Args: make([]any, len(args))}
	for i, a := range args {
		var err error
		if s.Args[i], err = plain(a); err != nil {
			return err
		}
	}
	r.statements = append(r.statements, s)
	return nil
}

// isPassing reports whether a statement is about rows that no back-up has.
func isPassing(query string) bool {
	for _, table := range passing {
		for _, before := range []string{"insert into ", "update ", "delete from "} {
			if rest, is := strings.CutPrefix(query, before+table); is && (rest == "" || rest[0] == ' ') {
				return true
			}
		}
	}
	return false
}

// plain is an argument as a database has it: nil, int64, string or a copy of bytes.
func plain(arg any) (any, error) {
	switch a := arg.(type) {
	case nil, string, int64:
		return a, nil
	case []byte:
		if a == nil {
			return nil, nil
		}
		return append([]byte{}, a...), nil
	case sql.NullString:
		if !a.Valid {
			return nil, nil
		}
		return a.String, nil
	}
	switch v := reflect.ValueOf(arg); v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n <= 1<<63-1 {
			return int64(n), nil
		}
	}
	return nil, fmt.Errorf("store: no journal takes a %T", arg)
}

// exec, later and query run a statement and keep it if it changes something.
func (c *conn) exec(ctx context.Context, query string, args []any) (int64, error) {
	n, err := c.link.exec(ctx, query, args)
	if err == nil {
		err = c.journal.keep(query, n, args)
	}
	return n, err
}

func (c *conn) later(ctx context.Context, query string, rows int64, args []any) error {
	err := c.link.later(ctx, query, rows, args)
	if err == nil {
		err = c.journal.keep(query, rows, args)
	}
	return err
}

func (c *conn) query(ctx context.Context, query string, args []any) (cursor, error) {
	rows, err := c.link.query(ctx, query, args)
	if err == nil && !isSelect(query) {
		err = c.journal.keep(query, -1, args)
	}
	return rows, err
}

func isSelect(query string) bool {
	return strings.HasPrefix(query, "select") || strings.HasPrefix(query, "SELECT")
}

// journalled makes what was kept last in the journal, before the commit: the row of
// the journal is locked until then, so that frames have the order of the commits.
func (c *conn) journalled(ctx context.Context) error {
	r := c.journal
	if r == nil || len(r.statements) == 0 {
		return nil
	}
	f := journal.Frame{Statements: r.statements}
	f.Mark = r.journal.NewMark()
	rows, err := c.link.query(ctx, journalNext, []any{f.Mark[:], r.chain})
	if err != nil {
		return err
	}
	var before []byte
	found := rows.Next()
	if found {
		err = rows.Scan(&f.Number, &before)
	}
	rows.Close()
	switch err := errors.Join(err, rows.Err()); {
	case err != nil:
		return err
	case !found || len(before) != len(f.Before):
		return ErrNoJournal // another chain began meanwhile
	}
	f.Before = journal.Mark(before)
	if err := r.journal.Append(f); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	r.statements = nil
	return nil
}

// JournalRow is the journal as the record has it.
type JournalRow struct {
	Chain, Follows string
	journal.Point
	Ended bool // nothing is written any more
}

// Journal returns the journal of the record, ErrNotFound if it never had one.
func (tx *Tx) Journal() (j JournalRow, err error) {
	var last []byte
	var ended int64
	if err = tx.QueryRow(journalSelect).Scan(&j.Chain, &j.Follows, &j.Number, &last, &ended); err != nil {
		return j, err
	}
	j.Ended = ended != 0
	if len(last) != len(j.Mark) {
		return j, errors.New("store: the row of the journal does not read")
	}
	j.Mark = journal.Mark(last)
	return j, nil
}

// BeginJournal begins a chain of the journal, in place of the one that there may be.
// It belongs into a transaction that no journal keeps.
func (tx *Tx) BeginJournal(chain, follows string) error {
	if _, err := tx.Exec(journalDelete); err != nil {
		return err
	}
	_, err := tx.Exec(journalInsert, chain, follows, make([]byte, len(journal.Mark{})))
	return err
}

// EndJournal says that nothing is written to the journal after this transaction.
func (tx *Tx) EndJournal() error { return tx.one(journalEnd) }

// UseJournal says where the journal of the record is written, before anything is
// written through db; nil for nowhere. ErrNoJournal if the record has one and j is nil,
// or the other way round.
func (db *DB) UseJournal(ctx context.Context, j *journal.Journal) error {
	if _, only := db.engine.(readOnly); only || db.journal != nil {
		return nil // nothing is written, or it is known already
	}
	var row JournalRow
	var schema int64
	err := db.Read(ctx, func(tx *Tx) (err error) {
		if schema, err = tx.Schema(); err != nil {
			return err
		}
		row, err = tx.Journal()
		return err
	})
	has := err == nil && !row.Ended
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case has != (j != nil):
		return ErrNoJournal
	case !has:
		return nil
	}
	if err := j.Begin(row.Chain, row.Follows, schema); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	db.engine.record(j, row.Chain)
	db.journal = j
	return nil
}

// Journal is where the record is kept a second time, nil for nowhere.
func (db *DB) Journal() *journal.Journal { return db.journal }

// Replay runs what a frame of the journal has, in order, and holds each statement
// against what it did the first time; then the journal's row is the frame's.
func (tx *Tx) Replay(f *journal.Stored) error {
	statements, err := f.Statements()
	if err != nil {
		return err
	}
	for _, s := range statements {
		n, err := tx.Exec(s.Text, s.Args...)
		if err != nil {
			return fmt.Errorf("frame %d: %w", f.Number, err)
		}
		if s.Rows >= 0 && n != s.Rows {
			return fmt.Errorf("frame %d: a statement changed %d rows, and %d the first time: %s", f.Number, n, s.Rows, s.Text)
		}
	}
	_, err = tx.Exec(journalSet, f.Number, f.Mark[:], f.Before[:])
	return err
}
