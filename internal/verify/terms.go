package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// terms are the terms of a license by their JSON names, those inside others
// behind a dot: numbers as int64 (moments in µs, durations in ns), texts as
// string. What is zero is left out.
type terms map[string]any

// The terms that JSON writes in another way than CBOR.
var (
	moments   = map[string]bool{"valid_from": true, "expires_at": true, "maintenance_until": true}
	durations = map[string]bool{"expires_in": true, "maintenance": true, "check_in": true, "grace": true, "borrow.max": true, "linger": true}
)

func (t terms) put(key string, value any) error {
	switch v := value.(type) {
	case int64, string:
		if v != int64(0) && v != "" {
			t[key] = v
		}
		return nil
	}
	return fmt.Errorf("%s is neither number nor text", key)
}

func (t terms) takeCBOR(prefix string, m cborMap) error {
	for _, p := range m {
		name, ok := p.key.(string)
		if !ok {
			return errors.New("a term without a name")
		}
		name = prefix + name
		var err error
		if inner, is := p.value.(cborMap); is {
			err = t.takeCBOR(name+".", inner)
		} else if n, is := asNumber(p.value); is {
			err = t.put(name, n)
		} else {
			err = t.put(name, p.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseTerms(text []byte) (terms, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	t := terms{}
	return t, t.takeJSON("", m)
}

func (t terms) takeJSON(prefix string, m map[string]any) error {
	for name, v := range m {
		name = prefix + name
		var err error
		switch v := v.(type) {
		case map[string]any:
			err = t.takeJSON(name+".", v)
		case json.Number:
			var n int64
			if n, err = v.Int64(); err == nil {
				err = t.put(name, n)
			}
		case string:
			var value any = v
			switch {
			case moments[name]:
				var at time.Time
				at, err = time.Parse(time.RFC3339Nano, v)
				value = at.UnixMicro()
			case durations[name]:
				value, err = nanoseconds(v)
			}
			if err == nil {
				err = t.put(name, value)
			}
		default:
			err = fmt.Errorf("%s is neither number nor text", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nanoseconds reads a whole number and one of the units s, m, h, d.
func nanoseconds(text string) (int64, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if len(text) < 2 || units[text[len(text)-1]] == 0 {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	return n * int64(units[text[len(text)-1]]), err
}

// frozen gives the terms from the first activation on: what is counted from it
// becomes a moment, and the earlier of two ends counts.
func (t terms) frozen(activated int64) terms {
	if activated == 0 {
		return t
	}
	out := maps.Clone(t)
	for after, end := range map[string]string{"expires_in": "expires_at", "maintenance": "maintenance_until"} {
		span, counts := out[after].(int64)
		if !counts {
			continue
		}
		delete(out, after)
		moment := activated + span/1000
		if fixed, is := out[end].(int64); !is || moment < fixed {
			out[end] = moment
		}
	}
	return out
}

// part gives the terms of so many of the seats: those that can be borrowed are fewer
// in proportion.
func (t terms) part(seats int64) terms {
	sold, _ := t["seats"].(int64)
	if t == nil || sold < 1 || seats == sold {
		return t
	}
	out := maps.Clone(t)
	for key, n := range map[string]int64{"seats": seats, "borrow.seats": 0} {
		if lent, is := t[key].(int64); is && key != "seats" {
			n = lent * seats / sold
		}
		if delete(out, key); n != 0 {
			out[key] = n
		}
	}
	return out
}

// like gives the terms with the seats of others.
func (t terms) like(other terms) terms {
	out := maps.Clone(t)
	for _, key := range []string{"seats", "borrow.seats"} {
		if delete(out, key); other[key] != nil {
			out[key] = other[key]
		}
	}
	return out
}

// number is a term that is a number, 0 if it is left out.
func (t terms) number(key string) int64 {
	n, _ := t[key].(int64)
	return n
}

// with gives the terms with another number of units.
func (t terms) with(units int64) terms {
	if t.number("units") == units {
		return t
	}
	out := maps.Clone(t)
	delete(out, "units")
	_ = out.put("units", units) // a number
	return out
}

// until gives the terms with another end, in µs, and grace, in ns.
func (t terms) until(expires, grace int64) terms {
	out := maps.Clone(t)
	delete(out, "expires_at")
	delete(out, "grace")
	_, _ = out.put("expires_at", expires), out.put("grace", grace) // numbers
	return out
}

// differs gives the terms that are not those wanted, as texts, "" if all are.
func (t terms) differs(want terms) (is, expected string) {
	var a, b []string
	keys := map[string]bool{}
	for k := range t {
		keys[k] = true
	}
	for k := range want {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if t[k] != want[k] {
			a, b = append(a, k+"="+termText(k, t[k])), append(b, k+"="+termText(k, want[k]))
		}
	}
	return strings.Join(a, " "), strings.Join(b, " ")
}

func termText(key string, v any) string {
	n, _ := v.(int64)
	switch {
	case v == nil:
		return "none"
	case moments[key]:
		return moment(n)
	case durations[key]:
		return time.Duration(n).String()
	}
	return fmt.Sprint(v)
}

// moment writes µs since 1970.
func moment(us int64) string {
	if us == 0 {
		return "none"
	}
	return time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
}
