package verify_test

import (
	"context"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

var pending = container.Wishes{Pending: true}

// with sells one license of a product and activates it in a container of its own.
func (b *book) with(product string) (*box, license.Ticket, license.ID) {
	b.t.Helper()
	o := b.order("", wire.OrderItem{Product: product})
	x := b.box()
	want(b.t, x.program(ticket(o.Ticket))[0].Code, refusal.Done)
	want(b.t, x.receipt(), refusal.Done)
	return x, o.Ticket, o.Licenses[0].ID
}

func (b *book) withdraw(ids ...license.ID) {
	b.t.Helper()
	b.tick()
	out, err := b.Withdraw(context.Background(), b.admin, ids, "not paid", false)
	must(b.t, err)
	want(b.t, len(out.Done), len(ids))
}

func (b *book) replace(id license.ID, by string) license.ID {
	b.t.Helper()
	b.tick()
	out, err := b.Replace(context.Background(), b.admin, id, by, "upgrade", false)
	must(b.t, err)
	return out.Done[0].With
}

func (b *book) assign(id license.ID, x *box) {
	b.t.Helper()
	b.tick()
	_, err := b.Assign(context.Background(), b.admin, id, x.state.Serial, "by the shop", false)
	must(b.t, err)
}

func (b *book) cancel(id license.ID) {
	b.t.Helper()
	b.tick()
	_, err := b.CancelPending(context.Background(), b.admin, id, "a mistake")
	must(b.t, err)
}

func (b *book) lose(t license.Ticket, change ...func(*wire.RestoreRequest)) wire.RestoreAnswer {
	b.t.Helper()
	b.tick()
	r := wire.RestoreRequest{Tickets: []string{string(t)}, Reason: "the disk died", Accept: true}
	for _, c := range change {
		c(&r)
	}
	out, err := b.RequestRestore(context.Background(), r)
	must(b.t, err)
	return out
}

// whole says that a container is lost with everything in it.
func (x *box) whole(r *wire.RestoreRequest) { r.Container, r.Whole = x.state.Serial, true }

// hand is what the vendor orders: done, under way, waiting, taken back.
func (b *book) hand(name map[string]string) {
	b.t.Helper()
	ctx := context.Background()

	// Withdrawn with the vendor, in containers, and on its way.
	x, _, id := b.with("CAD")
	b.withdraw(id)
	x.program(pending)
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, b.license(id).State, license.Gone)
	name["withdrawn"] = string(id)
	x, _, id = b.with("CAD")
	b.withdraw(id)
	x.ask(pending)
	x, _, id = b.with("CAD")
	b.withdraw(id)
	name["waiting"], name["waiting-box"] = string(id), string(x.state.Serial)
	x, _, id = b.with("CAD")
	x.program(returns(id))
	b.withdraw(id) // the user's own return ends it
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, b.license(id).State, license.Gone)
	x, _, id = b.with("CAD")
	b.withdraw(id)
	b.cancel(id)
	x.program(pending)
	name["kept"] = string(id)

	// Replaced with the vendor, in a container, on its way back; and not after all.
	free := b.order("", wire.OrderItem{Product: "CAD"})
	b.replace(free.Licenses[0].ID, "TEAM")
	x, _, id = b.with("CAD")
	name["replacement"], name["replaced"] = string(b.replace(id, "TEAM,seats=7")), string(id)
	x.program(pending)
	want(b.t, x.receipt(), refusal.Done)
	x, _, id = b.with("CAD")
	x.program(returns(id))
	with := b.replace(id, "TEAM")
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, b.license(with).State, license.NotCollected)
	_, _, id = b.with("CAD")
	name["reserved"] = string(b.replace(id, "TEAM"))
	_, _, id = b.with("CAD")
	b.replace(id, "TEAM")
	b.cancel(id)

	// Assigned: carried out, waiting, taken back, asked for by the user besides.
	x, t, id := b.with("CAD")
	x.program(returns(id))
	want(b.t, x.receipt(), refusal.Done)
	b.assign(id, x)
	_, err := b.Push(ctx, b.admin, x.state.Serial)
	must(b.t, err)
	x.program(pending)
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, b.license(id).State, license.Collected)
	x.program(returns(id))
	want(b.t, x.receipt(), refusal.Done)
	b.assign(id, x)
	b.cancel(id)
	b.assign(id, x)
	x.program(ticket(t))
	want(b.t, x.receipt(), refusal.Done)
	more := b.order("", wire.OrderItem{Product: "CAD"})
	b.assign(more.Licenses[0].ID, x)
	name["assigned"] = string(more.Licenses[0].ID)

	// An order that was canceled.
	o := b.order("2001", wire.OrderItem{Product: "CAD", Quantity: 2}, wire.OrderItem{Product: "YEAR"})
	x = b.box()
	x.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}, Activate: []license.ID{o.Licenses[0].ID}})
	b.tick()
	_, err = b.CancelOrder(ctx, b.admin, "2001", "sent back", false)
	must(b.t, err)

	// Blocked: closed, waiting, opened again.
	for _, n := range []string{"closed", "blocked", "opened"} {
		x, _, _ = b.with("CAD")
		name[n] = string(x.state.Serial)
		b.tick()
		_, err = b.BlockContainer(ctx, b.admin, x.state.Serial, "stolen")
		must(b.t, err)
		if n == "blocked" {
			continue
		}
		x.program(pending)
		want(b.t, x.state.Locked, true)
		if n == "opened" {
			b.tick()
			_, err = b.UnblockContainer(ctx, b.admin, x.state.Serial, "found")
			must(b.t, err)
			x.program(pending)
			want(b.t, x.receipt(), refusal.Done)
			want(b.t, x.state.Locked, false)
		}
	}
}

