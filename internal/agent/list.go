package agent

import (
	"context"
	"strings"

	"licet/internal/containerfile"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/terms"
)

// List tells what is on this machine.
func (a *Agent) List(ctx context.Context, _ Nothing) (Inventory, error) {
	entries, err := a.entries("")
	if err != nil {
		return Inventory{}, err
	}
	list := Inventory{Containers: []Container{}}
	traits := a.traits()
	for _, e := range entries {
		c, err := a.describe(ctx, e, traits)
		if err != nil {
			return Inventory{}, err
		}
		list.Containers = append(list.Containers, c)
	}
	list.markOld()
	return list, nil
}

// Show tells everything about one container: its binding, its state, and each
// license with its terms.
func (a *Agent) Show(ctx context.Context, in ContainerRequest) (Container, error) {
	serial, err := a.single(in.Container)
	if err != nil {
		return Container{}, err
	}
	list, err := a.List(ctx, Nothing{})
	if err != nil {
		return Container{}, err
	}
	for _, c := range list.Containers {
		if c.Serial == serial {
			return c, nil
		}
	}
	return Container{}, unknownContainer(serial)
}

// describe tells of one container what can be told here.
func (a *Agent) describe(ctx context.Context, e containerfile.Entry, traits []machine.Trait) (Container, error) {
	c := Container{
		Serial: license.Serial(e.Serial), Kind: license.Kind(e.Header.Kind), VendorID: e.Header.Vendor,
		Counter: e.Header.Number, Status: StatusOK, Licenses: []License{},
	}
	b, err := a.open(ctx, c.Serial, traits)
	if b != nil {
		c.Binding = binding(b.match)
	}
	if err != nil {
		r, ok := refusal.As(err)
		if !ok {
			return c, err
		}
		c.Reason, c.Status = r.Message, StatusDamaged
		if v, err := a.vendor(c.VendorID); err == nil {
			c.Vendor = v.name()
		}
		if r.Code == refusal.OtherMachine {
			c.Status = StatusOther
		}
		return c, nil
	}
	v, no := a.vendorOf(b)
	var by judge
	if no == nil {
		by, c.Vendor = b.judge(v), v.name()
	} else {
		c.Reason = no.Message
	}
	c.Environment = b.Environment
	c.Counter, c.Acked, c.Receipt = b.State.Number, max(b.State.Acked, b.Receipted), b.receipt()
	c.LastContact = b.State.LastContact
	if p := b.waiting(); p != nil {
		c.Waiting = "A request of " + p.Created.String() + " waits for its answer."
	}
	blocked := a.blocks(Blocks{})
	defer blocked.Close()
	for _, id := range b.held() {
		one := b.examine(by, id, no)
		if err := one.block(blocked); err != nil {
			return c, err
		}
		c.Licenses = append(c.Licenses, one.describe(a.now()))
		if one.locked || one.reissue {
			c.Status, c.Reason = StatusChanged, one.no.Message
		}
	}
	for _, id := range b.loans() {
		one := b.examineLoan(by, id, no)
		if err := one.block(blocked); err != nil {
			return c, err
		}
		c.Licenses = append(c.Licenses, one.describe(a.now()))
		if one.locked || one.reissue {
			c.Status, c.Reason = StatusChanged, one.no.Message
		}
	}
	for _, id := range b.waits() {
		c.Returned = append(c.Returned, b.describeReturned(id))
	}
	if w := b.Wish; w != nil {
		c.Waiting = strings.TrimSpace(c.Waiting + " A loan request of " + w.Created.String() + " waits for its answer.")
	}
	switch closed, err := blocked.container(b); {
	case err != nil:
		return c, err
	case closed:
		c.Status, c.Reason = StatusBlocked, blockedContainer(c.Serial).Message
	}
	return c, nil
}

// describe tells of one license what can be told here. Which version and
// features a program wants is not known, so they do not count against it.
func (c candidate) describe(now license.Time) License {
	held, known := c.box.State.Held[c.id], c.box.Facts[c.id]
	l := License{
		ID: c.id, Product: held.Product, Name: known.Name, Generation: held.Generation,
		Features: []string{}, Tolerance: known.Tolerance, Repair: known.Repair,
	}
	if c.loan != nil {
		one := c.box.describeLoan(c.lease)
		l.Loan, l.Product, l.Name, l.Generation, l.Tolerance, l.Repair = &one, c.loan.Product, c.loan.Name, c.loan.Generation, c.loan.Tolerance, c.loan.Repair
	}
	verdict := c.usable(now)
	l.Usable, l.Code, l.ValidUntil = verdict.Valid, verdict.Code, verdict.ValidUntil
	if len(verdict.Reasons) > 0 {
		l.Reason = verdict.Reasons[0].Message
	}
	if c.no != nil {
		return l
	}
	l.Features = empty(c.body.Features)
	l.Units = c.units()
	if c.loan == nil {
		l.Moved = c.box.movedOut(c.id, held.Generation)
	}
	l.Seats, l.ExpiresAt = c.body.Terms.Seats, c.body.Terms.ExpiresAt
	if c.loan != nil {
		l.Seats = c.loan.Seats
	}
	l.Customer, l.Order = c.body.Customer, c.body.Order
	t := c.body.Terms
	l.Terms = &t
	return l
}

// usable is the verdict on a license by itself.
func (c candidate) usable(now license.Time) terms.Verdict {
	c.body.Terms.MinVersion, c.body.Terms.MaintenanceUntil = "", 0
	return c.verdict(terms.Use{}, now)
}

func binding(m machine.Match) *Binding {
	return &Binding{
		Strength: m.Strength, Explanation: m.Explanation(), Sentence: m.Sentence(),
		Matched: empty(m.Matched), Changed: empty(m.Changed), Missing: empty(m.Missing), Added: empty(m.New),
		Score: m.Score, Total: m.Total, NeedLoose: m.NeedLoose, NeedMedium: m.NeedMedium, NeedTight: m.NeedTight,
	}
}
