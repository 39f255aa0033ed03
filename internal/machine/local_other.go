//go:build !linux

package machine

import (
	"net"
	"os"
	"slices"
	"strings"
)

// Local reads what the standard library tells of this machine: its name and
// the addresses of its network cards. It is built for Windows and macOS and
// not tested there.
func Local() []Trait {
	r := reader{}
	cards, err := net.Interfaces()
	if err != nil {
		cards = nil
	}
	var addresses []string
	for _, card := range cards {
		if address := strings.ToLower(card.HardwareAddr.String()); card.Flags&net.FlagLoopback == 0 && address != "" && !locallyChosen(address) {
			addresses = append(addresses, address)
		}
	}
	slices.Sort(addresses)
	r.add(NetworkAddress, weightHardware, addresses...)
	if name, err := os.Hostname(); err == nil {
		r.add(HostName, SharedWeight, name)
	}
	return r.traits
}

// LocalEnvironment is empty: only Linux tells.
func LocalEnvironment() string {
	return ""
}
