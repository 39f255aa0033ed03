package verify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"licet/internal/store"
)

// order is an order of the vendor for a container, as the events tell of it.
type order struct {
	event, kind, container string
	generation             int64
	with, found            string
	step                   int64 // that carries it; 0 until issued
	proven                 bool  // of a kill, while the events are read
	actor, reason          string
	created                int64
}

func (o order) key() string { return fmt.Sprintf("%s %s %d", o.container, o.kind, o.generation) }

// phase is the part of a step that carries an order.
func (o order) phase() int64 {
	switch o.kind {
	case "replace", "change":
		return 4
	case "assign":
		return 3
	}
	return 1
}

// restored is one generation that ended, as its event tells of it.
type restored struct {
	event          string
	generation     int64
	how, container string
	recovery       int64
	actor, reason  string
	time           int64
	withdrawn      bool
	stop, found    string
}

// allowed is what staff allowed beyond the policy, as its event tells of it.
type allowed struct {
	event         string
	count, used   int64
	actor, reason string
	created       int64
}

// ordering is what events about the vendor's orders and restores say beside the
// state.
type ordering struct {
	Kind, Container         string
	With                    string
	WithProduct             string `json:"with_product"`
	WithPosition            string `json:"with_position"`
	Ticket                  string
	Terms                   json.RawMessage
	Features                []string
	Containers              []string
	How, Stop, Found, Where string
	Recovery, List, Count   int64
	Added, Units, Used      int64
	Was                     json.RawMessage // a number, of an event about units
}

// ordered takes in what an event orders, and says whether it may follow what was
// before it.
func (l *life) ordered(e store.SubjectEvent, d licenseDetails) bool {
	where := e.Find("container")
	open := slices.ContainsFunc(l.orders, func(o order) bool {
		return o.kind == d.Kind && o.container == where && o.generation == d.Generation && o.step == 0
	})
	switch e.Name {
	case "withdrawal_ordered", "replacement_ordered":
		return withContainer(l.state) && where == l.holder && d.Generation == l.generation && l.withdrawn == 0
	case "assignment_ordered":
		return withVendor(l.state) && where != "" && d.Generation == l.generation && l.withdrawn == 0 && l.reserved == ""
	case "order_taken_back":
		return open
	case "license_free":
		return l.reserved != ""
	case "copy_gone":
		return slices.ContainsFunc(l.orders, func(o order) bool { return o.kind == "kill" && o.container == where && o.generation == d.Generation })
	case "copy_turned_up":
		return where != "" && len(l.restores) > 0 && l.restores[len(l.restores)-1].generation == d.Generation && l.withdrawn == 0 && l.reserved == ""
	case "restore_enabled":
		return d.Count > 0
	case "units_counted":
		return where != "" && where == l.holder && d.Generation == l.generation && number(d.Was) == l.used && d.Used > l.used && d.Used <= l.units
	case "units_added":
		mine := where == "" || where == l.holder && d.Kind == "change" && (l.state == "collecting" || l.state == "collected")
		return mine && d.Added > 0 && number(d.Was) == l.units && d.Units == number(d.Was)+d.Added && l.withdrawn == 0 && l.state != "gone"
	}
	return isAgreement(e.Name) && d.Facts != nil && l.state != "gone"
}

// isAgreement reports whether an event is about a subscription.
func isAgreement(name string) bool { return strings.HasPrefix(name, "subscription_") }

// number is a JSON number, -1 for anything else.
func number(raw json.RawMessage) int64 {
	n := int64(-1)
	_ = json.Unmarshal(raw, &n) // what is no number fits nothing
	return n
}

// isOrder reports whether an event leaves a license's state as it is.
func isOrder(name string) bool {
	switch name {
	case "withdrawal_ordered", "replacement_ordered", "assignment_ordered", "order_taken_back", "license_free", "copy_gone", "copy_turned_up", "restore_enabled", "units_counted", "units_added":
		return true
	}
	return isAgreement(name)
}

