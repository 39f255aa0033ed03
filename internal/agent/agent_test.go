package agent_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/durable"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// computer is a machine of a test: its clock, its traits, its disk.
type computer struct {
	*agent.Client
	t     *testing.T
	home  string
	clock *clock
	disk  durable.Disk
	id    map[string]string
}

var traitWeights = []struct {
	name   string
	weight int
}{
	{machine.MachineID, 4}, {machine.NetworkAddress, 3}, {machine.DiskID, 3},
	{machine.RootFilesystem, 2}, {machine.ComputerModel, 1}, {machine.HostName, 1},
}

func (c *computer) traits() []machine.Trait {
	var list []machine.Trait
	for _, w := range traitWeights {
		if v := c.id[w.name]; v != "" {
			list = append(list, machine.Trait{Name: w.name, Value: v, Weight: w.weight})
		}
	}
	return list
}

func (c *computer) config() agent.Config {
	return agent.Config{Home: c.home, Now: c.clock.Now, Traits: c.traits, Disk: &c.disk}
}

// newComputer is a machine with its own hardware that trusts vendors.
func newComputer(t *testing.T, clk *clock, vendors ...*vendortest.Vendor) *computer {
	t.Helper()
	c := &computer{t: t, home: filepath.Join(t.TempDir(), "licet"), clock: clk, id: map[string]string{}}
	for _, w := range traitWeights {
		c.id[w.name] = w.name + " of " + c.home
	}
	c.Client = agent.Connect(c.config())
	for _, v := range vendors {
		if _, err := c.TrustAdd(t.Context(), agent.TrustRequest{File: v.Trust}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func newVendor(t *testing.T, clk *clock) *vendortest.Vendor {
	return vendortest.New(t, "Example Software", func() license.Time { return license.At(clk.Now()) })
}

func cad() container.Body {
	return container.Body{Product: "CAD-PRO", Name: "CAD Professional", Features: []string{"render"}, Repair: true, Terms: license.Terms{Seats: 1}}
}

// check asks for CAD-PRO and wants a code.
func (c *computer) check(want refusal.Code, use ...terms.Use) agent.CheckResult {
	c.t.Helper()
	in := agent.CheckRequest{Product: "CAD-PRO"}
	if len(use) > 0 {
		in.Use = use[0]
	}
	r, err := c.Check(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.Code != want || r.Valid != (want == refusal.Valid) {
		c.t.Fatalf("check: %s %v, want %s: %+v", r.Code, r.Valid, want, r.Reasons)
	}
	return r
}

func (c *computer) activate(t license.Ticket) container.Outcome {
	c.t.Helper()
	r, err := c.Activate(c.t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{t}})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Outcomes[0]
}

func (c *computer) serial() license.Serial {
	c.t.Helper()
	list, err := c.List(c.t.Context())
	if err != nil || len(list.Containers) != 1 {
		c.t.Fatalf("containers: %+v, %v", list.Containers, err)
	}
	return list.Containers[0].Serial
}

// files is every file of a home with its content.
func (c *computer) files() map[string]string {
	c.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(c.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// unchanged runs do and wants every file to be byte for byte as before.
func (c *computer) unchanged(what string, do func()) {
	c.t.Helper()
	before := c.files()
	do()
	if after := c.files(); !reflect.DeepEqual(before, after) {
		c.t.Fatalf("%s: the files changed", what)
	}
}

func want(t *testing.T, err error, code refusal.Code) *refusal.Refusal {
	t.Helper()
	r, ok := refusal.As(err)
	if !ok || r.Code != code {
		t.Fatalf("got %v (%+v), want %s", err, r, code)
	}
	if r.NextStep() == "" {
		t.Fatalf("%s has no next step", code)
	}
	return r
}

func TestActivateOnline(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	ticket := v.Sell(cad())
	c := newComputer(t, clk, v)
	c.check(refusal.NoLicense)

	r, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
	if err != nil {
		t.Fatal(err)
	}
	id := v.Licenses(ticket)[0]
	if r.Counter != 1 || len(r.Applied) != 1 || r.Applied[0].License != id || r.Receipt != "delivered" || r.Outcomes[0].Code != refusal.Done {
		t.Fatalf("%+v", r)
	}
	if s := v.State(id); s != license.Collected {
		t.Fatalf("the receipt did not arrive: %s", s)
	}
	got := c.check(refusal.Valid)
	if got.License != id || got.Source != "container "+string(c.serial()) {
		t.Fatalf("%+v", got)
	}
	c.check(refusal.FeatureMissing, terms.Use{Features: []string{"export"}})

	// Again: it is so already.
	if o := c.activate(ticket); o.Code != refusal.AlreadyApplied || o.Refused() {
		t.Fatalf("%+v", o)
	}
	list, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one := list.Containers[0]
	if one.Status != agent.StatusOK || one.Counter != 1 || len(one.Licenses) != 1 || !one.Licenses[0].Usable || one.Receipt != "delivered" {
		t.Fatalf("%+v", one)
	}
}

func TestCheckWritesNothing(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	c.activate(v.Sell(cad()))
	c.unchanged("check", func() { c.check(refusal.Valid) })

	// Nor does it make a home where there is none.
	empty := newComputer(t, clk)
	empty.check(refusal.NoLicense)
	if _, err := os.Stat(empty.home); !os.IsNotExist(err) {
		t.Fatalf("a check made the home: %v", err)
	}
}

// request makes a request for a ticket and returns the vendor's answer.
func (c *computer) answered(v *vendortest.Vendor, t license.Ticket) []byte {
	c.t.Helper()
	file, err := c.Request(c.t.Context(), agent.RequestRequest{Tickets: []license.Ticket{t}, Vendor: v.ID()})
	if err != nil {
		c.t.Fatal(err)
	}
	update, err := v.Program(file.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	return update
}

func TestOfflineByFiles(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	id := v.Licenses(ticket)[0]
	update := c.answered(v, ticket)
	if s := v.State(id); s != license.Collecting {
		t.Fatalf("%s", s)
	}
	r, err := c.Import(t.Context(), agent.ImportRequest{Data: update})
	if err != nil || r.Counter != 1 || len(r.Applied) != 1 || r.Receipt == "delivered" {
		t.Fatalf("%+v %v", r, err)
	}
	c.check(refusal.Valid)

	// The second import changes nothing and succeeds.
	c.unchanged("second import", func() {
		r, err = c.Import(t.Context(), agent.ImportRequest{Data: update})
		if err != nil || len(r.Applied) != 0 || r.Outcomes[0].Code != refusal.AlreadyApplied {
			t.Fatalf("%+v %v", r, err)
		}
	})
	receipt, err := c.Receipt(t.Context(), agent.ReceiptRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Receipt(receipt.Data); err != nil {
		t.Fatal(err)
	}
	if s := v.State(id); s != license.Collected {
		t.Fatalf("%s", s)
	}
}

func TestOldUpdateIsRefused(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	first := c.answered(v, v.Sell(cad()))
	if _, err := c.Import(t.Context(), agent.ImportRequest{Data: first}); err != nil {
		t.Fatal(err)
	}
	c.activate(v.Sell(cad()))
	c.unchanged("old update", func() {
		_, err := c.Import(t.Context(), agent.ImportRequest{Data: first})
		want(t, err, refusal.OutOfDate)
	})
}

func TestWrongContainerNamesBoth(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	a, b := newComputer(t, clk, v), newComputer(t, clk, v)
	update := a.answered(v, v.Sell(cad()))
	b.activate(v.Sell(cad()))
	b.unchanged("another's update", func() {
		_, err := b.Import(t.Context(), agent.ImportRequest{Data: update})
		r := want(t, err, refusal.WrongContainer)
		if r.Details["made_for"] != string(a.serial()) || r.Details["this_is"] != string(b.serial()) {
			t.Fatalf("%+v", r.Details)
		}
		for _, s := range []license.Serial{a.serial(), b.serial()} {
			if !bytes.Contains([]byte(r.Message), []byte(s)) {
				t.Fatalf("%q does not name %s", r.Message, s)
			}
		}
	})
	// A machine without any container says so.
	none := newComputer(t, clk, v)
	_, err := none.Import(t.Context(), agent.ImportRequest{Data: update})
	want(t, err, refusal.WrongContainer)
}

func TestWrongFileIsNamed(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	request, err := c.Request(t.Context(), agent.RequestRequest{Tickets: []license.Ticket{v.Sell(cad())}})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Receipt(t.Context(), agent.ReceiptRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for kind, data := range map[string][]byte{"request": request.Data, "receipt": receipt.Data, "trust": v.Trust, "": []byte("a letter to my aunt")} {
		c.unchanged("wrong file", func() {
			_, err := c.Import(t.Context(), agent.ImportRequest{Data: data})
			r := want(t, err, refusal.WrongFile)
			if kind != "" && r.Details["is"] != kind {
				t.Fatalf("%s: %+v", kind, r)
			}
		})
	}
	_, err = c.TrustAdd(t.Context(), agent.TrustRequest{File: request.Data})
	want(t, err, refusal.WrongFile)
}

func TestChangedFilesChangeNothing(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	update := c.answered(v, v.Sell(cad()))
	try := func(what string, data []byte) {
		_, err := c.Import(t.Context(), agent.ImportRequest{Data: data})
		r, ok := refusal.As(err)
		if !ok {
			t.Fatalf("%s: %v", what, err)
		}
		switch r.Code {
		case refusal.DamagedFile, refusal.BadSignature, refusal.WrongFile, refusal.VendorUntrusted, refusal.UnsupportedVersion, refusal.WrongEnvironment:
		default:
			t.Fatalf("%s: %s", what, r.Code)
		}
	}
	c.unchanged("changed files", func() {
		for i := 0; i < len(update); i += 7 {
			flipped := bytes.Clone(update)
			flipped[i] ^= 1
			try("flipped", flipped)
		}
		for _, n := range []int{0, 1, 30, len(update) / 2, len(update) - 1} {
			try("cut", update[:n])
		}
		_, err := c.Import(t.Context(), agent.ImportRequest{Data: bytes.Repeat([]byte("x"), 9<<20)})
		want(t, err, refusal.TooLarge)
	})
	if _, err := c.Import(t.Context(), agent.ImportRequest{Data: update}); err != nil {
		t.Fatal(err)
	}
}

func TestUntrustedVendor(t *testing.T) {
	clk := newClock()
	v, other := newVendor(t, clk), newVendor(t, clk)
	c := newComputer(t, clk)
	_, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}})
	want(t, err, refusal.VendorUntrusted)
	_, err = c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}, Central: v.URL})
	r := want(t, err, refusal.VendorUntrusted)
	if r.Details["vendor"] != v.ID() {
		t.Fatalf("%+v", r)
	}
	// Trust by address, and a file of a vendor that is not trusted.
	added, err := c.TrustAdd(t.Context(), agent.TrustRequest{URL: v.URL})
	if err != nil || added.VendorID != v.ID() || added.Change != "added" {
		t.Fatalf("%+v %v", added, err)
	}
	again, err := c.TrustAdd(t.Context(), agent.TrustRequest{File: v.Trust})
	if err != nil || again.Change != "unchanged" {
		t.Fatalf("%+v %v", again, err)
	}
	foreign := newComputer(t, clk, other)
	update := foreign.answered(other, other.Sell(cad()))
	_, err = c.Import(t.Context(), agent.ImportRequest{Data: update})
	want(t, err, refusal.VendorUntrusted)
	c.activate(v.Sell(cad()))
	c.check(refusal.Valid)
}

func TestClock(t *testing.T) {
	clk, right := newClock(), newClock()
	v := vendortest.New(t, "Example", func() license.Time { return license.At(right.Now()) })
	c := newComputer(t, clk, v)
	body := cad()
	body.Terms.ExpiresIn = 30 * license.Day
	c.activate(v.Sell(body))
	c.check(refusal.Valid)

	clk.move(-time.Hour)
	c.check(refusal.ClockBehind)
	clk.move(time.Hour)

	// A clock that jumps ahead makes the license expire, and is remembered; when
	// it is right again, only the vendor's signed time makes up for it.
	clk.move(20 * 365 * 24 * time.Hour)
	c.check(refusal.Expired)
	_, err := c.Request(t.Context(), agent.RequestRequest{})
	if err != nil {
		t.Fatal(err)
	}
	clk.move(-20 * 365 * 24 * time.Hour)
	c.check(refusal.ClockBehind)
	clk.move(time.Minute)
	right.move(time.Minute)
	results, err := c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || results[0].Error != nil {
		t.Fatalf("%+v %v", results, err)
	}
	c.check(refusal.Valid)
	clk.move(31 * 24 * time.Hour)
	c.check(refusal.Expired)
}

func TestCheckIn(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	body := cad()
	body.Terms.CheckIn = 10 * license.Day
	c.activate(v.Sell(body))
	clk.move(11 * 24 * time.Hour)
	c.check(refusal.CheckInOverdue)
	if _, err := c.Update(t.Context(), agent.UpdateRequest{}); err != nil {
		t.Fatal(err)
	}
	c.check(refusal.Valid)
}

func TestCopyNamesTraits(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	c.activate(v.Sell(cad()))
	copied := newComputer(t, clk)
	if err := os.CopyFS(copied.home, os.DirFS(c.home)); err != nil {
		t.Fatal(err)
	}
	r := copied.check(refusal.OtherMachine)
	for _, name := range []string{machine.MachineID, machine.NetworkAddress} {
		if !bytes.Contains([]byte(r.Reasons[0].Message), []byte(name)) {
			t.Fatalf("%q does not name %s", r.Reasons[0].Message, name)
		}
	}
	if bytes.Contains([]byte(r.Reasons[0].Message), []byte(c.id[machine.MachineID])) {
		t.Fatal("the message tells a trait's value")
	}
	_, err := copied.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}})
	want(t, err, refusal.OtherMachine)
	list, err := copied.List(t.Context())
	if err != nil || list.Containers[0].Status != agent.StatusOther {
		t.Fatalf("%+v %v", list, err)
	}
	// A further container beside it works.
	other := v.Sell(cad())
	if _, err := copied.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{other}, Container: agent.NewContainer}); err != nil {
		t.Fatal(err)
	}
	copied.check(refusal.Valid)
}

