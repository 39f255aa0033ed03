package licetcmd

import (
	"context"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/bridge"
	"licet/internal/cli"
	"licet/wire"
)

// bridgeFlags say whether pages in a browser may ask to speak to this machine.
type bridgeFlags struct {
	open bool
	port int
}

func (f *bridgeFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.open, "bridge", false, "let vendors' pages in this machine's browsers ask to use the agent; each needs your consent (licet bridge allow)")
	cmd.Flags().IntVar(&f.port, "bridge-port", wire.BridgePort, "port of 127.0.0.1 for that; vendors' pages look on the default alone, unless told otherwise")
}

// beside is what runs beside the agent, nil for nothing. The port is taken at once:
// one that is in use must be told before anything is said to serve. Close lets go of
// it where the agent never came to serve.
func (f *bridgeFlags) beside(a *agent.Agent, c *commands, log *slog.Logger) (run func(context.Context), closed func(), err error) {
	if !f.open {
		return nil, func() {}, nil
	}
	if f.port < 0 || f.port > 65535 {
		return nil, nil, cli.Usage("%d is no port.", f.port)
	}
	listeners, err := bridge.Listen(f.port)
	if err != nil {
		return nil, nil, err
	}
	b := bridge.New(a, c.env.Now, log)
	return func(ctx context.Context) { b.Serve(ctx, listeners) }, func() { closeAll(listeners) }, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close() // one that served is closed already
	}
}

func (c *commands) bridge() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bridge",
		Short: "Say which vendors' pages in a browser may use this machine's agent",
		Long: "A vendor's page can activate and return his licenses on this machine by itself, where\n" +
			"the agent runs with licet serve --bridge and you allow it: the page shows a code, and\n" +
			"you type it here. It may do so for one hour, and see nothing of other vendors.",
	}
	cmd.AddCommand(c.bridgeAllow(), c.bridgeList(), c.bridgeForget())
	return cmd
}

func (c *commands) bridgeAllow() *cobra.Command {
	return &cobra.Command{
		Use: "allow CODE", Short: "Let the page that shows a code use the agent for an hour", Args: cli.Args("CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.client().BridgeAllow(cmd.Context(), agent.BridgeCode{Code: args[0]})
			if err != nil {
				return err
			}
			return cli.Print(cmd, p, func(page *cli.Page) {
				page.Line("Allowed. The page at %s may activate and return licenses of %s on this machine for one hour.", p.Origin, p.Vendor)
				page.Line("It goes on by itself.")
				page.Next("licet bridge forget " + p.Origin)
			})
		},
	}
}

func (c *commands) bridgeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the pages that may use the agent, or ask to", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.client().BridgeList(cmd.Context())
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(page *cli.Page) {
				var rows [][]string
				for _, p := range list {
					rows = append(rows, []string{p.Origin, p.Vendor, p.State, p.Until.String()})
				}
				page.Table("No page may use this machine's agent, and none asks to.", []string{"page", "vendor", "state", "until"}, rows)
			})
		},
	}
}

func (c *commands) bridgeForget() *cobra.Command {
	return &cobra.Command{
		Use: "forget [CODE-or-ORIGIN]", Short: "Refuse a page that asks, or take back what was allowed; all of them without an argument",
		Args: cli.Args("[CODE-or-ORIGIN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ended, err := c.client().BridgeForget(cmd.Context(), agent.BridgeCode{Code: strings.Join(args, "")})
			if err != nil {
				return err
			}
			return cli.Print(cmd, ended, func(page *cli.Page) {
				if len(ended) == 0 {
					page.Line("No page may use this machine's agent, and none asked to.")
				}
				for _, p := range ended {
					if p.State == wire.PairingWaiting {
						page.Line("Refused: the page at %s.", p.Origin)
						continue
					}
					page.Line("Ended: the page at %s may no longer use this machine's agent.", p.Origin)
				}
			})
		},
	}
}
