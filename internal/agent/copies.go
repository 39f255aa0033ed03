package agent

import (
	"slices"

	"licet/license"
	"licet/refusal"
)

// copyOf is one copy of a license on this machine. Honest machines have one at
// most: a second is left from a container that was put back, or whose license was
// restored into another.
type copyOf struct {
	license             license.ID
	vendor, environment string
	generation          license.Generation
	contact             license.Time // the last that renewed its container
}

func (c candidate) copy() copyOf {
	if c.loan != nil {
		return copyOf{} // as many seats as were lent, each of its own
	}
	return copyOf{c.id, c.box.header.Vendor, c.box.Environment, c.box.State.Held[c.id].Generation, c.box.State.LastContact}
}

// newer reports whether c is a newer copy of the same license: of a later
// generation, or of the container that the vendor has renewed since.
func (c copyOf) newer(than copyOf) bool {
	if c.license != than.license || c.vendor != than.vendor || c.environment != than.environment {
		return false
	}
	if c.generation != than.generation {
		return c.generation > than.generation
	}
	return c.contact > than.contact
}

// newest leaves out the copies of which there is a newer one. What that one says
// counts, also where it may not be used.
func newest(all []candidate) (list []candidate) {
	for _, c := range all {
		if !slices.ContainsFunc(all, func(other candidate) bool { return other.copy().newer(c.copy()) }) {
			list = append(list, c)
		}
	}
	return list
}

func oldCopy(id license.ID, here, there license.Serial) *refusal.Refusal {
	return refusal.New(refusal.OldCopy, "The copy of the license %s in container %s is old: container %s on this machine has a newer one.", id, here, there).
		Hinted("Use the newer one. If container %s was put back from a back-up, run licet update, or delete it: licet container delete %s --force.", here, here).
		With("license", string(id)).With("container", string(there))
}

// markOld tells of the licenses in the list of which another container has a
// newer copy.
func (l Inventory) markOld() {
	of := func(c Container, x License) copyOf {
		return copyOf{x.ID, c.VendorID, c.Environment, x.Generation, c.LastContact}
	}
	for _, c := range l.Containers {
		for i, x := range c.Licenses {
			for _, other := range l.Containers {
				for _, y := range other.Licenses {
					if of(other, y).newer(of(c, x)) {
						no := oldCopy(x.ID, c.Serial, other.Serial)
						c.Licenses[i].Usable, c.Licenses[i].Code, c.Licenses[i].Reason = false, no.Code, no.Message
					}
				}
			}
		}
	}
}
