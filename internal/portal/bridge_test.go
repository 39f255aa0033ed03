package portal_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/browser"
	"licet/internal/cli"
	"licet/internal/gateway"
	"licet/internal/licetcmd"
	"licet/internal/machine"
	"licet/internal/portal"
	"licet/internal/web"
	"licet/wire"
)

// bridged is a machine whose agent lets the stage's pages ask.
type bridged struct {
	*box
	port  int
	calls atomic.Int64 // of pages that reached an operation
	url   string       // where a walk has commands run on the machine
}

func (s *stage) bridged() *bridged {
	s.t.Helper()
	gate := httptest.NewServer(gateway.New(s.Registry, slog.New(slog.DiscardHandler), web.Limits{}))
	s.t.Cleanup(gate.Close)
	b := &bridged{box: s.box()}
	b.licet("trust", "add", gate.URL)

	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	env := b.env()
	env.Streams = cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: in, Getenv: func(string) string { return "" }}
	done := make(chan int, 1)
	go func() {
		status := licetcmd.Main(ctx, env, []string{"--home", b.home, "serve", "--bridge", "--bridge-port", "0", "--refresh", "365d"})
		in.Close()
		done <- status
	}()
	ready := make(chan int, 1)
	s.t.Cleanup(func() {
		cancel()
		if status := <-done; status != 0 {
			s.t.Errorf("licet serve: exit %d", status)
		}
	})
	go func() {
		opened := regexp.MustCompile(`msg="bridge open" address=http://127\.0\.0\.1:(\d+)`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := opened.FindStringSubmatch(lines.Text()); m != nil {
				port, _ := strconv.Atoi(m[1])
				ready <- port
			}
			if strings.Contains(lines.Text(), `msg="bridge called"`) {
				b.calls.Add(1)
			}
		}
	}()
	b.port = <-ready
	portal.SetBridgePort(b.port)
	s.t.Cleanup(func() { portal.SetBridgePort(wire.BridgePort) })

	// The list of origins comes in the background.
	for allowed := false; !allowed; {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodOptions, fmt.Sprintf("http://127.0.0.1:%d%s", b.port, wire.PathBridgePair), nil)
		s.must(err)
		r.Header.Set("Origin", s.url)
		answer, err := http.DefaultClient.Do(r)
		s.must(err)
		answer.Body.Close()
		allowed = answer.StatusCode == http.StatusNoContent
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Args []string
			Text string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/run":
			_, _ = io.WriteString(w, b.licet(in.Args...))
		case "/file":
			_, _ = w.Write(b.file(in.Args...))
		case "/import":
			name := filepath.Join(s.t.TempDir(), "x.licet-update")
			s.must(os.WriteFile(name, []byte(in.Text), 0o600))
			_, _ = io.WriteString(w, b.licet("import", name))
		}
	}))
	s.t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// env is the world of the machine's commands.
func (b *box) env() licetcmd.Env {
	return licetcmd.Env{Now: func() time.Time { return b.s.now }, Traits: func() []machine.Trait { return b.traits }}
}

func hostOf(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestWalkBridge: a page uses the agent of the computer it is read on, where the
// user consents; where he does not, or nobody is there, the way by file is open.
func TestWalkBridge(t *testing.T) {
	s := newStage(t)
	b := s.bridged()
	ticket, ids := s.bought("Hartmann Precision Ltd.", "STUDIO", "FLOAT")
	walk := func(name string, port int, noisy bool) {
		t.Helper()
		portal.SetBridgePort(port)
		browser.At(t, browser.Look{Walks: []browser.Walk{{Name: "bridge-" + name, File: "testdata/bridge.mjs", Base: s.url, Noisy: noisy,
			Hosts: []string{fmt.Sprintf("127.0.0.1:%d", port)},
			Data:  map[string]any{"walk": name, "ticket": ticket, "studio": ids["STUDIO"], "float": ids["FLOAT"], "helper": b.url, "shots": os.Getenv("LICET_SHOTS")}}}})
	}
	walk("refused", b.port, false)
	if n := b.calls.Load(); n == 0 {
		t.Error("the page never asked")
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	_, nobody, _ := strings.Cut(hostOf(t, closed.URL), ":")
	port, err := strconv.Atoi(nobody)
	s.must(err)
	walk("nobody", port, true) // the browser says on the console that nobody answers
	walk("consent", b.port, false)
}

// TestWalkBridgeDenied: the browser takes the page for one from the net. Without its
// permission nothing reaches the agent, and the user finishes by file; with it, the
// agent does all (Th25).
func TestWalkBridgeDenied(t *testing.T) {
	s := newStage(t)
	b := s.bridged()
	for _, name := range []string{"denied", "granted"} {
		ticket, ids := s.bought("Hartmann Precision Ltd.", "STUDIO", "FLOAT")
		before := b.calls.Load()
		browser.At(t, browser.Look{
			Args: []string{"--ip-address-space-overrides=" + hostOf(t, s.url) + "=public"},
			Walks: []browser.Walk{{Name: "bridge-" + name, File: "testdata/bridge.mjs", Base: s.url, Noisy: name == "denied",
				Hosts: []string{fmt.Sprintf("127.0.0.1:%d", b.port)},
				Data:  map[string]any{"walk": name, "ticket": ticket, "studio": ids["STUDIO"], "float": ids["FLOAT"], "helper": b.url, "shots": os.Getenv("LICET_SHOTS")}}}})
		if n := b.calls.Load() - before; (n > 0) != (name == "granted") {
			t.Errorf("%s: %d calls reached the agent", name, n)
		}
	}
}
