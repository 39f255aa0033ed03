package license

import (
	"encoding/base32"
	"encoding/binary"
	"time"
)

// idAlphabet is Crockford's base32: it sorts like the bytes it writes and has
// no look-alikes.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// IDs makes ids that sort in the order they were made, whatever the clock does.
// The zero value is ready; it is not safe for concurrent use.
type IDs struct {
	last int64 // milliseconds since 1970
	next uint16
}

// New makes an id such as "lic_01krx3m2k5g0001q7w8e9r0t1y2": a word for what it
// names, 48 bits of time in milliseconds, 16 bits that count within one, and 48
// random bits against other makers at the same time.
func (ids *IDs) New(word string, now time.Time, random [6]byte) string {
	switch ms := now.UnixMilli(); {
	case ms > ids.last:
		ids.last, ids.next = ms, 0
	case ids.next == 1<<16-1:
		ids.last, ids.next = ids.last+1, 0
	default:
		ids.next++
	}
	var b [14]byte
	binary.BigEndian.PutUint64(b[:8], uint64(ids.last)<<16|uint64(ids.next))
	copy(b[8:], random[:])
	return word + "_" + idEncoding.EncodeToString(b[:])
}
