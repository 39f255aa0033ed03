// Package verify is the continuous verifier: it reads the whole database, on one
// snapshot and without writing, and derives it a second time from what cannot be
// changed unseen: the signed steps and the events under the audit log. Every row
// that is not what it should be is named.
//
// It shares no decoder with the product: documents, signatures, hash chains and
// the life of a license are written down here once more, so that a mistake in one
// place shows in the other. docs/operations.md tells what a finding means.
package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"licet/internal/audit"
	"licet/internal/store"
)

// maxFindings is how many findings are kept; the rest is counted.
const maxFindings = 10_000

// pageSize is how many rows are read at once.
const pageSize = 1000

// Options are what a run may be told.
type Options struct {
	// Trust is a trust file from outside the database; its root must be that of
	// the database. Nil leaves that open.
	Trust []byte
	// Audit is the key of the audit log from outside the database; nil means that
	// of the database.
	Audit note.Verifier
	// Keys is why the private keys do not open with their secret, nil if they do
	// or nobody tried.
	Keys error
	// Progress is told from time to time how many rows were read; it may be nil.
	Progress func(table string, rows int64)
}

// Finding names something in the database that is not what it should be.
type Finding struct {
	Table    string `json:"table"`
	Key      string `json:"key"`              // of the row; parts are joined by a slash
	Column   string `json:"column,omitempty"` // empty for the row as a whole
	Is       string `json:"is,omitempty"`
	Expected string `json:"expected,omitempty"`
	Why      string `json:"why"` // what it was held against
}

// String is the finding for people.
func (f Finding) String() string {
	text := f.Table + " " + f.Key
	if f.Column != "" {
		text += ", " + f.Column
	}
	if f.Is != "" || f.Expected != "" {
		text += fmt.Sprintf(": is %s, expected %s", cmp.Or(f.Is, "none"), cmp.Or(f.Expected, "none"))
	}
	return text + ": " + f.Why
}

// Count says how many rows of a table were checked.
type Count struct {
	Table string `json:"table"`
	Good  int64  `json:"good"`
	Bad   int64  `json:"bad"` // rows with a finding, missing ones included
}

// Report is what a run found.
type Report struct {
	Good        int64     `json:"good"` // rows
	Bad         int64     `json:"bad"`
	Tables      []Count   `json:"tables"`
	Checkpoints int64     `json:"checkpoints"` // of the audit log
	Tail        int64     `json:"tail"`        // events that are not yet in the audit log
	Findings    []Finding `json:"findings"`
	Unlisted    int64     `json:"unlisted,omitempty"` // further findings
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Run verifies the database. The error tells only that it could not be done.
func Run(ctx context.Context, db *store.DB, opt Options) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var v *run
	var read, trail error
	var trailReport audit.Report
	var beside sync.WaitGroup
	// The trail is a snapshot and a check of its own; it takes its time.
	start := func(key note.Verifier) {
		beside.Go(func() {
			if trailReport, trail = audit.Verify(ctx, db, key); trail != nil {
				cancel()
			}
		})
	}
	started := false
	read = db.Read(ctx, func(tx *store.Tx) error {
		v = &run{tx: tx, opt: opt, checked: map[string]int64{}, bad: map[string]map[string]bool{}, told: map[string]bool{},
			issuing: map[[16]byte]issuer{}, made: map[[16]byte]int64{}, accepted: map[string][]int64{}, proofs: map[string]proof{},
			top: map[string]int64{}, blocks: map[int64]block{}, waiting: map[string]int64{}, counted: map[string]int64{},
			subscribed: agreements{map[string][]licenseEnd{}, map[string]int64{}}}
		if err := v.vendor(); err != nil {
			return err
		}
		if v.auditKey != nil && !started {
			started = true
			start(v.auditKey)
		}
		for _, pass := range []func() error{v.things, v.containers, v.proven, v.licenses, v.subscriptions, v.orders, v.losses, v.blockList, v.signatures} {
			if err := pass(); err != nil {
				return err
			}
		}
		return nil
	})
	if read != nil {
		cancel()
	}
	beside.Wait()
	if trail != nil && !errors.Is(trail, context.Canceled) {
		return Report{}, trail
	}
	if err := cmp.Or(read, trail); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	v.trail(trailReport)
	return v.report(trailReport), nil
}

