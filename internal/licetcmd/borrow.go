package licetcmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

// serverFlag names license servers to ask, in place of the list.
func serverFlag(cmd *cobra.Command, servers *[]string) {
	cmd.Flags().StringArrayVar(servers, "server", nil, "`ADDRESS` of the license server (default: those of licet servers, in order)")
}

func (c *commands) borrow() *cobra.Command {
	var in agent.BorrowRequest
	var length durationFlag
	var extend, out string
	cmd := &cobra.Command{
		Use:   "borrow PRODUCT --for DURATION",
		Short: "Take a seat of a license server along, into this machine",
		Long: "Borrows a seat for some days: programs run without a network then, until the day it\n" +
			"is due or is returned (licet return). If it is interrupted, run it again: it goes on,\n" +
			"and nothing is lent twice. Where this machine does not reach the server, -o writes a\n" +
			"request to be carried there (licet lend) and its answer back (licet import).",
		Example: "  licet borrow CAD-PRO --for 7d\n  licet borrow --extend LOAN --for 7d",
		Args:    cli.Args("[PRODUCT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (extend != "") {
				return cli.Usage("Name a product, or a loan with --extend, not both.")
			}
			in.Product, in.Extend, in.For = strings.Join(args, ""), seats.LeaseID(extend), length.Duration
			in.File = out != ""
			return c.borrowed(cmd, in, out)
		},
	}
	cmd.Flags().Var(&length, "for", "how long, such as 7d or 12h")
	cmd.Flags().StringVar(&extend, "extend", "", "make the loan `ID` last longer, counted from now")
	c.borrowFlags(cmd, &in, &out)
	return cmd
}

func (c *commands) borrowFlags(cmd *cobra.Command, in *agent.BorrowRequest, out *string) {
	cmd.Flags().StringArrayVar(&in.Features, "feature", nil, "`FEATURE` that is needed; may be repeated")
	cmd.Flags().StringVar(&in.Vendor, "vendor", "", "vendor `ID`, where this machine trusts several")
	serverFlag(cmd, &in.Servers)
	cmd.Flags().StringVarP(out, "out", "o", "", "write a request to `FILE`, to be carried to the license server; - for standard output")
}

func (c *commands) transfer() *cobra.Command {
	var in agent.BorrowRequest
	var out string
	cmd := &cobra.Command{
		Use:   "transfer PRODUCT",
		Short: "Move seats or units of a license to this machine for good, without the vendor",
		Long: "Takes seats of a license server over for good, where the vendor allows it (transfer in\n" +
			"the license's terms): one, as many as --seats says, or all that are left where they move\n" +
			"together only. With --units it takes units of a license that is sold by units: they are\n" +
			"used up here then. licet return brings back what is left. Where this machine does not\n" +
			"reach the other one, -o writes a request to be carried there (licet lend), which for\n" +
			"units needs no license server, and its answer back (licet import).",
		Example: "  licet transfer CAD-NET --seats 3\n  licet transfer CAD-PRO --units 400 -o units.licet-loan-request",
		Args:    cli.Args("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("units") && in.Units < 1 {
				return cli.Usage("--units must be 1 or more.")
			}
			if in.Units > 0 && cmd.Flags().Changed("seats") {
				return cli.Usage("Seats and units move in two transfers; name one of them.")
			}
			in.Product, in.Kind, in.File = args[0], seats.Transfer, out != ""
			return c.borrowed(cmd, in, out)
		},
	}
	cmd.Flags().Int64Var(&in.Units, "units", 0, "`NUMBER` of units, in place of seats")
	cmd.Flags().Int64Var(&in.Seats, "seats", 0, "`NUMBER` of seats (default: one, or all that are left where they move together only)")
	c.borrowFlags(cmd, &in, &out)
	return cmd
}

// borrowed asks for a loan or a transfer, and says what came of it.
func (c *commands) borrowed(cmd *cobra.Command, in agent.BorrowRequest, out string) error {
	if !in.File {
		cli.Progress(cmd, "Asking the license server…")
	}
	result, err := c.client().Borrow(cmd.Context(), in)
	if err != nil {
		return err
	}
	if in.File {
		return c.carryLoan(cmd, out, result.Data, result, "Request")
	}
	l := result.Loan
	return cli.Print(cmd, result, func(p *cli.Page) {
		switch {
		case result.Before:
			p.Line("%s is on loan here already.", l.Product)
		case in.Extend != "":
			p.Line("The loan of %s lasts longer now.", l.Product)
		case l.Units != nil:
			p.Line("%s of %s are on this machine for good.", count(l.Units.Total), l.Product)
		case l.Kind == seats.Transfer:
			p.Line("%s is on this machine for good.", l.Product)
		default:
			p.Line("%s is on loan to this machine.", l.Product)
		}
		c.loan(p, *l)
		if result.Before {
			p.Next("licet borrow --extend " + string(l.ID) + " --for DURATION")
		}
	})
}

// loan writes the facts of a loan.
func (c *commands) loan(p *cli.Page, l wire.Loan) {
	name := "Loan"
	if l.Kind == seats.Transfer {
		name = "Transfer"
	}
	p.Field(name, "%s", l.ID)
	if l.Seats > 1 {
		p.Field("Seats", "%d", l.Seats)
	}
	if l.Units != nil {
		p.Field("Units", "%s", unitsLeft(*l.Units))
	}
	p.Field("Until", "%s", cli.When(l.Until, c.env.Now()))
	p.Field("Server", "%s", strings.TrimSpace(string(l.Server)+"  "+l.Address))
	p.Field("Container", "%s", l.Container)
}

