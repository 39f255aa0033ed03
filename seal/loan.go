package seal

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"unicode/utf8"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// mostPerLoan is how many documents, outcomes and confirmations an answer has.
const mostPerLoan = 1024

// loanRequest is what a borrower's container signs. It says by itself whose it
// is: no server knows the borrowers beforehand.
type loanRequest struct {
	Version     uint64             `cbor:"1,keyasint"`
	Suite       uint64             `cbor:"2,keyasint"`
	Vendor      VendorID           `cbor:"3,keyasint"`
	Environment string             `cbor:"4,keyasint"`
	Identity    container.Identity `cbor:"5,keyasint"`
	Wish        seats.LoanWish     `cbor:"6,keyasint"`
}

func (r loanRequest) scope() Scope { return Scope{Vendor: r.Vendor, Environment: r.Environment} }

// SignedLoanWish is a loan request that was opened: what the owner of the
// identity's keys asked for.
type SignedLoanWish struct {
	Scope    Scope // whose the request is
	Identity container.Identity
	Serial   license.Serial
	Wish     seats.LoanWish
	Hash     [32]byte // SHA-256 of the signed bytes, which are the same in every copy of the file
}

// SignLoanRequest writes a loan request as a file, by name
// *.licet-loan-request. It is signed with the borrower's key and not sealed: the
// key of a license server is not known before it has answered, and nothing in a
// request is secret but the token of a running session. That token is for a
// request which goes straight to the server, over the channel on which it came;
// whoever keeps or carries the file leaves it out of the wish, as no program runs
// beside a file.
func SignLoanRequest(s Scope, keys *ContainerKeys, kind license.Kind, wish seats.LoanWish) ([]byte, error) {
	r := loanRequest{
		Version: Version, Suite: uint64(suite1), Vendor: s.Vendor, Environment: s.Environment,
		Identity: keys.Identity(kind), Wish: wish,
	}
	if err := checkLoanRequest(r); err != nil {
		return nil, fault("%v", err)
	}
	payload, err := encode("loan request", MaxLoanRequest, r)
	if err != nil {
		return nil, err
	}
	raw, err := sign(forLoanRequest, s, keys.signing, payload)
	if err != nil {
		return nil, err
	}
	return asFile(LoanRequest, raw)
}

// OpenLoanRequest checks a loan request. The signature is the borrower's own, made
// with the key that the request brings and of which its serial is a hash.
func OpenLoanRequest(s Scope, file []byte) (SignedLoanWish, error) {
	_, raw, err := dearmor(file, LoanRequest)
	if err != nil {
		return SignedLoanWish{}, err
	}
	return openLoanRequest(&s, raw)
}

// OpenAnyLoanRequest is OpenLoanRequest for a server of several vendors: the caller
// looks at the Scope that comes out.
func OpenAnyLoanRequest(file []byte) (SignedLoanWish, error) {
	_, raw, err := dearmor(file, LoanRequest)
	if err != nil {
		return SignedLoanWish{}, err
	}
	return openLoanRequest(nil, raw)
}

// openLoanRequest checks a request of this scope, or of the one that it names.
func openLoanRequest(wanted *Scope, raw []byte) (SignedLoanWish, error) {
	m, r, err := peekLoanRequest(raw)
	if err != nil {
		return SignedLoanWish{}, err
	}
	s := r.scope()
	if wanted != nil {
		if err := inScope("loan request", *wanted, s); err != nil {
			return SignedLoanWish{}, err
		}
	}
	key, ok := newPublicKey(r.Identity.SigningKey)
	if !ok {
		return SignedLoanWish{}, badSignature()
	}
	if err := m.verify(forLoanRequest, s, key); err != nil {
		return SignedLoanWish{}, err
	}
	if err := checkLoanRequest(r); err != nil {
		return SignedLoanWish{}, err
	}
	return SignedLoanWish{Scope: s, Identity: r.Identity, Serial: SerialOf(r.Identity), Wish: r.Wish, Hash: sha256.Sum256(raw)}, nil
}

// peekLoanRequest reads a loan request whose signature nobody has looked at yet.
func peekLoanRequest(raw []byte) (message, loanRequest, error) {
	const what = "loan request"
	m, err := parse(what, MaxLoanRequest, raw)
	if err != nil {
		return m, loanRequest{}, err
	}
	r, err := decode[loanRequest](what, MaxLoanRequest, m.Payload)
	switch {
	case err != nil:
		return m, r, err
	case r.Version != Version:
		return m, r, unsupported(what, r.Version)
	case r.Suite != uint64(suite1):
		return m, r, unsupportedSuite(what, r.Suite)
	}
	return m, r, nil
}

