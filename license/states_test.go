package license_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
)

var update = flag.Bool("update", false, "rewrite docs/lifecycle.md")

var events = []license.Event{license.PutIssued, license.PutConfirmed, license.ChangeIssued, license.DropIssued, license.DropConfirmed, license.Withdrawn, license.TakenBack, license.Restored, license.Lost, license.Merged}

// row finds the one transition of a state and an event.
func row(t testing.TB, s license.State, e license.Event) (license.Transition, bool) {
	t.Helper()
	var found []license.Transition
	for _, tr := range license.Transitions {
		if tr.From == s && tr.Event == e {
			found = append(found, tr)
		}
	}
	if len(found) > 1 {
		t.Errorf("%s, %s: %d rows", s, e, len(found))
	}
	return slices.Concat(found, []license.Transition{{}})[0], len(found) > 0
}

// Every state and event is a row, or a refusal that names why not.
func TestEveryEventInEveryState(t *testing.T) {
	used := map[license.Event]bool{}
	for _, s := range license.States {
		for _, e := range events {
			tr, exists := row(t, s.State, e)
			used[e] = used[e] || exists
			next, no := license.Next(s.State, e)
			switch {
			case exists && (no != nil || next != tr.To):
				t.Errorf("%s, %s: %s, %v; want %s", s.State, e, next, no, tr.To)
			case !exists && (no == nil || next != s.State):
				t.Errorf("%s, %s: %s, %v; want a refusal and no move", s.State, e, next, no)
			case !exists && no.Code != refusedWith(s.State, e):
				t.Errorf("%s, %s: %s, want %s", s.State, e, no.Code, refusedWith(s.State, e))
			case !exists && (no.Message == "" || no.NextStep() == ""):
				t.Errorf("%s, %s: no reason or no next step", s.State, e)
			}
		}
	}
	for _, e := range events {
		if !used[e] {
			t.Errorf("%s happens in no state", e)
		}
	}
	if _, no := license.Next("lost", license.PutIssued); no == nil {
		t.Error("a state that does not exist takes an event")
	}
}

func refusedWith(s license.State, e license.Event) refusal.Code {
	switch {
	case s == license.Gone:
		return refusal.LicenseWithdrawn
	case e == license.PutIssued:
		return refusal.LicenseInUse
	}
	return refusal.Conflict
}

func TestTransitions(t *testing.T) {
	for _, tr := range license.Transitions {
		from, to := tr.From.Row(), tr.To.Row()
		switch {
		case from.Meaning == "" || to.Meaning == "":
			t.Errorf("%+v: a state that is not in the table", tr)
		case !slices.Contains(events, tr.Event):
			t.Errorf("%+v: an event that this test does not know", tr)
		case len(tr.Causes) == 0 || tr.Sentence == "":
			t.Errorf("%+v: no cause or no sentence", tr)
		case tr.From == license.Gone:
			t.Errorf("%+v: a way out of the end", tr)
		case from.Place == license.WithUser && to.Place != license.WithUser && !slices.Equal(tr.Causes, []license.Cause{license.ByContainer}) && tr.Guard != license.RestoreGranted && (tr.Event != license.Lost || tr.To != license.Gone):
			t.Errorf("%+v: free by somebody's word (Inv9)", tr)
		case from.Place == license.WithUser && to.Place != license.WithUser && tr.Guard == license.Always:
			t.Errorf("%+v: free without a condition (Inv18)", tr)
		case slices.Contains(tr.Causes, license.ByContainer) != strings.HasSuffix(string(tr.Event), "_confirmed") && tr.Event != license.TakenBack && tr.Event != license.Merged:
			t.Errorf("%+v: what a container proves is an event of its own", tr)
		}
	}
}

func TestStates(t *testing.T) {
	seen := map[license.State]bool{}
	for _, s := range license.States {
		if seen[s.State] || s.Meaning == "" {
			t.Errorf("%s: twice, or without a meaning", s.State)
		}
		seen[s.State] = true
		if s.State.Available() != (s.Place == license.WithVendor) || s.State.Held() != (s.Place == license.WithUser) {
			t.Errorf("%s: available %t, held %t, %s", s.State, s.State.Available(), s.State.Held(), s.Place)
		}
		if into := slices.ContainsFunc(license.Transitions, func(tr license.Transition) bool { return tr.To == s.State }); !into && s.State != license.NotCollected {
			t.Errorf("%s: no way in", s.State)
		}
	}
	unknown := license.State("lost")
	if unknown.Available() || unknown.Held() || unknown.Row() != (license.StateRow{State: unknown}) {
		t.Error("an unknown state means yes (Inv40)")
	}
}

