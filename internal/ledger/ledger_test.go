package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"licet/internal/durable"
)

// counter is a reader of bytes that are not all the same.
type counter byte

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		*c++
		b[i] = byte(*c)
	}
	return len(b), nil
}

func root(t testing.TB, dir string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func create(t testing.TB, dir string, opts Options[int], records ...string) *Ledger[int] {
	t.Helper()
	l, err := Create(root(t, dir), "ledger", new(counter), opts, raw(records))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func raw(texts []string) (list [][]byte) {
	for _, s := range texts {
		list = append(list, []byte(s))
	}
	return list
}

// reopen reads the ledger of a folder.
func reopen(t testing.TB, dir string, known Point) (*Ledger[int], []string, error) {
	t.Helper()
	var got []string
	l, err := Open(root(t, dir), "ledger", Options[int]{Grow: 1024}, known, func(r []byte) error {
		got = append(got, string(r))
		return nil
	})
	return l, got, err
}

func closed(t testing.TB, l *Ledger[int]) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, l *Ledger[int], records ...string) {
	t.Helper()
	if err := l.Append(0, raw(records)...).Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestKept writes from many sides at once and reads everything back, in the order
// in which each side wrote it.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	var most int
	l := create(t, dir, Options[int]{Grow: 1024, Begin: func(group []int) ([]byte, func()) {
		most = max(most, len(group))
		return fmt.Appendf(nil, "group of %d", len(group)), nil
	}}, "first")
	var all sync.WaitGroup
	for side := range 16 {
		all.Go(func() {
			for i := range 50 {
				put(t, l, fmt.Sprintf("%d.%d", side, i))
			}
		})
	}
	all.Wait()
	end := l.End()
	closed(t, l)
	if most < 2 {
		t.Error("nobody ever shared a sync")
	}
	l, got, err := reopen(t, dir, end)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.End() != end {
		t.Errorf("ends at %v, not %v", l.End(), end)
	}
	next := map[int]int{}
	for _, r := range got {
		var side, i, n int
		if k, _ := fmt.Sscanf(r, "group of %d", &n); k == 1 || r == "first" {
			continue
		}
		if _, err := fmt.Sscanf(r, "%d.%d", &side, &i); err != nil || next[side] != i {
			t.Fatalf("%q where %d.%d belongs", r, side, next[side])
		}
		next[side]++
	}
	for side := range 16 {
		if next[side] != 50 {
			t.Errorf("side %d: %d of 50", side, next[side])
		}
	}
}

// TestBeside shows that the whole group is given, that what Begin answers is in the
// file with it, and that nobody is answered before finish is done.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	var ready sync.Map
	l := create(t, dir, Options[int]{Begin: func(group []int) ([]byte, func()) {
		mine := slices.Clone(group)
		return fmt.Append(nil, mine), func() {
			for _, item := range mine {
				ready.Store(item, true)
			}
		}
	}})
	var all sync.WaitGroup
	for item := range 64 {
		all.Go(func() {
			if err := l.Append(item, []byte("x")).Wait(); err != nil {
				t.Error(err)
			}
			if _, ok := ready.Load(item); !ok {
				t.Errorf("%d was answered before its group was finished", item)
			}
		})
	}
	all.Wait()
	if err := l.Note([]byte("alone")).Wait(); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	l, got, err := reopen(t, dir, Point{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := 0
	for _, r := range got {
		if r[0] == '[' {
			seen += len(bytes.Fields([]byte(r)))
		}
	}
	if seen != 64 || got[len(got)-1] != "alone" {
		t.Errorf("%q", got)
	}
}

// TestTorn cuts the last group off at every byte: all before it is read, and the
// ledger goes on from there.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir, Options[int]{Grow: 64}, "snapshot")
	put(t, l, "one")
	before := l.End()
	start, _ := l.Size()
	put(t, l, "two", "three")
	after := l.End()
	end, _ := l.Size()
	closed(t, l)
	path := filepath.Join(dir, "ledger")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := start; cut < end; cut++ {
		for _, rest := range [][]byte{nil, make([]byte, int64(len(whole))-cut), bytes.Repeat([]byte{0xaa}, 30)} {
			if rest != nil && cut+1 == end && whole[cut] == rest[0] {
				continue // nothing is changed
			}
			if err := os.WriteFile(path, append(bytes.Clone(whole[:cut]), rest...), 0o600); err != nil {
				t.Fatal(err)
			}
			l, got, err := reopen(t, dir, before)
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if l.End() != before || !slices.Equal(got, []string{"snapshot", "one"}) {
				t.Fatalf("cut at %d: %v, %q", cut, l.End(), got)
			}
			put(t, l, "again")
			closed(t, l)
			l, got, err = reopen(t, dir, before)
			if err != nil || !slices.Equal(got, []string{"snapshot", "one", "again"}) {
				t.Fatalf("after a cut at %d: %q, %v", cut, got, err)
			}
			closed(t, l)
			if _, _, err := reopen(t, dir, after); !errors.Is(err, ErrOlder) {
				t.Fatalf("cut at %d: the lost group is remembered, but %v", cut, err)
			}
		}
	}
}

// TestDamage changes every byte before the last group: it is always noticed.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir, Options[int]{Grow: 64}, "snapshot")
	put(t, l, "one")
	put(t, l, "two")
	end := l.End()
	start, _ := l.Size()
	put(t, l, "three")
	closed(t, l)
	path := filepath.Join(dir, "ledger")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range start {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x40
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got, err := reopen(t, dir, end); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d: %q, %v", at, got, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, broken) {
			t.Fatalf("byte %d: the damaged file was changed", at)
		}
	}
}

