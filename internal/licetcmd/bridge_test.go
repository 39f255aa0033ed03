package licetcmd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"licet/internal/agent/vendortest"
	"licet/internal/cli"
	"licet/internal/licetcmd"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// serve runs licet serve until the test ends, and gives the lines it logs.
func (u *user) serve(args ...string) *bufio.Scanner {
	u.t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	env := u.env
	env.Streams = cli.Streams{In: bytes.NewReader(nil), Out: io.Discard, Err: in, Getenv: func(name string) string {
		if name == "LICET_HOME" {
			return u.home
		}
		return ""
	}}
	done := make(chan int, 1)
	go func() {
		status := licetcmd.Main(ctx, env, append([]string{"serve"}, args...))
		in.Close()
		done <- status
	}()
	u.t.Cleanup(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if status := <-done; status != 0 {
			u.t.Errorf("licet serve: exit %d", status)
		}
	})
	return bufio.NewScanner(out)
}

// TestBridgeCommands: what a person types to let a page in.
func TestBridgeCommands(t *testing.T) {
	const origin = "https://licenses.example"
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now) })
	v.Origins = []string{origin}
	u := newUser(t, now)
	u.run(0, nil, "trust", "add", v.URL)
	// Without an agent, or with one that has no bridge, there is nothing to allow.
	for _, args := range [][]string{{"bridge", "list"}, {"bridge", "allow", "ABCD-EFGH"}, {"bridge", "forget"}} {
		if e := u.failure(refusal.AgentUnreachable, args...); !strings.Contains(e.Hint, "--bridge") {
			t.Fatalf("%+v", e)
		}
	}
	u.run(cli.StatusUsage, nil, "bridge", "allow")

	log := u.serve("--bridge", "--bridge-port", "0")
	address, serving := "", false
	opened := regexp.MustCompile(`msg="bridge open" address=(http://127\.0\.0\.1:\d+)`)
	for (address == "" || !serving) && log.Scan() {
		if m := opened.FindStringSubmatch(log.Text()); m != nil {
			address = m[1]
		}
		serving = serving || strings.Contains(log.Text(), "msg=serving")
	}
	go func() {
		for log.Scan() { // so that the agent can go on
		}
	}()
	call := func(path, token string, in, out any) int {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Origin": {origin}, "Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
				t.Fatal(err)
			}
		}
		return answer.StatusCode
	}
	var p wire.BridgePairing
	deadline := time.Now().Add(20 * time.Second)
	for call(wire.PathBridgePair, "", wire.BridgePair{Vendor: v.ID()}, &p) != http.StatusOK {
		if time.Now().After(deadline) { // the list of origins comes in the background
			t.Fatal("the page may not ask")
		}
	}
	out, _ := u.run(0, nil, "bridge", "list")
	if !strings.Contains(out, origin) || !strings.Contains(out, "waiting") || strings.Contains(out, p.Code) {
		t.Fatal(out)
	}
	u.failure(refusal.NotFound, "bridge", "allow", "AAAA-AAAA")
	out, _ = u.run(0, nil, strings.Fields(p.Command)[1:]...)
	if !strings.Contains(out, "Allowed") || !strings.Contains(out, origin) || !strings.Contains(out, "Example Software") || !strings.Contains(out, "one hour") {
		t.Fatal(out)
	}
	var said wire.BridgeConsent
	call(wire.PathBridgeWait, "", wire.BridgeWait{ID: p.ID}, &said)
	var done wire.Programming
	if got := call(wire.PathBridgeActivate, said.Token, wire.BridgeActivate{Tickets: []license.Ticket{v.Sell(product())}}, &done); got != http.StatusOK || len(done.Applied) != 1 {
		t.Fatal(got, done)
	}
	u.run(0, nil, "check", "CAD-PRO")
	out, _ = u.run(0, nil, "bridge", "forget", origin)
	if !strings.Contains(out, "Ended") {
		t.Fatal(out)
	}
	if got := call(wire.PathBridgeContainers, said.Token, struct{}{}, nil); got != http.StatusUnauthorized {
		t.Fatal(got)
	}
	out, _ = u.run(0, nil, "bridge", "list")
	if !strings.Contains(out, "No page") {
		t.Fatal(out)
	}
	u.failure(refusal.NotFound, "bridge", "forget", "https://elsewhere.example")
	if out, _ = u.run(0, nil, "bridge", "forget"); !strings.Contains(out, "No page") {
		t.Fatal(out)
	}
}
