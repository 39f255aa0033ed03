package sdktest

import (
	"context"
	"sync"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/internal/seatserver"
	"licet/license"
	"licet/seats"
)

// Server is a license server on the network of a test: a machine of its own that
// shares the seats of its licenses, as licet serve --listen does. It is reached on
// the loopback address.
type Server struct {
	*Machine
	limits  seats.Limits
	mu      sync.Mutex // guards what follows
	address string
	end     func()
}

// Server sets up a license server that shares the licenses of tickets. It runs until
// the test ends, or Stop.
func (v *Vendor) Server(t testing.TB, tickets ...string) *Server {
	t.Helper()
	s := &Server{Machine: v.Machine(t), limits: seats.Defaults, address: "127.0.0.1:0"}
	if len(tickets) > 0 {
		s.Activate(tickets...)
	}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Address is where the server is reached.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Start starts the server again after Stop, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := seatserver.Listen(s.address)
	s.must(err)
	s.address = listener.Addr().String()
	cfg := s.config()
	a := agent.Open(cfg)
	server := seatserver.New(a, cfg, s.limits)
	ctx, cancel := context.WithCancel(context.Background())
	opened, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- a.Serve(ctx, agent.Serving{Refresh: -1, Seats: server.Local(), Beside: func(ctx context.Context) {
			err := server.Open(ctx)
			opened <- err
			if err != nil {
				listener.Close()
				return
			}
			stop, cancel := context.WithCancel(ctx)
			defer cancel()
			served := make(chan struct{})
			go func() {
				server.Serve(stop, []seatserver.Listener{listener})
				close(served)
			}()
			server.Run(ctx, served)
		}})
	}()
	select {
	case err := <-opened:
		s.must(err)
	case err := <-ended:
		cancel()
		listener.Close()
		s.t.Fatalf("sdktest: the license server ended: %v", err)
	}
	s.end = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("sdktest: the license server ended: %v", err)
		}
	}
}

// Stop ends the server, as if it were switched off well. What it remembers stays.
func (s *Server) Stop() {
	s.mu.Lock()
	end := s.end
	s.end = nil
	s.mu.Unlock()
	if end != nil {
		end()
	}
}

// Move gives the server another address.
func (s *Server) Move() {
	s.t.Helper()
	s.Stop()
	s.mu.Lock()
	s.address = "127.0.0.1:0"
	s.mu.Unlock()
	s.Start()
}

// Use puts license servers on the machine's list, in this order, in place of those
// that were there.
func (m *Machine) Use(servers ...*Server) {
	m.t.Helper()
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.Address())
	}
	m.UseAddresses(addresses...)
}

// UseAddresses is Use for addresses.
func (m *Machine) UseAddresses(addresses ...string) {
	m.t.Helper()
	c := m.client()
	old, err := c.Servers(m.t.Context())
	m.must(err)
	_, err = c.ChangeServers(m.t.Context(), agent.ServersChange{Remove: old.List, Add: addresses})
	m.must(err)
}

// Borrow takes a seat of a product along, as licet borrow does, and returns the
// loan's id.
func (m *Machine) Borrow(product string, d time.Duration) string {
	m.t.Helper()
	done, err := m.client().Borrow(m.t.Context(), agent.BorrowRequest{Product: product, For: license.Duration(d)})
	m.must(err)
	return string(done.Loan.ID)
}

// GiveBack returns a loan, as licet return does, and reports whether the license
// server knows.
func (m *Machine) GiveBack(loan string) bool {
	m.t.Helper()
	done, err := m.client().ReturnLoan(m.t.Context(), agent.ReturnRequest{Loan: loan})
	m.must(err)
	return done.Delivered
}
