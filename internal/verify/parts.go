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
	Seats, Step                                int64
	Activated                                  instant
	Whole, State, Container, Product, Position string
	HeldBack                                   string `json:"held_back"`
}

// splitting is what events about parts say beside the state.
type splitting struct {
	Seats, Had, Left, Now int64
	Whole, Of, Part, Into string
	State                 string
	Activated             instant
}

// begins is where a license begins, and with how many seats.
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
		l.state, l.holder, l.step, l.activated, l.seats = p.State, p.Container, p.Step, int64(p.Activated), p.Seats
	}
}

// alone reports whether nothing is ordered for a license that is with the vendor, so
// that its seats can move to another part or come from there.
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

// mayMove reports whether an event may take seats from a license, or bring some.
func (l *life) mayMove(e store.SubjectEvent, d licenseDetails) bool {
	if e.Name == "merged" {
		return l.alone() && d.Seats > 0 && d.Now == l.seats+d.Seats
	}
	first := l.activated == 0 && int64(d.Activated) == e.Time
	return d.State == l.state && d.Container == l.holder && d.Generation == l.generation && d.splitting.Had == l.seats &&
		d.Seats > 0 && d.Left > 0 && d.Seats+d.Left == l.seats && (first || int64(d.Activated) == l.activated && l.activated != 0)
}

// moves takes in that seats went to another part, or came from one.
func (l *life) moves(e store.SubjectEvent, d licenseDetails) {
	if e.Name == "merged" {
		l.seats += d.Seats
		return
	}
	l.seats -= d.Seats
	if l.activated == 0 {
		l.activated = e.Time
	}
}
