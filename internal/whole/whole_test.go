package whole

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/registry"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestWhole plays random histories of the whole and checks the invariants after
// every action.
func TestWhole(t *testing.T) {
	limit(t)
	v := newVendor(t)
	folder := t.TempDir()
	runs, done := 0, map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		w := newWorld(t, v, filepath.Join(folder, strconv.Itoa(runs)))
		defer w.close(t)
		w.order(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"": w.holds,

			"order":           w.order,
			"activate":        w.activate,
			"deactivate":      w.deactivate,
			"update":          w.update,
			"request file":    w.request,
			"program file":    w.program,
			"program again":   w.program,
			"import file":     w.importFile,
			"import again":    w.importFile,
			"receipt file":    w.receipt,
			"deliver receipt": w.deliver,
			"restart":         w.restart,
			"time":            w.time,
			"check":           w.check,
			"keep":            w.keep,
			"roll back":       w.rollBack,
			"accept":          w.accept,
		})
		w.settles(rt)
		w.proven(rt)
		for what, n := range w.done {
			done[what] += n
		}
	})
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%6d %s", done[what], what)
	}
	t.Logf("%d runs", runs)
}

// limit sets how much is played where the command line does not say it. A run is
// a long one, so there are a tenth of RAPID_CHECKS.
func limit(t *testing.T) {
	set := func(name, value string) {
		f := flag.Lookup("rapid." + name)
		if before := f.Value.String(); before == f.DefValue {
			must(t, f.Value.Set(value))
			t.Cleanup(func() { must(t, f.Value.Set(before)) })
		}
	}
	checks, _ := strconv.Atoi(os.Getenv("RAPID_CHECKS"))
	set("checks", strconv.Itoa(max(few, checks/10)))
	if os.Getenv("RAPID_STEPS") == "" {
		set("steps", "25")
	}
}

func index[T any](rt *rapid.T, list []T, label string) int {
	if len(list) == 0 {
		rt.Skip()
	}
	return rapid.IntRange(0, len(list)-1).Draw(rt, label)
}

func (w *world) some(rt *rapid.T) *computer { return w.machines[index(rt, w.machines, "machine")] }

// weather is a network that works half of the time.
func weather(rt *rapid.T) network {
	return rapid.SampledFrom([]network{works, works, works, works, down, answerLost, receiptLost, receiptMute}).Draw(rt, "network")
}

// happened counts how an action ended. It must have worked or have been refused.
func (w *world) happened(rt *rapid.T, what string, err error) {
	rt.Helper()
	code := refusal.Done
	if err != nil {
		r, ok := refusal.As(err)
		if !ok {
			rt.Fatalf("%s: an error that is no refusal: %v", what, err)
		}
		switch code = r.Code; code {
		case refusal.Internal, refusal.BadSignature, refusal.DamagedFile, refusal.ContainerDamaged, refusal.ContainerAhead,
			refusal.UnsupportedVersion, refusal.StorageFull, refusal.OtherMachine:
			rt.Fatalf("%s: %s %v", what, code, err)
		}
	}
	rt.Logf("%s: %s", what, code)
	w.done[what+": "+string(code)]++
}

// online does something over a network that may not work.
func (m *computer) online(rt *rapid.T, what string, do func(ctx context.Context) error) {
	rt.Helper()
	n := weather(rt)
	err, cut := m.over(n, do)
	if cut {
		what += ", " + n.String()
		if errors.Is(err, context.Canceled) || errors.Is(err, errCut) {
			err = refusal.New(refusal.CentralUnreachable, "cut")
		}
	}
	m.happened(rt, what, err)
}

// granted counts what became of the wishes.
func (w *world) granted(what string, result wire.Programming) {
	for _, o := range result.Outcomes {
		w.done["wish, "+what+": "+string(o.Code)]++
	}
}

