package seal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"licet/blocklist"
	"licet/container"
	"licet/license"
	"licet/refusal"
)

// bundleWith is a trust bundle of the world's vendor, changed.
func (w *world) bundleWith(root *SigningKey, change func(*Trust)) *Trust {
	t := Trust{
		Scope: w.scope, Name: "Example Software", Number: 2, Time: testTime,
		Certificates: [][]byte{
			must(SignCertificate(w.scope, root, Certificate{Use: Sealing, Public: w.sealing.Public(), Number: 2})),
			must(SignCertificate(w.scope, root, Certificate{Use: Issuing, Public: w.issuing.Public(), Number: 1})),
		},
	}
	change(&t)
	return must(ParseTrust(must(SignTrust(root, t))))
}

// revoking is a bundle that revokes the world's issuing key and names another.
func (w *world) revoking() (*Trust, *SigningKey) {
	fresh := must(NewSigningKey(Issuing, seedOf("fresh")))
	return w.bundleWith(w.root, func(t *Trust) {
		t.Certificates[1] = must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: fresh.Public(), Number: 3}))
		t.Revoked = []Revoked{{Key: w.issuing.ID(), Since: testTime}}
	}), fresh
}

func TestFollow(t *testing.T) {
	w := home
	numbered := func(n uint64) *Trust { return w.bundleWith(w.root, func(t *Trust) { t.Number = n }) }
	heir := func(root *SigningKey, before *Trust, number uint64, next *SigningKey) *Trust {
		return w.bundleWith(root, func(t *Trust) {
			t.Number, t.Before = number, before.Signed
			if next != nil {
				t.NextRoot = RootHash(next.Public())
			}
		})
	}
	third := must(NewSigningKey(Root, seedOf("third root")))
	elsewhere := newWorld("example", "test", "machine one")
	stranger := newWorld("stranger", "production", "machine one")
	second := heir(w.next, w.trust, 4, third)
	first := must(openTrust(w.signedBundle(w.bundle().firstFormat())))
	unnamed := w.bundleWith(w.root, func(t *Trust) { t.Number = 3 })
	for _, c := range []struct {
		name     string
		from, to *Trust
		want     bool
	}{
		{"the next", w.trust, numbered(2), true},
		{"one of many that were missed", w.trust, numbered(40), true},
		{"itself", w.trust, w.trust, false},
		{"another of the same number", w.trust, numbered(1), false},
		{"an older one", numbered(3), numbered(2), false},
		{"from format 1 to 2", first, numbered(2), true},
		{"of another environment", w.trust, elsewhere.bundleWith(elsewhere.root, func(t *Trust) { t.Number = 9 }), false},
		{"of another vendor", w.trust, stranger.bundleWith(stranger.root, func(t *Trust) { t.Number = 9 }), false},
		{"by the root that was named", w.trust, second, true},
		{"by the root after that", w.trust, heir(third, second, 5, nil), true},
		{"by the root that an older bundle named, the newest does not", unnamed, second, false},
		{"back to the root before", second, numbered(9), false},
		{"on from the root that was named", second, heir(w.next, w.trust, 6, nil), true},
	} {
		v := must(NewVerifier(c.from))
		if got := v.Follow(c.to); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if want := map[bool]*Trust{true: c.to, false: c.from}[c.want]; v.Trust() != want {
			t.Errorf("%s: it goes by number %d", c.name, v.Trust().Number)
		}
	}
}

