package container_test

import (
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// unitsOf is a license as one container holds it.
func unitsOf(id license.ID, g license.Generation, units, used int64) container.Body {
	return container.Body{License: id, Generation: g, Product: "P", Terms: license.Terms{Units: units}, Used: used}
}

func holding(ids ...license.ID) container.State {
	s := container.NewState("A")
	for _, id := range ids {
		s.Held[id] = container.Holding{Generation: 1, Product: "P", Step: 1}
	}
	return s
}

func TestUse(t *testing.T) {
	b := unitsOf("L", 1, 10, 3)
	s := holding("L")
	s, left, no := s.Use(b, 5)
	if no != nil || left != 2 || s.Used(b) != 8 {
		t.Fatalf("left %d, used %d, %v", left, s.Used(b), no)
	}
	before := s
	s, left, no = s.Use(b, 3)
	if no == nil || no.Code != refusal.UnitsSpent || left != 2 || s.Used(b) != 8 || no.Details["left"] != int64(2) || no.Details["asked"] != int64(3) || no.Details["units"] != int64(10) ||
		no.Message != "2 units are left of P (L), less than the 3 asked for. Nothing was taken." {
		t.Fatalf("left %d, used %d, %v", left, s.Used(b), no)
	}
	if s, left, no = s.Use(b, 2); no != nil || left != 0 || s.Used(b) != 10 || before.Used(b) != 8 {
		t.Fatalf("left %d, used %d, before %d, %v", left, s.Used(b), before.Used(b), no)
	}
	if _, left, no = s.Use(b, 1); no == nil || left != 0 {
		t.Fatalf("one more: %v", no)
	}
	// The vendor has added some.
	b.Terms.Units = 11
	if _, left, no = s.Use(b, 1); no != nil || left != 0 {
		t.Fatalf("one of those added: %v", no)
	}
	for _, n := range []int64{0, -1, -1 << 62} {
		if _, _, no := s.Use(b, n); no == nil || no.Code != refusal.InvalidInput {
			t.Errorf("%d units: %v", n, no)
		}
	}
	if _, _, no := s.Use(unitsOf("M", 1, 10, 0), 1); no == nil || no.Code != refusal.LicenseUnknown {
		t.Errorf("of another license: %v", no)
	}
	if _, _, no := s.Use(unitsOf("L", 2, 10, 0), 1); no == nil || no.Code != refusal.LicenseUnknown {
		t.Errorf("of another generation: %v", no)
	}
	if after, left, no := s.Use(unitsOf("L", 1, 0, 0), 1<<40); no != nil || left != 0 || after.Used(b) != s.Used(b) {
		t.Errorf("without a counter: %d, %v", left, no)
	}
}

// TestCounterIsTheHighestTold: for any reports in any order, central knows the
// highest number that the holder has told, never more than there are, and it
// never falls.
func TestCounterIsTheHighestTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := container.Placement{Holder: "A", Generation: 2}
		units := rapid.Int64Range(0, 50).Draw(t, "units")
		var known, highest int64
		for range rapid.IntRange(1, 10).Draw(t, "reports") {
			told := container.Counted{License: "L", Generation: license.Generation(rapid.IntRange(1, 3).Draw(t, "generation")), Used: rapid.Int64Range(-5, 80).Draw(t, "used")}
			from := rapid.SampledFrom([]license.Serial{"A", "B"}).Draw(t, "from")
			next := container.Count(p, from, told, known, units)
			if next < known {
				t.Fatalf("fell from %d to %d", known, next)
			}
			if known = next; from == "A" && told.Generation == 2 {
				highest = max(highest, told.Used)
			}
		}
		if known != min(highest, units) {
			t.Fatalf("known %d, told %d of %d", known, highest, units)
		}
	})
}

// counting is a step's license with a counter, of which some units were used
// before.
func (c *chain) counting(id license.ID, used int64) {
	in := &c.steps[len(c.steps)-1]
	in.Units = append(in.Units, container.Counted{License: id, Generation: 1, Used: used})
}

func counters(s container.State) []container.Counted {
	_, r := s.Report(container.Identity{}, container.Nonce{9}, 1)
	return r.Units
}

