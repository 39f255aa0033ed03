package seal

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync"

	"licet/container"
	"licet/license"
)

// Verifier checks what one vendor signs for one environment. It remembers the
// certificates it has checked, so that a document costs one verification. It is
// safe for concurrent use.
type Verifier struct {
	scope    Scope
	root     publicKey
	external map[purpose][]byte // the external data of what issuing keys and license servers sign

	mu      sync.RWMutex
	issuing map[KeyID]issuer
	others  map[string]bool   // certificates of other keys that were checked, by their bytes
	lessors map[string]lessor // licenses of lease documents that were checked, by the bytes of their part
}

// issuer is an issuing key and what the root says of it.
type issuer struct {
	publicKey
	certificates []Certificate
	signed       [][]byte
}

func (i issuer) covers(t license.Time) bool {
	return slices.ContainsFunc(i.certificates, func(c Certificate) bool { return c.Covers(t) })
}

// NewVerifier makes a verifier that trusts the root in t, for the scope of t,
// and knows the issuing keys of the certificates in t and of further ones. A
// program that must not be led to trust another vendor fills Scope and Root of t
// with constants of its own.
func NewVerifier(t *Trust, certificates ...[]byte) (*Verifier, error) {
	if err := t.Scope.Check(); err != nil {
		return nil, err
	}
	root, ok := newPublicKey(t.Root)
	if !ok || VendorOf(t.Root) != t.Scope.Vendor {
		return nil, badSignature()
	}
	v := &Verifier{scope: t.Scope, root: root, external: map[purpose][]byte{}, issuing: map[KeyID]issuer{}, others: map[string]bool{}, lessors: map[string]lessor{}}
	for _, p := range []purpose{forStep, forUpdate, forTime, forBlockList, forOrigins, forLease, forLoan} {
		v.external[p] = external(p, t.Scope, suite1)
	}
	for _, doc := range t.Certificates {
		c, err := t.certificate(root, doc)
		if err != nil {
			return nil, err
		}
		v.learn(c, doc)
	}
	return v, v.Add(certificates...)
}

// Scope is the vendor and environment whose documents pass.
func (v *Verifier) Scope() Scope { return v.scope }

// Add makes further issuing keys known, if the root certified them all. It
// passes over certificates of sealing keys.
func (v *Verifier) Add(certificates ...[]byte) error {
	for _, doc := range certificates {
		if v.knows(doc) {
			continue
		}
		c, err := openCertificate(v.scope, v.root, doc)
		if err != nil {
			return err
		}
		v.learn(c, doc)
	}
	return nil
}

// learn remembers a certificate that was checked.
func (v *Verifier) learn(c Certificate, doc []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Use != Issuing {
		v.others[string(doc)] = true
		return
	}
	k, _ := newPublicKey(c.Public)
	i := v.issuing[k.id]
	if !slices.ContainsFunc(i.signed, func(b []byte) bool { return bytes.Equal(b, doc) }) {
		// Slices are copied: a reader may hold the old ones.
		v.issuing[k.id] = issuer{
			publicKey:    k,
			certificates: append(slices.Clone(i.certificates), c),
			signed:       append(slices.Clone(i.signed), bytes.Clone(doc)),
		}
	}
}

// knows reports whether the very same certificate was checked before.
func (v *Verifier) knows(doc []byte) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.others[string(doc)] {
		return true
	}
	for _, i := range v.issuing {
		for _, b := range i.signed {
			if bytes.Equal(b, doc) {
				return true
			}
		}
	}
	return false
}

// Certificate checks a certificate and reads it.
func (v *Verifier) Certificate(doc []byte) (Certificate, error) {
	return openCertificate(v.scope, v.root, doc)
}

// check verifies a document of an issuing key.
func (v *Verifier) check(p purpose, m *message) (issuer, error) {
	v.mu.RLock()
	i, ok := v.issuing[m.key]
	v.mu.RUnlock()
	if !ok {
		return i, badSignature()
	}
	return i, m.verifyUnder(v.external[p], i.publicKey)
}

// open verifies a document and gives its payload.
func (v *Verifier) open(p purpose, what string, limit int, doc []byte) ([]byte, issuer, error) {
	m, err := parse(what, limit, doc)
	if err != nil {
		return nil, issuer{}, err
	}
	i, err := v.check(p, &m)
	return m.Payload, i, err
}

// Step checks a signed step.
func (v *Verifier) Step(signed []byte) (container.Step, error) {
	payload, i, err := v.open(forStep, "step", MaxStep, signed)
	if err != nil {
		return container.Step{}, err
	}
	s, err := DecodeStep(payload)
	if err != nil {
		return container.Step{}, err
	}
	if !i.covers(s.Time) {
		return container.Step{}, outOfItsTime("step")
	}
	return s, nil
}

// License checks a license: a body and the signed step that puts it into its
// container. It costs one signature verification.
func (v *Verifier) License(signed, body []byte) (container.Step, container.Body, error) {
	if len(body) > MaxBody {
		return container.Step{}, container.Body{}, tooLarge("license", len(body), MaxBody)
	}
	s, err := v.Step(signed)
	if err != nil {
		return container.Step{}, container.Body{}, err
	}
	hash := container.Hash(sha256.Sum256(body))
	for _, op := range s.Ops {
		if op.Kind == container.Put && op.Body == hash {
			b, err := namedBody(s, op, body)
			if err != nil {
				return container.Step{}, container.Body{}, err
			}
			return s, b, nil
		}
	}
	return container.Step{}, container.Body{}, badSignature()
}

// Incoming checks a step of an update with the bodies of all licenses it puts.
func (v *Verifier) Incoming(in container.SignedStep) (container.Incoming, error) {
	s, err := v.Step(in.Signed)
	if err != nil {
		return container.Incoming{}, err
	}
	bodies := in.Bodies
	var units []container.Counted
	for _, op := range s.Ops {
		if op.Kind != container.Put {
			continue
		}
		if len(bodies) == 0 || sha256.Sum256(bodies[0]) != op.Body {
			return container.Incoming{}, badSignature()
		}
		b, err := namedBody(s, op, bodies[0])
		if err != nil {
			return container.Incoming{}, err
		}
		if b.Terms.Units > 0 {
			units = append(units, container.Counted{License: b.License, Generation: b.Generation, Used: b.Used})
		}
		bodies = bodies[1:]
	}
	if len(bodies) != 0 {
		return container.Incoming{}, damaged("update")
	}
	return container.Incoming{Step: s, Signed: in.Signed, Bodies: in.Bodies, Units: units}, nil
}

// namedBody reads the body whose hash an operation names and holds it to that.
func namedBody(s container.Step, op container.Op, body []byte) (container.Body, error) {
	b, err := DecodeBody(body)
	if err != nil {
		return b, err
	}
	if b.License != op.License || b.Generation != op.Generation || b.Product != op.Product || b.Container != s.Container {
		return b, badSignature()
	}
	return b, nil
}
