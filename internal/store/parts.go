package store

import (
	"database/sql"
	"encoding/json"
	"errors"

	"licet/license"
)

const (
	partInsert = `insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, activated, created, origin, subscription, seats) select $1, order_id, ticket_id, product, item, features, $9, $3, 1, $4, $5, $6, $7, $8, subscription, $10 from licenses where id = $2`
	// Both rows or the transaction fails: what one gets, the other loses.
	seatsMove  = `update licenses set seats = case when id = $1 then seats - cast($3 as bigint) else seats + cast($3 as bigint) end where id = $1 or id = $2`
	partMerge  = `update licenses set merged_into = $2 where id = $1`
	partsKnown = `select case when l.origin = '' then l.id else l.origin end from licenses l where l.id = $1 and (l.origin <> '' or exists (select 1 from licenses p where p.origin = l.id and p.origin <> ''))`
	partsOf    = licenseColumns + `where id = $1 and merged_into = '' union all ` + licenseColumns + `where origin = $1 and origin <> '' and merged_into = '' order by id`
)

// SplitLicense makes a part of a license that is locked: so many of its seats, or
// units if it has some, are a license of their own from now on, where the license is.
// What is used stays with the license. The part has neither row nor lock until then.
// Both are given as they are now.
func (tx *Tx) SplitLicense(of License, part license.ID, n int64, now license.Time) (rest, split License, err error) {
	split = newPart(of, part, now)
	if of.Terms.Units > 0 {
		return tx.splitUnits(of, split, n)
	}
	split = split.With(n)
	return of.With(of.Terms.Seats - n), split, errors.Join(tx.insertPart(of, split, 0), tx.later(seatsMove, 2, of.ID, part, n))
}

// TakeUnits is SplitLicense for units that have come back from the container which
// has the others: the part is with the vendor.
func (tx *Tx) TakeUnits(of License, part license.ID, n int64, now license.Time) (rest, split License, err error) {
	split = newPart(of, part, now)
	split.State, split.Holder, split.Step = license.Returned, "", 0
	return tx.splitUnits(of, split, n)
}

func (tx *Tx) splitUnits(of, split License, n int64) (rest, part License, err error) {
	rest, part = of, split
	rest.Sold.Units -= n
	part.Sold.Units, part.Used = n, 0
	rest, part = rest.With(of.Terms.Seats), part.With(of.Terms.Seats)
	return rest, part, errors.Join(tx.insertPart(of, part, of.Terms.Seats), tx.MoveLicense(of.State, rest))
}

// newPart is a part as it begins, where the license is.
func newPart(of License, id license.ID, now license.Time) License {
	part := of
	part.ID, part.Origin, part.Generation, part.Created = id, of.Whole(), 1, now
	part.Reserved, part.Replaces, part.ReplacedBy, part.Withdrawn = "", "", "", false
	return part
}

func (tx *Tx) insertPart(of, part License, seats int64) error {
	terms, err := json.Marshal(part.Sold)
	if err != nil {
		return err
	}
	holder := sql.NullString{String: string(part.Holder), Valid: part.Holder != ""}
	return tx.later(partInsert, 1, part.ID, of.ID, part.State, holder, part.Step, part.Activated, part.Created, part.Origin, string(terms), seats)
}

// MergeLicense gives all seats, or all units with what is used of them, of one part to
// another; both are locked. Both are given as they are now.
func (tx *Tx) MergeLicense(part, into License) (gone, whole License, err error) {
	if part.Terms.Units > 0 {
		return tx.mergeUnits(part, into)
	}
	if err := tx.later(seatsMove, 2, part.ID, into.ID, part.Terms.Seats); err != nil {
		return part, into, err
	}
	whole = into.With(into.Terms.Seats + part.Terms.Seats)
	gone = part.With(0)
	gone.MergedInto = into.ID
	return gone, whole, tx.later(partMerge, 1, part.ID, into.ID)
}

func (tx *Tx) mergeUnits(part, into License) (gone, whole License, err error) {
	gone, whole = part, into
	whole.Sold.Units += part.Sold.Units
	whole.Used += part.Used
	gone.Sold.Units, gone.Used, gone.MergedInto = 0, 0, into.ID
	gone, whole = gone.With(part.Terms.Seats), whole.With(into.Terms.Seats)
	for _, l := range []License{gone, whole} {
		if err := errors.Join(tx.MoveLicense(l.State, l), tx.CountUnits(l.ID, l.Used)); err != nil {
			return gone, whole, err
		}
	}
	return gone, whole, tx.later(partMerge, 1, part.ID, into.ID)
}

// MoveSeats moves seats from one part to another; both are locked.
func (tx *Tx) MoveSeats(from, to license.ID, seats int64) error {
	return tx.later(seatsMove, 2, from, to, seats)
}

// MarkMerged notes which part has the seats of one that has none left.
func (tx *Tx) MarkMerged(part, into license.ID) error { return tx.later(partMerge, 1, part, into) }

// WholeOf is the license that a license is a part of, or is itself if it has parts;
// empty for one that was never split, and for none.
func (tx *Tx) WholeOf(id license.ID) (whole license.ID, err error) {
	if err = tx.QueryRow(partsKnown, id).Scan(&whole); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return whole, err
}

// Parts returns all that a license was split into and that has seats of its own, the
// license itself included, in the order of their ids.
func (tx *Tx) Parts(whole license.ID) ([]License, error) { return tx.licenses(partsOf, whole) }
