package seats

// The explorer walks every state that a license server, two programs and two
// borrowers' containers can get into, and checks Inv31 to Inv34 in each: sessions,
// the queue, rules of access, loans, and seats that move for good. What decides is
// the engine itself. Around it stand a disk, which holds what was
// synced; messages and files, which come late, twice, or never; and the clocks.
//
// A crash keeps any first part of what was recorded and not synced. A claim, a
// release, and every file of a borrower may be handed over again at any time.
// The server's clock may be behind, and be set right, also while it is down; the
// programs' clocks are true (TestMargins has those that are not). A disk may be
// lost. What a holder's old copy of its container could do is not in it.
//
// Each mutant takes one rule away and must be missed.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"licet/license"
	"licet/refusal"
)

const (
	tick     = license.Duration(60e9)
	ttl      = 2 * tick // of a session
	lendFor  = 3 * tick
	lingers  = 2 * tick
	keeps    = 2 // ticks for which a place in the queue is kept
	midnight = license.Time(1_800_000_000_000_000)
)

// scope is what can happen in a run.
type scope struct {
	name    string
	seats   int64
	ticks   int    // how long it lasts
	claims  [2]int // of each program
	files   int    // of each borrower
	crashes int
	losses  int
	steps   int // of the server's clock
	lingers bool
	ends    int  // of the license, in ticks; 0 is never
	second  bool // there is a second borrower
	waits   bool // programs take a place in the queue
	moves   license.Moves
	rules   access
	open    bool // has more states than are looked at: the nearest must do
}

// access is rules, and what they mean for these programs.
type access struct {
	text    string
	denied  string // the program that gets nothing
	limit   int64  // of the seats of A; 0 is none
	reserve int64  // for A
}

// laws are the rules; each is one that a mutant can take away.
type laws struct {
	syncFirst     bool // nothing is answered before it is durable
	recover       bool // after a restart sessions count for one more period
	wait          bool // after a loss nothing is granted that could overlap
	clockMoved    bool // sessions are timed by what really passed
	sameNonce     bool // the same wish has the same nonce
	token         bool // only the token ends a lease
	linger        bool // a released seat lingers
	licenseEnd    bool // the license's own end counts
	holder        bool // only the holder returns
	atomic        bool // a session becomes a loan by one record
	fromSending   bool // a program counts from when it sent
	stops         bool // a program stops before its lease ends
	loanDate      bool // a loan's seat is taken until its end
	remembersWish bool // a wish that was granted stays known
	removesFirst  bool // a borrower removes a loan before it says so
	sessionLength bool // a session's seat is taken until its end
	extendIsHers  bool // a loan is extended for its holder alone
	lendNumber    bool // no more is lent than the vendor allows
	inLine        bool // no program overtakes who waits
	loansWait     bool // nor does a borrower
	lapses        bool // a place that is not asked for lapses
	obeysRules    bool // rules are in force again after a restart
	limits        bool // seats count for the limit of their rule
	recounts      bool // also those from before a restart
	reserves      bool // seats are kept for those whom a rule keeps them for
	movedCounts   bool // a seat that moved is taken
	noEnd         bool // after a loss what may have moved has no end
	whole         bool // what moves as a whole moves at once
}

var allLaws = laws{
	true, true, true, true, true, true, true, true, true, true, true, true, true, true,
	true, true, true, true, true, true, true, true, true, true, true, true, true, true,
}

// program is one that wants a seat.
type program struct {
	claims   int
	asks     bool // it has asked, and waits for an answer
	has      bool
	lease    LeaseID
	token    Token
	sent     int // tick at which what it has was asked for
	gone     LeaseID
	goneT    Token // of a lease that it released: the message may still come
	released int   // tick at which a release was taken in; -1 is never
}

// answer is what a program gets for a claim.
type reply struct {
	claim int
	sent  int
	lease LeaseID
	token Token
}

// box is a borrower's container.
type box struct {
	files    []LoanWish
	awaits   int // number of the file whose answer it takes; 0 is none
	loan     LeaseID
	until    license.Time // 0 of what moved for good
	seats    int64
	returned []LeaseID
	everBack []LeaseID  // loans that a file said are returned
	got      [3]LeaseID // by file, as it was answered
}

// boxReply is an answer to a file.
type boxReply struct {
	file     int
	lease    LeaseID
	until    license.Time
	seats    int64
	returned string
}

// place is one in the queue, as it must be.
type place struct {
	who   int
	until int // tick at which it lapses
}

type world struct {
	now     int
	behind  int // ticks by which the server's clock is behind
	e       *Engine
	disk    *Engine // what is on disk, replayed
	pending []Record
	out     []any // answers that wait for the disk
	prog    [2]program
	reply   [2]reply
	box     [2]box
	boxed   [2]boxReply
	line    []place
	minted  int
	crashes int
	losses  int
	steps   int
	lostAt  bool
	broken  string
}

type explorer struct {
	scope
	laws
}

func (x *explorer) source() Source {
	s := Source{
		Vendor: "v", License: "L", Generation: 1, Product: "P", Container: "S",
		Terms: license.Terms{Seats: x.seats, Borrow: license.Borrow{Max: lendFor, Seats: 1}},
	}
	if x.lingers && x.linger {
		s.Terms.Linger = lingers
	}
	if x.ends > 0 && x.licenseEnd {
		s.Terms.ExpiresAt = plus(midnight, license.Duration(x.ends)*tick)
	}
	if !x.lendNumber {
		s.Terms.Borrow.Seats = x.seats
	}
	if s.Terms.Transfer = x.moves; x.moves == license.MovesWhole && !x.whole {
		s.Terms.Transfer = license.MovesSeats
	}
	return s
}

