// Package meter gives figures about the server to a monitoring system, in the
// text form that Prometheus reads. It counts requests, and asks the registry how
// many of what there are. Figures hold no names, tickets or serials.
package meter

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"licet/internal/registry"
	"licet/internal/web"
)

// Path is where the figures are.
const Path = "/metrics"

// Meter counts what a server does.
type Meter struct {
	all      *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	log      *slog.Logger
}

// New makes a meter for a server of that version. now is its clock.
func New(reg *registry.Registry, version string, now func() time.Time, log *slog.Logger) *Meter {
	m := &Meter{
		all: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "licet_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "licet_http_request_seconds", Help: "Time from a request's arrival to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 45},
		}, []string{"route"}),
		log: log,
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "licet_build_info", Help: "Always 1; the version of the server is its label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.all.MustRegister(m.requests, m.seconds, build, &book{registry: reg, now: now, log: log},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Answered counts one request. It is for web.ObserveAnd.
func (m *Meter) Answered(_ context.Context, a web.Answered) {
	route := a.Route
	if route == "" {
		route = "none" // what has no route must not become a figure of its own
	}
	m.requests.WithLabelValues(route, a.Method, status(a.Status)).Inc()
	m.seconds.WithLabelValues(route).Observe(a.Took.Seconds())
}

// status is a status code as a label; there are few.
func status(code int) string {
	if text := http.StatusText(code); text == "" {
		return "other"
	}
	return string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}

// Handler answers with the figures.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.all, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(m.log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
		Timeout:       10 * time.Second,
	})
}

// What the record holds.
var (
	licenses   = prometheus.NewDesc("licet_licenses", "Licenses by state.", []string{"state"}, nil)
	containers = prometheus.NewDesc("licet_containers", "Containers by condition: all, flagged, blocked.", []string{"condition"}, nil)
	orders     = prometheus.NewDesc("licet_orders", "Orders.", nil, nil)
	recoveries = prometheus.NewDesc("licet_recoveries_open", "Reports of lost licenses that wait for staff, or for an answer of who reported.", nil, nil)
	earmarks   = prometheus.NewDesc("licet_vendor_actions_pending", "Actions of the vendor that wait for a container.", nil, nil)
	hooks      = prometheus.NewDesc("licet_webhooks", "Webhooks by condition: all, failing, stopped by the server.", []string{"condition"}, nil)
	deliveries = prometheus.NewDesc("licet_webhook_deliveries", "Events for receivers by state: pending, failed (given up).", []string{"state"}, nil)
	tail       = prometheus.NewDesc("licet_audit_tail", "Events that the audit log has not taken in yet, of at most 10000.", nil, nil)
	epoch      = prometheus.NewDesc("licet_epoch", "Epoch of the record; it grows when the record is recovered.", nil, nil)
	heldBack   = prometheus.NewDesc("licet_licenses_held_back", "Licenses that are not given out since the record came back from a back-up, by why.", []string{"why"}, nil)
	silent     = prometheus.NewDesc("licet_containers_silent", "Containers that were not in contact since the record came back from a back-up.", nil, nil)
	outdated   = prometheus.NewDesc("licet_record_outdated", "1 if another record is known to be newer: nothing is handed out then.", nil, nil)
	journaled  = prometheus.NewDesc("licet_journal_failing", "1 if the second journal cannot be written: nothing leaves the server then. 0 also where there is none.", nil, nil)
	up         = prometheus.NewDesc("licet_database_up", "1 if the record could be read, else 0.", nil, nil)
)

// costShare is how small a part of its time the server may spend on counting.
const costShare = 100

// book reads figures of the record. Counting a large record takes a while, so the
// figures of before are given again until a hundred times as long has passed.
type book struct {
	registry *registry.Registry
	now      func() time.Time
	log      *slog.Logger

	mu   sync.Mutex // held while counting, so that one scrape counts
	last registry.Figures
	good bool
	next time.Time
}

// Describe names the figures.
func (b *book) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{licenses, containers, orders, recoveries, earmarks, hooks, deliveries, tail, epoch, heldBack, silent, outdated, journaled, up} {
		to <- d
	}
}

// Collect gives the figures. Where the record cannot be read, it says that and
// gives no figure: an old one would look like a calm day.
func (b *book) Collect(to chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if start := b.now(); !b.good || !start.Before(b.next) {
		ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		defer cancel()
		figures, err := b.registry.Figures(ctx)
		if err != nil {
			b.log.Error("counting for "+Path, "fault", err)
		}
		b.last, b.good = figures, err == nil
		b.next = start.Add(costShare * b.now().Sub(start))
	}
	gauge := func(d *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	failing := int64(0)
	if b.registry.JournalFault() != nil {
		failing = 1
	}
	gauge(journaled, failing)
	if !b.good {
		gauge(up, 0)
		return
	}
	gauge(up, 1)
	for _, s := range b.last.Licenses {
		gauge(licenses, s.Count, string(s.State))
	}
	gauge(containers, b.last.Containers, "all")
	gauge(containers, b.last.Flagged, "flagged")
	gauge(containers, b.last.Blocked, "blocked")
	gauge(orders, b.last.Orders)
	gauge(recoveries, b.last.Recoveries)
	gauge(earmarks, b.last.Earmarks)
	gauge(hooks, b.last.Webhooks.Webhooks, "all")
	gauge(hooks, b.last.Webhooks.Failing, "failing")
	gauge(hooks, b.last.Webhooks.Stopped, "stopped")
	gauge(deliveries, b.last.Webhooks.Pending, "pending")
	gauge(deliveries, b.last.Webhooks.Failed, "failed")
	gauge(tail, b.last.Tail)
	gauge(epoch, int64(b.last.Epoch))
	gap := b.last.Gap
	for _, why := range registry.HeldBackWhys {
		gauge(heldBack, gap.HeldBackFor[why], why)
	}
	gauge(silent, gap.Silent)
	stale := int64(0)
	if gap.Outdated != "" {
		stale = 1
	}
	gauge(outdated, stale)
}
