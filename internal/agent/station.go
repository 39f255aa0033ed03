package agent

import (
	"context"
	"os"
	"os/user"

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

// serversFor is the servers that a caller names, or the machine's.
func (a *Agent) serversFor(named []string) ([]string, error) {
	list := named
	if len(list) == 0 {
		known, err := a.Servers(context.Background(), Nothing{})
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
