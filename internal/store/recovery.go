package store

import (
	"strings"

	"licet/license"
)

// States of a recovery.
const (
	Waiting  = "waiting"   // for staff
	Asked    = "asked"     // for the user's answer
	Granted  = "granted"   // by policy, at once
	Approved = "approved"  // by staff
	Refused  = "refused"   // by staff
	Recalled = "withdrawn" // by the user, or because nothing of it was left to decide
)

// Ways in which a restore is granted.
const (
	ByPolicy = "automatic"
	ByExtra  = "extra" // staff had allowed it before
	ByStaff  = "staff" // case by case
	ByLoss   = "lost"  // the withdrawal of a license whose machine is gone
)

// Recovery is a user's report of lost licenses.
type Recovery struct {
	Number     uint64
	State      string
	Scope      string
	Hardware   string
	Container  license.Serial // as the user named it; empty if not
	Tickets    []string       // ids
	Customer   string
	Reason     string
	Evidence   string
	Contact    string // e-mail address; empty for none
	Language   string
	Conditions string // as accepted
	Accepted   license.Time
	Created    license.Time
	Decided    license.Time
	DecidedBy  string
	Decision   string // why
	Report     []byte // of the container that is to have them, signed; nil if none came along
}

// RecoveryLicense is one license of a recovery.
type RecoveryLicense struct {
	License    license.ID
	Generation license.Generation // when it was reported lost
	Container  license.Serial     // where it was then
	Verdict    string             // of the policy: grant, ask or refuse
	Outcome    string             // waiting, restored, refused, or a refusal's code
	Because    string             // the policy's reasons, as JSON
}

// RecoveryNote is something said about a recovery.
type RecoveryNote struct {
	Actor string
	Text  string
	Time  license.Time
}

// Restore is one generation of a license that ended.
type Restore struct {
	License    license.ID
	Generation license.Generation // that ended
	How        string
	Recovery   uint64
	Container  license.Serial // that held it
	Actor      string
	Time       license.Time
}

// RestoreGrant is a number of restores that staff allow beyond the policy.
type RestoreGrant struct {
	ID      string
	License license.ID
	Count   int64
	Used    int64
	Actor   string
	Reason  string
	Created license.Time
}

const (
	recoveryColumns  = `select number, state, scope, hardware, container, tickets, customer, reason, evidence, contact, language, conditions, accepted, created, decided, decided_by, decision, report from recoveries `
	recoveryInsert   = `insert into recoveries (number, state, scope, hardware, container, tickets, customer, reason, evidence, contact, language, conditions, accepted, created, decided, decided_by, decision, report) select coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17 from recoveries returning number`
	recoveryLock     = `update recoveries set version = version + 1 where number = $1 returning number, state, scope, hardware, container, tickets, customer, reason, evidence, contact, language, conditions, accepted, created, decided, decided_by, decision, report`
	recoveryByNumber = recoveryColumns + `where number = $1`
	recoveryUpdate   = `update recoveries set state = $2, evidence = $3, contact = $4, decided = $5, decided_by = $6, decision = $7 where number = $1`
	recoveriesPage   = recoveryColumns + `where number < $1 order by number desc limit $2`
	recoveriesOpen   = recoveryColumns + `where state in ('waiting', 'asked') and number > $1 order by number limit $2`
	recoveriesOf     = recoveryColumns + `where number in (select recovery from recovery_licenses where license = $1) order by number desc`

	recoveryLicenseInsert = `insert into recovery_licenses (recovery, license, generation, container, verdict, outcome, because) values ($1, $2, $3, $4, $5, $6, $7)`
	recoveryLicenseDone   = `update recovery_licenses set outcome = $3 where recovery = $1 and license = $2`
	recoveryLicenses      = `select license, generation, container, verdict, outcome, because from recovery_licenses where recovery = $1 order by license`
	recoveryNoteInsert    = `insert into recovery_notes (recovery, place, actor, text, time) select $1, coalesce(max(place), 0) + 1, $2, $3, $4 from recovery_notes where recovery = $1`
	recoveryNotes         = `select actor, text, time from recovery_notes where recovery = $1 order by place`

	restoreColumns  = `select license, generation, how, recovery, container, actor, time from restores `
	restoreInsert   = `insert into restores (license, generation, how, recovery, container, actor, time) values ($1, $2, $3, $4, $5, $6, $7)`
	restoresLicense = restoreColumns + `where license = $1 order by generation`
	restoresWhole   = restoreColumns + `where license in (select id from licenses where id = $1 union all select id from licenses where origin = $1 and origin <> '') order by time`
	restoresSince   = restoreColumns + `where time >= $1 order by time`

	grantColumns = `select id, license, count, used, actor, reason, created from restore_grants `
	grantInsert  = `insert into restore_grants (id, license, count, actor, reason, created) values ($1, $2, $3, $4, $5, $6)`
	grantUse     = `update restore_grants set used = used + 1 where id = $1 and used < count`
	grantsOf     = grantColumns + `where license = $1 order by id`
)

