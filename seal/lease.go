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

// MaxGroup is how many leases one head may sign for.
const MaxGroup = 4096

// leaseHead is what a license server's container signs for a group of leases:
// the root of a hash tree over them, and the head before it, so that what is
// missing in a row of heads shows.
type leaseHead struct {
	Number   uint64       `cbor:"1,keyasint"`
	Previous [32]byte     `cbor:"2,keyasint"` // hash of the signed head before; zero for the first
	Time     license.Time `cbor:"3,keyasint"`
	Count    uint64       `cbor:"4,keyasint"` // leases in the group
	Root     [32]byte     `cbor:"5,keyasint"`
}

// LeaseHead is a signed statement of a license server's container about a group
// of leases. Heads form a chain: each names the one before it.
type LeaseHead struct {
	Number   uint64
	Previous [32]byte // Hash of the head before; zero for the first
	Time     license.Time
	Count    int      // leases in the group
	Root     [32]byte // of the hash tree over them
	Signed   []byte
}

// Hash names the head in the one after it.
func (h LeaseHead) Hash() [32]byte { return sha256.Sum256(h.Signed) }

// leaseStatement is a lease and its proof: the way from its leaf to the root
// that the head signs.
type leaseStatement struct {
	_     struct{} `cbor:",toarray"`
	Lease []byte
	Index uint64
	Path  []byte // hashes, from the leaf up, 32 bytes each
	Head  []byte // signed
}

// EncodeLease writes a lease in its one spelling, for SignLeases. A server
// writes many, so they are written by hand; encode gives the same bytes.
func EncodeLease(l seats.Lease) ([]byte, error) {
	if err := checkLease(l); err != nil {
		return nil, fault("lease %q lacks something, or has what its kind must not have", shorten(string(l.ID)))
	}
	texts := append([]string{
		string(l.ID), string(l.Server), string(l.License), l.Product, l.Nonce, string(l.Holder),
		l.Client.ID, l.Client.Host, l.Client.User,
	}, l.Client.Groups...)
	size := 160 // heads, keys and numbers
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return nil, fault("lease %q has a text that is no UTF-8", shorten(string(l.ID)))
		}
		size += len(text) + 3
	}
	if size > MaxLease {
		return nil, fault("lease %q has %d bytes; the limit is %d", shorten(string(l.ID)), size, MaxLease)
	}
	pairs := uint64(12)
	if l.Holder != "" {
		pairs += 2
	}
	if l.Units != 0 {
		pairs++
	}
	b := appendHead(make([]byte, 0, size), cborMap, pairs)
	b = appendText(append(b, 1), string(l.ID))
	b = appendText(append(b, 2), string(l.Kind))
	b = appendText(append(b, 3), string(l.Server))
	b = appendText(append(b, 4), string(l.License))
	b = appendHead(append(b, 5), cborUint, uint64(l.Generation))
	b = appendText(append(b, 6), l.Product)
	b = appendInt(append(b, 7), l.Seats)
	b = appendClient(append(b, 8), l.Client)
	b = appendText(append(b, 9), l.Nonce)
	b = appendInt(append(b, 10), int64(l.From))
	b = appendInt(append(b, 11), int64(l.Until))
	b = appendHead(append(b, 12), cborUint, l.Fence)
	if l.Holder != "" {
		b = appendText(append(b, 13), string(l.Holder))
		b = appendBytes(append(b, 14), l.HolderKey)
	}
	if l.Units != 0 {
		b = appendInt(append(b, 15), l.Units)
	}
	return b, nil
}

func appendClient(b []byte, c seats.Client) []byte {
	b = appendHead(b, cborMap, 5)
	b = appendText(append(b, 1), c.ID)
	b = appendText(append(b, 2), c.Host)
	b = appendText(append(b, 3), c.User)
	b = appendInt(append(b, 4), c.PID)
	b = appendHead(append(b, 5), cborArray, uint64(len(c.Groups)))
	for _, g := range c.Groups {
		b = appendText(b, g)
	}
	return b
}

