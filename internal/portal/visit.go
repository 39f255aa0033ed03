package portal

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"licet/internal/look"
	"licet/internal/web"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// The cookie that holds a visit. A browser gives the first name to nobody but
// this very host, over TLS.
const (
	secureCookie = "__Host-licet_tickets"
	plainCookie  = "licet_tickets"
)

// A visit ends by itself.
const (
	visitLasts = 12 * time.Hour
	mostTotal  = 20 // tickets of one visit, as registry.TicketPage has it
	mostWrong  = 5  // of the entered texts that were no tickets
)

// visit is what the browser keeps for us, sealed: the tickets and nothing else
// of who reads.
type visit struct {
	Tickets []string `json:"t"`
	Wrong   []wrong  `json:"w,omitempty"` // entered last, and not known
	At      int64    `json:"a"`
}

// wrong is what was entered and is no ticket of this vendor.
type wrong struct {
	Text  string `json:"x"`
	Typed bool   `json:"t,omitempty"` // its check character does not fit
}

// secure reports whether a page is read over TLS, at this server or at a proxy
// in front of it that has the vendor's address.
func (p *portal) secure(r *http.Request) bool {
	u, err := url.Parse(p.address)
	return r.TLS != nil || err == nil && u.Scheme == "https" && strings.EqualFold(u.Host, r.Host)
}

func (p *portal) cookie(r *http.Request) string {
	if p.secure(r) {
		return secureCookie
	}
	return plainCookie
}

// visit opens what the browser kept; nothing where it kept none, or another
// server's, or an old one.
func (p *portal) visit(r *http.Request) visit {
	c, err := r.Cookie(p.cookie(r))
	if err != nil {
		return visit{}
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return visit{}
	}
	plain, err := p.registry.OpenPage("tickets", sealed)
	if err != nil {
		return visit{}
	}
	var v visit
	if json.Unmarshal(plain, &v) != nil || look.Now(r.Context()).Sub(time.Unix(v.At, 0)) > visitLasts {
		return visit{}
	}
	return v
}

// keep gives the browser a visit to keep, until it is closed.
func (p *portal) keep(w http.ResponseWriter, r *http.Request, v visit) error {
	v.At = look.Now(r.Context()).Unix()
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sealed, err := p.registry.SealPage("tickets", plain)
	if err != nil {
		return err
	}
	http.SetCookie(w, p.baked(r, base64.RawURLEncoding.EncodeToString(sealed), 0))
	return nil
}

func (p *portal) baked(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: p.cookie(r), Value: value, Path: "/", MaxAge: age, Secure: p.secure(r), HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// start is the first page.
func (p *portal) start(w http.ResponseWriter, r *http.Request) error {
	if len(p.visit(r).Tickets) > 0 {
		return to(w, r, "/licenses")
	}
	return show(w, r, http.StatusOK, startPage(entry{Forgotten: r.URL.Query().Has("forgotten"), Again: r.URL.Query().Has("again"), Vendor: p.registry.WellKnown().Vendor}))
}

// entry is what the first page shows.
type entry struct {
	Text      string
	Errors    []look.Wrong
	Error     string
	Back      bool // tickets are open already
	Forgotten bool
	Again     bool // what was asked for needs a ticket
	Vendor    string
}

// enter takes tickets. Those that are right are kept, whatever else was entered.
func (p *portal) enter(limiter *web.Limiter) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := read(w, r, maxForm); err != nil {
			return err
		}
		text := r.PostForm.Get("tickets")
		found, mistyped := findTickets(text)
		before := p.visit(r)
		refuse := func(e entry) error {
			e.Text, e.Back, e.Vendor = text, len(before.Tickets) > 0, p.registry.WellKnown().Vendor
			return show(w, r, http.StatusUnprocessableEntity, startPage(e))
		}
		if len(found) > mostTotal {
			return refuse(p.entered(r, "portal.enter.many", "Count", len(found), "Most", mostTotal))
		}
		var got wire.TicketPage
		if len(found) > 0 {
			limiter.Pay(r, len(found)-1)
			var err error
			if got, err = p.registry.TicketPage(r.Context(), found); err != nil {
				return err
			}
		}
		v := visit{}
		for _, t := range got.Tickets {
			if t.Known {
				v.Tickets = append(v.Tickets, string(t.Ticket))
			} else {
				v.Wrong = append(v.Wrong, wrong{Text: string(t.Ticket)})
			}
		}
		for _, m := range mistyped {
			v.Wrong = append(v.Wrong, wrong{Text: m, Typed: true})
		}
		v.Wrong = v.Wrong[:min(len(v.Wrong), mostWrong)]
		if len(v.Tickets) == 0 {
			if len(v.Wrong) == 0 {
				key := "portal.enter.none"
				if strings.TrimSpace(text) == "" {
					key = "portal.enter.empty"
				}
				return refuse(p.entered(r, key))
			}
			return refuse(p.mistaken(r, v.Wrong))
		}
		for _, t := range before.Tickets {
			if !slices.Contains(v.Tickets, t) && len(v.Tickets) < mostTotal {
				v.Tickets = append(v.Tickets, t)
			}
		}
		if err := p.keep(w, r, v); err != nil {
			return err
		}
		return to(w, r, "/licenses")
	}
}

