package registry_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

func (b *book) lose(req wire.RestoreRequest) (wire.RestoreAnswer, error) {
	return b.RequestRestore(context.Background(), req)
}

func lossOf(t license.Ticket) wire.RestoreRequest {
	return wire.RestoreRequest{Tickets: []string{string(t)}, Reason: "stolen"}
}

// TestRestore: Sc21, Sc22, Sc24, Sc28, L7, L16.
func TestRestore(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO", "YEAR")
		a := b.activated(tk)
		req := lossOf(tk)
		req.Licenses = []license.ID{ids["AUTO"]}
		got, err := b.lose(req)
		must(t, err)
		if got.State != store.Granted || got.Licenses[0].Code != refusal.Done {
			t.Fatalf("%+v", got)
		}
		b.is(ids["AUTO"], license.NotCollected, 2)
		c := b.activated(tk)
		c.holds("AUTO 2")
		// With the vendor it cannot be lost.
		if got, err := b.lose(lossOf(tk)); err != nil || got.Licenses[0].Code == "" {
			t.Fatalf("%+v %v", got, err)
		}
		// The lost copy goes at its next contact, and nothing else there.
		a.program(pendingWish)
		a.holds("YEAR 1")
		a.receipt()
		c2 := b.license(ids["AUTO"])
		if len(c2.Pending) != 0 {
			t.Logf("pending: %q", c2.Pending)
		}
		h, err := b.History(t.Context(), b.admin, "license", string(ids["AUTO"]), "", 100)
		must(t, err)
		var names []string
		for _, e := range h.Items {
			names = append(names, e.Event)
		}
		if !slices.Contains(names, "copy_gone") || !slices.Contains(names, "restored") {
			t.Fatalf("history: %q", names)
		}
	})
}

// TestRestoreKillsEveryCopyThatEverWas: R14: not only in the last holder.
func TestRestoreKillsEveryCopyThatEverWas(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO")
		a := b.activated(tk)
		old := a.state
		a.program(container.Wishes{Return: []license.ID{ids["AUTO"]}})
		a.receipt()
		c := b.activated(tk)
		_, err := b.lose(lossOf(tk))
		must(t, err)
		for _, x := range []*box{a, c} {
			view, err := b.Container(t.Context(), b.admin, x.state.Serial)
			must(t, err)
			if len(view.Pending) != 1 || !strings.Contains(view.Pending[0], "lost copy") {
				t.Fatalf("%s: %q", x.state.Serial, view.Pending)
			}
		}
		_ = old
	})
}

// TestGivenAgainMeanwhile: the return that a late receipt proves was followed by
// another activation there, so the lost copy is not gone.
func TestGivenAgainMeanwhile(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO")
		a := b.activated(tk)
		a.program(container.Wishes{Return: []license.ID{ids["AUTO"]}})
		receipt := a.report(container.Wishes{}) // lost on the way
		_, err := b.Program(t.Context(), a.report(ticket(tk)))
		must(t, err)
		b.is(ids["AUTO"], license.Collecting, 1)
		_, err = b.lose(lossOf(tk))
		must(t, err)
		must(t, b.Receipt(t.Context(), receipt))
		h, err := b.History(t.Context(), b.admin, "license", string(ids["AUTO"]), "", 100)
		must(t, err)
		for _, e := range h.Items {
			if e.Event == "copy_gone" {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// TestLateReceiptOfALostCopy: Sc24, R15.
func TestLateReceiptOfALostCopy(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("AUTO")
		a := b.activated(tk)
		a.program(container.Wishes{Return: []license.ID{ids["AUTO"]}})
		receipt := a.report(container.Wishes{}) // lost on the way
		_, err := b.lose(lossOf(tk))
		must(t, err)
		c := b.activated(tk)
		gone := func() (n int) {
			h, err := b.History(t.Context(), b.admin, "license", string(ids["AUTO"]), "", 100)
			must(t, err)
			for _, e := range h.Items {
				if e.Event == "copy_gone" {
					n++
				}
			}
			return n
		}
		for range 2 {
			must(t, b.Receipt(t.Context(), receipt))
			b.is(ids["AUTO"], license.Collected, 2)
			c.holds("AUTO 2")
			if n := gone(); n != 1 {
				t.Fatalf("the history says %d times that the lost copy is gone", n)
			}
		}
		// The removal stays ordered, for a copy that is put back.
		if l := b.license(ids["AUTO"]); len(l.Pending) != 1 {
			t.Fatalf("pending: %q", l.Pending)
		}
		a.program(pendingWish)
		a.receipt()
		if l := b.license(ids["AUTO"]); len(l.Pending) != 0 {
			t.Fatalf("pending: %q", l.Pending)
		}
	})
}

// TestRestoreLimits: Sc29, Inv30, L2, L6, L15.
func TestRestoreLimits(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		again := func(tk license.Ticket) wire.LostLicense {
			got, err := b.lose(lossOf(tk))
			must(t, err)
			return got.Licenses[0]
		}
		tk, ids := b.bought("ONCE")
		b.activated(tk)
		if got := again(tk); got.Code != refusal.Done {
			t.Fatalf("%+v", got)
		}
		b.activated(tk)
		got := again(tk)
		if got.Code != refusal.RestoreLimit || got.Again == 0 {
			t.Fatalf("%+v", got)
		}
		b.is(ids["ONCE"], license.Collected, 2)
		// Staff allow one more.
		_, err := b.EnableRestore(t.Context(), b.admin, []license.ID{ids["ONCE"]}, 1, "goodwill")
		must(t, err)
		if got := again(tk); got.Code != refusal.Done {
			t.Fatalf("%+v", got)
		}
		b.activated(tk)
		if got := again(tk); got.Code != refusal.RestoreLimit {
			t.Fatalf("%+v", got)
		}
		b.now = b.now.Add(366 * 24 * time.Hour)
		if got := again(tk); got.Code != refusal.Done {
			t.Fatalf("a year later: %+v", got)
		}

		tk, ids = b.bought("NEVER")
		b.activated(tk)
		if got := again(tk); got.Code != refusal.NotRestorable {
			t.Fatalf("%+v", got)
		}
		b.is(ids["NEVER"], license.Collected, 1)
	})
}

