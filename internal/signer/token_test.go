//go:build cgo

package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"licet/internal/signer"
	"licet/refusal"
	"licet/seal"
)

// softToken makes a token of SoftHSM, with the PIN 1234.
func softToken(t *testing.T) (module, dir string) {
	t.Helper()
	for _, at := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(at); err == nil {
			module = at
		}
	}
	util, err := exec.LookPath("softhsm2-util")
	if err != nil || module == "" {
		t.Fatal("SoftHSM is missing: run ./scripts/deps.sh")
	}
	dir = t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	must(t, os.Mkdir(tokens, 0o700))
	conf := filepath.Join(dir, "softhsm2.conf")
	must(t, os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command(util, "--init-token", "--free", "--label", "licet", "--pin", "1234", "--so-pin", "5678").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return module, tokens
}

// TestToken: keys are made in a token and stay there; a token that is taken out, and put
// back, is told and found again; a wrong PIN is tried once.
func TestToken(t *testing.T) {
	module, tokens := softToken(t)
	path := t.TempDir()
	dir, err := os.OpenRoot(path)
	must(t, err)
	defer dir.Close()
	open := func() *signer.Signer {
		t.Helper()
		keeper, err := signer.OpenToken(module, "licet", "1234", rand.Reader)
		must(t, err)
		s, err := signer.Open(signer.Config{Dir: dir, Keeper: keeper, Now: time.Now, Random: rand.Reader})
		must(t, err)
		return s
	}
	s := open()
	public, err := s.MakeKey()
	must(t, err)
	id, home := seal.KeyIDOf(public), scopeOf(t, "production")
	message := asked(t, public, aStep(1), home)
	signature, err := s.Sign(id, message)
	must(t, err)
	if !ed25519.Verify(public, message, signature) {
		t.Fatal("the signature does not fit")
	}
	must(t, s.Close())

	s = open() // a restart finds the key
	if keys := s.Status().Keys; len(keys) != 1 || !bytes.Equal(keys[0].Public, public) || keys[0].Signatures != 1 {
		t.Fatalf("%+v", keys)
	}
	second, err := s.MakeKey()
	must(t, err)
	if bytes.Equal(second, public) {
		t.Error("the same key")
	}

	away := tokens + ".away"
	must(t, os.Rename(tokens, away))
	must(t, os.Mkdir(tokens, 0o700))
	_, err = s.Sign(id, message)
	wantCode(t, err, refusal.SignerUnavailable)
	t.Log(err)
	_, err = s.Sign(id, message)
	wantCode(t, err, refusal.SignerUnavailable)
	must(t, os.Remove(tokens))
	must(t, os.Rename(away, tokens))
	signature, err = s.Sign(id, message)
	must(t, err)
	if !ed25519.Verify(public, message, signature) {
		t.Error("the signature does not fit")
	}
	must(t, s.Close())

	_, err = signer.OpenToken(module, "licet", "4321", rand.Reader)
	wantCode(t, err, refusal.SignerUnavailable)
	t.Log(err)
	_, err = signer.OpenToken(module, "another", "1234", rand.Reader)
	wantCode(t, err, refusal.SignerUnavailable)
	_, err = signer.OpenToken(filepath.Join(path, "none.so"), "licet", "1234", rand.Reader)
	wantCode(t, err, refusal.SignerUnavailable)
}
