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
	chain     [2]uint64 // steps for each container
	wipes     bool      // a machine may be wiped
	rollbacks uint8     // how often A's file may be replaced by another state of it
	accepts   bool      // staff may accept a flagged container
	causes    bool      // the book remembers which report caused a step
	withdraws bool      // the vendor may withdraw L1
	replaces  bool      // the vendor may replace L1 by L2
	cancels   bool      // the vendor may take orders back
	restores  uint8     // how often a license may be restored
	blocks    bool      // the vendor may block A and open it again, as often as the chain has room
	lends     bool      // A may lend a seat of L1 while it has it, and get it back
	more      int64     // seats of each license beyond the first, which may be in both containers
	whole     bool      // a container may also ask for all seats, and return some
	units     int64     // L1 has so many; a container that has some may use one at any time
	shares    bool      // they may be in both containers
	adds      uint8     // how often the vendor may add one
	comeback  bool      // the server may be lost, and come back from a back-up
	long      bool      // for the long run alone
	terse     bool      // a container asks as soon as it can and never notes what is acknowledged
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
	someOf1    wish = "activate L1=1"
	backOf1    wish = "return L1=1"
)

func (s scope) wishes(licenses int) []wish {
	w := []wish{receipt, pending, activate1, return1}
	if s.more > 0 || s.shares { // whoever has seats or units, has them by a wish for one
		w = []wish{receipt, pending, someOf1}
		if s.whole {
			w = append(w, activate1, backOf1)
		}
		for i := range licenses {
			w = append(w, wish("return "+string(licenseID(i))))
		}
		return w
	}
	if licenses > 1 {
		w = append(w, activate2, return2)
	}
	if s.licenses > 1 {
		w = append(w, everything)
	}
	return w
}

