package registry

import (
	"encoding/json"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// What can happen, each with the sentence that people read in a history.
const (
	evVendorCreated     = "vendor_created"
	evCatalogApplied    = "catalog_applied"
	evProductCreated    = "product_created"
	evProductChanged    = "product_changed"
	evOrderCreated      = "order_created"
	evOrderExtended     = "order_extended"
	evContainerSeen     = "container_registered"
	evContainerRebound  = "container_rebound"
	evStepIssued        = "step_issued"
	evStepsConfirmed    = "steps_confirmed"
	evUpdateResent      = "update_resent"
	evWishesRefused     = "wishes_refused"
	evReportOutOfDate   = "report_out_of_date"
	evContainerAhead    = "container_ahead"
	evContainerFlagged  = "container_flagged"
	evContainerAccepted = "container_accepted"
	evTokenCreated      = "token_created"
	evTokenRevoked      = "token_revoked"
	evRootExported      = "root_exported"
	evRootRemoved       = "root_removed"
	evTicketShown       = "ticket_shown"
)

var sentences = map[string]string{
	evVendorCreated:     "The vendor and its keys were created.",
	evCatalogApplied:    "A catalog was applied.",
	evProductCreated:    "The product was created.",
	evProductChanged:    "The product was changed.",
	evOrderCreated:      "The order was taken and its ticket made.",
	evOrderExtended:     "Licenses were added to the order.",
	evContainerSeen:     "The container was seen for the first time.",
	evContainerRebound:  "The container was repaired after its machine changed.",
	evStepIssued:        "An update was issued to the container.",
	evStepsConfirmed:    "The container confirmed what it was sent.",
	evUpdateResent:      "An update that was under way was sent again.",
	evWishesRefused:     "Something was asked for and refused.",
	evReportOutOfDate:   "A report was older than the record; nothing was changed, and the container was challenged.",
	evContainerAhead:    "The container knows steps that the record does not; nothing was changed.",
	evContainerFlagged:  "The container contradicts the record and gets nothing new until staff decide.",
	evContainerAccepted: "Staff accepted the container as it is.",
	evTokenCreated:      "An API token was created.",
	evTokenRevoked:      "An API token was revoked.",
	evRootExported:      "The root key was exported.",
	evRootRemoved:       "The root key was removed from the server.",
	evTicketShown:       "Staff looked at the ticket.",

	string(license.PutIssued):     "Activated: issued to the container, waiting for its receipt.",
	string(license.PutConfirmed):  "The container confirmed that it holds the license.",
	string(license.DropIssued):    "Returned: its removal was issued, waiting for the receipt.",
	string(license.DropConfirmed): "The container confirmed the removal; free to be activated again.",
	string(license.TakenBack):     "The withdrawn license was removed; it is gone.",
	string(license.Withdrawn):     "Withdrawn by the vendor.",
}

// Kinds of subjects.
const (
	ofVendor    = "vendor"
	ofOrder     = "order"
	ofTicket    = "ticket"
	ofLicense   = "license"
	ofContainer = "container"
	ofProduct   = "product"
	ofToken     = "token"
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
	e := store.Event{
		ID: s.r.newID("evt", s.now), Time: int64(license.At(s.now)), Actor: s.actor.String(),
		Name: name, Subjects: subjects, Reason: s.reason, Request: s.request,
	}
	if details != nil {
		b, err := json.Marshal(details)
		if err != nil {
			return err
		}
		e.Details = b
	}
	return s.tx.AppendEvent(e)
}

// view is an event as staff and programs see it.
func view(e store.Event) wire.Event {
	w := wire.Event{
		ID: e.ID, Time: license.Time(e.Time), Actor: e.Actor, Event: e.Name, Reason: e.Reason,
		Request: e.Request, Details: e.Details, Sentence: sentences[e.Name], Subjects: []wire.Subject{},
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
