package container

import (
	"maps"
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
)

// Candidate is what planning needs to know of one license: those the container
// holds by the plan, those wished for, and those the vendor has earmarked.
type Candidate struct {
	License      license.ID
	Generation   license.Generation
	Product      string
	State        license.State
	Holder       license.Serial // empty while with the vendor
	Requires     []string       // product codes that must be in the same container
	Kinds        []license.Kind // kinds of container it may go into
	Deactivation bool           // users may return it themselves
	Reserved     license.Serial // the vendor keeps it for this container; empty for nobody
	Lent         Lent           // seats of it that are out; none if it has none
	LentStays    bool           // its terms allow a return while seats are out
	HeldBack     bool           // somebody may have got it in a gap of the record (docs/protocol.md R18)

	Seats      int64      // what this license has of the seats that were sold
	Split      bool       // some of them may go into another container
	Origin     license.ID // the license that it is a part of; empty for one that is no part
	MergedInto license.ID // the part that has its seats since; empty while it has them itself
	Returning  int64      // seats that an unproven step splits off it and takes out, or units that it asks back

	Units int64 // of its counter, of a merged license those of the one it is in; 0 for none
	Used  int64 // units of it that are used
	Given int64 // units that were left of it when it came into the container that has it, and were added since, without those on their way back
	Moves bool  // they may move to other containers without the vendor
}

// whole is the license that c is, or is a part of.
func (c Candidate) whole() license.ID {
	if c.Origin != "" {
		return c.Origin
	}
	return c.License
}

// measure is what of a license can be in several containers.
type measure string

// The measures.
const (
	bySeats measure = "seats"
	byUnits measure = "units"
)

// measure is units for a license that is sold by them, else seats.
func (c Candidate) measure() measure {
	if c.Units > 0 {
		return byUnits
	}
	return bySeats
}

// has is how many seats or units the container that has the license got by it.
func (c Candidate) has() int64 {
	if c.Units > 0 {
		return c.Given
	}
	return c.Seats
}

// left is how many seats or units another container would get by it.
func (c Candidate) left() int64 {
	if c.Units > 0 {
		return max(0, c.Units-c.Used)
	}
	return c.Seats
}

// MaxOfTicket is how many licenses a ticket may stand for to be asked for as a
// whole. Of a larger one the user names what this container is to have: nobody
// means to put a thousand licenses on one machine, and a step has its limits.
const MaxOfTicket = 500

// TicketWish is a ticket of a request with the licenses it stands for.
type TicketWish struct {
	Ticket   license.Ticket
	Known    bool
	Licenses []license.ID
}

// Earmark is an order of the vendor that waits for the container's next step.
type Earmark struct {
	Phase   Phase // Withdraw, Assign or Replace
	License license.ID
	// Old is the generation to be removed where that is not the one that counts
	// now: a copy that was restored elsewhere (docs/protocol.md R14). Withdraw
	// only; 0 otherwise.
	Old  license.Generation
	With license.ID // the license that comes in its place; Replace only
	// Again says that the license itself comes again, as the vendor has changed it.
	// Replace only.
	Again bool
}

// Situation is everything a plan is made from.
type Situation struct {
	Serial   license.Serial
	Kind     license.Kind
	Flagged  string                   // why the container contradicts the record; empty if it does not
	Blocked  string                   // why the vendor has blocked the container; empty if it is not
	Licenses map[license.ID]Candidate // with all parts of those that some seats are wished of
	Earmarks []Earmark                // until they are done: also while the license is on its way back
	Tickets  []TicketWish
	Activate []license.ID
	Return   []license.ID
	Amounts  []Amount // as in Wishes
	Pending  bool
	NewPart  func() license.ID // draws the id of a part that is split off
	TooOld   bool              // for counting units is the program that keeps the container
	Still    bool              // it is too old to let units move without the vendor
	Restate  []license.ID      // held under a key that the vendor has revoked
}

