package sdk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
	"licet/wire"
)

// ErrClosed says that the session was closed.
var ErrClosed = errors.New("sdk: the session is closed")

const (
	// settled is how long an answer is taken from memory before the computer's
	// clock is looked at again: while a computer sleeps, only that goes on.
	settled = time.Second
	// retry is the time to the next look after one that failed.
	retry = time.Minute
	// shortest is the least time between two looks that the session makes itself.
	shortest = 50 * time.Millisecond
)

// Session is one program's view of its license. Its methods may be called at
// the same time; Valid and Feature are made to be called anywhere, any time.
type Session struct {
	witness witness
	clock   *clock
	start   time.Time     // of the session, by the computer's clock
	steady  bool          // the clock is the computer's, so that time.Since tells how it went on
	refresh time.Duration // between two looks; less than 0: never

	judged  atomic.Pointer[judgment]
	looking chan struct{} // holds a token while somebody looks
	network *network      // used by whoever looks
	noted   license.Time  // when the time was last noted for a loan; used by whoever looks

	publishing sync.Mutex // guards what follows and every change of judged
	closed     bool
	changed    chan struct{}
	news       chan struct{} // closed at the next judgment, for Wait

	life context.Context
	stop func()
	done sync.WaitGroup
}

// judgment is what was concluded from a piece of evidence. Only fresh changes.
type judgment struct {
	evidence evidence
	failed   error // why a later look brought nothing

	verdict terms.Verdict
	soon    bool         // what is borrowed ends soon
	until   license.Time // when it must be thought over; 0 means never
	fresh   atomic.Int64 // until this time since the session's start it holds for certain
}

// Open looks for a license once and keeps looking until Close. An error means
// that the program called it wrongly, such as with a trust file that cannot be
// read; that there is no license is not an error, but the session's verdict.
// ctx bounds the first look.
func Open(ctx context.Context, p Product, opts ...Option) (*Session, error) {
	w, err := newWitness(p)
	if err != nil {
		return nil, err
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("sdk: %w", err)
	}
	w.config = o.agent
	if o.brings {
		if err := w.bring(o.blocks); err != nil {
			return nil, err
		}
	}
	s := &Session{
		witness: w, refresh: o.refresh, steady: o.agent.Now == nil, start: time.Now(),
		looking: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		news: make(chan struct{}),
	}
	s.network = newNetwork(&s.witness, o)
	s.life, s.stop = context.WithCancel(context.Background())
	if s.steady {
		s.clock = newClock(time.Now, func() time.Duration { return time.Since(s.start) })
	} else {
		s.clock = newClock(o.agent.Now, func() time.Duration { return 0 })
	}
	now, _ := s.clock.now()
	s.judged.Store(s.conclude(because(refusal.Internal, "The licenses on this machine have not been looked at yet.", "Try again in a moment."), nil, now))
	_ = s.Refresh(ctx) // the verdict says what went wrong
	select {
	case <-s.changed: // the first verdict is no change
	default:
	}
	if s.refresh > 0 {
		s.done.Go(func() { s.watch(s.life) })
	}
	return s, nil
}

func newWitness(p Product) (witness, error) {
	trust, err := seal.ParseTrust(p.Trust)
	if err != nil {
		return witness{}, fmt.Errorf("sdk: the program's trust file: %w", err)
	}
	verifier, err := seal.NewVerifier(trust)
	if err != nil {
		return witness{}, fmt.Errorf("sdk: the program's trust file: %w", err)
	}
	if p.Code == "" {
		return witness{}, errors.New("sdk: the program names no product")
	}
	if p.Version != "" {
		if _, err := terms.ParseVersion(p.Version); err != nil {
			return witness{}, fmt.Errorf("sdk: the program's version: %w", err)
		}
	}
	return witness{
		product: p.Code, verifier: verifier, trust: slices.Clone(p.Trust), heard: slices.Clone(p.Trust),
		use: terms.Use{Features: slices.Clone(p.Features), Version: p.Version, BuildDate: license.At(p.BuildDate)},
	}, nil
}

