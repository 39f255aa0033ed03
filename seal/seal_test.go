package seal

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/veraison/go-cose"
	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

func TestRoundTrips(t *testing.T) {
	w := home
	t.Run("license", func(t *testing.T) {
		signed, body := w.license()
		s, b, err := w.verifier.License(signed, body)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b, w.body()) {
			t.Errorf("body: got %+v", b)
		}
		want := w.step(sha256.Sum256(body))
		want.Unsigned = EncodeStep(&want)
		if !reflect.DeepEqual(s, want) {
			t.Errorf("step: got %+v", s)
		}
	})
	t.Run("update", func(t *testing.T) {
		u, err := w.verifier.OpenUpdate(w.updateFile(), w.keys)
		if err != nil {
			t.Fatal(err)
		}
		if want := w.update(); !reflect.DeepEqual(normal(u), normal(want)) {
			t.Errorf("got  %+v\nwant %+v", u, want)
		}
		for _, s := range u.Steps {
			if _, err := w.verifier.Incoming(s); err != nil {
				t.Error(err)
			}
		}
	})
	for _, kind := range []Kind{Request, Receipt} {
		t.Run(string(kind), func(t *testing.T) {
			file := w.reportFile(kind)
			r, err := OpenReport(w.scope, file, must(NewSealingKey(seedOf("older"))), w.sealing)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != kind || r.Serial != w.serial() || r.Hash != sha256.Sum256(unarmored(file)) {
				t.Errorf("got %v %v", r.Kind, r.Serial)
			}
			if want := w.report(kind); !reflect.DeepEqual(r.Report, want) {
				t.Errorf("got  %+v\nwant %+v", r.Report, want)
			}
		})
	}
	t.Run("trust", func(t *testing.T) {
		if w.trust.Name != "Example Software" || w.trust.Scope != w.scope || !bytes.Equal(w.trust.Root, w.root.Public()) || w.trust.Number != 1 {
			t.Errorf("got %+v", w.trust)
		}
	})
	t.Run("time", func(t *testing.T) {
		doc := must(SignTime(w.scope, w.issuing, testNonce, testTime))
		if got, err := w.verifier.Time(doc, testNonce); err != nil || got != testTime {
			t.Errorf("got %v, %v", got, err)
		}
		_, err := w.verifier.Time(doc, container.Nonce{})
		wantCode(t, err, refusal.BadSignature)
	})
	t.Run("answer", func(t *testing.T) {
		doc := must(SignAnswer(w.scope, w.keys, testNonce, []byte("said")))
		key := w.keys.Identity("").SigningKey
		if got, err := OpenAnswer(w.scope, key, doc, testNonce); err != nil || string(got) != "said" {
			t.Errorf("got %q, %v", got, err)
		}
		_, err := OpenAnswer(w.scope, key, doc, container.Nonce{})
		wantCode(t, err, refusal.BadSignature)
		_, err = OpenAnswer(w.scope, w.issuing.Public(), doc, testNonce)
		wantCode(t, err, refusal.BadSignature)
	})
	t.Run("inspect", func(t *testing.T) {
		for kind, file := range map[Kind][]byte{Update: w.updateFile(), Request: w.reportFile(Request), Receipt: w.reportFile(Receipt)} {
			if i, err := Inspect(file); err != nil || i != (Info{Kind: kind, Scope: w.scope, Container: w.serial()}) {
				t.Errorf("got %+v, %v", i, err)
			}
		}
		if i, err := Inspect(w.loanRequestFile()); err != nil || i != (Info{Kind: LoanRequest, Scope: w.scope, Container: w.borrower.Serial()}) {
			t.Errorf("got %+v, %v", i, err)
		}
		if i, err := Inspect(w.loanFile()); err != nil || i != (Info{Kind: LoanFile, Scope: w.scope, Container: w.borrower.Serial()}) {
			t.Errorf("got %+v, %v", i, err)
		}
		if i, err := Inspect(w.trustFile); err != nil || i != (Info{Kind: TrustBundle, Scope: w.scope, Name: "Example Software"}) {
			t.Errorf("got %+v, %v", i, err)
		}
	})
}

// normal spells an update as the wire does, where no list is null.
func normal(u container.Update) container.Update {
	b := must(encoding.Marshal(u))
	var n container.Update
	if err := decoding.Unmarshal(b, &n); err != nil {
		panic(err)
	}
	return n
}

func TestKeysSurviveTheirBytes(t *testing.T) {
	w := home
	for _, use := range []Use{Root, Issuing} {
		k := must(NewSigningKey(use, seedOf("x")))
		if again := must(ParseSigningKey(use, k.Bytes())); again.ID() != k.ID() || again.Use() != use || !bytes.Equal(again.Public(), k.Public()) {
			t.Error("a signing key came back another")
		}
	}
	if again := must(ParseSealingKey(w.sealing.Bytes())); again.ID() != w.sealing.ID() {
		t.Error("a sealing key came back another")
	}
	if again := must(ParseContainerKeys(w.keys.Bytes())); again.Serial() != w.serial() {
		t.Error("a container's keys came back others")
	}
	for name, err := range map[string]error{
		"short signing key":    second(ParseSigningKey(Root, make([]byte, 31))),
		"signing key to seal":  second(ParseSigningKey(Sealing, make([]byte, 32))),
		"short sealing key":    second(ParseSealingKey(make([]byte, 31))),
		"short container keys": second(ParseContainerKeys(make([]byte, 63))),
		"no randomness":        second(NewContainerKeys(bytes.NewReader(make([]byte, 63)))),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSecretsDoNotPrint(t *testing.T) {
	w := home
	vault := must(NewVault(bytes.Repeat([]byte{0xab}, 32)))
	for _, v := range []any{w.root, *w.root, w.sealing, *w.sealing, w.keys, *w.keys, vault, *vault} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			text := fmt.Sprintf(verb, v)
			for _, secret := range [][]byte{w.root.Bytes(), w.sealing.Bytes(), w.keys.Bytes()[:32], w.keys.Bytes()[32:], vault.roots[0]} {
				for _, form := range []string{hex.EncodeToString(secret[:6]), strings.Trim(fmt.Sprint(secret[:6]), "[]"), string(secret[:6])} {
					if strings.Contains(text, form) {
						t.Errorf("%T prints its secret with %s", v, verb)
					}
				}
			}
		}
	}
}

