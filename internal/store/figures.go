package store

import "licet/license"

// Figures is how many of what the record holds.
type Figures struct {
	Licenses                     []StateCount
	Containers, Flagged, Blocked int64
	Orders                       int64
	Recoveries                   int64 // open
	Earmarks                     int64
	Tail                         int64 // events not yet in the audit log, of at most 10000
}

const (
	figureStates  = `select state, count(*) from licenses group by state`
	figureNumbers = `select (select count(*) from containers), (select count(*) from containers where flag_reason <> ''), ` +
		`(select count(*) from containers where block_reason <> ''), (select count(*) from orders), ` +
		`(select count(*) from recoveries where state = 'waiting' or state = 'asked'), (select count(*) from earmarks), ` +
		`(select count(*) from (select id from events where sequence < 0 limit 10000) t)`
)

// Figures counts. States in which no license is are there with 0.
func (tx *Tx) Figures() (f Figures, err error) {
	counted, err := collect(tx, func(scan func(...any) error) (c StateCount, err error) { return c, scan(&c.State, &c.Count) }, figureStates)
	if err != nil {
		return f, err
	}
	for _, row := range license.States {
		c := StateCount{State: row.State}
		for _, one := range counted {
			if one.State == row.State {
				c = one
			}
		}
		f.Licenses = append(f.Licenses, c)
	}
	return f, tx.QueryRow(figureNumbers).Scan(&f.Containers, &f.Flagged, &f.Blocked, &f.Orders, &f.Recoveries, &f.Earmarks, &f.Tail)
}
