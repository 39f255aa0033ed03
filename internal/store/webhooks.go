package store

import (
	"encoding/json"
	"strings"

	"licet/license"
)

// Webhook is where events are sent to.
type Webhook struct {
	ID, URL, Description string
	Events               []string // patterns of types
	Created              license.Time
	CreatedBy            string
	Stopped              string // "" while active; paused, gone or failing
	StoppedAt            license.Time
	Sequence             int64 // how far in the audit log its events were looked for
	Failing              license.Time
	Failures             int64 // in a row, with nothing that got through
	Succeeded            license.Time
	Hold                 license.Time // nothing is sent before
	Owner                string       // which server has it to itself
	Lease                license.Time // until when
}

// Why nothing is sent to a receiver.
const (
	HookPaused  = "paused"  // by staff
	HookGone    = "gone"    // it said so
	HookFailing = "failing" // nothing got through for days
)

// WebhookKey is a key that a receiver's messages are signed with.
type WebhookKey struct {
	ID, Webhook, Kind string
	Secret            []byte // sealed
	Public            string
	Created           license.Time
	Ends              license.Time // 0 for the current one
}

// Delivery is an event for a receiver.
type Delivery struct {
	Webhook, Event string
	Sequence       int64 // of the event in the audit log; -1 where it is not there yet
	Type           string
	About          []string // what it must not overtake
	State          string
	Attempts       int64
	First, Last    license.Time // attempts
	Next           license.Time
	Status         int64        // of the latest answer
	Time           license.Time // of the event
}

// The states of a delivery.
const (
	Pending        = "pending"
	Delivered      = "delivered"
	DeliveryFailed = "failed"
)

// DeliveryAttempt is one try to deliver.
type DeliveryAttempt struct {
	Webhook, Event string
	Number         int64
	Time           license.Time
	Duration       int64 // µs
	Status         int64 // 0 for no answer
	Answer         string
	Fault          string
}

