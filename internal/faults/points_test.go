//go:build linux && amd64

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var pointsFile = filepath.Join("testdata", "points.txt")

const pointsHead = "# The points of each operation, in order. Written by: go test ./internal/faults -update\n"

// seen are the points of the clean runs, by operation.
var seen = struct {
	sync.Mutex
	of map[string][]point
}{of: map[string][]point{}}

// found notes the points of an operation and holds them against the list: none of
// a kind may be lost.
func found(t *testing.T, operation string, points []point) {
	t.Helper()
	if len(points) == 0 {
		t.Fatalf("%s has no points: the tracer sees nothing", operation)
	}
	seen.Lock()
	seen.of[operation] = points
	seen.Unlock()
	var text strings.Builder
	for kind, n := range ordered(points) {
		fmt.Fprintf(&text, "\n  %3d %s", n, kind)
	}
	t.Logf("%s: %d points%s", operation, len(points), &text)
	if *update {
		return
	}
	listed, err := readPoints()
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if len(listed[operation]) == 0 {
		t.Errorf("%s is not in %s; write it with -update", operation, pointsFile)
	}
	is := count(points)
	for kind, n := range count(listed[operation]) {
		if kind.class == "wal" && n > 4 {
			n -= n / 4 // how many pages change depends on the ids that were drawn
		}
		if is[kind] < n {
			t.Errorf("%s: %q happens %d times, %d are listed: are these points gone, or does the test not see them any more? After a change on purpose, -update", operation, kind, is[kind], n)
		}
	}
}

func count(points []point) map[point]int {
	n := map[point]int{}
	for _, p := range points {
		n[p]++
	}
	return n
}

// ordered gives the kinds in the order in which they come first.
func ordered(points []point) func(func(point, int) bool) {
	n := count(points)
	return func(yield func(point, int) bool) {
		told := map[point]bool{}
		for _, p := range points {
			if told[p] {
				continue
			}
			told[p] = true
			if !yield(p, n[p]) {
				return
			}
		}
	}
}

func readPoints() (map[string][]point, error) {
	data, err := os.ReadFile(pointsFile)
	if err != nil {
		return nil, err
	}
	all := map[string][]point{}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(strings.TrimSpace(line), "\t")
		if len(parts) != 4 {
			return nil, fmt.Errorf("%s: %q is no point", pointsFile, line)
		}
		all[parts[0]] = append(all[parts[0]], point{parts[2], parts[3]})
	}
	return all, nil
}

// held writes the list anew if that is wished; operations that did not run stay.
func held() error {
	if !*update {
		return nil
	}
	all, err := readPoints()
	if err != nil {
		all = map[string][]point{}
	}
	for operation, points := range seen.of {
		all[operation] = points
	}
	operations := make([]string, 0, len(all))
	for operation := range all {
		operations = append(operations, operation)
	}
	slices.Sort(operations)
	text := pointsHead
	for _, operation := range operations {
		for i, p := range all[operation] {
			text += fmt.Sprintf("%s\t%d\t%s\t%s\n", operation, i+1, p.call, p.class)
		}
	}
	return os.WriteFile(pointsFile, []byte(text), 0o644)
}

// chosen are the ordinals to break: all of them in the long run, otherwise of a row
// of equal points the first, the middle and the last.
func chosen(points []point) (at []int) {
	for first := 0; first < len(points); {
		last := first
		for last+1 < len(points) && points[last+1] == points[first] {
			last++
		}
		for i := first; i <= last; i++ {
			if long || i == first || i == last || i == (first+last)/2 {
				at = append(at, i+1)
			}
		}
		first = last + 1
	}
	return at
}
