package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgres is a connection to PostgreSQL during one transaction. What nobody
// waits for, the BEGIN first of all, goes out together with the next statement
// that somebody waits for: one round trip for all of them. The server runs them
// in order, and none after one that failed.
type postgres struct {
	conn    *pgx.Conn
	waiting *pgx.Batch
	checks  []check // of those that wait, by number
	begun   bool    // the BEGIN was sent
}

// check is how many rows a statement must change.
type check struct {
	statement int // its place among those that wait
	rows      int64
}

func (p *postgres) alone() bool { return false }

// maxWaiting is how many statements wait at most: an order of 100 000 licenses
// has more than need to be in memory at once.
const maxWaiting = 64

func (p *postgres) later(ctx context.Context, query string, rows int64, args []any) error {
	if p.waiting.Len() >= maxWaiting {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	if rows >= 0 {
		p.checks = append(p.checks, check{p.waiting.Len(), rows})
	}
	p.waiting.Queue(query, args...)
	return nil
}

func (p *postgres) flush(ctx context.Context) error {
	if p.waiting.Len() == 0 || !p.begun && p.waiting.Len() == 1 {
		return nil // a transaction that did nothing
	}
	answers, err := p.send(ctx)
	return errors.Join(err, answers.Close())
}

func (p *postgres) exec(ctx context.Context, query string, args []any) (rows int64, err error) {
	if p.waiting.Len() == 0 {
		tag, err := p.conn.Exec(ctx, query, args...)
		return tag.RowsAffected(), err
	}
	before := p.waiting.Len()
	p.waiting.Queue(query, args...)
	answers, err := p.sendUpTo(ctx, before)
	if err == nil {
		var tag pgconn.CommandTag
		tag, err = answers.Exec()
		rows = tag.RowsAffected()
	}
	if e := answers.Close(); err == nil {
		err = e
	}
	return rows, err
}

func (p *postgres) query(ctx context.Context, query string, args []any) (cursor, error) {
	if p.waiting.Len() == 0 {
		return p.conn.Query(ctx, query, args...)
	}
	before := p.waiting.Len()
	p.waiting.Queue(query, args...)
	answers, err := p.sendUpTo(ctx, before)
	var rows pgx.Rows
	if err == nil {
		rows, err = answers.Query()
	}
	if err != nil {
		answers.Close() // its error is the one at hand, or follows from it
		return nil, err
	}
	return &lastRows{Rows: rows, answers: answers}, nil
}

// send sends all that waits and takes its answers.
func (p *postgres) send(ctx context.Context) (pgx.BatchResults, error) {
	return p.sendUpTo(ctx, p.waiting.Len())
}

// sendUpTo sends all that waits and takes the answers to the first n of it.
func (p *postgres) sendUpTo(ctx context.Context, n int) (pgx.BatchResults, error) {
	p.begun = true
	answers := p.conn.SendBatch(ctx, p.waiting)
	checks := p.checks
	p.waiting, p.checks = &pgx.Batch{}, nil
	for i := range n {
		tag, err := answers.Exec()
		if err != nil {
			return answers, err
		}
		if len(checks) > 0 && checks[0].statement == i {
			if tag.RowsAffected() != checks[0].rows {
				return answers, ErrMissed
			}
			checks = checks[1:]
		}
	}
	return answers, nil
}

// lastRows is the rows of the last statement that was sent.
type lastRows struct {
	pgx.Rows
	answers pgx.BatchResults
	err     error
}

func (r *lastRows) Close() {
	r.Rows.Close()
	if r.err = r.Rows.Err(); r.err != nil {
		r.answers.Close() // has the same error
		return
	}
	r.err = r.answers.Close()
}

func (r *lastRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.Rows.Err()
}

// commit commits, and tells a refusal, after which nothing has changed, from a
// lost answer.
func (p *postgres) commit(ctx context.Context) (err error, again bool) {
	if !p.begun {
		return nil, false
	}
	if err := ctx.Err(); err != nil {
		p.rollback(ctx)
		return err, false
	}
	// Asked now: of a connection that was lost before, nothing was sent.
	if p.conn.IsClosed() {
		return errors.New("store: the connection was lost before the commit"), true
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	_, err = p.conn.Exec(commit, "COMMIT")
	if err == nil {
		return nil, false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.SeverityUnlocalized == "ERROR" {
		p.rollback(ctx)
		return classify(err), isSerialization(err)
	}
	p.discard()
	return fmt.Errorf("%w: %w", ErrCommitUnknown, err), false
}

// rollback ends the transaction, or the connection if that fails.
func (p *postgres) rollback(ctx context.Context) {
	if !p.begun {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := p.conn.Exec(ctx, "ROLLBACK"); err != nil {
		p.discard()
	}
}

// discard closes the connection, so that it is not used again.
func (p *postgres) discard() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.conn.Close(ctx) // whatever comes of it, the connection counts as closed
}
