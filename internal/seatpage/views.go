package seatpage

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"licet/internal/seatserver"
	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// perPage is how many rows a list shows at once.
const perPage = 100

// seatsView is what the first page shows.
type seatsView struct {
	pools   []seats.PoolView
	queue   []seats.WaiterView
	waiting int
	stopped *refusal.Refusal
	sum     struct{ seats, leased, lent, free int64 }
	until   license.Time // some seats are not given before, after a loss of the record
	lost    bool
	again   bool
}

func (p *pages) seats(w http.ResponseWriter, r *http.Request, v visit) error {
	s := seatsView{pools: p.server.Pools(), queue: p.server.Queue(), stopped: p.server.Stopped(), again: again(r)}
	s.waiting = len(s.queue)
	s.queue = s.queue[:min(len(s.queue), perPage)]
	for _, one := range s.pools {
		if one.Counting != string(license.Unlimited) {
			s.sum.seats += one.Seats
			s.sum.free += one.Free
		}
		s.sum.leased += one.Leased
		s.sum.lent += one.Lent
		s.until = max(s.until, one.Until)
		s.lost = s.lost || one.Code == refusal.SeatsUncertain
	}
	s.lost = s.lost || s.until > 0
	return p.show(w, r, http.StatusOK, seatsPage(v, s))
}

// leaseList is a part of what is out.
type leaseList struct {
	rows           []seats.LeaseView
	all            int // of this kind, filtered
	from           int // of the first row, 0 is the first of all
	any            bool
	find           string
	previous, next string
	again          bool
}

// leases are those of a kind that a text is found in.
func (p *pages) leases(r *http.Request, path string, session bool) leaseList {
	q := r.URL.Query()
	l := leaseList{find: cut(q.Get("q")), again: again(r)}
	var found []seats.LeaseView
	for _, one := range p.server.Leases() {
		if (one.Kind == seats.Session) == session {
			l.any = true
			if fits(one, l.find) {
				found = append(found, one)
			}
		}
	}
	l.all = len(found)
	n, err := strconv.Atoi(q.Get("page"))
	if err != nil || n < 1 || (n-1)*perPage >= max(1, len(found)) {
		n = 1
	}
	l.from = (n - 1) * perPage
	l.rows = found[l.from:min(len(found), l.from+perPage)]
	there := func(n int) string {
		to := url.Values{"page": {strconv.Itoa(n)}}
		if l.find != "" {
			to.Set("q", l.find)
		}
		return path + "?" + to.Encode()
	}
	if n > 1 {
		l.previous = there(n - 1)
	}
	if l.from+perPage < len(found) {
		l.next = there(n + 1)
	}
	return l
}

func fits(l seats.LeaseView, find string) bool {
	if find == "" {
		return true
	}
	find = strings.ToLower(find)
	for _, text := range []string{l.Product, string(l.License), l.Client.User, l.Client.Host, l.Client.ID, l.Address, string(l.Holder), string(l.Lease)} {
		if strings.Contains(strings.ToLower(text), find) {
			return true
		}
	}
	return false
}

func (p *pages) inUse(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.show(w, r, http.StatusOK, sessionsPage(v, p.leases(r, "/sessions", true)))
}

func (p *pages) onLoan(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.show(w, r, http.StatusOK, loansPage(v, p.leases(r, "/loans", false)))
}

// session is one session; NotFound for a loan or nothing.
func (p *pages) session(r *http.Request) (seats.LeaseView, error) {
	id := seats.LeaseID(r.PathValue("lease"))
	for _, one := range p.server.Leases() {
		if one.Lease == id && one.Kind == seats.Session {
			return one, nil
		}
	}
	return seats.LeaseView{}, refusal.New(refusal.NotFound, "There is no such session.")
}

func (p *pages) endPage(w http.ResponseWriter, r *http.Request, v visit) error {
	one, err := p.session(r)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, endPage(v, one))
}

func (p *pages) end(w http.ResponseWriter, r *http.Request, _ visit) error {
	one, err := p.session(r)
	if err == nil {
		err = p.server.End(one.Lease, "the server's page, from "+r.RemoteAddr, cut(r.PostForm.Get("why")))
	}
	switch {
	case refusal.Is(err, refusal.NotFound), refusal.Is(err, refusal.LeaseLost):
		p.sessions.did(r, "gone") // it ended by itself meanwhile: what was wanted is so
	case err != nil:
		return err
	default:
		p.sessions.did(r, "ended")
	}
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
	return nil
}

// accessView is the rules as they are, and a try of them.
type accessView struct {
	rules    wire.RulesView
	tried    bool
	product  string
	user     string
	host     string
	group    string
	address  string
	wrong    string // the address does not read
	decision seats.Decision
}

