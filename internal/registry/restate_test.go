package registry_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
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

func (b *book) revoke(key string) {
	b.t.Helper()
	must(b.t, b.ChangeKeys(b.t.Context(), registry.System, registry.KeyChange{Revoke: key, Reason: "stolen"}))
}

// usable makes sure that every license that the container holds counts by all that
// its machine knows of the vendor's keys.
func (x *box) usable() {
	x.b.t.Helper()
	for _, id := range x.unusable() {
		x.b.t.Errorf("%s holds %s under a revoked key, by trust bundle %d", x.state.Serial, id, x.trust.Number)
	}
}

func (x *box) unusable() (ids []license.ID) {
	x.b.t.Helper()
	v, err := seal.NewVerifier(x.trust, x.certificates...)
	must(x.b.t, err)
	for id, h := range x.state.Held {
		signed, ok := x.state.Signed(h.Step)
		if !ok {
			x.b.t.Fatalf("the step of %s is not kept", id)
		}
		switch _, _, err := v.License(signed, x.bodies[id]); {
		case refusal.Is(err, refusal.KeyRevoked):
			ids = append(ids, id)
		case err != nil:
			x.b.t.Fatal(err)
		}
	}
	return ids
}

func named(t license.Ticket, ids ...license.ID) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{t}, Activate: ids}
}

