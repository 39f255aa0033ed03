package container

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
)

// Seats of one license can be in several containers (docs/protocol.md, section
// 12). What is split off is a license of its own, a part, from then on. Whoever
// asks for some seats may name any part: the seats of all of them count.

// some asks for the container to have so many seats of a license: what it has
// counts, so that asking again changes nothing. What lacks comes from the parts
// that are free, the named one first, and the last of them is split if it has
// more. It gives one wish for each license that comes in.
func (p *planner) some(w wish, seats int64) []wish {
	c, known := p.s.Licenses[w.license]
	switch {
	case !known:
		w.no = refusal.New(refusal.LicenseUnknown, "There is no license %s.", w.license)
	case seats < 1:
		w.no = noSeats()
	case slices.Contains(p.s.Return, w.license) && p.held[w.license]:
		w.no = refusal.New(refusal.NotDone, "%s (%s) is returned by the same request.", c.Product, c.License).
			Hinted("Ask for one of the two.")
	}
	if w.no != nil {
		w.no.With("license", string(w.license))
		return []wish{w}
	}
	family := p.family(c)
	here, free, no := p.place(family)
	switch total := sum(free); {
	case here >= seats:
		w.already, w.seats = true, here
		w.said = fmt.Sprintf("%d seats of %s are in the container already. What is asked for is the number in all.", here, c.Product)
		return []wish{w}
	case total == 0 && no != nil && no.Code != refusal.LicenseInUse:
		w.no = no
		return []wish{w}
	case here+total < seats:
		w.no = p.tooFew(c, family, here, total, seats)
		return []wish{w}
	}
	return p.draw(w, free, seats-here)
}

// family is every part that there is of a license, in the order of their ids.
func (p *planner) family(c Candidate) []Candidate {
	var out []Candidate
	for _, o := range p.s.Licenses {
		if o.whole() == c.whole() && o.MergedInto == "" {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Candidate) int { return strings.Compare(string(a.License), string(b.License)) })
	return out
}

// place tells how many seats of a family the container will have without the wish,
// and which parts may come in; no is why one of the others may not, that of the
// first for a reason other than being in use.
func (p *planner) place(family []Candidate) (here int64, free []Candidate, no *refusal.Refusal) {
	for _, c := range family {
		w := wish{license: c.License}
		if p.judge(&w); w.no == nil && !w.already {
			free = append(free, c)
			continue
		}
		if w.already {
			here += c.Seats
		} else if no == nil || no.Code == refusal.LicenseInUse {
			no = w.no
		}
	}
	return here, free, no
}

func sum(parts []Candidate) (seats int64) {
	for _, c := range parts {
		seats += c.Seats
	}
	return seats
}

// draw takes seats out of parts that are free and have as many together.
func (p *planner) draw(w wish, free []Candidate, seats int64) []wish {
	named := w.license
	var ws []wish
	for seats > 0 {
		at := next(free, seats, named)
		c := free[at]
		free = slices.Delete(free, at, at+1)
		one := w
		one.license, one.seats = c.License, min(c.Seats, seats)
		switch {
		case c.Seats <= seats:
			p.coming[c.License] = true
		case !c.Split:
			one.no = notSplittable(c)
			return append(ws, one)
		default:
			one.part = p.newPart(c, seats)
			p.coming[one.part] = true
		}
		ws = append(ws, one)
		seats -= one.seats
	}
	return ws
}

// next is the part to take seats from: one that has just as many, so that none is
// split; else the named one if it has more, the smallest that has more, or the
// largest of those that have fewer.
func next(free []Candidate, seats int64, named license.ID) (best int) {
	rank := func(c Candidate) [2]int64 {
		switch {
		case c.Seats == seats:
			return [2]int64{0, 0}
		case c.Seats > seats && c.License == named:
			return [2]int64{1, 0}
		case c.Seats > seats:
			return [2]int64{2, c.Seats}
		}
		return [2]int64{3, -c.Seats}
	}
	for i, c := range free {
		if a, b := rank(c), rank(free[best]); cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) < 0 {
			best = i
		}
	}
	return best
}

