package seal

import (
	"crypto/sha256"

	"licet/blocklist"
	"licet/license"
)

// blockHead is what the vendor signs of news of his block list: which list they
// make, and hashes of that list and of the changes. The changes travel beside it,
// so that the head alone proves a list that is kept.
type blockHead struct {
	Version      uint64       `cbor:"1,keyasint"`
	Suite        uint64       `cbor:"2,keyasint"`
	Vendor       VendorID     `cbor:"3,keyasint"`
	Environment  string       `cbor:"4,keyasint"`
	Certificates [][]byte     `cbor:"5,keyasint"` // of the issuing key
	From         uint64       `cbor:"6,keyasint"` // the list that is continued; 0: these are the whole list
	To           uint64       `cbor:"7,keyasint"` // the list that is made
	Time         license.Time `cbor:"8,keyasint"`
	Count        uint64       `cbor:"9,keyasint"`  // entries of the list that is made
	Sum          [32]byte     `cbor:"10,keyasint"` // of the list that is made
	Changes      [32]byte     `cbor:"11,keyasint"` // hash of enc(added, removed)
}

func (h blockHead) scope() Scope { return Scope{Vendor: h.Vendor, Environment: h.Environment} }

// blockNews is the head and the changes.
type blockNews struct {
	_       struct{} `cbor:",toarray"`
	Head    []byte   // signed
	Added   []byte
	Removed []byte
}

func hashChanges(added, removed []byte) [32]byte {
	return sha256.Sum256(mustEncode([]any{added, removed}))
}

// BlockList says of a list what its head says.
type BlockList struct {
	Scope  Scope
	Number uint64
	Time   license.Time
	Count  uint64
	Sum    blocklist.Sum
}

// BlockNews are news of a vendor's block list and their signed head, which
// proves the list that they make (see Verifier.BlockHead).
type BlockNews struct {
	blocklist.News
	Head []byte
}

// SignBlockNews writes news of the block list with an issuing key. They travel as
// they are in updates and, by ArmorBlockNews, as a file. The certificates travel
// in the clear, so that a machine can learn of a new issuing key; that of the
// signing key should be among them.
func SignBlockNews(s Scope, issuing *SigningKey, n blocklist.News, certificates ...[]byte) ([]byte, error) {
	if issuing.use != Issuing {
		return nil, fault("block lists are signed by an issuing key")
	}
	if len(certificates) > maxCertificates {
		return nil, fault("a block list brings at most %d certificates", maxCertificates)
	}
	payload, err := encode("block list", MaxBlockHead, blockHead{
		Version: Version, Suite: uint64(suite1), Vendor: s.Vendor, Environment: s.Environment, Certificates: certificates,
		From: n.From, To: n.To, Time: n.Time, Count: n.Count, Sum: n.Sum, Changes: hashChanges(n.Added, n.Removed),
	})
	if err != nil {
		return nil, err
	}
	head, err := sign(forBlockList, s, issuing.private, payload)
	if err != nil {
		return nil, err
	}
	return write("block list", MaxBlockList, blockNews{Head: head, Added: n.Added, Removed: n.Removed})
}

// ArmorBlockNews makes a file of news, by name *.licet-blocklist.
func ArmorBlockNews(signed []byte) ([]byte, error) { return asFile(BlockListFile, signed) }

// DearmorBlockNews is the news in a file. It checks no signature.
func DearmorBlockNews(file []byte) ([]byte, error) {
	_, signed, err := dearmor(file, BlockListFile)
	return signed, err
}

// OpenBlockNews checks news of the vendor's block list. Certificates that they
// bring, which the root must have signed, are made known to the verifier first.
// Whether they fit the list that is known is for blocklist.List.Apply to say.
func (v *Verifier) OpenBlockNews(signed []byte) (BlockNews, error) {
	n, err := decode[blockNews]("block list", MaxBlockList, signed)
	if err != nil {
		return BlockNews{}, err
	}
	h, err := v.blockHead(n.Head)
	if err != nil {
		return BlockNews{}, err
	}
	if hashChanges(n.Added, n.Removed) != h.Changes {
		return BlockNews{}, badSignature()
	}
	return BlockNews{Head: n.Head, News: blocklist.News{
		From: h.From, To: h.To, Time: h.Time, Count: h.Count, Sum: h.Sum, Added: n.Added, Removed: n.Removed,
	}}, nil
}

// BlockHead checks the head of news alone: the list with the sum that it names
// is the vendor's.
func (v *Verifier) BlockHead(head []byte) (BlockList, error) {
	h, err := v.blockHead(head)
	if err != nil {
		return BlockList{}, err
	}
	return h.list(), nil
}

func (h blockHead) list() BlockList {
	return BlockList{Scope: h.scope(), Number: h.To, Time: h.Time, Count: h.Count, Sum: h.Sum}
}

func (v *Verifier) blockHead(doc []byte) (blockHead, error) {
	m, h, err := peekBlockHead(doc)
	if err != nil {
		return h, err
	}
	if err := inScope("block list", v.scope, h.scope()); err != nil {
		return h, err
	}
	if err := v.Add(h.Certificates...); err != nil {
		return h, err
	}
	i, err := v.check(forBlockList, "block list", &m)
	if err != nil {
		return h, err
	}
	if !i.covers(h.Time) {
		return h, outOfItsTime("block list")
	}
	return h, nil
}

// PeekBlockHead reads a head that was checked before. It checks no signature.
func PeekBlockHead(head []byte) (BlockList, error) {
	_, h, err := peekBlockHead(head)
	return h.list(), err
}

func peekBlockHead(doc []byte) (message, blockHead, error) {
	const what = "block list"
	m, err := parse(what, MaxBlockHead, doc)
	if err != nil {
		return m, blockHead{}, err
	}
	h, err := decode[blockHead](what, MaxBlockHead, m.Payload)
	switch {
	case err != nil:
		return m, h, err
	case h.Version != Version:
		return m, h, unsupported(what, h.Version)
	case h.Suite != uint64(suite1):
		return m, h, unsupportedSuite(what, h.Suite)
	case len(h.Certificates) > maxCertificates, h.Count > blocklist.MaxEntries:
		return m, h, damaged(what)
	}
	return m, h, nil
}

// inspectBlockNews says whose news are.
func inspectBlockNews(raw []byte) (Scope, error) {
	n, err := decode[blockNews]("block list", MaxBlockList, raw)
	if err != nil {
		return Scope{}, err
	}
	_, h, err := peekBlockHead(n.Head)
	return h.scope(), err
}
