//go:build cgo

package signer

import (
	"crypto/ed25519"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"licet/refusal"
)

// keyLabel is the label of our keys in a token.
const keyLabel = "licet issuing"

// Mechanisms of PKCS#11 3.0, which the binding does not name.
const (
	mechanismMake = 0x1055 // CKM_EC_EDWARDS_KEY_PAIR_GEN
	mechanismSign = 0x1057 // CKM_EDDSA
)

// edwards25519 is the curve as PKCS#11 names it: a printable string.
var edwards25519, _ = asn1.MarshalWithParams("edwards25519", "printable")

// Token keeps keys in a PKCS#11 token, such as an HSM. The keys are made in it and
// never leave it.
type Token struct {
	module, label string
	pin           string
	random        io.Reader

	mu      sync.Mutex
	ctx     *pkcs11.Ctx
	session pkcs11.SessionHandle
	open    bool
	refused error                          // the PIN was; it is not tried again
	handles map[string]pkcs11.ObjectHandle // private keys by public key
}

// OpenToken opens the token with a label by the module of its maker. The PIN is tried
// once: a token locks itself after a few wrong ones.
func OpenToken(module, label, pin string, random io.Reader) (Keeper, error) {
	t := &Token{module: module, label: label, pin: pin, random: random}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.connect(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Token) unavailable(err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		switch code {
		case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_INVALID:
			t.refused = refusal.New(refusal.SignerUnavailable, "The token %s refuses the PIN. It is not tried again, because a token locks itself after a few wrong ones. Nothing was signed.", t.label).
				Hinted("Put the right PIN into the file, then start licet-signer again.")
			return t.refused
		case pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED:
			t.refused = refusal.New(refusal.SignerUnavailable, "The PIN of the token %s is locked or has ended. Nothing was signed.", t.label).
				Hinted("Have the token's security officer set it anew, then start licet-signer again.")
			return t.refused
		}
	}
	return refusal.New(refusal.SignerUnavailable, "The token %s does not answer: %v. Nothing was signed.", t.label, err).
		Hinted("Put the token back; the signer finds it by itself.")
}

// connect finds the token, logs in and reads the keys; mu is held.
func (t *Token) connect() error {
	if t.refused != nil {
		return t.refused
	}
	t.disconnect()
	ctx := pkcs11.New(t.module)
	if ctx == nil {
		return refusal.New(refusal.SignerUnavailable, "%s is no PKCS#11 module of this machine.", t.module).Hinted("Name the library that came with the token.")
	}
	t.ctx = ctx
	if err := ctx.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return t.unavailable(err)
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return t.unavailable(err)
	}
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		if err != nil || strings.TrimRight(info.Label, " \x00") != t.label {
			continue
		}
		if t.session, err = ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
			return t.unavailable(err)
		}
		t.open = true
		if err := ctx.Login(t.session, pkcs11.CKU_USER, t.pin); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
			return t.unavailable(err)
		}
		return t.read()
	}
	return refusal.New(refusal.SignerUnavailable, "There is no token %q in any slot of %s. Nothing was signed.", t.label, t.module).
		Hinted("Put the token back; the signer finds it by itself.")
}

func (t *Token) disconnect() {
	if t.ctx == nil {
		return
	}
	if t.open {
		_ = t.ctx.Logout(t.session)
		_ = t.ctx.CloseSession(t.session)
	}
	_ = t.ctx.Finalize()
	t.ctx.Destroy()
	t.ctx, t.open = nil, false
}

// read finds our keys in the token.
func (t *Token) read() error {
	t.handles = map[string]pkcs11.ObjectHandle{}
	publics, err := t.find(pkcs11.CKO_PUBLIC_KEY)
	if err != nil {
		return t.unavailable(err)
	}
	for _, object := range publics {
		values, err := t.ctx.GetAttributeValue(t.session, object, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
		if err != nil {
			return t.unavailable(err)
		}
		public := point(values[0].Value)
		if len(public) != ed25519.PublicKeySize {
			continue
		}
		private, err := t.find(pkcs11.CKO_PRIVATE_KEY, pkcs11.NewAttribute(pkcs11.CKA_ID, values[1].Value))
		if err != nil {
			return t.unavailable(err)
		}
		if len(private) == 1 {
			t.handles[string(public)] = private[0]
		}
	}
	return nil
}

// point is the public key in an attribute, which some tokens wrap as an octet string.
func point(value []byte) []byte {
	var wrapped []byte
	if len(value) > ed25519.PublicKeySize {
		if rest, err := asn1.Unmarshal(value, &wrapped); err == nil && len(rest) == 0 {
			return wrapped
		}
	}
	return value
}

func (t *Token) find(class uint, more ...*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	template := append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_LABEL, keyLabel)}, more...)
	if err := t.ctx.FindObjectsInit(t.session, template); err != nil {
		return nil, err
	}
	objects, _, err := t.ctx.FindObjects(t.session, 100)
	return objects, errors.Join(err, t.ctx.FindObjectsFinal(t.session))
}

// with runs something in the token's session, once more in a new one if the session
// was lost.
func (t *Token) with(run func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open {
		err := run()
		if err == nil {
			return nil
		}
		if _, said := refusal.As(err); said {
			return err
		}
	}
	if err := t.connect(); err != nil {
		return err
	}
	if err := run(); err != nil {
		if _, said := refusal.As(err); said {
			return err
		}
		return t.unavailable(err)
	}
	return nil
}

// Keys are the public keys of ours in the token.
func (t *Token) Keys() (list [][]byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for public := range t.handles {
		list = append(list, []byte(public))
	}
	return list, nil
}

// Make makes a key in the token, which cannot be read out of it.
func (t *Token) Make() (public []byte, err error) {
	id := make([]byte, 16)
	if _, err := io.ReadFull(t.random, id); err != nil {
		return nil, err
	}
	err = t.with(func() error {
		object, _, err := t.ctx.GenerateKeyPair(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanismMake, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, keyLabel), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
				pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, edwards25519),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, keyLabel),
				pkcs11.NewAttribute(pkcs11.CKA_ID, id), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			})
		if err != nil {
			return err
		}
		value, err := t.ctx.GetAttributeValue(t.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
		if err != nil {
			return err
		}
		public = point(value[0].Value)
		return t.read()
	})
	if err == nil && len(public) != ed25519.PublicKeySize {
		err = fmt.Errorf("signer: the token made a public key of %d bytes", len(public))
	}
	return public, err
}

// Sign has the token sign with one of the keys.
func (t *Token) Sign(public, message []byte) (signature []byte, err error) {
	err = t.with(func() error {
		handle, ok := t.handles[string(public)]
		if !ok {
			return refusal.New(refusal.SignerUnavailable, "The token %s does not have the key any more. Nothing was signed.", t.label)
		}
		if err := t.ctx.SignInit(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanismSign, nil)}, handle); err != nil {
			return err
		}
		signature, err = t.ctx.Sign(t.session, message)
		return err
	})
	if err == nil && !ed25519.Verify(public, message, signature) {
		return nil, refusal.New(refusal.SignerUnavailable, "The token %s gave a signature that does not fit its key. It was given to nobody.", t.label)
	}
	return signature, err
}

// Close ends the session.
func (t *Token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.disconnect()
	return nil
}
