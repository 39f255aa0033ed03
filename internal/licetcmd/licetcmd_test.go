package licetcmd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent/vendortest"
	"licet/internal/cli"
	"licet/internal/licetcmd"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
)

// user types commands on one machine.
type user struct {
	t    *testing.T
	home string
	env  licetcmd.Env
}

func newUser(t *testing.T, now time.Time) *user {
	home := filepath.Join(t.TempDir(), "home")
	return &user{t: t, home: home, env: licetcmd.Env{
		Now: func() time.Time { return now },
		Traits: func() []machine.Trait {
			return []machine.Trait{
				{Name: machine.MachineID, Value: home, Weight: 4},
				{Name: machine.DiskID, Value: home, Weight: 3},
				{Name: machine.HostName, Value: "desk", Weight: 1},
			}
		},
	}}
}

// run types a command and wants an exit status.
func (u *user) run(status int, in []byte, args ...string) (out, errOut string) {
	u.t.Helper()
	var stdout, stderr bytes.Buffer
	env := u.env
	env.Streams = cli.Streams{In: bytes.NewReader(in), Out: &stdout, Err: &stderr, Getenv: func(name string) string {
		if name == "LICET_HOME" {
			return u.home
		}
		return ""
	}}
	if got := licetcmd.Main(u.t.Context(), env, args); got != status {
		u.t.Fatalf("licet %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, status, stdout.String(), stderr.String())
	}
	return stdout.String(), stderr.String()
}

// failure runs a command with --json and wants a code on standard error.
func (u *user) failure(code refusal.Code, args ...string) cli.Error {
	u.t.Helper()
	_, errOut := u.run(cli.StatusRefused, nil, append(args, "--json")...)
	var e struct{ Error cli.Error }
	if err := json.Unmarshal([]byte(errOut), &e); err != nil || e.Error.Code != code {
		u.t.Fatalf("licet %s: %s, want %s", strings.Join(args, " "), errOut, code)
	}
	return e.Error
}

func product() container.Body {
	return container.Body{Product: "CAD-PRO", Name: "CAD Professional", Features: []string{"render"}, Repair: true, Terms: license.Terms{Seats: 1, ExpiresIn: 365 * license.Day}}
}

func TestCommands(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now) })
	ticket := v.Sell(product())
	id := string(v.Licenses(ticket)[0])
	u := newUser(t, now)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("vendor.trust"), v.Trust, 0o600); err != nil {
		t.Fatal(err)
	}

	// Wrong usage is 2, refusals are 1.
	u.run(cli.StatusUsage, nil, "activate")
	u.run(cli.StatusUsage, nil, "request", "--ticket", string(ticket))
	u.run(cli.StatusUsage, nil, "deactivate")
	u.run(cli.StatusUsage, nil, "deactivate", id, "--all")
	u.run(cli.StatusUsage, nil, "nothing")
	u.failure(refusal.VendorUntrusted, "activate", string(ticket))
	u.failure(refusal.TicketUnknown, "activate", "ABCDE-ABCDE-ABCDE-ABCDE-ABCDE")
	u.run(cli.StatusRefused, nil, "check", "CAD-PRO")
	if out, _ := u.run(0, nil, "list"); !strings.Contains(out, "no licenses") {
		t.Fatal(out)
	}

	out, _ := u.run(0, nil, "trust", "add", path("vendor.trust"))
	if !strings.Contains(out, v.ID()) {
		t.Fatal(out)
	}
	u.run(0, v.Trust, "trust", "add", "-")

	// Online.
	out, _ = u.run(0, nil, "activate", string(ticket))
	for _, word := range []string{"Activated", "CAD-PRO", id, "delivered"} {
		if !strings.Contains(out, word) {
			t.Fatalf("%q is not in\n%s", word, out)
		}
	}
	u.run(0, nil, "activate", string(ticket))
	out, _ = u.run(0, nil, "check", "CAD-PRO", "--json")
	var verdict map[string]any
	if err := json.Unmarshal([]byte(out), &verdict); err != nil || verdict["valid"] != true || verdict["code"] != "valid" ||
		verdict["license"] != id || !strings.HasPrefix(verdict["source"].(string), "container ") || verdict["valid_until"] != "2027-11-21T12:00:00Z" {
		t.Fatalf("%s %v", out, err)
	}
	if reasons, ok := verdict["reasons"].([]any); !ok || len(reasons) != 0 {
		t.Fatalf("%s", out)
	}
	out, errOut := u.run(cli.StatusRefused, nil, "check", "CAD-PRO", "--feature", "export")
	if !strings.Contains(out, "not valid") || !strings.Contains(out, "export") || errOut != "" {
		t.Fatalf("%s%s", out, errOut)
	}

	// On another machine: in use, and the message says where.
	other := newUser(t, now)
	other.run(0, nil, "trust", "add", v.URL)
	e := other.failure(refusal.LicenseInUse, "activate", string(ticket))
	if e.Details["container"] == nil || e.Hint == "" {
		t.Fatalf("%+v", e)
	}

	// Offline, with a request for the other machine that is carried to the wrong one.
	second := v.Sell(product())
	other.run(0, nil, "request", "--ticket", string(second), "-o", path("a.licet-request"))
	info, err := os.Stat(path("a.licet-request"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	request, err := os.ReadFile(path("a.licet-request"))
	if err != nil {
		t.Fatal(err)
	}
	if piped, _ := other.run(0, nil, "request", "--ticket", string(second), "-o", "-"); piped != string(request) {
		t.Fatal("the same request was written otherwise")
	}
	update, err := v.Program(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("a.licet-update"), update, 0o600); err != nil {
		t.Fatal(err)
	}
	e = u.failure(refusal.WrongContainer, "import", path("a.licet-update"))
	if e.Details["made_for"] == e.Details["this_is"] {
		t.Fatalf("%+v", e)
	}
	u.failure(refusal.WrongFile, "import", path("a.licet-request"))
	u.failure(refusal.NotFound, "import", path("none"))
	out, _ = other.run(0, update, "import", "-")
	if !strings.Contains(out, "licet receipt") {
		t.Fatalf("no next step:\n%s", out)
	}
	other.run(0, nil, "import", path("a.licet-update")) // applied before: a success
	other.run(0, nil, "receipt", "-o", path("a.licet-receipt"))
	receipt, err := os.ReadFile(path("a.licet-receipt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Receipt(receipt); err != nil {
		t.Fatal(err)
	}
	other.run(0, nil, "check", "CAD-PRO")

	// Return, and wipe.
	var shown struct {
		Containers []struct{ Serial string }
	}
	out, _ = u.run(0, nil, "list", "--json")
	if err := json.Unmarshal([]byte(out), &shown); err != nil || len(shown.Containers) != 1 {
		t.Fatalf("%s %v", out, err)
	}
	serial := shown.Containers[0].Serial
	u.failure(refusal.ContainerNotEmpty, "container", "delete", serial)
	out, _ = u.run(0, nil, "deactivate", "--all")
	if !strings.Contains(out, "may be erased") {
		t.Fatal(out)
	}
	u.run(cli.StatusRefused, nil, "check", "CAD-PRO")
	u.run(0, nil, "container", "show", serial)
	out, _ = u.run(0, nil, "doctor", "--reach")
	if strings.Contains(out, string(ticket)) || strings.Contains(strings.ReplaceAll(out, "Folder", ""), "machine id  "+u.home) {
		t.Fatalf("the report tells a secret:\n%s", out)
	}
	u.run(0, nil, "container", "delete", serial)
	u.run(0, nil, "container", "list")
	u.run(0, nil, "update")
	u.run(0, nil, "version")
}

func TestUnreachable(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now) })
	u := newUser(t, now)
	u.run(0, v.Trust, "trust", "add", "-")
	v.Cut(func(string) (bool, bool) { return true, false })
	e := u.failure(refusal.CentralUnreachable, "activate", string(v.Sell(product())))
	if !strings.Contains(e.Hint, "licet request") || !strings.Contains(e.Hint, "nothing was lost") {
		t.Fatalf("%+v", e)
	}
}
