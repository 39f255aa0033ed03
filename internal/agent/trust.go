package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"licet/client"
	"licet/container"
	"licet/internal/durable"
	"licet/refusal"
	"licet/seal"
)

const (
	trustSuffix   = ".vendor.trust"
	addressSuffix = ".address" // where the vendor answered, if not at the trust file's address
	addressLimit  = 2 << 10
)

// vendor is one whose licenses this machine accepts.
type vendor struct {
	trust   *seal.Trust
	hash    container.Hash // of the trust file
	address string         // of central
}

func (v vendor) scope() seal.Scope { return v.trust.Scope }
func (v vendor) id() string        { return string(v.trust.Scope.Vendor) }

// is makes sure that a container is of the vendor who is meant; empty means anyone.
func (v vendor) is(wanted string, b *box) error {
	if wanted == "" || wanted == v.id() {
		return nil
	}
	return unknownContainer(b.serial())
}

// name is the vendor's for people.
func (v vendor) name() string {
	if v.trust.Name != "" {
		return v.trust.Name
	}
	return v.id()
}

// base is the address to speak to: the one given, or the one known.
func (v vendor) base(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if v.address == "" {
		return "", refusal.New(refusal.InvalidInput, "No address of the server of %s is known.", v.name()).
			Hinted("Give it with --central URL, or carry files: licet request, licet import, licet receipt.")
	}
	return v.address, nil
}

