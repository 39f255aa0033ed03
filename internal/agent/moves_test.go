package agent

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// movesModel is a license of so many units in one container, two that get some of
// them, and files between them that are never thrown away: each may arrive whenever and
// as often as anybody likes, or never.
type movesModel struct {
	body   container.Body
	source container.State
	boxes  []*box
	number uint64
	now    license.Time

	wishes  []container.MoveWish
	leases  []seats.Lease
	returns []struct {
		from   license.Serial
		closed seats.Closed
	}
	taken int64 // by programs, everywhere
	own   int64 // by programs beside the license
}

func newMovesModel(units int64, boxes int) *movesModel {
	m := &movesModel{
		body: container.Body{License: "L", Generation: 1, Product: "P", Tolerance: license.Loose, Terms: license.Terms{Units: units, Transfer: license.MovesUnits}},
		now:  1_800_000_000_000_000,
	}
	m.source = container.NewState("S")
	m.source.Held["L"] = container.Holding{Generation: 1, Product: "P", Step: 1}
	for i := range boxes {
		b := &box{header: containerfile.Header{Serial: fmt.Sprintf("R%d", i+1), Kind: string(license.Machine)}, bodies: map[license.ID]containerfile.Body{}}
		b.Loans, b.Returns = map[seats.LeaseID]loan{}, map[seats.LeaseID]returned{}
		m.boxes = append(m.boxes, b)
	}
	return m
}

func (m *movesModel) ask(b *box, n int64) {
	m.number++
	m.wishes = append(m.wishes, container.MoveWish{Holder: b.serial(), HolderKey: []byte("key"), Nonce: fmt.Sprint("n", m.number), Number: m.number, Units: n})
}

// give is the license's container reading a request.
func (m *movesModel) give(w container.MoveWish) *refusal.Refusal {
	name, move, before, no := m.source.Given(w)
	if no != nil {
		return no
	}
	if !before {
		if m.source, name, move, no = m.source.Give(m.body, w, m.now, 0); no != nil {
			return no
		}
	}
	m.leases = append(m.leases, seats.Lease{
		ID: seats.LeaseID(name), Kind: seats.Transfer, Server: "S", License: "L", Generation: 1, Product: "P", Seats: 1, Units: move.Units,
		From: move.Time, Until: move.Until, Holder: move.Holder, HolderKey: move.HolderKey,
	})
	return nil
}

// arrive is a container reading the answer. What is for another, its reader refuses.
func (m *movesModel) arrive(b *box, l seats.Lease) error {
	if l.Holder != b.serial() {
		return nil
	}
	m.number++ // the document is signed anew each time
	_, err := b.takeIn(l, m.body, fmt.Append(nil, l.ID, m.number), "")
	return err
}

func (m *movesModel) use(b *box, id seats.LeaseID, n int64) *refusal.Refusal {
	l := b.Loans[id]
	c := candidate{box: b, lease: id, loan: &l}
	no := c.use(n)
	if no == nil {
		m.taken += n
	}
	return no
}

func (m *movesModel) giveBack(b *box, id seats.LeaseID) {
	b.drop(id)
	for _, c := range b.closed("S") {
		m.returns = append(m.returns, struct {
			from   license.Serial
			closed seats.Closed
		}{b.serial(), c})
	}
}

// left is how many units can be used anywhere, or could be if every file arrived.
func (m *movesModel) left() int64 {
	n := m.body.Terms.Units - m.source.Used(m.body)
	for name, move := range m.source.Moves {
		if move.Closed != 0 {
			continue
		}
		n += move.Units
		for _, b := range m.boxes {
			n -= b.Loans[seats.LeaseID(name)].Used + b.Returns[seats.LeaseID(name)].Used
		}
	}
	return n
}

// holds checks the sum.
func (m *movesModel) holds(t *rapid.T) {
	units := m.body.Terms.Units
	for _, b := range m.boxes {
		for id := range b.Loans {
			if _, gone := b.Returns[id]; gone || m.source.Moves[string(id)].Closed != 0 {
				t.Fatalf("%s has %s again, which it gave back", b.serial(), id)
			}
		}
	}
	if got := m.left() + m.taken; got != units {
		t.Fatalf("%d are left and %d were taken, of %d", m.left(), m.taken, units)
	}
	open, used := int64(0), int64(0)
	for _, move := range m.source.Moves {
		open += move.Units
		if move.Closed != 0 {
			used, open = used+move.Units-move.Back, open-move.Units
		}
	}
	if got := m.source.Used(m.body); got != m.own+open+used {
		t.Fatalf("the license's container counts %d used; %d were, %d are out, %d were used out there", got, m.own, open, used)
	}
}

