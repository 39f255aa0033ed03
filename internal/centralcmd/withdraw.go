package centralcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// reasonFlag makes a command want to know why.
func reasonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("reason", "", "why, for the history")
	_ = cmd.MarkFlagRequired("reason") // the flag is there
	return cmd
}

func reasonOf(cmd *cobra.Command) (string, error) {
	reason, _ := cmd.Flags().GetString("reason")
	if strings.TrimSpace(reason) == "" {
		return "", cli.Usage("--reason is empty: say why, for the history.")
	}
	return reason, nil
}

func dryRunFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("dry-run", false, "only say what would happen")
	return cmd
}

func dryRun(cmd *cobra.Command) bool {
	dry, _ := cmd.Flags().GetBool("dry-run")
	return dry
}

// reasoned asks the server for a decision that has a reason.
func reasoned[T any](cmd *cobra.Command, env Env, decide func(ctx context.Context, c *client.Central, reason string) (T, error)) (out T, err error) {
	reason, err := reasonOf(cmd)
	if err != nil {
		return out, err
	}
	c, err := central(cmd, env)
	if err != nil {
		return out, err
	}
	out, err = decide(cmd.Context(), c, reason)
	return out, asked(err)
}

const exampleID = "lic_06bq3c8v4w9x2m5n7p1d8a"

func withdrawCommand(env Env) *cobra.Command {
	return dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "withdraw ID… --reason R [--dry-run]",
		Short: "Take licenses away for good",
		Long: "Take licenses away for good.\n\n" +
			"What is with you is gone at once. What is with a user goes at the next contact of its container, and counts as gone only when the container has proven it. " +
			"A license that another one in the same container needs does not go alone.",
		Example: "  licet-central license withdraw " + exampleID + ` --reason "refunded" --dry-run`,
		Args:    cli.Args("ID…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Ordered, error) {
				if len(args) == 1 {
					return c.Withdraw(ctx, license.ID(args[0]), wire.Decided{Reason: reason, DryRun: dryRun(cmd)})
				}
				return c.WithdrawAll(ctx, wire.Withdrawal{Licenses: ids(args), Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return printOrdered(cmd, out, withdrawn)
		},
	}))
}

func ids(args []string) []license.ID {
	out := make([]license.ID, len(args))
	for i, a := range args {
		out[i] = license.ID(a)
	}
	return out
}

// withdrawn says what becomes of a license that is withdrawn.
func withdrawn(o wire.OrderedLicense, dry bool) string {
	if o.When == wire.Now {
		return either(dry, "would be gone at once", "is gone")
	}
	return either(dry, "would go", "goes") + " at the next contact of container " + string(o.Container) + stayOut(o)
}

// stayOut says what stays out of a license that its container loses.
func stayOut(o wire.OrderedLicense) string {
	if o.Lent == nil {
		return ""
	}
	return fmt.Sprintf("; %d of its seats stay out %s", o.Lent.Seats, either(o.Lent.Until == 0, "for good", "until "+o.Lent.Until.String()))
}

