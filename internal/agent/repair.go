package agent

import (
	"context"
	"slices"

	"licet/container"
	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
)

// Repaired is what a repair did.
type Repaired struct {
	Container license.Serial `json:"container"`
	Binding   *Binding       `json:"binding"` // as it is now
	Before    string         `json:"before"`  // what differed, as a sentence
	// Missing lists licenses that the vendor must send again before they work.
	Missing []license.ID `json:"missing"`
	// Fetched lists licenses that the vendor has sent again.
	Fetched []license.ID `json:"fetched"`
	// Waits says why the vendor was not asked, where it was not.
	Waits string `json:"waits,omitempty"`
}

// Repair binds a container to the machine as it is now, if enough of it is
// still the same and every license in it allows that, and tells central. What
// the change had locked is sent again by central, at once or with the next
// update.
func (a *Agent) Repair(ctx context.Context, in ContainerRequest) (result Repaired, err error) {
	err = a.write(ctx, func() error {
		serial, err := a.single(in.Container)
		if err != nil {
			return err
		}
		b, v, err := a.named(ctx, serial)
		if err != nil {
			return err
		}
		if err := b.mayRepair(); err != nil {
			return err
		}
		result, err = a.rebind(ctx, b)
		if err != nil {
			return err
		}
		a.fetch(ctx, b, v, in.Central, &result)
		return nil
	})
	return result, storage(err)
}

// mayRepair refuses where a license in the container does not allow it. What is
// not known is not allowed.
func (b *box) mayRepair() error {
	var against []license.ID
	for _, id := range b.held() {
		if !b.Facts[id].Repair {
			against = append(against, id)
		}
	}
	product := ""
	if len(against) > 0 {
		product = b.State.Held[against[0]].Product
	}
	for _, id := range b.loans() {
		if l := b.Loans[id]; !l.Repair {
			against, product = append(against, l.License), l.Product
		}
	}
	if len(against) == 0 {
		return nil
	}
	return refusal.New(refusal.RepairNotAllowed, "The container %s may not be repaired by its user: %s (%s) does not allow it. Nothing was changed.",
		b.serial(), product, against[0]).
		With("container", string(b.serial())).With("licenses", against)
}

// rebind binds the container anew. The note that central must be told goes
// first: a crash in between tells central of a repair that changed nothing,
// which does no harm.
func (a *Agent) rebind(ctx context.Context, b *box) (Repaired, error) {
	traits, err := a.bindingTraits()
	if err != nil {
		return Repaired{}, err
	}
	next := *b
	next.Rebound, next.Pending = true, nil
	if err := a.save(ctx, &next); err != nil {
		return Repaired{}, err
	}
	_, before, err := next.file.Rebind(ctx, traits, a.random())
	if err != nil {
		return Repaired{}, boxError(b.header.Serial, err)
	}
	content, match, err := next.file.Read(traits)
	if err != nil {
		return Repaired{}, boxError(b.header.Serial, err)
	}
	*b = box{file: next.file, header: next.file.Header(), match: match, traits: traits}
	if err := b.read(content); err != nil {
		return Repaired{}, err
	}
	return Repaired{
		Container: b.serial(), Binding: binding(match), Before: before.Sentence(),
		Missing: empty(b.reissue()), Fetched: []license.ID{},
	}, nil
}

// fetch tells central of the repair and takes in what it sends again. Without a
// network the next update does it.
func (a *Agent) fetch(ctx context.Context, b *box, v vendor, address string, result *Repaired) {
	lost := result.Missing
	_, err := a.exchange(ctx, b, v, address, container.Wishes{})
	if err != nil {
		result.Waits = problemOf(err).Detail
		a.cfg.Log.Info("repair waits for the vendor", "container", b.serial(), "error", err)
	}
	result.Missing = empty(b.reissue())
	for _, id := range lost {
		if body, ok := b.bodies[id]; ok && !body.Reissue {
			result.Fetched = append(result.Fetched, id)
		}
	}
}

// Delete removes a container. It refuses while licenses are in it, unless
// forced: they would be lost.
func (a *Agent) Delete(ctx context.Context, in ContainerRequest) (gone Container, err error) {
	if in.Container == "" {
		return gone, refusal.New(refusal.InvalidInput, "No container was given.").Hinted("licet container list names them.")
	}
	err = a.write(ctx, func() error {
		gone, err = a.Show(ctx, in)
		if err != nil {
			return err
		}
		switch {
		case in.Force:
		case gone.Closed():
			return refusal.New(refusal.ContainerNotEmpty, "Container %s does not open here, so there may still be licenses in it. Nothing was changed.", gone.Serial).
				Hinted("Delete it with --force if they are not needed.").With("container", string(gone.Serial))
		case len(gone.Returned) > 0:
			return refusal.New(refusal.ContainerNotEmpty, "The license server does not know yet that loan %s was returned. Nothing was changed.", gone.Returned[0].ID).
				Hinted("Run licet return %s again; then delete it. With --force the seat is free at the loan's end.", gone.Returned[0].ID).
				With("container", string(gone.Serial))
		case slices.ContainsFunc(gone.Licenses, func(l License) bool { return l.Loan != nil && l.Usable }):
			i := slices.IndexFunc(gone.Licenses, func(l License) bool { return l.Loan != nil && l.Usable })
			if l := gone.Licenses[i].Loan; l.Units != nil {
				return refusal.New(refusal.ContainerNotEmpty, "Container %s has %s of %s, which moved here. Nothing was changed.", gone.Serial, count(int(l.Units.Left), "unit"), l.Product).
					Hinted("Return them first: licet return %s. With --force they are lost.", l.ID).With("container", string(gone.Serial))
			}
			return refusal.New(refusal.ContainerNotEmpty, "Container %s has the loan %s. Nothing was changed.", gone.Serial, gone.Licenses[i].Loan.ID).
				Hinted("Return it first: licet return %s. With --force the seat is free at the loan's end.", gone.Licenses[i].Loan.ID).
				With("container", string(gone.Serial))
		case slices.ContainsFunc(gone.Licenses, func(l License) bool { return l.Loan == nil }):
			var ids []license.ID
			for _, l := range gone.Licenses {
				if l.Loan == nil {
					ids = append(ids, l.ID)
				}
			}
			return refusal.New(refusal.ContainerNotEmpty, "Container %s still holds %s. Nothing was changed.", gone.Serial, count(len(ids), "license")).
				Hinted("Return them first: licet deactivate --all --container %s. With --force they are lost.", gone.Serial).
				With("container", string(gone.Serial)).With("licenses", ids)
		case gone.Receipt == waiting:
			return refusal.New(refusal.ContainerNotEmpty, "The vendor does not know yet that container %s is empty. Nothing was changed.", gone.Serial).
				Hinted("Run licet update, or carry the file of licet receipt to the vendor; then delete it.").
				With("container", string(gone.Serial))
		}
		if err := containerfile.Delete(ctx, a.cfg.Disk, a.cfg.Home, string(gone.Serial)); err != nil {
			return boxError(string(gone.Serial), err)
		}
		return nil
	})
	return gone, storage(err)
}
