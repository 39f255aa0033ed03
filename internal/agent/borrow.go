package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"licet/client"
	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

// BorrowRequest asks a license server for a seat in a container of this machine.
type BorrowRequest struct {
	Product  string           `json:"product,omitempty"`
	Features []string         `json:"features,omitempty"`
	For      license.Duration `json:"for,omitzero"`
	Kind     seats.LeaseKind  `json:"kind,omitempty"`   // seats.Loan if empty
	Seats    int64            `json:"seats,omitempty"`  // of a transfer; 0 leaves it to the server: one, or all that move together
	Units    int64            `json:"units,omitempty"`  // of a transfer: how many units, in place of seats
	Extend   seats.LeaseID    `json:"extend,omitempty"` // the loan that is to last longer, in place of a product

	Vendor  string   `json:"vendor,omitempty"`  // id, where the machine trusts several
	Trust   []byte   `json:"trust,omitempty"`   // a program's own trust file; decides in place of the machine's
	Servers []string `json:"servers,omitempty"` // to be asked, in this order; the machine's list if empty

	// The running session whose seat becomes the loan, and who runs it.
	Session   seats.LeaseID `json:"session,omitempty"`
	Token     string        `json:"token,omitempty"`
	ServerKey []byte        `json:"server_key,omitempty"`
	Client    *seats.Client `json:"client,omitempty"`

	File bool `json:"file,omitempty"` // write a request to be carried, and ask nobody
}

// Borrowed is what became of a wish to borrow.
type Borrowed struct {
	Container license.Serial `json:"container"`
	Loan      *wire.Loan     `json:"loan,omitempty"`
	// Before says that the loan was there already, and nothing was asked.
	Before bool   `json:"before,omitempty"`
	Data   []byte `json:"data,omitempty"` // the request to be carried
}

// loanWish is a wish as it was stored before it left, so that a retry sends the
// same bytes and gets the same answer.
type loanWish struct {
	Wish    seats.LoanWish `cbor:"1,keyasint"`
	File    []byte         `cbor:"2,keyasint"`
	Address string         `cbor:"3,keyasint"` // whom it was sent to; "" if carried
	Created license.Time   `cbor:"4,keyasint"`
}

// asks reports whether two wishes want the same.
func (w *loanWish) asks(other seats.LoanWish, address string) bool {
	a, b := w.Wish, other
	return w.Address == address && a.Product == b.Product && slices.Equal(a.Features, b.Features) && a.Kind == b.Kind &&
		a.Seats == b.Seats && a.Units == b.Units && a.For == b.For && a.Extend == b.Extend && a.Session == b.Session && a.Server == b.Server
}

// Borrow takes a seat of a license server into a container of this machine, until
// a date or for good, or makes a loan last longer. Called again after an
// interruption it goes on where it was: the same wish gets the same loan.
func (a *Agent) Borrow(ctx context.Context, in BorrowRequest) (result Borrowed, err error) {
	wish, err := in.wish()
	if err != nil {
		return result, err
	}
	wish.Client = a.station()
	if in.Client != nil {
		wish.Client = *in.Client
	}
	err = a.write(ctx, func() error {
		b, v, err := a.borrower(ctx, in)
		if err != nil {
			return err
		}
		result.Container = b.serial()
		if l, ok := b.Loans[in.Extend]; ok {
			wish.Server = l.Server
		}
		if w := b.Wish; w != nil && w.Address != "" && !w.asks(wish, w.Address) {
			a.settleWish(ctx, b, v)
		}
		if id, ok := b.hasLoan(wish, a.now()); ok && !in.File {
			l := b.describeLoan(id)
			result.Loan, result.Before = &l, true
			return nil
		}
		if in.File {
			result.Data, err = a.wish(ctx, b, v, wish, "")
			return err
		}
		id, err := a.borrow(ctx, b, v, wish, in)
		if err == nil {
			l := b.describeLoan(id)
			result.Loan = &l
		}
		return err
	})
	return result, storage(err)
}

