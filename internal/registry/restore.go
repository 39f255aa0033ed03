package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Limits on what a report of a loss may hold.
const (
	maxLost       = 500 // licenses
	maxLostText   = 4000
	maxContact    = 200
	staffRestores = 20 // by one member of staff in a day; more needs the scope admin
)

// RequestRestore takes a report of lost licenses. Their tickets authorize it.
// What policy grants is restored at once; the rest waits for staff, or is refused
// with the reason (docs/protocol.md R14). Nothing is done while conditions are
// not accepted.
func (r *Registry) RequestRestore(ctx context.Context, req wire.RestoreRequest) (out wire.RestoreAnswer, err error) {
	hardware, evidence, err := r.hardwareOf(req)
	if err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		d := r.desk(tx, Actor{Kind: "ticket"}, strings.TrimSpace(req.Reason))
		out, err = d.report(req, hardware, evidence)
		return err
	})
	return out, err
}

// hardwareOf reads the report of the container that is to have the licenses, if
// one came along: evidence of the machine it is on.
func (r *Registry) hardwareOf(req wire.RestoreRequest) (hardware [][]byte, file []byte, err error) {
	switch {
	case len(req.Tickets) == 0:
		return nil, nil, refusal.New(refusal.InvalidInput, "No ticket was given.").Hinted("Give the tickets of the licenses that were lost.")
	case req.Whole && req.Container == "":
		return nil, nil, refusal.New(refusal.InvalidInput, "Which container was lost is not said.").Hinted("Give its serial; the ticket's page shows it.")
	case len(req.Licenses) > maxLost:
		return nil, nil, refusal.New(refusal.TooLarge, "At most %d licenses can be reported at once.", maxLost)
	case len(req.Reason) > maxLostText || len(req.Evidence) > maxLostText:
		return nil, nil, refusal.New(refusal.TooLarge, "Reason and evidence may have %d bytes each.", maxLostText)
	}
	if to := strings.TrimSpace(req.Contact); to != "" {
		if a, err := mail.ParseAddress(to); err != nil || a.Address != to || len(to) > maxContact {
			return nil, nil, refusal.New(refusal.InvalidInput, "%q is not an e-mail address.", to).Hinted("Give one such as ada@example.com, or none.")
		}
	}
	if req.Report == "" {
		return nil, nil, nil
	}
	// A machine that has no licenses yet writes a request more often than a receipt;
	// its traits are in both.
	in, err := r.openReport([]byte(req.Report), seal.Receipt, seal.Request)
	if err != nil {
		return nil, nil, err
	}
	return in.report.Hardware, in.file, nil
}

// lost is one license of a report with the decision about it.
type lost struct {
	l store.License
	p license.Product
	recovery.Decision
	grant   string // of staff, that it uses up
	refused uint64 // number of the report in which staff refused the same; 0 for none
}

