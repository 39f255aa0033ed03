package races

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// long is how much is played: usual by default, more with LICET_TEST_LONG=1.
func long(usual, more int) int {
	if os.Getenv("LICET_TEST_LONG") == "1" {
		return more
	}
	return usual
}

// server is what a container speaks to: a registry in this process, or a real
// server over HTTP.
type server interface {
	Program(ctx context.Context, file []byte) ([]byte, error)
	Receipt(ctx context.Context, file []byte) error
}

const catalogYAML = `
products:
  - code: CAD
    name: CAD Professional
    model: perpetual_single
    features: [render]
`

// book is a registry in this process, on a database that others may use too.
type book struct {
	*registry.Registry
	t        testing.TB
	db       *store.DB
	secret   []byte
	admin    registry.Actor
	trust    *seal.Trust
	verifier *seal.Verifier
}

func config(db *store.DB, secret []byte) registry.Config {
	return registry.Config{DB: db, Secret: secret, Now: time.Now, Random: func(p []byte) { rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
}

// open opens the database at an address; it is closed when the test ends.
func open(t testing.TB, address string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), address)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// newBook sets up a vendor in an empty database.
func newBook(t testing.TB, address string) *book {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	db := open(t, address)
	_, err := registry.Init(t.Context(), config(db, secret), registry.InitRequest{Vendor: "Acme", Address: "http://127.0.0.1:1"})
	must(t, err)
	return openBook(t, db, secret)
}

// openBook opens what newBook or a real server has set up; with the place of its second
// journal, if it has one.
func openBook(t testing.TB, db *store.DB, secret []byte, journal ...string) *book {
	t.Helper()
	b := &book{t: t, db: db, secret: secret, admin: registry.Actor{Kind: "staff", Name: "test", Scopes: []string{registry.ScopeAdmin}}}
	var err error
	cfg := config(db, secret)
	cfg.Journal = strings.Join(journal, "")
	b.Registry, err = registry.Open(t.Context(), cfg)
	must(t, err)
	b.trust, err = seal.ParseTrust([]byte(b.WellKnown().Trust))
	must(t, err)
	b.verifier, err = seal.NewVerifier(b.trust)
	must(t, err)
	_, err = b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: catalogYAML})
	must(t, err)
	return b
}