func TestOneKeyOneUse(t *testing.T) {
	w := home
	step := w.step(container.Hash{})
	for name, err := range map[string]error{
		"root signs a step":               second(SignStep(w.scope, w.root, &step)),
		"root signs a time":               second(SignTime(w.scope, w.root, testNonce, testTime)),
		"root signs an update":            second(SealUpdate(w.scope, w.root, w.keys.Identity(license.Machine), w.update())),
		"issuing signs a certificate":     second(SignCertificate(w.scope, w.issuing, Certificate{Use: Issuing, Public: w.issuing.Public()})),
		"issuing signs a trust bundle":    second(SignTrust(w.issuing, *w.trust)),
		"trust bundle of a stranger":      second(SignTrust(w.next, Trust{Scope: w.scope, Before: unarmored(w.trustFile), Number: 1, Certificates: [][]byte{w.sealingCert}})),
		"certificate of a second root":    second(SignCertificate(w.scope, w.root, Certificate{Use: Root, Public: w.issuing.Public()})),
		"certificate of a weak key":       second(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: make([]byte, 32)})),
		"certificate of no sealing key":   second(SignCertificate(w.scope, w.root, Certificate{Use: Sealing, Public: make([]byte, 32)})),
		"update sealed to another":        second(SealUpdate(w.scope, w.issuing, must(NewContainerKeys(seedOf("b"))).Identity(license.Machine), w.update())),
		"report of no kind of container":  second(SealReport(w.trust, w.keys, container.Report{})),
		"trust bundle without sealing":    second(SignTrust(w.root, Trust{Scope: w.scope, Certificates: [][]byte{w.issuingCert}})),
		"trust bundle with two sealing":   second(SignTrust(w.root, Trust{Scope: w.scope, Certificates: [][]byte{w.sealingCert, w.sealingCert}})),
		"too many certificates to update": second(SealUpdate(w.scope, w.issuing, w.keys.Identity(license.Machine), container.Update{Container: w.serial(), Keys: make([][]byte, 17)})),
	} {
		if err == nil {
			t.Errorf("%s: done", name)
		} else if _, ok := refusal.As(err); ok {
			t.Errorf("%s: a fault of the program became a refusal: %v", name, err)
		}
	}
}

// TestPurposes feeds every kind of signed document to every verifier: only its
// own takes it.
func TestPurposes(t *testing.T) {
	for _, d := range home.documents() {
		for name, verify := range home.verifiers() {
			err := verify(d.bytes)
			if slices.Contains(accepts[d.name], name) {
				if err != nil {
					t.Errorf("the verifier of a %s refuses a %s: %v", name, d.name, err)
				}
				continue
			}
			if c := code(t, err); c == refusal.Done {
				t.Errorf("the verifier of a %s takes a %s", name, d.name)
			}
		}
	}
}

// TestPurposeIsSigned signs the payload of every document for every purpose with
// the key that its verifier expects: only the right purpose passes.
func TestPurposeIsSigned(t *testing.T) {
	signer := map[string]crypto.Signer{
		"certificate": home.root.private, "trust": home.root.private,
		"step": home.issuing.private, "time": home.issuing.private, "update": home.issuing.private,
		"blocklist": home.issuing.private, "origins": home.issuing.private,
		"request": home.keys.signing, "receipt": home.keys.signing, "answer": home.keys.signing,
		"lease": home.keys.signing, "loan": home.keys.signing, "loan-request": home.borrower.signing,
	}
	verifiers := home.verifiers()
	for _, d := range home.documents() {
		m := must(parse("document", maxFile, d.bytes))
		for _, p := range []purpose{forKey, forTrust, forStep, forTime, forUpdate, forRequest, forReceipt, forAnswer, forBlockList, forOrigins, forLease, forLoanRequest, forLoan} {
			right := string(p) == d.name || p == forKey && d.name == "certificate"
			version := uint64(Version)
			if d.name == "trust" {
				version = trustFormat
			}
			err := verifiers[d.name](must(signVersion(p, home.scope, version, signer[d.name], m.Payload)))
			if right != (err == nil) {
				t.Errorf("%s signed for %q: %v", d.name, p, err)
			}
			if !right {
				wantCode(t, err, refusal.BadSignature)
			}
		}
	}
}

// TestEveryBit turns every bit of every document: all are refused.
func TestEveryBit(t *testing.T) {
	verifiers := home.verifiers()
	for _, d := range home.documents() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			verify := verifiers[accepts[d.name][0]]
			doc := bytes.Clone(d.bytes)
			for bit := range len(doc) * 8 {
				doc[bit/8] ^= 1 << (bit % 8)
				if c := code(t, verify(doc)); c == refusal.Done {
					t.Fatalf("bit %d does not matter", bit)
				}
				doc[bit/8] ^= 1 << (bit % 8)
			}
		})
	}
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		signed, body := home.license()
		for bit := range len(body) * 8 {
			body[bit/8] ^= 1 << (bit % 8)
			if _, _, err := home.verifier.License(signed, body); !refusal.Is(err, refusal.BadSignature) {
				t.Fatalf("bit %d: %v", bit, err)
			}
			body[bit/8] ^= 1 << (bit % 8)
		}
	})
}

// fileOpeners open the armored files.
func (w *world) fileOpeners() map[Kind]func([]byte) error {
	return map[Kind]func([]byte) error{
		Update:      func(b []byte) error { _, err := w.verifier.OpenUpdate(b, w.keys); return err },
		Request:     func(b []byte) error { _, err := OpenReport(w.scope, b, w.sealing); return err },
		Receipt:     func(b []byte) error { _, err := OpenReport(w.scope, b, w.sealing); return err },
		TrustBundle: func(b []byte) error { _, err := ParseTrust(b); return err },
		BlockListFile: func(b []byte) error {
			signed, err := DearmorBlockNews(b)
			if err == nil {
				_, err = w.verifier.OpenBlockNews(signed)
			}
			return err
		},
		LoanRequest: func(b []byte) error { _, err := OpenLoanRequest(w.scope, b); return err },
		LoanFile:    func(b []byte) error { _, err := w.verifier.OpenLoanAnswer(b, w.borrower); return err },
	}
}

func (w *world) files() map[Kind][]byte {
	return map[Kind][]byte{
		Update: w.updateFile(), Request: w.reportFile(Request), Receipt: w.reportFile(Receipt), TrustBundle: w.trustFile,
		BlockListFile: w.blockListFile(), LoanRequest: w.loanRequestFile(), LoanFile: w.loanFile(),
	}
}

