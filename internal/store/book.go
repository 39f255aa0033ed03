package store

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"slices"
	"sync"

	"licet/container"
	"licet/license"
)

// Vendor is the one vendor of a database.
type Vendor struct {
	ID, Name, Environment, Address string
	Epoch                          uint64
	Outdated                       string // what proves that the record is older than another; empty for nothing
	Trust                          []byte
	Created                        license.Time
	Keys                           uint64 // counts every change of the keys
	Stop                           Stop
	Revoked                        uint64 // number of the trust bundle that last revoked an issuing key; 0 for none
}

// Stop says that nothing is issued, since when and why. The zero value means that
// it is not so.
type Stop struct {
	Since         license.Time
	Actor, Reason string
}

const (
	vendorInsert = `insert into vendor (id, name, environment, address, epoch, trust, created) values ($1, $2, $3, $4, $5, $6, $7)`
	vendorSelect = `select id, name, environment, address, epoch, outdated, trust, created, keys, stopped, stop_actor, stop_reason, revoked from vendor`
	vendorKeys   = `select keys from vendor`
	vendorTrust  = `update vendor set name = $1, address = $2, trust = $3`
	vendorRevoke = `update vendor set revoked = $1, outdated = ''`
	vendorStop   = `update vendor set stopped = $1, stop_actor = $2, stop_reason = $3`
	vendorTouch  = `update vendor set version = version + 1, keys = keys + 1`
)

// InsertVendor makes the database's vendor.
func (tx *Tx) InsertVendor(v Vendor) error {
	_, err := tx.Exec(vendorInsert, v.ID, v.Name, v.Environment, v.Address, v.Epoch, v.Trust, v.Created)
	return err
}

// Vendor returns the database's vendor, ErrNotFound before Init.
func (tx *Tx) Vendor() (Vendor, error) {
	var v Vendor
	err := tx.QueryRow(vendorSelect).Scan(&v.ID, &v.Name, &v.Environment, &v.Address, &v.Epoch, &v.Outdated, &v.Trust, &v.Created,
		&v.Keys, &v.Stop.Since, &v.Stop.Actor, &v.Stop.Reason, &v.Revoked)
	return v, err
}

// KeysVersion is how often the keys were changed.
func (tx *Tx) KeysVersion() (n uint64, err error) { return n, tx.QueryRow(vendorKeys).Scan(&n) }

// ChangeKeys locks the vendor's row for a change of the keys, or of whether they
// sign, and counts it.
func (tx *Tx) ChangeKeys() error { return tx.one(vendorTouch) }

// SetTrust stores a trust bundle and what it says of the vendor.
func (tx *Tx) SetTrust(name, address string, trust []byte) error {
	return tx.one(vendorTrust, name, address, trust)
}

// SetRevoked notes the number of a trust bundle that revokes an issuing key. What
// showed the record to be outdated may have been signed by whoever stole the key; if
// it was not, it shows again.
func (tx *Tx) SetRevoked(bundle uint64) error { return tx.one(vendorRevoke, bundle) }

// SetStop stops issuing, or with the zero value lets it go on.
func (tx *Tx) SetStop(s Stop) error { return tx.one(vendorStop, s.Since, s.Actor, s.Reason) }

// Key is a key pair with its use. Private is encrypted; nil once removed, and where
// a token keeps it.
type Key struct {
	ID, Use                      string
	Public, Private, Certificate []byte // no certificate until the root has signed one
	Created                      license.Time
	NotBefore, NotAfter          license.Time // as the certificate has it
	Revoked                      license.Time // 0 while it is not
	Reason                       string       // for which it was revoked
	Signatures                   int64        // it has made at most so many
	Token                        string       // JSON: where its private part is; empty for here
}

