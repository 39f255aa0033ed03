package races

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"licet/license"
	"licet/refusal"
)

// machines is how many ask for the same license at the same time.
const machines = 64

// TestOneWinner lets 64 machines activate one license at the same time, round
// after round: one wins, and every other one is told who has it (Th34). Once the
// license is a new one in every round, once it is the same, given back in between.
func TestOneWinner(t *testing.T) {
	rounds := long(4, 1000)
	for _, c := range []struct {
		name string
		same bool
	}{{"a new license in every round", false}, {"one license goes round", true}} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *book, server func(int) server) {
				boxes := b.boxes(machines, server)
				var ticket license.Ticket
				var ids []license.ID
				wins := map[license.Serial]int{}
				for round := range rounds {
					if round == 0 || !c.same {
						ticket, ids = b.order(fmt.Sprint("round-", round), 1)
					}
					winner, err := contest(b, boxes, ticket, ids[0])
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					wins[winner.serial()]++
					must(t, winner.receipt())
					if c.same {
						must(t, winner.returns(ids[0]))
						if l := b.license(ids[0]); l.State != license.Returned || l.Container != "" {
							t.Fatalf("round %d: the license was given back, and is %s with %q", round, l.State, l.Container)
						}
					}
				}
				must(t, b.whole(boxes...))
				t.Logf("%d rounds, %d different winners", rounds, len(wins))
			})
		})
	}
}

// contest is one round. It gives the winner, who has imported the license.
func contest(b *book, boxes []*box, ticket license.Ticket, id license.ID) (*box, error) {
	requests, answers, errs := make([][]byte, len(boxes)), make([][]byte, len(boxes)), make([]error, len(boxes))
	var made, asked sync.WaitGroup
	start := make(chan struct{})
	for i, x := range boxes {
		made.Add(1)
		asked.Go(func() {
			requests[i], _, errs[i] = x.request(ask(ticket))
			made.Done()
			<-start
			if errs[i] == nil {
				answers[i], errs[i] = x.server.Program(context.Background(), requests[i])
			}
		})
	}
	made.Wait()
	close(start)
	asked.Wait()

	holder := b.license(id).Container
	var winner *box
	for i, x := range boxes {
		if errs[i] != nil {
			return nil, errs[i]
		}
		u, err := x.open(answers[i])
		if err != nil {
			return nil, err
		}
		if no := x.imports(u); no != nil {
			return nil, no
		}
		_, has := x.state.Held[id]
		switch out := u.Outcomes[0]; {
		case len(u.Outcomes) == 1 && out.Code == refusal.Done && x.serial() == holder && winner == nil && has:
			winner = x
		case len(u.Outcomes) == 1 && out.Code == refusal.LicenseInUse && out.Details["container"] == string(holder) && !has:
		default:
			return nil, fmt.Errorf("machine %s was told %+v; the license is with %s", x.serial(), u.Outcomes, holder)
		}
	}
	if winner == nil {
		return nil, fmt.Errorf("nobody won; the license is with %q", holder)
	}
	return winner, nil
}
