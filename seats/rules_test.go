package seats_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/refusal"
	"licet/seats"
)

func parse(t *testing.T, text string) seats.Rules {
	t.Helper()
	r, err := seats.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhichRule: which line decides; line 0 is none.
func TestWhichRule(t *testing.T) {
	cad07 := remote("Ann", "CAD-07.", "10.1.2.3")
	cad07.Client.Groups = []string{"Design", "Test Lab"}
	six := remote("Ann", "cad-07", "2001:db8::7%eth0")
	mapped := remote("Ann", "cad-07", "::ffff:10.1.2.3")
	tests := []struct {
		name  string
		rules string
		who   seats.Caller
		line  int
		allow bool
	}{
		{"none, from elsewhere", "", cad07, 0, false},
		{"none, from here", "", local("ann"), 0, true},
		{"one that does not apply", "allow user=bob", cad07, 0, false},
		{"this machine is bound too", "deny user=ann", local("ann"), 1, false},
		{"remarks and blank lines", "# all\n\n  allow subnet=10.0.0.0/8 # the house\n", cad07, 3, true},
		{"capital letters", "allow user=ANN host=cad-07", cad07, 1, true},
		{"an administrator", "deny user=ann", func() seats.Caller { w := cad07; w.Admin = true; return w }(), 0, true},
		{"everybody", "allow", cad07, 1, true},

		{"a longer subnet", "allow subnet=10.1.0.0/16\ndeny subnet=10.0.0.0/8", cad07, 1, true},
		{"one address", "deny subnet=10.1.0.0/16\nallow subnet=10.1.2.3", cad07, 2, true},
		{"IPv6, with a zone", "allow subnet=2001:db8::/32", six, 1, true},
		{"IPv6 is not IPv4", "allow subnet=::/0", cad07, 0, false},
		{"IPv4 inside IPv6", "allow subnet=10.0.0.0/8", mapped, 1, true},
		{"a longer pattern", "deny host=cad-*\nallow host=cad-0*", cad07, 2, true},
		{"a name before a pattern", "deny host=cad-*\nallow host=cad-07", cad07, 2, true},
		{"a pattern before none", "deny\nallow host=*", cad07, 2, true},
		{"a pattern with many stars", "allow host=*a*d*-*7*", cad07, 1, true},
		{"a pattern that does not fit", "allow host=c*8", cad07, 0, false},
		{"group", "allow group=design", cad07, 1, true},
		{"group with a space", `allow group="test lab"`, cad07, 1, true},
		{"not in the group", "allow group=admins", cad07, 0, false},
		{"user before host", "deny host=cad-07\nallow user=ann", cad07, 2, true},
		{"host before group", "deny group=design\nallow host=cad-07", cad07, 2, true},
		{"group before subnet", "deny subnet=10.1.2.3\nallow group=design", cad07, 2, true},
		{"subnet before product", "deny product=CAD\nallow subnet=10.0.0.0/8", cad07, 2, true},
		{"product before none", "allow\ndeny product=CAD", cad07, 2, false},
		{"another product", "allow product=DRAW*", cad07, 0, false},
		{"more conditions", "deny user=ann\nallow user=ann host=cad-*", cad07, 2, true},
		{"deny before allow", "allow user=ann\ndeny user=ann", cad07, 2, false},
		{"then the upper one", "allow group=design\nallow group=\"test lab\" limit=1", cad07, 1, true},
		{"the upper one of equals", "allow user=ann limit=1\nallow user=ann limit=2", cad07, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := parse(t, tt.rules).Decide(tt.who, "CAD")
			if d.Line != tt.line || d.Allow != tt.allow {
				t.Errorf("line %d, allow %v: %s", d.Line, d.Allow, d.Why)
			}
			if !strings.HasSuffix(d.Why, ".") || d.Line > 0 && !strings.Contains(d.Why, d.Rule) {
				t.Errorf("says %q", d.Why)
			}
		})
	}
}

