package store

import "licet/license"

// Loss is one lost license of a recovery, with what is known of the report.
type Loss struct {
	RecoveryLicense
	Recovery uint64
	Scope    string
	Hardware string
	Customer string
	Created  license.Time
	Kind     license.Kind // of the container that it was lost with; empty if none is known
}

// CustomerRestore is a restore with the customer whose license it was.
type CustomerRestore struct {
	Restore
	Customer string
}

const (
	lossesOf = `select r.number, r.scope, r.hardware, r.customer, r.created, x.license, x.generation, x.container, x.verdict, x.outcome, x.because, coalesce(c.kind, '')
from recovery_licenses x
join licenses l on l.id = x.license
join recoveries r on r.number = x.recovery
left join containers c on c.serial = x.container
where l.product = $1 and r.created >= $2
order by r.number, x.license limit $3`
	restoresCustomers = `select x.license, x.generation, x.how, x.recovery, x.container, x.actor, x.time, o.customer
from restores x
join licenses l on l.id = x.license
join orders o on o.id = l.order_id
where x.time >= $1
order by x.time, x.license`

	reportsCustomer = `select count(distinct x.recovery) from restores x join licenses l on l.id = x.license join orders o on o.id = l.order_id
where x.time >= $1 and x.how <> 'lost' and o.customer = $2`
	reportsContainer = `select count(distinct recovery) from restores where time >= $1 and how <> 'lost' and container = $2`
	reportsActor     = `select count(distinct recovery) from restores where time >= $1 and how <> 'lost' and actor = $2`
)

// LossesOf returns the lost licenses of a product that were reported from a
// moment on, oldest first, at most limit.
func (tx *Tx) LossesOf(product string, since license.Time, limit int) ([]Loss, error) {
	return collect(tx, func(scan func(...any) error) (l Loss, err error) {
		return l, scan(&l.Recovery, &l.Scope, &l.Hardware, &l.Customer, &l.Created, &l.License, &l.Generation, &l.Container,
			&l.Verdict, &l.Outcome, &l.Because, &l.Kind)
	}, lossesOf, product, since, limit)
}

// RestoresWithCustomers returns every restore from a moment on, oldest first.
func (tx *Tx) RestoresWithCustomers(since license.Time) ([]CustomerRestore, error) {
	return collect(tx, func(scan func(...any) error) (r CustomerRestore, err error) {
		return r, scan(&r.License, &r.Generation, &r.How, &r.Recovery, &r.Container, &r.Actor, &r.Time, &r.Customer)
	}, restoresCustomers, since)
}

// CountReportsOfCustomer counts the recoveries in which licenses of a customer
// were restored from a moment on.
func (tx *Tx) CountReportsOfCustomer(customer string, since license.Time) (n int64, err error) {
	return n, tx.QueryRow(reportsCustomer, since, customer).Scan(&n)
}

// CountReportsOfContainer counts those for what a container had held.
func (tx *Tx) CountReportsOfContainer(serial license.Serial, since license.Time) (n int64, err error) {
	return n, tx.QueryRow(reportsContainer, since, serial).Scan(&n)
}

// CountReportsOfActor counts those that somebody granted.
func (tx *Tx) CountReportsOfActor(actor string, since license.Time) (n int64, err error) {
	return n, tx.QueryRow(reportsActor, since, actor).Scan(&n)
}
