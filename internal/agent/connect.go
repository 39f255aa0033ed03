package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"licet/container"
	"licet/refusal"
	"licet/wire"
)

// operation is one thing that can be asked of the containers of a machine, by
// name, over the socket or directly. The table in Client's methods is the only
// list; Serve offers the same values.
type operation[In, Out any] struct {
	name   string
	writes bool // needs the home's lock
	run    func(*Agent, context.Context, In) (Out, error)
}

// The operations.
var (
	opActivate   = operation[ActivateRequest, wire.Programming]{"activate", true, (*Agent).Activate}
	opDeactivate = operation[DeactivateRequest, Deactivation]{"deactivate", true, (*Agent).Deactivate}
	opRestore    = operation[RestoreRequest, Restoration]{"restore", true, (*Agent).Restore}
	opUpdate     = operation[UpdateRequest, []Updated]{"update", true, (*Agent).Update}
	opRequest    = operation[RequestRequest, File]{"request", true, (*Agent).Request}
	opImport     = operation[ImportRequest, wire.Programming]{"import", true, (*Agent).Import}
	opReceipt    = operation[ReceiptRequest, File]{"receipt", true, (*Agent).Receipt}
	opList       = operation[Nothing, Inventory]{"list", false, (*Agent).List}
	opCheck      = operation[CheckRequest, CheckResult]{"check", false, (*Agent).Check}
	opOpen       = operation[OpenRequest, Proof]{"open", false, (*Agent).Prove}
	opShow       = operation[ContainerRequest, Container]{"show", false, (*Agent).Show}
	opRepair     = operation[ContainerRequest, Repaired]{"repair", true, (*Agent).Repair}
	opDelete     = operation[ContainerRequest, Container]{"delete", true, (*Agent).Delete}
	opTrustAdd   = operation[TrustRequest, Trust]{"trust-add", true, (*Agent).TrustAdd}
	opTrustList  = operation[Nothing, []Trust]{"trust-list", false, (*Agent).TrustList}
	opDoctor     = operation[DoctorRequest, Report]{"doctor", false, (*Agent).Doctor}

	opBorrow      = operation[BorrowRequest, Borrowed]{"borrow", true, (*Agent).Borrow}
	opReturnLoan  = operation[ReturnRequest, GivenBack]{"return-loan", true, (*Agent).ReturnLoan}
	opAnswerUnits = operation[ImportRequest, File]{"answer-units", true, (*Agent).AnswerUnits}
	opOffers      = operation[OffersRequest, wire.Offers]{"offers", false, (*Agent).Offers}
	opNoteTime    = operation[Nothing, Nothing]{"note-time", true, (*Agent).NoteTime}
	opTake        = operation[TakeRequest, Taken]{"take", true, (*Agent).Take}

	opBridgeAllow  = operation[BridgeCode, Pairing]{"bridge-allow", false, (*Agent).BridgeAllow}
	opBridgeList   = operation[Nothing, []Pairing]{"bridge-list", false, (*Agent).BridgeList}
	opBridgeForget = operation[BridgeCode, []Pairing]{"bridge-forget", false, (*Agent).BridgeForget}

	opServers       = operation[Nothing, Servers]{"servers", false, (*Agent).Servers}
	opReachable     = operation[Nothing, Servers]{"servers-reachable", false, (*Agent).Reachable}
	opServersChange = operation[ServersChange, Servers]{"servers-change", true, (*Agent).ChangeServers}
)

// since names the version of the agent that first knew an operation, for those
// that older ones do not know.
var since = map[string]string{
	opBorrow.name: LoansSince, opReturnLoan.name: LoansSince, opOffers.name: LoansSince, opNoteTime.name: LoansSince,
	opTake.name: container.UnitsSince, opAnswerUnits.name: container.MovesSince, opServers.name: LoansSince, opReachable.name: LoansSince, opServersChange.name: LoansSince,
}

// Client does operations on the containers of a home folder: through the agent
// if one runs there, otherwise directly, under the home's lock.
type Client struct {
	agent  *Agent
	socket *http.Client
}

// Connect returns a client of the home folder cfg.Home. It decides at each call
// whether an agent runs, so that one may be started or stopped in between.
func Connect(cfg Config) *Client {
	a := Open(cfg)
	return &Client{agent: a, socket: &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return a.home.dial(ctx) },
		DisableKeepAlives: true,
	}}}
}

