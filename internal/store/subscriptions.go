package store

import (
	"licet/license"
	"licet/subscription"
)

// Subscription is a row of subscriptions.
type Subscription struct {
	ID       string
	OrderID  string
	Product  string
	Item     string // product and overrides, as an order has them
	Quantity int64

	// While Changes is set: what there is from then on.
	NextItem     string
	NextQuantity int64

	subscription.Subscription
	Created license.Time
}

// Line is one line of what there is to bill: so many licenses, or so many more or
// fewer of them, from one moment to another within a period.
type Line struct {
	Subscription string
	Number       int64
	Kind         string
	Period       int64 // the number of the period's own line
	Starts, Ends license.Time
	Product      string
	Item         string
	Quantity     int64
	Reference    string // of whoever told the period, such as an invoice's number
	Made         license.Time
}

// Kinds of lines.
const (
	LinePeriod  = "period"  // a period begins to count
	LineAdded   = "added"   // licenses were added within one
	LineEdition = "edition" // they are of another product or have other terms from here on
	LineEnded   = "ended"   // what is left of a period falls away
)

const (
	subscriptionColumns = `select s.id, s.order_id, s.product, s.item, s.quantity, s.next_item, s.next_quantity, s.lead, s.period, s.notice, s.grace, s.anchor, s.run, s.ends, s.changes, s.canceled, s.ended, s.told, s.created from subscriptions s `
	subscriptionInsert  = `insert into subscriptions (id, order_id, product, item, quantity, next_item, next_quantity, lead, period, notice, grace, anchor, run, ends, changes, canceled, ended, told, due, created) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`
	subscriptionUpdate  = `update subscriptions set product = $2, item = $3, quantity = $4, next_item = $5, next_quantity = $6, lead = $7, period = $8, notice = $9, grace = $10, anchor = $11, run = $12, ends = $13, changes = $14, canceled = $15, ended = $16, told = $17, due = $18 where id = $1`
	subscriptionByID    = subscriptionColumns + `where s.id = $1`
	subscriptionOfOrder = subscriptionColumns + `where s.order_id = $1`
	subscriptionsPage   = subscriptionColumns + `where s.id < $1 and (s.told = $2 or $2 = '') order by s.id desc limit $3`
	subscriptionsDue    = `select id from subscriptions where due > 0 and due <= $1 order by due limit $2`
	licensesSubscribed  = licenseColumns + `where subscription = $1 and subscription <> '' and merged_into = '' order by id`

	lineColumns   = `select subscription, number, kind, period, starts, ends, product, item, quantity, reference, made from subscription_lines `
	lineInsert    = `insert into subscription_lines (subscription, number, kind, period, starts, ends, product, item, quantity, reference, made) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	linesOf       = lineColumns + `where subscription = $1 order by number`
	linesAfter    = lineColumns + `where subscription = $1 and kind = 'period' and ends > $2 order by number`
	lineReference = lineColumns + `where subscription = $1 and reference = $2 and reference <> ''`
	lineLast      = `select coalesce(max(number), 0) from subscription_lines where subscription = $1`
	usageAdd      = `insert into subscription_usage (subscription, day, license, product, units) values ($1, $2, $3, $4, $5) on conflict (subscription, day, license) do update set units = subscription_usage.units + excluded.units`
)

func scanSubscription(scan func(...any) error) (s Subscription, err error) {
	var period string
	var notice, grace int64
	if err = scan(&s.ID, &s.OrderID, &s.Product, &s.Item, &s.Quantity, &s.NextItem, &s.NextQuantity, &s.Lead, &period, &notice, &grace,
		&s.Anchor, &s.Run, &s.Ends, &s.Changes, &s.Canceled, &s.Subscription.Ended, &s.Told, &s.Created); err != nil {
		return s, err
	}
	s.Notice, s.Grace = license.Duration(notice), license.Duration(grace)
	s.Period, err = subscription.ParsePeriod(period)
	return s, err
}

func scanLine(scan func(...any) error) (l Line, err error) {
	return l, scan(&l.Subscription, &l.Number, &l.Kind, &l.Period, &l.Starts, &l.Ends, &l.Product, &l.Item, &l.Quantity, &l.Reference, &l.Made)
}

// InsertSubscription stores a new subscription.
func (tx *Tx) InsertSubscription(s Subscription) error {
	due, _ := s.Due()
	return tx.later(subscriptionInsert, 1, s.ID, s.OrderID, s.Product, s.Item, s.Quantity, s.NextItem, s.NextQuantity, s.Lead, s.Period.String(), int64(s.Notice), int64(s.Grace),
		s.Anchor, s.Run, s.Ends, s.Changes, s.Canceled, s.Subscription.Ended, s.Told, due, s.Created)
}

// UpdateSubscription stores one that is locked.
func (tx *Tx) UpdateSubscription(s Subscription) error {
	due, _ := s.Due()
	return tx.later(subscriptionUpdate, 1, s.ID, s.Product, s.Item, s.Quantity, s.NextItem, s.NextQuantity, s.Lead, s.Period.String(), int64(s.Notice), int64(s.Grace),
		s.Anchor, s.Run, s.Ends, s.Changes, s.Canceled, s.Subscription.Ended, s.Told, due)
}

// LockSubscription locks a subscription until the transaction ends and gives it;
// ErrNotFound if there is none.
func (tx *Tx) LockSubscription(id string) (Subscription, error) {
	if err := tx.Touch("subscriptions", "id", id); err != nil {
		return Subscription{}, err
	}
	return tx.SubscriptionByID(id)
}

// SubscriptionByID finds a subscription.
func (tx *Tx) SubscriptionByID(id string) (Subscription, error) {
	return scanSubscription(tx.QueryRow(subscriptionByID, id).Scan)
}

// SubscriptionOfOrder finds the subscription that an order is of.
func (tx *Tx) SubscriptionOfOrder(orderID string) (Subscription, error) {
	return scanSubscription(tx.QueryRow(subscriptionOfOrder, orderID).Scan)
}

// Subscriptions returns a page of subscriptions, newest first, those before the id
// given: all, or those in the state that was told last.
func (tx *Tx) Subscriptions(state, before string, limit int) ([]Subscription, error) {
	if before == "" {
		before = "~"
	}
	return collect(tx, scanSubscription, subscriptionsPage, before, state, limit)
}

// SubscriptionsDue returns those to which time alone does something by now, the most
// overdue first.
func (tx *Tx) SubscriptionsDue(now license.Time, limit int) ([]string, error) {
	return collect(tx, func(scan func(...any) error) (id string, err error) { return id, scan(&id) }, subscriptionsDue, now, limit)
}

// LicensesSubscribed returns the licenses of a subscription, oldest first, those that
// are gone among them.
func (tx *Tx) LicensesSubscribed(id string) ([]License, error) {
	return tx.licenses(licensesSubscribed, id)
}

// InsertLines stores lines of a subscription that is locked behind those it has, and
// gives them with their numbers. A line of a period is its own period.
func (tx *Tx) InsertLines(lines []Line) ([]Line, error) {
	if len(lines) == 0 {
		return lines, nil
	}
	var last int64
	if err := tx.QueryRow(lineLast, lines[0].Subscription).Scan(&last); err != nil {
		return nil, err
	}
	for i := range lines {
		last++
		l := &lines[i]
		if l.Number = last; l.Kind == LinePeriod {
			l.Period = last
		}
		if err := tx.later(lineInsert, 1, l.Subscription, l.Number, l.Kind, l.Period, l.Starts, l.Ends, l.Product, l.Item, l.Quantity, l.Reference, l.Made); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// Lines returns every line of a subscription.
func (tx *Tx) Lines(id string) ([]Line, error) { return collect(tx, scanLine, linesOf, id) }

// PeriodsAfter returns the lines of the periods of a subscription that end after a
// moment.
func (tx *Tx) PeriodsAfter(id string, moment license.Time) ([]Line, error) {
	return collect(tx, scanLine, linesAfter, id, moment)
}

// LineByReference finds the line that somebody told under a reference.
func (tx *Tx) LineByReference(id, reference string) (Line, error) {
	return scanLine(tx.QueryRow(lineReference, id, reference).Scan)
}

// AddUsage adds units that were counted of a license of a subscription on a day.
func (tx *Tx) AddUsage(l License, day, units int64) error {
	return tx.later(usageAdd, 1, l.Subscription, day, l.ID, l.Product, units)
}

// Billed is one row of a report: what was agreed and used from one moment to another,
// by what it is grouped.
type Billed struct {
	Key                                     string // that the rows are sorted by
	Subscription, Number, Customer, Product string // as far as the grouping tells them
	Periods                                 int64  // that began
	Licenses                                int64  // of them
	Days                                    int64  // licenses × days
	Units                                   int64  // that were counted
}

// Ways to group a report.
const (
	BySubscription = "subscription"
	ByCustomer     = "customer"
	ByProduct      = "product"
)

// The report is one query: lines that overlap the span, cut to it, and the units of
// its days, both found by an index. A day is 86 400 000 000 µs.
const (
	billedSums = `, cast(sum(b.periods) as bigint), cast(sum(b.licenses) as bigint), cast(sum(b.days) as bigint), cast(sum(b.units) as bigint) from (
select l.subscription as sub, l.product as product,
    case when l.kind = 'period' and l.starts >= $1 then 1 else 0 end as periods,
    case when l.kind = 'period' and l.starts >= $1 then l.quantity else 0 end as licenses,
    l.quantity * ((case when l.ends < $2 then l.ends else $2 end) / 86400000000 - (case when l.starts > $1 then l.starts else $1 end) / 86400000000) as days,
    0 as units
  from subscription_lines l where l.ends > $1 and l.starts < $2
union all
select u.subscription, u.product, 0, 0, 0, u.units from subscription_usage u where u.day >= $3 and u.day < $4
) b join subscriptions s on s.id = b.sub join orders o on o.id = s.order_id `
	billedSubscriptions = `select b.sub, b.sub, max(o.number), max(o.customer), max(s.product)` + billedSums + `where b.sub > $5 group by b.sub order by b.sub limit $6`
	billedCustomers     = `select o.customer, '', '', o.customer, ''` + billedSums + `where o.customer > $5 group by o.customer order by o.customer limit $6`
	billedProducts      = `select b.product, '', '', '', b.product` + billedSums + `where b.product > $5 group by b.product order by b.product limit $6`
)

// Billing reports what was agreed and used from one moment to another, in rows by
// their key, those after the key given.
func (tx *Tx) Billing(by string, from, to license.Time, after string, limit int) ([]Billed, error) {
	query := billedSubscriptions
	switch by {
	case ByCustomer:
		query = billedCustomers
	case ByProduct:
		query = billedProducts
	}
	return collect(tx, func(scan func(...any) error) (b Billed, err error) {
		return b, scan(&b.Key, &b.Subscription, &b.Number, &b.Customer, &b.Product, &b.Periods, &b.Licenses, &b.Days, &b.Units)
	}, query, int64(from), int64(to), DayOf(from), DayOf(to), after, limit)
}

// DayOf is the day of a moment, counted from 1970-01-01.
func DayOf(t license.Time) int64 { return int64(t) / 86_400_000_000 }
