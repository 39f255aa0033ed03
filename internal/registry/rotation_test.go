package registry_test

import (
	"crypto/rand"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// keysIn are the ids of the issuing keys in a state.
func (b *book) keysIn(state registry.KeyState) (ids []string) {
	b.t.Helper()
	list, err := b.Keys(b.t.Context(), registry.System)
	must(b.t, err)
	for _, k := range list.Keys {
		if k.State == state && k.Use == string(seal.Issuing) {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

func (b *book) signs() string {
	b.t.Helper()
	ids := b.keysIn(registry.KeySigns)
	if len(ids) != 1 {
		b.t.Fatalf("%d keys sign", len(ids))
	}
	return ids[0]
}

// whole makes sure that the second checker finds nothing.
func (b *book) whole() {
	b.t.Helper()
	_, err := b.Sequence(b.t.Context())
	must(b.t, err)
	rep, err := verify.Run(b.t.Context(), b.db, verify.Options{})
	must(b.t, err)
	for _, f := range rep.Findings {
		b.t.Errorf("the second checker finds: %s", f)
	}
}

func wantRefused(t testing.TB, err error, code refusal.Code) {
	t.Helper()
	if !refusal.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// signerOf is the key by which a step of an answer was signed.
func signerOf(t testing.TB, u container.Update) string {
	t.Helper()
	if len(u.Steps) == 0 {
		t.Fatal("no steps")
	}
	id, ok := seal.SignerOf(u.Steps[len(u.Steps)-1].Signed)
	if !ok {
		t.Fatal("no step")
	}
	return id.String()
}

// TestRotate: a new key signs at once on every server, what the old one signed stays
// good, and machines that were away during two rotations follow.
func TestRotate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		other, err := b.another()
		must(t, err)
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 3})
		here, away := b.box(), b.box()
		wish := func(n int) container.Wishes {
			w := ticket(o.Ticket)
			w.Activate = []license.ID{o.Licenses[n].ID}
			return w
		}
		here.program(wish(0))
		away.program(wish(1))
		first := b.signs()
		must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true}))
		second := b.signs()
		if got := b.keysIn(registry.KeyOverlap); second == first || !slices.Equal(got, []string{first}) {
			t.Fatalf("%s signs after %s, beside %v", second, first, got)
		}
		// A server that does not know yet signs nothing with the old key that counts.
		file, err := other.Program(t.Context(), here.report(wish(2)))
		must(t, err)
		if got := signerOf(t, here.opened(file)); got != second {
			t.Errorf("the other server signed with %s", got)
		}
		if _, _, no := here.imports(file); no != nil {
			t.Error(no)
		}
		if here.trust.Number != b.trust.Number+1 {
			t.Errorf("the container goes by trust bundle %d", here.trust.Number)
		}
		b.now = b.now.Add(registry.Overlap)
		if got := b.keysIn(registry.KeyRetired); !slices.Equal(got, []string{first}) {
			t.Errorf("retired: %v", got)
		}
		must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true}))
		list, err := b.Keys(t.Context(), registry.System)
		must(t, err)
		for _, k := range list.Keys {
			if (k.ID == first) != (k.Place == "none") {
				t.Errorf("the private part of %s (%s, %s) is in: %s", k.ID, k.Use, k.State, k.Place)
			}
		}
		// Away during both.
		out := away.program(container.Wishes{Return: []license.ID{o.Licenses[1].ID}})
		if out[0].Code != refusal.Done || away.trust.Number != b.trust.Number+2 {
			t.Errorf("%+v by trust bundle %d", out, away.trust.Number)
		}
		// What the first key signed counts, and an older trust file takes nobody back.
		v, err := seal.NewVerifier(here.trust)
		must(t, err)
		if _, err := v.Step(here.state.Kept[0].Signed); err != nil {
			t.Errorf("the first key's step: %v", err)
		}
		if v.Follow(b.trust) {
			t.Error("it follows an older bundle")
		}
		b.whole()
	})
}

