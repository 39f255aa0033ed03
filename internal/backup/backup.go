// Package backup is the file of a back-up: a header, the rows of every table, and
// at the end what proves that all of it is there and nothing was changed. It knows
// no database: a file that was made of one engine loads into the other.
//
//	file   = "LICET BACKUP 1\n" gzip(header *rows end)
//	frame  = length, 4 bytes big-endian ‖ kind, 1 byte ‖ content
//	header = frame "H", JSON
//	rows   = frame "R", CBOR: [number of the table, [row, …]], a row a list of null,
//	         integer, text or bytes, in the order of the table's columns
//	end    = frame "E", JSON: rows of each table, SHA-256 of all frames before,
//	         and that hash as only the secret.key of the server makes it
//
// Encrypted, the whole is a file of age (https://age-encryption.org/v1).
package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/fxamacker/cbor/v2"

	"licet/license"
)

// Version is the version of the file's format.
const Version = 1

const (
	magic = "LICET BACKUP 1\n"

	// maxFrame is the most that a frame may have, in bytes: one row with a report and
	// its answer, at their largest, with room.
	maxFrame = 32 << 20
	// fullFrame is how many bytes of rows make a frame.
	fullFrame = 256 << 10
	// maxTables and maxColumns bound what a header may say.
	maxTables, maxColumns = 200, 200
)

// ErrDamaged says that a file is no whole back-up: it is cut short, altered, or
// something else.
var ErrDamaged = errors.New("backup: the file is no whole back-up")

// ErrForeign says that a file does not begin as a back-up does.
var ErrForeign = errors.New("backup: the file is no back-up")

// ErrNewer says that a file was written by a newer version.
var ErrNewer = errors.New("backup: the file was written by a newer version")

// ErrEncrypted says that a file is encrypted, and no identity was given or fits.
var ErrEncrypted = errors.New("backup: the file is encrypted")

// Header says what a back-up is of.
type Header struct {
	Version     int          `json:"version"` // of the format
	Program     string       `json:"program"` // that wrote it
	Vendor      string       `json:"vendor"`  // id
	Name        string       `json:"name"`
	Environment string       `json:"environment"`
	Epoch       uint64       `json:"epoch"`
	Time        license.Time `json:"time"`   // of the snapshot
	Schema      int64        `json:"schema"` // the last migration
	Engine      string       `json:"engine"` // that it was made of
	Events      int64        `json:"events"`
	Newest      license.Time `json:"newest_event,omitzero"`
	Tables      []Table      `json:"tables"`
	Secret      []byte       `json:"secret,omitempty"`  // the secret of secret.key, if it was asked for
	Journal     *Journal     `json:"journal,omitempty"` // what of the second journal is in it; nil if the record has none
}

// Journal is a point of the second journal.
type Journal struct {
	Chain  string `json:"chain"`
	Number int64  `json:"number"` // of the last frame that is in the back-up
}

// Table is a table and its columns.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// end is what proves the file.
type end struct {
	Rows []int64 `json:"rows"` // of each table
	Sum  []byte  `json:"sum"`
	Mark []byte  `json:"mark"`
}

// Writer writes a back-up.
type Writer struct {
	out    io.Writer
	zip    *gzip.Writer
	sum    hash.Hash
	rows   []int64
	table  int
	frame  [][]any
	size   int
	locked io.WriteCloser // of age; nil if it is not encrypted
}

// NewWriter begins a back-up, encrypted to recipients if there are any.
func NewWriter(w io.Writer, h Header, recipients ...age.Recipient) (*Writer, error) {
	b := &Writer{sum: sha256.New(), rows: make([]int64, len(h.Tables))}
	b.out = w
	if len(recipients) > 0 {
		var err error
		if b.locked, err = age.Encrypt(w, recipients...); err != nil {
			return nil, err
		}
		b.out = b.locked
	}
	if _, err := io.WriteString(b.out, magic); err != nil {
		return nil, err
	}
	b.zip, _ = gzip.NewWriterLevel(b.out, gzip.BestSpeed) // a level that there is
	h.Version = Version
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return b, b.write('H', text)
}

