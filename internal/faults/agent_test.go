//go:build linux && amd64

package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// machine is one machine at which updates are imported.
type machine struct {
	*world
	t    *testing.T
	home string
	prepared
}

// agentClass tells the files of a machine apart.
func agentClass(home string) func(string, int) string {
	return func(path string, fd int) string {
		rest, inside := strings.CutPrefix(path, home+"/")
		switch parts := strings.Split(rest, "/"); {
		case fd == 1 || fd == 2:
			return "output"
		case strings.HasPrefix(path, "anon_inode:") || strings.HasPrefix(path, "pipe:") || strings.HasPrefix(path, "/dev/"):
			return ""
		case path == home:
			return "home"
		case !inside:
			return "elsewhere"
		case parts[0] != "containers":
			return parts[0]
		case len(parts) < 3:
			return "container's folder"
		case strings.HasSuffix(parts[2], ".tmp"):
			return "new slot"
		case parts[2] == "a" || parts[2] == "b":
			return "slot"
		default:
			return "container's " + parts[2]
		}
	}
}

// content is what the machine says it has.
func (m *machine) content() string {
	m.t.Helper()
	status, out, errs := m.run(m.home, "licet", "container", "list", "--json")
	if status != 0 {
		m.t.Fatalf("the container does not open: exit status %d\n%s%s", status, out, errs)
	}
	return out
}

func (m *machine) counter(content string) (n int) {
	m.t.Helper()
	var list struct {
		Items []struct {
			Counter  int
			Licenses []any
		}
	}
	must(m.t, json.Unmarshal([]byte(content), &list))
	return list.Items[0].Counter
}

// imports imports the update with a fault.
func (m *machine) imports(f fault) *traced {
	m.t.Helper()
	return start(m.t, work, m.environment(m.home), agentClass(m.home), true, f, filepath.Join(m.programs, "licet"), "import", m.update, "--json")
}

// TestImport breaks the import of an update, with a put and with a drop, at each of
// its points (Inv11, Inv12, Inv21, Inv37).
func TestImport(t *testing.T) {
	t.Parallel()
	w := getWorld(t)
	for name, p := range map[string]prepared{"import put": w.put, "import drop": w.drop} {
		t.Run(name, func(t *testing.T) {
			m := &machine{world: w, t: t, home: filepath.Join(work, strings.ReplaceAll(name, " ", "-")), prepared: p}
			m.replace(m.home, m.prepared.home)
			old := m.content()
			run := m.imports(fault{})
			if status := run.wait(t); status != 0 {
				t.Fatalf("exit status %d\n%s", status, run.complained())
			}
			next := m.content()
			if m.counter(next) != m.counter(old)+1 {
				t.Fatalf("the update is of more than one step: from\n%s to\n%s", old, next)
			}
			points, _ := run.disarm()
			found(t, name, points)
			runs := 0
			for i, p := range points {
				for _, f := range m.faults(points, i+1) {
					runs++
					m.broken(f, p, old, next)
				}
			}
			m.piles(points)
			t.Logf("%d runs with a fault", runs)
		})
	}
}

// faults are all faults that make sense at a point.
func (m *machine) faults(points []point, at int) []fault {
	p := points[at-1]
	all := []fault{{at: at, how: kill}}
	add := func(f ...fault) { all = append(all, f...) }
	switch {
	case p.class == "output":
	case p.call == "write" || p.call == "pwrite64":
		add(fault{at: at, how: torn}, fault{at: at, how: fails, errno: syscall.ENOSPC}, fault{at: at, how: fails, errno: syscall.EIO},
			full(points, at))
	case p.call == "openat":
		add(fault{at: at, how: fails, errno: syscall.ENOSPC}, fault{at: at, how: fails, errno: syscall.EIO})
	default:
		add(fault{at: at, how: fails, errno: syscall.EIO}, fault{at: at, how: lies, errno: syscall.EIO})
	}
	return all
}