func (l *life) order(e store.SubjectEvent, d licenseDetails) {
	where := e.Find("container")
	add := func(kind, container string) {
		l.orders = append(l.orders, order{event: e.ID, kind: kind, container: container, generation: l.generation, with: d.With, actor: e.Actor, reason: e.Reason, created: e.Time})
	}
	switch e.Name {
	case "withdrawal_ordered":
		l.dropOrders(moving...)
		l.withdrawn, l.reserved = 1, ""
		add("withdraw", where)
	case "replacement_ordered":
		l.dropOrders(moving...)
		l.withdrawn, l.reserved, l.replacedBy = 1, "", d.With
		add("replace", where)
	case "assignment_ordered":
		l.reserved = where
		add("assign", where)
	case "order_taken_back":
		l.orders = slices.DeleteFunc(l.orders, func(o order) bool { return o.kind == d.Kind && o.container == where })
		l.withdrawn, l.reserved, l.replacedBy = 0, "", ""
	case "license_free":
		l.reserved = ""
	case "copy_turned_up":
		const why = "the lost container turned up"
		if l.holder != "" {
			add("recall", l.holder)
			l.orders[len(l.orders)-1].reason = why
		}
		add("assign", where)
		l.orders[len(l.orders)-1].reason = why
		l.reserved = where
	case "units_counted":
		l.used = d.Used
	case "units_added":
		l.units += d.Added
		if where != "" {
			l.dropOrders("change")
			add("change", where)
		}
	case "restore_enabled":
		l.allowed = append(l.allowed, allowed{event: e.ID, count: d.Count, actor: e.Actor, reason: e.Reason, created: e.Time})
	}
	if isAgreement(e.Name) && d.Facts != nil {
		l.termed(e, *d.Facts)
	}
}

// dropOrders ends orders of some kinds.
func (l *life) dropOrders(kinds ...string) {
	l.orders = slices.DeleteFunc(l.orders, func(o order) bool { return slices.Contains(kinds, o.kind) })
}

// moving are the orders that a later decision ends; copies that are to go stay
// ordered, and what a license is by now.
var moving = []string{"withdraw", "replace", "assign", "recall"}

// carries notes that a step which moves the license carries what was ordered.
func (l *life) carries(kind, container string, step int64, ops []store.RawOp) {
	for _, op := range ops {
		if op.Container != container || op.Number != step || kindText(op.Kind) != kind || op.Generation != l.generation {
			continue
		}
		for i, o := range l.orders {
			fits := o.phase() == op.Phase || o.kind == "assign" && kind == "put"
			if o.step == 0 && o.kind != "kill" && o.container == container && o.generation == l.generation && fits {
				l.orders[i].step = step
			}
		}
	}
}

// ends takes in that a generation was lost.
func (v *run) ends(l *life, id string, e store.SubjectEvent, d licenseDetails) {
	r := restored{event: e.ID, generation: d.Generation, how: d.How, container: e.Find("container"), recovery: d.Recovery, actor: e.Actor, reason: e.Reason,
		time: e.Time, withdrawn: l.withdrawn != 0, stop: d.Stop, found: d.Found}
	l.restores = append(l.restores, r)
	l.dropOrders("change")
	l.dropOrders(moving...)
	l.reserved = ""
	for _, c := range d.Containers {
		l.orders = append(l.orders, order{event: e.ID, kind: "kill", container: c, generation: d.Generation, found: d.Found, actor: e.Actor, reason: e.Reason, created: e.Time})
	}
	if d.Stop != "return" {
		v.lists(block{kind: "license", subject: id, generation: d.Generation, added: d.List, reason: "restored", created: e.Time, event: e.ID})
	}
}

