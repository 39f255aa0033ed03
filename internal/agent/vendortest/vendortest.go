// Package vendortest is a vendor in a few lines, for tests of the machine side:
// real keys, real documents, and the same planning and comparing that central
// uses, but nothing on disk. It is no model of central's errors, rights or
// limits; whole-system tests use central itself.
package vendortest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"licet/blocklist"
	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Vendor sells licenses and answers reports.
type Vendor struct {
	// Trust is the vendor's trust file; URL is where it answers.
	Trust []byte
	URL   string

	// Withhold says that news of the block list are too large to travel with updates.
	Withhold bool

	// Old says that the server knows no calls with several requests.
	Old bool

	// Refresh is how often machines are to ask; 0 leaves it to them.
	Refresh license.Duration

	// Origins are those whose pages may speak to machines.
	Origins []string

	// Now is the vendor's clock.
	Now func() license.Time

	t       testing.TB
	scope   seal.Scope
	issuing *seal.SigningKey
	sealing *seal.SealingKey
	keys    [][]byte

	mu         sync.Mutex
	ids        license.IDs
	sold       map[license.ID]*sold
	tickets    map[license.Ticket][]license.ID
	containers map[license.Serial]*record
	sent       [][]byte // every request file received
	told       []container.Counted
	calls      []string         // path of every call received
	lists      []blocklist.List // the block lists 1, 2, 3 …
	before     func(path string) (cut, commit bool)
}

type sold struct {
	container.Candidate
	placement container.Placement
	body      container.Body
}

type record struct {
	identity container.Identity
	log      container.Log
	steps    []container.SignedStep
	ops      [][]container.Op
	earmarks []container.Earmark
	flagged  string
	lock     container.Lock // of the next step
}

// New starts a vendor.
func New(t testing.TB, name string, now func() license.Time) *Vendor {
	t.Helper()
	root := must(seal.NewSigningKey(seal.Root, rand.Reader))(t)
	v := &Vendor{
		t: t, Now: now,
		scope:   seal.Scope{Vendor: seal.VendorOf(root.Public()), Environment: seal.Production},
		issuing: must(seal.NewSigningKey(seal.Issuing, rand.Reader))(t),
		sealing: must(seal.NewSealingKey(rand.Reader))(t),
		sold:    map[license.ID]*sold{}, tickets: map[license.Ticket][]license.ID{}, containers: map[license.Serial]*record{},
	}
	issuing := must(seal.SignCertificate(v.scope, root, seal.Certificate{Use: seal.Issuing, Public: v.issuing.Public(), Number: 1}))(t)
	sealing := must(seal.SignCertificate(v.scope, root, seal.Certificate{Use: seal.Sealing, Public: v.sealing.Public(), Number: 2}))(t)
	v.keys = [][]byte{issuing}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.URL = server.URL
	v.Trust = must(seal.SignTrust(root, seal.Trust{
		Scope: v.scope, Name: name, Address: v.URL, Number: 1, Time: now(), Certificates: [][]byte{issuing, sealing},
	}))(t)
	return v
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// ID is the vendor id.
func (v *Vendor) ID() string { return string(v.scope.Vendor) }

// Sell makes a license on a ticket of its own. The body is what the license is
// to be; what ties it to a container is filled in at activation.
func (v *Vendor) Sell(body container.Body) license.Ticket {
	v.mu.Lock()
	defer v.mu.Unlock()
	if body.Tolerance == "" {
		body.Tolerance = license.Medium
	}
	if body.Features == nil {
		body.Features = []string{}
	}
	body.License = license.ID(v.ids.New("lic", v.Now().Go(), [6]byte(draw(6))))
	body.Generation = 1
	ticket := license.NewTicket(func(b []byte) { copy(b, draw(len(b))) })
	v.sold[body.License] = &sold{
		Candidate: container.Candidate{
			License: body.License, Generation: 1, Product: body.Product, State: license.NotCollected,
			Kinds: license.Kinds, Deactivation: true,
		},
		body: body,
	}
	v.tickets[ticket] = []license.ID{body.License}
	return ticket
}

// Licenses are the licenses of a ticket.
func (v *Vendor) Licenses(t license.Ticket) []license.ID { return v.tickets[t] }

// State is where a license stands.
func (v *Vendor) State(id license.ID) license.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sold[id].State
}

// Withdraw earmarks a license for the next step of its container.
func (v *Vendor) Withdraw(id license.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rec := v.containers[v.sold[id].Holder]
	rec.earmarks = append(rec.earmarks, container.Earmark{Phase: container.Withdraw, License: id})
	v.sold[id].placement.Withdrawn = true
}

// Lock has the next step of a container close it, or open it again.
func (v *Vendor) Lock(serial license.Serial, lock container.Lock) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.containers[serial].lock = lock
}

