package agent

import (
	"context"

	"licet/refusal"
)

// LoansSince is the version of this program that first knew seats and loans; both
// ends need it.
const LoansSince = "0.2.0"

// LendRequest is a loan request that was carried to the machine of the license
// server.
type LendRequest struct {
	Data []byte `json:"data"`
}

// Lent is the answer, to be carried back.
type Lent struct {
	Data []byte `json:"data"`
}

// Lend answers a loan request that was carried here. Whoever may speak to the
// agent is the license server's administrator: its rules of access do not bind
// him, the vendor's terms do.
func (a *Agent) Lend(ctx context.Context, in LendRequest) (Lent, error) {
	if a.lender == nil {
		return Lent{}, refusal.New(refusal.ServerUnreachable, "No license server runs here.").
			Hinted("Start it with licet serve --listen ADDRESS, then run licet lend again.")
	}
	data, err := a.lender(ctx, in.Data)
	return Lent{Data: data}, err
}

// LendWith says who answers loan requests that are carried here. It is called
// before Serve.
func (a *Agent) LendWith(lender func(ctx context.Context, file []byte) ([]byte, error)) {
	a.lender = lender
}
