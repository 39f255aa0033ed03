package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"licet/refusal"
	"licet/wire"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func problem(t *testing.T, res *http.Response) wire.Problem {
	t.Helper()
	if ct := res.Header.Get("Content-Type"); ct != MediaProblem {
		t.Errorf("content type %q", ct)
	}
	var p wire.Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != res.StatusCode || p.Code == "" || p.Detail == "" || p.Title == "" || p.Hint == "" {
		t.Errorf("incomplete problem: %+v", p)
	}
	return p
}

func call(h http.Handler, method, path string, body io.Reader) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, body))
	return w.Result()
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   refusal.Code
	}{
		{refusal.New(refusal.TicketUnknown, "No."), 404, refusal.TicketUnknown},
		{fmt.Errorf("around: %w", refusal.New(refusal.LicenseInUse, "No.").With("container", "C")), 409, refusal.LicenseInUse},
		{errors.New("password=hunter2 at /var/lib"), 500, refusal.Internal},
	} {
		var log bytes.Buffer
		h := Observe(slog.New(slog.NewTextHandler(&log, nil)), Handler(func(http.ResponseWriter, *http.Request) error { return c.err }))
		res := call(h, "GET", "/", nil)
		p := problem(t, res)
		if p.Status != c.status || p.Code != c.code || p.Request == "" || p.Request != res.Header.Get("X-Request-Id") {
			t.Errorf("%v: %+v", c.err, p)
		}
		if strings.Contains(p.Detail+p.Hint, "hunter2") {
			t.Error("a fault's text must not leave the server")
		}
		if c.code == refusal.Internal && (!strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), p.Request)) {
			t.Errorf("a fault must be found in the log by its request id: %s", log.String())
		}
	}
}

func TestPanicBecomesAProblem(t *testing.T) {
	h := Observe(silent(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))
	if p := problem(t, call(h, "GET", "/", nil)); p.Code != refusal.Internal || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
}

func TestPanicAfterTheFirstByteCutsTheAnswer(t *testing.T) {
	h := Observe(silent(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
		panic("x")
	}))
	s := httptest.NewServer(h)
	defer s.Close()
	res, err := http.Get(s.URL)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("half an answer was taken for whole")
	}
}

func TestAccessLogKeepsSecretsOut(t *testing.T) {
	var log bytes.Buffer
	mux := http.NewServeMux()
	mux.HandleFunc("POST /things/{id}", func(http.ResponseWriter, *http.Request) {})
	h := Observe(slog.New(slog.NewJSONHandler(&log, nil)), Mux(mux))
	for _, path := range []string{"/things/TICKET?token=QUERY", "/tickets/TICKET"} {
		r := httptest.NewRequest("POST", path, strings.NewReader("BODY"))
		r.Header.Set("Authorization", "Bearer TOKEN")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, secret := range []string{"TICKET", "QUERY", "BODY", "TOKEN"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s in the log: %s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "/things/{id}") {
		t.Errorf("the route is missing: %s", log.String())
	}
}

func TestMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a", func(w http.ResponseWriter, _ *http.Request) { JSON(w, 200, "a") })
	h := Mux(mux)
	if res := call(h, "GET", "/a", nil); res.StatusCode != 200 {
		t.Error(res.Status)
	}
	if p := problem(t, call(h, "GET", "/b", nil)); p.Code != refusal.NotFound || p.Status != 404 {
		t.Errorf("%+v", p)
	}
	res := call(h, "POST", "/a", nil)
	if p := problem(t, res); p.Status != 405 || !strings.Contains(res.Header.Get("Allow"), "GET") {
		t.Errorf("%+v %v", p, res.Header)
	}
}

func TestReadBody(t *testing.T) {
	h := Handler(func(w http.ResponseWriter, r *http.Request) error {
		b, err := ReadBody(w, r, 10)
		if err == nil {
			JSON(w, 200, len(b))
		}
		return err
	})
	if res := call(h, "POST", "/", strings.NewReader("0123456789")); res.StatusCode != 200 {
		t.Error(res.Status)
	}
	if p := problem(t, call(h, "POST", "/", strings.NewReader("0123456789x"))); p.Code != refusal.TooLarge {
		t.Errorf("%+v", p)
	}
	// Without an announced length, reading itself is bounded.
	if p := problem(t, call(h, "POST", "/", io.MultiReader(strings.NewReader("012345"), strings.NewReader("6789x")))); p.Code != refusal.TooLarge {
		t.Errorf("%+v", p)
	}
	never := readerFunc(func([]byte) (int, error) { t.Error("read"); return 0, io.EOF })
	r := httptest.NewRequest("POST", "/", never)
	r.ContentLength = 11
	h.ServeHTTP(httptest.NewRecorder(), r)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer  abc ": "abc", "": "", "Basic abc": "", "Bearer": "", "Bearer ": "",
		"Bearer " + strings.Repeat("x", 600): "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		got, err := Bearer(r)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v", header, got, err)
		}
	}
}

// clock is a clock for tests.
type clock struct{ now time.Time }

