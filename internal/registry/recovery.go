package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// Recoveries returns a page of reports of losses, newest first; with open, those
// that wait for a decision, oldest first.
func (r *Registry) Recoveries(ctx context.Context, a Actor, open bool, cursor string, limit int) (wire.List[wire.Recovery], error) {
	at, err := cursorNumber(cursor)
	if err != nil {
		return wire.List[wire.Recovery]{Items: []wire.Recovery{}}, err
	}
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Recovery, error) {
		if open {
			return tx.OpenRecoveries(at, limit)
		}
		return tx.Recoveries(at, limit)
	}, func(tx *store.Tx, rec store.Recovery) (wire.Recovery, string, error) {
		w, err := r.recoveryView(tx, rec)
		return w, number(rec.Number), err
	})
}

func cursorNumber(cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(cursor, 10, 63)
	if err != nil {
		return 0, refusal.New(refusal.InvalidInput, "The cursor is not one of this list.")
	}
	return n, nil
}

// Recovery returns the whole truth about one report.
func (r *Registry) Recovery(ctx context.Context, a Actor, n uint64) (out wire.Recovery, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		rec, err := tx.Recovery(n)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("recovery", number(n))
		}
		if err != nil {
			return err
		}
		out, err = r.recoveryShown(tx, rec)
		return err
	})
	return out, err
}

// recoveryShown is the view of one recovery with everything.
func (r *Registry) recoveryShown(tx *store.Tx, rec store.Recovery) (out wire.Recovery, err error) {
	if out, err = r.recoveryView(tx, rec); err != nil {
		return out, err
	}
	err = restoresBeside(tx, &out)
	return out, err
}

// restoresBeside puts beside each license what was restored of it before.
func restoresBeside(tx *store.Tx, w *wire.Recovery) error {
	for i := range w.Licenses {
		l := &w.Licenses[i]
		done, err := tx.RestoresOf(l.License)
		if err != nil {
			return err
		}
		for _, x := range done {
			l.Restores = append(l.Restores, wire.PastRestore{Generation: x.Generation, How: x.How, Recovery: x.Recovery, Container: x.Container, Actor: x.Actor, Time: x.Time})
		}
		grants, err := tx.RestoreGrantsOf(l.License)
		if err != nil {
			return err
		}
		for _, g := range grants {
			l.Allowed += g.Count - g.Used
		}
	}
	return nil
}

func (r *Registry) recoveryView(tx *store.Tx, rec store.Recovery) (wire.Recovery, error) {
	w := wire.Recovery{Number: rec.Number, State: rec.State, Scope: rec.Scope, Hardware: rec.Hardware, Container: rec.Container, Customer: rec.Customer,
		Reason: rec.Reason, Evidence: rec.Evidence, Contact: rec.Contact, Language: rec.Language, Conditions: rec.Conditions, Accepted: rec.Accepted,
		Created: rec.Created, Decided: rec.Decided, DecidedBy: rec.DecidedBy, Decision: rec.Decision, Licenses: []wire.RecoveryLicense{}, Notes: []wire.Note{}}
	ls, err := tx.RecoveryLicenses(rec.Number)
	if err != nil {
		return w, err
	}
	for _, l := range ls {
		now, err := tx.License(l.License)
		if err != nil {
			return w, err
		}
		v := wire.RecoveryLicense{License: l.License, Product: now.Product, Generation: l.Generation, Container: l.Container, Verdict: l.Verdict, Outcome: l.Outcome,
			State: now.State, Because: []recovery.Reason{}}
		if err := json.Unmarshal([]byte(l.Because), &v.Because); err != nil {
			return w, fmt.Errorf("registry: recovery %d: %w", rec.Number, err)
		}
		w.Licenses = append(w.Licenses, v)
	}
	notes, err := tx.RecoveryNotes(rec.Number)
	for _, n := range notes {
		w.Notes = append(w.Notes, wire.Note{Actor: n.Actor, Text: n.Text, Time: n.Time})
	}
	return w, err
}

// decideRecovery runs a decision about a report that is still open.
func (r *Registry) decideRecovery(ctx context.Context, a Actor, n uint64, reason string, decide func(*desk, *store.Recovery) error) (out wire.Recovery, err error) {
	if err := a.may(ScopeRecovery); err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			rec, err := tx.LockRecovery(n)
			if errors.Is(err, store.ErrNotFound) {
				return notFound("recovery", number(n))
			}
			if err != nil {
				return err
			}
			if rec.State != store.Waiting && rec.State != store.Asked {
				return refusal.New(refusal.Conflict, "Recovery %d is decided: %s by %s.", n, rec.State, rec.DecidedBy).
					With("state", rec.State).With("decided_by", rec.DecidedBy).Hinted("Nothing needs to be done.")
			}
			if err := decide(r.desk(tx, a, reason), &rec); err != nil {
				return err
			}
			if err := tx.UpdateRecovery(rec); err != nil {
				return err
			}
			out, err = r.recoveryView(tx, rec)
			return err
		})
	})
	return out, err
}

