// Package signer keeps a vendor's issuing keys in a process of its own and signs with
// them for central: only what an issuing key signs, for one vendor and environment each,
// no more in an hour than the operator allows, and not at all once it is stopped. Each
// signature stands in an append-only log before it is given out.
package signer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"licet/internal/durable"
	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// Keeper keeps private keys and shows none of them.
type Keeper interface {
	// Keys are the public keys that it keeps.
	Keys() ([][]byte, error)
	// Make makes a new key and gives its public part.
	Make() ([]byte, error)
	// Sign signs with one of the keys, Ed25519 over the message itself.
	Sign(public, message []byte) ([]byte, error)
	Close() error
}

const (
	logName   = "signatures.log"
	lockName  = "lock"
	maxUnused = 3 // keys that never signed
)

// PerHour is how many signatures are made in an hour at most, unless said otherwise.
const PerHour = 200_000

// Config is what a signer works with.
type Config struct {
	Dir     *os.Root
	Keeper  Keeper
	Now     func() time.Time
	Random  io.Reader
	PerHour int64
}

// Signer is an open signer. It is safe for concurrent use.
type Signer struct {
	cfg Config
	log *ledger.Ledger[struct{}]

	mu      sync.Mutex
	keys    map[seal.KeyID]*state
	stopped *Stop
	hours   map[int64]int64 // hour → signatures
}

// state is what is known of one key.
type state struct {
	public []byte
	scope  seal.Scope // the first it signed for, and no other
	signed int64
	steps  int64
}

// Stop says why nothing is signed.
type Stop struct {
	Since  license.Time `json:"since"`
	Reason string       `json:"reason"`
	// Alarm says that the signer stopped by itself, because of what it was asked.
	Alarm bool `json:"alarm,omitempty"`
}

// Entry is one line of the log.
type Entry struct {
	Time        license.Time   `json:"time"`
	What        string         `json:"what"` // key, sign, refuse, stop or resume
	Key         string         `json:"key,omitempty"`
	Purpose     string         `json:"purpose,omitempty"`
	Vendor      seal.VendorID  `json:"vendor,omitempty"`
	Environment string         `json:"environment,omitempty"`
	Container   license.Serial `json:"container,omitempty"`
	Number      uint64         `json:"number,omitempty"`
	Hash        string         `json:"hash,omitempty"` // SHA-256 of what was signed
	Reason      string         `json:"reason,omitempty"`
	Alarm       bool           `json:"alarm,omitempty"`
}

// The kinds of entries.
const (
	entryKey    = "key"
	entrySign   = "sign"
	entryRefuse = "refuse"
	entryStop   = "stop"
	entryResume = "resume"
)

