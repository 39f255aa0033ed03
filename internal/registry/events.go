package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// What can happen, each with the sentence that people read in a history.
const (
	evVendorCreated        = "vendor_created"
	evCategoryCreated      = "category_created"
	evCategoryChanged      = "category_changed"
	evProductCreated       = "product_created"
	evProductChanged       = "product_changed"
	evBundleCreated        = "bundle_created"
	evBundleChanged        = "bundle_changed"
	evOrderCreated         = "order_created"
	evOrderExtended        = "order_extended"
	evContainerSeen        = "container_registered"
	evContainerRebound     = "container_rebound"
	evStepIssued           = "step_issued"
	evStepsConfirmed       = "steps_confirmed"
	evUpdateResent         = "update_resent"
	evWishesRefused        = "wishes_refused"
	evReportOutOfDate      = "report_out_of_date"
	evContainerAhead       = "container_ahead"
	evEpochTold            = "epoch_told"
	evContainerSettled     = "container_settled"
	evStepsBrought         = "steps_brought"
	evLicenseBrought       = "license_brought"
	evSeatsBrought         = "seats_brought"
	evCopyEnded            = "copy_ended"
	evLicenseClaimed       = "license_claimed"
	evLicenseReleased      = "license_released"
	evHoldLifted           = "hold_lifted"
	evGapOpened            = "gap_opened"
	evGapClosed            = "gap_closed"
	evJournalBegun         = "journal_begun"
	evJournalEnded         = "journal_ended"
	evServerOutdated       = "server_outdated"
	evContainerFlagged     = "container_flagged"
	evContainerAccepted    = "container_accepted"
	evLicenseReopened      = "license_reopened"
	evWithdrawalOrdered    = "withdrawal_ordered"
	evReplacementOrdered   = "replacement_ordered"
	evAssignmentOrdered    = "assignment_ordered"
	evOrderTakenBack       = "order_taken_back"
	evOrderCanceled        = "order_canceled"
	evLicenseFree          = "license_free"
	evSplit                = "split"
	evUpdatePushed         = "update_pushed"
	evCopyGone             = "copy_gone"
	evTurnedUp             = "copy_turned_up"
	evContainerBlocked     = "container_blocked"
	evContainerUnblocked   = "container_unblocked"
	evSeatsLent            = "seats_lent"
	evUnitsCounted         = "units_counted"
	evUnitsAdded           = "units_added"
	evUnitsBack            = "units_back"
	evLostUnits            = "lost_units_counted"
	evSubscriptionCreated  = "subscription_created"
	evSubscriptionRenewed  = "subscription_renewed"
	evSubscriptionChanged  = "subscription_changed"
	evSubscriptionStays    = "subscription_change_refused"
	evSubscriptionCanceled = "subscription_canceled"
	evSubscriptionKept     = "subscription_kept"
	evSubscriptionResumed  = "subscription_resumed"
	evSubscriptionGrace    = "subscription_in_grace"
	evSubscriptionLapsed   = "subscription_lapsed"
	evSubscriptionEnded    = "subscription_ended"
	evRecoveryAsked        = "recovery_requested"
	evRecoveryGranted      = "recovery_granted"
	evRecoveryApproved     = "recovery_approved"
	evRecoveryRefused      = "recovery_refused"
	evRecoveryQuestion     = "recovery_question"
	evRecoveryAnswered     = "recovery_answered"
	evRestoreEnabled       = "restore_enabled"
	evMailFailed           = "mail_undeliverable"
	evRecoveryExcess       = "recovery_excess"
	evSettingsChanged      = "settings_changed"
	evTokenCreated         = "token_created"
	evTokenRevoked         = "token_revoked"
	evRootExported         = "root_exported"
	evRootRemoved          = "root_removed"
	evKeyMade              = "key_made"
	evRewrapped            = "secrets_rewrapped"
	evTicketRewrapped      = "ticket_rewrapped"
	evRevocationAsked      = "key_revocation_asked"
	evKeyRevoked           = "key_revoked"
	evTrustPublished       = "trust_published"
	evIssuingStopped       = "issuing_stopped"
	evIssuingResumed       = "issuing_resumed"
	evStaffAdded           = "staff_added"
	evStaffDisabled        = "staff_disabled"
	evStaffPassword        = "staff_password_set"
	evStaffScopes          = "staff_scopes_set"
	evSignedIn             = "signed_in"
	evSignedOut            = "signed_out"
	evSignInRefused        = "sign_in_refused"
	evWebhookCreated       = "webhook_created"
	evWebhookChanged       = "webhook_changed"
	evWebhookPaused        = "webhook_paused"
	evWebhookResumed       = "webhook_resumed"
	evWebhookRotated       = "webhook_rotated"
	evWebhookDeleted       = "webhook_deleted"
	evWebhookGone          = "webhook_gone"
	evWebhookDisabled      = "webhook_disabled"
	evWebhookReplayed      = "webhook_replayed"
	evWebhookGivenUp       = "webhook_given_up"
	evWebhookTest          = "webhook_test"
	evBulkStarted          = "bulk_started"
	evBulkFinished         = "bulk_finished"
	evBulkCanceled         = "bulk_canceled"
)

