package agent

import (
	"context"
	"fmt"
	"slices"

	"licet/container"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// Restore reports lost licenses to the vendor, online, and activates at once what
// he grants. Called again it goes on where it was: what was restored and not
// activated since is activated, and what waits for a decision is told.
func (a *Agent) Restore(ctx context.Context, in RestoreRequest) (result Restoration, err error) {
	switch {
	case len(in.Tickets) == 0:
		return result, refusal.New(refusal.InvalidInput, "No ticket was given.").Hinted("licet restore TICKET")
	case in.Damaged && in.Whole == "":
		return result, refusal.New(refusal.InvalidInput, "It was not said which container is damaged.").Hinted("Name it with --whole-container SERIAL.")
	}
	err = a.write(ctx, func() error {
		result, err = a.restore(ctx, in)
		return err
	})
	return result, storage(err)
}

func (a *Agent) restore(ctx context.Context, in RestoreRequest) (result Restoration, err error) {
	v, err := a.whose(ctx, in)
	if err != nil {
		return result, err
	}
	arrived, flagged, err := a.arrivals(ctx, in, v)
	if err != nil {
		return result, err
	}
	l := losses{said: map[license.ID]string{}, products: map[license.ID]string{}}
	works, err := a.works(ctx, v, in.Whole, slices.Contains(flagged, in.Whole), &l)
	if err != nil {
		return result, err
	}
	takers, err := a.takers(ctx, in, v)
	if err != nil {
		return result, err
	}
	b := takers[0]
	result.Programming = wire.Programming{Container: b.serial(), Counter: b.State.Number, Applied: empty(arrived[b.serial()]), Receipt: b.receipt()}
	wanted := in.Licenses
	for _, id := range in.Licenses {
		if slices.Contains(works, id) {
			l.notLost(id)
			wanted = slices.DeleteFunc(slices.Clone(wanted), func(w license.ID) bool { return w == id })
		}
	}
	if len(wanted) > 0 || len(in.Licenses) == 0 {
		if err := a.report(ctx, in, b, v, wanted, works, &l); err != nil {
			return result, err
		}
	}
	result.Recovery = l.recovery
	if len(l.granted) > 0 && !in.ReportOnly {
		if result.Programming, err = a.take(ctx, in, takers, v, l.granted, &l); err != nil {
			return result, unfinished(err)
		}
		result.Applied = slices.Concat(arrived[result.Container], result.Applied)
	}
	result.Outcomes = empty(l.outcomes)
	return result, nil
}

// whose is the vendor that a report goes to.
func (a *Agent) whose(ctx context.Context, in RestoreRequest) (vendor, error) {
	if in.Container == "" || in.Container == NewContainer {
		return a.vendorFor(ctx, in.Central)
	}
	_, v, err := a.named(ctx, in.Container)
	return v, err
}

// arrivals asks what is pending for the containers of this machine, before
// anything is reported: what is on its way to one of them, such as after an
// interruption, is not lost. It returns what changed in each, and which of them
// contradict the vendor's record.
func (a *Agent) arrivals(ctx context.Context, in RestoreRequest, v vendor) (changes map[license.Serial][]container.Change, flagged []license.Serial, err error) {
	boxes, err := a.openable(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	var list []license.Serial
	for _, b := range boxes {
		list = append(list, b.serial())
	}
	changes = map[license.Serial][]container.Change{}
	for _, c := range a.contacts(ctx, list, in.Central) {
		if err := c.err; err != nil {
			if r, ok := refusal.As(storage(err)); !ok || passing(r.Code) {
				return nil, nil, err
			}
			a.cfg.Log.Info("update failed", "container", c.serial, "error", err)
		}
		changes[c.serial] = c.result.Applied
		if slices.ContainsFunc(c.result.Outcomes, func(o container.Outcome) bool { return o.Code == refusal.ContainerFlagged }) {
			flagged = append(flagged, c.serial)
		}
	}
	return changes, flagged, nil
}

// takers are the containers of this machine that restored licenses may go into,
// the one meant first: the oldest that may be used. One is made where none opens
// here, for what was lost with those that do not is what is wanted back.
func (a *Agent) takers(ctx context.Context, in RestoreRequest, v vendor) (list []*box, err error) {
	if in.Container != "" {
		b, _, err := a.forActivation(ctx, in.Container, func() (vendor, error) { return v, nil })
		return []*box{b}, err
	}
	all, err := a.openable(ctx, v)
	if err != nil {
		return nil, err
	}
	blocked := a.blocks(Blocks{})
	defer blocked.Close()
	var closed []*box
	for _, b := range all {
		no, err := blocked.container(b)
		switch {
		case err != nil:
			return nil, err
		case b.serial() == in.Whole:
		case no:
			closed = append(closed, b) // the vendor may have opened it meanwhile
		default:
			list = append(list, b)
		}
	}
	if list = append(list, closed...); len(list) == 0 {
		b, err := a.create(ctx, v)
		return []*box{b}, err
	}
	return list, nil
}

// openable are a vendor's containers that open here, oldest first. What does not
// open for good is passed over; what does not at this moment is an error.
func (a *Agent) openable(ctx context.Context, v vendor) (list []*box, err error) {
	entries, err := a.entries(v.id())
	if err != nil {
		return nil, err
	}
	traits := a.traits()
	for _, e := range entries {
		b, err := a.open(ctx, license.Serial(e.Serial), traits)
		if err == nil {
			err = b.belongs(v)
		}
		r, _ := refusal.As(err)
		switch {
		case err == nil:
			list = append(list, b)
		case r != nil && slices.Contains([]refusal.Code{refusal.OtherMachine, refusal.ContainerDamaged, refusal.ContainerUnknown, refusal.WrongEnvironment}, r.Code):
			a.cfg.Log.Info("container passed over", "container", e.Serial, "error", err)
		default:
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(x, y *box) int { return int(x.Created - y.Created) })
	return list, nil
}

// works lists the licenses that nothing but their terms keeps from being used
// here: whoever has them has not lost them. A container that is said to be lost
// as a whole must not be one that works here. One that contradicts the vendor's
// record may be given up, and with it what is in it: it gets nothing new, as after
// the machine was put back from a back-up.
func (a *Agent) works(ctx context.Context, v vendor, whole license.Serial, givenUp bool, l *losses) (ids []license.ID, err error) {
	boxes, err := a.openable(ctx, v)
	if err != nil {
		return nil, err
	}
	blocked := a.blocks(Blocks{})
	defer blocked.Close()
	for _, b := range boxes {
		if b.serial() == whole && givenUp {
			continue
		}
		by := b.judge(v)
		for _, id := range b.held() {
			c := b.examine(by, id, nil)
			if err := c.block(blocked); err != nil {
				return nil, err
			}
			if c.no != nil {
				continue
			}
			if b.serial() == whole {
				return nil, refusal.New(refusal.NotRestorable, "Container %s is on this machine and works, so it is not lost. Nothing was changed.", whole).
					Hinted("Return its licenses: licet deactivate --all --container %s. If it must be given up as it is, remove it first: licet container delete %s --force.", whole, whole).
					With("container", string(whole))
			}
			ids = append(ids, id)
			l.products[id] = b.State.Held[id].Product
		}
	}
	return ids, nil
}

// losses is what becomes of each license of a report.
type losses struct {
	recovery uint64
	outcomes []container.Outcome
	granted  []license.ID          // to be activated
	said     map[license.ID]string // of those, before they are
	products map[license.ID]string // of what works here
}

func (l *losses) add(id license.ID, code refusal.Code, message, hint string) *container.Outcome {
	l.outcomes = append(l.outcomes, container.Outcome{Wish: "restore " + string(id), Code: code, Message: message, Hint: hint,
		Details: map[string]any{"license": string(id)}})
	return &l.outcomes[len(l.outcomes)-1]
}

func (l *losses) notLost(id license.ID) {
	o := l.add(id, refusal.AlreadyApplied, "The license works on this machine; it is not lost.", "")
	if product := l.products[id]; product != "" {
		o.Details["product"] = product
	}
}

func (l *losses) restoredBefore(id license.ID) {
	o := l.add(id, refusal.Done, "The license was restored already and waited to be activated; no further restore was used up.", "")
	l.grant(id, o)
}

func (l *losses) grant(id license.ID, o *container.Outcome) {
	l.granted = append(l.granted, id)
	l.said[id] = o.Message
}

// report tells the vendor of the loss. A signed receipt of the container b goes
// along: it shows on which hardware this machine is.
func (a *Agent) report(ctx context.Context, in RestoreRequest, b *box, v vendor, wanted, works []license.ID, l *losses) error {
	base, err := v.base(in.Central)
	if err != nil {
		return err
	}
	evidence, err := a.confirm(ctx, b, v)
	if err != nil {
		return err
	}
	req := wire.RestoreRequest{
		Licenses: wanted, Here: works, Container: in.Whole, Whole: in.Whole != "", Damaged: in.Damaged, Reason: in.Reason,
		Evidence: in.Evidence, Contact: in.Contact, Accept: in.Accept, Report: string(evidence),
	}
	for _, t := range in.Tickets {
		req.Tickets = append(req.Tickets, string(t))
	}
	answer, err := a.central().Restore(ctx, base, req)
	if r, ok := refusal.As(err); ok && r.Code == refusal.NotRestorable {
		here, restored := idsIn(r.Details["here"]), idsIn(r.Details["restored"])
		if len(here)+len(restored) == 0 {
			return err
		}
		for _, id := range here {
			l.notLost(id)
		}
		for _, id := range restored {
			l.restoredBefore(id)
		}
		return nil
	}
	if err != nil {
		return err
	}
	l.recovery = answer.Recovery
	for _, one := range answer.Licenses {
		l.judged(in, one)
	}
	for _, id := range answer.Restored {
		l.restoredBefore(id)
	}
	return nil
}

// judged notes what the vendor decided about one license.
func (l *losses) judged(in RestoreRequest, one wire.LostLicense) {
	o := l.add(one.License, one.Code, one.Message, one.Hint)
	for name, value := range map[string]any{"product": one.Product, "container": string(one.Container), "question": one.Question} {
		if value != "" {
			o.Details[name] = value
		}
	}
	if one.Again != 0 {
		o.Details["again"] = one.Again
	}
	if one.Recovery != 0 {
		o.Details["recovery"] = one.Recovery
	}
	switch {
	case one.Verdict == string(recovery.Grant):
		l.grant(one.License, o)
	case one.Code == refusal.NotRestorable && one.Container == "": // with the vendor, as after a restore
		o.Code, o.Hint = refusal.Done, ""
		o.Message = "The license was with the vendor, so it is not lost; no restore was used up."
		l.grant(one.License, o)
	case one.Recovery != 0 && one.Code == refusal.NotRestorable:
		o.Message = fmt.Sprintf("Recovery %d: %s", one.Recovery, one.Message)
	case one.Code == refusal.RestorePending:
		l.recovery = max(l.recovery, one.Recovery)
		o.Hint = "Run the same command again to see how it stands; what is restored by then is activated."
		if in.Contact != "" && one.Verdict == string(recovery.Ask) { // an earlier report has its own
			o.Hint = fmt.Sprintf("The vendor's answer goes to %s. ", in.Contact) + o.Hint
		}
		if one.Recovery != 0 {
			o.Message = fmt.Sprintf("Recovery %d: %s", one.Recovery, one.Message)
		}
		if one.Question != "" {
			o.Message = fmt.Sprintf("Recovery %d: the vendor's staff ask: %s", one.Recovery, one.Question)
			o.Hint = "Answer on the ticket's page of the vendor's server, then wait for the decision."
		}
	}
}

// take activates what was restored. Where this machine's container may get
// nothing, another one takes it, and at last a new one.
func (a *Agent) take(ctx context.Context, in RestoreRequest, takers []*box, v vendor, ids []license.ID, l *losses) (wire.Programming, error) {
	for i := 0; ; i++ {
		var b *box
		fresh := i == len(takers)
		if fresh {
			var err error
			if b, err = a.create(ctx, v); err != nil {
				return wire.Programming{}, err
			}
		} else {
			b = takers[i]
		}
		result, closed, err := a.fill(ctx, in, b, v, ids, l)
		if err != nil || !closed || fresh || in.Container != "" {
			return result, err
		}
		a.cfg.Log.Info("restored licenses go into another container", "instead of", b.serial())
	}
}

// fill activates licenses in one container, and says whether it is closed to all
// of them. Named licenses are all or nothing, so those that were left undone
// because of others are asked for again without these.
func (a *Agent) fill(ctx context.Context, in RestoreRequest, b *box, v vendor, ids []license.ID, l *losses) (all wire.Programming, closed bool, err error) {
	for {
		result, err := a.exchange(ctx, b, v, in.Central, container.Wishes{Tickets: in.Tickets, Activate: ids})
		if err != nil {
			return all, false, err
		}
		result.Applied = slices.Concat(all.Applied, result.Applied)
		all = result
		var again []license.ID
		for _, id := range ids {
			at := slices.IndexFunc(result.Outcomes, func(o container.Outcome) bool { return o.Wish == "activate "+string(id) })
			if at < 0 {
				continue
			}
			o := result.Outcomes[at]
			closed = closed || o.Code == refusal.ContainerFlagged || o.Code == refusal.ContainerBlocked
			if o.Code == refusal.NotDone {
				again = append(again, id)
			}
			l.activated(id, o)
		}
		all.Applied = empty(all.Applied)
		if closed || len(again) == 0 || len(again) == len(ids) {
			return all, closed, nil
		}
		ids = again
	}
}

// activated notes what became of the activation of a license that was restored.
func (l *losses) activated(id license.ID, o container.Outcome) {
	at := slices.IndexFunc(l.outcomes, func(mine container.Outcome) bool { return mine.Wish == "restore "+string(id) })
	mine := &l.outcomes[at]
	mine.Code, mine.Hint = refusal.Done, ""
	mine.Message = l.said[id] + " It is activated here now."
	if o.Refused() {
		mine.Code, mine.Hint = o.Code, o.Hint
		mine.Message = l.said[id] + " It is not activated here: " + o.Message
	}
}

// unfinished says of a failure that it came after the vendor had granted.
func unfinished(err error) error {
	r, ok := refusal.As(err)
	if !ok {
		return fmt.Errorf("restored, but not activated yet: %w", err)
	}
	after := *r
	after.Message = "The licenses are restored, but not activated yet. " + r.Message
	after.Hint = "Run the same command again: it goes on, and nothing is restored twice."
	return &after
}

// idsIn reads a list of licenses in the details of a refusal.
func idsIn(value any) (ids []license.ID) {
	list, _ := value.([]any)
	for _, one := range list {
		if id, ok := one.(string); ok {
			ids = append(ids, license.ID(id))
		}
	}
	return ids
}
