package registry

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

// Kinds of notices.
const (
	NoticeReported = evRecoveryAsked    // a loss waits for staff
	NoticeGranted  = evRecoveryGranted  // policy has restored it
	NoticeApproved = evRecoveryApproved // staff have
	NoticeRefused  = evRecoveryRefused
	NoticeQuestion = evRecoveryQuestion // staff ask back
	NoticeAnswered = evRecoveryAnswered // the user has answered
	NoticeExcess   = evRecoveryExcess   // somebody restores more than is usual
	NoticeGone     = evWebhookGone      // a webhook was paused: its receiver says that it is gone
	NoticeDisabled = evWebhookDisabled  // a webhook was disabled: nothing got through for days
)

var noticeKinds = map[string]bool{NoticeReported: true, NoticeGranted: true, NoticeApproved: true, NoticeRefused: true, NoticeQuestion: true, NoticeAnswered: true, NoticeExcess: true,
	NoticeGone: true, NoticeDisabled: true}

// Notice is something that people are to be told about a recovery, or about a
// webhook.
type Notice struct {
	Kind     string
	Recovery wire.Recovery // with the number 0 where it is about a webhook
	Webhook  string        // its id
	Text     string        // of a question or an answer; what happened in a sentence for an excess or a webhook
	Sequence int64         // of its event in the audit log
}

// noticesAtOnce is how many events are looked at in one go.
const noticesAtOnce = 200

// TakeNotices gives a consumer what has happened since it was done the last time,
// and keeps other servers from taking the same until the lease ends; ok is false
// while another has it. A new consumer begins with what happens from now on. Next
// is the sequence up to which there is nothing else to tell.
func (r *Registry) TakeNotices(ctx context.Context, consumer string, lease time.Duration) (list []Notice, next int64, ok bool, err error) {
	now := license.At(r.cfg.Now())
	var from int64
	err = r.write(ctx, func(tx *store.Tx) error {
		size, err := tx.AuditSize()
		if err == nil {
			from, ok, err = tx.LeaseCursor(consumer, size, now, now.Add(lease))
		}
		return err
	})
	if err != nil || !ok {
		return nil, 0, false, err
	}
	next = from
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		events, err := tx.LogEvents(from, "", noticesAtOnce)
		if err != nil {
			return err
		}
		for _, e := range events {
			next = e.Sequence + 1
			if !noticeKinds[e.Name] {
				continue
			}
			if e.Name == NoticeGone || e.Name == NoticeDisabled {
				list = append(list, Notice{Kind: e.Name, Webhook: e.Subjects[0].ID, Text: sentence(e), Sequence: e.Sequence})
				continue
			}
			var details struct {
				Number uint64 `json:"number"`
				Text   string `json:"text"`
			}
			if err := json.Unmarshal(e.Details, &details); err != nil {
				return err
			}
			rec, err := tx.Recovery(details.Number)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			n := Notice{Kind: e.Name, Text: details.Text, Sequence: e.Sequence}
			if e.Name == NoticeExcess {
				n.Text = sentence(e)
			}
			if n.Recovery, err = r.recoveryView(tx, rec); err != nil {
				return err
			}
			list = append(list, n)
		}
		return nil
	})
	return list, next, err == nil, err
}

// DoneNotices notes that a consumer has told everything before a sequence, and
// with end gives its place up.
func (r *Registry) DoneNotices(ctx context.Context, consumer string, next int64, end bool) error {
	return r.write(ctx, func(tx *store.Tx) error {
		if err := tx.MoveCursor(consumer, next); err != nil || !end {
			return err
		}
		return tx.ReleaseCursor(consumer)
	})
}

// NoticeFailed keeps that a message about a recovery can never be delivered. One about
// a webhook is in the trail itself.
func (r *Registry) NoticeFailed(ctx context.Context, n Notice, why string) error {
	if n.Recovery.Number == 0 {
		return nil
	}
	return r.write(ctx, func(tx *store.Tx) error {
		return r.scribe(tx, Actor{Kind: "system", Name: "mail"}, r.cfg.Now()).
			note(evMailFailed, map[string]any{"number": n.Recovery.Number, "why": why}, about(ofRecovery, number(n.Recovery.Number)))
	})
}

// Address is where users reach the server.
func (r *Registry) Address() string { return r.keys().vendor.Address }
