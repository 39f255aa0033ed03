package main

import (
	"fmt"
	"testing"
)

// host stands in for a test where a package for tests is used outside of one.
type host struct {
	testing.TB
	cleanups []func()
}

type failure struct{ text string }

func (h *host) Helper()                       {}
func (h *host) Cleanup(fn func())             { h.cleanups = append(h.cleanups, fn) }
func (h *host) Fatal(args ...any)             { panic(failure{fmt.Sprint(args...)}) }
func (h *host) Fatalf(form string, a ...any)  { panic(failure{fmt.Sprintf(form, a...)}) }
func (h *host) Skipf(form string, a ...any)   { h.Fatalf(form, a...) }
func (h *host) Logf(form string, args ...any) {}

// try calls fn and turns its failure into an error.
func (h *host) try(fn func() string) (out string, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("%s", p.text)
		default:
			panic(p)
		}
	}()
	return fn(), nil
}

// end cleans up, last first.
func (h *host) end() {
	for len(h.cleanups) > 0 {
		last := len(h.cleanups) - 1
		fn := h.cleanups[last]
		h.cleanups = h.cleanups[:last]
		fn()
	}
}
