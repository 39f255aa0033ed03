package explore

import (
	"fmt"
	"slices"

	"licet/container"
	"licet/license"
)

// desk is what the vendor's people decide about, as registry's desk does.
type desk struct {
	*rules
	b     book
	fault string
}

// move follows registry's desk: the license leaves the user, or is with the vendor.
func (d *desk) move(i int, event license.Event) {
	l := &d.b.licenses[i]
	next, no := d.next(l.State, event)
	if no != nil {
		d.fault = fmt.Sprintf("life: %s in state %s cannot take %s", licenseID(i), l.State, event)
		return
	}
	l.State, l.Holder, l.Step = next, "", 0
}

func (d *desk) order(holder license.Serial, o order) {
	r := &d.b.logs[containerNumber(holder)]
	r.orders = append(r.orders, o)
}

// dropOrders ends what was ordered for a license before; kills stay.
func (d *desk) dropOrders(i int) {
	for c := range d.b.logs {
		r := &d.b.logs[c]
		r.orders = slices.DeleteFunc(r.orders, func(o order) bool {
			mine := o.license == i && o.moving()
			if mine && o.kind == "replace" {
				d.b.licenses[o.with].reserved = ""
			}
			return mine
		})
	}
}

// withdraw is the vendor's order to withdraw a license.
func (d *desk) withdraw(i int) {
	l := &d.b.licenses[i]
	l.Withdrawn = true
	if l.State.Held() {
		d.order(l.Holder, order{kind: "withdraw", license: i, generation: l.Generation})
		return
	}
	d.move(i, license.Withdrawn)
	l.held = false
}

// replace is the vendor's order to put another license in the place of one.
func (d *desk) replace(i int) {
	d.b.licenses = append(d.b.licenses, newUnit())
	with := len(d.b.licenses) - 1
	l := &d.b.licenses[i]
	l.Withdrawn, l.with = true, with+1
	if !l.State.Held() {
		d.move(i, license.Withdrawn)
		return
	}
	d.b.licenses[with].reserved = d.reserves(l.Holder)
	d.order(l.Holder, order{kind: "replace", license: i, generation: l.Generation, with: with})
}

// add follows registry's AddUnits, with one unit.
func (d *desk) add(i int) {
	l := &d.b.licenses[i]
	l.units++
	if l.State != license.Collecting && l.State != license.Collected {
		return
	}
	d.dropChange(i)
	d.order(l.Holder, order{kind: "change", license: i, generation: l.Generation})
}

func (d *desk) dropChange(i int) {
	for c := range d.b.logs {
		r := &d.b.logs[c]
		r.orders = slices.DeleteFunc(r.orders, func(o order) bool { return o.license == i && o.kind == "change" })
	}
}

// moving reports whether an order is one that a later decision ends.
func (o order) moving() bool { return o.kind != "kill" && o.kind != "change" }

// mayTakeBack reports whether something is ordered for a license that no step
// carries.
func (b book) mayTakeBack(i int) bool {
	some := false
	for _, r := range b.logs {
		for _, o := range r.orders {
			if o.license == i && o.moving() {
				if o.step != 0 {
					return false
				}
				some = true
			}
		}
	}
	return some
}

// takeBack is the vendor who changes his mind; what was to come is gone.
func (d *desk) takeBack(i int) {
	l := &d.b.licenses[i]
	if l.with != 0 {
		with := &d.b.licenses[l.with-1]
		with.Withdrawn, with.reserved = true, ""
		d.move(l.with-1, license.Withdrawn)
	}
	for c := range d.b.logs {
		r := &d.b.logs[c]
		r.orders = slices.DeleteFunc(r.orders, func(o order) bool { return o.license == i && o.moving() })
	}
	l.Withdrawn, l.with = false, 0
}

// restore follows registry's restore, approved by whoever may.
func (d *desk) restore(i int) {
	l := &d.b.licenses[i]
	old, holder := l.Generation, l.Holder
	event := d.lost(l.Placement)
	d.dropOrders(i)
	d.dropChange(i)
	l.used = d.kept(l.used)
	var serials []license.Serial
	for c, r := range d.b.logs {
		if slices.ContainsFunc(r.steps, func(s step) bool {
			return slices.ContainsFunc(s.in.Step.Ops, func(o container.Op) bool {
				return o.License == licenseID(i)
			})
		}) {
			serials = append(serials, containerSerial(c))
		}
	}
	d.move(i, event)
	l.Generation = d.raised(old, d.b.epoch)
	for _, s := range d.killed(serials, holder) {
		d.order(s, order{kind: "kill", license: i, generation: old, seats: l.seats})
	}
}

func containerSerial(c int) license.Serial { return serials[c] }

// restores is how many restores there were.
func (b book) restores() (n uint8) {
	for _, l := range b.licenses {
		if l.Generation > epochAfter {
			n += uint8(l.Generation) - epochAfter
		} else {
			n += uint8(l.Generation) - 1
		}
	}
	return n
}

