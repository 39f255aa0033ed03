package races

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

// faulty is a registry that reaches PostgreSQL through a proxy, and a book beside
// it that reaches the database directly.
type faulty struct {
	*book
	address string
	proxy   *proxy
	through *registry.Registry
}

func newFaulty(t *testing.T) *faulty {
	address := pgtest.URL(t)
	f := &faulty{book: newBook(t, address), address: address}
	var way string
	f.proxy, way = newProxy(t, address)
	db := open(t, way)
	var err error
	f.through, err = registry.Open(t.Context(), config(db, f.secret))
	must(t, err)
	return f
}

// session is a connection of somebody else to the same database.
func (f *faulty) session() *pgx.Conn {
	f.t.Helper()
	c, err := pgx.Connect(context.Background(), f.address)
	must(f.t, err)
	f.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func (f *faulty) exec(statement string, args ...any) {
	f.t.Helper()
	_, err := f.session().Exec(context.Background(), statement, args...)
	must(f.t, err)
}

// TestSwallowedCommit cuts the connection around a COMMIT. When the answer to it
// is swallowed the outcome is unknown, and the same request again gets the stored
// answer, byte for byte, without a second step (Th35, docs/protocol.md R2, R16).
func TestSwallowedCommit(t *testing.T) {
	f := newFaulty(t)
	ctx := t.Context()
	for i, c := range []struct {
		name    string
		match   func(message) bool
		verdict verdict
		unknown bool // the caller must be told that nobody knows
		done    bool // and it is done
	}{
		{"the answer is swallowed", message.committed, cut, true, true},
		{"cut when the commit was delivered", message.commits, cutAskers, true, true},
		{"cut before the commit was delivered", message.commits, cut, true, false},
		{"cut in the middle of the answer", message.committed, cutAfter, true, true},
		{"cut after the answer", message.closed, cutAfter, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, what := range []string{"first activation", "return", "activation of a known container"} {
				ticket, ids := f.order(fmt.Sprint("commit-", i, what), 1)
				x := f.box(f.through)
				wishes := ask(ticket)
				if what != "first activation" {
					must(t, x.activates(ticket))
					if what == "return" {
						wishes = back(ids[0])
					} else {
						must(t, x.returns(ids[0]))
					}
				}
				before := f.issued(x)
				file, _, err := x.request(wishes)
				must(t, err)
				hit := f.proxy.once(c.match, c.verdict)
				answer, err := f.through.Program(ctx, file)
				if !hit() {
					t.Fatalf("%s: nothing was cut", what)
				}
				if errors.Is(err, store.ErrCommitUnknown) != c.unknown || (err == nil) == c.unknown || (answer == nil) != (err != nil) {
					t.Fatalf("%s: %v", what, err)
				}
				f.proxy.set(nil)
				if n := f.settled(x, before); (n == before+1) != c.done {
					t.Fatalf("%s: %d steps, %d before", what, n, before)
				}
				again, err := f.through.Program(ctx, file)
				must(t, err)
				third, err := f.Program(ctx, file)
				must(t, err)
				if !bytes.Equal(again, third) || answer != nil && !bytes.Equal(answer, again) {
					t.Fatalf("%s: the same request got different answers", what)
				}
				if n := f.issued(x); n != before+1 {
					t.Fatalf("%s: %d steps for one request", what, n-before)
				}
				u, err := x.open(again)
				must(t, err)
				must(t, x.granted(u, nil))
				if no := x.imports(u); no != nil {
					t.Fatal(no)
				}
				must(t, x.receipt())
				must(t, f.whole(x))
			}
		})
	}
}

// issued is how many steps a container was issued.
func (f *faulty) issued(x *box) uint64 {
	rec, err := f.read()
	must(f.t, err)
	if c := rec.containers[x.serial()]; c != nil {
		return c.issued
	}
	return 0
}

// settled waits a little for a commit that is still under way.
func (f *faulty) settled(x *box, before uint64) uint64 {
	for range 50 {
		if n := f.issued(x); n != before {
			return n
		}
		time.Sleep(2 * time.Millisecond)
	}
	return before
}