func TestToleranceAndRepair(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	tight := cad()
	tight.Product, tight.Tolerance = "SIM", license.Tight
	tightTicket := v.Sell(tight)
	c.activate(v.Sell(cad()))
	c.activate(tightTicket)

	// One trait changes: medium forgives, tight does not.
	c.id[machine.DiskID] = "another disk"
	c.check(refusal.Valid)
	sim := func(want refusal.Code) agent.CheckResult {
		t.Helper()
		r, err := c.Check(t.Context(), agent.CheckRequest{Product: "SIM"})
		if err != nil || r.Code != want {
			t.Fatalf("%+v %v", r, err)
		}
		return r
	}
	r := sim(refusal.OtherMachine)
	if !bytes.Contains([]byte(r.Reasons[0].Message), []byte(machine.DiskID)) {
		t.Fatalf("%q", r.Reasons[0].Message)
	}
	show, err := c.Show(t.Context(), agent.ContainerRequest{})
	if err != nil || show.Status != agent.StatusChanged || show.Binding.Changed[0] != machine.DiskID {
		t.Fatalf("%+v %v", show, err)
	}
	// A write in between carries the locked license along.
	if _, err := c.Update(t.Context(), agent.UpdateRequest{}); err != nil {
		t.Fatal(err)
	}
	sim(refusal.OtherMachine)

	// Repair without a network: the license is still missing, the update brings it.
	v.Cut(func(string) (bool, bool) { return true, false })
	repaired, err := c.Repair(t.Context(), agent.ContainerRequest{})
	if err != nil || len(repaired.Missing) != 1 || repaired.Waits == "" {
		t.Fatalf("%+v %v", repaired, err)
	}
	sim(refusal.OtherMachine)
	c.check(refusal.Valid)
	v.Cut(nil)
	if _, err := c.Update(t.Context(), agent.UpdateRequest{}); err != nil {
		t.Fatal(err)
	}
	sim(refusal.Valid)

	// And with one it is fetched at once.
	c.id[machine.DiskID] = "a third disk"
	repaired, err = c.Repair(t.Context(), agent.ContainerRequest{})
	if err != nil || len(repaired.Missing) != 0 || len(repaired.Fetched) != 1 {
		t.Fatalf("%+v %v", repaired, err)
	}
	sim(refusal.Valid)
}

