package licetcmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
)

func (c *commands) doctor() *cobra.Command {
	var reach bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Write one report for support, secrets left out", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.client().Doctor(cmd.Context(), agent.DoctorRequest{Reach: reach})
			if err != nil {
				return err
			}
			return cli.Print(cmd, r, func(p *cli.Page) { c.report(p, r) })
		},
	}
	cmd.Flags().BoolVar(&reach, "reach", false, "also ask whether each vendor's server answers")
	return cmd
}

func (c *commands) report(p *cli.Page, r agent.Report) {
	p.Title("This program")
	p.Field("licet", "%s (%s, %s)", r.Version, r.Go, r.System)
	p.Field("Folder", "%s  %s", r.Home, r.HomeMode)
	p.Field("User", "%d", r.User)
	p.Field("Agent", "%s", r.Agent)
	p.Field("Clock", "%s", r.Clock)
	p.Field("Environment", "%s", r.Environment)
	p.Title("This machine is known by")
	rows := [][]string{}
	for _, t := range r.Traits {
		rows = append(rows, []string{t.Name, fmt.Sprint(t.Weight), fmt.Sprint(t.Values)})
	}
	p.Table("Nothing.", []string{"TRAIT", "WEIGHT", "VALUES"}, rows)
	p.Title("Vendors trusted")
	rows = nil
	for _, t := range r.Trust {
		rows = append(rows, []string{t.Vendor, t.VendorID, t.Environment, t.Address, t.Reach})
	}
	p.Table("None.", []string{"VENDOR", "VENDOR ID", "ENVIRONMENT", "SERVER", "ANSWERS"}, rows)
	for _, one := range r.Containers {
		p.Title("Container %s", one.Serial)
		c.summary(p, one)
		step(p, one)
		p.Field("Last contact", "%s", cli.When(one.LastContact, c.env.Now()))
		if one.Binding != nil {
			p.Field("Binding", "%s. %s", one.Binding.Strength, one.Binding.Sentence)
		}
		c.licenses(p, one)
	}
	p.Title("Problems")
	if len(r.Problems) == 0 {
		p.Line("None found.")
	}
	for _, problem := range r.Problems {
		p.Line("- %s", problem)
	}
}

// isAddress tells a server's address from a file's name.
func isAddress(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}
