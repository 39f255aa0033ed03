// Package gateway is HTTP for machines: request files in, update files out. It
// knows no login. What a file may do is decided by its signature and by the
// registry; here stand only size, form and limits (docs/protocol.md R22).
package gateway

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

// MaxFile is the largest request or receipt in bytes.
const MaxFile = 1 << 20

// Bounds of what comes as JSON, in bytes.
const (
	maxUpdates = 8 << 20 // requests without tickets are small
	maxRestore = MaxFile + 128<<10
)

// restoreShare is how much tighter the limits are for reports of losses: one a
// second from one address, by default.
const restoreShare = 20

// DefaultLimits serve a company behind one address, and stop one machine that
// went wild.
func DefaultLimits() web.Limits {
	return web.Limits{
		PerAddress: web.Rate{PerSecond: 20, Burst: 200},
		Total:      web.Rate{PerSecond: 500, Burst: 2000},
		AtOnce:     64,
		AtOnceAll:  512,
	}
}

// New is the gateway's handler, with the health checks beside it.
func New(reg *registry.Registry, log *slog.Logger, limits web.Limits) http.Handler {
	g := &gateway{reg}
	limited := web.NewLimiter(limits)
	// Monitoring must see a server that is busy, but not keep it busy.
	health := web.NewLimiter(web.Limits{PerAddress: web.Rate{PerSecond: 10, Burst: 50}, Total: web.Rate{PerSecond: 100, Burst: 200}})

	// A report of a loss takes a license from wherever it is, for a ticket alone.
	restores := web.NewLimiter(limits.Tighter(restoreShare))

	mux := http.NewServeMux()
	route := func(pattern string, limiter *web.Limiter, h web.Handler) {
		mux.Handle(pattern, limiter.Handler(h))
	}
	route("POST "+wire.PathProgram, limited, g.program)
	route("POST "+wire.PathReceipt, limited, g.receipt)
	route("POST "+wire.PathUpdates, limited, g.updates(limited))
	route("POST "+wire.PathRestore, restores, g.restore)
	route("GET "+wire.PathBlockList, limited, g.blockList)
	route("GET "+wire.PathOrigins, limited, g.origins)
	route("GET "+wire.PathTime, limited, g.time)
	route("GET "+wire.PathWellKnown, limited, g.wellKnown)
	route("GET "+wire.PathHealth, health, g.health)
	route("GET "+wire.PathReady, health, g.ready)
	return web.Observe(log, web.Mux(mux))
}

type gateway struct{ registry *registry.Registry }

func (g *gateway) program(w http.ResponseWriter, r *http.Request) error {
	file, err := web.ReadBody(w, r, MaxFile)
	if err != nil {
		return err
	}
	update, err := g.registry.Program(serving(r), file)
	if err != nil {
		return err
	}
	writeFile(w, update)
	return nil
}

func (g *gateway) receipt(w http.ResponseWriter, r *http.Request) error {
	file, err := web.ReadBody(w, r, MaxFile)
	if err != nil {
		return err
	}
	if err := g.registry.Receipt(serving(r), file); err != nil {
		return err
	}
	status(w, "received")
	return nil
}

// updates answers several requests as program would answer each. Every one counts
// for the limits.
func (g *gateway) updates(limiter *web.Limiter) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		in, err := readJSON[wire.UpdatesRequest](w, r, maxUpdates)
		if err != nil {
			return err
		}
		switch n := len(in.Requests); {
		case n == 0:
			return refusal.New(refusal.InvalidInput, "There is no request in the call.").Hinted("Send the request files as a list of texts in \"requests\".")
		case n > wire.MaxUpdates:
			return refusal.New(refusal.TooLarge, "The call has %d requests; at most %d go at once.", n, wire.MaxUpdates).With("limit", wire.MaxUpdates)
		default:
			limiter.Pay(r, n-1)
		}
		out := wire.UpdatesAnswer{Answers: []wire.UpdateAnswer{}}
		for _, file := range in.Requests {
			out.Answers = append(out.Answers, g.answer(r, file))
		}
		web.JSON(w, http.StatusOK, out)
		return nil
	}
}

