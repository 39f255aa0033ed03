package verify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/internal/verify"
	"licet/license"
)

// corruption is a change that somebody makes behind the product's back.
type corruption struct {
	name string
	sql  string
	args []any
	do   func(h *planting) // instead of sql
	want string            // table, key, column; * is any
}

// planted are changes that somebody makes behind the product's back. A name in
// braces is one of the story's.
var planted = []corruption{
	// Licenses.
	{name: "a state flipped", sql: `update licenses set state = 'collecting' where id = '{collected}'`, want: "licenses {collected} state"},
	{name: "a license freed", sql: `update licenses set state = 'returned', holder = null where id = '{collected}'`, want: "licenses {collected} holder"},
	{name: "a return undone", sql: `update licenses set state = 'collected' where id = '{returning}'`, want: "licenses {returning} state"},
	{name: "a state that is none", sql: `update licenses set holder = '' where id = '{collected}'`, want: "licenses {collected} holder"},
	{name: "a license made gone", sql: `update licenses set state = 'gone' where id = '{never}'`, want: "licenses {never} state"},
	{name: "a holder moved", sql: `update licenses set holder = '{c}' where id = '{collected}'`, want: "licenses {collected} holder"},
	{name: "a holder invented", sql: `update licenses set state = 'collected', holder = '{c}', step = 1 where id = '{never}'`, want: "licenses {never} holder"},
	{name: "a license's step changed", sql: `update licenses set step = step + 1 where id = '{collected}'`, want: "licenses {collected} step"},
	{name: "a generation raised", sql: `update licenses set generation = 2 where id = '{collected}'`, want: "licenses {collected} generation"},
	{name: "a withdrawal invented", sql: `update licenses set withdrawn = 1 where id = '{never}'`, want: "licenses {never} withdrawn"},
	{name: "an end prolonged", sql: `update licenses set terms = replace(terms, '2027-', '2037-') where id = '{year}'`, want: "licenses {year} terms"},
	{name: "an end taken away", sql: `update licenses set terms = '{"seats":1}' where id = '{year}'`, want: "licenses {year} terms"},
	{name: "seats added to a license in use", sql: `update licenses set terms = replace(terms, '"seats":9', '"seats":900') where id = '{team}'`, want: "licenses {team} terms"},
	{name: "seats added to a license never used", sql: `update licenses set terms = replace(terms, '"seats":5', '"seats":500') where id = '{never}'`, want: "licenses {never} terms"},
	{name: "a longer term for a license never used", sql: `update licenses set terms = replace(terms, '365d', '3650d') where id = '{never}'`, want: "licenses {never} terms"},
	{name: "more to borrow", sql: `update licenses set terms = replace(terms, '12h', '120h') where id = '{never}'`, want: "licenses {never} terms"},
	{name: "terms destroyed", sql: `update licenses set terms = 'x' where id = '{never}'`, want: "licenses {never} terms"},
	{name: "a feature added to a license in use", sql: `update licenses set features = '["render","export"]' where id = '{collected}'`, want: "licenses {collected} features"},
	{name: "a feature added to a license never used", sql: `update licenses set features = '["render"]' where id = '{never}'`, want: "licenses {never} features"},
	{name: "the first activation changed", sql: `update licenses set activated = activated + 86400000000 where id = '{year}'`, want: "licenses {year} activated"},
	{name: "a product changed", sql: `update licenses set product = 'TEAM' where id = '{spare}'`, want: "licenses {spare} product"},
	{name: "a position changed", sql: `update licenses set item = 'TEAM=1' where id = '{spare}'`, want: "licenses {spare} item"},
	{name: "a license deleted", sql: `delete from licenses where id = '{never}'`, want: "licenses {never}"},
	{name: "a license deleted, seen by the order", sql: `delete from licenses where id = '{never}'`, want: "orders {other-order} licenses"},
	{name: "a license inserted", sql: copyLicense("'lic_00'", "order_id", "ticket_id"), want: "licenses lic_00"},
	{name: "a license inserted, seen by the order", sql: copyLicense("'lic_00'", "order_id", "ticket_id"), want: "orders {other-order} licenses"},
	{name: "a license copied into another order", sql: copyLicense("'lic_zz'", "'{order}'", "'{ticket}'"), want: "licenses lic_zz"},
	{name: "a license moved to another order", sql: `update licenses set order_id = '{order}' where id = '{never}'`, want: "licenses {never} order_id"},
	{name: "a license moved to another ticket", sql: `update licenses set ticket_id = '{ticket}' where id = '{never}'`, want: "licenses {never} ticket_id"},

	// Seats in several containers.
	{name: "a seat added to a part", sql: `update licenses set seats = seats + 1 where id = '{part}'`, want: "licenses {part} seats"},
	{name: "a seat added to a part, seen by the order", sql: `update licenses set seats = seats + 1 where id = '{part}'`, want: "orders {parts-order} seats of TEAM=1,seats=8"},
	{name: "a seat taken from what is left", sql: `update licenses set seats = seats - 1 where id = '{whole}'`, want: "orders {parts-order} seats of TEAM=1,seats=8"},
	{name: "a seat moved, so that the sum is right", sql: `update licenses set seats = case when id = '{whole}' then seats - 1 else seats + 1 end where id = '{whole}' or id = '{part}'`, want: "licenses {whole} seats"},
	{name: "more seats in a license that was never split", sql: `update licenses set seats = 900 where id = '{team}'`, want: "licenses {team} seats"},
	{name: "a merged part gets its seats back", sql: `update licenses set seats = 1 where id = '{merged}'`, want: "licenses {merged} seats"},
	{name: "a merged part is no longer merged", sql: `update licenses set merged_into = '' where id = '{merged}'`, want: "licenses {merged} merged_into"},
	{name: "a merged part is free again", sql: `update licenses set state = 'returned', merged_into = '', seats = 1 where id = '{merged}'`, want: "licenses {merged} state"},
	{name: "a part of nothing", sql: `update licenses set origin = '' where id = '{part}'`, want: "licenses {part} origin"},
	{name: "a part of another license", sql: `update licenses set origin = '{team}' where id = '{part}'`, want: "licenses {part} origin"},
	{name: "more seats merged than there were, with event and rows", do: mergeMore, want: "events evt_zz "},
	{name: "seats split off that were not there, with event and rows", do: splitMore, want: "events evt_zz "},
	// Units.
	{name: "a counter set back", sql: `update licenses set used = used - 100 where id = '{counted}'`, want: "licenses {counted} used"},
	{name: "units used that nobody told of", sql: `update licenses set used = used + 1 where id = '{counted-again}'`, want: "licenses {counted-again} used"},
	{name: "a counter begun anew after a restore", sql: `update licenses set used = 0 where id = '{counted-again}'`, want: "licenses {counted-again} used"},
	{name: "a counter of a license that has none", sql: `update licenses set used = 1 where id = '{collected}'`, want: "licenses {collected} used"},
	{name: "units added that nobody bought", sql: `update licenses set terms = replace(terms, '"units":1530', '"units":9530') where id = '{counted}'`, want: "licenses {counted} terms"},
	{name: "units taken away", sql: `update licenses set terms = replace(terms, '"units":1000', '"units":900') where id = '{counted-again}'`, want: "licenses {counted-again} terms"},
	{name: "units added to a part", sql: `update licenses set terms = replace(terms, '"units":200', '"units":900') where id = '{unit-part}'`, want: "licenses {unit-part} terms"},
	{name: "units moved between parts, so that the sum is right", sql: `update licenses set terms = replace(replace(terms, '"units":200', '"units":201'), '"units":600', '"units":599') where id = '{unit-part}' or id = '{unit-whole}'`, want: "licenses {unit-whole} terms"},
	{name: "a part's counter set back", sql: `update licenses set used = 0 where id = '{unit-part}'`, want: "licenses {unit-part} used"},
	{name: "units in a part of another license", sql: `update licenses set origin = '{counted}' where id = '{unit-part}'`, want: "licenses {unit-part} origin"},
	{name: "units split off that were not there, with event and row", do: splitUnits, want: "events evt_zz "},
	{name: "a report of units that falls, with its event", do: fallen, want: "events evt_zz"},
	{name: "an addition of units that does not add up, with its event", do: addition, want: "events evt_zz"},
	{name: "an event about units deleted", sql: `delete from event_subjects where event_id = '{count-event}'; delete from events where id = '{count-event}'`, want: "licenses {counted} used"},
	{name: "an addition of units deleted", sql: `delete from event_subjects where event_id = '{add-event}'; delete from events where id = '{add-event}'`, want: "licenses {counted} terms"},
	{name: "added units that never reach their container", sql: `delete from earmarks where license = '{counted}'`, want: "earmarks {counted}/*"},

	// Subscriptions.
	{name: "a subscription that lasts longer", sql: `update subscriptions set ends = ends + 86400000000 where id = '{paid}'`, want: "subscriptions {paid} ends"},
	{name: "a cancellation taken away", sql: `update subscriptions set canceled = 0, told = 'active' where id = '{notice}'`, want: "subscriptions {notice} canceled"},
	{name: "a subscription that is never due", sql: `update subscriptions set due = 0 where id = '{monthly}'`, want: "subscriptions {monthly} due"},
	{name: "a subscription of fewer licenses", sql: `update subscriptions set quantity = 1 where id = '{monthly}'`, want: "subscriptions {monthly} quantity"},
	{name: "a subscription of another product", sql: `update subscriptions set product = 'CAD' where id = '{monthly}'`, want: "subscriptions {monthly} product"},
	{name: "a change that waits, taken away", sql: `update subscriptions set changes = 0 where id = '{monthly}'`, want: "subscriptions {monthly} changes"},
	{name: "a longer grace", sql: `update subscriptions set grace = grace * 4 where id = '{paid}'`, want: "subscriptions {paid} grace"},
	{name: "a subscription of another order", sql: `update subscriptions set order_id = '{order}' where id = '{paid}'`, want: "subscriptions {paid} order_id"},
	{name: "one that lapsed revived", sql: `update subscriptions set told = 'active' where id = '{lapsed}'`, want: "subscriptions {lapsed} told"},
	{name: "a subscription deleted", sql: `delete from subscription_lines where subscription = '{paid}'; delete from subscriptions where id = '{paid}'`, want: "subscriptions {paid}"},
	{name: "a subscription invented", sql: `insert into subscriptions (id, order_id, product, item, quantity, lead, period, notice, grace, anchor, run, ends, told, due, created) select 'sub_zz', '{other-order}', product, item, quantity, lead, period, notice, grace, anchor, run, ends, told, due, created from subscriptions where id = '{paid}'`, want: "subscriptions sub_zz"},
	{name: "a period deleted", sql: `delete from subscription_lines where subscription = '{monthly}' and number = 2`, want: "subscription_lines {monthly}/2"},
	{name: "a period inserted", sql: `insert into subscription_lines (subscription, number, kind, period, starts, ends, product, item, quantity, made) select subscription, 99, kind, 99, starts, ends, product, item, quantity, made from subscription_lines where subscription = '{monthly}' and number = 1`, want: "subscription_lines {monthly}/99"},
	{name: "fewer licenses billed", sql: `update subscription_lines set quantity = quantity - 1 where subscription = '{monthly}' and number = 1`, want: "subscription_lines {monthly}/1 quantity"},
	{name: "a payment under another reference", sql: `update subscription_lines set reference = 'INV-9' where subscription = '{paid}' and reference = 'INV-1'`, want: "subscription_lines {paid}/2 reference"},
	{name: "a shorter period billed", sql: `update subscription_lines set ends = ends - 86400000000 where subscription = '{paid}' and number = 1`, want: "subscription_lines {paid}/1 ends"},
	{name: "units used of a subscription forgotten", sql: `update subscription_usage set units = units - 1 where subscription = '{paid}'`, want: "subscription_usage * units"},
	{name: "units used of a subscription invented", sql: `insert into subscription_usage (subscription, day, license, product, units) values ('{paid}', 1, '{paid-license}', 'PREPAID', 5)`, want: "subscription_usage {paid}/1/{paid-license} units"},
	{name: "a license taken out of its subscription", sql: `update licenses set subscription = '' where id = '{paid-license}'`, want: "licenses {paid-license} subscription"},
	{name: "a license put into a subscription", sql: `update licenses set subscription = '{paid}' where id = '{never}'`, want: "licenses {never} subscription"},
	{name: "a license that outlasts its subscription", sql: `update licenses set terms = replace(terms, '"expires_at":"202', '"expires_at":"203') where id = '{paid-license}'`, want: "licenses {paid-license} terms"},
	{name: "a license of a lapsed subscription prolonged", sql: `update licenses set terms = replace(terms, '"expires_at":"202', '"expires_at":"203') where subscription = '{lapsed}'`, want: "licenses * terms"},
	{name: "a renewal that never reaches its container", sql: `delete from earmarks where license = '{paid-license}'`, want: "earmarks {paid-license}/*"},
	{name: "a renewal deleted", sql: `delete from event_subjects where event_id = '{renewal}'; delete from events where id = '{renewal}'`, want: "subscription_lines {paid}/3"},
	{name: "a period renewed twice, with event and rows", do: renewedTwice, want: "events evt_zz"},
	{name: "a period left out, with event and rows", do: renewedLate, want: "events evt_zz"},

	// What the vendor has ordered, and what was lost.
	{name: "an order deleted", sql: `delete from earmarks where license = '{waiting}'`, want: "earmarks {waiting}/*"},
	{name: "an order deleted, seen by the container", sql: `update containers set earmarks = 0 where serial = '{waiting-box}'`, want: "containers {waiting-box} earmarks"},
	{name: "an order invented", sql: `insert into earmarks (id, container, kind, license, generation, actor, reason, created) select 'ear_00', '{c}', 'withdraw', '{collected}', 1, actor, reason, created from earmarks where license = '{waiting}'`, want: "earmarks ear_00"},
	{name: "an order said to be issued", sql: `update earmarks set step = 1 where license = '{waiting}'`, want: "earmarks * step"},
	{name: "an order moved to another container", sql: `update earmarks set container = '{c}' where license = '{waiting}'`, want: "earmarks {waiting}/*"},
	{name: "an order of another kind", sql: `update earmarks set kind = 'recall' where license = '{waiting}'`, want: "earmarks {waiting}/*"},
	{name: "an order by somebody else", sql: `update earmarks set actor = 'nobody' where license = '{waiting}'`, want: "earmarks * actor"},
	{name: "an order for another reason", sql: `update earmarks set reason = 'because' where license = '{waiting}'`, want: "earmarks * reason"},
	{name: "another license to come in", sql: `update earmarks set with_license = '{never}' where with_license = '{reserved}'`, want: "earmarks * with_license"},
	{name: "the removal of a lost copy deleted", sql: `delete from earmarks where license = '{lost}' and container = '{lost-in}'`, want: "earmarks {lost}/*"},
	{name: "what happens to a lost copy changed", sql: `update earmarks set found = 'revived' where license = '{lost}'`, want: "earmarks * found"},
	{name: "the removal of a lost copy of another generation", sql: `update earmarks set generation = generation + 5 where license = '{lost}' and container = '{lost-in}'`, want: "earmarks {lost}/*"},
	{name: "a withdrawal forgotten", sql: `update licenses set withdrawn = 0 where id = '{waiting}'`, want: "licenses {waiting} withdrawn"},
	{name: "a withdrawn license revived", sql: `update licenses set state = 'returned', withdrawn = 0 where id = '{withdrawn}'`, want: "licenses {withdrawn} state"},
	{name: "a withdrawn license issued again, with event and state", do: reissue, want: "events evt_zz "},
	{name: "a reservation taken away", sql: `update licenses set reserved = '' where id = '{assigned}'`, want: "licenses {assigned} reserved"},
	{name: "a replacement freed before its time", sql: `update licenses set reserved = '' where id = '{reserved}'`, want: "licenses {reserved} reserved"},
	{name: "a reservation invented", sql: `update licenses set reserved = '{a}' where id = '{never}'`, want: "licenses {never} reserved"},
	{name: "a replacement that replaces nothing", sql: `update licenses set replaces = '' where id = '{replacement}'`, want: "licenses {replacement} replaces"},
	{name: "a replacement forgotten", sql: `update licenses set replaced_by = '' where id = '{replaced}'`, want: "licenses {replaced} replaced_by"},
	{name: "a replacement deleted, seen by the order", sql: `delete from earmarks where with_license = '{reserved}'; delete from licenses where id = '{reserved}'`, want: "orders * licenses"},
	{name: "the terms of a replacement changed", sql: `update licenses set terms = replace(terms, '"seats":7', '"seats":70') where id = '{replacement}'`, want: "licenses {replacement} terms"},
	{name: "a generation turned back", sql: `update licenses set generation = 1 where id = '{lost}'`, want: "licenses {lost} generation"},
	{name: "a restore deleted", sql: `delete from restores where license = '{lost}' and generation = 1`, want: "restores {lost}/1"},
	{name: "a restore invented", sql: `insert into restores (license, generation, how, recovery, container, actor, time) select '{collected}', 1, how, recovery, container, actor, time from restores where license = '{lost}' and generation = 1`, want: "restores {collected}/1"},
	{name: "a restore granted in another way", sql: `update restores set how = 'staff' where license = '{lost}' and generation = 1`, want: "restores {lost}/1 how"},
	{name: "a restore by somebody else", sql: `update restores set actor = 'nobody' where license = '{lost}' and generation = 1`, want: "restores {lost}/1 actor"},
	{name: "a restore of another report", sql: `update restores set recovery = 0 where license = '{lost}' and generation = 1`, want: "restores {lost}/1 recovery"},
	{name: "the grant of a restore taken away", sql: `update recovery_licenses set outcome = 'refused' where license = '{lost}' and generation = 1`, want: "restores {lost}/1 grant"},
	{name: "the moment of a restore changed", sql: `update restores set time = time + 86400000000 where license = '{once}'`, want: "restores {once}/1 time"},
	{name: "a restore without a grant, with event and rows", do: restoreAlone, want: "restores {collected}/1 grant"},
	{name: "a lost copy left where it was once, with event and rows", do: restoreAlone, want: "events evt_zz details"},
	{name: "more restores allowed", sql: `update restore_grants set count = 50 where license = '{kept}'`, want: "restore_grants * count"},
	{name: "a restore given back", sql: `update restore_grants set used = used - 1 where license = '{once}'`, want: "restore_grants * used"},
	{name: "restores allowed by nobody", sql: `insert into restore_grants (id, license, count, actor, reason, created) values ('grt_00', '{collected}', 9, 'staff:thief', 'x', 1)`, want: "restore_grants grt_00"},
	{name: "what staff allowed deleted", sql: `delete from restore_grants where license = '{kept}'`, want: "restore_grants {kept}/*"},
	{name: "a recovery approved", sql: `update recoveries set state = 'approved' where state = 'waiting'`, want: "recoveries * state"},
	{name: "a recovery decided by somebody else", sql: `update recoveries set decided_by = 'nobody' where state = 'approved'`, want: "recoveries * decided_by"},
	{name: "another reason for a loss", sql: `update recoveries set reason = '' where state = 'approved'`, want: "recoveries * reason"},
	{name: "conditions that nobody accepted", sql: `update recoveries set accepted = 0 where accepted <> 0`, want: "recoveries * accepted"},
	{name: "a verdict of the policy changed", sql: `update recovery_licenses set verdict = 'grant' where outcome = 'waiting'`, want: "recovery_licenses * verdict"},
	{name: "an outcome changed", sql: `update recovery_licenses set outcome = 'restored' where outcome = 'waiting'`, want: "recovery_licenses * outcome"},
	{name: "a license taken out of a recovery", sql: `delete from recovery_licenses where outcome = 'waiting'`, want: "recovery_licenses *"},
	{name: "a recovery inserted", sql: `insert into recoveries (number, state, scope, hardware, tickets, customer, reason, created) values (999, 'waiting', 'license', '', '', '', 'x', 1)`, want: "recoveries 999"},

	// The block list.
	{name: "an entry of the block list deleted", sql: `delete from blocks where subject = '{lost}' and generation = 1`, want: "blocks *"},
	{name: "an entry of the block list lifted", sql: `update blocks set lifted = added + 1 where subject = '{lost}' and generation = 1`, want: "blocks * lifted"},
	{name: "an entry of the block list for another", sql: `update blocks set subject = '{collected}' where subject = '{lost}' and generation = 1`, want: "blocks * subject"},
	{name: "an entry of the block list inserted", sql: `insert into blocks (kind, subject, generation, added, reason, created) values ('container', '{c}', 0, 999, 'x', 1)`, want: "blocks 999"},
	{name: "the block list turned back", sql: `update vendor set list = list - 1`, want: "vendor {vendor} list"},
	{name: "a block taken away", sql: `update containers set block_reason = '', block_time = 0 where serial = '{blocked}'`, want: "containers {blocked} block_reason"},
	{name: "a block invented", sql: `update containers set block_reason = 'x' where serial = '{a}'`, want: "containers {a} block_reason"},
	{name: "fewer seats said to be lent", sql: `update containers set lent = replace(lent, '"seats":2', '"seats":1') where serial = '{a}'`, want: "containers {a} lent"},
	{name: "seats said to be back", sql: `update containers set lent = '' where serial = '{a}'`, want: "containers {a} lent"},
	{name: "seats said to be lent", sql: `update containers set lent = '[{}]' where serial = '{c}'`, want: "containers {c} lent"},
	{name: "a container said to be open", sql: `update containers set closed = 0 where serial = '{closed}'`, want: "containers {closed} closed"},
	{name: "a container said to be closed", sql: `update containers set closed = 1 where serial = '{opened}'`, want: "containers {opened} closed"},
	{name: "a lock left out of a step's event", do: unlocked, want: "events * details"},

	// Orders and tickets.
	{name: "a ticket moved to another order", sql: `update tickets set order_id = '{order}' where id = '{other-ticket}'`, want: "tickets {other-ticket} order_id"},
	{name: "a ticket's look-up replaced", sql: `update tickets set lookup = $1 where id = '{ticket}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "tickets {ticket} lookup"},
	{name: "a ticket's copy replaced", sql: `update tickets set sealed = $1 where id = '{ticket}'`, args: []any{[]byte("x")}, want: "tickets {ticket} lookup"},
	{name: "a second ticket", sql: `insert into tickets (id, order_id, lookup, sealed, created) select 'tic_00', order_id, $1, sealed, created from tickets where id = '{ticket}'`, args: []any{[]byte("y")}, want: "tickets tic_00 order_id"},
	{name: "a customer changed", sql: `update orders set customer = 'Thief' where id = '{order}'`, want: "orders {order} customer"},
	{name: "an order's number changed", sql: `update orders set number = '9999' where id = '{order}'`, want: "orders {order} number"},
	{name: "an order inserted", sql: `insert into orders (id, number, customer, created) values ('ord_00', '7', 'Thief', 1)`, want: "orders ord_00"},

	// Steps.
	{name: "a byte of a step flipped", do: flip("steps", "signed", "container = '{a}' and number = 1", 100), want: "steps {a}/1 signed"},
	{name: "a signature replaced", do: flip("steps", "signed", "container = '{a}' and number = 1", -5), want: "steps {a}/1 signed"},
	{name: "a step replaced by another container's", sql: `update steps set signed = (select signed from steps where container = '{c}' and number = 1) where container = '{a}' and number = 1`, want: "steps {a}/1 signed"},
	{name: "a step replaced by a later one", sql: `update steps set signed = (select signed from steps where container = '{a}' and number = 2) where container = '{a}' and number = 1`, want: "steps {a}/1 signed"},
	{name: "a step removed", sql: `delete from step_ops where container = '{a}' and number = 2; delete from steps where container = '{a}' and number = 2`, want: "steps {a}/2"},
	{name: "the last step removed, and what tells of it in its container", sql: `delete from step_ops where container = '{e}' and number = 1; delete from steps where container = '{e}' and number = 1; update containers set issued = 0, acked = 0 where serial = '{e}'`, want: "steps {e}/1"},
	{name: "a step's time changed", sql: `update steps set time = time + 1 where container = '{a}' and number = 1`, want: "steps {a}/1 time"},
	{name: "a plan hash changed", sql: `update steps set plan = $1 where container = '{a}' and number = 1`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "steps {a}/1 plan"},
	{name: "a life hash changed", sql: `update steps set life = $1 where container = '{a}' and number = 1`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "steps {a}/1 life"},
	{name: "a life hash forgotten", sql: `update steps set life = null where container = '{a}' and number = 1`, want: "steps {a}/1 life"},
	{name: "a life hash invented", sql: `update steps set life = $1 where container = '{a}' and number = (select max(number) from steps where container = '{a}')`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "steps {a}/* life"},

	// Operations.
	{name: "an operation for another license", sql: `update step_ops set license = '{never}' where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 license"},
	{name: "an operation turned round", sql: `update step_ops set kind = 2 where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 kind"},
	{name: "an operation's phase changed", sql: `update step_ops set phase = 3 where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 phase"},
	{name: "an operation's generation changed", sql: `update step_ops set generation = 2 where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 generation"},
	{name: "an operation's product changed", sql: `update step_ops set product = 'TEAM' where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 product"},
	{name: "an operation removed", sql: `delete from step_ops where container = '{a}' and number = 1 and place = 1`, want: "step_ops {a}/1/1"},
	{name: "an operation added", sql: `insert into step_ops select container, number, 99, kind, phase, '{never}', generation, product, body from step_ops where container = '{a}' and number = 1 and place = 1`, want: "step_ops {a}/1/99"},
	{name: "a body swapped", sql: `update step_ops set body = (select body from step_ops where container = '{a}' and number = 1 and place = 1) where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 body"},
	{name: "a byte of a body flipped", do: flip("step_ops", "body", "container = '{a}' and number = 1 and place = 0", 60), want: "step_ops {a}/1/0 body"},
	{name: "a body removed", sql: `update step_ops set body = null where container = '{a}' and number = 1 and place = 0`, want: "step_ops {a}/1/0 body"},

	// Containers.
	{name: "acknowledged raised", sql: `update containers set acked = acked + 1 where serial = '{a}'`, want: "containers {a} acked"},
	{name: "acknowledged lowered", sql: `update containers set acked = acked - 1 where serial = '{a}'`, want: "containers {a} acked"},
	{name: "the life hash of a container changed", sql: `update containers set acked_life = $1 where serial = '{a}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "containers {a} acked_life"},
	{name: "issued raised", sql: `update containers set issued = issued + 1 where serial = '{a}'`, want: "containers {a} issued"},
	{name: "the plan hash of a container changed", sql: `update containers set issued_plan = $1 where serial = '{a}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "containers {a} issued_plan"},
	{name: "a container's signing key replaced", sql: `update containers set signing_key = (select signing_key from containers where serial = '{c}') where serial = '{a}'`, want: "containers {a} serial"},
	{name: "a container's sealing key replaced", sql: `update containers set sealing_key = (select sealing_key from containers where serial = '{c}') where serial = '{a}'`, want: "containers {a} serial"},
	{name: "a container's kind changed", sql: `update containers set kind = 'cloud' where serial = '{a}'`, want: "containers {a} kind"},
	{name: "a container's beginning changed", sql: `update containers set first_seen = 1 where serial = '{a}'`, want: "containers {a} first_seen"},
	{name: "a container inserted", sql: `insert into containers (serial, kind, signing_key, sealing_key, binding, issued_plan, acked_life, first_seen, last_seen) select 'AAAA', kind, signing_key, sealing_key, binding, issued_plan, acked_life, first_seen, last_seen from containers where serial = '{a}'`, want: "containers AAAA"},
	{name: "a flag cleared", sql: `update containers set flag_reason = '', flag_time = 0, flag_number = 0, flag_life = null, flag_acceptable = 0 where serial = '{flagged}'`, want: "containers {flagged} flag_reason"},
	{name: "a flag invented", sql: `update containers set flag_reason = 'because' where serial = '{a}'`, want: "containers {a} flag_reason"},
	{name: "a flag made acceptable", sql: `update containers set flag_acceptable = 1 - flag_acceptable where serial = '{flagged}'`, want: "containers {flagged} flag_acceptable"},
	{name: "the life of a flag replaced", sql: `update containers set flag_life = $1 where serial = '{flagged}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "containers {flagged} flag_life"},
	{name: "a proof removed", sql: `delete from proofs where id = '{proof}'`, want: "proofs {proof}"},
	{name: "a proof replaced", sql: `update proofs set report = (select report from answers where container = '{a}' limit 1) where id = '{proof}'`, want: "proofs {proof} report"},
	{name: "an answer replaced", sql: `update answers set answer = report where container = '{a}' and issued = 1`, want: "answers * answer"},
	{name: "a report replaced", sql: `update answers set report = (select report from answers where container = '{c}' limit 1) where container = '{a}' and issued = 1`, want: "answers * report"},

	// Events and the audit log.
	{name: "an event deleted", sql: `delete from event_subjects where event_id = '{put-event}'; delete from events where id = '{put-event}'`, want: "events * audit"},
	{name: "an event deleted, seen by the license", sql: `delete from event_subjects where event_id = '{put-event}'; delete from events where id = '{put-event}'`, want: "licenses {collected} state"},
	{name: "an event not yet in the log deleted", sql: `delete from event_subjects where event_id = '{tail-event}'; delete from events where id = '{tail-event}'`, want: "containers {e} acked"},
	{name: "an event edited", sql: `update events set details = replace(details, '"generation":1', '"generation":2') where id = '{put-event}'`, want: "events {put-event} audit"},
	{name: "an event's actor changed", sql: `update events set actor = 'nobody' where id = '{put-event}'`, want: "events {put-event} audit"},
	{name: "an event edited, leaf and all", do: rewrite("{put-event}"), want: "events {put-event} audit"},
	{name: "an event about something else", sql: `update event_subjects set subject_id = '{never}' where event_id = '{put-event}' and kind = 'license'`, want: "events {put-event} audit"},
	{name: "a step's event edited", sql: `update events set details = replace(details, 'CAD', 'CAR') where id = '{step-event}'`, want: "events {step-event} details"},
	{name: "an event inserted", sql: `insert into events (id, time, actor, name, before_hash, after_hash, reason, request, details, leaf) select 'evt_zz', time, actor, name, before_hash, after_hash, reason, request, details, leaf from events where id = '{put-event}'`, want: "events evt_zz audit"},
	{name: "a receipt invented, with event and state", do: invent, want: "licenses {returning} state"},
	{name: "a sale invented, with event and license", do: sell, want: "events * subjects"},
	{name: "the order of events changed", sql: `update events set sequence = 100000 where sequence = 5; update events set sequence = 5 where sequence = 6; update events set sequence = 6 where sequence = 100000`, want: "events * audit"},
	{name: "a hash of the audit log changed", sql: `update audit_hashes set hash = $1 where position = 3`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "events * audit"},
	{name: "a hash of the audit log deleted", sql: `delete from audit_hashes where position = 0`, want: "events * audit"},
	{name: "a leaf changed", sql: `update events set leaf = $1 where id = '{put-event}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "events {put-event} audit"},
	{name: "a checkpoint changed", sql: `update audit_checkpoints set note = replace(note, 'licet', 'licit')`, want: "audit-log * "},
	{name: "the checkpoints deleted", sql: `delete from audit_checkpoints`, want: "audit-log * "},
	{name: "the audit log cut", sql: `update audit_state set size = size - 1`, want: "events * audit"},

	// Keys, products, tokens.
	{name: "a certificate swapped", sql: `update keys set certificate = (select certificate from keys where id = '{sealing}') where id = '{issuing}'`, want: "keys {issuing} certificate"},
	{name: "a key replaced", sql: `update keys set public = $1 where id = '{issuing}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "keys {issuing} id"},
	{name: "a key inserted", sql: `insert into keys (id, use, public, private, certificate, created) select 'k', use, public, private, null, created from keys where id = '{issuing}'`, want: "keys k certificate"},
	{name: "the root replaced", sql: `update keys set public = $1 where id = '{root}'`, args: []any{bytes.Repeat([]byte{7}, 32)}, want: "keys {root} public"},
	{name: "the audit key replaced", sql: `update keys set public = (select public from keys where id = '{root}') where id = '{audit}'`, want: "keys {audit} id"},
	{name: "the vendor's name changed", sql: `update vendor set name = 'Thief'`, want: "vendor {vendor} name"},
	{name: "the vendor's address changed", sql: `update vendor set address = 'http://thief'`, want: "vendor {vendor} address"},
	{name: "the trust bundle destroyed", do: flip("vendor", "trust", "true", 120), want: "vendor {vendor} trust"},
	{name: "the epoch lowered", sql: `update vendor set epoch = 0`, want: "vendor {vendor} epoch"},
	{name: "a product changed behind the catalog", sql: `update products set spec = replace(spec, '"deactivation":true', '"deactivation":false') where code = 'CAD'`, want: "products CAD spec"},
	{name: "a category renamed", sql: `update categories set name = 'x'`, want: "categories DESIGN name"},
	{name: "a product deleted", sql: `delete from products where code = 'SPARE'`, want: "products SPARE"},
	{name: "a product inserted", sql: `insert into products (code, spec) select 'FREE', spec from products where code = 'CAD'`, want: "products FREE"},
	{name: "a bundle changed behind the catalog", sql: `update bundles set spec = replace(spec, 'TEAM=2', 'TEAM=9')`, want: "bundles BOTH spec"},
	{name: "a bundle deleted", sql: `delete from bundles`, want: "bundles BOTH"},
	{name: "a token's scopes widened", sql: `update tokens set scopes = 'admin' where id = '{shop}'`, want: "tokens {shop} scopes"},
	{name: "a revoked token revived", sql: `update tokens set revoked = 0 where id = '{gone}'`, want: "tokens {gone} revoked"},
	{name: "a token inserted", sql: `insert into tokens (id, name, scopes, hash, created) values ('tok_00', 'thief', 'admin', $1, 1)`, args: []any{[]byte("h")}, want: "tokens tok_00"},
	{name: "the first token deleted", sql: `delete from tokens where id = '{admin}'`, want: "tokens {admin}"},
}

func copyLicense(id, order, ticket string) string {
	return `insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, created)
select ` + id + `, ` + order + `, ` + ticket + `, product, item, features, terms, state, generation, created from licenses where id = '{never}'`
}

// planting is one change, in one transaction.
type planting struct {
	t    testing.TB
	tx   *store.Tx
	name map[string]string
}

// fill puts the story's names in.
func fill(text string, name map[string]string) string {
	for n, v := range name {
		text = strings.ReplaceAll(text, "{"+n+"}", v)
	}
	return text
}

// exec runs statements, each of which changes something.
func (h *planting) exec(statements string, args ...any) {
	h.t.Helper()
	for _, s := range strings.Split(statements, "; ") {
		n, err := h.tx.Exec(fill(s, h.name), args...)
		must(h.t, err)
		if n == 0 {
			h.t.Fatalf("changed nothing: %s", s)
		}
	}
}

// flip changes a byte in the middle of a value, from its end if at is negative.
func flip(table, column, where string, at int) func(*planting) {
	return func(h *planting) {
		var b []byte
		must(h.t, h.tx.QueryRow(fill("select "+column+" from "+table+" where "+where, h.name)).Scan(&b))
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		h.exec("update "+table+" set "+column+" = $1 where "+where, b)
	}
}

// rewrite changes an event and gives it the leaf that fits.
func rewrite(id string) func(*planting) {
	return func(h *planting) {
		all, err := h.tx.AllEvents("", 1000)
		must(h.t, err)
		for _, e := range all {
			if e.ID == fill(id, h.name) {
				e.Actor = "nobody"
				leaf := e.LeafHash()
				h.exec("update events set actor = 'nobody', leaf = $1 where id = '"+id+"'", leaf[:])
			}
		}
	}
}

// invent frees a license as the product would, with an event that fits: only the
// container's receipt is missing.
func invent(h *planting) {
	h.exec(`update licenses set state = 'returned', holder = null where id = '{returning}'`)
	var step, now int64
	must(h.t, h.tx.QueryRow(fill(`select step from licenses where id = '{returning}'`, h.name)).Scan(&step))
	must(h.t, h.tx.QueryRow(`select max(time) from events`).Scan(&now))
	details, err := json.Marshal(map[string]any{"from": "returning", "to": "returned", "generation": 1, "step": step, "product": "CAD"})
	must(h.t, err)
	must(h.t, h.tx.AppendEvent(store.Event{ID: "evt_zz", Time: now, Actor: "container:" + h.name["a"], Name: "drop_confirmed", Details: details,
		Subjects: []store.Subject{{Kind: "license", ID: h.name["returning"]}, {Kind: "container", ID: h.name["a"]}, {Kind: "order", ID: h.name["order"]}}}))
}

// sell adds a license that nobody bought, with an event that does not say so.
func sell(h *planting) {
	h.exec(copyLicense("'lic_zz'", "order_id", "ticket_id"))
	must(h.t, h.tx.AppendEvent(store.Event{ID: "evt_zz", Time: 1, Actor: "staff:admin", Name: "order_extended",
		Details:  json.RawMessage(`{"number":"1002","customer":"Buyer","items":[],"added":0}`),
		Subjects: []store.Subject{{Kind: "order", ID: h.name["other-order"]}, {Kind: "ticket", ID: h.name["other-ticket"]}, {Kind: "license", ID: "lic_zz"}}}))
}

// last is the newest moment, for an event that comes after all others.
func (h *planting) last() (now int64) {
	h.t.Helper()
	must(h.t, h.tx.QueryRow(`select max(time) from events`).Scan(&now))
	return now
}

func (h *planting) event(name, reason string, details map[string]any, subjects ...store.Subject) {
	h.t.Helper()
	text, err := json.Marshal(details)
	must(h.t, err)
	must(h.t, h.tx.AppendEvent(store.Event{ID: "evt_zz", Time: h.last(), Actor: "staff:admin", Name: name, Reason: reason, Details: text, Subjects: subjects}))
}

// fallen sets a counter back as a report never does, with the row that fits.
func fallen(h *planting) {
	h.exec(`update licenses set used = 20 where id = '{counted}'`)
	h.event("units_counted", "", map[string]any{"used": 20, "was": 1150, "units": 1530, "generation": 1, "product": "PREPAID"},
		store.Subject{Kind: "license", ID: h.name["counted"]}, store.Subject{Kind: "container", ID: h.name["counter"]})
}

// addition adds more than it says, with the row that fits.
func addition(h *planting) {
	h.exec(`update licenses set terms = replace(terms, '"units":1000', '"units":2000') where id = '{counted-again}'`)
	h.event("units_added", "a gift", map[string]any{"added": 10, "was": 1000, "units": 2000, "generation": 2, "product": "PREPAID"},
		store.Subject{Kind: "license", ID: h.name["counted-again"]})
}

// renewedTwice adds a period over the one that there is, with everything that belongs
// to it.
func renewedTwice(h *planting) { renewedBy(h, 0) }

// renewedLate adds a period that does not follow the last one.
func renewedLate(h *planting) { renewedBy(h, 86_400_000_000) }

func renewedBy(h *planting, late int64) {
	var starts, ends, last int64
	must(h.t, h.tx.QueryRow(fill(`select starts, ends, number from subscription_lines where subscription = '{paid}' order by number desc limit 1`, h.name)).Scan(&starts, &ends, &last))
	if late > 0 {
		starts, ends = ends+late, ends+ends-starts+late
	}
	h.exec(fmt.Sprintf(`insert into subscription_lines (subscription, number, kind, period, starts, ends, product, item, quantity, made) select '{paid}', %d, 'period', %d, %d, %d, product, item, quantity, %d from subscription_lines where subscription = '{paid}' and number = 1`,
		last+1, last+1, starts, ends, h.last()))
	h.exec(fmt.Sprintf(`update subscriptions set ends = %d, run = run + 1, due = %[1]d where id = '{paid}'`, ends))
	var details map[string]any
	var text string
	must(h.t, h.tx.QueryRow(fill(`select details from events where id = '{renewal}'`, h.name)).Scan(&text))
	must(h.t, json.Unmarshal([]byte(text), &details))
	facts := details["facts"].(map[string]any)
	facts["ends"], facts["run"] = license.Time(ends), facts["run"].(float64)+1
	details["lines"] = []map[string]any{{"number": last + 1, "kind": "period", "period": last + 1, "starts": license.Time(starts), "ends": license.Time(ends), "product": "PREPAID", "item": facts["item"], "quantity": 1}}
	h.event("subscription_renewed", "", details, store.Subject{Kind: "subscription", ID: h.name["paid"]}, store.Subject{Kind: "order", ID: h.name["paid-order"]},
		store.Subject{Kind: "license", ID: h.name["paid-license"]})
}

// reissue issues a withdrawn license as the product never would.
func reissue(h *planting) {
	h.exec(`update licenses set state = 'collecting', holder = '{c}', step = 99 where id = '{withdrawn}'`)
	h.event("put_issued", "", map[string]any{"from": "gone", "to": "collecting", "generation": 1, "step": 99, "product": "CAD"},
		store.Subject{Kind: "license", ID: h.name["withdrawn"]}, store.Subject{Kind: "container", ID: h.name["c"]})
}

// restoreAlone ends a generation as the product does, with everything that
// belongs to it but for a grant, and leaves the copy where it is.
func restoreAlone(h *planting) {
	h.exec(`update licenses set state = 'not_collected', holder = null, step = 0, generation = 2 where id = '{collected}'`)
	h.exec(`insert into restores (license, generation, how, recovery, container, actor, time) select '{collected}', 1, 'automatic', 0, '{a}', 'staff:admin', max(time) from events`)
	h.event("restored", "", map[string]any{"from": "collected", "to": "not_collected", "generation": 1, "product": "CAD", "how": "automatic", "recovery": 0,
		"containers": []string{}, "stop": "return", "found": "withdrawn"},
		store.Subject{Kind: "license", ID: h.name["collected"]}, store.Subject{Kind: "order", ID: h.name["order"]}, store.Subject{Kind: "container", ID: h.name["a"]})
}

// mergeMore gives a license more seats than a part had, as if they had been merged.
func mergeMore(h *planting) {
	h.exec(`update licenses set seats = seats + 5 where id = '{whole}'`)
	var now int64
	must(h.t, h.tx.QueryRow(fill(`select seats from licenses where id = '{whole}'`, h.name)).Scan(&now))
	h.event("merged", "", map[string]any{"from": "returned", "to": "gone", "generation": 1, "step": 0, "what": "seats", "amount": 5, "part": h.name["merged"], "into": h.name["whole"], "now": now},
		store.Subject{Kind: "license", ID: h.name["merged"]}, store.Subject{Kind: "license", ID: h.name["whole"]}, store.Subject{Kind: "order", ID: h.name["parts-order"]})
}

// splitMore splits off more seats than a license has.
func splitMore(h *planting) {
	h.exec(`insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, activated, created, seats, origin)
select 'lic_zz', order_id, ticket_id, product, item, features, terms, state, 1, activated, created, 7, id from licenses where id = '{whole}'`)
	h.event("split", "", map[string]any{"what": "seats", "amount": 7, "had": 8, "left": 1, "of": h.name["whole"], "part": "lic_zz", "whole": h.name["whole"], "state": "not_collected", "generation": 1},
		store.Subject{Kind: "license", ID: h.name["whole"]}, store.Subject{Kind: "license", ID: "lic_zz"}, store.Subject{Kind: "order", ID: h.name["parts-order"]})
}

// splitUnits splits off more units than a license has.
func splitUnits(h *planting) {
	h.exec(`insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, activated, created, seats, origin)
select 'lic_zz', order_id, ticket_id, product, item, features, terms, state, 1, activated, created, 1, id from licenses where id = '{unit-whole}'`)
	h.event("split", "", map[string]any{"what": "units", "amount": 600, "had": 1200, "left": 600, "of": h.name["unit-whole"], "part": "lic_zz", "whole": h.name["unit-whole"], "state": "returned", "generation": 1},
		store.Subject{Kind: "license", ID: h.name["unit-whole"]}, store.Subject{Kind: "license", ID: "lic_zz"}, store.Subject{Kind: "order", ID: h.name["unit-order"]})
}

// unlocked takes the lock out of what the events say of a step.
func unlocked(h *planting) {
	h.exec(`update events set details = replace(details, '"lock":"lock"', '"lock":""') where name = 'step_issued' and details like '%"lock":"lock"%'`)
}

// matches reports whether a finding is the one wanted.
func matches(f verify.Finding, want string) bool {
	parts := strings.SplitN(strings.TrimSuffix(want, " "), " ", 3)
	if parts[0] == "audit-log" {
		return f.Table == "audit log"
	}
	ok := f.Table == parts[0]
	if pattern, is := strings.CutSuffix(parts[1], "*"); is {
		ok = ok && strings.HasPrefix(f.Key, pattern)
	} else {
		ok = ok && f.Key == parts[1]
	}
	if len(parts) == 2 {
		return ok && f.Column == ""
	}
	return ok && f.Column == parts[2]
}

// kept are the tables in an order in which rows can be put in.
var kept = []string{"vendor", "keys", "categories", "products", "bundles", "orders", "tickets", "licenses", "containers", "steps", "step_ops", "answers", "proofs",
	"earmarks", "restores", "restore_grants", "recoveries", "recovery_licenses", "recovery_notes", "blocks", "order_words",
	"subscriptions", "subscription_lines", "subscription_usage", "tokens", "events", "event_subjects", "audit_hashes", "audit_state", "audit_checkpoints", "gaps"}

func TestPlantedCorruptionsAreNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		b, name := story(t, db)
		plant(t, db, b, name, planted)
	})
}

// plant does one after the other behind the product's back, and looks for each.
func plant(t *testing.T, db *store.DB, b *book, name map[string]string, planted []corruption) {
	do := func(fn func(exec func(string, ...any))) {
		t.Helper()
		must(t, db.Write(t.Context(), func(tx *store.Tx) error {
			fn(func(q string, table ...any) {
				_, err := tx.Exec(fmt.Sprintf(q, table...))
				must(t, err)
			})
			return nil
		}))
	}
	do(func(exec func(string, ...any)) {
		for _, table := range kept {
			exec("create table kept_%s as select * from %[1]s", table)
		}
	})
	for i, p := range planted {
		if (db.Engine() == "sqlite") != (i%10 == 0) && os.Getenv("LICET_TEST_LONG") == "" {
			continue // what is found does not depend on the engine; SQLite is slow with the race detector
		}
		t.Run(p.name, func(t *testing.T) {
			must(t, db.Write(t.Context(), func(tx *store.Tx) error {
				h := &planting{t, tx, name}
				if p.do != nil {
					p.do(h)
				} else {
					h.exec(p.sql, p.args...)
				}
				return nil
			}))
			r, err := verify.Run(t.Context(), db, verify.Options{Trust: b.file})
			must(t, err)
			wanted, found := fill(p.want, name), false
			for _, f := range r.Findings {
				t.Log(f)
				found = found || matches(f, wanted)
			}
			if !found {
				t.Errorf("not found: %s", wanted)
			}
		})
		do(func(exec func(string, ...any)) {
			for _, table := range slices.Backward(kept) {
				exec("delete from %s", table)
			}
			for _, table := range kept {
				exec("insert into %s select * from kept_%[1]s", table)
			}
		})
	}
	r, err := verify.Run(t.Context(), db, verify.Options{Trust: b.file})
	must(t, err)
	if !r.OK() {
		t.Errorf("after all was put back: %v", r.Findings)
	}
}
