package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"sync"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
)

// Check says whether a product may be used now. It reads, verifies and decides
// by itself; it asks nobody and never writes.
func (a *Agent) Check(ctx context.Context, in CheckRequest) (CheckResult, error) {
	f, err := a.find(ctx, in, a.trusted, Blocks{}, false)
	return f.result, err
}

// judge is who checks the documents of a vendor.
type judge struct {
	// license checks the vendor's signature over the step, and the step's hash of
	// the body.
	license func(step, body []byte) (container.Body, error)
	// lease checks the document of a loan: the vendor's signature over the license
	// that it comes from, and that license's container's over the loan.
	lease func(document []byte) (seats.Lease, container.Body, error)
	// certificates are the vendor's that it knows besides the container's.
	certificates [][]byte
	trust        []byte // the trust bundle that it goes by, as it was signed
}

// trust finds who judges the licenses of a container, or says why none of them
// counts here.
type trust func(*box) (judge, *refusal.Refusal)

// candidate is one license that could serve, as found on this machine.
type candidate struct {
	box     *box
	by      judge
	id      license.ID
	step    []byte // signed
	data    []byte // the license's body
	body    container.Body
	locked  bool // the body is here and does not open
	reissue bool // the body must be sent again
	no      *refusal.Refusal

	// Of a loan:
	loan        *loan
	lease       seats.LeaseID
	lender      license.Serial // container that the license is in
	generation  license.Generation
	from, until license.Time
}

// found is the answer of a check and the license it is about.
type found struct {
	result CheckResult
	best   *candidate
	closed []terms.Reason // why a container that might have done better was not seen
}

// find looks through the containers of this machine for a product. Shared says that a
// license server shares their seats, so that a program has to take one.
func (a *Agent) find(ctx context.Context, in CheckRequest, who trust, brought Blocks, shared bool) (found, error) {
	f := found{result: CheckResult{Product: in.Product}}
	if in.Product == "" {
		return f, noProduct()
	}
	traits := a.traits()
	candidates, closed, err := a.serving(in, who, brought, shared, func(serial license.Serial) (*box, error) { return a.open(ctx, serial, traits) })
	if err != nil {
		return f, err
	}
	var verdicts []terms.Verdict
	for _, c := range candidates {
		verdicts = append(verdicts, c.verdict(in.Use, a.now()))
	}
	best := terms.Best(verdicts)
	if best < 0 {
		f.result.Verdict = nothingFor(in.Product, closed)
		f.result.Hint = refusal.Lookup(f.result.Code).Hint
		return f, nil
	}
	c := candidates[best]
	f.best = &c
	f.result.Verdict = verdicts[best]
	f.result.License, f.result.Container, f.result.Vendor = c.id, c.box.serial(), c.box.header.Vendor
	f.result.Source = c.source()
	f.result.Units = c.units()
	if c.loan != nil {
		l := c.box.describeLoan(c.lease)
		f.result.Loan = &l
	}
	if !f.result.Valid {
		f.result.Hint = c.hint(f.result.Code)
		// A container that does not open may hold a better license.
		f.closed = closed
		f.result.Reasons = slices.Concat(f.result.Reasons, closed)
	}
	return f, nil
}

func noProduct() error {
	return refusal.New(refusal.InvalidInput, "No product was given.").Hinted("licet list names the products on this machine.")
}

// serving is every license and loan of a product in the containers that open,
// without those of which there is a newer copy; and why others do not open: what is
// in them cannot be told.
func (a *Agent) serving(in CheckRequest, who trust, brought Blocks, shared bool, open func(license.Serial) (*box, error)) (list []candidate, closed []terms.Reason, err error) {
	entries, err := a.entries("")
	if err != nil {
		return nil, nil, err
	}
	blocked := a.blocks(brought)
	defer blocked.Close()
	for _, e := range entries {
		if in.Vendor != "" && e.Err == nil && e.Header.Vendor != in.Vendor {
			continue
		}
		b, err := open(license.Serial(e.Serial))
		if err != nil {
			r, ok := refusal.As(err)
			switch {
			case !ok:
				return nil, nil, err
			case r.Code != refusal.ContainerUnknown: // deleted a moment ago
				closed = append(closed, terms.Reason{Code: r.Code, Message: r.Message})
			}
			continue
		}
		by, no := who(b)
		for _, id := range b.held() {
			if b.State.Held[id].Product != in.Product {
				continue
			}
			c := b.examine(by, id, no)
			if err := c.block(blocked); err != nil {
				return nil, nil, err
			}
			if shared && c.no == nil && c.body.Terms.Seats > 0 {
				c.no = sharedHere(in.Product)
			}
			list = append(list, c)
		}
		for _, id := range b.loans() {
			if b.Loans[id].Product != in.Product {
				continue
			}
			c := b.examineLoan(by, id, no)
			if err := c.block(blocked); err != nil {
				return nil, nil, err
			}
			list = append(list, c)
		}
	}
	return newest(list), closed, nil
}

// trusted judges by what this machine trusts.
func (a *Agent) trusted(b *box) (judge, *refusal.Refusal) {
	v, no := a.vendorOf(b)
	if no != nil {
		return judge{}, no
	}
	return b.judge(v), nil
}

