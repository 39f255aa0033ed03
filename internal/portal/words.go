package portal

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"licet/internal/look"
	"licet/license"
	"licet/recovery"
	"licet/wire"
)

// What templates need in words.

func home(ctx context.Context) []look.Crumb {
	return []look.Crumb{{Text: look.T(ctx, "portal.all.title"), Href: "/licenses"}}
}

func lostTrail(ctx context.Context) []look.Crumb {
	return append(home(ctx), look.Crumb{Text: look.T(ctx, "portal.lost.title"), Href: "/restore"})
}

func (e entry) trail(ctx context.Context) []look.Crumb {
	if !e.Back {
		return nil
	}
	return home(ctx)
}

func (x way) trail(ctx context.Context) []look.Crumb {
	if !x.Tickets {
		return []look.Crumb{{Text: look.T(ctx, "portal.start.window"), Href: "/"}}
	}
	return home(ctx)
}

func (s said) joined() string { return strings.TrimSpace(s.Text + " " + s.Next) }

// steps are the three of a transfer by file.
func steps(ctx context.Context) []look.Step {
	return []look.Step{
		{Title: look.T(ctx, "portal.step.1"), Text: look.T(ctx, "portal.step.1.text")},
		{Title: look.T(ctx, "portal.step.2"), Text: look.T(ctx, "portal.step.2.text")},
		{Title: look.T(ctx, "portal.step.3"), Text: look.T(ctx, "portal.step.3.text")},
	}
}

func (x way) title(ctx context.Context) string {
	return look.N(ctx, "portal.way.title."+x.What, len(x.Licenses))
}

func (x way) lead(ctx context.Context) string {
	if x.What == forReturn {
		return look.T(ctx, "portal.way.lead.return", "Container", short(x.serial()))
	}
	return look.T(ctx, "portal.way.lead.activate", "Kind", look.T(ctx, "portal.into."+string(x.Kind)))
}

func (x way) changeLink(ctx context.Context) templ.Component {
	if x.What == forReturn {
		return nil
	}
	return look.Link{Text: look.T(ctx, "portal.way.change"), Href: x.Change()}
}

func (x way) commandLabel(ctx context.Context) string {
	if x.What == forReturn {
		return look.T(ctx, "portal.machine.holder")
	}
	return look.T(ctx, "portal.machine.first")
}

func (x way) receiptCommand() string {
	if serial := x.serial(); serial != "" {
		return "licet receipt --container " + string(serial) + " -o my.licet-receipt"
	}
	return "licet receipt -o my.licet-receipt"
}

func (x way) importCommand(serial license.Serial) string {
	return "licet import " + strings.ToLower(string(serial[:min(len(serial), 8)])) + ".licet-update"
}

// seatsHint says what a number of seats or units means, and how many there are.
func (x way) seatsHint(ctx context.Context, l wire.PageLicense) string {
	if x.What == forReturn {
		return look.T(ctx, "portal."+measure(l)+".hint.return", "Most", look.Number(ctx, left(l)))
	}
	return look.T(ctx, "portal."+measure(l)+".hint.activate", "Free", look.Number(ctx, left(l)), "Most", look.Number(ctx, x.most(l)))
}

// in are the licenses of the tickets that are in a container.
func (x way) in(serial license.Serial) (all []wire.PageLicense) {
	for _, l := range x.All.Licenses {
		if l.Container == serial {
			all = append(all, l)
		}
	}
	return all
}

func (n need) title(ctx context.Context) string {
	if n.Leaves {
		return look.T(ctx, "portal.leaves.title", "Product", n.For, "Missing", n.Name)
	}
	return look.T(ctx, "portal.need.title", "Product", n.For, "Missing", n.Name)
}

func (n need) add(ctx context.Context) string {
	if n.Leaves {
		return look.T(ctx, "portal.leaves.add", "Product", n.For)
	}
	return look.T(ctx, "portal.need.add", "Missing", n.Name)
}

func (n need) text(ctx context.Context) string {
	switch {
	case n.Leaves:
		return look.T(ctx, "portal.leaves.text")
	case n.License != "":
		return look.T(ctx, "portal.need.free")
	case n.In != "":
		return look.T(ctx, "portal.need.there", "Container", short(n.In))
	}
	return look.T(ctx, "portal.need.other")
}

