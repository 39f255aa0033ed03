package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"licet/container"
	"licet/internal/containerfile"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
)

// private is what a container keeps to itself besides its licenses. It stands
// encrypted in the container's file.
type private struct {
	Keys         []byte              `cbor:"1,keyasint"` // both private keys
	Environment  string              `cbor:"2,keyasint"`
	Created      license.Time        `cbor:"3,keyasint"`
	State        container.State     `cbor:"4,keyasint"`
	Certificates [][]byte            `cbor:"5,keyasint"`  // of keys that signed for it
	Facts        map[license.ID]fact `cbor:"6,keyasint"`  // of what is held
	Pending      *pending            `cbor:"7,keyasint"`  // the request whose answer has not come
	Receipted    uint64              `cbor:"8,keyasint"`  // last step whose receipt was delivered
	Rebound      bool                `cbor:"9,keyasint"`  // repaired since the vendor last answered
	Returned     uint64              `cbor:"10,keyasint"` // last step that dropped a license

	// The public halves of Keys. To compute them costs more than all the rest of a
	// check, so they stand here; empty in a container that was written without.
	SigningKey []byte `cbor:"11,keyasint"`
	SealingKey []byte `cbor:"12,keyasint"`

	// Refresh is the time between two contacts that the vendor asks for; 0 for none.
	Refresh license.Duration `cbor:"13,keyasint,omitempty"`

	Loans   map[seats.LeaseID]loan     `cbor:"14,keyasint,omitempty"` // of license servers
	Returns map[seats.LeaseID]returned `cbor:"15,keyasint,omitempty"` // loans given back before their end
	Wish    *loanWish                  `cbor:"16,keyasint,omitempty"` // asked of a license server, and not answered

	// Ledger is how far the ledger of this machine's license server had got; nil
	// where there never was one.
	Ledger *ledgerMark `cbor:"20,keyasint,omitempty"`
	// Lent is what that server has out of what the container holds, or held.
	Lent []container.Lent `cbor:"21,keyasint,omitempty"`
	// Wished is the number of the last loan request that asked for something.
	Wished uint64 `cbor:"22,keyasint,omitempty"`
	// Takings are the last takings of units.
	Takings []taken `cbor:"23,keyasint,omitempty"`

	// Trust is the newest trust bundle that an update has brought, as it was signed.
	// It counts whatever trust file this machine has, unless that one is newer.
	Trust []byte `cbor:"24,keyasint,omitempty"`
	// Bring is one more than the last step that the vendor's record has proof of,
	// where it lacks later ones that this container has: the next report brings them.
	// 0 where it lacks none.
	Bring uint64 `cbor:"25,keyasint,omitempty"`
}

// fact is what must be known of a license even while its body does not open.
type fact struct {
	Name      string            `cbor:"1,keyasint"`
	Tolerance license.Tolerance `cbor:"2,keyasint"`
	Repair    bool              `cbor:"3,keyasint"` // users may rebind a changed machine
}

// pending is a request as it was stored before it left, so that a retry sends
// the same bytes (docs/protocol.md R16).
type pending struct {
	Wishes  container.Wishes `cbor:"1,keyasint"`
	File    []byte           `cbor:"2,keyasint"`
	Number  uint64           `cbor:"3,keyasint"` // the container's number when it was made
	Trust   container.Hash   `cbor:"4,keyasint"` // of the trust bundle it was sealed with
	Created license.Time     `cbor:"5,keyasint"`
}

// box is one container, opened.
type box struct {
	file   *containerfile.File
	header containerfile.Header
	match  machine.Match
	keys   func() (*seal.ContainerKeys, error) // derived when they are first needed
	private
	bodies map[license.ID]containerfile.Body
	traits []machine.Trait
	list   uint64 // number of the vendor's block list, as the latest update says
	told   bool   // the latest update told of keys that are revoked
}

