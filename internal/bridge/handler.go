package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// call is one call of a page whose origin is allowed.
type call struct {
	origin  string
	holders []holder // of the origin
	vendor  string   // of the token; empty for calls that need none
	body    []byte
}

// operation is what a page can ask. There is no other list.
type operation struct {
	path string
	open bool // needs no token
	run  func(*Bridge, context.Context, call) (any, error)
}

var operations = []operation{
	{wire.PathBridgePair, true, (*Bridge).pair},
	{wire.PathBridgeWait, true, (*Bridge).wait},
	{wire.PathBridgeContainers, false, (*Bridge).containers},
	{wire.PathBridgeActivate, false, (*Bridge).activate},
	{wire.PathBridgeReturn, false, (*Bridge).giveBack},
}

func find(path string) (operation, bool) {
	for _, o := range operations {
		if o.path == path {
			return o, true
		}
	}
	return operation{}, false
}

// Handler answers pages. The order of its checks is its security: where a request is
// addressed to, where it comes from, what form it has; only then is it looked at.
func (b *Bridge) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer b.recovered(w, r)
		h := w.Header()
		h.Set("Vary", "Origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

		// A name that an attacker made to point here is in the header still.
		local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !ok || r.Host != local.String() {
			b.refuse(w, r, http.StatusMisdirectedRequest, "another host")
			return
		}
		origins := r.Header["Origin"]
		if len(origins) != 1 {
			b.refuse(w, r, http.StatusForbidden, "no origin")
			return
		}
		c := call{origin: origins[0], holders: b.holders(origins[0])}
		if len(c.holders) == 0 {
			b.refuse(w, r, http.StatusForbidden, "a foreign origin")
			return
		}
		h.Set("Access-Control-Allow-Origin", c.origin)
		o, known := find(r.URL.Path)
		switch {
		case !known || r.URL.RawQuery != "":
			b.problem(w, http.StatusNotFound, refusal.New(refusal.NotFound, "The bridge has nothing at this address."))
			return
		case r.Method == http.MethodOptions:
			preflight(w, r)
			return
		case r.Method != http.MethodPost:
			h.Set("Allow", "POST, OPTIONS")
			b.problem(w, http.StatusMethodNotAllowed, refusal.New(refusal.InvalidInput, "The bridge takes POST alone."))
			return
		case r.Header.Get("Content-Type") != "application/json" || len(r.Header["Content-Type"]) != 1:
			b.problem(w, http.StatusUnsupportedMediaType, refusal.New(refusal.InvalidInput, "The bridge takes JSON."))
			return
		}
		b.limiter.Or(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.answer(w, r, o, c) }),
			func(w http.ResponseWriter, _ *http.Request, _ time.Duration) {
				b.problem(w, http.StatusTooManyRequests, refusal.New(refusal.RateLimited, "Too many calls."))
			}).ServeHTTP(w, r)
	})
}

// preflight tells a browser that a page of this origin may ask.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	for _, asks := range []string{"Private-Network", "Local-Network"} {
		if r.Header.Get("Access-Control-Request-"+asks) == "true" {
			h.Set("Access-Control-Allow-"+asks, "true")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// answer runs an operation.
func (b *Bridge) answer(w http.ResponseWriter, r *http.Request, o operation, c call) {
	if !o.open {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		vendor, held := b.pairings.Holder(c.origin, token)
		if scheme != "Bearer" || !held || !c.allows(vendor) {
			b.note(r, "no valid token")
			b.problem(w, http.StatusUnauthorized, refusal.New(refusal.Unauthorized, "The page may not do this yet, or no longer."))
			return
		}
		c.vendor = vendor
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		no := refusal.New(refusal.InvalidInput, "The call could not be read.")
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			no = refusal.New(refusal.TooLarge, "The call is too large.")
		}
		b.problem(w, refusal.Lookup(no.Code).Status, no)
		return
	}
	b.log.Info("bridge called", "path", o.path, "origin", c.origin, "vendor", c.vendor)
	// What was begun is finished, also when the page is closed.
	out, err := o.run(b, context.WithoutCancel(r.Context()), c)
	if err != nil {
		no, ok := refusal.As(err)
		if !ok {
			no = refusal.New(refusal.Internal, "")
		}
		b.log.Info("bridge refused", "path", o.path, "origin", c.origin, "error", err)
		b.problem(w, 0, no)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		b.log.Debug("answer not delivered", "path", o.path, "error", err)
	}
}

