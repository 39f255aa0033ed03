package bare

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// Sizes of what is signed and sealed in the exchange of one license.
const (
	reportSize = 600 // of a container's report
	stepSize   = 260
	hashes     = 12 // ticket, serial, step, body, answer, three leaves and what the log adds for them
)

// Exchange is the cryptography that a signed and sealed activation needs beyond
// the one signature of Server's plain one: the report's signature is verified,
// the report opened, the step signed, the answer sealed, and what is kept is
// hashed. The libraries are the product's own.
type Exchange struct {
	vendor    *ecdh.PrivateKey // opens reports
	machine   *ecdh.PrivateKey // opens answers
	signing   ed25519.PrivateKey
	enc       []byte
	report    []byte
	signature []byte
	step      []byte
}

// NewExchange prepares one report, which is received again and again.
func NewExchange() *Exchange {
	e := &Exchange{step: make([]byte, stepSize), signing: ed25519.NewKeyFromSeed(make([]byte, 32))}
	var err error
	if e.vendor, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		panic(err) // crypto/rand does not fail
	}
	if e.machine, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	if e.enc, e.report, err = sealTo(e.vendor.PublicKey(), make([]byte, reportSize)); err != nil {
		panic(err) // the key is a good one
	}
	e.signature = ed25519.Sign(e.signing, e.report)
	return e
}

var info = []byte("bare")

func sealTo(public *ecdh.PublicKey, plain []byte) (enc, sealed []byte, err error) {
	to, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, nil, err
	}
	sealed, err = sender.Seal(nil, plain)
	return enc, sealed, err
}

// Receive verifies and opens the report.
func (e *Exchange) Receive() error {
	if !ed25519.Verify(e.signing.Public().(ed25519.PublicKey), e.report, e.signature) {
		return errors.New("bare: bad signature")
	}
	key, err := hpke.NewDHKEMPrivateKey(e.vendor)
	if err != nil {
		return err
	}
	r, err := hpke.NewRecipient(e.enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return err
	}
	_, err = r.Open(nil, e.report)
	return err
}

// Send signs the step and seals the answer.
func (e *Exchange) Send(text []byte) ([]byte, error) {
	mac := hmac.New(sha256.New, info)
	mac.Write(e.step)
	h := mac.Sum(nil)
	for range hashes {
		next := sha256.Sum256(append(h, text...))
		h = next[:]
	}
	signature := ed25519.Sign(e.signing, e.step)
	_, sealed, err := sealTo(e.machine.PublicKey(), append(text, signature...))
	return sealed, err
}
