package seats

import "licet/license"

// Permits reports whether a license with these terms lets a server give this
// lease. It is what the lease and the terms say by themselves: a verifier with
// the vendor's key alone can tell it, so that a server cannot give what its
// license never had. Who had how many seats at once only the server knows.
func Permits(t license.Terms, l Lease) bool {
	if l.Units == 0 && (t.Seats <= 0 || t.Counting != license.Unlimited && l.Seats > t.Seats) {
		return false
	}
	if l.Until == 0 && l.Kind != Transfer {
		return false
	}
	if end := t.ExpiresAt; end != 0 && (l.Until == 0 || l.Until > end.Add(t.Grace.Go())) {
		return false
	}
	if l.Units != 0 {
		return l.Kind == Transfer && t.Transfer.Has(license.MovesUnits) && l.Seats == 1 && l.Units > 0 && l.Units <= t.Units
	}
	switch l.Kind {
	case Session:
		return true
	case Loan:
		return l.Seats <= t.Borrow.Seats && l.Until <= l.From.Add(t.Borrow.Max.Go())
	case Transfer:
		return t.Transfer.Seats()
	}
	return false
}