func (x *explorer) engine() *Engine {
	e := x.emptyEngine()
	e.SetSources(midnight, []Source{x.source()})
	e.SetRules(x.parsed())
	return e
}

func (x *explorer) emptyEngine() *Engine {
	return New(Limits{Session: ttl, Longest: ttl, Keep: keeps * tick})
}

func (x *explorer) parsed() Rules {
	r, err := ParseRules(x.rules.text)
	if err != nil {
		panic(err)
	}
	return r
}

// wall is the server's clock.
func (w *world) wall() license.Time {
	return plus(midnight, license.Duration(w.now-w.behind)*tick)
}

func (w *world) true() license.Time { return plus(midnight, license.Duration(w.now)*tick) }

func (w *world) clone() *world {
	c := *w
	c.e = w.e.clone() // the disk is cloned when it is written to
	c.pending, c.out, c.line = slices.Clone(w.pending), slices.Clone(w.out), slices.Clone(w.line)
	for i := range c.box {
		c.box[i].files = slices.Clone(w.box[i].files)
		c.box[i].returned = slices.Clone(w.box[i].returned)
		c.box[i].everBack = slices.Clone(w.box[i].everBack)
	}
	return &c
}

func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

func (w *world) mint(name string) Mint {
	return func() (LeaseID, Token) {
		for n := 0; ; n++ {
			id := LeaseID(fmt.Sprintf("%s/%d", name, n))
			if _, taken := w.e.leases[id]; !taken && !w.named(id) {
				h := sha256.Sum256([]byte(id))
				return id, Token(h[:16])
			}
		}
	}
}

// named says whether anything still knows a lease of this name: names are drawn
// once, and what nothing knows can be named again.
func (w *world) named(id LeaseID) bool {
	for i := range w.prog {
		if w.prog[i].lease == id || w.prog[i].gone == id || w.reply[i].lease == id || w.boxed[i].lease == id || w.box[i].loan == id ||
			slices.Contains(w.box[i].everBack, id) || slices.Contains(w.box[i].got[:], id) {
			return true
		}
	}
	for _, a := range w.disk.answered {
		if a.lease == id {
			return true
		}
	}
	return w.disk.leases[id] != nil || slices.ContainsFunc(w.pending, func(r Record) bool { return r.Lease.ID == id })
}

// record takes in what a decision recorded, and checks what it grants.
func (x *explorer) record(w *world, records []Record) {
	for _, r := range records {
		if r.Kind == Granted || r.Kind == Extended {
			x.checkGrant(w, &r)
		}
	}
	w.pending = append(w.pending, records...)
	if !x.loanDate || !x.sessionLength {
		x.shorten(w.e)
	}
	if !x.movedCounts {
		for _, p := range w.e.pools {
			p.moved = 0
		}
	}
}

// shorten is the fault that seats are free before their end.
func (x *explorer) shorten(e *Engine) {
	for _, l := range e.leases {
		if l.kind == Loan && !x.loanDate || l.kind == Session && !x.sessionLength {
			h := &l.pool.sessions
			if l.kind == Loan {
				h = &l.pool.dated
			}
			l.due = min(l.due, plus(l.until, -tick))
			h.sooner(l)
		}
	}
}

func (x *explorer) checkGrant(w *world, r *Record) {
	if r.Kind == Granted {
		x.checkRules(w, r)
		pool := w.e.Pools(w.wall())[0]
		if x.moves == license.MovesWhole && r.Lease.Kind == Transfer && pool.Lent < x.seats {
			w.fail("a part of what moves as a whole has moved")
		}
		if ahead := len(w.ahead(r.Lease.Client.ID)); r.Replaces == "" && pool.Free < int64(ahead) {
			w.fail("%s has overtaken %d who wait", r.Lease.Client.ID, ahead)
		}
	}
	if r.Lease.Kind != Session && x.ends > 0 && r.Lease.Until > plus(midnight, license.Duration(x.ends)*tick) {
		w.fail("Inv34: a loan outlasts its license")
	}
	if r.Kind != Granted || !x.lingers || w.lostAt {
		return
	}
	for i := range w.prog {
		if r.Lease.Client.ID != name(i) && w.prog[i].released >= 0 && w.now < w.prog[i].released+2 {
			w.fail("a seat was given to another while it lingered")
		}
	}
}

// checkRules holds a grant against the rules.
func (x *explorer) checkRules(w *world, r *Record) {
	ofA := int64(0)
	for _, l := range w.e.leases {
		if l.client.ID == "A" {
			ofA += l.takes
		}
	}
	switch free := w.e.Pools(w.wall())[0].Free; {
	case r.Lease.Client.ID == x.rules.denied:
		w.fail("somebody has a seat whom a rule denies it")
	case x.rules.limit > 0 && ofA > x.rules.limit:
		w.fail("there are %d seats under a rule's limit of %d", ofA, x.rules.limit)
	case r.Lease.Client.ID != "A" && free < x.rules.reserve-ofA:
		w.fail("a seat was given away that a rule keeps for others")
	}
}

// ahead is who stands in the queue before somebody, and has asked in time.
func (w *world) ahead(id string) (list []place) {
	for _, p := range w.line {
		switch {
		case p.until <= w.now: // it has lapsed
		case name(p.who) == id:
			return list
		default:
			list = append(list, p)
		}
	}
	return list
}

