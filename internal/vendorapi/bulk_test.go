package vendorapi_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"licet/refusal"
	"licet/wire"
)

// TestBulk: many orders in one call that answers at once, with where and when to look;
// then page by page what came of each.
func TestBulk(t *testing.T) {
	s := newServer(t)
	s.order()
	var items []string
	for i := range 5 {
		product := "CAD-PRO"
		if i == 3 {
			product = "NONE"
		}
		items = append(items, fmt.Sprintf(`{"number":"N-%d","customer":"Ada","items":[{"product":%q,"quantity":%d}]}`, i, product, i+1))
	}
	body := `{"items":[` + strings.Join(items, ",") + `]}`
	call := func(method, path, body string) (*httptest.ResponseRecorder, wire.Bulk) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.admin)
		r.Header.Set("Idempotency-Key", "k"+method)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		var job wire.Bulk
		must(t, json.Unmarshal(w.Body.Bytes(), &job))
		return w, job
	}
	w, job := call("POST", "/api/v1/bulk/orders", body)
	at := "/api/v1/bulk/" + job.ID
	if w.Code != 202 || w.Header().Get("Location") != at || w.Header().Get("Retry-After") != "1" || job.State != wire.BulkQueued || job.Total != 5 {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if _, again := call("POST", "/api/v1/bulk/orders", body); again.ID != job.ID {
		t.Errorf("the same call again is the job %s", again.ID)
	}
	for did := true; did; {
		var err error
		did, err = s.reg.WorkBulk(t.Context(), "test")
		must(t, err)
	}
	w, job = call("GET", at, "")
	if w.Code != 200 || w.Header().Get("Retry-After") != "" || job.State != wire.BulkFinished || job.Done != 4 || job.Failed != 1 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	var rows []int64
	cursor := ""
	for {
		status, answer := s.do(s.admin, "GET", at+"/results?limit=2&cursor="+cursor, "")
		var list wire.List[wire.BulkResult]
		if status != 200 || json.Unmarshal(answer, &list) != nil {
			t.Fatalf("%d %s", status, answer)
		}
		for _, r := range list.Items {
			rows = append(rows, r.Row)
			if bad := r.Row == 4; bad != (r.State == wire.BulkFailed) || bad != (r.Code == refusal.ProductUnknown) || bad == (r.Ticket != "") {
				t.Errorf("%+v", r)
			}
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(rows) != "[1 2 3 4 5]" {
		t.Errorf("rows %v", rows)
	}
	if p := s.problem(s.token("read"), "POST", at+"/cancel", ""); p.Code != refusal.Forbidden {
		t.Errorf("%+v", p)
	}
	if p := s.problem(s.admin, "POST", at+"/cancel", ""); p.Code != refusal.Conflict {
		t.Errorf("%+v", p)
	}
	for _, wrong := range []string{`{"items":[]}`, `{"items":[{"customer":"Ada"}]}`, `{}`} {
		if p := s.problem(s.admin, "POST", "/api/v1/bulk/orders", wrong); p.Status != 422 || p.Code != refusal.InvalidInput {
			t.Errorf("%s: %+v", wrong, p)
		}
	}
	if p := s.problem(s.admin, "POST", "/api/v1/bulk/import", `{"csv":"`+strings.Repeat("x", 17<<20)+`"}`); p.Code != refusal.TooLarge {
		t.Errorf("%+v", p)
	}
}

// TestLargeOrderAsAJob: an order of very many licenses has a small answer.
func TestLargeOrderAsAJob(t *testing.T) {
	s := newServer(t)
	s.order()
	status, answer := s.do(s.admin, "POST", "/api/v1/bulk/orders", `{"items":[{"number":"L","customer":"Ada","items":[{"product":"CAD-PRO","quantity":3000}]}]}`)
	var job wire.Bulk
	if status != 202 || json.Unmarshal(answer, &job) != nil {
		t.Fatalf("%d %s", status, answer)
	}
	_, err := s.reg.WorkBulk(t.Context(), "test")
	must(t, err)
	status, answer = s.do(s.admin, "GET", "/api/v1/bulk/"+job.ID+"/results", "")
	var list wire.List[wire.BulkResult]
	if status != 200 || json.Unmarshal(answer, &list) != nil || len(answer) > 1000 || list.Items[0].Added != 3000 || list.Items[0].Ticket == "" {
		t.Errorf("%d %.2000s", status, answer)
	}
}
