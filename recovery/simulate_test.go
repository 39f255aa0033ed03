package recovery_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/license"
	"licet/recovery"
)

// past is a case of a license so many days ago, with what was decided.
func past(id license.ID, daysAgo int, l lost, old rule) recovery.PastCase {
	p := recovery.PastCase{Case: l.under(old.policy()), License: id}
	p.Now = ago(daysAgo)[0]
	p.Then = recovery.Decide(p.Case).Verdict
	return p
}

func TestSimulate(t *testing.T) {
	const ada, bob = license.ID("lic_ada"), license.ID("lic_bob")
	tests := []struct {
		name   string
		policy rule
		past   []recovery.PastCase
		want   []string // with a star where it changes
		tally  recovery.Summary
	}{
		{"nothing", rule{mode: automatic}, nil, nil, recovery.Summary{}},
		{
			"staff asked, now once a year by policy", rule{mode: hybrid, n: 1, per: 365},
			[]recovery.PastCase{
				past(ada, 100, lost{}, rule{}), past(ada, 50, lost{}, rule{}), past(bob, 20, lost{}, rule{}),
				past(bob, 10, lost{state: license.Returned}, rule{}),
			},
			[]string{"*grant done by policy", "ask restore_pending by automatic, again in 265d", "*grant done by policy", "refuse not_restorable by available"},
			recovery.Summary{Cases: 4, Changed: 2, Then: recovery.Tally{Asked: 3, Refused: 1}, Now: recovery.Tally{Granted: 2, Asked: 1, Refused: 1}},
		},
		{
			"given in any order, answered in the same", rule{mode: automatic, n: 1, per: 40},
			[]recovery.PastCase{past(ada, 10, lost{}, rule{}), past(ada, 35, lost{}, rule{}), past(bob, 50, lost{}, rule{})},
			[]string{"*refuse restore_limit by automatic, again in 5d", "*grant done by policy", "*grant done by policy"},
			recovery.Summary{Cases: 3, Changed: 3, Then: recovery.Tally{Asked: 3}, Now: recovery.Tally{Granted: 2, Refused: 1}},
		},
		{
			"what came before the first case counts, what policy granted then does not", rule{mode: automatic, n: 2, per: 365},
			[]recovery.PastCase{
				past(ada, 90, lost{restored: ago(200)}, rule{mode: automatic}),
				past(ada, 80, lost{restored: ago(200, 90)}, rule{mode: automatic}),
				past(ada, 70, lost{restored: ago(200, 90, 80)}, rule{mode: automatic}),
			},
			[]string{"grant done by policy", "*refuse restore_limit by automatic, again in 165d", "*refuse restore_limit by automatic, again in 165d"},
			recovery.Summary{Cases: 3, Changed: 2, Then: recovery.Tally{Granted: 3}, Now: recovery.Tally{Granted: 1, Refused: 2}},
		},
		{
			"conditions count as accepted where there were none", rule{mode: automatic, conditions: true},
			[]recovery.PastCase{past(ada, 9, lost{}, rule{mode: automatic}), past(bob, 8, lost{}, rule{mode: automatic, conditions: true})},
			[]string{"grant done by policy, -1 left", "refuse conditions_not_accepted by conditions, -1 left"},
			recovery.Summary{Cases: 2, Then: recovery.Tally{Granted: 1, Refused: 1}, Now: recovery.Tally{Granted: 1, Refused: 1}},
		},
		{
			"a grant of staff uses no restore by policy", rule{mode: automatic, n: 1, per: 365},
			[]recovery.PastCase{past(ada, 9, lost{extra: 1}, rule{mode: never}), past(ada, 8, lost{}, rule{mode: never})},
			[]string{"grant done by grant, uses extra, 1 left", "*grant done by policy"},
			recovery.Summary{Cases: 2, Changed: 1, Then: recovery.Tally{Granted: 1, Refused: 1}, Now: recovery.Tally{Granted: 2}},
		},
	}
	for _, tt := range tests {
		outcomes := recovery.Simulate(tt.policy.policy(), tt.past)
		var got []string
		for i, o := range outcomes {
			star := ""
			if o.Changed {
				star = "*"
			}
			got = append(got, star+short(o.Now))
			if o.License != tt.past[i].License || o.Time != tt.past[i].Now || o.Then != tt.past[i].Then {
				t.Errorf("%s: outcome %d is not of its case: %+v", tt.name, i, o)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.tally, recovery.Summarize(outcomes)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// A history that one policy decided comes out the same when that policy decides
// it again, and what is simulated changes nothing that is given.
func TestSamePolicyChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := anyPolicy(t)
		restored := map[license.ID][]license.Time{}
		var history []recovery.PastCase
		at := now
		for range rapid.IntRange(0, 20).Draw(t, "reports") {
			at = at.Add(rapid.Custom(func(t *rapid.T) license.Duration {
				return license.Duration(rapid.IntRange(0, 20).Draw(t, "days")) * day
			}).Draw(t, "later").Go())
			p := recovery.PastCase{Case: anyCase(t, policy), License: rapid.SampledFrom([]license.ID{"a", "b"}).Draw(t, "license")}
			p.Now, p.Restored = at, slices.Clone(restored[p.License])
			d := recovery.Decide(p.Case)
			p.Then = d.Verdict
			if d.Verdict == recovery.Grant && !d.UsesExtra {
				restored[p.License] = append(restored[p.License], at)
			}
			history = append(history, p)
		}
		before := slices.Clone(history)
		for i, o := range recovery.Simulate(policy, history) {
			if o.Changed {
				t.Errorf("case %d was %s and is %s", i, o.Then, o.Now.Verdict)
			}
		}
		if diff := cmp.Diff(before, history); diff != "" {
			t.Error(diff)
		}
	})
}
