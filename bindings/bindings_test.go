package bindings

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const catalog = `products:
  - code: CAD-PRO
    name: CAD Professional
    model: perpetual_single
    features: [render]
  - code: NET
    name: Drawing on the network
    model: perpetual_multi
    terms: {seats: 1, borrow: {max: 7d, seats: 1}}
  - code: PAGES
    name: Pages, prepaid
    model: perpetual_single
    terms: {units: 100}
`

// sameMind is compiled to compare the header with what Go exports, which has no const.
const sameMind = `#include <stdint.h>
#include <stddef.h>
#define const
#include "licet.h"
#include "liblicet.h"
`

// world is a vendor's central and a machine, with the programs as they ship and
// the library as it ships.
type world struct {
	t       *testing.T
	bin     string // both programs and the library
	dir     string
	address string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, bin: t.TempDir(), dir: t.TempDir()}
	w.build("CGO_ENABLED=0", "-o", w.bin, "./cmd/licet", "./cmd/licet-central")
	w.build("CGO_ENABLED=1", "-buildmode=c-shared", "-o", filepath.Join(w.bin, "liblicet.so"), "./bindings/c")

	// Programs learn from the trust file where central is.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	listen := free.Addr().String()
	w.must(free.Close())
	w.licet(0, "licet-central", "init", "--data", w.path("central"), "--vendor", "Example Software", "--address", "http://"+listen)
	serve := w.command("licet-central", "serve", "--data", w.path("central"), "--listen", listen)
	says, err := serve.StdoutPipe()
	w.must(err)
	w.must(serve.Start())
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		_ = serve.Wait()
	})
	for lines := bufio.NewScanner(says); w.address == "" && lines.Scan(); {
		if _, rest, ok := strings.Cut(lines.Text(), "http://"); ok {
			w.address = "http://" + strings.TrimRight(strings.Fields(rest)[0], ".,/")
		}
	}
	if w.address == "" {
		t.Fatal("central does not say where it listens")
	}
	go func() { _, _ = bufio.NewReader(says).WriteTo(discard{}) }() // so that central never waits for a reader
	w.must(os.WriteFile(w.path("catalog.yaml"), []byte(catalog), 0o600))
	w.licet(0, "licet-central", "apply", "-f", w.path("catalog.yaml"))
	w.licet(0, "licet", "trust", "add", w.path("central/vendor.trust"))
	return w
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) build(env string, args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("go build: %v\n%s", err, out)
	}
}

// command is a program with nothing of the test's own surroundings.
func (w *world) command(name string, args ...string) *exec.Cmd {
	if !strings.Contains(name, "/") && strings.HasPrefix(name, "licet") {
		name = filepath.Join(w.bin, name)
	}
	cmd := exec.CommandContext(w.t.Context(), name, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + w.dir, "LICET_HOME=" + w.path("machine"),
		"LICET_DATA=" + w.path("central"), "LICET_URL=" + w.address,
		"LICET_LIBRARY=" + filepath.Join(w.bin, "liblicet.so"), "LD_LIBRARY_PATH=" + w.bin,
		"PYTHONPATH=" + abs(w.t, "python"), "PYTHONDONTWRITEBYTECODE=1", "NODE_NO_WARNINGS=1",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// licet runs a program to its end, with an exit status; the answer is what it
// wrote.
func (w *world) licet(want int, name string, args ...string) string {
	w.t.Helper()
	var out bytes.Buffer
	cmd := w.command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		w.t.Fatalf("%s %s: exit status %d, not %d\n%s", name, strings.Join(args, " "), got, want, &out)
	}
	return out.String()
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not here; scripts/deps.sh brings it", program)
	}
	return path
}