const (
	hookFields  = `id, url, events, description, created, created_by, stopped, stopped_at, sequence, failing, failures, succeeded, hold, owner, lease`
	hookColumns = `select ` + hookFields + ` from webhooks `
	hookInsert  = `insert into webhooks (id, url, events, description, created, created_by, sequence) values ($1, $2, $3, $4, $5, $6, $7)`
	hooksSelect = hookColumns + `order by id`
	hookSelect  = hookColumns + `where id = $1`
	hookLock    = `update webhooks set version = version + 1 where id = $1 returning ` + hookFields
	hookUpdate  = `update webhooks set url = $2, events = $3, description = $4, stopped = $5, stopped_at = $6, sequence = $7,
  failing = $8, failures = $9, succeeded = $10, hold = $11, owner = $12, lease = $13 where id = $1`
	hookDelete = `delete from webhooks where id = $1`

	hookKeyInsert  = `insert into webhook_keys (id, webhook, kind, secret, public, created) values ($1, $2, $3, $4, $5, $6)`
	hookKeysSelect = `select id, webhook, kind, secret, public, created, ends from webhook_keys where webhook = $1 order by id desc`
	hookKeyEnd     = `update webhook_keys set ends = $2 where id = $1`
	hookKeyDelete  = `delete from webhook_keys where id = $1`
	hookKeysDelete = `delete from webhook_keys where webhook = $1`

	deliveryColumns = `select d.webhook, d.event, d.sequence, d.type, d.about, d.state, d.attempts, d.first, d.last, d.next, d.status, e.time
  from webhook_deliveries d join events e on e.id = d.event `
	deliveryInsert = `insert into webhook_deliveries (webhook, event, sequence, type, about, state) values ($1, $2, $3, $4, $5, 'pending')
  on conflict (webhook, event) do nothing`
	deliveryQueue = `insert into webhook_deliveries (webhook, event, sequence, type, about, state) values ($1, $2, $3, $4, $5, 'pending')
  on conflict (webhook, event) do update set state = 'pending', attempts = 0, first = 0, next = 0`
	deliverySelect    = deliveryColumns + `where d.webhook = $1 and d.event = $2`
	deliveriesPending = deliveryColumns + `where d.webhook = $1 and d.state = 'pending' and (d.sequence, d.event) > ($2, $3)
  order by d.sequence, d.event limit $4`
	deliveriesAll   = deliveryColumns + `where d.webhook = $1 and (d.event < $2 or $2 = '') order by d.event desc limit $3`
	deliveriesState = deliveryColumns + `where d.webhook = $1 and d.state = $2 and (d.event < $3 or $3 = '') order by d.event desc limit $4`
	deliveryTest    = deliveryColumns + `where d.webhook = $1 and d.state = 'pending' and d.sequence = -1 order by d.event limit $2`
	deliveryUpdate  = `update webhook_deliveries set state = $3, attempts = $4, first = $5, last = $6, next = $7, status = $8 where webhook = $1 and event = $2`
	deliveriesCount = `select state, count(*) from webhook_deliveries where webhook = $1 and sequence >= 0 group by state`
	deliveriesWake  = `update webhook_deliveries set next = 0 where webhook = $1 and state = 'pending' and next > 0`
	deliveriesAgain = `update webhook_deliveries set state = 'pending', attempts = 0, first = 0, next = 0 where webhook = $1 and state = 'failed' and sequence >= 0`

	attemptInsert  = `insert into webhook_attempts (webhook, event, number, time, duration, status, answer, fault) values ($1, $2, $3, $4, $5, $6, $7, $8)`
	attemptsSelect = `select webhook, event, number, time, duration, status, answer, fault from webhook_attempts where webhook = $1 and event = $2 order by number desc`
	attemptLast    = `select coalesce(max(number), 0) from webhook_attempts where webhook = $1 and event = $2`
	attemptsTrim   = `delete from webhook_attempts where webhook = $1 and event = $2 and number <= $3`

	// What is done and not among the latest is forgotten.
	attemptsForget = `delete from webhook_attempts where webhook = $1 and event in (select event from webhook_deliveries
  where webhook = $1 and state = $2 and last < (select last from webhook_deliveries where webhook = $1 and state = $2 order by last desc limit 1 offset $3))`
	deliveriesForget = `delete from webhook_deliveries where webhook = $1 and state = $2
  and last < (select last from webhook_deliveries where webhook = $1 and state = $2 order by last desc limit 1 offset $3)`
	attemptsDelete   = `delete from webhook_attempts where webhook = $1`
	deliveriesDelete = `delete from webhook_deliveries where webhook = $1`

	logHeads = `select id, time, actor, name, reason, request, details, sequence from events
  where sequence >= 0 and sequence >= $1 order by sequence limit $2`
	headByID      = `select id, time, actor, name, reason, request, details, sequence from events where id = $1`
	timeInLog     = `select time from events where sequence >= 0 and sequence = $1`
	firstSubjects = `select kind, subject_id from event_subjects where event_id = $1 and position < $2 order by position`
	// A large order names 100 000 licenses.
	mainSubjects = `select kind, subject_id from event_subjects where event_id = $1 and kind <> 'license' and kind <> 'ticket' order by position`
)

func scanWebhook(scan func(...any) error) (h Webhook, err error) {
	var events string
	err = scan(&h.ID, &h.URL, &events, &h.Description, &h.Created, &h.CreatedBy, &h.Stopped, &h.StoppedAt, &h.Sequence,
		&h.Failing, &h.Failures, &h.Succeeded, &h.Hold, &h.Owner, &h.Lease)
	h.Events = strings.Fields(events)
	return h, err
}

// InsertWebhook stores a receiver.
func (tx *Tx) InsertWebhook(h Webhook) error {
	_, err := tx.Exec(hookInsert, h.ID, h.URL, strings.Join(h.Events, " "), h.Description, h.Created, h.CreatedBy, h.Sequence)
	return err
}

// Webhooks returns every receiver, the oldest first.
func (tx *Tx) Webhooks() ([]Webhook, error) { return collect(tx, scanWebhook, hooksSelect) }

// Webhook finds a receiver.
func (tx *Tx) Webhook(id string) (Webhook, error) {
	return scanWebhook(tx.QueryRow(hookSelect, id).Scan)
}

// LockWebhook locks a receiver until the transaction ends, and gives it.
func (tx *Tx) LockWebhook(id string) (Webhook, error) {
	return scanWebhook(tx.lock(hookLock, hookSelect, id).Scan)
}