func checkLoanRequest(r loanRequest) error {
	w := r.Wish
	wants := w.Product != "" || w.Extend != ""
	switch {
	case !goodIdentity(r.Identity), w.Nonce == "",
		w.Seats < 0, w.For < 0,
		w.Product != "" && w.Extend != "",
		wants != (w.Number != 0),
		!wants && (w.Kind != "" || w.Seats != 0 || w.For != 0 || len(w.Features) != 0 || w.Session != "" || w.Units != 0),
		w.Units < 0, w.Units != 0 && (w.Kind != seats.Transfer || w.Seats != 0 || w.For != 0 || w.Extend != "" || w.Session != ""),
		len(w.Closed) > mostPerLoan, slices.ContainsFunc(w.Closed, func(c seats.Closed) bool { return c.Lease == "" || c.Used < 0 }),
		slices.ContainsFunc(w.Holds, func(h seats.Held) bool { return h.Units < 0 || h.Used < 0 || h.Used > h.Units }),
		wants && w.Kind != seats.Loan && w.Kind != seats.Transfer,
		w.Session == "" && w.Token != "",
		len(w.Holds) > mostPerLoan, len(w.Returned) > mostPerLoan:
		return damaged("loan request")
	}
	return nil
}

// loanAnswer is what a license server's container signs.
type loanAnswer struct {
	Version     uint64              `cbor:"1,keyasint"`
	Suite       uint64              `cbor:"2,keyasint"`
	Vendor      VendorID            `cbor:"3,keyasint"`
	Environment string              `cbor:"4,keyasint"`
	Server      container.Identity  `cbor:"5,keyasint"`
	Holder      license.Serial      `cbor:"6,keyasint"`
	Nonce       string              `cbor:"7,keyasint"`
	Time        license.Time        `cbor:"8,keyasint"`
	Outcomes    []container.Outcome `cbor:"9,keyasint"`
	Confirmed   []seats.LeaseID     `cbor:"10,keyasint"`
	Loan        []byte              `cbor:"11,keyasint"` // lease document; empty for none
}

func (a loanAnswer) scope() Scope { return Scope{Vendor: a.Vendor, Environment: a.Environment} }

// LoanAnswer is what a license server says to a borrower's container.
type LoanAnswer struct {
	Server    license.Serial // container that answers
	Holder    license.Serial // container that asked
	Nonce     string         // of the wish
	Time      license.Time   // the server's
	Outcomes  []container.Outcome
	Confirmed []seats.LeaseID // returns that the server has durably booked
	Document  []byte          // lease document of the loan or transfer; empty for none

	// What OpenLoanAnswer found in the document.
	Lease seats.Lease
	Body  container.Body // of the license that the seat is of
}

// SignLoanAnswer writes the answer to a loan request as a file, by name
// *.licet-loan. Server and Holder need not be filled in: the answer is that of
// the keys, of this kind of container, to the request.
func SignLoanAnswer(s Scope, keys *ContainerKeys, kind license.Kind, to SignedLoanWish, a LoanAnswer) ([]byte, error) {
	answer := loanAnswer{
		Version: Version, Suite: uint64(suite1), Vendor: s.Vendor, Environment: s.Environment,
		Server: keys.Identity(kind), Holder: to.Serial, Nonce: to.Wish.Nonce, Time: a.Time,
		Outcomes: a.Outcomes, Confirmed: a.Confirmed, Loan: a.Document,
	}
	if err := checkLoanAnswer(answer); err != nil {
		return nil, fault("%v", err)
	}
	payload, err := answer.encoded()
	if err != nil {
		return nil, err
	}
	raw, err := sign(forLoan, s, keys.signing, payload)
	if err != nil {
		return nil, err
	}
	return asFile(LoanFile, raw)
}

// encoded writes the answer. A server writes many that only say that it was done:
// of those the few texts alone could make that nobody reads them.
func (a loanAnswer) encoded() ([]byte, error) {
	odd := !utf8.ValidString(a.Nonce) || !utf8.ValidString(string(a.Holder)) ||
		slices.ContainsFunc(a.Confirmed, func(id seats.LeaseID) bool { return !utf8.ValidString(string(id)) }) ||
		slices.ContainsFunc(a.Outcomes, func(o container.Outcome) bool {
			return o.Message != "" || o.Hint != "" || len(o.Details) > 0 || !utf8.ValidString(o.Wish) || !utf8.ValidString(string(o.Code))
		})
	if odd {
		return encode("loan", MaxLoan, a)
	}
	return write("loan", MaxLoan, a)
}

