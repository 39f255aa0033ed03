package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

// Movement is what a container of this machine answers to what a loan request says of
// units. All of it is durable.
type Movement struct {
	Container license.Serial
	Document  []byte              // lease document of units that move; empty for none
	Refused   *refusal.Refusal    // why those that were asked for do not
	Ended     []container.Outcome // one for each transfer that came to its end
	Confirmed []seats.LeaseID     // the same, by name
	Changed   bool                // the container was written
}

// MoveUnits answers what a loan request says of units. The container that has the
// license keeps account of them itself, in the same file as their counter: it needs no
// license server. Units that move are used here, durably, before anything leaves that
// says so; what came back is added once (docs/protocol.md, section 13). may says why a
// container's owner does not let them go; a request that was answered before is
// answered again all the same.
func (a *Agent) MoveUnits(ctx context.Context, wish seal.SignedLoanWish, may func(license.Serial) *refusal.Refusal) (m Movement, err error) {
	err = a.write(ctx, func() error {
		m, _, err = a.moveUnits(ctx, wish, may)
		return err
	})
	return m, storage(err)
}

// AnswerUnits answers a loan request that was carried here, and is for units alone.
// Whoever may have it done is the owner of the machine: nobody else's rules bind him,
// the vendor's terms do.
func (a *Agent) AnswerUnits(ctx context.Context, in ImportRequest) (file File, err error) {
	wish, err := seal.OpenAnyLoanRequest(in.Data)
	if err != nil {
		return file, err
	}
	if !forUnitsAlone(wish.Wish) {
		return file, noSeatServer()
	}
	err = a.write(ctx, func() error {
		m, b, err := a.moveUnits(ctx, wish, func(license.Serial) *refusal.Refusal { return nil })
		if err != nil {
			return err
		}
		keys, err := b.keys()
		if err != nil {
			return err
		}
		file.Container = b.serial()
		file.Data, err = seal.SignLoanAnswer(b.scope(), keys, b.kind(), wish, m.Into(wish.Wish, seal.LoanAnswer{Time: a.now()}))
		return err
	})
	return file, storage(err)
}

// forUnitsAlone reports whether a wish can be answered without a license server.
func forUnitsAlone(w seats.LoanWish) bool {
	rest := w.OfSeats()
	return w.OfUnits() && rest.Product == "" && rest.Extend == "" && len(rest.Returned) == 0
}

// Into adds the movement to an answer.
func (m Movement) Into(w seats.LoanWish, answer seal.LoanAnswer) seal.LoanAnswer {
	answer.Confirmed = append(empty(answer.Confirmed), m.Confirmed...)
	answer.Outcomes = append(empty(answer.Outcomes), m.Ended...)
	name := "transfer " + w.Product
	switch {
	case m.Refused != nil:
		answer.Outcomes = append(answer.Outcomes, container.Outcome{
			Wish: name, Code: m.Refused.Code, Message: m.Refused.Message, Hint: m.Refused.NextStep(), Details: Plainly(m.Refused.Details),
		})
	case len(m.Document) > 0:
		answer.Document = m.Document
		answer.Outcomes = append(answer.Outcomes, container.Outcome{Wish: name, Code: refusal.Done})
	}
	return answer
}

// moveUnits decides and writes. The box is the container that answers.
func (a *Agent) moveUnits(ctx context.Context, signed seal.SignedLoanWish, may func(license.Serial) *refusal.Refusal) (Movement, *box, error) {
	w := signed.Wish
	b, from, no, err := a.giver(ctx, signed, may)
	if err != nil {
		return Movement{}, nil, err
	}
	m := Movement{Container: b.serial(), Refused: no}
	next := *b
	state, now := b.State, a.now()
	changed := false
	for _, c := range w.Closed {
		before, known := state.Moves[string(c.Lease)]
		after, back, ok := state.TakeBack(signed.Serial, string(c.Lease), c.Used, now)
		state, changed = after, changed || ok && known && before.Closed == 0
		m.Confirmed = append(m.Confirmed, c.Lease)
		m.Ended = append(m.Ended, ended(c, b.serial(), state.Moves[string(c.Lease)], back, ok))
	}
	for _, h := range w.Holds {
		if h.Units == 0 {
			continue
		}
		after, news := state.Told(signed.Serial, string(h.Lease), h.Used)
		state, changed = after, changed || news
	}
	var moved container.Move
	var name string
	if from != nil {
		asked := moveWish(signed)
		var before bool
		if name, moved, before, m.Refused = state.Given(asked); !before && m.Refused == nil {
			state, name, moved, m.Refused = state.Give(from.body, asked, now, endOf(from.held(), now))
			changed = changed || m.Refused == nil
		}
	}
	if changed {
		next.State = state
		next.State.Floor = max(next.State.Floor, now)
		if err := a.save(ctx, &next); err != nil {
			return Movement{}, nil, err
		}
		*b = next
		m.Changed = true
	}
	if from == nil || m.Refused != nil {
		return m, b, nil
	}
	// What was used must not be left in the older slot either, nor in a slot that a power
	// cut takes back: the document proves it.
	if err := b.file.Scrub(ctx); err != nil {
		return Movement{}, nil, boxError(b.header.Serial, err)
	}
	m.Document, m.Refused, err = a.moveDocument(b, seats.LeaseID(name), moved)
	return m, b, err
}

