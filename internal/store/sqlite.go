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
	_ "modernc.org/sqlite" // migrates

	"licet/internal/journal"
)

// The settings of connections. A file that grows its log to walPages before it is
// copied back writes a page that many transactions change once instead of many
// times.
var (
	writerSettings = []string{"journal_mode = WAL", "synchronous = FULL", "foreign_keys = 1", "temp_store = memory", "cache_size = -16000", "wal_autocheckpoint = 4000"}
	readerSettings = []string{"foreign_keys = 1", "temp_store = memory", "synchronous = FULL", "cache_size = -8000", "query_only = 1"}
)

// migrationOptions are those of the connection that migrates.
const migrationOptions = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)&_txlock=immediate"

// sqliteEngine is one SQLite file: one connection that writes, and several that
// read beside it.
type sqliteEngine struct {
	path     string
	writer   *writer
	readers  chan *conn // the idle ones
	opened   int        // how many readers there are
	closed   chan struct{}
	once     sync.Once
	closeErr error
}

func openSQLite(ctx context.Context, path string, schema int64) (_ *sqliteEngine, err error) {
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

	e := &sqliteEngine{path: path, closed: make(chan struct{})}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	// Before the connection that migrates, which so is never the last to close: that
	// one would copy the log into the file, and nobody would hear if it failed.
	l, err := openLite(path, writerSettings...)
	if err != nil {
		return nil, err
	}
	if err := migrateSQLite(ctx, path, schema); err != nil {
		return nil, errors.Join(err, l.close())
	}
	e.writer = startWriter(&conn{link: l})
	if err := e.openReaders(path, min(max(runtime.GOMAXPROCS(0), 4), 16)); err != nil {
		return nil, err
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

// openReaders opens so many connections that only read.
func (e *sqliteEngine) openReaders(path string, n int) error {
	e.readers = make(chan *conn, n)
	for range n {
		l, err := openLite(path, readerSettings...)
		if err != nil {
			return err
		}
		e.readers <- &conn{link: l}
		e.opened++
	}
	return nil
}

// migrateSQLite tries again when another process migrates the same file at the
// same moment: the second run finds nothing left to do.
func migrateSQLite(ctx context.Context, path string, schema int64) (err error) {
	db, err := sql.Open("sqlite", sqliteAddress(path, migrationOptions))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for attempt := range 5 {
		if err = migrate(ctx, goose.DialectSQLite3, db, schema); err == nil {
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
	whatever := context.WithoutCancel(ctx)
	if _, err := c.exec(whatever, "BEGIN", nil); err != nil {
		return err
	}
	tx := &Tx{ctx: ctx, statement: ctx, conn: c}
	defer func() {
		// Also after a panic, which goes on.
		err = tx.end(err)
		c.exec(whatever, "ROLLBACK", nil)
		c.events.back(0, 0)
	}()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.writeEvents() // refused: this connection only reads
}

func (e *sqliteEngine) readOne(ctx context.Context, fn func(*Tx) error) (err error) {
	c, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- c }()
	tx := &Tx{ctx: ctx, statement: ctx, conn: c, alone: true}
	defer func() { err = tx.end(err) }() // also after a panic, which goes on
	return fn(tx)
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

func (e *sqliteEngine) record(j *journal.Journal, chain string) {
	e.writer.conn.journal = &recorder{journal: j, chain: chain}
}

func (e *sqliteEngine) prepare(ctx context.Context, query string) error {
	c, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- c }()
	s, _, err := c.link.(*lite).conn.PrepareTransient(query)
	if err != nil {
		return err
	}
	return s.Finalize()
}

func (e *sqliteEngine) close() error {
	e.once.Do(func() {
		close(e.closed)
		var errs []error
		if e.writer != nil {
			e.writer.close()
		}
		for range e.opened {
			errs = append(errs, (<-e.readers).link.(*lite).close())
		}
		// The last connection to close copies the log into the file.
		if e.writer != nil {
			errs = append(errs, e.writer.conn.link.(*lite).close())
		}
		e.closeErr = errors.Join(errs...)
	})
	return e.closeErr
}
