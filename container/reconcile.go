package container

import (
	"bytes"
	"fmt"
)

// Log is the vendor's record of one container's log, as far as comparing a
// report needs it.
type Log struct {
	Issued    uint64          // last step signed
	Acked     uint64          // last step proven to be applied
	AckedLife Hash            // life hash at Acked
	Plans     map[uint64]Hash // plan hashes of the steps Acked … Issued, and of the report's number
	Lives     map[uint64]Hash // life hashes proven earlier, where known: of the report's number
	Challenge []byte          // the one outstanding, empty for none
}

// Standing is how a report compares with the record.
type Standing uint8

// The standings.
const (
	InStep    Standing = iota // confirms every step up to its number
	Behind                    // older than the record: changes nothing, gets a challenge
	Ahead                     // knows steps the record does not: the record is behind
	TwoLives                  // proof that the container was rolled back or copied
	OtherPlan                 // the plans differ: database lost or key forged
)

// Finding is the result of comparing a report with the record.
type Finding struct {
	Standing Standing
	Lives    map[uint64]Hash // newly proven life hashes, of the steps up to the report's number
	Reason   string          // for staff, where the report contradicts the record
}

// Convicts reports whether the finding proves a contradiction, after which the
// container gets nothing new until a person decides (docs/protocol.md R12, R13).
func (f Finding) Convicts() bool { return f.Standing == TwoLives || f.Standing == OtherPlan }

// Reconcile compares a report, whose signature has been verified, with the
// record (docs/protocol.md R7, R11, R12). Only two things convict: a report that
// answers the outstanding challenge and is still behind, and two life hashes for
// one step. Everything else that is old is honest until proven otherwise.
func (l Log) Reconcile(r Report) Finding {
	switch {
	case r.Number > l.Issued || r.Acked > l.Acked:
		return Finding{Standing: Ahead, Reason: fmt.Sprintf("the container is at step %d, the record ends at %d", r.Number, l.Issued)}
	case r.Number < l.Acked:
		return l.reconcileOld(r)
	case r.Plan != l.Plans[r.Number]:
		return Finding{Standing: OtherPlan, Reason: fmt.Sprintf("another plan at step %d", r.Number)}
	}
	// The nonces carry the life from what is proven to what the report claims.
	skip := l.Acked - r.Acked
	life, lives := l.AckedLife, map[uint64]Hash{}
	for n := l.Acked + 1; n <= r.Number; n++ {
		i := skip + n - l.Acked - 1
		if i >= uint64(len(r.Nonces)) {
			return Finding{Standing: TwoLives, Reason: fmt.Sprintf("no proof of how step %d was applied", n)}
		}
		life = NextLife(life, l.Plans[n], r.Nonces[i])
		lives[n] = life
	}
	if life != r.Life {
		return Finding{Standing: TwoLives, Reason: fmt.Sprintf("two lives at step %d: the container was copied, or an older copy of it was used again", r.Number)}
	}
	return Finding{Standing: InStep, Lives: lives}
}

// reconcileOld judges a report below the last acknowledged step.
func (l Log) reconcileOld(r Report) Finding {
	if known, ok := l.Lives[r.Number]; ok && known != r.Life && r.Plan == l.Plans[r.Number] {
		return Finding{Standing: TwoLives, Reason: fmt.Sprintf("two lives at step %d: the container was copied, or an older copy of it was used again", r.Number)}
	}
	if len(l.Challenge) > 0 && bytes.Equal(l.Challenge, r.Challenge) {
		return Finding{Standing: TwoLives, Reason: fmt.Sprintf("an older copy of the container is in use: it answers from step %d, step %d was confirmed", r.Number, l.Acked)}
	}
	return Finding{Standing: Behind}
}