// TestFollowInAnyOrder: whatever bundles come in whatever order, what counts is the
// newest that came, and a key that it revokes signs nothing.
func TestFollowInAnyOrder(t *testing.T) {
	w := home
	var all []*Trust
	for n := range 6 {
		all = append(all, w.bundleWith(w.root, func(t *Trust) {
			t.Number = uint64(n + 1)
			if n%2 == 1 {
				t.Certificates = t.Certificates[:1]
				t.Revoked = []Revoked{{Key: w.issuing.ID(), Since: testTime}}
			}
		}))
	}
	step, _ := w.license()
	rapid.Check(t, func(t *rapid.T) {
		v := must(NewVerifier(all[rapid.IntRange(0, 5).Draw(t, "known")]))
		for _, n := range rapid.SliceOf(rapid.IntRange(0, 5)).Draw(t, "come") {
			before := v.Trust()
			followed, err := v.FollowSigned(all[n].Signed)
			if err != nil || followed != (all[n].Number > before.Number) || v.Trust().Number != max(all[n].Number, before.Number) {
				t.Fatalf("from %d by %d to %d: %v", before.Number, all[n].Number, v.Trust().Number, err)
			}
			_, err = v.Step(step)
			if revoked := v.Trust().Number%2 == 0; refusal.Is(err, refusal.KeyRevoked) != revoked || err != nil != revoked {
				t.Fatalf("at %d: %v", v.Trust().Number, err)
			}
		}
	})
}

// TestRevoked: nothing that a revoked key has signed counts, of whatever time and
// kind, and whatever certificates come with it.
func TestRevoked(t *testing.T) {
	w := home
	trust, _ := w.revoking()
	list := must(blocklist.New(3, blockEntries[:3]))
	update := w.update()
	_, lease := w.leaseDocuments(w.session())
	step, body := w.license()
	for name, read := range map[string]func(*Verifier) error{
		"step":    func(v *Verifier) error { return second(v.Step(step)) },
		"license": func(v *Verifier) error { _, _, err := v.License(step, body); return err },
		"time": func(v *Verifier) error {
			return second(v.Time(must(SignTime(w.scope, w.issuing, testNonce, testTime-1e12)), testNonce))
		},
		"block list": func(v *Verifier) error {
			return second(v.OpenBlockNews(must(SignBlockNews(w.scope, w.issuing, list.Whole(testTime), w.issuingCert))))
		},
		"origins": func(v *Verifier) error { return second(v.Origins(w.origins())) },
		"update": func(v *Verifier) error {
			return second(v.OpenUpdate(must(SealUpdate(w.scope, w.issuing, w.keys.Identity(license.Machine), update)), w.keys))
		},
		"lease": func(v *Verifier) error { _, _, err := v.Lease(lease[0]); return err },
		"loan":  func(v *Verifier) error { return second(v.OpenLoanAnswer(w.loanFile(), w.borrower)) },
	} {
		v := must(NewVerifier(w.trust))
		if err := read(v); err != nil && name != "time" {
			t.Errorf("%s, before: %v", name, err)
		}
		if !v.Follow(trust) {
			t.Fatal("the bundle is not taken")
		}
		wantCode(t, read(v), refusal.KeyRevoked)
		wantCode(t, read(must(NewVerifier(trust, w.issuingCert))), refusal.KeyRevoked)
	}
}

// TestNamedKeys: of a key that the bundle names, it alone tells until when.
func TestNamedKeys(t *testing.T) {
	w := home
	v := must(NewVerifier(w.trust))
	signed := func(k *SigningKey, at license.Time) []byte {
		s := w.step(container.Hash{})
		s.Time = at
		return must(SignStep(w.scope, k, &s))
	}
	endless := must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: w.issuing.Public(), Number: 7}))
	other := must(NewSigningKey(Issuing, seedOf("another issuing key")))
	if err := v.Add(endless, must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: other.Public(), Number: 8}))); err != nil {
		t.Fatal(err)
	}
	retiring := w.bundleWith(w.root, func(t *Trust) {
		t.Certificates[1] = must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: w.issuing.Public(), NotAfter: testTime + 10, Number: 9}))
	})
	if !v.Follow(retiring) || v.Add(endless) != nil {
		t.Fatal("the bundle is not taken")
	}
	for _, v := range []*Verifier{v, must(NewVerifier(retiring, endless))} {
		wantCode(t, second(v.Step(signed(w.issuing, testTime+9))), refusal.Done)
		wantCode(t, second(v.Step(signed(w.issuing, testTime+10))), refusal.BadSignature)
	}
	// What the bundle does not name, a certificate of the root does.
	wantCode(t, second(v.Step(signed(other, testTime+11))), refusal.Done)
}