// isVendor reports whether a text has the form of a vendor id, so that it may be
// a file's name.
func isVendor(id string) bool {
	return id != "" && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// vendor reads the trust in one vendor.
func (a *Agent) vendor(id string) (vendor, error) {
	if !isVendor(id) {
		return vendor{}, untrusted(id)
	}
	file, err := a.trustFile(id)
	if missing(err) {
		return vendor{}, untrusted(id)
	}
	if err != nil {
		return vendor{}, storage(err)
	}
	trust, err := seal.ParseTrust(file)
	if err == nil && string(trust.Scope.Vendor) != id {
		err = refusal.New(refusal.DamagedFile, "It is another vendor's.")
	}
	if err != nil {
		return vendor{}, refusal.New(refusal.DamagedFile, "The trust file of vendor %s on this machine is damaged: %v", id, err).
			Hinted("Add it again with licet trust add.").With("vendor", id)
	}
	v := vendor{trust: trust, hash: sha256.Sum256(file), address: trust.Address}
	address, err := a.readTrust(id+addressSuffix, addressLimit)
	switch {
	case err == nil:
		v.address = strings.TrimSpace(string(address))
	case !missing(err):
		return vendor{}, storage(err)
	}
	return v, nil
}

// trustFile is the trust file of one vendor.
func (a *Agent) trustFile(id string) ([]byte, error) {
	return a.readTrust(id+trustSuffix, seal.MaxTrust)
}

func (a *Agent) readTrust(name string, limit int64) ([]byte, error) {
	dir, err := os.OpenRoot(a.home.trust())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return durable.ReadFile(dir, name, limit)
}

// vendors reads every vendor trusted. A damaged trust file is passed over, and
// told to the log and the doctor.
func (a *Agent) vendors() (list []vendor, damaged []error, err error) {
	names, err := os.ReadDir(a.home.trust())
	if missing(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, storage(err)
	}
	for _, name := range names {
		id, ok := strings.CutSuffix(name.Name(), trustSuffix)
		if !ok {
			continue
		}
		v, err := a.vendor(id)
		if err != nil {
			a.cfg.Log.Warn("trust file left out", "vendor", id, "error", err)
			damaged = append(damaged, err)
			continue
		}
		list = append(list, v)
	}
	return list, damaged, nil
}

func untrusted(id string) *refusal.Refusal {
	return refusal.New(refusal.VendorUntrusted, "This machine does not trust the vendor %s.", id).With("vendor", id)
}

// TrustAdd accepts a vendor's licenses from now on, or takes in a newer trust
// file of a vendor that is trusted already. Whether that vendor is who he says
// is for the person to know: the answer names the vendor id to compare.
func (a *Agent) TrustAdd(ctx context.Context, in TrustRequest) (added Trust, err error) {
	file := in.File
	if in.URL != "" {
		known, err := a.central().WellKnown(ctx, in.URL)
		if err != nil {
			return Trust{}, err
		}
		file = []byte(known.Trust)
	}
	trust, err := seal.ParseTrust(file)
	if err != nil {
		return Trust{}, err
	}
	err = a.write(ctx, func() error {
		added, err = a.keepTrust(trust, file, in.URL)
		return err
	})
	return added, storage(err)
}

func (a *Agent) keepTrust(trust *seal.Trust, file []byte, address string) (Trust, error) {
	id := string(trust.Scope.Vendor)
	old, err := a.vendor(id)
	change := "refreshed"
	switch {
	case refusal.Is(err, refusal.VendorUntrusted):
		change = "added"
	case refusal.Is(err, refusal.DamagedFile):
	case err != nil:
		return Trust{}, err
	case old.trust.Scope != trust.Scope:
		return Trust{}, refusal.New(refusal.WrongEnvironment, "This machine trusts environment %q of %s; the file is of %q. Nothing was changed.",
			old.scope().Environment, old.name(), trust.Scope.Environment).
			Hinted("Use another folder for it: --home.").
			With("made_for", trust.Scope.Environment).With("this_is", old.scope().Environment)
	case trust.Number < old.trust.Number, trust.Number == old.trust.Number && old.hash != sha256.Sum256(file):
		return Trust{}, refusal.New(refusal.OutOfDate, "This machine has a newer trust file of %s. Nothing was changed.", old.name()).
			Hinted("Fetch the vendor's current trust file.").With("number", trust.Number).With("this_is", old.trust.Number)
	case old.hash != sha256.Sum256(file) && !trust.Follows(old.trust):
		return Trust{}, refusal.New(refusal.BadSignature, "The trust file of %s is signed by another root than the one that this machine trusts. Nothing was changed.", old.name()).
			Hinted("Ask the vendor whether his root key has changed, and compare the file's vendor id.")
	case old.hash == sha256.Sum256(file) && (address == "" || address == old.address):
		change = "unchanged"
	}
	if change != "unchanged" {
		if err := a.dropBlocks(trust); err != nil { // first: afterwards nobody would look
			return Trust{}, err
		}
		if err := a.cfg.Disk.MkdirAll(a.home.trust(), durable.PrivateDir); err != nil {
			return Trust{}, err
		}
		if err := a.cfg.Disk.WritePath(filepath.Join(a.home.trust(), id+trustSuffix), file, durable.PrivateFile); err != nil {
			return Trust{}, err
		}
		// The latest word on where the vendor is counts: this address, or the one
		// in the new file.
		if err := a.keepAddress(id, address); err != nil {
			return Trust{}, err
		}
	}
	v, err := a.vendor(id)
	if err != nil {
		return Trust{}, err
	}
	t := a.describeTrust(v)
	t.Change = change
	return t, nil
}

// keepAddress notes where a vendor was reached; empty means that the trust
// file's address counts.
func (a *Agent) keepAddress(id, address string) error {
	if address != "" {
		return a.cfg.Disk.WritePath(filepath.Join(a.home.trust(), id+addressSuffix), []byte(address+"\n"), durable.PrivateFile)
	}
	dir, err := os.OpenRoot(a.home.trust())
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := a.cfg.Disk.Remove(dir, id+addressSuffix); err != nil && !missing(err) {
		return err
	}
	return nil
}

func (a *Agent) describeTrust(v vendor) Trust {
	t := Trust{VendorID: v.id(), Vendor: v.trust.Name, Environment: v.scope().Environment, Address: v.address, Number: v.trust.Number, Revoked: len(v.trust.Revoked)}
	if kept, err := a.keptBlocks(v.scope()); err == nil && kept != nil { // a list that cannot be read is told by what needs it
		t.BlockList = kept.Number
		kept.Close()
	}
	return t
}

// TrustList tells whose licenses are accepted.
func (a *Agent) TrustList(context.Context, Nothing) ([]Trust, error) {
	vendors, _, err := a.vendors()
	list := []Trust{}
	for _, v := range vendors {
		list = append(list, a.describeTrust(v))
	}
	return list, err
}

// TrustFiles are the trust files of the vendors that this machine trusts, or of one
// of them.
func (a *Agent) TrustFiles(vendor string) ([][]byte, error) {
	vendors, _, err := a.vendors()
	if err != nil {
		return nil, err
	}
	var files [][]byte
	for _, v := range vendors {
		if vendor != "" && v.id() != vendor {
			continue
		}
		file, err := a.trustFile(v.id())
		if err != nil {
			return nil, storage(err)
		}
		files = append(files, file)
	}
	switch {
	case len(files) > 0:
	case vendor != "":
		return nil, untrusted(vendor)
	default:
		return nil, refusal.New(refusal.VendorUntrusted, "This machine trusts no vendor yet.")
	}
	return files, nil
}

// vendorFor finds the vendor a person means: the only one, or the one whose
// central is at an address.
func (a *Agent) vendorFor(ctx context.Context, central string) (vendor, error) {
	vendors, _, err := a.vendors()
	if err != nil {
		return vendor{}, err
	}
	if central == "" {
		switch len(vendors) {
		case 0:
			return vendor{}, refusal.New(refusal.VendorUntrusted, "This machine trusts no vendor yet.")
		case 1:
			return vendors[0], nil
		}
		var names []string
		for _, v := range vendors {
			names = append(names, v.id())
		}
		return vendor{}, refusal.New(refusal.InvalidInput, "This machine trusts %d vendors.", len(vendors)).
			Hinted("Say which one is meant with --central URL or --container SERIAL.").With("vendors", names)
	}
	var found []vendor
	for _, v := range vendors {
		if sameAddress(v.address, central) {
			found = append(found, v)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	known, err := a.central().WellKnown(ctx, central)
	if err != nil {
		return vendor{}, err
	}
	for _, v := range vendors {
		if v.id() != known.VendorID {
			continue
		}
		if v.scope().Environment != known.Environment {
			return vendor{}, refusal.New(refusal.WrongEnvironment, "%s is environment %q of %s; this machine trusts %q.",
				central, known.Environment, v.name(), v.scope().Environment).
				With("made_for", known.Environment).With("this_is", v.scope().Environment)
		}
		return v, nil
	}
	return vendor{}, refusal.New(refusal.VendorUntrusted, "This machine does not trust %s (%s), whose server is at %s.", known.Vendor, known.VendorID, central).
		Hinted("Run licet trust add %s, if you mean to trust this vendor.", central).With("vendor", known.VendorID)
}

// sameAddress compares two addresses of a server.
func sameAddress(x, y string) bool {
	ux, errX := url.Parse(x)
	uy, errY := url.Parse(y)
	if errX != nil || errY != nil {
		return false
	}
	return ux.Scheme == uy.Scheme && ux.Host != "" && strings.EqualFold(ux.Host, uy.Host) &&
		strings.TrimSuffix(ux.Path, "/") == strings.TrimSuffix(uy.Path, "/")
}

// newest is the vendor as a container knows him: by the trust file of this machine,
// or by the trust bundle that an update has brought, whichever is newer. So nobody
// takes a container back by an older trust file (docs/protocol.md R21).
func (b *box) newest(v vendor) vendor {
	if len(b.Trust) == 0 || bytes.Equal(b.Trust, v.trust.Signed) {
		return v
	}
	if t, err := seal.OpenTrust(b.Trust); err == nil && t.Follows(v.trust) {
		v.trust, v.hash = t, sha256.Sum256(seal.ArmorTrust(t))
	}
	return v
}

// hearTrust keeps a newer trust bundle that an update has brought as the machine's,
// for what is not of one container. The containers of the vendor that were not in
// contact go by it as well, so they ask next.
func (a *Agent) hearTrust(v vendor, t *seal.Trust) {
	known, err := a.vendor(v.id())
	if err == nil && t.Follows(known.trust) {
		_, err = a.keepTrust(t, seal.ArmorTrust(t), addressAfter(known, t))
	}
	if err != nil { // the container has it
		a.cfg.Log.Warn("newer trust file not kept", "vendor", v.id(), "number", t.Number, "error", err)
	}
}

// addressAfter is where a vendor was reached, unless a newer bundle names another
// address than the one before.
func addressAfter(known vendor, t *seal.Trust) string {
	if known.address == known.trust.Address || t.Address != known.trust.Address {
		return ""
	}
	return known.address
}

// verifier checks what a vendor signed for a container, with the certificates
// the container has seen besides those of the trust file.
func (v vendor) verifier(certificates [][]byte) (*seal.Verifier, error) {
	return seal.NewVerifier(v.trust, certificates...)
}

// addCertificates adds the ones that are not there yet.
func addCertificates(list, more [][]byte) [][]byte {
	for _, c := range more {
		known := false
		for _, k := range list {
			known = known || bytes.Equal(k, c)
		}
		if !known {
			list = append(list[:len(list):len(list)], c)
		}
	}
	return list
}

// central speaks to vendors' servers.
func (a *Agent) central() *client.Gateway {
	return client.NewGateway(client.Options{HTTP: a.cfg.HTTP, Program: Program})
}