// TestRestoreByStaff: conditions, waiting, two members of staff at once (Sc26).
func TestRestoreByStaff(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("HYBRID")
		b.activated(tk)
		_, err := b.lose(lossOf(tk))
		b.refuses(refusal.ConditionsNotAccepted, err)
		b.is(ids["HYBRID"], license.Collected, 1)
		req := lossOf(tk)
		req.Accept = true
		if got, err := b.lose(req); err != nil || got.State != store.Granted {
			t.Fatalf("%+v %v", got, err)
		}
		b.activated(tk)
		got, err := b.lose(req)
		must(t, err)
		if got.State != store.Waiting || got.Licenses[0].Code != refusal.RestorePending {
			t.Fatalf("%+v", got)
		}
		if twice, err := b.lose(req); err != nil || twice.Licenses[0].Code != refusal.RestorePending || twice.Recovery != 0 {
			t.Fatalf("reported twice: %+v %v", twice, err)
		}
		rec, err := b.Recovery(t.Context(), b.admin, got.Recovery)
		must(t, err)
		if rec.Conditions != "It is lost." || rec.Accepted == 0 || len(rec.Licenses[0].Because) == 0 {
			t.Fatalf("%+v", rec)
		}
		_, err = b.AskRecovery(t.Context(), b.admin, rec.Number, "Which machine?")
		must(t, err)
		_, err = b.AnswerRecovery(t.Context(), tk, rec.Number, "The blue one.")
		must(t, err)
		other, _ := b.bought("AUTO")
		_, err = b.AnswerRecovery(t.Context(), other, rec.Number, "Not mine.")
		b.refuses(refusal.NotFound, err)
		var done, refused int
		var wg sync.WaitGroup
		var lock sync.Mutex
		for range 8 {
			wg.Go(func() {
				_, err := b.ApproveRecovery(context.Background(), b.admin, rec.Number, wire.Approval{Reason: "ok"})
				lock.Lock()
				defer lock.Unlock()
				switch code(err) {
				case "":
					done++
				case refusal.Conflict:
					refused++
				default:
					t.Errorf("approve: %v", err)
				}
			})
		}
		wg.Wait()
		if done != 1 || refused != 7 {
			t.Fatalf("%d approved, %d were told that it is decided", done, refused)
		}
		b.is(ids["HYBRID"], license.NotCollected, 3)
	})
}

// TestRestoreRaces: 50 reports of one loss at once, and activations beside them
// (Sc27): one restore for each time that the license was with a user.
func TestRestoreRaces(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("ONCE")
		b.activated(tk)
		var granted int
		var lock sync.Mutex
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				got, err := b.lose(lossOf(tk))
				lock.Lock()
				defer lock.Unlock()
				switch {
				case err == nil && got.State == store.Granted:
					granted++
				case err == nil && got.Licenses[0].Code != refusal.RestoreLimit && got.Licenses[0].Code != refusal.NotRestorable,
					err != nil && code(err) != refusal.NotRestorable:
					t.Errorf("%+v %v", got, err)
				}
			})
			wg.Go(func() {
				x := b.box()
				file := x.report(ticket(tk))
				if _, err := b.Program(context.Background(), file); err != nil {
					t.Errorf("activation: %v", err)
				}
			})
		}
		wg.Wait()
		if l := b.license(ids["ONCE"]); granted != 1 || l.Generation != 2 {
			t.Fatalf("%d granted, generation %d", granted, l.Generation)
		}
	})
}