// Sent is every request that arrived to be answered, byte for byte.
func (v *Vendor) Sent() [][]byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.sent)
}

// Told is what the latest report that was in step told of units.
func (v *Vendor) Told() []container.Counted {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told
}

// Calls are the paths of every call that arrived.
func (v *Vendor) Calls() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

// Cut lets fn decide for each call whether the connection breaks, and whether
// the call was carried out before; nil is a good network.
func (v *Vendor) Cut(fn func(path string) (cut, commit bool)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.before = fn
}

// ServeHTTP is the vendor's server.
func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodGet && r.URL.Path == wire.PathBlockList {
		body = []byte(r.URL.Query().Get("from"))
	}
	cut, commit := false, true
	v.mu.Lock()
	before := v.before
	v.calls = append(v.calls, r.URL.Path)
	v.mu.Unlock()
	if before != nil {
		cut, commit = before(r.URL.Path)
	}
	var answer []byte
	if commit {
		answer, err = v.answer(r.URL.Path, body)
	}
	switch {
	case cut:
		panic(http.ErrAbortHandler)
	case err != nil:
		no, ok := refusal.As(err)
		if !ok {
			no = refusal.New(refusal.Internal, "%v", err)
		}
		status := refusal.Lookup(no.Code).Status
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(wire.Problem{Status: status, Code: no.Code, Detail: no.Message, Hint: no.Hint, Details: no.Details})
	default:
		w.Header().Set("Content-Type", wire.MediaFile)
		if r.URL.Path != wire.PathProgram && r.URL.Path != wire.PathBlockList && r.URL.Path != wire.PathOrigins {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = w.Write(answer)
	}
}

func (v *Vendor) answer(path string, body []byte) ([]byte, error) {
	switch path {
	case wire.PathProgram:
		return v.Program(body)
	case wire.PathUpdates:
		if !v.Old {
			return v.updates(body)
		}
	case wire.PathBlockList:
		from, err := strconv.ParseUint(string(body), 10, 64)
		if err != nil {
			return nil, err
		}
		return seal.ArmorBlockNews(v.News(from))
	case wire.PathOrigins:
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.SignOrigins(v.Now(), v.Origins...), nil
	case wire.PathReceipt:
		return []byte("{}"), v.Receipt(body)
	case wire.PathWellKnown:
		return json.Marshal(wire.WellKnown{Vendor: "Test", VendorID: v.ID(), Environment: v.scope.Environment, Trust: string(v.Trust)})
	}
	return nil, refusal.New(refusal.NotFound, "no %s", path)
}

func (v *Vendor) updates(body []byte) ([]byte, error) {
	var in wire.UpdatesRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	var out wire.UpdatesAnswer
	for _, file := range in.Requests {
		var a wire.UpdateAnswer
		update, err := v.Program([]byte(file))
		if no, ok := refusal.As(err); ok {
			a.Problem = &wire.Problem{Code: no.Code, Detail: no.Message, Hint: no.Hint, Details: no.Details}
		} else if err != nil {
			return nil, err
		}
		a.Update = string(update)
		out.Answers = append(out.Answers, a)
	}
	return json.Marshal(out)
}

// Receipt takes a receipt file in.
func (v *Vendor) Receipt(file []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r, err := seal.OpenReport(v.scope, file, v.sealing)
	if err != nil {
		return err
	}
	if r.Kind != seal.Receipt {
		return refusal.New(refusal.WrongFile, "not a receipt")
	}
	rec := v.record(r)
	if f := rec.log.Reconcile(r.Report); f.Standing == container.InStep {
		v.confirm(rec, r, f)
	}
	return nil
}

// Program answers a request file with an update file.
func (v *Vendor) Program(file []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent = append(v.sent, slices.Clone(file))
	r, err := seal.OpenReport(v.scope, file, v.sealing)
	if err != nil {
		return nil, err
	}
	rec := v.record(r)
	u := container.Update{Container: r.Serial, Answers: r.Nonce, Time: v.Now(), Keys: v.keys, Refresh: v.Refresh}
	v.tell(&u, r.List)
	finding := rec.log.Reconcile(r.Report)
	switch {
	case finding.Standing == container.Behind:
		rec.log.Challenge = draw(16)
		u.Acked, u.Challenge = rec.log.Acked, rec.log.Challenge
		for _, t := range r.Wishes.Tickets {
			u.Outcomes = append(u.Outcomes, container.Outcome{Wish: "ticket " + string(t), Code: refusal.OutOfDate, Message: "The container is behind."})
		}
		return seal.SealUpdate(v.scope, v.issuing, rec.identity, u)
	case finding.Convicts():
		rec.flagged = finding.Reason
	case finding.Standing == container.Ahead:
		return nil, refusal.New(refusal.ContainerAhead, "%s", finding.Reason)
	default:
		v.confirm(rec, r, finding)
	}
	ops, outcomes := container.Plan(v.situation(rec, r))
	if len(ops) > 0 || rec.lock != container.Unchanged {
		if err := v.step(rec, r.Serial, ops); err != nil {
			return nil, err
		}
	}
	u.Acked, u.Outcomes, u.Renews = rec.log.Acked, outcomes, rec.flagged == ""
	u.Steps = rec.steps[rec.log.Acked:]
	for _, id := range r.Reissue {
		body, _, err := seal.EncodeBody(v.sold[id].body)
		if err != nil {
			return nil, err
		}
		u.Reissued = append(u.Reissued, body)
	}
	return seal.SealUpdate(v.scope, v.issuing, rec.identity, u)
}