// order sells licenses under one ticket.
func (b *book) order(number string, licenses int64) (license.Ticket, []license.ID) {
	b.t.Helper()
	o, err := b.CreateOrder(context.Background(), b.admin,
		wire.OrderRequest{Number: number, Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD", Quantity: licenses}}}, registry.Once{})
	must(b.t, err)
	var ids []license.ID
	for _, l := range o.Licenses {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	return o.Ticket, ids
}

func (b *book) license(id license.ID) wire.License {
	b.t.Helper()
	l, err := b.License(context.Background(), b.admin, id)
	must(b.t, err)
	return l
}

// box is a container with nothing around it: the log and its keys.
type box struct {
	b      *book
	server server
	keys   *seal.ContainerKeys

	mu    sync.Mutex // protects state
	state container.State
}

func (b *book) box(s server) *box {
	b.t.Helper()
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(b.t, err)
	return &box{b: b, server: s, keys: keys, state: container.NewState(keys.Serial())}
}

func (b *book) boxes(n int, server func(i int) server) []*box {
	boxes := make([]*box, n)
	for i := range boxes {
		boxes[i] = b.box(server(i))
	}
	return boxes
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n }

func (x *box) serial() license.Serial { return x.state.Serial }

// request makes a request file, or a receipt file where nothing is wished for.
func (x *box) request(w container.Wishes) ([]byte, container.Report, error) {
	x.mu.Lock()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(time.Now()))
	x.mu.Unlock()
	r.Wishes = w
	file, err := seal.SealReport(x.b.trust, x.keys, r)
	return file, r, err
}

// update is an answer, opened, with its steps checked.
type update struct {
	container.Update
	steps []container.Incoming
}

func (x *box) open(answer []byte) (u update, err error) {
	if u.Update, err = x.b.verifier.OpenUpdate(answer, x.keys); err != nil {
		return u, err
	}
	for _, s := range u.Steps {
		in, err := x.b.verifier.Incoming(s)
		if err != nil {
			return u, err
		}
		u.steps = append(u.steps, in)
	}
	return u, nil
}

// imports takes an answer in.
func (x *box) imports(u update) *refusal.Refusal {
	x.mu.Lock()
	defer x.mu.Unlock()
	next, _, no := x.state.Import(u.Update, u.steps, nonce, license.At(time.Now()))
	x.state = next
	return no
}

// program makes a request, has it answered and imports the answer.
func (x *box) program(w container.Wishes) (update, error) {
	file, _, err := x.request(w)
	if err != nil {
		return update{}, err
	}
	return x.send(file)
}

// send has a request answered and imports the answer.
func (x *box) send(file []byte) (update, error) {
	answer, err := x.server.Program(context.Background(), file)
	if err != nil {
		return update{}, err
	}
	u, err := x.open(answer)
	if err != nil {
		return u, err
	}
	if no := x.imports(u); no != nil {
		return u, no
	}
	return u, nil
}

func (x *box) receipt() error {
	file, _, err := x.request(container.Wishes{})
	if err != nil {
		return err
	}
	return x.server.Receipt(context.Background(), file)
}

// activates asks for a ticket and wants it granted.
func (x *box) activates(t license.Ticket) error { return x.granted(x.program(ask(t))) }

// returns gives a license back, up to the proof that it is gone.
func (x *box) returns(id license.ID) error {
	if err := x.granted(x.program(back(id))); err != nil {
		return err
	}
	return x.receipt()
}

func (x *box) granted(u update, err error) error {
	if err != nil {
		return err
	}
	for _, o := range u.Outcomes {
		if o.Code != refusal.Done {
			return fmt.Errorf("%s: %s %s", o.Wish, o.Code, o.Message)
		}
	}
	return nil
}

func ask(t license.Ticket) container.Wishes { return container.Wishes{Tickets: []license.Ticket{t}} }
func back(id license.ID) container.Wishes   { return container.Wishes{Return: []license.ID{id}} }
func sqliteAddress(t testing.TB) string     { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") }
func socketOf(t testing.TB, a string) string {
	return filepath.Join(parse(t, a).Query().Get("host"), ".s.PGSQL.5432")
}

func parse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record is everything of the database that whole looks at.
type record struct {
	licenses   map[license.ID]*licenseRow
	containers map[license.Serial]*containerRow
}

type licenseRow struct {
	state      license.State
	holder     license.Serial
	generation license.Generation
	step       uint64
	moves      []move // in the order of the event ids
}

// move is one event of a license's life.
type move struct {
	id, name string
	from, to license.State
}

type containerRow struct {
	issued, acked uint64
	issuedPlan    container.Hash
	flag          string
	steps         []stepRow
	answers       []uint64 // the last step of each stored answer
	events        int      // of steps issued
}

type stepRow struct {
	number uint64
	signed []byte
	plan   container.Hash
	ops    []container.Op
	bodies [][]byte
}

// all reads a query to its end.
func all(tx *store.Tx, query string, row func(scan func(...any) error) error) error {
	rows, err := tx.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// read takes one consistent look at the record.
func (b *book) read() (rec record, err error) {
	err = b.db.Read(context.Background(), func(tx *store.Tx) error {
		rec = record{map[license.ID]*licenseRow{}, map[license.Serial]*containerRow{}}
		return errors.Join(
			all(tx, "select id, state, coalesce(holder, ''), generation, step from licenses", func(scan func(...any) error) error {
				var id license.ID
				l := &licenseRow{}
				err := scan(&id, &l.state, &l.holder, &l.generation, &l.step)
				rec.licenses[id] = l
				return err
			}),
			all(tx, "select serial, issued, acked, issued_plan, flag_reason from containers", func(scan func(...any) error) error {
				var serial license.Serial
				var plan []byte
				c := &containerRow{}
				err := scan(&serial, &c.issued, &c.acked, &plan, &c.flag)
				copy(c.issuedPlan[:], plan)
				rec.containers[serial] = c
				return err
			}),
			all(tx, "select container, number, signed, plan from steps order by container, number", func(scan func(...any) error) error {
				var serial license.Serial
				var plan []byte
				var s stepRow
				err := scan(&serial, &s.number, &s.signed, &plan)
				copy(s.plan[:], plan)
				c := rec.containers[serial]
				c.steps = append(c.steps, s)
				return err
			}),
			all(tx, "select container, number, kind, license, generation, body from step_ops order by container, number, place", func(scan func(...any) error) error {
				var serial license.Serial
				var number uint64
				var op container.Op
				var body []byte
				if err := scan(&serial, &number, &op.Kind, &op.License, &op.Generation, &body); err != nil {
					return err
				}
				c := rec.containers[serial]
				if number < 1 || number > uint64(len(c.steps)) {
					return fmt.Errorf("%s has operations of step %d and %d steps", serial, number, len(c.steps))
				}
				s := &c.steps[number-1]
				s.ops = append(s.ops, op)
				if op.Kind == container.Put {
					s.bodies = append(s.bodies, body)
				}
				return nil
			}),
			all(tx, "select container, issued from answers order by container, issued", func(scan func(...any) error) error {
				var serial license.Serial
				var issued uint64
				err := scan(&serial, &issued)
				rec.containers[serial].answers = append(rec.containers[serial].answers, issued)
				return err
			}),
			all(tx, `select e.id, e.name, e.details, s.kind, s.subject_id from events e join event_subjects s on s.event_id = e.id
				where s.kind = 'license' and e.name in ('put_issued', 'put_confirmed', 'drop_issued', 'drop_confirmed')
				or s.kind = 'container' and e.name = 'step_issued' order by e.id`, func(scan func(...any) error) error {
				var m move
				var details, kind, id string
				if err := scan(&m.id, &m.name, &details, &kind, &id); err != nil {
					return err
				}
				if kind == "container" {
					rec.containers[license.Serial(id)].events++
					return nil
				}
				m.from, m.to = fromTo(details)
				l := rec.licenses[license.ID(id)]
				l.moves = append(l.moves, m)
				return nil
			}),
		)
	})
	return rec, err
}

// fromTo reads the two states out of an event's details.
func fromTo(details string) (from, to license.State) {
	field := func(name string) license.State {
		_, rest, _ := strings.Cut(details, `"`+name+`":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return license.State(value)
	}
	return field("from"), field("to")
}

// whole holds the record, the audit trail and the containers given to each
// other: every license in exactly one place, every container's log without a gap
// and signed, one answer for each step, one event for each change. The verifier,
// which has eyes of its own, must find nothing either. The containers are honest,
// so none may be flagged.
func (b *book) whole(boxes ...*box) error {
	rec, err := b.read()
	if err != nil {
		return err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	// may is every container that could hold a license after what is confirmed.
	may := map[license.ID]map[license.Serial]bool{}
	for serial, c := range rec.containers {
		if c.flag != "" {
			bad("%s is flagged: %s", serial, c.flag)
		}
		if c.acked > c.issued || uint64(len(c.steps)) != c.issued || c.events != len(c.steps) {
			bad("%s: %d steps, %d events of steps, issued %d, acknowledged %d", serial, len(c.steps), c.events, c.issued, c.acked)
		}
		plan, held := container.PlanStart(serial), map[license.ID]license.Generation{}
		note := func() {
			for id := range held {
				if may[id] == nil {
					may[id] = map[license.Serial]bool{}
				}
				may[id][serial] = true
			}
		}
		for i, s := range c.steps {
			in, err := b.verifier.Incoming(container.SignedStep{Signed: s.signed, Bodies: s.bodies})
			if err != nil || s.number != uint64(i+1) || in.Step.Number != s.number || in.Step.Container != serial || in.Step.Previous != plan {
				bad("%s: step %d does not continue the log: %v", serial, s.number, err)
				continue
			}
			if plan = container.NextPlan(plan, in.Step.Unsigned); plan != s.plan {
				bad("%s: step %d has another plan hash", serial, s.number)
			}
			if len(s.ops) != len(in.Step.Ops) {
				bad("%s: step %d is signed for %d operations and has %d", serial, s.number, len(in.Step.Ops), len(s.ops))
			}
			if s.number == c.acked+1 {
				note() // before the first step that is not confirmed
			}
			fold(held, s.ops)
			if s.number >= c.acked {
				note()
			}
		}
		if plan != c.issuedPlan {
			bad("%s: the last plan hash is not that of the last step", serial)
		}
		for i, n := range c.answers {
			if n != uint64(i+1) {
				bad("%s: the answers end at the steps %v", serial, c.answers)
				break
			}
		}
		if len(c.answers) != len(c.steps) {
			bad("%s: %d answers to %d steps", serial, len(c.answers), len(c.steps))
		}
	}
	for id, l := range rec.licenses {
		places := slices.Sorted(maps.Keys(may[id]))
		switch {
		case len(places) > 1:
			bad("%s can be in %v", id, places)
		case l.state.Held() && (len(places) != 1 || places[0] != l.holder):
			bad("%s is %s with %s, the logs say %v", id, l.state, l.holder, places)
		case !l.state.Held() && len(places) != 0:
			bad("%s is %s, and the logs say %v", id, l.state, places)
		}
		if err := lived(l); err != nil {
			bad("%s: %w", id, err)
		}
	}
	errs = append(errs, rec.match(boxes)...)
	if _, err := b.Sequence(context.Background()); err != nil {
		bad("sequence: %w", err)
	}
	if rep, err := b.VerifyAudit(context.Background(), b.admin); err != nil || !rep.Whole || rep.Tail != 0 {
		bad("audit: %+v %w", rep, err)
	}
	if rep, err := verify.Run(context.Background(), b.db, verify.Options{}); err != nil || !rep.OK() {
		bad("verifier: %v %w", rep.Findings[:min(len(rep.Findings), 5)], err)
	}
	return errors.Join(errs...)
}

// fold applies the operations of a step.
func fold(held map[license.ID]license.Generation, ops []container.Op) {
	for _, op := range ops {
		if op.Kind == container.Put {
			held[op.License] = op.Generation
		} else {
			delete(held, op.License)
		}
	}
}

// lived holds a license to its events: as many ways into each state as out of
// it, but for the first state and the last. It does not ask for their order.
func lived(l *licenseRow) error {
	balance := map[license.State]int{license.NotCollected: 1}
	for _, m := range l.moves {
		if next, no := license.Next(m.from, license.Event(m.name)); no != nil || next != m.to {
			return fmt.Errorf("event %s: %s from %s to %s", m.id, m.name, m.from, m.to)
		}
		balance[m.from]--
		balance[m.to]++
	}
	balance[l.state]--
	for state, n := range balance {
		if n != 0 {
			return fmt.Errorf("it is %s, and its %d events leave %+d at %s", l.state, len(l.moves), n, state)
		}
	}
	return nil
}

// match holds the containers to the record.
func (rec record) match(boxes []*box) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	in := map[license.ID]license.Serial{}
	for _, x := range boxes {
		x.mu.Lock()
		s := x.state
		x.mu.Unlock()
		c, ok := rec.containers[s.Serial]
		if !ok {
			if s.Number != 0 {
				bad("%s is at step %d, and the record does not know it", s.Serial, s.Number)
			}
			continue
		}
		if s.Number < c.acked || s.Number > c.issued {
			bad("%s is at step %d; acknowledged %d, issued %d", s.Serial, s.Number, c.acked, c.issued)
			continue
		}
		if s.Number > 0 && c.steps[s.Number-1].plan != s.Plan {
			bad("%s has another plan at step %d", s.Serial, s.Number)
		}
		held := map[license.ID]license.Generation{}
		for _, step := range c.steps[:s.Number] {
			fold(held, step.ops)
		}
		for id, h := range s.Held {
			if other, twice := in[id]; twice {
				bad("%s is in %s and in %s", id, other, s.Serial)
			}
			in[id] = s.Serial
			if held[id] != h.Generation {
				bad("%s holds %s, which its log does not say", s.Serial, id)
			}
			delete(held, id)
		}
		for id := range held {
			bad("%s lacks %s", s.Serial, id)
		}
	}
	return errs
}

// disorder counts the events of licenses whose ids do not sort in the order in
// which they happened.
func (rec record) disorder() (n int) {
	for _, l := range rec.licenses {
		state := license.NotCollected
		for _, m := range l.moves {
			if m.from != state {
				n++
			}
			state = m.to
		}
	}
	return n
}

// everywhere runs a test with SQLite in this process and with PostgreSQL behind
// two server processes. The servers are those that the boxes use in turn.
func everywhere(t *testing.T, fn func(t *testing.T, b *book, server func(i int) server)) {
	t.Run("sqlite", func(t *testing.T) {
		b := newBook(t, sqliteAddress(t))
		fn(t, b, func(int) server { return b })
	})
	t.Run("two processes on postgres", func(t *testing.T) {
		b, servers := processes(t, 2, pgtest.URL(t))
		fn(t, b, func(i int) server { return servers[i%2].from(i) })
	})
}
