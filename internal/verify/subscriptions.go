package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"licet/internal/store"
)

// agreement is what an event says of a subscription: its facts from then on.
type agreement struct {
	Lead, Period, Notice, Grace string
	Anchor, Ends                instant
	Run                         int64
	Changes, Canceled, Ended    instant
	Told, Product, Item         string
	Quantity                    int64
	NextItem                    string `json:"next_item"`
	NextQuantity                int64  `json:"next_quantity"`
}

// billed is a line that an event tells of.
type billed struct {
	Number        int64
	Kind          string
	Period        int64
	Starts, Ends  instant
	Product, Item string
	Quantity      int64
	Reference     string
}

// told is what the events about a subscription say.
type agreedDetails struct {
	Facts *agreement
	Lines []billed
}

// end is until when licenses may be used: the moment in µs, and the grace in ns.
func (a agreement) end() (expires, grace int64) {
	if a.Canceled != 0 {
		return int64(a.Ends), 0
	}
	grace, _ = nanoseconds(a.Grace) // what is none is found at the row
	if a.Changes != 0 && a.Changes < a.Ends {
		return int64(a.Changes), grace
	}
	return int64(a.Ends), grace
}

// after is the moment so many periods after another, written down a second time: the
// same day of the month, or the month's last.
func after(period string, anchor, n int64) (int64, error) {
	t := time.UnixMicro(anchor).UTC()
	months := map[string]int64{"monthly": 1, "yearly": 12}[period]
	if months == 0 {
		days, err := strconv.ParseInt(strings.TrimSuffix(period, "d"), 10, 32)
		if err != nil || !strings.HasSuffix(period, "d") || days < 1 {
			return 0, fmt.Errorf("%q is no period", period)
		}
		return anchor + n*days*86_400_000_000, nil
	}
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC).AddDate(0, int(n*months), 0)
	end := first.AddDate(0, 0, t.Day()-1)
	for end.Month() != first.Month() {
		end = end.AddDate(0, 0, -1)
	}
	return end.UnixMicro(), nil
}

// agreements is what is known of subscriptions from elsewhere: the ends of their
// licenses, and the units that were counted.
type agreements struct {
	ends map[string][]licenseEnd
	used map[string]int64 // by subscription, day and license
}

type licenseEnd struct {
	license        string
	expires, grace int64
}

func usageKey(subscription string, day int64, license string) string {
	return fmt.Sprintf("%s/%d/%s", subscription, day, license)
}

// termed takes in that a license got the end that its subscription has.
func (l *life) termed(e store.SubjectEvent, a agreement) {
	l.expires, l.grace = a.end()
	if l.state == "collecting" || l.state == "collected" {
		l.dropOrders("change")
		l.orders = append(l.orders, order{event: e.ID, kind: "change", container: l.holder, generation: l.generation, actor: e.Actor, reason: e.Reason, created: e.Time})
	}
}

// belongs holds the subscription of a license against what made it, and remembers what
// its subscription is to say.
func (v *run) belongs(row store.RawLicense, m *making, l life) {
	id := ""
	if m != nil {
		id = m.Subscription
	}
	v.same("licenses", row.ID, "subscription", row.Subscription, id, "the events about it")
	if id == "" || row.State == "gone" {
		return
	}
	v.subscribed.ends[id] = append(v.subscribed.ends[id], licenseEnd{row.ID, l.expires, l.grace})
}

