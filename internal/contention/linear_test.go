package contention

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

const (
	players   = 16
	histories = 5
	longRuns  = 200
	chairs    = 6 // seats for the players: most of the time some stand
	shortTTL  = "1s"
)

// did is what one player did with one seat, and what came of it.
type did struct {
	kind  string // claim, extend, release, end, expire
	lease string // of the seat; of a claim the one that was granted, "" for none free
	gone  bool   // the answer was that there is no such session
}

// room is which seats are taken, as a list of leases in order.
type room string

func (r room) has(lease string) bool {
	return slices.Contains(strings.Fields(string(r)), lease)
}

func (r room) with(lease string) room {
	list := append(strings.Fields(string(r)), lease)
	slices.Sort(list)
	return room(strings.Join(list, " "))
}

func (r room) without(lease string) room {
	list := slices.DeleteFunc(strings.Fields(string(r)), func(l string) bool { return l == lease })
	return room(strings.Join(list, " "))
}

// model is a room with so many chairs. A seat is gone when its holder or an
// administrator ends it, or when its time is over.
func model(n int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return room("") },
		Step: func(state, _, output any) (bool, any) {
			r, d := state.(room), output.(did)
			taken := len(strings.Fields(string(r)))
			switch d.kind {
			case "claim":
				if d.lease == "" {
					return taken == n, r
				}
				return taken < n && !r.has(d.lease), r.with(d.lease)
			case "extend":
				return r.has(d.lease) != d.gone, r
			default: // it may be gone already: the answer to the first try was lost
				return true, r.without(d.lease)
			}
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(_, output any) string { return fmt.Sprintf("%+v", output) },
	}
}

// history is what the players did, on one clock.
type history struct {
	h     *host
	began time.Time
	until time.Time

	mu  sync.Mutex // guards what follows
	ops []porcupine.Operation
	// use is for how long each seat could be used at least by its holder: no two at
	// once on one chair.
	use []span
	bad []string
}

type span struct{ from, to time.Duration }

func (x *history) now() time.Duration { return time.Since(x.began) }

func (x *history) note(player int, call time.Duration, d did) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ops = append(x.ops, porcupine.Operation{ClientId: player, Call: int64(call), Output: d, Return: int64(x.now())})
}

func (x *history) wrong(form string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bad = append(x.bad, fmt.Sprintf(form, args...))
}

// insist asks until there is an answer, as a program does whose server is away.
func (x *history) insist(method, path, token string, body []byte) (int, []byte) {
	for {
		status, answer, err := x.h.ask(method, path, token, body)
		switch {
		case err != nil, status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
			if time.Since(x.until) > 30*time.Second {
				x.wrong("%s %s: no answer for half a minute: %d %v", method, path, status, err)
				return 0, nil
			}
			time.Sleep(3 * time.Millisecond)
		default:
			return status, answer
		}
	}
}

// play has one player claim, extend, leave and be sent away until the time is over.
func (x *history) play(player int, seed uint64) {
	random := mathrand.New(mathrand.NewPCG(seed, uint64(player)))
	for time.Now().Before(x.until) {
		ttl := ""
		if random.IntN(4) == 0 {
			ttl = shortTTL
		}
		call := x.now()
		status, answer := x.insist("POST", wire.PathLeases, "", claimBody(rand.Text(), ttl))
		switch {
		case status == http.StatusCreated:
		case status == http.StatusConflict && codeOf(answer) == refusal.NoSeatFree:
			x.note(player, call, did{kind: "claim"})
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			continue
		default:
			x.wrong("a claim was answered %d %s", status, answer)
			return
		}
		var l wire.Lease
		if err := json.Unmarshal(answer, &l); err != nil {
			x.wrong("%v: %s", err, answer)
			return
		}
		got := x.now()
		x.note(player, call, did{kind: "claim", lease: string(l.Lease)})
		x.sit(player, random, l, span{got, call + seats.StopAfter(l.TTL).Go()}, ttl != "")
	}
}

