package scenarios

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licet/internal/centralcmd"
	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/licetcmd"
	"licet/internal/machine"
	"licet/internal/pgtest"
	"licet/seats"
	"licet/wire"
)

// stage is where one script plays.
type stage struct {
	ctx      context.Context
	t        testing.TB
	work     string
	database func(testing.TB) string // the address of an empty one; "" for SQLite in the vendor's folder

	mu  sync.Mutex // protects now, and the hosts' offsets and traits: servers and agents read them
	now time.Time

	vendors  map[string]*vendor // "" is the one that every script has
	machines map[string]*host
	orders   int
	losses   int // of the server

	receivers map[string]*receiver
	signer    signer
}

// vendor is a running server.
type vendor struct {
	database string // its address; empty for the one in the folder
	dir, url string
	stop     func()
}

func (v *vendor) trust() string { return filepath.Join(v.dir, "vendor.trust") }

// host imitates a machine.
type host struct {
	s      *stage
	name   string
	home   string
	traits []machine.Trait
	offset time.Duration // its clock's error
	disk   *durable.Disk
	net    *network
	agent  func() // stops the agent that runs, if one does
	shares string // where it shares seats, if it does
	log    *journal

	before, after fingerprint // of the home folder, around the last command
}

func (s *stage) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (h *host) clock() time.Time {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.now.Add(h.offset)
}

// present are the traits that the machine has now.
func (h *host) present() []machine.Trait {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return slices.Clone(h.traits)
}

// strike stops everything that runs.
func (s *stage) strike() {
	for _, h := range s.machines {
		if h.agent != nil {
			h.agent()
		}
		if h.log != nil && s.t.Failed() {
			s.t.Logf("the latest agent of %s:\n%s", h.name, h.log)
		}
	}
	for _, v := range s.vendors {
		if v.stop != nil {
			v.stop()
		}
	}
	for _, r := range s.receivers {
		r.server.Close()
	}
	if s.signer.stop != nil {
		s.signer.stop()
	}
}

// found sets a vendor up, starts its server and applies the catalog. The command
// line of init may go on with args.
func (s *stage) found(name string, args ...string) (*vendor, error) {
	v := &vendor{dir: filepath.Join(s.work, "central"+name), database: s.database(s.t)}
	s.vendors[name] = v
	if err := s.open(v, "127.0.0.1:0", args...); err != nil {
		return nil, err
	}
	if status, _, errs := s.central(v, "apply", "-f", filepath.Join(s.work, "catalog.yaml")); status != 0 {
		return nil, fmt.Errorf("the catalog: %s", errs)
	}
	return v, nil
}

// rob gives somebody a copy of all that the first vendor's server has, and a server
// that runs on it.
func (s *stage) rob(name string) (*vendor, error) {
	v := s.vendors[""]
	v.stop()
	w := &vendor{dir: filepath.Join(s.work, "central"+name)}
	s.vendors[name] = w
	if err := os.CopyFS(w.dir, os.DirFS(v.dir)); err != nil {
		return nil, err
	}
	if v.database != "" {
		w.database = pgtest.Copy(s.t, v.database)
	}
	return w, errors.Join(s.open(v, strings.TrimPrefix(v.url, "http://")), s.open(w, "127.0.0.1:0"))
}