// queued takes note of a place in the queue: where there is none, it is gone.
func (w *world) queued(i int, r *refusal.Refusal) {
	w.line = slices.DeleteFunc(w.line, func(p place) bool { return p.until <= w.now })
	at := slices.IndexFunc(w.line, func(p place) bool { return p.who == i })
	var q Waiting
	if r != nil {
		q, _ = r.Details["queue"].(Waiting)
	}
	switch {
	case q.Place == 0 && at >= 0:
		w.line = slices.Delete(w.line, at, at+1)
	case q.Place == 0:
	case at < 0:
		at = len(w.line)
		w.line = append(w.line, place{i, 0})
		fallthrough
	default:
		if q.Place != at+1 {
			w.fail("%s is told that it is number %d, and is number %d", name(i), q.Place, at+1)
		}
		w.line[at].until = w.now + keeps
	}
}

func name(i int) string { return [...]string{"A", "B"}[i] }

// send puts an answer where it waits for the disk, in place of an earlier one for
// the same asker: who is told later when it asked stops sooner.
func (x *explorer) send(w *world, a any) {
	w.out = slices.DeleteFunc(slices.Clone(w.out), func(o any) bool {
		r, isReply := o.(reply)
		q, toProgram := a.(reply)
		if isReply && toProgram {
			return r.lease == q.lease
		}
		b, isBox := o.(boxAnswer)
		c, toBox := a.(boxAnswer)
		return isBox && toBox && b.box == c.box
	})
	if w.out = append(w.out, a); !x.syncFirst {
		x.deliver(w)
	}
}

func (x *explorer) deliver(w *world) {
	for _, a := range w.out {
		switch a := a.(type) {
		case reply:
			i := 0
			if strings.HasPrefix(string(a.lease), "B") {
				i = 1
			}
			w.reply[i] = a
		case boxAnswer:
			w.boxed[a.box] = a.boxReply
			if got := &w.box[a.box].got[a.file]; a.lease != "" {
				if *got != "" && *got != a.lease && !w.lostAt {
					w.fail("a file got a second loan")
				}
				*got = a.lease
			}
		}
	}
	w.out = nil
}

type boxAnswer struct {
	box int
	boxReply
}

func (x *explorer) sync(w *world) {
	w.write(w.pending)
	x.deliver(w)
}

// write puts records on disk; the others that were pending are gone.
func (w *world) write(records []Record) {
	w.disk = w.disk.clone()
	for _, r := range records {
		if err := w.disk.Replay(r); err != nil {
			w.fail("the disk cannot be replayed: %v", err)
		}
	}
	w.pending = nil
}

// step is one thing that can happen.
type step struct {
	name string
	do   func(w *world)
}

func (x *explorer) next(w *world) (steps []step) {
	add := func(name string, do func(w *world)) { steps = append(steps, step{name, do}) }
	if len(w.pending) > 2 { // a server that is busy syncs
		add("sync", x.sync)
		for k := range len(w.pending) + 1 {
			if w.crashes < x.crashes {
				add(fmt.Sprintf("crash, %d of %d records on disk", k, len(w.pending)), func(w *world) { x.crash(w, k) })
			}
		}
		return steps
	}
	if x.ticks == 0 || w.now < x.ticks {
		add("time passes", func(w *world) {
			w.now++
			x.record(w, w.e.Tick(w.wall()))
			if p := w.e.pools[poolKey{"S", "L"}]; !x.noEnd && w.e.lost.settled && w.wall() >= w.e.loansKnown(p) {
				w.e.lost = loss{}
			}
		})
	}
	if len(w.pending)+len(w.out) > 0 {
		add("sync", x.sync)
	}
	if w.crashes < x.crashes {
		for k := range len(w.pending) + 1 {
			add(fmt.Sprintf("crash, %d of %d records on disk", k, len(w.pending)), func(w *world) { x.crash(w, k) })
		}
	}
	if w.losses < x.losses {
		add("crash, and the disk is lost", x.lose)
	}
	if w.steps < x.steps {
		add("the server's clock is set", func(w *world) {
			w.steps++
			by := 2 - 2*w.behind // 2 sets it back, -2 sets it right
			w.behind += by
			if x.clockMoved {
				w.e.ClockMoved(-license.Duration(by * int(tick)).Go())
			}
		})
		add("crash, and the server's clock is set meanwhile", func(w *world) {
			w.steps++
			w.behind = 2 - w.behind
			x.crash(w, 0)
		})
	}
	for i := range w.prog {
		if x.claims[i] > 0 {
			x.program(w, i, add)
		}
	}
	for i := range w.box {
		if x.files > 0 && (i == 0 || x.second) {
			x.borrower(w, i, add)
		}
	}
	return steps
}

func (x *explorer) crash(w *world, k int) {
	w.crashes++
	w.write(w.pending[:k])
	w.out, w.line = nil, nil
	x.boot(w)
}

// boot starts the server from its disk, which is compacted at the same time.
func (x *explorer) boot(w *world) {
	records := w.disk.Snapshot()
	for _, e := range []**Engine{&w.e, &w.disk} {
		*e = x.emptyEngine()
		for _, r := range records {
			if err := (*e).Replay(r); err != nil {
				w.fail("the snapshot cannot be replayed: %v", err)
			}
		}
		(*e).SetSources(w.wall(), []Source{x.source()})
		if x.obeysRules {
			(*e).SetRules(x.parsed())
		}
		if !x.recounts {
			clear((*e).used)
		}
	}
	if x.recover {
		w.e.Recover(w.wall())
	}
}

func (x *explorer) lose(w *world) {
	w.losses++
	w.lostAt = true
	w.pending, w.out, w.line = nil, nil, nil
	w.disk = x.engine()
	if x.wait {
		w.disk.Uncertain(w.wall(), ttl)
	}
	x.boot(w)
}

