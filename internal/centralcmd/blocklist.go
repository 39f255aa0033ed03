package centralcmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func blockCommand(env Env) *cobra.Command {
	return reasonFlag(&cobra.Command{
		Use:   "block SERIAL --reason R",
		Short: "Block a container, such as a stolen one",
		Long: "Block a container, such as a stolen one: nothing in it may be used any more.\n\n" +
			"The container learns it at its next contact, other machines and programs that meet it from the block list. Its licenses stay in it; unblock opens it again.",
		Example: `  licet-central container block SERIAL --reason "stolen, police report 4711"`,
		Args:    cli.Args("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Container, error) {
				return c.BlockContainer(ctx, license.Serial(args[0]), reason)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, x, func(p *cli.Page) {
				p.Line("Container %s is blocked. It is locked at its next contact, and the block list names it from now on.", x.Serial)
				p.Field("licenses in it", "%d", len(x.Licenses))
				p.Next("licet-central blocklist export -o FILE.licet-blocklist  for machines that make no contact",
					"licet-central container unblock "+string(x.Serial)+` --reason "…"`)
			})
		},
	})
}

func unblockCommand(env Env) *cobra.Command {
	return reasonFlag(&cobra.Command{
		Use:     "unblock SERIAL --reason R",
		Short:   "Open a blocked container again",
		Long:    "Open a blocked container again. It may be used from its next contact on.",
		Example: `  licet-central container unblock SERIAL --reason "found again"`,
		Args:    cli.Args("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Container, error) {
				return c.UnblockContainer(ctx, license.Serial(args[0]), reason)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, x, func(p *cli.Page) {
				p.Line("Container %s is not blocked any more. It may be used from its next contact on.", x.Serial)
				p.Next("on the user's machine: licet update")
			})
		},
	})
}

func pushCommand(env Env) *cobra.Command {
	return outFlag(&cobra.Command{
		Use:   "push SERIAL -o FILE",
		Short: "Make an update file for a container, with no request of it",
		Long: "Make an update file for a container, with no request of it: what is on its way, and what is pending for it.\n\n" +
			"The file is made for this container alone and harms nobody else; send it by mail. What it carries counts as done when a receipt comes back.",
		Example: "  licet-central container push SERIAL -o ada.licet-update",
		Args:    cli.Args("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			file, err := c.Push(cmd.Context(), license.Serial(args[0]))
			if err != nil {
				return asked(err)
			}
			next := []string{"on the user's machine: licet import FILE", "then the user sends the receipt back: licet receipt -o FILE.licet-receipt"}
			// Whoever may push need not be allowed to look; then nothing is said of it.
			if x, err := c.Container(cmd.Context(), license.Serial(args[0])); err == nil && x.Issued == x.Acked {
				next = []string{"nothing: no order waits for the container, so the file changes nothing there"}
			}
			return carry(cmd, file, "update", next...)
		},
	})
}

func outFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringP("out", "o", "", "file to write; - for standard output")
	_ = cmd.MarkFlagRequired("out") // the flag is there
	return cmd
}

// carry writes a file that people carry. On standard output it stands alone.
func carry(cmd *cobra.Command, file []byte, what string, next ...string) error {
	out, _ := cmd.Flags().GetString("out")
	if out == "-" {
		_, err := cmd.OutOrStdout().Write(file)
		return err
	}
	var disk durable.Disk
	if dir, err := os.Stat(filepath.Dir(out)); err != nil || !dir.IsDir() {
		return refusal.New(refusal.NotFound, "There is no folder %s.", filepath.Dir(out)).Hinted("Name a file in a folder that exists.")
	}
	if err := disk.WritePath(out, file, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return cli.Print(cmd, map[string]string{"file": out}, func(p *cli.Page) {
		p.Line("The %s is in %s.", what, out)
		p.Next(next...)
	})
}

func blockListCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "blocklist", Short: "Lost copies and containers that may not be used"})
	export := outFlag(&cobra.Command{
		Use:   "export -o FILE [--from N]",
		Short: "Write the signed block list to a file",
		Long: "Write the signed block list to a file, for machines that make no contact, or to be built into a program.\n\n" +
			"Machines that make contact learn it by themselves. The file is public: it names licenses and containers, no customers.",
		Example: "  licet-central blocklist export -o vendor.licet-blocklist",
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, _ := cmd.Flags().GetString("url")
			from, _ := cmd.Flags().GetUint64("from")
			g := client.NewGateway(client.Options{HTTP: env.HTTP, Program: "licet-central/" + cli.ThisBuild("licet-central").Version})
			file, err := g.BlockList(cmd.Context(), url, from)
			if err != nil {
				return asked(err)
			}
			if len(file) == 0 {
				return cli.Print(cmd, map[string]any{"file": nil, "code": refusal.AlreadyApplied}, func(p *cli.Page) {
					p.Line("%s No file was written.", either(from == 0, "Nothing was ever blocked.", fmt.Sprintf("There is nothing newer than block list %d.", from)))
				})
			}
			return carry(cmd, file, "block list", "on a user's machine: licet import FILE")
		},
	})
	export.Flags().Uint64("from", 0, "only what is newer than the list with this number (default: all)")
	cmd.AddCommand(
		listFlags(&cobra.Command{
			Use: "list", Short: "List what is blocked, newest first", Example: "  licet-central blocklist list",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.Block], error) { return c.Blocked(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, b := range list.Items {
						rows = append(rows, []string{strconv.FormatUint(b.Number, 10), blockedThing(b), b.Subject, b.Reason, cli.Ago(b.Time, env.Now())})
					}
					p.Table("Nothing is blocked.", []string{"NUMBER", "WHAT", "ID", "WHY", "SINCE"}, rows)
					more(p, list.Next)
				})
			},
		}),
		export,
	)
	return cmd
}

func blockedThing(b wire.Block) string {
	if b.Generation > 0 {
		return fmt.Sprintf("copy of a license (generation %d)", b.Generation)
	}
	return b.Kind
}

func settingsCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "settings", Short: "What holds for all of your customers' machines"})
	set := &cobra.Command{
		Use:   "set --auto-update DURATION",
		Short: "Change a setting",
		Long: "Change a setting. Machines learn of it with their next update.\n\n" +
			"--auto-update says how often machines ask by themselves what is pending. 0s leaves it to them, which is every 12h.",
		Example: "  licet-central settings set --auto-update 12h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, _ := cmd.Flags().GetString("auto-update")
			every, err := license.ParseDuration(text)
			if err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			s, err := c.ChangeSettings(cmd.Context(), wire.Settings{AutoUpdate: every})
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, s, func(p *cli.Page) { settingsPage(p, s) })
		},
	}
	set.Flags().String("auto-update", "", "how often machines ask what is pending, such as 12h; 0s leaves it to them")
	_ = set.MarkFlagRequired("auto-update") // the flag is there
	cmd.AddCommand(set, &cobra.Command{
		Use: "show", Short: "Show the settings", Example: "  licet-central settings show",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			s, err := c.Settings(cmd.Context())
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, s, func(p *cli.Page) {
				settingsPage(p, s)
				p.Next("licet-central settings set --auto-update 12h")
			})
		},
	})
	return cmd
}

func settingsPage(p *cli.Page, s wire.Settings) {
	p.Field("auto-update", "%s", either(s.AutoUpdate > 0, "machines ask every "+s.AutoUpdate.String()+" what is pending", "left to the machines, which ask every 12h what is pending"))
}
