package centralcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/internal/store"
	"licet/refusal"
)

// change runs statements in the database behind the product's back.
func (s *site) change(statements ...string) {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), "sqlite:"+s.data+"/"+fileDatabase)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	err = db.Write(s.t.Context(), func(tx *store.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestVerifyCommand(t *testing.T) {
	s := newSite(t)
	if r := s.run("verify"); r.status != 1 || !strings.Contains(r.stderr, "There is no database") {
		t.Fatalf("without a database: %+v", r)
	}
	if _, err := os.Stat(s.data); err == nil {
		t.Fatal("verify made a folder")
	}
	if r := s.run("verify", "--data", ""); r.status != 2 {
		t.Fatalf("without anything: %+v", r)
	}
	if r := s.run("init", "--vendor", "Acme"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	if r := s.run("verify"); r.status != 0 || !strings.Contains(r.out, "The database is whole.") {
		t.Fatalf("clean: %+v", r)
	}
	s.change("update tokens set scopes = 'read'")
	r := s.run("verify")
	if r.status != 1 || !strings.Contains(r.out, "The database is NOT whole.") || !strings.Contains(r.out, "scopes: is read, expected admin") {
		t.Errorf("changed: %+v", r)
	}
	r = s.run("verify", "--json")
	var report struct {
		Good, Bad int
		Findings  []struct{ Table, Column, Is, Expected string }
	}
	var failed struct{ Error struct{ Code refusal.Code } }
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.status != 1 {
		t.Fatal(err, r)
	}
	if err := json.Unmarshal([]byte(r.stderr), &failed); err != nil || failed.Error.Code != refusal.VerifyFailed {
		t.Error(err, r.stderr)
	}
	if report.Bad != 1 || report.Good == 0 || len(report.Findings) != 1 || report.Findings[0].Table != "tokens" || report.Findings[0].Expected != "admin" {
		t.Errorf("%+v", report)
	}
}

// TestVerifyKnowsWhatTheFolderKnows exchanges everything in the database for the
// like of another vendor: the database is whole in itself, and not the one of
// this folder.
func TestVerifyKnowsWhatTheFolderKnows(t *testing.T) {
	ours, theirs := newSite(t), newSite(t)
	for _, s := range []*site{ours, theirs} {
		if r := s.run("init", "--vendor", "Acme"); r.status != 0 {
			t.Fatal(r.stderr)
		}
	}
	b, err := os.ReadFile(theirs.data + "/" + fileDatabase)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ours.data+"/"+fileDatabase, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ours.run("verify", "--data", "", "--database", "sqlite:"+ours.data+"/"+fileDatabase); r.status != 0 {
		t.Fatalf("in itself: %+v", r)
	}
	r := ours.run("verify")
	for _, want := range []string{"the trust file outside the database", "the private keys do not open"} {
		if r.status != 1 || !strings.Contains(r.out, want) {
			t.Errorf("%q is not in %+v", want, r)
		}
	}
}

// lines is an output that can be waited for.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// wait waits until a text has come so many times.
func (l *lines) wait(t *testing.T, text string, times int) {
	t.Helper()
	for range 1200 {
		l.mu.Lock()
		found := strings.Count(l.text.String(), text) >= times
		l.mu.Unlock()
		if found {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%q did not come %d times; what came is\n%s", text, times, l.text.String())
}

func TestVerifyAgainAndAgain(t *testing.T) {
	s := newSite(t)
	if r := s.run("init", "--vendor", "Acme"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &lines{}
	env := s.env(nil, nil, nil)
	env.Out, env.Err = out, io.Discard
	done := make(chan int)
	go func() { done <- Run(ctx, env, []string{"verify", "--every", "20ms"}) }()
	out.wait(t, " good, 0 bad\n", 1)
	s.change("update tokens set name = 'x'")
	out.wait(t, "  new: tokens tok_", 1)
	s.change("update tokens set name = 'admin'")
	out.wait(t, "  gone: tokens tok_", 1)
	s.change("update tokens set name = 'x'")
	out.wait(t, "  new: tokens tok_", 2)
	stop()
	if status := <-done; status != 1 {
		t.Errorf("status %d with a bad row", status)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if n := strings.Count(out.text.String(), " good, "); n != 4 {
		t.Errorf("%d reports for 4 changes:\n%s", n, out.text.String())
	}
}
