package registry

import (
	"context"
	"errors"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// AcceptContainer settles a contradiction in the container's favor: the step and
// life it reported become the acknowledged ones, and the steps after it go out
// again. Generations stay; a license that has gone elsewhere since stays there.
func (r *Registry) AcceptContainer(ctx context.Context, a Actor, serial license.Serial, reason string) (out wire.Container, err error) {
	if err := a.may(ScopeContainers); err != nil {
		return out, err
	}
	now := r.cfg.Now()
	err = r.write(ctx, func(tx *store.Tx) error {
		c, err := r.lockContainer(tx, serial)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("container", string(serial))
		}
		if err != nil {
			return err
		}
		switch {
		case c.Flag.Reason == "":
			return refusal.New(refusal.Conflict, "The container %s does not contradict the record; there is nothing to accept.", serial).Hinted("Nothing needs to be done.")
		case !c.Flag.Acceptable:
			return refusal.New(refusal.Conflict, "The container %s follows another plan than the record; accepting it cannot mend that.", serial).
				Hinted("Treat its licenses as lost.")
		}
		log := r.scribe(tx, a, now)
		log.reason = reason
		if err := reopen(tx, c, log); err != nil {
			return err
		}
		flag := c.Flag
		c.Acked, c.AckedLife, c.Flag, c.Challenge = flag.Number, flag.Life, store.Flag{}, nil
		if err := tx.ForgetLives(serial, flag.Number); err != nil {
			return err
		}
		if flag.Number > 0 {
			if err := tx.ProveLife(serial, flag.Number, flag.Life); err != nil {
				return err
			}
		}
		if err := tx.UpdateContainer(c); err != nil {
			return err
		}
		if err := log.note(evContainerAccepted, map[string]any{"was": flag.Reason, "at": flag.Number}, about(ofContainer, string(serial))); err != nil {
			return err
		}
		out, err = r.containerView(tx, c)
		return err
	})
	return out, err
}

// reopen puts the licenses of the steps between what was acknowledged and what
// is now accepted into the state that fits: confirmed up to the accepted step,
// under way after it.
func reopen(tx *store.Tx, c store.Container, log scribe) error {
	x := newExchange(log, incoming{serial: c.Serial})
	x.c = c
	if err := x.loadOrders(); err != nil {
		return err
	}
	steps, err := tx.StepsAfter(c.Serial, min(c.Acked, c.Flag.Number))
	if err != nil {
		return err
	}
	if err := x.lock(append(licensesOf(steps, c.Issued), x.wished...)); err != nil {
		return err
	}
	for _, s := range steps {
		for _, op := range s.Ops {
			if s.Number <= c.Flag.Number {
				err = errors.Join(x.takeBack(op, s.Number), x.confirmOp(s, op.Op))
			} else {
				err = x.reopenOp(s.Number, op.Op)
			}
			if err != nil {
				return err
			}
		}
		if s.Number <= c.Flag.Number {
			if err := x.carriedOut(s.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopenOp makes one operation count as not yet applied; its license is locked.
func (x *exchange) reopenOp(n uint64, op container.Op) error {
	l := x.licenses[op.License]
	next, mine := container.Reopened(l.Placement(), x.in.serial, op)
	if !mine || l.HeldBack != "" {
		return nil
	}
	old := l.State
	l.State, l.Holder, l.Step = next, x.in.serial, n
	if err := x.tx.MoveLicense(old, l); err != nil {
		return err
	}
	x.licenses[l.ID] = l
	return x.log.note(evLicenseReopened, map[string]any{"from": old, "to": next, "generation": l.Generation, "step": n, "product": l.Product},
		about(ofLicense, string(l.ID)), x.self())
}
