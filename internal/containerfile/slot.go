package containerfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/fxamacker/cbor/v2"

	"licet/internal/machine"
)

// A slot's bytes are
//
//	magic    8 bytes "LICETBOX"
//	format   4 bytes, big endian
//	length   4 bytes, big endian, of the body
//	body     CBOR
//	checksum SHA-256 of everything before
//
// The checksum tells a torn or damaged slot before anything is opened; that
// nobody changed it is for the encryption to say.
const (
	magic       = "LICETBOX"
	frameSize   = len(magic) + 4 + 4
	checkSize   = sha256.Size
	saltSize    = 32
	keySize     = 32
	textLimit   = 128
	stateInfo   = "licet container state v1"
	licenseInfo = "licet container license v1"
)

// The formats of a slot that this package reads and writes. They are laid out
// alike; those after the first tell older programs that they would lose something.
const (
	FormatPlain    = 1
	FormatOfCounts = 2 // the state holds counters of units
	FormatOfMoves  = 3 // the state holds units that moved between containers
)

func (c Content) format() int {
	switch {
	case c.Moves:
		return FormatOfMoves
	case c.Counts:
		return FormatOfCounts
	}
	return FormatPlain
}

// SlotLimit is the largest size of a slot, in bytes.
const SlotLimit = 16 << 20

// Header is what a container file tells without being opened.
type Header struct {
	// Format is one of those above; writing sets it.
	Format int `cbor:"1,keyasint" json:"format"`
	// Vendor is the id of the one vendor whose licenses are inside.
	Vendor string `cbor:"2,keyasint" json:"vendor"`
	// Serial is the container's serial number and its folder's name.
	Serial string `cbor:"3,keyasint" json:"serial"`
	// Kind is the container's kind, such as "machine".
	Kind string `cbor:"4,keyasint" json:"kind"`
	// Number is the number of the last applied step; it never falls.
	Number uint64 `cbor:"5,keyasint" json:"number"`
	// Write counts the writes of the file, from 1; writing sets it.
	Write uint64 `cbor:"6,keyasint" json:"write"`
}

// serialShape keeps serials fit for a folder's name.
var serialShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (h Header) valid() bool {
	return h.Format >= FormatPlain && h.Format <= FormatOfMoves && serialShape.MatchString(h.Serial) && h.Write > 0 &&
		len(h.Vendor) <= textLimit && h.Kind != "" && len(h.Kind) <= textLimit
}

// slot is one decoded slot.
type slot struct {
	header  Header
	binding machine.Binding
	bodies  []sealedBody
	raw     rawSlot
}

// rawSlot is a slot's body. The first three are CBOR by themselves, kept as
// bytes because the state's seal covers them.
type rawSlot struct {
	Header  []byte `cbor:"1,keyasint"`
	Binding []byte `cbor:"2,keyasint"`
	Bodies  []byte `cbor:"3,keyasint"`
	Salt    []byte `cbor:"4,keyasint"`
	State   []byte `cbor:"5,keyasint"` // sealed with the loose secret
}

// sealedBody is one license body. It has a salt of its own, so that it can be
// carried from slot to slot by somebody who cannot open it. Without salt it
// needs a fresh copy from central.
type sealedBody struct {
	License   string `cbor:"1,keyasint"`
	Tolerance string `cbor:"2,keyasint"`
	Salt      []byte `cbor:"3,keyasint"`
	Sealed    []byte `cbor:"4,keyasint"`
}

func (b sealedBody) reissue() bool { return len(b.Salt) == 0 }

func (b sealedBody) valid() bool {
	if b.License == "" || len(b.License) > textLimit || !knownTolerance(b.Tolerance) {
		return false
	}
	return len(b.Salt) == saltSize || b.reissue() && len(b.Sealed) == 0
}

var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 8,
		UTF8: cbor.UTF8RejectInvalid, TagsMd: cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// errTorn says that a slot's bytes are not whole.
var errTorn = errors.New("incomplete or changed")

// encode gives a slot's bytes. The parts of raw must be set.
func encode(format int, raw rawSlot) ([]byte, error) {
	body, err := encoding.Marshal(raw)
	if err != nil {
		return nil, err
	}
	if size := frameSize + len(body) + checkSize; size > SlotLimit {
		return nil, fmt.Errorf("containerfile: %d bytes are more than the %d that a container may have", size, SlotLimit)
	}
	return frame(uint32(format), body), nil
}

