package sdk_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/license"
	"licet/sdk"
	"licet/sdktest"
	"licet/seats"
)

// shared are products that a license server shares.
var shared = []sdktest.Product{
	{Code: "NET", Model: license.PerpetualMulti, Features: []string{"render"}, Terms: license.Terms{
		Seats: 2, Borrow: license.Borrow{Max: 10 * license.Day, Seats: 2},
	}},
	{Code: "LONE", Model: license.PerpetualMulti, Terms: license.Terms{Seats: 1}},
	{Code: "DESK", Model: license.PerpetualMulti, Terms: license.Terms{Seats: 1, Counting: license.PerStation}},
	{Code: "KIND", Model: license.PerpetualMulti, Terms: license.Terms{Seats: 1, Grace: license.Day}},
}

// office is a vendor, a license server with one license of each product, and
// machines that know the server.
type office struct {
	*testing.T
	v *sdktest.Vendor
	s *sdktest.Server
}

func newOffice(t *testing.T) office {
	t.Helper()
	v := sdktest.New(t, shared...)
	return office{t, v, v.Server(t, v.Ticket("NET"), v.Ticket("LONE"), v.Ticket("KIND"), v.Ticket("DESK"))}
}

// desk is a machine that asks servers, the office's own unless others are named.
func (o office) desk(servers ...*sdktest.Server) *sdktest.Machine {
	o.Helper()
	m := o.v.Machine(o)
	if len(servers) == 0 {
		servers = []*sdktest.Server{o.s}
	}
	m.Use(servers...)
	return m
}

func (o office) open(m *sdktest.Machine, product string, opts ...sdk.Option) *sdk.Session {
	o.Helper()
	return m.Open(o.v.Program(product), append([]sdk.Option{sdk.WithRefresh(-1)}, opts...)...)
}

// taken reports how many seats of a product nobody can have now.
func (o office) free(product string) int64 {
	o.Helper()
	list, err := sdk.Offers(o.Context(), o.v.Trust(), sdk.WithHome(o.TempDir()), sdk.WithServers(o.s.Address()))
	if err != nil {
		o.Fatal(err)
	}
	for _, p := range list {
		if p.Product == product {
			return p.Free
		}
	}
	o.Fatalf("no %s: %+v", product, list)
	return 0
}

func TestSeat(t *testing.T) {
	o := newOffice(t)
	a := o.open(o.desk(), "NET")
	v := want(t, a, sdk.OK)
	if v.Place != sdk.OnNetwork || !strings.HasPrefix(v.Source, "seat of ") || !a.Feature("render") || a.Feature("other") {
		t.Errorf("%+v", v)
	}
	b := o.open(o.desk(), "NET")
	want(t, b, sdk.OK)
	c := o.open(o.desk(), "NET")
	want(t, c, sdk.NoSeatFree)
	if free := o.free("NET"); free != 0 {
		t.Errorf("%d free", free)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	refresh(t, c)
	want(t, c, sdk.OK)
	if got := o.open(o.desk(), "OTHER").Verdict(); got.Valid {
		t.Errorf("%+v", got)
	}
}

// TestNoNetworkWhereNotNeeded: where the machine has a license, or knows no server,
// nobody is asked.
func TestNoNetworkWhereNotNeeded(t *testing.T) {
	v := sdktest.New(t, append(shared, sdktest.Product{Code: "FREE"})...)
	var asked sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Path, true) }))
	defer server.Close()
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	m.UseAddresses(server.URL)
	want(t, m.Open(v.Program("FREE")), sdk.OK)
	want(t, m.Open(v.Program("NET"), sdk.WithServers()), sdk.NoLicense)
	want(t, m.Open(v.Program("NET"), sdk.Reduced()), sdk.NoLicense)
	asked.Range(func(path, _ any) bool { t.Errorf("asked for %s", path); return true })
	want(t, m.Open(v.Program("NET")), sdk.ServerUnreachable)
	if _, ok := asked.Load("/v1/leases"); !ok {
		t.Error("the server was not asked: the test shows nothing")
	}
}

