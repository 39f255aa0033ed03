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
	// Agreed on now, because the transaction keeps others waiting.
	key, err := seal.Encapsulate(r.keys.scope, in.report.Identity)
	if err != nil {
		return out, err
	}
	in.key = &key
	err = r.write(ctx, func(tx *store.Tx) error {
		x := r.exchange(tx, in)
		answer, err := x.program()
		out = wire.Carried{Container: in.serial, Update: answer, Outcomes: x.told, Names: x.names(), Repeated: x.told == nil}
		return err
	})
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
	err = r.write(ctx, func(tx *store.Tx) error {
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
}

// exchange is one contact of one container, inside one transaction.
type exchange struct {
	*Registry
	tx    *store.Tx
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
	first    []byte                 // what the same request was answered before
	same     bool                   // and nothing was issued since
	told     []container.Outcome    // in the answer; nil if it is an earlier one
}

func (r *Registry) exchange(tx *store.Tx, in incoming) *exchange {
	now := r.cfg.Now()
	return newExchange(r.scribe(tx, Actor{Kind: "container", Name: string(in.serial)}, now), in)
}

func newExchange(log scribe, in incoming) *exchange {
	return &exchange{Registry: log.r, tx: log.tx, in: in, now: log.now, log: log,
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
		case err == nil && bytes.Equal(before.Hash, x.in.hash[:]) && before.Issued == x.c.Issued && !x.ordered():
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
	switch finding.Standing {
	case container.Ahead:
		return x.refuse(refusal.New(refusal.ContainerAhead, "The container is at step %d; the vendor's record ends at step %d.", x.in.report.Number, x.c.Issued), nil)
	case container.Behind:
		return x.challenge()
	}
	return x.step()
}

// ordered reports whether the vendor has something for the container that no
// step carries yet.
func (x *exchange) ordered() bool { return x.c.Earmarks > 0 || x.lockNeeded() != container.Unchanged }

func (x *exchange) lockNeeded() container.Lock {
	return container.NextLock(x.c.Closed, x.c.Blocked.Reason != "")
}

func (x *exchange) receipt() (*refusal.Refusal, error) {
	if err := x.open(); err != nil {
		return nil, err
	}
	if !x.known {
		if x.in.report.Number == 0 {
			return nil, nil
		}
		return refusal.New(refusal.ContainerUnknown, "The vendor does not know the container %s.", x.in.serial), nil
	}
	if err := x.loadOrders(); err != nil {
		return nil, err
	}
	finding, err := x.reconcile()
	if err != nil {
		return nil, err
	}
	if finding.Standing == container.Ahead {
		return refusal.New(refusal.ContainerAhead, "The container is at step %d; the vendor's record ends at step %d.", x.in.report.Number, x.c.Issued), nil
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
	x.c, err = x.tx.LockContainer(x.in.serial)
	x.known = err == nil
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
	switch {
	case f.Convicts() && !x.known:
		// There is no container to flag, and no honest one begins elsewhere.
		return f, refusal.New(refusal.DamagedFile, "The report does not begin where the log of a new container begins. Nothing was changed.")
	case f.Convicts():
		return f, x.flag(f)
	case f.Standing == container.Ahead:
		return f, x.log.note(evContainerAhead, map[string]any{"at": r.Number, "issued": x.c.Issued}, x.self())
	case f.Standing == container.InStep:
		if err := x.confirm(f); err != nil {
			return f, err
		}
		return f, x.lent()
	}
	return f, nil
}

// confirm takes in the proof that steps were applied (docs/protocol.md R7, R8).
func (x *exchange) confirm(f container.Finding) error {
	x.c.Challenge = nil
	if x.in.report.Number == x.c.Acked {
		return nil
	}
	// All at once, with those that planning will look at: locked one after the
	// other they would cross with those of another container.
	if err := x.lock(append(licensesOf(x.unproven, x.in.report.Number), x.wished...)); err != nil {
		return err
	}
	for _, s := range x.unproven {
		if s.Number > x.in.report.Number {
			break
		}
		if err := x.tx.ProveLife(x.in.serial, s.Number, f.Lives[s.Number]); err != nil {
			return err
		}
		for _, op := range s.Ops {
			if err := x.confirmOp(s.Number, op.Op); err != nil {
				return err
			}
		}
		if err := x.carriedOut(s.Number); err != nil {
			return err
		}
	}
	lives := make([]string, 0, len(f.Lives))
	for n := x.c.Acked + 1; n <= x.in.report.Number; n++ {
		life := f.Lives[n]
		lives = append(lives, hex.EncodeToString(life[:]))
	}
	err := x.log.note(evStepsConfirmed, map[string]any{"from": x.c.Acked + 1, "to": x.in.report.Number, "lives": lives}, x.self())
	x.c.Acked, x.c.AckedLife = x.in.report.Number, x.in.report.Life
	x.unproven = slices.DeleteFunc(x.unproven, func(s store.Step) bool { return s.Number <= x.c.Acked })
	return err
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
		switch l, p, err := x.tx.LockSold(id); {
		case err == nil:
			x.locked[id], x.licenses[id], x.products[l.Product] = true, l, p
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return nil
}

// confirmOp takes in one operation of a step; its license is locked.
func (x *exchange) confirmOp(n uint64, op container.Op) error {
	l := x.licenses[op.License]
	event, yes := container.Confirm(l.Placement(), x.in.serial, n, op)
	if !yes {
		return x.lateReturn(l, n, op) // history only
	}
	if err := x.move(l, event, n); err != nil || event == license.PutConfirmed {
		return err
	}
	return x.settle(op.License) // whichever step brought it back
}

// move takes a license through one transition of its life, with its event.
func (x *exchange) move(l store.License, event license.Event, step uint64) error {
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
	return x.log.note(string(event), map[string]any{"from": old, "to": next, "generation": l.Generation, "step": step, "product": l.Product},
		about(ofLicense, string(l.ID)), x.self(), about(ofOrder, l.OrderID))
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
	return x.sealAnswer(container.Update{Acked: x.c.Acked, Outcomes: outcomes, Challenge: challenge})
}

// step plans, signs and stores one step, if there is anything to do, and makes
// the answer with every step that the container lacks.
func (x *exchange) step() ([]byte, error) {
	s, err := x.situation()
	if err != nil {
		return nil, err
	}
	ops, outcomes := container.Plan(s)
	lock := x.lockNeeded()
	if x.first != nil {
		// What was granted once and undone since, a repetition does not grant anew;
		// what the vendor has ordered since comes along (docs/protocol.md R2, R10, R16).
		ordered := container.Ordered(ops)
		if (len(ops) > 0 || x.same) && len(ordered) == 0 && lock == container.Unchanged {
			return x.first, x.tx.UpdateContainer(x.c)
		}
		if len(ordered) < len(ops) {
			outcomes = container.RefuseAll(x.in.report.Wishes, refusal.New(refusal.NotDone, "The request was answered before; what it asked for was undone since.").
				Hinted("Ask for it in a new request."))
		}
		ops = ordered
	}
	before := x.c.Issued
	if len(ops) > 0 || lock != container.Unchanged {
		if err := x.issue(ops, lock); err != nil {
			return nil, err
		}
	} else if err := x.stillUnknown(); err != nil {
		return nil, err
	}
	if err := x.noteRefusals(outcomes); err != nil {
		return nil, err
	}
	u := container.Update{Acked: x.c.Acked, Outcomes: outcomes, Renews: x.c.Flag.Reason == "" && x.c.Blocked.Reason == ""}
	if u.Unrenewed, err = x.unrenewed(); err != nil {
		return nil, err
	}
	// An older copy, of which two lives are proven, lacks steps that are confirmed
	// and no longer sent; it cannot apply what follows them.
	if (x.c.Flag.Reason == "" || x.c.Issued > before) && x.in.report.Number >= x.c.Acked {
		u.Steps = x.pending()
	}
	if u.Reissued, err = x.reissue(); err != nil {
		return nil, err
	}
	answer, err := x.sealAnswer(u)
	if err != nil {
		return nil, err
	}
	if !x.known {
		return answer, nil
	}
	if x.c.Issued > before {
		keep := x.tx.InsertAnswer
		if x.first != nil {
			keep = x.tx.ReplaceAnswer
		}
		err = keep(store.Answer{Container: x.in.serial, Nonce: x.in.report.Nonce, Report: x.in.file,
			Hash: x.in.hash[:], Issued: x.c.Issued, Answer: answer, Time: license.At(x.now)})
	} else if len(u.Steps) > 0 {
		err = x.log.note(evUpdateResent, map[string]any{"from": x.c.Acked + 1, "to": x.c.Issued}, x.self())
	}
	if err != nil {
		return nil, err
	}
	if x.fresh {
		return answer, nil // its row was stored with the step
	}
	return answer, x.tx.UpdateContainer(x.c)
}

// concern finds the tickets of the request and the licenses that planning will
// look at: those it names, those of its tickets, those the container holds.
func (x *exchange) concern() error {
	w := x.in.report.Wishes
	x.wished = slices.Concat(w.Activate, w.Return)
	for _, t := range w.Tickets {
		wish := container.TicketWish{Ticket: t}
		use, err := findTicket(x.Registry, t, x.tx.UseTicket)
		if err == nil {
			wish.Known, wish.Licenses = true, use.Licenses
			if use.Returned {
				more, err := x.together(use.ID)
				if err != nil {
					return err
				}
				wish.Licenses = slices.Concat(use.Licenses, more)
			}
			x.asked = append(x.asked, about(ofTicket, use.ID), about(ofOrder, use.Order.ID))
			x.orders[use.Order.ID] = use.Order
			if len(w.Activate) == 0 && len(wish.Licenses) <= container.MaxOfTicket {
				x.wished = append(x.wished, wish.Licenses...) // else the ticket only authorizes, or is refused whole
			}
		} else if !refusal.Is(err, refusal.TicketUnknown) {
			return err
		}
		x.wishes = append(x.wishes, wish)
	}
	if !x.known {
		return nil
	}
	if err := x.loadOrders(); err != nil {
		return err
	}
	// The lock on the container's row is the lock on what it holds.
	held, err := x.tx.LicensesWith(x.in.serial)
	for _, l := range held {
		x.held = append(x.held, l.ID)
		if !x.locked[l.ID] {
			x.licenses[l.ID] = l
		}
	}
	return err
}

// together are the licenses of other tickets that belong to those of a ticket: an
// add-on and what it needs, which one container had and returned in one step. They
// move together, by any of their tickets.
func (x *exchange) together(ticket string) (ids []license.ID, err error) {
	list, err := x.tx.ReturnedTogether(ticket)
	if err != nil {
		return nil, err
	}
	related := map[string]bool{} // products that need, or are needed by, one of the ticket's
	for _, t := range list {
		for _, code := range []string{t.With, t.Product} {
			if _, err := x.product(code); err != nil {
				return nil, err
			}
		}
		related[t.Product] = related[t.Product] || x.needs(t.With, t.Product)
	}
	for again := true; again; { // an add-on of an add-on
		again = false
		for _, t := range list {
			for other := range related {
				if related[other] && !related[t.Product] && x.needs(t.Product, other) {
					related[t.Product], again = true, true
				}
			}
		}
	}
	for _, t := range list {
		if related[t.Product] && !slices.Contains(ids, t.License) {
			ids = append(ids, t.License)
		}
	}
	return ids, nil
}

// needs reports whether one of two products needs the other; both were read.
func (x *exchange) needs(a, b string) bool {
	return slices.Contains(x.products[a].Requires, b) || slices.Contains(x.products[b].Requires, a)
}

// loadOrders reads the vendor's orders for the container, whose lock is the lock
// on them. Their licenses are locked with those that the request names.
func (x *exchange) loadOrders() (err error) {
	if x.c.Earmarks == 0 {
		return nil
	}
	x.earmarks, err = x.tx.EarmarksOf(x.in.serial)
	for _, e := range x.earmarks {
		x.wished = append(x.wished, e.License)
		if e.With != "" {
			x.wished = append(x.wished, e.With)
		}
	}
	return err
}

// situation is what planning needs; every license wished for is locked first, in
// the order of ids.
func (x *exchange) situation() (container.Situation, error) {
	w := x.in.report.Wishes
	s := container.Situation{Serial: x.in.serial, Kind: x.c.Identity.Kind, Flagged: x.c.Flag.Reason, Blocked: x.c.Blocked.Reason,
		Licenses: map[license.ID]container.Candidate{}, Tickets: x.wishes, Activate: w.Activate, Return: w.Return, Pending: w.Pending}
	if err := x.lock(x.wished); err != nil {
		return s, err
	}
	if err := x.turnedUp(); err != nil {
		return s, err
	}
	for _, id := range slices.Concat(x.wished, x.held) {
		l, there := x.licenses[id]
		if _, done := s.Licenses[id]; done || !there {
			continue // what is named by the user and unknown to us, planning refuses
		}
		p, err := x.product(l.Product)
		if err != nil {
			return s, err
		}
		c := container.Candidate{License: id, Generation: l.Generation, Product: l.Product, State: l.State,
			Holder: l.Holder, Requires: p.Requires, Kinds: p.Containers, Deactivation: p.Deactivation, Reserved: l.Reserved,
			LentStays: l.Terms.Borrow.Out == license.OutAllow}
		if l.Holder == x.in.serial {
			c.Lent = container.LentOf(x.c.Lent, id, l.Generation, license.At(x.now))
		}
		s.Licenses[id] = c
	}
	for _, e := range x.earmarks {
		// What a step carries already is planned again only where the license may
		// not come back meanwhile; a copy that is to go is not sent out twice.
		if e.Kind != store.Kill || e.Step == 0 {
			s.Earmarks = append(s.Earmarks, e.Order())
		}
	}
	return s, nil
}

// product reads a product once.
func (x *exchange) product(code string) (license.Product, error) {
	if p, ok := x.products[code]; ok {
		return p, nil
	}
	p, err := x.tx.Product(code)
	if err == nil {
		x.products[code] = p
	}
	return p, err
}

// stillUnknown makes sure that a container met for the first time was not
// registered by another request of its own, which held the locks until now. Where
// something is issued, the database refuses a second row of the container.
func (x *exchange) stillUnknown() error {
	if x.known {
		return nil
	}
	_, err := x.tx.Container(x.in.serial)
	switch {
	case err == nil:
		return errAgain
	case errors.Is(err, store.ErrNotFound):
		return nil
	}
	return err
}

// issue signs one step with the operations and the lock given and stores it.
func (x *exchange) issue(ops []container.Op, lock container.Lock) error {
	if !x.known {
		x.known, x.fresh = true, true
		if err := x.log.note(evContainerSeen, map[string]any{"kind": x.c.Identity.Kind, "binding": x.c.Binding}, x.self()); err != nil {
			return err
		}
	}
	now := license.At(x.now)
	n := x.c.Issued + 1
	row := store.Step{Number: n, Time: now}
	for i, op := range ops {
		l := x.licenses[op.License]
		event := license.DropIssued
		var bytes []byte
		if op.Kind == container.Put {
			event = license.PutIssued
			if l.Activated == 0 {
				l.Activated, l.Terms = now, l.Terms.Freeze(now)
			}
			body, err := x.body(l)
			if err != nil {
				return err
			}
			if bytes, ops[i].Body, err = seal.EncodeBody(body); err != nil {
				return err
			}
		}
		row.Ops = append(row.Ops, store.StepOp{Op: ops[i], Bytes: bytes})
		if op.Generation < l.Generation {
			continue // a copy that counts no more; the license is elsewhere
		}
		if err := x.move(l, event, n); err != nil {
			return err
		}
	}
	if err := x.issued(ops, n); err != nil {
		return err
	}
	step := container.Step{Container: x.in.serial, Epoch: x.keys.epoch, Number: n, Previous: x.c.IssuedPlan, Time: now, Ops: ops, Lock: lock}
	signed, err := seal.SignStep(x.keys.scope, x.keys.issuing, &step)
	if err != nil {
		return err
	}
	row.Signed, row.Plan = signed, container.NextPlan(x.c.IssuedPlan, step.Unsigned)
	x.c.Issued, x.c.IssuedPlan = n, row.Plan
	if lock != container.Unchanged {
		x.c.Closed = lock == container.Close
	}
	if x.fresh {
		if err := x.tx.InsertContainer(x.c); err != nil {
			return err
		}
	}
	if err := x.tx.InsertStep(x.in.serial, row); err != nil {
		return err
	}
	x.unproven = append(x.unproven, row)
	details := map[string]any{"step": n, "operations": operations(ops)}
	if lock != container.Unchanged {
		details["lock"] = lock.String()
	}
	return x.log.note(evStepIssued, details, x.self())
}

func operations(ops []container.Op) []map[string]any {
	out := make([]map[string]any, len(ops))
	for i, op := range ops {
		out[i] = map[string]any{"op": op.Kind.String(), "license": op.License, "generation": op.Generation, "product": op.Product, "phase": op.Phase}
	}
	return out
}

// body is a license as this container will hold it.
func (x *exchange) body(l store.License) (container.Body, error) {
	p, err := x.product(l.Product)
	if err != nil {
		return container.Body{}, err
	}
	o, ok := x.orders[l.OrderID]
	if !ok {
		if o, err = x.tx.OrderByID(l.OrderID); err != nil {
			return container.Body{}, err
		}
	}
	return container.Body{
		License: l.ID, Generation: l.Generation, Container: x.in.serial, ContainerKey: x.c.Identity.SigningKey,
		Product: p.Code, Name: p.Name, Features: l.Features, Tolerance: p.Binding, Repair: p.Repair,
		Customer: o.Customer, Order: o.Number, Activated: l.Activated, Terms: l.Terms,
	}, nil
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
