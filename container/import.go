package container

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"licet/license"
	"licet/refusal"
)

// KeptSteps is how many of its last steps a container keeps, so that a vendor
// whose database was lost can be brought up to date (docs/protocol.md R18).
const KeptSteps = 32

// State is what a container knows of its own log. It is a value: Import returns
// a new one and leaves the old as it was.
type State struct {
	Serial      license.Serial         `cbor:"1,keyasint"`
	Number      uint64                 `cbor:"2,keyasint"` // last step applied
	Plan        Hash                   `cbor:"3,keyasint"`
	Life        Hash                   `cbor:"4,keyasint"`
	Acked       uint64                 `cbor:"5,keyasint"` // last step known to be acknowledged
	Nonces      []Nonce                `cbor:"6,keyasint"` // of the steps Acked+1 … Number
	Epoch       uint64                 `cbor:"7,keyasint"` // highest seen
	Held        map[license.ID]Holding `cbor:"8,keyasint"`
	Kept        []KeptStep             `cbor:"9,keyasint"`            // the last KeptSteps steps and those that put what is held
	Floor       license.Time           `cbor:"10,keyasint"`           // latest time known to have passed
	LastContact license.Time           `cbor:"11,keyasint"`           // vendor's time of the latest answer that renews
	Challenge   []byte                 `cbor:"12,keyasint"`           // to be answered by the next report
	Asked       Nonce                  `cbor:"13,keyasint"`           // nonce of the last report
	Locked      bool                   `cbor:"14,keyasint,omitempty"` // closed by the vendor: nothing in it may be used
	Counters    map[license.ID]Counter `cbor:"15,keyasint,omitempty"` // of units
	// Moves are units that left for other containers, by name; Forgotten are, by holder,
	// the highest numbers of those that came back and are kept no more.
	Moves     map[string]Move           `cbor:"16,keyasint,omitempty"`
	Forgotten map[license.Serial]uint64 `cbor:"17,keyasint,omitempty"`
}

// Holding is one license in a container.
type Holding struct {
	Generation license.Generation `cbor:"1,keyasint"`
	Product    string             `cbor:"2,keyasint"`
	Step       uint64             `cbor:"3,keyasint"` // the step that put it there
	Body       Hash               `cbor:"4,keyasint"`
	// Contact is the latest contact that renewed it, where the container was in
	// contact since; 0 otherwise.
	Contact license.Time `cbor:"5,keyasint,omitempty"`
}

// ContactOf is the vendor's time of the latest answer that renews a license that
// the container holds.
func (s State) ContactOf(id license.ID) license.Time {
	if at := s.Held[id].Contact; at != 0 {
		return at
	}
	return s.LastContact
}

// KeptStep is the signed bytes of a step applied.
type KeptStep struct {
	Number uint64 `cbor:"1,keyasint"`
	Signed []byte `cbor:"2,keyasint"`
}

// NewState is an empty container before its first step.
func NewState(serial license.Serial) State {
	return State{Serial: serial, Plan: PlanStart(serial), Life: LifeStart(serial), Held: map[license.ID]Holding{}}
}

// Change is what an import did, for people and programs.
type Change struct {
	Op      string     `json:"op"` // put, drop, lock or unlock
	License license.ID `json:"license,omitempty"`
	Product string     `json:"product,omitempty"`
	Phase   string     `json:"phase,omitempty"` // withdraw, return, assign, replace or activate
	Cause   string     `json:"cause,omitempty"` // who wanted it: vendor or user
	Again   bool       `json:"again,omitempty"` // of a put: the container had it already
	Seats   int64      `json:"seats,omitempty"` // of a put, how many the license has; Import leaves it to who reads bodies
	Units   int64      `json:"units,omitempty"` // of a put, how many are left of it; likewise
	Body    []byte     `json:"-"`               // the license, of a put
}

// Incoming is a step of an update after its signature was verified.
type Incoming struct {
	Step   Step
	Signed []byte
	Bodies [][]byte
	Units  []Counted // what the bodies say of units, of the licenses that have some
}

