package centralcmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const catalogYAML = `
products:
  - {code: CAD-PRO, name: CAD Professional, model: perpetual_single, features: [render]}
`

// site is a data folder, and a clock that the test moves.
type site struct {
	t    *testing.T
	data string
	url  string
	now  time.Time
}

func newSite(t *testing.T) *site {
	return &site{t: t, data: filepath.Join(t.TempDir(), "central"), now: time.Date(2026, 10, 19, 12, 0, 0, 0, time.UTC)}
}

// result is what a command came to.
type result struct {
	status      int
	out, stderr string
}

func (s *site) env(out, stderr *bytes.Buffer, serving func(string)) Env {
	variables := map[string]string{"LICET_DATA": s.data, "LICET_URL": s.url}
	return Env{
		Streams: cli.Streams{In: strings.NewReader(catalogYAML), Out: out, Err: stderr, Getenv: func(name string) string { return variables[name] }},
		Now:     func() time.Time { return s.now },
		Random:  func(b []byte) { rand.Read(b) },
		Serving: serving,
	}
}

func (s *site) run(args ...string) result {
	var out, stderr bytes.Buffer
	status := Run(s.t.Context(), s.env(&out, &stderr, nil), args)
	return result{status, out.String(), stderr.String()}
}

// ok runs a command that must succeed and reads its JSON into value.
func (s *site) ok(value any, args ...string) {
	s.t.Helper()
	r := s.run(append(args, "--json")...)
	if r.status != 0 {
		s.t.Fatalf("%v: %d %s", args, r.status, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.out), value); err != nil {
		s.t.Fatalf("%v: %v in %s", args, err, r.out)
	}
}

// fails runs a command that must fail with a code.
func (s *site) fails(code refusal.Code, args ...string) {
	s.t.Helper()
	r := s.run(append(args, "--json")...)
	var got struct{ Error cli.Error }
	if err := json.Unmarshal([]byte(r.stderr), &got); err != nil || r.status != 1 || got.Error.Code != code || got.Error.Hint == "" {
		s.t.Errorf("%v: %d %s, want %s", args, r.status, r.stderr, code)
	}
}

// serve runs the server until the returned function stops it.
func (s *site) serve(args ...string) (stop func() result) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var out, stderr bytes.Buffer
	listening, ended := make(chan string, 1), make(chan int, 1)
	env := s.env(&out, &stderr, func(url string) { listening <- url })
	go func() { ended <- Run(ctx, env, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)) }()
	select {
	case s.url = <-listening:
	case status := <-ended:
		s.t.Fatalf("serve: %d %s", status, stderr.String())
	}
	var res *result
	stop = func() result {
		if res == nil {
			cancel()
			res = &result{<-ended, out.String(), stderr.String()}
		}
		return *res
	}
	s.t.Cleanup(func() { stop() })
	return stop
}

func TestInitMakesPrivateFilesAndOverwritesNothing(t *testing.T) {
	s := newSite(t)
	var m made
	s.ok(&m, "init", "--vendor", "Acme")
	if m.Vendor != "Acme" || m.Environment != "production" || m.VendorID == "" || m.Address != defaultAddress || m.Database != "sqlite" {
		t.Errorf("%+v", m)
	}
	before := map[string]string{}
	for name, mode := range map[string]os.FileMode{".": 0o700, fileSecret: 0o600, fileToken: 0o600, fileDatabase: 0o600, fileTrust: 0o644} {
		info, err := os.Stat(filepath.Join(s.data, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", name, info.Mode().Perm(), err, mode)
		}
		if b, err := os.ReadFile(filepath.Join(s.data, name)); err == nil {
			before[name] = string(b)
		}
	}
	s.fails(refusal.AlreadyInitialized, "init", "--vendor", "Other")
	for name, old := range before {
		if b, err := os.ReadFile(filepath.Join(s.data, name)); err != nil || string(b) != old {
			t.Errorf("%s was changed (%v)", name, err)
		}
	}
}

func TestFailedInitCanBeTriedAgain(t *testing.T) {
	s := newSite(t)
	if r := s.run("init", "--database", "mysql:nothing"); r.status != 1 {
		t.Fatal(r)
	}
	s.fails(refusal.InvalidInput, "init", "--environment", "NOT GOOD")
	if left, err := os.ReadDir(s.data); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	s.ok(new(made), "init")
}

func TestServeSetsUpAnEmptyFolder(t *testing.T) {
	s := newSite(t)
	stop := s.serve("--vendor", "Acme", "--json")
	var list wire.List[wire.Token]
	s.ok(&list, "token", "list")
	if len(list.Items) != 1 {
		t.Errorf("%+v", list)
	}
	r := stop()
	var said map[string]string
	if err := json.Unmarshal([]byte(r.out), &said); err != nil || said["url"] != s.url || said["vendor"] != "Acme" || r.status != 0 {
		t.Errorf("%d %q %v", r.status, r.out, err)
	}
	for _, line := range strings.Split(strings.TrimSpace(r.stderr), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line is not JSON: %s", line)
		}
	}
	// A second start finds everything, the server's own address in it, and that nobody
	// can sign in at the console yet.
	r = s.serve()()
	for _, want := range []string{"Serving Acme at http://127.0.0.1:", "/console.\n", "licet-central staff add NAME"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in %q", want, r.out)
		}
	}
}

