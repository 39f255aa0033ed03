package verify_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/subscription"
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
	file  []byte // the trust file
	cfg   registry.Config
}

const catalogYAML = `
categories:
  - {code: DESIGN, name: Design}
bundles:
  - {code: BOTH, name: Both, products: [CAD, TEAM=2]}
products:
  - code: CAD
    name: CAD Professional
    category: DESIGN
    model: perpetual_single
    features: [render]
  - code: TEAM
    name: For a team
    model: subscription_multi
    terms: {seats: 5, expires_in: 365d, maintenance: 30d, grace: 7d, borrow: {max: 12h, seats: 2}}
  - code: AUTO
    name: Restored by itself
    model: perpetual_single
    restore: {license: {mode: automatic}, container: {new_hardware: automatic}}
  - code: ONCE
    name: Once by itself, then by staff
    model: perpetual_single
    restore: {license: {mode: hybrid, automatic: 1, per: 365d}, conditions: "It is lost."}
  - code: BACK
    name: Who had lost it gets it back
    model: perpetual_single
    restore: {license: {mode: automatic}, found: revived, stop: return}
  - code: THEFT
    name: Blocked with its container
    model: perpetual_single
    restore: {license: {mode: automatic}, container: {new_hardware: automatic}, stop: block}
  - code: SPARE
    name: Never sold
    model: demo
  - code: PREPAID
    name: So many units
    model: perpetual_single
    terms: {units: 1000}
    restore: {license: {mode: automatic}}
  - code: CREDITS
    name: Units in several containers
    model: prepaid
    terms: {units: 1000}
  - code: YEAR
    name: One year
    model: subscription_single
    terms: {expires_in: 365d}
`

func newBook(t testing.TB, db *store.DB) *book {
	t.Helper()
	b := &book{t: t, db: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	secret := make([]byte, 32)
	rand.Read(secret)
	cfg := registry.Config{DB: db, Secret: secret, Now: func() time.Time { return b.now },
		Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	res, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Address: "http://127.0.0.1:1"})
	must(t, err)
	b.file, b.cfg = res.Trust, cfg
	b.trust, err = seal.ParseTrust(res.Trust)
	must(t, err)
	b.Registry, err = registry.Open(t.Context(), cfg)
	must(t, err)
	b.admin, err = b.Authenticate(t.Context(), res.AdminToken)
	must(t, err)
	_, err = b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: catalogYAML})
	must(t, err)
	return b
}

func (b *book) tick() { b.now = b.now.Add(time.Minute) }

func (b *book) order(number string, items ...wire.OrderItem) wire.Order {
	b.t.Helper()
	b.tick()
	o, err := b.CreateOrder(context.Background(), b.admin, wire.OrderRequest{Number: number, Customer: "Buyer", Items: items}, registry.Once{})
	must(b.t, err)
	return o
}

func (b *book) sequence() {
	b.t.Helper()
	_, err := b.Sequence(context.Background())
	must(b.t, err)
}

func (b *book) license(id license.ID) wire.License {
	b.t.Helper()
	l, err := b.License(context.Background(), b.admin, id)
	must(b.t, err)
	return l
}

// box is a container with nothing around it: the log and its keys.
type box struct {
	b     *book
	keys  *seal.ContainerKeys
	state container.State
	file  []byte // the last update
	lent  []container.Lent

	bodies map[license.ID]container.Body
	raw    map[license.ID][]byte
	bring  *uint64 // the step above which the next report brings what is kept; nil for nothing
}

// use takes units of a license.
func (x *box) use(id license.ID, n int64) {
	x.b.t.Helper()
	next, _, no := x.state.Use(x.bodies[id], n)
	if no != nil {
		x.b.t.Fatal(no)
	}
	x.state = next
}

func (b *book) box() *box {
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(b.t, err)
	return &box{b: b, keys: keys, state: container.NewState(keys.Serial()), bodies: map[license.ID]container.Body{}, raw: map[license.ID][]byte{}}
}

// copy is what somebody keeps who copies the container's files.
func (x *box) copy() *box { c := *x; return &c }

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

