package agent_test

import (
	"fmt"
	"reflect"
	"syscall"
	"testing"

	"licet/internal/agent"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
)

// TestDiskFails lets the disk fail at each of its operations in turn, during an
// import and during an activation: the license is there or it is not, the
// container always opens, and the repetition succeeds.
func TestDiskFails(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for at := 1; ; at++ {
			clk := newClock()
			v := newVendor(t, clk)
			c := newComputer(t, clk, v)
			update := c.answered(v, v.Sell(cad()))
			before := c.files()
			n := 0
			c.disk.Fault = func(op durable.Op, _ string) error {
				if n++; n >= at && op != durable.OpRemove {
					return errno
				}
				return nil
			}
			_, err := c.Import(t.Context(), agent.ImportRequest{Data: update})
			c.disk.Fault = nil
			if err == nil {
				if at < 4 {
					t.Fatalf("only %d operations failed", at)
				}
				break
			}
			want(t, err, refusal.StorageFull)
			got, err := c.Check(t.Context(), agent.CheckRequest{Product: "CAD-PRO"})
			if err != nil || got.Code != refusal.NoLicense && got.Code != refusal.Valid {
				t.Fatalf("%v at %d: %+v %v", errno, at, got, err)
			}
			if got.Code == refusal.NoLicense && !reflect.DeepEqual(before, c.files()) {
				t.Fatalf("%v at %d: the files changed", errno, at)
			}
			if _, err := c.Import(t.Context(), agent.ImportRequest{Data: update}); err != nil {
				t.Fatalf("%v at %d: again: %v", errno, at, err)
			}
			c.check(refusal.Valid)
		}
	}
}

func TestActivationOnFailingDisk(t *testing.T) {
	for at := 1; ; at++ {
		clk := newClock()
		v := newVendor(t, clk)
		c := newComputer(t, clk, v)
		ticket := v.Sell(cad())
		n := 0
		c.disk.Fault = func(op durable.Op, _ string) error {
			if n++; n >= at {
				return syscall.ENOSPC
			}
			return nil
		}
		_, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
		c.disk.Fault = nil
		if err == nil && n < at {
			return
		}
		if err != nil {
			want(t, err, refusal.StorageFull)
		}
		if _, err := c.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}}); err != nil {
			t.Fatal(fmt.Sprintf("at %d: again: ", at), err)
		}
		c.check(refusal.Valid)
		if s := v.State(v.Licenses(ticket)[0]); s != license.Collected {
			t.Fatalf("at %d: %s", at, s)
		}
	}
}
