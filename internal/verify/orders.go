package verify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"licet/internal/store"
)

// ordersPage is how many orders are counted at once.
const ordersPage = 200

// orders holds every order against its events: its ticket, and that what was sold
// is with the vendor, with a container or gone.
func (v *run) orders() error {
	var counts []store.RawCount
	rows := &pages[store.RawOrder]{load: func(last store.RawOrder) ([]store.RawOrder, error) {
		page, err := v.tx.RawOrders(last.ID, ordersPage)
		if err == nil && len(page) > 0 {
			counts, err = v.tx.RawCounts(page[0].ID, page[len(page)-1].ID)
		}
		return page, err
	}}
	tickets := &pages[store.RawTicket]{load: func(last store.RawTicket) ([]store.RawTicket, error) {
		return v.tx.RawTickets(last.OrderID, last.ID, pageSize)
	}}
	events := v.subjectEvents("order")
	for {
		var id string
		row := rows.peek()
		if row != nil {
			id = row.ID
		}
		if e := events.peek(); e != nil {
			id = least(id, e.Subject)
		}
		if t := tickets.peek(); t != nil {
			id = least(id, t.OrderID)
		}
		if id == "" {
			return cmp.Or(rows.err, events.err, tickets.err)
		}
		about := take(events, id)
		var of []store.RawTicket
		for t := tickets.peek(); t != nil && t.OrderID == id; t = tickets.peek() {
			v.read("tickets")
			of = append(of, *tickets.next())
		}
		if row == nil || row.ID != id {
			v.find("orders", id, "", "", "", "the row is missing: %d events and %d tickets belong to it", len(about), len(of))
			continue
		}
		row = rows.next()
		v.read("orders")
		var mine []store.RawCount
		for len(counts) > 0 && counts[0].OrderID <= id {
			if counts[0].OrderID == id {
				mine = append(mine, counts[0])
			}
			counts = counts[1:]
		}
		if err := v.order(*row, about, of, mine); err != nil {
			return err
		}
	}
}

func (v *run) order(row store.RawOrder, events []store.SubjectEvent, tickets []store.RawTicket, rows []store.RawCount) error {
	sold, seats := map[string]int64{}, map[string]int64{}
	var units counts
	brought := false // by containers, after a return from a back-up: each license says what
	var created *making
	var rewrapped []*making // the ticket's copy was encrypted anew, by id
	for _, e := range events {
		brought = brought || isGap(e.Name)
		if e.Name == "license_brought" {
			continue
		}
		if e.Name == "units_added" || e.Name == "units_counted" {
			var d ordering
			if v.details(e, &d); e.Name == "units_added" {
				units.units += d.Added
			} else {
				units.used += d.Used - number(d.Was)
			}
			continue
		}
		m := v.making(e)
		if e.Name == "ticket_rewrapped" {
			rewrapped = append(rewrapped, m)
			continue
		}
		if e.Name == "license_claimed" {
			var d struct {
				Position, Product string
				Seats             int64
			}
			v.details(e, &d)
			was := unclaimed(d.Product)
			sold[d.Position], sold[was] = sold[d.Position]+1, sold[was]-1
			seats[d.Position], seats[was] = seats[d.Position]+d.Seats, seats[was]-d.Seats
			continue
		}
		for i, it := range m.Items {
			seatsEach, unitsEach := m.terms[i].number("seats"), m.terms[i].number("units")
			switch {
			case e.Name == "seats_brought": // which changes no sum, as a split by seats
			case !splits(e.Name):
				seats[it.Position] += seatsEach * max(it.Asked-it.Had, 0)
				units.units += unitsEach * max(it.Asked-it.Had, 0)
			case unitsEach > 0: // a part has the seats, and some of the units
				seats[it.Position] += seatsEach
			}
		}
		if e.Name == "replacement_ordered" || e.Name == "withdrawn" || splits(e.Name) || e.Name == "seats_brought" {
			for _, it := range m.Items {
				sold[it.Position]++
			}
			continue
		}
		if e.Name == "order_created" {
			if created != nil {
				v.find("events", e.ID, "", "", "", "a second event says that order %s was created", row.ID)
			}
			created = m
		}
		var added int64
		for _, it := range m.Items {
			n := max(it.Asked-it.Had, 0)
			added += n
			sold[it.Position] += n
		}
		named, err := v.tx.CountSubjects(e.ID, "license")
		if err != nil {
			return err
		}
		v.same("events", e.ID, "details", m.Added, added, "the sum of its positions")
		v.same("events", e.ID, "subjects", named, added, "the licenses that it adds")
	}
	if created == nil {
		v.find("orders", row.ID, "", "", "", "no event says that it was created")
		return nil
	}
	v.same("orders", row.ID, "number", row.Number, created.Number, "event %s", created.event)
	v.same("orders", row.ID, "customer", row.Customer, created.Customer, "event %s", created.event)
	v.same("orders", row.ID, "created", moment(row.Created), moment(created.time), "event %s", created.event)
	v.ticket(row, *created, rewrapped, tickets)
	v.sum(row, sold, seats, rows)
	if units == (counts{}) || brought {
		return nil
	}
	return v.units(row, units)
}

