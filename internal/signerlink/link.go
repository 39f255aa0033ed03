// Package signerlink is how central asks a signer for signatures: HTTP over a Unix
// socket. What a signer is, package signer says.
package signerlink

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// The paths of a signer.
const (
	PathSign   = "/v1/sign"
	PathKeys   = "/v1/keys"
	PathStatus = "/v1/status"
	PathStop   = "/v1/stop"
	PathResume = "/v1/resume"
)

// MaxBody bounds a request to a signer, in bytes.
const MaxBody = 2 * seal.MaxToSign

// patience is how long a signature may take: tokens are slow, and somebody waits.
const patience = 10 * time.Second

// Sign asks for a signature.
type Sign struct {
	Key     string `json:"key"` // id
	Message []byte `json:"message"`
}

// Signed is the answer.
type Signed struct {
	Signature []byte `json:"signature"`
}

// Made is a key that never signed.
type Made struct {
	Public []byte `json:"public"`
}

// Reason is why a signer is stopped or resumed.
type Reason struct {
	Reason string `json:"reason"`
}

// Counts are a signer's signatures by key id.
type Counts struct {
	Keys []struct {
		ID         string `json:"id"`
		Signatures int64  `json:"signatures"`
	} `json:"keys"`
}

// Link leads to one signer. It is safe for concurrent use.
type Link struct {
	address string
	http    *http.Client
}

// Scheme begins a signer's address; the path of its socket follows.
const Scheme = "unix:"

// To is the link to a signer, such as unix:/run/licet-signer/signer.sock. Nobody is
// spoken to yet.
func To(address string) (*Link, error) {
	path, ok := strings.CutPrefix(address, Scheme)
	if !ok || path == "" {
		return nil, refusal.New(refusal.InvalidInput, "%q is no signer's address.", address).Hinted("Name its socket: unix:/run/licet-signer/signer.sock.")
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	}
	return &Link{address: address, http: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 32}}}, nil
}

// Address is where the signer is.
func (l *Link) Address() string { return l.address }

// Call sends one request, a value or nothing, and reads the answer.
func (l *Link) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://signer"+path, body)
	if err != nil {
		return err
	}
	answer, err := l.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return l.silent(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return l.silent(err)
	}
	if answer.StatusCode >= 400 {
		var p wire.Problem
		if json.Unmarshal(text, &p) != nil || p.Code == "" {
			return l.silent(errors.New(answer.Status))
		}
		return p.Refusal()
	}
	if json.Unmarshal(text, out) != nil {
		return l.silent(errors.New("its answer is no answer"))
	}
	return nil
}

func (l *Link) silent(err error) error {
	if call := new(url.Error); errors.As(err, &call) {
		err = call.Err // the rest repeats the address
	}
	return refusal.New(refusal.SignerUnavailable, "The signer at %s does not answer: %v. Nothing was changed.", l.address, err).
		Hinted("Start it: licet-signer serve.")
}

// NewKey is the public part of a key of the signer that never signed.
func (l *Link) NewKey(ctx context.Context) (ed25519.PublicKey, error) {
	var made Made
	if err := l.Call(ctx, http.MethodPost, PathKeys, struct{}{}, &made); err != nil {
		return nil, err
	}
	if len(made.Public) != ed25519.PublicKeySize {
		return nil, l.silent(errors.New("it made no Ed25519 key"))
	}
	return made.Public, nil
}

// Counts asks how often each key has signed.
func (l *Link) Counts(ctx context.Context) (map[string]int64, error) {
	var c Counts
	if err := l.Call(ctx, http.MethodGet, PathStatus, nil, &c); err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, k := range c.Keys {
		counts[k.ID] = k.Signatures
	}
	return counts, nil
}

// Key is a key that the signer keeps, to sign with.
func (l *Link) Key(public ed25519.PublicKey) crypto.Signer {
	id := seal.KeyIDOf(public)
	return &key{link: l, public: public, id: hex.EncodeToString(id[:])}
}

type key struct {
	link   *Link
	public ed25519.PublicKey
	id     string
}

func (k *key) Public() crypto.PublicKey { return k.public }

// Sign asks for a signature, and makes sure that it is one.
func (k *key) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		return nil, errors.New("signerlink: the message itself is signed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var signed Signed
	if err := k.link.Call(ctx, http.MethodPost, PathSign, Sign{k.id, message}, &signed); err != nil {
		return nil, err
	}
	if !ed25519.Verify(k.public, message, signed.Signature) {
		return nil, k.link.silent(errors.New("its signature does not fit the key"))
	}
	return signed.Signature, nil
}
