package licetcmd

import (
	"slices"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
	"licet/license"
	"licet/seal"
)

// carried is a file that was written, as JSON shows it.
type carried struct {
	Container license.Serial `json:"container"`
	Counter   uint64         `json:"counter"`
	File      string         `json:"file"`
}

func (c *commands) request() *cobra.Command {
	var w where
	var out, vendor string
	var ticketTexts, activate, deactivate []string
	var all bool
	cmd := &cobra.Command{
		Use:   "request -o FILE",
		Short: "Write a request file, to be carried to the vendor (offline step 1)",
		Long: "Writes what is wished for into a file for the vendor. The vendor answers with an\n" +
			"update file: licet import takes it in. Without wishes the file asks for what the\n" +
			"vendor has pending.",
		Example: "  licet request --ticket K7WQM-4X9ZT-HR2CN-B8VEJ-6DPAF -o machine7.licet-request",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := tickets(ticketTexts)
			if err != nil {
				return err
			}
			wanted, some, err := amounts(activate)
			if err != nil {
				return err
			}
			back, of, err := amounts(deactivate)
			if err != nil {
				return err
			}
			file, err := c.client().Request(cmd.Context(), agent.RequestRequest{
				Tickets: list, Activate: wanted, Deactivate: back, Amounts: slices.Concat(some, of), All: all,
				Vendor: vendor, Container: w.serial(),
			})
			if err != nil {
				return err
			}
			return c.carry(cmd, out, file, "Request", "Carry the file to the vendor.", "licet import FILE.licet-update, when the answer is here")
		},
	}
	outFlag(cmd, &out)
	w.containerFlag(cmd, "container `SERIAL` it is for (default: this machine's first of the vendor; \"new\" makes another)")
	cmd.Flags().StringArrayVar(&ticketTexts, "ticket", nil, "`TICKET` whose licenses are wanted; may be repeated")
	cmd.Flags().StringArrayVar(&activate, "activate", nil, "only the license `ID[=NUMBER]` of the tickets; with a number the container is to have so many seats or units of it; may be repeated")
	cmd.Flags().StringArrayVar(&deactivate, "deactivate", nil, "license `ID[=NUMBER]` to give back, or so many seats or units of it; may be repeated")
	cmd.Flags().BoolVar(&all, "deactivate-all", false, "give back everything in the container")
	cmd.Flags().StringVar(&vendor, "vendor", "", "vendor `ID`, where this machine trusts several")
	return cmd
}

func (c *commands) receipt() *cobra.Command {
	var w where
	var out string
	cmd := &cobra.Command{
		Use:   "receipt -o FILE",
		Short: "Write a receipt file, to be carried to the vendor (offline step 3)",
		Long: "Writes the proof of what was imported. Only with it does the vendor count returned\n" +
			"licenses as free. A receipt that is lost does no harm: any later request does its work.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := c.client().Receipt(cmd.Context(), agent.ReceiptRequest{Container: w.serial()})
			if err != nil {
				return err
			}
			return c.carry(cmd, out, file, "Receipt", "Carry the file to the vendor.")
		},
	}
	outFlag(cmd, &out)
	w.containerFlag(cmd, "container `SERIAL` it is of (default: the only one)")
	return cmd
}

func outFlag(cmd *cobra.Command, out *string) {
	cmd.Flags().StringVarP(out, "out", "o", "", "`FILE` to write; - for standard output")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // the flag was defined a line above
	}
}

// carry writes a file and says what to do with it. On standard output the file
// stands alone.
func (c *commands) carry(cmd *cobra.Command, out string, file agent.File, what string, next ...string) error {
	if err := c.writeOutput(cmd, out, file.Data); err != nil || out == "-" {
		return err
	}
	return cli.Print(cmd, carried{file.Container, file.Counter, out}, func(p *cli.Page) {
		p.Field(what, "%s", out)
		p.Field("Container", "%s, step %d", file.Container, file.Counter)
		p.Next(next...)
	})
}

func (c *commands) importFile() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Take in an update file that the vendor answered (offline step 2)",
		Long: "Applies an update file to the container it was made for and says what changed, or\n" +
			"takes in the vendor's block list (*.licet-blocklist). A file that is refused changes\n" +
			"nothing. \"-\" reads standard input.",
		Args: cli.Args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readInput(cmd, args[0], max(seal.MaxUpdate, seal.MaxBlockList))
			if err != nil {
				return err
			}
			result, err := c.client().Import(cmd.Context(), agent.ImportRequest{Data: data})
			if err != nil {
				return err
			}
			var notes []string
			if result.Receipt != "" && result.Receipt != "delivered" && len(result.Applied) > 0 {
				notes = append(notes, "Next: licet receipt -o FILE.licet-receipt, and carry it to the vendor.")
			}
			return printProgramming(cmd, result, result, notes...)
		},
	}
}

func (c *commands) trust() *cobra.Command {
	cmd := &cobra.Command{Use: "trust", Short: "Whose licenses this machine accepts"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "add FILE-or-URL",
			Short: "Accept a vendor's licenses from now on",
			Long: "Takes in a vendor's trust file, or fetches it from the vendor's server. Compare the\n" +
				"vendor id with the one the vendor told you: whoever is trusted can put licenses here.",
			Args: cli.Args("FILE-or-URL"),
			RunE: func(cmd *cobra.Command, args []string) error {
				var req agent.TrustRequest
				var err error
				if isAddress(args[0]) {
					req.URL = args[0]
				} else if req.File, err = readInput(cmd, args[0], seal.MaxTrust); err != nil {
					return err
				}
				trust, err := c.client().TrustAdd(cmd.Context(), req)
				if err != nil {
					return err
				}
				return cli.Print(cmd, trust, func(p *cli.Page) {
					p.Field("Vendor", "%s", trust.Vendor)
					p.Field("Vendor id", "%s", trust.VendorID)
					p.Field("Environment", "%s", trust.Environment)
					p.Field("Server", "%s", trust.Address)
					p.Field("Trust", "%s", trust.Change)
					if trust.Change == "added" {
						p.Next("licet activate TICKET")
					}
					if trust.Change == "refreshed" && trust.Revoked > 0 {
						p.Next("licet update  the vendor has revoked keys: what is here under one of them comes again with the next contact, and counts then")
					}
				})
			},
		},
		&cobra.Command{
			Use:   "list",
			Short: "List the vendors whose licenses this machine accepts",
			Args:  cli.Args(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				list, err := c.client().TrustList(cmd.Context())
				if err != nil {
					return err
				}
				return cli.Print(cmd, map[string]any{"items": list}, func(p *cli.Page) {
					rows := [][]string{}
					for _, t := range list {
						rows = append(rows, []string{t.Vendor, t.VendorID, t.Environment, t.Address})
					}
					p.Table("This machine trusts no vendor yet: licet trust add FILE-or-URL.", []string{"VENDOR", "VENDOR ID", "ENVIRONMENT", "SERVER"}, rows)
				})
			},
		},
	)
	return cmd
}
