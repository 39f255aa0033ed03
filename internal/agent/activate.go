package agent

import (
	"context"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// Activate asks for the licenses of tickets, online: request, update and
// receipt in one go. Called again after an interruption it goes on where it
// was.
func (a *Agent) Activate(ctx context.Context, in ActivateRequest) (result wire.Programming, err error) {
	if len(in.Tickets) == 0 {
		return result, refusal.New(refusal.InvalidInput, "No ticket was given.").Hinted("licet activate TICKET")
	}
	err = a.write(ctx, func() error {
		b, v, err := a.forActivation(ctx, in.Container, func() (vendor, error) {
			if in.Vendor != "" {
				return a.vendor(in.Vendor)
			}
			return a.vendorFor(ctx, in.Central)
		})
		if err == nil {
			err = v.is(in.Vendor, b)
		}
		if err != nil {
			return err
		}
		result, err = a.exchange(ctx, b, v, in.Central, container.Wishes{Tickets: in.Tickets, Activate: in.Licenses, Amounts: in.Amounts})
		return err
	})
	return result, storage(err)
}

// Deactivate gives licenses back, online: named ones, or everything in a
// container. It says whether the machine may be erased then.
func (a *Agent) Deactivate(ctx context.Context, in DeactivateRequest) (result Deactivation, err error) {
	if len(in.Licenses) == 0 && !in.All {
		return result, refusal.New(refusal.InvalidInput, "No license was given.").Hinted("licet deactivate ID, or licet deactivate --all")
	}
	err = a.write(ctx, func() error {
		b, v, err := a.forReturn(ctx, in.Container, in.Licenses)
		if err == nil {
			err = v.is(in.Vendor, b)
		}
		if err != nil {
			return err
		}
		wishes := container.Wishes{Return: in.Licenses, Amounts: in.Amounts}
		if in.All {
			wishes.Return = b.held()
		}
		if err := knownReturns(b, wishes.Return); err != nil {
			return err
		}
		if wishes.None() && b.receipt() != waiting { // empty, and the vendor knows
			result.Programming = wire.Programming{
				Container: b.serial(), Counter: b.State.Number, Receipt: b.receipt(),
				Applied: []container.Change{}, Outcomes: []container.Outcome{},
			}
		} else if result.Programming, err = a.returning(ctx, in, b, v, wishes); err != nil {
			return err
		}
		result.Left = len(b.State.Held)
		result.Remaining = a.remaining(ctx)
		result.SafeToWipe = len(result.Remaining) == 0
		return nil
	})
	return result, storage(err)
}

// returning asks for a return, and where licenses are to go together with those
// that need them, for all of these in one step.
func (a *Agent) returning(ctx context.Context, in DeactivateRequest, b *box, v vendor, w container.Wishes) (all wire.Programming, err error) {
	for {
		result, err := a.exchange(ctx, b, v, in.Central, w)
		if err != nil {
			return all, err
		}
		result.Applied = slices.Concat(all.Applied, result.Applied)
		all = result
		all.Applied = empty(all.Applied)
		before := len(w.Return)
		for _, o := range result.Outcomes {
			if o.Code != refusal.BreaksOtherLicense || !in.Together {
				continue
			}
			for _, id := range idsIn(o.Details["licenses"]) {
				if !slices.Contains(w.Return, id) {
					w.Return = append(slices.Clone(w.Return), id)
				}
			}
		}
		if len(w.Return) == before {
			return all, nil
		}
	}
}

// remaining says of every container of this machine, whoever its vendor is, why
// a license would be lost with it. What cannot be told counts.
func (a *Agent) remaining(ctx context.Context) []Remaining {
	entries, err := a.entries("")
	if err != nil {
		return []Remaining{{Closed: problemOf(err).Detail}}
	}
	list := []Remaining{}
	traits := a.traits()
	for _, e := range entries {
		r := Remaining{Container: license.Serial(e.Serial)}
		b, err := a.open(ctx, r.Container, traits)
		switch {
		case refusal.Is(err, refusal.ContainerUnknown): // deleted a moment ago
			continue
		case err != nil:
			r.Closed = problemOf(storage(err)).Detail
		default:
			r.Licenses = b.held()
			r.Receipt = b.receipt() == waiting
			for _, id := range b.loans() {
				if l := b.describeLoan(id); terms.Before(a.now(), l.Until) {
					r.Loans = append(r.Loans, l)
				}
			}
			for _, id := range b.waits() {
				if l := b.describeReturned(id); terms.Before(a.now(), l.Until) {
					r.Loans = append(r.Loans, l)
				}
			}
			if len(r.Licenses) == 0 && !r.Receipt && len(r.Loans) == 0 {
				continue
			}
		}
		list = append(list, r)
	}
	return list
}

// exchange carries wishes to central and its answer back, once more if it
// answers with a challenge, and delivers the receipt by itself.
func (a *Agent) exchange(ctx context.Context, b *box, v vendor, address string, wishes container.Wishes) (wire.Programming, error) {
	base, err := v.base(address)
	if err != nil {
		return wire.Programming{}, err
	}
	result, err := a.program(ctx, b, v, base, wishes)
	if err != nil {
		return result, err
	}
	result, err = a.conclude(ctx, b, v, base, wishes, result)
	if err == nil && b.told {
		a.tellOthers(ctx, v, b.serial())
	}
	return result, err
}

// conclude does what follows an answer that was applied.
func (a *Agent) conclude(ctx context.Context, b *box, v vendor, base string, wishes container.Wishes, result wire.Programming) (wire.Programming, error) {
	var err error
	if len(b.State.Challenge) > 0 {
		// Central thinks that this container is behind. A fresh report that answers
		// the challenge settles it; a second challenge is for people.
		before := result.Applied
		if result, err = a.program(ctx, b, v, base, wishes); err != nil {
			return result, err
		}
		result.Applied = slices.Concat(before, result.Applied)
	}
	if !sameAddress(base, v.address) {
		// The vendor's signature came from there, so the agent finds him there too.
		if err := a.keepAddress(v.id(), base); err != nil {
			a.cfg.Log.Warn("address not noted", "vendor", v.id(), "error", err)
		}
	}
	a.fetchNews(ctx, b, v, base)
	a.deliver(ctx, b, v, base)
	result.Receipt = b.receipt()
	return result, nil
}

// program sends one report and applies what comes back.
func (a *Agent) program(ctx context.Context, b *box, v vendor, base string, wishes container.Wishes) (wire.Programming, error) {
	file, err := a.ask(ctx, b, v, wishes)
	if err != nil {
		return wire.Programming{}, err
	}
	answer, err := a.central().Program(ctx, base, file)
	if err != nil {
		return wire.Programming{}, a.unanswered(ctx, b, err)
	}
	return a.apply(ctx, b, v, answer)
}

// unanswered keeps the stored request for a retry where central may have read
// it, and drops it where central read it and refused it whole.
func (a *Agent) unanswered(ctx context.Context, b *box, err error) error {
	r, ok := refusal.As(err)
	if !ok {
		return err
	}
	switch r.Code {
	case refusal.CentralUnreachable, refusal.RateLimited, refusal.Internal, refusal.StorageFull, refusal.ServerOutdated, refusal.JournalUnavailable:
		return err
	}
	next := *b
	next.Pending = nil
	if saveErr := a.save(ctx, &next); saveErr != nil {
		a.cfg.Log.Warn("refused request not dropped", "container", b.serial(), "error", saveErr)
		return err // the refusal is what the user asked about
	}
	*b = next
	return err
}

const waiting = "waiting for the next contact"

// deliver sends the receipt if central does not have it. That it does not
// arrive is no failure: any later report does its work (docs/protocol.md R7).
func (a *Agent) deliver(ctx context.Context, b *box, v vendor, base string) {
	if b.receipt() != waiting {
		return
	}
	file, err := a.confirm(ctx, b, v)
	if err == nil {
		err = a.central().Receipt(ctx, base, file)
	}
	if err != nil {
		a.cfg.Log.Info("receipt waits for the next contact", "container", b.serial(), "error", err)
		return
	}
	next := *b
	next.Receipted = b.State.Number
	if err := a.save(ctx, &next); err != nil {
		a.cfg.Log.Warn("delivered receipt not noted", "container", b.serial(), "error", err)
		return
	}
	*b = next
}
