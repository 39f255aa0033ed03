package explore

import (
	"fmt"
	"strings"
	"testing"
)

var (
	honest   = scope{name: "honest, machines may be wiped", licenses: 1, chain: 4 - less, wipes: true}
	together = scope{name: "two licenses", licenses: 2, chain: 2}
	repeats  = scope{name: "repeated requests are told from fresh ones", licenses: 1, chain: 3, causes: true}
	cheating = scope{name: "rollbacks, and staff who accept them", licenses: 1, chain: 3 - less, rollbacks: 2}
)

// TestEveryState walks all states under the product's rules.
func TestEveryState(t *testing.T) {
	for _, s := range []scope{honest, together, repeats, cheating} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newExplorer(s, production()).walk("")
			t.Logf("%d states, %d of them with a license in a wiped machine", r.states, r.waiting)
			if r.broken != "" {
				t.Errorf("%s\n%s", r.broken, strings.Join(r.trace, "\n"))
			}
		})
	}
}

// TestMutants takes one rule away at a time.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(fmt.Sprintf("%s %s", m.rule, m.text), func(t *testing.T) {
			t.Parallel()
			r := production()
			m.mutate(&r)
			found := newExplorer(m.in, r).walk(m.breaks)
			if found.broken == "" {
				t.Fatalf("not caught in %d states", found.states)
			}
			t.Logf("caught in %d steps, %d states: %s\n%s", len(found.trace), found.states, found.broken, strings.Join(found.trace, "\n"))
		})
	}
}
