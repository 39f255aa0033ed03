package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
)

// TestEveryStatementPrepares has both engines parse every query text of the
// package, so that a typo or a spelling that only one engine knows shows here.
func TestEveryStatementPrepares(t *testing.T) {
	queries := queryConstants(t)
	if len(queries) < 50 {
		t.Fatalf("found only %d query texts", len(queries))
	}
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		for name, query := range queries {
			if err := db.Prepare(t.Context(), query); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// queryConstants reads the string constants of the package that are queries,
// concatenations included.
func queryConstants(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]ast.Expr{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if i < len(v.Values) {
						texts[name.Name] = v.Values[i]
					}
				}
			}
		}
	}
	parts := map[string]bool{} // constants that are only the beginning of queries
	var value func(ast.Expr) string
	value = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, _ := strconv.Unquote(e.Value)
			return s
		case *ast.BinaryExpr:
			return value(e.X) + value(e.Y)
		case *ast.Ident:
			parts[e.Name] = true
			return value(texts[e.Name])
		}
		return ""
	}
	queries := map[string]string{}
	for name, e := range texts {
		text := value(e)
		verb, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), " ")
		switch verb {
		case "select", "insert", "update", "delete":
			queries[name] = text
		}
	}
	for name := range parts {
		delete(queries, name)
	}
	return queries
}
