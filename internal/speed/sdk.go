package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// sdk runs the benchmarks of the packages that a customer's program carries,
// round after round.
func (s *stage) sdk(ctx context.Context) error {
	const part = "In a customer's program"
	for _, p := range []string{"sdk", "seal"} {
		out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", filepath.Join(s.dir, p+".test"), "./"+p).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	for range s.rounds {
		s.hush()
		found, err := s.benchmark(ctx, "sdk", "^(BenchmarkValid|BenchmarkValidParallel|BenchmarkFeature|BenchmarkOpen|BenchmarkProgram)$")
		if err != nil {
			return err
		}
		if found.of("BenchmarkProgram µs/check"); found.missing != "" {
			return fmt.Errorf("no benchmark gives %s", found.missing)
		}
		t := &s.table
		t.row(part, "Valid, warm", "ns", 60).add(found.of("BenchmarkValid ns/op"))
		t.row(part, "Valid, warm: allocations", "", 0).add(found.of("BenchmarkValid allocs/op"))
		t.row(part, "Feature, warm", "ns", 0).add(found.of("BenchmarkFeature ns/op"))
		t.row(part, "a program's first check, no agent", "ms", 2).add(found.of("BenchmarkProgram µs/check") / 1000)
		t.row(part, "Open, no agent", "ms", 2).add(found.of("BenchmarkOpen ns/op") / 1e6)
		if found, err = s.benchmark(ctx, "seal", "^BenchmarkLicense$"); err != nil {
			return err
		}
		t.row(part, "verify a license, key known, beside one bare verification", "ns", 1.45).
			add(found.of("BenchmarkLicense license-median-ns"), found.of("BenchmarkLicense raw-median-ns"))
		if missing := found.missing; missing != "" {
			return fmt.Errorf("no benchmark gives %s", missing)
		}
	}
	return nil
}

// figures is what benchmarks reported, by "name unit".
type figures struct {
	all     map[string]float64
	missing string // what was asked for and not reported
}

func (f *figures) of(name string) float64 {
	value, ok := f.all[name]
	if !ok {
		f.missing = name
	}
	return value
}

// benchmark runs benchmarks of a package, built before, in its folder.
func (s *stage) benchmark(ctx context.Context, name, pattern string) (*figures, error) {
	c := exec.CommandContext(ctx, filepath.Join(s.dir, name+".test"), "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "500ms", "-test.benchmem")
	c.Dir = name
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	found := &figures{all: map[string]float64{}}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		bench, _, _ := strings.Cut(f[0], "-")
		for i := 2; i+1 < len(f); i += 2 {
			if found.all[bench+" "+f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, err
			}
		}
	}
	if len(found.all) == 0 {
		return nil, errors.New("no benchmark ran")
	}
	return found, nil
}
