package explore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"licet/container"
	"licet/license"
)

// The containers, by number.
var serials = [2]license.Serial{"A", "B"}

const ticket = license.Ticket("T")

func licenseID(i int) license.ID { return license.ID(fmt.Sprintf("L%d", i+1)) }

func licenseNumber(id license.ID) int { return int(id[1] - '1') }

// book is all that the vendor's database holds. It is a value: what changes it
// works on a clone.
type book struct {
	licenses []unit
	logs     [2]record

	epoch uint64    // 0 in runs in which no server comes back
	since [2]uint64 // steps that the back-up had
}

// unit is a license as the database has it.
type unit struct {
	container.Placement
	reserved license.Serial
	with     int // the number of the license that replaces it, from 1 on; 0 for none

	seats  int64
	origin license.ID // the license that it was split from; empty for none
	merged license.ID // the part that has its seats since; empty for none

	units, used int64 // of its counter, 0 and 0 for none

	held bool // back, since the server came back from a back-up
}

// record is the vendor's side of one container's log.
type record struct {
	known     bool
	acked     uint64
	top       uint64         // the highest acked ever; less only after staff accepted a container
	life      container.Hash // at acked
	challenge []byte
	flag      flag
	steps     []step
	orders    []order // of the vendor, until they are carried out
	blocked   bool
	closed    bool // by the last step issued
	lent      []container.Lent
	epoch     uint64 // that the container is known to know
}

// order is an earmark.
type order struct {
	kind       string // as store names it
	license    int
	generation license.Generation
	seats      int64  // of the license then
	with       int    // Replace only
	step       uint64 // that carries it; 0 until issued
}

func (o order) earmark() container.Earmark {
	m := container.Earmark{Phase: container.Withdraw, License: licenseID(o.license)}
	switch o.kind {
	case "replace":
		m.Phase, m.With = container.Replace, licenseID(o.with)
	case "kill":
		m.Old = o.generation
	case "change":
		m.Phase, m.Again = container.Replace, true
	}
	return m
}

type flag struct {
	reason     string
	number     uint64
	life       container.Hash
	acceptable bool
}

type step struct {
	in    container.Incoming
	plan  container.Hash
	life  []byte               // proven by a report; nil if not
	cause cause                // the report that was answered with it
	units map[license.ID]int64 // of the licenses that it puts, by their bodies
}

// cause names a report file, which a repetition of it is known by.
type cause struct {
	letter int32
	wish   wish
}

func newBook(s scope) book {
	b := book{}
	if s.comeback {
		b.epoch = 1
	}
	for range s.licenses {
		b.licenses = append(b.licenses, newUnit())
		b.licenses[len(b.licenses)-1].seats += s.more
		b.licenses[len(b.licenses)-1].units = s.units
	}
	return b
}

func newUnit() unit {
	return unit{Placement: container.Placement{State: license.NotCollected, Generation: 1}, seats: 1}
}

func (b book) clone() book {
	b.licenses = slices.Clone(b.licenses)
	for c := range b.logs {
		b.logs[c].steps = slices.Clone(b.logs[c].steps)
		b.logs[c].orders = slices.Clone(b.logs[c].orders)
	}
	return b
}

func (r record) issued() uint64 { return uint64(len(r.steps)) }

func (r record) planAt(serial license.Serial, n uint64) container.Hash {
	if n == 0 {
		return container.PlanStart(serial)
	}
	return r.steps[n-1].plan
}

