package vendorapi_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"licet/license"
)

// TestGeneratedClient lets a public generator make a client of the description,
// compiles a program against it, and sells a license with it.
func TestGeneratedClient(t *testing.T) {
	source, err := filepath.Abs("client")
	must(t, err)
	modules := filepath.Join(source, "node_modules")
	if _, err := os.Stat(modules); err != nil {
		t.Skip("the npm packages of internal/vendorapi/client are not installed: make deps")
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "tsconfig.json", "smoke.ts"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	must(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	description, err := filepath.Abs(filepath.Join("..", "..", "docs", "openapi.json"))
	must(t, err)

	s := newServer(t)
	central := httptest.NewServer(s.handler)
	defer central.Close()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "node", append([]string{name}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LICET_URL="+central.URL, "LICET_TOKEN="+s.admin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(filepath.Join("node_modules", "openapi-typescript", "bin", "cli.js"), description, "-o", "licet.d.ts")
	run(filepath.Join("node_modules", "typescript", "bin", "tsc"), "-p", ".")
	if ticket := run(filepath.Join("out", "smoke.js")); len(ticket) != 29 {
		t.Errorf("the ticket: %q", ticket)
	} else if _, err := license.ParseTicket(ticket); err != nil {
		t.Error(err)
	}
}
