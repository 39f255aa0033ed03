package seatserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"licet/internal/agent"
	"licet/internal/web"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

// Bounds of one request.
const (
	maxBody = 16 << 10
	maxFile = 2 * seal.MaxLoanRequest // in its armor
)

// limits let everybody do more than a program ever needs, and nobody everything.
func limits(now func() time.Time) web.Limits {
	return web.Limits{
		PerAddress: web.Rate{PerSecond: 1000, Burst: 4000}, // a terminal server is one address
		Total:      web.Rate{PerSecond: 50_000, Burst: 100_000},
		AtOnce:     512,
		AtOnceAll:  2048,
		Now:        now,
	}
}

// Handler answers what is asked over the network. Plain says that only this machine
// can ask.
func (s *Server) Handler(plain bool) http.Handler {
	limited := web.NewLimiter(limits(s.cfg.Now)).Or(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		forPeople := s.pages != nil && !strings.HasPrefix(r.URL.Path, "/v1/")
		if forPeople {
			secure(w.Header())
		}
		if plain && !ownHost(r.Host) {
			s.refuse(w, refusal.New(refusal.Forbidden, "The license server of this machine is not asked by the name %q.", shorten(r.Host)).
				Hinted("Use localhost or 127.0.0.1."))
			return
		}
		if forPeople {
			s.pages.ServeHTTP(w, r)
			return
		}
		s.route(w, r, asker{address: addressOf(r.RemoteAddr), local: plain})
	}), func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
		s.refuse(w, busy(wait))
	})
	return limited
}

// Local answers what programs and administrators of this machine ask through the
// agent's socket, which lets its own user in alone.
func (s *Server) Local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		w.Header().Set("X-Licet-Seats", "1")
		s.mu.Lock()
		open := s.engine != nil
		s.mu.Unlock()
		if !open {
			s.refuse(w, refusal.New(refusal.ServerUnreachable, "The license server of this machine is starting.").Hinted("Try again in a moment."))
			return
		}
		s.route(w, r, asker{local: true, admin: true})
	})
}

func busy(wait time.Duration) *refusal.Refusal {
	return refusal.New(refusal.RateLimited, "Too many requests; this one was not looked at.").With("retry", math.Ceil(wait.Seconds()))
}

// asker is who asks, as far as the server sees it by itself.
type asker struct {
	address netip.Addr
	local   bool // from this machine
	admin   bool
}

func (a asker) caller(c seats.Client) seats.Caller {
	return seats.Caller{Client: c, Address: a.address, Local: a.local}
}

// route answers one request.
func (s *Server) route(w http.ResponseWriter, r *http.Request, who asker) {
	// Pages in a browser have no business here.
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		s.refuse(w, refusal.New(refusal.Forbidden, "Pages in a browser cannot ask for seats."))
		return
	}
	path := r.URL.Path
	if id, ok := strings.CutPrefix(path, wire.PathLease); ok {
		s.lease(w, r, who, seats.LeaseID(id))
		return
	}
	switch r.Method + " " + path {
	case "POST " + wire.PathLeases:
		s.claim(w, r, who)
	case "POST " + wire.PathLoans:
		s.lend(w, r, who)
	case "GET " + wire.PathProducts:
		q := r.URL.Query()
		products := s.Products(who.caller(clientOf(q.Get("host"), q.Get("user"), q["group"])), q.Get("vendor"))
		web.JSON(w, http.StatusOK, wire.List[seats.ProductView]{Items: empty(products)})
	case "GET " + wire.PathServer:
		_, vendors := s.serials()
		web.JSON(w, http.StatusOK, wire.ServerView{
			Instance: s.instance, Version: agent.Version, Time: license.At(s.cfg.Now()), Vendors: empty(vendors), Session: s.limits.Session,
		})
	default:
		s.administrator(w, r, who)
	}
}