// kills reports whether a copy of a license that the container c has, at step
// number, is to go: by an order or by a step it has not applied. That it was
// returned once does not count: a copy that was put back is not gone.
func (b book) kills(c, i int, g license.Generation, number uint64) bool {
	r := b.logs[c]
	if slices.ContainsFunc(r.orders, func(o order) bool {
		return o.kind == "kill" && o.license == i && o.generation >= g && o.step == 0
	}) {
		return true
	}
	for _, s := range r.steps[min(number, r.issued()):] {
		for _, op := range s.in.Step.Ops {
			counts := op.Phase == container.Withdraw || s.in.Step.Number > r.acked
			if counts && op.Kind == container.Drop && op.License == licenseID(i) && op.Generation >= g {
				return true
			}
		}
	}
	return false
}

// hand is one decision of the vendor's people; what it leads to is computed once
// for each book.
type hand struct {
	kind string
	book int32
	i    int // license or container
}

func (e *explorer) decide(of hand) move {
	m, ok := e.decided[of]
	if !ok {
		d := &desk{rules: &e.rules, b: e.books.all[of.book].clone()}
		switch of.kind {
		case "withdraw":
			d.withdraw(of.i)
		case "replace":
			d.replace(of.i)
		case "cancel":
			d.takeBack(of.i)
		case "restore":
			d.restore(of.i)
		case "add":
			d.add(of.i)
		case "release":
			d.release(of.i)
		case "block", "unblock":
			d.b.logs[of.i].blocked = of.kind == "block"
		}
		m = move{action{kind: of.kind, c: of.i}, e.books.id(d.b), nil}
		if d.fault != "" {
			m.broken = []string{d.fault}
		}
		e.decided[of] = m
	}
	return m
}

// unitsOf is how many units there are.
func (b book) unitsOf() (n int64) {
	for _, l := range b.licenses {
		n += l.units
	}
	return n
}

// asked follows registry: units of a license are asked back by a step that is not
// proven.
func (b book) asked(i int) bool {
	for c, r := range b.logs {
		x := exchange{b: b, c: c}
		if l := b.licenses[i]; l.Holder == serials[c] && r.known && x.unitsBack(i) > 0 {
			return true
		}
	}
	return false
}

// decisions is what the vendor's people can do.
func (e *explorer) decisions(bookID int32) (out moves) {
	b := e.books.all[bookID]
	for i, l := range b.licenses {
		if l.held && l.State.Available() {
			out = append(out, e.decide(hand{"release", bookID, i}))
		}
		if i == 0 && !l.Withdrawn && l.State != license.Gone && e.withdraws {
			out = append(out, e.decide(hand{"withdraw", bookID, i}))
		}
		if i == 0 && !l.Withdrawn && l.State != license.Gone && e.replaces && len(b.licenses) == 1 {
			out = append(out, e.decide(hand{"replace", bookID, i}))
		}
		if i == 0 && !l.Withdrawn && l.State != license.Gone && l.units > 0 && b.unitsOf() < e.units+int64(e.adds) && !b.asked(i) {
			out = append(out, e.decide(hand{"add", bookID, i}))
		}
		if e.cancels && b.mayTakeBack(i) {
			out = append(out, e.decide(hand{"cancel", bookID, i}))
		}
		if l.State.Held() && b.restores() < e.restores {
			out = append(out, e.decide(hand{"restore", bookID, i}))
		}
	}
	if r := b.logs[0]; e.blocks && r.known {
		kind := "block"
		if r.blocked {
			kind = "unblock"
		}
		out = append(out, e.decide(hand{kind, bookID, 0}))
	}
	return out
}

// restoreHelps reports whether a license whose machine is gone can be used in
// another container after one restore, or is gone because its withdrawal was
// ordered (Inv17).
func (e *explorer) restoreHelps(book int32, i int, box int32, life uint8) bool {
	key := helpOf{book, box, i, life}
	yes, ok := e.helped[key]
	if !ok {
		yes = e.helps(key)
		e.helped[key] = yes
	}
	return yes
}

func (e *explorer) helps(of helpOf) bool {
	was := e.books.all[of.book].licenses[of.i]
	m := e.decide(hand{"restore", of.book, of.i})
	after := e.books.all[m.to]
	if l := after.licenses[of.i]; len(m.broken) > 0 || was.Withdrawn != (l.State == license.Gone) || !was.Withdrawn && !l.State.Available() {
		return false
	}
	if was.with != 0 {
		if l := after.licenses[was.with-1]; l.State.Available() && l.reserved != "" {
			return false
		}
	}
	c := e.boxes.all[of.box].c
	if r := after.logs[c]; was.Withdrawn || r.flag.reason != "" || r.blocked {
		return true
	}
	w := world{book: m.to, boxes: [2]int32{of.box}, lives: [2]uint8{of.life}}
	for range 2 { // the first may be behind the record's challenge
		w = e.asks(w, wish("activate "+string(licenseID(of.i))))
	}
	held, has := e.boxes.all[w.boxes[0]].Held[licenseID(of.i)]
	return has && held.Generation == e.books.all[w.book].licenses[of.i].Generation
}

type helpOf struct {
	book, box int32
	i         int
	life      uint8
}
