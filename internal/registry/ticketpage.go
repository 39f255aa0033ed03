package registry

import (
	"context"
	"slices"
	"strings"

	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

// maxPageTickets is how many tickets one page shows.
const maxPageTickets = 20

// TicketPage is what the holder of tickets sees and can do, with no account. What
// the vendor withdrew is not shown, and unknown tickets are all answered alike.
func (r *Registry) TicketPage(ctx context.Context, texts []string) (out wire.TicketPage, err error) {
	out = wire.TicketPage{Tickets: []wire.PageTicket{}, Licenses: []wire.PageLicense{}, Recoveries: []wire.PageRecovery{}}
	if len(texts) == 0 || len(texts) > maxPageTickets {
		return out, refusal.New(refusal.InvalidInput, "Enter from 1 to %d tickets.", maxPageTickets)
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		p := pageOf{r: r, tx: tx, seen: map[string]bool{}, out: &out}
		for _, text := range texts {
			if err := p.ticket(text); err != nil {
				return err
			}
		}
		slices.SortFunc(out.Recoveries, func(a, b wire.PageRecovery) int { return int(b.Number) - int(a.Number) })
		return nil
	})
	return out, err
}

type pageOf struct {
	r    *Registry
	tx   *store.Tx
	seen map[string]bool // ids of tickets and numbers of recoveries shown
	out  *wire.TicketPage
}

func (p *pageOf) ticket(text string) error {
	t, err := findTicket(p.r, license.Ticket(text), p.tx.TicketByLookup)
	if no, ok := refusal.As(err); ok {
		p.out.Tickets = append(p.out.Tickets, wire.PageTicket{Ticket: strings.TrimSpace(text), Code: no.Code, Message: no.Message, Hint: no.NextStep()})
		return nil
	}
	if err != nil || p.seen[t.ID] {
		return err
	}
	p.seen[t.ID] = true
	o, err := p.tx.OrderByID(t.OrderID)
	if err != nil {
		return err
	}
	code, err := p.r.openTicket(t)
	if err != nil {
		return err
	}
	p.out.Tickets = append(p.out.Tickets, wire.PageTicket{Ticket: string(code), Known: true, Number: o.Number, Customer: o.Customer, Created: t.Created})
	ls, err := p.tx.LicensesOfTicket(t.ID)
	if err != nil {
		return err
	}
	for _, l := range ls {
		if l.State == license.Gone {
			continue
		}
		if err := p.license(code, l); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageOf) license(ticket license.Ticket, l store.License) error {
	product, err := p.tx.Product(l.Product)
	if err != nil {
		return err
	}
	w := wire.PageLicense{ID: l.ID, Ticket: ticket, Product: l.Product, Name: product.Name, State: l.State, Generation: l.Generation,
		Features: l.Features, Terms: l.Terms, Activated: l.Activated, Requires: product.Requires, Kinds: product.Containers,
		Container: l.Holder, KeptFor: l.Reserved, Leaving: l.Withdrawn, Units: wire.UnitsOf(l.Terms, l.Used),
		Activate: l.State.Available() && l.Reserved == "" && l.HeldBack == "",
		Return:   product.Deactivation && (l.State == license.Collecting || l.State == license.Collected) && !l.Withdrawn,
		Continue: l.State == license.Collecting || l.State == license.Returning,
		Split:    product.Split && l.Sold.Splits(), Origin: l.Origin}
	if l.Subscription != "" {
		s, err := p.tx.SubscriptionByID(l.Subscription)
		if err != nil {
			return err
		}
		w.Subscription = &wire.PageSubscription{State: s.State(license.At(p.r.cfg.Now())), Ends: s.Ends, Usable: s.Usable(), Renews: s.Lead == subscription.Licet}
	}
	if l.Holder != "" {
		c, err := p.tx.Container(l.Holder)
		if err != nil {
			return err
		}
		w.Kind, w.LastSeen = c.Identity.Kind, c.LastSeen
		if w.Restore, w.Whole, err = p.restore(l, product); err != nil {
			return err
		}
	}
	p.out.Licenses = append(p.out.Licenses, w)
	recs, err := p.tx.RecoveriesOf(l.ID)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if p.seen[number(rec.Number)] || !slices.ContainsFunc(rec.Tickets, func(id string) bool { return p.seen[id] }) {
			continue
		}
		p.seen[number(rec.Number)] = true
		v, err := p.r.recoveryView(p.tx, rec)
		if err != nil {
			return err
		}
		v.Licenses = slices.DeleteFunc(v.Licenses, func(x wire.RecoveryLicense) bool { return !p.covers(x.License) })
		p.out.Recoveries = append(p.out.Recoveries, wire.PageRecovery{Number: v.Number, State: v.State, Created: v.Created, Decided: v.Decided,
			Decision: v.Decision, Reason: v.Reason, Licenses: v.Licenses, Notes: v.Notes})
	}
	return nil
}

// covers reports whether a license is of a ticket that is shown.
func (p *pageOf) covers(id license.ID) bool {
	l, err := p.tx.License(id)
	return err == nil && p.seen[l.TicketID]
}

// restore is what would be decided about a license that is lost alone, and with
// its whole container.
func (p *pageOf) restore(l store.License, product license.Product) (alone *wire.PageRestore, whole map[recovery.Hardware]wire.PageRestore, err error) {
	c, _, err := p.r.caseOf(p.tx, l, product)
	if err != nil {
		return nil, nil, err
	}
	c.Accepted = true
	decide := func(scope recovery.Scope, hw recovery.Hardware) wire.PageRestore {
		c.Scope, c.Hardware = scope, hw
		d := recovery.Decide(c)
		return wire.PageRestore{Verdict: string(d.Verdict), Code: d.Code, Rule: d.Because[len(d.Because)-1].Rule, Message: d.Message, Hint: d.Hint,
			Again: d.Again, Stop: d.Stop, Conditions: product.Restore.Conditions}
	}
	whole = map[recovery.Hardware]wire.PageRestore{}
	for _, hw := range recovery.Hardwares {
		whole[hw] = decide(recovery.ScopeContainer, hw)
	}
	one := decide(recovery.ScopeLicense, "")
	return &one, whole, nil
}

// PreviewRestore says what would become of a report of lost licenses, without
// making it: nothing is changed or kept.
func (r *Registry) PreviewRestore(ctx context.Context, req wire.RestoreRequest) (out wire.RestoreAnswer, err error) {
	hardware, _, err := r.hardwareOf(req)
	if err != nil {
		return out, err
	}
	req.Accept = true
	err = r.write(ctx, func(tx *store.Tx) error {
		d := r.desk(tx, Actor{Kind: "ticket"}, strings.TrimSpace(req.Reason))
		if out, err = d.report(req, hardware, nil); err != nil {
			return err
		}
		out.Recovery = 0
		return errDryRun
	})
	if err == errDryRun {
		err = nil
	}
	return out, err
}
