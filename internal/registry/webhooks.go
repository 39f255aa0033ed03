package registry

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"licet/internal/store"
	"licet/internal/webhook"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

const (
	maxWebhooks = 50
	// maxLiveKeys is how many keys sign the messages of one receiver at most.
	maxLiveKeys    = 4
	defaultOverlap = license.Day
	maxOverlap     = 30 * license.Day
)

// AllowNetworks names the internal networks that messages may be sent to. It is
// called before serving.
func (r *Registry) AllowNetworks(n webhook.Networks) { r.networks = n }

// CreateWebhook makes a webhook: events from now on go there. The secret that the
// receiver verifies with is in this answer only.
func (r *Registry) CreateWebhook(ctx context.Context, a Actor, req wire.WebhookRequest) (out wire.Webhook, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	host, filter, err := r.checkWebhook(req.URL, req.Events)
	if err != nil {
		return out, err
	}
	// What has happened already has its place in the log then, and the receiver begins
	// behind it.
	if _, err := r.Sequence(ctx); err != nil {
		return out, err
	}
	now := r.cfg.Now()
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			if err := tx.Touch("vendor", "id", r.keys().vendor.ID); err != nil {
				return err
			}
			size, err := tx.AuditSize()
			if err != nil {
				return err
			}
			all, err := tx.Webhooks()
			if err != nil {
				return err
			}
			if len(all) >= maxWebhooks {
				return refusal.New(refusal.InvalidInput, "There are %d webhooks already.", len(all)).Hinted("Delete one that is not needed.")
			}
			h := store.Webhook{ID: r.newID("whk", now), URL: req.URL, Events: filter, Description: req.Description,
				Created: license.At(now), CreatedBy: a.String(), Sequence: size}
			if err := tx.InsertWebhook(h); err != nil {
				return err
			}
			key, err := r.newHookKey(tx, h.ID, webhook.Kind(req.Signature), req.Secret, now)
			if err != nil {
				return err
			}
			if err := r.scribe(tx, a, now).note(evWebhookCreated, map[string]any{"host": host, "events": filter}, about(ofWebhook, h.ID)); err != nil {
				return err
			}
			if out, err = r.webhookView(tx, h); err != nil {
				return err
			}
			out.Secret = verifyWith(key)
			return nil
		})
	})
	return out, err
}

// checkWebhook checks what staff say of a receiver.
func (r *Registry) checkWebhook(url string, events []string) (host string, filter webhook.Filter, err error) {
	if host, err = r.networks.CheckURL(url); err != nil {
		return "", nil, err
	}
	filter, err = webhook.ParseFilter(events, typeNames())
	return host, filter, err
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return strings.FieldsFunc(rest, func(c rune) bool { return c == '/' || c == '?' })[0]
}

// verifyWith is what a receiver verifies with.
func verifyWith(k webhook.Key) string {
	if k.Kind() == webhook.Asymmetric {
		return k.Public()
	}
	return k.Secret()
}

// newHookKey stores a new key: the one given, or one that is drawn.
func (r *Registry) newHookKey(tx *store.Tx, id string, kind webhook.Kind, secret string, now time.Time) (k webhook.Key, err error) {
	if secret != "" {
		if k, err = webhook.ParseKey(secret); err == nil && kind != "" && kind != k.Kind() {
			err = refusal.New(refusal.InvalidInput, "The secret is one for signatures of the kind %s.", k.Kind())
		}
	} else {
		if kind == "" {
			kind = webhook.Symmetric
		}
		k, err = webhook.NewKey(kind, reader(r.cfg.Random))
	}
	if err != nil {
		return k, err
	}
	row := store.WebhookKey{ID: r.newID("whkey", now), Webhook: id, Kind: string(k.Kind()), Public: k.Public(), Created: license.At(now)}
	if row.Secret, err = r.keys().vault.Seal(hookKeyPlace(row.ID), []byte(k.Secret())); err != nil {
		return k, err
	}
	return k, tx.InsertWebhookKey(row)
}

func hookKeyPlace(id string) seal.Place {
	return seal.Place{Table: "webhook_keys", Row: id, Column: "secret"}
}

