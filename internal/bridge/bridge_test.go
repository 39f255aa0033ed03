package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/bridge"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const origin = "https://licenses.example"

// clock is a clock that a test sets.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	step time.Duration // that it moves by itself when it is read
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *clock) each(step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step = step
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// journal keeps what the bridge logs.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(line))
	return len(line), nil
}

// count is how many lines say something.
func (j *journal) count(text string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// calls is how many calls have reached an operation.
func (j *journal) calls() int { return j.count(`msg="bridge called"`) }

// desk is a machine with a bridge, and a vendor whose pages may ask.
type desk struct {
	t       *testing.T
	clock   *clock
	vendor  *vendortest.Vendor
	agent   *agent.Agent
	bridge  *bridge.Bridge
	journal *journal
	port    int
	host    string // of the bridge
}

func newVendor(t *testing.T, clk *clock, origins ...string) *vendortest.Vendor {
	t.Helper()
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(clk.Now()) })
	slices.Sort(origins)
	v.Origins = origins
	return v
}

func newDesk(t *testing.T, origins ...string) *desk {
	t.Helper()
	d := &desk{t: t, clock: &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}, journal: &journal{}}
	d.vendor = newVendor(t, d.clock, origins...)
	home := filepath.Join(t.TempDir(), "licet")
	log := slog.New(slog.NewTextHandler(d.journal, nil))
	d.agent = agent.Open(agent.Config{Home: home, Now: d.clock.Now, Log: log, Traits: func() []machine.Trait {
		return []machine.Trait{{Name: machine.MachineID, Value: home, Weight: 4}, {Name: machine.DiskID, Value: home, Weight: 3}, {Name: machine.HostName, Value: "desk", Weight: 1}}
	}})
	d.bridge = bridge.New(d.agent, d.clock.Now, log)
	d.trust(d.vendor)
	listeners, err := bridge.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	d.port = listeners[0].Addr().(*net.TCPAddr).Port
	d.host = listeners[0].Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.bridge.Serve(ctx, listeners)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

// trust makes the machine trust a vendor and know his origins.
func (d *desk) trust(v *vendortest.Vendor) {
	d.t.Helper()
	if _, err := d.agent.TrustAdd(d.t.Context(), agent.TrustRequest{File: v.Trust}); err != nil {
		d.t.Fatal(err)
	}
	if err := d.agent.FetchOrigins(d.t.Context(), v.ID()); err != nil {
		d.t.Fatal(err)
	}
	d.bridge.Load()
}

// request is one request as a browser would send it for a page.
type request struct {
	method, path, body string
	host               string // the bridge's if empty
	header             http.Header
}

// page is a request of the allowed page.
func page(path, body string) request {
	return request{method: "POST", path: path, body: body, header: http.Header{"Origin": {origin}, "Content-Type": {"application/json"}}}
}

func (r request) with(name string, values ...string) request {
	r.header = r.header.Clone()
	r.header[name] = values
	return r
}

func (d *desk) send(r request) (*http.Response, string) {
	d.t.Helper()
	q, err := http.NewRequestWithContext(d.t.Context(), r.method, "http://"+d.host+r.path, strings.NewReader(r.body))
	if err != nil {
		d.t.Fatal(err)
	}
	q.Header = r.header
	if r.host != "" {
		q.Host = r.host
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer, string(body)
}

// ask makes a call that succeeds.
func ask[T any](d *desk, r request) (out T) {
	d.t.Helper()
	answer, body := d.send(r)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Access-Control-Allow-Origin") != r.header.Get("Origin") {
		d.t.Fatalf("%s: %s %v %s", r.path, answer.Status, answer.Header, body)
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		d.t.Fatalf("%s: %v: %s", r.path, err, body)
	}
	return out
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (d *desk) pair(v *vendortest.Vendor) wire.BridgePairing {
	d.t.Helper()
	return ask[wire.BridgePairing](d, page(wire.PathBridgePair, text(wire.BridgePair{Vendor: v.ID()})))
}

func (d *desk) wait(p wire.BridgePairing) wire.BridgeConsent {
	d.t.Helper()
	return ask[wire.BridgeConsent](d, page(wire.PathBridgeWait, text(wire.BridgeWait{ID: p.ID})))
}

// token is that of the page, with consent.
func (d *desk) token(v *vendortest.Vendor) string {
	d.t.Helper()
	p := d.pair(v)
	if _, err := d.agent.BridgeAllow(d.t.Context(), agent.BridgeCode{Code: p.Code}); err != nil {
		d.t.Fatal(err)
	}
	said := d.wait(p)
	if said.State != wire.PairingAllowed || said.Token == "" || said.Seconds != 3600 {
		d.t.Fatalf("%+v", said)
	}
	return said.Token
}

func bearer(r request, token string) request { return r.with("Authorization", "Bearer "+token) }

func product() container.Body {
	return container.Body{Product: "CAD-PRO", Name: "CAD Professional", Repair: true, Terms: license.Terms{Seats: 1}}
}

func (d *desk) refused(err error, code refusal.Code) {
	d.t.Helper()
	if !refusal.Is(err, code) {
		d.t.Fatalf("%v, want %s", err, code)
	}
}

func TestPreflight(t *testing.T) {
	d := newDesk(t, origin)
	answer, body := d.send(request{method: "OPTIONS", path: wire.PathBridgeActivate, header: http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"},
		"Access-Control-Request-Private-Network": {"true"},
	}})
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Authorization, Content-Type",
		"Access-Control-Allow-Private-Network": "true", "Access-Control-Allow-Credentials": "", "Vary": "Origin",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if answer.StatusCode != 204 || body != "" || d.journal.calls() != 0 {
		t.Errorf("%s %q", answer.Status, body)
	}
}