// TestBindings has a program in each language ask before a license is there,
// while it is, and after it was returned.
func TestBindings(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	cc := need(t, "cc")
	w := newWorld(t)
	example := w.path("example")
	w.licet(0, cc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", example, abs(t, "c/example/example.c"),
		"-I", abs(t, "c/include"), "-L", w.bin, "-llicet")
	// The header and what Go exports are of the same mind: the compiler compares.
	both := w.path("both.c")
	w.must(os.WriteFile(both, []byte(sameMind), 0o600))
	w.licet(0, cc, "-std=c11", "-fsyntax-only", "-I", abs(t, "c/include"), "-I", w.bin, both)

	programs := map[string][]string{"c": {example}}
	if python := need(t, "python3"); python != "" {
		programs["python"] = []string{python, abs(t, "python/example.py")}
	}
	if _, err := os.Stat("node/node_modules/koffi"); err != nil {
		t.Error("the npm packages of bindings/node are not here; scripts/deps.sh brings them")
	} else {
		programs["node"] = []string{need(t, "node"), abs(t, "node/example.mjs")}
	}
	ask := func(want int, says ...string) {
		t.Helper()
		for language, program := range programs {
			got := w.licet(want, program[0], append(program[1:], w.path("central/vendor.trust"), "CAD-PRO", "render", "export")...)
			for _, text := range says {
				if !strings.Contains(got, text) {
					t.Errorf("%s does not say %q:\n%s", language, text, got)
				}
			}
		}
	}

	ask(1, "No license for CAD-PRO", "licet activate", "render: no")
	order := w.licet(0, "licet-central", "order", "create", "--customer", "Ada", "--item", "CAD-PRO", "--json")
	w.licet(0, "licet", "activate", field(t, order, "ticket"), "--central", w.address)
	ask(0, "render: yes", "export: no")
	w.licet(0, "licet", "deactivate", field(t, w.licet(0, "licet", "list", "--json"), "id"))
	ask(1, "No license for CAD-PRO", "render: no")

	t.Run("network", func(t *testing.T) {
		server := w.licenseServer()
		for language, program := range map[string][]string{
			"python": {need(t, "python3"), abs(t, "python/network.py")},
			"node":   {need(t, "node"), abs(t, "node/network.mjs")},
		} {
			t.Log(language, w.licet(0, program[0], append(program[1:], w.path("central/vendor.trust"), server)...))
		}
	})

	ticket := func() string {
		order := w.licet(0, "licet-central", "order", "create", "--customer", "Ada", "--item", "CAD-PRO", "--json")
		return field(t, order, "ticket")
	}
	t.Run("activation", func(t *testing.T) {
		redeem := w.path("redeem")
		w.licet(0, cc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", redeem, abs(t, "c/example/activate.c"),
			"-I", abs(t, "c/include"), "-L", w.bin, "-llicet")
		trust := w.path("central/vendor.trust")
		if says := w.licet(1, redeem, trust, "K7WQM-3XHTA-9PZ4R-MMD2C-W8TYB"); !strings.Contains(says, `"code":"ticket_unknown"`) {
			t.Error(says)
		}
		if says := w.licet(2, redeem, example, ticket()); !strings.Contains(says, "trust file") {
			t.Error(says)
		}
		w.licet(0, redeem, trust, ticket())
		w.licet(0, "licet", "check", "CAD-PRO")
		for language, program := range map[string][]string{
			"python": {need(t, "python3"), abs(t, "python/activate.py")},
			"node":   {need(t, "node"), abs(t, "node/activate.mjs")},
		} {
			t.Log(language, w.licet(0, program[0], append(program[1:], trust, w.address, ticket(), ticket(), w.path(language), w.path("other-"+language))...))
		}
		w.licet(0, "licet", "deactivate", field(t, w.licet(0, "licet", "list", "--json"), "id"))
	})

	t.Run("units", func(t *testing.T) {
		order := w.licet(0, "licet-central", "order", "create", "--customer", "Ada", "--item", "PAGES", "--json")
		w.licet(0, "licet", "activate", field(t, order, "ticket"), "--central", w.address)
		use := w.path("use")
		w.licet(0, cc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", use, abs(t, "c/example/use.c"),
			"-I", abs(t, "c/include"), "-L", w.bin, "-llicet")
		trust := w.path("central/vendor.trust")
		// What one takes the others no longer have.
		for i, program := range [][]string{{use}, {need(t, "python3"), abs(t, "python/use.py")}, {need(t, "node"), abs(t, "node/use.mjs")}} {
			says := w.licet(0, program[0], append(program[1:], trust, "PAGES", "30")...)
			if want := fmt.Sprintf("%d left", 100-30*(i+1)); !strings.Contains(says, want) {
				t.Errorf("%s does not say %q:\n%s", program[0], want, says)
			}
		}
		for _, program := range [][]string{{use}, {need(t, "python3"), abs(t, "python/use.py")}, {need(t, "node"), abs(t, "node/use.mjs")}} {
			if says := w.licet(1, program[0], append(program[1:], trust, "PAGES", "30")...); !strings.Contains(says, "10 units are left") {
				t.Errorf("%s:\n%s", program[0], says)
			}
		}
		if says := w.licet(0, use, trust, "PAGES", "10"); !strings.Contains(says, "0 left") {
			t.Error(says)
		}
		w.licet(1, "licet", "check", "PAGES")
	})

	t.Run("misuse", func(t *testing.T) {
		t.Log(w.licet(0, need(t, "python3"), abs(t, "python/misuse.py"), w.path("central/vendor.trust")))
	})
}

// licenseServer is another machine that shares a seat of NET; it returns its
// address.
func (w *world) licenseServer() string {
	w.t.Helper()
	there := func(args ...string) *exec.Cmd {
		cmd := w.command("licet", args...)
		cmd.Env = append(cmd.Env, "LICET_HOME="+w.path("server"))
		return cmd
	}
	order := w.licet(0, "licet-central", "order", "create", "--customer", "Ada", "--item", "NET", "--json")
	for _, args := range [][]string{{"trust", "add", w.path("central/vendor.trust")}, {"activate", field(w.t, order, "ticket"), "--central", w.address}} {
		if out, err := there(args...).CombinedOutput(); err != nil {
			w.t.Fatalf("licet %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	serve := there("serve", "--listen", "127.0.0.1:0", "--no-discovery")
	says, err := serve.StderrPipe()
	w.must(err)
	w.must(serve.Start())
	w.t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		_ = serve.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(says); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if _, rest, ok := strings.Cut(lines.Text(), "127.0.0.1:"); ok {
			go func() { _, _ = bufio.NewReader(says).WriteTo(discard{}) }()
			return "127.0.0.1:" + strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })[0]
		}
	}
	w.t.Fatalf("the license server does not say where it listens:\n%s", &said)
	return ""
}

// field is the first text of a name in a JSON document.
func field(t *testing.T, document, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(document, `"`+name+`":`)
	parts := strings.SplitN(rest, `"`, 3)
	if !ok || len(parts) < 3 {
		t.Fatalf("no %q in %s", name, document)
	}
	return parts[1]
}
