package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/container"
	"licet/internal/ledger"
	"licet/internal/signer"
	"licet/internal/signerlink"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

var passphrase = []byte("correct horse battery")

// desk is a signer in a folder, with a clock that the test moves.
type desk struct {
	t    *testing.T
	path string
	now  time.Time
	most int64
	*signer.Signer
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, path: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.open()
	return d
}

func (d *desk) open() {
	d.t.Helper()
	dir, err := os.OpenRoot(d.path)
	must(d.t, err)
	keeper, err := signer.OpenFile(dir, rand.Reader, passphrase)
	must(d.t, err)
	d.Signer, err = signer.Open(signer.Config{Dir: dir, Keeper: keeper, Now: func() time.Time { return d.now }, Random: rand.Reader, PerHour: d.most})
	must(d.t, err)
	d.t.Cleanup(func() { d.Signer.Close(); dir.Close() })
}

func (d *desk) again() {
	d.t.Helper()
	must(d.t, d.Signer.Close())
	d.open()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code refusal.Code) {
	t.Helper()
	if !refusal.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// recorder is a key that only notes what it is asked to sign.
type recorder struct {
	public  ed25519.PublicKey
	message []byte
}

var errRecorded = errors.New("noted")

func (r *recorder) Public() crypto.PublicKey { return r.public }

func (r *recorder) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	r.message = message
	return nil, errRecorded
}

// asked is what central would ask to be signed for a document that sign makes.
func asked(t testing.TB, key ed25519.PublicKey, sign func(s seal.Scope, k *seal.SigningKey) error, s seal.Scope) []byte {
	t.Helper()
	r := &recorder{public: key}
	k, err := seal.KeptBy(seal.Issuing, r)
	must(t, err)
	if err := sign(s, k); !errors.Is(err, errRecorded) {
		t.Fatal(err)
	}
	return r.message
}

func scopeOf(t testing.TB, environment string) seal.Scope {
	t.Helper()
	root, err := seal.NewSigningKey(seal.Root, rand.Reader)
	must(t, err)
	return seal.Scope{Vendor: seal.VendorOf(root.Public()), Environment: environment}
}

func aStep(number uint64) func(seal.Scope, *seal.SigningKey) error {
	return func(s seal.Scope, k *seal.SigningKey) error {
		step := container.Step{Container: "cexample", Epoch: 1, Number: number, Time: license.Time(1),
			Ops: []container.Op{{Kind: container.Drop, Phase: container.Return, License: "lic_1", Generation: 1, Product: "CAD"}}}
		_, err := seal.SignStep(s, k, &step)
		return err
	}
}

func aTime(s seal.Scope, k *seal.SigningKey) error {
	_, err := seal.SignTime(s, k, container.Nonce{1}, 1)
	return err
}

// TestSigns: what an issuing key signs, of either kind, is signed, counted, and in the
// log, also after a restart.
func TestSigns(t *testing.T) {
	d := newDesk(t)
	public, err := d.MakeKey()
	must(t, err)
	id := seal.KeyIDOf(public)
	home := scopeOf(t, "production")
	for n := range uint64(3) {
		message := asked(t, public, aStep(n+1), home)
		signature, err := d.Sign(id, message)
		must(t, err)
		if !ed25519.Verify(public, message, signature) {
			t.Error("the signature does not fit")
		}
	}
	_, err = d.Sign(id, asked(t, public, aTime, home))
	must(t, err)
	d.again()
	_, err = d.Sign(id, asked(t, public, aTime, home))
	must(t, err)
	s := d.Status()
	if len(s.Keys) != 1 || s.Keys[0].Signatures != 5 || s.Keys[0].Steps != 3 || s.Keys[0].Vendor != home.Vendor || s.Stopped != nil {
		t.Errorf("%+v", s)
	}
	must(t, d.Close())
	dir, err := os.OpenRoot(d.path)
	must(t, err)
	defer dir.Close()
	var lines []string
	must(t, signer.Entries(dir, func(e signer.Entry) error { lines = append(lines, e.What+" "+e.Purpose); return nil }))
	if got := strings.Join(lines, ","); got != "key ,sign step,sign step,sign step,sign time,sign time" {
		t.Errorf("the log: %s", got)
	}
}

// TestRefuses: what no honest server asks stops the signer, for good.
func TestRefuses(t *testing.T) {
	home, elsewhere := scopeOf(t, "production"), scopeOf(t, "production")
	for name, ask := range map[string]func(d *desk, public ed25519.PublicKey) []byte{
		"no document":    func(*desk, ed25519.PublicKey) []byte { return []byte("sign me") },
		"nothing":        func(*desk, ed25519.PublicKey) []byte { return nil },
		"another vendor": func(_ *desk, p ed25519.PublicKey) []byte { return asked(t, p, aTime, elsewhere) },
		"another environment": func(_ *desk, p ed25519.PublicKey) []byte {
			return asked(t, p, aTime, seal.Scope{Vendor: home.Vendor, Environment: "test"})
		},
		"a certificate": func(_ *desk, p ed25519.PublicKey) []byte {
			return bytes.Replace(asked(t, p, aTime, home), []byte("\x64time"), []byte("\x63key"), 1)
		},
		"a trust bundle": func(_ *desk, p ed25519.PublicKey) []byte {
			return bytes.Replace(asked(t, p, aTime, home), []byte("\x64time"), []byte("\x65trust"), 1)
		},
		"a lease": func(_ *desk, p ed25519.PublicKey) []byte {
			return bytes.Replace(asked(t, p, aTime, home), []byte("\x64time"), []byte("\x65lease"), 1)
		},
		"a time that is a step": func(_ *desk, p ed25519.PublicKey) []byte {
			return bytes.Replace(asked(t, p, aTime, home), []byte("\x64time"), []byte("\x64step"), 1)
		},
		"something behind it": func(_ *desk, p ed25519.PublicKey) []byte { return append(asked(t, p, aTime, home), 0) },
		"something left out":  func(_ *desk, p ed25519.PublicKey) []byte { m := asked(t, p, aStep(1), home); return m[:len(m)-1] },
		"in another key's name": func(d *desk, p ed25519.PublicKey) []byte {
			other, _, err := ed25519.GenerateKey(rand.Reader)
			must(t, err)
			return asked(t, other, aTime, home)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			public, err := d.MakeKey()
			must(t, err)
			id := seal.KeyIDOf(public)
			_, err = d.Sign(id, asked(t, public, aTime, home))
			must(t, err)
			_, err = d.Sign(id, ask(d, public))
			wantCode(t, err, refusal.SignerUnavailable)
			d.again() // a restart helps nobody
			_, err = d.Sign(id, asked(t, public, aTime, home))
			wantCode(t, err, refusal.SignerUnavailable)
			if s := d.Status(); s.Stopped == nil || !s.Stopped.Alarm || s.Keys[0].Signatures != 1 {
				t.Fatalf("%+v", s)
			}
			_, err = d.MakeKey()
			wantCode(t, err, refusal.SignerUnavailable)
			must(t, d.Resume("looked into"))
			_, err = d.Sign(id, asked(t, public, aTime, home))
			must(t, err)
		})
	}
}

