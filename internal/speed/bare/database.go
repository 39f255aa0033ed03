package bare

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the library that the product speaks to directly, through database/sql
)

// Database is a SQLite file with one writer that commits for all who wait.
type Database struct {
	db      *sql.DB // writes
	reading *sql.DB
	find    *sql.Stmt
	queue   chan *job

	// Used by the writer alone.
	insert, update, begin, commit, savepoint, release, undo *sql.Stmt
}

type job struct {
	do   func() error
	done chan error
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan error, 1)} }}

const (
	maxBatch = 256
	options  = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
)

var tables = []string{
	`CREATE TABLE licenses (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, customer TEXT NOT NULL, product TEXT NOT NULL,
		terms TEXT NOT NULL, seats INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 1, updated INTEGER NOT NULL DEFAULT 0)`,
	`CREATE TABLE activations (id INTEGER PRIMARY KEY, license INTEGER NOT NULL, fingerprint TEXT NOT NULL, created INTEGER NOT NULL,
		token BLOB NOT NULL, UNIQUE (license, fingerprint))`,
}

// Create makes a database with so many licenses and starts its writer.
func Create(path string, licenses int) (*Database, error) {
	db, err := sql.Open("sqlite", "file:"+path+options)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, t := range tables {
		if _, err := db.Exec(t); err != nil {
			return nil, err
		}
	}
	if err := fill(db, licenses); err != nil {
		return nil, err
	}
	reading, err := sql.Open("sqlite", "file:"+path+options)
	if err != nil {
		return nil, err
	}
	d := &Database{db: db, reading: reading, queue: make(chan *job, 4096)}
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	for text, s := range map[string]**sql.Stmt{
		`INSERT INTO activations (license, fingerprint, created, token) VALUES (?, ?, ?, ?)`:           &d.insert,
		`UPDATE licenses SET used = used + 1, updated = ? WHERE id = ? AND used < seats AND state = 1`: &d.update,
		`BEGIN IMMEDIATE`: &d.begin, `COMMIT`: &d.commit, `SAVEPOINT s`: &d.savepoint, `RELEASE s`: &d.release, `ROLLBACK TO s`: &d.undo,
	} {
		if *s, err = conn.PrepareContext(context.Background(), text); err != nil {
			return nil, err
		}
	}
	if d.find, err = reading.Prepare(`SELECT id, key, customer, product, terms, seats, used, state, updated FROM licenses WHERE key = ?`); err != nil {
		return nil, err
	}
	go d.write()
	return d, nil
}

