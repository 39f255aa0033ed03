package main

import (
	"context"
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
		found, err := s.benchmark(ctx, "sdk", "^Benchmark(Valid|Feature|Open|Program)$",
			"BenchmarkValid ns/op", "BenchmarkValid allocs/op", "BenchmarkFeature ns/op", "BenchmarkProgram µs/check", "BenchmarkOpen ns/op")
		if err != nil {
			return err
		}
		t := &s.table
		t.row(part, "Valid, warm", "ns", 60).add(found[0])
		t.row(part, "Valid, warm", "allocations", 0).add(found[1])
		t.row(part, "Feature, warm", "ns", 0).add(found[2])
		t.row(part, "a program's first check, no agent", "ms", 2).add(found[3] / 1000)
		t.row(part, "Open, no agent", "ms", 2).add(found[4] / 1e6)
		if found, err = s.benchmark(ctx, "seal", "^BenchmarkLicense$",
			"BenchmarkLicense license-median-ns", "BenchmarkLicense raw-median-ns"); err != nil {
			return err
		}
		t.row(part, "verify a license, key known, beside one bare verification", "ns", 1.45).add(found[0], found[1])
	}
	return nil
}

// benchmark runs benchmarks of a package, built before, in its folder, and gives
// the figures wanted, each named by benchmark and unit.
func (s *stage) benchmark(ctx context.Context, name, pattern string, wanted ...string) ([]float64, error) {
	c := exec.CommandContext(ctx, filepath.Join(s.dir, name+".test"), "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "500ms", "-test.benchmem")
	c.Dir = name
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		bench, _, _ := strings.Cut(f[0], "-")
		for i := 2; i+1 < len(f); i += 2 {
			if all[bench+" "+f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, err
			}
		}
	}
	values := make([]float64, len(wanted))
	for i, w := range wanted {
		v, ok := all[w]
		if !ok {
			return nil, fmt.Errorf("package %s has no figure %q: %s", name, w, out)
		}
		values[i] = v
	}
	return values, nil
}
