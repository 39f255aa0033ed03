package explore

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// scope is what can happen in a run.
type scope struct {
	name      string
	licenses  int
	chain     uint64 // steps for each container
	wipes     bool   // a machine may be wiped
	rollbacks uint8  // how often a container's file may be replaced by another state of it
	causes    bool   // the book remembers which report caused a step
}

// wish is what a report asks for.
type wish string

const (
	receipt    wish = "receipt"
	pending    wish = "pending"
	activate1  wish = "activate L1"
	return1    wish = "return L1"
	activate2  wish = "activate L2"
	return2    wish = "return L2"
	everything wish = "ticket T"
)

func (s scope) wishes() []wish {
	w := []wish{receipt, pending, activate1, return1}
	if s.licenses > 1 {
		w = append(w, activate2, return2, everything)
	}
	return w
}

func (w wish) wishes() container.Wishes {
	verb, what, _ := strings.Cut(string(w), " ")
	switch verb {
	case "activate":
		return container.Wishes{Tickets: []license.Ticket{ticket}, Activate: []license.ID{license.ID(what)}}
	case "return":
		return container.Wishes{Return: []license.ID{license.ID(what)}}
	case "ticket":
		return container.Wishes{Tickets: []license.Ticket{ticket}}
	case "pending":
		return container.Wishes{Pending: true}
	}
	return container.Wishes{}
}

// world is one state of everything. Its parts are kept once and named by number,
// so that worlds are small, comparable, and each decision is computed once.
type world struct {
	book, mail int32
	boxes      [2]int32
	wiped      [2]bool
	cheated    [2]bool
	lives      [2]uint8 // how often each container was rolled back
}

// box is a container of one of the two machines.
type box struct {
	c int
	container.State
}

// name is the nonce of every report made in this state.
func (b box) name() container.Nonce {
	b.Asked = container.Nonce{}
	h := sha256.Sum256([]byte(b.key()))
	return container.Nonce(h[:16])
}

func (b box) key() string {
	k := fmt.Sprintf("%d|%d|%d|%x|%x|", b.c, b.Number, b.Acked, b.Challenge, b.Asked)
	for _, n := range b.Nonces {
		k += string(n[:])
	}
	k += string(b.Plan[:8]) + string(b.Life[:8])
	for i := range 2 {
		if h, ok := b.Held[licenseID(i)]; ok {
			k += fmt.Sprintf("%d|%d|%d|", i, h.Generation, h.Step)
		}
	}
	return k
}

// mail is every file ever made: the states in which reports were made, and the
// updates.
type mail struct{ letters, updates []int32 }

func (m mail) key() string { return fmt.Sprint(m.letters, m.updates) }

// pool keeps each value once.
type pool[T interface{ key() string }] struct {
	all []T
	ids map[string]int32
}

func (p *pool[T]) id(v T) int32 {
	k := v.key()
	id, ok := p.ids[k]
	if !ok {
		if p.ids == nil {
			p.ids = map[string]int32{}
		}
		id = int32(len(p.all))
		p.ids[k], p.all = id, append(p.all, v)
	}
	return id
}

func (p *pool[T]) add(ids []int32, id int32) []int32 {
	if at, found := slices.BinarySearch(ids, id); !found {
		return slices.Insert(slices.Clone(ids), at, id)
	}
	return ids
}

// explorer holds the parts of all worlds and every decision made so far.
type explorer struct {
	rules
	scope
	books   pool[book]
	boxes   pool[box]
	updates pool[update]
	mails   pool[mail]

	asks    map[int32]int32
	imports map[importOf]imported
	handles map[handleOf]handled
	fills   map[world]int32
	settles map[world]bool
}

func newExplorer(s scope, r rules) *explorer {
	return &explorer{scope: s, rules: r, asks: map[int32]int32{}, imports: map[importOf]imported{},
		handles: map[handleOf]handled{}, fills: map[world]int32{}, settles: map[world]bool{}}
}

func (e *explorer) start() world {
	w := world{book: e.books.id(newBook(e.licenses)), mail: e.mails.id(mail{})}
	for c := range w.boxes {
		w.boxes[c] = e.boxes.id(box{c, container.NewState(serials[c])})
	}
	return e.filled(w)
}

// ask is State.Report: the container remembers that it asked.
func (e *explorer) ask(id int32) int32 {
	to, ok := e.asks[id]
	if !ok {
		b := e.boxes.all[id]
		n := b
		n.State, _ = b.Report(container.Identity{Kind: license.Machine}, b.name(), 1)
		to = e.boxes.id(n)
		e.asks[id] = to
	}
	return to
}

