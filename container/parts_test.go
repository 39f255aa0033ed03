package container_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
)

func TestPlanParts(t *testing.T) {
	const free = "L P not_collected 10"
	tests := []struct {
		name     string
		licenses []string
		asks     []string
		ops      []string
		outcomes []string
	}{
		// Some seats come in.
		{"some of a free license", []string{free}, []string{"ticket T L", "activate L=4"},
			[]string{"5 put N1 (4 of L)"}, []string{"activate L=4: done"}},
		{"all of it, by number", []string{free}, []string{"ticket T L", "activate L=10"},
			[]string{"5 put L"}, []string{"activate L=10: done"}},
		{"more than there are", []string{free}, []string{"ticket T L", "activate L=11"}, nil, []string{"activate L=11: too_few_seats"}},
		{"none", []string{free}, []string{"ticket T L", "activate L=0"}, nil, []string{"activate L=0: invalid_input"}},
		{"fewer than none", []string{free}, []string{"ticket T L", "activate L=-3"}, nil, []string{"activate L=-3: invalid_input"}},
		{"a license that is used as a whole", []string{free + " whole"}, []string{"ticket T L", "activate L=4"}, nil, []string{"activate L=4: not_splittable"}},
		{"a license that is used as a whole, all of it", []string{free + " whole"}, []string{"ticket T L", "activate L=10"},
			[]string{"5 put L"}, []string{"activate L=10: done"}},
		{"without a ticket", []string{free}, []string{"activate L=4"}, nil, []string{"activate L=4: license_unknown"}},
		{"a license that nobody knows", nil, []string{"ticket T X", "activate X=4"}, nil, []string{"activate X=4: license_unknown"}},
		{"kinds of container", []string{free + " token"}, []string{"ticket T L", "activate L=4"}, nil, []string{"activate L=4: container_not_allowed"}},
		{"kept for another", []string{free + " for=OTHER"}, []string{"ticket T L", "activate L=4"}, nil, []string{"activate L=4: license_assigned"}},
		{"kept for this one", []string{free + " for=ME"}, []string{"ticket T L", "activate L=4"},
			[]string{"5 put N1 (4 of L)"}, []string{"activate L=4: done"}},
		{"withdrawn", []string{"L P gone 10"}, []string{"ticket T L", "activate L=4"}, nil, []string{"activate L=4: license_withdrawn"}},

		// Any part may be named.
		{"the named part is elsewhere", []string{"L P collected@OTHER 4", "R P returned 6 of=L"}, []string{"ticket T L R", "activate L=6"},
			[]string{"5 put R"}, []string{"activate L=6: done"}},
		{"its rest is split", []string{"L P collected@OTHER 4", "R P returned 6 of=L"}, []string{"ticket T L R", "activate L=2"},
			[]string{"5 put N1 (2 of R)"}, []string{"activate L=2: done"}},
		{"a part that was merged", []string{"L P returned 10", "R P gone 0 of=L into=L"}, []string{"ticket T L", "activate R=2"},
			[]string{"5 put N1 (2 of L)"}, []string{"activate R=2: done"}},
		{"a part that was merged, named as a whole", []string{"L P returned 10", "R P gone 0 of=L into=L"}, []string{"ticket T L", "activate R"},
			nil, []string{"activate R: license_unknown"}},
		{"none is free", []string{"L P collected@OTHER 4", "R P returning@OTHER 6 of=L"}, []string{"ticket T L R", "activate L=1"},
			nil, []string{"activate L=1: license_in_use"}},
		{"two parts are free", []string{"L P returned 3", "R P returned 4 of=L"}, []string{"ticket T L R", "activate L=6"},
			[]string{"5 put R", "5 put N1 (2 of L)"}, []string{"activate L=6: done", "activate L=6: done"}},
		{"one of them fits", []string{"L P returned 9", "R P returned 4 of=L"}, []string{"ticket T L R", "activate L=4"},
			[]string{"5 put R"}, []string{"activate L=4: done"}},
		{"none fits: the named one", []string{"L P returned 9", "R P returned 7 of=L"}, []string{"ticket T L R", "activate L=4"},
			[]string{"5 put N1 (4 of L)"}, []string{"activate L=4: done"}},
		{"the named one is too small: the smallest", []string{"L P returned 9", "M P returned 8 of=L", "R P returned 2 of=L"},
			[]string{"ticket T L M R", "activate R=4"}, []string{"5 put N1 (4 of M)"}, []string{"activate R=4: done"}},
		{"a part that leaves for good is not counted", []string{"L P returned 3", "R P returning@ME 4 of=L"}, []string{"withdraw R", "ticket T L R", "activate L=5"},
			nil, []string{"activate L=5: too_few_seats"}},

		// What is asked for is what the container has in the end.
		{"what is here counts", []string{"L P returned 6", "R P collected@ME 4 of=L"}, []string{"ticket T L R", "activate L=4"}, nil, []string{"activate L=4: already_applied"}},
		{"also without a receipt", []string{"L P returned 6", "R P collecting@ME 4 of=L"}, []string{"ticket T L R", "activate L=4"}, nil, []string{"activate L=4: already_applied"}},
		{"what lacks comes in", []string{"L P returned 6", "R P collected@ME 4 of=L"}, []string{"ticket T L R", "activate L=7"},
			[]string{"5 put N1 (3 of L)"}, []string{"activate L=7: done"}},
		{"what is on its way back may stay", []string{"L P collected@ME 6", "R P returning@ME 4 of=L"}, []string{"ticket T L R", "activate L=10"},
			[]string{"5 put R"}, []string{"activate L=10: done"}},
		{"two wishes for one license", []string{free, "R P returned 3 of=L"}, []string{"ticket T L R", "activate R", "activate L=5"},
			[]string{"5 put R", "5 put N1 (2 of L)"}, []string{"activate R: done", "activate L=5: done"}},
		{"two numbers for one license", []string{free, "R P collected@OTHER 3 of=L"}, []string{"ticket T L R", "activate L=5", "activate R=2"},
			[]string{"5 put N1 (5 of L)"}, []string{"activate L=5: done", "activate R=2: already_applied"}},
		{"all or nothing", []string{free, "A Q collected@OTHER"}, []string{"ticket T L A", "activate L=5", "activate A"},
			nil, []string{"activate L=5: not_done", "activate A: license_in_use"}},
		{"a base in part is a base", []string{free, "A Q not_collected +P"}, []string{"ticket T L A", "activate L=5", "activate A"},
			[]string{"5 put N1 (5 of L)", "5 put A"}, []string{"activate L=5: done", "activate A: done"}},

		// Some seats go.
		{"some seats are returned", []string{"L P collected@ME 10"}, []string{"return L=2"},
			[]string{"2 drop N1 (2 of L)", "2 put L"}, []string{"return L=2: done"}},
		{"before the receipt", []string{"L P collecting@ME 10"}, []string{"return L=2"},
			[]string{"2 drop N1 (2 of L)", "2 put L"}, []string{"return L=2: done"}},
		{"all of them", []string{"L P collected@ME 10"}, []string{"return L=10"}, []string{"2 drop L"}, []string{"return L=10: done"}},
		{"more than there are here", []string{"L P collected@ME 4", "R P returned 6 of=L"}, []string{"return L=5"}, nil, []string{"return L=5: too_few_seats"}},
		{"none of them", []string{"L P collected@ME 4"}, []string{"return L=0"}, nil, []string{"return L=0: invalid_input"}},
		{"a license that is used as a whole is returned so", []string{"L P collected@ME 4 whole"}, []string{"return L=2"}, nil, []string{"return L=2: not_splittable"}},
		{"one that users may not return", []string{"L P collected@ME 4 fixed"}, []string{"return L=2"}, nil, []string{"return L=2: not_deactivatable"}},
		{"asked for again", []string{"L P collecting@ME 2 leaving=2", "R P returning@ME 2 of=L"}, []string{"return L=2"}, nil, []string{"return L=2: already_applied"}},
		{"another number, while some are on their way", []string{"L P collecting@ME 3 leaving=2"}, []string{"return L=1"}, nil, []string{"return L=1: not_done"}},
		{"the rest as well", []string{"L P collecting@ME 3 leaving=2"}, []string{"return L"}, []string{"2 drop L"}, []string{"return L: done"}},
		{"the vendor takes all of it", []string{"L P collected@ME 10"}, []string{"withdraw L", "return L=2"}, []string{"1 drop L"}, []string{"return L=2: already_applied"}},
		{"what needs it stays", []string{"L P collected@ME 10", "A Q collected@ME +P"}, []string{"return L=2"},
			[]string{"2 drop N1 (2 of L)", "2 put L"}, []string{"return L=2: done"}},
		{"some go, some come", []string{"L P collected@ME 10", "M Q returned 5"}, []string{"ticket T M", "return L=2", "activate M=1"},
			[]string{"2 drop N1 (2 of L)", "2 put L", "5 put N2 (1 of M)"}, []string{"return L=2: done", "activate M=1: done"}},
		// Units.
		{"some units of a free license", []string{"L P not_collected units=1000/0"}, []string{"ticket T L", "activate L=400"},
			[]string{"5 put N1 (400 of L)"}, []string{"activate L=400: done"}},
		{"of one that was used elsewhere", []string{"L P returned units=1000/600"}, []string{"ticket T L", "activate L=300"},
			[]string{"5 put N1 (300 of L)"}, []string{"activate L=300: done"}},
		{"all that are left of it", []string{"L P returned units=1000/600"}, []string{"ticket T L", "activate L=400"},
			[]string{"5 put L"}, []string{"activate L=400: done"}},
		{"more units than are left", []string{"L P returned units=1000/600"}, []string{"ticket T L", "activate L=401"},
			nil, []string{"activate L=401: too_few_units"}},
		{"no unit is left", []string{"L P returned units=1000/1000"}, []string{"ticket T L", "activate L=1"},
			nil, []string{"activate L=1: too_few_units"}},
		{"all that are left are elsewhere", []string{"L P returned units=600/600", "R P collected@OTHER units=400/100 of=L"}, []string{"ticket T L R", "activate L=1"},
			nil, []string{"activate L=1: license_in_use"}},
		{"what is used up is not taken along", []string{"L P returned units=600/600", "R P returned units=400/100 of=L"}, []string{"ticket T L R", "activate L=300"},
			[]string{"5 put R"}, []string{"activate L=300: done"}},
		{"what was given counts, however many of it are used", []string{"L P returned units=600/0", "R P collected@ME units=400/150 given=400 of=L"},
			[]string{"ticket T L R", "activate L=400"}, nil, []string{"activate L=400: already_applied"}},
		{"what was used before does not", []string{"L P collected@ME units=1000/700 given=400", "R P returned units=500/0 of=L"},
			[]string{"ticket T L R", "activate L=500"}, []string{"5 put N1 (100 of R)"}, []string{"activate L=500: done"}},
		{"units are used as a whole", []string{"L P not_collected units=1000/0 whole"}, []string{"ticket T L", "activate L=400"},
			nil, []string{"activate L=400: not_splittable"}},
		{"all units of a whole", []string{"L P not_collected units=1000/0 whole"}, []string{"ticket T L", "activate L=1000"},
			[]string{"5 put L"}, []string{"activate L=1000: done"}},
		{"two numbers of units", []string{"L P not_collected units=1000/0"}, []string{"ticket T L", "activate L=400", "activate L=400"},
			[]string{"5 put N1 (400 of L)"}, []string{"activate L=400: done"}},
		{"two parts of units", []string{"L P returned units=300/100", "R P returned units=400/100 of=L"}, []string{"ticket T L R", "activate L=350"},
			[]string{"5 put R", "5 put N1 (50 of L)"}, []string{"activate L=350: done", "activate L=350: done"}},
		{"a part of units that was merged", []string{"L P returned units=1000/0", "R P gone units=1000/0 of=L into=L"}, []string{"ticket T L", "activate R=2"},
			[]string{"5 put N1 (2 of L)"}, []string{"activate R=2: done"}},
		{"units on their way back are not split", []string{"L P returning@ME units=400/0"}, []string{"ticket T L", "activate L=200"},
			nil, []string{"activate L=200: license_in_use"}},
		{"and come again whole", []string{"L P returned units=300/0", "R P returning@ME units=400/100 of=L"}, []string{"ticket T L R", "activate L=350"},
			[]string{"5 put R", "5 put N1 (50 of L)"}, []string{"activate L=350: done", "activate L=350: done"}},
		{"or stay where they are", []string{"L P returned units=300/0", "R P returning@ME units=400/100 of=L"}, []string{"ticket T L R", "activate L=250"},
			[]string{"5 put N1 (250 of L)"}, []string{"activate L=250: done"}},
		{"some units are returned", []string{"L P collected@ME units=1000/100"}, []string{"return L=200"},
			[]string{"2 put L (200 of )"}, []string{"return L=200: done"}},
		{"all units that are left", []string{"L P collected@ME units=1000/100"}, []string{"return L=900"},
			[]string{"2 drop L"}, []string{"return L=900: done"}},
		{"more units than are left here", []string{"L P collected@ME units=1000/100"}, []string{"return L=901"}, nil, []string{"return L=901: too_few_units"}},
		{"units that stay together are returned so", []string{"L P collected@ME units=1000/100 whole"}, []string{"return L=200"}, nil, []string{"return L=200: not_splittable"}},
		{"units asked back again", []string{"L P collecting@ME units=1000/100 leaving=200"}, []string{"return L=200"}, nil, []string{"return L=200: already_applied"}},
		{"another number of units, while some are on their way", []string{"L P collecting@ME units=1000/100 leaving=200"}, []string{"return L=100"}, nil, []string{"return L=100: not_done"}},
		{"what needs them stays", []string{"L P collected@ME units=10/0", "A Q collected@ME +P"}, []string{"return L=2"},
			[]string{"2 put L (2 of )"}, []string{"return L=2: done"}},
		{"seats are no units", []string{"L P not_collected 10 units=1000/0"}, []string{"ticket T L", "activate L=11"},
			[]string{"5 put N1 (11 of L)"}, []string{"activate L=11: done"}},

		{"blocked for its contradictions", []string{"L P collected@ME 10"}, []string{"flagged", "return L=2"}, nil, []string{"return L=2: container_flagged"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ops, outcomes := planned(situation(t, tt.licenses, tt.asks))
			if diff := cmp.Diff(tt.ops, ops); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.outcomes, outcomes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTooFewSaysWhere: who gets no seats is told how many are free and where the
// others are.
func TestTooFewSaysWhere(t *testing.T) {
	s := situation(t, []string{"L CAD returned 1", "M CAD collected@OTHER 4 of=L", "N CAD returning@OTHER 3 of=L", "O CAD collected@ME 2 of=L"},
		[]string{"ticket T L M N O", "activate L=5"})
	_, out := container.Plan(s)
	const says = "1 seats of CAD are free: of 10 there are 4 in container OTHER, 3 on their way back from container OTHER, whose receipt is awaited, 2 here."
	if out[0].Message != says || out[0].Hint != "Ask for at most 3, those that are here included." || out[0].Details["free"] != int64(1) {
		t.Errorf("%+v", out[0])
	}
	delete(s.Licenses, "L")
	_, out = container.Plan(s)
	if out[0].Code != "license_unknown" {
		t.Errorf("%+v", out[0])
	}
}

// TestTooFewUnitsSaysWhere is the same of units, and where they went.
func TestTooFewUnitsSaysWhere(t *testing.T) {
	s := situation(t, []string{"L CAD returned units=500/300", "M CAD collected@OTHER units=400/100 of=L", "N CAD returning@OTHER units=50/0 of=L", "O CAD collected@ME units=50/20 given=50 of=L"},
		[]string{"ticket T L M N O", "activate L=500"})
	_, out := container.Plan(s)
	const says = "200 units of CAD are free: of 1000 there are 300 in container OTHER, 50 on their way back from container OTHER, whose receipt is awaited, 30 here, 420 used."
	if out[0].Message != says || out[0].Hint != "Ask for at most 250, those that are here included." || out[0].Details["free"] != int64(200) || out[0].Details["units"] != int64(500) {
		t.Errorf("%+v", out[0])
	}
	s.Amounts[0].Seats = 50
	_, out = container.Plan(s)
	const here = "The container got 50 units of CAD already, of which 30 are left. What is asked for is the number in all, used ones included."
	if out[0].Message != here || out[0].Details["units"] != int64(50) {
		t.Errorf("%+v", out[0])
	}
}

// TestReturnWhileSomeAreLent: seats that are out stay covered by those that stay.
func TestReturnWhileSomeAreLent(t *testing.T) {
	for _, tt := range []struct {
		lent, returned int64
		allowed        bool
		want           string
	}{
		{0, 8, false, "done"}, {2, 8, false, "done"}, {3, 8, false, "seats_on_loan"}, {3, 8, true, "done"}, {3, 10, false, "seats_on_loan"},
	} {
		s := situation(t, []string{"L P collected@ME 10"}, []string{fmt.Sprint("return L=", tt.returned)})
		c := s.Licenses["L"]
		c.Lent, c.LentStays = container.Lent{License: "L", Generation: 1, Seats: tt.lent}, tt.allowed
		s.Licenses["L"] = c
		if _, out := container.Plan(s); string(out[0].Code) != tt.want {
			t.Errorf("%+v: %+v", tt, out[0])
		}
	}
}

// TestWaitsForSomeSeats: a step that takes some seats waits while more are out than
// it leaves.
func TestWaitsForSomeSeats(t *testing.T) {
	step := container.Incoming{Step: container.Step{Number: 4, Ops: []container.Op{
		{Kind: container.Put, Phase: container.Assign, License: "A", Generation: 1},
		{Kind: container.Drop, Phase: container.Return, License: "P", Generation: 1},
		{Kind: container.Put, Phase: container.Return, License: "L", Generation: 1},
	}}, Bodies: [][]byte{{9}, {2}}}
	seats := func(body []byte) int64 { return int64(body[0]) }
	for lent, waits := range map[int64]bool{1: false, 2: false, 3: true} {
		out := []container.Lent{{License: "L", Generation: 1, Seats: lent}}
		for _, stays := range []bool{false, true} {
			no := container.WaitsForSeats([]container.Incoming{step}, 3, out, func(license.ID) bool { return stays }, seats, 1)
			if (no != nil) != (waits && !stays) {
				t.Errorf("%d lent, allowed %t: %v", lent, stays, no)
			}
		}
		if no := container.WaitsForSeats([]container.Incoming{step}, 4, out, func(license.ID) bool { return false }, seats, 1); no != nil {
			t.Errorf("%d lent, applied already: %v", lent, no)
		}
	}
}

// carried out is the situation after the operations of a plan, as the vendor's book
// has it then.
func carriedOut(t *rapid.T, s container.Situation, ops []container.Op) container.Situation {
	s.Licenses = maps.Clone(s.Licenses)
	for _, op := range ops {
		if op.Of != "" {
			of := s.Licenses[op.Of]
			part := of
			part.License, part.Origin, part.Seats, part.Generation = op.License, of.Origin, op.Amount, 1
			if part.Origin == "" {
				part.Origin = of.License
			}
			left := &of.Seats
			if of.Units > 0 {
				part.Seats, part.Units, part.Used, left = of.Seats, op.Amount, 0, &of.Units
			}
			if *left -= op.Amount; *left < 1 || op.Amount < 1 || of.Units < of.Used {
				t.Fatalf("a split of %d leaves %d: %+v", op.Amount, *left, op)
			}
			if !of.Split {
				t.Fatalf("%s is split", of.License)
			}
			s.Licenses[of.License], s.Licenses[part.License] = of, part
		}
		c, there := s.Licenses[op.License]
		if !there {
			t.Fatalf("an operation on nothing: %+v", op)
		}
		switch {
		case op.Kind == container.Put && op.Phase == container.Return:
			if c.Holder != s.Serial || c.State != license.Collected && c.State != license.Collecting {
				t.Fatalf("the rest of what is not here is put: %+v", op)
			}
		case op.Kind == container.Put:
			if _, no := license.Next(c.State, license.PutIssued); no != nil || c.Holder != "" && c.Holder != s.Serial || c.Reserved != "" && c.Reserved != s.Serial {
				t.Fatalf("put, though it is %s with %q: %+v", c.State, c.Holder, op)
			}
		default:
			if _, no := license.Next(c.State, license.DropIssued); no != nil || c.Holder != s.Serial {
				t.Fatalf("dropped, though it is %s with %q: %+v", c.State, c.Holder, op)
			}
		}
		if op.Kind == container.Put && op.Phase != container.Return {
			c.Given = c.Units - c.Used
		}
		c.State, c.Holder = license.Collecting, s.Serial
		if op.Kind == container.Drop {
			c.State = license.Returning
		}
		s.Licenses[op.License] = c
	}
	// As the registry tells what is on its way.
	for i, op := range ops {
		if op.Kind == container.Put && op.Phase == container.Return {
			c := s.Licenses[op.License]
			if c.Returning = op.Amount; c.Returning > 0 { // units
				c.Given -= op.Amount
			} else {
				c.Returning = ops[i-1].Amount
			}
			s.Licenses[op.License] = c
		}
	}
	return s
}

func seatsBy(s container.Situation, of func(container.Candidate) bool) (n int64) {
	for _, c := range s.Licenses {
		switch {
		case of(c) && c.Units == 0:
			n += c.Seats
		case of(c) && c.Holder == me:
			n += c.Given
		case of(c):
			n += c.Units - c.Used
		}
	}
	return n
}

func sum(s container.Situation, of func(container.Candidate) int64) (n int64) {
	for _, c := range s.Licenses {
		n += of(c)
	}
	return n
}

// TestAnyParts: whatever is asked of a license in parts, no seat and no unit is lost
// or added, none comes in that is elsewhere, the container has what was granted, and
// asking for the same again changes nothing.
func TestAnyParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.Bool().Draw(t, "units")
		s := container.Situation{Serial: me, Kind: license.Machine, Licenses: map[license.ID]container.Candidate{}}
		drawn := 0
		s.NewPart = func() license.ID { drawn++; return license.ID(fmt.Sprint("N", drawn)) }
		ticket := container.TicketWish{Ticket: "T", Known: true}
		splits := rapid.Bool().Draw(t, "splits")
		for i := range rapid.IntRange(1, 5).Draw(t, "parts") {
			c := container.Candidate{License: license.ID(fmt.Sprint("L", i)), Generation: 1, Product: "P", Kinds: license.Kinds, Deactivation: true, Split: splits,
				Seats: rapid.Int64Range(1, 5).Draw(t, "seats"),
				State: rapid.SampledFrom([]license.State{license.NotCollected, license.Returned, license.Collecting, license.Collected, license.Returning}).Draw(t, "state")}
			if i > 0 {
				c.Origin = "L0"
			}
			if units {
				c.Units, c.Seats = c.Seats, rapid.Int64Range(0, 2).Draw(t, "seats of units")
				c.Used = rapid.Int64Range(0, c.Units).Draw(t, "used")
				c.Given = rapid.Int64Range(c.Units-c.Used, c.Units).Draw(t, "given")
			}
			if c.State.Held() {
				c.Holder = rapid.SampledFrom([]license.Serial{me, other}).Draw(t, "holder")
			} else if rapid.IntRange(0, 5).Draw(t, "kept") == 0 {
				c.Reserved = rapid.SampledFrom([]license.Serial{me, other}).Draw(t, "for")
			}
			s.Licenses[c.License] = c
			ticket.Licenses = append(ticket.Licenses, c.License)
		}
		one := func(label string) license.ID { return rapid.SampledFrom(ticket.Licenses).Draw(t, label) }
		seats := rapid.Int64Range(0, 12).Draw(t, "asked")
		returns := rapid.Bool().Draw(t, "returns")
		id := one("named")
		s.Amounts = []container.Amount{{License: id, Seats: seats}}
		if returns {
			s.Return = []license.ID{id}
		} else {
			s.Tickets, s.Activate = []container.TicketWish{ticket}, []license.ID{id}
		}

		before := maps.Clone(s.Licenses)
		ops, out := container.Plan(s)
		if !maps.EqualFunc(before, s.Licenses, func(a, b container.Candidate) bool { return a.Seats == b.Seats && a.State == b.State }) || len(before) != len(s.Licenses) {
			t.Fatalf("planning changed the situation")
		}
		after := carriedOut(t, s, ops)
		if sum(s, func(c container.Candidate) int64 { return c.Units }) != sum(after, func(c container.Candidate) int64 { return c.Units }) ||
			sum(s, func(c container.Candidate) int64 { return c.Used }) != sum(after, func(c container.Candidate) int64 { return c.Used }) ||
			!units && sum(s, func(c container.Candidate) int64 { return c.Seats }) != sum(after, func(c container.Candidate) int64 { return c.Seats }) {
			t.Fatalf("%+v became %+v by %+v", s.Licenses, after.Licenses, ops)
		}
		mine := func(c container.Candidate) bool {
			return c.Holder == me && (c.State == license.Collecting || c.State == license.Collected)
		}
		theirs := func(c container.Candidate) bool { return c.Holder == other || c.Reserved == other }
		if seatsBy(s, theirs) != seatsBy(after, theirs) {
			t.Fatalf("what is elsewhere changed by %+v", ops)
		}
		had, has := seatsBy(s, mine), seatsBy(after, mine)
		granted := !slices.ContainsFunc(out, container.Outcome.Refused)
		switch {
		case !granted && len(ops) > 0:
			t.Fatalf("refused, and done: %+v %+v", out, ops)
		case granted && returns && len(ops) > 0 && !units && had-has != seats:
			t.Fatalf("%d were to go, and %d did: %+v", seats, had-has, ops)
		case granted && !returns && has != max(had, seats):
			t.Fatalf("it has %d, had %d, and was to have %d: %+v", has, had, seats, ops)
		}
		if granted {
			again, out := container.Plan(after)
			if len(again) > 0 || slices.ContainsFunc(out, container.Outcome.Refused) {
				t.Fatalf("asked for again after %+v: %+v %+v", ops, again, out)
			}
		}
	})
}
