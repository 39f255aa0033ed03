package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// The rows below are for the verifier, which trusts nothing: they come as they
// are stored, nothing of them is decoded, and every query reads one page in the
// order of a key, after the key given.

// ErrReadOnly is what a write gets in a database that was opened for reading.
var ErrReadOnly = errors.New("store: the database was opened for reading only")

// OpenReadOnly opens the database at url as [Open] does, but makes nothing,
// migrates nothing and writes nothing: every write gives ErrReadOnly. On
// PostgreSQL a role that may only read is enough.
func OpenReadOnly(ctx context.Context, url string) (*DB, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	db := &DB{name: scheme}
	var e engine
	var err error
	switch scheme {
	case "sqlite":
		e, err = openSQLiteReadOnly(ctx, strings.TrimPrefix(rest, "//"))
	case "postgres", "postgresql":
		db.name = "postgres"
		e, err = openPostgresReadOnly(ctx, url)
	default:
		return nil, fmt.Errorf("store: the database address begins with neither sqlite: nor postgres:; write sqlite:/path/file.db or postgres://user@host/name")
	}
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", db.name, err)
	}
	db.engine = readOnly{e}
	return db, nil
}

// readOnly is an engine that refuses to write.
type readOnly struct{ engine }

func (readOnly) write(context.Context, func(*Tx) error) error { return ErrReadOnly }

func openSQLiteReadOnly(ctx context.Context, path string) (_ *sqliteEngine, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("is a folder")}
	}
	e := &sqliteEngine{path: path, closed: make(chan struct{})}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if err := e.openReaders(path, min(max(runtime.GOMAXPROCS(0), 2), 4)); err != nil {
		return nil, err
	}
	return e, nil
}

func openPostgresReadOnly(ctx context.Context, address string) (*postgresEngine, error) {
	pool, err := openPool(ctx, address, 4)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return &postgresEngine{pool: pool}, nil
}

// RawLicense is a row of licenses.
type RawLicense struct {
	ID, OrderID, TicketID, Product, Item, Features, Terms, State string
	Holder                                                       sql.NullString
	Generation, Step, Withdrawn, Activated, Created, Used        int64
	Reserved, Replaces, ReplacedBy                               string
	Seats                                                        int64
	Origin, MergedInto, Subscription, HeldBack                   string
}

// RawContainer is a row of containers.
type RawContainer struct {
	Serial, Kind           string
	SigningKey, SealingKey []byte
	Issued, Acked          int64
	IssuedPlan, AckedLife  []byte
	FlagReason             string
	FlagTime, FlagNumber   int64
	FlagLife               []byte
	FlagAcceptable         int64
	FirstSeen              int64
	Earmarks, Closed       int64
	BlockReason            string
	Lent                   string
	BlockTime              int64
	Epoch                  int64
}

// RawStep is a row of steps.
type RawStep struct {
	Container          string
	Number             int64
	Signed, Plan, Life []byte
	Time, Epoch        int64
}

// RawOp is a row of step_ops.
type RawOp struct {
	Container           string
	Number, Place       int64
	Kind, Phase         int64
	License             string
	Generation          int64
	Product             string
	Body                []byte
	Acked               int64 // of the container; set by RawLicenseOps
	ContainerEpoch      int64 // that the container knows; set by RawLicenseOps
	ContainerIsRecorded bool  // whether there is such a container; set by RawLicenseOps
}

// RawTicket is a row of tickets.
type RawTicket struct {
	ID, OrderID    string
	Lookup, Sealed []byte
	Created        int64
}

// RawOrder is a row of orders.
type RawOrder struct {
	ID, Number, Customer string
	Created              int64
}

// RawCount is how many licenses of one position of an order are in one state, and
// how many seats they have together.
type RawCount struct {
	OrderID, Item, State string
	Count, Seats         int64
}

// RawUnits is what a row of licenses says of units.
type RawUnits struct {
	Terms string
	Used  int64
}

// RawToken is a row of tokens, without the hash.
type RawToken struct {
	ID, Name, Scopes          string
	Created, Expires, Revoked int64
}

// RawSpec is a row of products or bundles, or of categories with their name.
type RawSpec struct{ Code, Spec string }

// RawProof is a row of proofs.
type RawProof struct {
	ID, Container string
	Report        []byte
	Time          int64
}

