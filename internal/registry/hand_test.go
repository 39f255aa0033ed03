package registry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

const lossYAML = `
products:
  - code: AUTO
    name: Restored by itself
    model: perpetual_single
    restore: {license: {mode: automatic}}
  - code: ONCE
    name: Restored once by itself
    model: perpetual_single
    restore: {license: {mode: automatic, automatic: 1, per: 365d}}
  - code: HYBRID
    name: Once by itself, then by staff
    model: perpetual_single
    restore: {license: {mode: hybrid, automatic: 1, per: 365d}, conditions: "It is lost."}
  - code: BACK
    name: The lost container gets it back
    model: perpetual_single
    restore: {license: {mode: automatic}, found: revived}
  - code: THEFT
    name: The lost container is blocked
    model: perpetual_single
    restore: {license: {mode: automatic}, container: {new_hardware: automatic}, stop: block}
  - code: NEVER
    name: Lost is lost
    model: perpetual_single
    restore: {license: {mode: never}}
`

// stage is a book with the products of this test, on one engine.
func stage(t *testing.T, fn func(t *testing.T, b *book)) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: lossYAML})
		must(t, err)
		fn(t, b)
	})
}

var orders = 0

// bought is a new order with one license of each product, by product.
func (b *book) bought(products ...string) (license.Ticket, map[string]license.ID) {
	orders++
	var items []wire.OrderItem
	for _, p := range products {
		items = append(items, wire.OrderItem{Product: p})
	}
	o := b.order(fmt.Sprintf("hand-%d", orders), items...)
	ids := map[string]license.ID{}
	for _, l := range o.Licenses {
		ids[l.Product] = l.ID
	}
	return o.Ticket, ids
}

// holds checks what a container holds, as "product generation".
func (x *box) holds(want ...string) {
	x.b.t.Helper()
	got := []string{}
	for _, h := range x.state.Held {
		got = append(got, fmt.Sprintf("%s %d", h.Product, h.Generation))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		x.b.t.Fatalf("the container holds %q, want %q", got, want)
	}
}

func (b *book) is(id license.ID, state license.State, generation license.Generation) {
	b.t.Helper()
	if l := b.license(id); l.State != state || l.Generation != generation {
		b.t.Fatalf("%s is %s in generation %d (pending %q), want %s in %d", l.Product, l.State, l.Generation, l.Pending, state, generation)
	}
}

// code is the code of a refusal, "" for none.
func code(err error) refusal.Code {
	if err == nil {
		return ""
	}
	if r, ok := refusal.As(err); ok {
		return r.Code
	}
	return refusal.Code(err.Error())
}

func (b *book) refuses(want refusal.Code, err error) {
	b.t.Helper()
	if code(err) != want {
		b.t.Fatalf("got %v, want %s", err, want)
	}
}

func (b *book) withdraw(ids ...license.ID) wire.Ordered {
	b.t.Helper()
	out, err := b.Withdraw(context.Background(), b.admin, ids, "test", false)
	must(b.t, err)
	return out
}

// activated is a container that holds what a ticket stands for.
func (b *book) activated(t license.Ticket) *box {
	x := b.box()
	x.program(ticket(t))
	x.receipt()
	return x
}

var pendingWish = container.Wishes{Pending: true}

