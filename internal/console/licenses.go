package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func (c *console) licenses(w http.ResponseWriter, r *http.Request, m member) error {
	list, err := c.registry.Licenses(r.Context(), m.Actor, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, licensesPage(m, list.Items, pagerOf(r, list.Next)))
}

// licenseView is one license with its whole life.
type licenseView struct {
	wire.License
	pending  []wire.Earmark
	life     look.Life
	timeline []wire.Event
	pager    pager
}

func (v licenseView) held() bool      { return v.State.Held() }
func (v licenseView) leaving() bool   { return v.Withdrawn && v.held() }
func (v licenseView) gone() bool      { return v.State == license.Gone || v.Withdrawn }
func (v licenseView) available() bool { return v.State.Available() && !v.Withdrawn && v.HeldBack == "" }

// takenBack reports whether an order is of a kind that can be taken back.
func takenBack(e wire.Earmark) bool { return e.Kind != "kill" && e.Kind != "change" }

// revocable reports whether something that was ordered may still be taken back.
func (v licenseView) revocable() bool {
	found := false
	for _, e := range v.pending {
		if e.License != v.ID || !takenBack(e) {
			continue
		}
		if e.Step != 0 {
			return false
		}
		found = true
	}
	return found
}

// licenseActions are what staff can do with a license, with the scope and when.
var licenseActions = []struct {
	name    string
	scope   string
	kind    look.Kind
	icon    look.Icon
	offered func(licenseView) bool
}{
	{"cancel", registry.ScopeLicenses, look.Secondary, look.IconBack, licenseView.revocable},
	{"lost", registry.ScopeLicenses, look.Secondary, look.IconWarning, licenseView.leaving},
	{"release", registry.ScopeLicenses, look.Secondary, look.IconCheck, func(v licenseView) bool { return v.HeldBack != "" }},
	{"assign", registry.ScopeLicenses, look.Secondary, look.IconBox, func(v licenseView) bool { return v.available() && v.KeptFor == "" }},
	{"replace", registry.ScopeLicenses, look.Secondary, look.IconLicense, func(v licenseView) bool { return !v.gone() }},
	{"units", registry.ScopeLicenses, look.Secondary, look.IconPlus, func(v licenseView) bool { return !v.gone() && v.Units != nil }},
	{"restores", registry.ScopeRecovery, look.Secondary, look.IconRecovery, func(v licenseView) bool { return !v.gone() }},
	{"withdraw", registry.ScopeLicenses, look.Secondary, look.IconClose, func(v licenseView) bool { return !v.gone() }},
}

func (c *console) licenseView(r *http.Request, m member) (v licenseView, err error) {
	ctx, id := r.Context(), license.ID(r.PathValue("id"))
	if v.License, err = c.registry.License(ctx, m.Actor, id); err != nil {
		return v, err
	}
	v.pending, err = c.registry.PendingFor(ctx, m.Actor, "", id)
	return v, err
}

func (c *console) license(w http.ResponseWriter, r *http.Request, m member) error {
	v, err := c.licenseView(r, m)
	if err != nil {
		return err
	}
	events, err := c.registry.Timeline(r.Context(), m.Actor, "license", string(v.ID), r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	v.timeline, v.pager = events.Items, pagerOf(r, events.Next)
	if v.life, err = c.licenseLife(r, m, v.License, v.pending); err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, licensePage(m, v))
}

// panel is a page that says what will happen before it does.
type panel struct {
	section look.Section
	trail   []look.Crumb
	title   string
	confirm look.Confirm
	first   templ.Component // asks what is needed before it can be said; nil where nothing is
	fields  templ.Component
	refused []string // why it cannot be done; the button is not there then
	wrong   []look.Wrong
}

// trailTo is the way to a panel of one thing.
func trailTo(ctx context.Context, section, text, href string) []look.Crumb {
	return []look.Crumb{{Text: look.T(ctx, "section."+section), Href: Prefix + "/" + section}, {Text: text, Href: href}}
}

