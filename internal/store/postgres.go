package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"licet/internal/journal"
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
	pool   *pgxpool.Pool
	mu     sync.RWMutex // read-locked by every transaction, so that close waits
	closed bool

	journal *journal.Journal // nil for none; set before anything is written
	chain   string
}

func openPostgres(ctx context.Context, address string, schema int64) (_ *postgresEngine, err error) {
	pool, err := openPool(ctx, address, maxConnections)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	var commit string
	if err := pool.QueryRow(ctx, "SHOW synchronous_commit").Scan(&commit); err != nil {
		return nil, err
	}
	if commit == "off" {
		return nil, errors.New("synchronous_commit is off, so a commit could be lost in a crash; set it to on for this database")
	}
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migratePostgres(ctx, db, schema), db.Close()); err != nil {
		return nil, err
	}
	return &postgresEngine{pool: pool}, nil
}

// openPool makes connections when they are needed, so many at most.
func openPool(ctx context.Context, address string, most int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns, config.MaxConnIdleTime = most, 0, 5*time.Minute
	return pgxpool.NewWithConfig(ctx, config)
}

// migratePostgres lets one process at a time migrate.
func migratePostgres(ctx context.Context, db *sql.DB, schema int64) (err error) {
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
			lock.Raw(func(any) error { return driver.ErrBadConn }) // closes it
		}
	}()
	return migrate(ctx, goose.DialectPostgres, db, schema)
}

func (e *postgresEngine) read(ctx context.Context, fn func(*Tx) error) error {
	return e.run(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", false, fn)
}

func (e *postgresEngine) readOne(ctx context.Context, fn func(*Tx) error) error {
	return e.run(ctx, "", false, fn)
}

func (e *postgresEngine) write(ctx context.Context, fn func(*Tx) error) error {
	return e.run(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED", true, fn)
}

// run runs a transaction until it has an outcome of its own, or with no begin one
// query.
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
	c, err := e.pool.Acquire(ctx)
	if err != nil {
		return err, ctx.Err() == nil && isDown(err)
	}
	defer c.Release() // one that is closed is thrown away
	l := &postgres{conn: c.Conn(), waiting: &pgx.Batch{}}
	if begin != "" {
		l.waiting.Queue(begin)
	}
	with := &conn{link: l}
	if commit && e.journal != nil {
		with.journal = &recorder{journal: e.journal, chain: e.chain}
	}
	tx := &Tx{ctx: ctx, statement: ctx, conn: with, alone: begin == ""}
	committed := false
	defer func() {
		// Also after a panic, which goes on.
		tx.end(nil)
		if !committed {
			l.rollback(ctx)
		}
	}()
	if err = fn(tx); err == nil && !tx.alone {
		err = tx.finish()
	}
	err = tx.end(err)
	switch {
	case tx.err != nil:
		// What counts is the statement that failed, however fn reports it.
		return err, ctx.Err() == nil && (isSerialization(tx.err) || l.conn.IsClosed())
	case err != nil || !commit:
		return err, false
	}
	committed = true
	return l.commit(ctx)
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

func (e *postgresEngine) record(j *journal.Journal, chain string) { e.journal, e.chain = j, chain }

func (e *postgresEngine) prepare(ctx context.Context, query string) error {
	c, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	_, err = c.Conn().Prepare(ctx, "", query)
	return err
}

func (e *postgresEngine) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		e.pool.Close()
	}
	return nil
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
