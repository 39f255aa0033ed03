package agent

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"licet/container"
	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// TestReachable: the machine's list counts alone; where it names none, the network is
// looked at, unless the list forbids that.
func TestReachable(t *testing.T) {
	looked := 0
	a := Open(Config{Home: filepath.Join(t.TempDir(), "licet"), Discover: func(context.Context) []string {
		looked++
		return []string{"192.168.1.5:47120"}
	}})
	reach := func(want ...string) {
		t.Helper()
		got, err := a.Reachable(t.Context(), Nothing{})
		if err != nil || !slices.Equal(got.List, want) {
			t.Errorf("%v, %v; want %v", got.List, err, want)
		}
	}
	reach("192.168.1.5:47120")
	reach("192.168.1.5:47120")
	if looked != 1 {
		t.Errorf("looked %d times", looked)
	}
	off := false
	if _, err := a.ChangeServers(t.Context(), ServersChange{Discovery: &off}); err != nil {
		t.Fatal(err)
	}
	reach()
	if _, err := a.Borrow(t.Context(), BorrowRequest{Product: "CAD", For: 1e9}); !refusal.Is(err, refusal.VendorUntrusted) {
		t.Errorf("%v", err)
	}
	if _, err := a.ChangeServers(t.Context(), ServersChange{Add: []string{"localhost"}}); err != nil {
		t.Fatal(err)
	}
	reach("localhost")
}

// TestLentIntoAnotherKind: a loan that the vendor lets into other kinds of container
// is not taken in, whatever its server says.
func TestLentIntoAnotherKind(t *testing.T) {
	for kinds, want := range map[license.KindSet]refusal.Code{"": "", "machine+token": "", "token+cloud": refusal.BorrowNotAllowed} {
		b := &box{header: containerfile.Header{Kind: string(license.Machine)}, bodies: map[license.ID]containerfile.Body{}}
		b.Loans = map[seats.LeaseID]loan{}
		body := container.Body{Tolerance: license.Medium, Terms: license.Terms{Borrow: license.Borrow{Containers: kinds}}}
		took, err := b.takeIn(seats.Lease{ID: "one", Kind: seats.Loan}, body, nil, "")
		if no, _ := refusal.As(err); took != (want == "") || want != "" && (no == nil || no.Code != want) || len(b.Loans) == 1 != took {
			t.Errorf("%q: %v, %v", kinds, took, err)
		}
		if took, err := b.takeIn(seats.Lease{ID: "two", Kind: seats.Transfer}, body, nil, ""); !took || err != nil {
			t.Errorf("%q, for good: %v, %v", kinds, took, err)
		}
	}
}

// TestOldAgent: an agent that is too old for an operation is told apart from one that
// refuses, and the person learns which version it takes.
func TestOldAgent(t *testing.T) {
	home := filepath.Join(t.TempDir(), "licet")
	a := Open(Config{Home: home})
	if err := a.cfg.Disk.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := a.home.listen()
	if err != nil {
		t.Fatal(err)
	}
	old := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, refusal.New(refusal.NotFound, "The agent has no %s %s.", r.Method, r.URL.Path))
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = old.Serve(listener) }() // ends with the server
	defer func() { old.Close(); <-ended }()
	_, err = Connect(Config{Home: home}).Borrow(t.Context(), BorrowRequest{Product: "CAD", For: 1e9})
	r, ok := refusal.As(err)
	if !ok || r.Code != refusal.UnsupportedVersion || r.Details["needs"] != LoansSince {
		t.Errorf("%v", err)
	}
	// What every agent knows is refused as ever.
	if _, err := Connect(Config{Home: home}).List(t.Context()); !refusal.Is(err, refusal.NotFound) {
		t.Errorf("%v", err)
	}
}