// TestCutAtEveryMessage cuts the connection at every message of an activation, of
// a return and of a receipt, once before it is delivered and once after, in both
// directions. Whatever happens, the same file again completes the work, once. Only
// the long run takes every message.
func TestCutAtEveryMessage(t *testing.T) {
	f := newFaulty(t)
	ctx := t.Context()
	stride := long(24, 1)
	points := map[string]int{}
	unknown := 0
	for _, what := range []string{"activate", "return", "receipt"} {
		for _, asks := range []bool{true, false} {
			for _, v := range []verdict{cut, cutAfter} {
				for point := len(points); ; point += stride {
					ticket, ids := f.order(fmt.Sprint(what, asks, v, point), 1)
					x := f.box(f.through)
					wishes := ask(ticket)
					if what != "activate" {
						must(t, x.activates(ticket))
						wishes = container.Wishes{}
						if what == "return" {
							wishes = back(ids[0])
						}
					}
					file, _, err := x.request(wishes)
					must(t, err)
					n := 0
					hit := f.proxy.once(func(m message) bool {
						if m.asks != asks || m.kind == 0 || (m.asks && m.text == "" && m.kind != 'S') {
							return false
						}
						n++
						return n > point
					}, v)
					send := func() error {
						if what == "receipt" {
							return f.through.Receipt(ctx, file)
						}
						answer, err := f.through.Program(ctx, file)
						if err != nil {
							return err
						}
						u, err := x.open(answer)
						if err != nil {
							return err
						}
						if no := x.imports(u); no != nil {
							return no
						}
						return x.granted(u, nil)
					}
					err = send()
					wasHit := hit()
					f.proxy.set(nil)
					if err != nil {
						if !errors.Is(err, store.ErrCommitUnknown) {
							t.Fatalf("%s, cut at message %d (asks %t, %v): %v", what, point, asks, v, err)
						}
						unknown++
						must(t, send())
					}
					if what != "receipt" {
						must(t, x.receipt())
					}
					want := map[string]license.State{"activate": license.Collected, "return": license.Returned, "receipt": license.Collected}[what]
					if l := f.license(ids[0]); l.State != want {
						t.Fatalf("%s, cut at message %d: the license is %s", what, point, l.State)
					}
					if steps := f.issued(x); steps != map[string]uint64{"activate": 1, "return": 2, "receipt": 1}[what] {
						t.Fatalf("%s, cut at message %d: %d steps", what, point, steps)
					}
					if !wasHit {
						break // past the last message
					}
					points[what]++
				}
			}
		}
	}
	must(t, f.whole())
	t.Logf("cut points: %v; the outcome of the commit was unknown at %d", points, unknown)
}

// TestBackendKilled has an administrator end the connection in the middle of a
// transaction, at the moment of its commit, and again and again under load.
func TestBackendKilled(t *testing.T) {
	f := newFaulty(t)
	killer := f.session()
	kill := func(m message) verdict {
		killer.Exec(context.Background(), "select pg_terminate_backend($1)", int(m.link.pid))
		return pass
	}
	for i, match := range []func(message) bool{
		func(m message) bool { return m.asks && strings.HasPrefix(m.text, "insert into steps") },
		func(m message) bool { return m.asks && strings.HasPrefix(m.text, "update licenses set version") },
		message.commits,
	} {
		ticket, ids := f.order(fmt.Sprint("killed-", i), 1)
		x := f.box(f.through)
		file, _, err := x.request(ask(ticket))
		must(t, err)
		kills := 0
		f.proxy.set(func(m message) verdict {
			if kills > 0 || !match(m) {
				return pass
			}
			kills++
			return kill(m)
		})
		_, err = f.through.Program(t.Context(), file)
		if kills != 1 || err != nil && !errors.Is(err, store.ErrCommitUnknown) {
			t.Fatalf("%d: %d kills, %v", i, kills, err)
		}
		f.proxy.set(nil)
		_, err = x.send(file)
		must(t, err)
		must(t, x.receipt())
		if l := f.license(ids[0]); l.State != license.Collected || f.issued(x) != 1 {
			t.Fatalf("%d: %s after %d steps", i, l.State, f.issued(x))
		}
		must(t, f.whole(x))
	}
}

