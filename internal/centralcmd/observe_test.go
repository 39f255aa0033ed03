package centralcmd

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"licet/wire"
)

func (s *site) get(path string) string {
	s.t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		s.t.Fatalf("%s: %s %v", path, res.Status, err)
	}
	return string(body)
}

// TestMetrics: the figures follow what was sold, count requests by route, and hold
// no path that somebody made up and no secret.
func TestMetrics(t *testing.T) {
	s := newSite(t)
	s.serve()
	var o wire.Order
	s.ok(&struct{}{}, "apply", "-f", "-")
	s.ok(&o, "order", "create", "--customer", "Ada Miller", "--item", "CAD-PRO=3")
	if res, err := http.Get(s.url + "/api/v1/orders/" + string(o.Ticket)); err != nil {
		t.Fatal(err)
	} else {
		res.Body.Close()
	}
	text := s.get("/metrics")
	for _, line := range []string{
		`licet_database_up 1`, `licet_licenses{state="not_collected"} 3`, `licet_licenses{state="collected"} 0`,
		`licet_orders 1`, `licet_epoch 1`, `licet_containers{condition="flagged"} 0`,
		`licet_http_requests_total{method="POST",route="POST /api/v1/orders",status="201"} 1`,
		`licet_http_requests_total{method="GET",route="GET /api/v1/orders/{number}",status="401"} 1`,
		`licet_http_request_seconds_count{route="POST /api/v1/orders"} 1`,
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("missing: %s", line)
		}
	}
	secret, err := os.ReadFile(filepath.Join(s.data, fileToken))
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{string(o.Ticket), "Ada", strings.TrimSpace(string(secret)), o.Number} {
		if strings.Contains(text, never) {
			t.Errorf("the figures hold %q", never)
		}
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(text, ""))
	}
}

// TestTraces: a request is a span named after its route, with the caller's trace
// and the transactions that it made, and without path, address and browser.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var got []*spans.Span
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if in, err = gzip.NewReader(r.Body); err != nil {
				t.Error(err)
				return
			}
		}
		body, err := io.ReadAll(in)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				got = append(got, scope.Spans...)
			}
		}
	}))
	defer receiver.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.URL)

	s := newSite(t)
	stop := s.serve()
	req, err := http.NewRequest("GET", s.url+"/api/v1/orders/K7WQM-3XHTA", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s.ok(&struct{}{}, "apply", "-f", "-")
	if r := stop(); r.status != 0 { // which sends the last spans
		t.Fatal(r.stderr)
	}

	named := map[string]*spans.Span{}
	for _, one := range got {
		named[one.Name] = one
		if text := one.String(); strings.Contains(text, "K7WQM") || strings.Contains(text, "127.0.0.1") || strings.Contains(text, "Go-http-client") {
			t.Errorf("a span says too much: %s", text)
		}
	}
	asked, applied, transaction := named["GET /api/v1/orders/{number}"], named["PUT /api/v1/catalog"], named["transaction"]
	if asked == nil || applied == nil || transaction == nil {
		t.Fatalf("spans: %v", named)
	}
	if len(asked.TraceId) != 16 || asked.TraceId[0] != 0x0a || asked.ParentSpanId[0] != 0xb7 {
		t.Errorf("the caller's trace was not taken up: %v", asked)
	}
	inside := false
	for _, one := range got {
		inside = inside || one.Name == "transaction" && string(one.ParentSpanId) == string(applied.SpanId)
	}
	if !inside {
		t.Error("the transaction of a request is not inside of it")
	}
}

// TestDoctor: a server in order is said to be, what is wrong is named with the
// next step, and no secret is in the report.
func TestDoctor(t *testing.T) {
	s := newSite(t)
	s.now = time.Now()
	stop := s.serve()
	var found examination
	s.ok(&found, "doctor")
	about := func(name string) finding {
		for _, f := range found.Findings {
			if f.About == name {
				return f
			}
		}
		t.Fatalf("nothing about %s: %+v", name, found.Findings)
		return finding{}
	}
	for _, name := range []string{"data folder", "secret.key", "admin.token", "disk", "keys", "database", "audit log", "server", "clock"} {
		if f := about(name); f.State != findingGood {
			t.Errorf("%+v", f)
		}
	}
	if f := about("root key"); f.State != findingNote || f.Next == "" {
		t.Errorf("%+v", f)
	}

	broken := func(name string) {
		t.Helper()
		r := s.run("doctor", "--json")
		if err := json.Unmarshal([]byte(r.out), &found); err != nil || r.status != 1 || !strings.Contains(r.stderr, "not_in_order") {
			t.Fatalf("%d %s %v", r.status, r.stderr, err)
		}
		if f := about(name); f.State != findingBad || f.Text == "" {
			t.Errorf("%+v", f)
		}
		secret, err := os.ReadFile(filepath.Join(s.data, fileSecret))
		if err == nil && strings.Contains(r.out, strings.TrimSpace(string(secret))) {
			t.Error("the report holds the secret")
		}
	}
	s.now = s.now.Add(time.Minute)
	broken("clock")
	s.now = s.now.Add(-time.Minute)
	stop()
	broken("server")
	key := filepath.Join(s.data, fileSecret)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	broken("secret.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("00", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	broken("keys")
	if err := os.Remove(filepath.Join(s.data, fileDatabase)); err != nil {
		t.Fatal(err)
	}
	broken("database")
}
