package seatserver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const (
	usageName  = "usage"
	mostNamed  = 1000              // products of one hour; what strangers ask for is counted together then
	others     = "other"           // their name
	usageKept  = 800 * license.Day // two years and more
	usageSave  = 300               // ticks between two savings of the hour that runs
	usageLimit = 16 << 20          // of the file, before it is written anew
)

// The first byte of a record of use says what it is.
const (
	recordHour = 1 // signed by a container
	recordOpen = 2 // the hour that runs, so far
)

// usage counts what is given out and denied, hour by hour. The server's lock guards it.
type usage struct {
	log   *ledger.Ledger[struct{}]
	open  openHour
	kept  []keptHour
	chain map[license.Serial]link
	dirty bool
	ticks int
}

// openHour is the hour that runs.
type openHour struct {
	From     license.Time                  `cbor:"1,keyasint"`
	Products map[string]*seal.UsageProduct `cbor:"2,keyasint"`
}

// keptHour is an hour that is over, as a container signed it.
type keptHour struct {
	Serial license.Serial `cbor:"1,keyasint"`
	Signed []byte         `cbor:"2,keyasint"`
	hour   seal.UsageHour
}

// link is the end of a container's chain of hours.
type link struct {
	number uint64
	hash   [32]byte
}

const hour = license.Time(time.Hour / time.Microsecond)

func (u *usage) product(name string) *seal.UsageProduct {
	if u.open.Products == nil {
		u.open.Products = map[string]*seal.UsageProduct{}
	}
	p := u.open.Products[name]
	if p == nil {
		if len(u.open.Products) >= mostNamed {
			name = others
		}
		if p = u.open.Products[name]; p == nil {
			p = &seal.UsageProduct{Product: name, Denials: map[refusal.Code]uint64{}}
			u.open.Products[name] = p
		}
	}
	return p
}

// claimed counts one claim or wish for a loan.
func (u *usage) claimed(product string, no *refusal.Refusal) {
	p := u.product(product)
	u.dirty = true
	if no == nil {
		p.Grants++
	} else {
		p.Denials[no.Code]++
	}
}

// usageTick counts the seats in use, and ends the hour that is over. The caller holds
// mu.
func (s *Server) usageTick() {
	now, u := s.clock(), &s.usage
	from := now - now%hour
	if u.open.From == 0 {
		u.open.From = from
	}
	if from > u.open.From {
		s.endHour()
		u.open = openHour{From: from}
	}
	s.usageSample(now)
	if u.ticks++; u.ticks >= usageSave {
		s.saveUsage()
	}
}

// usageSample looks at how many seats are in use now. The caller holds mu.
func (s *Server) usageSample(now license.Time) {
	u := &s.usage
	inUse := map[string][2]int64{}
	for _, p := range s.engine.Pools(now) {
		sum := inUse[p.Product]
		inUse[p.Product] = [2]int64{sum[0] + p.Leased + p.Lent, sum[1] + p.Seats}
	}
	for name, n := range inUse {
		p := u.product(name)
		if n[0] > p.Peak || n[1] > p.Seats {
			p.Peak, p.Seats, u.dirty = max(p.Peak, n[0]), max(p.Seats, n[1]), true
		}
	}
}

// saveUsage keeps the hour that runs, so far. The caller holds mu.
func (s *Server) saveUsage() {
	u := &s.usage
	u.ticks = 0
	if u.log == nil || !u.dirty {
		return
	}
	u.dirty = false
	u.log.Note(usageRecord(recordOpen, u.open)) // a failure is seen when the log is closed
}

func usageRecord(kind byte, value any) []byte {
	b, err := cbor.Marshal(value)
	if err != nil {
		panic(err) // numbers, texts and bytes alone
	}
	return append([]byte{kind}, b...)
}

// endHour has the containers sign the hour that is over, each for its own products.
// The caller holds mu.
func (s *Server) endHour() {
	u := &s.usage
	byKeeper := map[*keeper][]seal.UsageProduct{}
	for _, name := range slices.Sorted(maps.Keys(u.open.Products)) {
		p := u.open.Products[name]
		if p.Grants == 0 && p.Peak == 0 && len(p.Denials) == 0 {
			continue
		}
		if k := s.speaker(name); k != nil {
			byKeeper[k] = append(byKeeper[k], *p)
		}
	}
	for k, products := range byKeeper {
		last := u.chain[k.serial]
		h := seal.UsageHour{
			Number: last.number + 1, Previous: last.hash, From: u.open.From, Until: u.open.From + hour,
			Heads: k.heads.Load(), Products: products,
		}
		signed, err := seal.SignUsage(k.scope, k.keys, h)
		if err != nil {
			s.log.Error("an hour of use cannot be signed", "error", err)
			continue
		}
		one := keptHour{Serial: k.serial, Signed: signed, hour: h}
		u.keep(one)
		u.log.Note(usageRecord(recordHour, one))
	}
	u.kept = slices.DeleteFunc(u.kept, func(k keptHour) bool { return k.hour.Until.Add(usageKept.Go()) < u.open.From })
	if size, _ := u.log.Size(); size > usageLimit {
		var all [][]byte
		for _, k := range u.kept {
			all = append(all, usageRecord(recordHour, k))
		}
		u.log.Compact(all)
	}
}

func (u *usage) keep(one keptHour) {
	u.kept = append(u.kept, one)
	u.chain[one.Serial] = link{one.hour.Number, seal.UsageHash(one.Signed)}
}

// speaker is the container that signs for a product: one that has it, else the first.
func (s *Server) speaker(product string) *keeper {
	var found *keeper
	has := false
	for _, src := range s.sources {
		this := src.product == product
		if found == nil || this && !has || this == has && src.keeper.serial < found.serial {
			found, has = src.keeper, this
		}
	}
	return found
}

