package races

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"

	"licet/internal/pgtest"
)

// pair is two PostgreSQL servers: a primary and its synchronous standby.
type pair struct {
	t                testing.TB
	primary, standby *pgtest.Server
	database         string
	alone            bool // nothing follows the primary
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{t: t, primary: pgtest.Start(t), standby: pgtest.Start(t)}
	p.database = strings.TrimPrefix(parse(t, p.primary.URL(t)).Path, "/")
	p.standby.Crash(t)
	p.standby.Follow(t, p.primary)
	return p
}

// address is that of the database on whichever server is the primary.
func (p *pair) address() string { return p.primary.Either(p.standby, p.database) }

// failover has the primary fail as in a power cut, and promotes the standby. What
// failed before comes back first, as the standby of what took over.
func (p *pair) failover() {
	if p.alone {
		p.standby.Follow(p.t, p.primary)
	}
	p.alone = true
	p.primary.Crash(p.t)
	p.standby.Promote(p.t)
	p.primary, p.standby = p.standby, p.primary
}

// cut ends all connections to the database but its own.
func (p *pair) cut() {
	p.t.Helper()
	c, err := pgx.Connect(p.t.Context(), p.address())
	must(p.t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(p.t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	must(p.t, err)
}

// goesOn waits until the clients have done so many more things: whatever happened,
// the servers find their way back by themselves.
func (h *history) goesOn(t testing.TB, more int, done <-chan error) {
	t.Helper()
	count := func() int { h.mu.Lock(); defer h.mu.Unlock(); return len(h.ops) }
	want := count() + more
	for began := time.Now(); count() < want; {
		select {
		case err := <-done:
			t.Fatalf("the clients stopped: %v", err)
		case <-time.After(5 * time.Millisecond):
			if time.Since(began) > time.Minute {
				t.Fatalf("nobody gets an answer any more: %d operations, %d wanted", count(), want)
			}
		}
	}
}

// TestChaos has 16 machines work with two servers on a PostgreSQL with a
// synchronous standby, while the primary fails and the standby takes over, servers
// are killed, and all connections are cut. Whatever was answered is there, and one
// order explains all of it (Inv37). The long run goes on for ten minutes.
func TestChaos(t *testing.T) {
	p := newPair(t)
	b, servers := processes(t, 2, p.address())
	kill := func(i int) func() {
		return func() { servers[i].kill(); servers[i].start() }
	}
	faults := map[string]func(){
		"a server is killed":                             kill(0),
		"the other server is killed":                     kill(1),
		"all connections are cut":                        p.cut,
		"the primary fails":                              p.failover,
		"the primary fails, and a server is killed":      func() { servers[0].kill(); p.failover(); servers[0].start() },
		"the primary fails, and both servers are killed": func() { servers[0].kill(); servers[1].kill(); p.failover(); servers[0].start(); servers[1].start() },
	}
	plans := [][]string{{"all connections are cut", "the primary fails", "a server is killed"}, {"the primary fails, and a server is killed", "the other server is killed"}}
	if long(0, 1) == 1 {
		plans = nil
	}
	names := []string{}
	for name := range faults {
		names = append(names, name)
	}
	random := rand.New(rand.NewPCG(5, 6))
	until := time.Now().Add(10 * time.Minute)
	var boxes []*box
	happened, total, open := map[string]int{}, 0, 0
	for round := 0; round < len(plans) || plans == nil && time.Now().Before(until); round++ {
		h := newHistory(b, func(i int) server { return servers[i%2].with(i, 1) }, fmt.Sprint("chaos-", round), 6)
		h.retry, h.patient = true, true
		done := make(chan error, 1)
		go func() { done <- h.play(10000, uint64(round)) }()
		plan := []string{}
		if plans != nil {
			plan = plans[round]
		} else {
			for range 3 {
				plan = append(plan, names[random.IntN(len(names))])
			}
		}
		for _, name := range plan {
			h.goesOn(t, 150, done)
			began := time.Now()
			faults[name]()
			happened[name]++
			h.goesOn(t, 150, done)
			t.Logf("%s: work went on after %v", name, time.Since(began).Round(time.Millisecond))
		}
		h.stop.Store(true)
		must(t, <-done)
		for _, op := range h.ops {
			total++
			if op.Output.(output).unknown {
				open++
			}
		}
		if got := h.check(t); got != porcupine.Ok {
			t.Fatalf("round %d, %v, a history of %d operations: %s", round, plan, len(h.ops), got)
		}
		boxes = append(boxes, h.boxes...)
		if p.alone {
			p.standby.Follow(t, p.primary)
			p.alone = false
		}
	}
	must(t, b.whole(boxes...))
	t.Logf("%v; %d operations, %d of them open", happened, total, open)
}
