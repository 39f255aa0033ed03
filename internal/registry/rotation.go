package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// Overlap is how long a key that another one takes the place of may go on signing,
// unless said otherwise: until every server knows the new one.
const Overlap = 24 * time.Hour

// clocks is how far the clocks of servers may differ: a new key is valid from so much
// before it was made.
const clocks = time.Hour

// KeyChange is what is to become of the vendor's keys.
type KeyChange struct {
	// Rotate replaces the key that signs by a new one. Overlap is how long the old one
	// may go on.
	Rotate  bool
	Overlap time.Duration
	// Signer is the address of the signer that makes a new key, or Database; empty for
	// where the key that signs is.
	Signer string

	// Revoke is the id of an issuing key that counts no more; if it is the one that
	// signs, a new one takes its place. Reason says why.
	Revoke string
	Reason string

	Until    time.Time // from when on machines take in nothing new without a newer trust bundle; zero leaves it
	Endless  bool      // there is no such time any more
	NextRoot []byte    // public key of the root that may come after this one; nil leaves it

	// Follows is a trust file that is newer than the one in the database, as after the
	// return from a back-up: the change follows on that. Keys of it that are not here
	// sign no more.
	Follows []byte
}

// Proposal is a trust bundle that waits for the root's signature, as a file that a
// person reads before it is signed.
type Proposal struct {
	What        string            `json:"what"` // proposalIs
	VendorID    seal.VendorID     `json:"vendor_id"`
	Vendor      string            `json:"vendor"`
	Environment string            `json:"environment"`
	Address     string            `json:"address"`
	Number      uint64            `json:"number"` // of the bundle
	Time        license.Time      `json:"time"`
	Until       license.Time      `json:"until,omitzero"`
	NextRoot    []byte            `json:"next_root,omitempty"` // hash of its key
	Keys        []ProposedKey     `json:"keys"`
	Revoked     []ProposedRevoked `json:"revoked,omitempty"`
	Current     string            `json:"current"` // the trust file that it takes the place of
}

// ProposedKey is a key that the root is to certify.
type ProposedKey struct {
	ID        string       `json:"id"`
	Use       seal.Use     `json:"use"`
	Public    []byte       `json:"public"`
	Number    uint64       `json:"number"`
	NotBefore license.Time `json:"not_before,omitzero"`
	NotAfter  license.Time `json:"not_after,omitzero"`
}

// ProposedRevoked is a key that the root is to revoke, or has.
type ProposedRevoked struct {
	ID    string       `json:"id"`
	Since license.Time `json:"since"`
}

const proposalIs = "a Licet trust bundle to be signed by the root, version 1"

// maxProposal bounds a proposal's file in bytes.
const maxProposal = 256 << 10

// ParseProposal reads a proposal's file.
func ParseProposal(file []byte) (p Proposal, err error) {
	no := refusal.New(refusal.WrongFile, "This is no request for the root's signature.").
		Hinted("Make one with licet-central keys rotate --request FILE.")
	if len(file) > maxProposal {
		return p, no
	}
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || p.What != proposalIs {
		return p, no
	}
	return p, nil
}

// File writes the proposal for people and for the machine that has the root.
func (p Proposal) File() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	return append(b, '\n'), err
}

