package seal

import (
	"bytes"
	"testing"

	"licet/refusal"
)

// TestProvenCertificates: a bundle's certificates are verified once, as the very
// bytes that were read, under the root and in the scope they were read with.
func TestProvenCertificates(t *testing.T) {
	w := home
	read := func() *Trust { return must(ParseTrust(w.trustFile)) }
	if trust := read(); len(trust.proven.certificates) != len(trust.Certificates) {
		t.Fatalf("%d of %d are known", len(trust.proven.certificates), len(trust.Certificates))
	}
	if v := must(NewVerifier(read())); len(v.issuing) == 0 || len(v.others) == 0 {
		t.Error("the verifier does not know them")
	} else {
		for _, doc := range read().Certificates {
			if !v.knows(doc) {
				t.Error("a certificate would be verified again")
			}
		}
	}
	for name, change := range map[string]func(*Trust){
		"another certificate": func(t *Trust) {
			doc := bytes.Clone(t.Certificates[0])
			doc[len(doc)-1] ^= 1
			t.Certificates = append(t.Certificates[:1:1], doc)
		},
		"another environment": func(t *Trust) { t.Scope.Environment = "elsewhere" },
		"another root": func(t *Trust) {
			other := must(NewSigningKey(Root, seedOf("another root")))
			t.Root, t.Scope.Vendor = other.Public(), VendorOf(other.Public())
		},
	} {
		trust := read()
		change(trust)
		_, err := NewVerifier(trust)
		if c := code(t, err); c != refusal.BadSignature {
			t.Errorf("%s: %s", name, c)
		}
		if _, err := trust.sealing(); code(t, err) != refusal.BadSignature {
			t.Errorf("%s, for sealing: %v", name, err)
		}
	}
}
