package seatserver

import (
	"net/netip"
	"testing"
)

// TestConnectionsAreCounted: one address has no more of them than it may.
func TestConnectionsAreCounted(t *testing.T) {
	c := &counted{by: map[netip.Addr]int{}}
	one := netip.MustParseAddr("10.0.0.1")
	for range mostPerAddress {
		if !c.enter(one) {
			t.Fatal("too few connections")
		}
	}
	if c.enter(one) || !c.enter(netip.MustParseAddr("10.0.0.2")) {
		t.Error("connections are not counted by address")
	}
	c.leave(one)
	if !c.enter(one) {
		t.Error("a connection that ended still counts")
	}
}
