package registry

import (
	"errors"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/seal"
)

// What the containers have under a key that is revoked since, they get again under the
// one that signs now, before they hear of the revocation: so whoever is honest has no
// moment without licenses (docs/protocol.md, section 14).

// voids reports whether a document was signed with a key that is revoked.
func (k *keyring) voids(doc []byte) bool {
	if len(k.revoked) == 0 {
		return false
	}
	id, signed := seal.SignerOf(doc)
	return signed && k.revoked[id]
}

// unrestated reports whether a key was revoked since all that the container has was
// looked at.
func (x *exchange) unrestated() bool { return x.known && x.c.Restated < x.keys.vendor.Revoked }

// toRestate is what the container has, or is to get, under a revoked key.
func (x *exchange) toRestate() (ids []license.ID, err error) {
	if !x.unrestated() {
		return nil, nil
	}
	for _, id := range x.held {
		if s := x.licenses[id].State; s != license.Collecting && s != license.Collected {
			continue
		}
		step, err := x.tx.StepOf(x.in.serial, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if x.keys.voids(step) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// endsVoid reports whether the last step that the container may lack was signed with a
// revoked key, so that a good one has to follow for it to count. A flagged container
// gets none: nothing is taken from it, and nothing given, until a person decides.
func (x *exchange) endsVoid() bool {
	return x.unrestated() && x.c.Flag.Reason == "" && x.voidEnd()
}

func (x *exchange) voidEnd() bool {
	n := len(x.unproven)
	return n > 0 && x.keys.voids(x.unproven[n-1].Signed)
}

// restated notes that the container has, or is to get, everything under keys that
// count, if the operations that were issued make it so.
func (x *exchange) restated(ops []container.Op) {
	if !x.unrestated() || x.voidEnd() {
		return
	}
	again := map[license.ID]bool{}
	for _, op := range ops {
		if op.Generation == x.licenses[op.License].Generation {
			again[op.License] = true
		}
	}
	for _, id := range x.void {
		if !again[id] {
			return // flagged, blocked, stopped, or too many for one step
		}
	}
	x.c.Restated = x.keys.vendor.Revoked
}

// tellsTrust reports whether an answer brings the newest trust bundle along. One that
// revokes keys goes only to a container that has everything under others, or gets it in
// the same answer; who lacks a step that the answer does not bring hears it later.
func (x *exchange) tellsTrust(u container.Update) bool {
	r := x.in.report
	switch {
	case x.keys.trust.Format < 2 || x.in.file == nil || !knowsTrust(r.Program):
		return false
	case x.keys.vendor.Revoked == 0:
		return true
	case !x.known:
		return r.Number == 0
	}
	return !x.unrestated() && x.c.Flag.Reason == "" && r.Number >= x.c.Acked && u.Acked+uint64(len(u.Steps)) == x.c.Issued
}