// Plan decides one step: the vendor's orders first, then what the user asked
// for, in the order of the five phases (docs/protocol.md R5, R10). It returns the
// operations, none if there is nothing to do, and one outcome for each wish.
// Bodies' hashes are filled in by the caller, who also makes the parts that
// operations tell of.
func Plan(s Situation) ([]Op, []Outcome) {
	s.Licenses = maps.Clone(s.Licenses) // parts come in
	p := planner{s: s, held: map[license.ID]bool{}, coming: map[license.ID]bool{}}
	for id, c := range s.Licenses {
		if c.Holder == s.Serial && (c.State == license.Collecting || c.State == license.Collected) {
			p.held[id] = true
		}
	}
	vendor := p.vendorOps()
	if s.Blocked != "" {
		return removals(vendor), RefuseAll(s.wishes(), refusal.New(refusal.ContainerBlocked,
			"The vendor has blocked the container %s (%s).", s.Serial, s.Blocked))
	}
	if s.Flagged != "" {
		return removals(vendor), RefuseAll(s.wishes(), refusal.New(refusal.ContainerFlagged,
			"The container contradicts the vendor's record (%s); it keeps what it has.", s.Flagged))
	}
	user, outcomes := p.userOps(vendor)
	// What its user returns in the same step does not come again; of what is returned in
	// part, the rest comes as it is now anyhow.
	vendor = slices.DeleteFunc(vendor, func(o Op) bool {
		return o.Kind == Put && slices.ContainsFunc(user, func(u Op) bool { return u.Phase == Return && u.License == o.License })
	})
	ops := p.restate(append(vendor, user...))
	slices.SortStableFunc(ops, func(a, b Op) int { return int(a.Phase) - int(b.Phase) })
	return ops, outcomes
}

type planner struct {
	s      Situation
	held   map[license.ID]bool // in the container once every issued step is applied
	coming map[license.ID]bool // that wishes of this request bring, as far as granted
}

func (p *planner) op(kind OpKind, phase Phase, id license.ID) Op {
	c := p.s.Licenses[id]
	return Op{Kind: kind, Phase: phase, License: id, Generation: c.Generation, Product: c.Product}
}

// vendorOps turns earmarks into operations and updates what is held. Removals
// cannot fail; what is to come in waits where it does not fit, and does not hold
// the removals up.
func (p *planner) vendorOps() []Op {
	var ops []Op
	var puts []Op
	for _, e := range p.s.Earmarks {
		switch {
		case e.Old != 0:
			op := p.op(Drop, Withdraw, e.License)
			op.Generation = e.Old
			ops = append(ops, op)
		case e.Again:
			// After all that may take it out.
		case e.Phase == Assign:
			puts = append(puts, p.op(Put, Assign, e.License))
		case p.held[e.License]:
			ops = append(ops, p.op(Drop, e.Phase, e.License))
			delete(p.held, e.License)
			if e.With != "" {
				puts = append(puts, p.op(Put, Replace, e.With))
			}
		}
		// Else it is on its way back: what would replace it becomes available instead.
	}
	for again := true; again; { // one that comes in may be what another needs
		again = false
		for i, op := range puts {
			if c := p.s.Licenses[op.License]; op.Kind == Put && !p.held[op.License] && p.fits(c) {
				ops = append(ops, op)
				p.held[op.License] = true
				puts[i].Kind = 0
				again = true
			}
		}
	}
	for _, e := range p.s.Earmarks {
		if e.Again && p.held[e.License] {
			ops = append(ops, p.op(Put, Replace, e.License))
		}
	}
	return ops
}

// restate adds what the container holds and keeps under a revoked key: it is put again
// as it is, so that a key that counts has signed it (docs/protocol.md, section 14).
func (p *planner) restate(ops []Op) []Op {
	for _, id := range p.s.Restate {
		if p.held[id] && !slices.ContainsFunc(ops, func(o Op) bool { return o.License == id && o.Generation == p.s.Licenses[id].Generation }) {
			ops = append(ops, p.op(Put, Replace, id))
		}
	}
	return ops
}

// fits reports whether a license that the vendor sends may come in now.
func (p *planner) fits(c Candidate) bool {
	held := map[license.ID]string{}
	for id := range p.held {
		held[id] = p.s.Licenses[id].Product
	}
	return c.State.Available() && !c.HeldBack && slices.Contains(c.Kinds, p.s.Kind) && len(lacking(c, held)) == 0 && p.tooOld(c) == nil
}

// Ordered is the part of a step that the vendor has ordered.
func Ordered(ops []Op) []Op {
	return slices.DeleteFunc(slices.Clone(ops), func(o Op) bool { return o.Phase == Return || o.Phase == Activate })
}

