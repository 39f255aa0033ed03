package portal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/internal/cli"
	"licet/internal/console"
	"licet/internal/licetcmd"
	"licet/internal/look"
	"licet/internal/machine"
	"licet/internal/portal"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/web"
	"licet/license"
	"licet/wire"
)

const catalog = `
products:
  - {code: STUDIO, name: Millwright Studio, model: perpetual_single, features: [render, export], restore: {license: {mode: automatic}, container: {same_hardware: automatic, new_hardware: automatic}, conditions: "The lost copy will not be used again. If it turns up, it is returned."}}
  - {code: POST, name: Post Processor, model: subscription_single, requires: [STUDIO], terms: {expires_in: 365d}, restore: {license: {mode: automatic, automatic: 1, per: 365d}, container: {same_hardware: automatic, new_hardware: automatic, damaged: automatic}}}
  - {code: SIM, name: Simulation, model: perpetual_single, restore: {license: {mode: manual}, container: {new_hardware: manual}}}
  - {code: FIXED, name: Dongle Pack, model: perpetual_single, deactivation: false, containers: [token, machine], restore: {license: {mode: never}, container: {same_hardware: never, new_hardware: never, damaged: never}}}
  - {code: FLOAT, name: Toolpath Optimizer, model: perpetual_single, containers: [machine, token, cloud], restore: {license: {mode: automatic}, stop: block, container: {new_hardware: automatic}}}
  - {code: TEAM, name: Millwright Team, model: perpetual_multi, terms: {seats: 10}}
  - {code: TIED, name: Tied to its machine, model: perpetual_single, restore: {license: {mode: automatic}, self_service: false}}
`

// password is that of the staff.
const password = "four quiet words here"

// stage is a central with its pages, and a reader in front of them.
type stage struct {
	*registry.Registry
	t     testing.TB
	admin registry.Actor
	url   string
	http  *http.Client
	log   *bytes.Buffer
	trust string // a file
	now   time.Time
}

func newStage(t testing.TB) *stage { return stageWith(t, web.Limits{}, look.Brand{}) }

func stageWith(t testing.TB, limits web.Limits, brand look.Brand) *stage {
	t.Helper()
	s := &stage{t: t, log: &bytes.Buffer{}, now: time.Now().UTC().Truncate(time.Second)}
	clock := func() time.Time { return s.now }
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "central.db"))
	s.must(err)
	t.Cleanup(func() { db.Close() })
	secret := make([]byte, 32)
	rand.Read(secret)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	cfg := registry.Config{DB: db, Secret: secret, Now: clock, Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	made, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Millwright Tools", Address: server.URL})
	s.must(err)
	s.Registry, err = registry.Open(t.Context(), cfg)
	s.must(err)
	s.admin, err = s.Authenticate(t.Context(), made.AdminToken)
	s.must(err)
	_, err = s.ApplyCatalog(t.Context(), s.admin, wire.CatalogRequest{YAML: catalog})
	s.must(err)
	s.trust = filepath.Join(t.TempDir(), "vendor.trust")
	s.must(os.WriteFile(s.trust, made.Trust, 0o600))

	_, err = s.AddStaff(t.Context(), s.admin, wire.Staff{Name: "maren.okafor", Scopes: []string{registry.ScopeAdmin}, Password: password})
	s.must(err)
	texts, err := look.LoadTexts(portal.Texts(), console.Texts())
	s.must(err)
	site, err := look.New(look.Options{Texts: texts, Now: clock, Brand: brand})
	s.must(err)
	mux := http.NewServeMux()
	mux.Handle(look.Root, site.Handler())
	mux.Handle(console.Prefix+"/", console.New(s.Registry, site, web.Limits{}))
	mux.Handle("/", portal.New(s.Registry, site, limits))
	handler = web.Observe(slog.New(slog.NewTextHandler(s.log, nil)), web.Mux(mux))
	s.url = server.URL
	s.http = reader(t)
	return s
}

func reader(t testing.TB) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

var orders = 0

// bought is a ticket with a license of each product.
func (s *stage) bought(customer string, products ...string) (string, map[string]license.ID) {
	s.t.Helper()
	orders++
	var items []wire.OrderItem
	for _, p := range products {
		items = append(items, wire.OrderItem{Product: p})
	}
	o, err := s.CreateOrder(s.t.Context(), s.admin, wire.OrderRequest{Number: fmt.Sprintf("2026-%04d", orders), Customer: customer, Items: items}, registry.Once{})
	s.must(err)
	ids := map[string]license.ID{}
	for _, l := range o.Licenses {
		ids[l.Product] = l.ID
	}
	return string(o.Ticket), ids
}