// subscriptions replays every subscription from its events and holds its row, its
// lines and the ends of its licenses against them.
func (v *run) subscriptions() error {
	rows := &pages[store.RawSubscription]{load: func(last store.RawSubscription) ([]store.RawSubscription, error) {
		return v.tx.RawSubscriptions(last.ID, pageSize)
	}}
	lines := &pages[store.RawLine]{load: func(last store.RawLine) ([]store.RawLine, error) { return v.tx.RawLines(last, pageSize) }}
	usages := &pages[store.RawUsage]{load: func(last store.RawUsage) ([]store.RawUsage, error) { return v.tx.RawUsages(last, pageSize) }}
	events := v.subjectEvents("subscription")
	for {
		var id string
		row := rows.peek()
		if row != nil {
			id = row.ID
		}
		if e := events.peek(); e != nil {
			id = least(id, e.Subject)
		}
		if l := lines.peek(); l != nil {
			id = least(id, l.Subscription)
		}
		if id == "" {
			break
		}
		about := take(events, id)
		var of []store.RawLine
		for l := lines.peek(); l != nil && l.Subscription == id; l = lines.peek() {
			v.read("subscription_lines")
			of = append(of, *lines.next())
		}
		if row == nil || row.ID != id {
			v.find("subscriptions", id, "", "", "", "the row is missing: %d events and %d lines tell of it", len(about), len(of))
			continue
		}
		rows.next()
		v.read("subscriptions")
		v.subscription(*row, about, of)
		delete(v.subscribed.ends, id)
	}
	for id, ends := range v.subscribed.ends {
		v.find("subscriptions", id, "", "", "", "the row is missing: %d licenses belong to it", len(ends))
	}
	for u := usages.next(); u != nil; u = usages.next() {
		v.read("subscription_usage")
		key := usageKey(u.Subscription, u.Day, u.License)
		v.same("subscription_usage", key, "units", u.Units, v.subscribed.used[key], "the events about units of license %s", u.License)
		delete(v.subscribed.used, key)
	}
	for key, n := range v.subscribed.used {
		v.find("subscription_usage", key, "units", "", strconv.FormatInt(n, 10), "the row is missing: events tell that units were counted")
	}
	return cmp.Or(rows.err, events.err, lines.err, usages.err)
}

// subscription holds one subscription against its events.
func (v *run) subscription(row store.RawSubscription, events []store.SubjectEvent, lines []store.RawLine) {
	var now *agreement
	var bill []billed
	made := map[int64]store.SubjectEvent{} // lines, by what made them
	var created store.SubjectEvent
	parsed := map[string]agreedDetails{}
	for _, e := range events {
		var d agreedDetails
		if !v.details(e, &d) || d.Facts == nil {
			v.find("events", e.ID, "details", "", "", "it does not say what was agreed")
			return
		}
		parsed[e.ID] = d
	}
	arrange(events, func(e store.SubjectEvent) bool { return follows(now, bill, e, parsed[e.ID]) == "" }, func(e store.SubjectEvent, fit bool) {
		d := parsed[e.ID]
		if !fit {
			v.find("events", e.ID, "", "", "", "%s of subscription %s does not follow from the events before it: %s", e.Name, row.ID, follows(now, bill, e, d))
		}
		if now == nil {
			created = e
		}
		now, bill = d.Facts, append(bill, d.Lines...)
		for _, l := range d.Lines {
			made[l.Number] = e
		}
	})
	if now == nil {
		v.find("subscriptions", row.ID, "", "", "", "no event says that it was made")
		return
	}
	v.agreed(row, *now, created)
	v.billed(row.ID, bill, made, lines)
	expires, grace := now.end()
	for _, l := range v.subscribed.ends[row.ID] {
		v.same("licenses", l.license, "terms", moment(l.expires)+" and "+time.Duration(l.grace).String(), moment(expires)+" and "+time.Duration(grace).String(), "subscription %s, to which it belongs", row.ID)
	}
}

