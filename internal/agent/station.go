package agent

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"

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

// seatsAt makes a client of a license server.
func (a *Agent) seatsAt(address string) (*client.Seats, error) {
	return client.NewSeats(address, client.Options{HTTP: a.cfg.HTTP, Program: Program})
}

// servers is the machine's list of license servers, in the order in which they
// are asked.
func (a *Agent) servers() ([]string, error) { return ListedServers(a.cfg.Home) }

// serversFor is the servers that a caller names, or the machine's.
func (a *Agent) serversFor(named []string) ([]string, error) {
	list := named
	if len(list) == 0 {
		var err error
		if list, err = a.servers(); err != nil {
			return nil, err
		}
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

// serversFile is the machine's list of license servers in its home: an address a
// line, in the order in which they are asked; # begins a comment.
const serversFile = "servers"

// ListedServers reads the list of license servers of a home folder.
func ListedServers(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, serversFile))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, storage(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list, nil
}
