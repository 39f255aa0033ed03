package vendorapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/vendorapi"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const catalogYAML = `
products:
  - {code: CAD-PRO, name: CAD Professional, model: perpetual_single}
`

// server is the interface over a real registry.
type server struct {
	t       *testing.T
	handler http.Handler
	reg     *registry.Registry
	admin   string
	log     *bytes.Buffer
}

func newServer(t *testing.T) *server {
	t.Helper()
	return newServerOn(t, "sqlite:"+filepath.Join(t.TempDir(), "licet.db"))
}

func newServerOn(t *testing.T, address string) *server {
	t.Helper()
	db, err := store.Open(t.Context(), address)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	s := &server{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, nil))
	cfg := registry.Config{DB: db, Secret: bytes.Repeat([]byte{7}, 32), Now: time.Now, Random: func(b []byte) { rand.Read(b) }, Log: log}
	res, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Environment: "production", Address: "http://127.0.0.1:1"})
	must(t, err)
	s.admin = res.AdminToken
	s.reg, err = registry.Open(t.Context(), cfg)
	must(t, err)
	s.handler = vendorapi.New(s.reg, log, web.Limits{})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do makes a call and returns status and body.
func (s *server) do(token, method, path, body string, header ...string) (int, []byte) {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// problem makes a call that must fail and returns its problem.
func (s *server) problem(token, method, path, body string, header ...string) wire.Problem {
	s.t.Helper()
	status, answer := s.do(token, method, path, body, header...)
	var p wire.Problem
	if err := json.Unmarshal(answer, &p); err != nil {
		s.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if p.Status != status || p.Code == "" || p.Detail == "" || p.Hint == "" || p.Request == "" {
		s.t.Errorf("%s %s: incomplete problem %s", method, path, answer)
	}
	return p
}

func (s *server) token(scopes ...string) string {
	s.t.Helper()
	body, _ := json.Marshal(wire.TokenRequest{Name: "t", Scopes: scopes})
	status, answer := s.do(s.admin, "POST", "/api/v1/tokens", string(body))
	var t wire.Token
	if status != 201 || json.Unmarshal(answer, &t) != nil || t.Secret == "" {
		s.t.Fatalf("token: %d %s", status, answer)
	}
	return t.Secret
}

// order makes a catalog and an order, and returns it.
func (s *server) order() wire.Order {
	s.t.Helper()
	admin, err := s.reg.Authenticate(s.t.Context(), s.admin)
	must(s.t, err)
	_, err = s.reg.ApplyCatalog(s.t.Context(), admin, wire.CatalogRequest{YAML: catalogYAML})
	must(s.t, err)
	o, err := s.reg.CreateOrder(s.t.Context(), admin, wire.OrderRequest{Number: "1/2", Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD-PRO", Quantity: 3}}}, registry.Once{})
	must(s.t, err)
	return o
}

// table is every route: the scope it needs, a call that is in order, and what
// it then answers.
var table = []struct {
	route  string // as in the description
	scope  string
	call   string // path with values; "" is the route's own
	body   string
	status int
}{
	{"PUT /catalog", "catalog", "", `{"yaml":"products: []"}`, 200},
	{"GET /products", "read", "", "", 200},
	{"GET /bundles", "read", "", "", 200},
	{"GET /products/{code}", "read", "/products/CAD-PRO", "", 200},
	{"POST /orders", "orders", "", `{"number":"7","customer":"Ada","items":[{"product":"CAD-PRO"}]}`, 201},
	{"GET /orders", "read", "", "", 200},
	{"GET /orders/{number}", "read", "/orders/1%2F2", "", 200},
	{"GET /orders/{number}/history", "read", "/orders/1%2F2/history?limit=1", "", 200},
	{"POST /tickets/lookup", "read", "", `{"ticket":"TICKET"}`, 200},
	{"GET /licenses", "read", "/licenses?limit=2", "", 200},
	{"GET /licenses/{id}", "read", "/licenses/LICENSE", "", 200},
	{"GET /reports/licenses", "read", "", "", 200},
	{"GET /licenses/{id}/history", "read", "/licenses/LICENSE/history", "", 200},
	{"GET /containers", "read", "", "", 200},
	{"GET /containers/{serial}", "read", "/containers/none", "", 404},
	{"GET /containers/{serial}/history", "read", "/containers/none/history", "", 404},
	{"POST /containers/{serial}/accept", "containers", "/containers/none/accept", `{"reason":"r"}`, 404},
	{"POST /containers/{serial}/block", "containers", "/containers/none/block", `{"reason":"r"}`, 404},
	{"POST /containers/{serial}/unblock", "containers", "/containers/none/unblock", `{"reason":"r"}`, 404},
	{"POST /containers/{serial}/push", "containers", "/containers/none/push", "", 404},
	{"POST /subscriptions", "orders", "", `{"number":"S-1","customer":"Ada","product":"CAD-PRO","period":"monthly","lead":"outside"}`, 201},
	{"GET /subscriptions", "read", "/subscriptions?state=active&limit=2", "", 200},
	{"GET /subscriptions/report", "read", "/subscriptions/report?from=2027-01-01&to=2027-02-01&by=customer", "", 200},
	{"GET /subscriptions/{id}", "read", "/subscriptions/S-1", "", 200},
	{"GET /subscriptions/{id}/history", "read", "/subscriptions/S-1/history", "", 200},
	{"POST /subscriptions/{id}/change", "orders", "/subscriptions/S-1/change", `{"quantity":2,"reason":"r","dry_run":true}`, 200},
	{"POST /subscriptions/{id}/renew", "orders", "/subscriptions/S-1/renew", `{"reference":"INV-1"}`, 200},
	{"POST /subscriptions/{id}/cancel", "orders", "/subscriptions/S-1/cancel", `{"reason":"r"}`, 200},
	{"POST /subscriptions/{id}/resume", "orders", "/subscriptions/S-1/resume", `{"reason":"r"}`, 200},
	{"POST /licenses/withdraw", "licenses", "", `{"licenses":["LICENSE","none"],"reason":"r","dry_run":true}`, 200},
	{"POST /licenses/{id}/withdraw", "licenses", "/licenses/LICENSE/withdraw", `{"reason":"r","dry_run":true}`, 200},
	{"POST /licenses/{id}/replace", "licenses", "/licenses/LICENSE/replace", `{"with":"CAD-PRO","reason":"r","dry_run":true}`, 200},
	{"POST /licenses/{id}/units", "licenses", "/licenses/LICENSE/units", `{"units":5,"reason":"r"}`, 409},
	{"POST /licenses/{id}/assign", "licenses", "/licenses/LICENSE/assign", `{"container":"none","reason":"r"}`, 404},
	{"POST /licenses/{id}/cancel", "licenses", "/licenses/LICENSE/cancel", `{"reason":"r"}`, 409},
	{"POST /licenses/{id}/lost", "licenses", "/licenses/LICENSE/lost", `{"reason":"r"}`, 409},
	{"POST /orders/{number}/cancel", "licenses", "/orders/1%2F2/cancel", `{"reason":"r","dry_run":true}`, 200},
	{"GET /earmarks", "read", "", "", 200},
	{"GET /recoveries", "read", "/recoveries?open=true", "", 200},
	{"GET /recoveries/{number}", "read", "/recoveries/1", "", 404},
	{"POST /recoveries/{number}/approve", "recovery", "/recoveries/1/approve", `{}`, 404},
	{"POST /recoveries/{number}/refuse", "recovery", "/recoveries/1/refuse", `{"reason":"r"}`, 404},
	{"POST /recoveries/{number}/ask", "recovery", "/recoveries/1/ask", `{"question":"q"}`, 404},
	{"POST /recoveries/simulate", "recovery", "", `{"product":"CAD-PRO","restore":{"license":{"mode":"never"}}}`, 200},
	{"GET /recoveries/excess", "read", "/recoveries/excess?count=1&days=7", "", 200},
	{"POST /licenses/{id}/restore-grants", "recovery", "/licenses/LICENSE/restore-grants", `{"reason":"r"}`, 200},
	{"POST /restore-grants", "recovery", "", `{"licenses":["LICENSE"],"count":2,"reason":"r"}`, 200},
	{"GET /licenses/{id}/restore-explanation", "read", "/licenses/LICENSE/restore-explanation?scope=container&hardware=new", "", 200},
	{"GET /blocklist", "read", "", "", 200},
	{"GET /settings", "read", "", "", 200},
	{"PUT /settings", "containers", "", `{"auto_update":"12h"}`, 200},
	{"POST /webhooks", "webhooks", "", `{"url":"https://example.com/hooks"}`, 201},
	{"GET /webhooks", "webhooks", "", "", 200},
	{"GET /webhooks/{id}", "webhooks", "/webhooks/none", "", 404},
	{"PATCH /webhooks/{id}", "webhooks", "/webhooks/none", `{"state":"paused"}`, 404},
	{"DELETE /webhooks/{id}", "webhooks", "/webhooks/none", "", 404},
	{"POST /webhooks/{id}/rotate", "webhooks", "/webhooks/none/rotate", `{"overlap":"0s"}`, 404},
	{"POST /webhooks/{id}/test", "webhooks", "/webhooks/none/test", "", 404},
	{"GET /webhooks/{id}/deliveries", "webhooks", "/webhooks/none/deliveries?state=failed", "", 404},
	{"GET /webhooks/{id}/deliveries/{event}", "webhooks", "/webhooks/none/deliveries/none", "", 404},
	{"POST /webhooks/{id}/replay", "webhooks", "/webhooks/none/replay", `{"failed":true}`, 404},
	{"GET /webhook-events", "webhooks", "", "", 200},
	{"GET /gap", "read", "", "", 200},
	{"GET /gap/licenses", "read", "", "", 200},
	{"GET /gap/containers", "read", "", "", 200},
	{"POST /gap/release", "licenses", "", `{"licenses":["LICENSE"],"reason":"r"}`, 200},
	{"POST /gap/close", "licenses", "", `{"reason":"r"}`, 409},
	{"POST /bulk/orders", "orders", "", `{"items":[{"customer":"Ada","items":[{"product":"CAD-PRO"}]}]}`, 202},
	{"POST /bulk/import", "orders", "", `{"csv":"order,customer,product\n8,Ada,CAD-PRO\n"}`, 202},
	{"POST /bulk/subscriptions", "orders", "", `{"items":[{"customer":"Ada","product":"CAD-PRO","period":"monthly"}]}`, 202},
	{"POST /bulk/renewals", "orders", "", `{"items":[{"subscription":"none"}]}`, 202},
	{"POST /bulk/withdraw", "licenses", "", `{"items":[{"license":"LICENSE"}],"reason":"r","dry_run":true}`, 202},
	{"POST /bulk/replace", "licenses", "", `{"items":[{"license":"LICENSE","with":"CAD-PRO"}],"reason":"r"}`, 202},
	{"POST /bulk/assign", "licenses", "", `{"items":[{"license":"LICENSE","container":"none"}],"reason":"r"}`, 202},
	{"POST /bulk/take_back", "licenses", "", `{"items":[{"license":"LICENSE"}],"reason":"r"}`, 202},
	{"POST /bulk/units", "licenses", "", `{"items":[{"license":"LICENSE","units":5}],"reason":"r"}`, 202},
	{"POST /bulk/block", "containers", "", `{"items":[{"container":"none"}],"reason":"r"}`, 202},
	{"POST /bulk/unblock", "containers", "", `{"items":[{"container":"none"}],"reason":"r"}`, 202},
	{"POST /bulk/push", "containers", "", `{"items":[{"container":"none"}]}`, 202},
	{"GET /bulk", "read", "", "", 200},
	{"GET /bulk/{id}", "read", "/bulk/none", "", 404},
	{"GET /bulk/{id}/results", "read", "/bulk/none/results?state=failed", "", 404},
	{"POST /bulk/{id}/cancel", "read", "/bulk/none/cancel", "", 404},
	{"GET /audit", "audit", "", "", 200},
	{"GET /audit/verify", "audit", "", "", 200},
	{"POST /tokens", "tokens", "", `{"name":"n","scopes":["tokens"]}`, 201},
	{"GET /tokens", "tokens", "", "", 200},
	{"DELETE /tokens/{id}", "tokens", "/tokens/none", "", 404},
}

func TestEveryRouteNeedsItsScope(t *testing.T) {
	s := newServer(t)
	o := s.order()
	values := strings.NewReplacer("TICKET", string(o.Ticket), "LICENSE", string(o.Licenses[0].ID))
	tokens := map[string]string{}
	for _, scope := range registry.Scopes {
		tokens[scope] = s.token(scope)
	}
	described := routes(t)
	for _, row := range table {
		scope, known := described[row.route]
		if !known || scope != row.scope {
			t.Errorf("%s: described with scope %q, want %q", row.route, scope, row.scope)
		}
		delete(described, row.route)
		method, path, _ := strings.Cut(row.route, " ")
		if row.call != "" {
			path = row.call
		}
		path, body := "/api/v1"+values.Replace(path), values.Replace(row.body)
		for _, bad := range []string{"", "licet_nonsense"} {
			if p := s.problem(bad, method, path, body); p.Status != 401 || p.Code != refusal.Unauthorized {
				t.Errorf("%s with token %q: %+v", row.route, bad, p)
			}
		}
		for scope, token := range tokens {
			want := 403
			if scope == row.scope || scope == registry.ScopeAdmin {
				want = row.status
			}
			status, answer := s.do(token, method, path, body)
			if status != want {
				t.Errorf("%s with scope %s: %d, want %d: %s", row.route, scope, status, want, answer)
			}
		}
	}
	for route := range described {
		t.Errorf("%s is not in the table", route)
	}
}

// routes reads the routes and their scopes from the description.
func routes(t *testing.T) map[string]string {
	t.Helper()
	var d struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Scope    string `json:"x-licet-scope"`
			Security *[]any `json:"security"`
		} `json:"paths"`
		Security []map[string][]string `json:"security"`
	}
	must(t, json.Unmarshal(vendorapi.Description(), &d))
	if !strings.HasPrefix(d.OpenAPI, "3.1") || len(d.Security) != 1 {
		t.Errorf("version %q, security %v", d.OpenAPI, d.Security)
	}
	all := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			if op.Security != nil {
				t.Errorf("%s %s has a security of its own", method, path)
			}
			all[strings.ToUpper(method)+" "+path] = op.Scope
		}
	}
	return all
}

func TestProblems(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               refusal.Code
	}{
		{"GET", "/api/v1/nothing", "", 404, refusal.NotFound},
		{"PATCH", "/api/v1/orders", "", 405, refusal.InvalidInput},
		{"GET", "/api/v1/orders/none", "", 404, refusal.NotFound},
		{"GET", "/api/v1/orders?limit=0", "", 422, refusal.InvalidInput},
		{"GET", "/api/v1/orders?limit=201", "", 422, refusal.InvalidInput},
		{"GET", "/api/v1/orders?limt=5", "", 422, refusal.InvalidInput},
		{"POST", "/api/v1/orders", `{"customer":"A","items":[]}`, 422, refusal.InvalidInput},
		{"POST", "/api/v1/orders", `{"customer":"A","items":[{"product":"NONE"}]}`, 404, refusal.ProductUnknown},
		{"POST", "/api/v1/orders", `{"customer":`, 400, refusal.InvalidInput},
		{"POST", "/api/v1/orders", ``, 400, refusal.InvalidInput},
		{"POST", "/api/v1/orders", strings.Repeat(" ", 2<<20), 413, refusal.TooLarge},
		{"PUT", "/api/v1/catalog", `{"yaml":"products: [{code: X}]"}`, 422, refusal.InvalidInput},
		{"POST", "/api/v1/tickets/lookup", `{"ticket":"AAAAA"}`, 404, refusal.TicketUnknown},
	} {
		p := s.problem(s.admin, c.method, c.path, c.body)
		if p.Status != c.status || p.Code != c.code {
			t.Errorf("%s %s %.40s: %d %s, want %d %s (%s)", c.method, c.path, c.body, p.Status, p.Code, c.status, c.code, p.Detail)
		}
	}
}

func TestBodiesAreJSON(t *testing.T) {
	s := newServer(t)
	s.order()
	body := `{"customer":"Ada","items":[{"product":"CAD-PRO"}]}`
	for _, media := range []string{"application/octet-stream", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/cbor"} {
		if p := s.problem(s.admin, "POST", "/api/v1/orders", body, "Content-Type", media); p.Status != 415 {
			t.Errorf("%s: %+v", media, p)
		}
	}
	if status, answer := s.do(s.admin, "POST", "/api/v1/orders", body, "Content-Type", "application/json; charset=utf-8"); status != 201 {
		t.Errorf("%d %s", status, answer)
	}
}

func TestRefusedInputIsNotRepeated(t *testing.T) {
	s := newServer(t)
	secret := "K7WQM-SECRET"
	for _, body := range []string{
		`{"ticket":"` + secret + `","more":"` + secret + `"}`,
		`{"ticket":["` + secret + `"]}`,
		`{"ticket":"` + secret + strings.Repeat("x", 200) + `"}`,
		secret, `"` + secret + `"`, `{"ticket":"` + secret + `"`,
	} {
		if _, answer := s.do(s.admin, "POST", "/api/v1/tickets/lookup", body); strings.Contains(string(answer), secret) {
			t.Errorf("%s: %s", body, answer)
		}
	}
	for _, hidden := range []string{secret, s.admin} {
		if strings.Contains(s.log.String(), hidden) {
			t.Errorf("%s in the log: %s", hidden, s.log)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := newServer(t)
	s.order()
	body := `{"customer":"Ada","items":[{"product":"CAD-PRO"}]}`
	first, a := s.do(s.admin, "POST", "/api/v1/orders", body, "Idempotency-Key", "k1")
	again, b := s.do(s.admin, "POST", "/api/v1/orders", body, "Idempotency-Key", "k1")
	if first != 201 || again != 201 || !bytes.Equal(a, b) {
		t.Errorf("repeated: %d %s\n%d %s", first, a, again, b)
	}
	if _, c := s.do(s.admin, "POST", "/api/v1/orders", body, "Idempotency-Key", "k2"); bytes.Equal(a, c) {
		t.Error("another key must make another order")
	}
	for _, other := range []string{"/api/v1/orders", "/api/v1/tokens"} {
		body := `{"customer":"Eve","items":[{"product":"CAD-PRO"}]}`
		if strings.HasSuffix(other, "tokens") {
			body = `{"name":"n","scopes":["read"]}`
		}
		if p := s.problem(s.admin, "POST", other, body, "Idempotency-Key", "k1"); p.Code != refusal.IdempotencyReused {
			t.Errorf("%s: %+v", other, p)
		}
	}
}

func TestPaging(t *testing.T) {
	s := newServer(t)
	s.order()
	seen := map[string]bool{}
	cursor := ""
	for range 10 {
		status, answer := s.do(s.admin, "GET", "/api/v1/licenses?limit=2&cursor="+cursor, "")
		var list wire.List[wire.License]
		if status != 200 || json.Unmarshal(answer, &list) != nil || len(list.Items) > 2 {
			t.Fatalf("%d %s", status, answer)
		}
		for _, l := range list.Items {
			seen[string(l.ID)] = true
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 3 || cursor != "" {
		t.Errorf("%d of 3 licenses, next %q", len(seen), cursor)
	}
}

func TestRevokedTokenIsRefused(t *testing.T) {
	s := newServer(t)
	status, answer := s.do(s.admin, "POST", "/api/v1/tokens", `{"name":"n","scopes":["read"]}`)
	var tok wire.Token
	if status != 201 || json.Unmarshal(answer, &tok) != nil {
		t.Fatal(status, string(answer))
	}
	if status, answer := s.do(s.admin, "DELETE", "/api/v1/tokens/"+tok.ID, ""); status != 200 {
		t.Fatal(status, string(answer))
	}
	if p := s.problem(tok.Secret, "GET", "/api/v1/orders", ""); p.Status != 401 {
		t.Errorf("%+v", p)
	}
}

func TestDescriptionFileIsFresh(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "openapi.json")
	want := vendorapi.Description()
	if *update {
		must(t, os.WriteFile(path, want, 0o644))
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is stale: go generate ./internal/vendorapi (%v)", err)
	}
	s := newServer(t)
	if status, served := s.do("", "GET", "/openapi.json", ""); status != 200 || !bytes.Equal(served, want) {
		t.Errorf("served: %d", status)
	}
}

func TestGuideWorksOffline(t *testing.T) {
	s := newServer(t)
	status, page := s.do("", "GET", "/docs", "")
	if status != 200 || strings.Contains(string(page), "http") {
		t.Errorf("the guide must need nothing from elsewhere: %d %s", status, page)
	}
	// The files are those of the npm package @stoplight/elements 9.0.25, unchanged.
	for name, published := range map[string]string{
		"styles.min.css":        "062127db60930e408a1598797004dfcd14742b83a059ed6b381f08d42c4b4d3c",
		"web-components.min.js": "2cb7bb60bbf2846e077e2bd8357a61785120a1ab657885d482a6bd37b034c709",
	} {
		if status, file := s.do("", "GET", "/docs/assets/"+name, ""); status != 200 || fmt.Sprintf("%x", sha256.Sum256(file)) != published {
			t.Errorf("%s: %d, %d bytes that were not published", name, status, len(file))
		}
	}
	if status, _ := s.do("", "GET", "/docs/assets/../../go.mod", ""); status == 200 {
		t.Error("a file from elsewhere")
	}
}

func TestFaultsAreNotShown(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("GET", "/api/v1/orders", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+s.admin)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	if w.Code != 500 || strings.Contains(string(body), "context") || !strings.Contains(s.log.String(), "context canceled") {
		t.Errorf("%d %s\nlog: %s", w.Code, body, s.log)
	}
	var p wire.Problem
	if json.Unmarshal(body, &p) != nil || p.Code != refusal.Internal || !strings.Contains(s.log.String(), p.Request) {
		t.Error(fmt.Sprint(p))
	}
}
