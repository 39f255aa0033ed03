//go:build linux

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licet/client"
	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// work is the folder of everything that these tests make.
var work string

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "licet-hostile"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(work)
	os.Exit(code)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// licenses is how many are sold to the honest machines.
const licenses = 400

// world is a vendor with one order.
type world struct {
	folder   string
	ticket   license.Ticket
	ids      []license.ID
	trust    *seal.Trust
	verifier *seal.Verifier
}

// program is licet-central as it is shipped, built once.
var program = sync.OnceValue(func() string {
	path := filepath.Join(work, "licet-central")
	cmd := exec.Command("go", "build", "-o", path, "licet/cmd/licet-central")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	return path
})

var getWorld = sync.OnceValue(func() *world {
	w := newVendor("vendor")
	s := w.serve(w.folder)
	defer s.stop()
	w.ticket, w.ids = s.order("1", licenses)
	return w
})

// newVendor sets up a vendor that has sold nothing.
func newVendor(name string) *world {
	w := &world{folder: filepath.Join(work, name)}
	if out, err := exec.Command(program(), "init", "--data", w.folder, "--vendor", "Acme", "--address", "http://127.0.0.1:1").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("init: %v\n%s", err, out))
	}
	text, err := os.ReadFile(filepath.Join(w.folder, "vendor.trust"))
	check(err)
	w.trust, err = seal.ParseTrust(text)
	check(err)
	w.verifier, err = seal.NewVerifier(w.trust)
	check(err)
	s := w.serve(w.folder)
	defer s.stop()
	_, err = s.staff().ApplyCatalog(context.Background(), wire.CatalogRequest{YAML: "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"})
	check(err)
	return w
}

// server is a licet-central serve.
type server struct {
	folder, url, host string
	cmd               *exec.Cmd
	errs              *bytes.Buffer
	ended             chan struct{}
}

func (w *world) serve(folder string) *server {
	s := &server{folder: folder, errs: &bytes.Buffer{}, ended: make(chan struct{})}
	s.cmd = exec.Command(program(), "serve", "--data", folder, "--listen", "127.0.0.1:0", "--json", "--log-level", "error")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stderr = s.errs
	out, err := s.cmd.StdoutPipe()
	check(err)
	check(s.cmd.Start())
	var said struct{ URL string }
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&said); err != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
		panic("the server does not start:\n" + s.errs.String())
	}
	s.url, s.host = said.URL, strings.TrimPrefix(said.URL, "http://")
	go func() {
		_ = s.cmd.Wait() // how it ended is seen in its state
		close(s.ended)
	}()
	return s
}

// fresh starts a server on a copy of the world, which must be alive and without
// faults at the end of the test.
func (w *world) fresh(t *testing.T) *server {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "central")
	must(t, os.CopyFS(folder, os.DirFS(w.folder)))
	s := w.serve(folder)
	t.Cleanup(func() {
		select {
		case <-s.ended:
			t.Errorf("the server has ended: %v", s.cmd.ProcessState)
		default:
		}
		s.stop()
		if s.errs.Len() > 0 {
			t.Errorf("the server complains: %.2000s", s.errs)
		}
	})
	return s
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

func (s *server) staff() *client.Central {
	token, err := os.ReadFile(filepath.Join(s.folder, "admin.token"))
	check(err)
	return client.NewCentral(s.url, strings.TrimSpace(string(token)), client.Options{})
}

func (s *server) order(number string, quantity int64) (license.Ticket, []license.ID) {
	o, err := s.staff().CreateOrder(context.Background(), wire.OrderRequest{Number: number, Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD", Quantity: quantity}}})
	check(err)
	var ids []license.ID
	for _, l := range o.Licenses {
		ids = append(ids, l.ID)
	}
	return o.Ticket, ids
}

// memory is a line of the server's /proc/PID/status, in KiB.
func (s *server) memory(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			must(t, err)
			return n
		}
	}
	t.Fatal("no " + name)
	return 0
}

// record is what a refused file must leave as it is: containers and events.
func (s *server) record(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	boxes, err := s.staff().Containers(ctx, client.Page{Limit: 200})
	must(t, err)
	text := fmt.Sprintf("%d containers, ", len(boxes.Items))
	for _, c := range boxes.Items {
		text += fmt.Sprintf("%s %s %d/%d, ", c.Serial, c.Status, c.Acked, c.Issued)
	}
	n, page := 0, client.Page{Limit: 200}
	for range 100 {
		list, err := s.staff().Audit(ctx, page)
		must(t, err)
		n += len(list.Items)
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	return text + fmt.Sprintf("%d events", n)
}

// address is the i-th address of this machine's loopback network, from network a.
func address(a, i int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, byte(a), byte(i/250), byte(i%250+1))}
}

// from makes connections from an address.
func from(t *testing.T, a *net.TCPAddr) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 10 * time.Second, LocalAddr: a}).DialContext, MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is an answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	wire.Problem
}

func read(res *http.Response) (a answer, err error) {
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err == nil && len(a.body) > 0 && a.status >= 400 {
		err = json.Unmarshal(a.body, &a.Problem)
	}
	return a, err
}

// do sends one request, once.
func do(c *http.Client, method, url string, body []byte) (answer, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", wire.MediaFile)
	res, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	return read(res)
}

// proper holds a refusal to its form.
func (a answer) proper() error {
	if a.status < 400 || a.status >= 500 || a.header.Get("Content-Type") != "application/problem+json" ||
		a.Status != a.status || a.Detail == "" || refusal.Lookup(a.Code).Meaning == "" || a.Request == "" {
		return fmt.Errorf("%d %v %.300s", a.status, a.header, a.body)
	}
	return nil
}

// box is a container with nothing around it.
type box struct {
	w     *world
	keys  *seal.ContainerKeys
	state container.State
}

func (w *world) box() *box {
	keys, err := seal.NewContainerKeys(rand.Reader)
	check(err)
	return &box{w: w, keys: keys, state: container.NewState(keys.Serial())}
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

// request makes a request file, or a receipt file where nothing is wished for.
func (x *box) request(wishes container.Wishes) []byte {
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(time.Now()))
	r.Wishes = wishes
	file, err := seal.SealReport(x.w.trust, x.keys, r)
	check(err)
	return file
}

// takes opens an answer and imports it.
func (x *box) takes(file []byte) (container.Update, error) {
	u, err := x.w.verifier.OpenUpdate(file, x.keys)
	if err != nil {
		return u, err
	}
	var steps []container.Incoming
	for _, s := range u.Steps {
		in, err := x.w.verifier.Incoming(s)
		if err != nil {
			return u, err
		}
		steps = append(steps, in)
	}
	next, _, no := x.state.Import(u, steps, nonce, license.At(time.Now()))
	if x.state = next; no != nil {
		return u, no
	}
	return u, nil
}

// activates has a new container get the i-th license, as machines do.
func (w *world) activates(s *server, c *http.Client, i int) error {
	g := client.NewGateway(client.Options{HTTP: c, Attempts: 5})
	x := w.box()
	got, err := g.Program(context.Background(), s.url, x.request(container.Wishes{Tickets: []license.Ticket{w.ticket}, Activate: []license.ID{w.ids[i]}}))
	if err != nil {
		return err
	}
	if _, err := x.takes(got); err != nil {
		return err
	}
	if _, has := x.state.Held[w.ids[i]]; !has {
		return fmt.Errorf("license %d was not given", i)
	}
	return nil
}