// key tells books apart.
func (b book) key() string {
	var k bytes.Buffer
	for _, l := range b.licenses {
		fmt.Fprintf(&k, "%s|%s|%d|%d|%t|%s|%d|%d|%s|%s|%d|%d;", l.State, l.Holder, l.Generation, l.Step, l.Withdrawn, l.reserved, l.with, l.seats, l.origin, l.merged, l.units, l.used)
		if l.held {
			k.WriteString("held")
		}
	}
	if b.epoch > 0 {
		fmt.Fprintf(&k, "%d|%d|%d|%d;", b.epoch, b.since, b.logs[0].epoch, b.logs[1].epoch)
	}
	for c, r := range b.logs {
		plan := r.planAt(serials[c], r.issued())
		fmt.Fprintf(&k, "%t|%d|%d|%d|%x|%s|%d|%x;", r.known, r.issued(), r.acked, r.top, r.challenge, r.flag.reason, r.flag.number, r.flag.life[:8])
		for _, o := range r.orders {
			fmt.Fprintf(&k, "%s|%d|%d|%d|%d|%d;", o.kind, o.license, o.generation, o.with, o.step, o.seats)
		}
		fmt.Fprintf(&k, "%t|%t|%d;", r.blocked, r.closed, len(r.lent))
		k.Write(plan[:8])
		k.Write(r.life[:8])
		for _, s := range r.steps {
			fmt.Fprintf(&k, "%x|%d|%s", s.life, s.cause.letter, s.cause.wish)
		}
	}
	return k.String()
}

// update is what central answers, with its steps read.
type update struct {
	container.Update
	steps []container.Incoming
}

func (u update) key() string {
	k := fmt.Sprintf("%s|%x|%d|%d|%x|%v|%d|", u.Container, u.Answers, u.Acked, len(u.steps), u.Challenge, u.Units, u.Epoch)
	for _, s := range u.steps {
		k += string(s.Step.Previous[:8]) + string(s.Signed)
	}
	return k
}

// exchange is one contact, as registry.exchange is.
type exchange struct {
	*rules
	b      book
	c      int
	report container.Report
	cause  cause
	again  bool // a repetition of a report that was answered with a step
	found  container.Finding
	fault  string // what registry would fail on

	signed  map[string]container.Incoming // every step ever signed
	brings  []container.Brought           // by the report
	brought int                           // of them, those that were taken in
	then    book                          // what that made of the book
}

func (x *exchange) record() *record        { return &x.b.logs[x.c] }
func (x *exchange) serial() license.Serial { return serials[x.c] }

// program follows registry.Program; receipt is the way of a report without
// wishes.
func (x *exchange) program(receipt bool) update {
	r := x.record()
	known := r.known
	if !known {
		r.life = container.LifeStart(x.serial())
	}
	if x.report.Number > 0 && !known && x.b.epoch == 0 {
		return x.answer(update{}) // container_unknown
	}
	x.reconcile()
	known = r.known
	switch x.found.Standing {
	case container.Ahead:
		return x.answer(x.ahead())
	case container.Behind:
		if receipt {
			return x.answer(update{})
		}
		u := update{}
		u.Challenge = challengeFor(x.serial(), r.acked)
		if known {
			r.challenge = u.Challenge
		}
		return x.answer(u)
	}
	if receipt {
		return x.answer(update{})
	}
	if !x.settled() {
		return x.fence()
	}
	before := r.issued()
	ops, _ := x.plan(x.situation())
	lock := x.lock(r.closed, r.blocked)
	if len(ops) > 0 || lock != container.Unchanged {
		x.issue(ops, lock)
	}
	u := update{}
	u.Epoch = x.b.epoch
	if r.flag.reason == "" || r.issued() > before {
		for _, s := range r.steps[r.acked:] {
			u.steps = append(u.steps, s.in)
		}
		u.steps = x.resent(u.steps, int(r.issued()-before))
	}
	u.Units = x.told(x.forgotten())
	return x.answer(u)
}

// forgotten follows registry: what the record knows of units where the report told
// less.
func (x *exchange) forgotten() (list []container.Counted) {
	for _, t := range x.report.Units {
		if l := x.b.licenses[licenseNumber(t.License)]; l.Holder == x.serial() && l.Generation == t.Generation && t.Used < l.used {
			t.Used = l.used
			list = append(list, t)
		}
	}
	return list
}

