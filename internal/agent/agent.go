// Package agent keeps the containers of a machine: it makes them, speaks to the
// vendor for them, imports what the vendor answers, and says whether a license
// may be used.
//
// The same operations run in two ways: directly, inside a command, or in the
// agent that runs in the background (Serve) and is spoken to over a socket.
// Connect finds out which; what an operation does and answers is the same.
//
// Rules of the exchange are in licet/container, documents in licet/seal. This
// package has the hands: files, clock, network.
package agent

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"licet/internal/durable"
	"licet/internal/machine"
	"licet/license"
	"licet/seats"
)

// Program is how this program names itself in reports and to central.
const Program = "licet/" + Version

// Version is the version of this program.
const Version = "0.5.0"

// Config is what an agent works with. Clock, traits and randomness are
// parameters: no environment variable changes them in a program that ships.
type Config struct {
	// Home is the folder LICET_HOME; it is made when something is first kept.
	Home string
	// Now is the clock; nil is the computer's.
	Now func() time.Time
	// Random fills its argument with random bytes; nil is crypto/rand.
	Random func([]byte)
	// Traits reads what makes this machine this one; nil is machine.Local.
	Traits func() []machine.Trait
	// Disk is where files are written; nil is the real one.
	Disk *durable.Disk
	// HTTP speaks to central; nil is a client with a timeout.
	HTTP *http.Client
	// Station says who uses seats of license servers; nil is Station.
	Station func() seats.Client
	// Discover looks for license servers on the network and gives their addresses;
	// nil finds none. What it finds is only asked, and never believed.
	Discover func(context.Context) []string
	// Log gets what nobody asked for and somebody may want to know; nil drops it.
	Log *slog.Logger
}

// Agent is the containers of one home folder. Its methods are the operations;
// they may be called at the same time. Those that write need the home's lock,
// which a Client takes and Serve holds.
type Agent struct {
	cfg  Config
	home home

	// writing has room for the one operation that may write at a time, network
	// included, so that no second request is drawn for a container while the
	// answer to the first is on its way. Checks never take it.
	writing chan struct{}

	takes takes // of units, that wait for their turn to write

	changed chan struct{} // has room for the one word that a container was written

	seen struct { // license servers that were found on the network
		mu   sync.Mutex
		list []string
		at   time.Time // by the computer's clock; zero for never
	}

	lent Lent // nil where no license server runs in this process; set before Serve

	pairings *Pairings // nil where no page can speak to this machine; set before Serve
}

// Open returns the agent of a home folder. Nothing is read or made yet.
func Open(cfg Config) *Agent {
	cfg = cfg.Filled()
	return &Agent{
		cfg: cfg, home: home{dir: cfg.Home, disk: cfg.Disk},
		writing: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}
}

// Filled is the configuration with what is real in place of what is nil.
func (cfg Config) Filled() Config {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = func(b []byte) { _, _ = rand.Read(b) } // never fails (crypto/rand)
	}
	if cfg.Traits == nil {
		cfg.Traits = machine.Local
	}
	if cfg.Station == nil {
		cfg.Station = Station
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Changed gets a word after a container, the trust or a block list was written by
// this process: several changes may be one word.
func (a *Agent) Changed() <-chan struct{} { return a.changed }

// tell sends that word.
func (a *Agent) tell() {
	select {
	case a.changed <- struct{}{}:
	default: // the last one was not heard yet
	}
}

func (a *Agent) now() license.Time { return license.At(a.cfg.Now()) }

// random is the randomness as a reader.
func (a *Agent) random() io.Reader { return filler(a.cfg.Random) }

type filler func([]byte)

func (f filler) Read(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// write runs fn as the one operation of this process that writes.
func (a *Agent) write(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case a.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.writing }()
	defer a.tell()
	return fn()
}
