package seatserver

import (
	"context"
	"encoding/base32"
	"time"

	"cmp"
	"slices"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
)

// granted is a seat that may be answered.
type granted struct {
	seats.Grant
	*grant // the signed lease; nil where none was asked for
}

// mint draws the name and the token of a lease.
func (s *Server) mint() (seats.LeaseID, seats.Token) {
	var b [26]byte
	s.cfg.Random(b[:])
	return seats.LeaseID(leaseNames.EncodeToString(b[:10])), seats.Token(b[10:])
}

var leaseNames = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Claim gives a seat.
func (s *Server) Claim(who seats.Caller, c seats.Claim) (granted, error) {
	s.mu.Lock()
	if s.stopped != nil {
		defer s.mu.Unlock()
		return granted{}, s.stopped
	}
	now := s.clock()
	g, records, no := s.engine.Claim(now, who, c, s.mint)
	s.usage.claimed(c.Product, no)
	if no != nil {
		group := s.note(records)
		s.mu.Unlock()
		return granted{}, s.wait(group, no)
	}
	item, group, err := s.issue(g, records)
	s.mu.Unlock()
	if err != nil {
		return granted{}, err
	}
	if err := s.wait(group, nil); err != nil {
		return granted{}, err
	}
	return granted{g, item}, item.err
}

// issue puts a grant into the ledger and has it signed. The caller holds mu.
func (s *Server) issue(g seats.Grant, records []seats.Record) (*grant, *ledger.Group, error) {
	item := &grant{source: s.sources[sourceKey{g.Lease.Server, g.Lease.License}]}
	var err error
	if item.source == nil {
		err = refusal.New(refusal.NoLicense, "The license %s, of which the seat is, is not on this server any more.", g.Lease.License)
	} else {
		item.lease, err = seal.EncodeLease(g.Lease)
	}
	if err != nil {
		s.note(records) // the engine has it so
		return nil, nil, err
	}
	return item, s.ledger.Append(item, s.lines.of(records)...), nil
}

// wait waits for the ledger before anything is said that rests on it, and answers no,
// or why the ledger failed.
func (s *Server) wait(group *ledger.Group, no *refusal.Refusal) error {
	if err := group.Wait(); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fail(err)
	}
	if no != nil {
		return no
	}
	return nil
}

// Extend lets a session last longer. Nothing is written; with a nonce the new end is
// signed.
func (s *Server) Extend(id seats.LeaseID, t seats.Token, nonce string) (granted, error) {
	s.mu.Lock()
	g, no := s.engine.Extend(s.clock(), id, t, nonce)
	if no != nil {
		s.mu.Unlock()
		return granted{}, no
	}
	if nonce == "" {
		s.mu.Unlock()
		return granted{Grant: g}, nil
	}
	if s.stopped != nil {
		defer s.mu.Unlock()
		return granted{}, s.stopped
	}
	item, group, err := s.issue(g, nil)
	s.mu.Unlock()
	if err != nil {
		return granted{}, err
	}
	if err := s.wait(group, nil); err != nil {
		return granted{}, err
	}
	return granted{g, item}, item.err
}

// Release gives a seat back.
func (s *Server) Release(id seats.LeaseID, t seats.Token) error {
	return s.change(func(now license.Time) ([]seats.Record, *refusal.Refusal) { return s.engine.Release(now, id, t) })
}

// End ends a session by an administrator's word.
func (s *Server) End(id seats.LeaseID, by, why string) error {
	s.log.Info("an administrator ends a session", "lease", id, "by", by, "why", why)
	return s.change(func(now license.Time) ([]seats.Record, *refusal.Refusal) { return s.engine.End(now, id, by, why) })
}

// Pardon ends the waiting after a loss of the record by an administrator's word,
// which stays in the ledger.
func (s *Server) Pardon(by, why string) error {
	s.log.Warn("an administrator ends the waiting after a loss of the record", "by", by, "why", why)
	return s.change(func(now license.Time) ([]seats.Record, *refusal.Refusal) { return s.engine.Pardon(now, by, why), nil })
}

func (s *Server) change(do func(now license.Time) ([]seats.Record, *refusal.Refusal)) error {
	s.mu.Lock()
	if s.stopped != nil {
		defer s.mu.Unlock()
		return s.stopped
	}
	records, no := do(s.clock())
	group := s.note(records)
	s.mu.Unlock()
	return s.wait(group, no)
}

