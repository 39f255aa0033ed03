package centralcmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/console"
	"licet/internal/gateway"
	"licet/internal/look"
	"licet/internal/meter"
	"licet/internal/portal"
	"licet/internal/registry"
	"licet/internal/tracing"
	"licet/internal/vendorapi"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

// sequenceEvery is how often events are taken into the audit log, and the keys looked at.
const sequenceEvery = time.Second

func serveCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --data DIR [--listen ADDR] [--database URL]",
		Short: "Run the server",
		Long: "Run the server. On an empty data folder it does init by itself.\n\n" +
			"It speaks plain HTTP and listens on this machine alone unless told otherwise; put a proxy with TLS in front of it.",
		Example: `  licet-central serve --data ./central
  licet-central serve --data ./central --database 'postgres://licet@db.example.com/licet'`,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, env) },
	}
	cmd.Flags().String("listen", defaultListen, "address to listen on; port 0 takes a free one")
	cmd.Flags().String("brand", "", "`FILE` with the name, logo and colors of the pages (YAML)")
	cmd.Flags().StringArray("bridge-origin", nil, "web origin, such as https://shop.example.com, whose pages may speak to users' machines that allow it, beside the server's own address; may be repeated")
	cmd.Flags().String("log-format", "", "text or json (default: text, json with --json)")
	cmd.Flags().String("log-level", "info", "debug, info, warn or error; info has a line for each request")
	mailFlags(cmd)
	webhookFlags(cmd)
	vendorFlags(cmd)
	databaseFlag(cmd)
	return cmd
}

// gcPercent lets the small heap of the server grow to five times what is in use
// before it is collected: at the usual 100 that would be some dozens of times per
// second. A large one, as an order of 100 000 licenses makes it, is collected more
// often from memoryLimit on. What the operator sets in GOGC and GOMEMLIMIT comes
// first.
const (
	gcPercent   = 400
	memoryLimit = 256 << 20
)

