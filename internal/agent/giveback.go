package agent

import (
	"context"
	"maps"
	"slices"
	"strings"

	"licet/client"
	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// ReturnRequest gives a loan back.
type ReturnRequest struct {
	Loan    string   `json:"loan"`              // its id; the license's id or the product does where only one is meant, and "" where there is only one
	Trust   []byte   `json:"trust,omitempty"`   // a program's own trust file
	Servers []string `json:"servers,omitempty"` // where the lender may be found, besides where it answered last
	File    bool     `json:"file,omitempty"`    // write a request to be carried, and ask nobody
}

// GivenBack is what became of a return.
type GivenBack struct {
	Loan      wire.Loan `json:"loan"`
	Delivered bool      `json:"delivered"`       // the server has booked it: the seat is free
	Waits     string    `json:"waits,omitempty"` // why not yet
	Data      []byte    `json:"data,omitempty"`  // the request to be carried
}

// ReturnLoan gives a loan back before its end. It is removed here first, durably,
// then the server is told: a return that is lost on the way costs the seat until
// its end at most, and never gives it twice. Called again it tells the server
// again.
func (a *Agent) ReturnLoan(ctx context.Context, in ReturnRequest) (result GivenBack, err error) {
	err = a.write(ctx, func() error {
		b, id, err := a.findLoan(ctx, in.Loan)
		if err != nil {
			return err
		}
		v, err := a.vendorOrProgram(b.header.Vendor, in.Trust)
		if err != nil {
			return err
		}
		if _, held := b.Loans[id]; held {
			result.Loan = b.describeLoan(id)
			if err := a.remove(ctx, b, id); err != nil {
				return err
			}
		} else {
			result.Loan = b.describeReturned(id)
		}
		if in.File {
			// What was removed must be gone from the older slot too: the file proves it.
			if err := b.file.Scrub(ctx); err != nil {
				return boxError(b.header.Serial, err)
			}
			result.Data, err = a.signWish(b, v, seats.LoanWish{Server: b.Returns[id].Server, Client: a.station(), Nonce: a.word()})
			return err
		}
		if err := a.deliverReturn(ctx, b, v, b.Returns[id], in.Servers); err != nil {
			r, ok := refusal.As(err)
			if !ok || b.Returns[id].Confirmed { // it knows, and says what is not as it should be
				return err
			}
			result.Waits = r.Message
			return nil
		}
		result.Delivered = b.Returns[id].Confirmed || b.Returns[id].Server == ""
		return nil
	})
	return result, storage(err)
}

// remove takes a loan out of the container, durably.
func (a *Agent) remove(ctx context.Context, b *box, id seats.LeaseID) error {
	next := *b
	next.bodies, next.Loans, next.Returns = maps.Clone(b.bodies), maps.Clone(b.Loans), maps.Clone(b.Returns)
	next.drop(id)
	next.State.Floor = max(next.State.Floor, a.now())
	if err := a.save(ctx, &next); err != nil {
		return err
	}
	*b = next
	return nil
}

// deliverReturn tells the server that lent what was given back, wherever it is
// now: loans are by container, not by address.
func (a *Agent) deliverReturn(ctx context.Context, b *box, v vendor, r returned, servers []string) error {
	if err := b.file.Scrub(ctx); err != nil {
		return boxError(b.header.Serial, err)
	}
	var failed error = refusal.New(refusal.ServerUnreachable, "No license server is known here that may have lent it.")
	for _, address := range a.candidates(ctx, append([]string{r.Address}, servers...)...) {
		s, err := a.seatsAt(address, v.id())
		if err != nil {
			return err
		}
		err = a.confirmTo(ctx, b, v, s, r.Server)
		s.Close()
		if err == nil {
			return nil
		}
		if isRefusal(err) {
			failed = err
		}
	}
	return failed
}

// findLoan finds the loan that a person names, held or given back. Whoever names none
// means the only one that is on this machine, or is not known to be back; what moved
// for good is named.
func (a *Agent) findLoan(ctx context.Context, text string) (*box, seats.LeaseID, error) {
	type place struct {
		b  *box
		id seats.LeaseID
	}
	var exact, near []place
	var failed error
	entries, err := a.entries("")
	if err != nil {
		return nil, "", err
	}
	traits := a.traits()
	for _, e := range entries {
		b, err := a.open(ctx, license.Serial(e.Serial), traits)
		if err != nil {
			failed = err
			continue
		}
		for _, id := range b.loans() {
			switch l := b.Loans[id]; text {
			case string(id):
				exact = append(exact, place{b, id})
			case string(l.License), l.Product:
				near = append(near, place{b, id})
			case "":
				if l.Kind == seats.Loan {
					near = append(near, place{b, id})
				}
			}
		}
		if _, ok := b.Returns[seats.LeaseID(text)]; ok {
			exact = append(exact, place{b, seats.LeaseID(text)})
		}
		for _, id := range b.waits() {
			if text == "" || b.Returns[id].Product == text {
				near = append(near, place{b, id})
			}
		}
	}
	found := exact
	if len(found) == 0 {
		found = near
	}
	switch {
	case len(found) == 1:
		return found[0].b, found[0].id, nil
	case len(found) > 1:
		var ids, told []string
		for _, p := range found {
			ids, told = append(ids, string(p.id)), append(told, p.b.loanInWords(p.id))
		}
		return nil, "", refusal.New(refusal.InvalidInput, "Several loans may be meant: %s.", strings.Join(told, ", ")).
			Hinted("Name one by its id.").With("loans", ids)
	case failed != nil:
		return nil, "", failed
	case text == "":
		return nil, "", refusal.New(refusal.NotFound, "There is no loan on this machine.").
			Hinted("What moved here for good is returned by its id, which licet list shows. A license that the vendor gave is returned with licet deactivate.")
	}
	return nil, "", refusal.New(refusal.NotFound, "There is no loan %s on this machine.", text).
		Hinted("licet list names the loans. A license that the vendor gave is returned with licet deactivate.").With("loan", text)
}

// loanInWords tells a loan from others.
func (b *box) loanInWords(id seats.LeaseID) string {
	l, held := b.Loans[id]
	words := l.Product + " until " + l.Until.String()
	switch {
	case !held:
		words = b.Returns[id].Product + ", removed here, which its license server does not know yet"
	case l.Until == 0:
		words = l.Product + " for good"
	}
	return string(id) + " (" + words + ")"
}

// loanRound tells license servers what they have not heard yet: returns, and
// loans. Any failure waits for the next round.
func (a *Agent) loanRound(ctx context.Context) {
	err := a.write(ctx, func() error {
		entries, err := a.entries("")
		if err != nil {
			return err
		}
		traits := a.traits()
		for _, e := range entries {
			b, err := a.open(ctx, license.Serial(e.Serial), traits)
			if err != nil || len(b.waits()) == 0 {
				continue
			}
			v, err := a.vendor(b.header.Vendor)
			if err != nil {
				continue // a program's own, which tells the server itself
			}
			told := map[license.Serial]bool{}
			for _, id := range b.waits() {
				r := b.Returns[id]
				if told[r.Server] {
					continue
				}
				told[r.Server] = true
				if err := a.deliverReturn(ctx, b, v, r, nil); err != nil {
					a.cfg.Log.Info("a return waits for its license server", "loan", id, "error", err)
				}
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.cfg.Log.Warn("returns not delivered", "error", err)
	}
}

// loanLoop delivers returns that wait, while the agent serves.
func (a *Agent) loanLoop(ctx context.Context) {
	for pause(ctx, lookEvery) {
		a.loanRound(ctx)
	}
}

// NoteTime writes the present time as one that has passed into the containers
// that have loans, so that a clock set back prolongs none of them. An agent that
// serves does so by itself.
func (a *Agent) NoteTime(ctx context.Context, _ Nothing) (Nothing, error) {
	a.raiseFloors(ctx)
	return Nothing{}, nil
}

// candidates are addresses in order, without what is empty or there twice, and
// those of the machine's list after them.
func (a *Agent) candidates(ctx context.Context, first ...string) []string {
	known, _ := a.Reachable(ctx, Nothing{}) // a list that cannot be read names none
	var list []string
	for _, text := range slices.Concat(first, known.List) {
		address, err := client.SeatsAddress(text)
		if err == nil && !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	return list
}