// TestRevoke: what containers have under a revoked key comes again under the new one
// with the answer that tells of the revocation, and what the thief signs counts
// nowhere that has heard of it.
func TestRevoke(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 4}, wire.OrderItem{Product: "YEAR", Quantity: 4})
		var ids []license.ID
		for _, l := range o.Licenses {
			ids = append(ids, l.ID)
		}
		here, flight, away, empty := b.box(), b.box(), b.box(), b.box()
		here.program(named(o.Ticket, ids[0], ids[4]))
		here.receipt()
		lost := flight.report(named(o.Ticket, ids[1])) // the answer is under way
		answer, err := b.Program(t.Context(), lost)
		must(t, err)
		away.program(named(o.Ticket, ids[2]))
		// One that has returned all it had, unconfirmed, and one whose return is lost.
		empty.program(named(o.Ticket, ids[3]))
		empty.receipt()
		back := empty.report(container.Wishes{Return: []license.ID{ids[3]}})
		_, err = b.Program(t.Context(), back)
		must(t, err)

		// Two that have nothing any more, and everything is proven.
		var gone []*box
		var goneFiles [][]byte
		for n := range 2 {
			x := b.box()
			x.program(named(o.Ticket, ids[6+n]))
			x.receipt()
			file := x.report(container.Wishes{Return: []license.ID{ids[6+n]}})
			answer, err := b.Program(t.Context(), file)
			must(t, err)
			x.imports(answer)
			x.receipt()
			gone, goneFiles = append(gone, x), append(goneFiles, file)
		}

		thief := b.stolen()
		first := b.signs()
		b.revoke(first)
		second := b.signs()
		if second == first {
			t.Fatal("the revoked key signs")
		}
		wantRefused(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Revoke: first, Reason: "again"}), refusal.AlreadyApplied)

		// Contact renews and tells; the licenses come again in the same answer.
		before := b.license(ids[0])
		file, err := b.Program(t.Context(), here.report(container.Wishes{Pending: true}))
		must(t, err)
		u := here.opened(file)
		if signerOf(t, u) != second || len(u.Trust) == 0 {
			t.Fatalf("signed by %s, with a bundle of %d bytes", signerOf(t, u), len(u.Trust))
		}
		changes, _, no := here.imports(file)
		if no != nil || len(changes) != 2 || !changes[0].Again || !changes[1].Again {
			t.Fatalf("%+v, %v", changes, no)
		}
		here.usable()
		here.receipt()
		if after := b.license(ids[0]); after.State != license.Collected || after.Activated != before.Activated || after.Container != before.Container {
			t.Errorf("%+v became %+v", before, after)
		}
		// Once.
		if out := here.program(container.Wishes{Pending: true}); len(out) != 0 || here.state.Number != 2 {
			t.Errorf("%+v at step %d", out, here.state.Number)
		}

		// The answer that was lost is not sent again as it was: nobody who has heard of
		// the revocation would take it.
		again, err := b.Program(t.Context(), lost)
		must(t, err)
		if id, _ := seal.SignerOf(again); id.String() != second || string(again) == string(answer) {
			t.Fatalf("the stored answer by %s", id)
		}
		if _, out, no := flight.imports(again); no != nil || out[0].Refused() {
			t.Fatalf("%+v, %v", out, no)
		}
		flight.usable()
		if third, err := b.Program(t.Context(), lost); err != nil || string(third) != string(again) {
			t.Errorf("a third time: %v, another answer", err)
		}

		// Nothing is held, and the removal is under the revoked key: a good step follows.
		file, err = b.Program(t.Context(), back)
		must(t, err)
		if _, out, no := empty.imports(file); no != nil || len(empty.state.Held) != 0 {
			t.Fatalf("%+v, %v", out, no)
		}
		empty.receipt()
		if l := b.license(ids[3]); l.State != license.Returned {
			t.Errorf("%s", l.State)
		}

		// They come with an old request once more, one of them after another contact.
		gone[0].program(container.Wishes{Pending: true})
		for n, x := range gone {
			file, err := b.Program(t.Context(), goneFiles[n])
			must(t, err)
			if id, _ := seal.SignerOf(file); id.String() != second {
				t.Errorf("%d: a stored answer by %s", n, id)
			}
			if _, _, no := x.imports(file); no != nil && no.Code != refusal.AlreadyApplied && no.Code != refusal.OutOfDate {
				t.Error(no)
			}
		}

		// What the thief signs.
		if _, err := here.verifier().OpenUpdate(thief.answer(here), here.keys); !refusal.Is(err, refusal.KeyRevoked) {
			t.Errorf("an update of the thief: %v", err)
		}

		// A second one, of the key that was retired by a rotation.
		must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true}))
		here.program(named(o.Ticket, ids[5])) // under the third; the rest under the second
		if out := here.program(container.Wishes{Pending: true}); len(out) != 0 {
			t.Errorf("%+v", out)
		}
		b.revoke(second)
		file, err = b.Program(t.Context(), here.report(container.Wishes{Pending: true}))
		must(t, err)
		if changes, _, no = here.imports(file); no != nil || len(changes) != 2 {
			t.Fatalf("%+v, %v", changes, no)
		}
		here.usable()
		// Away during all of it, and returns what it has with the first contact.
		if out := away.program(container.Wishes{Return: []license.ID{ids[2]}}); out[0].Code != refusal.Done {
			t.Errorf("%+v", out)
		}
		away.receipt()
		if l := b.license(ids[2]); l.State != license.Returned || away.trust.Number != here.trust.Number {
			t.Errorf("%s by bundle %d", l.State, away.trust.Number)
		}
		b.whole()
	})
}

// TestRevokedSinceTheGap: what a container brings under a key that was revoked
// after the return counts as little as all else that the key has signed: it is not
// taken in, nobody is blamed, and the license goes out again when staff say so.
func TestRevokedSinceTheGap(t *testing.T) {
	withLoss(t, func(t *testing.T, b *book, lose func() *book) {
		tk, ids := b.bought("CAD")
		lose()
		a := b.activated(tk)
		n := lose()
		n.revoke(n.signs())
		a.at(n)
		a.contact(pendingWish)
		outcome(t, a.contact(ticket(tk)), refusal.ContainerAhead)
		if l := n.license(ids["CAD"]); l.HeldBack == "" || l.Container != "" {
			t.Fatalf("a revoked key has placed it: %+v", l)
		}
		n.clean()
		e := n.box()
		outcome(t, e.contact(ticket(tk)), refusal.LicenseHeldBack)
		n.tick()
		_, err := n.Release(t.Context(), n.admin, wire.Release{Licenses: []license.ID{ids["CAD"]}, Reason: "asked"})
		must(t, err)
		outcome(t, e.contact(ticket(tk)), refusal.Done)
		e.usable()
		// Who has heard of the revocation uses the old copy no more.
		a.trust = e.trust
		if got := a.unusable(); len(got) != 1 {
			t.Fatalf("unusable: %v", got)
		}
		n.clean()
	})
}

