package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// search takes the box by POST, because a ticket may stand in it, which must not
// stand in an address; anything else goes on to an address of its own.
func (c *console) search(w http.ResponseWriter, r *http.Request, m member) error {
	query := strings.TrimSpace(r.FormValue("q"))
	_, noTicket := license.ParseTicket(query)
	if r.Method == http.MethodPost && noTicket != nil && !likeTicket(query) {
		http.Redirect(w, r, Prefix+"/search?q="+url.QueryEscape(query), http.StatusSeeOther)
		return nil
	}
	found, err := c.registry.Search(r.Context(), m.Actor, query)
	if err != nil {
		return err
	}
	if found.Ticket && len(found.Orders) == 1 {
		http.Redirect(w, r, orderPath(found.Orders[0].Order), http.StatusSeeOther)
		return nil
	}
	return c.write(w, r, http.StatusOK, searchPage(m, found))
}

// likeTicket reports whether a text may be a ticket with a mistake in it, which is
// nearly as good as the ticket.
func likeTicket(text string) bool {
	n := 0
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			n++
		case r != '-' && r != ' ':
			return false
		}
	}
	return n > 20 && n < 30
}

func (c *console) blockList(w http.ResponseWriter, r *http.Request, m member) error {
	list, err := c.registry.Blocked(r.Context(), m.Actor, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, blockListPage(m, list.Items, pagerOf(r, list.Next)))
}

func (c *console) blockListFile(w http.ResponseWriter, r *http.Request, m member) error {
	if err := permitted(m, registry.ScopeRead); err != nil {
		return err
	}
	file, err := c.registry.BlockListFile(r.Context(), 0)
	if err != nil {
		return err
	}
	return download(w, "vendor", "licet-blocklist", file)
}

// auditForm is the filter of the trail as it was sent.
type auditForm struct {
	Actor, Event, Kind, ID, Since, Until string
	wrong                                []look.Wrong
}

func (f auditForm) empty() bool {
	return f.Actor == "" && f.Event == "" && f.ID == "" && f.Since == "" && f.Until == ""
}

func (f auditForm) error(field string) string {
	for _, w := range f.wrong {
		if w.Field == field {
			return w.Text
		}
	}
	return ""
}

func (c *console) audit(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, q := r.Context(), r.URL.Query()
	f := auditForm{Actor: strings.TrimSpace(q.Get("actor")), Event: q.Get("event"), Kind: q.Get("kind"), ID: strings.TrimSpace(q.Get("id")), Since: q.Get("since"), Until: q.Get("until")}
	day := func(field string, text *string) license.Time {
		if *text == "" {
			return 0
		}
		at, err := time.Parse(time.DateOnly, *text)
		if err != nil || at.Year() < 1971 || at.Year() > 9000 {
			f.wrong = append(f.wrong, look.Wrong{Field: field, Text: look.T(ctx, "console.audit.day")})
			*text = "" // a field for days takes nothing else
			return 0
		}
		return license.At(at)
	}
	filter := wire.Trail{Actor: actorFilter(f.Actor), Event: f.Event, Since: day("since", &f.Since), Until: day("until", &f.Until), Before: q.Get("after")}
	if filter.Until != 0 {
		filter.Until = filter.Until.Add(24 * time.Hour) // the whole day
	}
	if f.ID != "" {
		filter.Kind, filter.ID = kindOf(f.ID), f.ID
	}
	if err := permitted(m, registry.ScopeAudit); err != nil {
		return err
	}
	list, err := c.registry.Trail(ctx, m.Actor, filter, pageSize)
	if err != nil && !refusal.Is(err, refusal.InvalidInput) {
		return err
	}
	return c.write(w, r, http.StatusOK, auditPage(m, list.Items, f, pagerOf(r, list.Next)))
}

// actorFilter takes a name as pages show it.
func actorFilter(name string) string {
	if name == "" || strings.Contains(name, ":") {
		return name
	}
	return "staff:" + strings.ToLower(name) + "@console"
}

// kindOf is what kind of thing an id names.
func kindOf(id string) string {
	switch word, _, _ := strings.Cut(id, "_"); word {
	case "lic":
		return "license"
	case "ord":
		return "order"
	case "stf":
		return "staff"
	case "tok":
		return "token"
	}
	if strings.Trim(id, "0123456789") == "" {
		return "recovery"
	}
	return "container"
}

// pager leads on through a list, whose cursors only go forward.
type pager struct{ first, next string }

// pagerOf is the pager of a list at this address.
func pagerOf(r *http.Request, next string) pager { return pagerBy(r, "after", next, "") }

// pagerBy is the pager of a list whose cursor has a name of its own, on a page
// with two.
func pagerBy(r *http.Request, name, next, anchor string) (p pager) {
	q, path := r.URL.Query(), strings.TrimSuffix(r.URL.EscapedPath(), "/ticket") // which shows the order itself
	if q.Get(name) != "" {
		q.Del(name)
		p.first = path + withQuery(q) + anchor
	}
	if next != "" {
		q.Set(name, next)
		p.next = path + withQuery(q) + anchor
	}
	return p
}

func withQuery(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