// TestWithdraw: Sc31, Sc32, Sc33, Sc35, V1, V2, V11.
func TestWithdraw(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD", "ADDON", "AUTO")
		// With the vendor: gone at once.
		if out := b.withdraw(ids["AUTO"]); len(out.Done) != 1 || out.Done[0].When != wire.Now {
			t.Fatalf("%+v", out)
		}
		b.is(ids["AUTO"], license.Gone, 1)
		a := b.activated(tk)
		a.holds("CAD 1", "ADDON 1")
		// What another license needs is refused with its name, whatever the position.
		_, other := b.bought("NEVER")
		out := b.withdraw(other["NEVER"], ids["CAD"])
		if len(out.Refused) != 1 || out.Refused[0].Code != refusal.BreaksOtherLicense || fmt.Sprint(out.Refused[0].Details["licenses"]) != fmt.Sprint([]license.ID{ids["ADDON"]}) {
			t.Fatalf("%+v", out.Refused)
		}
		b.is(other["NEVER"], license.Gone, 1)
		// Together they go.
		if out := b.withdraw(ids["CAD"], ids["ADDON"]); len(out.Done) != 2 {
			t.Fatalf("%+v", out)
		}
		b.is(ids["CAD"], license.Collected, 1)
		// The next programming takes them away, whatever causes it, in one step.
		tk2, ids2 := b.bought("YEAR")
		before := a.state.Number
		if got := a.program(ticket(tk2)); got[0].Code != refusal.Done {
			t.Fatalf("%+v", got)
		}
		if a.state.Number != before+1 {
			t.Fatalf("%d steps", a.state.Number-before)
		}
		a.holds("YEAR 1")
		b.is(ids["CAD"], license.Returning, 1)
		a.receipt()
		b.is(ids["CAD"], license.Gone, 1)
		b.is(ids["ADDON"], license.Gone, 1)
		b.is(ids2["YEAR"], license.Collected, 1)
		_, err := b.Program(t.Context(), b.box().report(container.Wishes{Tickets: []license.Ticket{tk}}))
		must(t, err)
		b.is(ids["CAD"], license.Gone, 1)
	})
}

// TestWithdrawalConflicts: Sc33, V5: only the vendor's part is done.
func TestWithdrawalConflicts(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		base, baseIDs := b.bought("CAD")
		a := b.activated(base)
		b.withdraw(baseIDs["CAD"])
		more, _ := b.bought("ADDON", "YEAR")
		out := a.program(ticket(more))
		if !slices.ContainsFunc(out, func(o container.Outcome) bool { return o.Code == refusal.PrerequisiteMissing }) {
			t.Fatalf("%+v", out)
		}
		a.holds()
	})
}

// TestEveryDoorBringsTheWithdrawal: activation, return, receipt then request,
// push, update by hand, a repeated request; with a withdrawal pending none gives
// a benefit without it.
func TestEveryDoorBringsTheWithdrawal(t *testing.T) {
	doors := map[string]func(b *book, a *box, other map[string]license.ID){
		"activation": func(b *book, a *box, _ map[string]license.ID) {
			tk, _ := b.bought("NEVER")
			a.program(ticket(tk))
		},
		"return": func(b *book, a *box, other map[string]license.ID) {
			a.program(container.Wishes{Return: []license.ID{other["YEAR"]}})
		},
		"receipt, then request": func(b *book, a *box, _ map[string]license.ID) {
			a.receipt()
			a.program(pendingWish)
		},
		"push": func(b *book, a *box, _ map[string]license.ID) {
			file, err := b.Push(b.t.Context(), b.admin, a.state.Serial)
			must(b.t, err)
			a.imports(file)
		},
		"assign": func(b *book, a *box, _ map[string]license.ID) {
			_, ids := b.bought("NEVER")
			_, err := b.Assign(b.t.Context(), b.admin, ids["NEVER"], a.state.Serial, "test", false)
			must(b.t, err)
			a.program(pendingWish)
		},
		"replace of another": func(b *book, a *box, other map[string]license.ID) {
			_, err := b.Replace(b.t.Context(), b.admin, other["YEAR"], "AUTO", "test", false)
			must(b.t, err)
			a.program(pendingWish)
		},
	}
	stage(t, func(t *testing.T, b *book) {
		for name, door := range doors {
			tk, ids := b.bought("CAD", "YEAR")
			a := b.activated(tk)
			b.withdraw(ids["CAD"])
			door(b, a, ids)
			for _, h := range a.state.Held {
				if h.Product == "CAD" {
					t.Fatalf("%s: the withdrawn license is still there", name)
				}
			}
			a.receipt()
			b.is(ids["CAD"], license.Gone, 1)
		}
	})
}

