package registry

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"licet/container"
	"licet/internal/signerlink"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/terms"
	"licet/wire"
)

// InitRequest describes a new vendor.
type InitRequest struct {
	Vendor      string
	Environment string // production unless said otherwise
	Address     string // where machines reach the server
	Signer      string // address of the signer that keeps the issuing key; empty for the database
}

// InitResult is what a new vendor gets once.
type InitResult struct {
	VendorID   string
	AdminToken string
	Trust      []byte // the trust bundle, armored
}

// auditKey is the use of the key that signs the audit log's checkpoints.
const auditKey = "audit"

// keyring is the vendor and his keys, decrypted, as they were at one moment. It is
// never changed, only replaced.
type keyring struct {
	vendor store.Vendor
	trust  *seal.Trust
	vault  *seal.Vault
	scope  seal.Scope
	epoch  uint64
	whole  uint64           // the epoch from which on the record lacks nothing that was signed
	root   *seal.SigningKey // nil once removed
	rootID string

	issuing   *seal.SigningKey      // signs
	certified map[seal.KeyID][]byte // certificates of the issuing keys that are not revoked
	revoked   map[seal.KeyID]bool   // issuing keys
	sealing   []*seal.SealingKey    // the newest last
	signer    note.Signer           // of the audit log
	verifier  note.Verifier
	own       *seal.Verifier // of what the issuing keys signed that are not revoked
}

// keys are the newest that this server knows. Whoever looks more than once keeps
// what he got.
func (r *Registry) keys() *keyring { return r.ring.Load() }

// certificates are those of the key that signs, and of the keys by which documents
// are signed that travel with it.
func (k *keyring) certificates(documents ...[]byte) [][]byte {
	list := [][]byte{k.certified[k.issuing.ID()]}
	for _, doc := range documents {
		id, _ := seal.SignerOf(doc)
		c := k.certified[id]
		if c != nil && !slices.ContainsFunc(list, func(l []byte) bool { return bytes.Equal(l, c) }) {
			list = append(list, c)
		}
	}
	return list
}

