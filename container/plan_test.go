package container_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
)

const me, other = license.Serial("ME"), license.Serial("OTHER")

// lic is a license of a situation, in one line: "id product state@holder", then
// what it needs as "+product", "fixed" for one that users may not return, a number
// of seats, "units=N/USED" and "given=N" of a counter, "of=ID" for a part of another, "for=SERIAL" for one that is kept,
// "whole" for one that is not split, and kinds of container that it may go into
// (else any).
func lic(t testing.TB, line string) container.Candidate {
	t.Helper()
	f := strings.Fields(line)
	state, holder, _ := strings.Cut(f[2], "@")
	c := container.Candidate{License: license.ID(f[0]), Generation: 1, Product: f[1],
		State: license.State(state), Holder: license.Serial(holder), Deactivation: true, Seats: 1, Split: true}
	if license.State(state).Row().Meaning == "" {
		t.Fatalf("no such state: %q", line)
	}
	for _, word := range f[3:] {
		switch {
		case word[0] == '+':
			c.Requires = append(c.Requires, word[1:])
		case word == "fixed":
			c.Deactivation = false
		case word == "whole":
			c.Split = false
		case strings.HasPrefix(word, "of="):
			c.Origin = license.ID(word[3:])
		case strings.HasPrefix(word, "into="):
			c.MergedInto = license.ID(word[5:])
		case strings.HasPrefix(word, "leaving="):
			c.Returning, _ = strconv.ParseInt(word[8:], 10, 64)
		case strings.HasPrefix(word, "units="):
			if _, err := fmt.Sscanf(word, "units=%d/%d", &c.Units, &c.Used); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			c.Given = c.Units - c.Used
		case strings.HasPrefix(word, "given="):
			c.Given, _ = strconv.ParseInt(word[6:], 10, 64)
		case strings.HasPrefix(word, "for="):
			c.Reserved = license.Serial(word[4:])
		case '0' <= word[0] && word[0] <= '9':
			c.Seats, _ = strconv.ParseInt(word, 10, 64)
		default:
			c.Kinds = append(c.Kinds, license.Kind(word))
		}
	}
	if c.Kinds == nil {
		c.Kinds = license.Kinds
	}
	return c
}

// situation reads "withdraw ID", "assign ID", "replace ID NEW", "ticket T IDs",
// "unknown T", "activate ID" and "return ID", which may go on with "=SEATS", "flagged".
func situation(t testing.TB, licenses []string, asks []string) container.Situation {
	t.Helper()
	parts := 0
	s := container.Situation{Serial: me, Kind: license.Machine, Licenses: map[license.ID]container.Candidate{}, NewPart: func() license.ID {
		parts++
		return license.ID(fmt.Sprintf("N%d", parts))
	}}
	some := func(text string) license.ID {
		id, seats, yes := strings.Cut(text, "=")
		if n, err := strconv.ParseInt(seats, 10, 64); yes {
			s.Amounts = append(s.Amounts, container.Amount{License: license.ID(id), Seats: n})
			if err != nil {
				t.Fatal(err)
			}
		}
		return license.ID(id)
	}
	for _, line := range licenses {
		c := lic(t, line)
		s.Licenses[c.License] = c
	}
	for _, ask := range asks {
		f := append(strings.Fields(ask), "", "")
		id, with := license.ID(f[1]), license.ID(f[2])
		switch f[0] {
		case "withdraw":
			s.Earmarks = append(s.Earmarks, container.Earmark{Phase: container.Withdraw, License: id})
		case "assign":
			s.Earmarks = append(s.Earmarks, container.Earmark{Phase: container.Assign, License: id})
		case "replace":
			s.Earmarks = append(s.Earmarks, container.Earmark{Phase: container.Replace, License: id, With: with})
		case "ticket":
			w := container.TicketWish{Ticket: license.Ticket(f[1]), Known: true}
			for _, id := range f[2 : len(f)-2] {
				w.Licenses = append(w.Licenses, license.ID(id))
			}
			s.Tickets = append(s.Tickets, w)
		case "unknown":
			s.Tickets = append(s.Tickets, container.TicketWish{Ticket: license.Ticket(f[1])})
		case "activate":
			s.Activate = append(s.Activate, some(f[1]))
		case "return":
			s.Return = append(s.Return, some(f[1]))
		case "flagged":
			s.Flagged = "two lives"
		default:
			t.Fatalf("no such ask: %q", ask)
		}
	}
	return s
}

