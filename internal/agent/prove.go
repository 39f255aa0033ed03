package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
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
// A program that imitates the agent has no such key (decision 21).
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
	// Answer is seal.SignAnswer over the nonce; what it says is Facts as JSON. It
	// is there whenever Body is.
	Answer []byte `json:"answer,omitempty"`
}

// Facts are what the container says of itself in a proof.
type Facts struct {
	License     license.ID         `json:"license"`
	Generation  license.Generation `json:"generation"`
	Body        []byte             `json:"body"` // hash of the license's body
	Counter     uint64             `json:"counter"`
	Now         license.Time       `json:"now"`                   // the agent's clock
	Floor       license.Time       `json:"floor,omitzero"`        // latest time known to have passed
	LastContact license.Time       `json:"last_contact,omitzero"` // vendor's time of the latest answer
	Code        refusal.Code       `json:"code"`                  // of the agent's verdict on this use
}

// Prove answers a program. It reads as a check does and never writes.
func (a *Agent) Prove(ctx context.Context, in OpenRequest) (Proof, error) {
	if len(in.Nonce) != len(container.Nonce{}) {
		return Proof{}, refusal.New(refusal.InvalidInput, "A nonce has %d bytes.", len(container.Nonce{}))
	}
	f, err := a.find(ctx, CheckRequest{Vendor: in.Vendor, Product: in.Product, Use: in.Use})
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
	b := c.box
	p.Environment, p.Step, p.Body = b.Environment, c.step, c.data
	p.Certificates = addCertificates(b.Certificates, c.vendor.trust.Certificates)
	held := b.State.Held[c.id]
	said, err := json.Marshal(Facts{
		License: c.id, Generation: held.Generation, Body: held.Body[:], Counter: b.State.Number,
		Now: a.now(), Floor: b.State.Floor, LastContact: b.State.LastContact, Code: p.Verdict.Code,
	})
	if err != nil {
		return Proof{}, fmt.Errorf("agent: encode facts: %w", err)
	}
	p.Answer, err = seal.SignAnswer(b.scope(), b.keys, container.Nonce(in.Nonce), said)
	return p, err
}
