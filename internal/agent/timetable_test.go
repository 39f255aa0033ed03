package agent

import (
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/agent/vendortest"
	"licet/internal/machine"
	"licet/license"
)

// TestTimetable: a vendor who is reached is asked again after his interval, a
// tenth more or less; one who is not, later and later, and never later than
// usual. No vendor waits for another.
func TestTimetable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := timetable{turns: map[string]*turn{}, share: func() float64 { return rapid.Float64Range(0, 0.999999).Draw(t, "share") }}
		names := []string{"a", "b", "c"}
		intervals := map[string]time.Duration{}
		for _, n := range names {
			intervals[n] = time.Duration(rapid.Int64Range(int64(time.Minute), int64(48*time.Hour)).Draw(t, "every"))
		}
		table.seen(intervals, firstRefresh)
		since := map[string]time.Duration{} // the vendor was asked
		failed := map[string]int{}
		asked := map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			wait := table.next()
			if wait < 0 || wait > lookEvery {
				t.Fatalf("waits %s", wait)
			}
			table.pass(wait)
			for _, n := range names {
				since[n] += wait
			}
			for _, n := range table.due() {
				every := intervals[n]
				low, high := every*9/10, every*11/10
				if f := failed[n]; f > 0 {
					backoff := min(every, firstRetry<<(f-1))
					low, high = backoff*9/10, min(backoff*11/10, every)
				}
				if asked[n] && (since[n] < low-time.Microsecond || since[n] > high+time.Microsecond) {
					t.Fatalf("%s with interval %s, failed %d times, was asked after %s", n, every, failed[n], since[n])
				}
				reached := rapid.Bool().Draw(t, "reached")
				table.asked(n, reached)
				failed[n]++
				if reached {
					failed[n] = 0
				}
				since[n], asked[n] = 0, true
			}
			for _, n := range names {
				if asked[n] && since[n] > intervals[n]*11/10+time.Microsecond {
					t.Fatalf("%s waits for %s", n, since[n])
				}
			}
		}
	})
}

// TestTimetableFollowsTheVendor: a vendor who is to be asked more often is, from
// now on; one whose containers are gone is forgotten, and a new one gets his turn.
func TestTimetableFollowsTheVendor(t *testing.T) {
	table := timetable{turns: map[string]*turn{}, share: func() float64 { return 0.5 }}
	table.seen(map[string]time.Duration{"a": 12 * time.Hour}, firstRefresh)
	if got := table.next(); got != firstRefresh {
		t.Fatalf("first after %s", got)
	}
	table.pass(firstRefresh)
	table.asked("a", true)
	table.seen(map[string]time.Duration{"a": time.Minute, "b": time.Hour}, lookEvery)
	if got := table.turns["a"].left; got != time.Minute {
		t.Fatalf("a is asked after %s", got)
	}
	if got := table.turns["b"].left; got != lookEvery {
		t.Fatalf("b is asked after %s", got)
	}
	table.seen(map[string]time.Duration{"b": time.Hour}, lookEvery)
	if table.turns["a"] != nil || len(table.due()) != 0 {
		t.Fatal("a is not forgotten")
	}
	for range 100 {
		table.asked("b", false)
	}
	if got := table.turns["b"].left; got != time.Hour {
		t.Fatalf("b is asked after %s", got)
	}
}

// TestIntervalOfTheVendor: what a vendor asks for is kept with his container, and
// the machine's own interval counts where he asks for nothing.
func TestIntervalOfTheVendor(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	a := Open(Config{Home: filepath.Join(t.TempDir(), "licet"), Now: func() time.Time { return now }, Traits: func() []machine.Trait {
		return []machine.Trait{{Name: machine.MachineID, Value: "one", Weight: 8}}
	}})
	v := vendortest.New(t, "Example Software", func() license.Time { return license.At(now) })
	if _, err := a.TrustAdd(t.Context(), TrustRequest{File: v.Trust}); err != nil {
		t.Fatal(err)
	}
	if got := a.intervals(t.Context(), time.Hour); len(got) != 0 {
		t.Fatalf("without a container: %v", got)
	}
	if _, err := a.Activate(t.Context(), ActivateRequest{Tickets: []license.Ticket{v.Sell(container.Body{Product: "CAD", Name: "CAD"})}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		asked license.Duration
		want  time.Duration
	}{{0, time.Hour}, {license.Duration(6 * time.Hour), 6 * time.Hour}, {license.Duration(time.Second), shortestRefresh}, {0, time.Hour}} {
		v.Refresh = c.asked
		if _, err := a.Update(t.Context(), UpdateRequest{}); err != nil {
			t.Fatal(err)
		}
		if got := a.intervals(t.Context(), time.Hour)[v.ID()]; got != c.want {
			t.Errorf("asked for %v: %v, want %v", c.asked, got, c.want)
		}
	}
}
