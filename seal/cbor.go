package seal

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// The bounds of CBOR in any document.
const (
	maxNesting  = 10
	maxElements = 1 << 14 // of an array
	maxPairs    = 64      // of a map
)

var encoding = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	o.TagsMd = cbor.TagsForbidden
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var decoding = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IntDec:            cbor.IntDecConvertSignedOrFail,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
		DefaultMapType:    reflect.TypeFor[map[string]any](),
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxPairs,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// encode writes v in its one spelling and makes sure that decode reads it: no
// document is signed that nobody accepts.
func encode[T any](what string, limit int, v T) ([]byte, error) {
	b, err := write(what, limit, v)
	if err != nil || readable(b) {
		return b, err
	}
	if _, err := decode[T](what, limit, b); err != nil {
		return nil, fault("%s cannot be read again: a text that is no UTF-8, or too many parts", what)
	}
	return b, nil
}

// write writes v in its one spelling, where the caller knows that it can be read.
func write[T any](what string, limit int, v T) ([]byte, error) {
	b, err := encoding.Marshal(v)
	if err != nil {
		return nil, fault("%s: %w", what, err)
	}
	if len(b) > limit {
		return nil, fault("%s: %d bytes are over the limit of %d", what, len(b), limit)
	}
	return b, nil
}

// decode reads v and refuses every spelling but the one of encode.
func decode[T any](what string, limit int, data []byte) (T, error) {
	var v, none T
	if len(data) > limit {
		return none, tooLarge(what, len(data), limit)
	}
	if err := decoding.Unmarshal(data, &v); err != nil {
		return none, damaged(what)
	}
	again, err := encoding.Marshal(v)
	if err != nil || !bytes.Equal(again, data) {
		return none, damaged(what)
	}
	return v, nil
}

// readable reports that decode reads what encoding has written of a type with no
// field of any type, as far as the bytes alone say so: all in them is numbers, texts,
// bytes, truth values, and lists and maps within the bounds. Reading and writing it
// all again would cost more than the document itself. If not, decode decides.
func readable(b []byte) bool {
	rest, ok := skipItem(b, maxNesting)
	return ok && len(rest) == 0
}

// skipItem takes one item off, with at most so many levels of lists and maps.
func skipItem(b []byte, levels int) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	major, n, b := b[0]>>5, uint64(b[0]&31), b[1:]
	if 24 <= n && n <= 27 {
		width := 1 << (n - 24)
		if len(b) < width {
			return nil, false
		}
		n = 0
		for _, c := range b[:width] {
			n = n<<8 | uint64(c)
		}
		b = b[width:]
	} else if n > 27 {
		return nil, false
	}
	switch major {
	case cborUint, cborMinus:
		return b, n < 1<<63
	case cborBytes, cborText:
		if n > uint64(len(b)) {
			return nil, false
		}
		return b[n:], major == cborBytes || utf8.Valid(b[:n])
	case cborArray, cborMap:
		if levels == 1 || major == cborArray && n > maxElements || major == cborMap && n > maxPairs {
			return nil, false
		}
		if major == cborMap {
			n *= 2
		}
		for ok = true; ok && n > 0; n-- {
			b, ok = skipItem(b, levels-1)
		}
		return b, ok
	}
	return b, major == 7 && (n == 20 || n == 21)
}

// mustEncode writes numbers, texts and bytes, which cannot fail.
func mustEncode(v any) []byte {
	b, err := encoding.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// The major types of CBOR that are written by hand.
const (
	cborUint  = 0
	cborMinus = 1
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
)

// appendHead writes the head of an item: its major type and number, as short as
// it can be.
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// appendBytes writes a byte string.
func appendBytes(b, s []byte) []byte {
	return append(appendHead(b, cborBytes, uint64(len(s))), s...)
}

// appendText writes a text, which the caller knows to be UTF-8.
func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

// appendInt writes a number.
func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, cborMinus, uint64(^n))
	}
	return appendHead(b, cborUint, uint64(n))
}
