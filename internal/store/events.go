package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Subject is something an event is about: Kind is order, ticket, license,
// container, product, token and so on, and ID is its id.
type Subject struct{ Kind, ID string }

// Event is one thing that happened: a row of the audit spine, which history,
// notifications, webhooks and reports all read.
type Event struct {
	ID       string          // made by the caller, unique, sortable by time
	Time     int64           // µs since 1970 UTC
	Actor    string          // who caused it
	Name     string          // what happened, such as license.withdrawn
	Subjects []Subject       // what it is about, each once
	Before   []byte          // hash of the state before, or nil
	After    []byte          // hash of the state after, or nil
	Reason   string          // why, in the actor's words
	Request  string          // id of the request that caused it
	Details  json.RawMessage // JSON, kept byte for byte, or nil

	// Set when read; AppendEvent ignores them.
	Leaf     []byte // leaf hash as stored with the event
	Sequence int64  // place in the audit log, or -1 until it has one
}

// Encode gives the bytes whose hash is the event's leaf in the audit log:
//
//	event   = "licet event 1\n"
//	          string(id) int(time) string(actor) string(name)
//	          int(number of subjects) { string(kind) string(id) }
//	          string(before) string(after)
//	          string(reason) string(request) string(details)
//	string  = int(number of bytes) bytes
//	int     = 8 bytes, signed, big-endian
//
// The fields are exactly those of the row: text is UTF-8 as stored, an absent
// hash or absent details is the empty string, and the subjects keep their order.
// Leaf and Sequence are not part of it.
func (e *Event) Encode() []byte {
	const begin = "licet event 1\n"
	size := len(begin) + 8*11 + len(e.ID) + len(e.Actor) + len(e.Name) + len(e.Before) + len(e.After) + len(e.Reason) + len(e.Request) + len(e.Details)
	for _, s := range e.Subjects {
		size += 8*2 + len(s.Kind) + len(s.ID)
	}
	b := append(make([]byte, 0, size), begin...)
	b = appendText(b, e.ID)
	b = appendInteger(b, e.Time)
	b = appendText(b, e.Actor)
	b = appendText(b, e.Name)
	b = appendInteger(b, int64(len(e.Subjects)))
	for _, s := range e.Subjects {
		b = appendText(b, s.Kind)
		b = appendText(b, s.ID)
	}
	b = appendText(b, e.Before)
	b = appendText(b, e.After)
	b = appendText(b, e.Reason)
	b = appendText(b, e.Request)
	return appendText(b, e.Details)
}

func appendInteger(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(appendInteger(b, int64(len(s))), s...)
}

// LeafHash is the leaf hash of RFC 6962, section 2.1, of the event as it is
// now: SHA-256 of a zero byte and [Event.Encode].
func (e *Event) LeafHash() tlog.Hash { return tlog.RecordHash(e.Encode()) }

// check refuses what the two engines would store differently.
func (e *Event) check() error {
	for _, s := range []string{e.ID, e.Actor, e.Name, e.Reason, e.Request} {
		if !storable(s) {
			return errText()
		}
	}
	if !utf8.Valid(e.Details) || bytes.IndexByte(e.Details, 0) >= 0 {
		return errText()
	}
	var seen map[Subject]struct{}
	if len(e.Subjects) > 8 { // an order may add 100 000 licenses
		seen = make(map[Subject]struct{}, len(e.Subjects))
	}
	for i, s := range e.Subjects {
		if !storable(s.Kind) || !storable(s.ID) {
			return errText()
		}
		twice := seen == nil && slices.Contains(e.Subjects[:i], s)
		if seen != nil {
			_, twice = seen[s]
			seen[s] = struct{}{}
		}
		if twice {
			return fmt.Errorf("store: event %s names the subject %s %s twice", e.ID, s.Kind, s.ID)
		}
	}
	if e.ID == "" || e.Name == "" {
		return errors.New("store: an event needs an id and a name")
	}
	if len(e.Details) > 0 && !json.Valid(e.Details) {
		return fmt.Errorf("store: the details of event %s are not JSON", e.ID)
	}
	return nil
}

// storable reports whether both engines keep a text as it is.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

