package console

import (
	"net/http"
	"strings"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func (c *console) containers(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, status, after := r.Context(), r.URL.Query().Get("status"), r.URL.Query().Get("after")
	var list wire.List[wire.Container]
	var err error
	switch status {
	case "flagged", "blocked":
		list, err = c.registry.ContainersWith(ctx, m.Actor, status, after, pageSize)
	default:
		status = ""
		list, err = c.registry.Containers(ctx, m.Actor, after, pageSize)
	}
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, containersPage(m, list.Items, status, pagerOf(r, list.Next)))
}

// containerView is one container with its whole life.
type containerView struct {
	wire.Container
	pending  []wire.Earmark
	life     look.Life
	timeline []wire.Event
	pager    pager
}

// containerActions are what staff can do with a container, and when.
var containerActions = []struct {
	name    string
	icon    look.Icon
	offered func(containerView) bool
}{
	{"push", look.IconDownload, func(containerView) bool { return true }},
	{"unblock", look.IconCheck, func(v containerView) bool { return v.Blocked != nil }},
	{"block", look.IconBlock, func(v containerView) bool { return v.Blocked == nil }},
}

func (c *console) containerView(r *http.Request, m member) (v containerView, err error) {
	ctx, serial := r.Context(), license.Serial(r.PathValue("serial"))
	if v.Container, err = c.registry.Container(ctx, m.Actor, serial); err != nil {
		return v, err
	}
	v.pending, err = c.registry.PendingFor(ctx, m.Actor, serial, "")
	return v, err
}

func (c *console) container(w http.ResponseWriter, r *http.Request, m member) error {
	v, err := c.containerView(r, m)
	if err != nil {
		return err
	}
	events, err := c.registry.Timeline(r.Context(), m.Actor, "container", string(v.Serial), r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	v.timeline, v.pager = events.Items, pagerOf(r, events.Next)
	names, err := c.names(r.Context(), m)
	if err != nil {
		return err
	}
	if v.life, err = c.containerLife(r, m, v, names); err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, containerPage(m, v))
}

func (c *console) containerAction(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.containerPanel(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func (c *console) containerPanel(r *http.Request, m member) (p panel, err error) {
	ctx, action := r.Context(), r.PathValue("action")
	v, err := c.containerView(r, m)
	if err != nil {
		return p, err
	}
	if err := permitted(m, registry.ScopeContainers); err != nil {
		return p, err
	}
	serial := short(string(v.Serial))
	p = panel{section: look.Containers, trail: trailTo(ctx, "containers", serial, containerPath(v.Serial)), title: look.T(ctx, "console.container."+action+".title")}
	p.confirm = look.Confirm{Action: containerPath(v.Serial) + "/" + action, Cancel: containerPath(v.Serial),
		Title: look.T(ctx, "console.container."+action+".ask", "Container", serial), Do: look.T(ctx, "console.container."+action+".do"),
		Whom: []look.Fact{
			{Term: look.T(ctx, "console.fact.container"), Value: look.Code{Text: string(v.Serial)}},
			{Term: look.T(ctx, "console.fact.holds"), Text: look.N(ctx, "console.count.licenses", len(v.Licenses))},
			{Term: look.T(ctx, "console.fact.customers"), Text: customersOf(v.Licenses)},
			{Term: look.T(ctx, "console.fact.lastseen"), Value: look.Time{At: v.LastSeen.Go()}},
		}}
	p.fields = reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), "")
	not := func(is bool) {
		if is {
			p.refused = []string{look.T(ctx, "console.container."+action+".not")}
		}
	}
	switch action {
	case "block":
		not(v.Blocked != nil)
	case "unblock":
		p.confirm.Safe = true
		not(v.Blocked == nil)
	case "accept":
		not(v.Flag == nil || !v.Flag.Acceptable)
		if v.Flag != nil {
			p.confirm.Whom = append(p.confirm.Whom, look.Fact{Term: look.T(ctx, "console.fact.flag"), Text: flagText(ctx, v.Flag.Reason)})
		}
	case "push":
		p.confirm.Safe = true
		p.fields = nil
	default:
		return p, refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	p.confirm.What = numbered(ctx, "console.container."+action+".what.", "Container", serial)
	p.confirm.Keeps = numbered(ctx, "console.container."+action+".keeps.", "Container", serial)
	return p, nil
}

// customersOf names the customers whose licenses are concerned.
func customersOf(ls []wire.License) string {
	var names []string
	seen := map[string]bool{}
	for _, l := range ls {
		if !seen[l.Customer] {
			seen[l.Customer] = true
			names = append(names, l.Customer)
		}
	}
	switch {
	case len(names) == 0:
		return "–"
	case len(names) > 5:
		names = append(names[:5], "…")
	}
	return strings.Join(names, ", ")
}

func (c *console) containerDo(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, action, serial := r.Context(), r.PathValue("action"), license.Serial(r.PathValue("serial"))
	if action == "push" {
		file, err := c.registry.Push(ctx, m.Actor, serial)
		if err != nil {
			return err
		}
		return download(w, short(string(serial)), "licet-update", file)
	}
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		p, err := c.containerPanel(r, m)
		if err != nil {
			return err
		}
		return c.withoutReason(w, r, m, p)
	}
	var err error
	switch action {
	case "block":
		_, err = c.registry.BlockContainer(ctx, m.Actor, serial, reason)
	case "unblock":
		_, err = c.registry.UnblockContainer(ctx, m.Actor, serial, reason)
	case "accept":
		_, err = c.registry.AcceptContainer(ctx, m.Actor, serial, reason)
	default:
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err != nil {
		return err
	}
	return c.did(w, r, containerPath(serial), action)
}

// download answers with a file. Its name is made of what is plain.
func download(w http.ResponseWriter, name, extension string, file []byte) error {
	plain := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' {
			return r
		}
		return -1
	}, name)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+plain+"."+extension+`"`)
	_, _ = w.Write(file) // a connection that broke is the reader's
	return nil
}
