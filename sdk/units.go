package sdk

import (
	"context"
	"crypto/rand"
	"math"

	"licet/container"
	"licet/internal/agent"
	"licet/refusal"
	"licet/wire"
)

// Units is the counter of a license that is sold by units: how many it has in all,
// how many were used, and how many are left.
type Units = wire.Units

// Use takes n units of a license of this machine, or of units that moved to it, and returns how many are left. It
// is nil only when they are counted, durably: no other program gets the same ones,
// and they do not come back. Of several licenses the one that ends first is used up
// first.
//
// Where fewer than n are left nothing is taken, and the error has the code
// [UnitsSpent] and the number that is left in its details. A program that may not
// run gets none. A license without a counter gives any number: nothing is counted,
// and [math.MaxInt64] are left.
//
// It may be called at any time, by many at once. Each call waits for the disk, or
// for the agent, which writes down what many programs take at once together.
func (s *Session) Use(ctx context.Context, n int64) (left int64, err error) {
	if s.ended() {
		return 0, ErrClosed
	}
	if n < 1 {
		return 0, refusal.New(refusal.InvalidInput, "%d units cannot be taken; one is the least.", n)
	}
	j := s.current()
	if no := j.verdict.Refusal(); no != nil {
		return 0, no.Hinted("%s", j.tell().Hint)
	}
	if e := j.evidence; e.seat != nil || e.loan != nil && e.loan.Units == nil {
		if e.body.Terms.Units == 0 {
			return math.MaxInt64, nil
		}
		return 0, refusal.New(refusal.NoLicense, "Units are taken where their license is; this program runs on a seat of a license server.").
			Hinted("Activate a license with units on this machine.")
	}
	e, err := s.witness.take(ctx, n)
	switch {
	case refusal.Is(err, refusal.UnitsSpent):
		_ = s.Refresh(ctx) // the verdict says what is left
		return 0, err
	case err != nil:
		return 0, err
	case e.units() == 0:
		return math.MaxInt64, nil
	}
	s.counted(e)
	return max(0, e.units()-e.used), nil
}

// take has the units taken, by the agent or in this process, and believes only what
// proves itself.
func (w *witness) take(ctx context.Context, n int64) (evidence, error) {
	var nonce container.Nonce
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	out, err := agent.Connect(w.config).Take(ctx, agent.TakeRequest{Units: n, OpenRequest: agent.OpenRequest{
		Vendor: string(w.verifier.Scope().Vendor), Product: w.product, Use: w.use, Nonce: nonce[:],
	}})
	if err != nil {
		return evidence{}, err
	}
	if len(out.Body) == 0 && len(out.Lease) == 0 {
		return evidence{}, forged()
	}
	e, took, err := w.verify(out.Proof, nonce)
	switch {
	case err != nil:
		return evidence{}, err
	case took != n || e.loan != nil && e.loan.Units == nil:
		return evidence{}, forged()
	}
	no, err := agent.Open(w.config).Blocked(w.verifier.Scope(), e.body, w.blocks, e.container)
	if err == nil && no != nil {
		err = no
	}
	return e, err
}

// counted takes in what a taking says of the license that the session has seen.
func (s *Session) counted(taken evidence) {
	for {
		j := s.judged.Load()
		e := j.evidence
		if e.container != taken.container || e.lease() != taken.lease() || e.body.License != taken.body.License || e.body.Generation != taken.body.Generation || e.used >= taken.used {
			return
		}
		e.used = taken.used
		now, _ := s.clock.now()
		if !s.publish(j, s.conclude(e, j.failed, now)) {
			return
		}
	}
}
