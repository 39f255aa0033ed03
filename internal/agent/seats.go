package agent

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/http"
	"os"
	"slices"

	"licet/container"
	"licet/internal/containerfile"
	"licet/internal/durable"
	"licet/internal/ledger"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// Shared is one container of this machine as a license server needs it: with the
// keys to speak for it.
type Shared struct {
	Scope       seal.Scope
	Vendor      string // the vendor's name
	Serial      license.Serial
	Kind        license.Kind
	Identity    container.Identity
	Keys        *seal.ContainerKeys
	Floor       license.Time // latest time that is known to have passed
	LastContact license.Time
	// Ledger is how far the server's ledger had got when the container last heard of
	// it; the zero value for never.
	Ledger   ledger.Point
	Longest  license.Duration // session that the server may have granted, as far as it was told then
	Licenses []SharedLicense
	Moves    map[string]container.Move // units that moved to other containers, by name
}

// SharedLicense is a license that the vendor's signature was proven of.
type SharedLicense struct {
	Body container.Body
	Name string           // of the product
	Part []byte           // what every lease of it begins with (seal.LicensePart)
	No   *refusal.Refusal // why it may not be used, whatever the time
}

// Shared reads the containers of this machine that open and whose vendor is
// trusted. Licenses that cannot be proven are passed over, and told to the log.
func (a *Agent) Shared(ctx context.Context) ([]Shared, error) {
	entries, err := a.entries("")
	if err != nil {
		return nil, err
	}
	traits := a.traits()
	blocked := a.blocks(Blocks{})
	defer blocked.Close()
	var list []Shared
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := a.open(ctx, license.Serial(e.Serial), traits)
		if err != nil {
			a.cfg.Log.Warn("the seats of a container are not shared", "container", e.Serial, "error", err)
			continue
		}
		one, err := a.sharedOf(b, blocked)
		if err != nil {
			a.cfg.Log.Warn("the seats of a container are not shared", "container", e.Serial, "error", err)
			continue
		}
		list = append(list, one)
	}
	return list, nil
}

func (a *Agent) sharedOf(b *box, blocked *blocks) (Shared, error) {
	v, no := a.vendorOf(b)
	if no != nil {
		return Shared{}, no
	}
	keys, err := b.keys()
	if err != nil {
		return Shared{}, err
	}
	s := Shared{
		Scope: b.scope(), Vendor: v.name(), Serial: b.serial(), Kind: b.kind(), Identity: b.identity(), Keys: keys,
		Floor: b.State.Floor, LastContact: b.State.LastContact, Moves: b.State.Moves,
	}
	if b.Ledger != nil {
		s.Ledger = ledger.Point{Identity: b.Ledger.Identity, Number: b.Ledger.Number, Head: b.Ledger.Head}
		s.Longest = b.Ledger.Longest
	}
	v = b.newest(v)
	by := b.judge(v)
	for _, id := range b.held() {
		c := b.examine(by, id, nil)
		if c.no != nil {
			a.cfg.Log.Warn("the seats of a license are not shared", "license", id, "error", c.no)
			continue
		}
		if err := c.block(blocked); err != nil {
			return Shared{}, err
		}
		part, err := v.licensePart(c.step, c.data, addCertificates(b.Certificates, v.trust.Certificates))
		if err != nil {
			a.cfg.Log.Warn("the seats of a license are not shared", "license", id, "error", err)
			continue
		}
		s.Licenses = append(s.Licenses, SharedLicense{Body: c.body, Name: b.Facts[id].Name, Part: part, No: c.no})
	}
	return s, nil
}

// licensePart is what the leases of a license begin with. Of the certificates it
// takes the one by which the step is proven, so that no lease carries more.
func (v vendor) licensePart(step, body []byte, certificates [][]byte) ([]byte, error) {
	bare := *v.trust
	bare.Certificates = nil
	for _, c := range certificates {
		verifier, err := seal.NewVerifier(&bare, c)
		if err != nil {
			continue // another key's, or an old one's
		}
		if _, _, err := verifier.License(step, body); err == nil {
			return seal.LicensePart(step, body, c)
		}
	}
	return seal.LicensePart(step, body, certificates...)
}

// ledgerMark is how far a license server's ledger had got, as its container
// remembers it.
type ledgerMark struct {
	Identity [16]byte         `cbor:"1,keyasint"`
	Number   uint64           `cbor:"2,keyasint"`
	Head     [32]byte         `cbor:"3,keyasint"`
	Longest  license.Duration `cbor:"4,keyasint"`
}