// UpdateWebhook stores what changes of a receiver that is locked.
func (tx *Tx) UpdateWebhook(h Webhook) error {
	return tx.one(hookUpdate, h.ID, h.URL, strings.Join(h.Events, " "), h.Description, h.Stopped, h.StoppedAt, h.Sequence,
		h.Failing, h.Failures, h.Succeeded, h.Hold, h.Owner, h.Lease)
}

// DeleteWebhook forgets a receiver with its keys and deliveries.
func (tx *Tx) DeleteWebhook(id string) error {
	for _, statement := range []string{attemptsDelete, deliveriesDelete, hookKeysDelete} {
		if _, err := tx.Exec(statement, id); err != nil {
			return err
		}
	}
	return tx.one(hookDelete, id)
}

// InsertWebhookKey stores a key.
func (tx *Tx) InsertWebhookKey(k WebhookKey) error {
	_, err := tx.Exec(hookKeyInsert, k.ID, k.Webhook, k.Kind, k.Secret, k.Public, k.Created)
	return err
}

// WebhookKeys returns the keys of a receiver, the newest first.
func (tx *Tx) WebhookKeys(webhook string) ([]WebhookKey, error) {
	return collect(tx, func(scan func(...any) error) (k WebhookKey, err error) {
		return k, scan(&k.ID, &k.Webhook, &k.Kind, &k.Secret, &k.Public, &k.Created, &k.Ends)
	}, hookKeysSelect, webhook)
}

// EndWebhookKey sets when a key ends.
func (tx *Tx) EndWebhookKey(id string, at license.Time) error { return tx.one(hookKeyEnd, id, at) }

// DeleteWebhookKey forgets a key.
func (tx *Tx) DeleteWebhookKey(id string) error { return tx.one(hookKeyDelete, id) }

func scanDelivery(scan func(...any) error) (d Delivery, err error) {
	var about string
	if err = scan(&d.Webhook, &d.Event, &d.Sequence, &d.Type, &about, &d.State, &d.Attempts, &d.First, &d.Last, &d.Next, &d.Status, &d.Time); err != nil {
		return d, err
	}
	return d, json.Unmarshal([]byte(about), &d.About)
}

// AddDelivery stores that an event is for a receiver. Where it is known already
// nothing changes, but with again: then it is pending once more.
func (tx *Tx) AddDelivery(d Delivery, again bool) error {
	about, err := json.Marshal(d.About)
	if err != nil {
		return err
	}
	if err := tx.writeEvents(); err != nil { // the event may be of this transaction
		return err
	}
	statement := deliveryInsert
	if again {
		statement = deliveryQueue
	}
	_, err = tx.Exec(statement, d.Webhook, d.Event, d.Sequence, d.Type, string(about))
	return err
}

// Delivery finds one delivery.
func (tx *Tx) Delivery(webhook, event string) (Delivery, error) {
	return scanDelivery(tx.QueryRow(deliverySelect, webhook, event).Scan)
}

// PendingDeliveries returns what is not done for a receiver, in the order of the
// audit log, behind a sequence and an event of it.
func (tx *Tx) PendingDeliveries(webhook string, sequence int64, event string, limit int) ([]Delivery, error) {
	return collect(tx, scanDelivery, deliveriesPending, webhook, sequence, event, limit)
}

// PendingTests returns the pending deliveries of events that were made for this
// receiver alone.
func (tx *Tx) PendingTests(webhook string, limit int) ([]Delivery, error) {
	return collect(tx, scanDelivery, deliveryTest, webhook, limit)
}

// Deliveries returns the deliveries for a receiver whose event is before the one
// given, newest first; of one state, or of all with "".
func (tx *Tx) Deliveries(webhook, state, before string, limit int) ([]Delivery, error) {
	if state == "" {
		return collect(tx, scanDelivery, deliveriesAll, webhook, before, limit)
	}
	return collect(tx, scanDelivery, deliveriesState, webhook, state, before, limit)
}

// UpdateDelivery stores what became of a delivery.
func (tx *Tx) UpdateDelivery(d Delivery) error {
	return tx.one(deliveryUpdate, d.Webhook, d.Event, d.State, d.Attempts, d.First, d.Last, d.Next, d.Status)
}