// wish is what is asked for, checked as far as it can be here.
func (in BorrowRequest) wish() (seats.LoanWish, error) {
	w := seats.LoanWish{
		Product: in.Product, Features: in.Features, Kind: in.Kind, Seats: in.Seats, Units: in.Units, For: in.For, Extend: in.Extend,
		Session: in.Session, Token: in.Token,
	}
	if w.Kind == "" {
		w.Kind = seats.Loan
	}
	if w.Seats == 0 && w.Kind == seats.Loan {
		w.Seats = 1
	}
	bad := func(what, hint string) (seats.LoanWish, error) {
		return w, refusal.New(refusal.InvalidInput, "%s", what).Hinted("%s", hint)
	}
	switch {
	case (w.Product == "") == (w.Extend == ""):
		return bad("Name the product to borrow, or the loan to extend.", "licet borrow PRODUCT --for 7d, or licet borrow --extend ID --for 7d")
	case w.Kind == seats.Loan && w.For <= 0:
		return bad("A loan has an end: say for how long.", "Add --for, such as --for 7d.")
	case w.Kind == seats.Loan && w.Seats != 1:
		return bad("A loan is one seat.", "Leave the number of seats out.")
	case w.Kind == seats.Transfer && (w.For != 0 || w.Extend != ""):
		return bad("A transfer has no end.", "Leave --for out, or borrow instead.")
	case w.Units != 0 && (w.Kind != seats.Transfer || w.Seats != 0), w.Units < 0:
		return bad("Units move for good, so many of them, and without seats.", "licet transfer PRODUCT --units NUMBER")
	case w.Kind != seats.Loan && w.Kind != seats.Transfer, w.Seats < 0:
		return bad("That is no loan.", "See licet borrow --help.")
	}
	return w, nil
}

// hasLoan finds a loan that is what a wish asks for. What runs on a seat wants
// that seat to become the loan, and what is transferred comes on top.
func (b *box) hasLoan(w seats.LoanWish, now license.Time) (seats.LeaseID, bool) {
	if w.Product == "" || w.Kind != seats.Loan || w.Session != "" {
		return "", false
	}
	for _, id := range b.loans() {
		l := b.Loans[id]
		body := b.bodies[bodyOf(id)]
		if l.Product == w.Product && terms.Before(max(now, b.State.Floor), l.Until) && !body.Reissue && len(w.Features) == 0 {
			return id, true
		}
	}
	return "", false
}

// borrower finds the container that a loan goes into, and makes one where there is
// none: that needs nobody.
func (a *Agent) borrower(ctx context.Context, in BorrowRequest) (*box, vendor, error) {
	if in.Extend != "" {
		b, err := a.lentTo(ctx, in.Extend)
		if err != nil {
			return nil, vendor{}, err
		}
		v, err := a.vendorOrProgram(b.header.Vendor, in.Trust)
		if err == nil {
			err = b.belongs(v)
		}
		return b, v, err
	}
	var v vendor
	var err error
	switch {
	case len(in.Trust) > 0 || in.Vendor != "":
		v, err = a.vendorOrProgram(in.Vendor, in.Trust)
	default:
		v, err = a.vendorWith(ctx, in)
	}
	if err != nil {
		return nil, v, err
	}
	b, err := a.oldest(ctx, v)
	return b, v, err
}

// vendorOrProgram is the trust in a vendor: the machine's, or where it has none,
// that of the program which asks. The machine does not trust him by that.
func (a *Agent) vendorOrProgram(id string, file []byte) (vendor, error) {
	if len(file) == 0 {
		return a.vendor(id)
	}
	trust, err := seal.ParseTrust(file)
	if err != nil {
		return vendor{}, err
	}
	own := vendor{trust: trust, address: trust.Address}
	if id != "" && id != own.id() {
		return vendor{}, untrusted(id)
	}
	switch v, err := a.vendor(own.id()); {
	case err != nil && !refusal.Is(err, refusal.VendorUntrusted):
		return vendor{}, err
	case err == nil && v.scope() == own.scope():
		return v, nil
	}
	return own, nil
}