// losses is what is lost, and what becomes of it.
func (b *book) losses(name map[string]string) {
	b.t.Helper()
	ctx := context.Background()

	// By itself, twice: one copy is proven gone, one is on its way out, one waits.
	x, t, id := b.with("AUTO")
	want(b.t, b.lose(t).State, "granted")
	y := b.box()
	y.program(ticket(t))
	want(b.t, b.lose(t).State, "granted")
	x.program(pending)
	want(b.t, x.receipt(), refusal.Done)
	y.ask(pending)
	x.program(ticket(t)) // back on the first machine
	want(b.t, x.receipt(), refusal.Done)
	want(b.t, b.license(id).Generation, 3)
	want(b.t, b.lose(t).State, "granted")
	name["lost"], name["lost-in"], name["lost-ticket"] = string(id), string(x.state.Serial), string(t)

	// By the policy, beyond it, refused, asked back, approved.
	_, t, id = b.with("ONCE")
	want(b.t, b.lose(t).State, "granted")
	name["once"] = string(id)
	y = b.box()
	y.program(ticket(t))
	got := b.lose(t)
	want(b.t, got.State, "waiting")
	b.tick()
	_, err := b.RefuseRecovery(ctx, b.admin, got.Recovery, "It is on your desk.")
	must(b.t, err)
	b.tick()
	_, err = b.EnableRestore(ctx, b.admin, []license.ID{id}, 2, "a good customer")
	must(b.t, err)
	want(b.t, b.lose(t).State, "granted")
	y.program(ticket(t))
	want(b.t, b.lose(t).State, "granted")
	y.program(ticket(t))
	got = b.lose(t)
	want(b.t, got.State, "waiting")
	b.tick()
	_, err = b.AskRecovery(ctx, b.admin, got.Recovery, "Which machine?")
	must(b.t, err)
	b.tick()
	_, err = b.AnswerRecovery(ctx, t, got.Recovery, "The blue one.")
	must(b.t, err)
	b.tick()
	_, err = b.ApproveRecovery(ctx, b.admin, got.Recovery, wire.Approval{Reason: "he called"})
	must(b.t, err)
	want(b.t, b.license(id).Generation, 5)
	y.program(ticket(t))
	want(b.t, b.lose(t).State, "waiting")
	b.tick()
	_, err = b.EnableRestore(ctx, b.admin, []license.ID{license.ID(name["kept"])}, 3, "in advance")
	must(b.t, err)

	// A withdrawal whose machine is gone, and a replacement as well.
	_, _, id = b.with("CAD")
	b.withdraw(id)
	b.tick()
	_, err = b.DeclareLost(ctx, b.admin, id, "the machine burned")
	must(b.t, err)
	want(b.t, b.license(id).State, license.Gone)
	name["declared"] = string(id)
	x, _, id = b.with("CAD")
	with := b.replace(id, "TEAM")
	x.ask(pending)
	b.tick()
	_, err = b.DeclareLost(ctx, b.admin, id, "the machine burned")
	must(b.t, err)
	want(b.t, b.license(with).State, license.Collecting)
	_, _, id = b.with("CAD")
	with = b.replace(id, "TEAM")
	b.tick()
	_, err = b.DeclareLost(ctx, b.admin, id, "the machine burned")
	must(b.t, err)
	want(b.t, b.license(with).State, license.NotCollected)

	// The lost container turns up and gets its license back: it is recalled from
	// where it is, or was returned from there meanwhile.
	for _, returned := range []bool{false, true} {
		x, t, id = b.with("BACK")
		want(b.t, b.lose(t).State, "granted")
		y = b.box()
		y.program(ticket(t))
		want(b.t, y.receipt(), refusal.Done)
		if returned {
			y.program(returns(id))
		}
		x.program(pending)
		y.program(pending)
		want(b.t, y.receipt(), refusal.Done)
		x.program(pending)
		want(b.t, x.receipt(), refusal.Done)
		want(b.t, b.license(id).Container, x.state.Serial)
		want(b.t, b.license(id).Generation, 2)
	}
	_, t, _ = b.with("BACK")
	want(b.t, b.lose(t).State, "granted")

	// Stolen, with everything in it.
	x, t, _ = b.with("THEFT")
	want(b.t, b.lose(t, x.whole).State, "granted")
	x.program(pending)
	want(b.t, x.receipt(), refusal.Done)
}
