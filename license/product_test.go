package license_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
)

func TestModels(t *testing.T) {
	const never, manual = license.RestoreNever, license.RestoreManual
	tests := []struct {
		model        license.Model
		multi        bool
		expiresIn    string
		deactivation bool
		restore      license.RestoreMode
	}{
		{license.PerpetualSingle, false, "0s", true, manual},
		{license.PerpetualMulti, true, "0s", true, manual},
		{license.SubscriptionSingle, false, "365d", true, manual},
		{license.SubscriptionMulti, true, "365d", true, manual},
		{license.Demo, true, "30d", false, never},
		{license.Prepaid, true, "30d", true, manual},
		{license.NotForResale, true, "365d", true, manual},
	}
	if len(tests) != len(license.Models) {
		t.Errorf("%d models, %d tested", len(license.Models), len(tests))
	}
	for _, tt := range tests {
		p := tt.model.Preset()
		if !tt.model.Known() || tt.model.MultiSeat() != tt.multi || p.Deactivation != tt.deactivation || p.Split != (tt.multi && tt.deactivation) ||
			p.Terms.ExpiresIn.String() != tt.expiresIn || p.Restore.License.Mode != tt.restore {
			t.Errorf("%s: %+v", tt.model, p)
		}
		if p.Terms.Seats != 1 || p.Binding != license.Medium || !slices.Equal(p.Containers, license.Kinds) {
			t.Errorf("%s: %+v", tt.model, p)
		}
	}
	unknown := license.Model("x")
	if p := unknown.Preset(); unknown.Known() || unknown.MultiSeat() || len(p.Containers) != 0 {
		t.Errorf("unknown model: %+v", p)
	}
}

// A preset belongs to who asked for it: changing it changes no other.
func TestPresetIsACopy(t *testing.T) {
	license.Demo.Preset().Containers[0] = "changed"
	if got := license.Demo.Preset().Containers[0]; got != license.Machine || license.Kinds[0] != license.Machine {
		t.Error("a preset shares its list of containers")
	}
}

// The JSON of a product names every default.
func TestPresetJSON(t *testing.T) {
	got, err := json.Marshal(license.Demo.Preset())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"code":"","name":"","model":"demo","features":[],"containers":["machine","token","cloud"],` +
		`"binding":"medium","repair":true,"deactivation":false,"split":false,"requires":[],"terms":{"seats":1,"expires_in":"30d"},` +
		`"restore":{"license":{"mode":"never"},"container":{"same_hardware":"never","new_hardware":"never","damaged":"never"},` +
		`"self_service":true,"stop":"withdraw","found":"withdrawn"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// A product that was stored before a key of the policy existed gets its default.
func TestRestoreFromBefore(t *testing.T) {
	var got license.Product
	text := `{"code":"A","restore":{"license":{"mode":"manual"},"container":{"same_hardware":"automatic","new_hardware":"never"}}}`
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := license.Restore{
		License: license.RestoreLicense{Mode: license.RestoreManual},
		Container: license.RestoreContainer{
			SameHardware: license.RestoreAutomatic, NewHardware: license.RestoreNever, Damaged: license.RestoreNever,
		},
		SelfService: new(true), Stop: license.StopWithdraw, Found: license.FoundWithdrawn,
	}
	if diff := cmp.Diff(want, got.Restore); diff != "" {
		t.Error(diff)
	}
	off := license.Restore{SelfService: new(false), Stop: license.StopReturn, Found: license.FoundBlocked}
	if got := off.WithDefaults(); *got.SelfService || got.Stop != license.StopReturn || got.Found != license.FoundBlocked {
		t.Errorf("a default took the place of what was set: %+v", got)
	}
	if err := json.Unmarshal([]byte(`{"restore":{"stop":7}}`), &got); err == nil || got.Restore.Stop != license.StopWithdraw {
		t.Errorf("%v, and %+v", err, got.Restore)
	}
}

func TestFreeze(t *testing.T) {
	start := license.At(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	in := func(days int64) license.Time { return start.Add(time.Duration(days) * 24 * time.Hour) }
	tests := []struct {
		name        string
		give, want  license.Terms
		activatedAt license.Time
	}{
		{"nothing to freeze", license.Terms{Seats: 3}, license.Terms{Seats: 3}, start},
		{"expires in", license.Terms{ExpiresIn: 30 * license.Day}, license.Terms{ExpiresAt: in(30)}, start},
		{"fixed end is earlier", license.Terms{ExpiresIn: 30 * license.Day, ExpiresAt: in(10)}, license.Terms{ExpiresAt: in(10)}, start},
		{"fixed end is later", license.Terms{ExpiresIn: 30 * license.Day, ExpiresAt: in(40)}, license.Terms{ExpiresAt: in(30)}, start},
		{"maintenance", license.Terms{Maintenance: 5 * license.Day}, license.Terms{MaintenanceUntil: in(5)}, start},
		{"no moment of activation", license.Terms{ExpiresIn: license.Day}, license.Terms{ExpiresIn: license.Day}, 0},
	}
	for _, tt := range tests {
		got := tt.give.Freeze(tt.activatedAt)
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if got.Frozen() != (tt.activatedAt != 0) {
			t.Errorf("%s: frozen %v", tt.name, got.Frozen())
		}
		if again := got.Freeze(in(1000)); tt.activatedAt != 0 && again != got {
			t.Errorf("%s: frozen a second time it is %+v", tt.name, again)
		}
	}
}

// TestPart: the terms of some of the seats lend no more than those of all.
func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := license.Terms{Seats: rapid.Int64Range(1, 1_000_000).Draw(t, "seats"), ExpiresAt: 7,
			Borrow: license.Borrow{Max: license.Day, Seats: rapid.Int64Range(0, 1_000_000).Draw(t, "borrow")}}
		n := rapid.Int64Range(0, whole.Seats).Draw(t, "part")
		a, b := whole.Part(n), whole.Part(whole.Seats-n)
		if a.Seats != n || b.Seats != whole.Seats-n || a.Borrow.Seats < 0 || a.Borrow.Seats+b.Borrow.Seats > whole.Borrow.Seats {
			t.Fatalf("%+v\n%+v\n%+v", whole, a, b)
		}
		if whole.Part(whole.Seats) != whole || a.ExpiresAt != 7 || a.Borrow.Max != license.Day {
			t.Fatalf("%+v: %+v", whole, a)
		}
	})
	for terms, splits := range map[license.Terms]bool{
		{Seats: 0}: false, {Seats: 1}: false, {Seats: 2}: true, {Seats: 2, Counting: license.PerStation}: true,
		{Seats: 2, Counting: license.Exclusive}: false, {Seats: 2, Counting: license.Unlimited}: false,
		{Seats: 2, Units: 5}: true, {Units: 1}: false, {Units: 2}: true, {Seats: 2, Units: 1}: false, {Units: 2, Counting: license.Unlimited}: true,
	} {
		if terms.Splits() != splits {
			t.Errorf("%+v", terms)
		}
	}
}

