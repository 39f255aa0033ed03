package seats

import (
	"licet/license"
	"licet/terms"
)

// Drift is how much faster or slower than true a clock may run, in percent,
// before a seat can be used twice.
const Drift = 2

// StopAfter is for the holder of a session: how long it may be used, by its own
// clock that never is set, counted from the moment at which the claim or the
// extension was sent, for the length that was granted. A clock that is Drift
// percent slow has then shown it while at most ttl has passed.
func StopAfter(ttl license.Duration) license.Duration { return ttl - margin(ttl) }

// ExtendAfter is for the holder of a session: when to extend it, counted as
// StopAfter counts. It leaves time for two more attempts.
func ExtendAfter(ttl license.Duration) license.Duration { return ttl / 3 }

// FreeAfter is for the server: when the seat of a session is free by itself, by
// its own clock, counted from the moment at which the grant or extension was
// decided. A clock that is Drift percent fast has then shown it while at least
// ttl has passed, so that it is never before the holder's StopAfter.
func FreeAfter(ttl license.Duration) license.Duration { return ttl + margin(ttl) }

// LoanMargin is for the server: how long after its end a loan's seat stays
// taken. Loans end by date: the borrower stops at the end itself, by a clock that
// may be behind by Drift percent of the loan, and by no more than any clock may
// (terms.ClockTolerance).
func LoanMargin(length license.Duration) license.Duration {
	return min(margin(length), license.Duration(terms.ClockTolerance))
}

// margin is Drift percent, rounded up.
func margin(d license.Duration) license.Duration { return (d*Drift + 99) / 100 }
