package verify

import (
	"encoding/hex"
	"encoding/json"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/seal"
)

// TestSharesNoDecoder holds the verifier to what it is for.
func TestSharesNoDecoder(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			for _, shared := range []string{"licet/seal", "licet/container", "licet/license", "licet/internal/registry", "cbor", "go-cose"} {
				if strings.Contains(i.Path.Value, shared) {
					t.Errorf("%s imports %s: a mistake there would not show here", name, i.Path.Value)
				}
			}
		}
	}
}

func TestOneSpellingOfCBOR(t *testing.T) {
	for _, c := range []struct {
		what, hex string
		good      bool
	}{
		{"a number", "17", true}, {"a number of one byte", "1818", true}, {"a number of four bytes", "1a00010000", true},
		{"a negative number", "27", true}, {"bytes", "4101", true}, {"text", "6161", true}, {"an array", "820102", true},
		{"a map", "a2010226f5", true}, {"nothing", "f6", true},
		{"no value", "", false}, {"a byte too many", "1717", false}, {"a number too long", "1817", false},
		{"a number too long by half", "1a00000100", false}, {"bytes cut off", "4201", false}, {"no UTF-8", "61ff", false},
		{"keys in another order", "a2020101f5", false}, {"a key twice", "a201020103", false}, {"bytes as a key", "a1410102", false},
		{"no length", "9f01ff", false}, {"a tag", "c101", false}, {"a float", "fa00000000", false}, {"a huge length", "5bffffffffffffffff", false},
		{"a huge array", "9affffffff", false}, {"a number below all", "3bffffffffffffffff", false}, {"arrays without end", strings.Repeat("81", 40) + "01", false},
	} {
		b, _ := hex.DecodeString(c.hex)
		if v, err := readCBOR(b); (err == nil) != c.good {
			t.Errorf("%s (%s): %v, %v", c.what, c.hex, v, err)
		}
	}
}

func FuzzReadCBOR(f *testing.F) {
	f.Add([]byte{0xa1, 1, 0x82, 1, 0x61, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		readCBOR(b)
		parseDocument(b)
		parseTrust(b)
		parseStep(b)
		parseBody(b)
	})
}

// TestTermsAsTheProductHasThem compares the two spellings of terms, and what the
// first activation makes of them, with the product's own.
func TestTermsAsTheProductHasThem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.Map(rapid.Int64Range(0, 4e15), func(n int64) license.Time { return license.Time(n) })
		span := rapid.Map(rapid.Int64Range(0, 1000), func(n int64) license.Duration { return license.Duration(n) * license.Day / 24 })
		in := license.Terms{Seats: rapid.Int64Range(0, 9).Draw(rt, "seats"), ValidFrom: at.Draw(rt, "from"), ExpiresAt: at.Draw(rt, "at"),
			ExpiresIn: span.Draw(rt, "in"), MaintenanceUntil: at.Draw(rt, "until"), Maintenance: span.Draw(rt, "maintenance"),
			MinVersion: rapid.StringMatching(`[0-9.]{0,5}`).Draw(rt, "version"), CheckIn: span.Draw(rt, "checkin"), Grace: span.Draw(rt, "grace"),
			Units: rapid.Int64Range(0, 9).Draw(rt, "units"), Borrow: license.Borrow{Max: span.Draw(rt, "max"), Seats: rapid.Int64Range(0, 9).Draw(rt, "out"),
				Out: rapid.SampledFrom(append(license.Outs, "")).Draw(rt, "while out")},
			Counting: rapid.SampledFrom(append(license.Countings, "")).Draw(rt, "counting"), Linger: span.Draw(rt, "linger"),
			Transfer:     rapid.SampledFrom(append(license.AllMoves, "")).Draw(rt, "transfer"),
			CustomerText: rapid.String().Draw(rt, "text")}
		activated := at.Draw(rt, "activated")
		read := func(v license.Terms) terms {
			text, err := json.Marshal(v)
			if err != nil {
				rt.Fatal(err)
			}
			out, err := parseTerms(text)
			if err != nil {
				rt.Fatal(err)
			}
			return out
		}
		raw, _, err := seal.EncodeBody(container.Body{Terms: in})
		if err != nil {
			rt.Fatal(err)
		}
		b, err := parseBody(raw)
		if err != nil {
			rt.Fatal(err)
		}
		if is, want := b.terms.differs(read(in)); is != want {
			rt.Errorf("CBOR: %s, JSON: %s", is, want)
		}
		if is, want := read(in).frozen(int64(activated)).differs(read(in.Freeze(activated))); is != want {
			rt.Errorf("frozen here: %s, there: %s", is, want)
		}
	})
}
