package verify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"licet/internal/store"
)

// transitions is the life of a license, written down a second time: event, state
// before, state after.
var transitions = map[[2]string]string{
	{"put_issued", "not_collected"}: "collecting",
	{"put_issued", "returned"}:      "collecting",
	{"put_issued", "returning"}:     "collecting",
	{"put_confirmed", "collecting"}: "collected",
	{"change_issued", "collecting"}: "collecting",
	{"change_issued", "collected"}:  "collecting",
	{"drop_issued", "collecting"}:   "returning",
	{"drop_issued", "collected"}:    "returning",
	{"drop_confirmed", "returning"}: "returned",
	{"taken_back", "returning"}:     "gone",
	{"withdrawn", "not_collected"}:  "gone",
	{"withdrawn", "returned"}:       "gone",
	{"restored", "collecting"}:      "not_collected",
	{"restored", "collected"}:       "not_collected",
	{"restored", "returning"}:       "not_collected",
	{"lost", "collecting"}:          "gone",
	{"lost", "collected"}:           "gone",
	{"lost", "returning"}:           "gone",
	{"merged", "not_collected"}:     "gone",
	{"merged", "returned"}:          "gone",
}

func withContainer(state string) bool {
	return state == "collecting" || state == "collected" || state == "returning"
}

func withVendor(state string) bool { return state == "not_collected" || state == "returned" }

// making is what an event says of the licenses that it added to an order.
type making struct {
	event, order, ticket string
	time                 int64
	Number, Customer     string
	Added                int64
	Resent               bool
	TicketRecord         string `json:"ticket_record"`
	Subscription         string
	Items                []madeItem
	ordering
	replaces string  // the license in whose place it came
	part     part    // of what was split off another
	terms    []terms // of the items
}

type madeItem struct {
	Product, Position string
	Had, Asked        int64
	Terms             json.RawMessage
	Features          []string
}

// makes reports whether an event is what made a license, or added some to an
// order.
func makes(e store.SubjectEvent, license string) bool {
	switch e.Name {
	case "order_created", "order_extended":
		return true
	case "replacement_ordered", "split", "units_back":
		return e.Find("license") != license
	case "seats_brought":
		return e.Find("license") != license && strings.Contains(e.Details, `"made":true`)
	case "withdrawn":
		first := e.Find("license")
		return first != "" && first != license
	}
	return false
}

func (v *run) making(e store.SubjectEvent) *making {
	m := &making{event: e.ID, order: e.Find("order"), ticket: e.Find("ticket"), time: e.Time}
	if !v.details(e, m) {
		return m
	}
	if splits(e.Name) || makes(e, "") && e.Name == "seats_brought" {
		v.details(e, &m.part)
		m.ticket, m.Added = m.Ticket, 1
		m.Items = append(m.Items, madeItem{Product: m.part.Product, Position: m.part.Position, Asked: 1, Terms: m.Terms, Features: m.Features})
	}
	if m.With != "" { // another license came in the place of one
		m.replaces, m.ticket, m.Added = e.Find("license"), m.Ticket, 1
		m.Items = append(m.Items, madeItem{Product: m.WithProduct, Position: m.WithPosition, Asked: 1, Terms: m.Terms, Features: m.Features})
	}
	m.terms = make([]terms, len(m.Items))
	for i, it := range m.Items {
		t, err := parseTerms(it.Terms)
		if err != nil {
			v.find("events", e.ID, "details", "", "", "the terms of %s cannot be read: %v", it.Position, err)
		}
		m.terms[i] = t
	}
	return m
}

// units is how many units a license of an item was sold with.
func (m *making) units(item string) int64 {
	if m == nil {
		return 0
	}
	for i, it := range m.Items {
		if it.Position == item {
			return m.terms[i].number("units")
		}
	}
	return 0
}

