package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// Serving says how an agent runs in the background.
type Serving struct {
	// Refresh is the time between two contacts with the vendors; 0 is
	// DefaultRefresh, less than 0 never.
	Refresh time.Duration
	// Ready, if set, is called once the socket answers.
	Ready func(socket string)
	// Seats, if set, answers what the agent's socket is asked of seats, for programs and
	// administrators on this machine (paths of licet/wire).
	Seats http.Handler
	// Beside, if set, runs beside the agent and returns when ctx ends.
	Beside func(ctx context.Context)
}

// DefaultRefresh is how often an agent asks the vendors what is pending.
const DefaultRefresh = 12 * time.Hour

const (
	maxCall      = seal.MaxUpdate*2 + 64<<10 // a file in JSON, and a little more
	stopPatience = 10 * time.Second
)

// Serve runs the agent until ctx ends: it holds the home's lock, answers on its
// socket, asks the vendors what is pending, and raises the time floor. A second
// agent of the same home is refused.
func (a *Agent) Serve(ctx context.Context, s Serving) error {
	lock, err := a.home.lock(ctx)
	if errors.Is(err, errAgentRuns) {
		return refusal.New(refusal.Conflict, "An agent runs already for %s.", a.cfg.Home).
			Hinted("There is nothing to do: commands find it by themselves.").With("socket", a.home.socket())
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()

	listener, err := a.home.listen()
	if err != nil {
		return storage(err)
	}
	server := &http.Server{
		Handler:           a.handler(s.Seats),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			uid, known := peerUser(conn)
			return context.WithValue(ctx, callerKey{}, caller{uid, known})
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	loops, stopLoops := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.refreshLoop(loops, s.Refresh) })
	running.Go(func() { a.floorLoop(loops) })
	running.Go(func() { a.loanLoop(loops) })
	if s.Beside != nil {
		running.Go(func() { s.Beside(loops) })
	}
	if s.Ready != nil {
		s.Ready(a.home.socket())
	}

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-served:
		served <- failed
	}
	stopLoops()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if shutErr := server.Shutdown(stop); shutErr != nil {
		a.cfg.Log.Warn("calls were cut off", "error", shutErr)
	}
	<-served // now the socket is gone
	running.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	a.raiseFloors(last)
	if errors.Is(failed, http.ErrServerClosed) {
		failed = nil
	}
	return failed
}

// listen opens the socket. Whoever holds the lock may remove what a killed
// agent left.
func (h home) listen() (net.Listener, error) {
	if err := os.Remove(h.socket()); err != nil && !missing(err) {
		return nil, err
	}
	path, done, err := shortPath(h.socket())
	if err != nil {
		return nil, err
	}
	defer done()
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("agent: listen on %s: %w", h.socket(), err)
	}
	if l, ok := listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // a short path may mean something else by then
	}
	// Until now nobody else could connect either: the folder is private.
	if err := os.Chmod(h.socket(), 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return socketFile{listener, h.socket()}, nil
}

// socketFile removes the socket under its real name when it is closed.
type socketFile struct {
	net.Listener
	path string
}

func (s socketFile) Close() error {
	err := s.Listener.Close()
	if gone := os.Remove(s.path); gone != nil && !missing(gone) && err == nil {
		err = gone
	}
	return err
}

// socketLimit is the longest path that every system takes for a socket.
const socketLimit = 100

// shortPath is a name of path that fits into a socket's address. On Linux a
// long path is reached through its open folder; done closes that.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) <= socketLimit || runtime.GOOS != "linux" {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)), func() { dir.Close() }, nil
}

type callerKey struct{}

// caller is who is on the other end of a connection.
type caller struct {
	uid   int
	known bool
}

// allowed reports whether a caller may use the agent: its own user and root.
func (c caller) allowed(own int) bool { return c.known && (c.uid == own || c.uid == 0) }

