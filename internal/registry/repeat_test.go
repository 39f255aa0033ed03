package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestRepeatedReport: whoever reports again is told what was restored and not
// activated since, and what waits in which report with which question.
func TestRepeatedReport(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO", "CAD")
		a := b.activated(tk)
		got, err := b.lose(lossOf(tk))
		must(t, err)
		if got.State != store.Waiting || got.Recovery == 0 || len(got.Licenses) != 2 || len(got.Restored) != 0 {
			t.Fatalf("%+v", got)
		}
		number := got.Recovery
		_, err = b.AskRecovery(t.Context(), b.admin, number, "When was it?")
		must(t, err)
		got, err = b.lose(lossOf(tk))
		must(t, err)
		if !slices.Equal(got.Restored, []license.ID{ids["AUTO"]}) || len(got.Licenses) != 1 {
			t.Fatalf("%+v", got)
		}
		if l := got.Licenses[0]; l.Code != refusal.RestorePending || l.Recovery != number || l.Question != "When was it?" {
			t.Fatalf("%+v", l)
		}
		// By name, and from the container that was lost, it is the same.
		req := lossOf(tk)
		req.Licenses = []license.ID{ids["AUTO"]}
		for _, from := range []license.Serial{"", a.state.Serial} {
			req.Container, req.Whole = from, from != ""
			_, err = b.lose(req)
			b.refuses(refusal.NotRestorable, err)
			if r, _ := refusal.As(err); fmt.Sprint(r.Details["restored"]) != fmt.Sprint([]license.ID{ids["AUTO"]}) {
				t.Fatalf("%+v", r)
			}
		}
		b.is(ids["AUTO"], license.NotCollected, 2)
	})
}

// TestWhatWorksIsNotLost: licenses that the asking machine has are left out.
func TestWhatWorksIsNotLost(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO", "BACK")
		b.activated(tk)
		req := lossOf(tk)
		req.Here = []license.ID{ids["AUTO"]}
		got, err := b.lose(req)
		must(t, err)
		if len(got.Licenses) != 1 || got.Licenses[0].License != ids["BACK"] {
			t.Fatalf("%+v", got)
		}
		b.is(ids["AUTO"], license.Collected, 1)
		b.activated(tk)
		req.Here = []license.ID{ids["AUTO"], ids["BACK"]}
		_, err = b.lose(req)
		b.refuses(refusal.NotRestorable, err)
		b.is(ids["BACK"], license.Collected, 2)
	})
}

// TestConditionsOfAll: who accepts has seen the conditions of every license.
func TestConditionsOfAll(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: `
products:
  - {code: SOLEMN, name: Other conditions, model: perpetual_single, restore: {license: {mode: automatic}, conditions: "I promise."}}
`})
		must(t, err)
		tk, ids := b.bought("HYBRID", "SOLEMN")
		b.activated(tk)
		req := lossOf(tk)
		_, err = b.lose(req)
		b.refuses(refusal.ConditionsNotAccepted, err)
		if r, _ := refusal.As(err); !strings.Contains(fmt.Sprint(r.Details["conditions"]), "It is lost.") || !strings.Contains(fmt.Sprint(r.Details["conditions"]), "I promise.") {
			t.Fatalf("%+v", r.Details)
		}
		b.is(ids["SOLEMN"], license.Collected, 1)
		req.Accept = true
		_, err = b.lose(req)
		must(t, err)
		b.is(ids["SOLEMN"], license.NotCollected, 2)
	})
}

