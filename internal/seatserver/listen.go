package seatserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Bounds of what is listened to before it is known who speaks.
const (
	headerPatience = 5 * time.Second
	bodyPatience   = 15 * time.Second
	writePatience  = 30 * time.Second
	idlePatience   = 2 * time.Minute
	stopPatience   = 10 * time.Second
	maxHeader      = 8 << 10
)

// Listener is a place where seats are asked for.
type Listener struct {
	net.Listener
	plain bool // on this machine alone
}

// Plain reports whether only this machine can reach it, without TLS.
func (l Listener) Plain() bool { return l.plain }

// Listen opens an address: HOST, HOST:PORT or :PORT. On a loopback address it speaks
// plain HTTP; everywhere else TLS.
func Listen(address string) (Listener, error) {
	bad := refusal.New(refusal.InvalidInput, "%q is no address to listen on.", address).
		Hinted("Write it like 192.168.1.5, 0.0.0.0:%d or localhost.", wire.SeatsPort)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), strconv.Itoa(wire.SeatsPort)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || strings.Contains(host, "/") {
		return Listener{}, bad
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return Listener{}, refusal.New(refusal.Conflict, "The license server cannot listen on %s: %v.", address, err).
			Hinted("Another program may have the port, or the address is not one of this machine.")
	}
	at, ok := l.Addr().(*net.TCPAddr)
	return Listener{newCounted(l), ok && at.IP.IsLoopback()}, nil
}

// Serve answers on listeners until ctx ends.
func (s *Server) Serve(ctx context.Context, listeners []Listener) {
	plain := s.httpServer(s.Handler(true))
	secure := s.httpServer(s.Handler(false))
	secure.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: s.certificate, NextProtos: []string{"http/1.1"},
	}
	secure.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/1.1 is all that is needed
	var running sync.WaitGroup
	for _, l := range listeners {
		server, scheme := secure, "https://"
		if l.plain {
			server, scheme = plain, "http://"
		}
		s.log.Info("seats are shared", "address", scheme+l.Addr().String())
		running.Go(func() {
			var err error
			if l.plain {
				err = server.Serve(l)
			} else {
				err = server.ServeTLS(l, "", "")
			}
			if !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("no more seats are shared here", "address", l.Addr().String(), "error", err)
			}
		})
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	for _, server := range []*http.Server{plain, secure} {
		if err := server.Shutdown(stop); err != nil {
			s.log.Warn("requests under way were cut off", "error", err)
			_ = server.Close()
		}
	}
	running.Wait()
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerPatience,
		ReadTimeout:       bodyPatience,
		WriteTimeout:      writePatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// addressOf is the address of who is connected; the zero value where there is none.
func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// channel is a container's certificate for TLS.
type channel = tls.Certificate

// channelLife is how long a certificate counts. Nobody looks at that: the key is
// what counts. It is made anew at each start.
const channelLife = 10 * 365 * 24 * time.Hour

// newChannel makes the certificate of a container: self-signed, with the key that
// the vendor names in the container's licenses.
func newChannel(k *keeper, now time.Time, random func([]byte)) (*channel, error) {
	var number [15]byte
	random(number[:])
	key := k.keys.Channel()
	name := wire.SeatsName(string(k.scope.Vendor))
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, number[:]...)), Subject: pkix.Name{CommonName: name},
		DNSNames:  []string{name, wire.SeatsName(string(k.serial))},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(channelLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(filler(random), template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &channel{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// certificate chooses the container that a client means: by its serial, by the
// vendor, or the first where the client does not say.
func (s *Server) certificate(hello *tls.ClientHelloInfo) (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.ToLower(hello.ServerName)
	var found *keeper
	rank := 0
	for _, k := range s.keepers {
		this := 1
		switch name {
		case wire.SeatsName(string(k.serial)):
			this = 3
		case wire.SeatsName(string(k.scope.Vendor)):
			this = 2
		}
		if k.tls != nil && (this > rank || this == rank && before(k, found)) {
			found, rank = k, this
		}
	}
	if found == nil {
		return nil, errors.New("seatserver: there is no container to speak for")
	}
	return found.tls, nil
}

// before orders containers: production before other environments, then by serial.
func before(a, b *keeper) bool {
	if pa, pb := a.scope.Environment == seal.Production, b.scope.Environment == seal.Production; pa != pb {
		return pa
	}
	return a.serial < b.serial
}

// serials are the containers that speak here.
func (s *Server) serials() (list []license.Serial, vendors []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[seal.VendorID]bool{}
	for _, k := range s.keepers {
		list = append(list, k.serial)
		if !seen[k.scope.Vendor] {
			seen[k.scope.Vendor] = true
			vendors = append(vendors, string(k.scope.Vendor))
		}
	}
	return list, vendors
}
