package blocklist

import (
	"encoding/binary"
	"math/bits"
)

// A coded set is empty for the empty set. Otherwise it is
//
//	the number of entries n, as an unsigned varint of the shortest form
//	for each entry, in rising order, its distance d to the one before, less one
//	    (the first: its value): d >> k ones and a zero, then the low k bits of d
//	zeros up to a whole byte
//
// with k = 64 − the number of bits in n, which suits n hashes of 64 bits. Bits
// fill a byte from its highest. A set has one coding, and every coding is of a
// set that rises strictly.

// riceBits is k for n entries.
func riceBits(n int) int { return 64 - bits.Len64(uint64(n)) }

// Encode codes a set of entries, given in any order.
func Encode(entries []Entry) []byte {
	entries = sorted(entries)
	if len(entries) == 0 {
		return []byte{}
	}
	k := riceBits(len(entries))
	b := make([]byte, 0, binary.MaxVarintLen64+len(entries)*(k+3)/8+1)
	w := bitWriter{b: binary.AppendUvarint(b, uint64(len(entries)))}
	next := uint64(0)
	for _, e := range entries {
		d := uint64(e) - next
		for range d >> k {
			w.write(1, 1)
		}
		w.write(0, 1)
		w.write(d&(1<<k-1), k)
		next = uint64(e) + 1
	}
	return w.b
}

// Decode reads a coded set, strictly rising.
func Decode(coded []byte) ([]Entry, error) {
	if len(coded) == 0 {
		return nil, nil
	}
	count, head := binary.Uvarint(coded)
	if head <= 0 || count == 0 || count > MaxEntries || head > 1 && coded[head-1] == 0 {
		return nil, damaged()
	}
	n := int(count)
	k := riceBits(n)
	r := bitReader{b: coded[head:]}
	if n*(k+1) > 8*len(r.b) { // before anything is made for them
		return nil, damaged()
	}
	entries := make([]Entry, n)
	next, over := uint64(0), false // over: nothing is above the last one
	for i := range entries {
		q := r.ones()
		low := r.read(k)
		// The sum of all quotients is below 2^64 >> k, so that more is no set.
		if over || q >= 1<<(64-k) {
			return nil, damaged()
		}
		e, carry := bits.Add64(next, uint64(q)<<k|low, 0)
		if carry != 0 {
			return nil, damaged()
		}
		entries[i] = Entry(e)
		next, over = e+1, e == 1<<64-1
	}
	if !r.ended() {
		return nil, damaged()
	}
	return entries, nil
}

// bitWriter appends bits.
type bitWriter struct {
	b    []byte
	free int // bits of the last byte that are not written
}

// write appends the low n bits of v, the highest first.
func (w *bitWriter) write(v uint64, n int) {
	for n > 0 {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		take := min(n, w.free)
		n, w.free = n-take, w.free-take
		w.b[len(w.b)-1] |= byte(v>>n&(1<<take-1)) << w.free
	}
}

// bitReader reads bits; beyond the end it reads zeros, which ended tells.
type bitReader struct {
	b  []byte
	at int // in bits
}

// peek is the next 57 bits or more, from the highest.
func (r *bitReader) peek() uint64 {
	i := r.at / 8
	if i+8 <= len(r.b) {
		return binary.BigEndian.Uint64(r.b[i:]) << (r.at % 8)
	}
	var room [8]byte
	if i < len(r.b) {
		copy(room[:], r.b[i:])
	}
	return binary.BigEndian.Uint64(room[:]) << (r.at % 8)
}

// ones reads ones and the zero after them, and counts the ones.
func (r *bitReader) ones() (n int) {
	for {
		run := min(bits.LeadingZeros64(^r.peek()), 56)
		n, r.at = n+run, r.at+run
		if run < 56 {
			r.at++
			return n
		}
	}
}

// read reads the next n bits, at most 63.
func (r *bitReader) read(n int) (v uint64) {
	if n > 32 {
		v = r.peek() >> 32
		r.at, n = r.at+32, n-32
	}
	if n == 0 {
		return v
	}
	v = v<<n | r.peek()>>(64-n)
	r.at += n
	return v
}

// ended reports whether everything was read, to the last byte, and the bits left
// in that are zeros.
func (r *bitReader) ended() bool {
	return r.at <= 8*len(r.b) && 8*len(r.b)-r.at < 8 && (r.at%8 == 0 || r.b[len(r.b)-1]<<(r.at%8) == 0)
}
