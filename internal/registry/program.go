package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Program answers a request file with an update file: it takes in what the
// report proves, plans one step from the vendor's orders and the user's wishes,
// stores everything in one transaction, and only then lets the update leave
// (docs/protocol.md R2, R5, R9). A repeated request gets its first answer again.
func (r *Registry) Program(ctx context.Context, file []byte) ([]byte, error) {
	in, err := r.openReport(file, seal.Request)
	if err != nil {
		return nil, err
	}
	answered, err := r.answer(ctx, in)
	return answered.Update, err
}

// Carried takes a file that a person has carried from a machine: a request,
// which is answered with an update, or a receipt. To a request that asks for
// nothing but what the vendor has pending, the wishes given are added: what the
// person has chosen on a page, authorized by tickets as in a request. A repeated
// request gets its first answer, whatever is chosen then.
func (r *Registry) Carried(ctx context.Context, file []byte, chosen container.Wishes) (wire.Carried, error) {
	in, err := r.openReport(file, seal.Request, seal.Receipt)
	if err != nil {
		return wire.Carried{}, err
	}
	if in.kind == seal.Receipt {
		return wire.Carried{Container: in.serial, Receipt: true}, r.confirmed(ctx, in)
	}
	if w := in.report.Wishes; len(w.Tickets)+len(w.Activate)+len(w.Return) == 0 {
		chosen.Pending = true
		in.report.Wishes = chosen
	}
	return r.answer(ctx, in)
}

// answer answers a request that was opened.
func (r *Registry) answer(ctx context.Context, in incoming) (out wire.Carried, err error) {
	// The transaction keeps others waiting; this is read before it.
	if in.heard, err = r.heardBy(ctx, in.report.List); err != nil {
		return out, err
	}
	k, err := r.toSign(ctx)
	if err != nil {
		return out, err
	}
	// Agreed on now, because the transaction keeps others waiting.
	key, err := seal.Encapsulate(k.scope, in.report.Identity)
	if err != nil {
		return out, err
	}
	in.key = &key
	var stale *refusal.Refusal
	err = r.contact(ctx, &in, func(tx *store.Tx) error {
		x := r.exchange(tx, in)
		answer, err := x.program()
		stale = x.stale
		out = wire.Carried{Container: in.serial, Update: answer, Outcomes: x.told, Names: x.names(), Repeated: x.told == nil}
		return err
	})
	if err == nil && stale != nil {
		err = stale // which was committed
	}
	if err != nil {
		return wire.Carried{}, err // what was not committed does not leave
	}
	return out, nil
}

// names are the products' names of the licenses that the container was told about.
func (x *exchange) names() map[license.ID]string {
	names := map[license.ID]string{}
	for _, o := range x.told {
		id, _ := o.Details["license"].(string)
		if l, ok := x.licenses[license.ID(id)]; ok && o.Code != refusal.LicenseUnknown {
			names[l.ID] = x.products[l.Product].Name
		}
	}
	return names
}

// Receipt takes a receipt file in. A receipt that is older than the record
// changes nothing (docs/protocol.md R11); one that contradicts it flags the container.
func (r *Registry) Receipt(ctx context.Context, file []byte) error {
	in, err := r.openReport(file, seal.Receipt)
	if err != nil {
		return err
	}
	return r.confirmed(ctx, in)
}

// confirmed takes in a receipt that was opened.
func (r *Registry) confirmed(ctx context.Context, in incoming) (err error) {
	var no *refusal.Refusal
	err = r.contact(ctx, &in, func(tx *store.Tx) error {
		no, err = r.exchange(tx, in).receipt()
		return err
	})
	if err == nil && no != nil {
		return no
	}
	return err
}

// incoming is a report whose signature was verified, with its exact bytes.
type incoming struct {
	report container.Report
	serial license.Serial
	kind   seal.Kind
	file   []byte
	hash   [32]byte
	heard  heard               // what the answer is to tell of the block list
	key    **seal.Encapsulated // for the answer
	cannot string              // why the steps that it brings cannot be taken in
}