func (w wish) wishes() container.Wishes {
	verb, what, _ := strings.Cut(string(w), " ")
	what, _, some := strings.Cut(what, "=")
	var amounts []container.Amount
	if some {
		amounts = []container.Amount{{License: license.ID(what), Seats: 1}}
	}
	switch verb {
	case "activate":
		return container.Wishes{Tickets: []license.Ticket{ticket}, Activate: []license.ID{license.ID(what)}, Amounts: amounts}
	case "return":
		return container.Wishes{Return: []license.ID{license.ID(what)}, Amounts: amounts}
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
	book    int32
	letters int32 // the states of containers of which reports exist
	boxes   [2]int32
	wiped   [2]bool
	cheated [2]bool
	lives   [2]uint8 // how often each container was rolled back

	saved, lost int32 // books: of the back-up, and of the server that was lost; 0 for none, else the number plus one

	spent  int8 // units of L1 and its parts that were used, wherever
	excess int8 // of them, those of a copy that was lost of which the book did not know then, or knows never
}

// box is a container of one of the two machines.
type box struct {
	c int
	container.State
	path    string // the life in which each step was applied
	askedAt uint64 // the step at which the last report was made
	lent    []container.Lent
}

// name is the nonce of every report made at one step of one life.
func (b box) name() container.Nonce {
	h := sha256.Sum256(fmt.Appendf(nil, "report %d|%x", b.c, b.path))
	return container.Nonce(h[:16])
}

// letter is the container as its reports show it, but for what it believes to
// be acknowledged.
func (b box) letter() box {
	b.Asked, b.askedAt = container.Nonce{}, 0
	return b.believing(0)
}

// believing is the container with another acknowledged number.
func (b box) believing(acked uint64) box {
	b.Acked, b.Nonces = acked, nil
	for n := acked; n < b.Number; n++ {
		b.Nonces = append(b.Nonces, nonce(b.c, n+1, b.path[n]))
	}
	return b
}

func (b box) key() string {
	k := fmt.Sprintf("%d|%d|%d|%d|%x|%x|%x|", b.c, b.Number, b.Acked, b.askedAt, b.Challenge, b.Asked, b.path)
	for _, n := range b.Nonces {
		k += string(n[:])
	}
	k += string(b.Plan[:8]) + string(b.Life[:8])
	if b.Locked {
		k += "locked"
	}
	if b.Epoch > 0 {
		k += fmt.Sprintf("epoch %d", b.Epoch)
	}
	for i := range 9 {
		if c, ok := b.Counters[licenseID(i)]; ok {
			k += fmt.Sprintf("used %d %d %d %d|", i, c.Generation, c.Used, c.Dropped)
		}
	}
	for _, l := range b.lent {
		k += fmt.Sprintf("lent %s %d|", l.License, l.Generation)
	}
	for i := range 9 {
		if h, ok := b.Held[licenseID(i)]; ok {
			k += fmt.Sprintf("%d|%d|%d|%x", i, h.Generation, h.Step, h.Body[:4])
		}
	}
	return k
}

// seatsOf is how many seats a container has of a license by the body it holds.
func (b box) seatsOf(id license.ID) int64 {
	h, ok := b.Held[id]
	for n := int64(1); ok && n < 9; n++ {
		if sha256.Sum256(body(id, h.Generation, b.Serial, n)) == h.Body {
			return n
		}
	}
	return 0
}

// letters is a set of boxes, by number.
type letters []int32

func (l letters) key() string { return fmt.Sprint([]int32(l)) }

func (l letters) with(id int32) letters {
	if at, found := slices.BinarySearch(l, id); !found {
		return slices.Insert(slices.Clone(l), at, id)
	}
	return l
}

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

// explorer holds the parts of all worlds and every decision made so far.
type explorer struct {
	rules
	scope
	books   pool[book]
	boxes   pool[box]
	updates pool[update]
	letters pool[letters]

	asked    map[int32]int32       // boxes after a report
	imported map[importOf]imported // boxes after an update
	handled  map[handleOf]handled  // books after a report
	files    map[filesOf][]int32   // updates for a box
	moved    map[movesOf]moves     // edges of a box
	uploaded map[uploadsOf]moves   // edges of a book
	wrote    map[writtenOf]int32   // letters after a report
	checked  map[world]breaches    // one box against its record
	shown    map[world]bool        // getsOn or convicts
	decided  map[hand]move         // books after a decision of the vendor's people
	helped   map[helpOf]bool       // restoreHelps

	signed map[string]container.Incoming // every step, where a container may bring it
}

type (
	movesOf struct {
		book, lost, box int32
		life            uint8
	}
	uploadsOf struct{ book, letter int32 }
	writtenOf struct{ letters, box int32 }
)

func newExplorer(s scope, r rules) *explorer {
	return &explorer{scope: s, rules: r, asked: map[int32]int32{}, imported: map[importOf]imported{}, handled: map[handleOf]handled{},
		files: map[filesOf][]int32{}, moved: map[movesOf]moves{}, uploaded: map[uploadsOf]moves{}, wrote: map[writtenOf]int32{},
		shown: map[world]bool{}, checked: map[world]breaches{}, decided: map[hand]move{}, helped: map[helpOf]bool{},
		signed: map[string]container.Incoming{}}
}

func (e *explorer) start() world {
	w := world{book: e.books.id(newBook(e.scope)), letters: e.letters.id(nil)}
	for c := range w.boxes {
		w.boxes[c] = e.kept(newBox(c))
		if e.terse {
			w.letters = e.written(w.letters, w.book, w.boxes[c])
		}
	}
	return w
}

// written adds the report of a container that asks to those that exist, with the
// ones it could have made on the way.
func (e *explorer) written(letters, book, box int32) int32 {
	key := writtenOf{letters, box}
	id, ok := e.wrote[key]
	if !ok {
		b := e.boxes.all[box]
		l := e.letters.all[letters].with(e.boxes.id(b.letter()))
		steps := e.books.all[book].logs[b.c].steps
		on := newBox(b.c)
		between := min(b.Number, uint64(len(steps)))
		if e.shares || e.comeback {
			between = 0 // what it had used by then is not known here; it asks between two steps by itself
		}
		for n := range between {
			l = l.with(e.boxes.id(on.letter()))
			on, _ = e.apply(on, update{Update: container.Update{Container: b.Serial, Acked: n}, steps: []container.Incoming{steps[n].in}}, b.path[n])
		}
		id = e.letters.id(l)
		e.wrote[key] = id
	}
	return id
}

func newBox(c int) box { return box{c: c, State: container.NewState(serials[c])} }

// ask is State.Report: the container remembers that it asked.
func (e *explorer) ask(id int32) int32 {
	to, ok := e.asked[id]
	if !ok {
		b := e.boxes.all[id]
		n := b
		n.State, _ = b.Report(container.Identity{Kind: license.Machine}, b.name(), 1)
		n.askedAt = b.Number
		to = e.boxes.id(n)
		e.asked[id] = to
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
	r, ok := e.imported[of]
	if !ok {
		b, u := e.boxes.all[of.box], e.updates.all[of.update]
		after, no := e.apply(b, u, of.life)
		r = imported{box: e.kept(after), broken: e.checkImport(b, after, u, no, of.life)}
		e.imported[of] = r
	}
	return r
}

// kept is a container's new state, in a terse run the shortest one from which the
// same reports can be made.
func (e *explorer) kept(b box) int32 {
	if e.terse {
		return e.ask(e.boxes.id(b.believing(0)))
	}
	return e.boxes.id(b)
}

// apply imports an update in one life of the container.
func (e *explorer) apply(b box, u update, life uint8) (box, *refusal.Refusal) {
	if no := e.waits(b, u); no != nil {
		return b, no
	}
	at := b.Number
	n, no := e.rules.take(b.State, u, func() container.Nonce {
		at++
		return nonce(b.c, at, life)
	})
	b.State = n
	b.path = b.path[:min(n.Number, uint64(len(b.path)))]
	for uint64(len(b.path)) < n.Number {
		b.path += string([]byte{life})
	}
	if n.Asked == (container.Nonce{}) {
		b.askedAt = 0 // answered
	}
	return b, no
}

// handled is what the book made of a report.
type handled struct {
	book, update int32
	broken       []string
}

type handleOf struct {
	book, letter int32
	acked        uint64 // what the container believed when it made the report
	wish         wish
	again        bool
	brings       bool // the steps that the book lacks
}

func (e *explorer) handle(of handleOf) handled {
	r, ok := e.handled[of]
	if !ok {
		before := e.books.all[of.book]
		x := &exchange{rules: &e.rules, b: before.clone(), c: e.boxes.all[of.letter].c, report: e.report(of.letter, of.acked, of.wish), again: of.again, signed: e.signed}
		if of.brings {
			x.brings = e.bringing(of.book, e.boxes.all[of.letter])
		}
		if e.causes {
			x.cause = cause{of.letter, of.wish}
		}
		u := x.program(of.wish == receipt)
		r = handled{book: e.books.id(x.b), update: e.updates.id(u), broken: e.checkHandled(before, x)}
		e.handled[of] = r
	}
	return r
}

func (e *explorer) report(letter int32, acked uint64, w wish) container.Report {
	b := e.boxes.all[letter].believing(acked)
	_, r := b.Report(container.Identity{Kind: license.Machine}, b.name(), 1)
	r.Wishes, r.Lent = w.wishes(), b.lent
	return r
}

type filesOf struct{ book, lost, box int32 }

// updatesFor lists the updates that may lie with a container: with any number
// acknowledged so far and any steps issued so far, as an answer to its last report
// or not. Those with a challenge answer a report from before that number.
func (e *explorer) updatesFor(bookID, lost, boxID int32) []int32 {
	ids, ok := e.files[filesOf{bookID, lost, boxID}]
	if ok {
		return ids
	}
	b, x := e.books.all[bookID], e.boxes.all[boxID]
	if e.comeback {
		ids = e.filesOfReturn(nil, b, x)
		if lost != 0 {
			ids = e.filesOfReturn(ids, e.books.all[lost-1], x)
		}
		e.files[filesOf{bookID, lost, boxID}] = ids
		return ids
	}
	names := []container.Nonce{{}}
	if x.Asked != names[0] {
		names = append(names, x.Asked)
	}
	for c, r := range b.logs {
		for acked := range r.top + 1 {
			for _, name := range names {
				u := update{Update: container.Update{Container: serials[c], Answers: name, Acked: acked, Time: 1}}
				for last := acked; last <= r.issued(); last++ {
					u.steps = nil
					for _, s := range r.steps[acked:last] {
						u.steps = append(u.steps, s.in)
					}
					ids = append(ids, e.updates.id(u))
				}
				if u.steps = nil; x.askedAt < acked && c == x.c && name != names[0] {
					u.Challenge = challengeFor(serials[c], acked)
					ids = append(ids, e.updates.id(u))
				}
			}
		}
	}
	e.files[filesOf{bookID, lost, boxID}] = ids
	return ids
}

// again lists the ways in which a report counts: as a fresh one, and as a
// repetition of one that was answered with a step, other steps since.
func (e *explorer) again(bookID, letter int32, w wish) []bool {
	steps := e.books.all[bookID].logs[e.boxes.all[letter].c].steps
	at := slices.IndexFunc(steps, func(s step) bool { return s.cause == cause{letter, w} })
	ordered := slices.ContainsFunc(e.books.all[bookID].logs[e.boxes.all[letter].c].orders, func(o order) bool { return o.step == 0 })
	if !e.causes || at < 0 || at == len(steps)-1 && !ordered { // then the stored answer goes out again
		return []bool{false}
	}
	return []bool{false, true}
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
		what := "a challenge"
		if len(u.Challenge) == 0 {
			what = fmt.Sprintf("acknowledged %d, steps to %d", u.Acked, u.Acked+uint64(len(u.steps)))
		}
		return fmt.Sprintf("%s imports an update: %s", serials[a.c], what)
	case usesUnit:
		return fmt.Sprintf("%s uses a unit of %s", serials[a.c], licenseID(int(a.file)))
	case "add":
		return "the vendor adds a unit to L1"
	case "withdraw", "replace", "restore":
		return fmt.Sprintf("the vendor %ss %s", a.kind, licenseID(a.c))
	case "cancel":
		return fmt.Sprintf("the vendor takes back what was ordered for %s", licenseID(a.c))
	case "a back-up is made", "the server is lost, and comes back from the back-up":
		return a.kind
	case "release":
		return fmt.Sprintf("the vendor releases %s", licenseID(a.c))
	case "block", "unblock":
		return fmt.Sprintf("the vendor %ss %s", a.kind, serials[a.c])
	case "roll":
		return fmt.Sprintf("the file of %s is replaced by its state at step %d", serials[a.c], e.boxes.all[a.file].Number)
	}
	return fmt.Sprintf("%s: %s", serials[a.c], a.kind)
}

// edges calls yield with every world that can come next.
func (e *explorer) edges(w world, yield func(action, world, []string)) {
	for c := range w.boxes {
		if w.wiped[c] {
			continue
		}
		for _, m := range e.moves(w.book, w.lost, w.boxes[c], w.lives[c]) {
			n := w
			n.boxes[c] = m.to
			if m.kind == usesUnit {
				e.spend(&n, c, m.file)
			}
			if m.kind == "ask" || e.terse {
				n.letters = e.written(w.letters, w.book, m.to)
			}
			yield(m.action, n, m.broken)
		}
		if e.wipes {
			n := w
			n.wiped[c] = true
			yield(action{kind: "wiped", c: c}, n, nil)
		}
	}
	for _, l := range e.letters.all[w.letters] {
		for _, m := range e.uploads(w.book, l) {
			n := w
			n.book = m.to
			yield(m.action, n, m.broken)
		}
	}
	if w.lives[0] < e.rollbacks {
		e.rollBacks(w, yield)
	}
	e.staff(w, yield)
	e.returns(w, yield)
}

// move is an edge of one part of the world.
type move struct {
	action
	to     int32
	broken []string
}

type moves []move

// add leaves out what changes nothing and what another edge does as well.
func (m moves) add(from int32, next move) moves {
	known := next.to == from || slices.ContainsFunc(m, func(o move) bool { return o.to == next.to })
	if known && len(next.broken) == 0 {
		return m
	}
	return append(m, next)
}

// moves is what a container can do: ask, and import what may lie with it.
func (e *explorer) moves(book, lost, box int32, life uint8) moves {
	key := movesOf{book, lost, box, life}
	out, ok := e.moved[key]
	if !ok {
		c := e.boxes.all[box].c
		out = out.add(box, move{action{kind: "ask", c: c}, e.ask(box), nil})
		for _, u := range e.updatesFor(book, lost, box) {
			r := e.take(importOf{box, u, life})
			out = out.add(box, move{action{kind: "import", c: c, file: u}, r.box, r.broken})
		}
		if e.lends && c == 0 {
			out = e.lending(out, box)
		}
		if e.units > 0 {
			out = e.using(out, book, box)
		}
		e.moved[key] = out
	}
	return out
}

// lending is what a license server does with L1 in A, beside the exchange.
func (e *explorer) lending(out moves, box int32) moves {
	b := e.boxes.all[box]
	kind := "gets its seat back"
	if held, ok := b.Held[licenseID(0)]; len(b.lent) > 0 {
		b.lent = nil
	} else if ok && !b.Locked {
		kind = "lends a seat of L1"
		b.lent = []container.Lent{{License: licenseID(0), Generation: held.Generation, Seats: 1}}
	} else {
		return out
	}
	return out.add(box, move{action{kind: kind, c: b.c}, e.boxes.id(b), nil})
}

const usesUnit = "uses a unit"

// using is a program that takes a unit of what the container has.
func (e *explorer) using(out moves, book, box int32) moves {
	for i := range e.books.all[book].licenses {
		b := e.boxes.all[box]
		held, ok := b.Held[licenseID(i)]
		if !ok || b.Locked {
			continue
		}
		units := e.books.all[book].logs[b.c].steps[held.Step-1].units[licenseID(i)]
		state, no := e.rules.use(b.State, container.Body{License: licenseID(i), Generation: held.Generation, Terms: license.Terms{Units: units}})
		if no != nil {
			continue
		}
		b.State = state
		out = out.add(box, move{action{kind: usesUnit, c: b.c, file: int32(i)}, e.boxes.id(b), nil})
	}
	return out
}

// spend counts a unit of a license that the container c has used.
func (e *explorer) spend(w *world, c int, i int32) {
	w.spent++
	if e.boxes.all[w.boxes[c]].Held[licenseID(int(i))].Generation != e.books.all[w.book].licenses[i].Generation {
		w.excess++
	}
}

// forgives counts what a copy of a license had used that the book did not know of when
// it was restored.
func (e *explorer) forgives(w *world, i int) {
	l := e.books.all[w.book].licenses[i]
	if x := e.boxes.all[w.boxes[containerNumber(l.Holder)]].Counters[licenseID(i)]; x.Generation == l.Generation {
		w.excess += int8(max(0, x.Used-l.used))
	}
}

// uploads is what the reports made in one state can do to the book.
func (e *explorer) uploads(book, letter int32) moves {
	key := uploadsOf{book, letter}
	out, ok := e.uploaded[key]
	if ok {
		return out
	}
	b := e.boxes.all[letter]
	most := min(b.Number, e.books.all[book].logs[b.c].top)
	if e.comeback {
		most = b.Number // the server that was lost may have known more
	}
	brings := []bool{false}
	if e.bringing(book, b) != nil {
		brings = []bool{false, true}
	}
	for acked := range most + 1 {
		for _, wish := range e.wishes(len(e.books.all[book].licenses)) {
			for _, again := range e.again(book, letter, wish) {
				for _, brings := range brings {
					h := e.handle(handleOf{book, letter, acked, wish, again, brings})
					if !e.full(h.book) {
						out = out.add(book, move{action{"upload", b.c, letter, wish, again}, h.book, h.broken})
					}
				}
			}
		}
	}
	e.uploaded[key] = out
	return out
}

func (e *explorer) rollBacks(w world, yield func(action, world, []string)) {
	for _, l := range e.letters.all[w.letters] {
		b := e.boxes.all[l]
		if b.c != 0 {
			continue
		}
		n := w
		n.boxes[0], n.cheated[0] = e.kept(b), true
		n.lives[0]++
		yield(action{kind: "roll", file: l}, n, nil)
	}
}

// staff is what the vendor's people do.
func (e *explorer) staff(w world, yield func(action, world, []string)) {
	b := e.books.all[w.book]
	for _, m := range e.decisions(w.book) {
		n := w
		if m.kind == "restore" && e.units > 0 {
			e.forgives(&n, m.c)
		}
		n.book = m.to
		yield(m.action, n, m.broken)
	}
	for c, r := range b.logs {
		if r.flag.reason == "" || !r.flag.acceptable || !e.accepts {
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
	return b.logs[0].issued() > e.chain[0] || b.logs[1].issued() > e.chain[1]
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