// dial connects to the agent's socket.
func (h home) dial(ctx context.Context) (net.Conn, error) {
	path, done, err := shortPath(h.socket())
	if err != nil {
		return nil, err
	}
	defer done()
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
}

// answers reports whether an agent listens on the socket. A socket file that a
// killed agent left refuses the connection.
func (h home) answers(ctx context.Context) bool {
	conn, err := h.dial(ctx)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// do runs an operation where it has to run.
func (o operation[In, Out]) do(ctx context.Context, c *Client, in In) (Out, error) {
	var zero Out
	if c.agent.home.answers(ctx) {
		return o.ask(ctx, c, in)
	}
	if o.writes {
		lock, err := c.agent.home.lock(ctx)
		if errors.Is(err, errAgentRuns) {
			return o.ask(ctx, c, in)
		}
		if err != nil {
			return zero, err
		}
		defer lock.Unlock() // the kernel releases it anyway when the process ends
	}
	out, err := o.run(c.agent, ctx, in)
	return out, storage(err)
}

// ask sends an operation to the agent that runs.
func (o operation[In, Out]) ask(ctx context.Context, c *Client, in In) (Out, error) {
	var out Out
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("agent: encode %s: %w", o.name, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+pathOf(o.name), bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.socket.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		return out, refusal.New(refusal.AgentUnreachable, "The agent of this machine stopped answering before the work was done.").
			Hinted("Run the command again: what was begun goes on, nothing is done twice.")
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, refusal.New(refusal.AgentUnreachable, "The agent of this machine stopped answering before the work was done.").
			Hinted("Run the command again: what was begun goes on, nothing is done twice.")
	}
	if resp.StatusCode != http.StatusOK {
		var p wire.Problem
		if err := json.Unmarshal(answer, &p); err != nil || p.Code == "" {
			return out, fmt.Errorf("agent: %s answered %s", o.name, resp.Status)
		}
		if needs := since[o.name]; needs != "" && resp.StatusCode == http.StatusNotFound && p.Code == refusal.NotFound && strings.HasPrefix(p.Detail, "The agent has no ") {
			return out, refusal.New(refusal.UnsupportedVersion, "The agent of this machine is too old for this: it takes licet %s or newer.", needs).
				Hinted("Install licet %s or newer, and restart licet serve.", needs).With("needs", needs)
		}
		return out, p.Refusal()
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("agent: decode %s: %w", o.name, err)
	}
	return out, nil
}

// SeatServer asks the license server that runs beside this machine's agent: JSON in
// and out, on one of its paths. In and out may be nil.
func (c *Client) SeatServer(ctx context.Context, method, path string, in, out any) error {
	noServer := refusal.New(refusal.ServerUnreachable, "No license server runs on this machine.").
		Hinted("Start it with licet serve --listen ADDRESS.")
	if !c.agent.home.answers(ctx) {
		return noServer
	}
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("agent: encode %s: %w", path, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.socket.Do(req)
	if err != nil {
		return errors.Join(ctx.Err(), noServer)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		var p wire.Problem
		if json.Unmarshal(answer, &p) != nil || p.Code == "" {
			return fmt.Errorf("agent: %s answered %s", path, resp.Status)
		}
		if r := p.Refusal(); r.Code != refusal.NotFound || resp.Header.Get("X-Licet-Seats") != "" {
			return r
		}
		return noServer // an agent that shares no seats
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("agent: decode %s: %w", path, err)
	}
	return nil
}

// maxAnswer bounds what a client reads of the agent's answer.
const maxAnswer = 64 << 20

func pathOf(name string) string { return "/v1/" + name }

// Activate asks for licenses online: request, update and receipt in one go.
func (c *Client) Activate(ctx context.Context, in ActivateRequest) (wire.Programming, error) {
	return opActivate.do(ctx, c, in)
}

// Deactivate gives licenses back online.
func (c *Client) Deactivate(ctx context.Context, in DeactivateRequest) (Deactivation, error) {
	return opDeactivate.do(ctx, c, in)
}

// Restore reports lost licenses and activates what is granted.
func (c *Client) Restore(ctx context.Context, in RestoreRequest) (Restoration, error) {
	return opRestore.do(ctx, c, in)
}

// Update asks the vendor what is pending and carries it out.
func (c *Client) Update(ctx context.Context, in UpdateRequest) ([]Updated, error) {
	return opUpdate.do(ctx, c, in)
}

// Request makes the file that is carried to the vendor.
func (c *Client) Request(ctx context.Context, in RequestRequest) (File, error) {
	return opRequest.do(ctx, c, in)
}

// Import applies the file that the vendor answered.
func (c *Client) Import(ctx context.Context, in ImportRequest) (wire.Programming, error) {
	return opImport.do(ctx, c, in)
}

// Receipt makes the file that proves to the vendor what was imported.
func (c *Client) Receipt(ctx context.Context, in ReceiptRequest) (File, error) {
	return opReceipt.do(ctx, c, in)
}

// List tells what is on this machine.
func (c *Client) List(ctx context.Context) (Inventory, error) { return opList.do(ctx, c, Nothing{}) }

// Check says whether a product may be used; it never writes.
func (c *Client) Check(ctx context.Context, in CheckRequest) (CheckResult, error) {
	return opCheck.do(ctx, c, in)
}

// Prove answers a program's nonce; it never writes.
func (c *Client) Prove(ctx context.Context, in OpenRequest) (Proof, error) {
	return opOpen.do(ctx, c, in)
}

// Show tells everything about one container.
func (c *Client) Show(ctx context.Context, in ContainerRequest) (Container, error) {
	return opShow.do(ctx, c, in)
}

// Repair binds a container anew to a machine that changed a little.
func (c *Client) Repair(ctx context.Context, in ContainerRequest) (Repaired, error) {
	return opRepair.do(ctx, c, in)
}

// Delete removes a container.
func (c *Client) Delete(ctx context.Context, in ContainerRequest) (Container, error) {
	return opDelete.do(ctx, c, in)
}

// TrustAdd accepts a vendor's licenses from now on.
func (c *Client) TrustAdd(ctx context.Context, in TrustRequest) (Trust, error) {
	return opTrustAdd.do(ctx, c, in)
}

// TrustList tells whose licenses are accepted.
func (c *Client) TrustList(ctx context.Context) ([]Trust, error) {
	return opTrustList.do(ctx, c, Nothing{})
}

// BridgeAllow lets the page that shows a code speak to this machine for an hour.
func (c *Client) BridgeAllow(ctx context.Context, in BridgeCode) (Pairing, error) {
	return opBridgeAllow.do(ctx, c, in)
}

// BridgeList tells which pages may speak to this machine, or wait for it.
func (c *Client) BridgeList(ctx context.Context) ([]Pairing, error) {
	return opBridgeList.do(ctx, c, Nothing{})
}

// BridgeForget refuses pages that wait and ends what was allowed.
func (c *Client) BridgeForget(ctx context.Context, in BridgeCode) ([]Pairing, error) {
	return opBridgeForget.do(ctx, c, in)
}

// Servers tells which license servers this machine asks for seats.
func (c *Client) Servers(ctx context.Context) (Servers, error) {
	return opServers.do(ctx, c, Nothing{})
}

// ChangeServers changes that list.
func (c *Client) ChangeServers(ctx context.Context, in ServersChange) (Servers, error) {
	return opServersChange.do(ctx, c, in)
}

// Doctor writes one report for support.
func (c *Client) Doctor(ctx context.Context, in DoctorRequest) (Report, error) {
	return opDoctor.do(ctx, c, in)
}

// Borrow takes a seat of a license server into a container of this machine.
func (c *Client) Borrow(ctx context.Context, in BorrowRequest) (Borrowed, error) {
	return opBorrow.do(ctx, c, in)
}

// ReturnLoan gives a loan back before its end.
func (c *Client) ReturnLoan(ctx context.Context, in ReturnRequest) (GivenBack, error) {
	return opReturnLoan.do(ctx, c, in)
}

// Offers tells for each product what this machine has and may have of it.
func (c *Client) Offers(ctx context.Context, in OffersRequest) (wire.Offers, error) {
	return opOffers.do(ctx, c, in)
}

// Reachable is the license servers to ask: the list, or those that are found.
func (c *Client) Reachable(ctx context.Context) (Servers, error) {
	return opReachable.do(ctx, c, Nothing{})
}

// NoteTime notes the present time in the containers, unless an agent does.
func (c *Client) NoteTime(ctx context.Context) error {
	_, err := opNoteTime.do(ctx, c, Nothing{})
	return err
}
