package terms_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
	"licet/terms"
)

const day = license.Day

// now is the moment the tables are written around.
var now = at("2027-01-10")

func at(text string) license.Time {
	t, err := license.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

func plus(t license.Time, d license.Duration) license.Time { return t.Add(d.Go()) }

func reasonCodes(reasons []terms.Reason) []refusal.Code {
	codes := []refusal.Code{}
	for _, r := range reasons {
		codes = append(codes, r.Code)
	}
	return codes
}

func TestCheck(t *testing.T) {
	type codes = []refusal.Code
	tests := []struct {
		name     string
		held     terms.Held
		use      terms.Use
		clock    terms.Clock // the zero clock means now
		want     codes       // of the reasons
		until    license.Time
		warnings codes
		soon     bool // the warnings are about ends that are yet to come
	}{
		{name: "no conditions"},
		{name: "valid from now", held: held(license.Terms{ValidFrom: now})},
		{name: "valid from later", held: held(license.Terms{ValidFrom: now + 1}), want: codes{refusal.NotYetValid}},
		{name: "never activated, expires in", held: held(license.Terms{ExpiresIn: day}), want: codes{refusal.NotYetValid}},
		{name: "never activated, maintenance", held: held(license.Terms{Maintenance: day}), want: codes{refusal.NotYetValid}},

		{name: "1µs before the end", held: held(license.Terms{ExpiresAt: now + 1}), until: now + 1},
		{name: "at the end", held: held(license.Terms{ExpiresAt: now}), until: now, want: codes{refusal.Expired}},
		{name: "1µs after the end", held: held(license.Terms{ExpiresAt: now - 1}), until: now - 1, want: codes{refusal.Expired}},
		{name: "at the end, with grace", held: held(license.Terms{ExpiresAt: now, Grace: day}), until: plus(now, day), warnings: codes{refusal.Expired}},
		{name: "1µs before the end of grace", held: held(license.Terms{ExpiresAt: plus(now+1, -day), Grace: day}), until: now + 1, warnings: codes{refusal.Expired}},
		{name: "at the end of grace", held: held(license.Terms{ExpiresAt: plus(now, -day), Grace: day}), until: now, want: codes{refusal.Expired}},

		{name: "check-in, never in contact", held: held(license.Terms{CheckIn: day}), want: codes{refusal.CheckInOverdue}},
		{name: "check-in, 1µs before due", held: contact(license.Terms{CheckIn: day}, plus(now+1, -day)), until: now + 1, warnings: codes{refusal.CheckInOverdue}, soon: true},
		{name: "check-in, last quarter begins", held: contact(license.Terms{CheckIn: 4 * day}, plus(now, -3*day)), until: plus(now, day), warnings: codes{refusal.CheckInOverdue}, soon: true},
		{name: "check-in, 1µs before the last quarter", held: contact(license.Terms{CheckIn: 4 * day}, plus(now+1, -3*day)), until: plus(now+1, day)},
		{name: "check-in, due soon, and expired", held: contact(license.Terms{CheckIn: 4 * day, ExpiresAt: now}, plus(now, -3*day)), until: now, want: codes{refusal.Expired}},
		{name: "check-in, due", held: contact(license.Terms{CheckIn: day}, plus(now, -day)), until: now, want: codes{refusal.CheckInOverdue}},
		{name: "check-in, due, with grace", held: contact(license.Terms{CheckIn: day, Grace: day}, plus(now, -day)), until: plus(now, day), warnings: codes{refusal.CheckInOverdue}},
		{name: "check-in, end of grace", held: contact(license.Terms{CheckIn: day, Grace: day}, plus(now, -2*day)), until: now, want: codes{refusal.CheckInOverdue}},
		{name: "earliest end counts", held: contact(license.Terms{CheckIn: 9 * day, ExpiresAt: plus(now, 5*day)}, now), until: plus(now, 5*day)},
		{name: "earliest end counts, other way", held: contact(license.Terms{CheckIn: 5 * day, ExpiresAt: plus(now, 9*day)}, now), until: plus(now, 5*day)},

		{name: "loan, 1µs before its end", held: terms.Held{Lent: true, Until: now + 1}, until: now + 1},
		{name: "loan, at its end", held: terms.Held{Lent: true, Until: now}, until: now, want: codes{refusal.Expired}},
		{name: "loan has no grace", held: terms.Held{Lent: true, Until: now, Terms: license.Terms{Grace: day}}, until: now, want: codes{refusal.Expired}},
		{name: "loan after the license", held: terms.Held{Lent: true, Until: now + 2, Terms: license.Terms{ExpiresAt: now}}, until: now, want: codes{refusal.Expired}},
		{name: "loan in the grace of the license", held: terms.Held{Lent: true, Until: now + 2, Terms: license.Terms{ExpiresAt: now, Grace: day}}, until: now + 2, warnings: codes{refusal.Expired}},
		{name: "loan, check-in is the server's", held: terms.Held{Lent: true, Until: now + 1, Terms: license.Terms{CheckIn: day}}, until: now + 1},
		{name: "transfer without end", held: terms.Held{Lent: true}},

		{name: "lowest version", held: held(license.Terms{MinVersion: "4.0"}), use: terms.Use{Version: "4"}},
		{name: "below the lowest version", held: held(license.Terms{MinVersion: "4.10"}), use: terms.Use{Version: "4.9"}, want: codes{refusal.VersionNotCovered}},
		{name: "version missing", held: held(license.Terms{MinVersion: "4.0"}), want: codes{refusal.VersionNotCovered}},
		{name: "version not readable", held: held(license.Terms{MinVersion: "4.0"}), use: terms.Use{Version: "v5"}, want: codes{refusal.VersionNotCovered}},
		{name: "lowest version not readable", held: held(license.Terms{MinVersion: "four"}), use: terms.Use{Version: "5"}, want: codes{refusal.VersionNotCovered}},
		{name: "version that nobody asks for", use: terms.Use{Version: "2027-beta"}},

		{name: "build 1µs before maintenance ends", held: held(license.Terms{MaintenanceUntil: now}), use: terms.Use{BuildDate: now - 1}},
		{name: "build when maintenance ends", held: held(license.Terms{MaintenanceUntil: now}), use: terms.Use{BuildDate: now}, want: codes{refusal.VersionNotCovered}},
		{name: "build date missing", held: held(license.Terms{MaintenanceUntil: now}), want: codes{refusal.VersionNotCovered}},
		{name: "old build long after maintenance", held: held(license.Terms{MaintenanceUntil: 10}), use: terms.Use{BuildDate: 9}},

		{name: "features there", held: terms.Held{Features: []string{"a", "b"}}, use: terms.Use{Features: []string{"b"}}},
		{name: "feature missing", held: terms.Held{Features: []string{"a"}}, use: terms.Use{Features: []string{"a", "b", "c", "b"}}, want: codes{refusal.FeatureMissing}},

		{name: "clock shows nothing", clock: terms.Clock{Floor: now}, want: codes{refusal.ClockBehind}},
		{name: "clock within tolerance", clock: terms.Clock{Now: now, Floor: now.Add(terms.ClockTolerance)}},
		{name: "clock below tolerance", clock: terms.Clock{Now: now - 1, Floor: now.Add(terms.ClockTolerance)}, want: codes{refusal.ClockBehind}},
		{name: "floor counts within tolerance", held: held(license.Terms{ExpiresAt: now + 1}), clock: terms.Clock{Now: now, Floor: now + 1}, until: now + 1, want: codes{refusal.Expired}},
		{name: "last contact is a floor", held: contact(license.Terms{}, plus(now, day)), want: codes{refusal.ClockBehind}},

		{
			name: "everything at once, in order",
			held: contact(license.Terms{
				ValidFrom: plus(now, 90*day), ExpiresAt: plus(now, day), CheckIn: day, MinVersion: "2", MaintenanceUntil: 1,
			}, now),
			use:   terms.Use{Features: []string{"a"}, Version: "1", BuildDate: 1},
			clock: terms.Clock{Now: now, Floor: plus(now, 2*day)},
			until: plus(now, day),
			want: codes{
				refusal.ClockBehind, refusal.NotYetValid, refusal.Expired, refusal.CheckInOverdue,
				refusal.VersionNotCovered, refusal.VersionNotCovered, refusal.FeatureMissing,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.clock == (terms.Clock{}) {
				tt.clock = terms.Clock{Now: now}
			}
			v := terms.Check(tt.held, tt.use, tt.clock)
			wantCode := refusal.Valid
			if len(tt.want) > 0 {
				wantCode = tt.want[0]
			}
			if v.Code != wantCode || v.Valid != (len(tt.want) == 0) {
				t.Errorf("valid %v, code %s; want %s", v.Valid, v.Code, wantCode)
			}
			if got := reasonCodes(v.Reasons); !slices.Equal(got, tt.want) {
				t.Errorf("reasons %v, want %v", got, tt.want)
			}
			if got := reasonCodes(v.Warnings); !slices.Equal(got, tt.warnings) || v.InGrace != (len(got) > 0 && !tt.soon) {
				t.Errorf("warnings %v, in grace %v; want %v", got, v.InGrace, tt.warnings)
			}
			if v.ValidUntil != tt.until {
				t.Errorf("valid until %q, want %q", v.ValidUntil, tt.until)
			}
			for _, s := range v.Sentences() {
				if !strings.HasSuffix(s, ".") || strings.Contains(s, "%!") {
					t.Errorf("no sentence: %q", s)
				}
			}
			if r := v.Refusal(); (r == nil) != v.Valid || r != nil && r.Code != wantCode {
				t.Errorf("refusal %v", r)
			}
		})
	}
}

func held(t license.Terms) terms.Held { return terms.Held{Terms: t} }

func contact(t license.Terms, last license.Time) terms.Held {
	return terms.Held{Terms: t, LastContact: last}
}

func TestSentences(t *testing.T) {
	end := at("2026-12-31")
	tests := []struct {
		name string
		held terms.Held
		use  terms.Use
		want []string
	}{
		{"no end", terms.Held{}, terms.Use{}, []string{"The license may be used."}},
		{"end", held(license.Terms{ExpiresAt: at("2027-06-30T12:00:00.5Z")}), terms.Use{}, []string{
			"The license may be used until 2027-06-30 12:00:00.5 UTC."}},
		{"grace", held(license.Terms{ExpiresAt: end, Grace: 30 * day}), terms.Use{}, []string{
			"The license may be used until 2027-01-30 00:00 UTC.",
			"The license expired on 2026-12-31 00:00 UTC. It stays usable until 2027-01-30 00:00 UTC."}},
		{"expired", held(license.Terms{ExpiresAt: end}), terms.Use{}, []string{
			"The license expired on 2026-12-31 00:00 UTC."}},
		{"expired with grace", held(license.Terms{ExpiresAt: end, Grace: day}), terms.Use{}, []string{
			"The license expired on 2026-12-31 00:00 UTC, and its grace ended on 2027-01-01 00:00 UTC."}},
		{"check-in", contact(license.Terms{CheckIn: 5 * day}, end), terms.Use{}, []string{
			"Contact with the vendor was due by 2027-01-05 00:00 UTC; the last one was on 2026-12-31 00:00 UTC."}},
		{"features", terms.Held{}, terms.Use{Features: []string{"render", "export"}}, []string{
			"The license does not include the features render, export."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := terms.Check(tt.held, tt.use, terms.Clock{Now: now}).Sentences()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBest(t *testing.T) {
	reason := func(n int) []terms.Reason { return make([]terms.Reason, n) }
	// Worst first: each is better than all before it.
	ladder := []terms.Verdict{
		{Reasons: reason(2)},
		{Reasons: reason(1), ValidUntil: 5},
		{Reasons: reason(1), ValidUntil: 6},
		{Reasons: reason(1)},
		{Valid: true, InGrace: true, ValidUntil: 9},
		{Valid: true, ValidUntil: 7},
		{Valid: true, ValidUntil: 8},
		{Valid: true},
	}
	for i := range ladder {
		if got := terms.Best(ladder[:i+1]); got != i {
			t.Errorf("of the first %d the best is %d", i+1, got)
		}
		reversed := slices.Clone(ladder[:i+1])
		slices.Reverse(reversed)
		if got := terms.Best(reversed); got != 0 {
			t.Errorf("of the first %d reversed the best is %d", i+1, got)
		}
	}
	if got := terms.Best(nil); got != -1 {
		t.Errorf("best of none is %d", got)
	}
	if got := terms.Best([]terms.Verdict{{Valid: true}, {Valid: true}}); got != 0 {
		t.Errorf("of equals the best is %d, want the first", got)
	}
}

func TestParseVersion(t *testing.T) {
	ordered := []string{"0", "0.0.1", "1", "1.2", "1.10", "4", "4.9.9", "4.10", "2026.08.1", "999999999.9"}
	for i, a := range ordered {
		for j, b := range ordered {
			v, errV := terms.ParseVersion(a)
			w, errW := terms.ParseVersion(b)
			if errV != nil || errW != nil {
				t.Fatal(errV, errW)
			}
			if got, want := v.Compare(w), sign(i-j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, text := range []string{"", ".", "4.", ".4", "v4", "4.2-beta", "4..2", "-1", "+1", " 4", "4 ", "1.2.3.4.5.6.7.8.9", "9999999999", "4294967295", "4.x", "٤"} {
		if v, err := terms.ParseVersion(text); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q gave %v, %v", text, v, err)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

// Properties. The moments lie close together so that edges are hit often.

func moments(low int64) *rapid.Generator[license.Time] {
	return rapid.Custom(func(t *rapid.T) license.Time {
		return license.Time(rapid.Int64Range(low, 40).Draw(t, "s")) * license.Time(time.Second.Microseconds())
	})
}

func lengths() *rapid.Generator[license.Duration] {
	return rapid.Custom(func(t *rapid.T) license.Duration {
		return license.Duration(rapid.Int64Range(0, 20).Draw(t, "s")) * license.Duration(time.Second)
	})
}

func anyHeld(t *rapid.T) terms.Held {
	return terms.Held{
		Terms: license.Terms{
			ValidFrom:        moments(0).Draw(t, "valid from"),
			ExpiresAt:        moments(0).Draw(t, "expires at"),
			CheckIn:          lengths().Draw(t, "check in"),
			Grace:            lengths().Draw(t, "grace"),
			MaintenanceUntil: moments(0).Draw(t, "maintenance"),
			MinVersion:       rapid.SampledFrom([]string{"", "", "2", "x"}).Draw(t, "lowest version"),
		},
		Features:    rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "features"),
		LastContact: moments(0).Draw(t, "last contact"),
		Lent:        rapid.Bool().Draw(t, "lent"), Until: moments(0).Draw(t, "until"),
	}
}

func anyUse(t *rapid.T) terms.Use {
	return terms.Use{
		Features:  rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "wanted"),
		Version:   rapid.SampledFrom([]string{"", "1", "2", "3", "y"}).Draw(t, "version"),
		BuildDate: moments(0).Draw(t, "build date"),
	}
}

// Time alone never makes an unusable license usable, except that one not yet
// valid becomes valid and that a clock that was behind comes right.
func TestTimeAloneNeverHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, u := anyHeld(t), anyUse(t)
		start := moments(1).Draw(t, "start")
		later := start + moments(0).Draw(t, "later")
		before := terms.Check(h, u, terms.Clock{Now: start})
		after := terms.Check(h, u, terms.Clock{Now: later, Floor: start})
		for _, r := range before.Reasons {
			if r.Code != refusal.NotYetValid && r.Code != refusal.ClockBehind && after.Valid {
				t.Fatalf("refused for %s at %s, valid at %s", r.Code, start, later)
			}
		}
	})
}

// Whoever remembers the latest time seen as the floor is never moved from
// refused to valid by a clock that goes back, however often. (A clock that is
// refused itself and then comes right is no such move.)
func TestClockBackNeverHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, u := anyHeld(t), anyUse(t)
		var floor license.Time
		refused := false
		for _, shown := range rapid.SliceOfN(moments(-5), 1, 20).Draw(t, "clock") {
			back := shown < floor
			v := terms.Check(h, u, terms.Clock{Now: shown, Floor: floor})
			if back && refused && v.Valid {
				t.Fatalf("clock back at %s made a refused license valid", shown)
			}
			refused = slices.ContainsFunc(v.Reasons, func(r terms.Reason) bool { return r.Code != refusal.ClockBehind })
			floor = max(floor, shown)
		}
	})
}

// A valid license stays valid up to ValidUntil and not a microsecond longer;
// trusted time of a valid one is before every end (Inv35, Inv36).
func TestValidUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, u := anyHeld(t), anyUse(t)
		c := terms.Clock{Now: moments(1).Draw(t, "now"), Floor: moments(0).Draw(t, "floor")}
		v := terms.Check(h, u, c)
		if !v.Valid {
			return
		}
		trusted := c.Trusted()
		if end := h.Terms.ExpiresAt; end != 0 && trusted >= end.Add(h.Terms.Grace.Go()) {
			t.Fatalf("valid at %s, after its end", trusted)
		}
		if h.Lent && h.Until != 0 && trusted >= h.Until {
			t.Fatalf("valid at %s, after the end of its loan", trusted)
		}
		if d := h.Terms.CheckIn; !h.Lent && d != 0 && trusted >= h.LastContact.Add((d+h.Terms.Grace).Go()) {
			t.Fatalf("valid at %s, check-in overdue", trusted)
		}
		if v.ValidUntil == 0 {
			return
		}
		if last := terms.Check(h, u, terms.Clock{Now: v.ValidUntil - 1}); !last.Valid {
			t.Fatalf("refused just before its end: %v", last)
		}
		if over := terms.Check(h, u, terms.Clock{Now: v.ValidUntil}); over.Valid {
			t.Fatalf("valid at its end: %v", over)
		}
	})
}