// vendorOf reads the trust in a container's vendor.
func (a *Agent) vendorOf(b *box) (vendor, *refusal.Refusal) {
	v, err := a.vendor(b.header.Vendor)
	if err == nil {
		err = b.belongs(v)
	}
	if err == nil {
		return v, nil
	}
	r, ok := refusal.As(err)
	if !ok {
		r = refusal.New(refusal.Internal, "The trust in vendor %s cannot be read: %v", b.header.Vendor, err)
	}
	return v, r
}

// judge judges a container's licenses by the trust in its vendor.
func (b *box) judge(v vendor) judge {
	v = b.newest(v)
	known := sync.OnceValues(func() (*seal.Verifier, error) { return v.verifier(b.Certificates) })
	return judge{certificates: v.trust.Certificates, trust: v.trust.Signed, license: func(step, body []byte) (container.Body, error) {
		verifier, err := known()
		if err != nil {
			return container.Body{}, err
		}
		_, got, err := verifier.License(step, body)
		return got, err
	}, lease: func(document []byte) (seats.Lease, container.Body, error) {
		verifier, err := known()
		if err != nil {
			return seats.Lease{}, container.Body{}, err
		}
		return verifier.Lease(document)
	}}
}

// examine looks at one license that is held: whether its body opens, and
// whether the vendor signed it for this container.
func (b *box) examine(by judge, id license.ID, no *refusal.Refusal) candidate {
	c := candidate{box: b, by: by, id: id, no: no}
	body, ok := b.bodies[id]
	switch {
	case !ok || body.Reissue:
		c.reissue = true
		c.no = refusal.New(refusal.OtherMachine, "The container was repaired, and the vendor must send the license again.").
			Hinted("Run licet update, or licet request and licet import without a network.")
		return c
	case body.Locked:
		c.locked = true
		c.no = otherMachine(string(b.serial()), b.match, "license "+string(id))
		if b.Facts[id].Repair {
			c.no.Hinted("Undo the change, or run licet container repair %s.", b.serial())
		}
		return c
	case no != nil:
		return c
	}
	c.data = body.Data
	c.body, c.step, c.no = b.verify(by, id, body.Data)
	return c
}

// verify proves one license: the vendor's signature over the step, the step's
// hash of the body, and that both are for this container and its key.
func (b *box) verify(by judge, id license.ID, data []byte) (container.Body, []byte, *refusal.Refusal) {
	forged := func(why string) (container.Body, []byte, *refusal.Refusal) {
		return container.Body{}, nil, refusal.New(refusal.BadSignature, "The license %s in container %s cannot be used: %s.", id, b.serial(), why).
			Hinted("Run licet update; if it stays, ask the vendor.")
	}
	held := b.State.Held[id]
	signed, ok := b.State.Signed(held.Step)
	if !ok {
		return forged("the signed step that brought it is missing")
	}
	body, err := by.license(signed, data)
	switch {
	case refusal.Is(err, refusal.KeyRevoked):
		return container.Body{}, nil, refusal.New(refusal.KeyRevoked, "The license %s in container %s was signed with a key that the vendor has revoked.", id, b.serial())
	case err != nil:
		return forged("its signature does not fit")
	case body.License != id, body.Generation != held.Generation, body.Product != held.Product, sha256.Sum256(data) != held.Body,
		body.Container != b.serial(), !bytes.Equal(body.ContainerKey, b.SigningKey):
		return forged("it was made for another place")
	}
	return body, signed, nil
}

// verdict decides by the terms, or says why there are none.
func (c candidate) verdict(use terms.Use, now license.Time) terms.Verdict {
	if c.no != nil {
		return no(c.no)
	}
	v := terms.Check(c.held(), use, terms.Clock{Now: now, Floor: c.box.State.Floor})
	if v.Valid && c.unrenewed() {
		v.Warnings = append(v.Warnings, terms.Reason{Code: refusal.CheckInOverdue,
			Message: "It was reported to the vendor as lost, and until he has decided, contact does not renew it. If you have it, tell him."})
	}
	return v
}

// unrenewed reports whether the latest contact left the license out.
func (c candidate) unrenewed() bool {
	return c.loan == nil && c.box.State.ContactOf(c.id) != c.box.State.LastContact
}

func (c candidate) hint(code refusal.Code) string {
	if c.no != nil {
		return c.no.NextStep()
	}
	if code == refusal.CheckInOverdue && c.unrenewed() {
		return "Tell the vendor that you have it: it was reported to him as lost, and he renews it when he has decided."
	}
	if c.loan != nil && code == refusal.Expired {
		return "Borrow it again: licet borrow " + c.loan.Product + " --for DURATION."
	}
	return refusal.Lookup(code).Hint
}

// no is a verdict that rests on a refusal.
func no(r *refusal.Refusal) terms.Verdict {
	return terms.Verdict{Code: r.Code, Reasons: []terms.Reason{{Code: r.Code, Message: r.Message}}}
}

// nothingFor is the verdict where no container that opens has the product. A
// container that does not open may have it, so that comes first.
func nothingFor(product string, closed []terms.Reason) terms.Verdict {
	reasons := append(slices.Clone(closed), terms.Reason{Code: refusal.NoLicense, Message: "No license for " + product + " is on this machine."})
	if len(closed) > 0 {
		reasons[len(reasons)-1].Message = "No container that opens here has a license for " + product + "."
	}
	return terms.Verdict{Code: reasons[0].Code, Reasons: reasons}
}

// scope is where a container's documents count.
func (b *box) scope() seal.Scope {
	return seal.Scope{Vendor: seal.VendorID(b.header.Vendor), Environment: b.Environment}
}
