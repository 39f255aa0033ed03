package licetcmd

import (
	"strings"

	"github.com/spf13/cobra"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
)

func (c *commands) restore() *cobra.Command {
	var w where
	var in agent.RestoreRequest
	var chosen []string
	var whole string
	cmd := &cobra.Command{
		Use:   "restore TICKET…",
		Short: "Report lost licenses, and get them back on this machine",
		Long: "Reports to the vendor that the licenses of one or more tickets are lost: those named\n" +
			"with --license, or all that are with a user and do not work on this machine. What the\n" +
			"vendor's policy grants is activated here at once, and the lost copy may no longer be\n" +
			"used; about the rest the vendor's staff decide. Run it again to see how it stands.\n\n" +
			"The vendor is shown on which hardware this machine is, so that one that was only\n" +
			"installed anew is recognized (--whole-container).",
		Example: "  licet restore K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF --reason 'disk broken'\n" +
			"  licet restore K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF --whole-container SERIAL",
		Args: cli.Args("TICKET…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Tickets, err = tickets(args); err != nil {
				return err
			}
			if in.Damaged && whole == "" {
				return cli.Usage("--damaged needs --whole-container SERIAL: which container cannot be read.")
			}
			if len(chosen) > 0 && whole != "" {
				return cli.Usage("--license and --whole-container exclude each other: a container is lost with everything in it, or single licenses are.")
			}
			in.Licenses, in.Whole, in.Central, in.Container = ids(chosen), license.Serial(whole), w.central, w.serial()
			cli.Progress(cmd, "Asking the vendor…")
			result, err := c.client().Restore(cmd.Context(), in)
			if err != nil {
				return c.notRestored(cmd, err)
			}
			if err := cli.Print(cmd, result, func(p *cli.Page) { restoration(p, result) }); err != nil {
				return err
			}
			return refused(result.Outcomes)
		},
	}
	w.centralFlag(cmd)
	w.containerFlag(cmd, "container `SERIAL` that is to have them (default: this machine's first of the vendor that may; \"new\" makes another)")
	f := cmd.Flags()
	f.StringArrayVar(&chosen, "license", nil, "only the license `ID` of the tickets; may be repeated")
	f.StringVar(&whole, "whole-container", "", "the container `SERIAL` is lost with everything in it")
	f.BoolVar(&in.Damaged, "damaged", false, "that container is still there, but cannot be read")
	f.StringVar(&in.Reason, "reason", "", "how they were lost, for the vendor's staff")
	f.StringVar(&in.Evidence, "evidence", "", "what shows it, such as the number of a police report")
	f.StringVar(&in.Contact, "contact", "", "`EMAIL` address for the vendor's answer")
	f.BoolVar(&in.Accept, "accept-conditions", false, "accept the vendor's conditions, which are shown without it")
	f.BoolVar(&in.ReportOnly, "no-activate", false, "activate nothing on this machine")
	return cmd
}

// notRestored says what stood against a report as a whole.
func (c *commands) notRestored(cmd *cobra.Command, err error) error {
	r, ok := refusal.As(err)
	if !ok {
		return err
	}
	switch r.Code {
	case refusal.ConditionsNotAccepted:
		text, _ := r.Details["conditions"].(string)
		if !cli.JSON(cmd) {
			if err := cli.Print(cmd, nil, func(p *cli.Page) {
				p.Title("The vendor's conditions")
				for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
					if line = strings.TrimSpace(line); line == "" {
						p.Blank()
					} else {
						p.Line("%s", line)
					}
				}
			}); err != nil {
				return err
			}
		}
		return r.Hinted("Read the conditions. Whoever accepts them runs the command again with --accept-conditions.")
	case refusal.CentralUnreachable:
		if address, ok := r.Details["address"].(string); ok && r.Hint == "" {
			return r.Hinted("Try again later; nothing was lost. From any other device: report the loss on the ticket's page at %s, then fetch what is restored by file: licet request --ticket TICKET -o FILE.licet-request.", address)
		}
	case refusal.InvalidInput:
		if r.Details["missing"] == "reason" {
			return r.Hinted("Say how they were lost: add --reason TEXT, and --contact EMAIL for the answer.")
		}
	}
	return r
}

// restoration writes what became of each lost license.
func restoration(p *cli.Page, r agent.Restoration) {
	products := map[string]string{}
	for _, change := range r.Applied {
		products[string(change.License)] = change.Product
		if change.Cause == container.ByVendor {
			p.Field(changeWord(change), "%s  %s", change.Product, change.License)
		}
	}
	var pending bool
	for _, o := range r.Outcomes {
		id, _ := o.Details["license"].(string)
		if product, ok := o.Details["product"].(string); ok {
			products[id] = product
		}
		pending = pending || o.Code == refusal.RestorePending
		p.Title("%s", strings.TrimSpace(products[id]+"  "+id))
		p.Line("%s", o.Message)
		if again, ok := o.Details["again"]; ok {
			p.Field("Possible again", "%v", again)
		}
	}
	p.Blank()
	p.Field("Container", "%s, step %d", r.Container, r.Counter)
	p.Field("Receipt", "%s", r.Receipt)
	if pending {
		p.Next("wait for the vendor's decision", "licet restore TICKET  shows how it stands, and activates what is restored")
	}
}
