package recovery

import (
	"fmt"
	"slices"
	"time"

	"licet/license"
	"licet/refusal"
)

// judging is a case while the rules look at it.
type judging struct {
	Decision
	of      Case
	who     license.RestoreMode // who decides
	whose   string              // whose rule says so, for people
	limited bool                // whether policy may restore only so often
	within  []license.Time      // restores by policy that count now, oldest first
}

// judge prepares what the rules look at.
func judge(c Case) *judging {
	j := &judging{of: c, Decision: Decision{Because: []Reason{}, Stop: c.Policy.Stop, Found: c.Policy.Found}}
	j.who, j.whose = responsible(c)
	l := c.Policy.License
	j.limited = l.Automatic != 0 || j.who == license.RestoreHybrid
	for _, at := range c.Restored {
		if l.Per == 0 || at.Add(l.Per.Go()) > c.Now {
			j.within = append(j.within, at)
		}
	}
	slices.Sort(j.within)
	switch {
	case j.who != license.RestoreAutomatic && j.who != license.RestoreHybrid || !*c.Policy.SelfService:
	case j.limited:
		j.Left = max(0, l.Automatic-int64(len(j.within)))
	default:
		j.Left = -1
	}
	return j
}

// strictness orders the modes from the one that gives least.
var strictness = []license.RestoreMode{license.RestoreNever, license.RestoreManual, license.RestoreHybrid, license.RestoreAutomatic}

// meanings say for people who decides.
var meanings = map[license.RestoreMode]string{
	license.RestoreNever:     "what is lost is not replaced",
	license.RestoreAutomatic: "policy decides at once",
	license.RestoreManual:    "staff decide",
	license.RestoreHybrid:    "policy decides up to its limits, then staff",
}

// responsible is the mode that counts and whose rule it is: the customer's, else
// that of the kind of container, else that of scope and hardware. A mode that is
// not known leaves it to staff.
func responsible(c Case) (mode license.RestoreMode, whose string) {
	mode, whose = byScope(c)
	if m, ok := c.Policy.Kinds[c.Kind]; ok {
		mode, whose = m, "containers of kind "+string(c.Kind)
	}
	if m, ok := c.Policy.License.Customers[c.Customer]; ok {
		mode, whose = m, "this customer"
	}
	return known(mode), whose
}

// known is the mode itself, or manual for one that is not known.
func known(mode license.RestoreMode) license.RestoreMode {
	if !slices.Contains(license.RestoreModes, mode) {
		return license.RestoreManual
	}
	return mode
}

func byScope(c Case) (mode license.RestoreMode, whose string) {
	p := c.Policy.Container
	switch {
	case c.Scope == ScopeLicense:
		return c.Policy.License.Mode, "single licenses"
	case c.Scope != ScopeContainer:
		return license.RestoreManual, "losses of an unknown scope"
	case c.Hardware == SameHardware:
		return p.SameHardware, "containers on the same hardware"
	case c.Hardware == NewHardware:
		return p.NewHardware, "containers on new hardware"
	case c.Hardware == Damaged:
		return p.Damaged, "damaged containers"
	}
	strictest := slices.MinFunc([]license.RestoreMode{p.SameHardware, p.NewHardware, p.Damaged}, func(a, b license.RestoreMode) int {
		return slices.Index(strictness, known(a)) - slices.Index(strictness, known(b))
	})
	return strictest, "containers whose hardware is not known"
}

func (j *judging) withdrawn() bool {
	if !j.looked(RuleWithdrawn, j.of.Withdrawn || j.of.State == license.Gone,
		"The vendor has withdrawn the license.", "The vendor has not withdrawn the license.") {
		return false
	}
	return j.refuse(refusal.LicenseWithdrawn, "The vendor has withdrawn the license, so it is not restored.",
		"Ask the vendor.")
}

func (j *judging) available() bool {
	if !j.looked(RuleAvailable, !j.of.State.Held(),
		"The license is with the vendor, so it is not lost.", "The license is not with the vendor.") {
		return false
	}
	return j.refuse(refusal.NotRestorable, "The license is not lost: it is with the vendor and can be activated as usual. No restore was used up.",
		"Activate it with its ticket.")
}

