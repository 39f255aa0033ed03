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
		{"GET", "/gateway/v1/none", "", 404, refusal.NotFound},
	} {
		w := call(h, c.method, c.path, strings.NewReader(c.body))
		var p wire.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Code != c.code || w.Header().Get("Content-Type") != web.MediaProblem {
			t.Errorf("%s %s %.20q: %d %s, want %d %s", c.method, c.path, c.body, w.Code, w.Body, c.status, c.code)
		}
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
