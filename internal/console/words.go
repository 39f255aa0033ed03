package console

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// english is the language in which the registry speaks.
const english = "en"

// said is a refusal for people: in English its own sentence, else the sentence of
// its code.
func said(ctx context.Context, ref *refusal.Refusal) string {
	if ref.Code == refusal.Conflict && ref.Details["decided_by"] != nil {
		return look.T(ctx, "console.decided.detail", "State", look.T(ctx, "console.recovery.state."+fmt.Sprint(ref.Details["state"])),
			"Who", actor(ctx, fmt.Sprint(ref.Details["decided_by"])))
	}
	return coded(ctx, ref.Code, ref.Message, ref.Details)
}

// coded is the sentence of a code in the reader's language, with the facts that
// the refusal names.
func coded(ctx context.Context, code refusal.Code, message string, details map[string]any) string {
	if look.Language(ctx) == english && code != refusal.IdempotencyReused { // which speaks of keys
		return message
	}
	key := "console.refusal." + string(code)
	text := look.T(ctx, key)
	if text == key {
		return message
	}
	var facts []string
	for _, name := range []string{"license", "licenses", "container", "missing", "scope"} {
		if v, ok := details[name]; ok {
			facts = append(facts, strings.Trim(fmt.Sprint(v), "[]"))
		}
	}
	if len(facts) > 0 {
		text += " (" + strings.Join(facts, ", ") + ")"
	}
	return text
}

// hinted is the next step. Those of the command line are no help on a page.
func hinted(ctx context.Context, ref *refusal.Refusal) string {
	hint := ref.NextStep()
	if ref.Code == refusal.IdempotencyReused {
		return look.T(ctx, "console.refusal.again")
	}
	if look.Language(ctx) != english || strings.Contains(hint, "licet") || strings.Contains(hint, "oken") {
		return look.T(ctx, "console.problem.hint")
	}
	return hint
}

func scopeName(ctx context.Context, scope any) string {
	if s, ok := scope.(string); ok && slices.Contains(registry.Scopes, s) {
		return look.T(ctx, "console.scope."+s)
	}
	return "–"
}

// actor is who did something, for people.
func actor(ctx context.Context, name string) string {
	kind, who, _ := strings.Cut(name, ":")
	switch kind {
	case "staff":
		if person, ok := strings.CutSuffix(who, "@console"); ok {
			return person
		}
		return look.T(ctx, "console.actor.token", "Name", who)
	case "container":
		return look.T(ctx, "console.actor.container", "Serial", short(who))
	case "ticket":
		return look.T(ctx, "console.actor.ticket")
	case "system":
		return look.T(ctx, "console.actor.system")
	}
	return name
}

// words that stand in the details of events, as they are and for people.
var detailWords = []string{"withdraw", "replace", "assign", "kill", "recall", "change", "unknown",
	"not_collected", "collecting", "collected", "returning", "returned", "gone", "loose", "medium", "tight", "customer", "container", "staff", "seats", "units"}

// ofSubscriptions begins the names of events about subscriptions.
const ofSubscriptions = "subscription_"

// ofJobs begins the names of events about jobs.
const ofJobs = "bulk_"

// sentence is what happened, in the reader's language.
func sentence(ctx context.Context, e wire.Event) string {
	const refused = "wishes_refused" // names codes, which are for programs
	if look.Language(ctx) == english && e.Event != refused && !strings.HasPrefix(e.Event, ofSubscriptions) && !strings.HasPrefix(e.Event, ofJobs) {
		return e.Sentence
	}
	key := "console.event." + e.Event
	text := look.T(ctx, key)
	if text == key {
		return e.Sentence
	}
	return registry.Fill(text, e.Details, func(v any) string { return word(ctx, e.Event, v) })
}

