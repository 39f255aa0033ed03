package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licet/refusal"
	"licet/wire"
)

// naps records waits instead of waiting.
type naps struct{ waits []time.Duration }

func (n *naps) sleep(_ context.Context, d time.Duration) error {
	n.waits = append(n.waits, d)
	return nil
}

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func problemAnswer(w http.ResponseWriter, status int, p wire.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func TestRetrySendsTheSameBytes(t *testing.T) {
	var bodies, keys []string
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies, keys = append(bodies, string(b)), append(keys, r.Header.Get("Idempotency-Key"))
		if len(bodies) < 3 {
			problemAnswer(w, 503, wire.Problem{Code: refusal.CentralUnreachable, Detail: "Later."})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"order":"o"}`))
	})
	var n naps
	c := NewCentral(base, "tok", Options{Sleep: n.sleep})
	o, err := c.CreateOrder(t.Context(), wire.OrderRequest{Customer: "A"})
	if err != nil || o.Order != "o" {
		t.Fatal(o, err)
	}
	if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[1] != bodies[2] || keys[0] == "" || keys[0] != keys[2] {
		t.Errorf("bodies %q, keys %q", bodies, keys)
	}
	if len(n.waits) != 2 || n.waits[1] <= n.waits[0]/2 {
		t.Errorf("waits %v", n.waits)
	}
	if _, err := c.CreateOrder(t.Context(), wire.OrderRequest{Customer: "A"}); err != nil || keys[3] == keys[0] {
		t.Errorf("another call must have another key: %v %v", keys, err)
	}
}

func TestRefusalsComeBackAndAreNotRepeated(t *testing.T) {
	var calls atomic.Int32
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		problemAnswer(w, 409, wire.Problem{Code: refusal.LicenseInUse, Detail: "In use.", Hint: "Do this.", Details: map[string]any{"container": "C"}})
	})
	_, err := NewGateway(Options{}).Program(t.Context(), base, []byte("x"))
	r, ok := refusal.As(err)
	if !ok || r.Code != refusal.LicenseInUse || r.Message != "In use." || r.NextStep() != "Do this." || r.Details["container"] != "C" || calls.Load() != 1 {
		t.Errorf("%d calls: %+v", calls.Load(), err)
	}
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	html := func(status int) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<h1>Sign in</h1>"))
		})
	}
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com", http.StatusTemporaryRedirect)
	})
	garbled := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{"))
	})
	for name, base := range map[string]string{
		"nobody listens": gone.URL, "a sign-in page": html(200), "a proxy's error": html(502), "a redirect": elsewhere, "garbled": garbled,
	} {
		var n naps
		_, err := NewCentral(base, "secret-token", Options{Sleep: n.sleep}).Products(t.Context())
		if !refusal.Is(err, refusal.CentralUnreachable) || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	for _, base := range []string{"", "localhost:8080", "ftp://x", "http://", "http://a/?q=1", "http://u:p@host"} {
		if _, err := NewGateway(Options{}).WellKnown(t.Context(), base); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestAnswerIsBounded(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.MediaFile)
		chunk := make([]byte, 1<<20)
		for range maxAnswer>>20 + 2 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if _, err := NewGateway(Options{}).Program(t.Context(), base, nil); !refusal.Is(err, refusal.TooLarge) {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]int{"2": 3, "3600": 1, "": 3} {
		calls := 0
		base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls++
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			problemAnswer(w, 429, wire.Problem{Code: refusal.RateLimited, Detail: "Slow."})
		})
		var n naps
		_, err := NewGateway(Options{Sleep: n.sleep}).WellKnown(t.Context(), base)
		if !refusal.Is(err, refusal.RateLimited) || calls != want {
			t.Errorf("Retry-After %q: %d calls, want %d: %v", header, calls, want, err)
		}
		if header == "2" && n.waits[0] < 2*time.Second {
			t.Errorf("waited %v", n.waits)
		}
	}
}

func TestCanceledCallEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	base := serve(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	if _, err := NewGateway(Options{}).WellKnown(ctx, base); !refusal.Is(err, refusal.CentralUnreachable) {
		t.Error(err)
	}
}

func TestNamesAreEscapedInPaths(t *testing.T) {
	var got string
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.EscapedPath()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	})
	if _, err := NewCentral(base+"/sub/", "t", Options{}).Order(t.Context(), "a/b?c"); err != nil || got != "/sub/api/v1/orders/a%2Fb%3Fc" {
		t.Errorf("%s %v", got, err)
	}
}

// TestUpdates: an answer that has not one for each request is none, and a server
// that knows no such call says so.
func TestUpdates(t *testing.T) {
	answer := ""
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if answer == "" {
			problemAnswer(w, 404, wire.Problem{Code: refusal.NotFound, Detail: "There is nothing at this address."})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	files := [][]byte{[]byte("one"), []byte("two")}
	if _, err := NewGateway(Options{}).Updates(t.Context(), base, files); !refusal.Is(err, refusal.NotFound) {
		t.Error(err)
	}
	answer = `{"answers":[{"update":"x"}]}`
	if _, err := NewGateway(Options{}).Updates(t.Context(), base, files); !refusal.Is(err, refusal.CentralUnreachable) {
		t.Error(err)
	}
	answer = `{"answers":[{"update":"x"},{"problem":{"code":"damaged_file","detail":"Damaged."}}]}`
	got, err := NewGateway(Options{}).Updates(t.Context(), base, files)
	if err != nil || got[0].Update != "x" || !refusal.Is(got[1].Problem.Refusal(), refusal.DamagedFile) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestNoContent is an answer where nothing may be new, and none elsewhere.
func TestNoContent(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if file, err := NewGateway(Options{}).BlockList(t.Context(), base, 7); file != nil || err != nil {
		t.Errorf("%q %v", file, err)
	}
	if _, err := NewGateway(Options{}).Program(t.Context(), base, nil); !refusal.Is(err, refusal.CentralUnreachable) {
		t.Error(err)
	}
}