const (
	insertEvent = `INSERT INTO events
  (id, time, actor, name, before_hash, after_hash, reason, request, details, leaf)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

	insertEventSubject = `INSERT INTO event_subjects (event_id, position, kind, subject_id)
  VALUES ($1, $2, $3, $4)`

	// selectEvents, a choice of events called e, and joinSubjects make a query
	// with one row per subject, and one for an event without any.
	selectEvents = `SELECT e.id, e.time, e.actor, e.name, e.before_hash, e.after_hash,
  e.reason, e.request, e.details, e.leaf, e.sequence, s.kind, s.subject_id
  FROM `
	joinSubjects = ` LEFT JOIN event_subjects s ON s.event_id = e.id `

	selectHistory = selectEvents + `(SELECT h.* FROM event_subjects f JOIN events h ON h.id = f.event_id
  WHERE f.kind = $1 AND f.subject_id = $2 AND f.event_id > $3
  ORDER BY f.event_id LIMIT $4) e` + joinSubjects + `ORDER BY e.id, s.position`

	selectAllEvents = selectEvents + `(SELECT * FROM events WHERE id > $1
  ORDER BY id LIMIT $2) e` + joinSubjects + `ORDER BY e.id, s.position`

	selectLogEvents = selectEvents + `(SELECT * FROM events
  WHERE sequence >= 0 AND sequence >= $1 AND (sequence > $1 OR id > $2)
  ORDER BY sequence, id LIMIT $3) e` + joinSubjects + `ORDER BY e.sequence, e.id, s.position`

	selectTail = selectEvents + `(SELECT * FROM events WHERE sequence < 0 AND id > $1
  ORDER BY id LIMIT $2) e` + joinSubjects + `ORDER BY e.id, s.position`
)

// AppendEvent writes an event and its leaf. It belongs into the transaction of
// the change that the event tells of. The event waits in memory until the commit,
// or until events are read: then all that wait are written with a few statements.
// ErrConflict, which may come only then, means that an event has this id already.
func (tx *Tx) AppendEvent(e Event) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	leaf := e.LeafHash()
	e.Leaf = leaf[:]
	tx.conn.events.waiting = append(tx.conn.events.waiting, e)
	return nil
}

// eventBuffer holds the events that were appended since the last commit.
type eventBuffer struct {
	waiting []Event
	written int // so many of the first ones are in the database
}

// mark is how far the buffer is now; back drops what was appended since and takes
// what was written since, and is undone, for not written.
func (b *eventBuffer) mark() (waiting, written int) { return len(b.waiting), b.written }

func (b *eventBuffer) back(waiting, written int) {
	clear(b.waiting[waiting:])
	b.waiting, b.written = b.waiting[:waiting], written
}

// writeEvents writes the events that wait.
func (c *conn) writeEvents(ctx context.Context) error {
	b := &c.events
	some := b.waiting[b.written:]
	if len(some) == 0 {
		return nil
	}
	events := make([]any, 0, insertEvents.values*len(some))
	var subjects []any
	for _, e := range some {
		// An absent hash is an empty one: nil would be NULL.
		events = append(events, e.ID, e.Time, e.Actor, e.Name, append([]byte{}, e.Before...), append([]byte{}, e.After...),
			e.Reason, e.Request, string(e.Details), e.Leaf)
		for i, s := range e.Subjects {
			subjects = append(subjects, e.ID, i, s.Kind, s.ID)
		}
	}
	if err := c.manyLater(ctx, &insertEvents, events); err != nil {
		return err
	}
	if err := c.manyLater(ctx, &insertSubjects, subjects); err != nil {
		return err
	}
	b.written = len(b.waiting)
	return nil
}

// writeEvents prepares for a query about events.
func (tx *Tx) writeEvents() error {
	if err := tx.ready(); err != nil {
		return err
	}
	tx.changed = true
	if err := tx.conn.writeEvents(tx.statement); err != nil {
		return tx.fail(err)
	}
	return nil
}

var (
	insertEvents   = newManyRows(insertEvent, 10)
	insertSubjects = newManyRows(insertEventSubject, 4)
)

// Events gives the history of subject: its events whose id is after the given
// one, oldest first, at most limit. Begin with "", go on with the last id.
func (tx *Tx) Events(subject Subject, after string, limit int) ([]Event, error) {
	return tx.events(selectHistory, subject.Kind, subject.ID, after, limit)
}

// AllEvents gives the events whose id is after the given one, oldest first, at
// most limit. It is for people who page through the log: a transaction that
// commits late can add an event before one that was already read. What must not
// miss an event reads LogEvents.
func (tx *Tx) AllEvents(after string, limit int) ([]Event, error) {
	return tx.events(selectAllEvents, after, limit)
}

// LogEvents gives the events of the audit log from the given sequence on, in the
// order of the log, at most limit; an event at that very sequence only if its id
// is after the given one. Nothing ever appears before what was already read, so
// who must not miss an event goes on with LogEvents(last sequence + 1, "", limit).
func (tx *Tx) LogEvents(sequence int64, after string, limit int) ([]Event, error) {
	return tx.events(selectLogEvents, sequence, after, limit)
}

// EventTail gives the events that are not yet in the audit log and whose id is
// after the given one, at most limit.
func (tx *Tx) EventTail(after string, limit int) ([]Event, error) {
	return tx.events(selectTail, after, limit)
}

// events folds the rows of a query, one per subject, into events.
func (tx *Tx) events(query string, args ...any) ([]Event, error) {
	if err := tx.writeEvents(); err != nil {
		return nil, err
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Event
	for rows.Next() {
		var e Event
		var details string
		var kind, id sql.NullString
		if err := rows.Scan(&e.ID, &e.Time, &e.Actor, &e.Name, &e.Before, &e.After,
			&e.Reason, &e.Request, &details, &e.Leaf, &e.Sequence, &kind, &id); err != nil {
			return nil, err
		}
		if n := len(all); n == 0 || all[n-1].ID != e.ID {
			e.Before, e.After = nilIfEmpty(e.Before), nilIfEmpty(e.After)
			e.Details = nilIfEmpty(json.RawMessage(details))
			all = append(all, e)
		}
		if kind.Valid {
			last := &all[len(all)-1]
			last.Subjects = append(last.Subjects, Subject{kind.String, id.String})
		}
	}
	return all, rows.Err()
}

func nilIfEmpty[B ~[]byte](b B) B {
	if len(b) == 0 {
		return nil
	}
	return b
}