// Import applies an update whose signatures were verified and whose steps are
// in: it skips the steps the container has and applies the ones it lacks, all or
// nothing (docs/protocol.md R4, R5, R9). Draw gives the apply nonce of a step; now
// is the local time. It returns the new state and what changed.
//
// Refusals: WrongContainer, OutOfDate for an update whose last step lies below
// the container's number, AlreadyApplied (a success) when nothing is new,
// StepsMissing, BadSignature when a step does not continue the log. On any of
// them the state returned is the old one.
func (s State) Import(u Update, steps []Incoming, draw func() Nonce, now license.Time) (State, []Change, *refusal.Refusal) {
	if u.Container != s.Serial {
		return s, nil, refusal.New(refusal.WrongContainer, "The update was made for container %s; this is container %s.", u.Container, s.Serial).
			With("made_for", string(u.Container)).With("this_is", string(s.Serial))
	}
	last := u.Acked + uint64(len(steps))
	answers := u.Answers != Nonce{} && u.Answers == s.Asked
	if last < s.Number && !answers {
		return s, nil, refusal.New(refusal.OutOfDate, "The update ends at step %d; this container is at step %d already. Nothing was changed.", last, s.Number)
	}
	if u.Epoch < s.Epoch {
		return s, nil, refusal.New(refusal.OutOfDate, "The update was made before the vendor's server was recovered. Nothing was changed.")
	}
	if u.Acked > s.Number && !answers {
		return s, nil, stepsMissing(u.Acked+1, s.Number)
	}
	n := s.clone()
	var changes []Change
	for _, in := range steps {
		if in.Step.Number <= s.Number {
			continue
		}
		c, no := n.apply(in, draw())
		if no != nil {
			return s, nil, no
		}
		changes = append(changes, c...)
	}
	n.acknowledge(u.Acked)
	n.hear(u.Units)
	n.Epoch = max(n.Epoch, u.Epoch)
	n.Floor = max(n.Floor, u.Time, now)
	if u.Renews && (answers || n.Number > s.Number) && u.Time >= n.LastContact {
		n.renew(u.Time, u.Unrenewed)
	}
	if answers {
		// Only an answer to this container's own latest nonce may lower the
		// floor, after a clock that ran ahead was set right (docs/protocol.md R23).
		n.Floor = u.Time
		n.Challenge = bytes.Clone(u.Challenge)
		n.Asked = Nonce{}
	}
	n.keepNeeded()
	if n.Number == s.Number && last == s.Number && !answers {
		return s, nil, refusal.New(refusal.AlreadyApplied, "The update was applied before; there was nothing to do.")
	}
	return n, changes, nil
}

func stepsMissing(first, number uint64) *refusal.Refusal {
	return refusal.New(refusal.StepsMissing, "The update starts at step %d; this container needs step %d first.", first, number+1)
}

