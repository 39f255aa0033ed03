package centralcmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func gapCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "gap", Short: "What the server does not know since it was restored from a back-up"})
	release := reasonFlag(&cobra.Command{
		Use:   "release ID… | --all [--block] --reason R",
		Short: "Give out licenses again that are held back",
		Long: "Give out licenses again that are held back, each in its next generation: a copy that somebody got before the server was restored counts no more, and is removed at the next contact of its container. " +
			"Until then it can be used; with --block the block list names it.\n\n" +
			"--all releases everything but what an order of yours had removed from its container before the loss, such as a withdrawal: look at those (gap list) and release or withdraw them one by one.",
		Example: `  licet-central gap release --all --reason "all customers were asked"
  licet-central gap release ` + exampleID + ` --block --reason "the customer has no copy"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all, _ := cmd.Flags().GetBool("all"); all == (len(args) > 0) {
				return cli.Usage("%s needs the ids of licenses, or --all.", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req := wire.Release{Licenses: ids(args)}
			req.All, _ = cmd.Flags().GetBool("all")
			req.Block, _ = cmd.Flags().GetBool("block")
			out, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Released, error) {
				req.Reason = reason
				return c.Release(ctx, req)
			})
			if err != nil {
				return err
			}
			if err := cli.Print(cmd, out, func(p *cli.Page) { releasedPage(p, out) }); err != nil {
				return err
			}
			if n := len(out.Refused); n > 0 {
				return refusal.New(refusal.Conflict, "%d licenses were not released.", n)
			}
			return nil
		},
	})
	release.Flags().Bool("all", false, "all that are held back, but for those that an order of yours had removed")
	release.Flags().Bool("block", false, "name the generation that ends in the block list")
	cmd.AddCommand(
		&cobra.Command{
			Use: "show", Short: "Say how much is held back, and who was not heard from", Example: "  licet-central gap show",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				g, err := c.Gap(cmd.Context())
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, g, func(p *cli.Page) { gapPage(p, env, g) })
			},
		},
		listFlags(&cobra.Command{
			Use: "list", Short: "List the licenses that are held back", Example: "  licet-central gap list",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.License], error) { return c.HeldBack(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, l := range list.Items {
						rows = append(rows, []string{string(l.ID), l.Product, l.Number, l.Customer, heldBecause(l.HeldBack)})
					}
					p.Table("Nothing is held back.", []string{"LICENSE", "PRODUCT", "ORDER", "CUSTOMER", "WHY"}, rows)
					more(p, list.Next)
				})
			},
		}),
		listFlags(&cobra.Command{
			Use: "silent", Short: "List the containers that were not in contact since", Example: "  licet-central gap silent",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.Container], error) { return c.Silent(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, x := range list.Items {
						rows = append(rows, []string{string(x.Serial), string(x.Kind), fmt.Sprint(len(x.Licenses)), cli.Ago(x.LastSeen, env.Now())})
					}
					p.Table("Every container was in contact since.", []string{"CONTAINER", "KIND", "LICENSES", "LAST SEEN"}, rows)
					more(p, list.Next)
				})
			},
		}),
		release,
		reasonFlag(&cobra.Command{
			Use:   "close --reason R",
			Short: "Say that all is settled",
			Long: "Say that all is settled, once nothing is held back. From then on new containers are served at once.\n\n" +
				"Containers that were not heard from bring what they have at their next contact all the same.",
			Example: `  licet-central gap close --reason "all is there"`,
			RunE: func(cmd *cobra.Command, _ []string) error {
				g, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Gap, error) {
					return c.CloseGap(ctx, reason)
				})
				if err != nil {
					return err
				}
				return cli.Print(cmd, g, func(p *cli.Page) {
					p.Line("The gap is closed.")
					p.Field("not in contact since", "%d containers", g.Silent)
				})
			},
		}),
		openGapCommand(env),
	)
	return cmd
}

// openGapCommand works on the database itself: no server may run on it.
func openGapCommand(env Env) *cobra.Command {
	cmd := reasonFlag(&cobra.Command{
		Use:   "open --data DIR [--database URL] [--since TIME] --reason R",
		Short: "Tell a database that it was put back from a back-up by other means",
		Long: "Tell a database that it was put back from a back-up by other means than restore-backup: by the database's own, or as a copy of a disk.\n\n" +
			"It does what restore-backup does at its end: a new epoch, and everything that is with you is held back. Stop every server on the database first, and start them afterwards.",
		Example: `  licet-central gap open --data ./central --since 2026-03-01T02:00:00Z --reason "PostgreSQL put back from its base back-up"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			reason, err := reasonOf(cmd)
			if err != nil {
				return err
			}
			since := license.Time(0)
			if text, _ := cmd.Flags().GetString("since"); text != "" {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					return cli.Usage("--since %s is no time; write it like 2026-03-01T02:00:00Z.", text)
				}
				since = license.At(at)
			}
			if err := f.putBack(cmd.Context()); err != nil {
				return err
			}
			reg, done, err := f.open(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer done()
			g, err := reg.OpenGap(cmd.Context(), registry.System, since, reason)
			if err != nil {
				return err
			}
			return cli.Print(cmd, g, func(p *cli.Page) {
				p.Line("The record knows that it was put back.")
				gapFields(p, env, g)
				p.Next("licet-central serve --data "+f.path+"  (servers that ran meanwhile hand out nothing until they are started again)",
					fmt.Sprintf("send the orders taken since %s again: licet-central order create --resent, or import --resent", g.Since))
			})
		},
	})
	cmd.Flags().String("since", "", "moment of the back-up, such as 2026-03-01T02:00:00Z (default: the newest event in the database)")
	databaseFlag(cmd)
	return cmd
}