// administrator answers what administrators alone may ask.
func (s *Server) administrator(w http.ResponseWriter, r *http.Request, who asker) {
	var answer func() (any, error)
	switch r.Method + " " + r.URL.Path {
	case "GET " + wire.PathLeases:
		answer = func() (any, error) { return wire.List[seats.LeaseView]{Items: empty(s.Leases())}, nil }
	case "GET " + wire.PathPools:
		answer = func() (any, error) { return wire.List[seats.PoolView]{Items: empty(s.Pools())}, nil }
	case "GET " + wire.PathRules:
		answer = func() (any, error) { return s.Rules(), nil }
	case "POST " + wire.PathRules:
		answer = func() (any, error) { return s.ReloadRules(), nil }
	case "GET " + wire.PathDecide:
		answer = func() (any, error) { return s.decide(r) }
	case "GET " + wire.PathUsage:
		answer = func() (any, error) { return s.usageOf(r) }
	case "POST " + wire.PathPardon:
		answer = func() (any, error) {
			in, err := readEnd(w, r)
			if err == nil {
				err = s.Pardon(in.By, in.Why)
			}
			return wire.List[seats.PoolView]{Items: empty(s.Pools())}, err
		}
	default:
		s.refuse(w, refusal.New(refusal.NotFound, "A license server has no %s %s.", shorten(r.Method), shorten(r.URL.Path)))
		return
	}
	if err := s.authorize(r, who); err != nil {
		s.refuse(w, err)
		return
	}
	value, err := answer()
	if err != nil {
		s.refuse(w, err)
		return
	}
	web.JSON(w, http.StatusOK, value)
}

