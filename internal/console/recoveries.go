package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// recoveryFilters are the choices above the queue; the first is the queue itself.
var recoveryFilters = []string{"open", "approved", "granted", "refused", "all"}

func (c *console) recoveries(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, q := r.Context(), r.URL.Query()
	state, customer, after := q.Get("state"), q.Get("customer"), q.Get("after")
	if !slices.Contains(recoveryFilters, state) {
		state = recoveryFilters[0]
	}
	var list wire.List[wire.Recovery]
	var err error
	switch {
	case customer != "":
		state = ""
		list, err = c.registry.RecoveriesWith(ctx, m.Actor, "", customer, after, pageSize)
	case state == "open", state == "all":
		list, err = c.registry.Recoveries(ctx, m.Actor, state == "open", after, pageSize)
	default:
		list, err = c.registry.RecoveriesWith(ctx, m.Actor, state, "", after, pageSize)
	}
	if err != nil {
		return err
	}
	if state == "open" { // what waits for the user's answer comes after what waits for staff
		var waiting, asked []wire.Recovery
		for _, rec := range list.Items {
			if rec.State == "waiting" {
				waiting = append(waiting, rec)
			} else {
				asked = append(asked, rec)
			}
		}
		list.Items = append(waiting, asked...)
	}
	return c.write(w, r, http.StatusOK, recoveriesPage(m, list.Items, state, customer, pagerOf(r, list.Next)))
}

// recoveryView is one recovery with everything beside it.
type recoveryView struct {
	wire.Recovery
	open     bool
	explain  map[license.ID]recovery.Decision // what policy would say now
	names    map[string]string                // of the products
	others   []wire.Recovery
	boxes    []wire.Container // that are reported lost
	lives    map[license.ID]look.Life
	pasts    map[license.ID][]wire.Event // of the licenses, the latest first
	timeline []wire.Event
	older    pager
	form     decision
}

// maxBeside is how many licenses and containers have their whole history beside
// the report; the others lead to it.
const maxBeside = 6

// decision is the form as it was sent.
type decision struct {
	what, stop, found, text string
	licenses                []string
	sent                    bool
	wrong                   []look.Wrong
}

func (d decision) error(field string) string {
	for _, w := range d.wrong {
		if w.Field == field {
			return w.Text
		}
	}
	return ""
}

func numberOf(r *http.Request) (uint64, error) {
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 63)
	if err != nil {
		return 0, refusal.New(refusal.NotFound, "There is no such recovery.")
	}
	return n, nil
}

func (c *console) recovery(w http.ResponseWriter, r *http.Request, m member) error {
	v, err := c.recoveryView(r, m)
	if err != nil {
		return err
	}
	v.form.what = "approve"
	return c.write(w, r, http.StatusOK, recoveryPage(m, v))
}

func (c *console) recoveryView(r *http.Request, m member) (v recoveryView, err error) {
	ctx := r.Context()
	n, err := numberOf(r)
	if err != nil {
		return v, err
	}
	if v.Recovery, err = c.registry.Recovery(ctx, m.Actor, n); err != nil {
		return v, err
	}
	v.open = v.State == "waiting" || v.State == "asked"
	v.explain = map[license.ID]recovery.Decision{}
	for _, l := range v.Licenses {
		if l.Outcome != "waiting" {
			continue
		}
		e, err := c.registry.ExplainRestore(ctx, m.Actor, l.License, recovery.Scope(v.Scope), recovery.Hardware(v.Hardware))
		if err != nil {
			return v, err
		}
		v.explain[l.License] = e.Decision
	}
	if v.names, err = c.names(ctx, m); err != nil {
		return v, err
	}
	others, err := c.registry.RecoveriesWith(ctx, m.Actor, "", v.Customer, "", 6)
	if err != nil {
		return v, err
	}
	v.others = slices.DeleteFunc(others.Items, func(o wire.Recovery) bool { return o.Number == n })
	events, err := c.registry.Timeline(ctx, m.Actor, "recovery", strconv.FormatUint(n, 10), r.URL.Query().Get("before"), pageSize)
	if err != nil {
		return v, err
	}
	v.timeline, v.older = events.Items, pagerBy(r, "before", events.Next, "#timeline")
	return v, c.beside(r, m, &v)
}

