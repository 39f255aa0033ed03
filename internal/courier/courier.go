// Package courier carries events to the receivers that staff have named: it asks
// the registry what is to go where, sends it, and has it recorded. What a receiver
// answers, and whether it answers at all, changes nothing but when the message goes
// there again. After a crash at the wrong moment a message goes out twice, with the
// same id.
package courier

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"licet/internal/registry"
	"licet/internal/webhook"
)

const (
	// Timeout is how long a receiver has for its answer.
	Timeout = 15 * time.Second
	// keptAnswer is how much of an answer is kept, drained how much is read besides, so
	// that the connection can be used again.
	keptAnswer = 1024
	drained    = 64 << 10
	maxHeader  = 64 << 10
	maxFault   = 300
	// lookShare is how small a part of its time a courier looks for what is due.
	lookShare = 20
	// recording bounds the wait for the database where the rest is stopping.
	recording = 10 * time.Second
)

// Config says how messages are sent.
type Config struct {
	Networks webhook.Networks
	Program  string        // such as licet-central/1.2, for receivers' logs
	Timeout  time.Duration // Timeout if zero
	TLS      *tls.Config   // nil for what the system trusts
}

// Courier sends what is due.
type Courier struct {
	reg     *registry.Registry
	log     *slog.Logger
	program string
	owner   string // this process, before others at the same database
	client  *http.Client

	mu   sync.Mutex
	busy map[string]bool // webhooks that a goroutine is on
	work sync.WaitGroup
}

// New makes a courier; it does not send yet.
func New(cfg Config, reg *registry.Registry, log *slog.Logger) *Courier {
	if cfg.Timeout == 0 {
		cfg.Timeout = Timeout
	}
	t := carriers{http: carrier(cfg, true), https: carrier(cfg, false)}
	return &Courier{reg: reg, log: log, program: cfg.Program, owner: rand.Text(), busy: map[string]bool{},
		client: &http.Client{Transport: t, Timeout: cfg.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// carriers keeps messages without TLS apart: they may go to fewer places.
type carriers struct{ http, https *http.Transport }

// RoundTrip implements http.RoundTripper.
func (c carriers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		return c.http.RoundTrip(r)
	}
	return c.https.RoundTrip(r)
}

// carrier makes connections to allowed addresses alone. The address is looked at
// after the name was looked up and before it is connected to, so that a name cannot
// lead elsewhere in between; no proxy of the environment makes connections instead.
func carrier(cfg Config, plain bool) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if err := cfg.Networks.Check(to.Addr(), plain); err != nil {
			return errAddress{err}
		}
		return nil
	}}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: cfg.TLS.Clone(), TLSHandshakeTimeout: cfg.Timeout, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
	}
}

// errAddress says that an address is not allowed.
type errAddress struct{ error }

// Once sends what is due and returns when nothing is any more, with how many
// messages went out and got an answer of any kind or none.
func (c *Courier) Once(ctx context.Context) (sent int, err error) {
	var mu sync.Mutex
	var errs []error
	err = c.start(ctx, func(n int, e error) {
		mu.Lock()
		defer mu.Unlock()
		sent, errs = sent+n, append(errs, e)
	})
	c.work.Wait()
	return sent, errors.Join(append(errs, err)...)
}

// Run sends what is due until ctx ends, looking for it so often, or less often where
// looking is dear.
func (c *Courier) Run(ctx context.Context, every time.Duration) {
	wait := time.NewTimer(every)
	defer wait.Stop()
	defer c.client.CloseIdleConnections()
	defer c.work.Wait()
	failed := func(err error) {
		if err != nil && ctx.Err() == nil {
			c.log.Error("events are not sent; it is tried again", "fault", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
			begin := time.Now()
			failed(c.start(ctx, func(_ int, err error) { failed(err) }))
			// Where thousands of events wait behind one, looking takes a while.
			wait.Reset(max(every, lookShare*time.Since(begin)))
		}
	}
}

// start begins with every webhook that something is due for and that nobody is on.
func (c *Courier) start(ctx context.Context, done func(sent int, err error)) error {
	due, err := c.reg.DueWebhooks(ctx, c.owner)
	for _, id := range due {
		c.mu.Lock()
		busy := c.busy[id]
		c.busy[id] = true
		c.mu.Unlock()
		if busy {
			continue
		}
		c.work.Go(func() {
			defer func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.busy, id)
			}()
			done(c.serve(ctx, id))
		})
	}
	return err
}

// serve sends to one receiver, round after round, while there is something to send.
func (c *Courier) serve(ctx context.Context, id string) (sent int, err error) {
	for more := true; more && ctx.Err() == nil; {
		var round registry.Round
		if round, more, err = c.reg.TakeRound(ctx, id, c.owner); err != nil {
			return sent, err
		}
		if len(round.Messages) == 0 {
			continue
		}
		results := c.sendAll(ctx, round)
		sent += len(results)
		last, end := context.WithTimeout(context.WithoutCancel(ctx), recording)
		err = c.reg.RecordRound(last, round, results)
		end()
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// sendAll sends the messages of a round at once. Those that were under way when ctx
// ended have no result.
func (c *Courier) sendAll(ctx context.Context, round registry.Round) (results []registry.Result) {
	all := make([]registry.Result, len(round.Messages))
	var sending sync.WaitGroup
	for i, m := range round.Messages {
		sending.Go(func() { all[i] = c.send(ctx, round, m) })
	}
	sending.Wait()
	for _, r := range all {
		if r.Status == 0 && ctx.Err() != nil {
			continue
		}
		results = append(results, r)
	}
	return results
}

func (c *Courier) send(ctx context.Context, round registry.Round, m registry.Message) (res registry.Result) {
	res.ID = m.ID
	begin := time.Now()
	defer func() { res.Duration = time.Since(begin) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, round.URL, bytes.NewReader(m.Body))
	if err != nil {
		res.Fault = said(err)
		return res
	}
	req.Header.Set(webhook.HeaderID, m.ID)
	req.Header.Set(webhook.HeaderTimestamp, webhook.Timestamp(round.At))
	req.Header.Set(webhook.HeaderSignature, round.Signature(m))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.program)
	answer, err := c.client.Do(req)
	if err != nil {
		res.Fault = said(err)
		return res
	}
	defer answer.Body.Close()
	res.Status, res.RetryAfter = answer.StatusCode, answer.Header.Get("Retry-After")
	// The status has been said; what becomes of the rest does not matter.
	text, _ := io.ReadAll(io.LimitReader(answer.Body, keptAnswer))
	res.Answer = plain(string(text))
	_, _ = io.CopyN(io.Discard, answer.Body, drained)
	return res
}

// said is why there was no answer, without the URL, which may hold a secret.
func said(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return "no answer in time"
		}
		err = wrapped.Err
	}
	var no errAddress
	if errors.As(err, &no) {
		return no.Error()
	}
	text := plain(err.Error())
	if len(text) > maxFault {
		text = strings.ToValidUTF8(text[:maxFault], "") + "…"
	}
	return text
}

// plain is a text as it can be stored and shown: UTF-8 without control characters.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}