// TestRevokeTellsNobodyTooEarly: who cannot be given his licenses anew does not hear
// of the revocation, and goes on.
func TestRevokeTellsNobodyTooEarly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 5})
		id := func(n int) license.ID { return o.Licenses[n].ID }
		blocked, flagged, old, stopped, leaving := b.box(), b.box(), b.box(), b.box(), b.box()
		for n, x := range []*box{blocked, flagged, old, stopped, leaving} {
			x.program(named(o.Ticket, id(n)))
			x.receipt()
		}
		earlier := old.copied()
		old.program(container.Wishes{Return: []license.ID{id(2)}})
		old.receipt()
		// Two lives: the copy applies the step again.
		twin := flagged.copied()
		answer, err := b.Program(t.Context(), flagged.report(container.Wishes{Return: []license.ID{id(1)}}))
		must(t, err)
		flagged.imports(answer)
		twin.state.Asked = flagged.state.Asked
		twin.imports(answer)
		flagged.receipt()
		// It has returned what it had, and the answer was lost.
		_, err = b.Program(t.Context(), leaving.report(container.Wishes{Return: []license.ID{id(4)}}))
		must(t, err)
		_, err = b.BlockContainer(t.Context(), b.admin, blocked.state.Serial, "stolen")
		must(t, err)

		b.revoke(b.signs())
		told := func(what string, x *box, w container.Wishes) container.Update {
			t.Helper()
			file, err := b.Program(t.Context(), x.report(w))
			must(t, err)
			u := x.opened(file)
			if len(u.Trust) != 0 {
				t.Errorf("%s is told of the revocation", what)
			}
			return u
		}
		told("a blocked container", blocked, container.Wishes{Pending: true})
		told("a container with two lives", twin, container.Wishes{Pending: true})
		told("an older copy", earlier, container.Wishes{Pending: true})
		must(t, b.StopIssuing(t.Context(), registry.System, "found out what happened"))
		if u := told("one whose licenses wait", stopped, container.Wishes{Pending: true}); len(u.Steps) != 0 || !u.Renews {
			t.Errorf("%+v", u)
		}
		told("one that lacks a step of the revoked key", leaving, container.Wishes{Pending: true})
		must(t, b.ResumeIssuing(t.Context(), registry.System, "known"))
		leaving.program(container.Wishes{Pending: true})
		if len(leaving.state.Held) != 0 || leaving.trust.Number != b.trust.Number+1 {
			t.Errorf("%d licenses, bundle %d", len(leaving.state.Held), leaving.trust.Number)
		}
		// The older copy once more, now that the other is told.
		old.program(container.Wishes{Pending: true})
		if old.trust.Number != b.trust.Number+1 {
			t.Errorf("bundle %d", old.trust.Number)
		}
		told("an older copy", earlier, container.Wishes{Pending: true})
		stopped.program(container.Wishes{Pending: true})
		stopped.usable()
		if stopped.trust.Number != b.trust.Number+1 {
			t.Errorf("bundle %d", stopped.trust.Number)
		}
		_, err = b.UnblockContainer(t.Context(), b.admin, blocked.state.Serial, "found")
		must(t, err)
		blocked.program(container.Wishes{Pending: true})
		blocked.program(container.Wishes{Pending: true})
		blocked.usable()
		if blocked.trust.Number != b.trust.Number+1 || len(blocked.state.Held) != 1 {
			t.Errorf("bundle %d, %d licenses", blocked.trust.Number, len(blocked.state.Held))
		}
		b.whole()
	})
}

