// Package client calls a vendor's server: Gateway for machines, Central for
// staff and shops. Errors of the server come back as the refusals they are;
// where none can be had, the refusal is central_unreachable.
//
// A call that got no answer, or an answer that says "later", is repeated with
// the same bytes. That is safe: requests of machines are answered alike however
// often they arrive (docs/protocol.md R16), and calls that create something
// carry an idempotency key.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// Limits of what is read from a server.
const (
	maxAnswer  = 32 << 20
	maxProblem = 64 << 10
)

// Options says how calls are made. The zero value is right for production.
type Options struct {
	// HTTP makes the connections; one with timeouts of its own if nil.
	HTTP *http.Client
	// Attempts is how often a call is tried; 3 if 0.
	Attempts int
	// Sleep waits between attempts; nil sleeps. It returns ctx's error when ctx
	// ends.
	Sleep func(ctx context.Context, d time.Duration) error
	// Program is the caller's name and version, for the server's log.
	Program string
	// Vendor is the id of the vendor whose seats a license server is asked for.
	Vendor string
	// Who is who asks a license server what he may have.
	Who seats.Client
}

// caller makes calls with filled-in options.
type caller struct{ Options }

func newCaller(o Options) caller {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute}
	}
	// The copy leaves the caller's client as it is.
	noRedirect := *o.HTTP
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.HTTP = &noRedirect
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Program == "" {
		o.Program = "licet-client"
	}
	return caller{o}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call is one call; its body is kept so that each attempt sends the same bytes.
type call struct {
	method, base, path string
	query              url.Values
	header             http.Header
	body               []byte
	media              string // the media type that the answer must have
	empty              bool   // an answer without content is one
}

// do makes the call, and repeats it where that can help.
func (c caller) do(ctx context.Context, k call) ([]byte, error) {
	address, err := join(k.base, k.path, k.query)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		answer, again, err := c.try(ctx, k, address)
		if err == nil || again < 0 || attempt >= c.Attempts || ctx.Err() != nil {
			return answer, err
		}
		if c.Sleep(ctx, max(again, backoff(attempt))) != nil {
			return nil, err // what went wrong says more than that time ran out
		}
	}
}

// backoff grows with the attempt; chance keeps machines from coming back all at
// once.
func backoff(attempt int) time.Duration {
	d := 250 * time.Millisecond << min(attempt-1, 6)
	return d + rand.N(d/2)
}

// join makes the address of a path below base.
func join(base, path string, query url.Values) (string, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", refusal.New(refusal.InvalidInput, "%q is not the address of a server.", base).
			Hinted("Write it like https://licenses.example.com.")
	}
	address := u.String() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address, nil
}

// maxRetryAfter is the longest wait that a server may ask for within a call.
const maxRetryAfter = 10 * time.Second

// try makes one attempt. again is how long to wait at least before the next, or
// negative where another would be of no use.
func (c caller) try(ctx context.Context, k call, address string) (answer []byte, again time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, k.method, address, bytes.NewReader(k.body))
	if err != nil {
		return nil, -1, err
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.Program)
	req.Header.Set("Accept", k.media+", application/problem+json")
	res, err := c.HTTP.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, -1, unreachable(k.base, "the time was up").With("cause", ctx.Err().Error())
		}
		return nil, 0, unreachable(k.base, "%s", cause(err))
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return nil, retry(res), problem(k.base, res)
	}
	if res.StatusCode == http.StatusNoContent && k.empty {
		return nil, -1, nil
	}
	if media, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); media != k.media {
		return nil, -1, notLicet(k.base, res.StatusCode)
	}
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, unreachable(k.base, "the answer broke off")
	}
	if len(answer) > maxAnswer {
		return nil, -1, refusal.New(refusal.TooLarge, "The server's answer is larger than %d bytes.", maxAnswer)
	}
	return answer, -1, nil
}

// retry is how long to wait before trying again after an answer with an error,
// negative for not at all.
func retry(res *http.Response) time.Duration {
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return -1
	}
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	if wait := time.Duration(seconds) * time.Second; wait <= maxRetryAfter {
		return wait
	}
	return -1
}

// problem turns an answer with an error into a refusal.
func problem(base string, res *http.Response) error {
	if res.StatusCode < 400 {
		return refusal.New(refusal.CentralUnreachable, "%s sends callers elsewhere (HTTP status %d).", base, res.StatusCode).
			Hinted("Use the address that it names: %s", res.Header.Get("Location"))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	var p wire.Problem
	if err != nil || json.Unmarshal(body, &p) != nil || p.Code == "" || p.Detail == "" {
		return notLicet(base, res.StatusCode)
	}
	return p.Refusal()
}

func notLicet(base string, status int) *refusal.Refusal {
	return refusal.New(refusal.CentralUnreachable, "%s answers, but not as a Licet server does (HTTP status %d).", base, status).
		Hinted("Check the address; a proxy or sign-in page on the way may have answered instead.").
		With("address", base).With("status", status)
}

func unreachable(base, format string, args ...any) *refusal.Refusal {
	r := refusal.New(refusal.CentralUnreachable, format, args...)
	r.Message = "Cannot reach " + base + ": " + r.Message + "."
	return r.With("address", base)
}

// cause is the innermost reason of a failed call, without the address, which is
// named already.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	return err.Error()
}
