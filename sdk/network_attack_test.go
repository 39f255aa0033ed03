package sdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/license"
	"licet/sdk"
	"licet/sdktest"
	"licet/wire"
)

// relay stands between a program and a license server, and may change what the
// server answers.
func relay(t *testing.T, s *sdktest.Server, change func(r *http.Request, status *int, body []byte) []byte) string {
	t.Helper()
	server := httptest.NewServer(relayTo(s, change))
	t.Cleanup(server.Close)
	return server.URL
}

func relayTo(s *sdktest.Server, change func(r *http.Request, status *int, body []byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.Address()})
		asked := r.Clone(context.Background())
		proxy.ModifyResponse = func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			if change != nil {
				body = change(asked, &res.StatusCode, body)
			}
			res.Header.Del("Content-Length")
			res.ContentLength = int64(len(body))
			res.Body = io.NopCloser(bytes.NewReader(body))
			return nil
		}
		r.Host = s.Address()
		proxy.ServeHTTP(w, r)
	})
}

// TestServerThatLies: what a license server says gives nothing that the vendor's
// license and its container's key do not.
func TestServerThatLies(t *testing.T) {
	o := newOffice(t)
	stranger := sdktest.New(t, shared...)
	strange := stranger.Server(t, stranger.Ticket("NET"))
	other := o.v.Server(t, o.v.Ticket("LONE"))
	lease := func(body []byte, change func(*wire.Lease)) []byte {
		var l wire.Lease
		if json.Unmarshal(body, &l) != nil || l.Lease == "" {
			return body
		}
		change(&l)
		out, err := json.Marshal(l)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	recorded := ""
	for name, change := range map[string]func(r *http.Request, status *int, body []byte) []byte{
		"no document": func(_ *http.Request, _ *int, b []byte) []byte {
			return lease(b, func(l *wire.Lease) { l.Document = nil })
		},
		"altered document": func(_ *http.Request, _ *int, b []byte) []byte {
			return lease(b, func(l *wire.Lease) { l.Document[len(l.Document)-9] ^= 1 })
		},
		"another lease":              func(_ *http.Request, _ *int, b []byte) []byte { return lease(b, func(l *wire.Lease) { l.Lease = "x" }) },
		"not JSON":                   func(_ *http.Request, _ *int, _ []byte) []byte { return []byte("yes") },
		"a redirect":                 func(_ *http.Request, s *int, b []byte) []byte { *s = http.StatusFound; return b },
		"success with nothing in it": func(_ *http.Request, _ *int, _ []byte) []byte { return []byte("{}") },
		"an old answer": func(_ *http.Request, _ *int, b []byte) []byte {
			if recorded != "" {
				return []byte(recorded)
			}
			recorded = string(b)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			o.v.Clock().Advance(6 * time.Minute) // the seats of the others are over
			m := o.v.Machine(t)
			m.UseAddresses(relay(t, o.s, change))
			s := o.open(m, "NET")
			if name == "an old answer" {
				want(t, s, sdk.OK)
				s.Close()
				s = o.open(m, "NET")
			}
			if v := s.Verdict(); v.Valid || v.Code == sdk.NoLicense {
				t.Errorf("%+v", v)
			}
			s.Close()
		})
	}
	t.Run("another vendor's", func(t *testing.T) {
		m := o.v.Machine(t)
		m.Use(strange)
		if v := o.open(m, "NET").Verdict(); v.Valid {
			t.Errorf("%+v", v)
		}
	})
	t.Run("another product's", func(t *testing.T) {
		m := o.v.Machine(t)
		m.Use(other)
		if v := o.open(m, "NET").Verdict(); v.Valid {
			t.Errorf("%+v", v)
		}
	})
}

// TestExtensionIsSigned: on this machine, where the channel proves nobody, whoever
// answers in the server's place cannot keep a seat that the server has ended.
func TestExtensionIsSigned(t *testing.T) {
	o := newOffice(t)
	var lying atomic.Bool
	m := o.v.Machine(t)
	m.UseAddresses(relay(t, o.s, func(r *http.Request, status *int, body []byte) []byte {
		if !lying.Load() || r.Method != http.MethodPut {
			return body
		}
		*status = http.StatusOK
		text, err := json.Marshal(wire.LeaseExtended{Lease: "x", ExpiresAt: license.At(sdktest.Start.Add(day)), TTL: license.Day})
		if err != nil {
			t.Error(err)
		}
		return text
	}))
	s := o.open(m, "LONE")
	lying.Store(true)
	for range 2 {
		o.v.Clock().Advance(4 * time.Minute)
		_ = s.Refresh(t.Context())
	}
	want(t, s, sdk.LeaseLost)
}

// secure is a license server beyond this machine: TLS with a key.
func secure(t *testing.T, s *sdktest.Server, key crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: sdktest.Start, NotAfter: sdktest.Start.Add(day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(relayTo(s, nil))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// TestChannel: beyond this machine the channel has the key of the container that the
// lease's license names, or there is no seat.
func TestChannel(t *testing.T) {
	o := newOffice(t)
	list, err := agent.Open(o.s.Config()).Shared(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	m := o.v.Machine(t)
	m.UseAddresses(secure(t, o.s, list[0].Keys.Channel()))
	s := o.open(m, "NET")
	if v := want(t, s, sdk.OK); !strings.Contains(v.Source, "https://") {
		t.Error(v.Source)
	}
	o.v.Clock().Advance(4 * time.Minute)
	refresh(t, s)
	if err := s.Borrow(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	want(t, s, sdk.OK)

	_, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m = o.v.Machine(t)
	m.UseAddresses(secure(t, o.s, own))
	if v := o.open(m, "NET").Verdict(); v.Valid || v.Code != "bad_signature" {
		t.Errorf("%+v", v)
	}
	if free := o.free("NET"); free != 1 {
		t.Errorf("%d free: a seat that was not believed stays taken", free)
	}
	if _, err := m.Client().Borrow(t.Context(), agent.BorrowRequest{Product: "NET", For: license.Day}); err == nil {
		t.Error("borrowed from whoever stands between")
	}
}

// TestSessionAtOnce uses one session from everywhere while its server comes and
// goes (run it with -race).
func TestSessionAtOnce(t *testing.T) {
	o := newOffice(t)
	s := o.open(o.desk(), "NET", sdk.WithRefresh(time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	again := func(do func(i int)) {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				do(i)
			}
		})
	}
	again(func(int) { s.Valid(); s.Feature("render") })
	again(func(int) { _ = s.Verdict() })
	again(func(int) { _ = s.Refresh(ctx) })
	again(func(i int) {
		if i%2 == 0 {
			_ = s.Borrow(ctx, time.Hour)
		} else {
			_ = s.Return(ctx)
		}
	})
	again(func(i int) {
		if i%3 == 0 {
			_ = s.Disable(ctx)
		} else {
			_ = s.Enable(ctx)
		}
	})
	for range 10 {
		o.v.Clock().Advance(time.Minute)
		o.s.Stop()
		o.s.Start()
	}
	cancel()
	all.Wait()
	// A seat whose release was not heard and a loan whose answer was not end by themselves.
	o.v.Clock().Advance(2 * time.Hour)
	_ = s.Enable(t.Context())
	if err := s.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, s, sdk.OK)
	s.Close()
	if s.Valid() || s.Refresh(t.Context()) == nil {
		t.Error("valid after the end")
	}
}
