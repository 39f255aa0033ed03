package gateway_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"licet/internal/gateway"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

func newGateway(t *testing.T, limits web.Limits) (http.Handler, *store.DB) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "licet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log := slog.New(slog.DiscardHandler)
	cfg := registry.Config{DB: db, Secret: bytes.Repeat([]byte{7}, 32), Now: time.Now, Random: func(b []byte) { rand.Read(b) }, Log: log}
	if _, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Environment: "production", Address: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return gateway.New(reg, log, limits), db
}

func call(h http.Handler, method, path string, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, body))
	return w
}

func TestRefusals(t *testing.T) {
	h, _ := newGateway(t, web.Limits{})
	for _, c := range []struct {
		method, path, body string
		status             int
		code               refusal.Code
	}{
		{"POST", wire.PathProgram, "nonsense", 400, refusal.WrongFile},
		{"POST", wire.PathProgram, "", 400, refusal.WrongFile},
		{"POST", wire.PathReceipt, "nonsense", 400, refusal.WrongFile},
		{"POST", wire.PathProgram, strings.Repeat("x", gateway.MaxFile+1), 413, refusal.TooLarge},
		{"GET", wire.PathProgram, "", 405, refusal.InvalidInput},
		{"GET", wire.PathTime, "", 422, refusal.InvalidInput},
		{"GET", wire.PathTime + "?nonce=zz", "", 422, refusal.InvalidInput},
		{"GET", wire.PathBlockList, "", 422, refusal.InvalidInput},
		{"GET", wire.PathBlockList + "?from=-1", "", 422, refusal.InvalidInput},
		{"POST", wire.PathUpdates, "nonsense", 422, refusal.InvalidInput},
		{"POST", wire.PathUpdates, `{"requests":[]}`, 422, refusal.InvalidInput},
		{"POST", wire.PathUpdates, `{"requests":["x"],"more":1}`, 422, refusal.InvalidInput},
		{"POST", wire.PathUpdates, `{"requests":["x"]} {}`, 422, refusal.InvalidInput},
		{"POST", wire.PathUpdates, many(wire.MaxUpdates + 1), 413, refusal.TooLarge},
		{"POST", wire.PathUpdates, strings.Repeat(" ", 9<<20), 413, refusal.TooLarge},
		{"POST", wire.PathRestore, "[]", 422, refusal.InvalidInput},
		{"POST", wire.PathRestore, "{}", 422, refusal.InvalidInput},
		{"POST", wire.PathRestore, `{"tickets":["22222-22222-22222-22222-22222"]}`, 404, refusal.TicketUnknown},
		{"POST", wire.PathRestore, `{"tickets":["22222-22222-22222-22222-22222"],"report":"nonsense"}`, 400, refusal.WrongFile},
		{"POST", wire.PathRestore, strings.Repeat(" ", gateway.MaxFile+1<<20), 413, refusal.TooLarge},
		{"GET", "/gateway/v1/none", "", 404, refusal.NotFound},
	} {
		w := call(h, c.method, c.path, strings.NewReader(c.body))
		var p wire.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Code != c.code || w.Header().Get("Content-Type") != web.MediaProblem {
			t.Errorf("%s %s %.20q: %d %s, want %d %s", c.method, c.path, c.body, w.Code, w.Body, c.status, c.code)
		}
	}
}

// many is a call with n requests.
func many(n int) string {
	body, err := json.Marshal(wire.UpdatesRequest{Requests: slices.Repeat([]string{"x"}, n)})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// TestUpdates: each request is answered as it would be alone, in order.
func TestUpdates(t *testing.T) {
	h, _ := newGateway(t, web.Limits{})
	body, err := json.Marshal(wire.UpdatesRequest{Requests: []string{"nonsense", strings.Repeat("x", gateway.MaxFile+1), "nonsense"}})
	if err != nil {
		t.Fatal(err)
	}
	w := call(h, "POST", wire.PathUpdates, bytes.NewReader(body))
	var out wire.UpdatesAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 || len(out.Answers) != 3 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for i, want := range []refusal.Code{refusal.WrongFile, refusal.TooLarge, refusal.WrongFile} {
		if p := out.Answers[i].Problem; p == nil || p.Code != want || p.Detail == "" || out.Answers[i].Update != "" {
			t.Errorf("answer %d: %+v", i, out.Answers[i])
		}
	}
}

func TestBlockListWithoutNews(t *testing.T) {
	h, _ := newGateway(t, web.Limits{})
	if w := call(h, "GET", wire.PathBlockList+"?from=0", nil); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTimeAndWellKnown(t *testing.T) {
	h, _ := newGateway(t, web.Limits{})
	w := call(h, "GET", wire.PathTime+"?nonce="+hex.EncodeToString(make([]byte, 16)), nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != wire.MediaFile || w.Body.Len() == 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	var known wire.WellKnown
	w = call(h, "GET", wire.PathWellKnown, nil)
	if err := json.Unmarshal(w.Body.Bytes(), &known); err != nil || known.Vendor != "Acme" || known.VendorID == "" || known.Trust == "" {
		t.Errorf("%+v %v", known, err)
	}
}

func TestReadyMeansTheDatabaseAnswers(t *testing.T) {
	h, db := newGateway(t, web.Limits{})
	if w := call(h, "GET", wire.PathReady, nil); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
	db.Close()
	if w := call(h, "GET", wire.PathReady, nil); w.Code != 503 || strings.Contains(w.Body.String(), "closed") {
		t.Error(w.Code, w.Body)
	}
	if w := call(h, "GET", wire.PathHealth, nil); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
}

func TestLimits(t *testing.T) {
	h, _ := newGateway(t, web.Limits{PerAddress: web.Rate{PerSecond: 0.001, Burst: 2}})
	for i, want := range []int{200, 200, 429} {
		if w := call(h, "GET", wire.PathWellKnown, nil); w.Code != want {
			t.Errorf("request %d: %d, want %d", i, w.Code, want)
		}
	}
	if w := call(h, "GET", wire.PathHealth, nil); w.Code != 200 {
		t.Error("monitoring must not be locked out")
	}
}

// TestLimitsOfTickets: reports of losses have limits of their own, and who sends
// many requests in one call has sent many.
func TestLimitsOfTickets(t *testing.T) {
	h, _ := newGateway(t, web.Limits{PerAddress: web.Rate{PerSecond: 0.001, Burst: 60}})
	guess := `{"tickets":["22222-22222-22222-22222-22222"]}`
	for i, want := range []int{404, 404, 404, 429, 429} {
		if w := call(h, "POST", wire.PathRestore, strings.NewReader(guess)); w.Code != want {
			t.Errorf("report %d: %d, want %d", i, w.Code, want)
		}
	}
	for i, want := range []int{200, 200, 429} {
		if w := call(h, "POST", wire.PathUpdates, strings.NewReader(many(32))); w.Code != want {
			t.Errorf("call %d: %d, want %d", i, w.Code, want)
		}
	}
	if w := call(h, "GET", wire.PathWellKnown, nil); w.Code != 429 {
		t.Errorf("%d", w.Code)
	}
}
