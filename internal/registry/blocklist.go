package registry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"licet/blocklist"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const (
	// listFresh is how long a server goes on with the block list it knows before it
	// looks whether another server has changed it.
	listFresh = time.Second
	// maxNews is how much news of the block list travels with an update; a machine
	// that lacks more fetches it.
	maxNews = 64 << 10
	// maxChanges is how many changes of the list are looked at for an update: more
	// take more room than that, and time in every contact.
	maxChanges = maxNews / 4
	// maxSigned is how many different news of one number are kept.
	maxSigned = 64
)

// blockCache is the block list as this server knows it, and news of it that were
// signed already.
type blockCache struct {
	touched atomic.Bool // by a transaction that is about to commit

	lock    sync.Mutex
	loaded  time.Time // zero: must be looked at
	list    blocklist.List
	refresh license.Duration
	signed  map[uint64][]byte // by the number that they continue
}

// current returns the block list and how often machines are to ask, at most
// listFresh old.
func (r *Registry) current(ctx context.Context) (blocklist.List, license.Duration, error) {
	c, now := &r.blocks, r.cfg.Now()
	c.lock.Lock()
	defer c.lock.Unlock()
	if age := now.Sub(c.loaded); !c.loaded.IsZero() && age >= 0 && age < listFresh {
		return c.list, c.refresh, nil
	}
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		number, refresh, err := tx.List()
		if err != nil {
			return err
		}
		if number == c.list.Number() {
			c.refresh = refresh
			return nil
		}
		entries := c.list.Entries()
		changed, err := tx.BlocksSince(c.list.Number())
		if err != nil {
			return err
		}
		added, removed := changes(changed, c.list.Number(), number)
		kept := make([]blocklist.Entry, 0, len(entries)+len(added))
		for _, e := range entries {
			if !removed[e] {
				kept = append(kept, e)
			}
		}
		for e := range added {
			kept = append(kept, e)
		}
		list, err := blocklist.New(number, kept)
		if err == nil {
			c.list, c.refresh, c.signed = list, refresh, nil
		}
		return err
	})
	if err == nil {
		c.loaded = now
	}
	return c.list, c.refresh, err
}

func (c *blockCache) drop() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.loaded = time.Time{}
}

// unsign forgets what was signed: another key signs now.
func (c *blockCache) unsign() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.signed = nil
}

// changes is what was added to and taken off the list between two numbers.
func changes(blocks []store.Block, from, to uint64) (added, removed map[blocklist.Entry]bool) {
	was, is := map[blocklist.Entry]bool{}, map[blocklist.Entry]bool{}
	added, removed = map[blocklist.Entry]bool{}, map[blocklist.Entry]bool{}
	for _, b := range blocks {
		e := entry(b)
		was[e] = was[e] || b.Added <= from && (b.Lifted == 0 || b.Lifted > from)
		is[e] = is[e] || b.Added <= to && (b.Lifted == 0 || b.Lifted > to)
	}
	for e := range is {
		if is[e] && !was[e] {
			added[e] = true
		}
		if was[e] && !is[e] {
			removed[e] = true
		}
	}
	return added, removed
}

func entry(b store.Block) blocklist.Entry {
	if b.Kind == store.BlockedContainer {
		return blocklist.Container(license.Serial(b.Subject))
	}
	return blocklist.License(license.ID(b.Subject), b.Generation)
}

// BlockNews is the signed news that bring the block list with a number to the
// current one; from 0 it is the whole list. Nil if there is nothing newer.
func (r *Registry) BlockNews(ctx context.Context, from uint64) ([]byte, error) {
	list, _, err := r.current(ctx)
	if err != nil || list.Number() <= from {
		return nil, err
	}
	r.blocks.lock.Lock()
	signed := r.blocks.signed[from]
	r.blocks.lock.Unlock()
	if signed != nil {
		return signed, nil
	}
	now := license.At(r.cfg.Now())
	news := list.Whole(now)
	if from > 0 {
		var blocks []store.Block
		err := r.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
			blocks, err = tx.BlocksSince(from)
			return err
		})
		if err != nil {
			return nil, err
		}
		added, removed := changes(blocks, from, list.Number())
		news = list.Increment(from, keys(added), keys(removed), now)
	}
	k, err := r.toSign(ctx)
	if err != nil {
		return nil, err
	}
	if signed, err = seal.SignBlockNews(k.scope, k.issuing, news, k.certificates()...); err != nil {
		return nil, err
	}
	r.blocks.lock.Lock()
	defer r.blocks.lock.Unlock()
	if r.blocks.signed == nil || len(r.blocks.signed) >= maxSigned {
		r.blocks.signed = map[uint64][]byte{}
	}
	if r.blocks.list.Number() == list.Number() && r.keys() == k {
		r.blocks.signed[from] = signed
	}
	return signed, nil
}

