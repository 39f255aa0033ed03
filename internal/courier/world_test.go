package courier_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"licet/container"
	"licet/internal/courier"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/webhook"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var ctx = context.Background()

const loopback = "127.0.0.0/8"

// world is a registry with a clock that the test moves, and a courier.
type world struct {
	*registry.Registry
	*courier.Courier
	t     testing.TB
	cfg   registry.Config
	admin registry.Actor
	trust *seal.Trust
	log   *bytes.Buffer

	mu    sync.Mutex
	clock time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	w.cfg = registry.Config{DB: db, Secret: make([]byte, 32), Now: w.now, Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	res, err := registry.Init(ctx, w.cfg, registry.InitRequest{Vendor: "Acme", Address: "https://licenses.example"})
	must(t, err)
	w.Registry, w.Courier = w.server(db)
	w.admin, err = w.Authenticate(ctx, res.AdminToken)
	must(t, err)
	w.trust, err = seal.ParseTrust(res.Trust)
	must(t, err)
	_, err = w.ApplyCatalog(ctx, w.admin, wire.CatalogRequest{YAML: "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"})
	must(t, err)
	w.sequence()
	return w
}

// server is a further process of the server at the same database.
func (w *world) server(db *store.DB) (*registry.Registry, *courier.Courier) {
	w.t.Helper()
	cfg := w.cfg
	cfg.DB = db
	reg, err := registry.Open(ctx, cfg)
	must(w.t, err)
	inside, err := webhook.ParseNetworks([]string{loopback})
	must(w.t, err)
	reg.AllowNetworks(inside)
	return reg, courier.New(courier.Config{Networks: inside, Program: "licet-test", Timeout: 300 * time.Millisecond}, reg, slog.New(slog.NewTextHandler(w.log, nil)))
}

func (w *world) sequence() {
	w.t.Helper()
	_, err := w.Sequence(ctx)
	must(w.t, err)
}

// send sends what is due, and says how many messages that was.
func (w *world) send() int {
	w.t.Helper()
	w.sequence()
	n, err := w.Once(ctx)
	must(w.t, err)
	return n
}

func (w *world) hook(r *receiver, req wire.WebhookRequest) wire.Webhook {
	w.t.Helper()
	req.URL = r.url()
	h, err := w.CreateWebhook(ctx, w.admin, req)
	must(w.t, err)
	r.learn(h.Secret)
	return h
}

func (w *world) show(id string) wire.Webhook {
	w.t.Helper()
	h, err := w.Webhook(ctx, w.admin, id)
	must(w.t, err)
	return h
}

func (w *world) order(number string) wire.Order {
	w.t.Helper()
	o, err := w.CreateOrder(ctx, w.admin, wire.OrderRequest{Number: number, Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD", Quantity: 2}}}, registry.Once{})
	must(w.t, err)
	return o
}

// box is a container.
type box struct {
	w     *world
	keys  *seal.ContainerKeys
	state container.State
}

func (w *world) box() *box {
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(w.t, err)
	return &box{w, keys, container.NewState(keys.Serial())}
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

func (x *box) report(wishes container.Wishes) []byte {
	x.w.t.Helper()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(x.w.now()))
	r.Wishes = wishes
	file, err := seal.SealReport(x.w.trust, x.keys, r)
	must(x.w.t, err)
	return file
}

// program makes a request, imports the answer and sends the receipt.
func (x *box) program(wishes container.Wishes) {
	x.w.t.Helper()
	file, err := x.w.Program(ctx, x.report(wishes))
	must(x.w.t, err)
	v, err := seal.NewVerifier(x.w.trust)
	must(x.w.t, err)
	u, err := v.OpenUpdate(file, x.keys)
	must(x.w.t, err)
	var steps []container.Incoming
	for _, s := range u.Steps {
		in, err := v.Incoming(s)
		must(x.w.t, err)
		steps = append(steps, in)
	}
	next, _, no := x.state.Import(u, steps, nonce, license.At(x.w.now()))
	if no != nil {
		x.w.t.Fatal(no)
	}
	x.state = next
	must(x.w.t, x.w.Receipt(ctx, x.report(container.Wishes{})))
}

func (x *box) activate(t license.Ticket, ids ...license.ID) {
	x.w.t.Helper()
	x.program(container.Wishes{Tickets: []license.Ticket{t}, Activate: ids})
}

// got is a message as a receiver got it.
type got struct {
	id   string
	body []byte
	wire.WebhookMessage
}

// receiver is a real server that checks what it gets, and answers as the test wants.
type receiver struct {
	t      testing.TB
	server *httptest.Server

	mu     sync.Mutex
	keys   []*standardwebhooks.Webhook
	all    []got                                // every message in the order of its coming, repeated ones too
	answer func(got) (int, string, http.Header) // nil is 204; status 0 cuts the connection
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() { r.server.Close() })
	return r
}

func (r *receiver) url() string { return r.server.URL + "/hooks?key=secret" }

func (r *receiver) learn(secret string) {
	r.t.Helper()
	k, err := standardwebhooks.NewWebhook(secret)
	must(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, k)
}

func (r *receiver) behave(answer func(got) (int, string, http.Header)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// always answers every message with a status.
func always(status int) func(got) (int, string, http.Header) {
	return func(got) (int, string, http.Header) { return status, http.StatusText(status), nil }
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	g := got{id: req.Header.Get("webhook-id"), body: body}
	r.mu.Lock()
	known := false
	for _, k := range r.keys {
		known = known || k.VerifyIgnoringTimestamp(body, req.Header) == nil
	}
	if err := json.Unmarshal(body, &g.WebhookMessage); err != nil || !known || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("a message that is none: %s %v %s (%v)", req.Method, req.Header, body, err)
	}
	r.all = append(r.all, g)
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	status, text, header := answer(g)
	if status == 0 {
		cut(w, text)
		return
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// cut ends the connection after so many bytes that are no answer.
func cut(w http.ResponseWriter, garbage string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		io.WriteString(c, garbage)
		c.Close()
	}
}

// take gives what came since, and forgets it.
func (r *receiver) take() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func types(all []got) string {
	var names []string
	for _, g := range all {
		names = append(names, g.Type)
	}
	return strings.Join(names, " ")
}

// closed is an address where nobody listens.
func closed(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return "http://" + l.Addr().String() + "/"
}
