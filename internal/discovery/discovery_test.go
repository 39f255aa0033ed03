package discovery

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/zeroconf/v2"

	"licet/license"
)

// TestSaid reads back what a server says of itself.
func TestSaid(t *testing.T) {
	a := Announcement{Name: "cad server", Port: 47120, Instance: "i1", Vendors: []string{"v1", "v2"}}
	for i := range 70 {
		a.Licenses = append(a.Licenses, Mark(license.ID(strings.Repeat("x", i))))
	}
	for _, line := range a.text() {
		if len(line) > 255 {
			t.Errorf("a line of %d bytes cannot be sent", len(line))
		}
	}
	e := &zeroconf.ServiceEntry{ServiceRecord: zeroconf.ServiceRecord{Instance: a.Name}}
	e.Port, e.Text = a.Port, a.text()
	e.AddrIPv4 = []net.IP{net.IPv4(192, 168, 1, 5), net.IPv4(224, 0, 0, 1), net.IPv4(0, 0, 0, 0)}
	f, ok := parse(e)
	if !ok || f.Instance != "i1" || !slices.Equal(f.Vendors, a.Vendors) || !slices.Equal(f.Licenses, a.Licenses) || !slices.Equal(f.Addresses, []string{"192.168.1.5:47120"}) {
		t.Errorf("%+v", f)
	}
}

// FuzzParse takes whatever a stranger announces: bounded, and printable.
func FuzzParse(f *testing.F) {
	f.Add("name", "vendors=a,b", 47120, []byte{10, 0, 0, 1})
	f.Add("\x1b[2J", "licenses="+strings.Repeat("x,", 500), -1, []byte{})
	f.Fuzz(func(t *testing.T, name, text string, port int, ip []byte) {
		e := &zeroconf.ServiceEntry{ServiceRecord: zeroconf.ServiceRecord{Instance: name}}
		e.Port, e.Text = port, []string{text, text, "instance=" + name}
		e.AddrIPv4 = []net.IP{ip}
		got, ok := parse(e)
		if ok && (port <= 0 || len(got.Addresses) == 0) {
			t.Errorf("%+v", got)
		}
		if len(got.Vendors) > mostNamed || len(got.Licenses) > mostNamed || len(got.Name) > 64 {
			t.Error("too much was taken")
		}
		for _, s := range slices.Concat([]string{got.Name, got.Instance}, got.Vendors, got.Licenses) {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q", s)
			}
		}
	})
}