func serve(cmd *cobra.Command, env Env) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx := cmd.Context()
	f, err := folderOf(cmd, env)
	if err != nil {
		return err
	}
	log, err := logger(cmd)
	if err != nil {
		return err
	}
	brand, _ := cmd.Flags().GetString("brand")
	site, err := siteOf(brand)
	if err != nil {
		return err
	}
	// Listening comes first: an address in use must not leave a new folder behind.
	listen, _ := cmd.Flags().GetString("listen")
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return refusal.New(refusal.InvalidInput, "Cannot listen on %s: %s.", listen, listenCause(err)).
			Hinted("Choose another address with --listen.")
	}
	defer listener.Close()
	url := urlOf(listener.Addr())

	switch name, err := f.inUse(); {
	case err != nil:
		return err
	case name == "":
		m, err := f.initialize(ctx, vendorOf(cmd, url), log)
		if err != nil {
			return err
		}
		log.Info("set up", "data", m.Data, "vendor", m.Vendor, "vendor_id", m.VendorID, "environment", m.Environment)
	}
	reg, done, err := f.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := done(); err != nil {
			log.Error("closing the database", "fault", err)
		}
	}()

	origins, _ := cmd.Flags().GetStringArray("bridge-origin")
	if err := reg.AllowOrigins(origins); err != nil {
		return err
	}
	networks, err := allowNetworks(cmd, reg)
	if err != nil {
		return err
	}
	mailed, err := mailUntil(ctx, cmd, reg, log)
	if err != nil {
		return err
	}
	defer mailed()
	known := reg.WellKnown()
	staffed, err := reg.HasStaff(ctx)
	if err != nil {
		return err
	}
	err = cli.Print(cmd, map[string]string{"url": url, "vendor": known.Vendor, "vendor_id": known.VendorID, "environment": known.Environment, "data": f.path},
		func(p *cli.Page) {
			p.Line("Serving %s at %s (guide: %s%s)", known.Vendor, url, url, vendorapi.PathGuide)
			p.Line("The console of your staff is %s%s.", url, console.Prefix)
			if !staffed {
				p.Next("licet-central staff add NAME --data " + f.path + "  makes the first account of the console, while this runs")
			}
		})
	if err != nil {
		return err
	}
	if env.Serving != nil {
		env.Serving(url)
	}
	version := cli.ThisBuild("licet-central").Version
	if tracing.Configured() {
		stop, err := tracing.Start(ctx, version, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	handler := Handler(reg, site, meter.New(reg, version, env.Now, log), log)
	hooked := hooksUntil(ctx, networks, reg, log)
	defer hooked()
	settled := settleUntil(ctx, reg, log)
	defer settled()
	worked := bulkUntil(ctx, reg, log)
	defer worked()
	stopped := sequenceUntil(ctx, reg, log)
	err = web.Serve(ctx, listener, handler, log)
	stopped()
	return err
}

// Handler is everything the server answers: what has no path of its own is a page.
func Handler(reg *registry.Registry, site *look.Site, m *meter.Meter, log *slog.Logger) http.Handler {
	machines := gateway.New(reg, log, gateway.DefaultLimits())
	staff := vendorapi.New(reg, log, vendorapi.DefaultLimits())
	mux := http.NewServeMux()
	for _, path := range []string{"/gateway/", wire.PathWellKnown, wire.PathHealth, wire.PathReady} {
		mux.Handle(path, machines)
	}
	for _, path := range []string{vendorapi.Prefix + "/", vendorapi.PathDescription, vendorapi.PathGuide, vendorapi.PathGuide + "/"} {
		mux.Handle(path, staff)
	}
	mux.Handle(look.Root, site.Handler())
	desk := console.New(reg, site, console.DefaultLimits())
	mux.Handle(console.Prefix, desk)
	mux.Handle(console.Prefix+"/", desk)
	mux.Handle("/", portal.New(reg, site, portal.DefaultLimits()))
	figures := http.NewServeMux()
	figures.Handle("GET "+meter.Path, m.Handler())
	mux.Handle(meter.Path, web.Mux(figures))
	answered := func(ctx context.Context, a web.Answered) {
		m.Answered(ctx, a)
		tracing.Answered(ctx, a)
	}
	return tracing.Handler(web.ObserveAnd(log, answered, web.Mux(mux)))
}

// sequenceUntil takes events into the audit log, and goes by keys that another server
// has changed, until ctx ends; the function it
// returns waits for that, and takes in the rest.
func sequenceUntil(ctx context.Context, reg *registry.Registry, log *slog.Logger) (stopped func()) {
	once := func(ctx context.Context) {
		if _, err := reg.Sequence(ctx); err != nil && ctx.Err() == nil {
			log.Error("taking events into the audit log; it is tried again", "fault", err)
		}
		switch changed, err := reg.RefreshKeys(ctx); {
		case err != nil && ctx.Err() == nil:
			log.Error("looking whether the keys were changed; it is tried again", "fault", err)
		case changed:
			log.Warn("the keys were changed, or issuing was stopped or resumed", "stopped", reg.Stopped() != nil)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(sequenceEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				once(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer end()
		once(last)
	}
}

func logger(cmd *cobra.Command) (*slog.Logger, error) {
	format, _ := cmd.Flags().GetString("log-format")
	levelText, _ := cmd.Flags().GetString("log-level")
	var level slog.Level
	if err := level.UnmarshalText([]byte(levelText)); err != nil {
		return nil, cli.Usage("%q is no log level; there are debug, info, warn and error.", levelText)
	}
	options := &slog.HandlerOptions{Level: level}
	switch {
	case format == "json", format == "" && cli.JSON(cmd):
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	case format == "text", format == "":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, cli.Usage("%q is no log format; there are text and json.", format)
}

// urlOf is how this machine reaches a listener.
func urlOf(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", t.Port)
	}
	return "http://" + a.String()
}

func listenCause(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	text := err.Error()
	return strings.TrimPrefix(text, "listen: ")
}
