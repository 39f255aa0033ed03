package store

import (
	"cmp"
	"slices"

	"licet/license"
)

// LicenseView is a license with what is shown of it from other tables.
type LicenseView struct {
	License
	Order    Order
	Product  license.Product
	Earmarks bool      // orders of the vendor concern it
	Box      Container // its holder, of which only Blocked, Closed and Lent are read
}

const (
	licenseViewColumns = `select l.id, l.order_id, l.ticket_id, l.product, l.item, l.features, l.terms, l.state, l.generation, l.holder, l.step, l.withdrawn, l.activated, l.created, l.reserved, l.replaces, l.replaced_by, l.seats, l.origin, l.merged_into, l.used, l.subscription, l.held_back, ` +
		`o.id, o.number, o.customer, o.created, p.spec, ` +
		`case when exists (select 1 from earmarks e where e.license = l.id) or exists (select 1 from earmarks e where e.with_license = l.id and e.with_license <> '') then 1 else 0 end, ` +
		`coalesce(c.block_reason, ''), coalesce(c.block_time, 0), coalesce(c.closed, 0), coalesce(c.lent, '')`
	licenseViewTables = ` from licenses l join orders o on o.id = l.order_id join products p on p.code = l.product left join containers c on c.serial = l.holder `
	licenseView       = licenseViewColumns + licenseViewTables + `where l.id = $1`
	ticketViews       = licenseViewColumns + `, t.created` + licenseViewTables + `join tickets t on t.id = l.ticket_id where t.lookup = $1 and l.merged_into = ''`
)

func scanLicenseView(scan func(...any) error, behind ...any) (LicenseView, error) {
	var v LicenseView
	var spec, lent string
	var earmarks, closed int64
	l, err := scanLicenseAnd(scan, append([]any{&v.Order.ID, &v.Order.Number, &v.Order.Customer, &v.Order.Created, &spec, &earmarks,
		&v.Box.Blocked.Reason, &v.Box.Blocked.Time, &closed, &lent}, behind...)...)
	if err == nil {
		v.Box.Lent, err = readLent(lent)
	}
	if err != nil {
		return v, err
	}
	v.License, v.Earmarks, v.Box.Closed = l, earmarks != 0, closed != 0
	v.Product, err = decodedProducts.of(spec)
	return v, err
}

// LicenseView finds a license with what is shown of it.
func (tx *Tx) LicenseView(id license.ID) (LicenseView, error) {
	return scanLicenseView(tx.QueryRow(licenseView, id).Scan)
}

// TicketViews returns the licenses of a ticket, found by its keyed hash, with what
// is shown of them, oldest first, and when the ticket was made. None may mean that
// there is no such ticket.
func (tx *Tx) TicketViews(lookup []byte) (views []LicenseView, created license.Time, err error) {
	views, err = collect(tx, func(scan func(...any) error) (LicenseView, error) {
		return scanLicenseView(scan, &created)
	}, ticketViews, lookup)
	// Sorted here: most tickets have one license, and a query that sorts prepares
	// for many.
	slices.SortFunc(views, func(a, b LicenseView) int { return cmp.Compare(a.ID, b.ID) })
	return views, created, err
}
