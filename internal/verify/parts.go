package verify

import (
	"encoding/json"
	"slices"
	"time"

	"licet/internal/store"
)

// instant is a moment in µs that JSON has as text; 0 for none.
type instant int64

func (i *instant) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil || text == nil {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, *text)
	*i = instant(at.UnixMicro())
	return err
}

// part is what the event of a split says of the license that began with it.
type part struct {
	Seats, Amount, Step                              int64 // Seats of one that was brought
	Activated                                        instant
	What, Whole, State, Container, Product, Position string
	HeldBack                                         string `json:"held_back"`
}

// splitting is what events about parts say beside the state.
type splitting struct {
	Seats                  int64 // of a license that was changed
	What                   string
	Amount, Had, Left, Now int64 // of seats or units, as What says
	Back, Asked            int64 // units that a container was to give back
	Whole, Of, Part, Into  string
	State                  string
	Activated              instant
}

// what is what a license is divided by.
func (l *life) what() string {
	if l.units > 0 {
		return "units"
	}
	return "seats"
}

// amount is how many seats or units a license has.
func (l *life) amount() int64 {
	if l.units > 0 {
		return l.units
	}
	return l.seats
}

// change adds to them.
func (l *life) change(n int64) {
	if l.units > 0 {
		l.units += n
	} else {
		l.seats += n
	}
}

// begins is where a license begins, and with how many seats or units.
func (l *life) begins(m *making, item string) {
	if m == nil {
		return
	}
	for i, it := range m.Items {
		if it.Position == item {
			l.seats, _ = m.terms[i]["seats"].(int64)
		}
	}
	if p := m.part; p.Whole != "" {
		l.state, l.holder, l.step, l.activated = p.State, p.Container, p.Step, int64(p.Activated)
		l.change(max(p.Amount, p.Seats) - l.amount()) // one of the two
	}
}

// alone reports whether nothing is ordered for a license that is with the vendor, so
// that its seats or units can move to another part or come from there.
func (l *life) alone() bool {
	return withVendor(l.state) && l.withdrawn == 0 && l.reserved == "" && !slices.ContainsFunc(l.orders, func(o order) bool { return !o.proven })
}

// removed notes that the removal of a lost copy is proven, by the step that carried
// the order; that the copy was returned before, does not end it.
func (l *life) removed(where string, d licenseDetails, ops []store.RawOp) {
	carried := slices.ContainsFunc(ops, func(o store.RawOp) bool {
		return o.Container == where && o.Number == d.Step && o.Generation == d.Generation && o.Kind == 2 && o.Phase == 1
	})
	for i, o := range l.orders {
		if carried && o.kind == "kill" && o.container == where && o.generation == d.Generation {
			l.orders[i].proven = true
		}
	}
}

// splits reports whether an event makes a part of a license.
func splits(event string) bool { return event == "split" || event == "units_back" }

// partMoves reports whether an event about parts leaves the state of a license as it is.
func partMoves(e store.SubjectEvent, id string) bool {
	return splits(e.Name) || e.Name == "merged" && e.Find("license") != id
}

// mayMove reports whether an event may take seats from a license, or bring some.
func (l *life) mayMove(e store.SubjectEvent, d licenseDetails, accepted bool) bool {
	if e.Name == "merged" {
		return l.alone() && d.What == l.what() && d.Amount > 0 && d.Now == l.amount()+d.Amount
	}
	if e.Name == "units_back" { // those that are left of what was asked for; after an acceptance it may be asked for again
		return withContainer(l.state) && d.Generation == l.generation && l.units > 0 && d.splitting.Had == l.units && d.Left > 0 && d.Amount+d.Left == l.units &&
			d.Amount > 0 && d.Amount == min(d.Asked, l.units-l.used) && (d.Asked == l.back || accepted) && int64(d.Activated) == l.activated
	}
	first := l.activated == 0 && int64(d.Activated) == e.Time
	return d.State == l.state && d.Container == l.holder && d.Generation == l.generation && d.What == l.what() && d.splitting.Had == l.amount() &&
		d.Amount > 0 && d.Left > 0 && d.Left >= l.used && d.Amount+d.Left == l.amount() && (first || int64(d.Activated) == l.activated && l.activated != 0)
}

// moves takes in that seats went to another part, or came from one.
func (l *life) moves(e store.SubjectEvent, d licenseDetails) {
	if e.Name == "merged" {
		l.change(d.Amount)
		l.used += d.Used
		return
	}
	l.change(-d.Amount)
	l.back = 0
	if l.activated == 0 {
		l.activated = e.Time
	}
}
