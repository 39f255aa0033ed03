package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"time"

	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// Bounds of what is paired.
const (
	codeLasts   = 2 * time.Minute
	tokenLasts  = time.Hour
	codeTries   = 5 // wrong codes, before everything that waits is refused
	mostWaiting = 3 // from one origin
	mostPaired  = 16

	codeLetters = "ABCDEFGHJKMNPQRSTUVWXYZ23456789" // without look-alikes
	codeLength  = 8
)

// Pairings are the pages that the user of this machine lets speak to it, and those
// that wait for that. They live as long as the agent runs, and nowhere else. All
// methods may be called at the same time.
type Pairings struct {
	now    func() time.Time
	random func([]byte)

	mu   sync.Mutex // guards what follows
	list []*pairing // oldest first
}

// pairing is one page, or tab, of an origin.
type pairing struct {
	origin, vendor, name string
	state                string   // wire.Pairing…
	id, token            [32]byte // hashes; token is of nothing until it was told
	told                 bool
	code                 string
	wrong                int
	ends                 time.Time
}

// Pairings opens the pairings of this agent, to be called before Serve: without
// them, no page can be allowed anything.
func (a *Agent) Pairings() *Pairings {
	if a.pairings == nil {
		a.pairings = &Pairings{now: a.cfg.Now, random: a.cfg.Random}
	}
	return a.pairings
}

// Ask lets a page wait for the user's consent. Whether its origin may ask at all is
// for the caller to know; name is the vendor's, for people.
func (p *Pairings) Ask(origin, vendor, name string) (wire.BridgePairing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	waits := 0
	for _, one := range p.list {
		if one.origin == origin && !one.told {
			waits++
		}
	}
	if waits >= mostWaiting || len(p.list) >= mostPaired {
		return wire.BridgePairing{}, refusal.New(refusal.RateLimited, "Too many pages ask to use this machine.").
			Hinted("Wait two minutes, or run licet bridge forget.")
	}
	id, hash := p.secret()
	one := &pairing{origin: origin, vendor: vendor, name: name, state: wire.PairingWaiting, id: hash, code: p.code(), ends: p.now().Add(codeLasts)}
	p.list = append(p.list, one)
	shown := one.code[:codeLength/2] + "-" + one.code[codeLength/2:]
	return wire.BridgePairing{ID: id, Code: shown, Command: "licet bridge allow " + shown, Seconds: int64(codeLasts / time.Second)}, nil
}

// Wait says what became of a pairing, and tells the token of one that was allowed,
// once.
func (p *Pairings) Wait(origin, id string) wire.BridgeConsent {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	hash := sha256.Sum256([]byte(id))
	for _, one := range p.list {
		if one.told || one.origin != origin || subtle.ConstantTimeCompare(one.id[:], hash[:]) != 1 {
			continue
		}
		said := wire.BridgeConsent{State: one.state}
		if one.state == wire.PairingAllowed {
			said.Token, one.token = p.secret()
			one.told, one.ends = true, p.now().Add(tokenLasts)
			said.Seconds = int64(tokenLasts / time.Second)
		}
		return said
	}
	return wire.BridgeConsent{State: wire.PairingEnded}
}

// Holder is the vendor for whom a page of an origin may speak with a token.
func (p *Pairings) Holder(origin, token string) (vendor string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	hash := sha256.Sum256([]byte(token))
	for _, one := range p.list {
		if one.told && one.origin == origin && subtle.ConstantTimeCompare(one.token[:], hash[:]) == 1 {
			return one.vendor, true
		}
	}
	return "", false
}

