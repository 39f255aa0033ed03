package seatserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licet/client"
	"licet/internal/discovery"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// ask sends one request to the handler of this machine's own address.
func (p *place) ask(method, path, token, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:47120", "127.0.0.1:40000"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return serve(p.Handler(true), r)
}

func serve(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		return 0, err.Error()
	}
	return w.Code, string(text)
}

// TestBrowser shows that pages cannot ask, whatever name they were read under.
func TestBrowser(t *testing.T) {
	p := newPlace(t, cad(2))
	h := p.Handler(true)
	body := string(claimBody(1))
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:47120": true, "127.0.0.1": true, "127.9.9.9:1": true, "[::1]:47120": true,
		"example.com": false, "localhost.example.com": false, "10.0.0.1": false, "": false, "127.0.0.1.nip.io:47120": false,
	} {
		r := httptest.NewRequest("POST", wire.PathLeases, strings.NewReader(body))
		r.Host, r.RemoteAddr = host, "127.0.0.1:40000"
		if status, text := serve(h, r); (status == http.StatusCreated) != ok {
			t.Errorf("%q: %d %s", host, status, text)
		}
		body = string(claimBody(1))
		for _, s := range p.Leases() {
			must(t, p.End(s.Lease, "test", ""))
		}
	}
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		r := httptest.NewRequest("POST", wire.PathLeases, strings.NewReader(body))
		r.Host, r.RemoteAddr = "127.0.0.1", "127.0.0.1:40000"
		r.Header.Set(header, "null")
		if status, _ := serve(h, r); status != http.StatusForbidden {
			t.Errorf("%s: %d", header, status)
		}
	}
}

// TestFallsOver shows that a handler that panics is one request's end, not the
// server's, and tells nothing.
func TestFallsOver(t *testing.T) {
	p := newPlace(t, cad(2))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer p.recovered(w, r)
		panic("secret detail")
	})
	status, text := serve(h, httptest.NewRequest("GET", "/", nil))
	if status != http.StatusInternalServerError || strings.Contains(text, "secret") || !strings.Contains(p.logged(), "secret detail") {
		t.Errorf("%d %s", status, text)
	}
}

// TestLimits lets one address ask until it is put off, and another one through all
// the same.
func TestLimits(t *testing.T) {
	p := newPlace(t, cad(2))
	h := p.Handler(false)
	get := func(from string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", wire.PathServer, nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	put := 0
	for range 6000 {
		if w := get("10.0.0.1:1"); w.Code == http.StatusTooManyRequests {
			put++
			if w.Header().Get("Retry-After") == "" {
				t.Fatal("for how long?")
			}
		}
	}
	if put == 0 {
		t.Error("nobody was put off")
	}
	if w := get("10.0.0.2:1"); w.Code != http.StatusOK {
		t.Errorf("another address: %d", w.Code)
	}
}

// TestTLS speaks to a server beyond this machine: the key is that of the container
// that the lease names, and an older protocol is not spoken.
func TestTLS(t *testing.T) {
	p := newPlace(t, cad(2))
	must(t, os.WriteFile(p.file(rulesName), []byte("allow subnet=127.0.0.0/8\n"), 0o600))
	p.Tick()
	l, err := Listen("127.0.0.1:0")
	must(t, err)
	l.plain = false
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Serve(ctx, []Listener{l}); close(done) }()
	defer func() { cancel(); <-done }()
	s, err := client.NewSeats("https://"+l.Addr().String(), client.Options{Attempts: 1, Vendor: p.vendor.ID()})
	must(t, err)
	defer s.Close()
	got, err := s.Claim(t.Context(), claimOf(1))
	must(t, err)
	_, body, err := p.verifier.Lease(got.Document)
	must(t, err)
	if !s.Is(body.ContainerKey) {
		t.Error("the channel has another key than the lease's container")
	}
	for _, c := range []*tls.Config{
		{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}},
	} {
		if conn, err := tls.Dial("tcp", l.Addr().String(), c); err == nil {
			conn.Close()
			t.Errorf("it speaks %x %q", c.MaxVersion, c.NextProtos)
		}
	}
	if resp, err := http.Get("http://" + l.Addr().String() + wire.PathServer); err == nil {
		if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain: %d", resp.StatusCode)
		}
	}
}