func TestEveryBitOfFiles(t *testing.T) {
	for kind, file := range home.files() {
		open := home.fileOpeners()[kind]
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			file := bytes.Clone(file)
			for bit := range len(file) * 8 {
				file[bit/8] ^= 1 << (bit % 8)
				if c := code(t, open(file)); c == refusal.Done {
					t.Fatalf("bit %d does not matter", bit)
				}
				file[bit/8] ^= 1 << (bit % 8)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	for _, d := range home.documents() {
		verify := home.verifiers()[accepts[d.name][0]]
		for n := range d.bytes {
			wantCode(t, verify(d.bytes[:n]), refusal.DamagedFile)
		}
		wantCode(t, verify(append(bytes.Clone(d.bytes), 0)), refusal.DamagedFile)
	}
	for kind, file := range home.files() {
		open := home.fileOpeners()[kind]
		for n := range file {
			wantCode(t, open(file[:n]), refusal.DamagedFile, refusal.WrongFile)
		}
	}
}

func TestTooLarge(t *testing.T) {
	w := home
	big := bytes.Repeat([]byte{0xd2}, maxFile+1)
	for name, verify := range w.verifiers() {
		t.Run(name, func(t *testing.T) { wantCode(t, verify(big), refusal.TooLarge) })
	}
	for kind, open := range w.fileOpeners() {
		t.Run("file "+string(kind), func(t *testing.T) {
			wantCode(t, open(big), refusal.TooLarge)
			f := lookupKind(kind)
			wantCode(t, open(armor(kind, make([]byte, f.limit))), refusal.TooLarge)
			if kind != Update {
				wantCode(t, open(armor(kind, make([]byte, f.limit*3/4))), refusal.TooLarge)
			}
		})
	}
	signed, _ := w.license()
	_, _, err := w.verifier.License(signed, big)
	wantCode(t, err, refusal.TooLarge)
	_, err = DecodeBody(big)
	wantCode(t, err, refusal.TooLarge)
	_, err = DecodeStep(big)
	wantCode(t, err, refusal.TooLarge)
	u := w.update()
	u.Reissued = [][]byte{make([]byte, MaxUpdate)}
	if _, err := SealUpdate(w.scope, w.issuing, w.keys.Identity(license.Machine), u); err == nil {
		t.Error("an update was made that nobody would read")
	}
	b := w.body()
	b.Terms.VendorData = strings.Repeat("x", MaxBody)
	if _, _, err := EncodeBody(b); err == nil {
		t.Error("a license was made that nobody would read")
	}
	b.Terms.VendorData = "\xff"
	if _, _, err := EncodeBody(b); err == nil {
		t.Error("a license was made of no text")
	}
}

func TestOtherVendorAndEnvironment(t *testing.T) {
	vendor := newWorld("another", "production", "machine one")
	test := newWorld("example", "test", "machine one")
	for name, other := range map[string]*world{"vendor": vendor, "environment": test} {
		code := refusal.VendorUntrusted
		if other == test {
			code = refusal.WrongEnvironment
		}
		for _, d := range other.documents() {
			t.Run(name+" "+d.name, func(t *testing.T) {
				if d.name == "trust" {
					return // it brings its own root, and says which
				}
				err := home.verifiers()[accepts[d.name][0]](d.bytes)
				switch d.name {
				case "update", "request", "receipt", "blocklist", "origins", "loan-request", "loan":
					wantCode(t, err, code)
				default:
					wantCode(t, err, refusal.BadSignature)
				}
			})
		}
	}
	// The same keys in another environment: the signature itself says no.
	elsewhere := Scope{home.scope.Vendor, "test"}
	step := home.step(container.Hash{})
	_, err := home.verifier.Step(must(SignStep(elsewhere, home.issuing, &step)))
	wantCode(t, err, refusal.BadSignature)
	_, err = NewVerifier(&Trust{Scope: Scope{vendor.scope.Vendor, Production}, Root: home.root.Public()})
	wantCode(t, err, refusal.BadSignature)
	_, err = NewVerifier(&Trust{Scope: home.scope, Root: home.root.Public(), Certificates: [][]byte{vendor.issuingCert}})
	wantCode(t, err, refusal.BadSignature)
	_, err = NewVerifier(&Trust{Scope: Scope{home.scope.Vendor, "Not A Name"}, Root: home.root.Public()})
	wantCode(t, err, refusal.InvalidInput)
	_, err = NewVerifier(&Trust{Scope: Scope{"vendor", Production}, Root: home.root.Public()})
	wantCode(t, err, refusal.InvalidInput)
}

// TestSubstitutedHeader gives an envelope another clear header and signs it anew
// with the right key: what was sealed does not open under it.
func TestSubstitutedHeader(t *testing.T) {
	other := newWorld("example", "production", "machine two")
	t.Run("report under another identity", func(t *testing.T) {
		o := must(openEnvelope(Request, unarmored(home.reportFile(Request))))
		id := other.keys.Identity(license.Machine)
		o.header.Identity, o.header.Container = &id, SerialOf(id)
		o.envelope.Header = mustEncode(o.header)
		raw := must(sign(forRequest, home.scope, other.keys.signing, mustEncode(o.envelope)))
		_, err := openReport(home.scope, Request, raw, []*SealingKey{home.sealing})
		wantCode(t, err, refusal.BadSignature)
	})
	t.Run("receipt as request", func(t *testing.T) {
		o := must(openEnvelope(Receipt, unarmored(home.reportFile(Receipt))))
		o.header.Kind = Request
		o.envelope.Header = mustEncode(o.header)
		raw := must(sign(forRequest, home.scope, home.keys.signing, mustEncode(o.envelope)))
		_, err := openReport(home.scope, Request, raw, []*SealingKey{home.sealing})
		wantCode(t, err, refusal.BadSignature)
	})
	t.Run("update of another container", func(t *testing.T) {
		o := must(openEnvelope(Update, unarmored(home.updateFile())))
		o.header.Container, o.header.Recipient = other.serial(), other.keys.sealing.id[:]
		o.envelope.Header = mustEncode(o.header)
		raw := must(sign(forUpdate, home.scope, home.issuing.private, mustEncode(o.envelope)))
		_, err := home.verifier.openUpdate(raw, other.keys)
		wantCode(t, err, refusal.BadSignature)
	})
	t.Run("serial of another", func(t *testing.T) {
		o := must(openEnvelope(Request, unarmored(home.reportFile(Request))))
		o.header.Container = other.serial()
		o.envelope.Header = mustEncode(o.header)
		raw := must(sign(forRequest, home.scope, home.keys.signing, mustEncode(o.envelope)))
		_, err := openReport(home.scope, Request, raw, []*SealingKey{home.sealing})
		wantCode(t, err, refusal.BadSignature)
	})
}

// TestSealedInside makes envelopes whose signed and sealed content contradicts
// their header.
func TestSealedInside(t *testing.T) {
	w := home
	id := w.keys.Identity(license.Machine)
	update := func(u container.Update, h header) error {
		h.Kind, h.Vendor, h.Environment, h.Container = Update, w.scope.Vendor, w.scope.Environment, w.serial()
		payload := must(h.seal(id.SealingKey, must(encoding.Marshal(u))))
		_, err := w.verifier.openUpdate(must(sign(forUpdate, w.scope, w.issuing.private, payload)), w.keys)
		return err
	}
	good := w.update()
	good.Keys = nil
	if err := update(good, header{}); err != nil {
		t.Fatal(err)
	}
	u := good
	u.Container = "SOMEBODYELSE"
	wantCode(t, update(u, header{}), refusal.DamagedFile)
	u = good
	u.Keys = [][]byte{w.issuingCert}
	wantCode(t, update(u, header{}), refusal.DamagedFile)
	u = good
	u.Time = testTime + 1e15
	wantCode(t, update(u, header{}), refusal.BadSignature)
	wantCode(t, update(good, header{Certificates: [][]byte{newWorld("another", "production", "x").issuingCert}}), refusal.BadSignature)
	wantCode(t, update(good, header{Identity: &id}), refusal.DamagedFile)
	many := make([][]byte, 17)
	for i := range many {
		many[i] = w.issuingCert
	}
	wantCode(t, update(good, header{Certificates: many}), refusal.DamagedFile)

	// Sealed to the container, but the header names another key.
	o := must(openEnvelope(Update, unarmored(w.updateFile())))
	o.header.Recipient = bytes.Repeat([]byte{1}, 16)
	head := mustEncode(o.header)
	enc, box := sealUnder(forUpdate, w.scope, id.SealingKey, head, mustEncode(good))
	_, err := w.verifier.openUpdate(must(sign(forUpdate, w.scope, w.issuing.private, mustEncode(envelope{Header: head, Enc: enc, Sealed: box}))), w.keys)
	wantCode(t, err, refusal.DamagedFile)

	report := func(r container.Report, kind Kind, h header) error {
		h.Kind, h.Vendor, h.Environment, h.Container = kind, w.scope.Vendor, w.scope.Environment, w.serial()
		h.Identity = &id
		payload := must(h.seal(w.sealing.Public(), must(encoding.Marshal(r))))
		_, err := openReport(w.scope, kind, must(sign(purpose(kind), w.scope, w.keys.signing, payload)), []*SealingKey{w.sealing})
		return err
	}
	r := w.report(Request)
	if err := report(r, Request, header{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, report(r, Receipt, header{}), refusal.DamagedFile)
	wantCode(t, report(r, Request, header{Certificates: [][]byte{w.issuingCert}}), refusal.DamagedFile)
	r.Identity.Kind = license.Token
	wantCode(t, report(r, Request, header{}), refusal.DamagedFile)
	// Another sealing key of the vendor's.
	_, err = OpenReport(w.scope, w.reportFile(Receipt), must(NewSealingKey(seedOf("newer"))))
	wantCode(t, err, refusal.VendorUntrusted)
}

func TestWrongContainer(t *testing.T) {
	other := newWorld("example", "production", "machine two")
	_, err := home.verifier.OpenUpdate(home.updateFile(), other.keys)
	wantCode(t, err, refusal.WrongContainer)
	r, _ := refusal.As(err)
	if r.Details["made_for"] != string(home.serial()) || r.Details["this_is"] != string(other.serial()) {
		t.Errorf("got %v", r.Details)
	}
	for _, s := range []license.Serial{home.serial(), other.serial()} {
		if !strings.Contains(r.Message, string(s)) {
			t.Errorf("%q does not name %s", r.Message, s)
		}
	}
}

func TestLicenseAndBodyBelongTogether(t *testing.T) {
	w := home
	for name, change := range map[string]func(*container.Body, *container.Op){
		"license":    func(b *container.Body, _ *container.Op) { b.License = "lic_other" },
		"generation": func(b *container.Body, _ *container.Op) { b.Generation = 2 },
		"product":    func(b *container.Body, _ *container.Op) { b.Product = "other" },
		"container":  func(b *container.Body, _ *container.Op) { b.Container = "OTHER" },
		"hash":       func(_ *container.Body, op *container.Op) { op.Body[0]++ },
	} {
		t.Run(name, func(t *testing.T) {
			b := w.body()
			op := container.Op{Kind: container.Put, Phase: container.Activate, License: b.License, Generation: b.Generation, Product: b.Product}
			change(&b, &op)
			body, hash, err := EncodeBody(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range hash {
				op.Body[i] += hash[i]
			}
			s := w.step(hash)
			s.Ops = []container.Op{op}
			signed := must(SignStep(w.scope, w.issuing, &s))
			_, _, err = w.verifier.License(signed, body)
			wantCode(t, err, refusal.BadSignature)
			_, err = w.verifier.Incoming(container.SignedStep{Signed: signed, Bodies: [][]byte{body}})
			wantCode(t, err, refusal.BadSignature)
		})
	}
	signed, body := w.license()
	_, err := w.verifier.Incoming(container.SignedStep{Signed: signed})
	wantCode(t, err, refusal.BadSignature)
	_, err = w.verifier.Incoming(container.SignedStep{Signed: signed, Bodies: [][]byte{body, body}})
	wantCode(t, err, refusal.DamagedFile)
}

// TestResultsAreTheirOwn overwrites the input: what was read from it stays.
func TestResultsAreTheirOwn(t *testing.T) {
	w := home
	signed, body := w.license()
	s, b, err := w.verifier.License(signed, body)
	if err != nil {
		t.Fatal(err)
	}
	answer := must(SignAnswer(w.scope, w.keys, testNonce, []byte("said")))
	said := must(OpenAnswer(w.scope, w.keys.Identity("").SigningKey, answer, testNonce))
	trust := bytes.Clone(w.trustFile)
	parsed := must(ParseTrust(trust))
	for _, input := range [][]byte{signed, body, answer, trust} {
		clear(input)
	}
	want := w.step(s.Ops[1].Body)
	if !bytes.Equal(s.Unsigned, EncodeStep(&want)) || !reflect.DeepEqual(b, w.body()) || string(said) != "said" || !reflect.DeepEqual(parsed, w.trust) {
		t.Error("a result changes with its input")
	}
}

func TestStepMeaning(t *testing.T) {
	w := home
	for _, op := range []container.Op{
		{}, {Kind: 3, Phase: 1}, {Kind: container.Put}, {Kind: container.Put, Phase: 6},
		{Kind: container.Drop, Phase: container.Return, Body: container.Hash{1}},
	} {
		s := w.step(container.Hash{})
		s.Ops = []container.Op{op}
		if _, err := SignStep(w.scope, w.issuing, &s); err == nil {
			t.Errorf("%+v was signed", op)
		}
		_, err := w.verifier.Step(must(sign(forStep, w.scope, w.issuing.private, EncodeStep(&s))))
		wantCode(t, err, refusal.DamagedFile)
	}
}

func TestCertificates(t *testing.T) {
	w := home
	key := must(NewSigningKey(Issuing, seedOf("second issuing key")))
	certify := func(from, to license.Time) []byte {
		return must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: key.Public(), NotBefore: from, NotAfter: to, Number: 3}))
	}
	signed := func(at license.Time) []byte {
		s := w.step(container.Hash{})
		s.Time = at
		return must(SignStep(w.scope, key, &s))
	}
	v := must(NewVerifier(w.trust))
	_, err := v.Step(signed(100))
	wantCode(t, err, refusal.BadSignature)
	if err := v.Add(certify(100, 200), certify(100, 200), certify(300, 0)); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[license.Time]refusal.Code{
		99: refusal.BadSignature, 100: refusal.Done, 199: refusal.Done, 200: refusal.BadSignature,
		299: refusal.BadSignature, 300: refusal.Done, 1 << 60: refusal.Done,
	} {
		_, err := v.Step(signed(at))
		wantCode(t, err, want)
		_, err = v.Time(must(SignTime(w.scope, key, testNonce, at)), testNonce)
		wantCode(t, err, want)
	}

	// A new key travels with the first update it signs.
	u := w.update()
	u.Keys = [][]byte{certify(0, 0)}
	file := must(SealUpdate(w.scope, key, w.keys.Identity(license.Machine), u))
	v = must(NewVerifier(w.trust))
	if _, err := v.OpenUpdate(file, w.keys); err != nil {
		t.Error(err)
	}
	if _, err := v.Step(signed(5)); err != nil {
		t.Errorf("the key that an update brought is not known: %v", err)
	}
	u.Keys = nil
	_, err = must(NewVerifier(w.trust)).OpenUpdate(must(SealUpdate(w.scope, key, w.keys.Identity(license.Machine), u)), w.keys)
	wantCode(t, err, refusal.BadSignature)
	u.Keys = [][]byte{must(sign(forKey, w.scope, key.private, must(parse("certificate", MaxCertificate, certify(0, 0))).Payload))}
	_, err = must(NewVerifier(w.trust)).OpenUpdate(must(SealUpdate(w.scope, key, w.keys.Identity(license.Machine), u)), w.keys)
	wantCode(t, err, refusal.BadSignature)

	// A key that is certified for sealing signs nothing.
	c := must(SignCertificate(w.scope, w.root, Certificate{Use: Sealing, Public: key.Public()}))
	_, err = must(NewVerifier(w.trust, c)).Step(signed(5))
	wantCode(t, err, refusal.BadSignature)
	if got := must(w.verifier.Certificate(w.issuingCert)); got.KeyID() != w.issuing.ID() || got.Number != 1 {
		t.Errorf("got %+v", got)
	}
	next := must(encoding.Marshal(Certificate{Suite: 2, Use: Issuing, Public: key.Public()}))
	_, err = w.verifier.Certificate(must(sign(forKey, w.scope, w.root.private, next)))
	wantCode(t, err, refusal.UnsupportedVersion)
}

func TestVerifierIsSharedSafely(t *testing.T) {
	w := home
	v := must(NewVerifier(w.trust))
	signed, body := w.license()
	file := w.updateFile()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			k := must(NewSigningKey(Issuing, seedOf(fmt.Sprint("issuing ", g))))
			for i := range 10 {
				c := must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: k.Public(), Number: uint64(i)}))
				if err := v.Add(c); err != nil {
					t.Error(err)
				}
				if _, _, err := v.License(signed, body); err != nil {
					t.Error(err)
				}
				if _, err := v.OpenUpdate(file, w.keys); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestWeakKeys proves of every key on the list that a signature by nobody