// hookKeys are the keys that a receiver's messages are signed with now, the newest
// first.
func (r *Registry) hookKeys(tx *store.Tx, id string, now license.Time) (keys []webhook.Key, err error) {
	rows, err := tx.WebhookKeys(id)
	for _, row := range rows {
		if row.Ends != 0 && row.Ends <= now {
			continue
		}
		secret, err := r.keys().vault.Open(hookKeyPlace(row.ID), row.Secret)
		if err != nil {
			return nil, err
		}
		k, err := webhook.ParseKey(string(secret))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, err
}

// Webhooks lists the webhooks, the oldest first.
func (r *Registry) Webhooks(ctx context.Context, a Actor) (out wire.List[wire.Webhook], err error) {
	out.Items = []wire.Webhook{}
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.Webhooks()
		items := []wire.Webhook{}
		for _, h := range all {
			v, err := r.webhookView(tx, h)
			if err != nil {
				return err
			}
			items = append(items, v)
		}
		out.Items = items
		return err
	})
	return out, err
}

// Webhook shows one webhook.
func (r *Registry) Webhook(ctx context.Context, a Actor, id string) (out wire.Webhook, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		h, err := tx.Webhook(id)
		if err != nil {
			return noWebhook(err, id)
		}
		out, err = r.webhookView(tx, h)
		return err
	})
	return out, err
}

// noWebhook says that there is none, where that is the error.
func noWebhook(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("webhook", id)
	}
	return err
}

func (r *Registry) webhookView(tx *store.Tx, h store.Webhook) (w wire.Webhook, err error) {
	w = wire.Webhook{ID: h.ID, URL: h.URL, Events: h.Events, Description: h.Description, Created: h.Created, CreatedBy: h.CreatedBy,
		State: wire.WebhookActive, Since: h.StoppedAt, Succeeded: h.Succeeded, Keys: []wire.WebhookKey{}}
	switch now := license.At(r.cfg.Now()); {
	case h.Stopped == store.HookFailing:
		w.State, w.Reason = wire.WebhookDisabled, "Nothing got through for days."
	case h.Stopped == store.HookGone:
		w.State, w.Reason = wire.WebhookPaused, "The receiver answers that it is gone (410)."
	case h.Stopped != "":
		w.State = wire.WebhookPaused
	default:
		if h.Failures >= webhook.HoldAfter {
			w.State, w.Reason, w.Since = wire.WebhookFailing, "Nothing gets through at the moment.", h.Failing
		}
		if h.Hold > now {
			w.Next = h.Hold
		}
	}
	size, err := tx.AuditSize()
	if err != nil {
		return w, err
	}
	w.Behind = size - h.Sequence
	counts, err := tx.CountDeliveries(h.ID)
	if err != nil {
		return w, err
	}
	w.Pending, w.Failed = counts[store.Pending], counts[store.DeliveryFailed]
	keys, err := tx.WebhookKeys(h.ID)
	for _, k := range keys {
		w.Keys = append(w.Keys, wire.WebhookKey{ID: k.ID, Signature: k.Kind, Public: k.Public, Created: k.Created, Ends: k.Ends})
	}
	return w, err
}

// ChangeWebhook changes what is named. Made active, a webhook gets everything that
// happened while it was not.
func (r *Registry) ChangeWebhook(ctx context.Context, a Actor, id string, c wire.WebhookChange) (out wire.Webhook, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		h, err := tx.LockWebhook(id)
		if err != nil {
			return noWebhook(err, id)
		}
		var fields []string
		if c.URL != nil && *c.URL != h.URL {
			h.URL, fields = *c.URL, append(fields, "url")
		}
		if c.Events != nil {
			h.Events, fields = c.Events, append(fields, "events")
		}
		if c.Description != nil && *c.Description != h.Description {
			h.Description, fields = *c.Description, append(fields, "description")
		}
		host, filter, err := r.checkWebhook(h.URL, h.Events)
		if err != nil {
			return err
		}
		h.Events = filter
		log := r.scribe(tx, a, r.cfg.Now())
		if len(fields) > 0 {
			if err := log.note(evWebhookChanged, map[string]any{"host": host, "fields": fields, "events": h.Events}, about(ofWebhook, id)); err != nil {
				return err
			}
		}
		if err := r.switchWebhook(tx, &h, c.State, log); err != nil {
			return err
		}
		if err := tx.UpdateWebhook(h); err != nil {
			return err
		}
		out, err = r.webhookView(tx, h)
		return err
	})
	return out, err
}