// units checks that no unit of an order is lost or added, whatever was split and
// merged, and that those are used of which containers have told.
func (v *run) units(row store.RawOrder, told counts) error {
	rows, err := v.tx.RawUnits(row.ID)
	if err != nil {
		return err
	}
	var have counts
	for _, r := range rows {
		t, err := parseTerms([]byte(r.Terms))
		if err != nil {
			continue // told of with the license
		}
		have.units += t.number("units")
		have.used += r.Used
	}
	if have.units != told.units {
		v.find("orders", row.ID, "units", show(have.units), show(told.units), "what its events say was sold and added: splitting and merging change no sum")
	}
	if have.used != told.used {
		v.find("orders", row.ID, "used", show(have.used), show(told.used), "what containers have told of its units: splitting and merging change no sum")
	}
	return nil
}

// ticket checks that an order has its one ticket.
func (v *run) ticket(row store.RawOrder, created making, rewrapped []*making, tickets []store.RawTicket) {
	i := slices.IndexFunc(tickets, func(t store.RawTicket) bool { return t.ID == created.ticket })
	if i < 0 {
		v.find("tickets", created.ticket, "order_id", "", row.ID, "event %s: the ticket is missing or belongs to another order", created.event)
	}
	for n, t := range tickets {
		if n != i {
			v.find("tickets", t.ID, "order_id", row.ID, "", "event %s: the ticket of this order is %s", created.event, created.ticket)
			continue
		}
		hash := sha256.Sum256(slices.Concat(t.Lookup, t.Sealed))
		record, by := hex.EncodeToString(hash[:]), created
		for i, m := range rewrapped {
			// Of those that clocks do not tell apart, any may be the newest.
			if by = *m; rewrapped[len(rewrapped)-1].time-m.time <= skew && (m.TicketRecord == record || i == len(rewrapped)-1) {
				break
			}
		}
		v.same("tickets", t.ID, "lookup", "record "+record, "record "+by.TicketRecord, "event %s: lookup or sealed is another one", by.event)
		v.same("tickets", t.ID, "created", moment(t.Created), moment(created.time), "event %s", created.event)
	}
}

// sum checks that nothing that was sold is lost or added.
func (v *run) sum(row store.RawOrder, sold, seats map[string]int64, counts []store.RawCount) {
	var vendor, user, gone int64
	have, haveSeats := map[string]int64{}, map[string]int64{}
	for _, c := range counts {
		have[c.Item] += c.Count
		haveSeats[c.Item] += c.Seats
		switch {
		case withVendor(c.State):
			vendor += c.Count
		case withContainer(c.State):
			user += c.Count
		case c.State == "gone":
			gone += c.Count
		}
	}
	var total int64
	for item, n := range sold {
		total += n
		if have[item] != n {
			v.find("orders", row.ID, "licenses of "+item, show(have[item]), show(n), "what its events say was sold")
		}
	}
	for item, n := range seats {
		if haveSeats[item] != n {
			v.find("orders", row.ID, "seats of "+item, show(haveSeats[item]), show(n), "what its events say was sold: splitting and merging change no sum")
		}
	}
	for item, n := range have {
		if _, ok := sold[item]; !ok {
			v.find("orders", row.ID, "licenses of "+item, show(n), "0", "what its events say was sold")
		}
	}
	if vendor+user+gone != total {
		v.find("orders", row.ID, "licenses", show(vendor+user+gone), show(total), "sold = with the vendor (%d) + with containers (%d) + gone (%d)", vendor, user, gone)
	}
}