// openUsage reads what was counted before. The caller holds mu.
func (s *Server) openUsage() error {
	s.usage = usage{chain: map[license.Serial]link{}}
	u := &s.usage
	opts := ledger.Options[struct{}]{Disk: s.cfg.Disk, Grow: 1 << 18}
	var err error
	u.log, err = ledger.Open(s.dir, usageName, opts, ledger.Point{}, func(record []byte) error { return u.replay(record, s.keepers) })
	if errors.Is(err, ledger.ErrDamaged) {
		s.log.Error("the record of use is damaged; it begins anew, and the old file is kept beside it", "error", err)
		if err := s.cfg.Disk.Rename(s.dir, usageName, usageName+".damaged-"+s.cfg.Now().UTC().Format("20060102T150405")); err != nil {
			return storage(err)
		}
		*u = usage{chain: map[license.Serial]link{}}
		err = fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		u.log, err = ledger.Create(s.dir, usageName, filler(s.cfg.Random), opts, nil)
	}
	return storage(err)
}

func (u *usage) replay(record []byte, keepers map[license.Serial]*keeper) error {
	if len(record) == 0 {
		return ledger.ErrDamaged
	}
	switch record[0] {
	case recordOpen:
		var open openHour
		if err := cbor.Unmarshal(record[1:], &open); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		u.open = open
	case recordHour:
		var one keptHour
		if err := cbor.Unmarshal(record[1:], &one); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		k := keepers[one.Serial]
		if k == nil {
			return nil // of a container that is gone: nothing tells whether it is its word
		}
		var err error
		if one.hour, err = seal.OpenUsage(k.scope, k.identity.SigningKey, one.Signed); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		u.keep(one)
		if one.hour.From >= u.open.From {
			u.open = openHour{}
		}
	}
	return nil
}

// Usage is the use of seats, by hour, day or month, for administrators.
func (s *Server) Usage(by string) (wire.UsageView, error) {
	if _, _, ok := period(0, by); !ok {
		return wire.UsageView{}, refusal.New(refusal.InvalidInput, "Use is shown by hour, day or month, not by %q.", shorten(by))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil {
		now := s.clock()
		if s.usage.open.From == 0 {
			s.usage.open.From = now - now%hour
		}
		s.usageSample(now)
	}
	hours := make([]seal.UsageHour, 0, len(s.usage.kept)+1)
	gaps := gapsIn(s.usage.kept)
	for _, k := range s.usage.kept {
		hours = append(hours, k.hour)
	}
	if open := s.usage.open; open.From > 0 {
		h := seal.UsageHour{From: open.From, Until: open.From + hour}
		for _, p := range open.Products {
			h.Products = append(h.Products, *p)
		}
		hours = append(hours, h)
	}
	rows, err := Aggregate(hours, by)
	if err != nil {
		return wire.UsageView{}, err
	}
	view := wire.UsageView{By: by, Rows: rows, Gaps: gaps}
	if len(hours) > 0 {
		view.Since = hours[0].From
	}
	return view, nil
}

// gapsIn looks at the chains of signed hours.
func gapsIn(kept []keptHour) (gaps []string) {
	last := map[license.Serial]keptHour{}
	for _, k := range kept {
		before, ok := last[k.Serial]
		if ok && (k.hour.Number != before.hour.Number+1 || k.hour.Previous != seal.UsageHash(before.Signed)) {
			gaps = append(gaps, fmt.Sprintf("Between %s and %s, %d signed hours of container %s are missing.",
				before.hour.Until, k.hour.From, max(1, int64(k.hour.Number-before.hour.Number)-1), k.Serial))
		}
		last[k.Serial] = k
	}
	return gaps
}

// Aggregate adds hours up by hour, day or month of UTC. Counts are added; a peak is
// the highest of its hours.
func Aggregate(hours []seal.UsageHour, by string) ([]wire.UsageRow, error) {
	type key struct {
		from    license.Time
		product string
	}
	rows := map[key]*wire.UsageRow{}
	for _, h := range hours {
		from, until, ok := period(h.From, by)
		if !ok {
			return nil, refusal.New(refusal.InvalidInput, "Use is shown by hour, day or month, not by %q.", shorten(by))
		}
		for _, p := range h.Products {
			r := rows[key{from, p.Product}]
			if r == nil {
				r = &wire.UsageRow{From: from, Until: until, Product: p.Product, Denials: map[refusal.Code]uint64{}}
				rows[key{from, p.Product}] = r
			}
			r.Grants += p.Grants
			for code, n := range p.Denials {
				r.Denials[code] += n
				r.Denied += n
			}
			r.Peak, r.Seats = max(r.Peak, p.Peak), max(r.Seats, p.Seats)
		}
	}
	list := make([]wire.UsageRow, 0, len(rows))
	for _, r := range rows {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b wire.UsageRow) int {
		if a.From != b.From {
			return int(min(1, max(-1, a.From-b.From)))
		}
		return strings.Compare(a.Product, b.Product)
	})
	return list, nil
}

// period is the hour, day or month in which a moment lies.
func period(t license.Time, by string) (from, until license.Time, ok bool) {
	at := t.Go().UTC()
	var start, end time.Time
	switch by {
	case "hour":
		start = at.Truncate(time.Hour)
		end = start.Add(time.Hour)
	case "day":
		start = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		end = start.AddDate(0, 0, 1)
	case "month":
		start = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		end = start.AddDate(0, 1, 0)
	default:
		return 0, 0, false
	}
	return license.At(start), license.At(end), true
}

func (s *Server) usageOf(r *http.Request) (any, error) {
	by := r.URL.Query().Get("by")
	if by == "" {
		by = "day"
	}
	return s.Usage(by)
}
