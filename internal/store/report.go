package store

import (
	"strconv"
	"strings"

	"licet/license"
)

// Counted is what a report counts of a license.
type Counted struct {
	Product            string
	State              license.State
	Seats, Units, Used int64
	Created, Activated license.Time // sold, and first activated
	Ends               license.Time // 0 means never, or not known before its activation
	Sold               bool         // it was sold as it is, and not split from another
	There              bool         // its seats are not in another part
}

// Terms are read only where they say what is counted.
const countedAll = `select product, state, seats, used, created, activated, case when origin = '' then 1 else 0 end, case when merged_into = '' then 1 else 0 end, ` +
	`case when terms like '%"expires_at"%' or terms like '%"units"%' then terms else '' end from licenses`

// EachLicense calls fn with every license there is.
func (tx *Tx) EachLicense(fn func(Counted)) error {
	rows, err := tx.Query(countedAll)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Counted
		var state, terms string
		var created, activated, sold, there int64
		if err := rows.Scan(&c.Product, &state, &c.Seats, &c.Used, &created, &activated, &sold, &there, &terms); err != nil {
			return err
		}
		c.State, c.Created, c.Activated = license.State(state), license.Time(created), license.Time(activated)
		c.Sold, c.There = sold != 0, there != 0
		if err := c.read(terms); err != nil {
			return err
		}
		if err := rows.Err(); err != nil {
			return err
		}
		fn(c)
	}
	return rows.Err()
}

// read takes out of terms, as they are stored, what is counted. Decoding the whole of
// a million texts would take longer than everything else.
func (c *Counted) read(terms string) (err error) {
	if text, ok := after(terms, `"expires_at":"`); ok {
		end, _, _ := strings.Cut(text, `"`)
		if err = c.Ends.UnmarshalText([]byte(end)); err != nil {
			return err
		}
	}
	if text, ok := after(terms, `"units":`); ok {
		c.Units, err = strconv.ParseInt(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))], 10, 64)
	}
	return err
}

func after(text, mark string) (string, bool) {
	_, rest, ok := strings.Cut(text, mark)
	return rest, ok
}
