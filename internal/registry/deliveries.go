package registry

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"licet/internal/store"
	"licet/internal/webhook"
	"licet/license"
)

const (
	// eventsAtOnce is how many events of the log are looked through in one go.
	eventsAtOnce = 200
	// roundSize is how many messages are on their way to one receiver at most.
	roundSize = 16
	// hookLease is how long one server has a receiver to itself for one round; a round
	// takes less (package courier).
	hookLease = time.Minute
	// maxPending is how many undelivered events are kept apart from the log. Behind
	// them the log waits.
	maxPending  = 10_000
	pendingPage = 500

	// What is kept of each webhook to be looked at.
	keepDelivered = 1000
	keepFailed    = 10_000
	keepTries     = 20
)

// Round is what goes to one receiver now: messages none of which is about what
// another is about.
type Round struct {
	Webhook  string
	URL      string
	At       time.Time // of their timestamps
	Messages []Message
	owner    string
	keys     []webhook.Key
}

// Message is one event for a receiver.
type Message struct {
	ID   string
	Body []byte
}

// Signature is the header of that name for a message.
func (r Round) Signature(m Message) string {
	var all []string
	for _, k := range r.keys {
		all = append(all, k.Sign(m.ID, r.At, m.Body))
	}
	return strings.Join(all, " ")
}

// Result is what came of sending one message.
type Result struct {
	ID         string
	Status     int // 0 for no answer
	Duration   time.Duration
	Answer     string // the beginning
	Fault      string
	RetryAfter string // the header of that name
}

// DueWebhooks names the webhooks that there is something to do for, and that no
// other server than owner is busy with. It writes nothing.
func (r *Registry) DueWebhooks(ctx context.Context, owner string) (ids []string, err error) {
	now := license.At(r.cfg.Now())
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		ids = nil
		all, err := tx.Webhooks()
		if err != nil || len(all) == 0 {
			return err
		}
		size, err := tx.AuditSize()
		if err != nil {
			return err
		}
		for _, h := range all {
			if h.Lease > now && h.Owner != owner {
				continue
			}
			due := h.Stopped == "" && h.Sequence < size
			if !due {
				list, err := readyFor(tx, h, now)
				if err != nil {
					return err
				}
				due = len(list) > 0
			}
			if due {
				ids = append(ids, h.ID)
			}
		}
		return nil
	})
	return ids, err
}

// TakeRound looks for new events for a webhook, and gives what is to be sent to it
// now. Until RecordRound, or until the lease ends, no other server gets any. More
// tells that there is something to do after this round.
func (r *Registry) TakeRound(ctx context.Context, id, owner string) (round Round, more bool, err error) {
	err = r.write(ctx, func(tx *store.Tx) error {
		at := r.cfg.Now()
		now := license.At(at)
		round, more = Round{Webhook: id, At: at, owner: owner}, false
		h, err := tx.LockWebhook(id)
		if errors.Is(err, store.ErrNotFound) || err == nil && h.Lease > now && h.Owner != owner {
			return nil
		}
		if err != nil {
			return err
		}
		if more, err = lookForEvents(tx, &h); err != nil {
			return err
		}
		list, err := readyFor(tx, h, now)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			h.Owner, h.Lease, more = owner, now.Add(hookLease), true
			round.URL = h.URL
			if round.keys, err = r.hookKeys(tx, id, now); err != nil {
				return err
			}
		}
		if err := tx.UpdateWebhook(h); err != nil {
			return err
		}
		for _, d := range list {
			body, err := bodyOf(tx, d.Event)
			if err != nil {
				return err
			}
			round.Messages = append(round.Messages, Message{d.Event, body})
		}
		return nil
	})
	return round, more && err == nil, err
}

// lookForEvents goes on in the log from where it was left. More tells that it did
// not come to the end.
func lookForEvents(tx *store.Tx, h *store.Webhook) (more bool, err error) {
	if h.Stopped != "" {
		return false, nil
	}
	heads, err := tx.LogHeads(h.Sequence, eventsAtOnce)
	if err != nil || len(heads) == 0 {
		return false, err
	}
	counts, err := tx.CountDeliveries(h.ID)
	if err != nil || counts[store.Pending] >= maxPending {
		return false, err
	}
	for _, e := range heads {
		d, wanted, err := deliveryOf(tx, *h, e)
		if err != nil {
			return false, err
		}
		if wanted {
			if err := tx.AddDelivery(d, false); err != nil {
				return false, err
			}
		}
		h.Sequence = e.Sequence + 1
	}
	return len(heads) == eventsAtOnce, nil
}

// readyFor finds what may be sent to a receiver now.
func readyFor(tx *store.Tx, h store.Webhook, now license.Time) ([]store.Delivery, error) {
	// Tests go also where nothing else does.
	list, err := tx.PendingTests(h.ID, roundSize)
	if err != nil || h.Stopped != "" || h.Hold > now {
		return list, err
	}
	probing := h.Failures >= webhook.HoldAfter
	var probe []store.Delivery
	var line webhook.Line
	last := store.Delivery{Sequence: unsequenced, Event: "~"} // behind every test
	for len(list) < roundSize {
		page, err := tx.PendingDeliveries(h.ID, last.Sequence, last.Event, pendingPage)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			last = d
			switch free := line.Free(d.About); {
			case !free:
			case probing && (len(probe) == 0 || d.Next < probe[0].Next):
				// Another one each time, so that a message that this receiver never takes
				// does not speak for all.
				probe = []store.Delivery{d}
			case !probing && d.Next <= now && len(list) < roundSize:
				list = append(list, d)
			}
		}
		if len(page) < pendingPage || len(probe) > 0 {
			break
		}
	}
	return append(list, probe...), nil
}

