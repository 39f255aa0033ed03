package bridge

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/license"
)

// TestRecovers: an operation that fails altogether fails alone.
func TestRecovers(t *testing.T) {
	whole := operations
	t.Cleanup(func() { operations = whole })
	operations = append(operations[:len(operations):len(operations)], operation{"/v1/panic", true, func(*Bridge, context.Context, call) (any, error) { panic("planted") }})

	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	b := New(agent.Open(agent.Config{Home: t.TempDir()}), func() time.Time { return now }, slog.New(slog.DiscardHandler))
	b.origins = map[string][]holder{"https://licenses.example": {{vendor: "v", until: license.At(now.Add(time.Hour))}}}
	for range 2 {
		r := httptest.NewRequest("POST", "/v1/panic", strings.NewReader("{}"))
		r.Host = "127.0.0.1:1"
		r.Header = http.Header{"Origin": {"https://licenses.example"}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		b.Handler().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}))))
		if w.Code != 500 || strings.Contains(w.Body.String(), "planted") || b.limiter == nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// TestSeldom: what is turned away without end does not fill the log.
func TestSeldom(t *testing.T) {
	var s seldom
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	said := 0
	for range 1000 {
		if s.now(now) {
			said++
		}
	}
	if said != mostLogged || !s.now(now.Add(time.Minute)) {
		t.Errorf("%d lines", said)
	}
}