func removals(ops []Op) []Op {
	return slices.DeleteFunc(ops, func(o Op) bool { return o.Kind != Drop || o.Phase != Withdraw })
}

// wish is one thing asked for, on its way to an outcome.
type wish struct {
	text    string
	license license.ID
	no      *refusal.Refusal
	already bool

	// Of a wish for some seats or units.
	amount  int64
	measure measure
	part    license.ID // that is split off the license: to come in, or to go
	said    string     // where there is nothing to do
}

// stays reports whether a license that some is returned of stays in the container.
func (w wish) stays() bool { return w.part != "" || w.amount != 0 }

func (w wish) outcome() Outcome {
	o := Outcome{Wish: w.text, Code: refusal.Done}
	if w.license != "" {
		o.Details = map[string]any{"license": string(w.license)}
	}
	if w.amount != 0 {
		o.Details[string(w.measure)] = w.amount
	}
	if w.part != "" {
		o.Details["part"] = string(w.part)
	}
	switch {
	case w.no != nil:
		o.Code, o.Message, o.Hint, o.Details = w.no.Code, w.no.Message, w.no.NextStep(), w.no.Details
	case w.already:
		o.Code, o.Message = refusal.AlreadyApplied, w.said
	}
	return o
}

// RefuseAll refuses every wish of a request for one reason.
func RefuseAll(w Wishes, no *refusal.Refusal) []Outcome {
	var out []Outcome
	for _, t := range w.Tickets {
		out = append(out, wish{text: "ticket " + string(t), no: no}.outcome())
	}
	for _, id := range w.Return {
		out = append(out, wish{text: "return " + w.named(id), no: no}.outcome())
	}
	for _, id := range w.Activate {
		out = append(out, wish{text: "activate " + w.named(id), no: no}.outcome())
	}
	if w.Pending {
		out = append(out, wish{text: "update", no: no}.outcome())
	}
	return out
}

func (s Situation) wishes() Wishes {
	w := Wishes{Activate: s.Activate, Return: s.Return, Pending: s.Pending, Amounts: s.Amounts}
	for _, t := range s.Tickets {
		w.Tickets = append(w.Tickets, t.Ticket)
	}
	return w
}

// userOps grants the wishes that can be granted on top of the vendor's part.
func (p *planner) userOps(vendor []Op) ([]Op, []Outcome) {
	returns := p.returns()
	named := p.named()
	tickets := p.tickets()

	// Named licenses are all or nothing.
	all := append(slices.Clone(returns), named...)
	if slices.ContainsFunc(all, func(w wish) bool { return w.no != nil }) {
		leaveUndone(returns)
		leaveUndone(named)
	}
	p.needs(returns, named, tickets)

	wishes := slices.Concat(returns, named, tickets)
	if len(vendor) > 0 && slices.ContainsFunc(wishes, conflicts) {
		// The vendor's part goes alone, and what was left undone is told.
		leaveUndone(wishes)
	}
	var ops []Op
	var outcomes []Outcome
	for i, w := range wishes {
		outcomes = append(outcomes, w.outcome())
		switch {
		case w.no != nil || w.already || w.license == "":
		case i < len(returns) && w.part != "":
			// What goes is a license of its own from now on; the other keeps its name,
			// because sessions and loans on the user's network are of it.
			ops = append(ops, p.begin(p.op(Drop, Return, w.part), w), p.op(Put, Return, w.license))
		case i < len(returns) && w.stays(): // units, which are free when it is known that they are left
			op := p.op(Put, Return, w.license)
			op.Amount = w.amount
			ops = append(ops, op)
		case i < len(returns):
			ops = append(ops, p.op(Drop, Return, w.license))
		case w.part != "":
			ops = append(ops, p.begin(p.op(Put, Activate, w.part), w))
		default:
			ops = append(ops, p.op(Put, Activate, w.license))
		}
	}
	return ops, outcomes
}

// conflicts reports whether a wish does not fit with the rest of the step, as
// opposed to one that could not be granted anyway.
func conflicts(w wish) bool {
	return w.no != nil && (w.no.Code == refusal.PrerequisiteMissing || w.no.Code == refusal.BreaksOtherLicense)
}

