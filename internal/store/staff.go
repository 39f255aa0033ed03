package store

import (
	"strings"

	"licet/license"
)

// Staff is an account of the vendor's staff.
type Staff struct {
	ID, Name, Email string
	Password        string // argon2id, encoded
	Scopes          []string
	Created         license.Time
	Seen            license.Time // signed in last; 0 for never
	Disabled        license.Time // 0 while it may sign in
	Epoch           int64        // rises when every session of the account must end
}

const (
	staffColumns  = `select id, name, email, password, scopes, created, seen, disabled, epoch from staff `
	staffInsert   = `insert into staff (id, name, email, password, scopes, created) values ($1, $2, $3, $4, $5, $6)`
	staffByID     = staffColumns + `where id = $1`
	staffByName   = staffColumns + `where name = $1`
	staffAll      = staffColumns + `order by name`
	staffCount    = `select count(*) from staff`
	staffSeen     = `update staff set seen = $2 where id = $1`
	staffLock     = `update staff set epoch = epoch + 1 where name = $1 returning id, name, email, password, scopes, created, seen, disabled, epoch`
	staffUpdate   = `update staff set email = $2, password = $3, scopes = $4, disabled = $5 where id = $1`
	sessionFind   = `select data from sessions where token = $1 and expiry > $2`
	sessionStart  = `insert into sessions (token, data, expiry) values ($1, $2, $3)`
	sessionKeep   = `update sessions set data = $2, expiry = $3 where token = $1 and (data <> $2 or expiry < $4)`
	sessionEnd    = `delete from sessions where token = $1`
	sessionsClean = `delete from sessions where expiry <= $1`
)

func scanStaff(scan func(...any) error) (s Staff, err error) {
	var scopes string
	err = scan(&s.ID, &s.Name, &s.Email, &s.Password, &scopes, &s.Created, &s.Seen, &s.Disabled, &s.Epoch)
	s.Scopes = strings.Fields(scopes)
	return s, err
}

// InsertStaff stores an account; ErrConflict if the name is taken.
func (tx *Tx) InsertStaff(s Staff) error {
	_, err := tx.Exec(staffInsert, s.ID, s.Name, s.Email, s.Password, strings.Join(s.Scopes, " "), s.Created)
	return err
}

// Staff finds an account.
func (tx *Tx) Staff(id string) (Staff, error) { return scanStaff(tx.QueryRow(staffByID, id).Scan) }

// StaffByName finds an account by the name that it signs in with.
func (tx *Tx) StaffByName(name string) (Staff, error) {
	return scanStaff(tx.QueryRow(staffByName, name).Scan)
}

// AllStaff returns every account by name.
func (tx *Tx) AllStaff() ([]Staff, error) { return collect(tx, scanStaff, staffAll) }

// CountStaff counts the accounts.
func (tx *Tx) CountStaff() (n int64, err error) { return n, tx.QueryRow(staffCount).Scan(&n) }

// StaffSeen notes when an account signed in.
func (tx *Tx) StaffSeen(id string, now license.Time) error { return tx.one(staffSeen, id, now) }

// LockStaff locks an account until the transaction ends, ends its sessions, and
// gives it as it is then; ErrNotFound if there is none.
func (tx *Tx) LockStaff(name string) (Staff, error) {
	return scanStaff(tx.QueryRow(staffLock, name).Scan)
}

// UpdateStaff stores address, password, scopes and whether it may sign in.
func (tx *Tx) UpdateStaff(s Staff) error {
	return tx.one(staffUpdate, s.ID, s.Email, s.Password, strings.Join(s.Scopes, " "), s.Disabled)
}

// Session finds what is kept of a session that has not ended; ErrNotFound if
// there is none.
func (tx *Tx) Session(token string, now license.Time) (data []byte, err error) {
	return data, tx.QueryRow(sessionFind, token, now).Scan(&data)
}

// StartSession stores a session until it expires.
func (tx *Tx) StartSession(token string, data []byte, expiry license.Time) error {
	_, err := tx.Exec(sessionStart, token, data, expiry)
	return err
}

// KeepSession stores what changed of a session; one that has ended stays so.
// Where only the end has moved, and was not before the moment given, nothing is
// written.
func (tx *Tx) KeepSession(token string, data []byte, expiry, unless license.Time) error {
	_, err := tx.Exec(sessionKeep, token, data, expiry, unless)
	return err
}

// EndSession forgets a session.
func (tx *Tx) EndSession(token string) error {
	_, err := tx.Exec(sessionEnd, token)
	return err
}

// CleanSessions forgets the sessions that have expired.
func (tx *Tx) CleanSessions(now license.Time) error {
	_, err := tx.Exec(sessionsClean, now)
	return err
}
