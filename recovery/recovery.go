// Package recovery decides what happens to a license that is reported lost:
// whether policy restores it at once, the vendor's staff decide, or it is
// refused. Central asks here for every report, a page asks here whether to offer
// a restore at all, and staff ask here what a new policy would have decided.
//
// The package is pure: the time, and what is known of the license, are
// parameters. A decision explains itself: it lists every rule that was looked
// at, in order, and the last one decided. What cannot be told (a mode, a value,
// the hardware) never means yes.
package recovery

import (
	"licet/container"
	"licet/license"
	"licet/refusal"
)

// Scope says what is lost.
type Scope string

// The scopes.
const (
	ScopeLicense   Scope = "license"   // single licenses
	ScopeContainer Scope = "container" // a container with everything in it
)

// Scopes lists every scope.
var Scopes = []Scope{ScopeLicense, ScopeContainer}

// Hardware says what became of the machine of a lost container; "" with single
// licenses.
type Hardware string

// What can have become of the machine.
const (
	SameHardware Hardware = "same"    // it was installed anew
	NewHardware  Hardware = "new"     // another one takes its place
	Damaged      Hardware = "damaged" // the container is there, but cannot be read
)

// Hardwares lists everything that can have become of the machine.
var Hardwares = []Hardware{SameHardware, NewHardware, Damaged}

// Case is one lost license and all that counts for the decision about it. Of a
// lost container, each license is a case.
type Case struct {
	Scope     Scope
	Hardware  Hardware
	Kind      license.Kind    // of the container that it is lost with
	Policy    license.Restore // of the product
	Value     int64           // of the product; 0 means not known
	Customer  string
	State     license.State
	Withdrawn bool           // the vendor has ordered its withdrawal
	Restored  []license.Time // earlier restores of this license by policy
	Extra     int64          // restores granted by staff and not used yet
	Lent      container.Lent // seats of it that are out of its container
	Waiting   bool           // an earlier report of it waits for staff
	Accepted  bool           // the user accepted the policy's conditions
	Now       license.Time
}

// Verdict is what a decision comes to.
type Verdict string

// The verdicts.
const (
	Grant  Verdict = "grant"  // it is restored at once
	Ask    Verdict = "ask"    // staff decide
	Refuse Verdict = "refuse" // it is not restored
)

// Verdicts lists every verdict.
var Verdicts = []Verdict{Grant, Ask, Refuse}

// Rule names what is looked at.
type Rule string

// The rules, in the order in which they are looked at.
const (
	RuleWithdrawn   Rule = "withdrawn"    // the vendor took the license back
	RuleAvailable   Rule = "available"    // it is with the vendor, hence not lost
	RuleWaiting     Rule = "waiting"      // an earlier report is not decided yet
	RuleLent        Rule = "lent"         // seats of it are out; that stops nothing
	RuleConditions  Rule = "conditions"   // the user must accept them first
	RuleGrant       Rule = "grant"        // staff granted a restore beforehand
	RuleSelfService Rule = "self_service" // users may help themselves
	RuleKind        Rule = "kind"         // a mode for this kind of container
	RuleCustomer    Rule = "customer"     // a mode for this customer
	RuleMode        Rule = "mode"         // who decides
	RuleValue       Rule = "value_limit"  // what policy may give away
	RuleCount       Rule = "automatic"    // how often in the period
	RuleWait        Rule = "wait"         // how soon after the last
	RulePolicy      Rule = "policy"       // nothing spoke against it
)

// Reason is one rule that was looked at.
type Reason struct {
	Rule    Rule   `json:"rule"`
	Text    string `json:"text"` // a sentence for people
	Applies bool   `json:"applies"`
}

// Decision is the answer to a case.
type Decision struct {
	Verdict   Verdict       `json:"verdict"`
	Code      refusal.Code  `json:"code"`
	Message   string        `json:"message"` // for the user: what happened
	Hint      string        `json:"hint"`    // for the user: what to do next
	Because   []Reason      `json:"because"` // every rule looked at, in order; the last one decided
	UsesExtra bool          `json:"uses_extra"`
	Left      int64         `json:"left"`           // restores by policy left in the period after this decision; -1 means no limit
	Again     license.Time  `json:"again,omitzero"` // when policy can grant one again, if only time is missing; 0 means never or not so
	Stop      license.Stop  `json:"stop"`           // how the lost copy is stopped
	Found     license.Found `json:"found"`          // what happens to the container if it turns up
}

// Refusal is the decision as a refusal, nil if it was not refused.
func (d Decision) Refusal() *refusal.Refusal {
	if d.Verdict != Refuse {
		return nil
	}
	r := refusal.New(d.Code, "%s", d.Message).Hinted("%s", d.Hint)
	if d.Again != 0 {
		r.With("again", d.Again)
	}
	return r
}

// Decide decides a case by the rules in their order; the first that decides is
// the last that is looked at.
func Decide(c Case) Decision {
	c.Policy = c.Policy.WithDefaults()
	j := judge(c)
	for _, decides := range []func() bool{
		j.withdrawn, j.available, j.waiting, j.lent, j.conditions, j.grant, j.selfService,
		j.kind, j.customer, j.mode, j.value, j.count, j.wait,
	} {
		if decides() {
			return j.Decision
		}
	}
	j.policy()
	return j.Decision
}