// TestRemembered compares a ledger with what is remembered of it.
func TestRemembered(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := reopen(t, dir, Point{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no ledger: %v", err)
	}
	l := create(t, dir, Options[int]{})
	put(t, l, "one")
	one := l.End()
	copied, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, "two")
	two := l.End()
	if err := l.Compact(raw([]string{"one and two"})).Wait(); err != nil {
		t.Fatal(err)
	}
	three := l.End()
	closed(t, l)
	for name, known := range map[string]Point{"nothing": {}, "one": one, "two": two, "three": three} {
		l, got, err := reopen(t, dir, known)
		if err != nil || !slices.Equal(got, []string{"one and two"}) {
			t.Fatalf("remembered %s: %q, %v", name, got, err)
		}
		closed(t, l)
	}
	wrong := three
	wrong.Head[0]++
	other := three
	other.Identity[0]++
	for name, known := range map[string]Point{"another head": wrong, "another ledger": other} {
		if _, _, err := reopen(t, dir, known); !errors.Is(err, ErrOlder) {
			t.Errorf("remembered %s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger"), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := reopen(t, dir, two); !errors.Is(err, ErrOlder) {
		t.Errorf("a file that was put back: %v", err)
	}
	// Another past with the same number of groups.
	l, _, err = reopen(t, dir, one)
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, "another two")
	closed(t, l)
	if _, _, err := reopen(t, dir, two); !errors.Is(err, ErrOlder) {
		t.Errorf("another past: %v", err)
	}
}

// TestCompact replaces the file while others write: nothing is lost or doubled.
func TestCompact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		carried := 0
		l := create(t, dir, Options[int]{Grow: 256,
			Begin: func(group []int) ([]byte, func()) {
				carried += len(group)
				return fmt.Appendf(nil, "=%d", carried), nil
			},
			Carry: func() []byte { return fmt.Appendf(nil, "=%d", carried) },
		})
		sum, items := 0, 0
		var waits []*Group
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				waits = append(waits, l.Compact([][]byte{fmt.Appendf(nil, "sum %d", sum)}))
			case 1:
				waits = append(waits, l.Note([]byte("+0")))
			case 2:
				if err := l.Pending().Wait(); err != nil {
					rt.Fatal(err)
				}
			default:
				n := rapid.IntRange(1, 9).Draw(rt, "n")
				sum += n
				items++
				waits = append(waits, l.Append(1, fmt.Appendf(nil, "+%d", n)))
			}
		}
		for _, g := range waits {
			if err := g.Wait(); err != nil {
				rt.Fatal(err)
			}
		}
		closed(t, l)
		got, last := 0, ""
		l, records, err := reopen(t, dir, l.End())
		if err != nil {
			rt.Fatal(err)
		}
		closed(t, l)
		for _, r := range records {
			var n int
			switch {
			case r[0] == '=':
				last = r
			case r[0] == '+':
				fmt.Sscanf(r, "+%d", &n)
				got += n
			default:
				fmt.Sscanf(r, "sum %d", &got)
			}
		}
		if got != sum || items > 0 && last != fmt.Sprintf("=%d", items) {
			rt.Fatalf("%d, not %d; %s of %d items: %q", got, sum, last, items, records)
		}
	})
}

