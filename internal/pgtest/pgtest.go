// Package pgtest gives tests real PostgreSQL databases.
//
// One server is started per test process from the installed programs, on a
// unix socket in a temporary folder. It does not wait for the disk: what a crash of
// the server leaves is the same, and no test cuts the power. A server of [Start]
// does wait. The default collation is a linguistic one, so that a query that sorts
// by the locale instead of by bytes shows up. A package that uses [URL] calls [Main] from its TestMain; without
// it the server still ends with the process, and its folder is removed by the
// next run.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// folderPrefix starts the name of every server's folder; the process id follows.
const folderPrefix = "licet-pg-"

// shared is the server of this test process, started on first use.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// URL gives the address of a fresh, empty database on the server that all
// tests of this process share. It goes with the server: to drop one waits for a
// checkpoint, which takes longer than most tests.
func URL(t testing.TB) string {
	t.Helper()
	return ours(t).URL(t)
}

// Prepared gives the address of a copy of a database that prepare was run on: once
// in this process, by the first who asks. Prepare is the same function for all.
func Prepared(t testing.TB, prepare func(address string) error) string {
	t.Helper()
	s := ours(t)
	s.preparing.Do(func() {
		if s.prepareErr = s.exec("CREATE DATABASE prepared"); s.prepareErr == nil {
			s.prepareErr = prepare(s.address("prepared"))
		}
	})
	if s.prepareErr != nil {
		t.Fatalf("pgtest: preparing a database: %v", s.prepareErr)
	}
	return s.fresh(t, " TEMPLATE prepared")
}

func ours(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = newServer("off") })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Copy gives the address of a copy of a database that URL gave, to which nobody is
// connected.
func Copy(t testing.TB, address string) string {
	t.Helper()
	of, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return shared.server.fresh(t, " TEMPLATE "+strings.TrimPrefix(of.Path, "/"))
}

// Main runs the tests, stops the shared server and ends the process. Call it
// from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.remove()
	}
	os.Exit(code)
}

// Start gives t a server of its own, for tests that crash or restart it. It is
// removed when t ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := newServer("on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// Server is one running PostgreSQL.
type Server struct {
	bin string // folder with initdb and postgres
	dir string // holds data/, the log and the socket

	fsync string // on or off

	mu        sync.Mutex // serializes starting, stopping and creating databases
	databases int

	preparing  sync.Once
	prepareErr error

	process *os.Process
	exited  chan struct{} // closed when process has ended
}

// URL gives the address of a fresh, empty database on s.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	return s.fresh(t, "")
}

func (s *Server) fresh(t testing.TB, how string) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	err := s.exec("CREATE DATABASE " + name + how)
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("pgtest: creating a database: %v", err)
	}
	return s.address(name)
}

// Socket gives the path of the server's unix socket, for tests that put a
// relay in between.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// Crash ends the server at once, as a crash does: connections are cut, nothing
// is written back, and the next start recovers from the log.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// Restart starts a server that was ended by Crash.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Follow makes s, which was ended by Crash, a synchronous standby of primary: what
// it had is thrown away, and from now on primary answers a commit only when both
// have it.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.follow(primary); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) follow(primary *Server) error {
	data := filepath.Join(s.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "pg_basebackup"), "-D", data, "-R", "-c", "fast", "--no-sync",
		"-d", "host="+primary.dir+" user=postgres application_name=standby")
	cmd.Dir = s.dir
	cmd.SysProcAttr = attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: pg_basebackup: %w\n%s", err, out)
	}
	if err := s.start(); err != nil {
		return err
	}
	if err := primary.exec("ALTER SYSTEM SET synchronous_standby_names = 'standby'"); err != nil {
		return err
	}
	return primary.exec("SELECT pg_reload_conf()")
}

// Promote makes a standby the primary, which commits alone.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range []string{"SELECT pg_promote(true, 30)", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"} {
		if err := s.exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// Either gives the address of a database that is on this server or on another,
// whichever is the primary.
func (s *Server) Either(other *Server, database string) string {
	return "postgres://postgres@/" + database + "?target_session_attrs=read-write&connect_timeout=5&host=" +
		url.QueryEscape(s.dir+","+other.dir) + "&port=5432,5432"
}

func (s *Server) address(database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(s.dir)
}

func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.address("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

func newServer(fsync string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	removeLeftovers()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, fsync: fsync}
	if err := s.create(); err != nil {
		s.remove()
		return nil, err
	}
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// create makes the data folder.
func (s *Server) create() error {
	if err := handOver(s.dir); err != nil {
		return err
	}
	var out []byte
	var err error
	// Older servers have no ICU collation; they get the plain one.
	for _, locale := range [][]string{{"--locale-provider=icu", "--icu-locale=en-US", "--locale=C"}, {"--locale=C"}} {
		args := append([]string{"-D", filepath.Join(s.dir, "data"), "-U", "postgres",
			"-A", "trust", "-E", "UTF8", "--no-sync"}, locale...)
		cmd := exec.Command(filepath.Join(s.bin, "initdb"), args...)
		cmd.Dir = s.dir
		cmd.SysProcAttr = attributes()
		if out, err = cmd.CombinedOutput(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
}

// start starts the server and waits until it answers. The caller holds mu or
// is the only user.
func (s *Server) start() error {
	logFile, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"),
		"-D", filepath.Join(s.dir, "data"),
		"-c", "listen_addresses=",
		"-c", "fsync="+s.fsync,
		"-c", "unix_socket_directories="+s.dir,
		"-c", "port=5432",
		"-c", "max_connections=200",
		"-c", "shared_buffers=32MB")
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = attributes()

	// The kernel ends the server when the thread that started it ends, so that
	// thread is kept for as long as the server runs.
	exited := make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("pgtest: starting postgres: %w", err)
	}
	s.process, s.exited = cmd.Process, exited

	deadline := time.Now().Add(60 * time.Second)
	for {
		err := s.exec("SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-exited:
		case <-time.After(20 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("pgtest: postgres does not answer: %w\n%s", err, bytes.TrimSpace(text))
	}
}

// stop ends the server without a checkpoint and waits for its end.
func (s *Server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		return errors.New("pgtest: postgres does not end")
	}
	s.process = nil
	return nil
}

func (s *Server) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	os.RemoveAll(s.dir)
}

// programs finds the folder of the newest installed PostgreSQL server.
func programs() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(folder string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		return n
	}
	sort.Slice(folders, func(i, j int) bool { return version(folders[i]) > version(folders[j]) })
	if path, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	for _, folder := range folders {
		_, err1 := os.Stat(filepath.Join(folder, "initdb"))
		_, err2 := os.Stat(filepath.Join(folder, "postgres"))
		if err1 == nil && err2 == nil {
			return folder, nil
		}
	}
	return "", errors.New("pgtest: these tests need a real PostgreSQL, and initdb and postgres were found neither in " +
		"/usr/lib/postgresql/*/bin nor in PATH; install them with: apt-get install postgresql")
}

// removeLeftovers removes folders of test processes that were killed.
func removeLeftovers() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, folder := range folders {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), folderPrefix), "-")
		n, err := strconv.Atoi(pid)
		if err != nil {
			continue
		}
		process, err := os.FindProcess(n)
		if err == nil && errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			os.RemoveAll(folder)
		}
	}
}

// handOver gives dir to the user that runs the server.
func handOver(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := serverUser()
	if err != nil {
		return err
	}
	return os.Chown(dir, int(uid), int(gid))
}
