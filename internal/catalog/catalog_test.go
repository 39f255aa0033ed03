package catalog_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licet/internal/catalog"
	"licet/license"
	"licet/refusal"
)

const day = license.Day

func mustParse(t *testing.T, text string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// found is what is wrong with an input, as people read it.
func found(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	r, ok := refusal.As(err)
	if !ok || r.Code != refusal.InvalidInput {
		t.Fatalf("not refused as invalid input: %v", err)
	}
	var lines []string
	for _, p := range r.Details["problems"].([]catalog.Problem) {
		if !strings.Contains(r.Message, p.String()) {
			t.Errorf("the message does not tell %q:\n%s", p, r.Message)
		}
		lines = append(lines, p.String())
	}
	return lines
}

// The example of the contract parses, and its JSON has the keys of the file.
func TestContract(t *testing.T) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/contract.json")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(data))
	got, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Error(diff)
	}
	var back catalog.Catalog
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, &back); diff != "" {
		t.Error(diff)
	}
}

// Code, name and model are enough; the model gives the rest.
func TestTheLeast(t *testing.T) {
	for _, m := range license.Models {
		c := mustParse(t, "products: [{code: A, name: Product A, model: "+string(m)+"}]")
		want := m.Preset()
		want.Code, want.Name = "A", "Product A"
		if diff := cmp.Diff(&catalog.Catalog{Categories: []catalog.Category{}, Products: []license.Product{want}, Bundles: []license.Bundle{}}, c); diff != "" {
			t.Errorf("%s: %s", m, diff)
		}
	}
}

// An end that is given takes the place of the model's, in either spelling.
func TestEnds(t *testing.T) {
	date, err := license.ParseTime("2027-06-30")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		terms string
		at    license.Time
		in    license.Duration
	}{
		{"{}", 0, 30 * day},
		{"{expires_in: 7d}", 0, 7 * day},
		{"{expires_in: 0s}", 0, 0},
		{"{expires_at: 2027-06-30}", date, 0},
		{"{expires_at: 2027-06-30T02:00:00+02:00}", date, 0},
		{"{expires_at: \"2027-06-30\", expires_in: 7d}", date, 7 * day},
	}
	for _, tt := range tests {
		c := mustParse(t, "products: [{code: A, name: A, model: demo, terms: "+tt.terms+"}]")
		if got := c.Products[0].Terms; got.ExpiresAt != tt.at || got.ExpiresIn != tt.in {
			t.Errorf("%s: expires at %q, in %s", tt.terms, got.ExpiresAt, got.ExpiresIn)
		}
	}
}

