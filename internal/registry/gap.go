package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// firstEpoch is the epoch of a record that was never restored from a back-up.
const firstEpoch = 1

// settled reports whether the container can get something new: it cannot take in
// any more what was signed for it in the gap of the record, because it knows the
// present epoch (docs/protocol.md R19).
func (x *exchange) settled() bool {
	return x.keys.epoch == firstEpoch || x.in.report.Epoch >= x.keys.epoch || x.c.Epoch >= x.keys.epoch || !x.known && x.gapClosed
}

// heardEpoch is the epoch that an answer names which does not bring everything
// that the container lacks: with a higher one, it would refuse the rest later.
func (x *exchange) heardEpoch() uint64 {
	return min(x.keys.epoch, max(x.in.report.Epoch, firstEpoch))
}

// fence answers a container that does not know the present epoch: with all that it
// lacks of the record and nothing new. Once it has taken the answer in, what was
// signed for it in the gap is worth nothing to it. The challenge makes it ask again
// by itself.
func (x *exchange) fence() ([]byte, error) {
	no := refusal.New(refusal.OutOfDate, "The vendor's server was restored from a back-up since the last contact. The container takes note of that first.").
		Hinted("Ask again; licet does so by itself when it is online.")
	u := container.Update{Acked: x.c.Acked, Outcomes: container.RefuseAll(x.in.report.Wishes, no), Epoch: x.heardEpoch(),
		Renews: x.c.Flag.Reason == "" && x.c.Blocked.Reason == ""}
	if x.c.Flag.Reason == "" {
		var c container.Nonce
		x.cfg.Random(c[:])
		u.Steps, u.Epoch, u.Challenge = x.pending(), x.keys.epoch, c[:]
		x.c.Challenge = u.Challenge
	}
	var err error
	if u.Unrenewed, err = x.unrenewed(); err != nil {
		return nil, err
	}
	if x.known {
		if err := x.log.note(evEpochTold, map[string]any{"epoch": u.Epoch}, x.self()); err != nil {
			return nil, err
		}
		if err := x.tx.UpdateContainer(x.c); err != nil {
			return nil, err
		}
	}
	return x.sealAnswer(u)
}

// ahead answers a container that is ahead of the record. One that brings no steps
// is told the epoch, after which it brings them.
func (x *exchange) ahead() ([]byte, error) {
	if r := x.in.report; r.Epoch > x.keys.epoch || len(r.Steps) > 0 && r.Epoch == x.keys.epoch {
		return x.refuse(x.isAhead(), nil)
	}
	var c container.Nonce
	x.cfg.Random(c[:])
	x.c.Challenge = c[:]
	if x.known {
		if err := x.tx.UpdateContainer(x.c); err != nil {
			return nil, err
		}
	}
	return x.sealAnswer(container.Update{Acked: x.c.Acked, Outcomes: container.RefuseAll(x.in.report.Wishes, x.isAhead()), Challenge: c[:]})
}

func (x *exchange) isAhead() *refusal.Refusal {
	text := fmt.Sprintf("The container is at step %d; the vendor's record ends at step %d.", x.in.report.Number, x.c.Issued)
	if x.reason != "" {
		text += " " + x.reason
	}
	return refusal.New(refusal.ContainerAhead, "%s", text)
}

// brought reads the steps that a report brings. Those that we have not signed are
// passed over.
func (x *exchange) brought() (list []container.Brought) {
	for _, s := range x.in.report.Steps {
		step, err := x.keys.own.Step(s.Signed)
		if err != nil || step.Container != x.in.serial {
			continue
		}
		b := container.Brought{Step: step, Signed: s.Signed, Bodies: map[container.Hash][]byte{}}
		for _, body := range s.Bodies {
			b.Bodies[sha256.Sum256(body)] = body
		}
		list = append(list, b)
	}
	return list
}