func (x *box) report(w container.Wishes) []byte {
	x.b.t.Helper()
	x.b.tick()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(x.b.now))
	r.Wishes, r.Lent = w, x.lent
	if x.bring != nil {
		r.Units = x.state.Counted(*x.bring)
		for _, k := range x.state.After(*x.bring) {
			s := container.SignedStep{Signed: k.Signed, Bodies: [][]byte{}}
			for id, h := range x.state.Held {
				if h.Step == k.Number {
					s.Bodies = append(s.Bodies, x.raw[id])
				}
			}
			r.Steps = append(r.Steps, s)
		}
	}
	file, err := seal.SealReport(x.b.trust, x.keys, r)
	must(x.b.t, err)
	return file
}

// ask makes a request and has it answered; nothing is imported.
func (x *box) ask(w container.Wishes) {
	x.b.t.Helper()
	file, err := x.b.Program(context.Background(), x.report(w))
	must(x.b.t, err)
	x.file = file
}

// imports takes the last update over; what is refused changes nothing.
func (x *box) imports() []container.Outcome {
	x.b.t.Helper()
	v, err := seal.NewVerifier(x.b.trust)
	must(x.b.t, err)
	u, err := v.OpenUpdate(x.file, x.keys)
	must(x.b.t, err)
	var steps []container.Incoming
	for _, s := range u.Steps {
		in, err := v.Incoming(s)
		must(x.b.t, err)
		steps = append(steps, in)
	}
	answers, misses := u.Answers == x.state.Asked, x.state.Misses(u)
	if next, changes, no := x.state.Import(u, steps, nonce, license.At(x.b.now)); no == nil {
		x.state = next
		if answers {
			if x.bring = nil; misses {
				x.bring = &u.Acked
			}
		}
		for _, c := range changes {
			if c.Body != nil {
				x.raw[c.License] = c.Body
				x.bodies[c.License], err = seal.DecodeBody(c.Body)
				must(x.b.t, err)
			}
		}
	}
	return u.Outcomes
}

func (x *box) program(w container.Wishes) []container.Outcome {
	x.b.t.Helper()
	x.ask(w)
	return x.imports()
}

// receipt sends a receipt; it gives the code of a refusal.
func (x *box) receipt() refusal.Code {
	x.b.t.Helper()
	err := x.b.Receipt(context.Background(), x.report(container.Wishes{}))
	if no, ok := refusal.As(err); ok {
		return no.Code
	}
	must(x.b.t, err)
	return refusal.Done
}

func (x *box) accepted() {
	x.b.t.Helper()
	x.b.tick()
	_, err := x.b.AcceptContainer(context.Background(), x.b.admin, x.state.Serial, "the machine was restored")
	must(x.b.t, err)
}

func ticket(t license.Ticket) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{t}}
}

// some asks for so many seats of a license.
func some(t license.Ticket, id license.ID, seats int64) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{t}, Activate: []license.ID{id}, Amounts: []container.Amount{{License: id, Seats: seats}}}
}

// back returns so many seats of a license.
func back(id license.ID, seats int64) container.Wishes {
	return container.Wishes{Return: []license.ID{id}, Amounts: []container.Amount{{License: id, Seats: seats}}}
}

// parts is what becomes of a license whose seats are in several containers.
func (b *book) parts(name map[string]string) {
	t := b.t
	t.Helper()
	o := b.order("1006", wire.OrderItem{Product: "TEAM", Override: []string{"seats=8"}})
	id := o.Licenses[0].ID
	x, y := b.box(), b.box()
	got := x.program(some(o.Ticket, id, 3))[0]
	want(t, got.Code, refusal.Done)
	part := license.ID(got.Details["part"].(string))
	want(t, x.receipt(), refusal.Done)
	want(t, y.program(some(o.Ticket, id, 2))[0].Code, refusal.Done)
	got = x.program(back(part, 1))[0]
	want(t, got.Code, refusal.Done)
	want(t, x.receipt(), refusal.Done) // what is back is merged with what was left
	want(t, b.license(id).Terms.Seats, 4)
	want(t, x.program(back(part, 1))[0].Code, refusal.Done) // on its way
	// A part that is withdrawn and one that was lost stay for themselves.
	z := b.box()
	lost := license.ID(z.program(some(o.Ticket, id, 2))[0].Details["part"].(string))
	want(t, z.receipt(), refusal.Done)
	_, err := b.Withdraw(context.Background(), b.admin, []license.ID{lost}, "refunded", false)
	must(t, err)
	name["whole"], name["part"], name["merged"], name["parts-order"] = string(id), string(part), got.Details["part"].(string), o.Order
}

