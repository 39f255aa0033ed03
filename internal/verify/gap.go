package verify

import (
	"fmt"
	"slices"

	"licet/internal/store"
)

// bringing is what events say that a license has because the record came back from a
// back-up.
type bringing struct {
	Operations []string // kind, step and generation
	Shows      string
	Done       []string // orders of the container that its log shows to be carried out
	EndedIn    []string `json:"ended_in"` // containers from which the generation before is to go
	Listed     int64    // the generation that an entry of the block list names
	Kill       int64    // the generation of a copy that is to go from the container
	HeldBack   string   `json:"held_back"`
	Withdrawn  bool     `json:"is_withdrawn"`
	Again      bool     // its withdrawal is ordered where it is now
	Change     bool     // it is to be put again there, as it is by now
	Position   string
	Holder     string
}

// ending is the end of a generation that was brought or released.
type ending struct {
	event, by  string // by a container that shows by itself what it holds
	generation int64
}

// withdrawnBefore is the reason of a withdrawal that follows a license.
const withdrawnBefore = "its withdrawal was ordered before the container brought it"

// changedBefore is the reason to put a license again where it was brought from.
const changedBefore = "it was changed before the container brought it"

// unclaimed is the position of a license that was brought back before its order.
func unclaimed(product string) string { return "brought back " + product }

// gapsAfter are those that opened after an event.
func (v *run) gapsAfter(event string) []gap {
	i := slices.IndexFunc(v.gaps, func(g gap) bool { return g.event > event })
	if i < 0 {
		return nil
	}
	return v.gaps[i:]
}

// holding are those that hold licenses back: not where the record came back whole.
func holding(gaps []gap) []gap {
	if !slices.ContainsFunc(gaps, func(g gap) bool { return g.whole > 0 }) {
		return gaps
	}
	return slices.DeleteFunc(slices.Clone(gaps), func(g gap) bool { return g.whole > 0 })
}

// heldBack is why a license is held back that was with the vendor at the back-up.
const heldBack = "back_up"

// holdBack follows the beginning of a gap.
func (l *life) holdBack() {
	if withVendor(l.state) && l.held == "" {
		l.held = heldBack
	}
}

func isGap(name string) bool {
	return slices.Contains([]string{"license_brought", "license_released", "hold_lifted", "license_claimed", "seats_brought", "copy_ended"}, name)
}

// fitsGap says whether an event may follow what was before it.
func (l *life) fitsGap(e store.SubjectEvent, d licenseDetails, held string) bool {
	switch e.Name {
	case "license_brought":
		return e.Find("container") != "" && d.From == l.state && number(d.Was) == l.generation && d.Generation >= number(d.Was) && d.Used >= l.used && d.Units >= l.units
	case "license_released":
		return withVendor(l.state) && held != "" && number(d.Was) == l.generation && d.Generation > number(d.Was)
	case "hold_lifted":
		return held != ""
	case "copy_ended":
		return number(d.Was) == l.generation && d.Generation > number(d.Was)
	case "seats_brought":
		return d.Of != l.id || d.splitting.Had == l.seats && d.Left >= 0 && d.Left == l.seats-d.Seats
	}
	return l.item == "" && d.Position != ""
}

// gapEvent takes in one of them.
func (v *run) gapEvent(l *life, id string, e store.SubjectEvent, d licenseDetails) {
	where := e.Find("container")
	kill := func(container string, generation int64) {
		l.orders = append(l.orders, order{event: e.ID, kind: "kill", container: container, generation: generation, actor: e.Actor, reason: e.Reason, created: e.Time})
	}
	lists := func(generation int64, why string) {
		if d.List != 0 {
			v.lists(block{kind: "license", subject: id, generation: generation, added: d.List, reason: why, created: e.Time, event: e.ID})
		}
	}
	switch e.Name {
	case "hold_lifted":
		l.held = ""
		return
	case "license_claimed":
		l.item = d.Position
		return
	case "copy_ended":
		if l.generation = d.Generation; withContainer(l.state) && withVendor(d.To) {
			l.state, l.holder, l.held = d.To, "", d.HeldBack
		}
		return
	case "seats_brought":
		if l.activated == 0 {
			l.activated = int64(d.Activated)
		}
		if d.Of != id {
			l.seats += d.Seats
			return
		}
		if l.seats -= d.Seats; l.seats == 0 && d.Seats > 0 {
			l.state, l.holder, l.step, l.held, l.mergedInto = "gone", "", 0, "", d.Part
		}
		return
	case "license_released":
		for _, c := range d.Containers {
			kill(c, number(d.Was))
		}
		lists(number(d.Was), "released")
		for i := range l.orders {
			if l.orders[i].kind == "assign" {
				l.orders[i].generation = d.Generation
			}
		}
		l.generation, l.held = d.Generation, ""
		l.ended = append(l.ended, ending{event: e.ID, generation: number(d.Was)})
		return
	}
	for _, text := range d.Operations {
		var kind string
		var number, generation int64
		if n, _ := fmt.Sscan(text, &kind, &number, &generation); n != 3 {
			v.find("events", e.ID, "details", text, "", "it names no operation")
		}
		l.issued[issuedAs(kind, where, number, generation)] = true
		l.brought[issuedAs(kind, where, number, generation)] = true
	}
	for _, text := range d.Done {
		l.orders = slices.DeleteFunc(l.orders, func(o order) bool {
			return o.kind != "kill" && o.container == where && text == fmt.Sprint(o.kind, " ", o.generation)
		})
		for i, o := range l.orders {
			if o.kind == "kill" && o.container == where && text == fmt.Sprint("kill ", o.generation) {
				l.orders[i].step, l.orders[i].proven = 1, true // as all that was brought
			}
		}
	}
	if d.Shows == "here" || d.Shows == "back" || d.Shows == "taken" || d.Shows == "replaced" {
		l.dropOrders("change")
		l.dropOrders(moving...)
		l.reserved = ""
		if d.Generation > number(d.Was) {
			l.ended = append(l.ended, ending{event: e.ID, by: where, generation: number(d.Was)})
		}
	}
	for _, c := range d.EndedIn {
		kill(c, number(d.Was))
	}
	lists(d.Listed, "restored")
	if d.Kill != 0 {
		kill(where, d.Kill)
	}
	l.state, l.generation, l.step, l.held, l.activated, l.holder = d.To, d.Generation, d.Step, d.HeldBack, int64(d.Activated), ""
	if withContainer(d.To) {
		l.holder = d.Holder
	}
	if l.withdrawn = 0; d.Withdrawn {
		l.withdrawn = 1
	}
	l.units, l.used = d.Units, d.Used
	if d.Change {
		l.orders = append(l.orders, order{event: e.ID, kind: "change", container: where, generation: d.Generation, actor: e.Actor, reason: changedBefore, created: e.Time})
	}
	if d.Again {
		l.orders = append(l.orders, order{event: e.ID, kind: "withdraw", container: where, generation: d.Generation, actor: e.Actor, reason: withdrawnBefore, created: e.Time})
	}
}
