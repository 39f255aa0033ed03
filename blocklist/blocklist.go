// Package blocklist is the vendor's list of what may not be used any more:
// generations of licenses that were lost and restored, and whole containers that
// were stolen. The list has a number that grows with every change; news bring it
// from one number to a later one, and it never goes back.
//
// An entry names exactly one generation of one license, or one container: the
// generations before it were listed when they were replaced. Of an entry only the
// first 8 bytes of a hash are kept. A list of a million entries takes less than
// 6 MB, tells nobody which licenses are on it, and hits a license that is not on
// it once in 18 million million times.
//
// The package is pure: it reads no clock, draws no randomness and touches no
// file. Who may make news is for package seal.
package blocklist

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"licet/license"
	"licet/refusal"
)

// MaxEntries is how many entries a list may have.
const MaxEntries = 1 << 20

// Entry is one thing that is blocked: the first 8 bytes of the hash of its name.
type Entry uint64

// License is the entry of exactly this generation of a license.
func License(id license.ID, generation license.Generation) Entry {
	return entryOf("licet block of license ", string(id), " generation ", generation)
}

// Container is the entry of a container and everything in it.
func Container(serial license.Serial) Entry {
	return entryOf("licet block of container ", string(serial), "", 0)
}

func entryOf(what, name, tail string, generation license.Generation) Entry {
	var room [128]byte
	text := append(append(append(room[:0], what...), name...), tail...)
	if tail != "" {
		text = strconv.AppendUint(text, uint64(generation), 10)
	}
	h := sha256.Sum256(text)
	return Entry(binary.BigEndian.Uint64(h[:8]))
}

// Sum is the hash of a list's entries. It stands in the signed news, so that
// whoever has the list knows that it is the vendor's, whichever way it came.
type Sum [32]byte

// List is a block list. The zero value is the list of a vendor of whom nothing
// was heard: number 0, no entries. A List is never changed.
type List struct {
	number  uint64
	entries []Entry // strictly rising
}

// New is the list with this number and these entries, in any order.
func New(number uint64, entries []Entry) (List, error) {
	entries = sorted(entries)
	if len(entries) > MaxEntries || number == 0 && len(entries) > 0 {
		return List{}, refusal.New(refusal.TooLarge, "A block list has a number and at most %d entries.", MaxEntries)
	}
	return List{number: number, entries: entries}, nil
}

func sorted(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.Sort(entries)
	return slices.Compact(entries)
}

// Number is the number of the latest news in the list; 0 for none.
func (l List) Number() uint64 { return l.number }

// Len is how many entries the list has.
func (l List) Len() int { return len(l.entries) }

// Entries are the entries, strictly rising; they must not be changed.
func (l List) Entries() []Entry { return l.entries }

// Has reports whether an entry is on the list.
func (l List) Has(e Entry) bool {
	_, found := slices.BinarySearch(l.entries, e)
	return found
}

// BlocksLicense reports whether exactly this generation of a license is blocked.
func (l List) BlocksLicense(id license.ID, generation license.Generation) bool {
	return len(l.entries) > 0 && l.Has(License(id, generation))
}

// BlocksContainer reports whether a container is blocked.
func (l List) BlocksContainer(serial license.Serial) bool {
	return len(l.entries) > 0 && l.Has(Container(serial))
}

// Sum is the hash of the entries.
func (l List) Sum() Sum {
	h := sha256.New()
	var part [512 * entrySize]byte
	for chunk := range slices.Chunk(l.entries, len(part)/entrySize) {
		b := part[:0]
		for _, e := range chunk {
			b = binary.BigEndian.AppendUint64(b, uint64(e))
		}
		h.Write(b)
	}
	return Sum(h.Sum(nil))
}

const entrySize = 8

// News bring a list from one number to a later one.
type News struct {
	From  uint64 // the list they continue; 0 is any: they have the whole list
	To    uint64 // the list they make
	Time  license.Time
	Count uint64 // entries of the list they make
	Sum   Sum    // of the list they make

	Added   []byte // coded sets, see Encode
	Removed []byte
}

// Whole is the whole list as news.
func (l List) Whole(now license.Time) News { return l.Increment(0, l.entries, nil, now) }

// Increment is what brings the list with the number from to this one: what was
// added and what was taken off since.
func (l List) Increment(from uint64, added, removed []Entry, now license.Time) News {
	return News{
		From: from, To: l.number, Time: now, Count: uint64(len(l.entries)), Sum: l.Sum(),
		Added: Encode(added), Removed: Encode(removed),
	}
}

// Apply is the list after the news. It refuses with AlreadyApplied what the list
// has already, with BlockListGap news that continue another list, and with
// DamagedFile what can be no news at all.
func (l List) Apply(n News) (List, error) {
	switch {
	case n.To <= n.From || n.From == 0 && len(n.Removed) > 0 || n.Count > MaxEntries:
		return List{}, damaged()
	case n.To <= l.number:
		return List{}, refusal.New(refusal.AlreadyApplied, "The vendor's block list %d is known here already; the file has %d.", l.number, n.To).
			With("number", n.To).With("this_is", l.number)
	case n.From != 0 && n.From != l.number:
		return List{}, gap(l.number, n)
	}
	added, err := Decode(n.Added)
	if err != nil {
		return List{}, err
	}
	removed, err := Decode(n.Removed)
	if err != nil {
		return List{}, err
	}
	next := List{number: n.To, entries: added}
	if n.From != 0 {
		var fits bool
		if next.entries, fits = merge(l.entries, added, removed); !fits {
			return List{}, gap(l.number, n)
		}
	}
	if uint64(len(next.entries)) != n.Count || next.Sum() != n.Sum {
		if n.From == 0 {
			return List{}, damaged()
		}
		return List{}, gap(l.number, n)
	}
	return next, nil
}

// merge is old with what was added and without what was removed. It does not fit
// if something added is there already or something removed is not.
func merge(old, added, removed []Entry) (merged []Entry, fits bool) {
	if len(removed) > len(old) {
		return nil, false
	}
	merged = make([]Entry, 0, len(old)+len(added)-len(removed))
	for _, e := range old {
		for len(added) > 0 && added[0] < e {
			merged, added = append(merged, added[0]), added[1:]
		}
		switch {
		case len(added) > 0 && added[0] == e:
			return nil, false
		case len(removed) > 0 && removed[0] == e:
			removed = removed[1:]
		default:
			merged = append(merged, e)
		}
	}
	return append(merged, added...), len(removed) == 0
}

func gap(number uint64, n News) error {
	return refusal.New(refusal.BlockListGap, "The news continue block list %d, which is not the one here (%d). Nothing was changed.", n.From, number).
		With("from", n.From).With("this_is", number)
}

func damaged() error {
	return refusal.New(refusal.DamagedFile, "The block list is damaged or incomplete. Nothing was changed.")
}
