// Package web holds what every HTTP audience of central has in common: errors
// as problems, limits, request ids, the access log, and a server that stops
// gracefully. It knows no operation and nobody's rights.
package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"licet/refusal"
	"licet/wire"
)

// MediaProblem is the media type of errors (RFC 9457).
const MediaProblem = "application/problem+json"

// ProblemOf turns any error into the problem that is shown of it. What is no
// refusal is a fault: its text stays here, the request id leads to it in the
// log.
func ProblemOf(r *http.Request, err error) wire.Problem {
	id := RequestID(r.Context())
	ref, ok := refusal.As(err)
	if !ok {
		ref = refusal.New(refusal.Internal, "Something failed inside the server.")
		if id != "" {
			ref.Hinted("Try again; if it stays, tell the vendor the request id %s.", id)
		}
	}
	entry := refusal.Lookup(ref.Code)
	return wire.Problem{
		Type:    "urn:licet:" + string(ref.Code),
		Title:   entry.Meaning,
		Status:  entry.Status,
		Detail:  ref.Error(),
		Code:    ref.Code,
		Hint:    ref.NextStep(),
		Details: ref.Details,
		Request: id,
	}
}

// Error answers with an error. A fault is logged with the request.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	if _, ok := refusal.As(err); !ok {
		Fault(r.Context(), err)
	}
	WriteProblem(w, ProblemOf(r, err))
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, p wire.Problem) {
	h := w.Header()
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="licet"`)
	}
	h.Set("Content-Type", MediaProblem)
	w.WriteHeader(p.Status)
	writeJSON(w, p)
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, value)
}

func writeJSON(w io.Writer, value any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// The status is out already: a connection that broke is the caller's.
	_ = enc.Encode(value)
}

// Handler is an endpoint that returns its error instead of writing it.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP answers with the endpoint's error, if any.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		Error(w, r, err)
	}
}

// ReadBody reads a request's body of at most limit bytes. A larger one is
// refused with TooLarge, before reading where its length is announced.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := refusal.New(refusal.TooLarge, "The body is larger than %d bytes.", limit).With("limit", limit)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	// Room for what is announced, but no more than 64 KiB before it comes.
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 64<<10)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, refusal.New(refusal.DamagedFile, "The body ended before it was complete.")
	}
	return body.Bytes(), nil
}

// Bearer is the token of a request's Authorization header, refused with
// Unauthorized where there is none.
func Bearer(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 {
		return "", refusal.New(refusal.Unauthorized, "This needs a token.").
			Hinted("Send it in the header Authorization: Bearer TOKEN.")
	}
	return token, nil
}

// Mux serves mux, with our problems where it has no route.
func Mux(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		around := r.Pattern // the route that led here
		answer := routed{ResponseWriter: w, r: r}
		mux.ServeHTTP(&answer, r)
		if answer.found() {
			return
		}
		r.Pattern = around
		if answer.status != http.StatusMethodNotAllowed {
			Error(w, r, refusal.New(refusal.NotFound, "There is nothing at this address.").
				Hinted("Check the address; /docs lists what there is."))
			return
		}
		allowed := answer.header.Get("Allow")
		w.Header().Set("Allow", allowed)
		p := ProblemOf(r, refusal.New(refusal.InvalidInput, "This address does not take the method %s.", known(r.Method)).
			Hinted("Use %s.", allowed))
		p.Status = http.StatusMethodNotAllowed
		WriteProblem(w, p)
	})
}

// known keeps invented methods out of answers.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "it was asked with"
}

// routed passes on what a route answers, and keeps status and header of what
// ServeMux answers itself where it has none: asking it beforehand would look for the
// route twice.
type routed struct {
	http.ResponseWriter
	r      *http.Request
	passed bool // a route has begun to answer; some change the pattern afterwards
	header http.Header
	status int
}

// found reports whether there is a route: ServeMux has set the request's pattern.
func (w *routed) found() bool {
	w.passed = w.passed || w.r.Pattern != ""
	return w.passed
}

func (w *routed) Header() http.Header {
	if w.found() {
		return w.ResponseWriter.Header()
	}
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

func (w *routed) Write(b []byte) (int, error) {
	if w.found() {
		return w.ResponseWriter.Write(b)
	}
	return len(b), nil
}

func (w *routed) WriteHeader(status int) {
	if w.found() {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
}

// Unwrap lets http.ResponseController reach the connection.
func (w *routed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// retryAfter is a wait in whole seconds for the header Retry-After.
func retryAfter(seconds float64) string {
	return strconv.Itoa(int(max(1, math.Ceil(seconds))))
}