func (p *pages) access(w http.ResponseWriter, r *http.Request, v visit) error {
	q := r.URL.Query()
	a := accessView{
		rules: p.server.Rules(), tried: q.Has("product"), product: cut(q.Get("product")), user: cut(q.Get("user")), host: cut(q.Get("host")),
		group: cut(q.Get("group")), address: cut(q.Get("address")),
	}
	status := http.StatusOK
	if !a.tried {
		if pools := p.server.Pools(); len(pools) > 0 {
			a.product = pools[0].Product
		}
		return p.show(w, r, status, accessPage(v, a))
	}
	who := seats.Caller{Client: seats.Client{User: a.user, Host: a.host, Groups: listed(a.group)}}
	if a.address != "" {
		addr, err := netip.ParseAddr(a.address)
		if err != nil {
			a.wrong, status = a.address, http.StatusUnprocessableEntity
		}
		who.Address = addr.Unmap().WithZone("")
		who.Local = who.Address.IsLoopback()
	}
	a.decision = p.server.Decide(who, a.product)
	return p.show(w, r, status, accessPage(v, a))
}

func listed(text string) (list []string) {
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

// usageView is use and denials of the stretches that are shown.
type usageView struct {
	by       string
	product  string
	products []string // that there are
	rows     []wire.UsageRow
	starts   []time.Time // of the stretches, the oldest first
	gaps     []string
	since    license.Time
}

// stretches are how many hours, days or months are shown.
var stretches = map[string]int{"hour": 48, "day": 31, "month": 13}

// mostPictures is how many products are drawn where none is chosen.
const mostPictures = 6

func (p *pages) usage(w http.ResponseWriter, r *http.Request, v visit) error {
	q := r.URL.Query()
	u := usageView{by: q.Get("by"), product: cut(q.Get("product"))}
	if stretches[u.by] == 0 {
		u.by = "day"
	}
	all, err := p.server.Usage(u.by)
	if err != nil {
		return err
	}
	u.gaps, u.since = all.Gaps, all.Since
	u.starts = lastStarts(p.now().UTC(), u.by)
	first := license.At(u.starts[0])
	for _, row := range slices.Backward(all.Rows) {
		if row.From < first {
			break
		}
		if !slices.Contains(u.products, row.Product) {
			u.products = append(u.products, row.Product)
		}
		if u.product == "" || row.Product == u.product {
			u.rows = append(u.rows, row)
		}
	}
	slices.Sort(u.products)
	return p.show(w, r, http.StatusOK, usagePage(v, u))
}

// lastStarts are the beginnings of the stretches up to now, the oldest first.
func lastStarts(now time.Time, by string) []time.Time {
	starts := make([]time.Time, stretches[by])
	for n := range starts {
		back := len(starts) - 1 - n
		switch by {
		case "hour":
			starts[n] = now.Truncate(time.Hour).Add(-time.Duration(back) * time.Hour)
		case "day":
			starts[n] = time.Date(now.Year(), now.Month(), now.Day()-back, 0, 0, 0, 0, time.UTC)
		default:
			starts[n] = time.Date(now.Year(), now.Month()-time.Month(back), 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return starts
}

// pictured are the products that are drawn: those with most going on first.
func (u usageView) pictured() []string {
	if u.product != "" {
		return []string{u.product}
	}
	much := map[string]uint64{}
	for _, row := range u.rows {
		much[row.Product] += row.Grants + row.Denied + uint64(max(0, row.Peak))
	}
	list := slices.Clone(u.products)
	slices.SortStableFunc(list, func(a, b string) int {
		switch {
		case much[a] > much[b]:
			return -1
		case much[a] < much[b]:
			return 1
		}
		return 0
	})
	return list[:min(len(list), mostPictures)]
}

// export answers with what the pages show, for programs and spreadsheets.
func (p *pages) export(w http.ResponseWriter, r *http.Request, _ visit) error {
	name := r.PathValue("file")
	what, kind, _ := strings.Cut(name, ".")
	var value any
	var table []byte
	switch what {
	case "pools":
		value = p.server.Pools()
	case "queue":
		value = p.server.Queue()
	case "leases":
		leases := p.server.Leases()
		value, table = leases, seatserver.LeasesCSV(leases)
	case "usage":
		by := r.URL.Query().Get("by")
		if stretches[by] == 0 {
			by = "day"
		}
		usage, err := p.server.Usage(by)
		if err != nil {
			return err
		}
		value, table = usage, seatserver.UsageCSV(usage.Rows)
	}
	h := w.Header()
	switch {
	case kind == "csv" && table != nil:
		h.Set("Content-Type", "text/csv; charset=utf-8")
	case kind == "json" && value != nil:
		var err error
		if table, err = json.MarshalIndent(value, "", "  "); err != nil {
			return err
		}
		h.Set("Content-Type", "application/json")
	default:
		return refusal.New(refusal.NotFound, "There is no such export.")
	}
	h.Set("Content-Disposition", `attachment; filename="licet-`+what+"."+kind+`"`)
	_, _ = w.Write(table) // a connection that broke is the reader's
	return nil
}

// cut keeps what is typed short and free of what no text has.
func cut(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, ""))
}
