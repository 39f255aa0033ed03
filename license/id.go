package license

import (
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// idAlphabet is Crockford's base32: it sorts like the bytes it writes and has
// no look-alikes.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// NewID makes an id such as "lic_06bq3c8v4w9x2m5n7p1d8a": a word for what it
// names, then 48 bits of time in milliseconds and 64 random bits, so that ids
// made later sort later. Random must have 8 bytes or more.
func NewID(word string, now time.Time, random []byte) string {
	var b [14]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	copy(b[6:], random[:8])
	return word + "_" + strings.TrimRight(idEncoding.EncodeToString(b[:]), "=")
}
