package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
)

// document is a COSE_Sign1 taken apart; nobody has looked at its signature yet.
type document struct {
	protected, payload, signature []byte
	key                           [16]byte
}

var errDocument = errors.New("not a signed document")

// parseDocument reads tag 18, [protected {1: -8, 4: key id}, {}, payload,
// signature].
func parseDocument(b []byte) (document, error) {
	var d document
	if len(b) == 0 || b[0] != 0xd2 {
		return d, errDocument
	}
	v, err := readCBOR(b[1:])
	list, ok := v.([]any)
	if err != nil || !ok || len(list) != 4 {
		return d, errDocument
	}
	var ok1, ok3, ok4 bool
	d.protected, ok1 = list[0].([]byte)
	header, ok2 := list[1].(cborMap)
	d.payload, ok3 = list[2].([]byte)
	d.signature, ok4 = list[3].([]byte)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(header) != 0 {
		return d, errDocument
	}
	p, err := readMap(d.protected)
	if err != nil || len(p) != 2 || p.get(uint64(1)) != int64(-8) || len(p.bytes(4)) != len(d.key) {
		return d, errDocument
	}
	copy(d.key[:], p.bytes(4))
	return d, nil
}

// signedBy reports whether a key signed the document for a purpose.
func (d document) signedBy(public ed25519.PublicKey, purpose string, s scope) bool {
	return d.signedAs(1, public, purpose, s)
}

// signedAs is signedBy for a document of another format version.
func (d document) signedAs(version int, public ed25519.PublicKey, purpose string, s scope) bool {
	if len(public) != ed25519.PublicKeySize || d.key != keyID(public) {
		return false
	}
	external := writeArray("licet", purpose, s.vendor, s.environment, version, 1)
	return ed25519.Verify(public, writeArray("Signature1", d.protected, external, d.payload), d.signature)
}

// scope is the vendor and environment under every signature.
type scope struct{ vendor, environment string }

func keyID(public []byte) [16]byte {
	h := sha256.Sum256(public)
	return [16]byte(h[:16])
}

// vendorName and serialName are names made from public keys.
func vendorName(root []byte) string { return "v" + strings.ToLower(nameOf("vendor", root)) }

func serialName(signing, sealing []byte) string { return nameOf("container", signing, sealing) }

func nameOf(what string, keys ...[]byte) string {
	list := []any{"licet", what, 1}
	for _, k := range keys {
		list = append(list, k)
	}
	h := sha256.Sum256(writeArray(list...))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:16])
}

// unarmor takes a file out of its text armor.
func unarmor(file []byte) (label string, raw []byte, err error) {
	first, rest, _ := bytes.Cut(file, []byte("\n"))
	label, ok := strings.CutPrefix(string(first), "-----BEGIN LICET ")
	label, ok2 := strings.CutSuffix(label, "-----")
	body, ok3 := bytes.CutSuffix(rest, []byte("-----END LICET "+label+"-----\n"))
	if !ok || !ok2 || !ok3 {
		return "", nil, errDocument
	}
	raw, err = base64.StdEncoding.Strict().DecodeString(string(bytes.ReplaceAll(body, []byte("\n"), nil)))
	return label, raw, err
}

// The hashes that chain the steps of a container's log.

func planStart(serial string) [32]byte { return sha256.Sum256([]byte("licet plan of " + serial)) }

func lifeStart(serial string) [32]byte { return sha256.Sum256([]byte("licet life of " + serial)) }

func nextPlan(before [32]byte, payload []byte) [32]byte {
	return sha256.Sum256(append(before[:], payload...))
}

// certificate is the root's word on a key.
type certificate struct {
	use                 string
	public              []byte
	notBefore, notAfter int64
}

func (c certificate) covers(time int64) bool {
	return c.notBefore <= time && (c.notAfter == 0 || time < c.notAfter)
}

// parseCertificate reads a certificate that the root signed.
func parseCertificate(b []byte, root ed25519.PublicKey, s scope) (certificate, bool) {
	var c certificate
	d, err := parseDocument(b)
	if err != nil || !d.signedBy(root, "key", s) {
		return c, false
	}
	m, err := readMap(d.payload)
	if err != nil {
		return c, false
	}
	suite, _ := m.number(1)
	c.use, c.public = m.text(2), m.bytes(3)
	var ok1, ok2 bool
	c.notBefore, ok1 = m.number(4)
	c.notAfter, ok2 = m.number(5)
	return c, ok1 && ok2 && suite == 1
}

// trust is a trust bundle whose root signed it.
type trust struct {
	scope
	name, address string
	number        int64
	root          []byte
	certificates  [][]byte
	revoked       map[[16]byte]bool
	next          []byte   // hash of the root that comes after this one
	roots         [][]byte // this one, and those before it
}

