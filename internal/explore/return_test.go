package explore

import (
	"slices"

	"licet/container"
	"licet/license"
)

// epochAfter is the epoch of the book that comes back from a back-up. It is above every
// generation that can be made in the gap, as seconds since 2025 are.
const epochAfter = 7

// comesBack is the book of a server that came back from a back-up, as
// registry.openGap leaves it.
func (r *rules) comesBack(saved book) book {
	b := saved.clone()
	b.epoch = epochAfter
	for i := range b.licenses {
		l := &b.licenses[i]
		l.held = l.held || r.holds(l.State.Available())
	}
	for c := range b.logs {
		b.since[c] = b.logs[c].issued()
	}
	return b
}

// settled follows registry: the container can get something new.
func (x *exchange) settled() bool {
	return x.b.epoch <= 1 || x.fenced(x.report.Epoch >= x.b.epoch || x.record().epoch >= x.b.epoch)
}

// heard follows registry: the epoch that an answer names which does not bring all that
// the container lacks.
func (x *exchange) heard() uint64 { return min(x.b.epoch, max(x.report.Epoch, 1)) }

// ahead follows registry: who brings nothing is told the epoch, and then brings.
func (x *exchange) ahead() (u update) {
	if u.Epoch = x.b.epoch; x.b.epoch > 1 && x.report.Epoch <= x.b.epoch && len(x.brings) == 0 {
		u.Challenge = challengeFor(x.serial(), x.record().acked)
		if x.record().known {
			x.record().challenge = u.Challenge
		}
	}
	return u
}

// fence follows registry: all that the container lacks of the record, the epoch, and
// nothing new.
func (x *exchange) fence() update {
	r, u := x.record(), update{}
	u.Epoch = x.heard()
	if r.flag.reason == "" {
		for _, s := range r.steps[r.acked:] {
			u.steps = append(u.steps, s.in)
		}
		u.Epoch, u.Challenge = x.b.epoch, challengeFor(x.serial(), r.acked)
		if r.known {
			r.challenge = u.Challenge
		}
	}
	return x.answer(u)
}

// close follows registry: a container that is ahead brings what the record lacks.
func (x *exchange) close(l container.Log) {
	r := x.record()
	if x.b.epoch <= 1 || r.epoch >= x.b.epoch || x.report.Epoch > x.b.epoch {
		return
	}
	steps, why := l.Lacking(x.serial(), x.report, x.brings)
	if why != "" || len(x.brings) == 0 && x.report.Number > l.Issued {
		return
	}
	x.found.Standing = container.InStep
	x.bring(steps)
	x.then = x.b.clone()
	x.pastGap()
}

// bring follows registry.
func (x *exchange) bring(steps []container.Brought) {
	r, number := x.record(), x.report.Number
	r.known, x.brought = true, len(steps)
	for n := r.acked + 1; n <= min(number, r.issued()); n++ {
		for _, op := range r.steps[n-1].in.Step.Ops {
			x.confirmOp(n, op)
		}
		x.carriedOut(n)
	}
	var ids []license.ID
	for _, b := range steps {
		s := step{in: x.signed[string(b.Signed)], units: map[license.ID]int64{}}
		s.plan = container.NextPlan(r.planAt(x.serial(), r.issued()), b.Step.Unsigned)
		r.steps = append(r.steps, s)
		for _, op := range b.Step.Ops {
			ids = append(ids, op.License)
		}
	}
	life := x.report.Life
	r.steps[number-1].life = life[:]
	r.acked, r.top, r.life, r.challenge = number, max(r.top, number), life, nil
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		x.show(id, steps)
	}
}

// sure follows registry: nobody else can have got it in the gap.
func (x *exchange) sure(l unit) bool {
	switch {
	case l.held:
		return false
	case l.Holder == "" || l.Holder == x.serial():
		return true
	}
	return x.b.logs[containerNumber(l.Holder)].epoch >= x.b.epoch
}

