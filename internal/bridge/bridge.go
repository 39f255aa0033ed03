// Package bridge lets a vendor's page in a browser speak to the agent of the
// machine it is read on, where the machine's user has turned that on.
//
// Any page on the web can send requests to this machine, so nothing about a request
// is believed that a page can choose. Who may ask at all is said by the vendor's
// signature: exact origins, from a list that the agent proves. What may be done is
// said by the machine's user, who types a code that the page shows where no page can
// type; then the page has a token, for an hour. What it may do then is what the
// agent's operations do for that one vendor; an update that comes of it is verified
// as ever. docs/threat-model.md has the whole list, docs/decisions/0013-bridge.md
// the reasons.
package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"licet/internal/agent"
	"licet/internal/web"
	"licet/license"
	"licet/refusal"
)

// Bounds.
const (
	maxBody      = 64 << 10
	maxHeader    = 8 << 10
	stopPatience = 10 * time.Second

	lookEvery  = time.Minute      // at the vendors that are trusted
	askEvery   = 12 * time.Hour   // a vendor for his list of origins
	retryEvery = 10 * time.Minute // one who did not answer
)

// limits are for everything that pages of allowed origins ask. What comes from
// elsewhere costs nothing, and takes nothing from them.
func limits(now func() time.Time) web.Limits {
	return web.Limits{Total: web.Rate{PerSecond: 5, Burst: 60}, AtOnceAll: 8, Now: now}
}

// Bridge answers pages. It holds no lock of the agent's and no state but what is
// allowed.
type Bridge struct {
	agent    *agent.Agent
	pairings *agent.Pairings
	now      func() time.Time
	log      *slog.Logger
	limiter  *web.Limiter
	refused  seldom

	mu      sync.RWMutex // guards origins
	origins map[string][]holder
}

// holder is a vendor whose list names an origin.
type holder struct {
	vendor, name string
	until        license.Time
}

// New makes the bridge of an agent that does not serve yet.
func New(a *agent.Agent, now func() time.Time, log *slog.Logger) *Bridge {
	return &Bridge{agent: a, pairings: a.Pairings(), now: now, log: log, limiter: web.NewLimiter(limits(now))}
}

// Listen opens a port of this machine for pages that are read on it; 0 takes a free
// one. It listens on nothing that others could reach.
func Listen(port int) ([]net.Listener, error) {
	first, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, refusal.New(refusal.Conflict, "The bridge cannot listen on port %d of 127.0.0.1: %v.", port, err).
			Hinted("Another program may have it: stop that, or choose another port with --bridge-port.")
	}
	list := []net.Listener{first}
	// A browser that prefers the other loopback address finds it too, if there is one.
	second, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(first.Addr().(*net.TCPAddr).Port)))
	if err == nil {
		list = append(list, second)
	}
	return list, nil
}

// Serve answers until ctx ends.
func (b *Bridge) Serve(ctx context.Context, listeners []net.Listener) {
	server := &http.Server{
		Handler:           b.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      5 * time.Minute, // a vendor's server may be slow
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
	var running sync.WaitGroup
	for _, l := range listeners {
		b.log.Info("bridge open", "address", "http://"+l.Addr().String())
		running.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				b.log.Error("bridge closed", "address", l.Addr().String(), "error", err)
			}
		})
	}
	b.keep(ctx)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		b.log.Warn("calls of pages were cut off", "error", err)
	}
	running.Wait()
}

// keep keeps the lists of origins of the vendors trusted up to date until ctx ends.
func (b *Bridge) keep(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	asked := map[string]time.Time{}
	for {
		b.Load()
		if b.ask(ctx, asked) {
			b.Load()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks the vendors whose turn it is for their lists, and reports whether any
// answered. Asked is when each was asked last.
func (b *Bridge) ask(ctx context.Context, asked map[string]time.Time) (any bool) {
	trusted, err := b.agent.TrustList(ctx, agent.Nothing{})
	if err != nil {
		b.log.Warn("the vendors that are trusted cannot be read", "error", err)
	}
	for _, v := range trusted {
		now := b.now()
		last, before := asked[v.VendorID]
		if before && now.Sub(last) < retryEvery || now.Sub(b.agent.OriginsTime(v.VendorID).Go()) < askEvery {
			continue
		}
		asked[v.VendorID] = now
		if err := b.agent.FetchOrigins(ctx, v.VendorID); err != nil {
			b.log.Info("no list of origins", "vendor", v.VendorID, "error", err)
			continue
		}
		any = true
	}
	return any
}

// Load reads the lists of origins that the agent keeps.
func (b *Bridge) Load() {
	lists, err := b.agent.Origins()
	if err != nil {
		b.log.Warn("the lists of origins cannot be read", "error", err)
		return
	}
	table := map[string][]holder{}
	for _, l := range lists {
		for _, o := range l.List {
			table[o] = append(table[o], holder{vendor: l.Vendor, name: l.Name, until: l.Until})
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.origins = table
}

// holders are the vendors who allow an origin now: byte for byte, or not at all.
func (b *Bridge) holders(origin string) []holder {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := license.At(b.now())
	return slices.DeleteFunc(slices.Clone(b.origins[origin]), func(h holder) bool { return now >= h.until })
}

// seldom lets so much be logged that a person sees it, and no more than that: what
// is refused can come in any number.
type seldom struct {
	mu    sync.Mutex
	since time.Time
	count int
}

const mostLogged = 30 // in a minute

func (s *seldom) now(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.Sub(s.since) >= time.Minute || at.Before(s.since) {
		s.since, s.count = at, 0
	}
	s.count++
	return s.count <= mostLogged
}