// TestCounterOutlivesItsLicense: a container tells what was used until the vendor
// is known to have heard it, also after the license has left, and starts again
// from there when it comes back.
func TestCounterOutlivesItsLicense(t *testing.T) {
	is := func(what string, s container.State, used ...int64) {
		t.Helper()
		got := counters(s)
		if len(got) != len(used) || len(used) > 0 && got[0] != (container.Counted{License: "L", Generation: 1, Used: used[0]}) {
			t.Fatalf("%s: %v, want %v", what, got, used)
		}
	}
	c := newChain("A")
	s := container.NewState("A")
	c.issue("+L", "+M") // M has no counter
	c.counting("L", 3)
	s = taken(t, s, c.update(0, 1))
	is("put", s, 3)
	s, _, _ = s.Use(unitsOf("L", 1, 10, 3), 5)
	is("used", s, 8)
	before := counters(s)[0]
	old := s
	c.issue("-L")
	s = taken(t, s, c.update(0, 2))
	is("returned, and nobody knows", s, 8)
	if counters(old)[0] != before || old.Counters["L"].Dropped != 0 {
		t.Fatal("the state before was changed")
	}
	if _, _, no := s.Use(unitsOf("L", 1, 10, 3), 1); no == nil {
		t.Fatal("used after its return")
	}
	// Activated again before the receipt: what central knew then is less.
	c.issue("+L")
	c.counting("L", 3)
	s = taken(t, s, c.update(1, 3))
	is("put again", s, 8)
	s, _, _ = s.Use(unitsOf("L", 1, 10, 3), 1)
	is("used again", s, 9)
	c.issue("-L")
	s = taken(t, s, c.update(1, 4))
	s = taken(t, s, c.update(3, 4).answering(askedNow(&s)))
	is("the vendor knows of the first return", s, 9)
	s = taken(t, s, c.update(4, 4).answering(askedNow(&s)))
	is("the vendor knows", s)
	if s.Counts() {
		t.Fatal("nothing needs to be kept from an older program")
	}

	// It comes back, was put back on the disk, and hears what it forgot.
	c.issue("+L")
	c.counting("L", 3) // signed before the vendor knew
	s = taken(t, s, c.update(4, 5))
	is("put once more", s, 9)
	u := c.update(5, 5).answering(askedNow(&s))
	u.Units = []container.Counted{{License: "L", Generation: 1, Used: 10}, {License: "M", Generation: 1, Used: 4}}
	s = taken(t, s, u)
	is("told", s, 10)
	u = c.update(5, 5).answering(askedNow(&s))
	u.Units = []container.Counted{{License: "L", Generation: 1, Used: 2}, {License: "L", Generation: 2, Used: 99}}
	s = taken(t, s, u)
	is("told less, and of another generation", s, 10)
}

// askedNow makes the container ask, and gives the report's nonce.
func askedNow(s *container.State) container.Nonce {
	n := container.Nonce{7, byte(s.Number), byte(s.Acked)}
	*s, _ = s.Report(container.Identity{}, n, 1)
	return n
}

// TestOldProgramsGetNoUsedUnits: a program that does not count is not given a
// license of which units are used, by its user's wish or the vendor's.
func TestOldProgramsGetNoUsedUnits(t *testing.T) {
	s := container.Situation{Serial: "A", Kind: license.Machine, TooOld: true,
		Licenses: map[license.ID]container.Candidate{
			"L": {License: "L", Generation: 1, Product: "P", State: license.Returned, Kinds: license.Kinds, Used: 1},
			"M": {License: "M", Generation: 1, Product: "P", State: license.NotCollected, Kinds: license.Kinds},
			"N": {License: "N", Generation: 1, Product: "P", State: license.Returned, Kinds: license.Kinds, Used: 1, Reserved: "A"},
		},
		Earmarks: []container.Earmark{{Phase: container.Assign, License: "N"}},
		Tickets:  []container.TicketWish{{Ticket: "T", Known: true, Licenses: []license.ID{"L", "M"}}},
	}
	ops, out := container.Plan(s)
	if len(ops) != 1 || ops[0].License != "M" || out[1].Code != refusal.UnsupportedVersion || out[1].Details["needs"] != container.UnitsSince {
		t.Fatalf("%+v %+v", ops, out)
	}
	s.TooOld = false
	if ops, _ = container.Plan(s); len(ops) != 3 {
		t.Fatalf("%+v", ops)
	}
}

// TestChangedLicenseComesAgain: what the vendor changed is put once more, unless it
// leaves in the same step.
func TestChangedLicenseComesAgain(t *testing.T) {
	held := container.Candidate{License: "L", Generation: 1, Product: "P", State: license.Collected, Holder: "A", Kinds: license.Kinds, Deactivation: true}
	plan := func(s container.Situation) string {
		s.Serial, s.Kind = "A", license.Machine
		s.Earmarks = append(s.Earmarks, container.Earmark{Phase: container.Replace, License: "L", Again: true})
		ops, out := container.Plan(s)
		text := ""
		for _, o := range ops {
			text += o.Kind.String() + " " + string(o.License) + " " + o.Phase.String() + ";"
		}
		for _, o := range out {
			text += string(o.Code)
		}
		return text
	}
	leaving := held
	leaving.State = license.Returning
	for what, c := range map[string]struct {
		s    container.Situation
		want string
	}{
		"held":                  {container.Situation{Licenses: map[license.ID]container.Candidate{"L": held}}, "put L replace;"},
		"on its way back":       {container.Situation{Licenses: map[license.ID]container.Candidate{"L": leaving}}, ""},
		"returned by this step": {container.Situation{Licenses: map[license.ID]container.Candidate{"L": held}, Return: []license.ID{"L"}}, "drop L return;done"},
		"withdrawn": {container.Situation{Licenses: map[license.ID]container.Candidate{"L": held},
			Earmarks: []container.Earmark{{Phase: container.Withdraw, License: "L"}}}, "drop L withdraw;"},
		"blocked": {container.Situation{Licenses: map[license.ID]container.Candidate{"L": held}, Blocked: "stolen"}, ""},
		"flagged": {container.Situation{Licenses: map[license.ID]container.Candidate{"L": held}, Flagged: "two lives"}, ""},
	} {
		if got := plan(c.s); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
