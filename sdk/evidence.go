package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"licet/blocklist"
	"licet/container"
	"licet/internal/agent"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

const (
	socketName = "agent.sock"
	// agentPatience is how long an agent may take; the files are read then.
	agentPatience = 2 * time.Second
	// maxCertificates bounds what an agent can have verified.
	maxCertificates = 64
)

// evidence is what one look brought: a license that was proven, or why none
// could be.
type evidence struct {
	proven    bool
	body      container.Body
	contact   license.Time // signed time of the container's last contact
	floor     license.Time // latest time the container knows to have passed
	container license.Serial
	closed    []terms.Reason // why a better license may have stayed unseen
	loan      *wire.Loan     // if a license server has lent it to the machine
	seat      *seat          // if it is a seat of a license server
	used      int64          // units, of a license on the machine

	reasons []terms.Reason // if nothing was proven
	hint    string
	asked   bool         // license servers were, and gave no seat
	queue   wire.Waiting // the best place in their queues
}

// because is the evidence of nothing.
func because(code refusal.Code, message, hint string) evidence {
	return evidence{reasons: []terms.Reason{{Code: code, Message: message}}, hint: hint}
}

// place is where the license comes from.
func (e evidence) place() Place {
	switch {
	case !e.proven:
		return Nowhere
	case e.seat != nil:
		return OnNetwork
	case e.loan != nil:
		return OnLoan
	}
	return OnMachine
}

// source says so for people.
func (e evidence) source() string {
	switch {
	case e.seat != nil:
		return "seat of " + string(e.seat.lease.Server) + " at " + e.seat.server.Address()
	case e.loan != nil:
		return e.loan.Source()
	}
	return "container " + string(e.container)
}

// units is how many there are to be used; 0 where nothing is counted.
func (e evidence) units() int64 {
	switch {
	case e.seat != nil:
		return 0
	case e.loan == nil:
		return e.body.Terms.Units
	case e.loan.Units == nil:
		return 0
	}
	return e.loan.Units.Total
}

// lease names the loan; "" if it is none.
func (e evidence) lease() seats.LeaseID {
	if e.loan == nil {
		return ""
	}
	return e.loan.ID
}

// newer reports whether the vendor has answered the same container since.
func (e evidence) newer(old evidence) bool {
	return e.proven && old.proven && e.container == old.container && e.contact > old.contact
}

// witness looks for evidence and believes only what it verified.
type witness struct {
	product  string
	use      terms.Use
	verifier *seal.Verifier // knows the keys of the program's trust file
	config   agent.Config
	blocks   agent.Blocks // what the program brings along
	trust    []byte       // the program's trust file
	heard    []byte       // the trust file that was looked at last
}

// station is who uses a seat.
func (w *witness) station() seats.Client {
	if w.config.Station != nil {
		return w.config.Station()
	}
	return agent.Station()
}

// look asks the agent, if there is one, and reads the files if that brings no
// license that may be used: an agent that hangs, lies or is out of date must not
// stand between a program and the licenses on its machine. An error means that
// it could not be told.
func (w *witness) look(ctx context.Context, now license.Time) (evidence, error) {
	var asked evidence
	failed := errors.New("no agent")
	if w.served() {
		patience, cancel := context.WithTimeout(ctx, agentPatience)
		asked, failed = w.ask(patience, agent.Connect(w.config))
		cancel()
		if failed == nil && asked.judge(w.use, now).Valid {
			return asked, nil
		}
	}
	read, err := w.read(ctx)
	if err != nil && failed == nil {
		return asked, nil
	}
	return read, err
}

// served reports whether an agent may run on this machine.
func (w *witness) served() bool {
	_, err := os.Lstat(filepath.Join(w.config.Home, socketName))
	return err == nil
}

// read looks at the containers' files itself.
func (w *witness) read(ctx context.Context) (evidence, error) {
	seen, err := agent.Open(w.config).Look(ctx, agent.LookRequest{
		Scope: w.verifier.Scope(), Product: w.product, Use: w.use, Blocks: w.blocks,
		License: func(step, body []byte, known agent.Known) (container.Body, error) {
			w.hear(known.Trust, known.File)
			return w.license(agent.Proof{Step: step, Body: body, Certificates: known.Certificates})
		},
		Lease: func(document []byte, known agent.Known) (seats.Lease, container.Body, error) {
			w.hear(known.Trust, known.File)
			return w.lease(agent.Proof{Lease: document, Certificates: known.Certificates})
		},
	})
	switch {
	case err != nil:
		return evidence{}, err
	case seen.Body == nil:
		return w.nothing(seen.Verdict, seen.Hint)
	case seen.Body.Product != w.product: // what the agent looked for
		return evidence{}, forged()
	}
	return evidence{
		proven: true, body: *seen.Body, container: seen.Container,
		contact: seen.LastContact, floor: seen.Floor, closed: seen.Closed, loan: seen.Loan, used: seen.Used,
	}, nil
}