func returns(ids ...license.ID) container.Wishes { return container.Wishes{Return: ids} }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("the history went another way: got %v, want %v", got, want)
	}
}

// counters counts units of two licenses: one is where it is, with units added that
// have arrived and some that wait; one was lost and is elsewhere.
func (b *book) counters(name map[string]string) {
	b.t.Helper()
	adds := func(id license.ID, n int64) {
		b.tick()
		_, err := b.AddUnits(context.Background(), b.admin, id, n, "bought more", false)
		must(b.t, err)
	}
	o := b.order("1009", wire.OrderItem{Product: "PREPAID", Quantity: 3})
	stays, lost, spare := o.Licenses[0].ID, o.Licenses[1].ID, o.Licenses[2].ID
	adds(spare, 7)
	x, y := b.box(), b.box()
	want(b.t, x.program(ticket(o.Ticket))[0].Code, refusal.Done)
	for _, id := range []license.ID{stays, lost} {
		x.use(id, 100)
		want(b.t, x.receipt(), refusal.Done)
		x.use(id, 50)
	}
	adds(stays, 500)
	x.program(container.Wishes{Pending: true})
	x.use(stays, 1000)
	want(b.t, x.receipt(), refusal.Done)
	adds(stays, 10)
	adds(stays, 10)
	want(b.t, x.program(returns(spare))[0].Code, refusal.Done)
	adds(stays, 10)
	b.tick()
	_, err := b.RequestRestore(context.Background(), wire.RestoreRequest{Tickets: []string{string(o.Ticket)}, Licenses: []license.ID{lost}, Reason: "lost"})
	must(b.t, err)
	want(b.t, y.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}, Activate: []license.ID{lost}})[0].Code, refusal.Done)
	y.use(lost, 1)
	want(b.t, y.receipt(), refusal.Done)
	x.use(lost, 5)
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, *b.license(stays).Units, wire.Units{Total: 1530, Used: 1150, Left: 380})
	want(b.t, *b.license(lost).Units, wire.Units{Total: 1000, Used: 151, Left: 849})
	want(b.t, b.license(spare).Units.Total, 1007)
	for n, id := range map[string]license.ID{"counted": stays, "counted-again": lost} {
		name[n] = string(id)
	}
	name["counter"] = string(x.state.Serial)
}

// unitParts is what becomes of a license whose units are in several containers.
func (b *book) unitParts(name map[string]string) {
	b.t.Helper()
	o := b.order("1016", wire.OrderItem{Product: "CREDITS"})
	id := o.Licenses[0].ID
	x, y := b.box(), b.box()
	got := x.program(some(o.Ticket, id, 300))[0]
	want(b.t, got.Code, refusal.Done)
	part := license.ID(got.Details["part"].(string))
	want(b.t, x.receipt(), refusal.Done)
	x.use(part, 50)
	want(b.t, y.program(some(o.Ticket, id, 200))[0].Code, refusal.Done)
	want(b.t, y.receipt(), refusal.Done)
	want(b.t, x.program(back(part, 100))[0].Code, refusal.Done)
	want(b.t, x.receipt(), refusal.Done) // what is back is merged with what was left
	want(b.t, *b.license(part).Units, wire.Units{Total: 200, Used: 50, Left: 150})
	want(b.t, *b.license(id).Units, wire.Units{Total: 600, Left: 600})
	name["unit-whole"], name["unit-part"], name["unit-order"] = string(id), string(part), o.Order
}

