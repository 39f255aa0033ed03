package container

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"maps"
	"slices"

	"licet/license"
	"licet/refusal"
)

// MoveWish is a container's wish to have units of a license for good, as its request
// proves it (docs/protocol.md, section 13).
type MoveWish struct {
	Holder     license.Serial // that is to have them
	HolderKey  []byte         // its public signing key
	Nonce      string         // names the wish
	Number     uint64         // rises with every wish of the holder
	Units      int64
	Host, User string // who asks, as the request says
}

// Name is the name of the move that answers a wish. It is made of the wish alone: the
// same wish never has two names, whatever the container that gives remembers. So the
// container that has them takes them in once.
func (w MoveWish) Name(from license.Serial) string {
	var b []byte
	for _, text := range []string{"licet move v1", string(from), string(w.Holder), w.Nonce} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendVarint(b, w.Units)
	sum := sha256.Sum256(b)
	return moveNames.EncodeToString(sum[:10])
}

var moveNames = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Move is units that left a container for good, into another one. For the license
// they are used; what came back of them was added to it again, once.
type Move struct {
	License    license.ID         `cbor:"1,keyasint"`
	Generation license.Generation `cbor:"2,keyasint"`
	Product    string             `cbor:"3,keyasint"`
	Holder     license.Serial     `cbor:"4,keyasint"`
	HolderKey  []byte             `cbor:"5,keyasint"`
	Nonce      string             `cbor:"6,keyasint"`
	Number     uint64             `cbor:"7,keyasint"`
	Units      int64              `cbor:"8,keyasint"`
	Time       license.Time       `cbor:"9,keyasint"`
	Until      license.Time       `cbor:"10,keyasint"` // that they may be used; exclusive, 0 for no end
	Fence      uint64             `cbor:"11,keyasint"` // rises with every move
	Host       string             `cbor:"12,keyasint,omitempty"`
	User       string             `cbor:"13,keyasint,omitempty"`
	Confirmed  bool               `cbor:"14,keyasint,omitempty"` // the holder is known to have them
	Used       int64              `cbor:"15,keyasint,omitempty"` // of them, as the holder said last
	Closed     license.Time       `cbor:"16,keyasint,omitempty"` // when the rest came back; 0: it did not
	Back       int64              `cbor:"17,keyasint,omitempty"` // how many that were
}

// Limits of what a container keeps of moves.
const (
	MaxMoves   = 1000 // that did not come back
	KeptClosed = 200  // that did, for the history
)

// Given finds the move that a wish was answered with before. A wish whose move came
// back, or that is too old to tell, is refused: an old file takes nothing.
func (s State) Given(w MoveWish) (name string, m Move, ok bool, no *refusal.Refusal) {
	name = w.Name(s.Serial)
	m, ok = s.Moves[name]
	switch {
	case ok && m.Closed != 0:
		return name, m, false, refusal.New(refusal.LeaseLost, "This request was granted before, as the transfer %s, and what was left of it came back. Nothing moves.", name).
			With("lease", name).Hinted("Make a new request.")
	case ok:
		return name, m, true, nil
	case w.Number <= s.Forgotten[w.Holder]:
		return name, Move{}, false, refusal.New(refusal.LeaseLost, "This request is older than one of its container that came back long ago. Nothing moves.").
			Hinted("Make a new request.")
	}
	return name, Move{}, false, nil
}

// Give moves units of a license, whose body is b, into another container: they are used
// here from the moment on that the new state is durable, which must be before anybody
// hears of it. Whether the license may be used, and until when, is the caller's to
// look at. Given comes first.
func (s State) Give(b Body, w MoveWish, now, until license.Time) (State, string, Move, *refusal.Refusal) {
	none := func(no *refusal.Refusal) (State, string, Move, *refusal.Refusal) { return s, "", Move{}, no }
	switch {
	case w.Holder == "" || w.Holder == s.Serial || len(w.HolderKey) == 0 || w.Nonce == "" || w.Number == 0:
		return none(refusal.New(refusal.InvalidInput, "The request names no other container with its key, or has no nonce or number."))
	case b.Terms.Units == 0 || !b.Terms.Transfer.Has(license.MovesUnits):
		return none(refusal.New(refusal.BorrowNotAllowed, "The vendor does not let units of %s move to another container.", b.Product))
	}
	open := 0
	var fence uint64
	for _, m := range s.Moves {
		fence = max(fence, m.Fence)
		if m.Closed == 0 {
			open++
		}
	}
	if open >= MaxMoves {
		return none(refusal.New(refusal.RateLimited, "As many units have moved out of container %s as it can keep account of, %d times.", s.Serial, MaxMoves).
			Hinted("Have some of them returned, or activate the license's units on the other machines."))
	}
	n, _, no := s.Use(b, w.Units)
	if no != nil {
		return none(no)
	}
	name := w.Name(s.Serial)
	m := Move{
		License: b.License, Generation: b.Generation, Product: b.Product, Holder: w.Holder, HolderKey: slices.Clone(w.HolderKey),
		Nonce: w.Nonce, Number: w.Number, Units: w.Units, Time: now, Until: until, Fence: max(fence+1, uint64(max(now, 0))),
		Host: w.Host, User: w.User,
	}
	n.Moves = maps.Clone(s.Moves)
	if n.Moves == nil {
		n.Moves = map[string]Move{}
	}
	n.Moves[name] = m
	return n, name, m, nil
}

