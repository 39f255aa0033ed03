package registry

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"licet/internal/signerlink"
	"licet/internal/store"
	"licet/refusal"
	"licet/seal"
)

// How many signatures a server counts before it makes them, and with how few left it
// counts the next ones. What one transaction signs, and is run again for, has to fit
// into the rest.
const (
	countAhead = 4096
	countRest  = 1024
)

// tally counts the signatures of the issuing keys. They are counted in the database
// before they are made, many at a time, so that the count stands even if the server
// dies: a key has never signed more often than it says. A server that is closed
// gives back what it did not use.
type tally struct {
	adding sync.Mutex
	left   sync.Map // seal.KeyID → *atomic.Int64, signatures that are counted and not made
}

func (t *tally) of(id seal.KeyID) *atomic.Int64 {
	n, ok := t.left.Load(id)
	if !ok {
		n, _ = t.left.LoadOrStore(id, new(atomic.Int64))
	}
	return n.(*atomic.Int64)
}

// toSign gives the keys to sign with, after it has counted ahead.
func (r *Registry) toSign(ctx context.Context) (*keyring, error) {
	k := r.keys()
	id := k.issuing.ID()
	left := r.tally.of(id)
	if left.Load() > countRest {
		return k, nil
	}
	r.tally.adding.Lock()
	defer r.tally.adding.Unlock()
	if left.Load() > countRest {
		return k, nil
	}
	err := r.cfg.DB.Write(ctx, func(tx *store.Tx) error { return tx.CountSignatures(id.String(), countAhead) })
	if err == nil {
		left.Add(countAhead)
	}
	return k, r.journalFault(err)
}

func (r *Registry) giveBackSignatures(ctx context.Context) error {
	back := map[seal.KeyID]int64{}
	r.tally.left.Range(func(id, n any) bool {
		if n := n.(*atomic.Int64).Swap(0); n > 0 {
			back[id.(seal.KeyID)] = n
		}
		return true
	})
	if len(back) == 0 {
		return nil
	}
	return r.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		for id, n := range back {
			if err := tx.CountSignatures(id.String(), -n); err != nil {
				return err
			}
		}
		return nil
	})
}

// errUncounted says that a signature was not counted before; write counts ahead and
// tries again.
var errUncounted = errors.New("registry: more signatures than were counted ahead")

// tallied is a signer each of whose signatures was counted.
type tallied struct {
	crypto.Signer
	left *atomic.Int64
	log  *slog.Logger
}

func (c tallied) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if c.left.Add(-1) < 0 {
		c.left.Add(1)
		return nil, errUncounted
	}
	signature, err := c.Signer.Sign(random, message, opts)
	if no, ok := refusal.As(err); ok {
		// What is wrong with the signer is for staff to know.
		c.log.Error("the signer does not sign", "fault", no.Message, "hint", no.NextStep())
		return nil, refusal.New(refusal.SignerUnavailable, "The vendor's signing key cannot be reached at this moment. Nothing was changed.")
	}
	return signature, err
}

// signingKey makes the key of a row sign.
func (r *Registry) signingKey(k *keyring, row store.Key) (*seal.SigningKey, error) {
	signer, err := r.signerOf(k, row)
	if err != nil {
		return nil, err
	}
	return seal.KeptBy(seal.Issuing, tallied{signer, r.tally.of(seal.KeyIDOf(row.Public)), r.cfg.Log})
}

// signerOf is the private part of a key: here, or with a signer, who is spoken to when
// there is something to sign.
func (r *Registry) signerOf(k *keyring, row store.Key) (crypto.Signer, error) {
	if row.Token != "" {
		link, err := r.signerAt(row.Token)
		if err != nil {
			return nil, err
		}
		return link.Key(row.Public), nil
	}
	private, err := k.open(row)
	if err != nil {
		return nil, err
	}
	if len(private) != ed25519.SeedSize {
		return nil, errors.New("registry: the private part of the key that signs is missing")
	}
	return ed25519.NewKeyFromSeed(private), nil
}

// signerAt is the link to a signer, once per address.
func (r *Registry) signerAt(address string) (*signerlink.Link, error) {
	if link, ok := r.links.Load(address); ok {
		return link.(*signerlink.Link), nil
	}
	link, err := signerlink.To(address)
	if err != nil {
		return nil, err
	}
	kept, _ := r.links.LoadOrStore(address, link)
	return kept.(*signerlink.Link), nil
}