// TestFaultStorm is TestOneOrder while connections are cut around commits and
// elsewhere, backends are killed, and PostgreSQL refuses transactions at random,
// at their commit too. What the clients saw has one order still, with every
// answer that did not arrive as an open interval.
func TestFaultStorm(t *testing.T) {
	histories, each := long(1, 20), long(20, 30)
	f := newFaulty(t)
	f.storm(10)
	random := rand.New(rand.NewPCG(1, 2))
	hits := map[string]int{}
	f.proxy.set(func(m message) verdict {
		hit := func(name string, v verdict) verdict { hits[name]++; return v }
		switch {
		case !m.asks && m.text == "COMMIT" && m.kind == 'C' && random.IntN(6) == 0:
			return hit("answer to a commit swallowed", cut)
		case m.asks && m.text == "COMMIT" && random.IntN(12) == 0:
			return hit("cut before a commit", cut)
		case m.asks && m.text == "COMMIT" && random.IntN(12) == 0:
			return hit("cut as the commit was delivered", cutAskers)
		case m.asks && m.kind == 'B' && random.IntN(400) == 0:
			return hit("cut elsewhere", cut)
		}
		return pass
	})
	var boxes []*box
	total, open := 0, 0
	for i := range histories {
		h := newHistory(f.book, func(i int) server {
			if i%4 == 3 {
				return f.book // some are with another process, whose network is good
			}
			return f.through
		}, fmt.Sprint("storm-", i), 6)
		h.retry = true
		must(t, h.play(each, uint64(i)))
		for _, op := range h.ops {
			total++
			if op.Output.(output).unknown {
				open++
			}
		}
		if got := h.check(t); got != porcupine.Ok {
			t.Fatalf("history %d of %d operations: %s", i, len(h.ops), got)
		}
		boxes = append(boxes, h.boxes...)
	}
	f.proxy.set(nil)
	f.storm(0)
	must(t, f.whole(boxes...))
	if open == 0 || hits["answer to a commit swallowed"] == 0 {
		t.Error("no answer was lost")
	}
	t.Logf("%d operations, %d of them open; %v", total, open, hits)
}

// storm has PostgreSQL refuse one in so many transactions that touch a license or
// store a step, half of them at the commit. 0 ends it.
func (f *faulty) storm(oneIn int) {
	f.t.Helper()
	f.exec(`create or replace function storm() returns trigger language plpgsql as $$ begin
		if random() < 0.5 then raise exception 'storm' using errcode = '40001';
		else raise exception 'storm' using errcode = '40P01'; end if; end $$`)
	f.exec(`drop trigger if exists storm on licenses; drop trigger if exists storm on steps`)
	if oneIn > 0 {
		f.exec(fmt.Sprintf(`create trigger storm before update on licenses for each row when (random() < %g) execute function storm()`, 1/float64(oneIn)))
		f.exec(fmt.Sprintf(`create constraint trigger storm after insert on steps deferrable initially deferred for each row when (random() < %g) execute function storm()`, 1/float64(oneIn)))
	}
}

