package seatserver

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// Limits on what a program says of itself: what a lease and a record can hold.
const (
	maxText   = 128 // characters of a name
	maxNonce  = 128
	maxGroups = 64
	maxList   = 64 // features
)

// readClaim reads a LeaseRequest. It takes what encoding/json takes that knows no
// other keys, at a part of the cost: every start of a program comes through here.
func readClaim(body []byte) (seats.Client, seats.Claim, error) {
	var c seats.Claim
	var client seats.Client
	r := newReader(body)
	r.object(func(key string) {
		switch key {
		case "product":
			c.Product = r.text(maxText)
		case "vendor":
			c.Vendor = r.text(maxText)
		case "features":
			c.Features = r.texts(maxList)
		case "version":
			c.Version = r.text(maxText)
		case "build_date":
			r.unmarshal(r.text(64), &c.BuildDate)
		case "client":
			client = r.client()
		case "mode":
			switch mode := r.text(maxText); mode {
			case "":
			case string(license.Exclusive):
				c.Exclusive = true
			default:
				r.fail("there is no mode " + strconv.Quote(mode))
			}
		case "ttl":
			r.unmarshal(r.text(64), &c.TTL)
		case "nonce":
			c.Nonce = r.text(maxNonce)
		case "wait":
			c.Wait = r.truth()
		default:
			r.fail("there is no key " + strconv.Quote(key))
		}
	})
	r.end()
	switch {
	case r.problem != "":
	case c.Product == "":
		r.problem = "product is missing"
	case client.ID == "":
		r.problem = "client.id is missing: draw one at each start of the program"
	}
	if r.problem != "" {
		return client, c, refusal.New(refusal.InvalidInput, "The request for a seat does not read: %s.", r.problem)
	}
	return client, c, nil
}

func (r *reader) client() (c seats.Client) {
	r.object(func(key string) {
		switch key {
		case "id":
			c.ID = r.text(maxText)
		case "host":
			c.Host = r.text(maxText)
		case "user":
			c.User = r.text(maxText)
		case "pid":
			c.PID = r.number()
		case "groups":
			c.Groups = r.texts(maxGroups)
		default:
			r.fail("there is no key " + strconv.Quote("client."+key))
		}
	})
	return c
}

// readExtend reads a LeaseExtend; an empty body is one without a nonce.
func readExtend(body []byte) (wire.LeaseExtend, error) {
	var e wire.LeaseExtend
	if len(body) == 0 {
		return e, nil
	}
	r := newReader(body)
	r.object(func(key string) {
		switch key {
		case "token":
			e.Token = r.text(maxText)
		case "nonce":
			e.Nonce = r.text(maxNonce)
		default:
			r.fail("there is no key " + strconv.Quote(key))
		}
	})
	r.end()
	if r.problem != "" {
		return e, refusal.New(refusal.InvalidInput, "The request to extend a lease does not read: %s.", r.problem)
	}
	return e, nil
}

// reader reads the JSON of requests: objects with known keys, each at most once,
// texts, whole numbers, truths and lists of texts. The first problem ends it.
type reader struct {
	rest    string
	long    bool // texts must not keep the whole of it in memory
	problem string
}

// newReader reads a body. The texts of a short one are parts of one string.
func newReader(body []byte) reader { return reader{rest: string(body), long: len(body) > 512} }

func (r *reader) fail(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
	r.rest = ""
}

// next is the first byte that is no space, without taking it.
func (r *reader) next() byte {
	for len(r.rest) > 0 {
		switch c := r.rest[0]; c {
		case ' ', '\t', '\n', '\r':
			r.rest = r.rest[1:]
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *reader) want(c byte) {
	if !r.take(c) {
		r.fail("it is no JSON where " + strconv.QuoteRune(rune(c)) + " belongs")
	}
}

func (r *reader) end() {
	if r.next() != 0 || len(r.rest) > 0 {
		r.fail("something follows the JSON")
	}
}

// most is how many keys an object has at most.
const most = 16

func (r *reader) object(each func(key string)) {
	if r.null() {
		return
	}
	var seen [most]string
	n := 0
	r.want('{')
	if r.take('}') {
		return
	}
	for r.problem == "" {
		key := r.text(32)
		for _, k := range seen[:n] {
			if k == key {
				r.fail("the key " + strconv.Quote(key) + " is there twice")
			}
		}
		if n == most {
			r.fail("there are too many keys")
			return
		}
		seen[n] = key
		n++
		r.want(':')
		if r.problem != "" {
			return
		}
		each(key)
		if !r.take(',') {
			r.want('}')
			return
		}
	}
}

func (r *reader) null() bool {
	if r.next() != 'n' {
		return false
	}
	return r.word("null")
}

func (r *reader) word(w string) bool {
	if r.next(); !strings.HasPrefix(r.rest, w) {
		r.fail("it is no JSON")
		return false
	}
	r.rest = r.rest[len(w):]
	return true
}

func (r *reader) truth() bool {
	switch r.next() {
	case 't':
		return r.word("true")
	case 'f':
		r.word("false")
	default:
		if !r.null() {
			r.fail("true or false belongs here")
		}
	}
	return false
}

// text reads a text of at most limit characters. null is the empty one.
func (r *reader) text(limit int) string {
	if r.null() {
		return ""
	}
	r.want('"')
	plain := true
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			raw := r.rest[:i]
			r.rest = r.rest[i+1:]
			return r.checked(raw, plain, limit)
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			r.fail("a text has a control character")
			return ""
		}
	}
	r.fail("a text does not end")
	return ""
}

func (r *reader) checked(raw string, plain bool, limit int) string {
	text := raw
	switch {
	case !plain:
		text = r.unescaped(raw)
	case r.long:
		text = strings.Clone(raw)
	}
	switch {
	case !utf8.ValidString(text):
		r.fail("a text is no UTF-8")
	case len(text) > limit && utf8.RuneCountInString(text) > limit:
		r.fail("a text is longer than " + strconv.Itoa(limit) + " characters")
	default:
		for _, c := range text {
			if c < ' ' || c == 0x7f {
				r.fail("a text has a control character")
			}
		}
	}
	if r.problem != "" {
		return ""
	}
	return text
}

func (r *reader) unescaped(raw string) (text string) {
	if json.Unmarshal([]byte(`"`+raw+`"`), &text) != nil {
		r.fail("a text is no JSON")
	}
	return text
}

func (r *reader) texts(limit int) (list []string) {
	if r.null() {
		return nil
	}
	r.want('[')
	if r.take(']') {
		return nil
	}
	for r.problem == "" {
		if len(list) == limit {
			r.fail("a list has more than " + strconv.Itoa(limit) + " members")
			return nil
		}
		list = append(list, r.text(maxText))
		if !r.take(',') {
			r.want(']')
			break
		}
	}
	return list
}

func (r *reader) number() int64 {
	if r.null() {
		return 0
	}
	r.next()
	n := 0
	for n < len(r.rest) && (r.rest[n] >= '0' && r.rest[n] <= '9' || n == 0 && r.rest[n] == '-') {
		n++
	}
	text := r.rest[:n]
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) > 1 && text[0] == '0' || v < 0 || text == "-0" {
		r.fail("a whole number belongs here")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// unmarshal reads a text into a value that has a spelling of its own.
func (r *reader) unmarshal(text string, into interface{ UnmarshalText([]byte) error }) {
	if r.problem != "" {
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		r.fail(strconv.Quote(text) + " is not understood: " + err.Error())
	}
}
