// Package looktest checks what packages of pages have in common: texts in every
// language, and templates that hold no text of their own.
package looktest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// Texts checks that the language files of a folder have the same keys, that
// each text names the same things, and that none is empty.
func Texts(t *testing.T, folder fs.FS) {
	t.Helper()
	names, err := fs.Glob(folder, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, "en.json") || len(names) < 2 {
		t.Fatalf("languages: %q", names)
	}
	source := texts(t, folder, "en.json")
	for _, name := range names {
		other := texts(t, folder, name)
		for key := range source {
			if _, ok := other[key]; !ok {
				t.Errorf("%s: %q is missing", name, key)
			}
		}
		for key, named := range other {
			want, ok := source[key]
			switch {
			case !ok:
				t.Errorf("%s: %q is not in en.json", name, key)
			case named != want:
				t.Errorf("%s: %q names %q, en.json names %q", name, key, named, want)
			}
		}
	}
}

var placeholder = regexp.MustCompile(`\{\{\.(\w+)\}\}`)

// texts is, for each key of a file, what its text names.
func texts(t *testing.T, folder fs.FS, name string) map[string]string {
	t.Helper()
	content, err := fs.ReadFile(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	all := map[string]string{}
	for key, value := range file {
		text, ok := value.(string)
		if forms, plural := value.(map[string]any); plural {
			text, ok = forms["other"].(string)
			if one, _ := forms["one"].(string); one == "" {
				t.Errorf("%s: %q has no form for one", name, key)
			}
		}
		if !ok || strings.TrimSpace(text) == "" {
			t.Errorf("%s: %q is empty", name, key)
		}
		var named []string
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			named = append(named, m[1])
		}
		slices.Sort(named)
		all[key] = strings.Join(slices.Compact(named), " ")
	}
	return all
}

// Templates checks the generated code of a folder: no prose in its markup, none
// in attributes that are read out, no inline style or script; and every key
// that is a constant has a text.
func Templates(t *testing.T, folder string, has func(key string) bool) {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range check(name, source, has) {
			t.Error(found)
		}
	}
}

// check finds what is wrong with one file.
func check(name string, source []byte, has func(key string) bool) []string {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, source, 0)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, declaration := range parsed.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		var markup strings.Builder
		ast.Inspect(f.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if text, at := constant(call, "WriteString", 2); at {
				markup.WriteString(text)
			}
			for _, function := range []string{"T", "N"} {
				if key, at := constant(call, function, 1); at && strings.Contains(key, ".") && !strings.HasSuffix(key, ".") && !has(key) {
					found = append(found, files.Position(call.Pos()).String()+": no text for "+strconv.Quote(key))
				}
			}
			return true
		})
		if strings.HasSuffix(name, "_templ.go") {
			for _, what := range prose(markup.String()) {
				found = append(found, filepath.Base(name)+": "+f.Name.Name+": "+what)
			}
		}
	}
	return found
}

// constant is the string that a call of name has as its argument n.
func constant(call *ast.CallExpr, name string, n int) (string, bool) {
	called := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		called = f.Name
	case *ast.SelectorExpr:
		called = f.Sel.Name
	}
	if called != name || len(call.Args) <= n {
		return "", false
	}
	literal, ok := call.Args[n].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false // put together: a test of the package lists those
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

var (
	tag    = regexp.MustCompile(`<[^>]*>`)
	spoken = regexp.MustCompile(`(?:aria-label|aria-description|title|placeholder|alt)="([^"]*\pL[^"]*)"`)
	inline = regexp.MustCompile(`\s(?:style|on\w+)="|<style|<script>`)
)

// prose finds words in markup that a reader would see or hear, and what the
// content security policy forbids.
func prose(markup string) []string {
	var found []string
	for _, m := range spoken.FindAllStringSubmatch(markup, -1) {
		found = append(found, "prose in an attribute: "+strconv.Quote(m[1]))
	}
	if m := inline.FindString(markup); m != "" {
		found = append(found, "inline style or script: "+strconv.Quote(m))
	}
	markup = strings.ReplaceAll(markup, "<!doctype html>", "")
	for _, text := range tag.Split(markup, -1) {
		if strings.ContainsFunc(text, unicode.IsLetter) {
			found = append(found, "prose: "+strconv.Quote(strings.TrimSpace(text)))
		}
	}
	return found
}

var (
	class = regexp.MustCompile(`class=(?:"([^"]*)"|\{([^}]*)\})`)
	word  = regexp.MustCompile(`"([^"]*)"`)
)

// Classes checks that every class that the templates of a folder name is in the
// compiled stylesheet: "make look" compiles it again.
func Classes(t *testing.T, folder string, stylesheet string) {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(folder, "*.templ"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no templates in %s: %v", folder, err)
	}
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range class.FindAllStringSubmatch(string(source), -1) {
			names := strings.Fields(m[1])
			for _, w := range word.FindAllStringSubmatch(m[2], -1) {
				if !strings.HasSuffix(w[1], "-") { // that is put together
					names = append(names, strings.Fields(w[1])...)
				}
			}
			for _, c := range names {
				selector := "." + strings.NewReplacer(":", `\:`, "/", `\/`, ".", `\.`).Replace(c)
				if !strings.Contains(stylesheet, selector) {
					t.Errorf("%s: the stylesheet has no class %q: run \"make look\", or take the class away", filepath.Base(name), c)
				}
			}
		}
	}
}
