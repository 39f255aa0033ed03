package seatpage_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/machine"
	"licet/internal/seatpage"
	"licet/internal/seatserver"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
)

// stage is a machine with a license server and its page.
type stage struct {
	*seatserver.Server
	t      testing.TB
	home   string
	token  string // of the administrators
	vendor *vendortest.Vendor
	site   *httptest.Server // as loopback sees it
	stop   func()

	mu  sync.Mutex // guards what follows
	now time.Time
	log strings.Builder
}

func (s *stage) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stage) move(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func cad(n int64) container.Body {
	return container.Body{Product: "CAD-PRO", Name: "CAD Professional", Features: []string{"render"}, Repair: true, Terms: license.Terms{
		Seats: n, Borrow: license.Borrow{Max: 10 * license.Day, Seats: n},
	}}
}

// newStage sells and activates licenses on a machine, and starts its license server.
func newStage(t testing.TB, bodies ...container.Body) *stage {
	t.Helper()
	s := &stage{t: t, now: time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC), home: filepath.Join(t.TempDir(), "licet")}
	s.vendor = vendortest.New(t, "Example Software", func() license.Time { return license.At(s.Now()) })
	cl := agent.Connect(s.config())
	_, err := cl.TrustAdd(t.Context(), agent.TrustRequest{File: s.vendor.Trust})
	must(t, err)
	for _, b := range bodies {
		_, err := cl.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{s.vendor.Sell(b)}})
		must(t, err)
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *stage) config() agent.Config {
	return agent.Config{
		Home: s.home, Now: s.Now, Log: slog.New(slog.NewTextHandler(s, nil)),
		Traits: func() []machine.Trait {
			return []machine.Trait{{Name: machine.MachineID, Value: "m", Weight: 4}, {Name: machine.DiskID, Value: "d", Weight: 3}, {Name: machine.NetworkAddress, Value: "n", Weight: 3}}
		},
	}
}

// start opens the license server and its page.
func (s *stage) start() {
	s.t.Helper()
	cfg := s.config()
	s.Server = seatserver.New(agent.Open(cfg), cfg, seats.Limits{})
	must(s.t, s.Open(context.Background()))
	pages, err := seatpage.New(s.Server, s.Now, cfg.Log)
	must(s.t, err)
	s.ShowPages(pages)
	s.site = httptest.NewServer(s.Handler(true))
	ctx, cancel := context.WithCancel(context.Background())
	served, ended := make(chan struct{}), make(chan struct{})
	server, site := s.Server, s.site
	go func() { server.Run(ctx, served); close(ended) }()
	s.stop = sync.OnceFunc(func() { site.Close(); cancel(); close(served); <-ended })
	token, err := os.ReadFile(filepath.Join(s.home, "server.token"))
	must(s.t, err)
	s.token = strings.TrimSpace(string(token))
}

// held is a session of a test.
type held struct {
	id    seats.LeaseID
	token seats.Token
}

func (s *stage) claim(c seats.Client, address, product string, wait bool) (held, error) {
	if c.ID == "" {
		c.ID = rand.Text()
	}
	who := seats.Caller{Client: c, Local: true}
	if address != "" {
		who.Address = netip.MustParseAddr(address)
	}
	g, err := s.Claim(who, seats.Claim{Product: product, Nonce: rand.Text(), Wait: wait})
	return held{g.Lease.ID, g.Token}, err
}

// borrow lends a seat into a container that is made for it.
func (s *stage) borrow(c seats.Client, days license.Duration) {
	s.t.Helper()
	trust, err := seal.ParseTrust(s.vendor.Trust)
	must(s.t, err)
	verifier, err := seal.NewVerifier(trust)
	must(s.t, err)
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(s.t, err)
	c.ID = rand.Text()
	file, err := seal.SignLoanRequest(verifier.Scope(), keys, license.Machine, seats.LoanWish{
		Product: "CAD-PRO", Kind: seats.Loan, Seats: 1, Number: 1, For: days * license.Day, Nonce: rand.Text(), Client: c,
		Holds: []seats.Held{}, Returned: []seats.LeaseID{}, Features: []string{},
	})
	must(s.t, err)
	answer, err := s.Lend(s.t.Context(), seats.Caller{Local: true}, file)
	must(s.t, err)
	a, err := verifier.OpenLoanAnswer(answer, keys)
	must(s.t, err)
	if slices.ContainsFunc(a.Outcomes, container.Outcome.Refused) {
		s.t.Fatalf("%+v", a.Outcomes)
	}
}

