package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// errDryRun ends a transaction whose changes were only wanted for their result.
var errDryRun = fmt.Errorf("registry: dry run")

// hand runs decisions of the vendor about licenses in one transaction; on a dry
// run nothing of it stays. What do leaves in answer is kept for a call that is
// repeated.
func hand[T any](ctx context.Context, r *Registry, a Actor, reason string, dryRun bool, answer *T, do func(*desk) error) error {
	if err := a.may(ScopeLicenses); err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	err := r.write(ctx, func(tx *store.Tx) error {
		if dryRun {
			if err := do(r.desk(tx, a, reason)); err != nil {
				return err
			}
			return errDryRun
		}
		return answerOnce(r, tx, a, onceOf(ctx), answer, func() error { return do(r.desk(tx, a, reason)) })
	})
	if dryRun && err == errDryRun {
		return nil
	}
	return err
}

// Withdraw takes licenses away for good: those with the vendor at once, those
// with users at their containers' next contact (docs/protocol.md, states). Each
// that may not go is named with the reason; the others go.
func (r *Registry) Withdraw(ctx context.Context, a Actor, ids []license.ID, reason string, dryRun bool) (out wire.Ordered, err error) {
	ids = distinct(ids)
	err = hand(ctx, r, a, reason, dryRun, &out, func(d *desk) error {
		out = wire.Ordered{DryRun: dryRun}
		there, unknown, err := d.known(ids)
		if err != nil {
			return err
		}
		if err := d.lock(there); err != nil {
			return err
		}
		err = d.withdraw(there, &out)
		out.Refused = append(out.Refused, unknown...)
		return err
	})
	return out, err
}

// known parts licenses into those that there are and the others.
func (d *desk) known(ids []license.ID) (there []license.ID, unknown []wire.RefusedLicense, err error) {
	for _, id := range ids {
		_, err := d.tx.License(id)
		switch {
		case err == store.ErrNotFound:
			unknown = append(unknown, refusedLicense(store.License{ID: id}, noLicense(id)))
		case err != nil:
			return nil, nil, err
		default:
			there = append(there, id)
		}
	}
	return there, unknown, nil
}

