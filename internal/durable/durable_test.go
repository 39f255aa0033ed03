package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var errBroken = errors.New("broken")

func openRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func mustRead(t *testing.T, root *os.Root, name string) string {
	t.Helper()
	data, err := ReadFile(root, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, root *os.Root) []string {
	t.Helper()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, entry := range entries {
		out = append(out, entry.Name())
	}
	return out
}

// trace returns the operations that do makes.
func trace(do func(d *Disk) error) ([]Op, error) {
	var ops []Op
	err := do(&Disk{Fault: func(op Op, _ string) error { ops = append(ops, op); return nil }})
	return ops, err
}

func TestOperationsAreInOrder(t *testing.T) {
	root := openRoot(t)
	write, err := trace(func(d *Disk) error { return d.WriteFile(root, "a", []byte("1"), PrivateFile) })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(write), "[open write fsync rename fsyncdir]"; got != want {
		t.Errorf("WriteFile: %s, want %s", got, want)
	}
	create, err := trace(func(d *Disk) error { return d.CreateFile(root, "b", []byte("1"), PrivateFile) })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(create), "[open write fsync link remove fsyncdir]"; got != want {
		t.Errorf("CreateFile: %s, want %s", got, want)
	}
	info, err := root.Stat("a")
	if err != nil || info.Mode().Perm() != PrivateFile {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestFaults breaks each operation once, and once with everything after it as
// a crash would, and looks at what a reader then finds.
func TestFaults(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for at := range 5 {
			t.Run(fmt.Sprintf("op=%d,crash=%v", at, crash), func(t *testing.T) {
				root := openRoot(t)
				if err := (*Disk)(nil).WriteFile(root, "a", []byte("old old old"), PrivateFile); err != nil {
					t.Fatal(err)
				}
				count := 0
				disk := &Disk{Fault: func(Op, string) error {
					count++
					if count-1 == at || crash && count-1 > at {
						return errBroken
					}
					return nil
				}}
				if err := disk.WriteFile(root, "a", []byte("new new new"), PrivateFile); !errors.Is(err, errBroken) {
					t.Fatalf("error %v", err)
				}
				got := mustRead(t, root, "a")
				want := "old old old"
				if at == 4 { // only the folder's fsync failed
					want = "new new new"
				}
				if got != want {
					t.Errorf("reads %q, want %q", got, want)
				}
				if err := (*Disk)(nil).RemoveTemps(root); err != nil {
					t.Fatal(err)
				}
				if got := names(t, root); len(got) != 1 {
					t.Errorf("left behind: %v", got)
				}
			})
		}
	}
}

func TestFailureRemovesItsTemporaryFile(t *testing.T) {
	for _, broken := range []Op{OpWrite, OpFsync, OpRename, OpLink} {
		root := openRoot(t)
		disk := &Disk{Fault: func(op Op, _ string) error {
			if op == broken {
				return errBroken
			}
			return nil
		}}
		write := disk.WriteFile
		if broken == OpLink {
			write = disk.CreateFile
		}
		if err := write(root, "a", []byte("data"), PrivateFile); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", broken, err)
		}
		if got := names(t, root); len(got) != 0 {
			t.Errorf("%s leaves %v", broken, got)
		}
	}
}

func TestSymlinksAreNotFollowed(t *testing.T) {
	root := openRoot(t)
	var disk Disk
	if err := disk.WriteFile(root, "target", []byte("precious"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	if err := root.Symlink("target", "link"); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(root, "link", 100); !errors.Is(err, ErrNotRegular) {
		t.Errorf("read through a link: %v", err)
	}
	if err := disk.CreateFile(root, "link", []byte("x"), PrivateFile); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a link: %v", err)
	}
	if err := disk.WriteFile(root, "link", []byte("new"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, root, "target"); got != "precious" {
		t.Errorf("target is %q", got)
	}
	if got := mustRead(t, root, "link"); got != "new" {
		t.Errorf("link is %q", got)
	}
	for _, name := range []string{"", ".", "..", "../x", "x/y"} {
		if err := disk.WriteFile(root, name, nil, PrivateFile); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
}

func TestReadFileLimit(t *testing.T) {
	root := openRoot(t)
	if err := (*Disk)(nil).WriteFile(root, "a", make([]byte, 11), PrivateFile); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(root, "a", 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadFile(root, "a", 11); err != nil {
		t.Error(err)
	}
}

func TestCreateFileHasOneWinner(t *testing.T) {
	root := openRoot(t)
	const racers = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	winner := ""
	for i := range racers {
		wg.Go(func() {
			data := fmt.Sprintf("racer %d", i)
			err := (*Disk)(nil).CreateFile(root, "a", []byte(data), PrivateFile)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && winner != "":
				t.Errorf("two winners: %s and %s", winner, data)
			case err == nil:
				winner = data
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := mustRead(t, root, "a"); got != winner {
		t.Errorf("holds %q, winner %q", got, winner)
	}
}

func TestMkdirAll(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "x", "y")
	ops, err := trace(func(d *Disk) error { return d.MkdirAll(path, PrivateDir) })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(ops), "[mkdir fsyncdir mkdir fsyncdir]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != PrivateDir {
		t.Errorf("%v %v", info, err)
	}
	var disk Disk
	if err := disk.MkdirAll(path, PrivateDir); err != nil {
		t.Error(err)
	}
	file := filepath.Join(base, "file")
	if err := disk.WritePath(file, nil, PrivateFile); err != nil {
		t.Fatal(err)
	}
	if err := disk.MkdirAll(filepath.Join(file, "z"), PrivateDir); err == nil {
		t.Error("made a folder below a file")
	}
}
