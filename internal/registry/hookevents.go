package registry

import (
	"context"
	"encoding/json"
	"slices"

	"licet/internal/store"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

// hookType is a type of event that receivers are told of. Its name and fields are a
// promise to them; those of the event are our own.
type hookType struct {
	name   string
	events []string // what happens, as the audit trail has it
	text   string
	fields []string
}

// Fields of the data of a type.
const (
	fieldOrder        = "order"
	fieldLicense      = "license"
	fieldProduct      = "product"
	fieldGeneration   = "generation"
	fieldState        = "state"
	fieldContainer    = "container"
	fieldRecovery     = "recovery"
	fieldLicenses     = "licenses"
	fieldPart         = "part"
	fieldSeats        = "seats"
	fieldUnits        = "units"
	fieldSubscription = "subscription"
	fieldStanding     = "subscription_state"
	fieldQuantity     = "quantity"
	fieldEnds         = "ends_at"
	fieldUsable       = "usable_until"
	fieldSince        = "since"
	fieldBulk         = "bulk"
	fieldKind         = "kind"
	fieldDry          = "dry_run"
	fieldTotal        = "total"
	fieldDone         = "done"
	fieldFailed       = "failed"
)

var (
	moved   = []string{fieldLicense, fieldProduct, fieldGeneration, fieldState, fieldOrder}
	movedIn = []string{fieldLicense, fieldProduct, fieldGeneration, fieldState, fieldContainer, fieldOrder}
	asked   = []string{fieldLicense, fieldProduct, fieldGeneration, fieldContainer, fieldOrder}
	// Either seats or units went.
	parted  = []string{fieldLicense, fieldPart, fieldSeats, fieldUnits, fieldProduct, fieldGeneration, fieldOrder}
	back    = []string{fieldLicense, fieldPart, fieldUnits, fieldProduct, fieldGeneration, fieldOrder}
	boxed   = []string{fieldContainer}
	lostOne = []string{fieldRecovery}
	coded   = []string{fieldProduct}
	many    = []string{fieldBulk, fieldKind, fieldDry, fieldTotal, fieldDone, fieldFailed}
	agreed  = []string{fieldSubscription, fieldOrder, fieldProduct, fieldQuantity, fieldStanding, fieldEnds, fieldUsable}
)

// HookTest is the type of the message that staff send to try a receiver.
const HookTest = "webhook.test"

// hookTypes is every type, in reading order.
var hookTypes = []hookType{
	{"order.created", []string{evOrderCreated}, "An order was taken.", []string{fieldOrder, fieldLicenses}},
	{"order.extended", []string{evOrderExtended}, "Licenses were added to an order.", []string{fieldOrder, fieldLicenses}},
	{"order.canceled", []string{evOrderCanceled}, "An order was canceled; what becomes of each license is told by events of its own.", []string{fieldOrder, fieldLicenses}},

	{"license.activated", []string{string(license.PutIssued)}, "A license was issued to a container. It counts as with the user from now on.", movedIn},
	{"license.activation_confirmed", []string{string(license.PutConfirmed)}, "The container confirmed that it holds the license.", movedIn},
	{"license.changed", []string{string(license.ChangeIssued)}, "A license was issued again to the container that has it, as it is now: with the seats that stay, where some were returned, or with more units.", movedIn},
	{"license.split", []string{evSplit}, "Seats or units of a license were split off: they are a license of its own now, the part, in the same place.", parted},
	{"license.units_back", []string{evUnitsBack}, "Units of a license came back from its container: they are a license of its own now, the part, with the vendor.", back},
	{"license.merged", []string{string(license.Merged)}, "The seats or units of a license are back and went to the other part that is with the vendor. The license itself is gone.", parted},
	{"license.returning", []string{string(license.DropIssued)}, "The removal of a license was issued to its container. It still counts as with the user.", movedIn},
	{"license.returned", []string{string(license.DropConfirmed)}, "The container proved that the license is removed: it is free to be activated.", movedIn},
	{"license.withdrawn", []string{string(license.Withdrawn), string(license.TakenBack)}, "A license that the vendor withdrew is gone.", moved},
	{"license.restored", []string{string(license.Restored)}, "A license was lost and restored: this generation is dead, the next one free to be activated.", moved},
	{"license.lost", []string{string(license.Lost)}, "A license was lost while its withdrawal was ordered: it is gone.", moved},
	{"license.reopened", []string{evLicenseReopened}, "Staff accepted the container at an earlier step, which set the license back.", movedIn},
	{"license.withdrawal_ordered", []string{evWithdrawalOrdered}, "The vendor ordered a withdrawal; the container loses the license at its next contact.", asked},
	{"license.replacement_ordered", []string{evReplacementOrdered}, "The vendor ordered another license in place of this one; it comes at the container's next contact.", asked},
	{"license.assignment_ordered", []string{evAssignmentOrdered}, "The vendor keeps a license for a container, which gets it at its next contact.", asked},
	{"license.order_taken_back", []string{evOrderTakenBack}, "An order of the vendor was taken back before it was issued.", asked},
	{"license.freed", []string{evLicenseFree}, "A license that was to come in place of another did not: it is free to be activated.", []string{fieldLicense, fieldProduct, fieldOrder}},
	{"license.restore_enabled", []string{evRestoreEnabled}, "Staff allowed restores of a license beyond the policy.", []string{fieldLicense, fieldProduct, fieldOrder}},
	{"license.lost_copy_gone", []string{evCopyGone}, "A container proved that the lost copy of a license is gone from it.", asked},
	{"license.units_counted", []string{evUnitsCounted}, "A container reported that more units of a license are used than were known.", []string{fieldLicense, fieldProduct, fieldGeneration, fieldContainer, fieldOrder, fieldUnits}},
	{"license.units_added", []string{evUnitsAdded}, "The vendor added units to a license.", []string{fieldLicense, fieldProduct, fieldGeneration, fieldOrder, fieldUnits}},
	{"license.lost_units_counted", []string{evLostUnits}, "A lost copy that is gone had counted units that are not taken from the license.", asked},
	{"license.brought", []string{evLicenseBrought}, "A container's own steps showed where a license is, of which the server had lost sight when it was restored from a back-up.", movedIn},
	{"license.released", []string{evLicenseReleased, evHoldLifted}, "A license that was held back since the server was restored from a back-up can be activated again.", []string{fieldLicense, fieldProduct, fieldGeneration, fieldOrder}},
	{"license.seats_brought", []string{evSeatsBrought}, "Seats of a license belong to another part of it: a container brought what the server had lost.", []string{fieldLicense, fieldPart, fieldSeats, fieldProduct, fieldOrder}},
	{"license.copy_ended", []string{evCopyEnded}, "A container has a copy that counts no more: others have got the license since it was released.", asked},
	{"license.lost_copy_found", []string{evTurnedUp}, "A container that had lost a license turned up, and is to have it again.", asked},

	{"subscription.created", []string{evSubscriptionCreated}, "A subscription began.", agreed},
	{"subscription.renewed", []string{evSubscriptionRenewed}, "A period was added: by itself, or because somebody told that it was paid.", agreed},
	{"subscription.changed", []string{evSubscriptionChanged}, "Quantity, edition, period or rules of a subscription were changed, or will be with the end of the period.", agreed},
	{"subscription.change_refused", []string{evSubscriptionStays}, "What was to change with the end of the period could not. The subscription goes on as it was.", agreed},
	{"subscription.canceled", []string{evSubscriptionCanceled}, "A subscription was canceled: it ends with its last period.", agreed},
	{"subscription.cancellation_taken_back", []string{evSubscriptionKept}, "A canceled subscription goes on.", agreed},
	{"subscription.resumed", []string{evSubscriptionResumed}, "A subscription that had lapsed, or was in grace, has a new period.", agreed},
	{"subscription.in_grace", []string{evSubscriptionGrace}, "The last period ended and was not renewed; the licenses go on for the grace.", agreed},
	{"subscription.lapsed", []string{evSubscriptionLapsed}, "A subscription is over by date. It can be resumed.", agreed},
	{"subscription.ended", []string{evSubscriptionEnded}, "A subscription was ended at once, and its licenses withdrawn.", agreed},

	{"container.registered", []string{evContainerSeen}, "A container was seen for the first time.", boxed},
	{"container.repaired", []string{evContainerRebound}, "A container was repaired after its machine changed.", boxed},
	{"container.flagged", []string{evContainerFlagged}, "A container contradicts the record, and waits for staff.", boxed},
	{"container.ahead", []string{evContainerAhead}, "A container is further than the record, as after the return of an old back-up.", boxed},
	{"container.accepted", []string{evContainerAccepted}, "Staff accepted a flagged container.", boxed},
	{"container.blocked", []string{evContainerBlocked}, "A container was blocked.", boxed},
	{"container.unblocked", []string{evContainerUnblocked}, "A container was unblocked.", boxed},
	{"container.seats_lent", []string{evSeatsLent}, "A container reported which seats of its licenses are on loan or moved away.", boxed},

	{"recovery.requested", []string{evRecoveryAsked}, "A loss was reported, and staff decide.", lostOne},
	{"recovery.granted", []string{evRecoveryGranted}, "A loss was reported, and restored at once as policy allows.", lostOne},
	{"recovery.approved", []string{evRecoveryApproved}, "Staff approved a recovery.", lostOne},
	{"recovery.refused", []string{evRecoveryRefused}, "Staff refused a recovery.", lostOne},
	{"recovery.question", []string{evRecoveryQuestion}, "Staff asked the user back.", lostOne},
	{"recovery.answered", []string{evRecoveryAnswered}, "The user answered.", lostOne},
	{"recovery.excess", []string{evRecoveryExcess}, "Somebody restores more than is usual.", lostOne},

	{"product.created", []string{evProductCreated}, "A product was created.", coded},
	{"product.changed", []string{evProductChanged}, "A product was changed.", coded},
	{"bundle.created", []string{evBundleCreated}, "A bundle was created.", coded},
	{"bundle.changed", []string{evBundleChanged}, "A bundle was changed.", coded},
	{"category.created", []string{evCategoryCreated}, "A category was created.", coded},
	{"category.changed", []string{evCategoryChanged}, "A category was changed.", coded},

	{"record.restored", []string{evGapOpened}, "The server was restored from a back-up, and has lost what came after it. Send the orders taken since then once more, with resent.", []string{fieldSince}},
	{"record.settled", []string{evGapClosed}, "What the server had lost between the back-up and the restore is settled.", []string{}},

	{"bulk.finished", []string{evBulkFinished}, "Every item of a job was looked at. Items that were refused are among its results.", many},
	{"bulk.canceled", []string{evBulkCanceled}, "A job was ended before its last item. What was done stays done.", many},

	{HookTest, []string{evWebhookTest}, "Staff try whether messages arrive. It goes to one receiver alone, whatever types that wants.", []string{}},
}

// notTold are the events that receivers are not told of: steps of the exchange,
// which come with the events of licenses, and what is about the server itself.
var notTold = []string{
	evVendorCreated, evStepIssued, evStepsConfirmed, evUpdateResent, evUpdatePushed, evWishesRefused, evReportOutOfDate,
	evMailFailed, evSettingsChanged, evTokenCreated, evTokenRevoked, evRootExported, evRootRemoved,
	evJournalBegun, evJournalEnded,
	evKeyMade, evRewrapped, evTicketRewrapped, evRevocationAsked, evKeyRevoked, evTrustPublished, evIssuingStopped, evIssuingResumed,
	evStaffAdded, evStaffDisabled, evStaffPassword, evStaffScopes, evSignedIn, evSignedOut, evSignInRefused,
	evWebhookCreated, evWebhookChanged, evWebhookPaused, evWebhookResumed, evWebhookRotated, evWebhookDeleted,
	evWebhookGone, evWebhookDisabled, evWebhookReplayed, evWebhookGivenUp, evBulkStarted,
	evEpochTold, evContainerSettled, evStepsBrought, evLicenseClaimed, evServerOutdated,
}

// hookTypeOf is the type of each event that receivers are told of.
var hookTypeOf = func() map[string]hookType {
	all := map[string]hookType{}
	for _, t := range hookTypes {
		for _, e := range t.events {
			all[e] = t
		}
	}
	return all
}()

// WebhookEvents is the catalog of what receivers are told.
func WebhookEvents() []wire.WebhookEvent {
	var all []wire.WebhookEvent
	for _, t := range hookTypes {
		all = append(all, wire.WebhookEvent{Type: t.name, Description: t.text, Fields: t.fields})
	}
	return all
}

// WebhookEvents is the catalog for whoever chooses from it.
func (r *Registry) WebhookEvents(_ context.Context, a Actor) (wire.List[wire.WebhookEvent], error) {
	if err := a.may(ScopeWebhooks); err != nil {
		return wire.List[wire.WebhookEvent]{}, err
	}
	return wire.List[wire.WebhookEvent]{Items: WebhookEvents()}, nil
}

// typeNames are the types that a filter may name.
func typeNames() (names []string) {
	for _, t := range hookTypes {
		names = append(names, t.name)
	}
	return names
}

// orderOf is the order that an event is about: named by it, or that of its license.
func orderOf(tx *store.Tx, subjects []store.Subject) (string, error) {
	id := ""
	for _, s := range subjects {
		switch {
		case s.Kind == ofOrder:
			return s.ID, nil
		case s.Kind == ofLicense && id == "":
			id = s.ID
		}
	}
	if id == "" {
		return "", nil
	}
	l, err := tx.License(license.ID(id))
	return l.OrderID, err
}

// someSubjects is enough of the subjects of an event to know what it is mainly
// about.
const someSubjects = 8

// aboutOf is what an event must not overtake events about: its orders, which stand
// for their licenses, its containers, and whatever else it names.
func aboutOf(tx *store.Tx, event string) (about []string, err error) {
	subjects, err := tx.MainSubjects(event)
	if err != nil {
		return nil, err
	}
	ordered := false
	for _, s := range subjects {
		about = append(about, s.Kind+":"+s.ID)
		ordered = ordered || s.Kind == ofOrder
	}
	if ordered {
		return about, nil
	}
	first, err := tx.FirstSubjects(event, someSubjects)
	if err != nil {
		return nil, err
	}
	order, err := orderOf(tx, first)
	if order != "" {
		about = append(about, ofOrder+":"+order)
	}
	return about, err
}

// messageOf is what receivers are told of an event. It is made of what never
// changes, so that it is the same whenever it is sent.
func messageOf(tx *store.Tx, e store.Event) (m wire.WebhookMessage, err error) {
	t := hookTypeOf[e.Name]
	subjects, err := tx.FirstSubjects(e.ID, someSubjects)
	if err != nil {
		return m, err
	}
	var details struct {
		Product    string             `json:"product"`
		Generation license.Generation `json:"generation"`
		To         license.State      `json:"to"`
		Number     json.RawMessage    `json:"number"` // a recovery's is a number, an order's a text
		Added      *int64             `json:"added"`
		Withdrawn  *int64             `json:"withdrawn"`
		What       string             `json:"what"` // went from one part to another, seats or units: so many
		Amount     int64              `json:"amount"`
		Units      int64              `json:"units"`
		Used       int64              `json:"used"`
		Since      license.Time       `json:"since"`

		State subscription.State `json:"state"`
		Ends  license.Time       `json:"ends"`
		Until license.Time       `json:"until"`
		Facts struct {
			Quantity int64 `json:"quantity"`
		} `json:"facts"`
	}
	if e.Details != nil {
		if err := json.Unmarshal(e.Details, &details); err != nil {
			return m, err
		}
	}
	var job struct { // other events have details of these names that are something else
		Kind   string `json:"kind"`
		DryRun bool   `json:"dry_run"`
		Total  int64  `json:"total"`
		Done   int64  `json:"done"`
		Failed int64  `json:"failed"`
	}
	if slices.Contains(t.fields, fieldBulk) {
		if err := json.Unmarshal(e.Details, &job); err != nil {
			return m, err
		}
	}
	first := func(kinds ...string) string {
		for _, s := range subjects {
			for _, kind := range kinds {
				if s.Kind == kind {
					return s.ID
				}
			}
		}
		return ""
	}
	m = wire.WebhookMessage{Type: t.name, Time: license.Time(e.Time), Data: wire.WebhookData{Event: e.ID}}
	if e.Sequence >= 0 {
		m.Data.Sequence = &e.Sequence
	}
	for _, field := range t.fields {
		switch field {
		case fieldOrder:
			order, err := orderOf(tx, subjects)
			if err != nil {
				return m, err
			}
			if order == "" {
				continue
			}
			o, err := tx.OrderByID(order)
			if err != nil {
				return m, err
			}
			m.Data.Order = o.Number
		case fieldLicense:
			m.Data.License = license.ID(first(ofLicense))
		case fieldProduct:
			if m.Data.Product = details.Product; m.Data.Product == "" {
				m.Data.Product = first(ofProduct, ofBundle, ofCategory)
			}
		case fieldGeneration:
			m.Data.Generation = details.Generation
		case fieldState:
			m.Data.State = details.To
		case fieldContainer:
			m.Data.Container = license.Serial(first(ofContainer))
		case fieldPart:
			for _, s := range subjects {
				if s.Kind == ofLicense && s.ID != string(m.Data.License) {
					m.Data.Part = license.ID(s.ID)
				}
			}
		case fieldSeats:
			if details.What != "units" {
				m.Data.Seats = details.Amount
			}
		case fieldRecovery:
			if err := json.Unmarshal(details.Number, &m.Data.Recovery); err != nil {
				return m, err
			}
		case fieldSubscription:
			m.Data.Subscription = first(ofSubscription)
		case fieldStanding:
			m.Data.SubscriptionState = details.State
		case fieldQuantity:
			m.Data.Quantity = details.Facts.Quantity
		case fieldEnds:
			m.Data.Ends = details.Ends
		case fieldUsable:
			m.Data.Usable = details.Until
		case fieldSince:
			m.Data.Since = details.Since
		case fieldBulk:
			m.Data.Bulk = first(ofBulk)
		case fieldKind:
			m.Data.Kind = job.Kind
		case fieldDry:
			m.Data.DryRun = &job.DryRun
		case fieldTotal:
			m.Data.Total = &job.Total
		case fieldDone:
			m.Data.Done = &job.Done
		case fieldFailed:
			m.Data.Failed = &job.Failed
		case fieldUnits:
			units := details.Units
			if details.What == "units" {
				units = details.Amount
			}
			m.Data.Units = wire.UnitsOf(license.Terms{Units: units}, details.Used)
		case fieldLicenses:
			if m.Data.Licenses = details.Added; m.Data.Licenses == nil {
				m.Data.Licenses = details.Withdrawn
			}
		}
	}
	return m, nil
}
