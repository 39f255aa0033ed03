package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"slices"

	"licet/license"
)

// Certificate is the root's word that a key is the vendor's, for one use.
type Certificate struct {
	Suite     uint64       `cbor:"1,keyasint"` // 1
	Use       Use          `cbor:"2,keyasint"` // Issuing or Sealing
	Public    []byte       `cbor:"3,keyasint"`
	NotBefore license.Time `cbor:"4,keyasint"` // 0 means always
	NotAfter  license.Time `cbor:"5,keyasint"` // not from this moment on; 0 means never
	Number    uint64       `cbor:"6,keyasint"` // the vendor's count of certificates
}

// KeyID names the certified key.
func (c Certificate) KeyID() KeyID { return KeyIDOf(c.Public) }

// Covers reports whether the certificate is valid at a time.
func (c Certificate) Covers(t license.Time) bool {
	return c.NotBefore <= t && (c.NotAfter == 0 || t < c.NotAfter)
}

func (c Certificate) check() error {
	switch {
	case c.Suite != uint64(suite1):
		return unsupportedSuite("certificate", c.Suite)
	case c.Use == Issuing && goodSigningKey(c.Public), c.Use == Sealing && goodSealingKey(c.Public):
		return nil
	}
	return damaged("certificate")
}

// SignCertificate certifies a key with a root of the vendor. Suite may be left 0
// for the first one.
func SignCertificate(s Scope, root *SigningKey, c Certificate) ([]byte, error) {
	if root.use != Root {
		return nil, fault("certificates are signed by a root key")
	}
	if c.Suite == 0 {
		c.Suite = uint64(suite1)
	}
	if err := c.check(); err != nil {
		return nil, fault("the key cannot be certified for the use %q", c.Use)
	}
	payload, err := encode("certificate", MaxCertificate, c)
	if err != nil {
		return nil, err
	}
	return sign(forKey, s, root.private, payload)
}

// openCertificate checks a certificate against the root.
func openCertificate(s Scope, root publicKey, doc []byte) (Certificate, error) {
	m, err := parse("certificate", MaxCertificate, doc)
	if err != nil {
		return Certificate{}, err
	}
	if err := m.verify(forKey, s, root); err != nil {
		return Certificate{}, err
	}
	c, err := decode[Certificate]("certificate", MaxCertificate, m.Payload)
	if err != nil {
		return Certificate{}, err
	}
	return c, c.check()
}

// Trust is what a machine or program knows of a vendor it trusts: the root's word
// on which keys are his. Whoever has it can check everything the vendor signs and
// seal to him. Bundles are numbered, and a newer one takes the place of an older
// (see Verifier.Follow and docs/format.md, 7.2).
type Trust struct {
	Scope        Scope
	Name         string       // of the vendor, for people
	Root         []byte       // public key; its hash is Scope.Vendor, unless it came after another (see Before)
	Address      string       // of the vendor's server
	Number       uint64       // grows with every new bundle
	Time         license.Time // of signing
	Certificates [][]byte     // of one sealing key and of the issuing keys, one for each key

	Revoked  []Revoked    // keys that count no more, whatever they signed and when
	Lowest   uint64       // lowest suite that counts; 1 or more
	Until    license.Time // from this moment on nothing new is taken in without a newer bundle; 0 means never
	NextRoot []byte       // hash of the root key that comes after this one (see RootHash); empty for none
	// Before is the bundle, as it was signed, in which the root before this one named
	// it as the next; empty for a vendor's first root.
	Before []byte

	// Format is the version that the bundle was read in: 1 has none of the fields from
	// Revoked on. SignTrust writes 2.
	Format uint64
	// Signed is the bundle as it was signed, without armor.
	Signed []byte

	proven proven
}

// Revoked is a key that the root has revoked.
type Revoked struct {
	Key   KeyID        `cbor:"1,keyasint"`
	Since license.Time `cbor:"2,keyasint"` // when that was
}

// RootHash is what a bundle says of the root key that comes after its own.
func RootHash(root []byte) []byte {
	h := sha256.Sum256(mustEncode([]any{"licet", "root", uint64(suite1), root}))
	return h[:]
}

// Ended reports whether the bundle brings nothing new in any more.
func (t *Trust) Ended(now license.Time) bool { return t.Until != 0 && now >= t.Until }

// proven is what was verified when a bundle was read, and under what it was. It
// is only read afterwards, so that no certificate in it costs a second
// verification.
type proven struct {
	scope        Scope
	root         string
	heir         bool // the root came after another, as Before proves
	former       []*Trust
	certificates map[string]Certificate // by their exact bytes
}

// certificate checks a certificate against the root, or knows that it passed
// before: the same bytes, under the same root and in the same scope.
func (t *Trust) certificate(root publicKey, doc []byte) (Certificate, error) {
	if t.proven.scope == t.Scope && t.proven.root == string(t.Root) {
		if c, ok := t.proven.certificates[string(doc)]; ok {
			c.Public = bytes.Clone(c.Public)
			return c, nil
		}
	}
	return openCertificate(t.Scope, root, doc)
}