// Saying less never helps: without version, build date or contact a license is
// usable at most where it is with them (Inv40).
func TestNotKnowingNeverHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, u := anyHeld(t), anyUse(t)
		c := terms.Clock{Now: moments(1).Draw(t, "now")}
		h.LastContact = min(h.LastContact, c.Now) // what has not happened yet is no contact
		full := terms.Check(h, u, c)
		less, mute := h, terms.Use{Features: u.Features}
		less.LastContact = 0
		if got := terms.Check(less, mute, c); got.Valid && !full.Valid {
			// A version below the lowest is refused; a silent program too.
			t.Fatalf("refused with facts (%v), valid without", full.Reasons)
		}
	})
}

// A clock that shows nothing is behind, whatever is known (Inv40).
func TestNoClock(t *testing.T) {
	for _, shown := range []license.Time{0, -1} {
		c := terms.Clock{Now: shown}
		v := terms.Check(terms.Held{}, terms.Use{}, c)
		want := []terms.Reason{{refusal.ClockBehind, "The computer's clock shows no time."}}
		if diff := cmp.Diff(want, v.Reasons); diff != "" || !c.Behind() {
			t.Errorf("clock at %d: %s", shown, diff)
		}
	}
}

func TestTheLeastTermsAreForever(t *testing.T) {
	v := terms.Check(terms.Held{}, terms.Use{}, terms.Clock{Now: at("9999-12-31")})
	if !v.Valid || v.ValidUntil != 0 || v.Reasons == nil {
		t.Errorf("%+v", v)
	}
}
