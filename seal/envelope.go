package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// maxCertificates is how many an update may bring along.
const maxCertificates = 16

// envelope is what an envelope's signature covers. It is the same in both
// directions.
type envelope struct {
	_      struct{} `cbor:",toarray"`
	Header []byte   // in the clear
	Enc    []byte   // HPKE's encapsulated key
	Sealed []byte
}

// header is the clear part of an envelope.
type header struct {
	Version      uint64              `cbor:"1,keyasint"`
	Suite        uint64              `cbor:"2,keyasint"`
	Kind         Kind                `cbor:"3,keyasint"`
	Vendor       VendorID            `cbor:"4,keyasint"`
	Environment  string              `cbor:"5,keyasint"`
	Container    license.Serial      `cbor:"6,keyasint"`            // who sends a report, who gets an update
	Recipient    []byte              `cbor:"7,keyasint"`            // id of the key it is sealed to
	Identity     *container.Identity `cbor:"8,keyasint,omitempty"`  // of a report's sender
	Certificates [][]byte            `cbor:"9,keyasint,omitempty"`  // of an update's issuing keys
	Trust        []byte              `cbor:"10,keyasint,omitempty"` // of an update: the vendor's trust bundle, as signed
}

func (h header) scope() Scope { return Scope{Vendor: h.Vendor, Environment: h.Environment} }

// opened is an envelope that nobody has verified or decrypted yet.
type opened struct {
	message
	envelope
	header header
	what   string
}

// openEnvelope takes an envelope apart up to its header.
func openEnvelope(kind Kind, raw []byte) (opened, error) {
	f := lookupKind(kind)
	o := opened{what: f.what}
	var err error
	if o.message, err = parse(f.what, f.limit, raw); err != nil {
		return o, err
	}
	if o.envelope, err = decode[envelope](f.what, f.limit, o.Payload); err != nil {
		return o, err
	}
	if o.header, err = decode[header](f.what, f.limit, o.envelope.Header); err != nil {
		return o, err
	}
	h := o.header
	switch {
	case h.Version != Version:
		return o, unsupported(f.what, h.Version)
	case h.Suite != uint64(suite1):
		return o, unsupportedSuite(f.what, h.Suite)
	case h.Kind != kind,
		len(h.Recipient) != len(KeyID{}),
		(kind == Update) != (h.Identity == nil),
		kind != Update && (h.Certificates != nil || h.Trust != nil),
		len(h.Certificates) > maxCertificates:
		return o, damaged(f.what)
	}
	return o, nil
}

// Encapsulated is a fresh key agreed on with a recipient, for one document. It is
// most of the work of sealing and knows nothing of what is sealed, so it can be
// done before the document is known.
type Encapsulated struct {
	public []byte // whom it is for
	enc    []byte
	sender *hpke.Sender // nil once used
}

// Encapsulate agrees on a key for an update to a container.
func Encapsulate(s Scope, to container.Identity) (*Encapsulated, error) {
	return encapsulate(Update, s, to.SealingKey)
}

func encapsulate(k Kind, scope Scope, recipient []byte) (*Encapsulated, error) {
	public, err := ecdh.X25519().NewPublicKey(recipient)
	if err != nil {
		return nil, fault("%w", err)
	}
	to, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return nil, fault("%w", err)
	}
	s := suites[suite1]
	enc, sender, err := hpke.NewSender(to, s.kdf, s.aead, external(purpose(k), scope, suite1))
	if err != nil {
		return nil, fault("%w", err)
	}
	return &Encapsulated{recipient, enc, sender}, nil
}

// seal encrypts plain for a public key and gives what is to be signed.
func (h header) seal(recipient, plain []byte) ([]byte, error) {
	return h.sealWith(nil, recipient, plain)
}