// run is one run over the database.
type run struct {
	tx  *store.Tx
	opt Options

	findings []Finding
	unlisted int64
	told     map[string]bool            // table, key and column of what was found
	bad      map[string]map[string]bool // rows found, by table
	checked  map[string]int64           // rows read, by table
	rows     int64

	scope    scope
	root     ed25519.PublicKey
	issuing  map[[16]byte]issuer
	made     map[[16]byte]int64 // signatures of issuing keys that the record holds
	epoch    int64
	outdated string
	created  int64
	stop     string // why nothing is issued; empty where it is
	auditKey note.Verifier
	gaps     []gap // by the events, oldest first

	uncertified []store.RawKey

	accepted map[string][]int64 // containers that staff accepted, and at which steps
	proofs   map[string]proof   // of the flags, by id

	top     map[string]int64 // containers that staff accepted, and the highest step proven until then
	blocks  map[int64]block  // the block list by the events, by the numbers with which entries came
	waiting map[string]int64 // orders that are not carried out, by container
	counted map[string]int64 // the same by the containers' rows

	subscribed agreements
}

// gap is a return from a back-up, as its event tells of it.
type gap struct {
	event                                     string
	epoch, list, since, opened, closed, whole int64
}

type issuer struct {
	public       ed25519.PublicKey
	certificates []certificate
	row          string // of keys; empty for one that the trust bundle alone has
	counted      int64  // signatures, by its row
	revoked      int64  // since when; 0 while it is not
}

type proof struct {
	container string
	time      int64
}

// find notes a finding; one place is told of once.
func (v *run) find(table, key, column, is, expected, why string, args ...any) {
	place := table + "\x00" + key + "\x00" + column
	if v.told[place] {
		return
	}
	if len(v.findings) >= maxFindings {
		v.unlisted++
		return
	}
	v.told[place] = true
	if v.bad[table] == nil {
		v.bad[table] = map[string]bool{}
	}
	v.bad[table][key] = true
	if len(args) > 0 {
		why = fmt.Sprintf(why, args...)
	}
	v.findings = append(v.findings, Finding{table, key, column, is, expected, why})
}

// same holds a value against the one expected.
func (v *run) same(table, key, column string, is, expected any, why string, args ...any) bool {
	if b, ok := is.([]byte); ok {
		if e, ok := expected.([]byte); ok && bytes.Equal(b, e) {
			return true
		}
	} else if is == expected {
		return true
	}
	v.find(table, key, column, show(is), show(expected), why, args...)
	return false
}

func show(x any) string {
	switch x := x.(type) {
	case []byte:
		if len(x) > 64 {
			return fmt.Sprintf("%d bytes %s…", len(x), hex.EncodeToString(x[:16]))
		}
		return hex.EncodeToString(x)
	case string:
		return x
	}
	return fmt.Sprint(x)
}

func (v *run) isBad(table, key string) bool { return v.bad[table][key] }

// read counts a row.
func (v *run) read(table string) {
	v.checked[table]++
	v.rows++
	if v.rows%10_000 == 0 && v.opt.Progress != nil {
		v.opt.Progress(table, v.rows)
	}
}

// trail turns what the audit found into findings.
func (v *run) trail(r audit.Report) {
	v.checked["events"] += r.Sequenced + r.Tail
	for _, p := range r.Problems {
		switch {
		case p.Event != "":
			v.find("events", p.Event, "audit", "", "", "%s", p.What)
		case p.Sequence >= 0:
			v.find("events", "place "+strconv.FormatInt(p.Sequence, 10)+" of the audit log", "audit", "", "", "%s", p.What)
		default: // each under a key of its own
			v.find("audit log", fmt.Sprint("problem ", len(v.bad["audit log"])+1), "", "", "", "%s", p.What)
		}
	}
}

