package races

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
)

// history is what 16 clients saw while they worked with a few licenses.
type history struct {
	b        *book
	boxes    []*box
	tickets  []license.Ticket
	ids      []license.ID
	clientOf map[string]int // by serial
	began    time.Time
	requests atomic.Uint64
	retry    bool // an error may be a lost answer: ask again until there is one
	patient  bool // for minutes, with a pause between two attempts
	query    func(client int, id license.ID) (license.State, license.Serial, error)

	stop atomic.Bool // ends the play early

	mu   sync.Mutex // protects ops and open
	ops  []porcupine.Operation
	open [clients][]int // the operations of a client that got no answer yet
}

// newHistory makes the clients and the licenses, each of a ticket of its own.
func newHistory(b *book, server func(i int) server, name string, licenses int) *history {
	h := &history{b: b, boxes: b.boxes(clients, server), clientOf: map[string]int{}, began: time.Now()}
	h.query = func(_ int, id license.ID) (license.State, license.Serial, error) {
		l, err := b.License(context.Background(), b.admin, id)
		return l.State, l.Container, err
	}
	for i, x := range h.boxes {
		h.clientOf[string(x.serial())] = i
	}
	for i := range licenses {
		ticket, ids := b.order(fmt.Sprint(name, "-", i), 1)
		h.tickets, h.ids = append(h.tickets, ticket), append(h.ids, ids[0])
	}
	return h
}

