package registry_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// lostAgain activates a ticket and reports its licenses lost.
func (b *book) lostAgain(tk license.Ticket) wire.RestoreAnswer {
	b.t.Helper()
	b.activated(tk)
	got, err := b.lose(lossOf(tk))
	must(b.t, err)
	return got
}

// TestSimulate tries policies on reports that were decided: L13.
func TestSimulate(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("HYBRID")
		first := b.now
		b.activated(tk)
		req := lossOf(tk)
		req.Accept = true
		for range 3 { // granted, then asked, then approved and asked again
			got, err := b.lose(req)
			must(t, err)
			if got.State == "waiting" {
				_, err := b.ApproveRecovery(t.Context(), b.admin, got.Recovery, wire.Approval{Reason: "ok"})
				must(t, err)
			}
			b.now = b.now.Add(24 * time.Hour)
			b.activated(tk)
		}
		simulate := func(policy string) wire.Simulation {
			t.Helper()
			s, err := b.Simulate(t.Context(), b.admin, wire.SimulationRequest{Product: "HYBRID", Restore: json.RawMessage(policy)})
			must(t, err)
			return s
		}
		same := simulate(`{"license":{"mode":"hybrid","automatic":1,"per":"365d"},"conditions":"It is lost."}`)
		if same.Summary.Cases != 3 || same.Summary.Changed != 0 || same.Summary.Then != same.Summary.Now || same.Summary.Now.Granted != 1 {
			t.Errorf("the same policy: %+v", same)
		}
		more := simulate(`{"license":{"mode":"automatic","automatic":2,"per":"365d"}}`)
		if s := more.Summary; s.Now != (recovery.Tally{Granted: 2, Refused: 1}) || len(more.Changed) != 2 {
			t.Fatalf("two by policy: %+v", more)
		}
		if c := more.Changed[0]; c.License != ids["HYBRID"] || c.Recovery != 2 || c.Then != recovery.Ask || c.Now.Verdict != recovery.Grant || c.Outcome != "restored" ||
			c.Customer != "Buyer" || c.Time != license.At(first.Add(24*time.Hour)) {
			t.Errorf("%+v", c)
		}
		if never := simulate(`{"license":{"mode":"never"}}`); never.Summary.Now.Refused != 3 {
			t.Errorf("never: %+v", never)
		}
		// What the days leave out is known all the same: one was granted before.
		s, err := b.Simulate(t.Context(), b.admin, wire.SimulationRequest{Product: "HYBRID", Days: 2, Restore: json.RawMessage(`{"license":{"mode":"hybrid","automatic":1,"per":"365d"}}`)})
		must(t, err)
		if s.Summary.Cases != 2 || s.Summary.Changed != 0 || s.Summary.Now.Asked != 2 {
			t.Errorf("two days: %+v", s)
		}
		for policy, want := range map[string]refusal.Code{
			`{"license":{"mode":"nevr"}}`: refusal.InvalidInput, `{"lisense":{}}`: refusal.InvalidInput, `"never"`: refusal.InvalidInput, `null`: refusal.InvalidInput, ``: refusal.InvalidInput,
			`{"license":{"mode":"hybrid"}}`: refusal.InvalidInput, `{"conditions":"\ud83d\ude00 \u003cyes\u003e"}`: "",
		} {
			_, err := b.Simulate(t.Context(), b.admin, wire.SimulationRequest{Product: "HYBRID", Restore: json.RawMessage(policy)})
			if code(err) != want {
				t.Errorf("%s: %v, want %q", policy, err, want)
			}
		}
		_, err = b.Simulate(t.Context(), b.admin, wire.SimulationRequest{Product: "NONE", Restore: json.RawMessage(`{}`)})
		b.refuses(refusal.ProductUnknown, err)
	})
}