// DecodeLease reads a lease. By itself it proves nothing: see Verifier.Lease.
func DecodeLease(b []byte) (seats.Lease, error) {
	l, err := decode[seats.Lease]("lease", MaxLease, b)
	if err != nil {
		return seats.Lease{}, err
	}
	if err := checkLease(l); err != nil {
		return seats.Lease{}, err
	}
	return l, nil
}

// checkLease holds a lease to its form. Whether its license permits it is for
// seats.Permits to say.
func checkLease(l seats.Lease) error {
	forHolder := l.Kind == seats.Loan || l.Kind == seats.Transfer
	switch {
	case l.ID == "", l.Seats < 1, l.From <= 0,
		l.Kind != seats.Session && !forHolder,
		forHolder != (l.Holder != ""),
		forHolder != goodSigningKey(l.HolderKey), !forHolder && len(l.HolderKey) != 0,
		l.Units < 0, l.Units != 0 && (l.Kind != seats.Transfer || l.Seats != 1),
		l.Until <= l.From && !(l.Kind == seats.Transfer && l.Until == 0):
		return damaged("lease")
	}
	return nil
}

// SignLeases signs a group of leases, as EncodeLease wrote them, with the key of
// the server's container: one signature over the root of their tree. statements[i]
// proves leases[i]; with the part of LicensePart it makes a lease document.
func SignLeases(s Scope, keys *ContainerKeys, number uint64, previous [32]byte, now license.Time, leases [][]byte) (head LeaseHead, statements [][]byte, err error) {
	if len(leases) == 0 || len(leases) > MaxGroup {
		return LeaseHead{}, nil, fault("a group has 1 to %d leases", MaxGroup)
	}
	levels := leaseTree(leases)
	head = LeaseHead{Number: number, Previous: previous, Time: now, Count: len(leases), Root: levels[len(levels)-1][0]}
	payload, err := write("lease head", MaxLeaseHead, leaseHead{
		Number: number, Previous: previous, Time: now, Count: uint64(head.Count), Root: head.Root,
	})
	if err != nil {
		return LeaseHead{}, nil, err
	}
	if head.Signed, err = sign(forLease, s, keys.signing, payload); err != nil {
		return LeaseHead{}, nil, err
	}
	statements = make([][]byte, len(leases))
	var path []byte
	for i, l := range leases {
		path = leasePath(path[:0], levels, i)
		b := make([]byte, 0, len(l)+len(path)+len(head.Signed)+24)
		b = appendHead(b, cborArray, 4)
		b = appendBytes(b, l)
		b = appendHead(b, cborUint, uint64(i))
		b = appendBytes(b, path)
		statements[i] = appendBytes(b, head.Signed)
	}
	return head, statements, nil
}

// OpenLeaseHead checks a head by the key of the server's container, as a license
// names it.
func OpenLeaseHead(s Scope, containerKey, signed []byte) (LeaseHead, error) {
	k, ok := newPublicKey(containerKey)
	if !ok {
		return LeaseHead{}, badSignature()
	}
	return openLeaseHead(external(forLease, s, suite1), k, signed)
}

func openLeaseHead(external []byte, k publicKey, signed []byte) (LeaseHead, error) {
	m, err := parse("lease head", MaxLeaseHead, signed)
	if err != nil {
		return LeaseHead{}, err
	}
	if err := m.verifyUnder(external, k); err != nil {
		return LeaseHead{}, err
	}
	h, err := decode[leaseHead]("lease head", MaxLeaseHead, m.Payload)
	if err != nil {
		return LeaseHead{}, err
	}
	if h.Count == 0 || h.Count > MaxGroup {
		return LeaseHead{}, damaged("lease head")
	}
	return LeaseHead{
		Number: h.Number, Previous: h.Previous, Time: h.Time, Count: int(h.Count), Root: h.Root, Signed: bytes.Clone(signed),
	}, nil
}

// leaseTree is the levels of the hash tree over leases, leaves first, the root
// alone in the last. A node without a neighbor moves up as it is.
func leaseTree(leases [][]byte) [][][32]byte {
	level := make([][32]byte, len(leases))
	for i, l := range leases {
		level[i] = leaseLeaf(l)
	}
	levels := [][][32]byte{level}
	for len(level) > 1 {
		up := make([][32]byte, (len(level)+1)/2)
		for i := range up {
			if 2*i+1 < len(level) {
				up[i] = leaseNode(level[2*i], level[2*i+1])
			} else {
				up[i] = level[2*i]
			}
		}
		levels, level = append(levels, up), up
	}
	return levels
}

