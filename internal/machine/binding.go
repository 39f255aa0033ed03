package machine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"licet/internal/machine/sharing"
)

// SecretSize is the length of each secret, in bytes.
const SecretSize = 32

// Bounds of a binding. A binding outside them is not read.
const (
	maxNames  = 32
	maxValues = 8 // alternatives of one name; further ones are left out
	maxText   = 64
	saltSize  = 32
	checkSize = 16
	keySize   = 32
	tagSize   = 16
)

// valueInfo separates this use of HKDF from every other.
const valueInfo = "licet trait v1"

// tolerances is the number of sharings: loose, medium, tight.
const tolerances = 3

// ErrBelowLoose says that too few traits match for anything to open; only
// restore helps.
var ErrBelowLoose = errors.New("machine: too few traits match")

// ErrBinding says that bytes are not a binding.
var ErrBinding = errors.New("machine: not a binding")

// Secrets are what a binding seals, [SecretSize] bytes each, independent of
// each other; nil where too few traits match.
type Secrets struct{ Loose, Medium, Tight []byte }

// Binding seals three secrets to a machine's traits. It stands in a file in
// the clear and tells the names of traits, not their values. The zero value is
// no binding; only [Bind] and decoding make one.
type Binding struct{ inner sealed }

// sealed is a binding's encoding.
type sealed struct {
	Salt   []byte        `cbor:"1,keyasint"`
	Loose  int           `cbor:"2,keyasint"` // thresholds, as sums of weights
	Medium int           `cbor:"3,keyasint"`
	Tight  int           `cbor:"4,keyasint"`
	Traits []sealedTrait `cbor:"5,keyasint"`
}

// sealedTrait holds as many shares of each sharing as its weight, once for
// each of its values.
type sealedTrait struct {
	Name   string        `cbor:"1,keyasint"`
	Weight int           `cbor:"2,keyasint"`
	Values []sealedValue `cbor:"3,keyasint"`
}

type sealedValue struct {
	Check  []byte `cbor:"1,keyasint"` // salted digest by which the value is recognized
	Shares []byte `cbor:"2,keyasint"` // AES-256-GCM under a key that only the value gives
}

// Match is how a machine's traits compare to a binding. Names are in the
// binding's order, New in the machine's.
type Match struct {
	Matched []string `json:"matched"`
	Changed []string `json:"changed"` // there, with another value
	Missing []string `json:"missing"` // no longer there
	New     []string `json:"new"`     // there now, and not when it was bound

	Score      int `json:"score"` // sum of the weights that match
	Total      int `json:"total"`
	NeedLoose  int `json:"need_loose"`
	NeedMedium int `json:"need_medium"`
	NeedTight  int `json:"need_tight"`

	// Strength of the binding, whatever matches: [Strong], [Fair] or [Weak].
	Strength string `json:"strength"`
}

// Strengths of a binding: three or more traits that are this machine's alone,
// one or two, none.
const (
	Strong = "strong"
	Fair   = "fair"
	Weak   = "weak"

	ownTraitsForStrong = 3
)

// Explanation says in one sentence what the strength means.
func (m Match) Explanation() string {
	switch m.Strength {
	case Strong:
		return "The container is bound to several things that only this machine has."
	case Fair:
		return "The container is bound to few things that only this machine has; if they change, it must be restored."
	default:
		return "This machine shows nothing that is its own alone: a copy of the folder may open on a similar machine."
	}
}

// Sentence says in one sentence which traits differ.
func (m Match) Sentence() string {
	var parts []string
	for _, part := range []struct {
		names []string
		what  string
	}{{m.Changed, "changed"}, {m.Missing, "missing"}} {
		if len(part.names) > 0 {
			parts = append(parts, part.what+": "+strings.Join(part.names, ", "))
		}
	}
	if len(parts) == 0 {
		return "All traits of the machine match."
	}
	return fmt.Sprintf("Traits of the machine that differ: %s (%d of %d points match).", strings.Join(parts, "; "), m.Score, m.Total)
}