// RawAnswer is a row of answers.
type RawAnswer struct {
	Container                   string
	Nonce, Report, Hash, Answer []byte
	Issued, Time                int64
}

// RawKey is a row of keys, without the private part.
type RawKey struct {
	ID, Use                                  string
	Public, Certificate                      []byte
	NotBefore, NotAfter, Revoked, Signatures int64
}

// RawEarmark is a row of earmarks.
type RawEarmark struct {
	ID, Container, Kind, License string
	Generation                   int64
	With, Found                  string
	Step                         int64
	Actor, Reason                string
	Created                      int64
}

// RawRestore is a row of restores.
type RawRestore struct {
	License         string
	Generation      int64
	How             string
	Recovery        int64
	Container       string
	Actor           string
	Time            int64
	RecoveryReason  string // of the recovery
	RecoveryOutcome string // of the license in it
	RecoveryVerdict string
}

// RawGrant is a row of restore_grants.
type RawGrant struct {
	ID, License   string
	Count, Used   int64
	Actor, Reason string
	Created       int64
}

// RawRecovery is a row of recoveries.
type RawRecovery struct {
	Number                                                          int64
	State, Scope, Hardware, Reason, Conditions, DecidedBy, Decision string
	Accepted, Created, Decided                                      int64
}

// RawRecoveryLicense is a row of recovery_licenses.
type RawRecoveryLicense struct {
	Recovery                             int64
	License, Container, Verdict, Outcome string
	Generation                           int64
}

// RawBlock is a row of blocks.
type RawBlock struct {
	Kind, Subject             string
	Generation, Added, Lifted int64
	Reason                    string
	Created                   int64
}

// SubjectEvent is an event as seen from one of its subjects. First, Second and
// Third are the subjects at its first three places.
type SubjectEvent struct {
	Subject              string
	ID, Name, Details    string
	Actor, Reason        string
	Time                 int64
	First, Second, Third Subject
}

// Find gives the id of the first of the three subjects of a kind, or "".
func (e *SubjectEvent) Find(kind string) string {
	for _, s := range []Subject{e.First, e.Second, e.Third} {
		if s.Kind == kind {
			return s.ID
		}
	}
	return ""
}