// sit extends a seat some times and leaves it in one way or another.
func (x *history) sit(player int, random *mathrand.Rand, l wire.Lease, mine span, short bool) {
	token, path := l.Token, wire.PathLease+string(l.Lease)
	ends := x.at(l)
	for range random.IntN(6) {
		call := x.now()
		status, answer := x.insist("PUT", path, token, nil)
		if short && codeOf(answer) == refusal.LeaseLost && x.now() > ends {
			break // it was not extended in time
		}
		x.note(player, call, did{kind: "extend", lease: string(l.Lease), gone: status == http.StatusGone})
		if status != http.StatusOK {
			if status != http.StatusGone || !short {
				x.wrong("an extension was answered %d %s", status, answer)
			}
			break
		}
		if err := json.Unmarshal(answer, &l); err != nil {
			x.wrong("%v: %s", err, answer)
		}
		mine.to, ends = max(mine.to, call+seats.StopAfter(l.TTL).Go()), x.at(l)
		time.Sleep(time.Duration(random.IntN(15)) * time.Millisecond)
	}
	call := x.now()
	switch {
	case short: // nobody says that it is over
		x.mu.Lock()
		x.ops = append(x.ops, porcupine.Operation{ClientId: players + player, Call: int64(ends), Output: did{kind: "expire", lease: string(l.Lease)}, Return: int64(time.Hour)})
		x.mu.Unlock()
	case random.IntN(4) == 0:
		mine.to = min(mine.to, call)
		x.insist("DELETE", path, x.h.admin(), []byte(`{"by":"ann","why":"test"}`))
		x.note(player, call, did{kind: "end", lease: string(l.Lease)})
	default:
		mine.to = min(mine.to, call)
		x.insist("DELETE", path, token, nil)
		x.note(player, call, did{kind: "release", lease: string(l.Lease)})
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.use = append(x.use, mine)
}

// at is when a lease ends, on the history's clock.
func (x *history) at(l wire.Lease) time.Duration { return l.ExpiresAt.Go().Sub(x.began) }

// crowd is the most seats that were in use at once.
func (x *history) crowd() (most int) {
	type edge struct {
		at time.Duration
		by int
	}
	var edges []edge
	for _, s := range x.use {
		if s.to > s.from {
			edges = append(edges, edge{s.from, 1}, edge{s.to, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(min(1, max(-1, a.at-b.at)))
		}
		return a.by - b.by
	})
	n := 0
	for _, e := range edges {
		n += e.by
		most = max(most, n)
	}
	return most
}

// TestLinearizable plays histories with a server that is killed again and again: no
// seat is given twice, none is lost, and there is an order in which everything that
// was answered could have happened.
func TestLinearizable(t *testing.T) {
	runs, patience := histories, time.Minute
	if long {
		runs, patience = longRuns, 10*time.Minute
	}
	kills, refused, operations, open := 0, 0, 0, 0
	h := newHost(t, chairs)
	h.start()
	for run := range runs {
		x := &history{h: h, began: time.Now(), until: time.Now().Add(2 * time.Second)}
		var all sync.WaitGroup
		for player := range players {
			all.Go(func() { x.play(player, uint64(run)) })
		}
		played := make(chan struct{})
		go func() { all.Wait(); close(played) }()
		random := mathrand.New(mathrand.NewPCG(uint64(run), 99))
		for playing := true; playing; {
			select {
			case <-played:
				playing = false
			case <-time.After(time.Duration(150+random.IntN(400)) * time.Millisecond):
				if time.Now().After(x.until) {
					continue // let them finish
				}
				h.end(syscall.SIGKILL)
				kills++
				h.start()
			}
		}
		if len(x.bad) > 0 {
			t.Fatalf("history %d: %s\n%s", run, strings.Join(x.bad, "\n"), h.log())
		}
		if n := x.crowd(); n > chairs {
			t.Fatalf("history %d: %d used %d seats at once", run, n, chairs)
		}
		switch result, info := porcupine.CheckOperationsVerbose(model(chairs), x.ops, patience); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			open++
			t.Logf("history %d of %d operations could not be checked in %s", run, len(x.ops), patience)
		default:
			_ = porcupine.VisualizePath(model(chairs), info, t.ArtifactDir()+"/history.html")
			t.Fatalf("history %d: no order of its %d operations explains what was answered", run, len(x.ops))
		}
		t.Logf("history %d: %d operations, %d kills so far, checked after %s", run, len(x.ops), kills, time.Since(x.began).Round(time.Millisecond))
		operations += len(x.ops)
		for _, o := range x.ops {
			if d := o.Output.(did); d.kind == "claim" && d.lease == "" {
				refused++
			}
		}
		// Whoever is left goes by time: then every seat is there again.
		for began := time.Now(); h.pool().Free != chairs; time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("history %d: seats are lost: %+v", run, h.pool())
			}
		}
	}
	t.Logf("%d histories, %d of which stayed unchecked; %d operations, %d kills, %d refusals", runs, open, operations, kills, refused)
	if kills < runs || refused == 0 {
		t.Errorf("%d kills, %d refusals in %d histories: that was too easy", kills, refused, runs)
	}
}

// TestModelCatches plants what must not be: one seat too many, a seat that is gone
// and extended, and a refusal while a chair is free.
func TestModelCatches(t *testing.T) {
	op := func(at int64, d did) porcupine.Operation {
		return porcupine.Operation{ClientId: int(at), Call: at * 10, Output: d, Return: at*10 + 5}
	}
	for name, ops := range map[string][]porcupine.Operation{
		"too many":        {op(1, did{kind: "claim", lease: "a"}), op(2, did{kind: "claim", lease: "b"})},
		"gone, extended":  {op(1, did{kind: "claim", lease: "a"}), op(2, did{kind: "release", lease: "a"}), op(3, did{kind: "extend", lease: "a"})},
		"lost":            {op(1, did{kind: "claim", lease: "a"}), op(2, did{kind: "extend", lease: "a", gone: true})},
		"refused, free":   {op(1, did{kind: "claim", lease: "a"}), op(2, did{kind: "release", lease: "a"}), op(3, did{kind: "claim"})},
		"ended too early": {op(1, did{kind: "claim", lease: "a"}), op(2, did{kind: "claim", lease: "b"}), op(3, did{kind: "expire", lease: "a"})},
	} {
		if porcupine.CheckOperations(model(1), ops) {
			t.Errorf("%s: the model lets it pass", name)
		}
	}
}