// leasePath appends the neighbors on the way from a leaf to the root.
func leasePath(path []byte, levels [][][32]byte, i int) []byte {
	for _, level := range levels[:len(levels)-1] {
		if beside := i ^ 1; beside < len(level) {
			path = append(path, level[beside][:]...)
		}
		i /= 2
	}
	return path
}

// leaseRoot is the root that a leaf and its path lead to, in a tree of count
// leaves. Index and count say how long the path is and on which side each of its
// hashes stands, so that a lease has one path.
func leaseRoot(leaf [32]byte, index, count uint64, path []byte) (root [32]byte, ok bool) {
	if index >= count {
		return root, false
	}
	for ; count > 1; index, count = index/2, (count+1)/2 {
		if index^1 >= count {
			continue
		}
		if len(path) < 32 {
			return root, false
		}
		beside := [32]byte(path)
		path = path[32:]
		if index%2 == 0 {
			leaf = leaseNode(leaf, beside)
		} else {
			leaf = leaseNode(beside, leaf)
		}
	}
	return leaf, len(path) == 0
}

// The first byte of what is hashed keeps leaves and nodes apart.
const leafMark, nodeMark = 0, 1

func leaseLeaf(lease []byte) [32]byte {
	b := make([]byte, 0, 512)
	return sha256.Sum256(append(append(b, leafMark), lease...))
}