// TestOldProgramsAfterRotation: a licet that knows nothing of trust bundles in updates
// gets certificates, as before.
func TestOldProgramsAfterRotation(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "licet.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	b := newBook(t, db)
	o := b.order("1", wire.OrderItem{Product: "CAD"})
	must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true}))
	for program, knows := range map[string]bool{"licet/0.2.0": false, "licet/0.3.9": false, "licet/0.4.0": true, "licet/1.0": true, "another": true, "": true} {
		x := b.box()
		var r container.Report
		x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(b.now))
		r.Program, r.Wishes = program, ticket(o.Ticket)
		file, err := seal.SealReport(b.trust, x.keys, r)
		must(t, err)
		answer, err := b.Program(t.Context(), file)
		must(t, err)
		u := x.opened(answer)
		if (u.Trust != nil) != knows || len(u.Keys) != 1 {
			t.Errorf("%q: a bundle of %d bytes, %d certificates", program, len(u.Trust), len(u.Keys))
		}
	}
}

// TestRootElsewhere: without the root on the server, a file goes to it and comes back.
func TestRootElsewhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		raw, err := b.ExportRoot(t.Context(), registry.System, true)
		must(t, err)
		root, err := seal.ParseSigningKey(seal.Root, raw)
		must(t, err)
		rotate := registry.KeyChange{Rotate: true}
		wantRefused(t, b.ChangeKeys(t.Context(), registry.System, rotate), refusal.NotFound)
		first := b.signs()
		p, err := b.ProposeKeys(t.Context(), registry.System, rotate)
		must(t, err)
		again, err := b.ProposeKeys(t.Context(), registry.System, rotate)
		must(t, err)
		waits := b.keysIn(registry.KeyWaits)
		if len(waits) != 1 || p.Keys[len(p.Keys)-1].ID != waits[0] || again.Keys[len(again.Keys)-1].ID != waits[0] || b.signs() != first {
			t.Fatalf("waiting: %v; proposed: %+v", waits, p.Keys)
		}
		file, err := p.File()
		must(t, err)
		carried, err := registry.ParseProposal(file)
		must(t, err)
		changes, err := carried.Changes()
		must(t, err)
		if text := strings.Join(changes, "\n"); len(changes) != 2 || !strings.Contains(text, waits[0]+" is new") || !strings.Contains(text, first) {
			t.Errorf("said: %s", text)
		}
		// Signed by somebody else, for somebody else, altered on the way.
		stranger, err := seal.NewSigningKey(seal.Root, rand.Reader)
		must(t, err)
		_, err = carried.Sign(stranger)
		wantRefused(t, err, refusal.InvalidInput)
		altered := carried
		altered.VendorID = seal.VendorOf(stranger.Public())
		_, err = altered.Sign(root)
		wantRefused(t, err, refusal.DamagedFile)
		altered = carried
		altered.Keys = slices.Clone(carried.Keys)
		altered.Keys[0].Public = root.Public()
		_, err = altered.Sign(root)
		wantRefused(t, err, refusal.DamagedFile)

		accept := func(p registry.Proposal, change func(*registry.Proposal), want refusal.Code) {
			t.Helper()
			p.Keys = slices.Clone(p.Keys)
			change(&p)
			file, err := p.Sign(root)
			must(t, err)
			if _, err = b.AcceptTrust(t.Context(), registry.System, file); want == "" {
				must(t, err)
			} else {
				wantRefused(t, err, want)
			}
		}
		as := func(*registry.Proposal) {}
		accept(carried, func(p *registry.Proposal) { // the key that signs is left out
			p.Keys = slices.DeleteFunc(p.Keys, func(k registry.ProposedKey) bool { return k.ID == first })
		}, refusal.InvalidInput)
		accept(carried, func(p *registry.Proposal) { // a key that is nobody's here
			k := p.Keys[len(p.Keys)-1]
			other, err := seal.NewSigningKey(seal.Issuing, rand.Reader)
			must(t, err)
			k.ID, k.Public, k.Number = other.ID().String(), other.Public(), 77
			p.Keys = append(p.Keys, k)
		}, refusal.InvalidInput)
		accept(carried, func(p *registry.Proposal) { // no key that could sign
			for i := range p.Keys {
				p.Keys[i].NotAfter = 1
			}
		}, refusal.InvalidInput)
		if b.signs() != first {
			t.Fatal("what was refused changed something")
		}
		accept(carried, as, "")
		accept(carried, as, refusal.AlreadyApplied)
		accept(carried, func(p *registry.Proposal) { p.Address = "http://elsewhere.example" }, refusal.OutOfDate)
		if b.signs() != waits[0] {
			t.Errorf("%s signs", b.signs())
		}
		b.whole()
	})
}