func TestRepairNeedsLeave(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	body := cad()
	body.Repair, body.Tolerance = false, license.Tight
	c.activate(v.Sell(body))
	c.id[machine.DiskID] = "another disk"
	c.unchanged("repair", func() {
		_, err := c.Repair(t.Context(), agent.ContainerRequest{})
		want(t, err, refusal.RepairNotAllowed)
	})
	c.check(refusal.OtherMachine)
}

func TestSeveralVendors(t *testing.T) {
	clk := newClock()
	v, w := newVendor(t, clk), newVendor(t, clk)
	c := newComputer(t, clk, v, w)
	_, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}})
	want(t, err, refusal.InvalidInput)
	ids := map[string]license.ID{}
	for _, one := range []*vendortest.Vendor{v, w} {
		ticket := one.Sell(cad())
		ids[one.ID()] = one.Licenses(ticket)[0]
		if _, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}, Central: one.URL}); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []*vendortest.Vendor{v, w} {
		r, err := c.Check(t.Context(), agent.CheckRequest{Product: "CAD-PRO", Vendor: one.ID()})
		if err != nil || !r.Valid || r.Vendor != one.ID() || r.License != ids[one.ID()] {
			t.Fatalf("%+v %v", r, err)
		}
	}
	results, err := c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || len(results) != 2 || results[0].Error != nil || results[1].Error != nil {
		t.Fatalf("%+v %v", results, err)
	}
	// Returning to one leaves the other alone, and the machine is not empty yet.
	r, err := c.Deactivate(t.Context(), agent.DeactivateRequest{Licenses: []license.ID{ids[w.ID()]}})
	if err != nil || r.SafeToWipe || r.Left != 0 || len(r.Remaining) != 1 || !reflect.DeepEqual(r.Remaining[0].Licenses, []license.ID{ids[v.ID()]}) {
		t.Fatalf("%+v %v", r, err)
	}
	got := c.check(refusal.Valid)
	if got.Vendor != v.ID() || got.Container != r.Remaining[0].Container {
		t.Fatalf("%+v", got)
	}
	all := agent.DeactivateRequest{All: true}
	if r, err = c.Deactivate(t.Context(), all); err != nil || !r.SafeToWipe || len(r.Remaining) != 0 {
		t.Fatalf("%+v %v", r, err)
	}

	// What does not open may hold a license.
	slots, err := filepath.Glob(filepath.Join(c.home, "containers", string(got.Container), "[ab]"))
	if err != nil || len(slots) == 0 {
		t.Fatal(slots, err)
	}
	for _, name := range slots {
		if err := os.WriteFile(name, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = c.Deactivate(t.Context(), all); err != nil || r.SafeToWipe || len(r.Remaining) != 1 || r.Remaining[0].Closed == "" {
		t.Fatalf("%+v %v", r, err)
	}
}

// TestBetterOneUnseen: the license that was seen has expired, and the container
// with a good one does not open. The answer is no and names both.
func TestBetterOneUnseen(t *testing.T) {
	clk := newClock()
	v, w := newVendor(t, clk), newVendor(t, clk)
	c := newComputer(t, clk, v, w)
	short := cad()
	short.Terms.ExpiresAt = license.At(clk.Now().Add(time.Hour))
	for one, body := range map[*vendortest.Vendor]container.Body{v: cad(), w: short} {
		if _, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{one.Sell(body)}, Central: one.URL}); err != nil {
			t.Fatal(err)
		}
	}
	clk.move(2 * time.Hour)
	good := c.check(refusal.Valid)
	slots, err := filepath.Glob(filepath.Join(c.home, "containers", string(good.Container), "[ab]"))
	if err != nil || len(slots) == 0 {
		t.Fatal(slots, err)
	}
	for _, name := range slots {
		if err := os.WriteFile(name, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	codes := func(reasons []terms.Reason) (list []refusal.Code) {
		for _, r := range reasons {
			list = append(list, r.Code)
		}
		return list
	}
	both := []refusal.Code{refusal.Expired, refusal.ContainerDamaged}
	if r := c.check(refusal.Expired); !reflect.DeepEqual(codes(r.Reasons), both) {
		t.Errorf("check: %+v", r.Reasons)
	}
	p, err := c.Prove(t.Context(), agent.OpenRequest{Product: "CAD-PRO", Nonce: make([]byte, 16)})
	if err != nil || p.Verdict.Valid || !reflect.DeepEqual(codes(p.Verdict.Reasons), both) {
		t.Errorf("proof: %+v %v", p.Verdict, err)
	}
}

func TestReturnEverything(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	first, second := v.Sell(cad()), v.Sell(cad())
	c.activate(first)
	c.activate(second)
	_, err := c.Delete(t.Context(), agent.ContainerRequest{Container: c.serial()})
	want(t, err, refusal.ContainerNotEmpty)

	// The receipt gets lost: not safe to wipe yet.
	v.Cut(func(path string) (bool, bool) { lost := path == wire.PathReceipt; return lost, !lost })
	r, err := c.Deactivate(t.Context(), agent.DeactivateRequest{All: true})
	if err != nil || len(r.Applied) != 2 || r.Left != 0 || r.SafeToWipe {
		t.Fatalf("%+v %v", r, err)
	}
	c.check(refusal.NoLicense)
	if s := v.State(v.Licenses(first)[0]); s != license.Returning {
		t.Fatalf("%s", s)
	}
	_, err = c.Delete(t.Context(), agent.ContainerRequest{Container: c.serial()})
	want(t, err, refusal.ContainerNotEmpty)

	v.Cut(nil)
	r, err = c.Deactivate(t.Context(), agent.DeactivateRequest{All: true})
	if err != nil || !r.SafeToWipe {
		t.Fatalf("%+v %v", r, err)
	}
	if s := v.State(v.Licenses(first)[0]); s != license.Returned {
		t.Fatalf("%s", s)
	}
	if _, err := c.Delete(t.Context(), agent.ContainerRequest{Container: c.serial()}); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list.Containers) != 0 {
		t.Fatalf("%+v %v", list, err)
	}
}

