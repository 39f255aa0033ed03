package registry_test

import (
	"testing"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const leftoverYAML = `
products:
  - code: BASE
    name: Base
    model: perpetual_single
    restore: {license: {mode: automatic}}
  - code: EXTRA
    name: Needs the base
    model: perpetual_single
    requires: [BASE]
`

// TestAssignedAndAskedForBesides: what waits to be sent because something is
// missing, and is asked for by the user together with that, was sent. Once
// returned it does not come back by itself.
func TestAssignedAndAskedForBesides(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: leftoverYAML})
		must(t, err)
		tk, ids := b.bought("BASE", "EXTRA")
		x := b.activatedOnly(tk, ids["BASE"])
		_, err = b.Assign(t.Context(), b.admin, ids["EXTRA"], x.state.Serial, "sold by phone", false)
		must(t, err)
		_, err = b.lose(lossOf(tk)) // what it needs is not there any more
		must(t, err)
		x.program(ticket(tk))
		x.holds("BASE 2", "EXTRA 1")
		x.receipt()
		_, err = b.CancelPending(t.Context(), b.admin, ids["EXTRA"], "too late")
		b.refuses(refusal.Conflict, err)
		x.program(container.Wishes{Return: []license.ID{ids["EXTRA"]}})
		x.receipt()
		x.program(pendingWish)
		x.holds("BASE 2")
		b.is(ids["EXTRA"], license.Returned, 1)
	})
}

// TestRecallOfWhatIsOnItsWayBack: a license that is recalled while its user is
// returning it came back; activated there again it stays.
func TestRecallOfWhatIsOnItsWayBack(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tk, ids := b.bought("BACK")
		a := b.activated(tk)
		_, err := b.lose(lossOf(tk))
		must(t, err)
		c := b.activated(tk)
		c.program(container.Wishes{Return: []license.ID{ids["BACK"]}})
		a.program(pendingWish) // it turns up
		c.receipt()
		a.program(pendingWish)
		a.holds("BACK 2")
		a.receipt()
		a.program(container.Wishes{Return: []license.ID{ids["BACK"]}})
		a.receipt()
		c.program(ticket(tk))
		c.receipt()
		c.program(pendingWish)
		c.holds("BACK 2")
		b.is(ids["BACK"], license.Collected, 2)
	})
}

// activatedOnly is a container with one license of a ticket.
func (b *book) activatedOnly(tk license.Ticket, id license.ID) *box {
	x := b.box()
	x.program(container.Wishes{Tickets: []license.Ticket{tk}, Activate: []license.ID{id}})
	x.receipt()
	return x
}