// TestExcess: L14.
func TestExcess(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		told := func() (n int) {
			h, err := b.Audit(t.Context(), b.admin, "", 10_000)
			must(t, err)
			for _, e := range h.Items {
				if e.Event == "recovery_excess" {
					n++
				}
			}
			return n
		}
		excess := func(count, days int64) []wire.Excessive {
			t.Helper()
			x, err := b.Excess(t.Context(), b.admin, count, days)
			must(t, err)
			return x.Items
		}
		tk, _ := b.bought("AUTO", "AUTO")
		for range 3 {
			b.lostAgain(tk)
		}
		if got := excess(0, 0); len(got) != 0 || told() != 0 {
			t.Errorf("three times: %+v, told %d", got, told())
		}
		if got := excess(2, 1); len(got) != 1 || got[0].Kind != "customer" || got[0].Subject != "Buyer" || got[0].Times != 3 || got[0].Licenses != 6 {
			t.Errorf("more than twice: %+v", got)
		}
		b.lostAgain(tk)
		if got := excess(0, 0); len(got) != 1 || got[0].Times != 4 || told() != 1 {
			t.Errorf("four times: %+v, told %d", got, told())
		}
		b.lostAgain(tk)
		if told() != 1 {
			t.Errorf("told %d times of one excess", told())
		}
		b.now = b.now.Add(31 * 24 * time.Hour)
		if got := excess(0, 0); len(got) != 0 {
			t.Errorf("a month later: %+v", got)
		}
		// Whoever grants often is told of too, whomever it is for.
		for i := range 4 {
			o, err := b.CreateOrder(t.Context(), b.admin, wire.OrderRequest{Customer: fmt.Sprint("Buyer ", i), Items: []wire.OrderItem{{Product: "CAD"}}}, registry.Once{})
			must(t, err)
			got := b.lostAgain(o.Ticket)
			_, err = b.ApproveRecovery(t.Context(), b.admin, got.Recovery, wire.Approval{})
			must(t, err)
		}
		if got := excess(0, 0); len(got) != 1 || got[0].Kind != "staff" || got[0].Subject != "admin" || got[0].Times != 4 || told() != 2 {
			t.Errorf("staff: %+v, told %d", got, told())
		}
		// A license that is gone gave nobody anything.
		tk, ids := b.bought("CAD")
		b.activated(tk)
		b.withdraw(ids["CAD"])
		_, err := b.DeclareLost(t.Context(), b.admin, ids["CAD"], "scrapped")
		must(t, err)
		if got := excess(0, 0); len(got) != 1 || got[0].Times != 4 {
			t.Errorf("a lost withdrawal counts: %+v", got)
		}
		for _, bad := range [][2]int64{{-1, 0}, {0, -1}, {1001, 0}, {0, 1001}} {
			_, err := b.Excess(t.Context(), b.admin, bad[0], bad[1])
			b.refuses(refusal.InvalidInput, err)
		}
	})
}

// TestSettingsReachMachines: V9; also back to what machines do by themselves,
// while the block list stays as it is.
func TestSettingsReachMachines(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, _ := b.bought("CAD")
		a := b.activated(tk)
		heard := func() license.Duration {
			t.Helper()
			file, err := b.Program(t.Context(), a.report(pendingWish))
			must(t, err)
			u := a.opened(file)
			return u.Refresh
		}
		for _, every := range []license.Duration{6 * license.Duration(time.Hour), license.Day, 0} {
			s, err := b.ChangeSettings(t.Context(), b.admin, wire.Settings{AutoUpdate: every})
			must(t, err)
			now, err := b.Settings(t.Context(), b.admin)
			must(t, err)
			if s.AutoUpdate != every || now != s || heard() != every {
				t.Errorf("set %s, is %s, told %s", every, now.AutoUpdate, heard())
			}
		}
		for _, bad := range []license.Duration{1, license.Duration(time.Second), 366 * license.Day} {
			_, err := b.ChangeSettings(t.Context(), b.admin, wire.Settings{AutoUpdate: bad})
			b.refuses(refusal.InvalidInput, err)
		}
		h, err := b.Audit(t.Context(), b.admin, "", 10_000)
		must(t, err)
		changes := 0
		for _, e := range h.Items {
			if e.Event == "settings_changed" {
				changes++
			}
		}
		if changes != 3 {
			t.Errorf("%d changes noted", changes)
		}
	})
}