func replaceCommand(env Env) *cobra.Command {
	cmd := dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "replace ID --with CODE[,KEY=VALUE…] --reason R [--dry-run]",
		Short: "Put another license in place of one",
		Long: "Put a license of another product, or with other terms, in place of one. It is on the same ticket.\n\n" +
			"With a user, the old one goes and the new one arrives in one step, at the next contact of the container; nobody else can activate the new one meanwhile.",
		Example: "  licet-central license replace " + exampleID + ` --with CAD-NET,seats=10 --reason "upgrade 4711"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			with, _ := cmd.Flags().GetString("with")
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Ordered, error) {
				return c.Replace(ctx, license.ID(args[0]), wire.Replacement{With: with, Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return printOrdered(cmd, out, func(o wire.OrderedLicense, dry bool) string {
				new := "a new " + o.WithProduct // its id is made when it is done
				if !dry {
					new = fmt.Sprintf("%s (%s)", o.WithProduct, o.With)
				}
				text := either(dry, "would be replaced by ", either(o.When == wire.Now, "was replaced by ", "is replaced by ")) + new
				if o.When == wire.NextContact {
					text += " at the next contact of container " + string(o.Container) + stayOut(o)
				}
				return text
			})
		},
	}))
	cmd.Flags().String("with", "", "product code, and terms for this license alone, such as CAD-NET,seats=10")
	_ = cmd.MarkFlagRequired("with") // the flag is there
	return cmd
}

func unitsCommand(env Env) *cobra.Command {
	cmd := dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "units ID --add N --reason R [--dry-run]",
		Short: "Add units to a license",
		Long: "Add units to a license that is sold by units.\n\n" +
			"With you it has them at once; with a user its container gets them at its next contact. What is used stays used, and what was added is not taken back.",
		Example: "  licet-central license units " + exampleID + ` --add 500 --reason "order 4712"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, _ := cmd.Flags().GetInt64("add")
			if n < 1 {
				return cli.Usage("--add is the number of units to add: 1 or more.")
			}
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Ordered, error) {
				return c.AddUnits(ctx, license.ID(args[0]), wire.Addition{Units: n, Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, out, func(p *cli.Page) {
				for _, o := range out.Done {
					text := fmt.Sprintf("%s (%s) %s %d units, of which %d are left", o.Product, o.License, either(out.DryRun, "would have", "has"), o.Units.Total, o.Units.Left)
					if o.When == wire.NextContact {
						text += fmt.Sprintf("; container %s gets them at its next contact", o.Container)
					}
					p.Line("%s.", text)
					if out.DryRun {
						p.Line("This was a dry run: nothing was changed.")
					} else if o.When == wire.NextContact {
						p.Next("licet-central container push " + string(o.Container) + " -o FILE.licet-update  makes the update now, to be mailed to the user")
					}
				}
			})
		},
	}))
	cmd.Flags().Int64("add", 0, "how many units")
	_ = cmd.MarkFlagRequired("add") // the flag is there
	return cmd
}

func assignCommand(env Env) *cobra.Command {
	cmd := dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "assign ID --container SERIAL --reason R [--dry-run]",
		Short: "Send a license to a container, which needs no ticket for it",
		Long: "Send a license to a container, which gets it at its next contact with no ticket.\n\n" +
			"Until then nobody else gets it. Once it has arrived it is a license as any other: the user may return it and activate it elsewhere with its ticket.",
		Example: "  licet-central license assign " + exampleID + ` --container SERIAL --reason "order by telephone"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			serial, _ := cmd.Flags().GetString("container")
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Ordered, error) {
				return c.Assign(ctx, license.ID(args[0]), wire.Assignment{Container: license.Serial(serial), Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return printOrdered(cmd, out, func(o wire.OrderedLicense, dry bool) string {
				return either(dry, "would be kept", "is kept") + " for container " + string(o.Container) + ", which gets it at its next contact"
			})
		},
	}))
	cmd.Flags().String("container", "", "serial of the container that is to have it")
	_ = cmd.MarkFlagRequired("container") // the flag is there
	return cmd
}

func cancelPendingCommand(env Env) *cobra.Command {
	return reasonFlag(&cobra.Command{
		Use:   "cancel ID --reason R",
		Short: "Take back what is pending for a license",
		Long: "Take back what is pending for a license: its withdrawal, its replacement, or that it is sent to a container.\n\n" +
			"That is possible until an update that carries it was issued. After that, a further order follows in the next update: sell the license anew, replace the new one, or withdraw what was sent.",
		Example: "  licet-central license cancel " + exampleID + ` --reason "the customer stays"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.License, error) {
				return c.CancelPending(ctx, license.ID(args[0]), reason)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, l, func(p *cli.Page) {
				p.Line("Taken back. %s (%s) stays as it was: %s", l.Product, l.ID, l.Meaning)
				p.Next("licet-central license show " + string(l.ID))
			})
		},
	})
}