// answer is a page as a reader sees it.
type answer struct {
	status int
	body   string
	header http.Header
	at     string // the address in the end
}

func (s *stage) done(resp *http.Response, err error) answer {
	s.t.Helper()
	s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	return answer{resp.StatusCode, string(body), resp.Header, resp.Request.URL.RequestURI()}
}

func (s *stage) get(path string) answer {
	s.t.Helper()
	return s.getIn("en", path)
}

func (s *stage) getIn(language, path string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+path, nil)
	s.must(err)
	req.Header.Set("Accept-Language", language)
	req.Header.Set("Accept", "text/html")
	return s.done(s.http.Do(req))
}

func (s *stage) post(path string, form url.Values) answer {
	s.t.Helper()
	return s.done(s.http.PostForm(s.url+path, form))
}

// send is a form with a file; nil sends no file.
func (s *stage) send(path string, form url.Values, name string, file []byte) answer {
	s.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for k, all := range form {
		for _, v := range all {
			s.must(m.WriteField(k, v))
		}
	}
	if file != nil {
		part, err := m.CreateFormFile("file", name)
		s.must(err)
		_, err = part.Write(file)
		s.must(err)
	}
	s.must(m.Close())
	resp, err := s.http.Post(s.url+path, m.FormDataContentType(), &b)
	return s.done(resp, err)
}

func (s *stage) enter(tickets string) answer {
	s.t.Helper()
	return s.post("/tickets", url.Values{"tickets": {tickets}})
}

func (a answer) says(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status %d, want %d\n%s", a.at, a.status, status, plain(a.body))
	}
	for _, text := range texts {
		if !strings.Contains(plain(a.body), text) {
			t.Errorf("%s: no %q in\n%s", a.at, text, plain(a.body))
		}
	}
}

func (a answer) saysNot(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(plain(a.body), text) {
			t.Errorf("%s: %q in\n%s", a.at, text, plain(a.body))
		}
	}
}

// box is a machine with the real commands.
type box struct {
	s      *stage
	home   string
	traits []machine.Trait
}

var boxes = 0

func (s *stage) box() *box {
	s.t.Helper()
	boxes++
	b := &box{s: s, home: filepath.Join(s.t.TempDir(), "licet")}
	for _, name := range []string{machine.MachineID, machine.NetworkAddress, machine.DiskID, machine.RootFilesystem, machine.HostName} {
		b.traits = append(b.traits, machine.Trait{Name: name, Weight: 3, Value: fmt.Sprint(name, boxes)})
	}
	b.licet("trust", "add", s.trust)
	return b
}

// again is the same machine, set up anew.
func (b *box) again() *box {
	x := &box{s: b.s, home: filepath.Join(b.s.t.TempDir(), "licet"), traits: b.traits}
	x.licet("trust", "add", b.s.trust)
	return x
}

func (b *box) licet(args ...string) string {
	b.s.t.Helper()
	var out, errs bytes.Buffer
	env := licetcmd.Env{Now: func() time.Time { return b.s.now }, Traits: func() []machine.Trait { return b.traits },
		Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}}
	if code := licetcmd.Main(context.Background(), env, append([]string{"--home", b.home}, args...)); code != 0 {
		b.s.t.Fatalf("licet %v: %d\n%s%s", args, code, out.String(), errs.String())
	}
	return out.String()
}

func (b *box) file(args ...string) []byte {
	b.s.t.Helper()
	name := filepath.Join(b.s.t.TempDir(), "file")
	b.licet(append(args, "-o", name)...)
	content, err := os.ReadFile(name)
	b.s.must(err)
	return content
}

func (b *box) imports(update []byte) string {
	b.s.t.Helper()
	name := filepath.Join(b.s.t.TempDir(), "x.licet-update")
	b.s.must(os.WriteFile(name, update, 0o600))
	return b.licet("import", name)
}

// activated is a machine that holds the licenses of a ticket that are named.
func (s *stage) activated(ticket string, ids ...license.ID) *box {
	s.t.Helper()
	b := s.box()
	args := []string{"request", "--ticket", ticket}
	for _, id := range ids {
		args = append(args, "--activate", string(id))
	}
	update, err := s.Program(s.t.Context(), b.file(args...))
	s.must(err)
	b.imports(update)
	s.must(s.Receipt(s.t.Context(), b.file("receipt")))
	return b
}
