package console

import (
	"context"
	"net/http"
	"strings"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// gapPath is what is not known since the server was restored from a back-up.
const gapPath = Prefix + "/gap"

// gapView is how far what was lost has come back.
type gapView struct {
	wire.Gap
	licenses   []wire.License // some of those that are held back
	pager      pager
	containers []wire.Container // some of those that were not heard from
}

func (c *console) gap(w http.ResponseWriter, r *http.Request, m member) (err error) {
	ctx, v := r.Context(), gapView{}
	if v.Gap, err = c.registry.Gap(ctx, m.Actor); err != nil {
		return err
	}
	held, err := c.registry.HeldBack(ctx, m.Actor, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	v.licenses, v.pager = held.Items, pagerOf(r, held.Next)
	silent, err := c.registry.Silent(ctx, m.Actor, "", pageSize)
	if err != nil {
		return err
	}
	v.containers = silent.Items
	return c.write(w, r, http.StatusOK, gapPage(m, v))
}

// gapPanel asks before all is released, or the gap closed.
func (c *console) gapPanel(r *http.Request, m member) (p panel, err error) {
	ctx, action := r.Context(), r.PathValue("action")
	if action != "release" && action != "close" {
		return p, refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	if err := permitted(m, registry.ScopeLicenses); err != nil {
		return p, err
	}
	g, err := c.registry.Gap(ctx, m.Actor)
	if err != nil {
		return p, err
	}
	text := func(key string) string { return look.T(ctx, "console.gap."+action+"."+key) }
	p = panel{section: look.Licenses, trail: []look.Crumb{{Text: look.T(ctx, "console.gap.title"), Href: gapPath}}, title: text("title")}
	p.confirm = look.Confirm{Action: gapPath + "/" + action, Cancel: gapPath, Title: text("ask"), Do: text("do"), Whom: gapFacts(ctx, g)}
	p.fields = reasonField(look.T(ctx, "console.reason.hint"), r.PostForm.Get("reason"), "")
	p.confirm.What = numbered(ctx, "console.gap."+action+".what.")
	p.confirm.Keeps = []string{text("keeps")}
	switch {
	case !g.Open:
		p.refused = []string{look.T(ctx, "console.gap.none")}
	case action == "close" && g.HeldBack > 0:
		p.refused = []string{look.N(ctx, "console.gap.close.held", int(g.HeldBack))}
	}
	return p, nil
}

func (c *console) gapAction(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.gapPanel(r, m)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func (c *console) gapDo(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.gapPanel(r, m)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		return c.withoutReason(w, r, m, p)
	}
	if r.PathValue("action") == "release" {
		_, err = c.registry.Release(r.Context(), m.Actor, wire.Release{All: true, Reason: reason})
	} else {
		_, err = c.registry.CloseGap(r.Context(), m.Actor, reason)
	}
	if err != nil {
		return err
	}
	return c.did(w, r, gapPath, "gap."+r.PathValue("action"))
}

// releaseOne releases one license, and says why if it was not.
func (c *console) releaseOne(r *http.Request, m member, id license.ID, reason string) error {
	out, err := c.registry.Release(r.Context(), m.Actor, wire.Release{Licenses: []license.ID{id}, Reason: reason})
	if err != nil || len(out.Refused) == 0 {
		return err
	}
	return refusal.New(out.Refused[0].Code, "%s", out.Refused[0].Message).Hinted("%s", out.Refused[0].Hint)
}

func gapFacts(ctx context.Context, g wire.Gap) []look.Fact {
	facts := []look.Fact{
		{Term: look.T(ctx, "console.gap.since"), Value: look.Time{At: g.Since.Go()}},
		{Term: look.T(ctx, "console.gap.opened"), Value: look.Time{At: g.Opened.Go()}},
	}
	if g.Closed != 0 {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.gap.closed"), Value: look.Time{At: g.Closed.Go()}})
	}
	facts = append(facts, look.Fact{Term: look.T(ctx, "console.gap.held"), Text: look.Number(ctx, g.HeldBack)})
	for _, why := range registry.HeldBackWhys {
		if n := g.HeldBackFor[why]; n > 0 {
			facts = append(facts, look.Fact{Term: look.T(ctx, "console.held."+why), Text: look.Number(ctx, n)})
		}
	}
	return append(facts, look.Fact{Term: look.T(ctx, "console.gap.silent"), Text: look.Number(ctx, g.Silent)})
}