func (c *clock) get() time.Time { return c.now }

func from(l *Limiter, address string) int {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = address
	r.Header.Set("X-Forwarded-For", fmt.Sprint(time.Now().UnixNano())) // must not matter
	w := httptest.NewRecorder()
	l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	if w.Code == 429 && w.Header().Get("Retry-After") == "" {
		return -1
	}
	return w.Code
}

func TestLimitPerAddress(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := NewLimiter(Limits{PerAddress: Rate{1, 3}, Total: Rate{1000, 1000}, Now: c.get})
	for i, want := range []int{200, 200, 200, 429} {
		if got := from(l, "192.0.2.1:1000"); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	if got := from(l, "192.0.2.2:1000"); got != 200 {
		t.Errorf("another address: %d", got)
	}
	c.now = c.now.Add(time.Second)
	if from(l, "192.0.2.1:2000") != 200 || from(l, "192.0.2.1:2000") != 429 {
		t.Error("one second must give one request")
	}
	for i, want := range []int{200, 200, 200, 429} {
		if got := from(l, fmt.Sprintf("[2001:db8::%d]:1", i+1)); got != want {
			t.Errorf("IPv6 request %d of one network: %d, want %d", i, got, want)
		}
	}
}

// TestLimitIsTold: each answer says what is left, and a refusal when there is more.
func TestLimitIsTold(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := NewLimiter(Limits{PerAddress: Rate{2, 3}, Now: c.get})
	for i, want := range []string{`"address";r=2;t=1`, `"address";r=1;t=1`, `"address";r=0;t=2`, `"address";r=0;t=2`} {
		w := httptest.NewRecorder()
		l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got, policy := w.Header().Get("RateLimit"), w.Header().Get("RateLimit-Policy"); got != want || policy != `"address";q=3;w=2` {
			t.Errorf("request %d: %s, %s", i, got, policy)
		}
	}
	w := httptest.NewRecorder()
	NewLimiter(Limits{}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if len(w.Header()) != 0 {
		t.Errorf("no limit: %v", w.Header())
	}
}

// TestPay: what does the work of several requests costs as much, and may go into
// debt that time pays.
func TestPay(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := NewLimiter(Limits{PerAddress: Rate{1, 3}, Total: Rate{1000, 1000}, Now: c.get})
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:1000"
	if from(l, r.RemoteAddr) != 200 {
		t.Fatal("the first request")
	}
	l.Pay(r, 4)
	if from(l, "192.0.2.2:1") != 200 {
		t.Error("another address paid")
	}
	for i, want := range []int{429, 429, 429, 200, 429} {
		if got := from(l, r.RemoteAddr); got != want {
			t.Errorf("after %d s: %d, want %d", i, got, want)
		}
		if want != 200 {
			c.now = c.now.Add(time.Second)
		}
	}
}

func TestHonestUsersFirst(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := NewLimiter(Limits{PerAddress: Rate{1, 10}, Total: Rate{1, 20}, Now: c.get})
	served := 0
	for range 100 {
		for attacker := range 5 {
			if from(l, fmt.Sprintf("198.51.100.%d:1", attacker)) == 200 {
				served++
			}
		}
	}
	if from(l, "192.0.2.1:1") == 429 && served > 20 {
		t.Errorf("the attackers took everything: %d", served)
	}

	// One loud address cannot use up what is for all.
	l = NewLimiter(Limits{PerAddress: Rate{1, 30}, Total: Rate{1, 20}, Now: c.get})
	for range 100 {
		from(l, "198.51.100.1:1")
	}
	// 15 requests bring it below half of its own 30; then half of the 20 is kept.
	if from(l, "192.0.2.1:1") != 200 {
		t.Error("an honest address was not served")
	}
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	l := NewLimiter(Limits{PerAddress: Rate{1, 1}, Total: Rate{1e6, 1e6}, Addresses: 8})
	for i := range 1000 {
		from(l, fmt.Sprintf("10.0.%d.%d:1", i/256, i%256))
	}
	if len(l.addresses) > 8 || l.recent.Len() > 8 {
		t.Errorf("%d addresses remembered", len(l.addresses))
	}
}

func TestLimitAtOnce(t *testing.T) {
	l := NewLimiter(Limits{AtOnce: 1, AtOnceAll: 2})
	enter := func(address string) func() {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		done, _ := l.enter(prefix(r))
		return done
	}
	a := enter("192.0.2.1:1")
	if a == nil || enter("192.0.2.1:2") != nil {
		t.Error("one address must have one request at once")
	}
	b := enter("192.0.2.2:1")
	if b == nil || enter("192.0.2.3:1") != nil {
		t.Error("all together must have two at once")
	}
	a()
	if enter("192.0.2.3:1") == nil {
		t.Error("a request that ended must make room")
	}
}

func TestServeLetsRequestsFinish(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	started := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
		fmt.Fprint(w, "finished")
	})
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, h, silent()) }()
	go func() { <-started; stop() }()
	res, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "finished" {
		t.Errorf("%q", b)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