// switchWebhook pauses a webhook or makes it active; with "" it stays as it is.
func (r *Registry) switchWebhook(tx *store.Tx, h *store.Webhook, state string, log scribe) error {
	now := license.At(log.now)
	details := map[string]any{"host": hostOf(h.URL)}
	switch {
	case state == "", state == wire.WebhookPaused && h.Stopped == store.HookPaused, state == wire.WebhookActive && h.Stopped == "":
		return nil
	case state == wire.WebhookPaused:
		h.Stopped, h.StoppedAt = store.HookPaused, now
		return log.note(evWebhookPaused, details, about(ofWebhook, h.ID))
	case state == wire.WebhookActive:
		h.Stopped, h.StoppedAt, h.Failing, h.Failures, h.Hold = "", 0, 0, 0, 0
		if err := tx.WakeDeliveries(h.ID); err != nil {
			return err
		}
		return log.note(evWebhookResumed, details, about(ofWebhook, h.ID))
	}
	return refusal.New(refusal.InvalidInput, "A webhook can be made active or paused, not %q.", state)
}

// RotateWebhook makes a new key; the ones before sign beside it until they end. What
// the receiver verifies with is in this answer only.
func (r *Registry) RotateWebhook(ctx context.Context, a Actor, id string, rot wire.WebhookRotation) (out wire.Webhook, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	overlap := defaultOverlap
	if rot.Overlap != nil {
		overlap = *rot.Overlap
	}
	if overlap < 0 || overlap > maxOverlap {
		return out, refusal.New(refusal.InvalidInput, "The overlap may be from 0s to %s.", maxOverlap)
	}
	at := r.cfg.Now()
	now := license.At(at)
	ends := now.Add(overlap.Go())
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			h, err := tx.LockWebhook(id)
			if err != nil {
				return noWebhook(err, id)
			}
			keys, err := tx.WebhookKeys(id)
			if err != nil {
				return err
			}
			kind, live := webhook.Kind(rot.Signature), 1
			if kind == "" && rot.Secret == "" && len(keys) > 0 {
				kind = webhook.Kind(keys[0].Kind)
			}
			for _, k := range keys {
				end := ends
				if k.Ends != 0 {
					end = min(end, k.Ends)
				}
				if end <= now {
					err = tx.DeleteWebhookKey(k.ID)
				} else {
					live++
					err = tx.EndWebhookKey(k.ID, end)
				}
				if err != nil {
					return err
				}
			}
			if live > maxLiveKeys {
				return refusal.New(refusal.InvalidInput, "%d keys of this webhook have not ended yet.", live-1).
					Hinted("Wait until one ends, or say --overlap 0s to end them at once.")
			}
			key, err := r.newHookKey(tx, id, kind, rot.Secret, at)
			if err != nil {
				return err
			}
			if err := r.scribe(tx, a, at).note(evWebhookRotated, map[string]any{"host": hostOf(h.URL), "ends": ends, "signature": key.Kind()}, about(ofWebhook, id)); err != nil {
				return err
			}
			if out, err = r.webhookView(tx, h); err != nil {
				return err
			}
			out.Secret = verifyWith(key)
			return nil
		})
	})
	return out, err
}

// DeleteWebhook forgets a webhook and what was to be sent to it.
func (r *Registry) DeleteWebhook(ctx context.Context, a Actor, id string) (out wire.Webhook, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		h, err := tx.LockWebhook(id)
		if err != nil {
			return noWebhook(err, id)
		}
		if out, err = r.webhookView(tx, h); err != nil {
			return err
		}
		if err := tx.DeleteWebhook(id); err != nil {
			return err
		}
		return r.scribe(tx, a, r.cfg.Now()).note(evWebhookDeleted, map[string]any{"host": hostOf(h.URL)}, about(ofWebhook, id))
	})
	return out, err
}

// TestWebhook has one message sent that says nothing, also where the webhook is
// paused. It is tried once.
func (r *Registry) TestWebhook(ctx context.Context, a Actor, id string) (out wire.WebhookDelivery, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			h, err := tx.LockWebhook(id)
			if err != nil {
				return noWebhook(err, id)
			}
			log := r.scribe(tx, a, r.cfg.Now())
			event, err := log.noteWithID(evWebhookTest, map[string]any{"host": hostOf(h.URL)}, about(ofWebhook, id))
			if err != nil {
				return err
			}
			if err := tx.AddDelivery(store.Delivery{Webhook: id, Event: event, Sequence: unsequenced, Type: HookTest}, false); err != nil {
				return err
			}
			d, err := tx.Delivery(id, event)
			out = deliveryView(d, license.At(r.cfg.Now()))
			return err
		})
	})
	return out, err
}

