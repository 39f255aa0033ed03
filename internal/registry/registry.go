// Package registry is the vendor's book: every operation of the server, one
// transaction each. It loads, asks the pure packages to decide, saves state,
// event, audit leaf and update together, and only then lets anything leave.
package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"licet/internal/durable"
	"licet/internal/store"
	"licet/internal/webhook"
	"licet/license"
	"licet/refusal"
)

// Actor is who does something. Every operation that needs rights takes one.
type Actor struct {
	Kind   string // staff, container, system
	Name   string
	Scopes []string
	token  string // id of the token that it came with; "" for others
}

// String is the actor as the audit trail names it, such as "staff:admin".
func (a Actor) String() string { return a.Kind + ":" + a.Name }

// System acts for the server itself: at the console of its own machine.
var System = Actor{Kind: "system", Name: "console", Scopes: []string{ScopeAdmin}}

// Config is what a registry is opened with.
type Config struct {
	DB     *store.DB
	Secret []byte           // 32 bytes of secret.key, which encrypts secrets at rest
	Now    func() time.Time // the clock; time.Now in production
	Random func([]byte)     // fills with random bytes; crypto/rand in production
	Log    *slog.Logger

	Journal     string        // place of the second journal; "" for none
	JournalDisk *durable.Disk // where it is written; nil is the real disk
}

// Registry is an open book. It is safe for concurrent use.
type Registry struct {
	cfg    Config
	ring   atomic.Pointer[keyring] // the newest known here
	tally  tally
	links  sync.Map // address → *signerlink.Link
	blocks blockCache
	report reportCache

	origins  []string         // of pages that may speak to machines, beside its own; set before serving
	networks webhook.Networks // internal ones that messages may go to; set before serving

	attempts attempts // to sign in

	idsLock sync.Mutex // guards ids
	ids     license.IDs
}

// Once makes a creating call repeatable: the same key with the same hash gets
// the first answer again, with another hash it is refused (docs/protocol.md R16).
// The zero value means no key.
type Once struct {
	Key  string
	Hash [32]byte
	item *bulkItem // the call is an item of a job
}

// Open opens the book of a database that Init has prepared; NotFound if none has.
func Open(ctx context.Context, cfg Config) (*Registry, error) {
	r := &Registry{cfg: cfg}
	if err := r.loadKeys(ctx); err != nil {
		return nil, err
	}
	return r, r.useJournal(ctx)
}

// Close gives back what was put aside for this server alone. The database stays
// open.
func (r *Registry) Close(ctx context.Context) error { return r.giveBackSignatures(ctx) }

// Ready reports whether the database answers, and this server may give out
// licenses.
func (r *Registry) Ready(ctx context.Context) error {
	if err := r.cfg.DB.Ping(ctx); err != nil {
		return r.journalFault(err)
	}
	return r.standing(ctx)
}

// tries is how often a transaction is run again when another one created the
// same row at the same time.
const tries = 20

// errOldKeys says that another server has changed the keys, or stopped or resumed
// issuing, since they were read here.
var errOldKeys = errors.New("registry: the keys were changed")

// errAgain says that a transaction decided on what another one has changed
// since; it is run again.
var errAgain = errors.New("registry: decided on an old view")

// write runs a transaction. Two transactions that create the same row race; the
// loser is run again and then finds the row.
func (r *Registry) write(ctx context.Context, fn func(*store.Tx) error) error {
	var err error
	for range tries {
		known := r.keys()
		err = r.cfg.DB.Write(ctx, func(tx *store.Tx) error {
			if err := r.holds(ctx, tx); err != nil {
				return err
			}
			return fn(tx)
		})
		if c := conditionOf(ctx); c != nil && err == nil {
			c.met = true
		}
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, errAgain):
			continue
		case errors.Is(err, errOldKeys), errors.Is(err, store.ErrMissed):
			// What was signed with the old keys was not stored.
			if _, failed := r.RefreshKeys(ctx); failed == nil && r.keys() != known {
				continue
			}
		case errors.Is(err, errUncounted):
			if _, failed := r.toSign(ctx); failed == nil {
				continue
			}
		}
		if r.blocks.touched.Swap(false) {
			r.blocks.drop()
		}
		err = r.journalFault(err)
		if _, refused := refusal.As(err); err != nil && !refused && ctx.Err() == nil {
			if no := r.standing(ctx); refusal.Is(no, refusal.ServerOutdated) {
				return no // the step was refused for that
			}
		}
		return err
	}
	return err
}

func (r *Registry) newID(word string, now time.Time) string {
	var random [6]byte
	r.cfg.Random(random[:])
	r.idsLock.Lock()
	defer r.idsLock.Unlock()
	return r.ids.New(word, now, random)
}

type requestKey struct{}

// WithRequest carries the id of the request that an operation serves; the
// histories name it.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
