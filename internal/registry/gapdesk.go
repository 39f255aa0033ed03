package registry

import (
	"context"
	"errors"
	"strings"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// HeldBackWhys is why licenses are held back, as in wire.Gap.
var HeldBackWhys = []string{store.HeldBackUp, store.HeldReturned, store.HeldTaken, store.HeldResent}

// epochZero is the moment from which epochs count seconds.
var epochZero = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// nextEpoch is the epoch that begins when a record comes back: at least one more
// than before, and the seconds since the beginning of 2025. So two records that come
// back from one back-up have different ones.
func nextEpoch(epoch uint64, now time.Time) uint64 {
	return max(epoch+1, uint64(max(int64(now.Sub(epochZero)/time.Second), 0)))
}

// OpenGap tells the record of a database that it came back from a back-up made at a
// moment: it begins a new epoch, and holds back every license that is with the
// vendor, because somebody may have got it since (docs/protocol.md R18, R19). No
// server may run on the database, or it is to be started again.
func (r *Registry) OpenGap(ctx context.Context, a Actor, since license.Time, reason string) (out wire.Gap, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return out, err
	}
	if strings.TrimSpace(reason) == "" {
		return out, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		if err := tx.TouchVendor(); err != nil {
			return err
		}
		out, err = r.openGap(tx, a, since, false, reason)
		return err
	})
	return out, err
}

// wholeFrom is the epoch from which on a record lacks nothing that was signed: its own,
// unless it came back with its journal.
func wholeFrom(tx *store.Tx, epoch uint64) (uint64, error) {
	g, err := tx.Gap()
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Whole == 0 {
		return epoch, nil
	}
	return g.Whole, err
}

// openGap begins a new epoch. Whole says that the record came back with all that was
// signed since the moment: then nothing is held back, and nothing is to be settled.
func (r *Registry) openGap(tx *store.Tx, a Actor, since license.Time, whole bool, reason string) (out wire.Gap, err error) {
	now := r.cfg.Now()
	v, err := tx.Vendor()
	if err != nil {
		return out, err
	}
	_, newest, err := tx.Position()
	if err != nil {
		return out, err
	}
	if license.At(now) <= newest {
		return out, refusal.New(refusal.ClockBehind, "The clock of this machine says %s; the newest event of the record is of %s.", license.At(now), newest).
			Hinted("Set the clock right.")
	}
	if since == 0 {
		since = newest
	}
	number, _, err := tx.List()
	if err != nil {
		return out, err
	}
	epoch := nextEpoch(v.Epoch, now)
	list := max(number+1, epoch)
	gap := store.Gap{Epoch: epoch, Since: since, Opened: license.At(now)}
	details := map[string]any{"epoch": epoch, "list": list, "since": since, "held_back": int64(0)}
	if whole {
		if gap.Whole, err = wholeFrom(tx, v.Epoch); err != nil {
			return out, err
		}
		gap.Closed = gap.Opened
		details["whole"] = gap.Whole
	} else if details["held_back"], err = tx.HoldPool(); err != nil {
		return out, err
	}
	if err := tx.BeginEpoch(epoch, list); err != nil {
		return out, err
	}
	if err := tx.InsertGap(gap); err != nil {
		return out, err
	}
	if err := tx.ForgetServers(); err != nil {
		return out, err
	}
	log := r.scribe(tx, a, now)
	log.reason = reason
	if err := endBulks(log); err != nil {
		return out, err
	}
	r.blocks.touched.Store(true)
	if err := log.note(evGapOpened, details, about(ofVendor, v.ID)); err != nil {
		return out, err
	}
	return r.gapView(tx)
}

// Gap says what the server does not know since it was restored from a back-up.
func (r *Registry) Gap(ctx context.Context, a Actor) (out wire.Gap, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		out, err = r.gapView(tx)
		return err
	})
	return out, err
}

func (r *Registry) gapView(tx *store.Tx) (out wire.Gap, err error) {
	v, err := tx.Vendor()
	if err != nil {
		return out, err
	}
	out = wire.Gap{Epoch: v.Epoch, Outdated: v.Outdated}
	g, err := tx.Gap()
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Since, out.Opened, out.Closed, out.Open, out.Whole = g.Since, g.Opened, g.Closed, g.Closed == 0, g.Whole != 0
	why, err := tx.HeldBack()
	if err != nil {
		return out, err
	}
	out.HeldBackFor = why
	for _, n := range why {
		out.HeldBack += n
	}
	out.Silent, err = tx.Silent(v.Epoch)
	return out, err
}

// HeldBack returns a page of the licenses that are held back, by id.
func (r *Registry) HeldBack(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.License], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.License, error) { return tx.HeldBackPage(license.ID(cursor), limit) },
		func(tx *store.Tx, l store.License) (wire.License, string, error) {
			w, err := r.licenseViews(tx, []store.License{l})
			if err != nil {
				return wire.License{}, "", err
			}
			return w[0], string(l.ID), nil
		})
}

// Silent returns a page of the containers that have not been in contact since the
// server was restored, by serial.
func (r *Registry) Silent(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Container], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Container, error) {
		v, err := tx.Vendor()
		if err != nil {
			return nil, err
		}
		return tx.SilentPage(v.Epoch, license.Serial(cursor), limit)
	}, func(tx *store.Tx, c store.Container) (wire.Container, string, error) {
		w, err := r.containerView(tx, c)
		return w, string(c.Serial), err
	})
}