// TestSeatLastsAsLongAsItIsHeardOf: a seat is kept by extending it, ends by the
// session's own clock before the server gives it to somebody else, and comes back.
func TestSeatLastsAsLongAsItIsHeardOf(t *testing.T) {
	o := newOffice(t)
	s := o.open(o.desk(), "LONE")
	for range 5 {
		o.v.Clock().Advance(4 * time.Minute)
		refresh(t, s)
		want(t, s, sdk.OK)
	}
	o.s.Stop()
	o.v.Clock().Advance(4 * time.Minute)
	if err := s.Refresh(t.Context()); err == nil {
		t.Error("no error")
	}
	if v := want(t, s, sdk.OK); len(v.Warnings) != 1 || v.Warnings[0].Code != sdk.ServerUnreachable {
		t.Errorf("%+v", v.Warnings)
	}
	o.v.Clock().Advance(53 * time.Second) // 4:53 of 5:00: within the margin of 2 percent
	want(t, s, sdk.OK)
	o.v.Clock().Advance(2 * time.Second)
	want(t, s, sdk.LeaseLost)
	if s.Valid() {
		t.Error("valid after its end")
	}
	drain(s)
	o.s.Start()
	refresh(t, s)
	want(t, s, sdk.OK)
	select {
	case <-s.Changed():
	default:
		t.Error("it came back without a signal")
	}
}

func drain(s *sdk.Session) {
	select {
	case <-s.Changed():
	default:
	}
}

// TestGrace: while no server answers, the license's grace keeps the seat, and no
// longer.
func TestGrace(t *testing.T) {
	o := newOffice(t)
	s := o.open(o.desk(), "KIND")
	want(t, s, sdk.OK)
	o.s.Stop()
	o.v.Clock().Advance(6 * time.Minute)
	want(t, s, sdk.LeaseLost) // nobody has tried to extend it: could not tell is no yes
	_ = s.Refresh(t.Context())
	if v := want(t, s, sdk.OK); !v.InGrace {
		t.Errorf("%+v", v)
	}
	o.v.Clock().Advance(23 * time.Hour)
	_ = s.Refresh(t.Context())
	want(t, s, sdk.OK)
	o.v.Clock().Advance(time.Hour)
	want(t, s, sdk.LeaseLost)
	_ = s.Refresh(t.Context())
	want(t, s, sdk.LeaseLost)
	o.s.Start()
	refresh(t, s)
	if v := want(t, s, sdk.OK); v.InGrace {
		t.Errorf("%+v", v)
	}
}

// TestFailover: the next server serves while the first is silent, without a break.
func TestFailover(t *testing.T) {
	o := newOffice(t)
	second := o.v.Server(t, o.v.Ticket("NET"))
	s := o.open(o.desk(o.s, second), "NET")
	if v := want(t, s, sdk.OK); !strings.Contains(v.Source, o.s.Address()) {
		t.Error(v.Source)
	}
	o.s.Stop()
	for range 2 {
		o.v.Clock().Advance(2 * time.Minute)
		_ = s.Refresh(t.Context())
		want(t, s, sdk.OK)
	}
	if v := want(t, s, sdk.OK); !strings.Contains(v.Source, second.Address()) {
		t.Error(v.Source)
	}
	o.v.Clock().Advance(4 * time.Minute)
	refresh(t, s)
	want(t, s, sdk.OK)
	// A new program asks the first one that answers.
	if v := want(t, o.open(o.desk(o.s, second), "NET"), sdk.OK); !strings.Contains(v.Source, second.Address()) {
		t.Error(v.Source)
	}
}

// TestRestartKeepsTheSeat: a session goes on where it was after its server was away.
func TestRestartKeepsTheSeat(t *testing.T) {
	o := newOffice(t)
	s := o.open(o.desk(), "LONE")
	o.s.Stop()
	o.v.Clock().Advance(time.Minute)
	o.s.Start()
	refresh(t, s)
	want(t, s, sdk.OK)
	want(t, o.open(o.desk(), "LONE"), sdk.NoSeatFree)
}

func TestQueue(t *testing.T) {
	o := newOffice(t)
	a := o.open(o.desk(), "LONE")
	b, c := o.open(o.desk(), "LONE", sdk.WithWait()), o.open(o.desk(), "LONE", sdk.WithWait())
	if v := want(t, b, sdk.NoSeatFree); v.Queue != 1 {
		t.Errorf("place %d", v.Queue)
	}
	if v := want(t, c, sdk.NoSeatFree); v.Queue != 2 {
		t.Errorf("place %d", v.Queue)
	}
	a.Close()
	refresh(t, c)
	want(t, c, sdk.NoSeatFree) // it is not its turn
	refresh(t, b)
	if v := want(t, b, sdk.OK); v.Queue != 0 {
		t.Errorf("place %d", v.Queue)
	}
	refresh(t, c)
	if v := want(t, c, sdk.NoSeatFree); v.Queue != 1 {
		t.Errorf("place %d", v.Queue)
	}
}