func lostCommand(env Env) *cobra.Command {
	return reasonFlag(&cobra.Command{
		Use:   "lost ID --reason R",
		Short: "Close the withdrawal of a license whose machine is gone",
		Long: "Close the withdrawal of a license whose machine is gone and will never prove that it removed its copy.\n\n" +
			"The license is gone, and the block list names the copy. A license that the customer is to keep is restored instead: see recovery.",
		Example: "  licet-central license lost " + exampleID + ` --reason "the machine was scrapped"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.License, error) {
				return c.DeclareLost(ctx, license.ID(args[0]), reason)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, l, func(p *cli.Page) {
				p.Line("%s (%s) is gone. The block list names its copy, which is removed if its container ever makes contact.", l.Product, l.ID)
				p.Next("licet-central blocklist list")
			})
		},
	})
}

func orderCancelCommand(env Env) *cobra.Command {
	return dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "cancel NUMBER --reason R [--dry-run]",
		Short: "Withdraw every license of an order",
		Long: "Withdraw every license of an order that is not gone yet.\n\n" +
			"What is with you is gone at once, what is with users goes at the next contact of its container.",
		Example: `  licet-central order cancel 2026-1001 --reason "returned within 14 days" --dry-run`,
		Args:    cli.Args("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Ordered, error) {
				return c.CancelOrder(ctx, args[0], wire.Decided{Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return printOrdered(cmd, out, withdrawn)
		},
	}))
}

// printOrdered says what a decision does, and fails if part of it was refused.
func printOrdered(cmd *cobra.Command, out wire.Ordered, becomes func(o wire.OrderedLicense, dry bool) string) error {
	if err := cli.Print(cmd, out, func(p *cli.Page) { orderedPage(p, out, becomes) }); err != nil {
		return err
	}
	if len(out.Refused) == 0 {
		return nil
	}
	total := len(out.Done) + len(out.Refused)
	code := out.Refused[0].Code
	if slices.ContainsFunc(out.Refused, func(r wire.RefusedLicense) bool { return r.Code != code }) {
		code = refusal.NotDone
	}
	did := either(out.DryRun, "would be done", "was done")
	text := fmt.Sprintf("Refused: %d of %d licenses. The rest %s.", len(out.Refused), total, did)
	if len(out.Done) == 0 {
		text = fmt.Sprintf("Refused: all %d licenses. Nothing %s.", total, did)
	}
	return refusal.New(code, "%s", text).Hinted("The answer names each with its reason.").With("refused", out.Refused)
}

func orderedPage(p *cli.Page, out wire.Ordered, becomes func(o wire.OrderedLicense, dry bool) string) {
	var rows [][]string
	for _, o := range out.Done {
		rows = append(rows, []string{string(o.License), o.Product, becomes(o, out.DryRun)})
	}
	p.Table("", []string{"LICENSE", "PRODUCT", "WHAT HAPPENS"}, rows)
	if len(out.Refused) > 0 {
		p.Title("Refused")
	}
	for _, r := range out.Refused {
		p.Line("%s", r.Message)
		if r.Hint != "" {
			p.Line("  %s", r.Hint)
		}
	}
	if out.DryRun {
		p.Blank()
		p.Line("This was a dry run: nothing was changed.")
		return
	}
	i := slices.IndexFunc(out.Done, func(o wire.OrderedLicense) bool { return o.When == wire.NextContact })
	if i < 0 {
		return
	}
	o := out.Done[i]
	p.Next("licet-central pending",
		"licet-central license cancel "+string(o.License)+` --reason "…"  takes it back, as long as no update carries it`,
		"licet-central container push "+string(o.Container)+" -o FILE.licet-update  makes the update now, to be mailed to the user")
}

func pendingCommand(env Env) *cobra.Command {
	return remote(listFlags(&cobra.Command{
		Use: "pending", Short: "List what waits for containers",
		Long:    "List what waits for containers: every order of yours that was not carried out yet, or not proven to be, newest first.",
		Example: "  licet-central pending",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.Earmark], error) { return c.Earmarks(cmd.Context(), p) })
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, e := range list.Items {
					rows = append(rows, []string{string(e.License), e.Product, e.Text, cli.Ago(e.Created, env.Now()), e.Actor, e.Reason})
				}
				p.Table("Nothing is pending.", []string{"LICENSE", "PRODUCT", "WHAT IS PENDING", "SINCE", "WHO", "WHY"}, rows)
				more(p, list.Next)
			})
		},
	}))
}
