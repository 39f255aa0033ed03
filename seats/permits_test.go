package seats_test

import (
	"testing"
	"time"

	"licet/license"
	"licet/seats"
)

// TestPermits: what a license lets a server give, at the edges.
func TestPermits(t *testing.T) {
	const start license.Time = 1_800_000_000_000_000
	end := start.Add(100 * time.Hour)
	terms := license.Terms{
		Seats: 5, ExpiresAt: end, Grace: license.Duration(time.Hour), Transfer: license.MovesSeats,
		Borrow: license.Borrow{Max: license.Day, Seats: 2},
	}
	hour := license.Time(time.Hour.Microseconds())
	units := func(moves license.Moves, n int64) func(*license.Terms) {
		return func(t *license.Terms) { t.Transfer, t.Units = moves, n }
	}
	for name, c := range map[string]struct {
		lease  seats.Lease
		change func(*license.Terms)
		want   bool
	}{
		"a session":                   {seats.Lease{Kind: seats.Session, Seats: 1, From: start, Until: start + hour}, nil, true},
		"all seats":                   {seats.Lease{Kind: seats.Session, Seats: 5, From: start, Until: start + hour}, nil, true},
		"one seat too many":           {seats.Lease{Kind: seats.Session, Seats: 6, From: start, Until: start + hour}, nil, false},
		"any number, uncounted":       {seats.Lease{Kind: seats.Session, Seats: 6, From: start, Until: start + hour}, func(t *license.Terms) { t.Counting = license.Unlimited }, true},
		"local only":                  {seats.Lease{Kind: seats.Session, Seats: 1, From: start, Until: start + hour}, func(t *license.Terms) { t.Seats = 0 }, false},
		"local only, uncounted":       {seats.Lease{Kind: seats.Session, Seats: 1, From: start, Until: start + hour}, func(t *license.Terms) { t.Seats, t.Counting = 0, license.Unlimited }, false},
		"up to the end of its grace":  {seats.Lease{Kind: seats.Session, Seats: 1, From: start, Until: end + hour}, nil, true},
		"beyond its grace":            {seats.Lease{Kind: seats.Session, Seats: 1, From: start, Until: end + hour + 1}, nil, false},
		"a loan":                      {seats.Lease{Kind: seats.Loan, Seats: 2, From: start, Until: start + 24*hour}, nil, true},
		"a loan, too long":            {seats.Lease{Kind: seats.Loan, Seats: 1, From: start, Until: start + 24*hour + 1}, nil, false},
		"a loan of too many":          {seats.Lease{Kind: seats.Loan, Seats: 3, From: start, Until: start + hour}, nil, false},
		"a loan of what is not lent":  {seats.Lease{Kind: seats.Loan, Seats: 1, From: start, Until: start + hour}, func(t *license.Terms) { t.Borrow = license.Borrow{} }, false},
		"a loan without end":          {seats.Lease{Kind: seats.Loan, Seats: 1, From: start}, func(t *license.Terms) { t.ExpiresAt = 0 }, false},
		"seats for good":              {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, nil, true},
		"seats for good, without end": {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start}, func(t *license.Terms) { t.ExpiresAt = 0 }, true},
		"seats longer than the rest":  {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start}, nil, false},
		"seats that do not move":      {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, func(t *license.Terms) { t.Transfer = "" }, false},
		"the whole":                   {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, func(t *license.Terms) { t.Transfer = license.MovesWhole }, true},
		"terms of a later version":    {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, func(t *license.Terms) { t.Transfer = "boxes" }, false},
		"seats where units move":      {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, units(license.MovesUnits, 5), false},
		"seats beside units":          {seats.Lease{Kind: seats.Transfer, Seats: 3, From: start, Until: end}, units("seats+units", 5), true},
		"units for good":              {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 5, From: start, Until: end}, units(license.MovesUnits, 5), true},
		"units beside seats":          {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 5, From: start, Until: end}, units("whole+units", 5), true},
		"units, for local use only":   {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 5, From: start, Until: end}, func(t *license.Terms) { units("units", 5)(t); t.Seats = 0 }, true},
		"units longer than the rest":  {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 5, From: start}, units("units", 5), false},
		"more units than there are":   {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 6, From: start, Until: end}, units("units", 5), false},
		"fewer than none":             {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: -1, From: start, Until: end}, units("units", 5), false},
		"units that do not move":      {seats.Lease{Kind: seats.Transfer, Seats: 1, Units: 5, From: start, Until: end}, units(license.MovesSeats, 5), false},
		"units on loan":               {seats.Lease{Kind: seats.Loan, Seats: 1, Units: 5, From: start, Until: start + hour}, units("units", 5), false},
		"units and seats at once":     {seats.Lease{Kind: seats.Transfer, Seats: 2, Units: 5, From: start, Until: end}, units("units", 5), false},
		"something of another kind":   {seats.Lease{Kind: "gift", Seats: 1, From: start, Until: start + hour}, nil, false},
	} {
		terms := terms
		if c.change != nil {
			c.change(&terms)
		}
		if got := seats.Permits(terms, c.lease); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