// allow consents to the page that shows a code.
func (p *Pairings) allow(text string) (Pairing, error) {
	code := plainCode(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	for _, one := range p.list {
		if one.waits() && subtle.ConstantTimeCompare([]byte(one.code), []byte(code)) == 1 {
			one.state, one.code = wire.PairingAllowed, ""
			return one.describe(), nil
		}
	}
	left := 0
	for _, one := range p.list {
		if !one.waits() {
			continue
		}
		if one.wrong++; one.wrong >= codeTries {
			one.state, one.code = wire.PairingRefused, ""
			continue
		}
		left++
	}
	no := refusal.New(refusal.NotFound, "No page waits with this code. Nothing was allowed.")
	if left == 0 {
		return Pairing{}, no.Hinted("Ask again on the page: a code counts once, for two minutes and a few tries.")
	}
	return Pairing{}, no.Hinted("Check the code for a typo, or ask again on the page.")
}

// forget ends what a text names, a code or an origin, or everything: what waits is
// refused, what was allowed is no longer.
func (p *Pairings) forget(text string) ([]Pairing, error) {
	code := plainCode(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	ended := []Pairing{}
	p.list = slices.DeleteFunc(p.list, func(one *pairing) bool {
		if text != "" && one.origin != text && (one.code == "" || one.code != code) || one.state == wire.PairingRefused {
			return false
		}
		ended = append(ended, one.describe())
		if one.told {
			return true
		}
		one.state, one.code = wire.PairingRefused, "" // its page hears of it
		return false
	})
	if text != "" && len(ended) == 0 {
		return nil, refusal.New(refusal.NotFound, "No page with the code or origin %q is allowed or waits.", shortened(text)).Hinted("licet bridge list names them.")
	}
	return ended, nil
}

func (p *Pairings) describe() []Pairing {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	list := []Pairing{}
	for _, one := range p.list {
		if one.state != wire.PairingRefused {
			list = append(list, one.describe())
		}
	}
	return list
}

func (one *pairing) waits() bool { return one.state == wire.PairingWaiting }

func (one *pairing) describe() Pairing {
	return Pairing{Origin: one.origin, VendorID: one.vendor, Vendor: one.name, State: one.state, Until: license.At(one.ends)}
}

// tidy forgets what is over.
func (p *Pairings) tidy() {
	now := p.now()
	p.list = slices.DeleteFunc(p.list, func(one *pairing) bool { return !now.Before(one.ends) })
}

// secret draws a secret and its hash.
func (p *Pairings) secret() (string, [32]byte) {
	var b [32]byte
	p.random(b[:])
	text := base64.RawURLEncoding.EncodeToString(b[:])
	return text, sha256.Sum256([]byte(text))
}

// code draws a code that no other page shows.
func (p *Pairings) code() string {
	const n = len(codeLetters)
	for {
		var b [1]byte
		code := make([]byte, 0, codeLength)
		for len(code) < codeLength {
			if p.random(b[:]); int(b[0]) < 256/n*n { // each letter is as likely as any other
				code = append(code, codeLetters[int(b[0])%n])
			}
		}
		if !slices.ContainsFunc(p.list, func(one *pairing) bool { return one.code == string(code) }) {
			return string(code)
		}
	}
}

// plainCode is a code as people type it.
func plainCode(text string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(text))
}

func shortened(text string) string {
	if len(text) > 100 {
		return text[:100] + "…"
	}
	return text
}

// Pairing is a page that may speak to this machine, or waits for it.
type Pairing struct {
	Origin   string       `json:"origin"`
	VendorID string       `json:"vendor_id"`
	Vendor   string       `json:"vendor"`
	State    string       `json:"state"` // waiting or allowed
	Until    license.Time `json:"until"`
}

// BridgeCode names a page by the code that it shows; forgetting also takes an
// origin, and everything if it is empty.
type BridgeCode struct {
	Code string `json:"code"`
}

// bridge is the pairings, where there is a bridge.
func (a *Agent) bridge() (*Pairings, error) {
	if a.pairings == nil {
		return nil, refusal.New(refusal.AgentUnreachable, "No page can speak to this machine: the agent runs without a bridge, or not at all.").
			Hinted("Start it with licet serve --bridge, if you mean to let the vendor's pages ask.")
	}
	return a.pairings, nil
}

// BridgeAllow lets the page that shows a code speak to this machine for an hour.
func (a *Agent) BridgeAllow(_ context.Context, in BridgeCode) (Pairing, error) {
	p, err := a.bridge()
	if err != nil {
		return Pairing{}, err
	}
	done, err := p.allow(in.Code)
	if err != nil {
		a.cfg.Log.Warn("a wrong code for the bridge")
		return Pairing{}, err
	}
	a.cfg.Log.Info("bridge allowed", "origin", done.Origin, "vendor", done.VendorID)
	return done, nil
}

// BridgeList tells which pages may speak to this machine, or wait for it.
func (a *Agent) BridgeList(context.Context, Nothing) ([]Pairing, error) {
	p, err := a.bridge()
	if err != nil {
		return nil, err
	}
	return p.describe(), nil
}

// BridgeForget refuses pages that wait and ends what was allowed.
func (a *Agent) BridgeForget(_ context.Context, in BridgeCode) ([]Pairing, error) {
	p, err := a.bridge()
	if err != nil {
		return nil, err
	}
	return p.forget(in.Code)
}
