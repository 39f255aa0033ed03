package seal

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// Verifier checks what one vendor signs for one environment. It remembers the
// certificates it has checked, so that a document costs one verification. It is
// safe for concurrent use.
type Verifier struct {
	scope    Scope
	external map[purpose][]byte // the external data of what issuing keys and license servers sign

	mu      sync.RWMutex
	trust   *Trust // the newest bundle
	root    publicKey
	former  []publicKey // roots before it, whose certificates count no more
	issuing map[KeyID]issuer
	named   map[KeyID]bool    // of which the bundle alone tells; true if it is revoked
	others  map[string]bool   // certificates that were checked and say nothing of an issuing key, by their bytes
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
	v := &Verifier{scope: t.Scope, external: map[purpose][]byte{}, others: map[string]bool{}}
	for _, p := range []purpose{forStep, forUpdate, forTime, forBlockList, forOrigins, forLease, forLoan} {
		v.external[p] = external(p, t.Scope, suite1)
	}
	if err := v.goBy(t); err != nil {
		return nil, err
	}
	return v, v.Add(certificates...)
}

// Scope is the vendor and environment whose documents pass.
func (v *Verifier) Scope() Scope { return v.scope }

// Trust is the newest bundle that the verifier goes by. It is only to be read.
func (v *Verifier) Trust() *Trust {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.trust
}

// Follow has the verifier go by a newer bundle of its vendor from now on, by the
// same root or one that came after it; reports whether it does. An older one is
// passed over.
func (v *Verifier) Follow(t *Trust) bool { return v.goBy(t) == nil }

// FollowSigned is Follow for a bundle as it was signed: one that is no newer costs
// nothing and is passed over, one that does not prove to be the vendor's is refused.
func (v *Verifier) FollowSigned(raw []byte) (followed bool, err error) {
	now := v.Trust()
	if len(raw) == 0 || bytes.Equal(raw, now.Signed) {
		return false, nil
	}
	_, b, err := peekTrust(raw)
	if err != nil {
		return false, err
	}
	if b.Number <= now.Number {
		return false, nil // nobody looks at what brings nothing new
	}
	t, err := openTrust(raw)
	if err != nil {
		return false, err
	}
	if !v.Follow(t) {
		return false, badSignature()
	}
	return true, nil
}

// goBy takes over what a bundle says, if it follows the one known. Of the keys that
// it names, it alone tells; what was known of others stays, unless the root is
// another.
func (v *Verifier) goBy(t *Trust) error {
	root, ok := t.rooted()
	if !ok {
		return badSignature()
	}
	type known struct {
		Certificate
		doc []byte
	}
	var list []known
	for _, doc := range t.Certificates {
		c, err := t.certificate(root, doc)
		if err != nil {
			return err
		}
		list = append(list, known{c, doc})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.trust != nil && !t.Follows(v.trust) {
		return badSignature()
	}
	old := v.issuing
	if v.root.id != root.id {
		old = nil
	}
	v.trust, v.root, v.former = t, root, nil
	v.issuing, v.named, v.lessors = map[KeyID]issuer{}, map[KeyID]bool{}, map[string]lessor{}
	for _, f := range t.proven.former {
		if k, ok := newPublicKey(f.Root); ok {
			v.former = append(v.former, k)
		}
	}
	for _, k := range list {
		v.learn(k.Certificate, k.doc)
	}
	if t.Format > 1 {
		for _, k := range list {
			v.named[k.KeyID()] = false
		}
		for _, r := range t.Revoked {
			v.named[r.Key] = true
		}
	}
	for id, i := range old {
		for n, doc := range i.signed {
			if _, named := v.named[id]; !named {
				v.learn(i.certificates[n], doc)
			}
		}
	}
	return nil
}

// Add makes further issuing keys known, if the root certified them all. It passes
// over certificates of sealing keys, of keys of which the bundle alone tells, and
// of a root that another came after.
func (v *Verifier) Add(certificates ...[]byte) error {
	for _, doc := range certificates {
		v.mu.RLock()
		known, root, former := v.knows(doc), v.root, v.former
		v.mu.RUnlock()
		if known {
			continue
		}
		c, err := openCertificate(v.scope, root, doc)
		passed := err != nil && slices.ContainsFunc(former, func(k publicKey) bool {
			_, err := openCertificate(v.scope, k, doc)
			return err == nil
		})
		if err != nil && !passed {
			return err
		}
		v.mu.Lock()
		if _, named := v.named[c.KeyID()]; passed || named {
			v.others[string(doc)] = true
		} else {
			v.learn(c, doc)
		}
		v.mu.Unlock()
	}
	return nil
}

// learn remembers a certificate that was checked; mu is held.
func (v *Verifier) learn(c Certificate, doc []byte) {
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

// knows reports whether the very same certificate was checked before; mu is held.
func (v *Verifier) knows(doc []byte) bool {
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
	v.mu.RLock()
	root := v.root
	v.mu.RUnlock()
	return openCertificate(v.scope, root, doc)
}

// check verifies a document of an issuing key.
func (v *Verifier) check(p purpose, what string, m *message) (issuer, error) {
	v.mu.RLock()
	i, ok := v.issuing[m.key]
	revoked := v.named[m.key]
	v.mu.RUnlock()
	switch {
	case revoked:
		return i, keyRevoked(what)
	case !ok:
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
	i, err := v.check(p, what, &m)
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

// Steps checks the steps of an update with the bodies of all licenses they put. A
// step that was signed with a revoked key counts where a good one follows on it: that
// names, by the plan hash, exactly what is before it (docs/protocol.md R4).
func (v *Verifier) Steps(list []container.SignedStep) ([]container.Incoming, error) {
	steps := make([]container.Incoming, len(list))
	for n := len(list) - 1; n >= 0; n-- {
		s, err := v.Step(list[n].Signed)
		if refusal.Is(err, refusal.KeyRevoked) && n+1 < len(list) {
			s, err = before(steps[n+1].Step, list[n].Signed, err)
		}
		if err != nil {
			return nil, err
		}
		if steps[n], err = incoming(s, list[n]); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// before reads a step on which a proven one follows, or refuses it with no.
func before(next container.Step, signed []byte, no error) (container.Step, error) {
	m, err := parse("step", MaxStep, signed)
	if err != nil {
		return container.Step{}, err
	}
	s, err := DecodeStep(m.Payload)
	if err != nil {
		return container.Step{}, err
	}
	if s.Container != next.Container || s.Number+1 != next.Number || container.NextPlan(s.Previous, s.Unsigned) != next.Previous {
		return container.Step{}, no
	}
	return s, nil
}

// Incoming checks a step of an update with the bodies of all licenses it puts.
func (v *Verifier) Incoming(in container.SignedStep) (container.Incoming, error) {
	s, err := v.Step(in.Signed)
	if err != nil {
		return container.Incoming{}, err
	}
	return incoming(s, in)
}

// incoming adds the bodies to a step that was checked.
func incoming(s container.Step, in container.SignedStep) (container.Incoming, error) {
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
