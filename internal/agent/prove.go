package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

// OpenRequest is a program's question, with a nonce that it draws each time.
type OpenRequest struct {
	Vendor  string    `json:"vendor"`
	Product string    `json:"product"`
	Use     terms.Use `json:"use"`
	Nonce   []byte    `json:"nonce"` // 16 bytes
}

// Proof lets a program find out for itself what the agent found: the vendor's
// documents, which it verifies against the root it was built with, and the
// state of the container, signed with the key that the license document names.
// A program that imitates the agent has no such key.
type Proof struct {
	Verdict      terms.Verdict  `json:"verdict"` // the agent's opinion, for messages
	Hint         string         `json:"hint,omitempty"`
	License      license.ID     `json:"license,omitempty"`
	Container    license.Serial `json:"container,omitempty"`
	Vendor       string         `json:"vendor,omitempty"`
	Environment  string         `json:"environment,omitempty"`
	Step         []byte         `json:"step,omitempty"` // signed
	Body         []byte         `json:"body,omitempty"`
	Certificates [][]byte       `json:"certificates,omitempty"`
	Trust        []byte         `json:"trust,omitempty"` // the newest trust bundle known here, as it was signed
	// Answer is seal.SignAnswer over the nonce; what it says is Facts as JSON. It
	// is there whenever Body is.
	Answer []byte `json:"answer,omitempty"`
	// Lease is the document of a loan, in place of Step and Body: the license is
	// the server's, and the loan names the key of this container.
	Lease []byte `json:"lease,omitempty"`
}

// Facts are what the container says of itself in a proof.
type Facts struct {
	License     license.ID         `json:"license"`
	Generation  license.Generation `json:"generation"`
	Body        []byte             `json:"body"` // hash of the license's body, or of the loan's document
	Counter     uint64             `json:"counter"`
	Now         license.Time       `json:"now"`                   // the agent's clock
	Floor       license.Time       `json:"floor,omitzero"`        // latest time known to have passed
	LastContact license.Time       `json:"last_contact,omitzero"` // vendor's time of the latest answer
	Code        refusal.Code       `json:"code"`                  // of the agent's verdict on this use
	Used        int64              `json:"used,omitzero"`         // units of the license that are used
	Took        int64              `json:"took,omitzero"`         // of them, what this very call took
}

// Prove answers a program. It reads as a check does and never writes.
//
// It shows one license, the best it could see. Where that one may not be used and
// a container could not be opened (another program holds it, it is damaged), a
// better license may lie in there: the verdict then has the reason of that
// container too. The answer stays no: "could not tell" never means yes.
func (a *Agent) Prove(ctx context.Context, in OpenRequest) (Proof, error) {
	if len(in.Nonce) != len(container.Nonce{}) {
		return Proof{}, refusal.New(refusal.InvalidInput, "A nonce has %d bytes.", len(container.Nonce{}))
	}
	f, err := a.find(ctx, CheckRequest{Vendor: in.Vendor, Product: in.Product, Use: in.Use}, a.trusted, Blocks{}, a.Sharing(ctx))
	if err != nil {
		return Proof{}, err
	}
	p := Proof{
		Verdict: f.result.Verdict, Hint: f.result.Hint,
		License: f.result.License, Container: f.result.Container, Vendor: f.result.Vendor,
	}
	c := f.best
	if c == nil || c.no != nil {
		return p, nil // nothing that could be proven
	}
	return a.proof(p, c, container.Nonce(in.Nonce), 0)
}