// kills holds the removals of lost copies against the logs, and takes their
// operations out: they say nothing of where the license is. Every container that
// was given a generation that ended, or an earlier one, has an order to remove it.
func (v *run) kills(id string, l *life, ops []store.RawOp) (rest []store.RawOp) {
	for _, o := range ops {
		if o.Kind != 2 || o.Phase != 1 || l.issued[issuedKey(o)] {
			rest = append(rest, o)
			continue
		}
		i := slices.IndexFunc(l.orders, func(k order) bool {
			return k.kind == "kill" && k.container == o.Container && k.generation == o.Generation && k.step == 0
		})
		if i < 0 {
			rest = append(rest, o) // told of with the others
			continue
		}
		l.orders[i].step = o.Number
	}
	for _, r := range l.restores {
		for _, o := range ops {
			ordered := slices.ContainsFunc(l.orders, func(k order) bool {
				// Of what was brought after the loss, the copy that was given goes.
				return k.kind == "kill" && k.container == o.Container && (k.generation == r.generation || l.brought[issuedKey(o)] && k.generation >= o.Generation)
			})
			if o.Kind == 1 && o.Generation <= r.generation && !ordered {
				v.find("events", r.event, "details", "", o.Container, "generation %d of license %s ended, container %s was given it in step %d, and no removal was ordered there", r.generation, id, o.Container, o.Number)
			}
		}
	}
	for _, r := range l.ended {
		for _, o := range ops {
			ordered := slices.ContainsFunc(l.orders, func(k order) bool {
				return k.kind == "kill" && k.container == o.Container && k.generation >= o.Generation
			})
			if o.Kind == 1 && o.Generation <= r.generation && o.Container != r.by && !ordered {
				v.find("events", r.event, "details", "", o.Container, "generation %d of license %s ended, container %s was given it in step %d, and no removal was ordered there", r.generation, id, o.Container, o.Number)
			}
		}
	}
	// What a report has proven is done, also if staff have accepted an earlier step
	// of the container since.
	proven := map[string]int64{}
	for _, o := range ops {
		proven[o.Container] = max(o.Acked, v.top[o.Container])
	}
	l.orders = slices.DeleteFunc(l.orders, func(o order) bool { return o.step != 0 && o.step <= proven[o.container] })
	return rest
}

// issuedAs names an operation: one step may take out a lost copy of a license and the
// license itself.
func issuedAs(kind, container string, number, generation int64) string {
	return fmt.Sprintf("%s %s/%d of %d", kind, container, number, generation)
}

func issuedKey(o store.RawOp) string {
	return issuedAs(kindText(o.Kind), o.Container, o.Number, o.Generation)
}

// earmarks holds the rows of one license against what is ordered for it.
func (v *run) earmarks(id string, l life, rows []store.RawEarmark) {
	for _, o := range l.orders {
		v.waiting[o.container]++
		i := slices.IndexFunc(rows, func(r store.RawEarmark) bool {
			return r.Container == o.container && r.Kind == o.kind && r.Generation == o.generation
		})
		if i < 0 {
			v.find("earmarks", id+"/"+o.key(), "", "", "", "the row is missing: event %s orders it, and nothing shows that it was carried out", o.event)
			continue
		}
		r := rows[i]
		rows = slices.Delete(slices.Clone(rows), i, i+1)
		v.same("earmarks", r.ID, "step", r.Step, o.step, "the log of container %s", o.container)
		v.same("earmarks", r.ID, "with_license", r.With, o.with, "event %s", o.event)
		v.same("earmarks", r.ID, "found", r.Found, o.found, "event %s", o.event)
		v.same("earmarks", r.ID, "actor", r.Actor, o.actor, "event %s", o.event)
		v.same("earmarks", r.ID, "reason", r.Reason, o.reason, "event %s", o.event)
		v.same("earmarks", r.ID, "created", moment(r.Created), moment(o.created), "event %s", o.event)
	}
	for _, r := range rows {
		v.find("earmarks", r.ID, "", "", "", "no event orders it, or it was carried out: %s of license %s generation %d in container %s", r.Kind, r.License, r.Generation, r.Container)
	}
}