// permitted refuses a form that could not be sent.
func permitted(m member, scope string) error {
	if m.Can(scope) {
		return nil
	}
	return refusal.New(refusal.Forbidden, "This needs the scope %q.", scope).With("scope", scope)
}

// preview is why a dry run gives for itself; it is kept nowhere.
const preview = "preview"

func (c *console) licenseAction(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.licensePanel(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

// licensePanel is the panel of an action, with what a dry run says.
func (c *console) licensePanel(r *http.Request, m member) (p panel, err error) {
	ctx, action := r.Context(), r.PathValue("action")
	v, err := c.licenseView(r, m)
	if err != nil {
		return p, err
	}
	p = panel{section: look.Licenses, trail: trailTo(ctx, "licenses", v.Name, licensePath(v.ID))}
	p.confirm = look.Confirm{Action: licensePath(v.ID) + "/" + action, Cancel: licensePath(v.ID), Whom: c.whom(ctx, v)}
	known := false
	for _, a := range licenseActions {
		if a.name != action {
			continue
		}
		known = true
		if err := permitted(m, a.scope); err != nil {
			return p, err
		}
	}
	if !known {
		return p, refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	p.title = look.T(ctx, "console.license."+action+".title")
	p.confirm.Title = look.T(ctx, "console.license."+action+".ask", "Product", v.Name, "Customer", v.Customer)
	p.confirm.Do = look.T(ctx, "console.license."+action+".do")
	p.fields = reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), "")
	serial := short(string(v.Container))
	switch action {
	case "withdraw":
		out, err := c.registry.Withdraw(ctx, m.Actor, []license.ID{v.ID}, preview, true)
		if p, err = refusedPanel(ctx, p, out, err); err != nil {
			return p, err
		}
		p.confirm.What = effects(ctx, "withdraw", when(out), serial)
		p.confirm.Keeps = keeps(ctx, "withdraw", "order", "history")
	case "replace":
		return c.replacePanel(r, m, v, p)
	case "assign":
		return c.assignPanel(r, m, v, p)
	case "units":
		return c.unitsPanel(r, m, v, p)
	case "cancel":
		if !v.revocable() {
			p.refused = []string{look.T(ctx, "console.license.cancel.late")}
			return p, nil
		}
		p.confirm.Safe = true
		for _, e := range v.pending {
			if e.License == v.ID && takenBack(e) {
				p.confirm.What = append(p.confirm.What, look.T(ctx, "console.license.cancel.what", "Order", ordered(ctx, e, v.ID)))
			}
		}
		p.confirm.Keeps = keeps(ctx, "cancel", "license")
	case "release":
		if v.HeldBack == "" {
			p.refused = []string{look.T(ctx, "console.license.release.not")}
			return p, nil
		}
		p.confirm.What = effects(ctx, "release", "", serial)
		p.confirm.Keeps = keeps(ctx, "release", "history")
	case "lost":
		if !v.leaving() {
			p.refused = []string{look.T(ctx, "console.license.lost.not")}
			return p, nil
		}
		p.confirm.What = effects(ctx, "lost", "", serial)
		p.confirm.Keeps = keeps(ctx, "lost", "history")
	case "restores":
		p.confirm.Safe = true
		p.confirm.What = effects(ctx, "restores", "", serial)
		p.confirm.Keeps = keeps(ctx, "restores", "now")
		p.fields = look.Group(countField(r.PostForm.Get("count")), reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), ""))
	}
	return p, nil
}

// whom says whom a step about a license concerns.
func (c *console) whom(ctx context.Context, v licenseView) []look.Fact {
	facts := []look.Fact{
		{Term: look.T(ctx, "console.fact.license"), Value: look.Code{Text: string(v.ID)}},
		{Term: look.T(ctx, "console.fact.product"), Text: v.Name + " (" + v.Product + ")"},
		{Term: look.T(ctx, "console.fact.customer"), Text: v.Customer},
		{Term: look.T(ctx, "console.fact.order"), Text: v.Number},
	}
	if v.Container != "" {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.fact.with"), Value: look.Link{Text: short(string(v.Container)), Href: containerPath(v.Container)}})
	}
	return facts
}

