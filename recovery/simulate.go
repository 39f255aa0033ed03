package recovery

import (
	"cmp"
	"slices"

	"licet/license"
)

// PastCase is a case that was decided, with the policy of then.
type PastCase struct {
	Case
	License license.ID // the cases of one license follow from each other
	Then    Verdict    // what the policy of then came to, before staff decided
}

// Outcome is what a new policy would have made of a past case.
type Outcome struct {
	License license.ID   `json:"license"`
	Time    license.Time `json:"time"`
	Then    Verdict      `json:"then"`
	Now     Decision     `json:"now"`
	Changed bool         `json:"changed"` // another verdict
}

// Simulate decides past cases again, by another policy, and answers in their
// order. Limits count what the new policy would have granted: what it grants in
// one case counts in the later ones of that license, in place of what was
// granted then. Conditions that were not asked for then count as accepted. All
// else is as it was.
func Simulate(policy license.Restore, past []PastCase) []Outcome {
	order := make([]int, len(past))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(past[a].Now, past[b].Now) })

	restored := map[license.ID][]license.Time{}
	outcomes := make([]Outcome, len(past))
	for _, i := range order {
		p := past[i]
		c := p.Case
		if _, seen := restored[p.License]; !seen {
			restored[p.License] = slices.Clone(c.Restored)
		}
		c.Restored = restored[p.License]
		c.Accepted = c.Accepted || c.Policy.Conditions == ""
		c.Policy = policy
		d := Decide(c)
		if d.Verdict == Grant && !d.UsesExtra {
			restored[p.License] = append(restored[p.License], c.Now)
		}
		outcomes[i] = Outcome{License: p.License, Time: c.Now, Then: p.Then, Now: d, Changed: d.Verdict != p.Then}
	}
	return outcomes
}

// Summary counts the outcomes of a simulation.
type Summary struct {
	Cases   int   `json:"cases"`
	Changed int   `json:"changed"`
	Then    Tally `json:"then"`
	Now     Tally `json:"now"`
}

// Tally counts verdicts.
type Tally struct {
	Granted int `json:"granted"`
	Asked   int `json:"asked"`
	Refused int `json:"refused"`
}

// Summarize counts outcomes.
func Summarize(outcomes []Outcome) Summary {
	s := Summary{Cases: len(outcomes)}
	for _, o := range outcomes {
		if o.Changed {
			s.Changed++
		}
		s.Then.add(o.Then)
		s.Now.add(o.Now.Verdict)
	}
	return s
}

func (t *Tally) add(v Verdict) {
	switch v {
	case Grant:
		t.Granted++
	case Ask:
		t.Asked++
	case Refuse:
		t.Refused++
	}
}