var (
	privateEncoding = must(cbor.CoreDetEncOptions().EncMode())
	privateDecoding = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		UTF8: cbor.UTF8RejectInvalid, TagsMd: cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// traits reads what makes this machine this one. A home that was bound where
// there was little to bind to has a trait of its own besides.
func (a *Agent) traits() []machine.Trait {
	traits := a.cfg.Traits()
	// Without the file, or when it cannot be read, the trait is simply missing:
	// what is bound to it then names it.
	if own, err := machine.ReadInstallation(a.cfg.Home); err == nil {
		traits = append(slices.Clone(traits), own)
	}
	return traits
}

// bindingTraits are the traits that a container is to be bound to from now on.
func (a *Agent) bindingTraits() ([]machine.Trait, error) {
	traits := a.traits()
	if !machine.Few(traits) || slices.ContainsFunc(traits, func(t machine.Trait) bool { return t.Name == machine.InstallationID }) {
		return traits, nil
	}
	own, err := machine.Installation(a.cfg.Disk, a.cfg.Home, a.random())
	if err != nil {
		return nil, storage(err)
	}
	return append(slices.Clone(traits), own), nil
}

// create makes a machine container for a vendor.
func (a *Agent) create(ctx context.Context, v vendor) (*box, error) {
	keys, err := seal.NewContainerKeys(a.random())
	if err != nil {
		return nil, err
	}
	traits, err := a.bindingTraits()
	if err != nil {
		return nil, err
	}
	serial := keys.Serial()
	identity := keys.Identity(license.Machine)
	b := &box{
		keys: func() (*seal.ContainerKeys, error) { return keys, nil }, traits: traits,
		header: containerfile.Header{Vendor: string(v.scope().Vendor), Serial: string(serial), Kind: string(license.Machine)},
		private: private{
			Keys: keys.Bytes(), Environment: v.scope().Environment, Created: a.now(),
			State: container.NewState(serial), Facts: map[license.ID]fact{},
			Loans: map[seats.LeaseID]loan{}, Returns: map[seats.LeaseID]returned{},
			SigningKey: identity.SigningKey, SealingKey: identity.SealingKey,
		},
		bodies: map[license.ID]containerfile.Body{},
	}
	content, err := b.content()
	if err != nil {
		return nil, err
	}
	b.file, err = containerfile.Create(ctx, a.cfg.Disk, a.cfg.Home, b.header, traits, content, a.random())
	if err != nil {
		return nil, boxError(b.header.Serial, err)
	}
	b.match = b.file.Match(traits)
	b.header = b.file.Header()
	return b, nil
}

// open reads a container with this machine's traits. On OtherMachine the box
// is returned all the same, with what can be told without opening it.
func (a *Agent) open(ctx context.Context, serial license.Serial, traits []machine.Trait) (*box, error) {
	if !isSerial(serial) {
		return nil, unknownContainer(serial)
	}
	file, err := containerfile.Open(ctx, a.cfg.Disk, a.cfg.Home, string(serial))
	if err != nil {
		return nil, boxError(string(serial), err)
	}
	b := &box{file: file, header: file.Header(), traits: traits}
	content, match, err := file.Read(traits)
	b.match = match
	if err != nil {
		return b, boxError(string(serial), err)
	}
	return b, b.read(content)
}

// read takes over what the file holds.
func (b *box) read(content containerfile.Content) error {
	if err := privateDecoding.Unmarshal(content.State, &b.private); err != nil {
		return boxError(b.header.Serial, fmt.Errorf("%w: %w", containerfile.ErrDamaged, err))
	}
	raw, signing, sealing := b.Keys, b.SigningKey, b.SealingKey
	foreign := boxError(b.header.Serial, fmt.Errorf("%w: its keys are another container's", containerfile.ErrDamaged))
	b.keys = sync.OnceValues(func() (*seal.ContainerKeys, error) {
		keys, err := seal.ParseContainerKeys(raw)
		if err != nil {
			return nil, foreign
		}
		// The private keys must be those of the public ones, on which the serial and
		// every license rest.
		own := keys.Identity("")
		if signing != nil && (!bytes.Equal(own.SigningKey, signing) || !bytes.Equal(own.SealingKey, sealing)) {
			return nil, foreign
		}
		return keys, nil
	})
	if signing == nil {
		keys, err := b.keys()
		if err != nil {
			return err
		}
		own := keys.Identity("")
		b.SigningKey, b.SealingKey = own.SigningKey, own.SealingKey
	}
	if serial := seal.SerialOf(b.identity()); string(serial) != b.header.Serial || b.State.Serial != serial {
		return foreign
	}
	b.bodies = map[license.ID]containerfile.Body{}
	for _, body := range content.Bodies {
		b.bodies[license.ID(body.License)] = body
	}
	if b.Facts == nil {
		b.Facts = map[license.ID]fact{}
	}
	if b.Loans == nil {
		b.Loans = map[seats.LeaseID]loan{}
	}
	if b.Returns == nil {
		b.Returns = map[seats.LeaseID]returned{}
	}
	return nil
}

// identity is the public part of the container's keys.
func (b *box) identity() container.Identity {
	return container.Identity{SigningKey: b.SigningKey, SealingKey: b.SealingKey, Kind: b.kind()}
}

// content is what the file is to hold: the state and the bodies of what is held.
func (b *box) content() (containerfile.Content, error) {
	state, err := privateEncoding.Marshal(b.private)
	if err != nil {
		return containerfile.Content{}, fmt.Errorf("agent: encode container: %w", err)
	}
	c := containerfile.Content{State: state, Counts: b.State.Counts(), Moves: b.moved()}
	for _, id := range b.held() {
		if body, ok := b.bodies[id]; ok {
			c.Bodies = append(c.Bodies, body)
		}
	}
	for _, id := range b.loans() {
		if body, ok := b.bodies[bodyOf(id)]; ok {
			c.Bodies = append(c.Bodies, body)
		}
	}
	return c, nil
}

// moved reports whether units moved into the container or out of it.
func (b *box) moved() bool {
	for _, l := range b.Loans {
		if l.Units > 0 {
			return true
		}
	}
	for _, r := range b.Returns {
		if r.Units > 0 {
			return true
		}
	}
	return b.State.Moved()
}

// held lists the licenses in the container, sorted.
func (b *box) held() []license.ID {
	ids := make([]license.ID, 0, len(b.State.Held))
	for id := range b.State.Held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// save writes the container: one durable write, all or nothing.
func (a *Agent) save(ctx context.Context, b *box) error {
	content, err := b.content()
	if err != nil {
		return err
	}
	h := b.header
	h.Number = b.State.Number
	if _, err := b.file.Write(ctx, h, content, b.traits, a.random()); err != nil {
		return boxError(h.Serial, err)
	}
	b.header = b.file.Header()
	return nil
}

// hasProduct reports whether the container holds a license for a product.
func (b *box) hasProduct(code string) bool {
	for _, h := range b.State.Held {
		if h.Product == code {
			return true
		}
	}
	return false
}

// serial names the container.
func (b *box) serial() license.Serial { return license.Serial(b.header.Serial) }

// reissue lists the licenses held whose bodies are gone from the container.
func (b *box) reissue() []license.ID {
	var ids []license.ID
	for _, id := range b.held() {
		if body, ok := b.bodies[id]; !ok || body.Reissue {
			ids = append(ids, id)
		}
	}
	return ids
}

// waiting is the pending request if its answer may still come.
func (b *box) waiting() *pending {
	if b.Pending == nil || b.Pending.Number != b.State.Number {
		return nil
	}
	return b.Pending
}

// sameWishes reports whether two lists of wishes ask for the same, in whatever
// order.
func sameWishes(x, y container.Wishes) bool {
	return bytes.Equal(wishBytes(x), wishBytes(y))
}

func wishBytes(w container.Wishes) []byte {
	amounts := slices.SortedFunc(slices.Values(w.Amounts), func(a, b container.Amount) int { return strings.Compare(string(a.License), string(b.License)) })
	w = container.Wishes{Tickets: sorted(w.Tickets), Activate: sorted(w.Activate), Return: sorted(w.Return), Pending: w.Pending, Amounts: amounts}
	b, err := privateEncoding.Marshal(w)
	if err != nil {
		panic(err) // texts and numbers alone
	}
	return b
}

// sorted is a list without repetition, in order, never nil.
func sorted[T ~string](list []T) []T {
	list = append([]T{}, list...)
	slices.Sort(list)
	return slices.Compact(list)
}

// boxError turns an error of a container's file into what a person is told.
func boxError(serial string, err error) error {
	var other *containerfile.OtherMachineError
	var broken *containerfile.DamagedError
	switch {
	case errors.As(err, &other):
		return otherMachine(serial, other.Match, "container "+serial)
	case errors.As(err, &broken):
		return refusal.New(refusal.ContainerDamaged, "The file %s of container %s is damaged; the container cannot be used.", broken.Path, serial).
			With("container", serial)
	case errors.Is(err, containerfile.ErrDamaged):
		return refusal.New(refusal.ContainerDamaged, "The content of container %s is damaged; it cannot be used.", serial).With("container", serial)
	case errors.Is(err, containerfile.ErrNewerFormat):
		return refusal.New(refusal.UnsupportedVersion, "Container %s was written by a newer version of licet. Nothing was changed.", serial).
			Hinted("Install the newer version again.").With("container", serial)
	case errors.Is(err, containerfile.ErrLocked), errors.Is(err, containerfile.ErrStale):
		return refusal.New(refusal.Conflict, "Another program uses container %s at this moment. Nothing was changed.", serial).
			Hinted("Try again in a moment.").With("container", serial)
	case errors.Is(err, fs.ErrNotExist):
		return unknownContainer(license.Serial(serial))
	}
	return storage(err)
}

// isSerial reports whether a text has the form of a serial, so that it may be a
// folder's name.
func isSerial(serial license.Serial) bool {
	return serial != "" && strings.Trim(string(serial), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func unknownContainer(serial license.Serial) error {
	return refusal.New(refusal.ContainerUnknown, "There is no container %s on this machine.", serial).With("container", string(serial))
}

// otherMachine says which traits keep something from opening here.
func otherMachine(serial string, match machine.Match, what string) *refusal.Refusal {
	return refusal.New(refusal.OtherMachine, "The %s is bound to another machine, or this machine changed too much. %s", what, match.Sentence()).
		With("container", serial).With("changed", empty(match.Changed)).With("missing", empty(match.Missing)).
		With("score", match.Score).With("total", match.Total)
}

// empty makes a list that JSON shows as one even if it has nothing in it.
func empty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// kind is the container's kind.
func (b *box) kind() license.Kind { return license.Kind(b.header.Kind) }
