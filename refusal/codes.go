package refusal

// Code names a reason. Codes are lower snake case and never change meaning.
type Code string

// The codes, in the order in which docs/errors.md shows them.
const (
	// Outcomes that are no refusal but travel in the same place.
	Done           Code = "done"
	AlreadyApplied Code = "already_applied"
	NotDone        Code = "not_done"

	// Tickets and licenses.
	TicketUnknown       Code = "ticket_unknown"
	LicenseUnknown      Code = "license_unknown"
	LicenseInUse        Code = "license_in_use"
	LicenseWithdrawn    Code = "license_withdrawn"
	LicenseHeldBack     Code = "license_held_back"
	LicenseAssigned     Code = "license_assigned"
	AlreadyIssued       Code = "already_issued"
	TooFewSeats         Code = "too_few_seats"
	TooFewUnits         Code = "too_few_units"
	NotSplittable       Code = "not_splittable"
	NotDeactivatable    Code = "not_deactivatable"
	PrerequisiteMissing Code = "prerequisite_missing"
	BreaksOtherLicense  Code = "breaks_other_license"
	ContainerNotAllowed Code = "container_not_allowed"

	// Subscriptions.
	SubscriptionEnded Code = "subscription_ended"
	SubscriptionLed   Code = "subscription_led_elsewhere"

	// Lost licenses.
	NotRestorable         Code = "not_restorable"
	RestorePending        Code = "restore_pending"
	RestoreLimit          Code = "restore_limit"
	ConditionsNotAccepted Code = "conditions_not_accepted"

	// Files and containers.
	WrongContainer     Code = "wrong_container"
	OutOfDate          Code = "out_of_date"
	StepsMissing       Code = "steps_missing"
	BadSignature       Code = "bad_signature"
	DamagedFile        Code = "damaged_file"
	WrongFile          Code = "wrong_file"
	TooLarge           Code = "too_large"
	WrongEnvironment   Code = "wrong_environment"
	UnsupportedVersion Code = "unsupported_version"
	VendorUntrusted    Code = "vendor_untrusted"
	ContainerUnknown   Code = "container_unknown"
	ContainerFlagged   Code = "container_flagged"
	ContainerBlocked   Code = "container_blocked"
	OldCopy            Code = "old_copy"
	ContainerAhead     Code = "container_ahead"
	ContainerNotEmpty  Code = "container_not_empty"
	ContainerDamaged   Code = "container_damaged"
	OtherMachine       Code = "other_machine"
	RepairNotAllowed   Code = "repair_not_allowed"
	BlockListGap       Code = "block_list_gap"
	IssuingStopped     Code = "issuing_stopped"
	SignerUnavailable  Code = "signer_unavailable"
	KeyRevoked         Code = "key_revoked"
	TrustEnded         Code = "trust_ended"

	// May it run.
	Valid             Code = "valid"
	NoLicense         Code = "no_license"
	NotYetValid       Code = "not_yet_valid"
	Expired           Code = "expired"
	FeatureMissing    Code = "feature_missing"
	VersionNotCovered Code = "version_not_covered"
	CheckInOverdue    Code = "check_in_overdue"
	UnitsSpent        Code = "units_spent"
	ClockBehind       Code = "clock_behind"

	// Seats on a network.
	NoSeatFree        Code = "no_seat_free"
	LeaseLost         Code = "lease_lost"
	LeaseNotYours     Code = "lease_not_yours"
	SeatDenied        Code = "seat_denied"
	SeatsUncertain    Code = "seats_uncertain"
	SeatsOnLoan       Code = "seats_on_loan"
	BorrowNotAllowed  Code = "borrow_not_allowed"
	BorrowTooLong     Code = "borrow_too_long"
	ServerUnreachable Code = "server_unreachable"
	DueSoon           Code = "due_soon"

	// Programs around it.
	CentralUnreachable Code = "central_unreachable"
	StorageFull        Code = "storage_full"
	Unauthorized       Code = "unauthorized"
	Forbidden          Code = "forbidden"
	NotFound           Code = "not_found"
	InvalidInput       Code = "invalid_input"
	Conflict           Code = "conflict"
	IdempotencyReused  Code = "idempotency_key_reused"
	ChangedMeanwhile   Code = "changed_meanwhile"
	RateLimited        Code = "rate_limited"
	ProductUnknown     Code = "product_unknown"
	AlreadyInitialized Code = "already_initialized"
	AuditBroken        Code = "audit_broken"
	BackupDamaged      Code = "backup_damaged"
	ServerOutdated     Code = "server_outdated"
	JournalUnavailable Code = "journal_unavailable"
	VerifyFailed       Code = "verify_failed"
	NotInOrder         Code = "not_in_order"
	AgentUnreachable   Code = "agent_unreachable"
	Internal           Code = "internal"
)

