package registry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"licet/container"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const unitPartsYAML = `
products:
  - code: CREDITS
    name: Credits
    model: prepaid
    terms: {units: 1000, seats: 3}
    restore: {license: {mode: automatic, automatic: 5, per: 365d}}
  - code: METERED
    name: Metered, in one place
    model: prepaid
    split: false
    terms: {units: 1000}
`

// unitParts is a book with a license of a thousand units, on one engine; in the end
// the verifier finds nothing.
func unitParts(t *testing.T, fn func(b *book, o wire.Order, id license.ID)) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: unitPartsYAML})
		must(t, err)
		o := b.order("2001", wire.OrderItem{Product: "CREDITS"})
		fn(b, o, o.Licenses[0].ID)
		b.clean()
	})
}

// counters tells how many units of an order's licenses are used, and who has them,
// oldest first; together they are those that were sold.
func (b *book) counters(want string, boxes ...*box) {
	b.t.Helper()
	o, err := b.Order(context.Background(), b.admin, "2001")
	must(b.t, err)
	var out []string
	for _, l := range o.Licenses {
		text := fmt.Sprintf("%d/%d %s", l.Units.Used, l.Units.Total, l.State)
		for i, x := range boxes {
			if l.Container == x.state.Serial {
				text += " " + string(rune('A'+i))
			}
		}
		if l.Terms.Seats != 3 {
			b.t.Errorf("a part has %d seats", l.Terms.Seats)
		}
		out = append(out, text)
	}
	if got := strings.Join(out, ", "); got != want {
		b.t.Fatalf("got %q, want %q", got, want)
	}
}

// only is the license that a container has.
func (x *box) only() license.ID {
	x.b.t.Helper()
	if len(x.state.Held) != 1 {
		x.b.t.Fatalf("it holds %v", x.state.Held)
	}
	for id := range x.state.Held {
		return id
	}
	return ""
}

// TestUnitsInSeveralContainers: units of one license are used in several containers,
// each as many as it got; a request that is repeated takes nothing more, however many
// were used between; what comes back is one license again (T9).
func TestUnitsInSeveralContainers(t *testing.T) {
	unitParts(t, func(b *book, o wire.Order, id license.ID) {
		t := b.t
		x, y, z := b.box(), b.box(), b.box()
		got := x.gets(some(o.Ticket, id, 400), refusal.Done)
		if fmt.Sprint(got.Details["units"]) != "400" || got.Details["part"] == nil {
			t.Fatalf("%+v", got)
		}
		b.counters("0/600 not_collected, 0/400 collecting A", x)
		x.use(x.only(), 150)
		got = x.gets(some(o.Ticket, id, 400), refusal.AlreadyApplied)
		if got.Message != "The container got 400 units of CREDITS already, of which 250 are left. What is asked for is the number in all, used ones included." {
			t.Errorf("%+v", got)
		}
		b.counters("0/600 not_collected, 150/400 collected A", x)

		// The others take the rest; who wants more than there is, is told where it is.
		y.gets(some(o.Ticket, id, 500), refusal.Done)
		got = z.gets(some(o.Ticket, id, 101), refusal.TooFewUnits)
		if !strings.HasPrefix(got.Message, "100 units of CREDITS are free: of 1000 there are ") || !strings.HasSuffix(got.Message, ", 150 used.") || got.Hint != "Ask for at most 100." {
			t.Errorf("%+v", got)
		}
		z.gets(some(o.Ticket, id, 100), refusal.Done)
		z.use(z.only(), 100)
		z.receipt()
		got = z.gets(some(o.Ticket, id, 150), refusal.LicenseInUse)
		if !strings.HasPrefix(got.Message, "No unit of CREDITS is free: of 1000 there are ") || !strings.Contains(got.Hint, "licet deactivate ID=UNITS") {
			t.Errorf("%+v", got)
		}
		b.counters("100/100 collected C, 150/400 collected A, 0/500 collecting B", x, y, z)

		// A part is a license of its own: more units are for it, and are there for all.
		_, err := b.AddUnits(t.Context(), b.admin, x.only(), 50, "bought 50 more", false)
		must(t, err)
		x.gets(some(o.Ticket, id, 450), refusal.AlreadyApplied)
		x.receipt()
		if x.body(x.only()).Terms.Units != 450 || x.use(x.only(), 300) != 0 {
			t.Fatalf("%+v", x.body(x.only()))
		}

		// All come back, and are one again, with what is used.
		for _, box := range []*box{x, y, z} {
			box.gets(container.Wishes{Return: []license.ID{box.only()}}, refusal.Done)
			box.receipt()
		}
		b.counters("550/1050 returned")
		got = x.gets(some(o.Ticket, id, 501), refusal.TooFewUnits)
		if got.Message != "500 units of CREDITS are free: of 1050 there are 550 used." {
			t.Errorf("%+v", got)
		}
		// What is left goes as the license itself, and counts without what was used before.
		x.gets(some(o.Ticket, id, 500), refusal.Done)
		x.use(id, 500)
		x.gets(some(o.Ticket, id, 500), refusal.AlreadyApplied)
		got = x.gets(some(o.Ticket, id, 600), refusal.TooFewUnits)
		if got.Message != "No unit of CREDITS is free: of 1050 there are 1050 used." || got.Hint != "Ask the vendor for more units." {
			t.Errorf("%+v", got)
		}
		b.counters("1050/1050 collected A", x)
	})
}

