package importrules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "licet"

// modules that signed documents need; nothing else from outside may reach a
// customer's program.
var documentModules = []string{
	"github.com/fxamacker/cbor/v2",
	"github.com/veraison/go-cose",
	"github.com/x448/float16",
}

// lockModules are for the lock of a container's file, which a program reads
// where no agent runs.
var lockModules = []string{
	"github.com/gofrs/flock",
	"golang.org/x/sys",
}

// pure packages decide and never act. They run in central, in the agent and in
// customers' programs alike.
var pure = []string{"refusal", "license", "container", "blocklist", "terms", "seats", "recovery", "subscription", "wire"}

// hands is what a package without hands must not import: files, network,
// databases, randomness, the operating system, memory tricks.
var hands = []string{
	"os/...", "io/ioutil", "syscall/...", "plugin", "unsafe", "C",
	"net", "net/http/...", "net/mail", "net/rpc/...", "net/smtp", "net/textproto", "net/url", // net/netip is values only
	"database/...",
	"math/rand/...", "crypto/rand",
}

// clock is what reads or waits for time. Time comes in as a parameter.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// mustExist are subjects whose absence means that a rule guards nothing.
var mustExist = []string{"licet/refusal", "licet/license", "licet/container", "licet/terms", "licet/recovery"}

// rule says what the packages that match Of must keep to. A pattern is an
// import path; "x/..." is x and everything below it.
type rule struct {
	name   string
	of     []string
	reason string

	never     []string // not imported directly
	unreached []string // not imported directly or through packages of this module
	but       []string // may be imported; what they reach is theirs, and has a rule of its own
	only      []string // of this module and of others, only these are imported directly
	modules   []string // from outside, only these modules are reached at all
	noClock   bool     // no mention of the clock functions of package time
}