// TestDecisionsAreRepeatable: a call that got no answer is made again (R16).
func TestDecisionsAreRepeatable(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD", "YEAR", "HYBRID")
		a := b.activated(tk)
		ctx := registry.WithOnce(t.Context(), registry.Once{Key: "one"})
		first, err := b.Withdraw(ctx, b.admin, []license.ID{ids["CAD"], ids["CAD"], "lic_none"}, "test", false)
		must(t, err)
		if len(first.Done) != 1 || len(first.Refused) != 1 || first.Refused[0].Code != refusal.LicenseUnknown {
			t.Fatalf("%+v", first)
		}
		again, err := b.Withdraw(ctx, b.admin, []license.ID{ids["CAD"], ids["CAD"], "lic_none"}, "test", false)
		must(t, err)
		if fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("%+v\n%+v", first, again)
		}
		two := registry.WithOnce(t.Context(), registry.Once{Key: "two"})
		replaced, err := b.Replace(two, b.admin, ids["YEAR"], "AUTO", "test", false)
		must(t, err)
		if again, err := b.Replace(two, b.admin, ids["YEAR"], "AUTO", "test", false); err != nil || again.Done[0].With != replaced.Done[0].With {
			t.Errorf("%+v %v", again, err)
		}
		three := registry.WithOnce(t.Context(), registry.Once{Key: "three"})
		for range 2 {
			_, err := b.EnableRestore(three, b.admin, []license.ID{ids["HYBRID"], ids["HYBRID"]}, 2, "test")
			must(t, err)
		}
		if e, err := b.ExplainRestore(t.Context(), b.admin, ids["HYBRID"], recovery.ScopeLicense, ""); err != nil || e.Decision.Because[len(e.Decision.Because)-1].Text != "Staff have granted restores of this license beforehand: 2 unused, this one included." {
			t.Errorf("%+v %v", e.Decision.Because, err)
		}
		four := registry.WithOnce(t.Context(), registry.Once{Key: "four"})
		for range 2 {
			_, err := b.BlockContainer(four, b.admin, a.state.Serial, "stolen")
			must(t, err)
		}
		_, err = b.BlockContainer(t.Context(), b.admin, a.state.Serial, "  ")
		b.refuses(refusal.InvalidInput, err)

		list, err := b.Earmarks(t.Context(), b.admin, "", 1)
		must(t, err)
		rest, err := b.Earmarks(t.Context(), b.admin, list.Next, 10)
		must(t, err)
		all := append(list.Items, rest.Items...)
		if len(all) != 2 || rest.Next != "" || all[0].Kind != "replace" || all[0].With == "" || all[0].Product != "YEAR" || all[1].Kind != "withdraw" || all[1].Reason != "test" || all[1].Text == "" {
			t.Errorf("%+v", all)
		}
	})
}

// TestRecoveryShowsWhatWasRestoredBefore: staff see the whole story beside it.
func TestRecoveryShowsWhatWasRestoredBefore(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("HYBRID")
		b.activated(tk)
		req := lossOf(tk)
		req.Accept = true
		_, err := b.lose(req)
		must(t, err)
		b.activated(tk)
		got, err := b.lose(req)
		must(t, err)
		_, err = b.EnableRestore(t.Context(), b.admin, []license.ID{ids["HYBRID"]}, 3, "test")
		must(t, err)
		rec, err := b.Recovery(t.Context(), b.admin, got.Recovery)
		must(t, err)
		l := rec.Licenses[0]
		if len(l.Restores) != 1 || l.Restores[0].How != "automatic" || l.Restores[0].Generation != 1 || l.Restores[0].Recovery != 1 || l.Allowed != 3 {
			t.Errorf("%+v", l)
		}
	})
}

// TestNothingStaysWithoutWhatItNeeds: a withdrawal of both is taken back from
// what is needed upward.
func TestNothingStaysWithoutWhatItNeeds(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD", "ADDON")
		a := b.activated(tk)
		b.withdraw(ids["CAD"], ids["ADDON"])
		_, err := b.CancelPending(t.Context(), b.admin, ids["ADDON"], "test")
		b.refuses(refusal.PrerequisiteMissing, err)
		if l := b.license(ids["ADDON"]); !l.Withdrawn || len(l.Pending) != 1 {
			t.Fatalf("%+v", l)
		}
		for _, p := range []string{"CAD", "ADDON"} {
			_, err := b.CancelPending(t.Context(), b.admin, ids[p], "test")
			must(t, err)
		}
		a.program(pendingWish)
		a.holds("CAD 1", "ADDON 1")
	})
}
