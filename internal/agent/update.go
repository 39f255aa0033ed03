package agent

import (
	"context"
	"errors"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// maxTogether bounds the request files that go to a server at once, in bytes.
const maxTogether = 4 << 20

// Update asks the vendors what is pending, carries it out, and delivers receipts
// that wait: one contact for all containers of a vendor. It answers for each
// container, even where one fails.
func (a *Agent) Update(ctx context.Context, in UpdateRequest) (results []Updated, err error) {
	results = []Updated{}
	err = a.write(ctx, func() error {
		list := []license.Serial{in.Container}
		if in.Container == "" {
			entries, err := a.entries(in.Vendor)
			if err != nil {
				return err
			}
			list = nil
			for _, e := range entries {
				list = append(list, license.Serial(e.Serial))
			}
		}
		for _, c := range a.contacts(ctx, list, in.Central) {
			results = append(results, c.updated())
		}
		return nil
	})
	return results, storage(err)
}

// contacts asks what is pending for containers.
func (a *Agent) contacts(ctx context.Context, list []license.Serial, address string) []contact {
	calls := a.contactEach(ctx, list, address)
	told := map[string]bool{}
	for _, c := range calls {
		if c.err == nil && c.b.told && !told[c.v.id()] {
			told[c.v.id()] = true
			a.tellOthers(ctx, c.v, list...)
		}
	}
	return calls
}

// tellOthers asks for the other containers of a vendor who has revoked keys: what
// they hold under one comes again under a good one.
func (a *Agent) tellOthers(ctx context.Context, v vendor, done ...license.Serial) {
	entries, err := a.entries(v.id())
	var list []license.Serial
	for _, e := range entries {
		if serial := license.Serial(e.Serial); !slices.Contains(done, serial) {
			list = append(list, serial)
		}
	}
	for _, c := range a.contactEach(ctx, list, "") {
		err = errors.Join(err, c.err)
	}
	if err != nil {
		a.cfg.Log.Warn("other containers of a vendor who has revoked keys wait for their next contact", "vendor", v.id(), "error", err)
	}
}

func (a *Agent) contactEach(ctx context.Context, list []license.Serial, address string) []contact {
	calls := make([]contact, len(list))
	for i, serial := range list {
		calls[i] = a.prepare(ctx, serial, address)
	}
	for _, group := range together(calls) {
		a.contact(ctx, group)
	}
	return calls
}

// contact is one container's part in asking what is pending.
type contact struct {
	serial license.Serial
	b      *box
	v      vendor
	base   string
	file   []byte // the request
	waited bool   // a receipt waited before
	result wire.Programming
	err    error
}

// prepare makes a container's request.
func (a *Agent) prepare(ctx context.Context, serial license.Serial, address string) (c contact) {
	c.serial = serial
	if c.b, c.v, c.err = a.named(ctx, serial); c.err != nil {
		return c
	}
	c.waited = c.b.receipt() == waiting
	if c.base, c.err = c.v.base(address); c.err == nil {
		c.file, c.err = a.ask(ctx, c.b, c.v, container.Wishes{})
	}
	return c
}

// updated is what became of it.
func (c *contact) updated() Updated {
	u := Updated{Programming: wire.Programming{Container: c.serial, Applied: []container.Change{}, Outcomes: []container.Outcome{}}}
	if c.err != nil {
		p := problemOf(storage(c.err))
		u.Error = &p
		return u
	}
	u.Programming = c.result
	u.Delivered = c.waited && c.b.receipt() != waiting
	return u
}

// together groups the contacts that can be made: those with the same server of the
// same vendor, as many as go at once.
func together(calls []contact) (groups [][]*contact) {
	type server struct{ vendor, base string }
	open := map[server]int{} // which group takes more
	size := map[int]int{}
	for i := range calls {
		c := &calls[i]
		if c.err != nil {
			continue
		}
		s := server{c.v.id(), c.base}
		at, there := open[s]
		if !there || len(groups[at]) == wire.MaxUpdates || size[at]+len(c.file) > maxTogether {
			at = len(groups)
			groups, open[s] = append(groups, nil), at
		}
		groups[at] = append(groups[at], c)
		size[at] += len(c.file)
	}
	return groups
}

// contact sends the requests of a group and applies what comes back, to each
// container by itself.
func (a *Agent) contact(ctx context.Context, group []*contact) {
	base := group[0].base
	var answers []wire.UpdateAnswer
	var err error
	if len(group) > 1 {
		var files [][]byte
		for _, c := range group {
			files = append(files, c.file)
		}
		answers, err = a.central().Updates(ctx, base, files)
		if err != nil && !refusal.Is(err, refusal.NotFound) && !refusal.Is(err, refusal.TooLarge) {
			for _, c := range group {
				c.err = a.unanswered(ctx, c.b, err)
			}
			return
		}
	}
	for i, c := range group {
		if answers == nil { // one alone, or a server that is older than this
			answer, err := a.central().Program(ctx, base, c.file)
			a.answered(ctx, c, answer, err)
			continue
		}
		var problem error
		if p := answers[i].Problem; p != nil {
			problem = p.Refusal()
		}
		a.answered(ctx, c, []byte(answers[i].Update), problem)
	}
}

// answered applies what the vendor answered to one container.
func (a *Agent) answered(ctx context.Context, c *contact, answer []byte, err error) {
	if err != nil {
		c.err = a.unanswered(ctx, c.b, err)
		return
	}
	if c.result, c.err = a.apply(ctx, c.b, c.v, answer); c.err == nil {
		c.result, c.err = a.conclude(ctx, c.b, c.v, c.base, container.Wishes{}, c.result)
	}
}
