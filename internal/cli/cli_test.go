package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"licet/license"
	"licet/refusal"
)

// sample is a small tree with one command of each ending.
func sample() *cobra.Command {
	root := &cobra.Command{Use: "prog", Short: "A sample."}
	show := &cobra.Command{Use: "show NAME", Short: "Show one.", Args: Args("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		color, _ := cmd.Flags().GetString("color")
		return Print(cmd, map[string]string{"name": args[0], "color": color}, func(p *Page) {
			p.Title("%s", args[0])
			p.Field("color", "%s", color)
			p.Field("a longer name", "x")
		})
	}}
	show.Flags().String("color", "red", "what it looks like")
	need := &cobra.Command{Use: "need", RunE: func(*cobra.Command, []string) error { return nil }}
	need.Flags().Int("count", 0, "how many")
	_ = need.MarkFlagRequired("count")
	thing := &cobra.Command{Use: "thing"}
	thing.AddCommand(show, need)
	root.AddCommand(thing,
		&cobra.Command{Use: "refuse", RunE: func(*cobra.Command, []string) error {
			return refusal.New(refusal.NoLicense, "There is none.").With("product", "CAD")
		}},
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return errors.New("disk on fire") }},
		&cobra.Command{Use: "seven", RunE: func(*cobra.Command, []string) error { return Exit(7) }},
	)
	return root
}

func run(env map[string]string, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	status := Main(context.Background(), sample(), args, Streams{
		In: strings.NewReader(""), Out: &out, Err: &errs,
		Getenv: func(name string) string { return env[name] },
	})
	return status, out.String(), errs.String()
}

func TestStatusAndErrors(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stderr string // the whole of it
	}{
		{"thing show x", 0, ""},
		{"refuse", 1, "Error: There is none.\nHint: Activate a ticket: licet activate TICKET.\n"},
		{"fail", 1, "Error: Disk on fire.\nHint: " + refusal.Lookup(refusal.Internal).Hint + "\n"},
		{"seven", 7, ""},
		{"shew", 2, "Error: prog has no command \"shew\".\nHint: prog --help shows how.\n"},
		{"thing shew", 2, "Error: prog thing has no command \"shew\"; did you mean \"show\"?\nHint: prog thing --help shows how.\n"},
		{"thing", 2, "Error: prog thing needs one of its commands: need, show.\nHint: prog thing --help shows how.\n"},
		{"thing show", 2, "Error: prog thing show needs NAME.\nHint: prog thing show --help shows how.\n"},
		{"thing show a b", 2, "Error: prog thing show does not know what to do with \"b\".\nHint: prog thing show --help shows how.\n"},
		{"thing show a --colr red", 2, "Error: Unknown flag: --colr.\nHint: prog thing show --help shows how.\n"},
		{"thing need", 2, "Error: prog thing need needs --count.\nHint: prog thing need --help shows how.\n"},
		{"thing need --count many", 2, "Error: Invalid argument \"many\" for \"--count\" flag: strconv.ParseInt: parsing \"many\": invalid syntax.\nHint: prog thing need --help shows how.\n"},
		{"fail extra", 2, "Error: prog fail takes no arguments, but got \"extra\".\nHint: prog fail --help shows how.\n"},
	} {
		status, _, stderr := run(nil, strings.Fields(c.args)...)
		if status != c.status || stderr != c.stderr {
			t.Errorf("%s: status %d and %q, want %d and %q", c.args, status, stderr, c.status, c.stderr)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		code   refusal.Code
	}{
		{"refuse --json", 1, refusal.NoLicense},
		{"fail --json", 1, refusal.Internal},
		{"thing show --bogus --json", 2, refusal.InvalidInput},
		{"--json nothing", 2, refusal.InvalidInput},
	} {
		status, out, stderr := run(nil, strings.Fields(c.args)...)
		var got struct{ Error Error }
		if err := json.Unmarshal([]byte(stderr), &got); err != nil {
			t.Fatalf("%s: %v in %q", c.args, err, stderr)
		}
		if status != c.status || got.Error.Code != c.code || got.Error.Message == "" || got.Error.Hint == "" || out != "" {
			t.Errorf("%s: %d %+v, standard output %q", c.args, status, got, out)
		}
	}
}

func TestJSONIsOneDocument(t *testing.T) {
	_, out, _ := run(nil, "thing", "show", "x", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || got["name"] != "x" {
		t.Errorf("%q: %v", out, err)
	}
}

func TestEnvironmentStandsInForFlags(t *testing.T) {
	env := map[string]string{"LICET_COLOR": "blue"}
	if _, out, _ := run(env, "thing", "show", "x"); !strings.Contains(out, "color          blue\n") {
		t.Errorf("from the environment: %q", out)
	}
	if _, out, _ := run(env, "thing", "show", "x", "--color", "green"); !strings.Contains(out, "green") {
		t.Errorf("the flag goes first: %q", out)
	}
	if status, _, stderr := run(map[string]string{"LICET_COUNT": "3"}, "thing", "need"); status != 0 {
		t.Errorf("a required flag from the environment: %d %q", status, stderr)
	}
	if status, _, stderr := run(map[string]string{"LICET_COUNT": "x"}, "thing", "need"); status != 2 || !strings.Contains(stderr, "LICET_COUNT") {
		t.Errorf("a bad value: %d %q", status, stderr)
	}
	if _, _, stderr := run(map[string]string{"LICET_JSON": "true"}, "refuse"); !strings.HasPrefix(stderr, "{") {
		t.Errorf("LICET_JSON: %q", stderr)
	}
}

func TestHelpNamesTheVariables(t *testing.T) {
	status, out, _ := run(nil, "thing", "show", "--help")
	if status != 0 || !strings.Contains(out, "[$LICET_COLOR]") || !strings.Contains(out, "[$LICET_JSON]") {
		t.Errorf("%d %s", status, out)
	}
}

func TestPageIsPlainInAPipeAndKeepsControlCharactersOut(t *testing.T) {
	p := &Page{}
	p.Title("Licenses")
	p.Field("name", "%s", "Ada\x1b[31m\u202eMiller")
	p.Table("None.", []string{"ID", "PRODUCT"}, [][]string{{"a", "CAD\nPRO"}, {"long id", "ü"}})
	p.Next("do it")
	var b bytes.Buffer
	if err := p.writeTo(&b); err != nil {
		t.Fatal(err)
	}
	want := "Licenses\nname  Ada[31mMiller\nID       PRODUCT\na        CAD PRO\nlong id  ü\n\nNext:\n  do it\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}

func TestWhen(t *testing.T) {
	now := time.Date(2026, 10, 19, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "now"}, {time.Second, "in 1 second"}, {-90 * time.Second, "1 minute ago"},
		{3 * 24 * time.Hour, "in 3 days"}, {-25 * time.Hour, "1 day ago"},
		{400 * 24 * time.Hour, "in 400 days"}, {800 * 24 * time.Hour, "in 2 years"},
	} {
		if got := Ago(license.At(now.Add(c.d)), now); got != c.want {
			t.Errorf("%v: %q, want %q", c.d, got, c.want)
		}
	}
	if got := When(license.At(now), now); got != "2026-10-19T12:00:00Z (now)" {
		t.Error(got)
	}
	if When(0, now) != "" {
		t.Error("no moment must be empty")
	}
}
