package recovery_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
)

const (
	day       = license.Day
	never     = license.RestoreNever
	automatic = license.RestoreAutomatic
	manual    = license.RestoreManual
	hybrid    = license.RestoreHybrid
)

var now = license.At(time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC))

// ago are moments so many days before now.
func ago(days ...int) []license.Time {
	var at []license.Time
	for _, d := range days {
		at = append(at, now.Add(-time.Duration(d)*day.Go()))
	}
	return at
}

// rule is a policy in a row of the table. What a row does not set is manual for
// single licenses and for containers.
type rule struct {
	mode               license.RestoreMode // of single licenses
	same, fresh, broke license.RestoreMode // of containers: same hardware, new, damaged
	n                  int64               // automatic restores
	per, wait          int                 // days
	kinds              map[license.Kind]license.RestoreMode
	customers          map[string]license.RestoreMode
	limit              int64 // of value
	noSelf             bool
	conditions         bool
}

func (r rule) policy() license.Restore {
	or := func(m license.RestoreMode) license.RestoreMode {
		if m == "" {
			return manual
		}
		return m
	}
	p := license.Restore{
		License: license.RestoreLicense{
			Mode: or(r.mode), Automatic: r.n, Per: license.Duration(r.per) * day, Wait: license.Duration(r.wait) * day,
			ValueLimit: r.limit, Customers: r.customers,
		},
		Container:   license.RestoreContainer{SameHardware: or(r.same), NewHardware: or(r.fresh), Damaged: or(r.broke)},
		Kinds:       r.kinds,
		SelfService: new(!r.noSelf),
	}
	if r.conditions {
		p.Conditions = "It is lost and will not be used again."
	}
	return p
}

// lost is what happened in a row of the table. Unset, it is a single license,
// collected into a machine of Ada's, conditions not accepted.
type lost struct {
	scope     recovery.Scope
	hardware  recovery.Hardware
	kind      license.Kind
	customer  string
	value     int64
	state     license.State
	withdrawn bool
	restored  []license.Time
	extra     int64
	waiting   bool
	accepted  bool
}

func (l lost) under(policy license.Restore) recovery.Case {
	c := recovery.Case{
		Scope: l.scope, Hardware: l.hardware, Kind: l.kind, Policy: policy, Value: l.value, Customer: l.customer,
		State: l.state, Withdrawn: l.withdrawn, Restored: l.restored, Extra: l.extra, Waiting: l.waiting, Accepted: l.accepted, Now: now,
	}
	if l.scope == "" {
		c.Scope = recovery.ScopeLicense
	}
	if l.kind == "" {
		c.Kind = license.Machine
	}
	if l.customer == "" {
		c.Customer = "Ada"
	}
	if l.state == "" {
		c.State = license.Collected
	}
	return c
}

// short is a decision in a row of the table: verdict, code, the rule that
// decided, and what is left.
func short(d recovery.Decision) string {
	s := fmt.Sprintf("%s %s by %s", d.Verdict, d.Code, d.Because[len(d.Because)-1].Rule)
	if d.UsesExtra {
		s += ", uses extra"
	}
	if d.Left != 0 {
		s += fmt.Sprintf(", %d left", d.Left)
	}
	if d.Again != 0 {
		s += fmt.Sprintf(", again in %s", license.Duration((d.Again-now)*1000))
	}
	return s
}

