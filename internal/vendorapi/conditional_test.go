package vendorapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"licet/internal/pgtest"
	"licet/refusal"
)

// etag is the tag of what a GET answers.
func (s *server) etag(path string, header ...string) (status int, tag, body string) {
	s.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+s.admin)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Code, w.Header().Get("ETag"), w.Body.String()
}

// TestConditions: a change that says what its caller saw is made only where that is
// so still, and a caller that has an answer does not get it again.
func TestConditions(t *testing.T) {
	s := newServer(t)
	o := s.order()
	license := "/api/v1/licenses/" + string(o.Licenses[0].ID)
	order := "/api/v1/orders/1%2F2"
	settings := "/api/v1/settings"

	for _, path := range []string{license, order, settings} {
		status, tag, body := s.etag(path)
		if status != http.StatusOK || len(tag) < 10 || tag[0] != '"' {
			t.Fatalf("%s: %d, ETag %s", path, status, tag)
		}
		if again, same, _ := s.etag(path); again != http.StatusOK || same != tag {
			t.Errorf("%s: ETag %s, and then %s", path, tag, same)
		}
		for _, seen := range []string{tag, `"other", ` + tag, "W/" + tag} {
			if status, same, body := s.etag(path, "If-None-Match", seen); status != http.StatusNotModified || same != tag || body != "" {
				t.Errorf("%s, If-None-Match %s: %d %s %q", path, seen, status, same, body)
			}
		}
		if status, _, same := s.etag(path, "If-None-Match", `"other"`); status != http.StatusOK || same != body {
			t.Errorf("%s: %d %s", path, status, same)
		}
	}

	_, tag, _ := s.etag(license)
	grant := license + "/restore-grants"
	for _, wrong := range []string{`"other"`, "W/" + tag, tag[1:], `""`, "nonsense"} {
		if p := s.problem(s.admin, "POST", grant, `{"count":1,"reason":"r"}`, "If-Match", wrong); p.Status != http.StatusPreconditionFailed || p.Code != refusal.ChangedMeanwhile {
			t.Errorf("If-Match %s: %+v", wrong, p)
		}
	}
	if _, same, _ := s.etag(license); same != tag {
		t.Fatal("a change that was refused changed something")
	}
	withdraw := license + "/withdraw"
	if status, body := s.do(s.admin, "POST", withdraw, `{"reason":"r"}`, "If-Match", `"other", `+tag, "Idempotency-Key", "k"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	// The same call again gets its answer, though the license is another one by now.
	if status, body := s.do(s.admin, "POST", withdraw, `{"reason":"r"}`, "If-Match", `"other", `+tag, "Idempotency-Key", "k"); status != http.StatusOK {
		t.Errorf("again: %d %s", status, body)
	}
	if p := s.problem(s.admin, "POST", grant, `{"count":1,"reason":"r"}`, "If-Match", tag); p.Status != http.StatusPreconditionFailed {
		t.Errorf("with the tag of before: %+v", p)
	}
	_, tag, _ = s.etag(order)
	if status, body := s.do(s.admin, "POST", order+"/cancel", `{"reason":"r"}`, "If-Match", tag); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if p := s.problem(s.admin, "POST", "/api/v1/containers/none/block", `{"reason":"r"}`, "If-Match", tag); p.Status != http.StatusNotFound {
		t.Errorf("%+v", p)
	}
}

// TestConditionsOfSubscriptions: a subscription that somebody else changed meanwhile is
// not changed by who saw it as it was; one that only time has passed for is the same.
func TestConditionsOfSubscriptions(t *testing.T) {
	s := newServer(t)
	s.order()
	if status, body := s.do(s.admin, "POST", "/api/v1/subscriptions", `{"number":"S-7","customer":"Ada","product":"CAD-PRO","period":"monthly","lead":"outside"}`); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	path := "/api/v1/subscriptions/S-7"
	status, tag, _ := s.etag(path)
	if status != http.StatusOK || len(tag) < 10 {
		t.Fatalf("%d, ETag %s", status, tag)
	}
	if status, same, body := s.etag(path, "If-None-Match", tag); status != http.StatusNotModified || same != tag || body != "" {
		t.Errorf("%d %s %q", status, same, body)
	}
	renew := func(reference string, header ...string) (int, string) {
		status, body := s.do(s.admin, "POST", path+"/renew", `{"reference":"`+reference+`"}`, header...)
		return status, string(body)
	}
	if status, body := renew("INV-1", "If-Match", tag, "Idempotency-Key", "k1"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	// Another one who saw the same is too late, for every kind of change; who repeats his
	// call gets its answer.
	for _, change := range []struct{ path, body string }{
		{"/renew", `{"reference":"INV-2"}`}, {"/change", `{"quantity":4,"reason":"r"}`}, {"/cancel", `{"reason":"r"}`}, {"/resume", `{"reason":"r"}`},
	} {
		if p := s.problem(s.admin, "POST", path+change.path, change.body, "If-Match", tag); p.Status != http.StatusPreconditionFailed || p.Code != refusal.ChangedMeanwhile {
			t.Errorf("%s: %+v", change.path, p)
		}
	}
	if status, body := renew("INV-1", "If-Match", tag, "Idempotency-Key", "k1"); status != http.StatusOK {
		t.Errorf("again: %d %s", status, body)
	}
	_, tag, _ = s.etag(path)
	if status, body := s.do(s.admin, "POST", path+"/change", `{"quantity":4,"reason":"r"}`, "If-Match", tag); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

// TestConditionsAtOnce: of many who saw the same, one changes it, on both databases.
func TestConditionsAtOnce(t *testing.T) {
	for name, address := range map[string]string{"sqlite": "", "postgres": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			if address != "" {
				s = newServerOn(t, address)
			}
			for _, every := range []string{"1h", "2h", "3h"} {
				_, tag, _ := s.etag("/api/v1/settings")
				var wg sync.WaitGroup
				var mu sync.Mutex
				done := map[int]int{}
				for range 8 {
					wg.Go(func() {
						status, body := s.do(s.admin, "PUT", "/api/v1/settings", `{"auto_update":"`+every+`"}`, "If-Match", tag)
						mu.Lock()
						defer mu.Unlock()
						if done[status]++; status != http.StatusOK && !strings.Contains(string(body), "changed_meanwhile") {
							t.Errorf("%d %s", status, body)
						}
					})
				}
				wg.Wait()
				if done[http.StatusOK] != 1 || done[http.StatusPreconditionFailed] != 7 {
					t.Errorf("%v", done)
				}
			}
		})
	}
}
