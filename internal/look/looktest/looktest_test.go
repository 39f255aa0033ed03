package looktest

import (
	"slices"
	"testing"
)

// TestCheckSees plants one fault of each kind.
func TestCheckSees(t *testing.T) {
	source := `package p
func page() {
	templruntime.WriteString(b, 1, "<p class=\"lead\" title=\"Read me\">Hello ")
	templruntime.WriteString(b, 2, "<b style=\"color:red\"></b></p>")
	_ = look.T(ctx, "a.missing")
	_ = look.T(ctx, "a.known")
	_ = N(ctx, "b.missing", 1)
}`
	has := func(key string) bool { return key == "a.known" }
	want := []string{
		`p_templ.go:5:6: no text for "a.missing"`,
		`p_templ.go:7:6: no text for "b.missing"`,
		`p_templ.go: page: prose in an attribute: "Read me"`,
		`p_templ.go: page: inline style or script: " style=\""`,
		`p_templ.go: page: prose: "Hello"`,
	}
	if got := check("p_templ.go", []byte(source), has); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := check("p_templ.go", []byte("package p\nfunc page() { templruntime.WriteString(b, 1, \"<p>\") }"), has); len(got) > 0 {
		t.Errorf("refused: %q", got)
	}
}