func (p *portal) entered(r *http.Request, key string, pairs ...any) entry {
	text := look.T(r.Context(), key, pairs...)
	return entry{Error: text, Errors: []look.Wrong{{Field: "tickets", Text: text}}}
}

func (p *portal) mistaken(r *http.Request, all []wrong) (e entry) {
	for _, x := range all {
		e.Errors = append(e.Errors, look.Wrong{Field: "tickets", Text: x.say(r)})
	}
	e.Error = look.T(r.Context(), "portal.enter.check")
	return e
}

func (x wrong) say(r *http.Request) string {
	if x.Typed {
		return look.T(r.Context(), "portal.enter.mistyped", "Text", x.Text)
	}
	return look.T(r.Context(), "portal.enter.unknown", "Text", x.Text)
}

// forget ends a visit.
func (p *portal) forget(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, p.baked(r, "", -1))
	w.Header().Set("Clear-Site-Data", `"cache"`) // what the button back would show
	return to(w, r, "/?forgotten=1")
}

// enterAgain is the first page for one whose tickets are not known here, or no
// longer.
const enterAgain = "/?again=1"

// opened is a visit with what its tickets hold now; one that holds none is led to
// the first page by the error.
func (p *portal) opened(w http.ResponseWriter, r *http.Request) (v visit, page wire.TicketPage, ok bool, err error) {
	v = p.visit(r)
	if len(v.Tickets) == 0 {
		return v, page, false, to(w, r, enterAgain)
	}
	page, err = p.registry.TicketPage(r.Context(), v.Tickets)
	return v, page, err == nil, err
}

// groups are the parts of a text that could be parts of a ticket, and whether
// each is tied to the one before by a hyphen.
type group struct {
	text string
	tied bool
}

// findTickets finds tickets in a text of any form: a letter with its sentences, a
// column of a table, one ticket after the other. What looks like one and has a
// typo is returned as it was written.
func findTickets(text string) (found, mistyped []string) {
	groups := groupsOf(text)
	for i := 0; i < len(groups); {
		if t, n := ticketAt(groups[i:]); n > 0 {
			if !slices.Contains(found, t) {
				found = append(found, t)
			}
			i += n
			continue
		}
		n := 1
		for i+n < len(groups) && groups[i+n].tied {
			n++
		}
		if w := looksLike(groups[i : i+n]); w != "" {
			mistyped = append(mistyped, w)
			i += n
			continue
		}
		i++
	}
	return found, mistyped
}

func groupsOf(text string) (all []group) {
	var b strings.Builder
	tied := false
	end := func() {
		if b.Len() > 0 {
			all = append(all, group{b.String(), tied && len(all) > 0})
			b.Reset()
			tied = false
		}
	}
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			b.WriteRune(c)
		case strings.ContainsRune("-‐‑‒–—−", c):
			end()
			tied = true
		default:
			end()
			tied = false
		}
	}
	end()
	return all
}

// ticketAt is the ticket that starts here, and of how many groups it is.
func ticketAt(groups []group) (ticket string, n int) {
	code := ""
	for n < len(groups) && len(code) < 25 {
		code += groups[n].text
		n++
	}
	t, err := license.ParseTicket(code)
	if err != nil {
		return "", 0
	}
	return string(t), n
}

// looksLike is what was written where it was probably meant as a ticket.
func looksLike(groups []group) string {
	var words []string
	long, digits := 0, false
	for _, g := range groups {
		words = append(words, g.text)
		long += len(g.text)
		digits = digits || strings.ContainsAny(g.text, "0123456789")
	}
	if long < 16 || long > 60 || len(groups) < 3 && !digits {
		return ""
	}
	return strings.Join(words, "-")
}

// serving makes sure that a number of licenses that a page names are of its
// tickets, and returns them in the order of the tickets.
func chosen(page wire.TicketPage, ids []string) (all []wire.PageLicense, err error) {
	for _, l := range page.Licenses {
		if slices.Contains(ids, string(l.ID)) {
			all = append(all, l)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(l wire.PageLicense) bool { return string(l.ID) == id }) {
			return nil, refusal.New(refusal.LicenseUnknown, "No ticket of the visit covers the license %s.", id).With("license", id)
		}
	}
	return all, nil
}

// ticketsOf are the tickets of licenses, each once.
func ticketsOf(all []wire.PageLicense) (tickets []license.Ticket) {
	for _, l := range all {
		if !slices.Contains(tickets, l.Ticket) {
			tickets = append(tickets, l.Ticket)
		}
	}
	return tickets
}