// releaseAtOnce is how many licenses one transaction releases.
const releaseAtOnce = 500

// Release gives out licenses again that are held back, each in its next generation:
// a copy that somebody got in the gap counts no more, and is removed when it shows.
// With block, the block list names it. All means every license that is held back,
// but for those that an order of the vendor has removed; these are named one by one.
func (r *Registry) Release(ctx context.Context, a Actor, req wire.Release) (out wire.Released, err error) {
	if len(req.Licenses) > 0 == req.All {
		return out, refusal.New(refusal.InvalidInput, "Name the licenses to release, or say that it is all of them.")
	}
	for {
		ids := req.Licenses
		if req.All {
			if ids, err = r.releasable(ctx); err != nil || len(ids) == 0 {
				return out, err
			}
		}
		var done wire.Released
		err = hand(ctx, r, a, req.Reason, false, &done, func(d *desk) error {
			done = wire.Released{}
			there, unknown, err := d.known(distinct(ids))
			if err != nil {
				return err
			}
			if err := d.lock(there); err != nil {
				return err
			}
			done.Refused = unknown
			for _, id := range there {
				l := d.licenses[id]
				if l.HeldBack == "" {
					done.Refused = append(done.Refused, refusedLicense(l, refusal.New(refusal.Conflict, "%s (%s) is not held back.", l.Product, id).Hinted("Nothing needs to be done.")))
					continue
				}
				if _, err := d.release(l, req.Block); err != nil {
					return err
				}
				done.Released++
			}
			return nil
		})
		out.Released += done.Released
		out.Refused = append(out.Refused, done.Refused...)
		if err != nil || !req.All {
			return out, err
		}
		ctx = WithOnce(ctx, Once{}) // an answer that is kept would end the loop
	}
}

// releasable are some of the licenses that are released together.
func (r *Registry) releasable(ctx context.Context) (ids []license.ID, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		after := license.ID("")
		ids = nil
		for {
			ls, err := tx.HeldBackPage(after, releaseAtOnce)
			if err != nil || len(ls) == 0 {
				return err
			}
			for _, l := range ls {
				if after = l.ID; l.HeldBack != store.HeldTaken {
					ids = append(ids, l.ID)
				}
			}
			if len(ids) > 0 {
				return nil
			}
		}
	})
	return ids, err
}

// release ends the generation of a license that is held back and locked, with every
// container that concerns it.
func (d *desk) release(l store.License, block bool) (store.License, error) {
	serials, err := d.tx.ContainersOf(l.ID)
	if err != nil {
		return l, err
	}
	old := l.Generation
	l.Generation, l.HeldBack = old.After(d.keys().epoch), ""
	details := map[string]any{"was": old, "generation": l.Generation, "product": l.Product, "containers": serials}
	if block {
		if details["list"], err = list(d.log, store.Block{Kind: store.BlockedLicense, Subject: string(l.ID), Generation: old, Reason: "released"}); err != nil {
			return l, err
		}
	}
	for _, s := range serials {
		if err := d.tx.InsertEarmark(store.Earmark{ID: d.newID("ear", d.log.now), Container: s, Kind: store.Kill, License: l.ID, Generation: old,
			Actor: d.log.actor.String(), Reason: d.log.reason, Created: d.now()}); err != nil {
			return l, err
		}
	}
	if err := d.tx.MoveAssignments(l.ID, l.Generation); err != nil {
		return l, err
	}
	if err := d.mark(l); err != nil {
		return l, err
	}
	return l, d.log.note(evLicenseReleased, details, about(ofLicense, string(l.ID)), about(ofOrder, l.OrderID))
}

// CloseGap ends a gap: staff are satisfied that what containers could bring is
// there, or have let go of it. New containers are then served at once. It is refused
// while licenses are held back.
func (r *Registry) CloseGap(ctx context.Context, a Actor, reason string) (out wire.Gap, err error) {
	if err := a.may(ScopeLicenses); err != nil {
		return out, err
	}
	if strings.TrimSpace(reason) == "" {
		return out, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		if err := tx.TouchVendor(); err != nil {
			return err
		}
		g, err := tx.Gap()
		if errors.Is(err, store.ErrNotFound) || err == nil && g.Closed != 0 {
			return refusal.New(refusal.Conflict, "No gap is open.").Hinted("Nothing needs to be done.")
		}
		if err != nil {
			return err
		}
		if out, err = r.gapView(tx); err != nil {
			return err
		}
		if out.HeldBack > 0 {
			return refusal.New(refusal.Conflict, "%d licenses are still held back.", out.HeldBack).
				Hinted("Release them first: licet-central gap list names them.").With("held_back", out.HeldBack)
		}
		now := r.cfg.Now()
		if err := tx.CloseGap(g.Epoch, license.At(now)); err != nil {
			return err
		}
		log := r.scribe(tx, a, now)
		log.reason = reason
		if err := log.note(evGapClosed, map[string]any{"epoch": g.Epoch, "silent": out.Silent}, about(ofVendor, r.keys().vendor.ID)); err != nil {
			return err
		}
		out, err = r.gapView(tx)
		return err
	})
	return out, err
}
