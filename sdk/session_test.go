package sdk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/goleak"

	"licet/license"
	"licet/refusal"
	"licet/sdk"
	"licet/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// catalog has a product for each kind of condition.
var catalog = []sdktest.Product{
	{Code: "FREE", Features: []string{"render", "export"}},
	{Code: "MONTH", Terms: license.Terms{ExpiresIn: 30 * license.Day}},
	{Code: "GRACE", Terms: license.Terms{ExpiresIn: 30 * license.Day, Grace: 7 * license.Day}},
	{Code: "CHECK", Terms: license.Terms{CheckIn: 10 * license.Day}},
	{Code: "LATER", Terms: license.Terms{ValidFrom: license.At(sdktest.Start.Add(5 * day))}},
	{Code: "NEW", Terms: license.Terms{MinVersion: "4.0", Maintenance: 365 * license.Day}},
	{Code: "TIGHT", Binding: license.Tight},
}

// want is what is expected of a verdict.
func want(t *testing.T, s *sdk.Session, code sdk.Code, words ...string) sdk.Verdict {
	t.Helper()
	v := s.Verdict()
	if v.Code != code || v.Valid != (code == sdk.OK) || s.Valid() != v.Valid {
		t.Fatalf("got %s, valid %t, Valid() %t; want %s: %s", v.Code, v.Valid, s.Valid(), code, v)
	}
	if !v.Valid && (len(v.Reasons) == 0 || v.Hint == "") {
		t.Errorf("%s without a reason or a hint: %+v", code, v)
	}
	for _, w := range words {
		if !strings.Contains(v.String(), w) {
			t.Errorf("%q is not in %q", w, v)
		}
	}
	return v
}

