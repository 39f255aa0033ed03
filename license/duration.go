package license

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"licet/refusal"
)

// Duration is a length of time as vendors write it: a whole number and one
// unit, s, m, h or d (a day is 24 hours), such as "90s", "12h", "365d". It is
// never negative and at most MaxDuration.
type Duration time.Duration

// Day is 24 hours: durations know no calendar.
const Day = Duration(24 * time.Hour)

// MaxDuration is the longest duration there is, 100 years of 365 days, so that
// adding one to a moment stays within Time.
const MaxDuration = 36500 * Day

// durationUnits are the units from the largest to the smallest.
var durationUnits = []struct {
	letter byte
	size   Duration
}{
	{'d', Day},
	{'h', Duration(time.Hour)},
	{'m', Duration(time.Minute)},
	{'s', Duration(time.Second)},
}

// ParseDuration reads a duration, such as "7d"; anything else is refused with
// InvalidInput.
func ParseDuration(text string) (Duration, error) {
	for _, u := range durationUnits {
		digits := len(text) - 1
		if digits < 1 || text[digits] != u.letter {
			continue
		}
		n, ok := wholeNumber(text[:digits])
		if !ok {
			break
		}
		if n > int64(MaxDuration/u.size) {
			return 0, refusal.New(refusal.InvalidInput, "%s is longer than %s.", shorten(text), MaxDuration)
		}
		return Duration(n) * u.size, nil
	}
	return 0, refusal.New(refusal.InvalidInput, "%s is not a duration.", shorten(text)).
		Hinted("Write a whole number and one unit, s, m, h or d, such as 90s, 12h or 7d.")
}

// wholeNumber reads decimal digits and nothing else; a number too large for an
// int64 becomes the largest.
func wholeNumber(digits string) (n int64, ok bool) {
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64, digits != ""
	}
	return n, true
}

// FormatDuration writes d in the largest unit that divides it, so that
// ParseDuration reads the same d; zero is "0s". What is no whole number of
// seconds cannot be written that way and gets Go's spelling.
func FormatDuration(d Duration) string {
	if d < 0 || d%Duration(time.Second) != 0 {
		return d.Go().String()
	}
	for _, u := range durationUnits {
		if d != 0 && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + string(u.letter)
		}
	}
	return "0s"
}

// Go converts to time.Duration.
func (d Duration) Go() time.Duration { return time.Duration(d) }

// String is FormatDuration.
func (d Duration) String() string { return FormatDuration(d) }

// MarshalText writes what UnmarshalText reads; a duration that is negative or
// no whole number of seconds is an error.
func (d Duration) MarshalText() ([]byte, error) {
	text := FormatDuration(d)
	if _, err := ParseDuration(text); err != nil {
		return nil, fmt.Errorf("license: duration %s has no spelling: %w", text, err)
	}
	return []byte(text), nil
}

// UnmarshalText is ParseDuration; the empty text is zero.
func (d *Duration) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	p, err := ParseDuration(string(b))
	if err == nil {
		*d = p
	}
	return err
}

// ParseTime reads a moment as people write it: RFC 3339, or a date, which means
// its first moment in UTC. It lies after 1970-01-01 and before the year 10000;
// anything else is refused with InvalidInput.
func ParseTime(text string) (Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		p, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if p.Unix() <= 0 || p.UTC().Year() > 9999 {
			return 0, refusal.New(refusal.InvalidInput, "%s is not between 1970 and 9999.", shorten(text))
		}
		return At(p), nil
	}
	return 0, refusal.New(refusal.InvalidInput, "%s is not a date or time.", shorten(text)).
		Hinted("Write a date such as 2027-06-30, which is its first moment in UTC, or RFC 3339 such as 2027-06-30T12:00:00Z.")
}