// Changes says in sentences what a signature would change, by the trust file that the
// proposal follows and not by its own word.
func (p Proposal) Changes() (list []string, err error) {
	now, err := p.follows()
	if err != nil {
		return nil, err
	}
	known := map[string]seal.Certificate{}
	for _, c := range now.Keys() {
		known[c.KeyID().String()] = c
	}
	revoked := map[string]bool{}
	for _, r := range now.Revoked {
		revoked[r.Key.String()] = true
	}
	for _, k := range p.Keys {
		switch c, there := known[k.ID]; {
		case revoked[k.ID]:
			list = append(list, fmt.Sprintf("The %s key %s is no longer revoked.", k.Use, k.ID))
		case !there:
			list = append(list, fmt.Sprintf("The %s key %s is new. It is valid %s.", k.Use, k.ID, validity(k.NotBefore, k.NotAfter)))
		case c.NotAfter != k.NotAfter || c.NotBefore != k.NotBefore:
			list = append(list, fmt.Sprintf("The %s key %s is valid %s; it was valid %s.", k.Use, k.ID, validity(k.NotBefore, k.NotAfter), validity(c.NotBefore, c.NotAfter)))
		}
		delete(known, k.ID)
	}
	for _, r := range p.Revoked {
		if !revoked[r.ID] {
			list = append(list, fmt.Sprintf("The key %s is revoked: nothing that it ever signed counts.", r.ID))
		}
		delete(known, r.ID)
		delete(revoked, r.ID)
	}
	for id, c := range known {
		list = append(list, fmt.Sprintf("The %s key %s is left out: nothing says any more until when it was valid.", c.Use, id))
	}
	if p.Vendor != now.Name {
		list = append(list, fmt.Sprintf("The vendor's name is %s; it was %s.", p.Vendor, now.Name))
	}
	if p.Address != now.Address {
		list = append(list, fmt.Sprintf("Machines reach the vendor at %s; that was %s.", p.Address, now.Address))
	}
	if p.Until != now.Until {
		list = append(list, fmt.Sprintf("Machines take in nothing new from %s on without a newer trust bundle; that was %s.", cmp.Or(p.Until.String(), "never"), cmp.Or(now.Until.String(), "never")))
	}
	if !bytes.Equal(p.NextRoot, now.NextRoot) {
		list = append(list, "Another root key may come after this one.")
	}
	if len(list) == 0 {
		list = append(list, "Nothing but the number and the time.")
	}
	return list, nil
}

func validity(from, to license.Time) string {
	return fmt.Sprintf("from %s to %s", cmp.Or(from.String(), "always"), cmp.Or(to.String(), "any time"))
}

// follows is the bundle that the proposal takes the place of.
func (p Proposal) follows() (*seal.Trust, error) {
	now, err := seal.ParseTrust([]byte(p.Current))
	if err != nil {
		return nil, err
	}
	if now.Scope != (seal.Scope{Vendor: p.VendorID, Environment: p.Environment}) || p.Number <= now.Number {
		return nil, refusal.New(refusal.DamagedFile, "The request does not follow the trust file in it.").Hinted("Make the request anew.")
	}
	return now, nil
}

// Sign signs the bundle with the root, or with the root key that the current bundle
// names as the next, which is the root from then on. It gives the new trust file.
func (p Proposal) Sign(root *seal.SigningKey) ([]byte, error) {
	now, err := p.follows()
	if err != nil {
		return nil, err
	}
	t := seal.Trust{
		Scope: now.Scope, Name: p.Vendor, Address: p.Address, Number: p.Number, Time: p.Time,
		Until: p.Until, NextRoot: p.NextRoot, Before: now.Before,
	}
	switch {
	case bytes.Equal(root.Public(), now.Root):
	case bytes.Equal(seal.RootHash(root.Public()), now.NextRoot):
		t.Before = now.Signed
		if bytes.Equal(t.NextRoot, now.NextRoot) {
			t.NextRoot = nil // it has come
		}
	default:
		return nil, refusal.New(refusal.InvalidInput, "This is neither the root key of %s nor the one named as the next.", now.Name).
			Hinted("Use the file of keys export-root, of the vendor %s.", p.VendorID)
	}
	for _, k := range p.Keys {
		if seal.KeyIDOf(k.Public).String() != k.ID {
			return nil, refusal.New(refusal.DamagedFile, "The request contradicts itself about the key %s.", k.ID).Hinted("Make the request anew.")
		}
		doc, err := seal.SignCertificate(now.Scope, root, seal.Certificate{Use: k.Use, Public: k.Public, NotBefore: k.NotBefore, NotAfter: k.NotAfter, Number: k.Number})
		if err != nil {
			return nil, err
		}
		t.Certificates = append(t.Certificates, doc)
	}
	for _, r := range p.Revoked {
		id, err := parseKeyID(r.ID)
		if err != nil {
			return nil, err
		}
		t.Revoked = append(t.Revoked, seal.Revoked{Key: id, Since: r.Since})
	}
	slices.SortFunc(t.Revoked, func(x, y seal.Revoked) int { return bytes.Compare(x.Key[:], y.Key[:]) })
	return seal.SignTrust(root, t)
}