// OpenLoanAnswer checks the answer of a license server to the container with
// these keys. What it lends is proven by the vendor's signature, like every
// lease, and by the same key as the answer. An answer that lends nothing proves
// no more than which container gives it: the caller compares Server with the one
// that he asked, or that lent what it confirms. An answer to another container is
// refused with WrongContainer (made_for, this_is).
func (v *Verifier) OpenLoanAnswer(file []byte, keys *ContainerKeys) (LoanAnswer, error) {
	_, raw, err := dearmor(file, LoanFile)
	if err != nil {
		return LoanAnswer{}, err
	}
	return v.openLoanAnswer(raw, keys)
}

func (v *Verifier) openLoanAnswer(raw []byte, keys *ContainerKeys) (LoanAnswer, error) {
	const what = "loan"
	m, a, err := peekLoanAnswer(raw)
	if err != nil {
		return LoanAnswer{}, err
	}
	if err := inScope(what, v.scope, a.scope()); err != nil {
		return LoanAnswer{}, err
	}
	key, ok := newPublicKey(a.Server.SigningKey)
	if !ok {
		return LoanAnswer{}, badSignature()
	}
	if err := m.verifyUnder(v.external[forLoan], key); err != nil {
		return LoanAnswer{}, err
	}
	if err := checkLoanAnswer(a); err != nil {
		return LoanAnswer{}, err
	}
	if serial := keys.Serial(); a.Holder != serial {
		return LoanAnswer{}, refusal.New(refusal.WrongContainer, "The loan was made for container %s; this is container %s.", shorten(string(a.Holder)), serial).
			With("made_for", string(a.Holder)).With("this_is", string(serial))
	}
	answer := LoanAnswer{
		Server: SerialOf(a.Server), Holder: a.Holder, Nonce: a.Nonce, Time: a.Time,
		Outcomes: a.Outcomes, Confirmed: a.Confirmed, Document: a.Loan,
	}
	if len(a.Loan) == 0 {
		return answer, nil
	}
	l, from, err := v.lease(a.Loan)
	if err != nil {
		return LoanAnswer{}, err
	}
	if l.Server != answer.Server || from.key.id != key.id ||
		l.Holder != a.Holder || !bytes.Equal(l.HolderKey, keys.Identity("").SigningKey) {
		return LoanAnswer{}, badSignature()
	}
	answer.Lease, answer.Body = l, from.ownBody()
	return answer, nil
}

// peekLoanAnswer reads an answer whose signature nobody has looked at yet.
func peekLoanAnswer(raw []byte) (message, loanAnswer, error) {
	const what = "loan"
	m, err := parse(what, MaxLoan, raw)
	if err != nil {
		return m, loanAnswer{}, err
	}
	a, err := decode[loanAnswer](what, MaxLoan, m.Payload)
	switch {
	case err != nil:
		return m, a, err
	case a.Version != Version:
		return m, a, unsupported(what, a.Version)
	case a.Suite != uint64(suite1):
		return m, a, unsupportedSuite(what, a.Suite)
	}
	return m, a, nil
}

func checkLoanAnswer(a loanAnswer) error {
	odd := func(o container.Outcome) bool { return !plainValue(o.Details) }
	switch {
	case !goodIdentity(a.Server), a.Holder == "", a.Nonce == "", a.Time <= 0,
		len(a.Outcomes) > mostPerLoan, len(a.Confirmed) > mostPerLoan,
		slices.ContainsFunc(a.Outcomes, odd):
		return damaged("loan")
	}
	return nil
}

// inspectLoan says whose a loan request or an answer is.
func inspectLoan(kind Kind, raw []byte) (Info, error) {
	if kind == LoanRequest {
		_, r, err := peekLoanRequest(raw)
		if err != nil {
			return Info{}, err
		}
		return Info{Kind: kind, Scope: r.scope(), Container: SerialOf(r.Identity)}, nil
	}
	_, a, err := peekLoanAnswer(raw)
	if err != nil {
		return Info{}, err
	}
	return Info{Kind: kind, Scope: a.scope(), Container: a.Holder}, nil
}
