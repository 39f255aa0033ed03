package explore

import (
	"fmt"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// breaches collects what is broken, each text beginning with the rule's name.
type breaches []string

func (b *breaches) when(broken bool, format string, args ...any) {
	if broken {
		*b = append(*b, fmt.Sprintf(format, args...))
	}
}

// check holds a world to the invariants. It also reports whether a license waits
// in a wiped machine for its restore.
func (e *explorer) check(w world) (out breaches, waits bool) {
	b := e.books.all[w.book]
	for i, l := range b.licenses {
		out.when(l.State.Held() != (l.Holder != ""), "Inv1: %s is %s and with %q", licenseID(i), l.State, l.Holder)
		out.when(l.Withdrawn && l.State.Available(), "Inv9: %s is withdrawn and can be activated", licenseID(i))
		holding, copies := 0, 0
		for c, s := range serials {
			x := e.boxes.all[w.boxes[c]]
			held, ok := x.Held[licenseID(i)]
			if !ok || w.wiped[c] {
				continue
			}
			if b.unheard(c) {
				continue // nobody knows what it has
			}
			out.when(held.Generation > l.Generation, "Inv7: %s holds generation %d of %s, which has come to %d", s, held.Generation, licenseID(i), l.Generation)
			settled := b.logs[c].flag.reason != "" || b.logs[c].blocked
			out.when(held.Generation < l.Generation && !settled && !b.kills(c, i, held.Generation, x.Number),
				"Inv6: %s holds generation %d of %s, and nothing is under way to remove it", s, held.Generation, licenseID(i))
			if w.cheated[c] {
				continue
			}
			copies++
			if held.Generation != l.Generation {
				continue
			}
			holding++
			out.when(!l.State.Held(), "Inv5: %s can use %s, which is %s", s, licenseID(i), l.State)
			out.when(l.State.Held() && l.Holder != s, "Inv4: %s can use %s, which is with %s", s, licenseID(i), l.Holder)
			if l.with != 0 {
				out.when(e.usable(w, l.with-1) && b.notProvenGone(l.with-1) == 0, "Inv3: %s can use %s, and the license in its place can be used as well", s, licenseID(i))
			}
		}
		out.when(holding > 1 || e.twice(w, i), "Inv4: both containers can use %s", licenseID(i))
		out.when(copies > 1+b.notProvenGone(i), "Inv8: %d copies of %s can be used, and %d lost ones are not proven gone", copies, licenseID(i), b.notProvenGone(i))
		for c := range serials {
			for _, seat := range e.boxes.all[w.boxes[c]].lent {
				lent := licenseNumber(seat.License) == i && seat.Generation == l.Generation && !w.wiped[c] && !w.cheated[c]
				out.when(lent && l.State.Available(), "Inv31: %s can be activated again, and a seat of it is out of %s", licenseID(i), serials[c])
			}
		}
		if l.Holder == "" || w.lost != 0 {
			continue // after a return, wayOut looks for it
		}
		if gone := containerNumber(l.Holder); w.wiped[gone] || e.restores > 0 {
			waits = waits || w.wiped[gone]
			if other := 1 - gone; !w.wiped[other] && !w.cheated[other] {
				out.when(!e.restoreHelps(w.book, i, w.boxes[other], w.lives[other]), "Inv17: %s is lost with %s, and one restore does not help", licenseID(i), l.Holder)
			}
		}
	}
	e.checkSeats(&out, w)
	e.checkUnits(&out, w)
	for c := range w.boxes {
		one := world{book: w.book, boxes: [2]int32{w.boxes[c]}, lives: [2]uint8{w.lives[c]}, wiped: [2]bool{w.wiped[c]}, cheated: [2]bool{w.cheated[c]}}
		log, ok := e.checked[one]
		if !ok {
			e.checkLog(&log, w, c)
			e.checked[one] = log
		}
		out = append(out, log...)
	}
	return out, waits
}

// checkSeats holds the seats of a license in parts to the invariants: none is lost or
// added, none is free and usable, and nobody has more than he asked for.
func (e *explorer) checkSeats(out *breaches, w world) {
	if e.more == 0 {
		return
	}
	b := e.books.all[w.book]
	sold := int64(e.licenses) * (1 + e.more)
	var all, free, lost, within, usable, copies int64
	for i, l := range b.licenses {
		all += l.seats
		if l.State.Available() {
			free += l.seats
		}
		out.when(l.merged == "" && l.seats < 1 || l.merged != "" && (l.seats != 0 || l.State != license.Gone), "Inv3: %s has %d seats, and is %s", licenseID(i), l.seats, l.State)
	}
	for _, r := range b.logs {
		for _, o := range r.orders {
			if o.kind == "kill" {
				lost += o.seats
			}
			if o.kind == "kill" && !r.puts(o.license) { // it was a part of what is there, and is on its way out
				within += o.seats
			}
		}
	}
	for c, s := range serials {
		if w.wiped[c] || w.cheated[c] {
			continue
		}
		var mine int64
		x := e.boxes.all[w.boxes[c]]
		for i, l := range b.licenses {
			n := x.seatsOf(licenseID(i))
			copies += n
			if x.Held[licenseID(i)].Generation == l.Generation {
				mine += n
			}
		}
		usable += mine
		out.when(mine > 1 && !e.whole, "Inv16: %s can use %d seats, and has never asked for more than one", s, mine)
	}
	out.when(all != sold, "Inv3: the book has %d seats of %d that were sold", all, sold)
	out.when(free+usable > sold+within, "Inv5: %d seats are free and %d can be used, of %d that were sold", free, usable, sold)
	out.when(copies > sold+lost, "Inv8: %d seats can be used, of %d that were sold and %d that are lost and not proven gone", copies, sold, lost)
}

// checkUnits holds the units of a license, and of its parts, to the invariants: no more
// are used than there are, none is lost or added, and nobody has more than he asked
// for.
func (e *explorer) checkUnits(out *breaches, w world) {
	if e.units == 0 {
		return
	}
	b := e.books.all[w.book]
	var all, used int64
	for i, l := range b.licenses {
		all += l.units
		used += l.used
		out.when((l.merged == "") != (l.units > 0), "Inv3: %s has %d units, and is %s", licenseID(i), l.units, l.State)
		out.when(l.used > l.units, "Inv41: the record has %d units used of %s, which has %d", l.used, licenseID(i), l.units)
	}
	out.when(int64(w.spent-w.excess) > all && !w.cheated[0] && !w.cheated[1], "Inv41: %d units were used and %d of them lost with a copy; there are %d", w.spent, w.excess, all)
	out.when(used > int64(w.spent), "Inv41: the record has %d units used, and %d were", used, w.spent)
	if !e.shares || e.whole {
		return
	}
	for c, s := range serials {
		var got int64
		for id, h := range e.boxes.all[w.boxes[c]].Held {
			got += b.logs[c].steps[h.Step-1].units[id] - b.logs[c].base(id, h.Generation)
		}
		out.when(got > 1, "Inv16: %s has got %d units, and has never asked for more than one", s, got)
	}
}

// puts reports whether a container was ever given a license under its own name.
func (r record) puts(i int) bool {
	return slices.ContainsFunc(r.steps, func(s step) bool {
		return slices.ContainsFunc(s.in.Step.Ops, func(o container.Op) bool { return o.Kind == container.Put && o.License == licenseID(i) })
	})
}

// usable reports whether an honest container can use the current generation of a
// license.
func (e *explorer) usable(w world, i int) bool {
	for c := range serials {
		held, ok := e.boxes.all[w.boxes[c]].Held[licenseID(i)]
		if ok && !w.wiped[c] && !w.cheated[c] && held.Generation == e.books.all[w.book].licenses[i].Generation {
			return true
		}
	}
	return false
}

// notProvenGone counts the lost generations of a license whose removal is ordered
// or issued and not yet proven.
func (b book) notProvenGone(i int) int {
	open := map[license.Generation]bool{}
	for _, r := range b.logs {
		for _, o := range r.orders {
			if o.kind == "kill" && o.license == i {
				open[o.generation] = true
			}
		}
	}
	return len(open)
}

// twice reports whether both containers have the same generation of a license.
func (e *explorer) twice(w world, i int) bool {
	a, hasA := e.boxes.all[w.boxes[0]].Held[licenseID(i)]
	b, hasB := e.boxes.all[w.boxes[1]].Held[licenseID(i)]
	return e.comeback && hasA && hasB && a.Generation == b.Generation
}

func containerNumber(s license.Serial) int { return slices.Index(serials[:], s) }

// checkLog compares one container with its record.
func (e *explorer) checkLog(out *breaches, w world, c int) {
	b := e.books.all[w.book]
	r, x, s := b.logs[c], e.boxes.all[w.boxes[c]], serials[c]
	out.when(r.acked > r.issued(), "Inv13: %s: acknowledged %d, issued %d", s, r.acked, r.issued())
	out.when(r.flag.reason != "" && !w.cheated[c], "Inv20: %s is honest and flagged: %s", s, r.flag.reason)
	if b.epoch > 1 {
		one := world{book: w.book, boxes: [2]int32{w.boxes[c]}}
		out.when(r.flag.reason == "" && !e.memo(one, e.wayOut), "Inv17: after the return, five contacts of %s leave it, or a license, without a way out", s)
		return
	}
	if !w.cheated[c] {
		out.when(x.Number < r.acked || x.Number > r.issued(), "Inv13: %s is at step %d, acknowledged %d, issued %d", s, x.Number, r.acked, r.issued())
		out.when(x.Acked > r.acked, "Inv13: %s believes %d acknowledged, the record says %d", s, x.Acked, r.acked)
	}
	if x.Number <= r.issued() {
		held := fold(r.steps[:x.Number])
		for i := range b.licenses {
			has := x.Held[licenseID(i)].Generation
			out.when(has != held[licenseID(i)], "Inv12: %s at step %d: holds generation %d of %s, by its steps %d", s, x.Number, has, licenseID(i), held[licenseID(i)])
		}
	}
	if r.known && r.flag.reason == "" && x.Number == r.acked && x.Life == r.life {
		for i, l := range b.licenses {
			has := x.Held[licenseID(i)].Generation == l.Generation
			out.when(has && l.State.Available(), "Inv5: %s has shown that it holds %s, which is %s", s, licenseID(i), l.State)
			out.when(r.acked == r.issued() && has != (l.State == license.Collected && l.Holder == s), "settled: %s is in step; it holds %s: %t, the record says %s with %q", s, licenseID(i), has, l.State, l.Holder)
		}
		out.when(r.acked == r.issued() && x.Locked != r.closed, "settled: %s is in step; it is locked: %t, the record says %t", s, x.Locked, r.closed)
	}
	if w.wiped[c] || r.flag.reason != "" {
		return
	}
	one := world{book: w.book, boxes: [2]int32{w.boxes[c]}, lives: [2]uint8{w.lives[c]}}
	if e.units > 0 {
		out.when(!e.recounts(one), "Inv42: %s makes contact, and knows of fewer units used than the record", s)
	}
	switch {
	case !w.cheated[c]:
		out.when(!e.memo(one, e.getsOn), "Inv17: three contacts of %s leave a license neither usable nor free", s)
	case x.Number < r.acked:
		one.cheated[0] = true
		out.when(!e.memo(one, e.convicts), "R12: %s was rolled back from step %d to %d, and two contacts do not show it", s, r.acked, x.Number)
	}
}

// fold is what a container holds by its steps: generations by license.
func fold(steps []step) map[license.ID]license.Generation {
	held := map[license.ID]license.Generation{}
	for _, s := range steps {
		for _, op := range s.in.Step.Ops {
			if op.Kind == container.Put {
				held[op.License] = op.Generation
			} else if held[op.License] <= op.Generation {
				delete(held, op.License)
			}
		}
	}
	return held
}

func (e *explorer) memo(w world, answer func(world) bool) bool {
	yes, ok := e.shown[w]
	if !ok {
		yes = answer(w)
		e.shown[w] = yes
	}
	return yes
}

// contact is a user who asks, hands the report over and imports the answer. No
// older file is used: all may be lost.
func (e *explorer) contact(w world) world { return e.asks(w, pending) }

func (e *explorer) asks(w world, what wish) world {
	w.boxes[0] = e.ask(w.boxes[0])
	b := e.boxes.all[w.boxes[0]]
	h := e.handle(handleOf{w.book, e.boxes.id(b.letter()), b.Acked, what, false, e.bringing(w.book, b) != nil})
	w.book = h.book
	w.boxes[0] = e.take(importOf{w.boxes[0], h.update, w.lives[0]}).box
	return w
}

// getsOn reports whether three contacts make every license with the container
// usable or free, remove every copy of it that does not count any more, carry out
// what the vendor has ordered, and leave it closed only if it is blocked.
func (e *explorer) getsOn(w world) bool {
	c := e.boxes.all[w.boxes[0]].c
	before := e.books.all[w.book]
	if x := e.boxes.all[w.boxes[0]]; len(x.lent) > 0 { // what is lent ends
		x.lent = nil
		w.boxes[0] = e.boxes.id(x)
	}
	for range 3 {
		w = e.contact(w)
	}
	after, x := e.books.all[w.book], e.boxes.all[w.boxes[0]]
	r := after.logs[c]
	for i, l := range after.licenses {
		held, has := x.Held[licenseID(i)]
		if has && held.Generation != l.Generation {
			return false
		}
		mine := i < len(before.licenses) && before.licenses[i].Holder == serials[c]
		if mine && l.State.Held() && !(l.State == license.Collected && has) {
			return false
		}
	}
	waits := slices.ContainsFunc(r.orders, func(o order) bool { return !r.blocked || o.kind != "replace" })
	return !waits && x.Locked == r.blocked
}

// recounts reports whether after a contact the container knows of as many units used
// as the record, unless it was found to contradict it.
func (e *explorer) recounts(w world) bool {
	c := e.boxes.all[w.boxes[0]].c
	w = e.contact(w)
	b, x := e.books.all[w.book], e.boxes.all[w.boxes[0]]
	for i, l := range b.licenses {
		held, has := x.Held[licenseID(i)]
		mine := has && b.logs[c].flag.reason == "" && held.Generation == l.Generation && l.Holder == serials[c] && x.Number >= b.logs[c].acked
		if mine && x.Counters[licenseID(i)].Used < l.used {
			return false
		}
	}
	return true
}

func (e *explorer) convicts(w world) bool {
	c := e.boxes.all[w.boxes[0]].c
	w = e.contact(e.contact(w))
	return e.books.all[w.book].logs[c].flag.reason != ""
}

// checkImport holds one import to the rules.
func (e *explorer) checkImport(b, after box, u update, no *refusal.Refusal, life uint8) (out breaches) {
	out.when(no != nil && after.key() != b.key(), "Inv16: a refused import changed %s", b.Serial)
	out.when(u.Container != b.Serial && (no == nil || no.Code != refusal.WrongContainer), "R20: %s took an update for %s", b.Serial, u.Container)
	out.when(after.Number < b.Number, "Inv11: %s went from step %d to %d", b.Serial, b.Number, after.Number)
	if no == nil {
		fresh := slices.DeleteFunc(slices.Clone(u.steps), func(i container.Incoming) bool { return i.Step.Number <= b.Number })
		out.when(after.Number != b.Number+uint64(len(fresh)), "Inv11: %s went from step %d to %d with %d steps", b.Serial, b.Number, after.Number, len(fresh))
	}
	twice, _ := e.apply(after, u, life)
	out.when(twice.key() != after.key(), "Inv16: %s imports an update twice, and the second time changes it", b.Serial)
	return out
}

func (x *exchange) faults() []string {
	if x.fault == "" {
		return nil
	}
	return []string{"life: " + x.fault}
}

// checkHandled holds one exchange to the rules.
func (e *explorer) checkHandled(before book, x *exchange) (out breaches) {
	out = x.faults()
	was, is := before.logs[x.c], x.b.logs[x.c]
	out.when(!slices.EqualFunc(was.steps, is.steps[:len(was.steps)], func(a, b step) bool { return a.plan == b.plan }), "Inv10: a step changed")
	var units, used int64 // more than before
	for i, l := range x.b.licenses {
		if i >= len(before.licenses) { // split off by this exchange
			units, used = units+l.units, used+l.used
			continue
		}
		old := before.licenses[i]
		units, used = units+l.units-old.units, used+l.used-old.used
		out.when(l.used < old.used && l.merged == "", "Inv42: a report took units used of %s from %d to %d", licenseID(i), old.used, l.used)
		if x.brought > 0 {
			continue // it says where the license is
		}
		out.when(old.Generation != l.Generation, "Inv7: an exchange changed the generation of %s", licenseID(i))
		out.when(old.Holder != "" && old.Holder != x.serial() && old != l, "Inv18: a report of %s changed %s, which was with %s", x.serial(), licenseID(i), old.Holder)
		proven := x.report.Number >= old.Step && !slices.ContainsFunc(x.report.Held, func(h container.HeldLicense) bool {
			return h == container.HeldLicense{License: licenseID(i), Generation: old.Generation}
		})
		out.when(old.State.Held() && !l.State.Held() && !proven, "Inv9: %s became %s without proof", licenseID(i), l.State)
	}
	out.when(units != 0, "Inv3: an exchange made the units %d more", units)
	out.when(used < 0, "Inv42: an exchange made the units used %d more", used)
	if x.report.Number < was.acked && !x.found.Convicts() {
		same := x.b.clone()
		same.logs[x.c].challenge = was.challenge
		out.when(same.key() != before.key(), "Inv19: a report from step %d changed the record, acknowledged %d", x.report.Number, was.acked)
	}
	out.when(x.found.Convicts() && is.acked != was.acked, "R13: a report that convicts confirmed step %d", is.acked)
	if x.brought > 0 {
		before = x.then
	}
	for _, s := range is.steps[len(was.steps)+x.brought:] {
		x.checkStep(&out, before, s.in.Step)
	}
	return out
}

// checkStep holds a new step to the rules on its content.
func (x *exchange) checkStep(out *breaches, before book, s container.Step) {
	out.when(len(s.Ops) == 0 && s.Lock == container.Unchanged, "Inv14: an empty step")
	out.when(!slices.IsSortedFunc(s.Ops, func(a, b container.Op) int { return int(a.Phase) - int(b.Phase) }), "Inv14: a step out of order")
	dropped := map[license.ID]bool{}
	removed := map[license.ID]license.Generation{}
	put := false
	for _, op := range s.Ops {
		i := licenseNumber(op.License)
		put = put || op.Kind == container.Put
		dropped[op.License] = op.Kind == container.Drop
		user := op.Phase == container.Return || op.Phase == container.Activate
		l := x.b.licenses[i] // split off by this step
		if i < len(before.licenses) {
			l = before.licenses[i]
		}
		if op.Kind == container.Drop {
			removed[op.License] = max(removed[op.License], op.Generation)
			out.when(op.Generation >= l.Generation && l.Holder != x.serial(), "R14: a step of %s removes generation %d of %s, which is with %q", x.serial(), op.Generation, op.License, l.Holder)
		}
		out.when(op.Kind == container.Put && op.Generation != l.Generation, "R14: generation %d of %s is put, which has come to %d", op.Generation, op.License, l.Generation)
		out.when(x.again && user, "Inv16: a repeated report was decided again: %s %s", op.Kind, op.License)
		out.when(op.Kind == container.Put && l.Withdrawn, "Inv15: %s is put although its withdrawal is ordered", op.License)
	}
	out.when(put && x.record().flag.reason != "", "R13: a flagged container gets a license")
	out.when(put && x.record().blocked, "R14: a blocked container gets a license")
	for _, o := range before.logs[x.c].orders {
		waits := o.kind == "kill" && o.step == 0
		out.when(put && waits && removed[licenseID(o.license)] < o.generation, "Inv15: a license is put while the removal of generation %d of %s waits", o.generation, licenseID(o.license))
	}
	for i, l := range before.licenses {
		waits := l.Withdrawn && l.Holder == x.serial() && (l.State == license.Collecting || l.State == license.Collected)
		out.when(put && waits && !dropped[licenseID(i)], "Inv15: a license is put while the withdrawal of %s waits", licenseID(i))
	}
}