func (d *desk) report(req wire.RestoreRequest, hardware [][]byte, evidence []byte) (out wire.RestoreAnswer, err error) {
	of, err := d.covered(req)
	if err != nil {
		return out, err
	}
	out.Restored = of.restored
	if len(of.tickets) > 0 {
		d.log.actor.Name = of.tickets[0]
	}
	if err := d.lock(of.ids); err != nil {
		return out, err
	}
	scope := recovery.ScopeLicense
	var hw recovery.Hardware
	if req.Container != "" && req.Whole && !of.partly {
		scope, hw = recovery.ScopeContainer, d.hardware(req, hardware)
	}
	var all, unaccepted []lost
	for _, id := range of.ids {
		x, err := d.judge(d.licenses[id], scope, hw, req.Accept)
		if err != nil {
			return out, err
		}
		if err := d.refusedBefore(&x, scope); err != nil {
			return out, err
		}
		if x.Code == refusal.ConditionsNotAccepted {
			unaccepted = append(unaccepted, x)
		}
		all = append(all, x)
	}
	if len(unaccepted) > 0 {
		return out, conditions(unaccepted)
	}
	out.Licenses = []wire.LostLicense{}
	for _, x := range all {
		l := wire.LostLicense{License: x.l.ID, Product: x.l.Product, Name: x.p.Name, Container: x.l.Holder,
			Verdict: string(x.Verdict), Code: x.Code, Message: x.Message, Hint: x.Hint, Again: x.Again, Recovery: x.refused}
		if x.Code == refusal.RestorePending && x.Verdict == recovery.Refuse {
			if l.Recovery, l.Question, err = d.waitsIn(x.l.ID); err != nil {
				return out, err
			}
		}
		out.Licenses = append(out.Licenses, l)
	}
	granted := slices.ContainsFunc(all, func(x lost) bool { return x.Verdict == recovery.Grant })
	waits := slices.ContainsFunc(all, func(x lost) bool { return x.Verdict == recovery.Ask })
	if !granted && !waits {
		out.State = store.Refused
		return out, nil // nothing to keep but the answer
	}
	if waits && strings.TrimSpace(req.Reason) == "" {
		return out, refusal.New(refusal.InvalidInput, "Staff decide about this, and no reason was given.").Hinted("Say how the license was lost.").
			With("missing", "reason")
	}
	rec := store.Recovery{State: store.Granted, Scope: string(scope), Hardware: string(hw), Container: req.Container, Tickets: of.tickets, Customer: of.customer,
		Reason: d.log.reason, Evidence: strings.TrimSpace(req.Evidence), Contact: strings.TrimSpace(req.Contact), Language: req.Language,
		Created: d.now(), Decided: d.now(), DecidedBy: "policy", Report: evidence}
	if waits {
		rec.State, rec.Decided, rec.DecidedBy = store.Waiting, 0, ""
	}
	if req.Accept {
		rec.Conditions, rec.Accepted = conditionTexts(all), d.now()
	}
	if rec.Number, err = d.tx.InsertRecovery(rec); err != nil {
		return out, err
	}
	out.Recovery, out.State = rec.Number, rec.State
	for i, l := range out.Licenses {
		if l.Verdict != string(recovery.Refuse) {
			out.Licenses[i].Recovery = rec.Number
		}
	}
	whole := false
	if scope == recovery.ScopeContainer {
		if whole, err = d.everything(req.Container, all); err != nil {
			return out, err
		}
	}
	return out, d.record(rec, all, whole)
}

// refusedBefore holds a loss that staff would have to decide about against what
// they have decided: who repeats a report is told of their refusal, and asks again
// with another reason.
func (d *desk) refusedBefore(x *lost, scope recovery.Scope) error {
	if x.Verdict != recovery.Ask {
		return nil
	}
	rec, err := d.tx.RefusedLoss(x.l.ID, x.l.Generation, x.l.Holder)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case rec.Scope != string(scope) || d.log.reason != "" && d.log.reason != rec.Reason:
		return nil
	}
	x.Verdict, x.Code, x.refused = recovery.Refuse, refusal.NotRestorable, rec.Number
	x.Message = "The vendor's staff have refused it: " + strings.TrimSuffix(rec.Decision, ".") + "."
	x.Hint = "If something has changed, report the loss again and say what: another reason makes another report."
	return nil
}

// everything reports whether a report covers all that a container holds. A ticket
// speaks for its own licenses; only then may policy block the container, in which
// others may have licenses too.
func (d *desk) everything(serial license.Serial, all []lost) (bool, error) {
	held, err := d.tx.LicensesWith(serial)
	for _, l := range held {
		if !slices.ContainsFunc(all, func(x lost) bool { return x.l.ID == l.ID }) {
			return false, err
		}
	}
	return err == nil, err
}

// waitsIn is the report in which a license waits for a decision, and what staff
// have asked the user in it.
func (d *desk) waitsIn(id license.ID) (n uint64, question string, err error) {
	n, err = d.tx.WaitingRecovery(id)
	if err != nil {
		return 0, "", err
	}
	rec, err := d.tx.Recovery(n)
	if err != nil || rec.State != store.Asked {
		return n, "", err
	}
	notes, err := d.tx.RecoveryNotes(n)
	if len(notes) > 0 {
		question = notes[len(notes)-1].Text
	}
	return n, question, err
}