// product is a file with one product whose keys after line 4 are given.
func product(model string, keys ...string) string {
	return "products:\n- code: A\n  name: A\n  model: " + model + "\n  " + strings.Join(keys, "\n  ")
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"empty", "", []string{"line 1: the file is empty"}},
		{"no mapping", "- a", []string{"line 1: the catalog must be a mapping of keys to values, not a list"}},
		{"nothing", "# nothing\n", []string{"line 1: the file is empty"}},
		{"not YAML", "products:\n  - {", []string{"line 2: not YAML: did not find expected node content"}},
		{"two documents", "products: []\n---\nproducts: []", []string{"line 2: a second YAML document begins; one is all there may be"}},
		{"alias", "products: &p []\ncategories: *p", []string{"line 2: categories must be a list, not an alias, which a catalog may not use"}},
		{"merge", product("demo", "<<: {name: B}"), []string{`line 5: unknown key "<<"`}},

		{"unknown key", product("demo", "featrues: [a]"), []string{`line 5: unknown key "featrues"; did you mean "features"?`}},
		{"unknown key, none near", product("demo", "weight: 3"), []string{`line 5: unknown key "weight"`}},
		{"unknown key of terms", product("demo", "terms:", "  borow: {}"), []string{`line 6: unknown key "borow"; did you mean "borrow"?`}},
		{"unknown key of borrow", product("demo", "terms:", "  borrow: {maxx: 7d, seats: 1}"),
			[]string{`line 6: unknown key "maxx"; did you mean "max"?`, `line 6: borrow needs both max and seats`}},
		{"unknown key of restore", product("demo", "restore:", "  lisense: {}"), []string{`line 6: unknown key "lisense"; did you mean "license"?`}},
		{"unknown key of restore.license", product("demo", "restore:", "  license:", "    value_limits: 1"), []string{`line 7: unknown key "value_limits"; did you mean "value_limit"?`}},
		{"unknown key of restore.container", product("demo", "restore:", "  container:", "    damagd: never"), []string{`line 7: unknown key "damagd"; did you mean "damaged"?`}},
		{"unknown key next to restore's", product("demo", "restore:", "  self_servise: true"), []string{`line 6: unknown key "self_servise"; did you mean "self_service"?`}},
		{"unknown kind of restore", product("demo", "restore:", "  kinds:", "    tokn: never"), []string{`line 7: unknown key "tokn"; did you mean "token"?`}},
		{"unknown mode of a kind", product("demo", "restore:", "  kinds:", "    token: nevr"), []string{`line 7: unknown mode "nevr", allowed are never, automatic, manual, hybrid; did you mean "never"?`}},
		{"customers no mapping", product("demo", "restore: {license: {customers: [Ada]}}"), []string{"line 5: restore.license.customers must be a mapping of names to values, not a list"}},
		{"customer twice", product("demo", "restore:", "  license:", "    customers:", "      Ada: manual", "      Ada: never"), []string{`line 9: key "Ada" is there already, on line 8`}},
		{"customer without a name", product("demo", `restore: {license: {customers: {"": manual}}}`), []string{"line 5: a name in restore.license.customers: the text is empty"}},
		{"customer with a number for a name", product("demo", "restore: {license: {customers: {7: manual}}}"), []string{`line 5: a name in restore.license.customers must be text, not "7"; put it in quotes`}},
		{"customer with an unknown mode", product("demo", "restore: {license: {customers: {Ada: ever}}}"), []string{`line 5: unknown mode "ever", allowed are never, automatic, manual, hybrid; did you mean "never"?`}},
		{"unknown stop", product("demo", "restore: {stop: blok}"), []string{`line 5: unknown stop "blok", allowed are withdraw, block, return; did you mean "block"?`}},
		{"unknown found", product("demo", "restore: {found: alive}"), []string{`line 5: unknown found "alive", allowed are withdrawn, blocked, revived`}},
		{"self-service no boolean", product("demo", "restore: {self_service: no}"), []string{`line 5: self_service must be true or false, not "no"`}},
		{"value negative", product("demo", "value: -1"), []string{`line 5: value: "-1" is not a whole number; write digits only`}},
		{"value no number", product("demo", "value: 9.99"), []string{`line 5: value must be a whole number, not "9.99"`}},
		{"number as key", "1: 2", []string{`line 1: unknown key "1"`}},
		{"key twice", product("demo", "name: B"), []string{`line 5: key "name" is there already, on line 3`}},
		{"required missing", "products:\n- category: a", []string{
			"line 2: product has no code", "line 2: product has no name", "line 2: product has no model"}},

		{"unknown model", product("perpetual"), []string{`line 4: unknown model "perpetual", allowed are perpetual_single, perpetual_multi, subscription_single, subscription_multi, demo, prepaid, nfr`}},
		{"misspelled model", product("dmeo"), []string{`line 4: unknown model "dmeo", allowed are perpetual_single, perpetual_multi, subscription_single, subscription_multi, demo, prepaid, nfr; did you mean "demo"?`}},
		{"unknown binding", product("demo", "binding: thight"), []string{`line 5: unknown binding "thight", allowed are loose, medium, tight; did you mean "tight"?`}},
		{"unknown container", product("demo", "containers: [mashine]"), []string{`line 5: unknown container "mashine", allowed are machine, token, cloud; did you mean "machine"?`}},
		{"no container", product("demo", "containers: []"), []string{"line 5: containers is empty: the product could never be activated"}},
		{"container twice", product("demo", "containers: [cloud, cloud]"), []string{`line 5: container "cloud" is listed twice`}},
		{"unknown restore mode", product("demo", "restore: {license: {mode: auto}}"), []string{`line 5: unknown mode "auto", allowed are never, automatic, manual, hybrid`}},

		{"features no list", product("demo", "features: render"), []string{`line 5: features must be a list, not "render"`}},
		{"features nothing", product("demo", "features:"), []string{"line 5: features must be a list, not nothing"}},
		{"feature twice", product("demo", "features: [a, a]"), []string{`line 5: features: "a" is listed twice`}},
		{"feature no code", product("demo", `features: ["a+b"]`), []string{`line 5: features: "a+b" is not a code; use up to 64 letters, digits, and . _ - inside`}},
		{"name no text", "products: [{code: A, name: 7, model: demo}]", []string{`line 1: name must be text, not "7"; put it in quotes`}},
		{"name empty", `products: [{code: A, name: " ", model: demo}]`, []string{"line 1: name: the text is empty"}},
		{"name with controls", `products: [{code: A, name: "a\eb", model: demo}]`, []string{"line 1: name: the text has characters that cannot be shown"}},
		{"name too long", "products: [{code: A, name: " + strings.Repeat("a", 201) + ", model: demo}]", []string{"line 1: name: the text has 201 bytes; at most 200 are allowed"}},
		{"code too long", "categories: [{code: " + strings.Repeat("a", 65) + ", name: A}]",
			[]string{"line 1: code: \"" + strings.Repeat("a", 64) + "…\" is not a code; use up to 64 letters, digits, and . _ - inside"}},
		{"code no text", "categories: [{code: true, name: A}]", []string{`line 1: code must be a code, not "true"`}},
		{"restore limit", product("demo", "restore: {license: {mode: automatic, automatic: many, per: 1y, wait: []}}"), []string{
			`line 5: automatic must be a whole number, not "many"`,
			`line 5: per: "1y" is not a duration; write a whole number and one unit, s, m, h or d, such as 90s, 12h or 7d`,
			"line 5: wait must be a duration such as 7d, not a list"}},
		{"boolean", product("demo", "deactivation: yes"), []string{`line 5: deactivation must be true or false, not "yes"`}},
		{"seats text", product("demo", `terms: {seats: "1"}`), []string{`line 5: seats must be a whole number, not "1"`}},
		{"seats broken", product("demo", `terms: {seats: 1.5}`), []string{`line 5: seats must be a whole number, not "1.5"`}},
		{"seats negative", product("demo", `terms: {seats: -1}`), []string{`line 5: seats: "-1" is not a whole number; write digits only`}},
		{"seats hexadecimal", product("demo", `terms: {seats: 0x10}`), []string{`line 5: seats: "0x10" is not a whole number; write digits only`}},
		{"seats too many", product("demo", `terms: {seats: 1000001}`), []string{`line 5: seats: 1000001 is more than 1000000`}},
		{"duration without unit", product("demo", `terms: {grace: 7}`), []string{`line 5: grace: "7" is not a duration; write a whole number and one unit, s, m, h or d, such as 90s, 12h or 7d`}},
		{"duration too long", product("demo", `terms: {grace: 36501d}`), []string{`line 5: grace: "36501d" is longer than 36500d`}},
		{"time", product("demo", `terms: {expires_at: tomorrow}`), []string{`line 5: expires_at: "tomorrow" is not a date or time; write a date such as 2027-06-30, which is its first moment in UTC, or RFC 3339 such as 2027-06-30T12:00:00Z`}},
		{"version", product("demo", `terms: {min_version: v4}`), []string{`line 5: min_version: "v4" is not a version; write numbers with dots between them, such as 4.2.1`}},
		{"mapping for a value", product("demo", `terms: {seats: {}}`), []string{`line 5: seats must be a whole number, not a mapping`}},

		{"split of one seat", product("perpetual_single", "split: true"), []string{"line 5: split is true, but model perpetual_single has one seat"}},
		{"split of the whole", product("perpetual_multi", "split: true", "terms: {seats: 5, counting: exclusive}"), []string{"line 5: split is true, but counting is exclusive, so that there are no single seats"}},
		{"split no boolean", product("demo", "split: 2"), []string{`line 5: split must be true or false, not "2"`}},
		{"single with two seats", product("perpetual_single", "terms: {seats: 2}"), []string{"line 5: seats is 2, but model perpetual_single has one seat"}},
		{"unknown counting", product("demo", "terms: {counting: stations}"), []string{`line 5: counting: "stations" is not one of start, station, exclusive, unlimited; did you mean "station"?`}},
		{"counting no text", product("demo", "terms: {counting: 1}"), []string{`line 5: counting must be one of start, station, exclusive, unlimited, not "1"`}},
		{"unknown transfer", product("demo", "terms: {transfer: all}"), []string{`line 5: transfer: "all" is not one of whole, seats, units`}},
		{"transfer of nothing", product("demo", "terms: {transfer: []}"), []string{`line 5: transfer: the list is empty; leave it out to let nothing move`}},
		{"transfer twice", product("demo", "terms: {transfer: [units, units]}"), []string{`line 5: transfer: "units" is listed twice`}},
		{"transfer in two ways", product("demo", "terms: {transfer: [whole, seats]}"), []string{`line 5: transfer: seats move whole or one by one, not both`}},
		{"transfer of a list", product("demo", "terms: {transfer: [[units]]}"), []string{`line 5: transfer must be one of whole, seats, units, or a list of units and one of the others, not a list`}},
		{"transfer of units", product("demo", "terms: {units: 5, transfer: units}"), nil},
		{"transfer of seats and units", product("demo", "terms: {units: 5, seats: 3, transfer: [units, seats]}"), nil},
		{"exclusive, units in parts", product("demo", "terms: {units: 5, counting: exclusive, transfer: [units, whole]}"), nil},
		{"unknown out", product("demo", "terms: {borrow: {max: 1d, seats: 1, out: always}}"), []string{`line 5: borrow.out: "always" is not one of wait, allow`}},
		{"lent into an unknown kind", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: [machine, tokn]}}"), []string{`line 5: borrow.containers: "tokn" is not one of machine, token, cloud; did you mean "token"?`}},
		{"lent into a kind twice", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: [token, token]}}"), []string{`line 5: borrow.containers: "token" is listed twice`}},
		{"lent into no kind", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: []}}"), []string{`line 5: borrow.containers: the list is empty; leave it out to allow every kind`}},
		{"lent into one word", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: machine+token}}"), []string{`line 5: borrow.containers must be a list of words out of machine, token, cloud, not "machine+token"`}},
		{"lent into two kinds in one", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: [machine+token]}}"), []string{`line 5: borrow.containers must be a list of words out of machine, token, cloud, not a list`}},
		{"lent into a list", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: [[token]]}}"), []string{`line 5: borrow.containers must be a list of words out of machine, token, cloud, not a list`}},
		{"lent into what the product does not go into", product("demo", "terms: {borrow: {max: 1d, seats: 1, containers: [machine, cloud]}}", "containers: [machine, token]"),
			[]string{"line 5: borrow.containers has cloud, which is not among the containers of the product"}},
		{"kinds, and nothing lent", product("demo", "terms: {borrow: {containers: [machine]}}"), []string{"line 5: borrow has containers, but no max and seats: nothing could be borrowed"}},
		{"linger no duration", product("demo", "terms: {linger: 5}"), []string{`line 5: linger: "5" is not a duration; write a whole number and one unit, s, m, h or d, such as 90s, 12h or 7d`}},
		{"single, unlimited", product("perpetual_single", "terms: {counting: unlimited}"), []string{"line 5: counting is unlimited, but model perpetual_single has one seat"}},
		{"single, exclusive", product("perpetual_single", "terms: {counting: exclusive}"), []string{"line 5: counting is exclusive, but model perpetual_single has one seat"}},
		{"single, by station", product("perpetual_single", "terms: {counting: station, linger: 90s, transfer: whole}"), nil},
		{"exclusive, lent", product("demo", "terms: {counting: exclusive, borrow: {max: 1d, seats: 1}}"), []string{"line 5: counting is exclusive, so that no single seats can be borrowed"}},
		{"exclusive, moved in parts", product("demo", "terms: {counting: exclusive, transfer: seats}"), []string{"line 5: counting is exclusive, so that seats can only move as a whole"}},
		{"unlimited, moved in parts", product("demo", "terms: {counting: unlimited, transfer: seats}"), []string{"line 5: counting is unlimited, so that seats can only move as a whole"}},
		{"seats for a network", product("demo", "terms: {seats: 10, counting: station, linger: 5m, transfer: seats, borrow: {max: 7d, seats: 3, out: allow, containers: [token, machine]}}"), nil},
		{"expires before valid", product("demo", "terms: {valid_from: 2027-01-02, expires_at: 2027-01-01}"),
			[]string{"line 5: the license would expire (2027-01-01T00:00:00Z) before it is valid (2027-01-02T00:00:00Z)"}},
		{"hybrid without number", product("demo", "restore: {license: {mode: hybrid}}"),
			[]string{"line 5: restore.license: mode hybrid needs automatic, the number of restores that need no approval"}},
		{"container hybrid without number", product("demo", "restore: {container: {damaged: hybrid}}"),
			[]string{"line 5: restore.license: mode hybrid needs automatic, the number of restores that need no approval"}},
		{"customer hybrid without number", product("demo", "restore: {license: {customers: {Ada: hybrid}}}"),
			[]string{"line 5: restore.license: mode hybrid needs automatic, the number of restores that need no approval"}},
		{"limits without effect", product("demo", "restore: {license: {mode: manual, automatic: 1}}"),
			[]string{"line 5: restore.license: automatic, per, wait and value_limit have no effect where no mode is automatic or hybrid"}},
		{"limits for a customer", product("demo", "restore: {license: {wait: 1d, customers: {Ada: automatic}}}"), nil},
		{"limits for a container", product("demo", "restore: {license: {wait: 1d}, container: {same_hardware: automatic}}"), nil},
		{"limits for a kind", product("demo", "restore: {license: {wait: 1d}, kinds: {cloud: automatic}}"), nil},
		{"value limit without value", product("demo", "restore: {license: {mode: automatic, value_limit: 100}}"),
			[]string{"line 5: restore.license: value_limit needs value, what the product is worth"}},
		{"per without number", product("demo", "restore: {license: {mode: automatic, per: 1d}}"),
			[]string{"line 5: restore.license: per needs automatic, the number of restores in that time"}},

		{"product twice", "products:\n- {code: A, name: A, model: demo}\n- {code: A, name: B, model: demo}", []string{`line 3: product "A" is there already, on line 2`}},
		{"category twice", "categories:\n- {code: a, name: A}\n- {code: a, name: B}", []string{`line 3: category "a" is there already, on line 2`}},
		{"unknown category", "categories: [{code: design, name: D}]\n" + product("demo", "category: desing"), []string{`line 6: unknown category "desing"; did you mean "design"?`}},
		{"requires unknown", product("demo", "requires:", "- B"), []string{`line 6: requires the unknown product "B"`}},
		{"requires itself", product("demo", "requires: [A]"), []string{`line 2: product "A" needs itself: A → A`}},
		{"requires in a circle", "products:\n- {code: A, name: A, model: demo, requires: [B]}\n- {code: B, name: B, model: demo, requires: [C]}\n- {code: C, name: C, model: demo, requires: [B]}",
			[]string{`line 3: product "B" needs itself: B → C → B`, `line 4: product "C" needs itself: C → B → C`}},

		{"all at once, by line", product("dmo", "requires: [X]", "terms: {seats: x}", "bindin: tight"), []string{
			`line 4: unknown model "dmo", allowed are perpetual_single, perpetual_multi, subscription_single, subscription_multi, demo, prepaid, nfr; did you mean "demo"?`,
			`line 5: requires the unknown product "X"`,
			`line 6: seats must be a whole number, not "x"`,
			`line 7: unknown key "bindin"; did you mean "binding"?`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := catalog.Parse([]byte(tt.text))
			if diff := cmp.Diff(tt.want, found(t, err)); diff != "" {
				t.Errorf("%s\n%+v", diff, c)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, err := catalog.Parse([]byte("products:\n" + strings.Repeat("- {}\n", 1000)))
	if got := len(found(t, err)); got != 100 {
		t.Errorf("%d problems", got)
	}
	if _, err := catalog.Parse(make([]byte, catalog.MaxSize+1)); !refusal.Is(err, refusal.TooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// A file may refer to what is known, and a circle through it is found.
func TestParseOver(t *testing.T) {
	known := mustParse(t, "categories: [{code: c, name: C}]\nproducts:\n- {code: A, name: A, model: demo}\n- {code: B, name: B, model: demo, requires: [A]}")
	tests := []struct {
		text string
		want []string
	}{
		{"products: [{code: D, name: D, model: demo, category: c, requires: [B]}]", nil},
		{"products: [{code: A, name: A, model: demo, requires: [B]}]", []string{`line 1: product "A" needs itself: A → B → A`}},
		{"products:\n- {code: A, name: A, model: demo, requires: [B]}\n- {code: B, name: B, model: demo}", nil},
	}
	for _, tt := range tests {
		_, err := catalog.ParseOver(*known, []byte(tt.text))
		if diff := cmp.Diff(tt.want, found(t, err)); diff != "" {
			t.Errorf("%s\n%s", tt.text, diff)
		}
	}
}

func TestDiff(t *testing.T) {
	old := mustParse(t, "categories: [{code: c, name: C}]\nproducts:\n- {code: A, name: A, model: demo}\n- {code: B, name: B, model: demo}")
	next := mustParse(t, `
categories: [{code: c, name: Cee}]
products:
- {code: B, name: B, model: demo}
- {code: A, name: A, model: nfr, category: c, features: [x, y], terms: {expires_at: 2027-06-30, seats: 5, borrow: {max: 12h, seats: 1, containers: [token, machine]}}}
- {code: D, name: D, model: demo}`)
	want := []string{
		"category c: changed\n" + `  name: "C" → "Cee"`,
		"product B: unchanged",
		`product A: changed
  category: none → "c"
  model: demo → nfr
  features: [] → [x, y]
  deactivation: false → true
  split: false → true
  terms.seats: 1 → 5
  terms.expires_at: none → 2027-06-30T00:00:00Z
  terms.expires_in: 30d → none
  terms.borrow.max: none → 12h
  terms.borrow.seats: none → 1
  terms.borrow.containers: none → machine, token
  restore.license.mode: never → manual
  restore.container.same_hardware: never → manual
  restore.container.new_hardware: never → manual
  restore.container.damaged: never → manual`,
		"product D: created",
	}
	var got []string
	for _, c := range catalog.Diff(*old, *next) {
		got = append(got, c.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := next.Category("x"); ok {
		t.Error("found a category that is not there")
	}
	for _, c := range catalog.Diff(*next, *next) {
		if c.Action != catalog.Unchanged {
			t.Errorf("applying twice: %s", c)
		}
	}
}

// The example of the page about the policy parses and uses every key.
func TestRestorePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/restore.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	p := mustParse(t, example).Products[0]
	for _, of := range []any{p.Restore, p.Restore.License, p.Restore.Container} {
		for i := range reflect.TypeOf(of).NumField() {
			key, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(example, " "+key+":") || reflect.ValueOf(of).Field(i).IsZero() {
				t.Errorf("the page does not show %s", key)
			}
		}
	}
}

// Every key of a policy for lost licenses is read, and a change of any is named.
func TestRestore(t *testing.T) {
	old := mustParse(t, "products: [{code: A, name: A, model: demo}]")
	next := mustParse(t, `
products:
- code: A
  name: A
  model: demo
  value: 900
  restore:
    license:
      mode: hybrid
      automatic: 2
      per: 365d
      wait: 30d
      value_limit: 500
      customers: {Zoe: never, "Example Ltd": automatic}
    container: {same_hardware: automatic, new_hardware: manual, damaged: hybrid}
    kinds: {token: never, cloud: automatic}
    self_service: false
    stop: block
    found: revived
    conditions: "It is lost."`)
	want := license.Restore{
		License: license.RestoreLicense{
			Mode: license.RestoreHybrid, Automatic: 2, Per: 365 * day, Wait: 30 * day, ValueLimit: 500,
			Customers: map[string]license.RestoreMode{"Zoe": license.RestoreNever, "Example Ltd": license.RestoreAutomatic},
		},
		Container:   license.RestoreContainer{SameHardware: license.RestoreAutomatic, NewHardware: license.RestoreManual, Damaged: license.RestoreHybrid},
		Kinds:       map[license.Kind]license.RestoreMode{license.Token: license.RestoreNever, license.Cloud: license.RestoreAutomatic},
		SelfService: new(false),
		Stop:        license.StopBlock,
		Found:       license.FoundRevived,
		Conditions:  "It is lost.",
	}
	if diff := cmp.Diff(want, next.Products[0].Restore); diff != "" || next.Products[0].Value != 900 {
		t.Errorf("%s, value %d", diff, next.Products[0].Value)
	}
	changes := `product A: changed
  value: none → 900
  restore.license.mode: never → hybrid
  restore.license.automatic: none → 2
  restore.license.per: none → 365d
  restore.license.wait: none → 30d
  restore.license.value_limit: none → 500
  restore.license.customers: none → {Example Ltd: automatic, Zoe: never}
  restore.container.same_hardware: never → automatic
  restore.container.new_hardware: never → manual
  restore.container.damaged: never → hybrid
  restore.kinds: none → {cloud: automatic, token: never}
  restore.self_service: true → false
  restore.stop: withdraw → block
  restore.found: withdrawn → revived
  restore.conditions: none → "It is lost."`
	if diff := cmp.Diff(changes, catalog.Diff(*old, *next)[0].String()); diff != "" {
		t.Error(diff)
	}
	if got := catalog.Diff(*next, *next)[0]; got.Action != catalog.Unchanged {
		t.Errorf("applied twice: %s", got)
	}
	if old.Products[0].Restore.SelfService == next.Products[0].Restore.SelfService || !*license.Demo.Preset().Restore.SelfService {
		t.Error("a product's switch is another's")
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, seed := range []string{"", "a", "products: [{code: A, name: A, model: demo}]", "a: &a [*a]", "? [a]\n: b", product("demo", "terms: {expires_at: 2027-01-01}"),
		product("demo", "restore: {kinds: {token: never}, license: {customers: {Ada: never}}, self_service: false, found: revived}")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := catalog.Parse(data)
		if err != nil {
			if r, ok := refusal.As(err); !ok || r.Code != refusal.InvalidInput && r.Code != refusal.TooLarge {
				t.Fatalf("not a refusal of the input: %v", err)
			}
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back catalog.Catalog
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, &back); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A bundle names products that there are, as an order does, and a code means one
// thing.
func TestBundles(t *testing.T) {
	c := mustParse(t, `
products:
  - {code: A, name: Product A, model: demo}
  - {code: B, name: Product B, model: demo}
bundles:
  - {code: AB, name: Both, products: [A, B=20, ]}
`)
	b, ok := c.Bundle("AB")
	if diff := cmp.Diff(license.Bundle{Code: "AB", Name: "Both", Products: []string{"A", "B=20"}}, b); !ok || diff != "" {
		t.Error(diff)
	}
	item, err := catalog.ParseItem("AB=3,seats=4")
	if err != nil {
		t.Fatal(err)
	}
	list, err := item.Positions(b)
	if err != nil || len(list) != 2 || list[0].Name() != "AB/A=1,seats=4" || list[0].Quantity != 3 || list[1].Name() != "AB/B=1,seats=4" || list[1].Quantity != 60 {
		t.Errorf("%+v %v", list, err)
	}
	item.Quantity = catalog.MaxQuantity/20 + 1
	if _, err := item.Positions(b); err == nil {
		t.Error("more licenses than an order may have")
	}
	known := *c
	for text, want := range map[string]string{
		"bundles: [{code: A, name: A, products: [B]}]":             `bundle "A" has the code of a product`,
		"bundles: [{code: X, name: X, products: [C]}]":             `unknown product "C"`,
		"bundles: [{code: X, name: X, products: [AB]}]":            `unknown product "AB"`,
		"bundles: [{code: X, name: X, products: []}]":              "1 to 100 products",
		"bundles: [{code: X, name: X, products: [A, A=2]}]":        "listed twice",
		"bundles: [{code: X, name: X, products: [\"A,seats=2\"]}]": "must be a product's code",
		"bundles: [{code: X, name: X, products: [A=0]}]":           "at least one",
		"bundles: [{code: X, name: X}]":                            "products",
		"products: [{code: AB, name: A, model: demo}]":             `product "AB" has the code of a bundle`,
	} {
		if _, err := catalog.ParseOver(known, []byte(text)); !strings.Contains(strings.Join(found(t, err), "\n"), want) {
			t.Errorf("%s: %v does not tell %q", text, err, want)
		}
	}
}
