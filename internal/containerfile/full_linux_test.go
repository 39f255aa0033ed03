package containerfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk fills a tiny filesystem: the write fails, the old content and
// nothing else stays, and after making room life goes on. It needs root.
func TestFullDisk(t *testing.T) {
	home := t.TempDir()
	if err := syscall.Mount("tmpfs", home, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer syscall.Unmount(home, syscall.MNT_DETACH)
	f := create(t, home)
	big := content("x")
	big.State = make([]byte, 100<<10)
	if _, err := f.Write(t.Context(), header(1), big, traits(), source(2)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	files, err := filepath.Glob(filepath.Join(home, containersDir, serial, ".*"))
	if err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	f = open(t, home)
	if got := read(t, f, traits()); string(got.State) != "state 0" {
		t.Errorf("%+v", got)
	}
	write(t, f, 1, content("small"), traits())

	// Not even a byte is free.
	if err := os.WriteFile(filepath.Join(home, "filler"), make([]byte, 64<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if _, err := f.Write(t.Context(), header(2), content("none"), traits(), source(3)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if got := read(t, open(t, home), traits()); string(got.State) != "small" {
		t.Errorf("%+v", got)
	}
}