// beside reads what is shown beside a report: the containers that are lost, and
// the lives of the licenses.
func (c *console) beside(r *http.Request, m member, v *recoveryView) error {
	ctx := r.Context()
	v.lives, v.pasts = map[license.ID]look.Life{}, map[license.ID][]wire.Event{}
	for _, l := range v.Licenses {
		if !slices.ContainsFunc(v.boxes, func(b wire.Container) bool { return b.Serial == l.Container }) && len(v.boxes) < maxBeside && l.Container != "" {
			box, err := c.registry.Container(ctx, m.Actor, l.Container)
			if err != nil {
				return err
			}
			v.boxes = append(v.boxes, box)
		}
		if len(v.lives) == maxBeside {
			continue
		}
		whole, err := c.registry.License(ctx, m.Actor, l.License)
		if err != nil {
			return err
		}
		pending, err := c.registry.PendingFor(ctx, m.Actor, "", l.License)
		if err != nil {
			return err
		}
		if v.lives[l.License], err = c.licenseLife(r, m, whole, pending); err != nil {
			return err
		}
		past, err := c.registry.Timeline(ctx, m.Actor, "license", string(l.License), "", pageSize)
		if err != nil {
			return err
		}
		v.pasts[l.License] = past.Items
	}
	return nil
}

// seen is the containers that made contact after they were reported lost.
func (v recoveryView) seen() (boxes []wire.Container) {
	for _, b := range v.boxes {
		if v.open && b.LastSeen > v.Created {
			boxes = append(boxes, b)
		}
	}
	return boxes
}

// names are the names of products by their codes.
func (c *console) names(ctx context.Context, m member) (map[string]string, error) {
	products, err := c.registry.Products(ctx, m.Actor)
	names := map[string]string{}
	for _, p := range products {
		names[p.Code] = p.Name
	}
	return names, err
}

func (c *console) decide(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, f := r.Context(), r.PostForm
	n, err := numberOf(r)
	if err != nil {
		return err
	}
	d := decision{what: f.Get("decision"), stop: f.Get("stop"), found: f.Get("found"), text: strings.TrimSpace(f.Get("text")), licenses: f["licenses"], sent: true}
	var done string
	switch d.what {
	case "approve":
		if len(d.licenses) == 0 {
			d.wrong = append(d.wrong, look.Wrong{Field: "licenses", Text: look.T(ctx, "console.decide.none")})
			break
		}
		req := wire.Approval{Reason: d.text}
		if stop := license.Stop(d.stop); slices.Contains(license.Stops, stop) {
			req.Stop = stop
		}
		if found := license.Found(d.found); slices.Contains(license.Founds, found) {
			req.Found = found
		}
		for _, id := range d.licenses {
			req.Licenses = append(req.Licenses, license.ID(id))
		}
		done = "approved"
		_, err = c.registry.ApproveRecovery(ctx, m.Actor, n, req)
	case "refuse":
		if d.text == "" {
			d.wrong = append(d.wrong, look.Wrong{Field: "text", Text: look.T(ctx, "console.decide.why")})
			break
		}
		done = "refused"
		_, err = c.registry.RefuseRecovery(ctx, m.Actor, n, d.text)
	case "ask":
		if d.text == "" {
			d.wrong = append(d.wrong, look.Wrong{Field: "text", Text: look.T(ctx, "console.decide.question")})
			break
		}
		done = "asked"
		_, err = c.registry.AskRecovery(ctx, m.Actor, n, d.text)
	default:
		d.wrong = append(d.wrong, look.Wrong{Field: "decision", Text: look.T(ctx, "console.decide.choose")})
	}
	if err != nil {
		return err
	}
	if len(d.wrong) == 0 {
		return c.did(w, r, recoveryPath(n), done)
	}
	if !m.Can(registry.ScopeRecovery) {
		return refusal.New(refusal.Forbidden, "This needs the scope %q.", registry.ScopeRecovery).With("scope", registry.ScopeRecovery)
	}
	v, err := c.recoveryView(r, m)
	if err != nil {
		return err
	}
	v.form = d
	return c.write(w, r, http.StatusUnprocessableEntity, recoveryPage(m, v))
}

// picks are the licenses that wait, to choose from.
func (v recoveryView) picks() (picks []look.Pick) {
	for _, l := range v.Licenses {
		if l.Outcome == "waiting" {
			picks = append(picks, look.Pick{Value: string(l.License), Product: v.names[l.Product], Number: string(l.License), State: look.State(l.State),
				Checked: !v.form.sent || slices.Contains(v.form.licenses, string(l.License))})
		}
	}
	return picks
}

// reasons are the policy's reasons, those that are the same for several licenses
// once.
func (v recoveryView) reasons() (groups []reasonGroup) {
	for _, l := range v.Licenses {
		at := slices.IndexFunc(groups, func(g reasonGroup) bool { return slices.Equal(g.because, l.Because) })
		if at < 0 {
			groups = append(groups, reasonGroup{verdict: l.Verdict, because: l.Because})
			at = len(groups) - 1
		}
		groups[at].licenses = append(groups[at].licenses, l)
	}
	return groups
}

type reasonGroup struct {
	verdict  string
	because  []recovery.Reason
	licenses []wire.RecoveryLicense
}
