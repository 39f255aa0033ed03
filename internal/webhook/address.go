package webhook

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"licet/refusal"
)

// MaxURL is how long an address may be.
const MaxURL = 2000

// Networks says which addresses messages may go to. The zero value allows public
// ones alone, by https.
type Networks struct {
	internal []netip.Prefix
}

// ParseNetworks reads the internal networks, such as 10.1.0.0/16, that may be sent
// to beside public addresses, also without TLS.
func ParseNetworks(list []string) (n Networks, err error) {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return n, refusal.New(refusal.InvalidInput, "%q is no network.", text).Hinted("Write it as 10.1.0.0/16, or 10.1.2.3/32 for one address.")
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return n, refusal.New(refusal.InvalidInput, "%q is no network of IPv4.", text).Hinted("Write it as 10.1.0.0/16.")
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		n.internal = append(n.internal, p.Masked())
	}
	return n, nil
}

// special are the addresses that do not belong to somebody on the public network
// (the special-purpose registries of IANA), and those that lead on to others.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

// global is the part of IPv6 that public addresses are of.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func public(a netip.Addr) bool {
	if a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Check says why a message must not go to an address; plain without TLS. The
// address is the very one that is connected to.
func (n Networks) Check(a netip.Addr, plain bool) error {
	a = a.Unmap()
	if a.Zone() == "" {
		for _, p := range n.internal {
			if p.Contains(a) {
				return nil
			}
		}
	}
	switch {
	case a.Zone() != "" || !public(a):
		return fmt.Errorf("%s is an internal address, and the server was not told to send there", a)
	case plain:
		return fmt.Errorf("%s is a public address: messages go there by https alone", a)
	}
	return nil
}

// CheckURL says why messages cannot be sent to a URL at all: what can be known
// before its name is looked up. It gives the host.
func (n Networks) CheckURL(text string) (host string, err error) {
	no := func(format string, args ...any) (string, error) {
		return "", refusal.New(refusal.InvalidInput, format, args...).Hinted("Write it as https://shop.example.com/licet.")
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > MaxURL || u.Opaque != "" || u.Hostname() == "" {
		return no("The URL is none that messages can be sent to.")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return no("The URL begins with neither https:// nor http://.")
	case u.User != nil:
		return no("The URL holds a user's name or password.")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return no("The URL has a part behind #, which is not sent.")
	case u.Scheme == "http" && len(n.internal) == 0:
		return no("Messages go by https.")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := n.Check(a, u.Scheme == "http"); err != nil {
			return "", refusal.New(refusal.InvalidInput, "Nothing is sent there: %s.", err).
				Hinted("licet-central serve --webhooks-allow-internal names the internal networks that may be sent to.")
		}
	}
	return u.Host, nil
}
