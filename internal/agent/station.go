package agent

import (
	"context"
	"os"
	"os/user"
	"time"

	"licet/client"
	"licet/refusal"
	"licet/seats"
)

// Station is who uses seats on this machine: its name, the account and its
// groups, and this process.
func Station() seats.Client {
	c := seats.Client{PID: int64(os.Getpid())}
	c.Host, _ = os.Hostname() // what cannot be told is left empty, and no rule names it
	u, err := user.Current()
	if err != nil {
		return c
	}
	c.User = u.Username
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			c.Groups = append(c.Groups, g.Name)
		}
	}
	return c
}

// station is who asks for a loan.
func (a *Agent) station() seats.Client {
	c := a.cfg.Station()
	c.ID = a.word()
	return c
}

// seatsAt makes a client of a license server, for the seats of a vendor.
func (a *Agent) seatsAt(address, vendor string) (*client.Seats, error) {
	return client.NewSeats(address, client.Options{HTTP: a.cfg.HTTP, Program: Program, Vendor: vendor})
}

// foundFor is how long what was found on the network is not looked for again.
const foundFor = time.Minute

// Reachable is the machine's list of license servers, or where it names none, those
// that announce themselves on the network, unless the list forbids to look.
func (a *Agent) Reachable(ctx context.Context, _ Nothing) (Servers, error) {
	known, err := a.Servers(ctx, Nothing{})
	if err != nil || len(known.List) > 0 || known.NoDiscovery || a.cfg.Discover == nil {
		return known, err
	}
	a.seen.mu.Lock()
	defer a.seen.mu.Unlock()
	if a.seen.at.IsZero() || time.Since(a.seen.at) > foundFor {
		a.seen.list, a.seen.at = a.cfg.Discover(ctx), time.Now()
	}
	known.List = append(known.List, a.seen.list...)
	return known, nil
}

// serversFor is the servers that a caller names, or the machine's.
func (a *Agent) serversFor(ctx context.Context, named []string) ([]string, error) {
	list := named
	if len(list) == 0 {
		known, err := a.Reachable(ctx, Nothing{})
		if err != nil {
			return nil, err
		}
		list = known.List
	}
	if len(list) == 0 {
		return nil, refusal.New(refusal.ServerUnreachable, "No license server is known on this machine.").
			Hinted("Name one with --server ADDRESS, or add it with licet servers add ADDRESS.")
	}
	return addresses(list)
}

// addresses spells addresses of license servers as they are compared.
func addresses(list []string) ([]string, error) {
	out := make([]string, len(list))
	for i, text := range list {
		var err error
		if out[i], err = client.SeatsAddress(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}
