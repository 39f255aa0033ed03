package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// The scopes of a token.
const (
	ScopeRead       = "read"       // look at everything but tickets of orders, the audit trail and tokens
	ScopeOrders     = "orders"     // take orders and see their tickets
	ScopeCatalog    = "catalog"    // change products
	ScopeContainers = "containers" // decide about containers, block and push
	ScopeLicenses   = "licenses"   // withdraw, replace and assign licenses
	ScopeRecovery   = "recovery"   // decide about lost licenses
	ScopeAudit      = "audit"      // read and verify the audit trail
	ScopeTokens     = "tokens"     // make and revoke tokens
	ScopeWebhooks   = "webhooks"   // see and change where events are sent to
	ScopeAdmin      = "admin"      // all of them
)

// Scopes lists every scope.
var Scopes = []string{ScopeRead, ScopeOrders, ScopeCatalog, ScopeContainers, ScopeLicenses, ScopeRecovery, ScopeAudit, ScopeTokens, ScopeWebhooks, ScopeAdmin}

// may refuses what the actor has no scope for.
func (a Actor) may(scope string) error {
	if slices.Contains(a.Scopes, scope) || slices.Contains(a.Scopes, ScopeAdmin) {
		return nil
	}
	return refusal.New(refusal.Forbidden, "This needs the scope %q.", scope).With("scope", scope)
}

const (
	tokenPrefix = "licet_"
	tokenBytes  = 24
	// usedEvery is how exactly the last use of a token is kept; every call would
	// be a write.
	usedEvery = time.Minute
)

// Authenticate finds the actor behind a token. Everything that is wrong with a
// token gives the same refusal.
func (r *Registry) Authenticate(ctx context.Context, token string) (Actor, error) {
	no := refusal.New(refusal.Unauthorized, "The token is missing, unknown, expired or revoked.")
	if !strings.HasPrefix(token, tokenPrefix) || len(token) > 100 {
		return Actor{}, no
	}
	now := license.At(r.cfg.Now())
	var t store.Token
	err := r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) (err error) {
		t, err = tx.TokenByHash(r.tokenHash(token))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Actor{}, no
	case err != nil:
		return Actor{}, err
	case t.Revoked != 0 || (t.Expires != 0 && t.Expires <= now):
		return Actor{}, no
	}
	if t.Used.Add(usedEvery) <= now {
		if err := r.cfg.DB.Write(ctx, func(tx *store.Tx) error { return tx.TokenUsed(t.ID, now) }); err != nil {
			// It is for people to look at. Who only reads must not fail where nothing can
			// be written.
			r.cfg.Log.Warn("the use of a token was not noted", "token", t.ID, "error", err)
		}
	}
	return Actor{Kind: "staff", Name: t.Name, Scopes: t.Scopes, token: t.ID}, nil
}

// CreateToken makes an API token; its secret is in this answer only. Nobody can
// give a scope that he does not have.
func (r *Registry) CreateToken(ctx context.Context, a Actor, req wire.TokenRequest, once Once) (wire.Token, error) {
	if err := a.may(ScopeTokens); err != nil {
		return wire.Token{}, err
	}
	if strings.HasSuffix(req.Name, atConsole) {
		return wire.Token{}, refusal.New(refusal.InvalidInput, "%q ends as the names of people do in the audit trail.", req.Name).Hinted("Choose another name.")
	}
	for _, s := range req.Scopes {
		if !slices.Contains(Scopes, s) {
			return wire.Token{}, refusal.New(refusal.InvalidInput, "There is no scope %q.", s).Hinted("The scopes are %s.", strings.Join(Scopes, ", "))
		}
		if err := a.may(s); err != nil {
			return wire.Token{}, err
		}
	}
	now := r.cfg.Now()
	var out wire.Token
	err := r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, once, &out, func() error {
			var err error
			out, err = r.insertToken(tx, req.Name, req.Scopes, now, req.TTL.Go())
			if err != nil {
				return err
			}
			return r.scribe(tx, a, now).note(evTokenCreated, map[string]any{"name": out.Name, "scopes": out.Scopes, "expires_at": out.Expires}, about(ofToken, out.ID))
		})
	})
	return out, err
}

func (r *Registry) insertToken(tx *store.Tx, name string, scopes []string, now time.Time, ttl time.Duration) (wire.Token, error) {
	var b [tokenBytes]byte
	r.cfg.Random(b[:])
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	t := store.Token{ID: r.newID("tok", now), Name: name, Scopes: scopes, Hash: r.tokenHash(secret), Created: license.At(now)}
	if ttl > 0 {
		t.Expires = license.At(now.Add(ttl))
	}
	w := tokenView(t)
	w.Secret = secret
	return w, tx.InsertToken(t)
}

func tokenView(t store.Token) wire.Token {
	return wire.Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, Created: t.Created, Expires: t.Expires, Used: t.Used, Revoked: t.Revoked}
}

// Tokens lists the tokens, without secrets.
func (r *Registry) Tokens(ctx context.Context, a Actor) (wire.List[wire.Token], error) {
	out := wire.List[wire.Token]{Items: []wire.Token{}}
	if err := a.may(ScopeTokens); err != nil {
		return out, err
	}
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		ts, err := tx.Tokens()
		for _, t := range ts {
			out.Items = append(out.Items, tokenView(t))
		}
		return err
	})
	return out, err
}

// RevokeToken ends a token at once.
func (r *Registry) RevokeToken(ctx context.Context, a Actor, id string) (wire.Token, error) {
	if err := a.may(ScopeTokens); err != nil {
		return wire.Token{}, err
	}
	now := r.cfg.Now()
	var out wire.Token
	err := r.write(ctx, func(tx *store.Tx) error {
		err := tx.RevokeToken(id, license.At(now))
		if errors.Is(err, store.ErrNotFound) {
			return notFound("active token", id)
		}
		if err != nil {
			return err
		}
		t, err := tx.TokenByID(id)
		if err != nil {
			return err
		}
		out = tokenView(t)
		return r.scribe(tx, a, now).note(evTokenRevoked, map[string]any{"name": t.Name}, about(ofToken, id))
	})
	return out, err
}

func (r *Registry) tokenHash(secret string) []byte {
	h := r.keys().vault.KeyedHash("token", []byte(secret))
	return h[:]
}
