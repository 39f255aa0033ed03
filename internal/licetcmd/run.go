package licetcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
	"licet/refusal"
	"licet/sdk"
)

// stopPatience is what a command that is to stop has to save its work.
const stopPatience = 30 * time.Second

// launch is what licet run was told.
type launch struct {
	features   []string
	version    string
	built      timeFlag
	vendor     string
	servers    []string
	wait       bool
	stopOnLoss bool
}

func (c *commands) run() *cobra.Command {
	var l launch
	cmd := &cobra.Command{
		Use:   "run PRODUCT -- COMMAND…",
		Short: "Run a command while a license or a seat is held for it",
		Long: "Holds a license of this machine, or a seat of a license server, while COMMAND runs:\n" +
			"so any program can be licensed without a change. Signals are passed on, and the exit\n" +
			"status is the command's. If the seat is lost meanwhile it says so, and the command\n" +
			"goes on unless --stop-on-loss ends it.",
		Example: "  licet run CAD-PRO --wait -- cad --open drawing.dwg",
		Args:    cli.Args("PRODUCT", "COMMAND…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := c.hold(cmd, args[0], l)
			if err != nil {
				return err
			}
			defer session.Close()
			return l.command(cmd, session, args[1:])
		},
	}
	cmd.Flags().SetInterspersed(true)
	cmd.Flags().StringArrayVar(&l.features, "feature", nil, "`FEATURE` that is needed; may be repeated")
	cmd.Flags().StringVar(&l.version, "version", "", "`VERSION` of the command, such as 4.2")
	cmd.Flags().Var(&l.built, "build-date", "when the command was built, such as 2026-11-30")
	cmd.Flags().StringVar(&l.vendor, "vendor", "", "vendor `ID`, where this machine trusts several")
	cmd.Flags().BoolVar(&l.wait, "wait", false, "wait in the license server's queue for a seat")
	cmd.Flags().BoolVar(&l.stopOnLoss, "stop-on-loss", false, fmt.Sprintf("end the command if the license is lost: SIGTERM, and SIGKILL %s later", stopPatience))
	serverFlag(cmd, &l.servers)
	return cmd
}

// hold opens a session of the product's vendor: the first, of those whom this
// machine trusts, whose license may be used.
func (c *commands) hold(cmd *cobra.Command, product string, l launch) (*sdk.Session, error) {
	ctx := cmd.Context()
	cfg := c.config(nil)
	trusts, err := agent.Open(cfg).TrustFiles(l.vendor)
	if err != nil {
		return nil, err
	}
	opts := []sdk.Option{sdk.WithHome(cfg.Home)}
	if c.env.Traits != nil {
		opts = append(opts, sdk.WithTraits(c.env.Traits))
	}
	if c.clock != nil {
		opts = append(opts, sdk.WithClock(c.clock))
	}
	if c.env.Station != nil {
		opts = append(opts, sdk.WithStation(c.env.Station))
	}
	if c.env.HTTP != nil {
		opts = append(opts, sdk.WithHTTP(c.env.HTTP))
	}
	if len(l.servers) > 0 {
		opts = append(opts, sdk.WithServers(l.servers...))
	}
	var first *sdk.Session
	for _, trust := range trusts {
		own := opts
		if l.wait && len(trusts) == 1 {
			own = append(own, sdk.WithWait())
		}
		s, err := sdk.Open(ctx, sdk.Product{Trust: trust, Code: product, Features: l.features, Version: l.version, BuildDate: l.built.Go()}, own...)
		if err != nil {
			return nil, err
		}
		switch {
		case s.Valid() && first != nil:
			first.Close()
			return s, nil
		case first == nil:
			first = s
		default:
			s.Close()
		}
		if first.Valid() {
			return first, nil
		}
	}
	v := first.Verdict()
	if v.Code == sdk.NoLicense && len(l.servers) == 0 {
		if known, err := c.client().Reachable(ctx); err == nil && len(known.List) > 0 {
			first.Close()
			l.servers = known.List
			return c.hold(cmd, product, l)
		}
	}
	if l.wait && v.Code == sdk.NoSeatFree && len(trusts) == 1 {
		if err = c.waitFor(cmd, first); err == nil {
			return first, nil
		}
	} else if l.wait && v.Code == sdk.NoSeatFree {
		err = refusal.New(refusal.InvalidInput, "This machine trusts %d vendors.", len(trusts)).Hinted("To wait for a seat, say whose product it is with --vendor ID.")
	} else {
		err = &refusal.Refusal{Code: v.Code, Message: v.Reasons[0].Message, Hint: v.Hint}
	}
	first.Close()
	return nil, err
}

// waitFor waits for a seat and tells the place in the queue.
func (c *commands) waitFor(cmd *cobra.Command, s *sdk.Session) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(ctx) }()
	place := 0
	for {
		if v := s.Verdict(); v.Queue != place && v.Queue > 0 {
			place = v.Queue
			fmt.Fprintf(cmd.ErrOrStderr(), "All seats are taken; place %d in the queue.\n", place)
		}
		select {
		case err := <-waited:
			return err
		case <-s.Changed():
		}
	}
}

// command runs the command while the session lasts.
func (l launch) command(cmd *cobra.Command, session *sdk.Session, args []string) error {
	run := exec.Command(args[0], args[1:]...)
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := run.Start(); err != nil {
		return refusal.New(refusal.NotFound, "The command cannot be started: %v.", reasonOf(err)).Hinted("Check its name and path.")
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	var kill <-chan time.Time
	stop := func() {
		if kill == nil {
			_ = run.Process.Signal(gentle) // it may have ended
			kill = time.After(stopPatience)
		}
	}
	valid := true
	// What is typed at a terminal reaches the command by itself.
	typed := cli.Terminal(os.Stdin)
	for {
		select {
		case err := <-ended:
			return exitOf(err)
		case s := <-signals:
			if !typed || !atTerminal(s) {
				_ = run.Process.Signal(s) // it may have ended
			}
		case <-kill:
			_ = run.Process.Kill() // it may have ended
		case <-session.Changed():
			valid = l.tell(cmd, session.Verdict(), valid)
			if !valid && l.stopOnLoss {
				stop()
			}
		}
	}
}

// tell says what became of the license while the command runs.
func (l launch) tell(cmd *cobra.Command, v sdk.Verdict, before bool) bool {
	out := cmd.ErrOrStderr()
	for _, w := range v.Warnings {
		fmt.Fprintf(out, "licet: %s\n", w.Message)
	}
	switch {
	case !v.Valid && before:
		fmt.Fprintf(out, "licet: %s", v.Reasons[0].Message)
		if l.stopOnLoss {
			fmt.Fprintf(out, " The command is ended.\n")
		} else {
			fmt.Fprintf(out, " The command goes on; save your work.\n")
		}
	case v.Valid && !before:
		fmt.Fprintf(out, "licet: The license is there again: %s.\n", v.Source)
	}
	return v.Valid
}

// exitOf is the exit status of a command that ended.
func exitOf(err error) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	return cli.Exit(statusOf(exit))
}

// reasonOf is why a command did not start, without its path said twice.
func reasonOf(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e
	}
	return err
}