func TestDecide(t *testing.T) {
	type kinds = map[license.Kind]license.RestoreMode
	type customers = map[string]license.RestoreMode
	const (
		container = recovery.ScopeContainer
		same      = recovery.SameHardware
		fresh     = recovery.NewHardware
		broke     = recovery.Damaged
	)
	tests := []struct {
		name string
		rule rule
		lost lost
		want string
	}{
		// The mode of single licenses.
		{"never", rule{mode: never}, lost{}, "refuse not_restorable by mode"},
		{"manual", rule{mode: manual}, lost{}, "ask restore_pending by mode"},
		{"automatic", rule{mode: automatic}, lost{}, "grant done by policy, -1 left"},
		{"automatic, often", rule{mode: automatic}, lost{restored: ago(3, 2, 1, 0)}, "grant done by policy, -1 left"},
		{"hybrid, first", rule{mode: hybrid, n: 1, per: 365}, lost{}, "grant done by policy"},
		{"hybrid, first of three", rule{mode: hybrid, n: 3, per: 365}, lost{}, "grant done by policy, 2 left"},
		{"hybrid without a number", rule{mode: hybrid}, lost{}, "ask restore_pending by automatic"},
		{"a mode that is not known", rule{mode: "perhaps"}, lost{}, "ask restore_pending by mode"},

		// How often in the period.
		{"automatic, first of one", rule{mode: automatic, n: 1, per: 365}, lost{}, "grant done by policy"},
		{"automatic, second of one", rule{mode: automatic, n: 1, per: 365}, lost{restored: ago(100)}, "refuse restore_limit by automatic, again in 265d"},
		{"automatic, second of two", rule{mode: automatic, n: 2, per: 365}, lost{restored: ago(100)}, "grant done by policy"},
		{"automatic, third of two", rule{mode: automatic, n: 2, per: 365}, lost{restored: ago(300, 100)}, "refuse restore_limit by automatic, again in 65d"},
		{"in any order", rule{mode: automatic, n: 2, per: 365}, lost{restored: ago(100, 300)}, "refuse restore_limit by automatic, again in 65d"},
		{"one is out of the period", rule{mode: automatic, n: 2, per: 365}, lost{restored: ago(400, 100)}, "grant done by policy"},
		{"at the end of the period", rule{mode: automatic, n: 1, per: 365}, lost{restored: ago(365)}, "grant done by policy"},
		{"a day before its end", rule{mode: automatic, n: 1, per: 365}, lost{restored: ago(364)}, "refuse restore_limit by automatic, again in 1d"},
		{"once in its life", rule{mode: automatic, n: 1}, lost{restored: ago(10000)}, "refuse restore_limit by automatic"},
		{"the limit was lowered", rule{mode: automatic, n: 1, per: 365}, lost{restored: ago(300, 200, 100)}, "refuse restore_limit by automatic, again in 265d"},
		{"hybrid, second of one", rule{mode: hybrid, n: 1, per: 365}, lost{restored: ago(100)}, "ask restore_pending by automatic, again in 265d"},
		{"hybrid, second of two", rule{mode: hybrid, n: 2, per: 365}, lost{restored: ago(100)}, "grant done by policy"},
		{"hybrid, once in its life", rule{mode: hybrid, n: 1}, lost{restored: ago(10000)}, "ask restore_pending by automatic"},
		{"hybrid, the period is over", rule{mode: hybrid, n: 1, per: 30}, lost{restored: ago(31)}, "grant done by policy"},
		{"a restore that is yet to come", rule{mode: automatic, n: 1, per: 30}, lost{restored: ago(-5)}, "refuse restore_limit by automatic, again in 35d"},

		// How soon after the last.
		{"too soon", rule{mode: automatic, wait: 30}, lost{restored: ago(10)}, "refuse restore_limit by wait, -1 left, again in 20d"},
		{"soon enough", rule{mode: automatic, wait: 30}, lost{restored: ago(30)}, "grant done by policy, -1 left"},
		{"nothing to wait for", rule{mode: automatic, wait: 30}, lost{}, "grant done by policy, -1 left"},
		{"the last one counts", rule{mode: automatic, wait: 30}, lost{restored: ago(500, 10)}, "refuse restore_limit by wait, -1 left, again in 20d"},
		{"too soon, hybrid", rule{mode: hybrid, n: 2, per: 365, wait: 30}, lost{restored: ago(10)}, "ask restore_pending by wait, 1 left, again in 20d"},
		{"one left, but too soon", rule{mode: automatic, n: 2, per: 365, wait: 30}, lost{restored: ago(10)}, "refuse restore_limit by wait, 1 left, again in 20d"},
		{"neither number nor wait", rule{mode: automatic, n: 1, per: 15, wait: 30}, lost{restored: ago(10)}, "refuse restore_limit by automatic, again in 20d"},
		{"number longer than wait", rule{mode: automatic, n: 1, per: 365, wait: 30}, lost{restored: ago(10)}, "refuse restore_limit by automatic, again in 355d"},
		{"wait longer than the period", rule{mode: automatic, n: 5, per: 10, wait: 30}, lost{restored: ago(20)}, "refuse restore_limit by wait, 5 left, again in 10d"},

		// Whole containers.
		{"same hardware", rule{same: automatic}, lost{scope: container, hardware: same}, "grant done by policy, -1 left"},
		{"new hardware", rule{same: automatic}, lost{scope: container, hardware: fresh}, "ask restore_pending by mode"},
		{"new hardware, never", rule{same: automatic, fresh: never}, lost{scope: container, hardware: fresh}, "refuse not_restorable by mode"},
		{"damaged", rule{broke: automatic}, lost{scope: container, hardware: broke}, "grant done by policy, -1 left"},
		{"damaged, never", rule{same: automatic, fresh: automatic, broke: never}, lost{scope: container, hardware: broke}, "refuse not_restorable by mode"},
		{"the license's mode is not the container's", rule{mode: automatic, same: never}, lost{scope: container, hardware: same}, "refuse not_restorable by mode"},
		{"nor the other way round", rule{mode: never, same: automatic}, lost{}, "refuse not_restorable by mode"},
		{"a container counts", rule{same: automatic, n: 1, per: 365}, lost{scope: container, hardware: same, restored: ago(100)}, "refuse restore_limit by automatic, again in 265d"},
		{"a container waits", rule{same: automatic, wait: 30}, lost{scope: container, hardware: same, restored: ago(10)}, "refuse restore_limit by wait, -1 left, again in 20d"},
		{"a container, hybrid", rule{fresh: hybrid, n: 1, per: 365}, lost{scope: container, hardware: fresh}, "grant done by policy"},
		{"a container, hybrid, second", rule{fresh: hybrid, n: 1, per: 365}, lost{scope: container, hardware: fresh, restored: ago(1)}, "ask restore_pending by automatic, again in 364d"},
		{"hardware not known: the strictest", rule{same: automatic, fresh: automatic, broke: hybrid}, lost{scope: container}, "ask restore_pending by automatic"},
		{"hardware not known: never", rule{same: automatic, fresh: manual, broke: never}, lost{scope: container}, "refuse not_restorable by mode"},
		{"hardware not known, nor a mode", rule{same: automatic, fresh: "perhaps", broke: never}, lost{scope: container}, "refuse not_restorable by mode"},
		{"hardware not known, nor the last mode", rule{same: automatic, fresh: never, broke: "perhaps"}, lost{scope: container}, "refuse not_restorable by mode"},
		{"scope not known", rule{mode: automatic, same: automatic, fresh: automatic, broke: automatic}, lost{scope: "world"}, "ask restore_pending by mode"},

		// Kinds of container.
		{"tokens never", rule{mode: automatic, kinds: kinds{license.Token: never}}, lost{kind: license.Token}, "refuse not_restorable by mode"},
		{"tokens never, not by their container either", rule{same: automatic, fresh: automatic, kinds: kinds{license.Token: never}}, lost{scope: container, hardware: fresh, kind: license.Token}, "refuse not_restorable by mode"},
		{"another kind", rule{mode: automatic, kinds: kinds{license.Token: never}}, lost{}, "grant done by policy, -1 left"},
		{"cloud automatic", rule{mode: never, kinds: kinds{license.Cloud: automatic}}, lost{kind: license.Cloud}, "grant done by policy, -1 left"},
		{"cloud hybrid counts", rule{mode: never, n: 1, per: 365, kinds: kinds{license.Cloud: hybrid}}, lost{kind: license.Cloud, restored: ago(5)}, "ask restore_pending by automatic, again in 360d"},
		{"a kind with an unknown mode", rule{mode: automatic, kinds: kinds{license.Cloud: ""}}, lost{kind: license.Cloud}, "ask restore_pending by mode"},

		// Customers.
		{"a trusted customer", rule{mode: manual, customers: customers{"Ada": automatic}}, lost{}, "grant done by policy, -1 left"},
		{"another customer", rule{mode: manual, customers: customers{"Ada": automatic}}, lost{customer: "Bob"}, "ask restore_pending by mode"},
		{"a customer who may not", rule{mode: automatic, customers: customers{"Ada": never}}, lost{}, "refuse not_restorable by mode"},
		{"customer before kind", rule{mode: manual, kinds: kinds{license.Machine: automatic}, customers: customers{"Ada": never}}, lost{}, "refuse not_restorable by mode"},
		{"customer before hardware", rule{same: never, customers: customers{"Ada": automatic}}, lost{scope: container, hardware: same}, "grant done by policy, -1 left"},
		{"a trusted customer counts", rule{mode: manual, n: 1, per: 365, customers: customers{"Ada": automatic}}, lost{restored: ago(5)}, "refuse restore_limit by automatic, again in 360d"},

		// Value.
		{"cheap enough", rule{mode: automatic, limit: 100}, lost{value: 100}, "grant done by policy, -1 left"},
		{"too dear", rule{mode: automatic, limit: 100}, lost{value: 101}, "ask restore_pending by value_limit, -1 left"},
		{"value not known", rule{mode: automatic, limit: 100}, lost{}, "ask restore_pending by value_limit, -1 left"},
		{"too dear, hybrid", rule{mode: hybrid, n: 2, limit: 100}, lost{value: 500}, "ask restore_pending by value_limit, 2 left"},
		{"too dear for a trusted customer", rule{customers: customers{"Ada": automatic}, limit: 100}, lost{value: 500}, "ask restore_pending by value_limit, -1 left"},
		{"too dear, but never", rule{mode: never, limit: 100}, lost{value: 500}, "refuse not_restorable by mode"},
		{"too dear container", rule{same: automatic, limit: 100}, lost{scope: container, hardware: same, value: 500}, "ask restore_pending by value_limit, -1 left"},

		// Conditions.
		{"conditions not accepted", rule{mode: automatic, conditions: true}, lost{}, "refuse conditions_not_accepted by conditions, -1 left"},
		{"conditions accepted", rule{mode: automatic, conditions: true}, lost{accepted: true}, "grant done by policy, -1 left"},
		{"conditions before staff", rule{mode: manual, conditions: true}, lost{}, "refuse conditions_not_accepted by conditions"},
		{"conditions before a grant", rule{mode: manual, conditions: true}, lost{extra: 1}, "refuse conditions_not_accepted by conditions"},

		// Granted by staff beforehand.
		{"granted by staff", rule{mode: never}, lost{extra: 1}, "grant done by grant, uses extra"},
		{"granted, policy keeps its own", rule{mode: hybrid, n: 2, per: 365}, lost{extra: 3, restored: ago(1)}, "grant done by grant, uses extra, 1 left"},
		{"granted beyond the limit", rule{mode: automatic, n: 1, per: 365}, lost{extra: 1, restored: ago(1)}, "grant done by grant, uses extra"},
		{"granted without self-service", rule{mode: automatic, noSelf: true}, lost{extra: 1}, "grant done by grant, uses extra"},
		{"granted and too dear", rule{mode: automatic, limit: 1}, lost{extra: 1, value: 2}, "grant done by grant, uses extra, -1 left"},

		// Self-service.
		{"no self-service", rule{mode: automatic, noSelf: true}, lost{}, "refuse not_restorable by self_service"},
		{"no self-service for containers", rule{same: automatic, noSelf: true}, lost{scope: container, hardware: same}, "refuse not_restorable by self_service"},
		{"no self-service for trusted customers", rule{noSelf: true, customers: customers{"Ada": automatic}}, lost{}, "refuse not_restorable by self_service"},

		// Where the license is.
		{"sold", rule{mode: automatic, n: 1}, lost{state: license.NotCollected}, "refuse not_restorable by available, 1 left"},
		{"returned", rule{mode: automatic, n: 1}, lost{state: license.Returned}, "refuse not_restorable by available, 1 left"},
		{"returned, and granted", rule{mode: manual}, lost{state: license.Returned, extra: 1}, "refuse not_restorable by available"},
		{"issued", rule{mode: automatic}, lost{state: license.Collecting}, "grant done by policy, -1 left"},
		{"return issued", rule{mode: automatic}, lost{state: license.Returning}, "grant done by policy, -1 left"},
		{"gone", rule{mode: automatic, n: 1}, lost{state: license.Gone}, "refuse license_withdrawn by withdrawn, 1 left"},
		{"withdrawn", rule{mode: manual}, lost{withdrawn: true}, "refuse license_withdrawn by withdrawn"},
		{"withdrawn, and granted", rule{mode: manual}, lost{withdrawn: true, extra: 1}, "refuse license_withdrawn by withdrawn"},
		{"a state that is not known", rule{mode: manual}, lost{state: "?"}, "refuse not_restorable by available"},

		// Reported before.
		{"waiting", rule{mode: manual}, lost{waiting: true}, "refuse restore_pending by waiting"},
		{"waiting, and automatic by now", rule{mode: automatic}, lost{waiting: true}, "refuse restore_pending by waiting, -1 left"},
		{"waiting, and granted", rule{mode: manual}, lost{waiting: true, extra: 1}, "refuse restore_pending by waiting"},
		{"waiting before conditions", rule{mode: manual, conditions: true}, lost{waiting: true}, "refuse restore_pending by waiting"},
		{"waiting, but returned", rule{mode: manual}, lost{waiting: true, state: license.Returned}, "refuse not_restorable by available"},
	}
	if len(tests) < 60 {
		t.Errorf("only %d cases", len(tests))
	}
	names := map[string]bool{}
	for _, tt := range tests {
		if names[tt.name] {
			t.Errorf("%s is there twice", tt.name)
		}
		names[tt.name] = true
		d := recovery.Decide(tt.lost.under(tt.rule.policy()))
		if got := short(d); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s\n%+v", tt.name, got, tt.want, d.Because)
		}
	}
}