// sentences say what happened to people. A word in braces stands for a detail of
// the event; a sentence whose details are absent ends before them.
var sentences = map[string]string{
	evVendorCreated:        "The vendor {name} and its keys were created.",
	evCategoryCreated:      "The category {name} was created.",
	evCategoryChanged:      "The category was renamed to {name}.",
	evProductCreated:       "The product was created.",
	evProductChanged:       "The product was changed.",
	evBundleCreated:        "The bundle was created.",
	evBundleChanged:        "The bundle was changed.",
	evOrderCreated:         "Order {number} of {customer} was taken and its ticket made; licenses: {added}.",
	evOrderExtended:        "Order {number} of {customer} was extended; licenses added: {added}.",
	evContainerSeen:        "The container was seen for the first time; its binding is {binding}.",
	evContainerRebound:     "The container was repaired after its machine changed; its binding is {binding}.",
	evStepIssued:           "Step {step} was issued to the container.",
	evStepsConfirmed:       "The container confirmed the steps up to {to}.",
	evUpdateResent:         "The steps {from} to {to}, which were under way, were sent again.",
	evWishesRefused:        "Refused: {refused}.",
	evReportOutOfDate:      "A report from step {at} was older than step {confirmed}, confirmed before; nothing was changed, and the container was challenged.",
	evContainerAhead:       "The container is at step {at}, the record ends at {issued}; nothing was changed.",
	evEpochTold:            "The container was told that the server was restored from a back-up; it gets nothing new before it knows.",
	evContainerSettled:     "The container knows that the server was restored from a back-up; what was signed for it before that and not applied is worth nothing now.",
	evStepsBrought:         "The container brought its steps up to {to}, which the server had lost when it was restored from a back-up.",
	evLicenseBrought:       "The container's own steps showed where {product} is: it was {from}, it is {to}.",
	evSeatsBrought:         "{seats} seats of {product} belong to another part: a container brought what the server had lost.",
	evCopyEnded:            "The container has {seats} seats of {product} that others have got since; its copy counts no more.",
	evLicenseClaimed:       "{product} was brought back before its order; it belongs to the order's position {position} now.",
	evLicenseReleased:      "{product} was released in generation {generation}; a copy of generation {was} that somebody got before the server was restored counts no more.",
	evHoldLifted:           "{product} is no longer held back: {because}.",
	evGapOpened:            "The server was restored from a back-up of {since}; licenses held back: {held_back}.",
	evGapClosed:            "What was lost between the back-up and the restore was settled; containers that were not in contact since: {silent}.",
	evJournalBegun:         "The record has a second journal from here on: nothing leaves before it is there too.",
	evJournalEnded:         "The second journal was ended: nothing is written to it any more.",
	evServerOutdated:       "The server's record is older than another: {why}. It hands out nothing until that is settled.",
	evContainerFlagged:     "The container contradicts the record: {reason}. It gets nothing new until staff decide.",
	evContainerAccepted:    "Staff accepted the container at step {at}.",
	evLicenseReopened:      "The container was accepted at an earlier step: the license is {to} again.",
	evWithdrawalOrdered:    "The withdrawal of {product} was ordered; container {container} loses it at its next contact.",
	evReplacementOrdered:   "{product} is to be replaced by {with_product} at the next contact of container {container}.",
	evAssignmentOrdered:    "{product} is kept for container {container}, which gets it at its next contact.",
	evOrderTakenBack:       "The vendor's order ({kind} in container {container}) was taken back before it was issued.",
	evOrderCanceled:        "Order {number} of {customer} was canceled; licenses withdrawn: {withdrawn}, refused: {refused}.",
	evLicenseFree:          "{product} did not come in place of {instead} in its container; it is free to be activated.",
	evSplit:                "{amount} of the {had} {what} of {product} ({of}) were split off; they are the license {part} now, and {left} are left.",
	evUpdatePushed:         "An update up to step {to} was made for the container without a request.",
	evCopyGone:             "The container has proven that its lost copy of {product} (generation {generation}) is gone.",
	evTurnedUp:             "The container that had lost {product} turned up; it is to have it again.",
	evContainerBlocked:     "The container was blocked: {why}.",
	evContainerUnblocked:   "The container was unblocked; it had been blocked because: {was}.",
	evSeatsLent:            "Seats out of the container's licenses: {seats}, the last of them until {until}.",
	evUnitsCounted:         "Units used: {used} of {units}; {was} were known before.",
	evUnitsAdded:           "{added} units were added; the license has {units}.",
	evUnitsBack:            "{amount} of the {had} {what} of {product} ({of}) are back, of {asked} that were to come back; they are the license {part} now, and {left} are left.",
	evLostUnits:            "Its lost copy (generation {generation}) had counted {used} units used; they are not taken from the license.",
	evSubscriptionCreated:  "The subscription of {what} began; its period ends on {ends}.",
	evSubscriptionRenewed:  "The subscription of {what} was renewed from {from} to {to}.",
	evSubscriptionChanged:  "The subscription was changed: it is {what}, and its last period ends on {ends}.",
	evSubscriptionStays:    "What was to change of the subscription with its period ({change}) could not: {why} It goes on as {what}.",
	evSubscriptionCanceled: "The subscription was canceled; it ends on {ends}.",
	evSubscriptionKept:     "The cancellation was taken back: the subscription of {what} goes on.",
	evSubscriptionResumed:  "The subscription of {what} was resumed, with a period from {from} to {to}.",
	evSubscriptionGrace:    "The last period of the subscription ended on {ends} and was not renewed; its licenses go on until {until}.",
	evSubscriptionLapsed:   "The subscription of {what} lapsed; its last period had ended on {ends}.",
	evSubscriptionEnded:    "The subscription was ended at once; licenses withdrawn: {withdrawn}.",
	evRecoveryAsked:        "The loss was reported (recovery {number}); staff decide.",
	evRecoveryGranted:      "The loss was reported (recovery {number}) and restored at once, as policy allows.",
	evRecoveryApproved:     "Recovery {number} was approved.",
	evRecoveryRefused:      "Recovery {number} was refused.",
	evRecoveryQuestion:     "Staff asked back about recovery {number}: {text}",
	evRecoveryAnswered:     "The user answered about recovery {number}: {text}",
	evMailFailed:           "The message about recovery {number} could not be delivered: {why}",
	evRestoreEnabled:       "Staff allowed restores of {product} beyond the policy: {count}.",
	evRecoveryExcess:       "The {kind} {subject} had {times} reports with restores in {days} days, more than is usual.",
	evSettingsChanged:      "How often machines ask what is pending was set from {was} to {auto_update} (0s leaves it to them).",
	evTokenCreated:         "The API token {name} was created.",
	evTokenRevoked:         "The API token {name} was revoked.",
	evRootExported:         "The root key was exported.",
	evRootRemoved:          "The root key was removed from the server.",
	evTicketRewrapped:      "The copy of the ticket was encrypted anew.",
	evRewrapped:            "{values} secrets in the database were encrypted anew.",
	evKeyMade:              "The {use} key {key} was made; it counts when the root has certified it.",
	evRevocationAsked:      "The revocation of the key {key} was asked of the root.",
	evKeyRevoked:           "The key {key} was revoked: nothing that it ever signed counts.",
	evTrustPublished:       "Trust bundle {number} was published; the key {signs} signs by it.",
	evIssuingStopped:       "Issuing was stopped: no step is signed until it is resumed.",
	evIssuingResumed:       "Issuing was resumed.",
	evStaffAdded:           "The account {name} of the vendor's staff was made; scopes: {scopes}.",
	evStaffDisabled:        "The account {name} was disabled; its sessions ended.",
	evStaffPassword:        "A new password was set for the account {name}; its sessions ended.",
	evStaffScopes:          "The account {name} got the scopes {scopes}; its sessions ended.",
	evSignedIn:             "{name} signed in from {address}.",
	evSignedOut:            "{name} signed out.",
	evSignInRefused:        "An attempt to sign in as {name} from {address} was refused.",
	evWebhookCreated:       "A webhook was made: events {events} go to {host}.",
	evWebhookChanged:       "The webhook to {host} was changed: {fields}.",
	evWebhookPaused:        "The webhook to {host} was paused; what happens meanwhile is kept for it.",
	evWebhookResumed:       "The webhook to {host} was made active again.",
	evWebhookRotated:       "The webhook to {host} got a new key; the ones before end on {ends}.",
	evWebhookDeleted:       "The webhook to {host} was deleted.",
	evWebhookGone:          "The webhook to {host} was paused: the receiver answers that it is gone (410). What happens meanwhile is kept for it.",
	evWebhookDisabled:      "The webhook to {host} was disabled: nothing has got through since {since}. What happens meanwhile is kept for it.",
	evWebhookReplayed:      "Events are sent to {host} again: {count}.",
	evWebhookGivenUp:       "An event ({type}) was given up for {host} after {attempts} tries, while others got through.",
	evWebhookTest:          "A test message to {host} was asked for.",
	evBulkStarted:          "A job was asked for ({kind}); items: {total}.",
	evBulkFinished:         "The job ({kind}) is finished; items done: {done}, refused: {failed}.",
	evBulkCanceled:         "The job ({kind}) was ended early; of {total} items done: {done}, refused: {failed}.",

	string(license.PutIssued):     "Activated: {product} was issued to the container in step {step}; its receipt is awaited.",
	string(license.PutConfirmed):  "The container confirmed that it holds {product}.",
	string(license.ChangeIssued):  "{product} was issued to the container again in step {step}, as it is now; its receipt is awaited.",
	string(license.DropIssued):    "The removal of {product} was issued in step {step}; its receipt is awaited.",
	string(license.DropConfirmed): "The container confirmed that {product} is removed; it is free to be activated again.",
	string(license.TakenBack):     "The withdrawn {product} was removed; it is gone.",
	string(license.Withdrawn):     "{product} was withdrawn by the vendor.",
	string(license.Restored):      "{product} was lost and restored; generation {generation} is dead, and the next one is free to be activated.",
	string(license.Merged):        "The {amount} {what} of {product} ({part}) were merged with those of the license {into}, which has {now} now.",
	string(license.Lost):          "{product} was lost while its withdrawal was ordered; it is gone.",
}