// end is until when a license of an item was sold.
func (m *making) end(item string) (expires, grace int64) {
	if m != nil {
		for i, it := range m.Items {
			if it.Position == item {
				return m.terms[i].number("expires_at"), m.terms[i].number("grace")
			}
		}
	}
	return 0, 0
}

// life is what the events about a license come to.
type life struct {
	state, holder    string
	step, generation int64
	activated        int64
	withdrawn        int64
	issued           map[string]bool // container, step and kind of what was issued
	brought          map[string]bool // of these, what was brought after a return from a back-up

	reserved, replacedBy string
	seats                int64
	mergedInto           string
	orders               []order
	restores             []restored
	allowed              []allowed

	units, used int64             // how many there are, and are used
	back        int64             // of them, that the container was told to give back
	puts        map[string]counts // by operation issued
	id          string
	held        string   // why it is held back
	item        string   // the position that claimed it; empty for that of its making
	ended       []ending // generations that ended otherwise than by a restore

	expires, grace int64 // of one that belongs to a subscription
}

// counts is what a license that is put somewhere says of its units, and until when it
// may be used.
type counts struct{ units, used, expires, grace int64 }

type licenseDetails struct {
	From, To         string
	Generation, Step int64
	Product          string
	splitting
	ordering
	Facts *agreement // of its subscription
	bringing
}