// outdated looks for the proof that this record is older than another: a step that
// bears our own signature, is not in the record, and cannot be from before a
// back-up that it knows to have come from. Whoever met it hands out nothing more
// (docs/protocol.md R19).
func (x *exchange) outdated(l container.Log) (bool, error) {
	for _, b := range x.brought() {
		if b.Step.Epoch < x.keys.whole {
			continue
		}
		if b.Step.Number <= l.Issued {
			plan, _, err := x.tx.Point(x.in.serial, b.Step.Number)
			if err != nil {
				return false, err
			}
			if plan == container.NextPlan(b.Step.Previous, b.Step.Unsigned) {
				continue
			}
		}
		why := fmt.Sprintf("container %s has step %d of epoch %d, signed %s, which is not in this record", x.in.serial, b.Step.Number, b.Step.Epoch, b.Step.Time)
		x.stale = staleRecord(why)
		if err := x.tx.MarkOutdated(why); err != nil {
			return true, err
		}
		x.cfg.Log.Error("this server's record is older than one that exists; nothing more is handed out", "because", why)
		return true, x.log.note(evServerOutdated, map[string]any{"why": why, "step": b.Step.Number, "epoch": b.Step.Epoch}, about(ofVendor, x.keys.vendor.ID), x.self())
	}
	return false, nil
}

func staleRecord(why string) *refusal.Refusal {
	return refusal.New(refusal.ServerOutdated, "The server's record is not the newest one: %s. It hands out nothing until that is settled.", why)
}

// lockContainer locks a container for a decision, which a server makes only in the
// epoch of the record.
func (r *Registry) lockContainer(tx *store.Tx, serial license.Serial) (store.Container, error) {
	c, err := tx.LockContainer(serial)
	if err == nil && c.Record != r.keys().epoch {
		return c, restoredMeanwhile()
	}
	return c, err
}

func restoredMeanwhile() *refusal.Refusal {
	return refusal.New(refusal.ServerOutdated, "The record was restored from a back-up while this server ran.").Hinted("Start the server again.")
}

// standing refuses to go on where this server must hand out nothing: its record is
// known to be outdated, or came back from a back-up while it ran.
func (r *Registry) standing(ctx context.Context) error {
	var v store.Vendor
	err := r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.Vendor()
		return err
	})
	switch {
	case err != nil:
		return err
	case v.Outdated != "":
		return staleRecord(v.Outdated)
	case v.Epoch != r.keys().epoch:
		return restoredMeanwhile()
	}
	return nil
}

// close lets a container that is ahead close the gap of the record with the steps
// that it brings. It stays ahead if they do not, and nothing is changed then.
func (x *exchange) close(l container.Log) (container.Standing, error) {
	r := x.in.report
	old := x.keys.epoch > firstEpoch && x.c.Epoch < x.keys.epoch && r.Epoch <= x.keys.epoch
	steps, why := l.Lacking(x.in.serial, r, x.brought())
	switch {
	case !old || len(r.Steps) == 0 && r.Number > l.Issued:
		why = ""
	case r.Number > l.Issued && r.Epoch < x.keys.epoch:
		// It brings them to a server of before, which has come back once more since. What
		// it holds would not be sure, and might be taken for free by what others bring; so
		// it is told the epoch, and brings them again.
		why = ""
	case x.in.cannot != "":
		why, x.reason = x.in.cannot, x.in.cannot
	case why == "":
		return container.InStep, x.bring(steps)
	default:
		x.reason = "What it brings does not close the gap: " + why + "."
	}
	return container.Ahead, x.log.note(evContainerAhead, map[string]any{"at": r.Number, "issued": x.c.Issued, "why": why}, x.self())
}

// inStep ends what an exchange takes in from a report that is in step with the
// record.
func (x *exchange) inStep() error {
	if err := x.pastGap(); err != nil {
		return err
	}
	return x.lent()
}