// TestEnable: a program that runs reduced takes a seat later, and gives it back.
func TestEnable(t *testing.T) {
	o := newOffice(t)
	s := o.open(o.desk(), "LONE", sdk.Reduced())
	want(t, s, sdk.NoLicense)
	if free := o.free("LONE"); free != 1 {
		t.Errorf("%d free", free)
	}
	if err := s.Enable(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, s, sdk.OK)
	other := o.open(o.desk(), "LONE", sdk.Reduced())
	if err := other.Enable(t.Context()); err == nil || other.Verdict().Code != sdk.NoSeatFree {
		t.Errorf("%v, %+v", err, other.Verdict())
	}
	if err := s.Disable(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, s, sdk.NoLicense)
	refresh(t, s)
	want(t, s, sdk.NoLicense)
	if err := other.Enable(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBorrow takes the seat of a running program along, without a break and without
// a second seat, lets it end by its date, whatever the clock does, and returns
// another.
func TestBorrow(t *testing.T) {
	o := newOffice(t)
	m := o.desk()
	s := o.open(m, "NET")
	if err := s.Borrow(t.Context(), 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	v := want(t, s, sdk.OK)
	if v.Place != sdk.OnLoan || v.Loan == "" || v.ValidUntil != sdktest.Start.Add(7*day) {
		t.Errorf("%+v", v)
	}
	if free := o.free("NET"); free != 1 {
		t.Errorf("%d free", free)
	}
	o.s.Stop()
	m.StartAgent()
	want(t, o.open(m, "NET"), sdk.OK) // the agent proves it
	m.StopAgent()
	o.v.Clock().Advance(6*day + 12*time.Hour)
	if v := want(t, s, sdk.OK); len(v.Warnings) != 1 || v.Warnings[0].Code != sdk.DueSoon {
		t.Errorf("%+v", v.Warnings)
	}
	o.v.Clock().Set(sdktest.Start.Add(7*day - time.Microsecond))
	want(t, s, sdk.OK)
	want(t, o.open(m, "NET"), sdk.OK)
	o.v.Clock().Set(sdktest.Start.Add(7 * day))
	want(t, s, sdk.Expired)
	want(t, o.open(m, "NET", sdk.WithServers()), sdk.Expired)
	// A clock set back brings nothing back: neither to a program that runs, nor to
	// one that starts.
	m.SetClock(-3 * day)
	refreshed(s)
	want(t, s, sdk.Expired)
	want(t, o.open(m, "NET", sdk.WithServers()), sdk.ClockBehind)
	m.SetClock(0)
	o.v.Clock().Advance(time.Hour)
	o.s.Start()
	refresh(t, s)
	if v := want(t, s, sdk.OK); v.Place != sdk.OnNetwork {
		t.Errorf("%+v", v)
	}
	if err := s.Borrow(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	if free := o.free("NET"); free != 1 {
		t.Errorf("%d free", free)
	}
	if err := s.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := want(t, s, sdk.OK); v.Place != sdk.OnNetwork {
		t.Errorf("%+v", v)
	}
	if err := s.Return(t.Context()); err == nil {
		t.Error("returned what was not borrowed")
	}
	s.Close()
	if free := o.free("NET"); free != 2 {
		t.Errorf("%d free", free)
	}
}

func refreshed(s *sdk.Session) { _ = s.Refresh(context.Background()) } // the verdict tells

// TestStations: where the vendor counts stations, every start on one is the same
// seat, and another station needs another, whatever folder or screen they share
// (Th22).
func TestStations(t *testing.T) {
	o := newOffice(t)
	m := o.desk()
	a, b := o.open(m, "DESK"), o.open(m, "DESK")
	want(t, a, sdk.OK)
	want(t, b, sdk.OK)
	far := o.desk()
	want(t, o.open(far, "DESK"), sdk.NoSeatFree)
	// The same folder, used from another station.
	elsewhere := o.open(m, "DESK", sdk.WithStation(func() seats.Client { return seats.Client{Host: "elsewhere", User: "ada"} }))
	want(t, elsewhere, sdk.NoSeatFree)
	a.Close()
	want(t, o.open(far, "DESK"), sdk.NoSeatFree)
	b.Close()
	want(t, o.open(far, "DESK"), sdk.OK)
}

// cable is a way to a server on which answers get lost.
type cable struct {
	*httptest.Server
	mu    sync.Mutex
	calls int
	cut   int  // the call that is cut; 0 for none
	early bool // before it arrives, not after
}

// cable leads to a server.
func (o office) cable(s *sdktest.Server) *cable {
	c := &cable{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.calls++
		cut := c.calls == c.cut
		early := c.early
		c.mu.Unlock()
		if cut && early {
			panic(http.ErrAbortHandler)
		}
		to := &url.URL{Scheme: "http", Host: s.Address()}
		proxy := httputil.NewSingleHostReverseProxy(to)
		if cut {
			proxy.ModifyResponse = func(*http.Response) error { panic(http.ErrAbortHandler) }
		}
		r.Host = s.Address()
		proxy.ServeHTTP(w, r)
	}))
	o.Cleanup(c.Close)
	return c
}

// TestAnswersGetLost cuts the way to the server at every call in turn, before it
// arrives and after, while a program takes a seat, borrows it, and returns it. The
// program has what it has or goes on; nothing is counted twice, and nothing stays
// taken.
func TestAnswersGetLost(t *testing.T) {
	for _, early := range []bool{false, true} {
		for cut := 1; ; cut++ {
			o := newOffice(t)
			c := o.cable(o.s)
			c.cut, c.early = cut, early
			m := o.v.Machine(t)
			m.UseAddresses(c.URL)
			try := func(what string, do func() error) {
				t.Helper()
				for i := 0; ; i++ {
					err := do()
					if err == nil {
						return
					}
					if i == 3 {
						t.Fatalf("cut at call %d, early %v: %s: %v", cut, early, what, err)
					}
				}
			}
			s := o.open(m, "NET")
			try("open", func() error { _ = s.Refresh(t.Context()); return invalid(s) })
			try("borrow", func() error { return s.Borrow(t.Context(), day) })
			if v := want(t, s, sdk.OK); v.Place != sdk.OnLoan {
				t.Fatalf("%+v", v)
			}
			if free := o.free("NET"); free != 1 {
				t.Fatalf("cut at call %d, early %v: %d free while one is on loan", cut, early, free)
			}
			loan := s.Verdict().Loan
			if err := s.Return(t.Context()); err != nil && !m.GiveBack(loan) {
				t.Fatal("not delivered")
			}
			try("seat", func() error { _ = s.Refresh(t.Context()); return invalid(s) })
			s.Close()
			o.v.Clock().Advance(6 * time.Minute) // a seat whose release was lost
			if free := o.free("NET"); free != 2 {
				t.Fatalf("cut at call %d, early %v: %d free at the end", cut, early, free)
			}
			if c.calls < cut {
				t.Logf("early %v: %d calls", early, c.calls)
				break
			}
		}
	}
}

// invalid is why a session is not valid.
func invalid(s *sdk.Session) error {
	if v := s.Verdict(); !v.Valid {
		return errors.New(v.String())
	}
	return nil
}

// TestOnTheServer runs programs on the machine of a license server: they take seats
// like everybody, and use the license itself while no server runs.
func TestOnTheServer(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD-PRO", Terms: license.Terms{Seats: 1}})
	server := v.Server(t, v.Ticket("CAD-PRO"))
	here := server.Open(v.Program("CAD-PRO"))
	if !here.Valid() {
		t.Fatal(here.Verdict())
	}
	far := v.Machine(t)
	far.Use(server)
	there := far.Open(v.Program("CAD-PRO"))
	if there.Valid() {
		t.Error("one seat is used twice")
	}
	if second := server.Open(v.Program("CAD-PRO")); second.Valid() {
		t.Error("one seat is used twice on the server")
	}
	if err := here.Close(); err != nil {
		t.Fatal(err)
	}
	if err := there.Refresh(t.Context()); err != nil || !there.Valid() {
		t.Errorf("%v %+v", err, there.Verdict())
	}
	server.Stop()
	if alone := server.Open(v.Program("CAD-PRO")); !alone.Valid() {
		t.Errorf("no server runs: %+v", alone.Verdict())
	}
}
