package sdktest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/internal/durable"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/sdk"
	"licet/seats"
)

// parts are what makes a machine of a test itself.
var parts = []machine.Trait{
	{Name: machine.MachineID, Weight: 4},
	{Name: machine.NetworkAddress, Weight: 3},
	{Name: machine.DiskID, Weight: 3},
	{Name: machine.RootFilesystem, Weight: 2},
	{Name: machine.HostName, Weight: 1},
}

var made atomic.Int64 // machines and parts so far, so that no two are alike

// Machine is a user's computer that trusts its vendor.
type Machine struct {
	t      testing.TB
	vendor *Vendor
	home   string
	name   string       // of the station
	skew   atomic.Int64 // of its clock against the vendor's

	mu     sync.Mutex // guards what follows
	traits []machine.Trait
	stop   func()
}

// Machine sets up a computer with hardware of its own and no license.
func (v *Vendor) Machine(t testing.TB) *Machine {
	t.Helper()
	m := v.machine(t)
	_, err := m.client().TrustAdd(t.Context(), agent.TrustRequest{File: v.trust})
	m.must(err)
	return m
}

func (v *Vendor) machine(t testing.TB) *Machine {
	m := &Machine{t: t, vendor: v, home: filepath.Join(t.TempDir(), "licet"), traits: slices.Clone(parts), name: strings.ReplaceAll(newPart("machine"), " ", "-")}
	for i := range m.traits {
		m.traits[i].Value = newPart(m.traits[i].Name)
	}
	t.Cleanup(m.StopAgent)
	return m
}

func newPart(name string) string { return name + " " + strconv.FormatInt(made.Add(1), 10) }

// Home is the folder of the machine's licenses.
func (m *Machine) Home() string { return m.home }

// Activate fetches all licenses of tickets and returns their ids.
func (m *Machine) Activate(tickets ...string) []string {
	m.t.Helper()
	var want []license.Ticket
	for _, text := range tickets {
		ticket, err := license.ParseTicket(text)
		m.must(err)
		want = append(want, ticket)
	}
	done, err := m.client().Activate(m.t.Context(), agent.ActivateRequest{Tickets: want})
	m.must(err)
	for _, o := range done.Outcomes {
		if o.Code != refusal.Done && o.Code != refusal.AlreadyApplied {
			m.t.Fatalf("sdktest: %s: %s", o.Wish, o.Message)
		}
	}
	var ids []string
	for _, c := range done.Applied {
		ids = append(ids, string(c.License))
	}
	return ids
}

// Return gives licenses back to the vendor; all of them if none is named.
func (m *Machine) Return(licenses ...string) {
	m.t.Helper()
	want := agent.DeactivateRequest{All: len(licenses) == 0}
	for _, id := range licenses {
		want.Licenses = append(want.Licenses, license.ID(id))
	}
	done, err := m.client().Deactivate(m.t.Context(), want)
	m.must(err)
	for _, o := range done.Outcomes {
		if o.Code != refusal.Done {
			m.t.Fatalf("sdktest: %s: %s", o.Wish, o.Message)
		}
	}
}

// Update makes contact with the vendor, as the agent does from time to time.
func (m *Machine) Update() {
	m.t.Helper()
	results, err := m.client().Update(m.t.Context(), agent.UpdateRequest{})
	m.must(err)
	for _, r := range results {
		if r.Error != nil {
			m.t.Fatalf("sdktest: update of %s: %s", r.Container, r.Error.Detail)
		}
	}
}

// Options are what a call of package sdk needs to be made on this machine.
func (m *Machine) Options() []sdk.Option {
	return []sdk.Option{sdk.WithHome(m.home), sdk.WithClock(m.now), sdk.WithTraits(m.traitsNow), sdk.WithStation(m.station)}
}

// Open opens a program's session on this machine. It is closed with the test.
func (m *Machine) Open(p sdk.Product, opts ...sdk.Option) *sdk.Session {
	m.t.Helper()
	s, err := sdk.Open(m.t.Context(), p, append(m.Options(), opts...)...)
	m.must(err)
	m.t.Cleanup(func() { _ = s.Close() }) // never fails
	return s
}

// StartAgent runs the agent in the background, as licet serve does.
func (m *Machine) StartAgent() {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- agent.Open(m.config()).Serve(ctx, agent.Serving{Refresh: -1, Ready: func(socket string) { ready <- socket }})
	}()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		m.t.Fatalf("sdktest: the agent ended: %v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("sdktest: the agent ended: %v", err)
		}
	}
}

// StopAgent ends the agent, if it runs.
func (m *Machine) StopAgent() {
	m.mu.Lock()
	stop := m.stop
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// SetClock makes the machine's clock wrong by d.
func (m *Machine) SetClock(d time.Duration) { m.skew.Store(int64(d)) }

// Exchange replaces a part of the machine, such as "disk" or "network address".
func (m *Machine) Exchange(part string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.traits, func(t machine.Trait) bool { return t.Name == part })
	if i < 0 {
		m.t.Fatalf("sdktest: a machine has no part %q", part)
	}
	m.traits = slices.Clone(m.traits) // somebody may read the old ones
	m.traits[i].Value = newPart(part)
}

// Copy copies the folder of the licenses to another computer.
func (m *Machine) Copy(t testing.TB) *Machine {
	t.Helper()
	c := m.vendor.machine(t)
	m.must(os.CopyFS(c.home, os.DirFS(m.home)))
	return c
}

func (m *Machine) now() time.Time { return m.vendor.clock.Now().Add(time.Duration(m.skew.Load())) }

// station is who uses seats of license servers here.
func (m *Machine) station() seats.Client {
	return seats.Client{Host: m.name, User: "ada", PID: made.Add(1)}
}

func (m *Machine) traitsNow() []machine.Trait {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.traits
}

// Config is what the machine's agent works with. Its type keeps it to this module.
func (m *Machine) Config() agent.Config { return m.config() }

// Client does what commands on the machine do. Its type keeps it to this module.
func (m *Machine) Client() *agent.Client { return m.client() }

func (m *Machine) config() agent.Config {
	return agent.Config{Home: m.home, Now: m.now, Traits: m.traitsNow, Disk: &durable.Disk{}, Station: m.station}
}

func (m *Machine) client() *agent.Client { return agent.Connect(m.config()) }

func (m *Machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("sdktest: %v", err)
	}
}
