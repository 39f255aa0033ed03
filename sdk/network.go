package sdk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"licet/client"
	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

// releasePatience bounds what closing a session waits for its license server. A
// seat that is not released ends by itself.
const releasePatience = 2 * time.Second

// lookPatience is what an agent may take to look for license servers.
const lookPatience = 4 * time.Second

// seat is a lease of a license server. It never changes; an extension makes
// another. Moments are of the session's clock, which never goes back.
type seat struct {
	server *client.Seats
	lease  seats.Lease
	body   container.Body // of the license that it is a seat of
	token  string

	sent  license.Time // when the claim or extension was sent
	until license.Time // when it must not be used any more
	due   license.Time // when to extend it
	// silent says that the server did not answer the latest attempt to extend it.
	silent bool
}

// timed says how long a seat that was granted for ttl lasts, counted from when it
// was asked for.
func (s seat) timed(sent license.Time, ttl license.Duration) *seat {
	s.sent = sent
	s.until = sent.Add(seats.StopAfter(ttl).Go())
	s.due = sent.Add(seats.ExtendAfter(ttl).Go())
	s.silent = false
	return &s
}

// late reports whether another server is to be asked while this one is silent: a
// third of the seat's time is left, so that the change needs no break.
func (s *seat) late(now license.Time) bool { return now >= s.until-(s.until-s.sent)/3 }

// end is when the seat is over by itself. While its server is silent, the
// license's grace prolongs it: the vendor has said by how much.
func (s *seat) end() license.Time {
	if s.silent {
		return s.until.Add(s.body.Terms.Grace.Go())
	}
	return s.until
}

// network is a session's part with the license servers. Who looks has it to
// himself.
type network struct {
	witness *witness
	named   []string // by the program; nil is the machine's list
	wait    bool     // takes a place in the queue
	off     bool     // takes no seat

	client    seats.Client
	servers   map[string]*client.Seats // by address
	nonces    map[string]string        // of claims that were not answered, by address
	seat      *seat
	lost      *terms.Reason // why the seat before is gone, until there is another
	queue     wire.Waiting
	borrowing *agent.BorrowRequest // sent, and not answered: the seat may be a loan by now
}

func newNetwork(w *witness, o options) *network {
	n := &network{
		witness: w, named: o.servers, wait: o.wait, off: o.reduced,
		servers: map[string]*client.Seats{}, nonces: map[string]string{},
	}
	if o.serversSet && n.named == nil {
		n.named = []string{}
	}
	return n
}

