package console_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"licet/container"
	"licet/internal/registry"
	"licet/license"
	"licet/wire"
)

var lineOf = regexp.MustCompile(`class="life-bar"[^>]*aria-label="([^"]*)"`)

// lines are the lines of a page's picture, in words, without the hours.
func lines(a answer) (all []string) {
	for _, found := range lineOf.FindAllStringSubmatch(a.body, -1) {
		all = append(all, regexp.MustCompile(`, \d\d:\d\d UTC`).ReplaceAllString(html.UnescapeString(found[1]), ""))
	}
	return all
}

// TestLives: a license is sold, activated, lost, restored into another
// container, whose machine is then blocked; each page draws its part of it, and
// says the same in words.
func TestLives(t *testing.T) {
	s := newStage(t, sqlite(t))
	s.account("maren", registry.ScopeAdmin)
	start := s.now
	date := func() string { return s.now.UTC().Format("2 Jan 2006") }
	o := s.order("1", "Hartmann", "AUTO", "SIM")
	sold := date()
	s.now = start.Add(10 * day)
	x := s.box()
	x.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}})
	activated := date()
	s.now = start.Add(11 * day)
	s.must(s.Receipt(t.Context(), x.report(container.Wishes{})))
	confirmed := date()
	s.now = start.Add(60 * day)
	s.lost(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{o.Licenses[0].ID}, Reason: "Disk failure"})
	lost := date()
	s.now = start.Add(70 * day)
	y := s.holding(o.Ticket)
	again := date()
	s.now = start.Add(80 * day)
	_, err := s.BlockContainer(t.Context(), s.admin, y.keys.Serial(), "Stolen")
	s.must(err)
	blocked := date()
	s.now = start.Add(100 * day)

	m := s.as("maren")
	page := m.get("/console/licenses/"+string(o.Licenses[0].ID)).is(t, http.StatusOK)
	got := strings.Join(lines(page), "\n")
	short := func(x *box) string { return "Container " + string(x.keys.Serial())[:12] + "…" }
	for _, want := range []string{
		"Free to activate: Free to activate from " + sold + " to " + activated + "; Free to activate from " + lost + " to " + again + "\n",
		short(x) + ": Under way from " + activated + " to " + confirmed + "; In use from " + confirmed + " to " + lost + "; Lost copy, not proven gone from " + lost + " to today; License restored, " + lost + "; Waits to happen: ",
		"\n" + short(y) + ": Under way from " + again + " to " + again + "; In use from " + again + " to today",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if n := strings.Count(page.body, "life-span life-held"); n != 3 { // and one in the legend
		t.Errorf("%d bars in use", n)
	}

	got = strings.Join(lines(m.get("/console/containers/"+string(y.keys.Serial()))), "\n")
	for _, want := range []string{"The container itself: Blocked from " + blocked + " to today", "Toolpath Optimizer: Under way from " + again} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	got = strings.Join(lines(m.get("/console/orders/"+o.Order)), "\n")
	if !strings.Contains(got, "Simulation: Free to activate from "+sold+" to "+activated+"; Under way from "+activated) {
		t.Errorf("order drawn as\n%s", got)
	}

	m.lang = "de"
	m.get("/console/licenses/"+string(o.Licenses[0].ID)).is(t, http.StatusOK, "Leben dieser Lizenz", "In Gebrauch", "bis heute", "Verlorene Kopie")
}
