package registry_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// book is a real registry with a clock that the test moves.
type book struct {
	*registry.Registry
	t     testing.TB
	db    *store.DB
	now   time.Time
	admin registry.Actor
	trust *seal.Trust
	cfg   registry.Config
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const catalogYAML = `
products:
  - code: CAD
    name: CAD Professional
    model: perpetual_single
    features: [render]
  - code: ADDON
    name: Add-on
    model: perpetual_single
    requires: [CAD]
  - code: FIXED
    name: Not to be returned
    model: perpetual_single
    deactivation: false
  - code: YEAR
    name: One year
    model: subscription_single
    terms: {expires_in: 365d}
`

func newBook(t testing.TB, db *store.DB) *book {
	t.Helper()
	b := &book{t: t, db: db, now: start}
	secret := make([]byte, 32)
	rand.Read(secret)
	cfg := registry.Config{DB: db, Secret: secret, Now: func() time.Time { return b.now },
		Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	res, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Address: "http://127.0.0.1:1"})
	must(t, err)
	b.trust, err = seal.ParseTrust(res.Trust)
	must(t, err)
	b.cfg = cfg
	b.Registry, err = b.another()
	must(t, err)
	b.admin, err = b.Authenticate(t.Context(), res.AdminToken)
	must(t, err)
	_, err = b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: catalogYAML})
	must(t, err)
	t.Cleanup(func() {
		// Whatever a test makes happen, webhooks tell of it as they promise.
		wrong, err := b.WrongMessages(context.Background())
		if errors.Is(err, store.ErrClosed) {
			return // the test has closed it
		}
		must(t, err)
		for _, w := range wrong {
			t.Error(w)
		}
	})
	return b
}

// another is another server of the same vendor.
func (b *book) another() (*registry.Registry, error) { return registry.Open(b.t.Context(), b.cfg) }

func (b *book) order(number string, items ...wire.OrderItem) wire.Order {
	b.t.Helper()
	o, err := b.CreateOrder(context.Background(), b.admin, wire.OrderRequest{Number: number, Customer: "Buyer", Items: items}, registry.Once{})
	must(b.t, err)
	return o
}

// box is a container with nothing around it: the log and its keys.
type box struct {
	b     *book
	keys  *seal.ContainerKeys
	state container.State

	bodies map[license.ID][]byte // of what is held
	says   string                // what program it says to be
	trust  *seal.Trust           // the newest it was told of
	bring  *uint64               // the step above which the next report brings what is kept; nil for nothing

	certificates [][]byte
}

func (b *book) box() *box {
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(b.t, err)
	return &box{b: b, keys: keys, state: container.NewState(keys.Serial()), bodies: map[license.ID][]byte{}, trust: b.trust}
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

func (x *box) report(w container.Wishes) []byte {
	x.b.t.Helper()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(x.b.now))
	r.Wishes, r.Program = w, x.says
	if x.bring != nil {
		r.Units = x.state.Counted(*x.bring)
		for _, k := range x.state.After(*x.bring) {
			s := container.SignedStep{Signed: k.Signed, Bodies: [][]byte{}}
			for id, h := range x.state.Held {
				if body := x.bodies[id]; h.Step == k.Number && body != nil {
					s.Bodies = append(s.Bodies, body)
				}
			}
			r.Steps = append(r.Steps, s)
		}
	}
	file, err := seal.SealReport(x.trust, x.keys, r)
	must(x.b.t, err)
	return file
}

// opened is what an update file holds.
func (x *box) opened(file []byte) container.Update {
	x.b.t.Helper()
	u, err := x.verifier().OpenUpdate(file, x.keys)
	must(x.b.t, err)
	return u
}

// verifier checks what the vendor signs, by all that the container was told.
func (x *box) verifier() *seal.Verifier {
	x.b.t.Helper()
	v, err := seal.NewVerifier(x.trust, x.certificates...)
	must(x.b.t, err)
	return v
}

func (x *box) imports(file []byte) ([]container.Change, []container.Outcome, *refusal.Refusal) {
	x.b.t.Helper()
	v := x.verifier()
	u, err := v.OpenUpdate(file, x.keys)
	must(x.b.t, err)
	steps, err := v.Steps(u.Steps)
	must(x.b.t, err)
	x.trust, x.certificates = v.Trust(), append(x.certificates, u.Keys...)
	answers, misses := u.Answers == x.state.Asked, x.state.Misses(u)
	next, changes, no := x.state.Import(u, steps, nonce, license.At(x.b.now))
	if answers && (no == nil || u.Epoch < x.state.Epoch) {
		if x.bring = nil; misses {
			x.bring = &u.Acked
		}
	}
	x.state = next
	for _, c := range changes {
		if c.Body != nil {
			x.bodies[c.License] = c.Body
		}
	}
	return changes, u.Outcomes, no
}

