package vendorapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/internal/pgtest"
	"licet/wire"
)

// description is what is read of the interface's description.
type description struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	Parameters  []parameter
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type parameter struct {
	Name, In string
	Required bool
	Schema   schema
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Enum       []any
	Properties map[string]schema
	Required   []string
	Items      *schema
	Additional any `json:"additionalProperties"`
}

func described(t *testing.T) description {
	t.Helper()
	return readDescription(t, filepath.Join("..", "..", "docs", "openapi.json"))
}

// resolve follows a reference.
func (d description) resolve(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

// kinds are the JSON types that a schema names.
func (s schema) kinds() (names []string) {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		for _, one := range t {
			names = append(names, fmt.Sprint(one))
		}
	}
	return names
}

// values are texts that mean something here and there.
var values = []string{"", "0", "-1", "CAD-PRO", "CAD-PRO=1,seats=2", "1/2", "LICENSE", "TICKET", "7d", "2027-06-30", "ä'\"<script>", "\x00", "%2e%2e", strings.Repeat("x", 300), "none", "read", "admin", "products: []", "9999999999999999999"}

// draw makes a value of a schema, or now and then one that is none.
func (d description) draw(t *rapid.T, s schema, deep int) any {
	s = d.resolve(s)
	if rapid.IntRange(0, 19).Draw(t, "wrong") == 0 || deep > 5 {
		return rapid.SampledFrom([]any{nil, true, -1, 1e300, "", []any{}, map[string]any{}, []any{nil}}).Draw(t, "value")
	}
	if len(s.Enum) > 0 {
		return rapid.SampledFrom(s.Enum).Draw(t, "one of")
	}
	kinds := s.kinds()
	if len(kinds) == 0 {
		return rapid.SampledFrom([]any{"x", 1, nil}).Draw(t, "any")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "string":
		return rapid.OneOf(rapid.SampledFrom(values), rapid.String()).Draw(t, "text")
	case "integer":
		return rapid.OneOf(rapid.Int64Range(-2, 5), rapid.Int64()).Draw(t, "number")
	case "number":
		return rapid.Float64Range(-2, 1e6).Draw(t, "number")
	case "boolean":
		return rapid.Bool().Draw(t, "bool")
	case "array":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, d.draw(t, *s.Items, deep+1))
		}
		return list
	case "object":
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			often := 1 // of 4
			if slices.Contains(s.Required, name) {
				often = 4
			}
			if rapid.IntRange(1, 4).Draw(t, "there") <= often {
				object[name] = d.draw(t, s.Properties[name], deep+1)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "more") == 0 {
			object[rapid.SampledFrom([]string{"more", "__proto__", ""}).Draw(t, "name")] = 1
		}
		return object
	}
	return nil
}

// fits says where an answer is not what its schema says, "" if it is.
func (d description) fits(s schema, value any, where string) string {
	s = d.resolve(s)
	kinds := s.kinds()
	is := func(kind string) bool { return len(kinds) == 0 || slices.Contains(kinds, kind) }
	switch value := value.(type) {
	case map[string]any:
		if !is("object") {
			return where + " is an object"
		}
		for _, name := range s.Required {
			if _, ok := value[name]; !ok {
				return where + " lacks " + name
			}
		}
		for name, v := range value {
			property, known := s.Properties[name]
			if !known {
				if s.Additional == false {
					return where + " has " + name + ", which nothing describes"
				}
				continue
			}
			if text := d.fits(property, v, where+"."+name); text != "" {
				return text
			}
		}
	case []any:
		if !is("array") {
			return where + " is a list"
		}
		for i, v := range value {
			if s.Items == nil {
				break
			}
			if text := d.fits(*s.Items, v, fmt.Sprintf("%s.%d", where, i)); text != "" {
				return text
			}
		}
	case string:
		if !is("string") {
			return where + " is a text"
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, any(value)) {
			return where + " is " + value + ", which is none of its values"
		}
	case float64:
		if !is("integer") && !is("number") {
			return where + " is a number"
		}
	case bool:
		if !is("boolean") {
			return where + " is true or false"
		}
	case nil:
		if !is("null") {
			return where + " is null"
		}
	}
	return ""
}

// TestSchema sends every operation what its description allows, and now and then
// what it does not, on a server that holds something: no answer is a fault, has a
// status that is not described, or is not what its schema says.
func TestSchema(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { schemaTest(t, newServer(t), 2) })
	t.Run("postgres", func(t *testing.T) { schemaTest(t, newServerOn(t, pgtest.URL(t)), 6) })
}

func schemaTest(t *testing.T, s *server, share int) {
	d := described(t)
	o := s.order()
	meaning := strings.NewReplacer("TICKET", string(o.Ticket), "LICENSE", string(o.Licenses[0].ID))
	var names []string
	for path, operations := range d.Paths {
		for method := range operations {
			names = append(names, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(names)
	if len(names) < 40 {
		t.Fatalf("only %d operations are described", len(names))
	}
	met := map[string]int{}
	first := 0
	rapid.Check(t, func(t *rapid.T) {
		first++
		for i, name := range names {
			if (i+first)%share != 0 {
				continue // in turns: none is forgotten by chance
			}
			method, path, _ := strings.Cut(name, " ")
			op := d.Paths[path][strings.ToLower(method)]
			query := url.Values{}
			var header []string
			for _, p := range op.Parameters {
				if !p.Required && rapid.Bool().Draw(t, "left out") {
					continue
				}
				text := meaning.Replace(fmt.Sprint(d.draw(t, p.Schema, 0)))
				switch p.In {
				case "path":
					path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text))
				case "query":
					query.Set(p.Name, text)
				case "header":
					header = append(header, p.Name, strings.Map(printable, text))
				}
			}
			if slices.ContainsFunc(strings.Split(path[1:], "/"), func(part string) bool { return strings.Trim(part, ".") == "" }) {
				continue // such a part, or none, names another route
			}
			body := ""
			for _, content := range op.RequestBody.Content {
				text, err := json.Marshal(d.draw(t, content.Schema, 0))
				if err != nil {
					t.Fatal(err)
				}
				body = meaning.Replace(string(text))
			}
			status, answer := s.do(s.admin, method, "/api/v1"+path+"?"+query.Encode(), body, header...)
			met[name]++
			response, ok := op.Responses[fmt.Sprint(status)]
			if status >= 500 || !ok {
				t.Fatalf("%s %s?%s %q: %d %s\n%s", method, path, query.Encode(), body, status, answer, s.log.Bytes())
			}
			for kind, content := range response.Content {
				if !strings.HasSuffix(kind, "json") {
					continue
				}
				var value any
				if err := json.Unmarshal(answer, &value); err != nil {
					t.Fatalf("%s: %d %s: %v", name, status, answer, err)
				}
				if text := d.fits(content.Schema, value, "the answer"); text != "" {
					t.Fatalf("%s %s %s: %d: %s: %s", method, path, body, status, text, answer)
				}
				var p wire.Problem
				if status >= 400 && (json.Unmarshal(answer, &p) != nil || p.Code == "" || p.Hint == "") {
					t.Fatalf("%s: an incomplete problem: %s", name, answer)
				}
			}
			s.log.Reset()
		}
	})
	for _, name := range names {
		if met[name] == 0 {
			t.Errorf("%s was never met", name)
		}
	}
}

// printable keeps what may stand in a header.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
