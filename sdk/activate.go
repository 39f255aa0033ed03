package sdk

import (
	"context"
	"fmt"

	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

// Activation says what tickets, or a file of the vendor, did to this machine.
type Activation struct {
	Licenses []string // ids of the licenses that came in
	Removed  []string // ids of those that went out
	Refused  []Reason // what was asked for and not done, each with its sentence
	// Receipt is a file to be carried to the vendor where he could not be told; nil
	// where he knows. Without it nothing is lost: any later contact does its work.
	Receipt []byte
}

// Activate redeems tickets on this machine, online: for a program that has screens
// of its own for it. The machine trusts the program's vendor from then on, and a
// container is made where there is none. Called again after an interruption it goes
// on where it was, and activates nothing twice.
//
// A ticket that is mistyped, unknown or used up is an error with its sentence and
// code (licet/refusal), and so is a server that cannot be reached: then offer the
// way by file, ActivationRequest and Import.
func Activate(ctx context.Context, trust []byte, tickets []string, opts ...Option) (Activation, error) {
	c, in, err := activating(ctx, trust, tickets, opts)
	if err != nil {
		return Activation{}, err
	}
	done, err := c.Activate(ctx, agent.ActivateRequest{Tickets: in.Tickets, Vendor: in.Vendor})
	if err != nil {
		return Activation{}, err
	}
	return activation(done), nil
}

// ActivationRequest is Activate without a network: the content of a *.licet-request
// file, to be carried to the vendor's page. What he answers is for Import.
func ActivationRequest(ctx context.Context, trust []byte, tickets []string, opts ...Option) ([]byte, error) {
	c, in, err := activating(ctx, trust, tickets, opts)
	if err != nil {
		return nil, err
	}
	file, err := c.Request(ctx, in)
	return file.Data, err
}

// Import applies the file that the vendor answered, a *.licet-update. The same file
// again changes nothing and is no error.
func Import(ctx context.Context, file []byte, opts ...Option) (Activation, error) {
	o, err := newOptions(opts)
	if err != nil {
		return Activation{}, fmt.Errorf("sdk: %w", err)
	}
	c := agent.Connect(o.agent)
	done, err := c.Import(ctx, agent.ImportRequest{Data: file})
	if err != nil {
		return Activation{}, err
	}
	a := activation(done)
	if done.Container != "" {
		receipt, err := c.Receipt(ctx, agent.ReceiptRequest{Container: done.Container})
		if err != nil {
			return a, fmt.Errorf("sdk: imported, but there is no receipt to carry back: %w", err)
		}
		a.Receipt = receipt.Data
	}
	return a, nil
}

// activating reads what is to be activated, and lets the machine trust its vendor.
func activating(ctx context.Context, trust []byte, tickets []string, opts []Option) (*agent.Client, agent.RequestRequest, error) {
	t, err := seal.ParseTrust(trust)
	if err != nil {
		return nil, agent.RequestRequest{}, fmt.Errorf("sdk: the program's trust file: %w", err)
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, agent.RequestRequest{}, fmt.Errorf("sdk: %w", err)
	}
	in := agent.RequestRequest{Vendor: string(t.Scope.Vendor)}
	for _, text := range tickets {
		ticket, err := license.ParseTicket(text)
		if err != nil {
			return nil, in, err
		}
		in.Tickets = append(in.Tickets, ticket)
	}
	c := agent.Connect(o.agent)
	_, err = c.TrustAdd(ctx, agent.TrustRequest{File: trust})
	return c, in, err
}

func activation(done wire.Programming) (a Activation) {
	for _, change := range done.Applied {
		switch change.Op {
		case container.Put.String():
			a.Licenses = append(a.Licenses, string(change.License))
		case container.Drop.String():
			a.Removed = append(a.Removed, string(change.License))
		}
	}
	for _, o := range done.Outcomes {
		if o.Refused() {
			a.Refused = append(a.Refused, Reason{Code: o.Code, Message: o.Message})
		}
	}
	return a
}