// restores holds the rows of one license against its events, and every restore
// against what allowed it.
func (v *run) restores(id string, l life, rows []store.RawRestore, grants []store.RawGrant) {
	for _, r := range l.restores {
		key := fmt.Sprintf("%s/%d", id, r.generation)
		i := slices.IndexFunc(rows, func(row store.RawRestore) bool { return row.Generation == r.generation })
		if i < 0 {
			v.find("restores", key, "", "", "", "the row is missing: event %s tells of it", r.event)
			continue
		}
		row := rows[i]
		rows = slices.Delete(slices.Clone(rows), i, i+1)
		v.same("restores", key, "how", row.How, r.how, "event %s", r.event)
		v.same("restores", key, "recovery", row.Recovery, r.recovery, "event %s", r.event)
		v.same("restores", key, "container", row.Container, r.container, "event %s", r.event)
		v.same("restores", key, "actor", row.Actor, r.actor, "event %s", r.event)
		v.same("restores", key, "time", moment(row.Time), moment(r.time), "event %s", r.event)
		switch why := ""; r.how {
		case "automatic", "extra":
			if row.RecoveryVerdict != "grant" || row.RecoveryOutcome != "restored" {
				why = "no recovery in which the policy granted it"
			} else if r.how == "extra" && !l.spend(r.time) {
				why = "staff had not allowed it beyond the policy"
			}
			v.unless(why, key, r.event)
		case "staff":
			if row.RecoveryOutcome != "restored" || row.RecoveryReason == "" {
				why = "no recovery with a reason that staff approved"
			}
			v.unless(why, key, r.event)
		case "lost":
			if !r.withdrawn || strings.TrimSpace(r.reason) == "" {
				why = "its withdrawal was not ordered, or no reason was given"
			}
			v.unless(why, key, r.event)
		default:
			v.unless("there is no such way", key, r.event)
		}
	}
	for _, row := range rows {
		v.find("restores", fmt.Sprintf("%s/%d", id, row.Generation), "", "", "", "no event tells of it")
	}
	for _, a := range l.allowed {
		i := slices.IndexFunc(grants, func(g store.RawGrant) bool {
			return g.Created == a.created && g.Actor == a.actor && g.Reason == a.reason
		})
		if i < 0 {
			v.find("restore_grants", id+"/"+a.event, "", "", "", "the row is missing: event %s tells of it", a.event)
			continue
		}
		g := grants[i]
		grants = slices.Delete(slices.Clone(grants), i, i+1)
		v.same("restore_grants", g.ID, "count", g.Count, a.count, "event %s", a.event)
		v.same("restore_grants", g.ID, "used", g.Used, a.used, "the restores of license %s", id)
	}
	for _, g := range grants {
		v.find("restore_grants", g.ID, "", "", "", "no event tells of it")
	}
}

// unless tells of a restore that nothing allowed.
func (v *run) unless(why, key, event string) {
	if why != "" {
		v.find("restores", key, "grant", "", "", "nothing allowed event %s: %s", event, why)
	}
}

// spend uses up what staff had allowed by a moment, the oldest first.
func (l *life) spend(time int64) bool {
	for i, a := range l.allowed {
		if a.used < a.count && a.created <= time {
			l.allowed[i].used++
			return true
		}
	}
	return false
}

// block is an entry of the block list, as the events tell of it.
type block struct {
	kind, subject             string
	generation, added, lifted int64
	reason                    string
	created                   int64
	event                     string
}

func (v *run) lists(b block) {
	if was, ok := v.blocks[b.added]; ok {
		v.find("events", b.event, "details", "", "", "number %d of the block list was made twice, by event %s as well", b.added, was.event)
	}
	v.blocks[b.added] = b
}

