package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// row is one figure: ours and what it is compared with, once per round.
type row struct {
	Part   string
	Name   string
	Unit   string
	Ours   []float64
	Bare   []float64 `json:",omitempty"` // of the same rounds; empty where there is nothing to compare with
	Target float64   // bound of the ratio, or of ours where there is nothing to compare with; 0 is none
	Least  bool      // the bound is a lower one
}

// table is all figures of a run.
type table struct {
	Rows []*row
}

// row finds or makes a row.
func (t *table) row(part, name, unit string, target float64) *row {
	for _, r := range t.Rows {
		if r.Part == part && r.Name == name && r.Unit == unit {
			return r
		}
	}
	r := &row{Part: part, Name: name, Unit: unit, Target: target}
	t.Rows = append(t.Rows, r)
	return r
}

// add notes one round.
func (r *row) add(ours float64, bare ...float64) *row {
	r.Ours = append(r.Ours, ours)
	r.Bare = append(r.Bare, bare...)
	return r
}

// atLeast makes the target a lower bound.
func (r *row) atLeast() { r.Least = true }

// ratio is the median of the rounds' ratios.
func (r *row) ratio() float64 {
	if len(r.Bare) == 0 {
		return 0
	}
	ratios := make([]float64, len(r.Bare))
	for i := range r.Bare {
		ratios[i] = r.Ours[i] / r.Bare[i]
	}
	return median(ratios)
}

// verdict says whether the target is met.
func (r *row) verdict() string {
	if r.Target == 0 {
		return ""
	}
	value := r.ratio()
	if len(r.Bare) == 0 {
		value = median(r.Ours)
	}
	sign, met := "≤", value <= r.Target
	if r.Least {
		sign, met = "≥", value >= r.Target
	}
	bound := sign + " " + strconv.FormatFloat(r.Target, 'g', -1, 64)
	if met {
		return bound + " met"
	}
	return bound + " **missed**"
}

// print writes the table as Markdown.
func (t *table) print(w io.Writer) {
	part := ""
	for _, r := range t.Rows {
		if r.Part != part {
			part = r.Part
			fmt.Fprintf(w, "\n### %s\n\n| figure | Licet | bare | ratio | target |\n|---|--:|--:|--:|---|\n", part)
		}
		bare, ratio := "", ""
		if len(r.Bare) > 0 {
			bare, ratio = number(median(r.Bare)), fmt.Sprintf("%.2f", r.ratio())
		}
		fmt.Fprintf(w, "| %s, %s | %s | %s | %s | %s |\n", r.Name, r.Unit, number(median(r.Ours)), bare, ratio, r.verdict())
	}
}

// save writes every round as JSON.
func (t *table) save(path string) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// number writes three digits, or all before the point, with thin groups.
func number(f float64) string {
	switch {
	case f >= 1000:
		s := strconv.FormatFloat(f, 'f', 0, 64)
		var b strings.Builder
		for i, c := range s {
			if i > 0 && (len(s)-i)%3 == 0 {
				b.WriteByte(' ')
			}
			b.WriteRune(c)
		}
		return b.String()
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}