// addresses are the servers to ask, in order.
func (n *network) addresses(ctx context.Context) []string {
	here := agent.Open(n.witness.config)
	list := n.named
	if list == nil {
		known, err := here.Servers(ctx, agent.Nothing{})
		if err == nil && len(known.List) == 0 && !known.NoDiscovery && n.witness.served() {
			// Where nothing is listed, an agent that runs looks around.
			patience, cancel := context.WithTimeout(ctx, lookPatience)
			known, err = agent.Connect(n.witness.config).Reachable(patience)
			cancel()
		}
		if err == nil { // one that cannot be read is none
			list = known.List
		}
	}
	var out []string
	if here.Sharing(ctx) {
		out = append(out, ownServer)
	}
	for _, text := range list {
		address, err := client.SeatsAddress(text)
		if err == nil && !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	return out
}

// ownServer stands for the license server of this machine, which is reached through
// the agent's socket while it runs.
var ownServer = "http://localhost:" + strconv.Itoa(wire.SeatsPort)

// at is the client of the server at an address.
func (n *network) at(address string) (*client.Seats, error) {
	if s := n.servers[address]; s != nil {
		return s, nil
	}
	speaks := n.witness.config.HTTP
	if address == ownServer && agent.Open(n.witness.config).Sharing(context.Background()) {
		speaks = agent.SocketHTTP(n.witness.config)
	}
	s, err := client.NewSeats(address, client.Options{
		HTTP: speaks, Program: agent.Program, Vendor: string(n.witness.verifier.Scope().Vendor),
	})
	if err == nil {
		n.servers[address] = s
	}
	return s, err
}

// forget closes a server whose key is not to be kept.
func (n *network) forget(s *client.Seats) {
	s.Close()
	delete(n.servers, s.Address())
}

// look keeps the seat, or takes one. It brings the evidence of a seat, or says why
// there is none.
func (n *network) look(ctx context.Context, clock func() license.Time) (evidence, error) {
	n.queue = wire.Waiting{}
	var failed error
	if n.seat != nil {
		if failed = n.extend(ctx, clock); failed == nil && n.seat != nil {
			return n.evidence(), nil
		}
		if n.seat != nil && !n.seat.late(clock()) {
			return n.evidence(), failed
		}
	}
	got, why, err := n.claim(ctx, clock)
	switch {
	case got != nil:
		if n.seat != nil { // the server before does not answer; its seat ends by itself
			n.forget(n.seat.server)
		}
		n.seat, n.lost = got, nil
		return n.evidence(), nil
	case n.seat != nil && clock() < n.seat.end():
		return n.evidence(), failed
	case n.seat != nil: // its server may have kept it, and is asked again
		n.lost = &terms.Reason{Code: refusal.LeaseLost, Message: unheard}
	}
	if len(why.reasons) == 0 && n.lost == nil && err == nil {
		return evidence{}, nil // there is no network
	}
	if n.lost != nil {
		why.reasons = append([]terms.Reason{*n.lost}, why.reasons...)
	}
	return why, err
}

const unheard = "The seat ended, because its license server has not answered for too long."

// lose gives a seat up that is gone.
func (n *network) lose(why terms.Reason) {
	n.seat, n.lost = nil, &why
}

// evidence is what the seat proves.
func (n *network) evidence() evidence {
	return evidence{proven: true, body: n.seat.body, container: n.seat.body.Container, seat: n.seat}
}

// extend extends the seat. An error says that the server was silent; a seat that is
// gone is given up.
func (n *network) extend(ctx context.Context, clock func() license.Time) error {
	s := n.seat
	nonce := ""
	if !s.server.Secure() {
		nonce = word() // whoever listens in the server's place on this machine cannot sign
	}
	sent := clock()
	out, err := s.server.Extend(ctx, s.lease.ID, s.token, nonce)
	if err == nil && nonce != "" {
		var lease seats.Lease
		lease, _, err = n.proven(out.Document, nonce)
		if err == nil && lease.ID != s.lease.ID {
			err = forged()
		}
	}
	switch {
	case err == nil:
		n.seat, n.lost = s.timed(sent, out.TTL), nil
		return nil
	case refusal.Is(err, refusal.LeaseLost), refusal.Is(err, refusal.LeaseNotYours):
		n.lose(reasonOf(err))
		return nil
	}
	silent := *s
	silent.silent = true
	n.seat = &silent
	return err
}

// proven verifies the document of a lease, for the nonce that was sent.
func (n *network) proven(document []byte, nonce string) (seats.Lease, container.Body, error) {
	lease, body, err := n.witness.verifier.Lease(document)
	if err != nil {
		return lease, body, err
	}
	if lease.Nonce != nonce || lease.Kind != seats.Session || lease.Client.ID != n.client.ID || lease.Product != n.witness.product {
		return lease, body, forged()
	}
	return lease, body, nil
}

// claim asks the servers in turn for a seat. Where none gives one it says why: what
// a server refused, before that another was silent.
func (n *network) claim(ctx context.Context, clock func() license.Time) (*seat, evidence, error) {
	var refused, silent *refusal.Refusal
	for _, address := range n.addresses(ctx) {
		if n.seat != nil && n.seat.server.Address() == address {
			continue // it was asked a moment ago
		}
		got, err := n.claimAt(ctx, address, clock)
		if err == nil {
			return got, evidence{}, nil
		}
		r, ok := refusal.As(err)
		switch {
		case !ok:
			return nil, evidence{}, err
		case couldNotTell(r.Code) || quiet(r.Code):
			if silent == nil {
				silent = r
			}
		case refused == nil || r.Code == refusal.NoSeatFree && refused.Code != refusal.NoSeatFree:
			refused = r
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case refused != nil:
		return nil, because(refused.Code, refused.Message, refused.NextStep()), nil
	case silent != nil:
		return nil, because(refusal.ServerUnreachable, silent.Message, refusal.Lookup(refusal.ServerUnreachable).Hint), nil
	}
	return nil, evidence{}, nil
}

// quiet reports whether a code says that a server could not be asked.
func quiet(code refusal.Code) bool {
	return slices.Contains([]refusal.Code{refusal.ServerUnreachable, refusal.RateLimited}, code)
}

// claimAt asks one server.
func (n *network) claimAt(ctx context.Context, address string, clock func() license.Time) (*seat, error) {
	s, err := n.at(address)
	if err != nil {
		return nil, err
	}
	if n.client.ID == "" {
		n.client = n.witness.station()
		n.client.ID = word()
	}
	// The same claim, repeated, gets the same seat.
	nonce := n.nonces[address]
	if nonce == "" {
		nonce = word()
		n.nonces[address] = nonce
	}
	w := n.witness
	sent := clock()
	out, err := s.Claim(ctx, wire.LeaseRequest{
		Product: w.product, Vendor: string(w.verifier.Scope().Vendor), Features: w.use.Features,
		Version: w.use.Version, BuildDate: w.use.BuildDate, Client: n.client, Nonce: nonce, Wait: n.wait,
	})
	if err != nil {
		if r, ok := refusal.As(err); ok && !quiet(r.Code) && !couldNotTell(r.Code) {
			delete(n.nonces, address)
			n.queued(r)
		}
		return nil, err
	}
	delete(n.nonces, address)
	lease, body, err := n.proven(out.Document, nonce)
	if err == nil && (lease.ID != out.Lease || !s.Is(body.ContainerKey)) {
		err = forged()
	}
	if err == nil {
		err = n.blocked(body)
	}
	got := seat{server: s, lease: lease, body: body, token: out.Token}.timed(sent, out.TTL)
	if err == nil {
		v := evidence{proven: true, body: body, seat: got}.judge(w.use, clock())
		if r := v.Refusal(); r != nil {
			err = r
		}
	}
	if err != nil {
		n.end(ctx, s, out.Lease, out.Token)
		n.forget(s)
		return nil, err
	}
	return got, nil
}

// blocked refuses a seat of a license, or of a server, that is blocked here.
func (n *network) blocked(body container.Body) error {
	no, err := agent.Open(n.witness.config).Blocked(n.witness.verifier.Scope(), body, n.witness.blocks, body.Container)
	if err == nil && no != nil {
		err = no
	}
	return err
}

// queued notes the place in a server's queue; the best one counts.
func (n *network) queued(r *refusal.Refusal) {
	text, err := json.Marshal(r.Details["queue"])
	var at wire.Waiting
	if err != nil || json.Unmarshal(text, &at) != nil || at.Place <= 0 {
		return
	}
	if n.queue.Place == 0 || at.Place < n.queue.Place {
		n.queue.Place = at.Place
	}
	if n.queue.Keep == 0 || at.Keep < n.queue.Keep {
		n.queue.Keep = at.Keep
	}
}

// release gives the seat back, if there is one. A server that does not hear of it
// frees it at its end.
func (n *network) release(ctx context.Context) {
	if s := n.seat; s != nil {
		n.seat = nil
		n.end(ctx, s.server, s.lease.ID, s.token)
	}
	n.lost = nil
}

func (n *network) end(ctx context.Context, s *client.Seats, id seats.LeaseID, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	_ = s.Release(ctx, id, token) // it ends by itself
}

// close gives everything back.
func (n *network) close() {
	n.release(context.Background())
	for _, s := range n.servers {
		s.Close()
	}
}

// word draws 128 random bits as a text.
func word() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