// vendorWith finds the vendor whose product is meant: the only one that is
// trusted, or the one of which a server has it.
func (a *Agent) vendorWith(ctx context.Context, in BorrowRequest) (vendor, error) {
	v, err := a.vendorFor(ctx, "")
	if !refusal.Is(err, refusal.InvalidInput) {
		return v, err
	}
	several := err
	servers, err := a.serversFor(ctx, in.Servers)
	if err != nil {
		return v, err
	}
	for _, address := range servers {
		s, err := a.seatsAt(address, "")
		if err != nil {
			return v, err
		}
		list, err := s.Products(ctx, "")
		s.Close()
		if err != nil {
			continue
		}
		for _, p := range list {
			if p.Product == in.Product {
				if v, err := a.vendor(p.Vendor); err == nil {
					return v, nil
				}
			}
		}
	}
	r, _ := refusal.As(several)
	return v, r.Hinted("Say which one is meant with --vendor ID; licet trust list names them.")
}

// lentTo opens the container that has a loan.
func (a *Agent) lentTo(ctx context.Context, id seats.LeaseID) (*box, error) {
	b, _, err := a.findLoan(ctx, string(id))
	return b, err
}

// borrow asks the servers in turn until one lends. Silence after a request was
// sent stops it: that server may have lent, and the next attempt asks it again.
func (a *Agent) borrow(ctx context.Context, b *box, v vendor, wish seats.LoanWish, in BorrowRequest) (seats.LeaseID, error) {
	servers, err := a.serversFor(ctx, in.Servers)
	if l, ok := b.Loans[in.Extend]; ok && len(in.Servers) == 0 {
		servers, err = a.candidates(ctx, l.Address), nil
	}
	if err != nil && a.lent != nil && b.hasProduct(wish.Product) {
		err = seats.OwnSeats(wish.Product)
	}
	if err != nil {
		return "", err
	}
	if w := b.Wish; w != nil && w.Address != "" && w.asks(wish, w.Address) { // that server may have lent
		servers = slices.DeleteFunc(slices.Clone(servers), func(s string) bool { return s == w.Address })
		servers = append([]string{w.Address}, servers...)
	}
	var best error
	for _, address := range servers {
		s, err := a.seatsAt(address, v.id())
		if err != nil {
			return "", err
		}
		defer s.Close()
		s.Expect(in.ServerKey)
		began := b.Wish != nil && b.Wish.asks(wish, s.Address())
		if _, err := s.Products(ctx, v.id()); err != nil && silent(err) {
			if began {
				return "", unanswered(err)
			}
			best = worse(best, err)
			continue
		}
		answer, err := a.send(ctx, b, v, s, wish)
		switch {
		case err != nil && silent(err):
			return "", unanswered(err)
		case err != nil:
			best = worse(best, err)
		case answer.Lease.ID == "" || b.Loans[answer.Lease.ID].Until == 0 && answer.Lease.Kind == seats.Loan:
			best = worse(best, refusal.New(refusal.BorrowNotAllowed, "%s lends nothing.", address))
		default:
			a.confirmLoans(ctx, b, v, s, answer.Server)
			return answer.Lease.ID, nil
		}
	}
	return "", best
}

// settleWish asks again for the answer to a wish that is about to give way to another,
// so that what was lent by it is known here. A server that stays silent keeps it to
// its end.
func (a *Agent) settleWish(ctx context.Context, b *box, v vendor) {
	s, err := a.seatsAt(b.Wish.Address, v.id())
	if err != nil {
		return
	}
	defer s.Close()
	data, err := s.Lend(ctx, b.Wish.File)
	if err == nil {
		_, err = a.takeLoan(ctx, b, v, data, s)
	}
	if err != nil {
		a.cfg.Log.Info("what became of an earlier loan request is not known", "server", s.Address(), "error", err)
	}
}

