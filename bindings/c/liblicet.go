// Command liblicet is package sdk for programs in other languages, as a shared
// library with the interface of include/licet.h:
//
//	go build -buildmode=c-shared -o liblicet.so ./bindings/c
//
// It needs cgo, which neither licet nor licet-central does.
package main

/*
#include <stdint.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
	"unsafe"

	"licet/sdk"
)

// version of the interface: LICET_INTERFACE of the header.
const version = 3

// sessions gives numbers to sessions, so that a number which is wrong, or closed
// already, is found out and never followed.
var sessions = struct {
	sync.RWMutex
	last uint64
	open map[uint64]*sdk.Session
}{open: map[uint64]*sdk.Session{}}

func session(number C.uint64_t) *sdk.Session {
	sessions.RLock()
	defer sessions.RUnlock()
	return sessions.open[uint64(number)]
}

// product is what licet_open is told, as JSON.
type product struct {
	Code      string    `json:"code"`
	Version   string    `json:"version"`
	BuildDate time.Time `json:"build_date"`
	Features  []string  `json:"features"`
	Home      string    `json:"home"`
	Refresh   string    `json:"refresh"`
	Servers   *[]string `json:"servers"` // nil leaves it to the machine's own list
	Wait      bool      `json:"wait"`
	Reduced   bool      `json:"reduced"`
}

// read takes in the one JSON value of a text, and no key that is not known.
func read(what, text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("licet: the " + what + " is not the JSON that is wanted: " + err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("licet: something follows the JSON of the " + what)
	}
	return nil
}

func open(trust []byte, text string) (*sdk.Session, error) {
	var p product
	if err := read("product", text, &p); err != nil {
		return nil, err
	}
	var opts []sdk.Option
	if p.Home != "" {
		opts = append(opts, sdk.WithHome(p.Home))
	}
	if p.Refresh != "" {
		every, err := time.ParseDuration(p.Refresh)
		if err != nil || every <= 0 {
			return nil, errors.New(`licet: refresh is not a time such as "5m"`)
		}
		opts = append(opts, sdk.WithRefresh(every))
	}
	if p.Servers != nil {
		opts = append(opts, sdk.WithServers(*p.Servers...))
	}
	if p.Wait {
		opts = append(opts, sdk.WithWait())
	}
	if p.Reduced {
		opts = append(opts, sdk.Reduced())
	}
	return sdk.Open(context.Background(), sdk.Product{
		Trust: trust, Code: p.Code, Version: p.Version, BuildDate: p.BuildDate, Features: p.Features,
	}, opts...)
}

// say gives a text to the caller, who frees it.
func say(text string) *C.char {
	return C.CString(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\ufffd"))
}

// fail tells the caller what went wrong, if it wants to know.
func fail(out **C.char, err error) {
	if out != nil {
		*out = say(err.Error())
	}
}

func truth(yes bool) C.int32_t {
	if yes {
		return 1
	}
	return 0
}

// bounded is a context for so many milliseconds; none for less than one.
func bounded(milliseconds C.int64_t) (context.Context, context.CancelFunc) {
	const most = int64(24 * time.Hour / time.Millisecond)
	return context.WithTimeout(context.Background(), time.Duration(min(max(int64(milliseconds), 0), most))*time.Millisecond)
}

var errNoSession = errors.New("licet: there is no such session, or it is closed")

//export licet_interface
func licet_interface() C.int32_t { return version }

// mostTrust is more than any trust file has.
const mostTrust = 1 << 20

//export licet_open
func licet_open(trust unsafe.Pointer, size C.size_t, text *C.char, out **C.char) C.uint64_t {
	if out != nil {
		*out = nil
	}
	if trust == nil || text == nil || size > mostTrust {
		fail(out, errors.New("licet: a trust file and a product are needed"))
		return 0
	}
	s, err := open(C.GoBytes(trust, C.int(size)), C.GoString(text))
	if err != nil {
		fail(out, err)
		return 0
	}
	sessions.Lock()
	defer sessions.Unlock()
	sessions.last++
	sessions.open[sessions.last] = s
	return C.uint64_t(sessions.last)
}

//export licet_valid
func licet_valid(number C.uint64_t) C.int32_t {
	s := session(number)
	return truth(s != nil && s.Valid())
}

//export licet_feature
func licet_feature(number C.uint64_t, name *C.char) C.int32_t {
	s := session(number)
	return truth(s != nil && name != nil && s.Feature(C.GoString(name)))
}

//export licet_verdict
func licet_verdict(number C.uint64_t) *C.char {
	s := session(number)
	if s == nil {
		return nil
	}
	text, err := json.Marshal(s.Verdict())
	if err != nil {
		return nil // plain values: it cannot fail
	}
	return say(string(text))
}

//export licet_sentences
func licet_sentences(number C.uint64_t) *C.char {
	s := session(number)
	if s == nil {
		return nil
	}
	return say(s.Verdict().String())
}

// within does something with a session for a bounded time, and tells the caller
// what came of it.
func within(number C.uint64_t, milliseconds C.int64_t, out **C.char, do func(*sdk.Session, context.Context) error) C.int32_t {
	if out != nil {
		*out = nil
	}
	s := session(number)
	if s == nil {
		fail(out, errNoSession)
		return 0
	}
	ctx, cancel := bounded(milliseconds)
	defer cancel()
	if err := do(s, ctx); err != nil {
		fail(out, err)
		return 0
	}
	return 1
}

//export licet_refresh
func licet_refresh(number C.uint64_t, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, (*sdk.Session).Refresh)
}

//export licet_wait
func licet_wait(number C.uint64_t, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, (*sdk.Session).Wait)
}

//export licet_enable
func licet_enable(number C.uint64_t, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, (*sdk.Session).Enable)
}

//export licet_disable
func licet_disable(number C.uint64_t, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, (*sdk.Session).Disable)
}

//export licet_return
func licet_return(number C.uint64_t, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, (*sdk.Session).Return)
}

//export licet_borrow
func licet_borrow(number C.uint64_t, seconds, milliseconds C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, func(s *sdk.Session, ctx context.Context) error {
		const most = int64(100 * 365 * 24 * time.Hour / time.Second)
		return s.Borrow(ctx, time.Duration(min(max(int64(seconds), 0), most))*time.Second)
	})
}

//export licet_use
func licet_use(number C.uint64_t, units, milliseconds C.int64_t, left *C.int64_t, out **C.char) C.int32_t {
	return within(number, milliseconds, out, func(s *sdk.Session, ctx context.Context) error {
		n, err := s.Use(ctx, int64(units))
		if err == nil && left != nil {
			*left = C.int64_t(n)
		}
		return err
	})
}

//export licet_changed
func licet_changed(number C.uint64_t, milliseconds C.int64_t) C.int32_t {
	s := session(number)
	if s == nil {
		return -1
	}
	ctx, cancel := bounded(milliseconds)
	defer cancel()
	select {
	case _, open := <-s.Changed():
		if !open {
			return -1
		}
		return 1
	case <-ctx.Done():
		return 0
	}
}

//export licet_close
func licet_close(number C.uint64_t) {
	sessions.Lock()
	s := sessions.open[uint64(number)]
	delete(sessions.open, uint64(number))
	sessions.Unlock()
	if s != nil {
		_ = s.Close() // reports nothing that a program could do something about
	}
}

//export licet_free
func licet_free(text *C.char) { C.free(unsafe.Pointer(text)) }

func main() {} // a library has none, and cgo wants one
