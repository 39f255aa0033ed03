package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

func (c *console) subscriptions(w http.ResponseWriter, r *http.Request, m member) error {
	state := subscription.State(r.URL.Query().Get("state"))
	list, err := c.registry.Subscriptions(r.Context(), m.Actor, state, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, subscriptionsPage(m, list.Items, state, pagerOf(r, list.Next)))
}

// subscriptionView is one subscription with its life.
type subscriptionView struct {
	wire.Subscription
	life     look.Life
	timeline []wire.Event
	older    pager
}

func (c *console) subscription(w http.ResponseWriter, r *http.Request, m member) error {
	ctx := r.Context()
	s, err := c.registry.Subscription(ctx, m.Actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	v := subscriptionView{Subscription: s}
	events, err := c.registry.Timeline(ctx, m.Actor, "subscription", s.ID, r.URL.Query().Get("before"), pageSize)
	if err != nil {
		return err
	}
	v.timeline, v.older = events.Items, pagerBy(r, "before", events.Next, "#timeline")
	all, cut, err := c.events(r, m, "subscription", s.ID)
	if err != nil {
		return err
	}
	v.life = subscriptionLife(ctx, s, all, cut)
	return c.write(w, r, http.StatusOK, subscriptionPage(m, v))
}

// ofSubscription are the moments that are drawn on its line.
var ofSubscription = map[string]bool{"subscription_canceled": true, "subscription_kept": true, "subscription_in_grace": true, "subscription_lapsed": true,
	"subscription_resumed": true, "subscription_ended": true, "subscription_change_refused": true}

// subscriptionLife draws when a subscription ran: from its beginning to a lapse, and
// again from where it was resumed.
func subscriptionLife(ctx context.Context, s wire.Subscription, events []wire.Event, cut bool) look.Life {
	d := &drawing{}
	line := d.lane("", s.Name, "")
	running := false
	begin := func(at license.Time) {
		if !running {
			line.begin(look.PhaseHeld, at.Go())
			running = true
		}
	}
	if cut {
		begin(s.Created)
	} else if len(s.Lines) > 0 {
		begin(s.Lines[0].Starts)
	}
	for _, e := range events {
		if ofSubscription[e.Event] {
			line.marks = append(line.marks, look.Mark{At: e.Time.Go(), Text: look.T(ctx, "console.eventname."+e.Event)})
		}
		switch e.Event {
		case "subscription_lapsed", "subscription_ended":
			line.end(e.Time.Go(), alive)
			running = false
		case "subscription_resumed":
			begin(e.Time)
		}
	}
	if s.State == subscription.Active && s.Renews != 0 {
		line.ahead = look.T(ctx, "console.subscription.ahead.renews", "Date", look.Date(ctx, s.Renews.Go()))
	} else if s.State == subscription.Active || s.State == subscription.Ending {
		line.ahead = look.T(ctx, "console.subscription.ahead.ends", "Date", look.Date(ctx, s.Ends.Go()))
	}
	return d.life(ctx, look.T(ctx, "console.subscription.life.of", "Product", s.Name), cut)
}

func subscriptionPath(id string) string { return Prefix + "/subscriptions/" + url.PathEscape(id) }

func subscriptionFilters(ctx context.Context, now subscription.State) (all []filter) {
	for _, s := range append([]subscription.State{""}, subscription.States...) {
		name, href := string(s), Prefix+"/subscriptions?state="+string(s)
		if s == "" {
			name, href = "all", Prefix+"/subscriptions"
		}
		all = append(all, filter{text: look.T(ctx, "console.subscription.state."+name), href: href, now: s == now})
	}
	return all
}

// standing is the state of a subscription in a word.
func standing(ctx context.Context, s wire.Subscription) look.Word {
	tone := map[subscription.State]look.Tone{subscription.Active: look.Success, subscription.Ending: look.Info, subscription.InGrace: look.Warning,
		subscription.Lapsed: look.Danger, subscription.Ended: look.Danger}[s.State]
	return look.Word{Tone: tone, Text: look.T(ctx, "console.subscription.state."+string(s.State))}
}

// meaning says where a subscription is, in the reader's language.
func meaning(ctx context.Context, s wire.Subscription) string {
	date := func(t license.Time) string { return look.Date(ctx, t.Go()) }
	key := "console.subscription.meaning." + string(s.State)
	if s.State == subscription.Active {
		key += "." + string(s.Lead)
	}
	text := look.T(ctx, key, "Ends", date(s.Ends), "Renews", date(s.Renews), "Usable", date(s.Usable), "Ended", date(s.Ended))
	if s.Next != nil {
		text += " " + look.T(ctx, "console.subscription.meaning.next", "Date", date(s.Next.At), "What", fmt.Sprintf("%d × %s", s.Next.Quantity, s.Next.Item))
	}
	return text
}

// mayCancel and mayResume say what is offered.
func mayCancel(s wire.Subscription) bool {
	return s.State == subscription.Active || s.State == subscription.InGrace
}

func mayResume(s wire.Subscription) bool {
	return s.State == subscription.Ending || s.State == subscription.Lapsed || s.State == subscription.InGrace
}

// mayChange, mayRenew and mayEnd as well.
func mayChange(s wire.Subscription) bool {
	return s.State == subscription.Active || s.State == subscription.Ending || s.State == subscription.InGrace
}

func mayRenew(s wire.Subscription) bool {
	return s.Lead == subscription.Outside && s.State != subscription.Ended && s.State != subscription.Ending
}

func mayEnd(m member, s wire.Subscription) bool {
	return s.State != subscription.Ended && m.Can(registry.ScopeLicenses)
}

// changed are the fields of the form that asks for a change, in its order.
var changed = []string{"quantity", "product", "override", "when", "period", "lead", "notice", "grace"}

// changeAsked reads what is to change; what is empty stays.
func changeAsked(r *http.Request) (req wire.SubscriptionChange, err error) {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	if text := get("quantity"); text != "" {
		if req.Quantity = wholeNumber(text); req.Quantity < 1 {
			return req, refusal.New(refusal.InvalidInput, "%q is no number of licenses.", text)
		}
	}
	req.Product, req.Period, req.AtEnd = get("product"), get("period"), get("when") == "end"
	req.Override = strings.FieldsFunc(get("override"), func(c rune) bool { return c == ',' || c == ' ' })
	if lead := get("lead"); lead != "" {
		req.Lead = new(subscription.Lead(lead))
	}
	for name, to := range map[string]**license.Duration{"notice": &req.Notice, "grace": &req.Grace} {
		if text := get(name); text != "" {
			d, err := license.ParseDuration(text)
			if err != nil {
				return req, err
			}
			*to = &d
		}
	}
	return req, nil
}

// changePanel asks what is to change, and says what a dry run makes of it.
func (c *console) changePanel(r *http.Request, m member, s wire.Subscription, p panel) (panel, error) {
	ctx := r.Context()
	products, err := c.registry.Products(ctx, m.Actor)
	if err != nil {
		return p, err
	}
	choices := []look.Choice{{Text: look.T(ctx, "console.subscription.change.same", "What", s.Item)}}
	for _, x := range products {
		choices = append(choices, look.Choice{Value: x.Code, Text: x.Name + " (" + x.Code + ")"})
	}
	asked := slices.ContainsFunc(changed, func(name string) bool { return strings.TrimSpace(r.FormValue(name)) != "" && name != "when" })
	p.first = changeSubscriptionForm(p.confirm.Action, s, choices, r.FormValue, asked)
	if !asked {
		return p, nil
	}
	req, err := changeAsked(r)
	if err != nil {
		return refusedPanel(ctx, p, wire.Ordered{}, err)
	}
	req.Reason, req.DryRun = preview, true
	out, err := c.registry.ChangeSubscription(ctx, m.Actor, s.ID, req)
	if err != nil {
		return refusedPanel(ctx, p, wire.Ordered{}, err)
	}
	if !out.Changed {
		p.refused = []string{look.T(ctx, "console.subscription.change.nothing")}
		return p, nil
	}
	n := out.Subscription
	p.confirm.What = []string{look.T(ctx, "console.subscription.change.becomes", "What", fmt.Sprintf("%d × %s", n.Quantity, n.Item), "Period", periodWord(ctx, n.Period)) + " " + meaning(ctx, n)}
	p.confirm.What = append(append(p.confirm.What, leaving(ctx, out)...), lineTexts(ctx, out.Lines)...)
	if out.Renewed > 0 {
		p.confirm.What = append(p.confirm.What, look.N(ctx, "console.subscription.told", out.Renewed))
	}
	p.confirm.Safe = len(out.Licenses) == 0
	p.confirm.Keeps = []string{look.T(ctx, "console.subscription.change.keeps")}
	var fields []templ.Component
	for _, name := range changed {
		fields = append(fields, hidden(name, r.FormValue(name)))
	}
	p.fields = look.Group(append(fields, p.fields)...)
	return p, nil
}

// leaving says which licenses leave, or are replaced.
func leaving(ctx context.Context, out wire.SubscriptionDone) (texts []string) {
	count := map[string]int{}
	for _, l := range out.Licenses {
		kind := "leaves"
		if l.With != "" {
			kind = "replaced"
		}
		count[kind+"."+l.When]++
	}
	for _, kind := range []string{"replaced.now", "replaced.next_contact", "leaves.now", "leaves.next_contact"} {
		if n := count[kind]; n > 0 {
			texts = append(texts, look.N(ctx, "console.subscription.licenses."+kind, n))
		}
	}
	return texts
}

// lineTexts says what there will be to bill.
func lineTexts(ctx context.Context, lines []wire.SubscriptionLine) (texts []string) {
	for _, l := range lines {
		texts = append(texts, look.T(ctx, "console.subscription.bills", "Kind", look.T(ctx, "console.subscription.line."+l.Kind), "Quantity", look.Number(ctx, l.Quantity), "What", l.Item,
			"From", look.Date(ctx, l.Starts.Go()), "To", look.Date(ctx, l.Ends.Go())))
	}
	return texts
}

// renewPanel asks which payment renews it.
func renewPanel(r *http.Request, s wire.Subscription, p panel) panel {
	ctx := r.Context()
	p.confirm.Safe = true
	key := "console.subscription.renew.what"
	if s.State == subscription.Lapsed {
		key += ".lapsed"
	}
	p.confirm.What = []string{look.T(ctx, key, "Ends", look.Date(ctx, s.Ends.Go())), look.T(ctx, "console.subscription.renew.machines")}
	p.confirm.Keeps = []string{look.T(ctx, "console.subscription.renew.once")}
	p.fields = look.Group(
		look.Field{Name: "periods", Label: look.T(ctx, "console.subscription.periods"), Value: oneIfEmpty(r.PostForm.Get("periods")), Inputmode: "numeric", Short: true, Required: true},
		referenceField(r.PostForm.Get("reference"), look.T(ctx, "console.subscription.reference.hint")),
		look.Area{Name: "reason", Label: look.T(ctx, "console.reason"), Hint: look.T(ctx, "console.reason.hint"), Optional: true, Max: 1000})
	return p
}

// subscriptionPanel says what an action would do to a subscription.
func (c *console) subscriptionPanel(r *http.Request, m member) (p panel, err error) {
	ctx, action := r.Context(), r.PathValue("action")
	if !slices.Contains([]string{"cancel", "resume", "change", "renew", "end"}, action) {
		return p, refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err := permitted(m, registry.ScopeOrders); err != nil {
		return p, err
	}
	s, err := c.registry.Subscription(ctx, m.Actor, r.PathValue("id"))
	if err != nil {
		return p, err
	}
	key := "console.subscription." + action
	p = panel{section: look.Subscriptions, trail: trailTo(ctx, "subscriptions", s.Number, subscriptionPath(s.ID)), title: look.T(ctx, key+".title"),
		fields: reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), "")}
	p.confirm = look.Confirm{Action: subscriptionPath(s.ID) + "/" + action, Cancel: subscriptionPath(s.ID), Do: look.T(ctx, key+".title"),
		Title: look.T(ctx, key+".ask", "Customer", s.Customer),
		Whom: []look.Fact{
			{Term: look.T(ctx, "console.fact.customer"), Text: s.Customer},
			{Term: look.T(ctx, "console.fact.order"), Text: s.Number},
			{Term: look.T(ctx, "console.subscription.what"), Text: fmt.Sprintf("%d × %s", s.Quantity, s.Item)},
		}}
	switch {
	case action == "change" && mayChange(s):
		return c.changePanel(r, m, s, p)
	case action == "renew" && mayRenew(s):
		return renewPanel(r, s, p), nil
	case action == "end" && mayEnd(m, s):
		out, err := c.registry.CancelSubscription(ctx, m.Actor, s.ID, wire.SubscriptionCancellation{Now: true, Reason: preview, DryRun: true})
		if err != nil {
			return refusedPanel(ctx, p, wire.Ordered{}, err)
		}
		p.confirm.What = append(leaving(ctx, out), lineTexts(ctx, out.Lines)...)
		p.confirm.Keeps = []string{look.T(ctx, key+".keeps")}
	case action == "cancel" && mayCancel(s):
		out, err := c.registry.CancelSubscription(ctx, m.Actor, s.ID, wire.SubscriptionCancellation{Reason: preview, DryRun: true})
		if err != nil {
			return refusedPanel(ctx, p, wire.Ordered{}, err)
		}
		p.confirm.What = []string{meaning(ctx, out.Subscription), look.N(ctx, "console.subscription.told", out.Renewed)}
		p.confirm.Keeps = []string{look.T(ctx, "console.subscription.cancel.keeps")}
	case action == "resume" && s.State == subscription.Ending:
		p.confirm.Safe = true
		p.confirm.What = []string{look.T(ctx, "console.subscription.resume.back")}
	case action == "resume" && mayResume(s):
		p.confirm.Safe = true
		p.fields = look.Group(referenceField(r.PostForm.Get("reference"), ""), p.fields)
		p.confirm.What = []string{look.T(ctx, "console.subscription.resume.anew")}
	default:
		p.refused = []string{meaning(ctx, s)}
	}
	return p, nil
}

