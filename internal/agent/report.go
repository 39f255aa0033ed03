package agent

import (
	"context"

	"licet/container"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// ask makes the report that carries wishes to the vendor and stores its bytes
// before they leave. While the answer to the same wishes is still to come, it
// is the stored report again: a retry never draws another.
func (a *Agent) ask(ctx context.Context, b *box, v vendor, wishes container.Wishes) ([]byte, error) {
	v = b.newest(v)
	wishes.Pending = wishes.None() // a report that asks for nothing at all is a receipt
	if p := b.waiting(); p != nil && p.Trust == v.hash && sameWishes(p.Wishes, wishes) {
		return p.File, nil
	}
	state, report := b.State.Report(b.identity(), a.nonce(), a.now())
	report.Wishes = wishes
	file, err := a.seal(b, v, report)
	if err != nil {
		return nil, err
	}
	next := *b
	next.State = state
	next.Pending = &pending{Wishes: wishes, File: file, Number: state.Number, Trust: v.hash, Created: a.now()}
	if err := a.save(ctx, &next); err != nil {
		return nil, err
	}
	*b = next
	return file, nil
}

// confirm makes a receipt: a report without wishes that nobody needs to answer,
// so nothing of it is kept.
func (a *Agent) confirm(ctx context.Context, b *box, v vendor) ([]byte, error) {
	if b.Returned > b.State.Acked {
		// A report proves the removal, so what was removed must be gone from the
		// older slot too.
		if err := b.file.Scrub(ctx); err != nil {
			return nil, boxError(b.header.Serial, err)
		}
	}
	_, report := b.State.Report(b.identity(), a.nonce(), a.now())
	return a.seal(b, v, report)
}

func (a *Agent) seal(b *box, v vendor, report container.Report) ([]byte, error) {
	report.Binding = b.match.Strength
	report.Rebound = b.Rebound
	report.Reissue = b.reissue()
	report.Program = Program
	report.List = a.listNumber(v)
	report.Lent = a.lentOf(b) // the vendor drops what is over, by his own time
	report.Hardware = machine.Hardware(v.id(), b.traits)
	if b.Bring > 0 {
		report.Steps, report.Units = b.bring(maxBrought), b.State.Counted(b.Bring-1)
	}
	keys, err := b.keys()
	if err != nil {
		return nil, err
	}
	return seal.SealReport(b.newest(v).trust, keys, report)
}

// maxBrought bounds the steps that a report brings, in bytes: they share the file
// with the rest, in base64.
const maxBrought = 600 << 10

// bring gives the steps that the vendor's record lacks, with the licenses that they
// put and that are still held.
func (b *box) bring(room int) (steps []container.SignedStep) {
	for _, k := range b.State.After(b.Bring - 1) {
		s := container.SignedStep{Signed: k.Signed, Bodies: [][]byte{}}
		size := len(k.Signed)
		for _, id := range b.held() {
			body, ok := b.bodies[id]
			if b.State.Held[id].Step == k.Number && ok && !body.Reissue {
				s.Bodies = append(s.Bodies, body.Data)
				size += len(body.Data)
			}
		}
		if room -= size; room < 0 {
			break
		}
		steps = append(steps, s)
	}
	return steps
}

// nonce draws 128 random bits.
func (a *Agent) nonce() (n container.Nonce) {
	a.cfg.Random(n[:])
	return n
}

// Request makes the file that is carried to the vendor, offline step 1. Without
// wishes it asks for what the vendor has pending.
func (a *Agent) Request(ctx context.Context, in RequestRequest) (file File, err error) {
	err = a.write(ctx, func() error {
		file, err = a.request(ctx, in)
		return err
	})
	return file, storage(err)
}

func (a *Agent) request(ctx context.Context, in RequestRequest) (File, error) {
	var b *box
	var v vendor
	var err error
	certain := in.Container // there is no doubt which container is meant
	switch returns := in.All || len(in.Deactivate) > 0; {
	case returns && in.Container == "":
		if certain, err = a.sole(in.Vendor); err != nil {
			return File{}, err
		}
		b, v, err = a.forReturn(ctx, certain, in.Deactivate)
		if certain == "" && refusal.Is(err, refusal.LicenseUnknown) {
			err = withoutUpdate(err)
		}
	default:
		b, v, err = a.forActivation(ctx, in.Container, func() (vendor, error) {
			if in.Vendor != "" {
				return a.vendor(in.Vendor)
			}
			v, err := a.vendorFor(ctx, "")
			if r, ok := refusal.As(err); ok && r.Code == refusal.InvalidInput {
				r.Hinted("Say which one is meant with --vendor ID or --container SERIAL; licet trust list names them.")
			}
			return v, err
		})
	}
	if err != nil {
		return File{}, err
	}
	if in.All {
		in.Deactivate = b.held()
	}
	wishes := container.Wishes{Tickets: in.Tickets, Activate: in.Activate, Return: in.Deactivate, Amounts: in.Amounts}
	// A license whose update was never imported is the container's in the vendor's
	// book alone (docs/protocol.md R9), so the vendor decides.
	if certain == "" {
		if err := knownReturns(b, wishes.Return); err != nil {
			return File{}, withoutUpdate(err)
		}
	}
	data, err := a.ask(ctx, b, v, wishes)
	if err != nil {
		return File{}, err
	}
	return File{
		Container: b.serial(), Counter: b.State.Number, Data: data,
		Wishes: len(wishes.Tickets) + len(wishes.Activate) + len(wishes.Return),
	}, nil
}

// sole is the serial of the only container of a vendor on this machine (of any
// if none is named), or nothing.
func (a *Agent) sole(vendor string) (license.Serial, error) {
	entries, err := a.entries(vendor)
	if err != nil || len(entries) != 1 {
		return "", err
	}
	return license.Serial(entries[0].Serial), nil
}

// withoutUpdate adds how a license is returned that no container holds yet.
func withoutUpdate(err error) error {
	r, ok := refusal.As(err)
	if !ok {
		return err
	}
	return r.Hinted("licet list names what there is. If the update that brings it was never imported, add --container SERIAL.")
}

// Receipt makes the file that proves to the vendor what was imported, offline
// step 3.
func (a *Agent) Receipt(ctx context.Context, in ReceiptRequest) (file File, err error) {
	err = a.write(ctx, func() error {
		serial, err := a.single(in.Container)
		if err != nil {
			return err
		}
		b, v, err := a.named(ctx, serial)
		if err != nil {
			return err
		}
		data, err := a.confirm(ctx, b, v)
		file = File{Container: b.serial(), Counter: b.State.Number, Data: data}
		return err
	})
	return file, storage(err)
}

// knownReturns refuses what is not in the container before anything is asked.
func knownReturns(b *box, ids []license.ID) error {
	for _, id := range ids {
		if _, ok := b.State.Held[id]; !ok {
			return refusal.New(refusal.LicenseUnknown, "The license %s is not in container %s.", id, b.serial()).
				Hinted("licet list names what there is.").With("license", string(id)).With("container", string(b.serial()))
		}
	}
	return nil
}
