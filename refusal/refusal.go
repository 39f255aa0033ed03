// Package refusal holds the one list of reasons for which Licet says no.
//
// A refusal is a value: a stable code for programs, a sentence for people, and
// the next step. The pure packages return refusals, the programs print them,
// and docs/errors.md is generated from the table in codes.go.
package refusal

import (
	"errors"
	"fmt"
)

// Refusal says that something was not done, why, and what to do next. It never
// stands for a fault of the program itself.
type Refusal struct {
	// Code is stable: scripts and programs may rely on it.
	Code Code
	// Message is one sentence for a person: what happened and what was kept.
	Message string
	// Hint is the next step; empty means the code's usual one.
	Hint string
	// Details holds the facts by name, for programs.
	Details map[string]any
}

// New makes a refusal whose message is formatted as by fmt.Sprintf and whose
// hint is the usual one of its code.
func New(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds one fact and returns the refusal.
func (r *Refusal) With(name string, value any) *Refusal {
	if r.Details == nil {
		r.Details = map[string]any{}
	}
	r.Details[name] = value
	return r
}

// Hinted replaces the usual next step and returns the refusal.
func (r *Refusal) Hinted(format string, args ...any) *Refusal {
	r.Hint = fmt.Sprintf(format, args...)
	return r
}

// Error is the sentence for people.
func (r *Refusal) Error() string { return r.Message }

// NextStep is the hint to show: the refusal's own or the usual one of its code.
func (r *Refusal) NextStep() string {
	if r.Hint != "" {
		return r.Hint
	}
	return Lookup(r.Code).Hint
}

// Is reports whether err is, or wraps, a refusal with this code.
func Is(err error, code Code) bool {
	r, ok := As(err)
	return ok && r.Code == code
}

// As finds the refusal in err's chain.
func As(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}
