package containerfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licet/internal/durable"
	"licet/internal/machine"
)

const serial = "MFRGGZDFMZTWQ2LK"

func source(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func traits() []machine.Trait {
	return []machine.Trait{
		{Name: machine.MachineID, Value: "m1", Weight: 4}, {Name: machine.NetworkAddress, Value: "n1", Weight: 3},
		{Name: machine.DiskID, Value: "d1", Weight: 3}, {Name: machine.RootFilesystem, Value: "r1", Weight: 2},
		{Name: machine.ComputerModel, Value: "c1", Weight: 1}, {Name: machine.Mainboard, Value: "b1", Weight: 1},
		{Name: machine.Processor, Value: "p1", Weight: 1}, {Name: machine.HostName, Value: "h1", Weight: 1},
	}
}

// changed gives traits with the named ones changed.
func changed(names ...string) []machine.Trait {
	out := traits()
	for i := range out {
		for _, name := range names {
			if out[i].Name == name {
				out[i].Value += " changed"
			}
		}
	}
	return out
}

var sister = []string{machine.MachineID, machine.NetworkAddress, machine.DiskID, machine.RootFilesystem, machine.HostName}

func header(number uint64) Header {
	return Header{Vendor: "vendor", Serial: serial, Kind: "machine", Number: number}
}

func content(state string) Content {
	return Content{State: []byte(state), Bodies: []Body{
		{License: "L1", Tolerance: Loose, Data: []byte("one")},
		{License: "L2", Tolerance: Medium, Data: []byte("two")},
		{License: "L3", Tolerance: Tight, Data: []byte("three")},
	}}
}

func create(t testing.TB, home string) *File {
	t.Helper()
	f, err := Create(t.Context(), nil, home, header(0), traits(), content("state 0"), source(1))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func open(t testing.TB, home string) *File {
	t.Helper()
	f, err := Open(t.Context(), nil, home, serial)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t testing.TB, f *File, traits []machine.Trait) Content {
	t.Helper()
	c, _, err := f.Read(traits)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t testing.TB, f *File, number uint64, c Content, traits []machine.Trait) []string {
	t.Helper()
	reissue, err := f.Write(t.Context(), header(number), c, traits, source(byte(number)+10))
	if err != nil {
		t.Fatal(err)
	}
	return reissue
}

// locks is what of a content is locked, as "L2 L3!"; ! needs a reissue.
func locks(c Content) string {
	var out []string
	for _, body := range c.Bodies {
		if body.Reissue {
			body.License += "!"
		}
		if body.Locked {
			out = append(out, body.License)
		}
	}
	return strings.Join(out, " ")
}

func slotPath(home, name string) string { return filepath.Join(home, containersDir, serial, name) }

func TestWriteAndRead(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	if diff := cmp.Diff(content("state 0"), read(t, open(t, home), traits())); diff != "" {
		t.Error(diff)
	}
	for n := uint64(1); n <= 4; n++ {
		c := content(fmt.Sprint("state ", n))
		c.Bodies = c.Bodies[:n%4]
		write(t, f, n, c, traits())
		again := open(t, home)
		if diff := cmp.Diff(c, read(t, again, traits()), cmp.Transformer("nil", func(b []Body) []Body { return append([]Body{}, b...) })); diff != "" {
			t.Error(diff)
		}
		want := header(n)
		want.Format, want.Write = FormatPlain, n+1
		if again.Header() != want {
			t.Errorf("header %+v", again.Header())
		}
	}
	if _, err := f.Write(t.Context(), header(3), Content{}, traits(), source(1)); err == nil {
		t.Error("a lower step is accepted")
	}
	other := header(5)
	other.Vendor = "another"
	if _, err := f.Write(t.Context(), other, Content{}, traits(), source(1)); err == nil {
		t.Error("another vendor is accepted")
	}
	if _, err := f.Write(t.Context(), header(5), Content{Bodies: []Body{{License: "L", Tolerance: "none"}}}, traits(), source(1)); err == nil {
		t.Error("another tolerance is accepted")
	}
	if _, err := f.Write(t.Context(), header(5), Content{Bodies: []Body{{License: "new", Tolerance: Tight, Locked: true}}}, traits(), source(1)); err == nil {
		t.Error("a locked body from nowhere is accepted")
	}
}

func TestModes(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "a": 0o600, "lock": 0o600} {
		info, err := os.Stat(slotPath(home, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestCreateTwice(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	if _, err := Create(t.Context(), nil, home, header(0), traits(), Content{}, source(2)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", ".hidden", strings.Repeat("A", 65)} {
		h := header(0)
		h.Serial = bad
		if _, err := Create(t.Context(), nil, home, h, traits(), Content{}, source(2)); err == nil {
			t.Errorf("serial %q accepted", bad)
		}
		if _, err := Open(t.Context(), nil, home, bad); err == nil {
			t.Errorf("serial %q opened", bad)
		}
	}
}

func TestCopyToAnotherMachine(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	away := t.TempDir()
	if err := os.CopyFS(away, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), nil, away, serial)
	if err != nil {
		t.Fatal(err)
	}
	_, match, err := f.Read(changed(sister...))
	var other *OtherMachineError
	if !errors.Is(err, ErrOtherMachine) || !errors.As(err, &other) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(sister, other.Match.Changed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(match, other.Match); diff != "" {
		t.Error(diff)
	}
	for _, name := range sister {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	if _, err := f.Write(t.Context(), header(1), content("x"), changed(sister...), source(3)); !errors.Is(err, ErrOtherMachine) {
		t.Errorf("write: %v", err)
	}
	if _, _, err := f.Rebind(t.Context(), changed(sister...), source(3)); !errors.Is(err, ErrOtherMachine) {
		t.Errorf("rebind: %v", err)
	}
}

func TestTolerances(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	for _, c := range []struct {
		changed []string
		locked  string
	}{
		{nil, ""},
		{[]string{machine.HostName}, "L3"},
		{[]string{machine.MachineID}, "L3"},
		{[]string{machine.MachineID, machine.HostName}, "L2 L3"},
	} {
		got := read(t, f, changed(c.changed...))
		if locks(got) != c.locked || string(got.State) != "state 0" {
			t.Errorf("%v changed: %q is locked, want %q", c.changed, locks(got), c.locked)
		}
		for _, body := range got.Bodies {
			if body.Locked != (body.Data == nil) {
				t.Errorf("%+v", body)
			}
		}
	}
}

func TestLockedBodiesAreCarriedOver(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	now := changed(machine.HostName)
	for n := uint64(1); n <= 3; n++ {
		c := read(t, f, now)
		c.State = []byte(fmt.Sprint("state ", n))
		if reissue := write(t, f, n, c, now); reissue != nil {
			t.Errorf("reissue %v", reissue)
		}
		f = open(t, home)
	}
	if got := read(t, f, traits()); locks(got) != "" || string(got.Bodies[2].Data) != "three" {
		t.Errorf("%+v", got)
	}
	// A new body that cannot be sealed now stays by name.
	c := read(t, f, now)
	c.Bodies = append(c.Bodies, Body{License: "L4", Tolerance: Tight, Data: []byte("four")})
	if reissue := write(t, f, 4, c, now); strings.Join(reissue, " ") != "L4" {
		t.Errorf("reissue %v", reissue)
	}
	if got := read(t, open(t, home), traits()); locks(got) != "L4!" {
		t.Errorf("locked %q", locks(got))
	}
}

func TestRebind(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	now := changed(machine.DiskID, machine.RootFilesystem, machine.HostName)
	reissue, match, err := f.Rebind(t.Context(), now, source(5))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(reissue, " "); got != "L2 L3" {
		t.Errorf("reissue %q", got)
	}
	if got := strings.Join(match.Changed, ","); got != "disk,root filesystem,host name" {
		t.Errorf("changed %q", got)
	}
	f = open(t, home)
	got := read(t, f, now)
	if locks(got) != "L2! L3!" || string(got.Bodies[0].Data) != "one" || string(got.State) != "state 0" {
		t.Errorf("%+v", got)
	}
	if m := f.Match(now); m.Score != m.Total || f.Header().Number != 0 {
		t.Errorf("%+v %+v", m, f.Header())
	}
	// Central sends the bodies again.
	if reissue := write(t, f, 1, content("state 1"), now); reissue != nil {
		t.Errorf("reissue %v", reissue)
	}
	if got := read(t, open(t, home), now); locks(got) != "" {
		t.Errorf("locked %q", locks(got))
	}
}

// TestScrub: after a license is dropped its bytes must leave the folder.
func TestScrub(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	write(t, f, 1, Content{State: []byte("without")}, traits())
	if err := f.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range slotNames {
		if err := os.Rename(slotPath(home, name), slotPath(home, "x")); err != nil {
			t.Fatal(err)
		}
		f := open(t, home)
		if got := read(t, f, traits()); string(got.State) != "without" || len(got.Bodies) != 0 {
			t.Errorf("without slot %s: %+v", name, got)
		}
		if err := os.Rename(slotPath(home, "x"), slotPath(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, open(t, home), 2, content("again"), traits())
	if got := read(t, open(t, home), traits()); string(got.State) != "again" {
		t.Errorf("%+v", got)
	}
}

var errBroken = errors.New("broken")

// TestFaults breaks each operation of a creation, a write, a repair and a
// scrub once, alone and with everything after it, and looks at what the next
// program finds.
func TestFaults(t *testing.T) {
	type world struct {
		disk *durable.Disk
		home string
	}
	run := map[string]func(t *testing.T, w world) error{
		"create": func(t *testing.T, w world) error {
			_, err := Create(t.Context(), w.disk, w.home, header(0), traits(), content("new"), source(1))
			return err
		},
		"write": func(t *testing.T, w world) error {
			f, err := Open(t.Context(), w.disk, w.home, serial)
			if err != nil {
				return err
			}
			_, err = f.Write(t.Context(), header(1), content("new"), traits(), source(2))
			if err != nil {
				if _, again := f.Write(t.Context(), header(1), content("new"), traits(), source(2)); f.failed && !errors.Is(again, ErrStale) {
					t.Errorf("a failed write may be retried: %v", again)
				}
			}
			return err
		},
		"rebind": func(t *testing.T, w world) error {
			f, err := Open(t.Context(), w.disk, w.home, serial)
			if err != nil {
				return err
			}
			_, _, err = f.Rebind(t.Context(), changed(machine.HostName), source(2))
			return err
		},
		"scrub": func(t *testing.T, w world) error {
			f, err := Open(t.Context(), w.disk, w.home, serial)
			if err != nil {
				return err
			}
			return f.Scrub(t.Context())
		},
	}
	for name, do := range run {
		for _, writes := range []uint64{0, 1, 2} { // before: either slot is current
			if name == "create" && writes > 0 {
				continue
			}
			for _, crash := range []bool{false, true} {
				at, done := 0, false
				for ; !done; at++ {
					home := t.TempDir()
					if name != "create" {
						f := create(t, home)
						for range writes {
							write(t, f, 1, content("old"), traits())
						}
					}
					count := 0
					broke := false
					disk := &durable.Disk{Fault: func(durable.Op, string) error {
						count++
						if count-1 == at || crash && count-1 > at {
							broke = true
							return errBroken
						}
						return nil
					}}
					err := do(t, world{disk, home})
					done = !broke
					if broke != errors.Is(err, errBroken) {
						t.Fatalf("%s op %d: %v", name, at, err)
					}
					f, err := Open(t.Context(), nil, home, serial)
					if name == "create" && errors.Is(err, fs.ErrNotExist) {
						if entries, err := List(home); len(entries) != 0 || err != nil {
							t.Fatalf("create op %d: list %v, %v", at, entries, err)
						}
						create(t, home) // and a second try works
						continue
					}
					if err != nil {
						t.Fatalf("%s op %d: %v", name, at, err)
					}
					if len(f.Damaged()) != 0 {
						t.Errorf("%s op %d: %v", name, at, f.Damaged())
					}
					got, _, err := f.Read(changed(machine.HostName))
					if err != nil {
						t.Fatalf("%s op %d: %v", name, at, err)
					}
					state, h := string(got.State), f.Header()
					isNew := state == "new" && (h.Number == 1 || name == "create")
					isOld := state == map[bool]string{true: "old", false: "state 0"}[writes > 0]
					if len(got.Bodies) != 3 || !isNew && !isOld || done && !isNew && (name == "write" || name == "create") {
						t.Fatalf("%s op %d: %+v %+v", name, at, h, got)
					}
					// Life goes on.
					if _, err := f.Write(t.Context(), header(9), got, changed(machine.HostName), source(9)); err != nil {
						t.Fatalf("%s op %d: %v", name, at, err)
					}
				}
				if at <= 5 { // the last round breaks nothing
					t.Errorf("%s has only %d operations", name, at-1)
				}
			}
		}
	}
}

func TestDamagedSlots(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)                                       // a
	write(t, f, 1, content("state 1"), traits())               // b
	whole, err := os.ReadFile(slotPath(home, slotNames[f.at])) // b is current
	if err != nil || f.at != 1 {
		t.Fatal(err, f.at)
	}
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(slotPath(home, "b"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := open(t, home)
		if f.Header().Write != 1 || len(f.Damaged()) != 1 || !strings.HasSuffix(f.Damaged()[0].(*DamagedError).Path, "/b") {
			t.Fatalf("%s: %+v, %v", what, f.Header(), f.Damaged())
		}
	}
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("bit of byte %d", i), data)
	}
	for i := 0; i < len(whole); i += 7 {
		check(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	check("longer", append(bytes.Clone(whole), 0))
	if got := read(t, open(t, home), traits()); string(got.State) != "state 0" {
		t.Errorf("%+v", got)
	}
	write(t, open(t, home), 1, content("repaired"), traits())
	if f := open(t, home); string(read(t, f, traits()).State) != "repaired" || len(f.Damaged()) != 0 {
		t.Errorf("%v", f.Damaged())
	}

	for _, name := range slotNames {
		if err := os.WriteFile(slotPath(home, name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(t.Context(), nil, home, serial)
	var damaged *DamagedError
	if !errors.Is(err, ErrDamaged) || !errors.As(err, &damaged) || damaged.Path != slotPath(home, "a") {
		t.Errorf("got %v", err)
	}
	entries, err := List(home)
	if err != nil || len(entries) != 1 || !errors.Is(entries[0].Err, ErrDamaged) {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestChangedSlot: whoever changes a slot and sets the checksum right fails at
// the seals.
func TestChangedSlot(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	for name, change := range map[string]func(*slot){
		"number":    func(s *slot) { s.header.Number += 5 },
		"vendor":    func(s *slot) { s.header.Vendor = "another" },
		"no bodies": func(s *slot) { s.bodies = nil },
		"tolerance": func(s *slot) { s.bodies[2].Tolerance = Loose },
		"two swapped": func(s *slot) {
			s.bodies[0].Sealed, s.bodies[1].Sealed = s.bodies[1].Sealed, s.bodies[0].Sealed
		},
		"body": func(s *slot) { s.bodies[0].Sealed = bytes.Repeat([]byte{1}, 40) },
	} {
		t.Run(name, func(t *testing.T) {
			s := f.current
			s.bodies = append([]sealedBody{}, s.bodies...)
			change(&s)
			s.raw.Header, _ = encoding.Marshal(s.header)
			s.raw.Bodies, _ = encoding.Marshal(append([]sealedBody{}, s.bodies...))
			data, err := encode(FormatPlain, s.raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(slotPath(home, "a"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := open(t, home).Read(traits()); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNewerFormatIsNotPassedOver(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	write(t, f, 1, content("x"), traits())
	data := frame(FormatOfMoves+1, []byte("a later body"))
	if err := os.WriteFile(slotPath(home, "a"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), nil, home, serial); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	if _, err := f.Write(t.Context(), header(1), Content{State: make([]byte, SlotLimit)}, traits(), source(1)); err == nil {
		t.Error("too large a state is written")
	}
	file, err := os.Create(slotPath(home, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(SlotLimit + 1); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if f := open(t, home); len(f.Damaged()) != 1 || !errors.Is(f.Damaged()[0], durable.ErrTooLarge) {
		t.Errorf("%v", f.Damaged())
	}
}

func TestSymlinksAreRefused(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	if err := os.Rename(slotPath(home, "a"), slotPath(home, "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", slotPath(home, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), nil, home, serial); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("slot: %v", err)
	}
	home = t.TempDir()
	create(t, home)
	if err := os.Remove(slotPath(home, "lock")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("precious", slotPath(home, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), nil, home, serial); err == nil {
		t.Error("lock is followed")
	}
	home = t.TempDir()
	create(t, home)
	if err := os.Rename(slotPath(home, ""), filepath.Join(home, containersDir, "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", slotPath(home, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), nil, home, serial); !errors.Is(err, ErrDamaged) {
		t.Errorf("folder: %v", err)
	}
}

func TestLocking(t *testing.T) {
	home := t.TempDir()
	agent := create(t, home)
	if err := agent.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(soon, nil, home, serial); !errors.Is(err, ErrLocked) {
		t.Errorf("open: %v", err)
	}
	if err := Delete(soon, nil, home, serial); !errors.Is(err, ErrLocked) {
		t.Errorf("delete: %v", err)
	}
	write(t, agent, 1, content("by the agent"), traits())
	if err := agent.Unlock(); err != nil {
		t.Fatal(err)
	}
	one, two := open(t, home), open(t, home)
	write(t, one, 2, content("by one"), traits())
	if _, err := two.Write(t.Context(), header(2), content("by two"), traits(), source(1)); !errors.Is(err, ErrStale) {
		t.Errorf("lost update: %v", err)
	}
	if err := agent.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer agent.Unlock()
	if got := read(t, agent, traits()); string(got.State) != "by one" {
		t.Errorf("after locking: %q", got.State)
	}
}

func TestRacingWriters(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	const writers, each = 4, 5
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			errs <- func() error {
				for range each {
					f, err := Open(t.Context(), nil, home, serial)
					if err != nil {
						return err
					}
					if err := f.Lock(t.Context()); err != nil {
						return err
					}
					c, _, err := f.Read(traits())
					if err != nil {
						return err
					}
					_, err = f.Write(t.Context(), header(f.Header().Number+1), c, traits(), source(byte(w)))
					if err != nil {
						return err
					}
					if err := f.Unlock(); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if got := open(t, home).Header().Number; got != writers*each {
		t.Errorf("%d writes arrived, want %d", got, writers*each)
	}
}

// TestReadingNeedsNoWriteRight reads a folder that cannot be written and finds
// it untouched.
func TestReadingNeedsNoWriteRight(t *testing.T) {
	home := t.TempDir()
	create(t, home)
	for name, mode := range map[string]fs.FileMode{"a": 0o400, "lock": 0o400, "": 0o500} {
		if err := os.Chmod(slotPath(home, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(slotPath(home, ""), 0o700) })
	broken := &durable.Disk{Fault: func(op durable.Op, name string) error {
		t.Errorf("reading does %s %s", op, name)
		return errBroken
	}}
	f, err := Open(t.Context(), broken, home, serial)
	if err != nil {
		t.Fatal(err)
	}
	read(t, f, traits())
	os.Chmod(slotPath(home, ""), 0o700)
	if err := os.Remove(slotPath(home, "lock")); err != nil {
		t.Fatal(err)
	}
	read(t, open(t, home), traits())
	if _, err := os.Stat(slotPath(home, "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made the lock")
	}
}

func TestListAndDelete(t *testing.T) {
	home := t.TempDir()
	if entries, err := List(home); entries != nil || err != nil {
		t.Errorf("%v, %v", entries, err)
	}
	for _, s := range []string{"B2", "A1"} {
		h := header(3)
		h.Serial = s
		if _, err := Create(t.Context(), nil, home, h, traits(), content("x"), source(1)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := List(home)
	if err != nil || len(entries) != 2 || entries[0].Serial != "A1" || entries[1].Header.Number != 3 {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := Delete(t.Context(), nil, home, "A1"); err != nil {
		t.Fatal(err)
	}
	if err := Delete(t.Context(), nil, home, "A1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), nil, home, "A1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	left, err := os.ReadDir(filepath.Join(home, containersDir))
	if err != nil || len(left) != 1 || left[0].Name() != "B2" {
		t.Errorf("%v, %v", left, err)
	}
}

func TestEveryWriteHasItsOwnKey(t *testing.T) {
	home := t.TempDir()
	f := create(t, home)
	salts := map[string]bool{}
	random := source(7)
	for n := range uint64(5) {
		if _, err := f.Write(t.Context(), header(n), content("same"), traits(), random); err != nil {
			t.Fatal(err)
		}
		salts[string(f.current.raw.Salt)] = true
		for _, body := range f.current.bodies {
			salts[string(body.Salt)] = true
		}
	}
	if len(salts) != 5*4 {
		t.Errorf("%d salts for 20 seals", len(salts))
	}
}

func FuzzDecodeSlot(f *testing.F) {
	file, err := Create(f.Context(), nil, f.TempDir(), header(0), traits(), content("state"), source(1))
	if err != nil {
		f.Fatal(err)
	}
	whole, err := encoding.Marshal(file.current.raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, true)
	f.Add([]byte{0xa0}, true)
	f.Add([]byte(magic), false)
	f.Fuzz(func(t *testing.T, data []byte, framed bool) {
		if framed { // past the checksum
			data = frame(FormatPlain, data)
		}
		s, err := decode(data)
		if err != nil {
			return
		}
		g := &File{serial: s.header.Serial, current: s}
		if _, _, err := g.Read(traits()); err == nil && !bytes.Equal(s.raw.State, file.current.raw.State) {
			t.Error("opens a state that nobody sealed")
		}
	})
}

func BenchmarkOpenAndRead(b *testing.B) {
	home := b.TempDir()
	f := create(b, home)
	c := Content{State: make([]byte, 4<<10)}
	for i := range 10 {
		c.Bodies = append(c.Bodies, Body{License: fmt.Sprint("L", i), Tolerance: Medium, Data: make([]byte, 1<<10)})
	}
	write(b, f, 1, c, traits())
	write(b, f, 2, c, traits())
	for b.Loop() {
		if _, _, err := open(b, home).Read(traits()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	f := create(b, b.TempDir())
	for b.Loop() {
		write(b, f, 1, content("x"), traits())
	}
}
