package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
)

// sqliteOptions reach every connection: they stand in the address because a
// PRAGMA run later reaches one connection only.
const sqliteOptions = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)&_txlock=immediate"

// sqliteEngine is one SQLite file: one connection that writes, and several that
// read beside it.
type sqliteEngine struct {
	writing, reading *sql.DB
	writer           *writer
	readers          chan *conn // the idle ones
	opened           int        // how many readers there are
	closed           chan struct{}
	once             sync.Once
	closeErr         error
}

func openSQLite(ctx context.Context, path string) (_ *sqliteEngine, err error) {
	if path == "" {
		return nil, errors.New("no path in the address; write sqlite:/path/file.db")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Made here, so that only its owner reads it; the files beside it take over
	// its mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()

	e := &sqliteEngine{closed: make(chan struct{})}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.writing, err = sql.Open("sqlite", sqliteAddress(path, sqliteOptions)); err != nil {
		return nil, err
	}
	e.writing.SetMaxOpenConns(1)
	if err := migrateSQLite(ctx, e.writing); err != nil {
		return nil, err
	}
	c, err := openConn(ctx, e.writing)
	if err != nil {
		return nil, err
	}
	e.writer = startWriter(c)

	if e.reading, err = sql.Open("sqlite", sqliteAddress(path, sqliteOptions+"&_pragma=query_only(1)")); err != nil {
		return nil, err
	}
	readers := min(max(runtime.GOMAXPROCS(0), 4), 16)
	e.readers = make(chan *conn, readers)
	for range readers {
		c, err := openConn(ctx, e.reading)
		if err != nil {
			return nil, err
		}
		e.readers <- c
		e.opened++
	}
	if err := syncFolder(path); err != nil {
		return nil, err
	}
	return e, nil
}

// syncFolder makes the names of the database and of its log last. SQLite does it
// too, but goes on when it fails, and would lose the log with all that is in it.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it cannot fsync a folder
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

func sqliteAddress(path, options string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + options
}

// openConn takes a connection out of db for good.
func openConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, statements: make(map[string]*sql.Stmt)}, nil
}

// migrateSQLite tries again when another process migrates the same file at the
// same moment: the second run finds nothing left to do.
func migrateSQLite(ctx context.Context, db *sql.DB) (err error) {
	for attempt := range 5 {
		if err = migrate(ctx, goose.DialectSQLite3, db); err == nil {
			return nil
		}
		if sleep(ctx, time.Duration(attempt+1)*100*time.Millisecond) != nil {
			break
		}
	}
	return err
}

func (e *sqliteEngine) write(ctx context.Context, fn func(*Tx) error) error {
	return e.writer.write(ctx, fn)
}

func (e *sqliteEngine) read(ctx context.Context, fn func(*Tx) error) (err error) {
	c, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- c }()

	// A plain BEGIN: the snapshot begins with the first query.
	if _, err := c.exec(context.WithoutCancel(ctx), "BEGIN"); err != nil {
		return err
	}
	tx := &Tx{ctx: ctx, statement: ctx, conn: c}
	defer func() {
		// Also after a panic, which goes on.
		err = tx.end(err)
		c.exec(context.WithoutCancel(ctx), "ROLLBACK")
		c.events.back(0, 0)
	}()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.writeEvents() // refused: this connection only reads
}

// reader takes an idle connection.
func (e *sqliteEngine) reader(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-e.closed:
		return nil, ErrClosed
	default:
	}
	select {
	case c := <-e.readers:
		return c, nil
	case <-e.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *sqliteEngine) prepare(ctx context.Context, query string) error {
	c, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- c }()
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	return s.Close()
}

func (e *sqliteEngine) close() error {
	e.once.Do(func() {
		close(e.closed)
		var errs []error
		if e.writer != nil {
			errs = append(errs, e.writer.close())
		}
		for range e.opened {
			errs = append(errs, (<-e.readers).close())
		}
		if e.reading != nil {
			errs = append(errs, e.reading.Close())
		}
		// The last connection to close copies the log into the file.
		if e.writing != nil {
			errs = append(errs, e.writing.Close())
		}
		e.closeErr = errors.Join(errs...)
	})
	return e.closeErr
}
