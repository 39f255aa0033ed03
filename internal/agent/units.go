package agent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/terms"
	"licet/wire"
)

// TakeRequest is a program that takes units of a license. Its nonce names the
// taking: the same one again takes nothing more.
type TakeRequest struct {
	OpenRequest
	Units int64 `json:"units"`
}

// Taken is the proof of it, as Proof is: the facts that the container signs name
// what was taken. It is there only after the counter is durable.
type Taken struct {
	Proof
	// Counter is the license's counter afterwards; nil if it has none, so that any
	// number may be taken.
	Counter *wire.Units `json:"counter,omitempty"`
}

// taken is a taking as the container remembers it, so that a program whose answer
// was lost may ask again.
type taken struct {
	Nonce   container.Nonce `cbor:"1,keyasint"`
	License license.ID      `cbor:"2,keyasint"`
	Units   int64           `cbor:"3,keyasint"`
}

// keptTakings is how many of them a container remembers. Who asks again does it
// within seconds.
const keptTakings = 64

// take is one call that waits for its turn.
type take struct {
	in   TakeRequest
	out  Taken
	err  error
	done chan struct{} // closed when out and err are set
}

// takes are the calls that wait, in the order in which they came.
type takes struct {
	mu   sync.Mutex
	list []*take
}

func (q *takes) add(t *take) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, t)
}

// all empties the queue.
func (q *takes) all() []*take {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// remove reports whether a call still waited.
func (q *takes) remove(t *take) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.list, t)
	if i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
	}
	return i >= 0
}

// Take takes units of a license of this machine: the counter is durable before the
// answer. Calls that come while one is written are written together, so that many
// programs at once cost few writes.
func (a *Agent) Take(ctx context.Context, in TakeRequest) (Taken, error) {
	switch {
	case len(in.Nonce) != len(container.Nonce{}):
		return Taken{}, refusal.New(refusal.InvalidInput, "A nonce has %d bytes.", len(container.Nonce{}))
	case in.Product == "":
		return Taken{}, noProduct()
	case in.Units < 1:
		return Taken{}, refusal.New(refusal.InvalidInput, "%d units cannot be taken; one is the least.", in.Units)
	}
	t := &take{in: in, done: make(chan struct{})}
	a.takes.add(t)
	select {
	case <-t.done: // with somebody else's
	case a.writing <- struct{}{}:
		a.takeAll(context.WithoutCancel(ctx), a.takes.all())
		<-a.writing
		a.tell()
	case <-ctx.Done():
		if a.takes.remove(t) {
			return Taken{}, ctx.Err()
		}
	}
	<-t.done
	return t.out, t.err
}

// takeAll decides calls one after the other and writes each container once. Nobody
// is told of what could not be written.
func (a *Agent) takeAll(ctx context.Context, list []*take) {
	traits := a.traits()
	boxes := map[license.Serial]*box{}
	open := func(serial license.Serial) (*box, error) {
		if b := boxes[serial]; b != nil {
			return b, nil
		}
		b, err := a.open(ctx, serial, traits)
		if err == nil {
			boxes[serial] = b
		}
		return b, err
	}
	found := map[[2]string]stock{}
	chosen := make([]*candidate, len(list))
	written := map[*box]func(context.Context, *box) error{}
	for i, t := range list {
		key := [2]string{t.in.Vendor, t.in.Product}
		f, ok := found[key]
		if !ok {
			f.list, f.closed, f.err = a.serving(CheckRequest{Vendor: t.in.Vendor, Product: t.in.Product}, a.trusted, Blocks{}, false, open)
			found[key] = f
		}
		if f.err != nil {
			t.err = f.err
			continue
		}
		var changed bool
		chosen[i], changed, t.err = f.take(t.in, a.now())
		switch {
		case changed:
			written[chosen[i].box] = a.save
		case t.err == nil && chosen[i].total() > 0 && written[chosen[i].box] == nil:
			// Taken before: who wrote it may have died before it would outlast a power cut.
			written[chosen[i].box] = func(ctx context.Context, b *box) error { return boxError(b.header.Serial, b.file.Settle(ctx)) }
		}
	}
	failed := map[*box]error{}
	for b, write := range written {
		failed[b] = write(ctx, b)
	}
	for i, t := range list {
		if t.err == nil {
			t.err = failed[chosen[i].box]
		}
		if t.err == nil {
			t.out, t.err = a.provenTaking(t.in, chosen[i])
		}
		t.err = storage(t.err)
		close(t.done)
	}
}

// stock is what there is of a product.
type stock struct {
	list   []candidate
	closed []terms.Reason
	err    error
}