// record stores the licenses of a report, and restores those that policy grants.
func (d *desk) record(rec store.Recovery, all []lost, whole bool) error {
	name := evRecoveryGranted
	if rec.State == store.Waiting {
		name = evRecoveryAsked
	}
	subjects := []store.Subject{about(ofRecovery, number(rec.Number))}
	var what []map[string]any
	for _, x := range all {
		because, err := json.Marshal(x.Because)
		if err != nil {
			return err
		}
		outcome := string(x.Code)
		switch x.Verdict {
		case recovery.Grant:
			outcome = "restored"
		case recovery.Ask:
			outcome = store.Waiting
		}
		if err := d.tx.InsertRecoveryLicense(rec.Number, store.RecoveryLicense{License: x.l.ID, Generation: x.l.Generation, Container: x.l.Holder,
			Verdict: string(x.Verdict), Outcome: outcome, Because: string(because)}); err != nil {
			return err
		}
		what = append(what, map[string]any{"license": x.l.ID, "product": x.l.Product, "verdict": x.Verdict, "code": x.Code, "generation": x.l.Generation, "container": x.l.Holder})
		for _, s := range []store.Subject{about(ofLicense, string(x.l.ID)), about(ofOrder, x.l.OrderID), about(ofTicket, x.l.TicketID), about(ofContainer, string(x.l.Holder))} {
			if s.ID != "" && !slices.Contains(subjects, s) {
				subjects = append(subjects, s)
			}
		}
	}
	if err := d.log.note(name, map[string]any{"number": rec.Number, "scope": rec.Scope, "hardware": rec.Hardware, "licenses": what,
		"conditions": rec.Conditions, "accepted": rec.Accepted != 0, "contact": rec.Contact != ""}, subjects...); err != nil {
		return err
	}
	for _, x := range all {
		if x.Verdict != recovery.Grant {
			continue
		}
		how := store.ByPolicy
		if x.UsesExtra {
			how = store.ByExtra
			if err := d.tx.UseRestoreGrant(x.grant); err != nil {
				return err
			}
		}
		if err := d.restore(x.l, restoring{how: how, recovery: rec.Number, stop: x.Stop, found: x.Found, whole: whole}); err != nil {
			return err
		}
	}
	return d.noticeExcess(rec.Number)
}

// conditions refuses a report whose user has not accepted the conditions of all
// licenses in it. Accepting is for all of them, so all are named.
func conditions(all []lost) *refusal.Refusal {
	var ids []string
	for _, x := range all {
		ids = append(ids, string(x.l.ID))
	}
	no := refusal.New(all[0].Code, "%s", all[0].Message).With("conditions", conditionTexts(all)).With("license", ids[0]).With("licenses", ids)
	no.Hint = all[0].Hint
	return no
}

