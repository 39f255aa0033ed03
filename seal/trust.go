package seal

import (
	"bytes"
	"crypto/ed25519"

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

// SignCertificate certifies a key. Suite may be left 0 for the first one.
func SignCertificate(s Scope, root *SigningKey, c Certificate) ([]byte, error) {
	if root.use != Root || VendorOf(root.Public()) != s.Vendor {
		return nil, fault("certificates are signed by the root of the vendor")
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

// Trust is what a machine or program knows of a vendor it trusts. Whoever has
// it can check everything the vendor signs and seal to him.
type Trust struct {
	Scope        Scope
	Name         string       // of the vendor, for people
	Root         []byte       // public key; its hash is Scope.Vendor
	Address      string       // of the vendor's server
	Number       uint64       // grows with every new bundle
	Time         license.Time // of signing
	Certificates [][]byte     // of one sealing key and of the issuing keys

	proven proven
}

// proven are certificates whose signatures were verified, by their exact bytes,
// and under what they were. It is filled when a bundle is read and only read
// afterwards, so that no certificate in it costs a second verification.
type proven struct {
	scope        Scope
	root         string
	certificates map[string]Certificate
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
}

// SignTrust writes a trust file. Root and the scope's vendor are the root's own.
func SignTrust(root *SigningKey, t Trust) (file []byte, err error) {
	if root.use != Root {
		return nil, fault("a trust bundle is signed by a root key")
	}
	t.Root = root.Public()
	t.Scope.Vendor = VendorOf(t.Root)
	if err := t.Scope.Check(); err != nil {
		return nil, err
	}
	if _, err := t.sealing(); err != nil {
		return nil, fault("a trust bundle needs certificates by its root, one of them for a sealing key: %v", err)
	}
	payload, err := encode("trust file", MaxTrust, bundle{
		Version: Version, Suite: uint64(suite1), Vendor: t.Scope.Vendor, Environment: t.Scope.Environment,
		Name: t.Name, Root: t.Root, Address: t.Address, Number: t.Number, Time: t.Time, Certificates: t.Certificates,
	})
	if err != nil {
		return nil, err
	}
	raw, err := sign(forTrust, t.Scope, root.private, payload)
	if err != nil {
		return nil, err
	}
	return armor(TrustBundle, raw), nil
}

// ParseTrust reads a trust file. It proves that the root in it signed it and
// that the vendor id is the root's; whether to trust that vendor is for the
// caller to decide, by the vendor id.
func ParseTrust(file []byte) (*Trust, error) {
	_, raw, err := dearmor(file, TrustBundle)
	if err != nil {
		return nil, err
	}
	return openTrust(raw)
}

func openTrust(raw []byte) (*Trust, error) {
	m, b, err := peekTrust(raw)
	if err != nil {
		return nil, err
	}
	t := &Trust{
		Scope: Scope{Vendor: b.Vendor, Environment: b.Environment},
		Name:  b.Name, Root: b.Root, Address: b.Address, Number: b.Number, Time: b.Time, Certificates: b.Certificates,
	}
	root, ok := newPublicKey(b.Root)
	if !ok || VendorOf(b.Root) != b.Vendor || t.Scope.Check() != nil {
		return nil, badSignature()
	}
	if err := m.verify(forTrust, t.Scope, root); err != nil {
		return nil, err
	}
	proven := proven{scope: t.Scope, root: string(t.Root), certificates: map[string]Certificate{}}
	for _, doc := range t.Certificates {
		c, err := openCertificate(t.Scope, root, doc)
		if err != nil {
			return nil, err
		}
		proven.certificates[string(doc)] = c
	}
	t.proven = proven
	if _, err := t.sealing(); err != nil {
		return nil, err
	}
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
	case b.Version != Version:
		return m, b, unsupported(what, b.Version)
	case b.Suite != uint64(suite1):
		return m, b, unsupportedSuite(what, b.Suite)
	case len(b.Root) != ed25519.PublicKeySize:
		return m, b, damaged(what)
	}
	return m, b, nil
}

// sealing checks every certificate and finds the one of the key to which reports
// to the vendor are sealed.
func (t *Trust) sealing() (Certificate, error) {
	root, ok := newPublicKey(t.Root)
	if !ok || VendorOf(t.Root) != t.Scope.Vendor {
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