// live folds the events about a license that already exists.
func (v *run) live(id, item string, m *making, events []store.SubjectEvent, ops []store.RawOp) life {
	l := life{id: id, state: "not_collected", generation: 1, issued: map[string]bool{}, brought: map[string]bool{}, puts: map[string]counts{}, units: m.units(item)}
	gaps := holding(v.gaps) // that the license has before it
	if m != nil {
		if m.replaces != "" && m.Kind == "replace" {
			l.reserved = m.Container // until it gets there, or does not have to
		}
		if m.Resent {
			l.held = "resent"
		}
		if m.part.HeldBack != "" {
			l.held = m.part.HeldBack
		}
		gaps = holding(v.gapsAfter(m.event))
	}
	if m != nil && !slices.ContainsFunc(m.Items, func(it madeItem) bool { return it.Position == item }) {
		for _, e := range events {
			if e.Name == "license_claimed" && len(m.Items) == 1 {
				item = m.Items[0].Position // it was brought back before its order
			}
		}
	}
	l.begins(m, item)
	l.expires, l.grace = m.end(item)
	parsed := map[string]licenseDetails{}
	for _, e := range events {
		var d licenseDetails
		v.details(e, &d)
		parsed[e.ID] = d
	}
	fits := func(e store.SubjectEvent) bool {
		d, where := parsed[e.ID], e.Find("container")
		if isOrder(e.Name) {
			return l.ordered(e, d)
		}
		if partMoves(e, id) {
			return l.mayMove(e, d, len(v.accepted[l.holder]) > 0)
		}
		held := l.held
		if len(gaps) > 0 && gaps[0].event < e.ID && withVendor(l.state) {
			held = heldBack
		}
		if isGap(e.Name) {
			return l.fitsGap(e, d, held)
		}
		if d.From != l.state || d.Generation != l.generation {
			return false
		}
		mine := where != "" && where == l.holder
		if e.Name == "license_reopened" {
			return (mine || withVendor(l.state) && where != "") && (d.To == "collecting" || d.To == "returning")
		}
		if to, ok := transitions[[2]string{e.Name, l.state}]; !ok || to != d.To {
			return false
		}
		switch e.Name {
		case "put_issued":
			free := l.withdrawn == 0 && held == "" && (l.reserved == "" || l.reserved == where)
			return where != "" && free && (withVendor(l.state) || mine && d.Step > l.step)
		case "change_issued":
			return mine && d.Step > l.step && d.Seats == l.seats && d.Back >= 0 && d.Back <= l.units-l.used && l.withdrawn == 0
		case "merged":
			return l.alone() && d.What == l.what() && d.Amount == l.amount() && d.Used == l.used
		case "drop_issued":
			return mine && d.Step > l.step
		case "put_confirmed":
			return mine && d.Step == l.step
		case "drop_confirmed", "taken_back":
			return mine && d.Step == l.step && (e.Name == "taken_back") == (l.withdrawn == 1)
		case "restored", "lost":
			return mine && (e.Name == "lost") == (l.withdrawn == 1)
		}
		return true
	}
	arrange(events, fits, func(e store.SubjectEvent, fit bool) {
		d := parsed[e.ID]
		for len(gaps) > 0 && gaps[0].event < e.ID {
			l.holdBack()
			gaps = gaps[1:]
		}
		if !fit {
			v.find("events", e.ID, "", "", "", "%s (%s to %s) of license %s does not follow from the events before it, after which it is %s", e.Name, d.From, d.To, id, l.state)
		}
		if e.Name == "copy_gone" {
			l.removed(e.Find("container"), d, ops)
		}
		if e.Name == "units_counted" && m != nil && m.Subscription != "" {
			v.subscribed.used[usageKey(m.Subscription, e.Time/86_400_000_000, id)] += d.Used - max(number(d.Was), 0)
		}
		if isOrder(e.Name) {
			l.order(e, d)
			return
		}
		if partMoves(e, id) {
			l.moves(e, d)
			return
		}
		if isGap(e.Name) {
			v.gapEvent(&l, id, e, d)
			return
		}
		where := l.holder
		l.state, l.generation, l.holder, l.step = d.To, d.Generation, "", d.Step
		if withContainer(d.To) {
			l.holder = e.Find("container")
		}
		switch e.Name {
		case "merged":
			l.change(-l.amount())
			l.used, l.mergedInto = 0, d.Into
		case "put_issued", "change_issued", "drop_issued":
			kind := "put"
			if e.Name == "drop_issued" {
				kind = "drop"
			}
			issued := issuedAs(kind, e.Find("container"), d.Step, d.Generation)
			l.issued[issued] = true
			l.puts[issued] = counts{l.units - d.Back, l.used, l.expires, l.grace}
			l.back = max(l.back, d.Back)
			if l.activated == 0 && e.Name == "put_issued" {
				l.activated = e.Time
			}
			l.carries(kind, l.holder, d.Step, ops)
			if e.Name == "put_issued" {
				l.reserved = ""
			}
		case "drop_confirmed", "taken_back":
			l.held = d.HeldBack
			l.orders = slices.DeleteFunc(l.orders, func(o order) bool { return o.kind != "kill" && o.container == where })
		case "restored", "lost":
			v.ends(&l, id, e, d)
			l.back = 0
			l.generation = max(l.generation, v.epochAt(e.ID)) + 1
		case "withdrawn":
			l.dropOrders(moving...)
			l.withdrawn, l.reserved, l.replacedBy, l.held = 1, "", cmp.Or(d.With, l.replacedBy), ""
		}
	})
	for range gaps {
		l.holdBack()
	}
	return l
}