// counted follows registry: what the report tells of units that are used.
func (x *exchange) counted() {
	for _, t := range x.report.Units {
		l := &x.b.licenses[licenseNumber(t.License)]
		l.used = x.count(l.Placement, x.serial(), t, l.used, l.units)
	}
}

func (x *exchange) answer(u update) update {
	if !x.record().known {
		*x.record() = record{}
	}
	if u.Epoch == 0 && x.b.epoch > 0 {
		u.Epoch = x.heard()
	}
	u.Container, u.Answers, u.Acked, u.Time = x.serial(), x.report.Nonce, x.record().acked, 1
	return u
}

// challengeFor stands for a random one.
func challengeFor(serial license.Serial, acked uint64) []byte {
	return fmt.Appendf(nil, "challenge %s %d", serial, acked)
}

func (x *exchange) reconcile() {
	r, number := x.record(), x.report.Number
	l := container.Log{
		Issued: r.issued(), Acked: r.acked, AckedLife: r.life, Challenge: r.challenge,
		Plans: map[uint64]container.Hash{}, Lives: map[uint64]container.Hash{},
	}
	for _, n := range []uint64{r.acked, number} {
		if n > r.issued() {
			continue
		}
		l.Plans[n] = r.planAt(x.serial(), n)
		switch {
		case n == 0:
			l.Lives[n] = container.LifeStart(x.serial())
		case r.steps[n-1].life != nil:
			l.Lives[n] = container.Hash(r.steps[n-1].life)
		}
	}
	for n := r.acked + 1; n <= r.issued(); n++ {
		l.Plans[n] = r.planAt(x.serial(), n)
	}
	x.found = x.rules.reconcile(l, x.report)
	switch {
	case x.found.Convicts():
		x.counted()
		x.convict()
	case x.found.Standing == container.InStep:
		x.takeIn()
		x.pastGap()
	case x.found.Standing == container.Ahead:
		x.close(l)
	}
	x.judged(x)
}

// free is what no rule allows: licenses of the container become available
// without proof. Mutants use it.
func (x *exchange) free(from license.State) {
	for i := range x.b.licenses {
		if l := &x.b.licenses[i]; l.State == from && l.Holder == x.serial() {
			l.State, l.Holder = license.Returned, ""
		}
	}
}

func (x *exchange) takeIn() {
	r, number := x.record(), x.report.Number
	r.challenge = nil
	x.counted()
	defer x.lent()
	if number == r.acked {
		return
	}
	for n := r.acked + 1; n <= number; n++ {
		life := x.found.Lives[n]
		r.steps[n-1].life = life[:]
		for _, op := range r.steps[n-1].in.Step.Ops {
			x.takeBack(n, op)
			x.confirmOp(n, op)
		}
		x.carriedOut(n)
	}
	x.merge(x)
	r.acked, r.top, r.life = number, max(r.top, number), x.report.Life
}

// lent follows registry: what the report tells of seats that are out.
func (x *exchange) lent() {
	x.record().lent = container.LentNow(x.record().lent, x.report.Lent, func(id license.ID, g license.Generation) bool {
		l := x.b.licenses[licenseNumber(id)]
		return l.Holder == x.serial() && l.Generation == g
	}, 1)
}

func (x *exchange) confirmOp(n uint64, op container.Op) {
	i := licenseNumber(op.License)
	event, yes := x.confirm(x.b.licenses[i].Placement, x.serial(), n, op)
	if !yes {
		return
	}
	if s := x.record().steps[n-1].in.Step; event == license.DropConfirmed && s.Epoch < x.b.epoch {
		x.b.licenses[i].held = x.holds(true)
	}
	x.move(i, event, n)
	if event != license.PutConfirmed {
		x.end(func(o order) bool { return o.license == i && o.kind != "kill" })
	}
}

// carriedOut follows registry: a step proven to be applied ends what it carried.
func (x *exchange) carriedOut(n uint64) { x.end(func(o order) bool { return o.step == n }) }