func (w *world) order(rt *rapid.T) {
	number := strconv.Itoa(rapid.IntRange(1, 4).Draw(rt, "order"))
	item := wire.OrderItem{Product: rapid.SampledFrom(products).Draw(rt, "product"), Quantity: int64(rapid.IntRange(1, 2).Draw(rt, "quantity"))}
	o, err := w.registry.CreateOrder(w.ctx, w.admin, wire.OrderRequest{Number: number, Customer: "Ada", Items: []wire.OrderItem{item}}, registry.Once{})
	w.happened(rt, "order", err)
	if err != nil {
		return
	}
	if i := slices.IndexFunc(w.orders, func(p wire.Order) bool { return p.Number == number }); i < 0 {
		w.orders = append(w.orders, o)
	}
	for _, l := range o.Licenses {
		if !slices.Contains(w.licenses, l.ID) {
			w.licenses = append(w.licenses, l.ID)
			w.seats += l.Terms.Seats
		}
	}
}

// team draws a license of a team that an order sold, or a part of one.
func (w *world) team(rt *rapid.T, o wire.Order) license.ID {
	all, err := w.registry.Order(w.ctx, w.admin, o.Number)
	must(rt, err)
	var ids []license.ID
	for _, l := range all.Licenses {
		if l.Product == "TEAM" {
			ids = append(ids, l.ID)
		}
	}
	return ids[index(rt, ids, "license of a team")]
}

// some draws how many seats of a license are meant.
func some(rt *rapid.T, id license.ID) []container.Amount {
	return []container.Amount{{License: id, Seats: rapid.Int64Range(1, 4).Draw(rt, "seats")}}
}

// container is where a wish goes: mostly the oldest one, at times a further one.
func (m *computer) container(rt *rapid.T) license.Serial {
	if list, err := m.list(); err == nil && len(list) == 1 && rapid.IntRange(0, 9).Draw(rt, "further") == 0 {
		return agent.NewContainer
	}
	return ""
}

func (w *world) activate(rt *rapid.T) {
	m := w.some(rt)
	o := w.orders[index(rt, w.orders, "ticket")]
	in := agent.ActivateRequest{Tickets: []license.Ticket{o.Ticket}, Container: m.container(rt)}
	what := "activate"
	if rapid.Bool().Draw(rt, "some") {
		id := w.team(rt, o)
		in.Licenses, in.Amounts, what = []license.ID{id}, some(rt, id), "activate some seats"
	}
	m.online(rt, what, func(ctx context.Context) error {
		result, err := m.agent.Activate(ctx, in)
		m.granted("activated", result)
		return err
	})
}

// held is what a machine holds, in the order of sale.
func (m *computer) held(rt *rapid.T) []license.ID {
	list, err := m.list()
	must(rt, err)
	var ids []license.ID
	for _, id := range m.licenses {
		if slices.ContainsFunc(list, func(c agent.Container) bool {
			return slices.ContainsFunc(c.Licenses, func(l agent.License) bool { return l.ID == id })
		}) {
			ids = append(ids, id)
		}
	}
	return ids
}

