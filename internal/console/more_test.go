package console_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/seal"
)

// newStageOn is a second process of central on the same database, by its address.
func newStageOn(t *testing.T, s *stage, db *store.DB) string {
	t.Helper()
	reg, err := s.again(db)
	s.must(err)
	server := httptest.NewServer(s.central(reg))
	t.Cleanup(server.Close)
	return server.URL
}

// keeping sends the same cookies always, as somebody who copied them does.
type keeping struct{ jar []*http.Cookie }

func (k *keeping) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, c := range k.jar {
		r.AddCookie(c)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

func readTexts(t *testing.T, language string) map[string]any {
	t.Helper()
	content, err := fs.ReadFile(texts(t), language+".json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func sorted(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func escape(text string) string { return url.QueryEscape(text) }

// tryProgram sends a report whose answer may bring nothing.
func (x *box) tryProgram(w container.Wishes) {
	x.s.t.Helper()
	file, err := x.s.Program(context.Background(), x.report(w))
	if err != nil {
		return // refused, as what is flagged may be
	}
	v, err := seal.NewVerifier(x.s.trust)
	x.s.must(err)
	u, err := v.OpenUpdate(file, x.keys)
	x.s.must(err)
	next, _, no := x.state.Import(u, nil, nonce, license.At(x.s.now))
	if no == nil {
		x.state = next
	}
}