func TestRuleSaysWhy(t *testing.T) {
	r := parse(t, "deny user=guest\nallow subnet=10.0.0.0/8 limit=3\nallow user=guest")
	for _, tt := range []struct {
		who  seats.Caller
		want string
	}{
		{remote("guest", "pc", "10.0.0.1"), "Line 1 decides: deny user=guest. It denies, and is as specific as line 3: allow user=guest."},
		{remote("ann", "pc", "10.0.0.1"), "Line 2 decides: allow subnet=10.0.0.0/8 limit=3."},
		{remote("ann", "pc", "11.0.0.1"), "No rule applies, and beyond the server's own machine nobody gets a seat without one."},
	} {
		if d := r.Decide(tt.who, "CAD"); d.Why != tt.want {
			t.Errorf("says %q, want %q", d.Why, tt.want)
		}
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"permit user=ann":                        `"permit"`,
		"allow ann":                              "name=value",
		"allow user=":                            "empty",
		"allow user=\"\"":                        "empty",
		"allow user=ann user=bob":                "twice",
		"allow usr=ann":                          "none of user, host, group",
		"allow subnet=10.1.2.3/16":               "10.1.0.0/16 is meant",
		"allow subnet=here":                      "no subnet",
		"allow subnet=::ffff:10.0.0.0/104":       "as IPv4",
		"allow limit=0":                          "1 or more",
		"allow limit=+5":                         "1 or more",
		"allow reserve=many":                     "1 or more",
		"allow borrow=soon":                      "not a duration",
		"allow borrow=0s":                        "borrow=no",
		"allow transfer=maybe":                   "yes or no",
		"deny limit=5":                           "for allow only",
		"allow user=\"ann":                       "quotation mark",
		"allow user=\"a\"b":                      "separated",
		"allow user=a\"b\"":                      "inside",
		"allow user=a\x07":                       "printed",
		"allow user=\xff":                        "UTF-8",
		"allow user=" + strings.Repeat("a", 256): "longer than 255",
		strings.Repeat("allow\n", 1001):          "1000",
		strings.Repeat("#", 256<<10+1):           "KiB",
	} {
		_, err := seats.ParseRules("# first\n" + text)
		r, ok := refusal.As(err)
		if !ok || r.Code != refusal.InvalidInput || !strings.Contains(r.Message, says) {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		if line, ok := r.Details["line"]; ok && line != 2 {
			t.Errorf("%.40q: line %v", text, line)
		}
	}
}

// TestLimitsAndReserves: seats by rule, each holder's sessions and loans together.
func TestLimitsAndReserves(t *testing.T) {
	ann, bob, eve := remote("ann", "a", "10.0.0.1"), remote("bob", "b", "10.0.0.2"), remote("eve", "e", "10.0.0.3")
	t.Run("limit", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(5, 5)).rule("allow user=* limit=2\nallow user=eve")
		g := b.got(ann)
		w := loan("n1", hour)
		w.Client = bob.Client
		b.lent("laptop", w, bob)
		r := b.refused(refusal.NoSeatFree, bob)
		if r.Details["limit"] != int64(2) || r.Details["line"] != 1 {
			t.Errorf("%v", r.Details)
		}
		w.Nonce = "n2"
		b.isRefusal(b.lend("laptop", w, bob).Refused, refusal.NoSeatFree)
		b.got(eve)
		b.restart()
		b.refused(refusal.NoSeatFree, bob)
		b.release(g)
		b.got(bob)
		b.rule("allow user=* limit=3")
		b.refused(refusal.NoSeatFree, bob)
		b.rule("allow user=* limit=4")
		b.got(bob)
	})
	t.Run("limit by station", func(t *testing.T) {
		src := source(5)
		src.Terms.Counting = "station"
		b := newBench(t, seats.Limits{}, src).rule("allow limit=1")
		g, h := b.got(ann), b.got(ann)
		b.refused(refusal.NoSeatFree, bob)
		b.release(g)
		b.refused(refusal.NoSeatFree, bob)
		b.release(h)
		b.got(bob)
	})
	t.Run("limit where nothing is counted", func(t *testing.T) {
		src := source(1)
		src.Terms.Counting = "unlimited"
		b := newBench(t, seats.Limits{}, src).rule("allow limit=2")
		b.got(ann)
		b.got(bob)
		b.refused(refusal.NoSeatFree, eve)
	})
	t.Run("reserve", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(3, 3)).rule("allow user=*\nallow user=eve product=C* reserve=2\nallow user=ann")
		g := b.got(ann)
		r := b.refused(refusal.NoSeatFree, bob)
		if r.Details["reserved"] != int64(2) {
			t.Errorf("%v", r.Details)
		}
		w := loan("n1", hour)
		w.Client = bob.Client
		b.isRefusal(b.lend("laptop", w, bob).Refused, refusal.NoSeatFree)
		b.got(eve)
		b.refused(refusal.NoSeatFree, ann)
		b.release(g)
		b.got(bob)
		b.refused(refusal.NoSeatFree, bob)
		b.got(eve)
		b.refused(refusal.NoSeatFree, eve)
	})
	t.Run("what is free", func(t *testing.T) {
		b := newBench(t, seats.Limits{}, lendable(5, 1)).rule("allow user=ann limit=2 borrow=1d\nallow user=bob borrow=no")
		for _, tt := range []struct {
			who    seats.Caller
			free   int64
			borrow bool
		}{{ann, 2, true}, {bob, 5, false}} {
			v := b.e.Products(b.now, tt.who, vendor)
			if len(v) != 1 || v[0].Free != tt.free || v[0].Borrow != tt.borrow || v[0].Seats != 5 || v[0].Code != refusal.Valid {
				t.Errorf("%+v", v)
			}
		}
		if v := b.e.Products(b.now, ann, ""); v[0].Longest != day {
			t.Errorf("%+v", v)
		}
		if v := b.e.Products(b.now, eve, ""); len(v) != 0 {
			t.Errorf("%+v", v)
		}
	})
}

