package registry

import (
	"errors"
	"slices"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// step plans, signs and stores one step, if there is anything to do, and makes
// the answer with every step that the container lacks.
func (x *exchange) step() ([]byte, error) {
	s, err := x.situation()
	if err != nil {
		return nil, err
	}
	ops, outcomes := container.Plan(s)
	lock, follow := x.lockNeeded(), x.endsVoid()
	if no := x.keys.stopped(); no != nil {
		if len(container.Ordered(ops)) < len(ops) {
			outcomes = container.RefuseAll(x.in.report.Wishes, no)
		}
		ops, lock, follow = nil, container.Unchanged, false // what the vendor has ordered waits
	}
	if x.first != nil {
		// What was granted once and undone since, a repetition does not grant anew;
		// what the vendor has ordered since comes along (docs/protocol.md R2, R10, R16).
		ordered := container.Ordered(ops)
		if (len(ops) > 0 || x.same) && len(ordered) == 0 && lock == container.Unchanged && !follow {
			return x.first, x.tx.UpdateContainer(x.c)
		}
		if len(ordered) < len(ops) {
			outcomes = container.RefuseAll(x.in.report.Wishes, refusal.New(refusal.NotDone, "The request was answered before; what it asked for was undone since.").
				Hinted("Ask for it in a new request."))
		}
		ops = ordered
	}
	before := x.c.Issued
	if len(ops) > 0 || lock != container.Unchanged || follow {
		if err := x.issue(ops, lock); err != nil {
			return nil, err
		}
	} else if err := x.stillUnknown(); err != nil {
		return nil, err
	}
	x.restated(ops)
	if err := x.noteRefusals(outcomes); err != nil {
		return nil, err
	}
	u := container.Update{Acked: x.c.Acked, Outcomes: outcomes, Renews: x.c.Flag.Reason == "" && x.c.Blocked.Reason == ""}
	if u.Unrenewed, err = x.unrenewed(); err != nil {
		return nil, err
	}
	u.Units = x.forgotten()
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
				for _, l := range use.Sold {
					x.take(l)
				}
			}
		} else if !refusal.Is(err, refusal.TicketUnknown) {
			return err
		}
		x.wishes = append(x.wishes, wish)
	}
	if err := x.parts(w); err != nil {
		return err
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
func (x *exchange) situation() (s container.Situation, err error) {
	w := x.in.report.Wishes
	s = container.Situation{Serial: x.in.serial, Kind: x.c.Identity.Kind, Flagged: x.c.Flag.Reason, Blocked: x.c.Blocked.Reason,
		Licenses: map[license.ID]container.Candidate{}, Tickets: x.wishes, Activate: w.Activate, Return: w.Return, Pending: w.Pending,
		Amounts: w.Amounts, NewPart: func() license.ID { return license.ID(x.newID("lic", x.now)) },
		TooOld: olderThan(container.UnitsSince, x.in.report.Program), Still: olderThan(container.MovesSince, x.in.report.Program)}
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
			LentStays: l.Terms.Borrow.Out == license.OutAllow,
			Seats:     l.Terms.Seats, Split: p.Split && l.Sold.Splits(), Origin: l.Origin, Units: l.Terms.Units, Used: l.Used, HeldBack: l.HeldBack != "",
			Moves: l.Terms.Transfer.Has(license.MovesUnits)}
		if l.MergedInto != "" {
			into, err := x.mergedInto(l)
			if err != nil {
				return s, err
			}
			c.MergedInto, c.Units = into.ID, into.Terms.Units
		}
		if l.Holder == x.in.serial && c.Units > 0 && len(w.Amounts) > 0 {
			if c.Given, err = x.given(l); err != nil {
				return s, err
			}
		}
		if l.Holder == x.in.serial {
			if c.Returning, err = x.returning(l); err != nil {
				return s, err
			}
			c.Lent = container.LentOf(x.c.Lent, id, l.Generation, license.At(x.now))
		}
		s.Licenses[id] = c
	}
	if x.void, err = x.toRestate(); err != nil {
		return s, err
	}
	s.Restate = x.void[:min(len(x.void), container.MaxOfTicket)]
	for _, e := range x.earmarks {
		// What a step carries already is planned again only where the license may
		// not come back meanwhile; a copy that is to go is not sent out twice, and
		// neither is a change.
		if e.Step == 0 || e.Kind != store.Kill && e.Kind != store.Change {
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
		x.c.Epoch = x.keys.epoch
		if err := x.registered(); err != nil {
			return err
		}
	}
	now := license.At(x.now)
	n := x.c.Issued + 1
	row := store.Step{Number: n, Time: now, Epoch: x.keys.epoch}
	back := map[license.ID]int64{} // units that the container is to have no longer
	for i, op := range ops {
		if op.Of != "" {
			if err := x.split(op, n); err != nil {
				return err
			}
		}
		l := x.licenses[op.License]
		event := license.DropIssued
		var bytes []byte
		if op.Kind == container.Put {
			event = license.PutIssued
			if l.Holder == x.in.serial && l.State != license.Returning {
				event = license.ChangeIssued
			}
			if l.Activated == 0 {
				l = l.Activate(now)
			}
			body, err := x.body(l)
			if err != nil {
				return err
			}
			if op.Of == "" && op.Amount > 0 {
				back[l.ID] = op.Amount
			} else if _, now := back[l.ID]; !now {
				if back[l.ID], err = x.unitsBack(l); err != nil {
					return err
				}
			}
			body.Terms.Units -= back[l.ID]
			if bytes, ops[i].Body, err = seal.EncodeBody(body); err != nil {
				return err
			}
		}
		row.Ops = append(row.Ops, store.StepOp{Op: ops[i], Bytes: bytes})
		if op.Generation < l.Generation {
			continue // a copy that counts no more; the license is elsewhere
		}
		if err := x.moveBack(l, event, n, back[l.ID]); err != nil {
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
	if err := x.tx.InsertStep(x.in.serial, row, x.keys.vendor.Keys); err != nil {
		return err
	}
	x.unproven = append(x.unproven, row)
	details := map[string]any{"step": n, "operations": operations(ops)}
	if lock != container.Unchanged {
		details["lock"] = lock.String()
	}
	return x.log.note(evStepIssued, details, x.self())
}

// registered tells of a container that gets its row.
func (x *exchange) registered() error {
	details := map[string]any{"kind": x.c.Identity.Kind, "binding": x.c.Binding}
	if x.keys.epoch > firstEpoch {
		details["epoch"] = x.c.Epoch
	}
	return x.log.note(evContainerSeen, details, x.self())
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
	of := l.Origin
	if olderThan(container.UnitsSince, x.in.report.Program) {
		of = "" // it cannot read the field either
	}
	return container.Body{
		License: l.ID, Generation: l.Generation, Container: x.in.serial, ContainerKey: x.c.Identity.SigningKey,
		Product: p.Code, Name: p.Name, Features: l.Features, Tolerance: p.Binding, Repair: p.Repair,
		Customer: o.Customer, Order: o.Number, Activated: l.Activated, Terms: l.Terms, Used: l.Used, Of: of,
	}, nil
}
