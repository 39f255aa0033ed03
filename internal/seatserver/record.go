package seatserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

const ledgerName = "ledger"

// The first byte of a record in the ledger says what it is.
const (
	recordSeats = 1 // of the engine
	recordHeads = 2 // signed by containers
)

const (
	compactAt = 32 << 20 // no smaller ledger is written anew
)

// note puts records of the engine into the ledger, in their order. The caller holds
// mu. What comes back is to be waited for before anything that rests on the records
// is said.
func (s *Server) note(records []seats.Record) *ledger.Group {
	if len(records) == 0 {
		return s.ledger.Pending()
	}
	return s.ledger.Note(s.lines.of(records)...)
}

// lines is records as the ledger keeps them, in memory that is used again.
type lines struct {
	all  []byte
	list [][]byte
}

// keptLines is how much of that memory is kept; rarely is there more at once.
const keptLines = 64 << 10

// of spells records. What it answers counts until it is called again.
func (l *lines) of(records []seats.Record) [][]byte {
	if cap(l.all) > keptLines {
		*l = lines{}
	}
	l.all, l.list = l.all[:0], l.list[:0]
	for i := range records {
		from := len(l.all)
		var err error
		if l.all, err = records[i].AppendBinary(append(l.all, recordSeats)); err != nil {
			panic(fmt.Errorf("seatserver: a record of the engine has no spelling: %w", err))
		}
		l.list = append(l.list, l.all[from:len(l.all):len(l.all)])
	}
	return l.list
}

// snapshot is the ledger's content in short. The caller holds mu.
func (s *Server) snapshot() [][]byte { return new(lines).of(s.engine.Snapshot()) }

// past is what a ledger says of the time before.
type past struct {
	engine *seats.Engine
	heads  heads
}

func (s *Server) newPast() past { return past{seats.New(s.limits), heads{}} }

func (p past) replay(record []byte) error {
	if len(record) == 0 {
		return fmt.Errorf("%w: an empty record", ledger.ErrDamaged)
	}
	switch kind, b := record[0], record[1:]; kind {
	case recordSeats:
		var r seats.Record
		if err := r.UnmarshalBinary(b); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		if err := p.engine.Replay(r); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		return nil
	case recordHeads:
		if err := p.heads.replay(b); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		return nil
	default:
		return fmt.Errorf("ledger: a record of kind %d was written by a newer program", kind)
	}
}

func (s *Server) options(h heads) ledger.Options[*grant] {
	return ledger.Options[*grant]{
		Disk:  s.cfg.Disk,
		Begin: func(group []*grant) ([]byte, func()) { return h.sign(group, license.At(s.cfg.Now())), nil },
		Carry: h.carry,
	}
}

// openLedger reads the ledger. Where it is not the one that the containers remember,
// or does not read, the record of who has which seat is lost (docs/protocol.md R27).
// The caller holds mu.
func (s *Server) openLedger(shared []agent.Shared) error {
	p := s.newPast()
	known, odd := remembered(shared)
	s.longest = s.limits.Longest
	for _, c := range shared {
		s.longest = max(s.longest, c.Longest)
	}
	l, err := ledger.Open(s.dir, ledgerName, s.options(p.heads), known, p.replay)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil && !odd:
		s.start(p, l, shared)
		s.engine.Recover(s.clock())
		return nil
	case err == nil:
		if err := l.Close(); err != nil {
			return storage(err)
		}
		err = fmt.Errorf("%w: the containers remember several", ledger.ErrOlder)
	case missing && known == ledger.Point{}:
		l, err := ledger.Create(s.dir, ledgerName, filler(s.cfg.Random), s.options(p.heads), nil)
		if err != nil {
			return storage(err)
		}
		s.start(p, l, shared)
		return nil
	case !missing && !errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ledger.ErrOlder):
		return storage(err)
	}
	return s.lost(shared, err)
}

// lost begins anew after the record was lost.
func (s *Server) lost(shared []agent.Shared, why error) error {
	s.log.Error("the record of who has which seat is lost; nothing is granted that could overlap it", "error", why)
	kept := fmt.Sprintf("%s.lost-%s", ledgerName, s.cfg.Now().UTC().Format("20060102T150405"))
	if err := s.cfg.Disk.Rename(s.dir, ledgerName, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storage(err)
	}
	p := s.newPast()
	s.engine = p.engine
	s.share(shared)
	now := s.clock()
	p.engine.SetSources(now, s.list(shared))
	l, err := ledger.Create(s.dir, ledgerName, filler(s.cfg.Random), s.options(p.heads), new(lines).of(p.engine.Uncertain(now, s.longest)))
	if err != nil {
		return storage(err)
	}
	s.start(p, l, shared)
	return nil
}

