package centralcmd

import (
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/license"
	"licet/wire"
)

func tokenCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "token", Short: "Access to the management interface"})
	cmd.AddCommand(tokenCreateCommand(env),
		&cobra.Command{
			Use: "list", Short: "List tokens, never their secrets", Example: "  licet-central token list",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := c.Tokens(cmd.Context())
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, t := range list.Items {
						rows = append(rows, []string{t.ID, t.Name, strings.Join(t.Scopes, ","), tokenState(env, t), cli.Ago(t.Used, env.Now())})
					}
					p.Table("No tokens.", []string{"ID", "NAME", "SCOPES", "STATE", "LAST USED"}, rows)
				})
			},
		},
		&cobra.Command{
			Use: "revoke ID", Short: "End a token, at once and for good", Example: "  licet-central token revoke tok_06bq3c8v4w9x2m5n7p1d8a", Args: cli.Args("ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				t, err := c.RevokeToken(cmd.Context(), args[0])
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, t, func(p *cli.Page) { p.Line("The token %s (%s) is revoked.", t.ID, t.Name) })
			},
		},
	)
	return cmd
}

func tokenState(env Env, t wire.Token) string {
	now := env.Now()
	switch {
	case t.Revoked != 0:
		return "revoked " + cli.Ago(t.Revoked, now)
	case t.Expires == 0:
		return "valid"
	case t.Expires <= license.At(now):
		return "expired " + cli.Ago(t.Expires, now)
	}
	return "expires " + cli.Ago(t.Expires, now)
}

func tokenCreateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create --scope S [--scope S…] [--name NAME] [--ttl DURATION]",
		Short:   "Create a token; its secret is shown this once",
		Example: "  licet-central token create --name shop --scope orders,read --ttl 365d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var req wire.TokenRequest
			req.Name, _ = cmd.Flags().GetString("name")
			req.Scopes, _ = cmd.Flags().GetStringSlice("scope")
			if req.Name == "" {
				req.Name = strings.Join(req.Scopes, "+")
			}
			if ttl, _ := cmd.Flags().GetString("ttl"); ttl != "" {
				d, err := license.ParseDuration(ttl)
				if err != nil {
					return err
				}
				req.TTL = d
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			t, err := c.CreateToken(cmd.Context(), req)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, t, func(p *cli.Page) {
				p.Title("Token %s", t.ID)
				p.Field("name", "%s", t.Name)
				p.Field("scopes", "%s", strings.Join(t.Scopes, ", "))
				p.Field("expires", "%s", cli.When(t.Expires, env.Now()))
				p.Field("token", "%s", t.Secret)
				p.Blank()
				p.Line("Keep the token now: it is not shown again.")
			})
		},
	}
	cmd.Flags().String("name", "", "what it is for (default: its scopes)")
	cmd.Flags().StringSlice("scope", nil, "read, orders, licenses, recovery, containers, catalog, audit, tokens, webhooks or admin (all of them); may be repeated")
	cmd.Flags().String("ttl", "", "how long it is valid, such as 90d (default: for ever)")
	_ = cmd.MarkFlagRequired("scope") // the flag is there
	return cmd
}