func pick[T any](t *rapid.T, name string, list []T) T {
	if len(list) == 0 {
		t.Skip("none")
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, name)]
}

// TestUnitsMoveAndStayAsMany: whatever is asked for, carried, lost, repeated and
// reordered, every unit is used once at most and never in two places; without files that
// are put back, what is used and what is left anywhere are as many as were bought at
// every step, and in the end all that is left comes back.
func TestUnitsMoveAndStayAsMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMovesModel(rapid.Int64Range(1, 30).Draw(t, "units"), 2)
		who := func(t *rapid.T) *box { return m.boxes[rapid.IntRange(0, len(m.boxes)-1).Draw(t, "who")] }
		some := func(t *rapid.T) int64 { return rapid.Int64Range(1, 8).Draw(t, "n") }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.holds(t) },
			"ask": func(t *rapid.T) {
				m.ask(who(t), some(t))
			},
			"give": func(t *rapid.T) { _ = m.give(pick(t, "wish", m.wishes)) },
			"arrive": func(t *rapid.T) {
				if err := m.arrive(who(t), pick(t, "lease", m.leases)); err != nil {
					t.Fatal(err)
				}
			},
			"use beside the license": func(t *rapid.T) {
				n := some(t)
				if s, _, no := m.source.Use(m.body, n); no == nil {
					m.source, m.taken, m.own = s, m.taken+n, m.own+n
				}
			},
			"use": func(t *rapid.T) {
				b := who(t)
				_ = m.use(b, pick(t, "move", b.loans()), some(t))
			},
			"tell": func(t *rapid.T) {
				b := who(t)
				for _, h := range b.holds("S") {
					m.source, _ = m.source.Told(b.serial(), string(h.Lease), h.Used)
				}
			},
			"give back": func(t *rapid.T) {
				b := who(t)
				m.giveBack(b, pick(t, "move", b.loans()))
			},
			"book": func(t *rapid.T) {
				r := pick(t, "return", m.returns)
				m.source, _, _ = m.source.TakeBack(r.from, string(r.closed.Lease), r.closed.Used, m.now)
				m.now++
			},
			"book for another": func(t *rapid.T) {
				r := pick(t, "return", m.returns)
				if s, back, ok := m.source.TakeBack("X", string(r.closed.Lease), r.closed.Used, m.now); ok || back != 0 || len(s.Moves) != len(m.source.Moves) {
					t.Fatalf("%d came back from somebody who never had them", back)
				}
			},
			"hear": func(t *rapid.T) { // the answer to a return
				b := who(t)
				for id, r := range b.Returns {
					if m.source.Moves[string(id)].Closed != 0 {
						r.Confirmed = true
						b.Returns[id] = r
					}
				}
			},
		})
		// Every file arrives, everything goes back, and that arrives too.
		for _, w := range m.wishes {
			_ = m.give(w)
		}
		for _, l := range m.leases {
			for _, b := range m.boxes {
				_ = m.arrive(b, l)
			}
		}
		for _, b := range m.boxes {
			for _, id := range b.loans() {
				m.giveBack(b, id)
			}
		}
		for _, r := range m.returns {
			m.source, _, _ = m.source.TakeBack(r.from, string(r.closed.Lease), r.closed.Used, m.now)
		}
		m.holds(t)
		if got := m.body.Terms.Units - m.source.Used(m.body); got != m.body.Terms.Units-m.taken {
			t.Fatalf("%d are back; %d of %d were taken", got, m.taken, m.body.Terms.Units)
		}
	})
}