// TestDeadlockWithOthers has a session of somebody else lock two licenses in the
// other order, again and again: it or the registry is refused by PostgreSQL, and
// the registry runs again.
func TestDeadlockWithOthers(t *testing.T) {
	f := newFaulty(t)
	f.exec("alter system set deadlock_timeout = '20ms'")
	f.exec("select pg_reload_conf()")
	t.Cleanup(func() { f.exec("alter system reset deadlock_timeout"); f.exec("select pg_reload_conf()") })
	before := deadlocks(t, f.address)
	other := f.session()
	ctx := t.Context()
	var boxes []*box
	for i := range long(6, 100) {
		ticket, ids := f.order(fmt.Sprint("deadlock-", i), 2)
		x := f.box(f.through)
		boxes = append(boxes, x)
		file, _, err := x.request(ask(ticket))
		must(t, err)
		_, err = other.Exec(ctx, "begin; update licenses set version = version + 1 where id = '"+string(ids[1])+"'")
		must(t, err)
		touched := make(chan struct{})
		var once sync.Once
		f.proxy.set(func(m message) verdict {
			// The registry has the first license and asks for the second.
			if n := m.link.touched(); m.asks && n == 2 {
				once.Do(func() { close(touched) })
			}
			return pass
		})
		done := make(chan error, 1)
		go func() { _, err := x.send(file); done <- err }()
		<-touched
		_, err = other.Exec(ctx, "update licenses set version = version + 1 where id = '"+string(ids[0])+"'; commit")
		if err != nil {
			_, err = other.Exec(ctx, "rollback")
			must(t, err)
		}
		must(t, <-done)
		must(t, x.receipt())
	}
	f.proxy.set(nil)
	must(t, f.whole(boxes...))
	if n := deadlocks(t, f.address) - before; n == 0 {
		t.Error("there was no deadlock")
	} else {
		t.Logf("%d deadlocks in %d rounds", n, len(boxes))
	}
}

// touched is how many licenses the transaction under way has locked.
func (l *link) touched() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.tx {
		if strings.HasPrefix(s, "update licenses set version") {
			n++
		}
	}
	return n
}

// TestSerializableRole gives the role another isolation level than ours, by
// default: our transactions name their own, and nothing is refused.
func TestSerializableRole(t *testing.T) {
	address := pgtest.URL(t)
	c, err := pgx.Connect(t.Context(), address)
	must(t, err)
	_, err = c.Exec(t.Context(), "alter database "+c.Config().Database+" set default_transaction_isolation = 'serializable'")
	must(t, err)
	must(t, c.Close(t.Context()))
	b := newBook(t, address)
	boxes := b.boxes(16, func(int) server { return b })
	ticket, ids := b.order("serializable", 1)
	for range 3 {
		winner, err := contest(b, boxes, ticket, ids[0])
		must(t, err)
		must(t, winner.receipt())
		must(t, winner.returns(ids[0]))
	}
	must(t, b.whole(boxes...))
}

// TestPoolEmpty has more requests than there are connections wait for a license
// that somebody else has locked; others wait for a connection. Those whose time
// runs out change nothing, the rest is answered as usual.
func TestPoolEmpty(t *testing.T) {
	f := newFaulty(t)
	ticket, ids := f.order("pool", 1)
	other := f.session()
	_, err := other.Exec(t.Context(), "begin; update licenses set version = version + 1 where id = '"+string(ids[0])+"'")
	must(t, err)
	boxes := f.boxes(40, func(int) server { return f.through })
	var wg sync.WaitGroup
	outcomes := make([]error, len(boxes))
	for i, x := range boxes {
		wg.Go(func() {
			ctx := context.Background()
			if i%2 == 0 {
				short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				ctx = short
			}
			file, _, err := x.request(ask(ticket))
			if err != nil {
				outcomes[i] = err
				return
			}
			answer, err := f.through.Program(ctx, file)
			if outcomes[i] = err; err != nil {
				return
			}
			u, err := x.open(answer)
			if outcomes[i] = err; err == nil {
				if no := x.imports(u); no != nil {
					outcomes[i] = no
				}
			}
		})
	}
	time.Sleep(600 * time.Millisecond)
	_, err = other.Exec(t.Context(), "commit")
	must(t, err)
	wg.Wait()
	holders, late := 0, 0
	for i, x := range boxes {
		switch err := outcomes[i]; {
		case i%2 == 0 && err != nil:
			late++
		case err != nil:
			t.Fatal(err)
		case len(x.state.Held) == 1:
			holders++
		}
	}
	if holders != 1 || late != 20 {
		t.Errorf("%d got the license, %d were too late", holders, late)
	}
	must(t, f.whole(boxes...))
}