// program makes a request, has it answered and imports the answer.
func (x *box) program(w container.Wishes) []container.Outcome {
	x.b.t.Helper()
	file, err := x.b.Program(context.Background(), x.report(w))
	must(x.b.t, err)
	_, outcomes, no := x.imports(file)
	if no != nil {
		x.b.t.Fatalf("import: %v", no)
	}
	return outcomes
}

func (x *box) receipt() {
	x.b.t.Helper()
	must(x.b.t, x.b.Receipt(context.Background(), x.report(container.Wishes{})))
}

func (b *book) license(id license.ID) wire.License {
	b.t.Helper()
	l, err := b.License(context.Background(), b.admin, id)
	must(b.t, err)
	return l
}

func ticket(t license.Ticket) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{t}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMainLine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1001", wire.OrderItem{Product: "CAD"})
		id := o.Licenses[0].ID
		a, c := b.box(), b.box()

		if out := a.program(ticket(o.Ticket)); out[0].Code != refusal.Done {
			t.Fatalf("activation: %+v", out)
		}
		if l := b.license(id); l.State != license.Collecting || l.Container != a.state.Serial {
			t.Fatalf("after activation: %+v", l)
		}
		if out := c.program(ticket(o.Ticket)); out[0].Code != refusal.LicenseInUse || out[0].Details["container"] != string(a.state.Serial) {
			t.Fatalf("second activation: %+v", out)
		}
		a.receipt()
		if l := b.license(id); l.State != license.Collected {
			t.Fatalf("after receipt: %+v", l)
		}
		if out := a.program(container.Wishes{Return: []license.ID{id}}); out[0].Code != refusal.Done {
			t.Fatalf("return: %+v", out)
		}
		if out := c.program(ticket(o.Ticket)); out[0].Code != refusal.LicenseInUse {
			t.Fatalf("before the receipt of the return: %+v", out)
		}
		a.receipt()
		if l := b.license(id); l.State != license.Returned || l.Container != "" {
			t.Fatalf("after return: %+v", l)
		}
		if out := c.program(ticket(o.Ticket)); out[0].Code != refusal.Done {
			t.Fatalf("activation elsewhere: %+v", out)
		}
		if _, err := b.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rep, err := b.VerifyAudit(t.Context(), b.admin); err != nil || !rep.Whole || rep.Tail != 0 {
			t.Fatalf("audit: %+v %v", rep, err)
		}
		h, err := b.History(t.Context(), b.admin, "license", string(id), "", 100)
		must(t, err)
		for _, e := range h.Items {
			t.Log(e.Time, e.Actor, e.Event, e.Sentence)
		}
	})
}

// TestBulkOrder takes an order of more licenses than one statement inserts.
func TestBulkOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("bulk", wire.OrderItem{Product: "CAD", Quantity: 1000}, wire.OrderItem{Product: "YEAR", Quantity: 3})
		if o.Added != 1003 || len(o.Licenses) != 1003 {
			t.Fatalf("added %d, has %d", o.Added, len(o.Licenses))
		}
		again := b.order("bulk", wire.OrderItem{Product: "CAD", Quantity: 1001}, wire.OrderItem{Product: "YEAR", Quantity: 3})
		if again.Added != 1 || again.Ticket != o.Ticket || again.Order != o.Order {
			t.Fatalf("sent again: added %d to %s", again.Added, again.Order)
		}
		h, err := b.History(t.Context(), b.admin, "license", string(o.Licenses[999].ID), "", 10)
		must(t, err)
		if len(h.Items) != 1 || len(h.Items[0].Subjects) != 1005 {
			t.Fatalf("history: %d events", len(h.Items))
		}
	})
}

// TestTicketOfManyLicenses: the whole of a large ticket is refused, single
// licenses of it are not.
func TestTicketOfManyLicenses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("many", wire.OrderItem{Product: "CAD", Quantity: container.MaxOfTicket + 1})
		x := b.box()
		if out := x.program(ticket(o.Ticket)); len(out) != 1 || out[0].Code != refusal.TooLarge {
			t.Fatalf("the whole ticket: %+v", out)
		}
		w := ticket(o.Ticket)
		w.Activate = []license.ID{o.Licenses[7].ID}
		if out := x.program(w); len(out) != 1 || out[0].Code != refusal.Done {
			t.Fatalf("one license of it: %+v", out)
		}
		most := b.order("most", wire.OrderItem{Product: "CAD", Quantity: container.MaxOfTicket})
		if out := x.program(ticket(most.Ticket)); len(out) != container.MaxOfTicket || out[0].Code != refusal.Done {
			t.Fatalf("the most: %d outcomes, %+v", len(out), out[0])
		}
	})
}
