// Package gateway is HTTP for machines: request files in, update files out. It
// knows no login. What a file may do is decided by its signature and by the
// registry; here stand only size, form and limits (docs/protocol.md R22).
package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"

	"licet/container"
	"licet/internal/registry"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

// MaxFile is the largest request or receipt in bytes.
const MaxFile = 1 << 20

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

	mux := http.NewServeMux()
	route := func(pattern string, limiter *web.Limiter, h web.Handler) {
		mux.Handle(pattern, limiter.Handler(h))
	}
	route("POST "+wire.PathProgram, limited, g.program)
	route("POST "+wire.PathReceipt, limited, g.receipt)
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
	status(w, "ready")
	return nil
}

// serving is the request's context, with its id for the histories.
func serving(r *http.Request) context.Context {
	return registry.WithRequest(r.Context(), web.RequestID(r.Context()))
}

func status(w http.ResponseWriter, text string) {
	web.JSON(w, http.StatusOK, map[string]string{"status": text})
}

func writeFile(w http.ResponseWriter, file []byte) {
	w.Header().Set("Content-Type", wire.MediaFile)
	// The status is out: a connection that broke is the machine's, which asks again.
	_, _ = w.Write(file)
}