func parseTrust(file []byte) (trust, error) {
	label, raw, err := unarmor(file)
	if err != nil || label != "TRUST" && label != "TRUST 2" {
		return trust{}, errors.New("it is no trust file")
	}
	return parseBundle(raw, 8)
}

// parseBundle reads a bundle of format version 1 or 2, and those of the roots before
// its own.
func parseBundle(raw []byte, roots int) (trust, error) {
	var t trust
	d, err := parseDocument(raw)
	if err != nil {
		return t, err
	}
	m, err := readMap(d.payload)
	if err != nil {
		return t, err
	}
	version, _ := m.number(1)
	t = trust{scope: scope{m.text(3), m.text(4)}, name: m.text(5), root: m.bytes(6), address: m.text(7), revoked: map[[16]byte]bool{}, next: m.bytes(14)}
	t.number, _ = m.number(8)
	t.roots = [][]byte{t.root}
	list, _ := m.get(uint64(10)).([]any)
	for _, v := range list {
		c, _ := v.([]byte)
		t.certificates = append(t.certificates, c)
	}
	list, _ = m.get(uint64(12)).([]any)
	for _, v := range list {
		r, _ := v.(cborMap)
		if id := r.bytes(1); len(id) == 16 {
			t.revoked[[16]byte(id)] = true
		}
	}
	if version != 1 && version != 2 || !d.signedAs(int(version), t.root, "trust", t.scope) {
		return t, errors.New("its signature is not that of the root in it")
	}
	if vendorName(t.root) == t.vendor {
		return t, nil
	}
	before, err := parseBundle(m.bytes(15), roots-1)
	named := sha256.Sum256(writeArray("licet", "root", 1, t.root))
	if err != nil || roots == 0 || before.scope != t.scope || before.number >= t.number || !bytes.Equal(before.next, named[:]) {
		return t, errors.New("the root in it is not that of its vendor id, and none before it has named it")
	}
	t.roots = append(t.roots, before.roots...)
	return t, nil
}

// operation is one operation of a signed step.
type operation struct {
	kind, phase int64
	license     string
	generation  int64
	product     string
	body        []byte
}

// step is the signed content of a step.
type step struct {
	container     string
	epoch, number int64
	previous      []byte
	time          int64
	ops           []operation
	lock          int64 // 0 nothing, 1 closes the container, 2 opens it
}

func parseStep(payload []byte) (step, error) {
	m, err := readMap(payload)
	if err != nil {
		return step{}, err
	}
	s := step{container: m.text(1), previous: m.bytes(4)}
	var ok [3]bool
	s.epoch, ok[0] = m.number(2)
	s.number, ok[1] = m.number(3)
	s.time, ok[2] = m.number(5)
	list, is := m.get(uint64(6)).([]any)
	if ok != [3]bool{true, true, true} || !is {
		return s, errDocument
	}
	if len(m) == 7 { // left out where it does nothing
		if s.lock, is = m.number(7); !is || s.lock < 1 || s.lock > 2 {
			return s, errDocument
		}
	} else if len(m) != 6 {
		return s, errDocument
	}
	for _, v := range list {
		o, is := v.(cborMap)
		if !is || len(o) != 6 {
			return s, errDocument
		}
		op := operation{license: o.text(3), product: o.text(5), body: o.bytes(6)}
		op.kind, ok[0] = o.number(1)
		op.phase, ok[1] = o.number(2)
		op.generation, ok[2] = o.number(4)
		if ok != [3]bool{true, true, true} || len(op.body) != sha256.Size {
			return s, errDocument
		}
		s.ops = append(s.ops, op)
	}
	return s, nil
}

// body is what a container holds of a license.
type body struct {
	license          string
	generation       int64
	container        string
	containerKey     []byte
	product          string
	features         []string
	customer, number string
	activated        int64
	used             int64 // units, before it came into the container
	terms            terms
}

func parseBody(b []byte) (body, error) {
	m, err := readMap(b)
	if err != nil {
		return body{}, err
	}
	out := body{license: m.text(1), container: m.text(3), containerKey: m.bytes(4), product: m.text(5), customer: m.text(10), number: m.text(11)}
	var ok1, ok2 bool
	out.generation, ok1 = m.number(2)
	out.activated, ok2 = m.number(12)
	list, ok3 := m.get(uint64(7)).([]any)
	t, ok4 := m.get(uint64(13)).(cborMap)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return out, errDocument
	}
	if m.get(uint64(14)) != nil { // left out where none is used
		if out.used, ok1 = m.number(14); !ok1 || out.used <= 0 {
			return out, errDocument
		}
	}
	for _, v := range list {
		f, _ := v.(string)
		out.features = append(out.features, f)
	}
	out.terms = terms{}
	return out, out.terms.takeCBOR("", t)
}
