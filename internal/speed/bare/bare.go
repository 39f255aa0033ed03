// Package bare does only the work that nobody can avoid: a server that keeps
// one row and one counter durable and signs one document, a look-up of one row,
// an insert of many. It has no product in it. The product is compared with it in
// the same run, on the same machine.
package bare

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Document is what the bare server signs, about 850 bytes as JSON.
type Document struct {
	ID           string            `json:"id"`
	Key          string            `json:"key"`
	Product      string            `json:"product"`
	Edition      string            `json:"edition"`
	Customer     string            `json:"customer"`
	Email        string            `json:"email"`
	Issued       time.Time         `json:"issued"`
	NotBefore    time.Time         `json:"not_before"`
	Expiry       time.Time         `json:"expiry"`
	Maintenance  time.Time         `json:"maintenance"`
	Seats        int               `json:"seats"`
	Floating     bool              `json:"floating"`
	Fingerprint  string            `json:"fingerprint"`
	Entitlements []Entitlement     `json:"entitlements"`
	Metadata     map[string]string `json:"metadata"`
}

// Entitlement is one feature of a document.
type Entitlement struct {
	Code  string `json:"code"`
	Limit int64  `json:"limit"`
}

func document(i int64, key, fingerprint string) *Document {
	t := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &Document{
		ID: fmt.Sprintf("lic_%026d", i), Key: key, Product: "Example CAD Suite", Edition: "enterprise",
		Customer: "Example Engineering Company of Springfield", Email: "licenses@example.com",
		Issued: t, NotBefore: t, Expiry: t.AddDate(3, 0, 0), Maintenance: t.AddDate(1, 0, 0), Seats: 25, Floating: true,
		Fingerprint: fingerprint,
		Entitlements: []Entitlement{{"module.solver", 4}, {"module.mesher", 4}, {"module.render", 25},
			{"module.export.step", 25}, {"module.export.dwg", 25}, {"api.automation", 1}},
		Metadata: map[string]string{"order": fmt.Sprintf("SO-%09d", i), "reseller": "Example Partner", "region": "eu-central",
			"note": "site license, second amendment; see contract 2026-17"},
	}
}

// Answer is what the bare server answers.
type Answer struct {
	License   []byte `json:"license"`
	Signature []byte `json:"signature"`
	Sealed    []byte `json:"sealed,omitempty"`
}

// Query is what it is asked.
type Query struct {
	Key         string `json:"key"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Sealed      []byte `json:"sealed,omitempty"`
	Signature   []byte `json:"signature,omitempty"`
}

// Key is the i-th license's key.
func Key(i int) string { return fmt.Sprintf("AAAA-BBBB-CCCC-DDDD-%08d", i) }

// Fingerprint is that of the i-th machine.
func Fingerprint(i int) string {
	h := sha256.Sum256(fmt.Append(nil, "machine", i))
	return hex.EncodeToString(h[:])
}

// Server is the bare server.
type Server struct {
	db       *Database
	licenses map[string]int64 // from a key to its number: what is sold stands in memory
	key      ed25519.PrivateKey
	exchange *Exchange
}

// NewServer makes a server over a new database file with so many licenses.
func NewServer(path string, licenses int) (*Server, error) {
	db, err := Create(path, licenses)
	if err != nil {
		return nil, err
	}
	s := &Server{db: db, licenses: make(map[string]int64, licenses), key: ed25519.NewKeyFromSeed(make([]byte, 32)), exchange: NewExchange()}
	for i := range licenses {
		s.licenses[Key(i)] = int64(i + 1)
	}
	return s, nil
}

// Serve answers on listener for ever.
func (s *Server) Serve(listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /activate", s.handle(false))
	mux.HandleFunc("POST /exchange", s.handle(true))
	mux.HandleFunc("POST /lookup", s.lookup)
	return http.Serve(listener, mux)
}

// handle activates: JSON in, one row and one counter made durable by group
// commit, one signature, JSON out. The whole exchange adds the cryptographic
// operations of a signed and sealed one.
func (s *Server) handle(whole bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Query
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		id := s.licenses[q.Key]
		if id == 0 {
			http.Error(w, "no such license", http.StatusNotFound)
			return
		}
		if whole {
			if err := s.exchange.Receive(); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		text, err := json.Marshal(document(id, q.Key, q.Fingerprint))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		a := Answer{License: text, Signature: ed25519.Sign(s.key, text)}
		if err := s.db.Activate(id, q.Fingerprint, a.Signature); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		if whole {
			if a.Sealed, err = s.exchange.Send(text); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			a.License = nil
		}
		answer(w, a)
	}
}

// lookup finds one row by its key and answers it.
func (s *Server) lookup(w http.ResponseWriter, r *http.Request) {
	var q Query
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found, err := s.db.Find(r.Context(), q.Key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	answer(w, found)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a connection that broke is the client's
}