// licenses replays every license from its events and from the operations of all
// logs, and holds the row against both.
func (v *run) licenses() error {
	rows := &pages[store.RawLicense]{load: func(last store.RawLicense) ([]store.RawLicense, error) {
		return v.tx.RawLicenses(last.ID, pageSize)
	}}
	ops := &pages[store.RawOp]{load: func(last store.RawOp) ([]store.RawOp, error) { return v.tx.RawLicenseOps(last, pageSize) }}
	events := v.subjectEvents("license")
	marks := &pages[store.RawEarmark]{load: func(last store.RawEarmark) ([]store.RawEarmark, error) { return v.tx.RawEarmarks(last, pageSize) }}
	restores := &pages[store.RawRestore]{load: func(last store.RawRestore) ([]store.RawRestore, error) { return v.tx.RawRestores(last, pageSize) }}
	grants := &pages[store.RawGrant]{load: func(last store.RawGrant) ([]store.RawGrant, error) { return v.tx.RawGrants(last, pageSize) }}
	var made *making // licenses of one order come one after the other
	for {
		var id string
		row := rows.peek()
		if row != nil {
			id = row.ID
		}
		if e := events.peek(); e != nil {
			id = least(id, e.Subject)
		}
		if o := ops.peek(); o != nil {
			id = least(id, o.License)
		}
		if id == "" {
			v.waits()
			return cmp.Or(rows.err, events.err, ops.err, marks.err, restores.err, grants.err)
		}
		about := take(events, id)
		var of []store.RawOp
		for o := ops.peek(); o != nil && o.License == id; o = ops.peek() {
			of = append(of, *ops.next())
		}
		making := -1
		for i, e := range about {
			if !makes(e, id) {
				continue
			}
			if making >= 0 {
				v.find("licenses", id, "order_id", "", "", "two orders made it: events %s and %s", about[making].ID, e.ID)
			}
			if making = i; made == nil || made.event != e.ID {
				made = v.making(e)
			}
		}
		if row == nil || row.ID != id {
			v.find("licenses", id, "", "", "", "the row is missing: %d events and %d operations tell of it", len(about), len(of))
			continue
		}
		rows.next()
		v.read("licenses")
		mine := made
		if making < 0 {
			v.find("licenses", id, "", "", "", "no event says that an order made it")
			mine = nil
		}
		l := v.live(id, row.Item, mine, slices.DeleteFunc(about, func(e store.SubjectEvent) bool { return makes(e, id) }), of)
		of = v.kills(id, &l, of)
		v.license(*row, mine, l, of)
		v.earmarks(id, l, rowsOf(v, "earmarks", id, marks, func(r *store.RawEarmark) string { return r.License }))
		v.restores(id, l, rowsOf(v, "restores", id, restores, func(r *store.RawRestore) string { return r.License }),
			rowsOf(v, "restore_grants", id, grants, func(r *store.RawGrant) string { return r.License }))
	}
}

// rowsOf takes the rows of one license.
func rowsOf[T any](v *run, table, id string, rows *pages[T], of func(*T) string) (out []T) {
	for r := rows.peek(); r != nil && of(r) <= id; r = rows.peek() {
		v.read(table)
		if of(r) < id {
			v.find(table, of(r), "license", of(r), "", "there is no such license")
		} else {
			out = append(out, *r)
		}
		rows.next()
	}
	return out
}

// license holds the row of a license against everything that tells of it.
func (v *run) license(row store.RawLicense, m *making, l life, ops []store.RawOp) {
	const told = "the events about it"
	v.place(row)
	v.same("licenses", row.ID, "state", row.State, l.state, told)
	v.same("licenses", row.ID, "holder", row.Holder.String, l.holder, told)
	v.same("licenses", row.ID, "step", row.Step, l.step, told)
	v.same("licenses", row.ID, "generation", row.Generation, l.generation, told)
	v.same("licenses", row.ID, "activated", moment(row.Activated), moment(l.activated), told)
	v.same("licenses", row.ID, "withdrawn", row.Withdrawn, l.withdrawn, told)
	v.same("licenses", row.ID, "used", row.Used, l.used, told)
	v.same("licenses", row.ID, "reserved", row.Reserved, l.reserved, told)
	v.same("licenses", row.ID, "replaced_by", row.ReplacedBy, l.replacedBy, told)
	v.same("licenses", row.ID, "held_back", row.HeldBack, l.held, told)
	replaces, origin := "", ""
	if m != nil {
		replaces, origin = m.replaces, m.part.Whole
	}
	v.same("licenses", row.ID, "replaces", row.Replaces, replaces, told)
	v.same("licenses", row.ID, "origin", row.Origin, origin, told)
	v.same("licenses", row.ID, "merged_into", row.MergedInto, l.mergedInto, told)
	v.same("licenses", row.ID, "seats", row.Seats, l.seats, told)
	terms, err := parseTerms([]byte(row.Terms))
	if err != nil {
		v.find("licenses", row.ID, "terms", row.Terms, "", "they cannot be read: %v", err)
	}
	var features []string
	if err := json.Unmarshal([]byte(row.Features), &features); err != nil {
		v.find("licenses", row.ID, "features", row.Features, "", "they cannot be read: %v", err)
	}
	if m != nil {
		position := row.Item
		if l.item != "" {
			v.same("licenses", row.ID, "item", row.Item, l.item, told)
			position = unclaimed(row.Product)
		}
		v.bought(row, *m, position, l, terms, features)
	}
	v.logged(row, l, ops)
	v.held(row, m, l, terms.part(row.Seats), features, ops)
	v.belongs(row, m, l)
}