func (x *explorer) claim(w *world, i int) {
	p := &w.prog[i]
	nonce := fmt.Sprint(p.claims)
	if !x.sameNonce {
		w.minted++
		nonce = fmt.Sprint(p.claims, w.minted)
	}
	x.twist(w, x.inLine)
	free, ahead := w.e.Pools(w.wall())[0].Free, w.ahead(name(i))
	g, records, r := w.e.Claim(w.wall(), x.caller(i), Claim{Product: "P", Nonce: nonce, Wait: x.waits}, w.mint(fmt.Sprintf("%s%d", name(i), p.claims)))
	x.record(w, records)
	if x.waits {
		if r != nil && free > 0 && len(ahead) == 0 && !w.lostAt {
			w.fail("a seat is kept for nobody")
		}
		w.queued(i, r)
	}
	if r == nil {
		x.send(w, reply{p.claims, w.now, g.Lease.ID, g.Token})
	}
}

// twist is the faults of the queue and of rules.
func (x *explorer) twist(w *world, inLine bool) {
	if !inLine && w.e.Pools(w.wall())[0].Free > 0 {
		clear(w.e.queues)
	}
	if !x.limits {
		clear(w.e.used)
	}
	if !x.reserves {
		clear(w.e.reserves)
	}
	for _, q := range w.e.queues {
		for _, one := range q.waiting {
			if !x.lapses {
				one.until, q.earliest = w.e.up(w.wall())+maxTime, w.e.up(w.wall())+maxTime
			}
		}
	}
}

func (x *explorer) caller(i int) Caller {
	return Caller{Local: true, Admin: x.moves != "", Client: Client{ID: name(i), Host: name(i), User: name(i)}}
}

// uses says whether a program uses its seat.
func (x *explorer) uses(w *world, i int) bool {
	p := &w.prog[i]
	length := StopAfter(ttl)
	if !x.stops {
		length = ttl + 2*tick
	}
	return p.has && license.Duration(w.now-p.sent)*tick < length
}

func (x *explorer) program(w *world, i int, add func(string, func(*world))) {
	p := &w.prog[i]
	n := name(i)
	if !p.has && (p.asks || p.claims < x.claims[i]) {
		add(n+" claims", func(w *world) {
			if p := &w.prog[i]; !p.asks {
				p.asks = true
				p.claims++
			}
			x.claim(w, i)
		})
	}
	if a := w.reply[i]; a.lease != "" && p.asks && a.claim == p.claims {
		add(n+" gets its seat", func(w *world) {
			p := &w.prog[i]
			p.asks, p.has, p.lease, p.token, p.sent = false, true, a.lease, a.token, a.sent
			if !x.fromSending {
				p.sent = w.now
			}
			if x.uses(w, i) {
				p.released = -1
			}
		})
	}
	if x.uses(w, i) {
		x.running(w, i, add)
	}
	if p.gone != "" {
		add(n+"'s release comes", func(w *world) {
			p := &w.prog[i]
			records, r := w.e.Release(w.wall(), p.gone, p.goneT)
			x.record(w, records)
			if r == nil {
				p.released = w.now
			}
		})
	}
}

func (x *explorer) running(w *world, i int, add func(string, func(*world))) {
	n := name(i)
	for _, lost := range []bool{false, true} {
		add(fmt.Sprintf("%s extends, its answer lost: %v", n, lost), func(w *world) {
			p := &w.prog[i]
			_, r := w.e.Extend(w.wall(), p.lease, p.token, "")
			switch {
			case r == nil && !lost:
				p.sent = w.now
			case r != nil && r.Code == refusal.LeaseLost && !w.lostAt && !x.converted(w, p.lease):
				w.fail("Inv32: a running session is gone")
			}
		})
	}
	add(n+" ends", func(w *world) {
		p := &w.prog[i]
		p.gone, p.goneT = p.lease, p.token
		p.has, p.lease, p.token = false, "", Token{}
	})
	if w.prog[i].claims < x.claims[i] {
		add(n+" is killed", func(w *world) {
			p := &w.prog[i]
			p.has, p.lease, p.token = false, "", Token{}
		})
	}
	add("a stranger releases and extends the session of "+n, func(w *world) {
		t := Token{}
		if !x.token {
			t = w.prog[i].token
		}
		records, r := w.e.Release(w.wall(), w.prog[i].lease, t)
		x.record(w, records)
		if r == nil {
			w.fail("somebody ended another's session")
		}
		if _, r := w.e.Extend(w.wall(), w.prog[i].lease, t, ""); r == nil {
			w.fail("somebody extended another's session")
		}
	})
}

// converted says whether a file asked to make a session a loan.
func (x *explorer) converted(w *world, id LeaseID) bool {
	return slices.ContainsFunc(w.box[0].files, func(f LoanWish) bool { return f.Session == id })
}

func holder(i int) license.Serial { return license.Serial([...]string{"H", "K"}[i]) }

