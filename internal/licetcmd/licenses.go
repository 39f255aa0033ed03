package licetcmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/cli"
	"licet/refusal"
	"licet/wire"
)

func (c *commands) activate() *cobra.Command {
	var w where
	var chosen []string
	cmd := &cobra.Command{
		Use:   "activate TICKET…",
		Short: "Activate the licenses of a ticket on this machine",
		Long: "Fetches the licenses of one or more tickets from the vendor's server and sends the\n" +
			"receipt. If it is interrupted, run it again: it goes on, and nothing is taken twice.\n\n" +
			"Of a license with several seats, or with units, --license ID=NUMBER takes so many; the\n" +
			"others stay free for other machines. The number is how many this machine has in the\n" +
			"end, units that it has used included.",
		Example: "  licet activate K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF\n" +
			"  licet activate K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF --license lic_01krx3m2k5g0001q7w8e9r0t1y2=4",
		Args: cli.Args("TICKET…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := tickets(args)
			if err != nil {
				return err
			}
			only, some, err := amounts(chosen)
			if err != nil {
				return err
			}
			cli.Progress(cmd, "Asking the vendor…")
			result, err := c.client().Activate(cmd.Context(), agent.ActivateRequest{
				Tickets: list, Licenses: only, Amounts: some, Central: w.central, Container: w.serial(),
			})
			if err != nil {
				return offline(err, "licet request --ticket TICKET -o FILE.licet-request")
			}
			return printProgramming(cmd, result, result)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "container `SERIAL` they go into (default: this machine's first of the vendor; \"new\" makes another)")
	cmd.Flags().StringArrayVar(&chosen, "license", nil, "only the license `ID[=NUMBER]` of the tickets; with a number this machine is to have so many seats or units of it; may be repeated")
	return cmd
}

func (c *commands) deactivate() *cobra.Command {
	var w where
	var all, together bool
	cmd := &cobra.Command{
		Use:   "deactivate [ID[=NUMBER]…]",
		Short: "Give licenses back to the vendor, so that they can be used elsewhere",
		Long: "Returns the licenses named, or with --all everything in a container, and says\n" +
			"whether the machine may be erased then. Of a license with several seats, or units, ID=NUMBER\n" +
			"returns so many, and the others stay.",
		Args: cli.Args("[ID[=NUMBER]…]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return cli.Usage("Name the licenses, or give --all, not both.")
			}
			list, some, err := amounts(args)
			if err != nil {
				return err
			}
			cli.Progress(cmd, "Asking the vendor…")
			result, err := c.client().Deactivate(cmd.Context(), agent.DeactivateRequest{
				Licenses: list, Amounts: some, All: all, Together: together, Central: w.central, Container: w.serial(),
			})
			if err != nil {
				how := "licet request --deactivate ID -o FILE.licet-request"
				if all {
					how = "licet request --deactivate-all -o FILE.licet-request"
				}
				return offline(err, how)
			}
			if all {
				hintOthers(result.Outcomes)
			}
			return printProgramming(cmd, result, result.Programming, wipe(result, all)...)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "container `SERIAL` they are in (default: the one that holds them)")
	cmd.Flags().BoolVar(&all, "all", false, "everything in the container")
	cmd.Flags().BoolVar(&together, "with-addons", false, "together with the licenses that need them, in one step")
	return cmd
}

// wipe says whether the machine may be erased after a return.
func wipe(d agent.Deactivation, all bool) []string {
	if d.SafeToWipe {
		return []string{"The container is empty and the vendor knows: this machine may be erased."}
	}
	if !all {
		return nil
	}
	var lines []string
	for _, r := range d.Remaining {
		why := ""
		switch {
		case r.Closed != "" && r.Container == "":
			why = "its containers cannot be listed: " + r.Closed
		case r.Closed != "":
			why = fmt.Sprintf("container %s may hold licenses: %s", r.Container, r.Closed)
		case len(r.Loans) > 0:
			why = fmt.Sprintf("container %s has the loan %s, or its license server does not know that it is back: licet return %s.", r.Container, r.Loans[0].ID, r.Loans[0].ID)
		case len(r.Licenses) > 0:
			why = fmt.Sprintf("container %s still holds %s.", r.Container, strings.Join(texts(r.Licenses), ", "))
		default:
			why = fmt.Sprintf("the receipt of container %s has to reach the vendor first (licet update, or licet receipt --container %s -o FILE).", r.Container, r.Container)
		}
		lines = append(lines, "Do not erase this machine yet: "+why)
	}
	return lines
}

// hintOthers adds to the refusal of a return how the licenses are returned that
// it held back: returns are all or nothing.
func hintOthers(outcomes []container.Outcome) {
	var others []string
	for _, o := range outcomes {
		if id, ok := strings.CutPrefix(o.Wish, "return "); ok && o.Code == refusal.NotDone {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return
	}
	for i, o := range outcomes {
		if !o.Refused() || o.Code == refusal.NotDone {
			continue
		}
		hint := o.Hint
		if hint == "" {
			hint = refusal.Lookup(o.Code).Hint
		}
		outcomes[i].Hint = strings.TrimSpace(hint + " Return the others by their ids: licet deactivate " + strings.Join(others, " ") + ".")
	}
}

func (c *commands) update() *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Carry out what the vendor has pending, and deliver receipts",
		Args:  cli.Args(),
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
				return printProgramming(cmd, results[0], results[0].Programming, delivered(results[0])...)
			}
			return printUpdates(cmd, results)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "only the container `SERIAL` (default: all)")
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
			programming(p, r.Programming, delivered(r)...)
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