// passes for it, and that the list is used.
func TestWeakKeys(t *testing.T) {
	nobody := make([]byte, 64)
	nobody[0] = 1 // R is the neutral point, S is 0
	for _, text := range weakKeys {
		for _, sign := range []byte{0, 0x80} {
			key := must(hex.DecodeString(text))
			key[31] |= sign
			passed := false
			for i := range 200 {
				passed = passed || ed25519.Verify(key, []byte{byte(i)}, nobody)
			}
			y := text[:2] // the neutral point and the point of order 2 have no second sign
			if !passed && !(sign != 0 && (y == "01" || y == "ec")) {
				t.Errorf("%x is not weak", key)
			}
			if goodSigningKey(key) {
				t.Errorf("%x is taken", key)
			}
		}
	}
	for low := range 19 {
		key := bytes.Repeat([]byte{0xff}, 32)
		key[0], key[31] = byte(0xed+low), 0x7f
		if goodSigningKey(key) {
			t.Errorf("%x has a second spelling", key)
		}
	}
	if goodSigningKey(nil) || goodSealingKey(nil) || goodSealingKey(make([]byte, 32)) {
		t.Error("no key is taken for one")
	}
	if !goodSigningKey(home.root.Public()) || !goodSealingKey(home.sealing.Public()) {
		t.Error("a good key is not taken")
	}
	// A container with such keys is refused.
	id := home.keys.Identity(license.Machine)
	id.SealingKey = make([]byte, 32)
	r := home.report(Receipt)
	r.Identity = id
	h := header{Kind: Receipt, Vendor: home.scope.Vendor, Environment: Production, Container: SerialOf(id), Identity: &id}
	raw := must(sign(forReceipt, home.scope, home.keys.signing, must(h.seal(home.sealing.Public(), must(encoding.Marshal(r))))))
	_, err := openReport(home.scope, Receipt, raw, []*SealingKey{home.sealing})
	wantCode(t, err, refusal.DamagedFile)
	id = home.keys.Identity(license.Machine)
	id.SigningKey = must(hex.DecodeString(weakKeys[1]))
	h.Identity, h.Container = &id, SerialOf(id)
	raw = must(sign(forReceipt, home.scope, home.keys.signing, must(h.seal(home.sealing.Public(), must(encoding.Marshal(r))))))
	_, err = openReport(home.scope, Receipt, raw, []*SealingKey{home.sealing})
	wantCode(t, err, refusal.BadSignature)
}

