package registry_test

import (
	"bytes"
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
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const partsYAML = `
products:
  - code: TEAM
    name: For a team
    model: perpetual_multi
    terms: {seats: 10, borrow: {max: 7d, seats: 5}}
    restore: {license: {mode: automatic, automatic: 1, per: 365d}}
  - code: TEAM-YEAR
    name: For a team and a year
    model: subscription_multi
    terms: {seats: 10}
  - code: TEAM-BACK
    name: For a team that gets back what it had lost
    model: perpetual_multi
    terms: {seats: 10}
    restore: {license: {mode: automatic}, found: revived}
  - code: SITE
    name: For one license server
    model: perpetual_multi
    split: false
    terms: {seats: 10}
`

// parts is a book with a license of ten seats, on one engine; in the end the
// verifier finds nothing.
func parts(t *testing.T, product string, fn func(b *book, o wire.Order, id license.ID)) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: partsYAML})
		must(t, err)
		o := b.order("2001", wire.OrderItem{Product: product})
		fn(b, o, o.Licenses[0].ID)
		b.clean()
	})
}

// clean has the record verified.
func (b *book) clean() {
	b.t.Helper()
	r, err := verify.Run(context.Background(), b.db, verify.Options{})
	must(b.t, err)
	for _, f := range r.Findings {
		b.t.Error(f)
	}
}

// some asks for so many seats of a license.
func some(t license.Ticket, id license.ID, seats int64) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{t}, Activate: []license.ID{id}, Amounts: []container.Amount{{License: id, Seats: seats}}}
}

// back returns so many seats of a license.
func back(id license.ID, seats int64) container.Wishes {
	return container.Wishes{Return: []license.ID{id}, Amounts: []container.Amount{{License: id, Seats: seats}}}
}

