package sdk_test

import (
	"encoding/json"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/sdk"
	"licet/sdktest"
	"licet/seats"
)

var byUnits = []sdktest.Product{
	{Code: "PREPAID", Terms: license.Terms{Units: 10}},
	{Code: "FREE"},
}

// use takes units and wants so many to be left.
func use(t *testing.T, s *sdk.Session, n, left int64) {
	t.Helper()
	switch got, err := s.Use(t.Context(), n); {
	case err != nil:
		t.Fatal(err)
	case got != left:
		t.Fatalf("%d left, want %d", got, left)
	}
}

func refuses(t *testing.T, s *sdk.Session, n int64, code sdk.Code) *refusal.Refusal {
	t.Helper()
	left, err := s.Use(t.Context(), n)
	no, ok := refusal.As(err)
	if !ok || no.Code != code || left != 0 || no.NextStep() == "" {
		t.Fatalf("got %d, %v; want %s", left, err, code)
	}
	return no
}

// TestUse: a program takes units, with an agent and without; what is used is told
// to the vendor, moves with the license, and ends the session when none is left.
func TestUse(t *testing.T) {
	for _, served := range []bool{false, true} {
		v := sdktest.New(t, byUnits...)
		m := v.Machine(t)
		ticket := v.Ticket("PREPAID")
		id := m.Activate(ticket)[0]
		if served {
			m.StartAgent()
		}
		s, other := m.Open(v.Program("PREPAID")), m.Open(v.Program("PREPAID"))
		use(t, s, 3, 7)
		use(t, other, 2, 5)
		if u := want(t, other, sdk.OK).Units; u == nil || *u != (sdk.Units{Total: 10, Used: 5, Left: 5}) {
			t.Fatalf("%+v", u)
		}
		refresh(t, s)
		if u := want(t, s, sdk.OK).Units; u.Left != 5 {
			t.Fatalf("%+v", u)
		}
		if no := refuses(t, s, 6, sdk.UnitsSpent); no.Details["left"] == nil {
			t.Fatalf("%+v", no)
		}
		refuses(t, s, 0, refusal.InvalidInput)
		refuses(t, s, -4, refusal.InvalidInput)

		// Returned and activated on another machine: the rest.
		m.Return(id)
		refresh(t, s)
		refuses(t, s, 1, sdk.NoLicense)
		n := v.Machine(t)
		n.Activate(ticket)
		s = n.Open(v.Program("PREPAID"))
		use(t, s, 4, 1)
		use(t, s, 1, 0)
		select {
		case <-s.Changed():
		default:
			t.Fatal("no signal that none is left")
		}
		want(t, s, sdk.UnitsSpent, "No unit of the license is left; it had 10.")
		refuses(t, s, 1, sdk.UnitsSpent)

		m.Activate(v.Ticket("FREE"))
		free := m.Open(v.Program("FREE"))
		use(t, free, 1<<40, math.MaxInt64)
		if want(t, free, sdk.OK).Units != nil {
			t.Fatal("a counter that nobody sold")
		}
		_ = free.Close()
		if _, err := free.Use(t.Context(), 1); err != sdk.ErrClosed {
			t.Fatal(err)
		}
	}
}

// TestUseAtOnce: many threads of several programs take every unit once.
func TestUseAtOnce(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "PREPAID", Terms: license.Terms{Units: 30}})
	m := v.Machine(t)
	m.Activate(v.Ticket("PREPAID"))
	m.StartAgent()
	var taken atomic.Int64
	var programs sync.WaitGroup
	for range 4 {
		s := m.Open(v.Program("PREPAID"))
		for range 4 {
			programs.Go(func() {
				for range 3 {
					switch _, err := s.Use(t.Context(), 1); {
					case err == nil:
						taken.Add(1)
					case !refusal.Is(err, sdk.UnitsSpent):
						t.Error(err)
					}
				}
			})
		}
	}
	programs.Wait()
	if taken.Load() != 30 {
		t.Fatalf("%d of 30 units were taken", taken.Load())
	}
}

