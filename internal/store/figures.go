package store

import (
	"strings"

	"licet/license"
)

// Figures is how many of what the record holds.
type Figures struct {
	Licenses                     []StateCount
	Containers, Flagged, Blocked int64
	Orders                       int64
	Recoveries                   int64 // open
	Earmarks                     int64
	Tail                         int64 // events not yet in the audit log, of at most 10000
}

const figureNumbers = `select (select count(*) from containers), (select count(*) from containers where flag_reason <> ''), ` +
	`(select count(*) from containers where block_reason <> ''), (select count(*) from orders), ` +
	`(select count(*) from recoveries where state = 'waiting' or state = 'asked'), (select count(*) from earmarks), ` +
	`(select count(*) from (select id from events where sequence < 0 limit 10000) t)`

// figureStates counts the licenses in each state, in one pass: grouping would have
// SQLite sort all of them.
var figureStates = func() string {
	var sums []string
	for _, row := range license.States {
		sums = append(sums, `coalesce(sum(case when state = '`+string(row.State)+`' then 1 else 0 end), 0)`)
	}
	return `select ` + strings.Join(sums, ", ") + ` from licenses`
}()

// Figures counts. States in which no license is are there with 0.
func (tx *Tx) Figures() (Figures, error) {
	f, err := tx.Numbers()
	if err != nil {
		return f, err
	}
	var places []any
	f.Licenses = make([]StateCount, len(license.States))
	for i, row := range license.States {
		f.Licenses[i].State = row.State
		places = append(places, &f.Licenses[i].Count)
	}
	err = tx.QueryRow(figureStates).Scan(places...)
	return f, err
}

// Numbers counts all but the licenses, which are the most by far.
func (tx *Tx) Numbers() (f Figures, err error) {
	err = tx.QueryRow(figureNumbers).Scan(&f.Containers, &f.Flagged, &f.Blocked, &f.Orders, &f.Recoveries, &f.Earmarks, &f.Tail)
	return f, err
}