// unsequenced is the place of an event that has none in the audit log yet.
const unsequenced = -1

func deliveryView(d store.Delivery, now license.Time) wire.WebhookDelivery {
	v := wire.WebhookDelivery{Event: d.Event, Type: d.Type, Time: d.Time, State: d.State, Attempts: d.Attempts, Last: d.Last, Status: d.Status}
	if d.State == store.Pending && d.Next > now {
		v.Next = d.Next
	}
	return v
}

// WebhookDeliveries returns a page of the deliveries of a webhook, newest first: of
// one state, or of all with "".
func (r *Registry) WebhookDeliveries(ctx context.Context, a Actor, id, state, cursor string, limit int) (out wire.List[wire.WebhookDelivery], err error) {
	out.Items = []wire.WebhookDelivery{}
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		if _, err := tx.Webhook(id); err != nil {
			return noWebhook(err, id)
		}
		ds, err := tx.Deliveries(id, state, cursor, limit)
		out = wire.List[wire.WebhookDelivery]{Items: []wire.WebhookDelivery{}}
		for _, d := range ds {
			out.Items = append(out.Items, deliveryView(d, license.At(r.cfg.Now())))
			out.Next = d.Event
		}
		if len(ds) < limit {
			out.Next = ""
		}
		return err
	})
	return out, err
}

// WebhookDelivery shows one delivery, with what is sent and every try that is kept.
func (r *Registry) WebhookDelivery(ctx context.Context, a Actor, id, event string) (out wire.WebhookDelivery, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		d, err := tx.Delivery(id, event)
		if errors.Is(err, store.ErrNotFound) {
			return refusal.New(refusal.NotFound, "There is no delivery of event %s to webhook %s; those that were done long ago are forgotten.", event, id)
		}
		if err != nil {
			return err
		}
		out = deliveryView(d, license.At(r.cfg.Now()))
		body, err := bodyOf(tx, event)
		if err != nil {
			return err
		}
		out.Message = string(body)
		tries, err := tx.DeliveryAttempts(id, event)
		for _, t := range tries {
			out.Tries = append(out.Tries, wire.WebhookAttempt{Time: t.Time, Millis: t.Duration / 1000, Status: t.Status, Answer: t.Answer, Fault: t.Fault})
		}
		return err
	})
	return out, err
}

// replayAtOnce is how many events one call sends again.
const replayAtOnce = 10_000

// ReplayWebhook sends events again, in their order, with the ids that they had. It
// starts at once, or when the webhook is made active.
func (r *Registry) ReplayWebhook(ctx context.Context, a Actor, id string, req wire.WebhookReplay) (out wire.WebhookReplayed, err error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return out, err
	}
	ways := 0
	for _, named := range []bool{req.Event != "", req.From != 0, req.Failed} {
		if named {
			ways++
		}
	}
	if ways != 1 || req.From == 0 && (req.To != 0 || req.Cursor != "") {
		return out, refusal.New(refusal.InvalidInput, "It is one event, a span of time that has a beginning, or all that were given up.")
	}
	// What happened a moment ago has its place in the log then.
	if _, err := r.Sequence(ctx); err != nil {
		return out, err
	}
	var again []store.Delivery
	switch {
	case req.Event != "":
		again, err = r.replayOne(ctx, id, req.Event)
	case req.From != 0:
		again, out.Next, err = r.replaySpan(ctx, id, req)
	}
	if err != nil {
		return out, err
	}
	next := out.Next
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			h, err := tx.LockWebhook(id)
			if err != nil {
				return noWebhook(err, id)
			}
			out = wire.WebhookReplayed{Queued: int64(len(again)), Next: next}
			if req.Failed {
				if out.Queued, err = tx.RetryFailed(id); err != nil {
					return err
				}
			}
			for _, d := range again {
				if err := tx.AddDelivery(d, true); err != nil {
					return err
				}
			}
			if out.Queued == 0 {
				return nil
			}
			return r.scribe(tx, a, r.cfg.Now()).note(evWebhookReplayed, map[string]any{"host": hostOf(h.URL), "count": out.Queued}, about(ofWebhook, id))
		})
	})
	return out, err
}