// handler offers every operation as POST /v1/NAME, JSON in and out.
func (a *Agent) handler(seats http.Handler) http.Handler {
	mux := http.NewServeMux()
	offer(a, mux, opActivate)
	offer(a, mux, opDeactivate)
	offer(a, mux, opRestore)
	offer(a, mux, opUpdate)
	offer(a, mux, opRequest)
	offer(a, mux, opImport)
	offer(a, mux, opReceipt)
	offer(a, mux, opList)
	offer(a, mux, opCheck)
	offer(a, mux, opOpen)
	offer(a, mux, opShow)
	offer(a, mux, opRepair)
	offer(a, mux, opDelete)
	offer(a, mux, opTrustAdd)
	offer(a, mux, opTrustList)
	offer(a, mux, opDoctor)
	offer(a, mux, opBorrow)
	offer(a, mux, opReturnLoan)
	offer(a, mux, opOffers)
	offer(a, mux, opNoteTime)
	offer(a, mux, opTake)
	offer(a, mux, opAnswerUnits)
	offer(a, mux, opBridgeAllow)
	offer(a, mux, opBridgeList)
	offer(a, mux, opBridgeForget)
	offer(a, mux, opServers)
	offer(a, mux, opReachable)
	offer(a, mux, opServersChange)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, refusal.New(refusal.NotFound, "The agent has no %s %s.", r.Method, r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := r.Context().Value(callerKey{}).(caller)
		if !who.allowed(os.Getuid()) {
			writeProblem(w, refusal.New(refusal.Forbidden, "The agent of this folder serves only the user it runs as.").
				Hinted("Run the command as that user, or choose another folder with --home."))
			return
		}
		if seats != nil && isSeats(r.URL.Path) {
			seats.ServeHTTP(w, r)
			return
		}
		// A page in a browser can send a form to a local address, but neither to a
		// socket file nor with this type.
		if r.Header.Get("Content-Type") != "application/json" {
			writeProblem(w, refusal.New(refusal.InvalidInput, "The agent takes JSON."))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isSeats reports whether a path is one of a license server's.
func isSeats(path string) bool {
	switch path {
	case wire.PathLeases, wire.PathPools, wire.PathLoans, wire.PathProducts, wire.PathUsage,
		wire.PathServer, wire.PathRules, wire.PathDecide, wire.PathPardon:
		return true
	}
	return strings.HasPrefix(path, wire.PathLease)
}

// offer adds one operation. A call whose client went away is carried on when it
// writes: what was begun is finished, and the next call finds it done.
func offer[In, Out any](a *Agent, mux *http.ServeMux, o operation[In, Out]) {
	mux.HandleFunc("POST "+pathOf(o.name), func(w http.ResponseWriter, r *http.Request) {
		var in In
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				writeProblem(w, refusal.New(refusal.TooLarge, "The input is larger than the limit of %d bytes.", maxCall))
				return
			}
			writeProblem(w, refusal.New(refusal.InvalidInput, "The agent cannot read the call: %v.", err).
				Hinted("Command and agent may be of different versions: restart licet serve."))
			return
		}
		ctx := r.Context()
		if o.writes {
			ctx = context.WithoutCancel(ctx)
		}
		out, err := o.run(a, ctx, in)
		if err != nil {
			a.cfg.Log.Info("refused", "operation", o.name, "error", err)
			writeProblem(w, storage(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			a.cfg.Log.Debug("answer not delivered", "operation", o.name, "error", err)
		}
	})
}

// problemOf is an error as it travels. A fault keeps its text: the caller is
// the user whose machine this is.
func problemOf(err error) wire.Problem {
	r, ok := refusal.As(err)
	if !ok {
		r = refusal.New(refusal.Internal, "%v", err)
	}
	entry := refusal.Lookup(r.Code)
	return wire.Problem{Title: entry.Meaning, Status: entry.Status, Detail: r.Message, Code: r.Code, Hint: r.Hint, Details: r.Details}
}

func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	status := p.Status
	if status == http.StatusOK {
		status = http.StatusConflict // a code of success is no error status
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p) // nobody is left to tell when the caller is gone
}