// holding draws a machine that holds something, mostly.
func (w *world) holding(rt *rapid.T) (*computer, []license.ID) {
	var list []*computer
	for _, m := range w.machines {
		if len(m.held(rt)) > 0 {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		list = w.machines
	}
	m := list[index(rt, list, "machine")]
	return m, m.held(rt)
}

func (w *world) deactivate(rt *rapid.T) {
	m, ids := w.holding(rt)
	in := agent.DeactivateRequest{All: rapid.Bool().Draw(rt, "all")}
	if !in.All {
		in.Licenses = []license.ID{ids[index(rt, ids, "license")]}
		if rapid.Bool().Draw(rt, "some") {
			in.Amounts = some(rt, in.Licenses[0])
		}
	}
	m.online(rt, "deactivate", func(ctx context.Context) error {
		result, err := m.agent.Deactivate(ctx, in)
		m.granted("deactivated", result.Programming)
		return err
	})
}

func (w *world) update(rt *rapid.T) {
	m := w.some(rt)
	m.online(rt, "update", func(ctx context.Context) error {
		list, err := m.agent.Update(ctx, agent.UpdateRequest{})
		for _, u := range list {
			m.granted("updated", u.Programming)
			if u.Error != nil && err == nil {
				err = refusal.New(u.Error.Code, "%s", u.Error.Detail)
			}
		}
		return err
	})
}

// request makes a request file; what becomes of it is for others to decide.
func (w *world) request(rt *rapid.T) {
	m := w.some(rt)
	var in agent.RequestRequest
	what := "request file"
	switch rapid.IntRange(0, 4).Draw(rt, "wish") {
	case 0, 1:
		in.Tickets = []license.Ticket{w.orders[index(rt, w.orders, "ticket")].Ticket}
		in.Container = m.container(rt)
		what += " to activate"
		if rapid.Bool().Draw(rt, "some") {
			id := w.team(rt, w.orders[index(rt, w.orders, "order of the team")])
			in.Activate, in.Amounts = []license.ID{id}, some(rt, id)
		}
	case 2, 3:
		var ids []license.ID
		m, ids = w.holding(rt)
		in.Deactivate = []license.ID{ids[index(rt, ids, "license")]}
		what += " to return"
		if rapid.Bool().Draw(rt, "some") {
			in.Amounts = some(rt, in.Deactivate[0])
		}
	}
	file, err := m.agent.Request(w.ctx, in)
	w.happened(rt, what, err)
	if err == nil {
		w.requests = append(w.requests, &carried{from: m, data: file.Data})
	}
}

// latest draws mostly from the end of a list: old files are handed in more
// rarely, and never too rarely.
func latest[T any](rt *rapid.T, list []T, label string) int {
	if len(list) > 3 && rapid.Bool().Draw(rt, "recent") {
		return len(list) - 3 + rapid.IntRange(0, 2).Draw(rt, label)
	}
	return index(rt, list, label)
}

// program hands a request in, the first time or again, early or late.
func (w *world) program(rt *rapid.T) {
	r := w.requests[latest(rt, w.requests, "request")]
	status, answer := w.post(wire.PathProgram, r.data)
	what := "request handed in"
	if r.sent++; r.sent > 1 {
		what += " again"
	}
	w.posted(rt, what, r.data, status, answer)
	if status == 200 {
		w.updates = append(w.updates, &carried{from: r.from, data: answer})
	}
}

func (w *world) posted(rt *rapid.T, what string, file []byte, status int, answer []byte) {
	rt.Helper()
	if status/100 != 2 && status != 409 && status != 403 && status != 404 {
		rt.Fatalf("%s %s: %d %s", what, short(file), status, answer)
	}
	rt.Logf("%s %s: %d", what, short(file), status)
	w.done[fmt.Sprintf("%s: %d", what, status)]++
}

// importFile imports an update, at the right machine or another.
func (w *world) importFile(rt *rapid.T) {
	u := w.updates[latest(rt, w.updates, "update")]
	m, what := u.from, "import"
	if rapid.IntRange(0, 3).Draw(rt, "wrong") == 3 {
		m = w.some(rt)
	}
	if u.sent++; u.sent > 1 {
		what += " again"
	}
	result, err := m.agent.Import(w.ctx, agent.ImportRequest{Data: u.data})
	w.happened(rt, what, err)
	m.granted("imported", result)
	if err == nil && m != u.from {
		rt.Fatalf("R20: machine %s took an update for machine %s: %+v", m.name, u.from.name, result)
	}
}

func (w *world) receipt(rt *rapid.T) {
	m := w.some(rt)
	list, err := m.list()
	must(rt, err)
	c := list[index(rt, list, "container")]
	file, err := m.agent.Receipt(w.ctx, agent.ReceiptRequest{Container: c.Serial})
	w.happened(rt, "receipt file", err)
	if err == nil {
		w.receipts = append(w.receipts, file.Data)
	}
}

func (w *world) deliver(rt *rapid.T) {
	data := w.receipts[latest(rt, w.receipts, "receipt")]
	status, answer := w.post(wire.PathReceipt, data)
	w.posted(rt, "receipt handed in", data, status, answer)
}

func (w *world) restart(rt *rapid.T) { w.some(rt).restart() }

func (w *world) time(rt *rapid.T) {
	by := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 26 * time.Hour, 20 * 24 * time.Hour}).Draw(rt, "by")
	w.now = w.now.Add(by)
}

