package seal

import (
	"bytes"

	"licet/container"
	"licet/license"
)

// ToSign is what the keeper of an issuing key is asked to sign, as it reads.
type ToSign struct {
	Key     KeyID
	Purpose string // step, update, time, blocklist or origins
	Scope   Scope

	Container license.Serial // of a step
	Number    uint64         // of a step
	Ops       int            // operations of a step
}

// MaxToSign bounds what is asked to be signed, in bytes.
const MaxToSign = MaxUpdate

// issuingPurposes are all that an issuing key signs.
var issuingPurposes = []purpose{forStep, forUpdate, forTime, forBlockList, forOrigins}

// ReadToSign reads the bytes that a signature is asked over, and refuses whatever is
// not exactly what an issuing key signs: another purpose, such as a certificate,
// another format, bytes in another spelling, a step that is none.
func ReadToSign(message []byte) (t ToSign, err error) {
	const what = "document"
	const start = "\x84\x6aSignature1"
	if len(message) > MaxToSign {
		return t, tooLarge(what, len(message), MaxToSign)
	}
	rest, ok := bytes.CutPrefix(message, []byte(start+headStart[2:]))
	if !ok || len(rest) < len(t.Key) {
		return t, damaged(what)
	}
	t.Key, rest = KeyID(rest), rest[len(t.Key):]
	given, rest, ok := takeBytes(rest)
	if !ok {
		return t, damaged(what)
	}
	payload, rest, ok := takeBytes(rest)
	if !ok || len(rest) != 0 {
		return t, damaged(what)
	}
	if t.Purpose, t.Scope, ok = readExternal(given); !ok {
		return t, damaged(what)
	}
	switch purpose(t.Purpose) {
	case forStep:
		var s container.Step
		if s, err = DecodeStep(payload); err != nil {
			return t, err
		}
		t.Container, t.Number, t.Ops = s.Container, s.Number, len(s.Ops)
	case forTime:
		_, err = decode[timeAnswer]("time", MaxTime, payload)
	case forUpdate:
		_, err = decode[envelope]("update", MaxUpdate, payload)
	case forBlockList:
		_, err = decode[blockHead]("block list", MaxBlockHead, payload)
	case forOrigins:
		_, err = decode[originList]("list of origins", MaxOrigins, payload)
	}
	return t, err
}

// readExternal reads the external data of something that an issuing key signs. What
// is read is written again and compared, so that it has one spelling.
func readExternal(b []byte) (is string, s Scope, ok bool) {
	for _, p := range issuingPurposes {
		begin := appendHead(nil, cborArray, 6)
		begin = appendText(appendText(begin, "licet"), string(p))
		rest, fits := bytes.CutPrefix(b, begin)
		if !fits {
			continue
		}
		vendor, rest, fits := takeText(rest)
		if !fits {
			return "", s, false
		}
		environment, _, fits := takeText(rest)
		if !fits {
			return "", s, false
		}
		s = Scope{Vendor: VendorID(vendor), Environment: environment}
		return string(p), s, s.Check() == nil && bytes.Equal(b, external(p, s, suite1))
	}
	return "", s, false
}

// takeText reads a CBOR text of fewer than 256 bytes.
func takeText(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || b[0]>>5 != 3 {
		return "", nil, false
	}
	n, head := int(b[0]&31), 1
	if n == 24 && len(b) > 1 {
		n, head = int(b[1]), 2
	} else if n >= 24 {
		return "", nil, false
	}
	if len(b) < head+n {
		return "", nil, false
	}
	return string(b[head : head+n]), b[head+n:], true
}