// rooted reports whether the root is the vendor's: the one whose hash his id is, or
// one that came after it.
func (t *Trust) rooted() (publicKey, bool) {
	root, ok := newPublicKey(t.Root)
	heir := t.proven.heir && t.proven.scope == t.Scope && t.proven.root == string(t.Root)
	return root, ok && (heir || VendorOf(t.Root) == t.Scope.Vendor)
}

// Follows reports whether whoever goes by an older bundle goes by t from now on:
// it is of the same vendor, has a higher number, and is by the same root or by one
// that the older root has named as the next.
func (t *Trust) Follows(older *Trust) bool {
	if t.Scope != older.Scope || t.Number <= older.Number {
		return false
	}
	if bytes.Equal(t.Root, older.Root) {
		return true
	}
	heir := t.Root
	for _, f := range t.proven.former { // the latest first
		if bytes.Equal(f.Root, older.Root) {
			// What the older root said last counts.
			if f.Number <= older.Number {
				f = older
			}
			return bytes.Equal(f.NextRoot, RootHash(heir))
		}
		heir = f.Root
	}
	return false
}

// bundle is a trust bundle as it is written.
type bundle struct {
	Version      uint64       `cbor:"1,keyasint"`
	Suite        uint64       `cbor:"2,keyasint"`
	Vendor       VendorID     `cbor:"3,keyasint"`
	Environment  string       `cbor:"4,keyasint"`
	Name         string       `cbor:"5,keyasint"`
	Root         []byte       `cbor:"6,keyasint"`
	Address      string       `cbor:"7,keyasint"`
	Number       uint64       `cbor:"8,keyasint"`
	Time         license.Time `cbor:"9,keyasint"`
	Certificates [][]byte     `cbor:"10,keyasint"`

	// Of format version 2.
	Lowest   uint64       `cbor:"11,keyasint,omitempty"`
	Revoked  []Revoked    `cbor:"12,keyasint,omitempty"`
	Until    license.Time `cbor:"13,keyasint,omitempty"`
	NextRoot []byte       `cbor:"14,keyasint,omitempty"`
	Before   []byte       `cbor:"15,keyasint,omitempty"`
}

// trustFormat is the version of trust bundles that is written.
const trustFormat = 2

// The bounds of a trust bundle.
const (
	maxTrustKeys = 256
	maxRoots     = 8 // one after the other
)

// SignTrust writes a trust file. The root is the vendor's own, or the one that the
// bundle in t.Before names as the next.
func SignTrust(root *SigningKey, t Trust) (file []byte, err error) {
	if root.use != Root {
		return nil, fault("a trust bundle is signed by a root key")
	}
	t.Root = root.Public()
	if len(t.Before) == 0 {
		t.Scope.Vendor = VendorOf(t.Root)
	}
	if t.Lowest == 0 {
		t.Lowest = uint64(suite1)
	}
	if err := t.Scope.Check(); err != nil {
		return nil, err
	}
	b := bundle{
		Version: trustFormat, Suite: uint64(suite1), Vendor: t.Scope.Vendor, Environment: t.Scope.Environment,
		Name: t.Name, Root: t.Root, Address: t.Address, Number: t.Number, Time: t.Time, Certificates: t.Certificates,
		Lowest: t.Lowest, Revoked: t.Revoked, Until: t.Until, NextRoot: t.NextRoot, Before: t.Before,
	}
	payload, err := encode("trust file", MaxTrust, b)
	if err != nil {
		return nil, err
	}
	raw, err := signVersion(forTrust, t.Scope, trustFormat, root.private, payload)
	if err != nil {
		return nil, err
	}
	if _, err := openTrust(raw); err != nil {
		return nil, fault("nobody would take this trust bundle: %v", err)
	}
	if file = armorVersion(TrustBundle, trustFormat, raw); len(file) > MaxTrust {
		return nil, fault("the trust file has %d bytes; the limit is %d", len(file), MaxTrust)
	}
	return file, nil
}

// ParseTrust reads a trust file. It proves that the root in it signed it and
// that the vendor id is the root's, or that of the first root before it; whether
// to trust that vendor is for the caller to decide, by the vendor id.
func ParseTrust(file []byte) (*Trust, error) {
	_, version, raw, err := dearmorVersion(file, TrustBundle)
	if err != nil {
		return nil, err
	}
	t, err := openTrust(raw)
	if err == nil && t.Format != version {
		return nil, damaged("trust file")
	}
	return t, err
}

// ArmorTrust makes a file of a bundle that was read, by name vendor.trust.
func ArmorTrust(t *Trust) []byte { return armorVersion(TrustBundle, t.Format, t.Signed) }

// OpenTrust is ParseTrust for a bundle as it was signed, without armor.
func OpenTrust(signed []byte) (*Trust, error) { return openTrust(signed) }

func openTrust(raw []byte) (*Trust, error) { return openTrustBefore(raw, maxRoots) }

