package seats

import (
	"time"

	"licet/license"
	"licet/refusal"
)

// Engine decides who has which seat. It is not safe for concurrent use. Nothing
// it grants may be answered before the records that came with it are durable, in
// their order (docs/protocol.md R26).
//
// now is the wall clock's time in every call. When that clock is set, ClockMoved
// must be told, so that sessions are timed by what really passed.
type Engine struct{}

// New makes an engine without sources and rules.
func New(l Limits) *Engine { panic("soon") }

// SetSources says what licenses there are now: all of them. What was granted
// from one that is gone lives to its end, and is neither extended nor granted anew.
func (e *Engine) SetSources(now license.Time, s []Source) { panic("soon") }

// SetRules replaces the rules of access. What was granted stays.
func (e *Engine) SetRules(r Rules) { panic("soon") }

// SetLimits replaces the limits. What was granted stays.
func (e *Engine) SetLimits(l Limits) { panic("soon") }

// ClockMoved says that the wall clock was set forward by d (back if negative),
// beyond what passed: before the first call with the new time.
func (e *Engine) ClockMoved(d time.Duration) { panic("soon") }

// Claim gives the caller a seat, its own again if the wish is repeated, a place
// in the queue (detail "queue", a Waiting), or says why not. Records may come with a refusal too: of
// what was over.
func (e *Engine) Claim(now license.Time, who Caller, c Claim, mint Mint) (Grant, []Record, *refusal.Refusal) {
	panic("soon")
}

// Extend lets a session last its length again from now on. Nothing of it is recorded. The
// grant states the lease as it is now, with nonce in place of the first one.
func (e *Engine) Extend(now license.Time, id LeaseID, t Token, nonce string) (Grant, *refusal.Refusal) {
	panic("soon")
}

// Release ends a session by its holder's wish.
func (e *Engine) Release(now license.Time, id LeaseID, t Token) ([]Record, *refusal.Refusal) {
	panic("soon")
}

// End ends a session by an administrator's word. A loan cannot be ended so.
func (e *Engine) End(now license.Time, id LeaseID, by, why string) ([]Record, *refusal.Refusal) {
	panic("soon")
}

// Lend decides a wish that was signed by the container holder, whose key is
// holderKey.
func (e *Engine) Lend(now license.Time, who Caller, holder license.Serial, holderKey []byte, w LoanWish, mint Mint) (LoanAnswer, []Record) {
	panic("soon")
}

// Tick ends what is over by now. Call it every second or so.
func (e *Engine) Tick(now license.Time) []Record { panic("soon") }

// Replay takes one record in, in the order in which they were made, before
// anything else is asked. An error means that the records are not those of an engine.
func (e *Engine) Replay(r Record) error { panic("soon") }

// Snapshot is the fewest records that rebuild the engine.
func (e *Engine) Snapshot() []Record { panic("soon") }

// Recover is called once after Replay: every session that is not known to have
// ended counts for one more period, because its extensions are not recorded.
func (e *Engine) Recover(now license.Time) { panic("soon") }

// Uncertain says that the record of what was granted is lost, or may lack
// something (docs/protocol.md R27).
func (e *Engine) Uncertain(now license.Time) []Record { panic("soon") }

// Pardon ends the waiting after a loss by an administrator's word.
func (e *Engine) Pardon(now license.Time, by, why string) []Record { panic("soon") }

// Pools is every license that seats come or came from.
func (e *Engine) Pools(now license.Time) []PoolView { panic("soon") }

// Leases is everything that is out, lingering seats included.
func (e *Engine) Leases(now license.Time) []LeaseView { panic("soon") }

// Products is what the caller may have now; of one vendor unless that is "".
func (e *Engine) Products(now license.Time, who Caller, vendor string) []ProductView { panic("soon") }

// Lent is what is out of a container's license on loan and for good, and until when the
// last of it is (0 if nothing is on loan, or something has no end).
func (e *Engine) Lent(c license.Serial, id license.ID) (onLoan, forGood int64, until license.Time) {
	panic("soon")
}

// RecordKind says what a record states.
type RecordKind byte

// The kinds of record.
const (
	Granted   RecordKind = 1 // a lease began, in place of Replaces where that is named
	Extended  RecordKind = 2 // a loan lasts longer
	Ended     RecordKind = 3 // a lease is over, or lingers until Until
	Confirmed RecordKind = 4 // the holder of a loan is known to have it
	Lost      RecordKind = 5 // the record before this was lost (R27)
	Found     RecordKind = 6 // and nothing unknown can be out any more, or an administrator says so
	Mark      RecordKind = 7 // the fence of a snapshot
)

// Record is one fact that must be durable before it is answered.
type Record struct {
	Kind RecordKind
	Time license.Time
	// more to come
}

// MarshalBinary writes r in its one spelling.
func (r Record) MarshalBinary() ([]byte, error) { panic("soon") }

// UnmarshalBinary reads what MarshalBinary writes and nothing else.
func (r *Record) UnmarshalBinary(b []byte) error { panic("soon") }

// Rules say who may have seats; see ParseRules.
type Rules struct{}

// ParseRules reads rules as people write them, one a line:
//
//	# what follows a number sign is a remark
//	allow subnet=10.1.0.0/16
//	allow host=cad-* product=CAD-PRO limit=5
//	allow group=lab product=CAD-PRO reserve=2 borrow=7d
//	allow user=ann transfer=yes
//	deny user=guest
func ParseRules(text string) (Rules, error) { panic("soon") }

// String writes the rules, one a line, as they were read.
func (r Rules) String() string { panic("soon") }

// Decision is what the rules say of one caller and one product, and why.
type Decision struct {
	Allow    bool             `json:"allow"`
	Line     int              `json:"line"` // of the rule that decides; 0 if none does
	Rule     string           `json:"rule,omitempty"`
	Why      string           `json:"why"`              // a sentence
	Limit    int64            `json:"limit,omitzero"`   // seats of the product for all whom the rule allows; 0 means no limit
	Reserve  int64            `json:"reserve,omitzero"` // seats of the product that are kept for them
	NoLoan   bool             `json:"no_loan,omitzero"`
	Longest  license.Duration `json:"longest,omitzero"` // loan; 0 as the license allows
	Transfer bool             `json:"transfer,omitzero"`
}

// Decide says whether the caller may have seats of the product.
func (r Rules) Decide(who Caller, product string) Decision { panic("soon") }