// TestConsent: a code counts once, for two minutes and a few tries, and a token for
// an hour.
func TestConsent(t *testing.T) {
	d := newDesk(t, origin)
	allow := func(code string) error {
		_, err := d.agent.BridgeAllow(t.Context(), agent.BridgeCode{Code: code})
		return err
	}
	state := func(p wire.BridgePairing, want string) {
		t.Helper()
		if got := d.wait(p); got.State != want || (got.Token != "") != (want == wire.PairingAllowed) {
			t.Fatalf("%+v, want %s", got, want)
		}
		d.clock.move(time.Second)
	}

	// As people type it, once; the token is told once.
	p := d.pair(d.vendor)
	state(p, wire.PairingWaiting)
	if err := allow(strings.ToLower(strings.ReplaceAll(p.Code, "-", " "))); err != nil {
		t.Fatal(err)
	}
	d.refused(allow(p.Code), refusal.NotFound)
	state(p, wire.PairingAllowed)
	state(p, wire.PairingEnded)
	d.refused(allow(p.Code), refusal.NotFound)

	// Another origin cannot take the answer; nobody can guess it.
	p = d.pair(d.vendor)
	state(wire.BridgePairing{ID: "x" + p.ID[1:]}, wire.PairingEnded)
	state(wire.BridgePairing{}, wire.PairingEnded)

	// Refused by the user.
	if _, err := d.agent.BridgeForget(t.Context(), agent.BridgeCode{Code: p.Code}); err != nil {
		t.Fatal(err)
	}
	state(p, wire.PairingRefused)
	d.refused(allow(p.Code), refusal.NotFound)

	// Too late.
	d.clock.move(5 * time.Minute)
	p = d.pair(d.vendor)
	d.clock.move(2 * time.Minute)
	state(p, wire.PairingEnded)
	d.refused(allow(p.Code), refusal.NotFound)

	// Allowed, and not picked up in time.
	p = d.pair(d.vendor)
	if err := allow(p.Code); err != nil {
		t.Fatal(err)
	}
	d.clock.move(2 * time.Minute)
	state(p, wire.PairingEnded)

	// Too many tries refuse everything that waits.
	p, q := d.pair(d.vendor), d.pair(d.vendor)
	for range 5 {
		d.refused(allow("AAAA-AAAA"), refusal.NotFound)
	}
	state(p, wire.PairingRefused)
	state(q, wire.PairingRefused)
	d.refused(allow(p.Code), refusal.NotFound)

	// Too many pages.
	d.clock.move(5 * time.Minute)
	for range 3 {
		d.pair(d.vendor)
	}
	if answer, _ := d.send(page(wire.PathBridgePair, text(wire.BridgePair{Vendor: d.vendor.ID()}))); answer.StatusCode != 429 {
		t.Fatal(answer.Status)
	}

	// A token lasts an hour, or until it is taken back.
	d.clock.move(2 * time.Hour)
	list := bearer(page(wire.PathBridgeContainers, "{}"), d.token(d.vendor))
	d.clock.move(time.Hour - time.Second)
	ask[wire.BridgeContainers](d, list)
	d.clock.move(time.Second)
	if answer, _ := d.send(list); answer.StatusCode != 401 {
		t.Fatal(answer.Status)
	}
	list = bearer(page(wire.PathBridgeContainers, "{}"), d.token(d.vendor))
	if all, err := d.agent.BridgeList(t.Context(), agent.Nothing{}); err != nil || len(all) != 1 || all[0].Origin != origin || all[0].State != "allowed" {
		t.Fatal(all, err)
	}
	if _, err := d.agent.BridgeForget(t.Context(), agent.BridgeCode{Code: origin}); err != nil {
		t.Fatal(err)
	}
	if answer, _ := d.send(list); answer.StatusCode != 401 {
		t.Fatal(answer.Status)
	}
}

