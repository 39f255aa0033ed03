package seatserver

import (
	"encoding/base64"
	"fmt"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"

	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
)

// keeper is a container that speaks for its licenses.
type keeper struct {
	scope    seal.Scope
	vendor   string
	serial   license.Serial
	kind     license.Kind
	identity container.Identity
	keys     *seal.ContainerKeys
	tls      *channel
	heads    atomic.Uint64 // number of the last head it signed, as far as is known
}

// source is a license whose seats are shared, with what every lease of it begins
// with: as bytes, and as far as it can be told beforehand in the text that answers
// have.
type source struct {
	keeper  *keeper
	product string
	of      license.Generation
	part    []byte
	text    string // base64 of the part, but for its last bytes
	rest    []byte // those, fewer than three
}

// sourceKey names a license in a container.
type sourceKey struct {
	container license.Serial
	license   license.ID
}

// grant is a lease on its way into the ledger.
type grant struct {
	source    *source
	lease     []byte // as it is signed
	statement []byte // the container's, once the group is durable
	err       error
}

// document appends a lease document in the spelling of JSON.
func (g *grant) document(b []byte) []byte {
	tail := make([]byte, 0, 1<<10) // most fit, and need no memory of their own
	tail = append(tail, g.source.rest...)
	tail = seal.AppendStatement(tail, g.statement)
	return base64.StdEncoding.AppendEncode(append(b, g.source.text...), tail)
}

// share takes over what the containers hold. The caller holds mu.
func (s *Server) share(shared []agent.Shared) {
	keepers, sources := map[license.Serial]*keeper{}, map[sourceKey]*source{}
	for _, c := range shared {
		k := s.keepers[c.Serial]
		if k == nil || k.scope != c.Scope {
			k = &keeper{scope: c.Scope, vendor: c.Vendor, serial: c.Serial, kind: c.Kind, identity: c.Identity, keys: c.Keys}
			var err error
			if k.tls, err = newChannel(k, s.cfg.Now(), s.cfg.Random); err != nil {
				s.log.Error("no certificate for the channel", "container", c.Serial, "error", err)
			}
		}
		keepers[c.Serial] = k
		for _, l := range c.Licenses {
			whole := len(l.Part) - len(l.Part)%3
			sources[sourceKey{c.Serial, l.Body.License}] = &source{
				keeper: k, product: l.Body.Product, of: l.Body.Generation, part: l.Part,
				text: base64.StdEncoding.EncodeToString(l.Part[:whole]), rest: l.Part[whole:],
			}
		}
	}
	s.keepers, s.sources, s.shared = keepers, sources, shared
}

// list is the sources as the engine wants them. The caller holds mu.
func (s *Server) list(shared []agent.Shared) []seats.Source {
	var list []seats.Source
	now := s.clock()
	for _, c := range shared {
		var no, shut *refusal.Refusal
		switch where, copied := s.copies[c.Serial]; {
		case copied:
			shut = copiedTo(c.Serial, where)
		case now.Add(terms.ClockTolerance) < c.Floor:
			no = refusal.New(refusal.ClockBehind, "The clock of the license server shows %s, but %s is known to have passed.", now, c.Floor)
		}
		for _, l := range c.Licenses {
			b := l.Body
			one := seats.Source{
				Vendor: string(c.Scope.Vendor), License: b.License, Generation: b.Generation, Product: b.Product, Name: l.Name,
				Features: b.Features, Terms: b.Terms, Container: c.Serial, LastContact: c.LastContact, Refused: l.No, Shut: shut,
			}
			if one.Refused == nil {
				one.Refused = no
			}
			if _, leaves := s.leaving[sourceKey{c.Serial, b.License}]; leaves && one.Shut == nil {
				one.Shut = refusal.New(refusal.NoLicense, "The license %s is on its way back to the vendor; nothing new is given of it.", b.License).
					Hinted("Ask another license server, or this one's administrator.")
			}
			list = append(list, one)
		}
	}
	return list
}

// copiedTo refuses what a container gives that has a copy elsewhere.
func copiedTo(c license.Serial, where string) *refusal.Refusal {
	return refusal.New(refusal.ContainerFlagged, "Another license server at %s speaks with the key of container %s: one of the two machines is a copy. Nobody gets a new seat from either.", where, c).
		Hinted("Stop one of the two, and ask the vendor for licenses of its own for the other.")
}

// heads are the last heads that each container signed.
type heads map[license.Serial]head

// head is one of them, as the ledger keeps it.
type head struct {
	Serial license.Serial `cbor:"1,keyasint"`
	Number uint64         `cbor:"2,keyasint"`
	Hash   [32]byte       `cbor:"3,keyasint"`
	Time   license.Time   `cbor:"4,keyasint"`
	Count  int            `cbor:"5,keyasint"` // leases under it
}

// sign signs the leases of a group, for each container one head, and answers the
// record of the heads.
func (h heads) sign(group []*grant, now license.Time) []byte {
	var signed []head
	for len(group) > 0 {
		var mine, others []*grant
		k := group[0].source.keeper
		for _, g := range group {
			if g.source.keeper == k && len(mine) < seal.MaxGroup {
				mine = append(mine, g)
			} else {
				others = append(others, g)
			}
		}
		group = others
		if one, ok := h.signOne(k, mine, now); ok {
			signed = append(signed, one)
		}
	}
	return headRecord(signed)
}

func (h heads) signOne(k *keeper, group []*grant, now license.Time) (head, bool) {
	leases := make([][]byte, len(group))
	for i, g := range group {
		leases[i] = g.lease
	}
	last := h[k.serial]
	made, statements, err := seal.SignLeases(k.scope, k.keys, last.Number+1, last.Hash, now, leases)
	for i, g := range group {
		if g.err = err; err == nil {
			g.statement = statements[i]
		}
	}
	if err != nil {
		return head{}, false
	}
	next := head{Serial: k.serial, Number: made.Number, Hash: made.Hash(), Time: now, Count: len(group)}
	h[k.serial] = next
	k.heads.Store(next.Number)
	return next, true
}

// carry is the record that stands for all heads so far.
func (h heads) carry() []byte {
	var all []head
	for _, one := range h {
		all = append(all, one)
	}
	return headRecord(all)
}

func headRecord(list []head) []byte {
	if len(list) == 0 {
		return nil
	}
	b, err := cbor.Marshal(list)
	if err != nil {
		panic(err) // numbers and texts alone
	}
	return append([]byte{recordHeads}, b...)
}

func (h heads) replay(b []byte) error {
	var list []head
	if err := cbor.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	for _, one := range list {
		h[one.Serial] = one
	}
	return nil
}
