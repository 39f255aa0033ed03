package wire

import (
	"licet/container"
	"licet/license"
)

// BridgePort is where the agent of a machine listens for the vendor's pages, where
// its user has turned that on.
const BridgePort = 47119

// Paths of the bridge between a page in a browser and the agent of the machine.
// Every call is a POST with JSON; all but the first two need a token.
const (
	PathBridgePair       = "/v1/pair"       // BridgePair, BridgePairing
	PathBridgeWait       = "/v1/wait"       // BridgeWait, BridgeConsent
	PathBridgeContainers = "/v1/containers" // {}, BridgeContainers
	PathBridgeActivate   = "/v1/activate"   // BridgeActivate, Programming
	PathBridgeReturn     = "/v1/return"     // BridgeReturn, Programming
)

// BridgePair asks the machine's user for consent.
type BridgePair struct {
	Vendor string `json:"vendor"` // id of the vendor whose licenses it is about
}

// BridgePairing waits for the user's consent: the page shows the code, and the user
// confirms it where no page can.
type BridgePairing struct {
	ID      string `json:"id"` // for BridgeWait; a secret of the page
	Code    string `json:"code"`
	Command string `json:"command"` // what the user types
	Seconds int64  `json:"seconds"` // left for it
}

// BridgeWait asks what became of a pairing.
type BridgeWait struct {
	ID string `json:"id"`
}

// What became of a pairing.
const (
	PairingWaiting = "waiting"
	PairingAllowed = "allowed"
	PairingRefused = "refused"
	PairingEnded   = "ended" // the time is over, or there was none
)

// BridgeConsent says what became of a pairing. The token is told once, and goes
// into the header "Authorization: Bearer TOKEN" of every further call.
type BridgeConsent struct {
	State   string `json:"state"`
	Token   string `json:"token,omitempty"`
	Seconds int64  `json:"seconds,omitempty"` // left for the token
}

// BridgeContainers are the containers of the page's vendor on the machine.
type BridgeContainers struct {
	Containers []BridgeContainer `json:"containers"`
}

// BridgeContainer is one container as far as the vendor's page needs to know it.
type BridgeContainer struct {
	Serial   license.Serial `json:"serial"`
	Kind     license.Kind   `json:"kind,omitempty"`
	Status   string         `json:"status"`
	Waiting  bool           `json:"waiting,omitempty"` // for the answer to a request file
	Licenses []license.ID   `json:"licenses"`
}

// BridgeActivate asks for licenses of tickets.
type BridgeActivate struct {
	Tickets   []license.Ticket   `json:"tickets"`
	Licenses  []license.ID       `json:"licenses,omitempty"`  // these alone; all of the tickets' if empty
	Amounts   []container.Amount `json:"amounts,omitempty"`   // how many seats or units of a license the container is to have, where not all
	Container license.Serial     `json:"container,omitempty"` // the vendor's oldest, or the first, if empty; "new" for a further one
}

// BridgeReturn gives licenses back.
type BridgeReturn struct {
	Licenses  []license.ID       `json:"licenses"`
	Amounts   []container.Amount `json:"amounts,omitempty"` // how many seats of a license go, where not all
	Container license.Serial     `json:"container"`
}