// Valid reports whether the program may run now. It answers from memory, and
// turns false by itself at the license's end.
func (s *Session) Valid() bool { return s.current().verdict.Valid }

// Feature reports whether the program may run now and the license includes a
// feature.
func (s *Session) Feature(name string) bool {
	j := s.current()
	return j.verdict.Valid && slices.Contains(j.evidence.body.Features, name)
}

// Verdict is the whole answer as of now.
func (s *Session) Verdict() Verdict {
	j := s.judged.Load()
	if j.evidence.proven {
		now, behind := s.clock.now()
		j = s.conclude(j.evidence, j.failed, now)
		if behind > terms.ClockTolerance {
			j.verdict.Warnings = append(j.verdict.Warnings, Reason{Code: ClockBehind,
				Message: "The computer's clock was set back while the program runs; the time that went by counts all the same."})
		}
	}
	return j.tell()
}

// Changed signals, with a value, that the verdict may have changed: valid or
// not, its code, its grace, its license. It is closed by Close. Several changes
// in a row may give one value.
func (s *Session) Changed() <-chan struct{} { return s.changed }

// Refresh looks again now. The error says that it could not be told what is on
// the machine; the verdict stands then, until its own end, and names the failure
// as a warning.
func (s *Session) Refresh(ctx context.Context) error {
	return s.alone(ctx, func() error { return s.look(ctx) })
}

// alone runs fn while nobody else looks.
func (s *Session) alone(ctx context.Context, fn func() error) error {
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.ended() {
		return ErrClosed
	}
	err := fn()
	if s.ended() {
		s.network.close() // what was taken meanwhile
	}
	return err
}

func (s *Session) ended() bool {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	return s.closed
}

// look looks at the machine, and where that brings nothing that may be used, at the
// network. What was on loan or leased and is not needed any more goes back.
func (s *Session) look(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err // nobody waits for it any more, which says nothing of the license
	}
	now, _ := s.clock.now()
	found, err := s.witness.look(ctx, now)
	old := s.judged.Load()
	switch {
	case err == nil && found.judge(s.witness.use, now).Valid:
		s.network.settled(ctx)
		s.noteTime(ctx, found, now)
	case err != nil && old.evidence.proven && old.evidence.seat == nil && old.evidence.judge(s.witness.use, now).Valid:
		// What was seen on the machine counts, until its own end.
	case s.network.off:
		if err == nil && !found.proven && found.reasons[0].Code == NoLicense {
			found = because(NoLicense, "No seat has been taken: the program runs without a license.", "Enable it to take a seat.")
		}
	default:
		found, err = s.lookAround(ctx, found, err)
	}
	if err != nil && found.seat == nil {
		found = old.evidence
		if !found.proven || found.seat != nil {
			r := reasonOf(err)
			found = because(r.Code, r.Message, hintOf(err))
		}
	} else if found.newer(old.evidence) {
		s.clock.correct(found.contact)
	}
	now, _ = s.clock.now()
	if !s.publish(nil, s.conclude(found, err, now)) {
		return ErrClosed
	}
	return err
}

// lookAround looks at the network in place of what was found on the machine.
func (s *Session) lookAround(ctx context.Context, found evidence, failed error) (evidence, error) {
	n := s.network
	if n.borrowing != nil {
		// Whether it was lent is not known: the same wish again tells.
		if n.borrow(ctx, *n.borrowing) == nil {
			now, _ := s.clock.now()
			if here, err := s.witness.look(ctx, now); err == nil && here.judge(s.witness.use, now).Valid {
				return here, nil
			}
		}
	}
	seat, err := n.look(ctx, func() license.Time { now, _ := s.clock.now(); return now })
	switch {
	case seat.proven:
		return seat, err
	case err != nil:
		return found, err
	case len(seat.reasons) == 0: // there is no network
		return found, failed
	}
	seat.asked, seat.queue = true, n.queue
	here := found.reasons
	switch {
	case failed != nil:
		here = []terms.Reason{reasonOf(failed)}
	case found.proven:
		now, _ := s.clock.now()
		here = found.judge(s.witness.use, now).Reasons
	}
	// What a server answered says more than what is here; that it was silent, less.
	if seat.reasons[0].Code == refusal.ServerUnreachable && here[0].Code != NoLicense {
		seat.reasons, seat.hint = slices.Concat(here, seat.reasons), found.hint
	} else {
		seat.reasons = slices.Concat(seat.reasons, here)
	}
	return seat, nil
}

