package agent

import (
	"context"
	"slices"
	"strings"

	"licet/internal/containerfile"
	"licet/license"
	"licet/refusal"
)

// entries lists the containers of this machine without opening them, those of
// one vendor if one is named.
func (a *Agent) entries(vendor string) ([]containerfile.Entry, error) {
	list, err := containerfile.List(a.cfg.Home)
	if err != nil {
		return nil, storage(err)
	}
	if vendor != "" {
		list = slices.DeleteFunc(list, func(e containerfile.Entry) bool { return e.Err != nil || e.Header.Vendor != vendor })
	}
	return list, nil
}

// serials names containers for a message.
func serials(entries []containerfile.Entry) []string {
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Serial)
	}
	return list
}

// named opens the container with a serial and reads the trust in its vendor.
func (a *Agent) named(ctx context.Context, serial license.Serial) (*box, vendor, error) {
	b, err := a.open(ctx, serial, a.traits())
	if err != nil {
		return b, vendor{}, err
	}
	v, err := a.vendor(b.header.Vendor)
	if err == nil {
		err = b.belongs(v)
	}
	return b, v, err
}

// belongs refuses a container of another environment than the one trusted.
func (b *box) belongs(v vendor) error {
	if b.Environment == v.scope().Environment {
		return nil
	}
	return refusal.New(refusal.WrongEnvironment, "Container %s belongs to environment %q of %s; this machine trusts %q.",
		b.serial(), b.Environment, v.name(), v.scope().Environment).
		With("made_for", b.Environment).With("this_is", v.scope().Environment)
}

// oldest opens the first container that was made here for a vendor, or makes
// one if there is none. Others are reached by their serial.
func (a *Agent) oldest(ctx context.Context, v vendor) (*box, error) {
	entries, err := a.entries(v.id())
	if err != nil {
		return nil, err
	}
	var found *box
	var failed error
	traits := a.traits()
	for _, e := range entries {
		b, err := a.open(ctx, license.Serial(e.Serial), traits)
		if err == nil {
			err = b.belongs(v)
		}
		switch {
		case err != nil && failed == nil:
			failed = err
		case err == nil && (found == nil || b.Created < found.Created):
			found = b
		}
	}
	switch {
	case found != nil:
		return found, nil
	case failed != nil:
		// A further container is made only when a person says so: the licenses of
		// the one that is here may be wanted back.
		if r, ok := refusal.As(failed); ok && r.Code == refusal.OtherMachine {
			r.Hinted("Undo the change, or ask the vendor to restore the licenses. To begin a new container beside it, add --container %s.", NewContainer)
		}
		return nil, failed
	}
	return a.create(ctx, v)
}

// forActivation finds the container that new licenses go into.
func (a *Agent) forActivation(ctx context.Context, serial license.Serial, which func() (vendor, error)) (*box, vendor, error) {
	if serial != "" && serial != NewContainer {
		return a.named(ctx, serial)
	}
	v, err := which()
	if err != nil {
		return nil, v, err
	}
	if serial == NewContainer {
		b, err := a.create(ctx, v)
		return b, v, err
	}
	b, err := a.oldest(ctx, v)
	return b, v, err
}

// forReturn finds the container that licenses go out of: the one named, the one
// that holds the first of them, or, for all, the only one that holds any. Where
// all are empty, one that has a receipt to deliver goes first.
func (a *Agent) forReturn(ctx context.Context, serial license.Serial, want []license.ID) (*box, vendor, error) {
	if serial != "" {
		return a.named(ctx, serial)
	}
	entries, err := a.entries("")
	if err != nil {
		return nil, vendor{}, err
	}
	var fit, opened []*box
	var failed error
	traits := a.traits()
	for _, e := range entries {
		b, err := a.open(ctx, license.Serial(e.Serial), traits)
		if err != nil {
			failed = err
			continue
		}
		opened = append(opened, b)
		_, holds := b.State.Held[first(want)]
		if holds || len(want) == 0 && len(b.State.Held) > 0 {
			fit = append(fit, b)
		}
	}
	if len(fit) == 0 && len(want) == 0 && len(opened) > 0 {
		at := max(0, slices.IndexFunc(opened, func(b *box) bool { return b.receipt() == waiting }))
		fit = opened[at : at+1]
	}
	switch {
	case len(fit) == 1:
		v, err := a.vendor(fit[0].header.Vendor)
		if err == nil {
			err = fit[0].belongs(v)
		}
		return fit[0], v, err
	case len(fit) > 1:
		return nil, vendor{}, a.ambiguous(fit)
	case failed != nil:
		return nil, vendor{}, failed
	case len(want) > 0:
		return nil, vendor{}, refusal.New(refusal.LicenseUnknown, "The license %s is not on this machine.", first(want)).
			Hinted("licet list names what there is.").With("license", string(first(want)))
	}
	return nil, vendor{}, noContainer()
}

// single finds the container meant by an operation on one container.
func (a *Agent) single(serial license.Serial) (license.Serial, error) {
	if serial != "" {
		return serial, nil
	}
	entries, err := a.entries("")
	if err != nil {
		return "", err
	}
	switch len(entries) {
	case 0:
		return "", noContainer()
	case 1:
		return license.Serial(entries[0].Serial), nil
	}
	return "", refusal.New(refusal.InvalidInput, "This machine has %d containers: %s.", len(entries), strings.Join(serials(entries), ", ")).
		Hinted("Say which one is meant by its serial.").With("containers", serials(entries))
}

func (a *Agent) ambiguous(boxes []*box) error {
	var list []string
	for _, b := range boxes {
		list = append(list, string(b.serial()))
	}
	return refusal.New(refusal.InvalidInput, "This machine has %d containers that may be meant: %s.", len(list), strings.Join(list, ", ")).
		Hinted("Say which one with --container SERIAL.").With("containers", list)
}

func noContainer() error {
	return refusal.New(refusal.ContainerUnknown, "There is no container on this machine yet.").
		Hinted("licet activate TICKET makes one, and so does licet request.")
}

func first[T any](list []T) (v T) {
	if len(list) > 0 {
		v = list[0]
	}
	return v
}
