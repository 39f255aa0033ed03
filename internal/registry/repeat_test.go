package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