// hear goes by a newer trust bundle of the program's vendor, wherever it comes from:
// as it was signed, or in a file. What proves to be somebody else's is passed over.
func (w *witness) hear(signed, file []byte) {
	_, _ = w.verifier.FollowSigned(signed)
	if len(file) == 0 || bytes.Equal(file, w.heard) {
		return
	}
	w.heard = file
	if t, err := seal.ParseTrust(file); err == nil {
		w.verifier.Follow(t)
	}
}

// bring takes in the block list that the program has with it.
func (w *witness) bring(file []byte) error {
	signed, err := seal.DearmorBlockNews(file)
	if err != nil {
		return fmt.Errorf("sdk: the program's block list: %w", err)
	}
	news, err := w.verifier.OpenBlockNews(signed)
	if err != nil {
		return fmt.Errorf("sdk: the program's block list: %w", err)
	}
	list, err := blocklist.List{}.Apply(news.News)
	if err != nil {
		return fmt.Errorf("sdk: the program's block list: %w", err)
	}
	w.blocks = agent.Blocks{List: list, Head: w.verifier.BlockHead}
	return nil
}

// nothing is what a verdict brings for which nothing was proven.
func (w *witness) nothing(v terms.Verdict, hint string) (evidence, error) {
	for _, r := range v.Reasons {
		if couldNotTell(r.Code) {
			return evidence{}, &refusal.Refusal{Code: r.Code, Message: r.Message, Hint: hint}
		}
	}
	if len(v.Reasons) == 0 { // whatever answered, it proves nothing
		return because(refusal.NoLicense, "No license for "+w.product+" is on this machine.", hint), nil
	}
	return evidence{reasons: v.Reasons, hint: hint}, nil
}

// ask has the agent answer a fresh nonce.
func (w *witness) ask(ctx context.Context, from *agent.Client) (evidence, error) {
	nonce := container.Nonce{}
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	p, err := from.Prove(ctx, agent.OpenRequest{
		Vendor: string(w.verifier.Scope().Vendor), Product: w.product, Use: w.use, Nonce: nonce[:],
	})
	if err != nil {
		return evidence{}, err
	}
	if len(p.Body) > 0 || len(p.Lease) > 0 {
		e, _, err := w.verify(p, nonce)
		if err != nil {
			r := reasonOf(err)
			return because(r.Code, r.Message, hintOf(err)), nil
		}
		// An agent that is old, or bent, may not have looked.
		no, err := agent.Open(w.config).Blocked(w.verifier.Scope(), e.body, w.blocks, e.container)
		if err != nil {
			return evidence{}, err
		}
		if no != nil {
			return because(no.Code, no.Message, no.NextStep()), nil
		}
		return e, nil
	}
	return w.nothing(p.Verdict, p.Hint)
}

// verify proves a license: the vendor's signature over the step, the step's
// hash of the body, and the signature over the nonce by the container's key,
// which the body names. It tells the units that the container says to have taken.
func (w *witness) verify(p agent.Proof, nonce container.Nonce) (e evidence, took int64, err error) {
	if want := w.verifier.Scope().Environment; p.Environment != want {
		return evidence{}, 0, refusal.New(refusal.WrongEnvironment, "The license of this machine belongs to environment %q; the program to %q.", p.Environment, want)
	}
	if len(p.Certificates) > maxCertificates {
		return evidence{}, 0, forged()
	}
	w.hear(p.Trust, nil)
	holder, document := []byte(nil), p.Body
	if len(p.Lease) > 0 {
		var lease seats.Lease
		if lease, e.body, err = w.lease(p); err == nil {
			e.loan = loanOf(lease)
		}
		e.container, holder, document = lease.Holder, lease.HolderKey, p.Lease
	} else {
		e.body, err = w.license(p)
		e.container, holder = e.body.Container, e.body.ContainerKey
	}
	if err != nil {
		return evidence{}, 0, err
	}
	said, err := seal.OpenAnswer(w.verifier.Scope(), holder, p.Answer, nonce)
	if err != nil {
		return evidence{}, 0, err
	}
	var facts agent.Facts
	if err := json.Unmarshal(said, &facts); err != nil {
		return evidence{}, 0, forged()
	}
	hash := sha256.Sum256(document)
	if e.body.Product != w.product || !bytes.Equal(facts.Body, hash[:]) ||
		facts.License != e.body.License || facts.Generation != e.body.Generation {
		return evidence{}, 0, forged()
	}
	e.proven, e.contact, e.floor, e.used = true, facts.LastContact, facts.Floor, facts.Used
	return e, facts.Took, nil
}

