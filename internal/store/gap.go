package store

import (
	"licet/license"
)

// Gap is what a server that came back from a back-up does not know: what happened
// between the back-up and the loss (docs/protocol.md R18, R19).
type Gap struct {
	Epoch  uint64       // that began with it
	Since  license.Time // of the back-up
	Opened license.Time // when the server came back
	Closed license.Time // when staff ended it; 0 while it is open

	// Whole is the epoch from which on the record lacks nothing that was signed, because
	// it came back with its journal; 0 if something may be missing.
	Whole uint64
}

const (
	gapInsert     = `insert into gaps (epoch, since, opened, closed, whole) values ($1, $2, $3, $4, $5)`
	gapLast       = `select epoch, since, opened, closed, whole from gaps order by epoch desc limit 1`
	gapClose      = `update gaps set closed = $2 where epoch = $1 and closed = 0`
	gapsAll       = `select epoch, since, opened, closed, whole from gaps order by epoch`
	vendorEpoch   = `update vendor set epoch = $1, list = $2, outdated = '', version = version + 1`
	vendorLock    = `update vendor set version = version + 1`
	vendorStale   = `update vendor set outdated = $1 where outdated = ''`
	holdPool      = `update licenses set held_back = 'back_up' where holder is null and state <> 'gone' and held_back = ''`
	heldCount     = `select held_back, count(*) from licenses where held_back <> '' group by held_back`
	heldPage      = licenseColumns + `where held_back <> '' and id > $1 order by id limit $2`
	silentCount   = `select count(*) from containers where epoch < $1`
	silentPage    = containerColumns + `where epoch < $1 and serial > $2 order by serial limit $3`
	assignsMove   = `update earmarks set generation = $2 where license = $1 and kind = 'assign'`
	blockedNow    = `select count(*) from blocks where kind = 'license' and subject = $1 and generation = $2 and lifted = 0`
	eventNewest   = `select time from events order by id desc limit 1`
	eventCount    = `select count(*) from events`
	sessionsEmpty = `delete from sessions`
	leasesEnd     = `update cursors set lease = 0`
	hooksLeft     = `update webhooks set owner = '', lease = 0`
	restoring     = `select count(*) from cursors where name = 'restoring'`
	restoringSet  = `insert into cursors (name, sequence) values ('restoring', 0)`
	restoringEnd  = `delete from cursors where name = 'restoring'`
	keySecrets    = `select id, private from keys where private is not null`
	vendorHead    = `select id, name, environment, epoch from vendor`
)

func scanGap(scan func(...any) error) (g Gap, err error) {
	return g, scan(&g.Epoch, &g.Since, &g.Opened, &g.Closed, &g.Whole)
}

// TouchVendor begins a transaction that decides about the record as a whole.
func (tx *Tx) TouchVendor() error { return tx.one(vendorLock) }

// BeginEpoch stores a new epoch with the number that the block list has from then
// on, and that nothing shows the record to be outdated.
func (tx *Tx) BeginEpoch(epoch, list uint64) error { return tx.one(vendorEpoch, epoch, list) }

// MarkOutdated stores what proves that another record is newer; the first proof
// stays.
func (tx *Tx) MarkOutdated(why string) error {
	_, err := tx.Exec(vendorStale, why)
	return err
}

// InsertGap stores that a gap is open.
func (tx *Tx) InsertGap(g Gap) error {
	_, err := tx.Exec(gapInsert, g.Epoch, g.Since, g.Opened, g.Closed, g.Whole)
	return err
}

// Gap returns the last gap, open or closed; ErrNotFound if there never was one.
func (tx *Tx) Gap() (Gap, error) { return scanGap(tx.QueryRow(gapLast).Scan) }

// Gaps returns every gap, oldest first.
func (tx *Tx) Gaps() ([]Gap, error) { return collect(tx, scanGap, gapsAll) }

// CloseGap ends a gap; ErrNotFound if it is not open.
func (tx *Tx) CloseGap(epoch uint64, now license.Time) error { return tx.one(gapClose, epoch, now) }

// HoldPool holds back every license that is with the vendor, and counts them.
func (tx *Tx) HoldPool() (int64, error) { return tx.Exec(holdPool) }

// HeldBack counts the licenses that are held back, by why.
func (tx *Tx) HeldBack() (map[string]int64, error) {
	rows, err := tx.Query(heldCount)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[string]int64{}
	for rows.Next() {
		var why string
		var n int64
		if err := rows.Scan(&why, &n); err != nil {
			return nil, err
		}
		counts[why] = n
	}
	return counts, rows.Err()
}

// HeldBackPage returns licenses that are held back, after an id.
func (tx *Tx) HeldBackPage(after license.ID, limit int) ([]License, error) {
	return tx.licenses(heldPage, after, limit)
}

// Silent counts the containers that do not know an epoch yet.
func (tx *Tx) Silent(epoch uint64) (n int64, err error) {
	return n, tx.QueryRow(silentCount, epoch).Scan(&n)
}

// SilentPage returns containers that do not know an epoch yet, after a serial.
func (tx *Tx) SilentPage(epoch uint64, after license.Serial, limit int) ([]Container, error) {
	return collect(tx, scanContainer, silentPage, epoch, after, limit)
}

// MoveAssignments makes the orders to send a license somewhere be about its present
// generation.
func (tx *Tx) MoveAssignments(id license.ID, generation license.Generation) error {
	_, err := tx.Exec(assignsMove, id, generation)
	return err
}

// OnBlockList reports whether the block list names a generation of a license.
func (tx *Tx) OnBlockList(id license.ID, generation license.Generation) (bool, error) {
	var n int64
	err := tx.QueryRow(blockedNow, id, generation).Scan(&n)
	return n > 0, err
}

// Position says how far the record goes: how many events there are, and the time of
// the newest.
func (tx *Tx) Position() (events int64, newest license.Time, err error) {
	if err = tx.QueryRow(eventCount).Scan(&events); err != nil || events == 0 {
		return events, 0, err
	}
	return events, newest, tx.QueryRow(eventNewest).Scan(&newest)
}

// ForgetServers ends what belongs to the servers that ran on the record before it
// came back: signed-in sessions, and the work that each had taken for itself.
func (tx *Tx) ForgetServers() error {
	if _, err := tx.Exec(sessionsEmpty); err != nil {
		return err
	}
	if _, err := tx.Exec(leasesEnd); err != nil {
		return err
	}
	_, err := tx.Exec(hooksLeft)
	return err
}

// VendorHead is who the vendor is, in every schema that there was.
func (tx *Tx) VendorHead() (v Vendor, err error) {
	return v, tx.QueryRow(vendorHead).Scan(&v.ID, &v.Name, &v.Environment, &v.Epoch)
}

// SealedKeys are the keys whose private parts are in the database, encrypted, in every
// schema that there was.
func (tx *Tx) SealedKeys() ([]Key, error) {
	return collect(tx, func(scan func(...any) error) (k Key, err error) { return k, scan(&k.ID, &k.Private) }, keySecrets)
}

// Restoring reports whether the record is being restored from a back-up, and was not
// finished: nothing may be done with it.
func (tx *Tx) Restoring() (bool, error) {
	var n int64
	err := tx.QueryRow(restoring).Scan(&n)
	return n > 0, err
}

// BeginRestoring marks the record as not finished.
func (tx *Tx) BeginRestoring() error {
	_, err := tx.Exec(restoringSet)
	return err
}

// EndRestoring takes the mark off.
func (tx *Tx) EndRestoring() error { return tx.one(restoringEnd) }