var rules = []rule{
	{
		name: "pure", of: own(pure...), only: own(pure...), never: hands, noClock: true,
		reason: "the same rules must give the same answer on both sides, and be tested without a world around them",
	},
	{
		name: "seal", of: own("seal"),
		only:   append(own(pure...), "github.com/fxamacker/cbor/v2/...", "github.com/veraison/go-cose/..."),
		never:  []string{"net/...", "os/...", "syscall/...", "unsafe", "C"},
		reason: "documents are bytes in, values out; where bytes come from is somebody else's business",
	},
	{
		name: "client: light", of: own("client/..."), modules: documentModules,
		reason: "a customer's program must not inherit our dependencies",
	},
	{
		name: "sdk: light", of: own("sdk/..."), modules: slices.Concat(documentModules, lockModules),
		reason: "a customer's program must not inherit our dependencies, and must not read a file that is being written",
	},
	{
		name: "client and sdk: no server", of: own("client/...", "sdk/..."),
		unreached: own("internal/store/...", "internal/registry/..."),
		reason:    "a customer's program must not carry the vendor's server",
	},
	{
		name: "one package per audience", of: own("internal/gateway/..."),
		never:     append(own("internal/store/..."), "database/sql/..."),
		unreached: own("internal/vendorapi/...", "internal/portal/...", "internal/console/..."),
		reason:    "machines speak to the registry through this package; SQL and other audiences stay out of it",
	},
	{
		name: "one package per audience", of: own("internal/vendorapi/..."),
		never:     append(own("internal/store/..."), "database/sql/..."),
		unreached: own("internal/gateway/...", "internal/portal/...", "internal/console/..."),
		reason:    "staff and shops speak to the registry through this package; SQL and other audiences stay out of it",
	},
	{
		name: "one package per audience", of: own("internal/portal/..."),
		never:     append(own("internal/store/..."), "database/sql/..."),
		unreached: own("internal/gateway/...", "internal/vendorapi/...", "internal/console/..."),
		reason:    "customers' pages decide nothing: SQL and other audiences stay out of them",
	},
	{
		name: "one package per audience", of: own("internal/console/..."),
		never:     append(own("internal/store/..."), "database/sql/..."),
		unreached: own("internal/gateway/...", "internal/vendorapi/...", "internal/portal/..."),
		reason:    "staff's pages decide nothing: SQL and other audiences stay out of them",
	},
	{
		name: "web", of: own("internal/web/..."),
		unreached: own("internal/registry/...", "internal/store/..."),
		reason:    "shared parts of every audience turn errors into responses; they know no operation",
	},
	{
		name: "look", of: own("internal/look/...", "internal/browser/..."),
		never: []string{"database/sql/..."},
		unreached: own("internal/registry/...", "internal/store/...", "internal/gateway/...", "internal/vendorapi/...",
			"internal/portal/...", "internal/console/..."),
		reason: "what pages are made of is handed values; it knows no operation and no audience",
	},
	{
		name: "machine side", of: own("internal/agent/...", "internal/licetcmd/...", "internal/containerfile/...", "internal/seatserver/...", "internal/ledger/...", "internal/discovery/...", "cmd/licet"),
		unreached: append(own("internal/store/...", "internal/registry/...", "internal/look/..."), "database/sql/..."),
		but:       own("internal/seatpage"),
		reason:    "what runs on users' machines has no part of central in it",
	},
	{
		name: "the license server's page", of: own("internal/seatpage/..."),
		unreached: append(own("internal/store/...", "internal/registry/...", "internal/gateway/...", "internal/vendorapi/...",
			"internal/portal/...", "internal/console/..."), "database/sql/..."),
		reason: "the one page on users' machines is made of what all pages are made of, which knows no operation and no audience; nothing of central comes with it",
	},
	{
		name: "the license server works without its page", of: own("internal/agent/...", "internal/seatserver/...", "client/...", "sdk/..."),
		unreached: own("internal/look/...", "internal/seatpage/..."),
		reason:    "programs and the agent carry no pages; only the command that serves puts the two together",
	},
	{
		name: "ledger", of: own("internal/ledger/..."), never: []string{"net/..."},
		unreached: own("seats/...", "internal/seatserver/..."),
		reason:    "the ledger keeps records; what they mean is known above it",
	},
	{
		name: "discovery", of: own("internal/discovery/..."),
		unreached: own("internal/agent/...", "internal/seatserver/..."),
		reason:    "strangers speak here: what they say leads to addresses and nothing else",
	},
	{
		name: "registry", of: own("internal/registry/..."),
		never:  []string{"net/http/...", "html/template"},
		reason: "an operation is the same for a page, an API and a test; it answers values, not responses",
	},
	{
		name: "store", of: own("internal/store/..."),
		never:     []string{"net/http/..."},
		unreached: own("internal/registry/...", "wire/..."),
		reason:    "the store keeps and finds; what may happen is decided above it",
	},
	{
		name: "journal", of: own("internal/journal/..."),
		never:     []string{"net/...", "database/..."},
		unreached: own("internal/store/...", "internal/registry/..."),
		reason:    "frames are kept and put in order here; what their statements mean, the database alone knows",
	},
	{
		name: "webhook", of: own("internal/webhook/..."), noClock: true,
		never:     []string{"net", "os/...", "database/...", "math/rand/...", "crypto/rand"},
		unreached: own("internal/store/...", "internal/registry/..."),
		reason:    "when and where messages go is decided from values; package courier has the hands",
	},
	{
		name: "background work", of: own("internal/jobs/...", "internal/notify/...", "internal/courier/..."),
		never:     append(own("internal/store/..."), "database/sql/..."),
		unreached: own("internal/gateway/...", "internal/vendorapi/...", "internal/portal/...", "internal/console/..."),
		reason:    "work that nobody waits for needs no audience",
	},
	{
		name: "commands", of: []string{module + "/..."}, never: own("cmd/..."),
		reason: "a main package wires; what another package needs belongs below internal/",
	},
	{
		name: "no cgo", of: []string{module + "/..."}, never: []string{"C"},
		reason: "the programs are static and build everywhere with Go alone",
	},
}

// vague are package names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "models", "types", "shared"}

func TestImportRules(t *testing.T) {
	g := load(t)
	for _, p := range mustExist {
		if g[p] == nil {
			t.Errorf("%s is missing: the rules on it guard nothing", p)
		}
	}
	for _, r := range rules {
		for _, b := range r.breaches(g) {
			t.Errorf("%s\n\trule %q: %s", b, r.name, r.reason)
		}
	}
}