func parseKeyID(text string) (id seal.KeyID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, refusal.New(refusal.InvalidInput, "%q is no key's id.", text).Hinted("licet-central keys list names the keys.")
	}
	return seal.KeyID(b), nil
}

// ChangeKeys changes the keys and publishes the trust bundle that says so, signed by
// the root, which must be on this server.
func (r *Registry) ChangeKeys(ctx context.Context, a Actor, c KeyChange) error {
	p, err := r.ProposeKeys(ctx, a, c)
	if err != nil {
		return err
	}
	root := r.keys().root
	if root == nil {
		return refusal.New(refusal.NotFound, "The root key is not on this server.").
			Hinted("Add --request FILE, sign that file where the root is (licet-central keys sign-root), and bring the answer with --accept.")
	}
	file, err := p.Sign(root)
	if err != nil {
		return err
	}
	_, err = r.AcceptTrust(ctx, a, file)
	return err
}

// ProposeKeys makes what a change needs, such as a new key, and the trust bundle for
// the root to sign. Nothing signs with the new key before AcceptTrust. Asked again for
// the same, it proposes the same key.
func (r *Registry) ProposeKeys(ctx context.Context, a Actor, c KeyChange) (p Proposal, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return p, err
	}
	if c.Revoke != "" && strings.TrimSpace(c.Reason) == "" {
		return p, refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the audit trail keeps it.")
	}
	k := r.keys()
	now := license.At(r.cfg.Now())
	if !c.Until.IsZero() && license.At(c.Until) <= now {
		return p, refusal.New(refusal.InvalidInput, "The end of the trust bundle is not in the future.")
	}
	var fresh store.Key
	rows, err := r.keyRows(ctx)
	if err != nil {
		return p, err
	}
	current, file := k.trust, k.vendor.Trust
	if c.Follows != nil {
		if current, err = seal.ParseTrust(c.Follows); err != nil {
			return p, err
		}
		if !current.Follows(k.trust) {
			return p, refusal.New(refusal.OutOfDate, "The trust file has the number %d and does not follow the one in the database, which has %d.", current.Number, k.trust.Number).
				Hinted("Leave --follows out; the one in the database is newer, or another vendor's.")
		}
		file = c.Follows
	}
	at := slices.IndexFunc(rows, func(row store.Key) bool { return row.ID == c.Revoke && row.Use == string(seal.Issuing) })
	switch {
	case c.Revoke != "" && at < 0:
		return p, refusal.New(refusal.NotFound, "There is no issuing key %s.", c.Revoke).Hinted("licet-central keys list names the keys.")
	case c.Revoke != "" && rows[at].Revoked != 0:
		return p, refusal.New(refusal.AlreadyApplied, "The key %s is revoked already, since %s.", c.Revoke, rows[at].Revoked)
	}
	signs := k.issuing.ID().String()
	if c.Rotate || c.Revoke == signs {
		if fresh, err = r.freshKey(ctx, a, rows, c.token(rows, signs)); err != nil {
			return p, err
		}
	}
	if c.Revoke != "" {
		err := r.write(ctx, func(tx *store.Tx) error {
			if err := tx.ChangeKeys(); err != nil {
				return err
			}
			if err := tx.RevokeKey(c.Revoke, 0, c.Reason); err != nil {
				return err
			}
			log := r.scribe(tx, a, now.Go())
			log.reason = c.Reason
			return log.note(evRevocationAsked, map[string]any{"key": c.Revoke}, about(ofVendor, k.vendor.ID))
		})
		if err == nil {
			err = r.loadKeys(ctx)
		}
		if err != nil {
			return p, err
		}
	}
	p = Proposal{
		What: proposalIs, VendorID: k.scope.Vendor, Vendor: k.vendor.Name, Environment: k.scope.Environment, Address: k.vendor.Address,
		Number: current.Number + 1, Time: now, Until: current.Until, NextRoot: current.NextRoot, Current: string(file),
	}
	switch {
	case c.Endless:
		p.Until = 0
	case !c.Until.IsZero():
		p.Until = license.At(c.Until)
	}
	if c.NextRoot != nil {
		p.NextRoot = seal.RootHash(c.NextRoot)
	}
	var number uint64
	here := func(id string) bool {
		return slices.ContainsFunc(rows, func(row store.Key) bool { return row.ID == id })
	}
	lost := map[string]bool{} // keys that are not here
	for _, cert := range current.Keys() {
		number = max(number, cert.Number)
		id := cert.KeyID().String()
		if id == c.Revoke {
			continue
		}
		lost[id] = cert.Use == seal.Issuing && !here(id)
		proposed := ProposedKey{ID: id, Use: cert.Use, Public: cert.Public, Number: cert.Number, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
		switch {
		case lost[id]:
			proposed.NotAfter = now
		case id == signs && fresh.ID != "":
			proposed.NotAfter = now.Add(max(c.Overlap, clocks))
		}
		p.Keys = append(p.Keys, proposed)
	}
	for _, x := range current.Revoked {
		p.Revoked = append(p.Revoked, ProposedRevoked{ID: x.Key.String(), Since: x.Since})
	}
	if c.Revoke != "" {
		p.Revoked = append(p.Revoked, ProposedRevoked{ID: c.Revoke, Since: now})
	}
	if fresh.ID != "" {
		p.Keys = append(p.Keys, ProposedKey{ID: fresh.ID, Use: seal.Issuing, Public: fresh.Public, Number: number + 1, NotBefore: now.Add(-clocks)})
	}
	// A changed certificate is another one.
	number++
	for i := range p.Keys {
		if id := p.Keys[i].ID; id == signs && fresh.ID != "" || lost[id] {
			number++
			p.Keys[i].Number = number
		}
	}
	return p, nil
}