func (j *judging) waiting() bool {
	if !j.looked(RuleWaiting, j.of.Waiting,
		"An earlier report of this loss waits for a decision.", "No earlier report of this loss waits for a decision.") {
		return false
	}
	return j.refuse(refusal.RestorePending, "The loss of the license is reported already, and the vendor's staff have yet to decide. This report changed nothing.",
		"Wait for the vendor's answer to the earlier report.")
}

// lent tells of seats that are out: they last until they end, whatever is decided,
// because nobody can take them back from where they are.
func (j *judging) lent() bool {
	l := j.of.Lent
	with := fmt.Sprintf("Seats of the license are out of its container: %d, the last of them until %s. They last until then, also if it is restored.", l.Seats, date(l.Until))
	if l.Until == 0 {
		with = fmt.Sprintf("Seats of the license are out of its container: %d, one of them at least for good. They stay, also if it is restored.", l.Seats)
	}
	j.looked(RuleLent, l.Out(j.of.Now), with, "No seats of the license are known to be out of its container.")
	return false
}

func (j *judging) conditions() bool {
	without := "The user accepted the conditions."
	if j.of.Policy.Conditions == "" {
		without = "The policy has no conditions to accept."
	}
	if !j.looked(RuleConditions, j.of.Policy.Conditions != "" && !j.of.Accepted,
		"The user has not accepted the conditions.", without) {
		return false
	}
	return j.refuse(refusal.ConditionsNotAccepted, "The license was not restored: the vendor's conditions must be accepted first.",
		"Read the conditions, accept them, and ask again.")
}

func (j *judging) grant() bool {
	if !j.looked(RuleGrant, j.of.Extra > 0,
		fmt.Sprintf("Staff have granted restores of this license beforehand: %d unused, this one included.", j.of.Extra),
		"Staff have granted no restore of this license beforehand.") {
		return false
	}
	j.UsesExtra = true
	return j.restore()
}

func (j *judging) selfService() bool {
	if !j.looked(RuleSelfService, !*j.of.Policy.SelfService,
		"Users cannot move licenses of this product without the old container; only staff can enable it.",
		"Users may move licenses of this product without the old container.") {
		return false
	}
	return j.refuse(refusal.NotRestorable, "The license was not restored: the vendor does not let users move licenses of this product without the old container.",
		"Ask the vendor, whose staff can enable it for this license, then ask again; or return the license in the old container.")
}

func (j *judging) kind() bool {
	mode, ok := j.of.Policy.Kinds[j.of.Kind]
	j.looked(RuleKind, ok,
		fmt.Sprintf("The policy has a rule of its own for containers of kind %s: %s.", j.of.Kind, known(mode)),
		"The policy has no rule of its own for this kind of container.")
	return false
}

func (j *judging) customer() bool {
	mode, ok := j.of.Policy.License.Customers[j.of.Customer]
	j.looked(RuleCustomer, ok,
		fmt.Sprintf("The policy has a rule of its own for this customer, which counts before every other: %s.", known(mode)),
		"The policy has no rule of its own for this customer.")
	return false
}

func (j *judging) mode() bool {
	j.looked(RuleMode, true, fmt.Sprintf("The rule for %s is %s: %s.", j.whose, j.who, meanings[j.who]), "")
	switch j.who {
	case license.RestoreNever:
		return j.refuse(refusal.NotRestorable, "The license was not restored: the vendor's rule for %s is that lost licenses of this product are not replaced.",
			"Return the license in the old container if it turns up, or ask the vendor, whose staff can make an exception.", j.whose)
	case license.RestoreManual:
		return j.ask("its rule for %s leaves it to them", j.whose)
	}
	return false
}

// value looks at what the product is worth: what is not known may be too much.
func (j *judging) value() bool {
	value, limit := j.of.Value, j.of.Policy.License.ValueLimit
	with := fmt.Sprintf("The product is worth %d, and policy decides up to %d.", value, limit)
	without := with
	switch {
	case limit == 0:
		without = "The policy has no limit of value."
	case value <= 0:
		with = fmt.Sprintf("It is not known what the product is worth, and policy decides up to %d.", limit)
	}
	return j.looked(RuleValue, limit != 0 && (value <= 0 || value > limit), with, without) &&
		j.ask("policy does not decide about a product of this value")
}

