package agent

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
)

// Times of the loops that run while an agent serves.
const (
	firstRefresh = time.Minute      // after the start
	firstRetry   = time.Minute      // after a vendor could not be reached
	lookEvery    = 10 * time.Minute // at containers that came, and at what vendors ask for
	floorEvery   = time.Hour

	shortestRefresh = time.Minute // that a vendor may ask for
)

// refreshLoop asks each vendor what is pending, as often as he wants it.
func (a *Agent) refreshLoop(ctx context.Context, every time.Duration) {
	if every < 0 {
		return
	}
	if every == 0 {
		every = DefaultRefresh
	}
	t := timetable{share: a.share, turns: map[string]*turn{}}
	t.seen(a.intervals(ctx, every), firstRefresh)
	for wait := t.next(); pause(ctx, wait); wait = t.next() {
		t.pass(wait)
		t.seen(a.intervals(ctx, every), lookEvery)
		for _, vendor := range t.due() {
			t.asked(vendor, a.refresh(ctx, vendor))
		}
	}
}

// intervals are the times between two contacts, by vendor: the shortest that he
// asks for in a container, or the machine's own.
func (a *Agent) intervals(ctx context.Context, every time.Duration) map[string]time.Duration {
	entries, err := a.entries("")
	if err != nil {
		a.cfg.Log.Warn("containers cannot be listed", "error", err)
	}
	list := map[string]time.Duration{}
	traits := a.traits()
	for _, e := range entries {
		if e.Err != nil {
			continue
		}
		wanted := list[e.Header.Vendor]
		if b, err := a.open(ctx, license.Serial(e.Serial), traits); err == nil && b.Refresh > 0 {
			asked := max(b.Refresh.Go(), shortestRefresh)
			if wanted == 0 || asked < wanted {
				wanted = asked
			}
		}
		list[e.Header.Vendor] = wanted
	}
	for vendor, wanted := range list {
		if wanted == 0 {
			list[vendor] = every
		}
	}
	return list
}

// timetable says when each vendor is asked next. It knows no clock: it is told
// how much time has passed.
type timetable struct {
	share func() float64 // a random number, 0 ≤ x < 1
	turns map[string]*turn
}

// turn is what remains until a vendor is asked.
type turn struct {
	every  time.Duration
	left   time.Duration
	failed int // times in a row that he could not be reached
}

// seen takes in which vendors there are and how often they are to be asked. One
// that is new gets his first turn after a while, and one that is to be asked more
// often than before does not wait for the end of the longer time.
func (t *timetable) seen(intervals map[string]time.Duration, first time.Duration) {
	for vendor := range t.turns {
		if _, there := intervals[vendor]; !there {
			delete(t.turns, vendor)
		}
	}
	for vendor, every := range intervals {
		switch known := t.turns[vendor]; {
		case known == nil:
			t.turns[vendor] = &turn{every: every, left: t.jitter(min(first, every))}
		case known.every != every:
			if every < known.every {
				known.left = min(known.left, t.jitter(every))
			}
			known.every = every
		}
	}
}

// next is how long to wait until something is to be done.
func (t *timetable) next() time.Duration {
	wait := lookEvery
	for _, turn := range t.turns {
		wait = min(wait, turn.left)
	}
	return max(0, wait)
}

// pass lets time go by.
func (t *timetable) pass(d time.Duration) {
	for _, turn := range t.turns {
		turn.left -= d
	}
}

// due are the vendors whose turn it is.
func (t *timetable) due() (vendors []string) {
	for vendor, turn := range t.turns {
		if turn.left <= 0 {
			vendors = append(vendors, vendor)
		}
	}
	slices.Sort(vendors)
	return vendors
}

// asked sets a vendor's next turn. One who could not be reached is asked again
// later and later, but never later than usual.
func (t *timetable) asked(vendor string, reached bool) {
	turn := t.turns[vendor]
	if reached {
		turn.failed, turn.left = 0, t.jitter(turn.every)
		return
	}
	retry := turn.every
	if shift := turn.failed; shift < 30 && firstRetry<<shift < retry {
		retry = firstRetry << shift
	}
	turn.failed++
	turn.left = min(t.jitter(retry), turn.every)
}

// jitter spreads a time by a tenth to both sides, so that machines that were
// started together do not call together.
func (t *timetable) jitter(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*(t.share()*0.2-0.1))
}

// share draws a random number, 0 ≤ x < 1.
func (a *Agent) share() float64 {
	var b [4]byte
	a.cfg.Random(b[:])
	return float64(binary.BigEndian.Uint32(b[:])) / (1 << 32)
}

// refresh asks once for every container of a vendor, and reports whether he was
// reached. What stands against an update here, or was refused there, is no reason
// to ask again sooner.
func (a *Agent) refresh(ctx context.Context, vendor string) (reached bool) {
	results, err := a.Update(ctx, UpdateRequest{Vendor: vendor})
	if err != nil {
		a.cfg.Log.Warn("update failed", "vendor", vendor, "error", err)
		return false
	}
	reached = true
	for _, r := range results {
		if r.Error != nil {
			a.cfg.Log.Warn("update failed", "container", r.Container, "code", r.Error.Code, "error", r.Error.Detail)
			reached = reached && !passing(r.Error.Code)
			continue
		}
		a.cfg.Log.Info("updated", "container", r.Container, "counter", r.Counter, "applied", len(r.Applied))
		for _, c := range r.Applied {
			a.cfg.Log.Info("changed", "container", r.Container, "by", c.Cause, "what", c.Op, "phase", c.Phase, "license", c.License, "product", c.Product)
		}
	}
	return reached
}

// passing reports whether a failure is one that goes by.
func passing(code refusal.Code) bool {
	switch code {
	case refusal.CentralUnreachable, refusal.RateLimited, refusal.Internal, refusal.StorageFull, refusal.Conflict, refusal.SignerUnavailable:
		return true
	}
	return false
}

// floorLoop raises the time floor every hour, so that a clock set back is
// noticed even where nothing else is written.
func (a *Agent) floorLoop(ctx context.Context) {
	for pause(ctx, floorEvery) {
		a.raiseFloors(ctx)
	}
}

// raiseFloors writes the present time as one that has passed into every
// container that opens here. A clock that ran ahead is set right by the next
// answer of the vendor (docs/protocol.md R23).
func (a *Agent) raiseFloors(ctx context.Context) {
	err := a.write(ctx, func() error {
		entries, err := containerfile.List(a.cfg.Home)
		if err != nil {
			return err
		}
		traits := a.traits()
		for _, e := range entries {
			b, err := a.open(ctx, license.Serial(e.Serial), traits)
			if err != nil {
				a.cfg.Log.Debug("time floor not raised", "container", e.Serial, "error", err)
				continue
			}
			now := a.now()
			if now <= b.State.Floor {
				continue
			}
			b.State.Floor = now
			if err := a.save(ctx, b); err != nil {
				a.cfg.Log.Warn("time floor not raised", "container", e.Serial, "error", err)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.cfg.Log.Warn("time floor not raised", "error", err)
	}
}

// pause waits, and reports whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
