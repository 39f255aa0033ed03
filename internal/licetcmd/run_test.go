//go:build unix

package licetcmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/license"
	"licet/sdk"
	"licet/sdktest"
)

// launched is a command that runs under a license.
type launched struct {
	out   *bufio.Reader
	errs  *lines
	ended chan error
}

// lines is text that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, l launch, s *sdk.Session, script string) launched {
	t.Helper()
	read, write := io.Pipe()
	run := launched{bufio.NewReader(read), &lines{}, make(chan error, 1)}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetIn(strings.NewReader(""))
	cmd.SetOut(write)
	cmd.SetErr(run.errs)
	go func() { run.ended <- l.command(cmd, s, []string{"sh", "-c", script}); write.Close() }()
	if line, err := run.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return run
}

// status waits for the command's end.
func (l launched) status(t *testing.T) int {
	t.Helper()
	err := <-l.ended
	root := &cobra.Command{RunE: func(*cobra.Command, []string) error { return err }}
	return cli.Main(context.Background(), root, nil, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
}

const loop = `while :; do sleep 0.05; done`

// TestRunPassesSignalsOn: what this process is sent reaches the command.
func TestRunPassesSignalsOn(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD"})
	m := v.Machine(t)
	m.Activate(v.Ticket("CAD"))
	s := m.Open(v.Program("CAD"), sdk.WithRefresh(-1))
	run := start(t, launch{}, s, `trap 'exit 7' USR1; echo ready; `+loop)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := run.status(t); got != 7 {
		t.Errorf("status %d", got)
	}
}

// TestRunLosesItsSeat: it says so; the command goes on, or is asked to end where that
// is wanted, and it says when the seat is back.
func TestRunLosesItsSeat(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD", Model: license.PerpetualMulti, Terms: license.Terms{Seats: 1}})
	server := v.Server(t, v.Ticket("CAD"))
	m := v.Machine(t)
	m.Use(server)
	s := m.Open(v.Program("CAD"), sdk.WithRefresh(-1))
	lose := func() {
		server.Stop()
		v.Clock().Advance(10 * time.Minute)
		_ = s.Refresh(t.Context())
	}
	run := start(t, launch{}, s, `trap 'exit 7' USR1; echo ready; `+loop)
	lose()
	said(t, run.errs, "The command goes on")
	server.Start()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	said(t, run.errs, "is there again")
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := run.status(t); got != 7 {
		t.Errorf("status %d", got)
	}

	run = start(t, launch{stopOnLoss: true}, s, `trap 'exit 9' TERM; echo ready; `+loop)
	lose()
	if got := run.status(t); got != 9 {
		t.Errorf("status %d: %s", got, run.errs)
	}
	said(t, run.errs, "The command is ended")
}

// said waits until something is said.
func said(t *testing.T, l *lines, text string) {
	t.Helper()
	for range 500 {
		if strings.Contains(l.String(), text) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("it does not say %q: %s", text, l)
}

// TestRunWaits: it takes a place in the queue, says which, and goes on when the seat
// is there.
func TestRunWaits(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD", Model: license.PerpetualMulti, Terms: license.Terms{Seats: 1}})
	server := v.Server(t, v.Ticket("CAD"))
	m := v.Machine(t)
	m.Use(server)
	first := m.Open(v.Program("CAD"), sdk.WithRefresh(-1))
	s := m.Open(v.Program("CAD"), sdk.WithRefresh(-1), sdk.WithWait())
	errs := &lines{}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetErr(errs)
	c := &commands{}
	waited := make(chan error, 1)
	go func() { waited <- c.waitFor(cmd, s) }()
	said(t, errs, "place 1 in the queue")
	first.Close()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil || !s.Valid() {
		t.Errorf("%v, %v", err, s.Verdict())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cmd.SetContext(ended)
	third := m.Open(v.Program("CAD"), sdk.WithRefresh(-1), sdk.WithWait())
	if err := c.waitFor(cmd, third); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