// TestStopIssuing: nothing is signed into a log any more, nothing is lost by that, and
// all the rest goes on.
func TestStopIssuing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 3})
		wish := func(n int) container.Wishes {
			w := ticket(o.Ticket)
			w.Activate = []license.ID{o.Licenses[n].ID}
			return w
		}
		x, y := b.box(), b.box()
		x.program(wish(0))
		flight := y.report(wish(1)) // its answer is lost
		_, err := b.Program(t.Context(), flight)
		must(t, err)
		other, err := b.another()
		must(t, err)

		wantRefused(t, b.StopIssuing(t.Context(), registry.System, " "), refusal.InvalidInput)
		must(t, b.StopIssuing(t.Context(), registry.System, "suspicion"))
		wantRefused(t, b.StopIssuing(t.Context(), registry.System, "again"), refusal.AlreadyApplied)
		if s := b.Stopped(); s == nil || s.Reason != "suspicion" || s.Actor != registry.System.String() || s.Since != license.At(b.now) {
			t.Fatalf("%+v", s)
		}
		// A server that has not heard of it issues nothing either.
		z := b.box()
		file, err := other.Program(t.Context(), z.report(wish(2)))
		must(t, err)
		if u := z.opened(file); len(u.Steps) != 0 || len(u.Outcomes) != 2 || u.Outcomes[1].Code != refusal.IssuingStopped || !u.Renews {
			t.Fatalf("%+v", u)
		}
		if out := z.program(wish(2)); out[0].Code != refusal.IssuingStopped {
			t.Errorf("%+v", out)
		}
		x.receipt() // is taken
		if l := b.license(o.Licenses[0].ID); l.State != license.Collected {
			t.Errorf("%s", l.State)
		}
		if out := x.program(container.Wishes{Return: []license.ID{o.Licenses[0].ID}}); out[0].Code != refusal.IssuingStopped {
			t.Errorf("%+v", out)
		}
		if _, err := b.Withdraw(t.Context(), b.admin, []license.ID{o.Licenses[0].ID}, "because", false); err != nil {
			t.Error(err) // the order waits
		}
		if out := x.program(container.Wishes{Pending: true}); len(out) != 0 {
			t.Errorf("%+v", out)
		}
		if _, held := x.state.Held[o.Licenses[0].ID]; !held {
			t.Error("a step was issued")
		}
		if _, err := b.Push(t.Context(), b.admin, x.state.Serial); err != nil {
			t.Error(err)
		}
		// What was issued before is sent again.
		file, err = b.Program(t.Context(), flight)
		must(t, err)
		if _, out, no := y.imports(file); no != nil || out[0].Code != refusal.Done {
			t.Errorf("%+v, %v", out, no)
		}
		again, err := b.another()
		must(t, err)
		if again.Stopped() == nil {
			t.Error("a server that is started forgets it")
		}
		must(t, b.ResumeIssuing(t.Context(), registry.System, "false alarm"))
		wantRefused(t, b.ResumeIssuing(t.Context(), registry.System, "again"), refusal.AlreadyApplied)
		if out := z.program(wish(2)); out[0].Code != refusal.Done {
			t.Errorf("%+v", out)
		}
		x.program(container.Wishes{Pending: true})
		if _, held := x.state.Held[o.Licenses[0].ID]; held {
			t.Error("the withdrawal was forgotten")
		}
		if changed, err := other.RefreshKeys(t.Context()); err != nil || !changed || other.Stopped() != nil {
			t.Errorf("the other server: %v, %v", changed, err)
		}
		b.whole()
	})
}

