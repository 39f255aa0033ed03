package sdk

import (
	"context"
	"fmt"
	"time"

	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Offer is what a machine has and may have of one product: where it comes from,
// until when, and what can be done.
type Offer = wire.Offer

// Offers tells for each product of a vendor, whose trust file it is, what this
// machine has and may have: licenses and loans of its own, and seats of the license
// servers that it knows, which are asked.
func Offers(ctx context.Context, trust []byte, opts ...Option) ([]Offer, error) {
	t, err := seal.ParseTrust(trust)
	if err != nil {
		return nil, fmt.Errorf("sdk: the program's trust file: %w", err)
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("sdk: %w", err)
	}
	return agent.Connect(o.agent).Offers(ctx, agent.OffersRequest{Vendor: string(t.Scope.Vendor), Servers: o.servers})
}

// Borrow takes the license along: it turns the session's seat into a loan to this
// machine, for a time, or takes a loan where the session has no seat. The program
// goes on without a break, and needs no server until the loan ends or is returned.
// Where the machine has no container yet, one is made.
//
// An error of which nobody knows whether it was lent says so; Borrow again goes on
// and never lends twice.
func (s *Session) Borrow(ctx context.Context, d time.Duration) error {
	return s.alone(ctx, func() error {
		n := s.network
		in := agent.BorrowRequest{
			Product: s.witness.product, Features: s.witness.use.Features, For: license.Duration(d.Truncate(time.Second)),
			Trust: s.witness.trust, Servers: n.addresses(ctx),
		}
		if n.client.ID != "" {
			in.Client = &n.client
		}
		if n.seat != nil {
			in.Session, in.Token, in.ServerKey = n.seat.lease.ID, n.seat.token, n.seat.body.ContainerKey
			in.Servers = []string{n.seat.server.Address()}
		}
		err := n.borrow(ctx, in)
		if looked := s.look(ctx); err == nil {
			err = looked
		}
		return err
	})
}

// borrow asks for a loan in place of the seat.
func (n *network) borrow(ctx context.Context, in agent.BorrowRequest) error {
	_, err := agent.Connect(n.witness.config).Borrow(ctx, in)
	r, refused := refusal.As(err)
	switch {
	case err == nil:
		n.borrowing = nil
		if in.Session != "" {
			n.seat, n.lost = nil, nil // it is the loan now
		}
	case !refused || quiet(r.Code) || couldNotTell(r.Code):
		n.borrowing = &in
	default:
		n.borrowing = nil
	}
	return err
}

// Return gives the loan back that the session runs on. The program goes on with a
// seat of the network, if there is one. An error says that the server could not be
// told: the loan is gone here all the same, and the seat is free at its end at the
// latest, or when the two speak again.
func (s *Session) Return(ctx context.Context) error {
	return s.alone(ctx, func() error {
		loan := s.judged.Load().evidence.loan
		if loan == nil {
			return refusal.New(refusal.NotFound, "The program runs on no loan.")
		}
		done, err := agent.Connect(s.witness.config).ReturnLoan(ctx, agent.ReturnRequest{
			Loan: string(loan.ID), Trust: s.witness.trust, Servers: s.network.addresses(ctx),
		})
		if err == nil && !done.Delivered {
			err = refusal.New(refusal.ServerUnreachable, "The loan is returned here, but its license server does not know yet: %s", done.Waits).
				Hinted("Run licet return %s when the server can be reached.", loan.ID)
		}
		_ = s.look(ctx) // the verdict says what there is now
		return err
	})
}

// Enable takes a seat of the network where the session has no license, such as
// after [Reduced] or Disable. It is nil if the program may run now; else it says
// why not.
func (s *Session) Enable(ctx context.Context) error {
	return s.alone(ctx, func() error {
		s.network.off = false
		_ = s.look(ctx) // the verdict says what went wrong
		v := s.judged.Load().verdict
		if no := v.Refusal(); no != nil {
			return no
		}
		return nil
	})
}

// Disable gives the seat back, and the program runs reduced until Enable. A license
// or loan on the machine is not touched.
func (s *Session) Disable(ctx context.Context) error {
	return s.alone(ctx, func() error {
		s.network.off = true
		s.network.release(ctx)
		return s.look(ctx)
	})
}

// Wait waits until the program may run, or ctx ends. It looks again whenever the
// license servers want to be asked.
func (s *Session) Wait(ctx context.Context) error {
	for {
		s.publishing.Lock()
		news := s.news
		s.publishing.Unlock()
		if s.Valid() {
			return nil
		}
		t := time.NewTimer(s.pause())
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-s.life.Done():
			t.Stop()
			return ErrClosed
		case <-news: // somebody else looked
			t.Stop()
			continue
		case <-t.C:
		}
		if err := s.Refresh(ctx); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
