package agent

import (
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"licet/container"
	"licet/internal/agent/vendortest"
	"licet/internal/durable"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
)

// TestTakeTogether: calls that wait while a container is written are written
// together, each decided after the one before.
func TestTakeTogether(t *testing.T) {
	now := func() time.Time { return time.Date(2027, 2, 1, 12, 0, 0, 0, time.UTC) }
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now()) })
	var renames atomic.Int64
	disk := &durable.Disk{Fault: func(op durable.Op, _ string) error {
		if op == durable.OpRename {
			renames.Add(1)
		}
		return nil
	}}
	a := Open(Config{Home: t.TempDir(), Now: now, Disk: disk, Traits: func() []machine.Trait {
		return []machine.Trait{{Name: machine.MachineID, Value: "m", Weight: 4}, {Name: machine.NetworkAddress, Value: "n", Weight: 3}, {Name: machine.DiskID, Value: "d", Weight: 3}}
	}})
	if _, err := a.TrustAdd(t.Context(), TrustRequest{File: v.Trust}); err != nil {
		t.Fatal(err)
	}
	for _, product := range []string{"A", "B"} {
		ticket := v.Sell(container.Body{Product: product, Terms: license.Terms{Units: 10}})
		if _, err := a.Activate(t.Context(), ActivateRequest{Tickets: []license.Ticket{ticket}}); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(product string, units int64) *take {
		nonce := make([]byte, 16)
		rand.Read(nonce)
		return &take{in: TakeRequest{OpenRequest: OpenRequest{Product: product, Nonce: nonce}, Units: units}, done: make(chan struct{})}
	}
	list := []*take{waiting("A", 6), waiting("B", 1), waiting("A", 5), waiting("A", 4), waiting("A", 1), waiting("B", 2), waiting("C", 1)}
	same := &take{in: list[0].in, done: make(chan struct{})}
	list = append(list, same)
	before := renames.Load()
	a.takeAll(t.Context(), list)
	if n := renames.Load() - before; n != 1 {
		t.Errorf("%d writes", n)
	}
	left := map[int]int64{0: 0, 1: 7, 3: 0, 5: 7, 7: 0} // as it is after all of them
	refused := map[int]refusal.Code{2: refusal.UnitsSpent, 4: refusal.UnitsSpent, 6: refusal.NoLicense}
	for i, c := range list {
		<-c.done
		switch {
		case refused[i] != "" && !refusal.Is(c.err, refused[i]):
			t.Errorf("call %d: %v, want %s", i, c.err, refused[i])
		case refused[i] == "" && (c.err != nil || c.out.Counter.Left != left[i]):
			t.Errorf("call %d: %+v %v", i, c.out.Counter, c.err)
		}
	}
	// A write that fails takes nothing, and tells nobody otherwise.
	disk.Fault = func(op durable.Op, _ string) error {
		if op == durable.OpRename {
			return durable.ErrUnsure
		}
		return nil
	}
	list = []*take{waiting("B", 1), waiting("B", 2)}
	a.takeAll(t.Context(), list)
	disk.Fault = nil
	for _, c := range list {
		if c.err == nil {
			t.Error("told of units that were not counted")
		}
	}
	if r, err := a.Check(t.Context(), CheckRequest{Product: "B"}); err != nil || r.Units.Left != 7 {
		t.Fatalf("%+v %v", r.Units, err)
	}
}