func (v *Vendor) record(r seal.Report) *record {
	rec := v.containers[r.Serial]
	if rec == nil {
		rec = &record{identity: r.Identity, log: container.Log{
			AckedLife: container.LifeStart(r.Serial),
			Plans:     map[uint64]container.Hash{0: container.PlanStart(r.Serial)},
			Lives:     map[uint64]container.Hash{},
		}}
		v.containers[r.Serial] = rec
	}
	return rec
}

// confirm notes what a report proves.
func (v *Vendor) confirm(rec *record, r seal.Report, f container.Finding) {
	v.told = r.Units
	for n := rec.log.Acked + 1; n <= r.Number; n++ {
		rec.log.AckedLife = f.Lives[n]
		rec.log.Lives[n] = f.Lives[n]
		for _, op := range rec.ops[n-1] {
			s := v.sold[op.License]
			event, ok := container.Confirm(s.placement, r.Serial, n, op)
			if !ok {
				continue
			}
			s.State, _ = license.Next(s.State, event)
			s.placement.State = s.State
			if s.State.Available() || s.State == license.Gone {
				s.Holder, s.placement.Holder = "", ""
			}
		}
	}
	rec.log.Acked = max(rec.log.Acked, r.Number)
	rec.log.Challenge = nil
}

func (v *Vendor) situation(rec *record, r seal.Report) container.Situation {
	s := container.Situation{
		Serial: r.Serial, Kind: rec.identity.Kind, Flagged: rec.flagged, Earmarks: rec.earmarks,
		Licenses: map[license.ID]container.Candidate{}, Activate: r.Wishes.Activate, Return: r.Wishes.Return, Pending: r.Wishes.Pending,
	}
	for id, one := range v.sold {
		c := one.Candidate
		if c.Holder == r.Serial {
			c.Lent, c.LentStays = container.LentOf(r.Lent, id, c.Generation, v.Now()), one.body.Terms.Borrow.Out == license.OutAllow
		}
		s.Licenses[id] = c
	}
	for _, t := range r.Wishes.Tickets {
		ids, known := v.tickets[t]
		s.Tickets = append(s.Tickets, container.TicketWish{Ticket: t, Known: known, Licenses: ids})
	}
	return s
}

// step signs and stores one step.
func (v *Vendor) step(rec *record, serial license.Serial, ops []container.Op) error {
	n := rec.log.Issued + 1
	step := container.Step{Container: serial, Number: n, Previous: rec.log.Plans[rec.log.Issued], Time: v.Now()}
	var bodies [][]byte
	for _, op := range ops {
		s := v.sold[op.License]
		event := license.DropIssued
		if op.Kind == container.Put {
			event = license.PutIssued
			s.body.Container, s.body.ContainerKey = serial, rec.identity.SigningKey
			if s.body.Activated == 0 {
				s.body.Activated = step.Time
				s.body.Terms = s.body.Terms.Freeze(step.Time)
			}
			body, hash, err := seal.EncodeBody(s.body)
			if err != nil {
				return err
			}
			op.Body = hash
			bodies = append(bodies, body)
		}
		next, no := license.Next(s.State, event)
		if no != nil {
			return no
		}
		s.State, s.Holder = next, serial
		s.placement = container.Placement{State: next, Holder: serial, Generation: op.Generation, Step: n, Withdrawn: s.placement.Withdrawn}
		step.Ops = append(step.Ops, op)
	}
	step.Lock, rec.lock = rec.lock, container.Unchanged
	rec.earmarks = nil
	signed, err := seal.SignStep(v.scope, v.issuing, &step)
	if err != nil {
		return fmt.Errorf("vendortest: %w", err)
	}
	rec.log.Plans[n] = container.NextPlan(step.Previous, step.Unsigned)
	rec.log.Issued = n
	rec.steps = append(rec.steps, container.SignedStep{Signed: signed, Bodies: bodies})
	rec.ops = append(rec.ops, step.Ops)
	return nil
}

func draw(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