// picks are the licenses of the page: those that are free can be chosen.
func (c choice) picks(ctx context.Context) (all []look.Pick) {
	for _, free := range []bool{true, false} {
		for _, l := range c.Page.Licenses {
			if l.Activate != free {
				continue
			}
			p := look.Pick{Value: string(l.ID), Product: l.Name, Detail: pickDetail(ctx, c.Page, l), Number: string(l.ID), State: look.State(l.State)}
			if free {
				p.Checked = slices.Contains(c.Chosen, p.Value)
			} else {
				p.Off = says(ctx, l)
			}
			all = append(all, p)
		}
	}
	return all
}

func pickDetail(ctx context.Context, page wire.TicketPage, l wire.PageLicense) string {
	var parts []string
	if all := whole(page, l); l.Units != nil {
		parts = append(parts, look.T(ctx, "portal.pick.units", "Left", look.Number(ctx, l.Units.Left), "All", look.Number(ctx, all)))
	} else if all > 1 {
		parts = append(parts, look.T(ctx, "portal.pick.seats", "Seats", look.Number(ctx, l.Terms.Seats), "All", look.Number(ctx, all)))
	}
	if len(l.Features) > 0 {
		parts = append(parts, strings.Join(l.Features, ", "))
	}
	if len(l.Requires) > 0 {
		parts = append(parts, look.T(ctx, "portal.pick.requires", "Missing", productNames(page, l.Requires)))
	}
	return strings.Join(parts, " · ")
}

func (c choice) cards(ctx context.Context) (all []look.Card) {
	icons := map[license.Kind]look.Icon{license.Machine: look.IconMachine, license.Token: look.IconToken, license.Cloud: look.IconCloud}
	for _, k := range c.Kinds {
		var only []string // what may not go there
		for _, l := range c.Page.Licenses {
			if l.Activate && !slices.Contains(l.Kinds, k) && !slices.Contains(only, l.Name) {
				only = append(only, l.Name)
			}
		}
		text := look.T(ctx, "portal.choose.kind."+string(k))
		if len(only) > 0 {
			text += " " + look.T(ctx, "portal.choose.not", "Products", strings.Join(only, ", "))
		}
		all = append(all, look.Card{Value: string(k), Title: look.T(ctx, "portal.place."+string(k)), Text: text, Icon: icons[k]})
	}
	return all
}

// granted reports whether anything of a request was.
func granted(all []outcome) bool {
	return len(all) == 0 || slices.ContainsFunc(all, func(o outcome) bool { return o.Done })
}

func updateTitle(ctx context.Context, got wire.Carried, all []outcome) string {
	if !granted(all) {
		return look.T(ctx, "portal.update.refused.title")
	}
	return look.T(ctx, "portal.update.title")
}

func updateLead(ctx context.Context, got wire.Carried, all []outcome) string {
	if !granted(all) {
		return look.T(ctx, "portal.update.refused.lead")
	}
	return look.T(ctx, "portal.update.lead")
}

func (o outcome) icon() look.Icon {
	if o.Done {
		return look.IconCheck
	}
	return look.IconClose
}

func (o outcome) tone() string {
	if o.Done {
		return "tone-success"
	}
	return "tone-danger"
}

func (o overview) lead(ctx context.Context) string {
	text := look.N(ctx, "portal.all.free", o.Free)
	if o.Free == 0 {
		text = look.T(ctx, "portal.all.none")
	}
	if o.Held > 0 {
		text += " " + look.N(ctx, "portal.all.held", o.Held)
	}
	return text
}

func (t ofTicket) lead(ctx context.Context) string {
	date := look.Date(ctx, t.Created.Go())
	return look.T(ctx, "portal.all.customer", "Customer", t.Customer, "Date", date)
}

// named gives a button that stands on every card the name of its license, for
// those who do not see the card.
func named(ctx context.Context, key string, l wire.PageLicense) templ.Attributes {
	return templ.Attributes{"aria-label": look.T(ctx, key) + ": " + l.Name}
}

