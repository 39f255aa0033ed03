package portal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"licet/internal/look"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

// said is what happened and what to do next, in the reader's language.
type said struct{ Text, Next string }

// sayRefusal says a refusal by its code. The English message of one that has no
// text is the last resort; a test lists the codes that have one.
func sayRefusal(ctx context.Context, no *refusal.Refusal) said {
	return sayCode(ctx, no.Code, no.Error(), no.NextStep(), no.Details, "")
}

// sayCode says a code. What it names comes from the details, and from what the
// page knows: the product's name.
func sayCode(ctx context.Context, code refusal.Code, message, hint string, details map[string]any, product string) said {
	key := "portal.code." + string(code)
	pairs := []any{
		"Product", either(product, detail(details, "product"), look.T(ctx, "portal.the_license")),
		"Container", either(detail(details, "container"), look.T(ctx, "portal.another_container")),
		"Missing", either(detail(details, "missing"), look.T(ctx, "portal.another_license")),
		"Allowed", kinds(ctx, detail(details, "allowed")),
		"Limit", size(details["limit"]),
		"There", number(ctx, cmp.Or(details["free"], details["there"])),
		"Seats", number(ctx, details["seats"]),
		"Units", number(ctx, details["units"]),
	}
	text := look.T(ctx, key, pairs...)
	if text == key {
		return said{message, hint}
	}
	next := look.T(ctx, key+".next", pairs...)
	if next == key+".next" {
		next = ""
	}
	return said{text, next}
}

// number is a count of a refusal; 0 where there is none.
func number(ctx context.Context, n any) string {
	var count int64
	_, _ = fmt.Sscan(fmt.Sprint(n), &count) // what is no number is none
	return look.Number(ctx, count)
}