// TestUseOfFakeAgent: what answers on the socket and has no key of the container
// gives no units.
func TestUseOfFakeAgent(t *testing.T) {
	v := sdktest.New(t, byUnits...)
	licensed := v.Machine(t)
	licensed.Activate(v.Ticket("PREPAID"))
	licensed.StartAgent()
	genuine := agent.Connect(agent.Config{Home: licensed.Home()})
	for name, change := range map[string]func(in *agent.TakeRequest) func(*agent.Taken){
		"says yes": func(*agent.TakeRequest) func(*agent.Taken) {
			return func(out *agent.Taken) { out.Step, out.Body, out.Answer = nil, nil, nil }
		},
		"takes fewer": func(in *agent.TakeRequest) func(*agent.Taken) {
			in.Units = 1
			return func(*agent.Taken) {}
		},
		"plays another taking back": func(in *agent.TakeRequest) func(*agent.Taken) {
			in.Nonce = make([]byte, 16)
			return func(*agent.Taken) {}
		},
		"only looks": func(in *agent.TakeRequest) func(*agent.Taken) {
			nonce := in.Nonce
			return func(out *agent.Taken) {
				p, err := genuine.Prove(t.Context(), agent.OpenRequest{Vendor: in.Vendor, Product: in.Product, Nonce: nonce})
				if err != nil {
					t.Error(err)
				}
				out.Proof = p
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := v.Machine(t)
			m.Activate(v.Ticket("PREPAID"))
			asked := impostorAt(t, m, "/v1/take", func(w http.ResponseWriter, r *http.Request) {
				var in agent.TakeRequest
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					t.Error(err)
				}
				after := change(&in)
				out, err := genuine.Take(t.Context(), in)
				if err != nil {
					t.Error(err)
				}
				after(&out)
				_ = json.NewEncoder(w).Encode(out)
			})
			s := m.Open(v.Program("PREPAID"))
			want(t, s, sdk.OK) // by its own files
			if _, err := s.Use(t.Context(), 2); !refusal.Is(err, refusal.BadSignature) || asked.Load() != 1 {
				t.Fatalf("asked %d times: %v", asked.Load(), err)
			}
		})
	}
}

// TestUseOfMovedUnits: units that moved here from another machine are taken with the
// same call, with an agent and without; what is left goes back, and is used there.
func TestUseOfMovedUnits(t *testing.T) {
	for _, served := range []bool{false, true} {
		v := sdktest.New(t, sdktest.Product{Code: "METER", Model: license.Prepaid, Terms: license.Terms{Units: 10, Transfer: license.MovesUnits}})
		from, to := v.Machine(t), v.Machine(t)
		from.Activate(v.Ticket("METER"))
		asked, err := to.Client().Borrow(t.Context(), agent.BorrowRequest{Product: "METER", Kind: seats.Transfer, Units: 6, File: true})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := from.Client().Lend(t.Context(), asked.Data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Client().Import(t.Context(), agent.ImportRequest{Data: answer}); err != nil {
			t.Fatal(err)
		}
		if served {
			to.StartAgent()
		}
		s, other := to.Open(v.Program("METER")), to.Open(v.Program("METER"))
		use(t, s, 4, 2)
		verdict := want(t, s, sdk.OK)
		if u := verdict.Units; verdict.Place != sdk.OnLoan || u == nil || *u != (sdk.Units{Total: 6, Used: 4, Left: 2}) {
			t.Fatalf("%+v %+v", verdict, u)
		}
		refuses(t, s, 3, sdk.UnitsSpent)
		use(t, other, 1, 1)
		if err := s.Return(t.Context()); !refusal.Is(err, refusal.ServerUnreachable) { // gone here; the other machine does not know yet
			t.Fatal(err)
		}
		refuses(t, s, 1, sdk.NoLicense)
		back, err := to.Client().ReturnLoan(t.Context(), agent.ReturnRequest{Loan: "METER", File: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if answer, err = from.Client().Lend(t.Context(), back.Data); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := to.Client().Import(t.Context(), agent.ImportRequest{Data: answer}); err != nil {
			t.Fatal(err)
		}
		use(t, from.Open(v.Program("METER")), 5, 0)
	}
}
