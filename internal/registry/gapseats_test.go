package registry_test

import (
	"fmt"
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// seatsOf is how many seats of a product the container can use, by what it holds.
func (x *box) seatsOf(product string) (n int64) {
	x.b.t.Helper()
	for id, h := range x.state.Held {
		if h.Product == product {
			body, err := seal.DecodeBody(x.bodies[id])
			must(x.b.t, err)
			n += body.Terms.Seats
		}
	}
	return n
}

// TestSeatsOfTheGap: seats that moved between containers in the gap are where they
// are again, whoever comes first, and their sum is what was sold.
func TestSeatsOfTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: partsYAML})
		must(t, err)
		o := b.order("team", wire.OrderItem{Product: "TEAM"})
		id := o.Licenses[0].ID
		a, c := b.box(), b.box()
		outcome(t, a.contact(some(o.Ticket, id, 6)), refusal.Done)
		lose()
		var of license.ID // what A holds
		for id := range a.state.Held {
			of = id
		}
		outcome(t, a.contact(back(of, 2)), refusal.Done)
		a.contact(pendingWish)
		outcome(t, c.contact(some(o.Ticket, id, 5)), refusal.Done)
		was := [2]box{*a, *c}

		for i, order := range [][]*box{{a, c}, {c, a}} {
			t.Run(fmt.Sprint("order ", i), func(t *testing.T) {
				n := lose()
				*a, *c = was[0], was[1]
				a.at(n)
				c.at(n)
				for _, x := range order {
					x.contact(pendingWish)
					n.clean()
				}
				if a.seatsOf("TEAM") != 4 || c.seatsOf("TEAM") != 5 {
					t.Fatalf("A has %d seats, C %d", a.seatsOf("TEAM"), c.seatsOf("TEAM"))
				}
				e := n.box()
				if out := e.contact(some(o.Ticket, id, 1)); !out[0].Refused() {
					t.Fatalf("%+v", out)
				}
				out, err := n.Release(t.Context(), n.admin, wire.Release{All: true, Reason: "x"})
				must(t, err)
				if out.Released == 0 {
					t.Fatal("nothing was held back")
				}
				outcome(t, e.contact(some(o.Ticket, id, 1)), refusal.Done)
				if out := n.box().contact(some(o.Ticket, id, 1)); !out[0].Refused() {
					t.Fatalf("an eleventh seat: %+v", out)
				}
				n.clean()
			})
		}
		t.Run("released first", func(t *testing.T) {
			n := lose()
			*a, *c = was[0], was[1]
			c.at(n)
			n.tick()
			_, err := n.Release(t.Context(), n.admin, wire.Release{All: true, Reason: "x"})
			must(t, err)
			e := n.box()
			outcome(t, e.contact(some(o.Ticket, id, 4)), refusal.Done)
			c.contact(pendingWish)
			c.contact(pendingWish)
			n.clean()
			a.at(n)
			for range 3 {
				a.contact(pendingWish)
				c.contact(pendingWish)
			}
			n.clean()
			if all := e.seatsOf("TEAM") + c.seatsOf("TEAM") + a.seatsOf("TEAM"); all > 10 {
				t.Fatalf("E has %d seats, C %d, A %d", e.seatsOf("TEAM"), c.seatsOf("TEAM"), a.seatsOf("TEAM"))
			}
		})
	})
}
