package signer

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/crypto/argon2"

	"licet/internal/durable"
	"licet/refusal"
	"licet/seal"
)

// fileName holds the keys of a file keeper, encrypted under a passphrase.
const fileName = "keys.sealed"

// The cost of a passphrase: the second recommendation of RFC 9106.
const (
	argonTime    = 3
	argonMemory  = 64 << 10
	argonThreads = 4
	saltSize     = 16
)

// FileKeeper keeps keys in a file that a passphrase opens.
type FileKeeper struct {
	dir    *os.Root
	random io.Reader
	salt   []byte
	vault  *seal.Vault
	keys   map[string]ed25519.PrivateKey // by public key
	order  []string
}

// sealedKeys is the file.
type sealedKeys struct {
	Salt   []byte `json:"salt"`
	Sealed []byte `json:"sealed"` // by a vault under argon2id of the passphrase
}

var filePlace = seal.Place{Table: "signer", Row: fileName, Column: "keys"}

// OpenFile opens the keys of a folder; with none there it begins an empty file.
func OpenFile(dir *os.Root, random io.Reader, passphrase []byte) (*FileKeeper, error) {
	if len(passphrase) < 12 {
		return nil, refusal.New(refusal.InvalidInput, "The passphrase has %d characters; at least 12 are wanted.", len(passphrase))
	}
	k := &FileKeeper{dir: dir, random: random, keys: map[string]ed25519.PrivateKey{}}
	text, err := durable.ReadFile(dir, fileName, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		k.salt = make([]byte, saltSize)
		if _, err := io.ReadFull(random, k.salt); err != nil {
			return nil, err
		}
		if k.vault, err = k.under(passphrase); err != nil {
			return nil, err
		}
		return k, k.save()
	}
	if err != nil {
		return nil, err
	}
	var file sealedKeys
	damaged := refusal.New(refusal.DamagedFile, "The signer's keys are damaged.").Hinted("Put %s back from its back-up.", fileName)
	if json.Unmarshal(text, &file) != nil || len(file.Salt) != saltSize {
		return nil, damaged
	}
	k.salt = file.Salt
	if k.vault, err = k.under(passphrase); err != nil {
		return nil, err
	}
	seeds, err := k.vault.Open(filePlace, file.Sealed)
	if err != nil || len(seeds)%ed25519.SeedSize != 0 {
		return nil, refusal.New(refusal.InvalidInput, "The signer's keys do not open with this passphrase.")
	}
	for seed := range slices.Chunk(seeds, ed25519.SeedSize) {
		k.take(ed25519.NewKeyFromSeed(seed))
	}
	return k, nil
}

func (k *FileKeeper) under(passphrase []byte) (*seal.Vault, error) {
	return seal.NewVault(argon2.IDKey(passphrase, k.salt, argonTime, argonMemory, argonThreads, 32))
}

func (k *FileKeeper) take(key ed25519.PrivateKey) []byte {
	public := key.Public().(ed25519.PublicKey)
	k.keys[string(public)], k.order = key, append(k.order, string(public))
	return public
}

func (k *FileKeeper) save() error {
	var seeds []byte
	for _, public := range k.order {
		seeds = append(seeds, k.keys[public].Seed()...)
	}
	sealed, err := k.vault.Seal(filePlace, seeds)
	if err != nil {
		return err
	}
	text, err := json.Marshal(sealedKeys{k.salt, sealed})
	if err != nil {
		return err
	}
	var disk durable.Disk
	return disk.WriteFile(k.dir, fileName, append(text, '\n'), durable.PrivateFile)
}

// Keys are the public keys.
func (k *FileKeeper) Keys() (list [][]byte, err error) {
	for _, public := range k.order {
		list = append(list, []byte(public))
	}
	return list, nil
}

// Make makes a key and stores it.
func (k *FileKeeper) Make() ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(k.random, seed); err != nil {
		return nil, err
	}
	public := k.take(ed25519.NewKeyFromSeed(seed))
	if err := k.save(); err != nil {
		delete(k.keys, string(public))
		k.order = k.order[:len(k.order)-1]
		return nil, err
	}
	return public, nil
}

// Sign signs with one of the keys.
func (k *FileKeeper) Sign(public, message []byte) ([]byte, error) {
	key, ok := k.keys[string(public)]
	if !ok {
		return nil, refusal.New(refusal.NotFound, "The signer has no such key.")
	}
	return ed25519.Sign(key, message), nil
}

// Close forgets the keys.
func (k *FileKeeper) Close() error {
	clear(k.keys)
	return nil
}