// show follows registry: what the brought steps show of a license.
func (x *exchange) show(id license.ID, steps []container.Brought) {
	i, r := licenseNumber(id), x.record()
	l := &x.b.licenses[i]
	var before, gap []container.Op
	last, put := uint64(0), uint64(0)
	for n, s := range r.steps[:x.report.Number] {
		for _, op := range s.in.Step.Ops {
			switch {
			case op.License != id:
			case n < int(x.report.Number)-len(steps):
				before = append(before, op)
			default:
				gap = append(gap, op)
				if last = uint64(n + 1); op.Kind == container.Put {
					put = last
				}
			}
		}
	}
	shows, g := x.shows(container.Known{Placement: l.Placement, Sure: x.sure(*l)}, x.serial(), before, gap)
	holds := shows == container.Here || shows == container.OldCopy || shows == container.Twice
	x.end(func(o order) bool { return o.license == i && (!holds || g > o.generation) })
	switch shows {
	case container.OldCopy, container.Nothing:
	case container.Twice:
		x.twice()
	default:
		x.ends(i, shows, g)
		l.Step, l.Holder, l.held, l.Generation, l.reserved = last, "", false, g, ""
		switch shows {
		case container.Here:
			l.State, l.Holder = license.Collected, x.serial()
			if put > 0 {
				l.Step = put
			}
		default:
			l.State, l.held = license.Returned, x.holds(true)
		}
		if shows == container.Replaced || l.Withdrawn && shows != container.Here {
			l.State, l.held, l.Withdrawn = license.Gone, false, true
		}
	}
	old := license.Generation(0)
	for _, op := range gap {
		if op.Kind == container.Put && op.Generation < l.Generation {
			old = max(old, op.Generation)
		}
	}
	ordered := slices.ContainsFunc(r.orders, func(o order) bool { return o.kind == "kill" && o.license == i && o.generation >= old })
	if old > 0 && !ordered {
		r.orders = append(r.orders, order{kind: "kill", license: i, generation: old, seats: l.seats})
	}
}

// ends follows registry: what was ordered for the license before ends, and another
// generation's copies go from everywhere else.
func (x *exchange) ends(i int, shows container.Showing, g license.Generation) {
	l := x.b.licenses[i]
	for c := range x.b.logs {
		r := &x.b.logs[c]
		r.orders = slices.DeleteFunc(r.orders, func(o order) bool { return o.license == i && o.kind != "kill" })
	}
	if l.Withdrawn && shows == container.Here {
		r := x.record()
		r.orders = append(r.orders, order{kind: "withdraw", license: i, generation: g})
	}
	for c := range x.b.logs {
		if r := &x.b.logs[c]; g != l.Generation && c != x.c && r.had(i) {
			r.orders = append(r.orders, order{kind: "kill", license: i, generation: l.Generation, seats: l.seats})
		}
	}
}

// had reports whether a step of the container is about a license.
func (r record) had(i int) bool {
	return slices.ContainsFunc(r.steps, func(s step) bool {
		return slices.ContainsFunc(s.in.Step.Ops, func(o container.Op) bool { return o.License == licenseID(i) })
	})
}

// pastGap follows registry: the container knows the epoch for the first time.
func (x *exchange) pastGap() {
	r := x.record()
	if x.b.epoch <= 1 || !r.known || x.report.Epoch < x.b.epoch || r.epoch >= x.b.epoch {
		return
	}
	r.epoch = x.b.epoch
	for _, h := range x.report.Held {
		if l := x.b.licenses[licenseNumber(h.License)]; l.Generation == h.Generation && l.Holder != x.serial() {
			x.twice()
		}
	}
}

func (x *exchange) twice() {
	x.found = container.Finding{Standing: container.TwoLives, Reason: "what it holds is elsewhere for sure"}
	x.convict()
}

// release follows registry's desk: staff end the generation that is held back.
func (d *desk) release(i int) {
	l := &d.b.licenses[i]
	old := l.Generation
	l.Generation, l.held = d.raised(old, d.b.epoch), false
	for c := range d.b.logs {
		if d.b.logs[c].had(i) {
			d.order(serials[c], order{kind: "kill", license: i, generation: old, seats: l.seats})
		}
	}
}