// when is when a previewed order will be carried out.
func when(out wire.Ordered) string {
	for _, d := range out.Done {
		return d.When
	}
	return wire.Now
}

// effects are the sentences about what will happen, as many as there are.
func effects(ctx context.Context, action, when, serial string) (texts []string) {
	base := "console.license." + action + ".what."
	if when != "" {
		base += when + "."
	}
	return numbered(ctx, base, "Container", serial)
}

// numbered are the sentences of keys that end in 1, 2, 3.
func numbered(ctx context.Context, base string, pairs ...any) (texts []string) {
	for n := 1; ; n++ {
		key := base + strconv.Itoa(n)
		text := look.T(ctx, key, pairs...)
		if text == key {
			return texts
		}
		texts = append(texts, text)
	}
}

func keeps(ctx context.Context, action string, which ...string) (texts []string) {
	for _, w := range which {
		texts = append(texts, look.T(ctx, "console.license."+action+".keeps."+w))
	}
	return texts
}

// refusedPanel takes what a dry run was refused for into the panel. Rights are no
// such reason.
func refusedPanel(ctx context.Context, p panel, out wire.Ordered, err error) (panel, error) {
	if ref, ok := refusal.As(err); ok && ref.Code != refusal.Forbidden {
		p.refused = append(p.refused, coded(ctx, ref.Code, ref.Message, ref.Details))
		return p, nil
	}
	for _, no := range out.Refused {
		p.refused = append(p.refused, coded(ctx, no.Code, no.Message, no.Details))
	}
	return p, err
}

// replacement is what a license is to be replaced by, as the command writes it.
func replacement(r *http.Request) string {
	with := strings.TrimSpace(r.FormValue("with"))
	if terms := strings.TrimSpace(r.FormValue("terms")); with != "" && terms != "" {
		with += "," + terms
	}
	return with
}

func (c *console) replacePanel(r *http.Request, m member, v licenseView, p panel) (panel, error) {
	ctx, with := r.Context(), replacement(r)
	products, err := c.registry.Products(ctx, m.Actor)
	if err != nil {
		return p, err
	}
	choices := []look.Choice{}
	for _, x := range products {
		choices = append(choices, look.Choice{Value: x.Code, Text: x.Name + " (" + x.Code + ")"})
	}
	p.first = replaceForm(p.confirm.Action, choices, r.FormValue("with"), r.FormValue("terms"), with != "")
	if with == "" {
		return p, nil
	}
	out, err := c.registry.Replace(ctx, m.Actor, v.ID, with, preview, true)
	if p, err = refusedPanel(ctx, p, out, err); err != nil || len(p.refused) > 0 {
		return p, err
	}
	p.confirm.Title = look.T(ctx, "console.license.replace.by", "Product", v.Name, "With", with)
	p.confirm.What = effects(ctx, "replace", when(out), short(string(v.Container)))
	p.confirm.Keeps = keeps(ctx, "replace", "ticket", "history")
	p.fields = look.Group(hidden("with", r.FormValue("with")), hidden("terms", r.FormValue("terms")), reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), ""))
	return p, nil
}

func (c *console) assignPanel(r *http.Request, m member, v licenseView, p panel) (panel, error) {
	ctx, serial := r.Context(), strings.TrimSpace(r.FormValue("container"))
	p.first = assignForm(p.confirm.Action, serial)
	if serial == "" {
		return p, nil
	}
	out, err := c.registry.Assign(ctx, m.Actor, v.ID, license.Serial(serial), preview, true)
	if p, err = refusedPanel(ctx, p, out, err); err != nil || len(p.refused) > 0 {
		return p, err
	}
	p.confirm.Safe = true
	p.confirm.Whom = append(p.confirm.Whom, look.Fact{Term: look.T(ctx, "console.fact.for"), Value: look.Link{Text: short(serial), Href: containerPath(license.Serial(serial))}})
	p.confirm.What = effects(ctx, "assign", "", short(serial))
	p.confirm.Keeps = keeps(ctx, "assign", "back")
	p.fields = look.Group(hidden("container", serial), reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), ""))
	return p, nil
}

