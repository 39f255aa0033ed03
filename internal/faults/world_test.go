//go:build linux && amd64

package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licet/client"
	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

var update = flag.Bool("update", false, "write testdata/points.txt anew")

// long says that every point is taken.
var long = os.Getenv("LICET_TEST_LONG") == "1"

// work is the folder of everything that these tests make.
var work string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if work, err = os.MkdirTemp("", "licet-faults"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		if err := held(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.RemoveAll(work)
	os.Exit(code)
}

// world is a vendor and a machine, as they are before each of the operations.
type world struct {
	programs string
	central  string // the server's folder, before its operations
	machine  string // the machine's folder, before it makes its requests

	collected, waiting license.ID // a license in the machine, and one not collected
	serial             license.Serial
	activate, giveBack []byte // requests of the machine
	put, drop          prepared
}

// prepared is a machine's folder and an update for it.
type prepared struct{ home, update string }

var theWorld = sync.OnceValues(func() (w *world, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return makeWorld(), nil
})

func getWorld(t *testing.T) *world {
	t.Helper()
	w, err := theWorld()
	must(t, err)
	return w
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func makeWorld() *world {
	w := &world{programs: filepath.Join(work, "bin")}
	build := exec.Command("go", "build", "-o", w.programs+"/", "licet/cmd/licet", "licet/cmd/licet-central")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	check(os.Mkdir(w.programs, 0o700))
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	at := func(name string) string { return filepath.Join(work, name) }
	w.central, w.machine = at("central"), at("machine")
	home, folder := at("home"), at("folder")

	w.must(home, "licet-central", "init", "--data", folder, "--vendor", "Acme", "--address", "http://127.0.0.1:1")
	s := w.serve(folder)
	_, err := s.staff().ApplyCatalog(context.Background(), wire.CatalogRequest{YAML: "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"})
	check(err)
	// The server notes once a minute that a token is used: a write that would come
	// between the points or not, as the clock has it.
	db, err := store.Open(context.Background(), "sqlite:"+filepath.Join(folder, "licet.db"))
	check(err)
	check(db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec("update tokens set used = $1", license.At(time.Now().Add(24*time.Hour)))
		return err
	}))
	check(db.Close())
	sell := func(number string) (license.Ticket, license.ID) {
		o, err := s.staff().CreateOrder(context.Background(), wire.OrderRequest{Number: number, Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD", Quantity: 1}}})
		check(err)
		return o.Ticket, o.Licenses[0].ID
	}
	first, collected := sell("1")
	second, waiting := sell("2")
	w.collected, w.waiting = collected, waiting
	request := func(args ...string) []byte {
		check(os.RemoveAll(at("request")))
		w.must(home, "licet", append(args, "-o", at("request"))...)
		data, err := os.ReadFile(at("request"))
		check(err)
		return data
	}
	answered := func(file []byte) string {
		status, answer, err := s.post(wire.PathProgram, file, nil)
		if err != nil || status != 200 {
			panic(fmt.Sprintf("a request gets %d %s %v", status, answer, err))
		}
		f, err := os.CreateTemp(work, "update")
		check(err)
		_, err = f.Write(answer)
		check(err)
		check(f.Close())
		return f.Name()
	}

	w.must(home, "licet", "trust", "add", filepath.Join(folder, "vendor.trust"))
	w.put.update = answered(request("request", "--ticket", string(first)))
	w.put.home = at("before-put")
	copyFolder(home, w.put.home)
	w.must(home, "licet", "import", w.put.update)
	if status, answer, err := s.post(wire.PathReceipt, request("receipt"), nil); err != nil || status != 200 {
		panic(fmt.Sprintf("a receipt gets %d %s %v", status, answer, err))
	}
	s.stop()
	copyFolder(folder, w.central)
	copyFolder(home, w.machine)

	w.activate = request("request", "--ticket", string(second))
	w.replace(home, w.machine)
	w.giveBack = request("request", "--deactivate", string(collected))
	s = w.serve(folder)
	defer s.stop()
	list, err := s.staff().Containers(context.Background(), client.Page{Limit: 10})
	check(err)
	w.serial = list.Items[0].Serial
	w.drop.update = answered(w.giveBack)
	w.drop.home = at("before-drop")
	copyFolder(home, w.drop.home)
	return w
}

func (w *world) environment(home string) []string {
	return []string{"HOME=" + work, "TMPDIR=" + work, "LICET_HOME=" + home, "PATH=" + os.Getenv("PATH")}
}

// run runs a program without faults.
func (w *world) run(home, program string, args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	cmd := exec.Command(filepath.Join(w.programs, program), args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.environment(home), work, &o, &e
	if err := cmd.Run(); cmd.ProcessState == nil {
		panic(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func (w *world) must(home, program string, args ...string) {
	if status, out, errs := w.run(home, program, args...); status != 0 {
		panic(fmt.Sprintf("%s %s: exit status %d\n%s%s", program, strings.Join(args, " "), status, out, errs))
	}
}

// replace makes a folder what another one is.
func (w *world) replace(folder, by string) {
	check(os.RemoveAll(folder))
	copyFolder(by, folder)
}

func copyFolder(from, to string) { check(os.CopyFS(to, os.DirFS(from))) }

// files are all files under a folder.
func files(folder string) map[string]string {
	all := map[string]string{}
	check(filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		all[name] = string(data)
		return err
	}))
	return all
}

// temps takes the temporary files out of files.
func temps(all map[string]string) (names []string) {
	for name := range all {
		if strings.HasSuffix(name, ".tmp") {
			names = append(names, name)
			delete(all, name)
		}
	}
	return names
}

// server is a licet-central serve, traced or not.
type server struct {
	folder string
	url    string
	cmd    *exec.Cmd
	traced *traced
}

func serveArgs(folder string) []string {
	return []string{"serve", "--data", folder, "--listen", "127.0.0.1:0", "--json", "--log-level", "error"}
}

// serve starts a server without faults.
func (w *world) serve(folder string) *server {
	s := &server{folder: folder, cmd: exec.Command(filepath.Join(w.programs, "licet-central"), serveArgs(folder)...)}
	s.cmd.Env, s.cmd.Dir = w.environment(""), work
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs bytes.Buffer
	s.cmd.Stderr = &errs
	out, err := s.cmd.StdoutPipe()
	check(err)
	check(s.cmd.Start())
	var said struct{ URL string }
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&said); err != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
		panic("the server does not start:\n" + errs.String())
	}
	s.url = said.URL
	return s
}

// serveTraced starts a server under the tracer; its faults begin with arm.
func (w *world) serveTraced(t *testing.T, folder string) *server {
	t.Helper()
	s := &server{folder: folder}
	s.traced = start(t, work, w.environment(""), centralClass(folder), false, fault{}, filepath.Join(w.programs, "licet-central"), serveArgs(folder)...)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		var said struct{ URL string }
		if json.Unmarshal([]byte(s.traced.said()), &said) == nil && said.URL != "" {
			s.url = said.URL
			return s
		}
		select {
		case <-s.traced.ended:
			t.Fatalf("the server does not start: status %d\n%s", s.traced.wait(t), s.traced.complained())
		default:
		}
		if time.Now().After(limit) {
			t.Fatalf("the server does not start:\n%s", s.traced.complained())
		}
	}
}

// kill ends a server as a power cut does.
func (s *server) kill() {
	if s.traced != nil {
		s.traced.kill()
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // killed is how it ends
}

// stop ends a server as its operator does.
func (s *server) stop() {
	check(s.cmd.Process.Signal(syscall.SIGTERM))
	check(s.cmd.Wait())
}

// post sends bytes, once.
func (s *server) post(path string, body []byte, header http.Header) (status int, answer []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	check(err)
	req.Header.Set("Content-Type", wire.MediaFile)
	for name, values := range header {
		req.Header[name] = values
	}
	req.GetBody = nil // so that nobody sends it again
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

func (s *server) token() string {
	token, err := os.ReadFile(filepath.Join(s.folder, "admin.token"))
	check(err)
	return strings.TrimSpace(string(token))
}

// staff speaks to a server as staff do.
func (s *server) staff() *client.Central {
	transport := &http.Transport{DisableKeepAlives: true}
	return client.NewCentral(s.url, s.token(), client.Options{Attempts: 1, HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}})
}

// centralClass tells the files of a server apart.
func centralClass(folder string) func(string, int) string {
	return func(path string, fd int) string {
		switch {
		case fd == 1 || fd == 2:
			return "output"
		case strings.HasPrefix(path, "anon_inode:") || strings.HasPrefix(path, "pipe:") || strings.HasPrefix(path, "/dev/"):
			return ""
		case strings.HasPrefix(path, "socket:"):
			return "answer"
		case path == folder:
			return "folder"
		case path == filepath.Join(folder, "licet.db"):
			return "database"
		case strings.HasPrefix(path, filepath.Join(folder, "licet.db-")):
			return strings.TrimPrefix(path, filepath.Join(folder, "licet.db-"))
		case strings.HasPrefix(filepath.Base(path), "etilqs_"):
			return "temporary file" // SQLite keeps there what a savepoint changed
		default:
			return "elsewhere"
		}
	}
}
