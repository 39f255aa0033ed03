package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/veraison/go-cose"

	"licet/container"
	"licet/license"
)

// Use is what a vendor's key is for. One key has one use.
type Use string

// The uses.
const (
	Root    Use = "root"    // signs certificates and trust bundles
	Issuing Use = "issuing" // signs steps, updates, times and block lists
	Sealing Use = "sealing" // opens what containers send
)

// SigningKey signs for a root or an issuing key: with the private key itself, or by
// a signer that keeps it. It prints as its id.
type SigningKey struct {
	use     Use
	id      KeyID
	private crypto.Signer
}

// NewSigningKey draws a key for this use, Root or Issuing.
func NewSigningKey(use Use, random io.Reader) (*SigningKey, error) {
	seed, err := draw(random, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ParseSigningKey(use, seed)
}

// ParseSigningKey reads the bytes of SigningKey.Bytes.
func ParseSigningKey(use Use, raw []byte) (*SigningKey, error) {
	if use != Root && use != Issuing {
		return nil, fault("no signing key has the use %q", use)
	}
	if len(raw) != ed25519.SeedSize {
		return nil, fault("a signing key has %d bytes", ed25519.SeedSize)
	}
	return KeptBy(use, ed25519.NewKeyFromSeed(raw))
}

// KeptBy is a key whose private part a signer keeps and never shows. It is asked to
// sign the bytes themselves (crypto.Hash(0)) and gives an Ed25519 signature.
func KeptBy(use Use, signer crypto.Signer) (*SigningKey, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok || !goodSigningKey(public) {
		return nil, fault("a signing key is an Ed25519 key")
	}
	return &SigningKey{use: use, id: KeyIDOf(public), private: signer}, nil
}

// Bytes is the secret itself, 32 bytes; nil for one that a signer keeps.
func (k *SigningKey) Bytes() []byte {
	if private, ok := k.private.(ed25519.PrivateKey); ok {
		return private.Seed()
	}
	return nil
}

// Public is the public key.
func (k *SigningKey) Public() []byte { return bytes.Clone(k.private.Public().(ed25519.PublicKey)) }

// ID names the key.
func (k *SigningKey) ID() KeyID { return k.id }

// Use is what the key is for.
func (k *SigningKey) Use() Use { return k.use }

// Format keeps the secret out of whatever is printed.
func (k SigningKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s key %s", k.use, k.id) }

// SealingKey is the private key to which containers seal their reports. It
// prints as its id.
type SealingKey struct {
	id      KeyID
	private *ecdh.PrivateKey
}

// NewSealingKey draws a key.
func NewSealingKey(random io.Reader) (*SealingKey, error) {
	raw, err := draw(random, 32)
	if err != nil {
		return nil, err
	}
	return ParseSealingKey(raw)
}

// ParseSealingKey reads the bytes of SealingKey.Bytes.
func ParseSealingKey(raw []byte) (*SealingKey, error) {
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, fault("sealing key: %w", err)
	}
	return &SealingKey{id: KeyIDOf(private.PublicKey().Bytes()), private: private}, nil
}

// Bytes is the secret itself, 32 bytes.
func (k *SealingKey) Bytes() []byte { return k.private.Bytes() }

// Public is the public key.
func (k *SealingKey) Public() []byte { return k.private.PublicKey().Bytes() }

// ID names the key.
func (k *SealingKey) ID() KeyID { return k.id }

// Format keeps the secret out of whatever is printed.
func (k SealingKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sealing key %s", k.id) }

// ContainerKeys are the private keys of a container: one signs its reports and
// answers, the other opens what is sealed to it. They print as the serial.
type ContainerKeys struct {
	signing ed25519.PrivateKey
	sealing *SealingKey
}

// NewContainerKeys draws the keys of a new container.
func NewContainerKeys(random io.Reader) (*ContainerKeys, error) {
	raw, err := draw(random, ed25519.SeedSize+32)
	if err != nil {
		return nil, err
	}
	return ParseContainerKeys(raw)
}

// ParseContainerKeys reads the bytes of ContainerKeys.Bytes.
func ParseContainerKeys(raw []byte) (*ContainerKeys, error) {
	if len(raw) != ed25519.SeedSize+32 {
		return nil, fault("a container's keys have %d bytes", ed25519.SeedSize+32)
	}
	sealing, err := ParseSealingKey(raw[ed25519.SeedSize:])
	if err != nil {
		return nil, err
	}
	return &ContainerKeys{signing: ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]), sealing: sealing}, nil
}

// Bytes is the secret itself, 64 bytes.
func (k *ContainerKeys) Bytes() []byte { return append(k.signing.Seed(), k.sealing.Bytes()...) }

// Identity is the public part.
func (k *ContainerKeys) Identity(kind license.Kind) container.Identity {
	return container.Identity{
		SigningKey: bytes.Clone(k.signing[ed25519.SeedSize:]),
		SealingKey: k.sealing.Public(),
		Kind:       kind,
	}
}

// Serial names the container.
func (k *ContainerKeys) Serial() license.Serial { return SerialOf(k.Identity("")) }

// Format keeps the secret out of whatever is printed.
func (k ContainerKeys) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "keys of container %s", k.Serial())
}

func draw(random io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fault("drawing a key: %w", err)
	}
	return b, nil
}

// suiteNumber names all algorithms of a document at once.
type suiteNumber uint64

const suite1 suiteNumber = 1

// suite is what a number stands for: the algorithm of signatures, and those of
// sealing. The reader looks it up by what it knows of the key; no document
// chooses.
type suite struct {
	signature cose.Algorithm
	kdf       hpke.KDF
	aead      hpke.AEAD
}

var suites = map[suiteNumber]suite{
	suite1: {cose.AlgorithmEdDSA, hpke.HKDFSHA256(), hpke.AES256GCM()},
}

// weakKeys are the points of Ed25519 with a small order, without the sign bit.
// For such a key anybody can sign.
var weakKeys = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// goodSigningKey reports whether a public key has one spelling and is one for
// which only its owner can sign.
func goodSigningKey(public []byte) bool {
	if len(public) != ed25519.PublicKeySize {
		return false
	}
	y := bytes.Clone(public)
	y[31] &= 0x7f
	if y[31] == 0x7f && y[0] >= 0xed && bytes.Count(y[1:31], []byte{0xff}) == 30 {
		return false // y is not below the field's prime
	}
	return !slices.Contains(weakKeys, hex.EncodeToString(y))
}

// weakSealingKeys are the points of Curve25519 with a small order, and the other
// spellings of them, without the bit that X25519 ignores. What is sealed to such
// a key anybody can open.
var weakSealingKeys = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// goodSealingKey reports whether something can be sealed to a public key.
func goodSealingKey(public []byte) bool {
	if len(public) != 32 {
		return false
	}
	u := bytes.Clone(public)
	u[31] &= 0x7f
	return !slices.Contains(weakSealingKeys, hex.EncodeToString(u))
}

// goodIdentity reports whether a container may be called so.
func goodIdentity(i container.Identity) bool {
	return goodSigningKey(i.SigningKey) && goodSealingKey(i.SealingKey) && slices.Contains(license.Kinds, i.Kind)
}