// CountDeliveries counts the deliveries for a receiver by state, without tests.
func (tx *Tx) CountDeliveries(webhook string) (map[string]int64, error) {
	counts := map[string]int64{}
	type row struct {
		state string
		n     int64
	}
	rows, err := collect(tx, func(scan func(...any) error) (r row, err error) { return r, scan(&r.state, &r.n) }, deliveriesCount, webhook)
	for _, r := range rows {
		counts[r.state] = r.n
	}
	return counts, err
}

// WakeDeliveries lets nothing that is pending for a receiver wait for its time.
func (tx *Tx) WakeDeliveries(webhook string) error {
	_, err := tx.Exec(deliveriesWake, webhook)
	return err
}

// RetryFailed makes everything that was given up pending again, and counts it.
func (tx *Tx) RetryFailed(webhook string) (int64, error) { return tx.Exec(deliveriesAgain, webhook) }

// AddDeliveryAttempt stores a try as the latest of its delivery, of which so many
// are kept.
func (tx *Tx) AddDeliveryAttempt(a DeliveryAttempt, keep int64) error {
	var last int64
	if err := tx.QueryRow(attemptLast, a.Webhook, a.Event).Scan(&last); err != nil {
		return err
	}
	a.Number = last + 1
	if _, err := tx.Exec(attemptInsert, a.Webhook, a.Event, a.Number, a.Time, a.Duration, a.Status, a.Answer, a.Fault); err != nil {
		return err
	}
	if a.Number <= keep {
		return nil
	}
	_, err := tx.Exec(attemptsTrim, a.Webhook, a.Event, a.Number-keep)
	return err
}

// DeliveryAttempts returns the tries of a delivery, the latest first.
func (tx *Tx) DeliveryAttempts(webhook, event string) ([]DeliveryAttempt, error) {
	return collect(tx, func(scan func(...any) error) (a DeliveryAttempt, err error) {
		return a, scan(&a.Webhook, &a.Event, &a.Number, &a.Time, &a.Duration, &a.Status, &a.Answer, &a.Fault)
	}, attemptsSelect, webhook, event)
}

// ForgetDeliveries forgets what is done in a state but for about so many of the
// latest.
func (tx *Tx) ForgetDeliveries(webhook, state string, keep int) error {
	for _, statement := range []string{attemptsForget, deliveriesForget} {
		if _, err := tx.Exec(statement, webhook, state, keep); err != nil {
			return err
		}
	}
	return nil
}

func scanHead(scan func(...any) error) (e Event, err error) {
	var details string
	err = scan(&e.ID, &e.Time, &e.Actor, &e.Name, &e.Reason, &e.Request, &details, &e.Sequence)
	e.Details = nilIfEmpty(json.RawMessage(details))
	return e, err
}

// LogHeads is LogEvents without subjects and hashes.
func (tx *Tx) LogHeads(sequence int64, limit int) ([]Event, error) {
	if err := tx.writeEvents(); err != nil {
		return nil, err
	}
	return collect(tx, scanHead, logHeads, sequence, limit)
}

// TimeInLog is when the event at a place in the audit log happened.
func (tx *Tx) TimeInLog(sequence int64) (t license.Time, err error) {
	return t, tx.QueryRow(timeInLog, sequence).Scan(&t)
}

// EventHead finds an event, without its subjects and hashes.
func (tx *Tx) EventHead(id string) (Event, error) {
	if err := tx.writeEvents(); err != nil {
		return Event{}, err
	}
	return scanHead(tx.QueryRow(headByID, id).Scan)
}

// MainSubjects is what an event is about, without licenses and tickets.
func (tx *Tx) MainSubjects(event string) ([]Subject, error) {
	return collect(tx, scanSubject, mainSubjects, event)
}

// FirstSubjects is the first few subjects of an event.
func (tx *Tx) FirstSubjects(event string, n int) ([]Subject, error) {
	return collect(tx, scanSubject, firstSubjects, event, n)
}

func scanSubject(scan func(...any) error) (s Subject, err error) { return s, scan(&s.Kind, &s.ID) }