// TestOperations: a page does with one vendor's licenses what the agent does, and
// sees nothing of others.
func TestOperations(t *testing.T) {
	d := newDesk(t, origin)
	// Another vendor lists the same origin: that gives his licenses to it and no one
	// else's.
	other := newVendor(t, d.clock, origin)
	d.trust(other)
	theirs, err := d.agent.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{other.Sell(product())}, Vendor: other.ID()})
	if err != nil {
		t.Fatal(err)
	}
	token := d.token(d.vendor)
	call := func(path string, v any) request { return bearer(page(path, text(v)), token) }
	problem := func(r request, code refusal.Code) {
		t.Helper()
		answer, body := d.send(r)
		var p wire.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || answer.StatusCode < 400 || p.Code != code {
			t.Fatalf("%s %s, want %s", answer.Status, body, code)
		}
		if strings.Contains(body, string(theirs.Container)) || strings.Contains(body, "/") {
			t.Errorf("it tells too much: %s", body)
		}
	}

	ticket := d.vendor.Sell(product())
	id := d.vendor.Licenses(ticket)[0]
	if got := ask[wire.BridgeContainers](d, call(wire.PathBridgeContainers, struct{}{})); len(got.Containers) != 0 {
		t.Fatal(got)
	}
	done := ask[wire.Programming](d, call(wire.PathBridgeActivate, wire.BridgeActivate{Tickets: []license.Ticket{ticket}}))
	if len(done.Applied) != 1 || done.Applied[0].License != id {
		t.Fatalf("%+v", done)
	}
	got := ask[wire.BridgeContainers](d, call(wire.PathBridgeContainers, struct{}{}))
	if len(got.Containers) != 1 || got.Containers[0].Serial != done.Container || !slices.Equal(got.Containers[0].Licenses, []license.ID{id}) || got.Containers[0].Status != "ok" {
		t.Fatalf("%+v", got)
	}

	// The other vendor's container is not there.
	second := d.vendor.Sell(product())
	problem(call(wire.PathBridgeActivate, wire.BridgeActivate{Tickets: []license.Ticket{second}, Container: theirs.Container}), refusal.ContainerUnknown)
	problem(call(wire.PathBridgeReturn, wire.BridgeReturn{Licenses: []license.ID{theirs.Applied[0].License}, Container: theirs.Container}), refusal.ContainerUnknown)
	problem(call(wire.PathBridgeReturn, wire.BridgeReturn{Licenses: []license.ID{id}}), refusal.InvalidInput)
	problem(call(wire.PathBridgeActivate, map[string]any{"tickets": []string{string(second)}, "central": "http://attacker.example"}), refusal.InvalidInput)
	problem(call(wire.PathBridgeActivate, wire.BridgeActivate{}), refusal.InvalidInput)
	d.clock.move(time.Minute)

	// Back again; "new" makes a further container.
	done = ask[wire.Programming](d, call(wire.PathBridgeReturn, wire.BridgeReturn{Licenses: []license.ID{id}, Container: done.Container}))
	if len(done.Applied) != 1 || !d.vendor.State(id).Available() {
		t.Fatalf("%+v %s", done, d.vendor.State(id))
	}
	fresh := ask[wire.Programming](d, call(wire.PathBridgeActivate, wire.BridgeActivate{Tickets: []license.Ticket{second}, Container: "new"}))
	if fresh.Container == done.Container || len(fresh.Applied) != 1 {
		t.Fatalf("%+v", fresh)
	}
}