// Sentences are the English sentences by event, for pages that have them in other
// languages.
func Sentences() map[string]string { return maps.Clone(sentences) }

// sentence fills an event's details into its sentence.
func sentence(e store.Event) string {
	text := sentences[e.Name]
	if text == "" {
		return e.Name
	}
	return Fill(text, e.Details, detail)
}

// Word writes one detail of an event as the English sentences do.
func Word(v any) string { return detail(v) }

// Fill fills details into a sentence: a word in braces stands for one, written by
// word.
func Fill(text string, document json.RawMessage, word func(any) string) string {
	var details map[string]any
	_ = json.Unmarshal(document, &details) // what does not read stands as a dash
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		out.WriteString(word(details[name]))
		text = after
	}
}

// detail writes one detail of an event for people.
func detail(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = detail(v[i])
		}
		return strings.Join(parts, "; ")
	case map[string]any: // one refusal
		text := detail(v["code"])
		if c, ok := v["container"].(string); ok {
			text += " (it is with container " + c + ")"
		}
		return text
	case string:
		if v == "" {
			return "–"
		}
		return v
	}
	return fmt.Sprint(v)
}

// Kinds of subjects.
const (
	ofVendor       = "vendor"
	ofOrder        = "order"
	ofTicket       = "ticket"
	ofLicense      = "license"
	ofContainer    = "container"
	ofCategory     = "category"
	ofProduct      = "product"
	ofBundle       = "bundle"
	ofToken        = "token"
	ofRecovery     = "recovery"
	ofStaff        = "staff"
	ofWebhook      = "webhook"
	ofSubscription = "subscription"
	ofBulk         = "bulk"
)