// imported is what State.Import made of an update.
type imported struct {
	box    int32
	broken []string
}

type importOf struct {
	box, update int32
	life        uint8
}

func (e *explorer) take(of importOf) imported {
	r, ok := e.imports[of]
	if !ok {
		b, u := e.boxes.all[of.box], e.updates.all[of.update]
		after, no := e.apply(b, u, of.life)
		r = imported{box: e.boxes.id(after), broken: e.checkImport(b, after, u, no, of.life)}
		e.imports[of] = r
	}
	return r
}

func (e *explorer) apply(b box, u update, life uint8) (box, *refusal.Refusal) {
	at := b.Number
	n, no := e.rules.take(b.State, u, func() container.Nonce {
		at++
		return nonce(b.c, at, life)
	})
	return box{b.c, n}, no
}

// handled is what the book made of a report.
type handled struct {
	book, update int32
	broken       []string
}

type handleOf struct {
	book, letter int32
	wish         wish
	again        bool
}

func (e *explorer) handle(of handleOf) handled {
	r, ok := e.handles[of]
	if !ok {
		before := e.books.all[of.book]
		x := &exchange{rules: &e.rules, b: before.clone(), c: e.boxes.all[of.letter].c, report: e.report(of.letter, of.wish), again: of.again}
		if e.causes {
			x.cause = cause{of.letter, of.wish}
		}
		u := x.program(of.wish == receipt)
		r = handled{book: e.books.id(x.b), update: e.updates.id(u), broken: e.checkHandled(before, x)}
		e.handles[of] = r
	}
	return r
}

func (e *explorer) report(letter int32, w wish) container.Report {
	b := e.boxes.all[letter]
	_, r := b.Report(container.Identity{Kind: license.Machine}, b.name(), 1)
	r.Wishes = w.wishes()
	return r
}

// answered reports whether a repetition of the report may be decided apart from
// a fresh one.
func (e *explorer) answered(bookID, letter int32, w wish) bool {
	if !e.causes {
		return false
	}
	b := e.books.all[bookID]
	steps := b.logs[e.boxes.all[letter].c].steps
	at := slices.IndexFunc(steps, func(s step) bool { return s.cause == cause{letter, w} })
	return at >= 0 && at < len(steps)-1 // else the stored answer goes out again
}

// filled adds the files that anybody could make here without changing anything
// else: reports of both containers, and answers to every report that move nothing.
func (e *explorer) filled(w world) world {
	key := w
	key.lives, key.cheated = [2]uint8{}, [2]bool{}
	id, ok := e.fills[key]
	if !ok {
		m := e.mails.all[w.mail]
		for c, b := range w.boxes {
			if !w.wiped[c] {
				m.letters = e.mails.add(m.letters, e.ask(b))
			}
		}
		for _, l := range m.letters {
			for _, wish := range e.wishes() {
				if h := e.handle(handleOf{w.book, l, wish, false}); h.book == w.book && wish != receipt {
					m.updates = e.mails.add(m.updates, h.update)
				}
			}
		}
		id = e.mails.id(m)
		e.fills[key] = id
	}
	w.mail = id
	return w
}

// action is one edge.
type action struct {
	kind  string
	c     int
	file  int32
	wish  wish
	again bool
}

func (e *explorer) describe(a action) string {
	switch a.kind {
	case "upload":
		b := e.boxes.all[a.file]
		again := ""
		if a.again {
			again = " (the same file again)"
		}
		challenged := ""
		if len(b.Challenge) > 0 {
			challenged = ", answers a challenge"
		}
		return fmt.Sprintf("central gets a report of %s made at step %d%s: %s%s", serials[b.c], b.Number, challenged, a.wish, again)
	case "import":
		u := e.updates.all[a.file]
		return fmt.Sprintf("%s imports an update with the steps %d to %d", serials[a.c], u.Acked+1, u.Acked+uint64(len(u.steps)))
	case "withdraw":
		return fmt.Sprintf("the vendor withdraws %s", licenseID(a.c))
	case "roll":
		return fmt.Sprintf("the file of %s is replaced by its state at step %d", serials[a.c], e.boxes.all[a.file].Number)
	}
	return fmt.Sprintf("%s: %s", serials[a.c], a.kind)
}