func keys(m map[blocklist.Entry]bool) []blocklist.Entry {
	out := make([]blocklist.Entry, 0, len(m))
	for e := range m {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}

// BlockListFile is the news as a file, to be carried or built into a program.
func (r *Registry) BlockListFile(ctx context.Context, from uint64) ([]byte, error) {
	news, err := r.BlockNews(ctx, from)
	if err != nil {
		return nil, err
	}
	if news == nil {
		return nil, refusal.New(refusal.AlreadyApplied, "There is nothing newer than block list %d.", from)
	}
	return seal.ArmorBlockNews(news)
}

// Blocked returns a page of what is blocked, newest first.
func (r *Registry) Blocked(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Block], error) {
	at, err := cursorNumber(cursor)
	if err != nil {
		return wire.List[wire.Block]{Items: []wire.Block{}}, err
	}
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Block, error) { return tx.Blocks(at, limit) },
		func(_ *store.Tx, b store.Block) (wire.Block, string, error) {
			return wire.Block{Kind: b.Kind, Subject: b.Subject, Generation: b.Generation, Number: b.Added, Reason: b.Reason, Time: b.Created}, number(b.Added), nil
		})
}

// heard is what an update tells of the block list: its number, what the machine
// lacks of it where that is little, and how often the machine is to ask.
type heard struct {
	number  uint64
	refresh license.Duration
	news    []byte
}

// heardBy is for a machine that knows the block list with a number.
func (r *Registry) heardBy(ctx context.Context, from uint64) (heard, error) {
	list, refresh, err := r.current(ctx)
	if err != nil {
		return heard{}, err
	}
	h := heard{number: list.Number(), refresh: refresh}
	changes := h.number - from // one with each number
	if from == 0 {
		changes = uint64(list.Len())
	}
	if h.number <= from || changes > maxChanges {
		return h, nil
	}
	news, err := r.BlockNews(ctx, from)
	if len(news) <= maxNews {
		h.news = news
	}
	return h, err
}

// block closes a container: nothing in it may be used from its next contact on,
// or from when the block list reaches it (docs/protocol.md, blocked containers).
// Its row is locked, and stored by the caller.
func block(log scribe, c *store.Container, why string) error {
	c.Blocked = store.Blocked{Reason: why, Time: license.At(log.now)}
	number, err := list(log, store.Block{Kind: store.BlockedContainer, Subject: string(c.Serial), Reason: why})
	if err != nil {
		return err
	}
	return log.note(evContainerBlocked, map[string]any{"why": why, "list": number}, about(ofContainer, string(c.Serial)))
}

// list puts an entry on the block list under the list's next number.
func list(log scribe, b store.Block) (number uint64, err error) {
	if number, err = log.tx.NextList(); err != nil {
		return 0, err
	}
	log.r.blocks.touched.Store(true)
	b.Added, b.Created = number, license.At(log.now)
	return number, log.tx.InsertBlock(b)
}

// lift takes an entry off the block list under the list's next number.
func lift(log scribe, b store.Block) (number uint64, err error) {
	if number, err = log.tx.NextList(); err != nil {
		return 0, err
	}
	log.r.blocks.touched.Store(true)
	return number, log.tx.LiftBlock(b, number)
}

// BlockContainer closes a container, such as a stolen one.
func (r *Registry) BlockContainer(ctx context.Context, a Actor, serial license.Serial, reason string) (wire.Container, error) {
	return r.decideContainer(ctx, a, serial, reason, func(d *desk, c *store.Container) error {
		if c.Blocked.Reason != "" {
			return refusal.New(refusal.Conflict, "The container %s is blocked already (%s).", serial, c.Blocked.Reason).Hinted("Nothing needs to be done.")
		}
		return block(d.log, c, reason)
	})
}

// UnblockContainer opens a container again, from its next contact on.
func (r *Registry) UnblockContainer(ctx context.Context, a Actor, serial license.Serial, reason string) (wire.Container, error) {
	return r.decideContainer(ctx, a, serial, reason, func(d *desk, c *store.Container) error {
		if c.Blocked.Reason == "" {
			return refusal.New(refusal.Conflict, "The container %s is not blocked.", serial).Hinted("Nothing needs to be done.")
		}
		return unblock(d.log, c)
	})
}

// unblock opens a container that is blocked. Its row is locked, and stored by the
// caller.
func unblock(log scribe, c *store.Container) error {
	was := c.Blocked.Reason
	c.Blocked = store.Blocked{}
	number, err := lift(log, store.Block{Kind: store.BlockedContainer, Subject: string(c.Serial)})
	if err != nil {
		return err
	}
	return log.note(evContainerUnblocked, map[string]any{"was": was, "list": number}, about(ofContainer, string(c.Serial)))
}

// decideContainer runs a decision of staff about one container.
func (r *Registry) decideContainer(ctx context.Context, a Actor, serial license.Serial, reason string, decide func(*desk, *store.Container) error) (out wire.Container, err error) {
	if err := a.may(ScopeContainers); err != nil {
		return out, err
	}
	if strings.TrimSpace(reason) == "" {
		return out, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			d := r.desk(tx, a, reason)
			if err := d.lock(nil, serial); err != nil {
				return err
			}
			c := d.containers[serial]
			if err := decide(d, &c); err != nil {
				return err
			}
			if err := tx.UpdateContainer(c); err != nil {
				return err
			}
			out, err = r.containerView(tx, c)
			return err
		})
	})
	return out, err
}