// full is a disk that is full from a point on.
func full(points []point, at int) fault {
	n := 0
	for _, p := range points[:at] {
		if room(p) {
			n++
		}
	}
	return fault{at: n, hits: room, how: fails, errno: syscall.ENOSPC, stays: true}
}

// room says whether a call needs room on the disk.
func room(p point) bool {
	switch p.call {
	case "write", "pwrite64", "openat", "open", "mkdirat", "ftruncate", "fallocate":
		return p.class != "output" && p.class != "answer"
	}
	return false
}

func (f fault) String() string {
	what := map[how]string{kill: "killed before", torn: "killed halfway through", fails: "failing, not done, with " + f.errno.Error() + ",", lies: "failing, but done, with " + f.errno.Error() + ","}[f.how]
	if f.stays {
		what += " from then on,"
	}
	return fmt.Sprintf("%s point %d", what, f.at)
}

// broken imports with a fault, and then without.
func (m *machine) broken(f fault, p point, old, next string) {
	m.t.Helper()
	m.replace(m.home, m.prepared.home)
	before := files(m.home)
	run := m.imports(f)
	status := run.wait(m.t)
	_, struck := run.disarm()
	bad := func(format string, args ...any) {
		m.t.Helper()
		m.t.Errorf("%s (%s): %s\nit says: %s%s", f, p, fmt.Sprintf(format, args...), run.said(), run.complained())
	}
	if len(struck) == 0 || struck[0] != p {
		bad("it struck at %v", struck)
		return
	}
	after := files(m.home)
	rests := temps(after)
	now := m.content()
	switch {
	case now != old && now != next:
		bad("the content is neither old nor new:\n%s", now)
	case now == old && !maps.Equal(before, after):
		bad("the content is old, and the files are others")
	case status == 0 && now != next:
		bad("it reports success, and the content is old")
	case (status == -1) != (f.how == kill || f.how == torn):
		bad("it ends with %d", status)
	case status != -1 && len(rests) > 0:
		bad("it leaves %v", rests)
	case len(rests) > 1:
		bad("it leaves %v", rests)
	}
	if status > 0 {
		var said struct {
			Error struct{ Code, Message, Hint string }
		}
		if err := json.Unmarshal([]byte(run.complained()), &said); err != nil {
			bad("no error in JSON: %v", err)
		}
		if status != 1 || said.Error.Code != "storage_full" || !strings.Contains(said.Error.Message, "disk is full or cannot be written") || said.Error.Hint == "" {
			bad("exit status %d, %+v", status, said.Error)
		}
		if kept := strings.Contains(said.Error.Message, "old state was kept"); kept != (now == old) {
			bad("what it says of the old state is not so")
		}
	}
	repeated := m.imports(fault{})
	if status := repeated.wait(m.t); status != 0 {
		bad("repeated: exit status %d\n%s%s", status, repeated.said(), repeated.complained())
	}
	// Also what a dead program wrote is made to last before success is reported.
	if points, _ := repeated.disarm(); !slices.Contains(points, point{"fsync", "container's folder"}) {
		bad("repeated: nothing makes the new state last: %v", points)
	}
	if again := m.content(); again != next {
		bad("repeated: the content is\n%s", again)
	}
	if rests := temps(files(m.home)); len(rests) > 0 {
		bad("repeated: it leaves %v", rests)
	}
}

// piles kills the import several times at the same point: the temporary files of
// dead programs do not add up.
func (m *machine) piles(points []point) {
	m.t.Helper()
	at := slices.IndexFunc(points, func(p point) bool { return p.call == "fsync" && p.class == "new slot" }) + 1
	m.replace(m.home, m.prepared.home)
	for range 3 {
		hits := func(p point) bool { return p.call == "fsync" && p.class == "new slot" }
		if status := m.imports(fault{at: 1, how: kill, hits: hits}).wait(m.t); status != -1 || at == 0 {
			m.t.Errorf("it was not killed, but ended with %d", status)
		}
		if rests := temps(files(m.home)); len(rests) != 1 {
			m.t.Errorf("temporary files: %v", rests)
		}
	}
}