// Init makes a vendor, its keys, and the first administrator's token. A database
// that holds a vendor already is refused with AlreadyInitialized.
func Init(ctx context.Context, cfg Config, req InitRequest) (InitResult, error) {
	if req.Environment == "" {
		req.Environment = seal.Production
	}
	now := cfg.Now()
	k, rows, trust, err := newKeys(ctx, cfg, req, now)
	if err != nil {
		return InitResult{}, err
	}
	v := store.Vendor{ID: string(k.scope.Vendor), Name: req.Vendor, Environment: req.Environment, Address: req.Address,
		Epoch: 1, Trust: trust, Created: license.At(now)}
	out := InitResult{VendorID: v.ID, Trust: trust}
	k.vendor = v
	r := &Registry{cfg: cfg}
	r.ring.Store(k)
	err = r.write(ctx, func(tx *store.Tx) error {
		// There is no vendor's row to touch first; this one is there from the start.
		if _, err := tx.TouchAuditLog(); err != nil {
			return err
		}
		if _, err := tx.Vendor(); err == nil {
			return refusal.New(refusal.AlreadyInitialized, "The database holds a vendor already; it was not touched.")
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := tx.InsertVendor(v); err != nil {
			return err
		}
		for _, row := range rows {
			if err := tx.InsertKey(row); err != nil {
				return err
			}
		}
		token, err := r.insertToken(tx, "admin", []string{ScopeAdmin}, now, 0)
		if err != nil {
			return err
		}
		out.AdminToken = token.Secret
		return r.scribe(tx, System, now).note(evVendorCreated, map[string]any{"name": v.Name, "environment": v.Environment}, about(ofVendor, v.ID), about(ofToken, token.ID))
	})
	return out, err
}

// newKeys draws every key of a vendor: the root, one issuing and one sealing key
// that it certifies, and the key of the audit log.
func newKeys(ctx context.Context, cfg Config, req InitRequest, now time.Time) (*keyring, []store.Key, []byte, error) {
	vault, err := seal.NewVault(cfg.Secret)
	if err != nil {
		return nil, nil, nil, err
	}
	random := reader(cfg.Random)
	root, err := seal.NewSigningKey(seal.Root, random)
	if err != nil {
		return nil, nil, nil, err
	}
	issuing, err := newIssuingKey(ctx, random, req.Signer)
	if err != nil {
		return nil, nil, nil, err
	}
	sealing, err := seal.NewSealingKey(random)
	if err != nil {
		return nil, nil, nil, err
	}
	k := &keyring{vault: vault, epoch: 1, whole: 1, scope: seal.Scope{Vendor: seal.VendorOf(root.Public()), Environment: req.Environment}}
	if err := k.scope.Check(); err != nil {
		return nil, nil, nil, err
	}
	issuingCert, err := seal.SignCertificate(k.scope, root, seal.Certificate{Use: seal.Issuing, Public: issuing.Public, Number: 1})
	if err != nil {
		return nil, nil, nil, err
	}
	sealingCert, err := seal.SignCertificate(k.scope, root, seal.Certificate{Use: seal.Sealing, Public: sealing.Public(), Number: 2})
	if err != nil {
		return nil, nil, nil, err
	}
	trust, err := seal.SignTrust(root, seal.Trust{Scope: k.scope, Name: req.Vendor, Address: req.Address, Number: 1,
		Time: license.At(now), Certificates: [][]byte{sealingCert, issuingCert}})
	if err != nil {
		return nil, nil, nil, err
	}
	var seed [ed25519.SeedSize]byte
	cfg.Random(seed[:])
	auditPublic := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	rows := []store.Key{
		{ID: root.ID().String(), Use: string(seal.Root), Public: root.Public(), Private: root.Bytes()},
		{ID: issuing.ID, Use: issuing.Use, Public: issuing.Public, Private: issuing.Private, Token: issuing.Token, Certificate: issuingCert},
		{ID: sealing.ID().String(), Use: string(seal.Sealing), Public: sealing.Public(), Private: sealing.Bytes(), Certificate: sealingCert},
		{ID: seal.KeyIDOf(auditPublic).String(), Use: auditKey, Public: auditPublic, Private: seed[:]},
	}
	for i := range rows {
		rows[i].Created = license.At(now)
		if rows[i].Private == nil {
			continue
		}
		if rows[i].Private, err = vault.Seal(keyPlace(rows[i].ID), rows[i].Private); err != nil {
			return nil, nil, nil, err
		}
	}
	return k, rows, trust, nil
}

// newIssuingKey is a new key, with its private part in the clear, or kept by a signer.
func newIssuingKey(ctx context.Context, random io.Reader, signer string) (store.Key, error) {
	row := store.Key{Use: string(seal.Issuing), Token: signer}
	if signer == "" {
		key, err := seal.NewSigningKey(seal.Issuing, random)
		if err != nil {
			return row, err
		}
		row.ID, row.Public, row.Private = key.ID().String(), key.Public(), key.Bytes()
		return row, nil
	}
	link, err := signerlink.To(signer)
	if err != nil {
		return row, err
	}
	public, err := link.NewKey(ctx)
	row.ID, row.Public = seal.KeyIDOf(public).String(), public
	return row, err
}

func keyPlace(id string) seal.Place { return seal.Place{Table: "keys", Row: id, Column: "private"} }

// loadKeys reads the vendor and his keys, decrypts them with secret.key, and goes by
// them from now on.
func (r *Registry) loadKeys(ctx context.Context) error {
	var k *keyring
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		half, err := tx.Restoring()
		if err != nil {
			return err
		}
		if half {
			return refusal.New(refusal.Conflict, "The database is being restored from a back-up, and that was not finished.").
				Hinted("Run licet-central restore-backup again; it begins anew.")
		}
		k, err = r.load(tx)
		return err
	})
	if err != nil {
		return err
	}
	r.ring.Store(k)
	r.blocks.unsign()
	return nil
}

// load reads the vendor and his keys.
func (r *Registry) load(tx *store.Tx) (*keyring, error) {
	v, err := tx.Vendor()
	if errors.Is(err, store.ErrNotFound) {
		return nil, refusal.New(refusal.NotFound, "The database holds no vendor yet.").Hinted("Run licet-central init first.")
	}
	if err != nil {
		return nil, err
	}
	return r.readKeys(tx, v)
}

// RefreshKeys looks whether another server has changed the keys, or stopped or
// resumed issuing, and goes by that from now on.
func (r *Registry) RefreshKeys(ctx context.Context) (changed bool, err error) {
	var version uint64
	err = r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) error {
		version, err = tx.KeysVersion()
		return err
	})
	if err != nil || version == r.keys().vendor.Keys {
		return false, err
	}
	return true, r.loadKeys(ctx)
}

