package sdktest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that stands still until it is moved.
type Clock struct{ micro atomic.Int64 }

func newClock() *Clock {
	c := &Clock{}
	c.Set(Start)
	return c
}

// Now is the clock's time.
func (c *Clock) Now() time.Time { return time.UnixMicro(c.micro.Load()).UTC() }

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) { c.micro.Add(d.Microseconds()) }

// Set puts the clock to a time, which may be an earlier one.
func (c *Clock) Set(t time.Time) { c.micro.Store(t.UnixMicro()) }
