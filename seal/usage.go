package seal

import (
	"bytes"
	"crypto/sha256"

	"licet/license"
	"licet/refusal"
)

// UsageHour is what a license server's container says of one hour: what was given
// out, what was denied and why, and how many seats were in use at most. Hours form a
// chain: each names the one before, so that one that is missing shows.
type UsageHour struct {
	Number   uint64         `cbor:"1,keyasint"`
	Previous [32]byte       `cbor:"2,keyasint"` // hash of the signed hour before; zero for the first
	From     license.Time   `cbor:"3,keyasint"`
	Until    license.Time   `cbor:"4,keyasint"`
	Heads    uint64         `cbor:"5,keyasint"` // number of the last lease head that the container signed
	Products []UsageProduct `cbor:"6,keyasint"`
}

// UsageProduct is the use of one product in an hour.
type UsageProduct struct {
	Product string                  `cbor:"1,keyasint" json:"product"`
	Grants  uint64                  `cbor:"2,keyasint" json:"grants"`
	Denials map[refusal.Code]uint64 `cbor:"3,keyasint" json:"denials"`
	Peak    int64                   `cbor:"4,keyasint" json:"peak"`  // seats in use and on loan at once
	Seats   int64                   `cbor:"5,keyasint" json:"seats"` // that there were, at most
}

// UsageHash names a signed hour in the one after it.
func UsageHash(signed []byte) [32]byte { return sha256.Sum256(signed) }

// SignUsage signs an hour with the key of the server's container.
func SignUsage(s Scope, keys *ContainerKeys, h UsageHour) ([]byte, error) {
	payload, err := encode("usage", MaxUsage, h)
	if err != nil {
		return nil, err
	}
	return sign(forUsage, s, keys.signing, payload)
}

// OpenUsage checks an hour by the key of the server's container, as a license names
// it.
func OpenUsage(s Scope, containerKey, signed []byte) (UsageHour, error) {
	k, ok := newPublicKey(containerKey)
	if !ok {
		return UsageHour{}, badSignature()
	}
	m, err := parse("usage", MaxUsage, bytes.Clone(signed))
	if err != nil {
		return UsageHour{}, err
	}
	if err := m.verify(forUsage, s, k); err != nil {
		return UsageHour{}, err
	}
	h, err := decode[UsageHour]("usage", MaxUsage, m.Payload)
	if err != nil {
		return UsageHour{}, err
	}
	if h.Number == 0 || h.From <= 0 || h.Until <= h.From {
		return UsageHour{}, damaged("usage")
	}
	return h, nil
}
