package container_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

func movable(units, used int64) container.Body {
	b := unitsOf("L", 1, units, used)
	b.Terms.Transfer = license.MovesUnits
	return b
}

func wishFor(n int64) container.MoveWish {
	return container.MoveWish{Holder: "B", HolderKey: []byte("key"), Nonce: "n", Number: 7, Units: n}
}

// TestGive: what moves is used here, and what does not move changes nothing.
func TestGive(t *testing.T) {
	b, s := movable(10, 3), holding("L")
	for name, c := range map[string]struct {
		body container.Body
		wish func(*container.MoveWish)
		code refusal.Code
	}{
		"more than is left":       {b, func(w *container.MoveWish) { w.Units = 8 }, refusal.UnitsSpent},
		"none":                    {b, func(w *container.MoveWish) { w.Units = 0 }, refusal.InvalidInput},
		"into itself":             {b, func(w *container.MoveWish) { w.Holder = "A" }, refusal.InvalidInput},
		"without a number":        {b, func(w *container.MoveWish) { w.Number = 0 }, refusal.InvalidInput},
		"of one that does not":    {unitsOf("L", 1, 10, 3), nil, refusal.BorrowNotAllowed},
		"of one without units":    {movable(0, 0), nil, refusal.BorrowNotAllowed},
		"of another generation":   {func() container.Body { o := b; o.Generation = 2; return o }(), nil, refusal.LicenseUnknown},
		"of what is not in there": {func() container.Body { o := b; o.License = "M"; return o }(), nil, refusal.LicenseUnknown},
	} {
		w := wishFor(4)
		if c.wish != nil {
			c.wish(&w)
		}
		if after, _, _, no := s.Give(c.body, w, 100, 0); no == nil || no.Code != c.code || after.Moved() || after.Used(b) != 3 {
			t.Errorf("%s: %v, used %d", name, no, after.Used(b))
		}
	}
	after, name, m, no := s.Give(b, wishFor(4), 100, 900)
	if no != nil || after.Used(b) != 7 || s.Used(b) != 3 || s.Moved() || !after.Moved() || !after.Counts() {
		t.Fatalf("used %d, %v", after.Used(b), no)
	}
	if m.Units != 4 || m.Until != 900 || m.Holder != "B" || m.Fence < 100 || name != wishFor(4).Name("A") || len(name) != 16 {
		t.Errorf("%s %+v", name, m)
	}
	// The vendor hears of them as used, and the container that was put back hears it again.
	if told := after.Counted(0); len(told) != 1 || told[0].Used != 7 {
		t.Errorf("told %v", told)
	}
	if _, again, ok, no := after.Given(wishFor(4)); !ok || no != nil || again.Units != 4 {
		t.Errorf("the same request: %v %v", ok, no)
	}
	// Another number of units is another wish, whatever its nonce says.
	if _, _, ok, no := after.Given(wishFor(5)); ok || no != nil {
		t.Errorf("another: %v %v", ok, no)
	}
}

// TestTakeBack: what is left comes back once, from its holder alone, never more than
// its holder had said to have left, and is used first.
func TestTakeBack(t *testing.T) {
	b := movable(10, 0)
	s, name, _, _ := holding("L").Give(b, wishFor(6), 100, 0)
	if _, back, ok := s.TakeBack("C", name, 0, 200); ok || back != 0 {
		t.Errorf("from another: %d", back)
	}
	if _, back, ok := s.TakeBack("B", "unknown", 0, 200); ok || back != 0 {
		t.Errorf("of what never moved: %d", back)
	}
	s, news := s.Told("B", name, 4)
	if _, again := s.Told("B", name, 3); !news || again {
		t.Error("an older word counts")
	}
	if _, other := s.Told("C", name, 5); other {
		t.Error("another's word counts")
	}
	before := s
	s, back, ok := s.TakeBack("B", name, 1, 200) // it was put back, and says less than it had
	if !ok || back != 2 || s.Used(b) != 4 || before.Used(b) != 6 {
		t.Fatalf("%d back, used %d", back, s.Used(b))
	}
	for _, used := range []int64{0, 4, 6} {
		if again, back, ok := s.TakeBack("B", name, used, 300); !ok || back != 2 || again.Used(b) != 4 {
			t.Errorf("again: %d back, used %d", back, again.Used(b))
		}
	}
	if _, _, ok, no := s.Given(wishFor(6)); ok || no == nil || no.Code != refusal.LeaseLost {
		t.Errorf("its request again: %v", no)
	}
	// What came back is used up first: the vendor, who was told of what moved, is told of
	// nothing new.
	if s, left, no := s.Use(b, 2); no != nil || left != 4 || s.Used(b) != 6 || s.Counted(0)[0].Used != 6 {
		t.Errorf("used %d, told %v, %v", s.Used(b), s.Counted(0), no)
	}
	if s, left, no := s.Use(b, 6); no != nil || left != 0 || s.Used(b) != 10 || s.Counted(0)[0].Used != 10 {
		t.Errorf("used %d, told %v, %v", s.Used(b), s.Counted(0), no)
	}
	if _, left, no := s.Use(b, 7); no == nil || left != 6 {
		t.Errorf("more than there is: %d left", left)
	}
	// A license that is here no more as it was gets nothing back.
	gone := before
	gone.Counters = maps.Clone(before.Counters)
	gone.Counters["L"] = container.Counter{Generation: 2, Used: 6}
	if after, back, ok := gone.TakeBack("B", name, 4, 200); !ok || back != 0 || after.Counters["L"].Spare != 0 {
		t.Errorf("of another generation: %d", back)
	}
	if got := s.MovedOut(); !slices.Equal(got, []string{name}) {
		t.Errorf("history %v", got)
	}
}

