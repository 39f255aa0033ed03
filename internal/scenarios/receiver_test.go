package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"licet/wire"
)

// receiver is a server that is told what happens.
type receiver struct {
	server *httptest.Server

	mu     sync.Mutex
	keys   []*standardwebhooks.Webhook
	status int
	got    []string // types, and "unsigned" for what no key verifies
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var m wire.WebhookMessage
	known := false
	for _, k := range r.keys {
		known = known || k.VerifyIgnoringTimestamp(body, req.Header) == nil
	}
	if err != nil || !known || json.Unmarshal(body, &m) != nil {
		m.Type = "unsigned"
	}
	r.got = append(r.got, m.Type)
	w.WriteHeader(r.status)
	fmt.Fprintf(w, "this is %d\n", r.status)
}

// take gives what came since.
func (r *receiver) take() (types []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	types, r.got = r.got, nil
	return types
}

func receiverCommand(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	r := s.receivers[args[0]]
	switch {
	case len(args) == 1 && r == nil:
		r = &receiver{status: http.StatusNoContent}
		r.server = httptest.NewServer(http.HandlerFunc(r.serve))
		s.receivers[args[0]] = r
		ts.Setenv(args[0], r.server.URL+"/hooks")
		return nil
	case len(args) != 3 || r == nil:
		return errUsage
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch args[1] {
	case "knows":
		k, err := standardwebhooks.NewWebhook(args[2])
		r.keys = append(r.keys, k)
		return err
	case "answers":
		var err error
		r.status, err = strconv.Atoi(args[2])
		return err
	}
	return errUsage
}

// patience is how long a script waits for what a server does by itself.
const patience = 20 * time.Second

// received waits until as many messages have come as types are named, and checks
// that they are these, in this order.
func received(_ *testscript.TestScript, s *stage, args []string) error {
	if len(args) == 0 || s.receivers[args[0]] == nil {
		return errUsage
	}
	want, got := strings.Join(args[1:], " "), []string{}
	for end := time.Now().Add(patience); len(got) < len(args)-1 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = append(got, s.receivers[args[0]].take()...)
	}
	if got := strings.Join(append(got, s.receivers[args[0]].take()...), " "); got != want {
		return fmt.Errorf("it received %q, not %q", got, want)
	}
	return nil
}

// until repeats a command of the vendor's until it writes what is waited for.
func until(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 3 || args[1] != "central" {
		return errUsage
	}
	want, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	v, line := s.atVendor(ts, args[2:])
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, out, errs := s.central(v, line...)
		if want.MatchString(out) {
			fmt.Fprint(ts.Stdout(), out)
			return nil
		}
		err = errors.New(out + errs)
	}
	return fmt.Errorf("it never says %q: %w", args[0], err)
}
