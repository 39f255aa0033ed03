package journal_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"licet/internal/durable"
	"licet/internal/journal"
	"licet/seal"
)

// FuzzRead: whatever a file holds, what is read of it are frames that were written, in
// their order from the first on.
func FuzzRead(f *testing.F) {
	must := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	vault, err := seal.NewVault(bytes.Repeat([]byte{7}, 32))
	must(err)
	place, disk := f.TempDir(), &durable.Disk{}
	must(journal.Prepare(place, "vendor", disk))
	j := journal.New(journal.Config{Path: place, Vault: vault, Vendor: "vendor", Program: "test", Disk: disk,
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }, Random: func(p []byte) { _, _ = rand.Read(p) }})
	must(j.Begin("chain", "", 15))
	var before journal.Mark
	text := func(n int64) string { return fmt.Sprintf("insert into t values (%d)", n) }
	for n := int64(1); n <= 3; n++ {
		frame := journal.Frame{Before: before, Statements: []journal.Statement{{Text: text(n), Rows: 1, Args: []any{n, "x", []byte{1}, nil}}}}
		frame.Number, frame.Mark = n, j.NewMark()
		must(j.Append(frame))
		before = frame.Mark
	}
	j.Close()
	names, err := filepath.Glob(filepath.Join(place, "*.log"))
	must(err)
	whole, err := os.ReadFile(names[0])
	must(err)
	whole = bytes.TrimRight(whole, "\x00")
	f.Add(whole)
	f.Add([]byte{})
	for _, at := range []int{10, len(whole) / 3, len(whole) / 2, len(whole) - 5} {
		f.Add(whole[:at])
		flipped := bytes.Clone(whole)
		flipped[at] ^= 4
		f.Add(flipped)
	}
	f.Add(append(bytes.Clone(whole), whole[len(whole)/2:]...))

	f.Fuzz(func(t *testing.T, data []byte) {
		folder := t.TempDir()
		if err := journal.Prepare(folder, "vendor", disk); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(names[0])), data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := journal.Read([]string{folder}, vault, "vendor", "chain", journal.Point{})
		if err != nil {
			return
		}
		for i, frame := range out.Frames {
			statements, err := frame.Statements()
			if err != nil || len(statements) != 1 || statements[0].Text != text(int64(i+1)) {
				t.Errorf("frame %d was never written: %v, %v", i+1, statements, err)
			}
		}
		if bytes.Equal(data, whole) && (len(out.Frames) != 3 || len(out.Wanting) > 0) {
			t.Errorf("%d frames, %v", len(out.Frames), out.Wanting)
		}
	})
}