// check asks as a program does; it must agree with the list.
func (w *world) check(rt *rapid.T) {
	m := w.some(rt)
	product := rapid.SampledFrom(products).Draw(rt, "product")
	got, err := m.agent.Check(w.ctx, agent.CheckRequest{Product: product})
	must(rt, err)
	list, err := m.list()
	must(rt, err)
	usable := false
	for _, c := range list {
		for _, l := range c.Licenses {
			usable = usable || l.Product == product && l.Usable
		}
	}
	if got.Valid != usable {
		rt.Fatalf("check of %s on machine %s: %v %s, and the list says %v", product, m.name, got.Valid, got.Code, usable)
	}
	w.done["check: "+string(got.Code)]++
}

// cheater is the one machine that may go back in time.
func (w *world) cheater() *computer { return w.machines[len(w.machines)-1] }

func (w *world) keep(rt *rapid.T) { must(rt, w.cheater().keep()) }

func (w *world) rollBack(rt *rapid.T) {
	m := w.cheater()
	must(rt, m.rollBack(index(rt, m.kept, "copy")))
	w.done["rolled back"]++
}

// accept has staff accept a container that was flagged.
func (w *world) accept(rt *rapid.T) {
	var flagged []license.Serial
	for _, c := range w.containers(rt) {
		if c.Status != "ok" {
			flagged = append(flagged, c.Serial)
		}
	}
	_, err := w.registry.AcceptContainer(w.ctx, w.admin, flagged[index(rt, flagged, "flagged")], "he called")
	w.happened(rt, "accept", err)
}

// containers is every container of the record.
func (w *world) containers(rt *rapid.T) []wire.Container {
	rt.Helper()
	list, err := w.registry.Containers(w.ctx, w.admin, "", 100)
	must(rt, err)
	for i, c := range list.Items {
		list.Items[i], err = w.registry.Container(w.ctx, w.admin, c.Serial)
		must(rt, err)
	}
	return list.Items
}

