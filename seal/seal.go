// Package seal turns the values of licensing into signed and sealed bytes, and
// bytes back into values.
//
// A Verifier, made from a vendor's Trust, checks what the vendor signed: steps,
// licenses, updates, times, block lists, lists of origins. OpenReport checks and opens what containers send.
// Whatever they return was signed for this purpose, this vendor and this
// environment; whatever they refuse is refused with a *refusal.Refusal, and
// nothing was decrypted before its signature had passed. An error that is no
// refusal is a fault of the caller.
//
// Everything signed is a COSE_Sign1 over deterministic CBOR, and everything has
// one spelling: what would not be written again in the same bytes is refused.
// docs/format.md describes the bytes; testdata holds vectors.
//
// The package reads no clock and no file. Key makers take their randomness as a
// parameter; sealing draws its own from the operating system.
package seal

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// Version is the version of every format in this package but the trust bundle's,
// which is 2. It stands in the signed bytes.
const Version = 1

// The limits in bytes, checked before anything is read.
const (
	MaxTrust       = 64 << 10
	MaxReport      = 1 << 20 // of a request or receipt
	MaxUpdate      = 8 << 20
	MaxStep        = 256 << 10
	MaxBody        = 64 << 10
	MaxCertificate = 1 << 10
	MaxTime        = 1 << 10
	MaxAnswer      = 8 << 10
	MaxBlockList   = 8 << 20
	MaxBlockHead   = 20 << 10
	MaxOrigins     = 32 << 10

	MaxLease         = 8 << 10
	MaxLeaseHead     = 1 << 10
	MaxLeaseDocument = 384 << 10
	MaxLoanRequest   = 128 << 10
	MaxLoan          = 1 << 20
	MaxUsage         = 1 << 20
)

// maxStatement is the limit of a lease with its path and head.
const maxStatement = MaxLease + MaxLeaseHead + 1<<10

// Kind is a kind of file.
type Kind string

// The kinds of file.
const (
	Request     Kind = "request" // a report with wishes
	Receipt     Kind = "receipt" // a report without
	Update      Kind = "update"
	TrustBundle Kind = "trust"
	// BlockListFile is news of the block list.
	BlockListFile Kind = "blocklist"
	// LoanRequest is what a borrower's container asks of a license server, and
	// LoanFile the answer.
	LoanRequest Kind = "loan-request"
	LoanFile    Kind = "loan"
)

// purpose is what a signature is for. It stands in the signed bytes, so that a
// document for one purpose verifies for no other.
type purpose string

const (
	forKey     purpose = "key"    // a certificate, by the root
	forTrust   purpose = "trust"  // a trust bundle, by the root
	forStep    purpose = "step"   // by an issuing key
	forTime    purpose = "time"   // by an issuing key
	forUpdate  purpose = "update" // by an issuing key
	forRequest purpose = "request"
	forReceipt purpose = "receipt"
	forAnswer  purpose = "answer" // these three by a container

	forBlockList purpose = "blocklist" // by an issuing key
	forOrigins   purpose = "origins"   // by an issuing key

	forLease       purpose = "lease"        // by a license server's container
	forLoanRequest purpose = "loan-request" // by a borrower's container
	forLoan        purpose = "loan"         // by a license server's container
	forUsage       purpose = "usage"        // by a license server's container
)

// VendorID names a vendor: "v" and the base32 text, in lower case, of a hash of
// the root key.
type VendorID string

// Scope is where a document counts: one vendor, one environment of his. It
// stands in the signed bytes of every document.
type Scope struct {
	Vendor      VendorID
	Environment string
}

// Production is the environment of a vendor who names no other.
const Production = "production"

// Check refuses, with InvalidInput, an environment that is not 1 to 32 lower
// case letters, digits and hyphens, and a vendor id of the wrong form.
func (s Scope) Check() error {
	if len(s.Vendor) != 27 || s.Vendor[0] != 'v' || strings.Trim(string(s.Vendor[1:]), "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return refusal.New(refusal.InvalidInput, "%q is not a vendor id.", shorten(string(s.Vendor)))
	}
	if n := len(s.Environment); n == 0 || n > 32 || strings.Trim(s.Environment, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return refusal.New(refusal.InvalidInput, "%q is not an environment's name: use 1 to 32 lower case letters, digits and hyphens.", shorten(s.Environment))
	}
	return nil
}