// Database is the word for keys that no signer keeps.
const Database = "database"

// token is where a new key is to be.
func (c KeyChange) token(rows []store.Key, signs string) string {
	switch at := slices.IndexFunc(rows, func(row store.Key) bool { return row.ID == signs }); {
	case c.Signer == Database:
		return ""
	case c.Signer == "" && at >= 0:
		return rows[at].Token
	}
	return c.Signer
}

func (r *Registry) keyRows(ctx context.Context) (rows []store.Key, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err = tx.Keys()
		return err
	})
	return rows, err
}

// freshKey is a new issuing key: the one that waits for the root already, or one that
// is made now.
func (r *Registry) freshKey(ctx context.Context, a Actor, rows []store.Key, token string) (row store.Key, err error) {
	k := r.keys()
	waits := slices.IndexFunc(rows, func(row store.Key) bool {
		return row.Use == string(seal.Issuing) && row.Certificate == nil && row.Token == token
	})
	if waits >= 0 {
		return rows[waits], nil
	}
	now := r.cfg.Now()
	if row, err = newIssuingKey(ctx, reader(r.cfg.Random), token); err != nil {
		return row, err
	}
	row.Created = license.At(now)
	if row.Private != nil {
		if row.Private, err = k.vault.Seal(keyPlace(row.ID), row.Private); err != nil {
			return row, err
		}
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		if err := tx.ChangeKeys(); err != nil {
			return err
		}
		for _, old := range rows { // one that waits elsewhere
			if old.Use == row.Use && old.Certificate == nil {
				if err := tx.DropKey(old.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
		}
		if err := tx.InsertKey(row); err != nil {
			return err
		}
		return r.scribe(tx, a, now).note(evKeyMade, map[string]any{"key": row.ID, "use": row.Use}, about(ofVendor, k.vendor.ID))
	})
	if err == nil {
		err = r.loadKeys(ctx)
	}
	return row, err
}

// AcceptTrust publishes a trust bundle that the root has signed: its keys count from
// the commit on, on every server. It must follow the current one and leave out no key.
func (r *Registry) AcceptTrust(ctx context.Context, a Actor, file []byte) (t *seal.Trust, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return nil, err
	}
	if t, err = seal.ParseTrust(file); err != nil {
		return nil, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		if err := tx.ChangeKeys(); err != nil {
			return err
		}
		v, err := tx.Vendor()
		if err != nil {
			return err
		}
		now := r.cfg.Now()
		before, err := seal.ParseTrust(v.Trust)
		if err != nil {
			return err
		}
		if bytes.Equal(before.Signed, t.Signed) {
			return refusal.New(refusal.AlreadyApplied, "This trust file is the current one already.")
		}
		if !t.Follows(before) || t.Format < 2 {
			return refusal.New(refusal.OutOfDate, "The trust file has the number %d and does not follow the current one, which has %d. Nothing was changed.", t.Number, before.Number).
				Hinted("Make the request anew, and have that signed.")
		}
		rows, err := tx.Keys()
		if err != nil {
			return err
		}
		return r.scribe(tx, a, now).publish(v, rows, before, t, file)
	})
	if err != nil {
		return nil, err
	}
	return t, r.loadKeys(ctx)
}

