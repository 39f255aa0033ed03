package registry_test

import (
	"slices"
	"strings"
	"testing"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const unitsYAML = `
products:
  - code: PREPAID
    name: Prepaid
    model: perpetual_single
    terms: {units: 1000}
    restore: {license: {mode: automatic}}
`

// body is the license as the container's newest step brought it.
func (x *box) body(id license.ID) container.Body {
	x.b.t.Helper()
	signed, _ := x.state.Signed(x.state.Held[id].Step)
	v, err := seal.NewVerifier(x.b.trust)
	must(x.b.t, err)
	_, body, err := v.License(signed, x.bodies[id])
	must(x.b.t, err)
	return body
}

// use takes units and gives what is left.
func (x *box) use(id license.ID, n int64) int64 {
	x.b.t.Helper()
	next, left, no := x.state.Use(x.body(id), n)
	if no != nil {
		x.b.t.Fatal(no)
	}
	x.state = next
	return left
}

func (b *book) units(id license.ID, total, used int64) {
	b.t.Helper()
	if u := b.license(id).Units; u == nil || *u != (wire.Units{Total: total, Used: used, Left: total - used}) {
		b.t.Fatalf("units %+v, want %d of %d used", u, used, total)
	}
}

// TestUnits: what is used is known with every report, moves with the license and
// outlives its loss; the vendor adds to it (M5).
func TestUnits(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitsYAML})
		must(t, err)
		tk, ids := b.bought("PREPAID", "CAD")
		id := ids["PREPAID"]
		b.units(id, 1000, 0)
		if b.license(ids["CAD"]).Units != nil {
			t.Fatal("a counter that nobody sold")
		}
		x := b.activated(tk)
		if x.use(id, 100) != 900 {
			t.Fatal("not counted")
		}

		// A receipt tells it; an older report, or one that tells less, changes nothing.
		older := x.report(container.Wishes{})
		x.use(id, 50)
		x.receipt()
		b.units(id, 1000, 150)
		must(t, b.Receipt(t.Context(), older))
		b.units(id, 1000, 150)

		// The file was put back: central knows, and tells the container what it forgot.
		forgets := *x
		forgets.state.Counters = map[license.ID]container.Counter{id: {Generation: 1, Used: 7}}
		x = &forgets
		x.receipt()
		b.units(id, 1000, 150)
		x.program(pendingWish)
		if x.state.Used(x.body(id)) != 150 {
			t.Fatalf("used %d", x.state.Used(x.body(id)))
		}

		// It comes back with what is left, and goes elsewhere with that.
		x.use(id, 40)
		file, err := b.Program(t.Context(), x.report(container.Wishes{Return: []license.ID{id}}))
		must(t, err)
		x.use(id, 10) // while the answer is on its way
		x.imports(file)
		b.units(id, 1000, 190)
		x.receipt()
		b.is(id, license.Returned, 1)
		b.units(id, 1000, 200)
		y := b.activated(tk)
		if body := y.body(id); body.Used != 200 || y.state.Used(body) != 200 {
			t.Fatalf("%+v", body)
		}
		x.program(pendingWish)
		if _, r := x.state.Report(container.Identity{}, nonce(), 1); len(r.Units) != 0 {
			t.Fatalf("still told: %v", r.Units)
		}

		// The vendor adds some: at the container's next contact, as many as there are then.
		for _, n := range []int64{0, -1, 1 << 60} {
			_, err = b.AddUnits(t.Context(), b.admin, id, n, "test", false)
			b.refuses(refusal.InvalidInput, err)
		}
		_, err = b.AddUnits(t.Context(), b.admin, ids["CAD"], 1, "test", false)
		b.refuses(refusal.Conflict, err)
		_, err = b.AddUnits(t.Context(), b.admin, id, 1, " ", false)
		b.refuses(refusal.InvalidInput, err)
		dry, err := b.AddUnits(t.Context(), b.admin, id, 500, "bought 500 more", true)
		must(t, err)
		b.units(id, 1000, 200)
		out, err := b.AddUnits(t.Context(), b.admin, id, 500, "bought 500 more", false)
		must(t, err)
		if d := out.Done[0]; d.When != wire.NextContact || d.Container != y.state.Serial || *d.Units != (wire.Units{Total: 1500, Used: 200, Left: 1300}) || *dry.Done[0].Units != *d.Units {
			t.Fatalf("%+v", out)
		}
		if l := b.license(id); len(l.Pending) != 1 || l.Pending[0] != "it comes again as it is now at the next contact of container "+string(y.state.Serial) {
			t.Fatalf("%q", l.Pending)
		}
		_, err = b.CancelPending(t.Context(), b.admin, id, "test")
		b.refuses(refusal.Conflict, err)
		y.use(id, 800)
		b.is(id, license.Collected, 1)
		y.program(pendingWish)
		if y.use(id, 1) != 499 { // 1500, less 200, 800 and 1
			t.Fatal("not added")
		}
		b.is(id, license.Collecting, 1)
		// More, while the first are on their way.
		_, err = b.AddUnits(t.Context(), b.admin, id, 10, "bought 10 more", false)
		must(t, err)
		y.program(pendingWish)
		y.receipt()
		b.units(id, 1510, 1001)
		b.is(id, license.Collected, 1)
		if l := b.license(id); len(l.Pending) != 0 || y.body(id).Terms.Units != 1510 || y.body(id).Used != 1001 {
			t.Fatalf("%q %+v", l.Pending, y.body(id))
		}
		if y.program(pendingWish); y.state.Number != 3 {
			t.Fatalf("sent again: step %d", y.state.Number)
		}

		// Returned in the step that was to bring more: they are there the next time.
		_, err = b.AddUnits(t.Context(), b.admin, id, 5, "a gift", false)
		must(t, err)
		y.program(container.Wishes{Return: []license.ID{id}})
		y.receipt()
		b.is(id, license.Returned, 1)
		if l := b.license(id); len(l.Pending) != 0 {
			t.Fatalf("%q", l.Pending)
		}
		_, err = b.AddUnits(t.Context(), b.admin, id, 5, "another", false)
		must(t, err)
		b.units(id, 1520, 1001)
		y = b.activated(tk)
		if y.use(id, 19) != 500 {
			t.Fatal("not added")
		}
		y.receipt()

		// Lost: the last number known is kept. What the lost copy counted since stands in the history.
		y.use(id, 400)
		_, err = b.AddUnits(t.Context(), b.admin, id, 80, "for the next generation", false)
		must(t, err)
		_, err = b.lose(wire.RestoreRequest{Tickets: []string{string(tk)}, Licenses: []license.ID{id}, Reason: "lost"})
		must(t, err)
		b.is(id, license.NotCollected, 2)
		b.units(id, 1600, 1020)
		z := b.activated(tk)
		if body := z.body(id); body.Used != 1020 || z.use(id, 580) != 0 {
			t.Fatalf("%+v", body)
		}
		y.use(id, 1)
		y.program(pendingWish)
		y.receipt()
		b.units(id, 1600, 1020)
		z.receipt()
		b.units(id, 1600, 1600)
		h, err := b.History(t.Context(), b.admin, "license", string(id), "", 100)
		must(t, err)
		for _, want := range []string{"Units used: 150 of 1000; 0 were known before.", "500 units were added; the license has 1500.",
			"Its lost copy (generation 1) had counted 1421 units used; they are not taken from the license."} {
			if !slices.ContainsFunc(h.Items, func(e wire.Event) bool { return e.Sentence == want }) {
				t.Errorf("not in the history: %s", want)
			}
		}
		if i := slices.IndexFunc(h.Items, func(e wire.Event) bool { return e.Event == "units_added" }); h.Items[i].Reason != "bought 500 more" || h.Items[i].Actor != b.admin.String() {
			t.Errorf("%+v", h.Items[i])
		}

		// A license that leaves for good gets no more.
		b.withdraw(id)
		_, err = b.AddUnits(t.Context(), b.admin, id, 1, "test", false)
		b.refuses(refusal.LicenseWithdrawn, err)
		z.program(pendingWish)
		z.holds()
		z.receipt()
		b.is(id, license.Gone, 2)
	})
}