// TestUnitsComeBackInPart: what is asked back is free with the receipt, as far as it
// was not used until the container had the step.
func TestUnitsComeBackInPart(t *testing.T) {
	for _, tt := range []struct {
		meanwhile int64 // used while the file was on its way; 100 of 400 are used before
		row, want string
	}{
		{0, "100/200", "100/200 collected A, 0/200 returned"},
		{100, "200/200", "200/200 collected A, 0/200 returned"},
		{150, "250/250", "250/250 collected A, 0/150 returned"},
		{299, "399/399", "399/399 collected A, 0/1 returned"},
		{300, "400/400", "400/400 collected A"},
	} {
		t.Run(fmt.Sprint(tt.meanwhile), func(t *testing.T) {
			unitParts(t, func(b *book, o wire.Order, id license.ID) {
				t := b.t
				x, y := b.box(), b.box()
				x.gets(some(o.Ticket, id, 400), refusal.Done)
				part := x.only()
				y.gets(some(o.Ticket, id, 600), refusal.Done)
				y.receipt()
				x.use(part, 100)
				w := back(part, 200)
				report := x.report(w)
				file, err := b.Program(t.Context(), report)
				must(t, err)
				again, err := b.Program(t.Context(), report)
				must(t, err)
				b.counters("0/600 collected B, 100/400 collecting A", x, y)
				if string(file) != string(again) {
					t.Error("a repetition was answered anew")
				}
				// Asked for again it is the same; another number waits, and so does an addition.
				for n, want := range map[int64]refusal.Code{200: refusal.AlreadyApplied, 100: refusal.NotDone} {
					other, err := b.Program(t.Context(), x.report(back(part, n)))
					must(t, err)
					if out := x.opened(other).Outcomes; out[0].Code != want {
						t.Errorf("%d: %+v", n, out)
					}
				}
				_, err = b.AddUnits(t.Context(), b.admin, part, 10, "more", false)
				b.refuses(refusal.Conflict, err)
				if tt.meanwhile > 0 {
					x.use(part, tt.meanwhile)
				}
				// Nobody gets them before the receipt.
				z := b.box()
				z.gets(some(o.Ticket, id, 1), refusal.LicenseInUse)
				x.imports(file)
				if left := x.body(part).Terms.Units; left != 200 {
					t.Fatalf("it has %d", left)
				}
				receipt := x.report(container.Wishes{})
				must(t, b.Receipt(t.Context(), receipt))
				must(t, b.Receipt(t.Context(), receipt))
				b.counters("0/600 collected B, "+tt.want, x, y)
				if _, _, no := x.state.Use(x.body(part), max(1, 101-tt.meanwhile)); no == nil {
					t.Error("it uses what it gave back")
				}
				// More can be added now, and counts.
				_, err = b.AddUnits(t.Context(), b.admin, part, 10, "more", false)
				must(t, err)
				x.program(pendingWish)
				x.receipt()
				if left := x.use(part, 1); left != max(0, 100-tt.meanwhile)+9 {
					t.Errorf("%d left", left)
				}
				x.receipt()
			})
		})
	}
}