// shares tells who has how many seats of an order's licenses, oldest first.
func (b *book) shares(number string, boxes ...*box) string {
	b.t.Helper()
	o, err := b.Order(context.Background(), b.admin, number)
	must(b.t, err)
	var out []string
	for _, l := range o.Licenses {
		text := fmt.Sprintf("%d %s", l.Terms.Seats, l.State)
		for i, x := range boxes {
			if l.Container == x.state.Serial {
				text += " " + string(rune('A'+i))
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (b *book) have(want string, boxes ...*box) {
	b.t.Helper()
	if got := b.shares("2001", boxes...); got != want {
		b.t.Fatalf("got %q, want %q", got, want)
	}
}

func (x *box) gets(w container.Wishes, want refusal.Code) container.Outcome {
	x.b.t.Helper()
	out := x.program(w)
	if out[0].Code != want {
		x.b.t.Fatalf("%+v, want %s", out, want)
	}
	return out[0]
}

// seats is how many seats the container can use, by the licenses it holds.
func (x *box) seats() (n int64) {
	x.b.t.Helper()
	must(x.b.t, x.b.db.Read(context.Background(), func(tx *store.Tx) error {
		for id, h := range x.state.Held {
			steps, err := tx.StepsAfter(x.state.Serial, h.Step-1)
			if err != nil {
				return err
			}
			for _, op := range steps[0].Ops {
				if op.License == id && op.Body == (container.Hash{}) && op.Kind == container.Put {
					body, err := seal.DecodeBody(op.Bytes)
					if err != nil {
						return err
					}
					n += body.Terms.Seats
				}
			}
		}
		return nil
	}))
	return n
}

// TestSplit: ten seats, 4 with A and 6 with B; none for C, until A has given two
// back and proven it; in the end they are one license again.
func TestSplit(t *testing.T) {
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		a, c, d := b.box(), b.box(), b.box()
		part := license.ID(a.gets(some(o.Ticket, id, 4), refusal.Done).Details["part"].(string))
		b.have("6 not_collected, 4 collecting A", a, c)
		if l := b.license(part); l.Terms.Borrow.Seats != 2 || l.Product != "TEAM" || l.Origin != id || a.seats() != 4 {
			t.Fatalf("%+v; the container can use %d", l, a.seats())
		}
		c.gets(some(o.Ticket, id, 6), refusal.Done)
		b.have("6 collecting B, 4 collecting A", a, c)
		a.receipt()
		c.receipt()
		out := d.gets(some(o.Ticket, id, 1), refusal.LicenseInUse)
		if out.Details["free"] != int64(0) || !strings.Contains(out.Message, "of 10 there are 6 in container") {
			t.Fatalf("%+v", out)
		}
		d.gets(ticket(o.Ticket), refusal.LicenseInUse)

		a.gets(back(part, 2), refusal.Done)
		b.have("6 collected B, 2 collecting A, 2 returning A", a, c)
		if a.seats() != 2 {
			t.Fatalf("the container can use %d", a.seats())
		}
		d.gets(some(o.Ticket, id, 2), refusal.LicenseInUse) // no receipt
		receipt := a.report(container.Wishes{})
		for range 2 { // lost and repeated
			must(t, b.Receipt(t.Context(), receipt))
		}
		b.have("6 collected B, 2 collected A, 2 returned", a, c)
		d.gets(some(o.Ticket, id, 3), refusal.TooFewSeats)
		d.gets(some(o.Ticket, id, 2), refusal.Done)
		b.have("6 collected B, 2 collected A, 2 collecting C", a, c, d)

		// Everything comes back; what is with the vendor is one license.
		for i, want := range []string{"2 returned, 6 collected B, 2 collecting C", "8 returned, 2 collecting C", "10 returned"} {
			x := []*box{a, c, d}[i]
			for held := range x.state.Held {
				x.gets(container.Wishes{Return: []license.ID{held}}, refusal.Done)
			}
			x.receipt()
			got := strings.Split(b.shares("2001", a, c, d), ", ")
			slices.Sort(got)
			exp := strings.Split(want, ", ")
			slices.Sort(exp)
			if !slices.Equal(got, exp) {
				t.Fatalf("got %q, want %q", got, exp)
			}
		}
		if l := b.license(id); l.State != license.Returned || l.Terms.Seats != 10 {
			t.Fatalf("%+v", l)
		}
		merged := b.license(part)
		if merged.State != license.Gone || merged.MergedInto == "" || len(merged.Can) != 0 {
			t.Fatalf("%+v", merged)
		}
		// Its name leads on; as a whole it is no more.
		d.gets(container.Wishes{Tickets: []license.Ticket{o.Ticket}, Activate: []license.ID{part}}, refusal.LicenseUnknown)
		d.gets(some(o.Ticket, part, 10), refusal.Done)
		if d.seats() != 10 {
			t.Fatalf("the container can use %d", d.seats())
		}
	})
}

// TestSplitOnce: however often and in whatever form it is asked for, one split.
func TestSplitOnce(t *testing.T) {
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		a := b.box()
		file := a.report(some(o.Ticket, id, 4))
		first, err := b.Program(t.Context(), file)
		must(t, err)
		again, err := b.Program(t.Context(), file)
		must(t, err)
		if !bytes.Equal(first, again) {
			t.Error("the same request was answered otherwise")
		}
		other := a.report(some(o.Ticket, id, 4)) // at the same step, another report
		second, err := b.Program(t.Context(), other)
		must(t, err)
		if u := a.opened(second); len(u.Steps) != 1 || u.Outcomes[0].Code != refusal.AlreadyApplied {
			t.Fatalf("%+v", u)
		}
		a.imports(first)
		a.gets(some(o.Ticket, id, 4), refusal.AlreadyApplied)
		a.receipt()
		a.gets(some(o.Ticket, id, 4), refusal.AlreadyApplied)
		b.have("6 not_collected, 4 collected A", a)
		a.gets(some(o.Ticket, id, 5), refusal.Done)
		b.have("5 not_collected, 4 collected A, 1 collecting A", a)

		// The same for a return.
		var part license.ID
		for held := range a.state.Held {
			if b.license(held).Terms.Seats == 4 {
				part = held
			}
		}
		a.receipt()
		file = a.report(back(part, 2))
		first, err = b.Program(t.Context(), file)
		must(t, err)
		other = a.report(back(part, 2))
		second, err = b.Program(t.Context(), other)
		must(t, err)
		if u := a.opened(second); len(u.Steps) != 1 || u.Outcomes[0].Code != refusal.AlreadyApplied {
			t.Fatalf("%+v", u)
		}
		third, err := b.Program(t.Context(), a.report(back(part, 1)))
		must(t, err)
		if u := a.opened(third); u.Outcomes[0].Code != refusal.NotDone {
			t.Fatalf("%+v", u)
		}
		again, err = b.Program(t.Context(), file)
		must(t, err)
		if !bytes.Equal(first, again) {
			t.Error("the same request was answered otherwise")
		}
		a.imports(third)
		a.receipt()
		b.have("7 not_collected, 2 collected A, 1 collected A", a)
	})
}