func (r *Registry) readKeys(tx *store.Tx, v store.Vendor) (*keyring, error) {
	vault, err := seal.NewVault(r.cfg.Secret)
	if err != nil {
		return nil, err
	}
	k := &keyring{vendor: v, vault: vault, epoch: v.Epoch, scope: seal.Scope{Vendor: seal.VendorID(v.ID), Environment: v.Environment},
		certified: map[seal.KeyID][]byte{}, revoked: map[seal.KeyID]bool{}}
	if k.trust, err = seal.ParseTrust(v.Trust); err != nil {
		return nil, fmt.Errorf("registry: the trust bundle in the database: %w", err)
	}
	if k.whole, err = wholeFrom(tx, v.Epoch); err != nil {
		return nil, err
	}
	rows, err := tx.Keys()
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if err := k.take(row); err != nil {
			return nil, err
		}
	}
	signs, found := signer(rows)
	if !found || len(k.sealing) == 0 || k.signer == nil {
		return nil, errors.New("registry: the database lacks keys")
	}
	if k.own, err = seal.NewVerifier(k.trust, slices.Collect(maps.Values(k.certified))...); err != nil {
		return nil, err
	}
	k.issuing, err = r.signingKey(k, signs)
	return k, err
}

// signer is the issuing key that signs: of those that the root has certified and not
// revoked, the one that is valid longest.
func signer(rows []store.Key) (key store.Key, found bool) {
	for _, row := range rows {
		if row.Use != string(seal.Issuing) || row.Certificate == nil || row.Revoked != 0 {
			continue
		}
		if !found || key.NotAfter != 0 && (row.NotAfter == 0 || row.NotAfter > key.NotAfter) {
			key, found = row, true
		}
	}
	return key, found
}

// take adds one key to the ring.
func (k *keyring) take(row store.Key) error {
	use := seal.Use(row.Use)
	switch {
	case row.Revoked != 0:
		k.revoked[seal.KeyIDOf(row.Public)] = true
		return nil
	case row.Certificate == nil && (use == seal.Issuing || use == seal.Sealing):
		return nil // it waits for the root's signature
	case use == seal.Issuing:
		k.certified[seal.KeyIDOf(row.Public)] = row.Certificate
		return nil
	}
	private, err := k.open(row)
	if err != nil {
		return err
	}
	switch use {
	case seal.Root:
		k.rootID = row.ID
		if private != nil {
			k.root, err = seal.ParseSigningKey(seal.Root, private)
		}
	case seal.Sealing:
		var s *seal.SealingKey
		s, err = seal.ParseSealingKey(private)
		k.sealing = append(k.sealing, s)
	case auditKey:
		origin := "licet/" + string(k.scope.Vendor) + "/" + k.scope.Environment
		key := ed25519.NewKeyFromSeed(private)
		k.signer, k.verifier, err = checkpointKeys(origin, key)
	}
	return err
}

// open decrypts the private part of a key; nil if it is not here.
func (k *keyring) open(row store.Key) ([]byte, error) {
	if row.Private == nil {
		return nil, nil
	}
	private, err := k.vault.Open(keyPlace(row.ID), row.Private)
	if err != nil {
		return nil, fmt.Errorf("the keys in the database do not open with secret.key: %w", err)
	}
	return private, nil
}

// checkpointKeys wraps the audit key for the checkpoint format, whose keys are
// texts with a name and a hash.
func checkpointKeys(origin string, key ed25519.PrivateKey) (note.Signer, note.Verifier, error) {
	verifierText, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, nil, err
	}
	verifier, err := note.NewVerifier(verifierText)
	if err != nil {
		return nil, nil, err
	}
	const ed25519Algorithm = 1
	signerText := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, verifier.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{ed25519Algorithm}, key.Seed()...)))
	signer, err := note.NewSigner(signerText)
	return signer, verifier, err
}

// WellKnown is what the server says of itself without a login.
func (r *Registry) WellKnown() wire.WellKnown {
	v := r.keys().vendor
	return wire.WellKnown{Vendor: v.Name, VendorID: v.ID, Environment: v.Environment, Trust: string(v.Trust)}
}

