package importrules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestProofsExist holds docs/proofs.md to the tests it names: "package: TestName"
// in backticks, or the path of a script.
func TestProofsExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "proofs.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	for _, m := range regexp.MustCompile("`(\\w+): (\\w+)`").FindAllStringSubmatch(string(page), -1) {
		if m[1] == "package" {
			continue // the explanation of the form
		}
		if name := m[1] + ": " + m[2]; !tests[name] {
			t.Errorf("docs/proofs.md names `%s`, and there is no such test", name)
		}
	}
	for _, m := range regexp.MustCompile("`([\\w./-]+/[\\w./-]+\\.txta?r?)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("docs/proofs.md names a script: %v", err)
		}
	}
}

// testNames finds every test, fuzz test and benchmark by its package's folder.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			names[filepath.Base(filepath.Dir(path))+": "+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
