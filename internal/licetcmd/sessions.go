package licetcmd

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/seatserver"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// sessionsView is what administrators see of a license server.
type sessionsView struct {
	Pools  []seats.PoolView  `json:"pools"`
	Leases []seats.LeaseView `json:"leases"`
}

func (c *commands) sessions() *cobra.Command {
	var end, why string
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Show who has the seats of this machine's license server, or end a session",
		Long: "Lists the seats, who has one since when and from where, how long it was not heard of,\n" +
			"and loans with the day they are due. A session can be ended; a loan ends by its date,\n" +
			"or when its borrower returns it.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, ask := cmd.Context(), c.client().SeatServer
			if end != "" {
				err := ask(ctx, http.MethodDelete, wire.PathLease+url.PathEscape(end), wire.EndRequest{By: account(), Why: why}, nil)
				if r, ok := refusal.As(err); ok && r.Code == refusal.LeaseLost {
					return refusal.New(refusal.NotFound, "There is no session %s.", end).Hinted("licet sessions lists them.")
				}
				if err != nil {
					return err
				}
				return cli.Print(cmd, map[string]string{"ended": end}, func(p *cli.Page) {
					p.Line("Ended: %s. The program loses its seat when it next asks to keep it.", end)
				})
			}
			var pools wire.List[seats.PoolView]
			var leases wire.List[seats.LeaseView]
			if err := ask(ctx, http.MethodGet, wire.PathPools, nil, &pools); err != nil {
				return err
			}
			if err := ask(ctx, http.MethodGet, wire.PathLeases, nil, &leases); err != nil {
				return err
			}
			view := sessionsView{pools.Items, leases.Items}
			return cli.Print(cmd, view, func(p *cli.Page) { c.printSessions(p, view) })
		},
	}
	cmd.Flags().StringVar(&end, "end", "", "end the session with this `ID`")
	cmd.Flags().StringVar(&why, "why", "", "`TEXT` for the record")
	cmd.AddCommand(c.sessionsUsage())
	return cmd
}

func (c *commands) printSessions(p *cli.Page, v sessionsView) {
	now := c.env.Now()
	printPools(p, v.Pools, now)
	var sessions, loans [][]string
	for _, l := range v.Leases {
		who := l.Client.User
		if l.Client.Host != "" {
			who += "@" + l.Client.Host
		}
		if l.Kind == seats.Session {
			state := "heard of " + cli.Ago(l.Last, now)
			if l.Lingers {
				state = "released, taken until " + cli.When(l.ExpiresAt, now)
			}
			sessions = append(sessions, []string{l.Product, who, l.Address, cli.When(l.Since, now), state, string(l.Lease)})
			continue
		}
		due := cli.When(l.ExpiresAt, now)
		if l.ExpiresAt == 0 {
			due = "for good"
		}
		if l.Units > 0 {
			due = count(l.Units) + ", " + due
		}
		state := "not confirmed yet"
		if l.Confirmed {
			state = "confirmed"
		}
		loans = append(loans, []string{l.Product, who, string(l.Holder), due, state, string(l.Lease)})
	}
	p.Blank()
	p.Table("Nobody uses a seat.", []string{"PRODUCT", "WHO", "FROM", "SINCE", "STATE", "SESSION"}, sessions)
	if len(loans) > 0 {
		p.Blank()
		p.Table("", []string{"PRODUCT", "LENT TO", "CONTAINER", "DUE", "STATE", "LOAN"}, loans)
	}
	if len(sessions) > 0 {
		p.Next("licet sessions --end " + strings.TrimSpace(sessions[0][5]))
	}
}

func (c *commands) sessionsUsage() *cobra.Command {
	var by string
	var asCSV bool
	cmd := &cobra.Command{
		Use: "usage", Short: "Show the use of seats and denials by hour, day or month",
		Long: "Counts come from the server's record, hour by hour, which its container signs; hours\n" +
			"that are missing show. --csv writes a table for a spreadsheet.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var view wire.UsageView
			if err := c.client().SeatServer(cmd.Context(), http.MethodGet, wire.PathUsage+"?by="+url.QueryEscape(by), nil, &view); err != nil {
				return err
			}
			if asCSV {
				_, err := cmd.OutOrStdout().Write(seatserver.UsageCSV(view.Rows))
				return err
			}
			return cli.Print(cmd, view, func(p *cli.Page) {
				var rows [][]string
				for _, r := range view.Rows {
					var why []string
					for _, code := range slices.Sorted(maps.Keys(r.Denials)) {
						why = append(why, fmt.Sprintf("%d %s", r.Denials[code], strings.ReplaceAll(string(code), "_", " ")))
					}
					rows = append(rows, []string{r.From.String(), r.Product, strconv.FormatUint(r.Grants, 10),
						fmt.Sprintf("%d of %d", r.Peak, r.Seats), strconv.FormatUint(r.Denied, 10), strings.Join(why, ", ")})
				}
				p.Table("Nothing was counted yet.", []string{"FROM", "PRODUCT", "GRANTED", "PEAK", "DENIED", "WHY"}, rows)
				for _, gap := range view.Gaps {
					p.Line("%s", gap)
				}
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "day", "hour, day or month, in UTC")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "write a table for a spreadsheet")
	return cmd
}