// open starts a vendor's server.
func (s *stage) open(v *vendor, listen string, args ...string) error {
	serve := []string{"serve", "--data", v.dir, "--listen", listen, "--log-level", "error"}
	if v.database != "" {
		serve = append(serve, "--database", v.database)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	listening, ended := make(chan string, 1), make(chan int, 1)
	env, _, errs := s.environment()
	env.Serving = func(url string) { listening <- url }
	go func() { ended <- centralcmd.Run(ctx, env, append(serve, args...)) }()
	v.stop = func() { cancel(); <-ended }
	select {
	case v.url = <-listening:
	case status := <-ended:
		v.stop = cancel
		return fmt.Errorf("the server ended with status %d: %s", status, errs)
	}
	return nil
}

// environment is what commands of a vendor find around them.
func (s *stage) environment() (env centralcmd.Env, out, errs *bytes.Buffer) {
	env = centralcmd.System()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	env.Now = s.clock
	env.Streams = cli.Streams{In: strings.NewReader(""), Out: out, Err: errs, Getenv: func(string) string { return "" }}
	return env, out, errs
}

// central runs a command of the vendor's staff.
func (s *stage) central(v *vendor, args ...string) (status int, out, errs string) {
	env, o, e := s.environment()
	env.Getenv = func(name string) string {
		return map[string]string{"LICET_DATA": v.dir, "LICET_URL": v.url, "LICET_DATABASE": v.database}[name]
	}
	status = centralcmd.Run(s.ctx, env, args)
	return status, o.String(), e.String()
}

// add puts a machine on the stage.
func (s *stage) add(name string) *host {
	h := &host{s: s, name: name, home: filepath.Join(s.work, "home-"+name), traits: usual(name), disk: &durable.Disk{}, net: &network{}}
	s.machines[name] = h
	return h
}

// usual are the traits of a healthy machine: 15 points, of which loose needs 8,
// medium 11 and tight all.
func usual(name string) []machine.Trait {
	return []machine.Trait{
		{Name: machine.MachineID, Value: "id of " + name, Weight: 4},
		{Name: machine.NetworkAddress, Value: "address of " + name, Weight: 3},
		{Name: machine.DiskID, Value: "disk of " + name, Weight: 3},
		{Name: machine.RootFilesystem, Value: "filesystem of " + name, Weight: 2},
		{Name: machine.ComputerModel, Value: "model", Weight: 1},
		{Name: machine.Processor, Value: "processor", Weight: 1},
		{Name: machine.HostName, Value: "host " + name, Weight: 1},
	}
}

// environment is what commands on a machine find around them.
func (h *host) environment(in io.Reader) (env licetcmd.Env, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return licetcmd.Env{
		Now: h.clock, Traits: h.present, Disk: h.disk,
		Station:  func() seats.Client { return seats.Client{Host: h.name, User: "ada"} },
		Discover: func(context.Context) []string { return nil },
		HTTP:     &http.Client{Transport: h.net, Timeout: 30 * time.Second},
		Streams:  cli.Streams{In: in, Out: out, Err: errs, Getenv: func(string) string { return "" }},
	}, out, errs
}

// licet runs a command on a machine.
func (h *host) licet(in io.Reader, args ...string) (status int, out, errs string) {
	env, o, e := h.environment(in)
	h.before = h.fingerprint()
	status = licetcmd.Main(h.s.ctx, env, append([]string{"--home", h.home}, args...))
	h.after = h.fingerprint()
	return status, o.String(), e.String()
}

// serve starts the background agent, with what its command line goes on with, and
// waits until it answers and shares what it is to share.
func (h *host) serve(args ...string) error {
	ctx, cancel := context.WithCancel(h.s.ctx)
	env, _, _ := h.environment(strings.NewReader(""))
	errs := &journal{}
	env.Streams.Err = errs
	h.log = errs
	ended := make(chan int, 1)
	line := append([]string{"--home", h.home, "serve", "--refresh", "12h"}, args...)
	go func() { ended <- licetcmd.Main(ctx, env, line) }()
	for range 500 {
		_, err := os.Stat(filepath.Join(h.home, "agent.sock"))
		shares := sharing.FindStringSubmatch(errs.String())
		if err == nil && (len(args) == 0 || shares != nil) {
			if shares != nil {
				h.shares = shares[1]
			}
			h.agent = func() { cancel(); <-ended; h.agent = nil }
			return nil
		}
		select {
		case status := <-ended:
			cancel()
			return fmt.Errorf("the agent ended with status %d: %s", status, errs)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	return errors.New("the agent does not answer")
}

// sharing finds in an agent's log where it shares seats.
var sharing = regexp.MustCompile(`seats are shared" address=http://(\S+)`)

// journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// fingerprint is the content of a folder: hashes by name.
type fingerprint map[string][32]byte

// fingerprint looks at all of the home folder but locks and sockets.
func (h *host) fingerprint() fingerprint {
	f := fingerprint{}
	err := filepath.WalkDir(h.home, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() || d.Name() == "lock" {
			return err
		}
		data, err := os.ReadFile(path)
		f[strings.TrimPrefix(path, h.home)] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		h.s.t.Error(err)
	}
	return f
}

func (f fingerprint) equal(g fingerprint) bool { return maps.Equal(f, g) }

// network is a machine's way to the world.
type network struct {
	down bool // nothing goes out
	mute bool // requests arrive, answers are lost

	unplugged bool // no license server is reached
	unheard   bool // and here its answers are lost
	sent      []byte
}

// isSeats reports whether a path is a license server's.
func isSeats(path string) bool {
	return path == wire.PathProducts || path == wire.PathLoans || strings.HasPrefix(path, wire.PathLeases)
}

var errNetwork = errors.New("the network is gone")

// RoundTrip carries one call, as well as the network is.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(r.URL.Path, wire.PathProgram) {
			n.sent = body
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	local := isSeats(r.URL.Path)
	if n.down || n.unplugged && local {
		return nil, errNetwork
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && (n.mute || n.unheard && local && r.Method != http.MethodGet) {
		answer.Body.Close()
		return nil, errNetwork
	}
	return answer, err
}

// cutAt makes the disk fail for good from operation n on, as a power cut does;
// reached tells whether it got that far.
func (h *host) cutAt(n int) (reached func() bool) {
	count := 0
	h.disk.Fault = func(durable.Op, string) error {
		if count++; count >= n {
			return syscall.EIO
		}
		return nil
	}
	return func() bool { h.disk.Fault = nil; return count >= n }
}

// keep copies the home folder.
func (h *host) keep(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return filepath.WalkDir(h.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := dir + strings.TrimPrefix(path, h.home)
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o700)
		case !d.Type().IsRegular():
			return nil // a socket
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	})
}

// putBack makes the home folder a copy of dir.
func (h *host) putBack(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(h.home); err != nil {
		return err
	}
	return (&host{home: dir}).keep(h.home)
}