// rented makes subscriptions: one that renews by itself, was changed and will be; one
// that a shop leads, whose renewal waits for its container and of which units are used;
// one that is canceled, one that has lapsed, one that was resumed, one that was ended
// at once.
func (b *book) rented(name map[string]string) {
	b.t.Helper()
	ctx := context.Background()
	begin := license.At(b.now)
	make := func(key, product string, n int64, lead subscription.Lead) wire.Subscription {
		b.t.Helper()
		b.tick()
		done, err := b.CreateSubscription(ctx, b.admin, wire.SubscriptionRequest{Number: "abo-" + key, Customer: "Buyer", Product: product, Quantity: n, Period: "monthly", Lead: lead, Start: begin}, registry.Once{})
		must(b.t, err)
		name[key], name[key+"-order"], name[key+"-license"] = done.Subscription.ID, b.license(done.Subscription.Licenses[0].ID).Order, string(done.Subscription.Licenses[0].ID)
		return done.Subscription
	}
	did := func(_ wire.SubscriptionDone, err error) {
		b.t.Helper()
		must(b.t, err)
		b.tick()
	}
	monthly := make("monthly", "CAD", 2, subscription.Licet)
	paid := make("paid", "PREPAID", 1, subscription.Outside)
	team := make("team-abo", "TEAM", 1, subscription.Licet)
	notice := make("notice", "CAD", 1, subscription.Licet)
	lapsed := make("lapsed", "CAD", 1, subscription.Outside)
	back := make("back", "CAD", 1, subscription.Outside)
	ended := make("ended", "CAD", 2, subscription.Licet)
	x := b.box()
	for _, s := range []wire.Subscription{monthly, paid, lapsed, back, ended} {
		want(b.t, x.program(ticket(s.Ticket))[0].Code, refusal.Done)
	}
	want(b.t, x.receipt(), refusal.Done)
	x.use(license.ID(name["paid-license"]), 25)
	y := b.box()
	want(b.t, y.program(some(team.Ticket, team.Licenses[0].ID, 2))[0].Code, refusal.Done)
	b.tick()
	did(b.ChangeSubscription(ctx, b.admin, monthly.ID, wire.SubscriptionChange{Quantity: 4, Reason: "more"}))
	did(b.ChangeSubscription(ctx, b.admin, monthly.ID, wire.SubscriptionChange{Product: "AUTO", Reason: "another edition"}))
	did(b.CancelSubscription(ctx, b.admin, notice.ID, wire.SubscriptionCancellation{Reason: "too soon"}))
	did(b.ResumeSubscription(ctx, b.admin, notice.ID, wire.SubscriptionResumption{Reason: "not after all"}))
	did(b.CancelSubscription(ctx, b.admin, ended.ID, wire.SubscriptionCancellation{Now: true, Reason: "refunded"}))
	did(b.RenewSubscription(ctx, b.admin, paid.ID, wire.SubscriptionRenewal{Reference: "INV-1", Periods: 2}))
	x.program(container.Wishes{Pending: true})
	b.now = b.now.AddDate(0, 1, 10) // over, and so is the grace
	_, err := b.SettleSubscriptions(ctx, time.Minute)
	must(b.t, err)
	want(b.t, x.receipt(), refusal.Done)
	did(b.ResumeSubscription(ctx, b.admin, back.ID, wire.SubscriptionResumption{Reason: "paid late", Reference: "INV-2"}))
	did(b.ChangeSubscription(ctx, b.admin, monthly.ID, wire.SubscriptionChange{Quantity: 2, Period: "30d", Reason: "fewer"}))
	did(b.ChangeSubscription(ctx, b.admin, paid.ID, wire.SubscriptionChange{Quantity: 2, Reason: "one more"}))
	did(b.ChangeSubscription(ctx, b.admin, paid.ID, wire.SubscriptionChange{Quantity: 1, Grace: new(20 * license.Day), Reason: "not after all"}))
	b.tick()
	did(b.CancelSubscription(ctx, b.admin, notice.ID, wire.SubscriptionCancellation{Reason: "notice"}))
}