// TestSplitFreezes: one license has one end, however it is split.
func TestSplitFreezes(t *testing.T) {
	parts(t, "TEAM-YEAR", func(b *book, o wire.Order, id license.ID) {
		a, c := b.box(), b.box()
		a.gets(some(o.Ticket, id, 4), refusal.Done)
		end := b.license(id).ExpiresAt
		if end == 0 {
			t.Fatal("the rest has no end")
		}
		b.now = b.now.Add(100 * 24 * time.Hour)
		c.gets(some(o.Ticket, id, 6), refusal.Done)
		o, err := b.Order(t.Context(), b.admin, "2001")
		must(t, err)
		for _, l := range o.Licenses {
			if l.ExpiresAt != end || l.Activated != license.At(start) {
				t.Errorf("%+v", l)
			}
		}
	})
}

// TestNoSplit: a product whose licenses stay whole.
func TestNoSplit(t *testing.T) {
	parts(t, "SITE", func(b *book, o wire.Order, id license.ID) {
		a := b.box()
		a.gets(some(o.Ticket, id, 4), refusal.NotSplittable)
		a.gets(some(o.Ticket, id, 10), refusal.Done)
		a.gets(back(id, 4), refusal.NotSplittable)
		a.gets(back(id, 10), refusal.Done)
		b.have("10 returning A", a)
	})
}

// TestOrderCountsNoParts: an order that is sent again adds nothing for the parts.
func TestOrderCountsNoParts(t *testing.T) {
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		b.box().gets(some(o.Ticket, id, 4), refusal.Done)
		again := b.order("2001", wire.OrderItem{Product: "TEAM", Quantity: 2})
		if again.Added != 1 || len(again.Licenses) != 3 {
			t.Fatalf("%+v", again)
		}
	})
}

// TestLostParts: each part is lost for itself; the limit is that of the whole, and
// what is not proven gone is not merged.
func TestLostParts(t *testing.T) {
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		a, c := b.box(), b.box()
		part := license.ID(a.gets(some(o.Ticket, id, 4), refusal.Done).Details["part"].(string))
		c.gets(some(o.Ticket, id, 3), refusal.Done)
		a.receipt()
		c.receipt()
		req := lossOf(o.Ticket)
		req.Licenses = []license.ID{part}
		got, err := b.lose(req)
		must(t, err)
		if got.State != store.Granted {
			t.Fatalf("%+v", got)
		}
		b.have("3 not_collected, 4 not_collected, 3 collected B", a, c)
		for held := range c.state.Held {
			req.Licenses = []license.ID{held}
		}
		if got, err = b.lose(req); err != nil || got.Licenses[0].Code != refusal.RestoreLimit {
			t.Fatalf("%+v %v", got, err)
		}
		// Both that are free may be had together, although one is of another generation.
		d := b.box()
		d.gets(some(o.Ticket, id, 6), refusal.Done)
		b.have("1 not_collected, 4 collecting C, 3 collected B, 2 collecting C", a, c, d)
	})
}

