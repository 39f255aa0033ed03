package store

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed statement about the audit log.
type Checkpoint struct {
	Size int64  // how many events it covers
	Note []byte // the signed note
	Time int64  // µs since 1970 UTC
}

// StoredHash is one hash of the audit log. Position is that of
// tlog.StoredHashIndex.
type StoredHash struct {
	Position int64
	Hash     tlog.Hash
}

const (
	selectAuditSize = `SELECT size FROM audit_state WHERE id = 1`
	updateAuditSize = `UPDATE audit_state SET size = $1 WHERE id = 1`

	selectUnsequenced   = `SELECT id, leaf FROM events WHERE sequence < 0 AND sequence = -1 ORDER BY rowid LIMIT $1`
	updateEventSequence = `UPDATE events SET sequence = v.column2
  FROM (VALUES ($1, cast($2 AS BIGINT))) v WHERE events.id = v.column1`

	insertAuditHash   = `INSERT INTO audit_hashes (position, hash) VALUES ($1, $2)`
	selectAuditHash   = `SELECT position, hash FROM audit_hashes WHERE position = $1`
	selectAuditHashes = `SELECT position, hash FROM audit_hashes WHERE position >= $1 ORDER BY position LIMIT $2`

	insertCheckpoint     = `INSERT INTO audit_checkpoints (size, note, time) VALUES ($1, $2, $3)`
	selectCheckpoints    = `SELECT size, note, time FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2`
	selectLastCheckpoint = `SELECT size, note, time FROM audit_checkpoints ORDER BY size DESC LIMIT 1`
)

// TouchAuditLog begins a transaction that appends to the audit log, and gives
// the number of events the log holds.
func (tx *Tx) TouchAuditLog() (size int64, err error) {
	if err := tx.Touch("audit_state", "id", 1); err != nil {
		return 0, err
	}
	return tx.AuditSize()
}

// AuditSize is the number of events the audit log holds.
func (tx *Tx) AuditSize() (size int64, err error) {
	err = tx.QueryRow(selectAuditSize).Scan(&size)
	return size, err
}

// SetAuditSize notes how many events the audit log holds now.
func (tx *Tx) SetAuditSize(size int64) error {
	_, err := tx.Exec(updateAuditSize, size)
	return err
}

// Unsequenced gives id and leaf, and nothing else, of at most limit events that
// are not yet in the audit log, in the order in which they were written: of two
// that were written under one lock, the earlier one first.
func (tx *Tx) Unsequenced(limit int) ([]Event, error) {
	if err := tx.writeEvents(); err != nil {
		return nil, err
	}
	return collect(tx, func(scan func(...any) error) (Event, error) {
		e := Event{Sequence: -1}
		return e, scan(&e.ID, &e.Leaf)
	}, selectUnsequenced, limit)
}

var (
	updateEventSequences = newManyRows(updateEventSequence, 2)
	insertAuditHashes    = newManyRows(insertAuditHash, 2)
)

// SetEventSequences gives events their places in the audit log, the first one
// first and the others behind it.
func (tx *Tx) SetEventSequences(first int64, ids ...string) error {
	if err := tx.writeEvents(); err != nil {
		return err
	}
	args := make([]any, 0, updateEventSequences.values*len(ids))
	for i, id := range ids {
		args = append(args, id, first+int64(i))
	}
	n, err := tx.many(&updateEventSequences, args)
	if err == nil && n != int64(len(ids)) {
		err = ErrNotFound
	}
	return err
}

// AppendAuditHashes stores hashes of the audit log.
func (tx *Tx) AppendAuditHashes(hashes []StoredHash) error {
	args := make([]any, 0, insertAuditHashes.values*len(hashes))
	for i := range hashes {
		args = append(args, hashes[i].Position, hashes[i].Hash[:])
	}
	return tx.manyLater(&insertAuditHashes, args)
}

// AuditHash gives one hash of the audit log, or ErrNotFound.
func (tx *Tx) AuditHash(position int64) (tlog.Hash, error) {
	h, err := scanStoredHash(tx.QueryRow(selectAuditHash, position).Scan)
	return h.Hash, err
}

// AuditHashes gives the hashes of the audit log from a position on, at most
// limit.
func (tx *Tx) AuditHashes(from int64, limit int) ([]StoredHash, error) {
	return collect(tx, scanStoredHash, selectAuditHashes, from, limit)
}

func scanStoredHash(scan func(...any) error) (StoredHash, error) {
	var h StoredHash
	var hash []byte
	if err := scan(&h.Position, &hash); err != nil {
		return h, err
	}
	copy(h.Hash[:], hash) // one of another length fits no event
	return h, nil
}

// AppendCheckpoint stores a checkpoint. ErrConflict means that there is one of
// this size.
func (tx *Tx) AppendCheckpoint(c Checkpoint) error {
	_, err := tx.Exec(insertCheckpoint, c.Size, string(c.Note), c.Time)
	return err
}

// Checkpoints gives the checkpoints of more than the given size, smallest
// first, at most limit.
func (tx *Tx) Checkpoints(size int64, limit int) ([]Checkpoint, error) {
	return collect(tx, scanCheckpoint, selectCheckpoints, size, limit)
}

// LastCheckpoint gives the newest checkpoint, or ErrNotFound.
func (tx *Tx) LastCheckpoint() (Checkpoint, error) {
	c, err := scanCheckpoint(tx.QueryRow(selectLastCheckpoint).Scan)
	if err != nil {
		return c, fmt.Errorf("last audit checkpoint: %w", err)
	}
	return c, nil
}

func scanCheckpoint(scan func(...any) error) (Checkpoint, error) {
	var c Checkpoint
	var note string
	err := scan(&c.Size, &note, &c.Time)
	c.Note = []byte(note)
	return c, err
}
