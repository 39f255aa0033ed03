package client

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// Seats speaks to one license server on the network. Beyond this machine the
// channel is TLS with the key of the server's container, which no authority
// vouches for: the first lease names it, and Is tells whether it was that one.
// From the first call on, every connection must have the same key.
type Seats struct {
	caller
	base string
	pin  *pin // nil on this machine, where the channel is plain
}

// NewSeats makes a client of the license server at an address: HOST, HOST:PORT,
// or a URL. It connects to nothing yet. Options.HTTP is used where the channel is
// plain.
func NewSeats(address string, o Options) (*Seats, error) {
	base, err := SeatsAddress(address)
	if err != nil {
		return nil, err
	}
	s := &Seats{base: base}
	if strings.HasPrefix(base, "https:") {
		s.pin = &pin{}
		if o.Vendor != "" {
			s.pin.name = wire.SeatsName(o.Vendor)
		}
		o.HTTP = &http.Client{Timeout: 30 * time.Second, Transport: s.pin.transport()}
	}
	if o.Attempts == 0 {
		o.Attempts = 2 // there may be another server to ask
	}
	s.caller = newCaller(o)
	return s, nil
}

// NewSeatsOn makes a client of the license server behind a connection that is made
// otherwise, such as a socket on this machine.
func NewSeatsOn(name string, o Options) *Seats {
	return &Seats{caller: newCaller(o), base: "http://" + name}
}

// SeatsAddress is the address of a license server as a URL: plain on this
// machine, TLS beyond, on the usual port unless it names another.
func SeatsAddress(address string) (string, error) {
	bad := refusal.New(refusal.InvalidInput, "%q is not the address of a license server.", address).
		Hinted("Write it like licenses.example.com or 192.168.1.5:%d.", wire.SeatsPort)
	text := address
	if !strings.Contains(text, "://") {
		text = "//" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", bad
	}
	switch u.Scheme {
	case "http", "https":
	case "":
		u.Scheme = "https"
		if loopback(u.Hostname()) {
			u.Scheme = "http"
		}
	default:
		return "", bad
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", refusal.New(refusal.InvalidInput, "A license server on another machine is spoken to over TLS alone: %q.", address).
			Hinted("Leave out http://.")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(wire.SeatsPort))
	}
	return u.Scheme + "://" + u.Host, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Address is the server's address as a URL.
func (s *Seats) Address() string { return s.base }

// Is reports whether who answered has the key of the container that a license
// names. On this machine, where nobody stands between, the lease's signature
// tells it alone.
func (s *Seats) Is(containerKey []byte) bool {
	return s.pin == nil || s.pin.is(containerKey)
}

// Secure reports whether the channel proves who answers.
func (s *Seats) Secure() bool { return s.pin != nil }

// Expect says which key the server must have, before it is called.
func (s *Seats) Expect(containerKey []byte) {
	if s.pin != nil && len(containerKey) == ed25519.PublicKeySize {
		s.pin.take(ed25519.PublicKey(containerKey))
	}
}

// Claim asks for a seat.
func (s *Seats) Claim(ctx context.Context, in wire.LeaseRequest) (wire.Lease, error) {
	var out wire.Lease
	err := s.json(ctx, http.MethodPost, wire.PathLeases, "", in, &out)
	return out, err
}

// Extend extends a lease.
func (s *Seats) Extend(ctx context.Context, lease seats.LeaseID, token, nonce string) (wire.LeaseExtended, error) {
	var out wire.LeaseExtended
	err := s.json(ctx, http.MethodPut, wire.PathLease+url.PathEscape(string(lease)), token, wire.LeaseExtend{Nonce: nonce}, &out)
	return out, err
}

// Release gives a seat back.
func (s *Seats) Release(ctx context.Context, lease seats.LeaseID, token string) error {
	return s.json(ctx, http.MethodDelete, wire.PathLease+url.PathEscape(string(lease)), token, nil, nil)
}

// Products tells what the caller may have of a vendor's products, of all vendors'
// if none is named.
func (s *Seats) Products(ctx context.Context, vendor string) ([]wire.ProductView, error) {
	k := call{method: http.MethodGet, path: wire.PathProducts, query: url.Values{}}
	for name, value := range map[string]string{"vendor": vendor, "host": s.Who.Host, "user": s.Who.User} {
		if value != "" {
			k.query.Set(name, value)
		}
	}
	if len(s.Who.Groups) > 0 {
		k.query["group"] = s.Who.Groups
	}
	var out wire.List[wire.ProductView]
	err := s.read(ctx, k, &out)
	return out.Items, err
}

// Lend carries a loan request to the server and its answer back.
func (s *Seats) Lend(ctx context.Context, file []byte) ([]byte, error) {
	return s.call(ctx, call{
		method: http.MethodPost, path: wire.PathLoans, body: file, media: wire.MediaFile,
		header: http.Header{"Content-Type": {wire.MediaFile}},
	})
}

// json makes a call with JSON in and out.
func (s *Seats) json(ctx context.Context, method, path, token string, in, out any) error {
	k := call{method: method, path: path, header: http.Header{}, empty: out == nil}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		k.body = body
		k.header.Set("Content-Type", "application/json")
	}
	if token != "" {
		k.header.Set("Authorization", "Bearer "+token)
	}
	return s.read(ctx, k, out)
}

func (s *Seats) read(ctx context.Context, k call, out any) error {
	k.media = "application/json"
	answer, err := s.call(ctx, k)
	if err != nil || out == nil {
		return err
	}
	if json.Unmarshal(answer, out) != nil {
		return s.silent(notLicet(s.base, http.StatusOK))
	}
	return nil
}

func (s *Seats) call(ctx context.Context, k call) ([]byte, error) {
	k.base = s.base
	answer, err := s.do(ctx, k)
	return answer, s.silent(err)
}

// silent turns "the vendor's server cannot be reached" into the license server's.
func (s *Seats) silent(err error) error {
	r, ok := refusal.As(err)
	if !ok || r.Code != refusal.CentralUnreachable {
		return err
	}
	return &refusal.Refusal{Code: refusal.ServerUnreachable, Message: r.Message, Details: r.Details}
}

// pin holds every connection to the key of the first.
type pin struct {
	name string // asked for in the handshake: whose container is to answer

	mu  sync.Mutex // guards key
	key ed25519.PublicKey
}

var errOtherKey = errors.New("the server has another key than before, or none of the right kind")

// transport connects without a proxy and without authorities.
func (p *pin) transport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			ServerName: p.name,
			// The key is what is checked: against the first one here, and against the
			// one that the vendor signed by who uses the connection.
			InsecureSkipVerify: true,
			VerifyConnection: func(c tls.ConnectionState) error {
				key, ok := c.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
				if !ok || !p.take(key) {
					return errOtherKey
				}
				return nil
			},
		},
	}
}

// take remembers the first key, and reports whether key is that one.
func (p *pin) take(key ed25519.PublicKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		p.key = key
	}
	return p.key.Equal(key)
}

func (p *pin) is(key []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key != nil && p.key.Equal(ed25519.PublicKey(key))
}

// Close closes connections that are idle.
func (s *Seats) Close() { s.HTTP.CloseIdleConnections() }
