package races

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licet/internal/pgtest"
)

// TestKillServer kills the server with SIGKILL at random moments while 16 machines
// work, and starts it again, with SQLite and with PostgreSQL. What was acknowledged
// is there; what was not is there whole or not at all; the same files again
// complete the work (Inv37).
func TestKillServer(t *testing.T) {
	kills := long(4, 60)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			p := &process{t: t, program: build(t), folder: filepath.Join(t.TempDir(), "central")}
			address := "sqlite:" + filepath.Join(p.folder, "licet.db")
			if engine == "postgres" {
				address = pgtest.URL(t)
				p.database = address
			}
			p.set()
			b := openBook(t, open(t, address), p.secret())
			h := newHistory(b, func(i int) server { return p.with(i, 1) }, "kill", 6)
			h.retry = true
			p.start()
			t.Cleanup(func() { p.kill() })

			done := make(chan error, 1)
			go func() { done <- h.play(10000, 7) }()
			random := rand.New(rand.NewPCG(3, 4))
			killed := 0
			var err error
			for running := true; running; {
				select {
				case err = <-done:
					running = false
				case <-time.After(time.Duration(150+random.IntN(500)) * time.Millisecond):
					if killed == kills {
						h.stop.Store(true)
						continue
					}
					p.kill()
					p.start()
					killed++
				}
			}
			must(t, err)
			p.kill()
			open, results := 0, map[string]int{}
			for _, op := range h.ops {
				if out := op.Output.(output); out.unknown {
					open++
				} else {
					results[fmt.Sprint(op.Input.(input).do, " ", out.code)]++
				}
			}
			if got := h.check(t); got != porcupine.Ok {
				t.Errorf("a history of %d operations: %s", len(h.ops), got)
			}
			must(t, b.whole(h.boxes...))
			t.Logf("killed %d times; %d operations, %d of them open: %v", killed, len(h.ops), open, results)
		})
	}
}