// RememberLedger makes every container that opens here remember how far the
// license server's ledger has got, so that one that is missing, put back or changed
// is noticed (docs/protocol.md R27). Lent is what the server has out of each license
// of each container, none included.
func (a *Agent) RememberLedger(ctx context.Context, p ledger.Point, longest license.Duration, lent map[license.Serial][]container.Lent) error {
	return a.write(ctx, func() error {
		entries, err := containerfile.List(a.cfg.Home)
		if err != nil {
			return storage(err)
		}
		traits := a.traits()
		for _, e := range entries {
			b, err := a.open(ctx, license.Serial(e.Serial), traits)
			if err != nil {
				a.cfg.Log.Debug("the ledger's state is not remembered", "container", e.Serial, "error", err)
				continue // its seats are not shared either
			}
			mark := ledgerMark{Identity: p.Identity, Number: p.Number, Head: p.Head, Longest: longest}
			out := b.stillLent(lent[b.serial()], a.now())
			if b.Ledger != nil && *b.Ledger == mark && slices.Equal(out, b.Lent) {
				continue
			}
			b.Ledger, b.Lent = &mark, out
			if err := a.save(ctx, b); err != nil {
				return err
			}
			a.cfg.Log.Debug("the ledger's state is remembered", "container", e.Serial, "group", p.Number, "head", hex.EncodeToString(p.Head[:4]))
		}
		return nil
	})
}

// sharingMark is a file in the home while a license server shares the seats of the
// licenses here.
const sharingMark = "server/sharing"

// Sharing reports whether a license server shares the seats of this home's licenses
// now. Programs on this machine take seats too then, through the agent's socket. A
// mark that a killed server left does not count.
func (a *Agent) Sharing(ctx context.Context) bool {
	if _, err := os.Lstat(a.home.path(sharingMark)); err != nil {
		return false
	}
	return a.home.answers(ctx)
}

// MarkSharing says that a license server shares the seats of this home's licenses, or
// does no longer.
func (a *Agent) MarkSharing(on bool) error {
	if on {
		return storage(a.cfg.Disk.WritePath(a.home.path(sharingMark), nil, durable.PrivateFile))
	}
	if err := os.Remove(a.home.path(sharingMark)); err != nil && !missing(err) {
		return storage(err)
	}
	return nil
}

// sharedHere says that a license of this machine is not for direct use.
func sharedHere(product string) *refusal.Refusal {
	return refusal.New(refusal.NoSeatFree, "The seats of %s are shared by the license server on this machine, and this program has none of them.", product).
		Hinted("Take one: programs do so by themselves; licet sessions shows who has them.")
}

// SocketHTTP speaks to this machine's agent, for who asks its license server for seats.
func SocketHTTP(cfg Config) *http.Client { return Connect(cfg).socket }

// Lent says what of a container's licenses is out, as its license server knows it at
// this moment; ok is false while that has no record yet. Leaving are licenses that are
// about to leave the container: from now on the server gives nothing of them, until it
// has looked at the containers again.
type Lent func(c license.Serial, leaving []license.ID) (out []container.Lent, ok bool)

// AskLent has a license server in this process asked what is out, instead of what the
// containers remember of it, which may be a second older. Call it before Serve.
func (a *Agent) AskLent(lent Lent) { a.lent = lent }

// lentOf is what is out of a container's licenses, as far as anybody here knows.
func (a *Agent) lentOf(b *box, leaving ...license.ID) []container.Lent {
	if a.lent != nil {
		if told, ok := a.lent(b.serial(), leaving); ok {
			return b.stillLent(told, a.now())
		}
	}
	return b.Lent
}

// stillLent is what is out of a container's licenses: what its server says, and of
// a license that the server has no more, what it said last, as loans outlast it.
func (b *box) stillLent(told []container.Lent, now license.Time) []container.Lent {
	var out []container.Lent
	for _, l := range told {
		if l.Seats > 0 {
			out = append(out, l)
		}
	}
	for _, l := range b.Lent {
		same := func(o container.Lent) bool { return o.License == l.License && o.Generation == l.Generation }
		if l.Out(now) && !slices.ContainsFunc(told, same) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y container.Lent) int {
		return cmp.Or(cmp.Compare(x.License, y.License), cmp.Compare(x.Generation, y.Generation))
	})
	return out
}

// goesWhileLent reports whether the terms of a license allow its return while seats
// of it are out. Of one that cannot be read nobody can tell, so they do not.
func (b *box) goesWhileLent(id license.ID) bool {
	body, err := seal.DecodeBody(b.bodies[id].Data)
	return err == nil && body.Terms.Borrow.Out == license.OutAllow
}

// seatsOf is how many seats a license has by its body, 0 where it cannot be read.
func seatsOf(data []byte) int64 {
	body, err := seal.DecodeBody(data)
	if err != nil {
		return 0
	}
	return body.Terms.Seats
}