const (
	rawLicenses = `select id, order_id, ticket_id, product, item, features, terms, state, holder, generation, step, withdrawn, activated, created, reserved, replaces, replaced_by, seats, origin, merged_into, used, subscription, held_back
  from licenses where id > $1 order by id limit $2`
	rawContainers = `select serial, kind, signing_key, sealing_key, issued, acked, issued_plan, acked_life, flag_reason, flag_time, flag_number, flag_life, flag_acceptable, first_seen, earmarks, closed, block_reason, block_time, lent, epoch
  from containers where serial > $1 order by serial limit $2`
	rawSteps = `select container, number, signed, plan, life, time, epoch
  from steps where (container, number) > ($1, $2) order by container, number limit $3`
	rawOps = `select container, number, place, kind, phase, license, generation, product, body
  from step_ops where (container, number, place) > ($1, $2, $3) order by container, number, place limit $4`
	rawLicenseOps = `select o.container, o.number, o.place, o.kind, o.phase, o.license, o.generation, o.product, o.body, c.acked, c.epoch
  from step_ops o left join containers c on c.serial = o.container
  where (o.license, o.container, o.number, o.place) > ($1, $2, $3, $4) order by o.license, o.container, o.number, o.place limit $5`
	rawOrders     = `select id, number, customer, created from orders where id > $1 order by id limit $2`
	rawTickets    = `select id, order_id, lookup, sealed, created from tickets where (order_id, id) > ($1, $2) order by order_id, id limit $3`
	rawCounts     = `select order_id, item, state, count(*), cast(sum(seats) as bigint) from licenses where order_id >= $1 and order_id <= $2 group by order_id, item, state order by order_id, item, state`
	rawUnits      = `select terms, used from licenses where order_id = $1`
	rawTokens     = `select id, name, scopes, created, expires, revoked from tokens where id > $1 order by id limit $2`
	rawSpecs      = `select code, spec from products where code > $1 order by code limit $2`
	rawBundles    = `select code, spec from bundles where code > $1 order by code limit $2`
	rawCategories = `select code, name from categories where code > $1 order by code limit $2`
	rawProofs     = `select id, container, report, time from proofs where id > $1 order by id limit $2`
	rawAnswers    = `select container, nonce, report, hash, answer, issued, time from answers where (container, nonce) > ($1, $2) order by container, nonce limit $3`
	rawEarmarks   = `select id, container, kind, license, generation, with_license, found, step, actor, reason, created
  from earmarks where (license, id) > ($1, $2) order by license, id limit $3`
	rawRestores = `select r.license, r.generation, r.how, r.recovery, r.container, r.actor, r.time, coalesce(v.reason, ''), coalesce(l.outcome, ''), coalesce(l.verdict, '')
  from restores r left join recoveries v on v.number = r.recovery left join recovery_licenses l on l.recovery = r.recovery and l.license = r.license
  where (r.license, r.generation) > ($1, $2) order by r.license, r.generation limit $3`
	rawGrants           = `select id, license, count, used, actor, reason, created from restore_grants where (license, id) > ($1, $2) order by license, id limit $3`
	rawRecoveries       = `select number, state, scope, hardware, reason, conditions, decided_by, decision, accepted, created, decided from recoveries where number > $1 order by number limit $2`
	rawRecoveryLicenses = `select recovery, license, container, verdict, outcome, generation from recovery_licenses where (recovery, license) > ($1, $2) order by recovery, license limit $3`
	rawBlocks           = `select kind, subject, generation, added, lifted, reason, created from blocks where added > $1 order by added limit $2`
	rawKeys             = `select id, use, public, certificate, not_before, not_after, revoked, signatures from keys order by id`
	rawEventCount       = `select count(case when kind = $2 then 1 end) from event_subjects where event_id = $1` // no index on kind is to be used

	// What is said of a license at the place of an order that made it is found by
	// place, not by kind: such an event can have 100,000 subjects.
	subjectColumns = `select f.subject_id, e.id, e.name, e.details, e.actor, e.reason, e.time, a.kind, a.subject_id, b.kind, b.subject_id, c.kind, c.subject_id
  from event_subjects f join events e on e.id = f.event_id
  left join event_subjects a on a.event_id = f.event_id and a.position = 0
  left join event_subjects b on b.event_id = f.event_id and b.position = 1
  left join event_subjects c on c.event_id = f.event_id and c.position = 2
  where f.kind = $1 and (f.subject_id, f.event_id) > ($2, $3)`
	subjectEvents     = subjectColumns + ` order by f.subject_id, f.event_id limit $4`
	licenseEvents     = subjectColumns + ` and e.name not in ('wishes_refused', 'seats_lent', 'lost_units_counted', 'recovery_requested', 'recovery_granted', 'recovery_approved', 'recovery_refused') order by f.subject_id, f.event_id limit $4`
	containerEvents   = subjectColumns + ` and e.name in ('container_registered', 'step_issued', 'steps_confirmed', 'container_flagged', 'container_accepted', 'container_blocked', 'container_unblocked', 'seats_lent', 'steps_brought', 'container_settled') order by f.subject_id, f.event_id limit $4`
	orderMakingEvents = subjectColumns + ` and e.name in ('order_created', 'order_extended', 'replacement_ordered', 'withdrawn', 'split', 'units_back', 'units_added', 'units_counted', 'license_brought', 'license_claimed', 'seats_brought', 'ticket_rewrapped') order by f.subject_id, f.event_id limit $4`
)

// RawLicenses reads licenses by id.
func (tx *Tx) RawLicenses(after string, limit int) ([]RawLicense, error) {
	return collect(tx, func(scan func(...any) error) (l RawLicense, err error) {
		return l, scan(&l.ID, &l.OrderID, &l.TicketID, &l.Product, &l.Item, &l.Features, &l.Terms, &l.State, &l.Holder, &l.Generation, &l.Step, &l.Withdrawn, &l.Activated, &l.Created,
			&l.Reserved, &l.Replaces, &l.ReplacedBy, &l.Seats, &l.Origin, &l.MergedInto, &l.Used, &l.Subscription, &l.HeldBack)
	}, rawLicenses, after, limit)
}

