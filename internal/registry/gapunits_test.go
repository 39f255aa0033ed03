package registry_test

import (
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestUnitsOfTheGap: units that were added and used in the gap are known again, whoever
// comes first, and also where the license has left the container.
func TestUnitsOfTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitsYAML})
		must(t, err)
		tk, ids := b.bought("PREPAID")
		id := ids["PREPAID"]
		a, c := b.activated(tk), b.box()
		a.use(id, 100)
		a.receipt()
		lose()
		b.tick()
		_, err = b.AddUnits(t.Context(), b.admin, id, 500, "paid", false)
		must(t, err)
		a.contact(pendingWish)
		a.use(id, 300)
		holds := *a
		outcome(t, a.contact(returns(id)), refusal.Done)
		a.contact(pendingWish)
		back := *a
		outcome(t, c.contact(ticket(tk)), refusal.Done)
		c.use(id, 50)
		moved := *c

		comes := func(n *book, was box) *box {
			x := was
			x.at(n)
			x.contact(pendingWish)
			n.clean()
			return &x
		}
		t.Run("the new holder first", func(t *testing.T) {
			n := lose()
			comes(n, moved)
			n.units(id, 1500, 450)
			comes(n, back)
			n.units(id, 1500, 450)
		})
		t.Run("the old holder first", func(t *testing.T) {
			n := lose()
			comes(n, back)
			n.is(id, license.Returned, 1)
			n.units(id, 1000, 400)
			comes(n, moved)
			n.units(id, 1500, 450)
		})
		t.Run("released", func(t *testing.T) {
			n := lose()
			comes(n, back)
			_, err := n.Release(t.Context(), n.admin, wire.Release{All: true, Reason: "x"})
			must(t, err)
			e := n.box()
			outcome(t, e.contact(ticket(tk)), refusal.Done)
			if body := e.body(id); body.Used != 400 {
				t.Fatalf("%d units are used of what is given out, and 400 were", body.Used)
			}
			n.clean()
		})
		t.Run("added again", func(t *testing.T) {
			n := lose()
			n.tick()
			_, err := n.AddUnits(t.Context(), n.admin, id, 700, "paid", false)
			must(t, err)
			x := comes(n, holds)
			n.units(id, 1700, 400)
			x.contact(pendingWish)
			if body := x.body(id); body.Terms.Units != 1700 || body.Used != 400 {
				t.Fatalf("%d of %d units used", body.Used, body.Terms.Units)
			}
			n.clean()
		})
	})
}

// TestUnitsSplitInTheGap: units that were split off in the gap, or asked back, are not
// brought, because nobody knows how many are used of the rest. The container stays
// ahead and is not blamed; what it had is held back, and given out in the next
// generation when staff say so.
func TestUnitsSplitInTheGap(t *testing.T) {
	for _, c := range []struct {
		name   string
		before int64 // what the container got before the back-up
		gap    func(a *box, tk license.Ticket, id license.ID)
	}{
		{"split", 0, func(a *box, tk license.Ticket, id license.ID) {
			outcome(a.b.t, a.contact(some(tk, id, 400)), refusal.Done)
		}},
		{"asked back", 400, func(a *box, _ license.Ticket, _ license.ID) {
			outcome(a.b.t, a.contact(back(a.only(), 100)), refusal.Done)
			a.contact(pendingWish)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withLoss(t, func(t *testing.T, b *book, lose func() *book) {
				_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitPartsYAML})
				must(t, err)
				tk, ids := b.bought("CREDITS")
				id := ids["CREDITS"]
				a := b.box()
				if c.before > 0 {
					outcome(t, a.contact(some(tk, id, c.before)), refusal.Done)
				}
				lose()
				c.gap(a, tk, id)
				a.use(a.only(), 50)
				a.receipt()

				n := lose()
				a.at(n)
				a.contact(pendingWish)
				outcome(t, a.contact(ticket(tk)), refusal.ContainerAhead)
				if c.before > 0 {
					x, err := n.Container(t.Context(), n.admin, a.state.Serial)
					must(t, err)
					if x.Flag != nil {
						t.Fatalf("it is blamed: %s", x.Flag.Reason)
					}
				}
				outcome(t, n.box().contact(ticket(tk)), refusal.LicenseHeldBack)
				_, err = n.Release(t.Context(), n.admin, wire.Release{Licenses: []license.ID{id}, Reason: "asked"})
				must(t, err)
				e := n.box()
				outcome(t, e.contact(ticket(tk)), refusal.Done)
				if g := e.state.Held[id].Generation; g < license.Generation(n.gap().Epoch) {
					t.Fatalf("it was given out in generation %d", g)
				}
				n.clean()
			})
		})
	}
}
