package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
)

// ErrInUse says that another process has the record open, or has it for itself alone.
var ErrInUse = errors.New("store: another process has the record open")

// presenceLock is the advisory lock of whoever has the record open.
const presenceLock = 0x6c69636575 // "liceu"

// presence says to others that this process has the record open.
type presence interface {
	close()
	// lost says that another process took the record for itself meanwhile.
	lost() bool
}

// Present says to other processes, until the database is closed, that this one has it
// open; ErrInUse if one has it for itself (Alone).
func (db *DB) Present(ctx context.Context) error { return db.take(ctx, false) }

// Alone takes the database for this process until it is closed; ErrInUse if another
// one is Present.
func (db *DB) Alone(ctx context.Context) error { return db.take(ctx, true) }

func (db *DB) take(ctx context.Context, alone bool) (err error) {
	db.present, err = db.engine.present(ctx, alone)
	return err
}

// fileLock is the presence of a process that has a SQLite file open.
type fileLock struct{ *flock.Flock }

func (l fileLock) close()     { _ = l.Unlock() } // the end of the process does it as well
func (l fileLock) lost() bool { return false }

// lockSuffix is added to the name of the database for the file that is locked, since
// SQLite has locks of its own on the database.
const lockSuffix = "-lock"

func (e *sqliteEngine) present(_ context.Context, alone bool) (presence, error) {
	l := flock.New(e.path+lockSuffix, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o600))
	try := l.TryRLock
	if alone {
		try = l.TryLock
	}
	switch free, err := try(); {
	case err != nil:
		return nil, fmt.Errorf("store: lock %s: %w", e.path+lockSuffix, err)
	case !free:
		return nil, ErrInUse
	}
	return fileLock{l}, nil
}

// sessionLock is the presence of a process in PostgreSQL: a connection of its own that
// holds a lock, and is made again when it is lost.
type sessionLock struct {
	stop  context.CancelFunc
	ended chan struct{}
	gone  atomic.Bool
}

func (l *sessionLock) close()     { l.stop(); <-l.ended }
func (l *sessionLock) lost() bool { return l.gone.Load() }

func (e *postgresEngine) present(ctx context.Context, alone bool) (presence, error) {
	conn, free, err := e.lockSession(ctx, alone)
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, errors.Join(ErrInUse, conn.Close(ctx))
	}
	on, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &sessionLock{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for on.Err() == nil {
			_, err := conn.WaitForNotification(on) // none comes: it ends with the connection
			if err == nil {
				continue
			}
			_ = conn.Close(context.WithoutCancel(on))
			for on.Err() == nil {
				var free bool
				if conn, free, err = e.lockSession(on, alone); err == nil {
					l.gone.Store(l.gone.Load() || !free)
					break
				}
				_ = sleep(on, time.Second) // it ends with on
			}
		}
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(on))
		}
	}()
	return l, nil
}

// lockSession makes a connection that has the lock, if it is free.
func (e *postgresEngine) lockSession(ctx context.Context, alone bool) (*pgx.Conn, bool, error) {
	conn, err := pgx.ConnectConfig(ctx, e.pool.Config().ConnConfig)
	if err != nil {
		return nil, false, err
	}
	query := "SELECT pg_try_advisory_lock_shared($1)"
	if alone {
		query = "SELECT pg_try_advisory_lock($1)"
	}
	free := false
	if err := conn.QueryRow(ctx, query, int64(presenceLock)).Scan(&free); err != nil {
		return nil, false, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, free, nil
}
