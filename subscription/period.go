package subscription

import (
	"strconv"
	"strings"
	"time"

	"licet/license"
	"licet/refusal"
)

// Period is how long one period is: so many months of the calendar, or so many days.
type Period struct{ Months, Days int64 }

// The periods that have names.
var (
	Monthly = Period{Months: 1}
	Yearly  = Period{Months: 12}
)

// MaxDays is the longest period in days.
const MaxDays = 3660

const periodHint = "Write monthly, yearly, or a number of days such as 30d."

// ParsePeriod reads a period: monthly, yearly, or days such as 30d.
func ParsePeriod(text string) (Period, error) {
	switch text {
	case "monthly":
		return Monthly, nil
	case "yearly":
		return Yearly, nil
	}
	digits, days := strings.CutSuffix(text, "d")
	n, err := strconv.ParseInt(digits, 10, 32)
	if !days || err != nil || n < 1 || n > MaxDays || digits != strconv.FormatInt(n, 10) {
		return Period{}, refusal.New(refusal.InvalidInput, "%.40q is no period of a subscription.", text).Hinted("%s", periodHint)
	}
	return Period{Days: n}, nil
}

// String is what ParsePeriod reads; "" for none.
func (p Period) String() string {
	switch {
	case p == Monthly:
		return "monthly"
	case p == Yearly:
		return "yearly"
	case p.Days > 0:
		return strconv.FormatInt(p.Days, 10) + "d"
	}
	return ""
}

// MarshalText is String.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePeriod; the empty text is no period.
func (p *Period) UnmarshalText(b []byte) (err error) {
	if *p = (Period{}); len(b) > 0 {
		*p, err = ParsePeriod(string(b))
	}
	return err
}

// After is the moment n periods after an anchor. Every end is counted from the anchor
// and not from the end before, so that what began on the 31st ends on the 28th of
// February and on the 31st of March: a month that has no such day ends the period
// with its own last one. The time of the day stays.
func (p Period) After(anchor license.Time, n int64) license.Time {
	t := anchor.Go()
	if p.Months == 0 {
		return license.At(t.AddDate(0, 0, int(n*p.Days)))
	}
	year, month, day := t.Date()
	months := int64(month) - 1 + n*p.Months
	year, month = year+int(months/12), time.Month(months%12)+1
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return license.At(time.Date(year, month, min(day, last), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC))
}

// least is the shortest that such a period can be.
func (p Period) least() license.Duration {
	switch {
	case p.Months >= 12:
		return 365 * license.Day * license.Duration(p.Months/12)
	case p.Months > 0:
		return 28 * license.Day * license.Duration(p.Months)
	}
	return license.Duration(p.Days) * license.Day
}

// Days is how many days of the calendar lie between two moments. It adds up: a span
// that is cut in pieces has as many days as all pieces together. A day belongs to the
// piece in which it ends.
func Days(from, to license.Time) int64 {
	const day = int64(license.Day) / int64(time.Microsecond)
	return int64(to)/day - int64(from)/day
}
