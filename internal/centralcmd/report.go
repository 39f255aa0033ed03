package centralcmd

import (
	"encoding/csv"
	"strconv"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/wire"
)

func reportCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{
		Use: "report [--csv products|months]", Short: "How many licenses there are, and what becomes of them",
		Long: "Counts the licenses by product and by month: sold, activated, restored, ending. The server keeps\n" +
			"a report for a minute. --csv writes one of its two tables for a spreadsheet.",
		Example: "  licet-central report\n  licet-central report --csv months > months.csv",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			table, _ := cmd.Flags().GetString("csv")
			if _, ok := (wire.LicenseReport{}).Table(table); table != "" && !ok {
				return cli.Usage("There is no table %q; there are products and months.", table)
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			r, err := c.LicenseReport(cmd.Context())
			if err != nil {
				return asked(err)
			}
			if table != "" {
				rows, _ := r.Table(table)
				return csv.NewWriter(cmd.OutOrStdout()).WriteAll(rows)
			}
			return cli.Print(cmd, r, func(p *cli.Page) { reportPage(p, env, r) })
		},
	})
	cmd.Flags().String("csv", "", "write `TABLE` for a spreadsheet: products or months")
	return cmd
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func reportPage(p *cli.Page, env Env, r wire.LicenseReport) {
	t := r.Total
	p.Title("Licenses")
	p.Field("counted", "%s (%s)", r.Time, cli.Ago(r.Time, env.Now()))
	p.Field("licenses", "%d", t.Licenses)
	p.Field("active", "%d, with %d seats", t.Active, t.ActiveSeats)
	p.Field("free", "%d", t.Free)
	if t.Returning > 0 {
		p.Field("returning", "%d, whose receipt is awaited", t.Returning)
	}
	if t.Gone > 0 {
		p.Field("gone", "%d", t.Gone)
	}
	if t.Units > 0 {
		p.Field("units", "%d of %d used", t.UsedUnits, t.Units)
	}
	if t.EndSoon > 0 {
		p.Field("end soon", "%d active ones within 30 days", t.EndSoon)
	}
	if t.Ended > 0 {
		p.Field("ended", "%d that are in containers still", t.Ended)
	}
	a := r.Attention
	if a.Flagged+a.Blocked > 0 {
		p.Field("containers", "%d contradict the record, %d are blocked", a.Flagged, a.Blocked)
	}
	if a.Recoveries > 0 {
		p.Field("reports", "%d of lost licenses wait for a decision", a.Recoveries)
	}
	if a.Pending > 0 {
		p.Field("pending", "%d of your actions are on their way", a.Pending)
	}
	p.Blank()
	p.Line("By product")
	var rows [][]string
	for _, l := range r.Products {
		rows = append(rows, []string{l.Product, count(l.Licenses), count(l.Free), count(l.Active), count(l.Returning), count(l.Gone), count(l.ActiveSeats), count(l.EndSoon)})
	}
	p.Table("Nothing was sold yet.", []string{"PRODUCT", "LICENSES", "FREE", "ACTIVE", "RETURNING", "GONE", "ACTIVE SEATS", "END SOON"}, rows)
	p.Blank()
	p.Line("By month")
	rows = nil
	for _, m := range r.Months {
		if m.Issued+m.Activated+m.Restored+m.Ending > 0 {
			rows = append(rows, []string{m.Month, count(m.Issued), count(m.Activated), count(m.Restored), count(m.Ending)})
		}
	}
	p.Table("Nothing happened in the last twelve months.", []string{"MONTH", "ISSUED", "ACTIVATED", "RESTORED", "ENDING"}, rows)
	var next []string
	if a.Recoveries > 0 {
		next = append(next, "licet-central recovery list")
	}
	if a.Pending > 0 {
		next = append(next, "licet-central pending")
	}
	if len(next) > 0 {
		p.Next(next...)
	}
}
