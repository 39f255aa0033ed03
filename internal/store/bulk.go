package store

import (
	"errors"
	"strings"

	"licet/license"
)

// BulkJob is many operations of one kind, carried out one after the other.
type BulkJob struct {
	ID, Kind             string
	ActorKind, ActorName string
	Scopes               []string
	Token                string // id of the token that it was asked for with
	Reason               string
	DryRun               bool
	Total, Next, Failed  int64 // items; the next one's place; those before it that failed
	Created              license.Time
	Started, Ended       license.Time
	Canceled             bool
	Waits                string       // code of why it does not go on
	Hold                 license.Time // not before
	Turn                 license.Time // the last one
	Owner                string
	Lease                license.Time
}

// BulkItems is some items of a job, from a place on.
type BulkItems struct {
	First int64
	Items []byte // as JSON
}

// BulkResult is what came of an item.
type BulkResult struct {
	Item   int64
	Failed bool
	Result []byte // as JSON
}

const (
	bulkFields = `id, kind, actor_kind, actor_name, scopes, token, reason, dry_run, total, next, failed, created, started, ended, canceled, waits, hold, turn, owner, lease`
	bulkSelect = `select ` + bulkFields + ` from bulk_jobs where id = $1`
	bulkLock   = `update bulk_jobs set version = version + 1 where id = $1 returning ` + bulkFields
	bulkList   = `select ` + bulkFields + ` from bulk_jobs where (id < $1 or $1 = '') order by id desc limit $2`
	bulkInsert = `insert into bulk_jobs (id, kind, actor_kind, actor_name, scopes, token, reason, dry_run, total, created) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	bulkUpdate = `update bulk_jobs set next = $2, failed = $3, started = $4, ended = $5, canceled = $6, waits = $7, hold = $8, turn = $9, owner = $10, lease = $11 where id = $1`
	bulkOpen   = `select count(*) from bulk_jobs where ended = 0`
	// The one that waited longest for a turn.
	bulkDue = `select ` + bulkFields + ` from bulk_jobs where ended = 0 and hold <= $1 and lease <= $1 order by turn, id limit 1`
	// Only the server that has the job does an item, only the next one, and none of a
	// job that has ended: whoever else tries changes no row.
	bulkAdvance = `update bulk_jobs set next = next + 1, failed = failed + $4, waits = '', lease = $5, version = version + 1
  where id = $1 and owner = $2 and next = $3 and ended = 0`
	bulkFail = `update bulk_jobs set failed = failed + 1 where id = $1`

	bulkItemsInsert = `insert into bulk_items (job, first, items) values ($1, $2, $3)`
	bulkItemsSelect = `select first, items from bulk_items where job = $1 and first <= $2 order by first desc limit 1`
	bulkItemsDelete = `delete from bulk_items where job = $1`

	bulkResultInsert  = `insert into bulk_results (job, item, failed, result) values ($1, $2, $3, $4)`
	bulkResultsAll    = `select item, failed, result from bulk_results where job = $1 and item > $2 order by item limit $3`
	bulkResultsFailed = `select item, failed, result from bulk_results where job = $1 and item > $2 and failed = 1 order by item limit $3`
	bulkResultsDone   = `select item, failed, result from bulk_results where job = $1 and item > $2 and failed = 0 order by item limit $3`

	bulkOld           = `select id from bulk_jobs where ended > 0 and ended < $1 order by ended limit 1`
	bulkResultsForget = `delete from bulk_results where job = $1 and item in (select item from bulk_results where job = $1 order by item limit $2)`
	bulkDelete        = `delete from bulk_jobs where id = $1`
	bulkOpenIDs       = `select id from bulk_jobs where ended = 0 order by id`
)

func scanBulk(scan func(...any) error) (j BulkJob, err error) {
	var scopes string
	var dry, canceled int64
	err = scan(&j.ID, &j.Kind, &j.ActorKind, &j.ActorName, &scopes, &j.Token, &j.Reason, &dry, &j.Total, &j.Next, &j.Failed, &j.Created, &j.Started,
		&j.Ended, &canceled, &j.Waits, &j.Hold, &j.Turn, &j.Owner, &j.Lease)
	j.Scopes, j.DryRun, j.Canceled = strings.Fields(scopes), dry == 1, canceled == 1
	return j, err
}

// InsertBulk stores a job.
func (tx *Tx) InsertBulk(j BulkJob) error {
	_, err := tx.Exec(bulkInsert, j.ID, j.Kind, j.ActorKind, j.ActorName, strings.Join(j.Scopes, " "), j.Token, j.Reason, number(j.DryRun), j.Total, j.Created)
	return err
}

// AddBulkItems stores what a job is to do, from a place on.
func (tx *Tx) AddBulkItems(job string, items BulkItems) error {
	return tx.later(bulkItemsInsert, 1, job, items.First, string(items.Items))
}

// Bulk finds a job.
func (tx *Tx) Bulk(id string) (BulkJob, error) { return scanBulk(tx.QueryRow(bulkSelect, id).Scan) }

// LockBulk locks a job until the transaction ends, and gives it.
func (tx *Tx) LockBulk(id string) (BulkJob, error) {
	return scanBulk(tx.lock(bulkLock, bulkSelect, id).Scan)
}

// Bulks returns jobs before an id, newest first.
func (tx *Tx) Bulks(before string, limit int) ([]BulkJob, error) {
	return collect(tx, scanBulk, bulkList, before, limit)
}

// CountOpenBulks counts the jobs that have not ended.
func (tx *Tx) CountOpenBulks() (n int64, err error) { return n, tx.QueryRow(bulkOpen).Scan(&n) }

// OpenBulks names the jobs that have not ended.
func (tx *Tx) OpenBulks() ([]string, error) {
	return collect(tx, func(scan func(...any) error) (id string, err error) { return id, scan(&id) }, bulkOpenIDs)
}

// DueBulk finds the job whose turn it is, of those that no server has.
func (tx *Tx) DueBulk(now license.Time) (BulkJob, error) {
	return scanBulk(tx.QueryRow(bulkDue, now).Scan)
}

// UpdateBulk stores what changes of a job that is locked.
func (tx *Tx) UpdateBulk(j BulkJob) error {
	return tx.one(bulkUpdate, j.ID, j.Next, j.Failed, j.Started, j.Ended, number(j.Canceled), j.Waits, j.Hold, j.Turn, j.Owner, j.Lease)
}

// AdvanceBulk locks a job and takes its next item as done, for the server that has it;
// false where it is another's by now, or has ended, or is further.
func (tx *Tx) AdvanceBulk(id, owner string, item int64, failed bool, lease license.Time) (bool, error) {
	n, err := tx.Exec(bulkAdvance, id, owner, item, number(failed), lease)
	return n == 1, err
}

// FailBulk counts the item that was just taken as failed.
func (tx *Tx) FailBulk(id string) error { return tx.one(bulkFail, id) }

// BulkItems returns the items of a job among which one is.
func (tx *Tx) BulkItems(job string, item int64) (b BulkItems, err error) {
	return b, tx.QueryRow(bulkItemsSelect, job, item).Scan(&b.First, &b.Items)
}

// ForgetBulkItems drops what a job was to do.
func (tx *Tx) ForgetBulkItems(job string) error {
	_, err := tx.Exec(bulkItemsDelete, job)
	return err
}

// AddBulkResult stores what came of an item.
func (tx *Tx) AddBulkResult(job string, r BulkResult) error {
	return tx.later(bulkResultInsert, 1, job, r.Item, number(r.Failed), string(r.Result))
}

// BulkResults returns results behind an item, in order: all, or those of the items
// that failed, or of the others.
func (tx *Tx) BulkResults(job string, failed *bool, after int64, limit int) ([]BulkResult, error) {
	query := bulkResultsAll
	if failed != nil {
		query = bulkResultsDone
		if *failed {
			query = bulkResultsFailed
		}
	}
	return collect(tx, func(scan func(...any) error) (r BulkResult, err error) {
		var bad int64
		err = scan(&r.Item, &bad, &r.Result)
		r.Failed = bad == 1
		return r, err
	}, query, job, after, limit)
}

// ForgetBulk forgets a job that ended before a time, so many of its results at once;
// false when there is none.
func (tx *Tx) ForgetBulk(before license.Time, results int) (bool, error) {
	var id string
	err := tx.QueryRow(bulkOld, before).Scan(&id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(bulkResultsForget, id, results)
	if err != nil || n > 0 {
		return true, err
	}
	return true, tx.one(bulkDelete, id)
}
