// Package licetcmd is the command tree of licet, the program on a user's
// machine. It reads arguments, asks the agent, and says what happened; it
// decides nothing.
package licetcmd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/home"
	"licet/internal/machine"
	"licet/seats"
)

// Env is the world the commands run in. The zero value is the real one; tests
// and the demo give their own. No environment variable changes any of it.
type Env struct {
	Now     func() time.Time
	Random  func([]byte)
	Traits  func() []machine.Trait
	Disk    *durable.Disk
	HTTP    *http.Client
	Station func() seats.Client // who uses seats of license servers

	// Discover looks for license servers on the network; nil does so by DNS-SD.
	Discover func(context.Context) []string
	Streams  cli.Streams
}

// Main runs licet with args, without the program's name, and returns the exit
// status.
func Main(ctx context.Context, env Env, args []string) int {
	if env.Streams.Out == nil {
		env.Streams = cli.System()
	}
	return cli.Main(ctx, Root(env), args, env.Streams)
}

// commands is what all commands share.
type commands struct {
	env   Env
	clock func() time.Time // nil is the computer's
	home  string
}

// Root is the command tree of licet, to be run by cli.Main.
func Root(env Env) *cobra.Command {
	if env.Discover == nil {
		env.Discover = discover
	}
	clock := env.Now
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Streams.Getenv == nil {
		env.Streams.Getenv = os.Getenv
	}
	c := &commands{env: env, clock: clock}
	root := &cobra.Command{
		Use:   "licet",
		Short: "Licenses on this machine",
		Long: "licet keeps the licenses of this machine: it activates and returns them, online\n" +
			"or by files that are carried by hand, and says whether a program may run.",
	}
	root.PersistentFlags().StringVar(&c.home, "home", "", "`FOLDER` that holds the containers (default "+home.Default(env.Streams.Getenv)+")")
	root.AddCommand(
		c.trust(), c.activate(), c.deactivate(), c.restore(), c.update(),
		c.request(), c.importFile(), c.receipt(),
		c.list(), c.check(), c.use(), c.container(), c.doctor(), c.serve(), c.bridge(), c.servers(), c.sessions(),
		c.borrow(), c.giveBack(), c.transfer(), c.lend(), c.run(), c.version(),
	)
	return root
}

// config is what the agent is opened with.
func (c *commands) config(log *slog.Logger) agent.Config {
	dir := c.home // cli has filled in LICET_HOME
	if dir == "" {
		dir = home.Default(c.env.Streams.Getenv)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return agent.Config{
		Home: dir, Now: c.env.Now, Random: c.env.Random, Traits: c.env.Traits,
		Disk: c.env.Disk, HTTP: c.env.HTTP, Station: c.env.Station,
		Discover: c.env.Discover, Log: log,
	}
}

// client is who does the work: the agent that runs, or this process.
func (c *commands) client() *agent.Client { return agent.Connect(c.config(nil)) }

func (c *commands) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			value := map[string]string{"version": agent.Version, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH}
			return cli.Print(cmd, value, func(p *cli.Page) { p.Line("licet %s", agent.Version) })
		},
	}
}

func (c *commands) serve() *cobra.Command {
	var refresh durationFlag
	var pages bridgeFlags
	var shared seatFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the agent: keep licenses up to date, answer programs and commands, share seats",
		Long: "The agent holds this machine's containers. It asks each vendor what is pending, as\n" +
			"often as the vendor wants it, answers programs, and does what the other commands ask.\n" +
			"With --listen it is the license server of a network and shares the seats of this\n" +
			"machine's licenses; nobody else can reach it otherwise.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			every := time.Duration(refresh.Duration)
			if every == 0 {
				every = agent.DefaultRefresh
			}
			a := agent.Open(c.config(log))
			beside, closed, err := pages.beside(a, c, log)
			if err != nil {
				return err
			}
			defer closed()
			seats, err := shared.sharing(a, c, log)
			if err != nil {
				return err
			}
			defer seats.close()
			ctx, cancel := context.WithCancelCause(cmd.Context())
			defer cancel(nil)
			err = a.Serve(ctx, agent.Serving{
				Refresh: every,
				Seats:   seats.handler(),
				Beside: func(ctx context.Context) {
					var both sync.WaitGroup
					if beside != nil {
						both.Go(func() { beside(ctx) })
					}
					both.Go(func() {
						if err := seats.run(ctx); err != nil {
							cancel(err)
						}
					})
					both.Wait()
				},
				Ready: func(socket string) { log.Info("serving", "socket", socket) },
			})
			if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
				err = cause // what kept the license server from running
			}
			return err
		},
	}
	pages.add(cmd)
	shared.add(cmd)
	cmd.Flags().Var(&refresh, "refresh", "time between two contacts with a vendor who asks for none himself, such as 12h")
	return cmd
}

// readInput reads a file a person names, at most limit bytes; "-" is standard
// input.
func readInput(cmd *cobra.Command, name string, limit int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fileError(name, err)
		}
		defer f.Close()
		in = f
	}
	// One byte more than allowed tells a file that is too large; whoever reads
	// the content says so.
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	return data, nil
}

// writeOutput writes a file for a person to carry, readable by its owner alone;
// "-" is standard output.
func (c *commands) writeOutput(cmd *cobra.Command, name string, data []byte) error {
	if name == "-" {
		_, err := cmd.OutOrStdout().Write(data)
		return err
	}
	if err := c.env.Disk.WritePath(name, data, durable.PrivateFile); err != nil {
		return fileError(name, err)
	}
	return nil
}