func recoveryAddress(n uint64) string { return "/recovery/" + strconv.FormatUint(n, 10) }

func (l loss) picks(ctx context.Context) (all []look.Pick) {
	for _, x := range l.held() {
		p := look.Pick{Value: string(x.ID), Product: x.Name, Number: string(x.ID), State: look.State(x.State), Checked: slices.Contains(l.Chosen, string(x.ID)),
			Detail: look.T(ctx, "portal.pick.place", "Kind", kindName(ctx, x.Kind), "Container", short(x.Container), "Relative", look.Relative(ctx, x.LastSeen.Go()))}
		if _, ok := offered(x); !ok {
			p.Off, p.Checked = ifLost(ctx, x), false
		}
		all = append(all, p)
	}
	return all
}

func (l loss) cards(ctx context.Context) (all []look.Card) {
	icons := map[string]look.Icon{gone: look.IconWarning, again: look.IconMachine, damaged: look.IconDanger, single: look.IconLicense}
	for _, s := range situations {
		c := look.Card{Value: s, Title: look.T(ctx, "portal.lost.what."+s), Text: look.T(ctx, "portal.lost.what."+s+".text"), Icon: icons[s]}
		if !l.possible(s) {
			c.Off = look.T(ctx, "portal.lost.what.off")
		}
		all = append(all, c)
	}
	return all
}

func (l loss) fileHint(ctx context.Context) string {
	if l.Report != "" {
		return look.T(ctx, "portal.lost.file.kept")
	}
	return look.T(ctx, "portal.lost.file.hint")
}

func (l loss) foreseenTitle(ctx context.Context) string {
	switch {
	case l.comes(recovery.Grant):
		return look.T(ctx, "portal.foreseen.grant")
	case l.comes(recovery.Ask):
		return look.T(ctx, "portal.foreseen.ask")
	}
	return look.T(ctx, "portal.foreseen.refuse")
}

func (l loss) foreseenLead(ctx context.Context) string {
	switch {
	case l.comes(recovery.Grant):
		return look.T(ctx, "portal.foreseen.grant.lead")
	case l.comes(recovery.Ask):
		return look.T(ctx, "portal.foreseen.ask.lead")
	}
	return look.T(ctx, "portal.foreseen.refuse.lead")
}

func conditionsTitle(ctx context.Context, n int) string {
	if n > 0 {
		return ""
	}
	return look.T(ctx, "portal.lost.conditions")
}

// confirmation stands before the report.
func (l loss) confirmation(ctx context.Context) look.Confirm {
	what, keeps := l.happens(ctx)
	whom := []look.Fact{{Term: look.T(ctx, "portal.lost.what"), Text: look.T(ctx, "portal.lost.what."+l.What)}, {Term: look.T(ctx, "portal.lost.reason"), Text: l.Reason}}
	for _, f := range []struct{ key, text string }{{"evidence", l.Evidence}, {"contact", l.Contact}} {
		if f.text != "" {
			whom = append(whom, look.Fact{Term: look.T(ctx, "portal.lost."+f.key), Text: f.text})
		}
	}
	if l.Report != "" {
		whom = append(whom, look.Fact{Term: look.T(ctx, "portal.lost.file"), Text: look.T(ctx, "portal.lost.file.here")})
	}
	do := "portal.foreseen.do"
	if l.comes(recovery.Grant) {
		do = "portal.foreseen.do.grant"
	}
	return look.Confirm{Title: look.T(ctx, "portal.foreseen.title"), Whom: whom, What: what, Keeps: keeps, Action: "/restore/confirm",
		Do: look.T(ctx, do), Cancel: "/licenses", Safe: true}
}

func (x reported) name(l wire.RecoveryLicense) string {
	for _, k := range x.Page.Licenses {
		if k.ID == l.License {
			return k.Name
		}
	}
	return l.Product
}

func (x reported) answerLabel(ctx context.Context) string {
	if x.State == "asked" {
		return look.T(ctx, "portal.answer.label")
	}
	return look.T(ctx, "portal.answer.more")
}

func (x reported) answerKind() look.Kind {
	if x.State == "asked" {
		return look.Primary
	}
	return look.Secondary
}
