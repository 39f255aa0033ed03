package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"licet/internal/durable"
	"licet/internal/ledger"
	"licet/license"
	"licet/seal"
)

// Replay is what a journal has after a point of a record, proven: every frame opens
// under the secret, and each follows the one before it.
type Replay struct {
	Frames []Stored // in their order
	End    license.Time

	// Wanting says why the journal may lack something that left the server; empty if it
	// is known to have everything, but for what lies beyond the end of a file that was
	// cut off exactly between two frames.
	Wanting []string
}

// Stored is a frame that was proven and is read again when it is used.
type Stored struct {
	Point
	Before Mark
	Time   license.Time
	Schema int64

	vault  *seal.Vault
	header []byte
	sealed []byte
}

// Statements are those of a frame.
func (s *Stored) Statements() ([]Statement, error) {
	f := frame{Number: s.Number, Mark: s.Mark[:], Before: s.Before[:], Time: s.Time}
	packed, err := s.vault.Open(f.at(s.header), s.sealed)
	if err != nil {
		return nil, err
	}
	return decoded(packed)
}

// segment is one file.
type segment struct {
	Header
	name   string
	frames []Stored
	torn   bool
}

// Read reads the places of a journal (one for each server) after a point of a chain.
// ErrNoPlace and ErrForeign; everything else that is wrong with the files is said in
// what it gives.
func Read(paths []string, vault *seal.Vault, vendor, chain string, base Point) (*Replay, error) {
	out := &Replay{}
	var all []*segment
	for _, path := range paths {
		some, err := out.place(path, vault, vendor)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	out.follow(all, chain, base)
	return out, nil
}

// place reads the files of a folder.
func (r *Replay) place(path string, vault *seal.Vault, vendor string) (all []*segment, err error) {
	dir, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoPlace
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := checkPlace(dir, vendor); err != nil {
		return nil, err
	}
	names, err := files(path)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		s, why, err := read(dir, name, vault, vendor)
		if err != nil {
			return nil, err
		}
		if why != "" {
			r.wants("%s: %s", filepath.Join(path, name), why)
		}
		all = append(all, s)
	}
	return all, nil
}

func (r *Replay) wants(text string, args ...any) {
	r.Wanting = append(r.Wanting, fmt.Sprintf(text, args...))
}

// read reads a file. Why says what is wrong with it; what was read before that counts.
func read(dir *os.Root, name string, vault *seal.Vault, vendor string) (s *segment, why string, err error) {
	s = &segment{name: name}
	var header []byte
	_, torn, err := ledger.Read(dir, name, func(record []byte) error {
		if header == nil {
			header = record
			if err := json.Unmarshal(record, &s.Header); err != nil || s.Version == 0 {
				return fmt.Errorf("%w: it has no header", ledger.ErrDamaged)
			}
			if s.Version > Version {
				return fmt.Errorf("journal: %s was written by a newer version", name)
			}
			if s.Vendor != vendor {
				return ErrForeign
			}
			return nil
		}
		if len(record) == 0 {
			return nil // of Check
		}
		var f frame
		if err := decoding.Unmarshal(record, &f); err != nil || len(f.Mark) != len(Mark{}) || len(f.Before) != len(Mark{}) {
			return fmt.Errorf("%w: a frame does not read", ledger.ErrDamaged)
		}
		packed, err := vault.Open(f.at(header), f.Sealed)
		if err != nil {
			return fmt.Errorf("%w: frame %d was altered, or is under another secret.key", ledger.ErrDamaged, f.Number)
		}
		if _, err := decoded(packed); err != nil {
			return fmt.Errorf("%w: frame %d: %w", ledger.ErrDamaged, f.Number, err)
		}
		one := Stored{Time: f.Time, Schema: s.Schema, vault: vault, header: header, sealed: f.Sealed}
		one.Number, one.Mark, one.Before = f.Number, Mark(f.Mark), Mark(f.Before)
		s.frames = append(s.frames, one)
		return nil
	})
	s.torn = torn
	if errors.Is(err, ledger.ErrDamaged) {
		return s, err.Error(), nil
	}
	return s, "", err
}

// candidate is a frame that may be the next one.
type candidate struct {
	*Stored
	of *segment
	at int
}

// follow finds the frames that follow a point.
func (r *Replay) follow(all []*segment, chain string, base Point) {
	next := map[Point][]candidate{} // by number and mark of the one before
	last := base.Number
	for _, s := range all {
		if s.Chain != chain {
			if s.Follows == chain {
				r.wants("the record came back once more after this back-up, on %s, and went on without what is missing in the journal", s.Begun)
			}
			continue
		}
		for i := range s.frames {
			f := &s.frames[i]
			if f.Number > base.Number {
				at := Point{Number: f.Number, Mark: f.Before}
				next[at] = append(next[at], candidate{f, s, i})
				last = max(last, f.Number)
			}
		}
	}
	used := map[*segment]bool{}
	end := base
	for {
		these := next[Point{Number: end.Number + 1, Mark: end.Mark}]
		if len(these) == 0 {
			break
		}
		// All but one were not committed: another has their number. The last of a process
		// is the one that counts; of several processes, the one on which something
		// follows.
		slices.SortStableFunc(these, func(a, b candidate) int { return cmp.Compare(a.Time, b.Time) })
		one := these[len(these)-1]
		if len(these) > 1 {
			followed := slices.DeleteFunc(slices.Clone(these), func(c candidate) bool { return len(next[Point{Number: c.Number + 1, Mark: c.Mark}]) == 0 })
			processes := map[string]bool{}
			for _, c := range these {
				processes[c.of.Process] = true
			}
			switch {
			case len(followed) > 1:
				r.wants("there are two lives after frame %d: the record went back once, and gap open was not told", end.Number)
				one = followed[0]
			case len(followed) == 1:
				one = followed[0]
			case len(processes) > 1:
				r.wants("two processes wrote the last frame, %d, and it cannot be told for sure which of them is the one", one.Number)
			default:
				one = slices.MaxFunc(these, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.of.Begun, b.of.Begun), cmp.Compare(a.at, b.at)) })
			}
		}
		r.Frames = append(r.Frames, *one.Stored)
		end, r.End = one.Point, max(r.End, one.Time)
		used[one.of] = true
	}
	if last > end.Number {
		r.wants("frame %d is missing, and there are later ones, up to %d", end.Number+1, last)
	}
	for _, s := range all {
		// What a file may have had at its end is known if somebody went on after it had
		// ended.
		settled := slices.ContainsFunc(all, func(x *segment) bool { return used[x] && x != s && slices.Contains(x.Ended, s.name) })
		if s.torn && !settled && (s.Chain == chain || s.Chain == "") {
			r.wants("%s ends in something that does not read", s.name)
		}
	}
}

// Trim deletes the files of a place that no return needs from a back-up with this
// point, or from a later one: nobody writes them, and all that is in them came before.
func Trim(path string, vault *seal.Vault, vendor, chain string, base Point, disk *durable.Disk) (deleted []string, err error) {
	r := &Replay{}
	all, err := r.place(path, vault, vendor)
	if err != nil {
		return nil, err
	}
	free, err := ended(path)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for _, s := range all {
		later := slices.ContainsFunc(s.frames, func(f Stored) bool { return f.Number > base.Number })
		if s.Chain != chain || later || s.torn || !slices.Contains(free, s.name) {
			continue
		}
		if err := disk.Remove(dir, s.name); err != nil {
			return deleted, err
		}
		deleted = append(deleted, s.name)
	}
	return deleted, nil
}
