package agent

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent/vendortest"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
)

// forger is an owner of a machine who can open his container and write into it
// whatever he likes.
type forger struct {
	*Agent
	t      *testing.T
	vendor *vendortest.Vendor
	serial license.Serial
}

func newForger(t *testing.T, v *vendortest.Vendor, products ...string) forger {
	t.Helper()
	home := filepath.Join(t.TempDir(), "licet")
	a := Open(Config{
		Home:   home,
		Now:    func() time.Time { return forgeTime },
		Traits: func() []machine.Trait { return []machine.Trait{{Name: machine.MachineID, Value: home, Weight: 4}} },
	})
	if _, err := a.TrustAdd(t.Context(), TrustRequest{File: v.Trust}); err != nil {
		t.Fatal(err)
	}
	f := forger{Agent: a, t: t, vendor: v}
	for _, product := range products {
		ticket := v.Sell(container.Body{Product: product, Features: []string{}, Terms: license.Terms{Seats: 1}})
		r, err := a.Activate(t.Context(), ActivateRequest{Tickets: []license.Ticket{ticket}})
		if err != nil {
			t.Fatal(err)
		}
		f.serial = r.Container
	}
	return f
}

var forgeTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func forgeVendor(t *testing.T) *vendortest.Vendor {
	return vendortest.New(t, "Example Software", func() license.Time { return license.At(forgeTime) })
}

// forge writes the container anew after change.
func (f forger) forge(change func(*box)) {
	f.t.Helper()
	b, err := f.open(f.t.Context(), f.serial, f.traits())
	if err != nil {
		f.t.Fatal(err)
	}
	change(b)
	if err := f.save(f.t.Context(), b); err != nil {
		f.t.Fatal(err)
	}
}

// check asks in every way for the code of a product.
func (f forger) check(product string, want refusal.Code) {
	f.t.Helper()
	r, err := f.Check(f.t.Context(), CheckRequest{Product: product})
	if err != nil || r.Code != want {
		f.t.Errorf("check: %s %v %v, want %s", r.Code, r.Reasons, err, want)
	}
	s := f.look(product)
	if s.Verdict.Code != want || (s.Body != nil) != (want == refusal.Valid) {
		f.t.Errorf("look: %s %v, want %s", s.Verdict.Code, s.Verdict.Reasons, want)
	}
}

// look asks as a program does.
func (f forger) look(product string) Seen {
	f.t.Helper()
	trust, err := seal.ParseTrust(f.vendor.Trust)
	if err != nil {
		f.t.Fatal(err)
	}
	verifier, err := seal.NewVerifier(trust)
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.Look(f.t.Context(), LookRequest{Scope: trust.Scope, Product: product, Use: terms.Use{},
		License: func(step, body []byte, _ Known) (container.Body, error) {
			_, got, err := verifier.License(step, body)
			return got, err
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// TestPrivateKeysWait: a check derives no private key, and a container that was
// written without its public keys opens as before.
func TestPrivateKeysWait(t *testing.T) {
	f := newForger(t, forgeVendor(t), "CAD-PRO")
	f.check("CAD-PRO", refusal.Valid)
	f.forge(func(b *box) { b.Keys = make([]byte, 3) }) // a check cannot use such keys
	f.check("CAD-PRO", refusal.Valid)
	if _, err := f.Prove(t.Context(), OpenRequest{Product: "CAD-PRO", Nonce: make([]byte, 16)}); !refusal.Is(err, refusal.ContainerDamaged) {
		t.Errorf("proof: %v", err)
	}

	// Keys of somebody else, in the right form.
	strange := newForger(t, f.vendor, "CAD-PRO")
	foreign, err := seal.NewContainerKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strange.forge(func(b *box) { b.Keys = foreign.Bytes() })
	if _, err := strange.Prove(t.Context(), OpenRequest{Product: "CAD-PRO", Nonce: make([]byte, 16)}); !refusal.Is(err, refusal.ContainerDamaged) {
		t.Errorf("proof with other keys: %v", err)
	}
	if _, err := strange.Receipt(t.Context(), ReceiptRequest{}); !refusal.Is(err, refusal.ContainerDamaged) {
		t.Errorf("receipt with other keys: %v", err)
	}

	old := newForger(t, forgeVendor(t), "CAD-PRO")
	old.forge(func(b *box) { b.SigningKey, b.SealingKey = nil, nil })
	old.check("CAD-PRO", refusal.Valid)
	if _, err := old.Update(t.Context(), UpdateRequest{}); err != nil {
		t.Error(err)
	}
	b, err := old.open(t.Context(), old.serial, old.traits())
	if err != nil || b.SigningKey == nil {
		t.Errorf("the public keys were not written: %v", err)
	}
}

// TestForgedContainer: what the owner of a machine writes into his container
// gives him no license that the vendor did not sign for it.
func TestForgedContainer(t *testing.T) {
	v := forgeVendor(t)
	mine, other := newForger(t, v, "VIEW"), newForger(t, v, "CAD-PRO")
	theirs, err := other.open(t.Context(), other.serial, other.traits())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*box)
		want   refusal.Code
	}{
		"a license of another product": {func(b *box) {
			for id, h := range b.State.Held {
				h.Product = "CAD-PRO"
				b.State.Held[id] = h
			}
		}, refusal.BadSignature},
		"a license of another container": {func(b *box) {
			b.State.Held, b.State.Kept, b.bodies = theirs.State.Held, theirs.State.Kept, theirs.bodies
		}, refusal.BadSignature},
		"another container's public keys": {func(b *box) {
			b.State.Held, b.State.Kept, b.bodies = theirs.State.Held, theirs.State.Kept, theirs.bodies
			b.SigningKey, b.SealingKey = theirs.SigningKey, theirs.SealingKey
		}, refusal.ContainerDamaged},
		"another container's signing key": {func(b *box) {
			b.State.Held, b.State.Kept, b.bodies = theirs.State.Held, theirs.State.Kept, theirs.bodies
			b.SigningKey = theirs.SigningKey
		}, refusal.ContainerDamaged},
		"another container's keys": {func(b *box) {
			b.State, b.bodies, b.Keys = theirs.State, theirs.bodies, theirs.Keys
			b.SigningKey, b.SealingKey = theirs.SigningKey, theirs.SealingKey
		}, refusal.ContainerDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t, v, "VIEW")
			f.forge(c.change)
			f.check("CAD-PRO", c.want)
		})
	}
	mine.check("VIEW", refusal.Valid)
}

// TestLookBelievesTheProgramAlone: neither what the machine trusts nor what it
// does not trust counts.
func TestLookBelievesTheProgramAlone(t *testing.T) {
	v, stranger := forgeVendor(t), forgeVendor(t)
	f := newForger(t, v, "CAD-PRO")
	f.check("CAD-PRO", refusal.Valid)
	f.vendor = stranger
	if s := f.look("CAD-PRO"); s.Verdict.Code != refusal.NoLicense || s.Body != nil {
		t.Errorf("for another vendor's program: %+v", s.Verdict)
	}
	f.vendor = v
	trust, err := seal.ParseTrust(v.Trust)
	if err != nil {
		t.Fatal(err)
	}
	trust.Scope.Environment = "test"
	s, err := f.Look(t.Context(), LookRequest{Scope: trust.Scope, Product: "CAD-PRO",
		License: func(_, _ []byte, _ Known) (container.Body, error) {
			t.Error("a license of another environment was looked at")
			return container.Body{}, nil
		}})
	if err != nil || s.Verdict.Code != refusal.WrongEnvironment || s.Body != nil {
		t.Errorf("for another environment: %+v %v", s.Verdict, err)
	}
}
