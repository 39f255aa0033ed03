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
	"unsafe"

	"licet/refusal"
	"licet/sdk"
)

// wanted is what the functions of activation are told, as JSON.
type wanted struct {
	Tickets []string `json:"tickets"`
	Home    string   `json:"home"`
}

func (w wanted) options() (opts []sdk.Option) {
	if w.Home != "" {
		opts = append(opts, sdk.WithHome(w.Home))
	}
	return opts
}

// done is what they answer, as JSON. A code other than done says why nothing was.
type done struct {
	Code     refusal.Code `json:"code"`
	Message  string       `json:"message,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Licenses []string     `json:"licenses"`
	Removed  []string     `json:"removed"`
	Refused  []sdk.Reason `json:"refused"`
	Request  string       `json:"request,omitempty"`
	Receipt  string       `json:"receipt,omitempty"`
}

func doneOf(a sdk.Activation, err error) (done, error) {
	return done{Licenses: a.Licenses, Removed: a.Removed, Refused: a.Refused, Receipt: string(a.Receipt)}, err
}

// answer does something for a bounded time and tells what came of it. What the
// program did wrong, such as a trust file that is none, is told in out.
func answer(what *C.char, milliseconds C.int64_t, out **C.char, do func(context.Context, wanted) (done, error)) *C.char {
	if out != nil {
		*out = nil
	}
	var w wanted
	if what != nil {
		if err := read("request", C.GoString(what), &w); err != nil {
			fail(out, err)
			return nil
		}
	}
	ctx, cancel := bounded(milliseconds)
	defer cancel()
	d, err := do(ctx, w)
	d.Code = refusal.Done
	if err != nil {
		no, plain := err.(*refusal.Refusal) // one that is wrapped says what the program did wrong
		if !plain {
			fail(out, err)
			return nil
		}
		d = done{Code: no.Code, Message: no.Message, Hint: no.NextStep()}
	}
	d.Licenses, d.Removed, d.Refused = list(d.Licenses), list(d.Removed), list(d.Refused)
	text, err := json.Marshal(d)
	if err != nil {
		fail(out, err)
		return nil
	}
	return say(string(text))
}

// list makes an empty list that JSON shows as one.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

var errNoTrust = errors.New("licet: a trust file is needed")

// trusted is the bytes of a trust file; nil if there is none.
func trusted(trust unsafe.Pointer, size C.size_t) []byte {
	if trust == nil || size > mostTrust {
		return nil
	}
	return C.GoBytes(trust, C.int(size))
}

//export licet_activate
func licet_activate(trust unsafe.Pointer, size C.size_t, what *C.char, milliseconds C.int64_t, out **C.char) *C.char {
	return answer(what, milliseconds, out, func(ctx context.Context, w wanted) (done, error) {
		t := trusted(trust, size)
		if t == nil {
			return done{}, errNoTrust
		}
		return doneOf(sdk.Activate(ctx, t, w.Tickets, w.options()...))
	})
}

//export licet_activation_request
func licet_activation_request(trust unsafe.Pointer, size C.size_t, what *C.char, milliseconds C.int64_t, out **C.char) *C.char {
	return answer(what, milliseconds, out, func(ctx context.Context, w wanted) (done, error) {
		t := trusted(trust, size)
		if t == nil {
			return done{}, errNoTrust
		}
		file, err := sdk.ActivationRequest(ctx, t, w.Tickets, w.options()...)
		return done{Request: string(file)}, err
	})
}

//export licet_import
func licet_import(file *C.char, what *C.char, milliseconds C.int64_t, out **C.char) *C.char {
	return answer(what, milliseconds, out, func(ctx context.Context, w wanted) (done, error) {
		if file == nil || len(w.Tickets) > 0 {
			return done{}, errors.New("licet: the vendor's file is needed, and no tickets")
		}
		return doneOf(sdk.Import(ctx, []byte(C.GoString(file)), w.options()...))
	})
}