// word is one detail of an event in the reader's language.
func word(ctx context.Context, event string, v any) string {
	switch v := v.(type) {
	case string:
		if key := "console.job.kind." + v; strings.HasPrefix(event, ofJobs) && look.T(ctx, key) != key {
			return look.T(ctx, key)
		}
		if slices.Contains(detailWords, v) {
			return look.T(ctx, "console.word."+v)
		}
		if event == "container_flagged" {
			return strings.TrimSuffix(flagText(ctx, v), ".")
		}
		if at, err := time.Parse(time.RFC3339, v); err == nil && strings.HasPrefix(event, ofSubscriptions) {
			return look.Date(ctx, at)
		}
	case []any:
		var all []string
		for _, one := range v {
			if text := word(ctx, event, one); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
		return strings.Join(all, "; ")
	case map[string]any: // one refusal
		code, _ := v["code"].(string)
		key := "console.refusal." + code
		if text := look.T(ctx, key); text != key {
			return strings.TrimSuffix(text, ".")
		}
	}
	return registry.Word(v)
}

// flags find what a contradiction is, so that it can be said in another language
// (package container writes them).
var flags = map[string]*regexp.Regexp{
	"ahead": regexp.MustCompile(`^the container is at step (\d+), the record ends at (\d+)$`),
	"plan":  regexp.MustCompile(`^another plan at step (\d+)$`),
	"proof": regexp.MustCompile(`^no proof of how step (\d+) was applied$`),
	"lives": regexp.MustCompile(`^two lives at step (\d+):`),
	"old":   regexp.MustCompile(`it answers from step (\d+), step (\d+) was confirmed$`),
}

// flagText is why a container is flagged, in the reader's language.
func flagText(ctx context.Context, reason string) string {
	for name, pattern := range flags {
		if found := pattern.FindStringSubmatch(reason); found != nil {
			return look.T(ctx, "console.flag."+name, "At", found[1], "Step", found[len(found)-1])
		}
	}
	return reason
}

// drawings of events, and how they are felt.
var drawings = map[string]struct {
	icon look.Icon
	tone look.Tone
}{
	"order_created": {look.IconPlus, ""}, "order_extended": {look.IconPlus, ""}, "order_canceled": {look.IconClose, look.Danger},
	"container_registered": {look.IconBox, ""}, "container_rebound": {look.IconMachine, look.Info},
	"step_issued": {look.IconDown, look.Info}, "steps_confirmed": {look.IconCheck, look.Success}, "update_resent": {look.IconDown, ""},
	"wishes_refused": {look.IconClose, look.Warning}, "report_out_of_date": {look.IconWarning, look.Warning},
	"container_ahead": {look.IconWarning, look.Warning}, "container_flagged": {look.IconFlag, look.Warning}, "container_accepted": {look.IconCheck, look.Success},
	"license_reopened": {look.IconRecovery, look.Warning}, "withdrawal_ordered": {look.IconClock, look.Warning}, "replacement_ordered": {look.IconClock, look.Info},
	"assignment_ordered": {look.IconClock, look.Info}, "order_taken_back": {look.IconBack, ""}, "license_free": {look.IconLicense, ""},
	"update_pushed": {look.IconDownload, look.Info}, "copy_gone": {look.IconCheck, look.Success}, "copy_turned_up": {look.IconMachine, look.Warning},
	"subscription_created": {look.IconPlus, ""}, "subscription_renewed": {look.IconNext, look.Success}, "subscription_changed": {look.IconInfo, look.Info},
	"subscription_change_refused": {look.IconWarning, look.Warning}, "subscription_canceled": {look.IconClose, look.Warning}, "subscription_kept": {look.IconCheck, look.Success},
	"subscription_resumed": {look.IconRecovery, look.Success}, "subscription_in_grace": {look.IconClock, look.Warning}, "subscription_lapsed": {look.IconClose, look.Danger},
	"subscription_ended": {look.IconBlock, look.Danger},
	"container_blocked":  {look.IconBlock, look.Danger}, "container_unblocked": {look.IconCheck, look.Success},
	"recovery_requested": {look.IconRecovery, look.Warning}, "recovery_granted": {look.IconRecovery, look.Success}, "recovery_approved": {look.IconCheck, look.Success},
	"recovery_refused": {look.IconClose, look.Danger}, "recovery_question": {look.IconInfo, look.Info}, "recovery_answered": {look.IconPerson, ""},
	"restore_enabled": {look.IconPlus, look.Info}, "recovery_excess": {look.IconWarning, look.Warning},
	"units_counted": {look.IconInfo, ""}, "units_added": {look.IconPlus, look.Success}, "units_back": {look.IconLicense, look.Info}, "lost_units_counted": {look.IconWarning, look.Warning},
	"put_issued": {look.IconDown, look.Info}, "put_confirmed": {look.IconCheck, look.Success}, "change_issued": {look.IconDown, look.Info},
	"split": {look.IconLicense, look.Info}, "merged": {look.IconLicense, ""}, "drop_issued": {look.IconUp, look.Info},
	"drop_confirmed": {look.IconCheck, ""}, "taken_back": {look.IconClose, ""}, "withdrawn": {look.IconClose, look.Danger},
	"restored": {look.IconRecovery, look.Warning}, "lost": {look.IconWarning, look.Danger},
	"epoch_told": {look.IconDown, ""}, "container_settled": {look.IconCheck, ""}, "steps_brought": {look.IconUp, look.Success}, "license_brought": {look.IconLicense, look.Success},
	"seats_brought": {look.IconLicense, look.Success}, "copy_ended": {look.IconWarning, look.Warning}, "license_claimed": {look.IconLicense, ""},
	"license_released": {look.IconCheck, look.Success}, "hold_lifted": {look.IconCheck, ""}, "gap_opened": {look.IconRecovery, look.Warning},
	"gap_closed": {look.IconCheck, look.Success}, "server_outdated": {look.IconWarning, look.Danger},
	"signed_in": {look.IconPerson, ""}, "signed_out": {look.IconOut, ""}, "sign_in_refused": {look.IconWarning, look.Warning},
	"staff_added": {look.IconPerson, ""}, "staff_disabled": {look.IconBlock, look.Warning}, "staff_password_set": {look.IconKey, ""}, "staff_scopes_set": {look.IconKey, ""},
	"webhook_created": {look.IconPlus, ""}, "webhook_changed": {look.IconInfo, ""}, "webhook_paused": {look.IconClock, look.Info}, "webhook_resumed": {look.IconCheck, ""},
	"webhook_rotated": {look.IconKey, ""}, "webhook_deleted": {look.IconClose, look.Warning}, "webhook_gone": {look.IconWarning, look.Warning}, "webhook_disabled": {look.IconWarning, look.Danger},
	"webhook_replayed": {look.IconRecovery, ""}, "webhook_given_up": {look.IconClose, look.Danger}, "webhook_test": {look.IconOut, ""},
	"bulk_started": {look.IconFile, ""}, "bulk_finished": {look.IconCheck, look.Success}, "bulk_canceled": {look.IconClose, look.Warning},
	"token_created": {look.IconKey, ""}, "token_revoked": {look.IconKey, look.Warning}, "root_exported": {look.IconKey, look.Warning}, "root_removed": {look.IconKey, look.Warning},
}

// happened turns events into a timeline. What the page itself is about, or leads
// to anyway, is not linked.
func happened(ctx context.Context, events []wire.Event, self ...string) []look.Event {
	var out []look.Event
	for _, e := range events {
		d := drawings[e.Event]
		if d.icon == "" {
			d.icon = look.IconInfo
		}
		l := look.Event{At: e.Time.Go(), Icon: d.icon, Tone: d.tone, Sentence: sentence(ctx, e), Actor: actor(ctx, e.Actor), Reason: e.Reason}
		if links := subjectLinks(ctx, e, self...); len(links) > 0 {
			l.More = linkRow(links)
			if serial, ok := strings.CutPrefix(e.Actor, "container:"); ok && slices.ContainsFunc(links, func(l look.Link) bool { return l.Href == containerPath(license.Serial(serial)) }) {
				l.Actor = "" // the link names it
			}
		}
		out = append(out, l)
	}
	return out
}

// maxLinks is how many things an event leads to; an order may name thousands.
const maxLinks = 3

func subjectLinks(ctx context.Context, e wire.Event, self ...string) (links []look.Link) {
	for _, s := range e.Subjects {
		if slices.Contains(self, s.ID) || len(links) == maxLinks || s.Kind == "license" && (strings.HasPrefix(e.Event, "order_") || strings.HasPrefix(e.Event, ofSubscriptions)) {
			continue
		}
		switch s.Kind {
		case "license":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.license", "ID", s.ID), Href: licensePath(license.ID(s.ID))})
		case "container":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.container", "ID", short(s.ID)), Href: containerPath(license.Serial(s.ID))})
		case "order":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.order"), Href: orderPath(s.ID)})
		case "subscription":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.subscription"), Href: subscriptionPath(s.ID)})
		case "recovery":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.recovery", "ID", s.ID), Href: Prefix + "/recoveries/" + s.ID})
		case "bulk":
			links = append(links, look.Link{Text: look.T(ctx, "console.link.job"), Href: jobPath(s.ID)})
		case "webhook":
			if e.Event != "webhook_deleted" {
				links = append(links, look.Link{Text: look.T(ctx, "console.link.webhook"), Href: webhookPath(s.ID)})
			}
		}
	}
	return links
}

// short is the beginning of a serial: enough to tell a few apart.
func short(serial string) string {
	if len(serial) <= 12 {
		return serial
	}
	return serial[:12] + "…"
}

// amounts find what a reason of the policy counts, so that it can be said in
// another language (package recovery writes them).
var amounts = map[recovery.Rule][]*regexp.Regexp{
	recovery.RuleLent:     {regexp.MustCompile(`container: (?P<Seats>\d+), the last of them until (?P<Date>.+? UTC)\.`), regexp.MustCompile(`container: (?P<Seats>\d+), one of them`)},
	recovery.RuleGrant:    {regexp.MustCompile(`: (?P<Count>\d+) unused`)},
	recovery.RuleKind:     {regexp.MustCompile(`kind (?P<Kind>\w*): (?P<Mode>\w+)\.`)},
	recovery.RuleCustomer: {regexp.MustCompile(`every other: (?P<Mode>\w+)\.`)},
	recovery.RuleMode:     {regexp.MustCompile(`^The rule for (?P<Whose>.+?) is (?P<Mode>\w+):`)},
	recovery.RuleValue:    {regexp.MustCompile(`worth (?P<Value>\d+), and policy decides up to (?P<Limit>\d+)`), regexp.MustCompile(`not known .* up to (?P<Limit>\d+)`)},
	recovery.RuleCount:    {regexp.MustCompile(`used (?P<Used>\d+) of (?P<Count>\d+) restores of the license within (?P<Per>[^.]+)\.`), regexp.MustCompile(`used (?P<Used>\d+) of (?P<Count>\d+) restores of the license in`)},
	recovery.RuleWait:     {regexp.MustCompile(`last on (?P<Date>.+? UTC), and (?P<Wait>\S+) must`)},
}

var whoseWords = []string{"single licenses", "losses of an unknown scope", "containers on the same hardware", "containers on new hardware", "damaged containers",
	"containers whose hardware is not known", "this customer"}

// because is a reason of the policy in the reader's language. English is how it is
// kept; what cannot be read stays English.
func because(ctx context.Context, r recovery.Reason) string {
	if look.Language(ctx) == english {
		return r.Text
	}
	key := fmt.Sprintf("console.because.%s.%t", r.Rule, r.Applies)
	if r.Rule == recovery.RuleConditions && !r.Applies && strings.Contains(r.Text, "no conditions") {
		key += ".none"
	}
	var pairs []any
	for n, pattern := range amounts[r.Rule] {
		found := pattern.FindStringSubmatch(r.Text)
		if found == nil {
			continue
		}
		key = fmt.Sprintf("console.because.%s.%d", r.Rule, n)
		for i, name := range pattern.SubexpNames() {
			if name != "" {
				pairs = append(pairs, name, amount(ctx, name, found[i]))
			}
		}
		break
	}
	text := look.T(ctx, key, pairs...)
	if text == key {
		return r.Text
	}
	return text
}

func amount(ctx context.Context, name, value string) string {
	switch name {
	case "Mode":
		if slices.Contains(license.RestoreModes, license.RestoreMode(value)) {
			return look.T(ctx, "console.mode."+value)
		}
	case "Kind":
		return kindName(ctx, license.Kind(value))
	case "Whose":
		if kind, ok := strings.CutPrefix(value, "containers of kind "); ok {
			return look.T(ctx, "console.whose.kind", "Kind", kindName(ctx, license.Kind(kind)))
		}
		if slices.Contains(whoseWords, value) {
			return look.T(ctx, "console.whose."+strings.ReplaceAll(value, " ", "_"))
		}
	}
	return value
}

func kindName(ctx context.Context, k license.Kind) string {
	if slices.Contains(license.Kinds, k) {
		return look.T(ctx, "console.kind."+string(k))
	}
	return string(k)
}

// stateOf is the badge of a license: what is ordered for it says more than where
// it stands.
func stateOf(l wire.License) look.State { return look.State(l.State) }

// statusOf is the badge of a container.
func statusOf(ctx context.Context, c wire.Container) look.Badge {
	switch c.Status {
	case "flagged":
		return look.Badge{State: look.Flagged}
	case "blocked":
		return look.Badge{State: look.Blocked}
	}
	return look.Badge{State: look.Collected, Text: look.T(ctx, "console.container.ok")}
}

// recoveryBadge is the badge of a recovery.
func recoveryBadge(ctx context.Context, state string) look.Badge {
	shapes := map[string]look.State{"waiting": look.Waiting, "asked": look.Collecting, "granted": look.Collected, "approved": look.Collected, "refused": look.Gone, "withdrawn": look.Gone}
	return look.Badge{State: shapes[state], Text: look.T(ctx, "console.recovery.state."+state)}
}

// lostWhat says what a report calls lost.
func lostWhat(ctx context.Context, rec wire.Recovery) string {
	if rec.Scope == string(recovery.ScopeContainer) && rec.Hardware != "" {
		return look.T(ctx, "console.recovery.lost.container."+rec.Hardware)
	}
	return look.T(ctx, "console.recovery.lost."+rec.Scope)
}

// ordered says what the vendor has pending.
func ordered(ctx context.Context, e wire.Earmark, id license.ID) string {
	kind := e.Kind
	if e.With == id && id != "" {
		kind = "with"
	}
	when := "next"
	if e.Step != 0 {
		when = "issued"
	}
	return look.T(ctx, "console.pending."+kind, "License", string(e.License), "With", string(e.With), "Product", e.Product) + " " +
		look.T(ctx, "console.pending.when."+when, "Container", short(string(e.Container)), "Step", e.Step)
}

// termsOf are the terms of a license as facts; what is not limited is left out.
func termsOf(ctx context.Context, l wire.License) (facts []look.Fact) {
	t := l.Terms
	add := func(key, text string) {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.terms."+key), Text: text})
	}
	day := func(key string, at license.Time) {
		if at != 0 {
			add(key, look.Exact(ctx, at.Go()))
		}
	}
	long := func(key string, d license.Duration) {
		if d != 0 {
			add(key, d.String())
		}
	}
	word := func(key, value string) {
		if value != "" {
			add(key, look.T(ctx, "console.terms."+key+"."+value))
		}
	}
	if t.ExpiresAt == 0 && t.ExpiresIn == 0 {
		add("expires_at", look.T(ctx, "console.terms.never"))
	}
	day("valid_from", t.ValidFrom)
	day("expires_at", t.ExpiresAt)
	long("expires_in", t.ExpiresIn)
	day("maintenance_until", t.MaintenanceUntil)
	long("maintenance", t.Maintenance)
	if t.MinVersion != "" {
		add("min_version", t.MinVersion)
	}
	if t.Seats > 0 {
		add("seats", look.Number(ctx, t.Seats))
	}
	if l.Units != nil {
		add("units", look.T(ctx, "console.terms.units.left", "Left", look.Number(ctx, l.Units.Left), "Total", look.Number(ctx, l.Units.Total)))
	}
	long("check_in", t.CheckIn)
	long("grace", t.Grace)
	if t.Borrow.Max != 0 {
		add("borrow", t.Borrow.Max.String())
		add("borrow_seats", look.Number(ctx, t.Borrow.Seats))
		out := t.Borrow.Out
		if out == "" {
			out = license.OutWait
		}
		word("borrow_out", string(out))
		if kinds := t.Borrow.Containers.List(); len(kinds) > 0 {
			names := make([]string, len(kinds))
			for i, k := range kinds {
				names[i] = look.T(ctx, "console.kind."+string(k))
			}
			add("borrow_into", strings.Join(names, ", "))
		}
	}
	word("counting", string(t.Counting))
	long("linger", t.Linger)
	if moves := t.Transfer.List(); len(moves) > 0 {
		names := make([]string, len(moves))
		for i, m := range moves {
			names[i] = look.T(ctx, "console.terms.transfer."+string(m))
		}
		add("transfer", strings.Join(names, ", "))
	}
	if len(l.Features) > 0 {
		add("features", strings.Join(l.Features, ", "))
	}
	if t.CustomerText != "" {
		add("customer_text", t.CustomerText)
	}
	if t.VendorData != "" {
		add("vendor_data", t.VendorData)
	}
	return facts
}

// eventNames lists the events that the trail can be filtered by.
func eventNames() []string {
	var names []string
	for name := range registry.Sentences() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func licensePath(id license.ID) string      { return Prefix + "/licenses/" + string(id) }
func containerPath(s license.Serial) string { return Prefix + "/containers/" + string(s) }
func orderPath(id string) string            { return Prefix + "/orders/" + id }
func recoveryPath(n uint64) string          { return fmt.Sprintf("%s/recoveries/%d", Prefix, n) }