// ended tells what became of a transfer that its holder has ended.
func ended(c seats.Closed, serial license.Serial, m container.Move, back int64, ok bool) container.Outcome {
	o := container.Outcome{Wish: "return " + string(c.Lease), Code: refusal.Done, Details: map[string]any{"units": back}}
	var no *refusal.Refusal
	switch {
	case !ok:
		no = refusal.New(refusal.LeaseLost, "Container %s does not know that units moved to you as %s, so none is added to its license.", serial, c.Lease).
			Hinted("Its file may have been put back to an earlier state; ask its owner, or the vendor.")
	case back == 0 && m.Units > m.Used:
		no = refusal.New(refusal.LicenseUnknown, "The license %s, from which the units of %s are, is not in container %s as it was, so none is added to it.", m.License, c.Lease, serial).
			Hinted("Ask the vendor, who can add units to it.")
	default:
		return o
	}
	o.Code, o.Message, o.Hint = no.Code, no.Message, no.NextStep()
	return o
}

// moveWish is what a request asks of units.
func moveWish(signed seal.SignedLoanWish) container.MoveWish {
	w := signed.Wish
	return container.MoveWish{
		Holder: signed.Serial, HolderKey: signed.Identity.SigningKey, Nonce: w.Nonce, Number: w.Number, Units: w.Units,
		Host: w.Client.Host, User: w.Client.User,
	}
}

// giver finds the container that answers, and, where units are asked for, the license
// that they come from: the one that moved them before, or that lasts longest.
func (a *Agent) giver(ctx context.Context, signed seal.SignedLoanWish, may func(license.Serial) *refusal.Refusal) (*box, *candidate, *refusal.Refusal, error) {
	w := signed.Wish
	traits := a.traits()
	open := func(serial license.Serial) (*box, error) { return a.open(ctx, serial, traits) }
	var named *box
	if w.Server != "" {
		var err error
		if named, err = open(w.Server); refusal.Is(err, refusal.ContainerUnknown) || err == nil && named.scope() != signed.Scope {
			return nil, nil, nil, refusal.New(refusal.WrongContainer, "The request is for container %s, which is not on this machine. Nothing was changed.", w.Server).
				Hinted("Carry it to the machine that has that container.").With("made_for", string(w.Server))
		} else if err != nil {
			return nil, nil, nil, err
		}
	}
	switch {
	case w.Units == 0 && named == nil:
		return nil, nil, nil, refusal.New(refusal.InvalidInput, "The request does not say of which container the units are.")
	case w.Units == 0:
		return named, nil, nil, nil
	}
	list, _, err := a.serving(CheckRequest{Vendor: string(signed.Scope.Vendor), Product: w.Product}, a.trusted, Blocks{}, false, open)
	if err != nil {
		return nil, nil, nil, err
	}
	list = slices.DeleteFunc(list, func(c candidate) bool {
		return c.loan != nil || c.box.scope() != signed.Scope || w.Server != "" && c.box.serial() != w.Server
	})
	none := func(b *box, no *refusal.Refusal) (*box, *candidate, *refusal.Refusal, error) {
		if b == nil {
			return nil, nil, nil, no
		}
		return b, nil, no, nil
	}
	asked := moveWish(signed)
	var best *candidate
	var why *refusal.Refusal
	now, own := a.now(), false
	for i := range list {
		c := &list[i]
		if named == nil {
			named = c.box // some container answers, also with a refusal
		}
		if c.box.serial() == signed.Serial {
			own = true
			continue
		}
		_, before, ok, no := c.box.State.Given(asked)
		switch {
		case ok && before.License == c.id && before.Generation == c.generationHeld():
			return c.box, c, nil, nil
		case ok:
			continue // another license of the same container
		case no != nil:
			return none(c.box, no)
		}
		if no = a.mayGive(c, w, now); no != nil {
			if why == nil || why.Code == refusal.BorrowNotAllowed {
				named, why = c.box, no
			}
			continue
		}
		if best == nil || lasts(endOf(c.held(), now), endOf(best.held(), now)) {
			best = c
		}
	}
	switch {
	case best != nil:
		if no := may(best.box.serial()); no != nil {
			return none(best.box, no)
		}
		return best.box, best, nil, nil
	case why != nil:
		if no := may(named.serial()); no != nil {
			return none(named, no)
		}
		return none(named, why)
	case own:
		return none(named, refusal.New(refusal.BorrowNotAllowed, "The units of %s are in this container already.", w.Product))
	}
	return none(named, refusal.New(refusal.NoLicense, "There is no license for %s here of which units could move.", w.Product))
}