// holds checks what must hold at any time.
func (w *world) holds(rt *rapid.T) {
	record := map[license.Serial]wire.Container{}
	within := map[license.ID][]license.Serial{}
	for _, c := range w.containers(rt) {
		record[c.Serial] = c
		for _, l := range c.Licenses {
			within[l.ID] = append(within[l.ID], c.Serial)
		}
	}
	sold, err := w.registry.Licenses(w.ctx, w.admin, "", 100)
	must(rt, err)
	var seats int64
	free := map[license.ID]int64{} // seats of the license that was sold
	usable := map[license.ID]int64{}
	of := map[license.ID]int64{}
	licenses := map[license.ID]wire.License{}
	for _, l := range sold.Items {
		licenses[l.ID] = l
		seats += l.Terms.Seats
		of[whole(l)] += l.Terms.Seats
		if l.State.Available() {
			free[whole(l)] += l.Terms.Seats
		}
		if !slices.Contains(w.licenses, l.ID) {
			w.licenses = append(w.licenses, l.ID) // a part
		}
		var want []license.Serial
		if !l.State.Available() {
			want = []license.Serial{l.Container}
		}
		if l.State.Available() != (l.Container == "") || !slices.Equal(within[l.ID], want) {
			rt.Fatalf("Inv1: %s is %s with %q, and in the containers %v", l.ID, l.State, l.Container, within[l.ID])
		}
	}

	holder := map[license.ID]string{}
	for _, m := range w.machines {
		if m.rolled {
			continue
		}
		list, err := m.list()
		must(rt, err)
		for _, c := range list {
			if c.Status != agent.StatusOK {
				rt.Fatalf("machine %s: container %s is %s: %s", m.name, c.Serial, c.Status, c.Reason)
			}
			known := record[c.Serial] // nothing at all, if it was never granted anything
			if known.Status != "" && known.Status != "ok" {
				rt.Fatalf("Inv20: machine %s is honest, and its container is %s: %+v", m.name, known.Status, known.Flag)
			}
			if known.Acked > c.Counter || c.Counter > known.Issued || c.Acked > known.Acked {
				rt.Fatalf("Inv13: machine %s is at step %d (acknowledged %d); the record has %d of %d", m.name, c.Counter, c.Acked, known.Acked, known.Issued)
			}
			for _, l := range c.Licenses {
				place, at := m.name+"/"+string(c.Serial), licenses[l.ID]
				if at.Generation != l.Generation {
					rt.Fatalf("Inv6: %s has generation %d in %s; the record has %d", l.ID, l.Generation, place, at.Generation)
				}
				if before := holder[l.ID]; before != "" {
					rt.Fatalf("Inv4: %s is in %s and in %s", l.ID, before, place)
				}
				holder[l.ID] = place
				if at.State.Available() || at.State == license.Gone {
					rt.Fatalf("Inv5: %s is %s, and in %s", l.ID, at.State, place)
				}
				if at.Container != c.Serial {
					rt.Fatalf("Inv5: %s is %s with %s, and in %s", l.ID, at.State, at.Container, place)
				}
				usable[whole(at)] += l.Seats
			}
		}
	}
	if seats != w.seats {
		rt.Fatalf("Inv3: %d seats were sold, the record has %d", w.seats, seats)
	}
	for id, n := range of {
		if free[id]+usable[id] > n {
			rt.Fatalf("Inv5: of %s %d seats are free and %d can be used, of %d", id, free[id], usable[id], n)
		}
	}
}

// whole is the license that a license is, or was split from.
func whole(l wire.License) license.ID { return cmp.Or(l.Origin, l.ID) }

// settles checks Inv17: whatever was lost, one update with a working network
// settles every license of every honest machine.
func (w *world) settles(rt *rapid.T) {
	honest := map[license.Serial]map[license.ID]bool{}
	for _, m := range w.machines {
		if m.rolled {
			continue
		}
		m.restart()
		var updated []agent.Updated
		err, _ := m.over(works, func(ctx context.Context) (err error) {
			updated, err = m.agent.Update(ctx, agent.UpdateRequest{})
			return err
		})
		must(rt, err)
		for _, u := range updated {
			if u.Error != nil {
				rt.Fatalf("Inv17: machine %s: %+v", m.name, u.Error)
			}
		}
		list, err := m.list()
		must(rt, err)
		for _, c := range list {
			honest[c.Serial] = map[license.ID]bool{}
			for _, l := range c.Licenses {
				honest[c.Serial][l.ID] = true
			}
		}
	}
	w.holds(rt)
	for _, id := range w.licenses {
		l, err := w.registry.License(w.ctx, w.admin, id)
		must(rt, err)
		held, mine := honest[l.Container]
		if mine && (l.State != license.Collected || !held[id]) {
			rt.Fatalf("Inv17: after an update %s is %s, and in its container: %v", id, l.State, held[id])
		}
		w.done["in the end: "+string(l.State)]++
	}
}

// proven has the audit trail and the whole record proven.
func (w *world) proven(rt *rapid.T) {
	_, err := w.registry.Sequence(w.ctx)
	must(rt, err)
	trail, err := w.registry.VerifyAudit(w.ctx, w.admin)
	if err != nil || !trail.Whole || trail.Tail != 0 {
		rt.Fatalf("audit: %+v %v", trail, err)
	}
	report, err := verify.Run(w.ctx, w.db, verify.Options{})
	if err != nil || !report.OK() {
		rt.Fatalf("verifier: %v %v", report.Findings, err)
	}
}