// edges calls yield with every world that can come next.
func (e *explorer) edges(w world, yield func(action, world, []string)) {
	m := e.mails.all[w.mail]
	for c := range w.boxes {
		if w.wiped[c] {
			continue
		}
		n := w
		n.boxes[c] = e.ask(w.boxes[c])
		yield(action{kind: "ask", c: c}, n, nil)
		for _, u := range m.updates {
			r := e.take(importOf{w.boxes[c], u, w.lives[c]})
			n := w
			n.boxes[c] = r.box
			yield(action{kind: "import", c: c, file: u}, n, r.broken)
		}
		if e.wipes {
			n := w
			n.wiped[c] = true
			yield(action{kind: "wiped", c: c}, n, nil)
		}
		if w.lives[0]+w.lives[1] < e.rollbacks {
			e.rollBacks(w, c, m.letters, yield)
		}
	}
	for _, l := range m.letters {
		for _, wish := range e.wishes() {
			for _, again := range []bool{false, true} {
				if again && !e.answered(w.book, l, wish) {
					continue
				}
				h := e.handle(handleOf{w.book, l, wish, again})
				if e.full(h.book) {
					continue
				}
				n := w
				n.book = h.book
				if wish != receipt {
					mm := m
					mm.updates = e.mails.add(m.updates, h.update)
					n.mail = e.mails.id(mm)
				}
				yield(action{kind: "upload", c: e.boxes.all[l].c, file: l, wish: wish, again: again}, n, h.broken)
			}
		}
	}
	e.staff(w, yield)
}

func (e *explorer) rollBacks(w world, c int, letters []int32, yield func(action, world, []string)) {
	for _, l := range letters {
		if l == w.boxes[c] || e.boxes.all[l].c != c {
			continue
		}
		n := w
		n.boxes[c], n.cheated[c] = l, true
		n.lives[c]++
		yield(action{kind: "roll", c: c, file: l}, n, nil)
	}
}

// staff is what the vendor's people do.
func (e *explorer) staff(w world, yield func(action, world, []string)) {
	b := e.books.all[w.book]
	for i, l := range b.licenses {
		if l.Withdrawn {
			continue
		}
		after, no := b.withdraw(i)
		var broken []string
		if no != nil {
			broken = []string{"life: " + no.Message}
		}
		n := w
		n.book = e.books.id(after)
		yield(action{kind: "withdraw", c: i}, n, broken)
	}
	for c, r := range b.logs {
		if r.flag.reason == "" || !r.flag.acceptable {
			continue
		}
		x := &exchange{rules: &e.rules, b: b.clone(), c: c}
		x.accept()
		n := w
		n.book = e.books.id(x.b)
		yield(action{kind: "accepted by staff", c: c}, n, x.faults())
	}
}

// full reports whether a book has more steps than the run looks at.
func (e *explorer) full(bookID int32) bool {
	b := e.books.all[bookID]
	return b.logs[0].issued() > e.chain || b.logs[1].issued() > e.chain
}

// result is what a walk found.
type result struct {
	states, waiting int
	broken          string   // empty: everything holds
	trace           []string // how it came to that
}

// walk visits every world, breadth first, until a check fails. Only the checks
// whose text begins with breaks count; empty means all.
func (e *explorer) walk(breaks string) result {
	first := e.start()
	seen := map[world]int32{first: 0}
	worlds, parents, by := []world{first}, []int32{-1}, []action{{}}
	res := result{}
	found := func(broken []string, at int32, last ...action) bool {
		i := slices.IndexFunc(broken, func(s string) bool { return strings.HasPrefix(s, breaks) })
		if i < 0 {
			return false
		}
		res.broken = broken[i]
		for _, a := range last {
			res.trace = append(res.trace, e.describe(a))
		}
		for ; at > 0; at = parents[at] {
			res.trace = append(res.trace, e.describe(by[at]))
		}
		slices.Reverse(res.trace)
		return true
	}
	for i := int32(0); int(i) < len(worlds) && res.broken == ""; i++ {
		w := worlds[i]
		if i%20000 == 0 && i > 0 {
			println(e.scope.name, i, len(worlds), len(e.books.all), len(e.boxes.all), len(e.updates.all), len(e.mails.all), len(e.mails.all[w.mail].letters), len(e.mails.all[w.mail].updates))
		}
		broken, waits := e.check(w)
		if waits {
			res.waiting++
		}
		if len(broken) > 0 && found(broken, i) {
			break
		}
		e.edges(w, func(a action, n world, broken []string) {
			if res.broken != "" || (len(broken) > 0 && found(broken, i, a)) {
				return
			}
			n = e.filled(n)
			if _, ok := seen[n]; ok {
				return
			}
			seen[n] = int32(len(worlds))
			worlds, parents, by = append(worlds, n), append(parents, i), append(by, a)
		})
	}
	res.states = len(worlds)
	return res
}
