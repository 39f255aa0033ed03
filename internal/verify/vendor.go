package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"licet/internal/store"
)

// vendor checks the vendor and its keys, down from the root whose hash is the
// vendor's id.
func (v *run) vendor() error {
	row, err := v.tx.Vendor()
	if err != nil {
		return err
	}
	v.read("vendor")
	v.scope = scope{row.ID, row.Environment}
	v.epoch, v.created, v.stop, v.outdated = int64(row.Epoch), int64(row.Created), row.Stop.Reason, row.Outdated
	const bundle = "the trust bundle in the same row, signed by the root"
	t, err := parseTrust(row.Trust)
	if err != nil {
		v.find("vendor", row.ID, "trust", "", "", "the trust bundle does not prove: %v", err)
	} else {
		v.same("vendor", row.ID, "id", row.ID, t.vendor, bundle)
		v.same("vendor", row.ID, "environment", row.Environment, t.environment, bundle)
		v.same("vendor", row.ID, "name", row.Name, t.name, bundle)
		v.same("vendor", row.ID, "address", row.Address, t.address, bundle)
	}
	if v.opt.Trust != nil {
		outside, err := parseTrust(v.opt.Trust)
		if err != nil {
			return fmt.Errorf("the trust file from outside does not prove: %w", err)
		}
		v.same("vendor", row.ID, "id", row.ID, outside.vendor, "the trust file outside the database")
		v.same("vendor", row.ID, "environment", row.Environment, outside.environment, "the trust file outside the database")
	}
	return v.keys(t)
}

func (v *run) keys(t trust) error {
	rows, err := v.tx.RawKeys()
	if err != nil {
		return err
	}
	isRoot := func(public []byte) bool {
		return slices.ContainsFunc(t.roots, func(r []byte) bool { return bytes.Equal(r, public) })
	}
	for _, k := range rows {
		if k.Use == "root" && (t.root == nil && vendorName(k.Public) == v.scope.vendor || bytes.Equal(k.Public, t.root)) {
			v.root = k.Public
		}
	}
	if v.root == nil {
		v.find("keys", "root", "", "", "", "no key in the table is the root that signed the trust bundle")
		v.root = t.root
	}
	for _, k := range rows {
		v.read("keys")
		id := keyID(k.Public)
		v.same("keys", k.ID, "id", k.ID, hex.EncodeToString(id[:]), "the hash of the public key")
		switch k.Use {
		case "root":
			if !isRoot(k.Public) {
				v.same("keys", k.ID, "public", vendorName(k.Public), v.scope.vendor, "the vendor's id is the hash of the root key")
			}
		case "issuing", "sealing":
			if t.revoked[id] != (k.Revoked != 0) {
				v.find("keys", k.ID, "revoked", moment(k.Revoked), "", "the trust bundle says otherwise")
			}
			if k.Certificate == nil {
				v.uncertified = append(v.uncertified, k)
				continue // it may wait for the root's signature
			}
			c, ok := parseCertificate(k.Certificate, v.root, v.scope)
			if !ok {
				v.find("keys", k.ID, "certificate", "", "", "the root did not sign it for this vendor and environment")
				continue
			}
			v.same("keys", k.ID, "certificate", c.use, k.Use, "the use that the root certified")
			v.same("keys", k.ID, "certificate", c.public, k.Public, "the key that the root certified")
			v.same("keys", k.ID, "not_before", moment(k.NotBefore), moment(c.notBefore), "the time that the root certified")
			v.same("keys", k.ID, "not_after", moment(k.NotAfter), moment(c.notAfter), "the time that the root certified")
			if c.use == "issuing" {
				v.know(c)
				i := v.issuing[id]
				i.row, i.counted, i.revoked = k.ID, k.Signatures, k.Revoked
				v.issuing[id] = i
			}
		case "audit":
			v.takeAuditKey(k)
		default:
			v.find("keys", k.ID, "use", k.Use, "", "there is no such use")
		}
	}
	for _, doc := range t.certificates {
		c, ok := parseCertificate(doc, v.root, v.scope)
		if !ok {
			v.find("vendor", v.scope.vendor, "trust", "", "", "a certificate in the trust bundle was not signed by the root")
		} else if c.use == "issuing" {
			v.know(c)
		}
	}
	if v.opt.Keys != nil {
		v.find("keys", "private", "", "", "", "the private keys do not open: %v", v.opt.Keys)
	}
	if v.auditKey == nil {
		v.find("keys", "audit", "", "", "", "the key of the audit log is missing; the audit log was not checked")
	}
	return nil
}

