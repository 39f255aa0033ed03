package container_test

import (
	"slices"
	"testing"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

func TestLentNow(t *testing.T) {
	const now license.Time = 1000
	holds := func(id license.ID, g license.Generation) bool { return id == "a" && g == 2 }
	record := []container.Lent{{License: "gone", Generation: 1, Seats: 3, Until: 2000}}
	for name, c := range map[string]struct{ told, want []container.Lent }{
		"what it holds":                {[]container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 1001}}, []container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 1001}}},
		"for good":                     {[]container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 0}}, []container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 0}}},
		"over at its very end":         {[]container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 1000}}, nil},
		"an end before all time":       {[]container.Lent{{License: "a", Generation: 2, Seats: 1, Until: -5}}, nil},
		"nothing":                      {[]container.Lent{{License: "a", Generation: 2, Seats: 0, Until: 2000}, {License: "a", Generation: 2, Seats: -1, Until: 2000}}, nil},
		"another generation":           {[]container.Lent{{License: "a", Generation: 1, Seats: 1, Until: 2000}}, nil},
		"somebody else's":              {[]container.Lent{{License: "b", Generation: 2, Seats: 1, Until: 2000}}, nil},
		"taken back while it was out":  {[]container.Lent{{License: "gone", Generation: 1, Seats: 2, Until: 2000}}, []container.Lent{{License: "gone", Generation: 1, Seats: 2, Until: 2000}}},
		"taken back, another life":     {[]container.Lent{{License: "gone", Generation: 2, Seats: 2, Until: 2000}}, nil},
		"the first word counts":        {[]container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 2000}, {License: "a", Generation: 2, Seats: 9, Until: 3000}}, []container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 2000}}},
		"in the order of the licenses": {[]container.Lent{{License: "gone", Generation: 1, Seats: 2, Until: 2000}, {License: "a", Generation: 2, Seats: 1, Until: 2000}}, []container.Lent{{License: "a", Generation: 2, Seats: 1, Until: 2000}, {License: "gone", Generation: 1, Seats: 2, Until: 2000}}},
		"all back":                     {nil, nil},
	} {
		if got := container.LentNow(record, c.told, holds, now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if l := container.LentOf(record, "gone", 1, 1999); l.Seats != 3 {
		t.Errorf("%+v", l)
	}
	if l := container.LentOf(record, "gone", 1, 2000); l.Seats != 0 {
		t.Errorf("at its end: %+v", l)
	}
	if l := container.LentOf(record, "gone", 2, 1999); l.Seats != 0 {
		t.Errorf("another generation: %+v", l)
	}
}

// TestReturnWhileLent: a user's return waits for seats that are out, unless the
// terms allow it; what the vendor has ordered does not.
func TestReturnWhileLent(t *testing.T) {
	s := container.Situation{Serial: "A", Kind: license.Machine, Return: []license.ID{"L"}, Licenses: map[license.ID]container.Candidate{
		"L": {License: "L", Generation: 1, Product: "CAD", State: license.Collected, Holder: "A", Deactivation: true,
			Lent: container.Lent{License: "L", Generation: 1, Seats: 3, Until: 1_800_000_000_000_000}},
	}}
	ops, out := container.Plan(s)
	if len(ops) != 0 || out[0].Code != refusal.SeatsOnLoan || out[0].Details["seats"] != int64(3) || out[0].Details["until"] != "2027-01-15T08:00:00Z" || out[0].Details["license"] != "L" ||
		out[0].Message != "3 seats of CAD (L) are on loan, the last of them until 2027-01-15T08:00:00Z; it stays until then." {
		t.Errorf("%v %+v", ops, out)
	}
	c := s.Licenses["L"]
	c.Lent.Until = 0
	s.Licenses["L"] = c
	if ops, out = container.Plan(s); len(ops) != 0 || out[0].Code != refusal.SeatsOnLoan || out[0].Details["until"] != nil || out[0].Hint != "Move them back first." {
		t.Errorf("for good: %v %+v", ops, out)
	}
	s.Earmarks = []container.Earmark{{Phase: container.Withdraw, License: "L"}}
	if ops, out = container.Plan(s); len(ops) != 1 || ops[0].Phase != container.Withdraw || out[0].Code != refusal.AlreadyApplied {
		t.Errorf("withdrawn: %v %+v", ops, out)
	}
	s.Earmarks = nil
	c.LentStays = true
	s.Licenses["L"] = c
	if ops, out = container.Plan(s); len(ops) != 1 || ops[0].Phase != container.Return || out[0].Code != refusal.Done {
		t.Errorf("allowed: %v %+v", ops, out)
	}
}
