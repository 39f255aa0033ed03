package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Import applies the file that the vendor answered, offline step 2, to the
// container it was made for, or takes in a file with news of his block list. A
// refused file changes nothing.
func (a *Agent) Import(ctx context.Context, in ImportRequest) (result wire.Programming, err error) {
	err = a.write(ctx, func() error {
		result, err = a.importFile(ctx, in.Data)
		return err
	})
	return result, storage(err)
}

func (a *Agent) importFile(ctx context.Context, file []byte) (wire.Programming, error) {
	info, err := seal.Inspect(file)
	if err != nil {
		return wire.Programming{}, err
	}
	if info.Kind != seal.Update && info.Kind != seal.BlockListFile && info.Kind != seal.LoanFile {
		return wire.Programming{}, wrongFile(info.Kind)
	}
	v, err := a.vendor(string(info.Scope.Vendor))
	if err != nil {
		return wire.Programming{}, err
	}
	if info.Kind == seal.BlockListFile {
		return a.importNews(v, file)
	}
	b, err := a.open(ctx, info.Container, a.traits())
	switch {
	case info.Kind == seal.LoanFile && err == nil:
		return a.importLoan(ctx, b, v, file)
	case info.Kind == seal.LoanFile && refusal.Is(err, refusal.ContainerUnknown):
		return wire.Programming{}, refusal.New(refusal.WrongContainer, "The loan was made for container %s, which is not on this machine. Nothing was changed.", info.Container).
			With("made_for", string(info.Container))
	case refusal.Is(err, refusal.ContainerUnknown):
		return wire.Programming{}, a.madeForAnother(v, file, info.Container)
	case err != nil:
		return wire.Programming{}, err
	}
	if err := b.belongs(v); err != nil {
		return wire.Programming{}, err
	}
	result, err := a.apply(ctx, b, v, file)
	if err != nil {
		return wire.Programming{}, err
	}
	result.Receipt = b.receipt()
	return result, nil
}

// wrongFile says what a file is that is no update.
func wrongFile(kind seal.Kind) error {
	r := refusal.New(refusal.WrongFile, "This is a %s, made on a user's machine for the vendor. Nothing was changed.", kind).
		Hinted("Carry it to the vendor; import the update that comes back.")
	if kind == seal.LoanRequest {
		r = refusal.New(refusal.WrongFile, "This is a loan request, made for a license server. Nothing was changed.").
			Hinted("Carry it to the machine of the license server, and run licet lend FILE -o FILE.licet-loan there.")
	}
	if kind == seal.TrustBundle {
		r = refusal.New(refusal.WrongFile, "This is a vendor's trust file, not an update. Nothing was changed.").
			Hinted("Add it with licet trust add, if you mean to trust the vendor.")
	}
	return r.With("is", string(kind)).With("wanted", string(seal.Update))
}

// madeForAnother refuses an update for a container that is not here, naming
// both (docs/protocol.md R20). Whom it was made for is said only once the
// vendor's signature has proven it.
func (a *Agent) madeForAnother(v vendor, file []byte, madeFor license.Serial) error {
	verifier, err := v.verifier(nil)
	if err != nil {
		return err
	}
	nobody, err := seal.NewContainerKeys(a.random())
	if err != nil {
		return err
	}
	if _, err := verifier.OpenUpdate(file, nobody); !refusal.Is(err, refusal.WrongContainer) {
		if err == nil {
			err = errors.New("agent: an update opened with nobody's keys")
		}
		return err
	}
	entries, err := a.entries("")
	if err != nil {
		return err
	}
	here := strings.Join(serials(entries), ", ")
	r := refusal.New(refusal.WrongContainer, "The update was made for container %s; this is container %s. Nothing was changed.", madeFor, here)
	switch len(entries) {
	case 0:
		r.Message = "The update was made for container " + string(madeFor) + "; this machine has no container. Nothing was changed."
	case 1:
	default:
		r.Message = "The update was made for container " + string(madeFor) + "; this machine has the containers " + here + ". Nothing was changed."
	}
	return r.With("made_for", string(madeFor)).With("this_is", here)
}