// TestSignaturesAreCounted: the count is never below what was made, and exact once the
// server is closed.
func TestSignaturesAreCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		made := func() int64 {
			list, err := b.Keys(t.Context(), registry.System)
			must(t, err)
			for _, k := range list.Keys {
				if k.Use == string(seal.Issuing) {
					return k.Signatures
				}
			}
			return -1
		}
		if n := made(); n != 0 {
			t.Fatalf("%d at the start", n)
		}
		o := b.order("1", wire.OrderItem{Product: "CAD"})
		b.box().program(ticket(o.Ticket)) // a step and an update
		n := nonce()
		_, err := b.SignTime(t.Context(), n[:])
		must(t, err)
		if n := made(); n < 3 {
			t.Errorf("%d while it runs", n)
		}
		must(t, b.Close(t.Context()))
		must(t, b.Close(t.Context()))
		if n := made(); n != 3 {
			t.Errorf("%d when it is closed", n)
		}
		b.whole()
		// A signature that nobody counted shows.
		must(t, b.db.Write(t.Context(), func(tx *store.Tx) error { return tx.CountSignatures(b.signsIn(tx), -2) }))
		rep, err := verify.Run(t.Context(), b.db, verify.Options{})
		must(t, err)
		if len(rep.Findings) != 1 || rep.Findings[0].Column != "signatures" {
			t.Errorf("%v", rep.Findings)
		}
	})
}

// signsIn is the issuing key, inside a transaction.
func (b *book) signsIn(tx *store.Tx) string {
	rows, err := tx.Keys()
	must(b.t, err)
	for _, k := range rows {
		if k.Use == string(seal.Issuing) {
			return k.ID
		}
	}
	return ""
}

// TestNextRoot: the root is lost; the one that was named before takes its place.
func TestNextRoot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		o := b.order("1", wire.OrderItem{Product: "CAD", Quantity: 2})
		x := b.box()
		w := ticket(o.Ticket)
		w.Activate = []license.ID{o.Licenses[0].ID}
		x.program(w)
		next, err := seal.NewSigningKey(seal.Root, rand.Reader)
		must(t, err)
		must(t, b.ChangeKeys(t.Context(), registry.System, registry.KeyChange{NextRoot: next.Public(), Until: start.Add(1000 * 24 * time.Hour)}))
		_, err = b.ExportRoot(t.Context(), registry.System, true) // and lost
		must(t, err)
		p, err := b.ProposeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true, Endless: true})
		must(t, err)
		file, err := p.Sign(next)
		must(t, err)
		_, err = b.AcceptTrust(t.Context(), registry.System, file)
		must(t, err)
		w.Activate = []license.ID{o.Licenses[1].ID}
		if out := x.program(w); out[0].Code != refusal.Done {
			t.Fatalf("%+v", out)
		}
		if x.trust.Until != 0 || string(x.trust.Root) != string(next.Public()) || string(x.trust.Scope.Vendor) != b.WellKnown().VendorID {
			t.Errorf("the container goes by %+v", x.trust)
		}
		fresh := b.box() // trusts the new file from the start
		fresh.trust, err = seal.ParseTrust([]byte(b.WellKnown().Trust))
		must(t, err)
		fresh.program(container.Wishes{Tickets: []license.Ticket{o.Ticket}})
		// And on from there.
		p, err = b.ProposeKeys(t.Context(), registry.System, registry.KeyChange{Rotate: true})
		must(t, err)
		file, err = p.Sign(next)
		must(t, err)
		_, err = b.AcceptTrust(t.Context(), registry.System, file)
		must(t, err)
		x.program(container.Wishes{Return: []license.ID{o.Licenses[0].ID}})
		if x.trust.Number != 4 {
			t.Errorf("trust bundle %d", x.trust.Number)
		}
		b.whole()
	})
}