// TestUnitsOfAWithdrawal: a license to which units were added is withdrawn, and the
// withdrawal taken back, before its container makes contact.
func TestUnitsOfAWithdrawal(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitsYAML})
		must(t, err)
		tk, ids := b.bought("PREPAID")
		id := ids["PREPAID"]
		x := b.activated(tk)
		_, err = b.AddUnits(t.Context(), b.admin, id, 500, "more", false)
		must(t, err)
		b.withdraw(id)
		_, err = b.CancelPending(t.Context(), b.admin, id, "after all not")
		must(t, err)
		x.program(pendingWish)
		if u := x.body(id).Terms.Units; u != 1500 {
			t.Fatalf("%d units", u)
		}
		_, err = b.AddUnits(t.Context(), b.admin, id, 500, "more", false)
		must(t, err)
		b.withdraw(id)
		x.program(pendingWish)
		x.receipt()
		b.is(id, license.Gone, 1)
		x.holds()
		if l := b.license(id); len(l.Pending) != 0 {
			t.Fatalf("%q", l.Pending)
		}
	})
}

// TestOldProgramAndUnits: a licet that does not count gets a license as it was
// sold, and is told which version it takes for one of which units are used.
func TestOldProgramAndUnits(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitsYAML})
		must(t, err)
		tk, ids := b.bought("PREPAID")
		id := ids["PREPAID"]
		x := b.box()
		asks := func(program string, w container.Wishes) []container.Outcome {
			x.says = program
			return x.program(w)
		}
		if out := asks("licet/0.2.0", ticket(tk)); out[0].Code != refusal.Done {
			t.Fatalf("%+v", out)
		}
		x.use(id, 1)
		asks("licet/0.3.0", container.Wishes{Return: []license.ID{id}})
		x.receipt()
		b.units(id, 1000, 1)
		out := asks("licet/0.2.0", ticket(tk))
		if out[0].Code != refusal.UnsupportedVersion || !strings.Contains(out[0].Message, "licet 0.3.0") {
			t.Fatalf("%+v", out)
		}
		for _, program := range []string{"licet/0.10", "another/0.1", "licet", ""} {
			if out := asks(program, ticket(tk)); out[0].Code != refusal.Done {
				t.Fatalf("%s: %+v", program, out)
			}
			asks(program, container.Wishes{Return: []license.ID{id}})
			x.receipt()
		}
	})
}
