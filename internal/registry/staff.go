package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const (
	// atConsole ends the names of people in the trail, so that no token can be
	// taken for one.
	atConsole = "@console"

	minPassword = 12 // characters
	maxPassword = 200

	// sessionSlack is how far the end of a session moves before it is written.
	sessionSlack = time.Minute
)

// passwordParams are what OWASP asks for at least: 19 MiB, two passes.
var passwordParams = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hashing bounds how many passwords are hashed at once: each takes 19 MiB.
var hashing = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// nobody is the password of accounts that are not there, so that checking it
// takes the time that checking one takes.
var nobody = sync.OnceValues(func() (string, error) { return hashPassword("nobody has this password") })

func hashPassword(password string) (string, error) {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2id.CreateHash(password, passwordParams)
}

func checkPassword(password, hash string) (bool, error) {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2id.ComparePasswordAndHash(password, hash)
}

// Can reports whether the actor has a scope. It is for what is shown; what is
// done checks again.
func (a Actor) Can(scope string) bool { return a.may(scope) == nil }

var staffName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$`)

func staffView(s store.Staff) wire.Staff {
	return wire.Staff{Name: s.Name, Email: s.Email, Scopes: s.Scopes, Created: s.Created, Seen: s.Seen, Disabled: s.Disabled}
}

// staffScopes checks the scopes of an account. Everybody may look.
func staffScopes(a Actor, scopes []string) ([]string, error) {
	out := []string{}
	for _, s := range append([]string{ScopeRead}, scopes...) {
		if !slices.Contains(Scopes, s) {
			return nil, refusal.New(refusal.InvalidInput, "There is no scope %q.", s).Hinted("The scopes are %s.", strings.Join(Scopes, ", "))
		}
		if err := a.may(s); err != nil {
			return nil, err
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// goodPassword refuses what is too short to withstand guessing.
func goodPassword(password, name string) error {
	switch {
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return refusal.New(refusal.InvalidInput, "The password is longer than %d bytes, or no text.", maxPassword)
	case utf8.RuneCountInString(password) < minPassword:
		return refusal.New(refusal.InvalidInput, "The password has fewer than %d characters.", minPassword).Hinted("Take a longer one, such as four words.")
	case strings.Contains(strings.ToLower(password), name) || strings.Count(password, password[:1]) == len(password):
		return refusal.New(refusal.InvalidInput, "The password is easy to guess.").Hinted("Take another one, such as four words.")
	}
	return nil
}

// generated is a password that is safe to read out: 24 characters without
// look-alikes, 118 bits.
func (r *Registry) generated() string {
	return strings.ToLower(string(license.NewTicket(r.cfg.Random)))
}

// AddStaff makes an account. Without a password one is made; it is in this answer
// only.
func (r *Registry) AddStaff(ctx context.Context, a Actor, s wire.Staff) (out wire.Staff, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return out, err
	}
	s.Name = strings.ToLower(strings.TrimSpace(s.Name))
	if !staffName.MatchString(s.Name) {
		return out, refusal.New(refusal.InvalidInput, "%q is no name to sign in with.", s.Name).
			Hinted("Use letters a to z, digits, dots, hyphens and underscores, such as maren.okafor.")
	}
	if len(s.Email) > 200 || strings.ContainsFunc(s.Email, func(r rune) bool { return r <= ' ' }) || s.Email != "" && !strings.Contains(s.Email, "@") {
		return out, refusal.New(refusal.InvalidInput, "%q is no e-mail address.", s.Email)
	}
	if s.Scopes, err = staffScopes(a, s.Scopes); err != nil {
		return out, err
	}
	made, hash, err := r.password(s.Password, s.Name)
	if err != nil {
		return out, err
	}
	now := r.cfg.Now()
	err = r.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		row := store.Staff{ID: r.newID("stf", now), Name: s.Name, Email: s.Email, Password: hash, Scopes: s.Scopes, Created: license.At(now)}
		if err := tx.InsertStaff(row); err != nil {
			return err
		}
		out = staffView(row)
		return r.scribe(tx, a, now).note(evStaffAdded, map[string]any{"name": row.Name, "scopes": row.Scopes}, about(ofStaff, row.ID))
	})
	if errors.Is(err, store.ErrConflict) {
		return wire.Staff{}, refusal.New(refusal.Conflict, "There is an account %s already.", s.Name).
			Hinted("licet-central staff password %s sets a new password.", s.Name)
	}
	out.Password = made
	return out, r.journalFault(err)
}

// password hashes the password given, or one that it makes and returns.
func (r *Registry) password(given, name string) (made, hash string, err error) {
	if given == "" {
		made = r.generated()
		given = made
	} else if err := goodPassword(given, name); err != nil {
		return "", "", err
	}
	hash, err = hashPassword(given)
	return made, hash, err
}

// Staff lists the accounts.
func (r *Registry) Staff(ctx context.Context, a Actor) (wire.List[wire.Staff], error) {
	out := wire.List[wire.Staff]{Items: []wire.Staff{}}
	if err := a.may(ScopeAdmin); err != nil {
		return out, err
	}
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.AllStaff()
		for _, s := range all {
			out.Items = append(out.Items, staffView(s))
		}
		return err
	})
	return out, err
}

// HasStaff reports whether anybody can sign in at all.
func (r *Registry) HasStaff(ctx context.Context) (has bool, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.CountStaff()
		has = n > 0
		return err
	})
	return has, err
}

// changeStaff changes an account and ends its sessions.
func (r *Registry) changeStaff(ctx context.Context, a Actor, name, event string, change func(*store.Staff) error) (out wire.Staff, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return out, err
	}
	now := r.cfg.Now()
	err = r.write(ctx, func(tx *store.Tx) error {
		s, err := tx.LockStaff(strings.ToLower(strings.TrimSpace(name)))
		if errors.Is(err, store.ErrNotFound) {
			return notFound("account", name)
		}
		if err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		if err := tx.UpdateStaff(s); err != nil {
			return err
		}
		out = staffView(s)
		return r.scribe(tx, a, now).note(event, map[string]any{"name": s.Name, "scopes": s.Scopes}, about(ofStaff, s.ID))
	})
	return out, err
}

// DisableStaff ends an account's sessions and lets it sign in no more.
func (r *Registry) DisableStaff(ctx context.Context, a Actor, name string) (wire.Staff, error) {
	return r.changeStaff(ctx, a, name, evStaffDisabled, func(s *store.Staff) error {
		if s.Disabled != 0 {
			return refusal.New(refusal.Conflict, "The account %s is disabled already.", s.Name).Hinted("Nothing needs to be done.")
		}
		s.Disabled = license.At(r.cfg.Now())
		return nil
	})
}

// SetStaffPassword sets a password, ends the account's sessions, and enables it
// again if it was disabled. Without a password one is made.
func (r *Registry) SetStaffPassword(ctx context.Context, a Actor, name, password string) (wire.Staff, error) {
	made, hash, err := r.password(password, strings.ToLower(strings.TrimSpace(name)))
	if err != nil {
		return wire.Staff{}, err
	}
	out, err := r.changeStaff(ctx, a, name, evStaffPassword, func(s *store.Staff) error {
		s.Password, s.Disabled = hash, 0
		return nil
	})
	if err == nil {
		out.Password = made
	}
	return out, err
}

// SetStaffScopes sets what an account may do, from its next request on.
func (r *Registry) SetStaffScopes(ctx context.Context, a Actor, name string, scopes []string) (wire.Staff, error) {
	scopes, err := staffScopes(a, scopes)
	if err != nil {
		return wire.Staff{}, err
	}
	return r.changeStaff(ctx, a, name, evStaffScopes, func(s *store.Staff) error {
		s.Scopes = scopes
		return nil
	})
}

// Pass is what a session remembers of who signed in. It gives no right by itself:
// each request asks [Registry.Member].
type Pass struct {
	ID    string
	Epoch int64
}

// SignIn checks a name and a password. Every wrong answer is the same and takes
// the same time; too many are refused with RateLimited, which says how long to
// wait (details: seconds).
func (r *Registry) SignIn(ctx context.Context, name, password string, address netip.Prefix) (Pass, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	now := r.cfg.Now()
	if wait := r.attempts.take(name, address, now); wait > 0 {
		seconds := int64(wait/time.Second) + 1
		return Pass{}, refusal.New(refusal.RateLimited, "Too many attempts to sign in. This one was not looked at.").
			Hinted("Wait %d s and try again.", seconds).With("seconds", seconds)
	}
	var s store.Staff
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		s, err = tx.StaffByName(name)
		return err
	})
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Pass{}, err
	}
	hash := s.Password
	if !known {
		if hash, err = nobody(); err != nil {
			return Pass{}, err
		}
	}
	if len(password) > maxPassword {
		password = "" // none is that long
	}
	right, err := checkPassword(password, hash)
	if err != nil {
		return Pass{}, err
	}
	right = right && known && s.Disabled == 0
	err = r.write(ctx, func(tx *store.Tx) error {
		log := r.scribe(tx, Actor{Kind: "staff", Name: s.Name + atConsole}, now)
		if right {
			if err := tx.StaffSeen(s.ID, license.At(now)); err != nil {
				return err
			}
			if err := tx.CleanSessions(license.At(now)); err != nil {
				return err
			}
			return log.note(evSignedIn, map[string]any{"name": s.Name, "address": address.String()}, about(ofStaff, s.ID))
		}
		log.actor = Actor{Kind: "system", Name: "console"}
		// What was typed as a name may be a password: an unknown one is not kept.
		details := map[string]any{"name": "unknown", "address": address.String()}
		if known {
			details["name"] = s.Name
			return log.note(evSignInRefused, details, about(ofStaff, s.ID))
		}
		return log.note(evSignInRefused, details, about(ofVendor, r.keys().vendor.ID))
	})
	if err != nil {
		return Pass{}, err
	}
	if !right {
		return Pass{}, refusal.New(refusal.Unauthorized, "The name or the password is wrong.").
			Hinted("Try again, or have an administrator set a new password: licet-central staff password.")
	}
	r.attempts.forgive(name, address)
	return Pass{ID: s.ID, Epoch: s.Epoch}, nil
}

// SignedOut notes that somebody signed out.
func (r *Registry) SignedOut(ctx context.Context, a Actor, p Pass) error {
	return r.write(ctx, func(tx *store.Tx) error {
		return r.scribe(tx, a, r.cfg.Now()).note(evSignedOut, map[string]any{"name": strings.TrimSuffix(a.Name, atConsole)}, about(ofStaff, p.ID))
	})
}

// Member is the actor behind a pass, with the rights that the account has now;
// Unauthorized if it may sign in no more, or has to sign in again.
func (r *Registry) Member(ctx context.Context, p Pass) (Actor, wire.Staff, error) {
	var s store.Staff
	err := r.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		s, err = tx.Staff(p.ID)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Actor{}, wire.Staff{}, err
	}
	if err != nil || s.Disabled != 0 || s.Epoch != p.Epoch {
		return Actor{}, wire.Staff{}, refusal.New(refusal.Unauthorized, "You are signed in no longer.").Hinted("Sign in again.")
	}
	return Actor{Kind: "staff", Name: s.Name + atConsole, Scopes: s.Scopes}, staffView(s), nil
}

// Session finds what is kept of a session; false if it has ended.
func (r *Registry) Session(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		data, err = tx.Session(token, license.At(r.cfg.Now()))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// StartSession keeps a new session until it expires.
func (r *Registry) StartSession(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return r.write(ctx, func(tx *store.Tx) error { return tx.StartSession(token, data, license.At(expiry)) })
}

// KeepSession keeps what changed of a session, and until when it lasts. One that
// has ended meanwhile stays so.
func (r *Registry) KeepSession(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return r.write(ctx, func(tx *store.Tx) error {
		return tx.KeepSession(token, data, license.At(expiry), license.At(expiry.Add(-sessionSlack)))
	})
}

// EndSession ends a session.
func (r *Registry) EndSession(ctx context.Context, token string) error {
	return r.write(ctx, func(tx *store.Tx) error { return tx.EndSession(token) })
}

// attempts counts attempts to sign in: few for one name from one address, more
// for an address and for a name from everywhere, so that nobody can lock out
// another for long. Its memory is bounded. Each server counts for itself.
type attempts struct {
	lock sync.Mutex // protects what follows
	left map[[32]byte]*allowance
}

// allowance is how many attempts are left, as of a moment.
type allowance struct {
	left float64
	at   time.Time
}

// allowed is how many attempts there are at once, and after how long comes
// another.
type allowed struct {
	burst float64
	every time.Duration
}

var (
	oneNameThere = allowed{5, 30 * time.Second}
	oneAddress   = allowed{20, 6 * time.Second}
	oneName      = allowed{50, 10 * time.Second}
)

// maxAllowances is how many are remembered; the ones that are full again go
// first.
const maxAllowances = 20_000

// take takes one attempt, or says how long to wait for it.
func (t *attempts) take(name string, address netip.Prefix, now time.Time) (wait time.Duration) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.left == nil {
		t.left = map[[32]byte]*allowance{}
	}
	if len(t.left) >= maxAllowances {
		for k, a := range t.left {
			if now.Sub(a.at) > time.Hour || len(t.left) >= maxAllowances && a.left > 2 {
				delete(t.left, k)
			}
		}
	}
	var take []*allowance
	for _, one := range []struct {
		key string
		allowed
	}{{"b " + name + " " + address.String(), oneNameThere}, {"a " + address.String(), oneAddress}, {"n " + name, oneName}} {
		k := sha256.Sum256([]byte(one.key))
		a := t.left[k]
		if a == nil {
			a = &allowance{left: one.burst, at: now}
			t.left[k] = a
		}
		if passed := now.Sub(a.at); passed > 0 {
			a.left, a.at = min(one.burst, a.left+float64(passed)/float64(one.every)), now
		}
		if a.left < 1 {
			wait = max(wait, time.Duration((1-a.left)*float64(one.every)))
		}
		take = append(take, a)
	}
	if wait > 0 {
		return wait
	}
	for _, a := range take {
		a.left--
	}
	return 0
}

// forgive gives the attempts for a name from an address back: it was its owner.
func (t *attempts) forgive(name string, address netip.Prefix) {
	t.lock.Lock()
	defer t.lock.Unlock()
	delete(t.left, sha256.Sum256([]byte("b "+name+" "+address.String())))
}
