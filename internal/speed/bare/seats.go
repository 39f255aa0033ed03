package bare

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Seats is a server that gives out seats with no product in it: a table in memory,
// a stack of free seats, and a log that is laid out beforehand and synced in groups.
// A heartbeat stays in memory.
type Seats struct {
	key  ed25519.PrivateKey
	text string // what every claim brings, as long as a signed license
	log  *groupLog

	mu   sync.Mutex // guards what follows
	by   map[string]seat
	free []int32
}

type seat struct {
	number int32
	until  int64
}

// NewSeats makes a server over a new log with so many free seats.
func NewSeats(path string, seats int) (*Seats, error) {
	log, err := newGroupLog(path)
	if err != nil {
		return nil, err
	}
	s := &Seats{key: ed25519.NewKeyFromSeed(make([]byte, 32)), log: log, by: map[string]seat{}, free: make([]int32, seats)}
	for i := range s.free {
		s.free[i] = int32(seats - 1 - i)
	}
	doc, err := json.Marshal(document(1, Key(1), Fingerprint(1)))
	if err != nil {
		return nil, err
	}
	s.text = base64.StdEncoding.EncodeToString(append(doc, ed25519.Sign(s.key, doc)...))
	return s, nil
}

const ttl = 300

// Serve answers on listener for ever.
func (s *Seats) Serve(listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /seats/{name}", s.claim)
	mux.HandleFunc("PUT /seats/{name}", s.beat)
	mux.HandleFunc("DELETE /seats/{name}", s.release)
	mux.HandleFunc("POST /loans/{name}", s.borrow)
	return http.Serve(listener, mux)
}

func (s *Seats) take(name string, until int64) (number int32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.by[name]; there || len(s.free) == 0 {
		return 0, false
	}
	number = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.by[name] = seat{number, until}
	return number, true
}

func (s *Seats) claim(w http.ResponseWriter, r *http.Request) {
	name, until := r.PathValue("name"), time.Now().Unix()+ttl
	number, ok := s.take(name, until)
	if !ok {
		http.Error(w, "none is free", http.StatusConflict)
		return
	}
	if err := s.log.put('C', number, name); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"license":"%s","seat":%d,"until":%d,"ttl":%d}`, s.text, number, until, ttl)
}

// beat extends a seat. Its answer is as long as the product's.
func (s *Seats) beat(w http.ResponseWriter, r *http.Request) {
	name, until := r.PathValue("name"), time.Now().Unix()+ttl
	s.mu.Lock()
	have, ok := s.by[name]
	if ok {
		have.until = until
		s.by[name] = have
	}
	s.mu.Unlock()
	if !ok {
		http.Error(w, "gone", http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"lease":"%016d","expires_at":"%d and some more text","ttl":"%d"}`, have.number, until, ttl)
}

func (s *Seats) release(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s.mu.Lock()
	have, ok := s.by[name]
	delete(s.by, name)
	s.mu.Unlock()
	if !ok {
		http.Error(w, "gone", http.StatusGone)
		return
	}
	if err := s.log.put('R', have.number, name); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.free = append(s.free, have.number)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// BorrowRequest is the body of a loan: the borrower's public key, and its signature
// over the name.
func BorrowRequest(key ed25519.PrivateKey, name string) []byte {
	return append(slices.Clone(key[ed25519.SeedSize:]), ed25519.Sign(key, []byte(name))...)
}

// borrow is a claim that the borrower has signed, and whose answer is signed for it.
func (s *Seats) borrow(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	var request [ed25519.PublicKeySize + ed25519.SignatureSize]byte
	if _, err := io.ReadFull(r.Body, request[:]); err != nil ||
		!ed25519.Verify(request[:ed25519.PublicKeySize], []byte(name), request[ed25519.PublicKeySize:]) {
		http.Error(w, "who asks?", http.StatusForbidden)
		return
	}
	number, ok := s.take(name, 1<<62)
	if !ok {
		http.Error(w, "none is free", http.StatusConflict)
		return
	}
	doc, err := json.Marshal(document(int64(number), Key(int(number)), name))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	signature := ed25519.Sign(s.key, doc)
	if err := s.log.put('B', number, name); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, Answer{License: doc, Signature: signature})
}

// groupLog appends lines, and syncs for all who wait together.
type groupLog struct {
	file *os.File

	mu      sync.Mutex
	wake    sync.Cond
	lines   []byte
	written uint64 // the last line that was put in
	durable uint64
	failed  error
}

const (
	laidOut = 64 << 20
	wrapAt  = 48 << 20 // a real log would be written anew here
)

func newGroupLog(path string) (*groupLog, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for range laidOut >> 20 {
		if _, err := file.Write(zeros); err != nil {
			return nil, err
		}
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	l := &groupLog{file: file}
	l.wake.L = &l.mu
	go l.write()
	return l, nil
}

func (l *groupLog) write() {
	var out []byte
	at := int64(0)
	for {
		l.mu.Lock()
		for len(l.lines) == 0 {
			l.wake.Wait()
		}
		out, l.lines = l.lines, out[:0]
		upTo := l.written
		l.mu.Unlock()
		_, err := l.file.WriteAt(out, at)
		if err == nil {
			err = syncData(l.file)
		}
		if at += int64(len(out)); at > wrapAt {
			at = 0
		}
		l.mu.Lock()
		l.durable, l.failed = upTo, err
		l.wake.Broadcast()
		l.mu.Unlock()
	}
}

func (l *groupLog) put(kind byte, number int32, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, kind)
	l.lines = strconv.AppendInt(l.lines, int64(number), 36)
	l.lines = append(append(append(l.lines, ' '), name...), '\n')
	l.written++
	mine := l.written
	l.wake.Broadcast()
	for l.durable < mine && l.failed == nil {
		l.wake.Wait()
	}
	return l.failed
}
