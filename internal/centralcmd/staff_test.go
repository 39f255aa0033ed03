package centralcmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestDecisionsAboutWhatIsWithTheVendor needs no machine: it takes effect at
// once. The scripts in internal/scenarios have the machines.
func TestDecisionsAboutWhatIsWithTheVendor(t *testing.T) {
	s := newSite(t)
	s.serve("--log-level", "error")
	s.ok(new(wire.CatalogResult), "apply", "-f", "-")
	var o wire.Order
	s.ok(&o, "order", "create", "--customer", "Ada Miller", "--number", "2026/1", "--item", "CAD-PRO=4")
	id := func(i int) string { return string(o.Licenses[i].ID) }

	var out wire.Ordered
	if s.ok(&out, "license", "withdraw", id(0), "--reason", "refund", "--dry-run"); !out.DryRun || len(out.Done) != 1 || out.Done[0].When != wire.Now {
		t.Errorf("%+v", out)
	}
	var l wire.License
	if s.ok(&l, "license", "show", id(0)); l.State != license.NotCollected || l.Withdrawn {
		t.Errorf("a dry run changed something: %+v", l)
	}
	if r := s.run("license", "withdraw", id(0), "--reason", "refund"); r.status != 0 || !strings.Contains(r.out, "is gone") || strings.Contains(r.out, "Next:") {
		t.Errorf("%+v", r)
	}
	s.fails(refusal.LicenseWithdrawn, "license", "withdraw", id(0), "--reason", "refund")
	s.fails(refusal.LicenseUnknown, "license", "withdraw", "lic_none", "--reason", "refund")
	if r := s.run("license", "replace", id(1), "--with", "CAD-PRO,features=render+export", "--reason", "upgrade"); r.status != 0 || !strings.Contains(r.out, "was replaced by CAD-PRO (lic_") {
		t.Errorf("%+v", r)
	}
	s.fails(refusal.ProductUnknown, "license", "replace", id(2), "--with", "NONE", "--reason", "r")
	s.fails(refusal.InvalidInput, "license", "replace", id(2), "--with", "CAD-PRO=2", "--reason", "r")
	s.fails(refusal.InvalidInput, "license", "replace", id(2), "--with", "CAD-PRO,seets=2", "--reason", "r")
	s.fails(refusal.ContainerUnknown, "license", "assign", id(2), "--container", "NONE", "--reason", "r")
	s.fails(refusal.Conflict, "license", "cancel", id(2), "--reason", "r")
	s.fails(refusal.Conflict, "license", "lost", id(2), "--reason", "r")
	s.fails(refusal.NotFound, "order", "cancel", "none", "--reason", "r")
	if s.ok(&out, "order", "cancel", "2026/1", "--reason", "refund"); len(out.Done) != 3 {
		t.Errorf("%+v", out) // two, and the one that came in place of another
	}
	s.fails(refusal.Conflict, "order", "cancel", "2026/1", "--reason", "refund")
	var events wire.List[wire.Event]
	s.ok(&events, "order", "history", "2026/1")
	if last := events.Items[len(events.Items)-1]; last.Event != "order_canceled" || last.Reason != "refund" {
		t.Errorf("%+v", last)
	}
}

// TestReasonsAreRequired: each of these wants to know why, and says so as wrong
// usage before it asks anybody.
func TestReasonsAreRequired(t *testing.T) {
	s := newSite(t)
	for _, args := range [][]string{
		{"license", "withdraw", "x"}, {"license", "replace", "x", "--with", "CAD-PRO"}, {"license", "assign", "x", "--container", "y"},
		{"license", "cancel", "x"}, {"license", "lost", "x"}, {"order", "cancel", "x"},
		{"container", "block", "x"}, {"container", "unblock", "x"}, {"recovery", "refuse", "1"}, {"recovery", "enable", "x"},
	} {
		for _, more := range [][]string{nil, {"--reason", ""}, {"--reason", "  "}} {
			if r := s.run(append(args, more...)...); r.status != 2 || !strings.Contains(r.stderr, "--reason") {
				t.Errorf("%v %q: %+v", args, more, r)
			}
		}
	}
	if r := s.run("recovery", "ask", "1", "--question", " "); r.status != 2 || !strings.Contains(r.stderr, "--question") {
		t.Errorf("%+v", r)
	}
}

func TestSettingsAndEmptyLists(t *testing.T) {
	s := newSite(t)
	s.serve("--log-level", "error")
	s.ok(new(wire.CatalogResult), "apply", "-f", "-")
	var now wire.Settings
	if s.ok(&now, "settings", "set", "--auto-update", "6h"); now.AutoUpdate.String() != "6h" {
		t.Errorf("%+v", now)
	}
	now = wire.Settings{}
	if s.ok(&now, "settings", "show"); now.AutoUpdate.String() != "6h" {
		t.Errorf("%+v", now)
	}
	s.fails(refusal.InvalidInput, "settings", "set", "--auto-update", "never")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"Nothing is pending.", []string{"pending"}},
		{"No report waits.", []string{"recovery", "list"}},
		{"No loss was ever reported.", []string{"recovery", "list", "--all"}},
		{"Nobody had more than 3", []string{"recovery", "excess"}},
		{"No loss of CAD-PRO was reported", []string{"recovery", "simulate", "--product", "CAD-PRO", "-f", policyFile(t)}},
		{"Nothing is blocked.", []string{"blocklist", "list"}},
		{"Nothing was ever blocked.", []string{"blocklist", "export", "-o", filepath.Join(t.TempDir(), "x")}},
	} {
		if r := s.run(c.args...); r.status != 0 || !strings.Contains(r.out, c.want) {
			t.Errorf("%v: %+v", c.args, r)
		}
		if r := s.run(append(c.args, "--json")...); r.status != 0 || !strings.HasPrefix(r.out, "{") {
			t.Errorf("%v --json: %+v", c.args, r)
		}
	}
	s.fails(refusal.NotFound, "recovery", "show", "1")
	s.fails(refusal.InvalidInput, "recovery", "show", "0")
	s.fails(refusal.LicenseUnknown, "recovery", "enable", "lic_none", "--reason", "r")
	s.fails(refusal.NotFound, "recovery", "explain", "lic_none")
	s.fails(refusal.ContainerUnknown, "container", "push", "NONE", "-o", filepath.Join(t.TempDir(), "x"))
}

func policyFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("license: {mode: automatic, automatic: 1, per: 365d}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