// TestNoMoreConnections has PostgreSQL refuse connections for a while.
func TestNoMoreConnections(t *testing.T) {
	f := newFaulty(t)
	ticket, _ := f.order("connections", 1)
	x := f.box(f.through)
	f.proxy.cutAll()
	refused := 0
	f.proxy.set(func(m message) verdict {
		if m.kind == 0 && refused < 4 {
			refused++
			return refuseLink
		}
		return pass
	})
	must(t, x.activates(ticket))
	if refused != 4 {
		t.Errorf("%d connections were refused", refused)
	}
	must(t, x.receipt())
	must(t, f.whole(x))
}

// TestStatementTimeout has PostgreSQL cancel a statement that waits too long:
// nothing has changed, and the same request later is answered.
func TestStatementTimeout(t *testing.T) {
	f := newFaulty(t)
	ticket, ids := f.order("timeout", 1)
	f.exec("alter database " + f.session().Config().Database + " set statement_timeout = '150ms'")
	f.proxy.cutAll()
	other := f.session()
	_, err := other.Exec(t.Context(), "set statement_timeout = 0; begin; update licenses set version = version + 1 where id = '"+string(ids[0])+"'")
	must(t, err)
	x := f.box(f.through)
	file, _, err := x.request(ask(ticket))
	must(t, err)
	if _, err := f.through.Program(t.Context(), file); err == nil || errors.Is(err, store.ErrCommitUnknown) {
		t.Fatal(err)
	}
	_, err = other.Exec(t.Context(), "commit")
	must(t, err)
	if n := f.issued(x); n != 0 {
		t.Fatalf("%d steps of a request that failed", n)
	}
	_, err = x.send(file)
	must(t, err)
	must(t, x.receipt())
	must(t, f.whole(x))
}

// TestGatewayTellsUnknown swallows the answer to a commit between a real server
// and PostgreSQL: the server answers 500 with a code, and the machine's own
// repetition of the same bytes brings the stored answer. An order that is taken
// this way is taken once.
func TestGatewayTellsUnknown(t *testing.T) {
	address := pgtest.URL(t)
	p, way := newProxy(t, address)
	b, servers := processes(t, 1, address, way)
	s := servers[0]

	ticket, ids := b.order("http", 1)
	x := b.box(s.with(0, 1))
	file, _, err := x.request(ask(ticket))
	must(t, err)
	hit := p.once(message.committed, cut)
	res, err := http.Post(*s.base.Load()+wire.PathProgram, wire.MediaFile, bytes.NewReader(file))
	must(t, err)
	res.Body.Close()
	if !hit() || res.StatusCode != http.StatusInternalServerError || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("hit %t: %s %s", hit(), res.Status, res.Header)
	}
	_, err = s.with(0, 1).Program(t.Context(), file)
	must(t, err)

	hit = p.once(message.committed, cut)
	y := b.box(s.with(1, 3)) // as programs on users' machines are set
	second, _ := b.order("http-2", 1)
	must(t, y.activates(second))
	if !hit() {
		t.Error("nothing was cut")
	}
	_, err = x.send(file)
	must(t, err)
	must(t, x.receipt())
	must(t, y.receipt())

	orders := func(m message) bool {
		return !m.asks && m.kind == 'C' && m.text == "COMMIT" && m.link.did("insert into orders")
	}
	hit = p.once(orders, cut)
	o, err := s.central().CreateOrder(t.Context(), wire.OrderRequest{Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD", Quantity: 3}}})
	must(t, err)
	if !hit() || len(o.Licenses) != 3 {
		t.Errorf("hit %t, %d licenses", hit(), len(o.Licenses))
	}
	list, err := s.central().Licenses(t.Context(), pageOf(200))
	must(t, err)
	if len(list.Items) != 5 {
		t.Errorf("there are %d licenses, 5 were ordered", len(list.Items))
	}
	p.set(nil)
	if l := b.license(ids[0]); l.Container != x.serial() {
		t.Errorf("the license is with %s", l.Container)
	}
	must(t, b.whole(x, y))
	if strings.Contains(s.faults(), "panic") {
		t.Error(s.faults())
	}
}
