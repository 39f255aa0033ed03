package seal

import (
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// TestReadable: what readable lets pass, decode reads, whatever texts, lists and
// facts a document holds; and it lets an ordinary one pass.
func TestReadable(t *testing.T) {
	text := rapid.OneOf(rapid.StringN(0, 8, 30), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }))
	texts := rapid.SliceOfN(text, 0, 4)
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 40)
	number := rapid.OneOf(rapid.Uint64Max(300), rapid.Uint64())
	var any0 = rapid.OneOf(rapid.Just[any](nil), rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(number, func(n uint64) any { return n }), rapid.Just[any](true), rapid.Just[any](1.5), rapid.Just[any](license.ID("lic")),
		rapid.Just[any](container.Op{}), rapid.Just[any]([]string{"a"}), rapid.Just[any](map[string]any{"a": "b"}))
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		body := container.Body{License: license.ID(text.Draw(t, "id")), Generation: license.Generation(number.Draw(t, "generation")),
			ContainerKey: bytes.Draw(t, "key"), Name: text.Draw(t, "name"), Features: texts.Draw(t, "features"),
			Activated: license.Time(rapid.Int64().Draw(t, "activated")), Terms: license.Terms{Seats: rapid.Int64().Draw(t, "seats"), VendorData: text.Draw(t, "data")}}
		if b := must(write("license", MaxBody, body)); readable(b) {
			passed++
			if _, err := DecodeBody(b); err != nil {
				t.Fatalf("%x: %v", b, err)
			}
		}
		step := container.Step{Number: number.Draw(t, "number"), Ops: []container.Op{{Kind: container.Put, Phase: container.Activate, Product: text.Draw(t, "product")}}}
		if b := EncodeStep(&step); readable(b) && goodOps(step.Ops) {
			if _, err := DecodeStep(b); err != nil {
				t.Fatalf("%x: %v", b, err)
			}
		}
		u := container.Update{Challenge: bytes.Draw(t, "challenge"), Keys: rapid.SliceOfN(bytes, 0, 3).Draw(t, "keys"),
			Outcomes: []container.Outcome{{Wish: text.Draw(t, "wish"), Code: refusal.Done, Details: rapid.MapOfN(text, any0, 0, 3).Draw(t, "details")}}}
		if b, err := write("update", MaxUpdate, u); err == nil && readable(b) && simple(u.Outcomes[0].Details) {
			if _, err := decodeUpdate(b); err != nil {
				t.Fatalf("%x: %v", b, err)
			}
		}
	})
	if passed == 0 {
		t.Error("no body passed")
	}
}

// TestReadableBounds: what is beyond the bounds of decode does not pass.
func TestReadableBounds(t *testing.T) {
	deep := []byte{0x01}
	for range maxNesting + 1 {
		deep = append([]byte{0x81}, deep...)
	}
	wide := appendHead(nil, cborArray, maxElements+1)
	for range maxElements + 1 {
		wide = append(wide, 0x01)
	}
	pairs := appendHead(nil, cborMap, maxPairs+1)
	for i := range maxPairs + 1 {
		pairs = append(appendInt(pairs, int64(i)), 0x01)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "two items": {1, 1}, "no UTF-8": {0x61, 0xff}, "cut text": {0x62, 'a'}, "cut head": {0x19, 1}, "indefinite": {0x9f, 0xff},
		"tag": {0xc1, 1}, "float": {0xf9, 0, 0}, "null": {0xf6}, "large": {0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0}, "deep": deep, "wide": wide, "pairs": pairs,
	} {
		if readable(b) {
			t.Errorf("%s passes", name)
		}
	}
	for _, b := range [][]byte{{1}, {0x20}, {0x41, 0xff}, {0x61, 'a'}, {0x82, 1, 0x80}, {0xa1, 1, 0xf5}} {
		if !readable(b) {
			t.Errorf("%x does not pass", b)
		}
	}
}