func TestTestsImportNoCommand(t *testing.T) {
	for _, p := range load(t) {
		if !match(p.ImportPath, module+"/...") {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if match(imported, module+"/cmd/...") {
				t.Errorf("a test of %s imports %s: test the command tree below internal/ instead", p.ImportPath, imported)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range load(t) {
		if match(p.ImportPath, module+"/...") && slices.Contains(vague, path.Base(p.ImportPath)) {
			t.Errorf("%s: name the package after what it gives its users", p.ImportPath)
		}
	}
}

// TestRulesCatch plants one breach for each way in which a rule can be broken.
func TestRulesCatch(t *testing.T) {
	base := map[string][]string{
		"licet/license":           {"fmt"},
		"licet/seal":              {},
		"licet/wire":              {"licet/license"},
		"licet/internal/store":    {"database/sql"},
		"licet/internal/registry": {"licet/internal/store"},
		"licet/internal/audit":    {"licet/internal/store"},
		"licet/internal/gateway":  {"licet/internal/registry"},
		"licet/internal/seatpage": {"licet/internal/look"},
		"licet/cmd/licet":         {},
	}
	outside := []string{"example.org/other", "github.com/fxamacker/cbor/v2"}
	for _, c := range []struct {
		name, in string
		imports  []string
		want     string // the breach's text; empty means none
	}{
		{"pure may know pure", "licet/container", []string{"licet/license", "fmt"}, ""},
		{"pure with hands", "licet/container", []string{"os"}, "licet/container imports os"},
		{"pure on seal", "licet/container", []string{"licet/seal"}, "licet/container imports licet/seal"},
		{"pure with a library", "licet/terms", []string{"example.org/other"}, "licet/terms imports example.org/other"},
		{"seal with its library", "licet/seal", []string{"github.com/fxamacker/cbor/v2", "os/signal"}, "licet/seal imports os/signal"},
		{"sdk reaches the store", "licet/sdk", []string{"licet/internal/audit"}, "licet/sdk imports licet/internal/audit imports licet/internal/store"},
		{"sdk with a library", "licet/sdk", []string{"example.org/other"}, "licet/sdk imports example.org/other"},
		{"gateway may use the registry", "licet/internal/gateway", []string{"licet/internal/registry"}, ""},
		{"gateway with SQL", "licet/internal/gateway", []string{"database/sql"}, "licet/internal/gateway imports database/sql"},
		{"gateway on the store", "licet/internal/gateway", []string{"licet/internal/store"}, "licet/internal/gateway imports licet/internal/store"},
		{"portal on the gateway", "licet/internal/portal", []string{"licet/internal/gateway"}, "licet/internal/portal imports licet/internal/gateway"},
		{"web reaches the store", "licet/internal/web", []string{"licet/internal/registry"}, "licet/internal/web imports licet/internal/registry imports licet/internal/store"},
		{"pages may use the look", "licet/internal/portal", []string{"licet/internal/look", "licet/internal/registry"}, ""},
		{"look reaches the store", "licet/internal/look", []string{"licet/internal/audit"}, "licet/internal/look imports licet/internal/audit imports licet/internal/store"},
		{"look on an audience", "licet/internal/look/gallery", []string{"licet/internal/portal"}, "licet/internal/look/gallery imports licet/internal/portal"},
		{"agent with pages", "licet/internal/agent", []string{"licet/internal/look"}, "licet/internal/agent imports licet/internal/look"},
		{"the command may show the server's page", "licet/internal/licetcmd", []string{"licet/internal/seatpage"}, ""},
		{"the command on pages", "licet/internal/licetcmd", []string{"licet/internal/look"}, "licet/internal/licetcmd imports licet/internal/look"},
		{"the agent on the server's page", "licet/internal/agent", []string{"licet/internal/seatpage"}, "licet/internal/agent imports licet/internal/seatpage"},
		{"the server's page reaches the store", "licet/internal/seatpage", []string{"licet/internal/audit"}, "licet/internal/seatpage imports licet/internal/audit imports licet/internal/store"},
		{"agent reaches SQL", "licet/internal/agent", []string{"licet/internal/store"}, "licet/internal/agent imports licet/internal/store imports database/sql"},
		{"registry with pages", "licet/internal/registry", []string{"html/template"}, "licet/internal/registry imports html/template"},
		{"store on wire", "licet/internal/store", []string{"licet/wire"}, "licet/internal/store imports licet/wire"},
		{"anything on a command", "licet/internal/audit", []string{"licet/cmd/licet"}, "licet/internal/audit imports licet/cmd/licet"},
		{"cgo", "licet/internal/machine", []string{"C"}, "licet/internal/machine imports C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graph{}
			for p, imports := range base {
				g[p] = &goPackage{ImportPath: p, Imports: imports}
			}
			for _, p := range outside {
				g[p] = &goPackage{ImportPath: p, Module: &goModule{Path: p}}
			}
			g[c.in] = &goPackage{ImportPath: c.in, Imports: c.imports}
			var got []string
			for _, r := range rules {
				for _, b := range r.breaches(g) {
					if strings.HasPrefix(b, c.in+" ") {
						got = append(got, b)
					}
				}
			}
			if c.want == "" && len(got) > 0 {
				t.Errorf("refused: %q", got)
			}
			if c.want != "" && !slices.Contains(got, c.want) {
				t.Errorf("not caught: want %q, got %q", c.want, got)
			}
		})
	}
}

func TestClockIsSeen(t *testing.T) {
	const source = `package p
import clock "time"
func f() clock.Time { return clock.Unix(0, 0) }
var g = clock.Now
func h() { clock.Sleep(clock.Second) }`
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"p.go:4 uses time.Now", "p.go:5 uses time.Sleep"}
	if got := clockUses(files, f); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// goPackage is what go list says of one package.
type goPackage struct {
	ImportPath, Dir string
	Standard        bool
	GoFiles         []string
	CgoFiles        []string
	Imports         []string
	TestImports     []string
	XTestImports    []string
	Module          *goModule
}

type goModule struct{ Path string }

// graph holds packages by import path.
type graph map[string]*goPackage

func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps",
		"-json=ImportPath,Dir,Standard,GoFiles,CgoFiles,Imports,TestImports,XTestImports,Module", module+"/...")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	g := graph{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = &p
	}
}