// RawContainers reads containers by serial.
func (tx *Tx) RawContainers(after string, limit int) ([]RawContainer, error) {
	return collect(tx, func(scan func(...any) error) (c RawContainer, err error) {
		return c, scan(&c.Serial, &c.Kind, &c.SigningKey, &c.SealingKey, &c.Issued, &c.Acked, &c.IssuedPlan, &c.AckedLife,
			&c.FlagReason, &c.FlagTime, &c.FlagNumber, &c.FlagLife, &c.FlagAcceptable, &c.FirstSeen, &c.Earmarks, &c.Closed, &c.BlockReason, &c.BlockTime, &c.Lent, &c.Epoch)
	}, rawContainers, after, limit)
}

// RawSteps reads steps by container and number.
func (tx *Tx) RawSteps(container string, number int64, limit int) ([]RawStep, error) {
	return collect(tx, func(scan func(...any) error) (s RawStep, err error) {
		return s, scan(&s.Container, &s.Number, &s.Signed, &s.Plan, &s.Life, &s.Time, &s.Epoch)
	}, rawSteps, container, number, limit)
}

// RawOps reads operations by container, number and place.
func (tx *Tx) RawOps(container string, number, place int64, limit int) ([]RawOp, error) {
	return collect(tx, func(scan func(...any) error) (o RawOp, err error) {
		return o, scan(&o.Container, &o.Number, &o.Place, &o.Kind, &o.Phase, &o.License, &o.Generation, &o.Product, &o.Body)
	}, rawOps, container, number, place, limit)
}

// RawLicenseOps reads operations by license, container, number and place.
func (tx *Tx) RawLicenseOps(after RawOp, limit int) ([]RawOp, error) {
	return collect(tx, func(scan func(...any) error) (o RawOp, err error) {
		var acked, epoch sql.NullInt64
		err = scan(&o.Container, &o.Number, &o.Place, &o.Kind, &o.Phase, &o.License, &o.Generation, &o.Product, &o.Body, &acked, &epoch)
		o.Acked, o.ContainerIsRecorded, o.ContainerEpoch = acked.Int64, acked.Valid, epoch.Int64
		return o, err
	}, rawLicenseOps, after.License, after.Container, after.Number, after.Place, limit)
}

// RawOrders reads orders by id.
func (tx *Tx) RawOrders(after string, limit int) ([]RawOrder, error) {
	return collect(tx, func(scan func(...any) error) (o RawOrder, err error) {
		return o, scan(&o.ID, &o.Number, &o.Customer, &o.Created)
	}, rawOrders, after, limit)
}

// RawTickets reads tickets by order and id.
func (tx *Tx) RawTickets(order, id string, limit int) ([]RawTicket, error) {
	return collect(tx, func(scan func(...any) error) (t RawTicket, err error) {
		return t, scan(&t.ID, &t.OrderID, &t.Lookup, &t.Sealed, &t.Created)
	}, rawTickets, order, id, limit)
}

// RawCounts counts the licenses of the orders from first to last.
func (tx *Tx) RawCounts(first, last string) ([]RawCount, error) {
	return collect(tx, func(scan func(...any) error) (c RawCount, err error) {
		return c, scan(&c.OrderID, &c.Item, &c.State, &c.Count, &c.Seats)
	}, rawCounts, first, last)
}

// RawUnits reads the terms of the licenses of an order, and how many units are used.
func (tx *Tx) RawUnits(order string) ([]RawUnits, error) {
	return collect(tx, func(scan func(...any) error) (u RawUnits, err error) {
		return u, scan(&u.Terms, &u.Used)
	}, rawUnits, order)
}

// RawTokens reads tokens by id.
func (tx *Tx) RawTokens(after string, limit int) ([]RawToken, error) {
	return collect(tx, func(scan func(...any) error) (t RawToken, err error) {
		return t, scan(&t.ID, &t.Name, &t.Scopes, &t.Created, &t.Expires, &t.Revoked)
	}, rawTokens, after, limit)
}

// RawSpecs reads products by code.
func (tx *Tx) RawSpecs(after string, limit int) ([]RawSpec, error) {
	return collect(tx, func(scan func(...any) error) (s RawSpec, err error) {
		return s, scan(&s.Code, &s.Spec)
	}, rawSpecs, after, limit)
}

// RawBundles reads bundles by code.
func (tx *Tx) RawBundles(after string, limit int) ([]RawSpec, error) {
	return collect(tx, func(scan func(...any) error) (s RawSpec, err error) {
		return s, scan(&s.Code, &s.Spec)
	}, rawBundles, after, limit)
}