func (v *run) report(r audit.Report) Report {
	out := Report{Tables: []Count{}, Checkpoints: r.Checkpoints, Tail: r.Tail, Findings: v.findings, Unlisted: v.unlisted}
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	names := map[string]bool{}
	for t := range v.checked {
		names[t] = true
	}
	for t := range v.bad {
		names[t] = true
	}
	for t := range names {
		bad := int64(len(v.bad[t]))
		c := Count{Table: t, Good: max(v.checked[t]-bad, 0), Bad: bad}
		out.Good, out.Bad = out.Good+c.Good, out.Bad+c.Bad
		out.Tables = append(out.Tables, c)
	}
	slices.SortFunc(out.Tables, func(a, b Count) int { return cmp.Compare(a.Table, b.Table) })
	return out
}

// pages gives the rows of a paged query one by one. The first error ends it.
type pages[T any] struct {
	load  func(last T) ([]T, error) // the page after last; the zero value asks for the first
	page  []T
	last  T
	done  bool
	err   error
	ready func([]T) // told of every page, may be nil
}

// peek is the current row, or nil at the end.
func (p *pages[T]) peek() *T {
	if len(p.page) == 0 && !p.done {
		p.page, p.err = p.load(p.last)
		if p.done = len(p.page) == 0 || p.err != nil; !p.done {
			p.last = p.page[len(p.page)-1]
			if p.ready != nil {
				p.ready(p.page)
			}
		}
	}
	if p.done {
		return nil
	}
	return &p.page[0]
}

// next gives the current row, or nil at the end, and goes on.
func (p *pages[T]) next() *T {
	row := p.peek()
	if row != nil {
		p.page = p.page[1:]
	}
	return row
}

// subjectEvents pages through the events about things of one kind.
func (v *run) subjectEvents(kind string) *pages[store.SubjectEvent] {
	return &pages[store.SubjectEvent]{load: func(last store.SubjectEvent) ([]store.SubjectEvent, error) {
		return v.tx.SubjectEvents(kind, last.Subject, last.ID, pageSize)
	}}
}

// take gives the events of one subject.
func take(events *pages[store.SubjectEvent], subject string) []store.SubjectEvent {
	var out []store.SubjectEvent
	for e := events.peek(); e != nil && e.Subject == subject; e = events.peek() {
		out = append(out, *events.next())
	}
	return out
}

// skew is how far the clocks of two servers on one database may be apart, in µs:
// ids of events sort by time.
const skew = 2_000_000

// arrange goes through events in the order of their ids. One that does not fit is
// put behind a later one that does, if their times are as close as clocks may be
// apart.
func arrange(events []store.SubjectEvent, fits func(store.SubjectEvent) bool, take func(e store.SubjectEvent, fits bool)) {
	const window = 64
	for len(events) > 0 {
		found := -1
		for i := range min(len(events), window) {
			if events[i].Time-events[0].Time > skew {
				break
			}
			if fits(events[i]) {
				found = i
				break
			}
		}
		at := max(found, 0)
		e := events[at]
		if at == 0 {
			events = events[1:]
		} else {
			events = slices.Delete(slices.Clone(events), at, at+1)
		}
		take(e, found >= 0)
	}
}

// details reads the details of an event.
func (v *run) details(e store.SubjectEvent, into any) bool {
	if err := json.Unmarshal([]byte(e.Details), into); err != nil {
		v.find("events", e.ID, "details", "", "", "%s of %s %s: its details cannot be read: %v", e.Name, e.First.Kind, e.First.ID, err)
		return false
	}
	return true
}

func least(keys ...string) string {
	out := ""
	for _, k := range keys {
		if k != "" && (out == "" || k < out) {
			out = k
		}
	}
	return out
}