// TestNextRoot: what the root before has certified counts no more, and does no harm.
func TestNextRoot(t *testing.T) {
	w := home
	v := must(NewVerifier(w.trust))
	stolen := must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: w.stolen.Public(), Number: 9}))
	heir := w.bundleWith(w.next, func(t *Trust) {
		t.Before = w.trust.Signed
		t.Revoked = nil
	})
	if !v.Follow(heir) {
		t.Fatal("the bundle is not taken")
	}
	for name, v := range map[string]*Verifier{"followed": v, "begun with": must(NewVerifier(heir, w.issuingCert))} {
		if err := v.Add(stolen, w.issuingCert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := w.step(container.Hash{})
		wantCode(t, second(v.Step(must(SignStep(w.scope, w.stolen, &s)))), refusal.BadSignature)
		wantCode(t, second(v.Step(must(SignStep(w.scope, w.issuing, &s)))), refusal.Done)
		if _, err := v.OpenUpdate(w.updateFile(), w.keys); err != nil { // it brings a certificate of the root before
			t.Errorf("%s: %v", name, err)
		}
	}
	// A report goes to the sealing key that the new root has certified.
	if _, err := SealReport(heir, w.keys, w.report(Request)); err != nil {
		t.Error(err)
	}
	bare := *heir
	bare.Before, bare.proven = nil, proven{}
	wantCode(t, second(NewVerifier(&bare)), refusal.BadSignature)
}

// TestUpdateBringsTrust: the bundle that comes with an update counts for the update
// itself, and is told of if it is newer.
func TestUpdateBringsTrust(t *testing.T) {
	w := home
	trust, fresh := w.revoking()
	sealed := func(by *SigningKey, change func(*container.Update)) []byte {
		u := w.update()
		u.Steps, u.Keys, u.Trust = nil, nil, trust.Signed
		change(&u)
		return must(SealUpdate(w.scope, by, w.keys.Identity(license.Machine), u))
	}
	as := func(*container.Update) {}
	v := must(NewVerifier(w.trust))
	u, err := v.OpenUpdate(sealed(fresh, as), w.keys)
	if err != nil || !bytes.Equal(u.Trust, trust.Signed) || v.Trust().Number != trust.Number {
		t.Fatalf("%v: %d", err, v.Trust().Number)
	}
	if u, err = v.OpenUpdate(sealed(fresh, as), w.keys); err != nil || u.Trust != nil {
		t.Errorf("the same again: %v, %d bytes", err, len(u.Trust))
	}
	// It brings an older bundle, or none: the newer stays.
	for _, older := range [][]byte{w.trust.Signed, nil} {
		u, err = v.OpenUpdate(sealed(fresh, func(u *container.Update) { u.Trust = older }), w.keys)
		if err != nil || u.Trust != nil || v.Trust().Number != trust.Number {
			t.Errorf("an older one: %v", err)
		}
	}
	// By the revoked key.
	v = must(NewVerifier(w.trust))
	wantCode(t, second(v.OpenUpdate(sealed(w.issuing, as), w.keys)), refusal.KeyRevoked)
	if v.Trust().Number != trust.Number {
		t.Error("what the root signed does not count because of what came with it")
	}
	for name, bad := range map[string]struct {
		trust []byte
		want  refusal.Code
	}{
		"a bit is turned":   {turned(trust.Signed, 8*len(trust.Signed)-3), refusal.BadSignature},
		"no bundle":         {[]byte{1}, refusal.DamagedFile},
		"another vendor's":  {newWorld("stranger", "production", "m").bundleWith(must(NewSigningKey(Root, seedOf("stranger root"))), func(t *Trust) { t.Number = 9 }).Signed, refusal.BadSignature},
		"a later format":    {w.signedBundle(func() bundle { b := w.bundle(); b.Version, b.Number = 3, 9; return b }()), refusal.UnsupportedVersion},
		"a suite of later":  {w.signedBundle(func() bundle { b := w.bundle(); b.Lowest, b.Number = 2, 9; return b }()), refusal.UnsupportedVersion},
		"by an issuing key": {must(signVersion(forTrust, w.scope, trustFormat, w.issuing.private, must(parse("", MaxTrust, trust.Signed)).Payload)), refusal.BadSignature},
	} {
		v := must(NewVerifier(w.trust))
		_, err := v.OpenUpdate(sealed(w.issuing, func(u *container.Update) { u.Trust = bad.trust }), w.keys)
		if c := code(t, err); c != bad.want {
			t.Errorf("%s: %v", name, err)
		}
		if v.Trust() != w.trust {
			t.Errorf("%s: it counts", name)
		}
	}
}