// RawCategories reads categories by code.
func (tx *Tx) RawCategories(after string, limit int) ([]RawSpec, error) {
	return collect(tx, func(scan func(...any) error) (s RawSpec, err error) {
		return s, scan(&s.Code, &s.Spec)
	}, rawCategories, after, limit)
}

// RawProofs reads proofs by id.
func (tx *Tx) RawProofs(after string, limit int) ([]RawProof, error) {
	return collect(tx, func(scan func(...any) error) (p RawProof, err error) {
		return p, scan(&p.ID, &p.Container, &p.Report, &p.Time)
	}, rawProofs, after, limit)
}

// RawAnswers reads answers by container and nonce.
func (tx *Tx) RawAnswers(container string, nonce []byte, limit int) ([]RawAnswer, error) {
	return collect(tx, func(scan func(...any) error) (a RawAnswer, err error) {
		return a, scan(&a.Container, &a.Nonce, &a.Report, &a.Hash, &a.Answer, &a.Issued, &a.Time)
	}, rawAnswers, container, append([]byte{}, nonce...), limit)
}

// RawEarmarks reads earmarks by license and id.
func (tx *Tx) RawEarmarks(after RawEarmark, limit int) ([]RawEarmark, error) {
	return collect(tx, func(scan func(...any) error) (e RawEarmark, err error) {
		return e, scan(&e.ID, &e.Container, &e.Kind, &e.License, &e.Generation, &e.With, &e.Found, &e.Step, &e.Actor, &e.Reason, &e.Created)
	}, rawEarmarks, after.License, after.ID, limit)
}

// RawRestores reads restores by license and generation, with what their
// recoveries say.
func (tx *Tx) RawRestores(after RawRestore, limit int) ([]RawRestore, error) {
	return collect(tx, func(scan func(...any) error) (r RawRestore, err error) {
		return r, scan(&r.License, &r.Generation, &r.How, &r.Recovery, &r.Container, &r.Actor, &r.Time, &r.RecoveryReason, &r.RecoveryOutcome, &r.RecoveryVerdict)
	}, rawRestores, after.License, after.Generation, limit)
}

// RawGrants reads the restores that staff allow by license and id.
func (tx *Tx) RawGrants(after RawGrant, limit int) ([]RawGrant, error) {
	return collect(tx, func(scan func(...any) error) (g RawGrant, err error) {
		return g, scan(&g.ID, &g.License, &g.Count, &g.Used, &g.Actor, &g.Reason, &g.Created)
	}, rawGrants, after.License, after.ID, limit)
}

// RawRecoveries reads recoveries by number.
func (tx *Tx) RawRecoveries(after int64, limit int) ([]RawRecovery, error) {
	return collect(tx, func(scan func(...any) error) (r RawRecovery, err error) {
		return r, scan(&r.Number, &r.State, &r.Scope, &r.Hardware, &r.Reason, &r.Conditions, &r.DecidedBy, &r.Decision, &r.Accepted, &r.Created, &r.Decided)
	}, rawRecoveries, after, limit)
}

// RawRecoveryLicenses reads the licenses of recoveries by number and license.
func (tx *Tx) RawRecoveryLicenses(after RawRecoveryLicense, limit int) ([]RawRecoveryLicense, error) {
	return collect(tx, func(scan func(...any) error) (r RawRecoveryLicense, err error) {
		return r, scan(&r.Recovery, &r.License, &r.Container, &r.Verdict, &r.Outcome, &r.Generation)
	}, rawRecoveryLicenses, after.Recovery, after.License, limit)
}

// RawBlocks reads the block list by the numbers with which its entries came.
func (tx *Tx) RawBlocks(after int64, limit int) ([]RawBlock, error) {
	return collect(tx, func(scan func(...any) error) (b RawBlock, err error) {
		return b, scan(&b.Kind, &b.Subject, &b.Generation, &b.Added, &b.Lifted, &b.Reason, &b.Created)
	}, rawBlocks, after, limit)
}

// RawKeys reads every key.
func (tx *Tx) RawKeys() ([]RawKey, error) {
	return collect(tx, func(scan func(...any) error) (k RawKey, err error) {
		return k, scan(&k.ID, &k.Use, &k.Public, &k.Certificate, &k.NotBefore, &k.NotAfter, &k.Revoked, &k.Signatures)
	}, rawKeys)
}

