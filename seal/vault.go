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
	"slices"
	"sync"
)

// Vault seals what lies in a database and makes keyed hashes for look-up. Both
// come from secrets that are kept outside the database. The first makes the hashes,
// for ever, because what was hashed is not known any more; the last seals; all open.
type Vault struct {
	roots  [][]byte
	hashes *sync.Map // the keys of KeyedHash, by label; labels are few
}

const vaultSecret = 32

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

// NewVault takes the secret of 32 random bytes, or several, the oldest first.
func NewVault(secrets []byte) (*Vault, error) {
	if len(secrets) == 0 || len(secrets)%vaultSecret != 0 {
		return nil, fault("a vault's secret has %d bytes", vaultSecret)
	}
	v := &Vault{hashes: &sync.Map{}}
	for secret := range slices.Chunk(secrets, vaultSecret) {
		root, err := hkdf.Extract(sha256.New, secret, []byte("licet vault"))
		if err != nil {
			return nil, fault("%w", err)
		}
		v.roots = append(v.roots, root)
	}
	return v, nil
}

// Seal encrypts plain for one place. A fresh salt gives every call a key of its
// own, so that nothing repeats however often a place is written.
func (v *Vault) Seal(at Place, plain []byte) ([]byte, error) {
	sealed := make([]byte, 1+vaultSalt, 1+vaultSalt+len(plain)+16)
	sealed[0] = vaultVersion
	rand.Read(sealed[1:])
	aead, err := v.aead(v.newest(), sealed[1:])
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
	for _, root := range slices.Backward(v.roots) {
		if plain, err := v.openWith(root, at, sealed); err == nil {
			return plain, nil
		}
	}
	return nil, ErrVault
}

// Current reports whether the newest secret sealed something for a place.
func (v *Vault) Current(at Place, sealed []byte) bool {
	if len(sealed) < 1+vaultSalt || sealed[0] != vaultVersion {
		return false
	}
	_, err := v.openWith(v.newest(), at, sealed)
	return err == nil
}

func (v *Vault) newest() []byte { return v.roots[len(v.roots)-1] }

func (v *Vault) openWith(root []byte, at Place, sealed []byte) ([]byte, error) {
	aead, err := v.aead(root, sealed[1:1+vaultSalt])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, make([]byte, aead.NonceSize()), sealed[1+vaultSalt:], at.bytes())
}

// KeyedHash is a hash that only the vault can make, for looking up what must
// not be stored itself. Labels keep uses apart.
func (v *Vault) KeyedHash(label string, data []byte) [32]byte {
	key, ok := v.hashes.Load(label)
	if !ok {
		key, _ = v.hashes.LoadOrStore(label, derived(v.roots[0], "hash", []byte(label)))
	}
	m := hmac.New(sha256.New, key.([]byte))
	m.Write(data)
	return [32]byte(m.Sum(nil))
}

func (v *Vault) aead(root, salt []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(derived(root, "seal", salt))
	if err != nil {
		return nil, fault("%w", err)
	}
	return cipher.NewGCM(block)
}

// derived is a key for one use.
func derived(root []byte, use string, of []byte) []byte {
	info := mustEncode([]any{"licet", "vault", use, of})
	k, err := hkdf.Expand(sha256.New, root, string(info), 32)
	if err != nil {
		panic(err) // 32 bytes can always be had
	}
	return k
}

func (p Place) bytes() []byte {
	return mustEncode([]any{"licet", "vault", p.Table, p.Row, p.Column})
}