func (x *explorer) borrower(w *world, i int, add func(string, func(*world))) {
	b := &w.box[i]
	n := string(holder(i))
	if len(b.files) < x.files {
		write := func(what string, f LoanWish) {
			add(n+" makes a file: "+what, func(w *world) {
				b := &w.box[i]
				f.Nonce = fmt.Sprint(len(b.files) + 1)
				if f.Kind != "" {
					f.Number = uint64(len(b.files) + 1)
				}
				f.Client = Client{ID: n}
				f.Returned = slices.Clone(b.returned)
				if b.loan != "" {
					f.Holds = []Held{{Lease: b.loan, Until: b.until}}
				}
				b.files = append(b.files, f)
				b.awaits = len(b.files)
			})
		}
		if b.loan == "" {
			if x.moves != "" {
				write("move a seat", LoanWish{Product: "P", Kind: Transfer, Seats: 1})
			}
			if x.moves == license.MovesWhole {
				write("move what is left", LoanWish{Product: "P", Kind: Transfer})
			}
			write("borrow", LoanWish{Product: "P", Kind: Loan, For: lendFor})
			if p := &w.prog[0]; i == 0 && p.has && x.uses(w, 0) {
				write("the running session of A", LoanWish{Kind: Loan, For: lendFor, Session: p.lease, Token: p.token.Text()})
			}
		} else if b.until != 0 {
			write("extend", LoanWish{Kind: Loan, For: lendFor, Extend: b.loan})
			if !x.second {
				return
			}
		}
		if len(b.returned) > 0 {
			write("confirm", LoanWish{})
		}
	}
	if b.loan != "" {
		add(n+" gives back", func(w *world) {
			b := &w.box[i]
			b.returned = append(b.returned, b.loan)
			b.everBack = append(b.everBack, b.loan)
			if x.removesFirst {
				b.loan, b.until, b.seats = "", 0, 0
			}
		})
	}
	for k := range b.files {
		add(fmt.Sprintf("%s's file %d comes", n, k+1), func(w *world) { x.lend(w, i, k) })
	}
	if a := w.boxed[i]; a.file != 0 && b.awaits == a.file {
		add(n+" takes the answer", func(w *world) {
			b := &w.box[i]
			b.awaits = 0
			b.returned = slices.DeleteFunc(b.returned, func(id LeaseID) bool { return strings.Contains(a.returned, string(id)+" ") })
			if a.lease == "" || slices.Contains(b.everBack, a.lease) {
				return
			}
			b.loan, b.until, b.seats = a.lease, a.until, a.seats
			if s := b.files[a.file-1].Session; s != "" && w.prog[0].lease == s {
				w.prog[0].has, w.prog[0].lease, w.prog[0].token = false, "", Token{}
			}
		})
	}
	if x.second && i == 1 && w.box[0].loan != "" {
		add("K says that it returns and extends the loan of H", func(w *world) { x.foreign(w) })
	}
}

// lend hands a file over.
func (x *explorer) lend(w *world, i, k int) {
	f := w.box[i].files[k]
	if !x.remembersWish {
		clear(w.e.answered)
		w.e.old = nil
	}
	if s := f.Session; s != "" && !x.atomic {
		t, _ := ParseToken(f.Token)
		records, _ := w.e.Release(w.wall(), s, t)
		x.record(w, records)
		f.Session, f.Token, f.Product = "", "", "P"
	}
	x.twist(w, x.loansWait)
	a, records := w.e.Lend(w.wall(), x.caller(i), Borrower{holder(i), []byte("key"), license.Machine}, f, w.mint(fmt.Sprintf("%s%d", holder(i), k+1)))
	x.record(w, records)
	r := boxReply{file: k + 1}
	for _, id := range a.Returned {
		r.returned += string(id) + " "
	}
	if a.Granted != nil {
		r.lease, r.until, r.seats = a.Granted.Lease.ID, a.Granted.Lease.Until, a.Granted.Lease.Seats
	}
	x.send(w, boxAnswer{i, r})
	if f.Extend != "" && a.Granted != nil && !w.lostAt && w.e.leases[f.Extend] == nil {
		w.fail("a loan that was extended is not there")
	}
}

// foreign is somebody who knows the name of another's loan.
func (x *explorer) foreign(w *world) {
	who := holder(1)
	if !x.holder {
		who = holder(0)
	}
	a, records := w.e.Lend(w.wall(), x.caller(1), Borrower{who, []byte("key"), license.Machine}, LoanWish{Nonce: "f", Returned: []LeaseID{w.box[0].loan}}, w.mint("x"))
	if len(records) > 0 || len(a.Returned) > 0 && w.e.leases[w.box[0].loan] != nil {
		x.record(w, records)
		w.fail("somebody returned another's loan")
	}
	if who = holder(1); !x.extendIsHers {
		who = holder(0)
	}
	a, records = w.e.Lend(w.wall(), x.caller(1), Borrower{who, []byte("key"), license.Machine}, LoanWish{Nonce: "g", Number: 9, Kind: Loan, For: lendFor, Extend: w.box[0].loan}, w.mint("x"))
	if a.Granted != nil {
		x.record(w, records)
		w.fail("somebody extended another's loan")
	}
}

// check is what must hold in every state.
func (x *explorer) check(w *world) {
	used := int64(0)
	for i := range w.prog {
		if x.uses(w, i) {
			used++
		}
	}
	onLoan := int64(0)
	for i := range w.box {
		switch b := &w.box[i]; {
		case b.loan == "":
		case b.until == 0:
			used += b.seats
		case w.true() < b.until:
			used += b.seats
			onLoan++
		}
	}
	if used > x.seats {
		w.fail("Inv31, Inv33: %d use %d seats", used, x.seats)
	}
	if onLoan > 1 {
		w.fail("N20: more is on loan than the vendor allows")
	}
	for _, v := range w.e.Pools(w.wall()) {
		if v.Free < 0 || v.Leased < 0 || v.Lent < 0 || v.Free+v.Leased+v.Lent != v.Seats {
			w.fail("Inv31: free %d, leased %d, lent %d of %d", v.Free, v.Leased, v.Lent, v.Seats)
		}
	}
	wishes := map[string]int{}
	for _, l := range w.e.leases {
		k := fmt.Sprint(l.client.ID, l.nonce)
		if !x.sameNonce {
			k = strings.SplitN(string(l.id), "/", 2)[0]
		}
		if wishes[k]++; wishes[k] > 1 && !l.lingers {
			w.fail("Inv16: one wish has two seats")
		}
		if l.loan != nil && slices.Contains(w.box[slices.Index([]license.Serial{"H", "K"}, l.loan.holder)].everBack, l.id) {
			continue
		}
	}
	if w.lostAt || w.broken != "" {
		return
	}
	for i := range w.prog {
		p := &w.prog[i]
		if x.uses(w, i) && w.disk.leases[p.lease] == nil && !x.converted(w, p.lease) {
			w.fail("Inv32: a seat is used that is not on disk")
		}
	}
}