// pastGap notes that the container knows the present epoch for the first time. What
// it holds then, it holds for sure; what somebody else has for sure is a
// contradiction.
func (x *exchange) pastGap() error {
	r := x.in.report
	if x.keys.epoch == firstEpoch || !x.known || r.Epoch < x.keys.epoch || x.c.Epoch >= x.keys.epoch {
		return nil
	}
	x.c.Epoch = x.keys.epoch
	if err := x.log.note(evContainerSettled, map[string]any{"epoch": x.keys.epoch}, x.self()); err != nil {
		return err
	}
	var ids []license.ID
	for _, h := range r.Held {
		ids = append(ids, h.License)
	}
	if err := x.lock(append(ids, x.wished...)); err != nil {
		return err
	}
	for _, e := range x.earmarks {
		// What is to come in its place, only this container can have got.
		if l := x.licenses[e.With]; e.With != "" && l.HeldBack != "" && x.licenses[e.License].Holder == x.in.serial {
			if err := x.liftHold(l, "the license that it is to replace is still there"); err != nil {
				return err
			}
		}
	}
	for _, h := range r.Held {
		if l, ok := x.licenses[h.License]; ok && l.Generation == h.Generation && l.Holder != x.in.serial {
			return x.twice(h.License)
		}
	}
	return nil
}

func (x *exchange) twice(id license.ID) error {
	where := "with the vendor"
	if holder := x.licenses[id].Holder; holder != "" {
		where = "with container " + string(holder)
	}
	return x.flag(container.Finding{Standing: container.TwoLives, Reason: fmt.Sprintf("it holds the license %s, which is %s by what was brought after the back-up", id, where)})
}

func (x *exchange) liftHold(l store.License, because string) error {
	l.HeldBack = ""
	x.licenses[l.ID] = l
	if err := x.tx.MarkLicense(l); err != nil {
		return err
	}
	return x.log.note(evHoldLifted, map[string]any{"because": because, "product": l.Product}, about(ofLicense, string(l.ID)), x.self())
}

// cannotBring says why steps cannot be taken in. Nothing of the exchange stays; it is
// run again without them.
type cannotBring string

func (why cannotBring) Error() string { return string(why) }

// contact runs a contact of a container.
func (r *Registry) contact(ctx context.Context, in *incoming, fn func(*store.Tx) error) error {
	err := r.write(ctx, fn)
	if why, cannot := errors.AsType[cannotBring](err); cannot {
		in.cannot = string(why)
		err = r.write(ctx, fn)
	}
	return err
}

// bring takes steps into the record that it had lost, up to the report's number
// (docs/protocol.md R18).
func (x *exchange) bring(steps []container.Brought) error {
	r := x.in.report
	var ids []license.ID
	for _, b := range steps {
		for _, op := range b.Step.Ops {
			ids = append(ids, op.License)
		}
	}
	if err := x.lock(slices.Concat(licensesOf(x.unproven, r.Number), ids, x.wished)); err != nil {
		return err
	}
	if err := x.units(); err != nil { // before a return that it proves
		return err
	}
	lost, err := x.lostLicenses(steps)
	if err != nil {
		return err
	}
	if !x.known {
		x.known, x.fresh = true, false
		if err := x.registered(); err != nil {
			return err
		}
		if err := x.tx.InsertContainer(x.c); err != nil {
			return err
		}
	}
	for _, s := range x.unproven {
		if s.Number <= r.Number {
			if err := x.confirmStep(s); err != nil {
				return err
			}
		}
	}
	x.unproven = slices.DeleteFunc(x.unproven, func(s store.Step) bool { return s.Number <= r.Number })
	parts, lost, err := x.partsBrought(steps, lost)
	if err != nil {
		return err
	}
	for _, body := range lost {
		if err := x.sellAgain(body, lost); err != nil {
			return err
		}
	}
	if err := x.broughtSeats(parts); err != nil {
		return err
	}
	from := x.c.Acked + 1
	told, err := x.append(steps)
	if err != nil {
		return err
	}
	if err := x.tx.ProveLife(x.in.serial, r.Number, r.Life); err != nil {
		return err
	}
	x.c.Acked, x.c.AckedLife, x.c.Challenge = r.Number, r.Life, nil
	if err := x.log.note(evStepsBrought, map[string]any{"from": from, "to": r.Number, "life": hex.EncodeToString(r.Life[:]), "steps": told}, x.self()); err != nil {
		return err
	}
	x.cfg.Log.Warn("a container brought steps that the record had lost", "container", x.in.serial, "steps", len(steps), "to", r.Number)
	if err := x.broughtLock(steps); err != nil {
		return err
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if _, known := x.licenses[id]; !known {
			continue
		}
		if err := x.show(id, steps); err != nil {
			return err
		}
	}
	held, err := x.tx.LicensesWith(x.in.serial)
	x.held = nil
	for _, l := range held {
		x.held = append(x.held, l.ID)
		if !x.locked[l.ID] {
			x.licenses[l.ID] = l
		}
	}
	if err != nil {
		return err
	}
	return x.units() // of what the record knows by now to be here
}