// allows reports whether a vendor still lists the page's origin.
func (c call) allows(vendor string) bool {
	_, ok := c.holder(vendor)
	return ok
}

func (c call) holder(vendor string) (holder, bool) {
	for _, h := range c.holders {
		if h.vendor == vendor {
			return h, true
		}
	}
	return holder{}, false
}

// read reads the body of a call, which is one JSON value of a known form.
func read[T any](c call) (value T, err error) {
	dec := json.NewDecoder(bytes.NewReader(c.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&value); err != nil {
		return value, refusal.New(refusal.InvalidInput, "The call could not be read.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return value, refusal.New(refusal.InvalidInput, "The call could not be read.")
	}
	return value, nil
}

func (b *Bridge) pair(_ context.Context, c call) (any, error) {
	in, err := read[wire.BridgePair](c)
	if err != nil {
		return nil, err
	}
	h, ok := c.holder(in.Vendor)
	if !ok {
		return nil, refusal.New(refusal.Forbidden, "Pages of this origin may not ask for this vendor's licenses.")
	}
	return b.pairings.Ask(c.origin, h.vendor, h.name)
}

func (b *Bridge) wait(_ context.Context, c call) (any, error) {
	in, err := read[wire.BridgeWait](c)
	if err != nil {
		return nil, err
	}
	return b.pairings.Wait(c.origin, in.ID), nil
}

func (b *Bridge) containers(ctx context.Context, c call) (any, error) {
	if _, err := read[struct{}](c); err != nil {
		return nil, err
	}
	all, err := b.agent.List(ctx, agent.Nothing{})
	if err != nil {
		return nil, err
	}
	out := wire.BridgeContainers{Containers: []wire.BridgeContainer{}}
	for _, one := range all.Containers {
		if one.VendorID != c.vendor {
			continue
		}
		told := wire.BridgeContainer{Serial: one.Serial, Kind: one.Kind, Status: one.Status, Waiting: one.Waiting != "", Licenses: []license.ID{}}
		for _, l := range one.Licenses {
			told.Licenses = append(told.Licenses, l.ID)
		}
		out.Containers = append(out.Containers, told)
	}
	return out, nil
}

func (b *Bridge) activate(ctx context.Context, c call) (any, error) {
	in, err := read[wire.BridgeActivate](c)
	if err != nil {
		return nil, err
	}
	return b.agent.Activate(ctx, agent.ActivateRequest{Tickets: in.Tickets, Licenses: in.Licenses, Amounts: in.Amounts, Container: in.Container, Vendor: c.vendor})
}

func (b *Bridge) giveBack(ctx context.Context, c call) (any, error) {
	in, err := read[wire.BridgeReturn](c)
	if err != nil {
		return nil, err
	}
	if in.Container == "" {
		return nil, refusal.New(refusal.InvalidInput, "The container is missing.")
	}
	out, err := b.agent.Deactivate(ctx, agent.DeactivateRequest{Licenses: in.Licenses, Amounts: in.Amounts, Container: in.Container, Vendor: c.vendor})
	return out.Programming, err // the rest is about other vendors' containers too
}

// problem answers with a refusal. A page gets its code and what that means, and not
// the text, which may name folders and containers of this machine.
func (b *Bridge) problem(w http.ResponseWriter, status int, no *refusal.Refusal) {
	entry := refusal.Lookup(no.Code)
	if status == 0 {
		status = max(entry.Status, http.StatusBadRequest)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// Nobody is left to tell when the page is gone.
	_ = json.NewEncoder(w).Encode(wire.Problem{Title: entry.Meaning, Status: status, Detail: entry.Meaning, Code: no.Code, Hint: entry.Hint})
}

// refuse answers what must not be here with nothing but a status.
func (b *Bridge) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	b.note(r, why)
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}

// note logs what was turned away.
func (b *Bridge) note(r *http.Request, why string) {
	if b.refused.now(b.now()) {
		b.log.Warn("bridge turned away", "why", why, "host", short(r.Host), "origin", short(strings.Join(r.Header["Origin"], " ")), "method", short(r.Method))
	}
}

func short(text string) string { return text[:min(len(text), 100)] }

// recovered keeps one call that fails from ending the agent.
func (b *Bridge) recovered(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	b.log.Error("bridge call failed", "path", short(r.URL.Path), "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	b.problem(w, http.StatusInternalServerError, refusal.New(refusal.Internal, ""))
}