// TestRulesReadAsWritten: what String writes is read as the same rules.
func TestRulesReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zA-Z*.-]{1,6}|"[a-z #=*]{1,6}"`)
		condition := rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"user", "host", "group", "product"}).Draw(t, "name") + "=" + word.Draw(t, "value")
		})
		var lines []string
		for range rapid.IntRange(0, 5).Draw(t, "rules") {
			verb := rapid.SampledFrom([]string{"allow", "deny"}).Draw(t, "verb")
			more := rapid.SliceOfNDistinct(condition, 0, 4, func(s string) string { n, _, _ := strings.Cut(s, "="); return n }).Draw(t, "conditions")
			if verb == "allow" {
				more = append(more, rapid.SampledFrom([][]string{nil, {"limit=3"}, {"reserve=2", "borrow=5d"}, {"subnet=10.0.0.0/8", "transfer=yes"}}).Draw(t, "options")...)
			}
			lines = append(lines, strings.Join(append([]string{verb}, more...), rapid.SampledFrom([]string{" ", "   ", "\t"}).Draw(t, "space"))+rapid.SampledFrom([]string{"", " # remark", "\r"}).Draw(t, "tail"))
		}
		r, err := seats.ParseRules(strings.Join(lines, "\n"))
		if err != nil {
			t.Fatalf("%q: %v", lines, err)
		}
		again, err := seats.ParseRules(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q: %v, %q", r, err, again)
		}
		who := remote(word.Draw(t, "user"), word.Draw(t, "host"), "10.0.0.1")
		who.Client.Groups = rapid.SliceOf(word).Draw(t, "groups")
		a, b := r.Decide(who, "CAD"), again.Decide(who, "CAD")
		if a.Allow != b.Allow || a.Rule != b.Rule || a.Limit != b.Limit {
			t.Fatalf("%+v, then %+v", a, b)
		}
	})
}

// TestMatches compares the pattern matcher with the plainest one there is.
func TestMatches(t *testing.T) {
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return slow(p[1:], s) || s != "" && slow(p, s[1:])
		}
		return s != "" && p[0] == s[0] && slow(p[1:], s[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab*]{1,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		r, err := seats.ParseRules("allow user=" + p)
		if err != nil {
			t.Fatal(err)
		}
		who := remote(s, "h", "10.0.0.1")
		if got := r.Decide(who, "CAD").Allow; got != slow(p, s) {
			t.Fatalf("%q matches %q: %v", p, s, got)
		}
	})
}

// FuzzRules: whatever is read is written so that it reads the same, and decides
// the same.
func FuzzRules(f *testing.F) {
	for _, s := range []string{
		"", "# remark\n\nallow\n", "allow host=cad-* product=CAD-PRO limit=5\ndeny user=guest",
		"allow group=\"Test lab\" reserve=2 borrow=7d transfer=yes", "deny subnet=10.0.0.0/8", "allow subnet=::1 borrow=no",
		"allow user=\"a", "allow user==", "permit", "allow user=*****a", "allow user=\u0130", "allow limit=99999999999999999999",
	} {
		f.Add(s)
	}
	who := remote("ann", "cad-07", "10.1.2.3")
	who.Client.Groups = []string{"test lab"}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := seats.ParseRules(text)
		if err != nil {
			if !refusal.Is(err, refusal.InvalidInput) {
				t.Fatal(err)
			}
			return
		}
		again, err := seats.ParseRules(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q: %v", r, err)
		}
		a, b := r.Decide(who, "CAD"), again.Decide(who, "CAD")
		a.Line, b.Line, a.Why, b.Why = 0, 0, "", ""
		if !slices.Equal([]any{a}, []any{b}) {
			t.Fatalf("%+v, then %+v", a, b)
		}
	})
}