// exchange is one contact of one container, inside one transaction.
type exchange struct {
	*Registry
	tx    *store.Tx
	keys  *keyring
	in    incoming
	now   time.Time
	log   scribe
	c     store.Container
	known bool // it has a row, or will have one with its first step
	fresh bool // its row was stored by this exchange, complete

	unproven []store.Step    // issued, and not proven to be applied
	earmarks []store.Earmark // the vendor's orders for this container

	asked    []store.Subject        // the tickets of the request and their orders
	wishes   []container.TicketWish // the tickets of the request
	wished   []license.ID           // what the request names, or its tickets stand for
	held     []license.ID           // what counts as with the container
	licenses map[license.ID]store.License
	locked   map[license.ID]bool
	products map[string]license.Product
	orders   map[string]store.Order // some, by id
	void     []license.ID           // what the container has, or is to get, under a revoked key
	first    []byte                 // what the same request was answered before
	same     bool                   // and nothing was issued since
	told     []container.Outcome    // in the answer; nil if it is an earlier one
	parted   []license.ID           // of which units came back

	gapClosed bool             // the gap of the record, if there ever was one, is closed
	stale     *refusal.Refusal // the record was just shown to be older than another
	reason    string           // why a container stays ahead of the record
}

func (r *Registry) exchange(tx *store.Tx, in incoming) *exchange {
	now := r.cfg.Now()
	return newExchange(r.scribe(tx, Actor{Kind: "container", Name: string(in.serial)}, now), in)
}

func newExchange(log scribe, in incoming) *exchange {
	return &exchange{Registry: log.r, tx: log.tx, keys: log.r.keys(), in: in, now: log.now, log: log,
		licenses: map[license.ID]store.License{}, locked: map[license.ID]bool{}, products: map[string]license.Product{}, orders: map[string]store.Order{}}
}

func (x *exchange) self() store.Subject { return about(ofContainer, string(x.in.serial)) }

