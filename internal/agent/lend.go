package agent

import (
	"context"

	"licet/client"
	"licet/refusal"
)

// LoansSince is the version of this program that first knew seats and loans; both
// ends need it.
const LoansSince = "0.2.0"

// Lend has the license server of this machine answer a loan request that was
// carried here. Whoever may speak to the agent's socket is the server's
// administrator: its rules of access do not bind him, the vendor's terms do.
func (c *Client) Lend(ctx context.Context, file []byte) ([]byte, error) {
	none := refusal.New(refusal.ServerUnreachable, "No license server runs here.").
		Hinted("Start it with licet serve --listen ADDRESS, then run licet lend again.")
	if !c.agent.home.answers(ctx) {
		return nil, none
	}
	s := client.NewSeatsOn("agent", client.Options{HTTP: c.socket, Program: Program, Attempts: 1})
	answer, err := s.Lend(ctx, file)
	if refusal.Is(err, refusal.NotFound) {
		return nil, none
	}
	return answer, err
}
