package registry

import (
	"context"
	"fmt"

	"licet/internal/store"
	"licet/license"
	"licet/seal"
)

// KeyState is what a key is good for at this moment.
type KeyState string

// The states of keys.
const (
	KeyWaits   KeyState = "waits"   // for the root's signature; it has signed nothing
	KeySigns   KeyState = "signs"   // steps, updates and what else the vendor says
	KeyOverlap KeyState = "overlap" // another one signs; a server that does not know yet still may
	KeyRetired KeyState = "retired" // what it signed counts; it signs no more
	KeyRevoked KeyState = "revoked" // nothing that it signed counts
	KeyHere    KeyState = "here"    // the root, on this server
	KeyOffline KeyState = "offline" // the root, elsewhere
	KeyOpens   KeyState = "opens"   // what containers send; or the audit log's key
)

// KeyInfo tells of one key.
type KeyInfo struct {
	ID         string       `json:"id"`
	Use        string       `json:"use"`
	State      KeyState     `json:"state"`
	Place      string       `json:"place"` // database, offline, none, or a token's name
	Created    license.Time `json:"created"`
	NotBefore  license.Time `json:"valid_from,omitzero"`
	NotAfter   license.Time `json:"valid_until,omitzero"`
	Revoked    license.Time `json:"revoked,omitzero"`
	Reason     string       `json:"reason,omitempty"`
	Signatures int64        `json:"signatures"` // at most; exact once the servers are stopped
	AtSigner   int64        `json:"signatures_at_signer,omitempty"`
}

// KeyList is the vendor's keys and what is published of them.
type KeyList struct {
	VendorID string       `json:"vendor_id"`
	Number   uint64       `json:"trust_number"`
	Format   uint64       `json:"trust_format"`
	Time     license.Time `json:"trust_time"`
	Until    license.Time `json:"trust_until,omitzero"`
	NextRoot bool         `json:"next_root"`
	Signs    string       `json:"signs"` // id of the key
	Stopped  *Stopped     `json:"stopped,omitempty"`
	Keys     []KeyInfo    `json:"keys"`
	// Behind are the containers that were not in contact since a key was revoked, or
	// that wait for a person: they have, or may have, something under it.
	Behind   int64    `json:"containers_behind"`
	Warnings []string `json:"warnings,omitempty"`
}

// Stopped says since when nothing is issued, and why.
type Stopped struct {
	Since  license.Time `json:"since"`
	Actor  string       `json:"actor"`
	Reason string       `json:"reason"`
}

// Stopped is the state of issuing; nil while steps are signed.
func (r *Registry) Stopped() *Stopped {
	s := r.keys().vendor.Stop
	if s.Since == 0 {
		return nil
	}
	return &Stopped{s.Since, s.Actor, s.Reason}
}

// Keys tells of every key, oldest first.
func (r *Registry) Keys(ctx context.Context, a Actor) (list KeyList, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return list, err
	}
	if _, err := r.RefreshKeys(ctx); err != nil {
		return list, err
	}
	rows, err := r.keyRows(ctx)
	if err != nil {
		return list, err
	}
	var behind int64
	if revoked := r.keys().vendor.Revoked; revoked > 0 {
		err := r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) error {
			behind, err = tx.ContainersBehind(revoked)
			return err
		})
		if err != nil {
			return list, err
		}
	}
	k, now := r.keys(), license.At(r.cfg.Now())
	list = KeyList{VendorID: k.vendor.ID, Number: k.trust.Number, Format: k.trust.Format, Time: k.trust.Time, Until: k.trust.Until,
		NextRoot: len(k.trust.NextRoot) > 0, Signs: k.issuing.ID().String(), Stopped: r.Stopped(), Keys: []KeyInfo{}, Behind: behind}
	for _, row := range rows {
		list.Keys = append(list.Keys, KeyInfo{
			ID: row.ID, Use: row.Use, State: k.state(row, now), Place: keyPlaceOf(row), Created: row.Created,
			NotBefore: row.NotBefore, NotAfter: row.NotAfter, Revoked: row.Revoked, Reason: row.Reason, Signatures: row.Signatures,
		})
	}
	r.askSigners(ctx, rows, &list)
	return list, nil
}

// askSigners compares the counts of the signers with those here: what a signer signed
// beyond them, somebody else has asked for.
func (r *Registry) askSigners(ctx context.Context, rows []store.Key, list *KeyList) {
	asked := map[string]map[string]int64{}
	for i, row := range rows {
		if row.Token == "" || row.Revoked != 0 {
			continue
		}
		counts, done := asked[row.Token]
		if !done {
			link, err := r.signerAt(row.Token)
			if err == nil {
				counts, err = link.Counts(ctx)
			}
			if err != nil {
				list.Warnings = append(list.Warnings, err.Error())
			}
			asked[row.Token] = counts
		}
		info := &list.Keys[i]
		n, kept := counts[row.ID]
		info.AtSigner = n
		switch {
		case counts == nil:
		case !kept:
			list.Warnings = append(list.Warnings, fmt.Sprintf("The signer at %s does not have the key %s.", row.Token, row.ID))
		case n > info.Signatures:
			list.Warnings = append(list.Warnings, fmt.Sprintf("The signer at %s has made %d signatures with the key %s, and at most %d were asked for here: somebody else asked. If no older database was put back, stop issuing and revoke the key.", row.Token, n, row.ID, info.Signatures))
		}
	}
}

func (k *keyring) state(row store.Key, now license.Time) KeyState {
	switch use := seal.Use(row.Use); {
	case row.Revoked != 0:
		return KeyRevoked
	case use == seal.Root && row.Private != nil:
		return KeyHere
	case use == seal.Root && row.ID != k.rootID:
		return KeyRetired
	case use == seal.Root:
		return KeyOffline
	case use != seal.Issuing:
		return KeyOpens
	case row.Certificate == nil:
		return KeyWaits
	case row.ID == k.issuing.ID().String():
		return KeySigns
	case row.NotAfter == 0 || now < row.NotAfter:
		return KeyOverlap
	}
	return KeyRetired
}

// keyPlaceOf says where the private part of a key is.
func keyPlaceOf(row store.Key) string {
	switch {
	case row.Token != "":
		return row.Token
	case row.Private != nil:
		return "database"
	case row.Use == string(seal.Root):
		return "offline"
	}
	return "none"
}
