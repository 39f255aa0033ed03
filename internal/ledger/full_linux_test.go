package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"licet/internal/durable"
)

// TestFullDisk fills a tiny filesystem: what was answered stays, what does not fit
// is refused, and after making room the ledger goes on. It needs root.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 16<<10), durable.PrivateFile); err != nil {
		t.Fatal(err)
	}
	l := create(t, dir, Options[int]{Grow: 4096})
	var told []string
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		record := fmt.Sprintf("%0500d", i)
		if err = l.Append(i, []byte(record)).Wait(); err == nil {
			told = append(told, record)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || len(told) < 10 {
		t.Fatalf("after %d records: %v", len(told), err)
	}
	if err := l.Append(0, []byte("more")).Wait(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it takes more: %v", err)
	}
	end := l.End()
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("closed: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	l, got, err := reopen(t, dir, end)
	if err != nil || !slices.Equal(got, told) {
		t.Fatalf("told of %d, found %d, %v", len(told), len(got), err)
	}
	put(t, l, "room again")
	closed(t, l)
}
