package store

import (
	"database/sql"
	"errors"

	"licet/license"
)

const (
	partInsert = `insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, activated, created, origin, subscription) select $1, order_id, ticket_id, product, item, features, terms, $3, 1, $4, $5, $6, $7, $8, subscription from licenses where id = $2`
	// Both rows or the transaction fails: what one gets, the other loses.
	seatsMove  = `update licenses set seats = case when id = $1 then seats - cast($3 as bigint) else seats + cast($3 as bigint) end where id = $1 or id = $2`
	partMerge  = `update licenses set merged_into = $2 where id = $1`
	partsKnown = `select case when l.origin = '' then l.id else l.origin end from licenses l where l.id = $1 and (l.origin <> '' or exists (select 1 from licenses p where p.origin = l.id and p.origin <> ''))`
	partsOf    = licenseColumns + `where id = $1 and merged_into = '' union all ` + licenseColumns + `where origin = $1 and origin <> '' and merged_into = '' order by id`
)

// SplitLicense makes a part of a license that is locked: so many of its seats are a
// license of their own from now on, where the license is. The part has neither row
// nor lock until then. Both are given as they are now.
func (tx *Tx) SplitLicense(of License, part license.ID, seats int64, now license.Time) (rest, split License, err error) {
	split = of.With(seats)
	split.ID, split.Origin, split.Generation, split.Created = part, of.Whole(), 1, now
	split.Reserved, split.Replaces, split.ReplacedBy, split.Withdrawn = "", "", "", false
	holder := sql.NullString{String: string(of.Holder), Valid: of.Holder != ""}
	if err := tx.later(partInsert, 1, part, of.ID, of.State, holder, of.Step, of.Activated, now, split.Origin); err != nil {
		return of, split, err
	}
	return of.With(of.Terms.Seats - seats), split, tx.later(seatsMove, 2, of.ID, part, seats)
}

// MergeLicense gives all seats of one part to another; both are locked. Both are given
// as they are now.
func (tx *Tx) MergeLicense(part, into License) (gone, whole License, err error) {
	if err := tx.later(seatsMove, 2, part.ID, into.ID, part.Terms.Seats); err != nil {
		return part, into, err
	}
	whole = into.With(into.Terms.Seats + part.Terms.Seats)
	gone = part.With(0)
	gone.MergedInto = into.ID
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
