package agent

import (
	"context"

	"licet/client"
	"licet/refusal"
	"licet/seal"
)

// LoansSince is the version of this program that first knew seats and loans; both
// ends need it.
const LoansSince = "0.2.0"

// Lend has the license server of this machine answer a loan request that was
// carried here. Whoever may speak to the agent's socket is the server's
// administrator: its rules of access do not bind him, the vendor's terms do.
//
// What is for units alone needs no license server: the container that has the license
// answers itself.
func (c *Client) Lend(ctx context.Context, file []byte) ([]byte, error) {
	withoutServer := func() ([]byte, error) {
		wish, err := seal.OpenAnyLoanRequest(file)
		if err != nil || !forUnitsAlone(wish.Wish) {
			return nil, noSeatServer()
		}
		answer, err := opAnswerUnits.do(ctx, c, ImportRequest{Data: file})
		return answer.Data, err
	}
	if !c.agent.home.answers(ctx) {
		return withoutServer()
	}
	s := client.NewSeatsOn("agent", client.Options{HTTP: c.socket, Program: Program, Attempts: 1})
	answer, err := s.Lend(ctx, file)
	if refusal.Is(err, refusal.NotFound) {
		return withoutServer()
	}
	return answer, err
}

func noSeatServer() *refusal.Refusal {
	return refusal.New(refusal.ServerUnreachable, "No license server runs here.").
		Hinted("Start it with licet serve --listen ADDRESS, then run licet lend again.")
}