// lease answers what is asked of one lease.
func (s *Server) lease(w http.ResponseWriter, r *http.Request, who asker, id seats.LeaseID) {
	switch r.Method {
	case http.MethodPut:
		body, err := readBody(w, r, maxBody)
		if err != nil {
			s.refuse(w, err)
			return
		}
		in, err := readExtend(body)
		if err != nil {
			s.refuse(w, err)
			return
		}
		token, ok := bearer(r)
		if !ok {
			token = in.Token
		}
		g, err := s.Extend(id, tokenOf(token), in.Nonce)
		if err != nil {
			s.refuse(w, err)
			return
		}
		b := appendLease(make([]byte, 0, 256), g, false)
		write(w, http.StatusOK, b)
	case http.MethodDelete:
		token, given := bearer(r)
		var err error
		if given && !s.admin.is(token) || !given && !who.admin {
			err = s.Release(id, tokenOf(token))
		} else {
			var in wire.EndRequest
			if in, err = readEnd(w, r); err == nil {
				err = s.End(id, in.By, in.Why)
			}
		}
		if err != nil {
			s.refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		s.refuse(w, refusal.New(refusal.NotFound, "A lease is extended with PUT and given back with DELETE."))
	}
}

func (s *Server) claim(w http.ResponseWriter, r *http.Request, who asker) {
	body, err := readBody(w, r, maxBody)
	if err != nil {
		s.refuse(w, err)
		return
	}
	client, c, err := readClaim(body)
	if err != nil {
		s.refuse(w, err)
		return
	}
	g, err := s.Claim(who.caller(client), c)
	if err != nil {
		s.refuse(w, err)
		return
	}
	buffer := answers.Get().(*[]byte)
	*buffer = appendLease((*buffer)[:0], g, true)
	write(w, http.StatusCreated, *buffer)
	answers.Put(buffer) // what was written is copied
}

// answers are buffers for answers that bring a document.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

func (s *Server) lend(w http.ResponseWriter, r *http.Request, who asker) {
	file, err := readBody(w, r, maxFile)
	if err != nil {
		s.refuse(w, err)
		return
	}
	caller := who.caller(seats.Client{})
	token, ok := bearer(r)
	caller.Admin = who.admin || ok && s.admin.is(token)
	answer, err := s.Lend(r.Context(), caller, file)
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", wire.MediaFile)
	_, _ = w.Write(answer) // a connection that broke is the borrower's: he asks again
}

// appendLease writes a wire.Lease, or a wire.LeaseExtended.
func appendLease(b []byte, g granted, token bool) []byte {
	b = append(b, `{"lease":"`...)
	b = append(b, g.Lease.ID...)
	if token {
		b = append(b, `","token":"`...)
		b = append(b, g.Token.Text()...)
	}
	b = append(b, `","expires_at":"`...)
	b = g.Lease.Until.Go().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","ttl":"`...)
	b = append(b, license.FormatDuration(g.TTL/second*second)...)
	if g.grant != nil {
		b = append(b, `","document":"`...)
		b = g.document(b)
	}
	return append(b, `"}`+"\n"...)
}

const second = license.Duration(time.Second)

// buffered is how long an answer may be of which net/http finds the length itself.
const buffered = 2 << 10

var jsonType = []string{"application/json"}

func write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	if len(b) > buffered {
		h["Content-Length"] = []string{strconv.Itoa(len(b))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // a connection that broke is the client's
}

// refuse answers with an error. A fault is told to the log and to nobody else.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	no, ok := refusal.As(err)
	if !ok {
		s.log.Error("a request failed", "error", err)
		no = refusal.New(refusal.Internal, "Something failed inside the license server.").Hinted("Try again; if it stays, its administrator finds more in its log.")
	}
	entry := refusal.Lookup(no.Code)
	status := entry.Status
	if status < 400 {
		status = http.StatusConflict
	}
	p := wire.Problem{
		Type: "urn:licet:" + string(no.Code), Title: entry.Meaning, Status: status,
		Detail: no.Message, Code: no.Code, Hint: no.NextStep(), Details: no.Details,
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(s.waits(no).Seconds())))))
		}
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="licet"`)
	}
	b, err := json.Marshal(p)
	if err != nil {
		s.log.Error("a problem has no spelling", "error", err)
		b = []byte(`{"status":500}`)
	}
	w.Header().Set("Content-Type", web.MediaProblem)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// recovered ends a request that made a handler fall over; the server goes on.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); {
	case p == nil:
	case p == http.ErrAbortHandler:
		panic(p)
	default:
		s.log.Error("a handler fell over", "method", r.Method, "error", fmt.Sprint(p), "stack", string(debug.Stack()))
		s.refuse(w, errors.New("panic"))
	}
}

// tokenOf reads a token; one that has another form is nobody's.
func tokenOf(text string) seats.Token {
	t, _ := seats.ParseToken(text)
	return t
}

// bearer is the token that a request brings.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && token != "" && len(token) <= 512 && strings.EqualFold(scheme, "Bearer")
}

// authorize lets administrators through.
func (s *Server) authorize(r *http.Request, who asker) error {
	if token, ok := bearer(r); who.admin || ok && s.admin.is(token) {
		return nil
	}
	return refusal.New(refusal.Unauthorized, "This is for administrators of the license server.").
		Hinted("Send the token of %s in the header Authorization: Bearer TOKEN, or use licet sessions on the server's machine.", tokenName)
}

// readBody reads a body. Most say how long they are; those that say that they are
// long get no memory before they come.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > min(limit, maxBody) {
		return web.ReadBody(w, r, limit)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, refusal.New(refusal.DamagedFile, "The body ended before it was complete.")
	}
	return body, nil
}

// readEnd reads an EndRequest; an empty body is one that says nothing.
func readEnd(w http.ResponseWriter, r *http.Request) (in wire.EndRequest, err error) {
	body, err := readBody(w, r, maxBody)
	if err != nil || len(body) == 0 {
		return in, err
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || len(in.By) > 4*maxText || len(in.Why) > 16*maxText {
		return in, refusal.New(refusal.InvalidInput, "The request does not read; it is {\"by\": …, \"why\": …}.")
	}
	return in, nil
}

// decide answers "would this be allowed?".
func (s *Server) decide(r *http.Request) (any, error) {
	q := r.URL.Query()
	product := q.Get("product")
	if product == "" {
		return nil, refusal.New(refusal.InvalidInput, "The product is missing.").Hinted("Add ?product=CODE.")
	}
	who := seats.Caller{Client: clientOf(q.Get("host"), q.Get("user"), q["group"])}
	if text := q.Get("address"); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, refusal.New(refusal.InvalidInput, "%q is no address.", shorten(text))
		}
		who.Address = a.Unmap().WithZone("")
	}
	who.Local = q.Get("local") == "true" || who.Address.IsLoopback()
	return s.Decide(who, product), nil
}

func clientOf(host, user string, groups []string) seats.Client {
	return seats.Client{Host: host, User: user, Groups: groups}
}

// shorten keeps long and odd texts out of answers.
func shorten(text string) string {
	if len(text) > 64 {
		text = text[:64] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// empty makes a list that JSON shows as one even if it has nothing in it.
func empty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// hostname is this machine's name for people, "" where it has none.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
