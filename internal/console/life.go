package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"licet/internal/look"
	"licet/license"
	"licet/wire"
)

const (
	// drawn is how many of the latest events a picture is drawn from.
	drawn = 400
	// maxLanes is how many lines a picture has.
	maxLanes = 16
)

// drawing folds events into the lines of a picture.
type drawing struct {
	lanes []*lane
	left  bool // something is not drawn
}

// lane is one line while it is drawn.
type lane struct {
	key, name, href, ahead string
	spans                  []look.Span
	marks                  []look.Mark
}

// lane finds a line, or begins one where there is room; nil where there is none.
func (d *drawing) lane(key, name, href string) *lane {
	for _, l := range d.lanes {
		if l.key == key {
			return l
		}
	}
	if len(d.lanes) == maxLanes {
		d.left = true
		return nil
	}
	d.lanes = append(d.lanes, &lane{key: key, name: name, href: href})
	return d.lanes[len(d.lanes)-1]
}

// begin ends what goes on in a line and begins another phase.
func (l *lane) begin(p look.Phase, at time.Time) {
	if l == nil {
		return
	}
	l.end(at, func(have look.Phase) bool { return have != look.PhaseLost || p == look.PhaseLost })
	l.spans = append(l.spans, look.Span{Phase: p, From: at})
}

// end ends the phases that are meant.
func (l *lane) end(at time.Time, meant func(look.Phase) bool) {
	if l == nil {
		return
	}
	for n := range l.spans {
		if l.spans[n].To.IsZero() && meant(l.spans[n].Phase) {
			l.spans[n].To = at
		}
	}
}

// marked are the moments that are drawn on a line.
var marked = []string{string(license.Restored), string(license.Lost), string(license.Withdrawn), "withdrawal_ordered", "replacement_ordered", "license_reopened", "copy_turned_up"}

// mark draws a moment, if it is one to draw.
func (l *lane) mark(ctx context.Context, e wire.Event) {
	if l != nil && slices.Contains(marked, e.Event) {
		l.marks = append(l.marks, look.Mark{At: e.Time.Go(), Text: look.T(ctx, "console.eventname."+e.Event)})
	}
}

func alive(p look.Phase) bool { return p != look.PhaseLost }
func dead(p look.Phase) bool  { return p == look.PhaseLost }

// life is the picture. Cut is whether older events were left out.
func (d *drawing) life(ctx context.Context, label string, cut bool) look.Life {
	out := look.Life{Label: label}
	for _, l := range d.lanes {
		out.Lanes = append(out.Lanes, look.Lane{Name: l.name, Href: l.href, Spans: l.spans, Marks: l.marks, Ahead: l.ahead})
	}
	switch {
	case cut:
		out.Note = look.T(ctx, "console.life.short", "Count", drawn)
	case d.left:
		out.Note = look.T(ctx, "console.life.left", "Count", maxLanes)
	}
	return out
}

// move is what an event says about where a license is.
type move struct {
	License   license.ID
	Container license.Serial
	To        license.State
	Product   string
}

// moveOf reads an event; To is empty where it moves nothing.
func moveOf(e wire.Event) (m move) {
	var states struct {
		To, Product any
	}
	_ = json.Unmarshal(e.Details, &states) // what does not read moves nothing
	if to, ok := states.To.(string); ok && slices.ContainsFunc(license.States, func(row license.StateRow) bool { return string(row.State) == to }) {
		m.To = license.State(to)
	}
	m.Product, _ = states.Product.(string)
	for _, s := range e.Subjects {
		switch {
		case s.Kind == "license" && m.License == "": // the first is the one that moves
			m.License = license.ID(s.ID)
		case s.Kind == "container":
			m.Container = license.Serial(s.ID)
		}
	}
	return m
}

func phaseOf(s license.State) look.Phase {
	switch {
	case s == license.Collected:
		return look.PhaseHeld
	case s.Held():
		return look.PhaseMoving
	}
	return look.PhaseFree
}

// events are the latest of one thing, oldest first, and whether there are older.
func (c *console) events(r *http.Request, m member, kind, id string) (all []wire.Event, cut bool, err error) {
	list, err := c.registry.Timeline(r.Context(), m.Actor, kind, id, "", drawn)
	slices.Reverse(list.Items)
	return list.Items, list.Next != "", err
}