// blockList holds the block list against the events, and its number.
func (v *run) blockList() error {
	number, _, err := v.tx.List()
	if err != nil {
		return err
	}
	made := int64(0)
	for n, b := range v.blocks {
		made = max(made, n, b.lifted)
	}
	for _, g := range v.gaps {
		made = max(made, g.list)
	}
	v.same("vendor", v.scope.vendor, "list", int64(number), made, "the events that changed the block list")
	rows := &pages[store.RawBlock]{load: func(last store.RawBlock) ([]store.RawBlock, error) { return v.tx.RawBlocks(last.Added, pageSize) }}
	for r := rows.next(); r != nil; r = rows.next() {
		v.read("blocks")
		key := strconv.FormatInt(r.Added, 10)
		b, ok := v.blocks[r.Added]
		if delete(v.blocks, r.Added); !ok {
			v.find("blocks", key, "", "", "", "no event tells of it")
			continue
		}
		v.same("blocks", key, "subject", fmt.Sprint(r.Kind, " ", r.Subject, " ", r.Generation), fmt.Sprint(b.kind, " ", b.subject, " ", b.generation), "event %s", b.event)
		v.same("blocks", key, "lifted", r.Lifted, b.lifted, "the events about it")
		v.same("blocks", key, "reason", r.Reason, b.reason, "event %s", b.event)
		v.same("blocks", key, "created", moment(r.Created), moment(b.created), "event %s", b.event)
	}
	for n, b := range v.blocks {
		v.find("blocks", strconv.FormatInt(n, 10), "", "", "", "the row is missing: event %s tells of it", b.event)
	}
	return rows.err
}

// waits holds the number of orders in every container's row against the orders.
func (v *run) waits() {
	const why = "the orders for it that are not carried out"
	for serial, n := range v.counted {
		v.same("containers", serial, "earmarks", n, v.waiting[serial], why)
		delete(v.waiting, serial)
	}
	for serial, n := range v.waiting {
		v.same("containers", serial, "earmarks", int64(0), n, why)
	}
}

// losses holds the reports of lost licenses against their events.
func (v *run) losses() error {
	told := map[int64]*loss{}
	events := v.subjectEvents("recovery")
	for e := events.next(); e != nil; e = events.next() {
		n, _ := strconv.ParseInt(e.Subject, 10, 64)
		v.loss(told, n, *e)
	}
	rows := &pages[store.RawRecovery]{load: func(last store.RawRecovery) ([]store.RawRecovery, error) {
		return v.tx.RawRecoveries(last.Number, pageSize)
	}}
	for r := rows.next(); r != nil; r = rows.next() {
		v.read("recoveries")
		key, t := strconv.FormatInt(r.Number, 10), told[r.Number]
		if t == nil {
			v.find("recoveries", key, "", "", "", "no event tells of it")
			continue
		}
		t.there = true
		const why = "the events about it"
		v.same("recoveries", key, "state", r.State, t.State, why)
		v.same("recoveries", key, "scope", r.Scope, t.Scope, why)
		v.same("recoveries", key, "hardware", r.Hardware, t.Hardware, why)
		v.same("recoveries", key, "reason", r.Reason, t.Reason, why)
		v.same("recoveries", key, "conditions", r.Conditions, t.Conditions, why)
		v.same("recoveries", key, "accepted", moment(r.Accepted), moment(t.Accepted), why)
		v.same("recoveries", key, "created", moment(r.Created), moment(t.Created), why)
		v.same("recoveries", key, "decided", moment(r.Decided), moment(t.Decided), why)
		v.same("recoveries", key, "decided_by", r.DecidedBy, t.DecidedBy, why)
		v.same("recoveries", key, "decision", r.Decision, t.Decision, why)
	}
	lost := &pages[store.RawRecoveryLicense]{load: func(last store.RawRecoveryLicense) ([]store.RawRecoveryLicense, error) {
		return v.tx.RawRecoveryLicenses(last, pageSize)
	}}
	for r := lost.next(); r != nil; r = lost.next() {
		v.read("recovery_licenses")
		key := fmt.Sprintf("%d/%s", r.Recovery, r.License)
		var want *store.RawRecoveryLicense
		if t := told[r.Recovery]; t != nil {
			want = t.licenses[r.License]
		}
		if want == nil {
			v.find("recovery_licenses", key, "", "", "", "no event tells of it")
			continue
		}
		want.Recovery = r.Recovery // seen
		v.same("recovery_licenses", key, "generation", r.Generation, want.Generation, "the report's event")
		v.same("recovery_licenses", key, "container", r.Container, want.Container, "the report's event")
		v.same("recovery_licenses", key, "verdict", r.Verdict, want.Verdict, "the report's event")
		v.same("recovery_licenses", key, "outcome", r.Outcome, want.Outcome, "the events about the recovery")
	}
	for n, t := range told {
		if !t.there {
			v.find("recoveries", strconv.FormatInt(n, 10), "", "", "", "the row is missing; events tell of it")
		}
		for id, l := range t.licenses {
			if l.Recovery == 0 {
				v.find("recovery_licenses", fmt.Sprintf("%d/%s", n, id), "", "", "", "the row is missing; the report's event tells of it")
			}
		}
	}
	return cmp.Or(events.err, rows.err, lost.err)
}

