package vendorapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// published is the interface as callers know it. It is replaced at a release, and
// otherwise only with what a caller cannot notice.
const published = "testdata/published.json"

// broken lists what a caller of the old interface would miss or trip over in the
// new one.
func broken(old, new description) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for path, operations := range old.Paths {
		for method, was := range operations {
			name := strings.ToUpper(method) + " " + path
			is, ok := new.Paths[path][method]
			if !ok {
				fault("%s is gone", name)
				continue
			}
			for _, p := range was.Parameters {
				if !slices.ContainsFunc(is.Parameters, func(q parameter) bool { return q.Name == p.Name && q.In == p.In }) {
					fault("%s takes no %s any more", name, p.Name)
				}
			}
			for _, p := range is.Parameters {
				if p.Required && !slices.ContainsFunc(was.Parameters, func(q parameter) bool { return q.Name == p.Name && q.Required }) {
					fault("%s wants %s now", name, p.Name)
				}
			}
			for kind, content := range was.RequestBody.Content {
				sends(fault, old, new, content.Schema, is.RequestBody.Content[kind].Schema, name+" body", 0)
			}
			for status, response := range was.Responses {
				if _, ok := is.Responses[status]; !ok && status < "300" {
					fault("%s answers no %s any more", name, status)
				}
				for kind, content := range response.Content {
					gets(fault, old, new, content.Schema, is.Responses[status].Content[kind].Schema, name+" "+status, 0)
				}
			}
		}
	}
	slices.Sort(faults)
	return slices.Compact(faults)
}

// sends holds what callers send: all of it must still be taken, and nothing more
// be wanted.
func sends(fault func(string, ...any), old, new description, was, is schema, where string, deep int) {
	was, is = old.resolve(was), new.resolve(is)
	if deep > 8 {
		return
	}
	if len(was.kinds()) > 0 && len(is.kinds()) > 0 {
		for _, kind := range was.kinds() {
			if !slices.Contains(is.kinds(), kind) {
				fault("%s may not be %s any more", where, kind)
			}
		}
	}
	for _, value := range was.Enum {
		if len(is.Enum) > 0 && !slices.Contains(is.Enum, value) {
			fault("%s may not be %v any more", where, value)
		}
	}
	for _, name := range is.Required {
		if !slices.Contains(was.Required, name) {
			fault("%s must have %s now", where, name)
		}
	}
	for name, property := range was.Properties {
		now, ok := is.Properties[name]
		if !ok {
			fault("%s takes no %s any more", where, name)
			continue
		}
		sends(fault, old, new, property, now, where+"."+name, deep+1)
	}
	if was.Items != nil && is.Items != nil {
		sends(fault, old, new, *was.Items, *is.Items, where+"[]", deep+1)
	}
}

// gets holds what callers get: all of it must still come, of the same kind.
func gets(fault func(string, ...any), old, new description, was, is schema, where string, deep int) {
	was, is = old.resolve(was), new.resolve(is)
	if deep > 8 {
		return
	}
	for _, kind := range is.kinds() {
		if len(was.kinds()) > 0 && !slices.Contains(was.kinds(), kind) {
			fault("%s may be %s now", where, kind)
		}
	}
	for _, name := range was.Required {
		if !slices.Contains(is.Required, name) {
			fault("%s may lack %s now", where, name)
		}
	}
	for name, property := range was.Properties {
		now, ok := is.Properties[name]
		if !ok {
			fault("%s has no %s any more", where, name)
			continue
		}
		gets(fault, old, new, property, now, where+"."+name, deep+1)
	}
	if was.Items != nil && is.Items != nil {
		gets(fault, old, new, *was.Items, *is.Items, where+"[]", deep+1)
	}
}

func readDescription(t *testing.T, path string) description {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var d description
	must(t, json.Unmarshal(text, &d))
	return d
}

// TestNothingBreaks: who wrote a program against the published interface can keep
// it.
func TestNothingBreaks(t *testing.T) {
	old, new := readDescription(t, published), readDescription(t, filepath.Join("..", "..", "docs", "openapi.json"))
	for _, text := range broken(old, new) {
		t.Errorf("%s. Keep it, or let the next version of the interface do without it", text)
	}
}

// TestBreaksAreFound breaks the interface in each way and expects it to be noticed.
func TestBreaksAreFound(t *testing.T) {
	for want, change := range map[string]func(map[string]any){
		"GET /orders is gone": func(d map[string]any) { delete(d["paths"].(map[string]any), "/orders") },
		"GET /orders takes no cursor any more": func(d map[string]any) {
			delete(at(d, "paths", "/orders", "get"), "parameters")
		},
		"POST /orders body.customer may not be string any more": func(d map[string]any) {
			at(d, "components", "schemas", "OrderRequest", "properties", "customer")["type"] = "integer"
		},
		"POST /orders body takes no number any more": func(d map[string]any) {
			delete(at(d, "components", "schemas", "OrderRequest", "properties"), "number")
		},
		"POST /orders body must have number now": func(d map[string]any) {
			s := at(d, "components", "schemas", "OrderRequest")
			s["required"] = append(s["required"].([]any), "number")
		},
		"GET /orders/{number} 200 has no customer any more": func(d map[string]any) {
			delete(at(d, "components", "schemas", "Order", "properties"), "customer")
		},
		"GET /orders/{number} 200 may lack customer now": func(d map[string]any) {
			s := at(d, "components", "schemas", "Order")
			s["required"] = slices.DeleteFunc(s["required"].([]any), func(v any) bool { return v == "customer" })
		},
	} {
		text, err := os.ReadFile(published)
		must(t, err)
		var value map[string]any
		must(t, json.Unmarshal(text, &value))
		change(value)
		text, err = json.Marshal(value)
		must(t, err)
		var changed description
		must(t, json.Unmarshal(text, &changed))
		if found := broken(readDescription(t, published), changed); !slices.Contains(found, want) {
			t.Errorf("not found: %s; but %v", want, found)
		}
	}
}

func at(value map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		value = value[key].(map[string]any)
	}
	return value
}