// publish stores a bundle and what it says of each key.
func (s scribe) publish(v store.Vendor, rows []store.Key, before, t *seal.Trust, file []byte) error {
	no := func(format string, args ...any) error {
		return refusal.New(refusal.InvalidInput, "The trust file cannot be used here: "+format+" Nothing was changed.", args...).
			Hinted("Make the request anew, and have that signed.")
	}
	certified := map[string]seal.Certificate{}
	docs := map[string][]byte{}
	for i, c := range t.Keys() {
		id := c.KeyID().String()
		certified[id], docs[id] = c, t.Certificates[i]
	}
	revoked := map[string]license.Time{}
	for _, x := range t.Revoked {
		revoked[x.Key.String()] = x.Since
	}
	now := license.At(s.now)
	known := map[string]bool{}
	for i := range rows {
		row := &rows[i]
		use := seal.Use(row.Use)
		if use != seal.Issuing && use != seal.Sealing {
			continue
		}
		known[row.ID] = true
		c, ok := certified[row.ID]
		_, gone := revoked[row.ID]
		switch {
		case row.Revoked != 0 && !gone:
			return no("the key %s is revoked and would count again.", row.ID)
		case gone && row.Revoked == 0:
			row.Revoked = now
			if err := s.tx.RevokeKey(row.ID, now, row.Reason); err != nil {
				return err
			}
			if use == seal.Issuing {
				if err := s.tx.SetRevoked(t.Number); err != nil {
					return err
				}
			}
			if err := s.forget(*row); err != nil {
				return err
			}
			revoking := s
			revoking.reason = row.Reason
			if err := revoking.note(evKeyRevoked, map[string]any{"key": row.ID, "use": row.Use}, about(ofVendor, v.ID)); err != nil {
				return err
			}
		case gone:
		case !ok && use == seal.Issuing && row.Certificate != nil:
			return no("it leaves out the key %s.", row.ID)
		case ok && c.Use != use:
			return no("it gives the key %s another use.", row.ID)
		case ok:
			row.Certificate, row.NotBefore, row.NotAfter = docs[row.ID], c.NotBefore, c.NotAfter
			if err := s.tx.CertifyKey(row.ID, row.Certificate, c.NotBefore, c.NotAfter); err != nil {
				return err
			}
			if use == seal.Issuing && c.NotAfter != 0 && c.NotAfter <= now { // it signs no more
				if err := s.forget(*row); err != nil {
					return err
				}
			}
		}
	}
	for id, c := range certified {
		switch {
		case known[id]:
		case c.Use == seal.Issuing && c.NotAfter != 0 && c.NotAfter <= now: // lost with a database
			lost := store.Key{ID: id, Use: string(c.Use), Public: c.Public, Certificate: docs[id], Created: now, NotBefore: c.NotBefore, NotAfter: c.NotAfter}
			if err := s.tx.InsertKey(lost); err != nil {
				return err
			}
			if err := s.tx.CountSignatures(id, -1); err != nil { // nobody knows how many
				return err
			}
		default:
			return no("it names the key %s, which this server does not have.", id)
		}
	}
	signs, found := signer(rows)
	if !found || !certified[signs.ID].Covers(now) {
		return no("no key of this server could sign by it.")
	}
	if !bytes.Equal(t.Root, before.Root) {
		if err := s.newRoot(rows, t); err != nil {
			return err
		}
	}
	if err := s.tx.SetTrust(t.Name, t.Address, file); err != nil {
		return err
	}
	return s.note(evTrustPublished, map[string]any{"number": t.Number, "signs": signs.ID, "revoked": len(t.Revoked), "until": t.Until}, about(ofVendor, v.ID))
}