func leaveUndone(ws []wish) {
	for i := range ws {
		if ws[i].no == nil && !ws[i].already {
			ws[i].no = refusal.New(refusal.NotDone, "Left undone because another part of the same request was refused.")
		}
	}
}

func (p *planner) returns() []wish {
	wishes := p.s.wishes()
	var ws []wish
	for _, id := range unique(p.s.Return) {
		w := wish{text: "return " + wishes.named(id), license: id}
		c, known := p.s.Licenses[id]
		n, some := wishes.amount(id)
		switch {
		case !known || c.Holder != p.s.Serial:
			w.no = refusal.New(refusal.LicenseUnknown, "The license %s is not in this container.", id)
		case !p.held[id]:
			w.already = true // its removal is issued already
		case !c.Deactivation:
			w.no = refusal.New(refusal.NotDeactivatable, "%s (%s) may not be returned by its user.", c.Product, id)
		case some && (c.Returning > 0 || n != c.left()):
			p.returnPart(&w, c, n)
		case c.Lent.Seats > 0 && !c.LentStays:
			w.no = onLoan(c)
		}
		ws = append(ws, w)
	}
	return ws
}

// onLoan refuses the return of a license while seats of it are out: it would be
// free while others use it.
func onLoan(c Candidate) *refusal.Refusal {
	no := refusal.New(refusal.SeatsOnLoan, "%d seats of %s (%s) are out of the container for good, so it cannot be returned.", c.Lent.Seats, c.Product, c.License).
		Hinted("Move them back first.")
	if c.Lent.Until != 0 {
		no = refusal.New(refusal.SeatsOnLoan, "%d seats of %s (%s) are on loan, the last of them until %s; it stays until then.", c.Lent.Seats, c.Product, c.License, c.Lent.Until).
			With("until", c.Lent.Until.String())
	}
	return no.With("license", string(c.License)).With("product", c.Product).With("seats", c.Lent.Seats)
}

// named judges the licenses asked for by id; a ticket of the request must cover
// each of them.
func (p *planner) named() []wish {
	wishes := p.s.wishes()
	var ws []wish
	for _, id := range unique(p.s.Activate) {
		w := wish{text: "activate " + wishes.named(id), license: id}
		n, some := wishes.amount(id)
		switch {
		case !p.covered(id) && !p.held[id]:
			w.no = refusal.New(refusal.LicenseUnknown, "No ticket of the request covers the license %s.", id)
		case some:
			ws = append(ws, p.some(w, n)...)
			continue
		default:
			p.judge(&w)
		}
		if w.no == nil && !w.already {
			p.comes(id)
		}
		ws = append(ws, w)
	}
	for _, t := range p.s.Tickets { // a mistyped ticket must not pass unseen
		if !t.Known && len(ws) > 0 {
			ws = append(ws, wish{text: "ticket " + string(t.Ticket), no: unknownTicket()})
		}
	}
	return ws
}

// covered reports whether a ticket stands for a license, or for another part of the
// same one.
func (p *planner) covered(id license.ID) bool {
	c := p.s.Licenses[id]
	return slices.ContainsFunc(p.s.Tickets, func(t TicketWish) bool {
		return slices.ContainsFunc(t.Licenses, func(of license.ID) bool {
			return of == id || of == c.MergedInto || c.License != "" && p.s.Licenses[of].whole() == c.whole()
		})
	})
}