// delivered says that a receipt that had waited is with the vendor now.
func delivered(r agent.Updated) []string {
	if !r.Delivered {
		return nil
	}
	return []string{"A receipt that had waited was delivered."}
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
		programming(p, result, notes...)
	})
	if err != nil {
		return err
	}
	if no := refused(result.Outcomes); no != nil {
		return no
	}
	return nil
}

// programming writes what a transaction did, and notes on it.
func programming(p *cli.Page, r wire.Programming, notes ...string) {
	for _, c := range r.Applied {
		if c.License == "" {
			p.Line("%s", lockWords[c.Op])
			continue
		}
		amount := ""
		if c.Seats > 1 || c.Seats == 1 && c.Units == 0 && c.Phase == container.Return.String() {
			amount = ", " + plural(c.Seats, "seat")
		}
		if c.Units > 0 {
			amount += ", " + plural(c.Units, "unit")
		}
		p.Field(changeWord(c), "%s  %s%s", c.Product, c.License, amount)
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
	case len(notes) == 0:
		p.Line("Nothing to do: everything is as it should be.")
	}
	if left > 1 { // a single refusal is told as the command's error
		for _, o := range r.Outcomes {
			if o.Refused() {
				p.Field("Refused", "%s: %s", wishName(o.Wish), o.Message)
			}
		}
	}
	if r.Container != "" { // a block list is for all of them
		p.Field("Container", "%s, step %d", r.Container, r.Counter)
	}
	p.Field("Receipt", "%s", r.Receipt)
	for _, n := range notes {
		p.Line("%s", n)
	}
}

// lockWords say what the vendor did to a container as a whole.
var lockWords = map[string]string{
	container.Close.String(): "Locked by the vendor: nothing in the container may be used.",
	container.Open.String():  "Unlocked by the vendor: the container may be used again.",
}

// changeWord says what happened to a license, and that it was the vendor who
// wanted it.
func changeWord(c container.Change) string {
	drop := c.Op == container.Drop.String()
	switch {
	case c.Op == agent.OpReissued:
		return "Sent again"
	case c.Phase == container.Replace.String() && drop:
		return "Replaced by the vendor:"
	case c.Phase == container.Replace.String() && c.Again:
		return "Sent again by the vendor:"
	case c.Phase == container.Replace.String():
		return "In its place:"
	case c.Phase == container.Return.String() && !drop:
		return "Returned in part; left:"
	case c.Cause == container.ByVendor && drop:
		return "Removed by the vendor:"
	case c.Cause == container.ByVendor:
		return "Sent by the vendor:"
	case drop:
		return "Returned"
	}
	return "Activated"
}

// plural writes a number of things.
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// wishName names a wish without telling a whole ticket.
func wishName(wish string) string {
	const end = 5
	if code, ok := strings.CutPrefix(wish, "ticket "); ok && len(code) > end {
		return "ticket …" + code[len(code)-end:]
	}
	return wish
}

// refused is the first wish that was refused for a reason of its own. A ticket
// that is unknown is the reason for whatever else was asked with it.
func refused(outcomes []container.Outcome) error {
	rank := func(o container.Outcome) int {
		switch o.Code {
		case refusal.TicketUnknown:
			return 0
		case refusal.NotDone:
			return 2
		}
		return 1
	}
	var found *container.Outcome
	for i, o := range outcomes {
		if o.Refused() && (found == nil || rank(o) < rank(*found)) {
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
