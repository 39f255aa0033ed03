package licetcmd

import (
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/cli"
	"licet/license"
	"licet/wire"
)

// used is what was taken, and what is left.
type used struct {
	Product   string         `json:"product"`
	Took      int64          `json:"took"`
	License   license.ID     `json:"license"`
	Container license.Serial `json:"container"`
	Units     *wire.Units    `json:"units,omitempty"` // of the license; absent if it has no counter
}

func (c *commands) use() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "use PRODUCT [NUMBER]",
		Short: "Take units of a license that is sold by units",
		Long: "Takes units of a license on this machine, one if no number is given. They are counted before the\n" +
			"command ends, and do not come back. Where fewer are left, nothing is taken and the exit status is 1.\n" +
			"A license without a counter gives any number. Programs take units by themselves: docs/sdk.md.",
		Args: cli.Args("PRODUCT", "[NUMBER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n := int64(1)
			if len(args) > 1 {
				var err error
				if n, err = strconv.ParseInt(args[1], 10, 64); err != nil || n < 1 {
					return cli.Usage("%q is no number of units: 1 or more.", args[1])
				}
			}
			var nonce container.Nonce
			_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
			out, err := c.client().Take(cmd.Context(), agent.TakeRequest{Units: n, OpenRequest: agent.OpenRequest{
				Vendor: q.vendor, Product: args[0], Use: q.use(), Nonce: nonce[:],
			}})
			if err != nil {
				return err
			}
			return cli.Print(cmd, used{args[0], n, out.License, out.Container, out.Counter}, func(p *cli.Page) {
				if out.Counter == nil {
					p.Line("%s (%s) has no counter: nothing was counted.", args[0], out.License)
					return
				}
				p.Line("Took %s of %s (%s): %s.", count(n), args[0], out.License, unitsLeft(*out.Counter))
			})
		},
	}
	q.flags(cmd)
	return cmd
}

// count is a number of units for people.
func count(n int64) string {
	if n == 1 {
		return "1 unit"
	}
	return strconv.FormatInt(n, 10) + " units"
}

// unitsLeft says how many units of how many are left.
func unitsLeft(u wire.Units) string { return fmt.Sprintf("%d of %s left", u.Left, count(u.Total)) }