// TestFaults lets the disk fail at every call that writes: nobody is told of a
// record that is not there, nothing that was told of is lost, and once failed the
// ledger takes nothing more.
func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	life := func(dir string, disk *durable.Disk) (told []string, last Point, err error) {
		r := root(t, dir)
		l, err := Create(r, "ledger", new(counter), Options[int]{Disk: disk, Grow: 40}, raw([]string{"0"}))
		if err != nil {
			return nil, Point{}, err
		}
		defer l.Close()
		told, last = []string{"0"}, l.End()
		for i := 1; i < 8; i++ {
			if i == 5 {
				all := slices.Clone(told)
				if err := l.Compact(raw(all)).Wait(); err != nil {
					return told, last, err
				}
			}
			name := fmt.Sprint(i)
			if err := l.Append(i, []byte(name)).Wait(); err != nil {
				if l.Err() == nil || !errors.Is(l.Append(9, []byte("never")).Wait(), broken) || !errors.Is(l.Pending().Wait(), broken) {
					t.Error("it takes more after it failed")
				}
				return told, last, err
			}
			told, last = append(told, name), l.End()
		}
		return told, last, nil
	}
	calls := 0
	count := &durable.Disk{Fault: func(durable.Op, string) error { calls++; return nil }}
	if _, _, err := life(t.TempDir(), count); err != nil {
		t.Fatal(err)
	}
	if calls < 25 {
		t.Fatalf("only %d calls", calls)
	}
	for fail := 1; fail <= calls; fail++ {
		dir := t.TempDir()
		n, what := 0, durable.Op("")
		disk := &durable.Disk{Fault: func(op durable.Op, _ string) error {
			if n++; n < fail {
				return nil
			}
			if n == fail {
				what = op
			}
			return broken // and it stays so
		}}
		told, last, err := life(dir, disk)
		if !errors.Is(err, broken) {
			t.Fatalf("call %d (%s): %v", fail, what, err)
		}
		l, got, err := reopen(t, dir, last)
		if len(told) == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatalf("call %d (%s): %v", fail, what, err)
		}
		if len(got) < len(told) || len(got) > len(told)+1 || !slices.Equal(got[:len(told)], told) {
			t.Errorf("call %d (%s): told of %q, found %q", fail, what, told, got)
		}
		put(t, l, "more")
		closed(t, l)
	}
}

// TestPrivate shows that nobody else may read the file.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir, Options[int]{})
	defer l.Close()
	info, err := os.Stat(filepath.Join(dir, "ledger"))
	if err != nil || info.Mode().Perm() != durable.PrivateFile {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// FuzzScan reads whatever it is given without falling over, and no other records
// from a file than were written.
func FuzzScan(f *testing.F) {
	good := encodeHeader(Point{Identity: Identity{1}})
	good = appendGroup(good, Identity{1}, 1, appendRecord(nil, []byte("one")))
	good = appendGroup(good, Identity{1}, 2, appendRecord(nil, []byte("two")))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		_, at, err := scan(data, Point{}, func([]byte) error { n++; return nil })
		if err == nil && (at < headerSize || at > int64(len(data))) {
			t.Errorf("ends at %d of %d", at, len(data))
		}
	})
}
