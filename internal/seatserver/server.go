// Package seatserver is the license server of a network: it shares the seats of the
// licenses that this machine's containers hold.
//
// Package seats decides, the ledger remembers, the container signs. One lock is
// around the engine; what it decides is put into the ledger in the same order, and
// answered when the ledger has it on the disk (docs/protocol.md R26). Leases that
// become durable together share one signature.
package seatserver

import (
	"context"
	"encoding/hex"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"licet/internal/agent"
	"licet/internal/durable"
	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// folder is where a server keeps what is its own, below its home.
const folder = "server"

// Server shares the seats of one home. Make it with New, then Open it, and Run it
// until the end.
type Server struct {
	agent    *agent.Agent
	cfg      agent.Config
	log      *slog.Logger
	limits   seats.Limits
	instance string
	admin    adminToken
	dir      *os.Root
	pages    http.Handler // what browsers are shown; nil for nothing

	mu      sync.Mutex // guards what follows; what is decided under it enters the ledger under it
	engine  *seats.Engine
	ledger  *ledger.Ledger[*grant]
	lines   lines // for records on their way into it
	sources map[sourceKey]*source
	keepers map[license.Serial]*keeper
	rules   rules
	last    time.Time                 // of the clock, to see it being set
	stopped *refusal.Refusal          // why nothing is given or taken; nil while all is well
	longest license.Duration          // of all sessions that there may be
	copies  map[license.Serial]string // containers of which another server was met, and where
	shared  []agent.Shared            // the containers as they were read last
	looks   int                       // how often they were
	leaving map[sourceKey]int         // licenses that were about to leave their container, by how often it was looked then
	anchor  anchor
	usage   usage
}

// New makes the license server of an agent's home. Nothing is read or made yet.
func New(a *agent.Agent, cfg agent.Config, limits seats.Limits) *Server {
	cfg = cfg.Filled()
	s := &Server{agent: a, cfg: cfg, log: cfg.Log, limits: limits, copies: map[license.Serial]string{}, leaving: map[sourceKey]int{}}
	a.AskLent(s.out)
	var id [8]byte
	cfg.Random(id[:])
	s.instance = hex.EncodeToString(id[:])
	return s
}

// Open reads the containers, the rules and the ledger. The home's lock must be held.
func (s *Server) Open(ctx context.Context) error {
	path := filepath.Join(s.cfg.Home, folder)
	if err := s.cfg.Disk.MkdirAll(path, durable.PrivateDir); err != nil {
		return storage(err)
	}
	var err error
	if s.dir, err = os.OpenRoot(path); err != nil {
		return storage(err)
	}
	if err := s.loadToken(); err != nil {
		return err
	}
	shared, err := s.agent.Shared(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loadRules()
	if err := s.openLedger(shared); err != nil {
		return err
	}
	if err := s.openUsage(); err != nil {
		return err
	}
	if err := s.agent.MarkSharing(true); err != nil {
		return err
	}
	for _, p := range s.engine.Pools(s.clock()) {
		s.log.Info("sharing", "product", p.Product, "license", p.License, "seats", p.Seats, "code", p.Code)
	}
	return nil
}

// Times of the loop.
const (
	tickEvery    = time.Second
	refreshEvery = time.Minute      // looks at the containers, whatever is heard of them
	healEvery    = 10 * time.Second // tries to write again after the disk failed
)

// Run does what time brings until ctx ends. It closes the server then, after the
// last request was served.
func (s *Server) Run(ctx context.Context, served <-chan struct{}) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	healed := time.Now()
	s.remember(ctx, true)
	for {
		select {
		case <-ctx.Done():
			<-served
			s.close(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			s.Tick()
			if s.broken() && time.Since(healed) >= healEvery {
				healed = time.Now()
				s.heal(ctx)
			}
			s.remember(ctx, false)
		case <-refresh.C:
			s.Refresh(ctx)
		case <-s.agent.Changed():
			s.Refresh(ctx)
		}
	}
}

// Tick ends what is over and writes what has to be written from time to time.
func (s *Server) Tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloadRules()
	if s.stopped != nil {
		return
	}
	s.note(s.engine.Tick(s.clock()))
	s.usageTick()
	if now, snapshot := s.ledger.Size(); now > compactAt+4*snapshot {
		s.ledger.Compact(s.snapshot())
	}
}

// Refresh looks at the containers anew.
func (s *Server) Refresh(ctx context.Context) {
	s.mu.Lock()
	s.looks++
	s.mu.Unlock()
	shared, err := s.agent.Shared(ctx)
	if err != nil {
		s.log.Warn("the containers cannot be read; the seats are shared as before", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.leaving, func(_ sourceKey, then int) bool { return then < s.looks })
	s.share(shared)
	s.engine.SetSources(s.clock(), s.list(shared))
}

// clock is the time. Where the computer's clock was set, the engine is told first,
// so that sessions last as long as what really passed. The caller holds mu.
func (s *Server) clock() license.Time {
	t := s.cfg.Now()
	if !s.last.IsZero() {
		// A time that carries no monotonic reading differs from itself by nothing.
		moved := t.Round(0).Sub(s.last.Round(0)) - t.Sub(s.last)
		if moved > leastMove || moved < -leastMove {
			s.log.Warn("the computer's clock was set", "by", moved)
			s.engine.ClockMoved(moved)
		}
	}
	s.last = t
	return license.At(t)
}

// leastMove is what clocks differ by without having been set.
const leastMove = 50 * time.Millisecond

// broken reports whether the ledger takes nothing any more.
func (s *Server) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped != nil
}

// close makes durable what is to be, and lets go of the files.
func (s *Server) close(ctx context.Context) {
	if err := s.agent.MarkSharing(false); err != nil {
		s.log.Warn("programs on this machine take the license server for one that runs", "error", err)
	}
	s.mu.Lock()
	s.saveUsage()
	s.stopped = refusal.New(refusal.ServerUnreachable, "The license server is stopping.").Hinted("Ask again in a moment, or ask another server.")
	s.mu.Unlock()
	if err := s.ledger.Pending().Wait(); err != nil {
		s.log.Error("the ledger was not written to its end", "error", err)
	}
	s.remember(ctx, true)
	if err := s.ledger.Close(); err != nil {
		s.log.Error("the ledger was not closed well", "error", err)
	}
	if err := s.usage.log.Close(); err != nil {
		s.log.Error("the record of use was not written to its end", "error", err)
	}
	s.dir.Close()
}
