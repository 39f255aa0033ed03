package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"zombiezen.com/go/sqlite"

	"licet/refusal"
)

var (
	// ErrNotFound: no row has this key.
	ErrNotFound = errors.New("store: not found")

	// ErrConflict: a row with the same unique key exists. The transaction it
	// happened in can only be rolled back; to insert only what is absent, use
	// ON CONFLICT DO NOTHING and look at the number of rows.
	ErrConflict = errors.New("store: already exists")

	// ErrCommitUnknown: the connection or the disk failed while a commit was on
	// its way, so the transaction may or may not have happened. Ask again with
	// the same idempotency key; never assume either.
	ErrCommitUnknown = errors.New("store: the outcome of the commit is unknown")

	// ErrClosed: the database was closed.
	ErrClosed = errors.New("store: closed")

	errOnlyOne  = errors.New("store: this is for one query only")
	errTxEnded  = errors.New("store: use of a transaction after its function returned")
	errRowsOpen = errors.New("store: the rows of the last query are still open; read them to the end or close them first")
)

// classify gives an engine's error the meaning this package documents. The
// engine's own error stays reachable with errors.As.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case isUnique(err):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case postgresCode(err) == "22021":
		return errText()
	}
	return err
}

// errText refuses text that no database takes. It is the caller's: nothing of
// ours makes such text, and only here is all of it seen.
func errText() error {
	return refusal.New(refusal.InvalidInput, "A text holds a zero byte, or is not UTF-8.").Hinted("Nothing was changed. Leave the character out.")
}

func isUnique(err error) bool {
	switch sqlite.ErrCode(err) {
	case sqlite.ResultConstraintUnique, sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintRowID:
		return true
	}
	return postgresCode(err) == "23505"
}

// isBusy reports whether another process holds SQLite's write lock.
func isBusy(err error) bool { return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultBusy }

// isDiskError reports whether SQLite could not read or write its files.
func isDiskError(err error) bool { return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultIOErr }

// isSerialization reports whether PostgreSQL refused a transaction only because
// of others that ran beside it: running it again is right.
func isSerialization(err error) bool {
	switch postgresCode(err) {
	case "40001", "40P01":
		return true
	}
	return false
}

// postgresCode is the SQLSTATE of err, or "".
func postgresCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