func (b *Writer) write(kind byte, content []byte) error {
	if len(content) > maxFrame {
		return fmt.Errorf("backup: a row has %d bytes; the most is %d", len(content), maxFrame)
	}
	head := append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), kind)
	out := io.Writer(b.zip)
	if kind != 'E' {
		out = io.MultiWriter(b.zip, b.sum)
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// Row adds a row to a table; tables come in the order of the header. The values are
// nil, int64, string or []byte.
func (b *Writer) Row(table int, values []any) error {
	if table != b.table {
		if err := b.flush(); err != nil {
			return err
		}
		b.table = table
	}
	row := make([]any, len(values))
	for i, v := range values {
		row[i] = v
		b.size += 9
		switch v := v.(type) {
		case string:
			b.size += len(v)
		case []byte:
			row[i] = bytes.Clone(v)
			b.size += len(v)
		}
	}
	b.frame = append(b.frame, row)
	b.rows[table]++
	if b.size >= fullFrame {
		return b.flush()
	}
	return nil
}

func (b *Writer) flush() error {
	if len(b.frame) == 0 {
		return nil
	}
	content, err := cbor.Marshal([]any{b.table, b.frame})
	if err != nil {
		return err
	}
	b.frame, b.size = b.frame[:0], 0
	return b.write('R', content)
}

// Rows is how many rows were written.
func (b *Writer) Rows() (n int64) {
	for _, rows := range b.rows {
		n += rows
	}
	return n
}

// Close ends the back-up with its proof. Mark makes of a hash what only the holder
// of the secret can make.
func (b *Writer) Close(mark func(sum []byte) [32]byte) error {
	if err := b.flush(); err != nil {
		return err
	}
	sum := b.sum.Sum(nil)
	marked := mark(sum)
	text, err := json.Marshal(end{Rows: b.rows, Sum: sum, Mark: marked[:]})
	if err != nil {
		return err
	}
	if err := b.write('E', text); err != nil {
		return err
	}
	if err := b.zip.Close(); err != nil || b.locked == nil {
		return err
	}
	return b.locked.Close()
}

// Reader reads a back-up.
type Reader struct {
	Header Header

	in   *gzip.Reader
	raw  *bufio.Reader
	sum  hash.Hash
	rows []int64
	last int
	mark []byte
}

const ageMagic = "age-encryption.org/"

// NewReader opens a back-up. ErrEncrypted if it is encrypted and none of the
// identities fits; ErrNewer and ErrDamaged.
func NewReader(r io.Reader, identities ...age.Identity) (*Reader, error) {
	raw := bufio.NewReaderSize(r, 64<<10)
	foreign := ErrForeign
	if start, _ := raw.Peek(len(ageMagic)); string(start) == ageMagic {
		if len(identities) == 0 {
			return nil, ErrEncrypted
		}
		plain, err := age.Decrypt(raw, identities...)
		if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
			return nil, fmt.Errorf("%w: %w", ErrEncrypted, err)
		}
		if err != nil {
			return nil, damaged(err)
		}
		raw, foreign = bufio.NewReaderSize(plain, 64<<10), ErrDamaged
	}
	start := make([]byte, len(magic))
	if n, err := io.ReadFull(raw, start); err != nil {
		if string(start[:n]) != magic[:n] || n == 0 {
			return nil, foreign
		}
		return nil, damaged(err)
	}
	if string(start) != magic {
		if bytes.HasPrefix(start, []byte(magic[:len("LICET BACKUP ")])) {
			return nil, ErrNewer
		}
		return nil, foreign
	}
	zip, err := gzip.NewReader(raw)
	if err != nil {
		return nil, damaged(err)
	}
	zip.Multistream(false)
	b := &Reader{in: zip, raw: raw, sum: sha256.New()}
	kind, content, err := b.read()
	if err != nil || kind != 'H' {
		return nil, damaged(err)
	}
	if err := json.Unmarshal(content, &b.Header); err != nil {
		return nil, damaged(err)
	}
	switch h := b.Header; {
	case h.Version > Version:
		return nil, ErrNewer
	case h.Version != Version || len(h.Tables) > maxTables:
		return nil, damaged(nil)
	}
	for _, t := range b.Header.Tables {
		if len(t.Columns) == 0 || len(t.Columns) > maxColumns {
			return nil, damaged(nil)
		}
	}
	b.rows = make([]int64, len(b.Header.Tables))
	return b, nil
}