// Bind makes three new secrets and seals them to traits. With w the sum of the
// names' weights, and s the sum of those of [SharedWeight]:
//
//	tight   w: everything matches
//	loose   w/2, rounded up, and more than s, so that at least one trait
//	        matches that is this machine's alone (unless it has none)
//	medium  w less the heaviest trait, so that any one may change, but not
//	        below loose
//
// random must be a cryptographic source.
func Bind(traits []Trait, random io.Reader) (Binding, Secrets, error) {
	groups, err := group(traits)
	if err != nil {
		return Binding{}, Secrets{}, err
	}
	b := sealed{Salt: make([]byte, saltSize)}
	total, shared, heaviest := 0, 0, 0
	for _, g := range groups {
		total += g.weight
		heaviest = max(heaviest, g.weight)
		if g.weight == SharedWeight {
			shared += g.weight
		}
	}
	if total > sharing.MaxShares {
		return Binding{}, Secrets{}, fmt.Errorf("machine: weights sum to %d, at most %d are possible", total, sharing.MaxShares)
	}
	b.Tight = total
	b.Loose = (total + 1) / 2
	if shared < total {
		b.Loose = max(b.Loose, shared+1)
	}
	b.Medium = max(total-heaviest, b.Loose)

	if _, err := io.ReadFull(random, b.Salt); err != nil {
		return Binding{}, Secrets{}, fmt.Errorf("machine: random bytes: %w", err)
	}
	var secrets [tolerances][]byte
	var shares [tolerances][]sharing.Share
	for i, need := range b.needs() {
		secrets[i] = make([]byte, SecretSize)
		if _, err := io.ReadFull(random, secrets[i]); err != nil {
			return Binding{}, Secrets{}, fmt.Errorf("machine: random bytes: %w", err)
		}
		if shares[i], err = sharing.Split(secrets[i], total, need, random); err != nil {
			return Binding{}, Secrets{}, err
		}
	}
	first := 0
	for _, g := range groups {
		var plain []byte
		for i := range shares {
			for _, share := range shares[i][first : first+g.weight] {
				plain = append(plain, share.Y...)
			}
		}
		first += g.weight
		trait := sealedTrait{Name: g.name, Weight: g.weight}
		for _, value := range g.values {
			check, aead := valueKey(b.Salt, g.name, value)
			// The key is used once: its salt is fresh and no name has one value twice.
			trait.Values = append(trait.Values, sealedValue{
				Check:  check,
				Shares: aead.Seal(nil, make([]byte, aead.NonceSize()), plain, nil),
			})
		}
		b.Traits = append(b.Traits, trait)
	}
	return Binding{b}, Secrets{secrets[0], secrets[1], secrets[2]}, nil
}

// Open gives back the secrets that traits reach. The match is always filled.
// Below loose the error is [ErrBelowLoose].
func (b Binding) Open(traits []Trait) (Secrets, Match, error) {
	match := Match{
		Total: b.inner.Tight, NeedLoose: b.inner.Loose, NeedMedium: b.inner.Medium, NeedTight: b.inner.Tight,
		Strength: b.inner.strength(),
	}
	now := map[string][]string{}
	for _, trait := range traits {
		if _, known := now[trait.Name]; !known && !b.inner.names(trait.Name) {
			match.New = append(match.New, trait.Name)
		}
		now[trait.Name] = append(now[trait.Name], trait.Value)
	}
	var shares [tolerances][]sharing.Share
	first := 0
	for _, trait := range b.inner.Traits {
		values, present := now[trait.Name]
		plain := b.inner.open(trait, values)
		switch {
		case plain != nil:
			match.Matched = append(match.Matched, trait.Name)
			match.Score += trait.Weight
			for i := range shares {
				for n := range trait.Weight {
					at := (i*trait.Weight + n) * SecretSize
					shares[i] = append(shares[i], sharing.Share{X: byte(first + n + 1), Y: plain[at : at+SecretSize]})
				}
			}
		case present:
			match.Changed = append(match.Changed, trait.Name)
		default:
			match.Missing = append(match.Missing, trait.Name)
		}
		first += trait.Weight
	}
	if b.inner.Loose < 1 || match.Score < b.inner.Loose {
		return Secrets{}, match, ErrBelowLoose
	}
	var secrets [tolerances][]byte
	for i, need := range b.inner.needs() {
		if match.Score < need {
			continue
		}
		var err error
		if secrets[i], err = sharing.Combine(shares[i], need); err != nil {
			return Secrets{}, match, err
		}
	}
	return Secrets{secrets[0], secrets[1], secrets[2]}, match, nil
}