func (v *run) know(c certificate) {
	id := keyID(c.public)
	i := v.issuing[id]
	i.public, i.certificates = c.public, append(i.certificates, c)
	v.issuing[id] = i
}

func (v *run) takeAuditKey(k store.RawKey) {
	text, err := note.NewEd25519VerifierKey("licet/"+v.scope.vendor+"/"+v.scope.environment, k.Public)
	if err == nil {
		v.auditKey, err = note.NewVerifier(text)
	}
	if err != nil {
		v.find("keys", k.ID, "public", "", "", "no key for checkpoints: %v", err)
	}
	if outside := v.opt.Audit; outside != nil {
		if v.auditKey == nil || v.auditKey.Name() != outside.Name() || v.auditKey.KeyHash() != outside.KeyHash() {
			v.find("keys", k.ID, "public", show(k.Public), "", "it is not the key of the audit log outside the database")
		}
		v.auditKey = outside
	}
}

// issuedBy reports whether a document was signed by an issuing key that the root
// certified and that was valid at its time; time 0 leaves that open.
func (v *run) issuedBy(d document, purpose string, time int64) string {
	i, ok := v.issuing[d.key]
	switch {
	case !ok:
		return "no issuing key that the root certified signed it"
	case !d.signedBy(i.public, purpose, v.scope):
		return "the signature does not fit the bytes"
	case time != 0 && !slices.ContainsFunc(i.certificates, func(c certificate) bool { return c.covers(time) }):
		return "the key that signed it was not valid at its time"
	case i.revoked != 0 && time >= i.revoked+revokedBeside:
		return "the key that signed it was revoked before its time"
	}
	return ""
}

// revokedBeside is how long after the revocation of a key a step can be dated that
// another server signed at the same time, in microseconds.
const revokedBeside = 60e6

// signatures holds the signatures in the record against the count of each key, which
// is kept ahead of them: more of them than were counted, nobody of ours made. Of a key
// that was lost with a database nobody knows the count; it stands as -1.
func (v *run) signatures() error {
	for id, i := range v.issuing {
		if made := v.made[id]; i.row != "" && i.counted >= 0 && made > i.counted {
			v.find("keys", i.row, "signatures", show(i.counted), fmt.Sprintf("%d or more", made), "so many of its signatures are in steps and answers")
		}
	}
	return nil
}

// things checks what events tell of whole: the vendor, products and tokens.
func (v *run) things() error {
	if err := v.vendorEvents(); err != nil {
		return err
	}
	if err := v.catalog(); err != nil {
		return err
	}
	return v.tokens()
}

func (v *run) vendorEvents() error {
	events := v.subjectEvents("vendor")
	made := 0
	keys := map[string]bool{}      // that were made, by the events
	var stops []store.SubjectEvent // about issuing, by id
	outdated := ""
	for e := events.next(); e != nil; e = events.next() {
		v.gapOf(*e, &outdated)
		var d struct{ Name, Environment, Key string }
		switch e.Name {
		case "vendor_created":
			if made++; v.details(*e, &d) {
				v.same("vendor", e.Subject, "environment", v.scope.environment, d.Environment, "event %s", e.ID)
				v.same("vendor", e.Subject, "created", v.created, e.Time, "event %s", e.ID)
			}
			v.same("vendor", v.scope.vendor, "id", v.scope.vendor, e.Subject, "event %s", e.ID)
		case "key_made":
			if v.details(*e, &d) {
				keys[d.Key] = true
			}
		case "issuing_stopped", "issuing_resumed":
			stops = append(stops, *e)
		}
	}
	if events.err != nil {
		return events.err
	}
	v.same("vendor", v.scope.vendor, "epoch", v.epoch, max(v.lastEpoch(), 1), "the events that tell of a back-up which was restored")
	v.same("vendor", v.scope.vendor, "outdated", v.outdated, outdated, "the events that tell of a proof")
	if err := v.gapRows(); err != nil {
		return err
	}
	if made != 1 {
		v.find("vendor", v.scope.vendor, "", "", "", "%d events say that it was created", made)
	}
	v.issuingStopped(stops)
	for _, k := range v.uncertified {
		if !keys[k.ID] || k.Revoked != 0 || k.Signatures != 0 {
			v.find("keys", k.ID, "certificate", "", "", "the root did not certify it")
		}
	}
	return nil
}

