// Package deploy holds the files that put the server to work: units for systemd,
// an image, manifests for Kubernetes, and what monitoring shows. It has tests
// only: each name in those files must exist in the program.
package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"licet/internal/centralcmd"
	"licet/internal/cli"
	"licet/internal/licetcmd"
	"licet/internal/pgtest"
	"licet/internal/signercmd"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variables are those that the command serve reads.
func variables(t *testing.T, root *cobra.Command) (names []string) {
	t.Helper()
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	add := func(f *pflag.Flag) { names = append(names, cli.Variable(f.Name)) }
	serve.Flags().VisitAll(add)
	root.PersistentFlags().VisitAll(add)
	return append(names, "LICET_HOME") // of licet, which has no flag for it
}

// TestVariables: each variable that a file sets is one that serve reads.
func TestVariables(t *testing.T) {
	central, machine := variables(t, centralcmd.Root(centralcmd.System())), variables(t, licetcmd.Root(licetcmd.Env{}))
	signer := variables(t, signercmd.Root(signercmd.Env{}))
	for file, known := range map[string][]string{
		"Containerfile": central, "systemd/licet-central.service": central, "kubernetes/licet-central.yaml": central, "systemd/licet.service": machine,
		"systemd/licet-signer.service": signer,
	} {
		for _, name := range regexp.MustCompile(`LICET_[A-Z_]+`).FindAllString(read(t, file), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: serve does not read %s: %v", file, name, known)
			}
		}
	}
}

// TestUnits lets systemd look at the units, with programs where they say.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatal(units, err)
	}
	for _, unit := range units {
		dir := t.TempDir()
		program := filepath.Join(dir, "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`/usr/local/bin/\S+`).ReplaceAllLiteralString(read(t, unit), program)
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput()
		if err != nil || strings.Contains(string(out), copied) || strings.Contains(string(out), filepath.Base(unit)) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// server runs serve in this process until the test ends.
func server(t *testing.T, args ...string) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan string, 1), make(chan int, 1)
	var out, stderr bytes.Buffer
	env := centralcmd.Env{
		Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr, Getenv: func(string) string { return "" }},
		Now:     time.Now, Random: func(b []byte) { rand.Read(b) }, Serving: func(url string) { listening <- url },
	}
	go func() {
		ended <- centralcmd.Run(ctx, env, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...))
	}()
	select {
	case url = <-listening:
	case status := <-ended:
		t.Fatalf("serve: %d %s", status, stderr.String())
	}
	t.Cleanup(func() {
		cancel()
		if status := <-ended; status != 0 {
			t.Errorf("serve ended with %d: %s", status, stderr.String())
		}
	})
	return url
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, res.Status, err)
	}
	return string(body)
}

// TestManifest: two servers work as in Kubernetes: on one database, each with a
// folder that cannot be written and holds the key alone. What the manifest asks
// of them is there.
func TestManifest(t *testing.T) {
	database := pgtest.URL(t)
	made := t.TempDir()
	first := server(t, "--data", filepath.Join(made, "central"), "--database", database)
	key := read(t, filepath.Join(made, "central", "secret.key"))
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "secret.key"), []byte(key), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o550); err != nil {
		t.Fatal(err)
	}
	second := server(t, "--data", folder, "--database", database)
	if a, b := get(t, first+"/.well-known/licet"), get(t, second+"/.well-known/licet"); a != b {
		t.Errorf("two vendors:\n%s\n%s", a, b)
	}

	probes := 0
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/licet-central.yaml")))
	var kinds []string
	for {
		var one any
		if err := decoder.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, one.(map[string]any)["kind"].(string))
		each(one, "httpGet", func(value any) {
			probes++
			get(t, second+value.(map[string]any)["path"].(string))
		})
		each(one, "prometheus.io/path", func(value any) { get(t, second+value.(string)) })
	}
	if !slices.Equal(kinds, []string{"Service", "Deployment", "PodDisruptionBudget"}) || probes != 3 {
		t.Errorf("%v, %d probes", kinds, probes)
	}
}

// each calls fn with every value under a key, however deep.
func each(value any, key string, fn func(any)) {
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			if k == key {
				fn(v)
			}
			each(v, key, fn)
		}
	case []any:
		for _, v := range value {
			each(v, key, fn)
		}
	}
}

// TestMonitoring: each figure that dashboard and alerts ask for is one that a
// server gives.
func TestMonitoring(t *testing.T) {
	url := server(t, "--data", filepath.Join(t.TempDir(), "central"))
	get(t, url+"/healthz") // so that requests are counted
	figures := get(t, url+"/metrics")
	var exprs []string
	collect := func(value any) { exprs = append(exprs, value.(string)) }
	var dashboard, alerts any
	if err := json.Unmarshal([]byte(read(t, "monitoring/grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(read(t, "monitoring/alerts.yaml")), &alerts); err != nil {
		t.Fatal(err)
	}
	each(dashboard, "expr", collect)
	each(alerts, "expr", collect)
	if len(exprs) < 15 {
		t.Fatalf("only %d expressions", len(exprs))
	}
	for _, expr := range exprs {
		for _, name := range regexp.MustCompile(`\b(?:licet|process)_[a-z_]+`).FindAllString(expr, -1) {
			if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(figures) {
				t.Errorf("%s asks for %s, which no server gives", expr, name)
			}
		}
	}
}
