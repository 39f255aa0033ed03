package registry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

const (
	// reportFresh is how long a report is kept: it reads every license.
	reportFresh = time.Minute
	// reportMonths is how many months it looks back, and ahead.
	reportMonths = 12
	// reportSoon is what ends soon.
	reportSoon = 30 * 24 * time.Hour
)

// reportCache is the last report of this server. Whoever comes while one is counted
// waits for it.
type reportCache struct {
	lock sync.Mutex
	last wire.LicenseReport // its Time is 0 where there is none
}

// LicenseReport counts the licenses: by product, by month, and what somebody should
// look at. It is at most a minute old.
func (r *Registry) LicenseReport(ctx context.Context, a Actor) (wire.LicenseReport, error) {
	if err := a.may(ScopeRead); err != nil {
		return wire.LicenseReport{}, err
	}
	c := &r.report
	c.lock.Lock()
	defer c.lock.Unlock()
	now := r.cfg.Now()
	if age := now.Sub(c.last.Time.Go()); c.last.Time != 0 && age >= 0 && age < reportFresh {
		return c.last, nil
	}
	out, err := r.countLicenses(ctx, license.At(now))
	if err == nil {
		c.last = out
	}
	return out, err
}

func (r *Registry) countLicenses(ctx context.Context, now license.Time) (wire.LicenseReport, error) {
	t := newLicenseTally(now)
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		products, err := tx.Products()
		if err != nil {
			return err
		}
		for _, p := range products {
			t.names[p.Code] = p.Name
		}
		if err := tx.EachLicense(t.add); err != nil {
			return err
		}
		restores, err := tx.RestoresSince(t.from)
		if err != nil {
			return err
		}
		for _, restore := range restores {
			t.month(restore.Time, func(m *wire.ReportMonth) { m.Restored++ })
		}
		t.report.Attention, err = attention(tx)
		return err
	})
	return t.done(), err
}

func attention(tx *store.Tx) (wire.ReportAttention, error) {
	f, err := tx.Numbers()
	return wire.ReportAttention{Flagged: f.Flagged, Blocked: f.Blocked, Recoveries: f.Recoveries, Pending: f.Earmarks}, err
}

// licenseTally is a report while it is counted.
type licenseTally struct {
	now, soon, from license.Time
	names           map[string]string
	lines           map[string]*wire.ReportLine
	starts          []license.Time // of each month, and the end of the last
	report          wire.LicenseReport
}

func newLicenseTally(now license.Time) *licenseTally {
	t := &licenseTally{now: now, soon: now.Add(reportSoon), names: map[string]string{}, lines: map[string]*wire.ReportLine{}}
	t.report.Time = now
	day := now.Go()
	for n := -reportMonths; n <= reportMonths+1; n++ {
		start := time.Date(day.Year(), day.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		t.starts = append(t.starts, license.At(start))
		if n <= reportMonths {
			t.report.Months = append(t.report.Months, wire.ReportMonth{Month: start.Format("2006-01")})
		}
	}
	t.from = t.starts[0]
	return t
}

// month counts what is at a moment in its month, if that is one of the report's.
func (t *licenseTally) month(at license.Time, count func(*wire.ReportMonth)) {
	if at < t.starts[0] || at >= t.starts[len(t.starts)-1] {
		return
	}
	n, found := slices.BinarySearch(t.starts, at)
	if !found {
		n--
	}
	count(&t.report.Months[n])
}

func (t *licenseTally) add(c store.Counted) {
	if c.Sold {
		t.month(c.Created, func(m *wire.ReportMonth) { m.Issued++ })
		t.month(c.Activated, func(m *wire.ReportMonth) { m.Activated++ })
	}
	if !c.There {
		return
	}
	line := t.lines[c.Product]
	if line == nil {
		line = &wire.ReportLine{Product: c.Product, Name: t.names[c.Product]}
		t.lines[c.Product] = line
	}
	line.Licenses++
	if c.State == license.Gone {
		line.Gone++
		return
	}
	line.Seats += c.Seats
	line.Units += c.Units
	line.UsedUnits += c.Used
	switch c.State {
	case license.NotCollected, license.Returned:
		line.Free++
		return
	case license.Returning:
		line.Returning++
		return
	}
	line.Active++
	line.ActiveSeats += c.Seats
	if c.Ends == 0 {
		return
	}
	t.month(c.Ends, func(m *wire.ReportMonth) { m.Ending++ })
	switch {
	case c.Ends <= t.now:
		line.Ended++
	case c.Ends <= t.soon:
		line.EndSoon++
	}
}

func (t *licenseTally) done() wire.LicenseReport {
	t.report.Products = []wire.ReportLine{}
	sum := &t.report.Total
	for _, l := range slices.SortedFunc(maps.Values(t.lines), func(a, b *wire.ReportLine) int { return strings.Compare(a.Product, b.Product) }) {
		t.report.Products = append(t.report.Products, *l)
		sum.Licenses += l.Licenses
		sum.Free += l.Free
		sum.Active += l.Active
		sum.Returning += l.Returning
		sum.Gone += l.Gone
		sum.Seats += l.Seats
		sum.ActiveSeats += l.ActiveSeats
		sum.Units += l.Units
		sum.UsedUnits += l.UsedUnits
		sum.Ended += l.Ended
		sum.EndSoon += l.EndSoon
	}
	return t.report
}