// loss is a recovery as its events tell of it.
type loss struct {
	store.RawRecovery
	licenses map[string]*store.RawRecoveryLicense
	there    bool
}

func (v *run) loss(told map[int64]*loss, n int64, e store.SubjectEvent) {
	switch e.Name {
	case "recovery_requested", "recovery_granted", "recovery_question", "recovery_answered", "recovery_approved", "recovery_refused":
	default:
		return // it changes nothing
	}
	var d struct {
		Scope, Hardware, Conditions string
		Accepted                    bool
		Licenses                    []struct {
			License, Verdict, Code, Container string
			Generation                        int64
		}
		Outcomes map[string]string
	}
	if !v.details(e, &d) {
		return
	}
	t := told[n]
	made := e.Name == "recovery_requested" || e.Name == "recovery_granted"
	open := t != nil && (t.State == "waiting" || t.State == "asked")
	if made != (t == nil) || !made && !open {
		v.find("events", e.ID, "", "", "", "%s of recovery %d does not follow from the events before it", e.Name, n)
		if t == nil {
			return
		}
	}
	outcome := func(of string) {
		for id, l := range t.licenses {
			if l.Outcome == "waiting" {
				l.Outcome = cmp.Or(of, d.Outcomes[id])
			}
		}
	}
	switch e.Name {
	case "recovery_requested", "recovery_granted":
		t = &loss{licenses: map[string]*store.RawRecoveryLicense{}}
		t.RawRecovery = store.RawRecovery{State: "waiting", Scope: d.Scope, Hardware: d.Hardware, Reason: e.Reason, Conditions: d.Conditions, Created: e.Time}
		if told[n] = t; e.Name == "recovery_granted" {
			t.State, t.Decided, t.DecidedBy = "granted", e.Time, "policy"
		}
		if d.Accepted {
			t.Accepted = e.Time
		}
		for _, l := range d.Licenses {
			x := &store.RawRecoveryLicense{Generation: l.Generation, Container: l.Container, Verdict: l.Verdict, Outcome: l.Code}
			switch l.Verdict {
			case "grant":
				x.Outcome = "restored"
			case "ask":
				x.Outcome = "waiting"
			}
			t.licenses[l.License] = x
		}
	case "recovery_question":
		t.State = "asked"
	case "recovery_answered":
		t.State = "waiting"
	case "recovery_approved", "recovery_refused":
		t.State, t.Decided, t.DecidedBy, t.Decision = strings.TrimPrefix(e.Name, "recovery_"), e.Time, e.Actor, e.Reason
		if e.Name == "recovery_refused" {
			outcome("refused")
		} else {
			outcome("")
		}
	}
}