// TestOldCopyGetsNoStepItCannotApply: a copy that was put back, and is flagged,
// is told why, also where a removal is issued that comes after steps it lacks.
func TestOldCopyGetsNoStepItCannotApply(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO", "CAD")
		a := b.box()
		first := ticket(tk)
		first.Activate = []license.ID{ids["CAD"]}
		a.program(first)
		a.receipt()
		old := *a
		second := ticket(tk)
		second.Activate = []license.ID{ids["AUTO"]}
		a.program(second)
		a.receipt()
		req := lossOf(tk)
		req.Licenses = []license.ID{ids["AUTO"]}
		_, err := b.lose(req)
		must(t, err)
		old.program(pendingWish) // behind: challenged
		outcomes := old.program(pendingWish)
		if len(outcomes) != 1 || outcomes[0].Code != refusal.ContainerFlagged {
			t.Fatalf("%+v", outcomes)
		}
		old.holds("CAD 1")
	})
}

// TestRefusedBefore: who repeats a report that staff have refused is told so, and
// makes no new one; with another reason it is another report.
func TestRefusedBefore(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD")
		a := b.activated(tk)
		first, err := b.lose(lossOf(tk))
		must(t, err)
		_, err = b.RefuseRecovery(t.Context(), b.admin, first.Recovery, "It called today.")
		must(t, err)
		for _, reason := range []string{"", " stolen "} {
			req := lossOf(tk)
			req.Reason = reason
			got, err := b.lose(req)
			must(t, err)
			l := got.Licenses[0]
			if got.State != store.Refused || got.Recovery != 0 || l.Code != refusal.NotRestorable || l.Recovery != first.Recovery || !strings.HasSuffix(l.Message, "It called today.") {
				t.Fatalf("reason %q: %+v", reason, got)
			}
		}
		other := lossOf(tk)
		other.Reason = "stolen, police report 4711"
		got, err := b.lose(other)
		must(t, err)
		if got.State != store.Waiting || got.Recovery == first.Recovery {
			t.Fatalf("%+v", got)
		}
		// Refused for another copy, it is not refused for this one.
		_, err = b.RefuseRecovery(t.Context(), b.admin, got.Recovery, "It called again.")
		must(t, err)
		a.program(container.Wishes{Return: []license.ID{ids["CAD"]}})
		a.receipt()
		b.activated(tk)
		if got, err = b.lose(lossOf(tk)); err != nil || got.State != store.Waiting {
			t.Fatalf("%+v %v", got, err)
		}
	})
}

// TestPartOfAContainer: that a container is lost is believed of everything in it
// that the tickets stand for; else the rule for single licenses decides.
func TestPartOfAContainer(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: `
products:
  - {code: BOX, name: With its container, model: perpetual_single, restore: {license: {mode: never}, container: {new_hardware: automatic}}}
  - {code: BOX2, name: With its container, model: perpetual_single, restore: {license: {mode: never}, container: {new_hardware: automatic}}}
`})
		must(t, err)
		tk, ids := b.bought("BOX", "BOX2")
		a := b.activated(tk)
		req := lossOf(tk)
		req.Container, req.Whole, req.Licenses = a.state.Serial, true, []license.ID{ids["BOX"]}
		got, err := b.lose(req)
		must(t, err)
		if got.Licenses[0].Code != refusal.NotRestorable {
			t.Fatalf("%+v", got)
		}
		req.Licenses = []license.ID{ids["BOX"], ids["BOX2"]}
		if got, err = b.lose(req); err != nil || got.State != store.Granted {
			t.Fatalf("%+v %v", got, err)
		}
	})
}

// TestContactIsAnAddress: the answer has somewhere to go, and nothing else is
// written into a mail.
func TestContactIsAnAddress(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD")
		b.activated(tk)
		for _, wrong := range []string{"ada", "ada@", "Ada <ada@example.com>", "ada@example.com\r\nBcc: all@example.com", strings.Repeat("a", 200) + "@example.com"} {
			req := lossOf(tk)
			req.Contact = wrong
			_, err := b.lose(req)
			b.refuses(refusal.InvalidInput, err)
		}
		b.is(ids["CAD"], license.Collected, 1)
		req := lossOf(tk)
		req.Contact = " ada@example.com "
		_, err := b.lose(req)
		must(t, err)
	})
}
