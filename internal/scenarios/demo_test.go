package scenarios

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/centralcmd"
	"licet/internal/cli"
	"licet/internal/demo"
)

// runDemo runs licet-central demo with everything about it real but the streams.
func runDemo(t *testing.T, env centralcmd.Env, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	env.Streams = cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status = centralcmd.Run(ctx, env, append([]string{"demo"}, args...), demo.Command)
	return status, o.String(), e.String()
}

// TestDemo plays the demo as a visitor sees it: every step is there with its
// command, nothing is left behind, and it is quick.
func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	began := time.Now()
	status, out, errs := runDemo(t, centralcmd.System())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if status != 0 || errs != "" {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	for _, want := range []string{
		"sets up a server", "$ licet-central init", "$ licet-central serve",
		"describes a product", "$ licet-central apply -f catalog.yaml",
		"A customer buys it", "$ licet-central order create",
		"trusts the vendor", "$ licet --home laptop trust add", "$ licet --home laptop activate",
		"may I run", "$ licet --home laptop check CAD-PRO", "CAD-PRO: valid",
		"is refused", "is activated in container",
		"First the request", "$ licet --home laptop request", "$ curl --data-binary @return.licet-request",
		"the update, which takes the license out", "$ licet --home laptop import",
		"the receipt, which proves it", "$ licet --home laptop receipt",
		"the second machine gets it", "$ licet --home desktop activate",
		"The desktop is stolen", "$ licet --home laptop restore", "It is activated here now",
		"is on the vendor's block list", "$ licet-central blocklist list",
		"goes at the first contact", "$ licet --home desktop update", "Removed by the vendor",
		"withdraws the license", "$ licet-central license withdraw", "goes at the next contact", "$ licet --home laptop update",
		"whole life", "$ licet-central license history", "$ licet-central audit verify", "The audit trail is whole",
		"steps did what they say",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("it left %v behind (%v)", left, err)
	}
}

func TestDemoAsJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	status, out, errs := runDemo(t, centralcmd.System(), "--data", dir, "--json")
	if status != 0 || errs != "" {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	doc, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if titles, err := lookUp(doc, "steps.*.title"); err != nil || len(titles) < 15 {
		t.Errorf("steps: %q (%v)", titles, err)
	}
	if kept, err := lookUp(doc, "kept"); err != nil || kept[0] != "true" {
		t.Errorf("kept: %q (%v)", kept, err)
	}
	// The folder is left for a look, and is not used twice.
	if _, err := os.Stat(filepath.Join(dir, "central", "vendor.trust")); err != nil {
		t.Error(err)
	}
	status, _, errs = runDemo(t, centralcmd.System(), "--data", dir)
	if status != 1 || !strings.Contains(errs, "is not empty; it was not touched") {
		t.Errorf("a second time: status %d\n%s", status, errs)
	}
}

// TestDemoFails sabotages the demo in several ways: it says so and ends with
// status 1.
func TestDemoFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("a file where the folder should be", func(t *testing.T) {
		wantFailure(t, centralcmd.System(), "--data", filepath.Join(file, "demo"))
	})
	t.Run("no room for temporary files", func(t *testing.T) {
		t.Setenv("TMPDIR", file)
		wantFailure(t, centralcmd.System())
	})
	t.Run("a clock that runs backward", func(t *testing.T) {
		// A license that was just issued is not usable yesterday: a step fails in
		// the middle.
		env := centralcmd.System()
		began, looks := time.Now(), atomic.Int64{}
		env.Now = func() time.Time { return began.Add(-24 * time.Hour * time.Duration(looks.Add(1))) }
		wantFailure(t, env)
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var o, e bytes.Buffer
		env := centralcmd.System()
		env.Streams = cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }}
		if status := centralcmd.Run(ctx, env, []string{"demo"}, demo.Command); status != 1 || e.Len() == 0 {
			t.Errorf("status %d\n%s%s", status, &o, &e)
		}
	})
}

func wantFailure(t *testing.T, env centralcmd.Env, args ...string) {
	t.Helper()
	status, out, errs := runDemo(t, env, args...)
	if status != 1 || !strings.Contains(errs, "Error: ") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	if strings.Contains(out, "steps did what they say") {
		t.Errorf("it claims success:\n%s", out)
	}
	t.Log(errs)
}