// newPart splits seats off a license: in the situation, and in the book once the
// operation is issued that tells of it.
func (p *planner) newPart(of Candidate, seats int64) license.ID {
	part := of
	part.License, part.Origin, part.Generation, part.Seats = p.s.NewPart(), of.whole(), 1, seats
	part.Lent, part.Returning, part.Reserved = Lent{}, 0, ""
	of.Seats -= seats
	p.s.Licenses[part.License], p.s.Licenses[of.License] = part, of
	return part.License
}

// begin makes an operation the one with which a wish's part begins.
func (p *planner) begin(op Op, w wish) Op {
	op.Of, op.Seats = w.license, w.seats
	return op
}

// returnPart judges the return of some seats of a license in the container. Seats
// that are on their way out already are not taken twice: until their removal is
// proven, nobody can tell a repetition from a further wish.
func (p *planner) returnPart(w *wish, c Candidate, seats int64) {
	w.seats = seats
	switch {
	case seats < 1:
		w.no = noSeats()
	case seats == c.Returning:
		w.already = true
		w.said = fmt.Sprintf("%d seats of %s (%s) are on their way back already.", seats, c.Product, c.License)
	case c.Returning > 0:
		w.no = refusal.New(refusal.NotDone, "%d seats of %s (%s) are on their way back already.", c.Returning, c.Product, c.License).
			Hinted("Import that update first, then ask for more.")
	case seats > c.Seats:
		w.no = refusal.New(refusal.TooFewSeats, "The container has %d seats of %s (%s); %d cannot be returned.", c.Seats, c.Product, c.License, seats).
			With("seats", seats).With("there", c.Seats).Hinted("Return at most %d, or the license as a whole.", c.Seats)
	case !c.Split:
		w.no = notSplittable(c)
	case c.Lent.Seats > c.Seats-seats && !c.LentStays:
		w.no = onLoan(c)
	default:
		w.part = p.newPart(c, seats)
	}
	if w.no != nil {
		w.no.With("license", string(c.License)).With("product", c.Product)
	}
}

func noSeats() *refusal.Refusal {
	return refusal.New(refusal.InvalidInput, "The number of seats is less than 1.").Hinted("Ask for one or more.")
}

func notSplittable(c Candidate) *refusal.Refusal {
	return refusal.New(refusal.NotSplittable, "%s (%s) cannot be split: its %d seats are in one container together.", c.Product, c.License, c.Seats).
		With("license", string(c.License)).With("product", c.Product).With("seats", c.Seats)
}

// tooFew says how many seats are free, and where the others are.
func (p *planner) tooFew(c Candidate, family []Candidate, here, free, seats int64) *refusal.Refusal {
	var all int64
	var where []string
	places := []map[string]any{}
	for _, o := range family {
		if o.State == license.Gone {
			continue
		}
		all += o.Seats
		places = append(places, map[string]any{"license": string(o.License), "seats": o.Seats, "state": string(o.State), "container": string(o.Holder)})
		switch {
		case o.State == license.Returning:
			where = append(where, fmt.Sprintf("%d on their way back from container %s, whose receipt is awaited", o.Seats, o.Holder))
		case o.Holder == p.s.Serial:
			where = append(where, fmt.Sprintf("%d here", o.Seats))
		case o.Holder != "":
			where = append(where, fmt.Sprintf("%d in container %s", o.Seats, o.Holder))
		case o.Reserved != "" && o.Reserved != p.s.Serial:
			where = append(where, fmt.Sprintf("%d kept for container %s", o.Seats, o.Reserved))
		}
	}
	code, text := refusal.TooFewSeats, fmt.Sprintf("%d seats of %s are free", free, c.Product)
	if free == 0 {
		code, text = refusal.LicenseInUse, fmt.Sprintf("No seat of %s is free", c.Product)
	}
	if len(where) > 0 {
		text += fmt.Sprintf(": of %d there are %s", all, strings.Join(where, ", "))
	}
	no := refusal.New(code, "%s.", text).With("license", string(c.License)).With("product", c.Product).
		With("seats", seats).With("free", free).With("parts", places)
	switch {
	case free == 0:
		return no.Hinted("Return some where they are not needed: licet deactivate ID=SEATS, and bring the receipt.")
	case here > 0:
		return no.Hinted("Ask for at most %d, those that are here included.", here+free)
	}
	return no.Hinted("Ask for at most %d.", free)
}