// Lend answers a loan request. The answer is a file too. What it says of units is for
// the container to answer that has the license, and is durable in its file before
// anything else is looked at.
func (s *Server) Lend(ctx context.Context, who seats.Caller, file []byte) ([]byte, error) {
	wish, err := seal.OpenAnyLoanRequest(file)
	if err != nil {
		return nil, err
	}
	who.Client = wish.Wish.Client
	var moved agent.Movement
	asked := wish.Wish
	if asked.OfUnits() {
		if moved, err = s.moveUnits(ctx, who, wish); err != nil {
			return nil, err
		}
		wish.Wish = asked.OfSeats()
		if moved.Container != "" {
			wish.Wish.Server = moved.Container
		}
	}
	s.mu.Lock()
	if s.stopped != nil {
		defer s.mu.Unlock()
		return nil, s.stopped
	}
	k, err := s.lender(wish.Scope, wish.Wish)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	wish.Wish.Server = k.serial
	now := s.clock()
	s.anchor.lent = true // the vendor is to hear of it at the next contact
	a, records := s.engine.Lend(now, who, seats.Borrower{Container: wish.Serial, Key: wish.Identity.SigningKey, Kind: wish.Identity.Kind}, wish.Wish, s.mint)
	if w := wish.Wish; w.Product != "" && (a.Granted != nil || a.Refused != nil) {
		s.usage.claimed(w.Product, a.Refused)
	}
	var item *grant
	var group *ledger.Group
	if a.Granted != nil {
		item, group, err = s.issue(*a.Granted, records)
	} else {
		group = s.note(records)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.wait(group, nil); err != nil {
		return nil, err
	}
	return k.answer(wish, asked, a, moved, item, now)
}

// moveUnits has the container answer that has the license. Who is to get nothing does
// not even have its file looked at.
func (s *Server) moveUnits(ctx context.Context, who seats.Caller, wish seal.SignedLoanWish) (agent.Movement, error) {
	w := wish.Wish
	if w.Units > 0 && len(w.Closed) == 0 && !s.movedBefore(wish.Serial, w.Nonce) {
		no := s.mayMove(who, w.Product, "")
		if no == nil && s.isHere(wish.Serial) {
			no = refusal.New(refusal.BorrowNotAllowed, "The units of %s are on this machine already, where the license server is.", w.Product).
				Hinted("Programs on this machine take them by themselves.")
		}
		if no != nil {
			return agent.Movement{Refused: no}, nil
		}
	}
	if w.Units == 0 && len(w.Closed) == 0 && !s.newsOf(wish.Serial, w.Holds) {
		return agent.Movement{}, nil
	}
	// Whoever asks may have hung up; what is begun is done all the same.
	ctx = context.WithoutCancel(ctx)
	moved, err := s.agent.MoveUnits(ctx, wish, func(c license.Serial) *refusal.Refusal { return s.mayMove(who, w.Product, c) })
	if moved.Changed {
		s.Refresh(ctx)
	}
	return moved, err
}

// isHere reports whether a container is one of this server's.
func (s *Server) isHere(c license.Serial) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keepers[c] != nil
}

// movedBefore reports whether a request for units was granted before.
func (s *Server) movedBefore(holder license.Serial, nonce string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.shared {
		for _, m := range c.Moves {
			if m.Holder == holder && m.Nonce == nonce {
				return true
			}
		}
	}
	return false
}

// newsOf reports whether a holder says anything new of units that it has.
func (s *Server) newsOf(holder license.Serial, holds []seats.Held) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.shared {
		state := container.State{Moves: c.Moves}
		for _, h := range holds {
			if _, news := state.Told(holder, string(h.Lease), h.Used); news {
				return true
			}
		}
	}
	return false
}

// mayMove says why units do not move from a container of this server to a caller; nil
// if the vendor's terms alone decide.
func (s *Server) mayMove(who seats.Caller, product string, c license.Serial) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if where, copied := s.copies[c]; copied {
		return copiedTo(c, where)
	}
	return s.engine.MayMove(who, product)
}

