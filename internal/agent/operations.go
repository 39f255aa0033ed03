package agent

import (
	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// NewContainer stands in place of a serial where another container is to be
// made beside the ones there are.
const NewContainer license.Serial = "new"

// ActivateRequest asks for licenses, online.
type ActivateRequest struct {
	Tickets   []license.Ticket   `json:"tickets,omitempty"`
	Licenses  []license.ID       `json:"licenses,omitempty"`  // these alone; all of the tickets' if empty
	Amounts   []container.Amount `json:"amounts,omitempty"`   // how many seats or units of a license in Licenses the container is to have, where not all
	Central   string             `json:"central,omitempty"`   // the trust file's address if empty
	Container license.Serial     `json:"container,omitempty"` // NewContainer for a further one
	Vendor    string             `json:"vendor,omitempty"`    // only into one of this vendor's
}

// DeactivateRequest gives licenses back, online.
type DeactivateRequest struct {
	Licenses  []license.ID       `json:"licenses,omitempty"`
	Amounts   []container.Amount `json:"amounts,omitempty"`  // how many seats of a license in Licenses go, where not all
	All       bool               `json:"all,omitempty"`      // everything in the container
	Together  bool               `json:"together,omitempty"` // with those that need them
	Central   string             `json:"central,omitempty"`
	Container license.Serial     `json:"container,omitempty"`
	Vendor    string             `json:"vendor,omitempty"` // only out of one of this vendor's
}

// Deactivation is what became of a return.
type Deactivation struct {
	wire.Programming
	// Left is how many licenses are still in the container.
	Left int `json:"left"`
	// SafeToWipe says that no container of this machine has anything left and the
	// vendors have the proof, so that the machine may be erased without losing a
	// license.
	SafeToWipe bool `json:"safe_to_wipe"`
	// Remaining lists every container that stands against it.
	Remaining []Remaining `json:"remaining"`
}

// Remaining is a container with which something would be lost.
type Remaining struct {
	Container license.Serial `json:"container"`
	Licenses  []license.ID   `json:"licenses,omitempty"`        // that it holds
	Loans     []wire.Loan    `json:"loans,omitempty"`           // of license servers, that it has or has not proven to have returned
	Receipt   bool           `json:"receipt_waiting,omitempty"` // the vendor does not know yet what was returned
	Closed    string         `json:"closed,omitempty"`          // why it cannot be told what is in it
}

// RestoreRequest reports lost licenses, online. Their tickets authorize it.
type RestoreRequest struct {
	Tickets    []license.Ticket `json:"tickets,omitempty"`
	Licenses   []license.ID     `json:"licenses,omitempty"` // those lost; all of the tickets' that are with users, but not here, if empty
	Whole      license.Serial   `json:"whole,omitempty"`    // the container that was lost with everything in it
	Damaged    bool             `json:"damaged,omitempty"`  // it is there, but cannot be read
	Reason     string           `json:"reason,omitempty"`
	Evidence   string           `json:"evidence,omitempty"`
	Contact    string           `json:"contact,omitempty"` // e-mail address for the decision
	Accept     bool             `json:"accept_conditions,omitempty"`
	ReportOnly bool             `json:"report_only,omitempty"` // activate nothing
	Central    string           `json:"central,omitempty"`
	Container  license.Serial   `json:"container,omitempty"` // that is to have them; NewContainer for a further one
}

// Restoration is what became of a report of lost licenses: an outcome for each,
// and what was activated.
type Restoration struct {
	wire.Programming
	Recovery uint64 `json:"recovery,omitempty"` // number of the report; 0 if the vendor keeps none
}

// UpdateRequest asks the vendor what is pending.
type UpdateRequest struct {
	Central   string         `json:"central,omitempty"`
	Container license.Serial `json:"container,omitempty"` // every container if empty
	Vendor    string         `json:"vendor,omitempty"`    // only those of this vendor
}

// Updated is what an update did to one container, or why it did not.
type Updated struct {
	wire.Programming
	// Delivered says that a receipt had waited and the vendor has it now.
	Delivered bool          `json:"delivered,omitempty"`
	Error     *wire.Problem `json:"error,omitempty"`
}

// RequestRequest makes a request file.
type RequestRequest struct {
	Tickets    []license.Ticket   `json:"tickets,omitempty"`
	Activate   []license.ID       `json:"activate,omitempty"`
	Deactivate []license.ID       `json:"deactivate,omitempty"`
	Amounts    []container.Amount `json:"amounts,omitempty"` // as in ActivateRequest and DeactivateRequest
	All        bool               `json:"all,omitempty"`     // return everything in the container
	Vendor     string             `json:"vendor,omitempty"`  // whose, where several are trusted
	Container  license.Serial     `json:"container,omitempty"`
}

// ReceiptRequest makes a receipt file.
type ReceiptRequest struct {
	Container license.Serial `json:"container,omitempty"`
}

// File is a file to be carried to the vendor.
type File struct {
	Container license.Serial `json:"container"`
	Counter   uint64         `json:"counter"`
	Data      []byte         `json:"data"`
	Wishes    int            `json:"wishes"`
}

// ImportRequest carries an update or a block list in.
type ImportRequest struct {
	Data []byte `json:"data"`
}

// ContainerRequest names a container; it may be left empty where there is one.
type ContainerRequest struct {
	Container license.Serial `json:"container"`
	Force     bool           `json:"force,omitempty"`   // delete: licenses and all
	Central   string         `json:"central,omitempty"` // repair: where lost licenses are fetched
}

// CheckRequest asks whether a product may be used.
type CheckRequest struct {
	Vendor  string    `json:"vendor,omitempty"` // any trusted one if empty
	Product string    `json:"product"`
	Use     terms.Use `json:"use"`
}

// CheckResult is the answer, and which license it is about.
type CheckResult struct {
	terms.Verdict
	Product   string         `json:"product"`
	License   license.ID     `json:"license"`
	Source    string         `json:"source"` // "container SERIAL", or "loan from SERIAL until …"
	Container license.Serial `json:"container,omitempty"`
	Vendor    string         `json:"vendor,omitempty"`
	Hint      string         `json:"hint,omitempty"`
	Loan      *wire.Loan     `json:"loan,omitempty"`  // if a license server has lent it
	Units     *wire.Units    `json:"units,omitempty"` // if it has a counter
}

// Inventory is every container of the machine.
type Inventory struct {
	Containers []Container `json:"containers"`
}

// Statuses of a container on its machine.
const (
	StatusOK      = "ok"            // everything in it can be used here
	StatusChanged = "changed"       // it opens, and some licenses do not: the machine changed
	StatusOther   = "other_machine" // it does not open here
	StatusDamaged = "damaged"       // its files cannot be read
	StatusBlocked = "blocked"       // the vendor has blocked it: nothing in it may be used
)

// Container is one container as this machine sees it.
type Container struct {
	Serial      license.Serial `json:"serial"`
	Kind        license.Kind   `json:"kind,omitempty"`
	Vendor      string         `json:"vendor,omitempty"`
	VendorID    string         `json:"vendor_id,omitempty"`
	Environment string         `json:"environment,omitempty"`
	Status      string         `json:"status"`
	Reason      string         `json:"reason,omitempty"` // why the status is not ok
	Counter     uint64         `json:"counter"`
	Acked       uint64         `json:"acked"`             // last step the vendor is known to have a receipt for; unknown while Closed
	Receipt     string         `json:"receipt"`           // delivered, waiting, or none
	Waiting     string         `json:"waiting,omitempty"` // a request whose answer has not been imported
	LastContact license.Time   `json:"last_contact,omitzero"`
	Binding     *Binding       `json:"binding,omitempty"`
	Licenses    []License      `json:"licenses"`
	Returned    []wire.Loan    `json:"returned,omitempty"` // loans given back, of which their server does not know
}

// Closed reports whether the container does not open here, so that it cannot be
// told what is in it.
func (c Container) Closed() bool { return c.Status == StatusOther || c.Status == StatusDamaged }

// Binding is how a container is bound to the machine; it names traits and never
// tells their values.
type Binding struct {
	Strength    string   `json:"strength"`
	Explanation string   `json:"explanation"`
	Sentence    string   `json:"sentence"`
	Matched     []string `json:"matched"`
	Changed     []string `json:"changed"`
	Missing     []string `json:"missing"`
	Added       []string `json:"added"`
	Score       int      `json:"score"`
	Total       int      `json:"total"`
	NeedLoose   int      `json:"need_loose"`
	NeedMedium  int      `json:"need_medium"`
	NeedTight   int      `json:"need_tight"`
}

// License is one license in a container.
type License struct {
	ID         license.ID         `json:"id"`
	Product    string             `json:"product"`
	Name       string             `json:"name,omitempty"`
	Generation license.Generation `json:"generation"`
	Usable     bool               `json:"usable"`
	Code       refusal.Code       `json:"code"`             // valid, or why it cannot be used
	Reason     string             `json:"reason,omitempty"` // the same as a sentence
	Features   []string           `json:"features"`
	Seats      int64              `json:"seats"`
	ExpiresAt  license.Time       `json:"expires_at"`
	ValidUntil license.Time       `json:"valid_until,omitzero"`
	Tolerance  license.Tolerance  `json:"tolerance,omitempty"`
	Repair     bool               `json:"repair"`
	Customer   string             `json:"customer,omitempty"`
	Order      string             `json:"order,omitempty"`
	Terms      *license.Terms     `json:"terms,omitempty"`
	Loan       *wire.Loan         `json:"loan,omitempty"`  // if a license server has lent it
	Units      *wire.Units        `json:"units,omitempty"` // if it has a counter
	Moved      []wire.Moved       `json:"moved,omitempty"` // units of it that moved to other containers, in order
}

// TrustRequest adds a vendor to those whose licenses this machine accepts.
type TrustRequest struct {
	File []byte `json:"file,omitempty"` // the trust file
	URL  string `json:"url,omitempty"`  // or central's address
}

// Trust is one vendor this machine accepts.
type Trust struct {
	VendorID    string `json:"vendor_id"`
	Vendor      string `json:"vendor,omitempty"`
	Environment string `json:"environment"`
	Address     string `json:"address,omitempty"`
	Number      uint64 `json:"number"`              // of the trust file; a newer one has a higher
	BlockList   uint64 `json:"block_list,omitzero"` // number of the block list that is known here
	Revoked     int    `json:"revoked,omitempty"`   // keys that it says count no more
	Change      string `json:"change,omitempty"`    // added, refreshed or unchanged, in the answer to trust add
}

// Nothing is the request of operations that need none.
type Nothing struct{}