func (r *Registry) replayOne(ctx context.Context, id, event string) (again []store.Delivery, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		e, err := tx.EventHead(event)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("event", event)
		}
		if err != nil {
			return err
		}
		t, told := hookTypeOf[e.Name]
		if !told || t.name == HookTest {
			return refusal.New(refusal.InvalidInput, "Webhooks do not tell of this event (%s).", e.Name).Hinted("licet-central webhook events lists what they tell of.")
		}
		about, err := aboutOf(tx, e.ID)
		again = []store.Delivery{{Webhook: id, Event: e.ID, Sequence: e.Sequence, Type: t.name, About: about}}
		return err
	})
	return again, err
}

// slackOfClocks is how far the times of events may be out of the order of the log.
const slackOfClocks = 24 * time.Hour

// replaySpan finds the events of a span of time that the receiver wants, and where
// to go on if there are more than one call sends.
func (r *Registry) replaySpan(ctx context.Context, id string, req wire.WebhookReplay) (again []store.Delivery, next string, err error) {
	to := req.To
	if to == 0 {
		to = license.At(r.cfg.Now()) + 1
	}
	at := int64(0)
	if req.Cursor != "" {
		if at, err = strconv.ParseInt(req.Cursor, 10, 64); err != nil || at < 0 {
			return nil, "", refusal.New(refusal.InvalidInput, "The cursor is not one of an answer before.")
		}
	}
	begin := req.From.Add(-slackOfClocks)
	for first, done := true, false; !done; first = false {
		err := r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			h, err := tx.Webhook(id)
			if err != nil {
				return noWebhook(err, id)
			}
			if first && req.Cursor == "" {
				if at, err = placeOf(tx, begin); err != nil {
					return err
				}
			}
			heads, err := tx.LogHeads(at, eventsAtOnce)
			if err != nil {
				return err
			}
			done = len(heads) < eventsAtOnce
			var found []store.Delivery
			place := at
			for _, e := range heads {
				when := license.Time(e.Time)
				if when >= to.Add(slackOfClocks) {
					done = true
					break
				}
				place = e.Sequence + 1
				if when < req.From || when >= to {
					continue
				}
				d, wanted, err := deliveryOf(tx, h, e)
				if err != nil {
					return err
				}
				if wanted {
					found = append(found, d)
				}
			}
			at, again = place, append(again, found...)
			return nil
		})
		if err != nil {
			return nil, "", err
		}
		if len(again) >= replayAtOnce && !done {
			return again, strconv.FormatInt(at, 10), nil
		}
	}
	return again, "", nil
}

// placeOf finds about the first place in the log of a time, from which on nothing
// that is later is missed.
func placeOf(tx *store.Tx, t license.Time) (int64, error) {
	low, high := int64(0), int64(0)
	high, err := tx.AuditSize()
	for err == nil && low < high {
		middle := (low + high) / 2
		var at license.Time
		if at, err = tx.TimeInLog(middle); at < t {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, err
}

// deliveryOf is an event of the log for a receiver, if that wants it.
func deliveryOf(tx *store.Tx, h store.Webhook, e store.Event) (d store.Delivery, wanted bool, err error) {
	t, told := hookTypeOf[e.Name]
	if !told || t.name == HookTest || !webhook.Filter(h.Events).Wants(t.name) {
		return d, false, nil
	}
	about, err := aboutOf(tx, e.ID)
	return store.Delivery{Webhook: h.ID, Event: e.ID, Sequence: e.Sequence, Type: t.name, About: about}, true, err
}

// WebhookCounts is how the deliveries of all webhooks are, for whoever watches the
// server.
type WebhookCounts struct {
	Webhooks int64
	Pending  int64 // events that wait to be delivered
	Failed   int64 // events that were given up
	Failing  int64 // webhooks that nothing gets through to at the moment
	Stopped  int64 // webhooks that the server has stopped by itself
}

// webhookCounts counts deliveries and webhooks by how they are.
func webhookCounts(tx *store.Tx) (c WebhookCounts, err error) {
	all, err := tx.Webhooks()
	if err != nil {
		return c, err
	}
	for _, h := range all {
		counts, err := tx.CountDeliveries(h.ID)
		if err != nil {
			return c, err
		}
		c.Webhooks, c.Pending, c.Failed = c.Webhooks+1, c.Pending+counts[store.Pending], c.Failed+counts[store.DeliveryFailed]
		switch {
		case h.Stopped == store.HookGone || h.Stopped == store.HookFailing:
			c.Stopped++
		case h.Stopped == "" && h.Failures >= webhook.HoldAfter:
			c.Failing++
		}
	}
	return c, nil
}
