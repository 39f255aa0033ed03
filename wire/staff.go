package wire

import (
	"encoding/json"

	"licet/license"
	"licet/recovery"
)

// Withdrawal withdraws several licenses.
type Withdrawal struct {
	Licenses []license.ID `json:"licenses" minItems:"1" maxItems:"1000"`
	Reason   string       `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun   bool         `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// Decided is a body that carries why staff decide something, or would.
type Decided struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// Addition adds units to the counter of a license.
type Addition struct {
	Units  int64  `json:"units" minimum:"1" doc:"How many more."`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Replacement puts a license of another product, or with other terms, in place
// of one.
type Replacement struct {
	With   string `json:"with" minLength:"1" maxLength:"1000" doc:"Product code, and terms for this license alone, such as CAD-NET,seats=10."`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// Assignment sends a license to a container.
type Assignment struct {
	Container license.Serial `json:"container" minLength:"1" maxLength:"200"`
	Reason    string         `json:"reason" minLength:"1" maxLength:"1000"`
	DryRun    bool           `json:"dry_run,omitempty" doc:"Only say what would happen."`
}

// Earmark is an order of the vendor that waits for a container, or is under way.
type Earmark struct {
	ID         string             `json:"id"`
	Kind       string             `json:"kind"` // withdraw, replace, assign, kill (an earlier copy goes) or recall (it comes back)
	License    license.ID         `json:"license"`
	Product    string             `json:"product"`
	Generation license.Generation `json:"generation"`
	Container  license.Serial     `json:"container"`
	With       license.ID         `json:"with,omitempty"` // what comes in its place
	Step       uint64             `json:"step,omitempty"` // that carries it; 0 until the container's next contact
	Text       string             `json:"text"`           // for people
	Actor      string             `json:"actor"`
	Reason     string             `json:"reason,omitempty"`
	Created    license.Time       `json:"created_at"`
}

// UpdateFile is an update file in JSON.
type UpdateFile struct {
	File string `json:"file" doc:"Text of the file, to be mailed or carried."`
}

// Question asks the user back about a report of a loss.
type Question struct {
	Question string `json:"question" minLength:"1" maxLength:"4000"`
}

// RestoreGrant allows restores of a license beyond its policy.
type RestoreGrant struct {
	Count  int64  `json:"count,omitempty" minimum:"1" maximum:"100" doc:"How many; 1 if absent."`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// RestoreGrants allows restores of several licenses beyond their policy.
type RestoreGrants struct {
	Licenses []license.ID `json:"licenses" minItems:"1" maxItems:"1000"`
	Count    int64        `json:"count,omitempty" minimum:"1" maximum:"100" doc:"How many of each; 1 if absent."`
	Reason   string       `json:"reason" minLength:"1" maxLength:"1000"`
}

// PastRestore is one restore of a license: a generation of it that ended.
type PastRestore struct {
	Generation license.Generation `json:"generation"`         // that ended
	How        string             `json:"how"`                // automatic, extra (staff had allowed it before), staff or lost (with its withdrawal)
	Recovery   uint64             `json:"recovery,omitempty"` // report that asked for it
	Container  license.Serial     `json:"container,omitempty"`
	Actor      string             `json:"actor"`
	Time       license.Time       `json:"time"`
}

// SimulationRequest asks what another policy would have decided.
type SimulationRequest struct {
	Product string          `json:"product" minLength:"1" maxLength:"200" doc:"Product code."`
	Restore json.RawMessage `json:"restore" doc:"The policy, as restore in the catalog has it; what is absent is as for a new product."`
	Days    int64           `json:"days,omitempty" minimum:"1" maximum:"3650" doc:"Reports of the last so many days; 365 if absent."`
}

// Simulation is what another policy would have decided about past reports.
type Simulation struct {
	Product string           `json:"product"`
	Since   license.Time     `json:"since"`
	More    bool             `json:"more"` // there are more reports than were looked at
	Summary recovery.Summary `json:"summary"`
	Changed []SimulatedCase  `json:"changed"` // the cases with another verdict, oldest first
}

// SimulatedCase is one lost license of a past report, decided again.
type SimulatedCase struct {
	Recovery uint64            `json:"recovery"`
	License  license.ID        `json:"license"`
	Customer string            `json:"customer"`
	Time     license.Time      `json:"time"`
	Then     recovery.Verdict  `json:"then"`
	Outcome  string            `json:"outcome"` // what became of it: restored, refused, waiting, …
	Now      recovery.Decision `json:"now"`
}

// Excess lists who restored more often than a number in a number of days.
type Excess struct {
	Count int64        `json:"count"`
	Days  int64        `json:"days"`
	Since license.Time `json:"since"`
	Items []Excessive  `json:"items"` // the most first
}

// Excessive is a customer, a container or a member of staff with many restores.
type Excessive struct {
	Kind     string       `json:"kind"` // customer, container or staff
	Subject  string       `json:"subject"`
	Times    int64        `json:"times"`    // reports with restores; a container with all its licenses counts once
	Licenses int64        `json:"licenses"` // restored in them
	Last     license.Time `json:"last"`
}

// Settings are the vendor's settings for all of its customers' machines.
type Settings struct {
	AutoUpdate license.Duration `json:"auto_update" doc:"How often machines ask by themselves what is pending; 0s leaves it to them."`
}