// sealWith is seal with the key of Encapsulate, or nil.
func (h header) sealWith(key *Encapsulated, recipient, plain []byte) ([]byte, error) {
	f := lookupKind(h.Kind)
	h.Version, h.Suite = Version, uint64(suite1)
	id := KeyIDOf(recipient)
	h.Recipient = id[:]
	head, err := write(f.what, f.limit, h) // names and keys that were checked; nothing a reader could refuse
	if err != nil {
		return nil, err
	}
	if key == nil {
		if key, err = encapsulate(h.Kind, h.scope(), recipient); err != nil {
			return nil, err
		}
	}
	sender := key.sender
	if key.sender = nil; sender == nil || !bytes.Equal(key.public, recipient) {
		return nil, fault("the key was used before, or agreed on with somebody else")
	}
	sealed, err := sender.Seal(head, plain)
	if err != nil {
		return nil, fault("%w", err)
	}
	return write(f.what, f.limit, envelope{Header: head, Enc: key.enc, Sealed: sealed})
}

// decrypt opens an envelope that was verified.
func (o opened) decrypt(k *SealingKey) ([]byte, error) {
	private, err := hpke.NewDHKEMPrivateKey(k.private)
	if err != nil {
		return nil, fault("%w", err)
	}
	s := suites[suite1]
	r, err := hpke.NewRecipient(o.Enc, private, s.kdf, s.aead, external(purpose(o.header.Kind), o.header.scope(), suite1))
	if err != nil {
		return nil, badSignature()
	}
	plain, err := r.Open(o.envelope.Header, o.Sealed)
	if err != nil {
		return nil, badSignature()
	}
	return plain, nil
}

// asFile armors a signed envelope, if the result is not too large for a file.
func asFile(k Kind, raw []byte) ([]byte, error) {
	f := lookupKind(k)
	b := armor(k, raw)
	if len(b) > f.limit {
		return nil, fault("the %s has %d bytes as a file; the limit is %d", f.what, len(b), f.limit)
	}
	return b, nil
}

// SealUpdate writes an update for a container, as a file: sealed to its key,
// then signed with an issuing key. The certificates in u.Keys travel in the
// clear, so that the container can learn of a new issuing key from its first
// document; that of the signing key should be among them. So does the trust bundle
// in u.Trust, which programs read that know format version 2 of it.
func SealUpdate(s Scope, issuing *SigningKey, to container.Identity, u container.Update) ([]byte, error) {
	return SealUpdateWith(nil, s, issuing, to, u)
}

// SealUpdateWith is SealUpdate with a key that was agreed on before.
func SealUpdateWith(key *Encapsulated, s Scope, issuing *SigningKey, to container.Identity, u container.Update) ([]byte, error) {
	if issuing.use != Issuing {
		return nil, fault("updates are signed by an issuing key")
	}
	if serial := SerialOf(to); serial != u.Container {
		return nil, fault("an update for %s cannot be sealed to %s", u.Container, serial)
	}
	if !goodIdentity(to) {
		return nil, fault("nothing can be sealed to this container")
	}
	h := header{Kind: Update, Vendor: s.Vendor, Environment: s.Environment, Container: u.Container, Certificates: u.Keys, Trust: u.Trust}
	if len(u.Keys) > maxCertificates {
		return nil, fault("an update brings at most %d certificates", maxCertificates)
	}
	u.Keys = nil
	plain, err := write("update", MaxUpdate, u)
	if err != nil {
		return nil, err
	}
	if !readable(plain) || slices.ContainsFunc(u.Outcomes, func(o container.Outcome) bool { return !simple(o.Details) }) {
		if _, err := decodeUpdate(plain); err != nil {
			return nil, fault("an outcome's details hold what is neither text, integer, boolean, list nor map")
		}
	}
	payload, err := h.sealWith(key, to.SealingKey, plain)
	if err != nil {
		return nil, err
	}
	raw, err := sign(forUpdate, s, issuing.private, payload)
	if err != nil {
		return nil, err
	}
	return asFile(Update, raw)
}

