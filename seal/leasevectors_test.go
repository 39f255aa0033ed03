package seal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"licet/container"
	"licet/license"
	"licet/seats"
)

// readLeaseVector gives a vector's document to its reader, and what is to be
// compared with payload-sha256.
func readLeaseVector(v vector, verifier func() *Verifier, keys func() *ContainerKeys) (payload []byte, err error) {
	scope := Scope{VendorID(v.fields["vendor"]), v.fields["environment"]}
	switch v.fields["reads"] {
	case "lease-head":
		var key []byte
		fmt.Sscanf(v.fields["container-key"], "%x", &key)
		if _, err = OpenLeaseHead(scope, key, v.doc); err == nil {
			payload = must(parse("", maxFile, v.doc)).Payload
		}
	case "lease":
		var l seats.Lease
		if l, _, err = verifier().Lease(v.doc); err == nil {
			payload = must(EncodeLease(l))
		}
	case "loan-request":
		var r SignedLoanWish
		if r, err = OpenLoanRequest(scope, v.doc); err == nil {
			payload = mustEncode(r.Wish)
		}
	case "loan":
		var a LoanAnswer
		if a, err = verifier().OpenLoanAnswer(v.doc, keys()); err == nil && len(a.Document) > 0 {
			payload = must(EncodeLease(a.Lease))
		}
	}
	return payload, err
}

