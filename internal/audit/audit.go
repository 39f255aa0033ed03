// Package audit keeps the events of the store in a Merkle log with signed
// checkpoints, so that a changed, deleted or inserted event shows, and so that
// anybody with a checkpoint can check that an event is in the log.
//
// Every event is hashed in the transaction that wrote it ([store.Event.Encode]
// tells of which bytes). [Sequence] appends these leaves to the log in batches.
// The log is that of RFC 6962, its hashes stored as golang.org/x/mod/sumdb/tlog
// counts them. A checkpoint is a signed note in the format of
// c2sp.org/tlog-checkpoint; its origin line is the signer's name.
package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licet/internal/store"
)

// batchSize is how many events one transaction appends at most. On SQLite other
// writers wait meanwhile, some milliseconds.
const batchSize = 256

// Sequence appends the events that are not yet in the log, and signs a
// checkpoint per batch, dated now (µs since 1970 UTC). It returns how many it
// appended, also when it stops with an error. Any number of processes may call
// it at the same time: they take turns.
//
// Events come into the log in the order they are found. An event that commits
// late, with a smaller id than one already in the log, follows it; nothing in
// the log ever moves.
func Sequence(ctx context.Context, db *store.DB, now int64, signer note.Signer) (n int, err error) {
	for {
		var waiting bool
		err := db.Read(ctx, func(tx *store.Tx) error {
			events, err := tx.Unsequenced(1)
			waiting = len(events) > 0
			return err
		})
		if err != nil || !waiting {
			return n, err
		}
		var appended int
		err = db.Write(ctx, func(tx *store.Tx) (err error) {
			appended, err = appendBatch(tx, now, signer)
			return err
		})
		if err != nil {
			return n, err
		}
		n += appended
	}
}

// appendBatch appends one batch and its checkpoint.
func appendBatch(tx *store.Tx, now int64, signer note.Signer) (int, error) {
	size, err := tx.TouchAuditLog()
	if err != nil {
		return 0, err
	}
	events, err := tx.Unsequenced(batchSize)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	hashes := &hashReader{tx: tx, known: make(map[int64]tlog.Hash)}
	before := size
	var ids []string
	var fresh []store.StoredHash
	for _, e := range events {
		// The leaf of the event's own transaction: should the row have been
		// changed since, Verify tells.
		var leaf tlog.Hash
		copy(leaf[:], e.Leaf)
		stored, err := tlog.StoredHashesForRecordHash(size, leaf, hashes)
		if err != nil {
			return 0, err
		}
		first := tlog.StoredHashIndex(0, size)
		for i, h := range stored {
			fresh = append(fresh, store.StoredHash{Position: first + int64(i), Hash: h})
			hashes.known[first+int64(i)] = h
		}
		ids = append(ids, e.ID)
		size++
	}
	if err := tx.AppendAuditHashes(fresh); err != nil {
		return 0, err
	}
	if err := tx.SetEventSequences(before, ids...); err != nil {
		return 0, err
	}
	root, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return 0, err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return 0, fmt.Errorf("audit: signing a checkpoint: %w", err)
	}
	if err := tx.AppendCheckpoint(store.Checkpoint{Size: size, Note: signed, Time: now}); err != nil {
		return 0, err
	}
	return len(events), tx.SetAuditSize(size)
}

// Hashes reads the stored hashes of the log, for the proofs of package tlog:
// tlog.ProveRecord shows that an event is in the log, tlog.ProveTree that one
// checkpoint continues another.
func Hashes(tx *store.Tx) tlog.HashReader {
	return &hashReader{tx: tx}
}

type hashReader struct {
	tx    *store.Tx
	known map[int64]tlog.Hash // those of this transaction, if kept
}

// ReadHashes implements tlog.HashReader.
func (r *hashReader) ReadHashes(positions []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(positions))
	for i, p := range positions {
		h, ok := r.known[p]
		if !ok {
			var err error
			if h, err = r.tx.AuditHash(p); err != nil {
				return nil, fmt.Errorf("audit: hash %d of the log: %w", p, err)
			}
			if r.known != nil {
				r.known[p] = h
			}
		}
		hashes[i] = h
	}
	return hashes, nil
}

// openCheckpoint checks the signature of a checkpoint and gives what it states.
func openCheckpoint(signed []byte, verifier note.Verifier) (size int64, root tlog.Hash, err error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return 0, root, err
	}
	// Lines after the third are extensions.
	lines := strings.SplitN(n.Text, "\n", 4)
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return 0, root, errors.New("not a checkpoint of this log")
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return 0, root, fmt.Errorf("the size %q is not a number", lines[1])
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return 0, root, fmt.Errorf("the root %q is not a hash", lines[2])
	}
	copy(root[:], hash)
	return size, root, nil
}
