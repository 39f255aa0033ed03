package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// maxConnections is per process: several processes stay below PostgreSQL's
	// usual limit of 100.
	maxConnections = 20

	// maxAttempts bounds how often a transaction is run; with the pauses in
	// between that is one to two seconds.
	maxAttempts = 10

	// commitTimeout bounds the wait for an answer to a commit, which does not
	// end with its caller's context.
	commitTimeout = 30 * time.Second

	// migrationLock is the advisory lock that one migrating process holds.
	migrationLock = 0x6c69636574 // "licet"
)

// postgresEngine is one PostgreSQL database.
type postgresEngine struct {
	db     *sql.DB
	mu     sync.RWMutex // read-locked by every transaction, so that close waits
	closed bool
}

func openPostgres(ctx context.Context, address string) (_ *postgresEngine, err error) {
	db, err := sql.Open("pgx", address)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)

	var commit string
	if err := db.QueryRowContext(ctx, "SHOW synchronous_commit").Scan(&commit); err != nil {
		return nil, err
	}
	if commit == "off" {
		return nil, errors.New("synchronous_commit is off, so a commit could be lost in a crash; set it to on for this database")
	}
	if err := migratePostgres(ctx, db); err != nil {
		return nil, err
	}
	return &postgresEngine{db: db}, nil
}

// migratePostgres lets one process at a time migrate.
func migratePostgres(ctx context.Context, db *sql.DB) (err error) {
	lock, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	defer func() {
		if _, e := lock.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock)); e != nil {
			discard(lock)
		}
	}()
	return migrate(ctx, goose.DialectPostgres, db)
}

func (e *postgresEngine) read(ctx context.Context, fn func(*Tx) error) error {
	return e.run(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", false, fn)
}

func (e *postgresEngine) write(ctx context.Context, fn func(*Tx) error) error {
	return e.run(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED", true, fn)
}

// run runs a transaction until it has an outcome of its own.
func (e *postgresEngine) run(ctx context.Context, begin string, commit bool, fn func(*Tx) error) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return ErrClosed
	}
	for attempt := range maxAttempts {
		err, again := e.attempt(ctx, begin, commit, fn)
		if !again || attempt == maxAttempts-1 {
			return err
		}
		pause := min(5*time.Millisecond<<attempt, time.Second)
		if sleep(ctx, rand.N(pause)) != nil {
			return err
		}
	}
	panic("unreachable")
}

// attempt runs a transaction once. again says that it certainly had no effect
// and that another run may go better.
func (e *postgresEngine) attempt(ctx context.Context, begin string, commit bool, fn func(*Tx) error) (err error, again bool) {
	c, err := e.db.Conn(ctx)
	if err != nil {
		return err, ctx.Err() == nil && isDown(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, begin); err != nil {
		again := ctx.Err() == nil && isLost(c)
		discard(c)
		return err, again
	}
	tx := &Tx{ctx: ctx, statement: ctx, conn: &conn{Conn: c}}
	committed := false
	defer func() {
		// Also after a panic, which goes on.
		tx.end(nil)
		if !committed {
			rollback(ctx, c)
		}
	}()
	if err = fn(tx); err == nil {
		err = tx.writeEvents()
	}
	err = tx.end(err)
	switch {
	case tx.err != nil:
		// What counts is the statement that failed, however fn reports it.
		return err, ctx.Err() == nil && (isSerialization(tx.err) || isLost(c))
	case err != nil || !commit:
		return err, false
	}
	committed = true
	return e.commit(ctx, c)
}

// commit commits, and tells a refusal, after which nothing has changed, from a
// lost answer.
func (e *postgresEngine) commit(ctx context.Context, c *sql.Conn) (err error, again bool) {
	if err := ctx.Err(); err != nil {
		rollback(ctx, c)
		return err, false
	}
	// Asked now, because afterwards it is too late: the driver calls a connection
	// that was lost while it waited for the answer driver.ErrBadConn, its word for
	// "nothing was sent".
	if isLost(c) {
		return driver.ErrBadConn, true
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	_, err = c.ExecContext(commit, "COMMIT")
	if err == nil {
		return nil, false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.SeverityUnlocalized == "ERROR" {
		rollback(ctx, c)
		return classify(err), isSerialization(err)
	}
	discard(c)
	return fmt.Errorf("%w: %w", ErrCommitUnknown, err), false
}

// rollback ends the transaction of c, or the connection if that fails.
func rollback(ctx context.Context, c *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := c.ExecContext(ctx, "ROLLBACK"); err != nil {
		discard(c)
	}
}

// discard closes the connection instead of giving it back.
func discard(c *sql.Conn) {
	c.Raw(func(any) error { return driver.ErrBadConn })
}

// isLost reports whether the connection behind c is gone.
func isLost(c *sql.Conn) bool {
	lost := true
	c.Raw(func(dc any) error {
		lost = dc.(*stdlib.Conn).Conn().IsClosed()
		return nil
	})
	return lost
}

// isDown reports whether a failed connect may succeed soon: the server is not
// there or is starting or stopping, as opposed to a wrong password.
func isDown(err error) bool {
	switch postgresCode(err) {
	case "", "57P01", "57P02", "57P03", "53300":
		return true
	}
	return false
}

func (e *postgresEngine) prepare(ctx context.Context, query string) error {
	s, err := e.db.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	return s.Close()
}

func (e *postgresEngine) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return e.db.Close()
}

// sleep waits for d, or gives the error of ctx if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
