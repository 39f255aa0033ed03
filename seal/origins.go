package seal

import (
	"slices"
	"strconv"
	"strings"

	"licet/license"
	"licet/refusal"
)

// originList is what the vendor signs of the pages that may speak to machines.
type originList struct {
	Version      uint64       `cbor:"1,keyasint"`
	Suite        uint64       `cbor:"2,keyasint"`
	Vendor       VendorID     `cbor:"3,keyasint"`
	Environment  string       `cbor:"4,keyasint"`
	Certificates [][]byte     `cbor:"5,keyasint"` // of the issuing key
	Time         license.Time `cbor:"6,keyasint"`
	Until        license.Time `cbor:"7,keyasint"` // not from this moment on
	Origins      []string     `cbor:"8,keyasint"` // rising
}

func (l originList) scope() Scope { return Scope{Vendor: l.Vendor, Environment: l.Environment} }

// Origins are the exact web origins whose pages may speak to a machine about this
// vendor's licenses, if the machine's user consents.
type Origins struct {
	Time  license.Time // of signing
	Until license.Time // not from this moment on, so that an old list cannot be held up for ever
	List  []string     // rising, each once; see CheckOrigin
}

// Bounds of a list of origins.
const (
	MostOrigins   = 32
	longestOrigin = 300
)

// CheckOrigin refuses, with InvalidInput, what is no origin as browsers write it,
// or none from which a page may be trusted to come: https, a host in lower case, and
// the port where it is not 443. Plain http is for this machine alone: anybody on the
// way could put a page of his own in its place. There are no patterns.
func CheckOrigin(text string) error {
	if goodOrigin(text) {
		return nil
	}
	return refusal.New(refusal.InvalidInput, "%q is not an origin that may be allowed.", shorten(text)).
		Hinted("Write it as browsers do: https://, the host in lower case, and the port unless it is 443; no path. http:// goes for 127.0.0.1, [::1] and localhost alone.")
}

func goodOrigin(text string) bool {
	host, secure := strings.CutPrefix(text, "https://")
	if !secure {
		var plain bool
		if host, plain = strings.CutPrefix(text, "http://"); !plain {
			return false
		}
	}
	if len(text) > longestOrigin {
		return false
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		n, err := strconv.ParseUint(host[at+1:], 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != host[at+1:] || secure && n == 443 || !secure && n == 80 {
			return false // it has another spelling, or none
		}
		host = host[:at]
	}
	if host == "localhost" || host == "127.0.0.1" || host == "[::1]" {
		return true
	}
	return secure && goodHost(host)
}

// goodHost reports whether a text is a name of the DNS or an IPv4 address in the
// spelling that browsers give it.
func goodHost(host string) bool {
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	// What ends in a number is an address to browsers, and has to be one.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return len(labels) == 4 && !slices.ContainsFunc(labels, func(l string) bool {
			n, err := strconv.ParseUint(l, 10, 8)
			return err != nil || strconv.FormatUint(n, 10) != l
		})
	}
	return true
}

func (l originList) check() error {
	if len(l.Origins) > MostOrigins || len(l.Certificates) > maxCertificates || l.Until <= l.Time {
		return damaged("list of origins")
	}
	for i, o := range l.Origins {
		if !goodOrigin(o) || i > 0 && l.Origins[i-1] >= o {
			return damaged("list of origins")
		}
	}
	return nil
}

// SignOrigins writes a list of origins with an issuing key. The certificates travel
// in the clear, as those of an update do.
func SignOrigins(s Scope, issuing *SigningKey, o Origins, certificates ...[]byte) ([]byte, error) {
	if issuing.use != Issuing {
		return nil, fault("lists of origins are signed by an issuing key")
	}
	l := originList{
		Version: Version, Suite: uint64(suite1), Vendor: s.Vendor, Environment: s.Environment, Certificates: certificates,
		Time: o.Time, Until: o.Until, Origins: o.List,
	}
	if l.check() != nil {
		return nil, fault("a list of origins has at most %d of them, each once, rising, in the spelling of browsers, and ends after it begins", MostOrigins)
	}
	payload, err := encode("list of origins", MaxOrigins, l)
	if err != nil {
		return nil, err
	}
	return sign(forOrigins, s, issuing.private, payload)
}

// Origins checks a list of origins. Whether it is still in force, and newer than
// the one known, is for the caller to say.
func (v *Verifier) Origins(doc []byte) (Origins, error) {
	const what = "list of origins"
	m, err := parse(what, MaxOrigins, doc)
	if err != nil {
		return Origins{}, err
	}
	l, err := decode[originList](what, MaxOrigins, m.Payload)
	switch {
	case err != nil:
		return Origins{}, err
	case l.Version != Version:
		return Origins{}, unsupported(what, l.Version)
	case l.Suite != uint64(suite1):
		return Origins{}, unsupportedSuite(what, l.Suite)
	}
	if err := l.check(); err != nil {
		return Origins{}, err
	}
	if err := inScope(what, v.scope, l.scope()); err != nil {
		return Origins{}, err
	}
	if err := v.Add(l.Certificates...); err != nil {
		return Origins{}, err
	}
	i, err := v.check(forOrigins, what, &m)
	if err != nil {
		return Origins{}, err
	}
	if !i.covers(l.Time) {
		return Origins{}, outOfItsTime(what)
	}
	return Origins{Time: l.Time, Until: l.Until, List: l.Origins}, nil
}