// Entry explains a code: what it means, the usual next step, and the HTTP
// status that carries it.
type Entry struct {
	Code    Code
	Meaning string
	Hint    string
	Status  int
}

// Codes is the whole table in reading order.
var Codes = []Entry{
	{Done, "The wish was carried out.", "", 200},
	{AlreadyApplied, "There was nothing to do: it is so already. A success.", "", 200},
	{NotDone, "Left undone because another part of the same request was refused.", "Ask again without the refused part.", 409},

	{TicketUnknown, "No ticket with this code is known, or it was mistyped.", "Check for a typo.", 404},
	{LicenseUnknown, "The license does not exist, or does not belong to the ticket or container named.", "Check the license id; licet list and licet-central ticket show name what there is.", 404},
	{LicenseInUse, "Nothing is left to activate: the license is with another container.", "Deactivate it there first, or ask the vendor to restore it if that machine is lost.", 409},
	{LicenseWithdrawn, "The vendor has withdrawn the license.", "Ask the vendor.", 409},
	{LicenseAssigned, "The vendor keeps the license for another container.", "Fetch it there with licet update, or ask the vendor to lift the assignment.", 409},
	{LicenseHeldBack, "The vendor's server was restored from a back-up, and somebody may have got the license meanwhile; until that is known it is not given out.", "If the license is on another machine, run licet update there, or give it back there; otherwise ask the vendor to release it.", 409},
	{AlreadyIssued, "The order cannot be taken back: an update that carries it was issued.", "Give the opposite order; it follows in the next update.", 409},
	{TooFewSeats, "Fewer seats are there than were asked for.", "Ask for no more than the number named.", 409},
	{TooFewUnits, "Fewer units are free than were asked for.", "Ask for no more than the number named, or the vendor for more units.", 409},
	{NotSplittable, "The license is used as a whole: its seats or units cannot be in several containers.", "Ask for the whole license.", 409},
	{NotDeactivatable, "The vendor does not let users return this license themselves.", "Ask the vendor to move it.", 409},
	{PrerequisiteMissing, "The license needs another one in the same container first.", "Activate what it needs in the same container, then try again.", 409},
	{BreaksOtherLicense, "Another license in the container needs this one.", "Return the licenses that depend on it together with it.", 409},
	{ContainerNotAllowed, "The product may not be activated into this kind of container.", "Choose another kind of container.", 409},

	{SubscriptionEnded, "The subscription was ended at once, and its licenses are withdrawn.", "Make another subscription.", 409},
	{SubscriptionLed, "Somebody else says when the subscription is renewed.", "Leave it to whoever leads the subscription, or change who does.", 409},

	{NotRestorable, "The license is not restored: it is not lost, or the vendor's policy does not allow it.", "Do as the message says, or ask the vendor.", 409},
	{RestorePending, "The loss is reported, and the vendor has yet to decide.", "Wait for the vendor's answer; nothing changes until then.", 409},
	{RestoreLimit, "Policy allows no further restore of the license now.", "Wait until the time named, or ask the vendor.", 409},
	{ConditionsNotAccepted, "The vendor's conditions for a restore were not accepted.", "Read the conditions and accept them.", 409},

	{WrongContainer, "The file was made for another container.", "Carry it to the machine with the container it was made for, or make a new request here.", 409},
	{OutOfDate, "The file is older than what the other side already knows. Nothing was changed.", "Make a new request and use that.", 409},
	{StepsMissing, "The update starts after a step that this container does not have yet.", "Make a new request: its answer carries every missing step.", 409},
	{BadSignature, "A signature does not fit: the file was altered or comes from somebody else. Nothing was changed.", "Fetch the file again from where it came from.", 400},
	{DamagedFile, "The file is incomplete or not readable. Nothing was changed.", "Copy or fetch the file again.", 400},
	{WrongFile, "The file is of another kind than what is wanted here.", "Requests and receipts go to the vendor, updates come from the vendor.", 400},
	{TooLarge, "The input is larger than the limit.", "Check that it is the right file.", 413},
	{WrongEnvironment, "The file belongs to another environment of the vendor, such as a test instance.", "Use files of the environment this machine trusts.", 409},
	{UnsupportedVersion, "The format version is not spoken here.", "Update the older side.", 400},
	{VendorUntrusted, "This machine does not trust the vendor of the file or server yet.", "Run licet trust add with the vendor's trust file or address, if you mean to trust it.", 403},
	{ContainerUnknown, "No container with this serial is known here.", "licet list names the containers of this machine.", 404},
	{ContainerFlagged, "The container contradicts the vendor's record; it keeps what it has and gets nothing new until the vendor decides.", "Ask the vendor to look at the container. If the machine was put back from a back-up: licet restore TICKET --whole-container SERIAL.", 409},
	{OldCopy, "Another container on the machine has a newer copy of the same license.", "Use the newer one; licet list names both.", 409},
	{ContainerBlocked, "The vendor has blocked the container.", "Ask the vendor.", 409},
	{ContainerAhead, "The container knows steps that the server does not.", "Ask the vendor: the server may have been restored from a back-up, or belong to another environment.", 409},
	{ContainerNotEmpty, "There are still licenses in the container.", "Deactivate them first, or delete with --force and lose them.", 409},
	{ContainerDamaged, "The container's files cannot be read.", "Keep the folder and ask the vendor to restore the licenses.", 409},
	{OtherMachine, "The container is bound to another machine, or this machine changed too much.", "Undo the change, or ask the vendor to restore the licenses.", 409},
	{RepairNotAllowed, "The vendor does not allow this binding to be repaired by the user.", "Ask the vendor.", 403},
	{IssuingStopped, "The vendor has stopped issuing for a while. Nothing was lost, and what is on the machine stays usable.", "Try again later.", 503},
	{SignerUnavailable, "The vendor's signing key cannot be reached at this moment. Nothing was lost.", "Try again in a moment.", 503},
	{KeyRevoked, "It was signed with a key that the vendor has revoked, because it may be in wrong hands.", "Run licet update, or licet request and licet import without a network: what the vendor's record has comes again under a good key.", 409},
	{TrustEnded, "What this machine knows of the vendor's keys is too old for anything new. What it has stays usable.", "Fetch the vendor's current trust file: licet trust add.", 409},
	{BlockListGap, "The news of the vendor's block list continue another list than the one here. Nothing was changed.", "Import the vendor's whole block list, or run licet update.", 409},

	{Valid, "The program may run.", "", 200},
	{NoLicense, "No license for the product is on this machine.", "Activate a ticket: licet activate TICKET.", 404},
	{NotYetValid, "The license is not valid yet.", "Wait until its first day.", 409},
	{Expired, "The license has expired.", "Renew it with the vendor, then run licet update.", 409},
	{FeatureMissing, "The license does not include the feature.", "Ask the vendor for the feature.", 409},
	{VersionNotCovered, "The license does not cover this version or build of the program.", "Use a version the license covers, or renew the maintenance.", 409},
	{CheckInOverdue, "The license needs contact with the vendor from time to time, and the last one is too long ago.", "Run licet update, online or by file.", 409},
	{UnitsSpent, "The license has not as many units left. Nothing was taken.", "Ask the vendor for more, then run licet update.", 409},
	{ClockBehind, "The computer's clock is behind a time that is known to have passed.", "Set the clock right; if it is right, run licet update to fetch the vendor's signed time.", 409},

	{NoSeatFree, "All seats of the license are taken.", "Wait until one is given back, or take a place in the queue; licet sessions shows who has them.", 409},
	{LeaseLost, "The seat is no longer yours: its lease ended, or an administrator ended it.", "Ask for a seat again.", 410},
	{LeaseNotYours, "The lease belongs to somebody else.", "Use the token that came with the lease.", 403},
	{SeatDenied, "The license server's rules do not give this seat to you.", "Ask the server's administrator; licet servers rules test shows which rule decides.", 403},
	{SeatsUncertain, "The license server lost its record of who has which seat, and grants nothing that could overlap what it no longer knows.", "Wait until the time named; the server's administrator can shorten that.", 503},
	{SeatsOnLoan, "Seats of the license are on loan, and it stays here until they are back or their loans end.", "Wait for the end named, or have the loans returned.", 409},
	{BorrowNotAllowed, "The license, or the server's administrator, does not allow this loan.", "Use a seat over the network, or ask the administrator.", 403},
	{BorrowTooLong, "A loan does not last that long here.", "Borrow for the longest time named, or less.", 409},
	{ServerUnreachable, "No license server answers.", "Check the network and the list of servers: licet servers.", 503},
	{DueSoon, "A warning, no refusal: what is borrowed ends soon.", "", 200},

	{CentralUnreachable, "The vendor's server cannot be reached. Nothing was lost.", "Try again later, or carry files: licet request, licet import, licet receipt.", 503},
	{StorageFull, "The disk is full or cannot be written. The old state was kept.", "Make room, then try again.", 507},
	{Unauthorized, "No valid token was given.", "Give a token with --token or LICET_TOKEN.", 401},
	{Forbidden, "The token does not have the scope for this.", "Use a token with the scope named.", 403},
	{NotFound, "There is no such thing, or it is not yours.", "Check the name or id.", 404},
	{InvalidInput, "The input is not acceptable.", "Correct it as the message says.", 422},
	{Conflict, "Somebody else changed the same thing at the same time.", "Look at it again and repeat.", 409},
	{IdempotencyReused, "The idempotency key was used before for another request.", "Use a new key for a new request.", 422},
	{ChangedMeanwhile, "What is to be changed is not as the request says (If-Match). Nothing was changed.", "Look at it again, and send the change with its new ETag.", 412},
	{RateLimited, "Too many requests from this address.", "Wait and try again.", 429},
	{ProductUnknown, "No product has this code.", "licet-central product list names the products.", 404},
	{AlreadyInitialized, "The folder or database is in use already; it was not touched.", "Choose another folder.", 409},
	{AuditBroken, "The audit trail does not prove whole.", "Keep the database as it is and look at the rows named.", 409},
	{VerifyFailed, "Rows of the database are not what the signed steps and the events make of them.", "Keep a copy of the database as it is, and look at the rows named.", 409},
	{NotInOrder, "Something about the server is not as it should be.", "Do what the report says.", 409},
	{BackupDamaged, "The back-up cannot be used: it is cut short, altered, or belongs to another secret.key. Nothing was written.", "Use another copy of the back-up, and the secret.key of the server that it was made of.", 422},
	{ServerOutdated, "The server's record is older than one that exists: it hands out nothing until that is settled.", "Its administrator is to run licet-central gap open, or to use the newer server.", 503},
	{JournalUnavailable, "The server's second journal is not to be had, and without it nothing leaves. Nothing was changed; what is on the machine stays usable.", "Try again later. Its administrator finds the cause in the server's log and with licet-central doctor.", 503},
	{AgentUnreachable, "The agent of this machine does not answer.", "Start it with licet serve, or stop what holds its lock.", 503},
	{Internal, "Something failed inside the program.", "Try again; if it stays, send the report of licet doctor or the server's log to support.", 500},
}

// Lookup returns the entry of a code; an unknown code gets an empty entry with
// status 500, so that a new server's code does not confuse an old client.
func Lookup(code Code) Entry {
	for _, e := range Codes {
		if e.Code == code {
			return e
		}
	}
	return Entry{Code: code, Status: 500}
}