// end takes orders off; what did not come in with them becomes available.
func (x *exchange) end(done func(order) bool) {
	r := x.record()
	r.orders = slices.DeleteFunc(r.orders, func(o order) bool {
		if done(o) && o.kind == "replace" {
			x.b.licenses[o.with].reserved = ""
		}
		return done(o)
	})
}

func (x *exchange) move(i int, event license.Event, n uint64) {
	l := &x.b.licenses[i]
	next, no := x.next(l.State, event)
	if no != nil {
		x.fault = fmt.Sprintf("%s in state %s cannot take %s", licenseID(i), l.State, event)
		return
	}
	l.State, l.Step, l.Holder = next, n, ""
	if next.Held() {
		l.Holder = x.serial()
	}
}

func (x *exchange) convict() {
	r := x.record()
	if r.flag.reason != "" {
		return
	}
	r.flag = flag{reason: x.found.Reason, number: x.report.Number, life: x.report.Life, acceptable: x.found.Standing == container.TwoLives}
	r.challenge = nil
}

// situation is what registry.situation loads.
func (x *exchange) situation() container.Situation {
	w := x.report.Wishes
	if x.again { // the registry goes on from what it answered then
		w = x.repeated(w)
	}
	s := container.Situation{Serial: x.serial(), Kind: license.Machine, Flagged: x.record().flag.reason, Blocked: x.record().why(),
		Licenses: map[license.ID]container.Candidate{}, Activate: w.Activate, Return: w.Return, Pending: w.Pending,
		Amounts: w.Amounts}
	parts := len(x.b.licenses)
	s.NewPart = func() license.ID {
		parts++
		return licenseID(parts - 1)
	}
	for _, t := range w.Tickets {
		tw := container.TicketWish{Ticket: t, Known: true}
		for i, l := range x.b.licenses {
			if l.merged == "" {
				tw.Licenses = append(tw.Licenses, licenseID(i))
			}
		}
		s.Tickets = append(s.Tickets, tw)
	}
	for i, l := range x.b.licenses {
		c := container.Candidate{License: licenseID(i), Generation: l.Generation, Product: "P",
			State: l.State, Holder: l.Holder, Kinds: license.Kinds, Deactivation: true, Reserved: l.reserved,
			Seats: l.seats, Split: true, Origin: l.origin, MergedInto: l.merged, Units: l.units, Used: l.used, HeldBack: l.held}
		if l.merged != "" {
			c.Units = x.b.licenses[licenseNumber(l.merged)].units
		}
		if l.Holder == x.serial() {
			c.Lent = container.LentOf(x.record().lent, c.License, c.Generation, 1)
			c.LentStays = x.stays(c.Lent.Seats > 0)
			c.Returning = x.returning(i)
			if l.units > 0 {
				c.Given = x.given(l, x.record().base(licenseID(i), l.Generation)) - c.Returning
			}
		}
		s.Licenses[c.License] = c
	}
	for _, o := range x.record().orders {
		if o.step == 0 || o.kind != "kill" && o.kind != "change" {
			s.Earmarks = append(s.Earmarks, o.earmark())
		}
	}
	return s
}

func (r *record) why() string {
	if r.blocked {
		return "stolen"
	}
	return ""
}