// forget takes out what can no longer make a difference.
func (x *explorer) forget(w *world) {
	for i := range w.prog {
		p := &w.prog[i]
		if p.has && !x.uses(w, i) {
			p.has, p.lease, p.token = false, "", Token{}
		}
		if p.released >= 0 && w.now >= p.released+2 {
			p.released = -1
		}
		if !w.known(p.gone) {
			p.gone, p.goneT = "", Token{}
		}
		if a := &w.reply[i]; !p.asks || a.claim != p.claims {
			*a = reply{}
		}
		if b := &w.box[i]; b.loan != "" && b.until != 0 && b.until <= w.true() && !w.known(b.loan) {
			b.loan, b.until, b.seats = "", 0, 0 // over on both sides
		}
		if w.boxed[i].file != w.box[i].awaits {
			w.boxed[i] = boxReply{}
		}
	}
}

func (w *world) known(id LeaseID) bool {
	return w.e.leases[id] != nil || w.disk.leases[id] != nil || slices.ContainsFunc(w.pending, func(r Record) bool { return r.Lease.ID == id })
}

// print is a name for the state: two that are alike have one, also at different
// times.
func (x *explorer) print(w *world) [32]byte {
	b := make([]byte, 0, 1024)
	number := func(ns ...int) {
		for _, n := range ns {
			b = binary.AppendVarint(b, int64(n))
		}
	}
	text := func(ss ...string) {
		for _, s := range ss {
			b = append(binary.AppendVarint(b, int64(len(s))), s...)
		}
	}
	since := func(t license.Time) int { return int(long(t - w.true())) }
	if x.ticks > 0 {
		number(w.now)
	}
	number(w.behind, w.crashes, w.losses, w.steps, w.minted, len(w.out), len(w.pending))
	b = strconv.AppendBool(b, w.lostAt)
	for i := range w.prog {
		p, r, d, box := &w.prog[i], &w.reply[i], &w.boxed[i], &w.box[i]
		b = strconv.AppendBool(strconv.AppendBool(b, p.asks), p.has)
		number(p.claims, r.claim, d.file, box.awaits, len(box.files), len(box.returned), len(box.everBack))
		for _, x := range []struct {
			counts bool
			since  int
		}{{p.has, w.now - p.sent}, {p.released >= 0, w.now - p.released}, {r.lease != "", min(5, w.now-r.sent)}, {d.until != 0, since(d.until)}, {box.until != 0, since(box.until)}} {
			if b = strconv.AppendBool(b, x.counts); x.counts {
				number(x.since)
			}
		}
		text(string(p.lease), string(p.gone), string(r.lease), string(d.lease), d.returned, string(box.loan), string(box.got[1]), string(box.got[2]))
		for _, f := range box.files {
			text(string(f.Kind), f.Product, string(f.Extend), string(f.Session))
			number(len(f.Returned), len(f.Holds), int(f.Seats))
		}
		for _, id := range append(box.returned[:len(box.returned):len(box.returned)], box.everBack...) {
			text(string(id))
		}
	}
	for _, p := range w.line {
		number(p.who, max(0, p.until-w.now))
	}
	for _, o := range w.out {
		switch o := o.(type) {
		case reply:
			number(o.claim, min(5, w.now-o.sent))
			text(string(o.lease))
		case boxAnswer:
			number(o.box, o.file, since(o.until))
			text(string(o.lease), o.returned)
		}
	}
	for _, r := range w.pending {
		number(int(r.Kind), int(r.How), int(long(r.Lease.Until-w.wall())), int(r.TTL))
		text(string(r.Lease.ID), string(r.Replaces), r.Lease.Nonce)
	}
	b = w.e.print(b, w.wall(), true)
	return sha256.Sum256(w.disk.print(b, w.wall(), !x.recover))
}

// long is the time to a moment; what is long past is all alike.
func long(t license.Time) license.Time { return max(t, -plus(0, 6*tick)) }

// print names what the engine knows, fences aside, and until when sessions last
// only where that counts.
func (e *Engine) print(b []byte, now license.Time, sessions bool) []byte {
	for _, id := range slices.Sorted(maps.Keys(e.leases)) {
		l := e.leases[id]
		b = append(append(b, '|'), l.id...)
		b = append(append(b, '|'), l.nonce...)
		switch {
		case l.kind != Session:
			b = binary.AppendVarint(binary.AppendVarint(b, int64(long(l.until-now))), int64(long(l.due-now)))
		case sessions || l.lingers:
			b = binary.AppendVarint(binary.AppendVarint(b, int64(long(l.until-e.up(now)))), int64(long(l.due-e.up(now))))
		}
		b = strconv.AppendBool(b, l.lingers)
	}
	if q := e.queues["P"]; q != nil {
		for _, w := range q.waiting {
			b = append(binary.AppendVarint(b, int64(max(0, w.until-e.up(now)))), w.who.Client.ID...)
		}
	}
	for _, w := range e.old { // in the order of their time
		b = append(append(b, w[:]...), e.answered[w].lease...)
	}
	if b = strconv.AppendBool(b, e.lost.settled); e.lost.since != 0 {
		b = binary.AppendVarint(b, int64(long(e.lost.since-now)))
		if !e.lost.settled {
			b = binary.AppendVarint(b, int64(max(0, e.lost.sessions-e.up(now))))
		}
	}
	return b
}

