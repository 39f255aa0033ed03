// Package store holds all SQL of the product: one text for SQLite and
// PostgreSQL.
//
// # Rules for everybody who writes a query
//
//   - Touch first. Every write transaction begins by bumping the version of the
//     row it decides about (see [Tx.Touch]): the container, the license, the
//     pool. That locks on PostgreSQL and orders on SQLite, so that a count read
//     after it stays true until the commit. There is no FOR UPDATE. A
//     transaction that decides about several rows touches them in a fixed order.
//   - The function of a transaction may run more than once, and is run by one
//     goroutine. It has no effect but through its Tx: no sending, no files, no
//     counters outside, no Read or Write inside. Assign to variables outside
//     only with =, never with += or append to what an earlier run left.
//   - A failed statement ends its transaction, on both engines: every later
//     statement gives the same error, and Write rolls back even if the function
//     returns nil. A refusal is decided by reading, not by provoking an error.
//   - A statement whose outcome nobody needs before the commit runs with tx.later:
//     PostgreSQL then gets several in one round trip. Its error may come with a
//     later statement; a wrong number of rows is a fault, never ErrNotFound.
//   - Placeholders are $1, $2, …; columns are TEXT, BIGINT or BLOB, NOT NULL
//     where possible. TEXT sorts by bytes on both engines. Arguments are string,
//     int, int64 and []byte (nil means NULL); no bool and no time.Time: times
//     are BIGINT, microseconds since 1970 UTC.
//   - A query text is a constant, so that it is parsed once per connection. The
//     rows of one query are read to the end before the next statement.
package store

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"licet/internal/journal"
)

// DB is one database, for use by any number of goroutines.
type DB struct {
	name    string
	engine  engine
	journal *journal.Journal // nil for none
	present presence         // nil if nobody was told
}

// engine is what SQLite and PostgreSQL each do in their own way.
type engine interface {
	read(ctx context.Context, fn func(*Tx) error) error
	readOne(ctx context.Context, fn func(*Tx) error) error
	write(ctx context.Context, fn func(*Tx) error) error
	prepare(ctx context.Context, query string) error
	// record has everything that is written from then on kept in a journal.
	record(j *journal.Journal, chain string)
	// present says to other processes that this one has the database open.
	present(ctx context.Context, alone bool) (presence, error)
	close() error
}

// Open opens the database at url and brings its schema up to date:
//
//	sqlite:/path/file.db   a file, made when absent, readable by its owner only
//	postgres://…           any address pgx understands, several hosts included
//
// Several processes may open the same database at once; one of them migrates
// and the others wait.
func Open(ctx context.Context, url string) (*DB, error) { return OpenAt(ctx, url, newest) }

// newest stands for the last migration that there is.
const newest = 0

// OpenAt opens the database at url as [Open] does, with the schema that a migration
// leads to and no further: for rows that come from there.
func OpenAt(ctx context.Context, url string, schema int64) (*DB, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	db := &DB{name: scheme}
	var err error
	switch scheme {
	case "sqlite":
		db.engine, err = openSQLite(ctx, strings.TrimPrefix(rest, "//"), schema)
	case "postgres", "postgresql":
		db.name = "postgres"
		db.engine, err = openPostgres(ctx, url, schema)
	default:
		// The address may hold a password: it is not repeated.
		return nil, fmt.Errorf("store: the database address begins with neither sqlite: nor postgres:; write sqlite:/path/file.db or postgres://user@host/name")
	}
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", db.name, err)
	}
	return db, nil
}

// Engine is "sqlite" or "postgres".
func (db *DB) Engine() string { return db.name }

// Close waits for the transactions under way, then closes the database. A
// later Read or Write gives ErrClosed.
func (db *DB) Close() error {
	err := db.engine.close()
	if db.journal != nil {
		db.journal.Close()
	}
	if db.present != nil {
		db.present.close()
	}
	return err
}

// Read runs fn on a snapshot: it sees everything that was committed before, and
// nothing that is committed while it runs. It cannot write. On PostgreSQL fn may
// run more than once. The error is fn's own, ErrClosed, that of ctx or that of
// the database.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) error {
	return db.engine.read(ctx, fn)
}

// ReadOne is Read for a function of one query: with no transaction around it, that
// costs less. Everything but a query is refused.
func (db *DB) ReadOne(ctx context.Context, fn func(tx *Tx) error) error {
	return db.engine.readOne(ctx, fn)
}

// Write runs fn in a transaction and commits it when fn returns nil; any error
// of fn, and any panic, rolls it back. When Write returns nil, the change is on
// the disk.
//
// fn MAY RUN MORE THAN ONCE: it is run again when the database refuses a
// transaction because of others beside it, or when a connection is lost before
// the commit was sent. See the rules at the top of this package.
//
// On SQLite, transactions that wait together share one commit, each with its
// own outcome; a ctx that ends before fn was run takes its caller out of the
// queue, and later Write waits for the outcome. On PostgreSQL a connection that
// is lost during the commit gives ErrCommitUnknown; on SQLite only a disk that
// fails during the commit does.
//
// Other errors are fn's own, ErrClosed, that of ctx or that of the database; all
// of them mean that nothing was changed.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	if db.present != nil && db.present.lost() {
		return fmt.Errorf("%w: it took it for itself while this one was cut off from the database; start this one again", ErrInUse)
	}
	if trace.SpanFromContext(ctx).IsRecording() {
		return traced(ctx, db.engine, fn)
	}
	return db.engine.write(ctx, fn)
}

// traced runs a transaction within a span that says how often it was run and
// what came of it.
func traced(ctx context.Context, e engine, fn func(tx *Tx) error) error {
	ctx, span := otel.Tracer("licet/store").Start(ctx, "transaction")
	defer span.End()
	runs := 0
	err := e.write(ctx, func(tx *Tx) error {
		runs++
		return fn(tx)
	})
	span.SetAttributes(attribute.Int("licet.runs", runs), attribute.Bool("licet.committed", err == nil))
	return err
}

// Ping reports whether the database answers and takes changes: after a disk that
// failed during a commit it does not, until it is opened again. So does the journal.
func (db *DB) Ping(ctx context.Context) error {
	if db.journal != nil {
		if err := db.journal.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrJournal, err)
		}
	}
	return db.Write(ctx, func(tx *Tx) error {
		var one int64
		return tx.QueryRow("SELECT 1").Scan(&one)
	})
}

// Prepare has the engine parse query and checks its names against the schema,
// without running it. A test prepares every query of the package with it.
func (db *DB) Prepare(ctx context.Context, query string) error {
	return db.engine.prepare(ctx, query)
}
