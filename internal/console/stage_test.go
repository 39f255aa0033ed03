package console_test

import (
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/console"
	"licet/internal/look"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/web"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const catalog = `
products:
  - {code: STUDIO, name: Millwright Studio, model: perpetual_single, features: [render, export], value: 4180, terms: {maintenance: 365d}, restore: {license: {mode: hybrid, automatic: 1, per: 365d, value_limit: 2000}, container: {same_hardware: automatic, new_hardware: manual}, conditions: "The lost copy will not be used again."}}
  - {code: POST, name: Post Processor, model: subscription_single, requires: [STUDIO], terms: {expires_in: 365d}}
  - {code: SIM, name: Simulation, model: perpetual_single, restore: {license: {mode: manual}}}
  - {code: AUTO, name: Toolpath Optimizer, model: perpetual_single, restore: {license: {mode: automatic}}}
`

// password is that of every account of these tests.
const password = "four quiet words here"

// stage is a central with its console.
type stage struct {
	*registry.Registry
	t       testing.TB
	now     time.Time
	admin   registry.Actor
	trust   *seal.Trust
	handler http.Handler
	server  *httptest.Server
	cfg     registry.Config
	log     *slog.Logger
}

func newStage(t testing.TB, db *store.DB) *stage {
	t.Helper()
	return newStageAs(t, db, "", slog.DiscardHandler)
}

// newStageAs is a stage that believes to be at an address, and logs.
func newStageAs(t testing.TB, db *store.DB, address string, log slog.Handler) *stage {
	t.Helper()
	s := &stage{t: t, now: time.Now().UTC().Truncate(time.Second).Add(-400 * 24 * time.Hour)}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
	t.Cleanup(s.server.Close)
	if address == "" {
		address = s.server.URL
	}
	s.log = slog.New(log)
	secret := make([]byte, 32)
	rand.Read(secret)
	cfg := registry.Config{DB: db, Secret: secret, Now: func() time.Time { return s.now }, Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	made, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Millwright Tools", Address: address})
	s.must(err)
	s.trust, err = seal.ParseTrust(made.Trust)
	s.must(err)
	s.Registry, err = registry.Open(t.Context(), cfg)
	s.must(err)
	s.admin, err = s.Authenticate(t.Context(), made.AdminToken)
	s.must(err)
	s.catalog(catalog)
	s.cfg = cfg
	s.handler = s.central(s.Registry)
	return s
}

// again opens the same book as another process does.
func (s *stage) again(db *store.DB) (*registry.Registry, error) {
	cfg := s.cfg
	cfg.DB = db
	return registry.Open(context.Background(), cfg)
}

// central is what one process of central answers with.
func (s *stage) central(reg *registry.Registry) http.Handler {
	texts, err := look.LoadTexts(console.Texts())
	s.must(err)
	site, err := look.New(look.Options{Brand: look.Brand{Name: "Millwright Tools"}, Texts: texts, Now: func() time.Time { return s.now }})
	s.must(err)
	mux := http.NewServeMux()
	mux.Handle(look.Root, site.Handler())
	desk := console.New(reg, site, web.Limits{})
	mux.Handle(console.Prefix, desk)
	mux.Handle(console.Prefix+"/", desk)
	return web.Observe(s.log, web.Mux(mux))
}

func sqlite(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) catalog(yaml string) {
	s.t.Helper()
	_, err := s.ApplyCatalog(context.Background(), s.admin, wire.CatalogRequest{YAML: yaml})
	s.must(err)
}

func (s *stage) account(name string, scopes ...string) {
	s.t.Helper()
	_, err := s.AddStaff(context.Background(), registry.System, wire.Staff{Name: name, Scopes: scopes, Password: password})
	s.must(err)
}

func (s *stage) order(number, customer string, products ...string) wire.Order {
	s.t.Helper()
	var items []wire.OrderItem
	for _, p := range products {
		items = append(items, wire.OrderItem{Product: p})
	}
	o, err := s.CreateOrder(context.Background(), s.admin, wire.OrderRequest{Number: number, Customer: customer, Items: items}, registry.Once{})
	s.must(err)
	return o
}

// box is a container with nothing around it: the log and its keys.
type box struct {
	s     *stage
	keys  *seal.ContainerKeys
	state container.State
}

func (s *stage) box() *box {
	s.t.Helper()
	keys, err := seal.NewContainerKeys(rand.Reader)
	s.must(err)
	return &box{s, keys, container.NewState(keys.Serial())}
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

func (x *box) report(w container.Wishes) []byte {
	x.s.t.Helper()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(x.s.now))
	r.Wishes = w
	file, err := seal.SealReport(x.s.trust, x.keys, r)
	x.s.must(err)
	return file
}

// holding is a container that holds what a ticket stands for.
func (s *stage) holding(t license.Ticket) *box {
	s.t.Helper()
	x := s.box()
	x.program(container.Wishes{Tickets: []license.Ticket{t}})
	s.must(s.Receipt(context.Background(), x.report(container.Wishes{})))
	return x
}

func (x *box) program(w container.Wishes) {
	x.s.t.Helper()
	file, err := x.s.Program(context.Background(), x.report(w))
	x.s.must(err)
	v, err := seal.NewVerifier(x.s.trust)
	x.s.must(err)
	u, err := v.OpenUpdate(file, x.keys)
	x.s.must(err)
	var steps []container.Incoming
	for _, st := range u.Steps {
		in, err := v.Incoming(st)
		x.s.must(err)
		steps = append(steps, in)
	}
	next, _, no := x.state.Import(u, steps, nonce, license.At(x.s.now))
	if no != nil {
		x.s.t.Fatal(no)
	}
	x.state = next
}

// lost reports licenses of a ticket as lost.
func (s *stage) lost(req wire.RestoreRequest) wire.RestoreAnswer {
	s.t.Helper()
	req.Accept = true
	a, err := s.RequestRestore(context.Background(), req)
	s.must(err)
	return a
}

// reader is a browser without JavaScript.
type reader struct {
	s    *stage
	http *http.Client
	base string
	lang string
}

func (s *stage) reader() *reader {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &reader{s: s, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, base: s.server.URL, lang: "en"}
}

// answer is what came back.
type answer struct {
	status   int
	body     string
	location string
	header   http.Header
}

func (r *reader) do(method, path string, form url.Values, header ...string) answer {
	r.s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, r.base+path, body)
	r.s.must(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept-Language", r.lang)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	r.s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r.s.must(err)
	return answer{resp.StatusCode, string(text), resp.Header.Get("Location"), resp.Header}
}

func (r *reader) get(path string) answer { r.s.t.Helper(); return r.do("GET", path, nil) }

func (r *reader) post(path string, pairs ...string) answer {
	r.s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return r.do("POST", path, form)
}

// as is a reader who signed in.
func (s *stage) as(name string) *reader {
	s.t.Helper()
	r := s.reader()
	if a := r.post("/console/sign-in", "name", name, "password", password); a.status != http.StatusSeeOther {
		s.t.Fatalf("signing in as %s: %d %s", name, a.status, a.body)
	}
	return r
}

func (a answer) is(t testing.TB, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d (to %s), want %d\n%s", a.status, a.location, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%q is not in\n%s", text, a.body)
		}
	}
	return a
}

func (a answer) lacks(t testing.TB, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%q is in the page", text)
		}
	}
	return a
}

func texts(t testing.TB) fs.FS {
	t.Helper()
	return console.Texts()
}