func about(kind, id string) store.Subject { return store.Subject{Kind: kind, ID: id} }

// scribe writes the events of one operation: one time, one actor, one request.
type scribe struct {
	r       *Registry
	tx      *store.Tx
	actor   Actor
	now     time.Time
	reason  string
	request string
}

func (r *Registry) scribe(tx *store.Tx, a Actor, now time.Time) scribe {
	return scribe{r: r, tx: tx, actor: a, now: now, request: requestID(tx.Context())}
}

// note appends one event in the operation's own transaction.
func (s scribe) note(name string, details any, subjects ...store.Subject) error {
	_, err := s.noteWithID(name, details, subjects...)
	return err
}

// noteWithID is note, and gives the event's id.
func (s scribe) noteWithID(name string, details any, subjects ...store.Subject) (string, error) {
	e := store.Event{
		ID: s.r.newID("evt", s.now), Time: int64(license.At(s.now)), Actor: s.actor.String(),
		Name: name, Subjects: subjects, Reason: s.reason, Request: s.request,
	}
	if details != nil {
		b, err := json.Marshal(details)
		if err != nil {
			return "", err
		}
		e.Details = b
	}
	return e.ID, s.tx.AppendEvent(e)
}

// view is an event as staff and programs see it.
func view(e store.Event) wire.Event {
	w := wire.Event{
		ID: e.ID, Time: license.Time(e.Time), Actor: e.Actor, Event: e.Name, Reason: e.Reason,
		Request: e.Request, Details: e.Details, Sentence: sentence(e), Subjects: []wire.Subject{},
	}
	for _, s := range e.Subjects {
		w.Subjects = append(w.Subjects, wire.Subject{Kind: s.Kind, ID: s.ID})
	}
	if e.Sequence >= 0 {
		w.Sequence = &e.Sequence
	}
	return w
}

func notFound(what, id string) *refusal.Refusal {
	return refusal.New(refusal.NotFound, "There is no %s %s.", what, id)
}