// clone is a copy that shares nothing that changes.
func (e *Engine) clone() *Engine {
	c := *e
	c.pools, c.products, c.leases, c.wishes = map[poolKey]*pool{}, map[string][]*pool{}, map[LeaseID]*lease{}, map[Wish]*lease{}
	c.queues, c.used, c.answered, c.old = map[string]*queue{}, maps.Clone(e.used), maps.Clone(e.answered), slices.Clone(e.old)
	c.reserves, c.forgotten = maps.Clone(e.reserves), maps.Clone(e.forgotten)
	for product, q := range e.queues {
		c.queues[product] = &queue{earliest: q.earliest}
		for _, w := range q.waiting {
			one := *w
			c.queues[product].waiting = append(c.queues[product].waiting, &one)
		}
	}
	leases := map[*lease]*lease{}
	for k, p := range e.pools {
		q := *p
		q.stations, q.idle = map[station]*stationSeat{}, map[idleKey][]*lease{}
		for s, seat := range p.stations {
			cp := *seat
			q.stations[s] = &cp
		}
		c.pools[k] = &q
	}
	for id, l := range e.leases {
		m := *l
		m.pool = c.pools[l.pool.key]
		if l.loan != nil {
			loan := *l.loan
			m.loan = &loan
		}
		leases[l] = &m
		c.leases[id] = &m
	}
	for k, p := range e.pools {
		q := c.pools[k]
		for _, h := range []*heap{&q.sessions, &q.dated} {
			*h = slices.Clone(*h)
			for i := range *h {
				(*h)[i].l = leases[(*h)[i].l]
			}
		}
		for ik, list := range p.idle {
			for _, l := range list {
				q.idle[ik] = append(q.idle[ik], leases[l])
			}
		}
	}
	for product, list := range e.products {
		for _, p := range list {
			c.products[product] = append(c.products[product], c.pools[p.key])
		}
	}
	for k, l := range e.wishes {
		c.wishes[k] = leases[l]
	}
	return &c
}

// walk goes through all states, nearest first, and stops at the first that is
// broken.
func (x *explorer) walk(t *testing.T, most int) (states int, broken string, trace []string) {
	type node struct {
		w      *world
		parent int32
		step   string
	}
	first := &world{e: x.engine(), disk: x.engine()}
	for i := range first.prog {
		first.prog[i].released = -1
	}
	seen := map[[32]byte]bool{x.print(first): true}
	nodes := []node{{first, -1, ""}}
	for i := 0; i < len(nodes); i++ {
		w := nodes[i].w
		for _, s := range x.next(w) {
			c := w.clone()
			s.do(c)
			if x.crashes+x.losses == 0 && len(c.pending)+len(c.out) > 0 {
				x.sync(c) // where nothing goes wrong with the disk, when it is written makes no difference
			}
			x.check(c)
			if c.broken != "" {
				trace = append(trace, s.name)
				for k := int32(i); k > 0; k = nodes[k].parent {
					trace = append(trace, nodes[k].step)
				}
				slices.Reverse(trace)
				return len(nodes), c.broken, trace
			}
			x.forget(c)
			if k := x.print(c); !seen[k] {
				seen[k] = true
				nodes = append(nodes, node{c, int32(i), s.name})
			}
		}
		nodes[i].w = nil
		if len(nodes) > most {
			if x.open {
				t.Logf("there are more than %d states", most)
				return len(nodes), "", nil
			}
			t.Fatalf("more than %d states", most)
		}
	}
	return len(nodes), "", nil
}

var (
	sessions = scope{name: "sessions and crashes", seats: 1, claims: [2]int{1, 1}, crashes: 1}
	again    = scope{name: "sessions, one after the other", seats: 1, claims: [2]int{2, 2}}
	clocks   = scope{name: "sessions and a server's clock that is set", seats: 1, claims: [2]int{1, 1}, steps: 2}
	idling   = scope{name: "sessions that linger", seats: 1, claims: [2]int{1, 1}, lingers: true}
	loans    = scope{name: "two borrowers", seats: 1, files: 2, second: true}
	files    = scope{name: "one borrower and crashes", seats: 1, files: 2, crashes: 1}
	becomes  = scope{name: "a session becomes a loan", seats: 1, claims: [2]int{1, 1}, files: 1}
	lostSeat = scope{name: "the disk is lost, sessions", seats: 1, claims: [2]int{1, 1}, losses: 1}
	lostLoan = scope{name: "the disk is lost, loans", seats: 1, claims: [2]int{1, 0}, files: 1, losses: 1}
	ending   = scope{name: "the license ends", seats: 1, ticks: 5, files: 2, ends: 4, steps: 1}
	two      = scope{name: "two seats, one of them lent", seats: 2, claims: [2]int{1, 0}, files: 1, second: true}

	waiting  = scope{name: "who waits", seats: 1, claims: [2]int{2, 2}, waits: true}
	waitLoan = scope{name: "who waits, and a borrower", seats: 1, claims: [2]int{1, 1}, files: 1, waits: true}
	denying  = scope{name: "a rule denies", seats: 1, claims: [2]int{1, 1}, crashes: 1, rules: access{text: "allow\ndeny user=B", denied: "B"}}
	limiting = scope{name: "a rule limits", seats: 2, claims: [2]int{2, 0}, crashes: 1, rules: access{text: "allow\nallow user=A limit=1", limit: 1}}
	keeping  = scope{name: "a rule keeps a seat", seats: 2, claims: [2]int{1, 2}, rules: access{text: "allow\nallow user=A reserve=1", reserve: 1}}
	moving   = scope{name: "a seat moves for good", seats: 1, claims: [2]int{1, 0}, files: 2, moves: license.MovesSeats}
	together = scope{name: "seats move together", seats: 2, claims: [2]int{1, 0}, files: 2, moves: license.MovesWhole}
	lostMove = scope{name: "the disk is lost, seats that move", seats: 1, claims: [2]int{1, 0}, files: 1, losses: 1, moves: license.MovesSeats}

	// With LICET_TEST_LONG=1.
	handover = scope{name: "a session becomes a loan, and crashes", seats: 1, claims: [2]int{1, 0}, files: 1, crashes: 1}
	idleness = scope{name: "sessions that linger, and crashes", seats: 1, claims: [2]int{1, 1}, crashes: 1, lingers: true}
	lossy    = scope{name: "the disk is lost, sessions and loans", seats: 1, claims: [2]int{2, 0}, files: 1, losses: 1}
	handing  = scope{name: "a session becomes a loan beside another, and crashes", seats: 1, claims: [2]int{1, 1}, files: 1, crashes: 1, open: true}
	lossier  = scope{name: "the disk is lost, sessions of two and loans", seats: 1, claims: [2]int{1, 1}, files: 1, losses: 1, open: true}
	crashing = scope{name: "two crashes", seats: 1, claims: [2]int{2, 1}, crashes: 2}
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // what is visited is never let go of
	os.Exit(m.Run())
}