// story makes a history with everything in it that can happen, and names what
// tests speak of.
func story(t testing.TB, db *store.DB) (*book, map[string]string) {
	t.Helper()
	b := newBook(t, db)
	name := map[string]string{}

	// Four licenses; one is returned and goes elsewhere, one is under way back.
	o := b.order("1001", wire.OrderItem{Product: "CAD", Quantity: 3}, wire.OrderItem{Product: "YEAR"})
	a, c := b.box(), b.box()
	want(t, a.program(ticket(o.Ticket))[0].Code, refusal.Done)
	want(t, a.receipt(), refusal.Done)
	first, second, third, year := o.Licenses[0].ID, o.Licenses[1].ID, o.Licenses[2].ID, o.Licenses[3].ID
	want(t, a.program(returns(first))[0].Code, refusal.Done)
	want(t, c.program(ticket(o.Ticket))[0].Code, refusal.LicenseInUse)
	want(t, a.receipt(), refusal.Done)
	want(t, c.program(ticket(o.Ticket))[0].Code, refusal.Done)
	team := b.order("1004", wire.OrderItem{Product: "TEAM", Override: []string{"seats=9"}})
	want(t, a.program(ticket(team.Ticket))[0].Code, refusal.Done)
	// Seats of the team's license are lent, one after the other, and no user returns it.
	out := container.Lent{License: team.Licenses[0].ID, Generation: 1, Seats: 1, Until: license.At(b.now.Add(9 * time.Hour))}
	a.lent = []container.Lent{out}
	want(t, a.receipt(), refusal.Done)
	a.lent[0].Seats = 2
	want(t, a.program(returns(out.License))[0].Code, refusal.SeatsOnLoan)
	want(t, b.license(out.License).Lent.Seats, 2)
	want(t, a.program(returns(second))[0].Code, refusal.Done)
	want(t, b.license(first).State, license.Collecting)
	want(t, b.license(second).State, license.Returning)
	want(t, b.license(third).State, license.Collected)

	// Licenses that nobody asked for, in an order that was extended.
	waiting := b.order("1002", wire.OrderItem{Product: "TEAM", Quantity: 2})
	waiting = b.order("1002", wire.OrderItem{Product: "TEAM", Quantity: 3}, wire.OrderItem{Product: "CAD", Override: []string{"features=render+export"}})

	// A license that was returned and waits.
	spare := b.order("1003", wire.OrderItem{Product: "CAD"})
	want(t, c.program(ticket(spare.Ticket))[0].Code, refusal.Done)
	want(t, c.receipt(), refusal.Done)
	want(t, c.program(returns(spare.Licenses[0].ID))[0].Code, refusal.Done)
	want(t, c.receipt(), refusal.Done)

	// An old copy comes back, is challenged, flagged and accepted: what it had
	// returned is under way again, but for what is elsewhere by now.
	two := b.order("1005", wire.OrderItem{Product: "CAD", Quantity: 2})
	d := b.box()
	want(t, d.program(ticket(two.Ticket))[0].Code, refusal.Done)
	want(t, d.receipt(), refusal.Done)
	old := d.copy()
	want(t, d.program(returns(two.Licenses[0].ID, two.Licenses[1].ID))[0].Code, refusal.Done)
	want(t, d.receipt(), refusal.Done)
	e := b.box()
	want(t, e.program(container.Wishes{Tickets: []license.Ticket{two.Ticket}, Activate: []license.ID{two.Licenses[0].ID}})[0].Code, refusal.Done)
	want(t, old.program(container.Wishes{Pending: true})[0].Code, refusal.OutOfDate)
	want(t, old.program(container.Wishes{Pending: true})[0].Code, refusal.ContainerFlagged)
	old.accepted()
	want(t, b.license(two.Licenses[0].ID).Container, e.state.Serial)
	want(t, b.license(two.Licenses[1].ID).State, license.Returning)

	// Two lives of one step; one is accepted and confirms more, one stays flagged.
	for _, settled := range []bool{true, false} {
		more := b.order("", wire.OrderItem{Product: "CAD", Quantity: 2})
		x := b.box()
		x.ask(ticket(more.Ticket))
		twin := x.copy()
		x.imports()
		want(t, x.receipt(), refusal.Done)
		twin.imports()
		want(t, twin.receipt(), refusal.ContainerFlagged)
		if !settled {
			name["flagged"] = string(x.state.Serial)
			continue
		}
		twin.accepted()
		want(t, twin.program(returns(more.Licenses[0].ID))[0].Code, refusal.Done)
		want(t, twin.receipt(), refusal.Done)
	}

	b.hand(name)
	b.losses(name)
	b.parts(name)
	b.counters(name)
	b.unitParts(name)
	b.rented(name)

	// Tokens and a product that changed.
	for _, n := range []string{"shop", "gone"} {
		b.tick()
		token, err := b.CreateToken(context.Background(), b.admin, wire.TokenRequest{Name: n, Scopes: []string{"read"}}, registry.Once{})
		must(t, err)
		name[n] = token.ID
	}
	_, err := b.RevokeToken(context.Background(), b.admin, name["gone"])
	must(t, err)
	b.tick()
	_, err = b.ApplyCatalog(context.Background(), b.admin, wire.CatalogRequest{YAML: catalogYAML + "    deactivation: false\n"})
	must(t, err)
	b.sequence()

	// All that c had lent is back.
	c.lent = []container.Lent{{License: first, Generation: 1, Seats: 1}}
	want(t, c.receipt(), refusal.Done)
	want(t, b.license(first).Lent.Seats, 1)
	c.lent = nil
	want(t, c.receipt(), refusal.Done)
	want(t, b.license(first).Lent == nil, true)
	b.sequence()

	// The newest events are not yet in the audit log.
	want(t, e.receipt(), refusal.Done)

	for n, s := range map[string]string{
		"order": o.Order, "other-order": waiting.Order, "collecting": string(first), "returning": string(second), "collected": string(third), "year": string(year),
		"never": string(waiting.Licenses[0].ID), "spare": string(spare.Licenses[0].ID), "team": string(team.Licenses[0].ID),
		"a": string(a.state.Serial), "c": string(c.state.Serial), "d": string(d.state.Serial), "e": string(e.state.Serial),
	} {
		name[n] = s
	}
	must(t, db.Read(t.Context(), func(tx *store.Tx) error {
		for n, q := range map[string]string{
			"ticket":         "select id from tickets where order_id = '" + o.Order + "'",
			"other-ticket":   "select id from tickets where order_id = '" + waiting.Order + "'",
			"vendor":         "select id from vendor",
			"issuing":        "select id from keys where use = 'issuing'",
			"sealing":        "select id from keys where use = 'sealing'",
			"audit":          "select id from keys where use = 'audit'",
			"root":           "select id from keys where use = 'root'",
			"order-event":    "select event_id from event_subjects where kind = 'order' and subject_id = '" + o.Order + "' order by event_id limit 1",
			"put-event":      "select e.id from events e join event_subjects s on s.event_id = e.id where s.subject_id = '" + string(third) + "' and e.name = 'put_confirmed'",
			"step-event":     "select e.id from events e join event_subjects s on s.event_id = e.id where s.subject_id = '" + name["a"] + "' and e.name = 'step_issued' order by e.id limit 1",
			"tail-event":     "select max(id) from events where sequence < 0",
			"proof":          "select id from proofs where container = '" + name["flagged"] + "'",
			"admin":          "select id from tokens where name = 'admin'",
			"count-event":    "select max(e.id) from events e join event_subjects s on s.event_id = e.id where s.subject_id = '" + name["counted"] + "' and e.name = 'units_counted'",
			"renewal":        "select max(e.id) from events e join event_subjects s on s.event_id = e.id where s.subject_id = '" + name["paid"] + "' and e.name = 'subscription_renewed'",
			"add-event":      "select min(e.id) from events e join event_subjects s on s.event_id = e.id where s.subject_id = '" + name["counted"] + "' and e.name = 'units_added'",
			"accepted-event": "select e.id from events e where e.name = 'license_reopened'",
		} {
			var id string
			if err := tx.QueryRow(q).Scan(&id); err != nil {
				t.Errorf("%s: %v", n, err)
				return err
			}
			name[n] = id
		}
		return nil
	}))
	return b, name
}