// TestNames holds the hashes of docs/format.md to their construction.
func TestNames(t *testing.T) {
	root := home.root.Public()
	h := sha256.Sum256(slices.Concat([]byte("\x84\x65licet\x66vendor\x01\x58\x20"), root))
	if want := VendorID("v" + strings.ToLower(base32Text(h[:16]))); VendorOf(root) != want || len(want) != 27 {
		t.Errorf("got %s, want %s", VendorOf(root), want)
	}
	id := home.keys.Identity(license.Machine)
	h = sha256.Sum256(slices.Concat([]byte("\x85\x65licet\x69container\x01\x58\x20"), id.SigningKey, []byte("\x58\x20"), id.SealingKey))
	if want := license.Serial(base32Text(h[:16])); SerialOf(id) != want || len(want) != 26 {
		t.Errorf("got %s, want %s", SerialOf(id), want)
	}
	if got := external(forStep, Scope{"vab", "test"}, suite1); string(got) != "\x86\x65licet\x64step\x63vab\x64test\x01\x01" {
		t.Errorf("got %x", got)
	}
}

func base32Text(b []byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var text []byte
	for bit := 0; bit < len(b)*8; bit += 5 {
		n := 0
		for i := bit; i < bit+5; i++ {
			n <<= 1
			if i < len(b)*8 {
				n |= int(b[i/8]>>(7-i%8)) & 1
			}
		}
		text = append(text, alphabet[n])
	}
	return string(text)
}

