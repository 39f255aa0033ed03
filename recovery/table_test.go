package recovery_test

import (
	"fmt"
	"testing"

	"licet/license"
	"licet/recovery"
	"licet/refusal"
)

// TestEveryCombination is the whole table: who decides for the scope, the
// hardware and the kind of container × how often and how lately policy has
// restored. Each mode has one column for what is within the limits and one for
// what is beyond them.
func TestEveryCombination(t *testing.T) {
	type answer struct {
		verdict recovery.Verdict
		code    refusal.Code
	}
	table := map[license.RestoreMode]struct{ within, beyond answer }{
		never:     {answer{recovery.Refuse, refusal.NotRestorable}, answer{recovery.Refuse, refusal.NotRestorable}},
		manual:    {answer{recovery.Ask, refusal.RestorePending}, answer{recovery.Ask, refusal.RestorePending}},
		automatic: {answer{recovery.Grant, refusal.Done}, answer{recovery.Refuse, refusal.RestoreLimit}},
		hybrid:    {answer{recovery.Grant, refusal.Done}, answer{recovery.Ask, refusal.RestorePending}},
	}
	places := []struct {
		scope    recovery.Scope
		hardware recovery.Hardware
		set      func(*rule, license.RestoreMode)
	}{
		{recovery.ScopeLicense, "", func(r *rule, m license.RestoreMode) { r.mode = m }},
		{recovery.ScopeContainer, recovery.SameHardware, func(r *rule, m license.RestoreMode) { r.same = m }},
		{recovery.ScopeContainer, recovery.NewHardware, func(r *rule, m license.RestoreMode) { r.fresh = m }},
		{recovery.ScopeContainer, recovery.Damaged, func(r *rule, m license.RestoreMode) { r.broke = m }},
	}
	// Two in 100 days, and 30 days between them.
	past := []struct {
		name   string
		at     []license.Time
		beyond bool
	}{
		{"never restored", nil, false},
		{"once, long ago", ago(101), false},
		{"once, not too lately", ago(30), false},
		{"once, too lately", ago(29), true},
		{"twice, one out of the period", ago(100, 40), false},
		{"twice, one out of the period and one too lately", ago(100, 29), true},
		{"twice in the period", ago(99, 40), true},
		{"three times", ago(200, 99, 40), true},
	}
	cases := 0
	for i, p := range places {
		for _, elsewhere := range license.RestoreModes { // of every other place: it must not count
			for _, mode := range license.RestoreModes {
				for _, ofKind := range append([]license.RestoreMode{""}, license.RestoreModes...) {
					for _, kind := range license.Kinds {
						for _, h := range past {
							r := rule{n: 2, per: 100, wait: 30}
							for j, other := range places {
								if j != i {
									other.set(&r, elsewhere)
								}
							}
							p.set(&r, mode)
							who := mode
							if ofKind != "" { // the rule for tokens, which counts for tokens alone
								r.kinds = map[license.Kind]license.RestoreMode{license.Token: ofKind}
								if kind == license.Token {
									who = ofKind
								}
							}
							want := table[who].within
							if h.beyond {
								want = table[who].beyond
							}
							d := recovery.Decide(lost{scope: p.scope, hardware: p.hardware, kind: kind, restored: h.at}.under(r.policy()))
							if d.Verdict != want.verdict || d.Code != want.code {
								t.Fatalf("%s %s %s, %s (elsewhere %s, tokens %q, in a %s): %s %s, want %s %s",
									p.scope, p.hardware, mode, h.name, elsewhere, ofKind, kind, d.Verdict, d.Code, want.verdict, want.code)
							}
							cases++
						}
					}
				}
			}
		}
	}
	if want := len(places) * 4 * 4 * 5 * len(license.Kinds) * len(past); cases != want {
		t.Fatal(fmt.Sprint(cases, " cases, want ", want))
	}
}