// ApproveRecovery restores the licenses of a report that wait: all of them, or
// those named, in which case the others are refused. What was returned, restored
// or withdrawn since is left as it is, and said so.
func (r *Registry) ApproveRecovery(ctx context.Context, a Actor, n uint64, req wire.Approval) (wire.Recovery, error) {
	return r.decideRecovery(ctx, a, n, req.Reason, func(d *desk, rec *store.Recovery) error {
		ls, err := d.tx.RecoveryLicenses(n)
		if err != nil {
			return err
		}
		var ids []license.ID
		for _, l := range ls {
			if l.Outcome == store.Waiting {
				ids = append(ids, l.License)
			}
		}
		for _, id := range req.Licenses {
			if !slices.Contains(ids, id) {
				return refusal.New(refusal.LicenseUnknown, "The license %s does not wait in recovery %d.", id, n).With("license", string(id)).
					Hinted("licet-central recovery show %d names those that do.", n)
			}
		}
		if err := d.lock(ids); err != nil {
			return err
		}
		if err := d.withinDay(a, len(ids)); err != nil {
			return err
		}
		subjects := []store.Subject{about(ofRecovery, number(n))}
		outcomes := map[license.ID]string{}
		for _, w := range ls {
			if w.Outcome != store.Waiting {
				continue
			}
			l := d.licenses[w.License]
			outcome := "restored"
			switch {
			case len(req.Licenses) > 0 && !slices.Contains(req.Licenses, l.ID):
				outcome = store.Refused
			case l.Generation != w.Generation:
				outcome = "restored_before"
			case !l.State.Held():
				outcome = string(l.State)
			default:
				how, err := d.restoringBy(l, *rec, req)
				if err != nil {
					return err
				}
				if err := d.restore(l, how); err != nil {
					return err
				}
			}
			outcomes[l.ID] = outcome
			if err := d.tx.RecoveryOutcome(n, l.ID, outcome); err != nil {
				return err
			}
			subjects = append(subjects, about(ofLicense, string(l.ID)))
		}
		d.decided(rec, store.Approved)
		if err := d.log.note(evRecoveryApproved, map[string]any{"number": n, "outcomes": outcomes}, subjects...); err != nil {
			return err
		}
		return d.noticeExcess(n)
	})
}

func (d *desk) decided(rec *store.Recovery, state string) {
	rec.State, rec.Decided, rec.DecidedBy, rec.Decision = state, d.now(), d.log.actor.String(), d.log.reason
}

// restoringBy is how staff restore a license: as its policy says, unless they
// say otherwise for this case.
func (d *desk) restoringBy(l store.License, rec store.Recovery, req wire.Approval) (restoring, error) {
	p, err := d.product(l.Product)
	policy := p.Restore.WithDefaults()
	how := restoring{how: store.ByStaff, recovery: rec.Number, stop: policy.Stop, found: policy.Found, whole: rec.Scope == string(recovery.ScopeContainer)}
	if req.Stop != "" {
		how.stop = req.Stop
	}
	if req.Found != "" {
		how.found = req.Found
	}
	if how.stop == license.StopBlock {
		how.whole = how.whole || req.Stop == license.StopBlock // said for this case
	}
	return how, err
}

// withinDay refuses what goes beyond the restores that one member of staff may
// grant in a day.
func (d *desk) withinDay(a Actor, n int) error {
	if a.may(ScopeAdmin) == nil {
		return nil
	}
	done, err := d.tx.CountRestores(a.String(), d.now().Add(-day))
	if err == nil && done+int64(n) > staffRestores {
		return refusal.New(refusal.RestoreLimit, "%s has restored %d licenses in a day; at most %d are allowed.", a, done, staffRestores).
			Hinted("Somebody with the scope admin can go on.")
	}
	return err
}

// RefuseRecovery refuses a report; the licenses stay where they are.
func (r *Registry) RefuseRecovery(ctx context.Context, a Actor, n uint64, reason string) (wire.Recovery, error) {
	if strings.TrimSpace(reason) == "" {
		return wire.Recovery{}, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the user reads it.")
	}
	return r.decideRecovery(ctx, a, n, reason, func(d *desk, rec *store.Recovery) error {
		subjects, err := d.refuseWaiting(n)
		if err != nil {
			return err
		}
		d.decided(rec, store.Refused)
		return d.log.note(evRecoveryRefused, map[string]any{"number": n}, subjects...)
	})
}

func (d *desk) refuseWaiting(n uint64) ([]store.Subject, error) {
	ls, err := d.tx.RecoveryLicenses(n)
	subjects := []store.Subject{about(ofRecovery, number(n))}
	for _, l := range ls {
		if l.Outcome != store.Waiting {
			continue
		}
		if err := d.tx.RecoveryOutcome(n, l.License, store.Refused); err != nil {
			return nil, err
		}
		subjects = append(subjects, about(ofLicense, string(l.License)))
	}
	return subjects, err
}

