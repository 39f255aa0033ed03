package scenarios

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"licet/internal/pgtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Scripts wait for disks more than they compute; more of them at once than
	// processors end sooner.
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := p.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err) // the flag is go test's own
		}
	}
	pgtest.Main(m)
}

// TestScripts plays every script on both databases.
func TestScripts(t *testing.T) {
	engines := map[string]func(testing.TB) string{
		"sqlite":   func(testing.TB) string { return "" },
		"postgres": pgtest.URL,
	}
	for engine, database := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir:                "testdata",
				Setup:              func(e *testscript.Env) error { return setUp(e, database) },
				Cmds:               commands,
				RequireUniqueNames: true,
			})
		})
	}
}

type stageKey struct{}

// setUp makes the stage of one script: its vendor, on a database of its own.
func setUp(e *testscript.Env, database func(testing.TB) string) error {
	t := e.T().(testing.TB)
	s := &stage{
		ctx: t.Context(), t: t, work: e.WorkDir, database: database,
		now:     time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		vendors: map[string]*vendor{}, machines: map[string]*host{}, receivers: map[string]*receiver{},
	}
	e.Values[stageKey{}] = s
	e.Defer(s.strike)
	catalog, err := os.ReadFile(filepath.Join("testdata", "catalog.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.WorkDir, "catalog.yaml"), catalog, 0o600); err != nil {
		return err
	}
	v, err := s.found("", "--vendor", "Example Software")
	if err != nil {
		return err
	}
	e.Setenv("CENTRAL", v.url)
	e.Setenv("TRUST", v.trust())
	return nil
}