// forget removes the private part of a key that signs no more.
func (s scribe) forget(row store.Key) error {
	if row.Private == nil {
		return nil
	}
	return s.tx.ForgetPrivateKey(row.ID)
}

// newRoot stores the public key of a root that came after another, whose private key
// is of no use any more.
func (s scribe) newRoot(rows []store.Key, t *seal.Trust) error {
	for _, row := range rows {
		if row.Use == string(seal.Root) {
			if err := s.forget(row); err != nil {
				return err
			}
		}
	}
	id := seal.KeyIDOf(t.Root).String()
	return s.tx.InsertKey(store.Key{ID: id, Use: string(seal.Root), Public: t.Root, Created: license.At(s.now)})
}

// StopIssuing has no server sign a step any more, from the commit on: for the moment
// in which a key may be in wrong hands. What is issued is sent on, receipts are taken,
// contact renews, and lost licenses are decided; what needs a step waits.
func (r *Registry) StopIssuing(ctx context.Context, a Actor, reason string) error {
	return r.stop(ctx, a, reason, true)
}

// ResumeIssuing ends that.
func (r *Registry) ResumeIssuing(ctx context.Context, a Actor, reason string) error {
	return r.stop(ctx, a, reason, false)
}

func (r *Registry) stop(ctx context.Context, a Actor, reason string, stop bool) error {
	if err := a.may(ScopeAdmin); err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the audit trail keeps it.")
	}
	err := r.write(ctx, func(tx *store.Tx) error {
		if err := tx.ChangeKeys(); err != nil {
			return err
		}
		v, err := tx.Vendor()
		if err != nil {
			return err
		}
		switch is := v.Stop.Since != 0; {
		case is && stop:
			return refusal.New(refusal.AlreadyApplied, "Issuing is stopped already, since %s, by %s: %s", v.Stop.Since, v.Stop.Actor, v.Stop.Reason)
		case !is && !stop:
			return refusal.New(refusal.AlreadyApplied, "Issuing is not stopped.")
		}
		now := r.cfg.Now()
		log := r.scribe(tx, a, now)
		log.reason = reason
		name, state := evIssuingResumed, store.Stop{}
		if stop {
			name, state = evIssuingStopped, store.Stop{Since: license.At(now), Actor: a.String(), Reason: reason}
		}
		if err := tx.SetStop(state); err != nil {
			return err
		}
		return log.note(name, nil, about(ofVendor, v.ID))
	})
	if err != nil {
		return err
	}
	return r.loadKeys(ctx)
}

// stopped refuses what would need a step, while issuing is stopped.
func (k *keyring) stopped() *refusal.Refusal {
	if k.vendor.Stop.Since == 0 {
		return nil
	}
	return refusal.New(refusal.IssuingStopped, "The vendor has stopped issuing for a while. Nothing was changed, and what is on the machine stays usable.").
		With("since", k.vendor.Stop.Since)
}