func scanRecovery(scan func(...any) error) (r Recovery, err error) {
	var tickets string
	err = scan(&r.Number, &r.State, &r.Scope, &r.Hardware, &r.Container, &tickets, &r.Customer, &r.Reason, &r.Evidence, &r.Contact,
		&r.Language, &r.Conditions, &r.Accepted, &r.Created, &r.Decided, &r.DecidedBy, &r.Decision, &r.Report)
	r.Tickets = strings.Fields(tickets)
	return r, err
}

// InsertRecovery stores a recovery under the next number, which it returns. Two
// at once give ErrConflict to one of them.
func (tx *Tx) InsertRecovery(r Recovery) (number uint64, err error) {
	return number, tx.QueryRow(recoveryInsert, r.State, r.Scope, r.Hardware, r.Container, strings.Join(r.Tickets, " "), r.Customer, r.Reason,
		r.Evidence, r.Contact, r.Language, r.Conditions, r.Accepted, r.Created, r.Decided, r.DecidedBy, r.Decision, r.Report).Scan(&number)
}

// LockRecovery locks a recovery until the transaction ends and gives it as it is
// then; ErrNotFound if there is none.
func (tx *Tx) LockRecovery(number uint64) (Recovery, error) {
	return scanRecovery(tx.QueryRow(recoveryLock, number).Scan)
}

// Recovery finds a recovery.
func (tx *Tx) Recovery(number uint64) (Recovery, error) {
	return scanRecovery(tx.QueryRow(recoveryByNumber, number).Scan)
}

// UpdateRecovery stores state, evidence, contact and decision of a recovery.
func (tx *Tx) UpdateRecovery(r Recovery) error {
	return tx.one(recoveryUpdate, r.Number, r.State, r.Evidence, r.Contact, r.Decided, r.DecidedBy, r.Decision)
}

// Recoveries returns a page of recoveries, newest first, those below the number
// given; 0 for the first page.
func (tx *Tx) Recoveries(below uint64, limit int) ([]Recovery, error) {
	if below == 0 {
		below = 1<<63 - 1
	}
	return collect(tx, scanRecovery, recoveriesPage, below, limit)
}

// OpenRecoveries returns a page of the recoveries that wait, oldest first.
func (tx *Tx) OpenRecoveries(above uint64, limit int) ([]Recovery, error) {
	return collect(tx, scanRecovery, recoveriesOpen, above, limit)
}

// RecoveriesOf returns the recoveries that name a license, newest first.
func (tx *Tx) RecoveriesOf(id license.ID) ([]Recovery, error) {
	return collect(tx, scanRecovery, recoveriesOf, id)
}

// InsertRecoveryLicense adds a license to a recovery.
func (tx *Tx) InsertRecoveryLicense(number uint64, l RecoveryLicense) error {
	_, err := tx.Exec(recoveryLicenseInsert, number, l.License, l.Generation, l.Container, l.Verdict, l.Outcome, l.Because)
	return err
}

// RecoveryOutcome stores what became of one license of a recovery.
func (tx *Tx) RecoveryOutcome(number uint64, id license.ID, outcome string) error {
	return tx.one(recoveryLicenseDone, number, id, outcome)
}

// RecoveryLicenses returns the licenses of a recovery.
func (tx *Tx) RecoveryLicenses(number uint64) ([]RecoveryLicense, error) {
	return collect(tx, func(scan func(...any) error) (l RecoveryLicense, err error) {
		return l, scan(&l.License, &l.Generation, &l.Container, &l.Verdict, &l.Outcome, &l.Because)
	}, recoveryLicenses, number)
}