func refresh(t *testing.T, s *sdk.Session) {
	t.Helper()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestVerdicts(t *testing.T) {
	// use is a test of one machine, first without an agent, then with one.
	type use struct {
		*testing.T
		v *sdktest.Vendor
		m *sdktest.Machine
	}
	open := func(u use, code string, change ...func(*sdk.Product)) *sdk.Session {
		p := u.v.Program(code)
		for _, c := range change {
			c(&p)
		}
		return u.m.Open(p)
	}
	for name, test := range map[string]func(u use){
		"valid": func(u use) {
			id := u.m.Activate(u.v.Ticket("FREE"))[0]
			s := open(u, "FREE", func(p *sdk.Product) { p.Features = []string{"render"} })
			v := want(u.T, s, sdk.OK, "may be used")
			if v.License != id || !strings.HasPrefix(v.Source, "container ") || !v.ValidUntil.IsZero() || v.InGrace ||
				!slices.Equal(v.Features, []string{"render", "export"}) {
				u.Errorf("verdict %+v", v)
			}
			if !s.Feature("export") || s.Feature("fly") {
				u.Error("features are told wrongly")
			}
		},
		"no license": func(u use) {
			s := open(u, "FREE")
			want(u.T, s, sdk.NoLicense, "No license for FREE", "licet activate")
			if s.Feature("render") {
				u.Error("a feature without a license")
			}
			u.m.Activate(u.v.Ticket("MONTH"))
			refresh(u.T, s)
			want(u.T, s, sdk.NoLicense)
		},
		"expired": func(u use) {
			u.m.Activate(u.v.Ticket("MONTH"))
			s := open(u, "MONTH")
			if v := want(u.T, s, sdk.OK); !v.ValidUntil.Equal(sdktest.Start.Add(30 * day)) {
				u.Errorf("valid until %s", v.ValidUntil)
			}
			u.v.Clock().Advance(30*day - time.Microsecond)
			want(u.T, s, sdk.OK)
			u.v.Clock().Advance(time.Microsecond)
			want(u.T, s, sdk.Expired, "expired on 2027-01-31 12:00 UTC", "Renew it")
			want(u.T, open(u, "MONTH"), sdk.Expired)
		},
		"not yet valid": func(u use) {
			u.m.Activate(u.v.Ticket("LATER"))
			s := open(u, "LATER")
			want(u.T, s, sdk.NotYetValid, "2027-01-06")
			u.v.Clock().Advance(5*day - time.Microsecond)
			want(u.T, s, sdk.NotYetValid)
			u.v.Clock().Advance(time.Microsecond)
			want(u.T, s, sdk.OK) // from memory
		},
		"feature missing": func(u use) {
			u.m.Activate(u.v.Ticket("FREE"))
			s := open(u, "FREE", func(p *sdk.Product) { p.Features = []string{"render", "fly"} })
			want(u.T, s, sdk.FeatureMissing, "fly")
			if s.Feature("render") {
				u.Error("a feature of a license that is not valid")
			}
		},
		"version": func(u use) {
			u.m.Activate(u.v.Ticket("NEW"))
			built := sdktest.Start.Add(365 * day)
			for _, c := range []struct {
				version string
				built   time.Time
				code    sdk.Code
			}{
				{"4.0", built.Add(-1 * time.Second), sdk.OK},
				{"4.0", built, sdk.VersionNotCovered},
				{"3.9", built.Add(-day), sdk.VersionNotCovered},
				{"4.0", time.Time{}, sdk.VersionNotCovered},
				{"", built.Add(-day), sdk.VersionNotCovered},
			} {
				want(u.T, open(u, "NEW", func(p *sdk.Product) { p.Version, p.BuildDate = c.version, c.built }), c.code)
			}
		},
		"clock behind": func(u use) {
			u.m.Activate(u.v.Ticket("FREE"))
			u.m.SetClock(-day)
			want(u.T, open(u, "FREE"), sdk.ClockBehind, "2026-12-31", "2027-01-01")
			u.m.SetClock(-time.Minute) // clocks differ
			want(u.T, open(u, "FREE"), sdk.OK)
		},
		"clock set back while the program runs": func(u use) {
			u.m.Activate(u.v.Ticket("MONTH"))
			s := open(u, "MONTH")
			u.v.Clock().Advance(29 * day)
			want(u.T, s, sdk.OK)
			u.m.SetClock(-29 * day)
			if v := want(u.T, s, sdk.OK); len(v.Warnings) != 1 || v.Warnings[0].Code != sdk.ClockBehind {
				u.Errorf("warnings %v", v.Warnings)
			}
			u.m.SetClock(day)
			want(u.T, s, sdk.Expired)
			u.m.SetClock(-29 * day)
			want(u.T, s, sdk.Expired)
			refresh(u.T, s)
			want(u.T, s, sdk.Expired)
		},
		"clock that ran ahead is set right by a signed time": func(u use) {
			u.m.Activate(u.v.Ticket("MONTH"))
			u.m.SetClock(100 * day)
			s := open(u, "MONTH")
			want(u.T, s, sdk.Expired)
			u.m.SetClock(0)
			refresh(u.T, s)
			want(u.T, s, sdk.Expired)
			u.v.Clock().Advance(time.Hour)
			u.m.Update()
			refresh(u.T, s)
			want(u.T, s, sdk.OK)
		},
		"check-in": func(u use) {
			u.m.Activate(u.v.Ticket("CHECK"))
			s := open(u, "CHECK")
			u.v.Clock().Advance(9 * day)
			want(u.T, s, sdk.OK)
			u.v.Clock().Advance(day)
			want(u.T, s, sdk.CheckInOverdue, "was due by 2027-01-11", "licet update")
			u.m.Update()
			refresh(u.T, s)
			want(u.T, s, sdk.OK)
		},
		"grace": func(u use) {
			u.m.Activate(u.v.Ticket("GRACE"))
			s := open(u, "GRACE")
			u.v.Clock().Advance(31 * day)
			v := want(u.T, s, sdk.OK, "expired on 2027-01-31", "stays usable until 2027-02-07")
			if !v.InGrace || len(v.Warnings) != 1 || v.Warnings[0].Code != sdk.Expired {
				u.Errorf("verdict %+v", v)
			}
			u.v.Clock().Advance(6 * day)
			want(u.T, s, sdk.Expired, "its grace ended")
		},
		"the best of two, and the other when it is returned": func(u use) {
			short := u.m.Activate(u.v.Ticket("FREE", "expires_at=2027-02-01"))[0]
			long := u.m.Activate(u.v.Ticket("FREE", "expires_at=2027-06-01"))[0]
			s := open(u, "FREE")
			if v := want(u.T, s, sdk.OK); v.License != long {
				u.Errorf("license %s, want %s", v.License, long)
			}
			u.m.Return(long)
			refresh(u.T, s)
			if v := want(u.T, s, sdk.OK); v.License != short {
				u.Errorf("license %s, want %s", v.License, short)
			}
			select {
			case <-s.Changed():
			default:
				u.Error("the change of license was not signaled")
			}
			u.m.Return(short)
			refresh(u.T, s)
			want(u.T, s, sdk.NoLicense)
		},
		"foreign root": func(u use) {
			u.m.Activate(u.v.Ticket("FREE"))
			other := sdktest.New(u.T)
			want(u.T, open(u, "FREE", func(p *sdk.Product) { p.Trust = other.Trust() }), sdk.NoLicense)
		},
		"part exchanged": func(u use) {
			u.m.Activate(u.v.Ticket("TIGHT"))
			s := open(u, "TIGHT")
			want(u.T, s, sdk.OK)
			u.m.Exchange("disk")
			refresh(u.T, s)
			want(u.T, s, sdk.OtherMachine, "changed: disk")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, with := range []bool{false, true} {
				t.Run(map[bool]string{false: "files", true: "agent"}[with], func(t *testing.T) {
					u := use{T: t, v: sdktest.New(t, catalog...)}
					u.m = u.v.Machine(t)
					if with {
						u.m.StartAgent()
					}
					test(u)
				})
			}
		})
	}
}

