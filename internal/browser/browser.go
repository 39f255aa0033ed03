// Package browser looks at pages as people do: in a real browser, at the width
// of a phone, a tablet and a desk, in light and dark, with the rules of
// accessibility, and on small walks that a test writes in JavaScript.
//
// It needs Node, Chromium and two npm packages; "make deps" brings them. Where
// they are not there, tests are skipped and say so, except where CI is set: what
// nobody looks at must not pass for looked at.
package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Page is a page to look at.
type Page struct {
	Name    string            `json:"name"` // of its screenshots
	URL     string            `json:"url"`
	Status  int               `json:"status"`            // expected; 200 if 0
	Cookies map[string]string `json:"cookies,omitempty"` // such as a session
	Plain   bool              `json:"plain,omitempty"`   // without JavaScript
}

// Walk is a way through pages: a file of JavaScript whose default export is an
// async function. It is handed {page, base, data, shot, see, check}: Playwright's
// page, the address and data below, shot(name) for a screenshot, see(name) for
// the checks that every page gets, check(condition, words) for what must be true,
// and context, the browser's, for permissions.
type Walk struct {
	Name  string `json:"name"`
	File  string `json:"file"`
	Base  string `json:"base"`
	Data  any    `json:"data,omitempty"`
	Width int    `json:"width,omitempty"` // 1440 if 0
	Plain bool   `json:"plain,omitempty"` // without JavaScript
	// Hosts may be asked besides the one of Base. The requests go out as the browser
	// makes them, preflights included; otherwise they are stopped and looked at first.
	Hosts []string `json:"hosts,omitempty"`
	// Noisy says that errors on the console belong to the walk.
	Noisy bool `json:"noisy,omitempty"`
}

// Look is what to look at.
type Look struct {
	Pages []Page `json:"pages"`
	Walks []Walk `json:"walks"`
	// Shots is the folder of the screenshots; the one that LICET_SHOTS names if
	// empty, and none where that is empty too. A file is NAME-WIDTH-THEME.png.
	Shots string `json:"shots"`
	// Widths are 390 and 1440 if empty, and 820 with LICET_TEST_LONG=1; Themes light
	// and dark.
	Widths []int    `json:"widths"`
	Themes []string `json:"themes"`
	// Long tries every rule at the widest too; set by LICET_TEST_LONG=1.
	Long bool `json:"long"`
	// Args are further ones for the browser.
	Args []string `json:"args"`
	// Within ends it; ten minutes if 0.
	Within time.Duration `json:"-"`
}

// finding is one thing that is wrong.
type finding struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// At looks at every page and takes every walk. What is found fails the test: a
// rule of accessibility that is broken, an error on the console, a request to
// another host, a page that scrolls sideways, another status than expected.
func At(t *testing.T, l Look) {
	t.Helper()
	tools := need(t)
	l.complete()
	for _, f := range l.run(t, tools) {
		t.Errorf("%s: %s", f.Where, f.What)
	}
}

func (l *Look) complete() {
	if l.Shots == "" {
		l.Shots = os.Getenv("LICET_SHOTS")
	}
	l.Long = l.Long || os.Getenv("LICET_TEST_LONG") == "1"
	if len(l.Widths) == 0 {
		l.Widths = []int{390, 1440}
		if l.Long {
			l.Widths = []int{390, 820, 1440}
		}
	}
	if len(l.Themes) == 0 {
		l.Themes = []string{"light", "dark"}
	}
	if l.Within == 0 {
		l.Within = 10 * time.Minute
	}
	for n := range l.Pages {
		if l.Pages[n].Status == 0 {
			l.Pages[n].Status = 200
		}
	}
}

// run hands the job to Node and collects what it found.
func (l *Look) run(t *testing.T, tools tools) []finding {
	t.Helper()
	for n := range l.Walks {
		file, err := filepath.Abs(l.Walks[n].File)
		if err != nil {
			t.Fatal(err)
		}
		l.Walks[n].File = file
	}
	if l.Shots != "" {
		folder, err := filepath.Abs(l.Shots)
		if err != nil {
			t.Fatal(err)
		}
		l.Shots = folder
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	job, err := json.Marshal(struct {
		*Look
		Chromium string `json:"chromium"`
		Profile  string `json:"profile"`
		Within   int64  `json:"within"`
	}{l, tools.chromium, t.TempDir(), l.Within.Milliseconds()})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tools.node, filepath.Join(tools.folder, "run.mjs"))
	cmd.Dir = tools.folder
	cmd.Stdin = bytes.NewReader(job)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("browser: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	return findings(t, stdout.Bytes())
}

// findings reads one line for each thing found; the last line says that all was
// looked at.
func findings(t *testing.T, out []byte) []finding {
	t.Helper()
	var found []finding
	whole := false
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "looked at "); ok {
			t.Logf("looked at %s", text)
			whole = true
			continue
		}
		var f finding
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("browser: %q: %v", lines.Text(), err)
		}
		found = append(found, f)
	}
	if !whole {
		t.Fatalf("browser: it ended before everything was looked at:\n%s", out)
	}
	return found
}

// tools are where the programs are.
type tools struct{ node, chromium, folder string }

// need finds the tools or skips the test.
func need(t *testing.T) tools {
	t.Helper()
	found, err := find()
	switch {
	case err == nil:
		return found
	case os.Getenv("CI") != "":
		t.Fatalf("browser: %v; run scripts/deps.sh", err)
	}
	t.Skipf("NOT LOOKED AT in a browser: %v; \"make deps\" brings it", err)
	return tools{}
}

func find() (tools, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return tools{}, errors.New("node is not here")
	}
	chromium := ""
	for _, name := range []string{os.Getenv("LICET_CHROMIUM"), "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); name != "" && err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" {
		return tools{}, errors.New("chromium is not here")
	}
	folder, err := home()
	if err != nil {
		return tools{}, err
	}
	for _, module := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat(filepath.Join(folder, "node_modules", module)); err != nil {
			return tools{}, fmt.Errorf("the npm package %s is not in internal/browser/node_modules", module)
		}
	}
	return tools{node, chromium, folder}, nil
}

// home is this package's folder, seen from a test of any package.
func home() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("where this is: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "internal", "browser"), nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", errors.New("no go.mod above the test's folder")
	}
}
