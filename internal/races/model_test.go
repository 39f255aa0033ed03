package races

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"licet/license"
	"licet/refusal"
)

// clients is how many machines work at the same time, each with a container of
// its own.
const clients = 16

// The model is one license, as its users see it: what each of them asked, and
// what the answers said. It knows nothing of databases, locks or logs but what
// the protocol promises.

// input is one thing a client did, as far as it can concern the license.
type input struct {
	license license.ID
	do      string // activate, return, report (a receipt, or a request about another license), query
	client  int
	number  uint64 // the last step its container had applied
	request uint64 // names the request; the same when it is sent again
	again   bool   // it was sent before, so a stored answer may come
}

// output is what the client learned. An operation whose answer did not arrive may
// have happened at any time since, or never.
type output struct {
	unknown bool
	code    refusal.Code
	step    uint64        // Done: the step that brings or takes the license
	holder  int           // of a query, and of license_in_use; -1 for none
	state   license.State // of a query, and of license_in_use
	last    uint64        // the last step of the answer that concerns the license; 0 for none
}

// place is the state of the model.
type place struct {
	state   license.State
	holder  int    // client, or -1
	step    uint64 // the step under way; 0 if nobody has seen its number yet
	granted [clients]uint64
	steps   [clients]uint64
}

// report takes in what a report of a container proves: its steps up to number
// were applied.
func (p place) report(in input) []place {
	if p.holder != in.client || (p.state != license.Collecting && p.state != license.Returning) || (p.step != 0 && p.step > in.number) {
		return []place{p}
	}
	q := p
	switch p.state {
	case license.Collecting:
		q.state = license.Collected
	case license.Returning:
		q.state, q.holder = license.Returned, -1
	}
	if p.step == 0 {
		return []place{p, q} // whether it was applied depends on a number nobody saw
	}
	return []place{q}
}

// grant puts the license into the client's container, or takes it out.
func (p place) grant(in input, step uint64) []place {
	q := p
	q.step, q.holder = step, in.client
	q.granted[in.client], q.steps[in.client] = in.request, step
	switch {
	case in.do == "activate" && (p.state.Available() || p.state == license.Returning && p.holder == in.client):
		q.state = license.Collecting
	case in.do == "return" && p.holder == in.client && (p.state == license.Collecting || p.state == license.Collected):
		q.state = license.Returning
	default:
		return nil
	}
	return []place{q}
}

// seen fills in a step's number once an answer tells it.
func (p place) seen(in input, last uint64) place {
	if p.step == 0 && p.holder == in.client && last != 0 && (p.state == license.Collecting || p.state == license.Returning) {
		p.step = last
	}
	return p
}

// next is every state in which the operation can leave the license.
func (p place) next(in input, out output) (states []place) {
	after := p.report(in)
	if in.do == "query" {
		if out.unknown || out.state == p.state && out.holder == p.holder {
			return []place{p}
		}
		return nil
	}
	if out.unknown {
		states = append(states, p)
		states = append(states, after...)
		if p.granted[in.client] != in.request {
			for _, q := range after {
				states = append(states, q.grant(in, 0)...)
			}
		}
		return states
	}
	if in.again || out.code == refusal.OutOfDate {
		after = append(after, p) // a stored answer, or an old report: nothing is taken in
	}
	if in.do == "report" {
		return each(after, func(q place) []place { return []place{q.seen(in, out.last)} })
	}
	return each(after, func(q place) []place {
		q = q.seen(in, out.last)
		mine := q.holder == in.client
		switch out.code {
		case refusal.Done:
			if q.granted[in.client] == in.request && (q.steps[in.client] == out.step || q.steps[in.client] == 0) {
				q.steps[in.client] = out.step
				if q.step == 0 && mine {
					q.step = out.step
				}
				return []place{q}
			}
			return q.grant(in, out.step)
		case refusal.AlreadyApplied:
			if mine && (in.do == "return") == (q.state == license.Returning) {
				return []place{q}
			}
		case refusal.LicenseInUse:
			if in.do == "activate" && !mine && q.holder == out.holder && q.state == out.state {
				return []place{q}
			}
		case refusal.LicenseUnknown:
			if in.do == "return" && !mine {
				return []place{q}
			}
		case refusal.OutOfDate:
			return []place{q}
		}
		return nil
	})
}

func each(from []place, to func(place) []place) (states []place) {
	for _, p := range from {
		for _, q := range to(p) {
			if !slices.Contains(states, q) {
				states = append(states, q)
			}
		}
	}
	return states
}

var model = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[license.ID][]porcupine.Operation{}
		for _, op := range history {
			id := op.Input.(input).license
			parts[id] = append(parts[id], op)
		}
		var out [][]porcupine.Operation
		for _, part := range parts {
			out = append(out, part)
		}
		return out
	},
	Init: func() []any { return []any{place{state: license.NotCollected, holder: -1}} },
	Step: func(state, in, out any) (next []any) {
		for _, p := range state.(place).next(in.(input), out.(output)) {
			next = append(next, p)
		}
		return next
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		return fmt.Sprintf("%s at step %d (request %d): %+v", i.do, i.number, i.request, o)
	},
	DescribeState: func(state any) string {
		p := state.(place)
		return fmt.Sprintf("%s with %d, step %d", p.state, p.holder, p.step)
	},
}).ToModel()
