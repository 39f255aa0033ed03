package agent

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
)

// DoctorRequest asks for the report.
type DoctorRequest struct {
	Reach bool `json:"reach,omitempty"` // also ask whether each vendor's server answers
}

// Report is one report for support. It has no tickets, no keys, no values of
// traits and no files' content.
type Report struct {
	Version     string        `json:"version"`
	Go          string        `json:"go"`
	System      string        `json:"system"`
	Environment string        `json:"environment,omitempty"` // kind of virtual machine or container
	Home        string        `json:"home"`
	HomeMode    string        `json:"home_mode,omitempty"`
	User        int           `json:"user"`
	Agent       string        `json:"agent"` // runs, or none
	Clock       license.Time  `json:"clock"`
	Traits      []TraitReport `json:"traits"`
	Trust       []TrustReport `json:"trust"`
	Containers  []Container   `json:"containers"`
	Problems    []string      `json:"problems"`
}

// TraitReport names a trait of the machine and how much it weighs.
type TraitReport struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Values int    `json:"values"` // how many there are, never which
}

// TrustReport is a vendor trusted and whether its server answers.
type TrustReport struct {
	Trust
	Reach string `json:"reach,omitempty"`
}

// Doctor writes the report. What cannot be found out is told as a problem.
func (a *Agent) Doctor(ctx context.Context, in DoctorRequest) (Report, error) {
	r := Report{
		Version: Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Environment: machine.LocalEnvironment(), Home: a.cfg.Home, User: os.Getuid(), Agent: "none", Clock: a.now(),
		Traits: []TraitReport{}, Trust: []TrustReport{}, Containers: []Container{}, Problems: []string{},
	}
	if a.home.answers(ctx) {
		r.Agent = "runs"
	}
	switch info, err := os.Stat(a.cfg.Home); {
	case missing(err):
		r.Problems = append(r.Problems, "Nothing has been kept in "+a.cfg.Home+" yet.")
	case err != nil:
		r.problem(err)
	default:
		r.HomeMode = info.Mode().String()
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("Others may look into %s; it should have the mode %v.", a.cfg.Home, fs.FileMode(0o700)))
		}
	}
	r.traits(a.traits())
	r.trust(ctx, a, in.Reach)
	list, err := a.List(ctx, Nothing{})
	if err != nil {
		r.problem(err)
	}
	r.Containers = append(r.Containers, list.Containers...)
	for _, c := range r.Containers {
		if c.Reason != "" {
			r.Problems = append(r.Problems, c.Reason)
		}
		for i, l := range c.Licenses {
			if l.Code == refusal.OldCopy {
				r.Problems = append(r.Problems, l.Reason)
			}
			c.Licenses[i].Customer = "" // support knows the license by its id
		}
	}
	return r, nil
}

func (r *Report) problem(err error) { r.Problems = append(r.Problems, storage(err).Error()) }

func (r *Report) traits(traits []machine.Trait) {
	for _, t := range traits {
		if n := len(r.Traits); n > 0 && r.Traits[n-1].Name == t.Name {
			r.Traits[n-1].Values++
			continue
		}
		r.Traits = append(r.Traits, TraitReport{Name: t.Name, Weight: t.Weight, Values: 1})
	}
	if machine.Few(traits) {
		r.Problems = append(r.Problems, "This machine shows nothing that is its own alone: a copy of the folder may open on a similar machine.")
	}
}

func (r *Report) trust(ctx context.Context, a *Agent, reach bool) {
	vendors, damaged, err := a.vendors()
	if err != nil {
		r.problem(err)
	}
	for _, err := range damaged {
		r.problem(err)
	}
	if len(vendors) == 0 && err == nil {
		r.Problems = append(r.Problems, "This machine trusts no vendor yet: licet trust add FILE-or-URL.")
	}
	for _, v := range vendors {
		t := TrustReport{Trust: a.describeTrust(v)}
		if reach {
			t.Reach = a.reach(ctx, v)
		}
		r.Trust = append(r.Trust, t)
	}
}

// reach says whether a vendor's server answers, and as whom.
func (a *Agent) reach(ctx context.Context, v vendor) string {
	base, err := v.base("")
	if err != nil {
		return err.Error()
	}
	known, err := a.central().WellKnown(ctx, base)
	switch {
	case err != nil:
		return err.Error()
	case known.VendorID != v.id() || known.Environment != v.scope().Environment:
		return fmt.Sprintf("%s answers as another vendor: %s, environment %q.", base, known.VendorID, known.Environment)
	}
	return "ok"
}

// count writes a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