// take decides one call on the containers as they are in memory. It reports
// whether it changed the one of the license that it chose.
func (f stock) take(in TakeRequest, now license.Time) (*candidate, bool, error) {
	var mine []*candidate // licenses in the containers, and units that moved here; what is lent is counted elsewhere
	for i := range f.list {
		c := &f.list[i]
		if c.loan != nil && c.loan.Units == 0 {
			continue
		}
		mine = append(mine, c)
		for _, t := range c.box.Takings {
			switch {
			case t.Nonce != container.Nonce(in.Nonce), t.License != c.counter() && f.has(c.box, t.License):
			case t.License == c.counter() && t.Units == in.Units:
				return c, false, nil // the same call again
			default:
				return nil, false, refusal.New(refusal.Conflict, "The number of this call was used for another one. Nothing was taken.").
					Hinted("Draw a new one for each.")
			}
		}
	}
	use := in.Use
	use.Units = in.Units
	var verdicts []terms.Verdict
	best := -1
	for i, c := range mine {
		verdicts = append(verdicts, c.verdict(use, now))
		if verdicts[i].Valid && (best < 0 || before(c, verdicts[i], mine[best], verdicts[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil, false, f.refused(in, mine, verdicts)
	}
	c := mine[best]
	if no := c.use(in.Units); no != nil {
		return nil, false, no
	}
	if c.total() == 0 {
		return c, false, nil
	}
	kept := c.box.Takings
	c.box.Takings = append(slices.Clone(kept[max(0, len(kept)-keptTakings+1):]), taken{container.Nonce(in.Nonce), c.counter(), in.Units})
	return c, true, nil
}

// has reports whether something of the product in a container has this counter.
func (f stock) has(b *box, counter license.ID) bool {
	return slices.ContainsFunc(f.list, func(c candidate) bool { return c.box == b && c.counter() == counter })
}

// use counts units in the container as it is in memory.
func (c *candidate) use(n int64) *refusal.Refusal {
	if c.loan == nil {
		state, _, no := c.box.State.Use(c.body, n)
		if no == nil {
			c.box.State = state
		}
		return no
	}
	l := c.box.Loans[c.lease]
	p, no := l.portion().Use(n, l.Product, string(c.lease))
	if no != nil {
		return no
	}
	l.Used = p.Used
	c.box.Loans = maps.Clone(c.box.Loans)
	c.box.Loans[c.lease] = l
	return nil
}

// before is the order in which licenses are used up: one without a counter, the
// one that ends first, the one that has fewest units left.
func before(a *candidate, av terms.Verdict, b *candidate, bv terms.Verdict) bool {
	never := func(t license.Time) int { return map[bool]int{true: 1}[t == 0] }
	counts := func(c *candidate) int { return map[bool]int{true: 1}[c.total() > 0] }
	return cmp.Or(cmp.Compare(counts(a), counts(b)), cmp.Compare(never(av.ValidUntil), never(bv.ValidUntil)),
		cmp.Compare(av.ValidUntil, bv.ValidUntil), cmp.Compare(a.left(), b.left()), cmp.Compare(a.counter(), b.counter())) < 0
}

// left is how many units the license has left.
func (c *candidate) left() int64 { return c.total() - c.used() }

// refused says why no license gives the units: of those that lack nothing else, the
// one that has most left.
func (f stock) refused(in TakeRequest, mine []*candidate, verdicts []terms.Verdict) error {
	var most *candidate
	for i, c := range mine {
		if r := verdicts[i].Reasons; len(r) == 1 && r[0].Code == refusal.UnitsSpent && c.no == nil && (most == nil || c.left() > most.left()) {
			most = c
		}
	}
	if most != nil {
		return most.use(in.Units)
	}
	best := terms.Best(verdicts)
	if best < 0 {
		v := nothingFor(in.Product, f.closed)
		return v.Refusal()
	}
	no := verdicts[best].Refusal()
	no.Message += " Nothing was taken."
	return no.Hinted("%s", mine[best].hint(no.Code)).With("license", string(mine[best].id))
}

// provenTaking is the answer to a call, for a program that believes nobody.
func (a *Agent) provenTaking(in TakeRequest, c *candidate) (Taken, error) {
	p := Proof{
		Verdict: c.verdict(in.Use, a.now()),
		License: c.id, Container: c.box.serial(), Vendor: c.box.header.Vendor,
	}
	p, err := a.proof(p, c, container.Nonce(in.Nonce), in.Units)
	return Taken{Proof: p, Counter: c.units()}, err
}

// Take takes units of a license of this machine. A call whose answer was lost is
// repeated once by itself.
func (c *Client) Take(ctx context.Context, in TakeRequest) (Taken, error) {
	out, err := opTake.do(ctx, c, in)
	if refusal.Is(err, refusal.AgentUnreachable) && ctx.Err() == nil {
		out, err = opTake.do(ctx, c, in)
	}
	if r, ok := refusal.As(err); ok && r.Code == refusal.AgentUnreachable {
		r.Hinted("Whether the units were taken is not known; licet list shows how many are left.")
	}
	return out, err
}