// TestPerHour: nobody has more signed in an hour than the operator allows.
func TestPerHour(t *testing.T) {
	d := newDesk(t)
	d.most = 10
	d.again()
	public, err := d.MakeKey()
	must(t, err)
	id, home := seal.KeyIDOf(public), scopeOf(t, "production")
	message := asked(t, public, aTime, home)
	for range 10 {
		_, err := d.Sign(id, message)
		must(t, err)
	}
	d.again()
	_, err = d.Sign(id, message)
	wantCode(t, err, refusal.SignerUnavailable)
	must(t, d.Resume("a sale"))
	d.now = d.now.Add(2 * time.Hour)
	_, err = d.Sign(id, message)
	must(t, err)
}

// TestStop: by hand, with a reason, until it is resumed; a folder opens with the right
// passphrase alone, and a log that was changed does not open.
func TestStop(t *testing.T) {
	d := newDesk(t)
	public, err := d.MakeKey()
	must(t, err)
	id, home := seal.KeyIDOf(public), scopeOf(t, "production")
	wantCode(t, d.Stop(" "), refusal.InvalidInput)
	wantCode(t, d.Resume("x"), refusal.AlreadyApplied)
	must(t, d.Stop("suspicion"))
	wantCode(t, d.Stop("again"), refusal.AlreadyApplied)
	d.again()
	_, err = d.Sign(id, asked(t, public, aTime, home))
	wantCode(t, err, refusal.SignerUnavailable)
	must(t, d.Resume("false alarm"))
	_, err = d.Sign(id, asked(t, public, aTime, home))
	must(t, err)
	_, err = d.Sign(seal.KeyID{1}, asked(t, public, aTime, home))
	wantCode(t, err, refusal.NotFound)
	for range 3 {
		_, err = d.MakeKey()
		must(t, err)
	}
	_, err = d.MakeKey()
	wantCode(t, err, refusal.Conflict)
	must(t, d.Close())

	dir, err := os.OpenRoot(d.path)
	must(t, err)
	defer dir.Close()
	_, err = signer.OpenFile(dir, rand.Reader, []byte("another passphrase"))
	wantCode(t, err, refusal.InvalidInput)
	_, err = signer.OpenFile(dir, rand.Reader, []byte("short"))
	wantCode(t, err, refusal.InvalidInput)
	text, err := dir.ReadFile("keys.sealed")
	must(t, err)
	if bytes.Contains(text, public) {
		t.Error("keys can be read")
	}
	file := filepath.Join(d.path, "signatures.log")
	log, err := os.ReadFile(file)
	must(t, err)
	at := bytes.Index(log, []byte(`"reason":"suspicion"`))
	if at < 0 {
		t.Fatal("the log has no reason")
	}
	log[at+12] ^= 1
	must(t, os.WriteFile(file, log, 0o600))
	if err := signer.Entries(dir, func(signer.Entry) error { return nil }); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("a log that was changed: %v", err)
	}
}

// TestOverTheSocket: as central asks, from many places at once, and when nobody is there.
func TestOverTheSocket(t *testing.T) {
	d := newDesk(t)
	path := filepath.Join(t.TempDir(), "s.sock")
	link, err := signerlink.To("unix:" + path)
	must(t, err)
	_, err = link.NewKey(t.Context())
	wantCode(t, err, refusal.SignerUnavailable)
	listener, err := net.Listen("unix", path)
	must(t, err)
	server := &http.Server{Handler: d.Handler()}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	public, err := link.NewKey(t.Context())
	must(t, err)
	key, err := seal.KeptBy(seal.Issuing, link.Key(public))
	must(t, err)
	home := scopeOf(t, "production")
	var all sync.WaitGroup
	for n := range uint64(16) {
		all.Go(func() {
			if err := aStep(n+1)(home, key); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	counts, err := link.Counts(t.Context())
	must(t, err)
	if counts[key.ID().String()] != 16 {
		t.Errorf("%v", counts)
	}
	must(t, d.Stop("suspicion"))
	wantCode(t, aTime(home, key), refusal.SignerUnavailable)
	server.Close()
	wantCode(t, aTime(home, key), refusal.SignerUnavailable)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := link.NewKey(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "unix:", "/tmp/x", "http://x"} {
		_, err := signerlink.To(bad)
		wantCode(t, err, refusal.InvalidInput)
	}
}
