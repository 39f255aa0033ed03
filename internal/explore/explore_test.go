package explore

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // what is visited is never let go of
	os.Exit(m.Run())
}

// The runs.
var (
	honest   = scope{name: "honest", licenses: 1, chain: [2]uint64{4, 4}, withdraws: true}
	long     = scope{name: "honest, long", licenses: 1, chain: [2]uint64{6, 2}, withdraws: true}
	wiped    = scope{name: "machines may be wiped", licenses: 1, chain: [2]uint64{3, 3}, wipes: true, withdraws: true}
	together = scope{name: "two licenses", licenses: 2, chain: [2]uint64{3, 1}, withdraws: true}
	repeats  = scope{name: "repeated requests told from fresh ones", licenses: 1, chain: [2]uint64{4, 1}, causes: true, withdraws: true}
	cheating = scope{name: "one rollback", licenses: 1, chain: [2]uint64{3, 1}, rollbacks: 1, terse: true, withdraws: true}
	swapping = scope{name: "two rollbacks, there and back", licenses: 1, chain: [2]uint64{2, 1}, rollbacks: 2, terse: true, withdraws: true}
	accepted = scope{name: "one rollback, and staff accept", licenses: 1, chain: [2]uint64{2, 1}, rollbacks: 1, accepts: true, terse: true, withdraws: true}

	lostOnce     = scope{name: "one restore", licenses: 1, chain: [2]uint64{2, 2}, withdraws: true, cancels: true, restores: 1}
	lostTwice    = scope{name: "two restores", licenses: 1, chain: [2]uint64{2, 1}, restores: 2}
	lostAndBack  = scope{name: "one restore and one rollback", licenses: 1, chain: [2]uint64{2, 1}, rollbacks: 1, terse: true, restores: 1}
	replaced     = scope{name: "a replacement and a restore", licenses: 1, chain: [2]uint64{2, 1}, replaces: true, cancels: true, restores: 1}
	lending      = scope{name: "A lends a seat", licenses: 1, chain: [2]uint64{3, 1}, lends: true, withdraws: true}
	split        = scope{name: "two seats, one for each", licenses: 1, more: 1, chain: [2]uint64{3, 1}, withdraws: true}
	splitBack    = scope{name: "two seats, one returned", licenses: 1, more: 1, whole: true, chain: [2]uint64{3, 1}, withdraws: true}
	splitLost    = scope{name: "two seats, one returned, and one restore", licenses: 1, more: 1, whole: true, chain: [2]uint64{2, 1}, restores: 1}
	counting     = scope{name: "units are used", licenses: 1, chain: [2]uint64{2, 1}, units: 2}
	countingLost = scope{name: "units are used, and a restore", licenses: 1, chain: [2]uint64{2, 1}, units: 1, restores: 1}
	countingBack = scope{name: "units are used, and one rollback", licenses: 1, chain: [2]uint64{2, 1}, units: 1, rollbacks: 1, terse: true}
	adding       = scope{name: "units are used and added", licenses: 1, chain: [2]uint64{3, 1}, units: 1, adds: 1, withdraws: true}
	sharing      = scope{name: "units, one for each", licenses: 1, chain: [2]uint64{3, 1}, units: 2, shares: true}
	sharingBack  = scope{name: "units, some returned", licenses: 1, chain: [2]uint64{3, 1}, units: 2, shares: true, whole: true, long: true}
	sharingLost  = scope{name: "units, some returned, and one restore", licenses: 1, chain: [2]uint64{2, 1}, units: 2, shares: true, whole: true, restores: 1, long: true}
	cameBack     = scope{name: "the server comes back from a back-up", licenses: 1, chain: [2]uint64{2, 1}, comeback: true, terse: true}
	cameBackLost = scope{name: "the server comes back from a back-up, and one restore", licenses: 1, chain: [2]uint64{2, 1}, comeback: true, restores: 1, terse: true, long: true}
	cameBackLong = scope{name: "the server comes back from a back-up, with a withdrawal", licenses: 1, chain: [2]uint64{2, 2}, comeback: true, withdraws: true, long: true, terse: true}
	blocked      = scope{name: "a container is blocked and opened again", licenses: 1, chain: [2]uint64{3, 1}, withdraws: true, blocks: true}
)

// TestEveryState walks all states under the product's rules; package doc.
func TestEveryState(t *testing.T) {
	for _, s := range []scope{honest, long, wiped, together, repeats, cheating, swapping, accepted, lostOnce, lostTwice, lostAndBack, replaced, blocked, lending,
		split, splitBack, splitLost, counting, countingLost, countingBack, adding, sharing, sharingBack, sharingLost, cameBack, cameBackLost, cameBackLong} {
		if s.long && os.Getenv("LICET_TEST_LONG") != "1" {
			continue // more states than all others together
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for c := range s.chain {
				s.chain[c] = max(1, s.chain[c]-less)
			}
			r := newExplorer(s, production()).walk("")
			t.Logf("%d states, %d of them wait for a restore", r.states, r.waiting)
			if r.broken != "" {
				t.Errorf("%s\n%s", r.broken, strings.Join(r.trace, "\n"))
			}
		})
	}
}

// TestMutants takes one rule away at a time, and demands that it is missed.
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