// TestReturnedIsNotCollected holds what the comment on State says.
func TestReturnedIsNotCollected(t *testing.T) {
	for _, e := range events {
		a, no1 := license.Next(license.NotCollected, e)
		b, no2 := license.Next(license.Returned, e)
		if (no1 == nil) != (no2 == nil) || no1 == nil && a != b {
			t.Errorf("%s: %s and %s", e, a, b)
		}
	}
}

// Any life, however long, leaves the user only by proof or by a granted restore,
// and ends once.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := license.NotCollected
		for _, e := range rapid.SliceOf(rapid.SampledFrom(events)).Draw(t, "events") {
			next, no := license.Next(s, e)
			switch {
			case no != nil && next != s:
				t.Fatalf("%s, %s: refused, and moved to %s", s, e, next)
			case s == license.Gone && next != license.Gone:
				t.Fatalf("back from the end by %s", e)
			case s.Held() && !next.Held() && e != license.DropConfirmed && e != license.TakenBack && e != license.Restored && e != license.Lost:
				t.Fatalf("%s freed it", e)
			}
			s = next
		}
	})
}

// The database accepts the states of the table and no other.
func TestDatabaseKnowsTheStates(t *testing.T) {
	sql, err := os.ReadFile("../internal/store/migrations/0002_book.sql")
	if err != nil {
		t.Fatal(err)
	}
	var all, held []string
	for _, s := range license.States {
		all = append(all, string(s.State))
		if s.State.Held() {
			held = append(held, string(s.State))
		}
	}
	for _, list := range []struct {
		before string
		want   []string
	}{{`check \(state = `, all}, {`check \(\(holder is not null\) = \(state = `, held}} {
		m := regexp.MustCompile(list.before + `([^)]*)\)`).FindSubmatch(sql)
		if m == nil {
			t.Fatalf("no %q", list.before)
		}
		var got []string
		for _, quoted := range regexp.MustCompile(`'(\w+)'`).FindAllSubmatch(m[1], -1) {
			got = append(got, string(quoted[1]))
		}
		if d := cmp.Diff(list.want, got); d != "" {
			t.Errorf("%s (-table +database):\n%s", list.before, d)
		}
	}
}

// docs/lifecycle.md is made from the table.
func TestLifecyclePage(t *testing.T) {
	const path = "../docs/lifecycle.md"
	want := lifecyclePage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/lifecycle.md is stale; run go test ./license -update (-want +got):\n%s", d)
	}
}

func lifecyclePage() string {
	var b strings.Builder
	b.WriteString(`# The life of a license

<!-- Made from license/states.go by: go test ./license -update -->

Where the last put or drop of a license stands. A license that was issued, or whose removal was issued, counts as with the user until a signed report of the container proves otherwise ([protocol.md](protocol.md), R7 and R8). No other transition exists.

` + "```mermaid\nstateDiagram-v2\n    [*] --> not_collected\n")
	for _, tr := range license.Transitions {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", tr.From, tr.To, tr.Event)
	}
	b.WriteString("    gone --> [*]\n```\n\n## States\n\n| state | with | meaning |\n|---|---|---|\n")
	for _, s := range license.States {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.State, places[s.Place], s.Meaning)
	}
	b.WriteString("\n## Transitions\n\n| from | event | to | brought about by | only if | what happens |\n|---|---|---|---|---|---|\n")
	for _, tr := range license.Transitions {
		var causes []string
		for _, c := range tr.Causes {
			causes = append(causes, string(c))
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | %s | %s | %s |\n", tr.From, tr.Event, tr.To, strings.Join(causes, ", "), guards[tr.Guard], tr.Sentence)
	}
	b.WriteString("\n## Everything else is refused\n\n| state | event | refusal |\n|---|---|---|\n")
	for _, s := range license.States {
		refused := map[refusal.Code][]string{}
		var order []refusal.Code
		for _, e := range events {
			if _, no := license.Next(s.State, e); no != nil {
				if refused[no.Code] == nil {
					order = append(order, no.Code)
				}
				refused[no.Code] = append(refused[no.Code], "`"+string(e)+"`")
			}
		}
		for _, code := range order {
			fmt.Fprintf(&b, "| `%s` | %s | `%s` |\n", s.State, strings.Join(refused[code], ", "), code)
		}
	}
	return b.String()
}

var places = map[license.Place]string{license.WithVendor: "the vendor", license.WithUser: "the user", license.Nowhere: "nobody"}

var guards = map[license.Guard]string{
	license.Always:            "",
	license.SameContainer:     "the license is with the container that asks",
	license.MatchesHolder:     "generation and holder are those of the step confirmed",
	license.LastOperation:     "no later step of the log concerns the license",
	license.WithdrawalOrdered: "the vendor has ordered the withdrawal",
	license.RestoreGranted:    "policy or staff have granted a restore, which starts the next generation",
	license.OtherPart:         "another part of the same license is with the vendor, and nothing is ordered for either",
}
