package agent

import (
	"context"
	"encoding/binary"
	"time"

	"licet/internal/containerfile"
	"licet/license"
)

// Times of the loops that run while an agent serves.
const (
	firstRefresh = time.Minute
	firstRetry   = time.Minute
	floorEvery   = time.Hour
)

// refreshLoop asks the vendors what is pending, now and then. A vendor that
// cannot be reached is asked again later and later, but never later than the
// usual time.
func (a *Agent) refreshLoop(ctx context.Context, every time.Duration) {
	if every < 0 {
		return
	}
	if every == 0 {
		every = DefaultRefresh
	}
	retry := min(firstRetry, every)
	for wait := min(firstRefresh, every); pause(ctx, a.jitter(wait)); {
		if a.refresh(ctx) {
			wait, retry = every, min(firstRetry, every)
		} else {
			wait, retry = retry, min(2*retry, every)
		}
	}
}

// refresh asks once for every container and reports whether all were answered.
func (a *Agent) refresh(ctx context.Context) bool {
	results, err := a.Update(ctx, UpdateRequest{})
	if err != nil {
		a.cfg.Log.Warn("update failed", "error", err)
		return false
	}
	reached := true
	for _, r := range results {
		if r.Error != nil {
			a.cfg.Log.Warn("update failed", "container", r.Container, "code", r.Error.Code, "error", r.Error.Detail)
			reached = false
			continue
		}
		a.cfg.Log.Info("updated", "container", r.Container, "counter", r.Counter, "applied", len(r.Applied))
	}
	return reached
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

// jitter spreads a time by a tenth to both sides, so that machines that were
// started together do not call together.
func (a *Agent) jitter(d time.Duration) time.Duration {
	var b [8]byte
	a.cfg.Random(b[:])
	share := float64(binary.BigEndian.Uint32(b[:4]))/(1<<32)*0.2 - 0.1
	return d + time.Duration(float64(d)*share)
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