// openTrustBefore reads a bundle with the bundles of the roots before its own, so
// many in all.
func openTrustBefore(raw []byte, roots int) (*Trust, error) {
	m, b, err := peekTrust(raw)
	if err != nil {
		return nil, err
	}
	t := &Trust{
		Scope: Scope{Vendor: b.Vendor, Environment: b.Environment},
		Name:  b.Name, Root: b.Root, Address: b.Address, Number: b.Number, Time: b.Time, Certificates: b.Certificates,
		Lowest: max(b.Lowest, uint64(suite1)), Revoked: b.Revoked, Until: b.Until, NextRoot: b.NextRoot, Before: b.Before,
		Format: b.Version, Signed: bytes.Clone(raw),
	}
	root, ok := newPublicKey(b.Root)
	if !ok || t.Scope.Check() != nil {
		return nil, badSignature()
	}
	if err := m.verifyUnder(externalVersion(forTrust, t.Scope, suite1, b.Version), root); err != nil {
		return nil, err
	}
	proven := proven{scope: t.Scope, root: string(t.Root), certificates: map[string]Certificate{}}
	if first := VendorOf(t.Root) == t.Scope.Vendor; !first {
		if len(b.Before) == 0 || roots <= 1 {
			return nil, badSignature()
		}
		before, err := openTrustBefore(b.Before, roots-1)
		if err != nil {
			return nil, err
		}
		if before.Scope != t.Scope || before.Number >= t.Number || !bytes.Equal(before.NextRoot, RootHash(t.Root)) {
			return nil, badSignature()
		}
		proven.heir, proven.former = true, append([]*Trust{before}, before.proven.former...)
	} else if len(b.Before) > 0 {
		return nil, damaged("trust file")
	}
	sealing := 0
	named := map[KeyID]bool{}
	for _, r := range t.Revoked {
		named[r.Key] = true
	}
	for _, doc := range t.Certificates {
		c, err := openCertificate(t.Scope, root, doc)
		if err != nil {
			return nil, err
		}
		if t.Format > 1 && named[c.KeyID()] {
			return nil, damaged("trust file") // one word on each key
		}
		named[c.KeyID()] = true
		proven.certificates[string(doc)] = c
		if c.Use == Sealing {
			sealing++
		}
	}
	if sealing != 1 {
		return nil, damaged("trust file")
	}
	t.proven = proven
	return t, nil
}

// peekTrust reads a bundle whose signature nobody has looked at: the key that
// signed it is inside.
func peekTrust(raw []byte) (message, bundle, error) {
	const what = "trust file"
	m, err := parse(what, MaxTrust, raw)
	if err != nil {
		return m, bundle{}, err
	}
	b, err := decode[bundle](what, MaxTrust, m.Payload)
	switch {
	case err != nil:
		return m, b, err
	case b.Version == 0 || b.Version > trustFormat:
		return m, b, unsupportedBy(what, b.Version, trustFormat)
	case b.Suite != uint64(suite1):
		return m, b, unsupportedSuite(what, b.Suite)
	case b.Lowest > uint64(suite1):
		return m, b, unsupportedSuite(what, b.Lowest)
	case len(b.Root) != ed25519.PublicKeySize, !b.whole():
		return m, b, damaged(what)
	}
	return m, b, nil
}

// whole reports whether the parts have the form of the bundle's version.
func (b bundle) whole() bool {
	if b.Version == 1 {
		return b.Lowest == 0 && len(b.Revoked) == 0 && b.Until == 0 && len(b.NextRoot) == 0 && len(b.Before) == 0
	}
	rising := slices.IsSortedFunc(b.Revoked, func(x, y Revoked) int {
		if c := bytes.Compare(x.Key[:], y.Key[:]); c != 0 {
			return c
		}
		return -1 // twice
	})
	return b.Lowest > 0 && rising && len(b.Revoked)+len(b.Certificates) <= maxTrustKeys &&
		(len(b.NextRoot) == 0 || len(b.NextRoot) == sha256.Size) && b.Until >= 0 && (b.Until == 0 || b.Until > b.Time)
}

// sealing is the certificate of the key to which reports to the vendor are sealed.
func (t *Trust) sealing() (Certificate, error) {
	root, ok := t.rooted()
	if !ok {
		return Certificate{}, badSignature()
	}
	var found Certificate
	for _, doc := range t.Certificates {
		c, err := t.certificate(root, doc)
		if err != nil {
			return Certificate{}, err
		}
		if c.Use == Sealing {
			if found.Public != nil {
				return Certificate{}, damaged("trust file")
			}
			found = c
		}
	}
	if found.Public == nil {
		return Certificate{}, damaged("trust file")
	}
	return found, nil
}

// Keys are the certificates of the bundle, as they read. It is of a bundle that was
// read.
func (t *Trust) Keys() []Certificate {
	var list []Certificate
	for _, doc := range t.Certificates {
		if c, ok := t.proven.certificates[string(doc)]; ok {
			c.Public = bytes.Clone(c.Public)
			list = append(list, c)
		}
	}
	return list
}
