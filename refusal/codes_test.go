package refusal_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licet/refusal"
)

var update = flag.Bool("update", false, "rewrite docs/errors.md")

// declared are the constants of type Code in the source, by name.
func declared(t *testing.T) map[string]refusal.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]refusal.Code{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Code" {
			for i, name := range spec.Names {
				value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[name.Name] = refusal.Code(value)
			}
		}
		return true
	})
	return codes
}

// Every constant stands in the table exactly once, and nothing else does.
func TestEveryCodeIsInTheTable(t *testing.T) {
	times := map[refusal.Code]int{}
	for _, e := range refusal.Codes {
		times[e.Code]++
	}
	constants := declared(t)
	if len(constants) < 50 {
		t.Fatalf("only %d constants found in the source", len(constants))
	}
	for name, code := range constants {
		if times[code] != 1 {
			t.Errorf("%s (%s) is in the table %d times", name, code, times[code])
		}
	}
	if len(times) != len(constants) {
		t.Errorf("%d codes in the table, %d constants", len(times), len(constants))
	}
}

// Every entry can be shown: a code in lower snake case, a sentence, a next step
// for whatever is a refusal, and a status that fits.
func TestEntries(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, e := range refusal.Codes {
		if !snake.MatchString(string(e.Code)) {
			t.Errorf("%q is not lower snake case", e.Code)
		}
		if !strings.HasSuffix(e.Meaning, ".") || strings.ContainsAny(e.Meaning+e.Hint, "|\n") {
			t.Errorf("%s: meaning %q", e.Code, e.Meaning)
		}
		success := e.Status == http.StatusOK
		if success != (e.Hint == "") || e.Hint != "" && !strings.HasSuffix(e.Hint, ".") {
			t.Errorf("%s: status %d, hint %q", e.Code, e.Status, e.Hint)
		}
		if http.StatusText(e.Status) == "" {
			t.Errorf("%s: status %d", e.Code, e.Status)
		}
		if got := refusal.Lookup(e.Code); got != e {
			t.Errorf("looking up %s gives %+v", e.Code, got)
		}
	}
	if got := refusal.Lookup("of_a_newer_server"); got.Status != 500 || got.Code != "of_a_newer_server" {
		t.Errorf("unknown code: %+v", got)
	}
}

// docs/errors.md is the table; go test ./refusal -update rewrites it.
func TestDocs(t *testing.T) {
	const path = "../docs/errors.md"
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/errors.md is stale; run go test ./refusal -update\n%s", diff)
	}
}

func page() string {
	var s strings.Builder
	s.WriteString(`# Error codes

<!-- Generated from refusal/codes.go by go test ./refusal -update; do not edit. -->

Codes never change their meaning; scripts and programs may rely on them. With ` + "`--json`" + ` an
error is ` + "`{\"error\":{\"code\":\"…\",\"message\":\"…\",\"hint\":\"…\",\"details\":{…}}}`" + `. Status is the HTTP
status that carries the code. A code that is not in this list comes from a newer version: treat it
as a refusal.

| code | meaning | next step | status |
|---|---|---|---|
`)
	for _, e := range refusal.Codes {
		fmt.Fprintf(&s, "| `%s` | %s | %s | %d |\n", e.Code, e.Meaning, e.Hint, e.Status)
	}
	return s.String()
}
