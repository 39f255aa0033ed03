package store

import (
	"time"

	"licet/license"
)

// Kinds of entries of the block list.
const (
	BlockedLicense   = "license"
	BlockedContainer = "container"
)

// Block is one entry of the block list, from when it came until it was lifted.
type Block struct {
	Kind       string
	Subject    string             // license id or container serial
	Generation license.Generation // of a license; 0 for a container
	Added      uint64             // number of the list with which it came
	Lifted     uint64             // number of the list with which it was lifted; 0 if it was not
	Reason     string
	Created    license.Time
}

const (
	blockColumns = `select kind, subject, generation, added, lifted, reason, created from blocks `
	blockInsert  = `insert into blocks (kind, subject, generation, added, reason, created) values ($1, $2, $3, $4, $5, $6)`
	blockLift    = `update blocks set lifted = $4 where kind = $1 and subject = $2 and generation = $3 and lifted = 0`
	blocksSince  = blockColumns + `where added > $1 or lifted > $1`
	blocksPage   = blockColumns + `where lifted = 0 and added < $1 order by added desc, kind, subject, generation limit $2`
	listNext     = `update vendor set list = list + 1 returning list`
	listNumber   = `select list, refresh from vendor`
	refreshSet   = `update vendor set refresh = $1`
)

func scanBlock(scan func(...any) error) (b Block, err error) {
	return b, scan(&b.Kind, &b.Subject, &b.Generation, &b.Added, &b.Lifted, &b.Reason, &b.Created)
}

// NextList makes the next number of the block list.
func (tx *Tx) NextList() (number uint64, err error) {
	return number, tx.QueryRow(listNext).Scan(&number)
}

// List returns the number of the block list, and how often machines are to ask
// by themselves, in µs; 0 leaves that to them.
func (tx *Tx) List() (number uint64, refresh license.Duration, err error) {
	var µs int64
	err = tx.QueryRow(listNumber).Scan(&number, &µs)
	return number, license.Duration(time.Duration(µs) * time.Microsecond), err
}

// SetRefresh stores how often machines are to ask by themselves; 0 leaves that
// to them.
func (tx *Tx) SetRefresh(d license.Duration) error {
	return tx.one(refreshSet, d.Go().Microseconds())
}

// InsertBlock adds an entry to the block list.
func (tx *Tx) InsertBlock(b Block) error {
	_, err := tx.Exec(blockInsert, b.Kind, b.Subject, b.Generation, b.Added, b.Reason, b.Created)
	return err
}

// LiftBlock takes an entry off the block list with a new number of it;
// ErrNotFound if it is not on it.
func (tx *Tx) LiftBlock(b Block, number uint64) error {
	return tx.one(blockLift, b.Kind, b.Subject, b.Generation, number)
}

// BlocksSince returns every entry that came or was lifted after a number of the
// list, in any order.
func (tx *Tx) BlocksSince(number uint64) ([]Block, error) {
	return collect(tx, scanBlock, blocksSince, number)
}

// Blocks returns a page of what is blocked, newest first, those that came before
// a number of the list; 0 for the first page.
func (tx *Tx) Blocks(before uint64, limit int) ([]Block, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	return collect(tx, scanBlock, blocksPage, before, limit)
}