// frame puts everything around a body.
func frame(format uint32, body []byte) []byte {
	data := make([]byte, 0, frameSize+len(body)+checkSize)
	data = append(data, magic...)
	data = binary.BigEndian.AppendUint32(data, format)
	data = binary.BigEndian.AppendUint32(data, uint32(len(body)))
	data = append(data, body...)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

// decode reads a slot's bytes and checks everything that needs no key. A whole
// slot of a later format gives [ErrNewerFormat].
func decode(data []byte) (slot, error) {
	if len(data) < frameSize+checkSize || len(data) > SlotLimit || string(data[:len(magic)]) != magic {
		return slot{}, errTorn
	}
	body, sum := data[frameSize:len(data)-checkSize], sha256.Sum256(data[:len(data)-checkSize])
	if !bytes.Equal(sum[:], data[len(data)-checkSize:]) {
		return slot{}, errTorn
	}
	format := binary.BigEndian.Uint32(data[len(magic):])
	switch {
	case format > FormatOfMoves:
		return slot{}, fmt.Errorf("%w: format %d, this program knows %d", ErrNewerFormat, format, FormatOfMoves)
	case format < FormatPlain:
		return slot{}, fmt.Errorf("format %d is unknown", format)
	}
	if binary.BigEndian.Uint32(data[len(magic)+4:]) != uint32(len(body)) {
		return slot{}, errTorn
	}
	var s slot
	if err := decoding.Unmarshal(body, &s.raw); err != nil {
		return slot{}, err
	}
	if err := decoding.Unmarshal(s.raw.Header, &s.header); err != nil {
		return slot{}, err
	}
	if err := decoding.Unmarshal(s.raw.Binding, &s.binding); err != nil {
		return slot{}, err
	}
	if err := decoding.Unmarshal(s.raw.Bodies, &s.bodies); err != nil {
		return slot{}, err
	}
	if !s.header.valid() || s.header.Format != int(format) || len(s.raw.Salt) != saltSize {
		return slot{}, errors.New("header makes no sense")
	}
	licenses := map[string]bool{}
	for _, body := range s.bodies {
		if !body.valid() || licenses[body.License] {
			return slot{}, fmt.Errorf("license %q makes no sense", body.License)
		}
		licenses[body.License] = true
	}
	return s, nil
}

// seal builds a slot around what is already sealed and seals the state.
func seal(h Header, binding machine.Binding, bodies []sealedBody, state, loose []byte, random io.Reader) (slot, error) {
	s := slot{header: h, binding: binding, bodies: bodies}
	var err error
	if s.raw.Header, err = encoding.Marshal(h); err != nil {
		return slot{}, err
	}
	if s.raw.Binding, err = encoding.Marshal(binding); err != nil {
		return slot{}, err
	}
	if bodies == nil {
		bodies = []sealedBody{}
	}
	if s.raw.Bodies, err = encoding.Marshal(bodies); err != nil {
		return slot{}, err
	}
	s.raw.Salt, s.raw.State, err = sealBytes(loose, stateInfo, state, s.raw.covered(), random)
	return s, err
}

// openState opens the state with the loose secret.
func (s slot) openState(loose []byte) ([]byte, error) {
	return openBytes(loose, s.raw.Salt, stateInfo, s.raw.State, s.raw.covered())
}

// covered is what the state's seal vouches for besides the state.
func (r rawSlot) covered() []byte {
	var data []byte
	for _, part := range [][]byte{r.Header, r.Binding, r.Bodies} {
		sum := sha256.Sum256(part)
		data = append(data, sum[:]...)
	}
	return data
}

// sealBody seals a license body with its tolerance's secret.
func sealBody(h Header, body Body, secret []byte, random io.Reader) (sealedBody, error) {
	out := sealedBody{License: body.License, Tolerance: body.Tolerance}
	var err error
	out.Salt, out.Sealed, err = sealBytes(secret, licenseInfo, body.Data, out.covered(h), random)
	return out, err
}

func (b sealedBody) open(h Header, secret []byte) ([]byte, error) {
	return openBytes(secret, b.Salt, licenseInfo, b.Sealed, b.covered(h))
}

// covered ties a body to its container and its place there, not to a write:
// a body outlives the write that made it.
func (b sealedBody) covered(h Header) []byte {
	var data []byte
	for _, text := range []string{h.Vendor, h.Serial, b.License, b.Tolerance} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(text)))
		data = append(data, text...)
	}
	return data
}

// sealBytes encrypts plain under a key that a fresh salt derives from secret.
// Each key is used once, so the nonce is constant; a counter that a restored
// file resets plays no part (docs/keys.md 5.3).
func sealBytes(secret []byte, info string, plain, covered []byte, random io.Reader) (salt, sealed []byte, err error) {
	salt = make([]byte, saltSize)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, nil, fmt.Errorf("containerfile: random bytes: %w", err)
	}
	aead, err := derive(secret, salt, info)
	if err != nil {
		return nil, nil, err
	}
	return salt, aead.Seal(nil, make([]byte, aead.NonceSize()), plain, covered), nil
}

func openBytes(secret, salt []byte, info string, sealed, covered []byte) ([]byte, error) {
	aead, err := derive(secret, salt, info)
	if err != nil {
		return nil, err
	}
	return aead.Open([]byte{}, make([]byte, aead.NonceSize()), sealed, covered)
}

func derive(secret, salt []byte, info string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, info, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