func leaseNode(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = nodeMark
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// LeaseDocument is a lease with everything that proves it to whoever trusts the
// vendor: the license that permits it, and the statement of the license's
// container. Its spelling is a list of the four.
type LeaseDocument struct {
	_            struct{} `cbor:",toarray"`
	Step         []byte   // signed by the vendor; puts the license into the server's container
	Body         []byte   // of the license
	Certificates [][]byte // of the vendor's issuing keys, in the clear
	Lease        []byte   // of SignLeases
}

// LicensePart writes the first three parts of a lease document. They are the
// same for every lease of a license, so a server writes them once. Certificates
// of the key that signed the step should be among them.
func LicensePart(step, body []byte, certificates ...[]byte) ([]byte, error) {
	whole, err := encode("lease document", MaxLeaseDocument, LeaseDocument{Step: step, Body: body, Certificates: certificates, Lease: []byte{}})
	if err != nil {
		return nil, err
	}
	if len(step) > MaxStep || len(body) > MaxBody || len(certificates) > maxCertificates || len(whole)+maxStatement > MaxLeaseDocument {
		return nil, fault("a license of %d bytes in a step of %d, with %d certificates, makes no lease document", len(body), len(step), len(certificates))
	}
	return whole[:len(whole)-1], nil // without the empty statement
}

// NewLeaseDocument is the document of a lease: the license's part and the
// lease's statement.
func NewLeaseDocument(part, statement []byte) []byte {
	return appendBytes(append(make([]byte, 0, len(part)+len(statement)+5), part...), statement)
}

// DecodeLeaseDocument takes a lease document apart. It checks no signature.
func DecodeLeaseDocument(doc []byte) (LeaseDocument, error) {
	d, err := decode[LeaseDocument]("lease document", MaxLeaseDocument, doc)
	if err == nil && len(d.Certificates) > maxCertificates {
		return LeaseDocument{}, damaged("lease document")
	}
	return d, err
}

// lessor is a license of which a server gives leases: the part of a lease
// document that was checked.
type lessor struct {
	body container.Body
	key  publicKey
}

// mostLessors is how many a verifier remembers. A program meets one or two.
const mostLessors = 32

// Lease checks a lease document: the vendor's signature on the license, the
// license's container's on the lease, and that each names the other and the
// license permits what the lease gives. Certificates that the document brings,
// which the root must have signed, are made known to the verifier first.
//
// Whether the lease answers the nonce that was sent, and whether it has ended, is
// for the caller to see. The same license again costs one signature verification
// less.
func (v *Verifier) Lease(doc []byte) (seats.Lease, container.Body, error) {
	l, lessor, err := v.lease(doc)
	if err != nil {
		return seats.Lease{}, container.Body{}, err
	}
	return l, lessor.ownBody(), nil
}

// ownBody is the body for a caller to keep.
func (l lessor) ownBody() container.Body {
	b := l.body
	b.Features, b.ContainerKey = slices.Clone(b.Features), bytes.Clone(b.ContainerKey)
	return b
}

func (v *Verifier) lease(doc []byte) (seats.Lease, lessor, error) {
	const what = "lease document"
	if len(doc) > MaxLeaseDocument {
		return seats.Lease{}, lessor{}, tooLarge(what, len(doc), MaxLeaseDocument)
	}
	part, rest, ok := cutLicensePart(doc)
	if !ok {
		return seats.Lease{}, lessor{}, damaged(what)
	}
	statement, rest, ok := takeBytes(rest)
	if !ok || len(rest) != 0 {
		return seats.Lease{}, lessor{}, damaged(what)
	}
	from, err := v.lessor(part)
	if err != nil {
		return seats.Lease{}, lessor{}, err
	}
	l, err := from.lease(v.external[forLease], statement)
	return l, from, err
}

// cutLicensePart cuts a document behind its third part, without reading them.
func cutLicensePart(doc []byte) (part, rest []byte, ok bool) {
	if len(doc) == 0 || doc[0] != cborArray<<5|4 {
		return nil, nil, false
	}
	rest = doc[1:]
	for range 2 {
		if _, rest, ok = takeBytes(rest); !ok {
			return nil, nil, false
		}
	}
	if len(rest) == 0 || rest[0]>>5 != cborArray || rest[0]&31 > maxCertificates {
		return nil, nil, false
	}
	certificates := int(rest[0] & 31)
	rest = rest[1:]
	for range certificates {
		if _, rest, ok = takeBytes(rest); !ok {
			return nil, nil, false
		}
	}
	end := len(doc) - len(rest)
	return doc[:end:end], rest, true
}

// lessor checks the license of a lease document, or remembers that it did.
func (v *Verifier) lessor(part []byte) (lessor, error) {
	v.mu.RLock()
	known, ok := v.lessors[string(part)]
	v.mu.RUnlock()
	if ok {
		return known, nil
	}
	d, err := DecodeLeaseDocument(appendBytes(slices.Clone(part), nil))
	if err != nil {
		return lessor{}, err
	}
	if err := v.Add(d.Certificates...); err != nil {
		return lessor{}, err
	}
	_, body, err := v.License(d.Step, d.Body)
	if err != nil {
		return lessor{}, err
	}
	key, ok := newPublicKey(body.ContainerKey)
	if !ok {
		return lessor{}, badSignature()
	}
	l := lessor{body, key}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.lessors) >= mostLessors {
		clear(v.lessors)
	}
	v.lessors[string(part)] = l
	return l, nil
}

// lease checks the statement about a lease of this license.
func (from lessor) lease(external, statement []byte) (seats.Lease, error) {
	const what = "lease"
	s, err := decode[leaseStatement](what, maxStatement, statement)
	if err != nil {
		return seats.Lease{}, err
	}
	head, err := openLeaseHead(external, from.key, s.Head)
	if err != nil {
		return seats.Lease{}, err
	}
	root, ok := leaseRoot(leaseLeaf(s.Lease), s.Index, uint64(head.Count), s.Path)
	if !ok || root != head.Root {
		return seats.Lease{}, badSignature()
	}
	l, err := DecodeLease(s.Lease)
	if err != nil {
		return seats.Lease{}, err
	}
	b := from.body
	if l.Server != b.Container || l.License != b.License || l.Generation != b.Generation || l.Product != b.Product {
		return seats.Lease{}, badSignature()
	}
	if !seats.Permits(b.Terms, l) {
		return seats.Lease{}, refusal.New(refusal.BadSignature, "The lease gives more than its license permits. Nothing was changed.")
	}
	return l, nil
}

// AppendStatement ends a lease document, which begins with the part of LicensePart,
// with the statement of a lease: for whoever has the part in another spelling.
func AppendStatement(b, statement []byte) []byte { return appendBytes(b, statement) }