// apply verifies an update and takes it in: everything that is signed is
// checked, the log's rules decide, and one durable write makes it so
// (docs/protocol.md R22, R4, R5, R6). On any error container and b are as before.
func (a *Agent) apply(ctx context.Context, b *box, v vendor, file []byte) (wire.Programming, error) {
	machine := v.trust.Number // what it knows
	v = b.newest(v)
	verifier, err := v.verifier(b.Certificates)
	if err != nil {
		return wire.Programming{}, err
	}
	keys, err := b.keys()
	if err != nil {
		return wire.Programming{}, err
	}
	update, err := verifier.OpenUpdate(file, keys)
	if err != nil {
		return wire.Programming{}, err
	}
	trust := verifier.Trust()
	if trust.Ended(max(a.now(), b.State.Floor)) {
		return wire.Programming{}, refusal.New(refusal.TrustEnded, "What is known here of the keys of %s counted until %s, and the update brings nothing newer. Nothing was changed.", v.name(), trust.Until)
	}
	steps, err := verifier.Steps(update.Steps)
	if err != nil {
		return wire.Programming{}, err
	}

	// A seat that was lent since the return was asked for is not taken from under
	// its user (docs/protocol.md, section 10).
	if leaving := container.ReturnedBy(steps, b.State.Number); len(leaving) > 0 {
		if no := container.WaitsForSeats(steps, b.State.Number, a.lentOf(b, leaving...), b.goesWhileLent, seatsOf, a.now()); no != nil {
			return wire.Programming{}, no
		}
	}

	next := *b
	next.bodies, next.Facts = maps.Clone(b.bodies), maps.Clone(b.Facts)
	state, changes, no := b.State.Import(update, steps, a.nonce, a.now())
	if no != nil && no.Code == refusal.OutOfDate && update.Epoch < b.State.Epoch && b.answeredBy(update) {
		// A server that was left behind answers: the next report proves it to him.
		next.Pending, next.Bring = nil, update.Acked+1
		if err := a.save(ctx, &next); err != nil {
			return wire.Programming{}, err
		}
		*b = next
	}
	if no != nil && no.Code != refusal.AlreadyApplied {
		return wire.Programming{}, no
	}
	a.hear(v, update)
	b.list, next.list = update.List, update.List
	next.State = state
	for i := range changes {
		if err := next.change(&changes[i]); err != nil {
			return wire.Programming{}, err
		}
	}
	filled, err := next.fill(update.Reissued)
	if err != nil {
		return wire.Programming{}, err
	}
	result := wire.Programming{
		Container: b.serial(), Counter: state.Number, Applied: empty(slices.Concat(changes, filled)), Outcomes: empty(update.Outcomes),
	}
	next.trusts(update.Trust, trust, v)
	if no != nil && len(filled) == 0 {
		// Nothing is new in the container. That the vendor refused a wish is told all
		// the same: it may be the only time that the person hears of it.
		refused := slices.DeleteFunc(slices.Clone(update.Outcomes), func(o container.Outcome) bool { return !o.Refused() })
		result.Outcomes = append([]container.Outcome{{Wish: "import", Code: no.Code, Message: no.Message}}, refused...)
		if update.Trust == nil {
			// The program that wrote it may have died before it would outlast a power cut,
			// or before the machine knew what the container knows.
			if trust.Number > machine {
				a.hearTrust(v, trust)
			}
			return result, boxError(b.header.Serial, b.file.Settle(ctx))
		}
	} else {
		next.settle(b, update)
	}
	if err := a.save(ctx, &next); err != nil {
		return wire.Programming{}, err
	}
	*b = next
	if trust.Number > machine {
		a.hearTrust(v, trust)
	}
	return result, nil
}

// trusts notes a newer trust bundle that came with an update to a container which
// knew the vendor by an older one; nil if none came.
func (b *box) trusts(signed []byte, t *seal.Trust, before vendor) {
	if signed == nil {
		return
	}
	b.Trust = signed
	b.told = len(t.Revoked) > len(before.trust.Revoked) || !bytes.Equal(t.Root, before.trust.Root)
}

// change brings a license in or takes it out, and notes how many seats and units it
// has.
func (b *box) change(c *container.Change) error {
	if _, held := b.State.Held[c.License]; !held {
		delete(b.bodies, c.License)
		delete(b.Facts, c.License)
		b.Returned = b.State.Number
		return nil
	}
	if c.Body == nil {
		return nil // dropped an older generation than the one held
	}
	if c.Phase == container.Return.String() {
		b.Returned = b.State.Number // some of its seats
	}
	if body, err := seal.DecodeBody(c.Body); err == nil {
		c.Seats, c.Units = body.Terms.Seats, max(0, body.Terms.Units-b.State.Used(body))
	}
	return b.put(c.Body)
}