// Defaults hold in Decide too: a policy may come from before a key existed.
func TestDefaults(t *testing.T) {
	d := recovery.Decide(lost{scope: recovery.ScopeContainer, hardware: recovery.Damaged}.under(license.Restore{
		Container: license.RestoreContainer{SameHardware: automatic, NewHardware: never},
	}))
	if short(d) != "refuse not_restorable by mode" || d.Stop != license.StopWithdraw || d.Found != license.FoundWithdrawn {
		t.Errorf("%s, %s, %s", short(d), d.Stop, d.Found)
	}
	d = recovery.Decide(lost{}.under(license.Restore{
		License: license.RestoreLicense{Mode: automatic}, Stop: license.StopBlock, Found: license.FoundRevived,
	}))
	if short(d) != "grant done by policy, -1 left" || d.Stop != license.StopBlock || d.Found != license.FoundRevived {
		t.Errorf("%s, %s, %s", short(d), d.Stop, d.Found)
	}
}

// A decision tells every rule that was looked at, in words.
func TestBecause(t *testing.T) {
	policy := rule{
		mode: never, n: 2, per: 365, wait: 30, limit: 1000, conditions: true,
		kinds:     map[license.Kind]license.RestoreMode{license.Token: never},
		customers: map[string]license.RestoreMode{"Ada": automatic},
	}.policy()
	d := recovery.Decide(lost{kind: license.Token, value: 500, accepted: true, restored: ago(10)}.under(policy))
	want := recovery.Decision{
		Verdict: recovery.Refuse,
		Code:    refusal.RestoreLimit,
		Message: "The license was not restored. Policy restored the license last on 2030-05-22 12:00 UTC, and 30d must pass between two restores. " +
			"The next restore is possible from 2030-06-21 12:00 UTC on.",
		Hint: "Ask again then, or ask the vendor, whose staff can grant another restore earlier.",
		Because: []recovery.Reason{
			{Rule: "withdrawn", Text: "The vendor has not withdrawn the license."},
			{Rule: "available", Text: "The license is not with the vendor."},
			{Rule: "waiting", Text: "No earlier report of this loss waits for a decision."},
			{Rule: "lent", Text: "No seats of the license are known to be out of its container."},
			{Rule: "conditions", Text: "The user accepted the conditions."},
			{Rule: "grant", Text: "Staff have granted no restore of this license beforehand."},
			{Rule: "self_service", Text: "Users may move licenses of this product without the old container."},
			{Rule: "kind", Text: "The policy has a rule of its own for containers of kind token: never.", Applies: true},
			{Rule: "customer", Text: "The policy has a rule of its own for this customer, which counts before every other: automatic.", Applies: true},
			{Rule: "mode", Text: "The rule for this customer is automatic: policy decides at once.", Applies: true},
			{Rule: "value_limit", Text: "The product is worth 500, and policy decides up to 1000."},
			{Rule: "automatic", Text: "Policy has used 1 of 2 restores of the license within 365d."},
			{Rule: "wait", Text: "Policy restored the license last on 2030-05-22 12:00 UTC, and 30d must pass between two restores.", Applies: true},
		},
		Left: 1, Again: ago(-20)[0], Stop: license.StopWithdraw, Found: license.FoundWithdrawn,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

// Who comes back at the minute named is not too early.
func TestAgainIsNotTooEarly(t *testing.T) {
	c := lost{}.under(rule{mode: automatic, wait: 1}.policy())
	c.Restored = []license.Time{now.Add(-time.Second)}
	if d := recovery.Decide(c); !strings.Contains(d.Message, "from 2030-06-02 12:00 UTC on") || d.Again != now.Add(24*time.Hour-time.Second) {
		t.Errorf("%s, %s", d.Message, d.Again)
	}
}

func TestRefusal(t *testing.T) {
	limit := rule{mode: automatic, n: 1, per: 365}
	r := recovery.Decide(lost{restored: ago(5)}.under(limit.policy())).Refusal()
	if r.Code != refusal.RestoreLimit || r.Message == "" || r.Hint == "" || r.Details["again"] != ago(-360)[0] {
		t.Errorf("%+v", r)
	}
	if r := recovery.Decide(lost{}.under(rule{mode: never}.policy())).Refusal(); r.Code != refusal.NotRestorable || r.Details != nil {
		t.Errorf("%+v", r)
	}
	for _, m := range []license.RestoreMode{manual, automatic} {
		if r := recovery.Decide(lost{}.under(rule{mode: m}.policy())).Refusal(); r != nil {
			t.Errorf("%s: %+v", m, r)
		}
	}
}

// order is the order of the rules.
var order = []recovery.Rule{
	recovery.RuleWithdrawn, recovery.RuleAvailable, recovery.RuleWaiting, recovery.RuleLent, recovery.RuleConditions, recovery.RuleGrant,
	recovery.RuleSelfService, recovery.RuleKind, recovery.RuleCustomer, recovery.RuleMode, recovery.RuleValue,
	recovery.RuleCount, recovery.RuleWait, recovery.RulePolicy,
}

// The page tells the rules in the order in which they are looked at.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/restore.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## How a report is decided")
	var told []recovery.Rule
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(table, -1) {
		told = append(told, recovery.Rule(m[1]))
	}
	if diff := cmp.Diff(order, told); diff != "" {
		t.Error(diff)
	}
}

// Seats that are out are told of, with the end of the last of them (Sc30), and
// decide nothing.
func TestLent(t *testing.T) {
	for _, tt := range []struct {
		lent    container.Lent
		text    string
		applies bool
	}{
		{container.Lent{}, "No seats of the license are known to be out of its container.", false},
		{container.Lent{Seats: 2, Until: now + 1}, "Seats of the license are out of its container: 2, the last of them until 2030-06-01 12:00 UTC. They last until then, also if it is restored.", true},
		{container.Lent{Seats: 2, Until: now}, "No seats of the license are known to be out of its container.", false},
		{container.Lent{Seats: 2}, "Seats of the license are out of its container: 2, one of them at least for good. They stay, also if it is restored.", true},
	} {
		c := lost{}.under(rule{mode: automatic}.policy())
		c.Lent = tt.lent
		d := recovery.Decide(c)
		want := recovery.Reason{Rule: recovery.RuleLent, Text: tt.text, Applies: tt.applies}
		if d.Verdict != recovery.Grant || !slices.Contains(d.Because, want) {
			t.Errorf("%+v: %s, %+v", tt.lent, d.Verdict, d.Because)
		}
	}
}

func anyPolicy(t *rapid.T) license.Restore {
	modes := rapid.SampledFrom(append(slices.Clone(license.RestoreModes), ""))
	days := rapid.Custom(func(t *rapid.T) license.Duration {
		return license.Duration(rapid.IntRange(0, 40).Draw(t, "days")) * day
	})
	return license.Restore{
		License: license.RestoreLicense{
			Mode: modes.Draw(t, "mode"), Automatic: rapid.Int64Range(0, 3).Draw(t, "automatic"), Per: days.Draw(t, "per"), Wait: days.Draw(t, "wait"),
			ValueLimit: rapid.Int64Range(0, 2).Draw(t, "value limit"),
			Customers:  rapid.MapOfN(rapid.SampledFrom([]string{"Ada", "Bob"}), modes, 0, 1).Draw(t, "customers"),
		},
		Container:   license.RestoreContainer{SameHardware: modes.Draw(t, "same"), NewHardware: modes.Draw(t, "new"), Damaged: modes.Draw(t, "damaged")},
		Kinds:       rapid.MapOfN(rapid.SampledFrom(license.Kinds), modes, 0, 2).Draw(t, "kinds"),
		SelfService: rapid.SampledFrom([]*bool{nil, new(true), new(true), new(false)}).Draw(t, "self-service"),
		Stop:        rapid.SampledFrom(license.Stops).Draw(t, "stop"),
		Found:       rapid.SampledFrom(license.Founds).Draw(t, "found"),
		Conditions:  rapid.SampledFrom([]string{"", "", "It is lost."}).Draw(t, "conditions"),
	}
}

func anyCase(t *rapid.T, policy license.Restore) recovery.Case {
	yes := rapid.Bool()
	return recovery.Case{
		Policy:    policy,
		Scope:     rapid.SampledFrom(append(slices.Clone(recovery.Scopes), "?")).Draw(t, "scope"),
		Hardware:  rapid.SampledFrom(append(slices.Clone(recovery.Hardwares), "")).Draw(t, "hardware"),
		Kind:      rapid.SampledFrom(license.Kinds).Draw(t, "kind"),
		Value:     rapid.Int64Range(0, 3).Draw(t, "value"),
		Customer:  rapid.SampledFrom([]string{"", "Ada", "Bob"}).Draw(t, "customer"),
		State:     rapid.SampledFrom(license.States).Draw(t, "state").State,
		Withdrawn: yes.Draw(t, "withdrawn") && yes.Draw(t, "really"),
		Restored:  ago(rapid.SliceOfN(rapid.IntRange(0, 80), 0, 4).Draw(t, "restored")...),
		Extra:     max(0, rapid.Int64Range(-3, 2).Draw(t, "extra")),
		Lent:      container.Lent{Seats: rapid.Int64Range(0, 2).Draw(t, "lent"), Until: ago(rapid.IntRange(-3, 3).Draw(t, "until"))[0]},
		Waiting:   yes.Draw(t, "waiting") && yes.Draw(t, "still"),
		Accepted:  yes.Draw(t, "accepted"),
		Now:       now,
	}
}

func TestAnyCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCase(t, anyPolicy(t))
		d := recovery.Decide(c)
		if again := recovery.Decide(c); !reflect.DeepEqual(d, again) {
			t.Fatalf("the same case gave\n%+v and\n%+v", d, again)
		}
		explained(t, d)
		home := c
		home.Lent = container.Lent{}
		if e := recovery.Decide(home); e.Verdict != d.Verdict || e.Message != d.Message {
			t.Errorf("seats that are out decide: %s, without them %s", d.Verdict, e.Verdict)
		}
		granted := d.Verdict == recovery.Grant
		if granted && c.Policy.Conditions != "" && !c.Accepted {
			t.Error("granted without the conditions accepted")
		}
		if d.Verdict != recovery.Refuse && (!c.State.Held() || c.Withdrawn || c.Waiting) {
			t.Errorf("%s, though it is %s, withdrawn %v, waiting %v", d.Verdict, c.State, c.Withdrawn, c.Waiting)
		}
		if d.Verdict != recovery.Refuse && c.Extra == 0 && c.Policy.SelfService != nil && !*c.Policy.SelfService {
			t.Errorf("%s without self-service and without staff", d.Verdict)
		}
		if d.UsesExtra != (granted && c.Extra > 0) {
			t.Errorf("%s uses extra: %v, of %d", d.Verdict, d.UsesExtra, c.Extra)
		}
		if limit := c.Policy.License.ValueLimit; granted && !d.UsesExtra && limit > 0 && (c.Value == 0 || c.Value > limit) {
			t.Errorf("policy granted something worth %d above %d", c.Value, limit)
		}
		if d.Stop != c.Policy.Stop || d.Found != c.Policy.Found {
			t.Errorf("stop %s, found %s", d.Stop, d.Found)
		}
		if d.Again != 0 {
			comesTrue(t, c, d.Again)
		}
	})
}