// TestUnitsBackInAnyOrder: the rest follows before the receipt, comes in again, or is
// lost; nothing is made or lost by it.
func TestUnitsBackInAnyOrder(t *testing.T) {
	begin := func(b *book, o wire.Order, id license.ID) (x *box, file []byte) {
		x = b.box()
		x.gets(container.Wishes{Tickets: []license.Ticket{o.Ticket}}, refusal.Done)
		x.use(id, 100)
		file, err := b.Program(context.Background(), x.report(back(id, 200)))
		must(b.t, err)
		b.counters("100/1000 collecting A", x)
		return x, file
	}
	t.Run("the rest is returned as well", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x, _ := begin(b, o, id)
			x.gets(container.Wishes{Return: []license.ID{id}}, refusal.Done)
			b.counters("100/1000 returning A", x)
			x.receipt()
			b.counters("100/1000 returned")
		})
	})
	t.Run("and taken again, before any receipt", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x, _ := begin(b, o, id)
			old := *x
			_, err := b.Program(context.Background(), x.report(container.Wishes{Return: []license.ID{id}}))
			must(b.t, err)
			file, err := b.Program(context.Background(), old.report(container.Wishes{Tickets: []license.Ticket{o.Ticket}}))
			must(b.t, err)
			b.counters("100/1000 collecting A", x)
			x.state = old.state
			x.imports(file)
			if n := x.body(id).Terms.Units; n != 800 {
				b.t.Fatalf("it has %d", n)
			}
			x.receipt()
			b.counters("100/800 collected A, 0/200 returned", x)
			x.gets(some(o.Ticket, id, 900), refusal.Done)
			x.receipt()
			b.counters("100/800 collected A, 0/200 collected A", x)
		})
	})
	t.Run("the machine is lost meanwhile", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x, file := begin(b, o, id)
			_, err := b.lose(wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{id}, Reason: "lost"})
			must(b.t, err)
			b.counters("100/1000 not_collected")
			y := b.box()
			y.gets(some(o.Ticket, id, 900), refusal.Done)
			x.imports(file) // it turns up: what it gives back is of the lost copy
			x.program(pendingWish)
			x.receipt()
			b.counters("100/1000 collecting B", x, y)
		})
	})
	t.Run("the vendor takes it meanwhile", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x, _ := begin(b, o, id)
			_, err := b.Withdraw(context.Background(), b.admin, []license.ID{id}, "unpaid", false)
			must(b.t, err)
			x.program(pendingWish)
			x.receipt()
			b.counters("100/800 gone, 0/200 returned")
		})
	})
	t.Run("added units are on their way", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x := b.box()
			x.gets(container.Wishes{Tickets: []license.Ticket{o.Ticket}}, refusal.Done)
			x.receipt()
			_, err := b.AddUnits(context.Background(), b.admin, id, 500, "more", false)
			must(b.t, err)
			x.gets(back(id, 200), refusal.Done)
			if n := x.body(id).Terms.Units; n != 1300 {
				b.t.Fatalf("it has %d", n)
			}
			x.receipt()
			b.counters("0/1300 collected A, 0/200 returned", x)
			x.gets(back(id, 1301), refusal.TooFewUnits)
			x.gets(back(id, 0), refusal.InvalidInput)
			x.gets(back(id, 1300), refusal.Done) // all that is left
			x.receipt()
			b.counters("0/1500 returned")
		})
	})
	t.Run("staff accept the container before it", func(t *testing.T) {
		unitParts(t, func(b *book, o wire.Order, id license.ID) {
			x, file := begin(b, o, id)
			old := *x
			old.state.Counters = map[license.ID]container.Counter{id: x.state.Counters[id]}
			x.imports(file)
			x.receipt()
			b.counters("100/800 collected A, 0/200 returned", x)
			old.receipt()
			old.program(pendingWish)
			old.program(pendingWish)
			_, err := b.AcceptContainer(context.Background(), b.admin, x.state.Serial, "restored from a back-up")
			must(b.t, err)
			old.program(pendingWish)
			old.receipt()
			b.counters("100/800 collected A, 0/200 returned", x)
			if n := old.body(id).Terms.Units; n != 800 {
				b.t.Fatalf("it has %d", n)
			}
		})
	})
	t.Run("a product whose units stay together", func(t *testing.T) {
		unitParts(t, func(b *book, _ wire.Order, _ license.ID) {
			o := b.order("2002", wire.OrderItem{Product: "METERED"})
			id := o.Licenses[0].ID
			x := b.box()
			x.gets(some(o.Ticket, id, 10), refusal.NotSplittable)
			x.gets(some(o.Ticket, id, 1000), refusal.Done)
			x.gets(back(id, 10), refusal.NotSplittable)
			if l, err := b.License(context.Background(), b.admin, id); err != nil || len(l.Parts) != 0 {
				b.t.Fatalf("%+v %v", l, err)
			}
		})
	})
}