// AddRecoveryNote keeps what was said about a recovery, which is locked.
func (tx *Tx) AddRecoveryNote(number uint64, n RecoveryNote) error {
	_, err := tx.Exec(recoveryNoteInsert, number, n.Actor, n.Text, n.Time)
	return err
}

// RecoveryNotes returns what was said about a recovery, oldest first.
func (tx *Tx) RecoveryNotes(number uint64) ([]RecoveryNote, error) {
	return collect(tx, func(scan func(...any) error) (n RecoveryNote, err error) { return n, scan(&n.Actor, &n.Text, &n.Time) }, recoveryNotes, number)
}

func scanRestore(scan func(...any) error) (r Restore, err error) {
	return r, scan(&r.License, &r.Generation, &r.How, &r.Recovery, &r.Container, &r.Actor, &r.Time)
}

// InsertRestore notes that a generation of a license ended; a second one of the
// same generation is refused by the database.
func (tx *Tx) InsertRestore(r Restore) error {
	_, err := tx.Exec(restoreInsert, r.License, r.Generation, r.How, r.Recovery, r.Container, r.Actor, r.Time)
	return err
}

// RestoresOf returns the restores of a license, oldest first.
func (tx *Tx) RestoresOf(id license.ID) ([]Restore, error) {
	return collect(tx, scanRestore, restoresLicense, id)
}

// RestoresOfWhole returns the restores of a license and of all that were split from
// it, oldest first.
func (tx *Tx) RestoresOfWhole(id license.ID) ([]Restore, error) {
	return collect(tx, scanRestore, restoresWhole, id)
}

// RestoresSince returns every restore from a moment on, oldest first.
func (tx *Tx) RestoresSince(t license.Time) ([]Restore, error) {
	return collect(tx, scanRestore, restoresSince, t)
}

// InsertRestoreGrant stores that staff allow restores beyond the policy.
func (tx *Tx) InsertRestoreGrant(g RestoreGrant) error {
	_, err := tx.Exec(grantInsert, g.ID, g.License, g.Count, g.Actor, g.Reason, g.Created)
	return err
}

// UseRestoreGrant spends one restore of a grant; ErrNotFound if none is left.
func (tx *Tx) UseRestoreGrant(id string) error { return tx.one(grantUse, id) }

// RestoreGrantsOf returns the grants for a license, oldest first.
func (tx *Tx) RestoreGrantsOf(id license.ID) ([]RestoreGrant, error) {
	return collect(tx, func(scan func(...any) error) (g RestoreGrant, err error) {
		return g, scan(&g.ID, &g.License, &g.Count, &g.Used, &g.Actor, &g.Reason, &g.Created)
	}, grantsOf, id)
}

const (
	waitingRecovery = `select recovery from recovery_licenses where license = $1 and outcome = 'waiting' order by recovery limit 1`
	reportedLost    = `select count(*) from recovery_licenses where license = $1 and container = $2 and outcome = 'waiting'`
	refusedLoss     = recoveryColumns + `where number = (select max(recovery) from recovery_licenses where license = $1 and generation = $2 and container = $3 and outcome = 'refused')`
	restoresActor   = `select count(*) from restores where actor = $1 and time >= $2`
)

// WaitingRecovery returns the number of the recovery in which a license waits
// for a decision; ErrNotFound if there is none.
func (tx *Tx) WaitingRecovery(id license.ID) (number uint64, err error) {
	return number, tx.QueryRow(waitingRecovery, id).Scan(&number)
}

// ReportedLost reports whether a license waits for a decision as lost with a
// container.
func (tx *Tx) ReportedLost(id license.ID, with license.Serial) (bool, error) {
	var n int
	err := tx.QueryRow(reportedLost, id, with).Scan(&n)
	return n > 0, err
}

// RefusedLoss returns the latest report in which staff have refused to restore a
// generation of a license that a container has; ErrNotFound if there is none.
func (tx *Tx) RefusedLoss(id license.ID, generation license.Generation, with license.Serial) (Recovery, error) {
	return scanRecovery(tx.QueryRow(refusedLoss, id, generation, with).Scan)
}

// CountRestores counts what one actor has restored from a moment on.
func (tx *Tx) CountRestores(actor string, since license.Time) (n int64, err error) {
	return n, tx.QueryRow(restoresActor, actor, since).Scan(&n)
}
