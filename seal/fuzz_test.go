package seal

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// fuzzPayload holds a decoder to its promise: what it takes has one spelling,
// and what it refuses is refused with a refusal.
func fuzzPayload[T any](f *testing.F, limit int, decode func([]byte) (T, error)) {
	f.Helper()
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			if _, ok := refusal.As(err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if again := must(encoding.Marshal(v)); !bytes.Equal(again, b) || len(b) > limit {
			t.Fatalf("taken: %x\nspelled: %x", b, again)
		}
	})
}

func decoder[T any](limit int) func([]byte) (T, error) {
	return func(b []byte) (T, error) { return decode[T]("document", limit, b) }
}

func FuzzStep(f *testing.F)   { fuzzPayload(f, MaxStep, DecodeStep) }
func FuzzBody(f *testing.F)   { fuzzPayload(f, MaxBody, DecodeBody) }
func FuzzUpdate(f *testing.F) { fuzzPayload(f, MaxUpdate, decodeUpdate) }
func FuzzReport(f *testing.F) { fuzzPayload(f, MaxReport, decoder[container.Report](MaxReport)) }
func FuzzHeader(f *testing.F) { fuzzPayload(f, MaxReport, decoder[header](MaxReport)) }
func FuzzCertificate(f *testing.F) {
	fuzzPayload(f, MaxCertificate, decoder[Certificate](MaxCertificate))
}
func FuzzTrust(f *testing.F)  { fuzzPayload(f, MaxTrust, decoder[bundle](MaxTrust)) }
func FuzzTime(f *testing.F)   { fuzzPayload(f, MaxTime, decoder[timeAnswer](MaxTime)) }
func FuzzAnswer(f *testing.F) { fuzzPayload(f, MaxAnswer, decoder[answer](MaxAnswer)) }

func FuzzBlockHead(f *testing.F) {
	fuzzPayload(f, MaxBlockHead, decoder[blockHead](MaxBlockHead))
}
func FuzzOrigins(f *testing.F) {
	fuzzPayload(f, MaxOrigins, decoder[originList](MaxOrigins))
}
func FuzzBlockNews(f *testing.F) {
	fuzzPayload(f, MaxBlockList, decoder[blockNews](MaxBlockList))
}

func FuzzLease(f *testing.F)         { fuzzPayload(f, MaxLease, DecodeLease) }
func FuzzLeaseHead(f *testing.F)     { fuzzPayload(f, MaxLeaseHead, decoder[leaseHead](MaxLeaseHead)) }
func FuzzLeaseDocument(f *testing.F) { fuzzPayload(f, MaxLeaseDocument, DecodeLeaseDocument) }
func FuzzLeaseStatement(f *testing.F) {
	fuzzPayload(f, maxStatement, decoder[leaseStatement](maxStatement))
}
func FuzzLoanRequest(f *testing.F) {
	fuzzPayload(f, MaxLoanRequest, decoder[loanRequest](MaxLoanRequest))
}
func FuzzLoan(f *testing.F) { fuzzPayload(f, MaxLoan, decoder[loanAnswer](MaxLoan)) }

// FuzzLeaseProof gives anything to the verifier of lease documents: only what
// home signed passes.
func FuzzLeaseProof(f *testing.F) {
	_, docs := home.leaseDocuments(home.session(), home.loan(), home.session())
	known := map[[32]byte]bool{}
	for _, doc := range docs {
		f.Add(doc)
		known[sha256.Sum256(doc)] = true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := home.verifier.Lease(b)
		if err == nil && !known[sha256.Sum256(b)] {
			t.Fatalf("taken: %x", b)
		}
		if _, ok := refusal.As(err); err != nil && !ok {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}

// FuzzDocument gives anything to every verifier: only what was signed by home
// passes, and that is the corpus and nothing else.
func FuzzDocument(f *testing.F) {
	known := map[[32]byte]bool{}
	for _, d := range home.documents() {
		f.Add(d.bytes)
		known[sha256.Sum256(d.bytes)] = true
	}
	first := home.signedBundle(home.bundle().firstFormat())
	f.Add(first)
	known[sha256.Sum256(first)] = true
	verifiers := home.verifiers()
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse("document", maxFile, b); err == nil {
			again := appendBytes(appendBytes(head(m.key), m.Payload), m.Signature)
			if !bytes.Equal(again, b) {
				t.Fatalf("%x has a second spelling", b)
			}
		}
		for name, verify := range verifiers {
			err := verify(b)
			if err == nil && !known[sha256.Sum256(b)] && !signedByUs(b) {
				t.Fatalf("the verifier of a %s takes %x", name, b)
			}
			if _, ok := refusal.As(err); err != nil && !ok {
				t.Fatalf("not a refusal: %v", err)
			}
		}
	})
}

// signedByUs tells apart the committed corpus, whose sealed documents differ
// from those of this run, and a trust bundle by whoever signed it.
func signedByUs(b []byte) bool {
	m, err := parse("document", maxFile, b)
	if err != nil {
		return false
	}
	for _, p := range []purpose{forUpdate, forRequest, forReceipt} {
		for _, public := range [][]byte{home.issuing.Public(), home.keys.Identity(license.Machine).SigningKey} {
			if k, _ := newPublicKey(public); m.verify(p, home.scope, k) == nil {
				return true
			}
		}
	}
	_, bundle, err := peekTrust(b)
	return err == nil && !bytes.Equal(bundle.Root, home.root.Public())
}

// FuzzArmor holds the armor to one spelling.
func FuzzArmor(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, version, raw, err := dearmorVersion(b, Update, Request, Receipt, TrustBundle, BlockListFile, LoanRequest, LoanFile)
		if err == nil && !bytes.Equal(armorVersion(kind, version, raw), b) {
			t.Fatalf("%q has a second spelling", b)
		}
		if _, ok := refusal.As(err); err != nil && !ok {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}

// FuzzFile opens anything as every kind of file.
func FuzzFile(f *testing.F) {
	openers := home.fileOpeners()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, open := range openers {
			if err := open(b); err != nil {
				if _, ok := refusal.As(err); !ok {
					t.Fatalf("not a refusal: %v", err)
				}
			}
		}
		if _, err := Inspect(b); err != nil {
			if _, ok := refusal.As(err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
		}
	})
}
