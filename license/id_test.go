package license

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsSortAsMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ids IDs
		now := time.UnixMilli(1_700_000_000_000)
		last := ""
		for range rapid.IntRange(1, 200).Draw(t, "ids") {
			now = now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "clock")) * time.Millisecond)
			var random [6]byte
			copy(random[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "random"))
			id := ids.New("lic", now, random)
			if id <= last {
				t.Fatalf("%s made after %s", id, last)
			}
			last = id
		}
	})
}

func TestIDsCountOverflow(t *testing.T) {
	var ids IDs
	now := time.UnixMilli(1_700_000_000_000)
	last := ""
	for range 1<<16 + 10 {
		id := ids.New("lic", now, [6]byte{})
		if id <= last {
			t.Fatalf("%s made after %s", id, last)
		}
		last = id
	}
}
