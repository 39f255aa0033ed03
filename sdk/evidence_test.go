package sdk

import (
	"crypto/rand"
	"testing"

	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
)

// TestKeyThatTheProgramDoesNotKnow: a license signed with a key that is newer
// than the program passes with the root's certificate, which comes with it, and
// with nobody else's.
func TestKeyThatTheProgramDoesNotKnow(t *testing.T) {
	key := func(use seal.Use) *seal.SigningKey {
		k, err := seal.NewSigningKey(use, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	scopeOf := func(root *seal.SigningKey) seal.Scope {
		return seal.Scope{Vendor: seal.VendorOf(root.Public()), Environment: seal.Production}
	}
	certify := func(root, issuing *seal.SigningKey) []byte {
		doc, err := seal.SignCertificate(scopeOf(root), root, seal.Certificate{Use: seal.Issuing, Public: issuing.Public(), Number: 1})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	root, other, old, issuing := key(seal.Root), key(seal.Root), key(seal.Issuing), key(seal.Issuing)
	body, hash, err := seal.EncodeBody(container.Body{License: "lic_1", Generation: 1, Container: "SERIAL", Product: "CAD-PRO", Features: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	step, err := seal.SignStep(scopeOf(root), issuing, &container.Step{
		Container: "SERIAL", Epoch: 1, Number: 1, Time: 1,
		Ops: []container.Op{{Kind: container.Put, Phase: container.Activate, License: "lic_1", Generation: 1, Product: "CAD-PRO", Body: hash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificates [][]byte
		want         license.ID
	}{
		"the root's":        {[][]byte{certify(root, issuing)}, "lic_1"},
		"among others":      {[][]byte{certify(root, key(seal.Issuing)), certify(root, issuing)}, "lic_1"},
		"none":              {nil, ""},
		"of another key":    {[][]byte{certify(root, key(seal.Issuing))}, ""},
		"of another vendor": {[][]byte{certify(other, issuing)}, ""},
		"no certificate":    {[][]byte{[]byte("certificate")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			verifier, err := seal.NewVerifier(&seal.Trust{Scope: scopeOf(root), Root: root.Public(), Certificates: [][]byte{certify(root, old)}})
			if err != nil {
				t.Fatal(err)
			}
			w := witness{verifier: verifier}
			got, err := w.license(agent.Proof{Step: step, Body: body, Certificates: c.certificates})
			if got.License != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v", got.License, err)
			}
		})
	}
}

// TestUnseenContainer: a container that could not be opened is named where the
// license that was seen does not do, and never where it does.
func TestUnseenContainer(t *testing.T) {
	locked := terms.Reason{Code: refusal.Conflict, Message: "Another program uses container X at this moment."}
	e := evidence{proven: true, body: container.Body{Terms: license.Terms{ExpiresAt: 1000}}, closed: []terms.Reason{locked}}
	if v := e.judge(terms.Use{}, 999); !v.Valid || len(v.Reasons) != 0 {
		t.Errorf("before its end: %+v", v)
	}
	if v := e.judge(terms.Use{}, 1000); v.Valid || v.Code != Expired || len(v.Reasons) != 2 || v.Reasons[1] != locked {
		t.Errorf("after its end: %+v", v)
	}
}