// TestRepeatedRequestBringsLaterOrders: the same file again, after an order.
func TestRepeatedRequestBringsLaterOrders(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD")
		a := b.box()
		request := a.report(ticket(tk))
		first, err := b.Program(t.Context(), request)
		must(t, err)
		again, err := b.Program(t.Context(), request)
		must(t, err)
		if string(first) != string(again) {
			t.Fatal("the same request got another answer")
		}
		b.withdraw(ids["CAD"])
		again, err = b.Program(t.Context(), request)
		must(t, err)
		if _, _, no := a.imports(again); no != nil {
			t.Fatal(no)
		}
		a.holds()
	})
}

// TestReplace: Sc36, V6, V7, V10.
func TestReplace(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		replace := func(id license.ID, with string) wire.OrderedLicense {
			out, err := b.Replace(t.Context(), b.admin, id, with, "test", false)
			must(t, err)
			return out.Done[0]
		}
		// With the vendor: at once.
		tk, ids := b.bought("CAD")
		got := replace(ids["CAD"], "YEAR")
		b.is(ids["CAD"], license.Gone, 1)
		a := b.activated(tk)
		a.holds("YEAR 1")
		// With a user: at the next contact, in one step; nobody else gets it before.
		next := replace(got.With, "AUTO")
		if next.When != wire.NextContact {
			t.Fatalf("%+v", next)
		}
		c := b.box()
		if out := c.program(ticket(tk)); out[0].Code != refusal.LicenseAssigned && out[0].Code != refusal.LicenseInUse {
			t.Fatalf("%+v", out)
		}
		c.holds()
		a.program(pendingWish)
		a.holds("AUTO 1")
		b.is(got.With, license.Returning, 1)
		a.receipt()
		b.is(got.With, license.Gone, 1)
		b.is(next.With, license.Collected, 1)
		// On its way back: the new one becomes available instead.
		a.program(container.Wishes{Return: []license.ID{next.With}})
		last := replace(next.With, "NEVER")
		a.receipt()
		b.is(next.With, license.Gone, 1)
		b.is(last.With, license.NotCollected, 1)
		if l := b.license(last.With); l.KeptFor != "" || len(l.Pending) != 0 {
			t.Fatalf("%+v", l)
		}
		c.program(ticket(tk))
		c.holds("NEVER 1")
	})
}

// TestAssign: T8; the tie ends when it is returned.
func TestAssign(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		first, _ := b.bought("CAD")
		a, c := b.activated(first), b.box()
		tk, ids := b.bought("YEAR")
		_, err := b.Assign(t.Context(), b.admin, ids["YEAR"], a.state.Serial, "test", false)
		must(t, err)
		if out := c.program(ticket(tk)); out[0].Code != refusal.LicenseAssigned {
			t.Fatalf("%+v", out)
		}
		a.program(pendingWish)
		a.holds("CAD 1", "YEAR 1")
		a.receipt()
		a.program(container.Wishes{Return: []license.ID{ids["YEAR"]}})
		a.receipt()
		if out := c.program(ticket(tk)); out[0].Code != refusal.Done {
			t.Fatalf("%+v", out)
		}
		_, err = b.Assign(t.Context(), b.admin, ids["YEAR"], a.state.Serial, "test", false)
		b.refuses(refusal.LicenseInUse, err)
		_, addon := b.bought("ADDON")
		_, err = b.Assign(t.Context(), b.admin, addon["ADDON"], c.state.Serial, "test", false)
		b.refuses(refusal.PrerequisiteMissing, err)
	})
}

// TestTakeBackAnOrder: Sc38, V8.
func TestTakeBackAnOrder(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		cancel := func(id license.ID) error {
			_, err := b.CancelPending(t.Context(), b.admin, id, "test")
			return err
		}
		tk, ids := b.bought("CAD", "YEAR")
		a := b.activated(tk)
		b.withdraw(ids["CAD"])
		must(t, cancel(ids["CAD"]))
		a.program(pendingWish)
		a.holds("CAD 1", "YEAR 1")
		b.refuses(refusal.Conflict, cancel(ids["CAD"]))
		out, err := b.Replace(t.Context(), b.admin, ids["YEAR"], "AUTO", "test", false)
		must(t, err)
		must(t, cancel(ids["YEAR"]))
		b.is(out.Done[0].With, license.Gone, 1)
		b.is(ids["YEAR"], license.Collected, 1)
		b.withdraw(ids["CAD"])
		_, err = b.Program(t.Context(), a.report(pendingWish)) // issued, and lost
		must(t, err)
		err = cancel(ids["CAD"])
		b.refuses(refusal.AlreadyIssued, err)
		if r, _ := refusal.As(err); r.Details["container"] != string(a.state.Serial) {
			t.Fatalf("%+v", r)
		}
	})
}