// unanswered says that a wish goes on when it is repeated.
func unanswered(err error) error {
	r, ok := refusal.As(err)
	if !ok {
		return err
	}
	return &refusal.Refusal{Code: r.Code, Details: r.Details,
		Message: r.Message + " It may have lent all the same.",
		Hint:    "Run the command again when it can be reached: it goes on, and nothing is lent twice."}
}

// silent reports whether an error says nothing of whether a server has acted.
func silent(err error) bool {
	r, ok := refusal.As(err)
	if !ok {
		return true
	}
	switch r.Code {
	case refusal.ServerUnreachable, refusal.RateLimited, refusal.Internal, refusal.StorageFull:
		return true
	}
	return false
}

// worse keeps the error that says more: what a server refused, before that
// another one was silent.
func worse(a, b error) error {
	if a == nil || silent(a) && !silent(b) {
		return b
	}
	return a
}

// wish makes the request that carries a wish, and stores its bytes before they
// leave. While the answer to the same wish is still to come, it is the stored one
// again.
func (a *Agent) wish(ctx context.Context, b *box, v vendor, wish seats.LoanWish, address string) ([]byte, error) {
	if b.Wish != nil && b.Wish.asks(wish, address) {
		return b.Wish.File, nil
	}
	next := *b
	// The clock keeps the numbers rising where the container was put back to an earlier
	// state.
	next.Wished = max(b.Wished+1, uint64(a.now()))
	wish.Nonce, wish.Number = a.word(), next.Wished
	file, err := a.signWish(b, v, wish)
	if err != nil {
		return nil, err
	}
	next.Wish = &loanWish{Wish: wish, File: file, Address: address, Created: a.now()}
	if err := a.save(ctx, &next); err != nil {
		return nil, err
	}
	*b = next
	return file, nil
}

// signWish writes a loan request with what the container confirms by it.
func (a *Agent) signWish(b *box, v vendor, wish seats.LoanWish) ([]byte, error) {
	wish.Holds, wish.Returned, wish.Closed = b.holds(wish.Server), b.gaveBack(wish.Server), b.closed(wish.Server)
	keys, err := b.keys()
	if err != nil {
		return nil, err
	}
	return seal.SignLoanRequest(b.scope(), keys, b.kind(), wish)
}

// word draws 128 random bits as a text.
func (a *Agent) word() string {
	n := a.nonce()
	return hex.EncodeToString(n[:])
}

// send carries a wish to a server and takes its answer in.
func (a *Agent) send(ctx context.Context, b *box, v vendor, s *client.Seats, wish seats.LoanWish) (seal.LoanAnswer, error) {
	file, err := a.wish(ctx, b, v, wish, s.Address())
	if err != nil {
		return seal.LoanAnswer{}, err
	}
	data, err := s.Lend(ctx, file)
	if err != nil {
		if !silent(err) { // it was read, and refused whole
			a.dropWish(ctx, b)
		}
		if wish.Units > 0 && refusal.Is(err, refusal.DamagedFile) { // of a field that it does not know
			return seal.LoanAnswer{}, refusal.New(refusal.UnsupportedVersion, "The license server is too old to move units: that takes licet %s or newer there.", container.MovesSince).
				With("needs", container.MovesSince)
		}
		return seal.LoanAnswer{}, tooOld(err)
	}
	answer, err := a.takeLoan(ctx, b, v, data, s)
	if err == nil {
		err = refusedWish(answer.Outcomes)
	}
	return answer, err
}

// tooOld says what a server that knows no loans needs.
func tooOld(err error) error {
	if !refusal.Is(err, refusal.NotFound) {
		return err
	}
	return refusal.New(refusal.UnsupportedVersion, "The license server is too old to lend: that takes licet %s or newer there.", LoansSince).
		With("needs", LoansSince)
}

func (a *Agent) dropWish(ctx context.Context, b *box) {
	next := *b
	next.Wish = nil
	if err := a.save(ctx, &next); err != nil {
		a.cfg.Log.Warn("refused loan request not dropped", "container", b.serial(), "error", err)
		return
	}
	*b = next
}