// breaches answers one line for each breach: who imports what, by which way.
func (r rule) breaches(g graph) []string {
	var found []string
	for _, name := range sorted(g) {
		if !match(name, r.of...) {
			continue
		}
		p := g[name]
		for _, imported := range p.Imports {
			switch {
			case match(imported, r.never...):
				found = append(found, name+" imports "+imported)
			case r.only != nil && !standard(imported) && !match(imported, r.only...):
				found = append(found, name+" imports "+imported)
			}
		}
		for _, chain := range g.chains(name, r.but...) {
			last := chain[len(chain)-1]
			node := g[last]
			switch {
			case match(last, r.unreached...):
			case r.modules != nil && !standard(last) && !match(last, module+"/...") &&
				(node == nil || node.Module == nil || !slices.Contains(r.modules, node.Module.Path)):
			default:
				continue
			}
			found = append(found, strings.Join(chain, " imports "))
		}
		if r.noClock {
			for _, file := range p.GoFiles {
				files := token.NewFileSet()
				f, err := parser.ParseFile(files, filepath.Join(p.Dir, file), nil, 0)
				if err != nil {
					found = append(found, err.Error())
					continue
				}
				for _, use := range clockUses(files, f) {
					found = append(found, name+": "+use)
				}
			}
		}
	}
	return found
}

// chains answers the shortest way from a package to everything it reaches. It
// goes on through packages of this module and of other modules, not through the
// standard library, nor through those that match but.
func (g graph) chains(from string, but ...string) [][]string {
	var all [][]string
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		chain := queue[0]
		node := g[chain[len(chain)-1]]
		if node == nil || node.Standard || len(chain) > 1 && match(node.ImportPath, but...) {
			continue
		}
		for _, imported := range node.Imports {
			if seen[imported] {
				continue
			}
			seen[imported] = true
			longer := append(slices.Clone(chain), imported)
			all = append(all, longer)
			queue = append(queue, longer)
		}
	}
	return all
}

// clockUses names each mention of a function of package time that reads the
// clock or waits, called or handed on.
func clockUses(files *token.FileSet, f *ast.File) []string {
	local := ""
	for _, spec := range f.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == "time" {
			local = "time"
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var uses []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil && slices.Contains(clock, s.Sel.Name) {
				at := files.Position(s.Pos())
				uses = append(uses, fmt.Sprintf("%s:%d uses time.%s", filepath.Base(at.Filename), at.Line, s.Sel.Name))
			}
		}
		return true
	})
	return uses
}

// own completes paths of this module.
func own(paths ...string) []string {
	full := make([]string, len(paths))
	for i, p := range paths {
		full[i] = module + "/" + p
	}
	return full
}

// match reports whether an import path fits one of the patterns.
func match(importPath string, patterns ...string) bool {
	for _, p := range patterns {
		if parent, below := strings.CutSuffix(p, "/..."); importPath == parent || below && strings.HasPrefix(importPath, parent+"/") {
			return true
		}
	}
	return false
}

// standard reports whether an import path is of the standard library, whose
// first part has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".") && first != module
}

func sorted(g graph) []string {
	names := make([]string, 0, len(g))
	for name := range g {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
