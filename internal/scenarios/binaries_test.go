package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"licet/internal/pgtest"
	"licet/wire"
)

// TestBinaries plays the main job with the programs as they ship: built, run as
// processes, and killed in between.
func TestBinaries(t *testing.T) {
	t.Parallel()
	programs := build(t)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		p := &play{t: t, programs: programs, dir: t.TempDir()}
		p.all(func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t)
		p := &play{t: t, programs: programs, dir: t.TempDir(), database: server.URL(t)}
		p.all(func() { server.Crash(t); server.Restart(t) })
	})
}

// build builds both programs as the Makefile does.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "./cmd/licet", "./cmd/licet-central")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// play is one run of the main job.
type play struct {
	t        *testing.T
	programs string
	dir      string
	database string // address; "" for SQLite
	address  string
	server   *exec.Cmd
}

func (p *play) path(name string) string { return filepath.Join(p.dir, name) }

// command is a program that is about to run, with nothing of the test's own
// surroundings.
func (p *play) command(home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.programs, args[0]), args[1:]...)
	cmd.Dir = p.dir
	cmd.Env = []string{"HOME=" + p.dir, "TMPDIR=" + p.dir, "LICET_DATA=" + p.path("central"), "LICET_URL=http://" + p.address, "LICET_HOME=" + p.path(home)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// try runs a program to its end.
func (p *play) try(home string, args ...string) (status int, out, errs string) {
	p.t.Helper()
	var o, e bytes.Buffer
	cmd := p.command(home, args...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// run runs a program and checks its exit status; the answer is what it wrote.
func (p *play) run(want int, home string, args ...string) string {
	p.t.Helper()
	status, out, errs := p.try(home, args...)
	if status != want {
		p.t.Fatalf("%s: exit status %d, not %d\n%s%s", strings.Join(args, " "), status, want, out, errs)
	}
	return out + errs
}

// says is run, and the answer must hold a text.
func (p *play) says(text string, want int, home string, args ...string) {
	p.t.Helper()
	if got := p.run(want, home, args...); !strings.Contains(got, text) {
		p.t.Fatalf("%s does not say %q:\n%s", strings.Join(args, " "), text, got)
	}
}

// value is run --json, and the value at a path of the answer.
func (p *play) value(path string, args ...string) string {
	p.t.Helper()
	doc, err := decode(p.run(0, "nobody", append(args, "--json")...))
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := lookUp(doc, path)
	if err != nil {
		p.t.Fatal(err)
	}
	return got[0]
}

// serve starts the server and waits until it is ready.
func (p *play) serve() {
	p.t.Helper()
	args := []string{"licet-central", "serve", "--listen", p.address, "--log-level", "warn"}
	if p.database != "" {
		args = append(args, "--database", p.database)
	}
	p.server = p.start("nobody", args...)
	p.until("the server is ready", func() bool {
		res, err := http.Get("http://" + p.address + wire.PathReady)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// start starts a program in the background; it is killed with the test.
func (p *play) start(home string, args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := p.command(home, args...)
	cmd.Stdout, cmd.Stderr = logger{p.t, args[0]}, logger{p.t, args[0]}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { end(cmd) })
	return cmd
}

// end kills a process as a power cut would, and waits for it.
func end(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // killed is how it ends
	}
}

// logger shows what a program in the background says.
type logger struct {
	t    *testing.T
	name string
}

func (l logger) Write(b []byte) (int, error) {
	l.t.Logf("%s: %s", l.name, bytes.TrimRight(b, "\n"))
	return len(b), nil
}

func (p *play) until(what string, done func() bool) {
	p.t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			p.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// crash kills the server, and its database with it, and starts it again.
func (p *play) crash(database func()) {
	end(p.server)
	database()
	p.serve()
}

// carry takes a file to the server and gives back what it answers.
func (p *play) carry(path, file string) []byte {
	p.t.Helper()
	body, err := os.ReadFile(p.path(file))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.Post("http://"+p.address+path, wire.MediaFile, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s %s (%v)", file, res.Status, answer, err)
	}
	return answer
}

func (p *play) write(name string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *play) state(license, want string) {
	p.t.Helper()
	if got := p.value("state", "licet-central", "license", "show", license); got != want {
		p.t.Fatalf("the license is %s, not %s", got, want)
	}
}

// sell takes an order.
func (p *play) sell(number string) (ticket, license string) {
	args := []string{"licet-central", "order", "create", "--customer", "Ada", "--number", number, "--item", "CAD"}
	return p.value("ticket", args...), p.value("licenses.0.id", args...)
}

func (p *play) all(database func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = l.Addr().String()
	l.Close()

	init := []string{"licet-central", "init", "--vendor", "Example Software", "--address", "http://" + p.address}
	if p.database != "" {
		init = append(init, "--database", p.database)
	}
	p.says("is set up", 0, "nobody", init...)
	p.says("is in use already", 1, "nobody", init...)
	p.serve()
	p.write("catalog.yaml", []byte("products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"))
	p.says("created", 0, "nobody", "licet-central", "apply", "-f", "catalog.yaml")
	for _, home := range []string{"a", "b"} {
		p.says("Example Software", 0, home, "licet", "trust", "add", filepath.Join("central", "vendor.trust"))
	}
	p.online(database)
	p.offline(database)
	p.agent()
	p.inTheMiddle(func() {})

	p.says("The audit trail is whole", 0, "nobody", "licet-central", "audit", "verify")
	if err := p.server.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.server.Wait(); err != nil {
		p.t.Errorf("asked to end, the server ends with: %v", err)
	}
	p.says("central_unreachable", 1, "a", "licet", "update", "--json")
}

// online activates while the server comes and goes.
func (p *play) online(database func()) {
	ticket, license := p.sell("1")
	p.says("Activated", 0, "a", "licet", "activate", ticket)
	p.says("CAD: valid", 0, "a", "licet", "check", "CAD")
	end(p.server)
	p.says("CAD: valid", 0, "a", "licet", "check", "CAD")
	p.says("nothing was lost", 1, "b", "licet", "activate", ticket)
	database()
	p.serve()
	p.says("is activated in container", 1, "b", "licet", "activate", ticket)
	p.state(license, "collected")
	p.says("Returned", 0, "a", "licet", "deactivate", license)
	p.state(license, "returned")
}

// offline carries three files, and the server is killed between any two.
func (p *play) offline(database func()) {
	ticket, license := p.sell("2")
	p.run(0, "a", "licet", "request", "-o", "r.licet-request", "--ticket", ticket)
	update := p.carry(wire.PathProgram, "r.licet-request")
	p.crash(database)
	if again := p.carry(wire.PathProgram, "r.licet-request"); !bytes.Equal(again, update) {
		p.t.Error("after a crash the same request got another answer")
	}
	p.write("u.licet-update", update)
	p.says("Activated", 0, "a", "licet", "import", "u.licet-update")
	p.says("there was nothing to do", 0, "a", "licet", "import", "u.licet-update")
	p.run(0, "a", "licet", "receipt", "-o", "c.licet-receipt")
	p.state(license, "collecting")
	p.carry(wire.PathReceipt, "c.licet-receipt")
	p.crash(database)
	p.state(license, "collected")
	p.says("The container confirmed that it holds CAD", 0, "nobody", "licet-central", "license", "history", license)
}

// agent has the background agent do the work, and kills it.
func (p *play) agent() {
	ticket, license := p.sell("3")
	agent := p.start("b", "licet", "serve")
	runs := func() bool {
		doc, err := decode(p.run(0, "b", "licet", "doctor", "--json"))
		if err != nil {
			p.t.Fatal(err)
		}
		got, err := lookUp(doc, "agent")
		return err == nil && got[0] == "runs"
	}
	p.until("the agent runs", runs)
	p.says("Activated", 0, "b", "licet", "activate", ticket)
	p.says("CAD: valid", 0, "b", "licet", "check", "CAD")
	p.says("An agent runs already", 1, "b", "licet", "serve")

	end(agent)
	if runs() {
		p.t.Error("a killed agent counts as running")
	}
	p.says("CAD: valid", 0, "b", "licet", "check", "CAD")
	p.says("Nothing to do", 0, "b", "licet", "update")

	agent = p.start("b", "licet", "serve")
	p.until("the agent runs again", runs)
	p.says("Returned", 0, "b", "licet", "deactivate", license)
	p.state(license, "returned")
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		p.t.Errorf("asked to end, the agent ends with: %v", err)
	}
}

// inTheMiddle kills the server, and then the agent, while an activation is under
// way; repeated, it ends well each time.
func (p *play) inTheMiddle(database func()) {
	for i := range 6 {
		ticket, license := p.sell(fmt.Sprintf("m%d", i))
		pause := time.Duration(i*i) * 3 * time.Millisecond
		var agent *exec.Cmd
		if i%2 == 1 {
			agent = p.start("b", "licet", "serve")
			p.until("the agent's socket", func() bool { _, err := os.Stat(p.path(filepath.Join("b", "agent.sock"))); return err == nil })
		}
		ended := make(chan struct{})
		cmd := p.command("b", "licet", "activate", ticket)
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		go func() { _ = cmd.Wait(); close(ended) }() // whether it got through is chance
		select {
		case <-time.After(pause):
		case <-ended:
		}
		if agent != nil {
			end(agent)
		} else {
			p.crash(database)
		}
		<-ended
		p.run(0, "b", "licet", "activate", ticket)
		p.run(0, "b", "licet", "update")
		p.state(license, "collected")
	}
	doc, err := decode(p.run(0, "b", "licet", "list", "--json"))
	if err != nil {
		p.t.Fatal(err)
	}
	if got, err := lookUp(doc, "containers.0.licenses.len"); err != nil || got[0] != "6" {
		p.t.Errorf("after six activations there are %v licenses (%v)", got, err)
	}
}
