package webhook

import (
	"net/http"
	"strconv"
	"time"
)

const (
	firstDelay = 5 * time.Second
	maxDelay   = 12 * time.Hour
	maxHold    = 15 * time.Minute
	// maxAsked is the longest that a receiver can have its messages wait.
	maxAsked = 24 * time.Hour

	// HoldAfter is how many failures in a row make a receiver count as down: then one
	// message at a time is tried until something gets through.
	HoldAfter = 3
	// GiveUpAfter is how long one event is tried that does not get through while
	// others do.
	GiveUpAfter = 3 * 24 * time.Hour
	// StopAfter is how long nothing may get through before sending is stopped.
	StopAfter = 5 * 24 * time.Hour
)

// Delay is how long a message waits for its next try after so many failed ones: 5
// seconds, doubled each time, 12 hours at most, and a fifth less or more. Random is
// in [0, 1).
func Delay(failed int64, random float64) time.Duration {
	return jitter(doubled(failed-1, maxDelay), random)
}

// Hold is how long nothing at all is sent to a receiver after so many failures in a
// row.
func Hold(failures int64, random float64) time.Duration {
	if failures < HoldAfter {
		return 0
	}
	return jitter(doubled(failures-HoldAfter, maxHold), random)
}

func doubled(times int64, most time.Duration) time.Duration {
	if times > 20 {
		return most
	}
	return min(firstDelay<<max(times, 0), most)
}

func jitter(d time.Duration, random float64) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*random))
}

// Outcome is what an answer means for a message.
type Outcome int

// The outcomes.
const (
	Failed    Outcome = iota // to be tried again
	Delivered                // 2xx
	Gone                     // 410: the receiver wants nothing more
)

// OutcomeOf is what a status of HTTP means, 0 for no answer.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Delivered
	case status == http.StatusGone:
		return Gone
	}
	return Failed
}

// RetryAfter is how long the receiver asks to be left alone by a header of that
// name: seconds or a date, a day at most. Only the answers 429 and 503 have a say.
func RetryAfter(status int, header string, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxAsked)
}
