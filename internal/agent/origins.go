package agent

import (
	"context"
	"os"
	"path/filepath"

	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// A vendor's list of origins is kept in origins/VENDOR.origins as it was signed, and
// proven anew whenever it is read.
const originsSuffix = ".origins"

func (h home) origins() string { return h.path("origins") }

// Origins are the web origins from which pages may speak to this machine about the
// licenses of one vendor.
type Origins struct {
	Vendor string // id
	Name   string
	seal.Origins
}

// Origins are the lists of all vendors trusted that are kept here and in force. A
// list that does not prove to be the vendor's is none.
func (a *Agent) Origins() ([]Origins, error) {
	vendors, _, err := a.vendors()
	if err != nil {
		return nil, err
	}
	list := []Origins{}
	now := a.now()
	for _, v := range vendors {
		kept, err := a.keptOrigins(v)
		switch {
		case missing(err):
		case err != nil:
			a.cfg.Log.Warn("list of origins left out", "vendor", v.id(), "error", err)
		case now < kept.Until:
			list = append(list, Origins{Vendor: v.id(), Name: v.name(), Origins: kept})
		}
	}
	return list, nil
}

// OriginsTime is when the list that is kept of a vendor was signed; 0 if none is.
func (a *Agent) OriginsTime(vendor string) license.Time {
	v, err := a.vendor(vendor)
	if err != nil {
		return 0
	}
	kept, err := a.keptOrigins(v)
	if err != nil {
		return 0
	}
	return kept.Time
}

func (a *Agent) keptOrigins(v vendor) (seal.Origins, error) {
	dir, err := os.OpenRoot(a.home.origins())
	if err != nil {
		return seal.Origins{}, err
	}
	defer dir.Close()
	signed, err := durable.ReadFile(dir, v.id()+originsSuffix, seal.MaxOrigins)
	if err != nil {
		return seal.Origins{}, err
	}
	verifier, err := v.verifier(nil)
	if err != nil {
		return seal.Origins{}, err
	}
	return verifier.Origins(signed)
}

// FetchOrigins asks a vendor for his list of origins and keeps it. One that is older
// than what is kept is refused: an origin that was taken off must not come back.
func (a *Agent) FetchOrigins(ctx context.Context, vendor string) error {
	v, err := a.vendor(vendor)
	if err != nil {
		return err
	}
	base, err := v.base("")
	if err != nil {
		return err
	}
	signed, err := a.central().Origins(ctx, base)
	if err != nil {
		return err
	}
	return a.write(ctx, func() error { return storage(a.keepOrigins(v, signed)) })
}

func (a *Agent) keepOrigins(v vendor, signed []byte) error {
	verifier, err := v.verifier(nil)
	if err != nil {
		return err
	}
	list, err := verifier.Origins(signed)
	if err != nil {
		return err
	}
	if kept, err := a.keptOrigins(v); err == nil && list.Time < kept.Time {
		return refusal.New(refusal.OutOfDate, "This machine has a newer list of origins of %s. Nothing was changed.", v.name())
	}
	if err := a.cfg.Disk.MkdirAll(a.home.origins(), durable.PrivateDir); err != nil {
		return err
	}
	return a.cfg.Disk.WritePath(filepath.Join(a.home.origins(), v.id()+originsSuffix), signed, durable.PrivateFile)
}