// distinct is a list without what stood in it before.
func distinct(ids []license.ID) []license.ID {
	var out []license.ID
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// CancelOrder withdraws every license of an order that is not gone yet.
func (r *Registry) CancelOrder(ctx context.Context, a Actor, number, reason string, dryRun bool) (out wire.Ordered, err error) {
	err = hand(ctx, r, a, reason, dryRun, &out, func(d *desk) error {
		out = wire.Ordered{DryRun: dryRun}
		o, err := findOrder(d.tx, number)
		if err != nil {
			return err
		}
		if _, _, err := d.tx.EnsureOrder(o); err != nil { // nobody adds to it meanwhile
			return err
		}
		ls, err := d.tx.LicensesOfOrder(o.ID)
		if err != nil {
			return err
		}
		var ids []license.ID
		for _, l := range ls {
			if l.State != license.Gone && !l.Withdrawn {
				ids = append(ids, l.ID)
			}
		}
		if len(ids) == 0 {
			return refusal.New(refusal.Conflict, "Nothing of the order %s is left to cancel.", o.Number).Hinted("Nothing needs to be done.")
		}
		if err := d.lock(ids); err != nil {
			return err
		}
		if err := d.withdraw(ids, &out); err != nil {
			return err
		}
		return d.log.note(evOrderCanceled, map[string]any{"number": o.Number, "customer": o.Customer, "withdrawn": len(out.Done), "refused": len(out.Refused)}, about(ofOrder, o.ID))
	})
	return out, err
}

// withdraw withdraws what may be withdrawn of locked licenses.
func (d *desk) withdraw(ids []license.ID, out *wire.Ordered) error {
	out.Done, out.Refused = []wire.OrderedLicense{}, []wire.RefusedLicense{}
	going := map[license.ID]bool{}
	no := map[license.ID]*refusal.Refusal{}
	for _, id := range ids {
		l := d.licenses[id]
		switch {
		case l.MergedInto != "":
			no[id] = mergedAlready(l)
		case l.Withdrawn || l.State == license.Gone:
			no[id] = refusal.New(refusal.LicenseWithdrawn, "%s (%s) is withdrawn already.", l.Product, id).Hinted("Nothing needs to be done.")
		case l.Reserved != "" && l.Replaces != "":
			no[id] = refusal.New(refusal.Conflict, "%s (%s) is on its way in place of %s.", l.Product, id, l.Replaces).
				Hinted("Take that order back first: licet-central license cancel %s.", l.Replaces)
		default:
			going[id] = true
		}
	}
	if err := d.leaveWhole(going, no); err != nil {
		return err
	}
	for _, id := range ids {
		l := d.licenses[id]
		if !going[id] {
			out.Refused = append(out.Refused, refusedLicense(l, no[id]))
			continue
		}
		done, err := d.withdrawOne(l)
		if err != nil {
			return err
		}
		out.Done = append(out.Done, done)
	}
	return nil
}

// leaveWhole takes back what others need: a license that would break one which
// stays in the same container may not go.
func (d *desk) leaveWhole(going map[license.ID]bool, no map[license.ID]*refusal.Refusal) error {
	for changed := true; changed; {
		changed = false
		for serial := range d.containers {
			held, err := d.holds(serial)
			if err != nil {
				return err
			}
			broken := container.Breaking(held, func(id license.ID) bool { return going[id] })
			if len(broken) == 0 {
				continue
			}
			for _, c := range held {
				if !going[c.License] {
					continue
				}
				var needing []license.ID
				var names []string
				for _, b := range held {
					if slices.Contains(broken, b.License) && slices.Contains(b.Requires, c.Product) {
						needing = append(needing, b.License)
						names = append(names, fmt.Sprintf("%s (%s)", b.Product, b.License))
					}
				}
				if len(needing) > 0 {
					delete(going, c.License)
					changed = true
					no[c.License] = breaks(c, serial, needing, names)
				}
			}
		}
	}
	return nil
}

func breaks(c container.Candidate, serial license.Serial, needing []license.ID, names []string) *refusal.Refusal {
	texts := make([]string, len(needing))
	for i, id := range needing {
		texts[i] = string(id)
	}
	return refusal.New(refusal.BreaksOtherLicense, "%s (%s) cannot go: %s in container %s needs it.", c.Product, c.License, strings.Join(names, " and "), serial).
		Hinted("Withdraw what needs it together with it, or first.").
		With("license", string(c.License)).With("licenses", texts).With("container", string(serial))
}

func refusedLicense(l store.License, no *refusal.Refusal) wire.RefusedLicense {
	return wire.RefusedLicense{License: l.ID, Product: l.Product, Code: no.Code, Message: no.Message, Hint: no.NextStep(), Details: no.Details}
}

// withdrawOne withdraws a locked license that nothing stands against.
func (d *desk) withdrawOne(l store.License) (wire.OrderedLicense, error) {
	done := wire.OrderedLicense{License: l.ID, Product: l.Product, Container: l.Holder, When: wire.NextContact,
		Lent: lentOf(d.containers[l.Holder], l, d.now())}
	if err := d.dropOrders(l); err != nil {
		return done, err
	}
	l = d.licenses[l.ID]
	if l.State.Held() {
		l.Withdrawn = true
		if err := d.mark(l); err != nil {
			return done, err
		}
		return done, d.order(store.Earmark{Container: l.Holder, Kind: store.Withdraw, License: l.ID, Generation: l.Generation}, evWithdrawalOrdered, nil)
	}
	done.When = wire.Now
	if l.HeldBack != "" {
		var err error
		if l, err = d.release(l, true); err != nil {
			return done, err
		}
	}
	l.Withdrawn = true
	if err := d.mark(l); err != nil {
		return done, err
	}
	_, err := d.move(l, license.Withdrawn, nil)
	return done, err
}

// dropOrders ends what was ordered for a locked license before, because another
// decision takes its place. Copies that are to go stay ordered, and a change, which
// stands for what the license is by now.
func (d *desk) dropOrders(l store.License) error {
	orders, err := d.tx.EarmarksOn(l.ID)
	if err != nil {
		return err
	}
	for _, e := range orders {
		if e.License != l.ID || e.Kind == store.Kill || e.Kind == store.Change {
			continue
		}
		if err := d.drop(e); err != nil {
			return err
		}
	}
	if l.Reserved != "" {
		l.Reserved = ""
		return d.mark(l)
	}
	return nil
}

// Replace puts a new license of another product, or with other terms, on the
// same ticket in place of one that leaves it for good. With the vendor that
// happens at once; with a user, the old one leaves and the new one arrives in one
// step at the next contact.
func (r *Registry) Replace(ctx context.Context, a Actor, id license.ID, with, reason string, dryRun bool) (out wire.Ordered, err error) {
	item, err := catalog.ParseItem(with)
	if err != nil {
		return out, err
	}
	err = hand(ctx, r, a, reason, dryRun, &out, func(d *desk) error {
		out = wire.Ordered{DryRun: dryRun, Done: []wire.OrderedLicense{}, Refused: []wire.RefusedLicense{}}
		if err := d.lock([]license.ID{id}); err != nil {
			return err
		}
		done, err := d.replace(d.licenses[id], item)
		out.Done = append(out.Done, done)
		return err
	})
	return out, err
}

func (d *desk) replace(old store.License, item catalog.Item) (done wire.OrderedLicense, err error) {
	switch {
	case old.MergedInto != "":
		return done, mergedAlready(old)
	case old.Withdrawn || old.State == license.Gone:
		return done, refusal.New(refusal.LicenseWithdrawn, "%s (%s) is withdrawn already.", old.Product, old.ID).Hinted("%s", withdrawnHint(old))
	case old.Reserved != "" && old.Replaces != "":
		return done, refusal.New(refusal.Conflict, "%s (%s) is on its way in place of %s.", old.Product, old.ID, old.Replaces).
			Hinted("Take that order back first: licet-central license cancel %s.", old.Replaces)
	case item.Quantity > 1:
		return done, refusal.New(refusal.InvalidInput, "One license is replaced by one.")
	}
	p, err := d.productFor(item.Code)
	if err != nil {
		return done, err
	}
	terms, features, err := item.Resolve(p)
	if err != nil {
		return done, err
	}
	l := store.License{ID: license.ID(d.newID("lic", d.log.now)), OrderID: old.OrderID, TicketID: old.TicketID, Product: p.Code,
		Item: positionOf(item) + " for " + string(old.ID), Features: features, Terms: terms, Sold: terms, State: license.NotCollected, Generation: 1, Created: d.now(), Replaces: old.ID}
	if old.Subscription != "" {
		if l, err = d.subscribed(l, old.Subscription); err != nil {
			return done, err
		}
	}
	done = wire.OrderedLicense{License: old.ID, Product: old.Product, Container: old.Holder, With: l.ID, WithProduct: p.Code, When: wire.Now}
	if old.State.Held() {
		if err := d.mayReplace(old, l, p); err != nil {
			return done, err
		}
		l.Reserved = old.Holder
		done.When = wire.NextContact
		done.Lent = lentOf(d.containers[old.Holder], old, d.now())
	}
	if err := d.dropOrders(old); err != nil {
		return done, err
	}
	old = d.licenses[old.ID]
	if old.HeldBack != "" {
		if old, err = d.release(old, true); err != nil {
			return done, err
		}
	}
	if err := d.tx.InsertLicenses([]store.License{l}); err != nil {
		return done, err
	}
	if err := d.mark(l); err != nil {
		return done, err
	}
	details := map[string]any{"with": l.ID, "with_product": p.Code, "with_position": l.Item, "terms": l.Terms, "features": features, "ticket": old.TicketID}
	if l.Subscription != "" {
		details["subscription"] = l.Subscription
	}
	old.Withdrawn, old.ReplacedBy = true, l.ID
	if err := d.mark(old); err != nil {
		return done, err
	}
	if old.State.Held() {
		return done, d.order(store.Earmark{Container: old.Holder, Kind: store.Replace, License: old.ID, Generation: old.Generation, With: l.ID},
			evReplacementOrdered, details, about(ofLicense, string(l.ID)))
	}
	_, err = d.move(old, license.Withdrawn, details, about(ofLicense, string(l.ID)))
	return done, err
}

// mergedAlready refuses what staff order for a part that is none any more.
func mergedAlready(l store.License) *refusal.Refusal {
	return refusal.New(refusal.LicenseWithdrawn, "%s (%s) is gone: it was merged with the license %s.", l.Product, l.ID, l.MergedInto).
		With("merged_into", string(l.MergedInto)).Hinted("Order it for that license.")
}

// withdrawnHint is what staff can do about a license that is withdrawn.
func withdrawnHint(l store.License) string {
	if l.State == license.Gone {
		return "It is gone for good; sell another one: licet-central order create."
	}
	return "Take the withdrawal back first, while it is pending: licet-central license cancel " + string(l.ID) + "."
}

func (d *desk) productFor(code string) (license.Product, error) {
	p, err := d.product(code)
	if err == store.ErrNotFound {
		return p, refusal.New(refusal.ProductUnknown, "There is no product %s.", code)
	}
	return p, err
}

// mayReplace refuses a replacement that its container could not take, or that
// would break another license there.
func (d *desk) mayReplace(old, l store.License, p license.Product) error {
	c := d.containers[old.Holder]
	held, err := d.holds(old.Holder)
	if err != nil {
		return err
	}
	coming := container.Candidate{License: l.ID, Product: l.Product, Requires: p.Requires, Kinds: p.Containers}
	held = append(held, coming)
	goes := func(id license.ID) bool { return id == old.ID }
	broken := container.Breaking(held, goes)
	var needing []license.ID
	var names []string
	for _, b := range held {
		if slices.Contains(broken, b.License) && b.License != l.ID {
			needing = append(needing, b.License)
			names = append(names, fmt.Sprintf("%s (%s)", b.Product, b.License))
		}
	}
	if len(needing) > 0 {
		return breaks(container.Candidate{License: old.ID, Product: old.Product}, old.Holder, needing, names)
	}
	held = slices.DeleteFunc(held, func(x container.Candidate) bool { return goes(x.License) })
	return mayEnter(c, coming, held)
}

// mayEnter refuses what a container could not take in.
func mayEnter(c store.Container, l container.Candidate, held []container.Candidate) error {
	if !slices.Contains(l.Kinds, c.Identity.Kind) {
		return refusal.New(refusal.ContainerNotAllowed, "%s may not go into a container of kind %s.", l.Product, c.Identity.Kind)
	}
	for _, need := range l.Requires {
		if !slices.ContainsFunc(held, func(h container.Candidate) bool { return h.Product == need && h.License != l.License }) {
			return refusal.New(refusal.PrerequisiteMissing, "%s needs %s in the same container, and %s does not hold it.", l.Product, need, c.Serial).
				With("missing", []string{need}).With("container", string(c.Serial))
		}
	}
	return nil
}

// Assign sends a license to a container, which gets it at its next contact with
// no ticket. Until then nobody else gets it; the tie ends when it is returned.
func (r *Registry) Assign(ctx context.Context, a Actor, id license.ID, serial license.Serial, reason string, dryRun bool) (out wire.Ordered, err error) {
	err = hand(ctx, r, a, reason, dryRun, &out, func(d *desk) error {
		out = wire.Ordered{DryRun: dryRun, Done: []wire.OrderedLicense{}, Refused: []wire.RefusedLicense{}}
		if err := d.lock([]license.ID{id}, serial); err != nil {
			return err
		}
		l, c := d.licenses[id], d.containers[serial]
		switch {
		case l.MergedInto != "":
			return mergedAlready(l)
		case l.Withdrawn || l.State == license.Gone:
			return refusal.New(refusal.LicenseWithdrawn, "%s (%s) was withdrawn.", l.Product, id).Hinted("%s", withdrawnHint(l))
		case l.State.Held():
			return refusal.New(refusal.LicenseInUse, "%s (%s) is activated in container %s.", l.Product, id, l.Holder).With("container", string(l.Holder)).
				Hinted("It can be sent elsewhere once its user has returned it.")
		case l.HeldBack != "":
			return refusal.New(refusal.LicenseHeldBack, "%s (%s) is held back: whether somebody got it before the server was restored is not known.", l.Product, id).
				Hinted("Release it first: licet-central gap release %s.", id)
		case l.Reserved != "":
			return refusal.New(refusal.LicenseAssigned, "%s (%s) is kept for container %s.", l.Product, id, l.Reserved).With("container", string(l.Reserved)).
				Hinted("Take that order back first: licet-central license cancel %s.", id)
		case c.Blocked.Reason != "":
			return refusal.New(refusal.ContainerBlocked, "The container %s is blocked (%s).", serial, c.Blocked.Reason).
				Hinted("Open it first: licet-central container unblock %s.", serial)
		}
		candidate, err := d.candidate(l)
		if err != nil {
			return err
		}
		held, err := d.holds(serial)
		if err != nil {
			return err
		}
		if err := mayEnter(c, candidate, held); err != nil {
			return err
		}
		l.Reserved = serial
		if err := d.mark(l); err != nil {
			return err
		}
		out.Done = append(out.Done, wire.OrderedLicense{License: id, Product: l.Product, Container: serial, When: wire.NextContact})
		return d.order(store.Earmark{Container: serial, Kind: store.Assign, License: id, Generation: l.Generation}, evAssignmentOrdered, nil)
	})
	return out, err
}

// CancelPending takes back what was ordered for a license, as long as no update
// that carries it was issued.
func (r *Registry) CancelPending(ctx context.Context, a Actor, id license.ID, reason string) (out wire.License, err error) {
	err = hand(ctx, r, a, reason, false, &out, func(d *desk) error {
		if err := d.lock([]license.ID{id}); err != nil {
			return err
		}
		if err := d.takeBack(d.licenses[id]); err != nil {
			return err
		}
		ws, err := r.licenseViews(d.tx, []store.License{d.licenses[id]})
		if err == nil {
			out = ws[0]
		}
		return err
	})
	return out, err
}

func (d *desk) takeBack(l store.License) error {
	orders, err := d.tx.EarmarksOn(l.ID)
	if err != nil {
		return err
	}
	changes := slices.ContainsFunc(orders, func(e store.Earmark) bool { return e.License == l.ID && e.Kind == store.Change })
	orders = slices.DeleteFunc(orders, func(e store.Earmark) bool {
		return e.License != l.ID || e.Kind == store.Kill || e.Kind == store.Change
	})
	if len(orders) == 0 && changes && l.Subscription != "" {
		return refusal.New(refusal.Conflict, "What %s (%s) is by now was said by its subscription; that is not taken back here.", l.Product, l.ID).
			Hinted("See licet-central subscription show %s.", l.Subscription)
	}
	if len(orders) == 0 && changes {
		return refusal.New(refusal.Conflict, "Units that were added to %s (%s) are not taken back.", l.Product, l.ID).
			Hinted("If the customer is to have fewer, replace the license: licet-central license replace %s --with %s,units=N.", l.ID, l.Product)
	}
	if len(orders) == 0 {
		no := refusal.New(refusal.Conflict, "Nothing is pending for %s (%s).", l.Product, l.ID)
		if l.State == license.Gone {
			return no.Hinted("%s", withdrawnHint(l))
		}
		return no.Hinted("Nothing needs to be done.")
	}
	for _, e := range orders {
		if e.Step != 0 {
			return refusal.New(refusal.AlreadyIssued, "The order cannot be taken back: step %d of container %s carries it already.", e.Step, e.Container).
				With("container", string(e.Container)).With("license", string(l.ID)).Hinted("%s", afterIssue(e))
		}
	}
	for _, e := range orders {
		if err := d.tx.DeleteEarmark(e); err != nil {
			return err
		}
		if e.With != "" {
			if err := d.discard(e.With); err != nil {
				return err
			}
		}
		if err := d.log.note(evOrderTakenBack, map[string]any{"kind": e.Kind, "generation": e.Generation, "container": e.Container, "product": l.Product},
			about(ofLicense, string(l.ID)), about(ofContainer, string(e.Container)), about(ofOrder, l.OrderID)); err != nil {
			return err
		}
	}
	l.Withdrawn, l.Reserved, l.ReplacedBy = false, "", ""
	if err := d.mark(l); err != nil || !l.State.Held() {
		return err
	}
	return d.mayStay(l)
}

// afterIssue is what staff can do instead of taking an order back that a step
// carries: a step is never undone (docs/protocol.md R9).
func afterIssue(e store.Earmark) string {
	switch e.Kind {
	case store.Withdraw:
		return "The license goes. If the customer is to keep the product, sell it anew: licet-central order create."
	case store.Replace:
		return "The replacement takes place. Replace the new license in its turn: licet-central license replace " + string(e.With) + " --with CODE."
	case store.Assign:
		return "The license arrives. It can be withdrawn then: licet-central license withdraw " + string(e.License) + "."
	}
	return "Give the opposite order; it follows in the next update."
}

// mayStay refuses that a license stays whose prerequisite is to leave.
func (d *desk) mayStay(l store.License) error {
	c, err := d.candidate(l)
	if err != nil {
		return err
	}
	held, err := d.holds(l.Holder)
	if err != nil {
		return err
	}
	err = mayEnter(d.containers[l.Holder], c, held)
	if no, ok := refusal.As(err); ok {
		return no.Hinted("Take back the order to remove what it needs first; licet-central pending lists it.")
	}
	return err
}

// discard withdraws a license that was to come in place of another.
func (d *desk) discard(id license.ID) error {
	l, err := d.tx.LockLicense(id)
	if err != nil {
		return err
	}
	l.Withdrawn, l.Reserved = true, ""
	if err := d.mark(l); err != nil {
		return err
	}
	_, err = d.move(l, license.Withdrawn, nil)
	return err
}

// Push makes an update for a known container without a new request: what is on
// its way, and what the vendor has pending for it.
func (r *Registry) Push(ctx context.Context, a Actor, serial license.Serial) (file []byte, err error) {
	if err := a.may(ScopeContainers); err != nil {
		return nil, err
	}
	heard, err := r.heardBy(ctx, 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.toSign(ctx); err != nil {
		return nil, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &file, func() error {
			x := newExchange(r.scribe(tx, a, r.cfg.Now()), incoming{serial: serial, heard: heard})
			if err := x.open(); err != nil {
				return err
			}
			if !x.known {
				return noContainer(serial)
			}
			x.in.report.Identity = x.c.Identity
			if x.unproven, err = tx.StepsAfter(serial, x.c.Acked); err != nil {
				return err
			}
			if err := x.concern(); err != nil {
				return err
			}
			file, err = x.push()
			return err
		})
	})
	return file, err
}

func (x *exchange) push() ([]byte, error) {
	s, err := x.situation()
	if err != nil {
		return nil, err
	}
	ops, _ := container.Plan(s)
	lock, follow, before := x.lockNeeded(), x.endsVoid(), x.c.Issued
	if x.keys.stopped() != nil || !x.settled() { // nothing new before its next contact
		ops, lock, follow = nil, container.Unchanged, false
	}
	if len(ops) > 0 || lock != container.Unchanged || follow {
		if err := x.issue(ops, lock); err != nil {
			return nil, err
		}
	}
	x.restated(ops)
	u := container.Update{Acked: x.c.Acked, Epoch: max(x.c.Epoch, firstEpoch)}
	if x.c.Flag.Reason == "" || x.c.Issued > before {
		u.Steps, u.Epoch = x.pending(), x.keys.epoch
	}
	if err := x.log.note(evUpdatePushed, map[string]any{"from": x.c.Acked + 1, "to": x.c.Issued}, x.self()); err != nil {
		return nil, err
	}
	if err := x.tx.UpdateContainer(x.c); err != nil {
		return nil, err
	}
	return x.sealAnswer(u)
}
