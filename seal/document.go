package seal

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// EncodeStep writes the step that is to be signed and keeps the bytes in
// s.Unsigned.
func EncodeStep(s *container.Step) []byte {
	s.Unsigned = mustEncode(*s)
	return s.Unsigned
}

// DecodeStep reads the unsigned bytes of a step. It checks no signature.
func DecodeStep(unsigned []byte) (container.Step, error) {
	s, err := decode[container.Step]("step", MaxStep, unsigned)
	if err != nil {
		return container.Step{}, err
	}
	if !goodOps(s.Ops) {
		return container.Step{}, damaged("step")
	}
	s.Unsigned = bytes.Clone(unsigned)
	return s, nil
}

// goodOps reports whether operations are of kinds and phases that there are.
func goodOps(ops []container.Op) bool {
	return !slices.ContainsFunc(ops, func(op container.Op) bool {
		put, drop := op.Kind == container.Put, op.Kind == container.Drop
		return op.Phase < container.Withdraw || op.Phase > container.Activate || !put && !drop || drop && op.Body != (container.Hash{})
	})
}

// SignStep signs a step, after EncodeStep if that was not done, with an issuing
// key.
func SignStep(s Scope, issuing *SigningKey, step *container.Step) (signed []byte, err error) {
	if issuing.use != Issuing {
		return nil, fault("steps are signed by an issuing key")
	}
	if unsigned := EncodeStep(step); len(unsigned) > MaxStep || !readable(unsigned) || !goodOps(step.Ops) {
		if _, err := DecodeStep(unsigned); err != nil {
			return nil, fault("step: %v", err)
		}
	}
	return sign(forStep, s, issuing.private, step.Unsigned)
}

// EncodeBody writes the body of a license and its hash, which stands in the step
// that puts it into a container.
func EncodeBody(b container.Body) ([]byte, container.Hash, error) {
	body, err := encode("license", MaxBody, b)
	if err != nil {
		return nil, container.Hash{}, err
	}
	return body, sha256.Sum256(body), nil
}

// DecodeBody reads the body of a license. By itself it proves nothing: see
// Verifier.License.
func DecodeBody(body []byte) (container.Body, error) {
	return decode[container.Body]("license", MaxBody, body)
}

// timeAnswer is the vendor's time in answer to a nonce.
type timeAnswer struct {
	Nonce container.Nonce `cbor:"1,keyasint"`
	Time  license.Time    `cbor:"2,keyasint"`
}

// SignTime answers a nonce with the vendor's time.
func SignTime(s Scope, issuing *SigningKey, nonce container.Nonce, now license.Time) ([]byte, error) {
	if issuing.use != Issuing {
		return nil, fault("times are signed by an issuing key")
	}
	payload, err := encode("time", MaxTime, timeAnswer{nonce, now})
	if err != nil {
		return nil, err
	}
	return sign(forTime, s, issuing.private, payload)
}

// Time checks the vendor's time in answer to a nonce.
func (v *Verifier) Time(doc []byte, nonce container.Nonce) (license.Time, error) {
	payload, i, err := v.open(forTime, "time", MaxTime, doc)
	if err != nil {
		return 0, err
	}
	a, err := decode[timeAnswer]("time", MaxTime, payload)
	if err != nil {
		return 0, err
	}
	if a.Nonce != nonce {
		return 0, badSignature()
	}
	if !i.covers(a.Time) {
		return 0, outOfItsTime("time")
	}
	return a.Time, nil
}

// answer is what a container says to a program that wants to know whom it
// speaks to.
type answer struct {
	Nonce container.Nonce `cbor:"1,keyasint"`
	Said  []byte          `cbor:"2,keyasint"`
}

// SignAnswer answers a program's nonce with the container's key; said is what
// the two agreed to have signed with it, and may be empty.
func SignAnswer(s Scope, keys *ContainerKeys, nonce container.Nonce, said []byte) ([]byte, error) {
	payload, err := encode("answer", MaxAnswer, answer{nonce, said})
	if err != nil {
		return nil, err
	}
	return sign(forAnswer, s, keys.signing, payload)
}

// OpenAnswer checks an answer against the key that the license names for its
// container, and returns what was said with it.
func OpenAnswer(s Scope, containerKey, doc []byte, nonce container.Nonce) (said []byte, err error) {
	k, ok := newPublicKey(containerKey)
	if !ok {
		return nil, badSignature()
	}
	m, err := parse("answer", MaxAnswer, doc)
	if err != nil {
		return nil, err
	}
	if err := m.verify(forAnswer, s, k); err != nil {
		return nil, err
	}
	a, err := decode[answer]("answer", MaxAnswer, m.Payload)
	if err != nil {
		return nil, err
	}
	if a.Nonce != nonce {
		return nil, badSignature()
	}
	return a.Said, nil
}

// outOfItsTime refuses a good signature by a key that was not to be used then.
func outOfItsTime(what string) error {
	return refusal.New(refusal.BadSignature, "The %s was signed with a key that was not valid at its time. Nothing was changed.", what)
}