// explained holds a decision to its form: every rule in order, the last one
// decided, and sentences for people.
func explained(t *rapid.T, d recovery.Decision) {
	if len(d.Because) == 0 || len(d.Because) > len(order) || !slices.Contains(recovery.Verdicts, d.Verdict) {
		t.Fatalf("%+v", d)
	}
	for i, r := range d.Because {
		if r.Rule != order[i] || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("reason %d is %+v", i, r)
		}
	}
	if !d.Because[len(d.Because)-1].Applies {
		t.Errorf("the last rule did not decide: %+v", d.Because)
	}
	if !strings.HasSuffix(d.Message, ".") || !strings.HasSuffix(d.Hint, ".") || strings.Contains(d.Message+d.Hint, "%!") {
		t.Errorf("%q, %q", d.Message, d.Hint)
	}
	if e := refusal.Lookup(d.Code); (d.Code == refusal.Done) != (d.Verdict == recovery.Grant) || e.Meaning == "" {
		t.Errorf("%s has the code %q", d.Verdict, d.Code)
	}
	if d.Left < -1 {
		t.Errorf("%d left", d.Left)
	}
}

// comesTrue holds Again to its word: policy grants it then, and not a moment
// earlier.
func comesTrue(t *rapid.T, c recovery.Case, again license.Time) {
	if again <= c.Now {
		t.Errorf("again at %s, and it is %s", again, c.Now)
	}
	for c.Now = again - 1; c.Now <= again; c.Now++ {
		if d := recovery.Decide(c); (d.Verdict == recovery.Grant) != (c.Now == again) {
			t.Errorf("%d before the time named: %s", again-c.Now, d.Verdict)
		}
	}
}