// carryLoan writes a loan request and says what to do with it. On standard output
// the file stands alone.
func (c *commands) carryLoan(cmd *cobra.Command, out string, data []byte, value any, what string) error {
	if err := c.writeOutput(cmd, out, data); err != nil || out == "-" {
		return err
	}
	return cli.Print(cmd, map[string]any{"file": out, "result": value}, func(p *cli.Page) {
		p.Field(what, "%s", out)
		p.Next("Carry the file to the machine of the license server.",
			"there: licet lend FILE -o FILE.licet-loan",
			"back here: licet import FILE.licet-loan")
	})
}

func (c *commands) giveBack() *cobra.Command {
	var in agent.ReturnRequest
	var out string
	cmd := &cobra.Command{
		Use:   "return [LOAN]",
		Short: "Give a loan back before its end, or what moved here, so that others can use it",
		Long: "Removes a loan, or seats or units that moved here for good, from this machine, then tells\n" +
			"the license server. Of units, those that are left go back. Where there is only\n" +
			"one it need not be named. If the server cannot be told now, run it again later:\n" +
			"meanwhile nobody uses the seat, and at its end it is free in any case. A license that\n" +
			"the vendor gave is returned with licet deactivate.",
		Args: cli.Args("[LOAN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Loan, in.File = strings.Join(args, ""), out != ""
			cli.Progress(cmd, "Telling the license server…")
			result, err := c.client().ReturnLoan(cmd.Context(), in)
			if err != nil {
				return err
			}
			if in.File {
				return c.carryLoan(cmd, out, result.Data, result.Loan, "Return")
			}
			err = cli.Print(cmd, result, func(p *cli.Page) {
				switch {
				case result.Delivered && result.Loan.Units != nil:
					p.Line("%s of %s are returned.", count(result.Loan.Units.Left), result.Loan.Product)
				case result.Delivered:
					p.Line("%s is returned: the seat is free.", result.Loan.Product)
				default:
					p.Line("%s is removed from this machine.", result.Loan.Product)
				}
				c.loan(p, result.Loan)
			})
			if err != nil || result.Delivered {
				return err
			}
			free := "The seat stays taken there."
			switch {
			case result.Loan.Units != nil:
				free = "Nobody can use the " + count(result.Loan.Units.Left) + " until it does."
			case result.Loan.Until != 0:
				free = "The seat is free there on " + result.Loan.Until.String() + " at the latest."
			}
			return refusal.New(refusal.ServerUnreachable, "The license server does not know yet that the loan was returned: %s %s", result.Waits, free).
				Hinted("Run licet return %s again when it can be reached, or carry a file: add -o FILE.licet-loan-request.", result.Loan.ID).
				With("loan", string(result.Loan.ID))
		},
	}
	serverFlag(cmd, &in.Servers)
	cmd.Flags().StringVarP(&out, "out", "o", "", "write a request to `FILE`, to be carried to the license server; - for standard output")
	return cmd
}

func (c *commands) lend() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "lend FILE -o FILE",
		Short: "Answer a loan request that was carried to this machine's license server",
		Long: "Takes the file of licet borrow -o, or of licet return -o, and writes the answer, which\n" +
			"the other machine takes in with licet import. The same file again gets the same answer.",
		Args: cli.Args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readInput(cmd, args[0], 2*seal.MaxLoanRequest)
			if err != nil {
				return err
			}
			answer, err := c.client().Lend(cmd.Context(), data)
			if err != nil {
				return err
			}
			if err := c.writeOutput(cmd, out, answer); err != nil || out == "-" {
				return err
			}
			return cli.Print(cmd, map[string]string{"file": out}, func(p *cli.Page) {
				p.Field("Answer", "%s", out)
				p.Next("Carry the file back; there: licet import FILE")
			})
		},
	}
	outFlag(cmd, &out)
	return cmd
}

// offers shows what this machine has and may have of products.
func (c *commands) offers(p *cli.Page, all wire.Offers) {
	rows := [][]string{}
	for _, o := range all.Products {
		until := "no end"
		switch {
		case o.Until != 0:
			until = cli.When(o.Until, c.env.Now())
		case o.State == wire.OfferNetwork || o.State == wire.OfferDisabled:
			until = ""
		}
		state := o.State
		if o.Code != refusal.Valid {
			state += ", " + strings.ReplaceAll(string(o.Code), "_", " ")
		}
		free := ""
		if o.Seats > 0 || o.State == wire.OfferNetwork {
			free = fmt.Sprintf("%d of %d", o.Free, o.Seats)
		}
		can := strings.Join(o.Can, ", ")
		if o.Borrow && o.Longest > 0 && strings.Contains(can, wire.CanBorrow) {
			can += " up to " + o.Longest.String()
		}
		rows = append(rows, []string{o.Product, state, until, o.Where, free, can})
	}
	p.Table("", []string{"PRODUCT", "STATE", "UNTIL", "WHERE", "FREE", "YOU CAN"}, rows)
	for _, address := range all.Silent {
		p.Line("The license server %s does not answer.", address)
	}
}