// writeLeaseVectors makes the vectors of seats on a network.
func writeLeaseVectors(t *testing.T) {
	w := home
	other := newWorld("another", "production", "machine two")
	test := newWorld("example", "test", "machine one")
	write := func(name, reads, expect, because string, doc []byte, extra ...string) {
		writeVector(t, name, reads, expect, because, doc, extra...)
	}
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	unknown := func(b []byte) []byte {
		tree, _ := take(b)
		tree.parts = append(tree.parts, &node{arg: 24, width: -1}, &node{width: -1})
		return tree.write(nil)
	}

	// Heads.
	head := w.leaseHead()
	headPayload := must(parse("", maxFile, head)).Payload
	headOf := func(change func(*leaseHead)) []byte {
		h := must(decode[leaseHead]("", MaxLeaseHead, headPayload))
		change(&h)
		return must(sign(forLease, w.scope, w.keys.signing, mustEncode(h)))
	}
	write("lease-head-ok", "lease-head", "ok", "as it should be", head, "payload-sha256", sum(headPayload))
	write("lease-head-none", "lease-head", "damaged_file", "a head of no leases", headOf(func(h *leaseHead) { h.Count = 0 }))
	write("lease-head-many", "lease-head", "damaged_file", "a head of more leases than one may have", headOf(func(h *leaseHead) { h.Count = MaxGroup + 1 }))
	write("lease-head-unknown-key", "lease-head", "damaged_file", "a map key that no format has", must(sign(forLease, w.scope, w.keys.signing, unknown(headPayload))))
	write("lease-head-other-purpose", "lease-head", "bad_signature", "signed for the purpose answer", must(sign(forAnswer, w.scope, w.keys.signing, headPayload)))
	write("lease-head-other-container", "lease-head", "bad_signature", "by another container", must(sign(forLease, w.scope, w.borrower.signing, headPayload)))
	write("lease-head-other-environment", "lease-head", "bad_signature", "of the environment test", must(sign(forLease, test.scope, w.keys.signing, headPayload)))

	// Leases.
	_, docs := w.leaseDocuments(w.session(), w.loan(), w.session())
	_, alone := w.leaseDocuments(w.session())
	part := w.licensePart()
	statementOf := func(change func(*leaseStatement)) []byte {
		s := must(decode[leaseStatement]("", maxStatement, must(DecodeLeaseDocument(docs[1])).Lease))
		s.Path = bytes.Clone(s.Path)
		change(&s)
		return NewLeaseDocument(part, mustEncode(s))
	}
	leaseOf := func(change func(*container.Body, *seats.Lease)) []byte {
		body, l := w.body(), w.loan()
		change(&body, &l)
		return w.documentOf(body, w.keys, l)
	}
	write("lease-session-ok", "lease", "ok", "the first of three", docs[0], "payload-sha256", sum(must(EncodeLease(w.session()))))
	write("lease-loan-ok", "lease", "ok", "the second of three", docs[1], "payload-sha256", sum(must(EncodeLease(w.loan()))))
	write("lease-last-ok", "lease", "ok", "the last of three, which moves up as it is", docs[2], "payload-sha256", sum(must(EncodeLease(w.session()))))
	write("lease-alone-ok", "lease", "ok", "alone in its group", alone[0], "payload-sha256", sum(must(EncodeLease(w.session()))))
	write("lease-bit", "lease", "bad_signature", "a bit of the lease is turned", statementOf(func(s *leaseStatement) { s.Lease = turned(s.Lease, 40) }))
	write("lease-index", "lease", "bad_signature", "another place in the tree", statementOf(func(s *leaseStatement) { s.Index = 0 }))
	write("lease-index-high", "lease", "bad_signature", "a place beyond the tree", statementOf(func(s *leaseStatement) { s.Index = 5 }))
	write("lease-path-long", "lease", "bad_signature", "a path of one hash too many", statementOf(func(s *leaseStatement) { s.Path = append(s.Path, s.Path[:32]...) }))
	write("lease-path-short", "lease", "bad_signature", "a path of one hash too few", statementOf(func(s *leaseStatement) { s.Path = s.Path[:32] }))
	write("lease-path-ragged", "lease", "bad_signature", "a path of no whole hashes", statementOf(func(s *leaseStatement) { s.Path = append(s.Path, 0) }))
	write("lease-other-head", "lease", "bad_signature", "the head of another group", statementOf(func(s *leaseStatement) { h, _ := w.leaseDocuments(w.session()); s.Head = h.Signed }))
	write("lease-trailing-byte", "lease", "damaged_file", "a byte too many", append(bytes.Clone(docs[0]), 0))
	write("lease-seventeen-certificates", "lease", "damaged_file", "one certificate too many", mustEncode(LeaseDocument{Certificates: slices.Repeat([][]byte{w.issuingCert}, 17)}))
	write("lease-other-certificate", "lease", "bad_signature", "a certificate by another root comes along", mustEncode(func() LeaseDocument {
		d := must(DecodeLeaseDocument(docs[0]))
		d.Certificates = [][]byte{other.issuingCert}
		return d
	}()))
	write("lease-other-vendor", "lease", "bad_signature", "of a license of another vendor", other.documentOf(other.body(), other.keys, other.loan()))
	write("lease-other-container", "lease", "bad_signature", "signed by another container", w.documentOf(w.body(), w.borrower, w.loan()))
	write("lease-other-license", "lease", "bad_signature", "of another license", leaseOf(func(_ *container.Body, l *seats.Lease) { l.License = "lic_other" }))
	write("lease-other-generation", "lease", "bad_signature", "of another generation", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Generation = 2 }))
	write("lease-other-product", "lease", "bad_signature", "of another product", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Product = "viewer" }))
	write("lease-other-server", "lease", "bad_signature", "in another server's name", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Server = w.borrower.Serial() }))
	write("lease-too-many-seats", "lease", "bad_signature", "more seats than the license has", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Seats = 6 }))
	write("lease-local-license", "lease", "bad_signature", "of a license for local use", leaseOf(func(b *container.Body, _ *seats.Lease) {
		b.Terms.Seats, b.Terms.Borrow = 0, license.Borrow{Max: license.Day}
	}))
	write("lease-after-the-end", "lease", "bad_signature", "longer than the license and its grace", leaseOf(func(b *container.Body, l *seats.Lease) { b.Terms.ExpiresAt, b.Terms.Grace = l.Until-1, 0 }))
	write("lease-loan-too-long", "lease", "bad_signature", "longer than the longest loan", leaseOf(func(b *container.Body, l *seats.Lease) {
		b.Terms.Borrow.Max = license.Day
		l.Until = l.From + 86400e6 + 1
	}))
	write("lease-no-loans", "lease", "bad_signature", "a loan of a license that lends nothing", leaseOf(func(b *container.Body, _ *seats.Lease) { b.Terms.Borrow = license.Borrow{} }))
	write("lease-no-transfers", "lease", "bad_signature", "a transfer of a license that does not move", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Kind = seats.Transfer }))
	write("lease-no-holder", "lease", "damaged_file", "a loan to nobody", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Holder, l.HolderKey = "", nil }))
	write("lease-session-with-holder", "lease", "damaged_file", "a session for a container", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Kind = seats.Session }))
	write("lease-no-end", "lease", "damaged_file", "a loan without end", leaseOf(func(_ *container.Body, l *seats.Lease) { l.Until = 0 }))
	write("lease-transfer-ok", "lease", "ok", "two seats for good", leaseOf(func(b *container.Body, l *seats.Lease) {
		b.Terms.Transfer, b.Terms.ExpiresAt = license.MovesSeats, 0
		l.Kind, l.Seats, l.Until = seats.Transfer, 2, 0
	}))
	unitsOf := func(moves license.Moves, units, moved, seatsToo int64) []byte {
		return leaseOf(func(b *container.Body, l *seats.Lease) {
			b.Terms.Units, b.Terms.Transfer, b.Terms.ExpiresAt = units, moves, 0
			l.Kind, l.Seats, l.Until, l.Units = seats.Transfer, seatsToo, 0, moved
		})
	}
	write("lease-units-ok", "lease", "ok", "400 units for good", unitsOf("seats+units", 1000, 400, 1))
	write("lease-units-do-not-move", "lease", "bad_signature", "units of a license of which seats move alone", unitsOf(license.MovesSeats, 1000, 400, 1))
	write("lease-too-many-units", "lease", "bad_signature", "more units than the license has", unitsOf(license.MovesUnits, 1000, 1001, 1))
	write("lease-units-and-seats", "lease", "damaged_file", "units and seats in one", unitsOf("seats+units", 1000, 400, 2))

	// Loan requests and loans.
	request, loan := w.loanRequestFile(), w.loanFile()
	requestOf := func(change func(*loanRequest)) []byte {
		_, r, _ := peekLoanRequest(unarmored(request))
		change(&r)
		return armor(LoanRequest, must(sign(forLoanRequest, w.scope, w.borrower.signing, mustEncode(r))))
	}
	loanOf := func(change func(*loanAnswer)) []byte {
		_, a, _ := peekLoanAnswer(unarmored(loan))
		change(&a)
		return armor(LoanFile, must(sign(forLoan, w.scope, w.keys.signing, mustEncode(a))))
	}
	write("loan-request-ok", "loan-request", "ok", "as it should be", request, "payload-sha256", sum(mustEncode(w.wish())))
	write("loan-request-return-ok", "loan-request", "ok", "a return alone", requestOf(func(r *loanRequest) {
		r.Wish = seats.LoanWish{Nonce: "n-2", Returned: []seats.LeaseID{"L2"}}
	}))
	write("loan-request-no-nonce", "loan-request", "damaged_file", "a wish without a name", requestOf(func(r *loanRequest) { r.Wish.Nonce = "" }))
	write("loan-request-no-number", "loan-request", "damaged_file", "a wish without a number", requestOf(func(r *loanRequest) { r.Wish.Number = 0 }))
	write("loan-request-two-wishes", "loan-request", "damaged_file", "a new loan and an extension", requestOf(func(r *loanRequest) { r.Wish.Extend = "L1" }))
	write("loan-request-other-identity", "loan-request", "bad_signature", "in another container's name", requestOf(func(r *loanRequest) { r.Identity = w.keys.Identity(license.Machine) }))
	write("loan-request-other-vendor", "loan-request", "vendor_untrusted", "to another vendor's licenses", other.loanRequestFile())
	write("loan-request-other-environment", "loan-request", "wrong_environment", "of the environment test", test.loanRequestFile())
	write("loan-request-version", "loan-request", "unsupported_version", "format version 2", requestOf(func(r *loanRequest) { r.Version = 2 }))
	write("loan-request-suite", "loan-request", "unsupported_version", "suite 2", requestOf(func(r *loanRequest) { r.Suite = 2 }))
	write("loan-request-is-loan", "loan-request", "wrong_file", "a loan", loan)

	write("loan-ok", "loan", "ok", "as it should be", loan, "payload-sha256", sum(must(EncodeLease(w.loan()))))
	write("loan-nothing-ok", "loan", "ok", "a refusal and a confirmation, no loan", loanOf(func(a *loanAnswer) { a.Loan = nil }))
	write("loan-other-holder", "loan", "wrong_container", "to another container", loanOf(func(a *loanAnswer) { a.Holder = w.serial() }))
	write("loan-of-another", "loan", "bad_signature", "the loan inside is another container's", loanOf(func(a *loanAnswer) {
		l := w.loan()
		l.Holder, l.HolderKey = w.serial(), w.keys.Identity("").SigningKey
		_, docs := w.leaseDocuments(l)
		a.Loan = docs[0]
	}))
	write("loan-session", "loan", "bad_signature", "a session inside", loanOf(func(a *loanAnswer) { a.Loan = docs[0] }))
	write("loan-other-server", "loan", "bad_signature", "in another server's name", loanOf(func(a *loanAnswer) { a.Server = w.borrower.Identity(license.Machine) }))
	write("loan-other-vendor", "loan", "vendor_untrusted", "by another vendor's server", other.loanFile())
	write("loan-other-environment", "loan", "wrong_environment", "of the environment test", test.loanFile())
	write("loan-version", "loan", "unsupported_version", "format version 2", loanOf(func(a *loanAnswer) { a.Version = 2 }))
	write("loan-suite", "loan", "unsupported_version", "suite 2", loanOf(func(a *loanAnswer) { a.Suite = 2 }))
	write("loan-no-time", "loan", "damaged_file", "no time", loanOf(func(a *loanAnswer) { a.Time = 0 }))
	write("loan-is-request", "loan", "wrong_file", "a loan request", request)
}