// TestCopies meets other servers: only one that has the key of our container counts
// as a copy, and then nobody gets a new seat (T7).
func TestCopies(t *testing.T) {
	p := newPlace(t, cad(5))
	held, err := p.claim(0)
	must(t, err)
	listen := func(s *Server) string {
		l, err := Listen("127.0.0.1:0")
		must(t, err)
		l.plain = false
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Serve(ctx, []Listener{l}); close(done) }()
		t.Cleanup(func() { cancel(); <-done })
		return l.Addr().String()
	}
	say := func(address string) []discovery.Found {
		return []discovery.Found{{Name: "x", Addresses: []string{address}, Licenses: p.Announcement(1)().Licenses}}
	}
	meet := func(what, address string, want refusal.Code) {
		t.Helper()
		p.Met(t.Context(), say(address))
		_, err := p.claim(1)
		if want == "" {
			must(t, err)
			return
		}
		r, ok := refusal.As(err)
		if !ok || r.Code != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	meet("itself, by another address", listen(p.Server), "")
	meet("a stranger who says he has the license", listen(newPlace(t, cad(5)).Server), "")
	meet("nobody", "127.0.0.1:1", "")
	p.mu.Lock()
	copied := &Server{cfg: p.cfg, log: p.Server.log, instance: "another", keepers: p.keepers, engine: p.engine}
	p.mu.Unlock()
	meet("a copy", listen(copied), refusal.ContainerFlagged)
	if _, err := p.Extend(held.Lease.ID, held.Token, ""); err != nil {
		t.Errorf("who has a seat cannot keep it: %v", err)
	}
	p.Met(t.Context(), nil)
	_, err = p.claim(2)
	must(t, err)
}

// FuzzClaim reads requests as encoding/json does that knows no other keys.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"product":"CAD","vendor":"v","features":["a","b"],"version":"1.2","build_date":"2026-01-02T03:04:05Z","client":{"id":"x","host":"h","user":"u","pid":12,"groups":["g"]},"mode":"exclusive","ttl":"90s","nonce":"n","wait":true}`))
	f.Add([]byte(` { "product" : "\u0041\n" , "client":{"id":"x"} } `))
	f.Add([]byte(`{"product":"CAD","client":{"id":"x","pid":0},"wait":false,"features":[],"ttl":""}`))
	f.Add([]byte(`{"product":"CAD","client":null,"features":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		who, c, err := readClaim(text)
		if err != nil {
			return
		}
		var in wire.LeaseRequest
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			t.Fatalf("%q is read, and no JSON: %v", text, err)
		}
		if dec.More() {
			t.Fatalf("%q: something follows", text)
		}
		want := seats.Claim{
			Product: in.Product, Vendor: in.Vendor, Features: in.Features, Version: in.Version, BuildDate: in.BuildDate,
			Exclusive: in.Mode == "exclusive", TTL: in.TTL, Nonce: in.Nonce, Wait: in.Wait,
		}
		if len(want.Features) == 0 {
			want.Features = nil
		}
		if len(in.Client.Groups) == 0 {
			in.Client.Groups = nil
		}
		if d := cmp.Diff(want, c); d != "" {
			t.Errorf("%q: %s", text, d)
		}
		if d := cmp.Diff(in.Client, who); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	})
}

// TestClaimReads is what programs send, and what is refused in it.
func TestClaimReads(t *testing.T) {
	for text, problem := range map[string]string{
		`{"product":"CAD","client":{"id":"x"}}`:                              "",
		`{"client":{"id":"x"}}`:                                              "product is missing",
		`{"product":"CAD"}`:                                                  "client.id is missing",
		`{"product":"CAD","client":{"id":"x"},"mode":"twice"}`:               `no mode "twice"`,
		`{"product":"CAD","client":{"id":"x"},"produkt":1}`:                  `no key "produkt"`,
		`{"product":"CAD","client":{"id":"x"},"ttl":"1.5s"}`:                 `"1.5s" is not understood`,
		`{"product":"CAD","client":{"id":"x"}}x`:                             "follows",
		`{"product":"CAD","product":"B","client":{"id":"x"}}`:                "twice",
		`{"product":"` + strings.Repeat("ä", 129) + `"}`:                     "longer than 128",
		`{"product":"CAD","client":{"id":"x","pid":-1}}`:                     "whole number",
		"{\"product\":\"CAD\",\"client\":{\"id\":\"a\\u0007\"}}":             "control character",
		`{"product":"CAD","client":{"id":"x"},"nonce":"\xff"}`:               "no JSON",
		"{\"product\":\"CAD\",\"client\":{\"id\":\"x\"},\"nonce\":\"\xff\"}": "no UTF-8",
	} {
		_, _, err := readClaim([]byte(text))
		if problem == "" {
			must(t, err)
			continue
		}
		if r, ok := refusal.As(err); !ok || r.Code != refusal.InvalidInput || !strings.Contains(r.Message, problem) {
			t.Errorf("%s: %v, want %q", text, err, problem)
		}
	}
}
