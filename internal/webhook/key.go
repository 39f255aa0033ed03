// Package webhook has the rules of telling other servers what happened: how a
// message is signed, which events a receiver wants, in which order they go to it,
// when a failed one is tried again, and which addresses may be spoken to. It acts
// on nothing; package courier does.
//
// Signatures, headers and keys are those of Standard Webhooks 1.0.0
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"licet/refusal"
)

// The headers of a message.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Kind is a way to sign, by the word that stands before its signatures.
type Kind string

// The ways to sign.
const (
	Symmetric  Kind = "v1"  // HMAC-SHA256; the receiver has the same secret
	Asymmetric Kind = "v1a" // Ed25519; the receiver has the public key
)

const (
	prefixSecret  = "whsec_"
	prefixPrivate = "whsk_"
	prefixPublic  = "whpk_"

	secretBytes    = 32
	minSecretBytes = 24
	maxSecretBytes = 64
)

// Key signs messages.
type Key struct {
	kind   Kind
	secret []byte // of an asymmetric key: seed and public key, as crypto/ed25519 has them
}

// Format keeps the key out of whatever is printed.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "webhook key") }

// NewKey draws a key.
func NewKey(kind Kind, random io.Reader) (Key, error) {
	size := secretBytes
	if kind == Asymmetric {
		size = ed25519.SeedSize
	} else if kind != Symmetric {
		return Key{}, refusal.New(refusal.InvalidInput, "There is no way %q to sign.", kind).Hinted("There are %s and %s.", Symmetric, Asymmetric)
	}
	secret := make([]byte, size)
	if _, err := io.ReadFull(random, secret); err != nil {
		return Key{}, err
	}
	if kind == Asymmetric {
		secret = ed25519.NewKeyFromSeed(secret)
	}
	return Key{kind, secret}, nil
}

// ParseKey reads a key as Secret writes it: whsec_ and 24 to 64 bytes, or whsk_ and
// the 64 bytes of an Ed25519 key, in padded base64. A key has one spelling.
func ParseKey(text string) (Key, error) {
	no := refusal.New(refusal.InvalidInput, "The secret is none that webhooks are signed with.").
		Hinted("It is whsec_ with base64 of 24 to 64 bytes, or whsk_ with base64 of an Ed25519 private key of 64 bytes.")
	k := Key{kind: Symmetric}
	rest, ok := strings.CutPrefix(text, prefixSecret)
	if !ok {
		k.kind = Asymmetric
		if rest, ok = strings.CutPrefix(text, prefixPrivate); !ok {
			return Key{}, no
		}
	}
	var err error
	if k.secret, err = base64.StdEncoding.Strict().DecodeString(rest); err != nil || base64.StdEncoding.EncodeToString(k.secret) != rest {
		return Key{}, no
	}
	switch {
	case k.kind == Symmetric && (len(k.secret) < minSecretBytes || len(k.secret) > maxSecretBytes):
		return Key{}, no
	case k.kind == Asymmetric && len(k.secret) != ed25519.PrivateKeySize:
		return Key{}, no
	case k.kind == Asymmetric && !ed25519.NewKeyFromSeed(k.secret[:ed25519.SeedSize]).Equal(ed25519.PrivateKey(k.secret)):
		return Key{}, no
	}
	return k, nil
}

// Kind is how the key signs.
func (k Key) Kind() Kind { return k.kind }

// Secret is the key as text: what a receiver of symmetric signatures needs, and
// what nobody else may see.
func (k Key) Secret() string {
	prefix := prefixSecret
	if k.kind == Asymmetric {
		prefix = prefixPrivate
	}
	return prefix + base64.StdEncoding.EncodeToString(k.secret)
}

// Public is what a receiver of asymmetric signatures needs; "" for symmetric ones.
func (k Key) Public() string {
	if k.kind != Asymmetric {
		return ""
	}
	return prefixPublic + base64.StdEncoding.EncodeToString(k.secret[ed25519.SeedSize:])
}

// Sign is the signature of one message, sent at a time, such as "v1,K5oZ…". The id
// has no dot in it.
func (k Key) Sign(id string, at time.Time, body []byte) string {
	signed := append([]byte(id+"."+Timestamp(at)+"."), body...)
	var signature []byte
	if k.kind == Asymmetric {
		signature = ed25519.Sign(k.secret, signed)
	} else {
		m := hmac.New(sha256.New, k.secret)
		m.Write(signed)
		signature = m.Sum(nil)
	}
	return string(k.kind) + "," + base64.StdEncoding.EncodeToString(signature)
}

// Timestamp is a time as the header has it: seconds since 1970.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
