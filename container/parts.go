package container

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
)

// Seats or units of one license can be in several containers (docs/protocol.md,
// section 12). What is split off is a license of its own, a part, from then on.
// Whoever asks for some may name any part: those of all of them count.

// some asks for the container to have so many seats or units of a license: what it
// has counts, so that asking again changes nothing. What lacks comes from the parts
// that are free, the named one first, and the last of them is split if it has
// more. It gives one wish for each license that comes in.
func (p *planner) some(w wish, n int64) []wish {
	c, known := p.s.Licenses[w.license]
	w.measure = c.measure()
	switch {
	case !known:
		w.no = refusal.New(refusal.LicenseUnknown, "There is no license %s.", w.license)
	case n < 1:
		w.no = tooSmall(w.measure)
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
	whole, free := comeWhole(free, n-here)
	switch total := sum(whole) + sum(free); {
	case here >= n:
		w.already, w.amount, w.said = true, here, p.saysHere(c, family, here)
		return []wish{w}
	case total == 0 && no != nil && no.Code != refusal.LicenseInUse:
		w.no = no
		return []wish{w}
	case here+total < n:
		w.no = p.tooFew(c, family, here, total, n)
		return []wish{w}
	}
	var ws []wish
	for _, c := range whole {
		one := w
		one.license, one.amount = c.License, c.left()
		p.comes(c.License)
		ws = append(ws, one)
	}
	return append(ws, p.draw(w, free, n-here-sum(whole))...)
}

// comeWhole takes the units that are on their way back out of what is free: as long as
// no report proves it, nobody knows how many of them are left. Then none can be split
// off, and the license comes in again whole, as far as that is no more than n.
func comeWhole(free []Candidate, n int64) (whole, rest []Candidate) {
	for _, c := range free {
		switch {
		case c.measure() == bySeats || c.State.Available():
			rest = append(rest, c)
		case c.left() <= n:
			whole, n = append(whole, c), n-c.left()
		}
	}
	return whole, rest
}

// saysHere says that the container has what is asked for.
func (p *planner) saysHere(c Candidate, family []Candidate, here int64) string {
	if c.measure() == bySeats {
		return fmt.Sprintf("%d seats of %s are in the container already. What is asked for is the number in all.", here, c.Product)
	}
	var left int64
	for _, o := range family {
		if p.held[o.License] || p.coming[o.License] {
			left += o.left()
		}
	}
	return fmt.Sprintf("The container got %d units of %s already, of which %d are left. What is asked for is the number in all, used ones included.", here, c.Product, left)
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

// place tells how many seats or units of a family the container will have without
// the wish, and which parts may come in; no is why one of the others may not, that
// of the first for a reason other than being in use.
func (p *planner) place(family []Candidate) (here int64, free []Candidate, no *refusal.Refusal) {
	for _, c := range family {
		w := wish{license: c.License}
		if p.judge(&w); w.no == nil && !w.already {
			if c.left() > 0 { // else all its units are used
				free = append(free, c)
			}
			continue
		}
		if w.already {
			here += c.has()
		} else if no == nil || no.Code == refusal.LicenseInUse {
			no = w.no
		}
	}
	return here, free, no
}

func sum(parts []Candidate) (n int64) {
	for _, c := range parts {
		n += c.left()
	}
	return n
}

// draw takes seats or units out of parts that are free and have as many together.
func (p *planner) draw(w wish, free []Candidate, n int64) []wish {
	named := w.license
	var ws []wish
	for n > 0 {
		at := next(free, n, named)
		c := free[at]
		free = slices.Delete(free, at, at+1)
		one := w
		one.license, one.amount = c.License, min(c.left(), n)
		switch {
		case c.left() <= n:
			p.comes(c.License)
		case !c.Split:
			one.no = notSplittable(c)
			return append(ws, one)
		default:
			one.part = p.newPart(c, n)
			p.comes(one.part)
		}
		ws = append(ws, one)
		n -= one.amount
	}
	return ws
}

// comes notes that a license comes into the container by a wish of this request.
func (p *planner) comes(id license.ID) {
	c := p.s.Licenses[id]
	c.Given = c.left()
	p.s.Licenses[id], p.coming[id] = c, true
}

// next is the part to take from: one that has just as many, so that none is split;
// else the named one if it has more, the smallest that has more, or the largest of
// those that have fewer.
func next(free []Candidate, n int64, named license.ID) (best int) {
	rank := func(c Candidate) [2]int64 {
		switch {
		case c.left() == n:
			return [2]int64{0, 0}
		case c.left() > n && c.License == named:
			return [2]int64{1, 0}
		case c.left() > n:
			return [2]int64{2, c.left()}
		}
		return [2]int64{3, -c.left()}
	}
	for i, c := range free {
		if a, b := rank(c), rank(free[best]); cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) < 0 {
			best = i
		}
	}
	return best
}

// newPart splits seats or units off a license: in the situation, and in the book
// once the operation is issued that tells of it. What is used stays with the license.
func (p *planner) newPart(of Candidate, n int64) license.ID {
	part := of
	part.License, part.Origin, part.Generation = p.s.NewPart(), of.whole(), 1
	part.Lent, part.Returning, part.Reserved = Lent{}, 0, ""
	if of.measure() == byUnits {
		part.Units, part.Used = n, 0
		of.Units -= n
	} else {
		part.Seats = n
		of.Seats -= n
	}
	p.s.Licenses[part.License], p.s.Licenses[of.License] = part, of
	return part.License
}

// begin makes an operation the one with which a wish's part begins.
func (p *planner) begin(op Op, w wish) Op {
	op.Of, op.Amount = w.license, w.amount
	return op
}

// returnPart judges the return of some seats or units of a license in the container.
// Those that are on their way out already are not taken twice: until their removal
// is proven, nobody can tell a repetition from a further wish. A part of units begins
// with the proof, because a program may use them until then.
func (p *planner) returnPart(w *wish, c Candidate, n int64) {
	m := c.measure()
	w.amount, w.measure = n, m
	switch {
	case n < 1:
		w.no = tooSmall(m)
	case n == c.Returning:
		w.already = true
		w.said = fmt.Sprintf("%d %s of %s (%s) are on their way back already.", n, m, c.Product, c.License)
	case c.Returning > 0:
		w.no = refusal.New(refusal.NotDone, "%d %s of %s (%s) are on their way back already.", c.Returning, m, c.Product, c.License).
			Hinted("Import that update first, then ask for more.")
	case c.left() == 0 && m == byUnits:
		w.no = refusal.New(refusal.TooFewUnits, "No unit of %s (%s) is left in the container; %d cannot be returned.", c.Product, c.License, n).
			With("units", n).With("there", int64(0)).Hinted("Return the license as a whole, where the product lets you.")
	case n > c.left() && m == byUnits:
		w.no = refusal.New(refusal.TooFewUnits, "The container has %d units of %s (%s) left; %d cannot be returned.", c.left(), c.Product, c.License, n).
			With("units", n).With("there", c.left()).Hinted("Return at most %d, or the license as a whole.", c.left())
	case n > c.Seats && m == bySeats:
		w.no = refusal.New(refusal.TooFewSeats, "The container has %d seats of %s (%s); %d cannot be returned.", c.Seats, c.Product, c.License, n).
			With("seats", n).With("there", c.Seats).Hinted("Return at most %d, or the license as a whole.", c.Seats)
	case !c.Split:
		w.no = notSplittable(c)
	case m == byUnits:
		c.Returning, c.Given = n, c.Given-n
		p.s.Licenses[c.License] = c
	case c.Lent.Seats > c.Seats-n && !c.LentStays:
		w.no = onLoan(c)
	default:
		w.part = p.newPart(c, n)
	}
	if w.no != nil {
		w.no.With("license", string(c.License)).With("product", c.Product)
	}
}

func tooSmall(m measure) *refusal.Refusal {
	return refusal.New(refusal.InvalidInput, "The number of %s is less than 1.", m).Hinted("Ask for one or more.")
}

func notSplittable(c Candidate) *refusal.Refusal {
	return refusal.New(refusal.NotSplittable, "%s (%s) cannot be split: its %d %s are in one container together.", c.Product, c.License, c.left(), c.measure()).
		With("license", string(c.License)).With("product", c.Product).With(string(c.measure()), c.left())
}

// tooFew says how many seats or units are free, and where the others are.
func (p *planner) tooFew(c Candidate, family []Candidate, here, free, n int64) *refusal.Refusal {
	m := c.measure()
	var all, used, elsewhere int64
	var where []string
	places := []map[string]any{}
	for _, o := range family {
		if o.State == license.Gone {
			continue
		}
		left := o.left()
		place := map[string]any{"license": string(o.License), string(m): left, "state": string(o.State), "container": string(o.Holder)}
		if all += left; m == byUnits {
			place["units"], place["used"] = o.Units, o.Used
			used += o.Units - left
		}
		places = append(places, place)
		switch {
		case left == 0:
		case o.State == license.Returning:
			elsewhere += left
			where = append(where, fmt.Sprintf("%d on their way back from container %s, whose receipt is awaited", left, o.Holder))
		case o.Holder == p.s.Serial:
			where = append(where, fmt.Sprintf("%d here", left))
		case o.Holder != "":
			elsewhere += left
			where = append(where, fmt.Sprintf("%d in container %s", left, o.Holder))
		case o.Reserved != "" && o.Reserved != p.s.Serial:
			elsewhere += left
			where = append(where, fmt.Sprintf("%d kept for container %s", left, o.Reserved))
		}
	}
	if used > 0 {
		where = append(where, fmt.Sprintf("%d used", used))
	}
	code, text := refusal.TooFewSeats, fmt.Sprintf("%d %s of %s are free", free, m, c.Product)
	if m == byUnits {
		code = refusal.TooFewUnits
	}
	if free == 0 {
		text = fmt.Sprintf("No %s of %s is free", strings.TrimSuffix(string(m), "s"), c.Product)
		if elsewhere > 0 || m == bySeats {
			code = refusal.LicenseInUse
		}
	}
	if len(where) > 0 {
		text += fmt.Sprintf(": of %d there are %s", all+used, strings.Join(where, ", "))
	}
	no := refusal.New(code, "%s.", text).With("license", string(c.License)).With("product", c.Product).
		With(string(m), n).With("free", free).With("parts", places)
	switch {
	case free == 0 && m == bySeats:
		return no.Hinted("Return some where they are not needed: licet deactivate ID=SEATS, and bring the receipt.")
	case free == 0 && elsewhere > 0:
		return no.Hinted("Return some where they are not needed: licet deactivate ID=UNITS, and bring the receipt.")
	case free == 0:
		return no.Hinted("Ask the vendor for more units.")
	case here > 0:
		return no.Hinted("Ask for at most %d, those that are here included.", here+free)
	}
	return no.Hinted("Ask for at most %d.", free)
}