// TestPlanKeepsMovingUnitsFromOldPrograms: a program that does not know that units
// move would let seats move in their place.
func TestPlanKeepsMovingUnitsFromOldPrograms(t *testing.T) {
	c := container.Candidate{License: "L", Generation: 1, Product: "P", State: license.NotCollected, Kinds: []license.Kind{license.Machine}, Units: 10, Moves: true, Seats: 1}
	for still, want := range map[bool]refusal.Code{true: refusal.UnsupportedVersion, false: refusal.Done} {
		ops, outcomes := container.Plan(container.Situation{
			Serial: "A", Kind: license.Machine, Licenses: map[license.ID]container.Candidate{"L": c}, Activate: []license.ID{"L"}, Still: still,
			Tickets: []container.TicketWish{{Ticket: "T", Known: true, Licenses: []license.ID{"L"}}},
		})
		if len(outcomes) == 0 || outcomes[len(outcomes)-1].Code != want || still == (len(ops) > 0) {
			t.Errorf("%v: %v %v", still, ops, outcomes)
		}
	}
}

// TestMovedUnitsAndTheVendor: whatever the vendor hears and when, whatever he adds, and
// wherever the license goes meanwhile, what is used everywhere and what is left
// everywhere are as many as there are; and he never hears of fewer than are gone for good.
func TestMovedUnitsAndTheVendor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.Int64Range(1, 20).Draw(t, "units")
		c, s := newChain("A"), container.NewState("A")
		var known, taken, moves int64 // as central knows; by programs, everywhere
		var body container.Body       // as A has it
		held, names := false, []string{}
		out := map[string]container.Portion{} // in other containers
		put := func() {
			c.issue("+L")
			c.counting("L", known)
			after, _, no := takes(s, c.update(int(s.Number), int(s.Number)+1))
			if no != nil {
				t.Fatal(no)
			}
			s, body, held = after, movable(units, known), true
		}
		report := func() {
			for _, told := range counters(s) {
				if held {
					known = container.Count(container.Placement{Holder: "A", Generation: 1}, "A", told, known, units)
				}
			}
		}
		put()
		n := func() int64 { return rapid.Int64Range(1, 6).Draw(t, "n") }
		one := func() string {
			if len(names) == 0 {
				t.Skip("none")
			}
			return names[rapid.IntRange(0, len(names)-1).Draw(t, "move")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				left := max(0, units-known) + s.Counters["L"].Spare
				if held {
					left = units - s.Used(body)
				}
				for name, p := range out {
					if s.Moves[name].Closed == 0 {
						left += p.Units - p.Used
					}
				}
				if left+taken != units {
					t.Fatalf("%d are left and %d were taken, of %d; %+v", left, taken, units, s.Counters)
				}
			},
			"use": func(*rapid.T) {
				k := n()
				if after, _, no := s.Use(body, k); held && no == nil {
					s, taken = after, taken+k
				}
			},
			"move": func(*rapid.T) {
				moves++
				w := container.MoveWish{Holder: "B", HolderKey: []byte("key"), Nonce: string(rune('a' + moves)), Number: uint64(moves), Units: n()}
				if after, name, m, no := s.Give(body, w, 100, 0); held && no == nil {
					s, names = after, append(names, name)
					out[name] = container.Portion{Units: m.Units}
				}
			},
			"use there": func(*rapid.T) {
				name, k := one(), n()
				if p, no := out[name].Use(k, "P", name); no == nil && s.Moves[name].Closed == 0 {
					out[name], taken = p, taken+k
				}
			},
			"come back": func(*rapid.T) {
				name := one()
				s, _, _ = s.TakeBack("B", name, out[name].Used, 200)
			},
			"report": func(*rapid.T) { report() },
			"add": func(*rapid.T) {
				if units += n(); held {
					put()
				}
			},
			"return": func(t *rapid.T) {
				if !held {
					t.Skip("not there")
				}
				c.issue("-L")
				after, _, no := takes(s, c.update(int(s.Number), int(s.Number)+1))
				if no != nil {
					t.Fatal(no)
				}
				s = after
				report() // the receipt
				held = false
			},
			"use elsewhere": func(*rapid.T) {
				if k := n(); !held && known+k <= units {
					known, taken = known+k, taken+k
				}
			},
			"come in again": func(*rapid.T) {
				if !held {
					put()
				}
			},
		})
	})
}