// licenseLife draws in which containers a license was, and when it was free.
func (c *console) licenseLife(r *http.Request, m member, v wire.License, pending []wire.Earmark) (look.Life, error) {
	ctx := r.Context()
	events, cut, err := c.events(r, m, "license", string(v.ID))
	if err != nil {
		return look.Life{}, err
	}
	d := &drawing{}
	vendor := d.lane("", look.T(ctx, "console.life.vendor"), "")
	in := func(s license.Serial) *lane {
		return d.lane(string(s), look.T(ctx, "console.life.container", "Serial", short(string(s))), containerPath(s))
	}
	if !cut {
		vendor.begin(look.PhaseFree, v.Created.Go())
	}
	for _, e := range events {
		at, move := e.Time.Go(), moveOf(e)
		if e.Event == "copy_gone" {
			in(move.Container).end(at, dead)
		}
		if move.Container != "" {
			in(move.Container).mark(ctx, e)
		} else {
			vendor.mark(ctx, e)
		}
		if move.To == "" {
			continue
		}
		if move.To.Held() {
			vendor.end(at, alive)
			in(move.Container).begin(phaseOf(move.To), at)
			continue
		}
		if move.Container != "" {
			in(move.Container).end(at, alive)
		}
		if e.Event == string(license.Restored) || e.Event == string(license.Lost) {
			in(move.Container).begin(look.PhaseLost, at)
		}
		vendor.end(at, alive)
		if move.To != license.Gone {
			vendor.begin(look.PhaseFree, at)
		}
	}
	for _, e := range pending {
		if l := in(e.Container); l != nil {
			l.ahead = ordered(ctx, e, v.ID)
		}
	}
	return d.life(ctx, look.T(ctx, "console.life.license", "Product", v.Name), cut), nil
}

// containerLife draws what a container held and when, and when it was flagged or
// blocked.
func (c *console) containerLife(r *http.Request, m member, v containerView, names map[string]string) (look.Life, error) {
	ctx := r.Context()
	events, cut, err := c.events(r, m, "container", string(v.Serial))
	if err != nil {
		return look.Life{}, err
	}
	d := &drawing{}
	of := func(id license.ID, product string) *lane {
		name := names[product]
		if name == "" {
			name = product
		}
		return d.lane(string(id), name, licensePath(id))
	}
	flagged := false
	self := func() *lane { return d.lane("", look.T(ctx, "console.life.self"), "") }
	for _, e := range events {
		at, move := e.Time.Go(), moveOf(e)
		switch e.Event {
		case "container_flagged":
			flagged = true
			self().begin(look.PhaseFlagged, at)
		case "container_blocked":
			self().begin(look.PhaseBlocked, at)
		case "container_accepted":
			flagged = false
			self().end(at, func(p look.Phase) bool { return p == look.PhaseFlagged })
		case "container_unblocked":
			self().end(at, alive)
			if flagged {
				self().begin(look.PhaseFlagged, at)
			}
		case "copy_gone":
			of(move.License, move.Product).end(at, dead)
		}
		if move.License != "" {
			of(move.License, move.Product).mark(ctx, e)
		}
		switch {
		case move.To == "" || move.License == "":
		case move.To.Held():
			of(move.License, move.Product).begin(phaseOf(move.To), at)
		default:
			l := of(move.License, move.Product)
			l.end(at, alive)
			if e.Event == string(license.Restored) || e.Event == string(license.Lost) {
				l.begin(look.PhaseLost, at)
			}
		}
	}
	for _, e := range v.pending {
		if l := of(e.License, e.Product); l != nil {
			l.ahead = ordered(ctx, e, "")
		}
	}
	if at := slices.IndexFunc(d.lanes, func(l *lane) bool { return l.key == "" }); at > 0 {
		d.lanes = slices.Insert(slices.Delete(slices.Clone(d.lanes), at, at+1), 0, d.lanes[at])
	}
	return d.life(ctx, look.T(ctx, "console.life.of", "Serial", short(string(v.Serial))), cut), nil
}

// orderLife draws each license of an order: free, under way, in use.
func (c *console) orderLife(r *http.Request, m member, v orderView) (look.Life, error) {
	ctx := r.Context()
	events, cut, err := c.events(r, m, "order", v.Order)
	if err != nil {
		return look.Life{}, err
	}
	d := &drawing{}
	for _, l := range v.licenses {
		if line := d.lane(string(l.ID), l.Name, licensePath(l.ID)); !cut {
			line.begin(look.PhaseFree, l.Created.Go())
		}
	}
	for _, e := range events {
		move := moveOf(e)
		at := slices.IndexFunc(d.lanes, func(l *lane) bool { return l.key == string(move.License) })
		if at < 0 {
			continue
		}
		d.lanes[at].mark(ctx, e)
		if move.To == "" {
			continue
		}
		if move.To == license.Gone {
			d.lanes[at].end(e.Time.Go(), alive)
			continue
		}
		d.lanes[at].begin(phaseOf(move.To), e.Time.Go())
	}
	d.left = d.left || v.pager.next != "" || v.pager.first != ""
	return d.life(ctx, look.T(ctx, "console.life.order", "Number", v.Number), cut), nil
}
