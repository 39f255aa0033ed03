package seatserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// TestLease takes a seat over HTTP, proves it with the vendor's root alone, keeps
// it, and gives it back.
func TestLease(t *testing.T) {
	p := newPlace(t, cad(2))
	s := p.listen()
	in := claimOf(1)
	l, err := s.Claim(t.Context(), in)
	must(t, err)
	lease, body, err := p.verifier.Lease(l.Document)
	must(t, err)
	if lease.ID != l.Lease || lease.Nonce != in.Nonce || lease.Client.User != "user-1" || body.Product != "CAD-PRO" || lease.Until != l.ExpiresAt {
		t.Errorf("%+v", lease)
	}
	again, err := s.Claim(t.Context(), in)
	must(t, err)
	if again.Lease != l.Lease || again.Token != l.Token {
		t.Error("the same wish got another seat")
	}
	if v := p.pool(); v.Leased != 1 || v.Free != 1 {
		t.Errorf("%+v", v)
	}
	p.clock.move(time.Minute)
	e, err := s.Extend(t.Context(), l.Lease, l.Token, "")
	must(t, err)
	if e.ExpiresAt <= l.ExpiresAt || len(e.Document) != 0 {
		t.Errorf("%+v", e)
	}
	e, err = s.Extend(t.Context(), l.Lease, l.Token, "another nonce")
	must(t, err)
	lease, _, err = p.verifier.Lease(e.Document)
	must(t, err)
	if lease.Nonce != "another nonce" || lease.Until != e.ExpiresAt {
		t.Errorf("%+v", lease)
	}
	must(t, s.Release(t.Context(), l.Lease, l.Token))
	want(t, s.Release(t.Context(), l.Lease, l.Token), refusal.LeaseLost)
	_, err = s.Extend(t.Context(), l.Lease, l.Token, "")
	want(t, err, refusal.LeaseLost)
	if v := p.pool(); v.Leased != 0 || v.Free != 2 {
		t.Errorf("%+v", v)
	}
	private(t, p.file(""), durable.PrivateDir)
	for _, name := range []string{ledgerName, usageName} {
		private(t, p.file(name), durable.PrivateFile)
	}
	private(t, filepath.Join(p.home, tokenName), durable.PrivateFile)
}

// TestRestart shows that sessions and loans are there again after a good end and
// after a bad one.
func TestRestart(t *testing.T) {
	p := newPlace(t, cad(5))
	var held []granted
	for i := range 3 {
		g, err := p.claim(i)
		must(t, err)
		held = append(held, g)
	}
	must(t, p.Release(held[0].Lease.ID, held[0].Token))
	for _, end := range []func(){func() { p.stop() }, p.crash, p.crash} {
		end()
		p.clock.move(time.Minute)
		p.start()
		if v := p.pool(); v.Leased != 2 || v.Free != 3 || !v.Usable {
			t.Fatalf("%+v", v)
		}
		for _, g := range held[1:] {
			_, err := p.Extend(g.Lease.ID, g.Token, "")
			must(t, err)
		}
		_, err := p.Extend(held[0].Lease.ID, held[0].Token, "")
		want(t, err, refusal.LeaseLost)
	}
	// Who was not heard of during one whole period is over.
	p.crash()
	p.start()
	p.clock.move(2 * seats.Defaults.Session.Go())
	p.Tick()
	if v := p.pool(); v.Leased != 0 || v.Free != 5 {
		t.Errorf("%+v", v)
	}
}

// TestLost loses the record in every way: nothing that could overlap is granted, it
// is said until when, and an administrator can end the waiting (R27).
func TestLost(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, p *place, old []byte){
		"missing": func(t *testing.T, p *place, _ []byte) { must(t, os.Remove(p.file(ledgerName))) },
		"put back": func(t *testing.T, p *place, old []byte) {
			must(t, os.WriteFile(p.file(ledgerName), old, 0o600))
		},
		"damaged": func(t *testing.T, p *place, _ []byte) {
			data, err := os.ReadFile(p.file(ledgerName))
			must(t, err)
			data[200] ^= 1
			must(t, os.WriteFile(p.file(ledgerName), data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, cad(5))
			_, err := p.claim(0)
			must(t, err)
			p.stop()
			old, err := os.ReadFile(p.file(ledgerName))
			must(t, err)
			p.start()
			for i := range 4 {
				_, err = p.claim(i)
				must(t, err)
			}
			p.stop()
			lose(t, p, old)
			p.start()
			_, err = p.claim(9)
			no := want(t, err, refusal.SeatsUncertain)
			until, ok := no.Details["until"].(license.Time)
			if !ok || until <= license.At(p.clock.Now()) {
				t.Fatalf("until when? %+v", no)
			}
			if v := p.pool(); v.Until != until || v.Usable {
				t.Errorf("%+v", v)
			}
			// A restart forgets nothing of it.
			p.crash()
			p.start()
			_, err = p.claim(9)
			want(t, err, refusal.SeatsUncertain)
			if name != "missing" {
				files, err := filepath.Glob(p.file(ledgerName) + ".lost-*")
				if err != nil || len(files) != 1 {
					t.Errorf("the lost record was not kept: %q, %v", files, err)
				}
			}
			must(t, p.Pardon("ann@server", "nobody is in the house"))
			_, err = p.claim(9)
			must(t, err)
			p.crash()
			p.start()
			_, err = p.claim(10)
			must(t, err)
		})
	}
}

