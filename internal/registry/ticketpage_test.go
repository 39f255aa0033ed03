package registry_test

import (
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// TestTicketPage: O15; what the page says can be done, can be done.
func TestTicketPage(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("ONCE", "YEAR", "FIXED")
		page := func() map[string]wire.PageLicense {
			p, err := b.TicketPage(t.Context(), []string{string(tk), "XXXXX", " " + string(tk)})
			must(t, err)
			if len(p.Tickets) != 2 || !p.Tickets[0].Known || p.Tickets[1].Known || p.Tickets[1].Code != refusal.TicketUnknown {
				t.Fatalf("%+v", p.Tickets)
			}
			out := map[string]wire.PageLicense{}
			for _, l := range p.Licenses {
				out[l.Product] = l
			}
			return out
		}
		for _, l := range page() {
			if !l.Activate || l.Return || l.Restore != nil || l.Continue {
				t.Fatalf("%+v", l)
			}
		}
		// Chosen on the page, carried by file.
		a := b.box()
		chosen := container.Wishes{Tickets: []license.Ticket{tk}, Activate: []license.ID{ids["ONCE"], ids["FIXED"]}}
		request := a.report(pendingWish)
		got, err := b.Carried(t.Context(), request, chosen)
		must(t, err)
		if len(got.Outcomes) != 2 || got.Repeated || got.Receipt {
			t.Fatalf("%+v", got.Outcomes)
		}
		again, err := b.Carried(t.Context(), request, container.Wishes{Tickets: []license.Ticket{tk}, Activate: []license.ID{ids["YEAR"]}})
		must(t, err)
		if !again.Repeated || string(again.Update) != string(got.Update) {
			t.Fatal("a repeated request got another answer")
		}
		a.imports(got.Update)
		a.holds("ONCE 1", "FIXED 1")
		if p := page(); !p["ONCE"].Continue || p["ONCE"].Container != a.state.Serial || !p["YEAR"].Activate {
			t.Fatalf("%+v", p)
		}
		if got, err = b.Carried(t.Context(), a.report(container.Wishes{}), container.Wishes{}); err != nil || !got.Receipt {
			t.Fatalf("%+v %v", got, err)
		}
		p := page()
		if !p["ONCE"].Return || p["ONCE"].Continue || p["ONCE"].Restore == nil || p["ONCE"].Restore.Verdict != "grant" || p["FIXED"].Return || p["FIXED"].Restore.Verdict != "ask" {
			t.Fatalf("%+v", p)
		}
		// Lost with its container it may be another matter.
		if w := p["ONCE"].Whole; w[recovery.NewHardware].Verdict != "ask" || w[recovery.NewHardware].Rule == "" || p["YEAR"].Whole != nil {
			t.Fatalf("%+v", w)
		}
		// A preview does nothing.
		req := wire.RestoreRequest{Tickets: []string{string(tk)}, Licenses: []license.ID{ids["ONCE"]}}
		answer, err := b.PreviewRestore(t.Context(), req)
		must(t, err)
		if answer.State != store.Granted || answer.Recovery != 0 {
			t.Fatalf("%+v", answer)
		}
		b.is(ids["ONCE"], license.Collected, 1)
		req.Reason = "burned"
		if answer, err = b.RequestRestore(t.Context(), req); err != nil || answer.Recovery == 0 {
			t.Fatalf("%+v %v", answer, err)
		}
		whole, err := b.TicketPage(t.Context(), []string{string(tk)})
		must(t, err)
		if len(whole.Recoveries) != 1 || whole.Recoveries[0].Number != answer.Recovery || !page()["ONCE"].Activate {
			t.Fatalf("%+v", whole.Recoveries)
		}
		b.withdraw(ids["YEAR"])
		if _, there := page()["YEAR"]; there {
			t.Fatal("a withdrawn license is shown")
		}
	})
}
