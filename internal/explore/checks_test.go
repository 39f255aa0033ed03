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
		holding := 0
		for c, s := range serials {
			held, ok := e.boxes.all[w.boxes[c]].Held[licenseID(i)]
			if !ok || w.wiped[c] {
				continue
			}
			out.when(held.Generation != l.Generation, "Inv6: %s holds generation %d of %s", s, held.Generation, licenseID(i))
			if w.cheated[c] {
				continue
			}
			holding++
			out.when(!l.State.Held(), "Inv5: %s can use %s, which is %s", s, licenseID(i), l.State)
			out.when(l.State.Held() && l.Holder != s, "Inv4: %s can use %s, which is with %s", s, licenseID(i), l.Holder)
		}
		out.when(holding > 1, "Inv4: both containers can use %s", licenseID(i))
		waits = waits || l.Holder != "" && w.wiped[containerNumber(l.Holder)]
	}
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

func containerNumber(s license.Serial) int { return slices.Index(serials[:], s) }

// checkLog compares one container with its record.
func (e *explorer) checkLog(out *breaches, w world, c int) {
	b := e.books.all[w.book]
	r, x, s := b.logs[c], e.boxes.all[w.boxes[c]], serials[c]
	out.when(r.acked > r.issued(), "Inv13: %s: acknowledged %d, issued %d", s, r.acked, r.issued())
	out.when(r.flag.reason != "" && !w.cheated[c], "Inv20: %s is honest and flagged: %s", s, r.flag.reason)
	if !w.cheated[c] {
		out.when(x.Number < r.acked || x.Number > r.issued(), "Inv13: %s is at step %d, acknowledged %d, issued %d", s, x.Number, r.acked, r.issued())
		out.when(x.Acked > r.acked, "Inv13: %s believes %d acknowledged, the record says %d", s, x.Acked, r.acked)
	}
	if x.Number <= r.issued() {
		held := fold(r.steps[:x.Number])
		for i := range b.licenses {
			_, has := x.Held[licenseID(i)]
			out.when(has != held[licenseID(i)], "Inv12: %s at step %d: holds %s: %t, by its steps %t", s, x.Number, licenseID(i), has, held[licenseID(i)])
		}
	}
	if r.known && r.flag.reason == "" && x.Number == r.acked && x.Life == r.life {
		for i, l := range b.licenses {
			_, has := x.Held[licenseID(i)]
			out.when(has && l.State.Available(), "Inv5: %s has shown that it holds %s, which is %s", s, licenseID(i), l.State)
			out.when(r.acked == r.issued() && has != (l.State == license.Collected && l.Holder == s), "settled: %s is in step; it holds %s: %t, the record says %s with %q", s, licenseID(i), has, l.State, l.Holder)
		}
	}
	if w.wiped[c] || r.flag.reason != "" {
		return
	}
	one := world{book: w.book, boxes: [2]int32{w.boxes[c]}, lives: [2]uint8{w.lives[c]}}
	switch {
	case !w.cheated[c]:
		out.when(!e.memo(one, e.getsOn), "Inv17: three contacts of %s leave a license neither usable nor free", s)
	case x.Number < r.acked:
		one.cheated[0] = true
		out.when(!e.memo(one, e.convicts), "R12: %s was rolled back from step %d to %d, and two contacts do not show it", s, r.acked, x.Number)
	}
}

// fold is what a container holds by its steps.
func fold(steps []step) map[license.ID]bool {
	held := map[license.ID]bool{}
	for _, s := range steps {
		for _, op := range s.in.Step.Ops {
			held[op.License] = op.Kind == container.Put
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
func (e *explorer) contact(w world) world {
	w.boxes[0] = e.ask(w.boxes[0])
	b := e.boxes.all[w.boxes[0]]
	h := e.handle(handleOf{w.book, e.boxes.id(b.letter()), b.Acked, pending, false})
	w.book = h.book
	w.boxes[0] = e.take(importOf{w.boxes[0], h.update, w.lives[0]}).box
	return w
}

// getsOn reports whether every license with the container is usable or free
// after three contacts.
func (e *explorer) getsOn(w world) bool {
	serial := serials[e.boxes.all[w.boxes[0]].c]
	before := e.books.all[w.book]
	for range 3 {
		w = e.contact(w)
	}
	after, x := e.books.all[w.book], e.boxes.all[w.boxes[0]]
	for i, l := range after.licenses {
		_, has := x.Held[licenseID(i)]
		if before.licenses[i].Holder == serial && l.State.Held() && !(l.State == license.Collected && has) {
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
	for i, l := range x.b.licenses {
		old := before.licenses[i]
		out.when(old.Holder != "" && old.Holder != x.serial() && old != l, "Inv18: a report of %s changed %s, which was with %s", x.serial(), licenseID(i), old.Holder)
		proven := x.report.Number >= old.Step && !slices.ContainsFunc(x.report.Held, func(h container.HeldLicense) bool { return h.License == licenseID(i) })
		out.when(old.State.Held() && !l.State.Held() && !proven, "Inv9: %s became %s without proof", licenseID(i), l.State)
	}
	if x.report.Number < was.acked && !x.found.Convicts() {
		same := x.b.clone()
		same.logs[x.c].challenge = was.challenge
		out.when(same.key() != before.key(), "Inv19: a report from step %d changed the record, acknowledged %d", x.report.Number, was.acked)
	}
	out.when(x.found.Convicts() && is.acked != was.acked, "R13: a report that convicts confirmed step %d", is.acked)
	for _, s := range is.steps[len(was.steps):] {
		x.checkStep(&out, before, s.in.Step)
	}
	return out
}

// checkStep holds a new step to the rules on its content.
func (x *exchange) checkStep(out *breaches, before book, s container.Step) {
	out.when(len(s.Ops) == 0, "Inv14: an empty step")
	out.when(!slices.IsSortedFunc(s.Ops, func(a, b container.Op) int { return int(a.Phase) - int(b.Phase) }), "Inv14: a step out of order")
	dropped := map[license.ID]bool{}
	put := false
	for _, op := range s.Ops {
		i := licenseNumber(op.License)
		put = put || op.Kind == container.Put
		dropped[op.License] = op.Kind == container.Drop
		user := op.Phase == container.Return || op.Phase == container.Activate
		out.when(x.again && user, "Inv16: a repeated report was decided again: %s %s", op.Kind, op.License)
		out.when(op.Kind == container.Put && before.licenses[i].Withdrawn, "Inv15: %s is put although its withdrawal is ordered", op.License)
	}
	out.when(put && x.record().flag.reason != "", "R13: a flagged container gets a license")
	for i, l := range before.licenses {
		waits := l.Withdrawn && l.Holder == x.serial() && (l.State == license.Collecting || l.State == license.Collected)
		out.when(put && waits && !dropped[licenseID(i)], "Inv15: a license is put while the withdrawal of %s waits", licenseID(i))
	}
}
