package seats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"unicode/utf8"

	"licet/license"
)

// RecordKind says what a record states.
type RecordKind byte

// The kinds of record.
const (
	Granted   RecordKind = 1  // Lease began, in place of Replaces where that is named
	Extended  RecordKind = 2  // the loan Lease.ID lasts until Lease.Until
	Ended     RecordKind = 3  // Lease.ID is over; its seat lingers until Lease.Until where that is not 0
	Confirmed RecordKind = 4  // the holder of the loan Lease.ID is known to have it
	Lost      RecordKind = 5  // what was recorded before is lost; sessions had at most TTL (R27)
	Settled   RecordKind = 6  // no session from before the loss can run any more
	Pardoned  RecordKind = 7  // an administrator says that nothing unknown is out
	Answered  RecordKind = 8  // Wish was granted by Lease.ID
	Fenced    RecordKind = 9  // Lease.Fence was given out
	Counted   RecordKind = 10 // Wish had Number, of the container Lease.Holder; without a Wish, it and all before are forgotten
)

// How says how a lease ended.
type How byte

// The ways to end.
const (
	Released      How = 1 // by its holder
	Expired       How = 2 // it was not extended, or its date came
	EndedByAdmin  How = 3
	ReturnedEarly How = 4 // a loan or transfer, proven by its holder
	Lingered      How = 5 // its seat was released before, and no longer lingers
	lastHow           = Lingered
)

// String is a word for people and logs.
func (h How) String() string {
	return [...]string{"", "released", "expired", "ended by an administrator", "returned", "lingered"}[min(h, lastHow)]
}

// Record is one fact that must be durable before what it came with is answered.
// A record holds the token of its lease: where it is kept, nobody but the server
// may read, and String leaves it out.
type Record struct {
	Kind RecordKind
	Time license.Time // when it was decided
	// Lease is whole in Granted. Else it has ID and, by kind, what RecordKind says;
	// Extended has From, Nonce and Fence too, Ended has Kind, License, Product, Seats.
	Lease    Lease
	Vendor   string
	Address  netip.Addr
	Local    bool
	Token    Token
	TTL      license.Duration // of a session, as it may be extended by
	Takes    int64            // seats that are taken by it: none where nothing is counted
	Station  bool             // its station takes one seat for all its sessions
	Replaces LeaseID          // ended by the same fact
	How      How
	By, Why  string // administrator
	Wish     Wish   // in Answered and Counted; in Granted of a session it need not be there, and is not written
	Number   uint64 // of a wish
}

// Wish is a hash of what names a wish.
type Wish [16]byte

// String leaves the token out.
func (r Record) String() string {
	return fmt.Sprintf("record %d of %s: lease %s %s, until %s", r.Kind, r.Time, r.Lease.ID, r.How, r.Lease.Until)
}

// limits of what a record holds, far above what the engine makes
const (
	maxText   = 1 << 10
	maxGroups = 256
)

// coder writes or reads one record; both go through the same list of fields, so
// that they agree.
type coder struct {
	reading bool
	b       []byte
	err     error
}

var errRecord = errors.New("seats: this is no record of a license server")

func (c *coder) fail() {
	if c.err == nil {
		c.err = errRecord
	}
}

func (c *coder) number(n uint64) uint64 {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, n)
		return n
	}
	v, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.fail()
		c.b = nil
		return 0
	}
	c.b = c.b[size:]
	return v
}

// count is for numbers that are never negative.
func count[T ~int64](c *coder, n *T) {
	if !c.reading && *n < 0 {
		c.fail()
		return
	}
	v := c.number(uint64(*n))
	if v > math.MaxInt64 {
		c.fail()
		v = 0
	}
	*n = T(v)
}

func flag(c *coder, f *bool) {
	var n uint64
	if *f {
		n = 1
	}
	if n = c.number(n); n > 1 {
		c.fail()
	}
	*f = n == 1
}

func text[T ~string](c *coder, s *T) {
	if !c.reading {
		if len(*s) > maxText || !utf8.ValidString(string(*s)) {
			c.fail()
			return
		}
		c.number(uint64(len(*s)))
		c.b = append(c.b, *s...)
		return
	}
	b := c.take()
	if !utf8.Valid(b) {
		c.fail()
	}
	*s = T(b)
}