// tickets asks for every license of each ticket that is available; a ticket of
// which nothing is left says where its licenses are.
func (p *planner) tickets() []wish {
	if len(p.s.Activate) > 0 {
		return nil // then tickets only authorize what is named
	}
	var ws []wish
	asked := map[license.ID]bool{}
	for _, t := range p.s.Tickets {
		text := "ticket " + string(t.Ticket)
		if !t.Known {
			ws = append(ws, wish{text: text, no: unknownTicket()})
			continue
		}
		if len(t.Licenses) > MaxOfTicket {
			ws = append(ws, wish{text: text, no: refusal.New(refusal.TooLarge, "The ticket stands for %d licenses; at most %d can be activated at once.", len(t.Licenses), MaxOfTicket).
				Hinted("Name the licenses that this machine is to have: licet activate TICKET --license ID.")})
			continue
		}
		var got, refused []wish
		for _, id := range t.Licenses {
			if asked[id] {
				continue
			}
			asked[id] = true
			w := wish{text: text, license: id}
			p.judge(&w)
			if w.no == nil {
				got = append(got, w)
			} else {
				refused = append(refused, w)
			}
		}
		// What was withdrawn is no longer on the ticket, unless nothing else is.
		if there := slices.DeleteFunc(slices.Clone(refused), func(w wish) bool { return w.no.Code == refusal.LicenseWithdrawn }); len(there) > 0 {
			refused = there
		}
		// A ticket that gives something is granted; the rest of it is in use.
		switch {
		case len(got) > 0:
			ws = append(ws, got...)
			for _, w := range refused {
				if w.no.Code != refusal.LicenseInUse && w.no.Code != refusal.LicenseWithdrawn && w.no.Code != refusal.LicenseAssigned {
					ws = append(ws, w)
				}
			}
		case len(refused) > 0:
			no := refused[0].no
			if len(refused) > 1 {
				no.With("licenses", places(refused))
			}
			ws = append(ws, wish{text: text, no: no})
		}
	}
	return ws
}

func places(ws []wish) []map[string]any {
	var out []map[string]any
	for _, w := range ws {
		out = append(out, maps.Clone(w.no.Details)) // one of them will hold the list
	}
	return out
}

func unknownTicket() *refusal.Refusal {
	return refusal.New(refusal.TicketUnknown, "This ticket is not known to the vendor.")
}

// judge decides whether one license may come into this container, its
// prerequisites aside.
func (p *planner) judge(w *wish) {
	c, known := p.s.Licenses[w.license]
	_, no := license.Next(c.State, license.PutIssued)
	switch {
	case !known:
		w.no = refusal.New(refusal.LicenseUnknown, "There is no license %s.", w.license)
	case p.held[w.license] && slices.Contains(p.s.Return, w.license):
		w.no = refusal.New(refusal.NotDone, "%s (%s) is returned by the same request.", c.Product, c.License).
			Hinted("Ask for one of the two.")
	case p.held[w.license], p.coming[w.license]:
		w.already = true
	case c.MergedInto != "":
		w.no = refusal.New(refusal.LicenseUnknown, "The %s of %s (%s) were merged with those of the license %s.", c.measure(), c.Product, c.License, c.MergedInto).
			With("merged_into", string(c.MergedInto)).Hinted("Ask for that license, or for some of its %s: %s=NUMBER.", c.measure(), c.MergedInto)
	case c.State == license.Gone || p.leaving(w.license):
		w.no = refusal.New(refusal.LicenseWithdrawn, "%s (%s) was withdrawn by the vendor.", c.Product, c.License)
	case c.State.Held() && c.Holder != p.s.Serial:
		w.no = inUse(c)
	case no != nil:
		w.no = inUse(c)
	case c.HeldBack:
		w.no = refusal.New(refusal.LicenseHeldBack, "%s (%s) is held back: the vendor's server was restored from a back-up, and whether somebody got the license meanwhile is not known yet.", c.Product, c.License)
	case c.Reserved != "" && c.Reserved != p.s.Serial:
		w.no = refusal.New(refusal.LicenseAssigned, "%s (%s) is kept for container %s.", c.Product, c.License, c.Reserved).
			With("container", string(c.Reserved))
	case !slices.Contains(c.Kinds, p.s.Kind):
		w.no = refusal.New(refusal.ContainerNotAllowed, "%s may not go into a container of kind %s.", c.Product, p.s.Kind).
			With("allowed", kindNames(c.Kinds))
	default:
		w.no = p.tooOld(c)
	}
	if w.no != nil {
		w.no.With("license", string(w.license)).With("product", c.Product)
	}
}

// leaving reports whether the vendor has ordered a license out: it may not come
// back in, also while its removal is on the way (docs/protocol.md R10).
func (p *planner) leaving(id license.ID) bool {
	return slices.ContainsFunc(p.s.Earmarks, func(e Earmark) bool {
		return e.License == id && e.Old == 0 && !e.Again && (e.Phase == Withdraw || e.Phase == Replace)
	})
}

