package portal

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"strings"

	"licet/container"
	"licet/internal/look"
	"licet/license"
	"licet/wire"
)

// Some of the seats or units of a license: how many, is asked beside it.

// seatsField is the field for the seats or units of a license.
func seatsField(id license.ID) string { return "seats-" + string(id) }

// readSeats reads how many seats or units of the chosen licenses are meant; a field
// that is empty means all of them.
func (x *way) readSeats(ctx context.Context, form url.Values) {
	for _, l := range x.Licenses {
		text := strings.TrimSpace(form.Get(seatsField(l.ID)))
		if text == "" || !x.divides(l) {
			continue
		}
		most := x.most(l)
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil || n < 1 || n > most:
			x.Wrong = append(x.Wrong, look.Wrong{Field: seatsField(l.ID), Text: look.T(ctx, "portal.seats.wrong", "Product", l.Name, "Most", look.Number(ctx, most))})
			x.typed = append(x.typed, typed{l.ID, text})
		case x.What == forReturn && n == most: // the whole license
		default:
			x.Amounts = append(x.Amounts, container.Amount{License: l.ID, Seats: n})
		}
	}
}

// typed is what stood in a field and is no number of seats or units.
type typed struct {
	License license.ID
	Text    string
}

// measure is what a license is divided by, as texts name it.
func measure(l wire.PageLicense) string {
	if l.Units != nil {
		return "units"
	}
	return "seats"
}

// measure is what the licenses that some can be meant of are divided by; seats, where
// it is not the same for all.
func (x way) measure() string {
	what := "units"
	for _, l := range x.Licenses {
		if x.divides(l) && l.Units == nil {
			what = "seats"
		}
	}
	return what
}

// left is how many seats a license has, or how many units of it are left.
func left(l wire.PageLicense) int64 {
	if l.Units != nil {
		return l.Units.Left
	}
	return l.Terms.Seats
}

// divides reports whether some seats or units of a chosen license can be meant.
func (x way) divides(l wire.PageLicense) bool {
	if x.What == forReturn {
		return l.Split && l.Return && left(l) > 1
	}
	return l.Split && whole(x.All, l) > 1
}

// dividesAny reports whether some of any chosen license can be meant.
func (x way) dividesAny() bool {
	for _, l := range x.Licenses {
		if x.divides(l) {
			return true
		}
	}
	return false
}

// most is how many seats or units can be meant at most: of a return those that are
// there, else all that were sold, because what a container was given already counts.
func (x way) most(l wire.PageLicense) int64 {
	if x.What == forReturn {
		return left(l)
	}
	return whole(x.All, l)
}

// whole is how many seats or units a license has with all its parts.
func whole(page wire.TicketPage, l wire.PageLicense) (n int64) {
	of := cmp.Or(l.Origin, l.ID)
	for _, o := range page.Licenses {
		if cmp.Or(o.Origin, o.ID) == of {
			if o.Units != nil {
				n += o.Units.Total
			} else {
				n += o.Terms.Seats
			}
		}
	}
	return n
}

// named is a license as commands name it, with the seats or units that are meant.
func (x way) named(id license.ID) string {
	for _, a := range x.Amounts {
		if a.License == id {
			return string(id) + "=" + strconv.FormatInt(a.Seats, 10)
		}
	}
	return string(id)
}

// seatsOf is what stands in the field of a license.
func (x way) seatsOf(id license.ID) string {
	for _, t := range x.typed {
		if t.License == id {
			return t.Text
		}
	}
	_, seats, _ := strings.Cut(x.named(id), "=")
	return seats
}

// wrongAt is what is wrong with the field of a license.
func (x way) wrongAt(id license.ID) string {
	for _, w := range x.Wrong {
		if w.Field == seatsField(id) {
			return w.Text
		}
	}
	return ""
}

// bridgeAmounts are the seats or units that are meant, for the agent.
func (x way) bridgeAmounts() string {
	var words []string
	for _, a := range x.Amounts {
		words = append(words, x.named(a.License))
	}
	return strings.Join(words, " ")
}

// path is where the choice is shown.
func (x way) path() string {
	path, _, _ := strings.Cut(x.Address(), "?")
	return path
}