// open gives the shares of a trait that has one of values, nil if none fits.
func (b sealed) open(trait sealedTrait, values []string) []byte {
	for _, value := range values {
		check, aead := valueKey(b.Salt, trait.Name, value)
		for _, bound := range trait.Values {
			if subtle.ConstantTimeCompare(check, bound.Check) != 1 {
				continue
			}
			plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), bound.Shares, nil)
			if err == nil {
				return plain
			}
		}
	}
	return nil
}

// valueKey derives from a trait's value what recognizes it and what opens its
// shares.
func valueKey(salt []byte, name, value string) (check []byte, aead cipher.AEAD) {
	// The name goes into the info, so no name and value can stand for another pair.
	digest := sha256.Sum256([]byte(value))
	out, err := hkdf.Key(sha256.New, digest[:], salt, valueInfo+"\x00"+name, checkSize+keySize)
	if err != nil {
		panic(err) // the length is constant and allowed
	}
	return out[:checkSize], newGCM(out[checkSize:])
}

// newGCM is AES-256-GCM; key has [keySize] bytes.
func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (b sealed) needs() [tolerances]int { return [tolerances]int{b.Loose, b.Medium, b.Tight} }

func (b sealed) names(name string) bool {
	for _, trait := range b.Traits {
		if trait.Name == name {
			return true
		}
	}
	return false
}

func (b sealed) strength() string {
	own := 0
	for _, trait := range b.Traits {
		if trait.Weight > SharedWeight {
			own++
		}
	}
	switch {
	case own >= ownTraitsForStrong:
		return Strong
	case own > 0:
		return Fair
	default:
		return Weak
	}
}

// valueGroup is the traits of one name.
type valueGroup struct {
	name   string
	weight int
	values []string
}

// group joins traits by name, in order of appearance, and checks them.
func group(traits []Trait) ([]*valueGroup, error) {
	var groups []*valueGroup
	byName := map[string]*valueGroup{}
	seen := map[Trait]bool{}
	for _, trait := range traits {
		if trait.Name == "" || len(trait.Name) > maxText || trait.Value == "" || trait.Weight < 1 {
			return nil, fmt.Errorf("machine: trait %q with weight %d cannot be bound to", trait.Name, trait.Weight)
		}
		g := byName[trait.Name]
		if g == nil {
			g = &valueGroup{name: trait.Name, weight: trait.Weight}
			byName[trait.Name] = g
			groups = append(groups, g)
		}
		if g.weight != trait.Weight {
			return nil, fmt.Errorf("machine: trait %q has two weights", trait.Name)
		}
		if !seen[trait] && len(g.values) < maxValues {
			g.values = append(g.values, trait.Value)
		}
		seen[trait] = true
	}
	if len(groups) == 0 || len(groups) > maxNames {
		return nil, fmt.Errorf("machine: %d traits to bind to; 1 to %d are possible", len(groups), maxNames)
	}
	return groups, nil
}

var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxArrayElements: 64, MaxNestedLevels: 8,
		UTF8: cbor.UTF8RejectInvalid, TagsMd: cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// MarshalCBOR encodes a binding in core deterministic CBOR.
func (b Binding) MarshalCBOR() ([]byte, error) {
	return encoding.Marshal(b.inner)
}

// UnmarshalCBOR decodes a binding. What is not one, in size or in sense, gives
// [ErrBinding]: every decoded binding can be opened without further checks.
func (b *Binding) UnmarshalCBOR(data []byte) error {
	var inner sealed
	if err := decoding.Unmarshal(data, &inner); err != nil {
		return fmt.Errorf("%w: %w", ErrBinding, err)
	}
	if !inner.valid() {
		return ErrBinding
	}
	b.inner = inner
	return nil
}

func (b sealed) valid() bool {
	if len(b.Salt) != saltSize || len(b.Traits) == 0 || len(b.Traits) > maxNames {
		return false
	}
	total := 0
	names := map[string]bool{}
	for _, trait := range b.Traits {
		if trait.Name == "" || len(trait.Name) > maxText || names[trait.Name] ||
			trait.Weight < 1 || trait.Weight > sharing.MaxShares ||
			len(trait.Values) == 0 || len(trait.Values) > maxValues {
			return false
		}
		names[trait.Name] = true
		total += trait.Weight
		for _, value := range trait.Values {
			if len(value.Check) != checkSize || len(value.Shares) != tolerances*trait.Weight*SecretSize+tagSize {
				return false
			}
		}
	}
	return total <= sharing.MaxShares && b.Tight == total &&
		1 <= b.Loose && b.Loose <= b.Medium && b.Medium <= b.Tight
}