// settled is told that the machine has a license of its own.
func (n *network) settled(ctx context.Context) {
	if n.seat != nil || n.lost != nil {
		n.release(ctx)
	}
}

// noteEvery is how often a session that runs on a loan notes the time.
const noteEvery = time.Hour

// notePatience is what a program waits for that, where another one writes.
const notePatience = time.Second

// noteTime notes in the loan's container that the time has passed, so that a clock
// set back does not prolong it. An agent that runs does that by itself.
func (s *Session) noteTime(ctx context.Context, e evidence, now license.Time) {
	if e.loan == nil || e.loan.Until == 0 || s.noted != 0 && now < s.noted.Add(noteEvery) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	if agent.Connect(s.witness.config).NoteTime(ctx) == nil { // else at the next look
		s.noted = now
	}
}

// Close ends the session: it looks no more and is not valid any more.
func (s *Session) Close() error {
	s.publishing.Lock()
	if s.closed {
		s.publishing.Unlock()
		return nil
	}
	s.closed = true
	now, _ := s.clock.now()
	s.judged.Store(s.conclude(because(NoLicense, "The program has closed its session.", "Start the program again."), nil, now))
	close(s.changed)
	s.publishing.Unlock()
	s.stop()
	s.done.Wait()
	wait := time.NewTimer(releasePatience)
	defer wait.Stop()
	select {
	case s.looking <- struct{}{}:
		s.network.close()
		<-s.looking
	case <-wait.C: // whoever looks gives back what it has when it is done
	}
	return nil
}

// watch looks again from time to time, and when the license ends.
func (s *Session) watch(ctx context.Context) {
	for {
		t := time.NewTimer(s.pause())
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		look, cancel := context.WithTimeout(ctx, max(s.refresh, retry))
		_ = s.Refresh(look) // the verdict says what went wrong
		cancel()
	}
}

// pause is the time to the next look.
func (s *Session) pause() time.Duration {
	j := s.judged.Load()
	wait := s.refresh
	if j.failed != nil {
		wait = min(wait, retry)
	}
	wait += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(wait))
	now, _ := s.clock.now()
	if s.steady && j.until != 0 {
		wait = min(wait, max(span(now, j.until), shortest))
	}
	switch at := j.evidence.seat; {
	case at == nil && j.evidence.queue.Keep > 0: // a place is kept only for who asks
		wait = min(wait, j.evidence.queue.Keep.Go()/2)
	case at == nil && j.evidence.asked:
		wait = min(wait, retry)
	case at != nil && at.silent:
		wait = min(wait, max(span(now, at.until)/4, time.Second), retry)
	case at != nil:
		wait = min(wait, max(span(now, at.due), shortest))
	}
	return wait
}

// current is the judgment as of now.
func (s *Session) current() *judgment {
	j := s.judged.Load()
	if s.steady && time.Since(s.start) < time.Duration(j.fresh.Load()) {
		return j
	}
	return s.settle(j)
}

// settle looks at the clock and thinks a judgment over if its time has come.
func (s *Session) settle(j *judgment) *judgment {
	since := time.Since(s.start)
	now, _ := s.clock.now()
	if !terms.Before(now, j.until) {
		s.publish(j, s.conclude(j.evidence, j.failed, now))
		return s.judged.Load()
	}
	hold := settled
	if j.until != 0 {
		// The session's time is in whole microseconds: the last one is looked at.
		hold = min(hold, span(now, j.until)-time.Microsecond)
	}
	j.fresh.Store(int64(since + hold))
	return j
}