// TestPlainCOSE checks a step as any other COSE library would, without a line of
// ours.
func TestPlainCOSE(t *testing.T) {
	signed, _ := home.license()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(signed); err != nil {
		t.Fatal(err)
	}
	aad := slices.Concat([]byte("\x86\x65licet\x64step\x78\x1b"), []byte(home.scope.Vendor), []byte("\x6aproduction\x01\x01"))
	v := must(cose.NewVerifier(cose.AlgorithmEdDSA, ed25519.PublicKey(home.issuing.Public())))
	if err := m.Verify(aad, v); err != nil {
		t.Error(err)
	}
	protected := append([]byte("\x55\xa2\x01\x27\x04\x50"), signed[8:24]...)
	tbs := slices.Concat([]byte("\x84\x6aSignature1"), protected, appendBytes(nil, aad), appendBytes(nil, m.Payload))
	if !ed25519.Verify(home.issuing.Public(), tbs, m.Signature) {
		t.Error("the bytes under the signature are others than docs/format.md says")
	}
}

// TestFrame spells the frame of a document otherwise, where the signature does
// not look: around the payload and around itself.
func TestFrame(t *testing.T) {
	verifiers := home.verifiers()
	for _, d := range home.documents() {
		m := must(parse("document", maxFile, d.bytes))
		start := head(m.key)
		spell := func(start, payload, signature []byte) []byte { return slices.Concat(start, payload, signature) }
		str := func(b []byte, width int) []byte {
			return append(writeHead(nil, 2, uint64(len(b)), width), b...)
		}
		endless := func(b []byte) []byte { return slices.Concat([]byte{0x5f}, appendBytes(nil, b), []byte{0xff}) }
		payload, signature := appendBytes(nil, m.Payload), appendBytes(nil, m.Signature)
		if !bytes.Equal(spell(start, payload, signature), d.bytes) {
			t.Fatalf("%s: the test does not know the frame", d.name)
		}
		for name, doc := range map[string][]byte{
			"long payload head":      spell(start, str(m.Payload, 4), signature),
			"longest payload head":   spell(start, str(m.Payload, 8), signature),
			"long signature head":    spell(start, payload, str(m.Signature, 2)),
			"endless payload":        spell(start, endless(m.Payload), signature),
			"endless signature":      spell(start, payload, endless(m.Signature)),
			"payload as text":        spell(start, append([]byte{payload[0] ^ 0x20}, payload[1:]...), signature),
			"no payload":             spell(start, []byte{0xf6}, signature),
			"no signature":           spell(start, payload, []byte{0x40}),
			"long array":             spell(append([]byte{0xd2, 0x98, 0x04}, start[2:]...), payload, signature),
			"endless array":          append(spell(append([]byte{0xd2, 0x9f}, start[2:]...), payload, signature), 0xff),
			"long tag":               append([]byte{0xd8, 18}, d.bytes[1:]...),
			"tag twice":              append([]byte{0xd2}, d.bytes...),
			"long protected head":    spell(slices.Concat(start[:2], []byte{0x58, 0x15}, start[3:]), payload, signature),
			"long empty map":         spell(append(bytes.Clone(start[:len(start)-1]), 0xb8, 0), payload, signature),
			"endless empty map":      spell(append(bytes.Clone(start[:len(start)-1]), 0xbf, 0xff), payload, signature),
			"unprotected header":     spell(append(bytes.Clone(start[:len(start)-1]), 0xa1, 0x18, 0x63, 0x00), payload, signature),
			"array of five":          append(append([]byte{0xd2, 0x85}, d.bytes[2:]...), 0x40),
			"a longer signature":     spell(start, payload, appendBytes(nil, append(bytes.Clone(m.Signature), 0))),
			"a shorter signature":    spell(start, payload, appendBytes(nil, m.Signature[:63])),
			"the signature repeated": append(bytes.Clone(d.bytes), signature...),
		} {
			err := verifiers[accepts[d.name][0]](doc)
			if c := code(t, err); c != refusal.DamagedFile {
				t.Errorf("%s, %s: %s", d.name, name, c)
			}
		}
	}
}

// TestKeyIDIsTheKeys signs with the right key under another key's id.
func TestKeyIDIsTheKeys(t *testing.T) {
	w := home
	signer := map[string]crypto.Signer{"certificate": w.root.private, "trust": w.root.private, "answer": w.keys.signing, "request": w.keys.signing, "receipt": w.keys.signing, "lease": w.keys.signing, "loan": w.keys.signing, "loan-request": w.borrower.signing}
	for _, d := range w.documents() {
		private, ok := signer[d.name]
		if !ok {
			continue // found by its id
		}
		p, version := purpose(d.name), uint64(Version)
		switch d.name {
		case "certificate":
			p = forKey
		case "trust":
			version = trustFormat
		}
		m := must(parse("document", maxFile, d.bytes))
		id := m.key
		id[0]++
		s := must(cose.NewSigner(cose.AlgorithmEdDSA, private))
		doc := must(cose.Sign1(nil, s, cose.Headers{Protected: cose.ProtectedHeader{
			cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA, cose.HeaderLabelKeyID: id[:],
		}}, m.Payload, externalVersion(p, w.scope, suite1, version)))
		wantCode(t, w.verifiers()[d.name](doc), refusal.BadSignature)
	}
}