// TestRaceForSeats lets 16 machines ask for one of ten seats at the same time: ten
// get one. Then the ten bring their receipts of the return while the others ask
// again. No seat is lost or made on the way.
func TestRaceForSeats(t *testing.T) {
	const machines, rounds = 16, 5
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		boxes := make([]*box, machines)
		for i := range boxes {
			boxes[i] = b.box()
		}
		all := func(do func(i int, x *box) error) {
			t.Helper()
			var wg sync.WaitGroup
			errs := make([]error, machines)
			for i, x := range boxes {
				wg.Go(func() { errs[i] = do(i, x) })
			}
			wg.Wait()
			for _, err := range errs {
				must(t, err)
			}
		}
		sum := func() (free, held int64) {
			t.Helper()
			o, err := b.Order(t.Context(), b.admin, "2001")
			must(t, err)
			for _, l := range o.Licenses {
				if l.State.Available() {
					free += l.Terms.Seats
				} else {
					held += l.Terms.Seats
				}
			}
			if free+held != 10 {
				t.Fatalf("%d seats are free and %d in containers", free, held)
			}
			return free, held
		}
		for round := range rounds {
			files, answers := make([][]byte, machines), make([][]byte, machines)
			for i, x := range boxes {
				files[i] = x.report(some(o.Ticket, id, 1))
			}
			all(func(i int, _ *box) (err error) {
				answers[i], err = b.Program(context.Background(), files[i])
				return err
			})
			var holders []int
			for i, x := range boxes {
				if _, out, no := x.imports(answers[i]); no != nil || out[0].Code != refusal.Done && out[0].Code != refusal.LicenseInUse {
					t.Fatalf("round %d: %+v %v", round, out, no)
				}
				if len(x.state.Held) > 0 {
					holders = append(holders, i)
				}
			}
			if free, _ := sum(); len(holders) != 10 || free != 0 {
				t.Fatalf("round %d: %d have a seat, %d are free", round, len(holders), free)
			}
			for _, i := range holders {
				for held := range boxes[i].state.Held {
					boxes[i].program(container.Wishes{Return: []license.ID{held}})
				}
			}
			for i, x := range boxes {
				files[i] = x.report(some(o.Ticket, id, 1))
				if slices.Contains(holders, i) {
					files[i] = x.report(container.Wishes{})
				}
			}
			all(func(i int, _ *box) (err error) {
				if slices.Contains(holders, i) {
					return b.Receipt(context.Background(), files[i])
				}
				answers[i], err = b.Program(context.Background(), files[i])
				return err
			})
			for i, x := range boxes {
				if slices.Contains(holders, i) {
					continue
				}
				if _, _, no := x.imports(answers[i]); no != nil && no.Code != refusal.AlreadyApplied {
					t.Fatal(no)
				}
				x.receipt()
				for held := range x.state.Held {
					x.program(container.Wishes{Return: []license.ID{held}})
					x.receipt()
				}
			}
			if free, held := sum(); free != 10 || held != 0 {
				t.Fatalf("round %d: in the end %d are free and %d in containers", round, free, held)
			}
		}
		if got := b.shares("2001"); strings.Count(got, ",") > 1 {
			t.Errorf("what is free lies in splinters: %s", got)
		}
	})
}