func (x *exchange) issue(ops []container.Op, lock container.Lock) {
	r := x.record()
	if !r.known {
		r.epoch = x.b.epoch
	}
	r.known = true
	n := r.issued() + 1
	s := step{cause: x.cause, units: map[license.ID]int64{}}
	for i, op := range ops {
		event := license.DropIssued
		before := int64(0) // seats of what some are split off
		if op.Kind == container.Put && op.Phase == container.Return && i > 0 && ops[i-1].Of == op.License {
			before = x.b.licenses[licenseNumber(op.License)].seats + ops[i-1].Amount
		}
		if op.Of != "" {
			x.split(op)
		}
		if op.Kind == container.Put {
			event = license.PutIssued
			l := x.b.licenses[licenseNumber(op.License)]
			if l.Holder == x.serial() && l.State != license.Returning {
				event = license.ChangeIssued
			}
			body := body(op.License, op.Generation, x.serial(), x.written(op, l.seats, before))
			if l.units > 0 {
				back := op.Amount
				if op.Of != "" || back == 0 {
					back = x.unitsBack(licenseNumber(op.License))
				}
				body = fmt.Appendf(body, ", %d of %d used", l.used, l.units-back)
				s.units[op.License] = l.units - back
				s.in.Units = append(s.in.Units, container.Counted{License: op.License, Generation: op.Generation, Used: x.base(l.used)})
			}
			ops[i].Body = sha256.Sum256(body)
			s.in.Bodies = append(s.in.Bodies, body)
		}
		if l := licenseNumber(op.License); op.Generation >= x.b.licenses[l].Generation {
			x.move(l, event, n)
			if op.Kind == container.Put {
				x.b.licenses[l].reserved = ""
			}
		}
		for j, o := range r.orders {
			want := o.earmark()
			if o.step == 0 && op.License == want.License && op.Phase == want.Phase && op.Generation == o.generation {
				r.orders[j].step = n
			}
		}
	}
	if lock != container.Unchanged {
		r.closed = lock == container.Close
	}
	plan := r.planAt(x.serial(), n-1)
	s.in.Step = container.Step{Container: x.serial(), Number: n, Previous: plan, Time: 1, Ops: ops, Lock: lock, Epoch: x.b.epoch}
	s.in.Step.Unsigned = encode(s.in.Step)
	s.in.Signed = s.in.Step.Unsigned
	if x.b.epoch > 0 {
		x.signed[string(s.in.Signed)] = s.in
	}
	s.plan = container.NextPlan(plan, s.in.Step.Unsigned)
	r.steps = append(r.steps, s)
	x.issued(x)
}

// body stands for a license's.
func body(id license.ID, g license.Generation, serial license.Serial, seats int64) []byte {
	return fmt.Appendf(nil, "%s generation %d in %s, %d seats", id, g, serial, seats)
}

// split follows registry: what is split off is where the license is.
func (x *exchange) split(op container.Op) {
	x.part(op.Of, op.Amount, x.b.licenses[licenseNumber(op.Of)].Placement)
}

// part makes so many seats or units of a license one of their own, which begins where
// it is placed.
func (x *exchange) part(id license.ID, n int64, at container.Placement) {
	of := &x.b.licenses[licenseNumber(id)]
	part := unit{Placement: at, seats: n, origin: of.origin}
	part.Generation, part.Withdrawn = 1, false
	if part.origin == "" {
		part.origin = id
	}
	if of.units > 0 {
		part.seats, part.units = of.seats, n
		of.units = x.rest(of.units, n)
	} else {
		of.seats -= n
	}
	x.b.licenses = append(x.b.licenses, part)
}

// takeBack follows registry: units that were asked back and are left are a part with
// the vendor, once the container has proven it.
func (x *exchange) takeBack(n uint64, op container.Op) {
	l := x.b.licenses[licenseNumber(op.License)]
	if l.Holder != x.serial() || op.Generation != l.Generation {
		return
	}
	if back := x.back(x.record().steps[n-1].asks(l, op), l.units, l.used); back > 0 {
		x.part(op.License, back, container.Placement{State: license.Returned})
	}
}

// asks is how many units of a license an operation of the step asks back.
func (s step) asks(l unit, op container.Op) int64 {
	if l.units == 0 || op.Kind != container.Put || op.Phase != container.Return {
		return 0
	}
	return l.units - s.units[op.License]
}

// unitsBack follows registry: the units that are asked back and not proven to be.
func (x *exchange) unitsBack(i int) (n int64) {
	r, l := x.record(), x.b.licenses[i]
	for _, s := range r.steps[min(r.acked, r.issued()):] {
		for _, op := range s.in.Step.Ops {
			if n == 0 && op.License == licenseID(i) && op.Generation == l.Generation {
				n = s.asks(l, op)
			}
		}
	}
	return n
}