// Open reads the log of a signer's folder, or begins one, and the keys.
func Open(cfg Config) (*Signer, error) {
	s := &Signer{cfg: cfg, keys: map[seal.KeyID]*state{}, hours: map[int64]int64{}}
	if s.cfg.PerHour == 0 {
		s.cfg.PerHour = PerHour
	}
	keys, err := cfg.Keeper.Keys()
	if err != nil {
		return nil, err
	}
	for _, public := range keys {
		s.keys[seal.KeyIDOf(public)] = &state{public: public}
	}
	options := ledger.Options[struct{}]{Disk: &durable.Disk{}, Grow: 64 << 10}
	s.log, err = ledger.Open(cfg.Dir, logName, options, ledger.Point{}, func(record []byte) error {
		var e Entry
		if err := json.Unmarshal(record, &e); err != nil {
			return err
		}
		s.take(e)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		s.log, err = ledger.Create(cfg.Dir, logName, cfg.Random, options, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("the log of signatures: %w", err)
	}
	return s, nil
}

// Close closes the log and the keys.
func (s *Signer) Close() error { return errors.Join(s.log.Close(), s.cfg.Keeper.Close()) }

// take brings an entry of the log into what is known. The caller holds mu, or is alone.
func (s *Signer) take(e Entry) {
	switch e.What {
	case entrySign:
		s.hours[e.Time.Go().Unix()/3600]++
		id, err := hex.DecodeString(e.Key)
		if err != nil || len(id) != len(seal.KeyID{}) {
			return
		}
		if k := s.keys[seal.KeyID(id)]; k != nil { // else it is kept no more
			k.scope = seal.Scope{Vendor: e.Vendor, Environment: e.Environment}
			k.signed++
			if e.Number != 0 {
				k.steps++
			}
		}
	case entryStop:
		s.stopped = &Stop{Since: e.Time, Reason: e.Reason, Alarm: e.Alarm}
	case entryResume:
		s.stopped = nil
	}
}

// note adds an entry to the log. The caller holds mu, and waits when he does not.
func (s *Signer) note(e Entry) (*ledger.Group, error) {
	e.Time = license.At(s.cfg.Now())
	record, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	s.take(e)
	return s.log.Note(record), nil
}

// Sign signs a message with a key that is kept here, after the log has it. What is not
// exactly what this key signs stops the signer: only a server in wrong hands asks for it.
func (s *Signer) Sign(key seal.KeyID, message []byte) ([]byte, error) {
	group, public, err := s.allow(key, message)
	if group != nil {
		if failed := group.Wait(); failed != nil {
			return nil, refusal.New(refusal.StorageFull, "The signer's log cannot be written: %v. Nothing was signed.", failed)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.cfg.Keeper.Sign(public, message)
}

// allow decides, and puts what it decided into the log.
func (s *Signer) allow(key seal.KeyID, message []byte) (*ledger.Group, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return nil, nil, s.stopped.refusal()
	}
	k := s.keys[key]
	if k == nil {
		return nil, nil, refusal.New(refusal.NotFound, "The signer has no key %s.", key)
	}
	now := s.cfg.Now()
	hash := sha256.Sum256(message)
	e := Entry{What: entrySign, Key: key.String(), Hash: hex.EncodeToString(hash[:])}
	alarm := func(format string, args ...any) (*ledger.Group, []byte, error) {
		e.What, e.Reason = entryRefuse, fmt.Sprintf(format, args...)
		if _, err := s.note(e); err != nil {
			return nil, nil, err
		}
		group, err := s.note(Entry{What: entryStop, Reason: e.Reason, Alarm: true})
		if err != nil {
			return nil, nil, err
		}
		return group, nil, s.stopped.refusal()
	}
	is, err := seal.ReadToSign(message)
	if err != nil {
		return alarm("asked to sign what no issuing key signs")
	}
	e.Purpose, e.Vendor, e.Environment, e.Container, e.Number = is.Purpose, is.Scope.Vendor, is.Scope.Environment, is.Container, is.Number
	switch {
	case is.Key != key:
		return alarm("asked to sign for the key %s with the key %s", is.Key, key)
	case k.scope != (seal.Scope{}) && k.scope != is.Scope:
		return alarm("asked to sign for %s, %s with a key of %s, %s", is.Scope.Vendor, is.Scope.Environment, k.scope.Vendor, k.scope.Environment)
	case s.lately(now) >= s.cfg.PerHour:
		return alarm("asked for more than %d signatures in an hour", s.cfg.PerHour)
	}
	group, err := s.note(e)
	return group, k.public, err
}

// lately is how many signatures were made in this hour and, by its share, in the one
// before.
func (s *Signer) lately(now time.Time) int64 {
	hour := now.Unix() / 3600
	for h := range s.hours {
		if h < hour-1 {
			delete(s.hours, h)
		}
	}
	return s.hours[hour] + s.hours[hour-1]*(3600-now.Unix()%3600)/3600
}

func (s *Stop) refusal() *refusal.Refusal {
	r := refusal.New(refusal.SignerUnavailable, "The signer is stopped since %s: %s. Nothing was changed.", s.Since, s.Reason)
	if s.Alarm {
		return r.Hinted("Find out who asked for it before licet-signer resume.")
	}
	return r.Hinted("licet-signer resume lets it sign again.")
}

// MakeKey gives a key that never signed: one that is there, or a new one.
func (s *Signer) MakeKey() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return nil, s.stopped.refusal()
	}
	unused := 0
	for _, k := range s.keys {
		if k.signed == 0 {
			unused++
		}
	}
	if unused >= maxUnused {
		return nil, refusal.New(refusal.Conflict, "The signer has %d keys that never signed.", unused).Hinted("Use one of them: licet-signer status.")
	}
	public, err := s.cfg.Keeper.Make()
	if err != nil {
		return nil, err
	}
	id := seal.KeyIDOf(public)
	s.keys[id] = &state{public: public}
	group, err := s.note(Entry{What: entryKey, Key: id.String()})
	if err == nil {
		err = group.Wait()
	}
	return public, err
}

// Stop ends signing until Resume.
func (s *Signer) Stop(reason string) error { return s.turn(entryStop, reason) }

// Resume lets it sign again.
func (s *Signer) Resume(reason string) error { return s.turn(entryResume, reason) }

func (s *Signer) turn(what, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.TrimSpace(reason) == "" {
		return refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the log keeps it.")
	}
	switch is := s.stopped != nil; {
	case is && what == entryStop:
		return refusal.New(refusal.AlreadyApplied, "The signer is stopped already, since %s: %s", s.stopped.Since, s.stopped.Reason)
	case !is && what == entryResume:
		return refusal.New(refusal.AlreadyApplied, "The signer is not stopped.")
	}
	group, err := s.note(Entry{What: what, Reason: reason})
	if err != nil {
		return err
	}
	return group.Wait()
}

// Status is what a signer says of itself.
type Status struct {
	Stopped *Stop       `json:"stopped,omitempty"`
	PerHour int64       `json:"per_hour"`
	Lately  int64       `json:"lately"` // signatures in the last hour, about
	Keys    []KeyStatus `json:"keys"`
}

// KeyStatus tells of one key.
type KeyStatus struct {
	ID          string        `json:"id"`
	Public      []byte        `json:"public"`
	Vendor      seal.VendorID `json:"vendor_id,omitempty"` // for whom it signs; empty while it has signed nothing
	Environment string        `json:"environment,omitempty"`
	Signatures  int64         `json:"signatures"`
	Steps       int64         `json:"steps"`
}

// Status tells of the keys and of whether they sign.
func (s *Signer) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{PerHour: s.cfg.PerHour, Lately: s.lately(s.cfg.Now()), Keys: []KeyStatus{}}
	if s.stopped != nil {
		stopped := *s.stopped
		out.Stopped = &stopped
	}
	for id, k := range s.keys {
		out.Keys = append(out.Keys, KeyStatus{ID: id.String(), Public: k.public, Vendor: k.scope.Vendor, Environment: k.scope.Environment, Signatures: k.signed, Steps: k.steps})
	}
	slices.SortFunc(out.Keys, func(a, b KeyStatus) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Entries reads the log of a folder in which no signer runs.
func Entries(dir *os.Root, each func(Entry) error) error {
	log, err := ledger.Open(dir, logName, ledger.Options[struct{}]{Disk: &durable.Disk{}, Grow: 64 << 10}, ledger.Point{}, func(record []byte) error {
		var e Entry
		if err := json.Unmarshal(record, &e); err != nil {
			return err
		}
		return each(e)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return log.Close()
}