// TestPartsAlone: what the vendor orders is about the part that is named, and one that
// is merged is none.
func TestPartsAlone(t *testing.T) {
	parts(t, "TEAM", func(b *book, o wire.Order, id license.ID) {
		a, c := b.box(), b.box()
		part := license.ID(a.gets(some(o.Ticket, id, 4), refusal.Done).Details["part"].(string))
		a.receipt()
		if got := b.withdraw(part); len(got.Done) != 1 || got.Done[0].Container != a.state.Serial {
			t.Fatalf("%+v", got)
		}
		c.gets(some(o.Ticket, id, 2), refusal.Done)
		a.program(pendingWish)
		a.receipt()
		b.have("4 not_collected, 4 gone, 2 collecting B", a, c)
		// It does not come back with the others.
		c.receipt()
		c.gets(container.Wishes{Return: []license.ID{c.one()}}, refusal.Done)
		c.receipt()
		b.have("6 not_collected, 4 gone", a, c)
		a.gets(some(o.Ticket, part, 6), refusal.Done)

		// A merged one can neither be withdrawn nor replaced nor sent anywhere.
		a.receipt()
		gone := license.ID(a.gets(back(id, 1), refusal.Done).Details["part"].(string))
		a.receipt()
		a.gets(container.Wishes{Return: []license.ID{id}}, refusal.Done)
		a.receipt()
		if l := b.license(gone); l.MergedInto != id {
			t.Fatalf("%+v", l)
		}
		got := b.withdraw(gone)
		if len(got.Refused) != 1 || got.Refused[0].Code != refusal.LicenseWithdrawn || !strings.Contains(got.Refused[0].Message, string(id)) {
			t.Fatalf("%+v", got)
		}
		_, err := b.Assign(t.Context(), b.admin, gone, a.state.Serial, "x", false)
		b.refuses(refusal.LicenseWithdrawn, err)
		_, err = b.Replace(t.Context(), b.admin, gone, "TEAM", "x", false)
		b.refuses(refusal.LicenseWithdrawn, err)
	})
}

// one is the license of a container that holds one.
func (x *box) one() license.ID {
	for id := range x.state.Held {
		return id
	}
	x.b.t.Fatal("it holds nothing")
	return ""
}

// TestReturnOfPartLost: the machine is lost while some seats are on their way back.
// What it had is restored, each part for itself, and its copy goes in every form.
func TestReturnOfPartLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: strings.Replace(partsYAML, "automatic: 1, per: 365d", "automatic: 9", 1)})
		must(t, err)
		o := b.order("2001", wire.OrderItem{Product: "TEAM"})
		id := o.Licenses[0].ID
		a, c := b.box(), b.box()
		a.gets(ticket(o.Ticket), refusal.Done)
		a.receipt()
		file, err := b.Program(t.Context(), a.report(back(id, 4))) // never imported, so far
		must(t, err)
		b.have("6 collecting A, 4 returning A", a)
		got, err := b.lose(lossOf(o.Ticket))
		must(t, err)
		if got.State != store.Granted || len(got.Licenses) != 2 {
			t.Fatalf("%+v", got)
		}
		b.have("6 not_collected, 4 not_collected", a)
		c.gets(some(o.Ticket, id, 10), refusal.Done)
		b.have("6 collecting B, 4 collecting B", a, c)
		view, err := b.Container(t.Context(), b.admin, a.state.Serial)
		must(t, err)
		if len(view.Pending) != 2 {
			t.Fatalf("%q", view.Pending)
		}
		// It turns up, with the file that nobody had imported: everything goes.
		a.imports(file)
		a.program(pendingWish)
		a.holds()
		a.receipt()
		b.have("6 collecting B, 4 collecting B", a, c)
		b.clean()
	})
}

// TestPartTurnsUp: a part whose lost copy may turn up is not merged, so that its
// container can get it back.
func TestPartTurnsUp(t *testing.T) {
	parts(t, "TEAM-BACK", func(b *book, o wire.Order, id license.ID) {
		a, c := b.box(), b.box()
		part := license.ID(a.gets(some(o.Ticket, id, 4), refusal.Done).Details["part"].(string))
		a.receipt()
		req := lossOf(o.Ticket)
		req.Licenses = []license.ID{part}
		_, err := b.lose(req)
		must(t, err)
		c.gets(some(o.Ticket, id, 2), refusal.Done)
		c.receipt()
		c.gets(container.Wishes{Return: []license.ID{c.one()}}, refusal.Done)
		c.receipt()
		b.have("6 not_collected, 4 not_collected", a, c)
		a.program(pendingWish)
		a.receipt()
		b.have("6 not_collected, 4 collected A", a, c)
		a.holds("TEAM-BACK 2")
		a.gets(container.Wishes{Return: []license.ID{part}}, refusal.Done)
		a.receipt()
		b.have("10 not_collected", a, c)
	})
}
