package registry

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
)

// Condition is that a change is made only while its subject is as the caller saw it
// (RFC 9110, section 13.1.1, If-Match).
type Condition struct {
	Of, ID string   // what it is about: license, container, order, subscription, webhook, recovery, settings
	Tags   []string // of the views that may be; [Tag]
	Actor  Actor    // whose view it is
}

// Tag is a short name of what a view says: equal for equal views.
func Tag(view any) (string, error) {
	text, err := json.Marshal(view)
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:15]), err
}

type conditionKey struct{}

// condition is one for the first transaction of a call that is committed; what
// follows in the same call builds on that.
type condition struct {
	Condition
	met bool
}

func conditionOf(ctx context.Context) *condition {
	c, _ := ctx.Value(conditionKey{}).(*condition)
	return c
}

// WithCondition makes the change that is called with ctx depend on a condition. It is
// looked at in the change's own transaction, behind the lock of its subject, so that
// nothing comes between the look and the change.
func WithCondition(ctx context.Context, c Condition) context.Context {
	return context.WithValue(ctx, conditionKey{}, &condition{Condition: c})
}

// holds refuses where the condition of ctx does not hold. A decision that was made
// before, and is asked for again, gets its first answer.
func (r *Registry) holds(ctx context.Context, tx *store.Tx) error {
	c := conditionOf(ctx)
	if c == nil || c.met {
		return nil
	}
	if once := onceOf(ctx); once.Key != "" {
		if _, _, err := tx.Recall(c.Actor.String(), once.Key); !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	view, err := r.locked(tx, c.Condition)
	if err != nil {
		return err
	}
	tag, err := Tag(view)
	if err == nil && !slices.Contains(c.Tags, tag) {
		err = refusal.New(refusal.ChangedMeanwhile, "The %s %s is not as it was when you looked at it. Nothing was changed.", c.Of, c.ID)
	}
	return err
}

// locked locks what a condition is about and gives its view.
func (r *Registry) locked(tx *store.Tx, c Condition) (any, error) {
	var err error
	switch c.Of {
	case "license":
		if _, err = tx.LockLicense(license.ID(c.ID)); err == nil {
			return r.licenseShown(tx, license.ID(c.ID))
		}
	case "container":
		var box store.Container
		if box, err = tx.LockContainer(license.Serial(c.ID)); err == nil {
			return r.containerView(tx, box)
		}
	case "order":
		o, err := findOrder(tx, c.ID)
		if err != nil {
			return nil, err
		}
		if err := tx.Touch("orders", "id", o.ID); err != nil {
			return nil, err
		}
		return r.orderView(tx, o, c.Actor.may(ScopeOrders) == nil)
	case "subscription":
		s, err := findSubscription(tx, c.ID)
		if err != nil {
			return nil, err
		}
		if s, err = tx.LockSubscription(s.ID); err != nil {
			return nil, err
		}
		return r.subscriptionShown(tx, s, c.Actor)
	case "webhook":
		var h store.Webhook
		if h, err = tx.LockWebhook(c.ID); err == nil {
			return r.webhookView(tx, h)
		}
	case "recovery":
		var n uint64
		if n, err = strconv.ParseUint(c.ID, 10, 63); err != nil {
			return nil, notFound(c.Of, c.ID)
		}
		var rec store.Recovery
		if rec, err = tx.LockRecovery(n); err == nil {
			return r.recoveryShown(tx, rec)
		}
	case "settings":
		if err = tx.Touch("vendor", "id", r.keys().vendor.ID); err == nil {
			return settingsShown(tx)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(c.Of, c.ID)
	}
	return nil, err
}