// gapOf takes in what an event tells of a return from a back-up, or of a record that
// is behind.
func (v *run) gapOf(e store.SubjectEvent, outdated *string) {
	var g struct {
		Epoch, List, Whole int64
		Since, Why         string
		Use                string
	}
	switch e.Name {
	case "gap_opened":
		if v.details(e, &g); g.Epoch <= max(v.lastEpoch(), 1) {
			v.find("events", e.ID, "details", show(g.Epoch), "", "the epoch does not grow")
		}
		one := gap{event: e.ID, epoch: g.Epoch, list: g.List, since: microseconds(g.Since), opened: e.Time, whole: g.Whole}
		if g.Whole > 0 {
			one.closed = e.Time
		}
		v.gaps = append(v.gaps, one)
		*outdated = ""
	case "gap_closed":
		if v.details(e, &g); g.Epoch == v.lastEpoch() && len(v.gaps) > 0 {
			v.gaps[len(v.gaps)-1].closed = e.Time
		}
	case "key_revoked":
		if v.details(e, &g); g.Use == "issuing" {
			*outdated = "" // what the key has signed proves nothing
		}
	case "server_outdated":
		if v.details(e, &g); *outdated == "" {
			*outdated = g.Why
		}
	}
}

// issuingStopped checks why nothing is issued against the newest event about it. Of
// those that clocks do not tell apart, any may be the newest.
func (v *run) issuingStopped(stops []store.SubjectEvent) {
	if len(stops) == 0 {
		v.same("vendor", v.scope.vendor, "stop_reason", v.stop, "", "no event says that issuing was stopped")
		return
	}
	last := stops[len(stops)-1]
	reason := func(e store.SubjectEvent) string {
		if e.Name == "issuing_stopped" {
			return e.Reason
		}
		return ""
	}
	for _, e := range stops {
		if last.Time-e.Time <= skew && v.stop == reason(e) {
			return
		}
	}
	v.same("vendor", v.scope.vendor, "stop_reason", v.stop, reason(last), "event %s", last.ID)
}