// TestCancelOrder: T12.
func TestCancelOrder(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		o := b.order("cancel me", wire.OrderItem{Product: "CAD"}, wire.OrderItem{Product: "YEAR", Quantity: 2})
		a := b.box()
		a.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}, Activate: []license.ID{o.Licenses[0].ID, o.Licenses[1].ID}})
		a.receipt()
		more, ids := b.bought("ADDON")
		a.program(ticket(more))
		a.receipt()
		a.holds("CAD 1", "YEAR 1", "ADDON 1")
		dry, err := b.CancelOrder(t.Context(), b.admin, "cancel me", "refund", true)
		must(t, err)
		b.is(o.Licenses[2].ID, license.NotCollected, 1)
		out, err := b.CancelOrder(t.Context(), b.admin, "cancel me", "refund", false)
		must(t, err)
		if len(out.Done) != 2 || len(out.Refused) != 1 || len(dry.Done) != 2 {
			t.Fatalf("%+v", out)
		}
		b.is(o.Licenses[2].ID, license.Gone, 1)
		a.program(pendingWish)
		a.holds("CAD 1", "ADDON 1")
		b.withdraw(ids["ADDON"])
		_, err = b.CancelOrder(t.Context(), b.admin, "cancel me", "refund", false)
		must(t, err)
		a.program(pendingWish)
		a.holds()
		again, err := b.CancelOrder(t.Context(), b.admin, "cancel me", "refund", false)
		b.refuses(refusal.Conflict, err)
		_ = again
	})
}

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
		must(t, b.Receipt(t.Context(), receipt))
		b.is(ids["AUTO"], license.Collected, 2)
		c.holds("AUTO 2")
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

// TestBlock: Sc57, Sc58, L9.
func TestBlock(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, _ := b.bought("CAD")
		a := b.activated(tk)
		_, err := b.BlockContainer(t.Context(), b.admin, a.state.Serial, "stolen")
		must(t, err)
		_, err = b.BlockContainer(t.Context(), b.admin, a.state.Serial, "stolen")
		b.refuses(refusal.Conflict, err)
		more, ids := b.bought("YEAR")
		if out := a.program(ticket(more)); out[0].Code != refusal.ContainerBlocked || !a.state.Locked {
			t.Fatalf("%+v", out)
		}
		a.holds("CAD 1")
		b.is(ids["YEAR"], license.NotCollected, 1)
		news, err := b.BlockNews(t.Context(), 0)
		must(t, err)
		if len(news) == 0 {
			t.Fatal("no news")
		}
		_, err = b.UnblockContainer(t.Context(), b.admin, a.state.Serial, "a mistake")
		must(t, err)
		a.program(pendingWish)
		if a.state.Locked {
			t.Fatal("still locked")
		}
		if more, err := b.BlockNews(t.Context(), 1); err != nil || len(more) == 0 {
			t.Fatalf("no news of the lifting: %v", err)
		}
	})
}

// TestWithdrawalWhoseMachineIsGone: Sc37, R17.
func TestWithdrawalWhoseMachineIsGone(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("CAD")
		a := b.activated(tk)
		_, err := b.DeclareLost(t.Context(), b.admin, ids["CAD"], "test")
		b.refuses(refusal.Conflict, err)
		b.withdraw(ids["CAD"])
		_, err = b.DeclareLost(t.Context(), b.admin, ids["CAD"], "the machine burned")
		must(t, err)
		b.is(ids["CAD"], license.Gone, 2)
		a.program(pendingWish)
		a.holds()
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