func (x *exchange) program() ([]byte, error) {
	if err := x.open(); err != nil {
		return nil, err
	}
	if x.known {
		before, err := x.tx.Answer(x.in.serial, x.in.report.Nonce)
		switch {
		case err == nil && bytes.Equal(before.Hash, x.in.hash[:]) && before.Issued == x.c.Issued && !x.ordered() && !x.keys.voids(before.Answer):
			return before.Answer, nil
		case err == nil && bytes.Equal(before.Hash, x.in.hash[:]):
			x.first, x.same = before.Answer, before.Issued == x.c.Issued
		case err == nil:
			if err := x.flag(container.Finding{Standing: container.TwoLives,
				Reason: "two different reports under one nonce: the container was copied"}); err != nil {
				return nil, err
			}
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	if err := x.concern(); err != nil {
		return nil, err
	}
	finding, err := x.reconcile()
	if err != nil {
		return nil, err
	}
	switch {
	case x.stale != nil:
		return nil, nil
	case finding.Standing == container.Ahead:
		return x.ahead()
	case finding.Standing == container.Behind:
		return x.challenge()
	case !x.settled():
		return x.fence()
	}
	return x.step()
}

// ordered reports whether the vendor has something for the container that no
// step carries yet.
func (x *exchange) ordered() bool {
	return x.c.Earmarks > 0 || x.lockNeeded() != container.Unchanged
}

func (x *exchange) lockNeeded() container.Lock {
	return container.NextLock(x.c.Closed, x.c.Blocked.Reason != "")
}

func (x *exchange) receipt() (*refusal.Refusal, error) {
	if err := x.open(); err != nil {
		return nil, err
	}
	if !x.known && x.in.report.Number == 0 {
		return nil, nil
	}
	if !x.known && len(x.in.report.Steps) == 0 {
		return refusal.New(refusal.ContainerUnknown, "The vendor does not know the container %s.", x.in.serial), nil
	}
	if err := x.loadOrders(); err != nil {
		return nil, err
	}
	finding, err := x.reconcile()
	if err != nil {
		return nil, err
	}
	if x.stale != nil {
		return x.stale, nil
	}
	if finding.Standing == container.Ahead {
		return x.isAhead(), nil
	}
	if err := x.tx.UpdateContainer(x.c); err != nil {
		return nil, err
	}
	if x.c.Flag.Reason != "" {
		return flagged(x.c), nil
	}
	return nil, nil
}

func flagged(c store.Container) *refusal.Refusal {
	return refusal.New(refusal.ContainerFlagged, "The container contradicts the vendor's record (%s); it keeps what it has.", c.Flag.Reason)
}

// open locks the container's row; an unknown container gets a record in memory
// that is stored only if something is granted.
func (x *exchange) open() error {
	var err error
	x.c, err = x.lockContainer(x.tx, x.in.serial)
	x.known = err == nil
	if x.known && x.c.Keys != x.keys.vendor.Keys {
		return errOldKeys
	}
	x.now = x.cfg.Now() // under the lock, so that what happened earlier is dated earlier
	x.log.now = x.now
	switch {
	case err == nil:
		if x.in.file == nil {
			return nil // nobody asked; staff look at it
		}
		x.c.LastSeen = license.At(x.now)
		x.c.Binding = x.in.report.Binding
		if hardware := slices.Concat(x.in.report.Hardware...); len(hardware) > 0 {
			x.c.Hardware = hardware
		}
		return nil
	case errors.Is(err, store.ErrNotFound):
		x.c = store.Container{
			Serial: x.in.serial, Identity: x.in.report.Identity, Binding: x.in.report.Binding,
			IssuedPlan: container.PlanStart(x.in.serial), AckedLife: container.LifeStart(x.in.serial),
			FirstSeen: license.At(x.now), LastSeen: license.At(x.now), Hardware: slices.Concat(x.in.report.Hardware...),
			Restated: x.keys.vendor.Revoked,
		}
		if x.keys.epoch > firstEpoch {
			g, err := x.tx.Gap()
			x.gapClosed = err == nil && g.Closed != 0
			return err
		}
		return nil
	default:
		return err
	}
}

// reconcile compares the report with the record and takes in what it proves.
func (x *exchange) reconcile() (container.Finding, error) {
	r := x.in.report
	l := container.Log{
		Issued: x.c.Issued, Acked: x.c.Acked, AckedLife: x.c.AckedLife, Challenge: x.c.Challenge,
		Plans: map[uint64]container.Hash{}, Lives: map[uint64]container.Hash{},
	}
	if x.c.Issued > x.c.Acked {
		var err error
		if x.unproven, err = x.tx.StepsAfter(x.in.serial, x.c.Acked); err != nil {
			return container.Finding{}, err
		}
	}
	for _, s := range x.unproven {
		l.Plans[s.Number] = s.Plan
		if s.Life != nil {
			l.Lives[s.Number] = container.Hash(s.Life)
		}
	}
	for _, n := range []uint64{x.c.Acked, r.Number} {
		if _, have := l.Plans[n]; have || n > x.c.Issued {
			continue
		}
		plan, life, err := x.tx.Point(x.in.serial, n)
		if err != nil {
			return container.Finding{}, err
		}
		l.Plans[n] = plan
		if life != nil {
			l.Lives[n] = container.Hash(life)
		}
	}
	f := l.Reconcile(r)
	proven, err := x.outdated(l)
	switch {
	case err != nil:
		return f, err
	case proven:
		return f, nil
	case r.Epoch > x.keys.epoch:
		f.Standing = container.Ahead // it says so, and does not prove it
	}
	switch {
	case f.Convicts() && !x.known:
		// There is no container to flag, and no honest one begins elsewhere.
		return f, refusal.New(refusal.DamagedFile, "The report does not begin where the log of a new container begins. Nothing was changed.")
	case f.Convicts():
		if err := x.units(); err != nil { // what was used is used, in whichever life
			return f, err
		}
		return f, x.flag(f)
	case f.Standing == container.Ahead:
		if f.Standing, err = x.close(l); err != nil || f.Standing == container.Ahead {
			return f, err
		}
		return f, x.inStep()
	case f.Standing == container.InStep:
		if err := x.units(); err != nil { // before a return that it proves
			return f, err
		}
		if err := x.confirm(f); err != nil {
			return f, err
		}
		return f, x.inStep()
	}
	return f, nil
}

// confirm takes in the proof that steps were applied (docs/protocol.md R7, R8).
func (x *exchange) confirm(f container.Finding) error {
	x.c.Challenge = nil
	if x.in.report.Number == x.c.Acked {
		return nil
	}
	removed, kin, err := x.removed()
	if err != nil {
		return err
	}
	// All at once, with those that planning will look at: locked one after the
	// other they would cross with those of another container.
	if err := x.lock(slices.Concat(licensesOf(x.unproven, x.in.report.Number), kin, x.wished)); err != nil {
		return err
	}
	for _, s := range x.unproven {
		if s.Number > x.in.report.Number {
			break
		}
		if err := x.tx.ProveLife(x.in.serial, s.Number, f.Lives[s.Number]); err != nil {
			return err
		}
		if err := x.confirmStep(s); err != nil {
			return err
		}
	}
	lives := make([]string, 0, len(f.Lives))
	for n := x.c.Acked + 1; n <= x.in.report.Number; n++ {
		life := f.Lives[n]
		lives = append(lives, hex.EncodeToString(life[:]))
	}
	if err := x.merge(append(removed, x.parted...)); err != nil {
		return err
	}
	err = x.log.note(evStepsConfirmed, map[string]any{"from": x.c.Acked + 1, "to": x.in.report.Number, "lives": lives}, x.self())
	x.c.Acked, x.c.AckedLife = x.in.report.Number, x.in.report.Life
	x.unproven = slices.DeleteFunc(x.unproven, func(s store.Step) bool { return s.Number <= x.c.Acked })
	return err
}

// removed are the licenses that are, or have, parts and whose removal, or that of some
// units, the report proves, and all parts that belong to them.
func (x *exchange) removed() (ids, kin []license.ID, err error) {
	for _, s := range x.unproven {
		for _, op := range s.Ops {
			if s.Number > x.in.report.Number || op.Kind != container.Drop && op.Phase != container.Return {
				continue
			}
			family, err := x.family(op.License)
			if err != nil {
				return nil, nil, err
			}
			if len(family) > 0 {
				ids, kin = append(ids, op.License), append(kin, family...)
			}
		}
	}
	return ids, kin, nil
}

// confirmStep takes in that a step was applied; its licenses are locked.
func (x *exchange) confirmStep(s store.Step) error {
	for _, op := range s.Ops {
		// What comes back of it, before the same step or a later one takes the rest out.
		if err := errors.Join(x.takeBack(op, s.Number), x.confirmOp(s, op.Op)); err != nil {
			return err
		}
	}
	return x.carriedOut(s.Number)
}

// licensesOf is the licenses of the steps up to a number.
func licensesOf(steps []store.Step, number uint64) (ids []license.ID) {
	for _, s := range steps {
		for _, op := range s.Ops {
			if s.Number <= number {
				ids = append(ids, op.License)
			}
		}
	}
	return ids
}

// lock locks licenses and reads them, each once, in the order of their ids, so
// that no two transactions wait for each other. One that is not there is passed
// over.
func (x *exchange) lock(ids []license.ID) error {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if x.locked[id] {
			continue
		}
		switch l, err := x.tx.LockSold(id); {
		case err == nil:
			x.take(l)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return nil
}

// take takes in a license that is locked.
func (x *exchange) take(l store.Sold) {
	x.locked[l.ID], x.licenses[l.ID], x.products[l.License.Product] = true, l.License, l.Product
}

// confirmOp takes in one operation of a step; its license is locked.
func (x *exchange) confirmOp(s store.Step, op container.Op) error {
	l, n := x.licenses[op.License], s.Number
	event, yes := container.Confirm(l.Placement(), x.in.serial, n, op)
	if !yes {
		return x.lateReturn(l, n, op) // history only
	}
	if event == license.DropConfirmed && s.Epoch < x.keys.whole {
		// It may have been proven before the server was restored as well, and the
		// license given to somebody else since.
		l.HeldBack = store.HeldReturned
		if err := x.tx.MarkLicense(l); err != nil {
			return err
		}
	}
	if err := x.move(l, event, n); err != nil || event == license.PutConfirmed {
		return err
	}
	return x.settle(op.License) // whichever step brought it back
}

// move takes a license through one transition of its life, with its event.
func (x *exchange) move(l store.License, event license.Event, step uint64) error {
	return x.moveBack(l, event, step, 0)
}

// moveBack is move where so many units of the license are asked back.
func (x *exchange) moveBack(l store.License, event license.Event, step uint64, back int64) error {
	old := l.State
	next, no := license.Next(old, event)
	if no != nil {
		return no
	}
	l.State, l.Step = next, step
	if next.Held() {
		l.Holder = x.in.serial
	} else {
		l.Holder = ""
	}
	if err := x.tx.MoveLicense(old, l); err != nil {
		return err
	}
	x.licenses[l.ID] = l
	details := map[string]any{"from": old, "to": next, "generation": l.Generation, "step": step, "product": l.Product}
	if event == license.ChangeIssued {
		details["seats"] = l.Terms.Seats
	}
	if l.HeldBack != "" {
		details["held_back"] = l.HeldBack
	}
	if back > 0 {
		details["back"] = back
	}
	return x.log.note(string(event), details, about(ofLicense, string(l.ID)), x.self(), about(ofOrder, l.OrderID))
}

// flag marks a container that contradicts the record, with the report as proof.
func (x *exchange) flag(f container.Finding) error {
	if x.c.Flag.Reason != "" {
		return nil // it waits for a decision already
	}
	r := x.in.report
	x.c.Flag = store.Flag{Reason: f.Reason, Time: license.At(x.now), Number: r.Number, Life: r.Life, Acceptable: f.Standing == container.TwoLives}
	x.c.Challenge = nil
	id := x.newID("prf", x.now)
	if err := x.tx.InsertProof(id, x.in.serial, x.in.file, license.At(x.now)); err != nil {
		return err
	}
	return x.log.note(evContainerFlagged, map[string]any{"reason": f.Reason, "at": r.Number, "confirmed": x.c.Acked, "proof": id,
		"life": hex.EncodeToString(r.Life[:]), "acceptable": x.c.Flag.Acceptable}, x.self())
}

// challenge answers a report that is older than the record: nothing changes, and
// the container is asked to answer a fresh challenge (docs/protocol.md R11).
func (x *exchange) challenge() ([]byte, error) {
	var c container.Nonce
	x.cfg.Random(c[:])
	x.c.Challenge = c[:]
	no := refusal.New(refusal.OutOfDate, "The request was made at step %d; the container has confirmed step %d since. Nothing was changed.", x.in.report.Number, x.c.Acked)
	if err := x.log.note(evReportOutOfDate, map[string]any{"at": x.in.report.Number, "confirmed": x.c.Acked}, x.self()); err != nil {
		return nil, err
	}
	return x.refuse(no, c[:])
}

// refuse answers every wish with the same refusal and issues nothing.
func (x *exchange) refuse(no *refusal.Refusal, challenge []byte) ([]byte, error) {
	if x.known {
		if err := x.tx.UpdateContainer(x.c); err != nil {
			return nil, err
		}
	}
	outcomes := container.RefuseAll(x.in.report.Wishes, no)
	return x.sealAnswer(container.Update{Acked: x.c.Acked, Outcomes: outcomes, Challenge: challenge, Epoch: x.heardEpoch()})
}

// pending is every step after the last one proven to be applied.
func (x *exchange) pending() []container.SignedStep {
	var out []container.SignedStep
	for _, s := range x.unproven {
		signed := container.SignedStep{Signed: s.Signed}
		for _, op := range s.Ops {
			if op.Kind == container.Put {
				signed.Bodies = append(signed.Bodies, op.Bytes)
			}
		}
		out = append(out, signed)
	}
	return out
}

// unrenewed are the licenses that the contact does not renew: they need contact
// from time to time, and are reported lost with this container, undecided.
func (x *exchange) unrenewed() (ids []license.ID, err error) {
	for _, id := range x.held {
		if x.licenses[id].Terms.CheckIn == 0 {
			continue
		}
		lost, err := x.tx.ReportedLost(id, x.in.serial)
		if err != nil {
			return nil, err
		}
		if lost {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// reissue sends license bodies again that a repair could not carry over.
func (x *exchange) reissue() ([][]byte, error) {
	if !x.known {
		return nil, nil
	}
	if x.in.report.Rebound {
		if err := x.log.note(evContainerRebound, map[string]any{"binding": x.in.report.Binding, "licenses": x.in.report.Reissue}, x.self()); err != nil {
			return nil, err
		}
	}
	var out [][]byte
	for _, id := range x.in.report.Reissue {
		body, err := x.tx.Body(x.in.serial, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

// noteRefusals keeps what was refused in the histories, without the tickets.
func (x *exchange) noteRefusals(outcomes []container.Outcome) error {
	var refused []map[string]any
	subjects := []store.Subject{x.self()}
	for _, o := range outcomes {
		if !o.Refused() {
			continue
		}
		refused = append(refused, map[string]any{"code": o.Code, "license": o.Details["license"], "container": o.Details["container"]})
		if id, ok := o.Details["license"].(string); ok && o.Code != refusal.LicenseUnknown && !slices.Contains(subjects, about(ofLicense, id)) {
			subjects = append(subjects, about(ofLicense, id))
		}
	}
	for _, s := range x.asked {
		if !slices.Contains(subjects, s) {
			subjects = append(subjects, s)
		}
	}
	if len(refused) == 0 || (!x.known && len(subjects) == 1) {
		return nil // strangers with unknown tickets leave no trace in the histories
	}
	return x.log.note(evWishesRefused, map[string]any{"refused": refused}, subjects...)
}
