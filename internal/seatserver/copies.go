package seatserver

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"licet/internal/discovery"
	"licet/license"
	"licet/wire"
)

// Announcement is what is said on the network of this server, which listens on port.
func (s *Server) Announcement(port int) func() discovery.Announcement {
	return func() discovery.Announcement {
		_, vendors := s.serials()
		slices.Sort(vendors)
		a := discovery.Announcement{Name: hostname() + " " + s.instance[:6], Port: port, Instance: s.instance, Vendors: vendors}
		s.mu.Lock()
		defer s.mu.Unlock()
		for key := range s.sources {
			a.Licenses = append(a.Licenses, discovery.Mark(key.license))
		}
		slices.Sort(a.Licenses)
		return a
	}
}

// mostAsked is how many of the servers met are asked whose they are.
const mostAsked = 16

// Met hears of other servers on the network. One that says it shares a license of
// ours is asked: only a copy of this machine has the key of our container. Then
// neither of the two gives a new seat (T7). What stands in an announcement is
// believed of nobody.
func (s *Server) Met(ctx context.Context, found []discovery.Found) {
	mine := map[string]license.Serial{}
	s.mu.Lock()
	for key := range s.sources {
		mine[discovery.Mark(key.license)] = key.container
	}
	s.mu.Unlock()
	copies := map[license.Serial]string{}
	asked := 0
	for _, f := range found {
		var suspects []license.Serial
		for _, m := range f.Licenses {
			if serial, ok := mine[m]; ok && !slices.Contains(suspects, serial) {
				suspects = append(suspects, serial)
			}
		}
		for _, serial := range suspects {
			for _, address := range f.Addresses {
				if asked++; asked > mostAsked {
					break
				}
				if ok, err := s.isCopy(ctx, address, serial); err != nil {
					s.log.Debug("a server that announces a license of this one does not prove it", "address", address, "error", err)
				} else if ok {
					copies[serial] = address
					break
				}
			}
		}
	}
	s.mu.Lock()
	changed := len(copies) != len(s.copies)
	for serial, address := range copies {
		if s.copies[serial] == "" {
			changed = true
			s.log.Error("another license server has the key of this one's container: one of the two machines is a copy; no new seat is given",
				"container", serial, "address", address)
		}
	}
	s.copies = copies
	s.mu.Unlock()
	if changed {
		s.Refresh(ctx)
	}
}

// isCopy asks a server to speak with the key of a container of ours, and whether it
// is another than this one.
func (s *Server) isCopy(ctx context.Context, address string, serial license.Serial) (bool, error) {
	s.mu.Lock()
	k := s.keepers[serial]
	s.mu.Unlock()
	if k == nil {
		return false, nil
	}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: wire.SeatsName(string(serial)),
		InsecureSkipVerify: true, // the key is what is looked at
		VerifyConnection: func(c tls.ConnectionState) error {
			key, ok := c.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok || !key.Equal(ed25519.PublicKey(k.identity.SigningKey)) {
				return errors.New("it has another key")
			}
			return nil
		},
	}}
	h := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialTLSContext: dialer.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+wire.PathServer, nil)
	if err != nil {
		return false, err
	}
	resp, err := h.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return false, err
	}
	var view wire.ServerView
	if err := json.Unmarshal(body, &view); err != nil || resp.StatusCode != http.StatusOK {
		return false, errors.New("it does not say who it is")
	}
	return view.Instance != "" && !strings.EqualFold(view.Instance, s.instance), nil
}