// apply takes one step over, or refuses it whole.
func (s *State) apply(in Incoming, nonce Nonce) ([]Change, *refusal.Refusal) {
	step := in.Step
	switch {
	case step.Container != s.Serial:
		return nil, refusal.New(refusal.WrongContainer, "A step of the update was made for container %s; this is container %s.", step.Container, s.Serial).
			With("made_for", string(step.Container)).With("this_is", string(s.Serial))
	case step.Number != s.Number+1:
		return nil, stepsMissing(step.Number, s.Number)
	case step.Epoch < s.Epoch:
		return nil, refusal.New(refusal.OutOfDate, "Step %d was signed before the vendor's server was recovered.", step.Number)
	case step.Previous != s.Plan:
		return nil, refusal.New(refusal.BadSignature, "Step %d does not continue this container's log.", step.Number)
	}
	var changes []Change
	bodies := in.Bodies
	for _, op := range step.Ops {
		change := Change{Op: op.Kind.String(), License: op.License, Product: op.Product, Phase: op.Phase.String(), Cause: op.Phase.Cause()}
		switch op.Kind {
		case Put:
			if len(bodies) == 0 || sha256.Sum256(bodies[0]) != op.Body {
				return nil, refusal.New(refusal.DamagedFile, "The update lacks the license %s that step %d puts.", op.License, step.Number)
			}
			change.Body = bodies[0]
			bodies = bodies[1:]
			h := Holding{Generation: op.Generation, Product: op.Product, Step: step.Number, Body: op.Body}
			if old, held := s.Held[op.License]; held && old.Generation == op.Generation {
				h.Contact = old.Contact // that is no contact which renews it
				change.Again = true
			}
			s.Held[op.License] = h
			s.enter(op, in.Units)
		case Drop:
			h, ok := s.Held[op.License]
			if !ok || h.Generation > op.Generation {
				continue // an old copy that is not here: nothing changes
			}
			delete(s.Held, op.License)
			s.leave(op.License, step.Number)
		default:
			return nil, refusal.New(refusal.UnsupportedVersion, "Step %d has an operation that this program does not know.", step.Number).
				Hinted("Install a newer version of licet, then import the file again.")
		}
		changes = append(changes, change)
	}
	switch step.Lock {
	case Unchanged:
	case Close, Open:
		s.Locked = step.Lock == Close
		changes = append(changes, Change{Op: step.Lock.String(), Cause: ByVendor})
	default:
		return nil, refusal.New(refusal.UnsupportedVersion, "Step %d closes the container in a way that this program does not know.", step.Number).
			Hinted("Install a newer version of licet, then import the file again.")
	}
	s.Number = step.Number
	s.Plan = NextPlan(s.Plan, step.Unsigned)
	s.Life = NextLife(s.Life, s.Plan, nonce)
	s.Nonces = append(s.Nonces, nonce)
	s.Epoch = max(s.Epoch, step.Epoch)
	s.Floor = max(s.Floor, step.Time)
	s.Kept = append(s.Kept, KeptStep{Number: step.Number, Signed: in.Signed})
	return changes, nil
}

// renew notes a contact that counts for every license but those named. One that
// came with this very update is as new as the contact.
func (s *State) renew(at license.Time, except []license.ID) {
	for id, h := range s.Held {
		switch {
		case !slices.Contains(except, id):
			h.Contact = 0
		case h.Contact == 0:
			h.Contact = s.LastContact
		}
		s.Held[id] = h
	}
	s.LastContact = at
}

// acknowledge forgets the nonces of steps the vendor has seen a receipt for.
func (s *State) acknowledge(acked uint64) {
	if acked <= s.Acked || acked > s.Number {
		return
	}
	s.Nonces = slices.Clone(s.Nonces[acked-s.Acked:])
	s.Acked = acked
}

// keepNeeded drops the steps that neither put anything held nor belong to the
// last KeptSteps.
func (s *State) keepNeeded() {
	needed := map[uint64]bool{}
	for _, h := range s.Held {
		needed[h.Step] = true
	}
	s.Kept = slices.DeleteFunc(s.Kept, func(k KeptStep) bool {
		return !needed[k.Number] && k.Number+KeptSteps <= s.Number
	})
}

func (s State) clone() State {
	s.Nonces = slices.Clone(s.Nonces)
	s.Held = maps.Clone(s.Held)
	if s.Held == nil {
		s.Held = map[license.ID]Holding{}
	}
	s.Kept = slices.Clone(s.Kept)
	s.Counters = maps.Clone(s.Counters)
	return s
}

// Signed returns the signed bytes of a step the container keeps.
func (s State) Signed(number uint64) ([]byte, bool) {
	for _, k := range s.Kept {
		if k.Number == number {
			return k.Signed, true
		}
	}
	return nil, false
}

// Report makes the container's statement about itself under a fresh nonce, and
// the state that remembers to have asked it.
func (s State) Report(identity Identity, nonce Nonce, now license.Time) (State, Report) {
	r := Report{
		Identity: identity, Number: s.Number, Plan: s.Plan, Life: s.Life,
		Acked: s.Acked, Nonces: slices.Clone(s.Nonces), Epoch: s.Epoch,
		Nonce: nonce, Challenge: bytes.Clone(s.Challenge), LocalTime: now, Units: s.Counted(s.Acked),
	}
	for id, h := range s.Held {
		r.Held = append(r.Held, HeldLicense{License: id, Generation: h.Generation})
	}
	slices.SortFunc(r.Held, func(a, b HeldLicense) int {
		if a.License < b.License {
			return -1
		}
		return 1
	})
	s.Asked = nonce
	s.Floor = max(s.Floor, now)
	return s, r
}
