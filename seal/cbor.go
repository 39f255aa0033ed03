package seal

import (
	"bytes"
	"encoding/binary"
	"reflect"

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
	if err != nil {
		return nil, err
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