// AskRecovery asks the user back; the report waits for the answer.
func (r *Registry) AskRecovery(ctx context.Context, a Actor, n uint64, question string) (wire.Recovery, error) {
	if strings.TrimSpace(question) == "" {
		return wire.Recovery{}, refusal.New(refusal.InvalidInput, "There is no question.")
	}
	return r.decideRecovery(ctx, a, n, "", func(d *desk, rec *store.Recovery) error {
		rec.State = store.Asked
		if err := d.tx.AddRecoveryNote(n, store.RecoveryNote{Actor: d.log.actor.String(), Text: question, Time: d.now()}); err != nil {
			return err
		}
		return d.log.note(evRecoveryQuestion, map[string]any{"number": n, "text": question}, about(ofRecovery, number(n)))
	})
}

// AnswerRecovery takes the user's answer, whom one of the report's tickets
// authorizes. A report whose tickets do not is as unknown as one that is not
// there.
func (r *Registry) AnswerRecovery(ctx context.Context, ticket license.Ticket, n uint64, text string) (out wire.Recovery, err error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxLostText {
		return out, refusal.New(refusal.InvalidInput, "The answer is empty or longer than %d bytes.", maxLostText)
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		t, err := findTicket(r, ticket, tx.TicketByLookup)
		if err != nil {
			return err
		}
		rec, err := tx.LockRecovery(n)
		if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(rec.Tickets, t.ID) {
			return notFound("recovery", number(n))
		}
		if err != nil {
			return err
		}
		if rec.State != store.Waiting && rec.State != store.Asked {
			return refusal.New(refusal.Conflict, "Recovery %d is decided already.", n).Hinted("The ticket's page shows what can be done now.")
		}
		rec.State = store.Waiting
		d := r.desk(tx, Actor{Kind: "ticket", Name: t.ID}, "")
		if err := tx.AddRecoveryNote(n, store.RecoveryNote{Actor: d.log.actor.String(), Text: text, Time: d.now()}); err != nil {
			return err
		}
		if err := tx.UpdateRecovery(rec); err != nil {
			return err
		}
		if err := d.log.note(evRecoveryAnswered, map[string]any{"number": n, "text": text}, about(ofRecovery, number(n))); err != nil {
			return err
		}
		out, err = r.recoveryView(tx, rec)
		return err
	})
	return out, err
}

// EnableRestore allows restores of licenses beyond their policy, with a report in
// the system or without.
func (r *Registry) EnableRestore(ctx context.Context, a Actor, ids []license.ID, count int64, reason string) (out wire.List[wire.License], err error) {
	if err := a.may(ScopeRecovery); err != nil {
		return out, err
	}
	switch {
	case len(ids) == 0:
		return out, refusal.New(refusal.InvalidInput, "No license was given.")
	case count < 1 || count > 100:
		return out, refusal.New(refusal.InvalidInput, "From 1 to 100 restores can be allowed at once.")
	case strings.TrimSpace(reason) == "":
		return out, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	ids = distinct(ids)
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() (err error) {
			out.Items, err = r.desk(tx, a, reason).enable(ids, count)
			return err
		})
	})
	return out, err
}

func (d *desk) enable(ids []license.ID, count int64) ([]wire.License, error) {
	if err := d.lock(ids); err != nil {
		return nil, err
	}
	var ls []store.License
	for _, id := range ids {
		l := d.licenses[id]
		if l.State == license.Gone || l.Withdrawn {
			return nil, refusal.New(refusal.LicenseWithdrawn, "%s (%s) was withdrawn.", l.Product, id).With("license", string(id))
		}
		if err := d.tx.InsertRestoreGrant(store.RestoreGrant{ID: d.newID("grt", d.log.now), License: id, Count: count, Actor: d.log.actor.String(), Reason: d.log.reason, Created: d.now()}); err != nil {
			return nil, err
		}
		if err := d.log.note(evRestoreEnabled, map[string]any{"count": count, "product": l.Product}, about(ofLicense, string(id)), about(ofOrder, l.OrderID)); err != nil {
			return nil, err
		}
		ls = append(ls, l)
	}
	return d.licenseViews(d.tx, ls)
}

// ExplainRestore says what would be decided about a license that was lost now,
// and why.
func (r *Registry) ExplainRestore(ctx context.Context, a Actor, id license.ID, scope recovery.Scope, hw recovery.Hardware) (out wire.Explanation, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		l, err := tx.License(id)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("license", string(id))
		}
		if err != nil {
			return err
		}
		p, err := tx.Product(l.Product)
		if err != nil {
			return err
		}
		c, _, err := r.caseOf(tx, l, p)
		if err != nil {
			return err
		}
		c.Scope, c.Hardware, c.Accepted = scope, hw, true
		out = wire.Explanation{License: id, Product: l.Product, Container: l.Holder, Decision: recovery.Decide(c)}
		return nil
	})
	return out, err
}
