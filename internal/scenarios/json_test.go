package scenarios

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// decode reads one JSON document, and refuses what is not exactly one.
func decode(text string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("not JSON (%w): %s", err, text)
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one JSON document: %s", text)
	}
	return doc, nil
}

// lookUp finds the values at a path, as texts; it is an error if there is none.
func lookUp(doc any, path string) ([]string, error) {
	found := []any{doc}
	for part := range strings.SplitSeq(path, ".") {
		var next []any
		for _, v := range found {
			next = append(next, step(v, part)...)
		}
		found = next
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is nothing at %s", path)
	}
	texts := make([]string, len(found))
	for i, v := range found {
		texts[i] = text(v)
	}
	return texts, nil
}

// step goes one part of a path down.
func step(v any, part string) []any {
	switch v := v.(type) {
	case map[string]any:
		if part == "*" {
			var all []any
			names := make([]string, 0, len(v))
			for name := range v {
				names = append(names, name)
			}
			sort.Strings(names)
			for _, name := range names {
				all = append(all, v[name])
			}
			return all
		}
		if one, ok := v[part]; ok {
			return []any{one}
		}
	case []any:
		switch {
		case part == "len":
			return []any{len(v)}
		case part == "*":
			return v
		}
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v) {
			return []any{v[i]}
		}
	}
	return nil
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(b)
}

func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Check(errUsage)
	}
	doc, err := decode(ts.ReadFile(args[0]))
	ts.Check(err)
	got, err := lookUp(doc, args[1])
	if err != nil && !neg {
		ts.Check(err)
	}
	if slices.Contains(got, args[2]) == neg {
		ts.Fatalf("%s is %q", args[1], got)
	}
}

func setCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Check(errUsage)
	}
	doc, err := decode(ts.ReadFile(args[1]))
	ts.Check(err)
	got, err := lookUp(doc, args[2])
	ts.Check(err)
	ts.Setenv(args[0], got[0])
}

func TestLookUp(t *testing.T) {
	doc, err := decode(`{"a":[{"b":1,"c":null},{"b":"two"}],"d":[]}`)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a.0.b": "[1]", "a.*.b": "[1 two]", "a.len": "[2]", "d.len": "[0]", "a.0.c": "[null]", "d": "[[]]",
		"a.2.b": "[]", "x": "[]", "a.b": "[]",
	} {
		if got, _ := lookUp(doc, path); fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	for _, bad := range []string{"", "{", "{} {}", "text"} {
		if _, err := decode(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
