package store

import (
	"errors"

	"licet/license"
)

const (
	cursorInsert  = `insert into cursors (name, sequence) values ($1, $2) on conflict (name) do nothing`
	cursorLease   = `update cursors set lease = $3 where name = $1 and lease <= $2 returning sequence`
	cursorMove    = `update cursors set sequence = $2 where name = $1 and sequence < $2`
	cursorRelease = `update cursors set lease = 0 where name = $1`
)

// LeaseCursor gives a consumer of the audit log its place there, and to nobody
// else until the lease ends; false while another has it. A new consumer begins at
// the sequence given.
func (tx *Tx) LeaseCursor(name string, begin int64, now, until license.Time) (sequence int64, ok bool, err error) {
	if _, err := tx.Exec(cursorInsert, name, begin); err != nil {
		return 0, false, err
	}
	err = tx.QueryRow(cursorLease, name, now, until).Scan(&sequence)
	if errors.Is(err, ErrNotFound) {
		return 0, false, nil
	}
	return sequence, err == nil, err
}

// MoveCursor notes that a consumer has done with everything before a sequence;
// it never goes back.
func (tx *Tx) MoveCursor(name string, sequence int64) error {
	_, err := tx.Exec(cursorMove, name, sequence)
	return err
}

// ReleaseCursor ends the lease of a consumer.
func (tx *Tx) ReleaseCursor(name string) error { return tx.one(cursorRelease, name) }
