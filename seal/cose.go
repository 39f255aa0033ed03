package seal

import (
	"bytes"
	"crypto/ed25519"

	"github.com/veraison/go-cose"
)

// sign makes a COSE_Sign1 whose protected header holds the algorithm and the
// key id and whose unprotected header is empty.
func sign(p purpose, s Scope, private ed25519.PrivateKey, payload []byte) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	signer, err := cose.NewSigner(suites[suite1].signature, private)
	if err != nil {
		return nil, fault("%w", err)
	}
	id := KeyIDOf(private[ed25519.SeedSize:])
	headers := cose.Headers{Protected: cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: suites[suite1].signature,
		cose.HeaderLabelKeyID:     id[:],
	}}
	doc, err := cose.Sign1(nil, signer, headers, payload, external(p, s, suite1))
	if err != nil {
		return nil, fault("%w", err)
	}
	return doc, nil
}

// message is a COSE_Sign1 in its one spelling whose signature nobody has looked
// at yet.
type message struct {
	cose.Sign1Message
	key KeyID
}

// parse takes a document apart.
func parse(what string, limit int, doc []byte) (message, error) {
	var m message
	if len(doc) > limit {
		return m, tooLarge(what, len(doc), limit)
	}
	// The start is compared before anything is decoded, so that no other header
	// costs more than that.
	const idAt = len(headStart)
	if len(doc) < idAt+len(m.key) {
		return m, damaged(what)
	}
	m.key = KeyID(doc[idAt:][:len(m.key)])
	start := head(m.key)
	if !bytes.HasPrefix(doc, start) {
		return m, damaged(what)
	}
	if err := m.UnmarshalCBOR(doc); err != nil {
		return m, damaged(what)
	}
	if !bytes.Equal(doc, appendBytes(appendBytes(start, m.Payload), m.Signature)) {
		return m, damaged(what)
	}
	return m, nil
}

// headStart is how every document of the first suite begins: tag 18, an array of
// 4, and in it the protected header {1: -8 (EdDSA), 4: key id} up to the id.
const headStart = "\xd2\x84\x55\xa2\x01\x27\x04\x50"

// head is the one spelling of a document up to its payload; the last byte is the
// empty unprotected header.
func head(id KeyID) []byte {
	return append(append([]byte(headStart), id[:]...), 0xa0)
}

// appendBytes writes a CBOR byte string.
func appendBytes(b, s []byte) []byte {
	const major = 2 << 5
	switch n := len(s); {
	case n < 24:
		b = append(b, major|byte(n))
	case n < 1<<8:
		b = append(b, major|24, byte(n))
	case n < 1<<16:
		b = append(b, major|25, byte(n>>8), byte(n))
	default: // no document reaches 2³² bytes
		b = append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, s...)
}

// publicKey checks signatures.
type publicKey struct {
	id KeyID
	cose.Verifier
}

func newPublicKey(public []byte) (publicKey, bool) {
	if !goodSigningKey(public) {
		return publicKey{}, false
	}
	v, err := cose.NewVerifier(suites[suite1].signature, ed25519.PublicKey(bytes.Clone(public)))
	return publicKey{id: KeyIDOf(public), Verifier: v}, err == nil
}

// verify checks the signature over the bytes of m.
func (m *message) verify(p purpose, s Scope, k publicKey) error {
	if m.key != k.id || m.Verify(external(p, s, suite1), k) != nil {
		return badSignature()
	}
	return nil
}
