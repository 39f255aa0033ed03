package license

import "licet/refusal"

// State is a delivery state: where the last put or drop of a license stands.
type State string

// The delivery states. Returned behaves exactly like NotCollected.
const (
	NotCollected State = "not_collected"
	Collecting   State = "collecting"
	Collected    State = "collected"
	Returning    State = "returning"
	Returned     State = "returned"
	Gone         State = "gone"
)

// StateRow explains a state to people.
type StateRow struct {
	State   State
	Place   Place
	Meaning string
}

// Place says who has a license for every decision.
type Place string

// The places. A license that was issued or returned without a receipt is still
// with the user.
const (
	WithVendor Place = "vendor"
	WithUser   Place = "user"
	Nowhere    Place = "nowhere"
)

// States lists every state. The database's CHECK and docs/lifecycle.md are
// made from it.
var States = []StateRow{
	{NotCollected, WithVendor, "Sold and ready to be activated."},
	{Collecting, WithUser, "An update with the license was issued; no receipt yet. It counts as with the user."},
	{Collected, WithUser, "The container has confirmed that it holds the license."},
	{Returning, WithUser, "An update that removes the license was issued; no receipt yet. It still counts as with the user."},
	{Returned, WithVendor, "The container has confirmed the removal; ready to be activated again."},
	{Gone, Nowhere, "Withdrawn by the vendor, or merged with another part of the same license; it stays in the histories."},
}

// Event is something that happens to a license.
type Event string

// The events.
const (
	PutIssued     Event = "put_issued"
	PutConfirmed  Event = "put_confirmed"
	ChangeIssued  Event = "change_issued"
	DropIssued    Event = "drop_issued"
	DropConfirmed Event = "drop_confirmed"
	Withdrawn     Event = "withdrawn"
	TakenBack     Event = "taken_back"
	Restored      Event = "restored"
	Lost          Event = "lost"
	Merged        Event = "merged"
)

// Cause says who brings an event about.
type Cause string

// The causes.
const (
	ByUser      Cause = "user"      // asked for in a request
	ByVendor    Cause = "vendor"    // ordered by staff
	ByContainer Cause = "container" // proven by a signed report
)

// Guard is a condition of a transition beyond the state.
type Guard string

// The guards.
const (
	Always            Guard = ""
	SameContainer     Guard = "same_container"     // the license is with the container that asks
	MatchesHolder     Guard = "matches_holder"     // generation and holder are those of the step confirmed
	LastOperation     Guard = "last_operation"     // no later step of the log concerns the license
	WithdrawalOrdered Guard = "withdrawal_ordered" // the vendor has ordered the withdrawal
	RestoreGranted    Guard = "restore_granted"    // policy or staff have granted a restore, which starts the next generation
	OtherPart         Guard = "other_part"         // another part of the same license is with the vendor, and nothing is ordered for either
)

// Transition is one row of the life of a license.
type Transition struct {
	From     State
	Event    Event
	To       State
	Causes   []Cause
	Guard    Guard
	Sentence string // what happens, for people
}

// Transitions is the whole life of a license (docs/protocol.md, states). No
// other transition exists.
var Transitions = []Transition{
	{NotCollected, PutIssued, Collecting, []Cause{ByUser, ByVendor}, Always, "Activated: an update with the license is issued to one container."},
	{Returned, PutIssued, Collecting, []Cause{ByUser, ByVendor}, Always, "Activated again, in the same container or another."},
	{Returning, PutIssued, Collecting, []Cause{ByUser, ByVendor}, SameContainer, "Activated again in the container that is giving it back: a further step, never a cancel."},
	{Collecting, PutConfirmed, Collected, []Cause{ByContainer}, MatchesHolder, "The receipt, or any later report of the container, confirms that it arrived."},
	{Collecting, ChangeIssued, Collecting, []Cause{ByUser, ByVendor}, SameContainer, "Changed before the receipt came: a further step brings it as it is now, such as with the seats that stay, or with more units."},
	{Collected, ChangeIssued, Collecting, []Cause{ByUser, ByVendor}, SameContainer, "Changed: an update that brings it as it is now is issued, such as with the seats that stay, or with more units; the container has it all the while."},
	{Collecting, DropIssued, Returning, []Cause{ByUser, ByVendor}, SameContainer, "Returned before the receipt came: a further step removes it."},
	{Collected, DropIssued, Returning, []Cause{ByUser, ByVendor}, SameContainer, "Returned: an update that removes it is issued."},
	{Returning, DropConfirmed, Returned, []Cause{ByContainer}, LastOperation, "The receipt, or any later report, proves the removal: free to be activated again."},
	{Returning, TakenBack, Gone, []Cause{ByContainer}, WithdrawalOrdered, "The removal of a withdrawn license is proven."},
	{Collecting, Restored, NotCollected, []Cause{ByUser, ByVendor}, RestoreGranted, "Lost before its receipt came, and restored: the next generation is free to be activated, the lost copy is to be removed."},
	{Collected, Restored, NotCollected, []Cause{ByUser, ByVendor}, RestoreGranted, "Lost and restored: the next generation is free to be activated, the lost copy is to be removed."},
	{Returning, Restored, NotCollected, []Cause{ByUser, ByVendor}, RestoreGranted, "Lost on its way back, and restored: the next generation is free to be activated."},
	{Collecting, Lost, Gone, []Cause{ByUser, ByVendor}, WithdrawalOrdered, "Lost while its withdrawal was ordered: gone, and the lost copy is to be removed."},
	{Collected, Lost, Gone, []Cause{ByUser, ByVendor}, WithdrawalOrdered, "Lost while its withdrawal was ordered: gone, and the lost copy is to be removed."},
	{Returning, Lost, Gone, []Cause{ByUser, ByVendor}, WithdrawalOrdered, "Lost while its withdrawal was ordered: gone, and the lost copy is to be removed."},
	{NotCollected, Merged, Gone, []Cause{ByContainer}, OtherPart, "Its seats are merged with another part of the same license; this part stays in the histories."},
	{Returned, Merged, Gone, []Cause{ByContainer}, OtherPart, "Its seats are merged with another part of the same license; this part stays in the histories."},
	{NotCollected, Withdrawn, Gone, []Cause{ByVendor}, Always, "Withdrawn while with the vendor: gone at once."},
	{Returned, Withdrawn, Gone, []Cause{ByVendor}, Always, "Withdrawn while with the vendor: gone at once."},
}

// Next returns the state after an event, or a refusal that names why there is
// no such transition. The caller has checked the row's guard.
func Next(from State, event Event) (State, *refusal.Refusal) {
	for _, t := range Transitions {
		if t.From == from && t.Event == event {
			return t.To, nil
		}
	}
	switch {
	case from == Gone:
		return from, refusal.New(refusal.LicenseWithdrawn, "The license was withdrawn by the vendor.")
	case event == PutIssued:
		return from, refusal.New(refusal.LicenseInUse, "The license is activated already.")
	default:
		return from, refusal.New(refusal.Conflict, "A license that is %s cannot take the event %s.", from, event)
	}
}

// Row explains a state; an unknown one gets an empty row.
func (s State) Row() StateRow {
	for _, r := range States {
		if r.State == s {
			return r
		}
	}
	return StateRow{State: s}
}

// Available reports whether a license in this state can be activated by anybody
// who has its ticket.
func (s State) Available() bool { return s == NotCollected || s == Returned }

// Held reports whether a license in this state counts as with a container.
func (s State) Held() bool { return s.Row().Place == WithUser }
