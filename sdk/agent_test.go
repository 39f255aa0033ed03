package sdk_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/internal/home"
	"licet/internal/licetcmd"
	"licet/sdk"
	"licet/sdktest"
	"licet/seal"
	"licet/terms"
)

// impostor answers on a machine's socket in the agent's place: it imitates what
// proves a license.
func impostor(t *testing.T, m *sdktest.Machine, answer http.HandlerFunc) *atomic.Int64 {
	t.Helper()
	return impostorAt(t, m, "/v1/open", answer)
}

// impostorAt imitates one operation.
func impostorAt(t *testing.T, m *sdktest.Machine, path string, answer http.HandlerFunc) *atomic.Int64 {
	t.Helper()
	if err := os.MkdirAll(m.Home(), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(m.Home(), "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int64)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		asked.Add(1)
		answer(w, r)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }() // ends with the server
	t.Cleanup(func() { server.Close(); <-ended })
	return asked
}

// proof asks a machine's real agent as a program does.
func proof(t *testing.T, v *sdktest.Vendor, m *sdktest.Machine, product string, nonce []byte) agent.Proof {
	t.Helper()
	trust, err := seal.ParseTrust(v.Trust())
	if err != nil {
		t.Fatal(err)
	}
	p, err := agent.Connect(agent.Config{Home: m.Home()}).Prove(t.Context(), agent.OpenRequest{
		Vendor: string(trust.Scope.Vendor), Product: product, Nonce: nonce,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFakeAgent: nothing that answers on the socket without the container's key
// makes a session valid, and nothing there keeps a real license from working.
func TestFakeAgent(t *testing.T) {
	v := sdktest.New(t, catalog...)
	licensed := v.Machine(t)
	licensed.Activate(v.Ticket("FREE"), v.Ticket("MONTH"))
	licensed.StartAgent()
	stranger := sdktest.New(t, catalog...)
	foreign := stranger.Machine(t)
	foreign.Activate(stranger.Ticket("FREE"))
	foreign.StartAgent()
	nonce := make([]byte, 16)
	recorded := proof(t, v, licensed, "FREE", nonce)
	if recorded.Body == nil || recorded.Answer == nil {
		t.Fatalf("the agent proves nothing: %+v", recorded)
	}
	// say answers with a proof, made anew for each question.
	say := func(make func(agent.OpenRequest) agent.Proof) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var in agent.OpenRequest
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			if in.Nonce == nil { // it is asked for seats of the network
				http.NotFound(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(make(in))
		}
	}
	// now asks the real agent of the licensed machine for another product.
	now := func(change func(*agent.Proof)) http.HandlerFunc {
		return say(func(in agent.OpenRequest) agent.Proof {
			p := proof(t, v, licensed, "FREE", in.Nonce)
			change(&p)
			return p
		})
	}
	for name, answer := range map[string]http.HandlerFunc{
		"says yes": say(func(agent.OpenRequest) agent.Proof {
			return agent.Proof{Verdict: terms.Verdict{Valid: true, Code: sdk.OK}}
		}),
		"plays a proof back":  say(func(agent.OpenRequest) agent.Proof { return recorded }),
		"has no answer":       now(func(p *agent.Proof) { p.Answer = nil }),
		"answers for another": now(func(p *agent.Proof) { p.Answer = recorded.Answer }),
		"alters the license":  now(func(p *agent.Proof) { p.Body[len(p.Body)/2] ^= 1 }),
		"alters the step":     now(func(p *agent.Proof) { p.Step[len(p.Step)/2] ^= 1 }),
		"is of another vendor": say(func(in agent.OpenRequest) agent.Proof {
			return proof(t, stranger, foreign, "FREE", in.Nonce)
		}),
		"has too many keys":     now(func(p *agent.Proof) { p.Certificates = make([][]byte, 100000) }),
		"is of an environment":  now(func(p *agent.Proof) { p.Environment = "test" }),
		"gives another product": say(func(in agent.OpenRequest) agent.Proof { return proof(t, v, licensed, "MONTH", in.Nonce) }),
		"shows a license that was returned": say(func(in agent.OpenRequest) agent.Proof {
			p := recorded // kept from before, with what the container says of another license
			p.Answer = proof(t, v, licensed, "MONTH", in.Nonce).Answer
			return p
		}),
		"answers no JSON":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("yes")) },
		"fails":                  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"says there is no agent": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	} {
		t.Run(name, func(t *testing.T) {
			without := v.Machine(t)
			asked := impostor(t, without, answer)
			want(t, without.Open(v.Program("FREE")), sdk.NoLicense)

			with := v.Machine(t)
			with.Activate(v.Ticket("FREE"))
			askedToo := impostor(t, with, answer)
			want(t, with.Open(v.Program("FREE")), sdk.OK)
			if asked.Load() == 0 || askedToo.Load() == 0 {
				t.Error("the impostor was not asked: the test shows nothing")
			}
		})
	}
}

// TestRelay is a known limit: a question that is forwarded to a
// real agent elsewhere is answered by it.
func TestRelay(t *testing.T) {
	v := sdktest.New(t, catalog...)
	licensed, without := v.Machine(t), v.Machine(t)
	licensed.Activate(v.Ticket("FREE"))
	licensed.StartAgent()
	impostor(t, without, func(w http.ResponseWriter, r *http.Request) {
		var in agent.OpenRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(proof(t, v, licensed, in.Product, in.Nonce))
	})
	want(t, without.Open(v.Program("FREE")), sdk.OK)
}

func TestAgentThatHangs(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	impostor(t, m, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the caller left
		<-r.Context().Done()
	})
	start := time.Now()
	want(t, m.Open(v.Program("FREE")), sdk.OK)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAgentComesAndGoes(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("MONTH"))
	s := m.Open(v.Program("MONTH"))
	for range 2 {
		m.StartAgent()
		refresh(t, s)
		want(t, s, sdk.OK)
		m.StopAgent()
		refresh(t, s)
		want(t, s, sdk.OK)
	}
}

// TestSameHome: programs look where the licet program keeps the licenses.
func TestSameHome(t *testing.T) {
	t.Setenv(home.Variable, "")
	flag := licetcmd.Root(licetcmd.Env{}).PersistentFlags().Lookup("home")
	if want := home.Default(os.Getenv); !strings.Contains(flag.Usage, want+")") {
		t.Errorf("programs look in %s; licet says: %s", want, flag.Usage)
	}
	t.Setenv(home.Variable, "/elsewhere")
	if got := home.Find(os.Getenv); got != "/elsewhere" {
		t.Errorf("%s is passed over: %s", home.Variable, got)
	}
}
