package seatserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"

	"licet/internal/durable"
	"licet/refusal"
)

// tokenName is the file of the administrators' token, in the home.
const tokenName = "server.token"

// adminToken is the hash of the administrators' token.
type adminToken [sha256.Size]byte

// is reports whether a text is the token, in a time that tells nothing.
func (t adminToken) is(text string) bool {
	hash := sha256.Sum256([]byte(text))
	return t != adminToken{} && subtle.ConstantTimeCompare(hash[:], t[:]) == 1
}

// IsAdministrator reports whether a text is the administrators' token.
func (s *Server) IsAdministrator(token string) bool { return s.admin.is(token) }

// loadToken reads the administrators' token, or draws one at the first start.
func (s *Server) loadToken() error {
	dir, err := os.OpenRoot(s.cfg.Home)
	if err != nil {
		return storage(err)
	}
	defer dir.Close()
	text, err := durable.ReadFile(dir, tokenName, 1024)
	if errors.Is(err, fs.ErrNotExist) {
		var b [32]byte
		s.cfg.Random(b[:])
		text = []byte(hex.EncodeToString(b[:]) + "\n")
		err = s.cfg.Disk.CreateFile(dir, tokenName, text, durable.PrivateFile)
	}
	if err != nil {
		return storage(err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return refusal.New(refusal.InvalidInput, "The administrators' token in %s is shorter than 16 characters.", tokenName).
			Hinted("Delete the file: the next start draws a new one.")
	}
	s.admin = sha256.Sum256([]byte(token))
	return nil
}
