package store

// Sealed is an encrypted value with its place in the database.
type Sealed struct {
	Table, Row string // Row as the value was sealed for
	Key        [2]string
	Value      []byte
	Ticket     Ticket // of a ticket's copy
}

// What is encrypted at rest, besides the keys: page by page, and anew.
const (
	ticketsSealed  = ticketColumns + `where id > $1 order by id limit $2`
	ticketRewrap   = `update tickets set sealed = $2 where id = $1`
	hookKeysSealed = `select id, secret from webhook_keys where id > $1 order by id limit $2`
	hookKeyRewrap  = `update webhook_keys set secret = $2 where id = $1`
)

// SealedTickets returns a page of the tickets after an id.
func (tx *Tx) SealedTickets(after string, limit int) ([]Sealed, error) {
	return collect(tx, func(scan func(...any) error) (s Sealed, err error) {
		t := &s.Ticket
		err = scan(&t.ID, &t.OrderID, &t.Lookup, &t.Sealed, &t.Created)
		s.Table, s.Row, s.Key[0], s.Value = "tickets", t.ID, t.ID, t.Sealed
		return s, err
	}, ticketsSealed, after, limit)
}

// SealedWebhookKeys returns a page of the webhooks' keys after an id.
func (tx *Tx) SealedWebhookKeys(after string, limit int) ([]Sealed, error) {
	return collect(tx, func(scan func(...any) error) (s Sealed, err error) {
		s.Table = "webhook_keys"
		err = scan(&s.Key[0], &s.Value)
		s.Row = s.Key[0]
		return s, err
	}, hookKeysSealed, after, limit)
}

// SealedAnswers returns a page of the answers that are kept for repetitions.
func (tx *Tx) SealedAnswers(after [2]string, limit int) ([]Sealed, error) {
	return collect(tx, func(scan func(...any) error) (s Sealed, err error) {
		s.Table = "once"
		err = scan(&s.Key[0], &s.Key[1], &s.Value)
		s.Row = s.Key[0] + "/" + s.Key[1]
		return s, err
	}, oncePage, after[0], after[1], limit)
}

// Rewrap stores a value as it is encrypted anew.
func (tx *Tx) Rewrap(s Sealed) error {
	switch s.Table {
	case "tickets":
		return tx.one(ticketRewrap, s.Key[0], s.Value)
	case "webhook_keys":
		return tx.one(hookKeyRewrap, s.Key[0], s.Value)
	default:
		_, err := tx.Exec(onceRewrap, s.Key[0], s.Key[1], s.Value) // it may be forgotten meanwhile
		return err
	}
}