// Told notes what a holder says of units that it has: that they arrived, and how many
// it used. It reports whether that was news.
func (s State) Told(holder license.Serial, name string, used int64) (State, bool) {
	m, ok := s.Moves[name]
	used = min(used, m.Units)
	if !ok || m.Holder != holder || m.Closed != 0 || m.Confirmed && used <= m.Used {
		return s, false
	}
	m.Confirmed, m.Used = true, max(m.Used, used)
	s.Moves = maps.Clone(s.Moves)
	s.Moves[name] = m
	return s, true
}

// TakeBack adds to the license again what a holder did not use of units that moved to
// it, once. The holder has proven that it used so many, and that it uses no more for
// ever; where it has told of more before, that counts. back is how many are added, also
// where they were before. ok is false of a move that this container does not know:
// nothing is added then, because its own counter may not have heard of it either.
func (s State) TakeBack(holder license.Serial, name string, used int64, now license.Time) (next State, back int64, ok bool) {
	m, known := s.Moves[name]
	switch {
	case !known || m.Holder != holder:
		return s, 0, false
	case m.Closed != 0:
		return s, m.Back, true
	}
	m.Used = min(max(m.Used, used), m.Units)
	m.Confirmed, m.Closed = true, max(now, 1)
	counters := maps.Clone(s.Counters)
	if c := counters[m.License]; c.Generation == m.Generation && c.Used > 0 {
		m.Back = m.Units - m.Used
		c.Spare += m.Back
		counters[m.License] = c
	}
	s.Counters, s.Moves = counters, maps.Clone(s.Moves)
	s.Moves[name] = m
	s.forgetClosed()
	return s, m.Back, true
}

// forgetClosed lets go of the oldest moves that came back. Of each holder the highest
// number of those stays, so that none of them counts as new.
func (s *State) forgetClosed() {
	var closed []string
	for name, m := range s.Moves {
		if m.Closed != 0 {
			closed = append(closed, name)
		}
	}
	if len(closed) <= KeptClosed {
		return
	}
	slices.SortFunc(closed, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Moves[a].Closed, s.Moves[b].Closed), cmp.Compare(s.Moves[a].Fence, s.Moves[b].Fence))
	})
	s.Forgotten = maps.Clone(s.Forgotten)
	if s.Forgotten == nil {
		s.Forgotten = map[license.Serial]uint64{}
	}
	for _, name := range closed[:len(closed)-KeptClosed] {
		m := s.Moves[name]
		s.Forgotten[m.Holder] = max(s.Forgotten[m.Holder], m.Number)
		delete(s.Moves, name)
	}
}

// MovedOut lists moves by name in the order in which they were made.
func (s State) MovedOut() []string {
	return slices.SortedFunc(maps.Keys(s.Moves), func(a, b string) int { return cmp.Compare(s.Moves[a].Fence, s.Moves[b].Fence) })
}

// Portion is units that moved into a container, and how many of them were used there.
// That number only rises.
type Portion struct {
	Units, Used int64
}

// Use takes n units of a portion, of a product, or says how many are left.
func (p Portion) Use(n int64, product, name string) (Portion, *refusal.Refusal) {
	left := max(0, p.Units-p.Used)
	switch {
	case n < 1:
		return p, refusal.New(refusal.InvalidInput, "%d units cannot be taken; one is the least.", n)
	case n > left:
		return p, refusal.New(refusal.UnitsSpent, "%s left of %s (%s), less than the %d asked for. Nothing was taken.", unitsAre(left), product, name, n).
			With("transfer", name).With("product", product).With("units", p.Units).With("left", left).With("asked", n)
	}
	p.Used += n
	return p, nil
}