const (
	keyInsert  = `insert into keys (id, use, public, private, certificate, created, not_before, not_after, token) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	keysSelect = `select id, use, public, private, certificate, created, not_before, not_after, revoked, reason, signatures, token from keys order by created, id`
	keyForget  = `update keys set private = null where id = $1`
	keyRewrap  = `update keys set private = $2 where id = $1`
	keyCertify = `update keys set certificate = $2, not_before = $3, not_after = $4 where id = $1`
	keyRevoke  = `update keys set revoked = $2, reason = $3 where id = $1`
	keyCount   = `update keys set signatures = signatures + $2 where id = $1`
	keyDrop    = `delete from keys where id = $1 and certificate is null and use <> 'root' and use <> 'audit'`
)

// InsertKey stores a key.
func (tx *Tx) InsertKey(k Key) error {
	_, err := tx.Exec(keyInsert, k.ID, k.Use, k.Public, k.Private, k.Certificate, k.Created, k.NotBefore, k.NotAfter, k.Token)
	return err
}

// Keys returns every key, oldest first.
func (tx *Tx) Keys() ([]Key, error) {
	return collect(tx, func(scan func(...any) error) (k Key, err error) {
		return k, scan(&k.ID, &k.Use, &k.Public, &k.Private, &k.Certificate, &k.Created,
			&k.NotBefore, &k.NotAfter, &k.Revoked, &k.Reason, &k.Signatures, &k.Token)
	}, keysSelect)
}

// CertifyKey stores the certificate of a key and what it says.
func (tx *Tx) CertifyKey(id string, certificate []byte, notBefore, notAfter license.Time) error {
	return tx.one(keyCertify, id, certificate, notBefore, notAfter)
}

// RevokeKey notes that a key is revoked.
func (tx *Tx) RevokeKey(id string, now license.Time, reason string) error {
	return tx.one(keyRevoke, id, now, reason)
}

// RewrapKey stores the private part of a key as it is encrypted anew.
func (tx *Tx) RewrapKey(id string, private []byte) error { return tx.one(keyRewrap, id, private) }

// CountSignatures adds to the signatures that a key can have made.
func (tx *Tx) CountSignatures(id string, n int64) error { return tx.one(keyCount, id, n) }

// DropKey removes a key that the root never certified; ErrNotFound if there is none.
func (tx *Tx) DropKey(id string) error { return tx.one(keyDrop, id) }

// ForgetPrivateKey removes the private part of a key.
func (tx *Tx) ForgetPrivateKey(id string) error { return tx.one(keyForget, id) }

// one runs a change that must hit exactly one row; none is ErrNotFound.
func (tx *Tx) one(query string, args ...any) error {
	n, err := tx.Exec(query, args...)
	if err == nil && n != 1 {
		return ErrNotFound
	}
	return err
}

// Category groups products.
type Category struct{ Code, Name string }

const (
	categoriesSelect = `select code, name from categories order by code`
	categoryUpsert   = `insert into categories (code, name) values ($1, $2) on conflict (code) do update set name = excluded.name, version = categories.version + 1`
	productsSelect   = `select spec from products order by code`
	productSelect    = `select spec from products where code = $1`
	bundlesSelect    = `select spec from bundles order by code`
	bundleSelect     = `select spec from bundles where code = $1`
	bundleUpsert     = `insert into bundles (code, spec) values ($1, $2) on conflict (code) do update set spec = excluded.spec, version = bundles.version + 1`
	productUpsert    = `insert into products (code, spec) values ($1, $2) on conflict (code) do update set spec = excluded.spec, version = products.version + 1`
)

// Categories returns every category.
func (tx *Tx) Categories() ([]Category, error) {
	return collect(tx, func(scan func(...any) error) (c Category, err error) { return c, scan(&c.Code, &c.Name) }, categoriesSelect)
}

// PutCategory creates or changes a category.
func (tx *Tx) PutCategory(c Category) error {
	_, err := tx.Exec(categoryUpsert, c.Code, c.Name)
	return err
}

// maxDecoded is how many values of one kind are kept decoded at most.
const maxDecoded = 1000

// decoded keeps what JSON texts say, by the texts: a catalog has few products, and
// most licenses share their features and terms with many. Nobody changes what it
// gives out. A full one is begun anew, so that years do not grow it.
type decoded[T any] struct {
	lock  sync.RWMutex // guards texts
	texts map[string]T // JSON → what it says
}

var (
	decodedProducts decoded[license.Product]
	decodedBundles  decoded[license.Bundle]
	decodedFeatures decoded[[]string]
	decodedTerms    decoded[license.Terms]
)

func (d *decoded[T]) of(text string) (T, error) {
	d.lock.RLock()
	v, ok := d.texts[text]
	d.lock.RUnlock()
	if ok {
		return v, nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, err
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.texts == nil || len(d.texts) >= maxDecoded {
		d.texts = map[string]T{}
	}
	d.texts[text] = v
	return v, nil
}

// Products returns every product by code.
func (tx *Tx) Products() ([]license.Product, error) {
	return collect(tx, func(scan func(...any) error) (license.Product, error) {
		var spec string
		if err := scan(&spec); err != nil {
			return license.Product{}, err
		}
		return decodedProducts.of(spec)
	}, productsSelect)
}

// Bundles returns every bundle by code.
func (tx *Tx) Bundles() ([]license.Bundle, error) {
	return collect(tx, func(scan func(...any) error) (license.Bundle, error) {
		var spec string
		if err := scan(&spec); err != nil {
			return license.Bundle{}, err
		}
		return decodedBundles.of(spec)
	}, bundlesSelect)
}

// Bundle returns one bundle.
func (tx *Tx) Bundle(code string) (license.Bundle, error) {
	var spec string
	if err := tx.QueryRow(bundleSelect, code).Scan(&spec); err != nil {
		return license.Bundle{}, err
	}
	return decodedBundles.of(spec)
}

// PutBundle creates or changes a bundle.
func (tx *Tx) PutBundle(b license.Bundle) error {
	spec, err := json.Marshal(b)
	if err != nil {
		return err
	}
	_, err = tx.Exec(bundleUpsert, b.Code, string(spec))
	return err
}

// Product returns one product.
func (tx *Tx) Product(code string) (license.Product, error) {
	var spec string
	if err := tx.QueryRow(productSelect, code).Scan(&spec); err != nil {
		return license.Product{}, err
	}
	return decodedProducts.of(spec)
}

// PutProduct creates or changes a product.
func (tx *Tx) PutProduct(p license.Product) error {
	spec, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(productUpsert, p.Code, string(spec))
	return err
}

// Order is a sale.
type Order struct {
	ID, Number, Customer string
	Created              license.Time
}

const (
	orderColumns  = `select id, number, customer, created from orders `
	orderInsert   = `insert into orders (id, number, customer, created) values ($1, $2, $3, $4) on conflict (number) do nothing`
	orderTouch    = `update orders set version = version + 1 where number = $1`
	orderByNumber = orderColumns + `where number = $1`
	orderByID     = orderColumns + `where id = $1`
	ordersPage    = orderColumns + `where id < $1 order by id desc limit $2`
)

func scanOrder(scan func(...any) error) (o Order, err error) {
	return o, scan(&o.ID, &o.Number, &o.Customer, &o.Created)
}

// EnsureOrder makes the order with this number unless there is one, locks it,
// and returns it.
func (tx *Tx) EnsureOrder(o Order) (Order, bool, error) {
	n, err := tx.Exec(orderInsert, o.ID, o.Number, o.Customer, o.Created)
	if err != nil {
		return Order{}, false, err
	}
	if err := tx.one(orderTouch, o.Number); err != nil {
		return Order{}, false, err
	}
	got, err := scanOrder(tx.QueryRow(orderByNumber, o.Number).Scan)
	if err == nil && n == 1 {
		err = tx.indexOrder(got)
	}
	return got, n == 1, err
}

// OrderByNumber finds an order by the shop's number.
func (tx *Tx) OrderByNumber(number string) (Order, error) {
	return scanOrder(tx.QueryRow(orderByNumber, number).Scan)
}

// OrderByID finds an order.
func (tx *Tx) OrderByID(id string) (Order, error) { return scanOrder(tx.QueryRow(orderByID, id).Scan) }

// Orders returns a page of orders, newest first, those before the id given.
func (tx *Tx) Orders(before string, limit int) ([]Order, error) {
	if before == "" {
		before = "~"
	}
	return collect(tx, scanOrder, ordersPage, before, limit)
}

// Ticket is a redemption code at rest.
type Ticket struct {
	ID, OrderID    string
	Lookup, Sealed []byte
	Created        license.Time
}

const (
	ticketColumns  = `select id, order_id, lookup, sealed, created from tickets `
	ticketInsert   = `insert into tickets (id, order_id, lookup, sealed, created) values ($1, $2, $3, $4, $5)`
	ticketByLookup = ticketColumns + `where lookup = $1`
	ticketByOrder  = ticketColumns + `where order_id = $1 order by id limit 1`
	ticketByID     = ticketColumns + `where id = $1`
	ticketUse      = `select t.id, o.id, o.number, o.customer, o.created, l.id, l.state from tickets t join orders o on o.id = t.order_id left join licenses l on l.ticket_id = t.id and l.merged_into = '' where t.lookup = $1`
	ticketSold     = `select t.id, o.id, o.number, o.customer, o.created, ` + soldColumns + ` from tickets t join orders o on o.id = t.order_id join licenses l on l.ticket_id = t.id and l.merged_into = '' join products p on p.code = l.product where t.lookup = $1 limit 17`
	returnedWith   = `select a.product, b.license, b.product from licenses l
join step_ops a on a.license = l.id and a.number = l.step and a.kind = $2 and a.phase = $3
join step_ops b on b.container = a.container and b.number = a.number and b.kind = $2 and b.phase = $3
join licenses o on o.id = b.license and o.step = b.number and o.state = $4 and o.ticket_id <> l.ticket_id
where l.ticket_id = $1 and l.state = $4 order by b.license`
)

func scanTicket(scan func(...any) error) (t Ticket, err error) {
	return t, scan(&t.ID, &t.OrderID, &t.Lookup, &t.Sealed, &t.Created)
}

// InsertTicket stores a ticket.
func (tx *Tx) InsertTicket(t Ticket) error {
	return tx.later(ticketInsert, 1, t.ID, t.OrderID, t.Lookup, t.Sealed, t.Created)
}

// TicketByLookup finds a ticket by its keyed hash.
func (tx *Tx) TicketByLookup(lookup []byte) (Ticket, error) {
	return scanTicket(tx.QueryRow(ticketByLookup, lookup).Scan)
}

// TicketUse is what using a ticket needs to know: its id, its order and its
// licenses, oldest first.
type TicketUse struct {
	ID       string
	Order    Order
	Licenses []license.ID
	Returned bool   // one of them was with a user and is back
	Sold     []Sold // the licenses, if they are locked already
}

// Sold is a license with its product.
type Sold struct {
	License
	Product license.Product
}

// maxTicketSold is how many licenses of a ticket are read with it. The query asks for
// one more, by a number in its text: SQLite plans a query with a bound limit anew each
// time.
const maxTicketSold = 16

// UseTicket finds a ticket by its keyed hash. A transaction that is alone need not
// lock its licenses: it gets them at once, unless they are many.
func (tx *Tx) UseTicket(lookup []byte) (TicketUse, error) {
	if tx.conn.alone() {
		var t TicketUse
		sold, err := collect(tx, func(scan func(...any) error) (Sold, error) {
			return scanSold(func(columns ...any) error {
				return scan(append([]any{&t.ID, &t.Order.ID, &t.Order.Number, &t.Order.Customer, &t.Order.Created}, columns...)...)
			})
		}, ticketSold, lookup)
		if err != nil {
			return t, err
		}
		if 0 < len(sold) && len(sold) <= maxTicketSold {
			slices.SortFunc(sold, func(a, b Sold) int { return cmp.Compare(a.ID, b.ID) })
			for _, l := range sold {
				t.Licenses, t.Returned = append(t.Licenses, l.ID), t.Returned || l.State == license.Returned
			}
			t.Sold = sold
			return t, nil
		}
	}
	rows, err := tx.Query(ticketUse, lookup)
	if err != nil {
		return TicketUse{}, err
	}
	defer rows.Close()
	var t TicketUse
	for rows.Next() {
		var id, state sql.NullString
		if err := rows.Scan(&t.ID, &t.Order.ID, &t.Order.Number, &t.Order.Customer, &t.Order.Created, &id, &state); err != nil {
			return t, err
		}
		t.Returned = t.Returned || state.String == string(license.Returned)
		if id.Valid {
			t.Licenses = append(t.Licenses, license.ID(id.String))
		}
	}
	slices.Sort(t.Licenses) // here, since a query that sorts prepares for many
	if err := rows.Err(); err != nil || t.ID != "" {
		return t, err
	}
	return t, ErrNotFound
}

// Together is a license that one step returned together with one of another
// product, and that is with the vendor since.
type Together struct {
	With    string // product of the other
	License license.ID
	Product string
}

// ReturnedTogether returns the licenses of other tickets that were last returned
// in one step with those of a ticket.
func (tx *Tx) ReturnedTogether(ticketID string) ([]Together, error) {
	return collect(tx, func(scan func(...any) error) (t Together, err error) {
		return t, scan(&t.With, &t.License, &t.Product)
	}, returnedWith, ticketID, container.Drop, container.Return, license.Returned)
}

// TicketByOrder finds the ticket of an order.
func (tx *Tx) TicketByOrder(orderID string) (Ticket, error) {
	return scanTicket(tx.QueryRow(ticketByOrder, orderID).Scan)
}

// TicketByID finds a ticket.
func (tx *Tx) TicketByID(id string) (Ticket, error) {
	return scanTicket(tx.QueryRow(ticketByID, id).Scan)
}

// License is one license of the book.
type License struct {
	ID         license.ID
	OrderID    string
	TicketID   string
	Product    string
	Item       string // the order position it belongs to: product and overrides
	Features   []string
	Terms      license.Terms // Sold, for the seats that this license has of them
	Sold       license.Terms // of all seats together, before any were split off
	State      license.State
	Generation license.Generation
	Holder     license.Serial // empty while with the vendor
	Step       uint64         // last step of the holder's log that concerns it
	Withdrawn  bool
	Activated  license.Time // first activation
	Created    license.Time
	Reserved   license.Serial // the vendor keeps it for this container; empty for nobody
	Replaces   license.ID     // in whose place it came; empty for none
	ReplacedBy license.ID     // what came in its place; empty for none
	Used       int64          // units that are used, as the container which has it told last; never falls
	Origin     license.ID     // the license that it was split from; empty for one that is no part
	MergedInto license.ID     // the part that has its seats now; empty while it has them itself
	HeldBack   string         // why it is not given out after a gap; empty if it is

	Subscription string // that it belongs to; empty for none
}

// Whole is the license that l is, or was split from.
func (l License) Whole() license.ID { return cmp.Or(l.Origin, l.ID) }

// With is l with another number of seats.
func (l License) With(seats int64) License {
	l.Terms = l.Sold.Part(seats)
	return l
}

// Activate notes the first activation, from which terms count.
func (l License) Activate(now license.Time) License {
	l.Activated, l.Sold = now, l.Sold.Freeze(now)
	return l.With(l.Terms.Seats)
}

// Why a license is held back (docs/protocol.md R18).
const (
	HeldBackUp   = "back_up"  // it was with the vendor when the back-up was made
	HeldReturned = "returned" // a step from before shows that it was returned
	HeldTaken    = "taken"    // a step from before removed it by the vendor's order
	HeldResent   = "resent"   // its order was sent again
)

// Placement is the license as a receipt is compared with it.
func (l License) Placement() container.Placement {
	return container.Placement{State: l.State, Holder: l.Holder, Generation: l.Generation, Step: l.Step, Withdrawn: l.Withdrawn}
}

const (
	licenseColumns = `select id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, withdrawn, activated, created, reserved, replaces, replaced_by, seats, origin, merged_into, used, subscription, held_back from licenses `
	licenseInsert  = `insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, withdrawn, activated, created, seats, subscription, held_back) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, null, 0, 0, 0, $10, $11, $12, $13)`
	licenseLock    = `update licenses set version = version + 1 where id = $1 returning id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, withdrawn, activated, created, reserved, replaces, replaced_by, seats, origin, merged_into, used, subscription, held_back`
	soldLock       = licenseLock + `, (select spec from products where code = product)`
	soldColumns    = `l.id, l.order_id, l.ticket_id, l.product, l.item, l.features, l.terms, l.state, l.generation, l.holder, l.step, l.withdrawn, l.activated, l.created, l.reserved, l.replaces, l.replaced_by, l.seats, l.origin, l.merged_into, l.used, l.subscription, l.held_back, p.spec`
	soldByID       = `select ` + soldColumns + ` from licenses l join products p on p.code = l.product where l.id = $1`
	licenseMove    = `update licenses set state = $3, holder = $4, step = $5, activated = $6, terms = $7 where id = $1 and state = $2`
	licenseCount   = `update licenses set used = $2 where id = $1`
	licenseMark    = `update licenses set generation = $2, withdrawn = $3, reserved = $4, replaces = $5, replaced_by = $6, held_back = $7 where id = $1`
	licenseByID    = licenseColumns + `where id = $1`
	licensesTicket = licenseColumns + `where ticket_id = $1 and merged_into = '' order by id`
	licensesOrder  = licenseColumns + `where order_id = $1 and merged_into = '' order by id`
	licensesHolder = licenseColumns + `where holder = $1 order by id`
	licensesPage   = licenseColumns + `where id < $1 and merged_into = '' order by id desc limit $2`
	licensesItem   = `select count(*) from licenses where order_id = $1 and item = $2 and origin = ''`
	licenseItem    = `update licenses set item = $2 where id = $1`
)

func scanLicense(scan func(...any) error) (License, error) { return scanLicenseAnd(scan) }

// scanLicenseAnd scans a license and the columns behind it.
func scanLicenseAnd(scan func(...any) error, behind ...any) (License, error) {
	var l License
	var features, terms string
	var holder sql.NullString
	var withdrawn, seats int64
	err := scan(append([]any{&l.ID, &l.OrderID, &l.TicketID, &l.Product, &l.Item, &features, &terms, &l.State, &l.Generation, &holder, &l.Step, &withdrawn, &l.Activated, &l.Created,
		&l.Reserved, &l.Replaces, &l.ReplacedBy, &seats, &l.Origin, &l.MergedInto, &l.Used, &l.Subscription, &l.HeldBack}, behind...)...)
	if err != nil {
		return l, err
	}
	l.Holder, l.Withdrawn = license.Serial(holder.String), withdrawn != 0
	if l.Features, err = decodedFeatures.of(features); err != nil {
		return l, err
	}
	l.Sold, err = decodedTerms.of(terms)
	return l.With(seats), err
}

// InsertLicenses stores new licenses as they are sold, with the vendor. Those of one
// position of an order share features and terms.
func (tx *Tx) InsertLicenses(ls []License) error {
	var features, terms any
	var args []any
	for i, l := range ls {
		if i == 0 || l.Item != ls[i-1].Item {
			f, err := json.Marshal(l.Features)
			if err != nil {
				return err
			}
			t, err := json.Marshal(l.Terms)
			if err != nil {
				return err
			}
			features, terms = string(f), string(t)
		}
		args = append(args, l.ID, l.OrderID, l.TicketID, l.Product, l.Item, features, terms, l.State, l.Generation, l.Created, l.Terms.Seats, l.Subscription, l.HeldBack)
		if n := i + 1; n%rowsAtOnce[0] == 0 || n == len(ls) {
			if err := tx.manyLater(&insertLicenses, args); err != nil {
				return err
			}
			args = nil
		}
	}
	return nil
}

var insertLicenses = newManyRows(licenseInsert, 13)

// LockLicense locks a license until the transaction ends and gives it as it is
// then; ErrNotFound if there is none.
func (tx *Tx) LockLicense(id license.ID) (License, error) {
	return scanLicense(tx.lock(licenseLock, licenseByID, id).Scan)
}

// LockSold is LockLicense with the license's product.
func (tx *Tx) LockSold(id license.ID) (Sold, error) {
	return scanSold(tx.lock(soldLock, soldByID, id).Scan)
}

func scanSold(scan func(...any) error) (Sold, error) {
	var spec string
	l, err := scanLicenseAnd(scan, &spec)
	if err != nil {
		return Sold{License: l}, err
	}
	p, err := decodedProducts.of(spec)
	return Sold{l, p}, err
}

// MoveLicense stores the new state, holder, step, first activation and sold terms of
// a license that is locked; its state is still the old one, or the transaction fails.
func (tx *Tx) MoveLicense(old license.State, l License) error {
	terms, err := json.Marshal(l.Sold)
	if err != nil {
		return err
	}
	holder := sql.NullString{String: string(l.Holder), Valid: l.Holder != ""}
	return tx.later(licenseMove, 1, l.ID, old, l.State, holder, l.Step, l.Activated, string(terms))
}

// MarkLicense stores a license's generation, whether it is withdrawn, whom it is
// kept for, what it replaces and whether it is held back.
func (tx *Tx) MarkLicense(l License) error {
	return tx.later(licenseMark, 1, l.ID, l.Generation, number(l.Withdrawn), l.Reserved, l.Replaces, l.ReplacedBy, l.HeldBack)
}

// CountUnits stores how many units of a license that is locked are used.
func (tx *Tx) CountUnits(id license.ID, used int64) error {
	return tx.later(licenseCount, 1, id, used)
}

// ClaimLicense stores the position of its order that a license belongs to.
func (tx *Tx) ClaimLicense(l License) error { return tx.later(licenseItem, 1, l.ID, l.Item) }

// License finds a license.
func (tx *Tx) License(id license.ID) (License, error) {
	return scanLicense(tx.QueryRow(licenseByID, id).Scan)
}

func (tx *Tx) licenses(query string, args ...any) ([]License, error) {
	return collect(tx, scanLicense, query, args...)
}

// LicensesOfTicket returns the licenses of a ticket, oldest first.
func (tx *Tx) LicensesOfTicket(id string) ([]License, error) { return tx.licenses(licensesTicket, id) }

// LicensesOfOrder returns the licenses of an order, oldest first.
func (tx *Tx) LicensesOfOrder(id string) ([]License, error) { return tx.licenses(licensesOrder, id) }

// LicensesWith returns the licenses that count as with a container.
func (tx *Tx) LicensesWith(serial license.Serial) ([]License, error) {
	return tx.licenses(licensesHolder, serial)
}

// Licenses returns a page of licenses, newest first, those before the id given.
func (tx *Tx) Licenses(before string, limit int) ([]License, error) {
	if before == "" {
		before = "~"
	}
	return tx.licenses(licensesPage, before, limit)
}

// CountItem counts the licenses of one position of an order.
func (tx *Tx) CountItem(orderID, item string) (n int64, err error) {
	return n, tx.QueryRow(licensesItem, orderID, item).Scan(&n)
}