func fill(db *sql.DB, licenses int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	s, err := tx.Prepare(`INSERT INTO licenses (key, customer, product, terms, seats) VALUES (?, 'Example Customer', 'CAD-PRO', '{"seats":1,"expires_in":"365d"}', 1000000)`)
	if err != nil {
		return err
	}
	for i := range licenses {
		if _, err := s.Exec(Key(i)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Activate makes an activation durable.
func (d *Database) Activate(license int64, fingerprint string, token []byte) error {
	now := time.Now().UnixMilli()
	return d.do(func() error {
		if _, err := d.insert.Exec(license, fingerprint, now, token); err != nil {
			return err
		}
		_, err := d.update.Exec(now, license)
		return err
	})
}

func (d *Database) do(fn func() error) error {
	j := jobs.Get().(*job)
	j.do = fn
	d.queue <- j
	err := <-j.done
	jobs.Put(j)
	return err
}

// write is the writer: what waits together is committed together, each in its
// own savepoint.
func (d *Database) write() {
	var batch []*job
	var errs []error
	for j := range d.queue {
		batch, errs = append(batch[:0], j), errs[:0]
		_, failed := d.begin.Exec()
		for i := 0; ; i++ {
			d.savepoint.Exec()
			err := batch[i].do()
			if err != nil {
				d.undo.Exec()
			}
			d.release.Exec()
			errs = append(errs, err)
			if len(batch) == maxBatch {
				break
			}
			select {
			case next := <-d.queue:
				batch = append(batch, next)
				continue
			default:
			}
			break
		}
		if _, err := d.commit.Exec(); err != nil {
			failed = errors.Join(failed, err)
		}
		for i, b := range batch {
			b.done <- errors.Join(failed, errs[i])
		}
	}
}

// Row is a license as the bare database has it.
type Row struct {
	ID       int64  `json:"id"`
	Key      string `json:"key"`
	Customer string `json:"customer"`
	Product  string `json:"product"`
	Terms    string `json:"terms"`
	Seats    int64  `json:"seats"`
	Used     int64  `json:"used"`
	State    int64  `json:"state"`
	Updated  int64  `json:"updated"`
}

// Find reads one license by its key.
func (d *Database) Find(ctx context.Context, key string) (r Row, err error) {
	return r, d.find.QueryRowContext(ctx, key).Scan(&r.ID, &r.Key, &r.Customer, &r.Product, &r.Terms, &r.Seats, &r.Used, &r.State, &r.Updated)
}

// Close ends the writer and the database.
func (d *Database) Close() error {
	close(d.queue)
	return errors.Join(d.reading.Close(), d.db.Close())
}

// The tables of a bulk order: a license with the columns and indexes that
// finding it again takes, and one leaf of the audit log for each.
var bulkTables = []string{
	`CREATE TABLE licenses (id TEXT PRIMARY KEY, order_id TEXT NOT NULL, ticket_id TEXT NOT NULL, product TEXT NOT NULL, item TEXT NOT NULL,
		features TEXT NOT NULL, terms TEXT NOT NULL, state TEXT NOT NULL, generation BIGINT NOT NULL, holder TEXT, step BIGINT NOT NULL,
		withdrawn BIGINT NOT NULL, activated BIGINT NOT NULL, created BIGINT NOT NULL, version BIGINT NOT NULL)`,
	`CREATE INDEX licenses_order ON licenses (order_id)`,
	`CREATE INDEX licenses_ticket ON licenses (ticket_id)`,
	`CREATE INDEX licenses_holder ON licenses (holder)`,
	`CREATE TABLE leaves (license TEXT PRIMARY KEY, leaf BLOB NOT NULL)`,
	`CREATE TABLE heads (size BIGINT PRIMARY KEY, head BLOB NOT NULL, signature BLOB NOT NULL)`,
}

// Bulk inserts so many licenses into a new database in one transaction, each
// with its leaf, signs the head, and makes it durable.
func Bulk(path string, licenses int) error {
	db, err := sql.Open("sqlite", "file:"+path+options)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, t := range bulkTables {
		if _, err := db.Exec(t); err != nil {
			return err
		}
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	license, err := tx.Prepare(`INSERT INTO licenses VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, NULL, 0, 0, 0, ?, 0)`)
	if err != nil {
		return err
	}
	leaf, err := tx.Prepare(`INSERT INTO leaves VALUES (?, ?)`)
	if err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	order, ticket := "ord_01krx3m2k5g0001q7w8e9r0t1y2", "tic_01krx3m2k5g0001q7w8e9r0t1y3"
	const terms = `{"seats":1,"expires_in":"365d"}`
	head := sha256.New()
	for i := range licenses {
		id := fmt.Sprintf("lic_01krx3m2k5g%012d", i)
		if _, err := license.Exec(id, order, ticket, "CAD-PRO", "CAD-PRO", `["render","export"]`, terms, "not_collected", now); err != nil {
			return err
		}
		h := sha256.Sum256([]byte(id + order + ticket + terms))
		head.Write(h[:])
		if _, err := leaf.Exec(id, h[:]); err != nil {
			return err
		}
	}
	sum := head.Sum(nil)
	if _, err := tx.Exec(`INSERT INTO heads VALUES (?, ?, ?)`, licenses, sum, ed25519.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), sum)); err != nil {
		return err
	}
	return tx.Commit()
}
