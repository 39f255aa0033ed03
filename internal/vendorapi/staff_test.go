package vendorapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const staffYAML = `
products:
  - {code: CAD-PRO, name: CAD Professional, model: perpetual_single}
  - {code: ADDON, name: Add-on, model: perpetual_single, requires: [CAD-PRO]}
`

// held sells the products, activates them into a container, and returns it.
func (s *server) held() (license.Serial, map[string]license.ID, license.Ticket) {
	s.t.Helper()
	ctx := s.t.Context()
	admin, err := s.reg.Authenticate(ctx, s.admin)
	must(s.t, err)
	_, err = s.reg.ApplyCatalog(ctx, admin, wire.CatalogRequest{YAML: staffYAML})
	must(s.t, err)
	o, err := s.reg.CreateOrder(ctx, admin, wire.OrderRequest{Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD-PRO"}, {Product: "ADDON"}}}, registry.Once{})
	must(s.t, err)
	trust, err := seal.ParseTrust([]byte(s.reg.WellKnown().Trust))
	must(s.t, err)
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(s.t, err)
	var nonce container.Nonce
	rand.Read(nonce[:])
	_, r := container.NewState(keys.Serial()).Report(keys.Identity(license.Machine), nonce, license.At(time.Now()))
	r.Wishes = container.Wishes{Tickets: []license.Ticket{o.Ticket}}
	file, err := seal.SealReport(trust, keys, r)
	must(s.t, err)
	_, err = s.reg.Program(ctx, file)
	must(s.t, err)
	ids := map[string]license.ID{}
	for _, l := range o.Licenses {
		ids[l.Product] = l.ID
	}
	return keys.Serial(), ids, o.Ticket
}

func decoded[T any](t *testing.T, status int, answer []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(answer, &value); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	return value
}

func TestOneRefusedIsAnErrorAndSeveralAreNamed(t *testing.T) {
	s := newServer(t)
	_, ids, _ := s.held()
	p := s.problem(s.admin, "POST", "/api/v1/licenses/"+string(ids["CAD-PRO"])+"/withdraw", `{"reason":"r"}`)
	needing, _ := p.Details["licenses"].([]any)
	if p.Status != 409 || p.Code != refusal.BreaksOtherLicense || len(needing) != 1 || needing[0] != string(ids["ADDON"]) {
		t.Errorf("%+v", p)
	}
	if p := s.problem(s.admin, "POST", "/api/v1/licenses/none/withdraw", `{"reason":"r"}`); p.Status != 404 || p.Code != refusal.LicenseUnknown {
		t.Errorf("%+v", p)
	}
	body := `{"licenses":["` + string(ids["CAD-PRO"]) + `","` + string(ids["ADDON"]) + `","none"],"reason":"r"}`
	status, answer := s.do(s.admin, "POST", "/api/v1/licenses/withdraw", body, "Idempotency-Key", "k")
	out := decoded[wire.Ordered](t, status, answer)
	if len(out.Done) != 2 || out.Done[0].When != wire.NextContact || len(out.Refused) != 1 || out.Refused[0].Code != refusal.LicenseUnknown {
		t.Errorf("%s", answer)
	}
	// The answer was lost; the same key gets it again, and no refusal.
	if _, again := s.do(s.admin, "POST", "/api/v1/licenses/withdraw", body, "Idempotency-Key", "k"); !bytes.Equal(answer, again) {
		t.Errorf("again: %s", again)
	}
	if p := s.problem(s.admin, "POST", "/api/v1/licenses/"+string(ids["ADDON"])+"/withdraw", `{"reason":"r"}`, "Idempotency-Key", "k"); p.Code != refusal.IdempotencyReused {
		t.Errorf("%+v", p)
	}
	status, answer = s.do(s.admin, "GET", "/api/v1/earmarks?limit=1", "")
	if list := decoded[wire.List[wire.Earmark]](t, status, answer); len(list.Items) != 1 || list.Next == "" || list.Items[0].Kind != "withdraw" {
		t.Errorf("%s", answer)
	}
	for _, body := range []string{`{"reason":""}`, `{"reason":"   "}`, `{}`} {
		if p := s.problem(s.admin, "POST", "/api/v1/licenses/"+string(ids["ADDON"])+"/cancel", body); p.Status != 422 {
			t.Errorf("%s: %+v", body, p)
		}
	}
}

func TestPushAnswersAFile(t *testing.T) {
	s := newServer(t)
	serial, ids, _ := s.held()
	if status, answer := s.do(s.admin, "POST", "/api/v1/licenses/"+string(ids["ADDON"])+"/withdraw", `{"reason":"r"}`); status != 200 {
		t.Fatal(status, string(answer))
	}
	path := "/api/v1/containers/" + string(serial) + "/push"
	push := func(accept string) (media string, body []byte) {
		r := httptest.NewRequest("POST", path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+s.admin)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%q: %d %s", accept, w.Code, w.Body)
		}
		return w.Header().Get("Content-Type"), w.Body.Bytes()
	}
	for _, accept := range []string{wire.MediaFile, wire.MediaFile + ", application/problem+json"} {
		if media, file := push(accept); media != wire.MediaFile || !bytes.HasPrefix(file, []byte("-----BEGIN LICET UPDATE")) {
			t.Errorf("%q: %s %.60s", accept, media, file)
		}
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		media, body := push(accept)
		if in := decoded[wire.UpdateFile](t, 200, body); media != "application/json" || len(in.File) < 100 {
			t.Errorf("%q: %s %.60s", accept, media, body)
		}
	}
}

func TestRecoveriesOverREST(t *testing.T) {
	s := newServer(t)
	_, ids, ticket := s.held()
	got, err := s.reg.RequestRestore(t.Context(), wire.RestoreRequest{Tickets: []string{string(ticket)}, Licenses: []license.ID{ids["ADDON"]}, Reason: "stolen"})
	must(t, err)
	if got.State != "waiting" {
		t.Fatalf("%+v", got)
	}
	status, answer := s.do(s.admin, "GET", "/api/v1/recoveries?open=true", "")
	if list := decoded[wire.List[wire.Recovery]](t, status, answer); len(list.Items) != 1 || list.Items[0].State != "waiting" {
		t.Fatalf("%s", answer)
	}
	status, answer = s.do(s.admin, "POST", "/api/v1/recoveries/1/ask", `{"question":"Which?"}`, "Idempotency-Key", "ask")
	if r := decoded[wire.Recovery](t, status, answer); r.State != "asked" || len(r.Notes) != 1 {
		t.Errorf("%s", answer)
	}
	if _, again := s.do(s.admin, "POST", "/api/v1/recoveries/1/ask", `{"question":"Which?"}`, "Idempotency-Key", "ask"); !bytes.Equal(again, answer) {
		t.Errorf("asked twice: %s", again)
	}
	if p := s.problem(s.admin, "POST", "/api/v1/recoveries/1/approve", `{"stop":"blok"}`); p.Status != 422 {
		t.Errorf("%+v", p)
	}
	status, answer = s.do(s.admin, "POST", "/api/v1/recoveries/1/approve", `{"reason":"ok","stop":"return"}`, "Idempotency-Key", "approve")
	if r := decoded[wire.Recovery](t, status, answer); r.State != "approved" || r.Licenses[0].Outcome != "restored" {
		t.Errorf("%s", answer)
	}
	if _, again := s.do(s.admin, "POST", "/api/v1/recoveries/1/approve", `{"reason":"ok","stop":"return"}`, "Idempotency-Key", "approve"); !bytes.Equal(again, answer) {
		t.Errorf("approved twice: %s", again)
	}
	if p := s.problem(s.admin, "POST", "/api/v1/recoveries/1/refuse", `{"reason":"no"}`); p.Code != refusal.Conflict || p.Details["state"] != "approved" {
		t.Errorf("%+v", p)
	}
	status, answer = s.do(s.admin, "GET", "/api/v1/recoveries/1", "")
	if r := decoded[wire.Recovery](t, status, answer); len(r.Licenses[0].Restores) != 1 || len(r.Licenses[0].Because) == 0 {
		t.Errorf("%s", answer)
	}
	status, answer = s.do(s.admin, "POST", "/api/v1/recoveries/simulate", `{"product":"ADDON","restore":{"license":{"mode":"automatic"}}}`)
	if sim := decoded[wire.Simulation](t, status, answer); sim.Summary.Cases != 1 || len(sim.Changed) != 1 || sim.Changed[0].Recovery != 1 {
		t.Errorf("%s", answer)
	}
	p := s.problem(s.admin, "POST", "/api/v1/recoveries/simulate", `{"product":"ADDON","restore":{"lisense":{}}}`)
	if problems, _ := p.Details["problems"].([]any); p.Status != 422 || len(problems) != 1 {
		t.Errorf("%+v", p)
	}
	status, answer = s.do(s.admin, "GET", "/api/v1/licenses/"+string(ids["CAD-PRO"])+"/restore-explanation", "")
	if x := decoded[wire.Explanation](t, status, answer); x.Decision.Verdict != "ask" || !slices.ContainsFunc(x.Decision.Because, func(r recovery.Reason) bool { return r.Applies }) {
		t.Errorf("%s", answer)
	}
	for _, path := range []string{"/recoveries/0", "/recoveries/x", "/recoveries/excess?days=0", "/licenses/x/restore-explanation?scope=all", "/licenses/x/restore-explanation?hardware=old"} {
		if p := s.problem(s.admin, "GET", "/api/v1"+path, ""); p.Status != 422 {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestSettings(t *testing.T) {
	s := newServer(t)
	for body, want := range map[string]int{`{"auto_update":"12h"}`: 200, `{"auto_update":"0s"}`: 200, `{"auto_update":"1s"}`: 422, `{"auto_update":"soon"}`: 422, `{"auto_updat":"1h"}`: 422} {
		if status, answer := s.do(s.admin, "PUT", "/api/v1/settings", body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