// TestRestoreLimitUnderLoad: 50 users activate and report the loss at once, again
// and again: policy restores as often as it says, and not once more.
func TestRestoreLimitUnderLoad(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("THRICE")
		var granted atomic.Int64
		try := func() {
			file := b.box().report(ticket(tk))
			if _, err := b.Program(context.Background(), file); err != nil {
				t.Errorf("activation: %v", err)
			}
			got, err := b.lose(lossOf(tk))
			switch {
			case err == nil && got.State == store.Granted:
				granted.Add(1)
			case err == nil && got.Licenses[0].Code != refusal.RestoreLimit && got.Licenses[0].Code != refusal.NotRestorable,
				err != nil && code(err) != refusal.NotRestorable:
				t.Errorf("%+v %v", got, err)
			}
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(try)
		}
		wg.Wait()
		for range 5 { // whatever the race has left
			try()
		}
		if l := b.license(ids["THRICE"]); granted.Load() != 3 || l.Generation != 4 || l.State != license.Collecting {
			t.Fatalf("%d granted, %s in generation %d", granted.Load(), l.State, l.Generation)
		}
	})
}

// TestContactRenewsNoLostLicense: L11: while a loss is reported and not decided,
// contact renews every license of the container but that one.
func TestContactRenewsNoLostLicense(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CALLS", "CALLS-TOO")
		a := b.activated(tk)
		activated := a.state.LastContact
		later := func() license.Time {
			b.now = b.now.Add(time.Hour)
			a.program(pendingWish)
			return a.state.LastContact
		}
		if at := later(); a.state.ContactOf(ids["CALLS"]) != at || at == activated {
			t.Fatal("not renewed, and nobody has reported anything")
		}
		last := a.state.LastContact
		req := lossOf(tk)
		req.Licenses = []license.ID{ids["CALLS"]}
		got, err := b.lose(req)
		must(t, err)
		for range 2 {
			at := later()
			if a.state.ContactOf(ids["CALLS"]) != last || a.state.ContactOf(ids["CALLS-TOO"]) != at {
				t.Fatalf("%+v, container %d", a.state.Held, at)
			}
		}
		_, err = b.RefuseRecovery(t.Context(), b.admin, got.Recovery, "A calls every day")
		must(t, err)
		if at := later(); a.state.ContactOf(ids["CALLS"]) != at {
			t.Fatal("not renewed, and the report was refused")
		}
		// Returned and activated elsewhere, it is not the copy that was reported.
		_, err = b.lose(req)
		must(t, err)
		a.program(container.Wishes{Return: []license.ID{ids["CALLS"]}})
		a.receipt()
		w := ticket(tk)
		w.Activate = []license.ID{ids["CALLS"]}
		a = b.box()
		a.program(w)
		if at := later(); a.state.ContactOf(ids["CALLS"]) != at {
			t.Fatal("not renewed, and it is another container")
		}
	})
}

// TestTurnsUp: L10, three ways.
func TestTurnsUp(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		// It gets the license back; whoever has the replacement loses it first.
		tk, ids := b.bought("BACK")
		a := b.activated(tk)
		_, err := b.lose(lossOf(tk))
		must(t, err)
		c := b.activated(tk)
		c.holds("BACK 2")
		a.program(pendingWish)
		a.holds()
		a.receipt()
		b.is(ids["BACK"], license.Collected, 2)
		c.program(pendingWish)
		c.holds()
		a.program(pendingWish)
		a.holds() // not before the receipt of the other
		c.receipt()
		a.program(pendingWish)
		a.holds("BACK 2")
		a.receipt()
		b.is(ids["BACK"], license.Collected, 2)

		// Nobody has the replacement: it comes back in the same step.
		tk, _ = b.bought("BACK")
		a = b.activated(tk)
		_, err = b.lose(lossOf(tk))
		must(t, err)
		a.program(pendingWish)
		a.holds("BACK 2")

		// The whole container was stolen.
		tk, ids = b.bought("THEFT")
		a = b.activated(tk)
		req := lossOf(tk)
		req.Container, req.Whole = a.state.Serial, true
		_, err = b.lose(req)
		must(t, err)
		b.is(ids["THEFT"], license.NotCollected, 2)
		more, _ := b.bought("CAD")
		if out := a.program(ticket(more)); out[0].Code != refusal.ContainerBlocked {
			t.Fatalf("%+v", out)
		}
		a.holds()
		if !a.state.Locked {
			t.Fatal("not locked")
		}
		a.receipt()
		_, err = b.UnblockContainer(t.Context(), b.admin, a.state.Serial, "found")
		must(t, err)
		if out := a.program(ticket(more)); out[0].Code != refusal.Done || a.state.Locked {
			t.Fatalf("%+v", out)
		}
		a.holds("CAD 1")
	})
}

// TestExplain: the policy's reasons.
func TestExplain(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("ONCE")
		b.activated(tk)
		e, err := b.ExplainRestore(t.Context(), b.admin, ids["ONCE"], recovery.ScopeLicense, "")
		must(t, err)
		if e.Decision.Verdict != recovery.Grant || len(e.Decision.Because) == 0 {
			t.Fatalf("%+v", e)
		}
	})
}