// TestForgedUpdate: an open bridge and a server that lies give nothing: the agent
// verifies what comes as ever.
func TestForgedUpdate(t *testing.T) {
	d := newDesk(t, origin)
	token := d.token(d.vendor)
	ticket := d.vendor.Sell(product())
	// Another vendor, who would like this machine to take his update.
	forger := newVendor(t, d.clock, origin)
	forged := forger.Sell(product())
	for name, tamper := range map[string]func(update []byte) []byte{
		"a bit": func(u []byte) []byte {
			u = bytes.Clone(u)
			u[len(u)/2] ^= 2
			return u
		},
		"no file":          func([]byte) []byte { return []byte(`{"applied":[]}`) },
		"another's answer": func([]byte) []byte { return forger.Trust },
	} {
		proxy := tamperWith(t, d.vendor, tamper)
		if _, err := d.agent.TrustAdd(t.Context(), agent.TrustRequest{URL: proxy}); err != nil {
			t.Fatal(err)
		}
		answer, body := d.send(bearer(page(wire.PathBridgeActivate, text(wire.BridgeActivate{Tickets: []license.Ticket{ticket}})), token))
		if answer.StatusCode < 400 {
			t.Errorf("%s: %s", name, body)
		}
	}
	if answer, body := d.send(bearer(page(wire.PathBridgeActivate, text(wire.BridgeActivate{Tickets: []license.Ticket{forged}})), token)); answer.StatusCode == 200 && strings.Contains(body, `"op"`) {
		t.Errorf("another vendor's ticket: %s", body)
	}
	all, err := d.agent.List(t.Context(), agent.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Containers {
		if len(c.Licenses) != 0 {
			t.Fatalf("%+v", c)
		}
	}
}

// tamperWith is the vendor's server with another hand on its answers.
func tamperWith(t *testing.T, v *vendortest.Vendor, tamper func([]byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != wire.PathProgram {
			v.ServeHTTP(w, r)
			return
		}
		file, _ := io.ReadAll(r.Body)
		update, err := v.Program(file)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", wire.MediaFile)
		_, _ = w.Write(tamper(update))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

// TestOrigins: only a list that is the vendor's, in force and not older than the one
// known lets anybody ask.
func TestOrigins(t *testing.T) {
	d := newDesk(t, origin)
	asks := func(want bool) {
		t.Helper()
		answer, body := d.send(page(wire.PathBridgePair, text(wire.BridgePair{Vendor: d.vendor.ID()})))
		if (answer.StatusCode == 200) != want {
			t.Fatalf("%s %s", answer.Status, body)
		}
		d.clock.move(3 * time.Minute)
	}
	asks(true)

	// A vendor who does not list the origin gets nothing from it.
	stranger := newVendor(t, d.clock, "https://elsewhere.example")
	d.trust(stranger)
	if answer, _ := d.send(page(wire.PathBridgePair, text(wire.BridgePair{Vendor: stranger.ID()}))); answer.StatusCode != 403 {
		t.Fatal(answer.Status)
	}

	// Taken off: a token that was given before is worth nothing either.
	list := bearer(page(wire.PathBridgeContainers, "{}"), d.token(d.vendor))
	ask[wire.BridgeContainers](d, list)
	d.vendor.Origins = []string{}
	d.trust(d.vendor)
	asks(false)
	if answer, _ := d.send(list); answer.StatusCode != 403 {
		t.Fatal(answer.Status)
	}

	// An old list does not bring it back.
	now := d.vendor.Now
	d.vendor.Origins, d.vendor.Now = []string{origin}, func() license.Time { return now().Add(-time.Hour) }
	d.refused(d.agent.FetchOrigins(t.Context(), d.vendor.ID()), refusal.OutOfDate)
	d.bridge.Load()
	asks(false)

	// A list ends by itself.
	d.vendor.Now = now
	d.trust(d.vendor)
	asks(true)
	d.clock.move(30 * 24 * time.Hour)
	asks(false)
}

func TestListenIsLocal(t *testing.T) {
	list, err := bridge.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		defer l.Close()
		if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
			t.Errorf("listens on %s", a)
		}
	}
	if _, err := bridge.Listen(list[0].Addr().(*net.TCPAddr).Port); !refusal.Is(err, refusal.Conflict) {
		t.Errorf("a port in use: %v", err)
	}
}