func damaged(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDamaged
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (b *Reader) read() (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil {
		return 0, nil, damaged(err)
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n > maxFrame {
		return 0, nil, damaged(nil)
	}
	// Grows with what is there, not with what the length says.
	var buffer bytes.Buffer
	if m, err := io.CopyN(&buffer, b.in, int64(n)); err != nil || m != int64(n) {
		return 0, nil, damaged(err)
	}
	if head[4] != 'E' {
		b.sum.Write(head[:])
		b.sum.Write(buffer.Bytes())
	}
	return head[4], buffer.Bytes(), nil
}

var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		IntDec: cbor.IntDecConvertSignedOrFail, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		UTF8: cbor.UTF8RejectInvalid, MaxNestedLevels: 4, MaxArrayElements: 1 << 20, MaxMapPairs: 16,
	}.DecMode()
	if err != nil {
		panic(err) // options that do not go together
	}
	return mode
}()

// Next gives the next rows of a table, in the order of the header's tables. At the
// end it has proven that the file is whole, and gives io.EOF.
func (b *Reader) Next() (table int, rows [][]any, err error) {
	kind, content, err := b.read()
	switch {
	case err != nil:
		return 0, nil, err
	case kind == 'E':
		if err := b.end(content); err != nil {
			return 0, nil, err
		}
		return 0, nil, io.EOF
	case kind != 'R':
		return 0, nil, damaged(nil)
	}
	var frame struct {
		_     struct{} `cbor:",toarray"`
		Table uint64
		Rows  [][]any
	}
	if err := decoding.Unmarshal(content, &frame); err != nil {
		return 0, nil, damaged(err)
	}
	if frame.Table >= uint64(len(b.rows)) || int(frame.Table) < b.last || len(frame.Rows) == 0 {
		return 0, nil, damaged(nil)
	}
	b.last = int(frame.Table)
	for _, row := range frame.Rows {
		if len(row) != len(b.Header.Tables[b.last].Columns) {
			return 0, nil, damaged(nil)
		}
		for _, v := range row {
			switch v.(type) {
			case nil, int64, string, []byte:
			default:
				return 0, nil, damaged(nil)
			}
		}
	}
	b.rows[b.last] += int64(len(frame.Rows))
	return b.last, frame.Rows, nil
}

func (b *Reader) end(content []byte) error {
	var e end
	if err := json.Unmarshal(content, &e); err != nil {
		return damaged(err)
	}
	if !bytes.Equal(e.Sum, b.sum.Sum(nil)) || len(e.Rows) != len(b.rows) {
		return damaged(nil)
	}
	for i, n := range e.Rows {
		if b.rows[i] != n {
			return damaged(nil)
		}
	}
	var one [1]byte
	if n, err := io.ReadFull(b.in, one[:]); n != 0 || err != io.EOF { // also checks gzip's own sum
		return damaged(err)
	}
	if _, err := b.raw.ReadByte(); err != io.EOF {
		return damaged(nil)
	}
	b.mark = e.Mark
	return nil
}

// Rows is how many rows were read.
func (b *Reader) Rows() (n int64) {
	for _, rows := range b.rows {
		n += rows
	}
	return n
}

// MarkedBy reports, after the end was read, whether the back-up was marked with a
// secret.
func (b *Reader) MarkedBy(mark func(sum []byte) [32]byte) bool {
	marked := mark(b.sum.Sum(nil))
	return hmac.Equal(b.mark, marked[:])
}