// TestUnitPartsAreTold: histories and receivers of webhooks are told of units, and
// where they are stands beside each part.
func TestUnitPartsAreTold(t *testing.T) {
	unitParts(t, func(b *book, o wire.Order, id license.ID) {
		t := b.t
		x := b.box()
		x.gets(some(o.Ticket, id, 400), refusal.Done)
		part := x.only()
		x.use(part, 30)
		x.gets(back(part, 100), refusal.Done)
		x.receipt()
		var told []string
		for _, of := range []license.ID{id, part} {
			h, err := b.History(t.Context(), b.admin, "license", string(of), "", 100)
			must(t, err)
			for _, e := range h.Items {
				told = append(told, e.Sentence)
			}
		}
		fresh := license.ID("")
		o2, err := b.Order(t.Context(), b.admin, "2001")
		must(t, err)
		if b.counters("0/700 not_collected, 30/300 collected A", x); len(o2.Licenses) != 2 {
			t.Fatalf("%+v", o2)
		}
		for _, e := range told {
			if _, after, ok := strings.Cut(e, "they are the license "); ok && strings.Contains(e, "are back") {
				fresh = license.ID(strings.Fields(after)[0])
			}
		}
		for _, want := range []string{
			fmt.Sprintf("400 of the 1000 units of CREDITS (%s) were split off; they are the license %s now, and 600 are left.", id, part),
			fmt.Sprintf("100 of the 400 units of CREDITS (%s) are back, of 100 that were to come back; they are the license %s now, and 300 are left.", part, fresh),
			fmt.Sprintf("The 100 units of CREDITS (%s) were merged with those of the license %s, which has 700 now.", fresh, id),
		} {
			if !slices.Contains(told, want) {
				t.Errorf("%q is not told:\n%s", want, strings.Join(told, "\n"))
			}
		}
		l, err := b.License(t.Context(), b.admin, part)
		must(t, err)
		if len(l.Parts) != 2 || *l.Parts[1].Units != (wire.Units{Total: 300, Used: 30, Left: 270}) || *l.Parts[0].Units != (wire.Units{Total: 700, Left: 700}) {
			t.Fatalf("%+v", l.Parts)
		}
	})
}