// Within any window of the period policy never grants more than its number, nor
// two closer than the wait, whoever reports what and whatever staff grant.
func TestNeverBeyondTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := anyPolicy(t)
		var restored []license.Time
		at := now
		for range rapid.IntRange(1, 30).Draw(t, "reports") {
			at = at.Add(rapid.Custom(func(t *rapid.T) time.Duration {
				return time.Duration(rapid.IntRange(0, 20*24).Draw(t, "hours")) * time.Hour
			}).Draw(t, "later"))
			c := anyCase(t, policy)
			c.Now, c.Restored = at, restored
			before := int64(len(restored))
			d := recovery.Decide(c)
			if d.Verdict != recovery.Grant || d.UsesExtra {
				continue
			}
			restored = append(restored, at)
			l := policy.License
			count := int64(0)
			for _, r := range restored {
				if l.Per == 0 || r > at.Add(-l.Per.Go()) {
					count++
				}
			}
			if l.Automatic > 0 && (count > l.Automatic || d.Left != l.Automatic-count) || l.Automatic == 0 && d.Left != -1 {
				t.Fatalf("%d restores within %s, and %d are allowed; %d left", count, l.Per, l.Automatic, d.Left)
			}
			if before > 0 && restored[before-1].Add(l.Wait.Go()) > at {
				t.Fatalf("restored at %s and %s, and %s must pass", restored[before-1], at, l.Wait)
			}
		}
	})
}