// bringing is what a container that is ahead of a book would bring.
func (e *explorer) bringing(bookID int32, x box) (list []container.Brought) {
	b := e.books.all[bookID]
	r := b.logs[x.c]
	if b.epoch <= 1 || x.Number <= r.issued() || !e.rules.taken(x.Epoch >= b.epoch) {
		return nil
	}
	for _, k := range x.After(r.acked) {
		in := e.signed[string(k.Signed)]
		one := container.Brought{Step: in.Step, Signed: k.Signed, Bodies: map[container.Hash][]byte{}}
		j := 0
		for _, op := range in.Step.Ops {
			if op.Kind == container.Put {
				if h := x.Held[op.License]; h.Body == op.Body {
					one.Bodies[op.Body] = in.Bodies[j]
				}
				j++
			}
		}
		list = append(list, one)
	}
	return list
}

// unheard reports whether a book that came back has not heard of a container since.
func (b book) unheard(c int) bool { return b.epoch > 1 && b.logs[c].epoch < b.epoch }

// files are the updates that a server with one book may have made.
func (e *explorer) filesOfReturn(ids []int32, b book, x box) []int32 {
	for c, r := range b.logs {
		for acked := range r.top + 1 {
			for _, name := range []container.Nonce{{}, x.Asked} {
				u := update{Update: container.Update{Container: serials[c], Answers: name, Acked: acked, Time: 1, Epoch: b.epoch}}
				for last := max(acked, b.since[c]); last <= r.issued(); last++ {
					u.steps = nil
					for _, s := range r.steps[acked:last] {
						u.steps = append(u.steps, s.in)
					}
					u.Challenge = nil
					ids = append(ids, e.updates.id(u))
					if b.epoch > 1 && c == x.c && name != (container.Nonce{}) && x.Epoch < b.epoch { // of the fence
						u.Challenge = challengeFor(serials[c], acked)
						ids = append(ids, e.updates.id(u))
					}
				}
				if b.epoch > 1 && c == x.c && x.Number > r.issued() && name != (container.Nonce{}) { // to one that is ahead
					u.steps, u.Challenge = nil, challengeFor(serials[c], acked)
					ids = append(ids, e.updates.id(u))
				}
				if x.askedAt < acked && c == x.c && name != (container.Nonce{}) {
					u.steps, u.Challenge, u.Epoch = nil, challengeFor(serials[c], acked), max(1, x.Epoch)
					ids = append(ids, e.updates.id(u))
				}
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// returns is the loss of the server: the vendor makes a back-up once, at any time, and
// goes back to it once.
func (e *explorer) returns(w world, yield func(action, world, []string)) {
	switch {
	case !e.comeback || w.lost != 0:
	case w.saved == 0:
		n := w
		n.saved = w.book + 1
		yield(action{kind: "a back-up is made"}, n, nil)
	case w.saved != w.book+1:
		n := w
		n.book, n.lost, n.saved = e.books.id(e.rules.comesBack(e.books.all[w.saved-1])), w.book+1, 0
		yield(action{kind: "the server is lost, and comes back from the back-up"}, n, nil)
	}
}

// wayOut reports whether a container that is honest gets on after the server came
// back: five contacts show where it is, nobody is accused, what it holds counts, and
// what is held back can be had by it once staff have released it (Inv17).
func (e *explorer) wayOut(w world) bool {
	c := e.boxes.all[w.boxes[0]].c
	for range 5 {
		w = e.contact(w)
	}
	b, x := e.books.all[w.book], e.boxes.all[w.boxes[0]]
	if r := b.logs[c]; r.flag.reason != "" || r.known && r.acked != x.Number || r.known && x.Epoch < b.epoch {
		return false
	}
	for i, l := range b.licenses {
		held, has := x.Held[licenseID(i)]
		switch {
		case has && (held.Generation != l.Generation || l.Holder != serials[c]):
			return false
		case l.Holder == serials[c] && l.State.Held() && !(has && l.State == license.Collected):
			return false
		case !has && l.held && l.State.Available() && !l.Withdrawn && l.reserved == "":
			n := w
			n.book = e.decide(hand{"release", w.book, i}).to
			for range 2 {
				n = e.asks(n, wish("activate "+string(licenseID(i))))
			}
			got, has := e.boxes.all[n.boxes[0]].Held[licenseID(i)]
			if !has || got.Generation != e.books.all[n.book].licenses[i].Generation {
				return false
			}
		}
	}
	return true
}