// TestRenewsHasOneSpelling: false is left out, and written it is refused.
func TestRenewsHasOneSpelling(t *testing.T) {
	u := home.update()
	u.Renews = true
	got, err := home.verifier.OpenUpdate(must(SealUpdate(home.scope, home.issuing, home.keys.Identity(license.Machine), u)), home.keys)
	if err != nil || !got.Renews {
		t.Errorf("got %v, %v", got.Renews, err)
	}
	plain := mustEncode(u)
	if !bytes.HasSuffix(plain, []byte{11, 0xf5}) {
		t.Fatalf("the field is not the last: %x", plain)
	}
	plain[len(plain)-1] = 0xf4
	_, err = decodeUpdate(plain)
	wantCode(t, err, refusal.DamagedFile)
}

func TestPendingIsAWish(t *testing.T) {
	r := home.report(Receipt)
	r.Wishes.Pending = true
	file := must(SealReport(home.trust, home.keys, r))
	got, err := OpenReport(home.scope, file, home.sealing)
	if err != nil || got.Kind != Request || !got.Wishes.Pending {
		t.Errorf("got %v, %v", got.Kind, err)
	}
}

func TestArmor(t *testing.T) {
	w := home
	good := string(w.reportFile(Receipt))
	lines := strings.SplitAfter(good, "\n")
	body := strings.Join(lines[1:len(lines)-2], "")
	begin, end := lines[0], lines[len(lines)-2]
	for name, c := range map[string]struct {
		file string
		want refusal.Code
	}{
		"good":                {good, refusal.Done},
		"empty":               {"", refusal.WrongFile},
		"something else":      {"%PDF-1.7 and so on", refusal.WrongFile},
		"CRLF":                {strings.ReplaceAll(good, "\n", "\r\n"), refusal.DamagedFile},
		"CR":                  {strings.ReplaceAll(good, "\n", "\r"), refusal.DamagedFile},
		"no last newline":     {strings.TrimSuffix(good, "\n"), refusal.DamagedFile},
		"two last newlines":   {good + "\n", refusal.DamagedFile},
		"text before":         {"See below.\n" + good, refusal.DamagedFile},
		"blank before":        {" " + good, refusal.DamagedFile},
		"byte order mark":     {"\ufeff" + good, refusal.DamagedFile},
		"text after":          {good + "Regards", refusal.DamagedFile},
		"twice":               {good + good, refusal.DamagedFile},
		"no end":              {begin + body, refusal.DamagedFile},
		"no body":             {begin + end, refusal.DamagedFile},
		"begin only":          {begin, refusal.DamagedFile},
		"begin line only":     {strings.TrimSuffix(begin, "\n"), refusal.DamagedFile},
		"blank line":          {begin + "\n" + body + end, refusal.DamagedFile},
		"one long line":       {begin + strings.ReplaceAll(body, "\n", "") + "\n" + end, refusal.DamagedFile},
		"a line missing":      {begin + strings.Join(lines[2:len(lines)-2], "") + end, refusal.DamagedFile},
		"blank in a line":     {begin + " " + body + end, refusal.DamagedFile},
		"blank at a line end": {strings.Replace(good, "\n", " \n", 2), refusal.DamagedFile},
		"other labels":        {begin + body + strings.Replace(end, "RECEIPT", "REQUEST", 1), refusal.DamagedFile},
		"lower case":          {strings.ReplaceAll(good, "RECEIPT", "receipt"), refusal.DamagedFile},
		"unknown label":       {strings.ReplaceAll(good, "RECEIPT", "ANYTHING"), refusal.DamagedFile},
		"label of a request":  {strings.ReplaceAll(good, "RECEIPT", "REQUEST"), refusal.DamagedFile},
		"label of an update":  {strings.ReplaceAll(good, "RECEIPT", "UPDATE"), refusal.WrongFile},
		"label of trust":      {strings.ReplaceAll(good, "RECEIPT", "TRUST"), refusal.WrongFile},
		"next version":        {strings.ReplaceAll(good, "RECEIPT", "RECEIPT 2"), refusal.UnsupportedVersion},
		"version in full":     {strings.ReplaceAll(good, "RECEIPT", "RECEIPT 1"), refusal.DamagedFile},
		"version zero":        {strings.ReplaceAll(good, "RECEIPT", "RECEIPT 0"), refusal.DamagedFile},
		"version with zeros":  {strings.ReplaceAll(good, "RECEIPT", "RECEIPT 02"), refusal.DamagedFile},
		"version with a word": {strings.ReplaceAll(good, "RECEIPT", "RECEIPT two"), refusal.DamagedFile},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, w.fileOpeners()[Receipt]([]byte(c.file)), c.want) })
	}
	// Base64 that decodes to the same bytes but is spelled otherwise.
	for n := 1; n <= 3; n++ {
		raw := make([]byte, n)
		file := string(armor(Receipt, raw))
		if n != 3 {
			other := strings.Replace(file, "A=", "B=", 1)
			if _, _, err := dearmor([]byte(other), Receipt); !refusal.Is(err, refusal.DamagedFile) {
				t.Errorf("%q: %v", other, err)
			}
			_, _, err := dearmor([]byte(strings.ReplaceAll(file, "=", "")), Receipt)
			wantCode(t, err, refusal.DamagedFile)
		}
		if _, got, err := dearmor([]byte(file), Receipt); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%q: %v", file, err)
		}
	}
	// A file of another kind is named.
	_, err := ParseTrust(w.updateFile())
	wantCode(t, err, refusal.WrongFile)
	if r, _ := refusal.As(err); r.Message != "This is an update; wanted is a trust file." || r.Details["is"] != "update" || r.Details["wanted"] != "trust" {
		t.Errorf("got %q %v", r.Message, r.Details)
	}
}

func TestArmorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "raw")
		kind := rapid.SampledFrom([]Kind{Request, Receipt, Update, TrustBundle, LoanRequest, LoanFile}).Draw(t, "kind")
		k, got, err := dearmor(armor(kind, raw), kind)
		if err != nil || k != kind || !bytes.Equal(got, raw) {
			t.Fatalf("got %v %x, %v", k, got, err)
		}
	})
}