// visitor asks as a browser does, and follows nothing.
type visitor struct {
	t    testing.TB
	base string
	http *http.Client
}

func (s *stage) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	must(s.t, err)
	return &visitor{s.t, s.site.URL, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (v *visitor) ask(method, path string, form url.Values, change func(*http.Request)) answer {
	v.t.Helper()
	r, err := http.NewRequest(method, v.base+path, strings.NewReader(form.Encode()))
	must(v.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", v.base)
	}
	if change != nil {
		change(r)
	}
	got, err := v.http.Do(r)
	must(v.t, err)
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	must(v.t, err)
	return answer{got.StatusCode, got.Header, string(body)}
}

func (v *visitor) get(path string) answer { v.t.Helper(); return v.ask(http.MethodGet, path, nil, nil) }

func (v *visitor) post(path string, pairs ...string) answer {
	v.t.Helper()
	form := url.Values{}
	for n := 0; n+1 < len(pairs); n += 2 {
		form.Add(pairs[n], pairs[n+1])
	}
	return v.ask(http.MethodPost, path, form, nil)
}

func (a answer) is(t testing.TB, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.400s", a.status, status, a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("%q is missing", w)
		}
	}
}

// from answers one request that comes from an address, over the network.
func (s *stage) from(address, host, method, path string, form url.Values, change func(*http.Request)) answer {
	s.t.Helper()
	r := httptest.NewRequest(method, "https://"+host+path, strings.NewReader(form.Encode()))
	r.RemoteAddr = address
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler(false).ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

// busyMonth fills the server: a month of use and denials, and what is out now.
func (s *stage) busyMonth() {
	s.t.Helper()
	for h := range 24 * 31 {
		s.move(time.Hour)
		now := s.Now()
		much := 0
		if wd := now.Weekday(); wd != time.Saturday && wd != time.Sunday && now.Hour() > 6 && now.Hour() < 19 {
			much = 3 + (h*7+now.Day()*5)%10 // more than there are, at times
		}
		for n := range much {
			_, err := s.claim(seats.Client{Host: fmt.Sprintf("cad-%02d", n), User: fmt.Sprintf("user%d", n)}, fmt.Sprintf("192.168.1.%d", 20+n), "CAD-PRO", false)
			if err != nil && !refusal.Is(err, refusal.NoSeatFree) {
				s.t.Fatal(err)
			}
		}
		s.Tick()
	}
	s.move(time.Hour)
	s.Tick()
	for n, name := range []string{"ann.hartmann", "b.roux", "carla.vance", "dmitri.k", "e.northlight"} {
		s.move(50 * time.Second / time.Duration(n+1))
		_, err := s.claim(seats.Client{Host: fmt.Sprintf("cad-%02d.example.com", n+1), User: name, PID: int64(4000 + 317*n)}, fmt.Sprintf("192.168.1.%d", 20+n), "CAD-PRO", false)
		must(s.t, err)
	}
	s.borrow(seats.Client{Host: "laptop-7.example.com", User: "ilse.brandt"}, 5)
	s.borrow(seats.Client{Host: "laptop-9.example.com", User: "jonas.weil"}, 9)
	_, err := s.claim(seats.Client{Host: "cad-09.example.com", User: "last.one"}, "192.168.1.29", "CAD-PRO", false)
	must(s.t, err)
	for _, name := range []string{"karl.waits", "lena.waits"} {
		if _, err := s.claim(seats.Client{Host: name + ".example.com", User: name, PID: 99}, "192.168.1.77", "CAD-PRO", true); !refusal.Is(err, refusal.NoSeatFree) {
			s.t.Fatal(err)
		}
	}
	s.Tick()
}
