package sdk

import (
	"sync"
	"time"

	"licet/license"
)

// clock reckons the session's time: the computer's clock, which may be set, and
// the time that certainly went by, which may not.
type clock struct {
	wall    func() time.Time
	elapsed func() time.Duration // since some moment, whatever the wall clock does

	mu   sync.Mutex    // guards what follows
	time license.Time  // the session's time at the last look
	at   time.Duration // elapsed then
}

func newClock(wall func() time.Time, elapsed func() time.Duration) *clock {
	return &clock{wall: wall, elapsed: elapsed, time: license.At(wall()), at: elapsed()}
}

// now is the session's time; it never goes back. behind is by how much the
// computer's clock is.
func (c *clock) now() (now license.Time, behind time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	went, wall := (c.elapsed() - c.at).Truncate(time.Microsecond), license.At(c.wall())
	c.time = max(wall, c.time.Add(went))
	c.at += went // what is left counts the next time
	return c.time, time.Duration(c.time-wall) * time.Microsecond
}

// correct sets the session's time to the computer's again, but not below a
// signed time that is new to the session.
func (c *clock) correct(signed license.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.elapsed()
	c.time = max(license.At(c.wall()), signed)
}