// OpenUpdate checks and opens an update made for the container with these keys.
// The verifier goes by the trust bundle that comes with it from then on, if it is a
// newer one, which is then returned in Update.Trust; that is so whatever becomes of
// the rest. The certificates it brings, which the root must have signed, are made
// known to the verifier and returned in Update.Keys. Its steps are still to be
// checked with Steps. An update made for another container is refused with
// WrongContainer (made_for, this_is).
func (v *Verifier) OpenUpdate(file []byte, keys *ContainerKeys) (container.Update, error) {
	_, raw, err := dearmor(file, Update)
	if err != nil {
		return container.Update{}, err
	}
	return v.openUpdate(raw, keys)
}

func (v *Verifier) openUpdate(raw []byte, keys *ContainerKeys) (container.Update, error) {
	var none container.Update
	o, err := openEnvelope(Update, raw)
	if err != nil {
		return none, err
	}
	if err := inScope(o.what, v.scope, o.header.scope()); err != nil {
		return none, err
	}
	newer, err := v.FollowSigned(o.header.Trust)
	if err != nil {
		return none, err
	}
	if err := v.Add(o.header.Certificates...); err != nil {
		return none, err
	}
	i, err := v.check(forUpdate, o.what, &o.message)
	if err != nil {
		return none, err
	}
	if serial := keys.Serial(); o.header.Container != serial {
		return none, refusal.New(refusal.WrongContainer, "The update was made for container %s; this is container %s.", o.header.Container, serial).
			With("made_for", string(o.header.Container)).With("this_is", string(serial))
	}
	if KeyID(o.header.Recipient) != keys.sealing.id {
		return none, damaged(o.what)
	}
	plain, err := o.decrypt(keys.sealing)
	if err != nil {
		return none, err
	}
	u, err := decodeUpdate(plain)
	if err != nil {
		return none, err
	}
	if u.Container != o.header.Container || len(u.Keys) != 0 {
		return none, damaged(o.what)
	}
	if !i.covers(u.Time) {
		return none, outOfItsTime(o.what)
	}
	u.Keys = o.header.Certificates
	if newer {
		u.Trust = o.header.Trust
	}
	return u, nil
}

func decodeUpdate(plain []byte) (container.Update, error) {
	u, err := decode[container.Update]("update", MaxUpdate, plain)
	if err != nil {
		return container.Update{}, err
	}
	for _, o := range u.Outcomes {
		if !plainValue(o.Details) {
			return container.Update{}, damaged("update")
		}
	}
	return u, nil
}

// plainValue reports whether a fact is of a type that every language has.
func plainValue(v any) bool {
	switch v := v.(type) {
	case nil, bool, int64, string:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !plainValue(e) })
	case map[string]any:
		for _, e := range v {
			if !plainValue(e) {
				return false
			}
		}
		return true
	}
	return false
}

// simple reports that facts are written as they are read: each is a text, a number or
// a truth value. Others may be good too.
func simple(facts map[string]any) bool {
	for _, v := range facts {
		switch v.(type) {
		case string, bool, int, int64:
		default:
			return false
		}
	}
	return true
}

// SealReport writes what a container says of itself, as a file: a request if it
// has wishes, a receipt if not. It is sealed to the vendor's key in the trust
// bundle and signed with the container's own. The report's identity is that of
// the keys, of the kind given in it.
func SealReport(t *Trust, keys *ContainerKeys, r container.Report) ([]byte, error) {
	to, err := t.sealing()
	if err != nil {
		return nil, err
	}
	r.Identity = keys.Identity(r.Identity.Kind)
	if !goodIdentity(r.Identity) {
		return nil, fault("%q is no kind of container", r.Identity.Kind)
	}
	kind := kindOf(r)
	plain, err := encode(string(kind), MaxReport, r)
	if err != nil {
		return nil, err
	}
	h := header{
		Kind: kind, Vendor: t.Scope.Vendor, Environment: t.Scope.Environment,
		Container: SerialOf(r.Identity), Identity: &r.Identity,
	}
	payload, err := h.seal(to.Public, plain)
	if err != nil {
		return nil, err
	}
	raw, err := sign(purpose(kind), t.Scope, keys.signing, payload)
	if err != nil {
		return nil, err
	}
	return asFile(kind, raw)
}