// agreed holds the row against the facts of the last event.
func (v *run) agreed(row store.RawSubscription, a agreement, created store.SubjectEvent) {
	const told = "the events about it"
	id := row.ID
	for _, c := range []struct {
		column       string
		is, expected any
	}{
		{"order_id", row.OrderID, created.Find("order")}, {"product", row.Product, a.Product}, {"item", row.Item, a.Item}, {"quantity", row.Quantity, a.Quantity},
		{"next_item", row.NextItem, a.NextItem}, {"next_quantity", row.NextQuantity, a.NextQuantity}, {"lead", row.Lead, a.Lead}, {"period", row.Period, a.Period},
		{"anchor", moment(row.Anchor), moment(int64(a.Anchor))}, {"run", row.Run, a.Run}, {"ends", moment(row.Ends), moment(int64(a.Ends))},
		{"changes", moment(row.Changes), moment(int64(a.Changes))}, {"canceled", moment(row.Canceled), moment(int64(a.Canceled))},
		{"ended", moment(row.Ended), moment(int64(a.Ended))}, {"told", row.Told, a.Told}, {"created", moment(row.Created), moment(created.Time)},
	} {
		v.same("subscriptions", id, c.column, c.is, c.expected, told)
	}
	notice, err := nanoseconds(a.Notice)
	grace, err2 := nanoseconds(a.Grace)
	if err = cmp.Or(err, err2); err != nil {
		v.find("subscriptions", id, "notice", "", "", "notice and grace cannot be read: %v", err)
		return
	}
	v.same("subscriptions", id, "notice", row.Notice, notice, told)
	v.same("subscriptions", id, "grace", row.Grace, grace, told)
	v.same("subscriptions", id, "due", moment(row.Due), moment(a.due(notice/1000, grace/1000)), "what was agreed")
}

// due is when time alone does something next, in µs.
func (a agreement) due(notice, grace int64) int64 {
	ends := int64(a.Ends)
	switch {
	case a.Ended != 0 || a.Told == "lapsed":
		return 0
	case a.Canceled != 0:
		return ends
	}
	at := ends
	switch {
	case a.Lead == "licet":
		at = ends - notice
	case a.Told == "in_grace":
		at = ends + grace
	}
	if a.Changes != 0 {
		at = min(at, int64(a.Changes))
	}
	return at
}

// billed holds the lines against those that the events tell of.
func (v *run) billed(id string, bill []billed, made map[int64]store.SubjectEvent, rows []store.RawLine) {
	for _, want := range bill {
		key := fmt.Sprintf("%s/%d", id, want.Number)
		e := made[want.Number]
		i := slices.IndexFunc(rows, func(r store.RawLine) bool { return r.Number == want.Number })
		if i < 0 {
			v.find("subscription_lines", key, "", "", "", "the row is missing: event %s tells of it", e.ID)
			continue
		}
		r := rows[i]
		rows = slices.Delete(slices.Clone(rows), i, i+1)
		for _, c := range []struct {
			column       string
			is, expected any
		}{
			{"kind", r.Kind, want.Kind}, {"period", r.Period, want.Period}, {"starts", moment(r.Starts), moment(int64(want.Starts))}, {"ends", moment(r.Ends), moment(int64(want.Ends))},
			{"product", r.Product, want.Product}, {"item", r.Item, want.Item}, {"quantity", r.Quantity, want.Quantity}, {"reference", r.Reference, want.Reference}, {"made", moment(r.Made), moment(e.Time)},
		} {
			v.same("subscription_lines", key, c.column, c.is, c.expected, "event %s", e.ID)
		}
	}
	for _, r := range rows {
		v.find("subscription_lines", fmt.Sprintf("%s/%d", id, r.Number), "", "", "", "no event tells of it")
	}
}