func TestVersionsAndSuites(t *testing.T) {
	w := home
	for name, change := range map[string]func(*header){
		"version": func(h *header) { h.Version = 2 },
		"suite":   func(h *header) { h.Suite = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			o := must(openEnvelope(Update, unarmored(w.updateFile())))
			change(&o.header)
			o.envelope.Header = mustEncode(o.header)
			_, err := w.verifier.openUpdate(must(sign(forUpdate, w.scope, w.issuing.private, mustEncode(o.envelope))), w.keys)
			wantCode(t, err, refusal.UnsupportedVersion)
		})
	}
	b := w.bundle()
	for name, change := range map[string]func(*bundle){
		"trust version": func(b *bundle) { b.Version = 3 },
		"no version":    func(b *bundle) { b.Version = 0 },
		"lowest suite":  func(b *bundle) { b.Lowest = 2 },
		"trust suite":   func(b *bundle) { b.Suite = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := b
			change(&b)
			_, err := openTrust(w.signedBundle(b))
			wantCode(t, err, refusal.UnsupportedVersion)
		})
	}
	for name, change := range map[string]func(*bundle){
		"vendor":      func(b *bundle) { b.Vendor = "v" + VendorID(strings.Repeat("a", 26)) },
		"environment": func(b *bundle) { b.Environment = "" },
		"root":        func(b *bundle) { b.Root = w.issuing.Public() },
	} {
		t.Run("trust of another "+name, func(t *testing.T) {
			b := b
			change(&b)
			_, err := openTrust(w.signedBundle(b))
			wantCode(t, err, refusal.BadSignature)
		})
	}
	t.Run("algorithm", func(t *testing.T) {
		signed, _ := w.license()
		for _, alg := range []byte{0x26, 0x32, 0x00} { // ES256, Ed25519 by its newer number, none
			doc := bytes.Clone(signed)
			doc[5] = alg
			_, err := w.verifier.Step(doc)
			wantCode(t, err, refusal.DamagedFile)
		}
	})
}

func TestVault(t *testing.T) {
	secret := bytes.Repeat([]byte{5}, 32)
	v := must(NewVault(secret))
	at := Place{"tickets", "17", "code"}
	sealed := must(v.Seal(at, []byte("secret")))
	if got, err := v.Open(at, sealed); err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	if got, err := must(NewVault(bytes.Clone(secret))).Open(at, sealed); err != nil || string(got) != "secret" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	if bytes.Equal(must(v.Seal(at, []byte("secret"))), sealed) {
		t.Error("sealing twice gives the same")
	}
	for _, other := range []Place{
		{"orders", "17", "code"}, {"tickets", "18", "code"}, {"tickets", "17", "note"}, {"tickets", "17code", ""}, {"tickets17", "", "code"},
	} {
		if _, err := v.Open(other, sealed); !errors.Is(err, ErrVault) {
			t.Errorf("opens at %v: %v", other, err)
		}
	}
	if _, err := must(NewVault(bytes.Repeat([]byte{6}, 32))).Open(at, sealed); !errors.Is(err, ErrVault) {
		t.Errorf("opens with another secret: %v", err)
	}
	for bit := range len(sealed) * 8 {
		sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := v.Open(at, sealed); !errors.Is(err, ErrVault) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		sealed[bit/8] ^= 1 << (bit % 8)
	}
	for n := range sealed {
		if _, err := v.Open(at, sealed[:n]); !errors.Is(err, ErrVault) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if empty := must(v.Seal(at, nil)); second(v.Open(at, empty)) != nil {
		t.Error("nothing does not seal")
	}
	if v.KeyedHash("a", []byte("x")) == v.KeyedHash("b", []byte("x")) || v.KeyedHash("a", []byte("x")) == v.KeyedHash("a", []byte("y")) ||
		v.KeyedHash("a", []byte("x")) != must(NewVault(secret)).KeyedHash("a", []byte("x")) {
		t.Error("keyed hashes do not tell apart what they should, or do what they should not")
	}
	if _, err := NewVault(secret[:31]); err == nil {
		t.Error("a short secret was taken")
	}
}

// TestVaultConstruction opens a secret as docs/format.md says, by hand.
func TestVaultConstruction(t *testing.T) {
	secret := bytes.Repeat([]byte{5}, 32)
	v := must(NewVault(secret))
	sealed := must(v.Seal(Place{"tickets", "17", "code"}, []byte("secret")))
	root := must(hkdf.Extract(sha256.New, secret, []byte("licet vault")))
	key := must(hkdf.Expand(sha256.New, root, "\x84\x65licet\x65vault\x64seal\x58\x20"+string(sealed[1:33]), 32))
	aead := must(cipher.NewGCM(must(aes.NewCipher(key))))
	plain, err := aead.Open(nil, make([]byte, 12), sealed[33:], []byte("\x85\x65licet\x65vault\x67tickets\x6217\x64code"))
	if err != nil || string(plain) != "secret" || sealed[0] != 1 {
		t.Errorf("got %q, %v", plain, err)
	}
	key = must(hkdf.Expand(sha256.New, root, "\x84\x65licet\x65vault\x64hash\x46ticket", 32))
	m := hmac.New(sha256.New, key)
	m.Write([]byte("ABC"))
	if got := v.KeyedHash("ticket", []byte("ABC")); !hmac.Equal(got[:], m.Sum(nil)) {
		t.Errorf("got %x", got)
	}
}

// TestVaultOfSeveralSecrets: the first makes the hashes, the last seals, all open.
func TestVaultOfSeveralSecrets(t *testing.T) {
	first, second, third := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	at := Place{"keys", "1", "private"}
	old, both := must(NewVault(first)), must(NewVault(slices.Concat(first, second)))
	was, is := must(old.Seal(at, []byte("secret"))), must(both.Seal(at, []byte("secret")))
	for _, sealed := range [][]byte{was, is} {
		if plain, err := both.Open(at, sealed); err != nil || string(plain) != "secret" {
			t.Errorf("%q, %v", plain, err)
		}
	}
	if both.Current(at, was) || !both.Current(at, is) || !old.Current(at, was) || both.Current(Place{"keys", "2", "private"}, is) || both.Current(at, nil) {
		t.Error("what the newest has sealed is not told")
	}
	for _, v := range []*Vault{old, must(NewVault(slices.Concat(first, third)))} {
		if _, err := v.Open(at, is); !errors.Is(err, ErrVault) {
			t.Errorf("without its secret it opens: %v", err)
		}
	}
	if old.KeyedHash("a", []byte("x")) != both.KeyedHash("a", []byte("x")) {
		t.Error("another hash")
	}
	for _, bad := range [][]byte{nil, first[:31], slices.Concat(first, second[:1])} {
		if _, err := NewVault(bad); err == nil {
			t.Errorf("a secret of %d bytes", len(bad))
		}
	}
}