func TestEveryState(t *testing.T) {
	scopes := []scope{sessions, again, clocks, idling, loans, files, becomes, lostSeat, lostLoan, ending, two, waiting, waitLoan, denying, limiting, keeping, moving, together, lostMove}
	if os.Getenv("LICET_TEST_LONG") == "1" {
		scopes = append(scopes, handover, idleness, lossy, crashing, handing, lossier)
	}
	for _, s := range scopes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			states, broken, trace := (&explorer{s, allLaws}).walk(t, 1_000_000)
			t.Logf("%d states", states)
			if broken != "" {
				t.Errorf("%s\n%s", broken, strings.Join(trace, "\n"))
			}
		})
	}
}

func TestMutants(t *testing.T) {
	for _, m := range []struct {
		name   string
		in     scope
		breaks string
		mutate func(*laws)
	}{
		{"R26 answered before it is durable", sessions, "Inv32", func(l *laws) { l.syncFirst = false }},
		{"R26 no extra period after a restart", sessions, "Inv3", func(l *laws) { l.recover = false }},
		{"R26 any token ends a session", sessions, "another's session", func(l *laws) { l.token = false }},
		{"R26 the same wish gets a second seat", two, "Inv16", func(l *laws) { l.sameNonce = false }},
		{"R26 a wish is forgotten", loans, "second loan", func(l *laws) { l.remembersWish = false }},
		{"R26 a session and its loan are two records", handing, "", func(l *laws) { l.atomic = false }},
		{"R26 a session's seat is free before its end", sessions, "Inv3", func(l *laws) { l.sessionLength = false }},
		{"R27 no wait after a loss", lostSeat, "Inv31", func(l *laws) { l.wait = false }},
		{"R27 no wait for loans after a loss", lostLoan, "Inv31", func(l *laws) { l.wait = false }},
		{"Inv31 the clock is set and nobody says so", clocks, "Inv3", func(l *laws) { l.clockMoved = false }},
		{"Inv31 a program counts from the answer", sessions, "Inv3", func(l *laws) { l.fromSending = false }},
		{"Inv31 a program does not stop before its end", sessions, "Inv3", func(l *laws) { l.stops = false }},
		{"Inv33 a loan's seat is free before its date", loans, "Inv31", func(l *laws) { l.loanDate = false }},
		{"Inv33 anybody returns a loan", loans, "another's loan", func(l *laws) { l.holder = false }},
		{"Inv33 anybody extends a loan", loans, "another's loan", func(l *laws) { l.extendIsHers = false }},
		{"Inv33 returned before it is removed", loans, "Inv31", func(l *laws) { l.removesFirst = false }},
		{"Inv34 a loan outlasts its license", ending, "Inv34", func(l *laws) { l.licenseEnd = false }},
		{"N20 more lent than allowed", two, "N20", func(l *laws) { l.lendNumber = false }},
		{"somebody overtakes who waits", waiting, "overtaken", func(l *laws) { l.inLine = false }},
		{"a borrower overtakes who waits", waitLoan, "H has overtaken", func(l *laws) { l.loansWait = false }},
		{"a place never lapses", waiting, "kept for nobody", func(l *laws) { l.lapses = false }},
		{"rules are gone after a restart", denying, "denies", func(l *laws) { l.obeysRules = false }},
		{"nothing counts for a limit", limiting, "limit", func(l *laws) { l.limits = false }},
		{"a limit begins anew after a restart", limiting, "limit", func(l *laws) { l.recounts = false }},
		{"nothing is kept", keeping, "keeps for others", func(l *laws) { l.reserves = false }},
		{"Inv31 what has moved is given out", moving, "Inv31", func(l *laws) { l.movedCounts = false }},
		{"what moves together moves in parts", together, "as a whole", func(l *laws) { l.whole = false }},
		{"R27 what has moved is free after a loss", lostMove, "Inv31", func(l *laws) { l.noEnd = false }},
		{"a released seat does not linger", idling, "lingered", func(l *laws) { l.linger = false }},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			l := allLaws
			m.mutate(&l)
			states, broken, trace := (&explorer{m.in, l}).walk(t, 1_000_000)
			if broken == "" || !strings.Contains(broken, m.breaks) {
				t.Fatalf("not caught in %d states, or as something else: %q\n%s", states, broken, strings.Join(trace, "\n"))
			}
			t.Logf("caught in %d steps, %d states: %s\n%s", len(trace), states, broken, strings.Join(trace, "\n"))
		})
	}
}
