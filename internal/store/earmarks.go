package store

import (
	"licet/container"
	"licet/license"
)

// Kinds of earmarks.
const (
	Withdraw = "withdraw" // the license goes for good
	Replace  = "replace"  // another license comes in its place
	Assign   = "assign"   // the license comes without a ticket
	Kill     = "kill"     // a copy of an earlier generation goes
	Recall   = "recall"   // the license comes back to the vendor
	Change   = "change"   // the container gets what it holds as it is in the record now
)

// Earmark is an order of the vendor that waits for a container's next step, or
// is under way in one.
type Earmark struct {
	ID         string
	Container  license.Serial
	Kind       string
	License    license.ID
	Generation license.Generation // of the license when it was ordered; of the copy to go, of a kill
	With       license.ID         // what comes in its place; Replace only
	Found      string             // what happens when the lost copy turns up; Kill only
	Step       uint64             // that carries it; 0 until issued
	Actor      string
	Reason     string
	Created    license.Time
}

// Order is the earmark as a plan takes it.
func (e Earmark) Order() container.Earmark {
	o := container.Earmark{Phase: container.Withdraw, License: e.License}
	switch e.Kind {
	case Replace:
		o.Phase, o.With = container.Replace, e.With
	case Change:
		o.Phase, o.Again = container.Replace, true
	case Assign:
		o.Phase = container.Assign
	case Kill:
		o.Old = e.Generation
	}
	return o
}

const (
	earmarkColumns    = `select id, container, kind, license, generation, with_license, found, step, actor, reason, created from earmarks `
	earmarkInsert     = `insert into earmarks (id, container, kind, license, generation, with_license, found, actor, reason, created) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	earmarkIssued     = `update earmarks set step = $2 where id = $1`
	earmarkDelete     = `delete from earmarks where id = $1`
	earmarksContainer = earmarkColumns + `where container = $1 order by id`
	earmarksLicense   = earmarkColumns + `where license = $1 or with_license = $1 order by id`
	earmarksPage      = earmarkColumns + `where id < $1 order by id desc limit $2`
	earmarksCount     = `update containers set earmarks = earmarks + $2 where serial = $1`
	containersHeld    = `select distinct container from step_ops where license = $1 order by container`
)

func scanEarmark(scan func(...any) error) (e Earmark, err error) {
	return e, scan(&e.ID, &e.Container, &e.Kind, &e.License, &e.Generation, &e.With, &e.Found, &e.Step, &e.Actor, &e.Reason, &e.Created)
}

// InsertEarmark stores an order that waits; its container is locked.
func (tx *Tx) InsertEarmark(e Earmark) error {
	if _, err := tx.Exec(earmarkInsert, e.ID, e.Container, e.Kind, e.License, e.Generation, e.With, e.Found, e.Actor, e.Reason, e.Created); err != nil {
		return err
	}
	return tx.one(earmarksCount, e.Container, 1)
}

// EarmarkIssued notes the step that carries an order.
func (tx *Tx) EarmarkIssued(id string, step uint64) error { return tx.one(earmarkIssued, id, step) }

// DeleteEarmark ends an order that was carried out or taken back; its container
// is locked.
func (tx *Tx) DeleteEarmark(e Earmark) error {
	if err := tx.one(earmarkDelete, e.ID); err != nil {
		return err
	}
	return tx.one(earmarksCount, e.Container, -1)
}

// EarmarksOf returns the orders for a container, oldest first.
func (tx *Tx) EarmarksOf(serial license.Serial) ([]Earmark, error) {
	return collect(tx, scanEarmark, earmarksContainer, serial)
}

// EarmarksOn returns the orders that concern a license, oldest first: those to
// move it, and those that bring it in another's place.
func (tx *Tx) EarmarksOn(id license.ID) ([]Earmark, error) {
	return collect(tx, scanEarmark, earmarksLicense, id)
}

// Earmarks returns a page of all orders, newest first, those before the id given.
func (tx *Tx) Earmarks(before string, limit int) ([]Earmark, error) {
	if before == "" {
		before = "~"
	}
	return collect(tx, scanEarmark, earmarksPage, before, limit)
}

// ContainersOf returns every container that was ever given a license, by serial.
func (tx *Tx) ContainersOf(id license.ID) ([]license.Serial, error) {
	return collect(tx, func(scan func(...any) error) (s license.Serial, err error) { return s, scan(&s) }, containersHeld, id)
}