// HasRoot reports whether the root key is on this server.
func (r *Registry) HasRoot() bool { return r.keys().root != nil }

// ExportRoot returns the root key, to be kept offline, and removes it from the
// server if asked to. The server works on with its issuing key.
func (r *Registry) ExportRoot(ctx context.Context, a Actor, remove bool) ([]byte, error) {
	if err := a.may(ScopeAdmin); err != nil {
		return nil, err
	}
	k := r.keys()
	if k.root == nil {
		return nil, refusal.New(refusal.NotFound, "The root key was removed from this server before.").Hinted("Use the copy that was exported then.")
	}
	now := r.cfg.Now()
	err := r.write(ctx, func(tx *store.Tx) error {
		if err := tx.ChangeKeys(); err != nil {
			return err
		}
		log := r.scribe(tx, a, now)
		if err := log.note(evRootExported, nil, about(ofVendor, k.vendor.ID)); err != nil || !remove {
			return err
		}
		if err := tx.ForgetPrivateKey(k.rootID); err != nil {
			return err
		}
		return log.note(evRootRemoved, nil, about(ofVendor, k.vendor.ID))
	})
	if err != nil {
		return nil, err
	}
	return k.root.Bytes(), r.loadKeys(ctx)
}

// SignTime answers a nonce with the vendor's signed time.
func (r *Registry) SignTime(ctx context.Context, nonce []byte) ([]byte, error) {
	var n container.Nonce
	if len(nonce) != len(n) {
		return nil, refusal.New(refusal.InvalidInput, "A nonce has %d bytes.", len(n))
	}
	k, err := r.toSign(ctx)
	if err != nil {
		return nil, err
	}
	return seal.SignTime(k.scope, k.issuing, container.Nonce(nonce), license.At(r.cfg.Now()))
}

// openReport checks and opens a file from a container.
func (r *Registry) openReport(file []byte, want ...seal.Kind) (incoming, error) {
	k := r.keys()
	in, err := seal.OpenReport(k.scope, file, k.sealing...)
	if no, ok := refusal.As(err); ok && no.Code == refusal.VendorUntrusted {
		return incoming{}, no.Hinted("Send the file to the server of the vendor it was made for; this is %s.", k.vendor.Name)
	}
	if err != nil {
		return incoming{}, err
	}
	if !slices.Contains(want, in.Kind) {
		return incoming{}, refusal.New(refusal.WrongFile, "This file is a %s; wanted is a %s. Nothing was changed.", in.Kind, want[0])
	}
	return incoming{report: in.Report, serial: in.Serial, kind: in.Kind, file: file, hash: in.Hash}, nil
}

// sealAnswer makes the update file that answers the report of this exchange.
func (x *exchange) sealAnswer(u container.Update) ([]byte, error) {
	var signed [][]byte
	for _, s := range u.Steps {
		signed = append(signed, s.Signed)
	}
	u.Container, u.Answers, u.Time, u.Keys = x.in.serial, x.in.report.Nonce, license.At(x.now), x.keys.certificates(signed...)
	if u.Epoch == 0 {
		u.Epoch = x.keys.epoch
	}
	if x.tellsTrust(u) {
		u.Trust = x.keys.trust.Signed
	}
	u.List, u.Refresh, u.News = x.in.heard.number, x.in.heard.refresh, x.in.heard.news
	x.told = append([]container.Outcome{}, u.Outcomes...)
	var key *seal.Encapsulated
	if x.in.key != nil {
		key, *x.in.key = *x.in.key, nil // good once; another run of the transaction makes its own
	}
	return seal.SealUpdateWith(key, x.keys.scope, x.keys.issuing, x.in.report.Identity, u)
}

// trustSince is the first version of licet that reads a trust bundle which comes with
// an update. An older one goes by the certificates.
const trustSince = "0.4.0"

// knowsTrust reports whether the program that wrote a report does.
func knowsTrust(program string) bool {
	name, version, _ := strings.Cut(program, "/")
	have, err := terms.ParseVersion(version)
	since, _ := terms.ParseVersion(trustSince) // it is readable
	return name != "licet" || err != nil || have.Compare(since) >= 0
}

// reader turns the registry's source of randomness into an io.Reader.
type reader func([]byte)

func (f reader) Read(p []byte) (int, error) { f(p); return len(p), nil }

var _ io.Reader = reader(nil)
