// Package discovery finds license servers on the network by DNS-SD and announces
// this machine's. Anybody can announce anything there: what is found are addresses
// to ask, and nothing of it is believed.
package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/zeroconf/v2"

	"licet/license"
)

const (
	service = "_licet._tcp"
	domain  = "local."
)

// Bounds of what is taken from the network, where anybody can send.
const (
	mostFound = 64  // servers of one look
	mostText  = 64  // lines of one announcement
	mostNamed = 200 // licenses and vendors of one announcement
	perLine   = 20  // names in a line
)

// Found is a license server that announces itself, as it says.
type Found struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"` // HOST:PORT
	Vendors   []string `json:"vendors"`
	Instance  string   `json:"-"` // of its start
	Licenses  []string `json:"-"` // Mark of each license whose seats it shares
}

// Mark names a license in an announcement without telling its id.
func Mark(id license.ID) string {
	h := sha256.Sum256([]byte("licet license " + id))
	return hex.EncodeToString(h[:5])
}

// Announcement is what this machine's server says of itself.
type Announcement struct {
	Name     string
	Port     int
	Instance string
	Vendors  []string
	Licenses []string // marks
}

// text is the announcement's TXT record.
func (a Announcement) text() []string {
	lines := []string{"v=1", "instance=" + a.Instance}
	add := func(key string, values []string) {
		values = values[:min(len(values), mostNamed)]
		for some := range slices.Chunk(values, perLine) {
			lines = append(lines, key+"="+strings.Join(some, ","))
		}
	}
	for _, v := range a.Vendors[:min(len(a.Vendors), perLine)] {
		add("vendors", []string{v})
	}
	add("licenses", a.Licenses)
	return lines
}

// parse reads what somebody announces. Its names are texts of strangers.
func parse(e *zeroconf.ServiceEntry) (Found, bool) {
	f := Found{Name: printable(e.Instance), Addresses: []string{}, Vendors: []string{}}
	if e.Port <= 0 || e.Port > 65535 {
		return f, false
	}
	for _, ip := range slices.Concat(e.AddrIPv4, e.AddrIPv6) {
		a, ok := netip.AddrFromSlice(ip)
		if ok && a.IsValid() && !a.Unmap().IsMulticast() && !a.Unmap().IsUnspecified() && !a.Unmap().IsLinkLocalUnicast() && len(f.Addresses) < 8 {
			f.Addresses = append(f.Addresses, net.JoinHostPort(a.Unmap().String(), strconv.Itoa(e.Port)))
		}
	}
	for _, line := range e.Text[:min(len(e.Text), mostText)] {
		key, value, _ := strings.Cut(line, "=")
		values := strings.Split(value, ",")
		switch key {
		case "instance":
			f.Instance = printable(value)
		case "vendors":
			f.Vendors = take(f.Vendors, values)
		case "licenses":
			f.Licenses = take(f.Licenses, values)
		}
	}
	slices.Sort(f.Addresses)
	return f, len(f.Addresses) > 0
}

func take(list, more []string) []string {
	for _, name := range more {
		if name = printable(name); name != "" && len(list) < mostNamed && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// printable keeps out of a stranger's text what is no plain letter.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\\' || r > 0x2fff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return text[:min(len(text), 64)]
}

// Browse looks for license servers for so long.
func Browse(ctx context.Context, patience time.Duration) ([]Found, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entries := make(chan *zeroconf.ServiceEntry, mostFound)
	failed := make(chan error, 1)
	go func() { failed <- zeroconf.Browse(ctx, service, domain, entries) }()
	by := map[string]Found{}
	for open := true; open; {
		select {
		case e, ok := <-entries:
			if open = ok; !ok {
				break
			}
			if f, ok := parse(e); ok && len(by) < mostFound {
				by[f.Name] = f
			}
		case <-ctx.Done():
			open = false
		}
	}
	var list []Found
	for _, f := range by {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	if err := <-failed; err != nil {
		return list, fmt.Errorf("discovery: look for license servers: %w", err)
	}
	return list, nil
}

// Times of Watch.
const (
	lookFor    = 3 * time.Second
	firstLook  = 2 * time.Second
	lookEvery  = time.Minute
	sayForever = 120 // seconds that an announcement counts
)

// Watch announces a server until ctx ends, anew where what it says has changed, and
// gives to met what others announce.
func Watch(ctx context.Context, say func() Announcement, met func(context.Context, []Found), log *slog.Logger) {
	var announced *zeroconf.Server
	var last string
	defer func() {
		if announced != nil {
			announced.Shutdown()
		}
	}()
	for wait := firstLook; ; wait = lookEvery {
		a := say()
		if text := fmt.Sprint(a); text != last {
			if announced != nil {
				announced.Shutdown()
				announced = nil
			}
			server, err := zeroconf.Register(a.Name, service, domain, a.Port, a.text(), nil, zeroconf.TTL(sayForever))
			if err != nil {
				log.Warn("the license server is not announced; programs find it by its address alone", "error", err)
			} else {
				announced, last = server, text
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		found, err := Browse(ctx, lookFor)
		if err != nil && ctx.Err() == nil {
			log.Debug("others are not looked for", "error", err)
		}
		if ctx.Err() == nil {
			met(ctx, slices.DeleteFunc(found, func(f Found) bool { return f.Instance == a.Instance }))
		}
	}
}
