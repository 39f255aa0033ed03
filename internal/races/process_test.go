package races

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"licet/client"
)

// program is licet-central as it is shipped, built once. Its file has no name any
// more, so that nothing is left behind.
var program = sync.OnceValues(func() (path string, err error) {
	folder, err := os.MkdirTemp("", "licet-races")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	path = filepath.Join(folder, "licet-central")
	cmd := exec.Command("go", "build", "-o", path, "licet/cmd/licet-central")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	if programFile, err = os.Open(path); err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), programFile.Fd()), nil
})

var programFile *os.File // open as long as the tests run

func build(t testing.TB) string {
	t.Helper()
	path, err := program()
	must(t, err)
	return path
}

// process is one licet-central serve. It can be killed and started again.
type process struct {
	t        testing.TB
	program  string
	folder   string
	database string // "" is SQLite in the folder
	base     atomic.Pointer[string]
	cmd      *exec.Cmd
}

// set makes the folder of a server.
func (p *process) set() {
	p.t.Helper()
	args := []string{"init", "--data", p.folder, "--vendor", "Acme", "--address", "http://127.0.0.1:1"}
	if p.database != "" {
		args = append(args, "--database", p.database)
	}
	if out, err := exec.Command(p.program, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("init: %v\n%s", err, out)
	}
}

// start starts the server and waits until it serves. A server that somebody
// started is stopped when the test ends.
func (p *process) start() {
	p.t.Helper()
	args := []string{"serve", "--data", p.folder, "--listen", "127.0.0.1:0", "--json", "--log-level", "error"}
	if p.database != "" {
		args = append(args, "--database", p.database)
	}
	p.cmd = exec.Command(p.program, args...)
	log, err := os.OpenFile(filepath.Join(p.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(p.t, err)
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	must(p.t, err)
	must(p.t, p.cmd.Start())
	line := make(chan []byte, 1)
	go func() {
		decoder := json.NewDecoder(bufio.NewReader(out))
		var text json.RawMessage
		decoder.Decode(&text)
		line <- text
	}()
	var said struct{ URL string }
	select {
	case text := <-line:
		if json.Unmarshal(text, &said) != nil || said.URL == "" {
			p.kill()
			text, _ := os.ReadFile(filepath.Join(p.folder, "log"))
			p.t.Fatalf("the server does not start:\n%s", text)
		}
	case <-time.After(time.Minute):
		p.kill()
		p.t.Fatal("the server does not start")
	}
	p.base.Store(&said.URL)
}

// kill ends the server as kill -9 does.
func (p *process) kill() {
	if p.cmd.Process == nil {
		return // it was not started
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// stop ends the server as an operator does.
func (p *process) stop() {
	if p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
}

// faults is what the servers wrote to their logs.
func (p *process) faults() string {
	text, _ := os.ReadFile(filepath.Join(p.folder, "log"))
	return string(text)
}

// copyTo makes the folder of a second server on the same database.
func (p *process) copyTo(folder string) *process {
	p.t.Helper()
	must(p.t, os.MkdirAll(folder, 0o700))
	for _, name := range []string{"secret.key", "admin.token", "vendor.trust"} {
		data, err := os.ReadFile(filepath.Join(p.folder, name))
		must(p.t, err)
		must(p.t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	return &process{t: p.t, program: p.program, folder: folder, database: p.database}
}

func (p *process) secret() []byte {
	text, err := os.ReadFile(filepath.Join(p.folder, "secret.key"))
	must(p.t, err)
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	must(p.t, err)
	return secret
}

// processes starts n servers on one PostgreSQL database, and opens the book
// beside them. Another address than the first is that of a way round, such as a
// proxy, to the same database.
func processes(t testing.TB, n int, address string, ways ...string) (*book, []*process) {
	t.Helper()
	first := &process{t: t, program: build(t), folder: filepath.Join(t.TempDir(), "central-0"), database: address}
	first.set()
	b := openBook(t, open(t, address), first.secret())
	all := []*process{first}
	for i := 1; i < n; i++ {
		all = append(all, first.copyTo(filepath.Join(t.TempDir(), fmt.Sprint("central-", i))))
	}
	for i, p := range all {
		if i < len(ways) {
			p.database = ways[i]
		}
		p.start()
		t.Cleanup(p.stop)
	}
	return b, all
}

// gateway speaks to a process over HTTP as users' machines do.
type gateway struct {
	*client.Gateway
	p *process
}

func (g gateway) Program(ctx context.Context, file []byte) ([]byte, error) {
	return g.Gateway.Program(ctx, *g.p.base.Load(), file)
}

func (g gateway) Receipt(ctx context.Context, file []byte) error {
	return g.Gateway.Receipt(ctx, *g.p.base.Load(), file)
}

// from gives the server as the i-th machine sees it: each has an address of its
// own, because the limits of the server count by address.
func (p *process) from(i int) gateway { return p.with(i, 12) }

// with sets how often a call is tried.
func (p *process) with(i, attempts int) gateway {
	dialer := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(i%250+1))}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4}
	p.t.Cleanup(transport.CloseIdleConnections)
	return gateway{client.NewGateway(client.Options{HTTP: &http.Client{Transport: transport, Timeout: time.Minute}, Attempts: attempts}), p}
}

// central speaks to a process as staff do.
func (p *process) central() *client.Central {
	token, err := os.ReadFile(filepath.Join(p.folder, "admin.token"))
	must(p.t, err)
	return client.NewCentral(*p.base.Load(), strings.TrimSpace(string(token)), client.Options{})
}

func pageOf(n int) client.Page { return client.Page{Limit: n} }
