package console

import (
	"net/http"
	"net/url"
	"strings"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/wire"
)

func (c *console) orders(w http.ResponseWriter, r *http.Request, m member) error {
	customer := r.URL.Query().Get("customer")
	list, err := c.registry.OrderHeads(r.Context(), m.Actor, customer, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, ordersPage(m, list.Items, customer, pagerOf(r, list.Next)))
}

// orderView is one order, with a page of its licenses.
type orderView struct {
	wire.OrderHead
	licenses []wire.License
	pager    pager
	life     look.Life
	timeline []wire.Event
	older    pager
	ticket   license.Ticket // "" until it is asked for
}

// left is how many licenses are not gone.
func (v orderView) left() int64 { return v.OrderHead.Licenses - v.States[license.Gone] }

func (c *console) orderView(r *http.Request, m member) (v orderView, err error) {
	ctx, id := r.Context(), r.PathValue("id")
	if v.OrderHead, err = c.registry.OrderHead(ctx, m.Actor, id); err != nil {
		return v, err
	}
	ls, err := c.registry.OrderLicenses(ctx, m.Actor, v.Order, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return v, err
	}
	v.licenses, v.pager = ls.Items, pagerOf(r, ls.Next)
	events, err := c.registry.Timeline(ctx, m.Actor, "order", v.Order, r.URL.Query().Get("before"), pageSize)
	if err != nil {
		return v, err
	}
	v.timeline, v.older = events.Items, pagerBy(r, "before", events.Next, "#timeline")
	v.life, err = c.orderLife(r, m, v)
	return v, err
}

func (c *console) order(w http.ResponseWriter, r *http.Request, m member) error {
	v, err := c.orderView(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, orderPage(m, v))
}

// orderTicket shows the ticket, which is a secret, to who asks for it.
func (c *console) orderTicket(w http.ResponseWriter, r *http.Request, m member) error {
	ticket, err := c.registry.OrderTicket(r.Context(), m.Actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := c.orderView(r, m)
	if err != nil {
		return err
	}
	v.ticket = ticket
	return c.write(w, r, http.StatusOK, orderPage(m, v))
}

// orderAgain leads a reader who comes back to the page with the ticket, which
// shows it once.
func (c *console) orderAgain(w http.ResponseWriter, r *http.Request, _ member) error {
	http.Redirect(w, r, orderPath(url.PathEscape(r.PathValue("id"))), http.StatusSeeOther)
	return nil
}

// maxNamed is how many refused licenses a preview names.
const maxNamed = 10

func (c *console) orderPanel(r *http.Request, m member) (p panel, err error) {
	ctx := r.Context()
	if err := permitted(m, registry.ScopeLicenses); err != nil {
		return p, err
	}
	o, err := c.registry.OrderHead(ctx, m.Actor, r.PathValue("id"))
	if err != nil {
		return p, err
	}
	p = panel{section: look.Orders, trail: trailTo(ctx, "orders", o.Number, orderPath(o.Order)), title: look.T(ctx, "console.order.cancel.title")}
	p.confirm = look.Confirm{Action: orderPath(o.Order) + "/cancel", Cancel: orderPath(o.Order), Do: look.T(ctx, "console.order.cancel.do"),
		Title: look.T(ctx, "console.order.cancel.ask", "Number", o.Number, "Customer", o.Customer),
		Whom: []look.Fact{
			{Term: look.T(ctx, "console.fact.order"), Text: o.Number},
			{Term: look.T(ctx, "console.fact.customer"), Text: o.Customer},
			{Term: look.T(ctx, "console.fact.licenses"), Text: look.Number(ctx, o.Licenses)},
		}}
	p.fields = reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), "")
	out, err := c.registry.CancelOrder(ctx, m.Actor, o.Order, preview, true)
	if err != nil {
		return refusedPanel(ctx, p, wire.Ordered{}, err)
	}
	now, later, boxes := 0, 0, map[license.Serial]bool{}
	for _, d := range out.Done {
		if d.When == wire.Now {
			now++
		} else {
			later++
			boxes[d.Container] = true
		}
	}
	if now > 0 {
		p.confirm.What = append(p.confirm.What, look.N(ctx, "console.order.cancel.now", now))
	}
	if later > 0 {
		p.confirm.What = append(p.confirm.What, look.N(ctx, "console.order.cancel.later", later, "Containers", look.N(ctx, "console.count.containers", len(boxes))))
	}
	p.confirm.Keeps = append(p.confirm.Keeps, look.T(ctx, "console.order.cancel.keeps"))
	for n, no := range out.Refused {
		if n == maxNamed {
			p.confirm.Keeps = append(p.confirm.Keeps, look.N(ctx, "console.order.cancel.more", len(out.Refused)-maxNamed))
			break
		}
		p.confirm.Keeps = append(p.confirm.Keeps, coded(ctx, no.Code, no.Message, no.Details))
	}
	if len(out.Done) == 0 {
		p.refused = []string{look.T(ctx, "console.order.cancel.nothing")}
	}
	return p, nil
}

func (c *console) orderCancel(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.orderPanel(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func (c *console) orderCancelDo(w http.ResponseWriter, r *http.Request, m member) error {
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		p, err := c.orderPanel(r, m)
		if err != nil {
			return err
		}
		return c.withoutReason(w, r, m, p)
	}
	id := r.PathValue("id")
	if _, err := c.registry.CancelOrder(r.Context(), m.Actor, id, reason, false); err != nil {
		return err
	}
	return c.did(w, r, orderPath(id), "canceled")
}