// follows says why what an event tells may not follow what was agreed before; "" if
// it may.
func follows(was *agreement, bill []billed, e store.SubjectEvent, d agreedDetails) string {
	is := *d.Facts
	if (was == nil) != (e.Name == "subscription_created") {
		return "it begins once"
	}
	end, err := after(is.Period, int64(is.Anchor), is.Run)
	if err != nil || end != int64(is.Ends) {
		return "period " + strconv.FormatInt(is.Run, 10) + " ends " + moment(end)
	}
	if why := numbered(bill, d.Lines); why != "" {
		return why
	}
	var period *billed
	for i, l := range d.Lines {
		if l.Kind == "period" {
			period = &d.Lines[i]
		}
	}
	if was == nil {
		if period == nil || is.Run != 1 || period.Starts != is.Anchor || period.Ends != is.Ends || is.Canceled != 0 || is.Ended != 0 || period.Quantity != is.Quantity {
			return "it begins with its first period"
		}
		return ""
	}
	if was.Ended != 0 {
		return "it was ended at once"
	}
	switch e.Name {
	case "subscription_renewed", "subscription_resumed":
		anew := e.Name == "subscription_resumed" && was.Told == "lapsed"
		switch {
		case period == nil || len(d.Lines) != 1 || period.Ends != is.Ends:
			return "a renewal is one period"
		case anew && (is.Run != 1 || is.Anchor != period.Starts || period.Starts < was.Ends || is.Canceled != 0):
			return "a new run begins with a period of its own"
		case !anew && (is.Run != was.Run+1 || is.Anchor != was.Anchor || period.Starts != was.Ends || is.Canceled != was.Canceled || is.Changes != was.Changes):
			return "a period follows the last one, which ended " + moment(int64(was.Ends))
		}
		want := is.Quantity
		if is.Changes != 0 && period.Starts >= is.Changes {
			want = is.NextQuantity
		}
		if period.Quantity != want {
			return "a period is of what was agreed"
		}
		return ""
	}
	switch moved := is.Ends != was.Ends; {
	case moved || period != nil:
		return "it adds no period"
	case is.Period != was.Period && (is.Anchor != was.Ends || is.Run != 0), is.Period == was.Period && (is.Anchor != was.Anchor || is.Run != was.Run):
		return "periods are counted from where they were"
	}
	late := e.Time >= int64(is.Ends)
	same := is
	switch e.Name {
	case "subscription_changed", "subscription_change_refused":
		if is.Canceled != was.Canceled || is.Ended != 0 || is.Changes != 0 && is.Changes != is.Ends && is.Changes != was.Changes {
			return "it changes something else"
		}
		return bills(append(slices.Clone(bill), d.Lines...), is, e.Time)
	case "subscription_canceled":
		if int64(is.Canceled) != e.Time || was.Canceled != 0 || is.Changes != 0 {
			return "it is canceled once"
		}
		return ""
	case "subscription_kept":
		if is.Canceled != 0 || was.Canceled == 0 || late {
			return "nothing was canceled"
		}
		return ""
	case "subscription_ended":
		if int64(is.Ended) != e.Time {
			return "it ends at the moment of the event"
		}
		return ""
	case "subscription_in_grace", "subscription_lapsed":
		expires, grace := is.end()
		if same.Told = was.Told; same != *was || !late || e.Name == "subscription_lapsed" && e.Time < expires+grace/1000 {
			return "it is not over by date"
		}
		return ""
	}
	return "there is no such event"
}

// numbered checks that lines go on behind those that there are.
func numbered(bill, lines []billed) string {
	next := int64(len(bill) + 1)
	for _, l := range lines {
		if l.Number != next {
			return fmt.Sprintf("line %d is not line %d", l.Number, next)
		}
		next++
	}
	return ""
}

// bills checks that what is billed of the periods that are not over is what was
// agreed.
func bills(bill []billed, a agreement, now int64) string {
	for _, p := range bill {
		if p.Kind != "period" || int64(p.Ends) <= now {
			continue
		}
		item, quantity := a.Item, a.Quantity
		if a.Changes != 0 && p.Starts >= a.Changes {
			item, quantity = a.NextItem, a.NextQuantity
		}
		sums := map[string]int64{item: 0}
		for _, l := range bill {
			if l.Period == p.Number {
				sums[l.Item] += l.Quantity
			}
		}
		for it, n := range sums {
			if it == item && n != quantity || it != item && n != 0 {
				return fmt.Sprintf("%d × %s are billed of the period until %s", n, it, moment(int64(p.Ends)))
			}
		}
	}
	return ""
}