// bodyOf is the bytes of a message.
func bodyOf(tx *store.Tx, event string) ([]byte, error) {
	e, err := tx.EventHead(event)
	if err != nil {
		return nil, err
	}
	m, err := messageOf(tx, e)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// RecordRound keeps what came of a round, and gives the webhook up to whoever is
// next. What has no result is sent again. Where another server has taken the webhook
// over meanwhile, it keeps nothing: that one has sent the same messages, or will.
func (r *Registry) RecordRound(ctx context.Context, round Round, results []Result) error {
	return r.write(ctx, func(tx *store.Tx) error {
		at := r.cfg.Now()
		h, err := tx.LockWebhook(round.Webhook)
		if errors.Is(err, store.ErrNotFound) || err == nil && h.Owner != round.owner {
			return nil
		}
		if err != nil {
			return err
		}
		h.Owner, h.Lease = "", 0
		o := outcomes{Registry: r, tx: tx, h: &h, at: at, now: license.At(at), log: r.scribe(tx, Actor{Kind: "system", Name: "webhooks"}, at)}
		for _, res := range results {
			if webhook.OutcomeOf(res.Status) == webhook.Delivered && h.Stopped == "" {
				h.Succeeded, o.through = o.now, true
			}
		}
		for _, res := range results {
			if err := o.keep(res); err != nil {
				return err
			}
		}
		if err := o.judge(); err != nil {
			return err
		}
		if err := tx.UpdateWebhook(h); err != nil {
			return err
		}
		if err := tx.ForgetDeliveries(h.ID, store.Delivered, keepDelivered); err != nil {
			return err
		}
		return tx.ForgetDeliveries(h.ID, store.DeliveryFailed, keepFailed)
	})
}

// outcomes keeps the results of one round.
type outcomes struct {
	*Registry
	tx      *store.Tx
	h       *store.Webhook
	at      time.Time
	now     license.Time
	log     scribe
	through bool // something was delivered
	failed  bool // something was not, tests aside
	gone    bool
	asked   time.Duration // how long the receiver wants to be left alone
}

// keep stores one result and what it means for its message.
func (o *outcomes) keep(res Result) error {
	d, err := o.tx.Delivery(o.h.ID, res.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := o.tx.AddDeliveryAttempt(store.DeliveryAttempt{Webhook: d.Webhook, Event: d.Event, Time: o.now, Duration: res.Duration.Microseconds(),
		Status: int64(res.Status), Answer: res.Answer, Fault: res.Fault}, keepTries); err != nil {
		return err
	}
	d.Attempts, d.Last, d.Status = d.Attempts+1, o.now, int64(res.Status)
	if d.First == 0 {
		d.First = o.now
	}
	test := d.Sequence == unsequenced
	outcome := webhook.OutcomeOf(res.Status)
	o.gone = o.gone || outcome == webhook.Gone && !test
	o.failed = o.failed || outcome != webhook.Delivered && !test
	o.asked = max(o.asked, webhook.RetryAfter(res.Status, res.RetryAfter, o.at))
	switch {
	case outcome == webhook.Delivered:
		d.State = store.Delivered
	case test:
		d.State = store.DeliveryFailed
	default:
		d.Next = o.now.Add(webhook.Delay(d.Attempts, o.random()))
		if d.Next > d.First.Add(webhook.GiveUpAfter) && o.h.Succeeded > d.First {
			d.State = store.DeliveryFailed
			if err := o.log.note(evWebhookGivenUp, map[string]any{"host": hostOf(o.h.URL), "type": d.Type, "event": d.Event, "attempts": d.Attempts}, about(ofWebhook, o.h.ID)); err != nil {
				return err
			}
		}
	}
	return o.tx.UpdateDelivery(d)
}

// judge decides what the round means for the webhook.
func (o *outcomes) judge() error {
	h := o.h
	if h.Stopped != "" {
		return nil
	}
	switch {
	case o.through:
		if h.Failures >= webhook.HoldAfter {
			// It is back: nothing waits for the time that it got while it was not.
			if err := o.tx.WakeDeliveries(h.ID); err != nil {
				return err
			}
		}
		h.Failing, h.Failures, h.Hold = 0, 0, 0
	case o.failed:
		h.Failures++
		if h.Failing == 0 {
			h.Failing = o.now
		}
		h.Hold = o.now.Add(webhook.Hold(h.Failures, o.random()))
	}
	if o.asked > 0 {
		h.Hold = max(h.Hold, o.now.Add(o.asked))
	}
	event, details := "", map[string]any{"host": hostOf(h.URL)}
	switch {
	case o.gone:
		h.Stopped, event = store.HookGone, evWebhookGone
	case h.Failing != 0 && o.now >= h.Failing.Add(webhook.StopAfter):
		h.Stopped, event = store.HookFailing, evWebhookDisabled
		details["since"] = h.Failing
	default:
		return nil
	}
	h.StoppedAt = o.now
	return o.log.note(event, details, about(ofWebhook, h.ID))
}

// random is in [0, 1).
func (r *Registry) random() float64 {
	var b [8]byte
	r.cfg.Random(b[:])
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
}