// mayGive says why no units of a license move to this wish; nil if they may.
func (a *Agent) mayGive(c *candidate, w seats.LoanWish, now license.Time) *refusal.Refusal {
	if c.no == nil && (c.body.Terms.Units == 0 || !c.body.Terms.Transfer.Has(license.MovesUnits)) {
		return refusal.New(refusal.BorrowNotAllowed, "The vendor does not let units of %s move to another container.", w.Product)
	}
	here := *c
	here.body.Terms.MinVersion, here.body.Terms.MaintenanceUntil = "", 0 // the other machine's program is not known
	v := here.verdict(terms.Use{Features: w.Features, Units: w.Units}, now)
	switch no := v.Refusal(); {
	case no != nil && no.Code == refusal.UnitsSpent:
		return no.With("left", c.left()).With("asked", w.Units)
	case no != nil:
		return no
	case v.InGrace:
		return refusal.New(refusal.BorrowNotAllowed, "The license for %s is in its grace period, which does not move.", w.Product)
	}
	return nil
}

// generationHeld is the generation of a license that the container holds.
func (c candidate) generationHeld() license.Generation { return c.box.State.Held[c.id].Generation }

// endOf is when a license ends without grace, or when it needs a contact with the
// vendor, whichever is first; 0 for never. Nothing that moves lasts longer.
func endOf(h terms.Held, now license.Time) license.Time {
	h.Terms.Grace = 0
	return terms.Check(h, terms.Use{}, terms.Clock{Now: now}).ValidUntil
}

// lasts reports whether one end is later than another.
func lasts(a, b license.Time) bool { return b != 0 && (a == 0 || a > b) }

// moveDocument is the lease document of units that moved, made anew each time from
// what the container keeps. The license must be there still, as it was.
func (a *Agent) moveDocument(b *box, name seats.LeaseID, m container.Move) ([]byte, *refusal.Refusal, error) {
	v, no := a.vendorOf(b)
	if no != nil {
		return nil, no, nil
	}
	v = b.newest(v)
	c := b.examine(b.judge(v), m.License, nil)
	if c.no != nil {
		return nil, c.no, nil
	}
	part, err := v.licensePart(c.step, c.data, addCertificates(b.Certificates, v.trust.Certificates))
	if err != nil {
		return nil, nil, err
	}
	lease, err := seal.EncodeLease(seats.Lease{
		ID: name, Kind: seats.Transfer, Server: b.serial(), License: m.License, Generation: m.Generation, Product: m.Product,
		Seats: 1, Units: m.Units, Client: seats.Client{Host: m.Host, User: m.User, Groups: []string{}}, Nonce: m.Nonce,
		From: m.Time, Until: m.Until, Fence: m.Fence, Holder: m.Holder, HolderKey: m.HolderKey,
	})
	if err != nil {
		return nil, nil, err
	}
	keys, err := b.keys()
	if err != nil {
		return nil, nil, err
	}
	// Of no row of heads: each move stands by itself.
	_, statements, err := seal.SignLeases(b.scope(), keys, 0, [32]byte{}, a.now(), [][]byte{lease})
	if err != nil {
		return nil, nil, err
	}
	return seal.NewLeaseDocument(part, statements[0]), nil, nil
}

// movedOut tells of the units of a license that moved to other containers.
func (b *box) movedOut(id license.ID, generation license.Generation) (list []wire.Moved) {
	for _, name := range b.State.MovedOut() {
		if m := b.State.Moves[name]; m.License == id && m.Generation == generation {
			list = append(list, MovedOf(name, m))
		}
	}
	return list
}

// MovedOf tells of units that moved away.
func MovedOf(name string, m container.Move) wire.Moved {
	return wire.Moved{
		ID: seats.LeaseID(name), Holder: m.Holder, Host: m.Host, User: m.User, Units: m.Units, Used: m.Used,
		Since: m.Time, Until: m.Until, Confirmed: m.Confirmed, Closed: m.Closed, Back: m.Back,
	}
}

// Plainly spells facts as JSON does, in the few types that a signed answer takes.
func Plainly(facts map[string]any) map[string]any {
	text, err := json.Marshal(facts)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var out map[string]any
	if err != nil || dec.Decode(&out) != nil {
		return nil // the message says it too
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			if n, err := v.Int64(); err == nil {
				return n
			}
			return v.String()
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = walk(v[name])
			}
		}
		return v
	}
	walk(out)
	return out
}
