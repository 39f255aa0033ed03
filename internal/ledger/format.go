package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A file is a header and groups, in the order in which they were made durable, and
// zeros behind them.
//
//	header   magic (16) identity (16) base number (8) base head (32) crc (4)
//	group    marker (4) length (4) number (8) crc (4) content (length)
//	content  records, each with its length before it
//
// A group is synced before the next one is written. So only the last can be
// incomplete; a group that does not read while a later one does is damage.
const (
	magic      = "licet ledger 1\n\x00"
	headerSize = 16 + 16 + 8 + 32 + 4
	groupHead  = 4 + 4 + 8 + 4
	marker     = 0x4c475250
)

// A record that is larger than this was not written by a ledger.
const maxGroup = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Identity tells one ledger from all others.
type Identity [16]byte

// Head is the hash of everything in a ledger up to a group.
type Head [32]byte

// Point is a place in a ledger, as it can be remembered elsewhere.
type Point struct {
	Identity Identity
	Number   uint64 // of the last group; 0 before the first
	Head     Head
}

// Errors of a ledger that cannot be gone on with. A ledger that is not there gives
// fs.ErrNotExist.
var (
	// ErrDamaged says that something in the file is not what was written.
	ErrDamaged = errors.New("ledger: damaged")
	// ErrOlder says that the file lacks what is remembered elsewhere: it was put back,
	// or is another one.
	ErrOlder = errors.New("ledger: older than what is remembered of it")
)

func encodeHeader(base Point) []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, base.Identity[:]...)
	b = binary.BigEndian.AppendUint64(b, base.Number)
	b = append(b, base.Head[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHeader(data []byte) (base Point, err error) {
	if len(data) < headerSize {
		return base, fmt.Errorf("%w: it ends within its header", ErrDamaged)
	}
	head, sum := data[:headerSize-4], binary.BigEndian.Uint32(data[headerSize-4:])
	if string(head[:len(magic)]) != magic || crc32.Checksum(head, castagnoli) != sum {
		return base, fmt.Errorf("%w: its header does not read", ErrDamaged)
	}
	head = head[len(magic):]
	copy(base.Identity[:], head)
	base.Number = binary.BigEndian.Uint64(head[16:])
	copy(base.Head[:], head[24:])
	return base, nil
}

// appendRecord adds a record to a group's content.
func appendRecord(content, record []byte) []byte {
	content = binary.AppendUvarint(content, uint64(len(record)))
	return append(content, record...)
}

// checksum is that of a group, which no other ledger's group has by chance.
func checksum(id Identity, head, content []byte) uint32 {
	sum := crc32.Update(0, castagnoli, id[:])
	sum = crc32.Update(sum, castagnoli, head)
	return crc32.Update(sum, castagnoli, content)
}

// appendGroup writes a group.
func appendGroup(b []byte, id Identity, number uint64, content []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, marker)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, checksum(id, b[start:], content))
	return append(b, content...)
}

// readGroup reads the group at the start of data.
func readGroup(data []byte, id Identity) (number uint64, content []byte, ok bool) {
	if len(data) < groupHead || binary.BigEndian.Uint32(data) != marker {
		return 0, nil, false
	}
	length := int(binary.BigEndian.Uint32(data[4:]))
	if length > maxGroup || length > len(data)-groupHead {
		return 0, nil, false
	}
	content = data[groupHead : groupHead+length]
	if binary.BigEndian.Uint32(data[16:]) != checksum(id, data[:16], content) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(data[8:]), content, true
}

// follow is the head after a group.
func (h Head) follow(number uint64, content []byte) Head {
	sum := sha256.New()
	sum.Write(h[:])
	sum.Write(binary.BigEndian.AppendUint64(nil, number))
	sum.Write(content)
	var next Head
	sum.Sum(next[:0])
	return next
}

// scan reads a file's groups in order and gives each record to replay. It answers
// the point after the last group, and where in the file that ends. Known is looked
// for on the way.
func scan(data []byte, known Point, replay func(record []byte) error) (end Point, at int64, err error) {
	if end, err = decodeHeader(data); err != nil {
		return end, 0, err
	}
	if known.Identity != (Identity{}) && end.Identity != known.Identity {
		return end, 0, fmt.Errorf("%w: it is another one", ErrOlder)
	}
	met := known.Number < end.Number // what lies before the file's first group cannot be compared
	rest := data[headerSize:]
	for {
		met = met || end == known
		number, content, ok := readGroup(rest, end.Identity)
		if !ok {
			break
		}
		if number != end.Number+1 {
			return end, 0, fmt.Errorf("%w: group %d stands where %d belongs", ErrDamaged, number, end.Number+1)
		}
		if err := eachRecord(content, replay); err != nil {
			return end, 0, fmt.Errorf("group %d: %w", number, err)
		}
		end.Number, end.Head = number, end.Head.follow(number, content)
		rest = rest[groupHead+len(content):]
	}
	if number, ok := later(rest, end); ok {
		return end, 0, fmt.Errorf("%w: group %d is there, and what is before it does not read", ErrDamaged, number)
	}
	if known.Identity != (Identity{}) && !met {
		if end.Number < known.Number {
			return end, 0, fmt.Errorf("%w: it ends with group %d, and there was a group %d", ErrOlder, end.Number, known.Number)
		}
		return end, 0, fmt.Errorf("%w: group %d is not the one that is remembered", ErrOlder, known.Number)
	}
	return end, int64(len(data) - len(rest)), nil
}

func eachRecord(content []byte, replay func([]byte) error) error {
	for len(content) > 0 {
		length, n := binary.Uvarint(content)
		if n <= 0 || length > uint64(len(content)-n) {
			return fmt.Errorf("%w: a record does not end", ErrDamaged)
		}
		record := content[n : n+int(length)]
		content = content[n+int(length):]
		if err := replay(record); err != nil {
			return err
		}
	}
	return nil
}

// later looks for a group behind what does not read.
func later(rest []byte, end Point) (number uint64, ok bool) {
	mark := binary.BigEndian.AppendUint32(nil, marker)
	for {
		at := bytes.Index(rest, mark)
		if at < 0 {
			return 0, false
		}
		rest = rest[at:]
		if number, _, ok := readGroup(rest, end.Identity); ok && number > end.Number {
			return number, true
		}
		rest = rest[1:]
	}
}