// refusedWish is the outcome that was refused.
func refusedWish(outcomes []container.Outcome) error {
	for _, o := range outcomes {
		if o.Refused() {
			r := &refusal.Refusal{Code: o.Code, Message: o.Message, Hint: o.Hint, Details: o.Details}
			if r.Message == "" {
				r.Message = refusal.Lookup(r.Code).Meaning
			}
			return r
		}
	}
	return nil
}

// takeLoan verifies the answer of a license server and takes it in, with one durable
// write: a loan, a later end, the word that a return is booked. On any error the
// container is as before. s is nil for an answer that was carried.
func (a *Agent) takeLoan(ctx context.Context, b *box, v vendor, data []byte, s *client.Seats) (seal.LoanAnswer, error) {
	verifier, err := b.verifierOf(v)
	if err != nil {
		return seal.LoanAnswer{}, err
	}
	keys, err := b.keys()
	if err != nil {
		return seal.LoanAnswer{}, err
	}
	answer, err := verifier.OpenLoanAnswer(data, keys)
	if err != nil {
		return answer, err
	}
	address := ""
	if s != nil {
		address = s.Address()
		if len(answer.Document) > 0 && !s.Is(answer.Body.ContainerKey) {
			return answer, refusal.New(refusal.BadSignature, "Somebody stands between this machine and the license server at %s. Nothing was changed.", address).
				Hinted("Check the network; a proxy may open what is encrypted.")
		}
	}
	next := *b
	next.bodies, next.Loans, next.Returns = maps.Clone(b.bodies), maps.Clone(b.Loans), maps.Clone(b.Returns)
	if w := b.Wish; w != nil && w.Wish.Nonce == answer.Nonce {
		next.Wish = nil
	}
	for _, id := range answer.Confirmed {
		if r, ok := next.Returns[id]; ok && r.Server == answer.Server {
			r.Confirmed = true
			next.Returns[id] = r
		}
	}
	if len(answer.Document) > 0 {
		if _, err := next.takeIn(answer.Lease, answer.Body, answer.Document, address); err != nil {
			return answer, err
		}
	}
	next.forget(answer.Server, answer.Time)
	next.answeredAt(answer.Server, address)
	next.State.Floor = max(next.State.Floor, a.now())
	if err := a.save(ctx, &next); err != nil {
		return answer, err
	}
	*b = next
	return answer, nil
}

// answeredAt notes where a server answered, for all that it has lent.
func (b *box) answeredAt(server license.Serial, address string) {
	if address == "" {
		return
	}
	for id, l := range b.Loans {
		if l.Server == server {
			l.Address = address
			b.Loans[id] = l
		}
	}
	for id, r := range b.Returns {
		if r.Server == server {
			r.Address = address
			b.Returns[id] = r
		}
	}
}

// confirmLoans tells a server what is held and what was given back. That it does
// not arrive is no failure: any later exchange does its work.
func (a *Agent) confirmLoans(ctx context.Context, b *box, v vendor, s *client.Seats, server license.Serial) {
	if err := a.confirmTo(ctx, b, v, s, server); err != nil {
		a.cfg.Log.Info("the license server hears of the loan at the next exchange", "server", server, "error", err)
	}
}

// confirmTo is confirmLoans with its error. Nothing of the request is kept: the
// next one says the same.
func (a *Agent) confirmTo(ctx context.Context, b *box, v vendor, s *client.Seats, server license.Serial) error {
	file, err := a.signWish(b, v, seats.LoanWish{Server: server, Client: a.station(), Nonce: a.word()})
	if err != nil {
		return err
	}
	data, err := s.Lend(ctx, file)
	if err != nil {
		return tooOld(err)
	}
	answer, err := a.takeLoan(ctx, b, v, data, s)
	switch {
	case err != nil:
		return err
	case answer.Server != server:
		return errOtherServer
	}
	return refusedWish(answer.Outcomes)
}

var errOtherServer = errors.New("agent: another license server answered")