// proof adds the vendor's documents of a license and what its container says of
// itself, with the units that were just taken.
func (a *Agent) proof(p Proof, c *candidate, nonce container.Nonce, took int64) (Proof, error) {
	b := c.box
	p.Environment = b.Environment
	p.Certificates, p.Trust = addCertificates(b.Certificates, c.by.certificates), c.by.trust
	generation, hash := c.generation, sha256.Sum256(c.data)
	if c.loan == nil {
		generation = b.State.Held[c.id].Generation
		p.Step, p.Body = c.step, c.data
	} else {
		p.Lease = c.data
	}
	said, err := json.Marshal(Facts{
		License: c.id, Generation: generation, Body: hash[:], Counter: b.State.Number,
		Now: a.now(), Floor: b.State.Floor, LastContact: b.State.ContactOf(c.id), Code: p.Verdict.Code,
		Used: c.used(), Took: took,
	})
	if err != nil {
		return Proof{}, fmt.Errorf("agent: encode facts: %w", err)
	}
	keys, err := b.keys()
	if err != nil {
		return Proof{}, err
	}
	p.Answer, err = seal.SignAnswer(b.scope(), keys, nonce, said)
	return p, err
}

// LookRequest is the question of a program that reads the files itself.
type LookRequest struct {
	Scope   seal.Scope // whose licenses count, and in which environment
	Product string
	Use     terms.Use
	// License checks the vendor's documents: his signature over the step, under the
	// root that the program was built with, and the step's hash of the body.
	License func(step, body []byte, known Known) (container.Body, error)
	// Lease checks the document of a loan in the same way.
	Lease func(document []byte, known Known) (seats.Lease, container.Body, error)
	// Blocks are what the program itself knows to be blocked.
	Blocks Blocks
}

// Known is what a machine knows of a vendor's keys. All of it was signed by his root.
type Known struct {
	Certificates [][]byte // that the container keeps
	Trust        []byte   // trust bundle that an update has brought the container, as it was signed; empty for none
	File         []byte   // the machine's trust file; empty for none
}

// Seen is what a program saw by itself.
type Seen struct {
	Verdict terms.Verdict
	Hint    string
	// Body is the license, nil if none was proven; the rest is there with it.
	Body        *container.Body
	Loan        *wire.Loan     // if a license server has lent it
	Container   license.Serial // that has it
	Floor       license.Time   // latest time known to have passed
	LastContact license.Time   // vendor's time of the latest answer
	Used        int64          // units of the license that are used
	Closed      []terms.Reason // why a container that may hold a better license did not open
}

// Look is Prove for the program in whose process it runs. Nothing is signed: the
// program has opened the container itself, with the traits of the machine it
// runs on, and a signature to itself would prove no more. What ties a license to
// the container stays: the serial is the hash of the container's public keys,
// the license names the key, and the program checks the vendor's signature over
// that. Whom the machine trusts plays no part; a newer trust bundle of the program's
// own vendor does, wherever it lies.
func (a *Agent) Look(ctx context.Context, in LookRequest) (Seen, error) {
	f, err := a.find(ctx, CheckRequest{Vendor: string(in.Scope.Vendor), Product: in.Product, Use: in.Use}, func(b *box) (judge, *refusal.Refusal) {
		if b.scope() != in.Scope {
			return judge{}, refusal.New(refusal.WrongEnvironment, "The license of this machine belongs to environment %q; the program to %q.", b.Environment, in.Scope.Environment).
				With("made_for", b.Environment).With("this_is", in.Scope.Environment)
		}
		known := Known{Certificates: b.Certificates, Trust: b.Trust}
		known.File, _ = a.trustFile(b.header.Vendor) // a program goes by its own
		return judge{license: func(step, body []byte) (container.Body, error) {
			return in.License(step, body, known)
		}, lease: func(document []byte) (seats.Lease, container.Body, error) {
			return in.Lease(document, known)
		}}, nil
	}, in.Blocks, a.Sharing(ctx))
	if err != nil {
		return Seen{}, err
	}
	s := Seen{Verdict: f.result.Verdict, Hint: f.result.Hint, Closed: f.closed}
	if c := f.best; c != nil && c.no == nil {
		s.Body, s.Floor, s.LastContact = &c.body, c.box.State.Floor, c.box.State.ContactOf(c.id)
		s.Container, s.Used = c.box.serial(), c.used()
		if c.loan != nil {
			l := c.box.describeLoan(c.lease)
			l.Since, l.Until = c.from, c.until // as signed
			s.Loan = &l
		}
	}
	return s, nil
}
