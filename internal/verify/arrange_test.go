package verify

import (
	"slices"
	"testing"

	"licet/internal/store"
)

// TestClocksMayDifferALittle: two servers on one database give their events ids
// by their own clocks.
func TestClocksMayDifferALittle(t *testing.T) {
	events := func(times ...int64) (list []store.SubjectEvent) {
		for i, at := range times {
			list = append(list, store.SubjectEvent{ID: string(rune('a' + i)), Time: at})
		}
		return list
	}
	for _, c := range []struct {
		what       string
		given      []store.SubjectEvent
		want, fits []string
	}{
		{"as they came", events(1, 2, 3), []string{"a", "b", "c"}, []string{"a", "b", "c"}},
		{"the clocks differ", events(1, 1+skew, 2+skew), []string{"b", "a", "c"}, []string{"b", "a", "c"}},
		{"too far apart", events(1, 2+skew, 3+skew), []string{"b", "a", "c"}, []string{"c"}},
	} {
		next := 0
		var got, fitted []string
		arrange(c.given, func(e store.SubjectEvent) bool { return next < len(c.want) && e.ID == c.want[next] },
			func(e store.SubjectEvent, fits bool) {
				got = append(got, e.ID)
				if fits {
					fitted = append(fitted, e.ID)
				}
				next++
			})
		if !slices.Equal(fitted, c.fits) || len(got) != 3 {
			t.Errorf("%s: %v, of which fitted %v", c.what, got, fitted)
		}
	}
}