// start goes on from a past. The caller holds mu.
func (s *Server) start(p past, l *ledger.Ledger[*grant], shared []agent.Shared) {
	s.engine, s.ledger, s.stopped = p.engine, l, nil
	s.share(shared)
	for serial, k := range s.keepers {
		k.heads.Store(p.heads[serial].Number)
	}
	s.engine.SetSources(s.clock(), s.list(shared))
	s.engine.SetRules(s.rules.inForce)
}

// remembered is the latest that the containers remember of the ledger. Odd says that
// they remember different ones.
func remembered(shared []agent.Shared) (known ledger.Point, odd bool) {
	for _, c := range shared {
		switch p := c.Ledger; {
		case p == ledger.Point{}:
		case known == ledger.Point{}:
			known = p
		case p.Identity != known.Identity:
			odd = true
		case p.Number > known.Number:
			known = p
		}
	}
	return known, odd
}

// anchor is when the containers were told how far the ledger is.
type anchor struct {
	point ledger.Point
	ticks int
	lent  bool // something was lent or came back since
}

// rememberEvery is how many ticks may pass before the containers are told.
const rememberEvery = 60

// remember lets the containers know how far the ledger has got: at once, or when it
// is time.
func (s *Server) remember(ctx context.Context, now bool) {
	s.mu.Lock()
	end, a := s.ledger.End(), &s.anchor
	a.ticks++
	due := end != a.point && (now || a.lent || a.ticks >= rememberEvery)
	if !due {
		s.mu.Unlock()
		return
	}
	a.lent = false
	lent := map[license.Serial][]container.Lent{}
	for c := range s.keepers {
		lent[c] = s.lentBy(c)
	}
	s.mu.Unlock()
	if err := s.agent.RememberLedger(ctx, end, s.longest, lent); err != nil {
		s.log.Warn("the containers do not know how far the ledger is", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.point, a.ticks = end, 0
}

// lentBy is what is out of a container's licenses, none included. The caller holds mu.
func (s *Server) lentBy(c license.Serial) (list []container.Lent) {
	for key, src := range s.sources {
		if key.container == c {
			onLoan, forGood, until := s.engine.Lent(c, key.license)
			list = append(list, container.Lent{License: key.license, Generation: src.of, Seats: onLoan + forGood, Until: until})
		}
	}
	return list
}

// out is an agent.Lent: what the vendor hears, and what a license waits for that is to
// leave. What is decided already counts, durable or not. Whoever is told that nothing
// is out can rely on it for those that leave.
func (s *Server) out(c license.Serial, leaving []license.ID) ([]container.Lent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil {
		return nil, false
	}
	for _, id := range leaving {
		s.leaving[sourceKey{c, id}] = s.looks
	}
	if len(leaving) > 0 {
		s.engine.SetSources(s.clock(), s.list(s.shared))
	}
	return s.lentBy(c), true
}

// fail stops everything after the ledger failed, and says what is answered. The
// caller holds mu.
func (s *Server) fail(err error) *refusal.Refusal {
	if s.stopped == nil {
		s.log.Error("the ledger cannot be written; no seat is given out", "error", err)
		s.stopped = unwritten(err)
	}
	return s.stopped
}

func unwritten(err error) *refusal.Refusal {
	return refusal.New(refusal.StorageFull, "The license server cannot write its record (%v). No seat was given out or taken back.", reason(err)).
		Hinted("Make room on the server's disk; it goes on by itself then.")
}

// heal begins anew after the ledger failed: from what is on the disk, in a new file,
// because nothing is known of the old one's last sync.
func (s *Server) heal(ctx context.Context) {
	shared, err := s.agent.Shared(ctx)
	if err != nil {
		s.log.Warn("the ledger is still not written", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger.Err() == nil {
		return // it is stopping
	}
	known := s.ledger.End()
	_ = s.ledger.Close() // it has failed
	p := s.newPast()
	l, err := ledger.Open(s.dir, ledgerName, s.options(p.heads), known, p.replay)
	if err != nil {
		s.log.Warn("the ledger is still not written", "error", err)
		return
	}
	old := s.engine
	s.engine = p.engine
	p.engine.SetSources(s.clock(), s.list(shared))
	p.engine.Recover(s.clock())
	if err := l.Compact(s.snapshot()).Wait(); err != nil {
		s.engine = old
		s.log.Warn("the ledger is still not written", "error", err)
		_ = l.Close()
		return
	}
	s.start(p, l, shared)
	s.log.Info("the ledger is written again")
}

// filler is randomness as a reader.
type filler func([]byte)

func (f filler) Read(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// storage turns a failure of the disk into a refusal.
func storage(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EFBIG:
			return refusal.New(refusal.StorageFull, "The disk is full or cannot be written (%v). The old state was kept.", errno)
		}
	}
	return err
}

// reason is the innermost of a chain of errors, without paths.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