// base is what was used of a license when a container last got it that had it not
// before.
func (r *record) base(id license.ID, g license.Generation) (used int64) {
	there := false
	for _, s := range r.steps {
		for _, op := range s.in.Step.Ops {
			if op.License != id || op.Generation != g {
				continue
			}
			if op.Kind == container.Put && !there {
				used = s.in.Units[slices.IndexFunc(s.in.Units, func(c container.Counted) bool { return c.License == id })].Used
			}
			there = op.Kind == container.Put
		}
	}
	return used
}

// returning follows registry: the seats that the last step about a license takes
// out, until that is proven; or the units that are asked back.
func (x *exchange) returning(i int) int64 {
	if x.b.licenses[i].units > 0 {
		return x.unitsBack(i)
	}
	r, n := x.record(), x.b.licenses[i].Step
	if n == 0 || n <= r.acked || n > r.issued() {
		return 0
	}
	ops := r.steps[n-1].in.Step.Ops
	for j, op := range ops {
		if j > 0 && op.Kind == container.Put && op.Phase == container.Return && op.License == licenseID(i) {
			return x.b.licenses[licenseNumber(ops[j-1].License)].seats
		}
	}
	return 0
}

// merge follows registry: what is with the vendor, and nothing is ordered for, is
// one license again.
func merge(x *exchange) {
	into := -1
	for i := range x.b.licenses {
		l := &x.b.licenses[i]
		if !l.State.Available() || l.Withdrawn || l.reserved != "" || l.merged != "" || x.b.ordered(i) {
			continue
		}
		if into < 0 {
			into = i
			continue
		}
		if all := &x.b.licenses[into]; l.units > 0 {
			all.units, all.used = all.units+l.units, all.used+l.used
			l.units, l.used = 0, 0
		} else {
			all.seats, l.seats = all.seats+l.seats, 0
		}
		l.State, l.Step, l.merged = license.Gone, 0, licenseID(into)
	}
}

// ordered reports whether an order of the vendor for a license waits.
func (b book) ordered(i int) bool {
	return slices.ContainsFunc(b.logs[:], func(r record) bool {
		return slices.ContainsFunc(r.orders, func(o order) bool { return o.license == i })
	})
}

// encode stands for the canonical bytes of a step.
func encode(s container.Step) []byte {
	b := append([]byte(s.Container), byte(s.Number), byte(s.Lock), byte(s.Epoch))
	b = append(b, s.Previous[:]...)
	for _, op := range s.Ops {
		b = append(b, byte(op.Kind), byte(op.Phase), byte(licenseNumber(op.License)), byte(op.Generation))
		b = append(b, op.Body[:]...)
	}
	return b
}

// accept follows registry.AcceptContainer.
func (x *exchange) accept() {
	r := x.record()
	f := r.flag
	for n := min(r.acked, f.number) + 1; n <= r.issued(); n++ {
		for _, op := range r.steps[n-1].in.Step.Ops {
			if n <= f.number {
				x.takeBack(n, op)
				x.confirmOp(n, op)
				continue
			}
			i := licenseNumber(op.License)
			if next, mine := x.reopened(x.b.licenses[i].Placement, x.serial(), op); mine {
				l := &x.b.licenses[i]
				l.State, l.Holder, l.Step = next, x.serial(), n
			}
		}
		if n <= f.number {
			x.carriedOut(n)
		}
	}
	for n := f.number + 1; n <= r.issued(); n++ {
		r.steps[n-1].life = nil
	}
	r.acked, r.life, r.flag, r.challenge = f.number, f.life, flag{}, nil
	if f.number > 0 {
		r.steps[f.number-1].life = f.life[:]
	}
}

// nonce stands for 128 random bits: one for each container, step and life.
func nonce(c int, step uint64, life uint8) container.Nonce {
	var n container.Nonce
	n[0], n[1] = byte(c+1), life
	binary.BigEndian.PutUint64(n[8:], step)
	return n
}