func (c *console) subscriptionAction(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.subscriptionPanel(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func (c *console) subscriptionDo(w http.ResponseWriter, r *http.Request, m member) error {
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	id, action := r.PathValue("id"), r.PathValue("action")
	if reason == "" && action != "renew" { // the payment says why
		p, err := c.subscriptionPanel(r, m)
		if err != nil {
			return err
		}
		return c.withoutReason(w, r, m, p)
	}
	var err error
	switch action {
	case "cancel":
		_, err = c.registry.CancelSubscription(r.Context(), m.Actor, id, wire.SubscriptionCancellation{Reason: reason})
	case "end":
		_, err = c.registry.CancelSubscription(r.Context(), m.Actor, id, wire.SubscriptionCancellation{Now: true, Reason: reason})
	case "change":
		var req wire.SubscriptionChange
		if req, err = changeAsked(r); err == nil {
			req.Reason = reason
			_, err = c.registry.ChangeSubscription(r.Context(), m.Actor, id, req)
		}
	case "renew":
		_, err = c.registry.RenewSubscription(r.Context(), m.Actor, id, wire.SubscriptionRenewal{Periods: wholeNumber(oneIfEmpty(r.PostForm.Get("periods"))),
			Reference: strings.TrimSpace(r.PostForm.Get("reference")), Reason: reason})
	case "resume":
		_, err = c.registry.ResumeSubscription(r.Context(), m.Actor, id, wire.SubscriptionResumption{Reference: strings.TrimSpace(r.PostForm.Get("reference")), Reason: reason})
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err != nil {
		return err
	}
	return c.did(w, r, subscriptionPath(id), "subscription."+action)
}
