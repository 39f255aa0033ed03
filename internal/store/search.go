package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"licet/license"
)

// maxWord is how much of a word an order is found by, in bytes.
const maxWord = 60

// beyond sorts after every text that begins with what stands before it.
const beyond = "\U0010FFFF"

// Fold is a text as searching compares it.
func Fold(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	for len(text) > maxWord {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// Words are the folded words of a text.
func Words(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i := range words {
		words[i] = Fold(words[i])
	}
	return words
}

const (
	orderWordInsert = `insert into order_words (word, order_id) values ($1, $2) on conflict (word, order_id) do nothing`
	ordersByWord    = orderColumns + `where id in (select order_id from order_words where word >= $1 and word < $2 order by word, order_id desc limit $3) order by id desc`
	ordersCustomer  = orderColumns + `where customer = $1 and id < $2 order by id desc limit $3`
	orderStates     = `select state, count(*) from licenses where order_id = $1 and merged_into = '' group by state order by state`
	licensesOrderAt = licenseColumns + `where order_id = $1 and id > $2 and merged_into = '' order by id limit $3`
	licensesPrefix  = licenseColumns + `where id >= $1 and id < $2 order by id limit $3`

	containersPrefix  = containerColumns + `where serial >= $1 and serial < $2 order by serial limit $3`
	containersFlagged = containerColumns + `where flag_reason <> '' and serial > $1 order by serial limit $2`
	containersBlocked = containerColumns + `where block_reason <> '' and serial > $1 order by serial limit $2`
	containersCount   = `select count(*) from (select 1 from containers where flag_reason <> '' limit 100) f`

	recoveriesState    = recoveryColumns + `where state = $1 and number < $2 order by number desc limit $3`
	recoveriesCustomer = recoveryColumns + `where customer = $1 and number < $2 order by number desc limit $3`
	recoveriesCount    = `select count(*) from (select 1 from recoveries where state = 'waiting' limit 100) w`

	selectTimeline = selectEvents + `(SELECT h.* FROM event_subjects f JOIN events h ON h.id = f.event_id
  WHERE f.kind = $1 AND f.subject_id = $2 AND f.event_id < $3
  ORDER BY f.event_id DESC LIMIT $4) e` + joinSubjects + `ORDER BY e.id DESC, s.position`
	selectTrail = selectEvents + `(SELECT * FROM events WHERE id < $1 AND id >= $2
  AND ($3 = '' OR actor = $3) AND ($4 = '' OR name = $4) AND time >= $5 AND time < $6
  ORDER BY id DESC LIMIT $7) e` + joinSubjects + `ORDER BY e.id DESC, s.position`
	trailFloor = `select id from events where id < $1 order by id desc limit 1 offset $2`
)

var insertOrderWords = newManyRows(orderWordInsert, 2)

// indexOrder makes an order that is new one that can be found.
func (tx *Tx) indexOrder(o Order) error {
	seen := map[string]bool{}
	var args []any
	for _, w := range append([]string{Fold(o.Number), Fold(o.Customer)}, append(Words(o.Number), Words(o.Customer)...)...) {
		if w != "" && !seen[w] {
			seen[w] = true
			args = append(args, w, o.ID)
		}
	}
	return tx.manyLater(&insertOrderWords, args)
}

// OrdersByWord finds orders with a word that begins as given, newest first.
func (tx *Tx) OrdersByWord(prefix string, limit int) ([]Order, error) {
	return collect(tx, scanOrder, ordersByWord, prefix, prefix+beyond, limit)
}

// OrdersOf returns a page of a customer's orders, newest first.
func (tx *Tx) OrdersOf(customer, before string, limit int) ([]Order, error) {
	if before == "" {
		before = "~"
	}
	return collect(tx, scanOrder, ordersCustomer, customer, before, limit)
}

// StateCount is how many licenses are in a state.
type StateCount struct {
	State license.State
	Count int64
}

// OrderStates counts the licenses of an order by state.
func (tx *Tx) OrderStates(id string) ([]StateCount, error) {
	return collect(tx, func(scan func(...any) error) (c StateCount, err error) { return c, scan(&c.State, &c.Count) }, orderStates, id)
}

// OrderLicenses returns a page of the licenses of an order, oldest first.
func (tx *Tx) OrderLicenses(id, after string, limit int) ([]License, error) {
	return collect(tx, scanLicense, licensesOrderAt, id, after, limit)
}

// LicensesByPrefix finds licenses by the beginning of their ids.
func (tx *Tx) LicensesByPrefix(prefix string, limit int) ([]License, error) {
	return collect(tx, scanLicense, licensesPrefix, prefix, prefix+beyond, limit)
}

// ContainersByPrefix finds containers by the beginning of their serials.
func (tx *Tx) ContainersByPrefix(prefix string, limit int) ([]Container, error) {
	return collect(tx, scanContainer, containersPrefix, prefix, prefix+beyond, limit)
}

// FlaggedContainers returns a page of the containers that contradict the record.
func (tx *Tx) FlaggedContainers(after string, limit int) ([]Container, error) {
	return collect(tx, scanContainer, containersFlagged, after, limit)
}

// BlockedContainers returns a page of the containers that are blocked.
func (tx *Tx) BlockedContainers(after string, limit int) ([]Container, error) {
	return collect(tx, scanContainer, containersBlocked, after, limit)
}

// Waits counts the recoveries and containers that wait for staff, up to 100 each.
func (tx *Tx) Waits() (recoveries, containers int, err error) {
	if err := tx.QueryRow(recoveriesCount).Scan(&recoveries); err != nil {
		return 0, 0, err
	}
	return recoveries, containers, tx.QueryRow(containersCount).Scan(&containers)
}

// RecoveriesIn returns a page of the recoveries in a state, newest first.
func (tx *Tx) RecoveriesIn(state string, below uint64, limit int) ([]Recovery, error) {
	return collect(tx, scanRecovery, recoveriesState, state, last(below), limit)
}

// RecoveriesOfCustomer returns a page of a customer's recoveries, newest first.
func (tx *Tx) RecoveriesOfCustomer(customer string, below uint64, limit int) ([]Recovery, error) {
	return collect(tx, scanRecovery, recoveriesCustomer, customer, last(below), limit)
}

func last(below uint64) uint64 {
	if below == 0 {
		return 1<<63 - 1
	}
	return below
}

// Timeline gives the history of subject, newest first: its events whose id is
// before the given one, at most limit. Begin with "".
func (tx *Tx) Timeline(subject Subject, before string, limit int) ([]Event, error) {
	if before == "" {
		before = beyond
	}
	return tx.events(selectTimeline, subject.Kind, subject.ID, before, limit)
}

// TrailFilter picks events; the zero value picks all.
type TrailFilter struct {
	Actor, Name  string
	Since, Until license.Time // Until 0 for no end
}

// Trail gives events of the whole trail, newest first, at most limit, those
// before an id. It looks at so many events at most: no index helps a filter, and
// a page must not take long. Floor is the last id it looked at, "" at the end.
func (tx *Tx) Trail(f TrailFilter, before string, scan, limit int) (found []Event, floor string, err error) {
	if err := tx.writeEvents(); err != nil {
		return nil, "", err
	}
	if before == "" {
		before = beyond
	}
	until := f.Until
	if until == 0 {
		until = 1<<63 - 1
	}
	switch err := tx.QueryRow(trailFloor, before, scan-1).Scan(&floor); err {
	case nil, ErrNotFound:
	default:
		return nil, "", err
	}
	found, err = tx.events(selectTrail, before, floor, f.Actor, f.Name, f.Since, until, limit)
	return found, floor, err
}