// planned is a plan as text: operations as "phase kind license", and outcomes as
// "wish: code".
func planned(s container.Situation) (ops, outcomes []string) {
	got, out := container.Plan(s)
	for _, op := range got {
		text := fmt.Sprintf("%d %s %s", op.Phase, op.Kind, op.License)
		if op.Amount != 0 {
			text += fmt.Sprintf(" (%d of %s)", op.Amount, op.Of)
		}
		ops = append(ops, text)
	}
	for _, o := range out {
		outcomes = append(outcomes, fmt.Sprintf("%s: %s", o.Wish, o.Code))
	}
	return ops, outcomes
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name     string
		licenses []string
		asks     []string
		ops      []string
		outcomes []string
	}{
		{"nothing asked, nothing done", []string{"A CAD not_collected"}, nil, nil, nil},

		// Phases (R10).
		{"five phases in their order",
			[]string{"W P1 collected@ME", "R P2 collected@ME", "A P3 not_collected", "O P4 collected@ME", "N P5 not_collected", "U P6 returned"},
			[]string{"activate U", "ticket T U", "replace O N", "assign A", "return R", "withdraw W"},
			[]string{"1 drop W", "2 drop R", "3 put A", "4 drop O", "4 put N", "5 put U"},
			[]string{"return R: done", "activate U: done"}},
		{"the vendor's orders come with any wish", []string{"W P collected@ME", "A CAD not_collected"}, []string{"withdraw W", "ticket T A"},
			[]string{"1 drop W", "5 put A"}, []string{"ticket T: done"}},

		// Tickets.
		{"a bare ticket asks for all of it", []string{"A CAD not_collected", "B ADD returned"}, []string{"ticket T A B"},
			[]string{"5 put A", "5 put B"}, []string{"ticket T: done", "ticket T: done"}},
		{"what is in use elsewhere is left out of a bare ticket", []string{"A CAD collected@OTHER", "B ADD not_collected"}, []string{"ticket T A B"},
			[]string{"5 put B"}, []string{"ticket T: done"}},
		{"nothing left of a bare ticket", []string{"A CAD collected@OTHER", "B ADD gone"}, []string{"ticket T A B"}, nil, []string{"ticket T: license_in_use"}},
		{"a withdrawn license", []string{"A CAD gone"}, []string{"ticket T A"}, nil, []string{"ticket T: license_withdrawn"}},
		{"an unknown ticket beside a good one", []string{"A CAD not_collected"}, []string{"unknown X", "ticket T A"},
			[]string{"5 put A"}, []string{"ticket X: ticket_unknown", "ticket T: done"}},
		{"two tickets with the same license", []string{"A CAD not_collected"}, []string{"ticket T A", "ticket U A"}, []string{"5 put A"}, []string{"ticket T: done"}},

		// Named licenses: all or nothing.
		{"a ticket only authorizes what is named", []string{"A CAD not_collected", "B ADD not_collected"}, []string{"ticket T A B", "activate B"},
			[]string{"5 put B"}, []string{"activate B: done"}},
		{"named twice counts once", []string{"A CAD not_collected"}, []string{"ticket T A", "activate A", "activate A"}, []string{"5 put A"}, []string{"activate A: done"}},
		{"no ticket covers it", []string{"A CAD not_collected", "B ADD not_collected"}, []string{"ticket T A", "activate B"}, nil, []string{"activate B: license_unknown"}},
		{"there is no such license", nil, []string{"ticket T Z", "activate Z"}, nil, []string{"activate Z: license_unknown"}},
		{"one named license in use, none is given", []string{"A CAD not_collected", "B ADD collected@OTHER", "R P collected@ME"},
			[]string{"ticket T A B", "activate A", "activate B", "return R"}, nil, []string{"return R: not_done", "activate A: not_done", "activate B: license_in_use"}},
		{"a mistyped ticket beside names", []string{"A CAD not_collected"}, []string{"ticket T A", "unknown X", "activate A"}, nil,
			[]string{"activate A: not_done", "ticket X: ticket_unknown"}},
		{"another kind of container", []string{"A CAD not_collected token"}, []string{"ticket T A", "activate A"}, nil, []string{"activate A: container_not_allowed"}},

		// Already so.
		{"issued to this container before", []string{"A CAD collecting@ME"}, []string{"ticket T A", "activate A"}, nil, []string{"activate A: already_applied"}},
		{"held by this container, by a bare ticket", []string{"A CAD collected@ME"}, []string{"ticket T A"}, nil, []string{"ticket T: already_applied"}},
		{"held, and named without a ticket", []string{"A CAD collected@ME"}, []string{"activate A"}, nil, []string{"activate A: already_applied"}},
		{"its return is issued, it is put again", []string{"A CAD returning@ME"}, []string{"ticket T A"}, []string{"5 put A"}, []string{"ticket T: done"}},
		{"its return is issued elsewhere", []string{"A CAD returning@OTHER"}, []string{"ticket T A"}, nil, []string{"ticket T: license_in_use"}},
		{"issued elsewhere, no receipt", []string{"A CAD collecting@OTHER"}, []string{"ticket T A"}, nil, []string{"ticket T: license_in_use"}},

		// Returns.
		{"return", []string{"A CAD collected@ME"}, []string{"return A"}, []string{"2 drop A"}, []string{"return A: done"}},
		{"return before the receipt: a further step", []string{"A CAD collecting@ME"}, []string{"return A"}, []string{"2 drop A"}, []string{"return A: done"}},
		{"return again", []string{"A CAD returning@ME"}, []string{"return A"}, nil, []string{"return A: already_applied"}},
		{"return what another has", []string{"A CAD collected@OTHER"}, []string{"return A"}, nil, []string{"return A: license_unknown"}},
		{"return what nobody knows", nil, []string{"return Z"}, nil, []string{"return Z: license_unknown"}},
		{"not to be returned", []string{"A CAD collected@ME fixed", "B P collected@ME"}, []string{"return A", "return B"}, nil,
			[]string{"return A: not_deactivatable", "return B: not_done"}},
		{"returned and activated by one request", []string{"A CAD collected@ME"}, []string{"return A", "activate A"}, nil,
			[]string{"return A: not_done", "activate A: not_done"}},
		{"returned, and asked for by a bare ticket", []string{"A CAD collected@ME", "B P collected@ME"}, []string{"return A", "ticket T A B"}, []string{"2 drop A"},
			[]string{"return A: done", "ticket T: already_applied", "ticket T: not_done"}},

		// Prerequisites.
		{"prerequisite in the container", []string{"B BASE collected@ME", "A ADD not_collected +BASE"}, []string{"ticket T A"}, []string{"5 put A"}, []string{"ticket T: done"}},
		{"prerequisite in the same step", []string{"B BASE not_collected", "A ADD not_collected +BASE"}, []string{"ticket T A B"},
			[]string{"5 put A", "5 put B"}, []string{"ticket T: done", "ticket T: done"}},
		{"prerequisite missing", []string{"A ADD not_collected +BASE"}, []string{"ticket T A"}, nil, []string{"ticket T: prerequisite_missing"}},
		{"prerequisite on its way back", []string{"B BASE returning@ME", "A ADD not_collected +BASE"}, []string{"ticket T A"}, nil, []string{"ticket T: prerequisite_missing"}},
		{"prerequisite elsewhere", []string{"B BASE collected@OTHER", "A ADD not_collected +BASE"}, []string{"ticket T A"}, nil, []string{"ticket T: prerequisite_missing"}},
		{"a product is not its own prerequisite", []string{"A CAD not_collected +CAD"}, []string{"ticket T A"}, nil, []string{"ticket T: prerequisite_missing"}},
		{"one of two prerequisites", []string{"B BASE collected@ME", "A ADD not_collected +BASE +X"}, []string{"ticket T A"}, nil, []string{"ticket T: prerequisite_missing"}},
		{"a chain holds as one", []string{"A P1 not_collected +P2", "B P2 not_collected +P3", "C P3 not_collected"}, []string{"ticket T A B C"},
			[]string{"5 put A", "5 put B", "5 put C"}, []string{"ticket T: done", "ticket T: done", "ticket T: done"}},
		{"a chain breaks as one", []string{"A P1 not_collected +P2", "B P2 not_collected +P3", "C P3 collected@OTHER", "D P4 not_collected"}, []string{"ticket T A B C D"},
			[]string{"5 put D"}, []string{"ticket T: prerequisite_missing", "ticket T: prerequisite_missing", "ticket T: done"}},
		{"a cycle holds as one", []string{"A P1 not_collected +P2", "B P2 not_collected +P1"}, []string{"ticket T A B"},
			[]string{"5 put A", "5 put B"}, []string{"ticket T: done", "ticket T: done"}},
		{"a cycle breaks as one", []string{"A P1 not_collected +P2", "B P2 not_collected +P1 +P3"}, []string{"ticket T A B"}, nil,
			[]string{"ticket T: prerequisite_missing", "ticket T: prerequisite_missing"}},
		{"named: prerequisite missing leaves the rest undone", []string{"A ADD not_collected +BASE", "C P not_collected", "R P collected@ME"},
			[]string{"ticket T A C", "activate A", "activate C", "return R"}, nil,
			[]string{"return R: not_done", "activate A: prerequisite_missing", "activate C: not_done"}},

		// Returns that break add-ons.
		{"an add-on needs it", []string{"B BASE collected@ME", "A ADD collected@ME +BASE"}, []string{"return B"}, nil, []string{"return B: breaks_other_license"}},
		{"an add-on under way needs it", []string{"B BASE collected@ME", "A ADD collecting@ME +BASE"}, []string{"return B"}, nil, []string{"return B: breaks_other_license"}},
		{"the add-on is on its way back", []string{"B BASE collected@ME", "A ADD returning@ME +BASE"}, []string{"return B"}, []string{"2 drop B"}, []string{"return B: done"}},
		{"both are returned", []string{"B BASE collected@ME", "A ADD collected@ME +BASE"}, []string{"return B", "return A"},
			[]string{"2 drop B", "2 drop A"}, []string{"return B: done", "return A: done"}},
		{"a second base is left", []string{"B BASE collected@ME", "C BASE collected@ME", "A ADD collected@ME +BASE"}, []string{"return B"}, []string{"2 drop B"}, []string{"return B: done"}},
		{"both bases at once", []string{"B BASE collected@ME", "C BASE collected@ME", "A ADD collected@ME +BASE"}, []string{"return B", "return C"}, nil,
			[]string{"return B: breaks_other_license", "return C: breaks_other_license"}},
		{"exchanged for another base", []string{"B BASE collected@ME", "C BASE not_collected", "A ADD collected@ME +BASE"}, []string{"return B", "ticket T C", "activate C"},
			[]string{"2 drop B", "5 put C"}, []string{"return B: done", "activate C: done"}},
		{"exchanged for a base that is in use", []string{"B BASE collected@ME", "C BASE collected@OTHER", "A ADD collected@ME +BASE"}, []string{"return B", "ticket T C"}, nil,
			[]string{"return B: breaks_other_license", "ticket T: license_in_use"}},
		{"an add-on that is only wished for keeps nothing", []string{"B BASE collected@ME", "A ADD not_collected +BASE"}, []string{"return B", "ticket T A"},
			[]string{"2 drop B"}, []string{"return B: done", "ticket T: prerequisite_missing"}},
		{"a base that must stay serves a new add-on", []string{"B BASE collected@ME", "A ADD collected@ME +BASE", "N ADD2 not_collected +BASE"}, []string{"return B", "ticket T N"},
			[]string{"5 put N"}, []string{"return B: breaks_other_license", "ticket T: done"}},
		{"a ticket that is held does not hide the break", []string{"B BASE collected@ME", "A ADD collected@ME +BASE"}, []string{"return B", "ticket T A B"}, nil,
			[]string{"return B: breaks_other_license", "ticket T: already_applied", "ticket T: not_done"}},

		// The vendor's orders.
		{"withdraw before the receipt", []string{"W P collecting@ME"}, []string{"withdraw W"}, []string{"1 drop W"}, nil},
		{"withdraw what is on its way back", []string{"W P returning@ME"}, []string{"withdraw W"}, nil, nil},
		{"withdrawn and asked for again", []string{"W P collected@ME"}, []string{"withdraw W", "ticket T W"}, []string{"1 drop W"}, []string{"ticket T: license_withdrawn"}},
		{"withdrawn before the receipt and asked for again", []string{"W P collecting@ME"}, []string{"withdraw W", "ticket T W", "activate W"},
			[]string{"1 drop W"}, []string{"activate W: license_withdrawn"}},
		{"withdrawn on its way back and asked for again", []string{"W P returning@ME"}, []string{"withdraw W", "ticket T W"}, nil, []string{"ticket T: license_withdrawn"}},
		{"withdrawn and returned", []string{"W P collected@ME fixed"}, []string{"withdraw W", "return W"}, []string{"1 drop W"}, []string{"return W: already_applied"}},
		{"assign", []string{"A P not_collected"}, []string{"assign A"}, []string{"3 put A"}, nil},
		{"assign what has gone elsewhere", []string{"A P collected@OTHER"}, []string{"assign A"}, nil, nil},
		{"assigned and asked for", []string{"A P not_collected"}, []string{"assign A", "ticket T A"}, []string{"3 put A"}, []string{"ticket T: already_applied"}},
		{"replace", []string{"O P collected@ME", "N P not_collected"}, []string{"replace O N"}, []string{"4 drop O", "4 put N"}, nil},
		{"replace what is on its way back", []string{"O P returning@ME", "N P not_collected"}, []string{"replace O N"}, nil, nil},
		{"replaced on its way back and asked for again", []string{"O P returning@ME", "N P not_collected"}, []string{"replace O N", "ticket T O"}, nil, []string{"ticket T: license_withdrawn"}},
		{"what is assigned serves a wish", []string{"B BASE not_collected", "A ADD not_collected +BASE"}, []string{"assign B", "ticket T A"},
			[]string{"3 put B", "5 put A"}, []string{"ticket T: done"}},

		// Conflicts: only the vendor's part goes.
		{"the withdrawn base is missing", []string{"B BASE collected@ME", "A ADD not_collected +BASE", "C P not_collected", "R P collected@ME"},
			[]string{"withdraw B", "ticket T A", "ticket U C", "return R"}, []string{"1 drop B"},
			[]string{"return R: not_done", "ticket T: prerequisite_missing", "ticket U: not_done"}},
		{"a return breaks what was assigned", []string{"B BASE collected@ME", "A ADD not_collected +BASE", "C P not_collected"},
			[]string{"assign A", "return B", "ticket T C"}, []string{"3 put A"}, []string{"return B: breaks_other_license", "ticket T: not_done"}},
		{"a wish in use elsewhere is no conflict", []string{"W P collected@ME", "A CAD collected@OTHER", "C P not_collected"},
			[]string{"withdraw W", "ticket T A", "ticket U C"}, []string{"1 drop W", "5 put C"}, []string{"ticket T: license_in_use", "ticket U: done"}},

		// Flagged (R13).
		{"flagged: removals only", []string{"W P collected@ME", "A P not_collected", "O P collected@ME", "N P not_collected", "C P not_collected", "R P collected@ME"},
			[]string{"flagged", "withdraw W", "assign A", "replace O N", "ticket T C", "return R"}, []string{"1 drop W"},
			[]string{"ticket T: container_flagged", "return R: container_flagged"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ops, outcomes := planned(situation(t, tt.licenses, tt.asks))
			if d := cmp.Diff(tt.ops, ops); d != "" {
				t.Errorf("operations (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.outcomes, outcomes); d != "" {
				t.Errorf("outcomes (-want +got):\n%s", d)
			}
		})
	}
}

