package seal

import (
	"bytes"
	"crypto"
	"crypto/ed25519"

	"github.com/veraison/go-cose"
)

// sign makes a COSE_Sign1 whose protected header holds the algorithm and the
// key id and whose unprotected header is empty. Its frame is fixed, as parse has
// it, so it is written and not encoded; go-cose verifies what is written here.
func sign(p purpose, s Scope, private crypto.Signer, payload []byte) ([]byte, error) {
	return signVersion(p, s, Version, private, payload)
}

// signVersion is sign for a document of another format version. An error of the
// signer, which may be a machine elsewhere, is given as it is.
func signVersion(p purpose, s Scope, version uint64, private crypto.Signer, payload []byte) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	id := KeyIDOf(private.Public().(ed25519.PublicKey))
	doc := make([]byte, 0, len(headStart)+len(id)+len(payload)+ed25519.SignatureSize+12)
	doc = append(append(doc, headStart...), id[:]...)
	protected := doc[2:] // with its head

	// The Sig_structure of RFC 9052, section 4.4.
	signed := make([]byte, 0, len(protected)+len(payload)+120)
	signed = append(signed, "\x84\x6aSignature1"...)
	signed = append(signed, protected...)
	signed = appendBytes(signed, externalVersion(p, s, suite1, version))
	signed = appendBytes(signed, payload)

	signature, err := private.Sign(nil, signed, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	doc = append(doc, 0xa0)
	doc = appendBytes(doc, payload)
	return appendBytes(doc, signature), nil
}

// message is a COSE_Sign1 in its one spelling whose signature nobody has looked
// at yet.
type message struct {
	cose.Sign1Message
	key KeyID
}

// parse takes a document apart. Its frame is fixed, so it is compared and not
// decoded: reading the headers as maps would cost a third of a whole check and
// prove nothing more.
func parse(what string, limit int, doc []byte) (message, error) {
	var m message
	if len(doc) > limit {
		return m, tooLarge(what, len(doc), limit)
	}
	const idEnd = len(headStart) + len(m.key)
	if len(doc) < idEnd+1 || string(doc[:len(headStart)]) != headStart || doc[idEnd] != 0xa0 {
		return m, damaged(what)
	}
	payload, rest, ok := takeBytes(doc[idEnd+1:])
	if !ok {
		return m, damaged(what)
	}
	signature, rest, ok := takeBytes(rest)
	if !ok || len(rest) != 0 || len(signature) != ed25519.SignatureSize {
		return m, damaged(what)
	}
	m.key = KeyID(doc[len(headStart):idEnd])
	m.Headers = cose.Headers{Protected: algorithmOnly, RawProtected: doc[2:idEnd:idEnd]}
	m.Payload, m.Signature = payload, signature
	return m, nil
}

// algorithmOnly is what go-cose looks at before it verifies; it is only read.
// The signature is checked over the raw header.
var algorithmOnly = cose.ProtectedHeader{cose.HeaderLabelAlgorithm: suites[suite1].signature}

// takeBytes reads a CBOR byte string whose head is the shortest.
func takeBytes(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0]>>5 != 2 {
		return nil, nil, false
	}
	n, head := uint64(b[0]&31), 1
	if n >= 24 {
		if n > 26 { // no document reaches 2³² bytes
			return nil, nil, false
		}
		width := 1 << (n - 24)
		if len(b) < 1+width {
			return nil, nil, false
		}
		n, head = 0, 1+width
		for _, c := range b[1:head] {
			n = n<<8 | uint64(c)
		}
		if width == 1 && n < 24 || width > 1 && n>>(4*width) == 0 {
			return nil, nil, false // a shorter head would do
		}
	}
	if n > uint64(len(b)-head) {
		return nil, nil, false
	}
	end := head + int(n)
	return b[head:end:end], b[end:], true
}

// headStart is how every document of the first suite begins: tag 18, an array of
// 4, and in it the protected header {1: -8 (EdDSA), 4: key id} up to the id. The
// empty unprotected header follows, a0, then the payload and the signature.
const headStart = "\xd2\x84\x55\xa2\x01\x27\x04\x50"

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
	return m.verifyUnder(external(p, s, suite1), k)
}

// verifyUnder is verify with the external data at hand.
func (m *message) verifyUnder(external []byte, k publicKey) error {
	if m.key != k.id || m.Verify(external, k) != nil {
		return badSignature()
	}
	return nil
}

// SignerOf is the id of the key that a signed document says it is by, in an update's
// file too. It proves nothing.
func SignerOf(doc []byte) (KeyID, bool) {
	if bytes.HasPrefix(doc, []byte(armorBegin)) {
		var err error
		if _, doc, err = dearmor(doc, Update); err != nil {
			return KeyID{}, false
		}
	}
	if len(doc) < len(headStart)+len(KeyID{}) || string(doc[:len(headStart)]) != headStart {
		return KeyID{}, false
	}
	return KeyID(doc[len(headStart):]), true
}
