package contention

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"licet/seats"
)

// network is two hosts on a cable, each in a network namespace of its own: nothing
// else is on it, and nothing of it is seen outside.
type network struct {
	t      *testing.T
	hosts  [2]string // names of the namespaces
	cables [2]string // names of the ends
}

const (
	firstAddress  = "10.77.0.1"
	secondAddress = "10.77.0.9" // where the server moves to
	clientAddress = "10.77.0.2"
)

func newNetwork(t *testing.T) *network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("networks of one's own need root and the program ip (iproute2)")
	}
	id := fmt.Sprintf("lic%d", os.Getpid()%100000)
	n := &network{t: t, hosts: [2]string{id + "s", id + "c"}, cables: [2]string{id + "v0", id + "v1"}}
	if out, err := exec.Command("ip", "netns", "add", n.hosts[0]).CombinedOutput(); err != nil {
		t.Skipf("this system lets nobody make a network: %s", out)
	}
	t.Cleanup(func() { n.ip("netns", "del", n.hosts[0]) })
	n.ip("netns", "add", n.hosts[1])
	t.Cleanup(func() { n.ip("netns", "del", n.hosts[1]) })
	n.ip("link", "add", n.cables[0], "netns", n.hosts[0], "type", "veth", "peer", "name", n.cables[1], "netns", n.hosts[1])
	n.ip("-n", n.hosts[0], "addr", "add", firstAddress+"/24", "dev", n.cables[0])
	n.ip("-n", n.hosts[1], "addr", "add", clientAddress+"/24", "dev", n.cables[1])
	for i := range n.hosts {
		n.ip("-n", n.hosts[i], "link", "set", "lo", "up")
	}
	n.cable("up")
	return n
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Errorf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// cable plugs the cable in ("up") or pulls it ("down").
func (n *network) cable(state string) {
	n.t.Helper()
	for i := range n.hosts {
		n.ip("-n", n.hosts[i], "link", "set", n.cables[i], state)
	}
}

// on is a program on one of the hosts. What a program sees of the machine besides
// its network is the same as here.
func (n *network) on(host int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(n.t.Context(), "nsenter", append([]string{"--net=/run/netns/" + n.hosts[host]}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// station is a machine whose programs use the server's seats.
type station struct {
	*network
	program, home string
}

// try runs licet there and answers its exit status and what it wrote.
func (s station) try(args ...string) (status int, out string) {
	s.t.Helper()
	var both bytes.Buffer
	cmd := s.on(1, append([]string{s.program}, args...)...)
	cmd.Env = []string{"HOME=" + s.home, "LICET_HOME=" + s.home, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = &both, &both
	_ = cmd.Run() // the status says it
	return cmd.ProcessState.ExitCode(), both.String()
}

func (s station) is(want int, args ...string) string {
	s.t.Helper()
	status, out := s.try(args...)
	if status != want {
		s.t.Fatalf("licet %s: exit status %d, not %d\n%s", strings.Join(args, " "), status, want, out)
	}
	return out
}

// until tries again until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// TestTwoHosts has a program on one host use the server on another: over TLS, with
// the cable pulled, after the server has moved to another address during a loan,
// and with a loan that ends while nobody can speak to anybody.
func TestTwoHosts(t *testing.T) {
	n := newNetwork(t)
	h := newHost(t, 1)
	must(t, os.MkdirAll(filepath.Join(h.home, "server"), 0o700))
	must(t, os.WriteFile(filepath.Join(h.home, "server", "rules"), []byte("allow subnet=10.77.0.0/24\n"), 0o600))
	var server *exec.Cmd
	serve := func(address string) {
		t.Helper()
		server = n.on(0, h.program, "serve", "--home", h.home, "--refresh", "12h", "--no-discovery", "--listen", address)
		log, err := os.OpenFile(h.home+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(t, err)
		defer log.Close()
		server.Stderr = log
		must(t, server.Start())
	}
	stop := func() {
		_ = server.Process.Signal(syscall.SIGTERM) // it may be gone
		_ = server.Wait()
	}
	serve(firstAddress)
	t.Cleanup(func() { stop() })
	sessions := func() (list []seats.LeaseView) {
		cmd := n.on(0, h.program, "sessions", "--home", h.home, "--json")
		out, err := cmd.Output()
		var answer struct{ Leases []seats.LeaseView }
		if err != nil || json.Unmarshal(out, &answer) != nil {
			t.Fatalf("licet sessions: %v\n%s\n%s", err, out, h.log())
		}
		return answer.Leases
	}

	s := station{n, h.program, filepath.Join(t.TempDir(), "licet")}
	trust := filepath.Join(t.TempDir(), "vendor.trust")
	must(t, os.WriteFile(trust, h.trust, 0o600))
	s.is(0, "trust", "add", trust)
	s.is(0, "servers", "add", firstAddress)
	until(t, "the server answers", func() bool { status, _ := s.try("run", product, "--", "true"); return status == 0 })

	// A loan works with the cable pulled.
	s.is(0, "borrow", product, "--for", "1h")
	lent := sessions()
	if len(lent) != 1 || lent[0].Kind != seats.Loan {
		t.Fatalf("%+v", lent)
	}
	n.cable("down")
	s.is(0, "check", product)
	s.is(0, "run", product, "--", "true")

	// The server moves; nothing is stuck.
	stop()
	n.ip("-n", n.hosts[0], "addr", "del", firstAddress+"/24", "dev", n.cables[0])
	n.ip("-n", n.hosts[0], "addr", "add", secondAddress+"/24", "dev", n.cables[0])
	n.cable("up")
	serve(secondAddress)
	s.is(0, "servers", "remove", firstAddress)
	s.is(0, "servers", "add", secondAddress)
	until(t, "the loan is back", func() bool {
		s.try("return", string(lent[0].Lease)) // again where the server did not answer yet
		return len(sessions()) == 0
	})

	// A loan ends on both sides, although they cannot speak.
	until(t, "the seat can be lent again", func() bool { status, _ := s.try("borrow", product, "--for", "3s"); return status == 0 })
	n.cable("down")
	until(t, "the loan is over where it was borrowed", func() bool { status, _ := s.try("check", product); return status == 1 })
	until(t, "and where it was lent", func() bool { return len(sessions()) == 0 })
	n.cable("up")
	until(t, "somebody else can have it", func() bool { status, _ := s.try("run", product, "--", "true"); return status == 0 })
}