// place checks that the row puts the license in exactly one place.
func (v *run) place(row store.RawLicense) {
	switch {
	case !withContainer(row.State) && !withVendor(row.State) && row.State != "gone":
		v.find("licenses", row.ID, "state", row.State, "", "there is no such state")
	case withContainer(row.State) != row.Holder.Valid || row.Holder.Valid && row.Holder.String == "":
		v.find("licenses", row.ID, "holder", row.Holder.String, "", "a license that is %s is in exactly one place", row.State)
	}
}

// bought holds what was sold against the event of the order.
func (v *run) bought(row store.RawLicense, m making, position string, l life, t terms, features []string) {
	v.same("licenses", row.ID, "order_id", row.OrderID, m.order, "event %s", m.event)
	v.same("licenses", row.ID, "ticket_id", row.TicketID, m.ticket, "event %s", m.event)
	v.same("licenses", row.ID, "created", moment(row.Created), moment(m.time), "event %s", m.event)
	for i, it := range m.Items {
		if it.Position != position {
			continue
		}
		v.same("licenses", row.ID, "product", row.Product, it.Product, "event %s", m.event)
		v.same("licenses", row.ID, "features", strings.Join(features, " "), strings.Join(it.Features, " "), "event %s", m.event)
		sold := m.terms[i].frozen(l.activated).with(l.units)
		if m.Subscription != "" {
			sold = sold.until(l.expires, l.grace)
		}
		if is, want := t.differs(sold); is != "" {
			v.find("licenses", row.ID, "terms", is, want, "event %s, the first activation, and what was added, moved or renewed", m.event)
		}
		return
	}
	v.find("licenses", row.ID, "item", row.Item, "", "event %s has no such position", m.event)
}

// logged derives the place of a license from the operations of every log: the
// last one that concerns it counts in each.
func (v *run) logged(row store.RawLicense, l life, ops []store.RawOp) {
	var with []store.RawOp // what may be where the license is
	var left []store.RawOp // removals that are open only because staff accepted an older container
	for i, o := range ops {
		if v.isBad("step_ops", opKey(o)) {
			return // told of already
		}
		if issued := issuedKey(o); !l.issued[issued] {
			v.find("step_ops", opKey(o), "", "", "", "no event about license %s tells of it", row.ID)
		} else {
			delete(l.issued, issued)
		}
		switch {
		case i+1 < len(ops) && ops[i+1].Container == o.Container:
		case o.Generation < l.generation: // of a copy that was lost
		case o.ContainerEpoch < v.epoch && o.Container != row.Holder.String: // not in contact since a back-up was restored
		case o.Kind == 1:
			with = append(with, o)
		case o.Number <= o.Acked:
		case slices.ContainsFunc(v.accepted[o.Container], func(at int64) bool { return at < o.Number }):
			left = append(left, o)
		default:
			with = append(with, o)
		}
	}
	for _, o := range left {
		if o.Container == row.Holder.String {
			with = append(with, o)
		}
	}
	for issued := range l.issued {
		v.find("licenses", row.ID, "step", "", "", "an event says that a step was issued with its operation (%s), but no log has it", issued)
	}
	switch {
	case len(with) > 1:
		v.find("licenses", row.ID, "holder", "", "", "two containers have it by their logs: %s and %s", with[0].Container, with[1].Container)
	case len(with) == 0 && withContainer(row.State):
		v.find("licenses", row.ID, "holder", row.Holder.String, "", "no log says that a container has it")
	case len(with) == 1:
		o := with[0]
		state := "returning"
		if o.Kind == 1 {
			state = "collecting"
			if o.Number <= o.Acked {
				state = "collected"
			}
		}
		v.same("licenses", row.ID, "state", row.State, state, "operation %s", opKey(o))
		v.same("licenses", row.ID, "holder", row.Holder.String, o.Container, "operation %s", opKey(o))
		v.same("licenses", row.ID, "step", row.Step, o.Number, "operation %s", opKey(o))
		v.same("licenses", row.ID, "generation", row.Generation, o.Generation, "operation %s", opKey(o))
	}
}

