// Package sdk tells a program whether it may run on this machine: which of the
// vendor's licenses covers it, until when, and with which features. If none
// does, it says why, in sentences for the person in front of the screen.
//
//	//go:embed vendor.trust
//	var trust []byte
//
//	session, err := sdk.Open(ctx, sdk.Product{Trust: trust, Code: "CAD-PRO", Version: "4.2"})
//	if err != nil {
//		return err // a fault of the program: the trust file cannot be read
//	}
//	defer session.Close()
//	if !session.Valid() {
//		fmt.Fprintln(os.Stderr, session.Verdict())
//	}
//
// What follows from a verdict is for the program to decide: to stop, to warn,
// to offer less, or only to write it down. The package enforces nothing.
//
// # Where the answer comes from
//
// The agent of the machine, if one runs, else the containers' files. Both give
// the vendor's signed documents, and a signature over a fresh nonce by the
// container's own key, which the license names. The package verifies all of it
// against the root in the program's trust file; neither the agent nor the
// machine's list of trusted vendors is believed. It needs no network and tells
// nobody.
//
// # The network
//
// Where the machine has no license that may be used, the session asks the license
// servers of the machine's list, or of [WithServers], for a seat, keeps it while the
// program runs, and gives it back with Close. [Session.Borrow] takes it along. No
// network is touched while a license of the machine is valid, and no file is changed
// but by borrowing and returning, and to note the time that passes during a loan.
//
// # Units
//
// A license may be sold by units. [Session.Use] takes some; when none is left, the
// session is not valid any more.
//
// # What is blocked
//
// The vendor's block list, as far as this machine has heard it, and the one that
// the program may bring along ([WithBlockList]), stop containers that were stolen
// and copies of licenses that were replaced.
//
// # Could not tell
//
// A failure to read never means yes: a session that has not seen a license is
// not valid. A session that has seen one keeps it, when a later look fails for
// a reason that says nothing about the license (a disk, an agent that hangs),
// until the license's own end; the verdict carries the failure as a warning. A
// license that is gone, altered or returned ends with the next look.
//
// # Time
//
// A session's time follows the computer's clock forward and never back: setting
// the clock back while the program runs gains nothing. Only a newer signed time
// of the vendor sets it back, after a clock that ran ahead. A clock behind what
// the container has seen is refused from the start.
package sdk

import (
	"strings"
	"time"

	"licet/license"
	"licet/refusal"
	"licet/terms"
)

// Product is what a program says of itself.
type Product struct {
	// Trust is the vendor's trust file, embedded in the program. It decides whose
	// licenses count, whatever this machine trusts.
	Trust []byte
	// Code is the product's code in the vendor's catalog.
	Code string
	// Features are those without which the program is of no use; the session is
	// valid only with all of them. Others are asked for by [Session.Feature].
	Features []string
	// Version is the program's, in dotted numbers such as 4.2.1. Without it a
	// license with a lowest version does not cover the program.
	Version string
	// BuildDate is when this build was made. Without it a license with a
	// maintenance period does not cover the program.
	BuildDate time.Time
}

// Code names a reason; see docs/errors.md for all of them. Codes are stable.
type Code = refusal.Code

// The codes of verdicts that programs most often tell apart.
const (
	OK                = refusal.Valid
	NoLicense         = refusal.NoLicense
	NotYetValid       = refusal.NotYetValid
	Expired           = refusal.Expired
	CheckInOverdue    = refusal.CheckInOverdue
	ClockBehind       = refusal.ClockBehind
	VersionNotCovered = refusal.VersionNotCovered
	FeatureMissing    = refusal.FeatureMissing
	UnitsSpent        = refusal.UnitsSpent
	OtherMachine      = refusal.OtherMachine
	ContainerDamaged  = refusal.ContainerDamaged
	ContainerBlocked  = refusal.ContainerBlocked
	LicenseWithdrawn  = refusal.LicenseWithdrawn
	NoSeatFree        = refusal.NoSeatFree
	LeaseLost         = refusal.LeaseLost
	SeatDenied        = refusal.SeatDenied
	ServerUnreachable = refusal.ServerUnreachable
	DueSoon           = refusal.DueSoon // of a warning: what is borrowed ends soon
)

// Place is where a license comes from.
type Place string

// The places.
const (
	Nowhere   Place = ""
	OnMachine Place = "local"    // a license of the machine
	OnLoan    Place = "borrowed" // a seat of a license server, lent to the machine
	OnNetwork Place = "network"  // a seat of a license server, while the program runs
)

// Reason is one thing that speaks against the use, or soon will: a code for the
// program and a sentence for people.
type Reason = terms.Reason

// Verdict is the answer to "may this program run here now".
type Verdict struct {
	Valid    bool     `json:"valid"`
	Code     Code     `json:"code"`               // OK, or the first reason's
	Reasons  []Reason `json:"reasons"`            // everything that speaks against it
	Warnings []Reason `json:"warnings,omitempty"` // what soon will, or could not be found out
	Hint     string   `json:"hint,omitempty"`     // what the person can do

	// ValidUntil is the first moment at which time alone ends it, grace included;
	// zero if no end is known. A refused license keeps it.
	ValidUntil time.Time `json:"valid_until,omitzero"`
	// InGrace says that an end has passed and only grace keeps it valid.
	InGrace bool `json:"in_grace,omitzero"`

	License  string   `json:"license,omitempty"`  // the license's id
	Features []string `json:"features,omitempty"` // everything the license includes
	Source   string   `json:"source,omitempty"`   // where the license is, such as "container SERIAL"
	Place    Place    `json:"place,omitempty"`    // the same for programs
	Loan     string   `json:"loan,omitempty"`     // id of the loan it runs on
	Queue    int      `json:"queue,omitzero"`     // place in a license server's queue, with [WithWait]; 1 is next
	Units    *Units   `json:"units,omitempty"`    // the license's counter, nil if it has none here
}

// Sentences tells a person the verdict.
func (v Verdict) Sentences() []string {
	t := terms.Verdict{Valid: v.Valid, Reasons: v.Reasons, Warnings: v.Warnings, ValidUntil: license.At(v.ValidUntil)}
	return t.Sentences()
}

// String is the sentences and the hint in one line.
func (v Verdict) String() string {
	lines := v.Sentences()
	if v.Hint != "" {
		lines = append(lines, v.Hint)
	}
	return strings.Join(lines, " ")
}
