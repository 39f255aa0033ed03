package licetcmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/blocklist"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/license"
	"licet/refusal"
)

// TestBlockListFile: a person imports the vendor's block list, and sees what it
// stops.
func TestBlockListFile(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now) })
	ticket := v.Sell(product())
	u := newUser(t, now)
	u.run(0, v.Trust, "trust", "add", "-")
	u.run(0, nil, "activate", string(ticket))
	says := func(words string, status int, args ...string) {
		t.Helper()
		if out, _ := u.run(status, nil, args...); !strings.Contains(out, words) {
			t.Fatalf("%q is not in\n%s", words, out)
		}
	}
	path := filepath.Join(t.TempDir(), "a.licet-blocklist")
	write := func() {
		t.Helper()
		if err := os.WriteFile(path, v.BlockListFile(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v.Block(blocklist.License(v.Licenses(ticket)[0], 1), blocklist.License("lic_x", 1))
	write()
	says("The block list 1 of Example Software counts here now: 2 blocks.", 0, "import", path)
	says("block list 1 is known here already", 0, "import", path)
	says("blocked this copy of the license", 1, "check", "CAD-PRO")
	says("license withdrawn", 0, "list")

	out, _ := u.run(0, nil, "list", "--json")
	var list agent.Inventory
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Containers[0].Licenses[0].Code != refusal.LicenseWithdrawn {
		t.Fatalf("%v\n%s", err, out)
	}
	v.Block(blocklist.Container(list.Containers[0].Serial))
	write()
	says("counts here now", 0, "import", path)
	says("has blocked container", 1, "check", "CAD-PRO")
	says("container blocked", 0, "list")
	says("has blocked container", 0, "list")
	out, _ = u.run(0, nil, "import", path, "--json")
	if !strings.Contains(out, `"already_applied"`) || !strings.Contains(out, `"applied": []`) {
		t.Fatal(out)
	}
	stranger := newUser(t, now)
	stranger.failure(refusal.VendorUntrusted, "import", path)
}