func data(c *coder, d *[]byte) {
	if !c.reading {
		if len(*d) > maxText {
			c.fail()
			return
		}
		c.number(uint64(len(*d)))
		c.b = append(c.b, *d...)
		return
	}
	if b := c.take(); len(b) > 0 {
		*d = bytes.Clone(b)
	}
}

// take reads a length and as many bytes.
func (c *coder) take() []byte {
	n := c.number(0)
	if n > maxText || n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func fixed(c *coder, d []byte) {
	switch {
	case !c.reading:
		c.b = append(c.b, d...)
	case len(c.b) < len(d):
		c.fail()
	default:
		c.b = c.b[copy(d, c.b):]
	}
}

func address(c *coder, a *netip.Addr) {
	b := a.WithZone("").AsSlice()
	data(c, &b)
	if !c.reading {
		return
	}
	var ok bool
	if *a, ok = netip.AddrFromSlice(b); !ok && len(b) > 0 {
		c.fail()
	}
}

func (c *coder) client(cl *Client) {
	text(c, &cl.ID)
	text(c, &cl.Host)
	text(c, &cl.User)
	count(c, &cl.PID)
	n := c.number(uint64(len(cl.Groups)))
	if n > maxGroups || c.reading && n > uint64(len(c.b)) {
		c.fail()
		return
	}
	if c.reading && n > 0 {
		cl.Groups = make([]string, n)
	}
	for i := range cl.Groups {
		text(c, &cl.Groups[i])
	}
}

func (c *coder) lease(l *Lease) {
	text(c, &l.ID)
	text(c, &l.Kind)
	text(c, &l.Server)
	text(c, &l.License)
	l.Generation = license.Generation(c.number(uint64(l.Generation)))
	text(c, &l.Product)
	count(c, &l.Seats)
	c.client(&l.Client)
	text(c, &l.Nonce)
	count(c, &l.From)
	count(c, &l.Until)
	l.Fence = c.number(l.Fence)
	text(c, &l.Holder)
	data(c, &l.HolderKey)
}

func (c *coder) record(r *Record) {
	r.Kind = RecordKind(c.number(uint64(r.Kind)))
	count(c, &r.Time)
	switch r.Kind {
	case Granted:
		c.lease(&r.Lease)
		text(c, &r.Vendor)
		address(c, &r.Address)
		flag(c, &r.Local)
		fixed(c, r.Token[:])
		count(c, &r.TTL)
		count(c, &r.Takes)
		flag(c, &r.Station)
		text(c, &r.Replaces)
	case Extended:
		text(c, &r.Lease.ID)
		text(c, &r.Lease.Nonce)
		count(c, &r.Lease.From)
		count(c, &r.Lease.Until)
		r.Lease.Fence = c.number(r.Lease.Fence)
	case Ended:
		text(c, &r.Lease.ID)
		text(c, &r.Lease.Kind)
		text(c, &r.Lease.License)
		text(c, &r.Lease.Product)
		count(c, &r.Lease.Seats)
		count(c, &r.Lease.Until)
		r.How = How(c.number(uint64(r.How)))
		text(c, &r.By)
		text(c, &r.Why)
		if r.How == 0 || r.How > lastHow {
			c.fail()
		}
	case Confirmed:
		text(c, &r.Lease.ID)
	case Lost:
		count(c, &r.TTL)
	case Settled:
	case Pardoned:
		text(c, &r.By)
		text(c, &r.Why)
	case Answered:
		text(c, &r.Lease.ID)
		fixed(c, r.Wish[:])
	case Fenced:
		r.Lease.Fence = c.number(r.Lease.Fence)
	case Counted:
		text(c, &r.Lease.Holder)
		fixed(c, r.Wish[:])
		r.Number = c.number(r.Number)
	default:
		c.fail()
	}
}

// AppendBinary appends r in its one spelling.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	c := coder{b: b}
	c.record(&r)
	return c.b, c.err
}

// MarshalBinary writes r in its one spelling.
func (r Record) MarshalBinary() ([]byte, error) { return r.AppendBinary(nil) }

// UnmarshalBinary reads what MarshalBinary writes, and nothing else.
func (r *Record) UnmarshalBinary(b []byte) error {
	c := coder{reading: true, b: b}
	var read Record
	c.record(&read)
	if len(c.b) > 0 {
		c.fail()
	}
	if c.err != nil {
		return c.err
	}
	if again, err := read.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		return errRecord // another spelling
	}
	*r = read
	return nil
}
