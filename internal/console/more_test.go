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

// TestParts: beside a license that was split stands where its seats are; one that was
// merged leads on.
func TestParts(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", "read")
	s.catalog("products: [{code: TEAM, name: Millwright Team, model: perpetual_multi, terms: {seats: 10}}]")
	o := s.order("1", "Hartmann", "TEAM")
	id := o.Licenses[0].ID
	path := "/console/licenses/" + string(id)
	m := s.as("maren")
	m.get(path).is(t, http.StatusOK, "Millwright Team").lacks(t, "Where its seats are")
	x := s.box()
	x.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}, Activate: []license.ID{id}, Amounts: []container.Amount{{License: id, Seats: 4}}})
	s.must(s.Receipt(t.Context(), x.report(container.Wishes{})))
	var part license.ID
	for held := range x.state.Held {
		part = held
	}
	m.get(path).is(t, http.StatusOK, "Where its seats are", "/console/licenses/"+string(part), "4 of the 10 seats of")
	m.get("/console/licenses/"+string(part)).is(t, http.StatusOK, "Where its seats are", "Split from", path)
	x.program(container.Wishes{Return: []license.ID{part}})
	s.must(s.Receipt(t.Context(), x.report(container.Wishes{})))
	m.get(path).is(t, http.StatusOK, "were merged with those of the license").lacks(t, "Where its seats are")
	m.get("/console/licenses/"+string(part)).is(t, http.StatusOK, "Merged into", "Where its seats are", path)
	m.get("/console/orders/"+o.Order).is(t, http.StatusOK, string(id))
}