// TestStepsBeforeAGoodOne: a step under a revoked key counts where a good one of the
// same container follows on exactly it.
func TestStepsBeforeAGoodOne(t *testing.T) {
	w := home
	trust, fresh := w.revoking()
	log := func(change func(n int, s *container.Step), by ...*SigningKey) (list []container.SignedStep) {
		plan := container.PlanStart(w.serial())
		for n, k := range by {
			s := container.Step{Container: w.serial(), Epoch: 1, Number: uint64(n + 1), Previous: plan, Time: testTime, Ops: []container.Op{}}
			change(n, &s)
			list = append(list, container.SignedStep{Signed: must(SignStep(w.scope, k, &s)), Bodies: [][]byte{}})
			plan = container.NextPlan(plan, s.Unsigned)
		}
		return list
	}
	as := func(int, *container.Step) {}
	old := w.issuing
	for _, c := range []struct {
		name  string
		steps []container.SignedStep
		want  refusal.Code
	}{
		{"a good one alone", log(as, fresh), refusal.Done},
		{"two old ones before it", log(as, old, old, fresh), refusal.Done},
		{"old ones alone", log(as, old, old), refusal.KeyRevoked},
		{"an old one behind it", log(as, old, fresh, old), refusal.KeyRevoked},
		{"one between is left out", slices.Delete(log(as, old, old, fresh), 1, 2), refusal.KeyRevoked},
		{"another in its place", append(log(func(_ int, s *container.Step) { s.Time++ }, old), log(as, old, fresh)[1:]...), refusal.KeyRevoked},
		{"one of another container", log(func(n int, s *container.Step) {
			if n == 0 {
				s.Container = w.borrower.Serial()
			}
		}, old, fresh), refusal.KeyRevoked},
		{"one of another number", log(func(n int, s *container.Step) {
			if n == 0 {
				s.Number = 7
			}
		}, old, fresh), refusal.KeyRevoked},
		{"one by nobody", append([]container.SignedStep{{Signed: turned(log(as, old)[0].Signed, 80)}}, log(as, old, fresh)[1:]...), refusal.BadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := must(NewVerifier(trust))
			steps, err := v.Steps(c.steps)
			wantCode(t, err, c.want)
			if err == nil && len(steps) != len(c.steps) {
				t.Errorf("%d steps", len(steps))
			}
		})
	}
}

func TestSignerOf(t *testing.T) {
	w := home
	step, _ := w.license()
	for name, doc := range map[string][]byte{"step": step, "update": w.updateFile()} {
		if id, ok := SignerOf(doc); !ok || id != w.issuing.ID() {
			t.Errorf("%s: %v", name, id)
		}
	}
	for _, doc := range [][]byte{nil, step[:20], w.trustFile, []byte("-----BEGIN LICET UPDATE-----\n")} {
		if id, ok := SignerOf(doc); ok {
			t.Errorf("%.20q: %v", doc, id)
		}
	}
}

// TestTrustReadsAgain: a bundle that was read gives the same file.
func TestTrustReadsAgain(t *testing.T) {
	w := home
	first := w.bundle().firstFormat()
	for _, file := range [][]byte{w.trustFile, armor(TrustBundle, w.signedBundle(first))} {
		trust := must(ParseTrust(file))
		if !bytes.Equal(ArmorTrust(trust), file) {
			t.Errorf("format %d is another file", trust.Format)
		}
		if got := fmt.Sprint(len(trust.Keys()), trust.Lowest); got != "2 1" {
			t.Errorf("got %s", got)
		}
	}
	if trust := must(ParseTrust(w.trustFile)); !trust.Ended(trust.Until) || trust.Ended(trust.Until-1) || (&Trust{}).Ended(testTime) {
		t.Error("it ends at another time")
	}
}