func kindOf(r container.Report) Kind {
	if r.Wishes.None() {
		return Receipt
	}
	return Request
}

// Report is a report that was opened: what the owner of the identity's keys
// said. Whether that identity is known is for the caller to find out, by the
// whole identity and not the serial alone.
type Report struct {
	container.Report
	Serial license.Serial
	Kind   Kind     // Request or Receipt
	Hash   [32]byte // SHA-256 of the signed bytes, which are the same in every copy of the file
}

// OpenReport checks and opens a request or receipt. The signature is the
// container's own, made with the key that the report brings and of which its
// serial is a hash. Keys are the vendor's sealing keys, old ones included.
func OpenReport(s Scope, file []byte, keys ...*SealingKey) (Report, error) {
	kind, raw, err := dearmor(file, Request, Receipt)
	if err != nil {
		return Report{}, err
	}
	return openReport(s, kind, raw, keys)
}

func openReport(s Scope, kind Kind, raw []byte, keys []*SealingKey) (Report, error) {
	o, err := openEnvelope(kind, raw)
	if err != nil {
		return Report{}, err
	}
	if err := inScope(o.what, s, o.header.scope()); err != nil {
		return Report{}, err
	}
	identity := *o.header.Identity
	public, ok := newPublicKey(identity.SigningKey)
	if !ok || SerialOf(identity) != o.header.Container {
		return Report{}, badSignature()
	}
	if err := o.verify(purpose(kind), s, public); err != nil {
		return Report{}, err
	}
	if !goodIdentity(identity) {
		return Report{}, damaged(o.what)
	}
	n := slices.IndexFunc(keys, func(k *SealingKey) bool { return k.id == KeyID(o.header.Recipient) })
	if n < 0 {
		return Report{}, refusal.New(refusal.VendorUntrusted, "The %s is sealed to a key that is not used here.", o.what).
			With("key", KeyID(o.header.Recipient).String()).
			Hinted("Fetch the vendor's current trust file with licet trust add, then write the file again.")
	}
	plain, err := o.decrypt(keys[n])
	if err != nil {
		return Report{}, err
	}
	r, err := decode[container.Report](o.what, MaxReport, plain)
	if err != nil {
		return Report{}, err
	}
	if !sameIdentity(r.Identity, identity) || kindOf(r) != kind {
		return Report{}, damaged(o.what)
	}
	return Report{Report: r, Serial: o.header.Container, Kind: kind, Hash: sha256.Sum256(raw)}, nil
}

func sameIdentity(a, b container.Identity) bool {
	return a.Kind == b.Kind && bytes.Equal(a.SigningKey, b.SigningKey) && bytes.Equal(a.SealingKey, b.SealingKey)
}

// Info is what a file says of itself. Nothing of it is proven.
type Info struct {
	Kind      Kind
	Scope     Scope
	Container license.Serial // who sends a report or loan request, who gets an update or loan
	Name      string         // the vendor's, of a trust bundle
}

// Inspect says what a file claims to be, for messages. It checks no signature.
func Inspect(file []byte) (Info, error) {
	kind, raw, err := dearmor(file, Update, Request, Receipt, TrustBundle, BlockListFile, LoanRequest, LoanFile)
	if err != nil {
		return Info{}, err
	}
	if kind == LoanRequest || kind == LoanFile {
		return inspectLoan(kind, raw)
	}
	if kind == BlockListFile {
		scope, err := inspectBlockNews(raw)
		return Info{Kind: kind, Scope: scope}, err
	}
	if kind == TrustBundle {
		_, b, err := peekTrust(raw)
		if err != nil {
			return Info{}, err
		}
		return Info{Kind: kind, Scope: Scope{b.Vendor, b.Environment}, Name: b.Name}, nil
	}
	o, err := openEnvelope(kind, raw)
	if err != nil {
		return Info{}, err
	}
	return Info{Kind: kind, Scope: o.header.scope(), Container: o.header.Container}, nil
}
