package centralcmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/container"
	"licet/internal/cli"
	"licet/license"
	"licet/wire"
)

func licenseCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "license", Short: "Licenses, and where they are"})
	cmd.AddCommand(
		listFlags(&cobra.Command{
			Use: "list", Short: "List licenses, newest first", Example: "  licet-central license list --limit 20",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.License], error) { return c.Licenses(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					licenseTable(p, "", "No licenses yet.", list.Items)
					more(p, list.Next)
				})
			},
		}),
		&cobra.Command{
			Use: "show ID", Short: "Show everything about a license", Example: "  licet-central license show lic_06bq3c8v4w9x2m5n7p1d8a", Args: cli.Args("ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				l, err := c.License(cmd.Context(), license.ID(args[0]))
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, l, func(p *cli.Page) { licensePage(p, env, l) })
			},
		},
		withdrawCommand(env), replaceCommand(env), unitsCommand(env), assignCommand(env), cancelPendingCommand(env), lostCommand(env),
		historyCommand(env, client.LicenseHistory, "a license", "ID", "licet-central license history lic_06bq3c8v4w9x2m5n7p1d8a"),
	)
	return cmd
}

func licensePage(p *cli.Page, env Env, l wire.License) {
	now := env.Now()
	p.Title("License %s", l.ID)
	p.Field("product", "%s  %s", l.Product, l.Name)
	p.Field("state", "%s", l.State)
	p.Field("", "%s", l.Meaning)
	p.Field("container", "%s", l.Container)
	if b := l.Blocked; b != nil {
		p.Field("blocked", "its container is, since %s: %s", cli.When(b.Time, now), b.Reason)
	}
	if l.Lent != nil {
		p.Field("seats out", "%s", seatsOut(*l.Lent, now))
	}
	p.Field("kept for", "%s", either(l.KeptFor != "", "container "+string(l.KeptFor), ""))
	p.Field("withdrawn", "%s", either(l.Withdrawn && l.State != license.Gone, "ordered, and waits for its container", ""))
	p.Field("replaces", "%s", l.Replaces)
	p.Field("replaced by", "%s", l.ReplacedBy)
	p.Field("split from", "%s", l.Origin)
	p.Field("merged into", "%s", l.MergedInto)
	for i, x := range l.Parts {
		what, n := "its seats", strconv.FormatInt(x.Seats, 10)
		if u := x.Units; u != nil {
			what, n = "its units", fmt.Sprintf("%d, %d of them used,", u.Total, u.Used)
		}
		p.Field(either(i == 0, what, ""), "%s in %s, %s", n, x.License, either(x.Container != "", string(x.State)+" "+string(x.Container), string(x.State)))
	}
	p.Field("generation", "%d", l.Generation)
	p.Field("customer", "%s", l.Customer)
	p.Field("order", "%s", l.Number)
	p.Field("created", "%s", cli.When(l.Created, now))
	p.Field("activated", "%s", cli.When(l.Activated, now))
	p.Field("features", "%s", strings.Join(l.Features, ", "))
	termFields(p, env, l.Terms)
	if u := l.Units; u != nil {
		p.Field("", "%s", fmt.Sprintf("%d used, %d left", u.Used, u.Left))
	}
	for i, x := range l.Pending {
		p.Field(either(i == 0, "pending", ""), "%s", x)
	}
	for i, x := range l.Can {
		p.Field(either(i == 0, "it can", ""), "%s", x)
	}
	next := []string{"licet-central license history " + string(l.ID)}
	if l.Container != "" {
		next = append(next, "licet-central container show "+string(l.Container))
	}
	if l.KeptFor != "" || l.Withdrawn && l.State != license.Gone {
		ordered := l.ID
		if l.KeptFor != "" && l.Replaces != "" {
			ordered = l.Replaces // the order is about the license that it replaces
		}
		next = append(next, "licet-central license cancel "+string(ordered)+` --reason "…"  takes back what is pending, as long as no update carries it`)
	}
	if l.Withdrawn && l.Container != "" {
		next = append(next, "licet-central license lost "+string(l.ID)+` --reason "…"  ends it, if the machine is gone for good`)
	}
	p.Next(next...)
}

// seatsOut says how many seats are out, and until when.
func seatsOut(l container.Lent, now time.Time) string {
	return fmt.Sprintf("%d, %s", l.Seats, either(l.Until == 0, "for good", "the last of them until "+cli.When(l.Until, now)))
}

func containerCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "container", Short: "Containers, which hold licenses on users' machines"})
	cmd.AddCommand(
		listFlags(&cobra.Command{
			Use: "list", Short: "List containers", Example: "  licet-central container list",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.Container], error) { return c.Containers(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, x := range list.Items {
						rows = append(rows, []string{string(x.Serial), string(x.Kind), x.Status, fmt.Sprint(len(x.Licenses)), steps(x), cli.Ago(x.LastSeen, env.Now())})
					}
					p.Table("No container has made contact yet.", []string{"SERIAL", "KIND", "STATUS", "LICENSES", "STEPS", "LAST SEEN"}, rows)
					more(p, list.Next)
				})
			},
		}),
		&cobra.Command{
			Use: "show SERIAL", Short: "Show everything about a container", Example: "  licet-central container show SERIAL", Args: cli.Args("SERIAL"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				x, err := c.Container(cmd.Context(), license.Serial(args[0]))
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, x, func(p *cli.Page) { containerPage(p, env, x) })
			},
		},
		acceptCommand(env), blockCommand(env), unblockCommand(env), pushCommand(env),
		historyCommand(env, client.ContainerHistory, "a container", "SERIAL", "licet-central container history SERIAL"),
	)
	return cmd
}

// steps says how far a container is known to be.
func steps(x wire.Container) string {
	return fmt.Sprintf("%d of %d confirmed", x.Acked, x.Issued)
}

func containerPage(p *cli.Page, env Env, x wire.Container) {
	now := env.Now()
	p.Title("Container %s", x.Serial)
	p.Field("kind", "%s", x.Kind)
	p.Field("status", "%s", x.Status)
	if f := x.Flag; f != nil {
		p.Field("flagged", "%s", cli.When(f.Time, now))
		p.Field("why", "%s", f.Reason)
		p.Field("it says", "its last step is %d", f.Number)
		p.Field("", "%s", either(f.Acceptable, "It keeps what it has and gets nothing new until you decide.", "Accepting cannot mend it: it follows another plan than the record."))
	}
	if b := x.Blocked; b != nil {
		p.Field("blocked", "%s", cli.When(b.Time, now))
		p.Field("why", "%s", b.Reason)
		p.Field("", "%s", either(b.Locked, "An update that locks it was issued.", "It is locked at its next contact; the block list names it."))
	}
	p.Field("steps", "%s", steps(x))
	p.Field("", "%s", either(x.Issued > x.Acked, "The rest is on its way, or waits to be fetched again.", ""))
	p.Field("challenge", "%s", either(x.Challenged, "waits for an answer", ""))
	p.Field("binding", "%s", x.Binding)
	p.Field("first seen", "%s", cli.When(x.FirstSeen, now))
	p.Field("last seen", "%s", cli.When(x.LastSeen, now))
	for i, text := range x.Pending {
		p.Field(either(i == 0, "pending", ""), "%s", text)
	}
	for i, l := range x.Lent {
		p.Field(either(i == 0, "seats out", ""), "%s: %s", l.License, seatsOut(l, now))
	}
	licenseTable(p, "Licenses", "", x.Licenses)
	next := []string{"licet-central container history " + string(x.Serial)}
	if x.Blocked != nil {
		next = append(next, "licet-central container unblock "+string(x.Serial)+` --reason "…"`)
	}
	if len(x.Pending) > 0 {
		next = append(next, "licet-central container push "+string(x.Serial)+" -o FILE.licet-update  makes the update now, to be mailed")
	}
	if x.Flag != nil && x.Flag.Acceptable {
		next = append(next, "licet-central container accept "+string(x.Serial)+` --reason "…"`)
	}
	p.Next(next...)
}

func acceptCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept SERIAL --reason R",
		Short: "Settle a flagged container in its favor",
		Long: "Settle a flagged container in its favor: what it reported counts as true, and what came later is sent again.\n\n" +
			"Look at container show and container history and ask the user first: a copy of the container may live elsewhere.",
		Example: `  licet-central container accept SERIAL --reason "disk restored from back-up, says the user"`,
		Args:    cli.Args("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, _ := cmd.Flags().GetString("reason")
			if strings.TrimSpace(reason) == "" {
				return cli.Usage("--reason is empty: say why, for the history.")
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			x, err := c.AcceptContainer(cmd.Context(), license.Serial(args[0]), reason)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, x, func(p *cli.Page) { containerPage(p, env, x) })
		},
	}
	cmd.Flags().String("reason", "", "why, for the history")
	_ = cmd.MarkFlagRequired("reason") // the flag is there
	return cmd
}
