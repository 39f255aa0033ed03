package centralcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/refusal"
	"licet/wire"
)

func historyCommand(env Env, kind, what, argument, example string) *cobra.Command {
	return listFlags(&cobra.Command{
		Use: "history " + argument, Short: "Everything that ever happened to " + what, Example: "  " + example, Args: cli.Args(argument),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.Event], error) {
				return c.History(cmd.Context(), kind, args[0], p)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) { eventTable(p, list) })
		},
	})
}

// eventTable shows events in order of time, so that a story is read downward.
func eventTable(p *cli.Page, list wire.List[wire.Event]) {
	var rows [][]string
	for _, e := range list.Items {
		text := e.Sentence
		if text == "" {
			text = e.Event
		}
		if e.Reason != "" {
			text += " Reason: " + e.Reason
		}
		rows = append(rows, []string{e.Time.String(), e.Actor, text})
	}
	p.Table("Nothing has happened yet.", []string{"TIME", "WHO", "WHAT"}, rows)
	more(p, list.Next)
}

func auditCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "audit", Short: "The trail of everything that happened"})
	cmd.AddCommand(
		listFlags(&cobra.Command{
			Use: "list", Short: "List the trail", Example: "  licet-central audit list --limit 50",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.Event], error) { return c.Audit(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) { eventTable(p, list) })
			},
		}),
		&cobra.Command{
			Use: "verify", Short: "Prove that the trail is whole", Example: "  licet-central audit verify",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				report, err := c.VerifyAudit(cmd.Context())
				if err != nil {
					return asked(err)
				}
				if err := cli.Print(cmd, report, func(p *cli.Page) { auditPage(p, report) }); err != nil {
					return err
				}
				if !report.Whole {
					return refusal.New(refusal.AuditBroken, "The audit trail does not prove whole: %d problems.", len(report.Problems)).With("problems", report.Problems)
				}
				return nil
			},
		},
	)
	return cmd
}

func auditPage(p *cli.Page, r wire.AuditReport) {
	p.Line("%s", either(r.Whole, "The audit trail is whole.", "The audit trail is NOT whole."))
	p.Field("proven", "%d events", r.Sequenced)
	p.Field("not yet in the log", "%s", either(r.Tail > 0, fmt.Sprintf("%d events", r.Tail), ""))
	p.Field("checkpoints", "%d", r.Checkpoints)
	var rows [][]string
	for _, x := range r.Problems {
		rows = append(rows, []string{x.Event, x.What})
	}
	p.Table("", []string{"EVENT", "PROBLEM"}, rows)
}