func conditionTexts(all []lost) string {
	var texts []string
	for _, x := range all {
		if t := x.p.Restore.Conditions; t != "" && !slices.Contains(texts, t) {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "\n\n")
}

// reported is what a report is about.
type reported struct {
	ids      []license.ID // that were lost
	tickets  []string
	customer string
	restored []license.ID // that an earlier report has made free
	partly   bool         // the container named has more of the same tickets
}

// covered finds the licenses that a report is about: those it names, or those of
// its tickets that are with a user and not on the machine that asks. A ticket
// authorizes its own licenses alone. Restored are those that an earlier report
// has made free.
func (d *desk) covered(req wire.RestoreRequest) (of reported, err error) {
	covered := map[license.ID]store.License{}
	var here []license.ID
	for _, text := range req.Tickets {
		t, err := findTicket(d.Registry, license.Ticket(text), d.tx.TicketByLookup)
		if err != nil {
			return of, err
		}
		if slices.Contains(of.tickets, t.ID) {
			continue
		}
		of.tickets = append(of.tickets, t.ID)
		o, err := d.tx.OrderByID(t.OrderID)
		if err != nil {
			return of, err
		}
		of.customer = o.Customer
		ls, err := d.tx.LicensesOfTicket(t.ID)
		if err != nil {
			return of, err
		}
		for _, l := range ls {
			covered[l.ID] = l
			switch {
			case len(req.Licenses) > 0 || l.State == license.Gone:
			case l.State.Held() && slices.Contains(req.Here, l.ID):
				here = append(here, l.ID)
			case l.State == license.NotCollected && l.Generation > 1:
				switch free, err := d.freeAgain(l, req.Container); {
				case err != nil:
					return of, err
				case free:
					of.restored = append(of.restored, l.ID)
				}
			case req.Container != "" && l.Holder != req.Container:
			case req.Container == "" && !l.State.Held():
			default:
				of.ids = append(of.ids, l.ID)
			}
		}
	}
	for _, id := range req.Licenses {
		l, ok := covered[id]
		if !ok || l.State == license.Gone {
			return of, refusal.New(refusal.LicenseUnknown, "No ticket of the report covers the license %s.", id).With("license", string(id))
		}
		free, err := d.freeAgain(l, req.Container)
		if err != nil {
			return of, err
		}
		if free { // the report is repeated
			of.restored = append(of.restored, id)
			continue
		}
		if req.Container != "" && l.Holder != req.Container {
			return of, refusal.New(refusal.LicenseUnknown, "%s (%s) is not in container %s.", l.Product, id, req.Container).With("license", string(id))
		}
		if !slices.Contains(of.ids, id) {
			of.ids = append(of.ids, id)
		}
	}
	if len(of.ids) == 0 {
		if len(here) > 0 || len(of.restored) > 0 {
			return of, notLost(here, of.restored)
		}
		if req.Container != "" {
			return of, refusal.New(refusal.NotRestorable, "No license of these tickets is in container %s.", req.Container).
				Hinted("Check the serial; the ticket's page says where each license is.")
		}
		return of, refusal.New(refusal.NotRestorable, "No license of these tickets is with a user; none can be lost.").
			Hinted("They can be activated as usual: licet activate TICKET.")
	}
	if len(of.ids) > maxLost {
		return of, refusal.New(refusal.TooLarge, "These tickets have %d licenses with users; at most %d can be reported at once.", len(of.ids), maxLost).
			Hinted("Name the ones that were lost.")
	}
	for _, l := range covered {
		of.partly = of.partly || l.Holder == req.Container && !slices.Contains(of.ids, l.ID)
	}
	return of, nil
}

// freeAgain reports whether a license was restored, from a container if one is
// named, and not activated since.
func (d *desk) freeAgain(l store.License, from license.Serial) (bool, error) {
	if l.State != license.NotCollected {
		return false, nil
	}
	done, err := d.tx.RestoresOf(l.ID)
	if err != nil || len(done) == 0 {
		return false, err
	}
	last := done[len(done)-1]
	return from == "" || last.Container == from, nil
}

// notLost refuses a report of which nothing is lost, with what a machine that
// repeats a report needs to go on.
func notLost(here, restored []license.ID) *refusal.Refusal {
	no := refusal.New(refusal.NotRestorable, "No license of these tickets is lost: those with a user work on the machine that asks.").
		Hinted("Nothing needs to be done.")
	if len(restored) > 0 {
		no = refusal.New(refusal.NotRestorable, "What was lost of these tickets is restored already and waits to be activated.").
			Hinted("Activate it as usual: licet activate TICKET.")
	}
	return no.With("here", here).With("restored", restored)
}

// hardware says what became of the machine of a lost container. That it is the
// same one is believed only where its traits show it.
func (d *desk) hardware(req wire.RestoreRequest, now [][]byte) recovery.Hardware {
	switch {
	case req.Damaged:
		return recovery.Damaged
	case sameMachine(d.containers[req.Container].Hardware, slices.Concat(now...)):
		return recovery.SameHardware
	}
	return recovery.NewHardware
}

// digestBytes is the length of one digest of a trait.
const digestBytes = 8

// sameMachine reports whether two thirds of the traits known before are there
// again, and at least two.
func sameMachine(before, now []byte) bool {
	known, found := 0, 0
	for b := range slices.Chunk(before, digestBytes) {
		known++
		for n := range slices.Chunk(now, digestBytes) {
			if bytes.Equal(b, n) {
				found++
				break
			}
		}
	}
	return found >= 2 && 3*found >= 2*known
}

// judge decides about one license that is locked.
func (d *desk) judge(l store.License, scope recovery.Scope, hw recovery.Hardware, accepted bool) (lost, error) {
	p, err := d.product(l.Product)
	if err != nil {
		return lost{}, err
	}
	x := lost{l: l, p: p}
	c, grant, err := d.caseOf(d.tx, l, p)
	if err != nil {
		return x, err
	}
	c.Scope, c.Hardware, c.Accepted, x.grant = scope, hw, accepted, grant
	x.Decision = recovery.Decide(c)
	return x, nil
}

// caseOf is what the policy needs to know of a license, and the grant of staff
// that a restore would use up.
func (r *Registry) caseOf(tx *store.Tx, l store.License, p license.Product) (c recovery.Case, grant string, err error) {
	o, err := tx.OrderByID(l.OrderID)
	if err != nil {
		return c, "", err
	}
	c = recovery.Case{Scope: recovery.ScopeLicense, Policy: p.Restore, Value: p.Value, Customer: o.Customer, State: l.State, Withdrawn: l.Withdrawn,
		Now: license.At(r.cfg.Now())}
	if l.Holder != "" {
		box, err := tx.Container(l.Holder)
		if err != nil {
			return c, "", err
		}
		c.Kind = box.Identity.Kind
		c.Lent = container.LentOf(box.Lent, l.ID, l.Generation, c.Now)
	}
	// The limit is that of the license as it was sold: splitting it gains nothing.
	done, err := tx.RestoresOfWhole(l.Whole())
	if err != nil {
		return c, "", err
	}
	for _, x := range done {
		if x.How == store.ByPolicy {
			c.Restored = append(c.Restored, x.Time)
		}
	}
	grants, err := tx.RestoreGrantsOf(l.ID)
	for _, g := range grants {
		if left := g.Count - g.Used; left > 0 {
			c.Extra += left
			if grant == "" {
				grant = g.ID
			}
		}
	}
	if err != nil || c.Extra > 0 {
		return c, grant, err // what staff allow meanwhile does not wait for their decision
	}
	switch _, err := tx.WaitingRecovery(l.ID); {
	case err == nil:
		c.Waiting = true
	case !errors.Is(err, store.ErrNotFound):
		return c, "", err
	}
	return c, grant, nil
}

// restoring is how a license is restored.
type restoring struct {
	how      string
	recovery uint64
	stop     license.Stop
	found    license.Found
	whole    bool // its whole container is lost
}

// restore ends the generation of a locked license that is with a user: the next
// one is free to be activated, and the old one is to go from every container that
// ever held the license (docs/protocol.md R14). A license whose withdrawal was
// ordered is gone with it.
func (d *desk) restore(l store.License, how restoring) error {
	old, holder := l.Generation, l.Holder
	event := license.Restored
	if l.Withdrawn {
		event = license.Lost
	}
	if err := d.dropOrders(l); err != nil {
		return err
	}
	if err := d.dropChange(l); err != nil { // the next generation is as it is now from the start
		return err
	}
	l = d.licenses[l.ID]
	serials, err := d.tx.ContainersOf(l.ID)
	if err != nil {
		return err
	}
	if err := d.tx.InsertRestore(store.Restore{License: l.ID, Generation: old, How: how.how, Recovery: how.recovery, Container: holder,
		Actor: d.log.actor.String(), Time: d.now()}); err != nil {
		return err
	}
	details := map[string]any{"how": how.how, "recovery": how.recovery, "containers": serials, "stop": how.stop, "found": how.found}
	if how.stop != license.StopReturn {
		if details["list"], err = list(d.log, store.Block{Kind: store.BlockedLicense, Subject: string(l.ID), Generation: old, Reason: "restored"}); err != nil {
			return err
		}
	}
	if l, err = d.move(l, event, details); err != nil {
		return err
	}
	l.Generation = old.After(d.keys().epoch)
	if err := d.mark(l); err != nil {
		return err
	}
	for _, s := range serials {
		if err := d.tx.InsertEarmark(store.Earmark{ID: d.newID("ear", d.log.now), Container: s, Kind: store.Kill, License: l.ID, Generation: old,
			Found: string(how.found), Actor: d.log.actor.String(), Reason: d.log.reason, Created: d.now()}); err != nil {
			return err
		}
	}
	c := d.containers[holder]
	if how.stop != license.StopBlock || !how.whole || c.Blocked.Reason != "" {
		return nil
	}
	if err := block(d.log, &c, "reported lost"); err != nil {
		return err
	}
	d.containers[holder] = c
	return d.tx.UpdateContainer(c)
}

// DeclareLost closes the withdrawal of a license whose machine is gone: its copy
// can no longer be proven to be removed, so its generation ends
// (docs/protocol.md R17).
func (r *Registry) DeclareLost(ctx context.Context, a Actor, id license.ID, reason string) (out wire.License, err error) {
	err = hand(ctx, r, a, reason, false, &out, func(d *desk) error {
		if err := d.lock([]license.ID{id}); err != nil {
			return err
		}
		l := d.licenses[id]
		if !l.Withdrawn || !l.State.Held() {
			return refusal.New(refusal.Conflict, "No withdrawal of %s (%s) waits for its machine.", l.Product, id).
				Hinted("Withdraw it first; a lost license that the customer is to keep is restored instead.")
		}
		if err := d.restore(l, restoring{how: store.ByLoss, stop: license.StopWithdraw, found: license.FoundWithdrawn}); err != nil {
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

// day is the period in which restores by one member of staff are counted.
const day = 24 * time.Hour