// conclude judges evidence.
func (s *Session) conclude(e evidence, failed error, now license.Time) *judgment {
	j := &judgment{evidence: e, failed: failed, verdict: e.judge(s.witness.use, now)}
	if !e.proven {
		return j
	}
	switch {
	case j.verdict.Valid:
		j.until = j.verdict.ValidUntil
	case e.body.Terms.ValidFrom > now:
		j.until = e.body.Terms.ValidFrom
	}
	switch {
	case !j.verdict.Valid:
	case e.seat != nil && now < e.seat.until:
		j.until = e.seat.until
	case e.loan != nil && e.loan.Until != 0:
		soon := dueSoon(*e.loan)
		if j.soon = now >= soon; j.soon {
			j.verdict.Warnings = append(j.verdict.Warnings, Reason{Code: DueSoon, Message: "The loan ends on " + e.loan.Until.String() + "."})
		} else {
			j.until = min(j.until, soon)
		}
	}
	if failed != nil {
		r := reasonOf(failed)
		r.Message += " The earlier answer stands until it ends by itself."
		j.verdict.Warnings = append(j.verdict.Warnings, r)
	}
	return j
}

// dueSoon is when a loan is said to end soon: when a tenth of its time is left, or
// a day.
func dueSoon(l wire.Loan) license.Time {
	return l.Until - min((l.Until-l.Since)/10, license.Time((24*time.Hour).Microseconds()))
}

// publish replaces the judgment, if it is still old (nil is any), and signals
// what changed. It reports whether the session is open.
func (s *Session) publish(old, j *judgment) bool {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	now := s.judged.Load()
	if s.closed || old != nil && now != old {
		return !s.closed
	}
	s.judged.Store(j)
	close(s.news)
	s.news = make(chan struct{})
	if now.differs(j) {
		select {
		case s.changed <- struct{}{}:
		default: // a signal waits already
		}
	}
	return true
}

func (j *judgment) differs(other *judgment) bool {
	return j.verdict.Valid != other.verdict.Valid || j.verdict.Code != other.verdict.Code ||
		j.verdict.InGrace != other.verdict.InGrace || j.soon != other.soon || j.evidence.queue.Place != other.evidence.queue.Place ||
		j.evidence.body.License != other.evidence.body.License || j.evidence.place() != other.evidence.place()
}

// tell is the judgment as programs see it.
func (j *judgment) tell() Verdict {
	v := Verdict{
		Valid: j.verdict.Valid, Code: j.verdict.Code, Reasons: slices.Clone(j.verdict.Reasons), Warnings: slices.Clone(j.verdict.Warnings),
		ValidUntil: j.verdict.ValidUntil.Go(), InGrace: j.verdict.InGrace, Hint: j.evidence.hint,
		Place: j.evidence.place(), Queue: j.evidence.queue.Place,
	}
	if !v.Valid && v.Hint == "" {
		v.Hint = refusal.Lookup(v.Code).Hint
	}
	if j.evidence.proven {
		v.License = string(j.evidence.body.License)
		v.Features = slices.Clone(j.evidence.body.Features)
		v.Source = j.evidence.source()
	}
	if e := j.evidence; e.proven {
		v.Units = wire.UnitsOf(license.Terms{Units: e.units()}, e.used)
	}
	if l := j.evidence.loan; l != nil {
		v.Loan = string(l.ID)
	}
	return v
}

// span is the time from one moment to a later one; what is further away than
// a year is a year, which is as good and cannot overflow.
func span(from, to license.Time) time.Duration {
	const year = 365 * 24 * time.Hour
	return time.Duration(min(to-from, license.Time(year.Microseconds()))) * time.Microsecond
}
