package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// requestTimeout is how long one request may work.
const requestTimeout = 45 * time.Second

// Observe gives every request an id, a deadline and security headers, catches
// panics, and writes one line to the access log: never an address with its
// query, never bodies, tokens or tickets. The route is logged instead of the
// path, because people do put secrets into paths. A request that is observed
// already is passed on.
func Observe(log *slog.Logger, next http.Handler) http.Handler {
	return ObserveAnd(log, func(context.Context, Answered) {}, next)
}

// Answered is what is known of a request once it is answered.
type Answered struct {
	ID            string // of the request
	Method, Route string // a route of a ServeMux; "" if none fits
	Status        int
	Took          time.Duration
}

// ObserveAnd is Observe that also tells of each request, on the request's own
// goroutine.
func ObserveAnd(log *slog.Logger, tell func(context.Context, Answered), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if observed(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		o := &observation{id: newID()}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), observationKey{}, o), requestTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		sw := &statusWriter{ResponseWriter: w}
		secure(w.Header(), o.id)
		func() {
			defer recovered(sw, r)
			next.ServeHTTP(sw, r)
		}()
		took := time.Since(start)
		o.write(log, r, sw, took)
		tell(ctx, Answered{ID: o.id, Method: method(r), Route: r.Pattern, Status: sw.status, Took: took})
		if sw.broken {
			panic(http.ErrAbortHandler) // the answer had begun: cut it, so that nobody takes it for whole
		}
	})
}

// secure sets the headers of every answer; a page may loosen its policy.
func secure(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}

func recovered(w *statusWriter, r *http.Request) {
	switch p := recover(); {
	case p == nil:
	case p == http.ErrAbortHandler:
		w.broken = true
	default:
		err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		if w.status != 0 {
			Fault(r.Context(), err)
			w.broken = true
			return
		}
		Error(w, r, err)
	}
}

// RequestID is the id of an observed request, "" for others.
func RequestID(ctx context.Context) string {
	if o := observed(ctx); o != nil {
		return o.id
	}
	return ""
}

// Fault keeps an error that is not shown, for the request's line in the log.
func Fault(ctx context.Context, err error) {
	if o := observed(ctx); o != nil {
		o.mu.Lock()
		o.fault = errors.Join(o.fault, err)
		o.mu.Unlock()
	}
}

// method is a request's method, if it is one that there is.
func method(r *http.Request) string {
	if m := known(r.Method); m == r.Method {
		return m
	}
	return "other"
}

// ActedAs names who made the request, for its line in the log.
func ActedAs(ctx context.Context, actor string) {
	if o := observed(ctx); o != nil {
		o.mu.Lock()
		o.actor = actor
		o.mu.Unlock()
	}
}

// observation is what is known of one request. mu protects fault and actor.
type observation struct {
	id    string
	mu    sync.Mutex
	fault error
	actor string
}

type observationKey struct{}

func observed(ctx context.Context) *observation {
	o, _ := ctx.Value(observationKey{}).(*observation)
	return o
}

func (o *observation) write(log *slog.Logger, r *http.Request, w *statusWriter, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request", o.id),
		slog.String("method", known(r.Method)),
		slog.String("route", r.Pattern),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Duration("took", took),
		slog.String("address", clientAddress(r)),
	}
	if o.actor != "" {
		attrs = append(attrs, slog.String("actor", o.actor))
	}
	if o.fault != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("fault", o.fault.Error()))
	}
	log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// clientAddress is where the connection comes from. Headers such as
// X-Forwarded-For are not read: anybody can write them.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// statusWriter remembers what was answered. It belongs to one request.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
	broken bool
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