// A wish left undone says why, and every refusal says what to do next.
func TestPlanSaysWhy(t *testing.T) {
	s := situation(t, []string{"B BASE collected@ME", "A ADD not_collected +BASE", "R P collected@ME", "X P collecting@OTHER", "Y P returning@OTHER"},
		[]string{"withdraw B", "ticket T A", "ticket U X", "ticket V Y", "return R"})
	_, out := container.Plan(s)
	want := []string{
		"return R: Left undone because another part of the same request was refused.",
		"ticket T: ADD needs BASE in the same container.",
		"ticket U: P is activated in container OTHER.",
		"ticket V: P is activated in container OTHER.",
	}
	var got []string
	for _, o := range out {
		got = append(got, o.Wish+": "+o.Message)
		if o.Hint == "" {
			t.Errorf("%s: no next step", o.Wish)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !strings.Contains(out[3].Hint, "bring the receipt of container OTHER") {
		t.Errorf("on its way back: %s", out[3].Hint)
	}
}

// A ticket of which nothing is left says where each license is, in details that
// can be written down: a list that held itself could not.
func TestPlanSaysWhereAllAre(t *testing.T) {
	s := situation(t, []string{"A P collected@OTHER", "B P collected@THIRD"}, []string{"ticket T A B"})
	_, out := container.Plan(s)
	text, err := json.Marshal(out[0].Details["licenses"])
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"container":"OTHER","license":"A","product":"P","state":"collected"},{"container":"THIRD","license":"B","product":"P","state":"collected"}]`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// Whatever is asked of whatever situation, a plan keeps the rules.
func TestAnyPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		products := []string{"P1", "P2", "P3"}
		places := []string{"not_collected", "returned", "gone", "collected@ME", "collecting@ME", "returning@ME", "collected@OTHER", "returning@OTHER"}
		s := container.Situation{Serial: me, Kind: license.Machine, Licenses: map[license.ID]container.Candidate{}}
		var all []license.ID
		for i := range rapid.IntRange(1, 5).Draw(t, "licenses") {
			id := license.ID(fmt.Sprintf("L%d", i))
			state, holder, _ := strings.Cut(rapid.SampledFrom(places).Draw(t, "place"), "@")
			s.Licenses[id] = container.Candidate{License: id, Generation: 1, Product: rapid.SampledFrom(products).Draw(t, "product"),
				State: license.State(state), Holder: license.Serial(holder), Kinds: license.Kinds,
				Requires: rapid.SliceOfNDistinct(rapid.SampledFrom(products), 0, 2, rapid.ID).Draw(t, "requires"), Deactivation: rapid.Bool().Draw(t, "deactivation"),
				Lent: container.Lent{Seats: max(0, rapid.Int64Range(-2, 2).Draw(t, "lent"))}, LentStays: rapid.Bool().Draw(t, "stays")}
			if c := s.Licenses[id]; c.Holder == me && rapid.IntRange(0, 3).Draw(t, "order") == 0 {
				s.Earmarks = append(s.Earmarks, container.Earmark{Phase: container.Withdraw, License: id})
			}
			all = append(all, id)
		}
		some := rapid.SliceOfDistinct(rapid.SampledFrom(all), rapid.ID)
		s.Tickets = []container.TicketWish{{Ticket: "T", Known: true, Licenses: some.Draw(t, "ticket")}}
		s.Return, s.Activate = some.Draw(t, "return"), some.Draw(t, "activate")
		if rapid.IntRange(0, 5).Draw(t, "flag") == 0 {
			s.Flagged = "two lives"
		}
		ops, outcomes := container.Plan(s)
		checkPlan(t, s, ops, outcomes)
		if again, _ := container.Plan(s); !slices.Equal(again, ops) {
			t.Fatalf("planned twice: %v, then %v", ops, again)
		}
	})
}

// checkPlan holds a plan to Inv14, Inv15 and R13, to the states of licenses, to
// prerequisites, and to seats that are out: no return of a user frees them unless
// that is allowed.
func checkPlan(t *rapid.T, s container.Situation, ops []container.Op, outcomes []container.Outcome) {
	held := map[license.ID]bool{}
	for id, c := range s.Licenses {
		held[id] = c.Holder == me && (c.State == license.Collecting || c.State == license.Collected)
	}
	lacked := lacking(s, held)
	seen := map[license.ID]bool{}
	for _, op := range ops {
		if c := s.Licenses[op.License]; op.Phase == container.Return && c.Lent.Seats > 0 && !c.LentStays {
			t.Fatalf("%v is returned with %d seats out", op, c.Lent.Seats)
		}
	}
	for i, op := range ops {
		c := s.Licenses[op.License]
		event := license.PutIssued
		if op.Kind == container.Drop {
			event = license.DropIssued
		}
		_, no := license.Next(c.State, event)
		switch {
		case no != nil:
			t.Fatalf("%s %s: %v", op.Kind, op.License, no)
		case c.Holder != "" && c.Holder != me:
			t.Fatalf("%s %s, which another has", op.Kind, op.License)
		case op.Kind == container.Drop && !held[op.License]:
			t.Fatalf("drop %s, which is not here", op.License)
		case seen[op.License]:
			t.Fatalf("%s is in the step twice", op.License)
		case i > 0 && ops[i-1].Phase > op.Phase:
			t.Fatalf("out of order: %v", ops)
		case s.Flagged != "" && (op.Kind != container.Drop || op.Phase != container.Withdraw):
			t.Fatalf("flagged, and yet %v", op)
		}
		seen[op.License] = true
		held[op.License] = op.Kind == container.Put
	}
	for _, e := range s.Earmarks {
		if held[e.License] {
			t.Fatalf("the withdrawal of %s waits behind %v", e.License, ops)
		}
	}
	if s.Flagged != "" {
		return
	}
	withdrawn := map[string]bool{}
	for _, e := range s.Earmarks {
		withdrawn[s.Licenses[e.License].Product] = true
	}
	for what := range lacking(s, held) {
		// What lacked something before may go on lacking it, and the vendor may
		// take away what is needed.
		if _, product, _ := strings.Cut(what, " "); !lacked[what] && !withdrawn[product] {
			t.Fatalf("%s is lacking after %v", what, ops)
		}
	}
	for _, o := range outcomes {
		if o.Refused() && (o.Message == "" || o.Hint == "") {
			t.Fatalf("%s is refused without a reason or a next step", o.Wish)
		}
	}
}

// lacking lists "license product" for what each license held lacks.
func lacking(s container.Situation, held map[license.ID]bool) map[string]bool {
	out := map[string]bool{}
	for id, in := range held {
		for _, need := range s.Licenses[id].Requires {
			found := false
			for other, there := range held {
				found = found || there && other != id && s.Licenses[other].Product == need
			}
			if in && !found {
				out[string(id)+" "+need] = true
			}
		}
	}
	return out
}
