package license

import (
	"cmp"
	"encoding/json"
)

// RestoreMode says who decides that a lost license is replaced.
type RestoreMode string

// The restore modes.
const (
	RestoreNever     RestoreMode = "never"     // nobody: lost is lost
	RestoreAutomatic RestoreMode = "automatic" // policy, at once
	RestoreManual    RestoreMode = "manual"    // the vendor's staff, case by case
	RestoreHybrid    RestoreMode = "hybrid"    // policy up to the limit, then staff
)

// RestoreModes lists every restore mode.
var RestoreModes = []RestoreMode{RestoreNever, RestoreAutomatic, RestoreManual, RestoreHybrid}

// Stop says how the lost copy of a restored license is stopped.
type Stop string

// The ways to stop a lost copy.
const (
	StopWithdraw Stop = "withdraw" // its container's next contact takes it out, and the block list names it
	StopBlock    Stop = "block"    // the same, and a container lost as a whole is blocked
	StopReturn   Stop = "return"   // its container's next contact takes it out; the block list does not name it
)

// Stops lists every way to stop a lost copy.
var Stops = []Stop{StopWithdraw, StopBlock, StopReturn}

// Found says what happens when a container that was reported lost turns up.
type Found string

// What happens to a container that turns up.
const (
	FoundWithdrawn Found = "withdrawn" // the old copy is taken out, the replacement stays
	FoundBlocked   Found = "blocked"   // it stays blocked until the vendor lifts that
	FoundRevived   Found = "revived"   // it gets the license again, after whoever has the replacement has lost it
)

// Founds lists everything that can happen to a container that turns up.
var Founds = []Found{FoundWithdrawn, FoundBlocked, FoundRevived}

// Restore is the policy for lost licenses of a product. What is not set is as
// WithDefaults says.
type Restore struct {
	License     RestoreLicense       `json:"license"`
	Container   RestoreContainer     `json:"container"`
	Kinds       map[Kind]RestoreMode `json:"kinds,omitempty"`       // takes the place of mode and hardware rules for what is lost with such a container
	SelfService *bool                `json:"self_service,omitzero"` // whether users may get it elsewhere without the old container
	Stop        Stop                 `json:"stop"`
	Found       Found                `json:"found"`
	Conditions  string               `json:"conditions,omitzero"` // text the user must accept first; "" means none
}

// RestoreLicense is the policy for single licenses. Its limits hold for every
// restore by policy, of whole containers too.
type RestoreLicense struct {
	Mode       RestoreMode            `json:"mode"`
	Automatic  int64                  `json:"automatic,omitzero"`   // how many restores policy grants in each Per; 0 means no limit when automatic, none when hybrid
	Per        Duration               `json:"per,omitzero"`         // the period of Automatic; 0 means the license's whole life
	Wait       Duration               `json:"wait,omitzero"`        // time between two automatic restores; 0 means none
	ValueLimit int64                  `json:"value_limit,omitzero"` // what is worth more goes to staff; 0 means no limit
	Customers  map[string]RestoreMode `json:"customers,omitempty"`  // takes the place of every other mode for a customer, by name
}

// RestoreContainer is the policy for whole containers.
type RestoreContainer struct {
	SameHardware RestoreMode `json:"same_hardware"` // the machine was installed anew
	NewHardware  RestoreMode `json:"new_hardware"`
	Damaged      RestoreMode `json:"damaged"` // the container is there, but cannot be read
}

// WithDefaults returns the policy with everything set that has a default: users
// may help themselves, the lost copy is withdrawn, and a damaged container is as
// one on new hardware.
func (r Restore) WithDefaults() Restore {
	r.Container.Damaged = cmp.Or(r.Container.Damaged, r.Container.NewHardware)
	r.Stop = cmp.Or(r.Stop, StopWithdraw)
	r.Found = cmp.Or(r.Found, FoundWithdrawn)
	if r.SelfService == nil {
		r.SelfService = new(true)
	}
	return r
}

// UnmarshalJSON reads a policy with its defaults: a product may have been stored
// before a key existed.
func (r *Restore) UnmarshalJSON(b []byte) error {
	type plain Restore
	var p plain
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*r = Restore(p).WithDefaults()
	return nil
}
