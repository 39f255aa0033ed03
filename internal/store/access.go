package store

import (
	"strings"

	"licet/license"
)

// Token is an API token at rest: a keyed hash of its secret.
type Token struct {
	ID, Name                        string
	Scopes                          []string
	Hash                            []byte
	Created, Expires, Used, Revoked license.Time
}

const (
	tokenColumns = `select id, name, scopes, hash, created, expires, used, revoked from tokens `
	tokenInsert  = `insert into tokens (id, name, scopes, hash, created, expires) values ($1, $2, $3, $4, $5, $6)`
	tokenByHash  = tokenColumns + `where hash = $1`
	tokenByID    = tokenColumns + `where id = $1`
	tokensSelect = tokenColumns + `order by id`
	tokenUsed    = `update tokens set used = $2 where id = $1`
	tokenRevoke  = `update tokens set revoked = $2 where id = $1 and revoked = 0`
	onceInsert   = `insert into once (actor, key, hash, answer, time) values ($1, $2, $3, $4, $5)`
	oncePage     = `select actor, key, answer from once where (actor, key) > ($1, $2) order by actor, key limit $3`
	onceRewrap   = `update once set answer = $3 where actor = $1 and key = $2`
	onceSelect   = `select hash, answer from once where actor = $1 and key = $2`
)

func scanToken(scan func(...any) error) (t Token, err error) {
	var scopes string
	err = scan(&t.ID, &t.Name, &scopes, &t.Hash, &t.Created, &t.Expires, &t.Used, &t.Revoked)
	t.Scopes = strings.Fields(scopes)
	return t, err
}

// InsertToken stores a token.
func (tx *Tx) InsertToken(t Token) error {
	_, err := tx.Exec(tokenInsert, t.ID, t.Name, strings.Join(t.Scopes, " "), t.Hash, t.Created, t.Expires)
	return err
}

// TokenByHash finds a token by the keyed hash of its secret.
func (tx *Tx) TokenByHash(hash []byte) (Token, error) {
	return scanToken(tx.QueryRow(tokenByHash, hash).Scan)
}

// TokenByID finds a token.
func (tx *Tx) TokenByID(id string) (Token, error) { return scanToken(tx.QueryRow(tokenByID, id).Scan) }

// Tokens returns every token.
func (tx *Tx) Tokens() ([]Token, error) {
	return collect(tx, scanToken, tokensSelect)
}

// TokenUsed notes when a token was last used.
func (tx *Tx) TokenUsed(id string, now license.Time) error { return tx.one(tokenUsed, id, now) }

// RevokeToken ends a token; ErrNotFound if there is none that still runs.
func (tx *Tx) RevokeToken(id string, now license.Time) error { return tx.one(tokenRevoke, id, now) }

// Remember keeps the answer of a call under its idempotency key.
func (tx *Tx) Remember(actor, key string, hash, answer []byte, now license.Time) error {
	_, err := tx.Exec(onceInsert, actor, key, hash, answer, now)
	return err
}

// Recall finds the answer of an earlier call under the same key.
func (tx *Tx) Recall(actor, key string) (hash, answer []byte, err error) {
	return hash, answer, tx.QueryRow(onceSelect, actor, key).Scan(&hash, &answer)
}