// lostLicenses are the bodies of licenses that the record does not know and that
// the container still holds; the last of each.
func (x *exchange) lostLicenses(steps []container.Brought) (lost []container.Body, err error) {
	bodies := map[license.ID]container.Body{}
	for _, b := range steps {
		for _, op := range b.Step.Ops {
			raw, have := b.Bodies[op.Body]
			if _, known := x.licenses[op.License]; known || op.Kind != container.Put || !have {
				continue
			}
			body, err := seal.DecodeBody(raw)
			if err != nil {
				return nil, err
			}
			if body.License == op.License && body.Container == x.in.serial {
				bodies[op.License] = body
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(bodies)) {
		switch _, err := x.product(bodies[id].Product); {
		case errors.Is(err, store.ErrNotFound):
			return nil, cannotBring(fmt.Sprintf("It brings licenses of the product %s, which this server does not know any more.", bodies[id].Product))
		case err != nil:
			return nil, err
		}
		lost = append(lost, bodies[id])
	}
	return lost, nil
}

// append stores steps that the record had lost, with the operations whose licenses
// it knows, and says what the event is to tell of them.
func (x *exchange) append(steps []container.Brought) (told []map[string]any, err error) {
	for _, b := range steps {
		row := store.Step{Number: b.Step.Number, Time: b.Step.Time, Epoch: b.Step.Epoch, Signed: b.Signed, Plan: container.NextPlan(x.c.IssuedPlan, b.Step.Unsigned)}
		var unknown []license.ID
		for _, op := range b.Step.Ops {
			row.Ops = append(row.Ops, store.StepOp{Op: op, Bytes: b.Bodies[op.Body]})
			if _, known := x.licenses[op.License]; !known {
				unknown = append(unknown, op.License)
			}
		}
		known := row
		known.Ops = nil
		if err := x.tx.InsertBrought(x.in.serial, known); err != nil {
			return nil, err
		}
		for i, op := range row.Ops {
			if !slices.Contains(unknown, op.License) {
				if err := x.tx.InsertStepOp(x.in.serial, row.Number, i, op); err != nil {
					return nil, err
				}
			}
		}
		x.c.Issued, x.c.IssuedPlan = row.Number, row.Plan
		details := map[string]any{"step": row.Number, "time": int64(row.Time), "operations": operations(b.Step.Ops)}
		if b.Step.Lock != container.Unchanged {
			details["lock"] = b.Step.Lock.String()
		}
		if len(unknown) > 0 {
			details["unknown"] = unknown
		}
		told = append(told, details)
	}
	return told, nil
}

// broughtLock takes over what the gap's steps say of the container as a whole: one
// that was closed was blocked, and stays so until staff decide.
func (x *exchange) broughtLock(steps []container.Brought) error {
	lock := container.Unchanged
	for _, b := range steps {
		if b.Step.Lock != container.Unchanged {
			lock = b.Step.Lock
		}
	}
	if lock == container.Unchanged {
		return nil
	}
	x.c.Closed = lock == container.Close
	if x.c.Closed && x.c.Blocked.Reason == "" {
		return block(x.log, &x.c, "blocked before the server was restored from a back-up")
	}
	if !x.c.Closed && x.c.Blocked.Reason != "" {
		return unblock(x.log, &x.c)
	}
	return nil
}

// sure reports whether nobody else can have got a license in the gap.
func (x *exchange) sure(l store.License) (bool, error) {
	switch {
	case l.HeldBack != "":
		return false, nil
	case l.Holder == "" || l.Holder == x.in.serial:
		return true, nil
	}
	other, err := x.tx.Container(l.Holder)
	return other.Epoch >= x.keys.epoch, err
}

// show follows what the brought steps show of one license, which is locked.
func (x *exchange) show(id license.ID, steps []container.Brought) error {
	l := x.licenses[id]
	sure, err := x.sure(l)
	if err != nil {
		return err
	}
	all, err := x.tx.OpsOf(x.in.serial, id)
	if err != nil {
		return err
	}
	var gap []container.Op
	var puts []container.Brought
	var told []string
	last := uint64(0)
	for _, b := range steps {
		for _, op := range b.Step.Ops {
			if op.License != id {
				continue
			}
			gap = append(gap, op)
			told = append(told, fmt.Sprintf("%s %d %d", op.Kind, b.Step.Number, op.Generation))
			if last = b.Step.Number; op.Kind == container.Put {
				puts = append(puts, b)
			}
		}
	}
	shows, generation := container.Show(container.Known{Placement: l.Placement(), Sure: sure}, x.in.serial, all[:len(all)-len(gap)], gap)
	from, was := l.State, l.Generation
	details := map[string]any{"from": from, "was": was, "product": l.Product, "operations": told, "container": x.in.serial}
	subjects := []store.Subject{about(ofLicense, string(id)), x.self(), about(ofOrder, l.OrderID)}

	// What was ordered for this container and is done.
	holds := shows == container.Here || shows == container.OldCopy || shows == container.Twice
	if details["done"], err = x.done(id, holds, generation); err != nil {
		return err
	}
	l = x.licenses[id]
	switch shows {
	case container.OldCopy:
		if err := x.listed(id, generation, details); err != nil {
			return err
		}
	case container.Twice:
		if err := x.twice(id); err != nil {
			return err
		}
	case container.Nothing:
	default:
		if err := x.ends(l, shows, generation, details); err != nil {
			return err
		}
		if err := x.place(x.licenses[id], shows, generation, last, puts, details); err != nil {
			return err
		}
	}
	l = x.licenses[id]
	if err := x.killHere(l, gap, details); err != nil {
		return err
	}
	if body, ok := firstBody(puts, id); ok && l.Activated == 0 { // of a copy that counts no more, too
		l = l.Activate(body.Activated)
		x.licenses[id] = l
		if err := x.tx.MoveLicense(l.State, l); err != nil {
			return err
		}
	}
	details["shows"], details["to"], details["holder"] = shows.String(), l.State, l.Holder
	details["generation"], details["step"] = l.Generation, l.Step
	details["held_back"], details["activated"], details["is_withdrawn"] = l.HeldBack, l.Activated, l.Withdrawn
	details["units"], details["used"] = l.Terms.Units, l.Used
	if err := x.log.note(evLicenseBrought, details, subjects...); err != nil || !l.Withdrawn || l.State != license.Returned {
		return err
	}
	return x.letGo(l)
}

// letGo carries the withdrawal of a license out that has come back in the gap. Others
// may have got it since: their copies are of a generation that counts no more.
func (x *exchange) letGo(l store.License) error {
	serials, err := x.tx.ContainersOf(l.ID)
	if err != nil {
		return err
	}
	old := l.Generation
	l.Generation, l.HeldBack = old.After(x.keys.epoch), ""
	details := map[string]any{"was": old, "generation": l.Generation, "product": l.Product, "containers": serials}
	there, err := x.tx.OnBlockList(l.ID, old)
	if err == nil && !there {
		details["list"], err = list(x.log, store.Block{Kind: store.BlockedLicense, Subject: string(l.ID), Generation: old, Reason: "released"})
	}
	if err != nil {
		return err
	}
	for _, s := range serials {
		if err := x.kill(s, l.ID, old); err != nil {
			return err
		}
	}
	if err := x.tx.MarkLicense(l); err != nil {
		return err
	}
	x.licenses[l.ID] = l
	if err := x.log.note(evLicenseReleased, details, about(ofLicense, string(l.ID)), x.self(), about(ofOrder, l.OrderID)); err != nil {
		return err
	}
	return x.move(l, license.Withdrawn, 0)
}

// done ends the orders for this container that its own log shows to be carried out:
// that a license is to leave which it does not hold, to come where it holds it, or
// that a copy is to go which is gone. It tells which.
func (x *exchange) done(id license.ID, holds bool, generation license.Generation) (done []string, err error) {
	for _, e := range slices.Clone(x.earmarks) {
		if e.License != id {
			continue
		}
		gone := !holds || generation > e.Generation
		if e.Kind == store.Assign && holds || e.Kind != store.Assign && gone {
			done = append(done, fmt.Sprintf("%s %d", e.Kind, e.Generation))
			if err := x.end(e); err != nil {
				return nil, err
			}
		}
	}
	return done, nil
}

// ends ends what a license was before: what was ordered for it elsewhere, and its
// generation, if another is shown: copies of that are to go from every other
// container that was ever given it.
func (x *exchange) ends(l store.License, shows container.Showing, generation license.Generation, details map[string]any) error {
	orders, err := x.tx.EarmarksOn(l.ID)
	if err != nil {
		return err
	}
	for _, e := range orders {
		if e.License != l.ID || e.Kind == store.Kill {
			continue
		}
		if e.Kind == store.Change && e.Container == x.in.serial && shows == container.Here {
			details["change"] = true // unless what it brings has as many
		}
		if e.With != "" {
			if err := x.lock([]license.ID{e.With}); err != nil {
				return err
			}
		}
		if err := x.end(e); err != nil {
			return err
		}
	}
	if l.Withdrawn && shows == container.Here {
		if err := x.order(store.Earmark{Container: x.in.serial, Kind: store.Withdraw, License: l.ID, Generation: generation, Reason: withdrawnBefore}); err != nil {
			return err
		}
		details["again"] = true
	}
	if generation == l.Generation {
		return nil
	}
	if err := x.listed(l.ID, l.Generation, details); err != nil {
		return err
	}
	others, err := x.tx.ContainersOf(l.ID)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(s license.Serial) bool { return s == x.in.serial }) // its own log shows what it holds
	for _, serial := range others {
		if err := x.kill(serial, l.ID, l.Generation); err != nil {
			return err
		}
	}
	details["ended_in"] = others
	return nil
}

// withdrawnBefore is the reason of a withdrawal that follows a license to where it
// was brought from.
const withdrawnBefore = "its withdrawal was ordered before the container brought it"

// kill orders the removal of a copy from a container.
func (x *exchange) kill(serial license.Serial, id license.ID, generation license.Generation) error {
	return x.order(store.Earmark{Container: serial, Kind: store.Kill, License: id, Generation: generation, Reason: x.log.reason})
}

// order stores what follows from what was brought.
func (x *exchange) order(e store.Earmark) error {
	e.ID, e.Actor, e.Created = x.newID("ear", x.now), x.log.actor.String(), license.At(x.now)
	if err := x.tx.InsertEarmark(e); err != nil {
		return err
	}
	if e.Container == x.in.serial {
		x.earmarks = append(x.earmarks, e)
		x.c.Earmarks++
	}
	return nil
}

// killHere orders the removal of an old copy from the container if it was given one
// in the gap, also one that it does not hold any more: a copy can be put back
// (docs/protocol.md R14).
func (x *exchange) killHere(l store.License, gap []container.Op, details map[string]any) error {
	var old license.Generation
	for _, op := range gap {
		if op.Kind == container.Put && op.Generation < l.Generation {
			old = max(old, op.Generation)
		}
	}
	ordered := slices.ContainsFunc(x.earmarks, func(e store.Earmark) bool {
		return e.Kind == store.Kill && e.License == l.ID && e.Generation >= old
	})
	if old == 0 || ordered {
		return nil
	}
	details["kill"] = old
	return x.kill(x.in.serial, l.ID, old)
}

// listed puts a generation of a license on the block list, unless it is there.
func (x *exchange) listed(id license.ID, generation license.Generation, details map[string]any) error {
	there, err := x.tx.OnBlockList(id, generation)
	if err != nil || there {
		return err
	}
	details["listed"] = generation
	details["list"], err = list(x.log, store.Block{Kind: store.BlockedLicense, Subject: string(id), Generation: generation, Reason: "restored"})
	return err
}

// place puts a license where the steps of the gap show it to be. Its body, where
// the container still has it, says when it was first activated.
func (x *exchange) place(l store.License, shows container.Showing, generation license.Generation, last uint64, puts []container.Brought, details map[string]any) error {
	old, used := l.State, l.Used
	l.Step, l.Holder, l.HeldBack, l.Generation, l.Reserved = last, "", "", generation, ""
	switch shows {
	case container.Here:
		l.State, l.Holder = license.Collected, x.in.serial
		if len(puts) > 0 {
			put := puts[len(puts)-1]
			l.Step = put.Step.Number
			if body, ok := bodyIn(put, l.ID); ok && l.Activated == 0 {
				l = l.Activate(body.Activated)
			}
		}
	case container.Back:
		l.State, l.HeldBack = license.Returned, store.HeldReturned
	case container.Taken:
		l.State, l.HeldBack = license.Returned, store.HeldTaken
	}
	if shows == container.Replaced {
		l.State, l.HeldBack, l.Withdrawn = license.Gone, "", true
	}
	l = x.broughtUnits(l, puts, details)
	if err := x.tx.MarkLicense(l); err != nil {
		return err
	}
	x.licenses[l.ID] = l
	if l.Used != used {
		if err := x.tx.CountUnits(l.ID, l.Used); err != nil {
			return err
		}
	}
	if details["change"] == true {
		if err := x.order(store.Earmark{Container: x.in.serial, Kind: store.Change, License: l.ID, Generation: l.Generation, Reason: changedBefore}); err != nil {
			return err
		}
	}
	return x.tx.MoveLicense(old, l)
}

// changedBefore is the reason to put a license again where it was brought from.
const changedBefore = "it was changed before the container brought it"

// broughtUnits is l with the units that the container shows: those that were added in
// the gap, by the last body that it brings, and those that are used by that and by
// its counters. Where the record has more by now, or another end, the license is to be
// put again.
func (x *exchange) broughtUnits(l store.License, puts []container.Brought, details map[string]any) store.License {
	told := slices.Clone(x.in.report.Units)
	for _, b := range slices.Backward(puts) {
		body, ok := bodyIn(b, l.ID)
		if !ok || body.Generation != l.Generation {
			continue
		}
		if more := body.Terms.Units - l.Terms.Units; more > 0 && l.Terms.Units > 0 {
			l.Sold.Units += more
			l = l.With(l.Terms.Seats)
		}
		other := body.Terms.Units < l.Terms.Units ||
			l.Subscription != "" && (body.Terms.ExpiresAt != l.Terms.ExpiresAt || body.Terms.Grace != l.Terms.Grace)
		if delete(details, "change"); other && l.State == license.Collected {
			details["change"] = true
		}
		told = append(told, container.Counted{License: l.ID, Generation: l.Generation, Used: body.Used})
		break
	}
	for _, t := range told {
		if t.License == l.ID && t.Generation == l.Generation {
			l.Used = max(l.Used, min(t.Used, l.Terms.Units))
		}
	}
	return l
}

// firstBody is the first body of a license that was brought with a step.
func firstBody(puts []container.Brought, id license.ID) (body container.Body, ok bool) {
	for _, b := range puts {
		if body, ok = bodyIn(b, id); ok {
			return body, true
		}
	}
	return body, false
}

// bodyIn is the body of a license that a step puts, if it was brought.
func bodyIn(b container.Brought, id license.ID) (body container.Body, ok bool) {
	for _, op := range b.Step.Ops {
		raw, have := b.Bodies[op.Body]
		if op.License != id || op.Kind != container.Put || !have {
			continue
		}
		body, err := seal.DecodeBody(raw)
		return body, err == nil
	}
	return body, false
}