// TestWhatPuttingBackGains: a container with moved units that is put back to an earlier
// state can use again what it forgot to have used or given back, as one does with a
// counter of its own, and nothing more.
func TestWhatPuttingBackGains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMovesModel(20, 1)
		b := m.boxes[0]
		type copyOf struct {
			loans   map[seats.LeaseID]loan
			returns map[seats.LeaseID]returned
		}
		copies := []copyOf{{map[seats.LeaseID]loan{}, map[seats.LeaseID]returned{}}}
		forgot := int64(0)
		// could is what it could use of each move if all files arrived.
		could := func() map[seats.LeaseID]int64 {
			left := map[seats.LeaseID]int64{}
			for _, l := range m.leases {
				if _, gone := b.Returns[l.ID]; !gone {
					left[l.ID] = l.Units - b.Loans[l.ID].Used
				}
			}
			return left
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if m.taken > m.body.Terms.Units+forgot {
					t.Fatalf("%d were taken of %d, and %d forgotten", m.taken, m.body.Terms.Units, forgot)
				}
			},
			"ask":    func(t *rapid.T) { m.ask(b, rapid.Int64Range(1, 8).Draw(t, "n")) },
			"give":   func(t *rapid.T) { _ = m.give(pick(t, "wish", m.wishes)) },
			"arrive": func(t *rapid.T) { _ = m.arrive(b, pick(t, "lease", m.leases)) },
			"use beside the license": func(t *rapid.T) {
				if s, _, no := m.source.Use(m.body, 1); no == nil {
					m.source, m.taken = s, m.taken+1
				}
			},
			"use": func(t *rapid.T) {
				_ = m.use(b, pick(t, "move", b.loans()), rapid.Int64Range(1, 4).Draw(t, "n"))
			},
			"give back": func(t *rapid.T) { m.giveBack(b, pick(t, "move", b.loans())) },
			"book": func(t *rapid.T) {
				r := pick(t, "return", m.returns)
				m.source, _, _ = m.source.TakeBack(r.from, string(r.closed.Lease), r.closed.Used, m.now)
			},
			"keep a copy": func(*rapid.T) {
				copies = append(copies, copyOf{maps.Clone(b.Loans), maps.Clone(b.Returns)})
			},
			"put back": func(t *rapid.T) {
				c := pick(t, "copy", copies)
				before := could()
				b.Loans, b.Returns = maps.Clone(c.loans), maps.Clone(c.returns)
				for id, left := range could() {
					forgot += max(0, left-before[id])
				}
			},
		})
	})
}

// TestMovesAreKeptInBounds: the account of moves that came back does not grow for ever,
// and a request of one that is forgotten takes nothing.
func TestMovesAreKeptInBounds(t *testing.T) {
	m := newMovesModel(1, 1)
	b := m.boxes[0]
	for range container.KeptClosed + 50 {
		m.ask(b, 1)
		if no := m.give(m.wishes[len(m.wishes)-1]); no != nil {
			t.Fatal(no)
		}
		l := m.leases[len(m.leases)-1]
		if err := m.arrive(b, l); err != nil {
			t.Fatal(err)
		}
		m.giveBack(b, l.ID)
		m.source, _, _ = m.source.TakeBack(b.serial(), string(l.ID), 0, m.now)
		m.now++
	}
	if n := len(m.source.Moves); n != container.KeptClosed {
		t.Errorf("%d are kept", n)
	}
	for i, w := range m.wishes {
		if no := m.give(w); no == nil || no.Code != refusal.LeaseLost {
			t.Fatalf("request %d again: %v", i, no)
		}
	}
	if used := m.source.Used(m.body); used != 0 {
		t.Errorf("%d are used", used)
	}
	if s := m.source.MovedOut(); !slices.IsSortedFunc(s, func(a, b string) int { return int(m.source.Moves[a].Fence) - int(m.source.Moves[b].Fence) }) {
		t.Error("not in order")
	}
}

// TestGiverPutBack: where the container that gives is put back to before a move, the
// same request makes the same document, and who has the units has them once; what comes
// back of a move that it forgot is added to nothing.
func TestGiverPutBack(t *testing.T) {
	m := newMovesModel(10, 1)
	b, before := m.boxes[0], m.source
	m.ask(b, 6)
	for range 2 {
		m.source = before
		if no := m.give(m.wishes[0]); no != nil {
			t.Fatal(no)
		}
		if err := m.arrive(b, m.leases[len(m.leases)-1]); err != nil {
			t.Fatal(err)
		}
		if no := m.use(b, m.leases[0].ID, 2); no != nil {
			t.Fatal(no)
		}
	}
	if l := b.Loans[m.leases[0].ID]; len(b.Loans) != 1 || l.Units != 6 || l.Used != 4 || m.source.Used(m.body) != 6 {
		t.Fatalf("%+v", b.Loans)
	}
	m.source = before
	m.giveBack(b, m.leases[0].ID)
	after, back, ok := m.source.TakeBack(b.serial(), string(m.leases[0].ID), 4, m.now)
	if ok || back != 0 || after.Used(m.body) != 0 {
		t.Fatalf("%d came back of what it never gave", back)
	}
}