// TestRestateMany: more licenses than one step takes come in several, and the
// revocation is told with the last.
func TestRestateMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		x := b.box()
		for n := range 2 {
			o := b.order(fmt.Sprint(n), wire.OrderItem{Product: "CAD", Quantity: int64(container.MaxOfTicket - 100*n)})
			x.program(ticket(o.Ticket))
		}
		x.receipt()
		b.revoke(b.signs())
		x.program(container.Wishes{Pending: true})
		if x.trust.Number != b.trust.Number {
			t.Fatal("told too early")
		}
		x.program(container.Wishes{Pending: true})
		if x.trust.Number != b.trust.Number+1 || x.state.Number != 4 {
			t.Fatalf("bundle %d at step %d", x.trust.Number, x.state.Number)
		}
		x.usable()
		b.whole()
	})
}

// TestRevokeAnyOrder: whatever is lost, repeated, pushed, rotated, revoked and
// stopped, in any order, no honest container ever holds a license that does not count
// by what it was told, and all hear of everything in the end.
func TestRevokeAnyOrder(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "licet.db"))
			must(t, err)
			t.Cleanup(func() { db.Close() })
			b := newBook(t, db)
			revocations(t, b, rand.New(rand.NewPCG(seed, 14)))
		})
	}
}

func revocations(t *testing.T, b *book, r *rand.Rand) {
	o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 7})
	boxes := []*box{b.box(), b.box(), b.box()}
	reports := map[*box][]byte{}
	revoked := 0
	for range 120 {
		b.now = b.now.Add(time.Duration(r.IntN(int(6 * time.Hour))))
		x := boxes[r.IntN(len(boxes))]
		id := o.Licenses[r.IntN(len(o.Licenses))].ID
		var w container.Wishes
		switch n := r.IntN(24); {
		case n < 6:
			w = named(o.Ticket, id)
		case n < 9:
			w = container.Wishes{Return: []license.ID{id}}
		case n < 14:
			w = container.Wishes{Pending: true}
		case n < 17: // the last request once more, and its answer read
			if file := reports[x]; file != nil {
				answer, err := b.Program(t.Context(), file)
				must(t, err)
				x.takes(answer)
			}
			continue
		case n == 17 && x.state.Number > 0:
			must(t, b.Receipt(t.Context(), x.report(container.Wishes{})))
			continue
		case n == 18 && x.state.Number > 0:
			file, err := b.Push(t.Context(), b.admin, x.state.Serial)
			must(t, err)
			if r.IntN(2) == 0 {
				x.takes(file)
			}
			continue
		case n == 19:
			must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true}))
			continue
		case n == 20 && revoked < 6:
			keys := slices.Concat(b.keysIn(registry.KeySigns), b.keysIn(registry.KeyOverlap), b.keysIn(registry.KeyRetired))
			b.revoke(keys[r.IntN(len(keys))])
			revoked++
			continue
		case n == 21:
			if b.Stopped() == nil && r.IntN(2) == 0 {
				must(t, b.StopIssuing(t.Context(), registry.System, "why not"))
			} else if b.Stopped() != nil {
				must(t, b.ResumeIssuing(t.Context(), registry.System, "enough"))
			}
			continue
		default:
			continue
		}
		file := x.report(w)
		reports[x] = file
		answer, err := b.Program(t.Context(), file)
		must(t, err)
		if r.IntN(3) > 0 { // else it is lost
			x.takes(answer)
		}
	}
	if b.Stopped() != nil {
		must(t, b.ResumeIssuing(t.Context(), registry.System, "enough"))
	}
	for _, x := range boxes {
		for range 2 {
			x.program(container.Wishes{Pending: true})
		}
		x.usable()
		if newest, err := seal.ParseTrust([]byte(b.WellKnown().Trust)); err != nil || x.trust.Number != newest.Number && newest.Format > 1 {
			t.Errorf("bundle %d of %d, %v", x.trust.Number, newest.Number, err)
		}
		if l, err := b.Container(t.Context(), b.admin, x.state.Serial); err == nil && l.Flag != nil {
			t.Errorf("flagged: %+v", l.Flag)
		}
	}
	for _, l := range o.Licenses {
		at := b.license(l.ID)
		for _, x := range boxes {
			if _, holds := x.state.Held[l.ID]; holds != (at.Container == x.state.Serial && at.State != license.Returning) {
				t.Errorf("%s is %s with %q; %s holds it: %v", l.ID, at.State, at.Container, x.state.Serial, holds)
			}
		}
	}
	b.whole()
}

