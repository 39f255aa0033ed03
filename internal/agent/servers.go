package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"licet/client"
	"licet/internal/durable"
	"licet/refusal"
)

// ServersFile is where a home keeps the license servers to ask, in order. It is
// written so that people can change it by hand, in a few words of YAML:
//
//	discovery: false
//	servers:
//	  - licenses.example.com
//	  - 192.168.1.5:47120
const ServersFile = "servers.yaml"

const serversLimit = 64 << 10

// Servers are the license servers of the network that this machine asks for seats.
type Servers struct {
	// List is asked in this order.
	List []string `json:"servers"`
	// NoDiscovery says that no others are looked for on the network.
	NoDiscovery bool `json:"no_discovery,omitempty"`
}

// Servers reads the list of license servers; a home without one has an empty one.
func (a *Agent) Servers(_ context.Context, _ Nothing) (Servers, error) {
	text, err := a.home.readServers()
	if missing(err) {
		return Servers{List: []string{}}, nil
	}
	if err != nil {
		return Servers{}, storage(err)
	}
	return ParseServers(string(text))
}

func (h home) readServers() ([]byte, error) {
	dir, err := os.OpenRoot(h.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return durable.ReadFile(dir, ServersFile, serversLimit)
}

// ParseServers reads a list of license servers.
func ParseServers(text string) (Servers, error) {
	s := Servers{List: []string{}}
	inList := false
	for i, line := range strings.Split(text, "\n") {
		if at := strings.Index(line, "#"); at == 0 || at > 0 && strings.ContainsAny(line[at-1:at], " \t") {
			line = line[:at]
		}
		word := strings.TrimSpace(line)
		item, isItem := strings.CutPrefix(word, "- ")
		switch {
		case word == "" || word == "---":
		case isItem && inList:
			address := strings.Trim(strings.TrimSpace(item), `"'`)
			if _, err := client.SeatsAddress(address); err != nil {
				return Servers{}, serversProblem(i, "%q is no address of a license server", address)
			}
			s.List = append(s.List, address)
		case word == "servers:" || word == "servers: []":
			inList = true
		case word == "discovery: false" || word == "discovery: no":
			s.NoDiscovery, inList = true, false
		case word == "discovery: true" || word == "discovery: yes":
			s.NoDiscovery, inList = false, false
		default:
			return Servers{}, serversProblem(i, "%q is not understood; there are servers: and discovery:", word)
		}
	}
	return s, nil
}

func serversProblem(line int, form string, args ...any) error {
	r := refusal.New(refusal.InvalidInput, "Line %d of "+ServersFile+": "+form+".", append([]any{line + 1}, args...)...)
	return r.Hinted("Correct the file, or write it anew with licet servers add ADDRESS.")
}

// String writes the list as ParseServers reads it.
func (s Servers) String() string {
	var b strings.Builder
	b.WriteString("# License servers, asked for seats in this order (licet servers).\n")
	if s.NoDiscovery {
		b.WriteString("discovery: false\n")
	}
	b.WriteString("servers:\n")
	for _, address := range s.List {
		b.WriteString("  - " + address + "\n")
	}
	return b.String()
}

// ServersChange adds servers to the list, or takes them off it.
type ServersChange struct {
	Add       []string `json:"add,omitempty"`
	Remove    []string `json:"remove,omitempty"`
	First     bool     `json:"first,omitempty"`     // Add in front
	Discovery *bool    `json:"discovery,omitempty"` // whether others are looked for; nil leaves it
}

// ChangeServers changes the list of license servers and answers the new one.
func (a *Agent) ChangeServers(ctx context.Context, in ServersChange) (s Servers, err error) {
	err = a.write(ctx, func() error {
		if s, err = a.Servers(ctx, Nothing{}); err != nil {
			return err
		}
		for _, address := range in.Remove {
			at := slices.IndexFunc(s.List, sameServer(address))
			if at < 0 {
				return refusal.New(refusal.NotFound, "%s is not on the list of license servers. Nothing was changed.", address).
					Hinted("licet servers shows the list.")
			}
			s.List = slices.Delete(s.List, at, at+1)
		}
		var added []string
		for _, address := range in.Add {
			if _, err := client.SeatsAddress(address); err != nil {
				return err
			}
			s.List = slices.DeleteFunc(s.List, sameServer(address)) // named anew, it takes its new place
			added = append(added, address)
		}
		if in.First {
			s.List = append(added, s.List...)
		} else {
			s.List = append(s.List, added...)
		}
		if in.Discovery != nil {
			s.NoDiscovery = !*in.Discovery
		}
		if err := a.cfg.Disk.MkdirAll(a.cfg.Home, durable.PrivateDir); err != nil {
			return storage(err)
		}
		return storage(a.cfg.Disk.WritePath(a.home.path(ServersFile), []byte(s.String()), durable.PrivateFile))
	})
	return s, err
}

// sameServer tells whether another address means the same server.
func sameServer(address string) func(string) bool {
	one, err := client.SeatsAddress(address)
	return func(other string) bool {
		two, bad := client.SeatsAddress(other)
		return other == address || errors.Join(err, bad) == nil && one == two
	}
}
