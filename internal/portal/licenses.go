package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"licet/internal/look"
	"licet/license"
	"licet/wire"
)

// perPage is how many licenses one page shows.
const perPage = 50

// overview is all that the tickets of a visit hold.
type overview struct {
	Page     wire.TicketPage
	Wrong    []string
	Done     string // what the agent has just done
	Tickets  []ofTicket
	Free     int // can be activated now
	Held     int // with a user
	Lost     bool
	Continue bool
	Waiting  []wire.PageRecovery
	Links    look.Pagination
}

// ofTicket is one ticket with those of its licenses that this page shows.
type ofTicket struct {
	wire.PageTicket
	Licenses []wire.PageLicense
	Count    int // all of them
}

func (p *portal) licenses(w http.ResponseWriter, r *http.Request) error {
	v, page, ok, err := p.opened(w, r)
	if !ok {
		return err
	}
	o := overview{Page: page}
	if done := r.URL.Query().Get("done"); done == forActivate || done == forReturn {
		o.Done = done
	}
	for _, x := range v.Wrong {
		o.Wrong = append(o.Wrong, x.say(r))
	}
	for _, l := range page.Licenses {
		if l.Activate {
			o.Free++
		}
		if l.Container != "" {
			o.Held++
		}
		if _, ok := offered(l); ok {
			o.Lost = true
		}
		o.Continue = o.Continue || l.Continue
	}
	for _, rec := range page.Recoveries {
		if waits(rec.State) {
			o.Waiting = append(o.Waiting, rec)
		}
	}
	number, _ := strconv.Atoi(r.URL.Query().Get("page")) // 0 where it is none
	o.part(max(number, 1))
	return show(w, r, http.StatusOK, overviewPage(o))
}

// part puts one page of the licenses under their tickets.
func (o *overview) part(number int) {
	total := len(o.Page.Licenses)
	number = min(number, max(1, (total+perPage-1)/perPage))
	from := (number - 1) * perPage
	shown := o.Page.Licenses[min(from, total):min(from+perPage, total)]
	for _, t := range o.Page.Tickets {
		if !t.Known {
			continue
		}
		x := ofTicket{PageTicket: t}
		of := func(l wire.PageLicense) bool { return string(l.Ticket) == t.Ticket }
		for _, l := range shown {
			if of(l) {
				x.Licenses = append(x.Licenses, l)
			}
		}
		for _, l := range o.Page.Licenses {
			if of(l) {
				x.Count++
			}
		}
		if len(x.Licenses) > 0 || x.Count == 0 && number == 1 {
			o.Tickets = append(o.Tickets, x)
		}
	}
	if total <= perPage {
		return
	}
	o.Links = look.Pagination{From: int64(from + 1), To: int64(from + len(shown)), Total: int64(total)}
	if number > 1 {
		o.Links.Previous = "/licenses?page=" + strconv.Itoa(number-1)
	}
	if from+perPage < total {
		o.Links.Next = "/licenses?page=" + strconv.Itoa(number+1)
	}
}

// activateOne is where one license is activated: at once, or by way of a choice.
func activateOne(l wire.PageLicense) string {
	q := url.Values{"license": {string(l.ID)}}.Encode()
	if len(l.Kinds) > 1 && !onlyMachines(l) {
		return "/activate?" + q
	}
	return "/activate/file?" + q
}

func onlyMachines(l wire.PageLicense) bool {
	return !slices.ContainsFunc(l.Kinds, func(k license.Kind) bool { return k != license.Machine })
}