// KeyID names a public key: the first 16 bytes of its SHA-256 hash.
type KeyID [16]byte

// String is the id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// KeyIDOf names a public key.
func KeyIDOf(public []byte) KeyID {
	h := sha256.Sum256(public)
	return KeyID(h[:16])
}

// VendorOf names the vendor with this public root key.
func VendorOf(root []byte) VendorID {
	return VendorID("v" + strings.ToLower(nameOf("vendor", root)))
}

// SerialOf names a container by its public keys. The kind is not part of it.
func SerialOf(i container.Identity) license.Serial {
	return license.Serial(nameOf("container", i.SigningKey, i.SealingKey))
}

// nameOf is the base32 text of half a hash over what is named and its keys.
func nameOf(what string, keys ...[]byte) string {
	list := []any{"licet", what, uint64(suite1)}
	for _, k := range keys {
		list = append(list, k)
	}
	h := sha256.Sum256(mustEncode(list))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:16])
}

// external is the data under every signature that the document itself does not
// carry.
func external(p purpose, s Scope, suite suiteNumber) []byte {
	return externalVersion(p, s, suite, Version)
}

// externalVersion is external for a document of another format version.
func externalVersion(p purpose, s Scope, suite suiteNumber, version uint64) []byte {
	b := appendHead(make([]byte, 0, 80), cborArray, 6)
	for _, text := range [...]string{"licet", string(p), string(s.Vendor), s.Environment} {
		b = appendText(b, text)
	}
	return appendInt(appendInt(b, int64(version)), int64(suite))
}

func shorten(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}

// The refusals. Those of signatures and decryption say the same whatever the
// cause was.

func badSignature() error {
	return refusal.New(refusal.BadSignature, "The signature does not fit. Nothing was changed.")
}

func damaged(what string) error {
	return refusal.New(refusal.DamagedFile, "The %s is damaged or incomplete. Nothing was changed.", what)
}

func tooLarge(what string, size, limit int) error {
	return refusal.New(refusal.TooLarge, "The %s has %d bytes; the limit is %d.", what, size, limit).
		With("size", size).With("limit", limit)
}

func unsupported(what string, version uint64) error { return unsupportedBy(what, version, Version) }

func unsupportedBy(what string, version, spoken uint64) error {
	return refusal.New(refusal.UnsupportedVersion, "The %s has format version %d; this program speaks version %d.", what, version, spoken).
		With("version", version).With("supported", spoken)
}

func unsupportedSuite(what string, suite uint64) error {
	return refusal.New(refusal.UnsupportedVersion, "The %s uses cryptographic suite %d, which this program does not know.", what, suite).
		With("suite", suite)
}

// keyRevoked refuses what a revoked key has signed, whenever that was: who has a
// stolen key writes any date.
func keyRevoked(what string) error {
	return refusal.New(refusal.KeyRevoked, "The %s was signed with a key that the vendor has revoked. Nothing was changed.", what)
}

// inScope refuses what belongs to another vendor or environment.
func inScope(what string, ours, theirs Scope) error {
	if theirs.Vendor != ours.Vendor {
		return refusal.New(refusal.VendorUntrusted, "The %s belongs to vendor %s; wanted is %s.", what, shorten(string(theirs.Vendor)), ours.Vendor).
			With("vendor", string(theirs.Vendor)).With("wanted", string(ours.Vendor))
	}
	if theirs.Environment != ours.Environment {
		return refusal.New(refusal.WrongEnvironment, "The %s belongs to environment %q; this is %q.", what, shorten(theirs.Environment), ours.Environment).
			With("made_for", theirs.Environment).With("this_is", ours.Environment)
	}
	return nil
}

// fault is an error of the caller, never of the input.
func fault(format string, args ...any) error { return fmt.Errorf("seal: "+format, args...) }
