package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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

// subscriptionPanel says what an action would do to a subscription.
func (c *console) subscriptionPanel(r *http.Request, m member) (p panel, err error) {
	ctx, action := r.Context(), r.PathValue("action")
	if action != "cancel" && action != "resume" {
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
	if reason == "" {
		p, err := c.subscriptionPanel(r, m)
		if err != nil {
			return err
		}
		return c.withoutReason(w, r, m, p)
	}
	id, action := r.PathValue("id"), r.PathValue("action")
	var err error
	switch action {
	case "cancel":
		_, err = c.registry.CancelSubscription(r.Context(), m.Actor, id, wire.SubscriptionCancellation{Reason: reason})
	case "resume":
		_, err = c.registry.ResumeSubscription(r.Context(), m.Actor, id, wire.SubscriptionResumption{Reason: reason})
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err != nil {
		return err
	}
	return c.did(w, r, subscriptionPath(id), "subscription."+action)
}