// takes imports a file that may be too old, and makes sure that whatever the container
// has counts afterwards.
func (x *box) takes(file []byte) {
	x.b.t.Helper()
	trust, certificates := x.trust, x.certificates
	v := x.verifier()
	u, err := v.OpenUpdate(file, x.keys)
	if refusal.Is(err, refusal.KeyRevoked) {
		return
	}
	must(x.b.t, err)
	steps, err := v.Steps(u.Steps)
	must(x.b.t, err)
	next, changes, no := x.state.Import(u, steps, nonce, license.At(x.b.now))
	if no != nil && no.Code != refusal.AlreadyApplied {
		x.trust, x.certificates = trust, certificates
		return
	}
	x.state, x.trust, x.certificates = next, v.Trust(), append(x.certificates, u.Keys...)
	for _, c := range changes {
		x.bodies[c.License] = c.Body
	}
	x.usable()
}

// stolen is somebody who has the key that signs now, and all else that the server has.
type stolen struct {
	key   *seal.SigningKey
	cert  []byte
	scope seal.Scope
}

func (b *book) stolen() stolen {
	b.t.Helper()
	vault, err := seal.NewVault(b.cfg.Secret)
	must(b.t, err)
	var out stolen
	must(b.t, b.db.Read(b.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Keys()
		for _, k := range rows {
			if k.Use != string(seal.Issuing) {
				continue
			}
			private, err := vault.Open(seal.Place{Table: "keys", Row: k.ID, Column: "private"}, k.Private)
			must(b.t, err)
			out.key, err = seal.ParseSigningKey(seal.Issuing, private)
			must(b.t, err)
			out.cert = k.Certificate
		}
		return err
	}))
	out.scope = b.trust.Scope
	return out
}

// answer is an update of the thief that gives a container what nobody has sold.
func (s stolen) answer(x *box) []byte {
	x.b.t.Helper()
	body, hash, err := seal.EncodeBody(container.Body{License: "lic_forged", Generation: 1, Container: x.state.Serial,
		ContainerKey: x.keys.Identity(license.Machine).SigningKey, Product: "CAD", Name: "CAD", Tolerance: license.Loose, Terms: license.Terms{Seats: 1}})
	must(x.b.t, err)
	step := container.Step{Container: x.state.Serial, Epoch: 1, Number: x.state.Number + 1, Previous: x.state.Plan, Time: license.At(x.b.now),
		Ops: []container.Op{{Kind: container.Put, Phase: container.Activate, License: "lic_forged", Generation: 1, Product: "CAD", Body: hash}}}
	signed, err := seal.SignStep(s.scope, s.key, &step)
	must(x.b.t, err)
	file, err := seal.SealUpdate(s.scope, s.key, x.keys.Identity(license.Machine), container.Update{
		Container: x.state.Serial, Acked: x.state.Number, Steps: []container.SignedStep{{Signed: signed, Bodies: [][]byte{body}}},
		Time: license.At(x.b.now), Epoch: 1, Keys: [][]byte{s.cert}})
	must(x.b.t, err)
	return file
}

// copied is a copy of the container, as of a disk.
func (x *box) copied() *box {
	y := *x
	y.bodies = map[license.ID][]byte{}
	for id, body := range x.bodies {
		y.bodies[id] = body
	}
	return &y
}
