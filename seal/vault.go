package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
)

// Vault seals what lies in a database and makes keyed hashes for look-up. Both
// come from one secret of 32 bytes that is kept outside the database.
type Vault struct {
	root   []byte
	hashes *sync.Map // the keys of KeyedHash, by label; labels are few
}

// Format keeps the secret out of whatever is printed.
func (v Vault) Format(f fmt.State, _ rune) { fmt.Fprint(f, "vault") }

// Place is where a secret lies. A sealed secret that is moved to another place
// does not open there.
type Place struct {
	Table, Row, Column string
}

const (
	vaultVersion = 1
	vaultSalt    = 32
)

// ErrVault says that a secret does not open: another key, another place, or
// damage.
var ErrVault = errors.New("seal: the secret does not open here")

// NewVault takes the secret of 32 random bytes.
func NewVault(secret []byte) (*Vault, error) {
	if len(secret) != 32 {
		return nil, fault("a vault's secret has 32 bytes")
	}
	root, err := hkdf.Extract(sha256.New, secret, []byte("licet vault"))
	if err != nil {
		return nil, fault("%w", err)
	}
	return &Vault{root: root, hashes: &sync.Map{}}, nil
}

// Seal encrypts plain for one place. A fresh salt gives every call a key of its
// own, so that nothing repeats however often a place is written.
func (v *Vault) Seal(at Place, plain []byte) ([]byte, error) {
	sealed := make([]byte, 1+vaultSalt, 1+vaultSalt+len(plain)+16)
	sealed[0] = vaultVersion
	rand.Read(sealed[1:])
	aead, err := v.aead(sealed[1:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(sealed, make([]byte, aead.NonceSize()), plain, at.bytes()), nil
}

// Open decrypts what Seal made for the same place, or says ErrVault.
func (v *Vault) Open(at Place, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+vaultSalt || sealed[0] != vaultVersion {
		return nil, ErrVault
	}
	aead, err := v.aead(sealed[1 : 1+vaultSalt])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[1+vaultSalt:], at.bytes())
	if err != nil {
		return nil, ErrVault
	}
	return plain, nil
}

// KeyedHash is a hash that only the vault can make, for looking up what must
// not be stored itself. Labels keep uses apart.
func (v *Vault) KeyedHash(label string, data []byte) [32]byte {
	key, ok := v.hashes.Load(label)
	if !ok {
		key, _ = v.hashes.LoadOrStore(label, v.key("hash", []byte(label)))
	}
	m := hmac.New(sha256.New, key.([]byte))
	m.Write(data)
	return [32]byte(m.Sum(nil))
}

func (v *Vault) aead(salt []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(v.key("seal", salt))
	if err != nil {
		return nil, fault("%w", err)
	}
	return cipher.NewGCM(block)
}

// key derives a key for one use.
func (v *Vault) key(use string, of []byte) []byte {
	info := mustEncode([]any{"licet", "vault", use, of})
	k, err := hkdf.Expand(sha256.New, v.root, string(info), 32)
	if err != nil {
		panic(err) // 32 bytes can always be had
	}
	return k
}

func (p Place) bytes() []byte {
	return mustEncode([]any{"licet", "vault", p.Table, p.Row, p.Column})
}