// held holds the row against the signed license that was last put anywhere.
func (v *run) held(row store.RawLicense, m *making, l life, t terms, features []string, ops []store.RawOp) {
	var last *store.RawOp
	for i, o := range ops {
		if v.epoch > 1 && o.Generation < row.Generation {
			continue // brought back, it may be of before what the row tells
		}
		if o.ContainerEpoch < v.epoch {
			continue // its seats may have been found elsewhere since
		}
		// The log of the holder is asked before others.
		if o.Kind == 1 && (last == nil || o.Container == row.Holder.String || last.Container != row.Holder.String) {
			last = &ops[i]
		}
	}
	if last == nil || v.isBad("step_ops", opKey(*last)) {
		return
	}
	b, err := parseBody(last.Body)
	if err != nil {
		return // told of already
	}
	key := opKey(*last)
	const from = "the signed license of operation %s"
	v.same("licenses", row.ID, "product", row.Product, b.product, from, key)
	v.same("licenses", row.ID, "activated", moment(row.Activated), moment(b.activated), from, key)
	v.same("licenses", row.ID, "features", strings.Join(features, " "), strings.Join(b.features, " "), from, key)
	if put, told := l.puts[issuedKey(*last)]; told {
		v.same("step_ops", key, "body", fmt.Sprintf("%d of %d units used", b.used, b.terms.number("units")), fmt.Sprintf("%d of %d units used", put.used, put.units), "the events before it")
	}
	// What a container has of units is what the record has, or will get; of what it gave
	// back, those that it had used by then are still in the record.
	waits := slices.ContainsFunc(l.orders, func(o order) bool { return o.kind == "change" && o.step == 0 })
	if units := b.terms.number("units"); row.State == "collected" && !waits && len(v.accepted[row.Holder.String]) == 0 && l.units != max(units, l.used) {
		v.find("licenses", row.ID, "terms", fmt.Sprintf("%d units", l.units), fmt.Sprintf("%d units", max(units, l.used)), from, key)
	}
	if m != nil && m.Subscription != "" {
		if put, told := l.puts[issuedKey(*last)]; told {
			v.same("step_ops", key, "body", moment(b.terms.number("expires_at"))+" and "+time.Duration(b.terms.number("grace")).String(),
				moment(put.expires)+" and "+time.Duration(put.grace).String(), "the events before it")
		}
		b.terms = b.terms.until(l.expires, l.grace)
	}
	// What is with the vendor may have another number of seats by now; and so may what
	// was, until staff accepted an older copy of its container.
	if !withContainer(row.State) || row.State == "returning" && len(v.accepted[row.Holder.String]) > 0 {
		b.terms = b.terms.like(t)
	}
	if is, want := t.differs(b.terms.with(l.units)); is != "" {
		v.find("licenses", row.ID, "terms", is, want, from, key)
	}
	if m != nil && m.replaces == "" && m.part.Whole == "" {
		v.same("orders", m.order, "number", m.Number, b.number, from, key)
		v.same("orders", m.order, "customer", m.Customer, b.customer, from, key)
	}
}
