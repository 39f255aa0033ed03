package centralcmd

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/orderfile"
	"licet/refusal"
	"licet/wire"
)

// imported is what an import came to.
type imported struct {
	DryRun    bool                `json:"dry_run"`
	Rows      int                 `json:"rows"`
	Orders    int                 `json:"orders"` // taken, or that would be
	New       int                 `json:"new"`    // orders that were not there
	Extended  int                 `json:"extended"`
	Unchanged int                 `json:"unchanged"`
	Licenses  int                 `json:"licenses"` // added
	Problems  []orderfile.Problem `json:"problems"`
}

func importCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{
		Use: "import --from csv FILE [--dry-run] [--tickets FILE]", Short: "Import customers and licenses from a table",
		Long: "Import customers and licenses from a table.\n\n" +
			"The first line names the columns: order, customer, product, and as you need them quantity and any term of the catalog, such as seats or expires_at. Rows with the same order number make one order with one ticket. " +
			"The numbers are totals: importing the same file again changes nothing, and a row that was added since adds only its own licenses. An order with a bad row is left out as a whole and named; the others are imported.",
		Example: `  licet-central import --from csv customers.csv --dry-run
  licet-central import --from csv customers.csv --tickets tickets.csv`,
		Args: cli.Args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runImport(cmd, env, args[0]) },
	})
	cmd.Flags().String("from", "csv", "kind of file: csv")
	cmd.Flags().Bool("dry-run", false, "say what would be imported, and change nothing")
	resentFlag(cmd)
	cmd.Flags().String("tickets", "", "write the tickets of the orders to this `FILE`, as csv; it must not exist")
	return cmd
}

func runImport(cmd *cobra.Command, env Env, path string) (err error) {
	if from, _ := cmd.Flags().GetString("from"); from != "csv" {
		return cli.Usage("%q is no kind of file to import from; there is csv.", from)
	}
	in := env.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return refusal.New(refusal.NotFound, "%s cannot be read: %s.", path, err)
		}
		defer f.Close()
		in = f
	}
	table, err := orderfile.Read(in)
	if err != nil {
		return err
	}
	c, err := central(cmd, env)
	if err != nil {
		return err
	}
	dry, _ := cmd.Flags().GetBool("dry-run")
	tickets := csv.NewWriter(io.Discard)
	if path, _ := cmd.Flags().GetString("tickets"); path != "" && !dry {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return refusal.New(refusal.InvalidInput, "The tickets cannot be written to %s: %s.", path, err).Hinted("Nothing was imported. Name a file that does not exist.")
		}
		defer f.Close()
		tickets = csv.NewWriter(f)
		_ = tickets.Write([]string{"order", "customer", "ticket"}) // Flush has the error
	}
	out := imported{DryRun: dry, Rows: table.Rows, Problems: append([]orderfile.Problem{}, table.Problems...)}
	if err := out.send(cmd, c, table.Orders, tickets); err != nil {
		return err
	}
	if tickets.Flush(); tickets.Error() != nil {
		return fmt.Errorf("the orders were imported, but their tickets could not be written; import again, which changes nothing: %w", tickets.Error())
	}
	if err := cli.Print(cmd, out, func(p *cli.Page) { importPage(p, out) }); err != nil {
		return err
	}
	if n := len(out.Problems); n > 0 {
		return refusal.New(refusal.InvalidInput, "%d rows or orders could not be imported.", n).
			Hinted("Correct them and import the same file again: what is there already is not added twice.").With("problems", n)
	}
	return nil
}

// send makes the orders, one after the other. What the server refuses is noted;
// that it cannot be reached ends it.
func (out *imported) send(cmd *cobra.Command, c *client.Central, orders []orderfile.Order, tickets *csv.Writer) error {
	resent, _ := cmd.Flags().GetBool("resent")
	for i, o := range orders {
		o.DryRun, o.Resent = out.DryRun, resent
		got, err := c.CreateOrder(cmd.Context(), o.OrderRequest)
		ref, refused := refusal.As(err)
		switch {
		case refused && isAboutTheOrder(ref.Code):
			out.Problems = append(out.Problems, orderfile.Problem{Line: o.Lines[0], Order: o.Number, Code: ref.Code, Message: ref.Error()})
			continue
		case err != nil:
			return out.stopped(i, asked(err))
		}
		out.count(got)
		_ = tickets.Write([]string{got.Number, got.Customer, string(got.Ticket)}) // Flush has the error
		if (i+1)%100 == 0 {
			cli.Progress(cmd, "%d of %d orders", i+1, len(orders))
		}
	}
	return nil
}

func (out *imported) count(o wire.Order) {
	out.Orders++
	out.Licenses += o.Added
	switch {
	case o.Added == 0:
		out.Unchanged++
	case o.New:
		out.New++
	default:
		out.Extended++
	}
}

// isAboutTheOrder tells what another order may not meet from what all would.
func isAboutTheOrder(code refusal.Code) bool {
	switch code {
	case refusal.Unauthorized, refusal.Forbidden, refusal.CentralUnreachable, refusal.Internal, refusal.StorageFull, refusal.RateLimited:
		return false
	}
	return true
}

// stopped says how far it came.
func (out *imported) stopped(done int, err error) error {
	if ref, ok := refusal.As(err); ok && !out.DryRun && done > 0 {
		ref.Hinted("%d orders were imported before. %s Then import the same file again: it goes on.", done, ref.NextStep())
	}
	return err
}

func importPage(p *cli.Page, out imported) {
	if out.DryRun {
		p.Title("Nothing was changed. This would be imported:")
	} else {
		p.Title("Imported")
	}
	p.Field("rows", "%d", out.Rows)
	p.Field("orders", "%d: %d new, %d extended, %d there already", out.Orders, out.New, out.Extended, out.Unchanged)
	p.Field("licenses added", "%d", out.Licenses)
	if len(out.Problems) == 0 {
		return
	}
	p.Title("Left out")
	var rows [][]string
	for _, x := range out.Problems {
		rows = append(rows, []string{fmt.Sprint(x.Line), x.Order, x.Message})
	}
	p.Table("", []string{"LINE", "ORDER", "WHY"}, rows)
}