// put keeps the body of a license that is held.
func (b *box) put(data []byte) error {
	body, err := seal.DecodeBody(data)
	if err != nil {
		return err
	}
	switch body.Tolerance {
	case license.Loose, license.Medium, license.Tight:
	default:
		return refusal.New(refusal.UnsupportedVersion, "License %s has the tolerance %q, which this program does not know. Nothing was changed.", body.License, body.Tolerance).
			Hinted("Install a newer version of licet, then import the file again.")
	}
	b.bodies[body.License] = containerfile.Body{License: string(body.License), Tolerance: string(body.Tolerance), Data: data}
	b.Facts[body.License] = fact{Name: body.Name, Tolerance: body.Tolerance, Repair: body.Repair}
	return nil
}

// OpReissued is what happened to a license that the container held and whose
// body came again, beside the operations put and drop.
const OpReissued = "reissued"

// fill takes in bodies that were lost to a repair. A body is what the signed
// step says if its hash is the one the container kept.
func (b *box) fill(reissued [][]byte) (filled []container.Change, err error) {
	lost := b.reissue()
	for _, data := range reissued {
		hash := container.Hash(sha256.Sum256(data))
		for _, id := range lost {
			if b.State.Held[id].Body != hash {
				continue
			}
			if err := b.put(data); err != nil {
				return filled, err
			}
			filled = append(filled, container.Change{Op: OpReissued, License: id, Product: b.State.Held[id].Product})
		}
	}
	return filled, nil
}

// answeredBy reports whether an update answers the latest report.
func (b *box) answeredBy(u container.Update) bool {
	return b.State.Asked != container.Nonce{} && b.State.Asked == u.Answers
}

// settle notes what an update says besides its steps.
func (b *box) settle(old *box, u container.Update) {
	b.Certificates = addCertificates(old.Certificates, u.Keys)
	if old.answeredBy(u) {
		b.Pending, b.Rebound, b.Refresh, b.Bring = nil, false, u.Refresh, 0
		if old.State.Misses(u) {
			b.Bring = u.Acked + 1
		}
	}
	if b.waiting() == nil {
		b.Pending = nil
	}
}

// receipt says whether the vendor knows how far the container got.
func (b *box) receipt() string {
	switch {
	case b.State.Number == 0:
		return ""
	case b.State.Acked >= b.State.Number || b.Receipted >= b.State.Number:
		return "delivered"
	}
	return waiting
}

// importLoan takes in what a license server answered to a request that was
// carried.
func (a *Agent) importLoan(ctx context.Context, b *box, v vendor, file []byte) (wire.Programming, error) {
	if err := b.belongs(v); err != nil {
		return wire.Programming{}, err
	}
	before := b.Loans
	answer, err := a.takeLoan(ctx, b, v, file, nil)
	if err != nil {
		return wire.Programming{}, err
	}
	result := wire.Programming{
		Container: b.serial(), Counter: b.State.Number, Receipt: b.receipt(),
		Applied: []container.Change{}, Outcomes: empty(answer.Outcomes),
	}
	if refusedWish(answer.Outcomes) != nil {
		return result, nil
	}
	say := func(code refusal.Code, format string, args ...any) {
		result.Outcomes = []container.Outcome{{Wish: "import", Code: code, Message: refusal.New(code, format, args...).Message}}
	}
	l, had := b.Loans[answer.Lease.ID]
	switch old := before[answer.Lease.ID]; {
	case len(answer.Document) == 0:
		say(refusal.Done, "%s has booked %s.", answer.Server, count(len(answer.Confirmed), "return"))
	case had && old == l:
		say(refusal.AlreadyApplied, "The loan %s is here already.", answer.Lease.ID)
	case had:
		say(refusal.Done, "%s is here: %s.", l.Product, b.describeLoan(answer.Lease.ID).Source())
	default:
		say(refusal.AlreadyApplied, "The loan %s is over, or was given back. Nothing was changed.", answer.Lease.ID)
	}
	return result, nil
}
