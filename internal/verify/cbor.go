package verify

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// A CBOR value is read into uint64, int64 (negative numbers), []byte, string,
// bool, nil, []any or cborMap. There is one spelling of each: definite lengths,
// the shortest numbers, map keys in bytewise order and none twice, no tags, no
// floats.

// cborMap is a map in the order of its keys.
type cborMap []cborPair

type cborPair struct{ key, value any }

// get gives the value under a key, nil if there is none.
func (m cborMap) get(key any) any {
	for _, p := range m {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

func (m cborMap) number(key uint64) (int64, bool) { return asNumber(m.get(key)) }

func (m cborMap) text(key uint64) string {
	s, _ := m.get(key).(string)
	return s
}

func (m cborMap) bytes(key uint64) []byte {
	b, _ := m.get(key).([]byte)
	return b
}

func asNumber(v any) (int64, bool) {
	switch n := v.(type) {
	case uint64:
		return int64(n), n < 1<<63
	case int64:
		return n, true
	}
	return 0, false
}

var errCBOR = errors.New("not in the one spelling of CBOR")

const cborDepth = 12

// readCBOR reads one value that fills b.
func readCBOR(b []byte) (any, error) {
	v, rest, err := cborValue(b, cborDepth)
	if err == nil && len(rest) > 0 {
		err = errCBOR
	}
	return v, err
}

// readMap reads one map that fills b.
func readMap(b []byte) (cborMap, error) {
	v, err := readCBOR(b)
	m, ok := v.(cborMap)
	if err == nil && !ok {
		err = errCBOR
	}
	return m, err
}

// cborHead reads the first byte of a value and the number that follows it.
func cborHead(b []byte) (major byte, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errCBOR
	}
	major, low := b[0]>>5, b[0]&31
	b = b[1:]
	if low < 24 {
		return major, uint64(low), b, nil
	}
	size := 1 << (low - 24)
	if low > 27 || len(b) < size {
		return 0, 0, nil, errCBOR
	}
	for _, c := range b[:size] {
		n = n<<8 | uint64(c)
	}
	// A shorter spelling would have done.
	if size == 1 && n < 24 || size > 1 && n>>(4*size) == 0 {
		return 0, 0, nil, errCBOR
	}
	return major, n, b[size:], nil
}

func cborValue(b []byte, depth int) (any, []byte, error) {
	major, n, rest, err := cborHead(b)
	if err != nil || depth == 0 {
		return nil, nil, errCBOR
	}
	switch major {
	case 0:
		return n, rest, nil
	case 1:
		if n >= 1<<63 {
			return nil, nil, errCBOR
		}
		return -1 - int64(n), rest, nil
	case 2, 3:
		if n > uint64(len(rest)) {
			return nil, nil, errCBOR
		}
		s := rest[:n]
		if major == 2 {
			return s, rest[n:], nil
		}
		if !utf8.Valid(s) {
			return nil, nil, errCBOR
		}
		return string(s), rest[n:], nil
	case 4:
		list := []any{}
		for ; n > 0; n-- {
			var v any
			if v, rest, err = cborValue(rest, depth-1); err != nil {
				return nil, nil, err
			}
			list = append(list, v)
		}
		return list, rest, nil
	case 5:
		m := cborMap{}
		var before []byte
		for ; n > 0; n-- {
			var p cborPair
			start := rest
			if p.key, rest, err = cborValue(rest, depth-1); err != nil {
				return nil, nil, err
			}
			switch p.key.(type) {
			case uint64, int64, string:
			default:
				return nil, nil, errCBOR
			}
			key := start[:len(start)-len(rest)]
			if before != nil && bytes.Compare(before, key) >= 0 {
				return nil, nil, errCBOR
			}
			before = key
			if p.value, rest, err = cborValue(rest, depth-1); err != nil {
				return nil, nil, err
			}
			m = append(m, p)
		}
		return m, rest, nil
	case 7:
		switch n {
		case 20, 21:
			return n == 21, rest, nil
		case 22:
			return nil, rest, nil
		}
	}
	return nil, nil, errCBOR
}

// writeHead writes the first byte of a value and the number that follows it.
func writeHead(b []byte, major byte, n int) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	}
	return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// writeArray writes an array of small numbers, texts and byte strings.
func writeArray(values ...any) []byte {
	b := writeHead(nil, 4, len(values))
	for _, v := range values {
		switch v := v.(type) {
		case int:
			b = writeHead(b, 0, v)
		case string:
			b = append(writeHead(b, 3, len(v)), v...)
		case []byte:
			b = append(writeHead(b, 2, len(v)), v...)
		}
	}
	return b
}