// putBack tells the journal of a record that it goes on from somewhere else.
func (f folder) putBack(ctx context.Context) (err error) {
	secret, err := f.secret()
	if err != nil {
		return err
	}
	if err := f.hasDatabase(); err != nil {
		return err
	}
	db, err := store.Open(ctx, f.address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if has, err := hasJournal(ctx, db); err != nil || !has {
		return err
	}
	if err := openedFor((*store.DB).Alone).take(ctx, db); err != nil {
		return err
	}
	return registry.PutBack(ctx, f.config(db, secret, slog.New(slog.DiscardHandler)))
}

var heldTexts = map[string]string{
	"back_up":  "with you when the back-up was made",
	"returned": "returned by a container; somebody may have got it after that",
	"taken":    "removed by an order of yours; what was to become of it is lost",
	"resent":   "its order was sent again",
}

func heldBecause(why string) string {
	if text := heldTexts[why]; text != "" {
		return text
	}
	return why
}

func gapFields(p *cli.Page, env Env, g wire.Gap) {
	p.Field("epoch", "%d", g.Epoch)
	p.Field("back-up of", "%s", cli.When(g.Since, env.Now()))
	p.Field("restored", "%s", cli.When(g.Opened, env.Now()))
	p.Field("held back", "%d licenses", g.HeldBack)
	for _, why := range registry.HeldBackWhys {
		if n := g.HeldBackFor[why]; n > 0 {
			p.Field("", "%d %s", n, heldBecause(why))
		}
	}
	p.Field("not in contact since", "%d containers", g.Silent)
}

func gapPage(p *cli.Page, env Env, g wire.Gap) {
	switch {
	case g.Outdated != "":
		p.Line("This server's record is not the newest one, and it hands out nothing: %s.", g.Outdated)
		p.Next("use the newer server, if there is one",
			"if there is none: stop this one, licet-central gap open --data DIR --reason …, and start it again")
		return
	case g.Opened == 0:
		p.Line("This server was never restored from a back-up.")
		return
	case g.Whole:
		p.Line("This server was restored from a back-up and its journal, and nothing was lost.")
	case !g.Open:
		p.Line("The gap is closed, since %s.", cli.When(g.Closed, env.Now()))
	default:
		p.Line("This server was restored from a back-up. What it lost comes back as containers make contact.")
	}
	gapFields(p, env, g)
	switch {
	case !g.Open:
	case g.HeldBack > 0:
		p.Next("licet-central gap list  names what is held back", "licet-central gap silent  names who was not heard from",
			`licet-central gap release --all --reason "…"  gives all of it out again`)
	default:
		p.Next(`licet-central gap close --reason "…"`)
	}
}

func releasedPage(p *cli.Page, out wire.Released) {
	p.Line("%d licenses were released. They can be activated, and copies from before count no more.", out.Released)
	var rows [][]string
	for _, r := range out.Refused {
		rows = append(rows, []string{string(r.License), r.Message})
	}
	p.Table("", []string{"NOT RELEASED", "WHY"}, rows)
}

// resentFlag is for orders that were taken before and lost.
func resentFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("resent", false, "it was taken before the server was restored from a back-up, and may be lost: what this adds is held back until a container brings it, or it is released")
}
