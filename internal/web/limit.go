package web

import (
	"container/list"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"licet/refusal"
)

// Limits says how much is served. A zero rate or count means no limit.
type Limits struct {
	PerAddress Rate // for one address (IPv6: one /64)
	Total      Rate // for all together
	AtOnce     int  // requests of one address at the same time
	AtOnceAll  int  // requests at the same time
	Addresses  int  // how many addresses are remembered; 10000 if 0

	Now func() time.Time // the clock of the rates; time.Now if nil
}

// Rate is so many per second on average, with Burst saved up at most.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Limiter holds limits over a handler's requests. An address pays from its own
// account first, so that who asks too much does not use up what is for all; and
// when what is for all runs low, the addresses that asked little go first. The
// memory it takes is bounded.
type Limiter struct {
	limits Limits
	policy []string // of an address, as a header

	mu        sync.Mutex // protects what follows
	total     bucket
	active    int
	addresses map[netip.Prefix]*list.Element
	recent    *list.List // of *account, most recently used first
}

// account is what one address has.
type account struct {
	address netip.Prefix
	bucket  bucket
	active  int
}

// Tighter are limits with a part of the rates, for what costs more or must not be
// tried often. What is not limited stays so.
func (l Limits) Tighter(times float64) Limits {
	l.PerAddress = Rate{PerSecond: l.PerAddress.PerSecond / times, Burst: l.PerAddress.Burst / times}
	l.Total = Rate{PerSecond: l.Total.PerSecond / times, Burst: l.Total.Burst / times}
	return l
}

// NewLimiter makes a limiter.
func NewLimiter(limits Limits) *Limiter {
	if limits.Addresses <= 0 {
		limits.Addresses = 10000
	}
	if limits.Now == nil {
		limits.Now = time.Now
	}
	var policy []string
	if own := limits.PerAddress; own.PerSecond > 0 {
		burst := max(own.Burst, 1)
		policy = []string{fmt.Sprintf(`"address";q=%d;w=%s`, int(burst), retryAfter(burst/own.PerSecond))}
	}
	return &Limiter{
		limits:    limits,
		policy:    policy,
		total:     bucket{tokens: limits.Total.Burst, at: limits.Now()},
		addresses: map[netip.Prefix]*list.Element{},
		recent:    list.New(),
	}
}

// Handler serves next within the limits and refuses the rest with RateLimited.
// Each answer says how much of its address's account is left, in the headers
// RateLimit and RateLimit-Policy of the IETF's draft.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	told := func(w http.ResponseWriter, r *http.Request) {
		l.tell(w.Header(), prefix(r))
		next.ServeHTTP(w, r)
	}
	return l.Or(http.HandlerFunc(told), func(w http.ResponseWriter, r *http.Request, wait time.Duration) {
		l.tell(w.Header(), prefix(r))
		Error(w, r, refusal.New(refusal.RateLimited, "Too many requests; this one was not looked at.").
			Hinted("Wait %s s and send the same again.", retryAfter(wait.Seconds())))
	})
}

// Or serves next within the limits and answers the rest with busy, which is told
// how long to wait, such as with a page for people.
func (l *Limiter) Or(next http.Handler, busy func(w http.ResponseWriter, r *http.Request, wait time.Duration)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done, wait := l.enter(prefix(r))
		if done == nil {
			w.Header().Set("Retry-After", retryAfter(wait))
			busy(w, r, time.Duration(wait*float64(time.Second)))
			return
		}
		defer done()
		next.ServeHTTP(w, r)
	})
}

// tell writes the state of an address's account.
func (l *Limiter) tell(h http.Header, address netip.Prefix) {
	own := l.limits.PerAddress
	if own.PerSecond <= 0 {
		return
	}
	l.mu.Lock()
	left := l.account(address, l.limits.Now()).bucket.tokens
	l.mu.Unlock()
	burst := max(own.Burst, 1)
	h["Ratelimit-Policy"] = l.policy
	h.Set("RateLimit", `"address";r=`+strconv.Itoa(max(0, int(left)))+`;t=`+retryAfter((burst-left)/own.PerSecond))
}

// enter lets a request in and returns what to call at its end, or nil and the
// seconds to wait.
func (l *Limiter) enter(address netip.Prefix) (done func(), wait float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.Now()
	a := l.account(address, now)
	// Half of the places are kept for addresses that have few: whose bodies come
	// slowly keep theirs for long.
	few := a.active < max(1, l.limits.AtOnce/8)
	if over(a.active, l.limits.AtOnce) || over(l.active, l.limits.AtOnceAll) || !few && over(l.active, l.limits.AtOnceAll/2) {
		return nil, 1
	}
	own, all := l.limits.PerAddress, l.limits.Total
	if wait := a.bucket.wait(own, now, 1); wait > 0 {
		return nil, wait
	}
	// Who asks pays, served or not: an address that keeps asking must not become
	// one that asked little.
	a.bucket.tokens--
	// Half of what is saved up for all is kept for addresses that asked little.
	need := 1.0
	if own.PerSecond > 0 && a.bucket.tokens < own.Burst/2 {
		need += all.Burst / 2
	}
	if wait := l.total.wait(all, now, need); wait > 0 {
		return nil, wait
	}
	l.total.tokens--
	a.active++
	l.active++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.active--
		l.active--
	}, 0
}

// Pay takes more from the accounts of a request that was let in and does the work
// of several. It goes through even where they do not hold that much; what comes
// next waits for longer then.
func (l *Limiter) Pay(r *http.Request, more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.Now()
	l.account(prefix(r), now).bucket.tokens -= float64(more)
	l.total.tokens -= float64(more)
}

func over(active, limit int) bool { return limit > 0 && active >= limit }

// account finds or makes an address's account; the caller holds mu. Where too
// many are remembered, the one that was quiet for longest is forgotten, which
// gives it a full account again.
func (l *Limiter) account(address netip.Prefix, now time.Time) *account {
	if e, ok := l.addresses[address]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*account)
	}
	for l.recent.Len() >= l.limits.Addresses {
		last := l.recent.Back()
		delete(l.addresses, last.Value.(*account).address)
		l.recent.Remove(last)
	}
	a := &account{address: address, bucket: bucket{tokens: l.limits.PerAddress.Burst, at: now}}
	l.addresses[address] = l.recent.PushFront(a)
	return a
}

// bucket is a token bucket as of a moment.
type bucket struct {
	tokens float64
	at     time.Time
}

// wait fills the bucket up to now and returns the seconds until it holds need.
func (b *bucket) wait(r Rate, now time.Time, need float64) float64 {
	if r.PerSecond <= 0 {
		return 0
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(max(r.Burst, 1), b.tokens+passed*r.PerSecond)
		b.at = now
	}
	if b.tokens >= need {
		return 0
	}
	return (need - b.tokens) / r.PerSecond
}

// prefix is what counts as one address: an IPv4 address, or an IPv6 network of
// 64 bits, which is what one customer gets.
func prefix(r *http.Request) netip.Prefix {
	a, err := netip.ParseAddr(clientAddress(r))
	if err != nil {
		return netip.Prefix{} // a Unix socket: all its users are one
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // cannot fail: bits fit the kind of address
	return p
}
