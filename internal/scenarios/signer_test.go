package scenarios

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"licet/internal/cli"
	"licet/internal/signercmd"
)

// signer is the vendor's, if the script has one.
type signer struct {
	dir  string
	stop func() // while it runs
}

// signerRun runs a command of licet-signer on the signer's folder.
func (s *stage) signerRun(ctx context.Context, serving func(string), args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	env := signercmd.Env{Now: s.clock, Random: rand.Reader, Serving: serving,
		Streams: cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }}}
	status = signercmd.Run(ctx, env, append(args, "--data", s.signer.dir))
	return status, o.String(), e.String()
}

func signerCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	if len(args) == 1 && (args[0] == "on" || args[0] == "off") && !neg {
		ts.Check(s.turnSigner(ts, args[0] == "on"))
		return
	}
	status, out, errs := s.signerRun(s.ctx, nil, args...)
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errs)
	if status != exitOf(neg) {
		ts.Fatalf("exit status %d, not %d", status, exitOf(neg))
	}
}

// turnSigner starts the signer, and makes its folder the first time, or ends it.
func (s *stage) turnSigner(ts *testscript.TestScript, on bool) error {
	if !on {
		s.signer.stop()
		s.signer.stop = nil
		return nil
	}
	if s.signer.dir == "" {
		// A socket's path has to be short.
		dir, err := os.MkdirTemp("", "signer")
		if err != nil {
			return err
		}
		ts.Defer(func() { os.RemoveAll(dir) })
		s.signer.dir = dir
		if status, _, errs := s.signerRun(s.ctx, nil, "init"); status != 0 {
			return fmt.Errorf("init: %s", errs)
		}
		if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("a passphrase of some length\n"), 0o600); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	serving, ended := make(chan string, 1), make(chan string, 1)
	go func() {
		_, _, errs := s.signerRun(ctx, func(socket string) { serving <- socket }, "serve", "--pin-file", filepath.Join(s.signer.dir, "pin"))
		ended <- errs
	}()
	select {
	case socket := <-serving:
		ts.Setenv("SIGNER", "unix:"+socket)
	case errs := <-ended:
		cancel()
		return fmt.Errorf("serve: %s", errs)
	}
	s.signer.stop = func() { cancel(); <-ended }
	return nil
}