func (j *judging) count() bool {
	l, count := j.of.Policy.License, int64(len(j.within))
	period := "in the license's whole life"
	if l.Per != 0 {
		period = "within " + l.Per.String()
	}
	had := fmt.Sprintf("Policy has used %d of %d restores of the license %s.", count, l.Automatic, period)
	without := had
	if !j.limited {
		without = "The policy has no limit of number."
	}
	if !j.looked(RuleCount, j.limited && count >= l.Automatic, had, without) {
		return false
	}
	j.Again = j.next()
	return j.exhausted(had)
}

func (j *judging) wait() bool {
	wait := j.of.Policy.License.Wait
	if wait == 0 || len(j.of.Restored) == 0 {
		return j.looked(RuleWait, false, "", "There is nothing to wait for since an earlier restore.")
	}
	last := slices.Max(j.of.Restored)
	since := fmt.Sprintf("Policy restored the license last on %s, and %s must pass between two restores.", date(last), wait)
	if !j.looked(RuleWait, last.Add(wait.Go()) > j.of.Now, since, since) {
		return false
	}
	j.Again = j.next()
	return j.exhausted(since)
}

// policy restores what nothing speaks against.
func (j *judging) policy() {
	j.looked(RulePolicy, true, "Nothing speaks against it, so policy restores the license.", "")
	if j.limited {
		j.Left--
	}
	j.restore()
}

// next is when neither number nor waiting time will stand in the way; 0 if that
// never comes.
func (j *judging) next() license.Time {
	l := j.of.Policy.License
	again := j.of.Now
	if over := int64(len(j.within)) - l.Automatic; j.limited && over >= 0 {
		if l.Per == 0 || l.Automatic <= 0 {
			return 0
		}
		again = j.within[over].Add(l.Per.Go())
	}
	if len(j.of.Restored) > 0 {
		again = max(again, slices.Max(j.of.Restored).Add(l.Wait.Go()))
	}
	return again
}

// exhausted is what happens where policy has reached a limit.
func (j *judging) exhausted(why string) bool {
	if j.who == license.RestoreHybrid {
		return j.ask("policy has reached its limit")
	}
	if j.Again == 0 {
		return j.refuse(refusal.RestoreLimit, "The license was not restored. %s",
			"Ask the vendor, whose staff can grant another restore.", why)
	}
	return j.refuse(refusal.RestoreLimit, "The license was not restored. %s The next restore is possible from %s on.",
		"Ask again then, or ask the vendor, whose staff can grant another restore earlier.", why, from(j.Again))
}

// looked records that a rule was looked at, and answers whether it applies.
func (j *judging) looked(rule Rule, applies bool, with, without string) bool {
	text := without
	if applies {
		text = with
	}
	j.Because = append(j.Because, Reason{rule, text, applies})
	return applies
}

func (j *judging) refuse(code refusal.Code, message, hint string, args ...any) bool {
	j.Verdict, j.Code, j.Message, j.Hint = Refuse, code, fmt.Sprintf(message, args...), hint
	return true
}

func (j *judging) ask(why string, args ...any) bool {
	j.Verdict, j.Code = Ask, refusal.RestorePending
	j.Message = "The vendor's staff will decide: " + fmt.Sprintf(why, args...) + ". Until then nothing changes."
	j.Hint = "Wait for the vendor's answer; there is no need to report the loss again."
	return true
}

func (j *judging) restore() bool {
	j.Verdict, j.Code = Grant, refusal.Done
	j.Message = "The license is restored; the lost copy may no longer be used."
	j.Hint = "Activate it with its ticket."
	return true
}

// date writes a moment for people, in UTC.
func date(t license.Time) string { return t.Go().Format("2006-01-02 15:04 UTC") }

// from is the first whole minute that is not before the moment: who comes
// back then is not too early.
func from(t license.Time) string { return date(t.Add(time.Minute - time.Microsecond)) }