// TestTheft shows that nobody extends or ends what is another's, and that what is
// gone is answered as gone (Th27).
func TestTheft(t *testing.T) {
	p := newPlace(t, cad(2))
	s := p.listen()
	mine, err := s.Claim(t.Context(), claimOf(1))
	must(t, err)
	other, err := s.Claim(t.Context(), claimOf(2))
	must(t, err)
	for _, token := range []string{other.Token, "", "x", strings.ToUpper(mine.Token), mine.Token + "0", strings.Repeat("0", 32)} {
		if _, err := s.Extend(t.Context(), mine.Lease, token, ""); err == nil {
			t.Fatalf("extended with %q", token)
		}
		want(t, s.Release(t.Context(), mine.Lease, token), refusal.LeaseNotYours)
	}
	want(t, s.Release(t.Context(), "aaaabbbbccccdddd", mine.Token), refusal.LeaseLost)
	if _, err := s.Extend(t.Context(), mine.Lease, mine.Token, ""); err != nil {
		t.Error(err)
	}
}

// TestAdministrator looks at sessions and ends one; nobody else may.
func TestAdministrator(t *testing.T) {
	p := newPlace(t, cad(2))
	s := p.listen()
	l, err := s.Claim(t.Context(), claimOf(1))
	must(t, err)
	token, err := os.ReadFile(filepath.Join(p.home, tokenName))
	must(t, err)
	admin := strings.TrimSpace(string(token))
	for _, path := range []string{wire.PathLeases, wire.PathPools, wire.PathRules, wire.PathUsage, wire.PathDecide + "?product=CAD-PRO"} {
		for _, with := range []string{"", "wrong", l.Token} {
			if status, _ := p.ask("GET", path, with, ""); status != 401 {
				t.Errorf("%s with %q: %d", path, with, status)
			}
		}
		if status, text := p.ask("GET", path, admin, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _ := p.ask("POST", wire.PathPardon, l.Token, "{}"); status != 401 {
		t.Errorf("pardon: %d", status)
	}
	if status, text := p.ask("DELETE", wire.PathLease+string(l.Lease), admin, `{"by":"ann","why":"tidy up"}`); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	_, err = s.Extend(t.Context(), l.Lease, l.Token, "")
	want(t, err, refusal.LeaseLost)
}

// TestRules puts rules in force, changes them, and breaks them: the old ones stay.
func TestRules(t *testing.T) {
	p := newPlace(t, cad(2))
	far := seats.Caller{Client: seats.Client{ID: "x", Host: "cad-7", User: "ann"}, Address: addressOf("192.168.1.7:1000")}
	_, err := p.Claim(far, seats.Claim{Product: "CAD-PRO", Nonce: "1"})
	want(t, err, refusal.SeatDenied)
	must(t, os.WriteFile(p.file(rulesName), []byte("allow subnet=192.168.1.0/24\n"), 0o600))
	p.Tick()
	_, err = p.Claim(far, seats.Claim{Product: "CAD-PRO", Nonce: "2"})
	must(t, err)
	if d := p.Decide(far, "CAD-PRO"); !d.Allow || d.Line != 1 {
		t.Errorf("%+v", d)
	}
	must(t, os.WriteFile(p.file(rulesName), []byte("allow everybody\n"), 0o600))
	if v := p.ReloadRules(); v.Problem == "" || !strings.Contains(v.Text, "192.168.1.0/24") {
		t.Errorf("%+v", v)
	}
	if d := p.Decide(far, "CAD-PRO"); !d.Allow {
		t.Errorf("%+v", d)
	}
	must(t, os.Remove(p.file(rulesName)))
	p.Tick()
	if d := p.Decide(far, "CAD-PRO"); d.Allow {
		t.Errorf("%+v", d)
	}
}