// microseconds reads a time of an event's details; 0 for none.
func microseconds(text string) int64 {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

// epochAt is the epoch of the record when an event was written.
func (v *run) epochAt(event string) int64 {
	epoch := int64(1)
	for _, g := range v.gaps {
		if g.event < event {
			epoch = g.epoch
		}
	}
	return epoch
}

// lastEpoch is the epoch of the last gap, 0 if there was none.
func (v *run) lastEpoch() int64 {
	if len(v.gaps) == 0 {
		return 0
	}
	return v.gaps[len(v.gaps)-1].epoch
}

// gapRows holds the gaps against their events.
func (v *run) gapRows() error {
	rows, err := v.tx.Gaps()
	if err != nil {
		return err
	}
	told := slices.Clone(v.gaps)
	for _, r := range rows {
		v.read("gaps")
		key := show(r.Epoch)
		i := slices.IndexFunc(told, func(g gap) bool { return g.epoch == int64(r.Epoch) })
		if i < 0 {
			v.find("gaps", key, "", "", "", "no event tells of it")
			continue
		}
		v.same("gaps", key, "since", moment(int64(r.Since)), moment(told[i].since), "event %s", told[i].event)
		v.same("gaps", key, "opened", moment(int64(r.Opened)), moment(told[i].opened), "event %s", told[i].event)
		v.same("gaps", key, "whole", show(int64(r.Whole)), show(told[i].whole), "event %s", told[i].event)
		v.same("gaps", key, "closed", moment(int64(r.Closed)), moment(told[i].closed), "the event that closed it")
		told = slices.Delete(told, i, i+1)
	}
	for _, g := range told {
		v.find("gaps", show(g.epoch), "", "", "", "the row is missing: event %s tells of it", g.event)
	}
	return nil
}

// catalog checks products, bundles and categories against the newest event about
// each.
func (v *run) catalog() error {
	spec := func(e store.SubjectEvent) string {
		var d struct {
			Hash string `json:"spec_hash"`
		}
		v.details(e, &d)
		return d.Hash
	}
	if err := v.specs("products", "product", v.tx.RawSpecs, spec); err != nil {
		return err
	}
	if err := v.specs("bundles", "bundle", v.tx.RawBundles, spec); err != nil {
		return err
	}
	return v.specs("categories", "category", v.tx.RawCategories, func(e store.SubjectEvent) string {
		var d struct{ Name string }
		v.details(e, &d)
		h := sha256.Sum256([]byte(d.Name))
		return hex.EncodeToString(h[:])
	})
}

// specs holds rows of one text against the hash that the newest event gives.
func (v *run) specs(table, kind string, load func(after string, limit int) ([]store.RawSpec, error), hash func(store.SubjectEvent) string) error {
	rows := &pages[store.RawSpec]{load: func(last store.RawSpec) ([]store.RawSpec, error) { return load(last.Code, pageSize) }}
	events := v.subjectEvents(kind)
	for {
		var code string
		row, e := rows.peek(), events.peek()
		if row != nil {
			code = row.Code
		}
		if e != nil {
			code = least(code, e.Subject)
		}
		if code == "" {
			return cmp.Or(rows.err, events.err)
		}
		var want, last string
		for _, e := range take(events, code) {
			if e.Name == kind+"_created" || e.Name == kind+"_changed" {
				want, last = hash(e), e.ID
			}
		}
		if row == nil || row.Code != code {
			v.find(table, code, "", "", "", "the row is missing; event %s tells of it", last)
			continue
		}
		rows.next()
		v.read(table)
		if is := sha256.Sum256([]byte(row.Spec)); last == "" {
			v.find(table, code, "", "", "", "no event tells of it")
		} else {
			column := map[string]string{"products": "spec", "bundles": "spec", "categories": "name"}[table]
			v.same(table, code, column, "hash "+hex.EncodeToString(is[:]), "hash "+want, "event %s", last)
		}
	}
}

func (v *run) tokens() error {
	rows := &pages[store.RawToken]{load: func(last store.RawToken) ([]store.RawToken, error) { return v.tx.RawTokens(last.ID, pageSize) }}
	events := v.subjectEvents("token")
	for {
		var id string
		row, e := rows.peek(), events.peek()
		if row != nil {
			id = row.ID
		}
		if e != nil {
			id = least(id, e.Subject)
		}
		if id == "" {
			return cmp.Or(rows.err, events.err)
		}
		var want store.RawToken
		var why string
		for _, e := range take(events, id) {
			var d struct {
				Name    string
				Scopes  []string
				Expires string `json:"expires_at"` // empty for never
			}
			switch e.Name {
			case "vendor_created":
				why = e.ID
				want.Name, want.Scopes, want.Created = "admin", "admin", e.Time
			case "token_created":
				if v.details(e, &d) {
					why = e.ID
					want.Name, want.Scopes, want.Created = d.Name, strings.Join(d.Scopes, " "), e.Time
					want.Expires = microseconds(d.Expires)
				}
			case "token_revoked":
				want.Revoked = e.Time
			}
		}
		if row == nil || row.ID != id {
			v.find("tokens", id, "", "", "", "the row is missing; events tell of it")
			continue
		}
		rows.next()
		v.read("tokens")
		if why == "" {
			v.find("tokens", id, "", "", "", "no event tells of it")
			continue
		}
		v.same("tokens", id, "name", row.Name, want.Name, "event %s", why)
		v.same("tokens", id, "scopes", row.Scopes, want.Scopes, "event %s", why)
		v.same("tokens", id, "created", moment(row.Created), moment(want.Created), "event %s", why)
		v.same("tokens", id, "expires", moment(row.Expires), moment(want.Expires), "event %s", why)
		v.same("tokens", id, "revoked", moment(row.Revoked), moment(want.Revoked), "the events about it")
	}
}