// CountSubjects counts the subjects of one kind of an event.
func (tx *Tx) CountSubjects(event, kind string) (n int64, err error) {
	return n, tx.QueryRow(rawEventCount, event, kind).Scan(&n)
}

// SubjectEvents reads the events about things of one kind by subject and id:
// those of a license but for wishes refused, those of a container that change
// the container itself, those of an order that add licenses or tell of units, and all of any
// other kind.
func (tx *Tx) SubjectEvents(kind, subject, event string, limit int) ([]SubjectEvent, error) {
	query := subjectEvents
	switch kind {
	case "license":
		query = licenseEvents
	case "container":
		query = containerEvents
	case "order":
		query = orderMakingEvents
	}
	return collect(tx, func(scan func(...any) error) (e SubjectEvent, err error) {
		var kinds, ids [3]sql.NullString
		err = scan(&e.Subject, &e.ID, &e.Name, &e.Details, &e.Actor, &e.Reason, &e.Time, &kinds[0], &ids[0], &kinds[1], &ids[1], &kinds[2], &ids[2])
		for i, s := range []*Subject{&e.First, &e.Second, &e.Third} {
			*s = Subject{Kind: kinds[i].String, ID: ids[i].String}
		}
		return e, err
	}, query, kind, subject, event, limit)
}

// RawSubscription is a row of subscriptions.
type RawSubscription struct {
	ID, OrderID, Product, Item     string
	Quantity                       int64
	NextItem                       string
	NextQuantity                   int64
	Lead, Period                   string
	Notice, Grace, Anchor, Run     int64
	Ends, Changes, Canceled, Ended int64
	Told                           string
	Due, Created                   int64
}

// RawLine is a row of subscription_lines.
type RawLine struct {
	Subscription         string
	Number               int64
	Kind                 string
	Period, Starts, Ends int64
	Product, Item        string
	Quantity             int64
	Reference            string
	Made                 int64
}

// RawUsage is a row of subscription_usage.
type RawUsage struct {
	Subscription     string
	Day              int64
	License, Product string
	Units            int64
}

const (
	rawSubscriptions = `select id, order_id, product, item, quantity, next_item, next_quantity, lead, period, notice, grace, anchor, run, ends, changes, canceled, ended, told, due, created
  from subscriptions where id > $1 order by id limit $2`
	rawLines = `select subscription, number, kind, period, starts, ends, product, item, quantity, reference, made
  from subscription_lines where (subscription, number) > ($1, $2) order by subscription, number limit $3`
	rawUsage = `select subscription, day, license, product, units from subscription_usage where (subscription, day, license) > ($1, $2, $3) order by subscription, day, license limit $4`
)

// RawSubscriptions reads subscriptions by id.
func (tx *Tx) RawSubscriptions(after string, limit int) ([]RawSubscription, error) {
	return collect(tx, func(scan func(...any) error) (s RawSubscription, err error) {
		return s, scan(&s.ID, &s.OrderID, &s.Product, &s.Item, &s.Quantity, &s.NextItem, &s.NextQuantity, &s.Lead, &s.Period, &s.Notice, &s.Grace, &s.Anchor, &s.Run,
			&s.Ends, &s.Changes, &s.Canceled, &s.Ended, &s.Told, &s.Due, &s.Created)
	}, rawSubscriptions, after, limit)
}

// RawLines reads the lines of subscriptions by subscription and number.
func (tx *Tx) RawLines(after RawLine, limit int) ([]RawLine, error) {
	return collect(tx, func(scan func(...any) error) (l RawLine, err error) {
		return l, scan(&l.Subscription, &l.Number, &l.Kind, &l.Period, &l.Starts, &l.Ends, &l.Product, &l.Item, &l.Quantity, &l.Reference, &l.Made)
	}, rawLines, after.Subscription, after.Number, limit)
}

// RawUsages reads what was used of subscriptions by subscription, day and license.
func (tx *Tx) RawUsages(after RawUsage, limit int) ([]RawUsage, error) {
	return collect(tx, func(scan func(...any) error) (u RawUsage, err error) {
		return u, scan(&u.Subscription, &u.Day, &u.License, &u.Product, &u.Units)
	}, rawUsage, after.Subscription, after.Day, after.License, limit)
}
