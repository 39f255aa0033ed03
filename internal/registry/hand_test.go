package registry_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
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
  - code: THRICE
    name: Restored three times by itself
    model: perpetual_single
    restore: {license: {mode: automatic, automatic: 3, per: 365d}}
  - code: CALLS
    name: Calls home
    model: perpetual_single
    terms: {check_in: 30d}
  - code: CALLS-TOO
    name: Calls home as well
    model: perpetual_single
    terms: {check_in: 30d}
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

// TestEveryDoorBringsTheWithdrawal: with a withdrawal pending, no way to program
// a container gives a benefit without it, and in the step that has one the
// withdrawal goes first. A repeated request: TestRepeatedRequestBringsLaterOrders.
// The same over HTTP: internal/scenarios/testdata/sc32_every_door.txtar.
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
		"restore": func(b *book, a *box, other map[string]license.ID) {
			tk, _ := b.bought("AUTO")
			b.activated(tk)
			_, err := b.lose(lossOf(tk))
			must(b.t, err)
			a.program(ticket(tk))
			a.holds("YEAR 1", "AUTO 2")
		},
		"ticket page": func(b *book, a *box, _ map[string]license.ID) {
			tk, _ := b.bought("NEVER")
			got, err := b.Carried(b.t.Context(), a.report(pendingWish), ticket(tk))
			must(b.t, err)
			a.imports(got.Update)
			a.holds("YEAR 1", "NEVER 1")
		},
		"receipt on the ticket page": func(b *book, a *box, _ map[string]license.ID) {
			_, err := b.Carried(b.t.Context(), a.report(container.Wishes{}), container.Wishes{})
			must(b.t, err)
			a.program(pendingWish)
		},
		"unblocked": func(b *book, a *box, _ map[string]license.ID) {
			_, err := b.BlockContainer(b.t.Context(), b.admin, a.state.Serial, "stolen")
			must(b.t, err)
			_, err = b.UnblockContainer(b.t.Context(), b.admin, a.state.Serial, "found")
			must(b.t, err)
			a.program(pendingWish)
		},
		"blocked": func(b *book, a *box, _ map[string]license.ID) {
			_, err := b.BlockContainer(b.t.Context(), b.admin, a.state.Serial, "stolen")
			must(b.t, err)
			tk, _ := b.bought("NEVER")
			a.program(ticket(tk))
			a.holds("YEAR 1")
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
			before := a.state.Number
			door(b, a, ids)
			b.goesFirst(name, a.state.Serial, before+1, ids["CAD"])
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

// goesFirst checks that the first operation of the first step after a number is
// the removal of a license.
func (b *book) goesFirst(door string, serial license.Serial, number uint64, id license.ID) {
	b.t.Helper()
	must(b.t, b.db.Read(context.Background(), func(tx *store.Tx) error {
		steps, err := tx.StepsAfter(serial, number-1)
		if err != nil {
			return err
		}
		if len(steps) == 0 || len(steps[0].Ops) == 0 || steps[0].Ops[0].Kind != container.Drop || steps[0].Ops[0].License != id {
			b.t.Fatalf("%s: the withdrawal is not the first operation of step %d", door, number)
		}
		return nil
	}))
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