func TestOpenFaults(t *testing.T) {
	v := sdktest.New(t)
	for name, p := range map[string]sdk.Product{
		"no trust":      {Code: "X"},
		"damaged trust": {Trust: v.Trust()[:len(v.Trust())/2], Code: "X"},
		"no product":    {Trust: v.Trust()},
		"version":       {Trust: v.Trust(), Code: "X", Version: "v4"},
	} {
		if s, err := sdk.Open(t.Context(), p, sdk.WithHome(t.TempDir())); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// slots lists the files of a machine's containers.
func slots(t *testing.T, m *sdktest.Machine) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.Home(), "containers", "*", "[ab]"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

func TestTamperedContainer(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	open := m.Open(v.Program("FREE"))
	for _, name := range slots(t, m) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want(t, m.Open(v.Program("FREE")), sdk.ContainerDamaged, "damaged")
	refresh(t, open) // it could be told, and it is not good
	want(t, open, sdk.ContainerDamaged)
}

func TestCopiedHome(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	want(t, m.Copy(t).Open(v.Program("FREE")), sdk.OtherMachine, "machine id", "disk")
	want(t, m.Open(v.Program("FREE")), sdk.OK)
}

func TestRemovedHome(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	s := m.Open(v.Program("FREE"))
	if err := os.RemoveAll(filepath.Join(m.Home(), "containers")); err != nil {
		t.Fatal(err)
	}
	want(t, s, sdk.OK) // from memory
	refresh(t, s)
	want(t, s, sdk.NoLicense)
}

// TestCouldNotTell: a failure to read is no yes for a session that saw no
// license, and takes nothing from one that did, before its own end.
func TestCouldNotTell(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("MONTH"))
	s := m.Open(v.Program("MONTH"))
	// What stands in the folder's place is no folder.
	aside := filepath.Join(m.Home(), "aside")
	containers := filepath.Join(m.Home(), "containers")
	if err := errors.Join(os.Rename(containers, aside), os.WriteFile(containers, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err == nil {
		t.Error("a refresh that could not read says nothing")
	}
	verdict := want(t, s, sdk.OK, "cannot be read", "stands until")
	if len(verdict.Warnings) != 1 || verdict.Warnings[0].Code != refusal.Internal {
		t.Errorf("warnings %v", verdict.Warnings)
	}
	want(t, m.Open(v.Program("MONTH")), refusal.Internal, "cannot be read")

	v.Clock().Advance(30 * day)
	want(t, s, sdk.Expired)

	v.Clock().Set(sdktest.Start.Add(day))
	if err := errors.Join(os.Remove(containers), os.Rename(aside, containers)); err != nil {
		t.Fatal(err)
	}
	again := m.Open(v.Program("MONTH"))
	if v := want(t, again, sdk.OK); len(v.Warnings) != 0 {
		t.Errorf("warnings %v", v.Warnings)
	}
}

// TestLocked: a container that somebody writes for long says nothing.
func TestLocked(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	s := m.Open(v.Program("FREE"))
	lock := flock.New(filepath.Join(filepath.Dir(slots(t, m)[0]), "lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Refresh(ctx); !refusal.Is(err, refusal.Conflict) {
		t.Errorf("refresh: %v", err)
	}
	want(t, s, sdk.OK, "stands until")
}

// TestGivenUp: a look that the program gave up before it began changes nothing, with
// a license and without one.
func TestGivenUp(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for code, verdict := range map[string]sdk.Code{"FREE": sdk.OK, "MONTH": sdk.NoLicense} {
		s := m.Open(v.Program(code))
		if err := s.Refresh(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: refresh: %v", code, err)
		}
		if v := want(t, s, verdict); len(v.Warnings) != 0 {
			t.Errorf("%s: warnings %v", code, v.Warnings)
		}
	}
}

// TestFloor: what the agent saw of the time counts for programs too.
func TestFloor(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	v.Clock().Advance(10 * day)
	m.StartAgent()
	m.StopAgent()
	m.SetClock(-5 * day)
	want(t, m.Open(v.Program("FREE")), sdk.ClockBehind, "2027-01-06", "2027-01-11")
}

func TestOpenWithoutTime(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := sdk.Open(ctx, v.Program("FREE"), sdk.WithHome(m.Home()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if verdict := s.Verdict(); verdict.Valid || len(verdict.Reasons) == 0 {
		t.Errorf("verdict %+v", verdict)
	}
}

func TestClose(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("FREE"))
	s := m.Open(v.Program("FREE"), sdk.WithRefresh(time.Millisecond))
	want(t, s, sdk.OK)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, open := <-s.Changed(); open {
		t.Error("Changed is open after Close")
	}
	want(t, s, sdk.NoLicense, "closed")
	if err := s.Refresh(t.Context()); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("refresh after Close: %v", err)
	}
	want(t, s, sdk.NoLicense, "closed")
}

// TestRefreshesItself: an activation is seen without being asked for.
func TestRefreshesItself(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	s := m.Open(v.Program("FREE"), sdk.WithRefresh(5*time.Millisecond))
	want(t, s, sdk.NoLicense)
	m.Activate(v.Ticket("FREE"))
	select {
	case <-s.Changed():
	case <-time.After(10 * time.Second):
		t.Fatal("no change was signaled")
	}
	want(t, s, sdk.OK)
}

// TestEndsByItself runs on the computer's own clock: the answer turns at the
// license's end, without a refresh, and is signaled.
func TestEndsByItself(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "SHORT"})
	v.Clock().Set(time.Now())
	end := time.Now().Add(1500 * time.Millisecond).Truncate(time.Second).Add(time.Second)
	m := v.Machine(t)
	m.Activate(v.Ticket("SHORT", "expires_at="+end.UTC().Format(time.RFC3339)))
	p := v.Program("SHORT")
	quiet := m.Open(p, sdk.WithClock(nil), sdk.WithRefresh(-1))
	loud := m.Open(p, sdk.WithClock(nil), sdk.WithRefresh(time.Hour))
	for {
		before := time.Now()
		valid := quiet.Valid()
		after := time.Now()
		if !valid && !after.After(end) {
			t.Fatalf("ended %s too early", end.Sub(after))
		}
		if valid && !before.Before(end) {
			t.Fatalf("valid %s after its end", before.Sub(end))
		}
		if !valid {
			break
		}
	}
	want(t, quiet, sdk.Expired)
	select {
	case <-loud.Changed():
	case <-time.After(10 * time.Second):
		t.Fatal("the end was not signaled")
	}
	want(t, loud, sdk.Expired)
}

// TestManyAskWhileItRefreshes is for the race detector, on both kinds of clock.
func TestManyAskWhileItRefreshes(t *testing.T) {
	for name, opts := range map[string][]sdk.Option{
		"imitated clock": {sdk.WithRefresh(time.Millisecond)},
		"computer clock": {sdk.WithRefresh(time.Millisecond), sdk.WithClock(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			v := sdktest.New(t, catalog...)
			v.Clock().Set(time.Now())
			m := v.Machine(t)
			m.Activate(v.Ticket("MONTH"))
			s := m.Open(v.Program("MONTH"), opts...)
			stop := make(chan struct{})
			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					for ; ; time.Sleep(100 * time.Microsecond) {
						select {
						case <-stop:
							return
						default:
						}
						if !s.Valid() || i%10 == 0 && !s.Verdict().Valid {
							t.Error("not valid")
							return
						}
						_ = s.Feature("render")
					}
				})
			}
			for range 50 {
				refresh(t, s)
			}
			close(stop)
			all.Wait()
		})
	}
}

// TestEndsForAllAtOnce: however many ask at the end, none gets a yes.
func TestEndsForAllAtOnce(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	m.Activate(v.Ticket("MONTH"))
	s := m.Open(v.Program("MONTH"), sdk.WithRefresh(-1))
	v.Clock().Advance(30 * day)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if s.Valid() || s.Feature("render") {
				t.Error("valid after its end")
			}
		})
	}
	all.Wait()
}