func (c *console) unitsPanel(r *http.Request, m member, v licenseView, p panel) (panel, error) {
	ctx, text := r.Context(), strings.TrimSpace(r.FormValue("units"))
	p.first = unitsForm(p.confirm.Action, text)
	if text == "" {
		return p, nil
	}
	out, err := c.registry.AddUnits(ctx, m.Actor, v.ID, wholeNumber(text), preview, true)
	if p, err = refusedPanel(ctx, p, out, err); err != nil || len(p.refused) > 0 {
		return p, err
	}
	u := out.Done[0].Units
	p.confirm.Safe = true
	p.confirm.What = numbered(ctx, "console.license.units.what."+when(out)+".", "Container", short(string(v.Container)),
		"Total", look.Number(ctx, u.Total), "Left", look.Number(ctx, u.Left))
	p.confirm.Keeps = keeps(ctx, "units", "used", "history")
	p.fields = look.Group(hidden("units", text), reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), ""))
	return p, nil
}

// wholeNumber reads a number; what is none is refused as 0 is.
func wholeNumber(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n
}

func (c *console) licenseDo(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, f, id, action := r.Context(), r.PostForm, license.ID(r.PathValue("id")), r.PathValue("action")
	reason := strings.TrimSpace(f.Get("reason"))
	if reason == "" {
		p, err := c.licensePanel(r, m)
		if err != nil {
			return err
		}
		return c.withoutReason(w, r, m, p)
	}
	var out wire.Ordered
	var err error
	switch action {
	case "withdraw":
		out, err = c.registry.Withdraw(ctx, m.Actor, []license.ID{id}, reason, false)
	case "replace":
		out, err = c.registry.Replace(ctx, m.Actor, id, replacement(r), reason, false)
	case "assign":
		out, err = c.registry.Assign(ctx, m.Actor, id, license.Serial(strings.TrimSpace(f.Get("container"))), reason, false)
	case "units":
		out, err = c.registry.AddUnits(ctx, m.Actor, id, wholeNumber(f.Get("units")), reason, false)
	case "cancel":
		_, err = c.registry.CancelPending(ctx, m.Actor, id, reason)
	case "release":
		err = c.releaseOne(r, m, id, reason)
	case "lost":
		_, err = c.registry.DeclareLost(ctx, m.Actor, id, reason)
	case "restores":
		_, err = c.registry.EnableRestore(ctx, m.Actor, []license.ID{id}, wholeNumber(f.Get("count")), reason)
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err != nil {
		return err
	}
	for _, no := range out.Refused {
		ref := refusal.New(no.Code, "%s", no.Message).Hinted("%s", no.Hint)
		ref.Details = no.Details
		return ref
	}
	return c.did(w, r, licensePath(id), action)
}

// withoutReason shows a panel again because the reason is missing.
func (c *console) withoutReason(w http.ResponseWriter, r *http.Request, m member, p panel) error {
	wrong := look.T(r.Context(), "console.reason.missing")
	p.wrong = []look.Wrong{{Field: "reason", Text: wrong}}
	fields := []templ.Component{}
	for _, name := range append([]string{"with", "terms", "container", "units"}, changed...) {
		if v := r.PostForm.Get(name); v != "" {
			fields = append(fields, hidden(name, v))
		}
	}
	if r.PostForm.Has("count") {
		fields = append(fields, countField(r.PostForm.Get("count")))
	}
	p.fields = look.Group(append(fields, reasonField(look.T(r.Context(), "console.reason.hint"), "", wrong))...)
	return c.write(w, r, http.StatusUnprocessableEntity, panelPage(m, p))
}