// play has the clients do so many things each.
func (h *history) play(each int, seed uint64) error {
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; n < each && !h.stop.Load(); n++ {
				if errs[i] = h.one(i, random); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

// saw adds what a client did and learned. Every operation is also a report, which
// can concern the licenses it does not name.
//
// An operation without an answer may happen at any time later, but not after the
// same container was asked again and answered: until its transaction is decided
// it holds the locks that the next one of the container needs.
func (h *history) saw(in input, id license.ID, called int64, learned func(license.ID) output) {
	returned := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.ids {
		in, out := in, learned(other)
		if in.license = other; other != id {
			if in.do == "query" {
				continue
			}
			in.do = "report"
		}
		op := porcupine.Operation{ClientId: in.client, Input: in, Output: out, Call: called, Return: returned, Metadata: returned}
		if out.unknown {
			op.Return = math.MaxInt64
			if in.do != "query" {
				h.open[in.client] = append(h.open[in.client], len(h.ops))
			}
		}
		h.ops = append(h.ops, op)
	}
	if in.do == "query" || learned(h.ids[0]).unknown {
		return
	}
	h.open[in.client] = slices.DeleteFunc(h.open[in.client], func(i int) bool {
		op := &h.ops[i]
		if late := op.Metadata.(int64) > called; late {
			return false // it was still under way
		}
		op.Return = returned
		return true
	})
}

// one does one thing, as a user would.
func (h *history) one(client int, random *rand.Rand) error {
	x, n := h.boxes[client], random.IntN(len(h.ids))
	id := h.ids[n]
	_, has := x.state.Held[id]
	dice := random.IntN(100)
	switch {
	case dice < 10:
		called := h.now()
		state, holder, err := h.query(client, id)
		if err != nil && !h.retry {
			return err
		}
		h.saw(input{do: "query", client: client}, id, called, func(license.ID) output {
			return output{state: state, holder: h.client(string(holder)), unknown: err != nil}
		})
		return nil
	case dice < 25:
		return h.receipt(client)
	case has == (dice < 80): // what makes sense more often than not
		if err := h.program(client, "return", id, back(id), random); err != nil {
			return err
		}
	default:
		if err := h.program(client, "activate", id, ask(h.tickets[n]), random); err != nil {
			return err
		}
	}
	if random.IntN(2) == 0 {
		return h.receipt(client)
	}
	return nil
}

func (h *history) client(serial string) int {
	if i, ok := h.clientOf[serial]; ok {
		return i
	}
	return -1
}

func (h *history) receipt(client int) error {
	x := h.boxes[client]
	file, r, err := x.request(container.Wishes{})
	if err != nil {
		return err
	}
	in := input{do: "report", client: client, number: r.Number, request: h.requests.Add(1)}
	for attempt := 1; ; attempt++ {
		called := h.now()
		err := x.server.Receipt(context.Background(), file)
		if h.down(err) {
			continue
		}
		h.saw(in, "", called, func(license.ID) output { return output{unknown: err != nil} })
		if err == nil {
			return nil
		}
		if _, refused := refusal.As(err); (refused && !h.transient(err)) || !h.retry || h.tired(attempt) {
			return fmt.Errorf("receipt: %w", err)
		}
	}
}

// down reports whether a request certainly did not reach a server, and waits.
func (h *history) down(err error) bool {
	if !h.retry || err == nil || !strings.Contains(err.Error(), "connection refused") {
		return false
	}
	time.Sleep(10 * time.Millisecond)
	return true
}

// tired reports whether a client gives up for good. What was cut off once is asked
// again at once; where a server is away for longer, its clients wait.
func (h *history) tired(attempt int) bool {
	pause, most := 10*time.Millisecond, 1000
	if h.patient {
		pause, most = 50*time.Millisecond, 2000
	}
	if h.patient || attempt > 2 {
		time.Sleep(pause)
	}
	return attempt > most
}

// transient reports whether an error means no more than that no answer came.
func (h *history) transient(err error) bool {
	return refusal.Is(err, refusal.CentralUnreachable) || refusal.Is(err, refusal.Internal)
}

// program sends a request, sometimes twice at once, and imports the answer unless
// it gets lost on the way.
func (h *history) program(client int, do string, id license.ID, w container.Wishes, random *rand.Rand) error {
	x := h.boxes[client]
	file, r, err := x.request(w)
	if err != nil {
		return err
	}
	in := input{do: do, client: client, number: r.Number, request: h.requests.Add(1)}
	var twin sync.WaitGroup
	var twinErr error
	if random.IntN(10) == 0 {
		in.again = true
		twin.Go(func() { _, twinErr = h.ask(x, in, id, file) })
	}
	lost := random.IntN(8) == 0
	u, err := h.ask(x, in, id, file)
	twin.Wait()
	if errors.Is(err, errGaveUp) {
		return nil // and asks for something else
	}
	if err != nil || twinErr != nil && !errors.Is(twinErr, errGaveUp) {
		return fmt.Errorf("%s: %w %w", do, err, twinErr)
	}
	if lost {
		return nil
	}
	if no := x.imports(u); no != nil {
		return fmt.Errorf("%s: import: %w", do, no)
	}
	return nil
}

// errGaveUp says that a user lost patience.
var errGaveUp = errors.New("gave up")

// ask sends a request until it is answered, and notes every attempt.
func (h *history) ask(x *box, in input, id license.ID, file []byte) (u update, err error) {
	for attempt := 1; ; attempt++ {
		called := h.now()
		var answer []byte
		if answer, err = x.server.Program(context.Background(), file); err == nil {
			if u, err = x.open(answer); err != nil {
				return u, err
			}
			return u, h.answered(in, id, called, u)
		}
		if h.down(err) {
			continue
		}
		h.saw(in, id, called, func(license.ID) output { return output{unknown: true} })
		if h.retry && in.request%4 == 0 {
			return u, errGaveUp
		}
		if !h.retry || !h.transient(err) && isRefusal(err) || h.tired(attempt) {
			return u, err
		}
		in.again = true
	}
}

func isRefusal(err error) bool { _, ok := refusal.As(err); return ok }

// answered notes an answer.
func (h *history) answered(in input, id license.ID, called int64, u update) error {
	if len(u.Outcomes) != 1 {
		return fmt.Errorf("%d outcomes of one wish: %+v", len(u.Outcomes), u.Outcomes)
	}
	out := u.Outcomes[0]
	last := func(id license.ID) (step uint64) {
		for _, s := range u.steps {
			for _, op := range s.Step.Ops {
				if op.License == id {
					step = s.Step.Number
				}
			}
		}
		return step
	}
	o := output{code: out.Code, last: last(id), holder: -1}
	switch out.Code {
	case refusal.Done:
		o.step = o.last
	case refusal.LicenseInUse:
		holder, _ := out.Details["container"].(string)
		state, _ := out.Details["state"].(string)
		o.holder, o.state = h.client(holder), license.State(state)
	}
	h.saw(in, id, called, func(other license.ID) output {
		if other != id {
			return output{code: o.code, last: last(other)}
		}
		return o
	})
	return nil
}

// telling is the history without the reports that can do nothing: those of a
// container that prove no step of the license, or none that an earlier report of
// it has not proven. They are legal in every state and change none, so nothing is
// lost, and the search for an order is short.
func (h *history) telling() (ops []porcupine.Operation) {
	type part struct {
		license license.ID
		client  int
	}
	steps := map[part][]uint64{}
	for _, op := range h.ops {
		in, out := op.Input.(input), op.Output.(output)
		for _, step := range []uint64{out.step, out.last} {
			if step != 0 {
				steps[part{in.license, in.client}] = append(steps[part{in.license, in.client}], step)
			}
		}
	}
	type proof struct {
		step     uint64
		returned int64
	}
	proven := map[part][]proof{}
	sorted := slices.SortedStableFunc(slices.Values(h.ops), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, op := range sorted {
		in, out := op.Input.(input), op.Output.(output)
		p := part{in.license, in.client}
		var step uint64
		for _, k := range steps[p] {
			if k <= in.number {
				step = max(step, k)
			}
		}
		earlier := slices.ContainsFunc(proven[p], func(e proof) bool { return e.step >= step && e.returned < op.Call })
		if in.do == "report" && (step == 0 || earlier) {
			continue
		}
		if in.do != "query" && !in.again && !out.unknown && out.code != refusal.OutOfDate {
			proven[p] = append(proven[p], proof{step, op.Return})
		}
		ops = append(ops, op)
	}
	return ops
}

// check looks for one order of all operations that explains what was seen.
func (h *history) check(t testing.TB) porcupine.CheckResult {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(model, h.telling(), time.Minute)
	if folder := os.Getenv("LICET_RACES_PICTURES"); result != porcupine.Ok && folder != "" {
		porcupine.VisualizePath(model, info, filepath.Join(folder, fmt.Sprintf("history-%d.html", h.began.UnixNano())))
	}
	return result
}

// TestOneOrder has 16 machines activate, return, send receipts and look, at the
// same time, and finds one order of it all that explains every answer.
func TestOneOrder(t *testing.T) {
	histories, each := long(2, 40), long(20, 60)
	everywhere(t, func(t *testing.T, b *book, server func(int) server) {
		var ops int
		var boxes []*box
		checking := time.Duration(0)
		for i := range histories {
			h := newHistory(b, server, fmt.Sprint("history-", i), 3)
			must(t, h.play(each, uint64(i)))
			ops += len(h.ops)
			began := time.Now()
			if got := h.check(t); got != porcupine.Ok {
				t.Fatalf("history %d of %d operations: %s", i, len(h.ops), got)
			}
			checking += time.Since(began)
			boxes = append(boxes, h.boxes...)
		}
		must(t, b.whole(boxes...))
		t.Logf("%d histories, %d operations, checked in %v", histories, ops, checking)
		if rec, err := b.read(); err == nil {
			t.Logf("%d events of licenses sort before what happened earlier", rec.disorder())
		}
	})
}

// stale is a server with a fault: it decides on a look at the licenses that it
// took before it had their locks.
type stale struct {
	*book
	ids *[]license.ID
}

func (s stale) Program(ctx context.Context, file []byte) ([]byte, error) {
	free := map[license.ID]license.State{}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		for _, id := range *s.ids {
			l, err := tx.License(id)
			if err != nil {
				return err
			}
			if l.State.Available() {
				free[id] = l.State
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What was free a moment ago counts as free still.
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		for id, state := range free {
			if _, err := tx.Exec("update licenses set state = $2, holder = null where id = $1", id, state); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.book.Program(ctx, file)
}

// TestCheckerSeesRace plants a race, deciding on a look taken before the lock, and
// wants the checker to find it soon.
func TestCheckerSeesRace(t *testing.T) {
	const atMost = 20
	b := newBook(t, sqliteAddress(t))
	for i := range atMost {
		var ids []license.ID
		h := newHistory(b, func(int) server { return stale{b, &ids} }, fmt.Sprint("planted-", i), 2)
		ids = h.ids
		err := h.play(6, uint64(i))
		if got := h.check(t); got == porcupine.Illegal {
			t.Logf("found in history %d of %d operations (%v)", i+1, len(h.ops), err)
			if b.whole(h.boxes...) == nil {
				t.Error("the look at the record does not see the race")
			}
			return
		}
	}
	t.Fatalf("%d histories with a planted race, and the checker saw nothing", atMost)
}