// lease checks the document of a loan: the vendor's signature over the license
// that it is of, and the lending container's over the loan, for a container of this
// machine.
func (w *witness) lease(p agent.Proof) (seats.Lease, container.Body, error) {
	lease, body, err := w.verifier.Lease(p.Lease)
	for _, c := range p.Certificates {
		if err == nil || refusal.Is(err, refusal.KeyRevoked) {
			break
		}
		if err := w.verifier.Add(c); err != nil {
			return seats.Lease{}, container.Body{}, err
		}
		lease, body, err = w.verifier.Lease(p.Lease)
	}
	if err == nil && lease.Kind == seats.Session {
		err = forged() // a seat of a program is no loan
	}
	return lease, body, err
}

// loanOf tells of a loan that was proven.
func loanOf(l seats.Lease) *wire.Loan {
	return &wire.Loan{
		ID: l.ID, Kind: l.Kind, Product: l.Product, License: l.License, Container: l.Holder,
		Server: l.Server, Seats: l.Seats, Since: l.From, Until: l.Until, Units: wire.UnitsOf(license.Terms{Units: l.Units}, 0),
	}
}

// license checks the vendor's documents. Certificates that come with them are
// verified one by one as they are needed: each costs as much as the license.
func (w *witness) license(p agent.Proof) (container.Body, error) {
	_, body, err := w.verifier.License(p.Step, p.Body)
	for _, c := range p.Certificates {
		if err == nil || refusal.Is(err, refusal.KeyRevoked) {
			break
		}
		if err := w.verifier.Add(c); err != nil {
			return container.Body{}, err
		}
		_, body, err = w.verifier.License(p.Step, p.Body)
	}
	return body, err
}

// judge decides by the terms.
func (e evidence) judge(use terms.Use, now license.Time) terms.Verdict {
	if !e.proven {
		return terms.Verdict{Code: e.reasons[0].Code, Reasons: slices.Clone(e.reasons)}
	}
	held := terms.Held{Terms: e.body.Terms, Features: e.body.Features, LastContact: e.contact, Used: e.used}
	clock := terms.Clock{Now: now, Floor: e.floor}
	switch {
	case e.loan != nil:
		held = agent.OnLoan(e.body, e.loan.Since, e.loan.Until, e.units(), e.used)
	case e.seat != nil:
		// The server keeps the terms by its own clock; this machine's may differ.
		held.Lent, clock.Now = true, max(now, e.seat.lease.From)
	}
	v := terms.Check(held, use, clock)
	if e.seat != nil {
		e.seat.judge(&v, now)
	}
	if !v.Valid {
		v.Reasons = slices.Concat(v.Reasons, e.closed)
	}
	return v
}

// judge ends what the seat gives with the seat.
func (s *seat) judge(v *terms.Verdict, now license.Time) {
	end := s.end()
	switch {
	case !v.Valid:
	case now >= end:
		*v = terms.Verdict{Code: refusal.LeaseLost, Reasons: []terms.Reason{{
			Code: refusal.LeaseLost, Message: unheard,
		}}}
	case now >= s.until:
		v.InGrace = true
		v.Warnings = append(v.Warnings, terms.Reason{Code: refusal.ServerUnreachable,
			Message: "The license server does not answer, and the seat has ended. It stays usable until " + end.String() + "."})
	}
	if v.ValidUntil == 0 || end < v.ValidUntil {
		v.ValidUntil = end
	}
}

// couldNotTell reports whether a code says nothing about the licenses
// themselves.
func couldNotTell(code refusal.Code) bool {
	return slices.Contains([]refusal.Code{
		refusal.AgentUnreachable, refusal.Conflict, refusal.Forbidden, refusal.StorageFull, refusal.Internal,
	}, code)
}

func forged() error {
	return refusal.New(refusal.BadSignature, "The license that was found proves nothing.")
}

// reasonOf is an error as a reason. The text of a fault is shown: it is of the
// person's own machine.
func reasonOf(err error) terms.Reason {
	if r, ok := refusal.As(err); ok {
		return terms.Reason{Code: r.Code, Message: r.Message}
	}
	return terms.Reason{Code: refusal.Internal, Message: fmt.Sprintf("The licenses on this machine cannot be read: %v.", err)}
}

func hintOf(err error) string {
	r, _ := refusal.As(err)
	if r == nil {
		return refusal.Lookup(refusal.Internal).Hint
	}
	return r.NextStep()
}
