package sdk

import (
	"testing"
	"time"

	"licet/license"
)

func TestClockNeverGoesBack(t *testing.T) {
	wall, elapsed := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC), time.Duration(0)
	c := newClock(func() time.Time { return wall }, func() time.Duration { return elapsed })
	at := func(text string, late time.Duration) {
		t.Helper()
		want, err := license.ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		if now, behind := c.now(); now != want || behind != late {
			t.Errorf("got %s, behind by %s; want %s, %s", now, behind, want, late)
		}
	}
	at("2027-01-01T12:00:00Z", 0)

	// Both go on.
	wall, elapsed = wall.Add(time.Hour), elapsed+time.Hour
	at("2027-01-01T13:00:00Z", 0)

	// The computer slept: only its clock went on.
	wall = wall.Add(time.Hour)
	at("2027-01-01T14:00:00Z", 0)

	// The clock is set back, and an hour goes by.
	wall, elapsed = wall.Add(-24*time.Hour), elapsed+time.Hour
	at("2027-01-01T15:00:00Z", 25*time.Hour)

	// A signed time corrects it, but not below itself.
	wall = time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC)
	c.correct(license.At(wall.Add(time.Minute)))
	at("2027-01-01T09:01:00Z", time.Minute)
}