func TestDurations(t *testing.T) {
	tests := []struct {
		text    string
		want    time.Duration
		written string
	}{
		{"0s", 0, "0s"}, {"0d", 0, "0s"}, {"90s", 90 * time.Second, "90s"}, {"120s", 2 * time.Minute, "2m"},
		{"12h", 12 * time.Hour, "12h"}, {"48h", 48 * time.Hour, "2d"}, {"7d", 7 * 24 * time.Hour, "7d"},
		{"365d", 365 * 24 * time.Hour, "365d"}, {"36500d", 36500 * 24 * time.Hour, "36500d"}, {"007d", 7 * 24 * time.Hour, "7d"},
	}
	for _, tt := range tests {
		d, err := license.ParseDuration(tt.text)
		if err != nil || d.Go() != tt.want || d.String() != tt.written {
			t.Errorf("%s: %v (%s), %v", tt.text, d.Go(), d, err)
		}
	}
	for _, text := range []string{"", "d", "7", "7D", "7w", "7y", "1.5h", "-1d", "+1d", "1d12h", " 7d", "7 d", "7d ", "36501d", "99999999999999999999d", "٧d"} {
		if d, err := license.ParseDuration(text); !refusal.Is(err, refusal.InvalidInput) || d != 0 {
			t.Errorf("%q gave %v, %v", text, d, err)
		}
	}
	for _, d := range []license.Duration{-license.Day, 1, license.MaxDuration + license.Day} {
		if text, err := d.MarshalText(); err == nil {
			t.Errorf("%d was written as %q", int64(d), text)
		}
	}
}

func TestDurationReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := license.Duration(rapid.Int64Range(0, int64(license.MaxDuration/license.Duration(time.Second))).Draw(t, "s")) * license.Duration(time.Second)
		text, err := d.MarshalText()
		var back license.Duration
		if err2 := back.UnmarshalText(text); err != nil || err2 != nil || back != d {
			t.Fatalf("%q reads back as %v, %v %v", text, back, err, err2)
		}
	})
}

func TestParseTime(t *testing.T) {
	tests := []struct{ text, want string }{
		{"2027-06-30", "2027-06-30T00:00:00Z"},
		{"2027-06-30T12:00:00Z", "2027-06-30T12:00:00Z"},
		{"2027-06-30T12:00:00+02:00", "2027-06-30T10:00:00Z"},
		{"1970-01-02", "1970-01-02T00:00:00Z"},
	}
	for _, tt := range tests {
		if got, err := license.ParseTime(tt.text); err != nil || got.String() != tt.want {
			t.Errorf("%s gave %q, %v", tt.text, got, err)
		}
	}
	for _, text := range []string{"", "0", "tomorrow", "2027-6-30", "2027-02-30", "30.06.2027", "2027-06-30 12:00", "1970-01-01", "1969-12-31", "9999-12-31T23:59:59-01:00", strings.Repeat("9", 500)} {
		if got, err := license.ParseTime(text); !refusal.Is(err, refusal.InvalidInput) || got != 0 || len(err.Error()) > 100 {
			t.Errorf("%q gave %q, %v", text, got, err)
		}
	}
}
