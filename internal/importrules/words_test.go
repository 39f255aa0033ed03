package importrules

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder, seen from this package.
const root = "../.."

// readable are the kinds of file that people read.
var readable = []string{".go", ".md", ".sql", ".txt", ".txtar", ".yaml", ".yml", ".templ", ".html", ".css", ".sh"}

// skipped are folders whose words are not ours.
var skipped = []string{".git", "bin", "dist", "node_modules"}

// foreignSpelling is what the project writes in the spelling of the United
// States. The words are put together so that this file passes its own test.
var foreignSpelling = words(
	"licen+ce", "catalog+ue", "behavi+our", "col+our", "authori+s(e|i|a)", "neighb+our",
	"seriali+s(e|i|a)", "initiali+s(e|i|a)", "recogni+s(e|i|a)", "organi+s(e|i|a)", "cancel+led",
)

// otherNames are names and marks that belong to others and appear nowhere in the
// project, as FNV-1a hashes in lower case, so that they do not appear here
// either. A word is refused when it begins with one of them.
var otherNames = map[uint64]bool{
	0x70907a541aac967d: true, 0xa648fdf65583cd38: true, 0x8e89e265ff09e798: true,
	0x52d4f6308ade8bff: true, 0x260bf8b98830afd2: true, 0x48835bafebb98e6e: true,
	0xcdb68cded972d5f6: true, 0xaf99095146141bf0: true, 0x639d68f7fb3737b2: true,
	0xf3426024557a591a: true, 0x2b6c202150e4818e: true, 0x5a63fddd2b5133f2: true,
	0xc8092deb59583d0a: true, // for the test of this test: "zq" and "example"
}

// allowed are lines that must keep such a word, by "file: text of the line":
// quotations of others' identifiers and nothing else.
var allowed = map[string]string{}

func TestWords(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(skipped, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains(readable, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		for _, found := range slices.Concat(check(name+" (its name)", []byte(name)), check(name, text)) {
			t.Error(found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWordsAreSeen(t *testing.T) {
	text := []byte("a license\nthe Licen" + "ces of x\nunauthori" + "sed\nlike (ZQ" + "Examples)\ncolor\n")
	got := check("x.md", text)
	if len(got) != 3 || !strings.HasPrefix(got[0], "x.md:2:") || !strings.HasPrefix(got[1], "x.md:3:") || !strings.HasPrefix(got[2], "x.md:4:") {
		t.Errorf("got %q", got)
	}
}

func check(name string, text []byte) []string {
	var found []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if _, ok := allowed[name+": "+strings.TrimSpace(line)]; ok {
			continue
		}
		if word := foreignSpelling.FindString(line); word != "" {
			found = append(found, fmt.Sprintf("%s:%d: %q: US spelling is used everywhere", name, n, word))
		}
		if word := otherName(line); word != "" {
			found = append(found, fmt.Sprintf("%s:%d: %q: names that belong to others are not used", name, n, word))
		}
	}
	return found
}

// otherName finds the first word of a line that begins with a name in otherNames.
func otherName(line string) string {
	start, h := -1, uint64(0)
	for i := range len(line) {
		c := line[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c < 'a' || c > 'z' {
			start = -1
			continue
		}
		if start < 0 {
			start, h = i, 0xcbf29ce484222325
		}
		h = (h ^ uint64(c)) * 0x100000001b3
		if otherNames[h] {
			return line[start : i+1]
		}
	}
	return ""
}

// words joins the halves of each word into one pattern without regard to case.
func words(halves ...string) *regexp.Regexp {
	whole := make([]string, len(halves))
	for i, h := range halves {
		whole[i] = strings.ReplaceAll(h, "+", "")
	}
	return regexp.MustCompile("(?i)" + strings.Join(whole, "|"))
}