func TestServeRefusesAnAddressInUseAndLeavesNothing(t *testing.T) {
	s := newSite(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.fails(refusal.InvalidInput, "serve", "--listen", taken.Addr().String())
	if _, err := os.Stat(s.data); err == nil {
		t.Error("a folder was left behind")
	}
}

func TestOrderFromCatalogToHistory(t *testing.T) {
	s := newSite(t)
	s.serve("--log-level", "error")
	var difference wire.CatalogResult
	s.ok(&difference, "apply", "-f", "-", "--dry-run")
	var products wire.List[license.Product]
	if s.ok(&products, "product", "list"); !difference.DryRun || len(products.Items) != 0 {
		t.Errorf("a dry run changed something: %+v", products)
	}
	s.ok(&difference, "apply", "-f", "-")
	var product license.Product
	if s.ok(&product, "product", "show", "CAD-PRO"); product.Terms.Seats != 1 {
		t.Errorf("%+v", product)
	}

	create := []string{"order", "create", "--customer", "Ada Miller", "--number", "2026/1", "--item", "CAD-PRO=2,expires_at=2027-06-30"}
	var o, again wire.Order
	s.ok(&o, create...)
	if len(o.Licenses) != 2 || o.Ticket == "" || o.Added != 2 || o.Licenses[0].ExpiresAt.String() != "2027-06-30T00:00:00Z" {
		t.Fatalf("%+v", o)
	}
	if s.ok(&again, create...); again.Added != 0 || len(again.Licenses) != 2 || again.Ticket != o.Ticket {
		t.Errorf("the same order again: %+v", again)
	}
	if r := s.run(create...); r.status != 0 || !strings.Contains(r.out, string(o.Ticket)) || !strings.Contains(r.out, "Nothing was added") {
		t.Errorf("%+v", r)
	}

	id := string(o.Licenses[0].ID)
	r := s.run("license", "show", id)
	for _, want := range []string{id, "not_collected", "Ada Miller", "2026-10-19T12:00:00Z (now)", "2027-06-30T00:00:00Z (in 253 days)", "licet-central license history " + id} {
		if !strings.Contains(r.out, want) {
			t.Errorf("license show lacks %q:\n%s", want, r.out)
		}
	}
	var ticket wire.Ticket
	if s.ok(&ticket, "ticket", "show", strings.ToLower(string(o.Ticket))); len(ticket.Licenses) != 2 {
		t.Errorf("%+v", ticket)
	}
	var events wire.List[wire.Event]
	if s.ok(&events, "order", "history", "2026/1"); len(events.Items) == 0 || events.Items[0].Actor != "staff:admin" || events.Items[0].Request == "" {
		t.Errorf("%+v", events)
	}
	var licenses wire.List[wire.License]
	if s.ok(&licenses, "license", "list", "--limit", "1"); len(licenses.Items) != 1 || licenses.Next == "" {
		t.Errorf("%+v", licenses)
	}
	var all wire.List[wire.License]
	if s.ok(&all, "license", "list"); len(all.Items) != 2 || all.Next != "" {
		t.Errorf("%+v", all)
	}
	var report wire.AuditReport
	if s.ok(&report, "audit", "verify"); !report.Whole {
		t.Errorf("%+v", report)
	}

	s.fails(refusal.ProductUnknown, "order", "create", "--customer", "A", "--item", "NONE")
	s.fails(refusal.InvalidInput, "order", "create", "--customer", "A", "--item", "CAD-PRO,seets=2")
	s.fails(refusal.TicketUnknown, "ticket", "show", "AAAAA")
	s.fails(refusal.NotFound, "order", "show", "none")
	s.fails(refusal.NotFound, "container", "show", "none")
	s.fails(refusal.NotFound, "apply", "-f", "none.yaml")
}

func TestTokens(t *testing.T) {
	s := newSite(t)
	s.serve("--log-level", "error")
	var tok wire.Token
	s.ok(&tok, "token", "create", "--scope", "read", "--ttl", "1d")
	if tok.Secret == "" || tok.Name != "read" {
		t.Fatalf("%+v", tok)
	}
	s.ok(new(wire.List[wire.Order]), "order", "list", "--token", tok.Secret)
	s.fails(refusal.Forbidden, "audit", "list", "--token", tok.Secret)
	if r := s.run("token", "list"); strings.Contains(r.out, tok.Secret) || !strings.Contains(r.out, "expires in 1 day") {
		t.Errorf("%s", r.out)
	}
	s.ok(new(wire.Token), "token", "revoke", tok.ID)
	s.fails(refusal.Unauthorized, "order", "list", "--token", tok.Secret)
	s.fails(refusal.Unauthorized, "order", "list", "--data", t.TempDir())
}

func TestExportRoot(t *testing.T) {
	s := newSite(t)
	s.ok(new(made), "init")
	out := filepath.Join(t.TempDir(), "root.key")
	s.ok(new(map[string]any), "keys", "export-root", "-o", out, "--remove")
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	s.fails(refusal.NotFound, "keys", "export-root", "-o", out+"2")
	s.serve()
	s.ok(new(wire.List[wire.Order]), "order", "list") // works on without its root
}

func TestNobodyListens(t *testing.T) {
	s := newSite(t)
	s.ok(new(made), "init")
	s.url = "http://127.0.0.1:1"
	r := s.run("order", "list")
	if r.status != 1 || !strings.Contains(r.stderr, "licet-central serve") {
		t.Errorf("%+v", r)
	}
}

func TestEveryCommandHasAnExampleThatItUnderstands(t *testing.T) {
	root := Root(System())
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
		if cmd.Runnable() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// TestBulk: a table is a job of the server; the command waits for its end, names what
// was refused, and what it left behind can be looked at and canceled.
func TestBulk(t *testing.T) {
	s := newSite(t)
	s.serve("--vendor", "Acme")
	s.ok(new(wire.CatalogResult), "apply", "-f", "-")
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	orders := write("orders.csv", "order,customer,product,quantity\n1,Ada,CAD-PRO,2\n2,Bob,CAD-PRO,1\n")
	var tried, job wire.Bulk
	s.ok(&tried, "bulk", "start", "orders", orders, "--dry-run")
	s.ok(&job, "bulk", "start", "orders", orders)
	if !tried.DryRun || tried.Done != 2 || job.State != wire.BulkFinished || job.Done != 2 || job.Kind != wire.BulkOrders {
		t.Fatalf("%+v %+v", tried, job)
	}
	var results wire.List[wire.BulkResult]
	s.ok(&results, "bulk", "results", job.ID)
	if len(results.Items) != 2 || results.Items[0].Ticket == "" || results.Items[0].Row != 2 || results.Items[0].Added != 2 {
		t.Fatalf("%+v", results)
	}
	var o wire.Order
	s.ok(&o, "order", "show", "1")
	leave := write("leave.csv", "license\n"+string(o.Licenses[0].ID)+"\nlic_none\n")
	r := s.run("bulk", "start", "withdraw", leave, "--reason", "refunded")
	if r.status != 1 || !strings.Contains(r.out, "2: 1 done, 1 refused") || !strings.Contains(r.stderr, "1 of 2 items were refused") {
		t.Errorf("%d\n%s\n%s", r.status, r.out, r.stderr)
	}
	if r := s.run("bulk", "list"); r.status != 0 || !strings.Contains(r.out, "withdraw") || !strings.Contains(r.out, "2 of 2") {
		t.Errorf("%d\n%s\n%s", r.status, r.out, r.stderr)
	}
	list := write("orders.json", `[{"customer":"Eve","items":[{"product":"CAD-PRO"}]}]`)
	s.ok(&job, "bulk", "start", "orders", list, "--detach")
	s.ok(&job, "bulk", "wait", job.ID)
	s.ok(&job, "bulk", "show", job.ID)
	if job.State != wire.BulkFinished || job.Done != 1 {
		t.Errorf("%+v", job)
	}
	s.fails(refusal.Conflict, "bulk", "cancel", job.ID)
	s.fails(refusal.InvalidInput, "bulk", "start", "withdraw", write("bad.csv", "licens\nx\n"), "--reason", "r")
	s.fails(refusal.InvalidInput, "bulk", "start", "units", write("bad.csv", "license,units\nx,many\n"), "--reason", "r")
	for _, args := range [][]string{{"nothing", orders}, {"withdraw", leave}, {"push", leave, "--dry-run"}, {"orders", list, "--resent"}, {"orders", orders, "--reason", "r"}} {
		if r := s.run(append([]string{"bulk", "start"}, args...)...); r.status != 2 {
			t.Errorf("%v: %d %s", args, r.status, r.stderr)
		}
	}
}