// lender is the container that a loan request is for. The caller holds mu.
func (s *Server) lender(scope seal.Scope, w seats.LoanWish) (*keeper, error) {
	if w.Server != "" {
		if k := s.keepers[w.Server]; k != nil && k.scope == scope {
			return k, nil
		}
		return nil, refusal.New(refusal.WrongContainer, "The loan request is for container %s, which is not on this server. Nothing was changed.", w.Server).
			Hinted("Carry it to the server that has that container.")
	}
	var found *keeper
	has := false // the product that is asked for
	for _, src := range s.sources {
		if src.keeper.scope != scope {
			continue
		}
		// Of several containers the one with the product, and then the first by name, so
		// that it is always the same.
		this := src.product == w.Product
		if found == nil || this && !has || this == has && src.keeper.serial < found.serial {
			found, has = src.keeper, this
		}
	}
	if found == nil {
		return nil, refusal.New(refusal.NoLicense, "This server has no license of the vendor %s.", scope.Vendor).
			Hinted("licet servers shows what each server has.")
	}
	return found, nil
}

// answer writes the answer to a loan request.
func (k *keeper) answer(wish seal.SignedLoanWish, asked seats.LoanWish, a seats.LoanAnswer, moved agent.Movement, item *grant, now license.Time) ([]byte, error) {
	answer := seal.LoanAnswer{Time: now, Confirmed: a.Returned, Outcomes: []container.Outcome{}}
	if answer.Confirmed == nil {
		answer.Confirmed = []seats.LeaseID{}
	}
	w := wish.Wish
	name := "borrow " + w.Product
	switch {
	case w.Extend != "":
		name = "extend " + string(w.Extend)
	case w.Kind == seats.Transfer:
		name = "transfer " + w.Product
	}
	switch {
	case a.Refused != nil:
		answer.Outcomes = append(answer.Outcomes, container.Outcome{
			Wish: name, Code: a.Refused.Code, Message: a.Refused.Message, Hint: a.Refused.NextStep(), Details: agent.Plainly(a.Refused.Details),
		})
	case a.Granted != nil:
		if item.err != nil {
			return nil, item.err
		}
		answer.Outcomes = append(answer.Outcomes, container.Outcome{Wish: name, Code: refusal.Done})
		answer.Document = seal.NewLeaseDocument(item.source.part, item.statement)
	}
	return seal.SignLoanAnswer(k.scope, k.keys, k.kind, wish, moved.Into(asked, answer))
}

// Pools is the licenses whose seats are shared, for administrators.
func (s *Server) Pools() []seats.PoolView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.Pools(s.clock())
}

// Leases is everything that is out, for administrators: seats, and units that moved to
// other containers and did not come back.
func (s *Server) Leases() []seats.LeaseView {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.engine.Leases()
	for _, c := range s.shared {
		for name, m := range c.Moves {
			if m.Closed != 0 {
				continue
			}
			list = append(list, seats.LeaseView{
				Lease: seats.LeaseID(name), Kind: seats.Transfer, License: m.License, Product: m.Product, Vendor: string(c.Scope.Vendor),
				Units: m.Units, Used: m.Used, Client: seats.Client{Host: m.Host, User: m.User}, Since: m.Time, Last: m.Time,
				ExpiresAt: m.Until, Holder: m.Holder, Confirmed: m.Confirmed,
			})
		}
	}
	slices.SortStableFunc(list, func(a, b seats.LeaseView) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Lease, b.Lease))
	})
	return list
}

// Queue is who waits for a seat, for administrators.
func (s *Server) Queue() []seats.WaiterView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.Queue(s.clock())
}

// Stopped is why nothing is given or taken; nil while all is well.
func (s *Server) Stopped() *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Products is what a caller may have; of one vendor unless that is "".
func (s *Server) Products(who seats.Caller, vendor string) []seats.ProductView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.Products(s.clock(), who, vendor)
}

// Decide says what the rules in force say of a caller, and which of them decides.
func (s *Server) Decide(who seats.Caller, product string) seats.Decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules.inForce.Decide(who, product)
}

// Waits says for how long a refusal is worth no new try.
func (s *Server) waits(no *refusal.Refusal) time.Duration {
	until, ok := no.Details["until"].(license.Time)
	if !ok {
		return time.Second
	}
	return until.Go().Sub(s.cfg.Now())
}