func inUse(c Candidate) *refusal.Refusal {
	r := refusal.New(refusal.LicenseInUse, "%s is activated in container %s.", c.Product, c.Holder).
		With("container", string(c.Holder)).With("state", string(c.State))
	switch c.State {
	case license.Collecting:
		r.Hinted("Its update was issued and no receipt came back: fetch it again on that machine, return it there, or ask the vendor to restore it.")
	case license.Returning:
		r.Hinted("It is on its way back: bring the receipt of container %s (any later request of it does too).", c.Holder)
	}
	return r
}

// needs checks prerequisites on what the container would hold in the end
// (T10): a return that would break a license of the container is refused, a
// license that would lack another one too. Refusing one can break or mend the
// next, so it repeats until nothing changes; returns come first, because what
// they leave in place may be what a wish needs.
func (p *planner) needs(returns, named, tickets []wish) {
	for changed := true; changed; {
		changed = false
		after := p.after(returns, slices.Concat(named, tickets))
		for i := range returns {
			w := &returns[i]
			if w.no != nil || w.already || w.stays() {
				continue
			}
			if broken := p.broken(p.s.Licenses[w.license].Product, after); len(broken) > 0 {
				w.no = refusal.New(refusal.BreaksOtherLicense, "%s cannot be returned alone: %s needs it.", p.s.Licenses[w.license].Product, joinIDs(broken)).
					With("license", string(w.license)).With("licenses", idNames(broken))
				changed = true
			}
		}
		if changed {
			leaveUndone(returns)
			leaveUndone(named)
			continue
		}
		for _, g := range [][]wish{named, tickets} {
			for i := range g {
				w := &g[i]
				if w.no != nil || w.already || w.license == "" {
					continue
				}
				if missing := lacking(p.s.Licenses[w.license], after); len(missing) > 0 {
					c := p.s.Licenses[w.license]
					w.no = refusal.New(refusal.PrerequisiteMissing, "%s needs %s in the same container.", c.Product, strings.Join(missing, " and ")).
						With("license", string(w.license)).With("product", c.Product).With("missing", missing)
					changed = true
				}
			}
		}
		if changed && slices.ContainsFunc(named, conflicts) {
			leaveUndone(returns)
			leaveUndone(named)
		}
	}
}

// after is what the container would hold: product codes by license.
func (p *planner) after(returns, puts []wish) map[license.ID]string {
	held := map[license.ID]string{}
	for id := range p.held {
		held[id] = p.s.Licenses[id].Product
	}
	for _, w := range returns {
		if w.no == nil && !w.stays() {
			delete(held, w.license)
		}
	}
	for _, w := range puts {
		if w.no == nil && w.license != "" {
			held[w.license] = p.s.Licenses[w.license].Product
		}
	}
	return held
}

func lacking(c Candidate, held map[license.ID]string) []string {
	var missing []string
	for _, need := range c.Requires {
		found := false
		for id, product := range held {
			found = found || (product == need && id != c.License)
		}
		if !found {
			missing = append(missing, need)
		}
	}
	return missing
}

// broken lists the licenses of the container that would lack the product returned.
func (p *planner) broken(product string, held map[license.ID]string) []license.ID {
	var out []license.ID
	for id := range held {
		c := p.s.Licenses[id]
		if p.held[id] && slices.Contains(c.Requires, product) && slices.Contains(lacking(c, held), product) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Breaking names the licenses that would lack a prerequisite if others left the
// container: what it holds by the plan, without those that go
// (docs/protocol.md, withdrawal and replacement).
func Breaking(held []Candidate, going func(license.ID) bool) []license.ID {
	rest := map[license.ID]string{}
	for _, c := range held {
		if !going(c.License) {
			rest[c.License] = c.Product
		}
	}
	var out []license.ID
	for _, c := range held {
		if _, stays := rest[c.License]; !stays {
			continue
		}
		for _, need := range lacking(c, rest) {
			if slices.ContainsFunc(held, func(g Candidate) bool { return going(g.License) && g.Product == need }) {
				out = append(out, c.License)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

func unique(ids []license.ID) []license.ID {
	var out []license.ID
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func idNames(ids []license.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

func joinIDs(ids []license.ID) string { return strings.Join(idNames(ids), ", ") }

func kindNames(ks []license.Kind) []string {
	out := make([]string, len(ks))
	for i, k := range ks {
		out[i] = string(k)
	}
	return out
}