// answer is what one request of several is answered.
func (g *gateway) answer(r *http.Request, file string) wire.UpdateAnswer {
	if len(file) > MaxFile {
		p := web.ProblemOf(r, refusal.New(refusal.TooLarge, "The request is larger than %d bytes.", MaxFile).With("limit", MaxFile))
		return wire.UpdateAnswer{Problem: &p}
	}
	update, err := g.registry.Program(serving(r), []byte(file))
	if err == nil {
		return wire.UpdateAnswer{Update: string(update)}
	}
	if _, ok := refusal.As(err); !ok {
		web.Fault(r.Context(), err)
	}
	p := web.ProblemOf(r, err)
	return wire.UpdateAnswer{Problem: &p}
}

func (g *gateway) restore(w http.ResponseWriter, r *http.Request) error {
	in, err := readJSON[wire.RestoreRequest](w, r, maxRestore)
	if err != nil {
		return err
	}
	out, err := g.registry.RequestRestore(serving(r), in)
	if err != nil {
		return err
	}
	web.JSON(w, http.StatusOK, out)
	return nil
}

// blockList answers with a file, or with nothing where there is nothing newer.
func (g *gateway) blockList(w http.ResponseWriter, r *http.Request) error {
	from, err := strconv.ParseUint(r.URL.Query().Get("from"), 10, 63)
	if err != nil {
		return refusal.New(refusal.InvalidInput, "The number of a block list is missing.").
			Hinted("Send the number of the list that you have as ?from=; 0 asks for the whole list.")
	}
	file, err := g.registry.BlockListFile(r.Context(), from)
	if refusal.Is(err, refusal.AlreadyApplied) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err != nil {
		return err
	}
	writeFile(w, file)
	return nil
}

func (g *gateway) time(w http.ResponseWriter, r *http.Request) error {
	nonce, err := hex.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil || len(nonce) != len(container.Nonce{}) {
		return refusal.New(refusal.InvalidInput, "The nonce is not 16 bytes in hexadecimal.").
			Hinted("Draw 16 random bytes and send them as ?nonce= in hexadecimal.")
	}
	signed, err := g.registry.SignTime(r.Context(), nonce)
	if err != nil {
		return err
	}
	writeFile(w, signed)
	return nil
}

func (g *gateway) origins(w http.ResponseWriter, r *http.Request) error {
	signed, err := g.registry.SignOrigins(r.Context())
	if err != nil {
		return err
	}
	writeFile(w, signed)
	return nil
}

func (g *gateway) wellKnown(w http.ResponseWriter, _ *http.Request) error {
	web.JSON(w, http.StatusOK, g.registry.WellKnown())
	return nil
}

// health says that the process runs.
func (g *gateway) health(w http.ResponseWriter, _ *http.Request) error {
	status(w, "ok")
	return nil
}

// ready says that the process can do its work.
func (g *gateway) ready(w http.ResponseWriter, r *http.Request) error {
	if err := g.registry.Ready(r.Context()); err != nil {
		web.Fault(r.Context(), fmt.Errorf("gateway: not ready: %w", err))
		return refusal.New(refusal.CentralUnreachable, "The server runs, but cannot use its database.").
			Hinted("The server's log says why.")
	}
	answer := wire.Ready{Status: "ready"}
	if s := g.registry.Stopped(); s != nil {
		answer.IssuingStopped = s.Since // the reason is for staff
	}
	web.JSON(w, http.StatusOK, answer)
	return nil
}

// serving is the request's context, with its id for the histories.
func serving(r *http.Request) context.Context {
	return registry.WithRequest(r.Context(), web.RequestID(r.Context()))
}

// readJSON reads a body that is one JSON value of a known form and nothing else.
func readJSON[T any](w http.ResponseWriter, r *http.Request, limit int64) (value T, err error) {
	body, err := web.ReadBody(w, r, limit)
	if err != nil {
		return value, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&value); err != nil {
		return value, refusal.New(refusal.InvalidInput, "The body is not the JSON that is expected here: %v.", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return value, refusal.New(refusal.InvalidInput, "There is more in the body than one JSON value.")
	}
	return value, nil
}

func status(w http.ResponseWriter, text string) {
	web.JSON(w, http.StatusOK, map[string]string{"status": text})
}

func writeFile(w http.ResponseWriter, file []byte) {
	w.Header().Set("Content-Type", wire.MediaFile)
	w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	// The status is out: a connection that broke is the machine's, which asks again.
	_, _ = w.Write(file)
}