// size is a limit in kilobytes or megabytes.
func size(limit any) string {
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(limit), &n); err != nil || n == 0 {
		return "1 MB"
	}
	if n < 1<<20 {
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func either(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// detail is a fact of a refusal as a text; of several, a list.
func detail(details map[string]any, key string) string {
	switch v := details[key].(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, ", ")
	case []any:
		var all []string
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
		return strings.Join(all, ", ")
	}
	return ""
}

func kindName(ctx context.Context, k license.Kind) string {
	if !slices.Contains(license.Kinds, k) {
		return string(k)
	}
	return look.T(ctx, "portal.kind."+string(k))
}

// kinds are names of kinds of container, from a list of their codes.
func kinds(ctx context.Context, codes string) string {
	var all []string
	for code := range strings.SplitSeq(codes, ",") {
		if code = strings.TrimSpace(code); code != "" {
			all = append(all, kindName(ctx, license.Kind(code)))
		}
	}
	return strings.Join(all, ", ")
}

// at is a time as pages take it.
func at(t license.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return t.Go()
}

// says is the state of a license in a sentence.
func says(ctx context.Context, l wire.PageLicense) string {
	switch {
	case l.Leaving:
		return look.T(ctx, "portal.says.leaving")
	case l.KeptFor != "":
		return look.T(ctx, "portal.says.kept", "Container", short(l.KeptFor))
	}
	return look.T(ctx, "portal.says."+string(l.State))
}

// short is the beginning of a serial: enough to tell the machines of one
// customer apart in a sentence.
func short(s license.Serial) string {
	if len(s) <= 8 {
		return string(s)
	}
	return string(s[:8]) + "…"
}

// facts are the terms of a license, short.
func facts(ctx context.Context, page wire.TicketPage, l wire.PageLicense) (all []look.Fact) {
	add := func(key, text string) {
		all = append(all, look.Fact{Term: look.T(ctx, "portal.fact."+key), Text: text})
	}
	t := l.Terms
	switch {
	case l.Subscription != nil:
		add("valid", lasts(ctx, *l.Subscription))
	case t.ExpiresAt != 0 && t.ExpiresAt.Go().Before(look.Now(ctx)):
		add("valid", look.T(ctx, "portal.valid.ended", "Date", look.Date(ctx, t.ExpiresAt.Go())))
	case t.ExpiresAt != 0:
		add("valid", look.T(ctx, "portal.valid.until", "Date", look.Date(ctx, t.ExpiresAt.Go())))
	case t.ExpiresIn != 0:
		add("valid", look.N(ctx, "portal.valid.days", days(t.ExpiresIn)))
	default:
		add("valid", look.T(ctx, "portal.valid.always"))
	}
	if t.ValidFrom != 0 && t.ValidFrom.Go().After(look.Now(ctx)) {
		add("from", look.Date(ctx, t.ValidFrom.Go()))
	}
	switch {
	case t.MaintenanceUntil != 0:
		add("maintenance", look.T(ctx, "portal.valid.until", "Date", look.Date(ctx, t.MaintenanceUntil.Go())))
	case t.Maintenance != 0:
		add("maintenance", look.N(ctx, "portal.valid.days", days(t.Maintenance)))
	}
	if all := whole(page, l); l.Units == nil && all > t.Seats {
		add("seats", look.T(ctx, "portal.seats.part", "Seats", look.Number(ctx, t.Seats), "All", look.Number(ctx, all)))
	} else if t.Seats > 1 {
		add("seats", look.Number(ctx, t.Seats))
	}
	if l.Units != nil {
		add("units", look.T(ctx, "portal.units.left", "Left", look.Number(ctx, l.Units.Left), "Total", look.Number(ctx, l.Units.Total)))
	}
	if len(l.Features) > 0 {
		add("features", strings.Join(l.Features, ", "))
	}
	if len(l.Requires) > 0 && l.Container == "" {
		add("requires", productNames(page, l.Requires))
	}
	return all
}

// lasts says until when a subscription goes on, and what then.
func lasts(ctx context.Context, s wire.PageSubscription) string {
	key := string(s.State)
	if s.State == subscription.Active && s.Renews {
		key = "renews"
	}
	return look.T(ctx, "portal.subscription."+key, "Ends", look.Date(ctx, s.Ends.Go()), "Usable", look.Date(ctx, s.Usable.Go()))
}

// whereabouts are where a license is, and what can be done if that is lost.
func whereabouts(ctx context.Context, l wire.PageLicense) (all []look.Fact) {
	if l.Container != "" {
		all = append(all,
			look.Fact{Term: look.T(ctx, "portal.fact.place", "Kind", kindName(ctx, l.Kind)), Value: look.Code{Text: string(l.Container)}},
			look.Fact{Term: look.T(ctx, "portal.fact.seen"), Value: look.Time{At: at(l.LastSeen)}})
	}
	if l.Restore != nil && !l.Leaving {
		all = append(all, look.Fact{Term: look.T(ctx, "portal.fact.lost"), Text: ifLost(ctx, l)})
	}
	return all
}

// productNames are the names of products where the tickets tell them, else their
// codes.
func productNames(page wire.TicketPage, codes []string) string {
	var all []string
	for _, code := range codes {
		name := code
		for _, l := range page.Licenses {
			if l.Product == code {
				name = l.Name
			}
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// days is a duration in days, rounded up.
func days(d license.Duration) int {
	return int((time.Duration(d.Go()) + 24*time.Hour - 1) / (24 * time.Hour))
}

// ifLost says what can be done if a license is lost.
func ifLost(ctx context.Context, l wire.PageLicense) string {
	best, ok := offered(l)
	if !ok {
		text := sayRule(ctx, *l.Restore)
		if l.Restore.Again != 0 {
			when := l.Restore.Again.Go()
			text += " " + look.T(ctx, "portal.lost.again", "Date", look.Date(ctx, when), "Relative", look.Relative(ctx, when))
		}
		return text
	}
	return look.T(ctx, "portal.lost."+best)
}

// sayRule says why a license is not restored, by the rule that decided.
func sayRule(ctx context.Context, d wire.PageRestore) string {
	key := "portal.rule." + string(d.Rule)
	if text := look.T(ctx, key); text != key {
		return text
	}
	return d.Message
}

// offered is the best that a report of its loss could come to, "" and false where
// every way is refused.
func offered(l wire.PageLicense) (verdict string, ok bool) {
	if l.Restore == nil {
		return "", false
	}
	all := []string{l.Restore.Verdict}
	for _, hw := range recovery.Hardwares {
		all = append(all, l.Whole[hw].Verdict)
	}
	for _, v := range []recovery.Verdict{recovery.Grant, recovery.Ask} {
		if slices.Contains(all, string(v)) {
			return string(v), true
		}
	}
	return "", false
}

// outcome is what became of one wish.
type outcome struct {
	Product, Number string
	Done            bool
	Text, Next      string
}

// outcomes says what became of the wishes of a request.
func outcomes(ctx context.Context, got wire.Carried, page wire.TicketPage) (all []outcome) {
	for _, o := range got.Outcomes {
		what, named, _ := strings.Cut(o.Wish, " ")
		id := license.ID(detail(o.Details, "license"))
		if id == "" && (what == "activate" || what == "return") {
			id = license.ID(named)
		}
		x := outcome{Product: nameOf(id, got, page), Number: string(id), Done: !o.Refused()}
		if what == "ticket" && id == "" {
			// The file names the ticket; whoever has the file has it. Its first group
			// tells it from others.
			first, _, _ := strings.Cut(named, "-")
			x.Product = look.T(ctx, "portal.outcome.ticket", "Text", first+"-…")
		}
		switch {
		case what == "update":
			if !o.Refused() {
				continue // what the vendor has pending is not named by the user
			}
			x.Product = look.T(ctx, "portal.outcome.update")
			fallthrough
		case o.Refused():
			s := sayCode(ctx, o.Code, o.Message, o.Hint, o.Details, nameOf(id, got, page))
			x.Text, x.Next = s.Text, s.Next
		case o.Code == refusal.AlreadyApplied:
			x.Text = look.T(ctx, "portal.outcome.already")
		case what == "return" && detail(o.Details, "part") != "":
			x.Text = look.T(ctx, "portal.outcome.return.some", "Seats", number(ctx, o.Details["seats"]))
		case what == "return" && o.Details["units"] != nil:
			x.Text = look.T(ctx, "portal.outcome.return.units", "Units", number(ctx, o.Details["units"]))
		case what == "return":
			x.Text = look.T(ctx, "portal.outcome.return")
		case o.Details["units"] != nil:
			x.Text = look.T(ctx, "portal.outcome.activate.units", "Units", number(ctx, o.Details["units"]))
		case detail(o.Details, "part") != "":
			x.Text = look.T(ctx, "portal.outcome.activate.some", "Seats", number(ctx, o.Details["seats"]))
		default:
			x.Text = look.T(ctx, "portal.outcome.activate")
		}
		all = append(all, x)
	}
	return all
}

func nameOf(id license.ID, got wire.Carried, page wire.TicketPage) string {
	if name := got.Names[id]; name != "" {
		return name
	}
	for _, l := range page.Licenses {
		if l.ID == id {
			return l.Name
		}
	}
	return string(id)
}

// needed are the products that licenses need and that are not among them.
func needed(all []wire.PageLicense, page wire.TicketPage) (missing []need) {
	for _, l := range all {
		for _, code := range l.Requires {
			here := func(x wire.PageLicense) bool { return x.Product == code }
			if slices.ContainsFunc(all, here) || slices.ContainsFunc(missing, func(n need) bool { return n.Code == code }) {
				continue
			}
			n := need{For: l.Name, Code: code, Name: code}
			for _, x := range page.Licenses {
				if x.Product != code {
					continue
				}
				n.Name = x.Name
				if x.Activate {
					n.License = x.ID
					break
				}
				if x.Container != "" {
					n.In = x.Container
				}
			}
			missing = append(missing, n)
		}
	}
	return missing
}

// need is a product that must be in the same container.
type need struct {
	For, Code, Name string
	License         license.ID     // of these tickets, and free: can be chosen too
	In              license.Serial // holds one of these tickets
	Leaves          bool           // the one that is needed would leave, and License with it
}

// leaving are the licenses of the page that need what is returned and would stay
// behind in the same container.
func leaving(all []wire.PageLicense, page wire.TicketPage) (left []need) {
	for _, l := range all {
		stays := func(x wire.PageLicense) bool {
			return x.Container == l.Container && !slices.ContainsFunc(all, func(r wire.PageLicense) bool { return r.ID == x.ID })
		}
		if slices.ContainsFunc(page.Licenses, func(x wire.PageLicense) bool { return stays(x) && x.Product == l.Product }) {
			continue // another one of the same product is enough
		}
		for _, x := range page.Licenses {
			if stays(x) && x.Return && slices.Contains(x.Requires, l.Product) && !slices.ContainsFunc(left, func(n need) bool { return n.License == x.ID }) {
				left = append(left, need{For: x.Name, Code: l.Product, Name: l.Name, License: x.ID, Leaves: true})
			}
		}
	}
	return left
}