func TestWithdrawn(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	c.activate(ticket)
	v.Withdraw(v.Licenses(ticket)[0])
	c.check(refusal.Valid) // nothing reaches into the machine
	r, err := c.Update(t.Context(), agent.UpdateRequest{})
	if err != nil || len(r[0].Applied) != 1 || r[0].Applied[0].Op != "drop" {
		t.Fatalf("%+v %v", r, err)
	}
	c.check(refusal.NoLicense)
	if s := v.State(v.Licenses(ticket)[0]); s != license.Gone {
		t.Fatalf("%s", s)
	}
}

func TestRetrySendsStoredBytes(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	activate := func(ctx context.Context) error {
		_, err := c.Activate(ctx, agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
		return err
	}
	// Central commits, the answer is lost; then the machine is off for a while.
	v.Cut(func(string) (bool, bool) { return true, true })
	want(t, activate(t.Context()), refusal.CentralUnreachable)
	if s := v.State(v.Licenses(ticket)[0]); s != license.Collecting {
		t.Fatalf("%s", s)
	}
	c.check(refusal.NoLicense)
	clk.move(time.Hour)
	v.Cut(nil)
	if err := activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := v.Sent()
	for _, s := range sent[1:] {
		if !bytes.Equal(s, sent[0]) {
			t.Fatal("the retry sent other bytes")
		}
	}
	c.check(refusal.Valid)
	if s := v.State(v.Licenses(ticket)[0]); s != license.Collected {
		t.Fatalf("%s", s)
	}
	// Other wishes make another request.
	c.activate(v.Sell(cad()))
	if now := v.Sent(); bytes.Equal(now[len(now)-1], sent[0]) {
		t.Fatal("another wish sent the old bytes")
	}
}

func TestChallengeIsAnsweredOnce(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	c.activate(v.Sell(cad()))
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(c.home)); err != nil {
		t.Fatal(err)
	}
	c.activate(v.Sell(cad()))
	if err := os.RemoveAll(c.home); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(c.home, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	before := len(v.Sent())
	if o := c.activate(v.Sell(cad())); o.Code != refusal.ContainerFlagged {
		t.Fatalf("%+v", o)
	}
	if n := len(v.Sent()) - before; n != 2 {
		t.Fatalf("%d requests, want the first and the answer to the challenge", n)
	}
	c.check(refusal.Valid) // it keeps what it has
}

// TestAddressIsRemembered: where the vendor answered once, the agent finds him
// again, until another trust file says otherwise.
func TestAddressIsRemembered(t *testing.T) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	moved := strings.Replace(v.URL, "127.0.0.1", "localhost", 1)
	if _, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{v.Sell(cad())}, Central: moved}); err != nil {
		t.Fatal(err)
	}
	list, err := c.TrustList(t.Context())
	if err != nil || list[0].Address != moved {
		t.Fatalf("%+v %v", list, err)
	}
}
