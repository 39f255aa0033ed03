package licetcmd

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func (c *commands) activate() *cobra.Command {
	var w where
	var chosen []string
	cmd := &cobra.Command{
		Use:   "activate TICKET...",
		Short: "Activate the licenses of a ticket on this machine",
		Long: "Fetches the licenses of one or more tickets from the vendor's server and sends the\n" +
			"receipt. If it is interrupted, run it again: it goes on, and nothing is taken twice.",
		Example: "  licet activate K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := tickets(args)
			if err != nil {
				return err
			}
			cli.Progress(cmd, "Asking the vendor…")
			result, err := c.client().Activate(cmd.Context(), agent.ActivateRequest{
				Tickets: list, Licenses: ids(chosen), Central: w.central, Container: w.serial(),
			})
			if err != nil {
				return offline(err, "licet request --ticket TICKET -o FILE.licet-request")
			}
			return printProgramming(cmd, result, result)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "container they go into (default: this machine's first of the vendor; \"new\" makes another)")
	cmd.Flags().StringArrayVar(&chosen, "license", nil, "only this license of the tickets; may be repeated")
	return cmd
}

func (c *commands) deactivate() *cobra.Command {
	var w where
	var all bool
	cmd := &cobra.Command{
		Use:   "deactivate [ID...]",
		Short: "Give licenses back to the vendor, so that they can be used elsewhere",
		Long: "Returns the licenses named, or with --all everything in a container, and says\n" +
			"whether the machine may be erased then.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return cli.Usage("Name the licenses, or give --all, not both.")
			}
			cli.Progress(cmd, "Asking the vendor…")
			result, err := c.client().Deactivate(cmd.Context(), agent.DeactivateRequest{
				Licenses: ids(args), All: all, Central: w.central, Container: w.serial(),
			})
			if err != nil {
				return offline(err, "licet request --deactivate ID -o FILE.licet-request")
			}
			return printProgramming(cmd, result, result.Programming, wipe(result, all)...)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "container they are in (default: the one that holds them)")
	cmd.Flags().BoolVar(&all, "all", false, "everything in the container")
	return cmd
}

// wipe says whether the machine may be erased after a return.
func wipe(d agent.Deactivation, all bool) []string {
	switch {
	case d.SafeToWipe:
		return []string{"The container is empty and the vendor knows: this machine may be erased."}
	case all && d.Left > 0:
		return []string{"Do not erase this machine yet: the container is not empty."}
	case all:
		return []string{"Do not erase this machine yet: the receipt has to reach the vendor first (licet update, or licet receipt -o FILE)."}
	}
	return nil
}

func (c *commands) update() *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Carry out what the vendor has pending, and deliver receipts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cli.Progress(cmd, "Asking the vendor…")
			results, err := c.client().Update(cmd.Context(), agent.UpdateRequest{Central: w.central, Container: w.serial()})
			if err != nil {
				return err
			}
			if len(results) == 1 {
				if p := results[0].Error; p != nil {
					return offline(p.Refusal(), "licet request -o FILE.licet-request")
				}
				return printProgramming(cmd, results[0].Programming, results[0].Programming)
			}
			return printUpdates(cmd, results)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "only this container (default: all)")
	return cmd
}

// printUpdates shows what became of several containers. One that failed makes
// the command fail after all were told.
func printUpdates(cmd *cobra.Command, results []agent.Updated) error {
	err := cli.Print(cmd, wire.List[agent.Updated]{Items: results}, func(p *cli.Page) {
		if len(results) == 0 {
			p.Line("There is no container on this machine yet; nothing to update.")
		}
		for _, r := range results {
			p.Title("Container %s", r.Container)
			if r.Error != nil {
				p.Line("Not updated: %s", r.Error.Detail)
				continue
			}
			programming(p, r.Programming)
		}
	})
	var failed []error
	for _, r := range results {
		if r.Error != nil {
			failed = append(failed, r.Error.Refusal())
		} else if no := refused(r.Outcomes); no != nil {
			failed = append(failed, no)
		}
	}
	return errors.Join(err, first(failed))
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// printProgramming shows what changed. A wish that was refused makes the
// command fail, after what was done was told.
func printProgramming(cmd *cobra.Command, value any, result wire.Programming, notes ...string) error {
	err := cli.Print(cmd, value, func(p *cli.Page) {
		programming(p, result)
		for _, n := range notes {
			p.Line("%s", n)
		}
	})
	if err != nil {
		return err
	}
	if no := refused(result.Outcomes); no != nil {
		return no
	}
	return nil
}

// programming writes what a transaction did.
func programming(p *cli.Page, r wire.Programming) {
	products := map[license.ID]string{}
	for _, c := range r.Applied {
		what := "Activated"
		if c.Op == container.Drop.String() {
			what = "Returned"
		}
		products[c.License] = c.Product
		p.Field(what, "%s  %s", c.Product, c.License)
	}
	left := 0
	for _, o := range r.Outcomes {
		if o.Refused() {
			left++
		}
	}
	switch {
	case len(r.Applied) > 0:
	case left > 0:
		p.Line("Nothing was changed.")
	case len(r.Outcomes) == 1 && r.Outcomes[0].Message != "":
		p.Line("%s", r.Outcomes[0].Message)
	default:
		p.Line("Nothing to do: everything is as it should be.")
	}
	if left > 1 { // a single refusal is told as the command's error
		for _, o := range r.Outcomes {
			if o.Refused() {
				p.Field("Refused", "%s: %s", wishName(o.Wish), o.Message)
			}
		}
	}
	p.Field("Container", "%s, step %d", r.Container, r.Counter)
	p.Field("Receipt", "%s", r.Receipt)
}

// wishName names a wish without telling a whole ticket.
func wishName(wish string) string {
	const end = 5
	if code, ok := strings.CutPrefix(wish, "ticket "); ok && len(code) > end {
		return "ticket …" + code[len(code)-end:]
	}
	return wish
}

// refused is the first wish that was refused for a reason of its own.
func refused(outcomes []container.Outcome) error {
	var found *container.Outcome
	for i, o := range outcomes {
		if o.Refused() && (found == nil || found.Code == refusal.NotDone && o.Code != refusal.NotDone) {
			found = &outcomes[i]
		}
	}
	if found == nil {
		return nil
	}
	// The wish itself is left out: errors end in logs, and a ticket is a secret.
	r := &refusal.Refusal{Code: found.Code, Message: found.Message, Hint: found.Hint, Details: found.Details}
	if r.Message == "" {
		r.Message = refusal.Lookup(r.Code).Meaning
	}
	return r
}

// offline adds the way by file to an error that only the network caused.
func offline(err error, command string) error {
	r, ok := refusal.As(err)
	if !ok || r.Code != refusal.CentralUnreachable || r.Hint != "" {
		return err
	}
	return r.Hinted("Try again later; nothing was lost. Without a network: %s, carry the file to the vendor, licet import the answer.", command)
}
