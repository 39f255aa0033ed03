package races

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"licet/internal/pgtest"
)

// before builds licet-central as it was before the newest migration, from the
// history of this checkout.
func before(t testing.TB) string {
	t.Helper()
	git := func(args ...string) []byte {
		cmd := exec.Command("git", args...)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("the checkout has no history to build the version before from: git %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	migrations, err := filepath.Glob("../store/migrations/*.sql")
	must(t, err)
	newest := strings.TrimPrefix(migrations[len(migrations)-1], "../")
	added := strings.TrimSpace(string(git("log", "--diff-filter=A", "--format=%H", "-1", "--", "internal/"+newest)))
	if added == "" {
		t.Skip("the newest migration is not committed")
	}
	folder := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", folder)
	unpack.Stdin = bytes.NewReader(git("archive", added+"^"))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	path := filepath.Join(folder, "licet-central-before")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/licet-central")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Logf("the version before is %s, without %s", added[:12]+"^", filepath.Base(newest))
	return path
}

// TestUpgrade replaces two servers by a newer version one at a time, while 16
// machines work: the old version goes on beside the new one, on the database that
// the new one has migrated.
func TestUpgrade(t *testing.T) {
	if long(0, 1) == 0 {
		t.Skip("builds the version before: LICET_TEST_LONG=1")
	}
	address := pgtest.URL(t)
	old := &process{t: t, program: before(t), folder: filepath.Join(t.TempDir(), "central-0"), database: address}
	old.set()
	servers := []*process{old, old.copyTo(filepath.Join(t.TempDir(), "central-1"))}
	for _, p := range servers {
		p.start()
		t.Cleanup(p.kill)
	}
	replace := func(p *process) {
		p.stop()
		p.program = build(t)
		p.start()
	}
	play := func(b *book, name string, meanwhile func(h *history, done <-chan error)) []*box {
		h := newHistory(b, func(i int) server { return servers[i%2].with(i, 1) }, name, 6)
		h.retry = true
		done := make(chan error, 1)
		go func() { done <- h.play(10000, 7) }()
		meanwhile(h, done)
		h.stop.Store(true)
		must(t, <-done)
		if got := h.check(t); got != porcupine.Ok {
			t.Fatalf("%s: a history of %d operations: %s", name, len(h.ops), got)
		}
		return h.boxes
	}
	// The first new server migrates the database under the feet of the old one.
	replace(servers[1])
	b := openBook(t, open(t, address), old.secret())
	boxes := play(b, "side by side", func(h *history, done <-chan error) {
		h.goesOn(t, 400, done)
		replace(servers[0])
		h.goesOn(t, 200, done)
	})
	must(t, b.whole(boxes...))
	for _, p := range servers {
		if log := p.faults(); strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("errors of %s:\n%s", p.folder, log)
		}
	}
}
